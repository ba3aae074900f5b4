//! What policies are asked about.

use super::Inputs;
use crate::config::{Loaded, redacted};
use crate::finding::Findings;
use crate::manifest::{Facts, Manifest, Target};
use crate::policy::Policies;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Holds what would be deployed against the repository's policies. Secret values are redacted: policies print what they see.
pub(super) fn police(
    manifest: &Manifest,
    inputs: &Inputs,
    targets: &[&Target],
    loaded: &BTreeMap<String, Loaded>,
    findings: &mut Findings,
) {
    if manifest.policies.is_empty() {
        return;
    }
    let policies = Policies::read(inputs.tree, &manifest.policies, findings);
    // Of a configuration that could not be made, a policy would judge what is not there.
    let is_whole = loaded.values().all(|it| it.configuration.is_some());
    if let Some(policies) = policies.filter(|_| is_whole) {
        policies.evaluate(&input(manifest, inputs.facts, targets, loaded), findings);
    }
}

fn input(manifest: &Manifest, facts: &Facts, targets: &[&Target], loaded: &BTreeMap<String, Loaded>) -> Value {
    let kind = manifest.environment(&facts.environment).map(|it| it.kind.as_str());
    let configurations: serde_json::Map<String, Value> = loaded
        .iter()
        .filter_map(|(name, it)| Some((name.clone(), redacted(&it.configuration.as_ref()?.merged))))
        .collect();
    let targets: serde_json::Map<String, Value> = targets.iter().map(|it| (it.name.clone(), target(it))).collect();
    json!({
        "environment": {"name": facts.environment, "type": kind},
        "host": facts.host,
        "labels": facts.labels,
        "configurations": configurations,
        "targets": targets,
    })
}

fn target(target: &Target) -> Value {
    json!({
        "path": target.path.value,
        "owner": target.owner.as_ref().map(|it| &it.value),
        "group": target.group.as_ref().map(|it| &it.value),
        "mode": target.mode.map(|it| format!("{it:04o}")),
    })
}
