//! Documents: whether they say the same when a value's characters mean nothing.

use super::{Breach, Context, Glyph, Why, lines};
use crate::document::{self, Format, Limits, MergeKeys, Node, Value};
use crate::finding::{Code, Findings};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Longer documents are judged line by line.
const BYTES_MAX: usize = 4 << 20;

/// Stand-ins that a parser takes for letters.
const FIRST: u32 = 0x10_0000;

/// Returns the character with which a value changes what a document says.
pub(super) fn judge(format: Format, text: &[Glyph]) -> Vec<Breach> {
    if text.len() > BYTES_MAX {
        return lines::judge(Context::Document(format), text);
    }
    // Our parser is not as strict here as others are.
    let is_control = |it: &&Glyph| format == Format::Json && it.char < ' ' && it.from.is_some();
    if let Some(Glyph { char, from: Some(from) }) = text.iter().find(is_control).copied() {
        return vec![Breach { char, from, why: Why::Shape }];
    }
    let masks = Masks::new(text);
    let whole = parse(format, &masks.text(text, masks.len()));
    let neutral = parse(format, &masks.text(text, 0));
    match (&whole, &neutral) {
        // What kind of document it is, is not known; then it is one of lines.
        (None, None) => return lines::judge(Context::Document(format), text),
        (Some(whole), Some(neutral)) if masks.says_the_same(whole, neutral) => return Vec::new(),
        _ => {}
    }
    // From the first on, how many may mean what they say before the document is another one?
    let is_equal = |n_plain: usize| match (parse(format, &masks.text(text, n_plain)), &neutral) {
        (Some(partly), Some(neutral)) => masks.says_the_same(&partly, neutral),
        _ => false,
    };
    let (mut good, mut bad) = (0, masks.len());
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if is_equal(middle) { good = middle } else { bad = middle }
    }
    masks.order.get(good).map(|(char, from)| Breach { char: *char, from: *from, why: Why::Shape }).into_iter().collect()
}

/// Returns the line and the message of what keeps `text` from being a document of its format at all.
pub(in crate::render) fn why_not_a_document(context: Context, text: &str) -> Option<(u32, String)> {
    let Context::Document(format) = context else { return None };
    let mut findings = Findings::new();
    if documents(format, text).len() == 1 {
        read(format, text, &mut findings);
    }
    // Other mistakes are those of our layers, and no business of who reads the file.
    let wrong = findings.iter().find(|it| it.code == Code::SYNTAX)?;
    Some((wrong.place.as_ref().map_or(0, |it| it.line), wrong.message.clone()))
}

/// The distinct characters of values, by text, in the order in which they appear.
struct Masks {
    order: Vec<(char, u32)>,
    index: BTreeMap<(char, u32), u32>,
}

impl Masks {
    fn new(text: &[Glyph]) -> Masks {
        let mut masks = Masks { order: Vec::new(), index: BTreeMap::new() };
        for glyph in text {
            let Some(from) = glyph.from else { continue };
            let next = u32::try_from(masks.order.len()).unwrap_or(u32::MAX);
            if next < 0xfffe && !masks.index.contains_key(&(glyph.char, from)) {
                masks.index.insert((glyph.char, from), next);
                masks.order.push((glyph.char, from));
            }
        }
        masks
    }

    fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns the text in which all but the first `n_plain` have stand-ins.
    fn text(&self, text: &[Glyph], n_plain: usize) -> String {
        let part = |it: &Glyph| {
            let idx = it.from.and_then(|from| self.index.get(&(it.char, from)));
            let masked = idx.filter(|idx| **idx as usize >= n_plain);
            masked.and_then(|idx| char::from_u32(FIRST + idx)).unwrap_or(it.char)
        };
        text.iter().map(part).collect()
    }

    fn plain(&self, text: &str) -> String {
        let part = |it: char| {
            let idx = u32::from(it).checked_sub(FIRST);
            idx.and_then(|it| self.order.get(it as usize)).map_or(it, |(char, _)| *char)
        };
        text.chars().map(part).collect()
    }

    fn says_the_same(&self, this: &Parsed, neutral: &Parsed) -> bool {
        this.n_errors == neutral.n_errors && self.all_equal(&this.nodes, &neutral.nodes)
    }

    fn all_equal(&self, these: &[Node], neutral: &[Node]) -> bool {
        these.len() == neutral.len() && these.iter().zip(neutral).all(|(this, other)| self.equal(this, other))
    }

    fn equal(&self, this: &Node, neutral: &Node) -> bool {
        match (&this.value, &neutral.value) {
            (Value::List(these), Value::List(others)) => self.all_equal(these, others),
            (Value::Map(these), Value::Map(others)) => {
                let mut pairs = these.iter().zip(others.iter());
                these.len() == others.len()
                    && pairs.all(|(this, other)| {
                        self.plain(&this.key) == self.plain(&other.key) && self.equal(&this.node, &other.node)
                    })
            }
            (Value::String(this), Value::String(other)) => self.plain(this) == self.plain(other),
            // A text such as `-5` that stands bare is a number; what it is not is a comment, an alias or a tag.
            (Value::List(_) | Value::Map(_), _) | (_, Value::List(_) | Value::Map(_)) => false,
            (_, Value::String(other)) => {
                let bare = |it: char| it.is_alphanumeric() || "+-._:~".contains(it);
                !other.is_empty() && self.plain(other).chars().all(bare)
            }
            (this, other) => this == other,
        }
    }
}

/// What a text says.
struct Parsed {
    nodes: Vec<Node>,
    /// Mistakes that leave a tree, such as a tag that is not known or a key that stands twice.
    n_errors: usize,
}

/// Returns what `text` says; `None` when it is no document.
fn parse(format: Format, text: &str) -> Option<Parsed> {
    let mut findings = Findings::new();
    let nodes = documents(format, text).into_iter().map(|it| read(format, it, &mut findings)).collect::<Option<_>>()?;
    Some(Parsed { nodes, n_errors: findings.n_errors() })
}

fn read(format: Format, text: &str, findings: &mut Findings) -> Option<Node> {
    // A stand-in has four bytes.
    let limits = Limits { bytes: 4 * BYTES_MAX, ..Limits::default() };
    document::parse(format, &Arc::from(""), text.as_bytes(), &limits, MergeKeys::Apply, findings)
}

/// Splits a stream of YAML documents.
fn documents(format: Format, text: &str) -> Vec<&str> {
    if format != Format::Yaml {
        return vec![text];
    }
    let mut found = Vec::new();
    let mut start = 0;
    for (idx, _) in text.match_indices("\n---") {
        let is_marker = text[idx + 4..].chars().next().is_none_or(char::is_whitespace);
        if is_marker && !text[start..idx].trim().is_empty() {
            found.push(&text[start..=idx]);
            start = idx + 1;
        }
    }
    found.push(&text[start..]);
    found
}
