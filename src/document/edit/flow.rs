//! Values that stand in braces and brackets.

use super::bracket::{self, Look};
use super::layout::{Content, Field, Spot, Style};
use super::text::{Edit, newline};
use super::{Change, json, nested};
use crate::document::Node;
use crate::document::emit::yaml::{is_plain, is_printable, quoted};
use crate::finding::Finding;

/// In which format the braces and brackets stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Json,
    Yaml,
}

/// Returns the edits that change a value below a collection in brackets; no alias is below it.
pub(super) fn edits(change: &Change<'_>, root: &Spot, dialect: Dialect) -> Result<Vec<Edit>, Finding> {
    let mut spot = root;
    for (depth, step) in change.path.iter().enumerate() {
        let rest = &change.path[depth..];
        spot = match &spot.content {
            Content::Map(fields) => match fields.iter().find(|it| it.key == *step) {
                Some(field) => &field.spot,
                None => return Ok(add_field(change, spot, fields, rest, dialect)),
            },
            Content::List(items) => match step.parse::<usize>() {
                Ok(idx) if idx < items.len() => &items[idx],
                Ok(idx) if idx == items.len() => return Ok(add_item(change, spot, items, &rest[1..], dialect)),
                _ => return Err(change.beyond(items.len(), step)),
            },
            _ => return Ok(vec![(spot.span.clone(), value(&nested(rest, change.value), dialect))]),
        };
    }
    Ok(vec![(spot.span.clone(), value(change.value, dialect))])
}

/// Adds a key to a map in braces, and what leads from there to the value.
pub(super) fn add_field(
    change: &Change<'_>,
    holder: &Spot,
    fields: &[Field],
    rest: &[String],
    dialect: Dialect,
) -> Vec<Edit> {
    let text = change.text;
    let Some((key, below)) = rest.split_first() else { return Vec::new() };
    let spans: Vec<_> = fields.iter().map(|it| it.span.start..it.spot.end(text, it.span.end)).collect();
    let is_tight = |it: &Field| text.get(it.span.end..it.spot.span.start) == Some(":");
    let equals = if dialect == Dialect::Json && fields.first().is_some_and(is_tight) { ":" } else { ": " };
    let entry = with_look(dialect, equals, |look| look.entry(key, &nested(below, change.value)));
    bracket::add(text, holder.span.start + 1, &spans, &entry, newline(text))
}

/// Adds an element to a list in brackets.
pub(super) fn add_item(
    change: &Change<'_>,
    holder: &Spot,
    items: &[Spot],
    below: &[String],
    dialect: Dialect,
) -> Vec<Edit> {
    let text = change.text;
    let spans: Vec<_> = items.iter().map(|it| it.span.start..it.end(text, it.span.start)).collect();
    let item = value(&nested(below, change.value), dialect);
    bracket::add(text, holder.span.start + 1, &spans, &item, newline(text))
}

/// Returns a value on one line, which may stand in brackets.
pub(super) fn value(node: &Node, dialect: Dialect) -> String {
    with_look(dialect, ": ", |look| look.value(node))
}

fn with_look(dialect: Dialect, equals: &str, write: impl Fn(&Look<'_>) -> String) -> String {
    let text: &dyn Fn(&str) -> String = match dialect {
        Dialect::Json => &json::quoted,
        Dialect::Yaml => &|it| text(it, Style::Plain, true),
    };
    write(&Look { text, key: text, equals })
}

/// Returns text as YAML on one line, in quotes of the kind that stood there, where they suffice.
pub(super) fn text(text: &str, style: Style, in_flow: bool) -> String {
    match style {
        Style::Single if text.chars().all(is_printable) => format!("'{}'", text.replace('\'', "''")),
        Style::Single | Style::Double => quoted(text),
        _ if is_plain(text) && !(in_flow && text.contains([',', '[', ']', '{', '}'])) => text.to_owned(),
        _ => quoted(text),
    }
}
