//! Targets that are published by generations.

use super::*;
use crate::host::live;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

impl World {
    /// A request for the next generation, with `sensitive` paths.
    fn next(&self, changes: &[(&str, Option<&str>)], sensitive: &[&str]) -> Request {
        let mut request = self.request(changes);
        let target = &mut request.targets[0];
        target.publish = Some(Publish::Generations);
        target.sensitive = sensitive.iter().map(|it| (*it).to_owned()).collect();
        for change in &mut target.changes {
            change.outgoing = self.now(change.path.as_str());
            change.row_before = change.outgoing.as_ref().map(recorded);
        }
        request
    }

    /// What is live at a path.
    fn now(&self, path: &str) -> Option<LiveEntry> {
        observe(&live::open(&self.root()).unwrap()?, path, &self.key).unwrap()
    }

    fn begin(&self, request: &Request) -> Result<Staged, Error> {
        let blob = |id: &ObjectId| Err(ReadError { what: id.to_string(), reason: "no blobs here".into() });
        stage(&self.state, request, &self.key, &blob)
    }

    fn switch(&self, changes: &[(&str, Option<&str>)]) -> Switched {
        self.begin(&self.next(changes, &[])).unwrap().commit(&self.key).unwrap()
    }

    fn publish(&self, changes: &[(&str, Option<&str>)]) {
        let mut switched = self.switch(changes);
        switched.settle().unwrap();
        switched.finish().unwrap();
    }

    /// The live tree as readers see it.
    fn tree(&self) -> Vec<(String, String)> {
        let inner = World {
            _temp: tempfile::tempdir().unwrap(),
            state: String::new(),
            target: self.target.join("current"),
            key: self.key.clone(),
        };
        inner.snapshot()
    }

    fn generations(&self) -> Vec<u64> {
        Dir::open(&self.root()).unwrap().map_or_else(Vec::new, |it| live::numbers(&it).unwrap())
    }

    /// Everything in the target's own directory.
    fn names(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.target) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn inode(&self, path: &str) -> u64 {
        std::fs::symlink_metadata(self.target.join("current").join(path)).unwrap().ino()
    }
}

fn recorded(live: &LiveEntry) -> Recorded {
    Recorded { stat: live.stat, digest: live.digest.clone().map(|it| it.0).unwrap_or_default(), ..row() }
}

/// A target with one generation.
fn published() -> World {
    let world = world(&[]);
    world.publish(&[("a", Some("old a")), ("d/e", Some("old e")), ("same", Some("same"))]);
    world
}

const NEXT: &[(&str, Option<&str>)] = &[("a", Some("new a")), ("d/e", None), ("x/y/z", Some("new z"))];

#[test]
fn k03_what_is_live_is_told_by_the_generation_that_the_link_names() {
    let world = published();
    let staged = world.begin(&world.next(NEXT, &[])).unwrap();
    let of = |journal: &Journal| whereabouts(journal).into_iter().map(|it| it.1).collect::<Vec<_>>();
    assert_eq!(of(staged.journal()), [Which::Previous; 3]);
    let switched = staged.commit(&world.key).unwrap();
    assert_eq!(of(&switched.journal), [Which::New; 3]);
    let journal = switched.journal.clone();
    std::fs::write(world.target.join("current/d"), "in the way").unwrap();
    std::fs::remove_file(world.target.join("current/a")).unwrap();
    assert_eq!(of(&journal), [Which::Neither, Which::Neither, Which::New]);
    std::fs::remove_file(world.target.join("current/d")).unwrap();
    switched.restore(&world.key).unwrap();
    assert_eq!(of(&journal), [Which::Previous; 3]);
}

fn first() -> Vec<(String, String)> {
    files(&[("a", "old a"), ("d/", ""), ("d/e", "old e"), ("same", "same")])
}

fn second() -> Vec<(String, String)> {
    files(&[("a", "new a"), ("same", "same"), ("x/", ""), ("x/y/", ""), ("x/y/z", "new z")])
}

/// What a target's own directory holds between two deployments.
fn linked() -> Vec<String> {
    vec![".headfast-generations".to_owned(), "current".to_owned()]
}

