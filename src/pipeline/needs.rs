//! Who needs what.

use crate::config::Loaded;
use crate::finding::{Code, Finding, Findings, Severity};
use crate::manifest::{Facts, OutputKind, Target};
use std::collections::{BTreeMap, BTreeSet};

/// What is wrong with a secret says which targets cannot be had without it.
const SECRETS: [Code; 5] = [Code::SOPS, Code::SOPS_MAC, Code::SOPS_MAC_SCOPE, Code::SOPS_PROVIDER, Code::KEY];

/// Returns the names of the configurations that the targets use.
pub(super) fn configurations<'a>(targets: &[&'a Target]) -> BTreeSet<&'a str> {
    let outputs = targets.iter().flat_map(|it| &it.files);
    outputs.filter_map(|it| it.kind.configuration()).map(|it| it.value.as_str()).collect()
}

/// Adds to every error about a secret which targets need the file.
pub(super) fn name_targets(
    targets: &[&Target],
    facts: &Facts,
    loaded: &BTreeMap<String, Loaded>,
    findings: &mut Findings,
) {
    let named = |finding: Finding| {
        let Some(place) = finding.place.as_ref().filter(|_| SECRETS.contains(&finding.code)) else { return finding };
        if finding.severity != Severity::Error {
            return finding;
        }
        let needs = |it: &&&Target| needs(it, &place.file, facts, loaded);
        let names: Vec<String> = targets.iter().filter(needs).map(|it| format!("`{}`", it.name)).collect();
        if names.is_empty() {
            return finding;
        }
        let noun = if names.len() == 1 { "target" } else { "targets" };
        let message = format!("{} (needed by the {noun} {})", finding.message, names.join(", "));
        Finding { message, ..finding }
    };
    *findings = std::mem::take(findings).into_iter().map(named).collect();
}

fn needs(target: &Target, file: &str, facts: &Facts, loaded: &BTreeMap<String, Loaded>) -> bool {
    target.files.iter().any(|output| {
        let is_layer = || {
            let made = output.kind.configuration().and_then(|it| loaded.get(&it.value));
            made.is_some_and(|it| it.inputs.iter().chain(&it.remotes).any(|it| it == file))
        };
        let source = match &output.kind {
            OutputKind::Copy { source } | OutputKind::Template { source, .. } => source.value.expand(facts, None).ok(),
            OutputKind::Write { .. } => None,
        };
        let is_below = |source: String| {
            let rest = file.strip_prefix(&source);
            rest.is_some_and(|it| it.is_empty() || source.is_empty() || it.starts_with('/'))
        };
        is_layer() || source.is_some_and(is_below)
    })
}
