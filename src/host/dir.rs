//! Directories by handle. No path below a target is ever resolved as a string from `/`: every step starts at a handle
//! that is held open and refuses symbolic links, `..` and mount points (openat2(2)).

use super::Error;
use crate::plan::{LiveKind, Stat};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// An open directory.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: String,
    locked: Cell<bool>,
}

impl Drop for Dir {
    fn drop(&mut self) {
        // Closing alone would leave the lock with a child that was forked and has not yet become another program.
        if self.locked.get() {
            rustix::fs::flock(&self.fd, rustix::fs::FlockOperation::Unlock).ok();
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

/// How long a lock is waited for, and how long between two tries.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

const OPEN_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// To go through a directory, or look at it, takes no right to list it.
const PASS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Dir {
    fn of(fd: OwnedFd, path: String) -> Dir {
        Dir { fd, path, locked: Cell::new(false) }
    }

    /// Opens the directory at an absolute path that has no symbolic link in it; `None` when it does not exist.
    pub fn open(path: &str) -> Result<Option<Dir>, Error> {
        Dir::open_for(path, OPEN_DIRECTORY)
    }

    /// Opens a directory as [`Dir::open`] does, but only to look at it: names in it can be neither listed nor changed.
    pub(super) fn open_to_look(path: &str) -> Result<Option<Dir>, Error> {
        Dir::open_for(path, PASS)
    }

    fn open_for(path: &str, flags: OFlags) -> Result<Option<Dir>, Error> {
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(Dir::of(fd, path.to_owned()))),
            Err(Errno::NOSYS) => {
                let root = rustix::fs::open("/", PASS, Mode::empty()).map_err(Error::io("open", "/"))?;
                walk(&root, path.trim_start_matches('/'), flags, false)
                    .map_or_else(|errno| missing_or(errno, path), |fd| Ok(Some(Dir::of(fd, path.to_owned()))))
            }
            Err(errno) => missing_or(errno, path),
        }
    }

    /// Opens a directory below this one; `None` when it does not exist. The empty path is this directory.
    pub fn below(&self, path: &str) -> Result<Option<Dir>, Error> {
        let whole = self.path_of(path);
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let wanted = if path.is_empty() { "." } else { path };
        match rustix::fs::openat2(&self.fd, wanted, OPEN_DIRECTORY, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(Dir::of(fd, whole))),
            Err(Errno::NOSYS) => self.below_by_walking(path),
            Err(errno) => missing_or(errno, &whole),
        }
    }

    /// Does what [`Dir::below`] does where openat2 is not available.
    pub(super) fn below_by_walking(&self, path: &str) -> Result<Option<Dir>, Error> {
        let whole = self.path_of(path);
        match walk(&self.fd, path, OPEN_DIRECTORY, true) {
            Ok(fd) => Ok(Some(Dir::of(fd, whole))),
            Err(errno) => missing_or(errno, &whole),
        }
    }

    /// Returns the handle itself, for what is asked of it beyond names and contents.
    pub(super) fn handle(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns the path that this handle was opened by, for messages.
    pub fn path(&self) -> &str {
        &self.path
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
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Found::from(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::io("look at", self.path_of(name))(errno)),
        }
    }

