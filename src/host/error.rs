//! What the operating system, a target or an action can do to a deployment.

use crate::finding::{Code, Finding, QUOTA_HINT};
use rustix::io::Errno;

/// Why something on the host could not be done. Messages name paths, never contents.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("cannot {what} {path}: {}", reason(*errno))]
    Io {
        /// What was being done, as a verb: `open`, `rename`.
        what: &'static str,
        /// The path.
        path: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A folder on the way is a symbolic link.
    #[error("{path} is, or passes through, a symbolic link; name the real directory instead")]
    Symlink {
        /// The path.
        path: String,
    },
    /// Something else stands where a file or folder belongs.
    #[error("{path} is {found}; move it away, headfast does not replace it")]
    WrongType {
        /// The path.
        path: String,
        /// What is there.
        found: &'static str,
    },
    /// Another file system is mounted inside the target.
    #[error("{path} is on another file system than its target; make it a target of its own")]
    MountPoint {
        /// The path.
        path: String,
    },
    /// Someone else could exchange a directory on the way to a target.
    #[error("{path}, on the way to {target}, {why}; whoever can write there could lead the target elsewhere")]
    Parent {
        /// The directory.
        path: String,
        /// The target.
        target: String,
        /// Who else can write there.
        why: String,
    },
    /// A sensitive file would be written where others can write.
    #[error("{path} is to hold a sensitive file, but it {why}; take their right to write away, or declare the owner")]
    Shared {
        /// The directory.
        path: String,
        /// Who else can write there.
        why: String,
    },
    /// A flag keeps a file or folder from being changed.
    #[error("{path} is {flag}; chattr(1) takes that away")]
    Immutable {
        /// The path.
        path: String,
        /// `immutable` or `append-only`.
        flag: &'static str,
    },
    /// The file system cannot do what a deployment needs.
    #[error("the file system of {path} cannot be deployed to: {what}")]
    Unfit {
        /// The path.
        path: String,
        /// What it lacks.
        what: String,
    },
    /// The file system is another one than at the last deployment.
    #[error("{path} is on another file system than at its last deployment; is something not mounted?")]
    OtherFileSystem {
        /// The target.
        path: String,
    },
    /// There is no room for what will be written.
    #[error("{path} has no room for this deployment: {what}")]
    Full {
        /// A directory of the file system.
        path: String,
        /// What is needed and what is there.
        what: String,
    },
    /// A file's owner is one that this process may not give.
    #[error("{path} shall belong to {owner}, which this process may not set; run as root, or with CAP_CHOWN")]
    Powerless {
        /// The path.
        path: String,
        /// The user or group, by number.
        owner: String,
    },
    /// The host lacks an account.
    #[error("this host has no {kind} named {name:?}")]
    Account {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// Something changed between the plan and the switch.
    #[error("{path} changed while the deployment was being prepared; it will be looked at again")]
    Changed {
        /// The path.
        path: String,
    },
    /// What was written reads differently.
    #[error("{path} does not read back as it was written: {what}")]
    ReadBack {
        /// The path.
        path: String,
        /// What differs.
        what: String,
    },
    /// After a crash a path is neither old nor new.
    #[error("{path} is neither what it was nor what it was to become: {what}; nothing more was touched")]
    Conflict {
        /// The path.
        path: String,
        /// What is there.
        what: String,
    },
    /// The journal cannot be understood.
    #[error("the journal {path} cannot be used: {what}")]
    Journal {
        /// The journal's path.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// The journal is not of this transaction, host or version.
    #[error("the journal {path} {what}; nothing was touched")]
    Foreign {
        /// The journal's path.
        path: String,
        /// Whose it is.
        what: String,
    },
    /// Another agent works on the target.
    #[error("{holder} is at work in {path}")]
    Owned {
        /// The target's directory.
        path: String,
        /// Who has its lock.
        holder: String,
    },
    /// What the transaction process said.
    #[error("{message}")]
    Told {
        /// The documented code.
        code: Code,
        /// What went wrong.
        message: String,
    },
    /// The transaction process is not there, or talks nonsense.
    #[error("the transaction process failed: {what}")]
    Gone {
        /// What happened.
        what: String,
    },
    /// A target is published in one way, and shall be in the other.
    #[error("{path} is published {found}, and that cannot change to `{wanted}`; give the target another `path`")]
    Publish {
        /// The target's directory.
        path: String,
        /// How it is, for example `in place`.
        found: &'static str,
        /// How it shall be.
        wanted: &'static str,
    },
    /// An object of the revision cannot be read.
    #[error(transparent)]
    Read(#[from] crate::revision::ReadError),
}

/// Returns the kernel's answer; of an error that was made without one, the answer that its kind stands for.
fn errno_of(error: &std::io::Error) -> Errno {
    use std::io::ErrorKind;
    Errno::from_io_error(error).unwrap_or(match error.kind() {
        ErrorKind::StorageFull => Errno::NOSPC,
        ErrorKind::QuotaExceeded => Errno::DQUOT,
        _ => Errno::IO,
    })
}

fn reason(errno: Errno) -> String {
    std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string()
}

impl Error {
    /// Returns the documented code.
    pub fn code(&self) -> Code {
        match self {
            Error::Io { errno, what, .. } => match *errno {
                Errno::NOSPC => Code::NO_SPACE,
                Errno::DQUOT => Code::QUOTA,
                Errno::ROFS => Code::TARGET_READONLY,
                Errno::PERM if matches!(*what, "change the owner of" | "set the file capability of") => Code::CAP,
                _ => Code::IO,
            },
            Error::Symlink { .. } => Code::TARGET_SYMLINK,
            Error::WrongType { .. } => Code::TARGET_TYPE,
            Error::MountPoint { .. } => Code::XDEV,
            Error::Parent { .. } => Code::TARGET_PARENT,
            Error::Shared { .. } => Code::TARGET_WRITABLE,
            Error::Immutable { .. } => Code::IMMUTABLE,
            Error::Unfit { .. } => Code::FS_UNFIT,
            Error::OtherFileSystem { .. } => Code::TARGET_DEVICE,
            Error::Full { .. } => Code::NO_SPACE,
            Error::Powerless { .. } => Code::CAP,
            Error::Account { .. } => Code::OWNER,
            Error::Changed { .. } => Code::TARGET_CHANGED,
            Error::ReadBack { .. } => Code::READ_BACK,
            Error::Conflict { .. } => Code::RECOVERY_CONFLICT,
            Error::Journal { .. } => Code::JOURNAL,
            Error::Foreign { .. } => Code::JOURNAL_FOREIGN,
            Error::Owned { .. } => Code::TARGET_OWNED,
            Error::Told { code, .. } => *code,
            Error::Gone { .. } => Code::TRANSACTION,
            Error::Publish { .. } => Code::PUBLISH,
            Error::Read(_) => Code::INCOMPLETE,
        }
    }

    /// Returns the error as a finding, with what to do about it where the message does not say so.
    pub fn to_finding(&self) -> Finding {
        let finding = Finding::error(self.code(), self.to_string());
        if finding.code == Code::QUOTA { finding.hint(QUOTA_HINT) } else { finding }
    }

    /// Returns the error for a failed system call on `path`.
    pub fn io(what: &'static str, path: impl Into<String>) -> impl FnOnce(Errno) -> Error {
        let path = path.into();
        move |errno| Error::Io { what, path, errno }
    }

    /// Returns the error for a failed standard library call on `path`.
    pub fn std(what: &'static str, path: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |error| Error::Io { what, path, errno: errno_of(&error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h13_a_quota_is_no_full_disk_and_says_whose_it_is() {
        let path = "/srv/app/a";
        let quota = std::io::Error::from(std::io::ErrorKind::QuotaExceeded);
        let raw = std::io::Error::from_raw_os_error(Errno::DQUOT.raw_os_error());
        for error in [Error::io("write", path)(Errno::DQUOT), Error::std("write", path)(raw)] {
            let told = Error::Told { code: error.code(), message: error.to_string() };
            assert_eq!(error.to_finding().hint.as_deref(), Some(QUOTA_HINT));
            assert_eq!(told.to_finding(), error.to_finding(), "also when another process says so");
        }
        assert_eq!(Error::std("write", path)(quota).code(), Code::QUOTA, "one that was made without a number");
        let full = Error::io("write", path)(Errno::NOSPC);
        assert_eq!((full.code(), full.to_finding().hint), (Code::NO_SPACE, None));
    }
}
