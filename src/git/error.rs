//! What can go wrong with git, in the words and codes of the documentation.

use crate::finding::{Code, Finding, QUOTA_HINT};
use std::io::ErrorKind;
use std::path::PathBuf;

/// Why git could not do something. Remotes are named by their address, which never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The branch or tag is not there. Never to be read as "empty".
    #[error("{remote} has no {what}")]
    RefMissing {
        /// The remote.
        remote: String,
        /// The branch, tag or commit, as `branch main`.
        what: String,
    },
    /// The remote has no branch at all.
    #[error("{remote} is empty")]
    EmptyRepository {
        /// The remote.
        remote: String,
    },
    /// The remote is gone, or the way to it.
    #[error("cannot reach {remote}: {reason}")]
    Unreachable {
        /// The remote.
        remote: String,
        /// What was seen.
        reason: String,
    },
    /// The deadline passed.
    #[error("{remote} did not answer within {seconds} s")]
    Timeout {
        /// The remote.
        remote: String,
        /// The whole time that it had.
        seconds: u64,
    },
    /// The credentials are missing or were refused.
    #[error("{remote} refused the credentials: {reason}")]
    Auth {
        /// The remote.
        remote: String,
        /// What was seen.
        reason: String,
    },
    /// The remote is perhaps not the one that it says it is.
    #[error("the ssh host key of {remote} is not accepted: {reason}")]
    HostKey {
        /// The remote.
        remote: String,
        /// What was seen.
        reason: String,
    },
    /// The certificate is expired, of another name, or of an unknown authority.
    #[error("the certificate of {remote} is not accepted: {reason}")]
    Tls {
        /// The remote.
        remote: String,
        /// What was seen.
        reason: String,
    },
    /// The remote sends us elsewhere.
    #[error("{remote} redirects to {to}")]
    Redirect {
        /// The remote.
        remote: String,
        /// The other host, without user, path and query.
        to: String,
    },
    /// SHA-256 objects or reftable refs.
    #[error("{remote} cannot be read: {reason}")]
    ObjectFormat {
        /// The remote.
        remote: String,
        /// What was seen.
        reason: String,
    },
    /// The remote sends more than a config repository can hold.
    #[error("{remote} sends more than {limit} bytes")]
    TooBig {
        /// The remote.
        remote: String,
        /// The limit.
        limit: u64,
    },
    /// Objects are missing or damaged, here or in the remote.
    #[error("{what} is not complete: {reason}")]
    Incomplete {
        /// The commit, tree or repository.
        what: String,
        /// What was seen.
        reason: String,
    },
    /// An object is not as git makes it.
    #[error("{what} {reason}")]
    Hostile {
        /// The commit, or the path in it, safe to print.
        what: String,
        /// `E_FSCK`, `E_MODE` or `E_COMMIT`.
        code: Code,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A commit that was asked for by id is not in the mirror.
    #[error("there is no commit {id} in the mirror")]
    NoCommit {
        /// Its id.
        id: String,
    },
    /// A person's word for a commit means none, or more than one.
    #[error("`{text}` is not the beginning of one commit's id")]
    NotFound {
        /// What was written.
        text: String,
    },
    /// A person's word for a commit of a checkout means none, or more than one.
    #[error("`{text}` names no commit")]
    Unknown {
        /// What was written.
        text: String,
    },
    /// A commit carries signatures in a way that could be read in two ways.
    #[error("the signature of commit {id} cannot be judged: {reason}")]
    Signature {
        /// The commit.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The remote said no to a push, or has moved on. Pushing by force is never tried.
    #[error("{remote} refused the push to {reference}: {reason}")]
    PushRefused {
        /// The remote.
        remote: String,
        /// The ref that was pushed to.
        reference: String,
        /// What the remote said.
        reason: String,
    },
    /// The disk is full.
    #[error("{what}: no space left on the disk")]
    NoSpace {
        /// What was being done.
        what: String,
    },
    /// The file system lets this process's user write no more.
    #[error("{what}: a disk quota is exceeded")]
    Quota {
        /// What was being done.
        what: String,
    },
    /// The operating system refused an operation on the mirror.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// Anything else that libgit2 or git said.
    #[error("{what}: {reason}")]
    Git {
        /// What was being done, or with which remote.
        what: String,
        /// What it said.
        reason: String,
    },
}

impl Error {
    /// Returns the documented code.
    pub fn code(&self) -> Code {
        match self {
            Error::RefMissing { .. } => Code::REF_MISSING,
            Error::EmptyRepository { .. } => Code::EMPTY_REPO,
            Error::Unreachable { .. } => Code::FETCH_NET,
            Error::Timeout { .. } => Code::FETCH_TIMEOUT,
            Error::Auth { .. } => Code::AUTH,
            Error::HostKey { .. } => Code::HOSTKEY,
            Error::Tls { .. } => Code::TLS,
            Error::Redirect { .. } => Code::REDIRECT,
            Error::ObjectFormat { .. } => Code::OBJECT_FORMAT,
            Error::TooBig { .. } => Code::FETCH_TOO_BIG,
            Error::Hostile { code, .. } => *code,
            Error::Incomplete { .. } | Error::NoCommit { .. } => Code::INCOMPLETE,
            Error::NotFound { .. } | Error::Unknown { .. } => Code::NOT_FOUND,
            Error::Signature { .. } => Code::SIG_BAD,
            Error::PushRefused { .. } => Code::PUSH_REFUSED,
            Error::NoSpace { .. } => Code::NO_SPACE,
            Error::Quota { .. } => Code::QUOTA,
            Error::Io { source, .. } => match source.kind() {
                ErrorKind::StorageFull => Code::NO_SPACE,
                ErrorKind::QuotaExceeded => Code::QUOTA,
                _ => Code::IO,
            },
            Error::Git { .. } => Code::GIT,
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Error::RefMissing { .. } => "check the name, and that it was pushed",
            Error::EmptyRepository { .. } => "push the first commit",
            Error::Unreachable { .. } => "check the address and the network; it is tried again",
            Error::Timeout { .. } => "check the network and the remote's load; it is tried again",
            Error::Auth { .. } => "check `auth.ssh_key`, or the token in `auth.token_file` and its rights",
            Error::HostKey { .. } => {
                "compare the key with the one that the remote's operator publishes, and put it into `auth.known_hosts`"
            }
            Error::Tls { .. } => "check the name and date of the certificate; name its authority in `auth.ca_file`",
            Error::Redirect { .. } => "if that is right, write the new address into `url`",
            Error::ObjectFormat { .. } => "use a repository with SHA-1 objects and the `files` ref format",
            Error::Hostile { .. } => "git itself does not write this; see `git fsck`",
            Error::TooBig { .. } => "keep large files out of the config repository",
            Error::Incomplete { .. } => "nothing: the mirror is made anew; if it stays, run `git fsck` in the remote",
            Error::NoCommit { .. } => "check the id, or fetch first",
            Error::NotFound { .. } => "write at least four digits of the id, or more when it is not the only one",
            Error::Unknown { .. } => "write a branch, a tag, or an id of a commit that this clone has",
            Error::Signature { .. } => "sign the commit once",
            Error::PushRefused { .. } => "let the host's key push there, or set `rollback.push: branch` or `off`",
            Error::NoSpace { .. } => "make room",
            _ if self.code() == Code::QUOTA => QUOTA_HINT,
            Error::Quota { .. } | Error::Io { .. } | Error::Git { .. } => return None,
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

    /// Returns whether the mirror itself may be at fault, so that a new one is worth a try.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Error::Incomplete { .. })
    }
}

/// Words what libgit2 says, for a person and for a log: one line, without control characters.
pub(super) fn reason_of(error: &git2::Error) -> String {
    one_line(error.message().as_bytes())
}

/// Makes one printable line of what another program said; what it says last counts most.
pub(super) fn one_line(said: &[u8]) -> String {
    const LONGEST: usize = 400;
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.split(['\n', '\r']).map(str::trim).filter(|it| !it.is_empty()).collect();
    let joined: String = lines.join("; ").chars().map(|it| if it.is_control() { '?' } else { it }).collect();
    let n_over = joined.chars().count().saturating_sub(LONGEST);
    match n_over {
        0 => joined,
        _ => format!("…{}", joined.chars().skip(n_over).collect::<String>()),
    }
}

/// Judges the words for a file system that takes no more: libgit2 hands on no number.
pub(super) fn no_room(what: &str, reason: &str) -> Option<Error> {
    let what = what.to_owned();
    match reason {
        it if it.contains("No space left on device") => Some(Error::NoSpace { what }),
        it if it.contains("Disk quota exceeded") => Some(Error::Quota { what }),
        _ => None,
    }
}

/// Judges an error that a read of the mirror gave.
pub(super) fn of_read(what: &str, error: &git2::Error) -> Error {
    use git2::{ErrorClass, ErrorCode};
    let reason = reason_of(error);
    if let Some(error) = no_room(what, &reason) {
        return error;
    }
    let is_missing = error.code() == ErrorCode::NotFound;
    let is_broken = matches!(
        error.class(),
        ErrorClass::Odb
            | ErrorClass::Zlib
            | ErrorClass::Object
            | ErrorClass::Tree
            | ErrorClass::Tag
            | ErrorClass::Reference
            | ErrorClass::Os
    );
    match is_missing || is_broken {
        true => Error::Incomplete { what: what.to_owned(), reason },
        false => Error::Git { what: what.to_owned(), reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h13_a_quota_is_no_full_disk() {
        let errno = rustix::io::Errno::DQUOT.raw_os_error();
        let source = std::io::Error::from_raw_os_error(errno);
        let said = format!("failed to write: {source}");
        let judged = of_read("the pack", &git2::Error::from_str(&said));
        let io = Error::Io { path: "/mirror".into(), source };
        for error in [judged, io] {
            assert_eq!((error.code(), error.hint()), (Code::QUOTA, Some(QUOTA_HINT)), "{error}");
        }
        let full = of_read("the pack", &git2::Error::from_str("failed: No space left on device"));
        assert_eq!((full.code(), full.hint()), (Code::NO_SPACE, Some("make room")));
    }

    #[test]
    fn what_others_say_becomes_one_harmless_line() {
        assert_eq!(one_line(b"one\r\n\n  two\x1b[m\n\xff"), "one; two?[m; \u{fffd}");
        let long = one_line(format!("{}end", "x".repeat(1000)).as_bytes());
        assert!(long.starts_with('…') && long.ends_with("end") && long.chars().count() == 401);
    }
}
