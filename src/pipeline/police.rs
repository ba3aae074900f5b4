//! What policies are asked about.

use super::Inputs;
use crate::config::{Loaded, redacted};
use crate::finding::Findings;
use crate::manifest::{Facts, Manifest, Over, Target};
use crate::place::Place;
use crate::policy::{self, Group, Subject};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Holds what would be deployed against the repository's policies. Secret values are redacted: policies print what they see.
///
/// Returns the policies that are about rendered files, for [`super::police_files`].
pub(super) fn police(
    manifest: &Manifest,
    inputs: &Inputs,
    targets: &[&Target],
    loaded: &BTreeMap<String, Loaded>,
    findings: &mut Findings,
) -> Vec<Group> {
    let groups = policy::groups(inputs.tree, &manifest.policies, findings).unwrap_or_default();
    // Of a configuration that could not be made, a policy would judge what is not there.
    let is_whole = loaded.values().all(|it| it.configuration.is_some());
    for group in groups.iter().filter(|it| is_whole && it.over == Over::Configurations) {
        let locate = |path: &[String]| locate(path, manifest, loaded);
        let input = input(manifest, inputs.facts, targets, loaded);
        group.policies.evaluate(Subject { input, data: None, name: None, locate: &locate }, findings);
    }
    groups.into_iter().filter(|it| it.over == Over::Files).collect()
}

/// Returns where a value of `input` was written.
fn locate(path: &[String], manifest: &Manifest, loaded: &BTreeMap<String, Loaded>) -> Option<Place> {
    let (kind, rest) = path.split_first()?;
    let (name, rest) = rest.split_first()?;
    match kind.as_str() {
        "configurations" => Some(loaded.get(name)?.configuration.as_ref()?.merged.at(rest)?.place.clone()),
        "targets" => {
            let target = manifest.targets.iter().find(|it| it.name == *name)?;
            let places = [
                ("path", Some(&target.path.place)),
                ("owner", target.owner.as_ref().map(|it| &it.place)),
                ("group", target.group.as_ref().map(|it| &it.place)),
            ];
            let key = rest.first().and_then(|key| places.into_iter().find(|it| it.0 == key)).and_then(|it| it.1);
            Some(key.unwrap_or(&target.place).clone())
        }
        _ => None,
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
