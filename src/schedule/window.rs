//! When deployments may start.

use super::Cron;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// The most windows that are looked at for the next opening; a denial that lasts for all of them is taken for endless.
const MAX_STEPS: usize = 1_000;

/// A stretch of time that comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Whether deployments may start in it, or may not.
    pub kind: WindowKind,
    /// When it begins.
    pub start: Cron,
    /// How long it lasts, in elapsed time.
    pub lasts: Duration,
}

/// What a window says about deployments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// They may start in it.
    Allow,
    /// They may not, whatever other windows say.
    Deny,
}

/// Whether a deployment may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It may.
    Open,
    /// It may not.
    Closed {
        /// When it will be; `None` when no end is in sight.
        until: Option<DateTime<Utc>>,
    },
}

impl Window {
    fn covers(&self, now: DateTime<Utc>) -> bool {
        self.start_before(now).is_some()
    }

    /// Returns a start not longer ago than the window lasts, or `None` when no window covers `now`.
    fn start_before(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.start.next(now.checked_sub_signed(self.span())?).filter(|it| *it <= now)
    }

    /// Returns when the window ends that covers `now`, or `None` when none does.
    ///
    /// Starts may come more often than the window lasts, so the last of them counts; it is found by halving.
    fn end(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut start = self.start_before(now)?;
        let mut none_after = now;
        while (none_after - start).num_seconds() > 1 {
            let middle = start + (none_after - start) / 2;
            match self.start.next(middle).filter(|it| *it <= now) {
                Some(later) => start = later,
                None => none_after = middle,
            }
        }
        start.checked_add_signed(self.span())
    }

    fn span(&self) -> chrono::Duration {
        chrono::Duration::from_std(self.lasts).unwrap_or(chrono::Duration::MAX)
    }
}

/// Returns whether a deployment may start at `now`: in no window that denies and, if any allows, in one that allows.
pub fn opening(windows: &[Window], now: DateTime<Utc>) -> Opening {
    let mut time = now;
    for step in 0..MAX_STEPS {
        let next = match obstacle(windows, time) {
            None if step == 0 => return Opening::Open,
            None => return Opening::Closed { until: Some(time) },
            Some(next) => next,
        };
        let Some(next) = next else { break };
        time = next;
    }
    Opening::Closed { until: None }
}

/// Returns what stands in the way of a deployment at `now` as the time when that may be over; `None` when nothing does.
fn obstacle(windows: &[Window], now: DateTime<Utc>) -> Option<Option<DateTime<Utc>>> {
    let of = |kind: WindowKind| windows.iter().filter(move |it| it.kind == kind);
    if of(WindowKind::Deny).any(|it| it.covers(now)) {
        return Some(of(WindowKind::Deny).filter_map(|it| it.end(now)).max());
    }
    let allowed = of(WindowKind::Allow).next().is_none() || of(WindowKind::Allow).any(|it| it.covers(now));
    (!allowed).then(|| of(WindowKind::Allow).filter_map(|it| it.start.next(now)).min())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{Europe, Tz};

    fn window(kind: WindowKind, start: &str, hours: u64, timezone: Tz) -> Window {
        let start = Cron::parse(start, timezone).expect("a cron time");
        Window { kind, start, lasts: Duration::from_secs(hours * 3600) }
    }

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[track_caller]
    fn closed_until(windows: &[Window], now: &str, until: &str) {
        assert_eq!(opening(windows, time(now)), Opening::Closed { until: Some(time(until)) });
    }

    #[test]
    fn without_windows_it_is_open() {
        assert_eq!(opening(&[], time("2026-01-01T00:00:00Z")), Opening::Open);
    }

    #[test]
    fn the_start_belongs_to_a_window_and_the_end_does_not() {
        let windows = [window(WindowKind::Allow, "0 2 * * *", 3, Europe::Paris)];
        closed_until(&windows, "2026-01-01T00:59:59Z", "2026-01-01T01:00:00Z");
        assert_eq!(opening(&windows, time("2026-01-01T01:00:00Z")), Opening::Open);
        assert_eq!(opening(&windows, time("2026-01-01T03:59:59Z")), Opening::Open);
        closed_until(&windows, "2026-01-01T04:00:00Z", "2026-01-02T01:00:00Z");
    }

    #[test]
    fn deny_wins() {
        let windows =
            [window(WindowKind::Allow, "0 2 * * *", 3, Tz::UTC), window(WindowKind::Deny, "0 3 * * *", 1, Tz::UTC)];
        assert_eq!(opening(&windows, time("2026-01-01T02:30:00Z")), Opening::Open);
        closed_until(&windows, "2026-01-01T03:30:00Z", "2026-01-01T04:00:00Z");
    }

    #[test]
    fn deny_alone_leaves_the_rest_open() {
        let windows = [window(WindowKind::Deny, "0 9 * * 1-5", 8, Tz::UTC)];
        closed_until(&windows, "2026-01-05T10:00:00Z", "2026-01-05T17:00:00Z");
        assert_eq!(opening(&windows, time("2026-01-04T10:00:00Z")), Opening::Open);
    }

    #[test]
    fn a_denial_without_end_has_no_end_in_sight() {
        let windows = [window(WindowKind::Deny, "* * * * *", 48, Tz::UTC)];
        assert_eq!(opening(&windows, time("2026-01-05T10:00:00Z")), Opening::Closed { until: None });
    }

    #[test]
    fn a_window_may_cross_midnight_and_a_clock_change() {
        let windows = [window(WindowKind::Allow, "0 23 * * *", 6, Europe::Paris)];
        // 23:00 on the day before the clock goes forward is 22:00 UTC; six hours later it is 04:00 UTC, 06:00 in Paris.
        assert_eq!(opening(&windows, time("2026-03-29T03:59:00Z")), Opening::Open);
        closed_until(&windows, "2026-03-29T04:00:00Z", "2026-03-29T21:00:00Z");
    }

    #[test]
    fn a_window_whose_start_is_skipped_opens_after_the_change() {
        let windows = [window(WindowKind::Allow, "30 2 * * *", 1, Europe::Paris)];
        closed_until(&windows, "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z");
    }
}
