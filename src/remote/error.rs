//! Why a remote layer cannot be had.

use crate::finding::{Code, Finding, QUOTA_HINT};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Why a remote layer cannot be had. Addresses hold no secrets.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// It is not in the cache, and no server may be asked.
    #[error("{url} is not in the cache, and no server may be asked")]
    Offline {
        /// The address.
        url: String,
    },
    /// The server did not give it.
    #[error("cannot fetch {url}: {reason}")]
    Refused {
        /// The address.
        url: String,
        /// What was seen.
        reason: String,
    },
    /// The server is not there, or the way to it.
    #[error("cannot fetch {url}: {reason}")]
    Unreachable {
        /// The address.
        url: String,
        /// What was seen.
        reason: String,
    },
    /// The deadline passed.
    #[error("cannot fetch {url}: it was not there within {}", seconds(.deadline))]
    Timeout {
        /// The address.
        url: String,
        /// The whole time that it had.
        deadline: Duration,
    },
    /// The certificate is expired, of another name, or of an unknown authority.
    #[error("cannot fetch {url}: the server's certificate is not accepted: {reason}")]
    Tls {
        /// The address.
        url: String,
        /// What was seen.
        reason: String,
    },
    /// The server sends us elsewhere.
    #[error("cannot fetch {url}: it redirects to {to}")]
    Redirect {
        /// The address.
        url: String,
        /// The other address, without user and query.
        to: String,
    },
    /// The server sends more than a layer may have.
    #[error("cannot fetch {url}: it has more than {limit} bytes")]
    TooBig {
        /// The address.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// The file cannot be kept.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
}

impl Error {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source: Arc::new(source) }
    }

    /// Returns the documented code.
    pub fn code(&self) -> Code {
        match self {
            Error::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull => Code::NO_SPACE,
                io::ErrorKind::QuotaExceeded => Code::QUOTA,
                _ => Code::IO,
            },
            _ => Code::REMOTE_FETCH,
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Error::Offline { .. } => "fetch it once without `--offline`; on a host, `headfast sync` does",
            Error::Refused { .. } => "check the address, and that the server gives the file without credentials",
            Error::Unreachable { .. } | Error::Timeout { .. } => {
                "check the address, the network and the server; what was fetched once needs no server"
            }
            Error::Tls { .. } => {
                "check the name and date of the certificate; name its authority in `auth.ca_file` of agent.yaml, or for a \
                 checkout in SSL_CERT_FILE"
            }
            Error::Redirect { .. } => {
                "redirects are not followed: if that is right, write the new address into the manifest"
            }
            Error::TooBig { .. } => "keep what is no configuration out of the file, or split it into several layers",
            Error::Io { .. } if self.code() == Code::QUOTA => QUOTA_HINT,
            Error::Io { .. } => return None,
        })
    }

    /// Returns the error as a finding.
    pub fn to_finding(&self) -> Finding {
        let finding = Finding::error(self.code(), self.to_string());
        match self.hint() {
            Some(hint) => finding.hint(hint),
            None => finding,
        }
    }

    /// Returns whether every other file of the same server would fail in the same way.
    pub(super) fn is_of_server(&self) -> bool {
        matches!(self, Error::Unreachable { .. } | Error::Timeout { .. } | Error::Tls { .. })
    }

    /// Returns the same error for another file of the same server, which was not asked for again.
    pub(super) fn about(&self, address: &str) -> Error {
        let mut error = self.clone();
        match &mut error {
            Error::Offline { url }
            | Error::Refused { url, .. }
            | Error::Unreachable { url, .. }
            | Error::Timeout { url, .. }
            | Error::Tls { url, .. }
            | Error::Redirect { url, .. }
            | Error::TooBig { url, .. } => address.clone_into(url),
            Error::Io { .. } => {}
        }
        error
    }
}

/// Returns a duration as people say it.
fn seconds(deadline: &Duration) -> String {
    format!("{} s", deadline.as_secs_f64())
}
