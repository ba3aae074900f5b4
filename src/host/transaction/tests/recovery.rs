//! What is changed or damaged between a crash and the restart.

use super::*;

/// A transaction that has passed its commit point; returns the path of its staging folder.
fn committed(world: &World) -> PathBuf {
    let staged = world.stage(CHANGES).unwrap();
    staged.shelf.write(Step::Journal, &staged.journal).unwrap();
    staged.shelf.drop_step(Step::Staging).unwrap();
    world.target.join(&staged.journal.roots[0].staging)
}

#[test]
fn i10_a_lost_new_file_leads_back_to_the_old_ones() {
    let world = world(OLD);
    std::fs::remove_file(committed(&world).join("0")).unwrap();
    let recovered = recover(&world.state, "site", &world.key).unwrap();
    let Recovered::Restored(mut switched) = recovered else { panic!("not restored") };
    switched.settle().unwrap();
    switched.finish().unwrap();
    assert_eq!(world.snapshot(), old());
    assert!(world.shelf_is_empty());
}

#[test]
fn i10_what_is_neither_old_nor_new_with_nothing_waiting_stops_recovery() {
    let world = world(OLD);
    let staging = committed(&world);
    // Renamed and not removed: a number that is free could be given to the next file.
    std::fs::rename(staging.join("0"), world.target.with_file_name("lost")).unwrap();
    save_over(&world.target.join("a"), "somebody's");
    for _ in 0..2 {
        let error = recover(&world.state, "site", &world.key).unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
        assert_eq!(std::fs::read_to_string(world.target.join("a")).unwrap(), "somebody's");
        assert_eq!(std::fs::read_to_string(world.target.join("d/e")).unwrap(), "old e");
    }
    let wreck = wreck(&world.state, "site", &[], &world.key).unwrap().unwrap();
    assert_eq!((wreck.deployment, wreck.is_known, wreck.files.len()), (Some(1), true, 0), "only new files wait");
    wreck.give_up(&world.state, "site").unwrap();
    assert_eq!(world.snapshot(), files(&[("a", "somebody's"), ("d/", ""), ("d/e", "old e")]));
    assert!(world.shelf_is_empty());
    assert!(Path::new(&world.state).join("aside/site-journal-1").exists());
    assert!(matches!(recover(&world.state, "site", &world.key), Ok(Recovered::Nothing)));
}

/// Saves a file as editors do: a new one is renamed over it.
fn save_over(path: &Path, content: &str) {
    let beside = path.with_extension("swp");
    std::fs::write(&beside, content).unwrap();
    std::fs::rename(&beside, path).unwrap();
}

fn texts(surprises: &[Surprise]) -> Vec<(String, String)> {
    let text = |it: &Surprise| std::fs::read_to_string(Path::new(&it.held.0).join(&it.held.1)).unwrap();
    surprises.iter().map(|it| (it.at.path.to_string(), text(it))).collect()
}

#[test]
fn i11_a_new_file_that_an_editor_saved_over_after_the_crash_is_held_and_recovery_goes_on() {
    let world = world(OLD);
    drop(world.stage(CHANGES).unwrap().commit(&world.key).unwrap());
    save_over(&world.target.join("a"), "edited a");
    save_over(&world.target.join("x/y/z"), "edited z");
    let recovered = recover(&world.state, "site", &world.key).unwrap();
    let Recovered::Restored(mut switched) = recovered else { panic!("not restored") };
    let held = texts(&switched.surprises(&world.key).unwrap());
    assert_eq!(held, files(&[("x/y/z", "edited z"), ("a", "edited a")]));
    switched.settle().unwrap();
    switched.finish().unwrap();
    assert_eq!(world.snapshot(), old());
}

#[test]
fn i11_an_old_file_that_an_editor_saved_over_while_going_back_stays_as_it_is() {
    for is_removed in [false, true] {
        let world = world(OLD);
        let mut switched = world.stage(CHANGES).unwrap().commit(&world.key).unwrap();
        switched.settle().unwrap();
        drop(switched.restore(&world.key).unwrap());
        match is_removed {
            true => std::fs::remove_dir_all(world.target.join("d")).unwrap(),
            false => save_over(&world.target.join("d/e"), "edited e"),
        }
        save_over(&world.target.join("a"), "edited a");
        let recovered = recover(&world.state, "site", &world.key).unwrap();
        let Recovered::Restored(mut switched) = recovered else { panic!("not restored") };
        switched.settle().unwrap();
        switched.finish().unwrap();
        let mut expected = files(&[("a", "edited a"), ("d/", ""), ("d/e", "edited e")]);
        if is_removed {
            expected = files(&[("a", "edited a"), ("d/", "")]);
        }
        assert_eq!(world.snapshot(), expected);
        assert!(world.shelf_is_empty());
    }
}

#[test]
fn i11_a_target_that_was_removed_after_the_crash_holds_nothing_up() {
    let world = world(OLD);
    drop(world.stage(CHANGES).unwrap().commit(&world.key).unwrap());
    std::fs::remove_dir_all(&world.target).unwrap();
    let recovered = recover(&world.state, "site", &world.key).unwrap();
    let Recovered::Restored(mut switched) = recovered else { panic!("not restored") };
    switched.settle().unwrap();
    switched.finish().unwrap();
    assert!(!world.target.exists() && world.shelf_is_empty());
}

