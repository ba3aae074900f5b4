//! A commit and its tree as values; blobs by id, fetched when needed.

pub mod fsck;
mod overlay;
mod read;
mod url;

pub use overlay::Overlay;
pub use url::RemoteUrl;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The id of a git object in hexadecimal.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct ObjectId(Arc<str>);

impl ObjectId {
    /// Wraps a hexadecimal id.
    pub fn new(hex: &str) -> Self {
        ObjectId(Arc::from(hex))
    }

    /// Returns the whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first twelve digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..self.0.len().min(12)]
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> String {
        id.0.as_ref().to_owned()
    }
}

impl From<String> for ObjectId {
    fn from(id: String) -> ObjectId {
        ObjectId(Arc::from(id))
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a tree entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file, and whether git marks it executable.
    File {
        /// Git's executable bit.
        executable: bool,
    },
    /// A symbolic link; its blob is the link's text.
    Link,
    /// A folder.
    Directory,
    /// A submodule (gitlink).
    Submodule,
}

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// The name as git has it; any byte but `/` and NUL, so not always UTF-8.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// The id of its blob or tree.
    pub id: ObjectId,
}

/// Why an object could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {what}: {reason}")]
pub struct ReadError {
    /// The path or id.
    pub what: String,
    /// The cause, as the object database says it.
    pub reason: String,
}

/// The files of one revision, read by path and by id.
///
/// Paths are relative to the root, with `/` between components and no leading, trailing or doubled `/`; the root is `""`.
pub trait Tree {
    /// Returns the entry at `path`, or `None` when there is none.
    fn find(&self, path: &str) -> Result<Option<TreeEntry>, ReadError>;

    /// Returns the entries of the folder at `path` in git's order, or `None` when there is no folder.
    fn list(&self, path: &str) -> Result<Option<Vec<TreeEntry>>, ReadError>;

    /// Returns the size in bytes of a blob, without reading it.
    fn size(&self, id: &ObjectId) -> Result<u64, ReadError>;

    /// Returns the content of a blob.
    fn blob(&self, id: &ObjectId) -> Result<Vec<u8>, ReadError>;
}

/// A commit as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: ObjectId,
    /// The id of its tree.
    pub tree: ObjectId,
    /// Its parents, first parent first.
    pub parents: Vec<ObjectId>,
    /// Author name and address, `Name <address>`.
    pub author: String,
    /// The committer's time in seconds since the epoch.
    pub time: i64,
    /// The time zone of `time` in minutes east of UTC.
    pub time_offset_minutes: i32,
    /// The whole message.
    pub message: String,
}

impl Commit {
    /// Returns the first line of the message.
    pub fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

/// A tree held in memory, for tests and for repositories that are embedded in the program.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    files: std::collections::BTreeMap<String, (EntryKind, ObjectId, Vec<u8>)>,
}

impl MemoryTree {
    /// Returns a tree of regular files from pairs of path and content.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut tree = MemoryTree::default();
        for (path, content) in files {
            tree.insert(path, EntryKind::File { executable: false }, content.as_bytes());
        }
        tree
    }

    /// Adds or replaces one file or link.
    pub fn insert(&mut self, path: &str, kind: EntryKind, content: &[u8]) {
        self.files.insert(path.to_owned(), (kind, MemoryTree::id_of(content), content.to_vec()));
    }

    fn id_of(content: &[u8]) -> ObjectId {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(content);
        ObjectId::new(&digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }
}

impl Tree for MemoryTree {
    fn find(&self, path: &str) -> Result<Option<TreeEntry>, ReadError> {
        let name = path.rsplit('/').next().unwrap_or(path).as_bytes().to_vec();
        if let Some((kind, id, _)) = self.files.get(path) {
            return Ok(Some(TreeEntry { name, kind: *kind, id: id.clone() }));
        }
        let below = format!("{path}/");
        let is_folder = path.is_empty() || self.files.keys().any(|it| it.starts_with(&below));
        Ok(is_folder.then(|| TreeEntry { name, kind: EntryKind::Directory, id: MemoryTree::id_of(path.as_bytes()) }))
    }

    fn list(&self, path: &str) -> Result<Option<Vec<TreeEntry>>, ReadError> {
        let below = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut entries: Vec<TreeEntry> = Vec::new();
        for (file, (kind, id, _)) in &self.files {
            let Some(rest) = file.strip_prefix(&below) else { continue };
            let (name, is_file) = match rest.split_once('/') {
                Some((folder, _)) => (folder, false),
                None => (rest, true),
            };
            if entries.last().is_some_and(|it| it.name == name.as_bytes()) {
                continue;
            }
            let (kind, id) = match is_file {
                true => (*kind, id.clone()),
                false => (EntryKind::Directory, MemoryTree::id_of(format!("{below}{name}").as_bytes())),
            };
            entries.push(TreeEntry { name: name.as_bytes().to_vec(), kind, id });
        }
        let exists = path.is_empty() || !entries.is_empty();
        Ok(exists.then_some(entries))
    }

    fn size(&self, id: &ObjectId) -> Result<u64, ReadError> {
        self.blob(id).map(|it| it.len() as u64)
    }

    fn blob(&self, id: &ObjectId) -> Result<Vec<u8>, ReadError> {
        let found = self.files.values().find(|it| it.1 == *id);
        found.map(|it| it.2.clone()).ok_or_else(|| ReadError { what: id.to_string(), reason: "no such blob".into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_tree_lists_files_and_folders() {
        let tree = MemoryTree::new([("a/b.txt", "b"), ("a/c/d.txt", "d"), ("e.txt", "e")]);
        let names = |path: &str| -> Vec<String> {
            let entries = tree.list(path).expect("memory never fails").unwrap_or_default();
            entries.into_iter().map(|it| String::from_utf8_lossy(&it.name).into_owned()).collect()
        };
        assert_eq!(names(""), ["a", "e.txt"]);
        assert_eq!(names("a"), ["b.txt", "c"]);
        assert_eq!(tree.find("a").expect("reads").map(|it| it.kind), Some(EntryKind::Directory));
        assert!(tree.list("x").expect("reads").is_none());
    }
}
