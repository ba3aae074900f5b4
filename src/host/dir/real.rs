//! The kernel's answers: one function a system call, all by handle.

use super::{Found, Handle};
use crate::plan::Stat;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, ResolveFlags, StatxFlags, Timespec, Timestamps,
    Uid, XattrFlags,
};
use rustix::io::Errno;
use rustix::path::Arg;

pub(super) const OPEN_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// To go through a directory, or look at it, takes no right to list it.
const PASS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens the directory at an absolute path that has no symbolic link in it.
pub(super) fn open(path: &str) -> Result<Handle, Errno> {
    open_for(path, OPEN_DIRECTORY)
}

/// Opens a directory as [`open`] does, but neither to list nor to change what is in it.
pub(super) fn open_to_look(path: &str) -> Result<Handle, Errno> {
    open_for(path, PASS)
}

fn open_for(path: &str, flags: OFlags) -> Result<Handle, Errno> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve) {
        Err(Errno::NOSYS) => {
            let root = rustix::fs::open("/", PASS, Mode::empty())?;
            walk(root.as_fd(), path.trim_start_matches('/'), flags, false).map(Handle::Real)
        }
        other => other.map(Handle::Real),
    }
}

/// Opens a directory below another, symbolic links, `..` and mount points refused.
pub(super) fn below(fd: &OwnedFd, path: &str) -> Result<Handle, Errno> {
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let wanted = if path.is_empty() { "." } else { path };
    match rustix::fs::openat2(fd, wanted, OPEN_DIRECTORY, Mode::empty(), resolve) {
        Err(Errno::NOSYS) => below_by_walking(fd.as_fd(), path),
        other => other.map(Handle::Real),
    }
}

/// Does what [`below`] does where openat2 is not available.
pub(super) fn below_by_walking(fd: BorrowedFd<'_>, path: &str) -> Result<Handle, Errno> {
    walk(fd, path, OPEN_DIRECTORY, true).map(Handle::Real)
}

/// Opens a directory component by component, for kernels and sandboxes without openat2 (`RestrictSUIDSGID=` hides it).
pub(super) fn walk(start: BorrowedFd<'_>, path: &str, flags: OFlags, same_mount: bool) -> Result<OwnedFd, Errno> {
    let components: Vec<&str> = path.split('/').filter(|it| !it.is_empty() && *it != ".").collect();
    let Some((last, through)) = components.split_last() else {
        return rustix::fs::openat(start, ".", flags, Mode::empty());
    };
    let mount = mount_of(start)?;
    let mut here: Option<OwnedFd> = None;
    for (component, flags) in through.iter().map(|it| (it, PASS)).chain([(last, flags)]) {
        let next = step(here.as_ref().map_or(start, AsFd::as_fd), component.as_bytes(), flags)?;
        if same_mount && mount_of(next.as_fd())? != mount {
            return Err(Errno::XDEV);
        }
        here = Some(next);
    }
    here.ok_or(Errno::NOENT)
}

/// Opens one directory by its name, and never what a symbolic link leads to.
fn step(here: BorrowedFd<'_>, component: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    if component == b".." {
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

/// Opens a directory by its name, whatever that is, on the same mount.
pub(super) fn enter(fd: &OwnedFd, name: &[u8]) -> Result<Handle, Errno> {
    let next = step(fd.as_fd(), name, OPEN_DIRECTORY)?;
    if mount_of(next.as_fd())? == mount_of(fd.as_fd())? { Ok(Handle::Real(next)) } else { Err(Errno::XDEV) }
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

/// Opens a name for reading, without following a link and without blocking on a FIFO.
pub(super) fn open_file(fd: &OwnedFd, name: &str) -> Result<Handle, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(fd, name, flags, Mode::empty()).map(Handle::Real)
}

/// Makes a new file that only this process's user can open.
pub(super) fn create(fd: &OwnedFd, name: &str) -> Result<Handle, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(fd, name, flags, Mode::RUSR | Mode::WUSR).map(Handle::Real)
}

pub(super) fn stat(fd: &OwnedFd) -> Result<Found, Errno> {
    rustix::fs::fstat(fd).map(|it| found(&it))
}

pub(super) fn stat_at(fd: &OwnedFd, name: impl Arg) -> Result<Found, Errno> {
    rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW).map(|it| found(&it))
}

pub(super) fn read(fd: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    rustix::io::read(fd, buffer)
}

pub(super) fn write(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    rustix::io::write(fd, bytes)
}

pub(super) fn read_link(fd: &OwnedFd, name: &str) -> Result<String, Errno> {
    rustix::fs::readlinkat(fd, name, Vec::new()).map(|it| it.to_string_lossy().into_owned())
}

pub(super) fn make_link(fd: &OwnedFd, name: &str, text: &str) -> Result<(), Errno> {
    rustix::fs::symlinkat(text, fd, name)
}

