use super::*;
use crate::document::{Entry, Limits, Map, MergeKeys, parse};
use crate::finding::Findings;
use crate::place::Place;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn node(value: Value) -> Node {
    Node::new(value, Place::whole("made"))
}

/// Makes a tree from JSON, for tests that write their input as `json!`.
fn tree(json: &Json) -> Node {
    node(match json {
        Json::Null => Value::Null,
        Json::Bool(it) => Value::Bool(*it),
        Json::Number(it) => match it.as_i128() {
            Some(it) => Value::Int(it),
            None => Value::Float(it.as_f64().expect("a double")),
        },
        Json::String(it) => Value::String(it.clone()),
        Json::Array(items) => Value::List(items.iter().map(tree).collect()),
        Json::Object(map) => {
            let mut out = Map::new();
            for (key, value) in map {
                out.insert(Entry { key: key.clone(), place: Place::whole("made"), node: tree(value) });
            }
            Value::Map(out)
        }
    })
}

#[track_caller]
fn reread(text: &str, format: Format) -> Node {
    let mut findings = Findings::new();
    let limits = Limits::default();
    let node = parse(format, &"f".into(), text.as_bytes(), &limits, MergeKeys::Refuse, &mut findings);
    assert!(findings.is_empty(), "{findings:?} in\n{text}");
    node.expect("a tree")
}

#[track_caller]
fn survives(json: &Json, format: Format) {
    let text = emit(&tree(json), format).expect("the format holds it");
    assert_eq!(reread(&text, format).to_json(), *json, "\n{text}");
}

#[track_caller]
fn refused(json: Json, format: Format) -> String {
    let finding = emit(&tree(&json), format).expect_err("the format cannot hold it");
    assert_eq!((finding.code, finding.place.is_some()), (Code::FORMAT, true));
    finding.message
}

const TEXTS: [&str; 60] = [
    "",
    "no",
    "yes",
    "On",
    "y",
    "N",
    "true",
    "False",
    "null",
    "Null",
    "~",
    "0644",
    "0o17",
    "0x1F",
    "1.10",
    "1e3",
    "1_000",
    "1:30",
    "190:20:30",
    "2001-01-01",
    "2001-01-01T00:00:00Z",
    ".inf",
    ".nan",
    "-",
    "- a",
    "-1",
    "+1",
    "=",
    "<<",
    " leading",
    "trailing ",
    "a: b",
    "a:",
    "a:b",
    "http://x/y?z=1#f",
    "#x",
    "a #b",
    "a#b",
    "'",
    "\"",
    "it's \"so\" `$HOME` \\n",
    "{a}",
    "[a]",
    "&a",
    "*a",
    "!a",
    "|",
    ">",
    "%a",
    "@a",
    "`a`",
    "? a",
    "a\tb",
    "---",
    "...",
    "--- a",
    "ünï cødé 日本",
    "a  b",
    "\\",
    "a,b;c",
];

const LONG_TEXTS: [&str; 16] = [
    "a\nb",
    "a\nb\n",
    "a\nb\n\n\n",
    "\na",
    "\n",
    " a\nb",
    "a\n b\n  c\n",
    "a\n\tb",
    "a\n  \nb",
    "a\nb ",
    "a\n\n\nb",
    "# a\nb",
    "- a\n- b: c\n",
    "--- \na",
    "a\n...\n---\n",
    "key: |\n  x\n",
];

const ODD_TEXTS: [&str; 12] = [
    "\u{0}",
    "a\u{7}\u{8}\u{c}\u{1b}\u{7f}",
    "a\rb",
    "a\r\nb",
    "\u{80}\u{85}\u{9f}",
    "\u{2028}a\u{2029}",
    "\u{feff}a",
    "\u{fffe}\u{ffff}",
    "\u{10ffff}",
    "\u{202e}x",
    "\u{a0}x\u{a0}",
    "\t",
];

#[test]
fn every_text_survives_where_it_can_be_held() {
    for text in TEXTS.iter().chain(&LONG_TEXTS).chain(&ODD_TEXTS) {
        for format in [Format::Yaml, Format::Json, Format::Toml] {
            survives(&json!({"k": text, "m": {"l": [text, [text], {"x": text, "y": text}]}, "z": 1}), format);
            survives(&json!({*text: 1, "m": {format!("{text}2"): {*text: []}}}), format);
        }
        survives(&json!(text), Format::Yaml);
        survives(&json!(text), Format::Json);
    }
    for text in TEXTS.iter().chain(&LONG_TEXTS) {
        survives(&json!({"k": text, "l": "x"}), Format::Env);
    }
    for text in TEXTS.iter().filter(|it| it.trim() == **it && !it.starts_with('#') && !it.contains(" #")) {
        survives(&json!({"a": text, "s": {"k": text, "l": "x"}}), Format::Ini);
    }
}

