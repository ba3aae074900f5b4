//! What a repository and agent.yaml hold besides documents: each file of the examples damaged, and all of it read.

use super::damage::attack;
use super::{file, files_below};
use headfast::config::{ConfigSchema, InferOptions, NoRemotes, infer};
use headfast::document::{Format, Limits, MergeKeys, Node, parse};
use headfast::finding::Findings;
use headfast::manifest::{self, Facts};
use headfast::pipeline::{Inputs, render};
use headfast::revision::{EntryKind, MemoryTree};
use headfast::secrets::SecretManager;
use headfast::{policy, settings};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

/// An example, with a host that deploys something of it: its name, environment and labels.
type Example = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const EXAMPLES: [Example; 3] = [
    ("nginx-site", "web-1", "production", &[("role", "web")]),
    ("prometheus-node", "mon-1", "production", &[("role", "monitoring"), ("region", "eu")]),
    ("app-with-environments", "app-staging", "staging", &[("role", "app")]),
];

/// A repository, a file of it, and who deploys it.
struct Subject {
    tree: MemoryTree,
    path: String,
    facts: Facts,
}

const MODE: EntryKind = EntryKind::File { executable: false };

fn subjects() -> Vec<(Subject, Vec<u8>)> {
    let mut subjects = Vec::new();
    for (name, host, environment, labels) in EXAMPLES {
        let mut tree = MemoryTree::default();
        let paths = files_below(&format!("examples/{name}"));
        paths.iter().for_each(|it| tree.insert(it, MODE, &file(&format!("examples/{name}/{it}"))));
        let labels = labels.iter().map(|(key, it)| ((*key).to_owned(), (*it).to_owned())).collect();
        let facts = Facts { host: host.into(), labels, environment: environment.into(), variables: BTreeMap::new() };
        for path in paths.iter().filter(|it| !it.ends_with(".md") && !it.starts_with("agent")) {
            let subject = Subject { tree: tree.clone(), path: path.clone(), facts: facts.clone() };
            subjects.push((subject, file(&format!("examples/{name}/{path}"))));
        }
    }
    subjects
}

/// Renders, and asks the tests of the policies; returns whether there is a rendering.
fn deployed(tree: &MemoryTree, facts: &Facts) -> Result<bool, String> {
    let secrets = SecretManager::default();
    let mut findings = Findings::new();
    let inputs = Inputs {
        tree,
        facts,
        secrets: &secrets,
        remotes: &NoRemotes,
        targets: None,
        revision: &|_| "r".to_owned(),
        on_phase: &|_| {},
    };
    let rendered = render(&inputs, &mut findings);
    if let Some(manifest) = manifest::read(tree, &mut Findings::new()) {
        policy::test(tree, &manifest.policies, "", &mut Findings::new());
    }
    match rendered.is_some() == findings.has_errors() {
        true => Err(format!("rendered or not, the findings are {findings:?}")),
        false => Ok(rendered.is_some()),
    }
}

/// Whether a file is a program of a kind: it has a test of its own, because it takes more to break one.
fn is_program(path: &str) -> bool {
    path.ends_with(".rego") || path.ends_with(".j2") || path.starts_with("migrations/")
}

fn attack_files(n: u64, is_wanted: fn(&str) -> bool) {
    let subjects: Vec<_> = subjects().into_iter().filter(|(it, _)| is_wanted(&it.path)).collect();
    for (subject, _) in &subjects {
        assert_eq!(deployed(&subject.tree, &subject.facts), Ok(true), "an example is rendered");
    }
    attack(n, &subjects, |subject, text, _| {
        let mut tree = subject.tree.clone();
        tree.insert(&subject.path, MODE, text);
        deployed(&tree, &subject.facts).map(drop)
    });
}

/// Manifests, layers, schemas and files that are copied, and what is made of them.
#[test]
fn d16_repositories_are_rendered_or_refused_without_a_panic() {
    attack_files(60, |path| !is_program(path));
}

#[test]
fn d16_policies_templates_and_migrations_are_run_or_refused_without_a_panic() {
    attack_files(100, is_program);
}

#[test]
fn d16_manifests_are_read_without_a_panic() {
    let paths =
        ["examples/nginx-site", "examples/prometheus-node", "examples/app-with-environments", "src/cli/init/starter"];
    let corpus = paths.map(|it| ((), file(&format!("{it}/headfast.yaml"))));
    attack(600, &corpus, |(), text, _| {
        let mut tree = MemoryTree::default();
        tree.insert("headfast.yaml", MODE, text);
        let mut findings = Findings::new();
        match manifest::read(&tree, &mut findings).is_none() && !findings.has_errors() {
            true => Err("neither a manifest nor a mistake".to_owned()),
            false => Ok(()),
        }
    });
}

