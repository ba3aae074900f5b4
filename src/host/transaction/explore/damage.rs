//! Damage to the journal after it was written: one copy of two is enough, and without any nothing is touched.

use super::apply::REPLACE;
use super::faults::first_note;
use super::life::{Life, Note, Verdict};
use super::world::{SHELF, SITES, STATE, Side, World};
use crate::host::Error;
use crate::host::model::{Disk, Kind, Machine};
use crate::host::transaction::journal::{Journal, Shelf, Step};
use crate::host::transaction::{Recovered, recover};

/// Returns a disk for every step that a transaction can be at, and what is known then; of the journal also one on which it
/// is being obeyed.
fn steps(world: &World) -> Vec<(Step, Disk, Note)> {
    let mut life = Life::begin(world, Verdict::Fails, &world.disk, first_note(world), 1);
    life.deploy().unwrap();
    let past = life.running.0.past();
    let at = |step: Step| {
        let has = |disk: &Disk| disk.files(SHELF).iter().any(|it| it.path == step.file());
        let is_at = |disk: &Disk| {
            Step::ALL.into_iter().find(|it| *it == step || disk.files(SHELF).iter().any(|f| f.path == it.file()))
                == Some(step)
        };
        let (disk, mark) = past.iter().find(|it| has(&it.0) && is_at(&it.0)).expect("every step is passed");
        (step, disk.clone(), life.notes[*mark].clone())
    };
    let is_switching = |disk: &Disk| {
        let names: Vec<String> = disk.files(SHELF).into_iter().map(|it| it.path).collect();
        names == [Step::Journal.file()]
    };
    let (disk, mark) = past.iter().find(|it| is_switching(&it.0)).expect("it switches");
    let switching = (Step::Journal, disk.clone(), life.notes[*mark].clone());
    Step::ALL.map(at).into_iter().chain([switching]).collect()
}

fn bytes(disk: &Disk, step: Step) -> Vec<u8> {
    let file = disk.files(SHELF).into_iter().find(|it| it.path == step.file()).expect("the file is there");
    file.text.into_bytes()
}

fn with(disk: &Disk, step: Step, bytes: &[u8]) -> Disk {
    let mut disk = disk.clone();
    disk.overwrite(&format!("{SHELF}/{}", step.file()), bytes);
    disk
}

fn read(world: &World, disk: &Disk) -> Result<Option<(Step, Journal)>, Error> {
    let _machine = Machine::boot(disk, 2);
    Shelf::open(STATE, "site", &world.key).unwrap().read()
}

#[test]
fn i08_every_single_bit_of_a_journal_may_flip() {
    let world = World::new(REPLACE);
    for (step, disk, _) in steps(&world) {
        let (whole, text) = (read(&world, &disk).unwrap(), bytes(&disk, step));
        // All steps have the same form, and the later ones are renames of one file: all its bits are flipped once, and a few
        // at every step.
        let every = if step == Step::Journal { 1 } else { 97 };
        for bit in (0..text.len() * 8).step_by(every) {
            let mut flipped = text.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&world, &with(&disk, step, &flipped)).unwrap(), whole, "{step:?} bit {bit}");
        }
    }
}

#[test]
fn i08_a_journal_that_is_cut_short_or_zeroed_is_read_or_refused() {
    let world = World::new(REPLACE);
    for (step, disk, note) in steps(&world) {
        let (whole, text) = (read(&world, &disk).unwrap(), bytes(&disk, step));
        for cut in 0..text.len() {
            let mut zeroed = text.clone();
            zeroed[cut..].fill(0);
            // Without the line end after its checksum the first copy is whole, but not with something else in its place.
            for (damaged, is_whole) in [(&text[..cut], cut + 1 >= text.len() / 2), (&zeroed, cut >= text.len() / 2)] {
                let damaged = with(&disk, step, damaged);
                let expected = if is_whole { Expected::Whole } else { expected(&disk, step) };
                match (read(&world, &damaged), expected) {
                    (Ok(found), Expected::Whole) => assert_eq!(found, whole, "{step:?} cut at {cut}"),
                    (Ok(found), Expected::PassedOver) => {
                        assert!(found.is_none_or(|it| it.0 == Step::Staging), "{step:?} cut at {cut}");
                    }
                    (Err(Error::Journal { .. }), Expected::Refused) => {}
                    (found, _) => panic!("{step:?} cut at {cut}: {found:?}"),
                }
                if cut % 100 == 0 {
                    go_on(&world, expected, &damaged, &note);
                }
            }
        }
    }
}

/// What becomes of a journal that is damaged.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// One copy is enough.
    Whole,
    /// It is not needed to know that no name is half-way.
    PassedOver,
    /// Nothing is touched.
    Refused,
}

fn expected(disk: &Disk, step: Step) -> Expected {
    let has_staging = disk.files(SHELF).iter().any(|it| it.path == Step::Staging.file());
    match step {
        Step::Staging | Step::Done => Expected::PassedOver,
        Step::Journal if has_staging => Expected::PassedOver,
        _ => Expected::Refused,
    }
}

fn go_on(world: &World, expected: Expected, disk: &Disk, note: &Note) {
    match expected {
        Expected::Whole => drop(Life::begin(world, Verdict::Fails, disk, note.clone(), 2).recover().unwrap()),
        Expected::PassedOver => {
            let running = Machine::boot(disk, 2);
            assert!(matches!(recover(STATE, "site", &world.key), Ok(Recovered::Nothing | Recovered::Abandoned(_))));
            assert_eq!(world.visible_side(&running.0.disk()), Ok(note.promised.unwrap_or(Side::Old)));
        }
        Expected::Refused => {
            let running = Machine::boot(disk, 2);
            let error = recover(STATE, "site", &world.key).unwrap_err();
            assert_eq!(error.code().name, "E_JOURNAL");
            assert_eq!(running.0.disk().files(SITES), disk.files(SITES));
            assert!(read(world, disk).is_err(), "the damaged journal stays as evidence");
        }
    }
}

#[test]
fn i09_a_journal_of_another_host_repository_or_version_is_refused() {
    let world = World::new(REPLACE);
    let foreign: [fn(&mut Journal); 3] =
        [|it| it.host = "another".into(), |it| it.repository = "other".into(), |it| it.version += 1];
    for (step, disk, _) in steps(&world) {
        for change in foreign {
            let running = Machine::boot(&disk, 2);
            let shelf = Shelf::open(STATE, "site", &world.key).unwrap();
            let mut journal = shelf.read().unwrap().unwrap().1;
            change(&mut journal);
            shelf.write(step, &journal).unwrap();
            let before = running.0.disk().files("/");
            let error = recover(STATE, "site", &world.key).unwrap_err();
            assert_eq!(error.code().name, "E_JOURNAL_FOREIGN", "{error}");
            assert_eq!(running.0.disk().files("/"), before);
        }
    }
}

#[test]
fn i08_what_is_left_of_an_unfinished_write_is_removed() {
    let world = World::new(REPLACE);
    let mut disk = world.disk.clone();
    disk.put(&format!("{SHELF}/new"), Kind::File, "{\"version\"", (0o600, 0, 0));
    Life::begin(&world, Verdict::Proves, &disk, first_note(&world), 1).recover().unwrap();
}

#[test]
fn a_deployment_right_after_one_that_could_not_clean_up_removes_what_it_left() {
    let world = World::new(REPLACE);
    let (_, disk, note) = steps(&world).into_iter().find(|it| it.0 == Step::Staging).unwrap();
    let mut life = Life::begin(&world, Verdict::Proves, &disk, note, 2);
    life.deploy().unwrap();
    life.at_rest().unwrap();
}
