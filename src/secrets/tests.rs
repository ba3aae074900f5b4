//! Whole files: those that sops wrote, and those that nobody should have written.

use super::*;
use crate::document::Format;
use crate::finding::Severity;
use std::path::{Path, PathBuf};

mod hostile;
mod made;
mod written;

const KEYS: [&str; 3] = [
    include_str!("../../tests/fixtures/sops/keys/k1.txt"),
    include_str!("../../tests/fixtures/sops/keys/k2.txt"),
    include_str!("../../tests/fixtures/sops/keys/k3.txt"),
];

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sops").join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    paths.retain(|it| it.to_string_lossy().contains(".enc."));
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sops").join(name)).unwrap()
}

fn manager(keys: &[&str]) -> SecretManager {
    SecretManager::new(keys).unwrap()
}

fn file(path: &Path) -> Arc<str> {
    Arc::from(path.file_name().unwrap().to_string_lossy())
}

fn layer(manager: &SecretManager, name: &str, bytes: &[u8]) -> Result<Node, Finding> {
    let mut findings = Findings::new();
    let format = Format::of_path(name).unwrap();
    let node = manager.decrypt(&Arc::from(name), bytes, format, &mut findings);
    node.ok_or_else(|| findings.into_iter().next().expect("a refusal is explained"))
}

fn copied(manager: &SecretManager, name: &str, bytes: &[u8]) -> Result<Vec<u8>, Finding> {
    let mut findings = Findings::new();
    let text = manager.decrypt_text(&Arc::from(name), bytes, Format::of_path(name), &mut findings);
    match text {
        Some(text) => Ok(text.expose().to_vec()),
        None => Err(findings.into_iter().next().expect("a refusal is explained")),
    }
}

/// Compares values; SOPS prints whole numbers where JSON readers see doubles.
fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
        }
        _ => a == b,
    }
}

#[test]
fn files_of_sops_decrypt_to_what_sops_says() {
    let manager = manager(&KEYS).taking_partial_mac();
    for path in fixtures("valid") {
        let (name, bytes) = (file(&path), std::fs::read(&path).unwrap());
        assert!(is_sops_text(&bytes, Format::of_path(&name)), "{name}");
        let text = copied(&manager, &name, &bytes).unwrap_or_else(|it| panic!("{name}: {it:?}"));
        let plain = path.to_string_lossy().replace(".enc.", ".dec.");
        if let Ok(expected) = std::fs::read(&plain) {
            let is_json = name.ends_with(".json");
            assert!(text == expected || is_json, "{name}:\n{}", String::from_utf8_lossy(&text));
        }
        let json = plain.rsplit_once('.').map(|(stem, _)| format!("{stem}.json")).unwrap();
        if let Ok(expected) = std::fs::read(&json) {
            let node = layer(&manager, &name, &bytes).unwrap_or_else(|it| panic!("{name}: {it:?}"));
            let expected = serde_json::from_slice(&expected).unwrap();
            assert!(same(&node.to_json(), &expected), "{name}: {} is not {expected}", node.to_json());
        }
    }
}

#[test]
fn g03_files_that_were_tampered_with_are_refused() {
    let manager = manager(&KEYS);
    for path in fixtures("refused") {
        let (name, bytes) = (file(&path), std::fs::read(&path).unwrap());
        let refusal = layer(&manager, &name, &bytes).expect_err(&name);
        assert_eq!(copied(&manager, &name, &bytes).expect_err(&name), refusal);
        assert_eq!(refusal.severity, Severity::Error);
        assert!(["E_SOPS", "E_SOPS_MAC", "E_DUPLICATE_KEY"].contains(&refusal.code.name), "{name}: {refusal:?}");
        let shown = format!("{refusal:?}");
        for value in ["hunter2", "s3cret", "5432", "ENC["] {
            assert!(!shown.contains(value), "{name}: {shown}");
        }
    }
}

#[test]
fn a_value_that_nobody_encrypted_is_not_shown() {
    let refusal = layer(&manager(&KEYS), "a.yaml", &fixture("refused/value-plaintext.enc.yaml")).unwrap_err();
    assert_eq!(refusal.message, "the value of `pass` is not encrypted, although the file's rules say that it is");
    assert_eq!(refusal.line_text.as_deref(), Some("pass: …"));
    assert_eq!(refusal.place.map(|it| it.to_string()).as_deref(), Some("a.yaml:2:7"));
}

#[test]
fn only_values_that_were_encrypted_are_secret() {
    let node = layer(&manager(&KEYS), "a.yaml", &fixture("valid/default-suffix.enc.yaml")).unwrap();
    let is_secret = |path: &str| node.get(path).unwrap().secret;
    assert!(is_secret("b") && !is_secret("a_unencrypted") && !is_secret("n_unencrypted.i"));
    assert_eq!(node.get("b").unwrap().place.to_string(), "a.yaml:2:4");
    assert_eq!(node.get("n_unencrypted.i").unwrap().place.to_string(), "a.yaml:4:8");
    assert!(node.get("sops").is_none());
}

