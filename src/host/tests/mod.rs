//! What others on the host can do to a target, and what targets can be like.

mod attributes;
mod fitness;
mod race;

use super::Dir;
use super::scan::{DigestKey, observe};
use super::transaction::{self, Change, Request, Staged, TargetChange};
use crate::plan::{LiveEntry, LiveKind, Recorded, Stat};
use crate::render::{Content, TargetPath};
use crate::revision::{ObjectId, ReadError};
use rustix::fs::{Gid, Uid};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const NOBODY: u32 = 65534;

/// A state directory and a target in a temporary directory.
struct World {
    _temp: tempfile::TempDir,
    /// The temporary directory.
    outside: PathBuf,
    state: String,
    target: PathBuf,
    key: DigestKey,
}

/// What is written in a test: path, content, mode, whether it is sensitive.
struct File<'a> {
    path: &'a str,
    content: &'a [u8],
    mode: u32,
    sensitive: bool,
}

fn file<'a>(path: &'a str, content: &'a str) -> File<'a> {
    File { path, content: content.as_bytes(), mode: 0o640, sensitive: false }
}

impl World {
    fn new() -> World {
        let temp = tempfile::tempdir().unwrap();
        let outside = temp.path().canonicalize().unwrap();
        let (state, target) = (outside.join("state"), outside.join("target"));
        std::fs::create_dir(&state).unwrap();
        std::fs::create_dir(&target).unwrap();
        World { _temp: temp, outside, state: text(&state), target, key: DigestKey::new([7; 32]) }
    }

    fn root(&self) -> String {
        text(&self.target)
    }

    fn dir(&self) -> Dir {
        Dir::open(&self.root()).unwrap().unwrap()
    }

    fn live(&self, path: &str) -> Result<Option<LiveEntry>, super::Error> {
        observe(&self.dir(), path, &self.key)
    }

    fn request(&self, files: &[File]) -> Result<Request, super::Error> {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let change = |it: &File| {
            let row = Recorded {
                identity: "identity".into(),
                kind: LiveKind::File,
                digest: String::new(),
                mode: it.mode,
                uid,
                gid,
                sensitive: it.sensitive,
                stat: Stat::default(),
            };
            let outgoing = self.live(it.path)?;
            // As the plan does it.
            if outgoing.as_ref().is_some_and(|it| matches!(it.kind, LiveKind::Directory | LiveKind::Other)) {
                return Err(super::Error::WrongType { path: it.path.into(), found: "no file" });
            }
            let digest = outgoing.as_ref().and_then(|it| it.digest.clone()).map(|it| it.0).unwrap_or_default();
            let row_before = outgoing.is_some().then(|| Recorded { digest, ..row.clone() });
            Ok(Change {
                path: TargetPath::new(it.path.as_bytes()).unwrap(),
                incoming: Some((Content::Bytes(Arc::from(it.content)), row)),
                outgoing,
                row_before,
                row_after: None,
                unowned: false,
            })
        };
        let changes = files.iter().map(change).collect::<Result<_, super::Error>>()?;
        let directories = (0o755, uid, gid);
        let targets = vec![TargetChange {
            root: self.root(),
            directories,
            made: Vec::new(),
            publish: None,
            sensitive: Vec::new(),
            changes,
        }];
        Ok(Request { deployment: 1, repository: "site".into(), targets, actions: serde_json::Value::Null })
    }

    fn stage(&self, request: &Request) -> Result<Staged, super::Error> {
        let blob = |id: &ObjectId| Err(ReadError { what: id.to_string(), reason: "no blobs here".into() });
        transaction::stage(&self.state, request, &self.key, &blob)
    }

    /// Makes a whole deployment.
    fn deploy(&self, files: &[File]) -> Result<(), super::Error> {
        let staged = self.stage(&self.request(files)?)?;
        let mut switched = staged.commit(&self.key).map_err(|error| match error {
            transaction::CommitError::Before(error) | transaction::CommitError::After(error) => error,
        })?;
        switched.settle()?;
        switched.finish().map(drop)
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        left_out("root");
    }
    is_root
}

#[allow(clippy::print_stderr)]
fn left_out(what: &str) {
    eprintln!("left out: this test needs {what}");
}

/// Runs something in a thread that has become another user, without any capability.
fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            become_nobody();
            work()
        });
        thread.join().unwrap()
    })
}

fn become_nobody() {
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    rustix::thread::set_thread_groups(&[gid]).unwrap();
    rustix::thread::set_thread_res_gid(Some(gid), Some(gid), Some(gid)).unwrap();
    rustix::thread::set_thread_res_uid(Some(uid), Some(uid), Some(uid)).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A mount that goes away with the test.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(at: &Path, options: &str) -> Mounted {
        let options = std::ffi::CString::new(options).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", at, "tmpfs", flags, Some(options.as_c_str())).unwrap();
        Mounted(at.to_owned())
    }

    fn bind(from: &Path, at: &Path) -> Mounted {
        rustix::mount::mount_bind(from, at).unwrap();
        Mounted(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).ok();
    }
}
