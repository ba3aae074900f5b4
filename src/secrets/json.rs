//! SOPS files in JSON.

use super::read::{MAX_DEPTH, MAX_NODES, Source, Text, error};
use super::tree::{Data, Field, Item, Scalar};
use crate::finding::{Code, Finding};
use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use std::collections::HashSet;

/// Reads the one document of a text.
pub(super) fn read(source: &Source<'_>) -> Result<Text, Finding> {
    // The strict reader judges, because SOPS is strict; the lenient one knows positions.
    if let Err(refusal) = serde_json::from_str::<serde::de::IgnoredAny>(source.text) {
        return Err(syntax(source, refusal.line(), refusal.column()));
    }
    let result = parse_to_ast(source.text, &CollectOptions::default(), &ParseOptions::default())
        .map_err(|refusal| syntax(source, refusal.line_display(), refusal.column_display()))?;
    let mut reader = Reader { source, n_nodes: 0 };
    let document = match &result.value {
        Some(value) => reader.value(value, 0)?,
        None => return Err(error(source, 0, "the document is empty")),
    };
    Ok(Text { documents: vec![document], remarks: Vec::new(), metadata: Vec::new() })
}

fn syntax(source: &Source<'_>, line: usize, column: usize) -> Finding {
    let mut place = source.whole();
    place.line = u32::try_from(line).unwrap_or(u32::MAX);
    place.column = u32::try_from(column).unwrap_or(u32::MAX);
    Finding::error(Code::SYNTAX, "the document is not valid JSON").at(&place)
}

struct Reader<'a> {
    source: &'a Source<'a>,
    n_nodes: usize,
}

impl Reader<'_> {
    fn value(&mut self, value: &Value<'_>, depth: usize) -> Result<Item, Finding> {
        let span = value.start()..value.end();
        let place = self.source.place(span.start);
        self.n_nodes += 1;
        if self.n_nodes > MAX_NODES {
            let message = format!("the file holds more than {MAX_NODES} values");
            return Err(Finding::error(Code::FILE_TOO_BIG, message).at(&place));
        }
        if depth > MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            return Err(Finding::error(Code::DEPTH, message).at(&place));
        }
        let data = match value {
            Value::NullKeyword(_) => Data::Scalar(Scalar::Null),
            Value::BooleanLit(it) => Data::Scalar(Scalar::Bool(it.value)),
            Value::StringLit(it) => Data::Scalar(Scalar::Text(it.value.as_ref().to_owned())),
            Value::NumberLit(it) => match it.value.parse::<f64>() {
                Ok(double) if double.is_finite() => Data::Scalar(Scalar::Number(it.value.to_owned())),
                _ => return Err(error(self.source, span.start, "the number does not fit into a double")),
            },
            Value::Array(it) => {
                Data::List(it.elements.iter().map(|it| self.value(it, depth + 1)).collect::<Result<_, _>>()?)
            }
            Value::Object(it) => self.object(it, depth)?,
        };
        let mut item = Item::new(data, place, span);
        item.in_flow = true;
        Ok(item)
    }

    fn object(&mut self, object: &Object<'_>, depth: usize) -> Result<Data, Finding> {
        let mut seen = HashSet::new();
        let mut fields = Vec::with_capacity(object.properties.len());
        for property in &object.properties {
            let span = property.name.start()..property.name.end();
            let (key, place) = (property.name.as_str().to_owned(), self.source.place(span.start));
            // SOPS takes the same key twice, and a value that hides another is in its MAC; nobody means that.
            if !seen.insert(key.clone()) {
                return Err(Finding::error(Code::DUPLICATE_KEY, format!("the key `{key}` appears twice")).at(&place));
            }
            let item = self.value(&property.value, depth + 1)?;
            fields.push(Field::new(key, place, span, item));
        }
        Ok(Data::Map(fields))
    }
}
