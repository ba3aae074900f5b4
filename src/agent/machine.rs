//! What the daemon does next: `state × event → state, effects`. No clock, no I/O; the time comes with the events.

use crate::record::Trigger;
use crate::schedule::{Backoff, jitter, seed};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// Moments of a clock that never jumps, as the time since the agent started.
pub type Moment = Duration;

/// The pace of one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// What the jitter is drawn from: another text on every host, so that a fleet that was started together does not poll in
    /// step.
    pub seed: String,
    /// How often the remote is asked; `None` when polling is off.
    pub poll: Option<Duration>,
    /// Whether drift is looked for after each pass.
    pub scan: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// Someone pushed to a local repository, or may have.
    Pushed(usize),
    /// The schedule says to look for drift.
    ScanDue(usize),
    /// Someone asks for something over the control socket, by the number that the loop gave it.
    Asked(u64),
    /// A job came to its end; `failed` means that it should be tried again with back-off.
    Finished {
        /// The job.
        job: Job,
        /// Whether the host, git or the network got in the way.
        failed: bool,
        /// When what waits now may be deployed: at the end of a suspension, or when a window opens.
        again: Option<Duration>,
    },
    /// The daemon is asked to stop.
    Stop,
}

/// A piece of work; one runs at a time, because all share one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// A pass from fetch to report.
    Sync(usize, Trigger),
    /// A look for drift, which heals when it may.
    Scan(usize),
    /// What someone asked for, by its number.
    Control(u64),
}

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A job is handed to the worker, which is free.
    Start(Job),
    /// Whoever asked is told that it will not be done.
    Refuse(u64),
    /// The loop ends; no job is running.
    Exit,
}

/// Everything that the daemon knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    paces: Vec<Pace>,
    next_poll: Vec<Option<Moment>>,
    failures: Vec<u32>,
    rounds: u64,
    queue: Queue,
    running: Option<Job>,
    stopping: bool,
}

/// What waits for the worker. Repeated wishes for one repository are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Queue {
    /// Every one is done, in the order in which they were asked for.
    asked: VecDeque<u64>,
    pushed: BTreeSet<usize>,
    scans: BTreeSet<usize>,
}

/// How long the daemon waits after a pass that failed.
const AFTER_FAILURE: Backoff = Backoff { first: Duration::from_secs(5), most: Duration::from_secs(600) };

impl Machine {
    /// Returns the machine of a daemon that has just started: every repository is due at once.
    pub fn new(paces: Vec<Pace>) -> Self {
        Machine {
            next_poll: vec![Some(Moment::ZERO); paces.len()],
            failures: vec![0; paces.len()],
            rounds: 0,
            queue: Queue::default(),
            running: None,
            stopping: false,
            paces,
        }
    }

    /// Takes in an event and returns what is to be done.
    #[must_use]
    pub fn step(&mut self, now: Moment, event: Event) -> Vec<Effect> {
        match event {
            Event::Tick => {}
            Event::Pushed(idx) if idx < self.paces.len() => {
                self.queue.pushed.insert(idx);
            }
            Event::ScanDue(idx) if idx < self.paces.len() => {
                self.queue.scans.insert(idx);
            }
            Event::Pushed(_) | Event::ScanDue(_) => {}
            Event::Asked(id) => self.queue.asked.push_back(id),
            Event::Finished { job, failed, again } if self.running.as_ref() == Some(&job) => {
                self.running = None;
                self.finished(now, &job, failed, again);
            }
            // A job that is not running cannot finish; nothing follows from it.
            Event::Finished { .. } => {}
            Event::Stop => self.stopping = true,
        }
        let mut effects = self.refused();
        effects.extend(self.next(now));
        effects
    }

    /// Returns when the machine wants its next tick; `None` when only an event from outside can bring work.
    pub fn wake_at(&self) -> Option<Moment> {
        if self.running.is_some() || self.stopping { None } else { self.next_poll.iter().flatten().min().copied() }
    }

