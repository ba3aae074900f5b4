//! A tree with a few files changed that nobody wrote yet.

use super::{EntryKind, MemoryTree, ObjectId, ReadError, Tree, TreeEntry};

/// A tree of which some files are replaced, or were added to folders that exist.
pub struct Overlay<'a> {
    below: &'a dyn Tree,
    above: MemoryTree,
}

impl<'a> Overlay<'a> {
    /// Returns a tree that is `below` but for the file at `path`.
    pub fn new(below: &'a dyn Tree, path: &str, content: &[u8]) -> Self {
        let mut above = MemoryTree::default();
        above.insert(path, EntryKind::File { executable: false }, content);
        Overlay { below, above }
    }

    fn replaced(&self, path: &str) -> Result<Option<TreeEntry>, ReadError> {
        Ok(self.above.find(path)?.filter(|it| matches!(it.kind, EntryKind::File { .. })))
    }
}

impl Tree for Overlay<'_> {
    fn find(&self, path: &str) -> Result<Option<TreeEntry>, ReadError> {
        match self.replaced(path)? {
            Some(entry) => Ok(Some(entry)),
            None => self.below.find(path),
        }
    }

    fn list(&self, path: &str) -> Result<Option<Vec<TreeEntry>>, ReadError> {
        let Some(mut entries) = self.below.list(path)? else { return Ok(None) };
        for entry in self.above.list(path)?.into_iter().flatten() {
            match entries.iter_mut().find(|it| it.name == entry.name) {
                Some(old) if entry.kind != EntryKind::Directory => *old = entry,
                Some(_) => {}
                None => entries.push(entry),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Some(entries))
    }

    fn size(&self, id: &ObjectId) -> Result<u64, ReadError> {
        self.above.size(id).or_else(|_| self.below.size(id))
    }

    fn blob(&self, id: &ObjectId) -> Result<Vec<u8>, ReadError> {
        self.above.blob(id).or_else(|_| self.below.blob(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_has_the_new_file_and_all_the_others() {
        let below = MemoryTree::new([("a/b.txt", "b"), ("a/c.txt", "c"), ("e.txt", "e")]);
        let tree = Overlay::new(&below, "a/c.txt", b"new");
        let read = |path: &str| {
            let entry = tree.find(path).expect("reads").expect("exists");
            let content = tree.blob(&entry.id).expect("reads");
            assert_eq!(tree.size(&entry.id), Ok(content.len() as u64));
            String::from_utf8(content).expect("UTF-8")
        };
        assert_eq!(["a/b.txt", "a/c.txt", "e.txt"].map(read), ["b", "new", "e"]);
        let names = |path: &str| tree.list(path).expect("reads").map(|it| it.len());
        assert_eq!((names(""), names("a"), names("x")), (Some(2), Some(2), None));
        let added = Overlay::new(&below, "a/d.txt", b"");
        assert_eq!(added.list("a").expect("reads").map(|it| it.len()), Some(3));
    }
}
