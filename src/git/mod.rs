//! The mirror of a config repository: fetch, read, push, notes.
//!
//! There is no checkout: commits and files are read from the object database of a bare repository, which is a cache of
//! the remote and heals by itself. Only the wanted ref is fetched, and always with its whole history: a shallow mirror
//! could neither tell a rewind from a missing commit nor revert at its boundary.

mod blame;
mod checkout;
mod error;
mod fetch;
mod history;
mod libgit2;
mod mirror;
mod notes;
mod push;
mod read;
#[cfg(test)]
mod tests;
mod transport;
mod verify;
mod worktree;

pub use blame::{Asked, Blamed};
pub use checkout::Checkout;
pub use error::Error;
pub use mirror::Mirror;
pub use read::GitTree;
pub use worktree::WorkTree;

use crate::revision::{ObjectId, RemoteUrl};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A repository elsewhere, and the way in.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Its address.
    pub url: RemoteUrl,
    /// What lets us in; every file named here is read anew at every call.
    pub auth: Credentials,
    /// The time that one call may take in all.
    pub deadline: Duration,
}

/// What a remote may want to see, as the names of files; it holds no secret itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// A private key for ssh; without it ssh's own configuration and agent decide.
    pub ssh_key: Option<PathBuf>,
    /// The only list of host keys that counts; without it ssh's own configuration decides.
    pub known_hosts: Option<PathBuf>,
    /// A file with a token or password for https.
    pub token_file: Option<PathBuf>,
    /// The user name that goes with the token; `x-access-token` when there is none, which the large forges accept.
    pub username: Option<String>,
    /// The certificates that an https server may be signed by, in place of the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// The variables of this process; `ssh` and `git` see `PATH`, `HOME` and `SSH_AUTH_SOCK` of them, and no others.
    pub environment: Vec<(String, OsString)>,
}

fn oid(id: &ObjectId) -> Result<git2::Oid, Error> {
    git2::Oid::from_str(id.as_str()).map_err(|_| Error::NoCommit { id: id.to_string() })
}

fn id(oid: git2::Oid) -> ObjectId {
    ObjectId::new(&oid.to_string())
}
