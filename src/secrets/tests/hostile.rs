//! Files that somebody wrote to do harm.

use super::made::Sops;
use super::{KEYS, copied, fixture, layer, manager};
use crate::document::{Node, Value};
use crate::finding::Code;

fn code(name: &str, text: &str) -> Code {
    let refusal = layer(&manager(&KEYS), name, text.as_bytes()).unwrap_err();
    assert_eq!(copied(&manager(&KEYS), name, text.as_bytes()).unwrap_err().code, refusal.code);
    refusal.code
}

fn secrets(node: &Node, found: &mut Vec<String>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|it| secrets(it, found)),
        Value::Map(map) => map.iter().for_each(|it| secrets(&it.node, found)),
        _ if node.secret => found.push(node.to_json().to_string()),
        _ => {}
    }
}

/// Changes every byte once: the file is refused, or its secrets are what they were.
#[track_caller]
fn check_every_byte(name: &str, bytes: &[u8]) {
    let manager = manager(&KEYS[..1]);
    let found = |bytes: &[u8]| {
        let mut found = Vec::new();
        secrets(&layer(&manager, name, bytes).ok()?, &mut found);
        Some(found)
    };
    let expected = found(bytes).expect("the file itself is valid");
    assert!(!expected.is_empty());
    for idx in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[idx] ^= 1 << (idx % 8);
        if let Some(found) = found(&changed) {
            assert_eq!(found, expected, "byte {idx} of {name}");
        }
    }
}

#[test]
fn g04_every_byte_of_a_yaml_file_is_checked_or_harmless() {
    check_every_byte("a.yaml", &fixture("valid/nested.enc.yaml"));
}

#[test]
fn g04_every_byte_of_a_json_file_is_checked_or_harmless() {
    let mut sops = Sops::new();
    let value = sops.value("s3cret", "str", "a:");
    check_every_byte("a.json", format!(r#"{{"a": "{value}", "sops": {}}}"#, sops.block()).as_bytes());
}

#[test]
fn g07_files_for_other_services_are_refused_by_name() {
    let rest = r#""lastmodified": "2026-11-22T10:37:34Z", "mac": "x", "version": "3.11.0""#;
    assert_eq!(code("a.json", &format!(r#"{{"sops": {{"pgp": [{{"fp": "F"}}], {rest}}}}}"#)), Code::SOPS_PROVIDER);
    let groups = r#"[{"kms": [{}]}, {"gcp_kms": [{}]}]"#;
    assert_eq!(code("a.json", &format!(r#"{{"sops": {{"key_groups": {groups}, {rest}}}}}"#)), Code::SOPS_PROVIDER);
    assert_eq!(code("a.json", &format!(r#"{{"sops": {{{rest}}}}}"#)), Code::SOPS);
}

#[test]
fn what_is_no_sops_file_is_refused() {
    for text in ["", "a: 1", "- a", "text", "sops: null", "sops: text", "---\n---\nsops: {}"] {
        assert_eq!(code("a.yaml", text), Code::SOPS, "{text}");
    }
    assert_eq!(code("a.json", "[1]"), Code::SOPS);
    assert_eq!(code("a.json", "{\"a\": 1,}"), Code::SYNTAX);
    assert_eq!(code("a.json", "{\"a\": 1} // no"), Code::SYNTAX);
    assert_eq!(code("a.json", "{\"a\": 01}"), Code::SYNTAX);
    assert_eq!(code("a.json", "{\"a\": \"\\ud800\"}"), Code::SYNTAX);
    assert_eq!(code("a.env", "A"), Code::SOPS);
    assert_eq!(code("a.ini", "[a"), Code::SOPS);
    assert_eq!(code("a.ini", "[a]\nk = \"\"\"x"), Code::SOPS);
    assert_eq!(code("a.toml", "a = 1"), Code::SYNTAX);
}

#[test]
fn documents_that_explode_are_bounded() {
    let levels: String =
        (1..40).map(|it| format!("l{it}: &a{it} [{}]\n", format!("*a{}, ", it - 1).repeat(9))).collect();
    assert_eq!(code("a.yaml", &format!("l0: &a0 [x]\n{levels}")), Code::YAML_ALIASES);
    assert_eq!(code("a.yaml", "a: &a [*a]"), Code::SOPS);
    assert_eq!(code("a.yaml", &"[".repeat(100_000)), Code::DEPTH);
    assert_eq!(code("a.yaml", &format!("a: {}", "{b: ".repeat(200))), Code::DEPTH);
    assert_eq!(code("a.yaml", &"- ".repeat(200)), Code::DEPTH);
    assert_eq!(code("a.json", &format!("{}1{}", "[".repeat(100), "]".repeat(100))), Code::DEPTH);
    assert_eq!(code("a.yaml", &"- x\n".repeat(100_001)), Code::FILE_TOO_BIG);
}

#[test]
fn keys_that_go_yaml_does_not_take_for_text_are_refused() {
    for key in ["1", "true", "~", "1.5", "2001-01-01", "[a]", "? {a: b}\n"] {
        assert_eq!(code("a.yaml", &format!("{key}: x\n")), Code::SOPS, "{key}");
    }
    assert_eq!(code("a.yaml", "a: 1\na: 2\n"), Code::DUPLICATE_KEY);
}

#[test]
fn files_that_are_not_clean_text_are_refused() {
    let manager = manager(&KEYS);
    for bytes in [b"\xef\xbb\xbfa: 1".as_slice(), b"a: \xff", b"\xff\xfea\0"] {
        assert_eq!(layer(&manager, "a.yaml", bytes).unwrap_err().code, Code::ENCODING);
    }
    let big = vec![b'a'; crate::secrets::MAX_BYTES + 1];
    assert_eq!(layer(&manager, "a.yaml", &big).unwrap_err().code, Code::FILE_TOO_BIG);
}

#[test]
fn conflict_markers_do_not_show_what_stands_beside_them() {
    let refusal = layer(&manager(&KEYS), "a.yaml", b"a: hunter2: x\nsops: {}\n").unwrap_err();
    assert_eq!(refusal.code, Code::SYNTAX);
    assert_eq!(refusal.line_text.as_deref(), Some("…"));
}
