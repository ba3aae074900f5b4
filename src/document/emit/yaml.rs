//! YAML that 1.2 and 1.1 readers agree on: block style, and quotes wherever either could see more than text.

use super::super::scalar::{Resolved, resolve};
use super::super::{Map, Node, Value};
use super::{float, refuse};
use crate::finding::Finding;

/// YAML readers look for the `:` of a key no further than 1024 characters.
const MAX_KEY: usize = 1000;

/// Words that YAML 1.1 reads as booleans or null, in lower case.
const WORDS_1_1: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

pub(super) fn emit(node: &Node) -> Result<String, Finding> {
    let mut out = String::new();
    match &node.value {
        Value::Map(map) if !map.is_empty() => entries(&mut out, map, 0, false)?,
        Value::List(items) if !items.is_empty() => self::items(&mut out, items, 0, false)?,
        _ => {
            value(&mut out, node, 2)?;
            out = out.split_off(1);
        }
    }
    Ok(out)
}

/// Writes what follows `key:` or `-`, to the end of the line or block.
fn value(out: &mut String, node: &Node, indent: usize) -> Result<(), Finding> {
    match &node.value {
        Value::Map(map) if !map.is_empty() => {
            out.push('\n');
            return entries(out, map, indent, false);
        }
        Value::List(list) if !list.is_empty() => {
            out.push('\n');
            return items(out, list, indent, false);
        }
        Value::String(text) if is_literal(text) => {
            literal(out, text, indent);
            return Ok(());
        }
        _ => {}
    }
    out.push(' ');
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(it) => out.push_str(if *it { "true" } else { "false" }),
        Value::Int(it) => out.push_str(&it.to_string()),
        Value::Float(it) => out.push_str(&float(*it)),
        Value::String(text) => out.push_str(&scalar(text)),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
    }
    out.push('\n');
    Ok(())
}

fn entries(out: &mut String, map: &Map, indent: usize, mut is_begun: bool) -> Result<(), Finding> {
    for entry in map.iter() {
        let key = scalar(&entry.key);
        if key.chars().count() > MAX_KEY {
            return Err(refuse(&entry.node, format!("YAML cannot hold a key of more than {MAX_KEY} characters")));
        }
        if !std::mem::take(&mut is_begun) {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str(&key);
        out.push(':');
        value(out, &entry.node, indent + 2)?;
    }
    Ok(())
}

fn items(out: &mut String, list: &[Node], indent: usize, mut is_begun: bool) -> Result<(), Finding> {
    for item in list {
        if !std::mem::take(&mut is_begun) {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push('-');
        match &item.value {
            Value::Map(map) if !map.is_empty() => {
                out.push(' ');
                entries(out, map, indent + 2, true)?;
            }
            Value::List(list) if !list.is_empty() => {
                out.push(' ');
                items(out, list, indent + 2, true)?;
            }
            _ => value(out, item, indent + 2)?,
        }
    }
    Ok(())
}

/// Returns whether text of several lines can stand as it is, below a `|`.
fn is_literal(text: &str) -> bool {
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
fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

fn is_plain(text: &str) -> bool {
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

fn quoted(text: &str) -> String {
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
fn is_printable(it: char) -> bool {
    matches!(it, ' '..='~' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
        && !matches!(it, '\u{2028}' | '\u{2029}' | '\u{feff}')
}
