//! Extended attributes of files: what a new file takes over from the one that it replaces, or from its folder.
//!
//! Taken over are POSIX access lists, `user.*` and the SELinux label. File capabilities stay only while the content stays:
//! they were given to a program, not to a name. Nothing else is, because `trusted.*` and the signatures of `security.ima`
//! belong to the old inode.

use super::Error;
use super::dir::{Dir, File, Handle, split};
use super::transaction::Change;
use crate::plan::LiveKind;
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
        wanted.take(ACCESS_LIST, get(parent.opened(), DEFAULT_LIST).map_err(failed(&parent, ""))?);
    }
    if !wanted.0.contains_key(LABEL) {
        wanted.take(LABEL, get(parent.opened(), LABEL).map_err(failed(&parent, ""))?);
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
            if get(file.opened(), attribute).map_err(failed(dir, name))?.as_ref() != Some(value) {
                file.opened().give_attribute(attribute.as_bytes(), value).map_err(failed(dir, name))?;
            }
        }
        Ok(())
    }

    /// Gives the capability to a new file; its owner comes before, because changing that takes capabilities away.
    pub(super) fn give_capability(&self, dir: &Dir, name: &str) -> Result<(), Error> {
        let Some(value) = self.0.get(CAPABILITY) else { return Ok(()) };
        let path = dir.path_of(name);
        open(dir, name)?
            .opened()
            .set_attribute(CAPABILITY.as_bytes(), value)
            .map_err(Error::io("set the file capability of", path))
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
        let wanted = get(parent.opened(), from).map_err(failed(parent, ""))?;
        match (wanted, get(made.opened(), attribute).map_err(failed(made, ""))?) {
            (Some(wanted), has) if has.as_ref() != Some(&wanted) => {
                made.opened().give_attribute(attribute.as_bytes(), &wanted)
            }
            (None, Some(_)) if attribute != LABEL => made.opened().remove_attribute(attribute.as_bytes()),
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
        staging.opened().remove_attribute(list.as_bytes()).map_err(failed(staging, ""))?;
    }
    staging.set_mode(0o700)
}

/// Returns whether a directory has an access list beyond its mode.
pub(super) fn has_access_list(dir: &Dir) -> Result<bool, Error> {
    Ok(get(dir.opened(), ACCESS_LIST).map_err(failed(dir, ""))?.is_some())
}

fn failed(dir: &Dir, name: &str) -> impl FnOnce(Errno) -> Error + use<> {
    Error::io("keep the extended attributes of", dir.path_of(name))
}

/// Opens a regular file to ask for its attributes.
fn open(dir: &Dir, name: &str) -> Result<File, Error> {
    match dir.read(name) {
        Err(Error::WrongType { path, .. }) => Err(Error::Changed { path }),
        Err(Error::Io { errno, .. }) => Err(failed(dir, name)(errno)),
        other => other,
    }
}

fn get(opened: &Handle, name: &str) -> Result<Option<Vec<u8>>, Errno> {
    opened.attribute(name.as_bytes())
}

/// Reads what may be taken over from a file.
fn carried(dir: &Dir, name: &str) -> Result<Attributes, Error> {
    let file = open(dir, name)?;
    let mut found = Attributes::default();
    for attribute in file.opened().attributes().map_err(failed(dir, name))? {
        let Ok(attribute) = String::from_utf8(attribute) else { continue };
        if attribute.starts_with("user.") || [ACCESS_LIST, LABEL, CAPABILITY].contains(&attribute.as_str()) {
            found.take(&attribute, get(file.opened(), &attribute).map_err(failed(dir, name))?);
        }
    }
    Ok(found)
}
