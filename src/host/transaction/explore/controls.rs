//! Without a guard, an exploration finds what the guard is there for. A check that finds nothing then would check nothing.

use super::apply::{MISSING, REPLACE, THREE};
use super::faults::{deploy, first_note};
use super::life::{Life, Verdict};
use super::world::{STATE, Scenario, Side, World};
use super::{Budget, explore};
use crate::host::model::{Call, Disk, Fault, Guard, Machine, without};
use crate::host::transaction::{Recovered, Switched, recover, stage};
use crate::host::{DigestKey, Dir, Error};
use crate::revision::{ObjectId, ReadError};

const BUDGET: Budget = Budget { deaths: 1, outcomes: 256, lives: 1000 };

#[track_caller]
pub fn misses(scenario: Scenario, guard: Guard) -> String {
    let _without = without(guard);
    explore(&World::new(scenario), Verdict::Proves, BUDGET).expect_err("the exploration misses the guard")
}

#[test]
fn i06_without_the_flush_of_staged_files_a_power_loss_leaves_other_bytes() {
    let found = misses(THREE, Guard::StagedFlush);
    // Bytes that nobody wrote: they are deployed, or recovery takes them for an edit of the new file.
    let other = ["neither old nor new", "took this for edits"];
    assert!(found.contains("power loss") && other.iter().any(|it| found.contains(it)), "{found}");
}

#[test]
fn i06_without_the_flush_of_directories_a_power_loss_leaves_a_mix() {
    let found = misses(THREE, Guard::DirectoryFlush);
    assert!(found.contains("power loss"), "{found}");
}

#[test]
fn i08_without_the_flush_of_the_journal_a_power_loss_tears_it() {
    let found = misses(THREE, Guard::JournalFlush);
    assert!(found.contains("power loss") && found.contains("damaged"), "{found}");
}

/// Deploys while one write after the other stores a wrong byte, and one change of mode or owner after the other is not
/// made; returns what went unnoticed.
pub fn silent_faults(scenario: Scenario) -> Vec<String> {
    let world = World::new(scenario);
    let calls = deploy(&world, Verdict::Proves, Fault::Silent(usize::MAX)).unwrap().2;
    let is_silent = |it: &Call| matches!(it, Call::Write | Call::ChangeMode | Call::ChangeOwner);
    let numbers: Vec<usize> = (0..calls.len()).filter(|it| is_silent(&calls[*it])).collect();
    assert!(numbers.len() > 8, "{calls:?}");
    let unnoticed = |at: &usize| deploy(&world, Verdict::Proves, Fault::Silent(*at)).err();
    numbers.iter().filter_map(unnoticed).collect()
}

#[test]
fn p03_what_was_written_wrong_is_no_success() {
    assert_eq!(silent_faults(THREE), Vec::<String>::new());
    let _without = without(Guard::ReadBack);
    let found = silent_faults(THREE);
    assert!(found.iter().any(|it| it.contains("neither old nor new")), "{found:?}");
}

#[test]
fn i12_a_disk_that_ignores_flushes_and_keeps_the_order_leaves_old_or_new() {
    lies_in_order(THREE);
}

/// Deploys on a disk that ignores flushes and keeps the order of writes, and recovers from every moment.
pub fn lies_in_order(scenario: Scenario) {
    for verdict in [Verdict::Proves, Verdict::Fails] {
        let world = World::new(scenario);
        let mut life = Life::begin(&world, verdict, &world.disk, first_note(&world), 1);
        life.running.0.arm(Some(Fault::LyingFlush));
        life.deploy().unwrap();
        let past = life.running.0.past();
        assert!(past.len() > 50);
        for (disk, mark) in past {
            // Whatever was promised was promised on the word of the disk.
            let note = super::life::Note { promised: None, ..life.notes[mark].clone() };
            Life::begin(&world, verdict, &disk.all_kept(), note, 2).recover().unwrap();
        }
    }
}

#[test]
fn i12_a_disk_that_ignores_flushes_and_the_order_can_leave_anything() {
    // No program can help that; the ledger and the digests show it afterwards, as drift.
    let world = World::new(THREE);
    let mut life = Life::begin(&world, Verdict::Proves, &world.disk, first_note(&world), 1);
    life.running.0.arm(Some(Fault::LyingFlush));
    life.deploy().unwrap();
    let lost = life.disk().after_power_loss(100, &mut crate::host::model::Dice(1)).0;
    assert!(lost.iter().any(|it| world.side(it).is_err()));
}

/// One step of an agent; between two of them another agent may do anything.
struct Agent<'w> {
    world: &'w World,
    state: String,
    key: &'w DigestKey,
    staged: Option<crate::host::transaction::Staged>,
    switched: Option<Switched>,
    refused: bool,
}

