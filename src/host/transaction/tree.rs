//! The new tree of a target that is published by generations: what was live, with the changes made.

use super::generation::{TREE, same_file};
use super::journal::{Carried, DirectoryChange, Root};
use super::stage::{FLUSH_EACH_MAX, New, file_id, unkept, write_one};
use super::switch::conflict;
use super::{ReadBlob, TargetChange};
use crate::host::Error;
use crate::host::attributes;
use crate::host::dir::{Dir, File, Found, split, type_name};
use crate::host::live;
use crate::host::scan::{DigestKey, entry};
use crate::plan::{LiveKind, Stat};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::io::{Read, Write};

/// Makes the new tree in the staging folder, flushed, and the link that leads to it.
pub(super) fn build(
    base: &Dir,
    staging: &Dir,
    root: &mut Root,
    target: &TargetChange,
    key: &DigestKey,
    blob: ReadBlob<'_>,
) -> Result<(), Error> {
    let gone = |what: &str| conflict(base, what, "it is gone");
    let Some(mut generation) = root.generation.take() else { return Ok(()) };
    let source = match generation.source {
        Some(number) => base.below(&live::text_of(number))?,
        None => None,
    };
    staging.make_dir(TREE)?;
    let tree = staging.below(TREE)?.ok_or_else(|| gone(&root.staging))?;
    let mut builder = Builder::new(&tree, source.as_ref(), target, key);
    builder.carry()?;
    for (file, change) in root.files.iter_mut().zip(&target.changes) {
        let Some((content, row)) = &change.incoming else { continue };
        let (folder, name) = split(&file.path);
        let attributes = attributes::wanted(source.as_ref().unwrap_or(&tree), &file.path, change)?;
        let new = New { row, attributes, outgoing: change.outgoing.as_ref(), flush: false };
        let written = write_one(&builder.folder(folder)?, name, content, &new, key, blob)?;
        builder.written(&file.path, written.kind == LiveKind::File);
        file.incoming = Some(written);
    }
    builder.drop_emptied()?;
    builder.finish()?;
    (generation.directories, generation.carried) = (builder.directories, builder.carried);

    let is_given_up = target.publish.is_none() && tree.names()?.is_empty();
    if is_given_up {
        staging.remove_dir(TREE)?;
    } else {
        let slot = generation.link.slot.to_string();
        staging.make_link(&slot, &live::text_of(generation.number))?;
        generation.link.incoming = entry(staging, &slot, None)?.as_ref().map(file_id);
        generation.tree = staging.look(TREE)?.map(|it| it.stat.inode);
    }
    root.generation = Some(generation);
    Ok(())
}

/// A directory of the new tree and what it shall be in the end.
struct Folder {
    path: String,
    mode: u32,
    uid: u32,
    gid: u32,
    is_carried: bool,
}

/// A new tree that is being made.
struct Builder<'a> {
    tree: &'a Dir,
    source: Option<&'a Dir>,
    target: &'a TargetChange,
    key: &'a DigestKey,
    /// Paths at which something comes or goes.
    changed: BTreeSet<&'a str>,
    sensitive: BTreeSet<&'a str>,
    /// Whether the file system shares blocks; taken for granted until it says no.
    reflinks: bool,
    /// Parents before what is in them.
    folders: Vec<Folder>,
    /// New inodes that have to be flushed.
    new_files: Vec<String>,
    directories: Vec<DirectoryChange>,
    carried: Vec<Carried>,
}

impl<'a> Builder<'a> {
    fn new(tree: &'a Dir, source: Option<&'a Dir>, target: &'a TargetChange, key: &'a DigestKey) -> Self {
        let changes = target.changes.iter().filter(|it| it.incoming.is_some() || it.outgoing.is_some());
        Builder {
            tree,
            source,
            target,
            key,
            changed: changes.map(|it| it.path.as_str()).collect(),
            sensitive: target.sensitive.iter().map(String::as_str).collect(),
            reflinks: true,
            folders: Vec::new(),
            new_files: Vec::new(),
            directories: Vec::new(),
            carried: Vec::new(),
        }
    }

    fn here(&self, path: &str) -> Result<Dir, Error> {
        self.tree.below(path)?.ok_or_else(|| conflict(self.tree, path, "the new tree is gone"))
    }

