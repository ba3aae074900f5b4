//! What there is to be tried, and the order in which it is.

mod cases;
mod world;
mod operation;
mod fault;
mod memory;
mod verdict;
mod sweep;
mod damage;
mod two;
mod disk;
mod power;
mod pool;
mod table;

use super::Arguments;
use cases::{Case, Effort, Publish};
use disk::{Disk, FileSystem};
use operation::Operation;
use pool::{Bench, Unit};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// A part of the suite that can be asked for by name.
struct Suite {
    name: &'static str,
    needs_disks: bool,
    units: fn(&Plan) -> Vec<Unit>,
}

const SUITES: &[Suite] = &[
    suite("i01_i04_i05_faults_of_apply", |plan| operations(plan, Operation::Apply)),
    suite("k04_faults_of_rollback", |plan| operations(plan, Operation::Rollback)),
    suite("i02_faults_of_recovery", recoveries),
    suite("i03_recovery_of_recovery", depths),
    suite("i08_damaged_journals", damages),
    suite("o08_two_agents_at_once", meetings),
    Suite { needs_disks: true, ..suite("i06_i07_power_loss", power_cuts) },
    Suite { needs_disks: true, ..suite("i06_i07_power_loss_in_recovery", power_cuts_in_recovery) },
    Suite { needs_disks: true, ..suite("p20_negative_controls", controls) },
];

const fn suite(name: &'static str, units: fn(&Plan) -> Vec<Unit>) -> Suite {
    Suite { name, needs_disks: false, units }
}

const BOTH: [Operation; 2] = [Operation::Apply, Operation::Rollback];

/// What the work is made from.
struct Plan {
    bench: Bench,
    cases: Vec<Case>,
    /// Whether every fault is tried at every call of every case.
    is_full: bool,
    seed: u64,
    /// The file systems whose power can be cut here.
    disks: Vec<FileSystem>,
}

impl Plan {
    /// The cases that fit where every crash is followed by many recoveries.
    fn small(&self) -> impl Iterator<Item = &Case> {
        let is_small = |it: &&Case| match self.is_full {
            true => it.effort != Effort::Sampled,
            false => RECOVERED.contains(&it.name.as_str()),
        };
        self.cases.iter().filter(is_small)
    }

    /// The smallest case of each way to publish.
    fn smallest(&self) -> impl Iterator<Item = &Case> {
        let of = |publish| self.cases.iter().find(move |it| it.publish == publish);
        [Publish::InPlace, Publish::Generations].into_iter().filter_map(of)
    }
}

fn operations(plan: &Plan, operation: Operation) -> Vec<Unit> {
    plan.cases.iter().flat_map(|case| sweep::of_operation(&plan.bench, case, operation, plan.is_full)).collect()
}

fn recoveries(plan: &Plan) -> Vec<Unit> {
    let both = |case| BOTH.map(|operation| sweep::of_recovery(&plan.bench, case, operation, plan.is_full));
    plan.small().flat_map(both).flatten().collect()
}

fn depths(plan: &Plan) -> Vec<Unit> {
    let rounds = if plan.is_full { 5_000 } else { 100 };
    plan.small().flat_map(|case| BOTH.map(|operation| sweep::of_depth(case, operation, plan.seed, rounds))).collect()
}

fn damages(plan: &Plan) -> Vec<Unit> {
    // Each name that a journal can have is met on the way back; one file makes the shortest journal.
    let units = |case| damage::of_operation(&plan.bench, case, Operation::Rollback, plan.is_full);
    plan.smallest().flat_map(units).collect()
}

fn meetings(plan: &Plan) -> Vec<Unit> {
    plan.small().flat_map(|case| two::of_case(&plan.bench, case)).collect()
}

fn power_cuts(plan: &Plan) -> Vec<Unit> {
    // Every file is flushed, or their file system at once; folders are made and removed; a link is switched.
    let is_usual = |it: &&Case| plan.is_full || POWER.contains(&it.name.as_str());
    let cases = plan.cases.iter().filter(is_usual);
    let on = |kind| {
        let of =
            move |case| BOTH.map(|operation| power::of_operation(&plan.bench, kind, case, operation, plan.is_full));
        cases.clone().flat_map(of).flatten()
    };
    plan.disks.iter().copied().flat_map(on).collect()
}

/// The cases that are recovered from every crash, and in which two agents meet, when not all of it is asked for.
const RECOVERED: [&str; 4] = [
    "1 file, 1 target: replaced",
    "1 file, 3 targets",
    "3 files, 1 target: kinds change",
    "generations: 1 file, 1 target: replaced",
];

/// The cases whose power is cut when not all of it is asked for.
const POWER: [&str; 6] = [
    "1 file, 1 target: replaced",
    "1 file, 3 targets",
    "3 files, 1 target: kinds change",
    "50 files, 1 target",
    "generations: 1 file, 1 target: replaced",
    "generations: 50 files, 1 target",
];

