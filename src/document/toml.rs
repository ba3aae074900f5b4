//! TOML 1.0; dates and times become text.

use super::source::Source;
use super::{Entry, Limits, Map, Node, Value, scalar};
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use std::ops::Range;
use toml_edit::{Document, Item, Key, TableLike, TomlError, Value as TomlValue};

/// Builds a tree from the document in `source`.
pub(super) fn parse(source: &Source, limits: &Limits, findings: &mut Findings) -> Option<Node> {
    if let Some(offset) = too_deep(source.text, limits.depth) {
        source.too_deep(offset, limits, findings);
        return None;
    }
    match Document::parse(source.text) {
        Ok(document) => {
            let mut reader = Reader { source, limits, findings, n_nodes: 0 };
            reader.n_nodes += 1;
            let map = reader.table(document.as_table(), 1)?;
            Some(Node::new(Value::Map(map), source.place(0)))
        }
        Err(error) => {
            refuse(source, limits, &error, findings);
            None
        }
    }
}

fn refuse(source: &Source, limits: &Limits, error: &TomlError, findings: &mut Findings) {
    let span = error.span().unwrap_or(0..0);
    let message = error.message();
    let written = source.text.get(span.clone()).unwrap_or("");
    if message.contains("recurs") {
        return source.too_deep(span.start, limits, findings);
    }
    if message.contains("duplicate key") {
        let place = source.place(span.start);
        let finding = match first_definition(source, &span) {
            Some(first) => super::duplicate(key_text(written), &first, &place),
            None => Finding::error(Code::DUPLICATE_KEY, format!("the key `{}` stands twice", key_text(written))),
        };
        return findings.push(finding.at(&place));
    }
    let is_number = !written.is_empty() && written.bytes().all(|it| it.is_ascii_digit() || b"+-_.eE".contains(&it));
    if is_number && (message.contains("overflow") || message.contains("out of range") || message.contains("too large"))
    {
        return findings.push(scalar::refusal(written, &source.place(span.start)));
    }
    source.error(Code::SYNTAX, span.start, message.lines().collect::<Vec<_>>().join(", "), findings);
}

fn key_text(written: &str) -> &str {
    written.trim_matches(['"', '\''])
}

/// Returns where the key whose second appearance is at `again` was written first.
///
/// The library does not say, so the text before the second appearance is read by itself.
fn first_definition(source: &Source, again: &Range<usize>) -> Option<Place> {
    let line_start = source.text[..again.start].rfind('\n').map_or(0, |it| it + 1);
    let before = Document::parse(&source.text[..line_start]).ok()?;
    let line = source.text.get(line_start..again.end)?;
    let is_header = line.trim_start().starts_with('[');
    let mut steps: Vec<String> =
        Key::parse(line.trim().trim_start_matches('[')).ok()?.into_iter().map(|it| it.get().to_owned()).collect();
    let mut table: &dyn TableLike = match is_header {
        true => before.as_table(),
        false => last_table(before.as_table()),
    };
    let last = steps.pop()?;
    for step in &steps {
        table = match table.get(step)? {
            Item::ArrayOfTables(tables) => tables.iter().last()?,
            item => item.as_table_like()?,
        };
    }
    let (key, item) = table.get_key_value(&last)?;
    Some(source.place(key.span().or_else(|| item.span())?.start))
}

/// Returns the table whose header was written last.
fn last_table(root: &toml_edit::Table) -> &toml_edit::Table {
    let below = root.iter().flat_map(|(_, item)| match item {
        Item::Table(table) => vec![last_table(table)],
        Item::ArrayOfTables(tables) => tables.iter().map(last_table).collect(),
        _ => Vec::new(),
    });
    std::iter::once(root).chain(below).max_by_key(|it| it.position()).unwrap_or(root)
}

/// Returns where the brackets outside strings and comments first go deeper than `depth`.
fn too_deep(text: &str, depth: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut idx, mut open) = (0, 0_usize);
    while idx < bytes.len() {
        let rest = &bytes[idx..];
        idx += match bytes[idx] {
            b'#' => rest.iter().position(|it| *it == b'\n').unwrap_or(rest.len()),
            b'"' | b'\'' => string_length(rest),
            b'[' | b'{' => {
                open += 1;
                if open > depth {
                    return Some(idx);
                }
                1
            }
            b']' | b'}' => {
                open = open.saturating_sub(1);
                1
            }
            _ => 1,
        };
    }
    None
}

