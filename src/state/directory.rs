//! The directory that holds the state, its lock, and files that are written whole or not at all.

use super::Error;
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Makes the state directory when there is none, and refuses one that others can read or that belongs to someone else.
pub(super) fn create_or_check(dir: &Path) -> Result<(), Error> {
    if let Some(parent) = dir.parent() {
        std::fs::create_dir_all(parent).map_err(Error::io("make", parent))?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => sync(dir.parent().unwrap_or(dir))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io("make", dir)(error)),
    }
    check(dir, rustix::process::geteuid().as_raw())
}

/// Refuses a state directory that others can read, or that belongs to anyone but `user`.
pub(super) fn check(dir: &Path, user: u32) -> Result<(), Error> {
    let metadata = std::fs::metadata(dir).map_err(Error::io("look at", dir))?;
    let refuse = |problem: String, cure: String| Err(Error::Mode { dir: dir.to_owned(), problem, cure });
    if !metadata.is_dir() {
        return refuse("is not a directory".into(), "move it out of the way, or set another `state_dir`".into());
    }
    if metadata.uid() != user {
        let problem = format!("belongs to user {} and this process is user {user}", metadata.uid());
        return refuse(problem, "run as that user, or set another `state_dir`".into());
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        let problem = format!("has mode {mode:04o}, so others can look into it");
        return refuse(problem, format!("run `chmod 700 {}`", dir.display()));
    }
    Ok(())
}

/// The exclusive right to write the state: an flock that the kernel takes back when the process ends, however it ends.
pub struct Lock {
    file: File,
    dir: PathBuf,
    /// Held while the database is opened, which may have to be made first: the threads of a process share its lock.
    pub(super) opening: Mutex<()>,
}

impl Lock {
    /// Takes the right to write a state directory, which is made when there is none; `verb` is what a second process is told
    /// about this one.
    ///
    /// Fails at once with `E_LOCKED` when another process has it.
    pub fn take(dir: &Path, verb: &str) -> Result<Lock, Error> {
        create_or_check(dir)?;
        let path = dir.join("lock");
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let handle = rustix::fs::open(&path, flags, Mode::from(0o600)).map_err(|it| unusable(&path, it.into()))?;
            let mut file = File::from(handle);
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(Error::Locked { dir: dir.to_owned(), holder: holder(&mut file) });
                }
                Err(error) => return Err(unusable(&path, error.into())),
            }
            // Someone may have removed the name while we waited for the handle: a lock on a nameless file locks nothing.
            if is_still(&file, &path) {
                let verb: String = verb.chars().filter(|it| !it.is_control()).take(64).collect();
                file.set_len(0).map_err(Error::io("write", &path))?;
                writeln!(file, "{} {verb}", std::process::id()).map_err(Error::io("write", &path))?;
                return Ok(Lock { file, dir: dir.to_owned(), opening: Mutex::new(()) });
            }
        }
    }

    /// Returns the state directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Best effort, so that the next holder is not mistaken for this one before it has written its name.
        self.file.set_len(0).ok();
        // Closing alone would leave the lock with a child that was forked and has not yet become another program.
        rustix::fs::flock(&self.file, FlockOperation::Unlock).ok();
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    file.take(128).read_to_string(&mut text).ok();
    match text.trim().split_once(' ') {
        Some((pid, verb)) if pid.parse::<u32>().is_ok() => format!("process {pid} (`headfast {verb}`)"),
        _ => "another process".into(),
    }
}

fn is_still(file: &File, path: &Path) -> bool {
    let Ok(named) = std::fs::symlink_metadata(path) else { return false };
    file.metadata().is_ok_and(|it| (it.dev(), it.ino()) == (named.dev(), named.ino()))
}

fn unusable(path: &Path, error: io::Error) -> Error {
    let cure = format!("remove {} and run again", path.display());
    Error::Damaged { path: path.to_owned(), reason: format!("it cannot be locked ({error})"), cure }
}

/// Writes a private file so that after a crash its name leads to the old content or to the new, and never to a part of it.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = beside(path);
    remove_if_there(&temporary)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(Error::io("create", &temporary))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        remove_if_there(&temporary).ok();
        return Err(Error::io("write", &temporary)(error));
    }
    put_in_place(&temporary, path)
}

/// Renames a finished file over `path` and makes the new name durable.
pub(super) fn put_in_place(temporary: &Path, path: &Path) -> Result<(), Error> {
    std::fs::rename(temporary, path).map_err(Error::io("rename", temporary))?;
    sync(path.parent().unwrap_or(path))
}

/// Returns the name under which a file is prepared; only the holder of the lock uses it.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Removes a file that may not be there.
pub(super) fn remove_if_there(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync(dir: &Path) -> Result<(), Error> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|it| it.sync_all()).map_err(Error::io("flush", dir))
}

/// Returns whether there is a file at `path`; anything else with that name is damage.
pub(super) fn is_file(path: &Path, cure: &str) -> Result<bool, Error> {
    match std::fs::symlink_metadata(path) {
        Ok(it) if it.is_file() => Ok(true),
        Ok(_) => Err(Error::Damaged {
            path: path.to_owned(),
            reason: "it is not a regular file".into(),
            cure: cure.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("look at", path)(error)),
    }
}

/// Takes the rights of others on a file of the state away, should someone have granted them.
pub(super) fn make_private(path: &Path) -> Result<(), Error> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(it) if it.is_file() => it,
        _ => return Ok(()),
    };
    if metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).map_err(Error::io("change the mode of", path))
}