pub(super) fn make_dir(fd: &OwnedFd, name: &str) -> Result<(), Errno> {
    rustix::fs::mkdirat(fd, name, Mode::RWXU)
}

pub(super) fn unlink(fd: &OwnedFd, name: impl Arg) -> Result<(), Errno> {
    rustix::fs::unlinkat(fd, name, AtFlags::empty())
}

pub(super) fn remove_dir(fd: &OwnedFd, name: impl Arg) -> Result<(), Errno> {
    rustix::fs::unlinkat(fd, name, AtFlags::REMOVEDIR)
}

pub(super) fn rename(fd: &OwnedFd, name: &str, to: &OwnedFd, to_name: &str, flags: RenameFlags) -> Result<(), Errno> {
    rustix::fs::renameat_with(fd, name, to, to_name, flags)
}

/// Gives a file or link another name, without following a link.
pub(super) fn link(fd: &OwnedFd, name: &str, to: &OwnedFd, to_name: &str) -> Result<(), Errno> {
    rustix::fs::linkat(fd, name, to, to_name, AtFlags::empty())
}

/// Lets `to` share the blocks of `from` until one of them is written.
pub(super) fn reflink(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::ioctl_ficlone(to, from)
}

/// Gives `to` the times of `from`.
pub(super) fn copy_times(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(from)?;
    let time = |seconds, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: nanos as _ };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    rustix::fs::futimens(to, &times)
}

/// Returns the names of the extended attributes; none where there cannot be any.
pub(super) fn attributes(fd: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
    let list = sized(|buffer| match buffer {
        None => rustix::fs::flistxattr_query(fd),
        Some(buffer) => rustix::fs::flistxattr(fd, buffer),
    });
    let list = match list {
        Err(Errno::OPNOTSUPP) => Vec::new(),
        list => list?,
    };
    Ok(list.split(|byte| *byte == 0).filter(|it| !it.is_empty()).map(<[u8]>::to_vec).collect())
}

/// Reads an extended attribute; `None` when it is not there, or cannot be.
pub(super) fn attribute(fd: &OwnedFd, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    let value = sized(|buffer| match buffer {
        None => rustix::fs::fgetxattr_query(fd, name),
        Some(buffer) => rustix::fs::fgetxattr(fd, name, buffer),
    });
    match value {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        value => value.map(Some),
    }
}

/// Asks for a size and then for that many bytes, again when they have become more meanwhile.
fn sized(ask: impl Fn(Option<&mut [u8]>) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    loop {
        let mut buffer = vec![0; ask(None)?];
        if buffer.is_empty() {
            return Ok(buffer);
        }
        match ask(Some(&mut buffer)) {
            Err(Errno::RANGE) => {}
            used => {
                buffer.truncate(used?);
                return Ok(buffer);
            }
        }
    }
}

pub(super) fn set_attribute(fd: &OwnedFd, name: &[u8], value: &[u8]) -> Result<(), Errno> {
    rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty())
}

/// Removes an extended attribute, if it is there.
pub(super) fn remove_attribute(fd: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::fremovexattr(fd, name) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

/// Sets the owner of a name, of a symbolic link its own.
pub(super) fn change_owner_at(fd: &OwnedFd, name: &str, uid: u32, gid: u32) -> Result<(), Errno> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(fd, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}

pub(super) fn change_owner(fd: &OwnedFd, uid: u32, gid: u32) -> Result<(), Errno> {
    rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

pub(super) fn change_mode(fd: &OwnedFd, mode: u32) -> Result<(), Errno> {
    rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))
}

pub(super) fn names(fd: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(fd)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

pub(super) fn flush(fd: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::fsync(fd)
}

pub(super) fn flush_file_system(fd: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::syncfs(fd)
}

/// Takes the exclusive lock, or finds that another has it.
pub(super) fn lock(fd: &OwnedFd) -> Result<(), Errno> {
    rustix::io::retry_on_intr(|| rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive))
}

pub(super) fn unlock(fd: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::flock(fd, FlockOperation::Unlock)
}

/// Returns the process that has the lock.
pub(super) fn lock_holder(fd: &OwnedFd) -> Option<u32> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    rustix::fs::fstat(fd).ok().and_then(|it| holder_of(&locks, it.st_dev, it.st_ino))
}

/// Finds the process that has a file's lock in the text of `/proc/locks` (proc_locks(5)).
pub(super) fn holder_of(locks: &str, device: u64, inode: u64) -> Option<u32> {
    let file = format!("{:02x}:{:02x}:{inode}", rustix::fs::major(device), rustix::fs::minor(device));
    let mut words = locks.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    words.find(|it| it.get(1) == Some(&"FLOCK") && it.get(5) == Some(&file.as_str()))?.get(4)?.parse().ok()
}

fn found(stat: &rustix::fs::Stat) -> Found {
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
