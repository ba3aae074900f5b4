//! A host's variables as a layer.

use super::{ConfigSchema, Layer, Types, dotted};
use crate::document::{self, Entry, Format, Limits, Map, MergeKeys, Node, Value};
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Returns the layer of the variables that start with `prefix`: of `APP_`, `APP_SERVER__PORT` sets `server.port`.
///
/// The names are lowercased, unless the schema knows the key in another case. The schema also decides the type; without
/// one every value is text. Values are never quoted in findings, because variables may come from a file of secrets.
pub fn variables_layer(
    prefix: &str,
    variables: &BTreeMap<String, String>,
    schema: Option<&ConfigSchema>,
    findings: &mut Findings,
) -> Layer {
    let name = format!("env:{prefix}");
    let mut root = Node::new(Value::Map(Map::new()), Place::whole(&name));
    for (variable, text) in variables {
        let Some(rest) = variable.strip_prefix(prefix).filter(|it| !it.is_empty()) else { continue };
        let place = Place::whole(&format!("env:{variable}"));
        if let Err(problem) = set_variable(&mut root, rest, text, schema, &place) {
            let message = format!("variable `{variable}` {}", problem.message);
            findings.push(Finding { message, ..problem }.at(&place));
        }
    }
    Layer::new(name, root)
}

fn set_variable(
    root: &mut Node,
    rest: &str,
    text: &str,
    schema: Option<&ConfigSchema>,
    place: &Place,
) -> Result<(), Finding> {
    let path = path_of(rest, schema)?;
    let value = match schema.map(|it| it.types_at(&path)) {
        None => Value::String(text.to_owned()),
        Some(types) => typed(text, types).ok_or_else(|| {
            let message = format!("sets `{}`, which must be {}; its text is not", dotted(&path), types.describe());
            Finding::error(Code::TYPE, message).hint(types.how_to_write())
        })?,
    };
    insert(root, &path, relocate(value, place), place)
}

/// Returns the path that a variable's name, without the prefix, stands for.
fn path_of(rest: &str, schema: Option<&ConfigSchema>) -> Result<Vec<String>, Finding> {
    let mut path: Vec<String> = Vec::new();
    for part in rest.split("__") {
        if part.is_empty() {
            let finding = Finding::error(Code::VALUE, "has an empty part in its name");
            return Err(finding.hint("`__` stands between the keys of a path"));
        }
        let known = schema.map(|it| it.names_at(&path)).unwrap_or_default();
        let lower = part.to_ascii_lowercase();
        let mut same = known.iter().filter(|it| it.eq_ignore_ascii_case(part));
        let key = match (known.contains(&lower.as_str()), same.next(), same.next()) {
            (false, Some(only), None) => (*only).to_owned(),
            _ => lower,
        };
        path.push(key);
    }
    Ok(path)
}

fn insert(root: &mut Node, path: &[String], node: Node, place: &Place) -> Result<(), Finding> {
    let clash = |depth: usize| {
        let message = format!("sets `{}`, which another variable has set already", dotted(&path[..depth]));
        Err(Finding::error(Code::VALUE, message).hint("remove one of them"))
    };
    let mut at = root;
    for (depth, key) in path.iter().enumerate() {
        let Value::Map(map) = &mut at.value else { return clash(depth) };
        let is_last = depth + 1 == path.len();
        if is_last && map.get(key).is_some() {
            return clash(depth + 1);
        }
        if map.get(key).is_none() {
            let node = if is_last { node.clone() } else { Node::new(Value::Map(Map::new()), place.clone()) };
            map.insert(Entry { key: key.clone(), place: place.clone(), node });
        }
        let Some(next) = map.get_mut(key) else { return Ok(()) };
        at = next;
    }
    Ok(())
}

fn relocate(value: Value, place: &Place) -> Node {
    let value = match value {
        Value::List(items) => Value::List(items.into_iter().map(|it| relocate(it.value, place)).collect()),
        Value::Map(map) => {
            let entry = |it: Entry| Entry { key: it.key, place: place.clone(), node: relocate(it.node.value, place) };
            Value::Map(map.into_iter().map(entry).collect())
        }
        scalar => scalar,
    };
    Node::new(value, place.clone())
}

