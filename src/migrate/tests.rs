use super::*;
use crate::config::testing::{lines, tree};
use crate::manifest::Located;
use crate::revision::MemoryTree;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn load(files: &[(&str, &str)]) -> (Option<ConfigurationMigrator>, Vec<String>) {
    let mut findings = Findings::new();
    let files = files.iter().map(|(path, text)| (format!("m/{path}"), text.as_bytes().to_vec())).collect();
    (ConfigurationMigrator::load("m", files, &mut findings), lines(&findings))
}

#[track_caller]
fn migrator(files: &[(&str, &str)]) -> ConfigurationMigrator {
    let (migrator, findings) = load(files);
    assert_eq!(findings, [""; 0]);
    migrator.expect("the migrations are valid")
}

#[track_caller]
fn faults(files: &[(&str, &str)]) -> String {
    let (migrator, findings) = load(files);
    assert!(migrator.is_none(), "the migrations are accepted");
    findings.join("\n")
}

const RENAME: (&str, &str) = ("0002-rename-port.yaml", "- rename: {from: server.port, to: server.listen_port}\n");
const ADD: (&str, &str) = ("0003-tls.yaml", "- add: {path: server.tls, value: false}\n- remove: {path: legacy}\n");

/// Migrates there and back and checks the round trip; returns the document and what lies below all layers.
#[track_caller]
fn check(files: &[(&str, &str)], from: u32, to: u32, document: Json) -> (Json, Json) {
    let migrator = migrator(files);
    let original = tree("app.yaml", document);
    let mut findings = Findings::new();
    let there = migrator.migrate(original.clone(), from, to, &mut findings).expect("the way there");
    let back = migrator.migrate_back(there.node.clone(), there.remainder.clone(), to, from, &mut findings);
    let back = back.expect("the way back");
    assert_eq!(back.node, original);
    let again = migrator.migrate_back(back.node, back.remainder, from, to, &mut findings).expect("the way there again");
    assert_eq!(again.node, there.node);
    assert_eq!(lines(&findings), [""; 0]);
    (there.node.to_json(), there.below.map_or(json!({}), |it| it.to_json()))
}

fn refused(files: &[(&str, &str)], from: u32, to: u32, document: Json) -> String {
    let mut findings = Findings::new();
    assert!(migrator(files).migrate(tree("app.yaml", document), from, to, &mut findings).is_none());
    lines(&findings).join("\n")
}

