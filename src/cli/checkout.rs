//! A checkout on this machine, for the verbs that need no host: its manifest, and renderings of its working tree.

use super::exit::Failure;
use crate::finding::{Code, Finding, Findings};
use crate::git::WorkTree;
use crate::manifest::{Facts, Manifest};
use crate::pipeline::{self, Explanation, Inputs, Memory, Rendered};
use crate::remote::RemoteStore;
use crate::render::Content;
use crate::revision::Tree;
use crate::secrets::SecretManager;
use crate::settings::{AgeSources, Surroundings};
use std::path::Path;

/// What templates see as `revision`: a working tree is no commit yet.
const NO_REVISION: &str = "0000000000000000000000000000000000000000";

/// A config repository's working tree.
pub struct Checkout {
    tree: WorkTree,
    secrets: SecretManager,
    remotes: RemoteStore,
    /// What renderings for several hosts have alike.
    memory: Memory,
}

impl Checkout {
    /// Opens a folder. The identities come from `SOPS_AGE_KEY` and `SOPS_AGE_KEY_FILE`, as sops has them; remote layers from
    /// the user's cache, or from their servers unless it is `offline`.
    pub fn open(dir: &Path, offline: bool) -> Result<Checkout, Failure> {
        let tree = WorkTree::open(dir).map_err(|it| Failure::new(Finding::error(Code::NOT_FOUND, it.to_string())))?;
        let around = Surroundings::of_process();
        let identities = AgeSources::of_environment(&around).read()?;
        let secrets = SecretManager::new(&identities).map_err(Failure::new)?;
        let cache = around.cache_dir().map(|it| it.join("headfast/remote"));
        let remotes = RemoteStore::new(cache, around.ca_file()).offline(offline);
        Ok(Checkout { tree, secrets, remotes, memory: Memory::default() })
    }

    /// Returns its files.
    pub fn tree(&self) -> &dyn Tree {
        &self.tree
    }

    /// Returns what opens its secrets.
    pub fn secrets(&self) -> &SecretManager {
        &self.secrets
    }

    /// Returns where its remote layers come from.
    pub fn remotes(&self) -> &RemoteStore {
        &self.remotes
    }

    /// Reads the manifest.
    pub fn manifest(&self, findings: &mut Findings) -> Option<Manifest> {
        pipeline::load_manifest(&self.tree, findings)
    }

    /// Renders the working tree for a host.
    pub fn render(&self, facts: &Facts, findings: &mut Findings) -> Option<Rendered> {
        pipeline::render_with(&self.inputs(facts), &self.memory, findings)
    }

    /// Renders another tree for a host, as if it were the working tree; `memory` is that tree's.
    pub fn render_tree(
        &self,
        tree: &dyn Tree,
        memory: &Memory,
        facts: &Facts,
        findings: &mut Findings,
    ) -> Option<Rendered> {
        pipeline::render_with(&Inputs { tree, ..self.inputs(facts) }, memory, findings)
    }

    /// Returns a memory for another tree.
    pub fn memory_beside(&self) -> Memory {
        self.memory.beside()
    }

    /// Explains where a file of a target comes from.
    pub fn explain(&self, facts: &Facts, what: &str, findings: &mut Findings) -> Option<Explanation> {
        pipeline::explain(&self.inputs(facts), what, findings)
    }

    /// Returns the bytes of a file of the working tree, when there is one.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        let entry = self.tree.find(path).ok()??;
        self.tree.blob(&entry.id).ok()
    }

    fn inputs<'a>(&'a self, facts: &'a Facts) -> Inputs<'a> {
        Inputs {
            tree: &self.tree,
            facts,
            secrets: &self.secrets,
            remotes: &self.remotes,
            targets: None,
            revision: &|_| NO_REVISION.to_owned(),
            on_phase: &|_| {},
        }
    }

    /// Returns the bytes of an output; a link's are its text.
    pub fn content(&self, content: &Content) -> Result<Vec<u8>, Failure> {
        match content {
            Content::Blob { id, .. } => {
                self.tree.blob(id).map_err(|it| Failure::new(Finding::error(Code::IO, it.to_string())))
            }
            Content::Bytes(bytes) => Ok(bytes.to_vec()),
            Content::Link(text) => Ok(text.clone().into_bytes()),
        }
    }
}