#[test]
fn a_stage_that_fails_half_way_leaves_nothing() {
    let world = published();
    let mut request = world.next(NEXT, &[]);
    request.targets[0].changes[2].incoming = Some((Content::Blob { id: ObjectId::new("00"), size: 1 }, row()));
    assert!(world.begin(&request).is_err());
    assert_eq!((world.names(), world.tree(), world.generations()), (linked(), first(), vec![1]));
    assert!(world.shelf_is_empty());
}

#[test]
fn a_link_that_is_new_is_a_part_of_the_new_tree() {
    let world = published();
    let mut request = world.next(&[("link", Some("")), ("a", Some("new a"))], &[]);
    let link = Recorded { kind: LiveKind::Link("a".into()), mode: 0o777, ..row() };
    request.targets[0].changes[0].incoming = Some((Content::Link("a".into()), link));
    let mut switched = world.begin(&request).unwrap().commit(&world.key).unwrap();
    switched.settle().unwrap();
    switched.finish().unwrap();
    let link = world.target.join("current/link");
    assert_eq!(
        (std::fs::read_link(&link).unwrap().to_str(), std::fs::read_to_string(&link).unwrap()),
        (Some("a"), "new a".into())
    );
}

#[test]
fn h08_special_files_in_the_tree_are_refused_by_name() {
    let world = published();
    let fifo = world.target.join("current/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let error = world.begin(&world.next(NEXT, &[])).unwrap_err();
    let path = world.target.join(".headfast-generations/1/fifo");
    assert_eq!(error.to_string(), format!("{} is a FIFO; move it away, headfast does not replace it", path.display()));
    assert_eq!(world.names(), linked());
    std::fs::remove_file(fifo).unwrap();
    world.publish(NEXT);
}

#[test]
fn a_foreign_current_is_refused_and_left_alone() {
    for kind in ["file", "folder", "link"] {
        let world = world(&[("other", "x")]);
        let current = world.target.join("current");
        match kind {
            "file" => std::fs::write(&current, "mine").unwrap(),
            "folder" => std::fs::create_dir(&current).unwrap(),
            _ => std::os::unix::fs::symlink("other", &current).unwrap(),
        }
        let error = world.begin(&world.next(&[("a", Some("a"))], &[])).unwrap_err();
        assert!(matches!(error, Error::WrongType { .. }), "{error}");
        assert_eq!(world.names(), ["current", "other"]);
    }
}

#[test]
fn a_target_of_generations_is_not_written_in_place() {
    let world = published();
    let mut request = world.next(NEXT, &[]);
    request.targets[0].publish = Some(Publish::InPlace);
    assert!(matches!(world.begin(&request), Err(Error::Publish { .. })));
    assert_eq!((world.names(), world.tree()), (linked(), first()));
}

#[test]
fn a_new_generation_is_whole_and_the_old_one_stays() {
    let world = published();
    let switched = world.switch(NEXT);
    assert_eq!(world.tree(), second());
    let rows = switched.rows();
    assert_eq!(rows.put.iter().map(|it| it.0.path.as_str()).collect::<Vec<_>>(), ["a", "x/y/z", "x", "x/y"]);
    assert_eq!(rows.remove.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), ["d/e", "d"]);
    assert!(switched.surprises(&world.key).unwrap().is_empty());
    switched.finish().unwrap();
    assert_eq!(world.names(), linked());
    assert_eq!(std::fs::read_link(world.target.join("current")).unwrap(), Path::new(".headfast-generations/2"));
    let old = world.target.join(".headfast-generations/1");
    assert_eq!(std::fs::read_to_string(old.join("a")).unwrap(), "old a");
    assert_eq!(std::fs::read_to_string(old.join("d/e")).unwrap(), "old e");
    assert!(world.shelf_is_empty());
}

#[test]
fn the_ledger_knows_unchanged_files_without_reading_them() {
    let world = published();
    let before = world.now("same").unwrap().stat;
    let mut switched = world.switch(NEXT);
    let follow = |stat: Stat, moves: &[Restat]| {
        let moved = moves.iter().find(|it| it.at.path.as_str() == "same" && it.from == stat);
        moved.map_or(stat, |it| it.to)
    };
    let after = follow(before, &switched.rows().restat);
    assert_eq!(after, world.now("same").unwrap().stat);
    switched.settle().unwrap();
    let restored = switched.restore(&world.key).unwrap();
    let after = follow(after, &restored.rows().restat);
    assert_eq!(after, world.now("same").unwrap().stat);
    // The failed generation goes, and with it a name of the inode.
    let after = follow(after, &restored.finish().unwrap());
    assert_eq!(after, world.now("same").unwrap().stat);
}

