//! The flow from a push to a live file, and back.

use crate::host::{AGENT, MANIFEST, TestHost};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// The usual manifest with lines added to its target.
fn with_target(lines: &str) -> String {
    format!("{MANIFEST}{lines}")
}

/// Lines for a target that appends a word to a log when it is told about a change.
fn logs(word: &str) -> String {
    format!("    reload: [{{command: [/bin/sh, -c, \"echo {word} >> @DIR@/log\"]}}]\n")
}

/// A target whose probe fails as long as the live file `a` says `bad`.
const PROBED: &str = "    probe: [{command: [/bin/sh, -c, '! grep -q bad @LIVE@/a'], within: 1s}]\n";

#[test]
fn the_first_deployment_and_a_change_by_push() {
    let host = TestHost::new();
    let first = host.commit(&[("headfast.yaml", MANIFEST), ("files/a", "one\n"), ("files/d/b", "two\n")]);
    host.run(&["plan"]).ends(0).says(&["create   ", "live/a", "2 created"]);
    host.run(&["plan", "--exit-code"]).ends(5);
    assert!(!host.path("live").exists());
    host.run(&["sync"]).ends(0).says(&[&format!("site: {} is deployed to production: 2 created.", &first[..12])]);
    assert_eq!((host.live("a"), host.live("d/b")), ("one\n".into(), "two\n".into()));
    host.run(&["sync"]).ends(0).says(&["there was nothing to do"]);

    let before = host.snapshot();
    host.commit(&[("files/a", "three\n")]);
    host.run(&["diff", "--exit-code"]).ends(5).says(&["-one", "+three"]);
    assert_eq!(host.snapshot(), before);
    host.run(&["sync"]).ends(0).says(&["1 replaced, 1 unchanged"]);
    assert_eq!(host.live("a"), "three\n");
    // What did not change was not touched.
    assert_eq!(host.snapshot()["d/b"], before["d/b"]);
    host.run(&["plan", "--exit-code"]).ends(0);
}

#[test]
fn what_leaves_the_repository_leaves_the_host() {
    let host = TestHost::with(&[("files/a", "a"), ("files/d/e/b", "b"), ("files/d/c", "c")]);
    fs::write(host.path("live/mine"), "not headfast's").unwrap();
    host.remove("files/d/e");
    host.commit(&[]);
    host.run(&["sync"]).ends(0).says(&["1 removed"]);
    let left: Vec<String> = host.snapshot().into_keys().collect();
    assert_eq!(left, ["a", "d", "d/c", "mine"]);
}

#[test]
fn a_commit_that_changes_nothing_here_advances_the_revision() {
    let host = TestHost::with(&[("files/a", "a")]);
    let before = host.snapshot();
    let tip = host.commit(&[("README.md", "words")]);
    host.run(&["sync"]).ends(0).says(&["no file was touched"]);
    assert_eq!(host.snapshot(), before);
    let status = host.run(&["status", "--json"]).ends(0).json();
    assert_eq!(status["repositories"][0]["revision"], tip);
    assert_eq!(status["repositories"][0]["last_deployment"]["status"], "unchanged");
}

