//! The last commit that changed a path, found by comparing ids along the path and nothing else.

use super::error::Error;
use super::id;
use super::mirror::Mirror;
use crate::revision::ObjectId;
use git2::{Commit, Oid, Repository};

impl Mirror {
    /// Returns the newest commit that `tip` reaches in which any of `paths` changed, as `git log -1 -- paths` does.
    ///
    /// A merge that has the paths as one of its parents has them did not change them, and only that parent is followed.
    /// When no commit ever had any of the paths, it is the oldest one.
    pub fn last_change(&self, tip: &ObjectId, paths: &[String]) -> Result<ObjectId, Error> {
        let found = self.find(tip)?;
        last_change(&self.repository, found, paths)
            .map(id)
            .map_err(|error| self.judge(&format!("the history of commit {tip}"), &error))
    }
}

fn last_change(repository: &Repository, tip: Commit<'_>, paths: &[String]) -> Result<Oid, git2::Error> {
    let mut commit = tip;
    let entries = entries_at(repository, commit.tree_id(), paths)?;
    loop {
        let mut unchanged = None;
        for parent in commit.parents() {
            // Equal trees need no second look, and most unrelated commits differ in their root only.
            let is_same = parent.tree_id() == commit.tree_id()
                || entries_at(repository, parent.tree_id(), paths)?.iter().eq(&entries);
            if is_same {
                unchanged = Some(parent);
                break;
            }
        }
        match unchanged {
            Some(parent) => commit = parent,
            None => return Ok(commit.id()),
        }
    }
}

/// An entry as far as a change of it can be seen: its object and its mode.
type Entry = Option<(Oid, i32)>;

/// Returns what stands at each path; the root is the empty path.
fn entries_at(repository: &Repository, root: Oid, paths: &[String]) -> Result<Vec<Entry>, git2::Error> {
    paths.iter().map(|path| entry_at(repository, root, path)).collect()
}

fn entry_at(repository: &Repository, root: Oid, path: &str) -> Result<Entry, git2::Error> {
    let mut found = (root, 0o040_000);
    for name in path.split('/').filter(|it| !it.is_empty()) {
        if found.1 != 0o040_000 {
            return Ok(None);
        }
        let tree = repository.find_tree(found.0)?;
        match tree.get_name(name) {
            Some(entry) => found = (entry.id(), entry.filemode_raw()),
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}
