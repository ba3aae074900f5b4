//! What a schema says about the shape of a configuration: names of keys, types, defaults.

use super::Source;
use crate::document::{Entry, Map, Node, Value};
use crate::place::Place;
use jsonschema::Draft;
use std::collections::HashMap;

/// Keywords whose value is a schema.
pub(super) const SCHEMA_KEYWORDS: &[&str] = &[
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is a list of schemas.
pub(super) const LIST_KEYWORDS: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems", "items"];
/// Keywords whose value is a map of schemas.
pub(super) const MAP_KEYWORDS: &[&str] =
    &["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];
/// Those among all of them whose schemas apply to the same value.
const IN_PLACE: &[&str] = &["allOf", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf", "then"];

/// How many schemas one question may look at; schemas that need more are treated as if they said nothing.
const MAX_LOOKS: u32 = 10_000;
/// How deep references and `allOf`s may nest in one question.
const MAX_DEPTH: u32 = 256;

/// A schema inside another.
pub(super) struct Child<'a> {
    pub(super) schema: &'a Node,
    /// Whether it applies to the same value as the schema around it.
    pub(super) in_place: bool,
}

/// Returns the schemas directly inside `schema`.
pub(super) fn children(schema: &Node) -> Vec<Child<'_>> {
    let mut children = Vec::new();
    for entry in schema.as_map().into_iter().flat_map(Map::iter) {
        let key = entry.key.as_str();
        let child = |schema| Child { schema, in_place: IN_PLACE.contains(&key) };
        match &entry.node.value {
            Value::List(items) if LIST_KEYWORDS.contains(&key) => children.extend(items.iter().map(child)),
            Value::Map(map) if MAP_KEYWORDS.contains(&key) => children.extend(map.iter().map(|it| child(&it.node))),
            Value::Map(_) | Value::Bool(_) if SCHEMA_KEYWORDS.contains(&key) => children.push(child(&entry.node)),
            _ => {}
        }
    }
    children
}

/// Returns what the schema's reference says, if it has one.
pub(super) fn reference(schema: &Node) -> Option<&str> {
    ["$ref", "$dynamicRef", "$recursiveRef"].iter().find_map(|it| keyword(schema, it)?.as_str())
}

/// Returns the value of a keyword.
pub(super) fn keyword<'a>(schema: &'a Node, name: &str) -> Option<&'a Node> {
    schema.as_map()?.get(name)
}

pub(super) fn list<'a>(schema: &'a Node, name: &str) -> &'a [Node] {
    keyword(schema, name).and_then(Node::as_list).unwrap_or_default()
}

/// A set of JSON types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Types(u8);

const NAMES: [(&str, &str, u8); 7] = [
    ("integer", "an integer", 1),
    ("number", "a number", 3),
    ("string", "text", 4),
    ("boolean", "true or false", 8),
    ("null", "null", 16),
    ("array", "a list", 32),
    ("object", "a map", 64),
];

impl Types {
    /// All types.
    pub const ANY: Types = Types(127);

    /// Returns the set of one type with the name that JSON Schema has for it.
    pub(in crate::config) fn named(name: &str) -> Option<Types> {
        NAMES.iter().find(|it| it.0 == name).map(|it| Types(it.2))
    }

    fn of(value: &Value) -> Types {
        Types(match value {
            Value::Int(_) => 1,
            Value::Float(it) if it.fract() == 0.0 => 1,
            Value::Float(_) => 2,
            Value::String(_) => 4,
            Value::Bool(_) => 8,
            Value::Null => 16,
            Value::List(_) => 32,
            Value::Map(_) => 64,
        })
    }

