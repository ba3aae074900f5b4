//! The table of exit codes and statuses of DESIGN.md section 9, row by row.

use crate::daemon::{Agent, Gate};
use crate::host::{AGENT, MANIFEST, TestHost};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// The usual manifest, with a configuration that is made into a file.
const CONFIGURED: &str = "\
version: 1
environments:
  production: {type: production}
configurations:
  app: {layers: [app.yaml], schema: app.json}
policies: [policies]
targets:
  app:
    path: @LIVE@
    files:
      - copy: files
      - {template: templates, configuration: app}
";

const SCHEMA: &str = r#"{"type": "object", "properties": {"port": {"type": "integer"}}}"#;

const POLICY: &str = "package main\n\ndeny contains \"no port 1\" if {\n  input.configurations.app.port == 1\n}\n";

/// The deployments, newest first.
fn history(host: &TestHost) -> Vec<Value> {
    host.run(&["history", "--json"]).ends(0).json()["deployments"].as_array().unwrap().clone()
}

/// The newest deployment's commit, status and error's code.
fn last(host: &TestHost) -> (String, String, String) {
    let last = &history(host)[0];
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    (text(&last["revision"]), text(&last["status"]), text(&last["error"]["code"]))
}

/// A host on which something good is deployed, without polling and reverts.
fn host() -> TestHost {
    let host = TestHost::new();
    host.agent(&AGENT.replace("push: direct", "push: 'off'"));
    host.commit(&[
        ("headfast.yaml", CONFIGURED),
        ("app.yaml", "port: 80\n"),
        ("app.json", SCHEMA),
        ("policies/ports.rego", POLICY),
        ("templates/page.j2", "{{ port }}\n"),
        ("files/a", "a\n"),
        ("files/b", "b\n"),
    ]);
    host.run(&["sync"]).ends(0);
    host
}

/// Deploys what was committed and looks how it ends: no live file is touched, and the commit is said no to.
#[track_caller]
fn ends(host: &TestHost, exit: i32, status: &str, code: &str) {
    let before = host.snapshot();
    let tip = host.remote(&["rev-parse", "main"]);
    for _ in 0..2 {
        host.run(&["sync"]).ends(exit).says(&[code]);
        assert_eq!(last(host), (tip.clone(), status.into(), code.into()));
    }
    assert_eq!(host.snapshot(), before);
    let n_records = history(host).iter().filter(|it| it["revision"] == *tip).count();
    // A check is run again when a person says `sync` again.
    assert_eq!(n_records, if code == "E_CHECK" { 2 } else { 1 });
    assert_eq!(host.remote(&["rev-parse", "main"]), tip, "nothing is reverted");
}

/// Commits a change to a good repository, which is then refused.
#[track_caller]
fn refused(exit: i32, code: &str, files: &[(&str, &str)]) {
    let host = host();
    host.commit(files);
    ends(&host, exit, "refused", code);
    // The next commit is judged for itself.
    host.commit(&[("headfast.yaml", CONFIGURED), ("app.yaml", "port: 81\n"), ("templates/page.j2", "{{ port }}\n")]);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("page"), "81\n");
}

#[test]
fn row_1_what_is_wrong_is_refused_with_3() {
    refused(3, "E_SCHEMA", &[("app.yaml", "port: x\n")]);
    refused(3, "E_UNDEFINED", &[("templates/page.j2", "{{ prot }}\n")]);
    refused(3, "E_TEMPLATE_PARSE", &[("templates/page.j2", "{{ port\n")]);
    refused(3, "E_UNKNOWN_KEY", &[("headfast.yaml", &format!("{CONFIGURED}    owners: root\n"))]);
    let migrated = CONFIGURED.replace("schema: app.json", "schema: app.json, migrations: steps, schema_version: 2");
    refused(
        3,
        "E_MIGRATION_PATH",
        &[
            ("headfast.yaml", &migrated),
            ("steps/0003-no-way.yaml", "- rename: {from: a, to: b}\n"),
            ("app.yaml", "schema_version: 1\nport: 80\n"),
        ],
    );
    let secret = include_str!("../fixtures/sops/valid/encrypted-regex.enc.yaml");
    let layers = CONFIGURED.replace("[app.yaml]", "[app.yaml, secret.sops.yaml]");
    refused(3, "E_KEY", &[("headfast.yaml", &layers), ("secret.sops.yaml", secret)]);
}

