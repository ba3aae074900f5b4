//! A transaction that cannot be finished: what it holds is listed, for the caller to keep, and then it is given up.

use super::Surprise;
use super::journal::{FileChange, Root, Shelf};
use super::switch::hold;
use crate::host::dir::Dir;
use crate::host::scan::DigestKey;
use crate::host::{Error, PREFIX};
use crate::plan::{LivePath, Recorded};
use crate::render::TargetPath;
use rustix::fs::{FileType, RenameFlags};

/// The digits behind [`PREFIX`] in the name of a staging folder.
const STAGING_DIGITS: usize = 16;

/// What a transaction left behind that cannot be finished.
#[derive(Debug, Default)]
pub struct Wreck {
    /// The deployment that it belongs to, when the journal can be read.
    pub deployment: Option<i64>,
    /// What waits in its staging folders and is not made from the repository.
    pub files: Vec<Surprise>,
    /// Whether it is known which of the files are sensitive; a journal that cannot be read does not say.
    pub is_known: bool,
    /// The ledger's rows of the paths that it may have changed, as they would be after it or were before.
    pub rows: Vec<(LivePath, Recorded)>,
    /// The staging folders: the directory that holds each, and its name.
    folders: Vec<(String, String)>,
}

impl Wreck {
    /// Returns the paths of the staging folders.
    pub fn folders(&self) -> Vec<String> {
        self.folders.iter().map(|(base, name)| format!("{base}/{name}")).collect()
    }
}

/// Returns which deployment a transaction that was left belongs to, when there is one.
pub fn left(state_dir: &str, repository: &str, key: &DigestKey) -> Result<Option<i64>, Error> {
    let found = Shelf::open(state_dir, repository, key)?.read()?;
    Ok(found.map(|(_, journal)| journal.deployment))
}

/// Lists what a transaction left behind; `None` when there is none. `roots` are where to look for staging folders when the
/// journal does not say.
pub fn wreck(state_dir: &str, repository: &str, roots: &[String], key: &DigestKey) -> Result<Option<Wreck>, Error> {
    if !Shelf::is_used(state_dir, repository)? {
        return Ok(None);
    }
    let mut wreck = Wreck::default();
    match Shelf::open(state_dir, repository, key)?.read() {
        Ok(None) => return Ok(None),
        Ok(Some((_, journal))) => {
            (wreck.deployment, wreck.is_known) = (Some(journal.deployment), true);
            journal.roots.iter().try_for_each(|it| wreck.add_known(it))?;
        }
        Err(Error::Journal { .. } | Error::Foreign { .. }) => {
            for (base, name) in stray(roots)? {
                wreck.add_unknown(&base, &name)?;
            }
        }
        Err(error) => return Err(error),
    }
    Ok(Some(wreck))
}

/// Returns the staging folders that stand in targets, as the directory that holds each and its name.
pub fn stray(roots: &[String]) -> Result<Vec<(String, String)>, Error> {
    let mut found = Vec::new();
    for root in roots {
        // The folder stands in the target, or above it when the target did not exist.
        let parent = root.rsplit_once('/').map_or("/", |it| if it.0.is_empty() { "/" } else { it.0 });
        for base in [root.as_str(), parent] {
            let Ok(Some(dir)) = Dir::open(base) else { continue };
            for name in dir.names()?.into_iter().filter_map(|it| String::from_utf8(it).ok()) {
                let digits = name.strip_prefix(PREFIX).unwrap_or_default();
                let is_ours = digits.len() == STAGING_DIGITS && digits.bytes().all(|it| it.is_ascii_hexdigit());
                let is_folder = dir.look(&name)?.is_some_and(|it| it.kind == FileType::Directory);
                if is_ours && is_folder && !found.contains(&(base.to_owned(), name.clone())) {
                    found.push((base.to_owned(), name));
                }
            }
        }
    }
    Ok(found)
}

