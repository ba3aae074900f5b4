//! Commits, trees and signatures, read from the object database.

use super::error::{Error, one_line, reason_of};
use super::mirror::{Mirror, mark_damaged, open_bare};
use super::{id, oid};
use crate::revision::{Commit, EntryKind, ObjectId, ReadError, Tree, TreeEntry};
use git2::{ErrorCode, Oid, Repository, Sort};
use std::path::PathBuf;

impl Mirror {
    /// Returns a commit by its whole id.
    pub fn commit(&self, commit: &ObjectId) -> Result<Commit, Error> {
        self.find(commit).map(|it| value_of(&it))
    }

    /// Returns the id of the one commit that `text` begins the id of, or that it names in full.
    pub fn resolve(&self, text: &str) -> Result<ObjectId, Error> {
        let unknown = || Error::NotFound { text: one_line(text.as_bytes()) };
        if text.len() < 4 || !text.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Err(unknown());
        }
        self.repository.find_commit_by_prefix(text).map(|it| id(it.id())).map_err(|_| unknown())
    }

    /// Returns the files of a commit. It is cheap: nothing is read before it is asked for.
    pub fn tree(&self, commit: &ObjectId) -> Result<GitTree, Error> {
        let root = self.find(commit)?.tree_id();
        Ok(GitTree { mirror: Some(self.dir.clone()), repository: open_bare(&self.dir)?, root })
    }

    /// Returns whether `old` is `new` or one of its ancestors.
    ///
    /// The history of `new` is here as a whole, so an `old` that is not here at all is none of its ancestors.
    pub fn is_ancestor(&self, old: &ObjectId, new: &ObjectId) -> Result<bool, Error> {
        let (old_oid, new_oid) = (oid(old)?, self.find(new)?.id());
        if old_oid == new_oid {
            return Ok(true);
        }
        match self.find(old) {
            Ok(_) => {}
            Err(Error::NoCommit { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        self.repository
            .graph_descendant_of(new_oid, old_oid)
            .map_err(|error| self.judge(&format!("commit {new}"), &error))
    }

    /// Returns the commits that `new` reaches and `old` does not, newest first, and at most `limit` of them.
    ///
    /// A caller that must not miss any asks for one more than it can use.
    pub fn between(&self, old: &ObjectId, new: &ObjectId, limit: usize) -> Result<Vec<Commit>, Error> {
        let (old, new) = (self.find(old)?.id(), self.find(new)?.id());
        let walk = || -> Result<Vec<Commit>, git2::Error> {
            let mut walk = self.repository.revwalk()?;
            walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)?;
            walk.push(new)?;
            walk.hide(old)?;
            walk.take(limit).map(|it| Ok(value_of(&self.repository.find_commit(it?)?))).collect()
        };
        walk().map_err(|error| self.judge(&format!("commit {new}"), &error))
    }

    /// Returns a commit's signature, armoured, and the bytes that it signs; `None` when it is not signed.
    ///
    /// A commit with more than one signature is refused, because which bytes each of them signs is open to reading.
    pub fn signature(&self, commit: &ObjectId) -> Result<Option<(String, Vec<u8>)>, Error> {
        let found = self.find(commit)?;
        let ambiguous = |reason: &str| Error::Signature { id: commit.to_string(), reason: reason.to_owned() };
        let n_headers =
            |name: &[u8]| found.raw_header_bytes().split(|it| *it == b'\n').filter(|it| it.starts_with(name)).count();
        match (n_headers(b"gpgsig "), n_headers(b"gpgsig-sha256 ")) {
            (0, 0) => return Ok(None),
            (1, 0) => {}
            (0, _) => return Err(ambiguous("it signs the SHA-256 form of the commit only")),
            _ => return Err(ambiguous("it carries more than one")),
        }
        let extracted = self.repository.extract_signature(&found.id(), None);
        let (armor, payload) = extracted.map_err(|error| self.judge(&format!("commit {commit}"), &error))?;
        let armor = std::str::from_utf8(&armor).map_err(|_| ambiguous("it is not text"))?;
        Ok(Some((armor.to_owned(), payload.to_vec())))
    }

    /// Finds a commit that a caller names. One that is simply not here says nothing about the mirror's health.
    pub(super) fn find(&self, commit: &ObjectId) -> Result<git2::Commit<'_>, Error> {
        self.repository.find_commit(oid(commit)?).map_err(|error| match error.code() {
            ErrorCode::NotFound => Error::NoCommit { id: commit.to_string() },
            _ => self.judge(&format!("commit {commit}"), &error),
        })
    }
}

