//! rendering × ledger × live → operations, and their diffs.

mod change;
mod decide;
mod diff;
mod heal;
#[cfg(test)]
mod tests;

pub use change::{Difference, FileChange, KeyChange, Side, compare};
pub use decide::{REMOVALS_ALWAYS, plan, questions};
pub use diff::{Diff, DiffLimits, Sides, diffs, unified};
pub use heal::heal;

use crate::record::Changes;
use crate::render::{Digest, TargetPath};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A path in a target directory: the directory's absolute path, and the path in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LivePath {
    /// The target's directory.
    pub root: String,
    /// The path in it.
    pub path: TargetPath,
}

/// What a name in a directory is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveKind {
    /// A regular file.
    File,
    /// A symbolic link and its text.
    Link(String),
    /// A directory.
    Directory,
    /// A FIFO, socket or device.
    Other,
}

/// The part of a file's metadata that changes whenever the file does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// The inode's number.
    pub inode: u64,
    /// The size in bytes.
    pub size: u64,
    /// The modification time in nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// The change time in nanoseconds since the epoch.
    pub ctime_ns: i64,
}

/// A file's metadata became another although nobody changed the file: a new name beside it, or a copy in its place.
///
/// The ledger's row follows when it says `from`, so that the file is still known without being read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restat {
    /// Where.
    pub at: LivePath,
    /// What the metadata was.
    pub from: Stat,
    /// What it is now.
    pub to: Stat,
}

/// What is on the disk at one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveEntry {
    /// What it is.
    pub kind: LiveKind,
    /// The host-keyed digest of a regular file's bytes, when they were read.
    pub digest: Option<Digest>,
    /// The permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// What changes with the file.
    pub stat: Stat,
}

/// What headfast wrote at one path: a row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The rendering's name for the content.
    pub identity: String,
    /// A file, or a link with its text.
    pub kind: LiveKind,
    /// The host-keyed digest of the bytes; of the text for links.
    pub digest: String,
    /// The permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Whether it holds something that was encrypted.
    pub sensitive: bool,
    /// What the file's metadata was when it was read back.
    pub stat: Stat,
}

/// What headfast wrote, by path.
pub type Ledger = BTreeMap<LivePath, Recorded>;

/// The numbers of the users and groups that a rendering names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// User numbers by name.
    pub users: BTreeMap<String, u32>,
    /// Group numbers by name.
    pub groups: BTreeMap<String, u32>,
    /// The user that owns files without a declared owner.
    pub default_uid: u32,
    /// The group of files without a declared group.
    pub default_gid: u32,
}

/// What was seen at one path that a plan asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What is there; `None` when nothing is.
    pub live: Option<LiveEntry>,
    /// Whether the content is what the rendering wants at this path.
    pub equals_wanted: bool,
}

/// What is done at one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A new name.
    Create,
    /// New content under an old name.
    Replace,
    /// A name goes away.
    Remove,
    /// The same content, another mode or owner.
    Metadata,
    /// What is there is already right; it is only recorded.
    Adopt,
    /// The ledger's row goes, what is on the disk stays.
    Forget,
}

/// How what is live relates to what headfast wrote there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Before {
    /// Nothing is there.
    Absent,
    /// It is what headfast wrote.
    Clean,
    /// Someone changed what headfast wrote.
    Drifted,
    /// headfast never wrote there.
    Existing,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The target's name; of a target that the manifest no longer has, its directory.
    pub target: String,
    /// Where.
    pub at: LivePath,
    /// What is done.
    pub action: Action,
    /// What is there now; content is kept first unless it is [`Before::Clean`].
    pub before: Before,
    /// What is there now, in detail.
    pub live: Option<LiveEntry>,
    /// The metadata that the file shall have; `None` when it is removed or forgotten.
    pub wanted: Option<Wanted>,
    /// Whether what is there, or what shall be, holds something that was encrypted.
    pub sensitive: bool,
}

/// The metadata that a file shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// A file, or a link with its text.
    pub kind: LiveKind,
    /// The permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Whether it holds something that was encrypted.
    pub sensitive: bool,
    /// The rendering's name for the content.
    pub identity: String,
}

/// The operations that turn what is live into a rendering.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps, targets in switching order, paths in order.
    pub operations: Vec<Operation>,
    /// The number of files of the rendering that are left alone.
    pub unchanged: u64,
}

impl Plan {
    /// Iterates over the operations that change something in a target; adopting and forgetting only change the ledger.
    pub fn writes(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter().filter(|it| it.action.writes())
    }

    /// Returns the numbers for the deployment's record; adopted files count as left alone.
    pub fn changes(&self) -> Changes {
        let count = |wanted: &[Action]| self.operations.iter().filter(|it| wanted.contains(&it.action)).count() as u64;
        Changes {
            created: count(&[Action::Create]),
            replaced: count(&[Action::Replace, Action::Metadata]),
            removed: count(&[Action::Remove]),
            unchanged: self.unchanged + count(&[Action::Adopt]),
        }
    }
}

impl Action {
    /// Returns whether the action changes something in the target.
    pub fn writes(self) -> bool {
        !matches!(self, Action::Adopt | Action::Forget)
    }

    /// Returns the action's name as the JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Replace => "replace",
            Action::Remove => "remove",
            Action::Metadata => "metadata",
            Action::Adopt => "adopt",
            Action::Forget => "forget",
        }
    }
}

/// What a rendering meets on a host.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What headfast wrote before.
    pub ledger: &'a Ledger,
    /// The numbers of the users and groups that the rendering names.
    pub accounts: &'a Accounts,
    /// What was seen at the paths that [`questions`] returned; with `prune: all` also at the paths of all other files.
    pub observed: &'a BTreeMap<LivePath, Observation>,
    /// How many files each target directory holds, owned or not; the ledger's count where it is not known.
    pub present: &'a BTreeMap<String, u64>,
    /// Whether files that headfast did not write refuse the plan.
    pub existing_refuse: bool,
    /// Whether the mass-deletion guard is off because the rendering was deployed here before.
    pub exempt: bool,
}