    pub(super) fn or(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    fn and(self, other: Types) -> Types {
        Types(self.0 & other.0)
    }

    /// Returns whether every type is in the set.
    pub fn is_any(self) -> bool {
        self == Types::ANY
    }

    /// Returns whether text is in the set.
    pub fn has_text(self) -> bool {
        self.0 & 4 != 0
    }

    /// Returns whether whole numbers are in the set.
    pub fn has_integer(self) -> bool {
        self.0 & 1 != 0
    }

    /// Returns whether numbers with a fraction are in the set.
    pub fn has_number(self) -> bool {
        self.0 & 2 != 0
    }

    /// Returns whether booleans are in the set.
    pub fn has_boolean(self) -> bool {
        self.0 & 8 != 0
    }

    /// Returns whether null is in the set.
    pub fn has_null(self) -> bool {
        self.0 & 16 != 0
    }

    /// Returns whether the type of `value` is in the set.
    pub fn admits(self, value: &Value) -> bool {
        Types::of(value).and(self).0 != 0
    }

    /// Returns the set in words, such as `an integer or null`.
    pub fn describe(self) -> String {
        let is_in = |it: &&(&str, &str, u8)| match it.0 {
            "integer" => self.has_integer() && !self.has_number(),
            "number" => self.has_number(),
            _ => self.0 & it.2 != 0,
        };
        let names: Vec<&str> = NAMES.iter().filter(is_in).map(|it| it.1).collect();
        names.join(" or ")
    }

    /// Returns how a value of the set is written in a variable.
    pub(in crate::config) fn how_to_write(self) -> &'static str {
        match self.0 {
            it if it & 3 != 0 => "write digits only",
            it if it & 8 != 0 => "write `true` or `false`",
            it if it & 96 != 0 => "write it as JSON, such as `[\"a\", \"b\"]` or `{\"a\": 1}`",
            _ => "change the variable or the schema",
        }
    }
}

impl Source {
    /// Reads the names that references may use.
    pub(super) fn new(mut node: Node) -> Source {
        let draft = node.get("$schema").and_then(Node::as_str).map_or(Draft::Draft202012, Draft::from_schema_uri);
        let mut ignored = Vec::new();
        if draft <= Draft::Draft7 {
            leave_references_alone(&mut node, &mut ignored);
        }
        let mut names = HashMap::new();
        collect_names(&node, &mut String::new(), &mut names);
        Source { node, names, draft, ignored }
    }

    /// Returns the schema that a reference means, when it is in this document.
    pub(super) fn resolve(&self, to: &str) -> Option<&Node> {
        find(&self.node, self.pointers(to).first()?)
    }

    /// Returns the JSON pointers of all schemas that a reference may mean. There is more than one only where a schema is
    /// embedded in another under an `$id` of its own, because whose `#` is meant depends on who asks.
    pub(super) fn pointers(&self, to: &str) -> Vec<String> {
        let (document, fragment) = to.split_once('#').unwrap_or((to, ""));
        let same_end = |a: &str, b: &str| a.strip_suffix(b).is_some_and(|it| it.ends_with('/'));
        let is_meant = |id: &str| id == document || same_end(id, document) || same_end(document, id);
        let mut bases: Vec<&str> = if document.is_empty() { vec![""] } else { Vec::new() };
        let ids = self.names.iter().filter(|(id, _)| !id.starts_with('#') && (document.is_empty() || is_meant(id)));
        bases.extend(ids.map(|(_, pointer)| pointer.as_str()));
        bases.sort_unstable();
        bases.dedup();
        if !fragment.is_empty() && !fragment.starts_with('/') {
            return self.names.get(&format!("#{fragment}")).cloned().into_iter().collect();
        }
        let Some(fragment) = percent_decoded(fragment) else { return Vec::new() };
        let pointers = bases.into_iter().map(|base| format!("{base}{fragment}"));
        pointers.filter(|it| find(&self.node, it).is_some()).collect()
    }

    /// Returns the types that the value at `path` may have.
    pub(super) fn types_at(&self, path: &[String]) -> Types {
        let mut looks = Looks::new(self);
        looks.types(&self.node, path, 0).filter(|it| it.0 != 0).unwrap_or(Types::ANY)
    }

    /// Returns the names of the keys that the map at `path` may have.
    pub(super) fn names_at(&self, path: &[String]) -> Vec<&str> {
        let mut names = Vec::new();
        Looks::new(self).names(&self.node, path, 0, &mut names);
        names
    }

    /// Returns the schema of the value at `path` that calls it deprecated.
    pub(super) fn deprecation_at(&self, path: &[String]) -> Option<&Node> {
        Looks::new(self).deprecation(&self.node, path, 0)
    }

