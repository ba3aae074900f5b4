//! `get` and `set`: one value of a configuration in a checkout.

use crate::host::{Output, headfast};
use headfast::document::Format;
use headfast::secrets::Rule;
use headfast::{SecretManager, encrypt_configuration};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const MANIFEST: &str = "\
version: 1
environments:
  production: {type: production, variables: {NAME: x}}
configurations:
  app: {layers: [base.yaml, production.toml, extra.yaml?, sealed.json, \"env:APP_\"], schema: app.json}
targets:
  app:
    path: /srv/app
    files: [{template: templates, configuration: app}]
";

const SCHEMA: &str = r#"{"type": "object", "additionalProperties": false, "properties": {
  "server": {"type": "object", "properties": {"port": {"type": "integer", "maximum": 65535}, "host": {"type": "string"}}},
  "log": {"type": "object"}, "copy": {"type": "object"}, "hosts": {"type": "array"}, "motd": {"type": "string"}}}"#;

const BASE: &str = "\
# The base.
server: &server   # everywhere
  port:  8080   # the port

  host: 'a.example'
copy: *server
motd: \"hello ${NAME}\"
log:
  level: info
hosts: [a, b]
";

/// A repository with four layers.
fn repository() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        ("headfast.yaml", MANIFEST),
        ("app.json", SCHEMA),
        ("base.yaml", BASE),
        ("production.toml", "# for production\n[server]\nhost = 'p.example'\n"),
        ("sealed.json", "{}\n"),
    ];
    fs::create_dir(dir.path().join("templates")).unwrap();
    fs::write(dir.path().join("templates/a.j2"), "{{ motd }}\n").unwrap();
    for (path, content) in files {
        fs::write(dir.path().join(path), content).unwrap();
    }
    dir
}

fn read(dir: &Path, path: &str) -> String {
    fs::read_to_string(dir.join(path)).unwrap()
}

/// Returns all files of a folder.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap).filter(|it| it.path().is_file());
    entries.map(|it| (it.file_name().into_string().unwrap(), fs::read(it.path()).unwrap())).collect()
}

#[test]
fn m16_get_prints_values_and_subtrees() {
    let dir = repository();
    let get = |args: &[&str]| headfast(dir.path(), &[&["get"], args].concat()).ends(0).stdout;
    assert_eq!(get(&["server.port"]), "8080\n");
    assert_eq!(get(&["server"]), "port: 8080\nhost: p.example\n");
    assert_eq!(get(&["hosts.1"]), "b\n");
    assert_eq!(get(&["motd"]), "hello x\n");
    assert_eq!(get(&["server", "--format", "env"]), "port=8080\nhost=p.example\n");
    assert_eq!(get(&["nothing", "--default", "none"]), "none\n");
    headfast(dir.path(), &["get", "server.prt"]).ends(2).says(&["E_NOT_FOUND", "did you mean `server.port`?"]);
}

#[test]
fn m62_get_of_what_is_missing_is_null_and_set_is_seen_by_the_next_process() {
    let dir = repository();
    let get = |key: &str| headfast(dir.path(), &["get", key, "--json"]).ends(0).json();
    let missing = get("log.file");
    assert_eq!((&missing["found"], &missing["value"]), (&serde_json::json!(false), &serde_json::Value::Null));
    let set = headfast(dir.path(), &["set", "log.file", "/var/log/a", "--json"]).ends(0).json();
    let expected = serde_json::json!({
        "version": 1, "configuration": "app", "key": "log.file", "layer": "sealed.json", "line": 1, "changed": true
    });
    assert_eq!(set, expected);
    assert_eq!(get("log.file")["value"], "/var/log/a");
    let again = headfast(dir.path(), &["set", "log.file", "/var/log/a", "--json"]).ends(0).json();
    assert_eq!(again["changed"], false);
}

