//! A plain directory read as if it were a revision, for `check` in a checkout.

use crate::revision::{EntryKind, ObjectId, ReadError, Tree, TreeEntry};
use git2::{ObjectType, Oid};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The files below a directory, with the ids that git would give them.
///
/// Nothing is ignored but `.git`, and what git cannot hold: sockets, devices and pipes. A folder's id is not git's, for
/// that would mean to read all that is below it; it only tells folders apart. Each path is looked at once: what changes
/// later does not show.
pub struct WorkTree {
    root: PathBuf,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// What is at each path that was asked for.
    entries: HashMap<String, Option<TreeEntry>>,
    /// Where the content of each id that was given out can be read.
    contents: HashMap<ObjectId, PathBuf>,
}

impl WorkTree {
    /// Opens a directory.
    pub fn open(dir: &Path) -> Result<WorkTree, ReadError> {
        super::libgit2::prepare();
        match fs::metadata(dir) {
            Ok(it) if it.is_dir() => Ok(WorkTree { root: dir.to_owned(), known: Mutex::default() }),
            Ok(_) => Err(ReadError { what: dir.display().to_string(), reason: "it is not a folder".into() }),
            Err(error) => Err(failed(dir, &error)),
        }
    }

    /// Returns where `path` is, and what; no link on the way is followed, because git would not follow it.
    fn locate(&self, path: &str) -> Result<Option<(PathBuf, Metadata)>, ReadError> {
        let mut place = self.root.clone();
        let mut found = fs::metadata(&place).map_err(|it| failed(&place, &it))?;
        for name in path.split('/').filter(|_| !path.is_empty()) {
            if !found.is_dir() || matches!(name, "" | "." | "..") || is_hidden(name.as_bytes()) {
                return Ok(None);
            }
            place.push(name);
            found = match fs::symlink_metadata(&place) {
                Ok(it) => it,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => {
                    return Ok(None);
                }
                Err(error) => return Err(failed(&place, &error)),
            };
        }
        Ok(Some((place, found)))
    }

    /// Returns the entry for a file, link or folder, or `None` for what git cannot hold.
    fn entry(&self, name: &OsStr, place: &Path, found: &Metadata) -> Result<Option<TreeEntry>, ReadError> {
        let hashed = |it: Result<Oid, git2::Error>| {
            it.map_err(|it| ReadError { what: place.display().to_string(), reason: it.message().to_owned() })
        };
        let (kind, oid) = match found.file_type() {
            it if it.is_dir() => {
                let shown = format!("folder {}", place.display());
                (EntryKind::Directory, hashed(Oid::hash_object(ObjectType::Blob, shown.as_bytes()))?)
            }
            it if it.is_symlink() => {
                let target = fs::read_link(place).map_err(|it| failed(place, &it))?;
                (EntryKind::Link, hashed(Oid::hash_object(ObjectType::Blob, target.as_os_str().as_bytes()))?)
            }
            it if it.is_file() => {
                let executable = found.permissions().mode() & 0o100 != 0;
                (EntryKind::File { executable }, hashed(Oid::hash_file(ObjectType::Blob, place))?)
            }
            _ => return Ok(None),
        };
        let id = super::id(oid);
        if kind != EntryKind::Directory {
            self.known().contents.insert(id.clone(), place.to_owned());
        }
        Ok(Some(TreeEntry { name: name.as_bytes().to_vec(), kind, id }))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place_of(&self, id: &ObjectId) -> Result<PathBuf, ReadError> {
        let place = self.known().contents.get(id).cloned();
        place.ok_or_else(|| ReadError { what: id.to_string(), reason: "no such file was seen".into() })
    }
}

impl Tree for WorkTree {
    fn find(&self, path: &str) -> Result<Option<TreeEntry>, ReadError> {
        if let Some(known) = self.known().entries.get(path) {
            return Ok(known.clone());
        }
        let entry = match self.locate(path)? {
            Some((place, found)) => {
                let name = OsStr::new(path.rsplit('/').next().unwrap_or_default());
                self.entry(name, &place, &found)?
            }
            None => None,
        };
        // Of two threads that looked, all see what the first saw.
        Ok(self.known().entries.entry(path.to_owned()).or_insert(entry).clone())
    }

    fn list(&self, path: &str) -> Result<Option<Vec<TreeEntry>>, ReadError> {
        let Some((place, _)) = self.locate(path)?.filter(|it| it.1.is_dir()) else { return Ok(None) };
        let mut entries = Vec::new();
        for entry in fs::read_dir(&place).map_err(|it| failed(&place, &it))? {
            let name = entry.map_err(|it| failed(&place, &it))?.file_name();
            if is_hidden(name.as_bytes()) {
                continue;
            }
            let at = place.join(&name);
            let found = fs::symlink_metadata(&at).map_err(|it| failed(&at, &it))?;
            entries.extend(self.entry(&name, &at, &found)?);
        }
        entries.sort_by_key(git_order);
        Ok(Some(entries))
    }

    fn size(&self, id: &ObjectId) -> Result<u64, ReadError> {
        let place = self.place_of(id)?;
        fs::symlink_metadata(&place).map(|it| it.len()).map_err(|it| failed(&place, &it))
    }

    fn blob(&self, id: &ObjectId) -> Result<Vec<u8>, ReadError> {
        let place = self.place_of(id)?;
        let read = match fs::symlink_metadata(&place) {
            Ok(it) if it.is_symlink() => fs::read_link(&place).map(|it| it.as_os_str().as_bytes().to_vec()),
            Ok(_) => fs::read(&place),
            Err(error) => Err(error),
        };
        read.map_err(|it| failed(&place, &it))
    }
}

fn is_hidden(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b".git")
}

/// Git sorts a folder as if its name ended with a slash.
fn git_order(entry: &TreeEntry) -> Vec<u8> {
    let mut key = entry.name.clone();
    if entry.kind == EntryKind::Directory {
        key.push(b'/');
    }
    key
}

fn failed(place: &Path, error: &io::Error) -> ReadError {
    ReadError { what: place.display().to_string(), reason: error.to_string() }
}
