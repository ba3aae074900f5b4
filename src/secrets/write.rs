//! Decrypted values as text of their format.

use super::number;
use super::read::Store;
use super::tree::Scalar;
use base64::Engine;

/// Writes a value so that it stands where its encrypted form stood; `None` when the format cannot hold it.
pub(super) fn literal(scalar: &Scalar, store: Store) -> Option<String> {
    match store {
        Store::Yaml => Some(yaml(scalar)),
        Store::Json | Store::Binary => json(scalar),
        Store::Env => Some(flat(scalar)?.replace('\n', "\\n")),
        Store::Ini => ini(&flat(scalar)?),
    }
}

fn yaml(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Null => "null".into(),
        Scalar::Bool(it) => it.to_string(),
        Scalar::Int(it) => it.to_string(),
        Scalar::Float(it) if it.is_nan() => ".nan".into(),
        Scalar::Float(it) if it.is_infinite() => if *it > 0.0 { ".inf" } else { "-.inf" }.into(),
        Scalar::Float(it) => yaml_double(*it),
        Scalar::Number(it) | Scalar::Time(it) => it.clone(),
        Scalar::Text(it) if is_plain(it) => it.clone(),
        Scalar::Text(it) => quoted(it),
        Scalar::Bytes(it) => format!("!!binary \"{}\"", base64::engine::general_purpose::STANDARD.encode(it)),
    }
}

/// Writes a double so that readers of YAML 1.1 and 1.2 see one.
fn yaml_double(value: f64) -> String {
    let text = number::plain(value);
    if text.len() <= 24 {
        // `-0` would read as the whole number 0.
        return if text == "-0" { "-0.0".into() } else { text };
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let dot = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    format!("{mantissa}{dot}e{sign}{exponent}")
}

/// Returns whether text may stand in YAML without quotes, for every reader and in every context.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
        && text.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '_' | '-' | '.' | '/'))
        && !WORDS.iter().any(|it| text.eq_ignore_ascii_case(it))
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for it in text.chars() {
        match it {
            '"' | '\\' => quoted.extend(['\\', it]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(it)));
            }
            it if it.is_control() => quoted.push_str(&format!("\\x{:02X}", u32::from(it))),
            it => quoted.push(it),
        }
    }
    quoted.push('"');
    quoted
}

fn json(scalar: &Scalar) -> Option<String> {
    Some(match scalar {
        Scalar::Null => "null".into(),
        Scalar::Bool(it) => it.to_string(),
        Scalar::Int(it) => it.to_string(),
        Scalar::Float(it) if !it.is_finite() => return None,
        Scalar::Float(it) => match number::plain(*it) {
            text if text.len() <= 24 => text,
            _ => format!("{it:e}"),
        },
        Scalar::Number(it) => it.clone(),
        Scalar::Text(it) | Scalar::Time(it) => serde_json::to_string(it).ok()?,
        Scalar::Bytes(_) => return None,
    })
}

fn flat(scalar: &Scalar) -> Option<String> {
    Some(match scalar {
        Scalar::Null => String::new(),
        Scalar::Bool(it) => it.to_string(),
        Scalar::Int(it) => it.to_string(),
        Scalar::Float(it) => number::plain(*it),
        Scalar::Number(it) | Scalar::Text(it) | Scalar::Time(it) => it.clone(),
        Scalar::Bytes(_) => return None,
    })
}

/// Quotes text as go-ini does, where it would not read back without.
fn ini(text: &str) -> Option<String> {
    let has_quote = |it: char| text.starts_with(it) || text.ends_with(it);
    let is_special = text.contains(['\n', '#', ';', '`']) || text.trim() != text || text.ends_with('\\');
    Some(match text {
        _ if !is_special && !has_quote('"') && !has_quote('\'') => text.to_owned(),
        _ if !text.contains(['\n', '`']) => format!("`{text}`"),
        _ if !text.contains("\"\"\"") => format!("\"\"\"{text}\"\"\""),
        _ => return None,
    })
}
