//! A journal that is cut short or damaged is refused, and nothing is touched.

use super::cases::Case;
use super::operation::{Operation, Outcome};
use super::pool::{Bench, Unit};
use super::sweep::{Fault, first_of_each_step};
use super::table::Tally;
use super::verdict::Rig;

/// What happened to the bytes of a journal.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// Only the first so many are there.
    CutAfter(usize),
    /// All after the first so many are zero.
    ZeroAfter(usize),
    /// One bit of one byte is another.
    Flipped(usize, u8),
}

impl Damage {
    fn of(self, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        match self {
            Damage::CutAfter(length) => bytes.truncate(length),
            Damage::ZeroAfter(length) => bytes[length..].fill(0),
            Damage::Flipped(at, bit) => bytes[at] ^= 1 << bit,
        }
        bytes
    }
}

/// Returns the work for the damaged journals of an operation: each name that a journal has in its course.
pub fn of_operation(bench: &Bench, case: &Case, operation: Operation) -> Vec<Unit> {
    let steps = first_of_each_step(&Rig::new(bench, case), operation);
    let unit = |(step, crash): (&'static str, usize)| {
        let case = case.clone();
        Unit::new(move |bench| vec![damages(&Rig::new(bench, &case), operation, step, crash)])
    };
    steps.into_iter().map(unit).collect()
}

fn damages(rig: &Rig, operation: Operation, step: &str, crash: usize) -> Tally {
    let coverage = "every prefix, zeroed tail and bit";
    let mut tally = Tally::new(&rig.case.name, operation.name(), &format!("damaged journal: {step}"), coverage);
    Fault::Kill.hit(rig, operation, crash);
    let path = rig.world.on_shelf(step);
    let mut whole = std::fs::read(&path).unwrap();
    let mut tree = rig.world.tree();
    for damage in all(whole.len()) {
        let point = format!("{step}, {damage:?}");
        std::fs::write(&path, damage.of(&whole)).unwrap();
        rig.claims.clear();
        rig.scene().recover(operation);
        if rig.claims.outcome() == Outcome::Done {
            // Only what changes nothing of what is said may pass: the line's end at the very end.
            rig.judge(operation, Some(rig.expected(operation)), &point, &mut tally);
        } else if rig.world.tree() == tree && rig.world.shelf() == [step] {
            (tally.points, tally.refused) = (tally.points + 1, tally.refused + 1);
            continue;
        } else {
            tally.points += 1;
            tally.mixed += 1;
            tally.problem(format!("{point}: it was refused ({}), but something was touched", rig.claims.text()));
        }
        Fault::Kill.hit(rig, operation, crash);
        (whole, tree) = (std::fs::read(&path).unwrap(), rig.world.tree());
    }
    tally
}

fn all(length: usize) -> Vec<Damage> {
    let cut = (0..length).map(Damage::CutAfter);
    let zeroed = (0..length).map(Damage::ZeroAfter);
    let flipped = (0..length).flat_map(|at| (0..8).map(move |bit| Damage::Flipped(at, bit)));
    cut.chain(zeroed).chain(flipped).collect()
}
