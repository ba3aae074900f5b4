//! `kill -9` before system calls of a deployment, of a rollback and of a recovery: the next `sync` finds exactly the old or
//! exactly the new files, and says the truth.

use crate::host::{AGENT, Entry, TestHost};
use crate::servers::is_left_out;
use std::collections::BTreeMap;
use std::process::Command;

/// Each call by which a deployment changes something that lasts.
const CALLS: &[&str] = &["renameat2", "unlinkat", "mkdirat", "fsync", "fchmod", "write"];

/// `write` is called for every line of output and every page of the database; a few moments of it are enough here.
const WRITES: &[usize] = &[1, 2, 3, 5, 8, 13, 21, 34];

const MANIFEST: &str = "\
version: 1
environments:
  production: {type: production}
targets:
  one:
    path: @LIVE@/one
    files: [{copy: one}]
    probe: [{command: [/bin/sh, -c, '! grep -q BAD @LIVE@/one/a'], within: 10ms, settle: 0s}]
  two:
    path: @LIVE@/two
    files: [{copy: two}]
";

type Files = BTreeMap<String, Entry>;

fn host(marker: &str) -> (TestHost, Files) {
    let host = TestHost::new();
    host.agent(&AGENT.replace("push: direct", "push: 'off'"));
    host.commit(&[("headfast.yaml", MANIFEST), ("one/a", "old\n"), ("one/gone/b", "b\n"), ("two/c", "old\n")]);
    host.run(&["sync"]).ends(0);
    let old = names(&host);
    host.remove("one/gone/b");
    host.commit(&[("one/a", marker), ("one/new/d", "d\n"), ("two/c", "new\n")]);
    (host, old)
}

/// What is there, without inodes and times, which differ between two hosts.
fn names(host: &TestHost) -> Files {
    let mut files = host.snapshot();
    files.values_mut().for_each(Entry::forget_identity);
    files
}

/// Copies what a deployment changes, so that every point of the sweep begins alike.
pub fn copy(host: &TestHost, from: &str, to: &str) {
    for folder in ["live", "state"] {
        let (from, to) = (host.path(from).join(folder), host.path(to).join(folder));
        std::fs::remove_dir_all(&to).ok();
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        crate::servers::run(Command::new("cp").arg("-a").args([from, to]));
    }
}

/// Kills at every call until the program gets through, and checks what the next run makes of it.
fn sweep(marker: &str, ends_new: bool, again: Option<(&str, usize)>) -> usize {
    let (host, old) = host(marker);
    copy(&host, ".", "saved");
    host.run(&["sync"]).ends(if ends_new { 0 } else { 6 });
    let new = names(&host);
    assert_eq!(ends_new, new != old);
    let mut points = 0;
    for call in CALLS {
        let every: Vec<usize> = (1..1000).collect();
        for n in if *call == "write" { WRITES } else { &every } {
            copy(&host, "saved", ".");
            let Some(status) = host.sync_killed(call, *n) else { break };
            // Who says that all is well, although someone was killed, must be right.
            assert!(!status.success() || ends_new && names(&host) == new, "killed before {call} {n}: no success");
            points += 1;
            if let Some((call, n)) = again {
                host.sync_killed(call, n);
            }
            let end = host.run(&["sync"]);
            let found = names(&host);
            let is_whole = found == new;
            assert!(is_whole, "killed before {call} {n}: {found:#?}\n{}\n{}", end.stdout, end.stderr);
            // Converged: another pass has nothing to do, and the history does not claim that anything is still under way.
            let last = host.run(&["sync"]);
            let expected = if ends_new { 0 } else { 4 };
            assert_eq!(last.status, expected, "killed before {call} {n}: {end:#?}{last:#?}");
            let history = host.run(&["history", "--json"]).ends(0);
            assert!(!history.stdout.contains("in_progress"), "killed before {call} {n}: {}", history.stdout);
            assert_eq!(names(&host), found, "killed before {call} {n}");
        }
    }
    points
}

#[test]
fn x03_a_deployment_killed_anywhere_ends_old_or_new() {
    if is_left_out("strace") {
        return;
    }
    let points = sweep("new\n", true, None);
    assert!(points > 40, "the sweep found only {points} points to kill at");
}

#[test]
fn k04_a_rollback_killed_anywhere_ends_with_the_old_files() {
    if is_left_out("strace") {
        return;
    }
    let points = sweep("BAD\n", false, None);
    assert!(points > 40, "the sweep found only {points} points to kill at");
}

#[test]
fn i02_a_recovery_that_is_killed_too_converges() {
    if is_left_out("strace") {
        return;
    }
    let points = sweep("new\n", true, Some(("renameat2", 2)));
    assert!(points > 40, "the sweep found only {points} points to kill at");
}