#[test]
fn e9_a_file_that_cannot_be_read_is_reported_with_all_its_mistakes() {
    let text = "- rename: {from: a, to: a}\n- rename: {from: a}\n- ad: {path: a, value: 1}\n- add: {path: a..b, value: 1}\n\
                - add: {path: a}\n- convert: {path: a}\n- remove: {path: 5, x: 1}\n- add: {path: a, value: 1}\n  remove: {path: b}\n\
                - text\n- []\n";
    insta::assert_snapshot!(faults(&[("0002-a.yaml", text)]), @r"
    m/0002-a.yaml:1:3 E_MIGRATION `from` and `to` are the same
    m/0002-a.yaml:2:11 E_MISSING_KEY `rename.to` is missing
    m/0002-a.yaml:3:3 E_MIGRATION there is no operation `ad` [did you mean `add`?]
    m/0002-a.yaml:4:15 E_MIGRATION `a..b` is not a path of keys [write keys with dots between them: `server.port`]
    m/0002-a.yaml:5:8 E_MISSING_KEY `add.value` is missing
    m/0002-a.yaml:6:3 E_UNSUPPORTED the operation `convert` is not supported by this version of headfast [it knows rename, move, add, remove]
    m/0002-a.yaml:7:18 E_TYPE `remove.path` must be text, found a number [put the value in quotes]
    m/0002-a.yaml:7:21 E_UNKNOWN_KEY the key `remove.x` does not exist [the keys here are path, default]
    m/0002-a.yaml:8:3 E_MIGRATION an operation has one key, not 2 [begin each operation with `- `]
    m/0002-a.yaml:10:3 E_TYPE `operation` must be a map, found text
    m/0002-a.yaml:11:3 E_TYPE `operation` must be a map, found a list
    ");
    insta::assert_snapshot!(faults(&[("0002-a.yaml", "rename: {from: a, to: b}")]), @r"m/0002-a.yaml:1:1 E_MIGRATION a migration is a list of operations, not a map [write `- rename: {from: old.key, to: new.key}`, `- add: …` or `- remove: …`]");
    insta::assert_snapshot!(faults(&[("rename.yaml", "[]"), ("0000-zero.json", "[]"), ("0001-empty.yaml", "")]), @r"
    m/rename.yaml E_MIGRATION the name of a migration must begin with the version that it leads to [name it like `0002-rename-port.yaml`]
    m/0000-zero.json E_MIGRATION the name of a migration must begin with the version that it leads to [name it like `0002-rename-port.yaml`]
    m/0001-empty.yaml E_MIGRATION a migration is a list of operations, not null [write `- rename: {from: old.key, to: new.key}`, `- add: …` or `- remove: …`]
    ");
}

#[test]
fn e10_gaps_and_forks_are_found_when_the_folder_is_read() {
    insta::assert_snapshot!(
        faults(&[("0002-a.yaml", "[]"), ("0002-b.yaml", "[]"), ("0004-c.yaml", "[]")]),
        @r"
        m/0002-b.yaml E_MIGRATION_PATH `m/0002-a.yaml` and `m/0002-b.yaml` both lead to version 2 [put both into one file, or give one the next number]
        m/0004-c.yaml E_MIGRATION_PATH no migration leads to version 3, from which this one starts
        "
    );
}

#[test]
fn e10_m38_versions_without_a_path_are_refused() {
    insta::assert_snapshot!(refused(&[RENAME, ADD], 1, 4, json!({})), @r"m E_MIGRATION_PATH there is no path from version 1 to 4: no migration takes version 3 to 4 [add a file `0004-NAME.yaml` to `m`]");
    insta::assert_snapshot!(refused(&[RENAME, ADD], 3, 0, json!({})), @r"m E_MIGRATION_PATH there is no path from version 3 to 0: no migration takes version 0 to 1 [add a file `0001-NAME.yaml` to `m`]");
    insta::assert_snapshot!(refused(&[], 1, u32::MAX, json!({})), @r"m E_MIGRATION_PATH there is no path from version 1 to 4294967295: no migration takes version 1 to 2 [add a file `0002-NAME.yaml` to `m`]");
}

#[test]
fn x20_rename_onto_an_existing_key_is_refused() {
    insta::assert_snapshot!(refused(&[RENAME], 1, 2, json!({"server": {"port": 1, "listen_port": 2}})), @r"app.yaml:3:2 E_MIGRATION m/0002-rename-port.yaml: rename of `server.port` to `server.listen_port` cannot be done: the document has both `server.port` and `server.listen_port` [change the document or the migration]");
    insta::assert_snapshot!(refused(&[RENAME], 2, 1, json!({"server": {"port": 1, "listen_port": 2}})), @r"app.yaml:2:2 E_MIGRATION m/0002-rename-port.yaml: rename of `server.port` to `server.listen_port` cannot be done: the document has both `server.listen_port` and `server.port` [change the document or the migration]");
    let into_scalar = [("0002-a.yaml", "- rename: {from: a, to: b.c}")];
    insta::assert_snapshot!(refused(&into_scalar, 1, 2, json!({"a": 1, "b": 5})), @r"app.yaml:1:1 E_MIGRATION m/0002-a.yaml: rename of `a` to `b.c` cannot be done: `b` is not a map [change the document or the migration]");
}

#[test]
fn m38_the_same_version_changes_nothing() {
    assert_eq!(check(&[RENAME], 7, 7, json!({"server": {"port": 1}})), (json!({"server": {"port": 1}}), json!({})));
    let mut findings = Findings::new();
    let same = migrator(&[RENAME]).migrate(tree("a", json!({})), 7, 7, &mut findings).expect("nothing to do");
    assert_eq!((same.note(), same.remainder.is_empty()), (None, true));
}

#[test]
fn m39_x20_several_steps_in_order_whatever_the_order_of_the_files() {
    let document = json!({"legacy": 1, "server": {"host": "a", "port": 80}, "last": true});
    let expected = json!({"server": {"host": "a", "listen_port": 80}, "last": true});
    for files in [[RENAME, ADD], [ADD, RENAME]] {
        assert_eq!(check(&files, 1, 3, document.clone()), (expected.clone(), json!({"server": {"tls": false}})));
    }
    let mut findings = Findings::new();
    let migrated = migrator(&[RENAME, ADD]).migrate(tree("a", document), 1, 3, &mut findings).expect("migrated");
    let note = "was migrated from version 1 to 3 by m/0002-rename-port.yaml, m/0003-tls.yaml";
    assert_eq!(migrated.note().as_deref(), Some(note));
}

#[test]
fn m36_a_rename_moves_between_parents_and_empty_parents_go() {
    let files = [("0002-a.yaml", "- move: {from: a.b.c, to: x.y}\n")];
    let document = json!({"first": 1, "a": {"b": {"c": 5}}, "last": 2});
    assert_eq!(check(&files, 1, 2, document).0, json!({"first": 1, "last": 2, "x": {"y": 5}}));
    let document = json!({"x": {}, "a": {"b": {"c": 5, "d": 6}}});
    assert_eq!(check(&files, 1, 2, document).0, json!({"x": {"y": 5}, "a": {"b": {"d": 6}}}));
}

#[test]
fn a_rename_may_nest_and_hoist() {
    let files = [("0002-a.yaml", "- rename: {from: port, to: port.number}\n")];
    assert_eq!(
        check(&files, 1, 2, json!({"a": 1, "port": 80, "z": 1})).0,
        json!({"a": 1, "z": 1, "port": {"number": 80}})
    );
    let files = [("0002-a.yaml", "- rename: {from: port.number, to: port}\n")];
    assert_eq!(check(&files, 1, 2, json!({"a": 1, "port": {"number": 80}})).0, json!({"a": 1, "port": 80}));
}

#[test]
fn m37_what_a_partial_document_lacks_is_passed_over() {
    assert_eq!(check(&[RENAME, ADD], 1, 3, json!({"other": 1})).0, json!({"other": 1}));
    assert_eq!(check(&[RENAME, ADD], 1, 3, json!({})).0, json!({}));
    assert_eq!(check(&[RENAME, ADD], 1, 3, json!({"server": "text"})).0, json!({"server": "text"}));
}

#[test]
fn m37_add_keeps_a_value_that_is_there() {
    let document = json!({"server": {"tls": true}});
    assert_eq!(check(&[RENAME, ADD], 2, 3, document.clone()), (document, json!({"server": {"tls": false}})));
}

#[test]
fn what_is_supplied_goes_through_later_steps() {
    let files = [
        ("0002-a.yaml", "- add: {path: a, value: {x: 1}}\n- add: {path: b, value: 2}\n"),
        ("0003-b.yaml", "- rename: {from: a, to: deep.a}\n- remove: {path: b}\n"),
    ];
    assert_eq!(check(&files, 1, 3, json!({})), (json!({}), json!({"deep": {"a": {"x": 1}}})));
}

#[test]
fn the_way_down_drops_what_was_added_and_supplies_what_was_removed() {
    let files =
        [("0002-a.yaml", "- add: {path: new, value: 1}\n- remove: {path: old.key, default: 7}\n- remove: gone\n")];
    assert_eq!(check(&files, 2, 1, json!({"new": 5, "k": 1})), (json!({"k": 1}), json!({"old": {"key": 7}})));
}

#[test]
fn e11_a_document_that_is_there_already_stays_as_it_is() {
    let mut findings = Findings::new();
    let migrator = migrator(&[RENAME, ADD]);
    let once = migrator.migrate(tree("a", json!({"server": {"port": 1}})), 1, 3, &mut findings).expect("migrated");
    let twice = migrator.migrate(once.node.clone(), 3, 3, &mut findings).expect("nothing to do");
    assert_eq!(twice.node, once.node);
}

#[test]
fn an_edit_between_the_ways_is_kept() {
    let mut findings = Findings::new();
    let migrator = migrator(&[RENAME, ADD]);
    let original = tree("a", json!({"server": {"port": 1}, "legacy": {"x": 1}}));
    let up = migrator.migrate(original, 1, 3, &mut findings).expect("migrated");
    let edited = tree("a", json!({"server": {"listen_port": 2, "tls": true}, "legacy": 5, "new": 1}));
    let down = migrator.migrate_back(edited, up.remainder, 3, 1, &mut findings).expect("migrated back");
    assert_eq!(down.node.to_json(), json!({"server": {"port": 2}, "legacy": 5, "new": 1}));
    assert_eq!(lines(&findings), [""; 0]);
}

#[test]
fn the_folder_is_read_from_a_revision() {
    let tree =
        MemoryTree::new([("m/0002-a.yaml", "- remove: x\n"), ("m/README.md", "no migration"), ("m/sub/x.yaml", "")]);
    let folder = |path: &str| Located { value: path.to_owned(), place: Place::whole("headfast.yaml") };
    let mut findings = Findings::new();
    let migrator = ConfigurationMigrator::read(&tree, &folder("m"), &mut findings);
    assert_eq!(migrator.and_then(|it| it.newest()), Some(2));
    assert!(ConfigurationMigrator::read(&tree, &folder("none"), &mut findings).is_none());
    assert_eq!(lines(&findings), ["headfast.yaml E_SOURCE_MISSING the repository has no `none`"]);
}

/// Small documents over few keys, so that operations hit often.
fn document() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![any::<u8>().prop_map(|it| json!(it)), Just(json!(null)), Just(json!({}))];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::vec((prop::sample::select(vec!["a", "b", "c"]), inner), 0..3)
            .prop_map(|entries| Json::Object(entries.into_iter().map(|(key, it)| (key.to_owned(), it)).collect()))
    })
}

