//! From the document `headfast.yaml` to a [`Manifest`].

use super::paths::{check_name, repository_path, template, template_text};
use super::{
    ConfigurationSpec, Environment, EnvironmentType, HostSpec, LayerSource, LayerSpec, Located, MANIFEST, Manifest,
    SchemaVersion, order, policies, remote, target,
};
use crate::document::decode::{self, Fields};
use crate::document::{self, Entry, Format, Limits, MergeKeys, Node, Value};
use crate::finding::{Code, Finding, Findings, nearest};
use crate::place::Place;
use crate::revision::Tree;
use std::collections::{BTreeMap, BTreeSet};

/// The newest manifest version that this program reads.
const VERSION: u64 = 1;

/// Reads the manifest of a repository.
pub fn read(tree: &dyn Tree, findings: &mut Findings) -> Option<Manifest> {
    let (whole, limits) = (Place::whole(MANIFEST), Limits::default());
    let file = tree.read_file(MANIFEST, limits.bytes, &whole).map_err(|it| findings.push(it)).ok()?;
    let Some((_, bytes)) = file else {
        let message = format!("the repository has no {MANIFEST}");
        let hint = "add one (`headfast init` makes a commented one), or declare `targets:` in agent.yaml";
        findings.push(Finding::error(Code::MANIFEST_MISSING, message).at(&whole).hint(hint));
        return None;
    };
    let node = document::parse(Format::Yaml, &whole.file, &bytes, &limits, MergeKeys::Refuse, findings)?;
    load(&node, findings)
}

/// Reads a manifest; every mistake in it is pushed, and `None` means that there is nothing to go on with.
///
/// When `findings` holds errors, the manifest holds only what could be read and must not be deployed.
pub fn load(node: &Node, findings: &mut Findings) -> Option<Manifest> {
    if node.as_map().is_none() {
        let message = format!("the manifest must be a map, found {}", node.type_name());
        let hint = "a manifest starts with `version: 1`";
        findings.push(Finding::error(Code::SHAPE, message).at(&node.place).hint(hint));
        return None;
    }
    let mut fields = Fields::new(node, "", findings)?;
    version(&mut fields, findings)?;
    let mut manifest = Manifest::default();
    if fields.required("environments", findings).is_some() {
        manifest.environments = environments(&mut fields, findings);
    }
    manifest.configurations = configurations(&mut fields, findings);
    let path = fields.path("policies");
    let entries = fields.list("policies", findings).iter();
    manifest.policies = entries.filter_map(|it| policies::policy(it, &path, findings)).collect();
    manifest.hosts = hosts(&mut fields, findings);
    if fields.required("targets", findings).is_some() {
        for entry in fields.entries("targets", findings) {
            check_name(&entry.key, "a target", &entry.place, findings);
            let what = fields.path(&format!("targets.{}", entry.key));
            manifest.targets.extend(target::load(&entry.key, &entry.place, &entry.node, &what, findings));
        }
    }
    manifest.allow_removal = located(fields.strings("allow_removal", findings));
    fields.finish(findings);
    check_references(&manifest, findings);
    order::finish(&mut manifest, findings);
    Some(manifest)
}

/// Reads the `targets` of agent.yaml, a list or a map, into a manifest without environments.
pub fn load_targets(node: &Node, findings: &mut Findings) -> Option<Manifest> {
    let mut manifest = Manifest::default();
    match &node.value {
        Value::Map(map) => {
            for Entry { key, place, node } in map.iter() {
                check_name(key, "a target", place, findings);
                manifest.targets.extend(target::load(key, place, node, &format!("targets.{key}"), findings));
            }
        }
        Value::List(items) => {
            for (idx, item) in items.iter().enumerate() {
                manifest.targets.extend(target::load_named(item, &format!("targets.{idx}"), findings));
            }
        }
        _ => {
            decode::list(node, "targets", findings);
            return None;
        }
    }
    check_references(&manifest, findings);
    order::finish(&mut manifest, findings);
    Some(manifest)
}

fn version(fields: &mut Fields, findings: &mut Findings) -> Option<()> {
    let node = fields.required("version", findings);
    let Some(version) = node.and_then(|it| decode::number(it, "version", 1..=u64::MAX, findings)) else {
        // A wrong version leaves the rest worth reading.
        return Some(());
    };
    if version > VERSION {
        let message = format!("the manifest has version {version}; this headfast knows versions up to {VERSION}");
        let place = node.map_or(fields.place(), |it| &it.place);
        findings.push(Finding::error(Code::VERSION_NEWER, message).at(place).hint("install a newer headfast"));
        return None;
    }
    Some(())
}

