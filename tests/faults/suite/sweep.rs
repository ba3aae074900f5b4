//! A fault at every system call of a deployment, of a rollback and of a recovery.

use super::cases::{Case, Effort};
use super::fault::{Call, End, Fate};
use super::operation::{Operation, Outcome};
use super::pool::{Bench, Unit};
use super::table::Tally;
use super::verdict::{Rig, Side};
use std::collections::{BTreeMap, BTreeSet};

/// The errors that every call may give.
const ERRNOS: [i32; 6] = [libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EROFS, libc::EINTR, libc::EMFILE];

/// What fails for ever is well again after so many calls more, so that a program that repeats them comes to an end.
const PATIENCE: usize = 1_000;

/// Where in an operation something goes wrong.
#[derive(Clone, Copy)]
pub struct Point {
    count: usize,
    /// Which call it must be, when that is known: the operation may have taken another way than the one that was counted.
    number: Option<i64>,
}

impl From<usize> for Point {
    fn from(count: usize) -> Point {
        Point { count, number: None }
    }
}

impl From<&Call> for Point {
    fn from(call: &Call) -> Point {
        Point { count: call.count, number: Some(call.number) }
    }
}

/// What goes wrong at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed.
    Kill,
    /// The call fails.
    Once(i32),
    /// It and every later one fail.
    ForEver(i32),
    /// It does its work and fails all the same.
    DoneAndFails(i32),
    /// It writes one byte.
    Short,
    /// It does nothing and succeeds.
    Lies,
}

impl Fault {
    /// Returns what becomes of a call when this goes wrong at the `n`-th.
    fn fate(self, n: usize, call: &Call) -> Fate {
        match self {
            Fault::ForEver(_) if call.count > n + PATIENCE => Fate::Happens,
            Fault::ForEver(errno) if call.count >= n => Fate::Fails(errno),
            _ if call.count != n => Fate::Happens,
            Fault::Kill => Fate::Kills,
            Fault::Once(errno) | Fault::ForEver(errno) => Fate::Fails(errno),
            Fault::DoneAndFails(errno) => Fate::HappensAndFails(errno),
            Fault::Short => Fate::IsShort,
            Fault::Lies => Fate::Lies,
        }
    }

    /// Whether the process is not to go on: killed, or left with an open file that it does not know of.
    fn needs_a_process(self) -> bool {
        matches!(self, Fault::Kill | Fault::DoneAndFails(_))
    }

    /// Lets an operation run into this at one of its calls; returns what was not as it had to be.
    fn strike(self, at: Point, run: impl FnOnce(&mut dyn FnMut(&Call) -> Fate) -> End) -> Option<&'static str> {
        let n = at.count;
        let (mut came, mut endless) = (false, false);
        let end = run(&mut |call| {
            // A lie of another call, as that it has opened a file, would be one that no kernel tells.
            if call.count == n && at.number.is_some_and(|it| it != call.number) {
                return Fate::Happens;
            }
            came |= call.count == n;
            endless |= call.count > n + PATIENCE;
            self.fate(n, call)
        });
        match (end, self) {
            (End::Killed, Fault::Kill) => None,
            (End::Killed | End::Died, _) => Some("it crashed"),
            // What was seen in a process of its own stays there.
            (End::Exited, Fault::DoneAndFails(_)) => None,
            (End::Exited, _) if !came => Some("the call never came"),
            // No kernel interrupts for ever; the standard library waits for the end of it.
            (End::Exited, Fault::ForEver(errno)) if endless && errno != libc::EINTR => Some("it tries again for ever"),
            (End::Exited, _) => None,
        }
    }

    /// Lets an operation on a fresh tree run into this.
    pub fn hit(self, rig: &Rig, operation: Operation, at: impl Into<Point>) -> Option<&'static str> {
        match self.needs_a_process() {
            true => self.strike(at.into(), |fates| rig.attack(operation, fates)),
            false => self.strike(at.into(), |fates| rig.disturb(operation, fates)),
        }
    }

    /// Lets a recovery run into this.
    fn hit_recovery(self, rig: &Rig, operation: Operation, at: impl Into<Point>) -> Option<&'static str> {
        match self.needs_a_process() {
            true => self.strike(at.into(), |fates| rig.attack_recovery(operation, fates)),
            false => self.strike(at.into(), |fates| rig.disturb_recovery(operation, fates)),
        }
    }
}

