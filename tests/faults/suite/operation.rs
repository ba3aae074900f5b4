//! What a child does: a whole deployment, a rollback or a recovery, in the order in which the program does it.
//!
//! It says what it believes to have done in memory that it shares with its parent, so that this outlives a `kill -9`.

#![allow(unsafe_code, reason = "memory that is shared with a child has no safe form")]

use super::cases::Case;
use super::world::{REPOSITORY, World};
use headfast::host::Error;
use headfast::host::transaction::{self, CommitError, Recovered, Request, Switched};
use headfast::host::view;
use headfast::revision::{ObjectId, ReadError};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::SeqCst};

/// What is done to the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The new files come and their probes pass.
    Apply,
    /// The new files come, their probes fail and the old files come back.
    Rollback,
}

impl Operation {
    /// What the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Apply => "apply",
            Operation::Rollback => "rollback",
        }
    }
}

/// What an operation says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing: it did not come to its end.
    Silent,
    /// It did all that it was to do.
    Done,
    /// It failed, and the old files are in place.
    FailedBefore,
    /// It failed, and recovery has to go on.
    FailedAfter,
}

/// Memory shared with a child.
pub struct Claims {
    outcome: AtomicU32,
    committed: AtomicU32,
    surprised: AtomicU32,
    recording: AtomicU32,
    length: AtomicU32,
    text: [AtomicU8; 1000],
}

impl Claims {
    /// Makes the memory; it stays for as long as the process.
    pub fn shared() -> &'static Claims {
        // SAFETY: every field is an atomic number.
        unsafe { super::memory::shared() }
    }

    /// Forgets what an earlier child said.
    pub fn clear(&self) {
        for field in [&self.outcome, &self.committed, &self.surprised, &self.recording, &self.length] {
            field.store(0, SeqCst);
        }
    }

    /// Returns how the operation ended in its own words.
    pub fn outcome(&self) -> Outcome {
        match self.outcome.load(SeqCst) {
            0 => Outcome::Silent,
            1 => Outcome::Done,
            2 => Outcome::FailedBefore,
            _ => Outcome::FailedAfter,
        }
    }

    /// Returns whether the commit point was passed and said so.
    pub fn is_committed(&self) -> bool {
        self.committed.load(SeqCst) != 0
    }

    /// Returns whether it took a file for another's although nobody else was there.
    pub fn is_surprised(&self) -> bool {
        self.surprised.load(SeqCst) != 0
    }

    /// Returns whether the ledger is being written, which is the test's own and not the program's database.
    pub fn is_recording(&self) -> bool {
        self.recording.load(SeqCst) != 0
    }

    /// Returns the error's words.
    pub fn text(&self) -> String {
        let bytes: Vec<u8> =
            self.text.iter().map(|it| it.load(SeqCst)).take(self.length.load(SeqCst) as usize).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn end(&self, outcome: Outcome, text: &str) {
        for (byte, place) in text.bytes().zip(&self.text) {
            place.store(byte, SeqCst);
        }
        self.length.store(text.len().min(self.text.len()) as u32, SeqCst);
        let number = match outcome {
            Outcome::Silent => 0,
            Outcome::Done => 1,
            Outcome::FailedBefore => 2,
            Outcome::FailedAfter => 3,
        };
        self.outcome.store(number, SeqCst);
    }

    fn end_with(&self, result: Result<(), Failure>) {
        match result {
            Ok(()) => self.end(Outcome::Done, ""),
            Err(Failure { is_before: true, text }) => self.end(Outcome::FailedBefore, &text),
            Err(Failure { is_before: false, text }) => self.end(Outcome::FailedAfter, &text),
        }
    }
}

struct Failure {
    is_before: bool,
    text: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { is_before: false, text: error.to_string() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure { is_before: false, text: format!("ledger: {error}") }
    }
}

fn before(error: Error) -> Failure {
    Failure { is_before: true, text: error.to_string() }
}

/// An operation's surroundings.
pub struct Scene<'a> {
    /// Where it happens.
    pub world: &'a World,
    /// What is deployed.
    pub case: &'a Case,
    /// Where it says what it did.
    pub claims: &'a Claims,
}

impl Scene<'_> {
    /// Deploys, from staging to the end.
    pub fn operate(&self, operation: Operation, request: &Request) {
        self.claims.end_with(self.deploy(operation, request));
    }

    /// Finishes what was cut short; once is enough on a healthy host.
    pub fn recover(&self, operation: Operation) {
        self.claims.end_with(self.resume(operation));
    }

    /// As `deploy::execute` does it.
    fn deploy(&self, operation: Operation, request: &Request) -> Result<(), Failure> {
        let World { state, key, .. } = self.world;
        let blob = |id: &ObjectId| Err(ReadError { what: id.to_string(), reason: "there are no blobs".into() });
        let staged = transaction::stage(state, request, key, &blob).map_err(before)?;
        if self.case.is_checked {
            let looked = request.targets.iter().try_for_each(|it| view::build(&staged, &it.root).map(drop));
            if let Err(error) = looked {
                staged.abandon().map_err(before)?;
                return Err(before(error));
            }
        }
        let switched = staged.commit(key).map_err(|error| match error {
            CommitError::Before(error) => before(error),
            CommitError::After(error) => Failure::from(error),
        })?;
        self.claims.committed.store(1, SeqCst);
        self.prove(operation, self.record(switched)?)
    }

    /// As `deploy::recover` does it.
    fn resume(&self, operation: Operation) -> Result<(), Failure> {
        match transaction::recover(&self.world.state, REPOSITORY, &self.world.key)? {
            Recovered::Nothing | Recovered::Abandoned(_) => Ok(()),
            Recovered::Forward(switched) => self.prove(operation, self.record(switched)?),
            Recovered::Unproven(switched) => self.prove(operation, switched),
            Recovered::Restored(switched) => self.settle_restored(switched),
        }
    }

    fn record(&self, mut switched: Switched) -> Result<Switched, Failure> {
        self.note_surprises(&switched)?;
        self.write_ledger(&switched)?;
        switched.settle()?;
        Ok(switched)
    }

    fn prove(&self, operation: Operation, switched: Switched) -> Result<(), Failure> {
        match operation {
            Operation::Apply => Ok(switched.finish().map(drop)?),
            Operation::Rollback => self.settle_restored(switched.restore(&self.world.key)?),
        }
    }

    fn settle_restored(&self, mut restored: Switched) -> Result<(), Failure> {
        if !restored.is_settled() {
            self.note_surprises(&restored)?;
            self.write_ledger(&restored)?;
            restored.settle()?;
        }
        Ok(restored.finish().map(drop)?)
    }

    fn write_ledger(&self, switched: &Switched) -> Result<(), Failure> {
        self.claims.recording.store(1, SeqCst);
        let result = self.world.record(&switched.rows());
        self.claims.recording.store(0, SeqCst);
        Ok(result?)
    }

    fn note_surprises(&self, switched: &Switched) -> Result<(), Failure> {
        if !switched.surprises(&self.world.key)?.is_empty() {
            self.claims.surprised.store(1, SeqCst);
        }
        Ok(())
    }
}
