//! headfast as a library: a folder of configurations, and the names at the crate's root.

use headfast::document::{Format, Node, Value};
use headfast::finding::{Code, Findings};
use headfast::folder::ConfigurationFolder;
use headfast::settings::Surroundings;
use headfast::{SecretManager, encrypt_configuration};
use serde_json::json;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use tempfile::TempDir;

fn around(variables: &[(&str, &str)]) -> Surroundings {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    Surroundings { variables, host_name: "web-1".into(), user: rustix::process::geteuid().as_raw() }
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn opened(dir: &TempDir, variables: &[(&str, &str)]) -> ConfigurationFolder {
    ConfigurationFolder::open_in(dir.path(), &around(variables)).unwrap()
}

/// Loads a configuration with which nothing is wrong.
fn loaded(folder: &mut ConfigurationFolder, name: &str) -> serde_json::Value {
    let mut findings = Findings::new();
    let json = folder.load(name, &mut findings).unwrap().merged.to_json();
    assert!(findings.is_empty(), "{findings:?}");
    json
}

#[test]
fn m07_environment_overlay_is_read_after_base() {
    let dir = folder(&[
        ("app.yaml", "server: {host: a, port: 1}\n"),
        ("environments/staging/app.toml", "[server]\nport = 2\n"),
        ("environments/production/app.yaml", "server: {port: 3}\n"),
        ("application.yaml", "other: true\n"),
    ]);
    let mut staging = opened(&dir, &[("ENVIRONMENT", "staging")]);
    assert_eq!(loaded(&mut staging, "app"), json!({"server": {"host": "a", "port": 2}}));
    let mut nowhere = opened(&dir, &[("ENVIRONMENT", "elsewhere")]);
    assert_eq!(loaded(&mut nowhere, "app"), json!({"server": {"host": "a", "port": 1}}));
}

#[test]
fn m08_the_environment_comes_from_a_variable_and_is_recorded() {
    let dir = folder(&[("app.yaml", "a: 1\n")]);
    for (variables, expected) in [
        (&[("ENVIRONMENT", "production")][..], "production"),
        (&[("ENVIRONMENT", "")], "development"),
        (&[], "development"),
    ] {
        let mut folder = opened(&dir, variables);
        assert_eq!(folder.environment(), expected);
        loaded(&mut folder, "app");
        assert_eq!(folder.get("app").unwrap().environment, expected);
        assert_eq!(folder.get("app").unwrap().export()["environment"], expected);
    }
}

#[test]
fn m11_m12_the_source_names_every_contributor() {
    let dir = folder(&[("my-app.yaml", "a: 1\n"), ("environments/development/my-app.json", "{}")]);
    let mut folder = opened(&dir, &[("MY_APP_A", "2"), ("MY_APP_", "no name"), ("MY_APPLE", "no")]);
    assert_eq!(loaded(&mut folder, "my-app"), json!({"a": "2"}));
    let source = folder.get("my-app").unwrap().source();
    assert_eq!(source, "my-app.yaml, environments/development/my-app.json, env:MY_APP_");
    // Nothing at all.
    assert_eq!(loaded(&mut folder, "other"), json!({}));
    assert_eq!(folder.get("other").unwrap().source(), "no sources found");
    assert_eq!(folder.load_from("my-app", &[], &mut Findings::new()).unwrap().source(), "no sources found");
}

#[test]
fn m13_a_missing_source_that_was_named_is_not_found() {
    let dir = folder(&[]);
    let mut folder = opened(&dir, &[]);
    for source in
        ["file://app.yaml", "app.yaml", "file://../app.yaml", "file:///etc/hostname", "https://localhost/a.yaml"]
    {
        let mut findings = Findings::new();
        assert!(folder.load_from("app", &[source], &mut findings).is_none(), "{source}");
        assert!(findings.has_errors(), "{source}");
    }
    let mut findings = Findings::new();
    assert!(folder.load_from("app", &["file://app.yaml"], &mut findings).is_none());
    assert_eq!(findings.iter().next().unwrap().code, Code::LAYER_MISSING);
    assert!(folder.get("app").is_none());
}

#[test]
fn m14_m10_sources_of_every_kind_and_one_that_fails_does_not_block_the_others() {
    let dir =
        folder(&[("base.yaml", "a: ${HOST:-localhost}\nb: 1\n"), ("broken.json", "{"), ("sub/top.toml", "b = 2\n")]);
    let mut folder = opened(&dir, &[("HOST", "web"), ("X_C", "3")]);
    let top = format!("file://{}/sub/top.toml", dir.path().display());
    let sources = [
        "file:///etc/hostname.yaml",
        "file://base.yaml",
        "file://broken.json",
        "file://missing.yaml",
        &top,
        "env://X_",
    ];
    let mut findings = Findings::new();
    let configuration = folder.load_from("app", &sources, &mut findings).unwrap();
    assert_eq!(configuration.merged.to_json(), json!({"a": "web", "b": 2, "c": "3"}));
    let files: Vec<&str> = findings.iter().map(|it| &*it.place.as_ref().unwrap().file).collect();
    assert_eq!(files, ["sources", "broken.json", "sources"], "each is told once: {findings:?}");
}

#[test]
fn m17_a_load_has_a_time_and_a_version() {
    let dir = folder(&[("app.yaml", "a: 1\n")]);
    let mut folder = opened(&dir, &[]);
    let before = chrono::Utc::now();
    loaded(&mut folder, "app");
    let configuration = folder.get("app").unwrap();
    assert!(configuration.loaded_at.is_some_and(|it| before <= it && it <= chrono::Utc::now()));
    let mut copy = configuration.clone();
    copy.metadata.insert("own".into(), json!(1));
    let export = configuration.export();
    let keys: Vec<&String> = export.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["data", "source", "loaded_at", "environment", "version", "metadata"]);
    assert_eq!((&export["metadata"], export["version"].as_str().unwrap().len()), (&json!({}), 64));
    assert!(export["loaded_at"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn m28_a_validated_load_gives_nothing_that_is_wrong() {
    let schema = r#"{"properties": {"port": {"type": "integer"}, "old": {"deprecated": true}}}"#;
    let dir = folder(&[("app.yaml", "port: many\n"), ("schemas/app.json", schema)]);
    let mut folder = opened(&dir, &[]);
    let mut findings = Findings::new();
    assert!(folder.load_valid("app", &mut findings).is_none() && findings.has_errors());
    assert!(folder.get("app").is_none());
    fs::write(dir.path().join("app.yaml"), "port: 1\nold: 1\n").unwrap();
    let mut findings = Findings::new();
    assert!(folder.load_valid("app", &mut findings).is_some(), "warnings do not block: {findings:?}");
    assert_eq!(findings.iter().len(), 1);
}

#[test]
fn m30_x19_what_is_saved_is_what_people_wrote_and_loads_the_same() {
    let dir = folder(&[
        ("app.yaml", "# mine\nserver: {host: '${HOST}', port: 1}\nlist: [1, 2]\n"),
        ("environments/development/app.yaml", "server: {port: 2}\n"),
        ("schemas/app.json", r#"{"properties": {"level": {"default": "info"}}}"#),
    ]);
    let variables = [("HOST", "web-1"), ("APP_TOKEN", "from-a-variable")];
    let mut folder = opened(&dir, &variables);
    let values = loaded(&mut folder, "app");
    assert_eq!(values["token"], "from-a-variable");
    for name in ["a.yaml", "new/folder/a.json", "a.toml"] {
        let path = dir.path().join("out").join(name);
        folder.save("app", &path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("${HOST}") && !text.contains("from-a-variable") && !text.contains("info"), "{text}");
        let again = TempDir::new().unwrap();
        fs::copy(&path, again.path().join(format!("app.{}", name.rsplit_once('.').unwrap().1))).unwrap();
        fs::create_dir(again.path().join("schemas")).unwrap();
        fs::copy(dir.path().join("schemas/app.json"), again.path().join("schemas/app.json")).unwrap();
        assert_eq!(loaded(&mut opened(&again, &variables), "app"), values);
    }
    assert_eq!(folder.save("nobody", &dir.path().join("x.yaml")).unwrap_err().code, Code::REFERENCE);
    assert_eq!(folder.save("app", &dir.path().join("x.docx")).unwrap_err().code, Code::VALUE);
    assert_eq!(folder.save("app", &dir.path().join("app.yaml/x.yaml")).unwrap_err().code, Code::IO);
    assert!(!dir.path().join("x.yaml").exists());
}

#[test]
fn m31_a_reload_reads_the_sources_again_and_survives_their_loss() {
    let dir = folder(&[("app.yaml", "a: 1\n"), ("b.yaml", "b: 1\n")]);
    let mut folder = opened(&dir, &[]);
    let mut findings = Findings::new();
    assert!(!folder.reload("app", &mut findings), "unknown");
    loaded(&mut folder, "app");
    folder.load_from("named", &["b.yaml"], &mut findings).unwrap();
    fs::write(dir.path().join("app.yaml"), "a: 2\n").unwrap();
    fs::write(dir.path().join("b.yaml"), "b: 2\n").unwrap();
    assert!(folder.reload("app", &mut Findings::new()) && folder.reload("named", &mut Findings::new()));
    assert_eq!(folder.get("app").unwrap().merged.to_json(), json!({"a": 2}));
    assert_eq!(folder.get("named").unwrap().merged.to_json(), json!({"b": 2}));
    fs::remove_file(dir.path().join("b.yaml")).unwrap();
    fs::write(dir.path().join("app.yaml"), "a: [\n").unwrap();
    assert!(!folder.reload("app", &mut Findings::new()) && !folder.reload("named", &mut Findings::new()));
    // The last good ones stay.
    assert_eq!(folder.get("app").unwrap().merged.to_json(), json!({"a": 2}));
    assert_eq!(folder.get("named").unwrap().merged.to_json(), json!({"b": 2}));
}

#[test]
fn m32_the_folder_is_made_or_the_reason_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    ConfigurationFolder::open_in(&path, &around(&[])).unwrap();
    assert!(path.is_dir());
    fs::write(dir.path().join("file"), "").unwrap();
    let error = ConfigurationFolder::open_in(&dir.path().join("file/b"), &around(&[])).unwrap_err();
    assert_eq!(error.code, Code::IO);
}

#[test]
fn m33_a_backup_is_an_independent_copy() {
    let dir = folder(&[("app.yaml", "a: 1\n")]);
    let mut folder = opened(&dir, &[]);
    assert_eq!(folder.backup("app").unwrap_err().code, Code::REFERENCE);
    loaded(&mut folder, "app");
    let path = folder.backup("app").unwrap();
    assert_eq!(path, dir.path().join("backups/app-unknown.yaml"));
    folder.set("app", "a", &Value::Int(2)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "a: 1\n");
    for arguments in
        [&["init", "-q"][..], &["add", "."], &["-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", "x"]]
    {
        assert!(Command::new("git").current_dir(dir.path()).args(arguments).status().unwrap().success());
    }
    loaded(&mut folder, "app");
    let version = folder.get("app").unwrap().version.clone().unwrap();
    assert_eq!(folder.backup("app").unwrap(), dir.path().join(format!("backups/app-{version}.yaml")));
    fs::remove_dir_all(dir.path().join("backups")).unwrap();
    fs::write(dir.path().join("backups"), "in the way").unwrap();
    assert_eq!(folder.backup("app").unwrap_err().code, Code::IO);
}

#[test]
fn m34_a_report_says_what_shape_a_configuration_has() {
    let dir = folder(&[
        ("log.yaml", "level: loud\nformat: json\n"),
        ("db.yaml", "name: app\nhost: db\nport: 5432\n"),
        ("own.yaml", "name: app\ncolour: red\nsize: 5\nhost: a\n"),
        ("empty.yaml", ""),
    ]);
    let mut folder = opened(&dir, &[]);
    assert!(folder.report("log").is_none(), "it was not loaded");
    let mut judged = |name: &str| {
        folder.load(name, &mut Findings::new()).unwrap();
        let report = folder.report(name).unwrap();
        (report.shape.map(|it| it.name()), report.findings.n_errors())
    };
    assert_eq!(judged("log"), (Some("logging"), 1));
    assert_eq!(judged("db"), (Some("database"), 0));
    assert_eq!(judged("own"), (None, 0));
    assert_eq!(judged("empty"), (None, 0));
}

#[test]
fn m62_a_value_that_is_set_is_there_for_a_new_process() {
    let schema = r#"{"properties": {"server": {"properties": {"port": {"type": "integer"}}}}}"#;
    let text = "# the server\nserver:\n  port: 1 # before\n  host: a\n";
    let dir = folder(&[("app.yaml", text), ("schemas/app.json", schema)]);
    let mut folder = opened(&dir, &[("APP_TOKEN", "t")]);
    loaded(&mut folder, "app");
    assert!(folder.get("app").unwrap().get("no.such.key").is_none());
    folder.set("app", "server.port", &Value::Int(2)).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("app.yaml")).unwrap(), text.replace("1 #", "2 #"));
    let port = |folder: &ConfigurationFolder| folder.get("app").unwrap().get("server.port").map(Node::to_json);
    assert_eq!(port(&folder), Some(json!(2)));
    let mut another = opened(&dir, &[]);
    loaded(&mut another, "app");
    assert_eq!(port(&another), Some(json!(2)));
    // What is of the wrong type, hidden or nowhere is an error, and nothing is written.
    let before = fs::read(dir.path().join("app.yaml")).unwrap();
    for (name, key, value) in [
        ("app", "server.port", Value::String("many".into())),
        ("app", "token", Value::Int(1)),
        ("app", "", Value::Int(1)),
        ("nobody", "a", Value::Int(1)),
    ] {
        assert!(folder.set(name, key, &value).is_err(), "{name} {key}");
    }
    assert_eq!(fs::read(dir.path().join("app.yaml")).unwrap(), before);
    // A configuration that has no file yet gets one.
    loaded(&mut folder, "new");
    folder.set("new", "a.b", &Value::Bool(true)).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("new.yaml")).unwrap(), "a:\n  b: true\n");
}