#[test]
fn modes_overrides_executable_bits_and_links() {
    let host = TestHost::new();
    let target =
        "    mode: \"0640\"\n    overrides: [{match: 'bin/**', mode: \"0755\"}, {match: '*.key', mode: \"0600\"}]\n";
    host.write("files/run", b"#!/bin/sh\n");
    fs::set_permissions(host.path("work/files/run"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("bin/tool", host.path("work/files/link")).unwrap();
    host.commit(&[
        ("headfast.yaml", &with_target(target)),
        ("files/a", "a"),
        ("files/bin/tool", "t"),
        ("files/x.key", "k"),
    ]);
    host.run(&["sync"]).ends(0);
    let mode = |path: &str| fs::symlink_metadata(host.path("live").join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("a"), mode("bin/tool"), mode("x.key")), (0o640, 0o755, 0o600));
    assert_eq!(fs::read_link(host.path("live/link")).unwrap().to_str(), Some("bin/tool"));
    // Who may read a program may run it, whatever mode is said for all.
    assert_eq!(mode("run"), 0o750);
    host.commit(&[("headfast.yaml", MANIFEST)]);
    host.run(&["sync"]).ends(0);
    assert_eq!((mode("a"), mode("run")), (0o644, 0o755));
}

#[test]
fn names_with_spaces_and_unicode() {
    let names = ["two words", "日本語/ファイル.txt", "crème brûlée", "-rf", "a'b\"c", "$HOME `id`", "ends with space "];
    let files: Vec<(String, String)> = names.iter().map(|it| (format!("files/{it}"), format!("{it}\n"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
    let host = TestHost::with(&files);
    for name in names {
        assert_eq!(host.live(name), format!("{name}\n"));
    }
    fs::write(host.path("live/two words"), "edited").unwrap();
    host.run(&["drift"]).ends(5).says(&["live/two words", "+edited"]);
}

#[test]
fn two_thousand_mixed_files() {
    let host = TestHost::new();
    let manifest = "\
version: 1
environments:
  production: {type: production}
configurations:
  app: {layers: [config.yaml]}
targets:
  app:
    path: @LIVE@
    files:
      - copy: files
      - {template: templates, configuration: app}
      - {write: app.json, configuration: app}
";
    for n in 0..1990 {
        let folder = format!("files/{:02}/{}", n % 37, ["plain", "with space", "ünïcode"][n % 3]);
        let content = match n % 10 {
            0 => (0..=255u8).cycle().take(n * 7).collect(),
            1 => Vec::new(),
            _ => format!("file {n}\n").repeat(n % 50).into_bytes(),
        };
        host.write(&format!("{folder}/{n}.txt"), &content);
        if n % 5 == 0 {
            let path = host.path("work").join(format!("{folder}/{n}.txt"));
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    for n in 0..9 {
        host.write(&format!("templates/t/{n}.conf.j2"), format!("{n}: {{{{ name }}}}\n").as_bytes());
    }
    host.commit(&[("headfast.yaml", manifest), ("config.yaml", "name: all\n")]);
    host.run(&["sync"]).ends(0).says(&["2000 created"]);
    let n_files = host.snapshot().values().filter(|it| it.is_file()).count();
    assert_eq!(n_files, 2000);
    for n in [0usize, 10, 11, 15, 1989] {
        let path = format!("{:02}/{}/{n}.txt", n % 37, ["plain", "with space", "ünïcode"][n % 3]);
        let (live, source) = (host.path("live").join(&path), host.path("work/files").join(&path));
        assert_eq!(fs::read(&live).unwrap(), fs::read(&source).unwrap(), "{path}");
        let is_executable = |it: &std::path::Path| fs::metadata(it).unwrap().mode() & 0o111 != 0;
        assert_eq!(is_executable(&live), is_executable(&source), "{path}");
    }
    assert_eq!(host.live("t/3.conf"), "3: all\n");
    let before = host.snapshot();
    host.commit(&[("files/00/plain/0.txt", "changed\n")]);
    host.run(&["sync"]).ends(0).says(&["1 replaced, 1999 unchanged"]);
    let after = host.snapshot();
    let changed: Vec<&String> = after.keys().filter(|it| before.get(*it) != after.get(*it)).collect();
    assert_eq!(changed, ["00/plain/0.txt"]);
    host.run(&["drift"]).ends(0);
}

#[test]
fn targets_are_for_some_environments_hosts_and_labels() {
    let host = TestHost::new();
    let target =
        |name: &str, rest: &str| format!("  {name}: {{path: @LIVE@/{name}, files: [{{copy: files}}]{rest}}}\n");
    let mut manifest = MANIFEST[..MANIFEST.find("  app:").unwrap()].to_owned();
    manifest += &target("all", "");
    manifest += &target("here", ", on: {host: 'web-*', labels: {role: web}}, environments: [production]");
    manifest += &target("staging", ", environments: [staging]");
    manifest += &target("db", ", on: {host: 'db-*'}");
    manifest += &target("other", ", on: {labels: {role: web, region: eu}}");
    host.commit(&[("headfast.yaml", &manifest), ("files/a", "a")]);
    host.run(&["sync"]).ends(0);
    let files =
        |host: &TestHost| -> Vec<String> { host.snapshot().into_keys().filter(|it| it.contains('/')).collect() };
    assert_eq!(files(&host), ["all/a", "here/a"]);

    // Other facts make another rendering of the same commit; what is no longer selected goes, under the guard.
    host.agent(&AGENT.replace("environment: production", "environment: staging").replace("web-1", "db-1"));
    host.run(&["sync"]).ends(4).says(&["E_MASS_DELETE", "live/here"]);
    assert_eq!(files(&host), ["all/a", "here/a"]);
    manifest += "allow_removal: ['@LIVE@/here']\n";
    host.commit(&[("headfast.yaml", &manifest)]);
    host.run(&["sync"]).ends(0);
    assert_eq!(files(&host), ["all/a", "db/a", "staging/a"]);
    host.agent(&AGENT.replace("environment: production", "environment: testing"));
    host.run(&["sync"]).ends(3).says(&["E_ENVIRONMENT", "testing"]);
    assert_eq!(files(&host), ["all/a", "db/a", "staging/a"]);
}

#[test]
fn targets_are_told_in_the_order_of_after() {
    let host = TestHost::new();
    let mut manifest = MANIFEST[..MANIFEST.find("  app:").unwrap()].to_owned();
    for (name, after) in [("a", "[b]"), ("b", "[c]"), ("c", "[]"), ("d", "[a]")] {
        manifest += &format!("  {name}:\n    path: @LIVE@/{name}\n    files: [{{copy: files}}]\n    after: {after}\n");
        manifest += &logs(name);
    }
    host.commit(&[("headfast.yaml", &manifest), ("files/x", "x")]);
    host.run(&["sync"]).ends(0);
    assert_eq!(fs::read_to_string(host.path("log")).unwrap(), "c\nb\na\nd\n");
}

#[test]
fn a_check_may_veto() {
    let host = TestHost::new();
    let check = "    check: [{command: [/bin/sh, -c, 'if grep bad \"$1\"/a; then exit 3; fi', sh, '{{ staged }}']}]\n";
    let manifest = with_target(&(check.to_owned() + &logs("told")));
    host.commit(&[("headfast.yaml", &manifest), ("files/a", "good\n"), ("files/b", "b")]);
    host.run(&["sync"]).ends(0);
    let before = host.snapshot();
    let bad = host.commit(&[("files/a", "bad thing\n"), ("files/b", "c")]);
    let says = ["E_CHECK", "headfast.yaml:9:", "exited with status 3", "bad thing", "no file was touched"];
    host.run(&["sync"]).ends(4).says(&says);
    assert_eq!(host.snapshot(), before);
    assert_eq!(fs::read_to_string(host.path("log")).unwrap(), "told\n");
    assert_eq!(host.remote(&["rev-parse", "main"]), bad, "a veto reverts nothing");
    let status = host.run(&["status", "--json"]).ends(0).json();
    assert_eq!(status["repositories"][0]["state"], "failed");
    assert_eq!(status["repositories"][0]["last_deployment"]["status"], "refused");
    host.commit(&[("files/a", "mended\n")]);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "mended\n");
}

#[test]
fn a_failing_probe_rolls_back_quarantines_and_reverts() {
    let host = TestHost::new();
    let manifest = with_target(&(PROBED.to_owned() + &logs("told")));
    let good = host.commit(&[("headfast.yaml", &manifest), ("files/a", "good\n")]);
    host.run(&["sync"]).ends(0);
    let before = host.snapshot();
    let bad = host.commit(&[("files/a", "bad\n"), ("files/new", "new")]);
    host.run(&["sync"]).ends(6).says(&["E_PROBE", "quarantine", "is reverted on the branch"]);
    // The very inodes are back, and the program was told of both changes.
    assert_eq!(host.snapshot(), before);
    assert_eq!(fs::read_to_string(host.path("log")).unwrap(), "told\ntold\ntold\n");

    let revert = host.remote(&["rev-parse", "main"]);
    assert_eq!(
        host.remote(&["rev-parse", "main^", "main^{tree}"]),
        format!("{bad}\n{}", host.remote(&["rev-parse", &format!("{good}^{{tree}}")]))
    );
    let message = host.remote(&["log", "-1", "--format=%an <%ae>%n%B", "main"]);
    assert!(message.starts_with("headfast <headfast@localhost>\nRevert \"Change 2\"\n"), "{message}");
    assert!(message.contains(&format!("Headfast-Reverts: {bad}")), "{message}");

    host.run(&["sync"]).ends(0).says(&["no file was touched", &revert[..12]]);
    let history = host.run(&["history", "--json"]).ends(0).json();
    let statuses: Vec<&str> =
        history["deployments"].as_array().unwrap().iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["unchanged", "rolled_back", "success"]);
    host.run(&["show", "2"]).ends(0).says(&["E_PROBE", "the previous files are back", "probe"]);
}

#[test]
fn a_quarantine_outlives_the_process_until_something_else_comes() {
    let host = TestHost::new();
    host.agent(&AGENT.replace("push: direct", "push: 'off'"));
    host.commit(&[("headfast.yaml", &with_target(PROBED)), ("files/a", "good\n")]);
    host.run(&["sync"]).ends(0);
    host.commit(&[("files/a", "bad\n")]);
    host.run(&["sync"]).ends(6);
    host.run(&["sync"]).ends(4).says(&["E_QUARANTINED", "headfast retry"]);
    // Another commit that renders alike is no way around it.
    host.commit(&[("README.md", "words")]);
    host.run(&["sync"]).ends(4).says(&["E_QUARANTINED"]);
    assert_eq!(host.live("a"), "good\n");
    assert_eq!(host.run(&["status", "--json"]).ends(0).json()["repositories"][0]["state"], "quarantined");
    host.run(&["plan"]).ends(0).says(&["replace  ", "a sync refuses this"]);
    host.run(&["retry"]).ends(6);
    host.commit(&[("files/a", "better\n")]);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "better\n");
}

#[test]
fn retry_tries_the_same_again() {
    let host = TestHost::new();
    host.agent(&AGENT.replace("push: direct", "push: 'off'"));
    let probe = "    probe: [{command: [/bin/sh, -c, 'test -e @DIR@/mended || ! grep -q bad @LIVE@/a'], within: 1s}]\n";
    host.commit(&[("headfast.yaml", &with_target(probe)), ("files/a", "good\n")]);
    host.run(&["sync"]).ends(0);
    host.commit(&[("files/a", "bad\n")]);
    host.run(&["sync"]).ends(6);
    fs::write(host.path("mended"), "").unwrap();
    host.run(&["sync"]).ends(4);
    host.run(&["retry"]).ends(0);
    assert_eq!(host.live("a"), "bad\n");
}

#[test]
fn two_hosts_make_the_same_revert() {
    let revert_of = |name: &str, push: &str| {
        let host = TestHost::new();
        host.agent(
            &AGENT
                .replace("web-1", name)
                .replace("push: direct", push)
                .replace("{role: web}", &format!("{{n: {name}}}")),
        );
        host
    };
    let (one, two) = (revert_of("web-1", "push: direct"), revert_of("web-2", "push: branch"));
    // One manifest for both, with a target for each.
    let target = |host: &TestHost, name: &str| {
        let text =
            format!("  {name}:\n    path: @LIVE@\n    on: {{host: {name}}}\n    files: [{{copy: files}}]\n{PROBED}");
        host.filled(&text)
    };
    let head = &MANIFEST[..MANIFEST.find("  app:").unwrap()];
    let manifest = format!("{head}{}{}", target(&one, "web-1"), target(&two, "web-2"));
    let commits = |host: &TestHost| {
        host.commit(&[("headfast.yaml", &manifest), ("files/a", "good\n")]);
        host.run(&["sync"]).ends(0);
        let bad = host.commit(&[("files/a", "bad\n")]);
        host.run(&["sync"]).ends(6);
        bad
    };
    let (bad, same) = (commits(&one), commits(&two));
    assert_eq!(bad, same);
    let pushed = one.remote(&["rev-parse", "main"]);
    assert_ne!(pushed, bad);
    assert_eq!(two.remote(&["rev-parse", &format!("refs/heads/headfast/revert/{bad}")]), pushed);
    assert_eq!(two.remote(&["rev-parse", "main"]), bad, "a proposal does not move the branch");
}

#[test]
fn a_first_deployment_that_fails_leaves_nothing() {
    let host = TestHost::new();
    let bad = host.commit(&[("headfast.yaml", &with_target(PROBED)), ("files/a", "bad\n"), ("files/d/b", "b")]);
    host.run(&["sync"]).ends(6).says(&["E_PROBE", "nothing was deployed here before"]);
    assert!(!host.path("live").exists());
    assert_eq!(host.remote(&["rev-parse", "main"]), bad);
}

#[test]
fn rollback_by_hand() {
    let host = TestHost::with(&[("files/a", "one\n")]);
    fs::write(host.path("live/a"), "edited by hand\n").unwrap();
    let second = host.commit(&[("files/a", "two\n"), ("files/b", "b\n")]);
    host.run(&["sync"]).ends(0);
    host.run(&["rollback", "--to", "7"]).ends(2).says(&["E_NOT_FOUND", "headfast history"]);
    host.run(&["rollback"]).ends(0).says(&["production is rolled back to", "is reverted on the branch"]);
    // What was live comes back, the edit included.
    assert_eq!(host.live("a"), "edited by hand\n");
    assert!(!host.path("live/b").exists());
    assert_eq!(host.remote(&["rev-parse", "main^"]), second);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "edited by hand\n");
    host.run(&["drift"]).ends(5).says(&["+edited by hand", "-one"]);
}

#[test]
fn a_rollback_that_is_only_proposed_suspends() {
    let host = TestHost::with(&[("files/a", "one\n")]);
    host.agent(&AGENT.replace("push: direct", "push: branch"));
    host.commit(&[("files/a", "two\n")]);
    host.run(&["sync"]).ends(0);
    host.run(&["rollback"]).ends(0).says(&["suspended until `headfast resume`"]);
    assert_eq!(host.live("a"), "one\n");
    host.run(&["sync"]).ends(0).says(&["waits"]);
    assert_eq!(host.live("a"), "one\n");
    host.run(&["status"]).ends(0).says(&["suspended"]);
    host.run(&["resume"]).ends(0).says(&["go on"]);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "two\n");
}

#[test]
fn suspend_and_resume() {
    let host = TestHost::with(&[("files/a", "one\n")]);
    host.run(&["suspend", "--reason", "maintenance", "--until", "2h"]).ends(0);
    host.commit(&[("files/a", "two\n")]);
    host.run(&["sync"]).ends(0).says(&["maintenance", "waits"]);
    assert_eq!(host.live("a"), "one\n");
    let status = host.run(&["status", "--json"]).ends(0).json();
    assert_eq!(status["repositories"][0]["suspended"]["reason"], "maintenance");
    assert_eq!(status["repositories"][0]["state"], "pending");
    host.run(&["resume"]).ends(0);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "two\n");
}

