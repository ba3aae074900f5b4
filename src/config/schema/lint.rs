//! What is wrong with a schema itself, all of it at once and each at its place.

use super::shape::{LIST_KEYWORDS, MAP_KEYWORDS, SCHEMA_KEYWORDS};
use super::{Source, describe, options};
use crate::document::{Entry, Node, Value};
use crate::finding::{Code, Finding, Findings, Severity, nearest};
use crate::place::Place;
use jsonschema::Draft;
use serde_json::{Value as Json, json};
use std::collections::HashMap;

/// The longest row of references and `allOf`s that all apply to one value.
const MAX_CHAIN: u32 = 256;
/// How many references a schema may hold.
const MAX_REFERENCES: usize = 10_000;

/// What to do about a reference to another document.
pub(super) const COPY_HINT: &str = "copy the definition into `$defs` and write `#/$defs/NAME`";

/// Keywords of all drafts that hold no schema.
const OTHER_KEYWORDS: &[&str] = &[
    "$anchor",
    "$comment",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$ref",
    "$schema",
    "$vocabulary",
    "const",
    "contentEncoding",
    "contentMediaType",
    "default",
    "dependentRequired",
    "deprecated",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "id",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "readOnly",
    "required",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
    // Not of JSON Schema, but common and close to a keyword.
    "example",
    "nullable",
];

/// The keyword that says how much a violation weighs.
pub(super) const SEVERITY: &str = "x-severity";

/// The formats of all drafts.
const FORMATS: &[&str] = &[
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// Returns the severity that a schema names.
pub(super) fn severity_named(name: &str) -> Option<Severity> {
    match name {
        "error" => Some(Severity::Error),
        "warning" => Some(Severity::Warning),
        "info" => Some(Severity::Info),
        _ => None,
    }
}

fn name_of(draft: Draft) -> &'static str {
    match draft {
        Draft::Draft4 => "4",
        Draft::Draft6 => "6",
        Draft::Draft7 => "7",
        Draft::Draft201909 => "2019-09",
        _ => "2020-12",
    }
}

/// Reports everything that is wrong with the schema.
pub(super) fn lint(source: &Source, json: &Json, findings: &mut Findings) {
    if let Some(dialect) = source.node.get("$schema") {
        let known = dialect.as_str().is_some_and(|it| Draft::from_schema_uri(it) != Draft::Unknown);
        if !known {
            let finding = Finding::error(Code::SCHEMA_INVALID, "$schema: this dialect of JSON Schema is not known");
            findings.push(finding.at(&dialect.place).hint("write https://json-schema.org/draft/2020-12/schema"));
            return;
        }
    }
    if let Ok(meta) = jsonschema::meta::validator_for(json) {
        let no_names = |_: &[String]| Vec::new();
        let subject = describe::Subject { root: &source.node, code: Code::SCHEMA_INVALID, names_at: &no_names };
        for error in meta.iter_errors(json) {
            // Patterns are judged below, by the engine that will run them.
            let is_pattern =
                matches!(error.kind(), jsonschema::error::ValidationErrorKind::Format { format } if format == "regex");
            if !is_pattern {
                subject.violations(&error).into_iter().for_each(|it| findings.push(it));
            }
        }
    }
    if n_references(&source.node) > MAX_REFERENCES {
        let message = format!("the schema holds more than {MAX_REFERENCES} references");
        findings.push(Finding::error(Code::SCHEMA_INVALID, message).at(&source.node.place));
        return;
    }
    for (key, place) in &source.ignored {
        let finding = Finding::warning(Code::SCHEMA_INVALID, format!("`{key}` counts for nothing beside a `$ref`"));
        findings
            .push(finding.at(place).hint("put the `$ref` into an `allOf`, or declare draft 2019-09 or a later one"));
    }
    let mut lint = Lint { source, findings, seen: HashMap::new() };
    lint.visit(&source.node);
}

fn n_references(schema: &Node) -> usize {
    let own = usize::from(super::shape::reference(schema).is_some());
    own + super::shape::children(schema).iter().map(|it| n_references(it.schema)).sum::<usize>()
}

struct Lint<'a> {
    source: &'a Source,
    findings: &'a mut Findings,
    /// Schemas whose chain of references was followed, by address, and whether that is still going on.
    seen: HashMap<*const Node, bool>,
}

impl<'a> Lint<'a> {
    fn visit(&mut self, schema: &'a Node) {
        let Some(map) = schema.as_map() else { return };
        for entry in map.iter() {
            self.keyword(entry);
        }
        self.follow(schema, 0);
        for child in super::shape::children(schema) {
            self.visit(child.schema);
        }
    }

