//! The host: directories by handle, the transaction, processes, units and probes.

mod dir;
mod error;
pub mod accounts;
pub mod action;
pub mod live;
pub mod process;
pub mod scan;
pub mod service;
pub mod transaction;
pub mod view;

pub use dir::Dir;
pub use error::Error;
pub use scan::DigestKey;

/// What the names begin with that headfast keeps for itself in targets.
pub const PREFIX: &str = ".headfast-";
