//! Locks, rights, other versions and broken files.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn everything_is_private() {
    let home = Home::new();
    let store = home.open();
    begin(&store, "site");
    store.keep(&drifted(1, "a"), b"x").unwrap();
    assert_eq!(mode(&home.dir()), 0o700);
    let mut names = Vec::new();
    for file in std::fs::read_dir(home.dir()).unwrap().map(|it| it.unwrap()) {
        let wanted = if file.file_type().unwrap().is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&file.path()), wanted, "{file:?}");
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["digest.key", "headfast.db", "headfast.db-shm", "headfast.db-wal", "kept", "lock"]);
}

#[test]
fn rights_that_were_granted_by_hand_are_taken_away() {
    let home = Home::new();
    drop(home.open());
    for name in ["headfast.db", "digest.key"] {
        set_mode(&home.dir().join(name), 0o644);
    }
    let _store = home.open();
    assert_eq!((mode(&home.dir().join("headfast.db")), mode(&home.dir().join("digest.key"))), (0o600, 0o600));
}

#[test]
fn o14_a_directory_that_others_can_read_is_refused() {
    let home = Home::new();
    drop(home.open());
    for bits in [0o750, 0o701, 0o777, 0o720] {
        set_mode(&home.dir(), bits);
        let error = home.refusal();
        assert_eq!(error.code(), Code::STATE_MODE);
        assert!(error.to_string().ends_with(&format!("run `chmod 700 {}`", home.dir().display())), "{error}");
        assert_eq!(Store::snapshot(&home.dir()).err().unwrap().code(), Code::STATE_MODE);
    }
    set_mode(&home.dir(), 0o700);
    home.open();
}

#[test]
fn o14_a_directory_of_another_user_is_refused() {
    let home = Home::new();
    drop(home.open());
    let me = rustix::process::geteuid().as_raw();
    let error = crate::state::directory::check(&home.dir(), me + 1).unwrap_err();
    assert_eq!(error.code(), Code::STATE_MODE);
    assert!(error.to_string().contains(&format!("belongs to user {me}")), "{error}");
}

#[test]
fn a_file_where_the_directory_belongs_is_refused() {
    let home = Home::new();
    std::fs::write(home.dir(), "x").unwrap();
    assert_eq!(home.refusal().code(), Code::STATE_MODE);
    assert_eq!(Store::open(&home.dir().join("below"), "test").err().unwrap().code(), Code::STATE);
}

#[test]
fn o7_a_second_opener_is_told_who_has_it() {
    let home = Home::new();
    let store = Store::open(&home.dir(), "agent\nforged").unwrap();
    let error = home.refusal();
    assert_eq!(error.code(), Code::LOCKED);
    let holder = format!("is held by process {} (`headfast agentforged`)", std::process::id());
    assert!(error.to_string().ends_with(&holder), "{error}");
    drop(store);
    home.open();
}

#[test]
fn n20_o10_the_lock_is_free_when_its_holder_was_killed_whatever_number_it_left() {
    let home = Home::new();
    drop(home.open());
    // Another process: it locks as we do, says that it is us, and is killed while it has the lock.
    let script = r#"exec 9>>"$1"; flock 9; echo "$2 agent" >"$1"; echo locked; read line"#;
    let mut child = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(home.dir().join("lock"))
        .arg(std::process::id().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "locked\n");
    let error = home.refusal();
    assert!(error.to_string().contains(&format!("process {} (`headfast agent`)", std::process::id())), "{error}");
    assert!(Store::snapshot(&home.dir()).unwrap().is_some(), "readers do not wait");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(std::fs::read_to_string(home.dir().join("lock")).unwrap().contains("agent"));
    home.open();
}

