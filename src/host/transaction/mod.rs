//! The all-or-nothing change of files in any number of targets.
//!
//! stage → *check* → commit → switch → read back → settle, and then finish or restore. Before the commit point any
//! failure leaves the old files untouched; after it, [`recover`] finishes the switch. What was live waits in the staging
//! folder, as the same inode, until the deployment's probes have passed.

#[cfg(test)]
mod explore;
mod generation;
mod journal;
mod salvage;
mod stage;
mod switch;
mod tree;
mod whereabouts;
#[cfg(test)]
mod tests;

pub use generation::KEPT;
pub(in crate::host) use generation::TREE;
pub use journal::{Carried, DirectoryChange, FileChange, FileId, Generation, Journal, Root};
pub use salvage::{Wreck, left, stray, wreck};
pub(in crate::host) use stage::nearest_existing;
pub use whereabouts::{Which, whereabouts};

use super::Error;
use super::dir::Dir;
use super::scan::DigestKey;
use crate::manifest::Publish;
use crate::plan::{LiveEntry, LivePath, Recorded, Restat};
use crate::render::{Content, TargetPath};
use crate::revision::{ObjectId, ReadError};
use journal::{Shelf, Step};
use serde::{Deserialize, Serialize};

/// What a deployment wants changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The deployment's number.
    pub deployment: i64,
    /// The repository's name.
    pub repository: String,
    /// The targets, in switching order.
    pub targets: Vec<TargetChange>,
    /// What runs after the switch, kept for recovery.
    pub actions: serde_json::Value,
}

/// The changes in one target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetChange {
    /// The target's directory.
    pub root: String,
    /// How the target is published. A target that is given up has none: it stays as it is found, and its generations go
    /// with its last file.
    pub publish: Option<Publish>,
    /// The paths of files that hold something that was encrypted; generations never share them.
    pub sensitive: Vec<String>,
    /// Permission bits, owner and group of directories that are made.
    pub directories: (u32, u32, u32),
    /// Directories that headfast made here, which go when they become empty.
    pub made: Vec<String>,
    /// What changes, in the order of paths.
    pub changes: Vec<Change>,
}

/// The change of one path.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Change {
    /// The path in the target.
    pub path: TargetPath,
    /// What comes; the row holds its kind, mode and owner, its digest and stat are filled in by the transaction.
    pub incoming: Option<(Content, Recorded)>,
    /// What is there; it must still be there, unchanged, at the commit point.
    pub outgoing: Option<LiveEntry>,
    /// The ledger's row before.
    pub row_before: Option<Recorded>,
    /// The row afterwards where it is another than that of what comes, or where no file comes or goes.
    pub row_after: Option<Recorded>,
    /// Whether what comes is not headfast's own, so that the ledger gets no row for it.
    pub unowned: bool,
}

/// Reads a blob of the revision.
pub type ReadBlob<'a> = &'a dyn Fn(&ObjectId) -> Result<Vec<u8>, ReadError>;

/// New files wait beside the live ones; nothing has changed yet.
#[derive(Debug)]
pub struct Staged {
    shelf: Shelf,
    journal: Journal,
    bases: Vec<Dir>,
}

/// The names are switched; what was live waits in the staging folders.
#[derive(Debug)]
pub struct Switched {
    shelf: Shelf,
    /// What was done.
    pub journal: Journal,
    step: Step,
    /// The locked directories, targets that were made among them: no other agent works there until the outcome is known.
    bases: Vec<Dir>,
}

/// The ledger's rows after a transaction.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// To be written.
    pub put: Vec<(LivePath, Recorded)>,
    /// To be removed.
    pub remove: Vec<LivePath>,
    /// To be known by other metadata, in rows that are neither.
    pub restat: Vec<Restat>,
}

/// What was live, but was not what the plan had seen: someone changed it at the last moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surprise {
    /// The path.
    pub at: LivePath,
    /// Where its content is now: the staging folder's directory, and the name in it.
    pub held: (String, String),
    /// Whether the change it was part of is sensitive.
    pub sensitive: bool,
}

/// What [`recover`] found.
#[derive(Debug)]
pub enum Recovered {
    /// The last transaction ended well.
    Nothing,
    /// It was cut short before the commit point: the old files are as they were.
    Abandoned(Journal),
    /// It was cut short after the commit point: the new files are in place now, but not recorded yet.
    Forward(Switched),
    /// It was cut short between the switch and its probes.
    Unproven(Switched),
    /// It was cut short while the previous files went back: they are back now, recorded when it is settled.
    Restored(Switched),
}