#[test]
fn d16_settings_are_read_without_a_panic() {
    let paths =
        ["examples/nginx-site", "examples/prometheus-node", "examples/app-with-environments", "src/cli/init/starter"];
    let corpus = paths.map(|it| ((), file(&format!("{it}/agent.example.yaml"))));
    let dir = tempfile::tempdir().expect("makes a folder");
    let path = dir.path().join("agent.yaml");
    attack(600, &corpus, |(), text, _| {
        std::fs::write(&path, text).expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("sets the mode");
        match settings::load(&path) {
            Err(error) if !error.findings.has_errors() => Err("neither settings nor a mistake".to_owned()),
            _ => Ok(()),
        }
    });
}

/// A schema judges, completes and explains documents, whatever it is.
#[test]
fn d16_schemas_are_read_and_asked_without_a_panic() {
    let ready = ["database", "logging", "model", "service"].map(|it| format!("src/config/ready/{it}.json"));
    let mut paths: Vec<String> = ready.to_vec();
    let examples = files_below("examples").into_iter().filter(|it| it.contains("schemas/"));
    paths.extend(examples.map(|it| format!("examples/{it}")));
    let corpus: Vec<_> = paths.iter().map(|it| ((), file(it))).collect();
    let documents = ["", "{}", "a: [1, x]\n", "server: {port: 1, host: ''}\nworkers: -1\nlevel: x\nurl: y\n"];
    let documents: Vec<Node> = documents.iter().filter_map(|it| node(it.as_bytes())).collect();
    attack(500, &corpus, |(), text, _| {
        let mut findings = Findings::new();
        let Some(schema) = ConfigSchema::parse(&Arc::from("s.json"), text, &mut findings) else {
            return if findings.has_errors() { Ok(()) } else { Err("neither a schema nor a mistake".to_owned()) };
        };
        for document in &documents {
            schema.validate(document, &mut Findings::new());
            schema.defaults_for(document);
        }
        let _may_be_refused = schema.template(Format::Yaml);
        for path in ["", "server", "server.port", "a.0"] {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            schema.types_at(&path);
            schema.names_at(&path);
        }
        // Any document at all, this one too, has a schema that it fits.
        let Some(document) = node(text) else { return Ok(()) };
        let made = infer(std::slice::from_ref(&document), InferOptions { enums: true, closed: true }).to_string();
        let mut findings = Findings::new();
        let made = ConfigSchema::parse(&Arc::from("made.json"), made.as_bytes(), &mut findings);
        let Some(made) = made else { return Err(format!("what was inferred is no schema: {findings:?}")) };
        made.validate(&document, &mut findings);
        if findings.has_errors() {
            Err(format!("what was inferred refuses its document: {findings:?}"))
        } else {
            Ok(())
        }
    });
}

fn node(text: &[u8]) -> Option<Node> {
    let mut findings = Findings::new();
    let node = parse(Format::Yaml, &"f".into(), text, &Limits::default(), MergeKeys::Apply, &mut findings);
    node.filter(|_| !findings.has_errors())
}

/// A file that was changed by anybody but SOPS is refused, unless what was changed is no part of what is encrypted.
#[test]
fn d16_secrets_are_opened_or_refused_without_a_panic() {
    let keys = ["k1", "k2", "k3"].map(|it| String::from_utf8(file(&format!("tests/fixtures/sops/keys/{it}.txt"))));
    let manager = SecretManager::new(&keys.map(|it| it.expect("is text"))).expect("the keys are valid");
    let paths = files_below("tests/fixtures/sops/valid").into_iter().filter(|it| it.contains(".enc."));
    let corpus: Vec<(Format, Vec<u8>)> = paths
        .filter_map(|it| Some((Format::of_path(&it)?, file(&format!("tests/fixtures/sops/valid/{it}")))))
        .collect();
    attack(300, &corpus, |format, text, _| {
        let mut findings = Findings::new();
        let opened = manager.decrypt(&Arc::from("f"), text, *format, &mut findings);
        match opened.is_none() && !findings.has_errors() {
            true => Err("neither opened nor refused".to_owned()),
            false => Ok(()),
        }
    });
}
