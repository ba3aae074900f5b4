//! Directories by handle. No path below a target is ever resolved as a string from `/`: every step starts at a handle
//! that is held open and refuses symbolic links, `..` and mount points (openat2(2)).

mod file;
mod real;

pub use file::File;
pub use real::resolver;

use super::Error;
use crate::plan::{LiveKind, Stat};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, RenameFlags};
use rustix::io::Errno;
use std::cell::Cell;

/// What a directory or file is open on.
#[derive(Debug)]
pub(super) enum Handle {
    Real(OwnedFd),
    #[cfg(test)]
    Model(super::model::Opened),
}

/// Makes one call on whatever a handle is open on.
macro_rules! on {
    ($handle:expr, $call:ident($($argument:expr),*)) => {
        match &$handle {
            Handle::Real(fd) => real::$call(fd, $($argument),*),
            #[cfg(test)]
            Handle::Model(opened) => opened.$call($($argument),*),
        }
    };
}
use on;

/// An open directory.
#[derive(Debug)]
pub struct Dir {
    handle: Handle,
    path: String,
    locked: Cell<bool>,
}

impl Drop for Dir {
    fn drop(&mut self) {
        // Closing alone would leave the lock with a child that was forked and has not yet become another program.
        if self.locked.get() {
            on!(self.handle, unlock()).ok();
        }
    }
}

/// What `stat` says of a name, symbolic links not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is; a link's text is not read.
    pub kind: FileType,
    /// The permission bits, set-id and sticky bits included.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// What changes with the file.
    pub stat: Stat,
}

impl Dir {
    fn of(handle: Handle, path: String) -> Dir {
        Dir { handle, path, locked: Cell::new(false) }
    }

    /// Opens the directory at an absolute path that has no symbolic link in it; `None` when it does not exist.
    pub fn open(path: &str) -> Result<Option<Dir>, Error> {
        #[cfg(test)]
        if let Some(machine) = super::model::machine() {
            return opened(machine.open_path(path), path.to_owned());
        }
        opened(real::open(path), path.to_owned())
    }

    /// Opens a directory as [`Dir::open`] does, but only to look at it: names in it can be neither listed nor changed.
    pub(super) fn open_to_look(path: &str) -> Result<Option<Dir>, Error> {
        opened(real::open_to_look(path), path.to_owned())
    }

    /// Opens a directory below this one; `None` when it does not exist. The empty path is this directory.
    pub fn below(&self, path: &str) -> Result<Option<Dir>, Error> {
        opened(on!(self.handle, below(path)), self.path_of(path))
    }

    /// Does what [`Dir::below`] does where openat2 is not available.
    #[cfg(test)]
    pub(super) fn below_by_walking(&self, path: &str) -> Result<Option<Dir>, Error> {
        opened(real::below_by_walking(self.handle(), path), self.path_of(path))
    }

