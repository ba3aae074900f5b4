//! Changes to a text that leave everything else in it as it stands.

use std::ops::Range;

/// The bytes that go, and what stands there instead.
pub(crate) type Edit = (Range<usize>, String);

/// What YAML takes for blanks and line ends.
const WHITE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Makes edits; of two that overlap, the one that begins later is left out.
pub(crate) fn apply(text: &str, mut edits: Vec<Edit>) -> String {
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
pub(crate) fn cut(spans: &[Range<usize>], is_removed: &[bool]) -> Vec<Range<usize>> {
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
pub(crate) fn newline(text: &str) -> &'static str {
    if text[..line_end(text, 0)].ends_with("\r\n") { "\r\n" } else { "\n" }
}

/// Returns the first byte of the line that holds a byte.
pub(crate) fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind('\n').map_or(0, |it| it + 1)
}

/// Returns the byte after the line that holds a byte, the line feed included.
pub(crate) fn line_end(text: &str, offset: usize) -> usize {
    text[offset..].find('\n').map_or(text.len(), |it| offset + it + 1)
}

/// Returns the end of the line that holds a byte, before what ends it.
pub(crate) fn line_stop(text: &str, offset: usize) -> usize {
    let line = &text[offset..line_end(text, offset)];
    offset + line.strip_suffix('\n').map_or(line, |it| it.strip_suffix('\r').unwrap_or(it)).len()
}

/// Returns where a value can be written that is absent: behind the colon of its key, which ends at `key_end`.
pub(crate) fn after_colon(text: &str, key_end: usize) -> Option<usize> {
    let rest = text[key_end..].trim_start_matches([' ', '\t']).strip_prefix(':')?;
    Some(text.len() - rest.len())
}

/// Returns the position of the `-` that stands before an element of a block list.
pub(crate) fn dash(text: &str, element: usize) -> Option<usize> {
    let before = text.get(..element)?.trim_end_matches([' ', '\t']);
    before.ends_with('-').then(|| before.len() - 1)
}

/// Returns the edits that put a header and a body in the place of a block scalar, whose span begins after its header.
///
/// A value on one line is a header without a body. `remarks` is where the comments of the text begin: one behind the
/// header stays, and so do empty lines below.
pub(crate) fn replace_block(
    text: &str,
    span: &Range<usize>,
    remarks: &[usize],
    header: String,
    body: String,
) -> Vec<Edit> {
    let Some((old, line_end)) = block_header(text, span.start, remarks) else { return Vec::new() };
    let written = text[span.clone()].trim_end_matches(WHITE);
    let end = if written.is_empty() { line_end } else { span.start + written.len() };
    let mut edits = vec![(old, header)];
    if end > line_end || !body.is_empty() {
        edits.push((line_end..end, body));
    }
    edits
}

/// Finds the header of the block scalar whose text begins at a byte, and the end of the header's line.
fn block_header(text: &str, body: usize, remarks: &[usize]) -> Option<(Range<usize>, usize)> {
    let line_end = text[..body].trim_end_matches(WHITE).len();
    let line_start = line_start(text, line_end.checked_sub(1)?);
    let remark = remarks.get(remarks.partition_point(|it| *it < line_start)).copied();
    let end = remark.filter(|it| *it < line_end).unwrap_or(line_end);
    let line = text[line_start..end].trim_end_matches(WHITE);
    let start = line_start + line.rfind(['|', '>'])?;
    Some((start..line_start + line.len(), line_end))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn lines_end_before_what_ends_them() {
        let text = "a\r\nbc\n\nd";
        assert_eq!(
            [0, 3, 6, 7].map(|it| (line_start(text, it), line_stop(text, it), line_end(text, it))),
            [(0, 1, 3), (3, 5, 6), (6, 6, 7), (7, 8, 8),]
        );
        assert_eq!((newline(text), newline("a\nb\r\n"), newline("")), ("\r\n", "\n", "\n"));
    }
}
