//! The operating system refuses what a process needs: names, memory, handles, other processes. The outcome is true, the
//! next healthy pass converges, and nothing of it is ever blamed on a commit.

use crate::host::{AGENT, Entry, Output, TestHost};
use crate::kill_sweep::copy;
use crate::servers::{is_left_out, program};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

type Files = BTreeMap<String, Entry>;

/// Every kind of action; none of them starts a process itself, so that what fails is never theirs.
const MANIFEST: &str = "\
version: 1
environments:
  production: {type: production}
targets:
  app:
    path: @LIVE@
    files: [{copy: files}]
    check: [{command: [/bin/sh, -c, 'test -e {{ staged }}/a']}]
    reload: [{command: [/bin/sh, -c, 'test -e @LIVE@/a']}]
    probe: [{command: [/bin/sh, -c, 'test -e @LIVE@/a'], within: 1s, settle: 0s}]
";

/// The few that are tried of calls that happen all the time.
const MOMENTS: &[usize] = &[1, 2, 3, 5, 8, 13, 21, 34, 55];

/// A host on which a second commit waits for its deployment, again and again.
struct Waiting {
    host: TestHost,
    tip: String,
    new: Files,
}

impl Waiting {
    fn new(manifest: &str) -> Waiting {
        let host = TestHost::new();
        host.agent(AGENT);
        let files = [("files/a", "old\n"), ("files/d/b", "old\n"), ("files/gone/c", "c\n")];
        host.commit(&[&[("headfast.yaml", manifest)], &files[..]].concat());
        host.run(&["sync"]).ends(0);
        host.remove("files/gone");
        let tip = host.commit(&[("files/a", "new\n"), ("files/d/b", "new\n"), ("files/n/d", "new\n")]);
        copy(&host, ".", "saved");
        host.run(&["sync"]).ends(0);
        let new = nameless(host.snapshot());
        Waiting { host, tip, new }
    }

    /// Goes back to before the deployment, and returns what is live then.
    fn again(&self) -> Files {
        copy(&self.host, "saved", ".");
        self.host.snapshot()
    }

    /// What must hold after whatever the system refused.
    #[track_caller]
    fn judge(&self, before: &Files, output: &Output, at: &str) {
        let told = format!("{at}: exit {}\n{}\n{}", output.status, output.stdout, output.stderr);
        let found = self.host.snapshot();
        let is_new = nameless(found.clone()) == self.new;
        assert!(is_new || is_old(&found, before), "neither old nor new: {told}\n{found:#?}");
        assert!(output.status == 1 || output.status == 0 && is_new, "{told}");
        // A write that fails may be that of the message.
        let is_heard = output.stderr.contains("E_") || at.contains(" at write ");
        assert!(output.status == 0 || is_heard, "{told}");
        self.converges(&told);
    }

    /// Nothing was blamed on a commit, and the next healthy pass ends with the new files.
    #[track_caller]
    fn converges(&self, told: &str) {
        assert_eq!(self.host.remote(&["rev-parse", "main"]), self.tip, "a revert: {told}");
        let again = self.host.run(&["sync"]);
        assert_eq!(again.status, 0, "{told}\nand then {again:#?}");
        assert_eq!(nameless(self.host.snapshot()), self.new, "{told}\nand then {again:#?}");
        assert_eq!(self.host.remote(&["rev-parse", "main"]), self.tip, "a revert: {told}");
        let history = self.host.run(&["history", "--json"]).ends(0);
        assert!(!history.stdout.contains("in_progress"), "{told}\n{}", history.stdout);
    }

