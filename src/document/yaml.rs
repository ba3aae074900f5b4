//! YAML 1.2, core schema, from events to a tree.

use super::scalar::{self, Resolved, resolve};
use super::source::Source;
use super::{Entry, Limits, Map, MergeKeys, Node, Value};
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag};
use std::collections::{HashMap, HashSet};

/// Nothing can be read after this; a finding says why.
struct Stop;

/// Builds a tree from the events of the one document in `source`.
pub(super) fn parse(source: &Source, limits: &Limits, merge_keys: MergeKeys, findings: &mut Findings) -> Option<Node> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: limits.depth + 1,
        block_nesting_limit: limits.depth + 1,
    };
    let mut builder = Builder {
        source,
        limits,
        merge_keys,
        findings,
        frames: Vec::new(),
        anchors: HashMap::new(),
        n_documents: 0,
        n_nodes: 0,
        n_alias_nodes: 0,
        n_alias_bytes: 0,
        last_end: 0,
        root: None,
    };
    for event in Parser::new_from_str_with_options(source.text, options) {
        match event {
            Ok((event, span)) => builder.event(event, span).ok()?,
            Err(error) => {
                builder.scan_error(&error);
                return None;
            }
        }
    }
    let empty = Node::new(Value::Null, Place::whole(&source.file));
    Some(builder.root.unwrap_or(empty))
}

struct Builder<'a, 'f> {
    source: &'a Source<'a>,
    limits: &'a Limits,
    merge_keys: MergeKeys,
    findings: &'f mut Findings,
    /// The collections that are open, outermost first; a stack of ours, so that depth never costs the program's.
    frames: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    n_documents: usize,
    n_nodes: usize,
    n_alias_nodes: usize,
    n_alias_bytes: usize,
    /// The byte after the last scalar or alias: where an absent value is said to be.
    last_end: usize,
    root: Option<Node>,
}

struct Frame {
    place: Place,
    anchor: usize,
    kind: FrameKind,
}

