//! Whether there is room for what will be written.

use super::system;
use crate::host::Error;
use crate::host::dir::Dir;
use crate::host::transaction::{Change, Request, TargetChange};
use crate::render::Content;
use rustix::fs::StatVfs;
use std::collections::BTreeMap;

/// What a change costs in the state directory: its part of the journal, twice while that is being replaced, and a row.
const RECORD: u64 = 4096;

/// What is needed on each file system, by device number.
#[derive(Default)]
pub(super) struct Space(BTreeMap<u64, Need>);

struct Need {
    path: String,
    vfs: StatVfs,
    bytes: u64,
    inodes: u64,
}

impl Space {
    /// Counts what is staged in a target: twice its size, because checks get a copy, and the way back needs some room too.
    pub(super) fn for_target(&mut self, base: &Dir, target: &TargetChange) -> Result<(), Error> {
        let need = self.on(base)?;
        let coming = target.changes.iter().filter_map(|it| Some(size(&it.incoming.as_ref()?.0)));
        for size in coming {
            need.bytes = need.bytes.saturating_add(need.rounded(size).saturating_mul(2));
            need.inodes += 1;
        }
        // The staging folder and what is made in it for a moment.
        need.inodes += 2;
        Ok(())
    }

    /// Counts the journal, and the copies of what was edited by hand.
    pub(super) fn for_state(&mut self, state_dir: &str, request: &Request) -> Result<(), Error> {
        let Some(dir) = Dir::open(state_dir)? else { return Ok(()) };
        let need = self.on(&dir)?;
        for change in request.targets.iter().flat_map(|it| &it.changes) {
            need.bytes = need.bytes.saturating_add(RECORD).saturating_add(need.rounded(kept(change)));
        }
        Ok(())
    }

    /// Returns the file systems without enough room.
    pub(super) fn lacking(self) -> impl Iterator<Item = Error> {
        // What is set aside for root is root's.
        let is_root = rustix::process::geteuid().is_root();
        self.0.into_values().filter_map(move |need| {
            let blocks = if is_root { need.vfs.f_bfree } else { need.vfs.f_bavail };
            let bytes = blocks.saturating_mul(need.vfs.f_frsize);
            let inodes = if is_root { need.vfs.f_ffree } else { need.vfs.f_favail };
            let what = if need.bytes > bytes {
                format!("it needs {} KiB, and {} KiB are free", need.bytes.div_ceil(1024), bytes / 1024)
            // Some file systems make inodes as they go, and say that they have none.
            } else if need.vfs.f_files > 0 && need.inodes > inodes {
                format!("it needs {} inodes, and {inodes} are free", need.inodes)
            } else {
                return None;
            };
            Some(Error::Full { path: need.path, what })
        })
    }

    fn on(&mut self, dir: &Dir) -> Result<&mut Need, Error> {
        let vfs = system::vfs(dir)?;
        let new = Need { path: dir.path().to_owned(), vfs, bytes: 0, inodes: 0 };
        Ok(self.0.entry(system::device(dir)?).or_insert(new))
    }
}

impl Need {
    /// Files take whole blocks.
    fn rounded(&self, size: u64) -> u64 {
        size.div_ceil(self.vfs.f_frsize.max(1)).saturating_mul(self.vfs.f_frsize)
    }
}

fn size(content: &Content) -> u64 {
    match content {
        Content::Blob { size, .. } => *size,
        Content::Bytes(bytes) => bytes.len() as u64,
        Content::Link(text) => text.len() as u64,
    }
}

/// Returns the size of what is copied into the state directory before a change: all that is not as it was written.
fn kept(change: &Change) -> u64 {
    let Some(live) = &change.outgoing else { return 0 };
    let is_clean = match (&change.row_before, &live.digest) {
        (Some(row), Some(digest)) => row.digest == digest.0,
        _ => false,
    };
    if is_clean { 0 } else { live.stat.size }
}
