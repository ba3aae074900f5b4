//! SOPS files in YAML, read the way go-yaml reads them.

use super::read::{MAX_DEPTH, MAX_NODES, Remark, Source, Text, error};
use super::scalar::{self, Refusal};
use super::tree::{Data, Field, Item, Scalar};
use crate::finding::{Code, Finding};
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span, StrInput, StructureStyle, Tag};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Reads all documents of a text.
pub(super) fn read(source: &Source<'_>) -> Result<Text, Finding> {
    let options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH + 1,
        block_nesting_limit: MAX_DEPTH + 1,
        block_scalar_eof_without_line_feed: true,
        max_buffered_comment_events: MAX_NODES,
    };
    let events = Parser::new_from_str_with_options(source.text, options);
    let mut reader = Reader { source, events, anchors: HashMap::new(), n_nodes: 0, remarks: Vec::new() };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::DocumentStart(..), _) => {
                reader.anchors.clear();
                let (event, span) = reader.next()?;
                documents.push(reader.node(event, span, 0)?);
            }
            (Event::StreamEnd, _) => break,
            _ => {}
        }
    }
    Ok(Text { documents, remarks: reader.remarks, metadata: Vec::new() })
}

struct Reader<'a> {
    source: &'a Source<'a>,
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Item>,
    n_nodes: usize,
    remarks: Vec<Remark>,
}