#[test]
fn x22_the_threads_of_the_one_who_holds_the_lock_write_side_by_side() {
    let home = Home::new();
    let lock = std::sync::Arc::new(crate::state::Lock::take(&home.dir(), "agent").unwrap());
    // Both find no database yet.
    let write = |work: fn(&Store)| {
        let lock = std::sync::Arc::clone(&lock);
        std::thread::spawn(move || {
            let store = Store::under(&lock).unwrap();
            (0..100).for_each(|_| work(&store));
        })
    };
    // What reads first and writes later must not fail because another wrote in between.
    let reader = write(|it| drop(it.release("site").unwrap()));
    let writer = write(|it| it.remember("site", "a", "b").unwrap());
    reader.join().unwrap();
    writer.join().unwrap();
    assert_eq!(home.refusal().code(), Code::LOCKED);
    drop(lock);
    home.open();
}

#[test]
fn a_lock_file_without_a_name_in_it_still_locks() {
    let home = Home::new();
    let _store = home.open();
    for content in ["", "gibberish", "12x verb", "\u{0}\u{0}"] {
        std::fs::File::options().write(true).truncate(true).open(home.dir().join("lock")).unwrap();
        std::fs::write(home.dir().join("lock"), content).unwrap();
        assert!(home.refusal().to_string().ends_with("is held by another process"));
    }
}

#[test]
fn o15_snapshots_show_one_moment_and_make_nobody_wait() {
    let home = Home::new();
    assert!(Store::snapshot(&home.dir()).unwrap().is_none());
    let store = home.open();
    begin(&store, "site");
    let old = Store::snapshot(&home.dir()).unwrap().unwrap();
    let many: Vec<_> = (0..100).map(|_| Store::snapshot(&home.dir()).unwrap().unwrap()).collect();
    begin(&store, "site");
    assert_eq!(old.deployments(None, 9).unwrap().len(), 1);
    assert!(many.iter().all(|it| it.deployments(None, 9).unwrap().len() == 1));
    assert_eq!(Store::snapshot(&home.dir()).unwrap().unwrap().deployments(None, 9).unwrap().len(), 2);
    assert_eq!(old.host_key(), store.host_key());
    let error = old.set_accepted("site", &ObjectId::new("aa")).unwrap_err();
    assert_eq!(error.code(), Code::STATE);
    drop(store);
    assert_eq!(old.deployments(None, 9).unwrap().len(), 1);
    assert_eq!(home.open().deployments(None, 9).unwrap().len(), 2);
}

#[test]
fn a_snapshot_can_be_taken_of_a_closed_state() {
    let home = Home::new();
    std::fs::create_dir(home.dir()).unwrap();
    set_mode(&home.dir(), 0o700);
    assert!(Store::snapshot(&home.dir()).unwrap().is_none());
    begin(&home.open(), "site");
    assert_eq!(Store::snapshot(&home.dir()).unwrap().unwrap().deployments(None, 9).unwrap().len(), 1);
}

