//! A validator's errors in the words of this program, at the place of the value.

use super::shape::{Types, step_into, unescaped};
use crate::config::variables::typed;
use crate::config::{counted, dotted, shown};
use crate::document::{Entry, Node, Value};
use crate::finding::{Code, Finding, nearest};
use crate::place::Place;
use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value as Json;

/// How many alternatives of an `enum` are listed.
const MAX_OPTIONS: usize = 12;

/// The document that was validated.
pub(super) struct Subject<'a> {
    pub(super) root: &'a Node,
    pub(super) code: Code,
    /// Returns the names of the keys that may stand in the map at a path.
    pub(super) names_at: &'a dyn Fn(&[String]) -> Vec<String>,
}

/// A value of the document and the way to it.
struct At<'a> {
    path: Vec<String>,
    node: &'a Node,
}

impl<'a> Subject<'a> {
    /// Returns the findings that one error stands for: one, or one for each key that is unknown.
    pub(super) fn violations(&self, error: &ValidationError<'_>) -> Vec<Finding> {
        let at = self.locate(error.instance_path().as_str());
        let violations = match error.kind() {
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                unexpected.iter().map(|key| self.unknown_key(&at, key)).collect()
            }
            Kind::Required { property } => vec![self.missing_key(&at, property.as_str().unwrap_or_default())],
            Kind::PropertyNames { error } => vec![self.bad_key(&at, error)],
            kind => {
                let explained = explain(kind, at.node, error);
                let hint = explained.hint.or_else(|| self.nearest_alternative(kind));
                let finding = self.finding(&at.path, &explained.message, &at.node.place, hint);
                vec![Finding { expected: explained.expected, found: Some(shown(at.node)), ..finding }]
            }
        };
        violations.into_iter().map(|it| it.rule(error.schema_path().as_str())).collect()
    }

    fn finding(&self, path: &[String], message: &str, place: &Place, hint: Option<String>) -> Finding {
        let subject = if path.is_empty() { "the top level".to_owned() } else { dotted(path) };
        let pointer: String = path.iter().map(|it| format!("/{}", it.replace('~', "~0").replace('/', "~1"))).collect();
        let finding = Finding::error(self.code, format!("{subject}: {message}")).at(place).pointer(pointer);
        Finding { hint, ..finding }
    }

    fn locate(&self, pointer: &str) -> At<'a> {
        let mut at = At { path: Vec::new(), node: self.root };
        for step in pointer.split('/').skip(1) {
            let step = unescaped(step);
            let Some(node) = step_into(at.node, &step) else { break };
            at.node = node;
            at.path.push(step);
        }
        at
    }

    fn unknown_key(&self, at: &At<'_>, key: &str) -> Finding {
        let place = entry(at.node, key).map_or(&at.node.place, |it| &it.place);
        let known = (self.names_at)(&at.path);
        // What another file, or a default, sets may well be what was meant to be set anew.
        let is_free = |it: &&str| entry(at.node, it).is_none_or(|it| it.place.file != place.file);
        let free = known.iter().map(String::as_str).filter(is_free);
        let hint = match nearest(key, free) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if known.is_empty() => None,
            None => Some(format!("the schema knows {}", names(&known))),
        };
        let finding = self.finding(&joined(&at.path, key), "this key is not in the schema", place, hint);
        let expected = if known.is_empty() { "no key".to_owned() } else { format!("one of {}", names(&known)) };
        finding.expected(expected).found(format!("`{key}`"))
    }

    fn missing_key(&self, at: &At<'_>, key: &str) -> Finding {
        let known = (self.names_at)(&at.path);
        let present = at.node.as_map().into_iter().flat_map(|it| it.iter()).map(|it| it.key.as_str());
        let strays = present.filter(|it| !known.iter().any(|known| known == it));
        let hint = nearest(key, strays).map(|it| format!("`{it}` is there; did you mean `{key}`?"));
        let mut finding =
            self.finding(&joined(&at.path, key), "it is required, and no layer sets it", &at.node.place, hint);
        finding.pointer = self.finding(&at.path, "", &at.node.place, None).pointer;
        finding.expected(format!("the key `{key}`")).found("nothing")
    }

    fn bad_key(&self, at: &At<'_>, error: &ValidationError<'_>) -> Finding {
        let key = error.instance().as_str().unwrap_or_default().to_owned();
        let place = entry(at.node, &key).map_or(&at.node.place, |it| &it.place);
        let as_value = Node::new(Value::String(key.clone()), place.clone());
        let explained = explain(error.kind(), &as_value, error);
        let message = format!("the key {}", explained.message);
        let finding = self.finding(&joined(&at.path, &key), &message, place, explained.hint);
        Finding { expected: explained.expected, found: Some(format!("`{key}`")), ..finding }
    }

    /// Returns the first complaint of the alternative that the value comes nearest to: the one whose complaints are
    /// deepest, and then fewest.
    fn nearest_alternative(&self, kind: &Kind) -> Option<String> {
        let (Kind::AnyOf { context } | Kind::OneOfNotValid { context }) = kind else { return None };
        let depth = |it: &ValidationError<'_>| it.instance_path().as_str().matches('/').count();
        let best = context
            .iter()
            .filter(|errors| !errors.is_empty())
            .min_by_key(|errors| (std::cmp::Reverse(errors.iter().map(depth).min()), errors.len()))?;
        let finding = self.violations(best.first()?).into_iter().next()?;
        let hint = finding.hint.map(|it| format!("; {it}")).unwrap_or_default();
        Some(format!("the nearest alternative says: {}{hint}", finding.message))
    }
}

