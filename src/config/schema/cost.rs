//! How many steps a validation takes, counted before it is started because it cannot be stopped.

use super::Source;
use serde_json::Value as Json;
use std::collections::HashMap;

/// The most steps of one validation; jsonschema takes less than a second for so many.
pub(super) const MAX_STEPS: u64 = 2_000_000;
/// The deepest nesting of schemas in each other and in references, times that of the document.
const MAX_DEPTH: u32 = 1_000;

/// Returns why validating `instance` would take too long, that is, more than `steps`; `schema` is that of `source` as JSON.
pub(super) fn check(source: &Source, schema: &Json, instance: &Json, steps: u64) -> Result<(), &'static str> {
    Counter { source, root: schema, targets: HashMap::new(), left: steps }.visit(schema, instance, 0)
}

struct Counter<'a> {
    source: &'a Source,
    root: &'a Json,
    /// What references may mean, by their text.
    targets: HashMap<&'a str, Vec<&'a Json>>,
    left: u64,
}

impl<'a> Counter<'a> {
    fn visit(&mut self, schema: &'a Json, instance: &Json, depth: u32) -> Result<(), &'static str> {
        self.left = self.left.checked_sub(1).ok_or("it would take too many steps")?;
        if depth > MAX_DEPTH {
            return Err("the schema refers to itself too deeply");
        }
        let Json::Object(keywords) = schema else { return Ok(()) };
        for (keyword, value) in keywords {
            match (keyword.as_str(), value) {
                ("$ref" | "$dynamicRef" | "$recursiveRef", Json::String(to)) => {
                    for target in self.targets(to) {
                        self.visit(target, instance, depth + 1)?;
                    }
                }
                ("allOf" | "anyOf" | "oneOf", Json::Array(schemas)) => {
                    schemas.iter().try_for_each(|it| self.visit(it, instance, depth + 1))?;
                }
                // Lists of keys among them cost nothing: they are no schemas.
                ("dependentSchemas" | "dependencies", Json::Object(schemas)) => {
                    schemas.values().try_for_each(|it| self.visit(it, instance, depth + 1))?;
                }
                ("not" | "if" | "then" | "else", schema) => self.visit(schema, instance, depth + 1)?,
                _ => self.visit_children(keyword, value, keywords.get("properties"), instance, depth + 1)?,
            }
        }
        Ok(())
    }

    fn targets(&mut self, to: &'a str) -> Vec<&'a Json> {
        let (source, root) = (self.source, self.root);
        let found = || source.pointers(to).iter().filter_map(|it| root.pointer(it)).collect();
        self.targets.entry(to).or_insert_with(found).clone()
    }

    fn visit_children(
        &mut self,
        keyword: &str,
        value: &'a Json,
        properties: Option<&Json>,
        instance: &Json,
        depth: u32,
    ) -> Result<(), &'static str> {
        match (keyword, value, instance) {
            ("properties", Json::Object(schemas), Json::Object(map)) => {
                for (key, schema) in schemas {
                    if let Some(child) = map.get(key) {
                        self.visit(schema, child, depth)?;
                    }
                }
            }
            ("patternProperties", Json::Object(schemas), Json::Object(map)) => {
                for schema in schemas.values() {
                    map.values().try_for_each(|child| self.visit(schema, child, depth))?;
                }
            }
            ("additionalProperties" | "unevaluatedProperties" | "propertyNames", schema, Json::Object(map)) => {
                let is_other = |key: &String| properties.is_none_or(|it| it.get(key).is_none());
                map.iter().filter(|(key, _)| is_other(key)).try_for_each(|(_, it)| self.visit(schema, it, depth))?;
            }
            // Objects are compared with each other where they cannot be put in an order.
            ("uniqueItems", Json::Bool(true), Json::Array(items)) => {
                self.left = self.left.checked_sub(items.len() as u64).ok_or("it would take too many steps")?;
            }
            ("items" | "prefixItems", Json::Array(schemas), Json::Array(items)) => {
                schemas.iter().zip(items).try_for_each(|(schema, it)| self.visit(schema, it, depth))?;
            }
            ("items" | "additionalItems" | "unevaluatedItems" | "contains", schema, Json::Array(items)) => {
                items.iter().try_for_each(|it| self.visit(schema, it, depth))?;
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::tree;
    use serde_json::json;

    fn count(schema: &Json, instance: &Json, steps: u64) -> Result<(), &'static str> {
        check(&Source::new(tree("schema.json", schema.clone())), schema, instance, steps)
    }

    #[test]
    fn e6_references_that_double_at_each_level_of_the_document_are_counted() {
        let deep = |n: usize| (0..n).fold(json!({}), |inner, _| json!({ "x": inner }));
        for to in ["#", "#here", "http://example.org/root", "root"] {
            let step = json!({"properties": {"x": {"$ref": to}}});
            let twins = json!({"$id": "http://example.org/root", "$anchor": "here", "allOf": [step.clone(), step]});
            assert_eq!(count(&twins, &deep(3), 1_000), Ok(()), "{to}");
            assert_eq!(count(&twins, &deep(60), 1_000), Err("it would take too many steps"), "{to}");
        }
    }

    #[test]
    fn a_usual_document_takes_few_steps() {
        let schema =
            json!({"properties": {"l": {"items": {"$ref": "#/$defs/i"}}}, "$defs": {"i": {"type": "integer"}}});
        let document = json!({"l": (0..100).collect::<Vec<i32>>(), "other": {}});
        assert_eq!(count(&schema, &document, 250), Ok(()));
        assert!(count(&schema, &document, 100).is_err());
    }
}
