//! How values are printed in templates, and the filters that are ours.

use super::inject::Watch;
use crate::document::{self, Entry, Format, Map, Node, Value as Plain};
use crate::place::Place;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Kwargs, Rest, StringInput, ValueKind, ValueOrKwargs, from_args};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, HtmlEscape, Output, State, Value};
use regex::Regex;
use std::sync::LazyLock;

/// The deepest indentation.
const INDENT_MAX: usize = 1024;
/// What is said of minijinja's own escaping, which would pass values on as safe that are not.
const AUTOESCAPE: &str = "`autoescape` is not supported";
/// How deep a value may be nested that is turned into text.
const DEPTH_MAX: usize = 64;

/// Writes a text so that it stays one, whatever it holds.
type Write = fn(&str) -> Result<String, Error>;

/// Adds our filters to `env`, takes away what depends on more than the inputs, and sets how values are printed.
pub(super) fn install(env: &mut Environment<'_>, watch: &Watch) {
    let printer = watch.clone();
    env.set_formatter(move |out: &mut Output, state: &mut State, value: &Value| {
        let text = print(value)?;
        if matches!(state.auto_escape(), AutoEscape::Html | AutoEscape::Json) {
            return Err(Error::new(ErrorKind::InvalidOperation, AUTOESCAPE));
        }
        let is_text = value.kind() == ValueKind::String;
        let text = printer.print(&text, value.is_safe() || !is_text)?;
        out.write_str(&text).map_err(Error::from)
    });
    // What a block, a macro or a call printed was judged there: with an escaping of any name, it comes out of it safe.
    env.set_auto_escape_callback(|_| AutoEscape::Custom("headfast".into()));
    env.add_filter("join", join);
    env.add_filter("string", |value: &Value| match value.kind() {
        ValueKind::String => Ok(value.clone()),
        _ => print(value).map(Value::from),
    });
    env.add_filter("format", format);
    let it = watch.clone();
    env.add_filter("indent", move |state: &State, args: Rest<ValueOrKwargs>| indent(&it, state, args));
    let it = watch.clone();
    env.add_filter("escape", move |value: &Value| escape(&it, value));
    let it = watch.clone();
    env.add_filter("e", move |value: &Value| escape(&it, value));
    let it = watch.clone();
    env.add_filter("b64encode", move |text: &str| STANDARD.encode(it.plain(text)));
    let it = watch.clone();
    env.add_filter("b64decode", move |text: &str| b64decode(&it.plain(text)).map(|text| it.taken(&text)));
    let it = watch.clone();
    env.add_filter("tojson", move |state: &State, value: &Value, kwargs: Kwargs| {
        to_json(&it, state, value, kwargs).map(Value::from_safe_string)
    });
    let it = watch.clone();
    env.add_filter("toyaml", move |state: &State, value: &Value| {
        to_yaml(&it, state, value).map(Value::from_safe_string)
    });
    let writers: [(&str, Write); 5] = [
        ("safe", |text| Ok(text.to_owned())),
        ("quote", |text| Ok(quote(text))),
        ("systemd", systemd),
        ("crontab", crontab),
        ("dotenv", dotenv),
    ];
    for (name, write) in writers {
        let it = watch.clone();
        let filter = move |value: &Value| write(&it.plain(&print(value)?)).map(Value::from_safe_string);
        env.add_filter(name, filter);
    }
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
    if detail == AUTOESCAPE {
        return Some("escape each value: `| e` for HTML, `| tojson` for JSON");
    }
    if !detail.ends_with("cannot be printed as it is") {
        return None;
    }
    Some(match detail {
        _ if detail.starts_with("null") => "use `| default(\"\", true)` when it may be null, or test it with `is none`",
        _ if detail.starts_with("a list") => "use `| join(\", \")`, `| tojson` or `| toyaml`, or a `for` loop",
        _ => "use `| tojson` or `| toyaml`, or print its parts",
    })
}

/// Joins texts; what comes of safe ones is safe, because the others are judged here.
fn join(state: &mut State, value: &Value, separator: Option<&Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let attribute: Option<String> = kwargs.get("attribute")?;
    kwargs.assert_all_used()?;
    let mut items = Vec::new();
    for item in value.try_iter()? {
        state.consume_fuel(1)?;
        let item = match &attribute {
            Some(name) => item.get_attr(name)?,
            None => item,
        };
        if item.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        items.push(item);
    }
    let separator = separator.filter(|it| !it.is_none());
    let is_safe = items.iter().chain(separator).any(Value::is_safe);
    let part = |state: &mut State, it: &Value| if is_safe { state.format(it.clone()) } else { print(it) };
    let separator = separator.map(|it| part(state, it)).transpose()?.unwrap_or_default();
    let mut text = String::new();
    for (idx, item) in items.iter().enumerate() {
        if idx > 0 {
            text.push_str(&separator);
        }
        text.push_str(&part(state, item)?);
        state.consume_fuel(1 + (text.len() / 4096) as u64)?;
    }
    Ok(if is_safe { Value::from_safe_string(text) } else { Value::from(text) })
}

