//! Before the commit point: new files are written beside the live ones.

use super::journal::{DirectoryChange, FileChange, FileId, Journal, Root, mark_of};
use super::{Change, ReadBlob, Request, TargetChange, generation, tree};
use crate::host::attributes::{self, Attributes};
use crate::host::dir::{Dir, random, split};
use crate::host::scan::{DigestKey, entry};
use crate::host::{Error, PREFIX, fitness};
use crate::plan::{LiveEntry, LiveKind, Recorded};
use crate::render::{Content, Digest};
use std::collections::BTreeSet;
use std::io::Write;

/// Up to this many files are flushed one by one; more are flushed with their file system at once.
pub(super) const FLUSH_EACH_MAX: usize = 32;

/// Works out where everything goes, and locks the directories that it will happen in. Writes nothing.
pub(super) fn prepare(request: &Request, key: &DigestKey) -> Result<(Journal, Vec<Dir>), Error> {
    let mut roots = Vec::new();
    let mut bases: Vec<Dir> = Vec::new();
    for target in &request.targets {
        let (base, prefix) = lock_nearest(&target.root, &bases)?;
        let mut root = Root {
            path: target.root.clone(),
            base: base.path().to_owned(),
            prefix,
            staging: staging_name()?,
            directories: Vec::new(),
            files: target.changes.iter().enumerate().map(|(idx, it)| file_change(idx, it)).collect(),
            generation: None,
        };
        root.generation = generation::prepare(&base, &root, target, request.deployment)?;
        root.directories = match root.generation {
            Some(_) => generation::directories(&base, &root, target)?,
            None => directories(&base, &root, target)?,
        };
        roots.push(root);
        bases.push(base);
    }
    let journal = Journal {
        version: Journal::VERSION,
        deployment: request.deployment,
        repository: request.repository.clone(),
        host: mark_of(key),
        roots,
        actions: request.actions.clone(),
    };
    Ok((journal, bases))
}

/// Opens and locks the target, or its nearest ancestor that exists, and returns what leads from there to the target.
fn lock_nearest(root: &str, locked: &[Dir]) -> Result<(Dir, String), Error> {
    loop {
        let (base, prefix) = nearest_existing(root)?;
        // Two missing targets may share the ancestor that they are staged in; a second lock would wait for the first.
        if !locked.iter().any(|it| it.path() == base.path()) && !base.lock()? {
            return Err(Error::Owned { path: root.to_owned(), holder: base.lock_holder() });
        }
        // Another agent may have made what was missing, and left, before the lock was ours.
        let next = prefix.split('/').next().unwrap_or_default();
        if next.is_empty() || base.look(next)?.is_none() {
            return Ok((base, prefix));
        }
    }
}

/// Opens the target, or its nearest ancestor that exists, and returns what leads from there to the target.
pub(in crate::host) fn nearest_existing(root: &str) -> Result<(Dir, String), Error> {
    let mut existing = root;
    loop {
        if let Some(base) = Dir::open(existing)? {
            let prefix = root[existing.len()..].trim_start_matches('/').to_owned();
            return Ok((base, prefix));
        }
        existing = match existing.rfind('/') {
            Some(0) | None => "/",
            Some(end) => &existing[..end],
        };
    }
}

fn staging_name() -> Result<String, Error> {
    let random = random().map_err(Error::io("read random numbers for", "the staging folder"))?;
    Ok(format!("{PREFIX}{random:016x}"))
}

fn file_change(idx: usize, change: &Change) -> FileChange {
    FileChange {
        path: change.path.as_str().to_owned(),
        slot: idx as u64,
        incoming: None,
        outgoing: change.outgoing.as_ref().map(file_id),
        row_after: match &change.incoming {
            Some(_) if change.unowned => None,
            Some((_, row)) => Some(change.row_after.as_ref().unwrap_or(row).clone()),
            None => change.row_after.clone(),
        },
        row_before: change.row_before.clone(),
    }
}

pub(super) fn file_id(live: &LiveEntry) -> FileId {
    FileId {
        kind: live.kind.clone(),
        digest: live.digest.as_ref().map(|it| it.0.clone()),
        mode: live.mode,
        uid: live.uid,
        gid: live.gid,
        stat: live.stat,
        attributes: None,
    }
}

