//! Numbers as Go reads and writes them.

use crate::document::{Value, is_fraction};

/// Writes a double the way SOPS does before it encrypts it: the shortest digits that read back, never an exponent.
pub(super) fn plain(value: f64) -> String {
    match value {
        it if it.is_nan() => "NaN".into(),
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        it => it.to_string(),
    }
}

/// Turns the text of a number into a configuration's value: whole numbers stay whole, and what neither a whole number
/// nor a finite double holds is `None`.
pub(super) fn value(text: &str) -> Option<Value> {
    let whole = text.parse::<i128>().ok().filter(|it| (i64::MIN.into()..=u64::MAX.into()).contains(it));
    if let Some(whole) = whole.filter(|_| !text.starts_with("-0")) {
        return Some(Value::Int(whole));
    }
    let double = text.parse::<f64>().ok().filter(|it| it.is_finite())?;
    let is_whole = text.bytes().all(|it| it.is_ascii_digit() || it == b'-');
    (!is_whole || plain(double) == text).then_some(Value::Float(double))
}

/// Reads a whole number as Go's `Atoi` does.
pub(super) fn atoi(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// Reads a whole number as Go's `ParseInt` does with base 0: `0x`, `0b`, `0o`, and octal after a leading zero.
///
/// `None` when it is not one; the inner value is absent when it does not fit.
pub(super) fn parse_int(text: &str) -> Option<Option<i128>> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.get(..2).map(str::to_ascii_lowercase);
    let (radix, digits) = match lower.as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some(it) if it.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|it| it.is_digit(radix)) {
        return None;
    }
    Some(i128::from_str_radix(digits, radix).ok().map(|it| if is_negative { -it } else { it }))
}

/// Reads a double as Go's `ParseFloat` does, without its hexadecimal form and without underscores.
///
/// What is too large for a double is an error there, not an infinity.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text).to_ascii_lowercase();
    if matches!(unsigned.as_str(), "inf" | "infinity" | "nan") {
        return text.parse().ok();
    }
    text.parse::<f64>().ok().filter(|it| it.is_finite())
}

/// Matches `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, YAML's form of a double.
pub(super) fn is_yaml_float(text: &str) -> bool {
    is_fraction(text.strip_prefix(['-', '+']).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_go_does() {
        let cases = [(0.1, "0.1"), (3.0, "3"), (-0.0, "-0"), (1.5e-9, "0.0000000015"), (f64::INFINITY, "+Inf")];
        for (value, text) in cases {
            assert_eq!(plain(value), text);
        }
        assert_eq!(plain(1e100), format!("1{}", "0".repeat(100)));
    }

    #[test]
    fn whole_numbers_follow_go() {
        for (text, value) in
            [("0x1F", 31), ("017", 15), ("-0b11", -3), ("0o17", 15), ("+12", 12), ("0", 0), ("01234", 668)]
        {
            assert_eq!(parse_int(text), Some(Some(value)), "{text}");
        }
        for text in ["08", "0x", "1e3", "", "-", "0b2", "1.0", "é"] {
            assert_eq!(parse_int(text), None, "{text}");
        }
        assert_eq!(parse_int(&"9".repeat(60)), Some(None));
    }

    #[test]
    fn whole_doubles_become_whole_numbers() {
        assert_eq!(value("8080"), Some(Value::Int(8080)));
        assert_eq!(value("1.50"), Some(Value::Float(1.5)));
        assert_eq!(value("100000000000000000000"), Some(Value::Float(1e20)));
        assert_eq!(value("-0"), Some(Value::Float(-0.0)));
        for text in ["100000000000000000001", "+Inf", "NaN", "1e999"] {
            assert_eq!(value(text), None, "{text}");
        }
    }
}