    /// Opens a regular file for reading, without following a link and without blocking on a FIFO.
    pub fn read(&self, name: &str) -> Result<std::fs::File, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(&self.fd, name, flags, Mode::empty()).map_err(Error::io("open", self.path_of(name)))?;
        let stat = rustix::fs::fstat(&fd).map_err(Error::io("look at", self.path_of(name)))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(std::fs::File::from(fd)),
            other => Err(Error::WrongType { path: self.path_of(name), found: type_name(other) }),
        }
    }

    /// Makes a new file that only this process's user can open.
    pub fn create(&self, name: &str) -> Result<std::fs::File, Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::openat(&self.fd, name, flags, mode)
            .map(std::fs::File::from)
            .map_err(Error::io("create", self.path_of(name)))
    }

    /// Reads a symbolic link's text.
    pub fn link_text(&self, name: &str) -> Result<String, Error> {
        let text = rustix::fs::readlinkat(&self.fd, name, Vec::new())
            .map_err(Error::io("read the link", self.path_of(name)))?;
        Ok(text.to_string_lossy().into_owned())
    }

    /// Makes a symbolic link.
    pub fn make_link(&self, name: &str, text: &str) -> Result<(), Error> {
        rustix::fs::symlinkat(text, &self.fd, name).map_err(Error::io("create the link", self.path_of(name)))
    }

    /// Sets the owner and group of a symbolic link itself.
    pub fn set_link_owner(&self, name: &str, uid: u32, gid: u32) -> Result<(), Error> {
        let found = self.look(name)?;
        if found.is_some_and(|it| (it.uid, it.gid) == (uid, gid)) {
            return Ok(());
        }
        let owner = (Some(rustix::fs::Uid::from_raw(uid)), Some(rustix::fs::Gid::from_raw(gid)));
        rustix::fs::chownat(&self.fd, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(Error::io("change the owner of", self.path_of(name)))
    }

    /// Makes a directory that only this process's user can enter; `false` when the name exists already.
    pub fn make_dir(&self, name: &str) -> Result<bool, Error> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(Error::io("create the directory", self.path_of(name))(errno)),
        }
    }

    /// Removes a file or link; `false` when there was none.
    pub fn unlink(&self, name: &str) -> Result<bool, Error> {
        self.remove(name, AtFlags::empty())
    }

    /// Removes an empty directory; `false` when there was none, or when it is not empty or something else by now.
    pub fn remove_dir(&self, name: &str) -> Result<bool, Error> {
        let stays = |errno| matches!(errno, Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR | Errno::BUSY);
        match self.remove(name, AtFlags::REMOVEDIR) {
            Err(Error::Io { errno, .. }) if stays(errno) => Ok(false),
            other => other,
        }
    }

    fn remove(&self, name: &str, flags: AtFlags) -> Result<bool, Error> {
        match rustix::fs::unlinkat(&self.fd, name, flags) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::io("remove", self.path_of(name))(errno)),
        }
    }

    /// Removes everything in this directory, names that are no text included; what is mounted in it is not entered.
    pub fn clear(&self) -> Result<(), Error> {
        let device = rustix::fs::fstat(&self.fd).map_err(Error::io("look at", self.path.clone()))?.st_dev;
        for name in self.names()? {
            let path = self.path_of(&String::from_utf8_lossy(&name));
            let stat = match rustix::fs::statat(&self.fd, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                other => other.map_err(Error::io("look at", path.clone()))?,
            };
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_folder && stat.st_dev != device {
                return Err(Error::MountPoint { path });
            }
            if is_folder {
                let flags = OPEN_DIRECTORY | OFlags::NOFOLLOW;
                let below = rustix::fs::openat(&self.fd, name.as_slice(), flags, Mode::empty())
                    .map_err(Error::io("open", path.clone()))?;
                Dir::of(below, path.clone()).clear()?;
            }
            let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            match rustix::fs::unlinkat(&self.fd, name.as_slice(), flags) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(Error::io("remove", path)(errno)),
            }
        }
        Ok(())
    }

    /// Renames `name` here to `to_name` in `to`; with [`RenameFlags::EXCHANGE`] the two change places.
    pub fn rename(&self, name: &str, to: &Dir, to_name: &str, flags: RenameFlags) -> Result<(), Error> {
        rustix::fs::renameat_with(&self.fd, name, &to.fd, to_name, flags)
            .map_err(Error::io("rename to", to.path_of(to_name)))
    }

    /// Gives the file or link `name` another name in `to`, without following a link.
    pub fn link(&self, name: &str, to: &Dir, to_name: &str) -> Result<(), Error> {
        rustix::fs::linkat(&self.fd, name, &to.fd, to_name, AtFlags::empty())
            .map_err(Error::io("link to", to.path_of(to_name)))
    }

    /// Returns the names in this directory, in no particular order.
    pub fn names(&self) -> Result<Vec<Vec<u8>>, Error> {
        let entries = rustix::fs::Dir::read_from(&self.fd).map_err(Error::io("list", self.path.clone()))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::io("list", self.path.clone()))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        Ok(names)
    }

    /// Returns whether only this process's user can write here, or even enter: whether it can be one of headfast's own.
    pub(super) fn is_private(&self) -> Result<bool, Error> {
        let stat = rustix::fs::fstat(&self.fd).map_err(Error::io("look at", self.path.clone()))?;
        Ok(stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o077 == 0)
    }

    /// Flushes the directory's names to the disk.
    pub fn flush(&self) -> Result<(), Error> {
        rustix::fs::fsync(&self.fd).map_err(Error::io("flush", self.path.clone()))
    }

    /// Flushes everything on this directory's file system to the disk.
    pub fn flush_file_system(&self) -> Result<(), Error> {
        rustix::fs::syncfs(&self.fd).map_err(Error::io("flush the file system of", self.path.clone()))
    }

    /// Takes the exclusive lock on the directory that lasts as long as this handle; `false` when another keeps it.
    ///
    /// Waits a little: the process of an agent that was killed goes away just after it.
    pub fn lock(&self) -> Result<bool, Error> {
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match rustix::fs::flock(&self.fd, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    self.locked.set(true);
                    return Ok(true);
                }
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => super::process::pause(LOCK_PAUSE),
                Err(Errno::WOULDBLOCK) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::io("lock", self.path.clone())(errno)),
            }
        }
    }

    /// Returns who has the lock, as far as the kernel lets us see, in words.
    pub fn lock_holder(&self) -> String {
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        let pid = rustix::fs::fstat(&self.fd).ok().and_then(|it| holder_of(&locks, it.st_dev, it.st_ino));
        pid.map_or("another agent".to_owned(), |pid| format!("another agent (process {pid})"))
    }

    /// Sets the owner and mode of this directory, owner first because changing it clears bits of the mode.
    pub fn set_access(&self, mode: u32, uid: u32, gid: u32) -> Result<(), Error> {
        set_access(self.fd.as_fd(), &self.path, mode, uid, gid)
    }

    /// Gives this directory the extended attributes of another.
    pub fn copy_attributes(&self, from: &Dir) -> Result<(), Error> {
        copy_attributes(from.fd.as_fd(), self.fd.as_fd(), &self.path)
    }
}

