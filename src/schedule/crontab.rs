//! crontab(5) expressions, translated to the `cron` crate's and its notion of time.
//!
//! The crate differs from crontab(5) in three ways that matter: it counts weekdays from 1, it wants *both* day fields to
//! match where crontab(5) is content with either, and it leaves out what falls into a daylight-saving gap and runs twice
//! what falls into a fold. So the fields are read here, handed over as explicit lists, and asked about in local time.

use crate::finding::{Code, Finding};
use chrono::offset::Offset;
use chrono::{DateTime, Duration, MappedLocalTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
use std::collections::BTreeSet;
use std::str::FromStr;

/// The longest change of the local time that is treated as daylight saving, as crontab(5) has it.
const LONGEST_SHIFT_HOURS: i64 = 3;

/// Times that come again, in the words of crontab(5): five fields, or six with the seconds first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    timezone: Tz,
    /// One schedule, or two when either of the day fields is enough.
    schedules: Vec<cron::Schedule>,
    /// Whether both hour and minute are named, so that a change of the clock neither skips nor repeats the time.
    at_fixed_times: bool,
}

/// The values of one field.
struct Field {
    values: BTreeSet<u32>,
    starts_with_star: bool,
}

/// What one field may hold.
struct Unit {
    name: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const UNITS: [Unit; 6] = [
    Unit { name: "second", first: 0, last: 59, names: &[] },
    Unit { name: "minute", first: 0, last: 59, names: &[] },
    Unit { name: "hour", first: 0, last: 23, names: &[] },
    Unit { name: "day of the month", first: 1, last: 31, names: &[] },
    Unit { name: "month", first: 1, last: 12, names: MONTHS },
    Unit { name: "day of the week", first: 0, last: 7, names: DAYS },
];

impl Cron {
    /// Reads an expression; the error has no place yet.
    pub fn parse(text: &str, timezone: Tz) -> Result<Cron, Finding> {
        let invalid = |message: String| {
            Finding::error(Code::VALUE, format!("`{text}` is not a cron time: {message}"))
                .hint("write crontab(5) fields: minute, hour, day of the month, month, day of the week")
        };
        let fields = read_fields(text).map_err(invalid)?;
        let schedules = schedules(&fields).map_err(invalid)?;
        let [_, minute, hour, ..] = &fields;
        let at_fixed_times = !minute.starts_with_star && !hour.starts_with_star;
        let cron = Cron { text: text.to_owned(), timezone, schedules, at_fixed_times };
        let ever = cron.schedules.iter().any(|it| it.after(&DateTime::UNIX_EPOCH).next().is_some());
        if ever { Ok(cron) } else { Err(invalid("such a day never comes".into())) }
    }

    /// Returns the expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the time zone in which it is read.
    pub fn timezone(&self) -> Tz {
        self.timezone
    }

    /// Returns the first time after `after`.
    ///
    /// As in cron(8), a fixed time that a clock change skips comes when the clock has changed, one that it repeats comes
    /// once, and times with a `*` in the hour or minute follow the clock on the wall.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut best: Option<DateTime<Utc>> = None;
        for schedule in &self.schedules {
            for local in schedule.after(&self.search_start(after).and_utc()) {
                let (earliest, times) = self.instants(local.naive_utc());
                if best.is_some_and(|best| earliest.is_none_or(|it| it >= best)) {
                    break;
                }
                let first = times.into_iter().flatten().filter(|it| *it > after).min();
                best = [best, first].into_iter().flatten().min();
            }
        }
        best
    }

    /// Returns the local time to search from: that of `after`, or earlier when a fold is near, because times of day that
    /// are over will then come once more.
    fn search_start(&self, after: DateTime<Utc>) -> NaiveDateTime {
        let shift_at = |time: DateTime<Utc>| self.timezone.offset_from_utc_datetime(&time.naive_utc()).fix();
        let now = shift_at(after).local_minus_utc();
        let soon = shift_at(after + Duration::hours(LONGEST_SHIFT_HOURS)).local_minus_utc();
        after.naive_utc() + Duration::seconds(i64::from(now.min(soon)))
    }

