//! What policies are asked about.

use super::{Inputs, Memory};
use crate::config::Loaded;
use crate::finding::Findings;
use crate::manifest::{Facts, Manifest, Over, Target};
use crate::place::Place;
use crate::policy::{Group, Input, Subject};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Holds what would be deployed against the repository's policies. Secret values are redacted: policies print what they see.
pub(super) fn police(
    groups: &[Group],
    memory: &Memory,
    manifest: &Manifest,
    inputs: &Inputs,
    targets: &[&Target],
    loaded: &BTreeMap<String, Loaded>,
    findings: &mut Findings,
) {
    // Of a configuration that could not be made, a policy would judge what is not there.
    let is_whole = loaded.values().all(|it| it.configuration.is_some());
    for group in groups.iter().filter(|it| is_whole && it.over == Over::Configurations) {
        let locate = |path: &[String]| locate(path, manifest, loaded);
        let input = input(manifest, inputs.facts, targets, loaded, memory);
        group.policies.evaluate(Subject { input, data: None, name: None, locate: &locate }, findings);
    }
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

fn input(
    manifest: &Manifest,
    facts: &Facts,
    targets: &[&Target],
    loaded: &BTreeMap<String, Loaded>,
    memory: &Memory,
) -> Input {
    let kind = manifest.environment(&facts.environment).map(|it| it.kind.as_str());
    let merged = loaded.iter().filter_map(|(name, it)| Some((name, &it.configuration.as_ref()?.merged)));
    let configurations = merged.map(|(name, it)| (name, memory.input(it)));
    Input::map([
        ("environment", json!({"name": facts.environment, "type": kind}).into()),
        ("host", json!(facts.host).into()),
        ("labels", json!(facts.labels).into()),
        ("configurations", Input::map(configurations)),
        ("targets", Input::map(targets.iter().map(|it| (&it.name, target(it).into())))),
    ])
}

fn target(target: &Target) -> Value {
    json!({
        "path": target.path.value,
        "owner": target.owner.as_ref().map(|it| &it.value),
        "group": target.group.as_ref().map(|it| &it.value),
        "mode": target.mode.map(|it| format!("{it:04o}")),
    })
}
