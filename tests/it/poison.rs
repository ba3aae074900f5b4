//! A commit that kills the agent at the same stage three times is set aside; the host goes on without it.

use crate::host::{AGENT_PID, MANIFEST, TRANSACTION_PID, TestHost};
use crate::servers::{is_left_out, program, repository::git};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A host on which one commit is live.
fn host() -> TestHost {
    TestHost::with(&[("files/a", "good\n")])
}

/// A manifest whose action kills a process.
fn with_action(action: &str, victim: &str) -> String {
    format!("{MANIFEST}    {action}: [{{command: [/bin/sh, -c, 'kill -9 {victim}']}}]\n")
}

/// Fails unless the host has the good commit, heals it, made no revert, and takes the next commit.
#[track_caller]
fn goes_on(host: &TestHost) {
    assert_eq!(host.live("a"), "good\n");
    host.run(&["sync"]).ends(4).says(&["E_QUARANTINED", "crashed at"]);
    fs::write(host.path("live/a"), "drift\n").unwrap();
    host.run(&["drift", "--heal"]).ends(0);
    assert_eq!(host.live("a"), "good\n");
    assert_eq!(host.remote(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main", "a crash is never reverted");
    host.run(&["status", "--json"]).ends(0).says(&["\"quarantined\""]);
    host.commit(&[("headfast.yaml", MANIFEST), ("files/a", "better\n")]);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "better\n");
    host.run(&["status", "--json"]).ends(0).says(&["\"in_sync\""]);
}

#[test]
fn p11_killed_three_times_in_a_check() {
    let host = host();
    host.commit(&[("headfast.yaml", &with_action("check", AGENT_PID)), ("files/a", "bad\n")]);
    for _ in 0..3 {
        assert_eq!(host.run(&["sync"]).status, -1, "it is killed");
        host.run(&["history"]).ends(0).says(&["failed", "cut short"]);
    }
    host.run(&["sync"]).ends(1).says(&["E_CRASHED", "crashed at check"]);
    host.run(&["history"]).ends(0).says(&["crashed at check"]);
    goes_on(&host);
}

#[test]
fn p11_killed_three_times_in_a_reload_or_probe() {
    for (action, victim, status) in
        [("reload", AGENT_PID, -1), ("probe", AGENT_PID, -1), ("reload", TRANSACTION_PID, 1)]
    {
        let host = host();
        host.commit(&[("headfast.yaml", &with_action(action, victim)), ("files/a", "bad\n")]);
        for _ in 0..3 {
            assert_eq!(host.run(&["sync"]).status, status, "it is killed, also in recovery");
            assert_eq!(host.live("a"), "bad\n");
        }
        host.run(&["history"]).ends(0).says(&["failed", "E_CRASHED", &format!("crashed at {action}")]);
        goes_on(&host);
    }
}

#[test]
fn p11_two_crashes_are_forgiven_and_retry_gives_a_new_chance() {
    let host = host();
    // Kills the first two times.
    let script = format!("'echo x >> @DIR@/marks; test $(wc -l < @DIR@/marks) -gt 2 || kill -9 {AGENT_PID}'");
    let manifest = format!("{MANIFEST}    check: [{{command: [/bin/sh, -c, {script}]}}]\n");
    host.commit(&[("headfast.yaml", &manifest), ("files/a", "third time\n")]);
    for _ in 0..2 {
        assert_eq!(host.run(&["sync"]).status, -1);
    }
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "third time\n");

    host.commit(&[("headfast.yaml", &with_action("check", AGENT_PID)), ("files/a", "bad\n")]);
    for _ in 0..3 {
        assert_eq!(host.run(&["sync"]).status, -1);
    }
    host.run(&["sync"]).ends(1).says(&["E_CRASHED"]);
    assert_eq!(host.run(&["retry"]).status, -1, "it is tried again, and kills again");
    assert_eq!(host.run(&["sync"]).status, -1, "that was the first of three");
}

/// Runs a sync that is killed when it opens a file; returns whether it came to that.
fn killed_at(host: &TestHost, file: &Path) -> bool {
    use std::os::unix::process::ExitStatusExt;
    let status = Command::new(program("strace", "strace", "strace"))
        .args(["-f", "-qqq", "-o", "/dev/null", "-e", "trace=open,openat,openat2", "-P"])
        .arg(file)
        .args(["-e", "inject=open,openat,openat2:signal=KILL:when=1"])
        .arg(env!("CARGO_BIN_EXE_headfast"))
        .args(["sync", "--config"])
        .arg(host.path("agent.yaml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    status.signal() == Some(9) || status.code() == Some(137)
}

/// Fetches, takes the mirror's packs apart, and returns the file that holds a file of the newest commit.
fn loose(host: &TestHost, path: &str) -> PathBuf {
    host.run(&["plan"]).ends(0);
    let mirror = host.path("state/mirror/site");
    for pack in fs::read_dir(mirror.join("objects/pack")).unwrap().map(|it| it.unwrap().path()) {
        let aside = host.path("aside");
        fs::rename(&pack, &aside).unwrap();
        if pack.extension().is_some_and(|it| it == "pack") {
            let unpack = Command::new("git")
                .args(["unpack-objects", "-q"])
                .current_dir(&mirror)
                .stdin(fs::File::open(&aside).unwrap())
                .status();
            assert!(unpack.unwrap().success());
        }
    }
    let id = git(&host.path("work"), &["rev-parse", &format!("HEAD:{path}")]);
    mirror.join("objects").join(&id[..2]).join(&id[2..])
}

#[test]
fn p11_killed_three_times_while_loading_or_rendering() {
    if is_left_out("strace") {
        return;
    }
    for (path, stage) in [("headfast.yaml", "load"), ("templates/a.j2", "render")] {
        let host = host();
        let manifest = MANIFEST.replace("{copy: files}", "{template: templates}");
        host.commit(&[("headfast.yaml", &manifest), ("templates/a.j2", "bad {{ host }}\n")]);
        let file = loose(&host, path);
        for _ in 0..3 {
            assert!(killed_at(&host, &file), "{}", file.display());
        }
        host.run(&["sync"]).ends(1).says(&["E_CRASHED", &format!("crashed at {stage}")]);
        goes_on(&host);
    }
}

#[test]
fn p11_what_is_healed_does_not_kill_for_ever() {
    let host = host();
    let reload =
        format!("{MANIFEST}    reload: [{{command: [/bin/sh, -c, 'test ! -e @DIR@/bad || kill -9 {AGENT_PID}']}}]\n");
    host.commit(&[("headfast.yaml", &reload), ("files/a", "good too\n")]);
    host.run(&["sync"]).ends(0);
    fs::write(host.path("bad"), "").unwrap();
    fs::write(host.path("live/a"), "drift\n").unwrap();
    for _ in 0..3 {
        assert_eq!(host.run(&["drift", "--heal"]).status, -1);
    }
    // The way back runs the reload of what was live, which is the same: it is left out when it has killed, too.
    for _ in 0..3 {
        assert_eq!(host.run(&["sync"]).status, -1);
    }
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "drift\n", "what was live is back");
    host.run(&["history"]).ends(0).says(&["E_CRASHED"]);
}
