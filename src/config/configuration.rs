//! A merged data tree that knows where each value came from.

use super::interpolate::interpolate_typed;
use super::{ConfigSchema, merge, redacted};
use crate::document::{Entry, Map, Node, Value};
use crate::finding::{Finding, Findings};
use crate::place::Place;
use chrono::{DateTime, SecondsFormat, Utc};
use sha2::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The name of the layer that holds the schema's defaults.
const DEFAULTS: &str = "defaults";
/// The name of the layer that holds what was set by hand.
const SET: &str = "set";

/// One source of values.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The file's path, `env:PREFIX_`, `defaults`, `migrations` or `set`.
    pub name: String,
    /// The values, migrated, before interpolation.
    pub node: Arc<Node>,
    /// Which migrations the document went through, in words, when it did.
    pub migrated: Option<String>,
}

impl Layer {
    /// Returns a layer that was not migrated.
    pub fn new(name: impl Into<String>, node: impl Into<Arc<Node>>) -> Self {
        Layer { name: name.into(), node: node.into(), migrated: None }
    }
}

/// A merged data tree: layers, with the origin of every value. A copy shares the values.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// Its name in the manifest.
    pub name: String,
    /// The environment that it was made for.
    pub environment: String,
    /// Where its values come from, the lowest layer first.
    pub layers: Vec<Layer>,
    /// The values, interpolated.
    pub merged: Arc<Node>,
    /// The schema that it is held against.
    pub schema: Option<ConfigSchema>,
    /// The revision that it was read from, when it is known.
    pub version: Option<String>,
    /// When it was read, when the reader has a clock.
    pub loaded_at: Option<DateTime<Utc>>,
    /// Whatever its user wants to keep with it.
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// Where references could not be substituted; such a value breaks its schema for no reason of its own.
    unresolved: BTreeSet<Place>,
}

/// A layer that sets a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin<'a> {
    /// The layer's name.
    pub layer: &'a str,
    /// Where in it.
    pub place: &'a Place,
    /// Whether it is this layer's value that counts; of a map that several layers add to, the last of them.
    pub wins: bool,
    /// The value as the layer has it, or as it was interpolated when it wins.
    pub value: &'a Node,
    /// The value before interpolation.
    pub raw: &'a Node,
    /// Which migrations the layer's document went through, in words, when it did.
    pub migrated: Option<&'a str>,
}

/// What a layer has at a path.
enum Found<'a> {
    /// Nothing.
    Absent,
    /// Something that replaces all that lower layers have there.
    Hidden,
    /// A value.
    Value(&'a Node),
}

impl Configuration {
    /// Merges `layers`, lays the schema's defaults below them, and substitutes `${VAR}` in what came out.
    ///
    /// Only values that win are substituted, so a lower layer may use a variable that this environment does not have.
    pub fn assemble(
        name: &str,
        environment: &str,
        mut layers: Vec<Layer>,
        schema: Option<ConfigSchema>,
        lookup: &dyn Fn(&str) -> Option<String>,
        findings: &mut Findings,
    ) -> Configuration {
        if let Some(schema) = &schema {
            let defaults = schema.defaults_for(&merged(name, &layers));
            if defaults.as_map().is_some_and(|it| !it.is_empty()) {
                layers.insert(0, Layer::new(DEFAULTS, defaults));
            }
        }
        let mut merged = merged(name, &layers);
        let mut unresolved = Findings::new();
        interpolate_typed(&mut merged, lookup, schema.as_ref(), &mut unresolved);
        let places = unresolved.iter().filter_map(|it| it.place.clone()).collect();
        findings.extend(unresolved);
        Configuration {
            name: name.to_owned(),
            environment: environment.to_owned(),
            layers,
            merged: Arc::new(merged),
            schema,
            version: None,
            loaded_at: None,
            metadata: BTreeMap::new(),
            unresolved: places,
        }
    }