impl Agent<'_> {
    fn step(&mut self) {
        let blob = |id: &ObjectId| Err(ReadError { what: id.to_string(), reason: "no blobs here".into() });
        if self.refused {
        } else if let Some(staged) = self.staged.take() {
            self.switched = staged.commit(self.key).ok();
            self.refused = self.switched.is_none();
        } else if let Some(mut switched) = self.switched.take() {
            switched.settle().unwrap();
            let restored = switched.restore(self.key).and_then(|mut it| it.settle().map(|()| it));
            self.refused = restored.and_then(Switched::finish).is_err();
        } else {
            self.staged = stage(&self.state, &self.world.request(), self.key, &blob).ok();
            self.refused = self.staged.is_none();
        }
    }
}

/// Returns a world with the state of a second agent.
fn world_of_two(scenario: Scenario) -> (World, Disk) {
    let world = World::new(scenario);
    let mut disk = world.disk.clone();
    disk.put("/other", crate::host::model::Kind::Dir, "", (0o700, 0, 0));
    (world, disk)
}

/// Lets two agents with states of their own work in one target, in every order of their steps, each putting back at the end
/// what it found; returns the orders after which something else is there.
fn orders_that_mix(scenario: Scenario) -> Vec<u32> {
    let (world, disk) = world_of_two(scenario);
    let mixes = |order: &u32| {
        let running = Machine::boot(&disk, 1);
        let agent = |state: &str| Agent {
            world: &world,
            state: state.to_owned(),
            key: &world.key,
            staged: None,
            switched: None,
            refused: false,
        };
        let mut agents = [agent(STATE), agent("/other")];
        (0..6).for_each(|turn| agents[(order >> turn & 1) as usize].step());
        drop(agents);
        world.visible_side(&running.0.disk()) != Ok(Side::Old)
    };
    (0..64u32).filter(|it| it.count_ones() == 3).filter(mixes).collect()
}

#[test]
fn o08_two_agents_in_one_target_exclude_each_other() {
    assert_eq!(orders_that_mix(REPLACE), Vec::<u32>::new());
    let _without = without(Guard::Lock);
    assert!(!orders_that_mix(REPLACE).is_empty());
}

#[test]
fn o08_two_agents_in_one_target_that_does_not_exist_exclude_each_other() {
    assert_eq!(orders_that_mix(MISSING), Vec::<u32>::new());
    let _without = without(Guard::LockOfMade);
    assert!(!orders_that_mix(MISSING).is_empty());
}

#[test]
fn o08_a_recovery_after_any_crash_holds_a_target_that_was_made() {
    let (world, disk) = world_of_two(MISSING);
    let blob = |id: &ObjectId| Err(ReadError { what: id.to_string(), reason: "no blobs here".into() });
    let past = {
        let running = Machine::boot(&disk, 1);
        let mut switched = stage(STATE, &world.request(), &world.key, &blob).unwrap().commit(&world.key).unwrap();
        switched.settle().unwrap();
        switched.restore(&world.key).unwrap().finish().unwrap();
        running.0.past()
    };
    let mut held = 0;
    for (disk, _) in past {
        let _running = Machine::boot(&disk, 2);
        let recovered = recover(STATE, "site", &world.key).unwrap();
        let is_at_work = !matches!(recovered, Recovered::Nothing | Recovered::Abandoned(_));
        match stage("/other", &world.request(), &world.key, &blob) {
            Err(Error::Owned { .. }) => assert!(is_at_work, "nobody is at work: {recovered:?}"),
            other => assert!(!is_at_work && other.is_ok(), "{other:?} beside {recovered:?}"),
        }
        held += usize::from(is_at_work && Dir::open("/srv/t0").unwrap().is_some());
    }
    assert!(held > 5, "the target was there in {held} cases");
}

#[test]
fn o08_recovery_leaves_a_transaction_alone_that_is_going_on() {
    let world = World::new(THREE);
    let running = Machine::boot(&world.disk, 1);
    let blob = |id: &ObjectId| Err(ReadError { what: id.to_string(), reason: "no blobs here".into() });
    let staged = stage(STATE, &world.request(), &world.key, &blob).unwrap();
    let tries = |disk: &Disk| {
        let found = recover(STATE, "site", &world.key);
        assert!(matches!(found, Err(Error::Owned { .. })), "{found:?}");
        assert_eq!(running.0.disk().files("/"), disk.files("/"));
    };
    tries(&running.0.disk());
    let mut switched = staged.commit(&world.key).unwrap();
    tries(&running.0.disk());
    switched.settle().unwrap();
    tries(&running.0.disk());
    switched.finish().unwrap();
    assert!(matches!(recover(STATE, "site", &world.key), Ok(Recovered::Nothing)));
}