/// Returns the length of the string, of any of the four kinds, that `bytes` start with.
fn string_length(bytes: &[u8]) -> usize {
    let quote = bytes[0];
    let is_long = bytes.starts_with(&[quote; 3]);
    let mut idx = if is_long { 3 } else { 1 };
    while idx < bytes.len() {
        match bytes[idx] {
            b'\\' if quote == b'"' => idx += 1,
            b'\n' if !is_long => return idx,
            byte if byte == quote && !is_long => return idx + 1,
            _ if is_long && bytes[idx..].starts_with(&[quote; 3]) => {
                let n_quotes = bytes[idx..].iter().take(5).take_while(|it| **it == quote).count();
                return idx + n_quotes;
            }
            _ => {}
        }
        idx += 1;
    }
    bytes.len()
}

struct Reader<'a, 'f> {
    source: &'a Source<'a>,
    limits: &'a Limits,
    findings: &'f mut Findings,
    n_nodes: usize,
}

impl Reader<'_, '_> {
    /// Counts a node and its depth; `None` when there are too many of either.
    fn enter(&mut self, depth: usize, offset: usize) -> Option<()> {
        self.source.count(&mut self.n_nodes, offset, self.limits, self.findings)?;
        if depth > self.limits.depth {
            self.source.too_deep(offset, self.limits, self.findings);
            return None;
        }
        Some(())
    }

    fn table(&mut self, table: &dyn TableLike, depth: usize) -> Option<Map> {
        let mut entries = Vec::new();
        for (name, item) in table.iter() {
            let span = table.key(name).and_then(Key::span).or_else(|| item.span());
            let offset = span.map_or(0, |it| it.start);
            if let Some(node) = self.item(item, depth + 1, offset)? {
                entries.push((offset, Entry { key: name.to_owned(), place: self.source.place(offset), node }));
            }
        }
        // The library lists a table where its parent was first named; the document's own order is by place.
        entries.sort_by_key(|(offset, _)| *offset);
        Some(Map { entries: entries.into_iter().map(|(_, entry)| entry).collect() })
    }

    fn item(&mut self, item: &Item, depth: usize, key_offset: usize) -> Option<Option<Node>> {
        let offset = item.span().map_or(key_offset, |it| it.start);
        let value = match item {
            Item::None => return Some(None),
            Item::Value(value) => return self.value(value, depth, key_offset).map(Some),
            Item::Table(table) => {
                self.enter(depth, offset)?;
                Value::Map(self.table(table, depth)?)
            }
            Item::ArrayOfTables(tables) => {
                self.enter(depth, offset)?;
                let mut items = Vec::new();
                for table in tables {
                    let offset = table.span().map_or(offset, |it| it.start);
                    self.enter(depth + 1, offset)?;
                    items.push(Node::new(Value::Map(self.table(table, depth + 1)?), self.source.place(offset)));
                }
                Value::List(items)
            }
        };
        Some(Some(Node::new(value, self.source.place(offset))))
    }

    fn value(&mut self, value: &TomlValue, depth: usize, key_offset: usize) -> Option<Node> {
        let offset = value.span().map_or(key_offset, |it| it.start);
        let place = self.source.place(offset);
        self.enter(if value.is_array() || value.is_inline_table() { depth } else { 0 }, offset)?;
        let value = match value {
            TomlValue::String(it) => Value::String(it.value().clone()),
            TomlValue::Integer(it) => Value::Int(i128::from(*it.value())),
            TomlValue::Boolean(it) => Value::Bool(*it.value()),
            TomlValue::Float(it) => {
                let written = it.span().and_then(|it| self.source.text.get(it)).unwrap_or("");
                scalar::fraction(&written.replace('_', "")).unwrap_or_else(|| {
                    self.findings.push(scalar::refusal(written, &place));
                    Value::String(written.to_owned())
                })
            }
            TomlValue::Datetime(it) => {
                let written = it.span().and_then(|it| self.source.text.get(it));
                Value::String(written.map_or_else(|| it.value().to_string(), str::to_owned))
            }
            TomlValue::Array(array) => {
                let items = array.iter().map(|it| self.value(it, depth + 1, offset));
                Value::List(items.collect::<Option<_>>()?)
            }
            TomlValue::InlineTable(table) => Value::Map(self.table(table, depth)?),
        };
        Some(Node::new(value, place))
    }
}
