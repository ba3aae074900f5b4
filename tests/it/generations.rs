//! `publish: generations`: complete trees, and one link that is switched.

use crate::host::{AGENT, MANIFEST, TestHost};
use crate::kill_sweep::copy;
use crate::servers::is_left_out;
use headfast::plan::LiveKind;
use headfast::state::Store;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// The usual manifest, published by generations.
fn manifest(more: &str) -> String {
    format!("{MANIFEST}    publish: generations\n{more}")
}

/// A host with one generation.
fn host(files: &[(&str, &str)], more: &str) -> TestHost {
    let host = TestHost::new();
    host.commit(&[&[("headfast.yaml", manifest(more).as_str())], files].concat());
    host.run(&["sync"]).ends(0);
    host
}

/// The generations of a target, the oldest first.
fn generations(target: &Path) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(target.join(".headfast-generations")) else { return Vec::new() };
    let mut all: Vec<u64> = entries.map(|it| it.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    all.sort_unstable();
    all
}

/// What a folder holds, without headfast's own names: files with content and mode, folders with their mode.
fn tree(root: &Path) -> BTreeMap<String, String> {
    fn visit(dir: &Path, prefix: &str, all: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let data = entry.metadata().unwrap();
            let (path, mode) = (format!("{prefix}{name}"), data.mode() & 0o7777);
            if name.starts_with(".headfast-") {
                continue;
            } else if data.is_dir() {
                visit(&entry.path(), &format!("{path}/"), all);
                all.insert(format!("{path}/"), format!("{mode:04o}"));
            } else if data.is_symlink() {
                all.insert(path, format!("-> {}", fs::read_link(entry.path()).unwrap().display()));
            } else {
                all.insert(path, format!("{mode:04o} {}", fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    let mut all = BTreeMap::new();
    visit(root, "", &mut all);
    all
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Fails unless the ledger knows every file by its metadata, so that a scan reads none.
#[track_caller]
fn the_ledger_knows_all(host: &TestHost) {
    let store = Store::snapshot(&host.path("state")).unwrap().unwrap();
    let ledger = store.ledger("site").unwrap();
    let mut n_files = 0;
    for (at, row) in ledger.iter().filter(|it| it.1.kind == LiveKind::File) {
        let data = fs::symlink_metadata(Path::new(&at.root).join("current").join(at.path.as_str())).unwrap();
        let ctime = data.ctime() * 1_000_000_000 + data.ctime_nsec();
        assert_eq!((row.stat.inode, row.stat.ctime_ns), (data.ino(), ctime), "{}", at.path);
        n_files += 1;
    }
    assert!(n_files > 0);
}

const FILES: &[(&str, &str)] = &[("files/a", "old a"), ("files/conf/b", "old b"), ("files/same", "same")];

#[test]
fn a_foreign_current_is_refused_before_anything_is_written() {
    let host = TestHost::new();
    fs::create_dir_all(host.path("live/current")).unwrap();
    fs::write(host.path("live/current/mine"), "x").unwrap();
    let before = host.snapshot();
    host.commit(&[&[("headfast.yaml", manifest("").as_str())], FILES].concat());
    host.run(&["plan"]).ends(1).says(&["E_TARGET_TYPE", "live/current is a directory", "move it away"]);
    host.run(&["sync"]).ends(1).says(&["E_TARGET_TYPE", "live/current is a directory", "move it away"]);
    assert_eq!(host.snapshot(), before);
    fs::rename(host.path("live/current"), host.path("live/moved")).unwrap();
    host.run(&["sync"]).ends(0);
    assert_eq!(names(&host.path("live")), [".headfast-generations", "current", "moved"]);
    assert_eq!(host.live("current/a"), "old a");
}

#[test]
fn special_files_in_the_tree_are_refused() {
    let host = host(FILES, "");
    crate::servers::run(std::process::Command::new("mkfifo").arg(host.path("live/current/fifo")));
    host.commit(&[("files/a", "new a")]);
    host.run(&["sync"]).ends(1).says(&["E_TARGET_TYPE", "/fifo is a FIFO", "move it away"]);
    assert_eq!((host.live("current/a"), generations(&host.path("live"))), ("old a".to_owned(), vec![1]));
    assert_eq!(names(&host.path("live")), [".headfast-generations", "current"]);
}

#[test]
fn a_change_of_publish_is_refused_and_another_path_works() {
    // From in place to generations, and from generations to in place.
    for (old, new) in [(MANIFEST.to_owned(), manifest("")), (manifest(""), MANIFEST.to_owned())] {
        let host = TestHost::new();
        host.commit(&[&[("headfast.yaml", old.as_str())], FILES].concat());
        host.run(&["sync"]).ends(0);
        let before = host.snapshot();
        host.commit(&[("headfast.yaml", &new)]);
        host.run(&["plan"]).ends(4).says(&["E_PUBLISH", "another `path`"]);
        host.run(&["sync"]).ends(4).says(&["E_PUBLISH", "another `path`"]);
        assert_eq!(host.snapshot(), before);
        // As the message says; the old folder is emptied of what headfast wrote in it.
        let moved = new.replace("path: @LIVE@", "path: @LIVE@-2") + "allow_removal: [@LIVE@]\n";
        host.agent(&AGENT.replace("paths: ['@LIVE@']", "paths: ['@LIVE@', '@LIVE@-2']"));
        host.commit(&[("headfast.yaml", &moved)]);
        host.run(&["sync"]).ends(0);
        let live = host.path("live-2").join(if new.contains("generations") { "current" } else { "." });
        assert_eq!(tree(&live)["conf/b"], "0644 old b");
        assert_eq!(names(&host.path("live")), Vec::<String>::new());
        host.run(&["drift"]).ends(0);
    }
}

#[test]
fn p02_one_link_is_switched_and_the_newest_generations_are_kept() {
    let host = host(FILES, "    mode: \"0640\"\n    overrides: [{match: a, mode: \"0600\"}]\n");
    let live = host.path("live");
    assert_eq!(names(&live), [".headfast-generations", "current"]);
    assert_eq!(fs::read_link(live.join("current")).unwrap(), Path::new(".headfast-generations/1"));
    let first = [("a", "0600 old a"), ("conf/", "0750"), ("conf/b", "0640 old b"), ("same", "0640 same")];
    let first: BTreeMap<String, String> = first.map(|(path, it)| (path.to_owned(), it.to_owned())).into();
    assert_eq!(tree(&live.join("current")), first);
    the_ledger_knows_all(&host);

    host.remove("files/conf/b");
    host.commit(&[("files/a", "new a")]);
    host.run(&["sync"]).ends(0);
    let second = [("a", "0600 new a"), ("same", "0640 same")];
    assert_eq!(tree(&live.join("current")), second.map(|(path, it)| (path.to_owned(), it.to_owned())).into());
    assert_eq!(tree(&live.join(".headfast-generations/1")), first);
    the_ledger_knows_all(&host);

    for n in 3..=6 {
        host.commit(&[("files/a", &format!("a {n}"))]);
        host.run(&["sync"]).ends(0);
        the_ledger_knows_all(&host);
        host.run(&["drift"]).ends(0);
    }
    assert_eq!(generations(&live), [3, 4, 5, 6]);
    host.run(&["sync"]).ends(0).says(&["there was nothing to do"]);
    assert_eq!(generations(&live), [3, 4, 5, 6]);
    host.run(&["rollback"]).ends(0);
    assert_eq!((host.live("current/a"), generations(&live)), ("a 5".to_owned(), vec![4, 5, 6, 7]));
    assert_eq!(names(&live), [".headfast-generations", "current"]);
}

const PROBE: &str =
    "    probe: [{command: [/bin/sh, -c, '! grep -q BAD @LIVE@/current/a'], within: 10ms, settle: 0s}]\n";

#[test]
fn k01_a_failed_probe_switches_back_and_the_failed_generation_goes() {
    let host = host(FILES, PROBE);
    host.agent(&AGENT.replace("push: direct", "push: 'off'"));
    let (before, inode) = (tree(&host.path("live/current")), host.snapshot()[".headfast-generations/1/a"].clone());
    host.remove("files/conf/b");
    host.commit(&[("files/a", "BAD"), ("files/new/c", "c")]);
    host.run(&["sync"]).ends(6);
    assert_eq!(tree(&host.path("live/current")), before);
    assert_eq!(host.snapshot()[".headfast-generations/1/a"], inode);
    assert_eq!(generations(&host.path("live")), [1]);
    the_ledger_knows_all(&host);
    host.run(&["drift"]).ends(0);
}

#[test]
fn a_check_sees_the_whole_target_as_it_would_be() {
    let host = host(FILES, "");
    let look = "cd {{ staged }} && cat a conf/b > @DIR@/seen && test ! -L a && test -L same && ! grep -q BAD a";
    let check = format!("    check: [{{command: [/bin/sh, -c, '{look}']}}]\n");
    host.commit(&[("headfast.yaml", manifest(&check).as_str()), ("files/a", "BAD")]);
    host.run(&["sync"]).ends(4).says(&["E_CHECK"]);
    assert_eq!(fs::read_to_string(host.path("seen")).unwrap(), "BADold b");
    assert_eq!((host.live("current/a"), generations(&host.path("live"))), ("old a".to_owned(), vec![1]));
    assert_eq!(names(&host.path("live")), [".headfast-generations", "current"]);
    host.commit(&[("files/a", "good")]);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("current/a"), "good");
}

#[test]
fn drift_is_found_in_the_live_generation_and_healed_in_a_new_one() {
    let host = host(FILES, "    ignore: ['cache/**']\n");
    let live = host.path("live/current");
    fs::remove_file(live.join("a")).unwrap();
    fs::write(live.join("a"), "edited").unwrap();
    fs::remove_file(live.join("conf/b")).unwrap();
    fs::write(live.join("mine"), "mine").unwrap();
    fs::create_dir(live.join("cache")).unwrap();
    fs::write(live.join("cache/x"), "x").unwrap();
    let drift = host.run(&["drift", "--json"]).ends(5).json();
    let kinds: Vec<_> = drift["drift"].as_array().unwrap().iter().map(|it| (&it["path"], &it["kind"])).collect();
    assert_eq!(kinds, [(&"a".into(), &"modified".into()), (&"conf/b".into(), &"missing".into())]);
    host.run(&["drift", "--heal"]).ends(0).says(&["kept "]);
    assert_eq!((host.live("current/a"), host.live("current/conf/b")), ("old a".to_owned(), "old b".to_owned()));
    assert_eq!((host.live("current/mine"), host.live("current/cache/x")), ("mine".to_owned(), "x".to_owned()));
    assert_eq!(generations(&host.path("live")), [1, 2]);
    assert_eq!(host.live(".headfast-generations/1/a"), "edited");
    host.run(&["drift"]).ends(0);
}

#[test]
fn a_link_that_was_made_to_lead_elsewhere_is_drift_and_is_not_replaced() {
    let host = host(FILES, "");
    let current = host.path("live/current");
    fs::remove_file(&current).unwrap();
    symlink("/tmp", &current).unwrap();
    let drift = host.run(&["drift", "--json"]).ends(5).json();
    assert!(drift["drift"].as_array().unwrap().iter().all(|it| it["kind"] == "type"), "{drift}");
    let refused = ["E_TARGET_TYPE", "live/current is a link that headfast did not make", "move it away"];
    host.run(&["drift", "--heal"]).ends(1).says(&refused);
    host.commit(&[("files/a", "new a")]);
    host.run(&["sync"]).ends(1).says(&refused);
    assert_eq!(fs::read_link(&current).unwrap(), Path::new("/tmp"));
    // Moved away, it is missing, and made anew.
    fs::remove_file(&current).unwrap();
    host.run(&["drift"]).ends(5).says(&["missing"]);
    host.run(&["sync"]).ends(0);
    assert_eq!((host.live("current/a"), host.live("current/same")), ("new a".to_owned(), "same".to_owned()));
    // An older generation is one that someone went back to by hand: drift file by file.
    fs::remove_file(&current).unwrap();
    symlink(".headfast-generations/1", &current).unwrap();
    host.run(&["drift"]).ends(5).says(&["live/a"]);
    host.run(&["drift", "--heal"]).ends(0);
    assert_eq!(host.live("current/a"), "new a");
}

#[test]
fn g30_sensitive_files_are_shared_with_no_other_generation() {
    let host = TestHost::new();
    let fixture = |name: &str| {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sops").join(name)).unwrap()
    };
    fs::write(host.path("age.key"), fixture("keys/k1.txt")).unwrap();
    fs::set_permissions(host.path("age.key"), fs::Permissions::from_mode(0o600)).unwrap();
    host.agent(&AGENT.replace("    branch:", "    age: {identity: @DIR@/age.key}\n    branch:"));
    let secret = "configurations:\n  app: {layers: [secret.sops.yaml]}\n";
    let files = "files: [{template: templates, configuration: app}, {copy: files}]";
    let manifest = manifest("").replace("files: [{copy: files}]", files) + secret;
    host.commit(&[
        ("headfast.yaml", manifest.as_str()),
        ("secret.sops.yaml", &fixture("valid/encrypted-regex.enc.yaml")),
        ("templates/pass.j2", "pass={{ data.pass }}\n"),
        ("files/plain", "plain\n"),
        ("files/a", "a"),
    ]);
    host.run(&["sync"]).ends(0);
    host.commit(&[("files/a", "new a")]);
    host.run(&["sync"]).ends(0);
    let data = |number: u64, path: &str| {
        fs::metadata(host.path("live/.headfast-generations").join(number.to_string()).join(path)).unwrap()
    };
    for number in [1, 2] {
        let secret = data(number, "pass");
        assert_eq!((secret.nlink(), secret.mode() & 0o7777), (1, 0o600));
    }
    assert_ne!(data(1, "pass").ino(), data(2, "pass").ino());
    assert_eq!(host.live("current/pass"), host.live(".headfast-generations/1/pass"));
    the_ledger_knows_all(&host);
    host.run(&["drift"]).ends(0);
}

#[test]
fn prune_all_keeps_what_it_removes() {
    let host = host(FILES, "    prune: all\n    ignore: ['*.local']\n");
    fs::write(host.path("live/current/extra"), "mine").unwrap();
    fs::write(host.path("live/current/my.local"), "mine").unwrap();
    host.run(&["drift"]).ends(5).says(&["extra"]);
    host.commit(&[("files/a", "new a")]);
    host.run(&["sync"]).ends(0);
    assert!(!host.path("live/current/extra").exists());
    assert_eq!(host.live("current/my.local"), "mine");
    assert!(fs::read_dir(host.path("state/kept")).unwrap().next().is_some());
    host.run(&["drift"]).ends(0);
}

/// Stops the readers, also when a test fails.
struct Over<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

/// Readers open `current` once in each round. No more generations come than are kept, so no file may ever be missing.
#[test]
fn i26_readers_see_all_of_one_revision_while_it_is_switched() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let host = host(&[("files/a", "0"), ("files/conf/b", "0")], "");
    let current = host.path("live/current");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut n_rounds = 0;
            while !is_over.load(Ordering::SeqCst) {
                let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
                let dir = rustix::fs::open(&current, flags, rustix::fs::Mode::empty()).expect("never missing");
                let read = |path: &str| {
                    let file = rustix::fs::openat(&dir, path, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
                    std::io::read_to_string(fs::File::from(file.expect("no file is missing"))).unwrap()
                };
                assert_eq!(read("a"), read("conf/b"));
                n_rounds += 1;
            }
            n_rounds
        });
        let over = Over(&is_over);
        for n in 1..=3 {
            host.commit(&[("files/a", &n.to_string()), ("files/conf/b", &n.to_string())]);
            host.run(&["sync"]).ends(0);
        }
        drop(over);
        assert!(reader.join().unwrap() > 0);
    });
}

