//! Two layers become one.

use crate::document::{Map, Node, Value};
use std::collections::HashMap;

/// Returns `base` with `over` laid on top: maps merge key by key; lists, scalars and null replace.
///
/// Keys keep the order of `base`, new ones follow in the order of `over`. A value keeps the place where it was written
/// last; a map that was merged, the place of the last map that adds something.
pub fn merge(base: Node, over: Node) -> Node {
    match (base, over) {
        (
            Node { value: Value::Map(base), place: base_place, secret: base_secret },
            Node { value: Value::Map(over), place: over_place, secret: over_secret },
        ) => {
            let place = if over.is_empty() { base_place } else { over_place };
            Node { value: Value::Map(merge_maps(base, over)), place, secret: base_secret || over_secret }
        }
        (_, over) => over,
    }
}

fn merge_maps(base: Map, over: Map) -> Map {
    // By index, not by `Map::insert`, whose search would make large maps quadratic.
    let mut entries: Vec<_> = base.into_iter().collect();
    let index: HashMap<String, usize> = entries.iter().enumerate().map(|(idx, it)| (it.key.clone(), idx)).collect();
    for mut entry in over {
        let Some(old) = index.get(&entry.key).map(|idx| &mut entries[*idx]) else {
            entries.push(entry);
            continue;
        };
        let adds_nothing = entry.node.as_map().is_some_and(Map::is_empty) && old.node.as_map().is_some();
        let placeholder = Node::new(Value::Null, old.node.place.clone());
        let base = std::mem::replace(&mut old.node, placeholder);
        entry.node = merge(base, entry.node);
        if adds_nothing {
            entry.place = old.place.clone();
        }
        *old = entry;
    }
    entries.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::tree;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    #[track_caller]
    fn check(base: Json, over: Json, expected: Json) {
        let merged = merge(tree("base", base), tree("over", over)).to_json();
        assert_eq!(merged.to_string(), expected.to_string());
    }

    #[test]
    fn m01_nested_maps_recurse_siblings_stay_and_new_keys_follow() {
        check(
            json!({"server": {"host": "a", "port": 1}, "x": 1}),
            json!({"y": 2, "server": {"port": 2, "tls": true}}),
            json!({"server": {"host": "a", "port": 2, "tls": true}, "x": 1, "y": 2}),
        );
    }

    #[test]
    fn m02_lists_are_replaced() {
        check(json!({"a": [1, 2, 3]}), json!({"a": [4]}), json!({"a": [4]}));
        check(json!({"a": [{"x": 1}]}), json!({"a": [{"y": 1}]}), json!({"a": [{"y": 1}]}));
    }

    #[test]
    fn m03_the_later_wins_when_the_shapes_differ() {
        check(json!({"a": {"b": 1}}), json!({"a": 5}), json!({"a": 5}));
        check(json!({"a": 5}), json!({"a": {"b": 1}}), json!({"a": {"b": 1}}));
        check(json!({"a": {"b": 1}}), json!({"a": null}), json!({"a": null}));
    }

    #[test]
    fn m04_an_empty_layer_changes_nothing() {
        let full = tree("base", json!({"a": {"b": 1}, "c": {}}));
        let empty = tree("over", json!({}));
        assert_eq!(merge(full.clone(), empty.clone()), full);
        assert_eq!(merge(empty, full.clone()), full);
        let hollow = tree("over", json!({"a": {}}));
        assert_eq!(merge(full.clone(), hollow).as_map(), full.as_map(), "nor does an empty map inside it");
    }

    #[test]
    fn places_and_secrets_are_those_of_the_winner() {
        let mut over = tree("over", json!({"a": {"b": 2}}));
        over.secret = true;
        let merged = merge(tree("base", json!({"a": {"b": 1, "c": 1}})), over);
        let file = |path: &str| merged.get(path).map(|it| it.place.file.to_string());
        assert_eq!(file("a.b").as_deref(), Some("over"));
        assert_eq!(file("a.c").as_deref(), Some("base"));
        assert!(merged.secret);
    }

    /// Layers in which a path is a map in all of them or in none. Where a scalar stands over a map, no merge of plain
    /// trees can be associative: `a + (5 + b)` has forgotten that the 5 wiped `a` out.
    fn layer(file: &'static str) -> impl Strategy<Value = Node> {
        let scalar = prop_oneof![Just(json!(null)), any::<i32>().prop_map(|it| json!(it)), Just(json!([1, 2]))];
        let leaves = prop::collection::btree_map(prop::sample::select(vec!["k", "l", "m"]), scalar, 0..3);
        let inner = prop::collection::btree_map(prop::sample::select(vec!["map1", "map2"]), leaves.clone(), 0..3);
        (leaves, prop::collection::btree_map(prop::sample::select(vec!["map3", "map4"]), inner, 0..3), any::<bool>())
            .prop_map(move |(leaves, inner, leaves_first)| {
                let mut keys: Vec<(&str, Json)> = leaves.into_iter().collect();
                keys.extend(inner.into_iter().map(|(key, it)| (key, json!(it))));
                if !leaves_first {
                    keys.reverse();
                }
                tree(file, Json::Object(keys.into_iter().map(|(key, it)| (key.to_owned(), it)).collect()))
            })
    }

    proptest! {
        #[test]
        fn merge_is_associative_places_and_order_included(a in layer("a"), b in layer("b"), c in layer("c")) {
            let left = merge(merge(a.clone(), b.clone()), c.clone());
            let right = merge(a, merge(b, c));
            prop_assert_eq!(left, right);
        }

        #[test]
        fn the_empty_map_is_the_identity_and_merging_with_itself_too(a in layer("a")) {
            let empty = tree("empty", json!({}));
            if !a.as_map().is_some_and(Map::is_empty) {
                prop_assert_eq!(&merge(empty.clone(), a.clone()), &a);
            }
            prop_assert_eq!(&merge(a.clone(), empty), &a);
            prop_assert_eq!(merge(a.clone(), a.clone()), a);
        }
    }
}