#[test]
fn o12_newer_state_is_refused_and_left_as_it_is() {
    let home = Home::new();
    let store = home.open();
    begin(&store, "site");
    store.connection.execute_batch("PRAGMA user_version = 7; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(store);
    let files = ["headfast.db", "digest.key"].map(|it| home.dir().join(it));
    let before = files.each_ref().map(|it| std::fs::read(it).unwrap());
    let error = home.refusal();
    assert_eq!(error.code(), Code::STATE_NEWER);
    assert!(error.to_string().contains("format 7 and this headfast knows only 2"), "{error}");
    assert_eq!(Store::snapshot(&home.dir()).err().unwrap().code(), Code::STATE_NEWER);
    assert_eq!(files.each_ref().map(|it| std::fs::read(it).unwrap()), before);
}

#[test]
fn o11_a_lost_directory_is_made_again() {
    let home = Home::new();
    begin(&home.open(), "site");
    std::fs::remove_dir_all(home.dir()).unwrap();
    assert_eq!(home.open().deployments(None, 9).unwrap(), []);
}

#[test]
fn a_database_that_was_moved_away_is_made_again_with_the_same_key() {
    let home = Home::new();
    let key = home.open().host_key();
    for file in std::fs::read_dir(home.dir()).unwrap().map(|it| it.unwrap().path()) {
        if file.to_string_lossy().contains("headfast.db") {
            std::fs::remove_file(file).unwrap();
        }
    }
    assert_eq!(home.open().host_key(), key);
}

#[test]
fn o13_a_database_whose_making_was_cut_short_is_made_again() {
    let home = Home::new();
    std::fs::create_dir(home.dir()).unwrap();
    set_mode(&home.dir(), 0o700);
    std::fs::write(home.dir().join("headfast.db.new"), "half").unwrap();
    std::fs::write(home.dir().join("headfast.db.new-journal"), "half").unwrap();
    std::fs::write(home.dir().join("digest.key.new"), "half").unwrap();
    begin(&home.open(), "site");
    let mut names: Vec<_> =
        std::fs::read_dir(home.dir()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["digest.key", "headfast.db", "lock"]);
}

#[test]
fn a_log_that_outlived_its_database_is_not_played_into_the_new_one() {
    let home = Home::new();
    let store = home.open();
    for _ in 0..100 {
        begin(&store, "site");
    }
    let crashed = home.after_a_crash();
    assert!(std::fs::metadata(crashed.dir().join("headfast.db-wal")).unwrap().len() > 0);
    std::fs::remove_file(crashed.dir().join("headfast.db")).unwrap();
    let store = crashed.open();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    assert_eq!(begin(&store, "site").id, 1);
}

#[test]
fn what_is_written_is_flushed() {
    let home = Home::new();
    let store = home.open();
    let pragma = |name: &str| -> String {
        store
            .connection
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, rusqlite::types::Value>(0))
            .map_or_else(|error| error.to_string(), |it| format!("{it:?}"))
    };
    assert_eq!(pragma("journal_mode"), "Text(\"wal\")");
    assert_eq!((pragma("synchronous"), pragma("foreign_keys")), ("Integer(2)".into(), "Integer(1)".into()));
    assert_eq!(pragma("busy_timeout"), "Integer(5000)");
}

/// What may happen to a file.
const HARMS: [&str; 6] = ["truncate", "zero", "flip", "remove", "directory", "symlink"];