    /// Returns the defaults to lay below `present`.
    pub(super) fn defaults(&self, present: &Node) -> Option<Node> {
        let mut looks = Looks { source: self, left: MAX_LOOKS.saturating_mul(10) };
        looks.defaults(&[&self.node], Some(present), &mut Vec::new())
    }
}

/// What may stand beside a `$ref` in drafts that ignore its siblings, because it does not judge a value.
const BESIDE_REFERENCES: &[&str] =
    &["$comment", "$defs", "$id", "$ref", "$schema", "definitions", "description", "examples", "id", "title"];

/// Takes away what drafts 4 to 7 ignore: whatever stands beside a `$ref`.
fn leave_references_alone(schema: &mut Node, ignored: &mut Vec<(String, Place)>) {
    let Value::Map(map) = &mut schema.value else { return };
    if map.get("$ref").is_some_and(|it| it.as_str().is_some()) {
        let (kept, gone): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(map).into_iter().partition(|it| BESIDE_REFERENCES.contains(&it.key.as_str()));
        *map = Map::of_distinct(kept);
        ignored.extend(gone.into_iter().map(|it| (it.key, it.place)));
    }
    for entry in map.iter_mut() {
        let key = entry.key.as_str();
        match &mut entry.node.value {
            Value::List(items) if LIST_KEYWORDS.contains(&key) => {
                items.iter_mut().for_each(|it| leave_references_alone(it, ignored));
            }
            Value::Map(map) if MAP_KEYWORDS.contains(&key) => {
                map.iter_mut().for_each(|it| leave_references_alone(&mut it.node, ignored));
            }
            Value::Map(_) if SCHEMA_KEYWORDS.contains(&key) => leave_references_alone(&mut entry.node, ignored),
            _ => {}
        }
    }
}

fn collect_names(schema: &Node, pointer: &mut String, names: &mut HashMap<String, String>) {
    let Some(map) = schema.as_map() else { return };
    for (key, prefix) in [("$id", ""), ("id", ""), ("$anchor", "#"), ("$dynamicAnchor", "#")] {
        if let Some(name) = map.get(key).and_then(Node::as_str) {
            let name = if prefix.is_empty() { name.strip_suffix('#').unwrap_or(name) } else { name };
            names.entry(format!("{prefix}{name}")).or_insert_with(|| pointer.clone());
        }
    }
    let length = pointer.len();
    let mut step = |child: &Node, steps: &[&str]| {
        for step in steps {
            pointer.push('/');
            pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
        }
        collect_names(child, pointer, names);
        pointer.truncate(length);
    };
    for entry in map.iter() {
        let key = entry.key.as_str();
        match &entry.node.value {
            Value::List(items) if LIST_KEYWORDS.contains(&key) => {
                items.iter().enumerate().for_each(|(idx, it)| step(it, &[key, &idx.to_string()]));
            }
            Value::Map(map) if MAP_KEYWORDS.contains(&key) => map.iter().for_each(|it| step(&it.node, &[key, &it.key])),
            Value::Map(_) if SCHEMA_KEYWORDS.contains(&key) => step(&entry.node, &[key]),
            _ => {}
        }
    }
}

/// Returns the node at a JSON pointer.
pub(super) fn find<'a>(root: &'a Node, pointer: &str) -> Option<&'a Node> {
    pointer.split('/').skip(1).try_fold(root, |node, step| step_into(node, &unescaped(step)))
}

/// Returns the value of a key or at an index.
pub(super) fn step_into<'a>(node: &'a Node, step: &str) -> Option<&'a Node> {
    match &node.value {
        Value::Map(map) => map.get(step),
        Value::List(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    }
}

