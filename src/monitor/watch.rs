//! Watching: a call whenever something below a folder changes, until the watcher is dropped.

use notify::{EventKind, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};

/// Calls back on changes; dropping it stops it.
pub struct ConfigWatcher {
    _watcher: notify::RecommendedWatcher,
}

/// Why something cannot be watched; polling goes on.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {}: {reason}", path.display())]
pub struct WatchError {
    /// What was to be watched.
    pub path: PathBuf,
    /// The cause, for example the limit of watches.
    pub reason: String,
}

impl ConfigWatcher {
    /// Watches the refs of a local repository, so that a push to it is seen at once.
    ///
    /// git replaces refs by renaming and may pack them away, so any change below `refs`, or of a file beside it, calls back;
    /// the caller looks at the branch itself. It is called from a thread of its own, perhaps several times for one push.
    pub fn of_repository(git_dir: &Path, on_change: impl Fn() + Send + 'static) -> Result<ConfigWatcher, WatchError> {
        let refs = git_dir.join("refs");
        let (heads, tags) = (refs.join("heads"), refs.join("tags"));
        // Notes are our own reports: a push of theirs must not bring the next pass.
        let is_followed = move |path: &Path| {
            let is_packed = path.file_name().is_some_and(|it| it == "packed-refs");
            is_packed || path.starts_with(&heads) || path.starts_with(&tags)
        };
        let paths = [(git_dir, RecursiveMode::NonRecursive), (refs.as_path(), RecursiveMode::Recursive)];
        ConfigWatcher::new(&paths, is_followed, on_change)
    }

    /// Watches a folder and all that is below it.
    pub fn of_folder(folder: &Path, on_change: impl Fn() + Send + 'static) -> Result<ConfigWatcher, WatchError> {
        ConfigWatcher::new(&[(folder, RecursiveMode::Recursive)], |_| true, on_change)
    }

    fn new(
        paths: &[(&Path, RecursiveMode)],
        is_followed: impl Fn(&Path) -> bool + Send + 'static,
        on_change: impl Fn() + Send + 'static,
    ) -> Result<ConfigWatcher, WatchError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error: notify::Error| WatchError { path, reason: error.to_string() }
        };
        let first = paths.first().map_or(Path::new(""), |it| it.0);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error is an overflow or a folder that vanished: something may have changed.
            let is_news = event.map_or(true, |it| {
                let is_change = !matches!(it.kind, EventKind::Access(_));
                is_change && (it.need_rescan() || it.paths.iter().any(|path| is_followed(path)))
            });
            if is_news {
                on_change();
            }
        })
        .map_err(failed(first))?;
        for (path, mode) in paths {
            watcher.watch(path, *mode).map_err(failed(path))?;
        }
        Ok(ConfigWatcher { _watcher: watcher })
    }
}

/// Returns the git directory of a local repository: the path itself when it is bare, its `.git` otherwise.
pub fn git_dir(path: &Path) -> PathBuf {
    let inner = path.join(".git");
    if inner.is_dir() { inner } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn m54_a_change_calls_back_and_dropping_stops() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("refs/heads")).unwrap();
        let (sender, receiver) = mpsc::channel();
        let watcher = ConfigWatcher::of_repository(dir.path(), move || sender.send(()).unwrap_or_default()).unwrap();
        std::fs::write(dir.path().join("refs/heads/main.lock"), "x").unwrap();
        std::fs::rename(dir.path().join("refs/heads/main.lock"), dir.path().join("refs/heads/main")).unwrap();
        receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        drop(watcher);
        // The sender lives in the watcher's thread, so the channel closes when that has stopped.
        while receiver.recv_timeout(Duration::from_secs(20)).is_ok() {}
        assert_eq!(receiver.recv_timeout(Duration::from_secs(20)), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn what_is_not_there_cannot_be_watched() {
        let error = ConfigWatcher::of_folder(Path::new("/no/such/folder"), || {}).err().unwrap();
        assert!(error.to_string().starts_with("cannot watch /no/such/folder"), "{error}");
    }
}