#[test]
fn a_drifted_file_is_carried_over_and_stays_drift() {
    let world = published();
    let recorded = world.now("same").unwrap().stat;
    std::fs::write(world.target.join("current/same"), "edited").unwrap();
    std::fs::write(world.target.join("current/foreign"), "mine").unwrap();
    std::fs::create_dir(world.target.join("current/empty")).unwrap();
    std::os::unix::fs::symlink("same", world.target.join("current/link")).unwrap();
    let switched = world.switch(&[("a", Some("new a"))]);
    let tree = world.tree();
    for (path, content) in [("same", "edited"), ("foreign", "mine"), ("empty/", ""), ("link", "edited")] {
        assert!(tree.contains(&(path.to_owned(), content.to_owned())), "{path} in {tree:?}");
    }
    assert!(switched.rows().restat.iter().all(|it| it.from != recorded), "drift does not become what was deployed");
}

#[test]
fn folders_keep_their_mode_and_files_their_times() {
    let world = published();
    let live = world.target.join("current");
    std::fs::set_permissions(live.join("d"), std::fs::Permissions::from_mode(0o2750)).unwrap();
    let before = std::fs::metadata(live.join("d/e")).unwrap();
    world.publish(&[("a", Some("new a"))]);
    let after = std::fs::metadata(live.join("d/e")).unwrap();
    assert_eq!(std::fs::metadata(live.join("d")).unwrap().mode() & 0o7777, 0o2750);
    assert_eq!((before.mtime(), before.mtime_nsec(), before.mode()), (after.mtime(), after.mtime_nsec(), after.mode()));
}

#[test]
fn a_sensitive_file_is_written_again_and_shared_with_nothing() {
    let world = published();
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(world.target.join("current/same"), private).unwrap();
    let before = world.inode("same");
    let switched = world.begin(&world.next(&[("a", Some("new a"))], &["same"])).unwrap().commit(&world.key).unwrap();
    let data = std::fs::metadata(world.target.join("current/same")).unwrap();
    assert_eq!((data.nlink(), data.mode() & 0o7777), (1, 0o600));
    assert_ne!(data.ino(), before);
    assert_eq!(
        world.now("same").unwrap().stat,
        switched.rows().restat.iter().find(|it| it.at.path.as_str() == "same").unwrap().to
    );
    switched.finish().unwrap();
    assert_eq!(world.tree(), files(&[("a", "new a"), ("d/", ""), ("d/e", "old e"), ("same", "same")]));
}

#[test]
fn p03_a_copy_that_reads_back_differently_is_no_success() {
    let world = published();
    let staged = world.begin(&world.next(&[("a", Some("new a"))], &["same"])).unwrap();
    let staging = world.target.join(&staged.journal.roots[0].staging);
    std::fs::write(staging.join("tree/same"), "diff").unwrap();
    // Recovery has a place to keep what is not what was written.
    assert!(matches!(staged.commit(&world.key), Err(CommitError::After(Error::ReadBack { .. }))));
    assert_eq!(world.tree(), first());
    let Recovered::Restored(restored) = recover(&world.state, "site", &world.key).unwrap() else {
        panic!("not restored")
    };
    assert_eq!(restored.surprises(&world.key).unwrap().len(), 1);
    restored.finish().unwrap();
    assert_eq!((world.tree(), world.generations()), (first(), vec![1]));
}

#[test]
fn a_switch_that_fails_leaves_the_old_generation() {
    let world = published();
    let staged = world.begin(&world.next(NEXT, &[])).unwrap();
    // Someone takes the place that the new tree was to have.
    std::fs::create_dir(world.target.join(".headfast-generations/2")).unwrap();
    let error = staged.commit(&world.key).unwrap_err();
    assert!(matches!(error, CommitError::Before(Error::Io { .. })), "{error}");
    assert_eq!((world.names(), world.tree(), world.generations()), (linked(), first(), vec![2, 1]));
    assert!(world.shelf_is_empty());
    world.publish(NEXT);
    assert_eq!((world.tree(), world.generations()), (second(), vec![3, 2, 1]));
}

