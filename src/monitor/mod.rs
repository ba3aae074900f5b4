//! What is live against what was deployed: drift, how each repository stands, and watching for changes.

mod audit;
mod drift;
mod fsck;
mod watch;

pub use audit::{ConfigAudit, Standing, State};
pub use drift::{ConfigurationMonitor, DriftItem, DriftKind, DriftReport, monitor_config_changes};
pub use fsck::{Area, Needs, Problem, fsck};
pub use watch::{ConfigWatcher, WatchError, git_dir};
