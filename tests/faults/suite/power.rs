//! Power cuts: before every call that may change something on the disk, what was not flushed is lost.

use super::cases::Case;
use super::disk::{Disk, FileSystem};
use super::fault::{Call, Fate};
use super::operation::{Operation, Outcome};
use super::pool::{Bench, Unit};
use super::sweep::{calls, calls_until_settled};
use super::table::Tally;
use super::verdict::{Rig, Seen, Side};

/// How many cuts a disk takes before a fresh one.
const CHUNK: usize = 40;

/// Of a large case every so many-th call.
const STRIDE: usize = 12;

/// Before which calls the power is cut, and once after the last.
fn points(calls: &[Call], is_large: bool) -> Vec<usize> {
    let mutating = calls.iter().filter(|it| it.is_mutating());
    let near_flush = |call: &Call| {
        let around = call.count.saturating_sub(2)..=call.count;
        calls.iter().any(|it| it.is_flush() && around.contains(&it.count))
    };
    let chosen = mutating.enumerate().filter(|(idx, it)| !is_large || idx % STRIDE == 0 || near_flush(it));
    chosen.map(|(_, it)| it.count).chain([calls.len() + 1]).collect()
}

/// Returns the work for the power cuts of an operation.
pub fn of_operation(bench: &Bench, kind: FileSystem, case: &Case, operation: Operation, full: bool) -> Vec<Unit> {
    let rig = Rig::new(bench, case);
    let is_sampled = case.is_large && !full;
    let mut points = points(&calls(&rig, operation), is_sampled);
    let mut coverage =
        if is_sampled { "around each flush, every 12th mutating call" } else { "every mutating call" }.to_owned();
    if operation == Operation::Rollback && !full {
        let common = calls_until_settled(&rig);
        points.retain(|it| *it > common);
        coverage.push_str(" of the way back");
    }
    coverage.push_str(", and the end");
    let row = Tally::new(&case.name, operation.name(), &format!("power loss, {}", kind.name()), &coverage);
    let unit = |points: &[usize]| {
        let (case, points, row) = (case.clone(), points.to_vec(), row.clone());
        Unit::new(move |bench| {
            let mut tally = row.clone();
            let mut disk = Disk::new(&bench.base, kind).unwrap();
            let mut rig = on_disk(&disk, &case);
            for point in &points {
                cut(&mut disk, &mut rig, operation, *point, |_| Fate::Happens, &mut tally);
            }
            vec![tally]
        })
    };
    points.chunks(CHUNK).map(unit).collect()
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
