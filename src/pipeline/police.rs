//! What policies are asked about.

use super::{Inputs, Memory};
use crate::config::Loaded;
use crate::finding::{Code, Finding, Findings};
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
    for group in groups.iter().filter(|it| it.over == Over::Configurations) {
        check_reads(group, manifest, findings);
    }
    // Of a configuration that could not be made, a policy would judge what is not there.
    let is_whole = loaded.values().all(|it| it.configuration.is_some());
    for group in groups.iter().filter(|it| is_whole && it.over == Over::Configurations) {
        let locate = |path: &[String]| locate(path, manifest, loaded);
        let input = input(manifest, inputs.facts, targets, loaded, memory);
        group.policies.evaluate(Subject { input, data: None, name: None, locate: &locate }, findings);
    }
}

/// Points out what rules read and what is never there: to such a rule nothing ever happens.
fn check_reads(group: &Group, manifest: &Manifest, findings: &mut Findings) {
    let configurations: Vec<&str> = manifest.configurations.keys().map(String::as_str).collect();
    let targets: Vec<&str> = manifest.targets.iter().map(|it| it.name.as_str()).collect();
    for (path, place) in group.policies.reads() {
        let (at, known): (usize, &[&str]) = match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["environment", _, ..] => (1, &["name", "type"]),
            ["configurations", _, ..] => (1, &configurations),
            ["targets", _, ..] => (1, &targets),
            [_, ..] => (0, &["environment", "host", "labels", "configurations", "targets"]),
            [] => continue,
        };
        if !known.contains(&path[at].as_str()) {
            let (inner, outer) =
                (path[..=at].join("."), path[..at].iter().map(|it| format!(".{it}")).collect::<String>());
            let message = format!("`input.{inner}` is never there");
            let known = known.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
            let hint = match at {
                0 => format!("`input` holds {known}; policies over rendered files have `over: files`"),
                _ if known.is_empty() => format!("`input{outer}` is empty"),
                _ => format!("`input{outer}` holds {known}"),
            };
            findings.push(Finding::warning(Code::POLICY_INVALID, message).at(place).hint(hint));
        }
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
