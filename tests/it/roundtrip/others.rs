//! What others write, and headfast reads.

use super::made::{TEXTS, tree, try_all};
use super::python::{headfast, is_without, map, read, shown, sorted, tagged, written};
use headfast::document::{Format, Value};
use headfast::finding::Code;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use regex::Regex;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// What YAML 1.2 takes for a number and PyYAML, which writes YAML 1.1, for a text that needs no quotes.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(0o[0-7]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?)$").expect("a pattern")
});

/// Returns whether headfast reads the value that was written; a text without quotes that 1.2 takes for a number is one.
fn agrees(written: &Json, ours: &Json) -> bool {
    match (written, ours) {
        (Json::Array(written), Json::Array(ours)) => {
            written.len() == ours.len() && written.iter().zip(ours).all(|(written, ours)| agrees(written, ours))
        }
        (Json::Object(written), Json::Object(ours)) if written.contains_key("map") => {
            ours.get("map").is_some_and(|ours| agrees(&written["map"], ours))
        }
        (Json::String(text), Json::Object(number)) if NUMBER.is_match(text) => match number.iter().next() {
            Some((_, Json::String(whole))) if number.contains_key("int") => {
                let digits = text.strip_prefix("0o");
                let value = digits.map_or_else(|| text.parse().ok(), |it| i128::from_str_radix(it, 8).ok());
                value.is_some_and(|it: i128| it.to_string() == *whole)
            }
            Some((_, Json::String(bits))) => {
                text.parse::<f64>().is_ok_and(|it| format!("{:016x}", it.to_bits()) == *bits)
            }
            _ => false,
        },
        _ => written == ours,
    }
}

/// Returns whether one of the texts in a value looks like a number that no double holds.
fn holds_number(value: &Json) -> bool {
    match value {
        Json::String(text) => NUMBER.is_match(text),
        Json::Array(items) => items.iter().any(holds_number),
        Json::Object(tag) => tag.get("map").is_some_and(holds_number),
        _ => false,
    }
}

/// Fails unless headfast reads `text`, which Python wrote, as `value`.
fn is_read(format: Format, text: &str, value: &Json) -> Result<(), TestCaseError> {
    let (node, findings) = headfast(format, text);
    let ours = node.map(|it| tagged(&it.value));
    let is_refused = !findings.is_empty() && findings.iter().all(|it| it.code == Code::NUMBER);
    let is_right = match &ours {
        // `1e999` is a text to PyYAML, and to us a number that cannot be kept.
        Some(_) if is_refused => format == Format::Yaml && holds_number(value),
        Some(ours) if findings.is_empty() && format == Format::Yaml => agrees(value, ours),
        Some(ours) if findings.is_empty() => value == ours,
        _ => false,
    };
    match is_right {
        true => Ok(()),
        false => Err(TestCaseError::fail(format!("we read {:?} {findings:?}\nin {text:?}", ours.as_ref().map(shown)))),
    }
}

