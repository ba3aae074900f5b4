//! Files of a revision, and findings about those that cannot be had.

use super::{EntryKind, ObjectId, ReadError, Tree, TreeEntry};
use crate::finding::{Code, Finding, nearest};
use crate::place::Place;

impl From<ReadError> for Finding {
    fn from(error: ReadError) -> Self {
        Finding::error(Code::INCOMPLETE, error.to_string())
    }
}

impl dyn Tree + '_ {
    /// Returns the id and content of the ordinary file at `path`, or `None` when there is nothing.
    ///
    /// Anything else at the path, or a file of more than `limit` bytes, is a finding; `asked_at` is where the path was
    /// written.
    pub fn read_file(
        &self,
        path: &str,
        limit: usize,
        asked_at: &Place,
    ) -> Result<Option<(ObjectId, Vec<u8>)>, Finding> {
        match self.find_file(path, asked_at)? {
            Some(entry) => self.content(path, &entry, limit).map(|bytes| Some((entry.id, bytes))),
            None => Ok(None),
        }
    }

    /// Returns the entry of the ordinary file at `path`, or `None` when there is nothing.
    pub fn find_file(&self, path: &str, asked_at: &Place) -> Result<Option<TreeEntry>, Finding> {
        let refuse = |what: &str| Finding::error(Code::SHAPE, format!("`{path}` is {what}, not a file")).at(asked_at);
        let Some(entry) = self.find(path).map_err(|it| Finding::from(it).at(asked_at))? else { return Ok(None) };
        match entry.kind {
            EntryKind::File { .. } => Ok(Some(entry)),
            EntryKind::Link => Err(refuse("a symbolic link")),
            EntryKind::Directory => Err(refuse("a folder")),
            EntryKind::Submodule => Err(refuse("a submodule")),
        }
    }

    /// Returns the content of the file `entry`, which is at `path` and must not have more than `limit` bytes.
    pub fn content(&self, path: &str, entry: &TreeEntry, limit: usize) -> Result<Vec<u8>, Finding> {
        let content = || {
            let size = self.size(&entry.id)?;
            if size > limit as u64 {
                let message = format!("`{path}` has {size} bytes; the limit is {limit}");
                return Err(Finding::error(Code::FILE_TOO_BIG, message));
            }
            Ok(self.blob(&entry.id)?)
        };
        content().map_err(|it: Finding| it.at(&Place::whole(path)))
    }

    /// Returns the error for a path that leads nowhere, with the name that was perhaps meant.
    pub fn missing(&self, code: Code, path: &str, asked_at: &Place) -> Finding {
        let finding = Finding::error(code, format!("the repository has no `{path}`")).at(asked_at);
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let entries = self.list(folder).ok().flatten().unwrap_or_default();
        let names: Vec<String> = entries.into_iter().filter_map(|it| String::from_utf8(it.name).ok()).collect();
        match nearest(name, names.iter().map(String::as_str)) {
            Some(near) if folder.is_empty() => finding.hint(format!("did you mean `{near}`?")),
            Some(near) => finding.hint(format!("did you mean `{folder}/{near}`?")),
            None => finding,
        }
    }
}
