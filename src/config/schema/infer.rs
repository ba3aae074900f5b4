//! A schema that documents fit.

use super::options;
use crate::document::{Node, Value};
use serde_json::{Map as JsonMap, Value as Json, json};
use std::collections::{BTreeSet, HashMap};

/// So many keys with values that are alike make a map a table of names that nobody can list.
const TABLE_MIN: usize = 20;
/// The most different texts that an `enum` is made of.
const OPTIONS_MAX: usize = 6;
/// So often must each of them occur, on average.
const OPTION_USES: usize = 3;
/// The most texts that are kept of a value.
const TEXTS_MAX: usize = 1_000;

/// The formats that texts are tried for, the most special first.
const FORMATS: [&str; 8] = ["date-time", "date", "uuid", "ipv4", "ipv6", "email", "uri", "duration"];

/// How much an inferred schema says.
#[derive(Clone, Copy, Debug, Default)]
pub struct InferOptions {
    /// Texts with few different values become an `enum`.
    pub enums: bool,
    /// Keys that no document has are refused.
    pub closed: bool,
}

/// What was seen in one place of all documents.
#[derive(Default)]
struct Shape {
    n: usize,
    n_maps: usize,
    types: BTreeSet<&'static str>,
    texts: Vec<String>,
    /// Whether texts were left out, because they are too many or secret.
    is_partial: bool,
    keys: Vec<(String, Shape)>,
    /// Where each of them is.
    idx_of: HashMap<String, usize>,
    items: Option<Box<Shape>>,
}

/// Returns a JSON Schema (2020-12) that every one of `documents` fits: types, required keys, formats of texts.
///
/// No value of a document is in it, unless `enums` asks for that; then values that were decrypted are left out.
pub fn infer(documents: &[Node], options: InferOptions) -> Json {
    let mut shape = Shape::default();
    documents.iter().for_each(|it| shape.see(it));
    let mut schema = JsonMap::new();
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.append(&mut shape.schema(options));
    Json::Object(schema)
}

impl Shape {
    fn see(&mut self, node: &Node) {
        self.n += 1;
        match &node.value {
            Value::Null => self.is("null"),
            Value::Bool(_) => self.is("boolean"),
            Value::Int(_) => self.is("integer"),
            Value::Float(_) => self.is("number"),
            Value::String(text) => {
                self.is("string");
                self.is_partial |= node.holds_secret() || self.texts.len() >= TEXTS_MAX;
                if !self.is_partial {
                    self.texts.push(text.clone());
                }
            }
            Value::List(items) => {
                self.is("array");
                let shape = self.items.get_or_insert_default();
                items.iter().for_each(|it| shape.see(it));
            }
            Value::Map(map) => {
                self.is("object");
                self.n_maps += 1;
                for entry in map.iter() {
                    self.key(&entry.key).see(&entry.node);
                }
            }
        }
    }

    /// Returns the shape of a key's values.
    fn key(&mut self, key: &str) -> &mut Shape {
        let idx = match self.idx_of.get(key) {
            Some(idx) => *idx,
            None => {
                self.idx_of.insert(key.to_owned(), self.keys.len());
                self.keys.push((key.to_owned(), Shape::default()));
                self.keys.len() - 1
            }
        };
        &mut self.keys[idx].1
    }

    fn is(&mut self, name: &'static str) {
        self.types.insert(name);
    }

    fn schema(&self, options: InferOptions) -> JsonMap<String, Json> {
        let mut schema = JsonMap::new();
        // Every integer is a number.
        let is_wider = |it: &&&str| !(**it == "integer" && self.types.contains("number"));
        let types: Vec<&str> = self.types.iter().filter(is_wider).copied().collect();
        match types.as_slice() {
            [] => {}
            [one] => drop(schema.insert("type".into(), json!(one))),
            several => drop(schema.insert("type".into(), json!(several))),
        }
        if let Some(format) = self.format() {
            schema.insert("format".into(), json!(format));
        }
        if let Some(values) = self.options().filter(|_| options.enums) {
            schema.insert("enum".into(), json!(values));
        }
        if let Some(items) = self.items.as_ref().filter(|it| it.n > 0) {
            schema.insert("items".into(), Json::Object(items.schema(options)));
        }
        if self.n_maps > 0 {
            self.keys(&mut schema, options);
        }
        schema
    }

    fn keys(&self, schema: &mut JsonMap<String, Json>, options: InferOptions) {
        if self.keys.len() > TABLE_MIN && self.are_alike() {
            let mut any = Shape::default();
            self.keys.iter().for_each(|it| any.absorb(&it.1));
            schema.insert("additionalProperties".into(), Json::Object(any.schema(options)));
            return;
        }
        let properties = self.keys.iter().map(|it| (it.0.clone(), Json::Object(it.1.schema(options))));
        schema.insert("properties".into(), Json::Object(properties.collect()));
        let required: Vec<&str> = self.keys.iter().filter(|it| it.1.n == self.n_maps).map(|it| it.0.as_str()).collect();
        if !required.is_empty() {
            schema.insert("required".into(), json!(required));
        }
        if options.closed {
            schema.insert("additionalProperties".into(), json!(false));
        }
    }

