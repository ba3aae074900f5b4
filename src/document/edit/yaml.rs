//! YAML: in block style a value has lines of its own, and what follows it is known by its column.

use super::bracket::Look;
use super::flow::{self, Dialect};
use super::layout::{Content, Field, Layout, Spot, Style, outline, yaml};
use super::text::{Edit, after_colon, dash, line_end, line_start, line_stop, newline, replace_block};
use super::{Change, nested};
use crate::document::emit::yaml::{Writer, is_literal, quoted};
use crate::document::{Limits, Node, Value};
use crate::finding::{Code, Finding};
use crate::place::Place;

/// Returns the edits that change a value; with `is_safe`, text is written in double quotes.
pub(super) fn edits(change: &Change<'_>, is_safe: bool) -> Result<Vec<Edit>, Finding> {
    let layout = read(change.text).ok_or_else(|| change.refusal())?;
    Editor { change, layout: &layout, is_safe }.edits()
}

/// Returns whether a text says the same as the old one everywhere but at the path.
pub(super) fn holds(change: &Change<'_>, changed: &str) -> bool {
    let (Some(old), Some(new)) = (read(change.text), read(changed)) else { return false };
    let path = &change.path[..n_kept(&old.root, change.path)];
    outline(&old.root, path) == outline(&new.root, path)
}

fn read(text: &str) -> Option<Layout> {
    yaml(text, Limits::default().depth)
}

/// Returns how many steps of the path lead to what is replaced or added.
fn n_kept(root: &Spot, path: &[String]) -> usize {
    let mut spot = root;
    for (depth, step) in path.iter().enumerate() {
        spot = match (&spot.content, below(spot, step)) {
            (_, Some((_, next))) => next,
            (Content::Map(_) | Content::List(_), None) => return depth + 1,
            _ => return depth,
        };
    }
    path.len()
}

/// Returns what stands at a key, with the field, or at a position.
fn below<'s>(spot: &'s Spot, step: &str) -> Option<(Option<&'s Field>, &'s Spot)> {
    match &spot.content {
        Content::Map(fields) => fields.iter().find(|it| it.key == step).map(|it| (Some(it), &it.spot)),
        Content::List(items) => Some((None, items.get(step.parse::<usize>().ok()?)?)),
        _ => None,
    }
}

struct Editor<'a> {
    change: &'a Change<'a>,
    layout: &'a Layout,
    is_safe: bool,
}