    /// Returns the kernel's handle, for what is asked of it beyond names, contents and attributes.
    pub(super) fn handle(&self) -> BorrowedFd<'_> {
        match &self.handle {
            Handle::Real(fd) => fd.as_fd(),
            #[cfg(test)]
            Handle::Model(_) => panic!("the model has no handles of the kernel"),
        }
    }

    /// Returns what is open, for its extended attributes.
    pub(super) fn opened(&self) -> &Handle {
        &self.handle
    }

    /// Returns the path that this handle was opened by, for messages.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the same handle for the path that the directory has been given since.
    pub(super) fn renamed(mut self, path: String) -> Dir {
        self.path = path;
        self
    }

    /// Returns the path of a name in this directory, for messages.
    pub fn path_of(&self, name: &str) -> String {
        match name {
            "" => self.path.clone(),
            name if self.path == "/" => format!("/{name}"),
            name => format!("{}/{name}", self.path),
        }
    }

    /// Looks at a name; `None` when there is none.
    pub fn look(&self, name: &str) -> Result<Option<Found>, Error> {
        match on!(self.handle, stat_at(name)) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::io("look at", self.path_of(name))(errno)),
        }
    }

    /// Opens a regular file for reading, without following a link and without blocking on a FIFO.
    pub fn read(&self, name: &str) -> Result<File, Error> {
        let handle = on!(self.handle, open_file(name)).map_err(Error::io("open", self.path_of(name)))?;
        let file = File::of(handle, self.path_of(name));
        match file.look()?.kind {
            FileType::RegularFile => Ok(file),
            other => Err(Error::WrongType { path: self.path_of(name), found: type_name(other) }),
        }
    }

    /// Makes a new file that only this process's user can open.
    pub fn create(&self, name: &str) -> Result<File, Error> {
        let path = self.path_of(name);
        match on!(self.handle, create(name)) {
            Ok(handle) => Ok(File::of(handle, path)),
            Err(errno) => Err(Error::io("create", path)(errno)),
        }
    }

    /// Reads a symbolic link's text.
    pub fn link_text(&self, name: &str) -> Result<String, Error> {
        on!(self.handle, read_link(name)).map_err(Error::io("read the link", self.path_of(name)))
    }

    /// Makes a symbolic link.
    pub fn make_link(&self, name: &str, text: &str) -> Result<(), Error> {
        on!(self.handle, make_link(name, text)).map_err(Error::io("create the link", self.path_of(name)))
    }

    /// Sets the owner and group of a symbolic link itself.
    pub fn set_link_owner(&self, name: &str, uid: u32, gid: u32) -> Result<(), Error> {
        let found = self.look(name)?;
        if found.is_some_and(|it| (it.uid, it.gid) == (uid, gid)) {
            return Ok(());
        }
        on!(self.handle, change_owner_at(name, uid, gid)).map_err(Error::io("change the owner of", self.path_of(name)))
    }

    /// Makes a directory that only this process's user can enter; `false` when the name exists already.
    pub fn make_dir(&self, name: &str) -> Result<bool, Error> {
        match on!(self.handle, make_dir(name)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(Error::io("create the directory", self.path_of(name))(errno)),
        }
    }

    /// Removes a file or link; `false` when there was none.
    pub fn unlink(&self, name: &str) -> Result<bool, Error> {
        self.removed(name, on!(self.handle, unlink(name)))
    }

    /// Removes an empty directory; `false` when there was none, or when it is not empty or something else by now.
    pub fn remove_dir(&self, name: &str) -> Result<bool, Error> {
        match on!(self.handle, remove_dir(name)) {
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR | Errno::BUSY) => Ok(false),
            other => self.removed(name, other),
        }
    }

    fn removed(&self, name: &str, answer: Result<(), Errno>) -> Result<bool, Error> {
        match answer {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::io("remove", self.path_of(name))(errno)),
        }
    }

    /// Removes everything in this directory, names that are no text included; what is mounted in it is not entered.
    pub fn clear(&self) -> Result<(), Error> {
        for name in self.names()? {
            let path = self.path_of(&String::from_utf8_lossy(&name));
            let name = name.as_slice();
            let found = match on!(self.handle, stat_at(name)) {
                Err(Errno::NOENT) => continue,
                other => other.map_err(Error::io("look at", path.clone()))?,
            };
            let answer = if found.kind == FileType::Directory {
                let Some(below) = opened(on!(self.handle, enter(name)), path.clone())? else { continue };
                below.clear()?;
                on!(self.handle, remove_dir(name))
            } else {
                on!(self.handle, unlink(name))
            };
            match answer {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(Error::io("remove", path)(errno)),
            }
        }
        Ok(())
    }

    /// Renames `name` here to `to_name` in `to`; with [`RenameFlags::EXCHANGE`] the two change places.
    pub fn rename(&self, name: &str, to: &Dir, to_name: &str, flags: RenameFlags) -> Result<(), Error> {
        let answer = match (&self.handle, &to.handle) {
            (Handle::Real(from), Handle::Real(to)) => real::rename(from, name, to, to_name, flags),
            #[cfg(test)]
            (Handle::Model(from), Handle::Model(to)) => from.rename(name, to, to_name, flags),
            #[cfg(test)]
            _ => Err(Errno::XDEV),
        };
        answer.map_err(Error::io("rename to", to.path_of(to_name)))
    }

    /// Gives the file or link `name` another name in `to`, without following a link.
    pub fn link(&self, name: &str, to: &Dir, to_name: &str) -> Result<(), Error> {
        let answer = match (&self.handle, &to.handle) {
            (Handle::Real(from), Handle::Real(to)) => real::link(from, name, to, to_name),
            #[cfg(test)]
            (Handle::Model(from), Handle::Model(to)) => from.link(name, to, to_name),
            #[cfg(test)]
            _ => Err(Errno::XDEV),
        };
        answer.map_err(Error::io("link to", to.path_of(to_name)))
    }

    /// Returns the names in this directory, in no particular order.
    pub fn names(&self) -> Result<Vec<Vec<u8>>, Error> {
        on!(self.handle, names()).map_err(Error::io("list", self.path.clone()))
    }

    /// Returns whether only this process's user can write here, or even enter: whether it can be one of headfast's own.
    pub(super) fn is_private(&self) -> Result<bool, Error> {
        let found = on!(self.handle, stat()).map_err(Error::io("look at", self.path.clone()))?;
        Ok(found.uid == user() && found.mode & 0o077 == 0)
    }

    /// Flushes the directory's names to the disk.
    pub fn flush(&self) -> Result<(), Error> {
        on!(self.handle, flush()).map_err(Error::io("flush", self.path.clone()))
    }

    /// Flushes everything on this directory's file system to the disk.
    pub fn flush_file_system(&self) -> Result<(), Error> {
        on!(self.handle, flush_file_system()).map_err(Error::io("flush the file system of", self.path.clone()))
    }

    /// Takes the exclusive lock on the directory that lasts as long as this handle; `false` when another has it.
    pub fn lock(&self) -> Result<bool, Error> {
        match on!(self.handle, lock()) {
            Ok(()) => {
                self.locked.set(true);
                Ok(true)
            }
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(Error::io("lock", self.path.clone())(errno)),
        }
    }

    /// Returns who has the lock, as far as the kernel lets us see, in words.
    pub fn lock_holder(&self) -> String {
        let pid = match &self.handle {
            Handle::Real(fd) => real::lock_holder(fd),
            #[cfg(test)]
            Handle::Model(_) => None,
        };
        pid.map_or("another agent".to_owned(), |pid| format!("another agent (process {pid})"))
    }

    /// Sets the owner and mode of this directory, owner first because changing it clears bits of the mode.
    pub fn set_access(&self, mode: u32, uid: u32, gid: u32) -> Result<(), Error> {
        set_access(&self.handle, &self.path, mode, uid, gid)
    }

    /// Sets the mode of this directory.
    pub(super) fn set_mode(&self, mode: u32) -> Result<(), Error> {
        on!(self.handle, change_mode(mode)).map_err(Error::io("change the mode of", self.path.clone()))
    }

    /// Gives this directory the extended attributes of another.
    pub fn copy_attributes(&self, from: &Dir) -> Result<(), Error> {
        copy_attributes(&from.handle, &self.handle, &self.path)
    }
}