    /// Returns what is being done.
    pub fn running(&self) -> Option<&Job> {
        self.running.as_ref()
    }

    fn finished(&mut self, now: Moment, job: &Job, failed: bool, again: Option<Duration>) {
        let Job::Sync(idx, _) = *job else { return };
        let pace = &self.paces[idx];
        self.rounds += 1;
        let chance = seed(&pace.seed, self.rounds);
        self.failures[idx] = if failed { self.failures[idx].saturating_add(1) } else { 0 };
        let regular = pace.poll.map(|it| jitter(it, chance));
        // A failure is tried again, also where polling is off: nothing else would bring it.
        let retry = failed.then(|| AFTER_FAILURE.delay(self.failures[idx], chance));
        let wait = match (regular, retry) {
            (Some(regular), Some(retry)) => {
                Some(if self.failures[idx] > 3 { regular.max(retry) } else { regular.min(retry) })
            }
            (regular, retry) => regular.or(retry),
        };
        self.next_poll[idx] = [wait, again].into_iter().flatten().min().map(|it| now.saturating_add(it));
        if pace.scan && !failed {
            self.queue.scans.insert(idx);
        }
    }

    /// A daemon that is about to end takes no more orders, also none that wait already.
    fn refused(&mut self) -> Vec<Effect> {
        let refused = if self.stopping { self.queue.asked.len() } else { 0 };
        self.queue.asked.drain(..refused).map(Effect::Refuse).collect()
    }