impl Editor<'_> {
    fn edits(&self) -> Result<Vec<Edit>, Finding> {
        let path = self.change.path;
        let (mut field, mut spot) = (None, &self.layout.root);
        for (depth, step) in path.iter().enumerate() {
            if let Some(next) = below(spot, step) {
                (field, spot) = next;
                continue;
            }
            let rest = &path[depth..];
            return match &spot.content {
                Content::Map(fields) if spot.in_flow => {
                    Ok(flow::add_field(self.change, spot, fields, rest, Dialect::Yaml))
                }
                Content::Map(fields) => self.add_field(spot, fields, rest),
                Content::List(items) if *step != items.len().to_string() => Err(self.change.beyond(items.len(), step)),
                Content::List(items) if spot.in_flow => {
                    Ok(flow::add_item(self.change, spot, items, &rest[1..], Dialect::Yaml))
                }
                Content::List(_) => self.add_item(spot, field, &rest[1..]),
                _ => self.replace(spot, field, &nested(rest, self.change.value)),
            };
        }
        self.replace(spot, field, self.change.value)
    }

    fn text(&self) -> &str {
        self.change.text
    }

    fn refuse<T>(&self) -> Result<T, Finding> {
        Err(self.change.refusal())
    }

    /// Returns the finding for a path that leads through an alias.
    fn alias(&self, spot: &Spot) -> Finding {
        let name = &self.text()[spot.span.clone()];
        let message = format!("the value is written elsewhere, through the alias `{name}`");
        let anchor = name.replacen('*', "&", 1);
        let is_whole = |it: &usize| !self.text()[it + anchor.len()..].starts_with(|it: char| it.is_alphanumeric());
        let anchored = self.text().match_indices(&anchor).map(|(at, _)| at).find(is_whole);
        let hint = match anchored.map(|it| self.text()[..it].matches('\n').count() + 1) {
            Some(line) => format!("change it at its anchor on line {line}, or write it out here first"),
            None => "write it out here first".to_owned(),
        };
        let before = &self.text()[..spot.span.start];
        let column = before[line_start(before, before.len())..].chars().count() + 1;
        let number = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
        let place = Place::new(self.change.file, number(before.matches('\n').count() + 1), number(column));
        Finding::error(Code::ALIAS, message).at(&place).hint(hint)
    }

    /// Puts a value in the place of another one.
    fn replace(&self, spot: &Spot, field: Option<&Field>, node: &Node) -> Result<Vec<Edit>, Finding> {
        match &spot.content {
            Content::Alias(_) => Err(self.alias(spot)),
            Content::Scalar(Style::Absent, _) => self.fill(spot, field, node),
            Content::Scalar(Style::Block, _) => Ok(self.replace_block(spot, node)),
            Content::Scalar(style, _) => Ok(vec![(spot.span.clone(), self.on_line(node, *style, spot.in_flow))]),
            _ if spot.in_flow => Ok(vec![(spot.span.clone(), flow::value(node, Dialect::Yaml))]),
            _ => self.replace_lines(spot, field, node),
        }
    }

    /// Returns a value on one line.
    fn on_line(&self, node: &Node, style: Style, in_flow: bool) -> String {
        match &node.value {
            Value::String(text) if self.is_safe => quoted(text),
            Value::String(text) => flow::text(text, style, in_flow),
            _ if self.is_safe => Look { text: &quoted, key: &quoted, equals: ": " }.value(node),
            _ => flow::value(node, Dialect::Yaml),
        }
    }

    /// Writes a value where none is written.
    fn fill(&self, spot: &Spot, field: Option<&Field>, node: &Node) -> Result<Vec<Edit>, Finding> {
        let Some(field) = field else {
            let dash = spot.span.start;
            if !self.text()[..dash].ends_with('-') {
                return if self.layout.root.span == spot.span { self.begin(node) } else { self.refuse() };
            }
            let at = if spot.properties.is_empty() { dash } else { self.code_end(dash) };
            return Ok(vec![(at..at, format!(" {}", self.on_line(node, Style::Plain, spot.in_flow)))]);
        };
        let Some(colon) = after_colon(self.text(), field.span.end) else { return self.refuse() };
        if !spot.in_flow && is_tall(node) {
            let stop = line_stop(self.text(), colon);
            return Ok(vec![(stop..stop, self.lines_below(node, self.column(field.span.start) + self.step())?)]);
        }
        let line = self.on_line(node, Style::Plain, spot.in_flow);
        let rest = &self.text()[colon..];
        match (spot.properties.is_empty(), spot.in_flow) {
            // One blank may stand there already.
            (true, _) if rest.starts_with(' ') && !rest.starts_with(" #") => Ok(vec![(colon + 1..colon + 1, line)]),
            (true, _) => Ok(vec![(colon..colon, format!(" {line}"))]),
            (false, false) => {
                let at = self.code_end(colon);
                Ok(vec![(at..at, format!(" {line}"))])
            }
            (false, true) => self.refuse(),
        }
    }

    /// Begins a document that holds nothing yet.
    fn begin(&self, node: &Node) -> Result<Vec<Edit>, Finding> {
        let lines = self.lines_below(node, 0)?;
        let newline = newline(self.text());
        let lines = format!("{}{newline}", lines.strip_prefix(newline).unwrap_or(&lines));
        let end = self.text().len();
        let lead = if self.text().is_empty() || self.text().ends_with('\n') { "" } else { newline };
        Ok(vec![(end..end, format!("{lead}{lines}"))])
    }

    /// Puts a value in the place of a block scalar; text of several lines is one again.
    fn replace_block(&self, spot: &Spot, node: &Node) -> Vec<Edit> {
        let remarks = &self.layout.remarks;
        let body = self.text()[spot.span.clone()].trim_end();
        let lines = match &node.value {
            Value::String(text) if !self.is_safe && is_literal(text) && !text.ends_with("\n\n") => Some(text),
            _ => None,
        };
        let Some(lines) = lines.filter(|_| !body.is_empty()) else {
            let line = self.on_line(node, Style::Plain, false);
            return replace_block(self.text(), &spot.span, remarks, line, String::new());
        };
        let first = spot.span.start + body.len() - body.trim_start().len();
        let indent = " ".repeat(self.column(first));
        let newline = newline(self.text());
        let header = if lines.ends_with('\n') { "|" } else { "|-" };
        let line = |it: &str| if it.is_empty() { newline.to_owned() } else { format!("{newline}{indent}{it}") };
        let body: String = lines.strip_suffix('\n').unwrap_or(lines).split('\n').map(line).collect();
        replace_block(self.text(), &spot.span, remarks, header.to_owned(), body)
    }

    /// Puts a value in the place of a collection that has lines of its own.
    fn replace_lines(&self, spot: &Spot, field: Option<&Field>, node: &Node) -> Result<Vec<Edit>, Finding> {
        let text = self.text();
        let end = spot.end(text, spot.span.start);
        let colon = field.and_then(|it| after_colon(text, it.span.end));
        let colon = colon.filter(|it| line_end(text, *it) <= spot.span.start);
        let Some(colon) = colon else {
            return Ok(vec![(self.list_start(spot)..end, self.on_line(node, Style::Plain, false))]);
        };
        let (stop, end) = (line_stop(text, colon), line_stop(text, end));
        if is_tall(node) {
            let column = self.column(self.list_start(spot));
            return Ok(vec![(stop..end, self.lines_below(node, column)?)]);
        }
        let at = self.code_end(colon);
        let value = (at..at, format!(" {}", self.on_line(node, Style::Plain, false)));
        Ok(vec![value, (stop..end, String::new())])
    }

    /// Below text that ends in empty lines, those that stand there already would become a part of it.
    fn writer(&self) -> Writer {
        Writer::new(self.step(), !self.is_safe)
    }

    fn add_field(&self, map: &Spot, fields: &[Field], rest: &[String]) -> Result<Vec<Edit>, Finding> {
        let Some(first) = fields.first() else { return self.refuse() };
        let column = self.column(first.span.start);
        let mut writer = self.writer();
        if let Value::Map(map) = &nested(rest, self.change.value).value {
            writer.entries(map, column, false)?;
        }
        Ok(self.add_lines(map, writer.out, Some(column).filter(|it| *it > 0)))
    }

    fn add_item(&self, list: &Spot, field: Option<&Field>, below: &[String]) -> Result<Vec<Edit>, Finding> {
        let column = self.column(self.list_start(list));
        let mut writer = self.writer();
        writer.items(&[nested(below, self.change.value)], column, false)?;
        // A comment in the column of the key belongs to the next key.
        let is_deeper = field.is_some_and(|it| self.column(it.span.start) < column);
        Ok(self.add_lines(list, writer.out, Some(column).filter(|_| is_deeper)))
    }

    /// Adds lines behind a collection, and behind the comments that follow it in its column or deeper.
    fn add_lines(&self, holder: &Spot, lines: String, column: Option<usize>) -> Vec<Edit> {
        let text = self.text();
        let newline = newline(text);
        let mut at = self.lines_end(holder);
        while let Some(column) = column {
            let line = &text[at..line_end(text, at)];
            let blanks = line.len() - line.trim_start_matches(' ').len();
            if blanks < column || !line[blanks..].starts_with('#') {
                break;
            }
            at += line.len();
        }
        let lines = lines.replace('\n', newline);
        match text[..at].ends_with('\n') {
            true => vec![(at..at, lines)],
            false => vec![(at..at, format!("{newline}{}", lines.strip_suffix(newline).unwrap_or(&lines)))],
        }
    }

    /// Returns where the lines of a collection end; the empty ones that a block scalar keeps are among them.
    fn lines_end(&self, holder: &Spot) -> usize {
        let (text, mut last) = (self.text(), holder);
        while let Some(next) = match &last.content {
            Content::Map(fields) if !last.in_flow => fields.last().map(|it| &it.spot),
            Content::List(items) if !last.in_flow => items.last(),
            _ => None,
        } {
            last = next;
        }
        match &last.content {
            Content::Scalar(Style::Block, it) if it.ends_with("\n\n") || it == "\n" => {
                let end = last.span.end;
                if end == text.len() { end } else { line_start(text, end) }
            }
            _ => line_end(text, holder.end(text, holder.span.start)),
        }
    }

    /// Returns lines below a key, each with a line end before it.
    fn lines_below(&self, node: &Node, column: usize) -> Result<String, Finding> {
        let mut writer = self.writer();
        writer.value(node, column)?;
        let lines = writer.out.strip_suffix('\n').unwrap_or(&writer.out);
        Ok(lines.replace('\n', newline(self.text())))
    }

    /// Returns the end of what stands on the line of a byte, without a comment.
    fn code_end(&self, offset: usize) -> usize {
        let stop = line_stop(self.text(), offset);
        let remarks = &self.layout.remarks;
        let remark = remarks.get(remarks.partition_point(|it| *it < offset)).copied();
        let end = remark.filter(|it| *it < stop).unwrap_or(stop);
        offset + self.text()[offset..end].trim_end().len()
    }

    /// Returns the column, from 0, of a byte.
    fn column(&self, offset: usize) -> usize {
        self.text()[line_start(self.text(), offset)..offset].chars().count()
    }

    /// Returns the first byte of a collection: of a block list the `-`, which the parser passes over behind an anchor.
    fn list_start(&self, spot: &Spot) -> usize {
        let start = spot.span.start;
        match &spot.content {
            Content::List(_) if !self.text()[start..].starts_with('-') => dash(self.text(), start).unwrap_or(start),
            _ => start,
        }
    }

    /// Returns how much deeper the keys of a map stand than its own key: as in the first map that shows it, else 2.
    fn step(&self) -> usize {
        self.first_step(&self.layout.root).unwrap_or(2)
    }

    fn first_step(&self, spot: &Spot) -> Option<usize> {
        let step = |it: &Field| match &it.spot.content {
            Content::Map(below) if !it.spot.in_flow => {
                self.column(below.first()?.span.start).checked_sub(self.column(it.span.start)).filter(|it| *it > 0)
            }
            _ => None,
        };
        match &spot.content {
            Content::Map(fields) => fields.iter().find_map(|it| step(it).or_else(|| self.first_step(&it.spot))),
            Content::List(items) => items.iter().find_map(|it| self.first_step(it)),
            _ => None,
        }
    }
}

/// Returns whether a value stands on lines of its own.
fn is_tall(node: &Node) -> bool {
    match &node.value {
        Value::Map(map) => !map.is_empty(),
        Value::List(items) => !items.is_empty(),
        _ => false,
    }
}
