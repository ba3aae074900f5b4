//! YAML, JSON, TOML, INI and dotenv ⇄ a tree whose every node knows its place.

pub mod decode;
pub mod edit;
mod emit;
mod env;
mod ini;
mod json;
mod path;
mod scalar;
mod source;
mod toml;
mod yaml;

pub use emit::emit;
pub use path::KeyPath;
pub(crate) use scalar::is_fraction;

use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use std::sync::Arc;

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where the value starts.
    pub place: Place,
    /// Whether the value, or one that it was made from, was encrypted. Its text is never printed.
    pub secret: bool,
}

/// A value of a configuration.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number between `i64::MIN` and `u64::MAX`; parsers refuse others.
    Int(i128),
    /// A finite number with a fraction or an exponent.
    Float(f64),
    /// Text.
    String(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the document.
    Map(Map),
}

/// A mapping that keeps the order in which its keys were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    entries: Vec<Entry>,
}

/// A key, where it was written, and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key starts.
    pub place: Place,
    /// The value.
    pub node: Node,
}

/// A file format that holds a tree of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// YAML 1.2, core schema.
    Yaml,
    /// JSON, with comments and trailing commas allowed in reading.
    Json,
    /// TOML 1.0.
    Toml,
    /// `KEY=value` lines.
    Env,
    /// Sections of `key = value` lines.
    Ini,
}

impl Format {
    /// The extensions that tell a format.
    pub const EXTENSIONS: [&str; 9] = ["cfg", "conf", "env", "ini", "json", "jsonc", "toml", "yaml", "yml"];

    /// Returns the format that a file name's extension stands for.
    pub fn of_path(path: &str) -> Option<Format> {
        let name = path.rsplit('/').next().unwrap_or(path);
        if name == ".env" {
            return Some(Format::Env);
        }
        match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "yaml" | "yml" => Some(Format::Yaml),
            "json" | "jsonc" => Some(Format::Json),
            "toml" => Some(Format::Toml),
            "env" => Some(Format::Env),
            "ini" | "cfg" | "conf" => Some(Format::Ini),
            _ => None,
        }
    }
}

/// How much a document may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The size of the file in bytes; also how much text aliases may repeat.
    pub bytes: usize,
    /// How many collections may stand inside each other.
    pub depth: usize,
    /// The number of values.
    pub nodes: usize,
    /// The number of values that aliases may repeat, and the number of anchors.
    pub aliases: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 4 << 20, depth: 64, nodes: 100_000, aliases: 20_000 }
    }
}

/// What becomes of YAML's merge key `<<`, and of plain numbers such as `0644`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeKeys {
    /// It is applied, and `0644` is text: in layers.
    Apply,
    /// It is an error, and `0644` is the number 644, so that it cannot pass for a file mode: in `headfast.yaml` and
    /// `agent.yaml`.
    Refuse,
}

/// How many mistakes of one document are told; nobody reads more, and a hostile one has millions.
const MAX_FINDINGS: usize = 100;

/// Reads a document.
///
/// An empty document is [`Value::Null`] at the place of the whole file. When the result is `None`, an error in
/// `findings` says why. Mistakes that leave a tree to go on with (a key that stands twice, a tag, a number that does not
/// fit) are pushed as errors **and** the tree is returned, so that a caller can find more; callers judge `findings`.
pub fn parse(
    format: Format,
    file: &Arc<str>,
    bytes: &[u8],
    limits: &Limits,
    merge_keys: MergeKeys,
    findings: &mut Findings,
) -> Option<Node> {
    let mut found = Findings::new();
    let node = parse_all(format, file, bytes, limits, merge_keys, &mut found);
    let n_more = found.n_errors().saturating_sub(MAX_FINDINGS);
    findings.extend(found.into_iter().take(MAX_FINDINGS).collect());
    if n_more > 0 {
        let message = format!("the file has {n_more} more mistakes");
        findings.push(Finding::error(Code::SYNTAX, message).at(&Place::whole(file)));
    }
    node
}

fn parse_all(
    format: Format,
    file: &Arc<str>,
    bytes: &[u8],
    limits: &Limits,
    merge_keys: MergeKeys,
    findings: &mut Findings,
) -> Option<Node> {
    let source = source::Source::new(file, bytes, limits, findings)?;
    let node = match format {
        Format::Yaml => return yaml::parse(&source, limits, merge_keys, findings),
        Format::Json => return json::parse(&source, limits, findings),
        Format::Toml => toml::parse(&source, limits, findings),
        Format::Env => env::parse(&source, limits, findings),
        Format::Ini => ini::parse(&source, limits, findings),
    }?;
    // These formats cannot say "an empty map"; a file without a key is empty.
    let is_empty = node.as_map().is_some_and(Map::is_empty);
    Some(if is_empty { Node::new(Value::Null, Place::whole(file)) } else { node })
}