#[test]
fn x19_setting_one_key_writes_only_that_key_and_no_variable() {
    let dir = repository();
    fs::set_permissions(dir.path().join("base.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    headfast(dir.path(), &["set", "server.port", "9090"]).ends(0).says(&["base.yaml:3", "`copy.port` changes with it"]);
    assert_eq!(read(dir.path(), "base.yaml"), BASE.replace("8080", "9090"));
    assert_eq!(fs::metadata(dir.path().join("base.yaml")).unwrap().permissions().mode() & 0o777, 0o640);
    headfast(dir.path(), &["set", "server.host", "it's"]).ends(0).says(&["production.toml:3"]);
    assert_eq!(read(dir.path(), "production.toml"), "# for production\n[server]\nhost = \"it's\"\n");
    headfast(dir.path(), &["set", "hosts.2", "c"]).ends(0);
    let expected = BASE.replace("8080", "9090").replace("[a, b]", "[a, b, c]");
    assert_eq!(read(dir.path(), "base.yaml"), expected, "the variable of `motd` and the environment are not written");
    headfast(dir.path(), &["set", "motd", "5", "--layer", "extra.yaml"]).ends(0);
    assert_eq!(read(dir.path(), "extra.yaml"), "motd: \"5\"\n");
    headfast(dir.path(), &["check"]).ends(0);
}

#[test]
fn set_refuses_what_would_not_win() {
    let dir = repository();
    let refused = |args: &[&str], code: i32, says: &[&str]| {
        headfast(dir.path(), &[&["set"], args].concat()).ends(code).says(says);
        assert_eq!(read(dir.path(), "base.yaml"), BASE);
    };
    let variable = "APP_LOG__LEVEL=debug";
    refused(&["log.level", "warn", "--variable", variable], 4, &["E_SET", "env:APP_"]);
    let base = ["log.level", "warn", "--variable", variable, "--layer", "base.yaml"];
    refused(&base, 4, &["E_SET", "`env:APP_` wins"]);
    refused(&["server.host", "q", "--layer", "base.yaml"], 4, &["E_SET", "`production.toml` wins"]);
    refused(&["motd", "q", "--layer", "other.yaml"], 4, &["E_SET", "is no file among the layers"]);
    refused(&["copy.port", "1"], 3, &["E_ALIAS", "base.yaml:6", "anchor on line 2"]);
    refused(&["hosts.7", "q"], 3, &["E_REFERENCE"]);
    fs::write(dir.path().join("real.yaml"), BASE).unwrap();
    fs::remove_file(dir.path().join("base.yaml")).unwrap();
    std::os::unix::fs::symlink("real.yaml", dir.path().join("base.yaml")).unwrap();
    assert_ne!(headfast(dir.path(), &["set", "hosts.0", "q"]).status, 0, "no link is written through");
    assert_eq!(read(dir.path(), "real.yaml"), BASE);
}

#[test]
fn set_refuses_what_the_schema_refuses() {
    let dir = repository();
    for (key, value, code) in
        [("server.port", "70000", "E_SCHEMA"), ("server.port", "many", "E_TYPE"), ("unknown", "1", "E_SCHEMA")]
    {
        headfast(dir.path(), &["set", key, value]).ends(3).says(&[code]);
    }
    assert_eq!(read(dir.path(), "base.yaml"), BASE);
    assert_eq!(read(dir.path(), "sealed.json"), "{}\n");
}

#[test]
fn set_never_touches_an_encrypted_layer() {
    let dir = repository();
    let sealed = r#"{"motd": "ENC[AES256_GCM,data:YQ==,iv:YQ==,tag:YQ==,type:str]", "sops": {"mac": "x"}}"#;
    fs::write(dir.path().join("sealed.json"), sealed).unwrap();
    assert_ne!(headfast(dir.path(), &["set", "motd", "x", "--layer", "sealed.json"]).status, 0);
    assert_eq!(read(dir.path(), "sealed.json"), sealed);
}

#[test]
fn x25_get_and_check_exit_non_zero_on_fault() {
    let dir = repository();
    fs::write(dir.path().join("production.toml"), "server.port = 99999\n").unwrap();
    headfast(dir.path(), &["get", "motd"]).ends(3).says(&["E_SCHEMA", "production.toml:1"]);
    fs::write(dir.path().join("production.toml"), "server = \n").unwrap();
    headfast(dir.path(), &["get", "motd"]).ends(3).says(&["E_SYNTAX"]);
    headfast(dir.path(), &["set", "motd", "x"]).ends(3);
    headfast(dir.path(), &["check"]).ends(3);
}

#[test]
fn m62_bad_arguments_end_with_an_error_that_says_what_to_do_and_change_nothing() {
    let dir = repository();
    let before = files(dir.path());
    for (args, code, says) in [
        (&["server..port", "1"][..], 2, &["E_USAGE", "`.port` is not a key", "write keys as in"][..]),
        (&["\"server.port", "1"], 2, &["E_USAGE", "write keys as in"]),
        (&["", "1"], 2, &["E_USAGE", "say which key", "`server.port`"]),
        (&["server.port"], 2, &["VALUE"]),
        (&["server.port", "many"], 3, &["E_TYPE", "must be an integer", "write digits only"]),
        (&["hosts", "a"], 3, &["E_TYPE", "must be a list", "write it as JSON"]),
        (&["hosts.2.name", "a", "--configuration", "ap"], 3, &["E_REFERENCE", "did you mean `app`?"]),
        (&["motd", "a", "--configuration", "other"], 3, &["E_REFERENCE", "no configuration `other`", "has app"]),
        (&["motd", "a", "--environment", "produktion"], 3, &["E_ENVIRONMENT", "did you mean `production`?"]),
        (&["motd", "a", "--environment", "../b/\"{{ x }}\""], 3, &["E_ENVIRONMENT", "add it under `environments`"]),
        (&["hosts.7", "a"], 3, &["E_REFERENCE", "`7` is no position in a list of 2", "the next one is `2`"]),
        (&["hosts.-1", "a"], 3, &["E_REFERENCE", "the next one is `2`"]),
        (&["motd", "a", "--variable", "APP"], 2, &["KEY=VALUE"]),
    ] {
        headfast(dir.path(), &[&["set"], args].concat()).ends(code).says(says);
        assert_eq!(files(dir.path()), before, "{args:?}");
    }
    for (args, code, says) in [
        (&["server..port"][..], 2, &["E_USAGE", "write keys as in"][..]),
        (&["motd", "--configuration", "other"], 3, &["E_REFERENCE", "has app"]),
        (&["motd", "--environment", "produktion"], 3, &["E_ENVIRONMENT", "did you mean `production`?"]),
        (&["hosts.7"], 2, &["E_NOT_FOUND"]),
        (&["motd", "--format", "xml"], 2, &["it must be yaml, json, toml, env or ini"]),
    ] {
        headfast(dir.path(), &[&["get"], args].concat()).ends(code).says(says);
    }
}

#[test]
fn m62_a_dry_run_shows_the_change_and_writes_nothing() {
    let dir = repository();
    let before = files(dir.path());
    let set = |args: &[&str]| headfast(dir.path(), &[&["set", "--dry-run"], args].concat());
    let shown = set(&["server.port", "9090"]).ends(0).says(&["`copy.port` changes with it"]).stdout;
    insta::assert_snapshot!(shown, @r"
    --- base.yaml
    +++ base.yaml
    @@ -1,6 +1,6 @@
     # The base.
     server: &server   # everywhere
    -  port:  8080   # the port
    +  port:  9090   # the port
     
       host: 'a.example'
     copy: *server
    ");
    assert!(set(&["motd", "5", "--layer", "extra.yaml"]).ends(0).stdout.starts_with("--- /dev/null\n+++ extra.yaml\n"));
    set(&["server.port", "8080"]).ends(0).says(&["base.yaml:3: `server.port` stands already"]);
    let json = set(&["server.port", "9090", "--json"]).ends(0).json();
    assert_eq!((&json["changed"], json["diff"].as_str()), (&true.into(), Some(shown.as_str())));
    let json = set(&["server.port", "8080", "--json"]).ends(0).json();
    assert_eq!((&json["changed"], &json["diff"]), (&false.into(), &"".into()));
    set(&["server.port", "70000"]).ends(3).says(&["E_SCHEMA"]);
    assert_eq!(files(dir.path()), before);
}

#[test]
fn m62_a_secret_is_redacted_whatever_the_format() {
    const SECRET: &str = "hunter2-hunter2";
    let dir = repository();
    let key = include_str!("../fixtures/sops/keys/k1.txt");
    let recipients = SecretManager::new(&[key]).unwrap().recipients();
    let mut random = |bytes: &mut [u8]| {
        rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty()).unwrap();
    };
    let (file, plain) =
        (Arc::from("sealed.json"), format!(r#"{{"server": {{"host": "{SECRET}"}}, "motd": "{SECRET}"}}"#));
    let now = "2026-11-23T09:08:07Z";
    let rule = Rule::default();
    let sealed = encrypt_configuration(&file, plain.as_bytes(), Format::Json, &recipients, &rule, now, &mut random);
    fs::write(dir.path().join("sealed.json"), sealed.unwrap()).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headfast"));
        command.args(args).current_dir(dir.path()).env_clear().env("HOME", dir.path()).env("SOPS_AGE_KEY", key);
        Output::of(command.output().unwrap()).ends(0)
    };
    for format in ["yaml", "json", "toml", "env", "ini"] {
        let shown = run(&["get", "server", "--format", format]);
        assert!(shown.stdout.contains("<redacted>") && shown.stdout.contains("8080"), "{format}: {}", shown.stdout);
        for args in [&["get", "motd", "--format", format][..], &["get", "motd", "--default", "x", "--format", format]] {
            assert_eq!(run(args).stdout, "<redacted>\n", "{args:?}");
        }
        assert!(!(shown.stdout + &shown.stderr).contains(SECRET), "{format}");
    }
    for args in [&["get"][..], &["get", "--json"], &["get", "motd", "--json"], &["get", "server.host", "--json"]] {
        let shown = run(args);
        assert!(shown.stdout.contains("<redacted>") && !(shown.stdout + &shown.stderr).contains(SECRET), "{args:?}");
    }
    assert_eq!(run(&["get", "motd", "--reveal"]).stdout, format!("{SECRET}\n"), "that is what it would be");
    // What stands beside a secret in another layer can be set, and shows nothing of it.
    let shown = run(&["set", "server.port", "9090", "--dry-run"]);
    assert!(!(shown.stdout + &shown.stderr).contains(SECRET));
}

#[test]
fn set_refuses_what_has_another_name_in_a_layer_that_is_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let text = "schema_version: 1\nserver:\n  workers: 4\nmotd: hello\n";
    fs::create_dir(dir.path().join("m")).unwrap();
    for (path, content) in [
        (
            "headfast.yaml",
            "version: 1\nenvironments: {production: {type: production}}\nconfigurations:\n  \
             app: {layers: [base.yaml], schema_version: 2, migrations: m}\ntargets: {}\n",
        ),
        ("base.yaml", text),
        ("m/0002-threads.yaml", "- rename: {from: server.workers, to: server.threads}\n"),
    ] {
        fs::write(dir.path().join(path), content).unwrap();
    }
    assert_eq!(headfast(dir.path(), &["get", "server.threads"]).ends(0).stdout, "4\n");
    for key in ["server.threads", "server.workers"] {
        for layer in [&[][..], &["--layer", "base.yaml"]] {
            let refused = headfast(dir.path(), &[&["set", key, "8"], layer].concat()).ends(4);
            refused.says(&[
                "E_SET",
                &format!("`{key}` has another name in `base.yaml`"),
                "from version 1 to 2",
                "editor",
            ]);
            assert_eq!(read(dir.path(), "base.yaml"), text);
        }
    }
    // What no migration touches has one name.
    headfast(dir.path(), &["set", "motd", "hi"]).ends(0);
    assert_eq!(read(dir.path(), "base.yaml"), text.replace("hello", "hi"));
}