#[test]
fn row_2_what_a_gate_says_no_to_is_refused_with_4() {
    refused(4, "E_POLICY", &[("app.yaml", "port: 1\n")]);
    refused(4, "E_TARGET_NOT_ALLOWED", &[("headfast.yaml", &CONFIGURED.replace("@LIVE@", "@DIR@/else"))]);
    let action = |text: &str| format!("{CONFIGURED}    {text}\n");
    refused(4, "E_COMMAND_NOT_ALLOWED", &[("headfast.yaml", &action("reload: [{command: [/bin/true]}]"))]);
    refused(
        4,
        "E_CHECK",
        &[("headfast.yaml", &action("check: [{command: [/bin/sh, -c, 'exit 1']}]")), ("files/a", "x")],
    );
    // Emptying a target: here by dropping it from the manifest.
    let other = CONFIGURED.replace("@LIVE@", "@LIVE@/below");
    refused(4, "E_MASS_DELETE", &[("headfast.yaml", &other)]);
}

#[test]
fn row_2_signatures_and_rewinds() {
    let host = host();
    let signers = host.path("signers");
    fs::write(&signers, "").unwrap();
    fs::set_permissions(&signers, fs::Permissions::from_mode(0o644)).unwrap();
    let verify = "    verify: {mode: tip, allowed_signers: @DIR@/signers}\n    rollback";
    host.agent(&AGENT.replace("    rollback", verify).replace("push: direct", "push: 'off'"));
    host.commit(&[("files/a", "unsigned\n")]);
    ends(&host, 4, "refused", "E_SIG_MISSING");
    host.agent(&AGENT.replace("push: direct", "push: 'off'"));
    host.run(&["sync"]).ends(0);
    let kept = host.live("a");
    host.remote(&["update-ref", "refs/heads/main", "main^"]);
    host.run(&["sync"]).ends(4).says(&["E_HISTORY_REWOUND"]);
    assert_eq!((last(&host).1.as_str(), host.live("a")), ("refused", kept));
}

#[test]
fn row_3_what_gets_in_the_way_before_the_commit_point_is_failed_with_1() {
    let host = host();
    host.agent(&AGENT.replace("commands: [/bin/sh]", "commands: [/bin/sh], users: [nobody-of-this-name]"));
    host.commit(&[("headfast.yaml", &format!("{CONFIGURED}    owner: nobody-of-this-name\n"))]);
    ends(&host, 1, "failed", "E_OWNER");
    // Something that is no file stands where a file belongs.
    host.agent(AGENT);
    fs::create_dir(host.path("live/new")).unwrap();
    host.commit(&[("headfast.yaml", CONFIGURED), ("files/new", "x")]);
    ends(&host, 1, "failed", "E_TARGET_TYPE");
    // A remote that is gone names no commit, so there is no deployment that could fail.
    let before = (host.snapshot(), history(&host));
    fs::rename(host.path("remote.git"), host.path("away")).unwrap();
    host.run(&["sync"]).ends(1).says(&["E_"]);
    assert_eq!((host.snapshot(), history(&host)), before);
}

/// A host that deploys good files and then a commit whose probe fails after it has done this.
fn failing(probe: &str) -> TestHost {
    let host = TestHost::new();
    host.agent(&AGENT.replace("push: direct", "push: 'off'"));
    let failing = format!(
        "    probe: [{{command: [/bin/sh, -c, 'if grep -q bad @LIVE@/a; then {probe} exit 1; fi'], within: 1ms, settle: 0s}}]\n"
    );
    host.commit(&[("headfast.yaml", &format!("{MANIFEST}{failing}")), ("files/a", "good\n"), ("files/b", "one\n")]);
    host.run(&["sync"]).ends(0);
    host.commit(&[("files/a", "bad\n"), ("files/b", "two\n"), ("files/new", "new\n")]);
    host
}

