//! Power cuts: before every call that may change something on the disk, what was not flushed is lost.

use super::cases::{Case, Effort};
use super::disk::{Disk, FileSystem};
use super::fault::{Call, Fate};
use super::operation::{Operation, Outcome};
use super::pool::{Bench, Unit};
use super::sweep::{calls, calls_until_settled, first_of_each_step};
use super::table::Tally;
use super::verdict::{Rig, Seen, Side};

/// How many cuts a disk takes before a fresh one: what ext4 loses at each is never found again, and in the end it is full.
const CHUNK: usize = 40;

/// Of a large case every so many-th call.
const STRIDE: usize = 24;

/// Before which calls the power is cut, and once after the last.
fn points(calls: &[Call], is_sampled: bool) -> Vec<usize> {
    let mutating = calls.iter().filter(|it| it.is_mutating());
    let near_flush = |call: &Call| {
        let around = call.count.saturating_sub(2)..=call.count;
        calls.iter().any(|it| it.is_flush() && around.contains(&it.count))
    };
    let chosen = mutating.enumerate().filter(|(idx, it)| !is_sampled || idx % STRIDE == 0 || near_flush(it));
    chosen.map(|(_, it)| it.count).chain([calls.len() + 1]).collect()
}

/// Where the power is cut.
#[derive(Clone)]
struct Cuts {
    kind: FileSystem,
    case: Case,
    operation: Operation,
    full: bool,
}

impl Cuts {
    fn is_sampled(&self) -> bool {
        self.case.effort == Effort::Sampled && !self.full
    }

    /// The calls of an operation before which the power is cut. They are not the same on every file system: some share blocks.
    fn of_operation(&self, rig: &Rig) -> Vec<usize> {
        let mut points = points(&calls(rig, self.operation), self.is_sampled());
        if self.is_way_back_only() {
            let common = calls_until_settled(rig);
            points.retain(|it| *it > common);
        }
        points
    }

    /// Until the switch is recorded, a rollback is an apply.
    fn is_way_back_only(&self) -> bool {
        self.operation == Operation::Rollback && !self.full
    }

    fn row(&self, operation: &str, coverage: &str) -> Tally {
        Tally::new(&self.case.name, operation, &format!("power loss, {}", self.kind.name()), coverage)
    }

    /// Shares what is to be cut between units, each of which has a disk of its own.
    fn units(
        &self,
        n_cuts: usize,
        work: impl Fn(&Cuts, &mut Disk, &mut Rig, Share) -> Tally + Copy + 'static,
    ) -> Vec<Unit> {
        let of = n_cuts.div_ceil(CHUNK);
        let unit = |idx| {
            let cuts = self.clone();
            Unit::new(move |bench| {
                let mut disk = Disk::new(&bench.base, cuts.kind).unwrap();
                let mut rig = on_disk(&disk, &cuts.case);
                vec![work(&cuts, &mut disk, &mut rig, Share { idx, of })]
            })
        };
        (0..of).map(unit).collect()
    }
}

/// The part of the points that one unit takes.
#[derive(Clone, Copy)]
struct Share {
    idx: usize,
    of: usize,
}

impl Share {
    fn of(self, points: Vec<usize>) -> impl Iterator<Item = usize> {
        points.into_iter().skip(self.idx).step_by(self.of)
    }
}

/// Returns the work for the power cuts of an operation.
pub fn of_operation(bench: &Bench, kind: FileSystem, case: &Case, operation: Operation, full: bool) -> Vec<Unit> {
    let cuts = Cuts { kind, case: case.clone(), operation, full };
    let n_cuts = cuts.of_operation(&Rig::new(bench, case)).len();
    cuts.units(n_cuts, |cuts, disk, rig, share| {
        let which =
            if cuts.is_sampled() { "around each flush, every 24th mutating call" } else { "every mutating call" };
        let part = if cuts.is_way_back_only() { " of the way back" } else { "" };
        let mut tally = cuts.row(cuts.operation.name(), &format!("{which}{part}, and the end"));
        for point in share.of(cuts.of_operation(rig)) {
            cut(disk, rig, cuts.operation, point, |_| Fate::Happens, &mut tally);
        }
        tally
    })
}