    /// Runs the program with no more of something than prlimit(1) says.
    fn limited(&self, limit: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("prlimit", "util-linux", "prlimit"));
        command.args([limit, env!("CARGO_BIN_EXE_headfast")]).args(arguments);
        Output::of(command.output().unwrap())
    }

    /// Runs a sync so.
    fn limited_sync(&self, limit: &str) -> Output {
        self.limited(limit, &["sync", "--config", self.host.path("agent.yaml").to_str().unwrap()])
    }

    /// Lets calls of a kind fail, one in each process; returns how often the program said so.
    fn sweep(&self, call: &str, error: &str, check: &dyn Fn(&Files, &Output, &str)) -> usize {
        let mut refused = 0;
        let moments = if call.contains("write") { MOMENTS.to_vec() } else { (1..1000).collect() };
        for n in moments {
            let before = self.again();
            let Some(output) = self.host.sync_failing(call, error, &n.to_string()) else { return refused };
            refused += usize::from(output.status != 0);
            let at = format!("{error} at {call} {n}");
            check(&before, &output, &at);
            self.judge(&before, &output, &at);
        }
        refused
    }
}

/// What a reader sees, without what differs between two files of the same content. What waits for recovery is left out.
fn nameless(mut files: Files) -> Files {
    files.retain(|path, _| !path.starts_with(".headfast-"));
    files.values_mut().for_each(Entry::forget_identity);
    files
}

/// Whether the very files of before are there, and no copies of them. A folder that became empty may have been made anew.
fn is_old(found: &Files, before: &Files) -> bool {
    let mut files = before.iter().filter(|it| it.1.is_file());
    nameless(found.clone()) == nameless(before.clone()) && files.all(|(path, it)| found.get(path) == Some(it))
}

#[test]
fn i18_a_rename_that_fails_is_no_copy_and_names_the_path() {
    if is_left_out("strace") {
        return;
    }
    let waiting = Waiting::new(MANIFEST);
    for (error, words) in [("EXDEV", "cross-device link"), ("EBUSY", "busy"), ("ETXTBSY", "text file busy")] {
        let check = |before: &Files, output: &Output, at: &str| {
            let live = waiting.host.path("live").to_string_lossy().into_owned();
            let told = output.stderr.to_lowercase();
            let path = waiting.host.path("").to_string_lossy().to_lowercase();
            assert!(output.status == 1 && told.contains(words) && told.contains(&path), "{at}: {output:#?}");
            // What cannot be renamed in the target is not there in any other way.
            let found = waiting.host.snapshot();
            assert!(!output.stderr.contains(&live) || is_old(&found, before), "{at}: {output:#?}\n{found:#?}");
        };
        let refused = waiting.sweep("renameat2", error, &check);
        assert!(refused > 2, "{error}: only {refused} renames were refused");
    }
}

#[test]
fn h13_a_quota_leaves_the_old_files() {
    if is_left_out("strace") {
        return;
    }
    let waiting = Waiting::new(MANIFEST);
    let told = Cell::new(0);
    let check = |_: &Files, output: &Output, at: &str| {
        assert!(!output.stderr.contains("E_NO_SPACE"), "{at}: {output:#?}");
        if output.stderr.contains("E_QUOTA") {
            assert!(output.stderr.contains("repquota"), "{at}: {output:#?}");
            told.set(told.get() + 1);
        }
    };
    // What SQLite is refused in a write it hands on without its reason.
    for (call, is_told) in [("mkdirat", true), ("fsync", true), ("pwrite64", false), ("write", true)] {
        told.set(0);
        let refused = waiting.sweep(call, "EDQUOT", &check);
        assert!(refused > 1, "{call}: only {refused} calls were refused");
        assert!(told.get() > 0 || !is_told, "{call}: {refused} calls were refused, and none for a quota");
    }
}

#[test]
fn i24_processes_and_handles_that_are_refused() {
    if is_left_out("strace") {
        return;
    }
    let waiting = Waiting::new(MANIFEST);
    let faults = [
        ("clone,clone3,fork,vfork", "EAGAIN"),
        ("clone,clone3,fork,vfork", "ENOMEM"),
        ("pipe2", "EMFILE"),
        ("socketpair", "EMFILE"),
        ("memfd_create", "ENOMEM"),
    ];
    for (call, error) in faults {
        let refused = waiting.sweep(call, error, &|_, _, _| {});
        assert!(refused > 0, "{call}: nothing was refused");
    }
}

