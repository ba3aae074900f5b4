//! `headfast fsck`, and damage to every file of the state and of the mirror.

use crate::host::{TestHost, headfast};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A host with two deployments and a kept copy.
fn host() -> TestHost {
    let host = TestHost::with(&[("files/a", "one\n"), ("files/b", "b\n")]);
    fs::write(host.path("live/a"), "edited\n").unwrap();
    host.commit(&[("files/a", "two\n")]);
    host.run(&["sync"]).ends(0);
    host
}

/// Returns the area and need of each problem.
fn problems(host: &TestHost, arguments: &[&str], exit: i32) -> Vec<(String, String, bool)> {
    let json = host.run(&[&["fsck", "--json"], arguments].concat()).ends(exit).json();
    assert_eq!(json["version"], 1);
    let problem = |it: &serde_json::Value| {
        let text = |key: &str| it[key].as_str().unwrap().to_owned();
        assert!(!text("subject").is_empty() && !text("problem").is_empty() && !text("cure").is_empty(), "{it}");
        (text("area"), text("needs"), it["repaired"].as_bool().unwrap())
    };
    json["problems"].as_array().unwrap().iter().map(problem).collect()
}

fn found(area: &str, needs: &str) -> Vec<(String, String, bool)> {
    vec![(area.into(), needs.into(), false)]
}

/// Fails unless the problem is found, repaired, and then gone, and the target was left alone.
#[track_caller]
fn is_repaired(host: &TestHost, area: &str) {
    let live = host.snapshot();
    assert_eq!(problems(host, &[], 5), found(area, "repair"));
    assert_eq!(problems(host, &["--repair"], 0), vec![(area.to_owned(), "repair".to_owned(), true)]);
    host.run(&["fsck"]).ends(0).says(&["all is whole"]);
    assert_eq!(host.snapshot(), live);
    host.run(&["sync"]).ends(0).says(&["there was nothing to do"]);
}

fn copies(host: &TestHost) -> Vec<PathBuf> {
    fs::read_dir(host.path("state/kept")).unwrap().map(|it| it.unwrap().path()).collect()
}

#[test]
fn a_whole_state_is_whole() {
    let host = TestHost::new();
    host.run(&["fsck"]).ends(0).says(&["all is whole"]);
    let host = self::host();
    host.run(&["fsck"]).ends(0).says(&["all is whole"]);
    host.run(&["fsck", "--repair"]).ends(0).says(&["all is whole"]);
}