enum FrameKind {
    List(Vec<Node>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    places: HashMap<String, Place>,
    merges: Vec<(usize, Node)>,
    merge_place: Option<Place>,
    key: Option<Key>,
}

/// A key whose value has not come yet.
enum Key {
    Text(String, Place),
    Merge(Place),
    /// One that cannot be used: its value is read and dropped.
    Dropped,
}

struct Anchored {
    node: Node,
    n_nodes: usize,
    n_bytes: usize,
    height: usize,
}

impl Builder<'_, '_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let start = span.start.byte_offset().unwrap_or(0);
        let end = span.end.byte_offset().unwrap_or(start);
        match event {
            Event::DocumentStart(..) => {
                self.n_documents += 1;
                if self.n_documents > 1 {
                    return self.stop(Code::YAML_DOCS, start, "the file holds more than one document");
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                // The parser says `~` where nothing is written; such a value is said to be after what precedes it.
                let is_absent = style == ScalarStyle::Plain && start == end;
                let (text, offset) = if is_absent { ("", self.last_end) } else { (&*text, start) };
                self.last_end = self.last_end.max(end);
                self.scalar(text, style, anchor, tag.as_deref(), offset)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(FrameKind::List(Vec::new()), anchor, tag.as_deref(), "seq", start)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.open(FrameKind::Map(OpenMap::default()), anchor, tag.as_deref(), "map", start)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(id) => {
                self.last_end = end;
                self.alias(id, start)?;
            }
            Event::UnresolvedAlias(name) => {
                self.last_end = end;
                self.error(Code::REFERENCE, start, format!("no anchor `&{name}` stands above this alias"));
                let place = self.source.place(start);
                self.finish(Node::new(Value::Null, place), 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn error(&mut self, code: Code, offset: usize, message: impl Into<String>) {
        self.source.error(code, offset, message, self.findings);
    }

    fn stop(&mut self, code: Code, offset: usize, message: impl Into<String>) -> Result<(), Stop> {
        self.error(code, offset, message);
        Err(Stop)
    }

    fn scan_error(&mut self, error: &ScanError) {
        let offset = error.marker().byte_offset().unwrap_or(0);
        let surrogate = "a lone surrogate is not a character";
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => self.too_deep(offset),
            ErrorKind::MissingLowSurrogate
            | ErrorKind::InvalidLowSurrogate
            | ErrorKind::UnpairedLowSurrogate
            | ErrorKind::InvalidUnicodeEscape => self.error(Code::ENCODING, offset, surrogate),
            ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::TabInPlainScalar => self.tab(offset),
            ErrorKind::AnchorCountOverflow => self.error(Code::YAML_ALIASES, offset, "too many anchors"),
            kind => self.error(Code::SYNTAX, offset, kind.to_string()),
        }
    }

    /// The parser names where the line or the text began that the tab is in.
    fn tab(&mut self, offset: usize) {
        let line = self.source.text.get(..offset).and_then(|it| it.rfind('\n')).map_or(0, |it| it + 1);
        let tab = self.source.text[line..].find('\t').map_or(offset, |it| line + it);
        let finding = Finding::error(Code::SYNTAX, "a tab cannot indent").at(&self.source.place(tab));
        self.findings.push(finding.hint("indent with spaces"));
    }

    fn too_deep(&mut self, offset: usize) {
        self.error(Code::DEPTH, offset, format!("nested more than {} levels deep", self.limits.depth));
    }

    fn count(&mut self, offset: usize) -> Result<(), Stop> {
        self.n_nodes += 1;
        if self.n_nodes > self.limits.nodes {
            let message = format!("the file holds more than {} values", self.limits.nodes);
            return self.stop(Code::FILE_TOO_BIG, offset, message);
        }
        Ok(())
    }

    fn open(
        &mut self,
        kind: FrameKind,
        anchor: usize,
        tag: Option<&Tag>,
        expected: &str,
        offset: usize,
    ) -> Result<(), Stop> {
        if self.frames.len() >= self.limits.depth {
            self.too_deep(offset);
            return Err(Stop);
        }
        if let Some(tag) = tag.filter(|it| !it.is_yaml_core_schema_tag(expected)) {
            self.bad_tag(tag, offset);
        }
        self.count(offset)?;
        self.frames.push(Frame { place: self.source.place(offset), anchor, kind });
        Ok(())
    }

    fn bad_tag(&mut self, tag: &Tag, offset: usize) {
        let finding = Finding::error(Code::YAML_TAG, format!("the tag `{}` is not supported here", tag.original()))
            .at(&self.source.place(offset));
        self.findings.push(finding.hint("only !!str, !!int, !!float, !!bool, !!null, !!seq and !!map exist"));
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        offset: usize,
    ) -> Result<(), Stop> {
        self.count(offset)?;
        let place = self.source.place(offset);
        if self.key_is_due() {
            return self.scalar_key(text, style, anchor, tag, place, offset);
        }
        let resolved = match tag {
            Some(tag) => self.tagged(text, tag, offset),
            None if style == ScalarStyle::Plain => resolve(text, self.zeros_as_text()),
            None => Resolved::Value(Value::String(text.to_owned())),
        };
        let value = match resolved {
            Resolved::Value(value) => value,
            Resolved::BadNumber => {
                self.findings.push(scalar::refusal(text, &place));
                Value::String(text.to_owned())
            }
        };
        self.finish(Node::new(value, place), anchor)
    }

    /// Returns the value of a scalar whose type a tag names.
    fn tagged(&mut self, text: &str, tag: &Tag, offset: usize) -> Resolved {
        let verbatim = Resolved::Value(Value::String(text.to_owned()));
        if tag.is_yaml_core_schema_tag("str") || (tag.handle().is_empty() && tag.suffix() == "!") {
            return verbatim;
        }
        let resolved = resolve(text, self.zeros_as_text());
        let fits = match tag.core_suffix() {
            Some("null") => matches!(resolved, Resolved::Value(Value::Null)),
            Some("bool") => matches!(resolved, Resolved::Value(Value::Bool(_))),
            Some("int") => matches!(resolved, Resolved::Value(Value::Int(_)) | Resolved::BadNumber),
            Some("float") => {
                matches!(resolved, Resolved::Value(Value::Int(_) | Value::Float(_)) | Resolved::BadNumber)
            }
            _ => {
                self.bad_tag(tag, offset);
                return verbatim;
            }
        };
        match resolved {
            Resolved::Value(Value::Int(_)) if tag.core_suffix() == Some("float") => {
                scalar::fraction(text).map_or(Resolved::BadNumber, Resolved::Value)
            }
            resolved if fits => resolved,
            _ => {
                let message = format!("the value does not fit its tag `{}`", tag.original());
                self.error(Code::YAML_TAG, offset, message);
                verbatim
            }
        }
    }

    /// In files of our own an unquoted file mode must not pass for a text.
    fn zeros_as_text(&self) -> bool {
        self.merge_keys == MergeKeys::Apply
    }

    fn key_is_due(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { kind: FrameKind::Map(map), .. }) if map.key.is_none())
    }

    fn scalar_key(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        place: Place,
        offset: usize,
    ) -> Result<(), Stop> {
        let is_merge_tag = tag.is_some_and(|it| it.is_yaml_core_schema_tag("merge") && text == "<<");
        if let Some(tag) = tag
            && !is_merge_tag
            && !tag.is_yaml_core_schema_tag("str")
        {
            self.bad_tag(tag, offset);
        }
        if anchor != 0 {
            self.remember(anchor, &Node::new(Value::String(text.to_owned()), place.clone()), offset)?;
        }
        let key = match (text, style) {
            ("<<", ScalarStyle::Plain) if tag.is_none() || is_merge_tag => self.merge_key(place),
            ("", ScalarStyle::Plain) => {
                self.error(Code::SHAPE, offset, "a key is empty");
                Key::Dropped
            }
            _ => self.text_key(text, place),
        };
        self.set_key(key);
        Ok(())
    }

    fn set_key(&mut self, key: Key) {
        if let Some(Frame { kind: FrameKind::Map(map), .. }) = self.frames.last_mut() {
            map.key = Some(key);
        }
    }

    fn text_key(&mut self, text: &str, place: Place) -> Key {
        let Some(Frame { kind: FrameKind::Map(map), .. }) = self.frames.last_mut() else { return Key::Dropped };
        match map.places.get(text) {
            Some(first) => {
                self.findings.push(super::duplicate(text, first, &place));
                Key::Dropped
            }
            None => {
                map.places.insert(text.to_owned(), place.clone());
                Key::Text(text.to_owned(), place)
            }
        }
    }

    fn merge_key(&mut self, place: Place) -> Key {
        if self.merge_keys == MergeKeys::Refuse {
            let finding = Finding::error(Code::YAML_MERGE, "the merge key `<<` is not allowed in this file");
            self.findings.push(finding.at(&place).hint("write the keys out"));
            return Key::Dropped;
        }
        let Some(Frame { kind: FrameKind::Map(map), .. }) = self.frames.last_mut() else { return Key::Dropped };
        match &map.merge_place {
            Some(first) => {
                let finding = super::duplicate("<<", first, &place);
                self.findings.push(finding.hint("merge several maps with `<<: [*one, *two]`"));
                Key::Dropped
            }
            None => {
                map.merge_place = Some(place.clone());
                Key::Merge(place)
            }
        }
    }

    fn alias(&mut self, id: usize, offset: usize) -> Result<(), Stop> {
        let Some(anchored) = self.anchors.get(&id) else {
            return self.stop(Code::YAML_ALIASES, offset, "the alias stands inside the value that it refers to");
        };
        self.n_nodes += anchored.n_nodes;
        self.n_alias_nodes += anchored.n_nodes;
        self.n_alias_bytes += anchored.n_bytes;
        if self.frames.len() + anchored.height > self.limits.depth {
            self.too_deep(offset);
            return Err(Stop);
        }
        if self.n_nodes > self.limits.nodes
            || self.n_alias_nodes > self.limits.aliases
            || self.n_alias_bytes > self.limits.bytes
        {
            return self.stop(Code::YAML_ALIASES, offset, "aliases make the document too large");
        }
        // The copy keeps its places: a value's origin is where it was written, not where it is used.
        let node = anchored.node.clone();
        match (&node.value, self.key_is_due()) {
            (Value::String(text), true) => {
                let key = self.text_key(text, self.source.place(offset));
                self.set_key(key);
                Ok(())
            }
            _ => self.finish(node, 0),
        }
    }

    fn remember(&mut self, anchor: usize, node: &Node, offset: usize) -> Result<(), Stop> {
        if self.anchors.len() >= self.limits.aliases {
            return self.stop(Code::YAML_ALIASES, offset, format!("more than {} anchors", self.limits.aliases));
        }
        let (n_nodes, n_bytes, height) = measure(node);
        self.anchors.insert(anchor, Anchored { node: node.clone(), n_nodes, n_bytes, height });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        let value = match frame.kind {
            FrameKind::List(items) => Value::List(items),
            FrameKind::Map(map) => Value::Map(merged(map)),
        };
        self.finish(Node::new(value, frame.place), frame.anchor)
    }

    /// Hands a complete node to the collection that it belongs to.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            self.remember(anchor, &node, self.last_end)?;
        }
        let map = match self.frames.last_mut().map(|it| &mut it.kind) {
            None => {
                self.root = Some(node);
                return Ok(());
            }
            Some(FrameKind::List(items)) => {
                items.push(node);
                return Ok(());
            }
            Some(FrameKind::Map(map)) => map,
        };
        match map.key.take() {
            Some(Key::Text(key, place)) => map.entries.push(Entry { key, place, node }),
            Some(Key::Dropped) => {}
            Some(Key::Merge(place)) => {
                if is_mergeable(&node) {
                    map.merges.push((map.entries.len(), node));
                } else {
                    let finding = Finding::error(Code::SHAPE, "the merge key `<<` takes a map or a list of maps");
                    self.findings.push(finding.at(&place));
                }
            }
            None => {
                map.key = Some(Key::Dropped);
                let finding = Finding::error(Code::SHAPE, format!("a key must be text, found {}", node.type_name()));
                self.findings.push(finding.at(&node.place));
            }
        }
        Ok(())
    }
}

