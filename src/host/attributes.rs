//! Extended attributes of files: what a new file takes over from the one that it replaces, or from its folder.
//!
//! Taken over are POSIX access lists, `user.*` and the SELinux label. File capabilities stay only while the content stays:
//! they were given to a program, not to a name. Nothing else is, because `trusted.*` and the signatures of `security.ima`
//! belong to the old inode.

use super::Error;
use super::dir::{Dir, split};
use super::transaction::Change;
use crate::plan::LiveKind;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use sha2::Digest as _;
use std::collections::BTreeMap;

const ACCESS_LIST: &str = "system.posix_acl_access";
const DEFAULT_LIST: &str = "system.posix_acl_default";
const LABEL: &str = "security.selinux";
const CAPABILITY: &str = "security.capability";

/// Extended attributes by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes(BTreeMap<String, Vec<u8>>);

/// Returns what the new file of a change shall have; `path` is below `base`.
pub(super) fn wanted(base: &Dir, path: &str, change: &Change) -> Result<Attributes, Error> {
    let Some((_, row)) = change.incoming.as_ref().filter(|it| it.1.kind == LiveKind::File) else {
        return Ok(Attributes::default());
    };
    let (folder, name) = split(path);
    let replaces = change.outgoing.as_ref().is_some_and(|it| it.kind == LiveKind::File);
    let mut wanted = match replaces {
        true => {
            let gone = || Error::Changed { path: base.path_of(path) };
            carried(&base.below(folder)?.ok_or_else(gone)?, name)?
        }
        false => Attributes::default(),
    };
    let parent = nearest_folder(base, folder)?;
    if !replaces {
        wanted.take(ACCESS_LIST, get(parent.handle(), DEFAULT_LIST).map_err(failed(&parent, ""))?);
    }
    if !wanted.0.contains_key(LABEL) {
        wanted.take(LABEL, get(parent.handle(), LABEL).map_err(failed(&parent, ""))?);
    }
    // Whoever was let in by the access list was let in to what was no secret.
    let was_sensitive = change.row_before.as_ref().is_some_and(|it| it.sensitive);
    if row.sensitive && !was_sensitive {
        wanted.0.remove(ACCESS_LIST);
    }
    Ok(wanted)
}

/// Opens the folder, or what will be around it once it is made.
fn nearest_folder(base: &Dir, folder: &str) -> Result<Dir, Error> {
    let mut folder = folder;
    loop {
        match base.below(folder) {
            Ok(Some(dir)) => return Ok(dir),
            Ok(None) | Err(Error::WrongType { .. }) if !folder.is_empty() => folder = split(folder).0,
            Ok(None) => return Err(Error::Changed { path: base.path_of(folder) }),
            Err(error) => return Err(error),
        }
    }
}

impl Attributes {
    fn take(&mut self, name: &str, value: Option<Vec<u8>>) {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value);
        }
    }

    /// Returns whether there is a file capability among them.
    pub(super) fn has_capability(&self) -> bool {
        self.0.contains_key(CAPABILITY)
    }

    /// Gives them to a new file, all but the capability. The mode comes after: it is the access list's mask.
    pub(super) fn give(&self, dir: &Dir, name: &str) -> Result<(), Error> {
        let others: Vec<_> = self.0.iter().filter(|it| it.0 != CAPABILITY).collect();
        if others.is_empty() {
            return Ok(());
        }
        let file = open(dir, name)?;
        for (attribute, value) in others {
            // What the file has by itself need not be set, which may take powers that the process lacks.
            if get(&file, attribute).map_err(failed(dir, name))?.as_ref() != Some(value) {
                set(&file, attribute, value).map_err(failed(dir, name))?;
            }
        }
        Ok(())
    }

    /// Gives the capability to a new file; its owner comes before, because changing that takes capabilities away.
    pub(super) fn give_capability(&self, dir: &Dir, name: &str) -> Result<(), Error> {
        let Some(value) = self.0.get(CAPABILITY) else { return Ok(()) };
        let path = dir.path_of(name);
        set(open(dir, name)?, CAPABILITY, value).map_err(Error::io("set the file capability of", path))
    }
}

