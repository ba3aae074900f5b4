//! Records on commits, in a notes ref that each host has for itself.

use super::error::Error;
use super::mirror::Mirror;
use super::{Remote, id, oid};
use crate::revision::ObjectId;
use crate::rollback::{AUTHOR_EMAIL, AUTHOR_NAME};
use git2::{ErrorCode, Oid, Signature};

impl Mirror {
    /// Writes a note on `commit` in `reference`, on top of what the remote has there, and pushes it.
    ///
    /// The newest note on a commit replaces the one before, which stays in the ref's history. When the remote moves on in
    /// between, it is fetched and tried once more. `reference` is a full name, `refs/notes/headfast/<environment>/<host>`.
    pub fn note(&mut self, remote: &Remote, reference: &str, commit: &ObjectId, text: &str) -> Result<(), Error> {
        match self.note_once(remote, reference, commit, text) {
            Err(Error::PushRefused { .. }) => self.note_once(remote, reference, commit, text),
            other => other,
        }
    }

    /// Returns the note on `commit` in `reference`, as it was when the ref was last fetched or written.
    pub fn read_note(&self, reference: &str, commit: &ObjectId) -> Result<Option<String>, Error> {
        match self.repository.find_note(Some(reference), oid(commit)?) {
            Ok(note) => Ok(Some(String::from_utf8_lossy(note.message_bytes()).into_owned())),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(self.judge(reference, &error)),
        }
    }

    fn note_once(&mut self, remote: &Remote, reference: &str, commit: &ObjectId, text: &str) -> Result<(), Error> {
        let annotated = oid(commit)?;
        let base = self.fetch_reference(remote, reference)?;
        self.begin_at(reference, base)?;
        if self.read_note(reference, commit)?.as_deref() == Some(text) {
            return Ok(());
        }
        let write = || -> Result<Oid, git2::Error> {
            let author = Signature::now(AUTHOR_NAME, AUTHOR_EMAIL)?;
            self.repository.note(&author, &author, Some(reference), annotated, text, true)?;
            self.repository.refname_to_id(reference)
        };
        let written = write().map_err(|error| self.judge(reference, &error))?;
        self.push(remote, &id(written), reference)
    }

    /// Makes the local ref equal to the remote's: what was written here and never arrived there is written anew.
    fn begin_at(&self, reference: &str, base: Option<Oid>) -> Result<(), Error> {
        if let Some(base) = base {
            return self.set_reference(reference, base);
        }
        match self.repository.find_reference(reference).and_then(|mut it| it.delete()) {
            Err(error) if error.code() != ErrorCode::NotFound => Err(self.judge(reference, &error)),
            _ => Ok(()),
        }
    }
}