/// Faults that have a row of the table together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `kill -9`.
    Kill,
    /// Every errno, once.
    Once,
    /// Every errno, from a call on.
    ForEver,
    /// One of the errnos at each call, by turns, once or for ever.
    Turns,
    /// The call is made, and EIO all the same.
    DoneAndFails,
    /// A write, a change of mode or of owner that succeeds and is lost.
    Lost,
    /// Writes that take one byte, renames that are refused as across file systems or for a busy file.
    Odd,
}

impl Family {
    /// What the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Family::Kill => "kill -9",
            Family::Once => "6 errnos, once",
            Family::ForEver => "6 errnos, for ever",
            Family::Turns => "6 errnos, once or for ever",
            Family::DoneAndFails => "EIO, but it was done",
            Family::Lost => "the change is lost unseen",
            Family::Odd => "short write; EXDEV EBUSY ETXTBSY",
        }
    }

    /// What of it is tried.
    fn coverage(self) -> &'static str {
        match self {
            Family::Turns => "every call, 1 of 12 by turns",
            Family::Lost => "every write, chmod and chown",
            Family::Odd => "every write and rename",
            _ => "every call",
        }
    }

    /// Returns the faults of a call.
    fn faults(self, call: &Call) -> Vec<Fault> {
        match self {
            Family::Kill => vec![Fault::Kill],
            Family::Once => ERRNOS.map(Fault::Once).to_vec(),
            Family::ForEver => ERRNOS.map(Fault::ForEver).to_vec(),
            Family::Turns => {
                // The calls for each file are alike: stepping through the errnos evenly would give each its own for ever.
                let turn = ((call.count as u32).wrapping_mul(2_654_435_761) >> 16) as usize % 12;
                let errno = ERRNOS[turn % 6];
                vec![if turn < 6 { Fault::Once(errno) } else { Fault::ForEver(errno) }]
            }
            Family::DoneAndFails => vec![Fault::DoneAndFails(libc::EIO)],
            Family::Lost if call.is_change() => vec![Fault::Lies],
            Family::Lost => Vec::new(),
            Family::Odd if call.is_write() => vec![Fault::Short],
            Family::Odd if call.is_rename() => [libc::EXDEV, libc::EBUSY, libc::ETXTBSY].map(Fault::Once).to_vec(),
            Family::Odd => Vec::new(),
        }
    }
}

/// What is on the disk before a call.
#[derive(Clone, Copy)]
pub struct State {
    /// The call.
    pub call: Call,
    /// Everything that recovery goes by.
    fingerprint: u64,
    /// How far the transaction is.
    progress: Progress,
}

/// How far a transaction is.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// An index into the steps.
    step: usize,
    /// How many names the shelf holds.
    shelf: usize,
}

/// Runs an operation in which nothing goes wrong, and asks for something before each call.
fn course<T: Copy>(rig: &Rig, operation: Operation, ask: impl Fn() -> T) -> Vec<(Call, T)> {
    let course = watched(rig, ask, |fates| rig.disturb(operation, fates));
    assert_eq!((rig.claims.outcome(), rig.claims.text().as_str()), (Outcome::Done, ""), "{}", rig.case.name);
    course
}

/// Runs something and asks before each of its calls; what was answered is still right where nothing may have changed since.
fn watched<T: Copy>(
    rig: &Rig,
    ask: impl Fn() -> T,
    run: impl FnOnce(&mut dyn FnMut(&Call) -> Fate) -> End,
) -> Vec<(Call, T)> {
    let mut course: Vec<(Call, T)> = Vec::new();
    let mut claimed = false;
    run(&mut |call| {
        let is_known = course.last().filter(|it| !it.0.is_mutating() && claimed == rig.claims.is_committed());
        let answer = is_known.map_or_else(&ask, |it| it.1);
        claimed = rig.claims.is_committed();
        course.push((*call, answer));
        Fate::Happens
    });
    course
}

/// Returns the calls of an operation in which nothing goes wrong, with what is on the disk before each.
fn states(rig: &Rig, operation: Operation) -> Vec<State> {
    let ask = || (rig.fingerprint(rig.world.tree()), progress(rig));
    let course = course(rig, operation, ask);
    course.into_iter().map(|(call, (fingerprint, progress))| State { call, fingerprint, progress }).collect()
}

