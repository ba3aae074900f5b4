//! After the commit point: names change, in an order that can be repeated from any point.

use super::journal::{DirectoryChange, FileChange, FileId, Journal, Root};
use super::stage::{FLUSH_EACH_MAX, open_staging, own_staging};
use super::{Rows, Surprise, generation, take};
use crate::host::dir::{Dir, Found, split};
use crate::host::live::GENERATIONS;
use crate::host::scan::{DigestKey, entry};
use crate::host::{Error, attributes};
use crate::plan::{LiveEntry, LiveKind, LivePath, Recorded, Restat, Stat};
use crate::render::TargetPath;
use rustix::fs::{FileType, RenameFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;

/// Does all that the journal says, flushes it and reads it back. What is done already is left alone, so that recovery
/// calls the same function.
pub(super) fn apply(journal: &mut Journal, locked: &mut Vec<Dir>, key: &DigestKey) -> Result<(), Error> {
    apply_as(journal, locked, key, Edits::Refuse)
}

/// Does the same for a way back that a crash cut short: what someone has changed since stays as it is, and shows as drift.
pub(super) fn apply_around_edits(journal: &mut Journal, locked: &mut Vec<Dir>, key: &DigestKey) -> Result<(), Error> {
    apply_as(journal, locked, key, Edits::Leave)
}

/// What becomes of a file that came to its name and was changed or removed there since.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edits {
    /// The switch fails, because it cannot be proven.
    Refuse,
    /// It stays as it is.
    Leave,
}

fn apply_as(journal: &mut Journal, locked: &mut Vec<Dir>, key: &DigestKey, edits: Edits) -> Result<(), Error> {
    for root in &mut journal.roots {
        let base = match (Dir::open(&root.base)?, edits) {
            (Some(base), _) => base,
            (None, Edits::Leave) => continue,
            (None, Edits::Refuse) => {
                return Err(Error::Conflict { path: root.base.clone(), what: "the directory is gone".into() });
            }
        };
        match root.generation {
            Some(_) => generation::switch(&base, root, locked, edits)?,
            None => switch_root(&base, root, locked, edits)?,
        }
        flush_root(&base, root)?;
        match read_back(&base, root, key, edits) {
            Err(Error::WrongType { .. }) if edits == Edits::Leave => {}
            other => other?,
        }
    }
    Ok(())
}

/// Fails when a file that is to come is neither waiting nor at its name nor known to have been there. Changes nothing.
pub(super) fn is_possible(journal: &Journal) -> Result<(), Error> {
    for root in &journal.roots {
        let Some(base) = Dir::open(&root.base)? else { continue };
        let staging = open_staging(&base, root)?;
        // A tree is switched to by its link alone.
        let link = root.generation.iter().map(|it| &it.link);
        let files = root.files.iter().filter(|_| root.generation.is_none());
        for file in files.chain(link) {
            let Some(new) = &file.incoming else { continue };
            let whole = root.in_base(&file.path);
            let (folder, name) = split(&whole);
            let live = match base.below(folder) {
                Ok(Some(dir)) => dir.look(name)?,
                Ok(None) | Err(Error::WrongType { .. }) => None,
                Err(error) => return Err(error),
            };
            let held = staging.look(&file.slot.to_string())?;
            if !is_file(&held, new) && !is_file(&live, new) && !has_come(&held, file) {
                return Err(conflict(&base, &whole, "what belongs there is gone"));
            }
        }
    }
    Ok(())
}

fn is_file(found: &Option<Found>, file: &FileId) -> bool {
    found.as_ref().is_some_and(|it| it.stat.inode == file.stat.inode)
}

/// Returns whether a file that is not waiting any more has been at its name: what it changed places with is in the slot.
fn has_come(held: &Option<Found>, file: &FileChange) -> bool {
    file.outgoing.as_ref().is_none_or(|it| is_file(held, it))
}