    fn keyword(&mut self, entry: &'a Entry) {
        match (entry.key.as_str(), &entry.node.value) {
            ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(to)) => self.reference(to, &entry.node),
            ("pattern", Value::String(pattern)) => self.pattern(pattern, &entry.node.place),
            ("patternProperties", Value::Map(map)) => {
                for it in map.iter() {
                    self.pattern(&it.key, &it.place);
                }
            }
            ("format", Value::String(format)) => self.format(format, &entry.node.place),
            (SEVERITY, value) => self.severity(value, &entry.node.place),
            (key, _) => self.spelling(key, entry),
        }
    }

    fn reference(&mut self, to: &str, node: &Node) {
        // The validator has the meta-schemas.
        let document = to.split('#').next().unwrap_or_default();
        let is_meta = Draft::from_schema_uri(document) != Draft::Unknown;
        if self.source.resolve(to).is_some() || is_meta {
            return;
        }
        let finding = match to.starts_with('#') {
            true => Finding::error(Code::SCHEMA_INVALID, format!("`{to}` points to nothing in this schema")),
            false => Finding::error(Code::REF_REMOTE, format!("`{to}` is another document")).hint(COPY_HINT),
        };
        self.findings.push(finding.at(&node.place));
    }

    fn pattern(&mut self, pattern: &str, place: &Place) {
        if options().build(&json!({ "pattern": pattern })).is_err() {
            let message = format!("the pattern `{pattern}` cannot be used: {}", problem(pattern));
            let hint = "patterns run in linear time, so look-around and back-references are not available; keep repetitions small";
            self.findings.push(Finding::error(Code::PATTERN, message).at(place).hint(hint));
        }
    }

    fn format(&mut self, format: &str, place: &Place) {
        if options().is_known_format(self.source.draft, format) {
            return;
        }
        let unchecked =
            |why: &str| Finding::warning(Code::SCHEMA_INVALID, format!("the format `{format}` is not checked: {why}"));
        let newest = Draft::Draft202012;
        let finding = match nearest(format, FORMATS.iter().copied()).filter(|it| options().is_known_format(newest, it))
        {
            _ if options().is_known_format(newest, format) => {
                let finding = unchecked(&format!("draft {} does not have it", name_of(self.source.draft)));
                finding.hint("write `\"$schema\": \"https://json-schema.org/draft/2020-12/schema\"`")
            }
            Some(near) => unchecked("JSON Schema does not have it").hint(format!("did you mean `{near}`?")),
            None => unchecked("JSON Schema does not have it").hint("write a `pattern` beside it"),
        };
        self.findings.push(finding.at(place));
    }

    fn severity(&mut self, value: &Value, place: &Place) {
        let is_known = matches!(value, Value::String(it) if severity_named(it).is_some());
        if !is_known {
            let message = format!("`{SEVERITY}` must be error, warning or info");
            self.findings.push(Finding::error(Code::SCHEMA_INVALID, message).at(place));
        }
    }

    fn spelling(&mut self, key: &str, entry: &Entry) {
        let known = || OTHER_KEYWORDS.iter().chain(SCHEMA_KEYWORDS).chain(LIST_KEYWORDS).chain(MAP_KEYWORDS).copied();
        if known().any(|it| it == key) {
            return;
        }
        // Unknown keywords are allowed, as annotations; but not those that are a keyword with a slip of the pen.
        let near = known().find(|it| it.eq_ignore_ascii_case(key)).or_else(|| {
            nearest(key, known()).filter(|it| {
                let distance = strsim::damerau_levenshtein(key, it);
                distance == 1 && it.len() > 3 || distance == 2 && it.len() > 8
            })
        });
        if let Some(near) = near {
            let finding = Finding::error(Code::SCHEMA_INVALID, format!("`{key}` is not a keyword of JSON Schema"));
            self.findings.push(finding.at(&entry.place).hint(format!("did you mean `{near}`?")));
        }
    }

    /// Follows what applies to the same value as `schema`, and reports rows that are endless or very long.
    fn follow(&mut self, schema: &'a Node, depth: u32) {
        let address: *const Node = schema;
        if self.seen.get(&address) == Some(&false) {
            return;
        }
        let is_loop = self.seen.insert(address, true) == Some(true);
        if is_loop || depth > MAX_CHAIN {
            let what = if is_loop { "refers to itself" } else { "goes through too many references" };
            let message = format!("the schema {what} without going deeper into the value");
            self.findings.push(Finding::error(Code::SCHEMA_CYCLE, message).at(&schema.place));
        } else {
            for child in super::shape::children(schema).into_iter().filter(|it| it.in_place) {
                self.follow(child.schema, depth + 1);
            }
            let target = super::shape::reference(schema).and_then(|to| self.source.resolve(to));
            if let Some(target) = target {
                self.follow(target, depth + 1);
            }
        }
        self.seen.insert(address, false);
    }
}
/// Returns why a pattern is no regular expression.
fn problem(pattern: &str) -> String {
    match regex::Regex::new(pattern) {
        // The last line of several says it.
        Err(regex::Error::Syntax(text)) => {
            let last = text.lines().last().unwrap_or_default();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
        Err(regex::Error::CompiledTooBig(_)) => "it is too large".to_owned(),
        _ => "it has no meaning in linear time".to_owned(),
    }
}
