//! TOML: keys below headers, dotted keys, inline tables and arrays.

use super::bracket::{self, Look};
use super::json::quoted;
use super::text::{Edit, line_end, line_start, newline};
use super::{Change, nested};
use crate::document::emit::yaml::is_printable;
use crate::document::{Map, Node, Value};
use crate::finding::Finding;
use std::ops::Range;
use toml_edit::{Document, Item, Key, Table, TableLike, Value as TomlValue};

/// What stands at a path.
enum At<'a> {
    Table(&'a Table),
    Tables(&'a toml_edit::ArrayOfTables),
    Value(&'a TomlValue),
}

/// Returns the edits that change a value; with `is_safe`, text is written in double quotes.
pub(super) fn edits(change: &Change<'_>, is_safe: bool) -> Result<Vec<Edit>, Finding> {
    let document = Document::parse(change.text).map_err(|_| change.refusal())?;
    let editor = Editor { change, is_safe };
    let mut at = At::Table(document.as_table());
    let (mut body, mut is_single) = (0, true);
    for (depth, step) in change.path.iter().enumerate() {
        if let At::Table(table) = at
            && !table.is_dotted()
        {
            body = depth;
        }
        let Some(next) = below(&at, step) else { return editor.add(&at, depth, body, is_single) };
        is_single &= !matches!(at, At::Tables(_));
        at = next;
    }
    match at {
        At::Value(value) => editor.replace(value, change.value),
        At::Table(_) | At::Tables(_) => {
            Err(change.refusal().hint("the value is a table with a header: set the keys in it one by one"))
        }
    }
}

fn below<'a>(at: &At<'a>, step: &str) -> Option<At<'a>> {
    let index = || step.parse::<usize>().ok();
    match at {
        At::Table(table) => item(table.get(step)?),
        At::Tables(tables) => tables.get(index()?).map(At::Table),
        At::Value(TomlValue::InlineTable(table)) => table.get(step).map(At::Value),
        At::Value(TomlValue::Array(items)) => items.get(index()?).map(At::Value),
        At::Value(_) => None,
    }
}

fn item(item: &Item) -> Option<At<'_>> {
    match item {
        Item::None => None,
        Item::Value(value) => Some(At::Value(value)),
        Item::Table(table) => Some(At::Table(table)),
        Item::ArrayOfTables(tables) => Some(At::Tables(tables)),
    }
}

struct Editor<'a> {
    change: &'a Change<'a>,
    is_safe: bool,
}

impl Editor<'_> {
    /// Puts a value in the place of another one.
    fn replace(&self, old: &TomlValue, node: &Node) -> Result<Vec<Edit>, Finding> {
        let span = old.span().ok_or_else(|| self.change.refusal())?;
        let is_literal = self.change.text[span.clone()].starts_with('\'') && !self.is_safe;
        let new = match &node.value {
            Value::String(text) if is_literal && !text.contains('\'') && text.chars().all(is_printable) => {
                format!("'{text}'")
            }
            _ => value(node),
        };
        Ok(vec![(span, new)])
    }

    /// Adds what is missing from step `depth` of the path on; the header above it ends with step `body`.
    ///
    /// `is_single` says that no array of tables is on the way, so that a header can name all of it.
    fn add(&self, at: &At<'_>, depth: usize, body: usize, is_single: bool) -> Result<Vec<Edit>, Finding> {
        let Change { text, path, value: new, .. } = *self.change;
        let (step, rest) = (&path[depth], &path[depth..]);
        let below = || nested(&rest[1..], new);
        match at {
            At::Table(table)
                if is_single && !table.is_dotted() && (table.is_implicit() && depth > 0 || rest.len() > 1) =>
            {
                let last = path.len() - 1;
                Ok(self.append(format!("[{}]", dotted(&path[..last])), vec![entry(&path[last], new)]))
            }
            At::Table(table) if table.is_implicit() && !table.is_dotted() && depth > 0 => Err(self.change.refusal()),
            At::Table(table) => self.add_line(table, format!("{} = {}", dotted(&path[body..]), value(new))),
            At::Value(TomlValue::InlineTable(table)) => {
                let open = table.span().ok_or_else(|| self.change.refusal())?.start + 1;
                let spans: Vec<_> = entry_spans(table);
                let (blank, entry) = (if spans.is_empty() { " " } else { "" }, entry(step, &below()));
                Ok(bracket::add(text, open, &spans, &format!("{blank}{entry}{blank}"), newline(text)))
            }
            At::Value(TomlValue::Array(items)) if *step == items.len().to_string() => {
                let open = items.span().ok_or_else(|| self.change.refusal())?.start + 1;
                let spans: Vec<_> = items.iter().filter_map(TomlValue::span).collect();
                Ok(bracket::add(text, open, &spans, &value(&below()), newline(text)))
            }
            At::Tables(tables) if *step == tables.len().to_string() => match below().as_map() {
                Some(map) if is_single => {
                    let lines = map.iter().map(|it| entry(&it.key, &it.node)).collect();
                    Ok(self.append(format!("[[{}]]", dotted(&path[..depth])), lines))
                }
                _ => Err(self.change.refusal()),
            },
            At::Value(TomlValue::Array(items)) => Err(self.change.beyond(items.len(), step)),
            At::Tables(tables) => Err(self.change.beyond(tables.len(), step)),
            At::Value(old) => self.replace(old, &nested(rest, new)),
        }
    }

    /// Adds a header and lines at the end of the text.
    fn append(&self, header: String, lines: Vec<String>) -> Vec<Edit> {
        let text = self.change.text;
        let (newline, end) = (newline(text), text.len());
        let is_open = !text.is_empty() && !text.ends_with('\n');
        let blank = if text.is_empty() { "" } else { newline };
        let lead = if is_open { format!("{newline}{blank}") } else { blank.to_owned() };
        let lines: String = lines.iter().map(|it| format!("{newline}{it}")).collect();
        vec![(end..end, format!("{lead}{header}{lines}{}", if is_open { "" } else { newline }))]
    }

    /// Adds a line to the body of a table: behind its last value, or behind its header.
    fn add_line(&self, table: &Table, line: String) -> Result<Vec<Edit>, Finding> {
        let text = self.change.text;
        let newline = newline(text);
        let after = last_value(table).map(|it| it.end).or_else(|| table.span().map(|it| it.start));
        let is_root = table.position().is_none() && !table.is_dotted();
        if is_root && last_value(table).is_none() {
            return Ok(self.add_first(table, &line));
        }
        let after = after.ok_or_else(|| self.change.refusal())?;
        let first = last_value(table).map_or(after, |it| it.start);
        let start = line_start(text, first);
        let indent = &text[start..start + text[start..].len() - text[start..].trim_start_matches([' ', '\t']).len()];
        let at = line_end(text, after);
        Ok(vec![match text[..at].ends_with('\n') {
            true => (at..at, format!("{indent}{line}{newline}")),
            false => (at..at, format!("{newline}{indent}{line}")),
        }])
    }

    /// Adds the first line of the text that is neither below a header nor a comment of the first one.
    fn add_first(&self, root: &Table, line: &str) -> Vec<Edit> {
        let text = self.change.text;
        let newline = newline(text);
        let Some(header) = first_header(root) else {
            let lead = if text.is_empty() || text.ends_with('\n') { "" } else { newline };
            return vec![(text.len()..text.len(), format!("{lead}{line}{newline}"))];
        };
        let mut at = line_start(text, header);
        while at > 0 && text[line_start(text, at - 1)..at].trim_start().starts_with('#') {
            at = line_start(text, at - 1);
        }
        vec![(at..at, format!("{line}{newline}{newline}"))]
    }
}

