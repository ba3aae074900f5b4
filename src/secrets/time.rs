//! Times as Go reads and writes them.

/// Which of Go's layouts a time may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// RFC 3339, two digits to each field.
    Strict,
    /// What go-yaml takes for a time in a plain scalar.
    Yaml,
}

/// A time of day with its offset; nothing is computed with it.
pub(super) struct Time {
    date_and_time: [u32; 6],
    fraction: String,
    /// Minutes east of UTC.
    offset: i32,
}

impl Time {
    /// Reads a time; `None` when the text is not one.
    pub fn parse(text: &str, layout: Layout) -> Option<Time> {
        let mut rest = Rest { text, layout };
        let year = rest.digits(4, 4)?;
        let (month, day) = (rest.after("-")?.field()?, rest.after("-")?.field()?);
        if !(1..=12).contains(&month) || day < 1 || day > days_of(year, month) {
            return None;
        }
        let mut time = Time { date_and_time: [year, month, day, 0, 0, 0], fraction: String::new(), offset: 0 };
        if rest.text.is_empty() && layout == Layout::Yaml {
            return Some(time);
        }
        let separator = rest.take()?;
        let (hour, minute, second) = (rest.field()?, rest.after(":")?.field()?, rest.after(":")?.field()?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        time.date_and_time[3..].copy_from_slice(&[hour, minute, second]);
        time.fraction = rest.fraction();
        match (separator, layout) {
            ('T', _) | ('t', Layout::Yaml) => time.offset = rest.offset()?,
            (' ', Layout::Yaml) => {}
            _ => return None,
        }
        rest.text.is_empty().then_some(time)
    }

    /// Writes the time in RFC 3339 with as many digits of the second as it has.
    pub fn full(&self) -> String {
        let dot = if self.fraction.is_empty() { "" } else { "." };
        self.write(&format!("{dot}{}", self.fraction))
    }

    /// Writes the time in RFC 3339 with whole seconds.
    pub fn seconds(&self) -> String {
        self.write("")
    }

    fn write(&self, fraction: &str) -> String {
        let [year, month, day, hour, minute, second] = self.date_and_time;
        let east = self.offset.abs();
        let zone = match self.offset {
            0 => "Z".to_owned(),
            it => format!("{}{:02}:{:02}", if it < 0 { '-' } else { '+' }, east / 60, east % 60),
        };
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}")
    }
}

struct Rest<'a> {
    text: &'a str,
    layout: Layout,
}

impl Rest<'_> {
    fn take(&mut self) -> Option<char> {
        let first = self.text.chars().next()?;
        self.text = &self.text[first.len_utf8()..];
        Some(first)
    }

    fn after(&mut self, separator: &str) -> Option<&mut Self> {
        self.text = self.text.strip_prefix(separator)?;
        Some(self)
    }

    fn field(&mut self) -> Option<u32> {
        self.digits(if self.layout == Layout::Strict { 2 } else { 1 }, 2)
    }

    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let n_digits = self.text.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.text.split_at(n_digits);
        self.text = rest;
        if n_digits < least { None } else { digits.parse().ok() }
    }

    /// Reads an optional fraction and returns its first nine digits, without trailing zeros.
    fn fraction(&mut self) -> String {
        let Some(rest) = self.text.strip_prefix(['.', ',']) else { return String::new() };
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if n_digits == 0 {
            return String::new();
        }
        self.text = &rest[n_digits..];
        rest[..n_digits.min(9)].trim_end_matches('0').to_owned()
    }

    fn offset(&mut self) -> Option<i32> {
        let sign = match self.take()? {
            'Z' => return Some(0),
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        let (hours, minutes) = (self.digits(2, 2)?, self.after(":")?.digits(2, 2)?);
        (hours < 24 && minutes < 60).then(|| sign * i32::try_from(hours * 60 + minutes).unwrap_or(0))
    }
}

fn days_of(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_times_become_rfc_3339() {
        let cases = [
            ("2001-12-14", "2001-12-14T00:00:00Z"),
            ("2001-1-2T3:4:5.100Z", "2001-01-02T03:04:05.1Z"),
            ("2001-12-14t21:59:43.10-05:00", "2001-12-14T21:59:43.1-05:00"),
            ("2001-12-14 21:59:43", "2001-12-14T21:59:43Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z"),
            ("2001-12-14T00:00:00+00:00", "2001-12-14T00:00:00Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(Time::parse(text, Layout::Yaml).map(|it| it.full()).as_deref(), Some(expected), "{text}");
        }
        for text in ["2001-13-01", "2023-02-29", "2001-12-14T", "2001-12-14 21:59:43 -5", "20011214", "2001-1-1x", ""] {
            assert!(Time::parse(text, Layout::Yaml).is_none(), "{text}");
        }
    }

    #[test]
    fn a_strict_time_has_two_digits_everywhere() {
        assert!(Time::parse("2001-1-2T03:04:05Z", Layout::Strict).is_none());
        assert!(Time::parse("2001-01-02", Layout::Strict).is_none());
        let time = Time::parse("2001-01-02T03:04:05.678+00:00", Layout::Strict).map(|it| it.seconds());
        assert_eq!(time.as_deref(), Some("2001-01-02T03:04:05Z"));
    }
}