fn harm(path: &Path, how: &str) {
    let mut bytes = std::fs::read(path).unwrap();
    match how {
        "truncate" => bytes.truncate(bytes.len() / 2),
        "zero" => bytes.clear(),
        "flip" => bytes[..16].iter_mut().for_each(|it| *it ^= 1),
        _ => {
            std::fs::remove_file(path).unwrap();
            match how {
                "directory" => std::fs::create_dir(path).unwrap(),
                "symlink" => std::os::unix::fs::symlink("/dev/null", path).unwrap(),
                _ => {}
            }
            return;
        }
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn o2_a_harmed_file_is_rebuilt_or_named_with_a_cure() {
    for name in ["headfast.db", "digest.key", "lock", "headfast.db-wal"] {
        for how in HARMS {
            let home = Home::new();
            std::fs::write(home.folder.path().join("lock"), "").unwrap();
            begin(&home.open(), "site");
            let file = home.dir().join(name);
            if !file.exists() {
                std::fs::File::create(&file).unwrap().write_all(&[0; 64]).unwrap();
            }
            if name == "lock" {
                std::fs::write(&file, "99999999 a verb long enough\n").unwrap();
            }
            harm(&file, how);
            let opened = Store::open(&home.dir(), "test").and_then(|it| it.deployments(None, 9));
            let snapshot = Store::snapshot(&home.dir());
            let is_rebuilt = matches!((name, how), ("headfast.db", "remove"));
            let is_fatal = match name {
                "lock" => matches!(how, "directory" | "symlink"),
                "headfast.db-wal" => matches!(how, "directory" | "symlink"),
                _ => !is_rebuilt,
            };
            match opened {
                Ok(found) => {
                    assert!(!is_fatal, "{name} {how}");
                    assert_eq!(found.len(), usize::from(!is_rebuilt), "{name} {how}");
                    assert!(snapshot.is_ok(), "{name} {how}");
                }
                Err(error) => {
                    assert!(is_fatal, "{name} {how}: {error}");
                    assert_eq!(error.code(), Code::STATE, "{name} {how}");
                    let text = error.to_string();
                    let has_cure = ["run again", "look at the file system"].iter().any(|it| text.contains(it));
                    assert!(has_cure && text.contains(name) && !text.contains('\n'), "{name} {how}: {text}");
                }
            }
        }
    }
}

#[test]
fn o2_damage_inside_the_database_is_an_error_where_it_is_read() {
    let home = Home::new();
    let store = home.open();
    for _ in 0..200 {
        begin(&store, "site");
    }
    drop(store);
    let file = home.dir().join("headfast.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[4096..].iter_mut().skip(middle / 2).for_each(|it| *it = 0xa5);
    std::fs::write(&file, bytes).unwrap();
    let read = Store::open(&home.dir(), "test").and_then(|it| it.deployments(None, 1000));
    assert_eq!(read.unwrap_err().code(), Code::STATE);
    let store = Store::open(&home.dir(), "test").unwrap();
    assert!(store.check().map_or_else(|error| error.code() == Code::STATE, |problems| !problems.is_empty()));
}

#[test]
fn a_value_that_no_version_wrote_is_damage() {
    let home = Home::new();
    let store = home.open();
    begin(&store, "site");
    for column in ["status", "phase", "trigger", "changes", "kept", "log", "error"] {
        store.connection.execute_batch("SAVEPOINT harm").unwrap();
        store.connection.execute(&format!("UPDATE deployments SET {column} = '?'"), []).unwrap();
        let error = store.deployment(1).unwrap_err();
        assert_eq!(error.code(), Code::STATE, "{column}");
        assert!(error.to_string().contains("move `"), "{column}: {error}");
        store.connection.execute_batch("ROLLBACK TO harm; RELEASE harm").unwrap();
    }
}

#[test]
fn o2_a_harmed_copy_is_never_given_back_and_is_kept_anew() {
    let home = Home::new();
    let store = home.open();
    begin(&store, "site");
    let id = store.keep(&drifted(1, "a"), b"sixteen bytes and more").unwrap().id;
    let file = home.dir().join("kept").join(&id);
    for how in HARMS {
        harm(&file, how);
        let error = store.read_kept(&id).unwrap_err();
        let wanted = if how == "remove" { Code::NOT_FOUND } else { Code::STATE };
        assert_eq!(error.code(), wanted, "{how}");
        if how == "directory" {
            std::fs::remove_dir(&file).unwrap();
        }
        assert_eq!(store.keep(&drifted(1, "a"), b"sixteen bytes and more").unwrap().id, id, "{how}");
        assert_eq!(store.read_kept(&id).unwrap(), b"sixteen bytes and more", "{how}");
    }
}

#[test]
fn h13_a_quota_is_no_full_disk() {
    for (errno, code) in [(rustix::io::Errno::DQUOT, Code::QUOTA), (rustix::io::Errno::NOSPC, Code::NO_SPACE)] {
        let error = Error::io("write", Path::new("/state"))(errno);
        assert_eq!((error.code(), error.to_finding().hint.is_some()), (code, code == Code::QUOTA), "{error}");
    }
}

#[test]
fn a_full_disk_is_said_to_be_full() {
    let home = Home::new();
    let store = home.open();
    store.connection.execute_batch("PRAGMA max_page_count = 40").unwrap();
    let log = vec!["x".repeat(1 << 20)];
    let error = store.begin(&Deployment { log, ..deployment("site") }).unwrap_err();
    assert_eq!(error.code(), Code::NO_SPACE);
    assert_eq!(store.deployments(None, 9).unwrap(), []);
    assert_eq!(begin(&store, "site").id, 1);
}
