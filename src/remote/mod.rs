//! Remote layers: files on servers that the manifest names by address and digest, and their cache.
//!
//! What is fetched is believed for its digest alone, so the cache needs no server to say that it is still right, and a file
//! that was fetched once is there for every rendering that needs it again. Who may fetch what is decided above.

mod cache;
mod error;
mod fetch;

pub use error::Error;

use crate::config::Remotes;
use crate::document::Limits;
use crate::finding::Finding;
use crate::manifest::RemoteLayer;
use cache::Cache;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long one file may take, from the first look-up to the last byte.
const DEADLINE: Duration = Duration::from_secs(30);

/// Fetches remote layers, each one once.
///
/// It is for one rendering, or for several that are made together: a server that did not answer is not asked again.
pub struct RemoteStore {
    cache: Option<Cache>,
    /// Whether what was fetched must be in the cache before it is used.
    must_keep: bool,
    ca_file: Option<PathBuf>,
    is_offline: bool,
    deadline: Duration,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// What failed, by address and digest, so that several hosts with one layer wait for it once.
    failed: BTreeMap<(String, String), Finding>,
    /// The servers that did not answer, and why.
    silent: BTreeMap<String, Error>,
}

impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteStore").field("is_offline", &self.is_offline).finish_non_exhaustive()
    }
}

impl RemoteStore {
    /// Returns the store of an agent, with its cache in the state directory.
    ///
    /// A file that cannot be kept is not used: without it nothing could be rolled back while its server is gone.
    pub fn of_state(state_dir: &Path, ca_file: Option<PathBuf>) -> Self {
        RemoteStore { must_keep: true, ..RemoteStore::new(Some(state_dir.join("remote")), ca_file) }
    }

    /// Returns a store that keeps in `cache` what it can. The certificates in `ca_file` stand in place of the built-in ones.
    pub fn new(cache: Option<PathBuf>, ca_file: Option<PathBuf>) -> Self {
        RemoteStore {
            cache: cache.map(Cache::new),
            must_keep: false,
            ca_file,
            is_offline: false,
            deadline: DEADLINE,
            known: Mutex::default(),
        }
    }

    /// Makes it ask no server; what the cache does not have is refused then.
    #[must_use]
    pub fn offline(self, is_offline: bool) -> Self {
        RemoteStore { is_offline, ..self }
    }

    /// Sets how long one file may take.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        RemoteStore { deadline, ..self }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, layer: &RemoteLayer) -> Result<Vec<u8>, Finding> {
        if let Some(bytes) = self.cache.as_ref().and_then(|it| it.read(layer)) {
            return Ok(bytes);
        }
        let key = (layer.url.clone(), layer.sha256.clone());
        if let Some(finding) = self.known().failed.get(&key) {
            return Err(finding.clone());
        }
        let fetched = self.download(&layer.url).map_err(|it| it.to_finding());
        let bytes = fetched.and_then(|it| layer.verify(&it).map(|()| it)).inspect_err(|it| {
            self.known().failed.insert(key, it.clone());
        })?;
        match self.cache.as_ref().map_or(Ok(()), |it| it.write(layer, &bytes)) {
            Err(error) if self.must_keep => Err(error.to_finding()),
            // Who only looks can do without; it costs another download.
            _ => Ok(bytes),
        }
    }

    fn download(&self, url: &str) -> Result<Vec<u8>, Error> {
        if self.is_offline {
            return Err(Error::Offline { url: url.to_owned() });
        }
        let server = fetch::server_of(url);
        if let Some(error) = self.known().silent.get(server) {
            return Err(error.about(url));
        }
        let (ca_file, limit) = (self.ca_file.as_deref(), Limits::default().bytes);
        fetch::Request { url, ca_file, deadline: self.deadline, limit }.send().inspect_err(|error| {
            if error.is_of_server() {
                self.known().silent.insert(server.to_owned(), error.clone());
            }
        })
    }
}

impl Remotes for RemoteStore {
    fn fetch(&self, layer: &RemoteLayer) -> Result<Vec<u8>, Finding> {
        self.get(layer)
    }

    fn fetched(&self, layer: &RemoteLayer) -> Option<Vec<u8>> {
        self.cache.as_ref()?.read(layer)
    }
}