pub(super) fn value_of(commit: &git2::Commit<'_>) -> Commit {
    let author = commit.author();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let time = commit.time();
    Commit {
        id: id(commit.id()),
        tree: id(commit.tree_id()),
        parents: commit.parent_ids().map(id).collect(),
        author: format!("{} <{}>", text(author.name_bytes()), text(author.email_bytes())),
        time: time.seconds(),
        time_offset_minutes: time.offset_minutes(),
        message: text(commit.message_bytes()),
    }
}

/// The files of one commit of a mirror, or of a checkout.
pub struct GitTree {
    /// The mirror, which is made anew when it is damaged. A checkout is its user's.
    mirror: Option<PathBuf>,
    repository: Repository,
    root: Oid,
}

impl GitTree {
    /// Returns the files below the tree `root` of a repository that is not ours.
    pub(super) fn of_checkout(repository: Repository, root: Oid) -> GitTree {
        GitTree { mirror: None, repository, root }
    }

    fn failed(&self, what: &str, error: &git2::Error) -> ReadError {
        // Every object below a commit's tree should be here.
        if let Some(dir) = &self.mirror {
            mark_damaged(dir);
        }
        ReadError { what: what.to_owned(), reason: reason_of(error) }
    }

    fn object(&self, id: &ObjectId) -> Result<Oid, ReadError> {
        Oid::from_str(id.as_str()).map_err(|_| ReadError { what: id.to_string(), reason: "not an object id".into() })
    }

    /// Returns the tree of a folder, or `None` when there is no folder of that name.
    fn folder(&self, path: &str) -> Result<Option<git2::Tree<'_>>, ReadError> {
        let mut tree = self.repository.find_tree(self.root).map_err(|it| self.failed(path, &it))?;
        for name in path.split('/').filter(|_| !path.is_empty()) {
            let Some(entry) = tree.get_name(name).map(|it| (it.kind(), it.id())) else { return Ok(None) };
            let (Some(git2::ObjectType::Tree), next) = entry else { return Ok(None) };
            tree = self.repository.find_tree(next).map_err(|it| self.failed(path, &it))?;
        }
        Ok(Some(tree))
    }
}

impl Tree for GitTree {
    fn find(&self, path: &str) -> Result<Option<TreeEntry>, ReadError> {
        if path.is_empty() {
            return Ok(Some(TreeEntry { name: Vec::new(), kind: EntryKind::Directory, id: id(self.root) }));
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.folder(parent)?;
        Ok(folder.and_then(|it| it.get_name(name).map(|it| entry_of(&it))))
    }

    fn list(&self, path: &str) -> Result<Option<Vec<TreeEntry>>, ReadError> {
        Ok(self.folder(path)?.map(|it| it.iter().map(|it| entry_of(&it)).collect()))
    }

    fn size(&self, id: &ObjectId) -> Result<u64, ReadError> {
        let object = self.object(id)?;
        let header = self.repository.odb().and_then(|it| it.read_header(object));
        header.map(|it| it.0 as u64).map_err(|it| self.failed(&format!("object {id}"), &it))
    }

    fn blob(&self, id: &ObjectId) -> Result<Vec<u8>, ReadError> {
        let object = self.object(id)?;
        let blob = self.repository.find_blob(object);
        blob.map(|it| it.content().to_vec()).map_err(|it| self.failed(&format!("object {id}"), &it))
    }
}

fn entry_of(entry: &git2::TreeEntry<'_>) -> TreeEntry {
    let mode = entry.filemode_raw();
    let kind = match mode & 0o170_000 {
        0o040_000 => EntryKind::Directory,
        0o120_000 => EntryKind::Link,
        0o160_000 => EntryKind::Submodule,
        _ => EntryKind::File { executable: mode & 0o100 != 0 },
    };
    TreeEntry { name: entry.name_bytes().to_vec(), kind, id: id(entry.id()) }
}
