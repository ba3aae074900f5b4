//! YAML that 1.2 and 1.1 readers agree on: block style, and quotes wherever either could see more than text.

use super::super::scalar::{Resolved, resolve};
use super::super::{Entry, Map, Node, Value};
use super::{float, refuse};
use crate::finding::Finding;

/// YAML readers look for the `:` of a key no further than 1024 characters.
const MAX_KEY: usize = 1000;

/// Words that YAML 1.1 reads as booleans or null, in lower case.
const WORDS_1_1: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

pub(super) fn emit(node: &Node) -> Result<String, Finding> {
    let mut writer = Writer::new(2, true);
    match &node.value {
        Value::Map(map) if !map.is_empty() => writer.entries(map, 0, false)?,
        Value::List(items) if !items.is_empty() => writer.items(items, 0, false)?,
        _ => {
            writer.value(node, 2)?;
            return Ok(writer.out.split_off(1));
        }
    }
    Ok(writer.out)
}

/// Writes block style.
pub(in crate::document) struct Writer {
    pub(in crate::document) out: String,
    /// How much deeper the keys of a map stand than the key of the map.
    step: usize,
    /// Whether text of several lines stands as it is; otherwise it is quoted.
    has_literals: bool,
}

impl Writer {
    pub(in crate::document) fn new(step: usize, has_literals: bool) -> Self {
        Writer { out: String::new(), step, has_literals }
    }

    /// Writes what follows `key:` or `-`, to the end of the line or block.
    pub(in crate::document) fn value(&mut self, node: &Node, indent: usize) -> Result<(), Finding> {
        match &node.value {
            Value::Map(map) if !map.is_empty() => {
                self.out.push('\n');
                return self.entries(map, indent, false);
            }
            Value::List(list) if !list.is_empty() => {
                self.out.push('\n');
                return self.items(list, indent, false);
            }
            Value::String(text) if self.has_literals && is_literal(text) => {
                literal(&mut self.out, text, indent);
                return Ok(());
            }
            _ => {}
        }
        self.out.push(' ');
        match &node.value {
            Value::String(text) => self.out.push_str(&scalar(text)),
            Value::List(_) => self.out.push_str("[]"),
            Value::Map(_) => self.out.push_str("{}"),
            value => self.out.push_str(&word(value)),
        }
        self.out.push('\n');
        Ok(())
    }

    /// Writes the entries of a map; the first one without indentation, when its line `is_begun`.
    pub(in crate::document) fn entries(&mut self, map: &Map, indent: usize, mut is_begun: bool) -> Result<(), Finding> {
        for entry in map.iter() {
            let key = key(entry)?;
            if !std::mem::take(&mut is_begun) {
                self.out.extend(std::iter::repeat_n(' ', indent));
            }
            self.out.push_str(&key);
            self.out.push(':');
            self.value(&entry.node, indent + self.step)?;
        }
        Ok(())
    }

    /// Writes the elements of a list; the first one without indentation, when its line `is_begun`.
    pub(in crate::document) fn items(
        &mut self,
        list: &[Node],
        indent: usize,
        mut is_begun: bool,
    ) -> Result<(), Finding> {
        for item in list {
            if !std::mem::take(&mut is_begun) {
                self.out.extend(std::iter::repeat_n(' ', indent));
            }
            self.out.push('-');
            match &item.value {
                Value::Map(map) if !map.is_empty() => {
                    self.out.push(' ');
                    self.entries(map, indent + 2, true)?;
                }
                Value::List(list) if !list.is_empty() => {
                    self.out.push(' ');
                    self.items(list, indent + 2, true)?;
                }
                _ => self.value(item, indent + 2)?,
            }
        }
        Ok(())
    }
}

/// Returns the text of a key on one line.
pub(in crate::document) fn key(entry: &Entry) -> Result<String, Finding> {
    let key = scalar(&entry.key);
    match key.chars().count() > MAX_KEY {
        true => Err(refuse(&entry.node, format!("YAML cannot hold a key of more than {MAX_KEY} characters"))),
        false => Ok(key),
    }
}

/// Returns a value that is neither text nor a collection.
pub(in crate::document) fn word(value: &Value) -> String {
    match value {
        Value::Bool(it) => it.to_string(),
        Value::Int(it) => it.to_string(),
        Value::Float(it) => float(*it),
        _ => "null".into(),
    }
}

/// Returns whether text of several lines can stand as it is, below a `|`.
pub(in crate::document) fn is_literal(text: &str) -> bool {
    let is_plain_line = |it: &str| it.is_empty() || !it.trim().is_empty() && !it.starts_with('\t');
    text.contains('\n')
        && !text.starts_with([' ', '\t', '\n'])
        && text.chars().all(|it| it == '\n' || it == '\t' || is_printable(it))
        && text.split('\n').all(is_plain_line)
}

fn literal(out: &mut String, text: &str, indent: usize) {
    let (header, body) = match text.strip_suffix('\n') {
        None => (" |-\n", text),
        Some(body) if body.ends_with('\n') => (" |+\n", body),
        Some(body) => (" |\n", body),
    };
    out.push_str(header);
    for line in body.split('\n') {
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(line);
        }
        out.push('\n');
    }
}

/// Returns text on one line, quoted unless every reader takes it for text as it is.
pub(in crate::document) fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

pub(in crate::document) fn is_plain(text: &str) -> bool {
    let starts_well = text.starts_with(|it: char| it.is_alphabetic() || it == '/' || it == '_');
    let mut chars = text.chars().peekable();
    let mut holds_only_safe = true;
    while let Some(it) = chars.next() {
        let next = chars.peek();
        holds_only_safe &= match it {
            ' ' | ':' => next.is_some_and(|it| it.is_alphanumeric() || *it == '/'),
            _ => it.is_alphanumeric() || "_-./+@%=,();".contains(it),
        };
    }
    let is_text = matches!(resolve(text, false), Resolved::Value(Value::String(_)));
    starts_well && holds_only_safe && is_text && !WORDS_1_1.contains(&text.to_ascii_lowercase().as_str())
}

pub(in crate::document) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for it in text.chars() {
        match it {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if is_printable(it) => out.push(it),
            _ => match u32::from(it) {
                code @ ..=0xff => out.push_str(&format!("\\x{code:02X}")),
                code @ ..=0xffff => out.push_str(&format!("\\u{code:04X}")),
                code => out.push_str(&format!("\\U{code:08X}")),
            },
        }
    }
    out.push('"');
    out
}

/// Returns whether every reader lets a character stand unescaped and on its line.
pub(in crate::document) fn is_printable(it: char) -> bool {
    matches!(it, ' '..='~' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
        && !matches!(it, '\u{2028}' | '\u{2029}' | '\u{feff}')
}
