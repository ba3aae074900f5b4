//! Which layer a value belongs into that is set by hand, and what its text means there.

use super::variables::typed;
use super::{Configuration, dotted};
use crate::document::{self, Format, Limits, MergeKeys, Value};
use crate::finding::{Code, Finding, Findings};
use std::sync::Arc;

/// Returns the name of the layer in which the value at `path` is to be written: the one whose value counts now, else the
/// last file that can be written.
///
/// `is_sealed` says of a layer's file whether it is encrypted. Refused is what would not count: where the value comes
/// from a variable of the host, and where it is encrypted.
pub fn owner<'a>(
    configuration: &'a Configuration,
    path: &[String],
    is_sealed: &dyn Fn(&str) -> bool,
) -> Result<&'a str, Finding> {
    // A list is replaced as a whole, so that its elements belong where it does.
    let is_list = |it: &usize| configuration.merged.at(&path[..*it]).is_some_and(|it| it.as_list().is_some());
    let held = (0..path.len()).find(is_list).map_or(path, |it| &path[..it]);
    let origins = configuration.origins_at(held);
    let winner = origins.iter().find(|it| it.wins).filter(|it| is_given(it.layer));
    let Some(winner) = winner else {
        let files = configuration.layers.iter().rev().map(|it| it.name.as_str());
        let files = files.filter(|it| is_file_layer(it) && !is_remote(it));
        return files.into_iter().find(|it| !is_sealed(it)).ok_or_else(|| {
            let message = format!("`{}` has no layer that is a file in plain text", configuration.name);
            refusal(message).hint("add a file to its `layers`")
        });
    };
    let refused = |message: String| refusal(message).at(winner.place);
    match winner.layer {
        layer if !is_file_layer(layer) => {
            let message = format!("`{}` comes from `{layer}`, which wins over every file below it", dotted(path));
            Err(refused(message).hint("change the variable, or name a layer above it with `--layer`"))
        }
        layer if is_remote(layer) => {
            let message = format!("`{}` comes from {layer}, which is not in this repository", dotted(path));
            let hint =
                "change it there and write its new digest into the manifest, or name a layer above it with `--layer`";
            Err(refused(message).hint(hint))
        }
        layer if is_sealed(layer) => {
            let message = format!("`{}` comes from `{layer}`, which is encrypted", dotted(path));
            Err(refused(message).hint("change it with `sops edit`, or name another layer with `--layer`"))
        }
        layer => Ok(layer),
    }
}

/// Returns whether a layer is written by somebody, and not what the schema and the migrations supply.
fn is_given(layer: &str) -> bool {
    !matches!(layer, "defaults" | "migrations")
}

/// Returns whether a layer is a file; others are named without an extension or with a colon.
pub fn is_file_layer(layer: &str) -> bool {
    is_given(layer) && layer != "set" && !layer.starts_with("env:")
}

/// Returns whether a layer comes from a server: no path holds two slashes.
fn is_remote(layer: &str) -> bool {
    layer.contains("://")
}

fn refusal(message: String) -> Finding {
    Finding::error(Code::SET, message)
}

/// Returns the value that a text is at `path`: of the type that the schema wants there, or what YAML sees in it.
///
/// The finding does not quote the text.
pub fn value_of(configuration: &Configuration, path: &[String], text: &str) -> Result<Value, Finding> {
    let types = configuration.schema.as_ref().map(|it| it.types_at(path)).filter(|it| !it.is_any());
    let Some(types) = types else { return Ok(plain(text)) };
    typed(text, types).ok_or_else(|| {
        let message = format!("`{}` must be {}; the text is not", dotted(path), types.describe());
        Finding::error(Code::TYPE, message).hint(types.how_to_write())
    })
}

/// Returns what YAML sees in a text that is a word, a text in quotes or a collection in brackets; all else is text.
fn plain(text: &str) -> Value {
    let mut findings = Findings::new();
    let (file, limits) = (Arc::from(""), Limits::default());
    let node = document::parse(Format::Yaml, &file, text.as_bytes(), &limits, MergeKeys::Apply, &mut findings);
    let trimmed = text.trim();
    let is_within = |open: char, close: char| trimmed.starts_with(open) && trimmed.ends_with(close);
    // Comments, anchors and tags are no part of a value that somebody types.
    let is_word =
        !trimmed.is_empty() && !trimmed.contains(char::is_whitespace) && !trimmed.starts_with(['#', '&', '!']);
    match node.map(|it| it.value).filter(|_| !findings.has_errors()) {
        Some(value @ (Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Null)) if is_word => value,
        Some(value @ Value::List(_)) if is_within('[', ']') => value,
        Some(value @ Value::Map(_)) if is_within('{', '}') => value,
        Some(Value::String(inner)) if is_within('"', '"') || is_within('\'', '\'') => Value::String(inner),
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layer;
    use crate::config::testing::tree;
    use serde_json::json;

    fn configuration() -> Configuration {
        let layers = vec![
            Layer::new("base.yaml", tree("base.yaml", json!({"a": 1, "b": 1, "c": 1, "s": 1, "l": [1]}))),
            Layer::new("top.yaml", tree("top.yaml", json!({"b": 2}))),
            Layer::new("sealed.yaml", tree("sealed.yaml", json!({"s": 2}))),
            Layer::new("https://h/r.yaml", tree("https://h/r.yaml", json!({"r": 2}))),
            Layer::new("env:APP_", tree("env:APP_", json!({"c": 2}))),
        ];
        Configuration::assemble("app", "production", layers, None, &|_| None, &mut Findings::new())
    }

    fn owned(key: &str) -> Result<String, String> {
        let configuration = configuration();
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        let owner = owner(&configuration, &path, &|it| it == "sealed.yaml");
        owner.map(str::to_owned).map_err(|it| format!("{} {}", it.code, it.message))
    }

    #[test]
    fn the_layer_that_wins_owns_the_value_and_the_last_plain_one_what_is_new() {
        assert_eq!(owned("a").as_deref(), Ok("base.yaml"));
        assert_eq!(owned("b").as_deref(), Ok("top.yaml"));
        assert_eq!(owned("l.1").as_deref(), Ok("base.yaml"));
        assert_eq!(owned("new").as_deref(), Ok("top.yaml"));
        assert_eq!(
            owned("c").expect_err("is refused"),
            "E_SET `c` comes from `env:APP_`, which wins over every file below it"
        );
        assert_eq!(owned("s").expect_err("is refused"), "E_SET `s` comes from `sealed.yaml`, which is encrypted");
        assert_eq!(
            owned("r").expect_err("is refused"),
            "E_SET `r` comes from https://h/r.yaml, which is not in this repository"
        );
    }

    #[test]
    fn without_a_schema_a_text_is_what_yaml_sees_in_it() {
        assert_eq!(plain("5"), Value::Int(5));
        assert_eq!(plain("true"), Value::Bool(true));
        assert_eq!(plain("\"5\""), Value::String("5".into()));
        for text in ["", "a: b", "- a", "no", "# x", "*a", "0644", "5 # y", "{", "1e999", "&a 5", "!!int 5"] {
            assert_eq!(plain(text), Value::String(text.into()));
        }
        assert!(matches!(plain("[1, {a: b}]"), Value::List(_)));
    }
}
