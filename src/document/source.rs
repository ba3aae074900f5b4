//! A document's text, checked, and the way from a byte of it to a line and column.

use super::{Entry, Limits, Map, Node};
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use std::collections::HashMap;
use std::sync::Arc;

/// How many bytes lie between two remembered character counts.
const STEP: usize = 64;

/// A document's text that is known to be clean UTF-8 within the size limit.
pub(super) struct Source<'a> {
    pub(super) file: Arc<str>,
    pub(super) text: &'a str,
    line_starts: Vec<usize>,
    /// The number of characters before byte `STEP * idx`; keeps a place cheap even in a file of one long line.
    chars_before: Vec<usize>,
}

impl<'a> Source<'a> {
    /// Checks size and encoding.
    pub(super) fn new(file: &Arc<str>, bytes: &'a [u8], limits: &Limits, findings: &mut Findings) -> Option<Self> {
        if bytes.len() > limits.bytes {
            let message = format!("the file has {} bytes; the limit is {}", bytes.len(), limits.bytes);
            findings.push(Finding::error(Code::FILE_TOO_BIG, message).at(&Place::whole(file)));
            return None;
        }
        let (text, broken) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => (std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""), Some(error.valid_up_to())),
        };
        let source = Source::index(file, text);
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            source.encoding(0, "the file is UTF-16", findings);
            return None;
        }
        if let Some((offset, what)) = unclean(text) {
            source.encoding(offset, &what, findings);
            return None;
        }
        if let Some(offset) = broken {
            source.encoding(offset, "the file is not UTF-8", findings);
            return None;
        }
        Some(source)
    }

    fn index(file: &Arc<str>, text: &'a str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(idx, _)| idx + 1)).collect();
        let mut chars_before = Vec::with_capacity(text.len() / STEP + 1);
        let mut n_chars = 0;
        for chunk in text.as_bytes().chunks(STEP) {
            chars_before.push(n_chars);
            n_chars += chunk.iter().filter(|it| is_char_start(**it)).count();
        }
        chars_before.push(n_chars);
        Source { file: Arc::clone(file), text, line_starts, chars_before }
    }

    /// Returns the place of the character at byte `offset`.
    pub(super) fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.text.len());
        let line_idx = self.line_starts.partition_point(|it| *it <= offset) - 1;
        let column = self.chars_to(offset) - self.chars_to(self.line_starts[line_idx]) + 1;
        let number = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
        Place::new(&self.file, number(line_idx + 1), number(column))
    }

    fn chars_to(&self, offset: usize) -> usize {
        let step = offset / STEP;
        let rest = &self.text.as_bytes()[step * STEP..offset];
        self.chars_before[step] + rest.iter().filter(|it| is_char_start(**it)).count()
    }

    /// Pushes an error at a byte offset.
    pub(super) fn error(&self, code: Code, offset: usize, message: impl Into<String>, findings: &mut Findings) {
        findings.push(Finding::error(code, message).at(&self.place(offset)));
    }

    /// Counts one more value; `None` when there are too many.
    pub(super) fn count(
        &self,
        n_nodes: &mut usize,
        offset: usize,
        limits: &Limits,
        findings: &mut Findings,
    ) -> Option<()> {
        *n_nodes += 1;
        if *n_nodes > limits.nodes {
            let message = format!("the file holds more than {} values", limits.nodes);
            self.error(Code::FILE_TOO_BIG, offset, message, findings);
            return None;
        }
        Some(())
    }

    /// Pushes the error for a value inside too many others.
    pub(super) fn too_deep(&self, offset: usize, limits: &Limits, findings: &mut Findings) {
        self.error(Code::DEPTH, offset, format!("nested more than {} levels deep", limits.depth), findings);
    }

    /// Iterates over the lines, without their ends.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'a>> {
        self.line_starts.iter().map(|start| {
            let rest = &self.text[*start..];
            let text = rest.split_once('\n').map_or(rest, |(line, _)| line);
            Line { text: text.strip_suffix('\r').unwrap_or(text), offset: *start }
        })
    }

    fn encoding(&self, offset: usize, message: &str, findings: &mut Findings) {
        let finding = Finding::error(Code::ENCODING, message).at(&self.place(offset));
        findings.push(finding.hint("save the file as UTF-8 without a byte order mark"));
    }
}

/// A piece of one line, and the byte at which it starts.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    pub(super) offset: usize,
}

impl<'a> Line<'a> {
    /// Returns the piece without outer blanks.
    pub(super) fn trim(self) -> Self {
        let text = self.text.trim_start();
        Line { offset: self.offset + self.text.len() - text.len(), text: text.trim_end() }
    }

    /// Returns the part between two bytes of the piece.
    pub(super) fn cut(self, start: usize, end: usize) -> Self {
        Line { text: &self.text[start..end], offset: self.offset + start }
    }
}

/// A map in the making, which refuses a key that it has already.
#[derive(Default)]
pub(super) struct Entries {
    entries: Vec<Entry>,
    places: HashMap<String, Place>,
}

impl Entries {
    /// Adds an entry, or pushes an error that names both lines.
    pub(super) fn insert(&mut self, key: String, place: Place, node: Node, findings: &mut Findings) {
        match self.places.get(&key) {
            Some(first) => findings.push(super::duplicate(&key, first, &place)),
            None => {
                self.places.insert(key.clone(), place.clone());
                self.entries.push(Entry { key, place, node });
            }
        }
    }

    pub(super) fn into_map(self) -> Map {
        Map { entries: self.entries }
    }
}

fn is_char_start(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// Returns the first character that no text format should hold as it is.
fn unclean(text: &str) -> Option<(usize, String)> {
    if text.starts_with('\u{feff}') {
        return Some((0, "the file starts with a byte order mark".into()));
    }
    let bytes = text.as_bytes();
    let offset = bytes.iter().enumerate().position(|(idx, byte)| match byte {
        b'\t' | b'\n' => false,
        b'\r' => bytes.get(idx + 1) != Some(&b'\n'),
        _ => *byte < 0x20,
    })?;
    let what = match bytes[offset] {
        0 => "the file holds a NUL byte".into(),
        b'\r' => "a carriage return stands without a line feed".into(),
        byte => format!("the file holds the control character U+{byte:04X}"),
    };
    Some((offset, what))
}
