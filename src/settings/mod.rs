//! `agent.yaml` and the environment → settings.
//!
//! The file is the trust boundary of a host: it says from whom, where and with which powers. So everything in it is read
//! strictly, and what this version cannot do is refused rather than passed over. Here and in `cli` alone is the
//! process's environment read.

mod age;
mod file;
mod judge;
mod read;
mod repository;
#[cfg(test)]
mod tests;

pub use age::AgeSources;
pub use file::Surroundings;

use crate::document::Node;
use crate::finding::{Code, Finding, Findings};
use crate::manifest::{DriftMode, Facts};
use crate::place::Place;
use crate::revision::{ObjectId, RemoteUrl};
use crate::schedule::{Cron, Window};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where agent.yaml lies on an installed host.
pub const DEFAULT_PATH: &str = "/etc/headfast/agent.yaml";

/// The most bytes that a list of signers may have.
const SIGNERS_MAX_BYTES: usize = 1 << 20;

/// Why the settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", summary(findings))]
pub struct Error {
    /// Everything that is wrong, with places and lines.
    pub findings: Findings,
}

impl Error {
    /// Returns the code of the first error.
    pub fn code(&self) -> Code {
        self.findings.iter().next().map_or(Code::CONFIG, |it| it.code)
    }
}

fn summary(findings: &Findings) -> String {
    let Some(first) = findings.iter().next() else { return "the settings cannot be used".to_owned() };
    let place = first.place.as_ref().map(|it| format!("{it}: ")).unwrap_or_default();
    match findings.n_errors() {
        0 | 1 => format!("{place}{}", first.message),
        n_errors => format!("{place}{} (and {} more)", first.message, n_errors - 1),
    }
}

/// What the host allows and wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The host's name.
    pub host: String,
    /// The host's labels.
    pub labels: BTreeMap<String, String>,
    /// The directory of the database, the journal, kept files and mirrors.
    pub state_dir: PathBuf,
    /// The repositories that are deployed here.
    pub repositories: Vec<Repository>,
    /// What is listened on.
    pub listen: Listen,
    /// What is logged, as `tracing` filters are written.
    pub log: String,
    /// The absolute path of the file that these settings come from.
    pub path: PathBuf,
}

impl Settings {
    /// Reads the settings from a file and this process's surroundings.
    pub fn load(path: &Path) -> Result<Settings, Error> {
        load(path)
    }

    /// Returns the repository with a name.
    pub fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.iter().find(|it| it.name == name)
    }

    /// Returns what the host declares about itself to a repository.
    pub fn facts(&self, repository: &Repository) -> Facts {
        Facts {
            host: self.host.clone(),
            labels: self.labels.clone(),
            environment: repository.environment.clone(),
            variables: repository.variables.clone(),
        }
    }
}

/// Reads the settings from a file and this process's surroundings.
pub fn load(path: &Path) -> Result<Settings, Error> {
    read::load(path, &Surroundings::of_process())
}

/// Returns what of this process's environment the programs may see that git needs for transports.
pub fn transport_environment() -> Vec<(String, OsString)> {
    let around = Surroundings::of_process();
    let known = ["PATH", "HOME", "SSH_AUTH_SOCK"].into_iter();
    known.filter_map(|name| Some((name.to_owned(), around.variable(name)?.to_owned()))).collect()
}

impl Verify {
    /// Reads the list of signers and returns its name and text; nobody but root and the agent's user may write it.
    pub fn read(&self) -> Result<(Arc<str>, String), Error> {
        let path = self.allowed_signers.as_deref().unwrap_or(Path::new(""));
        let name = path.to_string_lossy();
        let read = file::read_steering(path, SIGNERS_MAX_BYTES, &Surroundings::of_process()).and_then(|bytes| {
            let encoding =
                || Finding::error(Code::ENCODING, "the list of signers is not UTF-8").at(&Place::whole(&name));
            String::from_utf8(bytes).map_err(|_| encoding())
        });
        match read {
            Ok(text) => Ok((Arc::from(name.as_ref()), text)),
            Err(finding) => Err(Error { findings: [finding].into_iter().collect() }),
        }
    }
}

/// What is listened on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
}

