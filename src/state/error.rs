use crate::finding::{Code, Finding, QUOTA_HINT};
use std::io;
use std::path::{Path, PathBuf};

/// Why the state cannot be used, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it.
    #[error("the state in {} is held by {holder}", dir.display())]
    Locked {
        /// The state directory.
        dir: PathBuf,
        /// The holder's pid and verb, as far as they are known.
        holder: String,
    },
    /// A newer headfast wrote it.
    #[error(
        "the state in {} has format {found} and this headfast knows only {known}; nothing was touched, install the newer version again",
        dir.display()
    )]
    Newer {
        /// The state directory.
        dir: PathBuf,
        /// The format that was found.
        found: i64,
        /// The newest format that this version knows.
        known: i64,
    },
    /// An older headfast wrote it, and this opener may only read.
    #[error(
        "the state in {} has format {found} and must be brought to {known} first; run `headfast sync` or restart the agent",
        dir.display()
    )]
    Older {
        /// The state directory.
        dir: PathBuf,
        /// The format that was found.
        found: i64,
        /// The format that this version reads.
        known: i64,
    },
    /// Its directory is not private.
    #[error("{} {problem}; {cure}", dir.display())]
    Mode {
        /// The state directory.
        dir: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        cure: String,
    },
    /// A file of it is not what was written.
    #[error("{} is damaged: {reason}; {cure}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        cure: String,
    },
    /// The database refuses an operation.
    #[error("cannot use {}: {reason}; look at the file system and at the rights and types of `{}*`", path.display(), path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// The cause, as SQLite says it.
        reason: String,
    },
    /// The operating system refuses an operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file system is full.
    #[error("cannot write {}: the disk is full", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The file system lets this process's user write no more.
    #[error("cannot write {}: a disk quota is exceeded", path.display())]
    Quota {
        /// The file.
        path: PathBuf,
    },
    /// There is no such record.
    #[error("there is no {what}")]
    NotFound {
        /// What was asked for.
        what: String,
    },
}

impl Error {
    /// Returns the documented code.
    pub fn code(&self) -> Code {
        match self {
            Error::Locked { .. } => Code::LOCKED,
            Error::Newer { .. } => Code::STATE_NEWER,
            Error::Mode { .. } => Code::STATE_MODE,
            Error::Full { .. } => Code::NO_SPACE,
            Error::Quota { .. } => Code::QUOTA,
            Error::NotFound { .. } => Code::NOT_FOUND,
            Error::Older { .. } | Error::Damaged { .. } | Error::Database { .. } | Error::Io { .. } => Code::STATE,
        }
    }

    /// Returns the error as a finding, with what to do about it where the message does not say so.
    pub fn to_finding(&self) -> Finding {
        let finding = Finding::error(self.code(), self.to_string());
        if finding.code == Code::QUOTA { finding.hint(QUOTA_HINT) } else { finding }
    }

    /// Returns a function that wraps an operating-system error of `action` on `path`.
    pub(super) fn io<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Error {
        let path = path.to_owned();
        move |source| match source.into() {
            it if it.kind() == io::ErrorKind::StorageFull => Error::Full { path },
            it if it.kind() == io::ErrorKind::QuotaExceeded => Error::Quota { path },
            source => Error::Io { action, path, source },
        }
    }

    /// Returns a function that wraps an error of SQLite on the database at `path`.
    pub(super) fn sql(path: &Path) -> impl Fn(rusqlite::Error) -> Error {
        use rusqlite::ErrorCode;
        let path = path.to_owned();
        move |error| {
            let (path, reason) = (path.clone(), error.to_string());
            match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::Utf8Error(..) => Error::damaged_database(&path, reason),
                _ => match error.sqlite_error_code() {
                    Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                        Error::damaged_database(&path, reason)
                    }
                    Some(ErrorCode::DiskFull) => Error::Full { path },
                    _ => Error::Database { path, reason },
                },
            }
        }
    }

    /// Returns the error for a database that cannot be read, whose cure costs only the history.
    pub(super) fn damaged_database(path: &Path, reason: impl Into<String>) -> Error {
        let cure = format!(
            "move `{}*` out of the way and run again: deployed files stay and are adopted, the history, suspensions and \
             quarantine are forgotten",
            path.display()
        );
        Error::Damaged { path: path.to_owned(), reason: reason.into(), cure }
    }
}