fn key_path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|it| it.join("."))
}

fn operation() -> impl Strategy<Value = String> {
    prop_oneof![
        (key_path(), key_path())
            .prop_filter("they differ", |(from, to)| from != to)
            .prop_map(|(from, to)| { format!("- rename: {{from: {from}, to: {to}}}\n") }),
        key_path().prop_map(|path| format!("- add: {{path: {path}, value: 1}}\n")),
        key_path().prop_map(|path| format!("- remove: {{path: {path}, default: 2}}\n")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn e12_down_after_up_is_the_original_and_up_after_down_too(
        document in document(),
        operations in prop::collection::vec(prop::collection::vec(operation(), 1..4), 1..4),
        downwards in any::<bool>(),
    ) {
        let files: Vec<(String, String)> =
            operations.iter().enumerate().map(|(idx, it)| (format!("{:04}.yaml", idx + 2), it.concat())).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let migrator = migrator(&files);
        let ends = (1, 1 + u32::try_from(operations.len()).expect("few"));
        let (from, to) = if downwards { (ends.1, ends.0) } else { ends };
        let original = tree("app.yaml", document);
        let mut findings = Findings::new();
        // Steps that cannot be done are refused, which is right; the others must come back.
        let Some(there) = migrator.migrate(original.clone(), from, to, &mut findings) else {
            prop_assert!(findings.has_errors());
            return Ok(());
        };
        let back = migrator.migrate_back(there.node.clone(), there.remainder, to, from, &mut findings);
        let back = back.ok_or_else(|| TestCaseError::fail(format!("no way back: {:?}", lines(&findings))))?;
        prop_assert_eq!(&back.node, &original);
        let again = migrator.migrate_back(back.node, back.remainder, from, to, &mut findings);
        prop_assert_eq!(again.map(|it| it.node), Some(there.node));
    }
}
