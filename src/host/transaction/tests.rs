mod recovery;

use super::*;
use crate::host::scan::observe;
use crate::plan::{LiveKind, Stat};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod generations;
mod locks;

/// A state directory and a target in a temporary directory.
struct World {
    _temp: tempfile::TempDir,
    state: String,
    target: PathBuf,
    key: DigestKey,
}

fn world(files: &[(&str, &str)]) -> World {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().canonicalize().unwrap();
    let (state, target) = (root.join("state"), root.join("target"));
    std::fs::create_dir(&state).unwrap();
    for (path, content) in files {
        let path = target.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    World { _temp: temp, state: state.to_str().unwrap().to_owned(), target, key: DigestKey::new([7; 32]) }
}

fn row() -> Recorded {
    Recorded {
        identity: "identity".into(),
        kind: LiveKind::File,
        digest: String::new(),
        mode: 0o640,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        sensitive: false,
        stat: Stat::default(),
    }
}

impl World {
    fn root(&self) -> String {
        self.target.to_str().unwrap().to_owned()
    }

    fn live(&self, path: &str) -> Option<LiveEntry> {
        observe(&Dir::open(&self.root()).unwrap()?, path, &self.key).unwrap()
    }

    /// A request that writes `(path, Some(content))` and removes `(path, None)`.
    fn request(&self, changes: &[(&str, Option<&str>)]) -> Request {
        let change = |(path, content): &(&str, Option<&str>)| {
            let outgoing = self.live(path);
            let row_before = outgoing.as_ref().map(|it| Recorded {
                stat: it.stat,
                digest: it.digest.clone().map(|it| it.0).unwrap_or_default(),
                ..row()
            });
            Change {
                path: TargetPath::new(path.as_bytes()).unwrap(),
                incoming: content.map(|it| (Content::Bytes(Arc::from(it.as_bytes())), row())),
                outgoing,
                row_before,
                row_after: None,
                unowned: false,
            }
        };
        Request {
            deployment: 1,
            repository: "site".into(),
            targets: vec![TargetChange {
                root: self.root(),
                publish: Some(Publish::InPlace),
                sensitive: Vec::new(),
                directories: (0o755, row().uid, row().gid),
                made: vec!["d".into()],
                changes: changes.iter().map(change).collect(),
            }],
            actions: serde_json::Value::Null,
        }
    }

    fn stage(&self, changes: &[(&str, Option<&str>)]) -> Result<Staged, Error> {
        let blob = |id: &ObjectId| Err(ReadError { what: id.to_string(), reason: "no blobs here".into() });
        stage(&self.state, &self.request(changes), &self.key, &blob)
    }

    /// Every path below the target but headfast's own, with its content, folders with a trailing slash.
    fn visible(&self) -> Vec<(String, String)> {
        self.snapshot().into_iter().filter(|it| !it.0.starts_with(crate::host::PREFIX)).collect()
    }

    /// Every path below the target with its content, folders with a trailing slash.
    fn snapshot(&self) -> Vec<(String, String)> {
        fn visit(dir: &Path, prefix: &str, all: &mut Vec<(String, String)>) {
            let Ok(entries) = std::fs::read_dir(dir) else { return };
            for entry in entries {
                let entry = entry.unwrap();
                let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
                if entry.file_type().unwrap().is_dir() {
                    all.push((format!("{name}/"), String::new()));
                    visit(&entry.path(), &format!("{name}/"), all);
                } else {
                    all.push((name, std::fs::read_to_string(entry.path()).unwrap()));
                }
            }
        }
        let mut all = Vec::new();
        visit(&self.target, "", &mut all);
        all.sort();
        all
    }

    fn shelf_is_empty(&self) -> bool {
        std::fs::read_dir(Path::new(&self.state).join("transactions/site")).unwrap().next().is_none()
    }
}

fn files(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(path, content)| (path.to_string(), content.to_string())).collect()
}

const OLD: &[(&str, &str)] = &[("a", "old a"), ("d/e", "old e")];
const CHANGES: &[(&str, Option<&str>)] = &[("a", Some("new a")), ("d/e", None), ("x/y/z", Some("new z"))];

fn old() -> Vec<(String, String)> {
    files(&[("a", "old a"), ("d/", ""), ("d/e", "old e")])
}