#[test]
fn many_files_are_flushed_with_their_file_system() {
    let world = published();
    let names: Vec<String> = (0..100).map(|it| format!("many/f{it:03}")).collect();
    let changes: Vec<(&str, Option<&str>)> = names.iter().map(|it| (it.as_str(), Some("x"))).collect();
    world.publish(&changes);
    assert_eq!(world.tree().len(), first().len() + 101);
}

#[test]
fn a_generation_that_cannot_be_removed_stays_and_stops_nothing() {
    let world = published();
    let held = std::fs::File::create(world.target.join("current/held")).unwrap();
    // An immutable file can neither be linked nor removed; where this process may not make one, an ordinary one will do.
    rustix::fs::ioctl_setflags(&held, rustix::fs::IFlags::IMMUTABLE).ok();
    let is_held = rustix::fs::ioctl_getflags(&held).is_ok_and(|it| it.contains(rustix::fs::IFlags::IMMUTABLE));
    for n in 2..=6 {
        world.publish(&[("a", Some(&format!("a {n}")))]);
    }
    let generations = world.generations();
    assert!(world.tree().contains(&("held".to_owned(), String::new())), "it is carried over");
    rustix::fs::ioctl_setflags(&held, rustix::fs::IFlags::empty()).ok();
    assert_eq!(generations, if is_held { vec![6, 5, 4, 3, 1] } else { vec![6, 5, 4, 3] });
    world.publish(&[("a", Some("last"))]);
    assert_eq!(world.generations(), [7, 6, 5, 4]);
}

#[test]
fn a_journal_that_leads_out_of_the_target_is_not_consistent() {
    let world = published();
    let staged = world.begin(&world.next(NEXT, &[])).unwrap();
    let root = &staged.journal.roots[0];
    assert!(root.is_consistent() && staged.journal.inverted().roots[0].is_consistent());
    let altered = |alter: &dyn Fn(&mut Root, &mut Generation)| {
        let (mut root, mut generation) = (root.clone(), root.generation.clone().unwrap());
        alter(&mut root, &mut generation);
        Root { generation: Some(generation), ..root }.is_consistent()
    };
    assert!(!altered(&|root, _| root.staging = ".headfast-generations".into()));
    assert!(!altered(&|_, generation| generation.link.path = "a".into()));
    assert!(!altered(&|_, generation| generation.carried[0].path = "../x".into()));
    assert!(!altered(&|_, generation| generation.directories[0].path = "/x".into()));
    let elsewhere = |it: &mut Option<FileId>| it.as_mut().unwrap().kind = LiveKind::Link("../x".into());
    assert!(!altered(&|_, generation| elsewhere(&mut generation.link.incoming)));
    assert!(!altered(&|_, generation| elsewhere(&mut generation.link.outgoing)));
    staged.abandon().unwrap();
}

#[test]
fn k01_a_restore_switches_the_link_back_and_removes_the_failed_generation() {
    let world = published();
    let before = world.inode("a");
    let mut switched = world.switch(NEXT);
    switched.settle().unwrap();
    let restored = switched.restore(&world.key).unwrap();
    assert_eq!((world.tree(), world.inode("a")), (first(), before));
    let rows = restored.rows();
    assert!(rows.put.iter().any(|(at, row)| at.path.as_str() == "a" && row.stat == world.now("a").unwrap().stat));
    let removed: Vec<&str> = rows.remove.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(removed, ["x/y/z", "x/y", "x"]);
    restored.finish().unwrap();
    assert_eq!((world.names(), world.generations()), (linked(), vec![1]));
    assert!(world.shelf_is_empty());
}

#[test]
fn a_first_generation_that_fails_leaves_no_trace() {
    for existing in [&[][..], &[("mine", "x")][..]] {
        let world = world(existing);
        let mut switched = world.switch(&[("a", Some("a"))]);
        assert_eq!(world.tree(), files(&[("a", "a")]));
        switched.settle().unwrap();
        switched.restore(&world.key).unwrap().finish().unwrap();
        assert_eq!(world.snapshot(), files(existing));
        assert_eq!(world.target.exists(), !existing.is_empty());
    }
}

