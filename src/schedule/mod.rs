//! When things happen: cron times, windows, back-off and jitter.
//!
//! Nothing here looks at a clock; the time is always an argument, and so is the seed of every "random" choice.

mod crontab;
mod pace;
mod window;

pub use crontab::Cron;
pub use pace::{Backoff, jitter, seed};
pub use window::{Opening, Window, WindowKind, opening};

use crate::finding::{Code, Finding, nearest};
pub use chrono_tz::{Tz, UTC};

/// Returns the time zone with an IANA name such as `Europe/Paris`; the error has no place yet.
pub fn timezone(name: &str) -> Result<Tz, Finding> {
    name.parse().map_err(|_| {
        let finding = Finding::error(Code::VALUE, format!("there is no time zone `{name}`"));
        let names = chrono_tz::TZ_VARIANTS.iter().map(|it| it.name());
        let same_but_case = chrono_tz::TZ_VARIANTS.iter().map(|it| it.name()).find(|it| it.eq_ignore_ascii_case(name));
        match same_but_case.or_else(|| nearest(name, names)) {
            Some(known) => finding.hint(format!("did you mean `{known}`?")),
            None => finding.hint("write an IANA name such as `Europe/Paris`, or `UTC`"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_time_zone_names_the_nearest() {
        let finding = timezone("Europe/Pariss").expect_err("no such zone");
        assert_eq!(finding.code, Code::VALUE);
        assert_eq!(finding.hint.as_deref(), Some("did you mean `Europe/Paris`?"));
        assert_eq!(timezone("utc").expect_err("case matters").hint.as_deref(), Some("did you mean `UTC`?"));
        assert_eq!(timezone("Europe/Paris").map(|it| it.name()), Ok("Europe/Paris"));
    }
}
