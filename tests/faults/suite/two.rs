//! Two agents with state directories of their own and one target: wherever the first is, the second does not come between.

use super::cases::{Case, Publish};
use super::fault::{Call, Child, Fate};
use super::operation::{Claims, Operation, Outcome, Scene};
use super::pool::{Bench, Unit};
use super::sweep::calls;
use super::table::Tally;
use super::verdict::Rig;
use super::world::World;

/// How many calls a unit of work takes on.
const CHUNK: usize = 100;

/// Returns the work: the first agent waits before each of its calls while the second deploys.
pub fn of_case(bench: &Bench, case: &Case) -> Vec<Unit> {
    let calls = calls(&Rig::new(bench, case), Operation::Apply);
    let unit = |chunk: &[Call]| {
        let (case, chunk) = (case.clone(), chunk.to_vec());
        Unit::new(move |bench| {
            let rig = Rig::new(bench, &case);
            let mut tally = Tally::new(&case.name, "apply", "another agent meanwhile", "every call");
            chunk.iter().for_each(|call| meet(&rig, call, &|_| Fate::Happens, &mut tally));
            vec![tally]
        })
    };
    calls.chunks(CHUNK).map(unit).collect()
}

/// Without the lock the same must go wrong.
pub fn control(case: &Case) -> Unit {
    let case = case.clone();
    Unit::new(move |bench| {
        let rig = Rig::new(bench, &case);
        let mut tally = Tally::new(&case.name, "apply", "another agent meanwhile", "");
        let unlocked = |call: &Call| if call.is_lock() { Fate::Lies } else { Fate::Happens };
        for call in &calls(&rig, Operation::Apply) {
            meet(&rig, call, &unlocked, &mut tally);
        }
        vec![tally.control("lock removed")]
    })
}

/// Holds the first agent before a call, lets the second deploy, and then the first go on.
fn meet(rig: &Rig, call: &Call, fates: &dyn Fn(&Call) -> Fate, tally: &mut Tally) {
    tally.points += 1;
    tally.runs += 1;
    let first_request = rig.begin();
    let second = World::beside(&rig.world);
    let (claims, second_claims) = (rig.claims, second_claims());
    second_claims.clear();
    let second_scene = Scene { world: &second, case: &rig.case, claims: second_claims };
    let second_request = second.request(&rig.case);

    let first = || rig.scene().operate(Operation::Apply, &first_request);
    let mut child = Child::start(first, |it| if it.count == call.count { Fate::Waits } else { fates(it) });
    let waits = child.is_waiting();
    // Each is a process of its own: a lock belongs to an open file, which a child would share.
    super::fault::run(|| second_scene.operate(Operation::Apply, &second_request), fates);
    if waits {
        child.go_on();
        child.wait();
    }
    let ends = (claims.outcome(), second_claims.outcome());
    let point = format!("held before call {} ({}): {ends:?}", call.count, call.name());
    let (is_new, tree) = (rig.is_new(), rig.world.tree());
    let winner = match ends {
        (Outcome::Done, Outcome::FailedBefore) => &rig.world,
        (Outcome::FailedBefore, Outcome::Done) => &second,
        _ => {
            tally.false_success += 1;
            return tally.problem(format!("{point}: not exactly one deployed ({})", second_claims.text()));
        }
    };
    if claims.is_surprised() || second_claims.is_surprised() || !is_new {
        tally.mixed += 1;
        return tally.problem(format!("{point}: they came between each other: {:?}", tree.keys()));
    }
    if let Some(row) = winner.wrong_row(rig.case.publish == Publish::InPlace) {
        tally.not_converged += 1;
        return tally.problem(format!("{point}: {row}"));
    }
    tally.new += 1;
}

/// Where the second agent says what it did.
fn second_claims() -> &'static Claims {
    use std::sync::OnceLock;
    static CLAIMS: OnceLock<&'static Claims> = OnceLock::new();
    CLAIMS.get_or_init(Claims::shared)
}