fn new() -> Vec<(String, String)> {
    files(&[("a", "new a"), ("x/", ""), ("x/y/", ""), ("x/y/z", "new z")])
}

#[test]
fn x02_a_transaction_changes_all_and_leaves_nothing_behind() {
    let world = world(OLD);
    let mut switched = world.stage(CHANGES).unwrap().commit(&world.key).unwrap();
    let rows = switched.rows();
    assert_eq!(rows.put.iter().map(|it| it.0.path.as_str()).collect::<Vec<_>>(), ["a", "x/y/z", "x", "x/y"]);
    assert_eq!(rows.remove.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), ["d/e", "d"]);
    let live = world.live("a").unwrap();
    assert_eq!((rows.put[0].1.stat, live.mode), (live.stat, 0o640));
    assert!(switched.surprises(&world.key).unwrap().is_empty());
    switched.settle().unwrap();
    switched.finish().unwrap();
    assert_eq!(world.snapshot(), new());
    assert!(world.shelf_is_empty());
}

#[test]
fn staging_changes_no_name_outside_headfasts_own() {
    let world = world(OLD);
    let before = std::fs::metadata(world.target.join("a")).unwrap();
    let staged = world.stage(CHANGES).unwrap();
    assert_eq!(world.visible(), old());
    staged.abandon().unwrap();
    assert_eq!(world.snapshot(), old());
    let after = std::fs::metadata(world.target.join("a")).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    assert!(world.shelf_is_empty());
}

#[test]
fn x01_a_restore_brings_the_same_inodes_back() {
    let world = world(OLD);
    let before = world.live("a").unwrap();
    let mut switched = world.stage(CHANGES).unwrap().commit(&world.key).unwrap();
    switched.settle().unwrap();
    let restored = switched.restore(&world.key).unwrap();
    let rows = restored.rows();
    assert!(rows.put.iter().any(|(at, row)| at.path.as_str() == "a" && row.stat == world.live("a").unwrap().stat));
    assert!(rows.remove.iter().any(|it| it.path.as_str() == "x/y/z"));
    restored.finish().unwrap();
    assert_eq!(world.snapshot(), old());
    assert_eq!(world.live("a").unwrap().stat.inode, before.stat.inode);
    assert!(world.shelf_is_empty());
}

#[test]
fn x03_a_crash_before_the_commit_point_leaves_the_old_files() {
    let world = world(OLD);
    drop(world.stage(CHANGES).unwrap());
    assert!(matches!(recover(&world.state, "site", &world.key).unwrap(), Recovered::Abandoned(_)));
    assert_eq!(world.snapshot(), old());
    assert!(matches!(recover(&world.state, "site", &world.key).unwrap(), Recovered::Nothing));
}

#[test]
fn x03_a_crash_after_the_commit_point_leads_to_the_new_files() {
    let world = world(OLD);
    let staged = world.stage(CHANGES).unwrap();
    staged.shelf.write(Step::Journal, &staged.journal).unwrap();
    drop(staged);
    let Recovered::Forward(switched) = recover(&world.state, "site", &world.key).unwrap() else {
        panic!("not forward")
    };
    assert_eq!(switched.rows().put.len(), 4);
    // A second crash, and recovery of the recovery.
    drop(switched);
    let Recovered::Forward(mut switched) = recover(&world.state, "site", &world.key).unwrap() else {
        panic!("not forward")
    };
    switched.settle().unwrap();
    switched.finish().unwrap();
    assert_eq!(world.snapshot(), new());
}

#[test]
fn x03_a_crash_between_switch_and_probe_is_unproven_and_can_go_back() {
    let world = world(OLD);
    let mut switched = world.stage(CHANGES).unwrap().commit(&world.key).unwrap();
    switched.settle().unwrap();
    drop(switched);
    let Recovered::Unproven(switched) = recover(&world.state, "site", &world.key).unwrap() else {
        panic!("not unproven")
    };
    let restored = switched.restore(&world.key).unwrap();
    drop(restored);
    let Recovered::Restored(restored) = recover(&world.state, "site", &world.key).unwrap() else {
        panic!("not restored")
    };
    restored.finish().unwrap();
    assert_eq!(world.snapshot(), old());
    assert!(world.shelf_is_empty());
}