impl Handle {
    /// Returns the names of the extended attributes that there are.
    pub fn attributes(&self) -> Result<Vec<Vec<u8>>, Errno> {
        on!(*self, attributes())
    }

    /// Reads an extended attribute; `None` when it is not there, or not possible here.
    pub fn attribute(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        on!(*self, attribute(name))
    }

    /// Sets an extended attribute.
    pub fn set_attribute(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        on!(*self, set_attribute(name, value))
    }

    /// Sets an extended attribute and looks whether it is there, which some file systems only say.
    pub fn give_attribute(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        self.set_attribute(name, value)?;
        // The kernel keeps an access list that says no more than the mode (a header and three entries) as the mode alone.
        let is_mode = name == b"system.posix_acl_access" && value.len() <= 4 + 3 * 8;
        if is_mode || self.attribute(name)?.as_deref() == Some(value) { Ok(()) } else { Err(Errno::IO) }
    }

    /// Removes an extended attribute, if it is there.
    pub fn remove_attribute(&self, name: &[u8]) -> Result<(), Errno> {
        on!(*self, remove_attribute(name))
    }
}

/// Copies extended attributes, access lists and labels among them, as far as this process may set them.
fn copy_attributes(from: &Handle, to: &Handle, path: &str) -> Result<(), Error> {
    for name in from.attributes().map_err(Error::io("list the attributes of", path))? {
        let copied = from.attribute(&name).and_then(|it| match it {
            Some(value) => to.give_attribute(&name, &value),
            None => Ok(()),
        });
        match copied {
            // What this process may not read or set, the kernel or a label policy sets by itself.
            Ok(()) | Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(Error::io("copy the attributes of", path)(errno)),
        }
    }
    Ok(())
}

/// Sets owner, group and mode of what is open, skipping what is right already.
fn set_access(handle: &Handle, path: &str, mode: u32, uid: u32, gid: u32) -> Result<(), Error> {
    let found = on!(handle, stat()).map_err(Error::io("look at", path))?;
    if (found.mode, found.uid, found.gid) == (mode, uid, gid) {
        return Ok(());
    }
    if (found.uid, found.gid) != (uid, gid) {
        on!(handle, change_owner(uid, gid)).map_err(Error::io("change the owner of", path))?;
    }
    on!(handle, change_mode(mode)).map_err(Error::io("change the mode of", path))
}