impl Wreck {
    fn add_known(&mut self, root: &Root) -> Result<(), Error> {
        self.rows.extend(root.files.iter().filter_map(|it| row(root, it)));
        let Some(base) = Dir::open(&root.base)? else { return Ok(()) };
        let Some(staging) = base.below(&root.staging)? else { return Ok(()) };
        self.folders.push((root.base.clone(), root.staging.clone()));
        for file in &root.files {
            let slot = file.slot.to_string();
            let held = staging.look(&slot)?;
            let is_new = |it: u64| file.incoming.as_ref().is_some_and(|new| new.stat.inode == it);
            // What was to come is in the repository.
            if held.is_some_and(|it| !is_new(it.stat.inode)) {
                let sensitive = [&file.row_after, &file.row_before].into_iter().flatten().any(|it| it.sensitive);
                hold(&staging, &slot, (&root.path, &file.path), sensitive, &mut self.files)?;
            }
        }
        Ok(())
    }

    fn add_unknown(&mut self, base: &str, name: &str) -> Result<(), Error> {
        let Some(dir) = Dir::open(base)? else { return Ok(()) };
        let Some(staging) = dir.below(name)? else { return Ok(()) };
        self.folders.push((base.to_owned(), name.to_owned()));
        for slot in staging.names()?.into_iter().filter_map(|it| String::from_utf8(it).ok()) {
            // The staged view is made of copies and links.
            if slot != "view" {
                hold(&staging, &slot, (staging.path(), &slot), true, &mut self.files)?;
            }
        }
        Ok(())
    }

    /// Lists what stands in staging folders that belong to no transaction.
    pub fn of_strays(folders: &[(String, String)]) -> Result<Wreck, Error> {
        let mut wreck = Wreck::default();
        folders.iter().try_for_each(|(base, name)| wreck.add_unknown(base, name))?;
        Ok(wreck)
    }

    /// Removes the staging folders. The caller has kept what it lists; one in which something cannot be named stays.
    pub fn clear(&self) -> Result<(), Error> {
        self.folders.iter().try_for_each(|(base, name)| remove(base, name))
    }

    /// Gives the transaction up: its staging folders are removed, its files in the state directory are moved to `aside`.
    ///
    /// The caller has kept what it lists. A folder in which something cannot be named stays where it is.
    pub fn give_up(&self, state_dir: &str, repository: &str) -> Result<(), Error> {
        self.clear()?;
        let Some(state) = Dir::open(state_dir)? else { return Ok(()) };
        state.make_dir("aside")?;
        let Some(aside) = state.below("aside")? else { return Ok(()) };
        if let Some(owner) = state.look(".")? {
            aside.set_access(0o700, owner.uid, owner.gid)?;
        }
        let Some(shelf) = state.below(&format!("transactions/{repository}"))? else { return Ok(()) };
        for name in shelf.names()?.into_iter().filter_map(|it| String::from_utf8(it).ok()) {
            let free = |n: &u32| aside.look(&format!("{repository}-{name}-{n}")).is_ok_and(|it| it.is_none());
            let n = (1..u32::MAX).find(free).unwrap_or_default();
            shelf.rename(&name, &aside, &format!("{repository}-{name}-{n}"), RenameFlags::NOREPLACE)?;
        }
        aside.flush()?;
        shelf.flush()
    }
}

fn row(root: &Root, file: &FileChange) -> Option<(LivePath, Recorded)> {
    let at = LivePath { root: root.path.clone(), path: TargetPath::recorded(&file.path)? };
    let row = file.row_after.as_ref().or(file.row_before.as_ref())?.clone();
    let written = file.incoming.as_ref().and_then(|it| it.digest.clone()).filter(|_| row.digest.is_empty());
    Some((at, Recorded { digest: written.unwrap_or(row.digest.clone()), ..row }))
}

/// Removes a staging folder, unless another agent is at work there.
fn remove(base: &str, name: &str) -> Result<(), Error> {
    let Some(dir) = Dir::open(base)? else { return Ok(()) };
    if !dir.lock()? {
        return Err(Error::Owned { path: base.to_owned(), holder: dir.lock_holder() });
    }
    let Some(staging) = dir.below(name)? else { return Ok(()) };
    if is_nameable(&staging)? {
        staging.clear()?;
        dir.remove_dir(name)?;
        dir.flush()?;
    }
    Ok(())
}

fn is_nameable(dir: &Dir) -> Result<bool, Error> {
    for name in dir.names()? {
        let Ok(name) = String::from_utf8(name) else { return Ok(false) };
        if dir.look(&name)?.is_some_and(|it| it.kind == FileType::Directory)
            && let Some(below) = dir.below(&name)?
            && !is_nameable(&below)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}