fn duplicate(key: &str, first: &Place, again: &Place) -> Finding {
    let message = format!("the key `{}` stands twice, first on line {}", key.escape_debug(), first.line);
    Finding::error(Code::DUPLICATE_KEY, message).at(again).hint("remove one of them")
}

impl Node {
    /// Returns a node that holds `value`, written at `place`.
    pub fn new(value: Value, place: Place) -> Self {
        Node { value, place, secret: false }
    }

    /// Returns the name of the value's type as people say it.
    pub fn type_name(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::String(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// Returns the text, when the value is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the map, when the value is one.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Returns the elements, when the value is a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the node at a dotted path such as `server.port` or `users.0.name`; the empty path is the node itself.
    pub fn get(&self, path: &str) -> Option<&Node> {
        if path.is_empty() {
            return Some(self);
        }
        path.split('.').try_fold(self, |node, step| match &node.value {
            Value::Map(map) => map.get(step),
            Value::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Returns whether this value or one below it is secret.
    pub fn holds_secret(&self) -> bool {
        self.secret
            || match &self.value {
                Value::List(items) => items.iter().any(Node::holds_secret),
                Value::Map(map) => map.iter().any(|it| it.node.holds_secret()),
                _ => false,
            }
    }

    /// Returns the value as JSON, without places. Secret values are included: the result must not be printed.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(it) => Json::Bool(*it),
            Value::Int(it) => match (i64::try_from(*it), u64::try_from(*it)) {
                (Ok(it), _) => Json::from(it),
                (_, Ok(it)) => Json::from(it),
                _ => unreachable!("parsers keep whole numbers within i64::MIN..=u64::MAX"),
            },
            Value::Float(it) => serde_json::Number::from_f64(*it).map_or(Json::Null, Json::Number),
            Value::String(it) => Json::String(it.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(map) => Json::Object(map.iter().map(|it| (it.key.clone(), it.node.to_json())).collect()),
        }
    }
}

impl std::fmt::Debug for Value {
    /// Shows the shape of a value and its scalars; [`Node`]s that are secret must not be debug-printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(it) => write!(f, "{it}"),
            Value::Int(it) => write!(f, "{it}"),
            Value::Float(it) => write!(f, "{it:?}"),
            Value::String(it) => write!(f, "{it:?}"),
            Value::List(items) => f.debug_list().entries(items.iter().map(|it| &it.value)).finish(),
            Value::Map(map) => f.debug_map().entries(map.iter().map(|it| (&it.key, &it.node.value))).finish(),
        }
    }
}

impl Map {
    /// Returns an empty map.
    pub fn new() -> Self {
        Map::default()
    }

    /// Returns a map of entries that are known to have different keys; faster than inserting them.
    pub fn of_distinct(entries: Vec<Entry>) -> Self {
        Map { entries }
    }

    /// Returns the value of `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|it| &it.node)
    }

    /// Returns the value of `key`, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries.iter_mut().find(|it| it.key == key).map(|it| &mut it.node)
    }

    /// Returns the whole entry of `key`.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|it| it.key == key)
    }

    /// Sets `key`, in its old position when it exists and at the end otherwise; returns the entry that it replaces.
    pub fn insert(&mut self, entry: Entry) -> Option<Entry> {
        match self.entries.iter_mut().find(|it| it.key == entry.key) {
            Some(old) => Some(std::mem::replace(old, entry)),
            None => {
                self.entries.push(entry);
                None
            }
        }
    }

    /// Removes `key` and returns its entry.
    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        let idx = self.entries.iter().position(|it| it.key == key)?;
        Some(self.entries.remove(idx))
    }

    /// Iterates over the entries in the order of the document.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// Iterates over the entries, to change their values.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Entry> {
        self.entries.iter_mut()
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl FromIterator<Entry> for Map {
    /// Collects entries; of two with one key the later wins, in the position of the earlier.
    fn from_iter<I: IntoIterator<Item = Entry>>(iter: I) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        let mut index = std::collections::HashMap::new();
        for entry in iter {
            match index.get(&entry.key) {
                Some(idx) => entries[*idx] = entry,
                None => {
                    index.insert(entry.key.clone(), entries.len());
                    entries.push(entry);
                }
            }
        }
        Map { entries }
    }
}

impl IntoIterator for Map {
    type Item = Entry;
    type IntoIter = std::vec::IntoIter<Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