/// Lets `to` share the blocks of `from` until one of them is written; `false` where the file system cannot do that.
pub(super) fn reflink(from: BorrowedFd<'_>, to: BorrowedFd<'_>, path: &str) -> Result<bool, Error> {
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => Ok(true),
        // A full or failing disk is worth saying; all else means that this pair of files cannot share.
        Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS)) => Err(Error::io("write", path)(errno)),
        Err(_) => Ok(false),
    }
}

/// Copies extended attributes, access lists and labels among them, as far as this process may set them.
pub(super) fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, path: &str) -> Result<(), Error> {
    let mut names = vec![0u8; 64 * 1024];
    let n_bytes = match rustix::fs::flistxattr(from, &mut names[..]) {
        Ok(n_bytes) => n_bytes,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(Error::io("list the attributes of", path)(errno)),
    };
    for name in names[..n_bytes].split(|it| *it == 0).filter(|it| !it.is_empty()) {
        let mut value = vec![0u8; 64 * 1024];
        let set = rustix::fs::fgetxattr(from, name, &mut value[..])
            .and_then(|n_bytes| rustix::fs::fsetxattr(to, name, &value[..n_bytes], rustix::fs::XattrFlags::empty()));
        match set {
            // What this process may not read or set, the kernel or a label policy sets by itself.
            Ok(()) | Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NODATA) => {}
            Err(errno) => return Err(Error::io("copy the attributes of", path)(errno)),
        }
    }
    Ok(())
}

/// Gives `to` the times of `from`, so that a copy does not look like a change.
pub(super) fn copy_times(from: BorrowedFd<'_>, to: BorrowedFd<'_>, path: &str) -> Result<(), Error> {
    let stat = rustix::fs::fstat(from).map_err(Error::io("look at", path))?;
    let time = |seconds, nanos: u64| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanos as _ };
    let times = rustix::fs::Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    rustix::fs::futimens(to, &times).map_err(Error::io("set the times of", path))
}

/// Finds the process that has a file's lock in the text of `/proc/locks` (proc_locks(5)).
fn holder_of(locks: &str, device: u64, inode: u64) -> Option<u32> {
    let file = format!("{:02x}:{:02x}:{inode}", rustix::fs::major(device), rustix::fs::minor(device));
    let mut words = locks.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    words.find(|it| it.get(1) == Some(&"FLOCK") && it.get(5) == Some(&file.as_str()))?.get(4)?.parse().ok()
}

/// Sets owner, group and mode of an open file, skipping what is right already.
pub(super) fn set_access(fd: BorrowedFd<'_>, path: &str, mode: u32, uid: u32, gid: u32) -> Result<(), Error> {
    let stat = rustix::fs::fstat(fd).map_err(Error::io("look at", path))?;
    if stat.st_uid != uid || stat.st_gid != gid {
        rustix::fs::fchown(fd, Some(rustix::fs::Uid::from_raw(uid)), Some(rustix::fs::Gid::from_raw(gid)))
            .map_err(Error::io("change the owner of", path))?;
    }
    rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)).map_err(Error::io("change the mode of", path))
}