    /// Returns the value at a dotted path such as `server.port`, or the whole tree at the empty path.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.merged.get(path)
    }

    /// Sets the value at a dotted path, in a layer above all others; maps on the way are made, scalars there replaced.
    pub fn set(&mut self, path: &str, value: Value) {
        let place = Place::whole(SET);
        if self.layers.last().is_none_or(|it| it.name != SET) {
            self.layers.push(Layer::new(SET, Node::new(Value::Map(Map::new()), place.clone())));
        }
        let node = Node::new(value, place);
        if let Some(layer) = self.layers.last_mut() {
            put(Arc::make_mut(&mut layer.node), path, node.clone());
        }
        put(Arc::make_mut(&mut self.merged), path, node);
    }

    /// Returns every layer that sets the value at `path`, the lowest first.
    pub fn origins(&self, path: &str) -> Vec<Origin<'_>> {
        let steps: Vec<&str> = if path.is_empty() { Vec::new() } else { path.split('.').collect() };
        self.origins_at(&steps)
    }

    /// Returns the same for a path whose keys may hold dots.
    pub fn origins_at<S: AsRef<str>>(&self, steps: &[S]) -> Vec<Origin<'_>> {
        let steps: Vec<&str> = steps.iter().map(AsRef::as_ref).collect();
        let mut origins: Vec<Origin<'_>> = Vec::new();
        let mut winner = None;
        for layer in &self.layers {
            match find(&layer.node, &steps) {
                Found::Absent => {}
                Found::Hidden => winner = None,
                Found::Value(node) => {
                    winner = Some(origins.len());
                    let (layer, migrated) = (&layer.name, layer.migrated.as_deref());
                    origins.push(Origin { layer, place: &node.place, wins: false, value: node, raw: node, migrated });
                }
            }
        }
        if let Some(origin) = winner.and_then(|idx| origins.get_mut(idx)) {
            origin.wins = true;
            origin.value = self.merged.at(&steps).unwrap_or(origin.value);
        }
        origins
    }

    /// Returns the names of all layers, the lowest first, as one text.
    pub fn source(&self) -> String {
        match self.layers.is_empty() {
            true => "no sources found".to_owned(),
            false => self.layers.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", "),
        }
    }

    /// Holds the configuration against its schema, if it has one; returns whether it fits.
    pub fn validate(&self, findings: &mut Findings) -> bool {
        let Some(schema) = &self.schema else { return true };
        let n_errors = findings.n_errors();
        let mut violations = Findings::new();
        schema.validate(&self.merged, &mut violations);
        let is_own = |it: &Finding| it.place.as_ref().is_none_or(|it| !self.unresolved.contains(it));
        for violation in violations.into_iter().filter(is_own) {
            findings.push(self.with_migration(violation));
        }
        findings.n_errors() == n_errors
    }

    /// Adds to a violation that the document in which it lies was migrated, because then nobody wrote what is wrong.
    fn with_migration(&self, violation: Finding) -> Finding {
        let file = violation.place.as_ref().map(|it| &it.file);
        let layer = self.layers.iter().find(|it| Some(&it.node.place.file) == file);
        let Some(note) = layer.and_then(|it| it.migrated.as_ref()) else { return violation };
        let hint = violation.hint.as_ref().map(|it| format!("{it}; ")).unwrap_or_default();
        violation.hint(format!("{hint}the document {note}"))
    }

    /// Returns the configuration for other programs: `data`, `source`, `loaded_at`, `environment`, `version`, `metadata`.
    ///
    /// Values that were decrypted are redacted. Without a known revision the version is a digest of the rest.
    pub fn export(&self) -> serde_json::Value {
        let data = redacted(&self.merged);
        let digest = || sha2::Sha256::digest(data.to_string()).iter().map(|it| format!("{it:02x}")).collect::<String>();
        let version = self.version.clone().unwrap_or_else(digest);
        serde_json::json!({
            "data": data,
            "source": self.source(),
            "loaded_at": self.loaded_at.map(|it| it.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            "environment": self.environment,
            "version": version,
            "metadata": self.metadata,
        })
    }
}

fn merged(name: &str, layers: &[Layer]) -> Node {
    let empty = Node::new(Value::Map(Map::new()), Place::whole(name));
    layers.iter().fold(empty, |base, layer| merge(base, Node::clone(&layer.node)))
}