/// Returns `text` as one of `types`, anything rather than text; `None` when it fits none of them.
pub(super) fn typed(text: &str, types: Types) -> Option<Value> {
    let trimmed = text.trim();
    let whole = || trimmed.parse::<i128>().ok().filter(|it| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(it));
    let fraction = || trimmed.parse::<f64>().ok().filter(|it| it.is_finite() && is_plain_number(trimmed));
    let boolean = || trimmed.parse::<bool>().ok();
    let null = || trimmed == "null" || trimmed.is_empty() && !types.has_text();
    if types.is_any() {
        return Some(Value::String(text.to_owned()));
    }
    let integer = whole().filter(|_| types.has_integer()).map(Value::Int);
    integer
        .or_else(|| fraction().filter(|_| types.has_number()).map(Value::Float))
        .or_else(|| boolean().filter(|_| types.has_boolean()).map(Value::Bool))
        .or_else(|| (types.has_null() && null()).then_some(Value::Null))
        .or_else(|| structured(trimmed).filter(|it| types.admits(it)))
        .or_else(|| types.has_text().then(|| Value::String(text.to_owned())))
}

/// Refuses `inf`, `nan` and other words that Rust takes for numbers, and whole numbers that would be rounded.
fn is_plain_number(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_digit() || b"+-.eE".contains(&it)) && text.contains(['.', 'e', 'E'])
}