/// The order lets a folder take the place of a file, and a file that of a folder.
fn switch_root(base: &Dir, root: &mut Root, locked: &mut Vec<Dir>, edits: Edits) -> Result<(), Error> {
    let staging = open_staging(base, root)?;
    let made: BTreeSet<String> = root.directories.iter().filter(|it| it.make).map(|it| it.path.clone()).collect();
    let gone: BTreeSet<String> = root.directories.iter().filter(|it| !it.make).map(|it| it.path.clone()).collect();
    let makes_room = |it: &FileChange| it.incoming.is_none() && made.contains(&root.in_base(&it.path));
    let needs_room = |it: &FileChange| it.outgoing.is_none() && gone.contains(&root.in_base(&it.path));

    let switch = |it: &FileChange, root: &Root| switch_one(base, &staging, root, it, edits);
    root.files.iter().filter(|it| makes_room(it)).try_for_each(|it| switch(it, root))?;
    make_directories(base, &staging, root, locked, edits)?;
    let rest = root.files.iter().filter(|it| !makes_room(it) && !needs_room(it));
    rest.clone().try_for_each(|it| switch(it, root))?;
    let late: Vec<FileChange> = root.files.iter().filter(|it| needs_room(it)).cloned().collect();
    for directory in root.directories.iter_mut().filter(|it| !it.make) {
        directory.stays = !remove_directory(base, &directory.path)?;
    }
    late.iter().try_for_each(|it| switch(it, root))
}

/// Brings one path from old to new.
pub(super) fn switch_one(base: &Dir, staging: &Dir, root: &Root, file: &FileChange, edits: Edits) -> Result<(), Error> {
    let slot = file.slot.to_string();
    let whole = root.in_base(&file.path);
    let (folder, name) = split(&whole);
    let dir = match (base.below(folder), &file.incoming) {
        (Ok(Some(dir)), _) => dir,
        // What was to go is gone with its folder, whose place a file may have taken already.
        (Ok(None) | Err(Error::WrongType { .. }), None) => return Ok(()),
        // What waits for it is kept with the other surprises.
        (Ok(None), Some(_)) if edits == Edits::Leave => return Ok(()),
        (Ok(None), Some(_)) => return Err(conflict(base, folder, "the folder is gone")),
        (Err(error), _) => return Err(error),
    };
    match (&file.incoming, &file.outgoing) {
        (None, None) => Ok(()),
        (Some(new), _) => bring(staging, &slot, &dir, name, new, |held| edits == Edits::Leave && has_come(held, file)),
        (None, Some(_)) => match staging.look(&slot)? {
            Some(_) => Ok(()),
            None => take_away(staging, &slot, &dir, name),
        },
    }
}

/// Moves `new` from its slot to its name; what has the name at this instant, whatever it is, goes to the slot.
fn bring(
    staging: &Dir,
    slot: &str,
    dir: &Dir,
    name: &str,
    new: &FileId,
    may_have_left: impl Fn(&Option<Found>) -> bool,
) -> Result<(), Error> {
    let held = staging.look(slot)?;
    if !is_file(&held, new) {
        return match dir.look(name)? {
            live if is_file(&live, new) || may_have_left(&held) => Ok(()),
            Some(_) => Err(conflict(dir, name, "something else has its name, and the new file is gone")),
            None => Err(conflict(dir, name, "it is missing, and the new file is gone")),
        };
    }
    let exchange = dir.look(name)?.is_some();
    match staging.rename(slot, dir, name, if exchange { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE }) {
        // The name came or went between the look and the rename.
        Err(Error::Io { errno: Errno::EXIST, .. }) => staging.rename(slot, dir, name, RenameFlags::EXCHANGE),
        Err(Error::Io { errno: Errno::NOENT, .. }) if exchange => {
            staging.rename(slot, dir, name, RenameFlags::NOREPLACE)
        }
        other => other,
    }
}

fn take_away(staging: &Dir, slot: &str, dir: &Dir, name: &str) -> Result<(), Error> {
    match dir.rename(name, staging, slot, RenameFlags::NOREPLACE) {
        Err(Error::Io { errno: Errno::NOENT, .. }) => Ok(()),
        // The slot's name means nothing to whoever reads this.
        Err(Error::Io { errno, .. }) => Err(Error::io("move away", dir.path_of(name))(errno)),
        other => other,
    }
}

