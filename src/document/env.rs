//! dotenv: `KEY=value` lines, read as a POSIX shell would but without expanding anything; every value is text.
//!
//! Keys stay as they are: what `__` in them means is for whoever reads the map to say.

use super::source::{Entries, Line, Source};
use super::{Limits, Node, Value};
use crate::finding::{Code, Findings};
use std::ops::Range;

/// Builds a flat map of texts.
pub(super) fn parse(source: &Source, limits: &Limits, findings: &mut Findings) -> Option<Node> {
    let mut entries = Entries::default();
    let mut found = Findings::new();
    scan(source, limits, findings, |key, value, offset, _| {
        let node = Node::new(Value::String(value), source.place(offset));
        entries.insert(key.text.to_owned(), source.place(key.offset), node, &mut found);
    })?;
    findings.extend(found);
    Some(Node::new(Value::Map(entries.into_map()), source.place(0)))
}

/// Hands on each key with its value, where that is said to be, and the bytes that hold it, quotes included.
pub(super) fn scan<'a>(
    source: &Source<'a>,
    limits: &Limits,
    findings: &mut Findings,
    mut each: impl FnMut(Line<'a>, String, usize, Range<usize>),
) -> Option<()> {
    let mut n_nodes = 1;
    // Where the line after the last value starts; a quoted value may span lines.
    let mut resume = 0;
    for line in source.lines() {
        let trimmed = line.trim();
        if line.offset < resume || trimmed.text.is_empty() || trimmed.text.starts_with('#') {
            continue;
        }
        source.count(&mut n_nodes, trimmed.offset, limits, findings)?;
        let Some(at) = trimmed.text.find('=') else {
            source.error(Code::SYNTAX, trimmed.offset, "expected `KEY=value` or a comment", findings);
            continue;
        };
        let key = without_export(trimmed.cut(0, at).trim());
        let is_key = |it: &str| it.chars().all(|it| it.is_ascii_alphanumeric() || "_.-".contains(it));
        if key.text.is_empty() || !is_key(key.text) {
            source.error(Code::SYNTAX, key.offset, "a key holds letters, digits and `_` only", findings);
            continue;
        }
        let rest = trimmed.cut(at + 1, trimmed.text.len()).trim();
        match rest.text.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let Some((value, length)) = quoted(&source.text[rest.offset..], quote) else {
                    source.error(Code::SYNTAX, rest.offset, "the quote is not closed", findings);
                    return None;
                };
                resume = rest.offset + length;
                nothing_follows(source, resume, findings);
                each(key, value, rest.offset, rest.offset..resume);
            }
            _ => {
                let value = unquoted(rest.text);
                // An absent value stands right behind the `=`, and not where a comment begins.
                let start = if value.is_empty() { trimmed.offset + at + 1 } else { rest.offset };
                each(key, value.to_owned(), start, start..start + value.len());
            }
        }
    }
    Some(())
}

fn without_export(key: Line<'_>) -> Line<'_> {
    match key.text.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => key.cut("export".len(), key.text.len()).trim(),
        _ => key,
    }
}

/// Returns the value without a comment, which starts with a `#` after a blank.
fn unquoted(text: &str) -> &str {
    let comment = text.char_indices().find(|(idx, it)| *it == '#' && text[..*idx].ends_with([' ', '\t']));
    let is_comment_only = text.starts_with('#');
    match comment {
        _ if is_comment_only => "",
        Some((idx, _)) => text[..idx].trim_end(),
        None => text,
    }
}

/// Returns the value of the quoted text that `text` starts with, and its length with both quotes.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((idx, it)) = chars.next() {
        match it {
            _ if it == quote => return Some((value.replace("\r\n", "\n"), idx + 1)),
            '\\' if quote == '"' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                Some((_, it @ ('"' | '\\' | '$' | '`'))) => value.push(it),
                Some((_, it)) => value.extend(['\\', it]),
                None => break,
            },
            it => value.push(it),
        }
    }
    None
}

fn nothing_follows(source: &Source, offset: usize, findings: &mut Findings) {
    let rest = source.text[offset..].lines().next().unwrap_or("");
    if !rest.trim().is_empty() && !rest.trim_start().starts_with('#') {
        source.error(Code::SYNTAX, offset, "only a comment may follow the closing quote", findings);
    }
}