/// Writes the new files beside the live ones, flushed and with their final owner and mode. Changes nothing else.
///
/// On an error everything that was written is removed again.
pub fn stage(state_dir: &str, request: &Request, key: &DigestKey, blob: ReadBlob<'_>) -> Result<Staged, Error> {
    let shelf = Shelf::open(state_dir, &request.repository, key)?;
    // What is after its commit point must be finished first: its journal is the only one who knows how.
    if let Some((step, left)) = shelf.read()? {
        if step != Step::Staging {
            let what = "the last deployment was cut short and must be finished first".to_owned();
            return Err(Error::Journal { path: format!("of {:?}", request.repository), what });
        }
        // Its journal is the only one who knows the folders' names.
        let _bases = lock(&left)?;
        clear_staging(&left)?;
    }
    let (journal, bases) = stage::prepare(request, key)?;
    shelf.begin(&journal)?;
    let mut staged = Staged { shelf, journal, bases };
    match stage::write(&mut staged.journal, &staged.bases, request, key, blob) {
        Ok(()) => Ok(staged),
        Err(error) => match staged.abandon() {
            Ok(()) | Err(_) => Err(error),
        },
    }
}

impl Staged {
    /// Returns what is going to be done.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Returns the base directory and the changes of one target.
    pub(in crate::host) fn target(&self, path: &str) -> Result<(&Dir, &Root), Error> {
        let found = self.bases.iter().zip(&self.journal.roots).find(|it| it.1.path == path);
        found.ok_or_else(|| Error::Conflict { path: path.to_owned(), what: "nothing is staged for it".into() })
    }

    /// Removes what was staged; the old files were never touched.
    pub fn abandon(self) -> Result<(), Error> {
        clear_staging(&self.journal)?;
        self.shelf.drop_step(Step::Staging)
    }

    /// Makes the change: writes the journal (the commit point), switches all names, flushes and reads back.
    ///
    /// An error leaves the old files: nothing was changed yet, or what was changed is put back at once. Where that fails
    /// too it is [`CommitError::After`]: the journal stays and recovery goes on.
    pub fn commit(self, key: &DigestKey) -> Result<Switched, CommitError> {
        if let Err(error) =
            stage::still_as_planned(&self.journal).and_then(|()| self.shelf.write(Step::Journal, &self.journal))
        {
            // The journal may have got its name although flushing the folder failed: then the commit point may have
            // been passed, and only recovery can tell.
            return match self.shelf.read() {
                Ok(Some((Step::Staging, _))) => {
                    let abandoned = self.abandon();
                    Err(CommitError::Before(abandoned.err().unwrap_or(error)))
                }
                _ => Err(CommitError::After(error)),
            };
        }
        let mut switched =
            Switched { shelf: self.shelf, journal: self.journal, step: Step::Journal, bases: self.bases };
        switched.shelf.drop_step(Step::Staging).map_err(CommitError::After)?;
        match switch::apply(&mut switched.journal, &mut switched.bases, key) {
            Ok(()) => Ok(switched),
            Err(error) => Err(switched.give_up(key, error)),
        }
    }
}

/// Why a commit failed, and on which side of the commit point.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The old files are in place.
    #[error(transparent)]
    Before(Error),
    /// Recovery has to finish the switch.
    #[error(transparent)]
    After(Error),
}

impl Switched {
    /// Returns the ledger's rows as they are now.
    pub fn rows(&self) -> Rows {
        switch::rows(&self.journal)
    }

    /// Returns what was live but was not what the transaction knew; it must be kept before [`Switched::finish`].
    pub fn surprises(&self, key: &DigestKey) -> Result<Vec<Surprise>, Error> {
        switch::surprises(&self.journal, key)
    }

    /// Notes that the ledger has the rows; from here on a crash leads back to the reloads, not to the switch.
    pub fn settle(&mut self) -> Result<(), Error> {
        let next = match self.step {
            Step::Journal => Step::Undo,
            Step::Restore => Step::Back,
            _ => return Ok(()),
        };
        self.advance(next)
    }

    /// Returns whether the ledger has the rows already.
    pub fn is_settled(&self) -> bool {
        !matches!(self.step, Step::Journal | Step::Restore)
    }

    /// Ends the transaction: what was live before is removed from the staging folders, and generations that are too many.
    ///
    /// From here on there is no way back, and a crash only leads to the removal of what is left. Returns what live files are
    /// known by now that lost another name; to forget that costs the next scan some reading, and nothing else.
    pub fn finish(mut self) -> Result<Vec<Restat>, Error> {
        let _locked_until_the_end = &self.bases;
        self.advance(Step::Done)?;
        let before = generation::shared(&self.journal);
        clear(&self.journal)?;
        let restat = generation::moved(before);
        self.shelf.drop_step(Step::Done)?;
        Ok(restat)
    }

    /// Puts the old files back after a switch that failed half-way, so that a host is not left between two revisions.
    fn give_up(self, key: &DigestKey, error: Error) -> CommitError {
        let Ok(restored) = self.restore(key) else { return CommitError::After(error) };
        match restored.surprises(key) {
            Ok(surprises) if surprises.is_empty() => {
                restored.finish().map_or_else(CommitError::After, |_| CommitError::Before(error))
            }
            // What someone changed meanwhile is for recovery to keep, which has a place for it.
            _ => CommitError::After(error),
        }
    }

    fn advance(&mut self, to: Step) -> Result<(), Error> {
        self.shelf.advance(self.step, to)?;
        self.step = to;
        Ok(())
    }