#[test]
fn row_4_k01_what_fails_its_probe_is_rolled_back_with_6_and_held_with_4() {
    let host = failing("");
    let before = host.snapshot();
    let bad = host.remote(&["rev-parse", "main"]);
    host.run(&["sync"]).ends(6).says(&["E_PROBE"]);
    assert_eq!(last(&host), (bad.clone(), "rolled_back".into(), "E_PROBE".into()));
    assert_eq!(host.snapshot(), before);
    // Row 5: while HEAD is quarantined nothing is recorded.
    let so_far = history(&host);
    host.run(&["sync"]).ends(4).says(&["E_QUARANTINED", "headfast retry"]);
    assert_eq!(history(&host), so_far);
    let status = host.run(&["status", "--json"]).ends(0).json();
    assert_eq!(
        (&status["repositories"][0]["state"], &status["repositories"][0]["head"]),
        (&"quarantined".into(), &bad.into())
    );
    host.commit(&[("files/a", "mended\n")]);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "mended\n");
}

#[test]
fn row_4_k03_a_rollback_that_fails_is_stuck_with_7_and_says_which_files_are_which() {
    // The probe fails, and makes a file of which the previous version cannot come back (chattr(1)).
    let host = failing("chattr +i @LIVE@/a;");
    let flag = |it: &str| Command::new("chattr").arg(it).arg(host.path("live/a")).output().unwrap().status.success();
    if !(flag("+i") && flag("-i")) {
        return; // Not root, or a file system without attributes.
    }
    let bad = host.remote(&["rev-parse", "main"]);
    let (a, b) = (host.filled("@LIVE@/a"), host.filled("@LIVE@/b"));
    let which = format!("still new: {a}; as before: {b}, ");
    host.run(&["sync"]).ends(7).says(&["E_ROLLBACK_FAILED", &which]);
    assert_eq!(last(&host), (bad, "failed".into(), "E_ROLLBACK_FAILED".into()));
    assert_eq!((host.live("a"), host.live("b")), ("bad\n".into(), "one\n".into()));
    // Whoever looks is told, and each pass tries again.
    host.run(&["status"]).ends(0).says(&["E_ROLLBACK_FAILED", &which]);
    host.run(&["show", "2"]).ends(0).says(&[&format!("{a} is the new one"), &format!("{b} is the previous one")]);
    host.run(&["sync"]).ends(7).says(&["E_ROLLBACK_FAILED"]);
    assert!(flag("-i"));
    host.run(&["sync"]).ends(4).says(&["the previous files are back", "E_QUARANTINED"]);
    assert_eq!(
        (host.live("a"), host.live("b"), host.path("live/new").exists()),
        ("good\n".into(), "one\n".into(), false)
    );
    assert_eq!((last(&host).1.as_str(), last(&host).2.as_str()), ("rolled_back", "E_PROBE"));
    host.run(&["drift"]).ends(0);
    let left: Vec<String> = host.snapshot().into_keys().filter(|it| it.starts_with(".headfast")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn row_6_a_closed_window_leaves_a_commit_pending_with_0() {
    let host = host();
    let closed = "    windows: [{allow: '0 0 29 2 *', for: 1m}]\n    rollback";
    host.agent(&AGENT.replace("    rollback", closed));
    let tip = host.commit(&[("files/a", "later\n")]);
    for _ in 0..2 {
        host.run(&["sync"]).ends(0).says(&["no deployment window is open", "waits"]);
        assert_eq!((last(&host).0, last(&host).1), (tip.clone(), "pending".into()));
        assert_eq!(host.live("a"), "a\n");
    }
    assert_eq!(history(&host).len(), 2);
    host.agent(AGENT);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "later\n");
}

#[test]
fn row_6_a_suspension_says_who_why_and_until_when_and_ends_by_itself() {
    let host = host();
    host.agent(&AGENT.replace("    rollback", "    drift: {mode: heal}\n    rollback"));
    host.run(&["suspend", "--reason", " "]).ends(2).says(&["E_USAGE"]);
    host.run(&["suspend", "--reason", "x", "--until", "2001-01-01T00:00:00Z"]).ends(2).says(&["is over already"]);
    host.run(&["suspend", "--reason", "exams", "--until", "2999-01-01T00:00:00+01:00"]).ends(0);
    let tip = host.commit(&[("files/a", "later\n")]);
    host.run(&["sync"]).ends(0).says(&["exams", "waits"]);
    assert_eq!((last(&host).0, last(&host).1.as_str()), (tip, "pending"));
    let suspended = || host.run(&["status", "--json"]).ends(0).json()["repositories"][0]["suspended"].clone();
    let order = suspended();
    assert_eq!((&order["reason"], &order["until"]), (&"exams".into(), &"2998-12-31T23:00:00Z".into()));
    assert!(!order["author"].as_str().unwrap().is_empty() && order["since"].as_str().unwrap().starts_with("20"));
    host.run(&["status"]).ends(0).says(&["suspended", "until 2998-12-31 23:00:00Z: exams"]);
    // Drift is reported and not healed, unless a person says so.
    fs::write(host.path("live/b"), "edited\n").unwrap();
    host.run(&["drift"]).ends(5).says(&["live/b"]);
    let agent = Agent::start(&host);
    agent.says("1 file has drifted");
    assert_eq!(host.live("b"), "edited\n");
    host.run(&["drift", "--heal"]).ends(0);
    assert_eq!(host.live("b"), "b\n");
    assert_eq!(agent.stop(), Some(0));
    // A later order replaces the earlier one, and ends by itself.
    host.run(&["suspend", "--reason", "a moment", "--until", "1s"]).ends(0);
    let agent = Agent::start(&host);
    agent.says("success");
    assert_eq!((host.live("a"), suspended()), ("later\n".into(), Value::Null));
    host.run(&["resume"]).ends(0).says(&["were not suspended"]);
}

#[test]
fn row_7_what_a_person_asks_for_and_gets_is_done_with_0() {
    let host = host();
    fs::write(host.path("live/b"), "edited\n").unwrap();
    host.run(&["drift", "--heal"]).ends(0);
    assert_eq!((host.live("b"), last(&host).1), ("b\n".into(), "success".into()));
    host.commit(&[("files/a", "next\n")]);
    host.run(&["sync"]).ends(0);
    host.run(&["rollback"]).ends(0).says(&["suspended until `headfast resume`"]);
    assert_eq!((host.live("a"), last(&host).1), ("a\n".into(), "success".into()));
    assert_eq!(history(&host)[1]["status"], "rolled_back", "what was taken back says so");
}

#[test]
fn o08_two_agents_with_states_of_their_own_cannot_work_in_one_target() {
    let host = TestHost::new();
    let gate = Gate::new(&host);
    let manifest = format!("{MANIFEST}    reload: [{{command: {}, within: 5m}}]\n", Gate::COMMAND);
    host.commit(&[("headfast.yaml", &manifest), ("files/a", "one\n")]);
    host.run(&["sync"]).ends(0);
    host.commit(&[("files/a", "wait\n")]);
    let first = Command::new(env!("CARGO_BIN_EXE_headfast"))
        .args(["sync", "--config"])
        .arg(host.path("agent.yaml"))
        .stdout(std::process::Stdio::null())
        .spawn();
    gate.reached();
    host.agent(&AGENT.replace("@DIR@/state", "@DIR@/other"));
    let before = host.snapshot();
    host.commit(&[("files/a", "other\n")]);
    host.run(&["sync"]).ends(75).says(&["E_TARGET_OWNED", "is at work in", "live"]);
    assert_eq!(host.snapshot(), before);
    gate.open();
    assert!(first.unwrap().wait().unwrap().success());
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "other\n");
}

