//! headfast: GitOps for plain Linux hosts.
//!
//! An agent, one service per host, follows a branch of a config repository. A commit becomes files in target directories
//! by one all-or-nothing transaction; live edits are found and healed; a change that fails its probes is put back at once
//! and reverted in the branch.
//!
//! The modules are the rooms of ARCHITECTURE.md, in reading order: [`pipeline`] is the spine, the core below it is pure,
//! the edges touch the world, and [`deploy`] strings them together.

// The spine.
pub mod pipeline;

// The core: values in, values out.
pub mod place;
pub mod finding;
pub mod document;
pub mod revision;
pub mod manifest;
pub mod config;
pub mod migrate;
pub mod policy;
pub mod secrets;
pub mod render;
pub mod record;
pub mod plan;
pub mod rollback;
pub mod trust;
pub mod schedule;
pub mod wire;

// The edges: a subject each, and none knows another.
pub mod settings;
pub mod git;
pub mod remote;
pub mod host;
pub mod state;
pub mod report;
pub mod observe;

// The top.
pub mod deploy;
pub mod monitor;
pub mod folder;
pub mod agent;
pub mod cli;

pub use config::{ConfigSchema, Configuration, ConfigurationManager, validate_configuration};
pub use deploy::{ConfigDeployment, ConfigurationDeployer, DeploymentStatus, deploy_configuration};
pub use folder::ConfigurationFolder;
pub use manifest::EnvironmentType;
pub use migrate::ConfigurationMigrator;
pub use monitor::{ConfigAudit, ConfigWatcher, ConfigurationMonitor, monitor_config_changes};
pub use pipeline::load_configuration;
pub use secrets::{SecretManager, encrypt_configuration, manage_secrets};