/// Returns a value without the characters that break lines in YAML 1.1 and not in 1.2: PyYAML indents what follows them,
/// which is part of the text in 1.2. The tables say what becomes of them.
fn without_breaks(value: &Json) -> Json {
    let text =
        ["\u{85}", "\u{2028}", "\u{2029}"].iter().fold(value.to_string(), |it, from| it.replace(from, "\u{e085}"));
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn d07_what_python_writes_as_json_is_read_by_headfast() {
    if is_without() {
        return;
    }
    let options = [
        json!({}),
        json!({"ensure_ascii": false, "indent": 2}),
        json!({"separators": [",", ":"], "sort_keys": false}),
        json!({"indent": "\t"}),
    ];
    try_all(200, &tree(true), |value| {
        let value = tagged(&value);
        options.iter().try_for_each(|it| is_read(Format::Json, &written("json", &value, it), &value))
    });
}

#[test]
fn d06_what_python_writes_as_yaml_is_read_by_headfast() {
    if is_without() {
        return;
    }
    let styles = [
        json!({"default_flow_style": false}),
        json!({"default_flow_style": true, "allow_unicode": true}),
        json!({"default_flow_style": null, "width": 20, "allow_unicode": true}),
        json!({"default_style": "\"", "width": 20}),
        json!({"default_style": "'", "width": 20, "allow_unicode": true}),
        json!({"default_style": "|", "indent": 4, "allow_unicode": true}),
        json!({"default_style": ">", "width": 20, "allow_unicode": true}),
        json!({"explicit_start": true, "explicit_end": true}),
    ];
    try_all(200, &tree(true), |value| {
        let value = tagged(&value);
        for style in &styles {
            let mut options = style.clone();
            options["sort_keys"] = json!(false);
            // Between double quotes, and without `allow_unicode`, they are escaped.
            let is_escaped = style.get("allow_unicode").is_none();
            let value = if is_escaped { value.clone() } else { without_breaks(&value) };
            is_read(Format::Yaml, &written("yaml", &value, &options), &value)?;
        }
        Ok(())
    });
    for text in TEXTS {
        let value = without_breaks(&tagged(&map(vec![(text.to_owned(), Value::String(text.to_owned()))])));
        for options in &styles {
            let document = written("yaml", &value, options);
            assert_eq!(is_read(Format::Yaml, &document, &value).map_err(|it| it.to_string()), Ok(()));
        }
    }
}

#[test]
fn d07_what_python_writes_as_ini_is_read_by_headfast() {
    if is_without() {
        return;
    }
    // What stands on one line, as no other dialect has it, and is not taken for a comment.
    let word = "[!-~]([ -~]{0,8}[!-~])?|[äöü ]{0,3}ß";
    let name = "[a-z]([a-z0-9 ._-]{0,6}[a-z0-9])?";
    let section = prop::collection::btree_map(name, word, 0..4);
    let document = prop::collection::btree_map(name, section, 0..3);
    try_all(200, &document, |document| {
        let texts = |it: std::collections::BTreeMap<String, String>| {
            map(it.into_iter().map(|(key, it)| (key, Value::String(it.trim().to_owned()))).collect())
        };
        let value = tagged(&map(document.into_iter().map(|(key, it)| (key, texts(it))).collect()));
        for options in [json!({}), json!({"space_around_delimiters": false})] {
            let text = written("ini", &value, &options);
            match value["map"].as_array().is_some_and(Vec::is_empty) {
                true => prop_assert_eq!(text, ""),
                false => is_read(Format::Ini, &text, &value)?,
            }
        }
        Ok(())
    });
}

/// Returns a value with the key `on`, which YAML 1.1 takes for `true`.
fn with_on(value: &Json) -> Json {
    match value {
        Json::Array(items) => items.iter().map(with_on).collect(),
        Json::Object(tag) if tag.contains_key("map") => {
            let pairs = tag["map"].as_array().into_iter().flatten();
            let key = |it: &Json| if *it == json!(true) { json!("on") } else { it.clone() };
            json!({"map": pairs.map(|it| json!([key(&it[0]), with_on(&it[1])])).collect::<Vec<_>>()})
        }
        _ => value.clone(),
    }
}

/// Every document of the examples means to others what it means to us, but for the key `on`.
#[test]
fn the_documents_of_the_examples_are_read_alike() {
    fn files(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).expect("reads") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { files(&path, found) } else { found.push(path) }
        }
    }
    if is_without() {
        return;
    }
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"), &mut found);
    let mut n_read = 0;
    for path in found {
        let (name, format) = (path.display().to_string(), Format::of_path(&path.display().to_string()));
        let (reader, format) = match format {
            Some(it @ Format::Yaml) => ("yaml", it),
            Some(it @ Format::Json) => ("json", it),
            Some(it @ Format::Toml) => ("toml", it),
            _ => continue,
        };
        let text = std::fs::read_to_string(&path).expect("is text");
        let (node, findings) = headfast(format, &text);
        let ours = node.map(|it| sorted(&tagged(&it.value)));
        let theirs = read(reader, &text).expect("there is such a parser").map(|it| sorted(&with_on(&it)));
        assert!(findings.is_empty() && ours == theirs.clone().ok(), "{name}: {ours:?}\n{theirs:?}");
        n_read += 1;
    }
    assert!(n_read > 5, "only {n_read} documents were read");
}
