//! The host: directories by handle, the transaction, processes, units and probes.

mod dir;
mod error;
#[cfg(test)]
mod model;
pub mod accounts;
pub mod action;
pub mod live;
mod attributes;
pub mod fitness;
pub mod process;
pub mod scan;
pub mod service;
pub mod transaction;
pub mod view;
#[cfg(test)]
mod tests;

pub use dir::{Dir, File, resolver};
pub use error::Error;
pub use scan::DigestKey;

/// What the names begin with that headfast keeps for itself in targets.
pub const PREFIX: &str = ".headfast-";
