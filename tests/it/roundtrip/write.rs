//! What headfast writes, and who reads it.

use super::made::{TEXTS, text, tree, try_all, words};
use super::python::{headfast, is_without, map, node, read, shown, sorted, tagged};
use headfast::document::{Format, Value, emit};
use headfast::finding::Code;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value as Json, json};
use std::cell::Cell;

/// The parsers of each format that are not ours.
fn readers(format: Format) -> &'static [&'static str] {
    match format {
        Format::Yaml => &["yaml", "libyaml"],
        Format::Json => &["json", "yaml"],
        Format::Toml => &["toml"],
        Format::Ini => &["ini", "ini with comments behind values"],
        Format::Env => &["env"],
    }
}

/// TOML writes values before tables, and INI before sections; an environment has no order.
fn ordered(format: Format, tagged: &Json) -> Json {
    if matches!(format, Format::Yaml | Format::Json) { tagged.clone() } else { sorted(tagged) }
}

/// Fails unless everybody who reads a format reads `text` as `expected`.
fn all_read(format: Format, text: &str, expected: &Json) -> Result<(), TestCaseError> {
    let differs = |who: &str, read: String| TestCaseError::fail(format!("{who} reads {read}\nin {text:?}"));
    let expected = ordered(format, expected);
    let (ours, findings) = headfast(format, text);
    let ours = ours.map(|it| ordered(format, &tagged(&it.value)));
    // A document without a key is null to us in formats that have no empty map.
    let is_empty = shown(&expected) == "{}" && ours == Some(Json::Null);
    if !findings.is_empty() || (ours.as_ref() != Some(&expected) && !is_empty) {
        return Err(differs("headfast", format!("{:?} {findings:?}", ours.as_ref().map(shown))));
    }
    for reader in readers(format) {
        match read(reader, text) {
            Some(Err(complaint)) => return Err(differs(reader, complaint)),
            Some(Ok(it)) if ordered(format, &it) != expected => return Err(differs(reader, shown(&it))),
            _ => {}
        }
    }
    Ok(())
}

/// Fails unless everybody reads what we write of a value; `Ok(false)` when the format cannot hold it and we say so.
fn survives(format: Format, value: &Value, expected: &Json) -> Result<bool, TestCaseError> {
    match emit(&node(value.clone()), format) {
        Ok(text) => all_read(format, &text, expected).map(|()| true),
        Err(finding) if finding.code == Code::FORMAT => Ok(false),
        Err(finding) => Err(TestCaseError::fail(format!("{finding:?}"))),
    }
}

/// Returns a map as dotenv holds it: flat, and of texts.
fn flat(value: &Value) -> Json {
    fn collect(value: &Value, name: &str, pairs: &mut Vec<Json>) {
        match value {
            Value::Map(map) => map.iter().for_each(|it| {
                let name = if name.is_empty() { it.key.clone() } else { format!("{name}__{}", it.key) };
                collect(&it.node.value, &name, pairs);
            }),
            value => pairs.push(json!([name, as_text(value)])),
        }
    }
    let mut pairs = Vec::new();
    collect(value, "", &mut pairs);
    json!({"map": pairs})
}

/// Returns a value with every leaf as text, as INI holds it.
fn as_text(value: &Value) -> Json {
    match value {
        Value::Map(map) => {
            json!({"map": map.iter().map(|it| json!([it.key, as_text(&it.node.value)])).collect::<Vec<_>>()})
        }
        Value::String(it) => json!(it),
        other => json!(format!("{other:?}")),
    }
}

#[test]
fn d07_any_tree_that_is_written_as_yaml_or_json_is_read_by_others() {
    if is_without() {
        return;
    }
    try_all(300, &tree(true), |value| {
        let expected = tagged(&value);
        for format in [Format::Yaml, Format::Json] {
            prop_assert!(survives(format, &value, &expected)?, "{format:?} holds every tree");
        }
        Ok(())
    });
}

#[test]
fn d07_any_map_that_is_written_as_toml_is_read_by_others() {
    if is_without() {
        return;
    }
    try_all(300, &prop::collection::vec((text(), tree(false)), 0..5).prop_map(map), |value| {
        prop_assert!(survives(Format::Toml, &value, &tagged(&value))?, "TOML holds every map");
        Ok(())
    });
}

#[test]
fn d17_what_is_written_as_dotenv_is_what_a_shell_hands_on() {
    if is_without() {
        return;
    }
    let n_written = Cell::new(0);
    let nested = (words("HF[A-Za-z0-9_]{0,3}"), words("[A-Za-z0-9_]{1,3}")).prop_map(|(top, below)| {
        let Value::Map(mut entries) = top else { unreachable!("words are a map") };
        let Value::Map(nested) = map(vec![("HFN".to_owned(), below)]) else { unreachable!("it is a map") };
        nested.into_iter().for_each(|it| drop(entries.insert(it)));
        Value::Map(entries)
    });
    try_all(300, &nested, |value| {
        let is_written = survives(Format::Env, &value, &flat(&value))?;
        n_written.set(n_written.get() + u32::from(is_written));
        Ok(())
    });
    assert!(n_written.get() > 60, "only {} were written", n_written.get());
}

#[test]
fn d17_what_is_written_as_ini_is_read_by_every_dialect() {
    if is_without() {
        return;
    }
    let n_written = Cell::new(0);
    let sections = prop::collection::vec((text(), words("[A-Za-z0-9_. ;#\u{a0}-]{1,5}")), 0..3);
    let document = (words("[A-Za-z]{1,4}"), sections).prop_map(|(top, sections)| {
        let Value::Map(mut entries) = top else { unreachable!("words are a map") };
        let Value::Map(sections) = map(sections) else { unreachable!("it is a map") };
        sections.into_iter().for_each(|it| drop(entries.insert(it)));
        Value::Map(entries)
    });
    try_all(600, &document, |value| {
        let is_written = survives(Format::Ini, &value, &as_text(&value))?;
        n_written.set(n_written.get() + u32::from(is_written));
        Ok(())
    });
    assert!(n_written.get() > 60, "only {} were written", n_written.get());
}

/// Each text by itself, as value and as key, so that none depends on luck.
#[test]
fn d17_texts_that_look_like_something_else_are_read_as_texts() {
    if is_without() {
        return;
    }
    for text in TEXTS {
        let name = format!("{text}2");
        let value = map(vec![
            ("HF".to_owned(), Value::String(text.to_owned())),
            ("HFM".to_owned(), map(vec![("k".to_owned(), Value::String(text.to_owned()))])),
        ]);
        let keys = map(vec![(text.to_owned(), Value::Int(1)), (name, map(vec![(text.to_owned(), Value::Bool(true))]))]);
        for format in [Format::Yaml, Format::Json, Format::Toml] {
            for value in [&value, &keys] {
                let is_held = survives(format, value, &tagged(value));
                assert_eq!(is_held.map_err(|it| it.to_string()), Ok(true), "{text:?}");
            }
        }
        for (format, value, expected) in [
            (Format::Env, &value, flat(&value)),
            (Format::Ini, &value, as_text(&value)),
            (Format::Ini, &keys, as_text(&keys)),
        ] {
            let is_held = survives(format, value, &expected);
            assert!(is_held.is_ok(), "{text:?} {is_held:?}");
        }
    }
}
