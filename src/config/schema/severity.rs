//! How much a violation weighs: what the schema says of it, or an error.

use super::Source;
use super::lint::{SEVERITY, severity_named};
use super::shape::{step_into, unescaped};
use crate::document::Node;
use crate::finding::Severity;
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;

/// Returns the severity of an error: the innermost `x-severity` on the way from the schema's root to what was violated. For a
/// key that is missing, its own schema counts as well.
pub(super) fn of(source: &Source, error: &ValidationError<'_>) -> Severity {
    let mut schema = Some(&source.node);
    let mut severity = own(schema).unwrap_or(Severity::Error);
    let mut last = schema;
    for step in error.evaluation_path().as_str().split('/').skip(1).map(unescaped) {
        let found = schema.and_then(|it| step_into(it, &step));
        schema = match step.as_str() {
            "$ref" | "$dynamicRef" | "$recursiveRef" => {
                found.and_then(Node::as_str).and_then(|to| source.resolve(to)).or(found)
            }
            _ => found,
        };
        last = schema.filter(|it| it.as_map().is_some()).or(last);
        severity = own(schema).unwrap_or(severity);
    }
    match error.kind() {
        Kind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            let missing = last.and_then(|it| it.as_map()?.get("properties")?.as_map()?.get(key));
            own(missing).unwrap_or(severity)
        }
        _ => severity,
    }
}

fn own(schema: Option<&Node>) -> Option<Severity> {
    severity_named(schema?.as_map()?.get(SEVERITY)?.as_str()?)
}