/// Returns a list or map that is written as JSON.
fn structured(text: &str) -> Option<Value> {
    if !text.starts_with(['[', '{']) {
        return None;
    }
    let nowhere = Arc::from("");
    let limits = Limits::default();
    let mut problems = Findings::new();
    let node = document::parse(Format::Json, &nowhere, text.as_bytes(), &limits, MergeKeys::Refuse, &mut problems)?;
    (!problems.has_errors()).then_some(node.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{lines, tree};
    use serde_json::{Value as Json, json};

    fn layer(variables: &[(&str, &str)], schema: Option<Json>) -> (Json, Vec<String>) {
        let mut findings = Findings::new();
        let schema = schema.and_then(|it| ConfigSchema::from_node(tree("schema.json", it), &mut findings));
        let variables = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let layer = variables_layer("APP_", &variables, schema.as_ref(), &mut findings);
        assert_eq!(layer.name, "env:APP_");
        (layer.node.to_json(), lines(&findings))
    }

    #[track_caller]
    fn check(variables: &[(&str, &str)], schema: Option<Json>, expected: Json) {
        assert_eq!(layer(variables, schema), (expected, Vec::new()));
    }

    fn types() -> Json {
        json!({"properties": {
            "server": {"properties": {"port": {"type": "integer"}, "maxConns": {"type": "integer"}}},
            "ratio": {"type": "number"}, "debug": {"type": "boolean"}, "hosts": {"type": "array"},
            "limits": {"type": "object"}, "name": {"type": "string"}, "maybe": {"type": ["integer", "null"]},
            "either": {"type": ["integer", "string"]},
        }})
    }

    #[test]
    fn x21_what_does_not_fit_its_type_is_a_finding_that_does_not_quote_it() {
        let variables = [
            ("APP_SERVER__PORT", "hunter2"),
            ("APP_RATIO", "inf"),
            ("APP_DEBUG", "yes"),
            ("APP_HOSTS", "a,b"),
            ("APP_LIMITS", "[1]"),
            ("APP_MAYBE", "1.5"),
        ];
        let (json, findings) = layer(&variables, Some(types()));
        assert_eq!(json, json!({}));
        insta::assert_snapshot!(findings.join("\n"), @r#"
        env:APP_DEBUG E_TYPE variable `APP_DEBUG` sets `debug`, which must be true or false; its text is not [write `true` or `false`]
        env:APP_HOSTS E_TYPE variable `APP_HOSTS` sets `hosts`, which must be a list; its text is not [write it as JSON, such as `["a", "b"]` or `{"a": 1}`]
        env:APP_LIMITS E_TYPE variable `APP_LIMITS` sets `limits`, which must be a map; its text is not [write it as JSON, such as `["a", "b"]` or `{"a": 1}`]
        env:APP_MAYBE E_TYPE variable `APP_MAYBE` sets `maybe`, which must be an integer or null; its text is not [write digits only]
        env:APP_RATIO E_TYPE variable `APP_RATIO` sets `ratio`, which must be a number; its text is not [write digits only]
        env:APP_SERVER__PORT E_TYPE variable `APP_SERVER__PORT` sets `server.port`, which must be an integer; its text is not [write digits only]
        "#);
    }

    #[test]
    fn names_that_clash_or_have_empty_parts_are_findings() {
        let variables = [("APP_A", "1"), ("APP_A__B", "2"), ("APP_C____D", "3"), ("APP___E", "4"), ("APP_a", "5")];
        let (json, findings) = layer(&variables, None);
        assert_eq!(json, json!({"a": "1"}));
        insta::assert_snapshot!(findings.join("\n"), @r"
        env:APP_A__B E_VALUE variable `APP_A__B` sets `a`, which another variable has set already [remove one of them]
        env:APP_C____D E_VALUE variable `APP_C____D` has an empty part in its name [`__` stands between the keys of a path]
        env:APP___E E_VALUE variable `APP___E` has an empty part in its name [`__` stands between the keys of a path]
        env:APP_a E_VALUE variable `APP_a` sets `a`, which another variable has set already [remove one of them]
        ");
    }

    #[test]
    fn m09_names_become_paths_and_other_prefixes_are_ignored() {
        let variables =
            [("APP_SERVER__PORT", "8081"), ("APP_LOG_LEVEL", "info"), ("OTHER_X", "1"), ("APP", "2"), ("APP_", "3")];
        check(&variables, None, json!({"log_level": "info", "server": {"port": "8081"}}));
        check(&[], None, json!({}));
    }

    #[test]
    fn x21_the_schema_types_the_values() {
        let variables = [
            ("APP_SERVER__PORT", "8081"),
            ("APP_SERVER__MAXCONNS", " 5 "),
            ("APP_RATIO", "0.5"),
            ("APP_DEBUG", "true"),
            ("APP_HOSTS", r#"["a", {"b": null}]"#),
            ("APP_LIMITS", r#"{"cpu": 2}"#),
            ("APP_NAME", "8081"),
            ("APP_MAYBE", ""),
            ("APP_EITHER", "7"),
            ("APP_UNKNOWN", "7"),
        ];
        check(
            &variables,
            Some(types()),
            json!({
                "debug": true, "either": 7, "hosts": ["a", {"b": null}], "limits": {"cpu": 2}, "maybe": null, "name": "8081",
                "ratio": 0.5, "server": {"maxConns": 5, "port": 8081}, "unknown": "7",
            }),
        );
    }

    #[test]
    fn a_map_as_json_may_be_refined_by_other_variables() {
        let variables = [("APP_LIMITS", r#"{"cpu": 2}"#), ("APP_LIMITS__MEMORY", "1")];
        check(&variables, Some(types()), json!({"limits": {"cpu": 2, "memory": "1"}}));
    }

    #[test]
    fn numbers_are_kept_exactly_or_refused() {
        let number = |text: &str| typed(text, Types::named("number").expect("a type"));
        assert_eq!(number("18446744073709551615"), Some(Value::Int(i128::from(u64::MAX))));
        assert_eq!(number("18446744073709551616"), None);
        assert_eq!(number("1e400"), None);
        assert_eq!(number("NaN"), None);
        assert_eq!(number("1.5"), Some(Value::Float(1.5)));
    }

    #[test]
    fn places_name_the_variable() {
        let variables = BTreeMap::from([("APP_A__B".to_owned(), "1".to_owned())]);
        let layer = variables_layer("APP_", &variables, None, &mut Findings::new());
        assert_eq!(layer.node.get("a.b").map(|it| it.place.to_string()).as_deref(), Some("env:APP_A__B"));
    }
}
