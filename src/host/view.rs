//! The staged view: the whole target as it would be, for checks to look at.
//!
//! Changed files are real copies, everything else is a symbolic link to the live file; never hard links, because a check
//! could write through them.

use super::Error;
use super::dir::{Dir, split};
use super::live::text_of;
use super::transaction::{FileChange, Staged, TREE};
use crate::plan::LiveKind;
use rustix::fs::FileType;
use std::collections::BTreeMap;

/// Builds the view of one target below its staging folder and returns the view's absolute path.
///
/// The view is private to this process's user and root, and goes away with the staging folder.
pub fn build(staged: &Staged, target: &str) -> Result<String, Error> {
    let (base, root) = staged.target(target)?;
    let staging = base
        .below(&root.staging)?
        .ok_or_else(|| Error::Conflict { path: base.path_of(&root.staging), what: "it is gone".into() })?;
    staging.make_dir("view")?;
    let changes: BTreeMap<&str, &FileChange> = root
        .files
        .iter()
        .filter(|it| it.incoming.is_some() || it.outgoing.is_some())
        .map(|it| (it.path.as_str(), it))
        .collect();
    // A generation is made from the one before, and has its new files in their places already.
    let (live, new) = match &root.generation {
        Some(generation) => (generation.source.map(text_of), staging.below(TREE)?),
        None => (Some(String::new()), None),
    };
    let live = live.map(|it| base.below(&root.in_base(&it))).transpose()?.flatten();
    let live_root = live.as_ref().map_or_else(String::new, |it| it.path().to_owned());
    let view = Builder { base, staging: &staging, new, live_root: &live_root, changes: &changes };
    if let Some(live) = live {
        view.link_live(&live, "")?;
    }
    for (path, change) in &changes {
        if change.incoming.is_some() {
            view.copy_staged(path, change)?;
        }
    }
    Ok(staging.path_of("view"))
}

struct Builder<'a> {
    base: &'a Dir,
    staging: &'a Dir,
    new: Option<Dir>,
    live_root: &'a str,
    changes: &'a BTreeMap<&'a str, &'a FileChange>,
}

impl Builder<'_> {
    /// Links every live file that does not change.
    fn link_live(&self, live: &Dir, folder: &str) -> Result<(), Error> {
        let here = self.folder(folder)?;
        for name in live.names()? {
            let Ok(name) = String::from_utf8(name) else { continue };
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if name.starts_with(super::PREFIX) || self.changes.contains_key(path.as_str()) {
                continue;
            }
            match live.look(&name)? {
                Some(found) if found.kind == FileType::Directory => match live.below(&name) {
                    Ok(Some(below)) => self.link_live(&below, &path)?,
                    Ok(None) => {}
                    // A mount point: the view shows it as it is.
                    Err(Error::MountPoint { .. }) => here.make_link(&name, &format!("{}/{path}", self.live_root))?,
                    Err(error) => return Err(error),
                },
                Some(_) => here.make_link(&name, &format!("{}/{path}", self.live_root))?,
                None => {}
            }
        }
        Ok(())
    }

    /// Copies one new file out of its slot, or out of the new tree, with its mode.
    fn copy_staged(&self, path: &str, change: &FileChange) -> Result<(), Error> {
        let (folder, name) = split(path);
        let here = self.folder(folder)?;
        let Some(new) = &change.incoming else { return Ok(()) };
        match &new.kind {
            LiveKind::Link(text) => here.make_link(name, text),
            _ => {
                let mut from = match &self.new {
                    Some(tree) => tree.below(folder)?.map(|it| it.read(name)).transpose()?.ok_or_else(|| {
                        Error::Conflict { path: tree.path_of(path), what: "the new tree is gone".into() }
                    })?,
                    None => self.staging.read(&change.slot.to_string())?,
                };
                let mut to = here.create(name)?;
                std::io::copy(&mut from, &mut to).map_err(Error::std("copy to", here.path_of(name)))?;
                to.set_access(new.mode, new.uid, new.gid)
            }
        }
    }

    /// Opens a folder of the view, making it and those above it.
    fn folder(&self, path: &str) -> Result<Dir, Error> {
        let missing = || Error::Conflict { path: self.base.path_of(path), what: "the staged view is gone".into() };
        let mut here = self.staging.below("view")?.ok_or_else(missing)?;
        for component in path.split('/').filter(|it| !it.is_empty()) {
            here.make_dir(component)?;
            here = here.below(component)?.ok_or_else(missing)?;
        }
        Ok(here)
    }
}
