//! Which file system a directory is on, and whether it can be deployed to.

use crate::host::Error;
use crate::host::dir::Dir;
use crate::host::transaction::nearest_existing;
use rustix::fs::StatVfsMountFlags;

/// File systems that lack modes, links or an exchange of names, by the number that statfs(2) gives.
const UNFIT: &[(u32, &str)] = &[
    (0x4d44, "vfat has no owners, modes and symbolic links"),
    (0x2011_bab0, "exfat has no owners, modes and symbolic links"),
    (0x5346_544e, "NTFS has no owners and modes of its own"),
    (0x7366_746e, "NTFS has no owners and modes of its own"),
    (0x6969, "NFS cannot exchange two names, so a switch could not be undone"),
    (0x517b, "SMB has no owners and modes of its own"),
    (0xff53_4d42, "SMB has no owners and modes of its own"),
    (0xfe53_4d42, "SMB has no owners and modes of its own"),
    (0x0102_1997, "9p cannot exchange two names, so a switch could not be undone"),
    (0x9fa0, "/proc holds no files of its own"),
    (0x6265_6572, "/sys holds no files of its own"),
];

/// File systems whose number in statfs(2) comes from their UUID and is the same after a restart: ext2 to ext4, and btrfs.
const WITH_UUID: &[u32] = &[0xef53, 0x9123_683e];

/// Returns what a target's file system is known by; of a target that does not exist, that which it would be made on.
///
/// It is what stays the same when the host starts anew: the kind, the UUID where the kernel says it, and whether it is the
/// root file system. Device numbers may be others after a restart.
pub fn identity(target: &str) -> Result<String, Error> {
    of(&nearest_existing(target)?.0)
}

pub(super) fn of(dir: &Dir) -> Result<String, Error> {
    let kind = kind(dir)?;
    let uuid = match WITH_UUID.contains(&kind) {
        true => format!(":{:016x}", vfs(dir)?.f_fsid),
        false => String::new(),
    };
    let root = Dir::open("/")?.map(|it| device(&it)).transpose()?;
    let place = if root == Some(device(dir)?) { ":/" } else { "" };
    Ok(format!("{kind:x}{uuid}{place}"))
}

/// Returns why a file system cannot be deployed to, as far as it says so itself.
pub(super) fn unfit(dir: &Dir) -> Result<Option<Error>, Error> {
    let kind = kind(dir)?;
    if let Some((_, what)) = UNFIT.iter().find(|it| it.0 == kind) {
        return Ok(Some(Error::Unfit { path: dir.path().to_owned(), what: (*what).to_owned() }));
    }
    let is_read_only = vfs(dir)?.f_flag.contains(StatVfsMountFlags::RDONLY);
    Ok(is_read_only.then(|| Error::io("write in", dir.path())(rustix::io::Errno::ROFS)))
}

fn kind(dir: &Dir) -> Result<u32, Error> {
    let found = rustix::fs::fstatfs(dir.handle()).map_err(Error::io("look at the file system of", dir.path()))?;
    // The numbers are 32 bits wide; some architectures give them a sign.
    Ok(found.f_type as u32)
}

pub(super) fn device(dir: &Dir) -> Result<u64, Error> {
    let found = rustix::fs::fstat(dir.handle()).map_err(Error::io("look at", dir.path()))?;
    Ok(found.st_dev)
}

pub(super) fn vfs(dir: &Dir) -> Result<rustix::fs::StatVfs, Error> {
    rustix::fs::fstatvfs(dir.handle()).map_err(Error::io("look at the file system of", dir.path()))
}