#[test]
fn x17_a_file_that_others_cannot_read_keeps_its_mode() {
    let dir = folder(&[("app.yaml", "a: 1\n")]);
    fs::set_permissions(dir.path().join("app.yaml"), Permissions::from_mode(0o600)).unwrap();
    let mut folder = opened(&dir, &[]);
    loaded(&mut folder, "app");
    folder.set("app", "a", &Value::Int(2)).unwrap();
    assert_eq!(fs::metadata(dir.path().join("app.yaml")).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Loads a configuration that cannot be, and returns what is wrong.
fn refused(folder: &mut ConfigurationFolder, name: &str) -> Vec<Code> {
    let mut findings = Findings::new();
    assert!(folder.load(name, &mut findings).is_none(), "{name}");
    findings.iter().map(|it| it.code).collect()
}

#[test]
fn x17_a_name_or_environment_that_is_no_name_is_refused_and_nothing_is_written() {
    let outer = folder(&[("x.yaml", "a: 1\n"), ("inner/sub/y.yaml", "a: 1\n")]);
    let dir = outer.path().join("inner");
    let mut folder = ConfigurationFolder::open_in(&dir, &around(&[])).unwrap();
    for name in ["", "../x", "sub/y", "/etc/x", "a b", ".", "..", "-", "a\n", "${HOME}", "{{ host }}"] {
        assert_eq!(refused(&mut folder, name), [Code::VALUE], "{name:?}");
        assert!(folder.load_from(name, &["sub/y.yaml"], &mut Findings::new()).is_none(), "{name:?}");
        assert!(folder.load_valid(name, &mut Findings::new()).is_none(), "{name:?}");
        assert!(folder.set(name, "a", &Value::Int(2)).is_err(), "{name:?}");
        assert!(folder.backup(name).is_err(), "{name:?}");
    }
    for environment in ["../production", "a/b", "Prod Env", "{{ host }}", "a\"b", "..", "ü"] {
        let error = ConfigurationFolder::open_in(&dir, &around(&[("ENVIRONMENT", environment)])).unwrap_err();
        assert_eq!((error.code, error.place.unwrap().to_string()), (Code::VALUE, "env:ENVIRONMENT".to_owned()));
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing is new");
    assert_eq!(fs::read_to_string(outer.path().join("x.yaml")).unwrap(), "a: 1\n");
}

#[test]
fn m07_a_folder_that_is_a_link_is_not_left_out_silently() {
    for (link, to) in [("environments/production", "../staging"), ("environments", "all"), ("schemas", "all")] {
        let dir = folder(&[("app.yaml", "a: 1\n"), ("staging/app.yaml", "a: 2\n"), ("all/app.json", "{}")]);
        let link = dir.path().join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, &link).unwrap();
        assert_eq!(refused(&mut opened(&dir, &[("ENVIRONMENT", "production")]), "app"), [Code::SHAPE], "{link:?}");
    }
}

#[test]
fn m07_files_of_others_are_not_read() {
    let dir = folder(&[("app.yaml", "a: 1\n"), ("app.txt", "x"), ("app", "x")]);
    // To hash it would take an hour.
    fs::File::create(dir.path().join("huge.log")).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(loaded(&mut opened(&dir, &[]), "app"), json!({"a": 1}));
}

#[test]
fn m14_what_is_wrong_with_a_source_names_no_line_of_a_file_that_nobody_wrote() {
    let dir = folder(&[("sources", "{}\n"), ("a.yaml", "a: 1\n")]);
    let mut folder = opened(&dir, &[]);
    for source in ["missing.yaml", "a.docx", "env://1 x", "http://h/", "../a.yaml", ""] {
        let mut findings = Findings::new();
        assert!(folder.load_from("app", &[source], &mut findings).is_none(), "{source}");
        for finding in findings.iter() {
            let place = finding.place.as_ref().map(ToString::to_string);
            assert_eq!((place.as_deref(), &finding.line_text), (Some("sources"), &None), "{finding:?}");
        }
    }
}

#[test]
fn m62_a_value_that_would_not_count_is_refused() {
    let dir = folder(&[
        ("app.yaml", "server: {port: 1}\n"),
        ("environments/development/app.yaml", "server: {port: 2}\nname: a\n"),
    ]);
    let mut folder = opened(&dir, &[("APP_SERVER", "text"), ("ONLY_PORT", "1")]);
    loaded(&mut folder, "app");
    loaded(&mut folder, "only");
    for (name, key) in [("app", "server.port"), ("only", "port")] {
        let refused = folder.set(name, key, &Value::Int(3)).unwrap_err();
        let codes: Vec<Code> = refused.iter().map(|it| it.code).collect();
        assert_eq!(codes, [Code::SET], "{name} {key}");
    }
    assert!(!dir.path().join("only.yaml").exists());
    assert_eq!(fs::read_to_string(dir.path().join("app.yaml")).unwrap(), "server: {port: 1}\n");
    // Beside the variable there is room.
    folder.set("only", "name", &Value::Int(3)).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("only.yaml")).unwrap(), "name: 3\n");
}