/// Returns the work for power cuts in the recovery from a power cut, after one in each step.
pub fn of_recovery(bench: &Bench, kind: FileSystem, case: &Case, operation: Operation, full: bool) -> Vec<Unit> {
    let cuts = Cuts { kind, case: case.clone(), operation, full };
    let rig = Rig::new(bench, case);
    // There are up to six steps to recover from, each point takes two cuts, and no recovery has more points than its operation.
    let n_cuts = 6 * 2 * points(&calls(&rig, operation), false).len();
    cuts.units(n_cuts, |cuts, disk, rig, share| {
        let mut tally = cuts.row(&format!("recovery of {}", cuts.operation.name()), "every mutating call, and the end");
        let steps = first_of_each_step(rig, cuts.operation);
        for (step, crash) in steps.into_iter().filter(|it| !cuts.is_way_back_only() || !BEFORE_UNDO.contains(&it.0)) {
            cut_recovery(disk, rig, (cuts.operation, step, crash), share, &mut tally);
        }
        tally
    })
}

/// The steps in which a rollback is an apply.
const BEFORE_UNDO: [&str; 2] = ["staging", "journal"];

/// Cuts the power before a call, and then again before each call of the recovery that may change something.
fn cut_recovery(
    disk: &mut Disk,
    rig: &mut Rig,
    (operation, step, crash): (Operation, &str, usize),
    share: Share,
    tally: &mut Tally,
) {
    let crashed = |disk: &mut Disk, rig: &mut Rig| {
        rig.forget();
        rig.attack(operation, |call| if call.count == crash { Fate::Kills } else { Fate::Happens });
        disk.cut();
        rig.claims.clear();
        rig.expected_after_cut(operation)
    };
    crashed(disk, rig);
    let mut calls = Vec::new();
    rig.disturb_recovery(operation, |call| {
        calls.push(*call);
        Fate::Happens
    });
    for point in share.of(points(&calls, false)) {
        disk.renew();
        let expected = crashed(disk, rig);
        rig.attack_recovery(operation, |call| if call.count == point { Fate::Kills } else { Fate::Happens });
        disk.cut();
        let point = format!("recovery of {} from {step}, power cut before call {point}", operation.name());
        super::sweep::judge_recovery(rig, operation, expected, &point, tally);
    }
}

/// Without any flush the same must go wrong.
pub fn control(kind: FileSystem, case: &Case) -> Unit {
    let case = case.clone();
    Unit::new(move |bench| {
        let mut disk = Disk::new(&bench.base, kind).unwrap();
        let mut rig = on_disk(&disk, &case);
        let mut tally = Tally::new(&case.name, "apply", "power loss", "");
        let unflushed = |call: &Call| if call.is_flush() { Fate::Lies } else { Fate::Happens };
        for point in points(&calls(&rig, Operation::Apply), false) {
            cut(&mut disk, &mut rig, Operation::Apply, point, unflushed, &mut tally);
        }
        vec![tally.control(&format!("flush removed, {}", kind.name()))]
    })
}

/// A rig on a disk: each fresh tree is flushed, so that nothing but the operation itself is at stake.
fn on_disk(disk: &Disk, case: &Case) -> Rig {
    let mut rig = Rig::at(&disk.root(), case, Seen::default());
    rig.is_on_disk = true;
    rig
}

/// Cuts the power before a call and judges what is there afterwards.
fn cut(
    disk: &mut Disk,
    rig: &mut Rig,
    operation: Operation,
    point: usize,
    mut fates: impl FnMut(&Call) -> Fate,
    tally: &mut Tally,
) {
    rig.forget();
    rig.attack(operation, |call| if call.count == point { Fate::Kills } else { fates(call) });
    disk.cut();
    let expected = match operation {
        Operation::Rollback => Some(Side::Old),
        Operation::Apply if rig.claims.is_committed() || rig.claims.outcome() == Outcome::Done => Some(Side::New),
        Operation::Apply => None,
    };
    rig.judge(operation, expected, &format!("{}, power cut before call {point}", operation.name()), tally);
}
