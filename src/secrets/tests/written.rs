//! Files that are encrypted and changed here. What sops makes of them is tested in `tests/it/sops.rs`.

use super::{KEYS, copied, fixture, layer, manager, same};
use crate::document::{Entry, Format, Limits, Map, MergeKeys, Node, Value, emit, parse};
use crate::finding::{Code, Findings};
use crate::place::Place;
use crate::secrets::{Rule, SecretChange, encrypt_configuration, manage_secrets};
use proptest::prelude::*;
use regex::Regex;
use std::sync::Arc;

const NOW: &str = "2026-11-23T09:08:07+00:00";
const LATER: &str = "2026-11-24T00:00:00Z";

/// Random enough for a test, and the same in every run.
fn random() -> impl FnMut(&mut [u8]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move |bytes| {
        for byte in bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = state.to_le_bytes()[0];
        }
    }
}

fn format(name: &str) -> Format {
    Format::of_path(name).unwrap()
}

fn encrypt_by(rule: &Rule, name: &str, text: &str) -> Result<String, Findings> {
    let recipients = manager(&KEYS[..2]).recipients();
    let bytes = text.as_bytes();
    let encrypted =
        encrypt_configuration(&Arc::from(name), bytes, format(name), &recipients, rule, NOW, &mut random())?;
    Ok(String::from_utf8(encrypted).unwrap())
}

#[track_caller]
fn encrypt(name: &str, text: &str) -> String {
    encrypt_by(&Rule::default(), name, text).unwrap_or_else(|it| panic!("{text}: {it:?}"))
}

/// Shortens what is random, and the block to its first line.
fn masked(encrypted: &str) -> String {
    let masked = Regex::new(r"ENC\[[^\]]*type:(\w+)\]").unwrap().replace_all(encrypted, "<$1>");
    let cut = masked.find("sops:").or(masked.find("\"sops\"")).unwrap();
    masked[..cut].to_owned()
}

/// Encrypts, expects the text before the block, and that both of two recipients get the text back.
#[track_caller]
fn check(name: &str, text: &str, expected: &str) -> String {
    let encrypted = encrypt(name, text);
    assert_eq!(masked(&encrypted), expected);
    for key in &KEYS[..2] {
        let plain = plain(name, text).to_json();
        let read = layer(&manager(&[key]), name, encrypted.as_bytes()).unwrap();
        assert!(same(&read.to_json(), &plain), "{} is not {plain}", read.to_json());
        assert!(copied(&manager(&[key]), name, encrypted.as_bytes()).is_ok());
    }
    assert_eq!(layer(&manager(&KEYS[2..]), name, encrypted.as_bytes()).unwrap_err().code, Code::KEY);
    encrypted
}

fn plain(name: &str, text: &str) -> Node {
    let mut findings = Findings::new();
    let file = Arc::from(name);
    let limits = Limits::default();
    parse(format(name), &file, text.as_bytes(), &limits, MergeKeys::Apply, &mut findings).unwrap()
}

#[test]
fn only_the_values_and_comments_of_a_text_change() {
    let text = "# top\n\na:   'it''s'  # one\nn: 8080\nf: 1.50\nb: true\ne: \"\"\nz: ~\nm:\n    # in m\n    l:\n    - x\n\
                \x20   -   k: >-\n            two\n            lines\n\n    p_unencrypted: 0x1F\n";
    let expected = "#<comment>\n\na:   <str>  #<comment>\nn: <int>\nf: <float>\nb: <bool>\ne: \"\"\nz: ~\nm:\n    \
                    #<comment>\n    l:\n    - <str>\n    -   k: <str>\n\n    p_unencrypted: 0x1F\n";
    let encrypted = check("a.yaml", text, expected);
    let back = copied(&manager(&KEYS[..1]), "a.yaml", encrypted.as_bytes()).unwrap();
    let back = String::from_utf8(back).unwrap();
    for kept in ["# top\n\na:   \"it's\"  # one\n", "    # in m\n", "-   k: \"two lines\"\n\n"] {
        assert!(back.contains(kept), "{back}");
    }
}

