//! The repository that a folder of this machine lies in, with its history; nothing is ever written into it.

use super::blame::{self, Asked, Blamed, LineMap};
use super::error::{Error, one_line, reason_of};
use super::read::{GitTree, value_of};
use super::{id, libgit2, oid};
use crate::revision::{Commit, ObjectId};
use git2::{ErrorCode, ObjectType, Oid, Repository, RepositoryOpenFlags};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

/// A working tree's repository. It belongs to its user: whatever is wrong with it is said and not mended.
pub struct Checkout {
    repository: Repository,
    /// Where the folder is in the repository; empty for its root.
    prefix: String,
}

impl Checkout {
    /// Opens the repository whose working tree `dir` is, or is a folder of; `None` when there is none.
    pub fn discover(dir: &Path) -> Result<Option<Checkout>, Error> {
        libgit2::prepare();
        let none: [&OsStr; 0] = [];
        let repository = match Repository::open_ext(dir, RepositoryOpenFlags::empty(), none) {
            Ok(repository) => repository,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(failed(dir, &error)),
        };
        let Some(top) = repository.workdir() else { return Ok(None) };
        let no_path = |source: io::Error| Error::Io { path: dir.to_owned(), source };
        let (top, dir) = (top.canonicalize().map_err(no_path)?, dir.canonicalize().map_err(no_path)?);
        let Some(prefix) = dir.strip_prefix(&top).ok().and_then(Path::to_str).map(str::to_owned) else {
            return Ok(None);
        };
        Ok(Some(Checkout { repository, prefix }))
    }

    /// Returns the commit that is checked out; `None` before the first one.
    pub fn head(&self) -> Result<Option<ObjectId>, Error> {
        Ok(self.head_id()?.map(id))
    }

    /// Returns the id of the commit that `text` names: an id or the beginning of one, a branch, a tag, `HEAD~2`.
    pub fn resolve(&self, text: &str) -> Result<ObjectId, Error> {
        let found = self.repository.revparse_single(text).and_then(|it| it.peel_to_commit());
        found.map(|it| id(it.id())).map_err(|_| Error::Unknown { text: one_line(text.as_bytes()) })
    }

    /// Returns a commit by its whole id.
    pub fn commit(&self, commit: &ObjectId) -> Result<Commit, Error> {
        self.find(commit).map(|it| value_of(&it))
    }

    /// Returns the folder's files as they are in a commit, or `None` when it does not have the folder.
    pub fn tree(&self, commit: &ObjectId) -> Result<Option<GitTree>, Error> {
        let root = self.find(commit)?.tree().map_err(|it| self.failed(&it))?;
        let root = match self.prefix.is_empty() {
            true => Some(root.id()),
            false => match root.get_path(Path::new(&self.prefix)) {
                Ok(entry) if entry.kind() == Some(ObjectType::Tree) => Some(entry.id()),
                Ok(_) => None,
                Err(error) if error.code() == ErrorCode::NotFound => None,
                Err(error) => return Err(self.failed(&error)),
            },
        };
        let Some(root) = root else { return Ok(None) };
        let repository = Repository::open(self.repository.path()).map_err(|it| self.failed(&it))?;
        Ok(Some(GitTree::of_checkout(repository, root)))
    }

    /// Returns for each line of the working tree who changed it last; `work` reads a file of the folder.
    pub fn blame(&self, asked: &[Asked], work: &dyn Fn(&str) -> Option<Vec<u8>>) -> Result<Vec<Blamed>, Error> {
        let Some(head) = self.head_id()? else { return Ok(vec![Blamed::Uncommitted; asked.len()]) };
        let mut answers = vec![Blamed::Uncommitted; asked.len()];
        let mut committed = Vec::new();
        for (idx, it) in asked.iter().enumerate() {
            let Some(text) = work(&it.path) else {
                answers[idx] = Blamed::Absent;
                continue;
            };
            if let Some(line) = self.committed_line(head, it, &text).map_err(|it| self.failed(&it))? {
                committed.push((idx, Asked { path: self.inside(&it.path), line }));
            }
        }
        let lines: Vec<Asked> = committed.iter().map(|it| it.1.clone()).collect();
        let found = blame::blame(&self.repository, head, &lines).map_err(|it| self.failed(&it))?;
        for ((idx, _), blamed) in committed.iter().zip(found) {
            answers[*idx] = blamed;
        }
        Ok(answers)
    }

    /// Returns for each line of a commit's files who changed it last.
    pub fn blame_at(&self, commit: &ObjectId, asked: &[Asked]) -> Result<Vec<Blamed>, Error> {
        let lines: Vec<Asked> = asked.iter().map(|it| Asked { path: self.inside(&it.path), line: it.line }).collect();
        blame::blame(&self.repository, self.find(commit)?.id(), &lines).map_err(|it| self.failed(&it))
    }

    /// Returns where a line of the working tree is in the commit that is checked out; `None` when it is not there.
    fn committed_line(&self, head: Oid, asked: &Asked, text: &[u8]) -> Result<Option<u32>, git2::Error> {
        let root = self.repository.find_commit(head)?.tree()?;
        let entry = match root.get_path(Path::new(&self.inside(&asked.path))) {
            Ok(entry) => entry,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if entry.kind() != Some(ObjectType::Blob) {
            return Ok(None);
        }
        let blob = self.repository.find_blob(entry.id())?;
        let text = as_committed(text, blob.content());
        if text.as_ref() == blob.content() {
            return Ok(Some(asked.line));
        }
        Ok(LineMap::of_buffer(&blob, &text)?.and_then(|it| it.older(asked.line)))
    }

    fn inside(&self, path: &str) -> String {
        if self.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) }
    }

    fn head_id(&self) -> Result<Option<Oid>, Error> {
        match self.repository.head().and_then(|it| it.peel_to_commit()) {
            Ok(commit) => Ok(Some(commit.id())),
            Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn find(&self, commit: &ObjectId) -> Result<git2::Commit<'_>, Error> {
        self.repository.find_commit(oid(commit)?).map_err(|it| self.failed(&it))
    }

    fn failed(&self, error: &git2::Error) -> Error {
        failed(self.repository.path(), error)
    }
}

/// Words an error; other than a mirror, a checkout does not heal by itself.
fn failed(path: &Path, error: &git2::Error) -> Error {
    Error::Git { what: path.display().to_string(), reason: reason_of(error) }
}

/// Returns a file's text as git commits it where `core.autocrlf` adds carriage returns to what it checks out.
fn as_committed<'a>(text: &'a [u8], committed: &[u8]) -> Cow<'a, [u8]> {
    let has_returns = |it: &[u8]| it.windows(2).any(|it| it == b"\r\n");
    if !has_returns(text) || has_returns(committed) {
        return Cow::Borrowed(text);
    }
    let next = text.iter().skip(1).map(Some).chain([None]);
    let kept = text.iter().zip(next).filter(|(it, next)| !(**it == b'\r' && *next == Some(&b'\n')));
    Cow::Owned(kept.map(|it| *it.0).collect())
}
