//! JSON, with comments and trailing commas.

use super::flow::{self, Dialect};
use super::layout::{Content, Field, Spot, Style};
use super::text::{Edit, newline};
use super::{Change, nested};
use crate::finding::Finding;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, ast};

pub(super) fn edits(change: &Change<'_>) -> Result<Vec<Edit>, Finding> {
    let parsed = jsonc_parser::parse_to_ast(change.text, &CollectOptions::default(), &ParseOptions::default());
    match parsed.map_err(|_| change.refusal())?.value {
        Some(value) => flow::edits(change, &spot(value), Dialect::Json),
        None => {
            let end = change.text.len();
            let text = flow::value(&nested(change.path, change.value), Dialect::Json);
            Ok(vec![(end..end, format!("{text}{}", newline(change.text)))])
        }
    }
}

fn spot(value: ast::Value<'_>) -> Spot {
    let span = value.start()..value.end();
    let content = match value {
        ast::Value::Object(it) => Content::Map(
            it.properties
                .into_iter()
                .map(|it| Field {
                    span: it.name.start()..it.name.end(),
                    key: it.name.into_string(),
                    spot: spot(it.value),
                })
                .collect(),
        ),
        ast::Value::Array(it) => Content::List(it.elements.into_iter().map(spot).collect()),
        _ => Content::Scalar(Style::Plain, String::new()),
    };
    Spot::new(span, content, true)
}

/// Returns text in quotes.
pub(super) fn quoted(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    // JSON lets DEL stand as it is, other readers of JSON do not.
    quoted.replace('\u{7f}', "\\u007f")
}