/// Sets a value, which makes its parents into maps.
pub(super) fn put(root: &mut Node, path: &str, node: Node) {
    let mut at = root;
    for step in path.split('.') {
        if at.as_map().is_none() {
            *at = Node::new(Value::Map(Map::new()), node.place.clone());
        }
        let Value::Map(map) = &mut at.value else { return };
        if map.get(step).is_none() {
            let empty = Node::new(Value::Map(Map::new()), node.place.clone());
            map.insert(Entry { key: step.to_owned(), place: node.place.clone(), node: empty });
        }
        let Some(next) = map.get_mut(step) else { return };
        at = next;
    }
    *at = node;
}

fn find<'a>(node: &'a Node, steps: &[&str]) -> Found<'a> {
    let Some((step, rest)) = steps.split_first() else { return Found::Value(node) };
    match &node.value {
        Value::Map(map) => map.get(step).map_or(Found::Absent, |it| find(it, rest)),
        Value::List(items) => {
            let item = step.parse::<usize>().ok().and_then(|it| items.get(it));
            match item.map(|it| find(it, rest)) {
                Some(Found::Value(node)) => Found::Value(node),
                _ => Found::Hidden,
            }
        }
        _ => Found::Hidden,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{lines, secret_at, tree};
    use serde_json::{Value as Json, json};

    fn schema(json: Json) -> Option<ConfigSchema> {
        let mut findings = Findings::new();
        let schema = ConfigSchema::from_node(tree("schema.json", json), &mut findings);
        assert_eq!(lines(&findings), [""; 0]);
        schema
    }

    fn assembled(layers: &[(&str, Json)], schema: Option<ConfigSchema>) -> Configuration {
        let layers = layers.iter().map(|(name, json)| Layer::new(*name, tree(name, json.clone()))).collect();
        let mut findings = Findings::new();
        let lookup = |name: &str| (name == "PORT").then(|| "8080".to_owned());
        let configuration = Configuration::assemble("app", "staging", layers, schema, &lookup, &mut findings);
        assert_eq!(lines(&findings), [""; 0]);
        configuration
    }

    fn origins(configuration: &Configuration, path: &str) -> Vec<String> {
        let line = |it: Origin<'_>| {
            let wins = if it.wins { " wins" } else { "" };
            let value = super::super::shown(it.value);
            match it.place.file.as_ref() == it.layer {
                true => format!("{} {value}{wins}", it.place),
                false => format!("{}={} {value}{wins}", it.layer, it.place),
            }
        };
        configuration.origins(path).into_iter().map(line).collect()
    }

    #[test]
    fn m05_defaults_are_below_files_and_files_below_variables() {
        let schema = schema(json!({"properties": {
            "a": {"default": "default"}, "b": {"default": "default"}, "c": {"default": "default"},
        }}));
        let layers = [("app.yaml", json!({"b": "file", "c": "file"})), ("env:APP_", json!({"c": "variable"}))];
        let configuration = assembled(&layers, schema);
        assert_eq!(configuration.merged.to_json(), json!({"a": "default", "b": "file", "c": "variable"}));
        assert_eq!(configuration.source(), "defaults, app.yaml, env:APP_");
    }

    #[test]
    fn m06_layers_count_from_left_to_right() {
        let layers = [("a.yaml", json!({"k": 1, "x": 1})), ("b.json", json!({"k": 2})), ("c.yaml", json!({"k": 3}))];
        assert_eq!(assembled(&layers, None).merged.to_json(), json!({"k": 3, "x": 1}));
    }

    #[test]
    fn x21_origins_name_every_layer_and_the_one_that_wins() {
        let schema = schema(json!({"properties": {"server": {"properties": {"port": {"default": 80}}}}}));
        let layers = [
            ("base.yaml", json!({"server": {"host": "a", "port": 1}})),
            ("over.yaml", json!({"server": {"port": "${PORT}"}})),
        ];
        let configuration = assembled(&layers, schema);
        assert_eq!(
            origins(&configuration, "server.port"),
            ["defaults=schema.json:5:6 80", "base.yaml:3:3 1", "over.yaml:2:3 \"8080\" wins"]
        );
        assert_eq!(origins(&configuration, "server.host"), ["base.yaml:2:3 \"a\" wins"]);
        assert_eq!(origins(&configuration, "server.nope"), [""; 0]);
    }

    #[test]
    fn a_scalar_or_list_above_a_value_takes_its_win_away() {
        let layers = [("a", json!({"x": {"y": 1}, "l": [1, 2]})), ("b", json!({"x": null, "l": [3]}))];
        let configuration = assembled(&layers, None);
        assert_eq!(origins(&configuration, "x.y"), ["a:2:3 1"]);
        assert_eq!(origins(&configuration, "l.0"), ["a:3:2 1", "b:2:2 3 wins"]);
        assert_eq!(origins(&configuration, "l.1"), ["a:3:2 2"]);
    }

    #[test]
    fn x09_only_values_that_win_are_substituted() {
        let layers = [("a", json!({"k": "${NO_SUCH}"})), ("b", json!({"k": "${PORT}"}))];
        assert_eq!(assembled(&layers, None).merged.to_json(), json!({"k": "8080"}));
    }

    #[test]
    fn x21_a_reference_as_a_whole_becomes_what_the_schema_wants() {
        let schema = schema(json!({"properties": {
            "port": {"type": "integer"}, "name": {"type": "string"}, "tls": {"type": "boolean"},
        }}));
        let layers = [("a", json!({"port": "${PORT}", "name": "${PORT}", "tls": "${NO:-true}", "other": "${PORT}"}))];
        let expected = json!({"port": 8080, "name": "8080", "tls": true, "other": "8080"});
        assert_eq!(assembled(&layers, schema).merged.to_json(), expected);
    }

    #[test]
    fn m16_get_set_and_subtrees() {
        let mut configuration = assembled(&[("a", json!({"server": {"port": 1}, "x": 5}))], None);
        assert_eq!(configuration.get("server").map(Node::to_json), Some(json!({"port": 1})));
        assert_eq!(configuration.get("server.host").and_then(Node::as_str).unwrap_or("localhost"), "localhost");
        configuration.set("server.port", Value::Int(2));
        configuration.set("x.y.z", Value::Bool(true));
        configuration.set("new.key", Value::Null);
        let expected = json!({"server": {"port": 2}, "x": {"y": {"z": true}}, "new": {"key": null}});
        assert_eq!(configuration.merged.to_json(), expected);
        assert_eq!(origins(&configuration, "server.port"), ["a:2:3 1", "set 2 wins"]);
    }

    #[test]
    fn m17_an_export_has_six_keys_and_no_secret() {
        let mut configuration = assembled(&[("a", json!({"k": 1, "password": "hunter2"}))], None);
        configuration.merged = secret_at(Node::clone(&configuration.merged), "password").into();
        let time = "2026-01-02T03:04:05Z".parse().expect("a time");
        configuration.loaded_at = Some(time);
        let copy = configuration.clone();
        configuration.metadata.insert("owner".into(), json!("ana"));
        let export = configuration.export();
        let keys: Vec<&str> = export.as_object().expect("a map").keys().map(String::as_str).collect();
        assert_eq!(keys, ["data", "source", "loaded_at", "environment", "version", "metadata"]);
        assert_eq!(export["loaded_at"], "2026-01-02T03:04:05Z");
        assert_eq!(export["data"], json!({"k": 1, "password": "<redacted>"}));
        assert_eq!(export["version"].as_str().map(str::len), Some(64));
        assert_eq!(copy.export()["metadata"], json!({}), "metadata is not shared");
    }

    #[test]
    fn m21_without_a_schema_everything_fits() {
        let mut findings = Findings::new();
        assert!(assembled(&[("a", json!({"k": 1}))], None).validate(&mut findings));
        assert!(findings.is_empty());
    }

    #[test]
    fn e14_a_violation_names_the_migration_that_the_document_went_through() {
        let mut configuration =
            assembled(&[("a.yaml", json!({"k": "x"}))], schema(json!({"properties": {"k": {"type": "null"}}})));
        configuration.layers[0].migrated = Some("was migrated from version 1 to 2 by 0002-k.yaml".into());
        let mut findings = Findings::new();
        assert!(!configuration.validate(&mut findings));
        let expected = "a.yaml:1:2 E_SCHEMA k: it must be null, not the text \"x\" \
                        [the document was migrated from version 1 to 2 by 0002-k.yaml]";
        assert_eq!(lines(&findings), [expected]);
    }
}