fn entry_spans(table: &dyn TableLike) -> Vec<Range<usize>> {
    let span = |(name, item): (&str, &Item)| {
        let key = table.key(name).and_then(Key::span)?;
        Some(key.start..item.span()?.end)
    };
    table.iter().filter_map(span).collect()
}

/// Returns the bytes of the last value in the body of a table, with those of its dotted keys.
fn last_value(table: &Table) -> Option<Range<usize>> {
    let spans = table.iter().filter_map(|(_, item)| match item {
        Item::Value(value) => value_span(value),
        Item::Table(below) if below.is_dotted() => last_value(below),
        _ => None,
    });
    spans.max_by_key(|it| it.end)
}

/// Returns the bytes of a value; an inline table that dotted keys make has those of its last one.
fn value_span(value: &TomlValue) -> Option<Range<usize>> {
    match value {
        TomlValue::InlineTable(table) if table.is_dotted() => {
            table.iter().filter_map(|(_, it)| value_span(it)).max_by_key(|it| it.end)
        }
        value => value.span(),
    }
}

/// Returns the first byte of the first header.
fn first_header(table: &Table) -> Option<usize> {
    let starts = table.iter().flat_map(|(_, item)| match item {
        Item::Table(table) if table.is_implicit() || table.is_dotted() => first_header(table).into_iter().collect(),
        Item::Table(table) => table.span().map(|it| it.start).into_iter().chain(first_header(table)).collect(),
        Item::ArrayOfTables(tables) => tables.iter().filter_map(|it| it.span()).map(|it| it.start).collect(),
        _ => Vec::new(),
    });
    starts.min()
}

/// Returns a value as it stands on one line.
fn value(node: &Node) -> String {
    let look = Look { text: &quoted, key: &key, equals: " = " };
    match &node.value {
        Value::Map(map) if !map.is_empty() => braces(map),
        Value::List(items) => format!("[{}]", items.iter().map(value).collect::<Vec<_>>().join(", ")),
        _ => look.value(node),
    }
}

fn braces(map: &Map) -> String {
    let entries = map.iter().map(|it| entry(&it.key, &it.node));
    format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
}

fn entry(name: &str, node: &Node) -> String {
    format!("{} = {}", key(name), value(node))
}

fn dotted(path: &[String]) -> String {
    path.iter().map(|it| key(it)).collect::<Vec<_>>().join(".")
}

fn key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-".contains(&it));
    if is_bare { name.to_owned() } else { quoted(name) }
}