/// Returns the calls of an operation in which nothing goes wrong.
pub fn calls(rig: &Rig, operation: Operation) -> Vec<Call> {
    let mut calls = Vec::new();
    rig.disturb(operation, |call| {
        calls.push(*call);
        Fate::Happens
    });
    calls
}

/// Returns those of an operation's calls that are the program's own, and not those of the ledger that the test keeps for it.
fn own_calls(rig: &Rig, operation: Operation) -> Vec<Call> {
    let mut calls = Vec::new();
    rig.disturb(operation, |call| {
        if !rig.claims.is_recording() {
            calls.push(*call);
        }
        Fate::Happens
    });
    calls
}

/// Returns how many calls a rollback has in common with an apply: all until the switch is recorded.
pub fn calls_until_settled(rig: &Rig) -> usize {
    let is_settled = |it: &&(Call, Progress)| STEPS.get(it.1.step) == Some(&"undo");
    course(rig, Operation::Rollback, || progress(rig)).iter().find(is_settled).map_or(0, |it| it.0.count - 1)
}

/// The names of the journal, the furthest first.
const STEPS: [&str; 6] = ["done", "back", "restore", "undo", "journal", "staging"];

fn progress(rig: &Rig) -> Progress {
    let shelf = rig.world.shelf();
    let step = STEPS.iter().position(|step| shelf.iter().any(|it| it == step)).unwrap_or(STEPS.len());
    Progress { step, shelf: shelf.len() }
}

/// How many calls a unit of work takes on.
const CHUNK: usize = 60;

/// Of the largest cases every so many-th call or state; no period of the calls for each file.
const STRIDE: usize = 19;

/// Returns the work for the faults of an operation.
pub fn of_operation(bench: &Bench, case: &Case, operation: Operation, full: bool) -> Vec<Unit> {
    let rig = Rig::new(bench, case);
    let every = [Family::Kill, Family::Once, Family::ForEver, Family::DoneAndFails, Family::Lost, Family::Odd];
    let families: &[Family] = match case.effort {
        Effort::Every => &every,
        Effort::Sampled if full => &every[1..],
        Effort::Turns if full => &every,
        Effort::Turns => &[Family::Turns, Family::Lost, Family::Odd],
        Effort::Sampled => &[Family::Turns],
    };
    let mut units = Vec::new();
    if families[0] != Family::Kill {
        let stride = if case.effort == Effort::Sampled && !full { STRIDE } else { 1 };
        let case = case.clone();
        units.push(Unit::new(move |bench| vec![kill_by_state(&Rig::new(bench, &case), operation, stride)]));
    }
    for family in families {
        let (mut calls, mut coverage) = calls_of(&rig, operation, *family, full);
        if case.effort == Effort::Sampled && !full {
            calls.retain(|it| it.count % STRIDE == 0);
            coverage = coverage.replace("every call", &format!("every {STRIDE}th call"));
        }
        for chunk in calls.chunks(CHUNK) {
            let (case, chunk, family, coverage) = (case.clone(), chunk.to_vec(), *family, coverage.clone());
            units.push(Unit::new(move |bench| {
                vec![faults(&Rig::new(bench, &case), operation, family, &chunk, &coverage)]
            }));
        }
    }
    units
}

/// Returns the calls at which the faults of a family are tried, and what the table says of that.
fn calls_of(rig: &Rig, operation: Operation, family: Family, full: bool) -> (Vec<Call>, String) {
    let mut calls = if family == Family::Lost { own_calls(rig, operation) } else { calls(rig, operation) };
    if operation == Operation::Apply || family == Family::Kill || full {
        return (calls, family.coverage().to_owned());
    }
    // Until the switch is done, a rollback is an apply.
    let common = calls_until_settled(rig);
    calls.retain(|it| it.count > common);
    (calls, format!("{} of the way back", family.coverage()))
}

/// Tries every fault of a family at some of an operation's calls.
fn faults(rig: &Rig, operation: Operation, family: Family, calls: &[Call], coverage: &str) -> Tally {
    let mut tally = Tally::new(&rig.case.name, operation.name(), family.name(), coverage);
    for call in calls {
        let faults = family.faults(call);
        for fault in faults {
            let point = format!("{} before call {} ({}), {fault:?}", operation.name(), call.count, call.name());
            match fault.hit(rig, operation, call) {
                Some(reason) => tally.fails(&point, reason),
                None => rig.judge(operation, Some(rig.expected(operation)), &point, &mut tally),
            }
        }
    }
    tally
}

