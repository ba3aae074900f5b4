//! The way back, at once and by hand.

use crate::daemon::{Agent, Gate};
use crate::host::{AGENT, MANIFEST, TestHost};
use crate::servers::repository::git;
use std::fs;

/// A host without polling and reverts, whose target has these lines.
fn host(lines: &str, files: &[(&str, &str)]) -> TestHost {
    let host = TestHost::new();
    host.agent(&quiet());
    host.commit(&[&[("headfast.yaml", format!("{MANIFEST}{lines}").as_str())], files].concat());
    host.run(&["sync"]).ends(0);
    host
}

fn quiet() -> String {
    AGENT.replace("    branch: main\n", "    branch: main\n    poll: 0\n").replace("push: direct", "push: 'off'")
}

/// A probe that does something when the live file `a` says `bad`, and holds otherwise.
fn probe(text: &str, timing: &str) -> String {
    format!("    probe: [{{command: [/bin/sh, -c, 'if grep -q bad @LIVE@/a; then {text} fi'], {timing}}}]\n")
}

fn statuses(host: &TestHost) -> Vec<String> {
    let history = host.run(&["history", "--json"]).ends(0).json();
    let all = history["deployments"].as_array().unwrap();
    all.iter().map(|it| it["status"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn k02_a_probe_that_hangs_flaps_or_is_late_is_decided_once() {
    // What it does on the n-th look; a file counts them.
    let nth = |then: &str| format!("echo x >> @DIR@/looks; n=$(wc -l < @DIR@/looks); {then}");
    let looks = |host: &TestHost| fs::read_to_string(host.path("looks")).unwrap().lines().count();

    let host_with = |then: &str, timing: &str| {
        let host = host(&probe(then, timing), &[("files/a", "good\n")]);
        host.commit(&[("files/a", "bad\n")]);
        host
    };
    // It hangs: its deadline decides.
    let host = host_with("sleep 1000;", "within: 1s, settle: 0s");
    host.run(&["sync"]).ends(6).says(&["E_PROBE"]);
    assert_eq!(host.live("a"), "good\n");
    // It holds, and no longer a while later: that is no success.
    let host = host_with(&nth("test $n = 1;"), "within: 1s, settle: 10ms");
    host.run(&["sync"]).ends(6).says(&["E_PROBE"]);
    assert_eq!(host.live("a"), "good\n");
    // It is late, but in time.
    let host = host_with(&nth("test $n -ge 3;"), "within: 5m, settle: 0s");
    host.run(&["sync"]).ends(0);
    assert_eq!((host.live("a").as_str(), looks(&host)), ("bad\n", 3));
    assert_eq!(statuses(&host), ["success", "success"]);
}

#[test]
fn k07_a_bad_merge_is_taken_back_to_its_first_parents_tree() {
    let host = host(&probe("exit 1;", "within: 1ms, settle: 0s"), &[("files/a", "good\n"), ("files/b", "b\n")]);
    host.agent(&AGENT.replace("    branch: main\n", "    branch: main\n    poll: 0\n"));
    let good = host.remote(&["rev-parse", "main"]);
    let work = host.path("work");
    git(&work, &["checkout", "-q", "-b", "side"]);
    host.write("files/a", b"bad\n");
    git(&work, &["commit", "-q", "-a", "-m", "on the side"]);
    git(&work, &["checkout", "-q", "main"]);
    host.write("files/b", b"on main\n");
    git(&work, &["commit", "-q", "-a", "-m", "on main"]);
    git(&work, &["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    let bad = host.push();
    host.run(&["sync"]).ends(6).says(&["is reverted on the branch"]);
    assert_eq!((host.live("a"), host.live("b")), ("good\n".into(), "b\n".into()));
    // The revert has one parent and the tree of what was live.
    assert_eq!(host.remote(&["rev-list", "--parents", "-1", "main"]).split(' ').nth(1), Some(bad.as_str()));
    let tree = |of: &str| host.remote(&["rev-parse", &format!("{of}^{{tree}}")]);
    assert_eq!(tree("main"), tree(&good));
    host.run(&["sync"]).ends(0).says(&["no file was touched"]);
}

#[test]
fn k08_a_fix_that_is_pushed_while_the_rollback_runs_is_deployed_next_and_once() {
    let host = TestHost::new();
    let gate = Gate::new(&host);
    // The reload of what comes back waits at the gate: the good file says `wait`, and the first time there is no gate.
    let lines = format!(
        "{}    reload: [{{command: [/bin/sh, -c, 'test ! -e @DIR@/ready || /bin/sh -c \"$0\"', \
         'if grep -q wait @LIVE@/a; then echo > @DIR@/gate.reached; flock -s @DIR@/gate.lock true; fi'], within: 5m}}]\n",
        probe("exit 1;", "within: 1ms, settle: 0s")
    );
    host.agent(&quiet());
    host.commit(&[("headfast.yaml", &format!("{MANIFEST}{lines}")), ("files/a", "wait\n")]);
    let agent = Agent::start(&host);
    agent.says("success");
    fs::write(host.path("ready"), "").unwrap();
    host.commit(&[("files/a", "bad\n")]);
    gate.reached();
    let fix = host.commit(&[("files/a", "fixed\n")]);
    gate.open();
    agent.says("rolled_back");
    agent.says(&format!("success {}", &fix[..12]));
    assert_eq!(host.live("a"), "fixed\n");
    assert_eq!(agent.stop(), Some(0));
    host.run(&["sync"]).ends(0).says(&["nothing to do"]);
    assert_eq!(statuses(&host), ["success", "rolled_back", "success"]);
}

#[test]
fn k10_a_rollback_over_a_migration_brings_the_previous_bytes_back() {
    let manifest = |version: u32| {
        format!(
            "version: 1\nenvironments: {{production: {{type: production}}}}\nconfigurations:\n  app: {{layers: [app.yaml], \
             migrations: steps, schema_version: {version}}}\ntargets:\n  app:\n    path: @LIVE@\n    files:\n      - {{write: \
             app.toml, configuration: app}}\n      - {{copy: files}}\n"
        )
    };
    let app = "# the service\nschema_version: 1\nserver:\n  port: 80\n";
    let step = ("steps/0002-rename-port.yaml", "- rename: {from: server.port, to: server.listen_port}\n");
    let host = TestHost::new();
    host.agent(&quiet());
    host.commit(&[("headfast.yaml", &manifest(1)), ("app.yaml", app), step, ("files/a", "a\n")]);
    host.run(&["sync"]).ends(0);
    let before = host.live("app.toml");
    let failing = manifest(2) + &probe("exit 1;", "within: 1ms, settle: 0s");
    host.commit(&[("headfast.yaml", &failing), ("files/a", "bad\n")]);
    host.run(&["sync"]).ends(6);
    assert_eq!(host.live("app.toml"), before);
    // The same by hand, where nothing waits to be put back and all is rendered again.
    host.commit(&[("headfast.yaml", &manifest(2)), ("files/a", "a\n")]);
    host.run(&["sync"]).ends(0);
    assert!(host.live("app.toml").contains("listen_port = 80"));
    host.run(&["rollback"]).ends(0);
    assert_eq!(host.live("app.toml"), before);
}

#[test]
fn p16_the_switch_back_needs_no_network_and_no_git() {
    // The probe takes the remote and the mirror away before it fails.
    let gone = "mv @DIR@/remote.git @DIR@/away; rm -rf @DIR@/state/mirror; exit 1;";
    let host = host(&probe(gone, "within: 1ms, settle: 0s"), &[("files/a", "good\n"), ("files/b", "one\n")]);
    let before = host.snapshot();
    host.commit(&[("files/a", "bad\n"), ("files/b", "two\n"), ("files/c", "three\n")]);
    host.run(&["sync"]).ends(6).says(&["the previous files are back"]);
    assert_eq!(host.snapshot(), before, "the very inodes are back");
    // By hand it is the mirror that is needed: without one nothing is touched, and the next fetch makes it anew.
    fs::rename(host.path("away"), host.path("remote.git")).unwrap();
    host.commit(&[("files/a", "mended\n")]);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "mended\n");
    fs::remove_dir_all(host.path("state/mirror")).unwrap();
    fs::rename(host.path("remote.git"), host.path("away")).unwrap();
    let before = host.snapshot();
    host.run(&["rollback"]).ends(1).says(&["E_INCOMPLETE"]);
    assert_eq!(host.snapshot(), before);
    fs::rename(host.path("away"), host.path("remote.git")).unwrap();
    host.run(&["sync"]).ends(0);
    fs::rename(host.path("remote.git"), host.path("away")).unwrap();
    host.run(&["rollback"]).ends(0).says(&["suspended until"]);
    assert_eq!((host.live("a"), host.live("b")), ("good\n".into(), "one\n".into()));
}
