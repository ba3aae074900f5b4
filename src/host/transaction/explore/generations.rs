//! Targets that are published by generations: whatever happens, readers see one tree of two, whole, and no other stays.

use super::apply::{ONE, check};
use super::controls::{misses, silent_faults};
use super::faults::{first_note, recoveries, sweep};
use super::life::{Life, Verdict};
use super::world::{SITES, Scenario, Side, World, root};
use super::{Budget, Tally, explore};
use crate::host::live::GENERATIONS;
use crate::host::model::{Guard, Reach, without};
use rustix::io::Errno;

const TREE: Scenario = Scenario { trees: &[0], past: 1, ..ONE };
const REPLACE: Scenario = Scenario { old: &[("a", "old"), ("b", "same")], changes: &[("a", Some("new"))], ..TREE };
/// The file that stays is written again.
const SECRET: Scenario = Scenario { sensitive: &["b"], ..REPLACE };
/// The file that stays shares its blocks and not its inode.
const BLOCKS: Scenario = Scenario { reflinks: true, ..REPLACE };
const FIRST: Scenario = Scenario { past: 0, changes: &[("a", Some("new"))], ..TREE };
const MISSING: Scenario = Scenario { missing: true, ..FIRST };
/// One generation is too many afterwards.
const FIFTH: Scenario = Scenario { past: 4, ..REPLACE };
const FILE_TO_FOLDER: Scenario =
    Scenario { old: &[("a", "old")], changes: &[("a", None), ("a/b", Some("new"))], ..TREE };
const GIVEN_UP: Scenario = Scenario {
    past: 2,
    given_up: true,
    old: &[("a", "old"), ("d/e", "old")],
    changes: &[("a", None), ("d/e", None)],
    made: &["d"],
    ..TREE
};
/// Something that headfast did not write stays in the tree.
const GIVEN_UP_IN_PART: Scenario =
    Scenario { given_up: true, old: &[("a", "old"), ("b", "mine")], changes: &[("a", None)], ..TREE };
/// Shared, copied, linked, replaced, removed and new, with attributes.
const ALL: Scenario = Scenario {
    old: &[("a", "old"), ("d/e", "old"), ("l", "-> a"), ("p/s", "secret"), ("p/same", "same")],
    changes: &[("a", Some("new")), ("d/e", None), ("x/y", Some("new"))],
    made: &["d"],
    sensitive: &["p/s"],
    marked: true,
    ..TREE
};
const BLOCKS_OF_ALL: Scenario = Scenario { reflinks: true, ..ALL };
const VIEW: Scenario = Scenario { view: true, ..ALL };
/// One target is published in place, and the other by generations.
const BOTH: [Scenario; 2] = [FIRST_OF_TWO, Scenario { trees: &[1], ..FIRST_OF_TWO }];
const FIRST_OF_TWO: Scenario = Scenario { targets: 2, marked: false, ..ALL };
const SMALL: [Scenario; 8] = [REPLACE, SECRET, BLOCKS, FIRST, MISSING, FIFTH, GIVEN_UP, GIVEN_UP_IN_PART];

const ONCE: Budget = Budget { deaths: 1, outcomes: 4096, lives: 20_000 };
const FEW: Budget = Budget { deaths: 2, outcomes: 8, lives: 12 };

#[track_caller]
fn each(scenarios: &[Scenario], verdict: Verdict, budget: Budget) -> Vec<Tally> {
    let one = |scenario: &Scenario| {
        let explored = explore(&World::new(*scenario), verdict, budget);
        explored.unwrap_or_else(|error| panic!("{scenario:?} {verdict:?} {budget:?}: {error}"))
    };
    scenarios.iter().map(one).collect()
}

fn lives(explored: &[Tally]) -> usize {
    explored.iter().map(|it| it.lives).sum()
}

#[test]
fn i03_generations_every_moment_every_outcome() {
    let explored = each(&SMALL, Verdict::Proves, ONCE);
    assert!(explored.iter().all(|it| it.committed), "{explored:?}");
    assert!(lives(&explored) > 800, "{explored:?}");
}

#[test]
fn k04_a_rollback_of_generations_every_moment_every_outcome() {
    let explored = each(&SMALL, Verdict::Fails, ONCE);
    assert!(explored.iter().all(|it| it.committed), "{explored:?}");
    assert!(lives(&explored) > 900, "{explored:?}");
}

#[test]
fn i02_generations_and_a_recovery_that_dies_too() {
    let explored = SMALL.map(|it| check(it, Budget { deaths: 2, outcomes: 16, lives: 30 }));
    assert!(lives(&explored) > 900, "{explored:?}");
}

#[test]
fn i02_a_tree_with_every_kind_of_file() {
    let explored = [ALL, BLOCKS_OF_ALL, VIEW, FILE_TO_FOLDER].map(|it| check(it, FEW));
    assert!(lives(&explored) > 150, "{explored:?}");
}

#[test]
fn i19_a_target_in_place_and_one_by_generations_are_both_old_or_both_new() {
    let explored = BOTH.map(|it| check(it, FEW));
    assert!(lives(&explored) > 80, "{explored:?}");
}

#[test]
fn i01_a_tree_that_is_flushed_with_its_file_system() {
    let names = (0..40).map(|it| (&*format!("d{}/f{it:02}", it % 4).leak(), Some("new")));
    let changes: &'static [_] = names.collect::<Vec<_>>().leak();
    let explored = check(Scenario { changes, ..ALL }, Budget { deaths: 1, outcomes: 4, lives: 20 });
    assert!(explored.lives > 40, "{explored:?}");
}

