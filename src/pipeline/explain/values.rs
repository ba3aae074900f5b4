//! The values of a file, and all that had a say in them.

use super::{ExplainedValue, LayerOrigin, ReferenceUse};
use crate::config::{Configuration, Documents, Loaded, Origin, REDACTED, Reference, redacted, references, shown};
use crate::document::{Entry, Format, Limits, Node, Value};
use crate::finding::{Code, Finding, Findings, nearest};
use crate::manifest::{LayerSource, LayerSpec, MANIFEST, Manifest};
use crate::pipeline::Inputs;
use crate::place::Place;
use crate::render::{Content, OutputFile, Uses};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The layer of what the environment declares in the manifest.
const ENVIRONMENT: &str = "variables of the environment";
/// The layer of what the host declares.
const HOST: &str = "variables of the host";

/// The value that was asked for, and those below it.
pub(super) type Told = (Option<ExplainedValue>, Vec<ExplainedValue>);

pub(super) struct Teller<'a> {
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) manifest: &'a Manifest,
    pub(super) loaded: &'a BTreeMap<String, Loaded>,
    pub(super) variables: &'a BTreeMap<String, String>,
}

impl Teller<'_> {
    fn configuration(&self, name: &str) -> Option<&Configuration> {
        self.loaded.get(name)?.configuration.as_ref()
    }

    /// Tells of a configuration's part, or of a key in that part.
    pub(super) fn of_part(&self, name: &str, part: &str, key: Option<&str>, findings: &mut Findings) -> Option<Told> {
        let configuration = self.configuration(name)?;
        let mut steps = steps_to(&configuration.merged, part)?;
        let Some(key) = key else { return Some((None, self.leaves(configuration, steps))) };
        let root = at(&configuration.merged, &steps)?;
        let Some(more) = steps_to(root, key) else {
            findings.push(no_key(root, key, &[]));
            return None;
        };
        steps.extend(more);
        Some(self.with_leaves(configuration, steps))
    }

    /// Tells of what a template means by a name.
    pub(super) fn of_name(&self, name: Option<&str>, key: &str, findings: &mut Findings) -> Option<Told> {
        let configuration = name.and_then(|it| self.configuration(it));
        let keys = [Some(key), key.strip_prefix("config.")];
        let found = keys.into_iter().flatten().find_map(|key| steps_to(&configuration?.merged, key));
        if let (Some(configuration), Some(steps)) = (configuration, found) {
            return Some(self.with_leaves(configuration, steps));
        }
        if self.variables.contains_key(key) {
            return Some((Some(self.variable(key)), Vec::new()));
        }
        let nothing = Node::new(Value::Null, Place::whole(MANIFEST));
        let others: Vec<&str> = self.variables.keys().map(String::as_str).collect();
        findings.push(no_key(configuration.map_or(&nothing, |it| &it.merged), key, &others));
        None
    }

    /// Tells of all that a template used.
    pub(super) fn of_uses(&self, name: Option<&str>, uses: &Uses) -> Vec<ExplainedValue> {
        let configuration = name.and_then(|it| self.configuration(it));
        let keys = uses.keys.iter().filter_map(|key| {
            let configuration = configuration?;
            Some(self.value(configuration, &steps_to(&configuration.merged, key)?))
        });
        keys.chain(uses.variables.iter().map(|it| self.variable(it))).collect()
    }

    /// Tells of a key in a document that is copied as it is.
    pub(super) fn of_copy(&self, path: &str, file: &OutputFile, key: &str, findings: &mut Findings) -> Option<Told> {
        let entry = Place::whole(path);
        let Some(format) = Format::of_path(path).filter(|_| !matches!(file.content, Content::Link(_))) else {
            let message = format!("`{path}` is copied as it is, and is no document with keys");
            findings.push(Finding::error(Code::NOT_FOUND, message).at(&entry).hint("ask without a key"));
            return None;
        };
        let read = self.inputs.tree.read_file(path, Limits::default().bytes, &entry);
        let (_, bytes) = read.map_err(|it| findings.push(it)).ok()??;
        let document = Documents::open(self.inputs.secrets, &Arc::from(path), &bytes, format, findings)?;
        let Some(node) = steps_to(&document.node, key).and_then(|it| at(&document.node, &it)) else {
            findings.push(no_key(&document.node, key, &[]));
            return None;
        };
        let is_secret = node.holds_secret();
        let origin = LayerOrigin {
            layer: path.to_owned(),
            place: node.place.clone(),
            changed_at: node.place.clone(),
            wins: true,
            shown: shown(node),
            migrated: None,
        };
        let value = ExplainedValue {
            configuration: None,
            key: key.to_owned(),
            shown: shown(node),
            json: if is_secret { serde_json::Value::Null } else { node.to_json() },
            origins: vec![origin],
            references: Vec::new(),
        };
        Some((Some(value), Vec::new()))
    }

    fn with_leaves(&self, configuration: &Configuration, steps: Vec<String>) -> Told {
        let asked = self.value(configuration, &steps);
        let is_map = at(&configuration.merged, &steps).is_some_and(|it| it.as_map().is_some());
        (Some(asked), if is_map { self.leaves(configuration, steps) } else { Vec::new() })
    }

    /// Tells of every value below a path that is no map.
    fn leaves(&self, configuration: &Configuration, steps: Vec<String>) -> Vec<ExplainedValue> {
        let mut paths = Vec::new();
        if let Some(node) = at(&configuration.merged, &steps) {
            collect(node, steps, &mut paths);
        }
        paths.iter().map(|it| self.value(configuration, it)).collect()
    }

    fn value(&self, configuration: &Configuration, steps: &[String]) -> ExplainedValue {
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let mut origins = configuration.origins_at(&steps);
        origins.reverse();
        origins.sort_by_key(|it| !it.wins);
        let merged = at(&configuration.merged, &steps);
        // What one layer keeps secret is not told of another either: a plain default may be the password of a test.
        let is_map = merged.is_some_and(|it| it.as_map().is_some());
        let is_secret = origins.iter().any(|it| it.raw.holds_secret()) || merged.is_some_and(Node::holds_secret);
        let told = |node: &Node| if is_secret { REDACTED.to_owned() } else { shown(node) };
        let json = match merged {
            Some(node) if is_map || !is_secret => self.json(configuration, node, &steps),
            _ => serde_json::Value::Null,
        };
        let winner = origins.first().filter(|it| it.wins && !is_map && !is_secret).map(|it| it.raw);
        ExplainedValue {
            configuration: Some(configuration.name.clone()),
            key: steps.join("."),
            shown: merged.map(told).unwrap_or_default(),
            json,
            references: winner.map(|it| self.references(it)).unwrap_or_default(),
            origins: origins.iter().map(|it| self.layer_origin(&configuration.name, it, &told)).collect(),
        }
    }

    fn layer_origin(&self, configuration: &str, origin: &Origin, told: &dyn Fn(&Node) -> String) -> LayerOrigin {
        let layers = self.manifest.configurations.get(configuration).into_iter().flat_map(|it| &it.layers);
        let is_this = |it: &&LayerSpec| matches!(&it.source, LayerSource::Remote(it) if it.url == origin.layer);
        let declared = layers.rev().find(is_this).map(|it| it.place.clone());
        LayerOrigin {
            layer: origin.layer.to_owned(),
            place: origin.place.clone(),
            changed_at: declared.unwrap_or_else(|| origin.place.clone()),
            wins: origin.wins,
            shown: told(origin.raw),
            migrated: origin.migrated.map(str::to_owned),
        }
    }

    /// Returns a value as JSON, in which each value that any layer keeps secret is redacted.
    fn json(&self, configuration: &Configuration, node: &Node, steps: &[&str]) -> serde_json::Value {
        let Some(map) = node.as_map() else {
            let is_secret = configuration.origins_at(steps).iter().any(|it| it.raw.holds_secret());
            return if is_secret { REDACTED.into() } else { redacted(node) };
        };
        let entry = |it: &Entry| {
            let below: Vec<&str> = steps.iter().copied().chain([it.key.as_str()]).collect();
            (it.key.clone(), self.json(configuration, &it.node, &below))
        };
        serde_json::Value::Object(map.iter().map(entry).collect())
    }

    /// Returns the variables in a value, each with where it is set.
    fn references(&self, node: &Node) -> Vec<ReferenceUse> {
        let mut found: Vec<Reference> = Vec::new();
        visit_texts(node, &mut |text| {
            for reference in references(text, &|name| self.variables.get(name).cloned()) {
                if !found.contains(&reference) {
                    found.push(reference);
                }
            }
        });
        let told = |it: Reference| ReferenceUse {
            place: self.variable_origins(&it.name).into_iter().next().map(|it| it.place),
            shown: it.value.map(|it| shown(&text(&it))),
            name: it.name,
        };
        found.into_iter().map(told).collect()
    }

    fn variable(&self, name: &str) -> ExplainedValue {
        let value = self.variables.get(name).map(String::as_str).unwrap_or_default();
        ExplainedValue {
            configuration: None,
            key: name.to_owned(),
            shown: shown(&text(value)),
            json: value.into(),
            origins: self.variable_origins(name),
            references: Vec::new(),
        }
    }

    /// Returns who sets a variable; the environment wins over the host.
    fn variable_origins(&self, name: &str) -> Vec<LayerOrigin> {
        let facts = self.inputs.facts;
        let environment = self.manifest.environment(&facts.environment);
        let declared = environment.and_then(|it| Some((it.variables.get(name)?, it.places.get(name)?.clone())));
        let declared = declared.map(|(value, place)| (ENVIRONMENT, value, place));
        let own = facts.variables.get(name).map(|it| (HOST, it, Place::whole(HOST)));
        let origin = |(idx, (layer, value, place)): (usize, (&str, &String, Place))| LayerOrigin {
            layer: layer.to_owned(),
            changed_at: place.clone(),
            place,
            wins: idx == 0,
            shown: shown(&text(value)),
            migrated: None,
        };
        declared.into_iter().chain(own).enumerate().map(origin).collect()
    }
}