impl<'a> Reader<'a> {
    /// Returns the next event that is not a comment.
    fn next(&mut self) -> Result<(Event<'a>, Span), Finding> {
        loop {
            match self.events.next_event() {
                None => return Err(error(self.source, 0, "the document ends too early")),
                Some(Ok((Event::Comment(text, _), span))) => {
                    self.remarks.push(Remark { text: text.into_owned(), span: range(&span) });
                }
                Some(Ok(event)) => return Ok(event),
                Some(Err(scan_error)) => {
                    let offset = scan_error.marker().byte_offset().unwrap_or(0);
                    return Err(match scan_error.kind() {
                        ErrorKind::RecursionLimitExceeded => self.too_deep(offset),
                        kind => Finding::error(Code::SYNTAX, kind.to_string()).at(&self.source.place(offset)),
                    });
                }
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Item, Finding> {
        let span = range(&span);
        if depth > MAX_DEPTH {
            return Err(self.too_deep(span.start));
        }
        self.count(1, span.start)?;
        let has_tag = matches!(
            &event,
            Event::Scalar(.., Some(_)) | Event::SequenceStart(.., Some(_)) | Event::MappingStart(.., Some(_))
        );
        let (mut item, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (self.scalar(&text, style, tag.as_deref(), span)?, anchor),
            Event::SequenceStart(style, anchor, _) => (self.list(style, span, depth)?, anchor),
            Event::MappingStart(style, anchor, _) => (self.map(style, span, depth)?, anchor),
            Event::Alias(id) => {
                let item = self.anchors.get(&id).cloned();
                let mut item = item.ok_or_else(|| error(self.source, span.start, "an alias refers to itself"))?;
                self.count(size(&item), span.start)?;
                mark_copy(&mut item, &span);
                (item, 0)
            }
            _ => return Err(error(self.source, span.start, "a value is missing")),
        };
        item.has_properties |= has_tag || anchor != 0;
        if anchor != 0 {
            self.count(size(&item), item.span.start)?;
            item.comments.clear();
            self.anchors.insert(anchor, item.clone());
        }
        Ok(item)
    }

    fn too_deep(&self, offset: usize) -> Finding {
        let message = format!("nested more than {MAX_DEPTH} levels deep");
        Finding::error(Code::DEPTH, message).at(&self.source.place(offset))
    }

    /// Counts values; what stands behind an anchor counts once more for every time it is copied.
    fn count(&mut self, n_nodes: usize, offset: usize) -> Result<(), Finding> {
        self.n_nodes += n_nodes;
        if self.n_nodes <= MAX_NODES {
            return Ok(());
        }
        let code = if n_nodes > 1 { Code::YAML_ALIASES } else { Code::FILE_TOO_BIG };
        Err(Finding::error(code, format!("the file holds more than {MAX_NODES} values")).at(&self.source.place(offset)))
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Range<usize>) -> Result<Item, Finding> {
        let scalar =
            scalar::resolve(text, core_tag(tag).as_deref(), style == ScalarStyle::Plain).map_err(|refusal| {
                error(
                    self.source,
                    span.start,
                    match refusal {
                        Refusal::Tag => "the value does not fit its tag",
                        Refusal::TooLarge => "SOPS has no whole numbers above 9223372036854775807",
                    },
                )
            })?;
        let mut item = Item::new(Data::Scalar(scalar), self.source.place(span.start), span);
        item.is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        Ok(item)
    }

    fn list(&mut self, style: StructureStyle, span: Range<usize>, depth: usize) -> Result<Item, Finding> {
        let in_flow = style == StructureStyle::Flow;
        let mut items = Vec::new();
        let end = loop {
            match self.next()? {
                (Event::SequenceEnd, end) => break range(&end).end,
                (event, span) => {
                    let mut item = self.node(event, span, depth + 1)?;
                    item.in_flow |= in_flow;
                    items.push(item);
                }
            }
        };
        let mut list = Item::new(Data::List(items), self.source.place(span.start), span.start..end);
        list.in_flow = in_flow;
        Ok(list)
    }

    fn map(&mut self, style: StructureStyle, span: Range<usize>, depth: usize) -> Result<Item, Finding> {
        let in_flow = style == StructureStyle::Flow;
        let mut fields: Vec<Field> = Vec::new();
        let mut seen = HashSet::new();
        let end = loop {
            let (key, key_span) = match self.next()? {
                (Event::MappingEnd, end) => break range(&end).end,
                (event, key_span) => (self.key(&event, &key_span)?, range(&key_span)),
            };
            let is_merge = self.source.text.get(key_span.clone()) == Some("<<");
            self.count(1, key_span.start)?;
            if !seen.insert(key.clone()) {
                let message = format!("the key `{key}` appears twice");
                return Err(Finding::error(Code::DUPLICATE_KEY, message).at(&self.source.place(key_span.start)));
            }
            let (event, value_span) = self.next()?;
            let mut item = self.node(event, value_span, depth + 1)?;
            item.in_flow |= in_flow;
            let field = Field::new(key, self.source.place(key_span.start), key_span, item);
            fields.push(Field { is_merge, ..field });
        };
        let mut map = Item::new(Data::Map(fields), self.source.place(span.start), span.start..end);
        map.in_flow = in_flow;
        Ok(map)
    }

    /// Reads a key, which must be text for go-yaml as well.
    fn key(&self, event: &Event<'a>, span: &Span) -> Result<String, Finding> {
        let refusal = || error(self.source, range(span).start, "a key is not text; put it in quotes");
        let Event::Scalar(text, style, _, tag) = event else { return Err(refusal()) };
        match scalar::resolve(text, core_tag(tag.as_deref()).as_deref(), *style == ScalarStyle::Plain) {
            Ok(Scalar::Text(key)) => Ok(key),
            _ => Err(refusal()),
        }
    }
}

/// Returns the short name of a tag; the tag `!` says nothing, and other tags only that the value is text.
fn core_tag(tag: Option<&Tag>) -> Option<Cow<'_, str>> {
    let tag = tag?;
    match tag.suffix_in_namespace("tag:yaml.org,2002:") {
        Some(suffix) => Some(suffix),
        None if tag.original() == "!" => None,
        None => Some(Cow::Borrowed("other")),
    }
}

fn range(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or(0..0)
}

fn size(item: &Item) -> usize {
    1 + match &item.data {
        Data::List(items) => items.iter().map(size).sum(),
        Data::Map(fields) => fields.iter().map(|it| 1 + size(&it.item)).sum(),
        _ => 0,
    }
}

fn mark_copy(item: &mut Item, span: &Range<usize>) {
    item.is_copy = true;
    item.span = span.clone();
    match &mut item.data {
        Data::List(items) => items.iter_mut().for_each(|it| mark_copy(it, span)),
        Data::Map(fields) => fields.iter_mut().for_each(|it| mark_copy(&mut it.item, span)),
        _ => {}
    }
}
