//! What a configuration deployer is expected to do, by the rows of the list of behaviours.

use crate::host::{AGENT, MANIFEST, TestHost};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn history(host: &TestHost) -> Vec<Value> {
    host.run(&["history", "--json", "--limit", "100"]).ends(0).json()["deployments"].as_array().unwrap().clone()
}

fn quiet() -> String {
    AGENT.replace("push: direct", "push: 'off'")
}

#[test]
fn m42_the_state_is_made_private_and_environments_are_looked_up_by_name() {
    let host = TestHost::with(&[("files/a", "a\n")]);
    let mode = |path: &str| fs::metadata(host.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("state"), mode("state/headfast.db")), (0o700, 0o600));
    let found = host.run(&["status", "--json"]).ends(0).json();
    assert_eq!(found["repositories"][0]["environment"], "production");
}

#[test]
fn m44_an_unknown_environment_is_an_error_that_names_it() {
    let host = TestHost::new();
    host.agent(&AGENT.replace("environment: production", "environment: prodution"));
    host.commit(&[("headfast.yaml", MANIFEST), ("files/a", "a\n")]);
    host.run(&["sync"]).ends(3).says(&["E_ENVIRONMENT", "prodution", "production"]);
    assert!(!host.path("live").exists());
}

#[test]
fn m43_m45_x06_a_deployment_is_recorded_with_its_commit_and_found_by_its_number() {
    let host = TestHost::with(&[("files/a", "one\n")]);
    let second = host.commit(&[("files/a", "two\n")]);
    host.run(&["sync"]).ends(0);
    let all = history(&host);
    let ids: Vec<i64> = all.iter().map(|it| it["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [2, 1], "the newest comes first");
    let last = &all[0];
    assert_eq!((&last["status"], &last["environment"]), (&"success".into(), &"production".into()));
    assert_eq!((&last["revision"], &last["trigger"]), (&second.into(), &"manual".into()));
    let shown = host.run(&["show", "2", "--json"]).ends(0).json();
    assert_eq!(shown["deployments"][0]["id"], 2);
    host.run(&["show", "3"]).ends(2).says(&["E_NOT_FOUND"]);
}

#[test]
fn m46_x01_a_rollback_brings_bytes_modes_and_absence_back_and_marks_what_it_took_back() {
    let host = TestHost::new();
    host.agent(&quiet());
    host.commit(&[
        ("headfast.yaml", &format!("{MANIFEST}    mode: \"0600\"\n")),
        ("files/a", "one\n"),
        ("files/b", "b\n"),
    ]);
    host.run(&["sync"]).ends(0);
    let before = host.snapshot();
    host.remove("files/b");
    host.commit(&[("headfast.yaml", MANIFEST), ("files/a", "two\n"), ("files/c", "c\n")]);
    host.run(&["sync"]).ends(0);
    host.run(&["rollback", "--to", "99"]).ends(2).says(&["E_NOT_FOUND", "deployment 99"]);
    host.run(&["rollback"]).ends(0);
    let plain = |it: &std::collections::BTreeMap<String, crate::host::Entry>| {
        let mut it = it.clone();
        it.values_mut().for_each(crate::host::Entry::forget_identity);
        it
    };
    assert_eq!(plain(&host.snapshot()), plain(&before));
    let statuses: Vec<_> = history(&host).iter().map(|it| it["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(statuses, ["success", "rolled_back", "success"]);
    assert_eq!(history(&host)[0]["trigger"], "rollback");
}

#[test]
fn m47_variables_are_filled_in_at_the_deployment() {
    let host = TestHost::new();
    let manifest = "version: 1\nenvironments: {production: {type: production, variables: {WORD: earth, AB: whole}}}\nconfigurations: \
                    {app: {layers: [app.yaml]}}\ntargets: {app: {path: '@LIVE@', files: [{write: app.json, configuration: app}]}}\n";
    host.commit(&[("headfast.yaml", manifest), ("app.yaml", "hello: ${WORD}\nother: ${NONE:-sky}\nlong: ${AB}\n")]);
    host.run(&["sync"]).ends(0);
    let live: Value = serde_json::from_str(&host.live("app.json")).unwrap();
    assert_eq!(live, serde_json::json!({"hello": "earth", "other": "sky", "long": "whole"}));
    host.commit(&[("app.yaml", "hello: ${WROD}\n")]);
    host.run(&["sync"]).ends(3).says(&["E_VARIABLE", "WROD", "app.yaml:1"]);
    assert_eq!(serde_json::from_str::<Value>(&host.live("app.json")).unwrap(), live, "the last good one stays");
}

#[test]
fn m48_statuses_and_environments_have_their_names() {
    use headfast::{DeploymentStatus, EnvironmentType};
    let statuses = [
        DeploymentStatus::Pending,
        DeploymentStatus::InProgress,
        DeploymentStatus::Success,
        DeploymentStatus::Failed,
        DeploymentStatus::RolledBack,
    ];
    assert_eq!(statuses.map(DeploymentStatus::as_str), ["pending", "in_progress", "success", "failed", "rolled_back"]);
    let types =
        [EnvironmentType::Development, EnvironmentType::Staging, EnvironmentType::Production, EnvironmentType::Testing];
    assert_eq!(types.map(EnvironmentType::as_str), ["development", "staging", "production", "testing"]);
}

#[test]
fn x02_a_file_that_cannot_be_written_leaves_all_targets_as_they_were() {
    let host = TestHost::new();
    let head = &MANIFEST[..MANIFEST.find("  app:").unwrap()];
    let manifest = format!(
        "{head}  one: {{path: @LIVE@/one, files: [{{copy: files}}]}}\n  two: {{path: @LIVE@/two, files: [{{copy: files}}]}}\n"
    );
    host.commit(&[("headfast.yaml", &manifest), ("files/a", "one\n")]);
    host.run(&["sync"]).ends(0);
    // In the second target a folder stands where a file belongs.
    fs::create_dir(host.path("live/two/new")).unwrap();
    let before = host.snapshot();
    host.commit(&[("files/a", "two\n"), ("files/new", "new\n")]);
    host.run(&["sync"]).ends(1).says(&["E_TARGET_TYPE", "two/new"]);
    assert_eq!(host.snapshot(), before);
}

#[test]
fn x04_numbers_of_deployments_rise_also_within_one_second() {
    let host = TestHost::with(&[("files/a", "a\n")]);
    for n in 0..10 {
        host.commit(&[("files/a", &format!("{n}\n"))]);
        host.run(&["sync"]).ends(0);
    }
    let ids: Vec<i64> = history(&host).iter().map(|it| it["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, (1..=11).rev().collect::<Vec<_>>());
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 11);
}

#[test]
fn x10_what_is_deployed_already_is_not_deployed_again_and_what_is_stale_goes() {
    let host = TestHost::with(&[("files/a", "a\n"), ("files/stale", "x\n")]);
    let before = host.snapshot();
    host.run(&["sync"]).ends(0).says(&["there was nothing to do"]);
    assert_eq!((host.snapshot(), history(&host).len()), (before, 1));
    fs::write(host.path("live/mine"), "mine\n").unwrap();
    host.remove("files/stale");
    host.commit(&[]);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.snapshot().into_keys().collect::<Vec<_>>(), ["a", "mine"]);
    let clash =
        format!("{MANIFEST}      - {{copy: other, to: a}}\n").replace("[{copy: files}]", "\n      - {copy: files}");
    host.commit(&[("headfast.yaml", &clash), ("other", "x\n")]);
    host.run(&["sync"]).ends(3).says(&["E_OUTPUT_CLASH"]);
    assert_eq!(host.live("a"), "a\n");
}

#[test]
fn x11_nothing_leaves_the_target() {
    let host = TestHost::with(&[("files/a", "a\n")]);
    // A folder of the target becomes a link to elsewhere: what belongs below it is not written there.
    fs::create_dir(host.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(host.path("elsewhere"), host.path("live/d")).unwrap();
    host.commit(&[("files/d/b", "b\n")]);
    host.run(&["sync"]).ends(1).says(&["E_TARGET_SYMLINK", "live/d"]);
    assert_eq!(fs::read_dir(host.path("elsewhere")).unwrap().count(), 0);
    assert_eq!(host.live("a"), "a\n");
}

#[test]
fn x12_checks_reloads_and_probes_run_in_their_order_and_a_failed_probe_goes_back() {
    let host = TestHost::new();
    host.agent(&quiet());
    let says =
        |word: &str, and: &str| format!("[{{command: [/bin/sh, -c, 'echo {word} >> @DIR@/log; {and}'], within: 1s");
    let lines = format!(
        "    check: {}}}]\n    reload: {}}}]\n    probe: {}, settle: 0s}}]\n",
        says("check", "true"),
        says("reload", "true"),
        says("probe", "! grep -q bad @LIVE@/a")
    );
    host.commit(&[("headfast.yaml", &format!("{MANIFEST}{lines}")), ("files/a", "good\n")]);
    host.run(&["sync"]).ends(0);
    let log = || fs::read_to_string(host.path("log")).unwrap();
    assert_eq!(log(), "check\nreload\nprobe\n");
    fs::remove_file(host.path("log")).unwrap();
    host.commit(&[("files/a", "bad\n")]);
    host.run(&["sync"]).ends(6);
    // The probe of what is live is asked before the switch, so that nobody is blamed for what was broken already.
    let said = log();
    assert!(said.starts_with("probe\ncheck\nreload\nprobe\n") && said.ends_with("reload\nprobe\n"), "{said}");
    assert_eq!(host.live("a"), "good\n");
}

#[test]
fn x13_history_quarantine_and_suspension_outlive_every_process() {
    let host = TestHost::new();
    host.agent(&quiet());
    let probe = "    probe: [{command: [/bin/sh, -c, '! grep -q bad @LIVE@/a'], within: 1ms, settle: 0s}]\n";
    host.commit(&[("headfast.yaml", &format!("{MANIFEST}{probe}")), ("files/a", "good\n")]);
    host.run(&["sync"]).ends(0);
    host.commit(&[("files/a", "bad\n")]);
    host.run(&["sync"]).ends(6);
    host.run(&["suspend", "--reason", "until tomorrow"]).ends(0);
    let agent = crate::daemon::Agent::start(&host);
    agent.says("until tomorrow");
    agent.kill();
    host.run(&["resume"]).ends(0).says(&["go on"]);
    host.run(&["sync"]).ends(4).says(&["E_QUARANTINED"]);
    let statuses: Vec<_> = history(&host).iter().map(|it| it["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(statuses, ["superseded", "rolled_back", "success"]);
}