fn text(value: &str) -> Node {
    Node::new(Value::String(value.to_owned()), Place::whole(HOST))
}

/// Returns the keys that lead to a dotted path; keys may hold dots themselves.
fn steps_to(node: &Node, path: &str) -> Option<Vec<String>> {
    if path.is_empty() {
        return Some(Vec::new());
    }
    let ends = path.match_indices('.').map(|it| it.0).chain([path.len()]);
    ends.filter_map(|end| {
        let (step, rest) = (&path[..end], path.get(end + 1..).unwrap_or_default());
        let mut steps = vec![step.to_owned()];
        steps.extend(steps_to(at(node, &[step])?, rest)?);
        Some(steps)
    })
    .next()
}

fn at<'a, S: AsRef<str>>(node: &'a Node, steps: &[S]) -> Option<&'a Node> {
    steps.iter().try_fold(node, |node, step| match &node.value {
        Value::Map(map) => map.get(step.as_ref()),
        Value::List(items) => items.get(step.as_ref().parse::<usize>().ok()?),
        _ => None,
    })
}

fn collect(node: &Node, steps: Vec<String>, paths: &mut Vec<Vec<String>>) {
    match node.as_map() {
        Some(map) if !map.is_empty() => {
            for entry in map.iter() {
                collect(&entry.node, steps.iter().chain([&entry.key]).cloned().collect(), paths);
            }
        }
        _ => paths.push(steps),
    }
}

fn visit_texts(node: &Node, visit: &mut dyn FnMut(&str)) {
    match &node.value {
        Value::String(text) => visit(text),
        Value::List(items) => items.iter().for_each(|it| visit_texts(it, visit)),
        Value::Map(map) => map.iter().for_each(|it| visit_texts(&it.node, visit)),
        _ => {}
    }
}

/// Says that there is no such key below `root`, and which one was probably meant.
fn no_key(root: &Node, key: &str, others: &[&str]) -> Finding {
    let finding = Finding::error(Code::NOT_FOUND, format!("there is no `{key}`"));
    let (parent, last) = key.rsplit_once('.').unwrap_or(("", key));
    let parent_node = steps_to(root, parent).and_then(|it| at(root, &it));
    let keys = parent_node.and_then(Node::as_map).into_iter().flat_map(|it| it.iter().map(|it| it.key.as_str()));
    let near = nearest(last, keys.chain(others.iter().copied()));
    let prefix = if parent.is_empty() { String::new() } else { format!("{parent}.") };
    match near {
        Some(near) => finding.hint(format!("did you mean `{prefix}{near}`?")),
        None => finding.hint("ask without a key to see those that there are"),
    }
}