    /// Puts the previous files back, the same inodes under the same names, and reads back.
    ///
    /// The caller records the rows of the result and then finishes it.
    pub fn restore(mut self, key: &DigestKey) -> Result<Switched, Error> {
        self.advance(Step::Restore)?;
        self.journal = self.journal.inverted();
        switch::apply(&mut self.journal, &mut self.bases, key)?;
        Ok(self)
    }
}

/// Returns whether a transaction is going on, or was cut short and waits for [`recover`].
pub fn is_pending(state_dir: &str, repository: &str) -> Result<bool, Error> {
    Shelf::is_used(state_dir, repository)
}

/// Returns what a transaction left behind when it was cut short, for the question whether it may be finished.
pub fn left_over(state_dir: &str, repository: &str, key: &DigestKey) -> Result<Option<Journal>, Error> {
    Ok(Shelf::open(state_dir, repository, key)?.read()?.map(|(_, journal)| journal))
}

/// Finishes or removes what a transaction left behind when it was cut short. Safe to repeat.
pub fn recover(state_dir: &str, repository: &str, key: &DigestKey) -> Result<Recovered, Error> {
    let shelf = Shelf::open(state_dir, repository, key)?;
    shelf.tidy()?;
    let Some((step, mut journal)) = shelf.read()? else { return Ok(Recovered::Nothing) };
    let mut bases = lock(&journal)?;
    // Whoever took the last step may have died before it was on the disk; nothing may be done on the strength of it until
    // it is.
    shelf.flush()?;
    if step != Step::Staging {
        shelf.drop_step(Step::Staging)?;
    }
    match step {
        Step::Staging => {
            clear_staging(&journal)?;
            shelf.drop_step(step)?;
            Ok(Recovered::Abandoned(journal))
        }
        Step::Journal => {
            match switch::is_possible(&journal).and_then(|()| switch::apply(&mut journal, &mut bases, key)) {
                Ok(()) => Ok(Recovered::Forward(Switched { shelf, journal, step, bases })),
                // A new file was changed already, so what was to become can no longer be; the change is kept on the way back.
                Err(error @ (Error::ReadBack { .. } | Error::Conflict { .. })) => {
                    // Where there is no way back either, nothing more is touched.
                    if switch::is_possible(&journal.inverted()).is_err() {
                        return Err(error);
                    }
                    shelf.advance(Step::Journal, Step::Restore)?;
                    restore_around_edits(shelf, journal, bases, key)
                }
                Err(error) => Err(error),
            }
        }
        Step::Undo => Ok(Recovered::Unproven(Switched { shelf, journal, step, bases })),
        Step::Restore => {
            switch::is_possible(&journal.inverted())?;
            restore_around_edits(shelf, journal, bases, key)
        }
        Step::Back => Ok(Recovered::Restored(Switched { shelf, journal: journal.inverted(), step, bases })),
        Step::Done => {
            clear(&journal)?;
            shelf.drop_step(step)?;
            Ok(Recovered::Nothing)
        }
    }
}

fn restore_around_edits(
    shelf: Shelf,
    journal: Journal,
    mut bases: Vec<Dir>,
    key: &DigestKey,
) -> Result<Recovered, Error> {
    let mut journal = journal.inverted();
    switch::apply_around_edits(&mut journal, &mut bases, key)?;
    Ok(Recovered::Restored(Switched { shelf, journal, step: Step::Restore, bases }))
}

/// Locks the directories that a transaction works in, targets that it has made among them.
fn lock(journal: &Journal) -> Result<Vec<Dir>, Error> {
    let mut locked: Vec<Dir> = Vec::new();
    for root in &journal.roots {
        if let Some(base) = Dir::open(&root.base)? {
            take(base, &root.path, &mut locked)?;
        }
        match Dir::open(&root.path) {
            Ok(Some(target)) => take(target, &root.path, &mut locked)?,
            // What stands there is for the steps to judge, and is nothing that an agent could have locked.
            Ok(None) | Err(Error::Symlink { .. } | Error::WrongType { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(locked)
}

/// Locks a directory for a target, unless it is locked already: a second lock would wait for the first.
fn take(dir: Dir, target: &str, locked: &mut Vec<Dir>) -> Result<(), Error> {
    if locked.iter().any(|it| it.path() == dir.path()) {
        return Ok(());
    }
    if !dir.lock()? {
        return Err(Error::Owned { path: target.to_owned(), holder: dir.lock_holder() });
    }
    locked.push(dir);
    Ok(())
}

/// Removes what a transaction whose outcome is recorded leaves behind.
fn clear(journal: &Journal) -> Result<(), Error> {
    clear_staging(journal)?;
    generation::retire(journal)
}

/// Removes the staging folders with all that is in them.
fn clear_staging(journal: &Journal) -> Result<(), Error> {
    for root in &journal.roots {
        let Some(base) = Dir::open(&root.base)? else { continue };
        if let Some(staging) = stage::own_staging(&base, root)? {
            staging.clear()?;
            base.remove_dir(&root.staging)?;
        }
        // Also when it is gone: whoever removed it may have died before that was on the disk.
        base.flush()?;
    }
    Ok(())
}
