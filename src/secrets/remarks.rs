//! To which values the comments of a text belong.

use super::read::{Remark, Source};
use super::tree::{Data, Item};

/// A key of a map or an element of a list.
pub(super) struct Entry {
    /// Its first byte.
    pub start: usize,
    column: usize,
    in_flow: bool,
    /// The keys from the root to it, its own included.
    pub path: Vec<String>,
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
    let in_flow = holder.in_flow;
    let entry =
        |start: usize, path: &[String]| Entry { start, column: source.column_of(start), in_flow, path: path.to_vec() };
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

/// Returns the position of the `-` that stands before an element of a block list.
pub(super) fn dash(text: &str, element: usize) -> Option<usize> {
    let before = text.get(..element)?.trim_end_matches([' ', '\t']);
    before.ends_with('-').then(|| before.len() - 1)
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
        return entries[..next].iter().rposition(|it| !it.in_flow);
    }
    let (line, column) = (source.line_of(entries.get(next)?.start), source.column_of(start));
    let same_line = entries[next..].iter().take_while(|it| source.line_of(it.start) == line);
    let in_column = same_line.enumerate().find(|(_, it)| it.column == column).map(|(idx, _)| next + idx);
    in_column.or_else(|| (column < entries[next].column).then_some(next))
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
