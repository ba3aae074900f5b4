//! SOPS files in dotenv and INI, in the dialects that SOPS reads.

use super::metadata;
use super::read::{Remark, Source, Text, error};
use super::tree::{Data, Field, Item, Scalar};
use crate::finding::{Code, Finding};
use std::ops::Range;

/// The section that go-ini puts keys into which stand above all sections.
pub(super) const DEFAULT_SECTION: &str = "DEFAULT";

/// Reads `KEY=value` lines: values are taken as they are, but for `\n`.
pub(super) fn read_env(source: &Source<'_>) -> Result<Text, Finding> {
    let mut flat = Flat::default();
    let mut fields = Vec::new();
    for (start, line) in lines(source.text) {
        if line.is_empty() {
            continue;
        }
        if let Some(text) = line.strip_prefix('#') {
            flat.remarks.push(Remark { text: text.to_owned(), span: start..start + line.len() });
            continue;
        }
        let (key, value) =
            line.split_once('=').ok_or_else(|| error(source, start, "expected `KEY=value` or a comment"))?;
        match key.strip_prefix("sops_") {
            Some(key) => {
                flat.pairs.push((key.to_owned(), value.to_owned()));
                flat.metadata.push(start..source.line_end(start));
            }
            None => {
                let value_start = start + key.len() + 1;
                let span = value_start..start + line.len();
                fields.push(field(source, start, key, value.replace("\\n", "\n"), span));
            }
        }
    }
    flat.finish(source, fields)
}

/// Reads sections of `key = value` lines as go-ini does.
pub(super) fn read_ini(source: &Source<'_>) -> Result<Text, Finding> {
    let mut flat = Flat::default();
    let mut sections = vec![section(source, 0, DEFAULT_SECTION)];
    // The first byte of the `sops` section, while inside it.
    let mut block = None;
    let mut done_until = 0;
    for (start, line) in lines(source.text) {
        let text = line.trim();
        let start = start + (line.len() - line.trim_start().len());
        if start < done_until || text.is_empty() {
            continue;
        }
        if text.starts_with(['#', ';']) {
            flat.remarks.push(Remark { text: text[1..].to_owned(), span: start..start + text.len() });
        } else if let Some(inner) = text.strip_prefix('[') {
            let end = inner.rfind(']').ok_or_else(|| error(source, start, "a section has no closing bracket"))?;
            flat.metadata.extend(block.take().map(|it| it..source.line_start(start)));
            match &inner[..end] {
                "sops" => block = Some(source.line_start(start)),
                name => sections.push(section(source, start, name)),
            }
        } else {
            let (key, value, span) = ini_pair(source, start, text)?;
            done_until = span.end;
            match (&block, sections.last_mut().map(|it| &mut it.item.data)) {
                (Some(_), _) => flat.pairs.push((key.to_owned(), value.to_owned())),
                (None, Some(Data::Map(fields))) => fields.push(field(source, start, key, value.to_owned(), span)),
                _ => {}
            }
        }
    }
    // The empty line before it goes with it.
    let start = |it: usize| source.line_end(source.text[..it].trim_end().len().saturating_sub(1)).min(it);
    flat.metadata.extend(block.map(|it| start(it)..source.text.len()));
    flat.finish(source, sections)
}

#[derive(Default)]
struct Flat {
    pairs: Vec<(String, String)>,
    remarks: Vec<Remark>,
    metadata: Vec<Range<usize>>,
}

impl Flat {
    fn finish(self, source: &Source<'_>, mut fields: Vec<Field>) -> Result<Text, Finding> {
        let place = self.metadata.first().map_or(source.whole(), |it| source.place(it.start));
        if !self.pairs.is_empty() {
            let block = metadata::unflatten(self.pairs, &place)
                .ok_or_else(|| Finding::error(Code::SOPS, "the SOPS metadata is malformed").at(&place))?;
            fields.push(Field::new("sops".into(), place, 0..0, block));
        }
        let document = Item::new(Data::Map(fields), source.place(0), 0..source.text.len());
        Ok(Text { documents: vec![document], remarks: self.remarks, metadata: self.metadata })
    }
}

/// Iterates over the lines and their first bytes; a carriage return stays part of its line.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    text.split('\n').map(move |line| {
        let this = start;
        start += line.len() + 1;
        (this, line)
    })
}

fn field(source: &Source<'_>, start: usize, key: &str, value: String, span: Range<usize>) -> Field {
    let item = Item::new(Data::Scalar(Scalar::Text(value)), source.place(span.start), span);
    Field::new(key.to_owned(), source.place(start), start..start + key.len(), item)
}

fn section(source: &Source<'_>, start: usize, name: &str) -> Field {
    let item = Item::new(Data::Map(Vec::new()), source.place(start), start..start);
    Field::new(name.to_owned(), source.place(start), start..start + name.len(), item)
}

/// Reads one pair; the range is the value's, with its quotes, which may end on a later line.
fn ini_pair<'a>(source: &Source<'a>, start: usize, line: &'a str) -> Result<(&'a str, &'a str, Range<usize>), Finding> {
    let unsupported = |what: &str| {
        let message = format!("{what} in an INI file is not supported in this version");
        Err(Finding::error(Code::UNSUPPORTED, message).at(&source.place(start)))
    };
    let delimiter = line.find(['=', ':']).filter(|it| *it > 0);
    let delimiter =
        delimiter.ok_or_else(|| error(source, start, "expected `[section]`, `key = value` or a comment"))?;
    let key = line[..delimiter].trim();
    if key.starts_with(['"', '`']) || key == "-" {
        return unsupported("a key in quotes, or the key `-`,");
    }
    let rest = line[delimiter + 1..].trim_start();
    let value_start = start + line.len() - rest.len();
    for quote in ["\"\"\"", "`"] {
        if let Some(inner) = rest.strip_prefix(quote) {
            let from = value_start + quote.len();
            let end = match inner.rfind(quote) {
                Some(end) => from + end,
                None => closing(source.text, from + inner.len(), quote)
                    .ok_or_else(|| error(source, start, "a quoted value does not end"))?,
            };
            return Ok((key, &source.text[from..end], value_start..end + quote.len()));
        }
    }
    if rest.ends_with('\\') {
        return unsupported("a continued line");
    }
    let value = rest[..rest.find(['#', ';']).unwrap_or(rest.len())].trim_end();
    let span = value_start..value_start + value.len();
    let unquoted = ['\'', '"'].iter().find_map(|quote| {
        let inner = value.strip_prefix(*quote)?.strip_suffix(*quote)?;
        (!inner.contains(*quote)).then_some(inner)
    });
    Ok((key, unquoted.unwrap_or(value), span))
}

/// Finds the end of a quoted value below its first line: the last quote of the first line that has one.
fn closing(text: &str, from: usize, quote: &str) -> Option<usize> {
    let first = from + text[from..].find(quote)?;
    let line_end = text[first..].find('\n').map_or(text.len(), |it| first + it);
    Some(first + text[first..line_end].rfind(quote)?)
}
