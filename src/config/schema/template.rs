//! A document to begin with, made from a schema.

use super::shape::{Looks, keyword, list};
use super::{ConfigSchema, Source};
use crate::document::{self, Entry, Format, Map, Node, Value};
use crate::finding::{Finding, Findings};
use crate::place::Place;

/// The deepest nesting of a template; a schema that contains itself has no end.
const DEPTH_MAX: usize = 8;
/// The most values that a comment lists.
const LISTED_MAX: usize = 12;

/// A document to begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The document. In YAML every key has a comment, and optional keys without a default are commented out.
    pub text: String,
    /// The dotted paths of the values that nobody but the reader knows: with them as they are, the document does not fit.
    pub unfilled: Vec<String>,
}

/// One key of a template.
struct Item {
    key: String,
    notes: Vec<String>,
    is_required: bool,
    /// Whether the key is a part of the document, and no comment.
    is_active: bool,
    value: Body,
}

enum Body {
    Leaf(Node),
    Map(Vec<Item>),
}

impl ConfigSchema {
    /// Returns a document to begin with, in YAML with comments or in another format without.
    ///
    /// A value is the default, else the `const`, the first of `enum` or `examples`, else an empty one of the right type.
    pub fn template(&self, format: Format) -> Result<Template, Finding> {
        let source = &self.inner.source;
        let mut maker = Maker { source, place: Place::whole(self.file()) };
        let items = maker.items(&[&source.node], 0);
        let document = maker.node(&items);
        let mut findings = Findings::new();
        self.validate(&document, &mut findings);
        let pointers = findings.iter().filter_map(|it| it.pointer.as_deref());
        let mut unfilled: Vec<String> = pointers.map(|it| it.trim_start_matches('/').replace('/', ".")).collect();
        unfilled.sort();
        unfilled.dedup();
        let text = match format {
            Format::Yaml => {
                let mut lines = Vec::new();
                for text in [self.title(), self.description()].into_iter().flatten() {
                    lines.extend(text.lines().map(|it| format!("# {it}")));
                }
                write(&items, "", &unfilled, &mut lines)?;
                lines.iter().map(|it| format!("{it}\n")).collect()
            }
            _ => document::emit(&document, format)?,
        };
        Ok(Template { text, unfilled })
    }
}

struct Maker<'a> {
    source: &'a Source,
    place: Place,
}