    /// Takes over everything that does not change, whoever put it there.
    fn carry(&mut self) -> Result<(), Error> {
        let (mode, uid, gid) = self.target.directories;
        let Some(source) = self.source else {
            self.folders.push(Folder { path: String::new(), mode, uid, gid, is_carried: false });
            return Ok(());
        };
        let mut waiting = vec![String::new()];
        while let Some(folder) = waiting.pop() {
            let Some(from) = source.below(&folder)? else { continue };
            let access = from.look(".")?.ok_or_else(|| Error::Changed { path: from.path().to_owned() })?;
            let (mode, uid, gid) = (access.mode, access.uid, access.gid);
            self.folders.push(Folder { path: folder.clone(), mode, uid, gid, is_carried: true });
            let to = self.here(&folder)?;
            for name in from.names()? {
                let shown = || from.path_of(&String::from_utf8_lossy(&name).escape_debug().to_string());
                let Ok(name) = std::str::from_utf8(&name) else {
                    return Err(Error::WrongType { path: shown(), found: "a name that is not UTF-8" });
                };
                let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                let Some(found) = from.look(name)?.filter(|_| !self.changed.contains(path.as_str())) else { continue };
                let carried = match found.kind {
                    FileType::Directory => {
                        waiting.push(path);
                        to.make_dir(name).map(drop)
                    }
                    FileType::RegularFile => self.carry_file(&from, &to, name, path, &found),
                    FileType::Symlink => self.carry_link(&from, &to, name, path, &found),
                    other => Err(Error::WrongType { path: shown(), found: type_name(other) }),
                };
                match carried {
                    // A program has removed what was its own since the folder was listed.
                    Err(Error::Io { errno: Errno::NOENT, .. }) if from.look(name)?.is_none() => {}
                    other => other?,
                }
            }
        }
        Ok(())
    }

    fn carry_link(&mut self, from: &Dir, to: &Dir, name: &str, path: String, found: &Found) -> Result<(), Error> {
        to.make_link(name, &from.link_text(name)?)?;
        to.set_link_owner(name, found.uid, found.gid)?;
        self.carried(from, to, name, path, found, (false, None))
    }

