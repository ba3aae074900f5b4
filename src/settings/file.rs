//! Files that a host trusts, and the surroundings of the process.

use super::Error;
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use rustix::fs::{FileType, Mode, OFlags};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a process knows besides its files.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// The variables of the environment.
    pub variables: BTreeMap<OsString, OsString>,
    /// The machine's name.
    pub host_name: String,
    /// The user that the process acts as.
    pub user: u32,
}

impl std::fmt::Debug for Surroundings {
    /// Leaves the values out: they may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("host_name", &self.host_name)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Surroundings {
    /// Returns those of this process.
    pub fn of_process() -> Self {
        Surroundings {
            variables: std::env::vars_os().collect(),
            host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            user: rustix::process::geteuid().as_raw(),
        }
    }

    /// Returns a variable of the environment that is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|it| !it.is_empty())
    }

    /// Returns the user's folder for what can be had again, where the XDG base directories have it.
    pub fn cache_dir(&self) -> Option<PathBuf> {
        let absolute = |name: &str| self.variable(name).map(PathBuf::from).filter(|it| it.is_absolute());
        absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))
    }

    /// Returns the file of certificates that OpenSSL, and much else, takes in place of its own.
    pub fn ca_file(&self) -> Option<PathBuf> {
        self.variable("SSL_CERT_FILE").map(PathBuf::from)
    }

    /// Returns the file of a systemd credential, the one for a repository before the one for all.
    pub(super) fn credential(&self, repository: &str, name: &str) -> Option<PathBuf> {
        let directory = Path::new(self.variable("CREDENTIALS_DIRECTORY")?);
        let names = [format!("{repository}.{name}"), name.to_owned()];
        names.into_iter().map(|it| directory.join(it)).find(|it| it.is_file())
    }

    fn credentials_directory(&self) -> Option<&Path> {
        self.variable("CREDENTIALS_DIRECTORY").map(Path::new)
    }
}

/// Reads a file that steers the agent, so that nobody but root and the agent's user may write it.
pub(super) fn read_steering(path: &Path, limit: usize, around: &Surroundings) -> Result<Vec<u8>, Finding> {
    read_checked(path, limit, |owner, mode| {
        if owner != 0 && owner != around.user {
            return Err((Code::CONFIG_MODE, "belongs to another user", "chown it to root"));
        }
        if mode & 0o022 != 0 {
            return Err((Code::CONFIG_MODE, "can be written by others", "take the right away: chmod go-w"));
        }
        Ok(())
    })
}

/// Reads a file that holds a secret key, so that nobody but root and the agent's user may read it.
pub(super) fn read_secret(path: &Path, limit: usize, around: &Surroundings) -> Result<Vec<u8>, Finding> {
    // What looks like the group's right on a systemd credential is the mask of an access list for the service's user.
    let is_credential = around.credentials_directory().is_some_and(|it| path.starts_with(it));
    let forbidden = if is_credential { 0o037 } else { 0o077 };
    read_checked(path, limit, |owner, mode| {
        if owner != 0 && owner != around.user {
            return Err((Code::KEY_MODE, "belongs to another user", "chown it to the agent's user"));
        }
        if mode & forbidden != 0 {
            return Err((Code::KEY_MODE, "can be read by others", "take the right away: chmod 600"));
        }
        Ok(())
    })
}

type Problem = (Code, &'static str, &'static str);

/// Judges the very file that is read, by its handle; never waits for a FIFO.
fn read_checked(
    path: &Path,
    limit: usize,
    judge: impl Fn(u32, u32) -> Result<(), Problem>,
) -> Result<Vec<u8>, Finding> {
    let at = Place::whole(&path.to_string_lossy());
    let failed = |error: std::io::Error| Finding::error(Code::CONFIG, format!("cannot be read: {error}")).at(&at);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let handle = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    let stat = rustix::fs::fstat(&handle).map_err(|error| failed(error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Finding::error(Code::CONFIG, "is not a regular file").at(&at));
    }
    judge(stat.st_uid, stat.st_mode & 0o7777)
        .map_err(|(code, what, hint)| Finding::error(code, format!("the file {what}")).at(&at).hint(hint))?;
    let mut bytes = Vec::new();
    let cap = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    File::from(handle).take(cap).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

impl From<Finding> for Error {
    fn from(finding: Finding) -> Self {
        let mut findings = Findings::new();
        findings.push(finding);
        Error { findings }
    }
}
