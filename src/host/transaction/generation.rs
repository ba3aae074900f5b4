//! `publish: generations`: a complete tree is made beside the live one, and one link is switched to it.
//!
//! The tree is made in the staging folder, like every new file, so that a crash before the commit point leaves nothing that
//! recovery would not remove anyway. After it the tree gets its place among the target's generations, then the link is
//! exchanged: for readers that open `current` once there is nothing between all old and all new.

use super::journal::{Carried, DirectoryChange, FileChange, Generation, Journal, Root};
use super::stage::{file_id, open_staging};
use super::switch::{Edits, conflict, hold, make_directories, remove_directory, switch_one};
use super::{Surprise, TargetChange};
use crate::host::Error;
use crate::host::dir::{Dir, Found, split};
use crate::host::live::{self, CURRENT, GENERATIONS, Published};
use crate::host::scan::{DigestKey, entry};
use crate::manifest::Publish;
use crate::plan::{LiveKind, LivePath, Restat, Stat};
use crate::render::TargetPath;
use rustix::fs::{FileType, RenameFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;

/// How many generations are kept beside the live one, the newest.
pub const KEPT: usize = 3;

/// The name of the new tree in the staging folder.
pub(in crate::host) const TREE: &str = "tree";

/// Works out which generation a target gets and what it is made from; `None` for a target that is published in place.
pub(super) fn prepare(
    base: &Dir,
    root: &Root,
    target: &TargetChange,
    deployment: i64,
) -> Result<Option<Generation>, Error> {
    let here = if root.prefix.is_empty() { Some(base) } else { None };
    let found = here.map_or(Ok(Published::InPlace), live::published)?;
    let number = match (found, target.publish) {
        (Published::InPlace, Some(Publish::InPlace) | None) => return Ok(None),
        (Published::InPlace, Some(Publish::Generations)) => {
            here.map_or(Ok(()), live::no_foreign_link)?;
            None
        }
        (Published::Generations(_), Some(Publish::InPlace)) => {
            return Err(Error::Publish { path: root.path.clone(), found: "by generations", wanted: "in-place" });
        }
        // What is given up and has lost its link is not published any more.
        (Published::Generations(None), None) => return Ok(None),
        (Published::Generations(live), Some(Publish::Generations) | None) => live,
    };
    let numbers = here.map_or(Ok(Vec::new()), live::numbers)?;
    let newest = numbers.first().copied();
    let outgoing = here.map(|it| entry(it, CURRENT, None)).transpose()?.flatten();
    if outgoing.as_ref().map(|it| &it.kind) != number.map(|it| LiveKind::Link(live::text_of(it))).as_ref() {
        return Err(Error::Changed { path: base.path_of(CURRENT) });
    }
    let link = FileChange {
        path: CURRENT.to_owned(),
        slot: 0,
        incoming: None,
        outgoing: outgoing.as_ref().map(file_id),
        row_after: None,
        row_before: None,
    };
    Ok(Some(Generation {
        // Numbers grow also when the state, which counts deployments, has begun anew.
        number: u64::try_from(deployment).unwrap_or_default().max(newest.unwrap_or_default() + 1),
        // Without its link, what was live last is still the newest.
        source: number.filter(|it| numbers.contains(it)).or(newest),
        tree: None,
        comes: true,
        link,
        directories: Vec::new(),
        carried: Vec::new(),
    }))
}

/// Returns the directories that have to be made before a generation has a place: the target's own, and that of all generations.
pub(super) fn directories(base: &Dir, root: &Root, target: &TargetChange) -> Result<Vec<DirectoryChange>, Error> {
    let folder = root.in_base(GENERATIONS);
    let (mode, uid, gid) = target.directories;
    let mut missing = Vec::new();
    for (end, _) in folder.match_indices('/').chain([(folder.len(), "")]) {
        if base.below(&folder[..end])?.is_none() {
            missing.push(DirectoryChange { path: folder[..end].to_owned(), make: true, mode, uid, gid, stays: false });
        }
    }
    Ok(missing)
}

/// Compares all but the change time, which moves when an inode gains or loses a name.
pub(super) fn same_file(a: &Stat, b: &Stat) -> bool {
    (a.inode, a.size, a.mtime_ns) == (b.inode, b.size, b.mtime_ns)
}

/// Gives the tree its place and switches the link to it; on the way back the link first.
pub(super) fn switch(base: &Dir, root: &mut Root, locked: &mut Vec<Dir>, edits: Edits) -> Result<(), Error> {
    let staging = open_staging(base, root)?;
    let Some(generation) = &root.generation else { return Ok(()) };
    make_directories(base, &staging, root, locked, edits)?;
    let folder = base.below(&root.in_base(GENERATIONS))?;
    let number = generation.number.to_string();
    if let (Some(inode), true) = (generation.tree, generation.comes) {
        let folder = folder.as_ref().ok_or_else(|| conflict(base, GENERATIONS, "it is gone"))?;
        if !move_tree(&staging, TREE, folder, &number, inode)? {
            return Err(conflict(folder, &number, "the new generation is gone"));
        }
        // A power loss may keep the link and lose what was moved before it; until recovery it would lead nowhere.
        folder.flush()?;
    }
    switch_one(base, &staging, root, &generation.link, edits)?;
    if let (Some(inode), false, Some(folder)) = (generation.tree, generation.comes, &folder) {
        base.below(&root.prefix)?.map_or(Ok(()), |it| it.flush())?;
        move_tree(folder, &number, &staging, TREE, inode)?;
    }
    for directory in root.directories.iter_mut().filter(|it| !it.make) {
        directory.stays = !remove_directory(base, &directory.path)?;
    }
    Ok(())
}

/// Moves a tree unless it is moved already; `false` when it is in neither place.
fn move_tree(from: &Dir, name: &str, to: &Dir, to_name: &str, inode: u64) -> Result<bool, Error> {
    let is_it = |found: Option<Found>| found.is_some_and(|it| it.stat.inode == inode);
    if is_it(from.look(name)?) {
        from.rename(name, to, to_name, RenameFlags::NOREPLACE)?;
        return Ok(true);
    }
    Ok(is_it(to.look(to_name)?))
}

/// Reads the link and what was copied again; returns whether what was written has to be read, too.
///
/// On the way back it has not: the previous generation is what it is, and an edit in it is drift as it would have been.
pub(super) fn read_back(base: &Dir, root: &Root, key: &DigestKey) -> Result<bool, Error> {
    let Some(generation) = &root.generation else { return Ok(true) };
    let different = |path: &str, what: &str| Error::ReadBack { path: base.path_of(path), what: what.to_owned() };
    if let Some(link) = &generation.link.incoming {
        let target = base.below(&root.prefix)?;
        let live = target.map(|it| entry(&it, CURRENT, None)).transpose()?.flatten();
        if live.map(|it| it.kind) != Some(link.kind.clone()) {
            return Err(different(&root.in_base(CURRENT), "it is not the link that was switched"));
        }
    }
    let copies = generation.carried.iter().filter(|it| generation.comes && it.digest.is_some());
    for (copy, whole) in copies.filter_map(|it| Some((it, root.after(&it.path)?))) {
        let (folder, name) = split(&whole);
        let live = base.below(folder)?.map(|it| digest(&it, name, key)).transpose()?.flatten();
        if live != copy.digest {
            return Err(different(&whole, "its content differs"));
        }
    }
    Ok(generation.comes)
}

/// Adds what is in the tree that is no longer live and in no other: it was changed, or made, at the last moment.
pub(super) fn surprises(
    base: &Dir,
    staging: &Dir,
    root: &Root,
    key: &DigestKey,
    surprises: &mut Vec<Surprise>,
) -> Result<(), Error> {
    let Some(generation) = &root.generation else { return Ok(()) };
    let slot = generation.link.slot.to_string();
    if let Some(held) = staging.look(&slot)? {
        let is_ours = held.kind == FileType::Symlink && live::number_of(&staging.link_text(&slot)?).is_some();
        if !is_ours {
            hold(staging, &slot, (&root.path, CURRENT), false, surprises)?;
        }
    }
    let gone = match (generation.comes, root.before("")) {
        (true, Some(before)) => base.below(&before)?,
        (true, None) => None,
        (false, _) => staging.below(TREE)?,
    };
    let Some(gone) = gone else { return Ok(()) };
    let carried: BTreeMap<&str, &Carried> = generation.carried.iter().map(|it| (it.path.as_str(), it)).collect();
    let changed: BTreeMap<&str, &FileChange> = root.files.iter().map(|it| (it.path.as_str(), it)).collect();
    for (path, found) in files(&gone)? {
        let (folder, name) = split(&path);
        let Some(dir) = gone.below(folder)? else { continue };
        let known = match (carried.get(path.as_str()), changed.get(path.as_str())) {
            (Some(it), _) if it.shared => it.to.inode == found.stat.inode,
            (Some(it), _) => same_file(&it.from, &found.stat),
            (None, Some(FileChange { outgoing: Some(it), .. })) => {
                same_file(&it.stat, &found.stat) || it.digest.is_some() && digest(&dir, name, key)? == it.digest
            }
            (None, _) => false,
        };
        if !known {
            let rows = changed.get(path.as_str()).map(|it| [&it.row_after, &it.row_before]);
            let sensitive = rows.into_iter().flatten().flatten().any(|it| it.sensitive)
                || carried.get(path.as_str()).is_some_and(|it| it.sensitive);
            hold(&dir, name, (&root.path, &path), sensitive, surprises)?;
        }
    }
    Ok(())
}

fn digest(dir: &Dir, name: &str, key: &DigestKey) -> Result<Option<String>, Error> {
    Ok(entry(dir, name, Some(key))?.and_then(|it| it.digest).map(|it| it.0))
}

/// Lists every file, link and special file of a tree.
fn files(tree: &Dir) -> Result<BTreeMap<String, Found>, Error> {
    let mut found = BTreeMap::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let dir = match tree.below(&folder) {
            Ok(Some(dir)) => dir,
            // It went, or became something else, since its name was read.
            Ok(None) | Err(Error::WrongType { .. } | Error::Symlink { .. } | Error::MountPoint { .. }) => continue,
            Err(error) => return Err(error),
        };
        for name in dir.names()? {
            let Ok(name) = String::from_utf8(name) else { continue };
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            match dir.look(&name)? {
                Some(it) if it.kind == FileType::Directory => folders.push(path),
                Some(it) => {
                    found.insert(path, it);
                }
                None => {}
            }
        }
    }
    Ok(found)
}

