//! The files that were fetched, named by their digests. Whatever is not what its name says is as good as absent.

use super::Error;
use crate::document::Limits;
use crate::manifest::RemoteLayer;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// The most files; those that were used longest ago go first.
const FILES_MAX: usize = 1000;
/// The most bytes.
const BYTES_MAX: u64 = 256 << 20;
/// After that time a file that was never finished is nobody's any more.
const UNFINISHED_FOR: Duration = Duration::from_secs(3600);
/// What the name of a file ends with that is being written.
const UNFINISHED: &str = ".new";

/// A folder of files.
pub(super) struct Cache {
    dir: PathBuf,
    files: usize,
    bytes: u64,
}

impl Cache {
    pub(super) fn new(dir: PathBuf) -> Cache {
        Cache { dir, files: FILES_MAX, bytes: BYTES_MAX }
    }

    /// Returns the file of a layer when it is there and whole, and removes it when it is not whole.
    pub(super) fn read(&self, layer: &RemoteLayer) -> Option<Vec<u8>> {
        let path = self.dir.join(&layer.sha256);
        // No link is followed, and nothing is opened that could make us wait.
        let is_file = std::fs::symlink_metadata(&path).ok()?.is_file();
        let bytes = if is_file { read(&path).ok() } else { None };
        match bytes.filter(|it| layer.is(it)) {
            Some(bytes) => {
                // What is used stays. Where that cannot be noted, another file goes sooner than it should.
                File::open(&path).and_then(|it| it.set_modified(SystemTime::now())).ok();
                Some(bytes)
            }
            None => {
                std::fs::remove_file(&path).ok();
                None
            }
        }
    }

    /// Keeps the file of a layer: after a crash its name leads to all of it or to nothing.
    pub(super) fn write(&self, layer: &RemoteLayer, bytes: &[u8]) -> Result<(), Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let dir = &self.dir;
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Error::io("make", dir))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let unfinished = dir.join(format!("{}.{}.{number}{UNFINISHED}", layer.sha256, std::process::id()));
        let path = dir.join(&layer.sha256);
        let written = write(&unfinished, bytes).and_then(|()| std::fs::rename(&unfinished, &path));
        if let Err(error) = written {
            std::fs::remove_file(&unfinished).ok();
            return Err(Error::io("write", &path)(error));
        }
        File::open(dir).and_then(|it| it.sync_all()).map_err(Error::io("flush", dir))?;
        self.trim(&path);
        Ok(())
    }

    /// Removes what is too much, but for one file. Another process may do the same; a file that is gone already is no harm.
    fn trim(&self, newest: &Path) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return };
        let now = SystemTime::now();
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
                if now.duration_since(used).is_ok_and(|it| it > UNFINISHED_FOR) {
                    std::fs::remove_file(entry.path()).ok();
                }
            } else if metadata.is_file() && entry.path() != newest {
                files.push((used, metadata.len(), entry.path()));
            }
        }
        files.sort_by(|one, other| other.cmp(one));
        let mut bytes = std::fs::metadata(newest).map_or(0, |it| it.len());
        for (idx, (_, size, path)) in files.iter().enumerate() {
            bytes = bytes.saturating_add(*size);
            if idx + 2 > self.files || bytes > self.bytes {
                std::fs::remove_file(path).ok();
            }
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // No file of the cache is longer.
    let most = Limits::default().bytes as u64 + 1;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use std::os::unix::fs::PermissionsExt;

    fn layer(bytes: &[u8]) -> RemoteLayer {
        let digest: String = Sha256::digest(bytes).iter().map(|it| format!("{it:02x}")).collect();
        RemoteLayer::parse(&format!("https://h/x.yaml#sha256={digest}")).expect("parses")
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("lists").flatten();
        let mut names: Vec<String> = entries.map(|it| it.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn x24_a_file_is_private_and_one_that_is_not_whole_is_removed() {
        let dir = tempfile::tempdir().expect("makes a folder");
        let cache = Cache::new(dir.path().join("a/remote"));
        let layer = layer(b"a: 1\n");
        assert_eq!(cache.read(&layer), None);
        cache.write(&layer, b"a: 1\n").expect("writes");
        assert_eq!(cache.read(&layer).as_deref(), Some(&b"a: 1\n"[..]));
        let path = cache.dir.join(&layer.sha256);
        let mode = |path: &Path| std::fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        assert_eq!((mode(&cache.dir), mode(&path)), (0o700, 0o600));
        for damage in ["a: 2\n", "", "a: 1\na: 1\n"] {
            std::fs::write(&path, damage).expect("writes");
            assert_eq!(cache.read(&layer), None, "{damage:?}");
            assert!(!path.exists());
            cache.write(&layer, b"a: 1\n").expect("writes");
        }
        std::fs::remove_file(&path).expect("removes");
        std::fs::write(dir.path().join("secret"), "a: 1\n").expect("writes");
        std::os::unix::fs::symlink(dir.path().join("secret"), &path).expect("links");
        assert_eq!(cache.read(&layer), None, "no link is followed");
        assert!(dir.path().join("secret").exists());
    }

    #[test]
    fn x24_what_was_used_longest_ago_goes_first() {
        let dir = tempfile::tempdir().expect("makes a folder");
        let cache = Cache { files: 3, ..Cache::new(dir.path().to_owned()) };
        let layers: Vec<RemoteLayer> = (0u8..5).map(|it| layer(&[b'#', it])).collect();
        let age = |layer: &RemoteLayer, hours: u64| {
            let then = SystemTime::now() - Duration::from_secs(3600 * hours);
            let file = File::open(dir.path().join(&layer.sha256)).expect("opens");
            file.set_modified(then).expect("sets the time");
        };
        for (idx, layer) in layers[..3].iter().enumerate() {
            cache.write(layer, &[b'#', idx as u8]).expect("writes");
            age(layer, 9 - idx as u64);
        }
        assert!(cache.read(&layers[0]).is_some(), "the oldest is used");
        cache.write(&layers[3], &[b'#', 3]).expect("writes");
        let mut expected: Vec<String> = [0, 2, 3].map(|it: usize| layers[it].sha256.clone()).into();
        expected.sort();
        assert_eq!(names(dir.path()), expected);
        let narrow = Cache { bytes: 3, ..Cache::new(dir.path().to_owned()) };
        narrow.write(&layers[4], &[b'#', 4]).expect("writes");
        assert_eq!(names(dir.path()), [layers[4].sha256.clone()], "two files of two bytes are too much");
    }

    #[test]
    fn a_file_that_was_never_finished_goes_after_a_while() {
        let dir = tempfile::tempdir().expect("makes a folder");
        let cache = Cache::new(dir.path().to_owned());
        for (name, age) in [("old.new", UNFINISHED_FOR * 2), ("young.new", Duration::ZERO)] {
            let file = File::create(dir.path().join(name)).expect("makes");
            file.set_modified(SystemTime::now() - age).expect("sets the time");
        }
        let layer = layer(b"x");
        cache.write(&layer, b"x").expect("writes");
        assert_eq!(names(dir.path()), [layer.sha256.as_str(), "young.new"]);
    }
}
