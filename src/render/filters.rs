//! How values are printed in templates, and the filters that are ours.

use crate::document::{self, Entry, Format, Map, Node, Value as Plain};
use crate::place::Place;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value};

/// How deep a value may be nested that is turned into text.
const DEPTH_MAX: usize = 64;

/// Adds our filters to `env`, takes away what depends on more than the inputs, and sets how values are printed.
pub(super) fn install(env: &mut Environment<'_>) {
    env.set_formatter(|out: &mut Output, _: &mut State, value: &Value| {
        let text = print(value)?;
        out.write_str(&text).map_err(Error::from)
    });
    env.add_filter("tojson", to_json);
    env.add_filter("toyaml", to_yaml);
    env.add_filter("join", join);
    env.add_filter("string", |value: &Value| print(value));
    env.add_filter("quote", |text: &str| format!("'{}'", text.replace('\'', r"'\''")));
    env.add_filter("b64encode", |text: &str| STANDARD.encode(text));
    env.add_filter("b64decode", b64decode);
    env.set_unknown_method_callback(call_method);
    // Both print whatever is in scope, in a form that nobody promises.
    env.remove_filter("pprint");
    env.remove_global("debug");
}

/// Returns the text that `{{ value }}` stands for: what has one meaning in every format is printed, the rest is refused.
fn print(value: &Value) -> Result<String, Error> {
    let refuse =
        |what: &str| Err(Error::new(ErrorKind::InvalidOperation, format!("{what} cannot be printed as it is")));
    match value.kind() {
        ValueKind::Bool => Ok(if value.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::Number | ValueKind::String => Ok(value.to_string()),
        // An inline `if` without `else` that was false; anything else undefined has failed before.
        ValueKind::Undefined => Ok(String::new()),
        ValueKind::None => refuse("null"),
        ValueKind::Map => refuse("a map"),
        ValueKind::Seq | ValueKind::Iterable => refuse("a list"),
        ValueKind::Bytes => refuse("a string of bytes"),
        _ => refuse("this value"),
    }
}

/// Returns what to do about an error of [`print`].
pub(super) fn hint(detail: &str) -> Option<&'static str> {
    if !detail.ends_with("cannot be printed as it is") {
        return None;
    }
    Some(match detail {
        _ if detail.starts_with("null") => "use `| default(\"\", true)` when it may be null, or test it with `is none`",
        _ if detail.starts_with("a list") => "use `| join(\", \")`, `| tojson` or `| toyaml`, or a `for` loop",
        _ => "use `| tojson` or `| toyaml`, or print its parts",
    })
}

fn join(state: &State, value: &Value, separator: Option<&str>, kwargs: Kwargs) -> Result<String, Error> {
    let attribute: Option<String> = kwargs.get("attribute")?;
    kwargs.assert_all_used()?;
    let mut text = String::new();
    for (idx, item) in value.try_iter()?.enumerate() {
        let item = match &attribute {
            Some(name) => item.get_attr(name)?,
            None => item,
        };
        if item.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        if idx > 0 {
            text.push_str(separator.unwrap_or_default());
        }
        text.push_str(&print(&item)?);
        state.consume_fuel(1 + (text.len() / 4096) as u64)?;
    }
    Ok(text)
}

fn to_json(state: &State, value: &Value, kwargs: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = kwargs.get("indent")?;
    kwargs.assert_all_used()?;
    let json = to_node(state, value, 0)?.to_json();
    let failed = |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let Some(indent) = indent else { return serde_json::to_string(&json).map_err(failed) };
    let spaces = " ".repeat(indent.min(16));
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(&json, &mut serializer).map_err(failed)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn to_yaml(state: &State, value: &Value) -> Result<String, Error> {
    let node = to_node(state, value, 0)?;
    let text = document::emit(&node, Format::Yaml);
    let failed = |it: crate::finding::Finding| Error::new(ErrorKind::BadSerialization, it.message);
    // The template's own line ends after the filter.
    text.map(|it| it.trim_end_matches('\n').to_owned()).map_err(failed)
}

fn b64decode(text: &str) -> Result<String, Error> {
    let failed = || Error::new(ErrorKind::InvalidOperation, "the value is not base64 of UTF-8 text");
    let bytes = STANDARD.decode(text.trim()).map_err(|_| failed())?;
    String::from_utf8(bytes).map_err(|_| failed())
}

/// The four methods of maps that people bring along from Python.
fn call_method(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match (value.kind(), method, args) {
        (ValueKind::Map, "items", []) => state.apply_filter("items", std::slice::from_ref(value)),
        (ValueKind::Map, "keys", []) => state.apply_filter("list", std::slice::from_ref(value)),
        (ValueKind::Map, "values", []) => {
            let keys = value.try_iter()?;
            Ok(Value::from(keys.map(|key| value.get_item(&key)).collect::<Result<Vec<_>, _>>()?))
        }
        (ValueKind::Map, "get", [key, rest @ ..]) if rest.len() <= 1 => {
            let found = value.get_item(key)?;
            Ok(if found.is_undefined() { rest.first().cloned().unwrap_or(Value::from(())) } else { found })
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn to_node(state: &State, value: &Value, depth: usize) -> Result<Node, Error> {
    let refuse = |why: &str| Err(Error::new(ErrorKind::BadSerialization, why.to_owned()));
    if depth > DEPTH_MAX {
        return refuse("the value is nested too deeply");
    }
    state.consume_fuel(1)?;
    let place = || Place::whole("");
    let plain = match value.kind() {
        ValueKind::None => Plain::Null,
        ValueKind::Bool => Plain::Bool(value.is_true()),
        ValueKind::Number if value.is_integer() => match i128::try_from(value.clone()) {
            Ok(it) if (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&it) => Plain::Int(it),
            _ => return refuse("the number is too large"),
        },
        ValueKind::Number => match f64::try_from(value.clone()) {
            Ok(it) if it.is_finite() => Plain::Float(it),
            _ => return refuse("the number is not finite"),
        },
        ValueKind::String => Plain::String(value.to_string()),
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?.map(|it| to_node(state, &it, depth + 1));
            Plain::List(items.collect::<Result<_, _>>()?)
        }
        ValueKind::Map => {
            let entry = |key: Value| {
                let node = to_node(state, &value.get_item(&key)?, depth + 1)?;
                Ok(Entry { key: print(&key)?, place: place(), node })
            };
            let map: Map = value.try_iter()?.map(entry).collect::<Result<_, Error>>()?;
            Plain::Map(map)
        }
        _ => return refuse("the value has no such form"),
    };
    Ok(Node::new(plain, place()))
}
