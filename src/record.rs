//! What is remembered of a deployment: its phases, its status, what it changed.

use crate::render::Digest;
use crate::revision::ObjectId;
use serde::{Deserialize, Serialize};

/// The steps that a deployment walks through (DESIGN.md section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The remote is asked for its tip.
    Fetch,
    /// Signatures and history are judged.
    Verify,
    /// The manifest and the layers are read.
    Load,
    /// Documents are brought to the environment's schema version.
    Migrate,
    /// Layers become configurations.
    Merge,
    /// Configurations are held against their schemas.
    Validate,
    /// Policies are asked.
    Police,
    /// Files are made.
    Render,
    /// Operations are worked out.
    Plan,
    /// New files are written beside the live ones.
    Stage,
    /// Commands may veto.
    Check,
    /// Names are changed; the only phase that does.
    Switch,
    /// Programs are told.
    Reload,
    /// The result is tried.
    Probe,
    /// The outcome is written down.
    Record,
    /// The outcome is posted.
    Report,
}

impl Phase {
    /// Returns the phase's name as DESIGN.md has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Fetch => "fetch",
            Phase::Verify => "verify",
            Phase::Load => "load",
            Phase::Migrate => "migrate",
            Phase::Merge => "merge",
            Phase::Validate => "validate",
            Phase::Police => "police",
            Phase::Render => "render",
            Phase::Plan => "plan",
            Phase::Stage => "stage",
            Phase::Check => "check",
            Phase::Switch => "switch",
            Phase::Reload => "reload",
            Phase::Probe => "probe",
            Phase::Record => "record",
            Phase::Report => "report",
        }
    }
}

/// How a deployment stands, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentStatus {
    /// It waits for a window, or for a suspension to end.
    Pending,
    /// It has begun and its probes have not passed yet.
    InProgress,
    /// The revision is live and its probes passed.
    Success,
    /// The host, git or the network got in the way.
    Failed,
    /// A reload or probe failed and the previous files were put back.
    RolledBack,
    /// A gate said no; nothing was written.
    Refused,
    /// It waited, and a newer commit, or another deployment of this one, came first; nothing was written.
    Superseded,
    /// The rendering is the one that is live already; nothing was written.
    Unchanged,
}

impl DeploymentStatus {
    /// Returns the status's name as the JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            DeploymentStatus::Pending => "pending",
            DeploymentStatus::InProgress => "in_progress",
            DeploymentStatus::Success => "success",
            DeploymentStatus::Failed => "failed",
            DeploymentStatus::RolledBack => "rolled_back",
            DeploymentStatus::Refused => "refused",
            DeploymentStatus::Superseded => "superseded",
            DeploymentStatus::Unchanged => "unchanged",
        }
    }

    /// Returns whether the revision became what is deployed.
    pub fn is_live(self) -> bool {
        matches!(self, DeploymentStatus::Success | DeploymentStatus::Unchanged)
    }
}

/// What started a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Someone ran `headfast sync`.
    Manual,
    /// The agent polled.
    Poll,
    /// A push to a local repository was seen.
    Push,
    /// A forge called.
    Webhook,
    /// Drift is being healed.
    Heal,
    /// Someone ran `headfast rollback`.
    Rollback,
    /// Someone ran `headfast kept restore`.
    Restore,
    /// Someone ran `headfast retry`.
    Retry,
    /// A deployment that was cut short is being finished.
    Recovery,
}

impl Trigger {
    /// Returns the trigger's name as the JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::Manual => "manual",
            Trigger::Poll => "poll",
            Trigger::Push => "push",
            Trigger::Webhook => "webhook",
            Trigger::Heal => "heal",
            Trigger::Rollback => "rollback",
            Trigger::Restore => "restore",
            Trigger::Retry => "retry",
            Trigger::Recovery => "recovery",
        }
    }
}

/// How many files a deployment changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Files that were not there before.
    pub created: u64,
    /// Files whose content or metadata changed.
    pub replaced: u64,
    /// Files that are gone.
    pub removed: u64,
    /// Files that were left alone.
    pub unchanged: u64,
}

/// Which values of the configurations a deployment changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChanges {
    /// The first of them, by configuration and key.
    pub changes: Vec<KeyChange>,
    /// How many there are besides.
    pub more: u64,
}

impl KeyChanges {
    /// Returns how many values changed.
    pub fn count(&self) -> u64 {
        self.changes.len() as u64 + self.more
    }
}

/// A value of a configuration that a deployment changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The configuration's name.
    pub configuration: String,
    /// The value's dotted path; empty when all that is known is that the configuration changed.
    pub path: String,
    /// What happened to it.
    pub kind: KeyChangeKind,
    /// The old value as JSON, shortened; `<redacted>` when it is secret.
    pub old: Option<String>,
    /// The new value.
    pub new: Option<String>,
}

/// What happened to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyChangeKind {
    /// It was not there before.
    Added,
    /// It is gone.
    Removed,
    /// It has another value.
    Changed,
}

/// Why a deployment did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The code's name, for example `E_PROBE`.
    pub code: String,
    /// What went wrong, without secrets.
    pub message: String,
}

/// A file whose content was kept before it was overwritten or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The target directory.
    pub root: String,
    /// The path in it.
    pub path: String,
    /// The name of the copy in the state directory's `kept` folder.
    pub id: String,
    /// Why it was kept: `drifted` (it differed from what was deployed), `existing` (headfast had not written it) or
    /// `recovered` (it waited in a transaction that was given up).
    pub reason: String,
    /// Whether the copy is encrypted because the file is sensitive.
    pub encrypted: bool,
}

/// One attempt to make a revision live in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its number, rising by one from 1 on each host.
    pub id: i64,
    /// The repository's name in agent.yaml.
    pub repository: String,
    /// The environment.
    pub environment: String,
    /// The commit.
    #[serde(with = "object_id")]
    pub revision: ObjectId,
    /// The rendering's digest, once it is known.
    #[serde(with = "digest")]
    pub digest: Option<Digest>,
    /// How it stands.
    pub status: DeploymentStatus,
    /// The phase that it reached.
    pub phase: Phase,
    /// What started it.
    pub trigger: Trigger,
    /// When it began, RFC 3339 in UTC.
    pub started_at: String,
    /// When it ended.
    pub finished_at: Option<String>,
    /// What it changed.
    pub changes: Changes,
    /// Which values of the configurations it changed.
    #[serde(default)]
    pub keys: KeyChanges,
    /// Why it did not succeed.
    pub error: Option<Failure>,
    /// What was kept before it was overwritten.
    pub kept: Vec<Kept>,
    /// Output of its actions, for `show`; never with secrets.
    pub log: Vec<String>,
    /// The deployment that was live before it.
    pub previous: Option<i64>,
}

mod object_id {
    use super::ObjectId;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(id: &ObjectId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(id.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectId, D::Error> {
        String::deserialize(deserializer).map(|it| ObjectId::new(&it))
    }
}

mod digest {
    use super::Digest;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(digest: &Option<Digest>, serializer: S) -> Result<S::Ok, S::Error> {
        digest.as_ref().map(|it| &it.0).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Digest>, D::Error> {
        Option::<String>::deserialize(deserializer).map(|it| it.map(Digest))
    }
}
