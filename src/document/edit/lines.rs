//! INI and dotenv: a value a line.

use super::Change;
use super::text::{Edit, line_end, line_stop, newline};
use crate::document::emit::lines::ini_line;
use crate::document::source::{Line, Source};
use crate::document::{Entry, Format, Limits, Node, Value, emit, env, ini};
use crate::finding::{Code, Finding, Findings};
use std::ops::Range;

/// Returns the text that a value is in a format without types.
pub(super) fn held(node: &Node, format: Format) -> Result<Node, Finding> {
    let text = match &node.value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => emit::yaml::word(&node.value),
        _ => {
            let name = if format == Format::Env { "dotenv" } else { "INI" };
            let message = format!("{name} cannot hold {}", node.type_name());
            return Err(Finding::error(Code::FORMAT, message).at(&node.place));
        }
    };
    Ok(Node::new(Value::String(text), node.place.clone()))
}

fn source<'a>(change: &Change<'a>) -> Result<Source<'a>, Finding> {
    let source = Source::new(change.file, change.text.as_bytes(), &Limits::default(), &mut Findings::new());
    source.ok_or_else(|| change.refusal())
}

/// Returns what has to be written for a value of a dotenv file.
pub(super) fn env(change: &Change<'_>) -> Result<Vec<Edit>, Finding> {
    let [key] = change.path else { return Err(too_long(change, "a dotenv file has no maps")) };
    let source = source(change)?;
    let mut old = None;
    env::scan(&source, &Limits::default(), &mut Findings::new(), |name, _, _, span| {
        old = old.take().or_else(|| (name.text == key).then_some(span));
    });
    let line = emit(&super::nested(change.path, change.value), Format::Env).map_err(|it| it.at(&change.place()))?;
    let written = line.strip_prefix(&format!("{key}=")).unwrap_or(&line).trim_end_matches('\n');
    let Some(span) = old else { return Ok(at_end(change, line.trim_end_matches('\n'), "")) };
    let quote = change.text[span.clone()].chars().next().filter(|it| matches!(it, '"' | '\''));
    let new = match quote {
        Some(quote) if !written.starts_with(['"', '\'']) => format!("{quote}{written}{quote}"),
        _ => written.to_owned(),
    };
    Ok(vec![(span, new)])
}

/// Returns what has to be written for a value of an INI file.
pub(super) fn ini(change: &Change<'_>) -> Result<Vec<Edit>, Finding> {
    let (section, key) = match change.path {
        [key] => (None, key),
        [section, key] => (Some(section), key),
        _ => return Err(too_long(change, "an INI file has sections and keys, and nothing below them")),
    };
    let entry = Entry { key: key.clone(), place: change.place(), node: change.value.clone() };
    let line = ini_line(&entry).map_err(|it| it.at(&change.place()))?;
    let value = change.value.as_str().unwrap_or_default();
    let body = body(change, section, key)?;
    let text = change.text;
    if let Some((delimiter, old)) = body.old {
        let is_spaced = text[..delimiter].ends_with([' ', '\t']);
        let blank = if old.is_empty() && is_spaced && old.start == delimiter + 1 { " " } else { "" };
        return Ok(vec![(old, format!("{blank}{value}"))]);
    }
    let line = match body.equals {
        Some(equals) if !value.is_empty() => format!("{key}{equals}{value}"),
        _ => line.trim_end_matches('\n').to_owned(),
    };
    match (body.end, section) {
        (Some(end), _) => Ok(vec![match text[..end].ends_with('\n') {
            true => (end..end, format!("{line}{}", newline(text))),
            false => (end..end, format!("{}{line}", newline(text))),
        }]),
        (None, Some(section)) => Ok(at_end(change, &line, &format!("[{section}]"))),
        (None, None) => Ok(vec![(0..0, format!("{line}{}", newline(text)))]),
    }
}

/// Where the keys of a section stand.
#[derive(Default)]
struct Body {
    /// The delimiter and the value of the key that is looked for.
    old: Option<(usize, Range<usize>)>,
    /// The end of the last line of the section.
    end: Option<usize>,
    /// What stands between the last key and its value.
    equals: Option<String>,
}

fn body(change: &Change<'_>, section: Option<&String>, key: &str) -> Result<Body, Finding> {
    let source = source(change)?;
    let (mut body, mut is_inside, mut findings) = (Body::default(), section.is_none(), Findings::new());
    for line in source.lines().map(Line::trim) {
        if line.text.is_empty() || line.text.starts_with(['#', ';']) {
            continue;
        }
        if line.text.starts_with('[') {
            let name = ini::section_name(line, &source, &mut findings);
            is_inside = section.is_some_and(|it| name.is_some_and(|name| name.text == it));
        }
        if !is_inside {
            continue;
        }
        body.end = Some(line_end(change.text, line.offset));
        if line.text.starts_with('[') {
            continue;
        }
        let Some((name, value)) = ini::key_and_value(line, &source, &mut findings) else { continue };
        let name_end = name.offset + name.text.len();
        let delimiter = name_end + change.text[name_end..].find(['=', ':']).unwrap_or(0);
        if name.text == key {
            let at = if value.text.is_empty() { delimiter + 1 } else { value.offset };
            body.old = Some((delimiter, at..at + value.text.len()));
        }
        if !value.text.is_empty() {
            body.equals = Some(change.text[name_end..value.offset].to_owned());
        }
    }
    Ok(body)
}

fn too_long(change: &Change<'_>, why: &str) -> Finding {
    Finding::error(Code::FORMAT, format!("the file cannot hold the key: {why}")).at(&change.place())
}

/// Adds a line at the end of the text, below a header and a blank line when there is a header.
fn at_end(change: &Change<'_>, line: &str, header: &str) -> Vec<Edit> {
    let text = change.text;
    let (newline, end) = (newline(text), text.len());
    let is_open = !text.is_empty() && line_stop(text, end) == end && !text.ends_with('\n');
    let header = match (header, text.is_empty()) {
        ("", _) => String::new(),
        (_, true) => format!("{header}{newline}"),
        (_, false) => format!("{newline}{header}{newline}"),
    };
    let (lead, tail) = if is_open { (newline, "") } else { ("", newline) };
    vec![(end..end, format!("{lead}{header}{line}{tail}"))]
}
