//! JSON Schemas: what a configuration may hold, its types and its defaults.

mod cost;
mod describe;
mod infer;
mod lint;
mod severity;
mod shape;
mod template;

pub use infer::{InferOptions, infer};
pub use shape::Types;
pub use template::Template;

use crate::document::{self, Format, Limits, MergeKeys, Node, Value};
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use jsonschema::error::ValidationErrorKind;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// How many violations of one configuration are reported.
const MAX_VIOLATIONS: usize = 1_000;
/// The largest compiled regular expression, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A JSON Schema (draft 4 to 2020-12) that was checked and compiled.
///
/// It never refers to another document, its patterns run in linear time, and formats are asserted.
#[derive(Clone)]
pub struct ConfigSchema {
    inner: Arc<Inner>,
}

struct Inner {
    source: Source,
    json: serde_json::Value,
    validator: jsonschema::Validator,
    has_deprecations: bool,
}

/// A schema document and the names that references in it may use.
struct Source {
    node: Node,
    /// The JSON pointers of `$id`s (as written) and of anchors (with a leading `#`).
    names: HashMap<String, String>,
    draft: jsonschema::Draft,
    /// The keywords that were taken away because they stand beside a `$ref` in a draft that ignores them.
    ignored: Vec<(String, Place)>,
}

impl fmt::Debug for ConfigSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigSchema({})", self.file())
    }
}

impl PartialEq for ConfigSchema {
    fn eq(&self, other: &Self) -> bool {
        self.inner.source.node == other.inner.source.node
    }
}

impl ConfigSchema {
    /// Reads, checks and compiles the schema in a YAML or JSON file.
    pub fn parse(file: &Arc<str>, bytes: &[u8], findings: &mut Findings) -> Option<ConfigSchema> {
        let format = match Format::of_path(file) {
            Some(format @ (Format::Yaml | Format::Json)) => format,
            _ => {
                let finding = Finding::error(Code::SCHEMA_INVALID, "a schema is a YAML or JSON file");
                findings.push(finding.at(&Place::whole(file)).hint("name it `.yaml` or `.json`"));
                return None;
            }
        };
        let node = document::parse(format, file, bytes, &Limits::default(), MergeKeys::Apply, findings)?;
        ConfigSchema::from_node(node, findings)
    }

    /// Checks and compiles the schema that `node` is.
    pub fn from_node(node: Node, findings: &mut Findings) -> Option<ConfigSchema> {
        if !matches!(node.value, Value::Map(_) | Value::Bool(_)) {
            let message = format!("a schema must be a map, not {}", node.type_name());
            findings.push(Finding::error(Code::SCHEMA_INVALID, message).at(&node.place));
            return None;
        }
        let source = Source::new(node);
        let json = source.node.to_json();
        let n_errors = findings.n_errors();
        lint::lint(&source, &json, findings);
        if findings.n_errors() > n_errors {
            return None;
        }
        match options().build(&json) {
            Ok(validator) => {
                let has_deprecations = has_deprecations(&source.node);
                Some(ConfigSchema { inner: Arc::new(Inner { source, json, validator, has_deprecations }) })
            }
            Err(error) => {
                findings.push(refusal(&error).at(&source.node.place));
                None
            }
        }
    }

    /// Returns the file that it was read from.
    pub fn file(&self) -> &str {
        &self.inner.source.node.place.file
    }

    /// Returns its `title`.
    pub fn title(&self) -> Option<&str> {
        self.inner.source.node.get("title").and_then(Node::as_str)
    }

    /// Returns its `description`.
    pub fn description(&self) -> Option<&str> {
        self.inner.source.node.get("description").and_then(Node::as_str)
    }

