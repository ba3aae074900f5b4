//! To which values the comments of a text belong.

use super::read::{Remark, Source};
use super::tree::{Data, Item};
use crate::document::edit::dash;

/// A key of a map or an element of a list.
pub(super) struct Entry {
    /// Its first byte.
    pub start: usize,
    column: usize,
    /// The end of the braces or brackets in which it stands.
    flow_end: Option<usize>,
    pub is_key: bool,
    /// The keys from the root to it, its own included.
    pub path: Vec<String>,
}

impl Entry {
    /// Returns the keys from the root to the map or list that it belongs to.
    fn holder(&self) -> &[String] {
        &self.path[..self.path.len() - usize::from(self.is_key)]
    }
}

/// Lists the entries of all documents in the order of the text.
pub(super) fn entries(documents: &[Item], source: &Source<'_>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for document in documents {
        collect(document, &mut Vec::new(), source, &mut entries);
    }
    entries
}

fn collect(holder: &Item, path: &mut Vec<String>, source: &Source<'_>, entries: &mut Vec<Entry>) {
    if holder.is_copy {
        return;
    }
    let flow_end = holder.in_flow.then_some(holder.span.end);
    let is_key = matches!(holder.data, Data::Map(_));
    let entry = |start: usize, path: &[String]| {
        let column = source.column_of(start);
        Entry { start, column, flow_end, is_key, path: path.to_vec() }
    };
    match &holder.data {
        Data::Map(fields) => {
            for field in fields {
                path.push(field.key.clone());
                entries.push(entry(field.span.start, path));
                collect(&field.item, path, source, entries);
                path.pop();
            }
        }
        Data::List(items) => {
            for item in items {
                entries.push(entry(dash(source.text, item.span.start).unwrap_or(item.span.start), path));
                collect(item, path, source, entries);
            }
        }
        Data::Scalar(_) | Data::Comment(_) => {}
    }
}

/// Notes with every key and element the comments that SOPS sees directly before it.
///
/// A comment on a line of its own belongs to what follows, when it stands in the same column; one at the end of a line
/// belongs to what stands on that line.
pub(super) fn attach(documents: &mut [Item], remarks: &[Remark], source: &Source<'_>) {
    let entries = entries(documents, source);
    let mut comments = vec![Vec::new(); entries.len()];
    for remark in remarks {
        if let Some(idx) = owner(&entries, remark, source) {
            comments[idx].push(remark.text.clone());
        }
    }
    let mut comments = comments.into_iter();
    documents.iter_mut().for_each(|it| distribute(it, &mut comments));
}

fn owner(entries: &[Entry], remark: &Remark, source: &Source<'_>) -> Option<usize> {
    let start = remark.span.start;
    let next = entries.partition_point(|it| it.start < start);
    let has_own_line = source.text[source.line_start(start)..start].trim().is_empty();
    if !has_own_line {
        return entries[..next].iter().rposition(|it| it.flow_end.is_none());
    }
    let (line, column) = (source.line_of(entries.get(next)?.start), source.column_of(start));
    let same_line = entries[next..].iter().take_while(|it| source.line_of(it.start) == line);
    let in_column = same_line.enumerate().find(|(_, it)| it.column == column).map(|(idx, _)| next + idx);
    in_column.or_else(|| (column < entries[next].column).then_some(next))
}

/// Returns the path that binds a comment to its position, as SOPS sees it: that of the map or list in which it stands.
///
/// A comment on a line of its own stands among the items that begin in its column. When the guess is wrong, SOPS leaves
/// the comment encrypted and says so; nothing else is lost.
pub(super) fn holder<'a>(entries: &'a [Entry], remark: &Remark, source: &Source<'_>) -> &'a [String] {
    let start = remark.span.start;
    let (before, after) = entries.split_at(entries.partition_point(|it| it.start < start));
    let above = before.iter().rev().filter(|it| it.flow_end.is_none());
    let on_line = source.text[source.line_start(start)..start].trim();
    let mut in_flow = before.iter().rev().map_while(|it| Some((it, it.flow_end?)));
    if let Some((open, _)) = in_flow.find(|(_, end)| *end > start) {
        return open.holder();
    }
    if !on_line.is_empty() {
        let last = above.clone().next();
        // The element itself begins later: on the next line, or with the text of a block scalar.
        let is_element = on_line.starts_with('-') && last.is_none_or(|it| it.start < source.line_start(start));
        return match last {
            _ if is_element => after.first().map(Entry::holder).unwrap_or_default(),
            // A comment behind a flow collection belongs into it.
            Some(last) if on_line.ends_with(['}', ']']) || before.last().is_some_and(|it| it.flow_end.is_some()) => {
                &last.path
            }
            last => last.map(Entry::holder).unwrap_or_default(),
        };
    }
    let column = source.column_of(start);
    let line = after.first().map(|it| source.line_of(it.start));
    let mut below = after.iter().take_while(|it| Some(source.line_of(it.start)) == line);
    if let Some(next) = below.find(|it| it.column >= column) {
        return next.holder();
    }
    let mut above = above.take_while(|it| it.column >= column);
    above.find(|it| it.column == column).or(before.last()).map(Entry::holder).unwrap_or_default()
}

fn distribute(holder: &mut Item, comments: &mut impl Iterator<Item = Vec<String>>) {
    if holder.is_copy {
        return;
    }
    let items: Vec<&mut Item> = match &mut holder.data {
        Data::Map(fields) => fields.iter_mut().map(|it| &mut it.item).collect(),
        Data::List(items) => items.iter_mut().collect(),
        Data::Scalar(_) | Data::Comment(_) => return,
    };
    for item in items {
        item.comments = comments.next().unwrap_or_default();
        distribute(item, comments);
    }
}