pub(super) fn conflict(dir: &Dir, name: &str, what: &str) -> Error {
    Error::Conflict { path: dir.path_of(name), what: what.to_owned() }
}

/// Makes the directories that are to come, and locks the target's own.
pub(super) fn make_directories(
    base: &Dir,
    staging: &Dir,
    root: &Root,
    locked: &mut Vec<Dir>,
    edits: Edits,
) -> Result<(), Error> {
    for directory in root.directories.iter().filter(|it| it.make) {
        let is_target = directory.path == root.prefix;
        make_directory(base, staging, directory, edits, &mut |made| match is_target {
            true if !is_unguarded() => take(made, &root.path, locked),
            _ => Ok(()),
        })?;
    }
    Ok(())
}

/// Returns whether a test has taken the lock on a new target away.
fn is_unguarded() -> bool {
    #[cfg(test)]
    if crate::host::model::lacks(crate::host::model::Guard::LockOfMade) {
        return true;
    }
    false
}

/// Makes a directory with its final owner and mode before it has its name, so that a crash leaves none without them.
///
/// It is claimed by then, too: an agent that finds the name finds it taken.
fn make_directory(
    base: &Dir,
    staging: &Dir,
    directory: &DirectoryChange,
    edits: Edits,
    claim: &mut dyn FnMut(Dir) -> Result<(), Error>,
) -> Result<(), Error> {
    const WAITING: &str = "folder";
    let (folder, name) = split(&directory.path);
    let parent = match base.below(folder)? {
        Some(parent) => parent,
        None if edits == Edits::Leave => return Ok(()),
        None => return Err(conflict(base, folder, "the folder is gone")),
    };
    match parent.look(name)? {
        // It may have its name and not its mode yet: a power loss can keep the one and lose the other.
        Some(found) if found.kind == FileType::Directory => {
            let there = parent.below(name)?.ok_or_else(|| conflict(&parent, name, "the folder is gone"))?;
            there.set_access(directory.mode, directory.uid, directory.gid)?;
            return claim(there);
        }
        Some(_) => return Ok(()),
        None => {}
    }
    staging.make_dir(WAITING)?;
    let made = staging.below(WAITING)?.ok_or_else(|| conflict(staging, WAITING, "the new folder is gone"))?;
    attributes::inherit(&parent, &made)?;
    made.set_access(directory.mode, directory.uid, directory.gid)?;
    claim(made.renamed(parent.path_of(name)))?;
    staging.rename(WAITING, &parent, name, RenameFlags::NOREPLACE)
}