#[test]
fn x19_no_secret_is_saved_and_no_encrypted_file_link_or_pipe_replaced() {
    let key = include_str!("../fixtures/sops/keys/k1.txt");
    let sealed = "db: {password: hunter2, user: app}\nlist: [hunter2]\n";
    let dir = folder(&[("app.yaml", "db: {host: a, password: none}\n"), ("real.yaml", "a: 1\n")]);
    let recipients = SecretManager::new(&[key]).unwrap().recipients();
    let mut random = |bytes: &mut [u8]| {
        rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty()).unwrap();
    };
    let (file, now) = (std::sync::Arc::from("app.yaml"), "2026-11-23T09:08:07Z");
    let rule = headfast::secrets::Rule::default();
    let sealed =
        encrypt_configuration(&file, sealed.as_bytes(), Format::Yaml, &recipients, &rule, now, &mut random).unwrap();
    fs::create_dir_all(dir.path().join("environments/development")).unwrap();
    let overlay = dir.path().join("environments/development/app.yaml");
    fs::write(&overlay, &sealed).unwrap();
    let variables = [("SOPS_AGE_KEY", key)];
    let mut folder = opened(&dir, &variables);
    let values = loaded(&mut folder, "app");
    assert_eq!(values["db"]["password"], "hunter2");
    for path in [folder.backup("app").unwrap(), dir.path().join("new.json"), dir.path().join("app.yaml")] {
        folder.save("app", &path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("host") && !text.contains("hunter2"), "{text}");
    }
    assert_eq!(loaded(&mut opened(&dir, &variables), "app"), values, "what is saved lies below the secrets");
    let (link, pipe) = (dir.path().join("link.yaml"), dir.path().join("pipe.yaml"));
    std::os::unix::fs::symlink("real.yaml", &link).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [&overlay, &link, &pipe] {
        assert_eq!(folder.save("app", path).unwrap_err().code, Code::SET, "{path:?}");
    }
    assert_eq!(fs::read(&overlay).unwrap(), sealed);
    assert_eq!(fs::read_to_string(dir.path().join("real.yaml")).unwrap(), "a: 1\n");
}