#[test]
fn i24_too_few_handles() {
    if is_left_out("prlimit") {
        return;
    }
    let waiting = Waiting::new(MANIFEST);
    for limit in 4..64 {
        let before = waiting.again();
        let output = waiting.limited_sync(&format!("--nofile={limit}"));
        waiting.judge(&before, &output, &format!("{limit} handles"));
        if output.status == 0 {
            assert!(limit > 10, "no limit was felt");
            return;
        }
    }
    panic!("it needs too many handles");
}

#[test]
fn i25_memory_that_runs_out_in_a_recovery() {
    if is_left_out("strace") || is_left_out("prlimit") {
        return;
    }
    // A shell without memory is a check that fails, so there are no actions.
    let waiting = Waiting::new(MANIFEST.split("    check:").next().unwrap());
    let recover = |kib: u64| {
        waiting.again();
        assert!(waiting.host.sync_killed("renameat2", 6).is_some());
        waiting.limited_sync(&format!("--as={}", kib * 1024))
    };
    // Less than this is too little even for the loader.
    let runs = |kib: u64| waiting.limited(&format!("--as={}", kib * 1024), &["--version"]).status == 0;
    let least = (16..4096).map(|mib| mib * 1024).find(|it| runs(*it)).unwrap() - 1024;
    let mut refused = 0;
    for kib in (least..).step_by(32).filter(|it| runs(*it)) {
        let output = recover(kib);
        waiting.converges(&format!("{kib} KiB: {output:#?}"));
        if output.status == 0 {
            break;
        }
        refused += 1;
    }
    assert!(refused > 0, "memory never ran out");
}

/// Programs that git runs to tidy up a repository.
const TIDYING: [&str; 4] = ["\"gc\"", "\"maintenance\"", "\"repack\"", "\"prune\""];

#[test]
fn o06_nothing_tidies_the_mirror_up_behind_our_back() {
    if is_left_out("strace") {
        return;
    }
    let waiting = Waiting::new(MANIFEST);
    waiting.again();
    let mirror = waiting.host.path("state/mirror");
    assert!(mirror.is_dir(), "{}", mirror.display());
    // It is asked for, and git would obey.
    for config in find(&mirror, &|it| it == "config") {
        let asks = "[gc]\n\tauto = 1\n\tautoPackLimit = 1\n[maintenance]\n\tauto = true\n";
        std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + asks).unwrap();
    }
    waiting.host.sync_with("error=EIO", "execve", 1000);
    assert_eq!(nameless(waiting.host.snapshot()), waiting.new);
    let log = std::fs::read_to_string(waiting.host.path("strace")).unwrap();
    assert!(log.contains("execve("), "{log}");
    let tidying: Vec<&str> = log.lines().filter(|line| TIDYING.iter().any(|it| line.contains(it))).collect();
    assert!(tidying.is_empty(), "{tidying:#?}");
    // And who comes by later is not asked any more.
    for config in find(&mirror, &|it| it == "config") {
        assert!(!std::fs::read_to_string(config).unwrap().contains("auto"));
    }
}

#[test]
fn o06_a_fetch_that_is_killed_leaves_nothing_for_long() {
    if is_left_out("strace") {
        return;
    }
    let waiting = Waiting::new(MANIFEST);
    let mirror = waiting.host.path("state/mirror");
    let left_over = || find(&mirror, &|it| it.starts_with("tmp_") || it.contains("_git2_") || it.ends_with(".lock"));
    let mut found = 0;
    for call in ["rename", "link", "unlink"] {
        for n in 1..20 {
            waiting.again();
            if waiting.host.sync_killed(call, n).is_none() {
                break;
            }
            found += left_over().len();
            waiting.host.run(&["sync"]).ends(0);
            assert_eq!(left_over(), Vec::<PathBuf>::new(), "killed before {call} {n}");
            assert_eq!(nameless(waiting.host.snapshot()), waiting.new);
        }
    }
    assert!(found > 0, "no fetch was killed");
}

/// Returns the files below a folder whose name fits.
fn find(folder: &Path, fits: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(find(&entry.path(), fits));
        } else if fits(&entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
    }
    found
}