#[test]
fn drift_is_shown_and_healed_and_the_edit_is_kept() {
    let host = TestHost::with(&[("files/a", "one\n"), ("files/b", "b\n"), ("files/c", "c\n"), ("files/d", "d\n")]);
    host.run(&["drift"]).ends(0);
    fs::write(host.path("live/a"), "edited\n").unwrap();
    fs::remove_file(host.path("live/b")).unwrap();
    fs::set_permissions(host.path("live/c"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(host.path("live/d")).unwrap();
    std::os::unix::fs::symlink("a", host.path("live/d")).unwrap();
    let before = host.snapshot();
    host.run(&["drift"]).ends(5).says(&["-one", "+edited", "missing", "mode 0600"]);
    let drift = host.run(&["drift", "--json"]).ends(5).json();
    let kinds: Vec<&str> = drift["drift"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["modified", "missing", "mode", "type"]);
    assert_eq!(host.snapshot(), before, "looking changes nothing");
    assert_eq!(host.run(&["status", "--json"]).ends(0).json()["repositories"][0]["state"], "drifted");

    let healed = host.run(&["drift", "--heal"]).ends(0).says(&["is back in production", "kept "]);
    assert_eq!((host.live("a"), host.live("b"), host.live("d")), ("one\n".into(), "b\n".into(), "d\n".into()));
    let copy = healed.stderr.split_whitespace().find(|it| it.contains("/state/kept/")).unwrap().to_owned();
    assert_eq!(fs::read_to_string(copy).unwrap(), "edited\n");
    host.run(&["drift"]).ends(0);
    assert_eq!(host.run(&["status", "--json"]).ends(0).json()["repositories"][0]["state"], "in_sync");
}

#[test]
fn a_file_in_the_way_of_a_first_deployment_is_kept_or_refused() {
    let host = TestHost::new();
    host.commit(&[("headfast.yaml", MANIFEST), ("files/a", "ours\n"), ("files/same", "same\n")]);
    fs::create_dir(host.path("live")).unwrap();
    fs::write(host.path("live/a"), "theirs\n").unwrap();
    fs::write(host.path("live/same"), "same\n").unwrap();
    let before = host.snapshot();
    host.agent(&AGENT.replace("    branch:", "    existing: refuse\n    branch:"));
    host.run(&["sync"]).ends(4).says(&["E_EXISTING", "live/a"]);
    assert_eq!(host.snapshot(), before);
    host.agent(AGENT);
    host.run(&["sync"]).ends(0).says(&["kept"]);
    assert_eq!(host.live("a"), "ours\n");
    assert_eq!(host.snapshot()["same"], before["same"], "what is right already is adopted unwritten");
    host.run(&["show", "2"]).ends(0).says(&["kept", "existing"]);
}

#[test]
fn mass_deletion_is_guarded_and_can_be_disarmed() {
    let files: Vec<(String, String)> = (0..30).map(|n| (format!("files/{n}"), n.to_string())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
    let host = TestHost::with(&files);
    let before = host.snapshot();
    host.remove("files");
    host.commit(&[("files/left", "x")]);
    host.run(&["sync"]).ends(4).says(&["E_MASS_DELETE", "allow_removal"]);
    assert_eq!(host.snapshot(), before);
    host.commit(&[("headfast.yaml", &format!("{MANIFEST}allow_removal: [app]\n"))]);
    host.run(&["sync"]).ends(0).says(&["30 removed"]);
    assert_eq!(host.snapshot().into_keys().collect::<Vec<_>>(), ["left"]);
}

#[test]
fn a_rewound_branch_is_refused() {
    let host = TestHost::with(&[("files/a", "one\n")]);
    host.commit(&[("files/a", "two\n")]);
    host.run(&["sync"]).ends(0);
    host.remote(&["update-ref", "refs/heads/main", "main^"]);
    host.run(&["sync"]).ends(4).says(&["E_HISTORY_REWOUND"]);
    assert_eq!(host.live("a"), "two\n");
}

#[test]
fn a_repository_without_a_manifest_is_deployed_by_the_targets_of_the_host() {
    let host = TestHost::new();
    host.commit(&[("site/index.html", "hello\n")]);
    host.agent(&format!("{AGENT}    targets: [{{name: site, path: '@LIVE@', files: [{{copy: site}}]}}]\n"));
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("index.html"), "hello\n");
}

#[test]
fn several_repositories_each_have_their_turn_and_the_gravest_exit_counts() {
    let host = TestHost::with(&[("files/a", "one\n")]);
    let second = "  - name: gone\n    url: @DIR@/gone.git\n    branch: main\n    environment: production\n";
    let (head, repository) = AGENT.split_at(AGENT.find("  - name: site").unwrap());
    host.agent(&format!("{head}{second}{repository}"));
    host.commit(&[("files/a", "two\n")]);
    host.run(&["sync"]).ends(1).says(&["gone.git", "is deployed to production"]);
    assert_eq!(host.live("a"), "two\n");
    host.run(&["sync", "--repository", "site"]).ends(0);
    host.run(&["rollback"]).ends(2).says(&["--repository"]);
    assert_eq!(host.run(&["status", "--json"]).ends(0).json()["repositories"].as_array().map(Vec::len), Some(2));
}

#[test]
fn json_has_its_promised_shapes() {
    let host = TestHost::with(&[("files/a", "one\n")]);
    let status = host.run(&["status", "--json"]).ends(0).json();
    assert_eq!((&status["version"], &status["host"]), (&1.into(), &"web-1".into()));
    let repository = &status["repositories"][0];
    for key in ["name", "environment", "head", "revision", "state", "drift", "suspended", "last_deployment"] {
        assert!(repository.get(key).is_some(), "{key}");
    }
    let history = host.run(&["history", "--json"]).ends(0).json();
    let shown = host.run(&["show", "1", "--json"]).ends(0).json();
    for deployment in [&history["deployments"][0], &shown["deployments"][0]] {
        let keys =
            ["id", "repository", "environment", "revision", "status", "phase", "trigger", "started_at", "finished_at"];
        for key in keys.into_iter().chain(["changes", "error"]) {
            assert!(deployment.get(key).is_some(), "{key}");
        }
        assert_eq!(deployment["changes"]["created"], 1);
    }
    host.commit(&[("files/a", "two\n")]);
    let plan = host.run(&["plan", "--json"]).ends(0).json();
    assert_eq!(plan["operations"], serde_json::json!([{"target": "app", "path": "a", "action": "replace"}]));
    let diff = host.run(&["diff", "--json"]).ends(0).json();
    assert_eq!((&diff["version"], &diff["diffs"][0]["path"]), (&1.into(), &"a".into()));
}
