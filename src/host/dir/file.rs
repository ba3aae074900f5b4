//! An open regular file.

use super::{Found, Handle, copy_attributes, on, real, set_access};
use crate::host::Error;
use rustix::io::Errno;
use std::io::{Read, Write};

/// An open regular file.
#[derive(Debug)]
pub struct File {
    handle: Handle,
    path: String,
}

impl File {
    pub(super) fn of(handle: Handle, path: String) -> File {
        File { handle, path }
    }

    /// Returns what `stat` says of the file.
    pub fn look(&self) -> Result<Found, Error> {
        on!(self.handle, stat()).map_err(Error::io("look at", self.path.clone()))
    }

    /// Sets the owner and mode of the file, owner first because changing it clears bits of the mode.
    pub fn set_access(&self, mode: u32, uid: u32, gid: u32) -> Result<(), Error> {
        set_access(&self.handle, &self.path, mode, uid, gid)
    }

    /// Returns what is open, for its extended attributes.
    pub(in crate::host) fn opened(&self) -> &Handle {
        &self.handle
    }

    /// Shares the blocks of another file until one of them is written; `false` where the file system cannot do that.
    pub fn reflink(&self, from: &File) -> Result<bool, Error> {
        let answer = match (&from.handle, &self.handle) {
            (Handle::Real(from), Handle::Real(to)) => real::reflink(from, to),
            #[cfg(test)]
            (Handle::Model(from), Handle::Model(to)) => to.reflink(from),
            #[cfg(test)]
            _ => Err(Errno::XDEV),
        };
        match answer {
            Ok(()) => Ok(true),
            // A full or failing disk is worth saying; all else means that this pair of files cannot share.
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS)) => {
                Err(Error::io("write", self.path.clone())(errno))
            }
            Err(_) => Ok(false),
        }
    }

    /// Takes the access, the extended attributes and the times of another file, so that a copy of it does not look like a
    /// change.
    ///
    /// They are those of the open file and not of its name, which someone may have given to another file meanwhile: a copy is
    /// never readable by more than what was copied.
    pub fn dress(&self, from: &File) -> Result<(), Error> {
        let found = from.look()?;
        self.set_access(found.mode, found.uid, found.gid)?;
        copy_attributes(&from.handle, &self.handle, &self.path)?;
        let answer = match (&from.handle, &self.handle) {
            (Handle::Real(from), Handle::Real(to)) => real::copy_times(from, to),
            #[cfg(test)]
            (_, Handle::Model(to)) => to.set_time(found.stat.mtime_ns),
            #[cfg(test)]
            _ => Err(Errno::XDEV),
        };
        answer.map_err(Error::io("set the times of", self.path.clone()))
    }

    /// Flushes the file's bytes and metadata to the disk. A flush that failed must not be tried again on the same file:
    /// the kernel may have dropped the data already.
    pub fn flush_to_disk(&self) -> Result<(), Error> {
        on!(self.handle, flush()).map_err(Error::io("flush", self.path.clone()))
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        uninterrupted(|| on!(self.handle, read(buffer)))
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        uninterrupted(|| on!(self.handle, write(bytes)))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Repeats a call that a signal interrupted, but not for ever, as the loops of the standard library would.
fn uninterrupted(mut call: impl FnMut() -> Result<usize, Errno>) -> std::io::Result<usize> {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        match call() {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
    Err(std::io::Error::other("interrupted again and again"))
}
