//! The type of a YAML scalar as go-yaml decides it, which is not YAML 1.2 altogether.
//!
//! The MAC of a SOPS file is made over values that go-yaml has typed, so `0x1F` must become 31, `017` 15 and
//! `2001-12-14` a time; the rest of headfast reads YAML by the core schema.

use super::number;
use super::time::{Layout, Time};
use super::tree::Scalar;
use base64::Engine;

/// Why a scalar has no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It does not fit its tag.
    Tag,
    /// A whole number that SOPS cannot hold.
    TooLarge,
}

/// Gives a scalar its type. `tag` is the short name of a tag of the core schema, as in `!!int`; `is_plain` is false for
/// quoted and block scalars.
pub(super) fn resolve(text: &str, tag: Option<&str>, is_plain: bool) -> Result<Scalar, Refusal> {
    let verbatim = || Scalar::Text(text.to_owned());
    match tag {
        None if is_plain => plain(text, None),
        None | Some("str") => Ok(verbatim()),
        Some("binary") => {
            let packed: String = text.chars().filter(|it| !it.is_ascii_whitespace()).collect();
            let bytes = base64::engine::general_purpose::STANDARD.decode(packed).map_err(|_| Refusal::Tag)?;
            Ok(Scalar::of_bytes(bytes))
        }
        Some(tag @ ("bool" | "int" | "float" | "null" | "timestamp")) => {
            let scalar = plain(text, Some(tag))?;
            match (tag, scalar) {
                ("bool", it @ Scalar::Bool(_))
                | ("int", it @ Scalar::Int(_))
                | ("float", it @ Scalar::Float(_))
                | ("null", it @ Scalar::Null)
                | ("timestamp", it @ Scalar::Time(_)) => Ok(it),
                #[expect(clippy::cast_precision_loss, reason = "go-yaml does the same")]
                ("float", Scalar::Int(it)) => Ok(Scalar::Float(it as f64)),
                _ => Err(Refusal::Tag),
            }
        }
        Some(_) => Ok(verbatim()),
    }
}

fn plain(text: &str, tag: Option<&str>) -> Result<Scalar, Refusal> {
    let known = match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Scalar::Null),
        "true" | "True" | "TRUE" => Some(Scalar::Bool(true)),
        "false" | "False" | "FALSE" => Some(Scalar::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => Some(Scalar::Float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(Scalar::Float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => Some(Scalar::Float(f64::NEG_INFINITY)),
        _ => None,
    };
    if let Some(known) = known {
        return Ok(known);
    }
    match text.as_bytes().first() {
        Some(b'.') => Ok(dotted(text).unwrap_or_else(|| Scalar::Text(text.to_owned()))),
        Some(b'0'..=b'9' | b'+' | b'-') => digits(text, tag),
        _ => Ok(Scalar::Text(text.to_owned())),
    }
}

/// Reads a number that begins with a dot; here Go allows an underscore between two digits only.
fn dotted(text: &str) -> Option<Scalar> {
    let bytes = text.as_bytes();
    let is_digit = |at: Option<usize>| at.and_then(|it| bytes.get(it)).is_some_and(u8::is_ascii_digit);
    let is_kept = (0..bytes.len())
        .filter(|it| bytes[*it] == b'_')
        .all(|it| is_digit(it.checked_sub(1)) && is_digit(it.checked_add(1)));
    if !is_kept || !bytes.get(1).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    number::parse_float(&text.replace('_', "")).map(Scalar::Float)
}

fn digits(text: &str, tag: Option<&str>) -> Result<Scalar, Refusal> {
    if matches!(tag, None | Some("timestamp"))
        && let Some(time) = Time::parse(text, Layout::Yaml)
    {
        return Ok(Scalar::Time(time.full()));
    }
    let packed = text.replace('_', "");
    match number::parse_int(&packed) {
        Some(Some(it)) if let Ok(it) = i64::try_from(it) => return Ok(Scalar::Int(it)),
        Some(Some(it)) if u64::try_from(it).is_ok() && !packed.starts_with('+') => return Err(Refusal::TooLarge),
        _ => {}
    }
    if number::is_yaml_float(&packed)
        && let Some(it) = number::parse_float(&packed)
    {
        return Ok(Scalar::Float(it));
    }
    Ok(Scalar::Text(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Scalar) {
        assert_eq!(resolve(text, None, true), Ok(expected), "{text}");
    }

    #[test]
    fn plain_scalars_follow_go_yaml() {
        let text = |it: &str| Scalar::Text(it.into());
        check("~", Scalar::Null);
        check("TRUE", Scalar::Bool(true));
        check("yes", text("yes"));
        check("0x1F", Scalar::Int(31));
        check("017", Scalar::Int(15));
        check("08540", Scalar::Float(8540.0));
        check("12345_54321", Scalar::Int(1_234_554_321));
        check("1_000.5", Scalar::Float(1000.5));
        check(".5", Scalar::Float(0.5));
        check("._5", text("._5"));
        check(".5_0", Scalar::Float(0.5));
        check("1e400", text("1e400"));
        check("+.inf", Scalar::Float(f64::INFINITY));
        check("1:30", text("1:30"));
        check("2001-12-14", Scalar::Time("2001-12-14T00:00:00Z".into()));
        check("99999999999999999999", Scalar::Float(1e20));
        check("-", text("-"));
        check("0b", text("0b"));
        assert_eq!(resolve("18446744073709551615", None, true), Err(Refusal::TooLarge));
    }

    #[test]
    fn tags_decide_before_the_text() {
        assert_eq!(resolve("12", Some("str"), true), Ok(Scalar::Text("12".into())));
        assert_eq!(resolve("7", Some("int"), false), Ok(Scalar::Int(7)));
        assert_eq!(resolve("3", Some("float"), true), Ok(Scalar::Float(3.0)));
        assert_eq!(resolve("x", Some("int"), true), Err(Refusal::Tag));
        assert_eq!(resolve("x", Some("set"), true), Ok(Scalar::Text("x".into())));
        assert_eq!(resolve("/wD+", Some("binary"), true), Ok(Scalar::Bytes(vec![0xff, 0, 0xfe])));
        assert_eq!(resolve("aGVs\n bG8=", Some("binary"), true), Ok(Scalar::Text("hello".into())));
        assert_eq!(resolve("?", Some("binary"), true), Err(Refusal::Tag));
    }
}
