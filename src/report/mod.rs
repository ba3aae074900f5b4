//! Forges and notes: what to say is pure, sending it is not.
//!
//! [`say`] turns a deployment or its drift into a [`Status`], [`Delivery`] is a status on its way to one place and is what
//! the outbox holds, [`drain`] decides what becomes of each item, and [`GithubSender`] alone touches the network. Notes are
//! sent by whoever has the git mirror.

mod delivery;
mod drain;
mod github;
pub mod say;
#[cfg(test)]
mod tests;
mod text;

pub use delivery::{Delivery, note};
pub use drain::{Decision, MOST_POSTS, Queued, drain};
pub use github::{GithubSender, Outcome, owner_and_repository};
pub use text::{MOST_CHARACTERS, context};

use crate::finding::Code;
use crate::revision::ObjectId;
use serde::{Deserialize, Serialize};

/// What is said about a commit in one context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The commit.
    pub commit: ObjectId,
    /// Who says it about what: `headfast/<environment>/<host>`, and `/drift`.
    pub context: String,
    /// Good or bad.
    pub state: State,
    /// At most 140 characters that start with what a person needs.
    pub description: String,
}

/// The states that all forges know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is not decided yet.
    Pending,
    /// All is as the commit says.
    Success,
    /// The commit is to blame.
    Failure,
    /// The host is to blame.
    Error,
}

impl State {
    /// Returns the state's name as GitHub has it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Success => "success",
            State::Failure => "failure",
            State::Error => "error",
        }
    }

    /// Returns whether someone should look.
    pub fn is_problem(self) -> bool {
        matches!(self, State::Failure | State::Error)
    }
}

/// Which statuses go to a forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Each of them.
    All,
    /// Failures and errors, and the success that takes one back.
    Problems,
}

impl Filter {
    /// Returns whether `state` is to be posted where `last` was said before, in the same context of the same commit.
    pub fn lets(self, state: State, last: Option<State>) -> bool {
        match self {
            Filter::All => true,
            Filter::Problems => state.is_problem() || last.is_some_and(|it| it != state && it.is_problem()),
        }
    }
}

/// What differs between what is live and what was deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftSummary {
    /// The commit that is deployed.
    pub commit: ObjectId,
    /// The environment.
    pub environment: String,
    /// Files with another content.
    pub modified: u64,
    /// Files that are gone.
    pub missing: u64,
    /// Files that should not be there.
    pub extra: u64,
    /// Files with another mode.
    pub mode: u64,
    /// Files with another owner or group.
    pub owner: u64,
    /// Links or folders where files belong, and the like.
    pub kind: u64,
    /// Whether all of it was put right again.
    pub healed: bool,
}

impl DriftSummary {
    /// Returns a summary without drift.
    pub fn none(commit: ObjectId, environment: &str) -> Self {
        let environment = environment.to_owned();
        DriftSummary {
            commit,
            environment,
            modified: 0,
            missing: 0,
            extra: 0,
            mode: 0,
            owner: 0,
            kind: 0,
            healed: false,
        }
    }

    /// Returns the number of differences.
    pub fn count(&self) -> u64 {
        [self.modified, self.missing, self.extra, self.mode, self.owner, self.kind].iter().sum()
    }
}

/// Why nothing could be reported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What waits in the outbox cannot be read.
    #[error("an item of the outbox cannot be read: {0}")]
    Payload(String),
    /// The remote is not a repository of a forge.
    #[error("cannot tell owner and repository from {0}")]
    NotAForge(String),
}

impl Error {
    /// Returns the documented code.
    pub fn code(&self) -> Code {
        Code::STATUS
    }
}