/// The live tree of a target and what its files are known by.
pub(super) struct Known {
    root: String,
    tree: Dir,
    files: BTreeMap<String, Found>,
}

/// Looks at the live files that other generations share; removing those changes what the files are known by.
///
/// This only saves the next scan some reading, so what stands in the way is left for that scan to find.
pub(super) fn shared(journal: &Journal) -> Vec<Known> {
    let shares = |root: &&Root| root.generation.iter().flat_map(|it| &it.carried).any(|it| it.shared);
    let look = |root: &Root| {
        let tree = live::open(&root.path).ok()??;
        let files = files(&tree).ok()?;
        Some(Known { root: root.path.clone(), tree, files })
    };
    journal.roots.iter().filter(shares).filter_map(look).collect()
}

/// Returns what has changed since [`shared`] in nothing but its change time.
pub(super) fn moved(known: Vec<Known>) -> Vec<Restat> {
    let mut moved = Vec::new();
    for Known { root, tree, files: before } in known {
        for (path, now) in files(&tree).unwrap_or_default() {
            let Some(before) = before.get(&path) else { continue };
            let at = TargetPath::recorded(&path).map(|path| LivePath { root: root.clone(), path });
            if let (Some(at), true) = (at, before.stat != now.stat && same_file(&before.stat, &now.stat)) {
                moved.push(Restat { at, from: before.stat, to: now.stat });
            }
        }
    }
    moved
}

