//! Apply, recovery and rollback: after any crash or power loss all targets are old, or all are new.

use super::life::Verdict;
use super::world::{Scenario, World};
use super::{Budget, Tally, explore};

pub const ONE: Scenario = Scenario {
    old: &[],
    changes: &[],
    made: &[],
    targets: 1,
    missing: false,
    view: false,
    trees: &[],
    past: 0,
    given_up: false,
    sensitive: &[],
    marked: false,
    reflinks: false,
};
pub const CREATE: Scenario = Scenario { changes: &[("n", Some("new"))], ..ONE };
pub const REPLACE: Scenario = Scenario { old: &[("a", "old")], changes: &[("a", Some("new"))], ..ONE };
const REMOVE: Scenario = Scenario { old: &[("d/e", "old")], changes: &[("d/e", None)], made: &["d"], ..ONE };
const FOLDER: Scenario = Scenario { changes: &[("x/y/z", Some("new"))], ..ONE };
const FILE_TO_FOLDER: Scenario =
    Scenario { old: &[("a", "old")], changes: &[("a", None), ("a/b", Some("new"))], ..ONE };
const FILE_TO_LINK: Scenario = Scenario { old: &[("a", "old")], changes: &[("a", Some("-> b"))], ..ONE };
const LINK_TO_LINK: Scenario = Scenario { old: &[("a", "-> b")], changes: &[("a", Some("-> c"))], ..ONE };
pub const MISSING: Scenario = Scenario { missing: true, ..CREATE };
/// A check looks at the staged view before the commit point.
const VIEW: Scenario = Scenario { view: true, ..REPLACE };
pub const THREE: Scenario = Scenario {
    old: &[("a", "old"), ("d/e", "old")],
    changes: &[("a", Some("new")), ("d/e", None), ("x/y/z", Some("new"))],
    made: &["d"],
    ..ONE
};
const THREE_TARGETS: Scenario = Scenario { targets: 3, ..THREE };
const SMALL: [Scenario; 8] = [CREATE, REPLACE, REMOVE, FOLDER, FILE_TO_FOLDER, FILE_TO_LINK, LINK_TO_LINK, MISSING];

/// Explores both endings of a deployment of a scenario and returns how many systems were started in all.
#[track_caller]
pub fn check(scenario: Scenario, budget: Budget) -> Tally {
    let world = World::new(scenario);
    let explored = [Verdict::Proves, Verdict::Fails].map(|verdict| {
        explore(&world, verdict, budget).unwrap_or_else(|error| panic!("{scenario:?} {verdict:?} {budget:?}: {error}"))
    });
    let [proves, fails] = explored;
    Tally {
        lives: proves.lives + fails.lives,
        complete: proves.complete && fails.complete,
        committed: proves.committed && fails.committed,
    }
}

#[test]
fn i03_one_change_every_moment_every_outcome_three_deaths_deep() {
    let budget = Budget { deaths: 3, outcomes: 256, lives: 3000 };
    let explored = SMALL.map(|it| check(it, budget));
    assert!(explored.iter().all(|it| it.complete), "{explored:?}");
    let lives: usize = explored.iter().map(|it| it.lives).sum();
    assert!(lives > 8000, "{explored:?}");
}

#[test]
fn i02_three_changes_every_moment_every_outcome() {
    let once = check(THREE, Budget { deaths: 1, outcomes: 4096, lives: 5000 });
    assert!(once.complete && once.lives > 300, "{once:?}");
    let again = check(THREE, Budget { deaths: 3, outcomes: 256, lives: 200 });
    assert!(again.lives > 1000, "{again:?}");
}

#[test]
fn i02_a_staged_view_is_removed_with_all_that_is_in_it() {
    let explored = check(VIEW, Budget { deaths: 2, outcomes: 256, lives: 500 });
    assert!(explored.lives > 500, "{explored:?}");
}

#[test]
fn i19_three_targets_are_all_old_or_all_new() {
    let one_change = check(Scenario { targets: 3, ..REPLACE }, Budget { deaths: 2, outcomes: 256, lives: 200 });
    assert!(one_change.lives > 400, "{one_change:?}");
    let missing = check(Scenario { targets: 3, ..MISSING }, Budget { deaths: 2, outcomes: 64, lives: 60 });
    assert!(missing.lives > 200, "{missing:?}");
    let three_changes = check(THREE_TARGETS, Budget { deaths: 2, outcomes: 64, lives: 60 });
    assert!(three_changes.lives > 220, "{three_changes:?}");
}

#[test]
fn i01_more_files_than_are_flushed_one_by_one() {
    let names = (0..40).map(|it| (&*format!("d{}/f{it:02}", it % 4).leak(), Some("new")));
    let changes: &'static [_] = names.collect::<Vec<_>>().leak();
    let explored = check(Scenario { changes, ..ONE }, Budget { deaths: 1, outcomes: 8, lives: 100 });
    assert!(explored.lives > 150, "{explored:?}");
}