#[test]
fn o08_a_second_agent_finds_the_target_taken_that_the_first_has_just_made() {
    let host = TestHost::new();
    let gate = Gate::new(&host);
    let manifest = format!("{MANIFEST}    reload: [{{command: {}, within: 5m}}]\n", Gate::COMMAND);
    host.commit(&[("headfast.yaml", &manifest), ("files/a", "wait\n")]);
    assert!(!host.path("live").exists());
    let first = Command::new(env!("CARGO_BIN_EXE_headfast"))
        .args(["sync", "--config"])
        .arg(host.path("agent.yaml"))
        .stdout(std::process::Stdio::null())
        .spawn();
    gate.reached();
    host.agent(&AGENT.replace("@DIR@/state", "@DIR@/other"));
    let before = host.snapshot();
    host.commit(&[("files/a", "other\n")]);
    host.run(&["sync"]).ends(75).says(&["E_TARGET_OWNED", "is at work in", "live"]);
    assert_eq!(host.snapshot(), before);
    gate.open();
    assert!(first.unwrap().wait().unwrap().success());
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "other\n");
}

#[test]
fn o11_a_state_that_was_lost_is_made_again_and_what_is_live_is_adopted_or_kept() {
    let host = TestHost::with(&[("files/a", "a\n"), ("files/b", "b\n")]);
    fs::write(host.path("live/b"), "edited\n").unwrap();
    fs::write(host.path("live/mine"), "not headfast's\n").unwrap();
    let before = host.snapshot();
    fs::remove_dir_all(host.path("state")).unwrap();
    // Who only looks says so and makes nothing.
    host.run(&["status"]).ends(0).says(&["nothing yet"]);
    assert!(!host.path("state").exists());
    let agent = Agent::start(&host);
    agent.says("success");
    assert_eq!(agent.stop(), Some(0));
    let after = host.snapshot();
    assert_eq!((&after["a"], &after["mine"]), (&before["a"], &before["mine"]), "what was right was not written");
    assert_eq!(host.live("b"), "b\n");
    host.run(&["show", "1"]).ends(0).says(&["existing", "live/b"]);
    host.run(&["drift"]).ends(0);
    // What was deployed before is known again: it goes with the repository's, what was not ours stays.
    host.remove("files/a");
    host.commit(&[]);
    host.run(&["sync"]).ends(0).says(&["1 removed"]);
    assert_eq!(host.snapshot().into_keys().collect::<Vec<_>>(), ["b", "mine"]);
}

