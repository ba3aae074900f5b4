//! The calls on what is open: the model's counterpart of `dir::real`.

use super::disk::{Data, Ino, Kind, Node};
use super::{Call, Fault, Guard, Kernel, Machine, lacks};
use crate::host::dir::{Found, Handle};
use crate::host::live::GENERATIONS;
use crate::host::transaction::TREE;
use rustix::fs::{FileType, RenameFlags};
use rustix::io::Errno;
use std::cell::Cell;

/// A directory or file that is open in the model.
#[derive(Debug)]
pub struct Opened {
    machine: Machine,
    ino: Ino,
    id: u64,
    /// How far a file is read.
    position: Cell<usize>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut kernel = self.machine.0.borrow_mut();
        if kernel.locks.get(&self.ino) == Some(&self.id) {
            kernel.locks.remove(&self.ino);
        }
        if let Some(count) = kernel.open.get_mut(&self.ino) {
            *count -= 1;
            if *count == 0 {
                kernel.open.remove(&self.ino);
            }
        }
    }
}

impl Opened {
    pub(super) fn new(machine: &Machine, ino: Ino) -> Opened {
        let mut kernel = machine.0.borrow_mut();
        *kernel.open.entry(ino).or_default() += 1;
        kernel.handles += 1;
        Opened { machine: machine.clone(), ino, id: kernel.handles, position: Cell::new(0) }
    }

    fn run<T>(&self, call: Call, work: impl FnOnce(&mut Kernel) -> Result<T, Errno>) -> Result<T, Errno> {
        self.machine.run(call, self.ino, work)
    }

    pub fn below(&self, path: &str) -> Result<Handle, Errno> {
        let found = self.run(Call::Open, |kernel| kernel.disk.walk(self.ino, path))?;
        Ok(Handle::Model(Opened::new(&self.machine, found)))
    }

    pub fn enter(&self, name: &[u8]) -> Result<Handle, Errno> {
        self.below(text(&name)?)
    }

    pub fn open_file(&self, name: &str) -> Result<Handle, Errno> {
        let found = self.run(Call::Open, |kernel| {
            let found = kernel.disk.at(self.ino, name)?;
            match kernel.disk.node(found)?.kind {
                Kind::Link => Err(Errno::LOOP),
                _ => Ok(found),
            }
        })?;
        Ok(Handle::Model(Opened::new(&self.machine, found)))
    }

    pub fn create(&self, name: &str) -> Result<Handle, Errno> {
        let made = self.make(Call::Create, name, (Kind::File, Data::from(&b""[..]), (0o600, 0, 0)))?;
        Ok(Handle::Model(Opened::new(&self.machine, made)))
    }

    pub fn make_link(&self, name: &str, text: &str) -> Result<(), Errno> {
        self.make(Call::MakeLink, name, (Kind::Link, Data::from(text.as_bytes()), (0o777, 0, 0))).map(|_| ())
    }

    pub fn make_dir(&self, name: &str) -> Result<(), Errno> {
        self.make(Call::MakeDir, name, (Kind::Dir, Data::from(&b""[..]), (0o700, 0, 0))).map(|_| ())
    }

    fn make(&self, call: Call, name: &str, made: (Kind, Data, (u32, u32, u32))) -> Result<Ino, Errno> {
        self.run(call, |kernel| {
            let opened = kernel.opened();
            kernel.disk.make(self.ino, name, made, kernel.clock, &opened)
        })
    }

    pub fn stat(&self) -> Result<Found, Errno> {
        self.run(Call::Stat, |kernel| kernel.disk.node(self.ino).map(|it| found(self.ino, it)))
    }