    /// Returns the instants at which a local time comes, with the earliest that it could be (none for "too far away").
    fn instants(&self, local: NaiveDateTime) -> (Option<DateTime<Utc>>, [Option<DateTime<Utc>>; 2]) {
        let utc = |time: DateTime<Tz>| time.with_timezone(&Utc);
        match self.timezone.from_local_datetime(&local) {
            MappedLocalTime::Single(time) => (Some(utc(time)), [Some(utc(time)), None]),
            MappedLocalTime::Ambiguous(first, second) => {
                let second = (!self.at_fixed_times).then(|| utc(second));
                (Some(utc(first)), [Some(utc(first)), second])
            }
            MappedLocalTime::None => {
                let end = GapInfo::new(&local, &self.timezone).and_then(|it| it.end).map(utc);
                (end, [end.filter(|_| self.at_fixed_times), None])
            }
        }
    }
}

/// Reads all six fields; the seconds are 0 unless given.
fn read_fields(text: &str) -> Result<[Field; 6], String> {
    let text = match text.trim() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        text if text.starts_with('@') => return Err(format!("the nickname `{text}` is not known")),
        text => text,
    };
    let mut words: Vec<&str> = text.split_whitespace().collect();
    if words.len() == 5 {
        words.insert(0, "0");
    }
    let n_words = words.len();
    let fields: Vec<Field> = words.iter().zip(&UNITS).map(|(word, unit)| unit.read(word)).collect::<Result<_, _>>()?;
    match <[Field; 6]>::try_from(fields) {
        Ok(fields) if n_words == 6 => Ok(fields),
        _ => Err(format!("it has {n_words} fields instead of five, or six with the seconds first")),
    }
}

/// Hands the fields over to the `cron` crate.
fn schedules(fields: &[Field; 6]) -> Result<Vec<cron::Schedule>, String> {
    let [second, minute, hour, day, month, weekday] = fields;
    let list = |field: &Field, shift: u32| {
        let values: Vec<String> = field.values.iter().map(|it| (it + shift).to_string()).collect();
        values.join(",")
    };
    let (day_list, weekday_list) = (list(day, 0), list(weekday, 1));
    let either_day = !day.starts_with_star && !weekday.starts_with_star;
    let days: Vec<(&str, &str)> = match either_day {
        true => vec![(&day_list, "*"), ("*", &weekday_list)],
        false => vec![(&day_list, if weekday.values.len() == 7 { "*" } else { &weekday_list })],
    };
    days.into_iter()
        .map(|(day, weekday)| {
            let (second, minute, hour, month) = (list(second, 0), list(minute, 0), list(hour, 0), list(month, 0));
            let text = format!("{second} {minute} {hour} {day} {month} {weekday}");
            cron::Schedule::from_str(&text).map_err(|error| error.to_string())
        })
        .collect()
}

impl Unit {
    fn read(&self, word: &str) -> Result<Field, String> {
        let mut values = BTreeSet::new();
        for item in word.split(',') {
            values.extend(self.read_item(item)?);
        }
        // Sunday is both 0 and 7.
        if self.names == DAYS && values.remove(&7) {
            values.insert(0);
        }
        Ok(Field { values, starts_with_star: word.starts_with('*') })
    }