fn entry<'a>(node: &'a Node, key: &str) -> Option<&'a Entry> {
    node.as_map()?.entry(key)
}

fn joined(path: &[String], key: &str) -> Vec<String> {
    path.iter().cloned().chain([key.to_owned()]).collect()
}

fn listed(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<String> = items.collect();
    if items.len() > MAX_OPTIONS {
        items.truncate(MAX_OPTIONS);
        items.push("…".to_owned());
    }
    items.join(", ")
}

/// The names of keys, as many as are shown.
fn names(keys: &[String]) -> String {
    listed(keys.iter().map(|it| format!("`{it}`")))
}

/// What is wrong with a value.
struct Explained {
    /// To be read after the value's path.
    message: String,
    /// What the schema wants there, where that can be said in few words.
    expected: Option<String>,
    hint: Option<String>,
}

impl Explained {
    fn new(message: impl Into<String>, expected: impl Into<String>) -> Self {
        Explained { message: message.into(), expected: Some(expected.into()), hint: None }
    }
}

fn explain(kind: &Kind, node: &Node, error: &ValidationError<'_>) -> Explained {
    let value = shown(node);
    let count = |least_or_most: &str, limit: u64, unit: &str| {
        let expected = format!("at {least_or_most} {}", counted(limit as usize, unit));
        Explained::new(format!("it must have {expected}"), expected)
    };
    let is_not = |what: &str, expected: String| Explained::new(format!("{value} is not {what}"), expected);
    let beyond = |how: &str, expected: String| Explained::new(format!("{value} is {how}"), expected);
    let other = |message: String| Explained { message, expected: None, hint: None };
    match kind {
        Kind::Type { kind } => wrong_type(kind, node),
        Kind::Enum { options } => not_an_option(options, node),
        Kind::Constant { expected_value } => is_not(&expected_value.to_string(), expected_value.to_string()),
        Kind::Maximum { limit } => beyond(&format!("greater than the maximum {limit}"), format!("at most {limit}")),
        Kind::Minimum { limit } => beyond(&format!("less than the minimum {limit}"), format!("at least {limit}")),
        Kind::ExclusiveMaximum { limit } => is_not(&format!("less than {limit}"), format!("less than {limit}")),
        Kind::ExclusiveMinimum { limit } => is_not(&format!("greater than {limit}"), format!("greater than {limit}")),
        Kind::MultipleOf { multiple_of } => {
            is_not(&format!("a multiple of {multiple_of}"), format!("a multiple of {multiple_of}"))
        }
        Kind::MaxLength { limit } => count("most", *limit, "character"),
        Kind::MinLength { limit } => count("least", *limit, "character"),
        Kind::MaxItems { limit } => count("most", *limit, "item"),
        Kind::AdditionalItems { limit } => count("most", *limit as u64, "item"),
        Kind::MinItems { limit } => count("least", *limit, "item"),
        Kind::MaxProperties { limit } => count("most", *limit, "key"),
        Kind::MinProperties { limit } => count("least", *limit, "key"),
        Kind::Pattern { pattern } => {
            let message = format!("{value} does not match the pattern `{pattern}`");
            Explained::new(message, format!("text that matches `{pattern}`"))
        }
        Kind::Format { format } => is_not(&format!("a valid {format}"), format!("a valid {format}")),
        Kind::UniqueItems => Explained::new("two of its items are equal", "items that differ"),
        Kind::Contains => other("it has too few or too many items of the kind that the schema wants".to_owned()),
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            let alternatives = format!("of the {} alternatives of the schema", context.len());
            Explained::new(format!("{value} fits none {alternatives}"), format!("one {alternatives}"))
        }
        Kind::OneOfMultipleValid { .. } => {
            let message = format!("{value} fits more than one of the schema's alternatives");
            Explained::new(message, "exactly one of the schema's alternatives")
        }
        Kind::Not { .. } => other(format!("{value} is what the schema excludes")),
        Kind::FalseSchema => Explained::new("the schema allows nothing here", "nothing"),
        Kind::UnevaluatedItems { .. } => other("it has items that the schema does not know".to_owned()),
        Kind::ContentEncoding { content_encoding } => {
            Explained::new(format!("it is not valid {content_encoding}"), format!("valid {content_encoding}"))
        }
        Kind::ContentMediaType { content_media_type } => {
            Explained::new(format!("it is not valid {content_media_type}"), format!("valid {content_media_type}"))
        }
        Kind::FromUtf8 { .. } => Explained::new("it does not hold text", "text"),
        _ => other(error.masked_with(value.clone()).to_string()),
    }
}

