//! docs/schema/headfast.schema.json, held against the parser.

use super::EXAMPLE;
use crate::config::testing::editor::{Editor, filled, node};
use crate::document::Node;
use crate::finding::Findings;
use crate::manifest::load;

pub(crate) const SCHEMA: &str = include_str!("../../../docs/schema/headfast.schema.json");

/// What the example of the design has not.
const MORE: &str = r#"
version: 1
environments:
  production: {type: production, variables: {A: x}}
configurations:
  app: {layers: [a.yaml], schema_version: 2, version_key: v, migrations: m}
policies:
  - policies/base
  - {path: policies/files, over: files, match: ["*.toml"], packages: all, data: [limits.yaml]}
  - {path: policies/more, packages: [main, web]}
hosts:
  web-1: {environment: production, labels: {role: web}, variables: {B: "1"}}
targets:
  app:
    path: /srv/app
    files:
      - {copy: files, to: x/}
      - {template: t, configuration: app}
      - {write: app, configuration: app, select: a.b, format: yaml}
    overrides: [{match: "bin/**", owner: root, group: "0", mode: "0755"}]
    check: [{command: [/bin/true], when: ["*.conf"], within: 5s}]
    reload:
      - {unit: a.service, action: restart, when: [x], within: 1m}
      - {command: [/bin/true, x]}
    probe:
      - {http: "http://127.0.0.1/", expect: 204, within: 1m, settle: 0}
      - {tcp: "127.0.0.1:80"}
      - {command: [/bin/true]}
      - {unit: a.service}
    drift: report
"#;

fn read(document: &Node) -> Findings {
    let mut findings = Findings::new();
    load(document, &mut findings);
    findings
}

fn text(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn editor() -> Editor {
    Editor::new(SCHEMA, read)
}

#[test]
fn the_schema_of_the_manifest_has_the_keys_and_choices_that_are_read() {
    let documents = [node(EXAMPLE), node(MORE)];
    editor().keys_are_those_of_the_parser(&documents);
    editor().choices_are_those_of_the_parser(&documents, &[]);
}

#[test]
fn every_manifest_of_examples_and_documents_fits_its_schema() {
    let editor = editor();
    editor.accepts("the demo", &node(&filled(&text("src/cli/demo/repo/headfast.yaml"))));
    let examples = ["nginx-site", "prometheus-node", "app-with-environments"].map(|it| format!("examples/{it}"));
    for path in examples.iter().map(String::as_str).chain(["src/cli/init/starter"]) {
        editor.accepts(path, &node(&text(&format!("{path}/headfast.yaml"))));
    }
    let document = text("docs/manifest.md");
    let mut n_blocks = 0;
    for block in document.split("```yaml\n").skip(1).filter_map(|it| it.split("\n```").next()) {
        let first = block.split(':').next().unwrap_or_default();
        let indented = block.replace('\n', "\n    ");
        let whole = match first {
            "version" => block.to_owned(),
            "environments" => format!("version: 1\n{block}\ntargets: {{}}\n"),
            "configurations" | "policies" | "hosts" | "allow_removal" => {
                format!("version: 1\nenvironments: {{}}\n{block}\ntargets: {{}}\n")
            }
            "files" => format!("version: 1\nenvironments: {{}}\ntargets:\n  x:\n    path: /srv/x\n    {indented}\n"),
            "owner" | "check" => format!(
                "version: 1\nenvironments: {{}}\ntargets:\n  x:\n    path: /srv/x\n    files: []\n    {indented}\n"
            ),
            // A migration is a file of its own.
            "# migrations/app/0004-threads.yaml\n- rename" => continue,
            other => panic!("what is a block that begins with {other:?} a part of?"),
        };
        editor.validates(block, &node(&whole));
        n_blocks += 1;
    }
    assert!(n_blocks > 6, "only {n_blocks} blocks were found");
    for name in editor.properties() {
        assert!(document.contains(&format!("`{name}`")), "docs/manifest.md does not mention `{name}`");
    }
}

#[test]
fn what_is_wrong_in_a_manifest_is_wrong_for_its_schema() {
    editor().wrong_types_are_refused_alike(&node(EXAMPLE));
    editor().wrong_types_are_refused_alike(&node(MORE));
}
