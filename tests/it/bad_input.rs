//! What is wrong is refused with a code and a place, and no live file is touched, not even its inode or its time.

use crate::host::{AGENT, TestHost};

const MANIFEST: &str = "\
version: 1
environments:
  production: {type: production}
configurations:
  app:
    layers: [config/app.yaml]
    schema: schemas/app.json
targets:
  app:
    path: @LIVE@
    files:
      - template: templates
        configuration: app
      - copy: files
";

const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "port": {"type": "integer", "maximum": 65535},
    "name": {"type": "string"}
  }
}"#;

/// A host on which something good is deployed.
fn host() -> TestHost {
    let host = TestHost::new();
    host.commit(&[
        ("headfast.yaml", MANIFEST),
        ("config/app.yaml", "port: 80\nname: shop\n"),
        ("schemas/app.json", SCHEMA),
        ("templates/page.j2", "{{ name }} on {{ port }}\n"),
        ("files/a", "a\n"),
    ]);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("page"), "shop on 80\n");
    host
}

/// Commits a change to a good repository and looks how a sync refuses it.
#[track_caller]
fn check(files: &[(&str, &str)], exit: i32, says: &[&str]) {
    let host = host();
    host.commit(files);
    refuses(&host, exit, says);
}

/// Looks how a sync refuses what is to be deployed now.
#[track_caller]
fn refuses(host: &TestHost, exit: i32, says: &[&str]) {
    let before = host.snapshot();
    assert!(!before.is_empty());
    host.run(&["sync"]).ends(exit).says(says);
    assert_eq!(host.snapshot(), before);
    // And a second time: what was refused stays refused, and nothing piles up.
    host.run(&["sync"]).ends(exit).says(says);
    assert_eq!(host.snapshot(), before);
}

/// Returns the good manifest with a piece replaced.
#[track_caller]
fn manifest(old: &str, new: &str) -> String {
    assert!(MANIFEST.contains(old), "{old}");
    MANIFEST.replace(old, new)
}

#[test]
fn a_repository_without_a_manifest() {
    let host = host();
    host.remove("headfast.yaml");
    host.commit(&[]);
    refuses(&host, 3, &["E_MANIFEST_MISSING", "headfast.yaml", "hint: ", "targets"]);
}

#[test]
fn an_unknown_key_in_the_manifest() {
    let text = manifest("    files:\n", "    fiels:\n");
    check(
        &[("headfast.yaml", &text)],
        3,
        &["E_UNKNOWN_KEY", "headfast.yaml:11:5", "    fiels:", "did you mean `files`?"],
    );
}

#[test]
fn an_unknown_key_in_agent_yaml() {
    let host = host();
    host.agent(&AGENT.replace("branch:", "brnach:"));
    refuses(&host, 3, &["E_UNKNOWN_KEY", "agent.yaml:7:5", "brnach", "did you mean `branch`?"]);
}

#[test]
fn two_schema_violations_are_both_shown() {
    check(
        &[("config/app.yaml", "port: 99999\nname: 7\n")],
        3,
        &["E_SCHEMA", "config/app.yaml:1:7", "99999", "65535", "config/app.yaml:2:7"],
    );
}

#[test]
fn an_undefined_template_variable() {
    check(&[("templates/page.j2", "hello\n{{ nmae }}\n")], 3, &["E_UNDEFINED", "templates/page.j2:2:4", "nmae"]);
}

#[test]
fn a_target_outside_of_what_is_allowed() {
    let text = manifest("@LIVE@", "@DIR@/elsewhere");
    check(&[("headfast.yaml", &text)], 4, &["E_TARGET_NOT_ALLOWED", "headfast.yaml:9:3", "elsewhere", "allow.paths"]);
}

#[test]
fn a_target_where_nothing_is_allowed_at_all() {
    let host = host();
    host.agent(&AGENT.replace("    allow: {paths: ['@LIVE@'], commands: [/bin/sh]}\n", ""));
    refuses(&host, 4, &["E_TARGET_NOT_ALLOWED", "allow.paths"]);
}

#[test]
fn two_targets_that_overlap() {
    let text = format!("{MANIFEST}  other:\n    path: @LIVE@/inner\n    files: [{{copy: files}}]\n");
    check(&[("headfast.yaml", &text)], 3, &["E_TARGET_OVERLAP", "headfast.yaml:16:11", "inner"]);
}