#[test]
fn x03_recovery_from_every_step_is_old_or_new() {
    // Before the commit point: old, and the half-built tree is gone.
    let world = published();
    drop(world.begin(&world.next(NEXT, &[])).unwrap());
    assert!(matches!(recover(&world.state, "site", &world.key).unwrap(), Recovered::Abandoned(_)));
    assert_eq!((world.tree(), world.generations()), (first(), vec![1]));
    assert_eq!(world.names(), linked());

    // After it: new, also when recovery is cut short and repeated, and when the tree had its place already.
    for half in [false, true] {
        let world = published();
        let staged = world.begin(&world.next(NEXT, &[])).unwrap();
        staged.shelf.write(Step::Journal, &staged.journal).unwrap();
        let staging = world.target.join(&staged.journal.roots[0].staging);
        drop(staged);
        if half {
            std::fs::rename(staging.join("tree"), world.target.join(".headfast-generations/2")).unwrap();
        }
        for _ in 0..2 {
            let found = recover(&world.state, "site", &world.key).unwrap();
            assert!(matches!(found, Recovered::Forward(_)), "{found:?}");
            assert_eq!(world.tree(), second());
        }
        let Recovered::Forward(mut switched) = recover(&world.state, "site", &world.key).unwrap() else {
            panic!("not forward")
        };
        switched.settle().unwrap();
        drop(switched);
        let Recovered::Unproven(switched) = recover(&world.state, "site", &world.key).unwrap() else {
            panic!("not unproven")
        };
        // A restore that is cut short goes on, before and after it is recorded.
        drop(switched.restore(&world.key).unwrap());
        for settle in [false, true, true] {
            let Recovered::Restored(mut restored) = recover(&world.state, "site", &world.key).unwrap() else {
                panic!("not restored")
            };
            assert_eq!(world.tree(), first());
            if settle {
                restored.settle().unwrap();
            }
        }
        let Recovered::Restored(mut restored) = recover(&world.state, "site", &world.key).unwrap() else {
            panic!("not restored")
        };
        restored.advance(Step::Done).unwrap();
        drop(restored);
        assert!(matches!(recover(&world.state, "site", &world.key).unwrap(), Recovered::Nothing));
        assert_eq!((world.tree(), world.generations()), (first(), vec![1]));
        assert_eq!(world.names(), linked());
    }
}

#[test]
fn i10_a_lost_tree_leads_back_and_the_link_stays() {
    let world = published();
    let staged = world.begin(&world.next(NEXT, &[])).unwrap();
    staged.shelf.write(Step::Journal, &staged.journal).unwrap();
    let staging = world.target.join(&staged.journal.roots[0].staging);
    drop(staged);
    std::fs::remove_dir_all(staging.join("tree")).unwrap();
    // What was to come can no longer be, and what was is still there.
    let Recovered::Restored(mut restored) = recover(&world.state, "site", &world.key).unwrap() else {
        panic!("it does not lead back")
    };
    restored.settle().unwrap();
    restored.finish().unwrap();
    assert_eq!((world.tree(), world.generations()), (first(), vec![1]));
}

#[test]
fn i11_what_is_changed_or_made_at_the_last_moment_is_held() {
    let world = published();
    let staged = world.begin(&world.next(NEXT, &["same"])).unwrap();
    staged.shelf.write(Step::Journal, &staged.journal).unwrap();
    drop(staged);
    let live = world.target.join("current");
    for (path, content) in [("a", "edited"), ("same", "edited too"), ("fresh", "made"), ("d/fresh", "made below")] {
        std::fs::remove_file(live.join(path)).ok();
        std::fs::write(live.join(path), content).unwrap();
    }
    let Recovered::Forward(switched) = recover(&world.state, "site", &world.key).unwrap() else {
        panic!("not forward")
    };
    assert_eq!(world.tree(), second());
    let mut held: Vec<(String, String)> = Vec::new();
    for surprise in switched.surprises(&world.key).unwrap() {
        assert_eq!(surprise.sensitive, surprise.at.path.as_str() == "same");
        let (folder, name) = &surprise.held;
        held.push((surprise.at.path.to_string(), std::fs::read_to_string(Path::new(folder).join(name)).unwrap()));
    }
    held.sort();
    assert_eq!(held, files(&[("a", "edited"), ("d/fresh", "made below"), ("fresh", "made"), ("same", "edited too")]));
}