    /// Reports every violation in `node`, each at the place of the value that is wrong.
    ///
    /// A missing key is reported at the map that lacks it, an unknown one at the key. Values that were decrypted are never
    /// quoted.
    pub fn validate(&self, node: &Node, findings: &mut Findings) {
        let json = node.to_json();
        if let Err(too_much) = cost::check(&self.inner.source, &self.inner.json, &json, cost::MAX_STEPS) {
            let message = format!("the configuration cannot be validated: {too_much}");
            let finding = Finding::error(Code::VALIDATE_TIME, message);
            findings
                .push(finding.at(&self.inner.source.node.place).hint("simplify nested `allOf`, `anyOf` and `$ref`"));
            return;
        }
        let mut errors = self.inner.validator.iter_errors(&json);
        let names_at = |path: &[String]| self.names_at(path).into_iter().map(str::to_owned).collect();
        let subject = describe::Subject { root: node, code: Code::SCHEMA, names_at: &names_at };
        let weighed = |error: jsonschema::ValidationError<'_>| {
            let severity = severity::of(&self.inner.source, &error);
            subject.violations(&error).into_iter().map(move |it| Finding { severity, ..it }).collect::<Vec<_>>()
        };
        let mut violations: Vec<Finding> = errors.by_ref().take(MAX_VIOLATIONS).flat_map(weighed).collect();
        self.deprecations(node, &mut violations);
        // The validator's order follows the schema; people read their document.
        violations.sort_by(|a, b| (&a.place, &a.message).cmp(&(&b.place, &b.message)));
        violations.dedup();
        violations.into_iter().for_each(|it| findings.push(it));
        if errors.next().is_some() {
            let message = format!("there are more than {MAX_VIOLATIONS} violations; the rest is not shown");
            findings.push(Finding::error(Code::SCHEMA, message).at(&node.place));
        }
    }

    /// Warns of keys that the schema calls deprecated.
    fn deprecations(&self, node: &Node, findings: &mut Vec<Finding>) {
        if self.inner.has_deprecations {
            deprecations(&self.inner.source, node, &mut Vec::new(), findings);
        }
    }

    /// Returns the defaults of keys that are absent from an empty configuration.
    pub fn defaults(&self) -> Node {
        let empty = Node::new(Value::Map(Default::default()), self.inner.source.node.place.clone());
        self.defaults_for(&empty)
    }

    /// Returns the defaults to lay below `node`.
    ///
    /// A map that `node` does not have is only made up when that leaves none of its required keys missing, so that the
    /// default of one key in an optional map does not make the whole map, and with it the other keys, required.
    pub fn defaults_for(&self, node: &Node) -> Node {
        let place = &self.inner.source.node.place;
        let empty = || Node::new(Value::Map(Default::default()), place.clone());
        self.inner.source.defaults(node).filter(|it| it.as_map().is_some()).unwrap_or_else(empty)
    }

    /// Returns the types that the value at `path` may have; all of them when the schema does not say.
    pub fn types_at(&self, path: &[String]) -> Types {
        self.inner.source.types_at(path)
    }

    /// Returns the names of the keys that the schema knows for the map at `path`.
    pub fn names_at(&self, path: &[String]) -> Vec<&str> {
        self.inner.source.names_at(path)
    }
}

fn deprecations(source: &Source, node: &Node, path: &mut Vec<String>, findings: &mut Vec<Finding>) {
    let children: Vec<(String, &Place, &Node)> = match &node.value {
        Value::Map(map) => map.iter().map(|it| (it.key.clone(), &it.place, &it.node)).collect(),
        Value::List(items) => items.iter().enumerate().map(|(idx, it)| (idx.to_string(), &it.place, it)).collect(),
        _ => return,
    };
    for (step, place, child) in children {
        if findings.len() > MAX_VIOLATIONS {
            return;
        }
        path.push(step);
        if let Some(schema) = source.deprecation_at(path) {
            let message = format!("{}: this key is deprecated", super::dotted(path));
            let finding = Finding::warning(Code::SCHEMA, message).at(place);
            findings.push(match schema.get("description").and_then(Node::as_str) {
                Some(description) => finding.hint(description),
                None => finding,
            });
        }
        deprecations(source, child, path, findings);
        path.pop();
    }
}

/// Returns whether a schema says anywhere that something is deprecated.
fn has_deprecations(schema: &Node) -> bool {
    let own = schema.as_map().and_then(|it| it.get("deprecated")).is_some_and(|it| it.value == Value::Bool(true));
    own || shape::children(schema).iter().any(|it| has_deprecations(it.schema))
}

/// Returns what the compiler found that the checks before it did not.
fn refusal(error: &jsonschema::ValidationError<'_>) -> Finding {
    match error.kind() {
        ValidationErrorKind::Referencing(jsonschema::ReferencingError::Unretrievable { uri, .. }) => {
            Finding::error(Code::REF_REMOTE, format!("`{uri}` is another document")).hint(lint::COPY_HINT)
        }
        _ => Finding::error(Code::SCHEMA_INVALID, error.to_string()),
    }
}

/// Returns the options of every validator: no I/O, a linear regular expression engine, formats asserted.
fn options<'a>() -> jsonschema::ValidationOptions<'a> {
    let patterns = jsonschema::PatternOptions::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES);
    jsonschema::options().offline().should_validate_formats(true).with_pattern_options(patterns)
}

#[cfg(test)]
mod drafts;
#[cfg(test)]
mod tests;