/// Returns whether the directory is gone.
pub(super) fn remove_directory(base: &Dir, path: &str) -> Result<bool, Error> {
    let (folder, name) = split(path);
    match base.below(folder) {
        Ok(Some(parent)) => {
            let is_folder = |it: &Found| it.kind == FileType::Directory;
            Ok(parent.remove_dir(name)? || !parent.look(name)?.as_ref().is_some_and(is_folder))
        }
        Ok(None) | Err(Error::WrongType { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Flushes every folder in which a name changed; many are flushed with their file system at once.
fn flush_root(base: &Dir, root: &Root) -> Result<(), Error> {
    let changed = root.files.iter().filter(|it| it.incoming.is_some() || it.outgoing.is_some());
    let mut folders: BTreeSet<String> = match root.generation {
        Some(_) => ["", GENERATIONS].into_iter().map(|it| root.in_base(it)).collect(),
        None => changed.map(|it| split(&root.in_base(&it.path)).0.to_owned()).collect(),
    };
    for directory in &root.directories {
        folders.insert(split(&directory.path).0.to_owned());
        folders.insert(directory.path.clone());
    }
    if folders.len() > FLUSH_EACH_MAX {
        return base.flush_file_system();
    }
    for folder in folders {
        match base.below(&folder) {
            Ok(Some(dir)) => dir.flush()?,
            // It is gone, or a file has taken its place: the flush of its parent covers that.
            Ok(None) | Err(Error::WrongType { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    open_staging(base, root)?.flush()
}

/// Opens every new file again and compares what is there with what was staged.
fn read_back(base: &Dir, root: &mut Root, key: &DigestKey, edits: Edits) -> Result<(), Error> {
    if edits == Edits::Refuse {
        read_back_directories(base, root)?;
    }
    if root.generation.is_some() && !generation::read_back(base, root, key)? {
        return Ok(());
    }
    let places: Vec<Option<String>> = root.files.iter().map(|it| root.after(&it.path)).collect();
    for (file, whole) in root.files.iter_mut().zip(places) {
        let (Some(new), Some(whole)) = (&mut file.incoming, whole) else { continue };
        let (folder, name) = split(&whole);
        let live = match base.below(folder)? {
            Some(dir) => entry(&dir, name, new.digest.is_some().then_some(key))?,
            None => None,
        };
        let mut what = difference(new, live.as_ref());
        if what.is_none() && differs_in_attributes(base, &whole, new)? {
            what = Some("its extended attributes differ");
        }
        let live = match (what, live) {
            (None, Some(live)) => live,
            // The row keeps what it says, so that the next scan finds the difference.
            _ if edits == Edits::Leave => continue,
            (what, _) => {
                let what = what.unwrap_or("it is missing").to_owned();
                return Err(Error::ReadBack { path: base.path_of(&whole), what });
            }
        };
        if let Some(row) = &mut file.row_after {
            refresh(row, new, live.stat);
        }
        new.stat = live.stat;
    }
    Ok(())
}

fn read_back_directories(base: &Dir, root: &Root) -> Result<(), Error> {
    for made in root.directories.iter().filter(|it| it.make) {
        let (folder, name) = split(&made.path);
        let found = base.below(folder)?.map(|it| it.look(name)).transpose()?.flatten();
        if found.is_none_or(|it| (it.mode, it.uid, it.gid) != (made.mode, made.uid, made.gid)) {
            let what = "its mode or owner differs".to_owned();
            return Err(Error::ReadBack { path: base.path_of(&made.path), what });
        }
    }
    Ok(())
}

fn differs_in_attributes(base: &Dir, path: &str, new: &FileId) -> Result<bool, Error> {
    let (folder, name) = split(path);
    let (Some(known), Some(dir)) = (&new.attributes, base.below(folder)?) else { return Ok(false) };
    Ok(attributes::fingerprint(&dir, name)? != *known)
}

/// Returns how what is live differs from a file that should be there.
fn difference(wanted: &FileId, live: Option<&LiveEntry>) -> Option<&'static str> {
    #[cfg(test)]
    if crate::host::model::lacks(crate::host::model::Guard::ReadBack) {
        return None;
    }
    let Some(live) = live else { return Some("it is missing") };
    let is_link = matches!(wanted.kind, LiveKind::Link(_));
    if live.kind != wanted.kind {
        Some("it is something else")
    } else if wanted.digest.is_some() && live.digest.as_ref().map(|it| &it.0) != wanted.digest.as_ref() {
        Some("its content differs")
    } else if (live.uid, live.gid) != (wanted.uid, wanted.gid) {
        Some("its owner differs")
    } else if !is_link && live.mode != wanted.mode {
        Some("its mode differs")
    } else {
        None
    }
}

/// Gives the ledger's row the metadata that the file has now. A row that did not describe the file before, because
/// someone had changed the file, keeps what it says, so that the drift stays visible after a restore.
fn refresh(row: &mut Recorded, file: &FileId, now: Stat) {
    if row.stat == Stat::default() {
        row.digest = file.digest.clone().unwrap_or_default();
        row.stat = now;
    } else if row.stat == file.stat {
        row.stat = now;
    }
}

/// Returns the ledger's rows that the journal leads to.
pub(super) fn rows(journal: &Journal) -> Rows {
    let mut rows = Rows::default();
    for root in &journal.roots {
        // The target's own directory, and what leads to it, are not the ledger's.
        let at = |path: &str| {
            let path = TargetPath::recorded(path)?;
            Some(LivePath { root: root.path.clone(), path })
        };
        for file in &root.files {
            match (at(&file.path), &file.row_after) {
                (Some(at), Some(row)) => rows.put.push((at, row.clone())),
                (Some(at), None) if file.row_before.is_some() => rows.remove.push(at),
                _ => {}
            }
        }
        // The folder of the generations is headfast's own, too.
        let in_place = root.directories.iter().filter(|_| root.generation.is_none());
        let in_place = in_place.map(|it| (root.in_target(&it.path), it));
        let in_tree = root.generation.iter().flat_map(|it| &it.directories).map(|it| (Some(it.path.as_str()), it));
        for (path, directory) in in_place.chain(in_tree) {
            let Some(at) = path.and_then(at) else { continue };
            match (directory.make, directory.stays) {
                (true, _) => rows.put.push((at, directory_row(directory))),
                (false, false) => rows.remove.push(at),
                (false, true) => {}
            }
        }
        for carried in root.generation.iter().flat_map(|it| &it.carried).filter(|it| it.from != it.to) {
            rows.restat.extend(at(&carried.path).map(|at| Restat { at, from: carried.from, to: carried.to }));
        }
    }
    rows
}

fn directory_row(directory: &DirectoryChange) -> Recorded {
    Recorded {
        identity: String::new(),
        kind: LiveKind::Directory,
        digest: String::new(),
        mode: directory.mode,
        uid: directory.uid,
        gid: directory.gid,
        sensitive: false,
        stat: Stat::default(),
    }
}

/// Returns the files in the slots that are not what the journal knows: someone changed them at the last moment.
pub(super) fn surprises(journal: &Journal, key: &DigestKey) -> Result<Vec<Surprise>, Error> {
    let mut surprises = Vec::new();
    for root in &journal.roots {
        let Some(base) = Dir::open(&root.base)? else { continue };
        let Some(staging) = own_staging(&base, root)? else { continue };
        if root.generation.is_some() {
            generation::surprises(&base, &staging, root, key, &mut surprises)?;
            continue;
        }
        for file in &root.files {
            let slot = file.slot.to_string();
            let Some(held) = staging.look(&slot)? else { continue };
            let planned = file.outgoing.as_ref();
            // The change time moved with the rename; the rest must be as it was.
            let same = planned.is_some_and(|it| {
                (it.stat.inode, it.stat.size, it.stat.mtime_ns) == (held.stat.inode, held.stat.size, held.stat.mtime_ns)
            });
            let held = if same { None } else { entry(&staging, &slot, Some(key))? };
            let known = held.as_ref().and_then(|it| it.digest.as_ref()).map(|it| it.0.as_str());
            let is_folder = held.as_ref().is_some_and(|it| it.kind == LiveKind::Directory);
            if is_folder || held.is_some() && known != planned.and_then(|it| it.digest.as_deref()) {
                let sensitive = [&file.row_after, &file.row_before].into_iter().flatten().any(|it| it.sensitive);
                hold(&staging, &slot, (&root.path, &file.path), sensitive, &mut surprises)?;
            }
        }
    }
    Ok(surprises)
}

/// Adds a file or link that is held; of a folder that came into the slot, everything in it.
pub(super) fn hold(
    dir: &Dir,
    name: &str,
    at: (&str, &str),
    sensitive: bool,
    surprises: &mut Vec<Surprise>,
) -> Result<(), Error> {
    let (root, path) = at;
    match dir.look(name)?.map(|it| it.kind) {
        Some(FileType::Directory) => {
            let Some(below) = dir.below(name)? else { return Ok(()) };
            for name in below.names()? {
                let name = String::from_utf8_lossy(&name).into_owned();
                hold(&below, &name, (root, &format!("{path}/{name}")), sensitive, surprises)?;
            }
        }
        Some(FileType::RegularFile | FileType::Symlink) => {
            let Some(path) = TargetPath::recorded(path) else { return Ok(()) };
            let at = LivePath { root: root.to_owned(), path };
            surprises.push(Surprise { at, held: (dir.path().to_owned(), name.to_owned()), sensitive });
        }
        // FIFOs, sockets and devices have nothing that could be kept.
        _ => {}
    }
    Ok(())
}