/// Returns the directories that have to be made for what comes, and those that may be empty after what goes.
fn directories(base: &Dir, root: &Root, target: &TargetChange) -> Result<Vec<DirectoryChange>, Error> {
    let (mode, uid, gid) = target.directories;
    let change = |path: String, make| DirectoryChange { path, make, mode, uid, gid, stays: false };
    let leaving: BTreeSet<&str> = target
        .changes
        .iter()
        .filter(|it| it.incoming.is_none() && it.outgoing.is_some())
        .map(|it| it.path.as_str())
        .collect();
    let mut missing = BTreeSet::new();
    let mut present = BTreeSet::new();
    for coming in target.changes.iter().filter(|it| it.incoming.is_some()) {
        let whole = root.in_base(coming.path.as_str());
        let folder = split(&whole).0;
        for (end, _) in folder.match_indices('/').chain([(folder.len(), "")]) {
            let folder = &folder[..end];
            if folder.is_empty() || missing.contains(folder) || present.contains(folder) {
                continue;
            }
            // A file that leaves makes room for a folder of the same name.
            let fresh = missing.contains(split(folder).0)
                || root.in_target(folder).is_some_and(|it| leaving.contains(it))
                || base.below(folder)?.is_none();
            if fresh {
                missing.insert(folder.to_owned())
            } else {
                present.insert(folder.to_owned())
            };
        }
    }
    let emptied = target.made.iter().filter(|made| {
        let below = format!("{made}/");
        leaving.iter().any(|it| it.starts_with(&below)) && !missing.contains(&root.in_base(made))
    });
    let mut removed: Vec<String> = emptied.map(|it| root.in_base(it)).collect();
    removed.sort_unstable_by(|a, b| b.cmp(a));
    let mut all: Vec<DirectoryChange> = missing.into_iter().map(|it| change(it, true)).collect();
    for path in removed {
        let (folder, name) = split(&path);
        let found = base.below(folder)?.map(|it| it.look(name)).transpose()?.flatten();
        // It comes back as it was, should the deployment fail.
        let (mode, uid, gid) = found.map_or((mode, uid, gid), |it| (it.mode, it.uid, it.gid));
        all.push(DirectoryChange { path, make: false, mode, uid, gid, stays: false });
    }
    Ok(all)
}

/// Writes every incoming file into the staging folders and flushes them.
pub(super) fn write(
    journal: &mut Journal,
    bases: &[Dir],
    request: &Request,
    key: &DigestKey,
    blob: ReadBlob<'_>,
) -> Result<(), Error> {
    for ((root, base), target) in journal.roots.iter_mut().zip(bases).zip(&request.targets) {
        base.make_dir(&root.staging)?;
        let staging = open_staging(base, root)?;
        attributes::disinherit(&staging)?;
        fitness::probe(&staging)?;
        match root.generation {
            Some(_) => tree::build(base, &staging, root, target, key, blob)?,
            None => write_slots(base, &staging, root, target, key, blob)?,
        }
        staging.flush()?;
        base.flush()?;
    }
    Ok(())
}

/// Writes what comes into its slots.
fn write_slots(
    base: &Dir,
    staging: &Dir,
    root: &mut Root,
    target: &TargetChange,
    key: &DigestKey,
    blob: ReadBlob<'_>,
) -> Result<(), Error> {
    let flush = target.changes.iter().filter(|it| it.incoming.is_some()).count() <= FLUSH_EACH_MAX;
    let wholes: Vec<String> = root.files.iter().map(|it| root.in_base(&it.path)).collect();
    for ((file, whole), change) in root.files.iter_mut().zip(&wholes).zip(&target.changes) {
        let Some((content, row)) = &change.incoming else { continue };
        let attributes = attributes::wanted(base, whole, change)?;
        let new = New { row, attributes, outgoing: change.outgoing.as_ref(), flush };
        file.incoming = Some(write_one(staging, &file.slot.to_string(), content, &new, key, blob)?);
    }
    if !flush {
        staging.flush_file_system()?;
    }
    Ok(())
}

/// Opens the staging folder, which must be there.
pub(super) fn open_staging(base: &Dir, root: &Root) -> Result<Dir, Error> {
    own_staging(base, root)?
        .ok_or_else(|| Error::Conflict { path: base.path_of(&root.staging), what: "the staging folder is gone".into() })
}

