//! What becomes of the items of the outbox. Sending, the time and chance are arguments.

use super::{Delivery, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often one context of one commit is posted; GitHub itself stops for good at 1000.
pub const MOST_POSTS: u32 = 50;

/// How many items of one repository and provider go out at once; GitHub wants fewer than 80 a minute.
const MOST_AT_ONCE: usize = 30;

const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(3600);
/// The longest that a forge may make us wait; a longer time is a mistake of one of the clocks.
const MOST_PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// An item of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its number; a higher one is newer.
    pub id: i64,
    /// The repository that it belongs to.
    pub repository: String,
    /// What is to be said.
    pub delivery: Delivery,
    /// How often it was tried.
    pub attempts: u32,
    /// How often its context was posted to already.
    pub posts: u32,
}

/// What becomes of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It was said.
    Done,
    /// It is tried again.
    Later {
        /// When, in seconds since the epoch.
        not_before: i64,
        /// A line for the log; `None` when the same was logged for another item.
        reason: Option<String>,
    },
    /// It is never said.
    Drop {
        /// A line for the log; `None` when a newer item says it better.
        reason: Option<String>,
    },
}

/// Sends what is due and hands each item to `settle` with what becomes of it, one after the other, so that a crash in
/// between repeats at most one.
///
/// After a failure the other items of the same repository and provider wait as long: they use the same credentials.
/// `jitter` returns numbers from 0 to 1, so that a fleet does not come back all at once.
pub fn drain(
    mut items: Vec<Queued>,
    now: i64,
    jitter: &mut dyn FnMut() -> f64,
    send: &mut dyn FnMut(&Queued) -> Outcome,
    settle: &mut dyn FnMut(&Queued, Decision),
) {
    let mut newest: BTreeMap<(String, String), i64> = BTreeMap::new();
    for it in &items {
        let id = newest.entry((it.repository.clone(), it.delivery.key())).or_insert(it.id);
        *id = it.id.max(*id);
    }
    let newest: BTreeSet<i64> = newest.into_values().collect();
    let mut lanes: BTreeMap<(String, &'static str), Lane> = BTreeMap::new();
    items.sort_by_key(|it| (it.attempts, it.id));
    for it in &items {
        let lane = lanes.entry((it.repository.clone(), it.delivery.provider())).or_default();
        let decision = if !newest.contains(&it.id) {
            Decision::Drop { reason: None }
        } else if it.posts >= MOST_POSTS && matches!(it.delivery, Delivery::Github { .. }) {
            Decision::Drop { reason: Some(format!("{MOST_POSTS} statuses were posted already: {}", it.delivery.key())) }
        } else if let Some(not_before) = lane.closed_until {
            Decision::Later { not_before, reason: None }
        } else if lane.sent == MOST_AT_ONCE {
            Decision::Later { not_before: now.saturating_add(60), reason: None }
        } else {
            lane.sent += 1;
            let decision = after(send(it), it, now, jitter());
            if let Decision::Later { not_before, .. } = decision {
                lane.closed_until = Some(not_before);
            }
            decision
        };
        settle(it, decision);
    }
}

#[derive(Default)]
struct Lane {
    sent: usize,
    closed_until: Option<i64>,
}

fn after(outcome: Outcome, it: &Queued, now: i64, jitter: f64) -> Decision {
    let later = |wait: Duration, reason: String| {
        let not_before = now.saturating_add(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
        Decision::Later { not_before, reason: Some(format!("{reason}: {}", it.delivery.key())) }
    };
    match outcome {
        Outcome::Done => Decision::Done,
        Outcome::Permanent(reason) => Decision::Drop { reason: Some(format!("{reason}: {}", it.delivery.key())) },
        Outcome::AuthProblem(reason) => later(LONGEST.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 10.0), reason),
        Outcome::RetryAfter { wait: None, reason } => later(back_off(it.attempts, jitter), reason),
        Outcome::RetryAfter { wait: Some(wait), reason } => {
            let wait = wait.min(MOST_PATIENCE);
            later(wait + wait.min(Duration::from_secs(60)).mul_f64(jitter.clamp(0.0, 1.0)), reason)
        }
    }
}

/// Returns the time to wait after `attempts` earlier failures: twice as long each time, the half of it by chance.
fn back_off(attempts: u32, jitter: f64) -> Duration {
    let whole = SHORTEST.saturating_mul(1 << attempts.min(16)).min(LONGEST);
    whole.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0).max(Duration::from_secs(1))
}
