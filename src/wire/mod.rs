//! The JSON we promise.
//!
//! Other programs rely on these shapes (DESIGN.md section 9), so they are types of their own: the core may change its types
//! without changing what is printed. A field may be added; none is renamed or removed within one `version`.

mod check;
mod files;
mod fsck;
mod kept;
mod policy;
mod values;
mod why;
mod why_not;

pub use check::{Base, Change, ChangedFile, ChangedKey, Check, Finding, Reload};
pub use files::{DiffEntry, Diffs, RenderedFile, Rendering};
pub use fsck::{Fsck, FsckProblem};
pub use kept::{KeptFile, KeptFiles};
pub use policy::{PolicyTest, PolicyTests};
pub use values::{ConfigurationSet, ConfigurationValue};
pub use why::{LastChange, Origin, Why, WhyPlace, WhyReference, WhySource, WhyUses, WhyValue};
pub use why_not::{WhyNot, WhyNots};

use crate::{plan, record};
use serde::{Deserialize, Serialize};

/// The version that every document carries.
pub const VERSION: u32 = 1;

/// What `status` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The version of the shape.
    pub version: u32,
    /// The host's name.
    pub host: String,
    /// The repositories in the order of agent.yaml.
    pub repositories: Vec<Repository>,
}

/// How one repository stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repository {
    /// Its name in agent.yaml.
    pub name: String,
    /// The environment that it deploys here.
    pub environment: String,
    /// The commit that the remote had last, when one was ever fetched.
    pub head: Option<String>,
    /// The commit that is deployed.
    pub revision: Option<String>,
    /// All of it in one word.
    pub state: State,
    /// What differs from what was deployed.
    pub drift: DriftCount,
    /// Why and until when deployments are held back; null when they are not.
    pub suspended: Option<Suspension>,
    /// The newest deployment.
    pub last_deployment: Option<Deployment>,
}

/// How a repository stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The newest commit is live, and nothing drifted.
    InSync,
    /// A newer commit waits for its deployment.
    Pending,
    /// The newest commit could not be deployed.
    Failed,
    /// The newest commit was rolled back and is not tried again.
    Quarantined,
    /// The newest commit is live, but files differ from it.
    Drifted,
    /// The remote has not answered for long.
    Stale,
}

/// How many differences the last scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftCount {
    /// The number.
    pub count: u64,
}

/// Why and until when deployments are held back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// The reason that was given.
    pub reason: String,
    /// When it ends by itself, RFC 3339 in UTC; null when someone has to end it.
    pub until: Option<String>,
    /// Who ordered it.
    pub author: String,
    /// When it was ordered, RFC 3339 in UTC.
    pub since: String,
}

/// What `history` and `show` print.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployments {
    /// The version of the shape.
    pub version: u32,
    /// The deployments, the newest first.
    pub deployments: Vec<Deployment>,
}

/// One deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its number.
    pub id: i64,
    /// The repository's name in agent.yaml.
    pub repository: String,
    /// The environment.
    pub environment: String,
    /// The commit.
    pub revision: String,
    /// `pending`, `in_progress`, `success`, `failed`, `rolled_back`, `refused`, `superseded` or `unchanged`.
    pub status: String,
    /// The phase that it reached.
    pub phase: String,
    /// What started it.
    pub trigger: String,
    /// When it began, RFC 3339 in UTC.
    pub started_at: String,
    /// When it ended.
    pub finished_at: Option<String>,
    /// What it changed.
    pub changes: record::Changes,
    /// Why it did not succeed.
    pub error: Option<record::Failure>,
    /// The rendering's digest; `show` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The deployment that was live before it; `show` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<i64>,
    /// Which values of the configurations it changed, with secrets redacted; `show` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<record::KeyChanges>,
    /// What was kept before it was overwritten; `show` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Vec<record::Kept>>,
    /// The output of its actions; `show` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Vec<String>>,
}

/// What `plan` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of the shape.
    pub version: u32,
    /// What would change in the targets, in order.
    pub operations: Vec<Operation>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The target's name.
    pub target: String,
    /// The path in the target.
    pub path: String,
    /// `create`, `replace`, `remove` or `metadata`.
    pub action: String,
}

/// What `drift` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// The version of the shape.
    pub version: u32,
    /// The differences between what is live and what was deployed.
    pub drift: Vec<DriftEntry>,
}

/// One difference between what is live and what was deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftEntry {
    /// The target's name.
    pub target: String,
    /// The path in the target.
    pub path: String,
    /// What differs.
    pub kind: DriftKind,
    /// Whether the file holds something that was encrypted, so that its content is not shown.
    pub sensitive: bool,
    /// The difference as a unified diff, where there is one to show.
    pub diff: Option<String>,
}

/// What differs at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// The content.
    Modified,
    /// The file is gone.
    Missing,
    /// A file that should not be there.
    Extra,
    /// The permission bits.
    Mode,
    /// The owner or the group.
    Owner,
    /// Something else than a file, or than a link.
    Type,
}

impl DriftKind {
    /// Returns the kind's name as the JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            DriftKind::Modified => "modified",
            DriftKind::Missing => "missing",
            DriftKind::Extra => "extra",
            DriftKind::Mode => "mode",
            DriftKind::Owner => "owner",
            DriftKind::Type => "type",
        }
    }
}

impl Status {
    /// Returns the document for `repositories`.
    pub fn new(host: &str, repositories: Vec<Repository>) -> Self {
        Status { version: VERSION, host: host.to_owned(), repositories }
    }
}

impl Deployments {
    /// Returns the document for `history`.
    pub fn history(deployments: &[record::Deployment]) -> Self {
        Deployments { version: VERSION, deployments: deployments.iter().map(Deployment::brief).collect() }
    }

    /// Returns the document for `show`.
    pub fn show(deployment: &record::Deployment) -> Self {
        Deployments { version: VERSION, deployments: vec![Deployment::detailed(deployment)] }
    }
}

impl Deployment {
    /// Returns what `history` and `status` print of a deployment.
    pub fn brief(it: &record::Deployment) -> Self {
        Deployment {
            id: it.id,
            repository: it.repository.clone(),
            environment: it.environment.clone(),
            revision: it.revision.to_string(),
            status: it.status.as_str().to_owned(),
            phase: it.phase.as_str().to_owned(),
            trigger: it.trigger.as_str().to_owned(),
            started_at: it.started_at.clone(),
            finished_at: it.finished_at.clone(),
            changes: it.changes,
            error: it.error.clone(),
            digest: None,
            previous: None,
            keys: None,
            kept: None,
            log: None,
        }
    }

    /// Returns what `show` prints of a deployment.
    pub fn detailed(it: &record::Deployment) -> Self {
        Deployment {
            digest: it.digest.as_ref().map(|it| it.0.clone()),
            previous: it.previous,
            keys: Some(it.keys.clone()),
            kept: Some(it.kept.clone()),
            log: Some(it.log.clone()),
            ..Deployment::brief(it)
        }
    }
}

impl From<&plan::Plan> for Plan {
    fn from(plan: &plan::Plan) -> Self {
        let operation = |it: &plan::Operation| Operation {
            target: it.target.clone(),
            path: it.at.path.to_string(),
            action: it.action.as_str().to_owned(),
        };
        Plan { version: VERSION, operations: plan.writes().map(operation).collect() }
    }
}

impl Drift {
    /// Returns the document for what a scan found.
    pub fn new(drift: Vec<DriftEntry>) -> Self {
        Drift { version: VERSION, drift }
    }
}

#[cfg(test)]
mod tests;