/// Opens the staging folder; `None` when it is gone, or when someone who may write in the target gave its name to another.
pub(super) fn own_staging(base: &Dir, root: &Root) -> Result<Option<Dir>, Error> {
    match base.below(&root.staging) {
        Ok(Some(dir)) => Ok(dir.is_private()?.then_some(dir)),
        Ok(None) | Err(Error::Symlink { .. } | Error::WrongType { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a new file shall be besides its content.
pub(super) struct New<'a> {
    pub(super) row: &'a Recorded,
    pub(super) attributes: Attributes,
    /// What it replaces.
    pub(super) outgoing: Option<&'a LiveEntry>,
    /// Whether it is flushed by itself.
    pub(super) flush: bool,
}

/// Writes one file or link under a name of its own and returns what it is known by.
pub(super) fn write_one(
    dir: &Dir,
    name: &str,
    content: &Content,
    new: &New<'_>,
    key: &DigestKey,
    blob: ReadBlob<'_>,
) -> Result<FileId, Error> {
    let digest = match content {
        Content::Link(text) => {
            dir.make_link(name, text)?;
            dir.set_link_owner(name, new.row.uid, new.row.gid)?;
            key.of(text.as_bytes())
        }
        Content::Bytes(bytes) => write_bytes(dir, name, bytes, new, key)?,
        Content::Blob { id, .. } => write_bytes(dir, name, &blob(id)?, new, key)?,
    };
    let written = entry(dir, name, None)?.ok_or_else(|| Error::Changed { path: dir.path_of(name) })?;
    // What was meant and not what is there: reading back what went wrong would find it right.
    let Recorded { mode, uid, gid, .. } = *new.row;
    let mut id = FileId { digest: Some(digest.0), mode, uid, gid, ..file_id(&written) };
    if written.kind == LiveKind::File {
        if (written.mode, written.uid, written.gid) != (mode, uid, gid) {
            return Err(unkept(dir));
        }
        id.attributes = Some(attributes::fingerprint(dir, name)?);
    }
    Ok(id)
}

/// Says that something in a directory has not the mode or owner that it was given.
pub(super) fn unkept(dir: &Dir) -> Error {
    Error::Unfit { path: dir.path().to_owned(), what: "it does not keep modes and owners".to_owned() }
}

/// Writes a file that is born private and gets its owner before its mode, so that no one can look in between; returns the
/// digest of the bytes.
fn write_bytes(dir: &Dir, name: &str, bytes: &[u8], new: &New<'_>, key: &DigestKey) -> Result<Digest, Error> {
    let digest = key.of(bytes);
    let mut file = dir.create(name)?;
    file.write_all(bytes).map_err(Error::std("write", dir.path_of(name)))?;
    new.attributes.give(dir, name)?;
    file.set_access(new.row.mode, new.row.uid, new.row.gid)?;
    let old = new.outgoing.and_then(|it| it.digest.as_ref()).filter(|_| new.attributes.has_capability());
    if old == Some(&digest) {
        new.attributes.give_capability(dir, name)?;
    }
    if new.flush {
        file.flush_to_disk()?;
    }
    Ok(digest)
}

/// Compares every path with what the plan saw there.
pub(super) fn still_as_planned(journal: &Journal) -> Result<(), Error> {
    for root in &journal.roots {
        let Some(base) = Dir::open(&root.base)? else { return Err(Error::Changed { path: root.base.clone() }) };
        let changes = root.files.iter().filter(|it| it.incoming.is_some() || it.outgoing.is_some());
        let link = root.generation.iter().map(|it| (Some(root.in_base(&it.link.path)), &it.link));
        for (whole, file) in changes.map(|it| (root.before(&it.path), it)).chain(link) {
            let whole = whole.unwrap_or_default();
            let (folder, name) = split(&whole);
            let found = match base.below(folder) {
                // Nothing is live, so nothing can be at the path.
                _ if whole.is_empty() => None,
                Ok(Some(dir)) => entry(&dir, name, None)?,
                Ok(None) | Err(Error::WrongType { .. }) => None,
                Err(error) => return Err(error),
            };
            let same = |live: &LiveEntry, old: &FileId| live.stat == old.stat && live.kind == old.kind;
            let unchanged = match (&found, &file.outgoing) {
                (None, None) => true,
                (Some(live), Some(old)) => same(live, old),
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !unchanged {
                return Err(Error::Changed { path: base.path_of(&whole) });
            }
        }
    }
    Ok(())
}
