//! Where the values of a text stand, and how they are written.

use super::text::after_colon;
use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, StructureStyle, Tag};
use std::ops::Range;

/// A value as it is written.
pub(super) struct Spot {
    /// Its bytes: without anchor, tag and the header of a block scalar. Empty when nothing is written.
    pub span: Range<usize>,
    pub content: Content,
    /// Whether it is written in braces or brackets, or inside such.
    pub in_flow: bool,
    /// Its anchor and tag.
    pub properties: String,
}

/// What stands at a [`Spot`].
pub(super) enum Content {
    /// A value without parts, and its text without quotes.
    Scalar(Style, String),
    Map(Vec<Field>),
    List(Vec<Spot>),
    /// A value that is written elsewhere, and the number of its anchor.
    Alias(usize),
}

/// How a scalar is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Style {
    Plain,
    Single,
    Double,
    /// Below a `|` or `>`.
    Block,
    /// Not at all.
    Absent,
}

/// A key and its value.
pub(super) struct Field {
    pub key: String,
    pub span: Range<usize>,
    pub spot: Spot,
}

impl Spot {
    pub fn new(span: Range<usize>, content: Content, in_flow: bool) -> Self {
        Spot { span, content, in_flow, properties: String::new() }
    }

    /// Returns the end of the value without what merely ends its last line; `after` is the end of what stands before it.
    pub fn end(&self, text: &str, after: usize) -> usize {
        match &self.content {
            Content::Map(fields) if !self.in_flow => fields.last().map_or(after, |it| it.spot.end(text, it.span.end)),
            Content::List(items) if !self.in_flow => items.last().map_or(after, |it| it.end(text, it.span.start)),
            Content::Scalar(Style::Absent, _) => after_colon(text, after).unwrap_or(after),
            Content::Scalar(Style::Block, _) => {
                let written = text[self.span.clone()].trim_end_matches([' ', '\t', '\r', '\n']);
                if written.is_empty() { after } else { self.span.start + written.len() }
            }
            _ => self.span.end,
        }
    }
}

/// The layout of a YAML text.
pub(super) struct Layout {
    pub root: Spot,
    /// Where comments begin, in the order of the text.
    pub remarks: Vec<usize>,
}

/// Reads how a YAML text of one document is written, which a parser has found to be without mistakes.
pub(super) fn yaml(text: &str, depth: usize) -> Option<Layout> {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        flow_nesting_limit: depth + 1,
        block_nesting_limit: depth + 1,
        max_buffered_comment_events: text.len().max(1),
    };
    let events = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { text, events, remarks: Vec::new(), last_end: 0 };
    let root = loop {
        match reader.next()? {
            (Event::DocumentStart(..), span) => {
                reader.last_end = span.end;
                let (event, span) = reader.next()?;
                break reader.spot(event, span)?;
            }
            (Event::StreamEnd, span) => break Spot::new(span, Content::Scalar(Style::Absent, String::new()), false),
            _ => {}
        }
    };
    // Comments that follow the document come with the events that end it.
    while let Some((event, _)) = reader.next() {
        if matches!(event, Event::StreamEnd) {
            break;
        }
    }
    reader.remarks.sort_unstable();
    Some(Layout { root, remarks: reader.remarks })
}

struct Reader<'a> {
    text: &'a str,
    events: Parser<'a, StrInput<'a>>,
    remarks: Vec<usize>,
    /// The byte after the last key, scalar or alias.
    last_end: usize,
}

impl<'a> Reader<'a> {
    /// Returns the next event that is not a comment, and its bytes.
    fn next(&mut self) -> Option<(Event<'a>, Range<usize>)> {
        loop {
            let (event, span) = self.events.next_event()?.ok()?;
            let span = range(&span);
            match event {
                Event::Comment(..) => self.remarks.push(span.start),
                event => return Some((event, span)),
            }
        }
    }

