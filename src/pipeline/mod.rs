//! Turns a revision's tree and a host's facts into a rendering. Read this first: it is DESIGN.md section 2, and all that
//! happens between reading a revision and planning its deployment.
//!
//! Every step takes values and gives values. A step that finds a mistake says so in `findings` and goes on with what is left,
//! so that one push shows everything that is wrong with it; what could not be made is passed over by the steps after it.

mod load;
mod memory;
mod documents;
mod police;
mod police_files;
mod needs;
mod texts;
mod explain;
#[cfg(test)]
mod tests;

pub use explain::{ExplainedValue, Explanation, LayerOrigin, ReferenceUse, Source, explain};
pub use memory::Memory;

use crate::config::{Configuration, ConfigurationManager, Loaded, NoRemotes, Remotes};
use crate::document::Node;
use crate::finding::Findings;
use crate::manifest::{self, Facts, Manifest, Target};
use crate::record::Phase;
use crate::render::{Limits, Rendering, Scene, Values};
use crate::revision::Tree;
use crate::secrets::SecretManager;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All that a rendering depends on.
pub struct Inputs<'a> {
    /// The files of the revision.
    pub tree: &'a dyn Tree,
    /// What the host declares.
    pub facts: &'a Facts,
    /// What opens the host's secrets.
    pub secrets: &'a SecretManager,
    /// Where remote layers come from.
    pub remotes: &'a dyn Remotes,
    /// The targets that agent.yaml declares for the repository, which then count instead of its manifest.
    pub targets: Option<&'a Node>,
    /// Returns the last commit that changed one of these paths; called only for templates that use `revision`.
    pub revision: &'a dyn Fn(&[String]) -> String,
    /// Hears of each phase after loading before it begins.
    pub on_phase: &'a dyn Fn(Phase),
}

/// What a revision means for a host.
pub struct Rendered {
    /// The output files.
    pub rendering: Rendering,
    /// The configurations that they were made from, by name.
    pub configurations: BTreeMap<String, Configuration>,
    /// The manifest.
    pub manifest: Arc<Manifest>,
}

/// Loads, migrates, merges, validates, polices and renders what a host deploys of a revision.
///
/// `None` when there is an error; all of them are in `findings`, with the text of their lines and the environment.
pub fn render(inputs: &Inputs, findings: &mut Findings) -> Option<Rendered> {
    render_with(inputs, &Memory::default(), findings)
}

/// Does the same for one host of several, which share what they have alike; all in `inputs` but the facts must be the same
/// for them.
pub fn render_with(inputs: &Inputs, memory: &Memory, findings: &mut Findings) -> Option<Rendered> {
    let mut found = Findings::new();
    let manifest = load::manifest(inputs, memory, &mut found);
    let rendered = manifest.as_ref().and_then(|it| steps(it, inputs, memory, &mut found));
    // A file that several configurations need is as wrong for each of them.
    let mut found = found.distinct();
    texts::attach(inputs.tree, manifest.as_deref(), inputs.remotes, &mut found);
    found.in_environment(&inputs.facts.environment);
    let is_good = !found.has_errors();
    findings.extend(found);
    rendered.filter(|_| is_good)
}

/// Loads the manifest alone, for callers that go over its environments and hosts.
pub fn load_manifest(tree: &dyn Tree, findings: &mut Findings) -> Option<Manifest> {
    let mut found = Findings::new();
    let manifest = manifest::read(tree, &mut found);
    texts::attach(tree, None, &NoRemotes, &mut found);
    findings.extend(found);
    manifest
}

/// Loads one configuration of the repository in `tree`, as its `headfast.yaml` puts it together for a host. Remote layers are
/// refused: [`ConfigurationManager::with_remotes`] has them.
pub fn load_configuration(
    tree: &dyn Tree,
    facts: &Facts,
    secrets: &SecretManager,
    name: &str,
    findings: &mut Findings,
) -> Option<Configuration> {
    let manifest = manifest::read(tree, findings)?;
    if !load::has_environment(&manifest, &facts.environment, findings) {
        return None;
    }
    ConfigurationManager::new(tree, &manifest, facts, secrets).load(name, findings).configuration
}

/// Loads one configuration and holds it against its schema, with the text of the lines that are wrong.
///
/// One that does not fit comes all the same: callers judge `findings`.
pub fn load(
    tree: &dyn Tree,
    manifest: &Manifest,
    facts: &Facts,
    secrets: &SecretManager,
    remotes: &dyn Remotes,
    name: &str,
    findings: &mut Findings,
) -> Option<Configuration> {
    if !load::has_environment(manifest, &facts.environment, findings) {
        return None;
    }
    let mut found = Findings::new();
    let manager = ConfigurationManager::new(tree, manifest, facts, secrets).with_remotes(remotes);
    let configuration = manager.load(name, &mut found).configuration;
    if let Some(configuration) = &configuration {
        configuration.validate(&mut found);
    }
    let mut found = found.distinct();
    texts::attach(tree, Some(manifest), remotes, &mut found);
    findings.extend(found);
    configuration
}

fn steps(manifest: &Arc<Manifest>, inputs: &Inputs, memory: &Memory, findings: &mut Findings) -> Option<Rendered> {
    let targets: Vec<&Target> = manifest.targets_for(inputs.facts).collect();
    (inputs.on_phase)(Phase::Merge);
    let loaded = configure(manifest, &targets, inputs, memory, findings);
    (inputs.on_phase)(Phase::Police);
    let groups = memory.policies(manifest, inputs, findings);
    police::police(groups, memory, manifest, inputs, &targets, &loaded, findings);
    (inputs.on_phase)(Phase::Render);
    let rendering = crate::render::render(
        &targets,
        manifest,
        &Scene {
            tree: inputs.tree,
            facts: inputs.facts,
            variables: &manifest.variables_for(inputs.facts),
            configurations: &loaded.iter().filter_map(|(name, it)| Some((name.clone(), values(it)?))).collect(),
            open: &|path, bytes, findings| documents::open_copy(inputs.secrets, path, bytes, findings),
            revision: inputs.revision,
            limits: Limits::default(),
            on_use: None,
        },
        findings,
    );
    if let Some(rendering) = &rendering {
        police_files::police(groups, manifest, inputs, rendering, &loaded, findings);
    }
    needs::name_targets(&targets, inputs.facts, &loaded, findings);
    let configurations = loaded.into_iter().filter_map(|(name, it)| Some((name, it.configuration?))).collect();
    Some(Rendered { rendering: rendering?, configurations, manifest: Arc::clone(manifest) })
}

/// Makes the configurations that the targets use; no other is read.
///
/// One that does not fit its schema is made all the same, so that the mistakes of its templates show, too.
fn configure(
    manifest: &Manifest,
    targets: &[&Target],
    inputs: &Inputs,
    memory: &Memory,
    findings: &mut Findings,
) -> BTreeMap<String, Loaded> {
    let manager = ConfigurationManager::new(inputs.tree, manifest, inputs.facts, inputs.secrets);
    let manager = manager.with_remotes(inputs.remotes).with_memory(&memory.configurations);
    let mut loaded = BTreeMap::new();
    for name in needs::configurations(targets).into_iter().filter(|it| manifest.configurations.contains_key(*it)) {
        loaded.insert(name.to_owned(), manager.load_judged(name, findings));
    }
    loaded
}

/// Returns what outputs see of a configuration.
fn values(loaded: &Loaded) -> Option<Values> {
    let node = Arc::clone(&loaded.configuration.as_ref()?.merged);
    Some(Values { node, inputs: loaded.inputs.clone(), sealed: loaded.sealed.clone() })
}