fn power_cuts_in_recovery(plan: &Plan) -> Vec<Unit> {
    let on = |kind| {
        let of = move |case| BOTH.map(|operation| power::of_recovery(&plan.bench, kind, case, operation, plan.is_full));
        // One way to publish on each, when not all of it is asked for.
        let usual = if kind == FileSystem::Xfs { Publish::Generations } else { Publish::InPlace };
        plan.smallest().filter(move |it| plan.is_full || it.publish == usual).flat_map(of).flatten()
    };
    plan.disks.iter().copied().flat_map(on).collect()
}

fn controls(plan: &Plan) -> Vec<Unit> {
    let Some(case) = plan.cases.iter().find(|it| it.targets.len() > 1).or(plan.cases.first()) else {
        return Vec::new();
    };
    let flushes = plan.disks.iter().filter(|it| **it != FileSystem::Btrfs).map(|kind| power::control(*kind, case));
    flushes.chain([two::control(case), sweep::control(case)]).collect()
}

/// Runs what the arguments ask for.
pub fn run(arguments: &Arguments) -> ExitCode {
    let chosen: Vec<&Suite> = SUITES.iter().filter(|it| arguments.accepts(it.name)).collect();
    if arguments.is_list {
        chosen.iter().for_each(|it| println!("{}: test", it.name));
    }
    if arguments.is_list || chosen.is_empty() {
        return ExitCode::SUCCESS;
    }
    let begun = Instant::now();
    let base = Base::new();
    let needs_disks = chosen.iter().any(|it| it.needs_disks);
    let left_out = if needs_disks { left_out(&base) } else { Vec::new() };
    left_out.iter().for_each(|it| println!("faults: left out: power loss on {it}"));
    let plan = Plan {
        bench: Bench::new(base.folder("planning")),
        cases: chosen_cases(),
        is_full: std::env::var_os("HEADFAST_FAULTS").is_some_and(|it| it == "full"),
        seed: seed(),
        disks: FileSystem::ALL
            .into_iter()
            .filter(|it| !left_out.iter().any(|out| out.starts_with(it.name())))
            .collect(),
    };
    let units: Vec<Unit> = chosen.iter().flat_map(|it| (it.units)(&plan)).collect();
    // One more than can compute: some of them wait for a disk.
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(4) + 1;
    let rows = table::rows(pool::run(&units, &base.0, workers));
    let text = table::render(&rows);
    println!("{text}\nfaults: {:.1} s in {workers} processes, seed {}", begun.elapsed().as_secs_f64(), plan.seed);
    if arguments.names.is_empty() {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target directory");
        std::fs::write(target.join("faults.md"), &text).unwrap();
    }
    let red: Vec<_> = rows.iter().filter(|it| it.is_red()).collect();
    for row in &red {
        row.problems.iter().for_each(|it| println!("FAILED {} · {} · {}: {it}", row.case, row.operation, row.fault));
    }
    let is_short = !left_out.is_empty() && std::env::var_os("CI").is_some();
    if is_short {
        println!("FAILED: CI is set: leaving something out is a failure");
    }
    if red.is_empty() && !is_short { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn chosen_cases() -> Vec<Case> {
    let wanted = std::env::var_os("HEADFAST_FAULTS_CASE").unwrap_or_default();
    let mut cases = [Publish::InPlace, Publish::Generations].map(cases::all).concat();
    cases.retain(|it| it.name.contains(&*wanted.to_string_lossy()));
    cases
}

fn seed() -> u64 {
    let given = std::env::var_os("HEADFAST_FAULTS_SEED").and_then(|it| it.to_str()?.parse().ok());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    given.unwrap_or_else(|| now.map_or(1, |it| it.as_nanos() as u64 % 1_000_000))
}

/// Returns the file systems whose power cannot be cut here, each with the reason.
fn left_out(base: &Base) -> Vec<String> {
    // In a process of its own: its mounts are not this one's.
    let try_one = |kind: FileSystem| pool::apart(&base.0, || Disk::new(&base.folder(kind.name()), kind).map(drop));
    let reasons = FileSystem::ALL.map(|kind| try_one(kind).err().map(|reason| format!("{}: {reason}", kind.name())));
    reasons.into_iter().flatten().collect()
}

/// Where everything happens: in memory where that is possible. It goes with the process.
struct Base(PathBuf);

impl Base {
    fn new() -> Base {
        let name = format!("headfast-faults-{}", std::process::id());
        let places = [Path::new("/dev/shm"), Path::new(env!("CARGO_TARGET_TMPDIR"))];
        let made = places.iter().map(|it| it.join(&name)).find(|it| std::fs::create_dir_all(it).is_ok());
        Base(made.expect("there is a place to work").canonicalize().unwrap())
    }

    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.0.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