#[test]
fn g01_without_the_right_key_both_sides_are_named() {
    let bytes = fixture("valid/nested.enc.yaml");
    let recipients = |keys: &[&str]| manager(keys).recipients().join(", ");
    let refusal = layer(&manager(&KEYS[1..]), "a.yaml", &bytes).unwrap_err();
    assert_eq!(refusal.code, Code::KEY);
    let expected = format!("it is encrypted for {}; tried {}", recipients(&KEYS[..1]), recipients(&KEYS[1..]));
    assert!(refusal.message.ends_with(&expected), "{}", refusal.message);
    let refusal = layer(&SecretManager::default(), "a.yaml", &bytes).unwrap_err();
    assert_eq!(refusal.code, Code::KEY);
    assert!(refusal.message.ends_with("; no identity is configured"), "{}", refusal.message);
}

#[test]
fn g06_recipients_of_other_kinds_are_said_to_be_unsupported() {
    let text = String::from_utf8(fixture("valid/nested.enc.yaml")).unwrap();
    let recipient = &manager(&KEYS[..1]).recipients()[0];
    for other in ["ssh-ed25519 AAAAC3Nz", "age1yubikey1qwerty", "age1pq1qwerty"] {
        let refusal = layer(&manager(&KEYS[1..]), "a.yaml", text.replace(recipient, other).as_bytes()).unwrap_err();
        assert_eq!(refusal.code, Code::UNSUPPORTED);
        assert!(refusal.message.ends_with(other), "{}", refusal.message);
    }
}

#[test]
fn g09_too_few_key_groups_open_nothing() {
    let refusal = layer(&manager(&KEYS[..1]), "a.yaml", &fixture("valid/shamir-2-of-3.enc.yaml")).unwrap_err();
    assert_eq!(refusal.code, Code::KEY);
    assert!(refusal.message.contains("open 1 of the 2 key groups"), "{}", refusal.message);
}

#[test]
fn g15_a_mac_over_encrypted_values_alone_is_refused_in_a_deployment() {
    let bytes = fixture("valid/mac-only-encrypted.enc.yaml");
    assert_eq!(layer(&manager(&KEYS), "a.yaml", &bytes).unwrap_err().code, Code::SOPS_MAC_SCOPE);
    assert_eq!(copied(&manager(&KEYS), "a.yaml", &bytes).unwrap_err().code, Code::SOPS_MAC_SCOPE);
    assert!(layer(&manager(&KEYS).taking_partial_mac(), "a.yaml", &bytes).is_ok());
}

#[test]
fn a_layer_is_one_document() {
    let bytes = fixture("valid/multidoc.enc.yaml");
    assert_eq!(layer(&manager(&KEYS), "a.yaml", &bytes).unwrap_err().code, Code::YAML_DOCS);
}

#[test]
fn sops_files_are_recognised() {
    let parse = |text: &str, format: Format| {
        let limits = crate::document::Limits::default();
        let (file, merge) = (Arc::from("a"), crate::document::MergeKeys::Apply);
        crate::document::parse(format, &file, text.as_bytes(), &limits, merge, &mut Findings::new()).unwrap()
    };
    assert!(is_sops(&parse("sops: {lastmodified: x}", Format::Yaml)));
    assert!(is_sops(&parse("sops_mac=x", Format::Env)));
    assert!(is_sops(&parse("[sops]\nlastmodified = x", Format::Ini)));
    assert!(is_sops(&parse("a: [{b: 'ENC[AES256_GCM,data:x'}]", Format::Yaml)));
    assert!(!is_sops(&parse("sops: {version: 3.11.0}\na: ENC", Format::Yaml)));
    assert!(!is_sops(&parse("[sops]", Format::Yaml)));
    for plain in ["# sops: lastmodified\na: 1", "text: |\n  sops:\n    lastmodified: x", "", "\u{0}"] {
        assert!(!is_sops_text(plain.as_bytes(), Some(Format::Yaml)), "{plain}");
    }
    assert!(!is_sops_text(b"{\"sops\": 1, \"lastmodified\": 2}", None));
    assert!(!is_sops_text(b"the \"sops\" key holds lastmodified", None));
}

#[test]
fn what_is_sealed_opens_on_this_host_only() {
    let [one, two] = [manager(&KEYS[..1]), manager(&KEYS[1..])];
    let sealed = one.seal(b"kept").unwrap();
    assert!(!sealed.windows(4).any(|it| it == b"kept"));
    assert_eq!(one.open(&sealed).unwrap().expose(), b"kept");
    assert_eq!(
        two.open(&sealed).err().unwrap().message,
        "a kept copy cannot be opened: it was sealed for another identity"
    );
    assert_eq!(two.open(&two.seal(b"").unwrap()).unwrap().expose(), b"");
    assert_eq!(one.open(&sealed[..sealed.len() - 1]).err().unwrap().code, Code::KEY);
    assert_eq!(one.open(b"").err().unwrap().code, Code::KEY);
    assert_eq!(SecretManager::default().seal(b"kept").unwrap_err().code, Code::KEY);
    assert_eq!(SecretManager::default().open(&sealed).err().unwrap().code, Code::KEY);
}

#[test]
fn a_manager_shows_nothing_but_recipients() {
    let shown = format!("{:?}", manager(&KEYS));
    assert!(shown.contains("age1") && !shown.to_uppercase().contains("SECRET-KEY"), "{shown}");
}
