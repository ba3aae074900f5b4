//! One value of a text changed, and nothing else in it.
//!
//! Where the values stand is read from the text itself, so that comments, order, quotes, anchors, blank lines and line
//! ends stay as they are. Whatever was written is read again and compared before anybody gets it: what cannot be changed
//! in this way is refused.

mod bracket;
mod flow;
mod json;
mod layout;
mod lines;
mod text;
mod toml;
mod yaml;

pub(crate) use text::{Edit, after_colon, apply, cut, dash, newline, replace_block};

use super::{Entry, Format, Limits, Map, MergeKeys, Node, Value, parse};
use crate::finding::{Code, Finding, Findings, Severity};
use crate::place::Place;
use std::sync::Arc;

/// Returns the text with one value changed and every other byte as it is.
///
/// A value that exists is replaced in the style in which it is written; text that needs other quotes gets them. A key
/// that does not exist is added behind its siblings, together with the maps that are missing on the way; a value on the
/// way that is no map is replaced by one. In a list the position behind the last element appends. INI and dotenv turn
/// every value into text. When the value is there already, the text comes back as it was.
///
/// Refused are a path through an alias of YAML (`E_ALIAS`), a position beyond the end of a list (`E_REFERENCE`), what the
/// format cannot hold and what cannot be changed in place (`E_FORMAT`), and a text that has mistakes already. What YAML
/// repeats by aliases of the changed value changes with it.
pub fn set(format: Format, file: &Arc<str>, bytes: &[u8], path: &[String], value: &Value) -> Result<Vec<u8>, Finding> {
    let old = read(format, file, bytes)?;
    let value = held(format, file, value)?;
    if path.is_empty() {
        return Err(Finding::error(Code::VALUE, "the key is empty").at(&Place::whole(file)));
    }
    if old.at(path).is_some_and(|it| is_same(it, &value)) {
        return Ok(bytes.to_vec());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| refusal(file))?;
    let change = Change { file, text, old: &old, path, value: &value };
    let mut cause = None;
    // What reads back otherwise in the style that stands there does so in quotes.
    for is_safe in [false, true] {
        match change.edits(format, is_safe) {
            Ok(edits) => {
                let changed = apply(text, edits);
                if change.holds(format, &changed) {
                    return Ok(changed.into_bytes());
                }
            }
            Err(finding) => cause = Some(finding),
        }
    }
    Err(cause.unwrap_or_else(|| refusal(file).at(&change.place())))
}

/// Reads a text in which nothing is wrong.
fn read(format: Format, file: &Arc<str>, bytes: &[u8]) -> Result<Node, Finding> {
    let mut findings = Findings::new();
    let node = parse(format, file, bytes, &Limits::default(), MergeKeys::Apply, &mut findings);
    let error = findings.into_iter().find(|it| it.severity == Severity::Error);
    match (node, error) {
        (Some(node), None) => Ok(node),
        (_, error) => Err(error.unwrap_or_else(|| refusal(file))),
    }
}

/// Returns the value as the format holds it.
fn held(format: Format, file: &Arc<str>, value: &Value) -> Result<Node, Finding> {
    let node = Node::new(value.clone(), Place::whole(file));
    match format {
        Format::Env | Format::Ini => lines::held(&node, format),
        Format::Toml => super::emit::toml::value(&node).map(|_| node),
        // Depth and numbers are judged there.
        Format::Yaml | Format::Json => super::emit(&node, format).map(|_| node),
    }
}

fn refusal(file: &Arc<str>) -> Finding {
    Finding::error(Code::FORMAT, "the value cannot be changed in place as the file is written")
        .at(&Place::whole(file))
        .hint("change it with an editor")
}

fn is_same(a: &Node, b: &Node) -> bool {
    a.to_json() == b.to_json()
}

/// A value that is to stand at a path of a text.
pub(super) struct Change<'a> {
    file: &'a Arc<str>,
    text: &'a str,
    old: &'a Node,
    path: &'a [String],
    value: &'a Node,
}

impl Change<'_> {
    fn edits(&self, format: Format, is_safe: bool) -> Result<Vec<Edit>, Finding> {
        match format {
            Format::Yaml => yaml::edits(self, is_safe),
            Format::Json => json::edits(self),
            Format::Toml => toml::edits(self, is_safe),
            Format::Env => lines::env(self),
            Format::Ini => lines::ini(self),
        }
    }

    /// Returns the place of the value, or of the deepest one that leads to it.
    fn place(&self) -> Place {
        let steps = (0..=self.path.len()).rev();
        let node = steps.filter_map(|it| self.old.at(&self.path[..it])).next();
        node.map_or_else(|| Place::whole(self.file), |it| it.place.clone())
    }

    fn refusal(&self) -> Finding {
        refusal(self.file).at(&self.place())
    }

    /// Returns the finding for a position in a list that is neither there nor the next one.
    fn beyond(&self, n_items: usize, step: &str) -> Finding {
        let message = format!("`{step}` is no position in a list of {n_items}");
        let hint = format!("the next one is `{n_items}`");
        Finding::error(Code::REFERENCE, message).at(&self.place()).hint(hint)
    }

    /// Returns whether a text reads as the old one with nothing but the value changed.
    fn holds(&self, format: Format, changed: &str) -> bool {
        let Ok(new) = read(format, self.file, changed.as_bytes()) else { return false };
        if !new.at(self.path).is_some_and(|it| is_same(it, self.value)) {
            return false;
        }
        match format {
            // Aliases of the value change with it, so that not the values are compared but what is written.
            Format::Yaml => yaml::holds(self, changed),
            _ => is_same(&with(self.old, self.path, self.value), &new),
        }
    }
}

/// Returns a tree with a value at a path.
fn with(node: &Node, path: &[String], value: &Node) -> Node {
    let Some((step, rest)) = path.split_first() else { return value.clone() };
    let mut node = node.clone();
    let index = step.parse::<usize>().unwrap_or(usize::MAX);
    match &mut node.value {
        Value::List(items) if index < items.len() => items[index] = with(&items[index], rest, value),
        Value::List(items) if index == items.len() => items.push(nested(rest, value)),
        Value::Map(map) => {
            let below = map.get(step).map_or_else(|| nested(rest, value), |it| with(it, rest, value));
            map.insert(Entry { key: step.clone(), place: value.place.clone(), node: below });
        }
        _ => return nested(path, value),
    }
    node
}

/// Returns the maps that lead to a value.
fn nested(path: &[String], value: &Node) -> Node {
    path.iter().rev().fold(value.clone(), |node, key| {
        let place = node.place.clone();
        let map = Map::of_distinct(vec![Entry { key: key.clone(), place: place.clone(), node }]);
        Node::new(Value::Map(map), place)
    })
}

#[cfg(test)]
mod tests;