/// Returns a step of a JSON pointer as it is in the document.
pub(super) fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |it: u8| char::from(it).to_digit(16);
        bytes.push(match byte {
            b'%' => u8::try_from(digit(rest.next()?)? * 16 + digit(rest.next()?)?).ok()?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// A question to a schema, with a limit on how much of it is looked at.
pub(super) struct Looks<'a> {
    source: &'a Source,
    left: u32,
}

impl<'a> Looks<'a> {
    /// Returns a question that may look at as much as any.
    pub(super) fn new(source: &'a Source) -> Self {
        Looks { source, left: MAX_LOOKS }
    }

    /// Takes one step of the budget.
    fn spend(&mut self, depth: u32) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        (depth <= MAX_DEPTH).then_some(())
    }

    /// Returns the schemas that must all hold for what `schema` holds for: its reference's target and its `allOf`.
    fn conjuncts(&self, schema: &'a Node) -> Vec<&'a Node> {
        let target = reference(schema).and_then(|to| self.source.resolve(to));
        target.into_iter().chain(list(schema, "allOf")).collect()
    }

    fn types(&mut self, schema: &'a Node, path: &[String], depth: u32) -> Option<Types> {
        self.spend(depth)?;
        let mut types = match path.split_first() {
            None => own_types(schema),
            Some((step, rest)) => match child(schema, step) {
                Some(child) => self.types(child, rest, depth + 1)?,
                None => Types::ANY,
            },
        };
        for schema in self.conjuncts(schema) {
            types = types.and(self.types(schema, path, depth + 1)?);
        }
        for name in ["anyOf", "oneOf"] {
            let mut any = Types(0);
            for schema in list(schema, name) {
                any = any.or(self.types(schema, path, depth + 1)?);
            }
            if any != Types(0) {
                types = types.and(any);
            }
        }
        Some(types)
    }

    fn names(&mut self, schema: &'a Node, path: &[String], depth: u32, names: &mut Vec<&'a str>) {
        if self.spend(depth).is_none() {
            return;
        }
        match path.split_first() {
            None => {
                let properties = keyword(schema, "properties").and_then(Node::as_map);
                names.extend(properties.into_iter().flat_map(Map::iter).map(|it| it.key.as_str()));
            }
            Some((step, rest)) => {
                if let Some(child) = child(schema, step) {
                    self.names(child, rest, depth + 1, names);
                }
            }
        }
        let target = reference(schema).and_then(|to| self.source.resolve(to));
        let others = children(schema).into_iter().filter(|it| it.in_place).map(|it| it.schema);
        for schema in others.chain(target).collect::<Vec<_>>() {
            self.names(schema, path, depth + 1, names);
        }
    }

    fn deprecation(&mut self, schema: &'a Node, path: &[String], depth: u32) -> Option<&'a Node> {
        self.spend(depth)?;
        let own = match path.split_first() {
            None => keyword(schema, "deprecated").filter(|it| it.value == Value::Bool(true)).map(|_| schema),
            Some((step, rest)) => child(schema, step).and_then(|it| self.deprecation(it, rest, depth + 1)),
        };
        let others = self.conjuncts(schema);
        own.or_else(|| others.into_iter().find_map(|it| self.deprecation(it, path, depth + 1)))
    }

    /// Returns the default of a value for which all of `schemas` hold; `within` are the schemas on the way here that made
    /// up a map, so that a schema that contains itself ends.
    fn defaults(
        &mut self,
        schemas: &[&'a Node],
        present: Option<&Node>,
        within: &mut Vec<*const Node>,
    ) -> Option<Node> {
        let schemas = self.all_conjuncts(schemas)?;
        let own = schemas.iter().find_map(|it| keyword(it, "default")).cloned();
        let is_map = |node: Option<&Node>| node.is_none_or(|it| it.as_map().is_some());
        if !is_map(present) || !is_map(own.as_ref()) {
            return own;
        }
        if present.is_none() && schemas.iter().any(|it| within.contains(&std::ptr::from_ref::<Node>(it))) {
            return own;
        }
        let depth = within.len();
        within.extend(schemas.iter().map(|it| std::ptr::from_ref::<Node>(it)));
        let made = self.map_of_defaults(&schemas, present, own.as_ref(), within);
        within.truncate(depth);
        let place = schemas.iter().find(|it| keyword(it, "properties").is_some()).map(|it| it.place.clone());
        let lacks = |map: &Map| {
            let mut required = schemas.iter().flat_map(|it| list(it, "required")).filter_map(Node::as_str);
            required.any(|it| map.get(it).is_none())
        };
        let made = made.filter(|it| !it.is_empty() && (present.is_some() || own.is_some() || !lacks(it)));
        match (made, own) {
            (Some(made), Some(own)) => Some(crate::config::merge(Node { value: Value::Map(made), ..own.clone() }, own)),
            (Some(made), None) => Some(Node::new(Value::Map(made), place?)),
            (None, own) => own,
        }
    }

    fn map_of_defaults(
        &mut self,
        schemas: &[&'a Node],
        present: Option<&Node>,
        own: Option<&Node>,
        within: &mut Vec<*const Node>,
    ) -> Option<Map> {
        let mut made = Vec::new();
        let mut by_key: Vec<(&'a Entry, Vec<&'a Node>)> = Vec::new();
        let mut index = HashMap::new();
        for schema in schemas {
            for entry in keyword(schema, "properties").and_then(Node::as_map).into_iter().flat_map(Map::iter) {
                let idx = *index.entry(entry.key.as_str()).or_insert(by_key.len());
                match by_key.get_mut(idx) {
                    Some((_, schemas)) => schemas.push(&entry.node),
                    None => by_key.push((entry, vec![&entry.node])),
                }
            }
        }
        for (entry, schemas) in by_key {
            let of = |node: Option<&'_ Node>| node.and_then(Node::as_map).and_then(|it| it.get(&entry.key)).cloned();
            let below = of(present).or_else(|| of(own));
            if let Some(node) = self.defaults(&schemas, below.as_ref(), within) {
                made.push(Entry { key: entry.key.clone(), place: node.place.clone(), node });
            }
        }
        Some(made.into_iter().collect())
    }

    /// Returns `schemas` and everything that must hold with them.
    pub(super) fn all_conjuncts(&mut self, schemas: &[&'a Node]) -> Option<Vec<&'a Node>> {
        let mut all: Vec<&'a Node> = Vec::new();
        let mut open: Vec<&'a Node> = schemas.iter().rev().copied().collect();
        while let Some(schema) = open.pop() {
            self.spend(0)?;
            if all.iter().any(|it| std::ptr::eq(*it, schema)) {
                continue;
            }
            all.push(schema);
            open.extend(self.conjuncts(schema).into_iter().rev());
        }
        Some(all)
    }
}

/// Returns the types that the schema itself allows, whatever it refers to.
fn own_types(schema: &Node) -> Types {
    let named = |node: &Node| node.as_str().and_then(Types::named);
    let union = |types: &mut dyn Iterator<Item = Types>| types.fold(Types(0), Types::or);
    match keyword(schema, "type") {
        Some(node) => match &node.value {
            Value::List(items) => union(&mut items.iter().filter_map(named)),
            _ => named(node).unwrap_or(Types::ANY),
        },
        None => {
            let one = keyword(schema, "const").map(|it| Types::of(&it.value));
            let several = keyword(schema, "enum").and_then(Node::as_list);
            one.or_else(|| several.map(|it| union(&mut it.iter().map(|it| Types::of(&it.value))))).unwrap_or(Types::ANY)
        }
    }
}

/// Returns the schema for a key or index, whatever the schema refers to.
fn child<'a>(schema: &'a Node, step: &str) -> Option<&'a Node> {
    if let Some(child) = keyword(schema, "properties").and_then(|it| it.as_map()?.get(step)) {
        return Some(child);
    }
    if let Ok(idx) = step.parse::<usize>() {
        let tuple = ["prefixItems", "items"].iter().find_map(|it| list(schema, it).get(idx));
        let rest = keyword(schema, "items").filter(|it| it.as_map().is_some());
        if let Some(child) = tuple.or(rest) {
            return Some(child);
        }
    }
    let matches = |pattern: &str| regex::Regex::new(pattern).is_ok_and(|it| it.is_match(step));
    let patterns = keyword(schema, "patternProperties").and_then(Node::as_map);
    let by_pattern = patterns.into_iter().flat_map(Map::iter).find(|it| matches(&it.key)).map(|it| &it.node);
    by_pattern.or_else(|| keyword(schema, "additionalProperties").filter(|it| it.as_map().is_some()))
}