    /// Shares a file with the tree that it comes from; copies it when it is sensitive, or when sharing is not possible.
    fn carry_file(&mut self, from: &Dir, to: &Dir, name: &str, path: String, found: &Found) -> Result<(), Error> {
        if self.sensitive.contains(path.as_str()) {
            let digest = self.copy(from, to, name)?;
            self.new_files.push(path.clone());
            return self.carried(from, to, name, path, found, (false, Some(digest)));
        }
        if self.reflinks {
            self.reflinks = self.share_blocks(from, to, name)?;
            if self.reflinks {
                self.new_files.push(path.clone());
                return self.carried(from, to, name, path, found, (false, None));
            }
        }
        match from.link(name, to, name) {
            Ok(()) => self.carried(from, to, name, path, found, (true, None)),
            // Too many names, a file that is not ours to link (`fs.protected_hardlinks`), a file system without links.
            Err(Error::Io { errno: Errno::MLINK | Errno::PERM | Errno::OPNOTSUPP | Errno::XDEV, .. }) => {
                let digest = self.copy(from, to, name)?;
                self.new_files.push(path.clone());
                self.carried(from, to, name, path, found, (false, Some(digest)))
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a file that has its blocks in common with another; `false`, and no file, where that cannot be.
    fn share_blocks(&self, from: &Dir, to: &Dir, name: &str) -> Result<bool, Error> {
        let old = from.read(name)?;
        let new = to.create(name)?;
        if !new.reflink(&old)? {
            to.unlink(name)?;
            return Ok(false);
        }
        new.dress(&old)?;
        Ok(true)
    }

    /// Writes a file again, private until it is whole, and returns the digest of what was written.
    fn copy(&self, from: &Dir, to: &Dir, name: &str) -> Result<String, Error> {
        let mut copying = Copying { from: from.read(name)?, to: to.create(name)? };
        let digest = self.key.of_reader(&mut copying).map_err(Error::std("copy to", to.path_of(name)))?;
        copying.to.dress(&copying.from)?;
        Ok(digest.0)
    }

    /// Notes what a file is known by in both trees. One that changed meanwhile is known by nothing: it is not taken for
    /// what the ledger has, and what is left of it in the old tree counts as changed at the last moment.
    fn carried(
        &mut self,
        from: &Dir,
        to: &Dir,
        name: &str,
        path: String,
        before: &Found,
        (shared, digest): (bool, Option<String>),
    ) -> Result<(), Error> {
        let lost = || Error::Changed { path: to.path_of(name) };
        let now = to.look(name)?.ok_or_else(lost)?;
        if shared && now.stat.inode != before.stat.inode {
            // The second name went to something that nobody looked at.
            return Err(lost());
        }
        let is_same = match shared {
            true => same_file(&now.stat, &before.stat),
            false => from.look(name)?.is_some_and(|it| it.stat == before.stat),
        };
        if !shared && is_same && !has_access(&now, before.mode, before.uid, before.gid) {
            return Err(unkept(to));
        }
        let from = if is_same { before.stat } else { Stat::default() };
        let sensitive = self.sensitive.contains(path.as_str());
        self.carried.push(Carried { path, shared, sensitive, digest, from, to: now.stat });
        Ok(())
    }

    /// Opens a folder of the new tree, making it and those above it.
    fn folder(&mut self, path: &str) -> Result<Dir, Error> {
        let (mode, uid, gid) = self.target.directories;
        let mut here = self.here("")?;
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let (path, name) = (&path[..end], split(&path[..end]).1);
            if path.is_empty() {
                continue;
            }
            if here.make_dir(name)? {
                self.folders.push(Folder { path: path.to_owned(), mode, uid, gid, is_carried: false });
                let made = DirectoryChange { path: path.to_owned(), make: true, mode, uid, gid, stays: false };
                self.directories.push(made);
            }
            here = self.here(path)?;
        }
        Ok(here)
    }

    fn written(&mut self, path: &str, is_file: bool) {
        if is_file {
            self.new_files.push(path.to_owned());
        }
    }

    /// Removes directories that headfast made once and that lost their last file.
    fn drop_emptied(&mut self) -> Result<(), Error> {
        let mut made: Vec<&String> = self.target.made.iter().collect();
        made.sort_unstable_by(|a, b| b.cmp(a));
        let leaving = self.target.changes.iter().filter(|it| it.incoming.is_none() && it.outgoing.is_some());
        let leaving: Vec<&str> = leaving.map(|it| it.path.as_str()).collect();
        for path in made {
            let below = format!("{path}/");
            let (folder, name) = split(path);
            let Some(parent) = self.tree.below(folder)?.filter(|_| leaving.iter().any(|it| it.starts_with(&below)))
            else {
                continue;
            };
            let access = self.folders.iter().find(|it| it.path == *path).map(|it| (it.mode, it.uid, it.gid));
            if parent.remove_dir(name)? || parent.look(name)?.is_none() {
                let (mode, uid, gid) = access.unwrap_or(self.target.directories);
                self.directories.push(DirectoryChange {
                    path: path.clone(),
                    make: false,
                    mode,
                    uid,
                    gid,
                    stays: false,
                });
                self.folders.retain(|it| it.path != *path);
            }
        }
        Ok(())
    }

    /// Gives the directories what they shall be, the innermost first, and flushes the whole tree.
    fn finish(&mut self) -> Result<(), Error> {
        let flush_each = self.new_files.len() + self.folders.len() <= FLUSH_EACH_MAX;
        for path in self.new_files.iter().filter(|_| flush_each) {
            let (folder, name) = split(path);
            self.here(folder)?.read(name)?.flush_to_disk()?;
        }
        for folder in self.folders.iter().rev() {
            let dir = self.here(&folder.path)?;
            dir.set_access(folder.mode, folder.uid, folder.gid)?;
            if !dir.look(".")?.is_some_and(|it| has_access(&it, folder.mode, folder.uid, folder.gid)) {
                return Err(unkept(&dir));
            }
            if let (Some(source), true) = (self.source, folder.is_carried)
                && let Some(from) = source.below(&folder.path)?
            {
                dir.copy_attributes(&from)?;
            }
            if flush_each {
                dir.flush()?;
            }
        }
        if flush_each { Ok(()) } else { self.tree.flush_file_system() }
    }
}

/// Returns whether something has the mode and owner that it was given, but for the set-group-ID bit: chmod(2) leaves that out
/// without an error where the group is not the caller's.
fn has_access(found: &Found, mode: u32, uid: u32, gid: u32) -> bool {
    const SET_GROUP: u32 = 0o2000;
    (found.mode | SET_GROUP, found.uid, found.gid) == (mode | SET_GROUP, uid, gid)
}

/// Reads one file and writes what was read to another.
struct Copying {
    from: File,
    to: File,
}

impl Read for Copying {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n_bytes = self.from.read(buffer)?;
        self.to.write_all(&buffer[..n_bytes])?;
        Ok(n_bytes)
    }
}
