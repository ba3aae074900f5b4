//! The transaction's memory on disk. One file in `<state>/transactions/<repository>`, whose *name* says how far the transaction is:
//!
//! | name | means | after a crash |
//! |---|---|---|
//! | `staging` | new files are being written beside the targets | they are removed: old |
//! | `journal` | the commit point is passed, names are changing | the switch is finished: new |
//! | `undo` | the switch is done and recorded, probes have not passed | reloads and probes run again |
//! | `restore` | the previous files are going back | the restore is finished: old |
//! | `back` | they are back and recorded, their reloads have not all run | those run again |
//! | `done` | the outcome is recorded, the staging folders are being removed | they are removed |
//!
//! Each is written to a temporary name, flushed, renamed and the folder flushed; later steps only rename. It holds
//! everything twice, each time with a checksum, so that a bad sector or a flipped bit does not cost it. Where both copies
//! are damaged nothing is guessed.

use crate::host::dir::Dir;
use crate::host::live::{CURRENT, GENERATIONS, number_of};
use crate::host::scan::DigestKey;
use crate::host::{Error, PREFIX};
use crate::plan::{LiveKind, Recorded, Stat};
use crate::render::TargetPath;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::io::{Read, Write};

/// Everything that is needed to finish, to undo and to record a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The version of this format.
    pub version: u32,
    /// The deployment that the transaction belongs to.
    pub deployment: i64,
    /// The repository's name.
    pub repository: String,
    /// What only this host can have written: see [`mark_of`].
    pub host: String,
    /// The targets, in switching order.
    pub roots: Vec<Root>,
    /// What runs after the switch, as the deployer wrote it down.
    pub actions: serde_json::Value,
}

/// One target of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The target's directory.
    pub path: String,
    /// The directory that holds the staging folder: the target, or its nearest ancestor that exists.
    pub base: String,
    /// What leads from `base` to the target: empty when they are the same.
    pub prefix: String,
    /// The staging folder's name in `base`.
    pub staging: String,
    /// Directories to make (parents first) and to remove (children first).
    pub directories: Vec<DirectoryChange>,
    /// Files and links.
    pub files: Vec<FileChange>,
    /// The generation that comes, when the target is published by generations; the changes of files are made in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
}

/// A tree that is made beside the live one, and the link that is switched to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number, which is its name among the target's generations.
    pub number: u64,
    /// The generation that it was made from.
    pub source: Option<u64>,
    /// The inode of its directory; `None` when a target that is given up is left empty and gets no new tree.
    pub tree: Option<u64>,
    /// Whether the tree comes; it goes again otherwise.
    pub comes: bool,
    /// The change of the link; nothing comes when a target is given up.
    pub link: FileChange,
    /// Directories that were made or removed in the tree, relative to it.
    pub directories: Vec<DirectoryChange>,
    /// What was taken over from the source.
    pub carried: Vec<Carried>,
}

/// A file or link that a generation took over unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Its path in the tree.
    pub path: String,
    /// Whether both trees have the same inode.
    pub shared: bool,
    /// Whether it holds something that was encrypted.
    pub sensitive: bool,
    /// The digest of what was written, where bytes were written.
    pub digest: Option<String>,
    /// What the ledger may know it by in the tree that goes. Nothing that a file could have when it was changed meanwhile.
    pub from: Stat,
    /// What it is known by in the tree that comes.
    pub to: Stat,
}

/// A directory that is made or removed; the path is relative to `base`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryChange {
    /// Its path below `base`.
    pub path: String,
    /// Whether it is made; removed otherwise.
    pub make: bool,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Whether it could not be removed because others have files in it.
    #[serde(default)]
    pub stays: bool,
}

/// What happens at one path; the path is relative to the target.
///
/// The whole switch follows from what comes and what goes: both means the two change places, so that the inode that was
/// live waits in the staging folder and can come back as it was. Swapping the two fields is the way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Its path below the target.
    pub path: String,
    /// Its name in the staging folder.
    pub slot: u64,
    /// What waits in the staging folder and comes to the path.
    pub incoming: Option<FileId>,
    /// What is at the path and goes to the staging folder.
    pub outgoing: Option<FileId>,
    /// The ledger's row once the change is made.
    pub row_after: Option<Recorded>,
    /// The ledger's row before.
    pub row_before: Option<Recorded>,
}

