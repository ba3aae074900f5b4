//! What people copy: each config repository in `examples/` passes `headfast check` without a single finding, and the
//! manifests and settings in the documents are read without one.

use headfast::document::{self, Format, Limits, MergeKeys};
use headfast::finding::Findings;
use headfast::{manifest, settings};
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

#[track_caller]
fn passes(name: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_headfast"))
        .args(["check", "--format", "json"])
        .arg(folder(name))
        .env_clear()
        .output()
        .expect("headfast runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).expect("the report is JSON");
    assert_eq!(report["findings"], serde_json::json!([]), "{stderr}");
}

#[test]
fn nginx_site_passes_check() {
    passes("nginx-site");
}

#[test]
fn prometheus_node_passes_check() {
    passes("prometheus-node");
}

#[test]
fn app_with_environments_passes_check() {
    passes("app-with-environments");
}

/// Copies a folder; outside of a repository no line has a commit, so what is printed stays the same.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("makes a folder");
    for entry in std::fs::read_dir(from).expect("the folder is readable") {
        let entry = entry.expect("the entry is readable");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("the entry has a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("copies");
        }
    }
}

/// Returns the commands of the console blocks, each with what the document says that it prints.
fn sessions(text: &str) -> Vec<(&str, &str)> {
    let blocks = text.split("```console\n").skip(1).filter_map(|it| it.split("```").next());
    let sessions = blocks.flat_map(|it| it.split("$ ").skip(1));
    sessions.map(|it| it.split_once('\n').expect("a command ends")).collect()
}

#[test]
fn the_readmes_of_the_examples_print_what_headfast_prints() {
    let place = tempfile::tempdir().expect("a folder");
    copy(&folder(""), &place.path().join("examples"));
    for name in ["nginx-site", "prometheus-node", "app-with-environments"] {
        let text = std::fs::read_to_string(folder(name).join("README.md")).expect("there is one");
        let mut verbs = Vec::new();
        for (command, said) in sessions(&text) {
            let words: Vec<&str> = command.split(' ').collect();
            assert_eq!(words[0], "headfast", "{name}: {command}");
            verbs.push(words[1]);
            let mut headfast = Command::new(env!("CARGO_BIN_EXE_headfast"));
            let output =
                headfast.args(&words[1..]).env_clear().current_dir(place.path()).output().expect("headfast runs");
            assert_eq!(output.status.code(), Some(0), "{name}: {command}: {}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(String::from_utf8_lossy(&output.stdout), said, "{name}: {command}");
        }
        for verb in ["check", "why"] {
            assert!(verbs.contains(&verb), "examples/{name}/README.md does not show `headfast {verb}`");
        }
    }
}

#[test]
fn every_example_is_tested_and_complete() {
    let tested = include_str!("examples.rs");
    for entry in std::fs::read_dir(folder("")).expect("there are examples") {
        let name = entry.expect("the entry is readable").file_name().to_string_lossy().into_owned();
        assert!(tested.contains(&format!("passes(\"{name}\")")), "examples/{name} has no test");
        for file in ["headfast.yaml", "README.md", "agent.example.yaml"] {
            assert!(folder(&name).join(file).is_file(), "examples/{name} has no {file}");
        }
    }
}

/// Reads settings from a file of our own: a checkout may belong to anyone, and the agent believes root and its own user.
#[track_caller]
fn settings_of(name: &str, text: &str) -> settings::Settings {
    let own = tempfile::tempdir().expect("a folder");
    let path = own.path().join("agent.yaml");
    std::fs::write(&path, text).expect("writes");
    settings::load(&path).unwrap_or_else(|error| panic!("{name}: {:?}", error.findings))
}

/// What headfast says about an agent.yaml must never be that a key in it is wrong; files that it names are another matter.
#[test]
fn the_settings_of_the_examples_are_read() {
    for name in ["nginx-site", "prometheus-node", "app-with-environments"] {
        let text = std::fs::read_to_string(folder(name).join("agent.example.yaml")).expect("there is one");
        let settings = settings_of(name, &text);
        let manifest = std::fs::read_to_string(folder(name).join("headfast.yaml")).expect("there is one");
        let host = format!("\n  {}: {{environment: {}", settings.host, settings.repositories[0].environment);
        assert!(manifest.contains(&host), "{name}: the host of agent.example.yaml is not one of headfast.yaml");
    }
}

/// Returns the YAML blocks of a document, and the files that its console blocks write.
fn blocks(text: &str) -> Vec<&str> {
    let fenced = text.split("```yaml\n").skip(1).filter_map(|it| it.split("\n```").next());
    let written = text.split("<<'END'\n").skip(1).filter_map(|it| it.split("\nEND\n").next());
    fenced.chain(written).collect()
}

#[test]
fn the_manifests_and_settings_of_the_documents_are_read() {
    let (mut n_manifests, mut n_settings) = (0, 0);
    for name in ["README.md", "docs/manifest.md", "docs/agent.md"] {
        let text = std::fs::read_to_string(folder("..").join(name)).expect("the document is there");
        for block in blocks(&text) {
            if block.starts_with("version:") {
                n_manifests += 1;
                let mut findings = Findings::new();
                let (file, limits) = (name.into(), Limits::default());
                let bytes = block.as_bytes();
                let node = document::parse(Format::Yaml, &file, bytes, &limits, MergeKeys::Refuse, &mut findings);
                node.and_then(|it| manifest::load(&it, &mut findings));
                assert!(findings.is_empty(), "{name}: {findings:?}");
            } else if block.lines().any(|it| it == "repositories:") {
                n_settings += 1;
                settings_of(name, block);
            }
        }
    }
    assert_eq!((n_manifests, n_settings), (3, 2), "a document no longer has what this test looks for");
}