#[test]
fn the_block_stands_where_a_reader_looks_for_it() {
    let encrypted = check("a.yaml", "a: 1", "a: <int>\n");
    let block = encrypted.split_once("sops:\n").unwrap().1;
    let first = format!("    age:\n        - recipient: {}\n          enc: |\n", manager(&KEYS[..1]).recipients()[0]);
    assert!(block.starts_with(&first), "{block}");
    assert!(
        block.contains("\n            -----END AGE ENCRYPTED FILE-----\n    lastmodified: \"2026-11-23T09:08:07Z\"\n")
    );
    assert!(block.ends_with(",type:str]\n    unencrypted_suffix: _unencrypted\n    version: 3.11.0\n"), "{block}");
    check("a.yaml", "a: 1\r\nb: |\r\n  x\r\n", "a: <int>\r\nb: <str>\r\n");
    check("a.yaml", "---\n  a: 1\n  b: 2\n# end\n...\n# after\n", "---\n  a: <int>\n  b: <int>\n#<comment>\n  ");
    check("a.yaml", "{a: 1, l: [x, y], }", "{a: \"<int>\", l: [\"<str>\", \"<str>\"], ");
    check("a.yaml", "{}", "{");
    check("a.json", "{}", "{");
    check("a.json", "{\"a\":1,\"b\":null}", "{\"a\":\"<int>\",\"b\":null, ");
    let pretty = check("a.json", "{\n  \"a\": \"x\"\n}\n", "{\n  \"a\": \"<str>\",\n  ");
    assert!(pretty.contains("\n  \"sops\": {\n    \"age\": [\n      {\n        \"recipient\": \"age1"), "{pretty}");
    assert!(pretty.ends_with("\n    \"version\": \"3.11.0\"\n  }\n}\n"), "{pretty}");
}

#[test]
fn any_rule_but_those_of_comments_decides() {
    let by = |name: &str, text: &str| {
        let rule = Rule::new(name, text).unwrap();
        let yaml = "# c\na_x: 1\nm:\n  # d\n  b: [2]\n";
        encrypt_by(&rule, "a.yaml", yaml).map(|it| {
            assert!(it.contains(&format!("    {name}: ")));
            assert!(layer(&manager(&KEYS), "a.yaml", it.as_bytes()).is_ok());
            masked(&it)
        })
    };
    assert_eq!(by("encrypted_suffix", "_x").unwrap(), "# c\na_x: <int>\nm:\n  # d\n  b: [2]\n");
    assert_eq!(by("encrypted_regex", "^(m|z: #)$").unwrap(), "# c\na_x: 1\nm:\n  #<comment>\n  b: [\"<int>\"]\n");
    assert_eq!(by("unencrypted_regex", "b").unwrap(), "#<comment>\na_x: <int>\nm:\n  #<comment>\n  b: [2]\n");
    let refusal = by("encrypted_comment_regex", "c").unwrap_err();
    assert_eq!(refusal.iter().next().unwrap().code, Code::UNSUPPORTED);
}