#[test]
fn h01_a_missing_target_is_made_and_unmade() {
    let world = world(&[]);
    let mut switched = world.stage(&[("deep/file", Some("x"))]).unwrap().commit(&world.key).unwrap();
    assert_eq!(world.visible(), files(&[("deep/", ""), ("deep/file", "x")]));
    switched.settle().unwrap();
    switched.restore(&world.key).unwrap().finish().unwrap();
    assert!(!world.target.exists());
}

#[test]
fn b10_a_file_becomes_a_folder_and_goes_back() {
    let world = world(&[("a", "file")]);
    let mut switched = world.stage(&[("a", None), ("a/b", Some("inner"))]).unwrap().commit(&world.key).unwrap();
    assert_eq!(world.visible(), files(&[("a/", ""), ("a/b", "inner")]));
    switched.settle().unwrap();
    switched.restore(&world.key).unwrap().finish().unwrap();
    assert_eq!(world.snapshot(), files(&[("a", "file")]));
}

#[test]
fn i11_an_edit_before_the_commit_point_stops_the_transaction() {
    let world = world(OLD);
    let staged = world.stage(CHANGES).unwrap();
    std::fs::write(world.target.join("a"), "edited by hand").unwrap();
    let error = staged.commit(&world.key).unwrap_err();
    assert!(matches!(error, CommitError::Before(Error::Changed { .. })), "{error}");
    assert_eq!(world.snapshot(), files(&[("a", "edited by hand"), ("d/", ""), ("d/e", "old e")]));
    assert!(world.shelf_is_empty());
}

#[test]
fn i11_an_edit_after_the_commit_point_is_held_not_lost() {
    let world = world(OLD);
    let staged = world.stage(CHANGES).unwrap();
    staged.shelf.write(Step::Journal, &staged.journal).unwrap();
    drop(staged);
    std::fs::remove_file(world.target.join("a")).unwrap();
    std::fs::write(world.target.join("a"), "edited by hand").unwrap();
    let Recovered::Forward(switched) = recover(&world.state, "site", &world.key).unwrap() else {
        panic!("not forward")
    };
    let surprises = switched.surprises(&world.key).unwrap();
    assert_eq!(surprises.len(), 1);
    let (folder, name) = &surprises[0].held;
    assert_eq!(std::fs::read_to_string(Path::new(folder).join(name)).unwrap(), "edited by hand");
}

#[test]
fn h07_a_hard_link_is_replaced_not_written_through() {
    let world = world(OLD);
    let other = world.target.parent().unwrap().join("other");
    std::fs::hard_link(world.target.join("a"), &other).unwrap();
    let mut switched = world.stage(&[("a", Some("new"))]).unwrap().commit(&world.key).unwrap();
    switched.settle().unwrap();
    switched.finish().unwrap();
    assert_eq!(std::fs::read_to_string(other).unwrap(), "old a");
}

#[test]
fn a_failing_stage_removes_what_it_wrote() {
    let world = world(OLD);
    let mut request = world.request(CHANGES);
    request.targets[0].changes[2].incoming = Some((Content::Blob { id: ObjectId::new("00"), size: 1 }, row()));
    let blob = |id: &ObjectId| Err(ReadError { what: id.to_string(), reason: "lost".into() });
    assert!(stage(&world.state, &request, &world.key, &blob).is_err());
    assert_eq!(world.snapshot(), old());
    assert!(world.shelf_is_empty());
}

#[test]
fn o08_two_transactions_in_one_target_exclude_each_other() {
    let world = world(OLD);
    let _first = world.stage(CHANGES).unwrap();
    let second = tempfile::tempdir().unwrap();
    let state = second.path().canonicalize().unwrap();
    let blob = |id: &ObjectId| Err(ReadError { what: id.to_string(), reason: "lost".into() });
    let error = stage(state.to_str().unwrap(), &world.request(CHANGES), &world.key, &blob).unwrap_err();
    assert!(matches!(error, Error::Owned { .. }), "{error}");
}

#[test]
fn more_files_than_are_flushed_one_by_one_switch_as_well() {
    let world = world(&[]);
    let names: Vec<String> = (0..100).map(|it| format!("f{it:03}")).collect();
    let changes: Vec<(&str, Option<&str>)> = names.iter().map(|it| (it.as_str(), Some("x"))).collect();
    let switched = world.stage(&changes).unwrap().commit(&world.key).unwrap();
    assert_eq!(switched.rows().put.len(), 100);
    assert_eq!(world.visible().iter().map(|it| it.0.as_str()).collect::<Vec<_>>(), names);
}