fn is_mergeable(node: &Node) -> bool {
    match &node.value {
        Value::Map(_) => true,
        Value::List(items) => items.iter().all(|it| it.as_map().is_some()),
        _ => false,
    }
}

/// Puts merged entries where the merge key stood; a key of the map itself wins, then the map that is named first.
fn merged(map: OpenMap) -> Map {
    if map.merges.is_empty() {
        return Map { entries: map.entries };
    }
    let mut entries = Vec::new();
    let mut seen: HashSet<String> = map.places.into_keys().collect();
    let mut merges = map.merges.into_iter().peekable();
    let n_entries = map.entries.len();
    let mut own = map.entries.into_iter();
    for idx in 0..=n_entries {
        while let Some((_, node)) = merges.next_if(|(at, _)| *at == idx) {
            let sources = match node.value {
                Value::List(items) => items,
                _ => vec![node],
            };
            let maps = sources.into_iter().filter_map(|it| match it.value {
                Value::Map(map) => Some(map),
                _ => None,
            });
            entries.extend(maps.flatten().filter(|it| seen.insert(it.key.clone())));
        }
        entries.extend(own.next());
    }
    Map { entries }
}

/// Returns the number of nodes, the bytes of text, and the height in collections of a tree.
fn measure(node: &Node) -> (usize, usize, usize) {
    let add = |total: (usize, usize, usize), (nodes, bytes, height): (usize, usize, usize)| {
        (total.0 + nodes, total.1 + bytes, total.2.max(height + 1))
    };
    match &node.value {
        Value::String(text) => (1, text.len(), 0),
        Value::List(items) => items.iter().map(measure).fold((1, 0, 1), add),
        Value::Map(map) => map.iter().fold((1, 0, 1), |total, it| {
            let (nodes, bytes, height) = measure(&it.node);
            add(total, (nodes, bytes + it.key.len(), height))
        }),
        _ => (1, 0, 0),
    }
}