#[track_caller]
fn refused(name: &str, text: &str) -> Vec<(Code, String)> {
    let findings = encrypt_by(&Rule::default(), name, text).expect_err(text);
    let shown = format!("{findings:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("12345"), "{shown}");
    findings.iter().map(|it| (it.code, it.place.as_ref().map(ToString::to_string).unwrap_or_default())).collect()
}

#[test]
fn what_would_not_survive_is_refused_where_it_stands() {
    let one = |code: Code, place: &str| vec![(code, place.to_owned())];
    for text in ["0644", "1_000", "0b11", "2001-12-14", "2001-12-14 10:00:00"] {
        assert_eq!(refused("a.yaml", &format!("a: {text}\n")), one(Code::VALUE, "a.yaml:1:4"), "{text}");
        assert_eq!(refused("a.yaml", &format!("l_unencrypted: [x, {text}]\n")).len(), 1);
        check("a.yaml", &format!("a: '{text}'\n"), "a: <str>\n");
    }
    assert_eq!(refused("a.yaml", "a: .inf"), one(Code::NUMBER, "a.yaml:1:4"));
    assert_eq!(refused("a.yaml", "a: 123456789012345678901234567890")[0].0, Code::NUMBER);
    assert_eq!(refused("a.yaml", "a: 12345678901234567890")[0].0, Code::SOPS);
    assert_eq!(refused("a.yaml", "a_unencrypted: -0.0"), one(Code::NUMBER, "a.yaml:1:16"));
    for text in ["9007199254740993", "-0", "12345678901234567890"] {
        assert_eq!(refused("a.json", &format!("{{\"a_unencrypted\": {text}}}")), one(Code::NUMBER, "a.json:1:19"));
    }
    assert_eq!(refused("a.json", "{\"a\": 12345678901234567890}"), one(Code::NUMBER, "a.json:1:7"));
    check("a.json", "{\"a\": 9007199254740993, \"b\": -0}", "{\"a\": \"<int>\", \"b\": \"<float>\", ");
    check("a.yaml", "a: 2001-12-14T10:00:00Z", "a: <time>\n");
}

#[test]
fn what_cannot_be_encrypted_in_place_is_refused_all_at_once() {
    let findings = refused("a.yaml", "a: &x hunter2\nb: *x\nc: !!str y\nd: !vault z\nm:\n  <<: {k: v}\n");
    assert_eq!(findings.iter().filter(|it| it.0 == Code::UNSUPPORTED).count(), 5, "{findings:?}");
    for (text, code) in [
        ("", Code::SHAPE),
        ("# nothing\n", Code::SHAPE),
        ("hunter2", Code::SOPS),
        ("- hunter2", Code::SOPS),
        ("1: a", Code::SOPS),
        ("a: 1\na: 2", Code::DUPLICATE_KEY),
        ("a: 1\n---\nb: 2", Code::YAML_DOCS),
        ("a: [", Code::SYNTAX),
        ("\u{feff}a: 1", Code::ENCODING),
        ("sops: 1", Code::SOPS),
        ("a: ENC[AES256_GCM,data:x]", Code::SOPS),
        ("? a\n: b", Code::FORMAT),
        ("\ta: 1", Code::FORMAT),
        ("a_unencrypted: \"\\/\"", Code::UNSUPPORTED),
        ("\"\\ud83d\\ude00\": 1", Code::UNSUPPORTED),
        ("# c\n%YAML 1.2\n---\na: 1", Code::UNSUPPORTED),
        ("a_unencrypted: x\u{2028}y", Code::FORMAT),
    ] {
        assert_eq!(refused("a.yaml", text)[0].0, code, "{text}");
    }
    for (text, code) in [("[1]", Code::SOPS), ("{\"a\":1} x", Code::SYNTAX), ("null", Code::SHAPE)] {
        assert_eq!(refused("a.json", text)[0].0, code, "{text}");
    }
    assert_eq!(refused("a.env", "A=1")[0].0, Code::UNSUPPORTED);
    assert_eq!(refused("a.yaml", &encrypt("a.yaml", "a: 1"))[0].0, Code::SOPS);
}

#[test]
fn what_the_caller_hands_in_is_judged_too() {
    let run = |recipients: &[String], now: &str, random: &mut dyn FnMut(&mut [u8])| {
        let (file, rule) = (Arc::from("a.yaml"), Rule::default());
        let encrypted = encrypt_configuration(&file, b"a: 0644", Format::Yaml, recipients, &rule, now, random);
        let findings = encrypted.unwrap_err();
        findings.iter().map(|it| it.code).collect::<Vec<_>>()
    };
    let good = manager(&KEYS).recipients();
    assert_eq!(run(&[], NOW, &mut random()), [Code::KEY, Code::VALUE]);
    assert_eq!(run(&["age1x".into(), "ssh-rsa x".into()], NOW, &mut random()).len(), 3);
    assert_eq!(run(&good, "yesterday", &mut random()), [Code::VALUE]);
    let (file, rule) = (Arc::from("a.yaml"), Rule::default());
    let zeros = encrypt_configuration(&file, b"a: 1", Format::Yaml, &good, &rule, NOW, &mut |_| {});
    assert_eq!(zeros.unwrap_err().iter().next().unwrap().code, Code::KEY);
}

fn set(path: &[&str], value: Value) -> SecretChange {
    SecretChange::Set { path: path.iter().map(|it| (*it).to_owned()).collect(), value }
}

fn text(value: &str) -> Value {
    Value::String(value.into())
}

fn unset(path: &[&str]) -> SecretChange {
    SecretChange::Unset { path: path.iter().map(|it| (*it).to_owned()).collect() }
}

fn manage(name: &str, encrypted: &str, change: &SecretChange) -> Result<String, Code> {
    let manager = manager(&KEYS[..1]).taking_partial_mac();
    let managed =
        manage_secrets(&manager, &Arc::from(name), encrypted.as_bytes(), format(name), change, LATER, &mut random());
    managed.map(|it| String::from_utf8(it).unwrap()).map_err(|it| it.iter().next().unwrap().code)
}

/// Makes a change; returns the lines that are new and the values that are left.
#[track_caller]
fn changed(name: &str, encrypted: &str, change: &SecretChange) -> (Vec<String>, String) {
    let managed = manage(name, encrypted, change).unwrap_or_else(|it| panic!("{it}"));
    let old: Vec<_> = encrypted.lines().collect();
    let new = managed.lines().filter(|it| !old.contains(it)).map(str::to_owned).collect();
    let manager = manager(&KEYS[..1]).taking_partial_mac();
    (new, layer(&manager, name, managed.as_bytes()).unwrap().to_json().to_string())
}

const YAML: &str = "a: one # c\nn_unencrypted: 1\nm:\n  l:\n  - x\n  - k: |\n      y\n      z\n    j: 2\n  f: {g: 1, h: [2]}\nnothing:\n";

#[test]
fn x18_a_value_is_set_and_nothing_else_changes() {
    let encrypted = encrypt("a.yaml", YAML);
    let (lines, values) = changed("a.yaml", &encrypted, &set(&["m", "l", "1", "j"], text("new")));
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("    j: ENC[") && lines[0].ends_with("type:str]"), "{lines:?}");
    assert_eq!(lines[1], format!("    lastmodified: \"{LATER}\""));
    assert!(lines[2].starts_with("    mac: ENC["));
    assert_eq!(
        values,
        r#"{"a":"one","n_unencrypted":1,"m":{"l":["x",{"k":"y\nz\n","j":"new"}],"f":{"g":1,"h":[2]}},"nothing":null}"#
    );
    for (path, value, line) in [
        (vec!["a"], Value::Bool(true), "a: ENC["),
        (vec!["a"], text(""), "a: \"\" #ENC["),
        (vec!["a"], Value::Null, "a: null #ENC["),
        (vec!["nothing"], Value::Float(1.5), "nothing: ENC["),
        (vec!["n_unencrypted"], text("0644"), "n_unencrypted: \"0644\""),
        (vec!["m", "f", "h", "0"], Value::Int(-3), "  f: {g: \"ENC["),
        (vec!["m", "l", "1", "k"], text("plain"), "  - k: ENC["),
    ] {
        let (lines, _) = changed("a.yaml", &encrypted, &set(&path, value));
        assert!(lines.len() == 3 && lines[0].starts_with(line), "{lines:?}");
    }
}