/// Every way to spoil both copies of a journal: a prefix of the first, a bit of each byte, a tail of zeros, something else
/// in its place.
fn spoil(path: &Path, check: &dyn Fn(&str)) {
    let whole = std::fs::read(path).unwrap();
    // An empty line is between the copies, and the last line break of each means nothing.
    let second = whole.len() / 2 + 1;
    for n in 0..second - 2 {
        std::fs::write(path, &whole[..n]).unwrap();
        check(&format!("cut at {n}"));
        let mut flipped = whole.clone();
        flipped[n] ^= 1 << (n % 8);
        flipped[second + n] ^= 1 << (n % 8);
        std::fs::write(path, &flipped).unwrap();
        check(&format!("bit flipped in byte {n}"));
        let mut zeroed = whole.clone();
        zeroed[n..].fill(0);
        std::fs::write(path, &zeroed).unwrap();
        check(&format!("zeros from {n}"));
    }
    std::fs::remove_file(path).unwrap();
    std::os::unix::fs::symlink("/dev/null", path).unwrap();
    check("a link");
    std::fs::remove_file(path).unwrap();
    std::fs::create_dir(path).unwrap();
    check("a folder");
    std::fs::remove_dir(path).unwrap();
    std::fs::write(path, whole).unwrap();
}

#[test]
fn i08_a_damaged_journal_is_refused_and_nothing_is_touched() {
    let world = world(OLD);
    committed(&world);
    let before = world.snapshot();
    spoil(&Path::new(&world.state).join("transactions/site/journal"), &|how| {
        let error = recover(&world.state, "site", &world.key).err();
        assert!(matches!(error, Some(Error::Journal { .. })), "{how}: {error:?}");
        assert_eq!(world.snapshot(), before, "{how}");
    });
    assert!(matches!(recover(&world.state, "site", &world.key), Ok(Recovered::Forward(_))));
}

#[test]
fn i08_a_damaged_journal_that_was_not_obeyed_yet_is_passed_over() {
    let world = world(OLD);
    let staged = world.stage(CHANGES).unwrap();
    staged.shelf.write(Step::Journal, &staged.journal).unwrap();
    drop(staged);
    std::fs::write(Path::new(&world.state).join("transactions/site/journal"), "torn").unwrap();
    assert!(matches!(recover(&world.state, "site", &world.key), Ok(Recovered::Abandoned(_))));
    assert_eq!(world.snapshot(), old());
}

#[test]
fn i08_damage_to_a_step_that_nothing_hangs_on_is_passed_over() {
    let world = world(OLD);
    drop(world.stage(CHANGES).unwrap());
    let folder = Path::new(&world.state).join("transactions/site");
    std::fs::write(folder.join("staging"), "torn").unwrap();
    assert!(matches!(recover(&world.state, "site", &world.key), Ok(Recovered::Nothing)));
    assert_eq!(world.visible(), old());
    assert_eq!(stray(&[world.root()]).unwrap().len(), 1, "fsck finds the folder");
    std::fs::write(folder.join("done"), "torn").unwrap();
    assert!(matches!(recover(&world.state, "site", &world.key), Ok(Recovered::Nothing)));
    assert!(folder.join("damaged").exists());
}

#[test]
fn i09_a_journal_of_another_repository_or_version_is_not_obeyed() {
    let world = world(OLD);
    let staged = world.stage(CHANGES).unwrap();
    let foreign = Journal { repository: "other".into(), ..staged.journal.clone() };
    let newer = Journal { version: Journal::VERSION + 1, ..staged.journal.clone() };
    let before = world.snapshot();
    for (step, journal) in [(Step::Journal, &foreign), (Step::Undo, &newer), (Step::Done, &newer)] {
        staged.shelf.write(step, journal).unwrap();
        let error = recover(&world.state, "site", &world.key).unwrap_err();
        assert_eq!(error.code(), crate::finding::Code::JOURNAL_FOREIGN, "{step:?}");
        assert_eq!(world.snapshot(), before, "{step:?}");
        staged.shelf.drop_step(step).unwrap();
    }
}

#[test]
fn what_waits_is_listed_also_when_the_journal_cannot_be_read() {
    let world = world(OLD);
    let mut switched = world.stage(CHANGES).unwrap().commit(&world.key).unwrap();
    switched.settle().unwrap();
    drop(switched);
    let known = wreck(&world.state, "site", &[], &world.key).unwrap().unwrap();
    assert_eq!(texts(&known.files), files(&[("a", "old a"), ("d/e", "old e")]));
    std::fs::write(Path::new(&world.state).join("transactions/site/undo"), "torn").unwrap();
    let unknown = wreck(&world.state, "site", &[world.root()], &world.key).unwrap().unwrap();
    let mut held = texts(&unknown.files);
    held.sort();
    assert_eq!(held, files(&[("0", "old a"), ("1", "old e")]));
    assert!(!unknown.is_known);
    unknown.give_up(&world.state, "site").unwrap();
    assert_eq!(world.snapshot(), new(), "what is live stays");
    assert!(world.shelf_is_empty());
}