#[test]
fn numbers_survive() {
    let numbers = json!([0, -1, i64::MIN, i64::MAX, 1.0, -0.0, 0.1, 1e16, 1.5e300, 5e-324, 1e-7, 123456789.125]);
    for format in [Format::Yaml, Format::Json, Format::Toml] {
        let text = emit(&tree(&json!({"n": numbers})), format).expect("holds");
        assert_eq!(format!("{:?}", reread(&text, format).value), format!("{:?}", tree(&json!({"n": numbers})).value));
    }
    survives(&json!([u64::MAX]), Format::Yaml);
    survives(&json!([u64::MAX]), Format::Json);
}

#[test]
fn the_look_of_each_format() {
    let json = json!({
        "name": "web", "on": "no", "empty": {}, "none": [],
        "server": {"port": 8080, "hosts": ["a", "b c"], "tls": {"mode": "0640"}},
        "users": [{"name": "ana", "keys": [["x"], []]}, {"name": "bo"}],
        "motd": "hello\n  world\n", "ratio": 1e20,
    });
    insta::assert_snapshot!(emit(&tree(&json), Format::Yaml).expect("holds"), @r#"
    name: web
    "on": "no"
    empty: {}
    none: []
    server:
      port: 8080
      hosts:
        - a
        - b c
      tls:
        mode: "0640"
    users:
      - name: ana
        keys:
          - - x
          - []
      - name: bo
    motd: |
      hello
        world
    ratio: 1.0e+20
    "#);
    insta::assert_snapshot!(emit(&tree(&json), Format::Toml).expect("holds"), @r#"
    name = "web"
    on = "no"
    none = []
    motd = """
    hello
      world
    """
    ratio = 100000000000000000000.0

    [empty]

    [server]
    port = 8080
    hosts = ["a", "b c"]

    [server.tls]
    mode = "0640"

    [[users]]
    name = "ana"
    keys = [["x"], []]

    [[users]]
    name = "bo"
    "#);
    let odd = json!({"a": [1e20, [], {}, {"b": "ü\u{7f}\u{2028}\"\n"}], "\u{feff}": null});
    insta::assert_snapshot!(emit(&tree(&odd), Format::Json).expect("holds"), @r#"
    {
      "a": [
        1.0e+20,
        [],
        {},
        {
          "b": "ü\u007f\u2028\"\n"
        }
      ],
      "\ufeff": null
    }
    "#);
    let json = json!({"NAME": "web 1", "SERVER": {"PORT": 80, "TLS": {"ON": true}}, "Q": "it's", "E": "", "L": "a\nb"});
    insta::assert_snapshot!(emit(&tree(&json), Format::Env).expect("holds"), @r#"
    NAME='web 1'
    SERVER__PORT=80
    SERVER__TLS__ON=true
    Q="it's"
    E=
    L='a
    b'
    "#);
    let json = json!({"server": {"port": 80, "name": ""}, "top": "x", "other": {}});
    insta::assert_snapshot!(emit(&tree(&json), Format::Ini).expect("holds"), @"
    top = x

    [server]
    port = 80
    name =

    [other]
    ");
    assert_eq!(emit(&tree(&json!({})), Format::Toml).expect("holds"), "");
}

#[test]
fn d17_what_a_format_cannot_hold_is_refused() {
    let refusals = [
        refused(json!([1]), Format::Toml),
        refused(json!({"a": null}), Format::Toml),
        refused(json!({"a": [null]}), Format::Toml),
        refused(json!({"a": u64::MAX}), Format::Toml),
        refused(json!({"a": "\u{1b}"}), Format::Env),
        refused(json!({"a": "x\r\nB=1"}), Format::Env),
        refused(json!({"a": [1]}), Format::Env),
        refused(json!({"a": null}), Format::Env),
        refused(json!({"a": {}}), Format::Env),
        refused(json!({"a b": 1}), Format::Env),
        refused(json!({"1": 1}), Format::Env),
        refused(json!({"a": {"b": 1}, "a__b": 2}), Format::Env),
        refused(json!("x"), Format::Env),
        refused(json!({"a": "x\ny=1"}), Format::Ini),
        refused(json!({"a": " x"}), Format::Ini),
        refused(json!({"a": "x ;y"}), Format::Ini),
        refused(json!({"a": "#x"}), Format::Ini),
        refused(json!({"a": "x\u{a0}#y"}), Format::Ini),
        refused(json!({"a #b": "x"}), Format::Ini),
        refused(json!({"a ;b": {"c": 1}}), Format::Ini),
        refused(json!({"a": {"b": {"c": 1}}}), Format::Ini),
        refused(json!({"a": [1]}), Format::Ini),
        refused(json!({"a=b": "x"}), Format::Ini),
        refused(json!({"[a": "x"}), Format::Ini),
        refused(json!({"a]\nb": {"c": 1}}), Format::Ini),
        refused(json!({"x".repeat(2000): 1}), Format::Yaml),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    a TOML document must be a map, found a list
    TOML cannot hold null
    TOML cannot hold null
    TOML cannot hold a number beyond 63 bits
    dotenv cannot hold the control characters in `a`
    dotenv cannot hold the control characters in `a`
    dotenv cannot hold a list here
    dotenv cannot hold null here
    dotenv cannot hold an empty map
    `a b` is not a name that dotenv can hold
    `1` is not a name that dotenv can hold
    two values would be written as `a__b`
    a dotenv file must be a map, found text
    INI cannot hold the value of `a`: it has line breaks or control characters
    INI cannot hold the value of `a`: it has blanks at its ends
    INI cannot hold the value of `a`: it has what some readers take for a comment
    INI cannot hold the value of `a`: it has what some readers take for a comment
    INI cannot hold the value of `a`: it has what some readers take for a comment
    `a #b` is not a key that INI can hold
    `a ;b` is not a section name that INI can hold
    INI cannot hold a map here
    INI cannot hold a list here
    `a=b` is not a key that INI can hold
    `[a` is not a key that INI can hold
    `a]\nb` is not a section name that INI can hold
    YAML cannot hold a key of more than 1000 characters
    "#);
    assert!(emit(&node(Value::Float(f64::NAN)), Format::Json).is_err());
    assert!(emit(&node(Value::Int(i128::MAX)), Format::Json).is_err());
    let deep = (0..10_000).fold(node(Value::Null), |it, _| node(Value::List(vec![it])));
    assert!(emit(&deep, Format::Yaml).is_err());
    // Dropping a tree recurses; take this one apart by hand.
    let mut rest = deep;
    while let Value::List(mut items) = std::mem::replace(&mut rest.value, Value::Null) {
        rest = items.pop().expect("one item");
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        "\\PC{0,8}",
        "[a-z0-9:#'\"\\\\ \n\t-]{0,16}",
        proptest::collection::vec(any::<char>(), 0..6).prop_map(|it| it.into_iter().collect()),
    ]
}

fn any_tree(with_null: bool) -> impl Strategy<Value = Json> {
    let null = if with_null { Json::Null } else { json!("") };
    let leaf = prop_oneof![
        Just(null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_filter("finite", |it| it.is_finite()).prop_map(Json::from),
        any_text().prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 40, 5, |below| {
        prop_oneof![
            proptest::collection::vec(below.clone(), 0..5).prop_map(Json::from),
            proptest::collection::vec((any_text(), below), 0..5).prop_map(|it| Json::Object(it.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_survives_yaml_and_json(json in any_tree(true)) {
        survives(&json, Format::Yaml);
        survives(&json, Format::Json);
    }

    #[test]
    fn any_map_survives_toml(json in any_tree(false)) {
        survives(&json!({"top": json}), Format::Toml);
    }

    #[test]
    fn any_flat_map_survives_env_and_ini_or_is_refused(
        map in proptest::collection::btree_map("[A-Za-z_][A-Za-z0-9_]{0,5}", any_text(), 1..5)
    ) {
        let json = json!(map);
        for (json, format) in [(json.clone(), Format::Env), (json!({"s t": json}), Format::Ini)] {
            match emit(&tree(&json), format) {
                Ok(text) => prop_assert_eq!(reread(&text, format).to_json(), json),
                Err(finding) => prop_assert_eq!(finding.code, Code::FORMAT),
            }
        }
    }
}