/// How a file is known again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileId {
    /// What it is.
    pub kind: LiveKind,
    /// The host-keyed digest of its bytes.
    pub digest: Option<String>,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its inode, size and times when it was last looked at.
    pub stat: Stat,
    /// A digest of the extended attributes that a new file got; `None` when they were not looked at.
    #[serde(default)]
    pub attributes: Option<String>,
}

impl Root {
    /// Returns the path in the target of a path below `base`; `None` for the target itself and for what leads to it.
    pub fn in_target<'a>(&self, path: &'a str) -> Option<&'a str> {
        match self.prefix.as_str() {
            "" => Some(path),
            prefix => path.strip_prefix(prefix)?.strip_prefix('/'),
        }
    }

    /// Returns whether everything it names lies in the target, on the way to it, or in a staging folder.
    pub(in crate::host) fn is_consistent(&self) -> bool {
        let is_path = |it: &str| TargetPath::recorded(it).is_some();
        let joined = match (self.base.as_str(), self.prefix.as_str()) {
            (base, "") => base.to_owned(),
            ("/", prefix) => format!("/{prefix}"),
            (base, prefix) => format!("{base}/{prefix}"),
        };
        let on_the_way = |it: &str| self.prefix == it || self.prefix.starts_with(&format!("{it}/"));
        joined == self.path
            && (self.prefix.is_empty() || is_path(&self.prefix))
            && self.staging.starts_with(PREFIX)
            && !self.staging.contains('/')
            && self.staging != GENERATIONS
            && self.generation.as_ref().is_none_or(Generation::is_consistent)
            && self.files.iter().all(|it| is_path(&it.path))
            && self
                .directories
                .iter()
                .all(|it| is_path(&it.path) && (on_the_way(&it.path) || self.in_target(&it.path).is_some()))
    }

    /// Returns the path below `base` of a path in the target.
    pub fn in_base(&self, path: &str) -> String {
        match (self.prefix.as_str(), path) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}/{path}"),
        }
    }

    /// Returns the path below `base` that a path of the target's files has before the switch; `None` when nothing is live.
    pub fn before(&self, path: &str) -> Option<String> {
        self.at(self.generation.as_ref().map(|it| &it.link.outgoing), path)
    }

    /// Returns the path below `base` that a path of the target's files has after the switch; `None` when nothing is live.
    pub fn after(&self, path: &str) -> Option<String> {
        self.at(self.generation.as_ref().map(|it| &it.link.incoming), path)
    }

    fn at(&self, link: Option<&Option<FileId>>, path: &str) -> Option<String> {
        match link {
            None => Some(self.in_base(path)),
            Some(Some(FileId { kind: LiveKind::Link(text), .. })) if path.is_empty() => Some(self.in_base(text)),
            Some(Some(FileId { kind: LiveKind::Link(text), .. })) => Some(self.in_base(&format!("{text}/{path}"))),
            Some(_) => None,
        }
    }
}

impl FileChange {
    fn invert(&mut self) {
        std::mem::swap(&mut self.incoming, &mut self.outgoing);
        std::mem::swap(&mut self.row_before, &mut self.row_after);
    }
}

impl Generation {
    /// Returns whether it stays among the target's generations.
    fn is_consistent(&self) -> bool {
        let is_ours = |it: &FileId| matches!(&it.kind, LiveKind::Link(text) if number_of(text).is_some());
        let is_path = |it: &str| TargetPath::recorded(it).is_some();
        self.link.path == CURRENT
            && [&self.link.incoming, &self.link.outgoing].into_iter().flatten().all(is_ours)
            && self.directories.iter().all(|it| is_path(&it.path))
            && self.carried.iter().all(|it| is_path(&it.path))
    }

    fn invert(&mut self) {
        self.comes = !self.comes;
        self.link.invert();
        self.directories.reverse();
        self.directories.iter_mut().for_each(|it| it.make = !it.make);
        // A shared inode keeps what it is known by now, whichever tree is live.
        for carried in self.carried.iter_mut().filter(|it| !it.shared) {
            std::mem::swap(&mut carried.from, &mut carried.to);
        }
    }
}

impl Journal {
    /// The version of the format that this program writes and reads.
    pub const VERSION: u32 = 1;

    /// Returns the transaction that undoes this one.
    pub fn inverted(&self) -> Journal {
        let mut inverse = self.clone();
        inverse.roots.reverse();
        for root in &mut inverse.roots {
            root.directories.reverse();
            root.directories.iter_mut().for_each(|it| it.make = !it.make);
            root.files.reverse();
            root.files.iter_mut().for_each(FileChange::invert);
            root.generation.iter_mut().for_each(Generation::invert);
        }
        inverse
    }
}

