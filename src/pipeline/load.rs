//! The manifest, and the environment in it.

use super::{Inputs, Memory};
use crate::document::{Node, Value};
use crate::finding::{Code, Finding, Findings, nearest};
use crate::manifest::{self, MANIFEST, Manifest};
use crate::place::Place;
use std::sync::Arc;

/// Returns what the repository's manifest says, or the host's targets when it declares some.
pub(super) fn manifest(inputs: &Inputs, memory: &Memory, findings: &mut Findings) -> Option<Arc<Manifest>> {
    let Some(targets) = inputs.targets.filter(|it| declares_some(it)) else {
        let manifest = memory.manifest(inputs, findings)?;
        return has_environment(&manifest, &inputs.facts.environment, findings).then_some(manifest);
    };
    let whole = Place::whole(MANIFEST);
    let found = inputs.tree.find(MANIFEST).map_err(|it| findings.push(Finding::from(it).at(&whole))).ok()?;
    if found.is_some() {
        // The host decides what a repository may do: a manifest that turns up later takes nothing over.
        let message = "this file is not used, because agent.yaml declares the repository's targets";
        findings.push(Finding::warning(Code::UNSUPPORTED, message).at(&whole));
    }
    // They are in whatever environment the host says.
    manifest::load_targets(targets, findings).map(Arc::new)
}

/// Returns whether the `targets` of agent.yaml hold any; `targets: []` does not.
fn declares_some(targets: &Node) -> bool {
    match &targets.value {
        Value::Null => false,
        Value::List(items) => !items.is_empty(),
        Value::Map(map) => !map.is_empty(),
        _ => true,
    }
}

/// Returns whether the manifest has an environment.
pub(super) fn has_environment(manifest: &Manifest, name: &str, findings: &mut Findings) -> bool {
    let exists = manifest.environment(name).is_some();
    if !exists {
        let message = format!("the manifest has no environment `{name}`");
        let finding = Finding::error(Code::ENVIRONMENT, message).at(&Place::whole(MANIFEST));
        let near = nearest(name, manifest.environments.keys().map(String::as_str));
        findings.push(match near {
            Some(near) => finding.hint(format!("did you mean `{near}`?")),
            None => finding.hint("add it under `environments`, or change `environment` in agent.yaml"),
        });
    }
    exists
}
