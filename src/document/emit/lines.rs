//! dotenv and INI.

use super::super::{Entry, Map, Node, Value};
use super::{float, refuse};
use crate::finding::Finding;
use std::collections::HashSet;

/// Writes `KEY=value` lines that shells, systemd's `EnvironmentFile=` and the dotenv libraries read alike.
pub(super) fn env(node: &Node) -> Result<String, Finding> {
    let mut writer = EnvWriter::default();
    writer.map(top(node, "a dotenv file")?, "")?;
    Ok(writer.out)
}

#[derive(Default)]
struct EnvWriter {
    out: String,
    keys: HashSet<String>,
}

impl EnvWriter {
    fn map(&mut self, map: &Map, prefix: &str) -> Result<(), Finding> {
        for entry in map.iter() {
            let key = format!("{prefix}{}", entry.key);
            match &entry.node.value {
                Value::Map(map) if map.is_empty() => {
                    return Err(refuse(&entry.node, "dotenv cannot hold an empty map"));
                }
                Value::Map(map) => self.map(map, &format!("{key}__"))?,
                _ => self.line(entry, key)?,
            }
        }
        Ok(())
    }

    fn line(&mut self, entry: &Entry, key: String) -> Result<(), Finding> {
        let text = text(&entry.node, "dotenv")?;
        let is_name = key.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
        if !is_name || key.is_empty() || key.starts_with(|it: char| it.is_ascii_digit()) {
            let message = format!("`{}` is not a name that dotenv can hold", key.escape_debug());
            return Err(refuse(&entry.node, message).hint("use letters, digits and `_`"));
        }
        if text.chars().any(|it| it.is_control() && it != '\n' && it != '\t') {
            return Err(refuse(&entry.node, format!("dotenv cannot hold the control characters in `{key}`")));
        }
        self.out.push_str(&format!("{key}={}\n", env_value(&text)));
        match self.keys.insert(key.clone()) {
            true => Ok(()),
            false => Err(refuse(&entry.node, format!("two values would be written as `{key}`"))),
        }
    }
}

fn env_value(text: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "_./:@%+,=-".contains(it);
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    // Between single quotes a backslash is itself, except that some libraries see escapes in these two.
    if !text.contains('\'') && !text.contains("\\\\") && !text.ends_with('\\') {
        return format!("'{text}'");
    }
    let mut out = String::from("\"");
    for it in text.chars() {
        if matches!(it, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(it);
    }
    out.push('"');
    out
}

/// Writes sections of `key = value` lines; values of the document itself stand above the first section.
pub(super) fn ini(node: &Node) -> Result<String, Finding> {
    let map = top(node, "an INI file")?;
    let is_section = |it: &&Entry| it.node.as_map().is_some();
    let mut out = String::new();
    for entry in map.iter().filter(|it| !is_section(it)) {
        out.push_str(&ini_line(entry)?);
    }
    for entry in map.iter().filter(is_section) {
        if !out.is_empty() {
            out.push('\n');
        }
        if !is_ini_name(&entry.key) || entry.key.contains(']') {
            let message = format!("`{}` is not a section name that INI can hold", entry.key.escape_debug());
            return Err(refuse(&entry.node, message));
        }
        out.push_str(&format!("[{}]\n", entry.key));
        for entry in entry.node.as_map().into_iter().flat_map(Map::iter) {
            out.push_str(&ini_line(entry)?);
        }
    }
    Ok(out)
}

/// Returns a line that holds a key and its text.
pub(in crate::document) fn ini_line(entry: &Entry) -> Result<String, Finding> {
    let text = text(&entry.node, "INI")?;
    if !is_ini_name(&entry.key) || entry.key.starts_with('[') || entry.key.contains(['=', ':']) {
        return Err(refuse(&entry.node, format!("`{}` is not a key that INI can hold", entry.key.escape_debug())));
    }
    // Readers disagree about escapes, quotes and comments after values, so nothing that needs them is written.
    let problem = if text.chars().any(|it| it.is_control() && it != '\t') {
        Some("line breaks or control characters")
    } else if text.trim() != text {
        Some("blanks at its ends")
    } else if text.starts_with(['#', ';']) || has_comment(&text) {
        Some("what some readers take for a comment")
    } else {
        None
    };
    match problem {
        Some(problem) => {
            let message = format!("INI cannot hold the value of `{}`: it has {problem}", entry.key);
            Err(refuse(&entry.node, message).hint("write the file with a template"))
        }
        None if text.is_empty() => Ok(format!("{} =\n", entry.key)),
        None => Ok(format!("{} = {text}\n", entry.key)),
    }
}

/// Returns whether some readers see a comment behind a blank, whichever blank of Unicode it is.
fn has_comment(text: &str) -> bool {
    let is_mark = |(idx, _): (usize, &str)| text[..idx].ends_with(char::is_whitespace);
    text.match_indices(['#', ';']).any(is_mark)
}

fn is_ini_name(name: &str) -> bool {
    !name.is_empty()
        && !has_comment(name)
        && name.trim() == name
        && !name.starts_with(['#', ';', '\u{feff}'])
        && !name.chars().any(char::is_control)
}

fn top<'a>(node: &'a Node, what: &str) -> Result<&'a Map, Finding> {
    node.as_map().ok_or_else(|| refuse(node, format!("{what} must be a map, found {}", node.type_name())))
}

fn text(node: &Node, format: &str) -> Result<String, Finding> {
    match &node.value {
        Value::Bool(it) => Ok(it.to_string()),
        Value::Int(it) => Ok(it.to_string()),
        Value::Float(it) => Ok(float(*it)),
        Value::String(it) => Ok(it.clone()),
        _ => Err(refuse(node, format!("{format} cannot hold {} here", node.type_name()))),
    }
}