/// Without the reading back of what was written, a write that is lost must be a false success.
pub fn control(case: &Case) -> Unit {
    let case = case.clone();
    Unit::new(move |bench| {
        let (rig, operation) = (Rig::new(bench, &case), Operation::Apply);
        let mut tally = Tally::new(&case.name, operation.name(), "", "");
        for call in own_calls(&rig, operation).iter().filter(|it| it.is_write()) {
            rig.attack(operation, |it| match it {
                it if it.count == call.count && it.number == call.number => Fate::Lies,
                it if it.count > call.count && it.is_read() => Fate::Recalls,
                _ => Fate::Happens,
            });
            rig.judge(operation, None, &format!("apply, call {} is lost", call.count), &mut tally);
        }
        vec![tally.control("read-back removed")]
    })
}

/// What came of the states of the disk that were met already: a death that finds an equal one leaves an equal one.
#[derive(Default)]
struct Met(BTreeMap<u64, Option<Side>>);

impl Met {
    /// Tries a death, unless an equal state was met.
    fn once(&mut self, state: u64, tally: &mut Tally, attempt: impl FnOnce(&mut Tally)) {
        if let Some(side) = self.0.get(&state) {
            tally.points += 1;
            return side.iter().for_each(|it| tally.ends(*it));
        }
        let before = (tally.old, tally.new);
        attempt(tally);
        let side = match (tally.old - before.0, tally.new - before.1) {
            (1, _) => Some(Side::Old),
            (_, 1) => Some(Side::New),
            _ => None,
        };
        self.0.insert(state, side);
    }
}

/// Kills before calls that find the disk in another state than those before them.
fn kill_by_state(rig: &Rig, operation: Operation, stride: usize) -> Tally {
    let which = if stride == 1 { "every call".to_owned() } else { format!("every {stride}th call") };
    let coverage = format!("{which}, equal states once");
    let mut tally = Tally::new(&rig.case.name, operation.name(), Family::Kill.name(), &coverage);
    let mut met = Met::default();
    for State { call, fingerprint, .. } in states(rig, operation).into_iter().step_by(stride) {
        met.once(fingerprint, &mut tally, |tally| {
            let point = format!("{} before call {} ({}), Kill", operation.name(), call.count, call.name());
            match Fault::Kill.hit(rig, operation, &call) {
                Some(reason) => tally.fails(&point, reason),
                None => rig.judge(operation, Some(rig.expected(operation)), &point, tally),
            }
        });
    }
    tally
}

/// Returns the work for the faults of recoveries, after crashes in each step.
pub fn of_recovery(bench: &Bench, case: &Case, operation: Operation, full: bool) -> Vec<Unit> {
    let rig = Rig::new(bench, case);
    let states = states(&rig, operation);
    let every: &[Family] = &[Family::Kill, Family::Once, Family::ForEver, Family::DoneAndFails, Family::Odd];
    let families = if full { every } else { &[Family::Kill, Family::Turns] };
    let mut units = Vec::new();
    for crash in crashes(&states, operation, full) {
        let (case, families) = (case.clone(), families.to_vec());
        units.push(Unit::new(move |bench| {
            let rig = Rig::new(bench, &case);
            families.iter().map(|family| recovery_faults(&rig, operation, *family, crash, full)).collect()
        }));
    }
    units
}

/// Returns the calls before which to crash: the first state of each step, and of those that change names two more.
fn crashes(states: &[State], operation: Operation, full: bool) -> Vec<usize> {
    let mut distinct: Vec<&State> = Vec::new();
    for state in states {
        if !distinct.iter().any(|it| it.fingerprint == state.fingerprint) {
            distinct.push(state);
        }
    }
    // Until the switch is recorded, a rollback is an apply.
    let is_own =
        |step: &usize| operation == Operation::Apply || full || !["staging", "journal"].contains(&STEPS[*step]);
    let steps = distinct.iter().map(|it| it.progress.step).filter(|it| *it < STEPS.len());
    let steps: BTreeSet<usize> = steps.filter(is_own).collect();
    let mut crashes = BTreeSet::new();
    for step in steps {
        let of_step: Vec<usize> =
            distinct.iter().filter(|it| it.progress.step == step).map(|it| it.call.count).collect();
        crashes.insert(of_step[0]);
        if full || ["journal", "restore"].contains(&STEPS[step]) {
            crashes.extend([of_step[of_step.len() / 2], of_step[of_step.len() - 1]]);
        }
    }
    crashes.into_iter().collect()
}