#[test]
fn i11_an_edit_before_the_commit_point_stops_the_transaction() {
    let world = published();
    let staged = world.begin(&world.next(NEXT, &[])).unwrap();
    std::fs::write(world.target.join("current/a"), "edited by hand").unwrap();
    assert!(matches!(staged.commit(&world.key), Err(CommitError::Before(Error::Changed { .. }))));
    assert_eq!(world.generations(), [1]);
    let staged = world.begin(&world.next(NEXT, &[])).unwrap();
    std::fs::remove_file(world.target.join("current")).unwrap();
    std::os::unix::fs::symlink("/tmp", world.target.join("current")).unwrap();
    assert!(matches!(staged.commit(&world.key), Err(CommitError::Before(Error::Changed { .. }))));
    assert_eq!(std::fs::read_link(world.target.join("current")).unwrap(), Path::new("/tmp"));
}

#[test]
fn i11_edits_in_a_generation_that_fails_are_held() {
    let world = published();
    let mut switched = world.switch(NEXT);
    switched.settle().unwrap();
    let live = world.target.join("current");
    std::fs::write(live.join("x/y/z"), "edited").unwrap();
    std::fs::write(live.join("cache"), "a program's").unwrap();
    let restored = switched.restore(&world.key).unwrap();
    let held: Vec<String> =
        restored.surprises(&world.key).unwrap().into_iter().map(|it| it.at.path.to_string()).collect();
    assert_eq!(held, ["cache", "x/y/z"]);
    restored.finish().unwrap();
    assert_eq!(world.tree(), first());
}

#[test]
fn i27_the_newest_are_kept_and_open_files_stay_readable() {
    use std::io::Read;
    let world = published();
    let mut open = std::fs::File::open(world.target.join("current/a")).unwrap();
    for n in 2..=7 {
        world.publish(&[("a", Some(&format!("a {n}")))]);
    }
    assert_eq!(world.generations(), [7, 6, 5, 4]);
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "old a");
    // A removal that was cut short is gone on with.
    std::fs::create_dir_all(world.target.join(".headfast-generations/2/left")).unwrap();
    world.publish(&[("a", Some("last"))]);
    assert_eq!(world.generations(), [8, 7, 6, 5]);
}

#[test]
fn retention_leaves_what_the_link_names() {
    let world = published();
    for n in 2..=4 {
        world.publish(&[("a", Some(&format!("a {n}")))]);
    }
    let switched = world.switch(&[("a", Some("a 5"))]);
    std::fs::remove_file(world.target.join("current")).unwrap();
    std::os::unix::fs::symlink(".headfast-generations/1", world.target.join("current")).unwrap();
    switched.finish().unwrap();
    assert_eq!(world.generations(), [5, 4, 3, 1]);
    // Without a link nothing says what may go.
    let switched = world.switch(&[("a", Some("a 6"))]);
    std::fs::remove_file(world.target.join("current")).unwrap();
    switched.finish().unwrap();
    assert_eq!(world.generations(), [6, 5, 4, 3, 1]);
    // The next generation is made from the newest.
    assert!(world.now("a").is_none());
    world.publish(&[("b", Some("b"))]);
    assert_eq!(world.tree(), files(&[("a", "a 6"), ("b", "b"), ("d/", ""), ("d/e", "old e"), ("same", "same")]));
}

#[test]
fn a_target_that_is_given_up_goes_with_its_last_file() {
    let all = [("a", None), ("d/e", None), ("same", None)];
    for restores in [false, true] {
        let world = published();
        std::fs::write(world.target.join("mine"), "x").unwrap();
        let mut request = world.next(&all, &[]);
        request.targets[0].publish = None;
        let mut switched = world.begin(&request).unwrap().commit(&world.key).unwrap();
        assert!(!world.target.join("current").exists());
        switched.settle().unwrap();
        if restores {
            switched = switched.restore(&world.key).unwrap();
            assert_eq!(world.tree(), first());
        }
        switched.finish().unwrap();
        match restores {
            true => assert_eq!(world.tree(), first()),
            false => assert_eq!(world.names(), ["mine"]),
        }
    }
    // Someone else's file keeps it.
    let world = published();
    std::fs::write(world.target.join("current/mine"), "x").unwrap();
    let mut request = world.next(&all, &[]);
    request.targets[0].publish = None;
    world.begin(&request).unwrap().commit(&world.key).unwrap().finish().unwrap();
    assert_eq!(world.tree(), files(&[("mine", "x")]));
}

