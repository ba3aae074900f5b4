//! Plain scalars of YAML, and numbers that are kept exactly, or refused.

use super::Value;
use crate::finding::{Code, Finding};
use crate::place::Place;

/// Reads a whole number of up to 64 bits, written in `radix`; `None` when it does not fit.
pub(super) fn whole(digits: &str, radix: u32) -> Option<Value> {
    let value = i128::from_str_radix(digits, radix).ok()?;
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(Value::Int(value))
}

/// Reads a decimal fraction; `None` when a double cannot hold every digit of it.
pub(super) fn fraction(text: &str) -> Option<Value> {
    let value: f64 = text.parse().ok()?;
    let exact = value.is_finite() && significant(text) == significant(&format!("{value:e}"));
    exact.then_some(Value::Float(value))
}

/// Returns the finding for a number that cannot be kept.
pub(super) fn refusal(text: &str, place: &Place) -> Finding {
    let shown: String = text.chars().take(40).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    Finding::error(Code::NUMBER, format!("the number {shown}{more} cannot be kept exactly"))
        .at(place)
        .hint("put it in quotes to keep it as text")
}

/// Returns a decimal's digits without outer zeros, and the power of ten of the last of them.
fn significant(text: &str) -> Option<(String, i64)> {
    let text = text.trim_start_matches(['-', '+']);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let trimmed = digits.trim_end_matches('0');
    let n_zeros = i64::try_from(digits.len() - trimmed.len()).ok()?;
    let trimmed = trimmed.trim_start_matches('0');
    if trimmed.is_empty() {
        return Some((String::new(), 0));
    }
    let n_fraction = i64::try_from(fraction.len()).ok()?;
    let power = exponent.parse::<i64>().ok()?.checked_sub(n_fraction)?.checked_add(n_zeros)?;
    Some((trimmed.to_owned(), power))
}

/// What a plain scalar stands for.
pub(super) enum Resolved {
    /// A value.
    Value(Value),
    /// A number that cannot be kept exactly.
    BadNumber,
}

/// Gives a plain scalar its type by the core schema of YAML 1.2.
///
/// Whole numbers with a leading zero are the one doubtful case: the core schema sees a decimal number, YAML 1.1 an octal
/// one. With `zeros_as_text` they stay text.
pub(super) fn resolve(text: &str, zeros_as_text: bool) -> Resolved {
    let exactly = |number: Option<Value>| number.map_or(Resolved::BadNumber, Resolved::Value);
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Value(Value::Null),
        "true" | "True" | "TRUE" => return Resolved::Value(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Resolved::Value(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return Resolved::BadNumber,
        _ => {}
    }
    let is_all = |digits: &str, radix: u32| !digits.is_empty() && digits.chars().all(|it| it.is_digit(radix));
    if let Some(digits) = text.strip_prefix("0o").filter(|it| is_all(it, 8)) {
        return exactly(whole(digits, 8));
    }
    if let Some(digits) = text.strip_prefix("0x").filter(|it| is_all(it, 16)) {
        return exactly(whole(digits, 16));
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Resolved::BadNumber;
    }
    if is_all(unsigned, 10) {
        return match zeros_as_text && unsigned.starts_with('0') && unsigned.len() > 1 {
            true => Resolved::Value(Value::String(text.to_owned())),
            false => exactly(whole(text, 10)),
        };
    }
    match is_fraction(unsigned) {
        true => exactly(fraction(text)),
        false => Resolved::Value(Value::String(text.to_owned())),
    }
}

/// Matches `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`.
pub(crate) fn is_fraction(text: &str) -> bool {
    let is_digits = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => is_digits(fraction),
        Some((whole, fraction)) => is_digits(whole) && (fraction.is_empty() || is_digits(fraction)),
        None => is_digits(mantissa),
    };
    mantissa_fits && exponent.is_none_or(is_digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d07_a_number_is_kept_exactly_or_refused() {
        for text in
            ["0.1", "1.10", "1e3", "-0.0", "1.7976931348623157e308", "5e-324", "0.30000000000000004", "0e99", "100."]
        {
            assert!(fraction(text).is_some(), "{text}");
        }
        for text in ["1e400", "1e-400", "0.1000000000000000055", "3.14159265358979323846264", "1e99999999999999999999"]
        {
            assert!(fraction(text).is_none(), "{text}");
        }
        assert_eq!(whole("18446744073709551615", 10), Some(Value::Int(u64::MAX.into())));
        assert_eq!(whole("-9223372036854775808", 10), Some(Value::Int(i64::MIN.into())));
        assert_eq!(whole("18446744073709551616", 10), None);
        assert_eq!(whole("-9223372036854775809", 10), None);
        assert_eq!(whole(&"9".repeat(400), 10), None);
    }
}
