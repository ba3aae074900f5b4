//! Which files of a transaction are live: those that came, or those that were there before.

use super::journal::{FileChange, FileId, Journal, Root};
use crate::host::{Error, live};
use serde::{Deserialize, Serialize};

/// What stands at a path that a transaction changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// What was there before.
    Previous,
    /// What the transaction brought.
    New,
    /// Something else, or something that cannot be looked at.
    Neither,
}

impl Which {
    /// Returns it in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Which::Previous => "the previous one",
            Which::New => "the new one",
            Which::Neither => "neither the previous nor the new one",
        }
    }
}

/// Says of every file of a transaction, by its whole path, whether the previous or the new one is in place.
pub fn whereabouts(journal: &Journal) -> Vec<(String, Which)> {
    let files = journal.roots.iter().flat_map(|root| root.files.iter().map(move |file| (root, file)));
    let changed = files.filter(|(_, file)| file.incoming.is_some() || file.outgoing.is_some());
    changed.map(|(root, file)| (format!("{}/{}", root.path, file.path), which(root, file))).collect()
}

fn which(root: &Root, file: &FileChange) -> Which {
    let inode = |it: &Option<FileId>| it.as_ref().map(|it| it.stat.inode);
    match inode_at(root, &file.path) {
        Ok(found) if found == inode(&file.outgoing) => Which::Previous,
        Ok(found) if found == inode(&file.incoming) => Which::New,
        _ => Which::Neither,
    }
}

fn inode_at(root: &Root, path: &str) -> Result<Option<u64>, Error> {
    let Some(dir) = live::open(&root.path)? else { return Ok(None) };
    let (folder, name) = crate::host::dir::split(path);
    let Some(dir) = dir.below(folder)? else { return Ok(None) };
    Ok(dir.look(name)?.map(|it| it.stat.inode))
}