/// Returns the user whose process this is.
fn user() -> u32 {
    #[cfg(test)]
    if super::model::machine().is_some() {
        return 0;
    }
    rustix::process::geteuid().as_raw()
}

/// Returns eight bytes that nobody can foresee.
pub(super) fn random() -> Result<u64, Errno> {
    #[cfg(test)]
    if let Some(machine) = super::model::machine() {
        return Ok(machine.random());
    }
    let mut random = [0u8; 8];
    rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(random))
}

fn opened(answer: Result<Handle, Errno>, path: String) -> Result<Option<Dir>, Error> {
    match answer {
        Ok(handle) => Ok(Some(Dir::of(handle, path))),
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::LOOP) => Err(Error::Symlink { path }),
        Err(Errno::XDEV) => Err(Error::MountPoint { path }),
        Err(Errno::NOTDIR) => Err(Error::WrongType { path, found: "not a directory" }),
        Err(errno) => Err(Error::io("open", path)(errno)),
    }
}

/// Returns what a file type is called in messages.
pub(super) fn type_name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown type",
    }
}

/// Turns a file type into what the plan knows; a link's text must be given.
pub(super) fn live_kind(kind: FileType, link_text: impl FnOnce() -> Result<String, Error>) -> Result<LiveKind, Error> {
    Ok(match kind {
        FileType::RegularFile => LiveKind::File,
        FileType::Symlink => LiveKind::Link(link_text()?),
        FileType::Directory => LiveKind::Directory,
        _ => LiveKind::Other,
    })
}

/// Splits a path into its folder (`""` for none) and its name.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

#[cfg(test)]
mod tests {
    use super::real::{OPEN_DIRECTORY, holder_of, walk};
    use super::*;
    use rustix::fs::Mode;

    #[test]
    fn o08_the_holder_of_a_lock_is_found_by_device_and_inode() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fe:01:77 0 EOF\n2: FLOCK  ADVISORY  WRITE 22 fe:01:77 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 33 fe:01:77 0 EOF\n3: FLOCK  ADVISORY  READ -1 00:2c:5 0 EOF\n\n4: FLOCK";
        let device = rustix::fs::makedev(0xfe, 1);
        assert_eq!(holder_of(locks, device, 77), Some(22));
        assert_eq!((holder_of(locks, device, 7), holder_of(locks, rustix::fs::makedev(0, 0x2c), 5)), (None, None));
    }

    fn sandbox() -> (tempfile::TempDir, Dir) {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let handle = Dir::open(real.to_str().unwrap()).unwrap().unwrap();
        (dir, handle)
    }

    #[test]
    fn a_symlink_on_the_way_is_refused_by_openat2_and_by_the_walk() {
        let (dir, handle) = sandbox();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        assert!(matches!(handle.below("link"), Err(Error::Symlink { .. })));
        assert_eq!(walk(handle.handle(), "link", OPEN_DIRECTORY, true).unwrap_err(), Errno::LOOP);
        assert!(handle.below("real").unwrap().is_some());
        assert!(walk(handle.handle(), "real", OPEN_DIRECTORY, true).is_ok());
    }

    #[test]
    fn dot_dot_never_leaves_the_handle() {
        let (_dir, handle) = sandbox();
        assert!(handle.below("..").is_err());
        assert_eq!(walk(handle.handle(), "..", OPEN_DIRECTORY, true).unwrap_err(), Errno::XDEV);
    }

    #[test]
    fn h08_a_fifo_is_not_opened() {
        let (dir, handle) = sandbox();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(matches!(handle.read("fifo"), Err(Error::WrongType { found: "a FIFO", .. })));
    }

    #[test]
    fn a_folder_is_cleared_whatever_the_names_in_it_are() {
        use std::os::unix::ffi::OsStrExt;
        let (dir, handle) = sandbox();
        let strange = dir.path().join("real").join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
        std::fs::create_dir_all(&strange).unwrap();
        std::fs::write(strange.join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), "x").unwrap();
        std::os::unix::fs::symlink("/etc", strange.join("link")).unwrap();
        handle.below("real").unwrap().unwrap().clear().unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join("real")).unwrap().count(), 0);
        assert!(std::path::Path::new("/etc").exists());
    }

    #[test]
    fn what_is_missing_is_none() {
        let (_dir, handle) = sandbox();
        assert!(handle.below("nowhere").unwrap().is_none());
        assert!(handle.look("nowhere").unwrap().is_none());
        assert!(Dir::open("/nowhere/at/all").unwrap().is_none());
    }
}
