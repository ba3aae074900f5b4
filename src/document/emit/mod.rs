//! From a tree to text that our parsers and everybody else's read as the same values.
//!
//! Where readers of a format disagree, the safer spelling is written; what a format cannot hold is refused.

mod json;
pub(in crate::document) mod lines;
pub(in crate::document) mod toml;
pub(in crate::document) mod yaml;

use super::{Format, Node, Value};
use crate::finding::{Code, Finding};

/// How deep a tree may be; far beyond what parsers let in, so that no tree can exhaust the stack.
const MAX_DEPTH: usize = 200;

/// Returns `node` as a document, with a final line break and the keys in their order.
///
/// TOML writes the plain values of a table before its tables, and INI those of the document before its sections. INI and
/// dotenv turn every value into text, and dotenv joins the keys of nested maps with `__`. What the format cannot hold is
/// `E_FORMAT` at its place; the finding never shows a value.
pub fn emit(node: &Node, format: Format) -> Result<String, Finding> {
    check(node, MAX_DEPTH)?;
    match format {
        Format::Yaml => yaml::emit(node),
        Format::Json => Ok(json::emit(node)),
        Format::Toml => toml::emit(node),
        Format::Env => lines::env(node),
        Format::Ini => lines::ini(node),
    }
}

/// Refuses what no format holds.
fn check(node: &Node, depth: usize) -> Result<(), Finding> {
    let Some(below) = depth.checked_sub(1) else { return Err(refuse(node, "the value is nested too deeply")) };
    match &node.value {
        Value::Int(it) if i64::try_from(*it).is_err() && u64::try_from(*it).is_err() => {
            Err(refuse(node, "the number does not fit into 64 bits"))
        }
        Value::Float(it) if !it.is_finite() => Err(refuse(node, "the number is not finite")),
        Value::List(items) => items.iter().try_for_each(|it| check(it, below)),
        Value::Map(map) => map.iter().try_for_each(|it| check(&it.node, below)),
        _ => Ok(()),
    }
}

fn refuse(node: &Node, message: impl Into<String>) -> Finding {
    Finding::error(Code::FORMAT, message).at(&node.place)
}

/// Returns a float with a point and, if any, a signed exponent, as YAML 1.1 readers need it.
fn float(value: f64) -> String {
    let text = format!("{value:?}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

#[cfg(test)]
mod tests;
