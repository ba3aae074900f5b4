use super::*;
use crate::config::testing::lines;
use crate::document::{self, Entry, MergeKeys};
use crate::manifest;
use crate::revision::{EntryKind, MemoryTree};
use serde_json::{Value as Json, json};

const HEADFAST: &str = "version: 1
environments:
  staging: {type: staging, variables: {DOMAIN: staging.example.org}}
  production: {type: production}
configurations:
  app:
    layers:
      - config/app.yaml
      - config/{{ environment }}/app.json
      - config/hosts/{{ host }}.yaml?
      - config/roles/{{ labels.role }}.yaml?
      - env:APP_
    schema: schemas/app.yaml
  plain:
    layers: [config/plain.toml]
targets: {}
";
const SCHEMA: &str = "properties:
  server:
    properties:
      port: {type: integer, default: 80}
      host: {type: string}
";
const APP: &str = "server:\n  host: ${HOST:-localhost}\nurl: https://${DOMAIN}/\nlist: [1, 2]\n";

fn facts() -> Facts {
    let variable = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
    Facts {
        host: "web-1".into(),
        environment: "staging".into(),
        labels: [("role", "web")].map(variable).into(),
        variables: [("APP_SERVER__PORT", "8081"), ("DOMAIN", "host.example.org")].map(variable).into(),
    }
}