#[test]
fn o14_rights_of_others_are_taken_away() {
    let host = host();
    fs::set_permissions(host.path("state"), fs::Permissions::from_mode(0o755)).unwrap();
    host.run(&["sync"]).ends(4).says(&["E_STATE_MODE", "chmod 700"]);
    is_repaired(&host, "directory");
    fs::set_permissions(host.path("state/kept"), fs::Permissions::from_mode(0o750)).unwrap();
    is_repaired(&host, "directory");
    assert_eq!(fs::metadata(host.path("state/kept")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn unfinished_files_are_removed() {
    let host = host();
    fs::write(host.path("state/headfast.db.new"), "half").unwrap();
    is_repaired(&host, "directory");
    assert!(!host.path("state/headfast.db.new").exists());
}

#[test]
fn a_copy_without_a_record_is_moved_aside() {
    let host = host();
    let copy = copies(&host).remove(0);
    let content = fs::read(&copy).unwrap();
    // The record goes with the database; the copies stay.
    for tail in ["", "-wal", "-shm"] {
        fs::remove_file(host.path(&format!("state/headfast.db{tail}"))).ok();
    }
    host.run(&["sync"]).ends(0);
    is_repaired(&host, "kept");
    let name = copy.file_name().unwrap().to_str().unwrap();
    assert_eq!(fs::read(host.path(&format!("state/aside/{name}-1"))).unwrap(), content);
}

#[test]
fn k09_a_damaged_copy_is_set_aside_and_its_record_forgotten() {
    let host = host();
    let copy = copies(&host).remove(0);
    fs::write(&copy, "rotten\n").unwrap();
    assert_eq!(problems(&host, &[], 5).len(), 2);
    host.run(&["fsck", "--repair"]).ends(0).says(&["it is not what was kept", "the copy is damaged or gone"]);
    host.run(&["fsck"]).ends(0);
    host.run(&["kept", "list", "--json"]).ends(0).says(&["\"kept\": []"]);
    assert_eq!(fs::read_dir(host.path("state/aside")).unwrap().count(), 1);
}

#[test]
fn drift_is_not_damage_and_is_left_to_its_verb() {
    let host = host();
    fs::write(host.path("live/a"), "edited\n").unwrap();
    fs::remove_file(host.path("live/b")).unwrap();
    assert_eq!(problems(&host, &["--repair"], 5), [found("ledger", "verb"), found("ledger", "verb")].concat());
    assert_eq!(host.live("a"), "edited\n");
    host.run(&["drift", "--heal"]).ends(0);
    host.run(&["fsck"]).ends(0);
}

#[test]
fn a_content_that_changed_under_an_unchanged_stat_is_found() {
    let host = host();
    // As a disk that forgets would have it: the row has the stat of the file with the other content.
    fs::write(host.path("live/a"), "TWO\n").unwrap();
    let data = fs::metadata(host.path("live/a")).unwrap();
    use std::os::unix::fs::MetadataExt;
    let connection = rusqlite::Connection::open(host.path("state/headfast.db")).unwrap();
    let (mtime, ctime) =
        (data.mtime() * 1_000_000_000 + data.mtime_nsec(), data.ctime() * 1_000_000_000 + data.ctime_nsec());
    let sql = "UPDATE ledger SET inode = ?1, size = ?2, mtime_ns = ?3, ctime_ns = ?4 WHERE path = 'a'";
    connection.execute(sql, (data.ino() as i64, data.size() as i64, mtime, ctime)).unwrap();
    drop(connection);
    host.run(&["drift"]).ends(0);
    assert_eq!(problems(&host, &[], 5), found("ledger", "repair"));
    host.run(&["fsck", "--repair"]).ends(0);
    host.run(&["drift", "--heal"]).ends(0);
    assert_eq!(host.live("a"), "two\n");
    host.run(&["fsck"]).ends(0);
}

#[test]
fn p13_a_damaged_mirror_is_fetched_anew() {
    let host = host();
    for path in below(&host.path("state/mirror/site/objects")) {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    is_repaired(&host, "mirror");
}

#[test]
fn a_mirror_that_cannot_be_fetched_now_waits_for_the_next_pass() {
    let host = host();
    fs::remove_dir_all(host.path("state/mirror/site/objects")).unwrap();
    fs::rename(host.path("remote.git"), host.path("away.git")).unwrap();
    assert_eq!(problems(&host, &["--repair"], 5), found("mirror", "repair"));
    fs::rename(host.path("away.git"), host.path("remote.git")).unwrap();
    host.run(&["sync"]).ends(0);
    host.run(&["fsck"]).ends(0);
}

#[test]
fn what_was_cut_short_is_finished_or_given_up() {
    if crate::servers::is_left_out("strace") {
        return;
    }
    for is_damaged in [false, true] {
        let host = host();
        host.commit(&[("files/a", "three\n"), ("files/b", "bb\n")]);
        assert!(!host.sync_with("signal=KILL", "renameat2", 4).success());
        let journal = host.path("state/transactions/site/journal");
        assert!(journal.exists());
        if is_damaged {
            fs::write(&journal, "torn").unwrap();
            host.run(&["sync"]).ends(7).says(&["E_JOURNAL", "headfast fsck --repair"]);
        }
        assert_eq!(problems(&host, &[], 5)[0], found("transactions", "repair")[0]);
        host.run(&["fsck", "--repair"]).says(&["repaired"]);
        host.run(&["sync"]).ends(0);
        assert_eq!((host.live("a"), host.live("b")), ("three\n".into(), "bb\n".into()));
        host.run(&["fsck"]).ends(0).says(&["all is whole"]);
        let names = fs::read_dir(host.path("live")).unwrap().count();
        assert_eq!(names, 2, "nothing is left over");
    }
}

#[test]
fn a_state_that_cannot_be_read_needs_a_person() {
    let host = host();
    fs::write(host.path("state/headfast.db"), "no database at all, but long enough to be looked at as one").unwrap();
    assert_eq!(problems(&host, &["--repair"], 7), found("database", "person"));
    host.run(&["fsck"]).ends(7).says(&["move `", "headfast.db"]);
    assert_eq!(host.live("a"), "two\n");
}

fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|it| it.unwrap().path());
    entries.flat_map(|it| if it.is_dir() { below(&it) } else { vec![it] }).collect()
}

/// What may happen to a file.
const HARMS: [&str; 7] = ["truncate", "zero", "flip", "remove", "folder", "link", "unreadable"];

fn harm(path: &Path, how: &str) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = fs::read(path).unwrap();
    match how {
        "truncate" => bytes.truncate(bytes.len() / 2),
        "zero" => bytes.fill(0),
        "flip" => {
            let middle = bytes.len() / 2;
            bytes.iter_mut().skip(middle).take(1).for_each(|it| *it ^= 4);
        }
        "unreadable" => return fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap(),
        _ => {
            fs::remove_file(path).unwrap();
            match how {
                "folder" => fs::create_dir(path).unwrap(),
                "link" => std::os::unix::fs::symlink("/nonexistent/x", path).unwrap(),
                _ => {}
            }
            return;
        }
    }
    fs::write(path, bytes).unwrap();
}

/// Puts a saved folder back as it was.
fn put_back(host: &TestHost, folder: &str) {
    fs::remove_dir_all(host.path(folder)).unwrap();
    crate::servers::run(Command::new("cp").arg("-a").args([host.path("saved"), host.path(folder)]));
}

#[test]
fn o01_p13_damage_to_any_file_of_the_mirror_heals_in_the_next_pass() {
    let host = host();
    let mirror = host.path("state/mirror/site");
    crate::servers::run(Command::new("cp").arg("-a").args([host.path("state"), host.path("saved")]));
    let tip = host.commit(&[("files/a", "three\n")]);
    let mut n = 0;
    for path in below(&mirror) {
        for how in HARMS {
            put_back(&host, "state");
            harm(&path, how);
            // The drift that the second half of the loop would be to a state from before it.
            fs::write(host.path("live/a"), "two\n").unwrap();
            let what = format!("{} {how}", path.display());
            let output = host.run(&["sync"]);
            assert_eq!(output.status, 0, "{what}: {output:#?}");
            assert_eq!(host.live("a"), "three\n", "{what}");
            assert!(host.run(&["status", "--json"]).ends(0).stdout.contains(&tip), "{what}");
            n += 1;
        }
    }
    assert!(n >= 6 * HARMS.len(), "{n}");
}

#[test]
fn o02_damage_to_any_file_of_the_state_is_repaired_or_named_with_its_cure() {
    let host = host();
    let state = host.path("state");
    crate::servers::run(Command::new("cp").arg("-a").args([host.path("state"), host.path("saved")]));
    let live = host.snapshot();
    let mirror = state.join("mirror");
    let files: Vec<PathBuf> = below(&state).into_iter().filter(|it| !it.starts_with(&mirror)).collect();
    assert!(files.len() >= 4, "{files:?}");
    for path in files {
        for how in HARMS {
            put_back(&host, "state");
            harm(&path, how);
            let what = format!("{} {how}", path.display());
            let output = host.run(&["sync"]);
            if output.status != 0 {
                assert_eq!(output.status, 1, "{what}: {output:#?}");
                assert!(output.stderr.contains("E_STATE"), "{what}: {output:#?}");
                let name = path.file_name().unwrap().to_str().unwrap();
                assert!(output.stderr.contains(name) && output.stderr.contains("run again"), "{what}: {output:#?}");
            }
            let fsck = host.run(&["fsck"]).status;
            assert!([0, 1, 5, 7].contains(&fsck), "{what}: {fsck}");
            assert_eq!(host.snapshot(), live, "{what}: the target is not harmed");
        }
    }
}

#[test]
fn fsck_says_who_is_at_work() {
    let host = host();
    let config = host.path("agent.yaml");
    let lock = fs::File::open(host.path("state/lock")).unwrap();
    lock.lock().unwrap();
    let output = headfast(&host.path(""), &["fsck", "--config", config.to_str().unwrap()]);
    let _ = output.ends(75).says(&["E_LOCKED"]);
}
