//! Layers, merge, interpolation, origins, schema and typed validation.

mod merge;
mod interpolate;
mod variables;
mod schema;
mod configuration;
mod difference;
mod rules;
mod remotes;
mod manager;
mod owner;
mod ready;
#[cfg(test)]
pub(crate) mod testing;

pub use configuration::{Configuration, Layer, Origin};
pub use difference::{Change, ChangeKind, difference};
pub use interpolate::{Reference, interpolate, references};
pub use manager::{
    ConfigurationManager, Document, Documents, Loaded, Memory, MigratedDocument, Migrations, validate_configuration,
};
pub use merge::merge;
pub use owner::{is_file_layer, owner, value_of};
pub use ready::{BUILTIN, Ready};
pub use remotes::{NoRemotes, Remotes};
pub use rules::{Field, Kind, Rules};
pub use schema::{ConfigSchema, InferOptions, Template, Types, infer};
pub use variables::variables_layer;

use crate::document::{Node, Value};

/// What stands for a value that was decrypted.
pub const REDACTED: &str = "<redacted>";
/// How many characters of a value are shown in a message.
const MAX_SHOWN_CHARS: usize = 60;

/// Returns a value as it is shown in messages: short, on one line, and never a secret.
pub fn shown(node: &Node) -> String {
    if node.holds_secret() {
        return REDACTED.to_owned();
    }
    let text = match &node.value {
        Value::List(items) => return format!("a list of {}", counted(items.len(), "item")),
        Value::Map(map) => return format!("a map of {}", counted(map.len(), "key")),
        _ => node.to_json().to_string(),
    };
    if text.chars().count() <= MAX_SHOWN_CHARS {
        return text;
    }
    let start: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    format!("{start}…")
}

/// Returns a number of things in words: `1 item`, `2 items`.
fn counted(n: usize, unit: &str) -> String {
    format!("{n} {unit}{}", if n == 1 { "" } else { "s" })
}

/// Returns the value as JSON with `<redacted>` in place of everything that was decrypted: what policies, records and
/// exports get to see.
pub fn redacted(node: &Node) -> serde_json::Value {
    use serde_json::Value as Json;
    match &node.value {
        _ if node.secret => Json::from(REDACTED),
        Value::List(items) => Json::Array(items.iter().map(redacted).collect()),
        Value::Map(map) => Json::Object(map.iter().map(|it| (it.key.clone(), redacted(&it.node))).collect()),
        _ => node.to_json(),
    }
}

/// Returns a path as people write it: `server.port`.
fn dotted(path: &[String]) -> String {
    path.join(".")
}

#[cfg(test)]
mod tests {
    use super::testing::{secret_at, tree};
    use super::*;
    use serde_json::json;

    #[test]
    fn x05_a_secret_is_never_shown() {
        let node = secret_at(tree("f", json!({"a": {"password": "hunter2"}, "b": 1})), "a.password");
        assert_eq!(shown(&node), REDACTED);
        assert_eq!(redacted(&node), json!({"a": {"password": "<redacted>"}, "b": 1}));
    }

    #[test]
    fn a_long_text_is_cut() {
        let node = Node::new(Value::String("ä".repeat(100)), crate::place::Place::whole("f"));
        assert_eq!(shown(&node).chars().count(), MAX_SHOWN_CHARS + 1);
    }
}