#[test]
fn a_change_that_changes_nothing_returns_the_same_bytes() {
    let encrypted = encrypt("a.yaml", YAML);
    for (path, value) in [
        (vec!["a"], text("one")),
        (vec!["n_unencrypted"], Value::Int(1)),
        (vec!["m", "f", "h", "0"], Value::Float(2.0)),
        (vec!["nothing"], Value::Null),
    ] {
        assert_eq!(manage("a.yaml", &encrypted, &set(&path, value)).unwrap(), encrypted);
    }
    assert_ne!(manage("a.yaml", &encrypted, &set(&["n_unencrypted"], text("1"))).unwrap(), encrypted);
}

#[test]
fn a_key_is_added_before_the_block() {
    let encrypted = encrypt("a.yaml", "a: 1\r\n");
    let added = manage("a.yaml", &encrypted, &set(&["on"], text("x"))).unwrap();
    assert_eq!(masked(&added), "a: <int>\r\n\"on\": <str>\r\n");
    for (text, expected) in [
        ("{\"a\":1}", "{\"a\":\"<int>\", \"b é\": \"<str>\", "),
        ("{\n\t\"a\": 1\n}\n", "{\n\t\"a\": \"<int>\",\n\t\"b é\": \"<str>\",\n\t"),
        ("{}", "{\"b é\": \"<str>\", "),
    ] {
        let added = manage("a.json", &encrypt("a.json", text), &set(&["b é"], super::written::text("x"))).unwrap();
        assert_eq!(masked(&added), expected);
        assert!(layer(&manager(&KEYS), "a.json", added.as_bytes()).is_ok());
    }
    let flow = manage("a.yaml", &encrypt("a.yaml", "{a: x}"), &set(&["b_unencrypted"], Value::Int(1))).unwrap();
    assert_eq!(masked(&flow), "{a: \"<str>\", \"b_unencrypted\": 1, ");
    let indented = manage("a.yaml", &encrypt("a.yaml", "  a: x"), &set(&["b"], Value::Int(1))).unwrap();
    assert_eq!(masked(&indented), "  a: <str>\n  b: <int>\n  ");
}