/// Indents lines; where lines may be indented, the line breaks then count as the template's.
fn indent(watch: &Watch, state: &State, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut args = args.into_values();
    let width = |args: &[Value]| args.get(1).and_then(Value::as_usize).unwrap_or(16) as u64;
    if let Some(first) = args.first_mut().filter(|it| it.kind() == ValueKind::String) {
        let text = watch.with_lines(&first.to_string());
        let n_lines = text.matches('\n').count() as u64 + 1;
        *first = if first.is_safe() { Value::from_safe_string(text) } else { Value::from(text) };
        state.consume_fuel(n_lines.saturating_mul(width(&args)) / 64 + 1)?;
    }
    let (value, width, first, blank, kwargs): (StringInput<'_>, _, _, _, Kwargs) = from_args(&args)?;
    if kwargs.get::<Option<usize>>("width")?.or(width).is_some_and(|it| it > INDENT_MAX) {
        return Err(Error::new(ErrorKind::InvalidOperation, "the indentation is too deep"));
    }
    minijinja::filters::indent(value, width, first, blank, kwargs)
}

/// Fills in a printf-style text. `%c` is left out: it would make any character of a number.
fn format(state: &mut State, text: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    static CHARACTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"%(\([^)]*\))?[-#0 +\d.*]*[hlL]?c").ok());
    // What comes of it is judged as a whole: minijinja would escape what it puts into a safe text, and call that safe.
    let Some(shown) = text.as_str() else { return minijinja::filters::format(state, text, args) };
    if CHARACTER.as_ref().is_some_and(|it| it.is_match(&shown.replace("%%", ""))) {
        return Err(Error::new(ErrorKind::InvalidOperation, "`%c` is not supported"));
    }
    minijinja::filters::format(state, &Value::from(shown), args)
}

/// Escapes for HTML. In a file that is none, what comes out is judged as any other text.
fn escape(watch: &Watch, value: &Value) -> Result<Value, Error> {
    if value.is_safe() {
        return Ok(value.clone());
    }
    let text = HtmlEscape(&watch.plain(&print(value)?)).to_string();
    Ok(if watch.is_free() { Value::from_safe_string(text) } else { Value::from(watch.taken(&text)) })
}

/// Writes a text as one word of a shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Writes a text as one word of a systemd unit, as in `ExecStart=` and `Environment=`.
fn systemd(text: &str) -> Result<String, Error> {
    let mut word = String::from("\"");
    for it in text.chars() {
        match it {
            '"' | '\\' => word.extend(['\\', it]),
            '%' => word.push_str("%%"),
            '\n' => word.push_str("\\n"),
            '\t' => word.push_str("\\t"),
            '\0' => return Err(Error::new(ErrorKind::InvalidOperation, "a unit cannot hold NUL")),
            it if it.is_ascii_control() => word.push_str(&format!("\\x{:02x}", u32::from(it))),
            it => word.push(it),
        }
    }
    word.push('"');
    Ok(word)
}

/// Writes a text as one word of a crontab's command.
fn crontab(text: &str) -> Result<String, Error> {
    if text.chars().any(|it| it.is_control() && it != '\t') {
        let message = "a crontab cannot hold line breaks and control characters";
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    Ok(quote(text).replace('%', r"\%"))
}

/// Writes a text as the value of an environment variable, for shells, systemd and dotenv libraries alike.
fn dotenv(text: &str) -> Result<String, Error> {
    let place = || Place::whole("");
    let node = Node::new(Plain::String(text.to_owned()), place());
    let map = Map::of_distinct(vec![Entry { key: "X".to_owned(), place: place(), node }]);
    let written = document::emit(&Node::new(Plain::Map(map), place()), Format::Env);
    let failed = || Error::new(ErrorKind::InvalidOperation, "dotenv cannot hold control characters");
    let written = written.map_err(|_| failed())?;
    Ok(written.trim_start_matches("X=").trim_end_matches('\n').to_owned())
}

fn to_json(watch: &Watch, state: &State, value: &Value, kwargs: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = kwargs.get("indent")?;
    kwargs.assert_all_used()?;
    let json = to_node(watch, state, value, 0)?.to_json();
    let failed = |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    // TOML, which reads JSON's texts too, wants this one escaped.
    let escaped = |text: String| text.replace('\u{7f}', "\\u007f");
    let Some(indent) = indent else { return serde_json::to_string(&json).map(escaped).map_err(failed) };
    let spaces = " ".repeat(indent.min(16));
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(&json, &mut serializer).map_err(failed)?;
    Ok(escaped(String::from_utf8_lossy(&text).into_owned()))
}

fn to_yaml(watch: &Watch, state: &State, value: &Value) -> Result<String, Error> {
    let node = to_node(watch, state, value, 0)?;
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

fn to_node(watch: &Watch, state: &State, value: &Value, depth: usize) -> Result<Node, Error> {
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
        ValueKind::String => Plain::String(watch.plain(&value.to_string())),
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?.map(|it| to_node(watch, state, &it, depth + 1));
            Plain::List(items.collect::<Result<_, _>>()?)
        }
        ValueKind::Map => {
            let entry = |key: Value| {
                let node = to_node(watch, state, &value.get_item(&key)?, depth + 1)?;
                Ok(Entry { key: watch.plain(&print(&key)?), place: place(), node })
            };
            let map: Map = value.try_iter()?.map(entry).collect::<Result<_, Error>>()?;
            Plain::Map(map)
        }
        _ => return refuse("the value has no such form"),
    };
    Ok(Node::new(plain, place()))
}