fn missing_or(errno: Errno, path: &str) -> Result<Option<Dir>, Error> {
    match errno {
        Errno::NOENT => Ok(None),
        Errno::LOOP => Err(Error::Symlink { path: path.to_owned() }),
        Errno::XDEV => Err(Error::MountPoint { path: path.to_owned() }),
        Errno::NOTDIR => Err(Error::WrongType { path: path.to_owned(), found: "not a directory" }),
        errno => Err(Error::io("open", path)(errno)),
    }
}

/// Opens a directory component by component, for kernels and sandboxes without openat2 (`RestrictSUIDSGID=` hides it).
fn walk(start: &OwnedFd, path: &str, flags: OFlags, same_mount: bool) -> Result<OwnedFd, Errno> {
    let components: Vec<&str> = path.split('/').filter(|it| !it.is_empty() && *it != ".").collect();
    let Some((last, through)) = components.split_last() else {
        return rustix::fs::openat(start, ".", flags, Mode::empty());
    };
    let mount = mount_of(start.as_fd())?;
    let mut here = None;
    for (component, flags) in through.iter().map(|it| (it, PASS)).chain([(last, flags)]) {
        let next = step(here.as_ref().unwrap_or(start).as_fd(), component, flags)?;
        if same_mount && mount_of(next.as_fd())? != mount {
            return Err(Errno::XDEV);
        }
        here = Some(next);
    }
    here.ok_or(Errno::NOENT)
}

/// Opens one directory by its name, and never what a symbolic link leads to.
fn step(here: BorrowedFd<'_>, component: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    if component == ".." {
        return Err(Errno::XDEV);
    }
    match rustix::fs::openat(here, component, flags | OFlags::NOFOLLOW, Mode::empty()) {
        Err(Errno::NOTDIR) => {
            let stat = rustix::fs::statat(here, component, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(stat.st_mode) {
                // A directory has come in its place since: then it is someone's game, and not a file in the way.
                FileType::Symlink | FileType::Directory => Err(Errno::LOOP),
                _ => Err(Errno::NOTDIR),
            }
        }
        other => other,
    }
}

/// Returns what tells one mount from another: the file system's device and, from Linux 5.8 on, the mount's number, because
/// a bind mount has the device of what is around it.
fn mount_of(fd: BorrowedFd<'_>) -> Result<(u64, Option<u64>), Errno> {
    let device = rustix::fs::fstat(fd)?.st_dev;
    let number = match rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID) {
        Ok(found) if StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID) => {
            Some(found.stx_mnt_id)
        }
        Ok(_) | Err(Errno::NOSYS) => None,
        Err(errno) => return Err(errno),
    };
    Ok((device, number))
}

/// Returns how directories below a target are opened on this host, for the log.
pub fn resolver() -> &'static str {
    let resolve = ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(rustix::fs::CWD, "/", OPEN_DIRECTORY, Mode::empty(), resolve) {
        Err(Errno::NOSYS) => "component, because openat2 is not available",
        _ => "openat2",
    }
}

impl From<&rustix::fs::Stat> for Found {
    fn from(stat: &rustix::fs::Stat) -> Found {
        let ns = |seconds: i64, nanos: u64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos as i64);
        Found {
            kind: FileType::from_raw_mode(stat.st_mode),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            stat: Stat {
                inode: stat.st_ino,
                size: stat.st_size as u64,
                mtime_ns: ns(stat.st_mtime, stat.st_mtime_nsec),
                ctime_ns: ns(stat.st_ctime, stat.st_ctime_nsec),
            },
        }
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
    use super::*;

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
        assert_eq!(walk(&handle.fd, "link", OPEN_DIRECTORY, true).unwrap_err(), Errno::LOOP);
        assert!(handle.below("real").unwrap().is_some());
        assert!(walk(&handle.fd, "real", OPEN_DIRECTORY, true).is_ok());
    }

    #[test]
    fn dot_dot_never_leaves_the_handle() {
        let (_dir, handle) = sandbox();
        assert!(handle.below("..").is_err());
        assert_eq!(walk(&handle.fd, "..", OPEN_DIRECTORY, true).unwrap_err(), Errno::XDEV);
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
