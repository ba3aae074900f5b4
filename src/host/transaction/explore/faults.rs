//! Every call of a deployment and of a recovery fails in every way: what is said is true, and all is well once the fault
//! is gone.

use super::apply::{REPLACE, THREE};
use super::life::{Failure, Life, Note, Verdict};
use super::world::{STATE, Scenario, Side, World};
use crate::host::model::{Call, Dice, Disk, Fault, Reach};
use crate::host::transaction::is_pending;
use rustix::io::Errno;
use std::rc::Rc;

const ERRNOS: [Errno; 6] = [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::INTR, Errno::MFILE];

pub fn first_note(world: &World) -> Note {
    Note { promised: Some(Side::Old), ledger: Rc::new(world.ledger.clone()) }
}

/// Deploys with a fault, checks what was said, and returns the disk and what is known of it.
pub fn deploy(world: &World, verdict: Verdict, fault: Fault) -> Result<(Disk, Note, Vec<Call>), String> {
    let mut life = Life::begin(world, verdict, &world.disk, first_note(world), 1);
    let request = world.request();
    life.running.0.arm(Some(fault));
    let ended = life.deploy_this(&request);
    let calls = life.running.0.calls();
    life.running.0.arm(None);
    let end = if verdict == Verdict::Proves { Side::New } else { Side::Old };
    match ended {
        Ok(()) => match life.at_rest()? {
            side if side == end => {}
            side => return Err(format!("it said that all went well, and it is {side:?}")),
        },
        Err(Failure::Before(error)) => match world.visible_side(&life.disk())? {
            Side::Old => life.promise(Some(Side::Old)),
            Side::New => return Err(format!("it said that the old files are in place, and they are not: {error}")),
        },
        Err(Failure::After(error)) => {
            let pending = is_pending(STATE, "site").map_err(|it| it.to_string())?;
            if !pending {
                world.side(&life.disk()).map_err(|it| format!("nothing is pending after \"{error}\": {it}"))?;
            }
        }
        Err(failure @ Failure::Surprised(_)) => return Err(failure.to_string()),
        Err(Failure::Recorded(_)) => life.promise(Some(end)),
    }
    Ok((life.disk(), life.note().clone(), calls))
}

/// Recovers, and deploys what was not deployed.
fn converge(world: &World, verdict: Verdict, disk: &Disk, note: &Note) -> Result<(), String> {
    let mut life = Life::begin(world, verdict, disk, note.clone(), 2);
    if life.recover()? == Side::Old && verdict == Verdict::Proves {
        life.deploy().map_err(|failure| format!("the next deployment {failure}"))?;
        life.at_rest()?;
    }
    Ok(())
}

/// Lets every call of a deployment fail; returns how many deployments that were.
pub fn sweep(scenario: Scenario, verdict: Verdict, errno: Errno, reach: Reach, losses: usize) -> usize {
    let world = World::new(scenario);
    let calls = deploy(&world, verdict, Fault::Error(usize::MAX, errno, reach)).unwrap().2;
    for at in 0..calls.len() {
        let context = |error| format!("{verdict:?} {errno:?} {reach:?} at {at} ({:?}): {error}", calls[at]);
        let run = || -> Result<(), String> {
            let (disk, note, made) = deploy(&world, verdict, Fault::Error(at, errno, reach))?;
            if made.len() > 3 * calls.len() + 300 {
                return Err(format!("it made {} calls instead of {}", made.len(), calls.len()));
            }
            let lost = disk.after_power_loss(losses, &mut Dice(at as u64)).0;
            [disk].iter().chain(&lost).try_for_each(|it| converge(&world, verdict, it, &note))
        };
        run().map_err(context).unwrap_or_else(|error| panic!("{error}"));
    }
    calls.len()
}

#[test]
fn i04_every_errno_at_every_call_once() {
    for errno in ERRNOS {
        assert!(sweep(THREE, Verdict::Proves, errno, Reach::Once, 0) > 100);
        assert!(sweep(THREE, Verdict::Fails, errno, Reach::Once, 0) > 150);
    }
}

#[test]
fn i05_every_errno_from_every_call_on() {
    for errno in ERRNOS {
        sweep(THREE, Verdict::Proves, errno, Reach::Kind, 0);
        sweep(THREE, Verdict::Fails, errno, Reach::Kind, 0);
    }
    for verdict in [Verdict::Proves, Verdict::Fails] {
        sweep(THREE, verdict, Errno::IO, Reach::All, 0);
    }
}

#[test]
fn i04_a_call_that_did_its_work_and_reports_an_error() {
    for verdict in [Verdict::Proves, Verdict::Fails] {
        sweep(THREE, verdict, Errno::IO, Reach::Late, 0);
    }
}

#[test]
fn i06_a_power_loss_after_an_error() {
    for (verdict, reach) in
        [(Verdict::Proves, Reach::Once), (Verdict::Fails, Reach::Once), (Verdict::Proves, Reach::Late)]
    {
        sweep(REPLACE, verdict, Errno::IO, reach, 16);
    }
}

/// Lets one call of a recovery fail after the other, all or every few, and recovers again; returns how many there were.
pub fn recoveries(world: &World, verdict: Verdict, from: (&Disk, &Note), reach: Reach, step: usize) -> usize {
    for (failed, at) in (0..).step_by(step).enumerate() {
        let mut recovering = Life::begin(world, verdict, from.0, from.1.clone(), 2);
        recovering.running.0.arm(Some(Fault::Error(at, Errno::IO, reach)));
        let ended = recovering.recover();
        if recovering.running.0.calls().len() <= at {
            ended.unwrap();
            return failed;
        }
        recovering.running.0.arm(None);
        let (disk, note) = (recovering.disk(), recovering.note().clone());
        converge(world, verdict, &disk, &note).unwrap_or_else(|error| panic!("{reach:?} at {at}: {error}"));
    }
    unreachable!("a recovery makes no end of calls")
}

#[test]
fn i05_every_call_of_a_recovery_fails() {
    let world = World::new(REPLACE);
    let mut life = Life::begin(&world, Verdict::Proves, &world.disk, first_note(&world), 1);
    life.deploy().unwrap();
    let mut failed = 0;
    for (disk, mark) in life.running.0.past() {
        for reach in [Reach::Once, Reach::Kind, Reach::Late] {
            failed += recoveries(&world, Verdict::Proves, (&disk, &life.notes[mark]), reach, 1);
        }
    }
    assert!(failed > 1000, "{failed}");
}

#[test]
fn i16_short_writes() {
    deploy(&World::new(THREE), Verdict::Proves, Fault::ShortWrites).unwrap();
}