    fn spot(&mut self, event: Event<'a>, span: Range<usize>) -> Option<Spot> {
        let (mut spot, anchor, tag) = match event {
            Event::Scalar(text, style, anchor, tag) => (self.scalar(&text, style, span), anchor, tag),
            Event::SequenceStart(style, anchor, tag) => (self.list(style, span)?, anchor, tag),
            Event::MappingStart(style, anchor, tag) => (self.map(style, span)?, anchor, tag),
            Event::Alias(id) => {
                self.last_end = span.end;
                (Spot::new(span, Content::Alias(id), false), 0, None)
            }
            _ => return None,
        };
        spot.properties = properties(anchor, tag.as_deref());
        Some(spot)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Range<usize>) -> Spot {
        let style = match style {
            ScalarStyle::Plain if span.is_empty() => {
                let content = Content::Scalar(Style::Absent, String::new());
                return Spot::new(self.last_end..self.last_end, content, false);
            }
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::Single,
            ScalarStyle::DoubleQuoted => Style::Double,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        self.last_end = span.end;
        Spot::new(span, Content::Scalar(style, text.to_owned()), false)
    }

    fn list(&mut self, style: StructureStyle, span: Range<usize>) -> Option<Spot> {
        let in_flow = style == StructureStyle::Flow;
        let mut items = Vec::new();
        let end = loop {
            match self.next()? {
                (Event::SequenceEnd, end) => break end.end,
                (event, span) => {
                    if !in_flow {
                        self.last_end = self.dash_end(self.last_end);
                    }
                    let mut item = self.spot(event, span)?;
                    item.in_flow |= in_flow;
                    items.push(item);
                }
            }
        };
        Some(self.closed(span.start..end.max(span.start), Content::List(items), in_flow))
    }

    fn closed(&mut self, span: Range<usize>, content: Content, in_flow: bool) -> Spot {
        if in_flow {
            self.last_end = span.end;
        }
        Spot::new(span, content, in_flow)
    }

    /// Returns the byte after the `-` that follows `from`.
    fn dash_end(&self, from: usize) -> usize {
        let mut at = from;
        loop {
            let rest = self.text[at..].trim_start_matches([' ', '\t', '\r', '\n', ':']);
            at = self.text.len() - rest.len();
            match rest.bytes().next() {
                Some(b'-') => return at + 1,
                Some(b'#') => at += rest.find('\n').unwrap_or(rest.len()),
                Some(b'&' | b'!') => at += rest.find(char::is_whitespace).unwrap_or(rest.len()),
                _ => return from,
            }
        }
    }

    fn map(&mut self, style: StructureStyle, span: Range<usize>) -> Option<Spot> {
        let in_flow = style == StructureStyle::Flow;
        let mut fields = Vec::new();
        let end = loop {
            let (key, key_span) = match self.next()? {
                (Event::MappingEnd, end) => break end.end,
                (Event::Scalar(text, ..), span) => (text.into_owned(), span),
                (Event::Alias(_), span) => (self.text.get(span.clone())?.to_owned(), span),
                _ => return None,
            };
            self.last_end = key_span.end;
            let (event, value_span) = self.next()?;
            let mut spot = self.spot(event, value_span)?;
            spot.in_flow |= in_flow;
            fields.push(Field { key, span: key_span, spot });
        };
        Some(self.closed(span.start..end.max(span.start), Content::Map(fields), in_flow))
    }
}

fn properties(anchor: usize, tag: Option<&Tag>) -> String {
    let anchor = if anchor == 0 { String::new() } else { format!("&{anchor}") };
    anchor + &tag.map(|it| it.original().to_string()).unwrap_or_default()
}

fn range(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or(0..0)
}

/// Lists what is written in a YAML text, aliases and merge keys as they stand; what is at or below `path` is left out.
pub(super) fn outline(root: &Spot, path: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    describe(root, &mut Vec::new(), path, &mut lines);
    lines
}

fn describe(spot: &Spot, at: &mut Vec<String>, path: &[String], lines: &mut Vec<String>) {
    if at.len() >= path.len() && at[..path.len()] == *path {
        return;
    }
    let what = match &spot.content {
        Content::Scalar(Style::Plain, text) => format!("plain {text}"),
        Content::Scalar(Style::Absent, _) => "absent".to_owned(),
        Content::Scalar(_, text) => format!("text {text}"),
        Content::Map(_) => "map".to_owned(),
        Content::List(_) => "list".to_owned(),
        Content::Alias(id) => format!("alias {id}"),
    };
    lines.push(format!("{at:?} {} {what}", spot.properties));
    let mut below = |step: String, spot: &Spot| {
        at.push(step);
        describe(spot, at, path, lines);
        at.pop();
    };
    match &spot.content {
        Content::Map(fields) => fields.iter().for_each(|it| below(it.key.clone(), &it.spot)),
        Content::List(items) => items.iter().enumerate().for_each(|(idx, it)| below(idx.to_string(), it)),
        Content::Scalar(..) | Content::Alias(_) => {}
    }
}