/// Removes generations that are too many; all of them when the target was given up and is left without a link.
///
/// What the link names stays, whoever made it name that. Programs that hold a removed file open go on reading it.
pub(super) fn retire(journal: &Journal) -> Result<(), Error> {
    for root in &journal.roots {
        let Some(generation) = &root.generation else { continue };
        let Some(target) = Dir::open(&root.path)? else { continue };
        let Some(folder) = target.below(GENERATIONS)? else { continue };
        let is_given_up = generation.comes && generation.link.incoming.is_none();
        let (live, n_kept) = match live::published(&target) {
            Ok(Published::Generations(Some(live))) => (Some(live), KEPT),
            Ok(Published::Generations(None)) if is_given_up => (None, 0),
            // Someone took the link away, or put something else there: nothing says what may go.
            Ok(_) | Err(Error::WrongType { .. }) => continue,
            Err(error) => return Err(error),
        };
        let numbers = live::numbers(&target)?;
        for number in numbers.into_iter().filter(|it| Some(*it) != live).skip(n_kept) {
            match remove_tree(&folder, &number.to_string()) {
                // Something in it is held fast: an immutable file, a mount. It is tried again after the next deployment.
                Err(Error::Io { errno: Errno::PERM | Errno::ACCESS | Errno::BUSY, .. } | Error::MountPoint { .. }) => {}
                other => other?,
            }
        }
        folder.flush()?;
        if live.is_none() {
            target.remove_dir(GENERATIONS)?;
            target.flush()?;
        }
    }
    Ok(())
}

fn remove_tree(folder: &Dir, name: &str) -> Result<(), Error> {
    if let Some(tree) = folder.below(name)? {
        tree.clear()?;
    }
    folder.remove_dir(name).map(drop)
}
