//! Changes to a text that leave everything else in it as it stands.

use super::read::{Remark, Source};
use super::tree::Item;
use std::ops::Range;

/// The bytes that go, and what stands there instead.
pub(super) type Edit = (Range<usize>, String);

/// Makes edits; of two that overlap, the one that begins later is left out.
pub(super) fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|(range, _)| range.start);
    let mut edited = String::with_capacity(text.len());
    let mut done = 0;
    for (range, new) in &edits {
        if range.start >= done {
            edited.push_str(&text[done..range.start]);
            edited.push_str(new);
        }
        done = done.max(range.end);
    }
    edited.push_str(&text[done..]);
    edited
}

/// Returns what to remove so that a flow collection loses some of its elements, each with a comma.
pub(super) fn cut(spans: &[Range<usize>], is_removed: &[bool]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut idx = 0;
    while idx < spans.len() {
        if !is_removed[idx] {
            idx += 1;
            continue;
        }
        let end = (idx..spans.len()).find(|it| !is_removed[*it]).unwrap_or(spans.len());
        ranges.push(match (spans.get(end), idx.checked_sub(1)) {
            (Some(next), _) => spans[idx].start..next.start,
            (None, Some(previous)) => spans[previous].end..spans[end - 1].end,
            (None, None) => spans[idx].start..spans[end - 1].end,
        });
        idx = end;
    }
    ranges
}

/// Returns what ends the lines of a text.
pub(super) fn newline(source: &Source<'_>) -> &'static str {
    if source.text[..source.line_end(0)].ends_with("\r\n") { "\r\n" } else { "\n" }
}

/// Returns where a value can be written that is absent: behind the colon of its key, which ends at `key_end`.
pub(super) fn after_colon(source: &Source<'_>, key_end: usize) -> Option<usize> {
    let rest = source.text[key_end..].trim_start_matches([' ', '\t']).strip_prefix(':')?;
    Some(source.text.len() - rest.len())
}

/// Replaces values of a text by other values.
pub(super) struct Replacer<'a> {
    source: &'a Source<'a>,
    /// Where comments begin, in the order of the text.
    remarks: Vec<usize>,
}

impl<'a> Replacer<'a> {
    pub fn new(source: &'a Source<'a>, remarks: &[Remark]) -> Self {
        let mut remarks: Vec<_> = remarks.iter().map(|it| it.span.start).collect();
        remarks.sort_unstable();
        Replacer { source, remarks }
    }

    /// Returns the edits that put `new`, which stands on one line, in the place of a scalar.
    ///
    /// A block scalar loses its header and its lines; a comment behind the header stays, and so do empty lines below.
    pub fn replace(&self, item: &Item, new: String) -> Vec<Edit> {
        if !item.is_block {
            return vec![(item.span.clone(), new)];
        }
        let Some((header, line_end)) = self.header(item.span.start) else { return Vec::new() };
        let body = self.source.text[item.span.clone()].trim_end_matches(WHITE);
        let mut edits = vec![(header, new)];
        if !body.is_empty() {
            edits.push((line_end..item.span.start + body.len(), String::new()));
        }
        edits
    }

    /// Finds the header of the block scalar whose text begins at a byte, and the end of the header's line.
    fn header(&self, body: usize) -> Option<(Range<usize>, usize)> {
        let text = self.source.text;
        let line_end = text[..body].trim_end_matches(WHITE).len();
        let line_start = self.source.line_start(line_end.checked_sub(1)?);
        let remark = self.remarks.get(self.remarks.partition_point(|it| *it < line_start)).copied();
        let end = remark.filter(|it| *it < line_end).unwrap_or(line_end);
        let line = text[line_start..end].trim_end_matches(WHITE);
        let start = line_start + line.rfind(['|', '>'])?;
        Some((start..line_start + line.len(), line_end))
    }
}

/// What YAML takes for blanks and line ends.
const WHITE: [char; 4] = [' ', '\t', '\r', '\n'];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::read::{self, Store};
    use crate::secrets::tree::{Data, Scalar};
    use std::sync::Arc;

    /// Replaces all scalars but null by `X`.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let source = Source::new(&Arc::from("a.yaml"), text.as_bytes()).expect("is UTF-8");
        let read = read::read(&source, Store::Yaml).expect("is YAML");
        let replacer = Replacer::new(&source, &read.remarks);
        let mut edits = Vec::new();
        let mut items: Vec<&Item> = read.documents.iter().collect();
        while let Some(item) = items.pop() {
            match &item.data {
                Data::Map(fields) => items.extend(fields.iter().map(|it| &it.item)),
                Data::List(list) => items.extend(list),
                Data::Scalar(Scalar::Null) | Data::Comment(_) => {}
                Data::Scalar(_) => edits.extend(replacer.replace(item, "X".into())),
            }
        }
        assert_eq!(apply(text, edits), expected);
    }

    #[test]
    fn scalars_of_every_style_are_replaced() {
        check("a: 1 # c\nb: 'x\n  y'\nc: one\n  two # t\n", "a: X # c\nb: X\nc: X # t\n");
        check("l: [a, {b: \"c\"}]\nm:\n- x\n-\n  y\n- ~\n", "l: [X, {b: X}]\nm:\n- X\n-\n  X\n- ~\n");
    }

    #[test]
    fn block_scalars_leave_a_line() {
        check("a: |\n  x\n  # text\n# c\nb: 1", "a: X\n# c\nb: X");
        check("a: >-  # a | b\n\n    x\n\n     y\n\n\nb: 1\n", "a: X  # a | b\n\n\nb: X\n");
        check("a|b: |2+\n    x\n  \nb: 1", "a|b: X\n  \nb: X");
        check("l:\n- |\n  x\n- >\n  y", "l:\n- X\n- X");
        check("a:\n  |\n  x\nb: 1\n", "a:\n  X\nb: X\n");
        check("a: |\r\n  x\r\n  y\r\n\r\nb: |\r\n  z\u{a0}\r\n", "a: X\r\n\r\nb: X\r\n");
        check("a: |\n\nb: |+\n\n\nc: 1\n", "a: X\n\nb: X\n\n\nc: X\n");
    }

    #[test]
    fn elements_go_with_a_comma() {
        let text = "[a, b, c]";
        let spans = [1..2, 4..5, 7..8];
        let without = |is_removed: [bool; 3]| {
            apply(text, cut(&spans, &is_removed).into_iter().map(|it| (it, String::new())).collect())
        };
        assert_eq!(without([true, false, false]), "[b, c]");
        assert_eq!(without([false, true, false]), "[a, c]");
        assert_eq!(without([false, true, true]), "[a]");
        assert_eq!(without([true, false, true]), "[b]");
        assert_eq!(without([true, true, true]), "[]");
    }
}