#[test]
fn the_staged_view_of_a_generation_shows_the_whole_target() {
    let world = published();
    let staged = world.begin(&world.next(NEXT, &[])).unwrap();
    let view = PathBuf::from(crate::host::view::build(&staged, &world.root()).unwrap());
    let read = |path: &str| std::fs::read_to_string(view.join(path)).unwrap();
    assert_eq!((read("a"), read("same"), read("x/y/z")), ("new a".into(), "same".into(), "new z".into()));
    assert!(!view.join("d/e").exists() && view.join("same").is_symlink() && !view.join("a").is_symlink());
    std::fs::write(view.join("a"), "scribbled").unwrap();
    staged.commit(&world.key).unwrap().finish().unwrap();
    assert_eq!(world.tree(), second());
}

#[test]
fn targets_of_both_kinds_switch_together() {
    let world = published();
    let mut request = world.next(NEXT, &[]);
    let mut other = world.request(&[("f", Some("x"))]).targets.remove(0);
    other.root = format!("{}-too", world.root());
    request.targets.push(other);
    let in_place = PathBuf::from(format!("{}-too", world.root()));
    let mut switched = world.begin(&request).unwrap().commit(&world.key).unwrap();
    assert_eq!((world.tree(), std::fs::read_to_string(in_place.join("f")).unwrap()), (second(), "x".to_owned()));
    switched.settle().unwrap();
    switched.restore(&world.key).unwrap().finish().unwrap();
    assert_eq!((world.tree(), in_place.exists()), (first(), false));
}

#[test]
fn numbers_go_on_when_the_state_begins_anew() {
    let world = published();
    world.publish(NEXT);
    std::fs::remove_dir_all(&world.state).unwrap();
    std::fs::create_dir(&world.state).unwrap();
    let mut request = world.next(&[("a", Some("again"))], &[]);
    request.deployment = 1;
    world.begin(&request).unwrap().commit(&world.key).unwrap().finish().unwrap();
    assert_eq!(world.generations(), [3, 2, 1]);
}

/// Readers open `current` once in a round. A round in which more generations came than are kept proves nothing.
#[test]
fn i26_p02_readers_never_see_a_mix_or_a_missing_file() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    let world = published();
    let text = |n: usize| format!("revision {n}");
    world.publish(&[("a", Some(&text(0))), ("d/e", Some(&text(0)))]);
    let (n_switches, is_read) = (AtomicUsize::new(0), AtomicBool::new(false));
    let n_rounds = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut n_rounds = 0;
            for _ in 0..5000 {
                let begun = n_switches.load(Ordering::SeqCst);
                let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
                let current = world.target.join("current");
                let dir =
                    rustix::fs::open(&current, flags, rustix::fs::Mode::empty()).expect("`current` is never missing");
                let read = |path: &str| {
                    let flags = rustix::fs::OFlags::RDONLY;
                    let file = rustix::fs::openat(&dir, path, flags, rustix::fs::Mode::empty());
                    file.map(|it| std::io::read_to_string(std::fs::File::from(it)).unwrap())
                };
                let (first, second) = (read("a"), read("d/e"));
                if n_switches.load(Ordering::SeqCst) - begun < KEPT {
                    assert_eq!(first.expect("no file is missing"), second.expect("no file is missing"));
                    n_rounds += 1;
                }
            }
            is_read.store(true, Ordering::SeqCst);
            n_rounds
        });
        let mut n = 0;
        while !is_read.load(Ordering::SeqCst) && !reader.is_finished() {
            n += 1;
            world.publish(&[("a", Some(&text(n))), ("d/e", Some(&text(n)))]);
            n_switches.store(n, Ordering::SeqCst);
        }
        reader.join().unwrap()
    });
    assert!(n_rounds > 0 && n_switches.load(Ordering::SeqCst) > 0);
}
