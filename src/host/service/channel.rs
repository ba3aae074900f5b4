//! Messages over a socket: the lengths of a JSON text and of the bytes that go with it, then both. A file handle may
//! travel with the lengths (unix(7), `SCM_RIGHTS`).

use crate::host::Error;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;

/// What the program says in messages of the socket.
const NAME: &str = "the transaction process";

/// The longest text, and the most bytes, that are taken in at once.
const MESSAGE_MAX: u64 = 4 << 30;

/// One end of the conversation.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
}

/// What came in.
pub struct Received<T> {
    /// The text.
    pub message: T,
    /// The bytes that go with it.
    pub body: Vec<u8>,
    /// The file handle that came along.
    pub file: Option<File>,
}

impl Channel {
    /// Wraps a connected socket.
    pub fn new(stream: UnixStream) -> Channel {
        Channel { stream }
    }

    /// Says something.
    pub fn send(&mut self, message: &impl Serialize, body: &[u8], file: Option<&File>) -> Result<(), Error> {
        let text = serde_json::to_vec(message).map_err(|error| broken(&error.to_string()))?;
        let mut lengths = [0; 16];
        lengths[..8].copy_from_slice(&(text.len() as u64).to_le_bytes());
        lengths[8..].copy_from_slice(&(body.len() as u64).to_le_bytes());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        let handles: Vec<_> = file.iter().map(|it| it.as_fd()).collect();
        if !handles.is_empty() && !rights.push(SendAncillaryMessage::ScmRights(&handles)) {
            return Err(broken("a handle does not fit"));
        }
        let sent = loop {
            let slices = [IoSlice::new(&lengths)];
            match rustix::net::sendmsg(&self.stream, &slices, &mut rights, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                other => break other.map_err(Error::io("write to", NAME))?,
            }
        };
        let mut rest = || {
            self.stream.write_all(&lengths[sent..])?;
            self.stream.write_all(&text)?;
            self.stream.write_all(body)
        };
        rest().map_err(Error::std("write to", NAME))
    }

    /// Waits for what the other side says; `None` when it has gone.
    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<Received<T>>, Error> {
        let mut lengths = [0; 16];
        let Some((got, file)) = self.receive_lengths(&mut lengths)? else { return Ok(None) };
        self.stream.read_exact(&mut lengths[got..]).map_err(Error::std("read from", NAME))?;
        let (text, body) = lengths.split_at(8);
        let length = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or(u64::MAX);
        let text = self.take(length(text))?;
        let body = self.take(length(body))?;
        let message = serde_json::from_slice(&text).map_err(|error| broken(&error.to_string()))?;
        Ok(Some(Received { message, body, file }))
    }

    fn receive_lengths(&self, lengths: &mut [u8]) -> Result<Option<(usize, Option<File>)>, Error> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut slices = [IoSliceMut::new(lengths)];
            match rustix::net::recvmsg(&self.stream, &mut slices, &mut rights, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                // The other side was killed before it had read all that it was told.
                Err(Errno::CONNRESET) => return Ok(None),
                other => break other.map_err(Error::io("read from", NAME))?,
            }
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(broken("a handle was cut off"));
        }
        let handles: Vec<OwnedFd> = rights
            .drain()
            .filter_map(|it| match it {
                RecvAncillaryMessage::ScmRights(handles) => Some(handles),
                _ => None,
            })
            .flatten()
            .collect();
        Ok(Some((received.bytes, handles.into_iter().next().map(File::from))))
    }

    fn take(&mut self, length: u64) -> Result<Vec<u8>, Error> {
        if length > MESSAGE_MAX {
            return Err(broken("a message is too long"));
        }
        let mut bytes = Vec::new();
        let got = (&self.stream).take(length).read_to_end(&mut bytes).map_err(Error::std("read from", NAME))?;
        if got as u64 == length { Ok(bytes) } else { Err(broken("a message is cut short")) }
    }
}

fn broken(what: &str) -> Error {
    Error::Gone { what: what.to_owned() }
}

/// A file in memory that is handed over: once it is sealed, nobody can change it any more (memfd_create(2)).
pub struct Memory {
    file: File,
    len: u64,
}

impl Memory {
    /// Makes an empty one.
    pub fn new() -> Result<Memory, Error> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("headfast-plan", flags).map_err(Error::io("make", "a file in memory"))?;
        Ok(Memory { file: File::from(file), len: 0 })
    }

    /// Adds bytes and returns where they are.
    pub fn add(&mut self, bytes: &[u8]) -> Result<super::message::Span, Error> {
        self.file.write_all(bytes).map_err(Error::std("write to", "a file in memory"))?;
        let span = super::message::Span { at: self.len, len: bytes.len() as u64 };
        self.len += span.len;
        Ok(span)
    }

    /// Leaves it open for changes.
    #[cfg(test)]
    pub fn unsealed(self) -> File {
        self.file
    }

    /// Seals it.
    pub fn seal(self) -> Result<File, Error> {
        rustix::fs::fcntl_add_seals(&self.file, sealed()).map_err(Error::io("seal", "a file in memory"))?;
        Ok(self.file)
    }
}

fn sealed() -> SealFlags {
    SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL
}

/// Reads a part of a file in memory, which must be sealed.
pub fn read_sealed(file: &File, span: super::message::Span) -> Result<Vec<u8>, Error> {
    let seals = rustix::fs::fcntl_get_seals(file).map_err(Error::io("look at the seals of", "the plan"))?;
    if !seals.contains(sealed()) {
        return Err(broken("the plan is not sealed"));
    }
    let mut file = file;
    file.seek(SeekFrom::Start(span.at)).map_err(Error::std("read", "the plan"))?;
    let mut bytes = Vec::new();
    file.take(span.len).read_to_end(&mut bytes).map_err(Error::std("read", "the plan"))?;
    if bytes.len() as u64 == span.len { Ok(bytes) } else { Err(broken("the plan is cut short")) }
}
