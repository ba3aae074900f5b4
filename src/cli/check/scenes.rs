//! The hosts that a check renders for.

use crate::finding::{Code, Finding, Findings};
use crate::manifest::{Facts, LayerSource, Manifest, OutputKind, PathTemplate, Selector};
use crate::place::Place;
use std::collections::{BTreeMap, BTreeSet};
use std::str::Chars;

/// The host that stands for all hosts of which nothing is known.
pub const ANY_HOST: &str = "any-host";

/// A host that the repository is rendered for.
pub struct Scene {
    /// What it declares.
    pub facts: Facts,
    /// Whether the manifest, or whoever asked, knows it; otherwise it is made up for a target that no known host has.
    pub is_known: bool,
}

impl Scene {
    /// Returns what the host is called in reports.
    pub fn title(&self) -> String {
        let labels: Vec<String> = self.facts.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        match labels.is_empty() || self.is_known {
            true => self.facts.host.clone(),
            false => format!("{} ({})", self.facts.host, labels.join(", ")),
        }
    }
}

/// Returns the hosts that the manifest declares and, for each environment, one for every target that none of them has.
///
/// The targets of `base`, an earlier manifest, count as well, so that it shows when one of them goes.
pub fn scenes(manifest: &Manifest, base: Option<&Manifest>) -> Vec<Scene> {
    let declared = manifest.hosts.iter().map(|(name, it)| Facts {
        host: name.clone(),
        labels: it.labels.clone(),
        environment: it.environment.value.clone(),
        variables: it.variables.clone(),
    });
    let mut scenes: Vec<Scene> = declared.map(|facts| Scene { facts, is_known: true }).collect();
    for environment in manifest.environments.keys() {
        let (mut here, elsewhere): (Vec<Scene>, Vec<Scene>) =
            scenes.into_iter().partition(|it| it.facts.environment == *environment);
        scenes = elsewhere;
        for target in manifest.targets.iter().chain(base.into_iter().flat_map(|it| &it.targets)) {
            if !here.iter().any(|it| target.is_for(&it.facts)) {
                let made_up = stand_in(&target.on, environment);
                here.extend(target.is_for(&made_up).then_some(Scene { facts: made_up, is_known: false }));
            }
        }
        if here.is_empty() {
            here.push(Scene { facts: stand_in(&Selector::default(), environment), is_known: false });
        }
        scenes.extend(here);
    }
    scenes
}

/// Returns a host that a selector means.
fn stand_in(selector: &Selector, environment: &str) -> Facts {
    Facts {
        host: selector.host.as_ref().map_or(ANY_HOST.to_owned(), |it| name_like(&it.value)),
        labels: selector.labels.clone(),
        environment: environment.to_owned(),
        variables: BTreeMap::new(),
    }
}

/// Returns a name that a glob matches; where it does not, the caller finds out.
fn name_like(glob: &str) -> String {
    let mut name = String::new();
    let mut rest = glob.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' if name.ends_with("any") => {}
            '*' => name.push_str("any"),
            '?' => name.push('0'),
            '[' => name.extend(until(&mut rest, ']').chars().next()),
            '{' => name.push_str(until(&mut rest, '}').split(',').next().unwrap_or_default()),
            '\\' => name.extend(rest.next()),
            c => name.push(c),
        }
    }
    name
}

/// Takes everything before `end`, and that too.
fn until(rest: &mut Chars<'_>, end: char) -> String {
    rest.take_while(|it| *it != end).collect()
}

/// What a made-up host lacks, so that some of its targets could not be rendered.
pub type Lacks = BTreeSet<String>;

/// Takes out of `findings` those that are only there because the host is made up, and returns what it lacks.
pub fn take_unknowable(manifest: &Manifest, findings: &mut Findings) -> Lacks {
    let named: Vec<&Place> = places_by_host(manifest).collect();
    let mut lacks = Lacks::new();
    let mut is_knowable = |it: &Finding| {
        let lack = match it.code {
            Code::UNDEFINED | Code::REFERENCE => {
                it.message.split_once("`labels.").and_then(|it| it.1.split_once('`')).map(|it| it.0)
            }
            Code::LAYER_MISSING | Code::SOURCE_MISSING => it.place.as_ref().filter(|it| named.contains(it)).map(|_| ""),
            _ => None,
        };
        lacks.extend(lack.map(|it| if it.is_empty() { "the name".to_owned() } else { format!("the label `{it}`") }));
        lack.is_none()
    };
    *findings = std::mem::take(findings).into_iter().filter(|it| is_knowable(it)).collect();
    lacks
}

/// Returns where paths of the repository are written that hold the host's name.
fn places_by_host(manifest: &Manifest) -> impl Iterator<Item = &Place> {
    let outputs = manifest.targets.iter().flat_map(|it| &it.files);
    let sources = outputs.filter_map(|it| match &it.kind {
        OutputKind::Copy { source } | OutputKind::Template { source, .. } => Some((&source.value, &it.place)),
        OutputKind::Write { .. } => None,
    });
    let layers = manifest.configurations.values().flat_map(|it| &it.layers).filter_map(|it| match &it.source {
        LayerSource::File { path, .. } => Some((path, &it.place)),
        LayerSource::Variables { .. } | LayerSource::Remote(_) => None,
    });
    let by_host = |it: &(&PathTemplate, &Place)| it.0.uses("host");
    sources.chain(layers).filter(by_host).map(|it| it.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Located;

    #[test]
    fn a_made_up_name_is_one_that_the_glob_means() {
        for glob in ["web-*", "*", "web-?", "{db,web}-1", "[a-c]x", "web-1", "a**b", "\\*x"] {
            let host = Located { value: glob.to_owned(), place: Place::whole("f") };
            let selector = Selector { host: Some(host), labels: BTreeMap::new() };
            let facts = stand_in(&selector, "production");
            assert!(selector.matches(&facts.host, &facts.labels), "{glob}: {}", facts.host);
        }
    }
}
