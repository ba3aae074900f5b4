//! What the renderings of one tree for several hosts have alike.

use super::Inputs;
use crate::config;
use crate::document::Node;
use crate::finding::Findings;
use crate::manifest::{self, Manifest};
use crate::policy::{self, Group, Input};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What was read of one tree, and what was made of it. Several threads may use it.
#[derive(Default)]
pub struct Memory {
    /// The configurations, of this and of other trees.
    pub(super) configurations: Arc<config::Memory>,
    manifest: OnceLock<(Option<Arc<Manifest>>, Findings)>,
    policies: OnceLock<(Vec<Group>, Findings)>,
    inputs: Mutex<HashMap<Kept, Input>>,
}

impl Memory {
    /// Returns one for another tree, with which this one shares the configurations that both have.
    pub fn beside(&self) -> Memory {
        Memory { configurations: Arc::clone(&self.configurations), ..Memory::default() }
    }

    /// Returns the tree's manifest.
    pub(super) fn manifest(&self, inputs: &Inputs, findings: &mut Findings) -> Option<Arc<Manifest>> {
        let (manifest, found) = self.manifest.get_or_init(|| {
            let mut found = Findings::new();
            (manifest::read(inputs.tree, &mut found).map(Arc::new), found)
        });
        findings.extend(found.clone());
        manifest.clone()
    }

    /// Returns the policies that the tree's manifest names; none when one of them cannot be used.
    pub(super) fn policies(&self, manifest: &Manifest, inputs: &Inputs, findings: &mut Findings) -> &[Group] {
        let (groups, found) = self.policies.get_or_init(|| {
            let mut found = Findings::new();
            (policy::groups(inputs.tree, &manifest.policies, &mut found).unwrap_or_default(), found)
        });
        findings.extend(found.clone());
        groups
    }

    /// Returns a configuration as policies see it.
    pub(super) fn input(&self, merged: &Arc<Node>) -> Input {
        let key = Kept(Arc::clone(merged));
        let known = self.inputs().get(&key).cloned();
        known.unwrap_or_else(|| {
            let input = Input::from(config::redacted(merged));
            self.inputs().insert(key, input.clone());
            input
        })
    }

    fn inputs(&self) -> MutexGuard<'_, HashMap<Kept, Input>> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A configuration's values, told from others by where they are; they stay there as long as this does.
struct Kept(Arc<Node>);

impl PartialEq for Kept {
    fn eq(&self, other: &Kept) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Kept {}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}