    fn next(&mut self, now: Moment) -> Option<Effect> {
        if self.running.is_some() {
            return None;
        }
        if self.stopping {
            return Some(Effect::Exit);
        }
        // A person waits for what was asked for.
        let job = if let Some(id) = self.queue.asked.pop_front() {
            Job::Control(id)
        } else if let Some(idx) = self.queue.pushed.pop_first() {
            Job::Sync(idx, Trigger::Push)
        } else if let Some(idx) = self.next_poll.iter().position(|it| it.is_some_and(|at| at <= now)) {
            Job::Sync(idx, Trigger::Poll)
        } else if let Some(idx) = self.queue.scans.pop_first() {
            Job::Scan(idx)
        } else {
            return None;
        };
        if let Job::Sync(idx, _) = job {
            // A push that arrives from here on is another one, and is asked for again.
            self.next_poll[idx] = None;
        }
        self.running = Some(job.clone());
        Some(Effect::Start(job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn machine(n: usize) -> Machine {
        let pace = |idx: usize| Pace { seed: format!("r{idx}"), poll: Some(Duration::from_secs(60)), scan: true };
        Machine::new((0..n).map(pace).collect())
    }

    fn start(job: Job) -> Vec<Effect> {
        vec![Effect::Start(job)]
    }

    fn done(job: Job) -> Event {
        Event::Finished { job, failed: false, again: None }
    }

    #[test]
    fn a_new_agent_syncs_at_once_scans_and_then_waits_for_the_next_poll() {
        let mut it = machine(1);
        let sync = Job::Sync(0, Trigger::Poll);
        assert_eq!(it.step(Moment::ZERO, Event::Tick), start(sync.clone()));
        assert_eq!(it.wake_at(), None);
        assert_eq!(it.step(Duration::from_secs(1), done(sync)), start(Job::Scan(0)));
        assert_eq!(it.step(Duration::from_secs(2), done(Job::Scan(0))), vec![]);
        let wake = it.wake_at().unwrap();
        assert!((Duration::from_secs(54)..Duration::from_secs(68)).contains(&wake), "{wake:?}");
        assert_eq!(it.step(wake, Event::Tick), start(Job::Sync(0, Trigger::Poll)));
    }

    #[test]
    fn c13_pushes_during_a_pass_are_one_pass_after_it() {
        let mut it = machine(1);
        let sync = Job::Sync(0, Trigger::Poll);
        assert_eq!(it.step(Moment::ZERO, Event::Tick), start(sync.clone()));
        for _ in 0..1000 {
            assert_eq!(it.step(Moment::ZERO, Event::Pushed(0)), vec![]);
        }
        let push = Job::Sync(0, Trigger::Push);
        assert_eq!(it.step(Moment::ZERO, done(sync)), start(push.clone()));
        assert_eq!(it.step(Moment::ZERO, done(push)), start(Job::Scan(0)));
    }

    #[test]
    fn a_failure_is_tried_again_sooner_than_the_poll_and_later_each_time() {
        let mut it = machine(1);
        let mut now = Moment::ZERO;
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert_eq!(it.step(now, Event::Tick), start(Job::Sync(0, Trigger::Poll)));
            let failed = Event::Finished { job: Job::Sync(0, Trigger::Poll), failed: true, again: None };
            assert_eq!(it.step(now, failed), vec![]);
            let wake = it.wake_at().unwrap();
            waits.push(wake - now);
            now = wake;
        }
        assert!(waits[0] < Duration::from_secs(6) && waits[7] > Duration::from_secs(60), "{waits:?}");
        assert!(waits.iter().all(|it| *it <= Duration::from_secs(600)), "{waits:?}");
    }

    #[test]
    fn without_polling_only_pushes_and_failures_bring_work() {
        let mut it = Machine::new(vec![Pace { seed: "r".into(), poll: None, scan: false }]);
        let sync = Job::Sync(0, Trigger::Poll);
        assert_eq!(it.step(Moment::ZERO, Event::Tick), start(sync.clone()));
        assert_eq!(it.step(Moment::ZERO, done(sync)), vec![]);
        assert_eq!(it.wake_at(), None);
        assert_eq!(it.step(Moment::ZERO, Event::Pushed(0)), start(Job::Sync(0, Trigger::Push)));
    }

    #[test]
    fn what_waits_is_tried_again_when_it_may_be_deployed_also_without_polling() {
        for (poll, expected) in
            [(None, 3000), (Some(Duration::from_secs(60)), 60), (Some(Duration::from_secs(9000)), 3000)]
        {
            let mut it = Machine::new(vec![Pace { seed: "r".into(), poll, scan: false }]);
            let sync = Job::Sync(0, Trigger::Poll);
            assert_eq!(it.step(Moment::ZERO, Event::Tick), start(sync.clone()));
            let waits = Event::Finished { job: sync, failed: false, again: Some(Duration::from_secs(3000)) };
            assert_eq!(it.step(Moment::ZERO, waits), vec![]);
            let wake = it.wake_at().unwrap().as_secs();
            assert!(wake.abs_diff(expected) <= expected / 5, "{wake} for {expected}");
        }
    }

    #[test]
    fn two_hosts_do_not_poll_in_step() {
        let wake = |host: &str| {
            let pace = Pace { seed: format!("{host} site"), poll: Some(Duration::from_secs(60)), scan: false };
            let mut it = Machine::new(vec![pace]);
            let sync = Job::Sync(0, Trigger::Poll);
            assert_eq!(it.step(Moment::ZERO, Event::Tick), start(sync.clone()));
            assert_eq!(it.step(Moment::ZERO, done(sync)), vec![]);
            it.wake_at()
        };
        assert_ne!(wake("web-1"), wake("web-2"));
    }

    #[test]
    fn a_stop_waits_for_the_job_and_starts_no_other() {
        let mut it = machine(2);
        let sync = Job::Sync(0, Trigger::Poll);
        assert_eq!(it.step(Moment::ZERO, Event::Tick), start(sync.clone()));
        assert_eq!(it.step(Moment::ZERO, Event::Stop), vec![]);
        assert_eq!(it.step(Moment::ZERO, done(sync)), vec![Effect::Exit]);
    }

    #[test]
    fn o09_what_is_asked_for_waits_for_the_job_and_goes_before_the_rest() {
        let mut it = machine(1);
        let sync = Job::Sync(0, Trigger::Poll);
        assert_eq!(it.step(Moment::ZERO, Event::Tick), start(sync.clone()));
        assert_eq!(it.step(Moment::ZERO, Event::Pushed(0)), vec![]);
        assert_eq!(it.step(Moment::ZERO, Event::Asked(7)), vec![]);
        assert_eq!(it.step(Moment::ZERO, Event::Asked(8)), vec![]);
        assert_eq!(it.step(Moment::ZERO, done(sync)), start(Job::Control(7)));
        assert_eq!(it.step(Moment::ZERO, done(Job::Control(7))), start(Job::Control(8)));
        assert_eq!(it.step(Moment::ZERO, done(Job::Control(8))), start(Job::Sync(0, Trigger::Push)));
    }

    #[test]
    fn a_stop_refuses_what_was_asked_for_and_has_not_begun() {
        let mut it = machine(1);
        assert_eq!(it.step(Moment::ZERO, Event::Asked(1)), start(Job::Control(1)));
        assert_eq!(it.step(Moment::ZERO, Event::Asked(2)), vec![]);
        assert_eq!(it.step(Moment::ZERO, Event::Stop), vec![Effect::Refuse(2)]);
        assert_eq!(it.step(Moment::ZERO, Event::Asked(3)), vec![Effect::Refuse(3)]);
        assert_eq!(it.step(Moment::ZERO, done(Job::Control(1))), vec![Effect::Exit]);
    }

    #[test]
    fn an_event_that_cannot_be_changes_nothing() {
        let mut it = machine(1);
        assert_eq!(it.step(Moment::ZERO, Event::Tick), start(Job::Sync(0, Trigger::Poll)));
        let before = it.clone();
        assert_eq!(it.step(Moment::ZERO, done(Job::Scan(0))), vec![]);
        assert_eq!(it.step(Moment::ZERO, Event::Pushed(7)), vec![]);
        assert_eq!(it, before);
    }

    fn events() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(0u8..7, 0..200)
    }

    proptest! {
        /// Whatever happens in whatever order: never two jobs at once, everyone who asks is answered once and in turn, and a
        /// stop always ends.
        #[test]
        fn never_two_jobs_all_are_answered_and_a_stop_always_ends(script in events()) {
            let mut it = machine(3);
            let mut now = Moment::ZERO;
            let mut running: Option<Job> = None;
            let (mut asked, mut answered) = (Vec::new(), Vec::new());
            for (idx, choice) in script.into_iter().enumerate() {
                now += Duration::from_secs(7);
                let event = match choice {
                    0 => Event::Tick,
                    1 => Event::Pushed(idx % 4),
                    2 => Event::ScanDue(idx % 4),
                    3 | 4 => match running.take() {
                        Some(job) => Event::Finished { job, failed: choice == 4, again: None },
                        None => Event::Tick,
                    },
                    5 => {
                        asked.push(idx as u64);
                        Event::Asked(idx as u64)
                    }
                    _ => Event::Finished { job: Job::Scan(9), failed: false, again: None },
                };
                for effect in it.step(now, event) {
                    prop_assert!(running.is_none(), "two jobs at once");
                    if let Effect::Start(Job::Control(id)) = effect {
                        answered.push(id);
                    }
                    if let Effect::Start(job) = effect {
                        running = Some(job);
                    }
                }
            }
            let mut last = it.step(now, Event::Stop);
            let n_refused = asked.len() - answered.len();
            let refused: Vec<Effect> = last.drain(..n_refused).collect();
            prop_assert_eq!(refused, asked[answered.len()..].iter().map(|id| Effect::Refuse(*id)).collect::<Vec<_>>());
            prop_assert_eq!(&asked[..answered.len()], &answered[..]);
            if let Some(job) = running {
                prop_assert!(last.is_empty());
                last = it.step(now, done(job));
            }
            prop_assert_eq!(last, vec![Effect::Exit]);
        }
    }
}