/// How far a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// New files are being staged.
    Staging,
    /// The commit point is passed.
    Journal,
    /// The switch is done.
    Undo,
    /// The previous files are going back.
    Restore,
    /// The previous files are back and recorded.
    Back,
    /// The outcome is recorded; only leftovers remain.
    Done,
}

/// The name under which a damaged file that is not needed is set aside.
const DAMAGED: &str = "damaged";

impl Step {
    /// Every step, the furthest first.
    pub(super) const ALL: [Step; 6] = [Step::Done, Step::Back, Step::Restore, Step::Undo, Step::Journal, Step::Staging];

    /// Says which side the targets are on.
    fn means(self) -> &'static str {
        match self {
            Step::Staging => "the targets hold the old files",
            Step::Journal => "the targets may be half new",
            Step::Undo => "the targets hold the new files",
            Step::Restore => "the targets may be half restored",
            Step::Back => "the targets hold the previous files",
            Step::Done => "the outcome is on record",
        }
    }

    pub(super) fn file(self) -> &'static str {
        match self {
            Step::Staging => "staging",
            Step::Journal => "journal",
            Step::Undo => "undo",
            Step::Restore => "restore",
            Step::Back => "back",
            Step::Done => "done",
        }
    }
}

/// What the journal is called while it is written.
const UNNAMED: &str = "new";

/// The folder `<state>/transactions/<repository>`.
#[derive(Debug)]
pub struct Shelf {
    dir: Dir,
    /// The folders above it, the state directory first.
    above: Vec<Dir>,
    repository: String,
    /// What this host's journals say of their origin.
    host: String,
}

impl Shelf {
    /// Opens a repository's folder below a state directory, making it when needed.
    pub fn open(state_dir: &str, repository: &str, key: &DigestKey) -> Result<Shelf, Error> {
        let missing = || Error::io("open", state_dir)(rustix::io::Errno::NOENT);
        let (mut dir, mut above) = (Dir::open(state_dir)?.ok_or_else(missing)?, Vec::new());
        for name in ["transactions", repository] {
            let is_new = dir.make_dir(name)?;
            let below = dir.below(name)?.ok_or_else(missing)?;
            if is_new {
                // It belongs to whoever the state belongs to, which need not be who makes transactions.
                let owner = dir.look(".")?.ok_or_else(missing)?;
                below.set_access(0o700, owner.uid, owner.gid)?;
            }
            above.push(std::mem::replace(&mut dir, below));
        }
        Ok(Shelf { dir, above, repository: repository.to_owned(), host: mark_of(key) })
    }

    /// Returns whether a transaction was left in a repository's folder; makes nothing.
    pub fn is_used(state_dir: &str, repository: &str) -> Result<bool, Error> {
        let Some(dir) = Dir::open(state_dir)? else { return Ok(false) };
        let Some(dir) = dir.below(&format!("transactions/{repository}"))? else { return Ok(false) };
        Step::ALL.iter().try_fold(false, |found, step| Ok(found || dir.look(step.file())?.is_some()))
    }

    /// Writes the journal of a transaction that begins.
    pub fn begin(&self, journal: &Journal) -> Result<(), Error> {
        // Whoever made the folder may have died before its own name was on the disk, and then the journal would go with it.
        self.above.iter().try_for_each(Dir::flush)?;
        self.write(Step::Staging, journal)
    }

    /// Removes what was being written when the last program died.
    pub fn tidy(&self) -> Result<(), Error> {
        if self.dir.unlink(UNNAMED)? { self.dir.flush() } else { Ok(()) }
    }

    /// Writes the journal under the name of `step`; returns once it is on the disk.
    pub fn write(&self, step: Step, journal: &Journal) -> Result<(), Error> {
        let path = self.dir.path_of(step.file());
        let text = serde_json::to_string(journal)
            .map_err(|error| Error::Journal { path: path.clone(), what: error.to_string() })?;
        self.dir.unlink(UNNAMED)?;
        let mut file = self.dir.create(UNNAMED)?;
        // Whoever the state belongs to may look at it.
        let owner = self.dir.look(".")?.ok_or_else(|| Error::io("look at", self.dir.path())(Errno::NOENT))?;
        file.set_access(0o600, owner.uid, owner.gid)?;
        let sum = checksum(text.as_bytes());
        for end in ["\n", ""] {
            let written =
                file.write_all(text.as_bytes()).and_then(|()| file.write_all(format!("\n{sum}\n{end}").as_bytes()));
            written.map_err(Error::std("write", path.clone()))?;
        }
        file.flush_to_disk()?;
        self.dir.rename(UNNAMED, &self.dir, step.file(), rustix::fs::RenameFlags::empty())?;
        self.dir.flush()
    }