/// Each call by which a deployment of generations changes something that lasts.
const CALLS: &[&str] = &["renameat2", "unlinkat", "mkdirat", "linkat", "symlinkat", "fsync", "fchmod"];

const TWO: &str = "\
version: 1
environments:
  production: {type: production}
targets:
  one:
    path: @LIVE@/one
    publish: generations
    files: [{copy: one}]
    probe: [{command: [/bin/sh, -c, '! grep -q BAD @LIVE@/one/current/a'], within: 10ms, settle: 0s}]
  two:
    path: @LIVE@/two
    files: [{copy: two}]
";

type Trees = (BTreeMap<String, String>, BTreeMap<String, String>);

/// What readers see of both targets, and nothing but that may be there.
#[track_caller]
fn trees(host: &TestHost) -> Trees {
    let (one, two) = (host.path("live/one"), host.path("live/two"));
    assert_eq!(names(&one), [".headfast-generations", "current"]);
    assert!(names(&two).iter().all(|it| !it.starts_with(".headfast-")));
    (tree(&one.join("current")), tree(&two))
}

/// Kills at every call until the program gets through, and, with `again`, the recovery after that, too.
fn sweep(marker: &str, ends_new: bool, again: bool) -> usize {
    let host = TestHost::new();
    host.agent(&AGENT.replace("push: direct", "push: 'off'"));
    let (a, gone, c) = (("one/a", "old\n"), ("one/gone/b", "b\n"), ("two/c", "old\n"));
    host.commit(&[("headfast.yaml", TWO), a, gone, ("one/same", "same\n"), c]);
    host.run(&["sync"]).ends(0);
    // A generation too many, so that the sweep passes through its removal.
    for n in 1..=3 {
        host.commit(&[("one/a", &format!("old {n}\n"))]);
        host.run(&["sync"]).ends(0);
    }
    let old = trees(&host);
    host.remove("one/gone/b");
    host.commit(&[("one/a", marker), ("one/new/d", "d\n"), ("two/c", "new\n")]);
    copy(&host, ".", "saved");
    host.run(&["sync"]).ends(if ends_new { 0 } else { 6 });
    let new = trees(&host);
    assert_eq!(ends_new, new != old);
    let n_generations = generations(&host.path("live/one")).len();
    let mut points = 0;
    for call in CALLS {
        for n in 1..1000 {
            copy(&host, "saved", ".");
            let Some(status) = host.sync_killed(call, n) else { break };
            points += 1;
            assert!(!status.success() || ends_new && trees(&host) == new, "killed before {call} {n}: no success");
            // Readers never find the link missing, not even now.
            let seen = tree(&host.path("live/one/current"));
            assert!(seen == old.0 || seen["a"] == format!("0644 {marker}"), "killed before {call} {n}: {seen:#?}");
            if again {
                host.sync_killed("renameat2", 1 + n % 4);
            }
            let end = host.run(&["sync"]);
            assert_eq!(trees(&host), new, "killed before {call} {n}: {}{}", end.stdout, end.stderr);
            let last = host.run(&["sync"]);
            assert_eq!(last.status, if ends_new { 0 } else { 4 }, "killed before {call} {n}: {end:#?}{last:#?}");
            assert_eq!(generations(&host.path("live/one")).len(), n_generations, "killed before {call} {n}");
            let history = host.run(&["history", "--json"]).ends(0);
            assert!(!history.stdout.contains("in_progress"), "killed before {call} {n}: {}", history.stdout);
            host.run(&["drift"]).ends(0);
        }
    }
    points
}

#[test]
fn x03_i02_generations_killed_anywhere_and_in_recovery_end_old_or_new() {
    if is_left_out("strace") {
        return;
    }
    let points = sweep("new\n", true, true);
    assert!(points > 40, "the sweep found only {points} points to kill at");
}

#[test]
fn k04_a_rollback_of_generations_killed_anywhere_ends_with_the_old_files() {
    if is_left_out("strace") {
        return;
    }
    let points = sweep("BAD\n", false, false);
    assert!(points > 40, "the sweep found only {points} points to kill at");
}