#[test]
fn paths_that_lead_out() {
    for (old, new, place) in [
        ("path: @LIVE@", "path: @LIVE@/../up", "headfast.yaml:10:11"),
        ("path: @LIVE@", "path: live", "headfast.yaml:10:11"),
        ("path: @LIVE@", "path: \"@LIVE@\\0x\"", "headfast.yaml:10:11"),
        ("copy: files", "{copy: files, to: ../up}", "headfast.yaml:14:"),
        ("copy: files", "{copy: files, to: /etc}", "headfast.yaml:14:"),
        ("copy: files", "{copy: files, to: \"a\\0b\"}", "headfast.yaml:14:"),
        ("copy: files", "copy: ../files", "headfast.yaml:14:"),
        ("copy: files", "copy: /etc", "headfast.yaml:14:"),
        ("config/app.yaml", "../app.yaml", "headfast.yaml:6:"),
    ] {
        check(&[("headfast.yaml", &manifest(old, new))], 3, &["E_PATH", place]);
    }
}

#[test]
fn a_missing_layer() {
    let text = manifest("config/app.yaml", "config/ap.yaml");
    check(
        &[("headfast.yaml", &text)],
        3,
        &["E_LAYER_MISSING", "headfast.yaml:6:14", "config/ap.yaml", "did you mean `config/app.yaml`?"],
    );
}

#[test]
fn all_mistakes_are_shown_at_once() {
    check(
        &[
            ("config/app.yaml", "port: 99999\n"),
            ("templates/page.j2", "{{ nothing }}\n"),
            ("templates/b.j2", "{% if %}\n"),
        ],
        3,
        &["E_SCHEMA", "config/app.yaml:1:7"],
    );
    check(
        &[("templates/page.j2", "{{ nothing }}\n"), ("templates/b.j2", "{% if %}\n")],
        3,
        &["E_UNDEFINED", "templates/page.j2:1:4", "E_TEMPLATE_PARSE", "templates/b.j2:1"],
    );
}

#[test]
fn an_empty_repository() {
    let host = TestHost::new();
    host.run(&["sync"]).ends(1).says(&["E_EMPTY_REPO", "remote.git"]);
    assert!(!host.path("live").exists());
}

#[test]
fn a_branch_that_does_not_exist() {
    let host = host();
    host.agent(&AGENT.replace("branch: main", "branch: mian"));
    refuses(&host, 1, &["E_REF_MISSING", "mian"]);
}

#[test]
fn a_remote_that_is_gone() {
    let host = host();
    std::fs::rename(host.path("remote.git"), host.path("moved.git")).unwrap();
    refuses(&host, 1, &["E_FETCH_NET", "remote.git"]);
    let status = host.run(&["status", "--json"]).ends(0).json();
    assert_eq!(status["repositories"][0]["state"], "in_sync");
}

#[test]
fn a_second_process() {
    let host = host();
    host.commit(&[("files/a", "new\n")]);
    let held = headfast::state::Store::open(&host.path("state"), "sync").unwrap();
    let holder = format!("process {} (`headfast sync`)", std::process::id());
    refuses(&host, 75, &["E_LOCKED", &holder, "hint: "]);
    for verb in ["retry", "resume", "rollback"] {
        host.run(&[verb]).ends(75).says(&["E_LOCKED"]);
    }
    // Who only looks does not wait.
    for verb in ["status", "history", "drift", "plan"] {
        host.run(&[verb]).ends(0);
    }
    drop(held);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "new\n");
}

#[test]
fn commands_and_units_that_are_not_allowed() {
    for (action, code) in [
        ("check: [{command: [/bin/true]}]", "E_COMMAND_NOT_ALLOWED"),
        ("reload: [{command: [/bin/true]}]", "E_COMMAND_NOT_ALLOWED"),
        ("probe: [{command: [/bin/true]}]", "E_COMMAND_NOT_ALLOWED"),
        ("reload: [{unit: nginx.service, action: reload}]", "E_UNIT_NOT_ALLOWED"),
        ("probe: [{unit: nginx.service}]", "E_UNIT_NOT_ALLOWED"),
        ("owner: nobody", "E_USER_NOT_ALLOWED"),
    ] {
        let text = format!("{MANIFEST}    {action}\n");
        check(&[("headfast.yaml", &text)], 4, &[code, "headfast.yaml:", "agent.yaml"]);
    }
}

#[test]
fn a_command_line_that_is_wrong() {
    let host = host();
    for line in [&["sync", "--repository", "stie"][..], &["show", "99"], &["synk"], &["rollback", "--to", "x"]] {
        let before = host.snapshot();
        host.run(line).ends(2);
        assert_eq!(host.snapshot(), before);
    }
    host.run(&["sync", "--repository", "stie"]).ends(2).says(&["E_NOT_FOUND", "did you mean \"site\"?"]);
}

#[test]
fn what_the_repository_says_cannot_act_on_the_terminal() {
    let host = host();
    host.commit(&[("config/app.yaml", "port: 80\n\"na\\e[2Jme\": 1\n")]);
    let output = host.run(&["sync"]).ends(3).says(&["E_SCHEMA"]);
    assert!(!output.stderr.chars().any(|it| it.is_control() && it != '\n'), "{:?}", output.stderr);
}