fn environments(fields: &mut Fields, findings: &mut Findings) -> BTreeMap<String, Environment> {
    const KINDS: [(&str, EnvironmentType); 4] = [
        ("development", EnvironmentType::Development),
        ("testing", EnvironmentType::Testing),
        ("staging", EnvironmentType::Staging),
        ("production", EnvironmentType::Production),
    ];
    let mut environments = BTreeMap::new();
    for entry in fields.entries("environments", findings) {
        check_name(&entry.key, "an environment", &entry.place, findings);
        let Some(mut fields) = Fields::new(&entry.node, &format!("environments.{}", entry.key), findings) else {
            continue;
        };
        let kind = fields.required("type", findings);
        let kind = kind.and_then(|it| decode::choice(it, &fields.path("type"), &KINDS, findings));
        let entries = fields.take("variables").and_then(Node::as_map).into_iter().flat_map(|it| it.iter());
        let places = entries.map(|it| (it.key.clone(), it.node.place.clone())).collect();
        let variables = variables(&mut fields, findings);
        fields.finish(findings);
        // An environment whose type is wrong still exists, for whoever refers to it.
        let kind = kind.unwrap_or(EnvironmentType::Production);
        environments.insert(entry.key.clone(), Environment { kind, variables, places });
    }
    environments
}

fn configurations(fields: &mut Fields, findings: &mut Findings) -> BTreeMap<String, ConfigurationSpec> {
    let mut configurations = BTreeMap::new();
    for entry in fields.entries("configurations", findings) {
        check_name(&entry.key, "a configuration", &entry.place, findings);
        let what = format!("configurations.{}", entry.key);
        if let Some(mut fields) = Fields::new(&entry.node, &what, findings) {
            configurations.insert(entry.key.clone(), configuration(&mut fields, &entry.place, findings));
            fields.finish(findings);
        }
    }
    configurations
}

fn configuration(fields: &mut Fields, place: &Place, findings: &mut Findings) -> ConfigurationSpec {
    let path = fields.path("layers");
    let nodes = fields.required("layers", findings).and_then(|it| decode::list(it, &path, findings));
    let layers = nodes.unwrap_or_default().iter().filter_map(|it| layer(it, &path, findings)).collect();
    if let Some([]) = nodes {
        let message = format!("`{path}` names no layer");
        findings.push(Finding::error(Code::VALUE, message).at(place));
    }
    let schema = fields.take("schema").and_then(|it| {
        Some(Located { value: template(it, &fields.path("schema"), findings)?, place: it.place.clone() })
    });
    let migrations = fields.take("migrations").and_then(|it| repository_path(it, &fields.path("migrations"), findings));
    let schema_version = schema_version(fields, findings);
    if let Some(migrations) = migrations.as_ref().filter(|_| schema_version == SchemaVersion::default()) {
        let message = format!("`{}` has no effect without `schema_version`", fields.path("migrations"));
        findings.push(Finding::warning(Code::MISSING_KEY, message).at(&migrations.place));
    }
    let version_key = fields.optional_string("version_key", findings).unwrap_or_else(|| "schema_version".into());
    ConfigurationSpec { layers, schema, migrations, schema_version, version_key, place: place.clone() }
}

fn layer(node: &Node, what: &str, findings: &mut Findings) -> Option<LayerSpec> {
    let text = decode::text(node, what, findings)?;
    if remote::is_url(text) {
        let source = LayerSource::Remote(remote::layer(text, node, what, findings)?);
        return Some(LayerSpec { source, place: node.place.clone() });
    }
    let source = match text.strip_prefix("env:") {
        Some(prefix) if is_variable_name(prefix) => LayerSource::Variables { prefix: prefix.to_owned() },
        Some(_) => {
            let message = format!("`{}` must name a prefix of variables, as in `env:APP_`", text.escape_debug());
            decode::wrong_value(node, message, findings);
            return None;
        }
        None => {
            let path = text.strip_suffix('?');
            LayerSource::File {
                optional: path.is_some(),
                path: template_text(path.unwrap_or(text), node, what, findings)?,
            }
        }
    };
    Some(LayerSpec { source, place: node.place.clone() })
}

fn schema_version(fields: &mut Fields, findings: &mut Findings) -> SchemaVersion {
    let mut versions = SchemaVersion::default();
    let path = fields.path("schema_version");
    let Some(node) = fields.take("schema_version") else { return versions };
    let mut read = |node: &Node, path: &str| {
        let version = decode::number(node, path, 1..=u64::from(u32::MAX), findings)?;
        u32::try_from(version).ok()
    };
    match node.as_map() {
        None => versions.default = read(node, &path),
        Some(map) => {
            for entry in map.iter() {
                let Some(version) = read(&entry.node, &format!("{path}.{}", entry.key)) else { continue };
                match entry.key.as_str() {
                    "default" => versions.default = Some(version),
                    name => {
                        versions.environments.insert(name.to_owned(), version);
                    }
                }
            }
        }
    }
    versions
}