    /// Takes the transaction from one step to the next.
    pub fn advance(&self, from: Step, to: Step) -> Result<(), Error> {
        self.dir.rename(from.file(), &self.dir, to.file(), rustix::fs::RenameFlags::empty())?;
        self.dir.flush()
    }

    /// Makes durable how far the transaction is.
    pub fn flush(&self) -> Result<(), Error> {
        self.dir.flush()
    }

    /// Ends the transaction.
    pub fn drop_step(&self, step: Step) -> Result<(), Error> {
        self.dir.unlink(step.file())?;
        self.dir.flush()
    }

    /// Returns the transaction that was left here, when there is one.
    ///
    /// A `staging` file beside a later step is what is left of the moment between two writes, and is ignored. One that is
    /// damaged is set aside where it is not needed to know that no name is half-way.
    pub fn read(&self) -> Result<Option<(Step, Journal)>, Error> {
        for step in Step::ALL {
            if self.dir.look(step.file())?.is_none() {
                continue;
            }
            match self.load(step) {
                Err(Error::Journal { .. }) if self.is_dispensable(step)? => {
                    self.dir.rename(step.file(), &self.dir, DAMAGED, rustix::fs::RenameFlags::empty())?;
                }
                other => return other.map(|journal| Some((step, journal))),
            }
        }
        Ok(None)
    }

    /// Returns whether all names are as they were or as they were to become, whatever this step's file says.
    ///
    /// Before anything is switched `staging` goes; so beside a whole one a `journal` has not been obeyed yet.
    fn is_dispensable(&self, step: Step) -> Result<bool, Error> {
        Ok(match step {
            Step::Staging | Step::Done => true,
            Step::Journal => self.dir.look(Step::Staging.file())?.is_some() && self.load(Step::Staging).is_ok(),
            Step::Undo | Step::Restore | Step::Back => false,
        })
    }

    fn load(&self, step: Step) -> Result<Journal, Error> {
        let path = self.dir.path_of(step.file());
        let damaged = |what: &str| Error::Journal { path: path.clone(), what: what.to_owned() };
        let mut bytes = Vec::new();
        let mut file = match self.dir.read(step.file()) {
            Err(Error::WrongType { .. } | Error::Io { errno: Errno::LOOP, .. }) => {
                return Err(damaged("it is not a regular file"));
            }
            other => other?,
        };
        file.read_to_end(&mut bytes).map_err(Error::std("read", path.clone()))?;
        let text = intact(&bytes).ok_or_else(|| damaged(&format!("both copies are damaged; {}", step.means())))?;
        let unreadable = |error: serde_json::Error| damaged(&error.to_string());
        let foreign = |what: String| Err(Error::Foreign { path: path.clone(), what });
        match serde_json::from_slice::<Head>(text).map_err(unreadable)?.version {
            Journal::VERSION => {}
            other => return foreign(format!("has version {other}, and this headfast reads {}", Journal::VERSION)),
        }
        let journal: Journal = serde_json::from_slice(text).map_err(unreadable)?;
        if journal.repository != self.repository {
            return foreign(format!("is of the repository {:?}", journal.repository));
        } else if journal.host != self.host {
            return foreign("was written by another host, or with another database".to_owned());
        }
        Ok(journal)
    }
}

/// What every version of a journal begins with.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

/// Returns what tells the journals of this host's state from all others.
pub fn mark_of(key: &DigestKey) -> String {
    key.of(b"journal").0
}

/// Returns the first copy whose checksum is right. The first is looked for from the beginning and the second from the end,
/// and an empty line is between them, so that damage to one does not hide the other.
fn intact(bytes: &[u8]) -> Option<&[u8]> {
    let lines: Vec<&[u8]> = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|it| *it == b'\n').collect();
    let copies = [lines.first_chunk::<2>(), lines.last_chunk::<2>()];
    copies.into_iter().flatten().find(|[text, sum]| checksum(text).as_bytes() == *sum).map(|it| it[0])
}

fn checksum(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
