//! INI: sections of `key = value` lines; every value is text, taken as it is.
//!
//! Among the dialects this is the plain one: comments have lines of their own, there are no quotes, no escapes and no
//! continued lines, and what appears twice is an error.

use super::source::{Entries, Line, Source};
use super::{Limits, Node, Value};
use crate::finding::{Code, Findings};

/// Builds a map of sections; keys above the first section stand beside the sections.
pub(super) fn parse(source: &Source, limits: &Limits, findings: &mut Findings) -> Option<Node> {
    let mut root = Entries::default();
    let mut sections: Vec<(Line<'_>, Entries)> = Vec::new();
    let mut n_nodes = 1;
    for line in source.lines() {
        let line = line.trim();
        if line.text.is_empty() || line.text.starts_with(['#', ';']) {
            continue;
        }
        source.count(&mut n_nodes, line.offset, limits, findings)?;
        if line.text.starts_with('[') {
            if let Some(name) = section_name(line, source, findings) {
                sections.push((name, Entries::default()));
            }
            continue;
        }
        let table = sections.last_mut().map_or(&mut root, |(_, entries)| entries);
        if let Some((key, value)) = key_and_value(line, source, findings) {
            let node = Node::new(Value::String(value.text.to_owned()), source.place(value.offset));
            table.insert(key.text.to_owned(), source.place(key.offset), node, findings);
        }
    }
    for (name, entries) in sections {
        let place = source.place(name.offset);
        let node = Node::new(Value::Map(entries.into_map()), place.clone());
        root.insert(name.text.to_owned(), place, node, findings);
    }
    Some(Node::new(Value::Map(root.into_map()), source.place(0)))
}

/// Returns the name in the header of a section.
pub(super) fn section_name<'a>(line: Line<'a>, source: &Source, findings: &mut Findings) -> Option<Line<'a>> {
    let end = line.text.rfind(']');
    let rest = end.map(|it| line.text[it + 1..].trim_start());
    let is_closed = rest.is_some_and(|it| it.is_empty() || it.starts_with(['#', ';']));
    let name = line.cut(1, end.filter(|_| is_closed).unwrap_or(1)).trim();
    if name.text.is_empty() {
        source.error(Code::SYNTAX, line.offset, "expected a section's name between `[` and `]`", findings);
        return None;
    }
    Some(name)
}

/// Returns the key and the value of a line.
pub(super) fn key_and_value<'a>(
    line: Line<'a>,
    source: &Source,
    findings: &mut Findings,
) -> Option<(Line<'a>, Line<'a>)> {
    let Some(at) = line.text.find(['=', ':']) else {
        source.error(Code::SYNTAX, line.offset, "expected `[section]`, `key = value` or a comment", findings);
        return None;
    };
    let (key, value) = (line.cut(0, at).trim(), line.cut(at + 1, line.text.len()).trim());
    if key.text.is_empty() {
        source.error(Code::SYNTAX, line.offset, "a key is missing before the delimiter", findings);
        return None;
    }
    Some((key, value))
}
