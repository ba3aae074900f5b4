//! Whether targets can be written, asked before anything is: who else could write there, what is mounted there, flags,
//! owners and space.

mod space;
mod system;
mod writers;

pub use system::identity;

use super::Error;
use super::dir::{Dir, split};
use super::transaction::{Change, Request, TargetChange, nearest_existing};
use crate::plan::LiveKind;
use rustix::fs::{AtFlags, RenameFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use space::Space;
use std::collections::{BTreeMap, BTreeSet};
use writers::Writers;

/// Returns everything that keeps a request from being carried out, as far as that can be seen without writing.
///
/// `known` holds, by target, what [`identity`] said of it at its last deployment.
pub fn examine(request: &Request, state_dir: &str, known: &BTreeMap<String, String>) -> Result<Vec<Error>, Error> {
    let writers = Writers::known();
    let powers = Powers::known()?;
    let mut space = Space::default();
    let mut found = Vec::new();
    for target in request.targets.iter().filter(|it| it.changes.iter().any(writes)) {
        let examination = Examination { target, writers: &writers, powers: &powers, known, found: Vec::new() };
        match examination.run(&mut space) {
            Ok(mut these) => found.append(&mut these),
            Err(error) => found.push(error),
        }
    }
    space.for_state(state_dir, request)?;
    found.extend(space.lacking());
    Ok(found)
}

/// Finds out whether a file system can exchange two names and hold links; many network and foreign ones cannot.
pub(super) fn probe(staging: &Dir) -> Result<(), Error> {
    const NAMES: [&str; 2] = ["probe-a", "probe-b"];
    let unfit = |error: Error, what: &str| match error {
        Error::Io { errno: Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM, .. } => {
            Error::Unfit { path: staging.path().to_owned(), what: what.to_owned() }
        }
        other => other,
    };
    for name in NAMES {
        staging.make_link(name, name).map_err(|it| unfit(it, "it has no symbolic links"))?;
    }
    let exchanged = staging.rename(NAMES[0], staging, NAMES[1], RenameFlags::EXCHANGE);
    exchanged
        .map_err(|it| unfit(it, "it cannot exchange two names (RENAME_EXCHANGE), so a switch could not be undone"))?;
    for name in NAMES {
        staging.unlink(name)?;
    }
    Ok(())
}

fn writes(change: &Change) -> bool {
    change.incoming.is_some() || change.outgoing.is_some()
}

/// What this process may do.
struct Powers {
    may_chown: bool,
    uid: u32,
    groups: BTreeSet<u32>,
}

impl Powers {
    fn known() -> Result<Powers, Error> {
        let path = "this process";
        let sets = rustix::thread::capabilities(None).map_err(Error::io("look at the capabilities of", path))?;
        let groups = rustix::process::getgroups().map_err(Error::io("look at the groups of", path))?;
        let own = [rustix::process::getegid()];
        Ok(Powers {
            may_chown: sets.effective.contains(rustix::thread::CapabilitySet::CHOWN),
            uid: rustix::process::geteuid().as_raw(),
            groups: groups.into_iter().chain(own).map(rustix::fs::Gid::as_raw).collect(),
        })
    }

    /// Returns the owner that this process may not give to a file.
    fn lacks(&self, uid: u32, gid: u32) -> Option<String> {
        if self.may_chown {
            None
        } else if uid != self.uid {
            Some(format!("user {uid}"))
        } else {
            (!self.groups.contains(&gid)).then(|| format!("group {gid}"))
        }
    }
}

struct Examination<'a> {
    target: &'a TargetChange,
    writers: &'a Writers,
    powers: &'a Powers,
    known: &'a BTreeMap<String, String>,
    found: Vec<Error>,
}

