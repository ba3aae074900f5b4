//! A schema for editors, held against the parser of the file that it is about.

use crate::config::ConfigSchema;
use crate::document::decode::asked::{self, Names};
use crate::document::{Entry, Format, Limits, Map, MergeKeys, Node, Value, parse};
use crate::finding::{Findings, Severity};
use crate::place::Place;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What the parser says that is about types, keys and shapes, which a schema can say as well.
const SHAPES: [&str; 5] = ["E_TYPE", "E_UNKNOWN_KEY", "E_MISSING_KEY", "E_SHAPE", "E_MODE_TYPE"];

/// A schema and the parser that it stands for.
pub(crate) struct Editor {
    text: Json,
    schema: ConfigSchema,
    /// Reads a document as headfast does.
    read: Box<dyn Fn(&Node) -> Findings>,
    /// Where in the document the parser is, when its messages begin elsewhere.
    pub(crate) place: fn(&str) -> String,
    /// Whether the schema need not know why the parser refuses a value.
    pub(crate) is_excused: fn(path: &[String], message: &str) -> bool,
}

impl Editor {
    #[track_caller]
    pub(crate) fn new(text: &str, read: impl Fn(&Node) -> Findings + 'static) -> Editor {
        let mut findings = Findings::new();
        let schema = ConfigSchema::parse(&Arc::from("s.json"), text.as_bytes(), &mut findings);
        assert!(findings.is_empty(), "{findings:?}");
        Editor {
            text: serde_json::from_str(text).expect("JSON"),
            schema: schema.expect("a schema"),
            read: Box::new(read),
            place: str::to_owned,
            is_excused: |_, _| false,
        }
    }

    /// Both read a document without a finding.
    #[track_caller]
    pub(crate) fn accepts(&self, name: &str, document: &Node) {
        let (parser, schema) = self.judge(document);
        assert!(parser.is_empty(), "{name}: headfast says {parser:?}");
        assert!(schema.is_empty(), "{name}: the schema says {schema:?}");
    }

    /// The schema accepts a document, whose references may lead nowhere.
    #[track_caller]
    pub(crate) fn validates(&self, name: &str, document: &Node) {
        let schema = self.judge(document).1;
        assert!(schema.is_empty(), "{name}: {schema:?}");
    }

    /// The keys that the parser asks for are the properties of the schema, both ways, and the documents have all of them.
    #[track_caller]
    pub(crate) fn keys_are_those_of_the_parser(&self, documents: &[Node]) {
        let (asked, _) = self.asked(documents);
        let (known, _) = self.known();
        assert_eq!(asked, known, "left what headfast asks for, right what the schema has");
        let mut used = Names::new();
        documents.iter().for_each(|it| self.used(it, &mut Vec::new(), &mut used));
        let without = |names: &Names| {
            names.iter().filter(|it| !it.1.is_empty()).map(|(k, v)| (k.clone(), v.clone())).collect::<Names>()
        };
        assert_eq!(without(&used), without(&known), "left what the documents use, right what the schema has");
    }

    /// What can be chosen is alike, but for `unsupported`, which the parser knows only to refuse it.
    #[track_caller]
    pub(crate) fn choices_are_those_of_the_parser(&self, documents: &[Node], unsupported: &[&str]) {
        let (_, mut asked) = self.asked(documents);
        asked.values_mut().for_each(|it| it.retain(|it| !unsupported.contains(&it.as_str())));
        let (_, known) = self.known();
        assert_eq!(asked, known, "left what headfast accepts, right what the schema has");
    }

    /// Wrong values of every kind in every place, missing keys and unknown ones: the schema refuses what is wrong in its
    /// shape, and nothing that headfast takes.
    #[track_caller]
    pub(crate) fn wrong_types_are_refused_alike(&self, document: &Node) {
        let values = ["null", "[]", "{}", "1.5", "true", "\"\"", "[{}]", "{\"a\": 1}"];
        let mut paths = Vec::new();
        all_paths(document, &mut Vec::new(), &mut paths);
        let mut problems = Vec::new();
        for path in &paths {
            let changes = values.iter().map(|it| (format!("= {it}"), Some(node(it))));
            for (what, value) in changes.chain([("removed".to_owned(), None)]) {
                let mut changed = document.clone();
                change(&mut changed, path, value);
                self.compare(path, &what, &changed, &mut problems);
            }
            let mut changed = document.clone();
            if add(&mut changed, path, "nonsense") {
                self.compare(path, "with an unknown key", &changed, &mut problems);
            }
        }
        assert!(paths.len() > 40, "the document has {} values only", paths.len());
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }

