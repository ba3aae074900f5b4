//! JSON, with comments and trailing commas.

use super::source::{Entries, Source};
use super::{Limits, Map, Node, Value, scalar};
use crate::finding::{Code, Findings};
use crate::place::Place;
use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::{CollectOptions, ParseOptions, ParseStringErrorKind};

/// Builds a tree from the one value in `source`.
pub(super) fn parse(source: &Source, limits: &Limits, findings: &mut Findings) -> Option<Node> {
    // The library recurses, so depth is judged before it sees the text.
    if let Some(offset) = too_deep(source.text, limits.depth) {
        source.too_deep(offset, limits, findings);
        return None;
    }
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let value = match jsonc_parser::parse_to_ast(source.text, &CollectOptions::default(), &options) {
        Ok(parsed) => parsed.value,
        Err(error) => {
            refuse(source, &error, findings);
            return None;
        }
    };
    let Some(value) = value else { return Some(Node::new(Value::Null, Place::whole(&source.file))) };
    Reader { source, limits, findings, n_nodes: 0 }.node(value)
}

fn refuse(source: &Source, error: &ParseError, findings: &mut Findings) {
    let offset = error.range().start;
    let (code, message) = match error.kind() {
        ParseErrorKind::String(ParseStringErrorKind::InvalidUnicodeEscapeSequence(_)) => {
            (Code::ENCODING, "a lone surrogate is not a character".to_owned())
        }
        ParseErrorKind::NonFiniteNumbersNotAllowed => (Code::NUMBER, "infinity and NaN are not allowed".to_owned()),
        kind => (Code::SYNTAX, lowercase_first(&kind.to_string())),
    };
    source.error(code, offset, message, findings);
}

fn lowercase_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|it| it.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Returns where the brackets outside strings and comments first go deeper than `depth`.
fn too_deep(text: &str, depth: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut idx, mut open) = (0, 0_usize);
    while idx < bytes.len() {
        match bytes[idx] {
            b'"' => {
                idx += 1;
                while idx < bytes.len() && bytes[idx] != b'"' {
                    idx += if bytes[idx] == b'\\' { 2 } else { 1 };
                }
            }
            b'/' if bytes.get(idx + 1) == Some(&b'/') => {
                idx += text.get(idx..).and_then(|it| it.find('\n')).unwrap_or(bytes.len() - idx);
            }
            b'/' if bytes.get(idx + 1) == Some(&b'*') => {
                idx += text.get(idx + 2..).and_then(|it| it.find("*/")).map_or(bytes.len() - idx, |it| it + 3);
            }
            b'[' | b'{' => {
                open += 1;
                if open > depth {
                    return Some(idx);
                }
            }
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        idx += 1;
    }
    None
}

struct Reader<'a, 'f> {
    source: &'a Source<'a>,
    limits: &'a Limits,
    findings: &'f mut Findings,
    n_nodes: usize,
}

impl Reader<'_, '_> {
    fn node(&mut self, value: ast::Value<'_>) -> Option<Node> {
        let offset = value.start();
        self.source.count(&mut self.n_nodes, offset, self.limits, self.findings)?;
        let place = self.source.place(offset);
        let value = match value {
            ast::Value::NullKeyword(_) => Value::Null,
            ast::Value::BooleanLit(it) => Value::Bool(it.value),
            ast::Value::NumberLit(it) => self.number(it.value, &place),
            ast::Value::StringLit(it) => {
                self.no_line_break(it.start(), it.end());
                Value::String(it.value.into_owned())
            }
            ast::Value::Array(it) => {
                Value::List(it.elements.into_iter().map(|it| self.node(it)).collect::<Option<_>>()?)
            }
            ast::Value::Object(it) => Value::Map(self.map(it)?),
        };
        Some(Node::new(value, place))
    }

    fn number(&mut self, text: &str, place: &Place) -> Value {
        let is_whole = !text.contains(['.', 'e', 'E']);
        let value = if is_whole { scalar::whole(text, 10) } else { scalar::fraction(text) };
        value.unwrap_or_else(|| {
            self.findings.push(scalar::refusal(text, place));
            Value::String(text.to_owned())
        })
    }

    fn map(&mut self, object: ast::Object<'_>) -> Option<Map> {
        let mut entries = Entries::default();
        for property in object.properties {
            let (start, end) = (property.name.start(), property.name.end());
            self.no_line_break(start, end);
            let place = self.source.place(start);
            let node = self.node(property.value)?;
            entries.insert(property.name.into_string(), place, node, self.findings);
        }
        Some(entries.into_map())
    }

    /// The library lets raw line breaks and tabs stand inside strings; JSON does not.
    fn no_line_break(&mut self, start: usize, end: usize) {
        let Some(idx) = self.source.text.get(start..end).and_then(|it| it.find(|it: char| it < ' ')) else { return };
        let message = "a line break or tab inside a string must be escaped";
        self.source.error(Code::SYNTAX, start + idx, message, self.findings);
    }
}
