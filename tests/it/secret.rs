//! What was encrypted reaches its file and nothing else.

use crate::host::{AGENT, TestHost};
use headfast::document::Format;
use headfast::secrets::Rule;
use headfast::{SecretManager, encrypt_configuration};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What the fixture's `data.pass` decrypts to.
const SECRET: &str = "cGFzcw==";

const MANIFEST: &str = "\
version: 1
environments:
  production: {type: production}
configurations:
  app: {layers: [secret.sops.yaml]}
targets:
  app:
    path: @LIVE@
    files:
      - template: templates
        configuration: app
      - copy: files
";

fn fixture(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sops").join(name)).unwrap()
}

/// A host with an identity that opens the secret, or not.
fn host(with_key: bool) -> TestHost {
    let host = TestHost::new();
    let key = host.path("age.key");
    fs::write(&key, fixture(if with_key { "keys/k1.txt" } else { "keys/k2.txt" })).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    host.agent(&AGENT.replace("    branch:", "    age: {identity: @DIR@/age.key}\n    branch:"));
    host.commit(&[
        ("headfast.yaml", MANIFEST),
        ("secret.sops.yaml", &fixture("valid/encrypted-regex.enc.yaml")),
        ("templates/pass.j2", "pass={{ data.pass }}\n"),
        ("files/plain", "plain\n"),
    ]);
    host
}

/// Every file below a folder.
fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|it| it.unwrap().path());
    entries.flat_map(|it| if it.is_dir() { below(&it) } else { vec![it] }).collect()
}

#[track_caller]
fn hold_nothing_of(host: &TestHost, secrets: &[&str]) {
    for path in below(&host.path("state")) {
        let bytes = fs::read(&path).unwrap();
        for secret in secrets {
            let is_there = bytes.windows(secret.len()).any(|it| it == secret.as_bytes());
            assert!(!is_there, "{} holds {secret}", path.display());
        }
    }
}

#[test]
fn a_secret_is_in_its_file_and_nowhere_else() {
    let host = host(true);
    let mine = "my-own-pass-phrase";
    let run = |arguments: &[&str], exit: i32| {
        let output = host.run(arguments).ends(exit);
        for text in [&output.stdout, &output.stderr] {
            assert!(!text.contains(SECRET) && !text.contains(mine), "{arguments:?}: {text}");
        }
        output
    };
    let _ = run(&["diff"], 0).says(&["secret"]);
    let _ = run(&["sync"], 0);
    assert_eq!(host.live("pass"), format!("pass={SECRET}\n"));
    assert_eq!(fs::metadata(host.path("live/pass")).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(host.path("live/plain")).unwrap().mode() & 0o777, 0o644);

    fs::write(host.path("live/pass"), mine).unwrap();
    let _ = run(&["drift"], 5).says(&["live/pass", "secret"]);
    let drift = run(&["drift", "--json"], 5).json();
    assert_eq!((&drift["drift"][0]["sensitive"], &drift["drift"][0]["diff"]), (&true.into(), &().into()));
    let _ = run(&["drift", "--heal"], 0).says(&["kept", "encrypted"]);
    assert_eq!(host.live("pass"), format!("pass={SECRET}\n"));
    let kept = run(&["kept", "list", "--json"], 0).json();
    let id = kept["kept"][0]["id"].as_str().unwrap();
    assert_eq!(kept["kept"][0]["sensitive"], true);
    let _ = run(&["kept", "show", id], 2).says(&["sensitive", "--reveal"]);
    assert_eq!(run(&["kept", "show", id, "--json"], 0).json()["kept"][0]["content"], serde_json::Value::Null);
    assert_eq!(host.run(&["kept", "show", id, "--reveal"]).ends(0).stdout, mine);
    let _ = run(&["kept", "restore", id], 0);
    assert_eq!(host.live("pass"), mine);
    let _ = run(&["drift", "--heal"], 0);
    host.commit(&[("templates/pass.j2", "password={{ data.pass }}\n")]);
    let _ = run(&["diff"], 0);
    let _ = run(&["sync"], 0);
    for verb in [&["history"][..], &["show", "1"], &["show", "2", "--json"], &["status", "--json"], &["plan"]] {
        let _ = run(verb, 0);
    }
    hold_nothing_of(&host, &[SECRET, mine]);
}