impl Examination<'_> {
    fn run(mut self, space: &mut Space) -> Result<Vec<Error>, Error> {
        let root = &self.target.root;
        let (base, prefix) = nearest_existing(root)?;
        self.found.extend(self.writers.on_the_way(root)?);
        self.found.extend(system::unfit(&base)?);
        if self.known.get(root).is_some_and(|it| system::of(&base).is_ok_and(|now| now != *it)) {
            self.found.push(Error::OtherFileSystem { path: root.clone() });
        }
        let makes_folders = self.paths(&base, &prefix)?;
        self.owners(makes_folders);
        space.for_target(&base, self.target)?;
        Ok(self.found)
    }

    /// Every owner that cannot be given is named once.
    fn owners(&mut self, makes_folders: bool) {
        let root = &self.target.root;
        let (_, uid, gid) = self.target.directories;
        let folders = makes_folders.then(|| (root.clone(), uid, gid));
        let files = self.target.changes.iter().filter_map(|it| {
            let (_, row) = it.incoming.as_ref()?;
            Some((format!("{root}/{}", it.path), row.uid, row.gid))
        });
        let mut named = BTreeSet::new();
        for (path, uid, gid) in folders.into_iter().chain(files) {
            if let Some(owner) = self.powers.lacks(uid, gid)
                && named.insert(owner.clone())
            {
                self.found.push(Error::Powerless { path, owner });
            }
        }
    }

    /// Looks at every folder that a change goes through, once, and at every file that is to go; returns whether a folder is
    /// missing.
    fn paths(&mut self, base: &Dir, prefix: &str) -> Result<bool, Error> {
        let mut folders: BTreeMap<String, Option<Access>> = BTreeMap::new();
        let mut shared = BTreeSet::new();
        for change in self.target.changes.iter().filter(|it| writes(it)) {
            let below = change.path.as_str();
            let whole = if prefix.is_empty() { below.to_owned() } else { format!("{prefix}/{below}") };
            let (folder, name) = split(&whole);
            for on_the_way in chain(folder) {
                if !folders.contains_key(on_the_way) {
                    let access = self.folder(base, on_the_way)?;
                    folders.insert(on_the_way.to_owned(), access);
                }
                let is_inside = on_the_way.len() >= prefix.len();
                if let (Some(Some(access)), true) = (folders.get(on_the_way), is_inside)
                    && let Some(why) = self.shares(access, change)
                    && shared.insert(on_the_way.to_owned())
                {
                    self.found.push(Error::Shared { path: base.path_of(on_the_way), why });
                }
            }
            if change.outgoing.is_some() && folders.get(folder).is_some_and(Option::is_some) {
                self.file(base, folder, name)?;
            }
        }
        Ok(folders.values().any(Option::is_none))
    }

    /// Looks at one folder; `None` when it is not there, or cannot be gone through.
    fn folder(&mut self, base: &Dir, path: &str) -> Result<Option<Access>, Error> {
        match base.below(path) {
            Ok(Some(dir)) => {
                self.found.extend(flag(&dir, "")?);
                Ok(Some(Access::of(&dir)?))
            }
            // What stands in a folder's place is the plan's subject.
            Ok(None) | Err(Error::WrongType { .. }) => Ok(None),
            Err(error @ (Error::Symlink { .. } | Error::MountPoint { .. })) => {
                self.found.push(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn file(&mut self, base: &Dir, folder: &str, name: &str) -> Result<(), Error> {
        if let Some(dir) = base.below(folder)? {
            self.found.extend(flag(&dir, name)?);
        }
        Ok(())
    }

    /// Returns who could write in a folder to which a sensitive file goes, besides those whom the manifest names.
    fn shares(&self, access: &Access, change: &Change) -> Option<String> {
        let (_, row) = change.incoming.as_ref().filter(|it| it.1.sensitive && it.1.kind == LiveKind::File)?;
        let (_, uid, gid) = self.target.directories;
        self.writers.besides(access, &[uid, row.uid], &[gid], false)
    }
}

/// Returns the folder and all that lead to it, the first of them empty.
fn chain(folder: &str) -> impl Iterator<Item = &str> {
    let ends = folder.match_indices('/').map(|it| it.0).chain([folder.len()]).filter(|it| *it > 0);
    [""].into_iter().chain(ends.map(|end| &folder[..end]))
}

/// Who may do what with a directory.
struct Access {
    mode: u32,
    uid: u32,
    gid: u32,
    /// The group's bits are then the mask of an access list.
    has_list: bool,
}

impl Access {
    fn of(dir: &Dir) -> Result<Access, Error> {
        Ok(Access { has_list: super::attributes::has_access_list(dir)?, ..Access::without_list(dir)? })
    }

    fn without_list(dir: &Dir) -> Result<Access, Error> {
        let found = rustix::fs::fstat(dir.handle()).map_err(Error::io("look at", dir.path()))?;
        Ok(Access { mode: found.st_mode & 0o7777, uid: found.st_uid, gid: found.st_gid, has_list: false })
    }
}

/// Returns what keeps a file or, with the empty name, the directory itself from being renamed: a flag, or being a mount point.
fn flag(dir: &Dir, name: &str) -> Result<Option<Error>, Error> {
    let path = dir.path_of(name);
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
    let attributes = match rustix::fs::statx(dir.handle(), name, flags, StatxFlags::empty()) {
        Ok(found) => found.stx_attributes,
        // The plan has seen it; that it went is noticed at the commit point. Without statx(2) the kernel's own no has to do.
        Err(Errno::NOENT | Errno::NOSYS) => return Ok(None),
        Err(errno) => return Err(Error::io("look at", path)(errno)),
    };
    Ok(if attributes.contains(StatxAttributes::IMMUTABLE) {
        Some(Error::Immutable { path, flag: "immutable" })
    } else if attributes.contains(StatxAttributes::APPEND) {
        Some(Error::Immutable { path, flag: "append-only" })
    } else if !name.is_empty() && attributes.contains(StatxAttributes::MOUNT_ROOT) {
        Some(Error::MountPoint { path })
    } else {
        None
    })
}
