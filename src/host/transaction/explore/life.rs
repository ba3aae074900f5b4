//! A program's life on a machine: a deployment, or the recovery from one, up to its end or to any moment in it.

use super::super::{CommitError, Recovered, Request, Surprise, Switched, recover, stage};
use super::world::{Ledger, STATE, Side, World, follow, record, root};
use crate::host::Error;
use crate::host::model::{Disk, Machine, Running};
use crate::plan::Restat;
use crate::revision::{ObjectId, ReadError};
use std::rc::Rc;

/// What the probes say after the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Proves,
    Fails,
}

/// What was promised to the outside: with `Some`, the targets must be on this side from then on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    pub promised: Option<Side>,
    pub ledger: Rc<Ledger>,
}

/// How a deployment that did not end well ended.
#[derive(Debug)]
pub enum Failure {
    /// It said that the old files are in place.
    Before(Error),
    /// It said that recovery has to finish the switch.
    After(Error),
    /// The new files are recorded, or the old ones again, and the rest is for recovery.
    Recorded(Error),
    /// It took for an edit what nobody edited.
    Surprised(Vec<Surprise>),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Before(error) => write!(f, "failed before the commit point: {error}"),
            Failure::After(error) => write!(f, "failed after the commit point: {error}"),
            Failure::Recorded(error) => write!(f, "failed when all was recorded: {error}"),
            Failure::Surprised(surprises) => write!(f, "took this for edits: {surprises:?}"),
        }
    }
}

pub struct Life<'w> {
    world: &'w World,
    verdict: Verdict,
    pub running: Running,
    pub notes: Vec<Note>,
}

impl<'w> Life<'w> {
    pub fn begin(world: &'w World, verdict: Verdict, disk: &Disk, note: Note, clock: i64) -> Self {
        Life { world, verdict, running: Machine::boot(disk, clock), notes: vec![note] }
    }

    pub fn note(&self) -> &Note {
        self.notes.last().expect("it begins with one")
    }

    pub fn disk(&self) -> Disk {
        self.running.0.disk()
    }

    pub fn promise(&mut self, promised: Option<Side>) {
        let ledger = self.note().ledger.clone();
        self.running.0.mark(self.notes.len());
        self.notes.push(Note { promised, ledger });
    }

    fn record(&mut self, switched: &Switched) {
        self.change(|ledger| record(ledger, switched.rows()));
    }

    /// Ends a transaction, and lets the ledger follow what that has moved.
    fn finish(&mut self, switched: Switched) -> Result<(), Failure> {
        let moved: Vec<Restat> = switched.finish().map_err(Failure::Recorded)?;
        if !moved.is_empty() {
            self.change(|ledger| follow(ledger, moved));
        }
        Ok(())
    }

    fn change(&mut self, change: impl FnOnce(&mut Ledger)) {
        let mut ledger = (*self.note().ledger).clone();
        change(&mut ledger);
        let promised = self.note().promised;
        self.running.0.mark(self.notes.len());
        self.notes.push(Note { promised, ledger: Rc::new(ledger) });
    }

    /// One deployment, as the deployer makes it.
    pub fn deploy(&mut self) -> Result<(), Failure> {
        let request = self.world.request();
        self.deploy_this(&request)
    }

    /// The same, of a request that was made before.
    pub fn deploy_this(&mut self, request: &Request) -> Result<(), Failure> {
        let blob = |id: &ObjectId| Err(ReadError { what: id.to_string(), reason: "no blobs here".into() });
        self.promise(None);
        let staged = stage(STATE, request, &self.world.key, &blob).map_err(Failure::Before)?;
        if self.world.scenario.view {
            crate::host::view::build(&staged, &root(0)).map_err(Failure::Before)?;
        }
        let switched = match staged.commit(&self.world.key) {
            Ok(switched) => switched,
            Err(CommitError::Before(error)) => return Err(Failure::Before(error)),
            Err(CommitError::After(error)) => return Err(Failure::After(error)),
        };
        self.go_on(switched)
    }

    /// From the switch to the end.
    fn go_on(&mut self, mut switched: Switched) -> Result<(), Failure> {
        if self.verdict == Verdict::Proves {
            self.promise(Some(Side::New));
        }
        if !switched.is_settled() {
            let surprises = switched.surprises(&self.world.key).map_err(Failure::After)?;
            if !surprises.is_empty() {
                return Err(Failure::Surprised(surprises));
            }
            self.record(&switched);
            switched.settle().map_err(Failure::Recorded)?;
        }
        match self.verdict {
            Verdict::Proves => self.finish(switched),
            Verdict::Fails => {
                let restored = switched.restore(&self.world.key).map_err(Failure::Recorded)?;
                self.go_back(restored)
            }
        }
    }

    fn go_back(&mut self, mut restored: Switched) -> Result<(), Failure> {
        if !restored.is_settled() {
            let surprises = restored.surprises(&self.world.key).map_err(Failure::Recorded)?;
            if !surprises.is_empty() {
                return Err(Failure::Surprised(surprises));
            }
            self.record(&restored);
            restored.settle().map_err(Failure::Recorded)?;
        }
        self.promise(Some(Side::Old));
        self.finish(restored)
    }

    /// Recovers until nothing is left to recover, and says which files are there now.
    pub fn recover(&mut self) -> Result<Side, String> {
        for _ in 0..4 {
            let ended = match recover(STATE, "site", &self.world.key).map_err(|error| error.to_string())? {
                Recovered::Nothing => return self.at_rest(),
                Recovered::Abandoned(_) => Ok(()),
                Recovered::Forward(switched) | Recovered::Unproven(switched) => self.go_on(switched),
                Recovered::Restored(restored) => self.go_back(restored),
            };
            ended.map_err(|failure| format!("recovery {failure}"))?;
        }
        Err("recovery does not come to an end".to_owned())
    }

    /// Checks what has to hold when nothing is going on, and promises that it stays so.
    pub fn at_rest(&mut self) -> Result<Side, String> {
        let disk = self.disk();
        let side = self.world.side(&disk)?;
        let left = disk.files(super::world::SHELF);
        if !left.is_empty() {
            return Err(format!("left on the shelf: {left:?}"));
        }
        self.world.agrees(&self.note().ledger, &disk)?;
        match self.note().promised {
            Some(promised) if promised != side => return Err(format!("{promised:?} was promised, and it is {side:?}")),
            _ => self.promise(Some(side)),
        }
        Ok(side)
    }
}