    /// Returns whether the values of all keys have the same types and, when they are maps, the same keys.
    fn are_alike(&self) -> bool {
        let look = |it: &Shape| {
            let keys: BTreeSet<&str> = it.keys.iter().map(|it| it.0.as_str()).collect();
            (it.types.clone(), keys.into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        let mut looks = self.keys.iter().map(|it| look(&it.1));
        let first = looks.next();
        looks.all(|it| Some(&it) == first.as_ref())
    }

    fn absorb(&mut self, other: &Shape) {
        self.n += other.n;
        self.n_maps += other.n_maps;
        self.types.extend(&other.types);
        self.is_partial |= other.is_partial;
        let free = TEXTS_MAX.saturating_sub(self.texts.len());
        self.is_partial |= other.texts.len() > free;
        self.texts.extend(other.texts.iter().take(free).cloned());
        for (key, shape) in &other.keys {
            self.key(key).absorb(shape);
        }
        if let Some(items) = &other.items {
            self.items.get_or_insert_default().absorb(items);
        }
    }

    /// Returns the format that all texts have, when there are at least two and nothing else is there.
    fn format(&self) -> Option<&'static str> {
        let distinct: BTreeSet<&str> = self.texts.iter().map(String::as_str).collect();
        if self.is_partial || distinct.len() < 2 || self.types.len() != 1 {
            return None;
        }
        FORMATS.into_iter().find(|format| {
            // `localhost:8080` is a URI, of the scheme `localhost`.
            let is_meant = |it: &&str| *format != "uri" || it.contains("://");
            let fits = options().build(&json!({ "format": format }));
            fits.is_ok_and(|it| distinct.iter().all(|text| is_meant(text) && it.is_valid(&json!(text))))
        })
    }

    /// Returns the few texts that the value ever has.
    fn options(&self) -> Option<Vec<&str>> {
        let distinct: BTreeSet<&str> = self.texts.iter().map(String::as_str).collect();
        let is_closed = !self.is_partial && self.types.len() == 1 && !distinct.is_empty();
        let is_small = distinct.len() <= OPTIONS_MAX && self.texts.len() >= distinct.len() * OPTION_USES;
        (is_closed && is_small).then(|| distinct.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigSchema;
    use crate::config::testing::{lines, secret_at, tree};
    use crate::finding::Findings;
    use proptest::prelude::*;

    fn inferred(documents: &[Json], options: InferOptions) -> Json {
        let nodes: Vec<Node> = documents.iter().map(|it| tree("a.yaml", it.clone())).collect();
        infer(&nodes, options)
    }

    #[test]
    fn a_schema_is_inferred_with_types_required_keys_and_formats() {
        let documents = [
            json!({"port": 80, "url": "https://a.example/", "on": "2026-01-01", "ratio": 1, "tags": ["a"], "db": {"host": "x", "port": 1}}),
            json!({"port": 81, "url": "https://b.example/", "on": "2026-01-02", "ratio": 0.5, "tags": [], "db": {"host": "y"}, "more": null}),
        ];
        let expected = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "port": {"type": "integer"},
                "url": {"type": "string", "format": "uri"},
                "on": {"type": "string", "format": "date"},
                "ratio": {"type": "number"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "db": {"type": "object", "properties": {"host": {"type": "string"}, "port": {"type": "integer"}}, "required": ["host"]},
                "more": {"type": "null"},
            },
            "required": ["db", "on", "port", "ratio", "tags", "url"],
        });
        let mut found = inferred(&documents, InferOptions::default());
        if let Some(required) = found["required"].as_array_mut() {
            required.sort_by_key(Json::to_string);
        }
        assert_eq!(found, expected);
        let closed = inferred(&documents, InferOptions { closed: true, enums: false });
        assert_eq!(closed["properties"]["db"]["additionalProperties"], json!(false));
    }

    #[test]
    fn many_keys_that_are_alike_are_a_table_and_few_texts_an_enum() {
        let users: JsonMap<String, Json> =
            (0..30).map(|it| (format!("u{it}"), json!({"shell": if it % 2 == 0 { "bash" } else { "zsh" }}))).collect();
        let options = InferOptions { enums: true, closed: false };
        let found = inferred(&[json!({ "users": users })], options);
        let table = &found["properties"]["users"]["additionalProperties"];
        assert_eq!(table["properties"]["shell"], json!({"type": "string", "enum": ["bash", "zsh"]}));
        assert!(found["properties"]["users"]["properties"].is_null());
    }

    #[test]
    fn e08_no_secret_is_in_an_inferred_schema() {
        let documents: Vec<Node> =
            (0..9).map(|_| secret_at(tree("a.yaml", json!({"password": "hunter2"})), "password")).collect();
        let found = infer(&documents, InferOptions { enums: true, closed: true });
        assert!(!found.to_string().contains("hunter2"), "{found}");
    }

    fn json_value() -> impl Strategy<Value = Json> {
        let text = prop_oneof!["[a-z]{0,4}", Just("2026-01-01".to_owned()), Just("192.0.2.1".to_owned())];
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i32>().prop_map(Json::from),
            (-9i32..9).prop_map(|it| json!(f64::from(it) / 2.0)),
            text.prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map("[a-e]", inner, 0..5).prop_map(|it| Json::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_document_fits_the_schema_that_was_inferred_from_it(
            documents in prop::collection::vec(json_value(), 1..6), enums: bool, closed: bool,
        ) {
            let schema = inferred(&documents, InferOptions { enums, closed });
            let mut findings = Findings::new();
            let found = ConfigSchema::from_node(tree("s.json", schema), &mut findings);
            prop_assert!(found.is_some(), "{:?}", lines(&findings));
            for document in documents {
                found.iter().for_each(|it| it.validate(&tree("a.yaml", document.clone()), &mut findings));
            }
            prop_assert_eq!(lines(&findings), Vec::<String>::new());
        }
    }
}