/// Returns each name that the journal has in the course of an operation, and the first call that finds it.
pub fn first_of_each_step(rig: &Rig, operation: Operation) -> Vec<(&'static str, usize)> {
    let mut found: Vec<(&str, usize)> = Vec::new();
    for (call, Progress { step, shelf }) in course(rig, operation, || progress(rig)) {
        // Two names at once are a moment between two steps.
        let name = STEPS.get(step).copied().filter(|_| shelf == 1);
        found.extend(name.filter(|it| !found.iter().any(|known| known.0 == *it)).map(|it| (it, call.count)));
    }
    found
}

/// Crashes, and then tries every fault of a family at each call of the recovery.
fn recovery_faults(rig: &Rig, operation: Operation, family: Family, crash: usize, full: bool) -> Tally {
    let name = format!("recovery of {}", operation.name());
    let by_state = family == Family::Kill && !full;
    let coverage = if by_state { "every call, equal states once" } else { family.coverage() };
    let mut tally = Tally::new(&rig.case.name, &name, family.name(), coverage);
    crash_at(rig, operation, crash);
    let ask = || if by_state { rig.fingerprint(rig.world.tree()) } else { 0 };
    let calls = watched(rig, ask, |fates| rig.disturb_recovery(operation, fates));
    let mut met = Met::default();
    for (call, state) in &calls {
        for fault in family.faults(call) {
            let attempt = |tally: &mut Tally| {
                crash_at(rig, operation, crash);
                let expected = rig.expected(operation);
                let point =
                    format!("{name} from call {crash}, before call {} ({}), {fault:?}", call.count, call.name());
                match fault.hit_recovery(rig, operation, call) {
                    Some(reason) => tally.fails(&point, reason),
                    None => judge_recovery(rig, operation, expected, &point, tally),
                }
            };
            if by_state {
                met.once(*state, &mut tally, attempt);
            } else {
                attempt(&mut tally);
            }
        }
    }
    tally
}

/// Leaves the disk as a `kill -9` before a call does, without a process for it: no call after that does anything.
fn crash_at(rig: &Rig, operation: Operation, crash: usize) {
    rig.disturb(operation, |call| if call.count < crash { Fate::Happens } else { Fate::Fails(libc::EIO) });
}

/// A recovery that says that all is well must leave nothing to recover.
pub fn judge_recovery(rig: &Rig, operation: Operation, expected: Side, point: &str, tally: &mut Tally) {
    let shelf = rig.world.shelf();
    if rig.claims.outcome() == Outcome::Done && shelf.iter().any(|it| it != "new") {
        tally.points += 1;
        tally.false_success += 1;
        return tally.problem(format!("{point}: it said that all was done and left {shelf:?}"));
    }
    // What it did is judged by the files; its words are not those of a deployment.
    let surprised = rig.claims.is_surprised();
    rig.claims.clear();
    if surprised {
        tally.problem(format!("{point}: a file was taken for someone else's edit"));
    }
    rig.judge(operation, Some(expected), point, tally);
}

/// Returns the work for recoveries that are killed at random, three deep.
pub fn of_depth(case: &Case, operation: Operation, seed: u64, rounds: usize) -> Unit {
    let case = case.clone();
    Unit::new(move |bench: &Bench| {
        let rig = Rig::new(bench, &case);
        let name = format!("recovery of {}", operation.name());
        let coverage = format!("{rounds} random, seed {seed}");
        let mut tally = Tally::new(&case.name, &name, "kill -9, three deep", &coverage);
        let mut random = Random(seed ^ 0x9e37_79b9_7f4a_7c15);
        let calls = calls(&rig, operation).len();
        for _ in 0..rounds {
            let first = random.below(calls) + 1;
            Fault::Kill.hit(&rig, operation, first);
            let expected = rig.expected(operation);
            let mut points = vec![first];
            for _ in 0..3 {
                let point = random.below(80) + 1;
                points.push(point);
                // It may be over before that.
                Fault::Kill.hit_recovery(&rig, operation, point);
            }
            judge_recovery(&rig, operation, expected, &format!("{name}, killed at {points:?}"), &mut tally);
        }
        vec![tally]
    })
}

/// Numbers that look random and come again with their seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}
