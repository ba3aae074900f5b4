//! A journal that is cut short or damaged is refused, and nothing is touched.

use super::cases::Case;
use super::operation::{Operation, Outcome};
use super::pool::{Bench, Unit};
use super::sweep::{Fault, first_of_each_step};
use super::table::Tally;
use super::verdict::Rig;
use super::world::visible;

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
pub fn of_operation(bench: &Bench, case: &Case, operation: Operation, full: bool) -> Vec<Unit> {
    let steps = first_of_each_step(&Rig::new(bench, case), operation);
    let unit = |(step, crash): (&'static str, usize)| {
        let case = case.clone();
        Unit::new(move |bench| vec![damages(&Rig::new(bench, &case), operation, step, crash, full)])
    };
    steps.into_iter().map(unit).collect()
}

fn damages(rig: &Rig, operation: Operation, step: &str, crash: usize, full: bool) -> Tally {
    let coverage = if full { "every prefix, zeroed tail and bit" } else { "1 of 61 prefixes, tails and bytes" };
    let mut tally = Tally::new(&rig.case.name, operation.name(), &format!("damaged journal: {step}"), coverage);
    Fault::Kill.hit(rig, operation, crash);
    let path = rig.world.on_shelf(step);
    let mut whole = std::fs::read(&path).unwrap();
    let mut tree = rig.world.tree();
    for damage in all(whole.len(), full) {
        let point = format!("{step}, {damage:?}");
        std::fs::write(&path, damage.of(&whole)).unwrap();
        rig.claims.clear();
        rig.scene().recover(operation);
        let shelf = rig.world.shelf();
        if rig.claims.outcome() == Outcome::Done && shelf == ["damaged"] && visible(&rig.world.tree()) == visible(&tree)
        {
            // No name is half-way in this step: it is set aside, and what was staged is left for the next pass, which looks
            // for what nobody knows of.
            (tally.points, tally.refused) = (tally.points + 1, tally.refused + 1);
        } else if rig.claims.outcome() == Outcome::Done {
            // The other copy was whole.
            rig.judge(operation, Some(rig.expected(operation)), &point, &mut tally);
        } else if rig.world.tree() == tree && shelf == [step] {
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

/// The model tries all of it in memory; here a part is enough, unless all of it is asked for.
fn all(length: usize, full: bool) -> Vec<Damage> {
    let some = |from: usize| (0..length).skip(from).step_by(if full { 1 } else { 61 });
    let bits = move |at: usize| if full { 0..8 } else { at as u8 % 8..at as u8 % 8 + 1 };
    let flipped = some(20).flat_map(move |at| bits(at).map(move |bit| Damage::Flipped(at, bit)));
    some(0).map(Damage::CutAfter).chain(some(10).map(Damage::ZeroAfter)).chain(flipped).collect()
}
