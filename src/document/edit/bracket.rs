//! Collections in braces and brackets: those of JSON, flow style of YAML, arrays and inline tables of TOML.

use super::text::{Edit, line_start, line_stop};
use crate::document::emit::yaml::word;
use crate::document::{Node, Value};
use std::ops::Range;

/// How a format writes on one line.
pub(super) struct Look<'a> {
    /// Writes text as a value.
    pub text: &'a dyn Fn(&str) -> String,
    /// Writes text as a key.
    pub key: &'a dyn Fn(&str) -> String,
    /// What stands between a key and its value.
    pub equals: &'a str,
}

impl Look<'_> {
    /// Returns a value on one line.
    pub fn value(&self, node: &Node) -> String {
        match &node.value {
            Value::String(text) => (self.text)(text),
            Value::List(items) => {
                format!("[{}]", items.iter().map(|it| self.value(it)).collect::<Vec<_>>().join(", "))
            }
            Value::Map(map) => {
                let entries = map.iter().map(|it| self.entry(&it.key, &it.node));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
            value => word(value),
        }
    }

    /// Returns a key with its value.
    pub fn entry(&self, key: &str, node: &Node) -> String {
        format!("{}{}{}", (self.key)(key), self.equals, self.value(node))
    }
}

/// Returns the edits that add `entry` to a collection whose opening bracket ends at `open`.
///
/// It follows the last of `entries` as that one follows the one before: on a line of its own or on the same, with a
/// comma behind it or without.
pub(super) fn add(text: &str, open: usize, entries: &[Range<usize>], entry: &str, newline: &str) -> Vec<Edit> {
    let Some(last) = entries.last() else { return vec![(open..open, entry.to_owned())] };
    let end = last.end;
    let indent = &text[line_start(text, last.start)..last.start];
    let comma = Some(skip(text, end)).filter(|it| text[*it..].starts_with(','));
    let tail = comma.map_or(end, |it| it + 1);
    let rest = text[tail..line_stop(text, tail)].trim_start();
    let has_own_line = indent.trim().is_empty() && line_start(text, last.start) > open.saturating_sub(1);
    if has_own_line && (rest.is_empty() || rest.starts_with(['#', '/'])) {
        let at = line_stop(text, tail);
        let mark = if comma.is_some() { "," } else { "" };
        let line = (at..at, format!("{newline}{indent}{entry}{mark}"));
        let separator = comma.is_none().then(|| (end..end, ",".to_owned()));
        return separator.into_iter().chain([line]).collect();
    }
    let is_tight = |pair: &[Range<usize>]| text.get(pair[0].end..pair[1].start) == Some(",");
    let blank = if entries.windows(2).next().is_some_and(is_tight) { "" } else { " " };
    vec![(end..end, format!(",{blank}{entry}"))]
}

/// Returns the first byte from `at` on that is neither blank nor a part of a comment.
fn skip(text: &str, mut at: usize) -> usize {
    loop {
        let rest = text[at..].trim_start();
        at = text.len() - rest.len();
        let length = match rest {
            _ if rest.starts_with("/*") => rest.find("*/").map(|it| it + 2),
            _ if rest.starts_with("//") || rest.starts_with('#') => rest.find('\n'),
            _ => return at,
        };
        match length {
            Some(length) => at += length,
            None => return text.len(),
        }
    }
}