    fn read_item(&self, item: &str) -> Result<impl Iterator<Item = u32> + use<>, String> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.first, if self.names == DAYS { 6 } else { self.last }),
            Some((first, last)) => (self.read_value(first)?, self.read_value(last)?),
            None if step.is_some() => return Err(format!("`{item}` in the {} has a step but no range", self.name)),
            None => (self.read_value(range)?, self.read_value(range)?),
        };
        if first > last {
            return Err(format!("the range `{range}` in the {} runs backwards", self.name));
        }
        let step = step.map_or(Ok(1), |it| it.parse::<usize>().ok().filter(|it| *it > 0).ok_or(it));
        let step = step.map_err(|it| format!("`{it}` in the {} is not a step", self.name))?;
        Ok((first..=last).step_by(step))
    }

    fn read_value(&self, text: &str) -> Result<u32, String> {
        let named = self.names.iter().position(|it| it.eq_ignore_ascii_case(text));
        let numbered = text.bytes().all(|it| it.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let value = named.map(|it| it as u32 + u32::from(self.names == MONTHS)).or(numbered);
        value
            .filter(|it| (self.first..=self.last).contains(it))
            .ok_or_else(|| format!("`{text}` is not a {} ({} to {})", self.name, self.first, self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{America, Australia, Europe, Pacific};

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Checks the times that follow `after`, written as local times with their offset.
    #[track_caller]
    fn check(expression: &str, timezone: Tz, after: &str, expected: &[&str]) {
        let cron = Cron::parse(expression, timezone).expect("a cron time");
        let mut times = Vec::new();
        let mut now = time(after);
        while times.len() < expected.len() {
            now = cron.next(now).expect("there is a next time");
            times.push(now.with_timezone(&timezone).format("%Y-%m-%dT%H:%M:%S%:z").to_string());
        }
        assert_eq!(times, expected);
    }

    #[track_caller]
    fn refused(expression: &str, part: &str) {
        let finding = Cron::parse(expression, Tz::UTC).expect_err("not a cron time");
        assert_eq!(finding.code, Code::VALUE);
        assert!(finding.message.contains(part), "{}", finding.message);
    }

    #[test]
    fn mistakes_are_named() {
        refused("", "has 0 fields");
        refused("* * * *", "has 4 fields");
        refused("* * * * * * *", "has 7 fields");
        refused("60 * * * *", "`60` is not a minute (0 to 59)");
        refused("* 24 * * *", "`24` is not a hour");
        refused("* * 0 * *", "`0` is not a day of the month");
        refused("* * * 13 *", "`13` is not a month");
        refused("* * * * 8", "`8` is not a day of the week");
        refused("* * * foo *", "`foo` is not a month");
        refused("5-1 * * * *", "runs backwards");
        refused("*/0 * * * *", "`0` in the minute is not a step");
        refused("5/15 * * * *", "has a step but no range");
        refused("+5 * * * *", "`+5` is not a minute");
        refused("1,,2 * * * *", "`` is not a minute");
        refused("0 0 30 2 *", "such a day never comes");
        refused("@reboot", "not known");
    }

    #[test]
    fn weekdays_are_crontabs() {
        // 2026-01-04 is a Sunday.
        for sunday in ["0", "7", "sun", "SUN"] {
            check(&format!("0 0 * * {sunday}"), Tz::UTC, "2026-01-01T00:00:00Z", &["2026-01-04T00:00:00+00:00"]);
        }
        check(
            "0 0 * * 5-7",
            Tz::UTC,
            "2026-01-01T00:00:00Z",
            &[
                "2026-01-02T00:00:00+00:00",
                "2026-01-03T00:00:00+00:00",
                "2026-01-04T00:00:00+00:00",
                "2026-01-09T00:00:00+00:00",
            ],
        );
        check("0 0 * * mon", Tz::UTC, "2026-01-01T00:00:00Z", &["2026-01-05T00:00:00+00:00"]);
    }

    #[test]
    fn either_day_field_is_enough_when_both_are_named() {
        check(
            "0 0 13 * fri",
            Tz::UTC,
            "2026-01-08T00:00:00Z",
            &["2026-01-09T00:00:00+00:00", "2026-01-13T00:00:00+00:00", "2026-01-16T00:00:00+00:00"],
        );
        // A star, even with a step, means that both must match: 2026-02-13 is a Friday with an odd number.
        check("0 0 */2 * fri", Tz::UTC, "2026-02-01T00:00:00Z", &["2026-02-13T00:00:00+00:00"]);
    }

    #[test]
    fn steps_lists_names_seconds_and_nicknames() {
        check(
            "*/20 9-17/8 * * *",
            Tz::UTC,
            "2026-01-01T09:30:00Z",
            &["2026-01-01T09:40:00+00:00", "2026-01-01T17:00:00+00:00"],
        );
        check(
            "30,10 0 0 1 feb,Apr *",
            Tz::UTC,
            "2026-01-01T00:00:00Z",
            &["2026-02-01T00:00:10+00:00", "2026-02-01T00:00:30+00:00", "2026-04-01T00:00:10+00:00"],
        );
        check("@weekly", Tz::UTC, "2026-01-01T00:00:00Z", &["2026-01-04T00:00:00+00:00"]);
        check("0 0 29 2 *", Tz::UTC, "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00+00:00"]);
    }

    #[test]
    fn next_is_strictly_later_even_within_a_second() {
        check("* * * * * *", Tz::UTC, "2026-01-01T00:00:00.5Z", &["2026-01-01T00:00:01+00:00"]);
        check("0 0 * * *", Tz::UTC, "2026-01-01T00:00:00Z", &["2026-01-02T00:00:00+00:00"]);
    }

    #[test]
    fn a_fixed_time_in_the_gap_comes_when_the_clock_has_changed() {
        // Paris, 2026-03-29: 02:00 becomes 03:00.
        check(
            "30 2 * * *",
            Europe::Paris,
            "2026-03-28T12:00:00Z",
            &["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
        );
        check(
            "30 2,4 * * *",
            Europe::Paris,
            "2026-03-28T12:00:00Z",
            &["2026-03-29T03:00:00+02:00", "2026-03-29T04:30:00+02:00"],
        );
    }

    #[test]
    fn a_fixed_time_in_the_fold_comes_once() {
        // Paris, 2026-10-25: 03:00 becomes 02:00.
        check(
            "30 2 * * *",
            Europe::Paris,
            "2026-10-24T12:00:00Z",
            &["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
        );
        // Asked between the two half past twos.
        check("30 2 * * *", Europe::Paris, "2026-10-25T01:10:00Z", &["2026-10-26T02:30:00+01:00"]);
    }

    #[test]
    fn times_with_a_star_follow_the_wall_clock() {
        check(
            "*/30 * * * *",
            Europe::Paris,
            "2026-03-29T00:30:00Z",
            &["2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"],
        );
        check(
            "*/30 * * * *",
            Europe::Paris,
            "2026-10-24T23:45:00Z",
            &[
                "2026-10-25T02:00:00+02:00",
                "2026-10-25T02:30:00+02:00",
                "2026-10-25T02:00:00+01:00",
                "2026-10-25T02:30:00+01:00",
                "2026-10-25T03:00:00+01:00",
            ],
        );
        check(
            "15 * * * *",
            America::New_York,
            "2026-11-01T05:00:00Z",
            &["2026-11-01T01:15:00-04:00", "2026-11-01T01:15:00-05:00", "2026-11-01T02:15:00-05:00"],
        );
    }

    #[test]
    fn odd_zones_work() {
        // Lord Howe shifts by half an hour: 2026-04-05 02:00 becomes 01:30.
        check(
            "*/15 * * * *",
            Australia::Lord_Howe,
            "2026-04-04T14:44:00Z",
            &[
                "2026-04-05T01:45:00+11:00",
                "2026-04-05T01:30:00+10:30",
                "2026-04-05T01:45:00+10:30",
                "2026-04-05T02:00:00+10:30",
            ],
        );
        // Apia had no 2011-12-30.
        check(
            "0 12 * * *",
            Pacific::Apia,
            "2011-12-29T23:00:00Z",
            &["2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"],
        );
    }

    #[test]
    fn clocks_that_are_far_off_do_not_hang() {
        check("0 2 * * *", Europe::Paris, "1970-01-01T00:00:00Z", &["1970-01-01T02:00:00+01:00"]);
        let cron = Cron::parse("0 2 * * *", Europe::Paris).expect("a cron time");
        assert_eq!(cron.next(time("2200-01-01T00:00:00Z")), None);
    }
}