    pub fn stat_at(&self, name: impl AsRef<[u8]>) -> Result<Found, Errno> {
        self.run(Call::Stat, |kernel| {
            let name = text(&name)?;
            let ino = if name == "." { self.ino } else { kernel.disk.at(self.ino, name)? };
            kernel.disk.node(ino).map(|it| found(ino, it))
        })
    }

    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.run(Call::Read, |kernel| {
            let bytes = &kernel.disk.node(self.ino)?.live.data.bytes;
            let rest = &bytes[self.position.get().min(bytes.len())..];
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            self.position.set(self.position.get() + count);
            Ok(count)
        })
    }

    pub fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        self.run(Call::Write, |kernel| {
            let count = if matches!(kernel.fault, Some(Fault::ShortWrites)) { bytes.len().min(7) } else { bytes.len() };
            let (pretends, clock) = (kernel.pretends(), kernel.clock);
            let node = kernel.disk.edit(self.ino)?;
            let mut whole = node.live.data.bytes.to_vec();
            whole.extend(&bytes[..count]);
            if pretends && let Some(last) = whole.last_mut() {
                *last ^= 1;
            }
            (node.live.data, node.live.mtime, node.ctime) = (Data::from(whole.as_slice()), clock, clock);
            Ok(count)
        })
    }

    pub fn read_link(&self, name: &str) -> Result<String, Errno> {
        self.run(Call::ReadLink, |kernel| {
            let node = kernel.disk.node(kernel.disk.at(self.ino, name)?)?;
            match node.kind {
                Kind::Link => Ok(String::from_utf8_lossy(&node.live.data.bytes).into_owned()),
                _ => Err(Errno::INVAL),
            }
        })
    }

    pub fn unlink(&self, name: impl AsRef<[u8]>) -> Result<(), Errno> {
        self.run(Call::Unlink, |kernel| {
            let ino = kernel.disk.at(self.ino, text(&name)?)?;
            kernel.disk.unlink(self.ino, text(&name)?)?;
            kernel.disk.edit(ino)?.ctime = kernel.clock;
            Ok(())
        })
    }

    pub fn remove_dir(&self, name: impl AsRef<[u8]>) -> Result<(), Errno> {
        self.run(Call::RemoveDir, |kernel| kernel.disk.remove_dir(self.ino, text(&name)?))
    }

    pub fn rename(&self, name: &str, to: &Opened, to_name: &str, flags: RenameFlags) -> Result<(), Errno> {
        self.run(Call::Rename, |kernel| {
            let moved = kernel.disk.at(self.ino, name)?;
            let there = kernel.disk.at(to.ino, to_name).ok();
            kernel.disk.rename((self.ino, name), (to.ino, to_name), flags)?;
            for ino in [Some(moved), there].into_iter().flatten() {
                kernel.disk.edit(ino)?.ctime = kernel.clock;
            }
            Ok(())
        })
    }

    pub fn link(&self, name: &str, to: &Opened, to_name: &str) -> Result<(), Errno> {
        self.run(Call::Link, |kernel| {
            let linked = kernel.disk.at(self.ino, name)?;
            kernel.disk.link(linked, (to.ino, to_name))?;
            kernel.disk.edit(linked)?.ctime = kernel.clock;
            Ok(())
        })
    }

    pub fn change_owner_at(&self, name: &str, uid: u32, gid: u32) -> Result<(), Errno> {
        self.run(Call::ChangeOwner, |kernel| {
            let ino = kernel.disk.at(self.ino, name)?;
            set_owner(kernel, ino, uid, gid)
        })
    }

    pub fn change_owner(&self, uid: u32, gid: u32) -> Result<(), Errno> {
        self.run(Call::ChangeOwner, |kernel| set_owner(kernel, self.ino, uid, gid))
    }

    pub fn change_mode(&self, mode: u32) -> Result<(), Errno> {
        self.run(Call::ChangeMode, |kernel| {
            if !kernel.pretends() {
                let node = kernel.disk.edit(self.ino)?;
                (node.live.access.0, node.ctime) = (mode, kernel.clock);
            }
            Ok(())
        })
    }

    pub fn set_time(&self, mtime: i64) -> Result<(), Errno> {
        self.run(Call::SetTime, |kernel| {
            let node = kernel.disk.edit(self.ino)?;
            (node.live.mtime, node.ctime) = (mtime, kernel.clock);
            Ok(())
        })
    }

    /// Shares the blocks of another file. That they are shared is as little durable as if they had been written.
    pub fn reflink(&self, from: &Opened) -> Result<(), Errno> {
        self.run(Call::Reflink, |kernel| {
            if !kernel.disk.reflinks {
                return Err(Errno::OPNOTSUPP);
            }
            let data = kernel.disk.node(from.ino)?.live.data.clone();
            let node = kernel.disk.edit(self.ino)?;
            (node.live.data, node.live.mtime, node.ctime) = (data, kernel.clock, kernel.clock);
            Ok(())
        })
    }

    pub fn attributes(&self) -> Result<Vec<Vec<u8>>, Errno> {
        self.run(Call::Attributes, |kernel| {
            Ok(kernel.disk.node(self.ino)?.live.attributes.keys().map(|it| it.to_vec()).collect())
        })
    }

    pub fn attribute(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        self.run(Call::Attributes, |kernel| {
            Ok(kernel.disk.node(self.ino)?.live.attributes.get(name).map(|it| it.to_vec()))
        })
    }

    pub fn set_attribute(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        self.run(Call::SetAttribute, |kernel| {
            let node = kernel.disk.edit(self.ino)?;
            node.live.attributes.insert(name.into(), value.into());
            node.ctime = kernel.clock;
            Ok(())
        })
    }

    pub fn remove_attribute(&self, name: &[u8]) -> Result<(), Errno> {
        self.run(Call::SetAttribute, |kernel| {
            if kernel.disk.node(self.ino)?.live.attributes.contains_key(name) {
                let node = kernel.disk.edit(self.ino)?;
                node.live.attributes.remove(name);
                node.ctime = kernel.clock;
            }
            Ok(())
        })
    }

    pub fn names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        self.run(Call::Names, |kernel| {
            Ok(kernel.disk.node(self.ino)?.live_names.keys().map(|it| it.as_bytes().to_vec()).collect())
        })
    }

    pub fn flush(&self) -> Result<(), Errno> {
        self.run(Call::Flush, |kernel| {
            let names = |name: &str| kernel.disk.nodes.values().any(|it| it.live_names.get(name) == Some(&self.ino));
            let guard = match kernel.disk.node(self.ino)?.kind {
                Kind::Dir => Guard::DirectoryFlush,
                // Only a journal is ever called that, while it is being written.
                _ if names("new") => Guard::JournalFlush,
                _ => Guard::StagedFlush,
            };
            match kernel.fault {
                Some(Fault::LyingFlush) => Ok(()),
                _ if lacks(guard) => Ok(()),
                _ if lacks(Guard::TreeFlush) && kernel.disk.is_within(self.ino, TREE) => Ok(()),
                _ if lacks(Guard::PlaceFlush) && names(GENERATIONS) => Ok(()),
                _ => kernel.disk.flush(self.ino),
            }
        })
    }

    pub fn flush_file_system(&self) -> Result<(), Errno> {
        self.run(Call::FlushFileSystem, |kernel| match kernel.fault {
            Some(Fault::LyingFlush) => Ok(()),
            _ => kernel.disk.flush_all(),
        })
    }

    pub fn lock(&self) -> Result<(), Errno> {
        self.run(Call::Lock, |kernel| match kernel.locks.get(&self.ino) {
            _ if lacks(Guard::Lock) => Ok(()),
            Some(holder) if *holder != self.id => Err(Errno::WOULDBLOCK),
            _ => {
                kernel.locks.insert(self.ino, self.id);
                Ok(())
            }
        })
    }

    pub fn unlock(&self) -> Result<(), Errno> {
        let mut kernel = self.machine.0.borrow_mut();
        if kernel.locks.get(&self.ino) == Some(&self.id) {
            kernel.locks.remove(&self.ino);
        }
        Ok(())
    }
}

/// Names are text here.
fn text(name: &impl AsRef<[u8]>) -> Result<&str, Errno> {
    std::str::from_utf8(name.as_ref()).map_err(|_| Errno::NOENT)
}

/// A change of owner takes the set-id bits of a file away, as chown(2) says.
fn set_owner(kernel: &mut Kernel, ino: Ino, uid: u32, gid: u32) -> Result<(), Errno> {
    if !kernel.pretends() {
        let node = kernel.disk.edit(ino)?;
        let bits = if node.kind == Kind::File { 0o777 } else { 0o7777 };
        (node.live.access, node.ctime) = ((node.live.access.0 & bits, uid, gid), kernel.clock);
    }
    Ok(())
}

fn found(ino: Ino, node: &Node) -> Found {
    let kind = match node.kind {
        Kind::File => FileType::RegularFile,
        Kind::Dir => FileType::Directory,
        Kind::Link => FileType::Symlink,
    };
    let (mode, uid, gid) = node.live.access;
    Found { kind, mode, uid, gid, stat: node.stat(ino) }
}
