//! Looking at targets: what is there, and what it holds.

use super::Error;
use super::dir::{Dir, live_kind, split};
use crate::plan::{LiveEntry, LiveKind};
use crate::render::{Digest, TargetPath};
use hmac::{Hmac, KeyInit, Mac};
use rustix::fs::FileType;
use std::collections::BTreeMap;
use std::io::Read;

/// The host's own key for digests of contents, so that a digest that leaks says nothing about a low-entropy secret.
#[derive(Clone)]
pub struct DigestKey([u8; 32]);

impl DigestKey {
    /// Wraps the key's bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        DigestKey(bytes)
    }

    /// Returns the key's bytes, for the process that works with it.
    pub(super) fn to_bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Returns the digest of `bytes`.
    pub fn of(&self, bytes: &[u8]) -> Digest {
        let mut mac = self.start();
        mac.update(bytes);
        finish(mac)
    }

    /// Returns the digest of all that `reader` gives.
    pub fn of_reader(&self, reader: &mut dyn Read) -> std::io::Result<Digest> {
        let mut mac = self.start();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(finish(mac)),
                n => mac.update(&buffer[..n]),
            }
        }
    }

    fn start(&self) -> Hmac<sha2::Sha256> {
        Hmac::new_from_slice(&self.0).expect("HMAC takes keys of any length")
    }
}

fn finish(mac: Hmac<sha2::Sha256>) -> Digest {
    Digest(mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Looks at one path of a target; `None` when nothing is there. Regular files are read and digested.
pub fn observe(root: &Dir, path: &str, key: &DigestKey) -> Result<Option<LiveEntry>, Error> {
    at_path(root, path, Some(key))
}

/// Looks at one path of a target without reading any content; `None` when nothing is there.
pub fn look(root: &Dir, path: &str) -> Result<Option<LiveEntry>, Error> {
    at_path(root, path, None)
}

fn at_path(root: &Dir, path: &str, key: Option<&DigestKey>) -> Result<Option<LiveEntry>, Error> {
    let (folder, name) = split(path);
    match root.below(folder) {
        Ok(Some(dir)) => entry(&dir, name, key),
        Ok(None) => Ok(None),
        // A file stands where the folder would be: nothing can be at the path itself.
        Err(Error::WrongType { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks at one name, reading it when a key is given.
pub(super) fn entry(dir: &Dir, name: &str, key: Option<&DigestKey>) -> Result<Option<LiveEntry>, Error> {
    let Some(found) = dir.look(name)? else { return Ok(None) };
    let kind = live_kind(found.kind, || dir.link_text(name))?;
    let digest = match (&kind, key) {
        (LiveKind::File, Some(key)) => {
            let mut file = dir.read(name)?;
            Some(key.of_reader(&mut file).map_err(Error::std("read", dir.path_of(name)))?)
        }
        (LiveKind::Link(text), Some(key)) => Some(key.of(text.as_bytes())),
        _ => None,
    };
    Ok(Some(LiveEntry { kind, digest, mode: found.mode, uid: found.uid, gid: found.gid, stat: found.stat }))
}

/// Reads a regular file of a target whole.
pub fn read(root: &Dir, path: &str) -> Result<Vec<u8>, Error> {
    let (folder, name) = split(path);
    let whole = root.path_of(path);
    let dir = root.below(folder)?.ok_or_else(|| Error::io("open", whole.clone())(rustix::io::Errno::NOENT))?;
    let mut bytes = Vec::new();
    dir.read(name)?.read_to_end(&mut bytes).map_err(Error::std("read", whole))?;
    Ok(bytes)
}

/// What a walk over a whole target found.
#[derive(Debug, Default)]
pub struct Walk {
    /// Every file, link and special file by path; contents are not read.
    pub entries: BTreeMap<TargetPath, LiveEntry>,
    /// Paths that cannot be named in a rendering, shown escaped.
    pub unnameable: Vec<String>,
}

/// Lists everything below a target, without following links or crossing mount points, and without headfast's own names.
///
/// `skip` is asked for each path, folders included; what it accepts is left out with all that is below it.
pub fn walk(root: &Dir, skip: &dyn Fn(&str) -> bool) -> Result<Walk, Error> {
    let mut found = Walk::default();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let Some(dir) = root.below(&folder)? else { continue };
        for name in dir.names()? {
            let Ok(name) = String::from_utf8(name) else {
                found.unnameable.push(format!("{folder}/?"));
                continue;
            };
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if name.starts_with(super::PREFIX) || skip(&path) {
                continue;
            }
            match dir.look(&name)? {
                Some(it) if it.kind == FileType::Directory => folders.push(path),
                Some(_) => match (TargetPath::new(path.as_bytes()), entry(&dir, &name, None)?) {
                    (Ok(path), Some(live)) => {
                        found.entries.insert(path, live);
                    }
                    (Err(_), _) => found.unnameable.push(path.escape_debug().to_string()),
                    (_, None) => {}
                },
                None => {}
            }
        }
    }
    Ok(found)
}