    fn compare(&self, path: &[String], what: &str, document: &Node, problems: &mut Vec<String>) {
        let (parser, schema) = self.judge(document);
        let about_shape = |it: &&String| SHAPES.iter().any(|code| it.starts_with(code)) && !(self.is_excused)(path, it);
        if parser.is_empty() && !schema.is_empty() {
            problems.push(format!("{} {what}: only the schema refuses it: {schema:?}", path.join("/")));
        }
        if schema.is_empty() && parser.iter().any(|it| about_shape(&it)) {
            problems.push(format!("{} {what}: only headfast refuses it: {parser:?}", path.join("/")));
        }
    }

    /// The errors of the parser and of the schema.
    fn judge(&self, document: &Node) -> (Vec<String>, Vec<String>) {
        let errors = |findings: Findings| {
            let errors = findings.into_iter().filter(|it| it.severity == Severity::Error);
            errors.map(|it| format!("{} {}", it.code, it.message)).collect()
        };
        let mut findings = Findings::new();
        self.schema.validate(document, &mut findings);
        (errors((self.read)(document)), errors(findings))
    }

    /// The keys and choices that the parser asks for, by their places in the schema.
    fn asked(&self, documents: &[Node]) -> (Names, Names) {
        asked::take();
        documents.iter().for_each(|it| drop((self.read)(it)));
        let (keys, choices) = asked::take();
        let placed = |names: Names| {
            let mut placed = Names::new();
            for (what, names) in names {
                let place = (self.place)(&what);
                let steps: Vec<String> = place.split('.').filter(|it| !it.is_empty()).map(str::to_owned).collect();
                placed.entry(self.steps_to(&steps).0.join(".")).or_default().extend(names);
            }
            placed
        };
        (placed(keys), placed(choices))
    }

    /// The properties and choices of the schema by their places.
    fn known(&self) -> (Names, Names) {
        let (mut keys, mut choices) = (Names::new(), Names::new());
        self.visit(&self.text, &mut Vec::new(), &mut keys, &mut choices);
        (keys, choices)
    }

    fn visit(&self, schema: &Json, at: &mut Vec<String>, keys: &mut Names, choices: &mut Names) {
        for schema in self.all_of(schema) {
            if let Some(names) = schema.get("enum").and_then(Json::as_array) {
                let names = names.iter().filter_map(Json::as_str).map(str::to_owned);
                choices.entry(at.join(".")).or_default().extend(names);
            }
            if let Some(properties) = schema.get("properties").and_then(Json::as_object) {
                keys.entry(at.join(".")).or_default().extend(properties.keys().cloned());
                for (key, below) in properties {
                    let has_words = self.all_of(below).iter().any(|it| it.get("description").is_some());
                    assert!(has_words, "{}.{key} has no description", at.join("."));
                    at.push(key.clone());
                    self.visit(below, at, keys, choices);
                    at.pop();
                }
            }
            for below in ["items", "additionalProperties"].iter().filter_map(|it| schema.get(*it)) {
                self.visit(below, at, keys, choices);
            }
        }
    }

    /// A schema with the ones that it refers to, and those that it lets a value choose from.
    fn all_of<'s>(&'s self, schema: &'s Json) -> Vec<&'s Json> {
        let mut all = vec![schema];
        if let Some(path) = schema.get("$ref").and_then(Json::as_str) {
            all.extend(
                self.all_of(self.text.pointer(path.trim_start_matches('#')).expect("the reference leads somewhere")),
            );
        }
        for branch in schema.get("anyOf").and_then(Json::as_array).into_iter().flatten() {
            all.extend(self.all_of(branch));
        }
        all
    }