/// A config repository and what it may do here.
#[derive(Clone, Debug, PartialEq)]
pub struct Repository {
    /// Its name on this host.
    pub name: String,
    /// Where it is.
    pub url: RemoteUrl,
    /// Which of its commits are deployed.
    pub wanted: Wanted,
    /// The environment that this host belongs to.
    pub environment: String,
    /// The host's own variables, those of `env_file` included.
    pub variables: BTreeMap<String, String>,
    /// The file of further variables, which have been read into `variables`.
    pub env_file: Option<PathBuf>,
    /// What lets us in.
    pub auth: Auth,
    /// How often the remote is asked; `None` means never.
    pub poll: Option<Duration>,
    /// What happens when the branch no longer contains what is deployed.
    pub rewind: Rewind,
    /// Which commits must be signed.
    pub verify: Verify,
    /// What the repository may touch; `None` when nothing was said, and then it may touch nothing.
    pub allow: Option<Allow>,
    /// Where the identities are that open SOPS files.
    pub age: AgeSources,
    /// What happens to files that a first deployment finds in its way.
    pub existing: Existing,
    /// What is done about drift.
    pub drift: DriftSettings,
    /// When deployments may start; always when empty.
    pub windows: Vec<Window>,
    /// What happens when a deployment fails.
    pub rollback: RollbackSettings,
    /// Where statuses are posted.
    pub status: Vec<StatusTarget>,
    /// The targets of a repository that has no headfast.yaml, for [`crate::manifest::load_targets`].
    pub targets: Option<Node>,
}

/// Which commits of a repository are deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The tip of a branch.
    Branch(String),
    /// The newest tag that matches a glob or a semver requirement.
    Tag(String),
    /// One commit.
    Commit(ObjectId),
}

/// What lets us in to a remote: names of files, which are read anew at every fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// A private key for ssh.
    pub ssh_key: Option<PathBuf>,
    /// The list of host keys that counts.
    pub known_hosts: Option<PathBuf>,
    /// A file with a token or password for https.
    pub token_file: Option<PathBuf>,
    /// The user name that goes with the token.
    pub username: Option<String>,
    /// The certificates that an https server may be signed by.
    pub ca_file: Option<PathBuf>,
}

/// What happens when the branch no longer contains what is deployed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rewind {
    /// Nothing is deployed until a person says so.
    #[default]
    Refuse,
    /// The branch is followed.
    Follow,
}

/// Which commits must be signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verify {
    /// Which.
    pub mode: VerifyMode,
    /// The signers, in the format of OpenSSH; always present unless the mode is off.
    pub allowed_signers: Option<PathBuf>,
}

/// Which commits must be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyMode {
    /// None.
    #[default]
    Off,
    /// The one that is deployed.
    Tip,
    /// Every commit since the last deployed one.
    Range,
}

/// What a repository may touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// Directories, absolute, for targets to be or to lie in.
    pub paths: Vec<String>,
    /// Units that may be reloaded and probed.
    pub units: Vec<String>,
    /// Programs, by absolute path, for checks, reloads and probes.
    pub commands: Vec<String>,
    /// Users and groups that files may belong to.
    pub users: Vec<String>,
    /// The beginnings of the addresses that remote layers may have, as [`crate::manifest::remote_prefix`] makes them.
    pub remotes: Vec<String>,
}

/// What happens to files that a first deployment finds in its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// They are kept aside before they are replaced.
    #[default]
    Keep,
    /// The deployment is refused.
    Refuse,
}

/// What is done about drift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftSettings {
    /// The most that is done.
    pub mode: DriftMode,
    /// When everything is compared; it knows its time zone.
    pub scan: Option<Cron>,
}

/// What happens when a deployment fails after the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollbackSettings {
    /// Whether the previous files are put back at once.
    pub automatic: bool,
    /// Where the revert commit goes.
    pub push: Push,
    /// The longest range of commits that is reverted directly.
    pub max_commits: u32,
}

/// Where a revert commit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// To the deployed branch.
    Direct,
    /// To a branch of its own.
    Branch,
    /// Nowhere.
    Off,
}

/// A place where statuses are posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusTarget {
    /// The kind of place.
    pub provider: Provider,
    /// The file with the forge's token.
    pub token_file: Option<PathBuf>,
    /// What is posted.
    pub post: Post,
    /// The address of the forge's API, when it is not the public one.
    pub api_url: Option<String>,
}

/// A kind of place where statuses are posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// GitHub's commit statuses.
    Github,
    /// Git notes in the repository itself.
    Notes,
}

impl Provider {
    /// The name of GitHub in agent.yaml and in the outbox.
    pub const GITHUB: &'static str = "github";
}

/// What is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Post {
    /// Every change.
    All,
    /// What went wrong, and that it is mended.
    Problems,
}
