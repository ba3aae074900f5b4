//! Remote layers on a host: what `allow.remotes` of agent.yaml lets through, from the state's cache or from its server.

use crate::config::Remotes;
use crate::finding::Finding;
use crate::manifest::RemoteLayer;
use crate::remote::RemoteStore;
use crate::settings::{Repository, Settings};

/// The remote layers that a repository may have here.
///
/// What is not allowed is refused before its server, or even the cache, is asked.
pub(super) struct AllowedRemotes<'a> {
    settings: &'a Settings,
    repository: &'a Repository,
    store: RemoteStore,
}

impl<'a> AllowedRemotes<'a> {
    /// Returns them for one rendering; a reader that is `offline` asks no server.
    pub(super) fn new(settings: &'a Settings, repository: &'a Repository, offline: bool) -> Self {
        let store = RemoteStore::of_state(&settings.state_dir, repository.auth.ca_file.clone()).offline(offline);
        AllowedRemotes { settings, repository, store }
    }
}

impl Remotes for AllowedRemotes<'_> {
    fn fetch(&self, layer: &RemoteLayer) -> Result<Vec<u8>, Finding> {
        self.settings.judge_remote(self.repository, layer)?;
        self.store.fetch(layer)
    }

    fn fetched(&self, layer: &RemoteLayer) -> Option<Vec<u8>> {
        self.store.fetched(layer)
    }
}