#[test]
fn a_secret_that_does_not_fit_its_schema_is_not_shown() {
    let host = host(true);
    let manifest =
        MANIFEST.replace("{layers: [secret.sops.yaml]}", "{layers: [secret.sops.yaml], schema: schema.json}");
    let schema = r#"{"properties": {"data": {"properties": {"pass": {"enum": ["other"]}}}}}"#;
    host.commit(&[("headfast.yaml", &manifest), ("schema.json", schema)]);
    let output = host.run(&["sync"]).ends(3).says(&["E_SCHEMA", "secret.sops.yaml:", "data.pass"]);
    assert!(!output.stderr.contains(SECRET) && !output.stderr.contains("ENC["), "{}", output.stderr);
    hold_nothing_of(&host, &[SECRET]);
}

#[test]
fn a_host_without_the_key_names_the_targets_that_need_it() {
    let host = host(false);
    host.run(&["sync"]).ends(3).says(&["E_KEY", "secret.sops.yaml", "app"]);
    assert!(!host.path("live").exists());
}

#[test]
fn an_identity_that_others_may_read_is_refused() {
    let host = host(true);
    fs::set_permissions(host.path("age.key"), fs::Permissions::from_mode(0o644)).unwrap();
    host.run(&["sync"]).ends(4).says(&["E_KEY_MODE", "age.key"]);
    assert!(!host.path("live").exists());
}

/// Encrypts a document for the host's identity.
fn encrypted(text: &str) -> String {
    let identity = fixture("keys/k1.txt");
    let recipients = SecretManager::new(&[&identity]).unwrap().recipients();
    let mut next = 0_u8;
    let mut random = |bytes: &mut [u8]| {
        bytes.iter_mut().for_each(|it| {
            next = next.wrapping_add(1);
            *it = next;
        });
    };
    let (file, rule, now) = ("secrets.yaml".into(), Rule::default(), "2026-01-02T03:04:05Z");
    let bytes =
        encrypt_configuration(&file, text.as_bytes(), Format::Yaml, &recipients, &rule, now, &mut random).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn x05_the_record_says_key_by_key_what_changed_and_masks_secrets() {
    let host = host(true);
    let manifest = MANIFEST
        .replace("layers: [secret.sops.yaml]", "layers: [app.yaml, secrets.yaml]")
        .replace("template: templates", "write: app.json");
    let secrets = |password: &str| encrypted(&format!("db:\n  password: {password}\n  token: canary-of-the-token\n"));
    host.commit(&[
        ("headfast.yaml", &manifest),
        ("app.yaml", "server: {port: 80, debug: true}\nnames: [a]\n"),
        ("secrets.yaml", &secrets("canary-of-the-password")),
    ]);
    host.run(&["sync"]).ends(0);
    host.commit(&[
        ("app.yaml", "server: {port: 8080, tls: true}\nnames: [a, b]\n"),
        ("secrets.yaml", &secrets("canary-of-another-password")),
    ]);
    host.run(&["sync"]).ends(0);

    let shown = host.run(&["show", "2"]).ends(0);
    insta::assert_snapshot!(shown.stdout.lines().filter(|it| it.contains("  key ")).collect::<Vec<_>>().join("\n"), @r#"
    key         ~ app: db.password = <redacted> -> <redacted>
    key         ~ app: names = ["a"] -> ["a","b"]
    key         - app: server.debug = true
    key         ~ app: server.port = 80 -> 8080
    key         + app: server.tls = true
    "#);
    let found = host.run(&["show", "2", "--json"]).ends(0).json();
    let keys = &found["deployments"][0]["keys"];
    assert_eq!((keys["changes"].as_array().unwrap().len(), &keys["more"]), (5, &0.into()));
    host.run(&["history"]).ends(0).says(&["5 keys changed"]);
    hold_nothing_of(&host, &["canary"]);

    // What fails is no base for the next, and what changes no file is compared as well.
    host.commit(&[("app.yaml", "server: {port: 9090, tls: true}\nnames: [a, b]\nbroken: ${NOTHING}\n")]);
    host.run(&["sync"]).ends(3);
    host.commit(&[("app.yaml", "server: {port: 9090, tls: true}\nnames: [a, b]\n")]);
    host.run(&["sync"]).ends(0);
    let last = host.run(&["history", "--json"]).ends(0).json()["deployments"][0]["id"].to_string();
    let shown = host.run(&["show", &last]).ends(0);
    assert!(shown.stdout.contains("~ app: server.port = 8080 -> 9090"), "{}", shown.stdout);
    assert_eq!(shown.stdout.matches("  key ").count(), 1, "{}", shown.stdout);
}