#[test]
fn the_staged_view_shows_the_whole_target_as_it_would_be() {
    let world = world(&[("a", "old a"), ("d/e", "old e"), ("d/f", "f"), ("gone", "x")]);
    let staged = world.stage(&[("a", Some("new a")), ("gone", None), ("n/m", Some("new m"))]).unwrap();
    let view = PathBuf::from(crate::host::view::build(&staged, &world.root()).unwrap());
    let read = |path: &str| std::fs::read_to_string(view.join(path)).unwrap();
    assert_eq!(
        (read("a"), read("d/e"), read("d/f"), read("n/m")),
        ("new a".into(), "old e".into(), "f".into(), "new m".into())
    );
    assert!(!view.join("gone").exists());
    assert!(view.join("d/e").is_symlink() && !view.join("a").is_symlink());
    // A check that writes into the view does not reach the staged file.
    std::fs::write(view.join("a"), "scribbled").unwrap();
    let mut switched = staged.commit(&world.key).unwrap();
    switched.settle().unwrap();
    switched.finish().unwrap();
    assert_eq!(std::fs::read_to_string(world.target.join("a")).unwrap(), "new a");
    assert!(world.visible().len() == world.snapshot().len());
}

#[test]
fn two_missing_targets_with_one_parent_are_made_together() {
    let world = world(&[]);
    let mut request = world.request(&[("f", Some("x"))]);
    let mut second = request.targets[0].clone();
    second.root = format!("{}-too/deep", world.root());
    request.targets.push(second);
    let blob = |id: &ObjectId| Err(ReadError { what: id.to_string(), reason: "no blobs here".into() });
    let mut switched = stage(&world.state, &request, &world.key, &blob).unwrap().commit(&world.key).unwrap();
    assert_eq!(std::fs::read_to_string(format!("{}-too/deep/f", world.root())).unwrap(), "x");
    // What leads to a target is made, but it is not a path in it.
    assert!(switched.rows().put.iter().all(|(at, _)| at.path.as_str() == "f"), "{:?}", switched.rows().put);
    switched.settle().unwrap();
    switched.restore(&world.key).unwrap().finish().unwrap();
    assert!(!world.target.exists() && !Path::new(&format!("{}-too", world.root())).exists());
}

#[test]
fn x04_a_crash_while_the_leftovers_are_removed_changes_nothing_any_more() {
    for restores in [false, true] {
        let world = world(OLD);
        let mut switched = world.stage(CHANGES).unwrap().commit(&world.key).unwrap();
        switched.settle().unwrap();
        if restores {
            switched = switched.restore(&world.key).unwrap();
            switched.settle().unwrap();
        }
        switched.advance(Step::Done).unwrap();
        clear_staging(&switched.journal).unwrap();
        drop(switched);
        let found = recover(&world.state, "site", &world.key);
        assert!(matches!(found, Ok(Recovered::Nothing)), "{found:?}");
        assert_eq!(world.snapshot(), if restores { old() } else { new() });
        assert!(world.shelf_is_empty());
    }
}

#[test]
fn x04_a_crash_after_a_recorded_restore_leads_back_to_its_reloads() {
    let world = world(OLD);
    let mut switched = world.stage(CHANGES).unwrap().commit(&world.key).unwrap();
    switched.settle().unwrap();
    let mut restored = switched.restore(&world.key).unwrap();
    assert!(!restored.is_settled());
    restored.settle().unwrap();
    drop(restored);
    // Whatever happens to the files from here on is drift, and no reason to stop.
    std::fs::write(world.target.join("a"), "edited").unwrap();
    let Recovered::Restored(restored) = recover(&world.state, "site", &world.key).unwrap() else {
        panic!("not restored")
    };
    assert!(restored.is_settled());
    restored.finish().unwrap();
    assert!(world.shelf_is_empty());
}

#[test]
fn a_transaction_that_is_not_finished_is_never_written_over() {
    let world = world(OLD);
    let staged = world.stage(CHANGES).unwrap();
    staged.shelf.write(Step::Journal, &staged.journal).unwrap();
    drop(staged);
    assert!(world.stage(&[("b", Some("b"))]).is_err());
    assert!(matches!(recover(&world.state, "site", &world.key).unwrap(), Recovered::Forward(_)));
    assert_eq!(world.visible(), new());
}

