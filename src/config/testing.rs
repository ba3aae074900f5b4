//! Trees for tests, written as JSON.

pub(crate) mod editor;

use crate::document::{Entry, Node, Value};
use crate::finding::Findings;
use crate::place::Place;
use serde_json::Value as Json;
use std::sync::Arc;

/// Returns the tree of `json`, with places as if each key stood on a line of its own in `file`.
pub(crate) fn tree(file: &str, json: Json) -> Node {
    fn build(json: Json, file: &Arc<str>, line: &mut u32, depth: u32) -> Node {
        let place = Place::new(file, *line, depth + 1);
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(it) => Value::Bool(it),
            Json::Number(it) => match it.as_i128() {
                Some(it) => Value::Int(it),
                None => Value::Float(it.as_f64().expect("a JSON number")),
            },
            Json::String(it) => Value::String(it),
            Json::Array(items) => Value::List(items.into_iter().map(|it| build(it, file, line, depth)).collect()),
            Json::Object(map) => {
                let entry = |(key, json)| {
                    *line += 1;
                    let place = Place::new(file, *line, depth + 1);
                    Entry { key, place, node: build(json, file, line, depth + 1) }
                };
                Value::Map(map.into_iter().map(entry).collect())
            }
        };
        Node::new(value, place)
    }
    build(json, &Arc::from(file), &mut 0, 0)
}

/// Marks the value at `path` as decrypted.
pub(crate) fn secret_at(mut node: Node, path: &str) -> Node {
    let mut at = &mut node;
    for step in path.split('.') {
        at = match &mut at.value {
            Value::Map(map) => map.get_mut(step).expect("the path exists"),
            _ => panic!("no map at {step}"),
        };
    }
    at.secret = true;
    node
}

/// Returns the findings as lines `place code message [hint]`.
pub(crate) fn lines(findings: &Findings) -> Vec<String> {
    let line = |it: &crate::finding::Finding| {
        let place = it.place.as_ref().map(Place::to_string).unwrap_or_default();
        let hint = it.hint.as_ref().map(|it| format!(" [{it}]")).unwrap_or_default();
        format!("{place} {} {}{hint}", it.code, it.message)
    };
    findings.iter().map(line).collect()
}
