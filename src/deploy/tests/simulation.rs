//! A simulation: from a seed, one host and its remote live through whatever may come in whatever order, and die in between.
//! What was promised is looked at after every event; once the faults stop, three passes must be enough.
//!
//! `HEADFAST_SIMULATION=1000` runs so many seeds, `HEADFAST_SIMULATION=17-17` those from the first to the last.

mod events;
mod model;
mod promises;

use super::*;
use model::{Chance, Fate};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The seeds that run when nobody asks for more: those that found something once, and some that ask for every event.
const SEEDS: [u64; 12] = [1, 2, 18, 31, 63, 86, 97, 106, 112, 141, 148, 326];

/// One host with two targets, its remote, and what has happened to them.
struct Simulation {
    seed: u64,
    chance: Chance,
    world: World,
    host: Host,
    /// Whether the target `app` is published by generations; `other` never is.
    has_generations: bool,
    story: Vec<String>,
    /// What someone wrote into a target and has not overwritten himself: path and content.
    edits: Vec<(String, String)>,
    /// Every content that someone ever wrote to a path.
    written: BTreeMap<String, BTreeSet<String>>,
    /// Paths that someone removed, or gave another mode.
    touched: BTreeSet<String>,
    /// The commits that were pushed here, oldest first.
    commits: Vec<String>,
    /// Numbers every content, so that it is known where it comes from.
    n_contents: u32,
    n_crashes: u32,
    is_away: bool,
    is_damaged: bool,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let mut chance = Chance::new(seed);
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        let mut options = git2::RepositoryInitOptions::new();
        git2::Repository::init_opts(root.join("remote.git"), options.bare(true).initial_head("main")).unwrap();
        let world = World { _temp: temp, root };
        let push = ["'off'", "direct", "branch"][chance.below(3)];
        let host = world.host("one", &format!("    drift: {{mode: heal}}\n    rollback: {{push: {push}}}\n"));
        let has_generations = chance.one_in(3);
        Simulation {
            seed,
            chance,
            world,
            host,
            has_generations,
            story: vec![format!("rollback.push is {push}, generations: {has_generations}")],
            edits: Vec::new(),
            written: BTreeMap::new(),
            touched: BTreeSet::new(),
            commits: Vec::new(),
            n_contents: 0,
            n_crashes: 0,
            is_away: false,
            is_damaged: false,
        }
    }

    fn run(seed: u64) {
        let mut simulation = Simulation::new(seed);
        simulation.push();
        if !simulation.chance.one_in(5) {
            simulation.sync(None);
        }
        for _ in 0..6 + simulation.chance.below(9) {
            simulation.event();
        }
        simulation.calm_down();
    }

    fn tell(&mut self, event: impl Into<String>) {
        self.story.push(event.into());
    }

    #[track_caller]
    fn hold(&self, holds: bool, what: impl FnOnce() -> String) {
        assert!(holds, "seed {}: {}\n  {}", self.seed, what(), self.story.join("\n  "));
    }

    /// Lets the deployer work, until it is done or dies as it comes to its phase number `fuse`; `None` when it died.
    fn with<T>(&mut self, fuse: Option<usize>, work: impl FnOnce(&ConfigurationDeployer<'_>) -> T) -> Option<T> {
        let n_phases = std::cell::Cell::new(0);
        let last = std::cell::Cell::new(None);
        let on_phase = |phase| {
            last.set(Some(phase));
            n_phases.set(n_phases.get() + 1);
            if Some(n_phases.get()) == fuse {
                // Unlike a panic this says nothing.
                std::panic::resume_unwind(Box::new("died"));
            }
        };
        let lived = catch_unwind(AssertUnwindSafe(|| {
            let settings = &self.host.settings;
            let store = Store::open(&settings.state_dir, "test").unwrap();
            let deployer = ConfigurationDeployer::new(settings, &settings.repositories[0], &store, &on_phase).unwrap();
            work(&deployer)
        }));
        match lived {
            Ok(it) => Some(it),
            Err(cause) if cause.downcast_ref() == Some(&"died") => {
                self.n_crashes += 1;
                self.tell(format!("  died at {:?}", last.get()));
                None
            }
            Err(cause) => std::panic::resume_unwind(cause),
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods)] // Nothing but a test that someone starts by hand is told how long to run.
fn o16_whatever_comes_in_whatever_order_the_promises_hold_and_the_host_converges() {
    let asked = std::env::var("HEADFAST_SIMULATION").unwrap_or_default();
    let (first, last) = asked.split_once('-').unwrap_or(("1", &asked));
    let seeds = match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => (first..=last).collect(),
        _ => SEEDS.to_vec(),
    };
    let failed: Vec<u64> = seeds.into_iter().filter(|it| catch_unwind(|| Simulation::run(*it)).is_err()).collect();
    assert_eq!(failed, Vec::<u64>::new(), "these seeds failed; the story of each is above");
}