fn wrong_type(kind: &TypeKind, node: &Node) -> Explained {
    let names: Vec<String> = match kind {
        TypeKind::Single(it) => vec![it.to_string()],
        TypeKind::Multiple(set) => set.iter().map(|it| it.to_string()).collect(),
    };
    let types = names.iter().filter_map(|it| Types::named(it)).reduce(Types::or).unwrap_or(Types::ANY);
    let expected = types.describe();
    let message = format!("it must be {expected}, not {}", what(node));
    let hint = match &node.value {
        _ if node.holds_secret() => None,
        Value::String(text) => match typed(text, types) {
            Some(Value::List(_) | Value::Map(_)) => Some("write it as YAML, not as text".to_owned()),
            Some(_) => Some(format!("write {} without quotes", text.trim())),
            None if types.has_boolean() && matches!(text.as_str(), "yes" | "on" | "no" | "off") => {
                Some("write `true` or `false`".to_owned())
            }
            None => None,
        },
        Value::Int(_) | Value::Float(_) | Value::Bool(_) if types.has_text() => {
            Some(format!("write it in quotes: \"{}\"", shown(node)))
        }
        Value::Null => Some("give it a value, or leave the key out".to_owned()),
        Value::List(_) | Value::Map(_) => None,
        _ if types.admits(&Value::List(Vec::new())) => Some(format!("write it as a list: [{}]", shown(node))),
        _ => None,
    };
    Explained { message, expected: Some(expected), hint }
}

/// Returns the type of a value, with the value where that is short.
fn what(node: &Node) -> String {
    match &node.value {
        Value::Null | Value::List(_) | Value::Map(_) => node.type_name().to_owned(),
        Value::String(_) => format!("the text {}", shown(node)),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => shown(node),
    }
}

fn not_an_option(options: &Json, node: &Node) -> Explained {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let expected = format!("one of {}", listed(options.iter().map(Json::to_string)));
    let message = format!("{} is not {expected}", shown(node));
    if node.holds_secret() {
        return Explained::new(message, expected);
    }
    let text = match &node.value {
        Value::String(text) => text.clone(),
        _ => shown(node),
    };
    let texts = || options.iter().filter_map(Json::as_str);
    let near = texts().find(|it| it.eq_ignore_ascii_case(&text)).or_else(|| nearest(&text, texts()));
    let same_but_type = options.iter().find(|it| it.to_string() == text && !it.is_string());
    let hint = match (same_but_type, near) {
        (Some(option), _) => Some(format!("write {option} without quotes")),
        (None, Some(near)) => Some(format!("did you mean \"{near}\"?")),
        _ => None,
    };
    Explained { message, expected: Some(expected), hint }
}
