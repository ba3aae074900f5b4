//! Logs, metrics, the listener.

mod logging;
mod metrics;
mod serve;
#[cfg(test)]
mod tests;

pub use logging::{Style, init};
pub use metrics::Metrics;
pub use serve::{bind, serve_metrics};

use crate::finding::Code;
use std::io;
use std::net::SocketAddr;

/// Why the agent cannot be observed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log level cannot be understood.
    #[error("`log: {text}` is not a level: {reason}")]
    Level {
        /// What was asked for.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Logging was started before.
    #[error("cannot start logging: {0}")]
    Logging(String),
    /// A listener cannot be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// A listener stopped working.
    #[error("the metrics listener stopped: {0}")]
    Stopped(io::Error),
}

impl Error {
    /// Returns the documented code.
    pub fn code(&self) -> Code {
        match self {
            Error::Level { .. } => Code::CONFIG,
            Error::Logging(_) => Code::IO,
            Error::Listen { .. } | Error::Stopped(_) => Code::LISTEN,
        }
    }
}
