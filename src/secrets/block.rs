//! The `sops` block of a file that is encrypted for the first time.

use super::read::{Source, Store};
use super::rules::Rule;
use super::tree::{Data, Item, Scalar};
use super::write;
use crate::document::edit::{self, Edit};
use serde_json::json;
use std::fmt::Write;

/// The version of SOPS whose files are written; older ones, and those that name none, sops itself refuses.
const VERSION: &str = "3.11.0";

/// What stands in the block.
pub(super) struct Block<'a> {
    /// Recipients, each with the armored age file that holds the key.
    pub keys: Vec<(String, String)>,
    pub last_modified: &'a str,
    /// The encrypted MAC.
    pub mac: String,
    pub rule: &'a Rule,
}

impl Block<'_> {
    /// Returns the edit that puts the block behind the last key of a document.
    pub fn append(&self, source: &Source<'_>, document: &Item) -> Edit {
        if !document.in_flow {
            return self.append_lines(source, document);
        }
        let fields = match &document.data {
            Data::Map(fields) => fields.as_slice(),
            _ => &[],
        };
        let (Some(first), Some(last)) = (fields.first(), fields.last()) else {
            let at = document.span.start + 1;
            return (at..at, format!("\"sops\": {}", self.json()));
        };
        // A comma directly behind the colon of an absent value would be part of the key for go-yaml.
        let (at, space) = match last.item.span.is_empty() {
            true => (edit::after_colon(source.text, last.span.end).unwrap_or(last.span.end), " "),
            false => (last.item.span.end, ""),
        };
        let before = source.text.get(document.span.start + 1..first.span.start).unwrap_or_default();
        let text = match before.rsplit_once('\n') {
            Some((line, indent)) if indent.trim().is_empty() => {
                let newline = if line.ends_with('\r') { "\r\n" } else { "\n" };
                let pretty = self.pretty_json(indent).replace('\n', &format!("{newline}{indent}"));
                format!("{space},{newline}{indent}\"sops\": {pretty}")
            }
            _ => format!("{space}, \"sops\": {}", self.json()),
        };
        (at..at, text)
    }

    fn append_lines(&self, source: &Source<'_>, document: &Item) -> Edit {
        let column = match &document.data {
            Data::Map(fields) => fields.first().map_or(0, |it| source.column_of(it.span.start)),
            _ => 0,
        };
        let newline = edit::newline(source.text);
        let at = end_of(source, document);
        let lead = if source.text[..at].ends_with('\n') { "" } else { newline };
        let indent = " ".repeat(column);
        let lines: String = self.yaml().lines().map(|it| format!("{indent}{it}{newline}")).collect();
        (at..at, format!("{lead}{lines}"))
    }

    fn yaml(&self) -> String {
        let mut text = String::from("sops:\n    age:\n");
        for (recipient, enc) in &self.keys {
            let _ = writeln!(text, "        - recipient: {recipient}\n          enc: |");
            for line in enc.lines() {
                let _ = writeln!(text, "            {line}");
            }
        }
        let rule = write::literal(&Scalar::Text(self.rule.text().to_owned()), Store::Yaml).unwrap_or_default();
        let _ = writeln!(text, "    lastmodified: \"{}\"\n    mac: {}", self.last_modified, self.mac);
        let _ = writeln!(text, "    {}: {rule}\n    version: {VERSION}", self.rule.name());
        text
    }

    fn json(&self) -> serde_json::Value {
        let keys = self.keys.iter().map(|(recipient, enc)| json!({"recipient": recipient, "enc": enc}));
        json!({
            "age": keys.collect::<Vec<_>>(),
            "lastmodified": self.last_modified,
            "mac": self.mac,
            self.rule.name(): self.rule.text(),
            "version": VERSION,
        })
    }

    fn pretty_json(&self, indent: &str) -> String {
        use serde::Serialize;
        let mut bytes = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
        let mut writer = serde_json::Serializer::with_formatter(&mut bytes, format);
        // Writing text into memory does not fail.
        let _ = self.json().serialize(&mut writer);
        String::from_utf8(bytes).unwrap_or_default()
    }
}

/// Returns the byte at which another key may be added to a document: its end, or the line `...` that says so.
fn end_of(source: &Source<'_>, document: &Item) -> usize {
    let mut at = source.line_start(document.span.start);
    for line in source.text[at..].split_inclusive('\n') {
        if line.strip_prefix("...").is_some_and(|it| it.starts_with([' ', '\t', '\r', '\n']) || it.is_empty()) {
            break;
        }
        at += line.len();
    }
    at
}
