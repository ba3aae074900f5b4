//! docs/schema/agent.schema.json, held against the parser.

use super::{EXAMPLE, Host};
use crate::config::testing::editor::{Editor, filled, node};
use crate::document::{Format, Node, emit};
use crate::finding::Findings;
use serde_json::Value as Json;

const SCHEMA: &str = include_str!("../../../docs/schema/agent.schema.json");
const MANIFEST: &str = include_str!("../../../docs/schema/headfast.schema.json");

/// What the example of the design has not.
const MORE: &str = r#"
repositories:
  - name: site
    url: https://git.example.org/site.git
    tag: "v*"
    environment: production
    allow: {remotes: ["https://conf.example.org/shared/"]}
    auth: {token_file: t, username: u, ca_file: c}
    poll: 0
    verify: {mode: off}
    drift: {mode: off, scan: "* * * * *", timezone: Europe/Paris}
    windows: [{deny: "0 0 24 12 *", for: 3d}]
    rollback: {automatic: false, push: off}
    status: [{provider: notes, post: problems}, {provider: github, token_file: t, api_url: "https://github.example.org/api/v3"}]
  - name: other
    url: /srv/git/other.git
    commit: 0123456789abcdef0123456789abcdef01234567
    environment: production
    env_file: more.env
    targets:
      - {name: app, path: /srv/other, files: [{copy: files}]}
"#;

/// All that the targets of a repository without a manifest may have.
const TARGETS: &str = r#"
repositories:
  - name: site
    url: /srv/git/site.git
    branch: main
    environment: production
    targets:
      app:
        path: /srv/app
        files:
          - {copy: files, to: x/}
          - {template: t, configuration: app}
          - {write: app, configuration: app, select: a.b, format: yaml}
        on: {host: "web-*", labels: {role: web}}
        environments: [production]
        owner: root
        group: "0"
        mode: "0640"
        overrides: [{match: "bin/**", owner: root, group: "0", mode: "0755"}]
        publish: in-place
        prune: owned
        ignore: ["*.local"]
        check: [{command: [/bin/true], when: ["*.conf"], within: 5s}]
        reload: [{unit: a.service, action: restart, when: [x], within: 1m}, {command: [/bin/true, x]}]
        probe:
          - {http: "http://127.0.0.1/", expect: 204, within: 1m, settle: 0}
          - {tcp: "127.0.0.1:80"}
          - {command: [/bin/true]}
          - {unit: a.service}
        after: []
        drift: report
"#;

/// Reads a document as the agent does; what it names exists.
fn read(host: &Host, document: &Node) -> Findings {
    let text = emit(document, Format::Json).expect("JSON holds it");
    host.load(&text).err().map(|it| it.findings).unwrap_or_default()
}

fn text(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn editor() -> Editor {
    let host = Host::new();
    host.write("more.env", "A=b\n", 0o600);
    let mut editor = Editor::new(SCHEMA, move |it| read(&host, it));
    // The targets of a repository are read as those of a manifest are.
    editor.place = |what| if what.starts_with("targets") { format!("repositories.0.{what}") } else { what.to_owned() };
    // A systemd credential may stand in for the file.
    editor.is_excused = |_, message| message.contains("token_file` is missing");
    editor
}

#[test]
fn the_schema_of_the_settings_has_the_keys_and_choices_that_are_read() {
    let documents = [node(EXAMPLE), node(MORE), node(TARGETS)];
    editor().keys_are_those_of_the_parser(&documents);
    let unsupported = ["gitlab", "gitea", "forgejo", "bitbucket", "azure"];
    editor().choices_are_those_of_the_parser(&documents, &unsupported);
}

#[test]
fn every_agent_yaml_of_examples_and_documents_fits_its_schema() {
    let editor = editor();
    for path in
        ["examples/nginx-site", "examples/prometheus-node", "examples/app-with-environments", "src/cli/init/starter"]
    {
        editor.accepts(path, &node(&text(&format!("{path}/agent.example.yaml"))));
    }
    editor.accepts("the demo", &node(&filled(&text("src/cli/demo/agent.yaml"))));
    let mut n_blocks = 0;
    for name in ["README.md", "docs/agent.md"] {
        let document = text(name);
        let fenced = document.split("```yaml\n").skip(1).filter_map(|it| it.split("\n```").next());
        let written = document.split("<<'END'\n").skip(1).filter_map(|it| it.split("\nEND\n").next());
        for block in fenced.chain(written) {
            let indented = block.replace('\n', "\n    ");
            let whole = if block.lines().any(|it| it == "repositories:") {
                block.to_owned()
            } else if block.starts_with("windows:") {
                format!("repositories:\n  - name: x\n    url: /x\n    branch: x\n    environment: x\n    {indented}\n")
            } else {
                continue;
            };
            editor.validates(name, &node(&whole));
            n_blocks += 1;
        }
    }
    assert!(n_blocks > 2, "only {n_blocks} blocks were found");
    let documents = text("docs/agent.md") + &text("docs/manifest.md");
    for name in editor.properties() {
        let is_there = ["`", "."].iter().any(|before| documents.contains(&format!("{before}{name}`")));
        assert!(is_there || name == "listen" || name == "age", "the documents do not mention `{name}`");
    }
}

#[test]
fn what_is_wrong_in_an_agent_yaml_is_wrong_for_its_schema() {
    editor().wrong_types_are_refused_alike(&node(EXAMPLE));
    editor().wrong_types_are_refused_alike(&node(MORE));
}

/// A schema cannot refer to another file that an editor may not find, so what both have is written twice.
#[test]
fn targets_are_alike_in_both_schemas() {
    let [settings, manifest]: [Json; 2] = [SCHEMA, MANIFEST].map(|it| serde_json::from_str(it).expect("JSON"));
    let names = |it: &Json| it["$defs"].as_object().expect("a map").keys().cloned().collect::<Vec<_>>();
    let shared = names(&settings).into_iter().filter(|it| manifest["$defs"].get(it).is_some() && it != "host");
    let mut n_shared = 0;
    for name in shared {
        assert_eq!(settings["$defs"][&name], manifest["$defs"][&name], "{name}");
        n_shared += 1;
    }
    assert!(n_shared > 12, "only {n_shared} definitions are shared");
}