fn tree(changes: &[(&str, &str)]) -> MemoryTree {
    let mut tree = MemoryTree::new([
        ("headfast.yaml", HEADFAST),
        ("schemas/app.yaml", SCHEMA),
        ("config/app.yaml", APP),
        ("config/staging/app.json", r#"{"list": [3]}"#),
        ("config/hosts/web-2.yaml", "list: [4]\n"),
        ("config/plain.toml", "a.b = 1\n"),
    ]);
    for (path, text) in changes {
        tree.insert(path, EntryKind::File { executable: false }, text.as_bytes());
    }
    tree
}

fn load(changes: &[(&str, &str)], facts: &Facts) -> (Option<Configuration>, String) {
    let mut findings = Findings::new();
    let tree = tree(changes);
    let manifest = manifest::read(&tree, &mut findings).expect("it is valid");
    let configuration = ConfigurationManager::new(&tree, &manifest, facts, &Plain).load("app", &mut findings);
    if let Some(configuration) = &configuration.configuration {
        validate_configuration(configuration, &mut findings);
    }
    (configuration.configuration, lines(&findings).join("\n"))
}

#[track_caller]
fn values(changes: &[(&str, &str)], facts: &Facts) -> Json {
    let (configuration, findings) = load(changes, facts);
    assert_eq!(findings, "");
    configuration.expect("it is loaded").merged.to_json()
}

/// Opens plain documents, and in migrating them takes `old` for the name that `new` had in version 1.
struct Plain;

impl Documents for Plain {
    fn open(&self, file: &Arc<str>, bytes: &[u8], format: Format, findings: &mut Findings) -> Option<Document> {
        let node = document::parse(format, file, bytes, &Limits::default(), MergeKeys::Apply, findings)?;
        Some(Document { is_sealed: node.get("sealed").is_some(), node: node.into() })
    }

    fn migrations(
        &self,
        tree: &dyn Tree,
        folder: &Located<String>,
        findings: &mut Findings,
    ) -> Option<Box<dyn Migrations>> {
        let file = tree.read_file(&format!("{}/0002-add.yaml", folder.value), 9, &folder.place);
        let (_, content) =
            file.map_err(|it| findings.push(it)).ok()?.unwrap_or_else(|| (ObjectId::new(""), b"true".into()));
        Some(Box::new(Adds(serde_json::from_slice(&content).expect("is JSON"))))
    }
}

/// Migrations that add a value.
struct Adds(Json);

impl Migrations for Adds {
    fn document(&self, node: Node, from: u32, to: u32, _: &mut Findings) -> Option<MigratedDocument> {
        assert_eq!((from, to), (1, 2));
        let below = crate::config::testing::tree("m/0002-add.yaml", json!({"added": self.0, "new": 0}));
        let Value::Map(map) = node.value else { return None };
        let rename = |it: Entry| Entry { key: it.key.replace("old", "new"), ..it };
        let node = Node { value: Value::Map(map.into_iter().map(rename).collect()), ..node };
        Some(MigratedDocument { node, below: Some(below), note: Some("was migrated".into()) })
    }
}

#[test]
fn x08_what_is_missing_or_corrupt_is_an_error_and_all_of_it_is_named() {
    let headfast = HEADFAST.replace("config/hosts/{{ host }}.yaml?", "config/hosts/{{ host }}.yaml");
    let broken = [
        ("headfast.yaml", headfast.as_str()),
        ("config/app.yaml", "a: [1\n"),
        ("config/staging/app.json", "[1, 2]"),
        ("schemas/app.yaml", "type: objekt\n"),
    ];
    let (configuration, findings) = load(&broken, &facts());
    assert!(configuration.is_none());
    insta::assert_snapshot!(findings, @r#"
    schemas/app.yaml:1:7 E_SCHEMA_INVALID type: "objekt" fits none of the 2 alternatives of the schema [the nearest alternative says: type: "objekt" is not one of "array", "boolean", "integer", "null", "number", "object", "string"; did you mean "object"?]
    config/app.yaml:1:4 E_SYNTAX unclosed bracket '['
    config/staging/app.json:1:1 E_SHAPE a layer must be a map, found a list
    headfast.yaml:10:9 E_LAYER_MISSING the repository has no `config/hosts/web-1.yaml` [did you mean `config/hosts/web-2.yaml`? A layer that may be absent ends in `?`]
    "#);
}

#[test]
fn m15_an_empty_layer_sets_nothing_and_one_that_is_null_is_refused() {
    for text in ["", "# only a comment\n", "{}\n"] {
        assert_eq!(values(&[("config/app.yaml", text)], &facts())["list"], json!([3]));
    }
    let (configuration, findings) = load(&[("config/app.yaml", "null\n")], &facts());
    assert!(configuration.is_none());
    assert_eq!(findings, "config/app.yaml:1:1 E_SHAPE a layer must be a map, found null");
}

#[test]
fn what_the_manifest_does_not_have_is_an_error() {
    let mut findings = Findings::new();
    let (tree, facts) = (tree(&[]), facts());
    let manifest = manifest::read(&tree, &mut findings).expect("it is valid");
    assert!(
        ConfigurationManager::new(&tree, &manifest, &facts, &Plain).load("ap", &mut findings).configuration.is_none()
    );
    assert_eq!(lines(&findings), [" E_REFERENCE there is no configuration `ap` [did you mean `app`?]"]);
}

#[test]
fn a_version_must_be_a_number_that_versions_have() {
    let headfast = HEADFAST.replace("    schema: ", "    schema_version: 2\n    schema: ");
    for (text, code) in [("0", "E_VALUE"), ("-1", "E_VALUE"), ("4294967296", "E_VALUE"), ("'1'", "E_TYPE")] {
        let layer = format!("schema_version: {text}\n");
        let (configuration, findings) = load(&[("headfast.yaml", &headfast), ("config/app.yaml", &layer)], &facts());
        assert!(configuration.is_none());
        assert!(findings.starts_with(&format!("config/app.yaml:1:17 {code} `schema_version`")), "{findings}");
    }
}

#[test]
fn inputs_and_sealed_ids_are_listed_also_when_a_layer_cannot_be_used() {
    let tree = tree(&[("config/app.yaml", "sealed: 1\n"), ("config/staging/app.json", "[")]);
    let (facts, mut findings) = (facts(), Findings::new());
    let manifest = manifest::read(&tree, &mut findings).expect("it is valid");
    let loaded = ConfigurationManager::new(&tree, &manifest, &facts, &Plain).load("app", &mut findings);
    assert!(loaded.configuration.is_none());
    assert_eq!(loaded.inputs, ["schemas/app.yaml", "config/app.yaml", "config/staging/app.json"]);
    let id = (&tree as &dyn Tree).find("config/app.yaml").expect("it is read").expect("it exists").id;
    assert_eq!(loaded.sealed, [id]);
}

#[test]
fn a_layer_that_two_configurations_need_is_as_wrong_for_each() {
    let headfast = HEADFAST.replace("layers: [config/plain.toml]", "layers: [config/app.yaml]");
    let tree = tree(&[("headfast.yaml", &headfast), ("config/app.yaml", "a: 1\na: 2\n- x")]);
    let (facts, mut findings) = (facts(), Findings::new());
    let manifest = manifest::read(&tree, &mut findings).expect("it is valid");
    let wrong = ConfigurationManager::new(&tree, &manifest, &facts, &Plain).validate_all();
    assert_eq!(wrong.len(), 2);
    assert_eq!(wrong["app"], wrong["plain"]);
}

#[test]
fn a_label_that_the_host_lacks_is_an_error_in_a_path() {
    let (configuration, findings) = load(&[], &Facts { labels: BTreeMap::new(), ..facts() });
    assert!(configuration.is_none());
    assert!(
        findings.contains("E_UNDEFINED the path `config/roles/{{ labels.role }}.yaml` uses `labels.role`"),
        "{findings}"
    );
}

#[test]
fn a_link_or_a_folder_is_no_layer() {
    let mut tree = tree(&[]);
    tree.insert("config/app.yaml", EntryKind::Link, b"/etc/shadow");
    let (facts, mut findings) = (facts(), Findings::new());
    let manifest = manifest::read(&tree, &mut findings).expect("it is valid");
    let loaded = ConfigurationManager::new(&tree, &manifest, &facts, &Plain).load("app", &mut findings);
    assert!(loaded.configuration.is_none());
    assert_eq!(lines(&findings), ["headfast.yaml:8:9 E_SHAPE `config/app.yaml` is a symbolic link, not a file"]);
}

#[test]
fn m06_m09_layers_are_merged_across_formats_and_variables_are_on_top() {
    let expected = json!({
        "server": {"port": 8081, "host": "localhost"},
        "url": "https://staging.example.org/",
        "list": [3],
    });
    assert_eq!(values(&[], &facts()), expected);
    let other = Facts { host: "web-2".into(), ..facts() };
    assert_eq!(values(&[], &other)["list"], json!([4]));
}

#[test]
fn m10_x09_the_environments_variables_come_before_the_hosts() {
    let production = Facts { environment: "production".into(), ..facts() };
    let changes = [("config/production/app.json", "{}\n")];
    assert_eq!(values(&changes, &production)["url"], json!("https://host.example.org/"));
}

#[test]
fn an_unset_variable_does_not_break_the_schema_as_well() {
    let (configuration, findings) = load(
        &[("config/staging/app.json", r#"{"server": {"port": "${NO}"}}"#)],
        &Facts { variables: BTreeMap::new(), ..facts() },
    );
    assert!(configuration.is_some());
    insta::assert_snapshot!(findings, @r"config/staging/app.json:1:21 E_VARIABLE server.port: `${NO}` has no value and no default [set `NO`, or give a default: `${NO:-…}`; `$${` is the text itself]");
}

#[test]
fn e14_documents_are_migrated_one_by_one_and_their_version_is_taken_out() {
    let headfast = HEADFAST.replace("    schema: ", "    schema_version: 2\n    migrations: m\n    schema: ");
    let tree = tree(&[
        ("headfast.yaml", &headfast),
        ("config/app.yaml", "schema_version: 1\nold: 1\nserver: {host: 5}\n"),
        ("config/staging/app.json", r#"{"schema_version": 2, "x": 1}"#),
        ("schemas/app.yaml", SCHEMA),
    ]);
    let mut findings = Findings::new();
    let manifest = manifest::read(&tree, &mut findings).expect("it is valid");
    let facts = facts();
    let manager = ConfigurationManager::new(&tree, &manifest, &facts, &Plain);
    let configuration = manager.load("app", &mut findings).configuration.expect("it is loaded");
    assert_eq!(lines(&findings), [""; 0]);
    assert_eq!(configuration.source(), "defaults, migrations, config/app.yaml, config/staging/app.json, env:APP_");
    let expected = json!({"added": true, "new": 1, "server": {"host": 5, "port": 8081}, "x": 1});
    assert_eq!(configuration.merged.to_json(), expected);
    assert!(manager.load_valid("app", &mut findings).is_none());
    assert_eq!(
        lines(&findings),
        [
            "config/app.yaml:3:16 E_SCHEMA server.host: it must be text, not 5 [write it in quotes: \"5\"; the document was migrated]"
        ]
    );
}

#[test]
fn a_version_key_is_a_key_like_any_other_where_there_are_no_versions() {
    let changes = [("config/app.yaml", "schema_version: 7\n")];
    assert_eq!(values(&changes, &facts())["schema_version"], json!(7));
}

#[test]
fn m21_validate_all_lists_only_what_is_wrong() {
    let tree = tree(&[("config/staging/app.json", r#"{"server": {"host": 5}}"#)]);
    let manifest = manifest::read(&tree, &mut Findings::new()).expect("it is valid");
    let facts = facts();
    let wrong = ConfigurationManager::new(&tree, &manifest, &facts, &Plain).validate_all();
    assert_eq!(wrong.keys().map(String::as_str).collect::<Vec<_>>(), ["app"]);
}

#[test]
fn m28_a_valid_load_gives_nothing_when_invalid_and_warnings_do_not_block() {
    use crate::config::{Field, Kind, Rules};
    use crate::finding::Severity;
    let port = |severity| Field::new("server.port", Kind::Integer).range(1.0..=1024.0).severity(severity);
    let judged = |rules: Rules, changes: &[(&str, &str)]| {
        let (tree, facts, mut findings) = (tree(changes), facts(), Findings::new());
        let manifest = manifest::read(&tree, &mut findings).expect("it is valid");
        let manager = ConfigurationManager::new(&tree, &manifest, &facts, &Plain).with_rules("app", rules);
        let all = manager.validate_all().len();
        (manager.load_valid("app", &mut findings), lines(&findings), all)
    };
    let retries = Field::new("retries", Kind::Integer).default(Value::Int(3));
    let (found, told, all) = judged(Rules::default().field(port(Severity::Warning)).field(retries), &[]);
    assert_eq!(found.expect("a warning does not block").get("retries").map(Node::to_json), Some(json!(3)));
    assert_eq!((told.len(), all), (1, 1), "{told:?}");
    assert!(told[0].starts_with("env:APP_SERVER__PORT E_SCHEMA server.port: 8081 is greater"), "{told:?}");
    let (found, told, _) = judged(Rules::default().field(port(Severity::Error)), &[]);
    assert!(found.is_none() && told.len() == 1);
    let (found, told, _) = judged(Rules::default(), &[("config/app.yaml", "server: {host: 5}\n")]);
    assert!(found.is_none() && told.len() == 1, "the schema says no: {told:?}");
}

#[test]
fn a_memory_that_is_shared_changes_nothing() {
    let memory = Arc::new(Memory::default());
    let headfast = HEADFAST.replace("    schema: ", "    schema_version: 2\n    migrations: m\n    schema: ");
    let migrated = |folder: &str, added: &str| {
        let (headfast, file) = (headfast.replace(" m\n", &format!(" {folder}\n")), format!("{folder}/0002-add.yaml"));
        let old = "schema_version: 1\nold: 1\n";
        tree(&[("headfast.yaml", &headfast), ("config/app.yaml", old), (&file, added), ("m/README.md", "")])
    };
    let trees = [
        migrated("m", "1"),
        migrated("m", "2"),
        migrated("n", "2"),
        tree(&[("headfast.yaml", &headfast), ("m/0002-add.yaml", "3")]),
        tree(&[]),
        tree(&[("config/app.yaml", "server: {port: ${PORT:-many}}\nhost: ${NOBODY}\n")]),
        tree(&[("schemas/app.yaml", "properties: {list: {type: string}}\n")]),
        tree(&[("config/app.yaml", "a: [\n")]),
        tree(&[("schemas/app.yaml", "type: nothing\n")]),
    ];
    let mut others = vec![facts()];
    others.push(Facts { environment: "production".into(), ..facts() });
    others.push(Facts { host: "web-2".into(), ..facts() });
    others.push(Facts { variables: BTreeMap::from([("PORT".into(), "7".into())]), ..facts() });
    let mut n_wrong = 0;
    // Twice, so that what is remembered is used.
    for (tree, facts) in trees.iter().chain(&trees).flat_map(|tree| others.iter().map(move |it| (tree, it))) {
        let manifest = manifest::read(tree, &mut Findings::new()).expect("the manifest is right");
        let load = |manager: ConfigurationManager<'_>| {
            let mut findings = Findings::new();
            let judged = manager.load_judged("app", &mut findings);
            let plain = manager.load("app", &mut findings);
            (format!("{judged:?} {plain:?}"), findings)
        };
        let alone = load(ConfigurationManager::new(tree, &manifest, facts, &Plain));
        let shared = load(ConfigurationManager::new(tree, &manifest, facts, &Plain).with_memory(&memory));
        assert_eq!(shared, alone);
        n_wrong += usize::from(alone.1.has_errors());
    }
    assert!(n_wrong > 10, "mistakes are remembered, too: {n_wrong}");
    // What migrations made is remembered as well.
    let (tree, facts) = (&trees[0], facts());
    let manifest = manifest::read(tree, &mut Findings::new()).expect("the manifest is right");
    let load = || {
        let manager = ConfigurationManager::new(tree, &manifest, &facts, &Plain).with_memory(&memory);
        manager.load("app", &mut Findings::new()).configuration.expect("it is loaded").merged
    };
    assert!(Arc::ptr_eq(&load(), &load()));
}