    /// The properties on the way to a value, without names and positions, and the schemas of the value.
    fn steps_to(&self, path: &[String]) -> (Vec<String>, Vec<&Json>) {
        let (mut steps, mut here) = (Vec::new(), self.all_of(&self.text));
        for step in path {
            // Messages about an element of a list may leave its position out.
            let is_list = here.iter().any(|it| it.get("items").is_some()) && step.parse::<usize>().is_err();
            if is_list {
                let items = here.iter().filter_map(|it| it.get("items")).flat_map(|it| self.all_of(it));
                here = items.chain(here.iter().copied()).collect();
            }
            let below: Vec<&Json> = here.iter().filter_map(|it| it.get("properties")?.get(step)).collect();
            let below = if below.is_empty() {
                here.iter().flat_map(|it| [it.get("items"), it.get("additionalProperties")]).flatten().collect()
            } else {
                steps.push(step.clone());
                below
            };
            here = below.into_iter().flat_map(|it| self.all_of(it)).collect();
        }
        (steps, here)
    }

    /// Collects the keys of a document, by their places in the schema.
    fn used(&self, node: &Node, at: &mut Vec<String>, found: &mut Names) {
        let (steps, schemas) = self.steps_to(at);
        for entry in node.as_map().into_iter().flat_map(Map::iter) {
            if schemas.iter().any(|it| it.get("properties").is_some_and(|it| it.get(&entry.key).is_some())) {
                found.entry(steps.join(".")).or_default().insert(entry.key.clone());
            }
            at.push(entry.key.clone());
            self.used(&entry.node, at, found);
            at.pop();
        }
        for (idx, item) in node.as_list().into_iter().flatten().enumerate() {
            at.push(idx.to_string());
            self.used(item, at, found);
            at.pop();
        }
    }

    /// The names of all properties.
    pub(crate) fn properties(&self) -> BTreeSet<String> {
        self.known().0.into_values().flatten().collect()
    }
}

/// Reads YAML as in files of headfast's own.
#[track_caller]
pub(crate) fn node(text: &str) -> Node {
    let mut findings = Findings::new();
    let node =
        parse(Format::Yaml, &Arc::from("f"), text.as_bytes(), &Limits::default(), MergeKeys::Refuse, &mut findings);
    assert!(findings.is_empty(), "{findings:?} in\n{text}");
    node.expect("a document")
}

/// Returns a file of the demo with what it fills in between two `@`.
pub(crate) fn filled(text: &str) -> String {
    text.split('@').enumerate().map(|(idx, it)| if idx % 2 == 0 { it } else { "/srv/x" }).collect()
}

/// The paths of all values below a document.
fn all_paths(node: &Node, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let mut below = |step: String, node: &Node| {
        at.push(step);
        found.push(at.clone());
        all_paths(node, at, found);
        at.pop();
    };
    node.as_map().into_iter().flat_map(Map::iter).for_each(|it| below(it.key.clone(), &it.node));
    // One text of a list stands for all of them.
    let items = node.as_list().into_iter().flatten().enumerate();
    items.filter(|(idx, it)| *idx == 0 || it.as_str().is_none()).for_each(|(idx, it)| below(idx.to_string(), it));
}

/// Replaces the value at a path, or removes it.
fn change(node: &mut Node, path: &[String], value: Option<Node>) {
    let Some((step, rest)) = path.split_first() else { return };
    match &mut node.value {
        Value::Map(map) => match value {
            None if rest.is_empty() => drop(map.remove(step)),
            Some(value) if rest.is_empty() => map.get_mut(step).expect("the key exists").value = value.value,
            value => change(map.get_mut(step).expect("the key exists"), rest, value),
        },
        Value::List(items) => {
            let idx: usize = step.parse().expect("a position");
            match value {
                None if rest.is_empty() => drop(items.remove(idx)),
                Some(value) if rest.is_empty() => items[idx].value = value.value,
                value => change(&mut items[idx], rest, value),
            }
        }
        _ => unreachable!("paths come from the document"),
    }
}

/// Adds a key to the map at a path, when it is one.
fn add(node: &mut Node, path: &[String], key: &str) -> bool {
    match (&mut node.value, path.split_first()) {
        (Value::Map(map), None) => {
            let place = Place::whole("f");
            let node = Node::new(Value::String("x".to_owned()), place.clone());
            map.insert(Entry { key: key.to_owned(), place, node });
            true
        }
        (Value::Map(map), Some((step, rest))) => add(map.get_mut(step).expect("the key exists"), rest, key),
        (Value::List(items), Some((step, rest))) => {
            add(&mut items[step.parse::<usize>().expect("a position")], rest, key)
        }
        _ => false,
    }
}