/// The names of DESIGN.md section 10, at the crate's root; and a configuration needs no secret.
#[test]
fn m63_every_name_is_at_the_root_and_secrets_are_optional() {
    #[allow(unused_imports, reason = "that they can be imported is what is tested")]
    use headfast::{
        ConfigAudit, ConfigDeployment, ConfigSchema, ConfigWatcher, Configuration, ConfigurationDeployer,
        ConfigurationManager, ConfigurationMigrator, ConfigurationMonitor, DeploymentStatus, EnvironmentType,
        SecretManager, deploy_configuration, encrypt_configuration, load_configuration, manage_secrets,
        monitor_config_changes, validate_configuration,
    };
    let tree = headfast::revision::MemoryTree::new([
        (
            "headfast.yaml",
            "version: 1\nenvironments: {dev: {type: development}}\nconfigurations: {app: {layers: [a.yaml]}}\n\
             targets: {}\n",
        ),
        ("a.yaml", "a: 1\n"),
    ]);
    let facts = headfast::manifest::Facts {
        host: "web-1".into(),
        labels: Default::default(),
        environment: "dev".into(),
        variables: Default::default(),
    };
    let (secrets, mut findings) = (SecretManager::new::<String>(&[]).unwrap(), Findings::new());
    let configuration = load_configuration(&tree, &facts, &secrets, "app", &mut findings).unwrap();
    assert!(validate_configuration(&configuration, &mut findings) && findings.is_empty());
    assert_eq!(configuration.merged.to_json(), json!({"a": 1}));
}