fn hosts(fields: &mut Fields, findings: &mut Findings) -> BTreeMap<String, HostSpec> {
    let mut hosts = BTreeMap::new();
    for entry in fields.entries("hosts", findings) {
        check_name(&entry.key, "a host", &entry.place, findings);
        let Some(mut fields) = Fields::new(&entry.node, &format!("hosts.{}", entry.key), findings) else { continue };
        let environment = fields.required("environment", findings);
        let environment = environment.and_then(|it| text(it, &fields.path("environment"), findings));
        let labels = fields.string_map("labels", findings);
        let variables = variables(&mut fields, findings);
        fields.finish(findings);
        if let Some(environment) = environment {
            hosts.insert(entry.key.clone(), HostSpec { environment, labels, variables });
        }
    }
    hosts
}

/// Takes the key `variables`, whose names must be names of variables.
pub fn variables(fields: &mut Fields, findings: &mut Findings) -> BTreeMap<String, String> {
    if let Some(map) = fields.take("variables").and_then(Node::as_map) {
        for entry in map.iter().filter(|it| !is_variable_name(&it.key)) {
            let message = format!("`{}` is not a name for a variable", entry.key.escape_debug());
            let hint = "names of variables hold letters, digits and `_`";
            findings.push(Finding::error(Code::VALUE, message).at(&entry.place).hint(hint));
        }
    }
    fields.string_map("variables", findings)
}

fn is_variable_name(name: &str) -> bool {
    name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')
        && name.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
}

/// Reads a text of one line, with its place.
pub(super) fn text(node: &Node, what: &str, findings: &mut Findings) -> Option<Located<String>> {
    let value = decode::text(node, what, findings)?.to_owned();
    if value.chars().any(char::is_control) {
        decode::wrong_value(node, format!("`{what}` holds a control character"), findings);
        return None;
    }
    Some(Located { value, place: node.place.clone() })
}

/// Gives texts their places.
pub(super) fn located(texts: Vec<(String, Place)>) -> Vec<Located<String>> {
    texts.into_iter().map(|(value, place)| Located { value, place }).collect()
}

/// The names that exist, for whoever refers to them.
struct Known<'a> {
    kind: &'static str,
    names: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn new(kind: &'static str, names: impl Iterator<Item = &'a String>) -> Self {
        Known { kind, names: names.map(String::as_str).collect() }
    }

    fn check(&self, name: &str, place: &Place, findings: &mut Findings) {
        if self.names.contains(name) {
            return;
        }
        let message = format!("there is no {} `{}`", self.kind, name.escape_debug());
        let finding = Finding::error(Code::REFERENCE, message).at(place);
        // A suggestion looks at every name, so in a hostile file not every mistake gets one.
        let is_early = findings.iter().len() < 100;
        let near = if is_early { nearest(name, self.names.iter().copied()) } else { None };
        findings.push(match near {
            Some(near) => finding.hint(format!("did you mean `{near}`?")),
            None => finding,
        });
    }
}

/// Pushes an error for each name that refers to nothing.
fn check_references(manifest: &Manifest, findings: &mut Findings) {
    let environments = Known::new("environment", manifest.environments.keys());
    let configurations = Known::new("configuration", manifest.configurations.keys());
    let targets = Known::new("target", manifest.targets.iter().map(|it| &it.name));
    for host in manifest.hosts.values() {
        environments.check(&host.environment.value, &host.environment.place, findings);
    }
    for configuration in manifest.configurations.values() {
        for name in configuration.schema_version.environments.keys() {
            environments.check(name, &configuration.place, findings);
        }
    }
    for target in &manifest.targets {
        // Targets of agent.yaml stand outside any list of environments.
        for name in target.environments.iter().flatten().filter(|_| !environments.names.is_empty()) {
            environments.check(&name.value, &name.place, findings);
        }
        for name in target.files.iter().filter_map(|it| it.kind.configuration()) {
            configurations.check(&name.value, &name.place, findings);
        }
        for name in &target.after {
            targets.check(&name.value, &name.place, findings);
        }
    }
    // A target that the manifest no longer has is named by its folder.
    for name in manifest.allow_removal.iter().filter(|it| !it.value.starts_with('/')) {
        targets.check(&name.value, &name.place, findings);
    }
}
