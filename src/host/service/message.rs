//! What is said between the agent and the transaction process: one question, one answer.

use crate::finding::Code;
use crate::host::Error;
use crate::host::action::{Job, Look, Miss};
use crate::host::process::Outcome;
use crate::host::transaction::{Request, Rows, Which};
use crate::manifest::Publish;
use crate::plan::{LiveEntry, LivePath, Recorded, Restat, Stat};
use crate::render::TargetPath;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A question, for one repository.
#[derive(Serialize, Deserialize)]
pub struct Message {
    /// The version of the program that asks. systemd may start the other side from a newer file.
    pub version: String,
    /// The repository's name in agent.yaml.
    pub repository: String,
    /// The host's key for digests of contents.
    pub key: [u8; 32],
    /// What is asked.
    pub question: Question,
}

/// What the agent may ask.
#[derive(Serialize, Deserialize)]
pub enum Question {
    /// Who owns the files that nobody else is named for?
    Whoami,
    /// What is at these paths?
    Look(Vec<Ask>),
    /// What is in this target, apart from what these globs match?
    Walk { root: String, skip: Vec<String> },
    /// Can this be carried out? `known` holds the file systems on which targets were deployed last.
    Examine { request: Request, known: BTreeMap<String, String> },
    /// On which file system is this target?
    FileSystem(String),
    /// Can this target be published so? `recorded` are the paths that headfast wrote in it.
    Judge { root: String, publish: Publish, recorded: Vec<TargetPath> },
    /// What does this file hold?
    Read(LivePath),
    /// Write the new files beside the live ones. Their contents are in the memfd that comes with it.
    Stage { request: Request, blobs: Vec<(String, Span)> },
    /// Run checks against the staged view of a target, up to the first that fails.
    Check { root: String, jobs: Vec<Job> },
    /// Remove what was staged.
    Abandon,
    /// Switch.
    Commit,
    /// The outcome of the switch is recorded.
    Settle,
    /// Put the previous files back.
    Restore,
    /// Remove what was live before.
    Finish,
    /// Finish or remove what a crash left.
    Recover,
    /// Which files of the transaction that a rollback left are live, the previous ones or the new ones?
    Whereabouts,
    /// What did a transaction leave behind that cannot be finished? Without a journal, targets are searched for it.
    Wreck { roots: Vec<String> },
    /// Give it up: what it holds is kept by now.
    GiveUp { roots: Vec<String> },
    /// Which staging folders stand in these targets that belong to no transaction?
    Strays { roots: Vec<String> },
    /// What is in them?
    WreckOfStrays { roots: Vec<String> },
    /// Remove them: what they hold is kept by now.
    ClearStrays { roots: Vec<String> },
    /// Run a reload.
    Run(Job),
    /// Look once whether something holds.
    Try { what: Look, within: Duration },
}

/// A path that is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Where.
    pub at: LivePath,
    /// What is known of the file already: its content is only read when it is another by now. `None` reads in any case.
    pub known: Option<Stat>,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sight {
    /// Nothing.
    Nothing,
    /// This.
    Entry(LiveEntry),
    /// A symbolic link, or something that is no directory in the place of the target, stands on the way.
    Blocked(Failed),
    /// The host does not let this repository look there.
    Forbidden,
}

/// A part of the bytes that come with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Where it begins.
    pub at: u64,
    /// How long it is.
    pub len: u64,
}

/// What the process answers.
#[derive(Serialize, Deserialize)]
pub enum Answer {
    /// To [`Question::Whoami`].
    Account { uid: u32, gid: u32 },
    /// To [`Question::Look`], in its order.
    Sights(Vec<Sight>),
    /// To [`Question::Walk`].
    Walk { entries: Vec<(TargetPath, LiveEntry)>, unnameable: Vec<String> },
    /// To [`Question::Read`]; `None` when nothing is there that has a content.
    Copy(Option<Copy>),
    /// To [`Question::Check`], one for each that was run; and to [`Question::Run`].
    Outcomes(Vec<Outcome>),
    /// To [`Question::Try`]: why it does not hold.
    Tried(Option<Miss>),
    /// To [`Question::Commit`], [`Question::Restore`].
    Switched(Switch),
    /// To [`Question::Recover`].
    Recovered(Recovery),
    /// To [`Question::Wreck`] and [`Question::WreckOfStrays`].
    Wreck(Option<Wreckage>),
    /// To [`Question::Strays`]: the directory that holds each, and its name.
    Strays(Vec<(String, String)>),
    /// To [`Question::Examine`]: everything that is in the way.
    Unfit(Vec<Failed>),
    /// To [`Question::FileSystem`].
    FileSystem(String),
    /// To [`Question::Finish`]: what live files are known by now.
    Finished(Vec<Restat>),
    /// To [`Question::Whereabouts`], by whole paths.
    Whereabouts(Vec<(String, Which)>),
    /// It is done.
    Done,
    /// It could not be done.
    Failed(Failed),
}

/// A file's content and metadata; the content is in the bytes that come with the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// Whether it is a symbolic link; the content is its text then.
    pub link: bool,
    /// The permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Where its content is.
    pub content: Span,
}

/// The names are switched.
#[derive(Serialize, Deserialize)]
pub struct Switch {
    /// The deployment that the transaction belongs to.
    pub deployment: i64,
    /// What runs next, as the deployer wrote it down.
    pub actions: serde_json::Value,
    /// The ledger's rows as they are now.
    pub rows: Rows,
    /// What was live but was not what the plan had seen.
    pub surprises: Vec<(LivePath, bool, Copy)>,
    /// The targets, and the file systems that they are on.
    pub file_systems: Vec<(String, String)>,
    /// Whether the ledger has the rows already.
    pub settled: bool,
}

/// What a transaction left behind that cannot be finished.
#[derive(Serialize, Deserialize)]
pub struct Wreckage {
    /// The deployment that it belongs to, when the journal can be read.
    pub deployment: Option<i64>,
    /// Whether it is known which of the files are sensitive.
    pub is_known: bool,
    /// What waits in its staging folders and is not made from the repository.
    pub files: Vec<(LivePath, bool, Copy)>,
    /// The ledger's rows of the paths that it may have changed.
    pub rows: Vec<(LivePath, Recorded)>,
    /// The paths of its staging folders.
    pub folders: Vec<String>,
}

/// What was found after a crash.
#[derive(Serialize, Deserialize)]
pub enum Recovery {
    /// The last transaction ended well.
    Nothing,
    /// It was cut short before the commit point.
    Abandoned,
    /// It was cut short after the commit point.
    Forward(Switch),
    /// It was cut short between the switch and its probes.
    Unproven(Switch),
    /// It was cut short while the previous files went back.
    Restored(Switch),
}

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The documented code's name.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// Whether names may have changed, so that recovery has to say what is live.
    pub after: bool,
}

impl Failed {
    /// Returns what is said of an error.
    pub fn of(error: &Error, after: bool) -> Failed {
        Failed { code: error.code().name.to_owned(), message: error.to_string(), after }
    }

    /// Returns the error again.
    pub fn error(self) -> Error {
        let code = Code::named(&self.code).unwrap_or(Code::IO);
        Error::Told { code, message: self.message }
    }
}