#[test]
fn i11_an_edit_between_switch_and_restore_is_held_not_lost() {
    let world = world(&[("a", "file"), ("b", "old b"), ("c", "old c")]);
    let changes = [("a", None), ("a/b", Some("inner")), ("b", Some("new b")), ("c", None)];
    let mut switched = world.stage(&changes).unwrap().commit(&world.key).unwrap();
    switched.settle().unwrap();
    std::fs::write(world.target.join("a/cache"), "a program's").unwrap();
    std::fs::write(world.target.join("b"), "edited").unwrap();
    std::fs::write(world.target.join("c"), "made anew").unwrap();
    let restored = switched.restore(&world.key).unwrap();
    assert_eq!(world.visible(), files(&[("a", "file"), ("b", "old b"), ("c", "old c")]));
    let mut held: Vec<(String, String)> = Vec::new();
    for surprise in restored.surprises(&world.key).unwrap() {
        let (folder, name) = &surprise.held;
        let content = std::fs::read_to_string(Path::new(folder).join(name)).unwrap();
        held.push((surprise.at.path.to_string(), content));
    }
    held.sort();
    assert_eq!(held, files(&[("a/cache", "a program's"), ("b", "edited"), ("c", "made anew")]));
}

#[test]
fn a_folder_gets_its_access_also_when_a_crash_came_right_after_it_was_made() {
    use std::os::unix::fs::PermissionsExt;
    let world = world(OLD);
    let staged = world.stage(CHANGES).unwrap();
    staged.shelf.write(Step::Journal, &staged.journal).unwrap();
    let staging = world.target.join(&staged.journal.roots[0].staging);
    drop(staged);
    // A folder has its name only when it has its mode: what a crash leaves is in the staging folder.
    std::fs::create_dir(staging.join("folder")).unwrap();
    std::fs::set_permissions(staging.join("folder"), std::fs::Permissions::from_mode(0o700)).unwrap();
    recover(&world.state, "site", &world.key).unwrap();
    for folder in ["x", "x/y"] {
        let mode = std::fs::metadata(world.target.join(folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755, "{folder}");
    }
}

#[test]
fn a_removed_folder_comes_back_with_its_own_mode() {
    use std::os::unix::fs::PermissionsExt;
    let world = world(OLD);
    let mode = || std::fs::metadata(world.target.join("d")).unwrap().permissions().mode() & 0o7777;
    std::fs::set_permissions(world.target.join("d"), std::fs::Permissions::from_mode(0o750)).unwrap();
    let mut switched = world.stage(CHANGES).unwrap().commit(&world.key).unwrap();
    switched.settle().unwrap();
    switched.restore(&world.key).unwrap().finish().unwrap();
    assert_eq!(mode(), 0o750);
}

#[test]
fn what_leads_to_a_missing_target_is_not_the_ledgers() {
    let world = world(&[]);
    let mut request = world.request(&[("d/f", Some("x"))]);
    request.targets[0].root = format!("{}/deep/er", world.root());
    let blob = |id: &ObjectId| Err(ReadError { what: id.to_string(), reason: "no blobs here".into() });
    let switched = stage(&world.state, &request, &world.key, &blob).unwrap().commit(&world.key).unwrap();
    let rows = switched.rows();
    assert_eq!(rows.put.iter().map(|it| it.0.path.as_str()).collect::<Vec<_>>(), ["d/f", "d"]);
}

#[test]
fn x04_a_restore_that_was_cut_short_is_repeated_also_where_a_file_took_a_folders_place() {
    let world = world(&[("a", "file")]);
    let changes = [("a", None), ("a/b/c", Some("inner"))];
    let mut switched = world.stage(&changes).unwrap().commit(&world.key).unwrap();
    switched.settle().unwrap();
    drop(switched.restore(&world.key).unwrap());
    for _ in 0..2 {
        let found = recover(&world.state, "site", &world.key);
        assert!(matches!(found, Ok(Recovered::Restored(_))), "{found:?}");
        assert_eq!(world.visible(), files(&[("a", "file")]));
    }
}