#[test]
fn i04_generations_every_errno_at_every_call_once() {
    assert!(sweep(ALL, Verdict::Proves, Errno::IO, Reach::Once, 0) > 300);
    sweep(SECRET, Verdict::Fails, Errno::NOSPC, Reach::Once, 0);
    // What may not be linked is copied.
    for errno in [Errno::MLINK, Errno::PERM] {
        sweep(REPLACE, Verdict::Proves, errno, Reach::Once, 0);
    }
    for scenario in [BLOCKS, MISSING, GIVEN_UP] {
        sweep(scenario, Verdict::Proves, Errno::IO, Reach::Once, 0);
    }
    for scenario in [SECRET, GIVEN_UP] {
        sweep(scenario, Verdict::Fails, Errno::IO, Reach::Late, 0);
    }
}

#[test]
fn i05_generations_every_errno_from_every_call_on() {
    sweep(ALL, Verdict::Fails, Errno::IO, Reach::Kind, 0);
    for (scenario, errno) in [(SECRET, Errno::NOSPC), (REPLACE, Errno::MLINK), (MISSING, Errno::IO), (FIFTH, Errno::IO)]
    {
        sweep(scenario, Verdict::Proves, errno, Reach::Kind, 0);
    }
    for scenario in [SECRET, GIVEN_UP] {
        sweep(scenario, Verdict::Proves, Errno::IO, Reach::All, 0);
        sweep(scenario, Verdict::Fails, Errno::IO, Reach::All, 0);
    }
}

#[test]
fn i06_generations_a_power_loss_after_an_error() {
    for (verdict, reach) in
        [(Verdict::Proves, Reach::Once), (Verdict::Fails, Reach::Once), (Verdict::Proves, Reach::Late)]
    {
        sweep(REPLACE, verdict, Errno::IO, reach, 4);
    }
}

#[test]
fn i05_generations_calls_of_a_recovery_fail() {
    let mut failed = 0;
    for scenario in [SECRET, MISSING, GIVEN_UP] {
        let world = World::new(scenario);
        let mut life = Life::begin(&world, Verdict::Fails, &world.disk, first_note(&world), 1);
        life.deploy().unwrap();
        for (idx, (disk, mark)) in life.running.0.past().iter().enumerate().step_by(3) {
            let reach = [Reach::Once, Reach::Kind, Reach::Late][idx % 9 / 3];
            failed += recoveries(&world, Verdict::Fails, (disk, &life.notes[*mark]), reach, 2);
        }
    }
    assert!(failed > 1000, "{failed}");
}

#[test]
fn i06_without_the_flush_of_the_new_tree_a_power_loss_leaves_other_bytes() {
    let found = misses(ALL, Guard::TreeFlush);
    assert!(found.contains("power loss") && found.contains("neither old nor new"), "{found}");
}

#[test]
fn i26_without_the_flush_of_its_place_a_power_loss_leaves_a_link_that_leads_nowhere() {
    let found = misses(REPLACE, Guard::PlaceFlush);
    assert!(found.contains("a reader of t0 sees what is neither old nor new"), "{found}");
}

#[test]
fn p03_what_was_written_wrong_into_a_tree_is_no_success() {
    assert_eq!(silent_faults(ALL), Vec::<String>::new());
    assert_eq!(silent_faults(BLOCKS_OF_ALL), Vec::<String>::new());
    let _without = without(Guard::ReadBack);
    let found = silent_faults(ALL);
    assert!(found.iter().any(|it| it.contains("neither old nor new")), "{found:?}");
}

#[test]
fn i12_generations_on_a_disk_that_ignores_flushes_and_keeps_the_order() {
    super::controls::lies_in_order(ALL);
}

/// The live tree's inodes, and those of the tree before it.
fn inodes(scenario: Scenario, path: &str) -> [Option<u64>; 2] {
    let world = World::new(scenario);
    let mut life = Life::begin(&world, Verdict::Proves, &world.disk, first_note(&world), 1);
    life.deploy().unwrap();
    assert_eq!(life.at_rest(), Ok(Side::New));
    let disk = life.disk();
    [1, 2].map(|number| disk.find(&format!("{}/{GENERATIONS}/{number}/{path}", root(0))))
}

#[test]
fn a_generation_shares_what_is_no_secret_where_blocks_cannot_be_shared() {
    for (scenario, path, shared) in
        [(ALL, "p/same", true), (ALL, "p/s", false), (ALL, "a", false), (BLOCKS_OF_ALL, "p/same", false)]
    {
        let [old, new] = inodes(scenario, path);
        assert_eq!((old.is_some(), old == new), (true, shared), "{path}");
    }
}

/// A power loss may come before the agent is there to recover, and programs read the target in between.
#[test]
fn i26_a_link_leads_to_a_whole_tree_before_anything_recovers() {
    for verdict in [Verdict::Proves, Verdict::Fails] {
        let world = World::new(REPLACE);
        let mut life = Life::begin(&world, verdict, &world.disk, first_note(&world), 1);
        life.deploy().unwrap();
        for (disk, _) in life.running.0.past() {
            for lost in disk.after_power_loss(256, &mut crate::host::model::Dice(1)).0 {
                let left = lost.files(SITES);
                assert_eq!(world.trees_are_whole(&lost), Ok(()), "{verdict:?} {left:?}");
            }
        }
    }
}