impl<'a> Maker<'a> {
    /// Returns `schemas`, all that holds with them, and of alternatives the first.
    fn all(&self, schemas: &[&'a Node]) -> Vec<&'a Node> {
        let mut all = Looks::new(self.source).all_conjuncts(schemas).unwrap_or_default();
        let is_map = all.iter().any(|it| keyword(it, "properties").is_some());
        let alternative = all.iter().find_map(|it| ["oneOf", "anyOf"].iter().find_map(|name| list(it, name).first()));
        if let Some(first) = alternative.filter(|_| !is_map) {
            all.extend(Looks::new(self.source).all_conjuncts(&[first]).unwrap_or_default());
        }
        all
    }

    fn items(&mut self, schemas: &[&'a Node], depth: usize) -> Vec<Item> {
        let schemas = self.all(schemas);
        let required: Vec<&str> = schemas.iter().flat_map(|it| list(it, "required")).filter_map(Node::as_str).collect();
        let mut keys: Vec<(&'a str, Vec<&'a Node>)> = Vec::new();
        for entry in schemas.iter().filter_map(|it| keyword(it, "properties")?.as_map()).flat_map(Map::iter) {
            match keys.iter_mut().find(|it| it.0 == entry.key) {
                Some((_, schemas)) => schemas.push(&entry.node),
                None => keys.push((&entry.key, vec![&entry.node])),
            }
        }
        let item = |(key, schemas): (&'a str, Vec<&'a Node>)| self.item(key, &schemas, required.contains(&key), depth);
        keys.into_iter().map(item).collect()
    }

    fn item(&mut self, key: &str, schemas: &[&'a Node], is_required: bool, depth: usize) -> Item {
        let all = self.all(schemas);
        let default = all.iter().find_map(|it| keyword(it, "default"));
        let notes = notes(&all, is_required && default.is_none());
        let value = match self.value(&all, default) {
            Some(node) => Body::Leaf(node),
            None if depth < DEPTH_MAX => Body::Map(self.items(schemas, depth + 1)),
            None => Body::Leaf(self.empty(Value::Map(Map::new()))),
        };
        let has_active = matches!(&value, Body::Map(items) if items.iter().any(|it| it.is_active) && items.iter().all(|it| it.is_active || !it.is_required));
        // A map that only has what must be said is not begun for the sake of a default in it.
        let lacks = matches!(&value, Body::Map(items) if items.iter().any(|it| it.is_required));
        let is_active = is_required || default.is_some() || has_active && !lacks;
        Item { key: key.to_owned(), notes, is_required, is_active, value }
    }

    /// Returns a value, unless it is a map with keys of its own.
    fn value(&self, all: &[&'a Node], default: Option<&'a Node>) -> Option<Node> {
        let first_of = |name: &str| all.iter().find_map(|it| list(it, name).first());
        let constant = all.iter().find_map(|it| keyword(it, "const"));
        let given = default.or(constant).or_else(|| first_of("enum")).or_else(|| first_of("examples"));
        if let Some(given) = given {
            return Some(Node::new(given.value.clone(), self.place.clone()));
        }
        if all.iter().any(|it| keyword(it, "properties").is_some()) {
            return None;
        }
        let least = |name: &str| all.iter().find_map(|it| keyword(it, name)).map(|it| it.value.clone());
        let types = all.iter().find_map(|it| match &keyword(it, "type")?.value {
            Value::String(name) => Some(name.as_str()),
            Value::List(names) => names.iter().filter_map(Node::as_str).find(|it| *it != "null"),
            _ => None,
        });
        Some(self.empty(match types.unwrap_or("string") {
            "integer" | "number" => match least("minimum") {
                Some(number @ (Value::Int(_) | Value::Float(_))) => number,
                _ => Value::Int(i128::from(least("exclusiveMinimum").is_some())),
            },
            "boolean" => Value::Bool(false),
            "null" => Value::Null,
            "array" => Value::List(Vec::new()),
            "object" => Value::Map(Map::new()),
            _ => Value::String(String::new()),
        }))
    }

    fn empty(&self, value: Value) -> Node {
        Node::new(value, self.place.clone())
    }

    /// Returns the part of the document that is active.
    fn node(&self, items: &[Item]) -> Node {
        let entry = |item: &Item| {
            let node = match &item.value {
                Body::Leaf(node) => node.clone(),
                Body::Map(items) => self.node(items),
            };
            Entry { key: item.key.clone(), place: self.place.clone(), node }
        };
        self.empty(Value::Map(items.iter().filter(|it| it.is_active).map(entry).collect()))
    }
}

/// Returns what the schema says about a value, for a comment.
fn notes(all: &[&Node], is_required: bool) -> Vec<String> {
    let said = |name: &str| all.iter().find_map(|it| keyword(it, name));
    let shown = |node: &Node| node.to_json().to_string();
    let description = said("description").or_else(|| said("title")).and_then(Node::as_str);
    let mut lines: Vec<String> = description.into_iter().flat_map(str::lines).map(str::to_owned).collect();
    let options = all.iter().map(|it| list(it, "enum")).find(|it| !it.is_empty()).unwrap_or_default();
    let mut facts = Vec::new();
    if !options.is_empty() {
        let more = if options.len() > LISTED_MAX { ", …" } else { "" };
        let listed: Vec<String> = options.iter().take(LISTED_MAX).map(shown).collect();
        facts.push(format!("one of {}{more}", listed.join(", ")));
    }
    for (name, words) in [
        ("minimum", "at least"),
        ("exclusiveMinimum", "more than"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "less than"),
        ("minLength", "characters, at least"),
        ("maxLength", "characters, at most"),
        ("pattern", "like"),
        ("format", "a valid"),
    ] {
        facts.extend(said(name).map(|it| match &it.value {
            Value::String(text) => format!("{words} {text}"),
            _ => format!("{words} {}", shown(it)),
        }));
    }
    if said("deprecated").is_some_and(|it| it.value == Value::Bool(true)) {
        facts.push("deprecated".to_owned());
    }
    if is_required {
        facts.push("required".to_owned());
    }
    if !facts.is_empty() {
        lines.push(format!("({})", facts.join("; ")));
    }
    lines
}

fn write(items: &[Item], path: &str, unfilled: &[String], lines: &mut Vec<String>) -> Result<(), Finding> {
    for (idx, item) in items.iter().enumerate() {
        let path = if path.is_empty() { item.key.clone() } else { format!("{path}.{}", item.key) };
        if idx > 0 || !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(item.notes.iter().map(|it| format!("# {it}")));
        let mut own = Vec::new();
        match &item.value {
            Body::Leaf(node) => {
                let entry = Entry { key: item.key.clone(), place: node.place.clone(), node: node.clone() };
                let map = Node::new(Value::Map([entry].into_iter().collect()), node.place.clone());
                own.extend(document::emit(&map, Format::Yaml)?.lines().map(str::to_owned));
            }
            Body::Map(items) => {
                let nothing = Node::new(Value::Null, Place::whole(""));
                let entry = Entry { key: item.key.clone(), place: nothing.place.clone(), node: nothing.clone() };
                let map = Node::new(Value::Map([entry].into_iter().collect()), nothing.place);
                let text = document::emit(&map, Format::Yaml)?;
                own.push(text.trim_end().trim_end_matches("null").trim_end().to_owned());
                let mut below = Vec::new();
                write(items, &path, unfilled, &mut below)?;
                own.extend(below.into_iter().map(|it| if it.is_empty() { it } else { format!("  {it}") }));
            }
        }
        if item.is_active
            && unfilled.contains(&path)
            && let Some(first) = own.first_mut()
        {
            first.push_str("  # CHANGE ME");
        }
        let commented = |line: String| if line.is_empty() { "#".to_owned() } else { format!("# {line}") };
        match item.is_active {
            true => lines.extend(own),
            false => lines.extend(own.into_iter().map(commented)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Ready;
    use crate::config::testing::{lines, tree};
    use crate::document::{Limits, MergeKeys};
    use serde_json::{Value as Json, json};
    use std::sync::Arc;

    fn schema(json: Json) -> ConfigSchema {
        let mut findings = Findings::new();
        let schema = ConfigSchema::from_node(tree("s.json", json), &mut findings);
        assert_eq!(lines(&findings), [""; 0]);
        schema.expect("a valid schema")
    }

    /// Returns the template in YAML, whose document is the one that other formats have.
    fn template(schema: &ConfigSchema) -> Template {
        let template = schema.template(Format::Yaml).expect("it can be written");
        let parse = |format, text: &str| {
            let mut findings = Findings::new();
            let file: Arc<str> = Arc::from("t");
            let node =
                document::parse(format, &file, text.as_bytes(), &Limits::default(), MergeKeys::Apply, &mut findings);
            let node = node.unwrap_or_else(|| panic!("{:?}\n{text}", lines(&findings)));
            let mut found = Findings::new();
            schema.validate(&node, &mut found);
            assert_eq!(found.is_empty(), template.unfilled.is_empty(), "{:?}", lines(&found));
            node.to_json()
        };
        let as_json = schema.template(Format::Json).expect("it can be written");
        assert_eq!(parse(Format::Yaml, &template.text), parse(Format::Json, &as_json.text));
        template
    }

    #[test]
    fn m29_a_template_has_defaults_placeholders_and_comments() {
        let schema = schema(json!({
            "title": "App",
            "required": ["name", "port", "server", "token"],
            "properties": {
                "name": {"type": "string", "description": "What it is called."},
                "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                "level": {"enum": ["info", "debug"], "default": "debug"},
                "ratio": {"type": "number"},
                "server": {"required": ["host"], "properties": {"host": {"type": "string", "examples": ["localhost"]}, "tls": {"type": "boolean"}}},
                "cache": {"properties": {"size": {"type": "integer", "default": 10}, "dir": {"type": "string"}}},
                "database": {"required": ["name"], "properties": {"name": {"type": "string"}, "port": {"default": 5432}}},
                "token": {"type": "string", "minLength": 8},
                "tags": {"type": "array", "items": {"type": "string"}},
                "mode": {"oneOf": [{"const": "a"}, {"const": "b"}]},
            }
        }));
        let template = template(&schema);
        assert_eq!(template.unfilled, ["token"]);
        insta::assert_snapshot!(template.text, @r#"
        # App

        # What it is called.
        # (required)
        name: ""

        # (at least 1; at most 65535; required)
        port: 1

        # (one of "info", "debug")
        level: debug

        # ratio: 0

        # (required)
        server:
          # (required)
          host: localhost

          # tls: false

        cache:
          size: 10

          # dir: ""

        # database:
        #   # (required)
        #   name: ""
        #
        #   port: 5432

        # (characters, at least 8; required)
        token: ""  # CHANGE ME

        # tags: []

        # mode: a
        "#);
    }

    #[test]
    fn m29_a_schema_that_contains_itself_comes_to_an_end() {
        let schema = schema(json!({"properties": {"v": {"default": 1}, "next": {"$ref": "#"}}, "required": ["next"]}));
        let template = template(&schema);
        assert!(template.text.len() < 5_000 && !template.unfilled.is_empty());
    }

    #[test]
    fn m29_the_ready_schemas_have_templates() {
        for (ready, unfilled) in [
            (Ready::Logging, &[][..]),
            (Ready::Database, &["name"]),
            (Ready::Service, &[]),
            (Ready::Model, &["model", "provider"]),
        ] {
            let schema = ConfigSchema::ready(ready, &mut Findings::new()).expect("in order");
            assert_eq!(template(&schema).unfilled, unfilled, "{ready:?}");
        }
    }
}