#[test]
fn p08_what_is_no_target_any_more_is_pruned_only_where_it_is_allowed() {
    let host = TestHost::new();
    let head = &MANIFEST[..MANIFEST.find("  app:").unwrap()];
    let target = |name: &str| format!("  {name}: {{path: @DIR@/{name}, files: [{{copy: files}}]}}\n");
    let allow = |paths: &str| host.agent(&AGENT.replace("['@LIVE@']", paths));
    allow("[@DIR@/one, @DIR@/two]");
    host.commit(&[("headfast.yaml", &format!("{head}{}{}", target("one"), target("two"))), ("files/a", "a\n")]);
    host.run(&["sync"]).ends(0);
    allow("[@DIR@/one]");
    let released = format!("{head}{}allow_removal: ['@DIR@/two']\n", target("one"));
    host.commit(&[("headfast.yaml", &released)]);
    host.run(&["sync"]).ends(4).says(&["E_TARGET_NOT_ALLOWED", "/two", "would be removed", "allow.paths"]);
    assert!(host.path("two/a").exists());
    allow("[@DIR@/one, @DIR@/two]");
    host.run(&["sync"]).ends(0);
    assert!(!host.path("two/a").exists() && host.path("one/a").exists());
}

#[test]
fn p08_healing_takes_no_more_away_than_a_deployment_may() {
    let host = TestHost::new();
    host.commit(&[("headfast.yaml", &format!("{MANIFEST}    prune: all\n")), ("files/a", "a\n")]);
    host.run(&["sync"]).ends(0);
    (0..20).for_each(|n| fs::write(host.path(&format!("live/extra{n}")), "x").unwrap());
    host.run(&["drift", "--heal"]).ends(0);
    assert_eq!(host.snapshot().into_keys().collect::<Vec<_>>(), ["a"]);
    (0..30).for_each(|n| fs::write(host.path(&format!("live/extra{n}")), "x").unwrap());
    host.run(&["drift", "--heal"]).ends(4).says(&["E_MASS_DELETE", "30 of the 31 files"]);
    assert_eq!(host.snapshot().len(), 31);
}