/// Returns a digest of what a file has of the attributes that are taken over; empty when it has none.
pub(super) fn fingerprint(dir: &Dir, name: &str) -> Result<String, Error> {
    let Attributes(found) = carried(dir, name)?;
    if found.is_empty() {
        return Ok(String::new());
    }
    let mut sum = sha2::Sha256::new();
    for (name, value) in &found {
        sum.update((name.len() as u64).to_be_bytes());
        sum.update(name);
        sum.update((value.len() as u64).to_be_bytes());
        sum.update(value);
    }
    Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Lets a new folder have what its parent gives to what is made in it, as if it had been made there.
pub(super) fn inherit(parent: &Dir, made: &Dir) -> Result<(), Error> {
    for attribute in [ACCESS_LIST, DEFAULT_LIST, LABEL] {
        let from = if attribute == ACCESS_LIST { DEFAULT_LIST } else { attribute };
        let wanted = get(parent.handle(), from).map_err(failed(parent, ""))?;
        match (wanted, get(made.handle(), attribute).map_err(failed(made, ""))?) {
            (Some(wanted), has) if has.as_ref() != Some(&wanted) => set(made.handle(), attribute, &wanted),
            (None, Some(_)) if attribute != LABEL => remove(made.handle(), attribute),
            _ => Ok(()),
        }
        .map_err(failed(made, ""))?;
    }
    Ok(())
}

/// Keeps a staging folder from what its parent gives to what is made in it: what is staged belongs elsewhere, and a default
/// access list may even keep the owner out.
pub(super) fn disinherit(staging: &Dir) -> Result<(), Error> {
    for list in [ACCESS_LIST, DEFAULT_LIST] {
        remove(staging.handle(), list).map_err(failed(staging, ""))?;
    }
    rustix::fs::fchmod(staging.handle(), Mode::RWXU).map_err(Error::io("change the mode of", staging.path()))
}

/// Returns whether a directory has an access list beyond its mode.
pub(super) fn has_access_list(dir: &Dir) -> Result<bool, Error> {
    Ok(get(dir.handle(), ACCESS_LIST).map_err(failed(dir, ""))?.is_some())
}

fn failed(dir: &Dir, name: &str) -> impl FnOnce(Errno) -> Error + use<> {
    Error::io("keep the extended attributes of", dir.path_of(name))
}

/// Opens a regular file to ask for its attributes.
fn open(dir: &Dir, name: &str) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir.handle(), name, flags, Mode::empty()).map_err(failed(dir, name))?;
    let stat = rustix::fs::fstat(&fd).map_err(failed(dir, name))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(fd),
        _ => Err(Error::Changed { path: dir.path_of(name) }),
    }
}

/// Reads what may be taken over from a file.
fn carried(dir: &Dir, name: &str) -> Result<Attributes, Error> {
    let file = open(dir, name)?;
    let mut found = Attributes::default();
    for attribute in names(&file).map_err(failed(dir, name))? {
        if attribute.starts_with("user.") || [ACCESS_LIST, LABEL, CAPABILITY].contains(&attribute.as_str()) {
            found.take(&attribute, get(&file, &attribute).map_err(failed(dir, name))?);
        }
    }
    Ok(found)
}

fn names(fd: impl AsFd) -> Result<Vec<String>, Errno> {
    let list = sized(|buffer| match buffer {
        None => rustix::fs::flistxattr_query(&fd),
        Some(buffer) => rustix::fs::flistxattr(&fd, buffer),
    });
    let list = match list {
        Err(Errno::OPNOTSUPP) => Vec::new(),
        list => list?,
    };
    let names = list.split(|byte| *byte == 0).filter(|it| !it.is_empty());
    Ok(names.filter_map(|it| String::from_utf8(it.to_vec()).ok()).collect())
}

fn get(fd: impl AsFd, name: &str) -> Result<Option<Vec<u8>>, Errno> {
    let value = sized(|buffer| match buffer {
        None => rustix::fs::fgetxattr_query(&fd, name),
        Some(buffer) => rustix::fs::fgetxattr(&fd, name, buffer),
    });
    match value {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        value => value.map(Some),
    }
}

/// Asks for a size and then for that many bytes, again when they have become more meanwhile.
fn sized(ask: impl Fn(Option<&mut [u8]>) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    loop {
        let mut buffer = vec![0; ask(None)?];
        if buffer.is_empty() {
            return Ok(buffer);
        }
        match ask(Some(&mut buffer)) {
            Err(Errno::RANGE) => {}
            used => {
                buffer.truncate(used?);
                return Ok(buffer);
            }
        }
    }
}

fn set(fd: impl AsFd, name: &str, value: &[u8]) -> Result<(), Errno> {
    rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty())
}

fn remove(fd: impl AsFd, name: &str) -> Result<(), Errno> {
    match rustix::fs::fremovexattr(fd, name) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}
