//! Every crash and power loss at every moment of every scenario, and of the recovery from it, in the model of `host::model`.

mod apply;
mod controls;
mod damage;
mod faults;
mod generations;
mod life;
mod published;
mod world;

use super::journal::Step;
use crate::host::model::{Dice, Disk, hash_of};
use life::{Life, Note, Verdict};
use std::collections::HashSet;
use std::rc::Rc;
use world::{SHELF, Side, World};

/// How much is explored.
#[derive(Clone, Copy, Debug)]
struct Budget {
    /// How many times in a row the system dies.
    deaths: usize,
    /// Up to this many outcomes of one power loss are all explored; of more, this many are drawn.
    outcomes: usize,
    /// How many systems are started after each death, drawn from all that there could be.
    lives: usize,
}

/// Of how many outcomes a power loss is explored while a tree is being made.
const STAGED: usize = 8;

/// What was explored.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// How many systems were started, each on another disk.
    lives: usize,
    /// Whether nothing was left to chance: every outcome was explored.
    complete: bool,
    /// Whether that is so of what may happen after the commit point.
    committed: bool,
}

/// What a system finds when it starts, and how it came about.
struct Image {
    disk: Disk,
    note: Note,
    story: String,
}

/// Deploys, and dies at every moment; recovers from each, and dies at every moment of that; and so on.
fn explore(world: &World, verdict: Verdict, budget: Budget) -> Result<Tally, String> {
    let (mut dice, mut tally) = (Dice(1), Tally { lives: 0, complete: true, committed: true });
    let (mut moments, mut seen) = (HashSet::new(), HashSet::new());
    let note = Note { promised: Some(Side::Old), ledger: Rc::new(world.ledger.clone()) };
    let mut images = vec![Image { disk: world.disk.clone(), note, story: String::new() }];
    for death in 0..=budget.deaths {
        let mut next = Vec::new();
        for image in std::mem::take(&mut images) {
            tally.lives += 1;
            let life = live(world, verdict, &image, death).map_err(|error| format!("{error}\nafter{}", image.story))?;
            if death == budget.deaths {
                continue;
            }
            for (idx, (disk, mark)) in life.running.0.past().into_iter().enumerate() {
                // Another life came by here; what a death leads to from here is explored already.
                if !moments.insert(hash_of((&disk, &life.notes[mark]))) {
                    continue;
                }
                check_moment(world, &disk).map_err(|error| format!("{error}\nat {idx} after{}", image.story))?;
                let is_committed = is_committed(&disk);
                // A tree that is being made may be lost in more ways than can be counted, and recovery removes it in all.
                let few = if is_committed || world.scenario.trees.is_empty() { usize::MAX } else { STAGED };
                let (lost, all) = disk.after_power_loss(budget.outcomes.min(few), &mut dice);
                tally.complete &= all;
                tally.committed &= all || !is_committed;
                for (outcome, disk) in [disk].into_iter().chain(lost).enumerate() {
                    let note = life.notes[mark].clone();
                    if seen.insert(hash_of((&disk, &note))) {
                        let how = if outcome == 0 { "a crash".to_owned() } else { format!("power loss {outcome}") };
                        let story = format!("{} {how} at {idx},", image.story);
                        world.trees_are_whole(&disk).map_err(|error| format!("{error}\nafter{story}"))?;
                        next.push(Image { disk, note, story });
                    }
                }
            }
        }
        while next.len() > budget.lives {
            (tally.complete, tally.committed) = (false, false);
            next.swap_remove(dice.roll(next.len()));
        }
        images = next;
    }
    Ok(tally)
}

/// Lives once, without dying: the first time a deployment, later a recovery and perhaps the deployment again.
fn live<'w>(world: &'w World, verdict: Verdict, image: &Image, death: usize) -> Result<Life<'w>, String> {
    let mut life = Life::begin(world, verdict, &image.disk, image.note.clone(), death as i64 + 1);
    let deploys = match death {
        0 => true,
        1 => life.recover()? == Side::Old && verdict == Verdict::Proves,
        _ => life.recover().map(|_| false)?,
    };
    if deploys {
        life.deploy().map_err(|failure| format!("the deployment {failure}"))?;
        life.at_rest()?;
    }
    Ok(life)
}

/// Checks what has to hold at any moment: a file that is replaced is always there, old or new, and while nothing is
/// committed the targets are whole.
fn check_moment(world: &World, disk: &Disk) -> Result<(), String> {
    world.is_readable(disk)?;
    if !is_at(disk, &[Step::Journal, Step::Restore]) {
        world.visible_side(disk)?;
    }
    Ok(())
}

/// Whether the commit point is passed.
fn is_committed(disk: &Disk) -> bool {
    is_at(disk, &[Step::Journal, Step::Undo, Step::Restore, Step::Back, Step::Done])
}

/// Whether one of these files is on the shelf.
fn is_at(disk: &Disk, steps: &[Step]) -> bool {
    disk.files(SHELF).iter().any(|it| steps.iter().any(|step| step.file() == it.path))
}