#[test]
fn values_are_removed_with_their_lines() {
    let encrypted = encrypt("a.yaml", YAML);
    for (path, values) in [
        (vec!["a"], r#"{"n_unencrypted":1,"m":{"l":["x",{"k":"y\nz\n","j":2}],"f":{"g":1,"h":[2]}},"nothing":null}"#),
        (vec!["m"], r#"{"a":"one","n_unencrypted":1,"nothing":null}"#),
        (vec!["m", "l"], r#"{"a":"one","n_unencrypted":1,"m":{"f":{"g":1,"h":[2]}},"nothing":null}"#),
        (
            vec!["m", "l", "1", "j"],
            r#"{"a":"one","n_unencrypted":1,"m":{"l":["x",{"k":"y\nz\n"}],"f":{"g":1,"h":[2]}},"nothing":null}"#,
        ),
        (vec!["m", "l", "1"], r#"{"a":"one","n_unencrypted":1,"m":{"l":["x"],"f":{"g":1,"h":[2]}},"nothing":null}"#),
        (
            vec!["m", "f", "h"],
            r#"{"a":"one","n_unencrypted":1,"m":{"l":["x",{"k":"y\nz\n","j":2}],"f":{"g":1}},"nothing":null}"#,
        ),
        (
            vec!["m", "f", "h", "0"],
            r#"{"a":"one","n_unencrypted":1,"m":{"l":["x",{"k":"y\nz\n","j":2}],"f":{"g":1,"h":[]}},"nothing":null}"#,
        ),
    ] {
        assert_eq!(changed("a.yaml", &encrypted, &unset(&path)).1, values);
    }
    for (path, code) in [
        (vec!["b"], Code::REFERENCE),
        (vec!["sops"], Code::REFERENCE),
        (vec![], Code::REFERENCE),
        (vec!["m", "l", "2"], Code::REFERENCE),
        (vec!["m", "l", "1", "k"], Code::UNSUPPORTED),
    ] {
        assert_eq!(manage("a.yaml", &encrypted, &unset(&path)), Err(code), "{path:?}");
    }
    let json = encrypt("a.json", "{\n  \"a\": 1,\n  \"b\": {\"c\": 2}\n}");
    assert_eq!(changed("a.json", &json, &unset(&["a"])).1, r#"{"b":{"c":2}}"#);
    assert_eq!(changed("a.json", &json, &unset(&["b", "c"])).1, r#"{"a":1,"b":{}}"#);
    let only = encrypt("a.yaml", "a: 1\n");
    assert_eq!(changed("a.yaml", &only, &unset(&["a"])).1, "{}");
}

#[test]
fn changes_that_cannot_be_made_in_place_are_refused() {
    let encrypted = encrypt("a.yaml", YAML);
    for (path, value, code) in [
        (vec!["m"], text("x"), Code::UNSUPPORTED),
        (vec!["m", "new"], text("x"), Code::UNSUPPORTED),
        (vec!["m", "l", "2"], text("x"), Code::UNSUPPORTED),
        (vec!["sops"], text("x"), Code::VALUE),
        (vec![], text("x"), Code::UNSUPPORTED),
        (vec!["a"], Value::List(Vec::new()), Code::UNSUPPORTED),
        (vec!["a"], Value::Int(1 << 63), Code::NUMBER),
        (vec!["a"], Value::Float(f64::NAN), Code::NUMBER),
        (vec!["a"], text("ENC[AES256_GCM,data:x"), Code::SOPS),
        (vec!["n_unencrypted"], Value::Float(-0.0), Code::NUMBER),
    ] {
        assert_eq!(manage("a.yaml", &encrypted, &set(&path, value)), Err(code), "{path:?}");
    }
    let json = encrypt("a.json", "{\"n_unencrypted\": 1}");
    assert_eq!(manage("a.json", &json, &set(&["n_unencrypted"], Value::Int(1 << 53 | 1))), Err(Code::NUMBER));
    assert_eq!(manage("a.json", &json.replace(": 1,", ": 2,"), &unset(&["n_unencrypted"])), Err(Code::SOPS_MAC));
    assert_eq!(manage("a.yaml", "a: 1", &unset(&["a"])), Err(Code::SOPS));
}

#[test]
fn files_of_sops_are_changed_as_well() {
    for name in [
        "nested.enc.yaml",
        "unicode.enc.yaml",
        "nulls.enc.yaml",
        "floats.enc.yaml",
        "shamir-2-of-3.enc.yaml",
        "mac-only-encrypted.enc.yaml",
        "comment-regex.enc.yaml",
        "encrypted-regex.enc.yaml",
        "j-types.enc.json",
        "j-plain-numbers.enc.json",
    ] {
        let bytes = fixture(&format!("valid/{name}"));
        let manager = manager(&KEYS).taking_partial_mac();
        let before = layer(&manager, name, &bytes).unwrap_or_else(|it| panic!("{name}: {it:?}")).to_json();
        let change = |change: &SecretChange, bytes: &[u8]| {
            let file = Arc::from(name);
            manage_secrets(&manager, &file, bytes, format(name), change, LATER, &mut random())
                .unwrap_or_else(|it| panic!("{name}: {it:?}"))
        };
        let added = change(&set(&["zz_new"], text("\u{1f600} new\n")), &bytes);
        let mut expected = before.clone();
        expected["zz_new"] = "\u{1f600} new\n".into();
        assert_eq!(layer(&manager, name, &added).unwrap().to_json(), expected, "{name}");
        let removed = change(&unset(&["zz_new"]), &added);
        assert_eq!(layer(&manager, name, &removed).unwrap().to_json(), before, "{name}");
    }
}

fn node(value: Value) -> Node {
    Node::new(value, Place::whole("a"))
}

fn values() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(|it| Value::Int(it.into())),
        any::<i64>().prop_map(|it| Value::Float(it as f64 / 1024.0 + 0.5)),
        "(?s).{0,12}".prop_map(Value::String),
        "[-#:|> \n\ta0'\"\\\\{},\\[\\]]{0,8}".prop_map(Value::String),
    ];
    leaf.prop_map(node).prop_recursive(4, 40, 5, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..4).prop_map(|it| node(Value::List(it))), map(inner),]
    })
}

fn map(inner: impl Strategy<Value = Node>) -> impl Strategy<Value = Node> {
    let key = prop_oneof!["[a-z]{1,3}(_unencrypted)?", "(?s).{1,6}"];
    prop::collection::vec((key, inner), 1..5).prop_map(|fields| {
        let place = Place::whole("a");
        let entries = fields.into_iter().map(|(key, node)| Entry { key, place: place.clone(), node });
        node(Value::Map(entries.collect::<Map>()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn x18_whatever_is_encrypted_decrypts_to_the_same(document in map(values())) {
        for (name, format) in [("a.yaml", Format::Yaml), ("a.json", Format::Json)] {
            let Ok(written) = emit(&document, format) else { continue };
            let flow = document.to_json().to_string();
            for text in [written, flow] {
                let mut findings = Findings::new();
                let limits = Limits::default();
                parse(format, &Arc::from(name), text.as_bytes(), &limits, MergeKeys::Apply, &mut findings);
                if findings.has_errors() {
                    continue;
                }
                match encrypt_by(&Rule::default(), name, &text) {
                    Ok(encrypted) => {
                        let read = layer(&manager(&KEYS[..1]), name, encrypted.as_bytes()).unwrap();
                        prop_assert!(same(&read.to_json(), &plain(name, &text).to_json()), "{}", text);
                        let copied = copied(&manager(&KEYS[..1]), name, encrypted.as_bytes()).unwrap();
                        let copied = plain(name, &String::from_utf8(copied).unwrap());
                        prop_assert!(same(&copied.to_json(), &read.to_json()), "{}", text);
                    }
                    // What stays readable, such as a key, may hold what the YAML reader of SOPS cannot read.
                    Err(findings) => prop_assert!(
                        findings.iter().all(|it| [Code::FORMAT, Code::NUMBER, Code::SOPS].contains(&it.code)),
                        "{findings:?}: {}", text
                    ),
                }
            }
        }
    }
}
