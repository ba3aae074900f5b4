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
    use crate::document::KeyPath;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};
    use std::collections::BTreeSet;
    use std::hash::{DefaultHasher, Hash, Hasher};

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

    /// What layers do together, so that it can be laid on any others: what they set, and where a map took the place of
    /// something else, so that whatever lies below is gone.
    #[derive(Clone, Debug, PartialEq)]
    struct Overlay {
        node: Node,
        cut: BTreeSet<Vec<String>>,
    }

    impl Overlay {
        fn of(node: Node) -> Overlay {
            Overlay { node, cut: BTreeSet::new() }
        }

        fn over(&self, base: Node) -> Node {
            merge(self.cut.iter().fold(base, |base, path| without(base, path)), self.node.clone())
        }

        fn compose(lower: &Overlay, upper: &Overlay) -> Overlay {
            let mut cut: BTreeSet<_> = lower.cut.union(&upper.cut).cloned().collect();
            let below = upper.cut.iter().fold(lower.node.clone(), |node, path| without(node, path));
            covered(&below, &upper.node, &mut Vec::new(), &mut cut);
            let node = merge(below, upper.node.clone());
            // What is no map drops what lies below by itself, and so does a cut further up.
            let says_more = |path: &&Vec<String>| {
                let is_below = (0..path.len()).any(|it| cut.contains(&path[..it]));
                !is_below && node.at(path).is_some_and(|it| it.as_map().is_some())
            };
            Overlay { cut: cut.iter().filter(says_more).cloned().collect(), node }
        }
    }

    /// Returns a tree in which the value at a path, if there is one, is no map.
    fn without(mut node: Node, path: &[String]) -> Node {
        match (&mut node.value, path.split_first()) {
            (value, None) => *value = Value::Null,
            (Value::Map(map), Some((key, rest))) => {
                if let Some(below) = map.get_mut(key) {
                    *below = without(below.clone(), rest);
                }
            }
            _ => {}
        }
        node
    }

    /// Collects the paths at which a map of `upper` covers something else.
    fn covered(lower: &Node, upper: &Node, path: &mut Vec<String>, found: &mut BTreeSet<Vec<String>>) {
        let Some(upper) = upper.as_map() else { return };
        let Some(lower) = lower.as_map() else {
            found.insert(path.clone());
            return;
        };
        for entry in upper.iter() {
            if let Some(lower) = lower.get(&entry.key) {
                path.push(entry.key.clone());
                covered(lower, &entry.node, path, found);
                path.pop();
            }
        }
    }

    /// Any tree of few keys, so that they meet.
    fn any_tree(file: &'static str) -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![Just(json!(null)), (0..9).prop_map(|it| json!(it)), Just(json!([1, {"a": 2}]))];
        let any = leaf.prop_recursive(4, 24, 3, |below| {
            let key = prop::sample::select(vec!["a", "b", "c"]);
            prop::collection::vec((key, below), 0..4)
                .prop_map(|it| Json::Object(it.into_iter().map(|(key, it)| (key.to_owned(), it)).collect()))
        });
        any.prop_map(move |it| tree(file, it))
    }

    /// Returns a tree with the keys of every map in another order; each keeps its place.
    fn shuffled(mut node: Node, seed: u64) -> Node {
        if let Value::Map(map) = &mut node.value {
            let mut entries: Vec<_> = std::mem::take(map).into_iter().collect();
            entries.sort_by_key(|it| {
                let mut hasher = DefaultHasher::new();
                (seed, &it.key).hash(&mut hasher);
                hasher.finish()
            });
            entries.iter_mut().for_each(|it| it.node = shuffled(it.node.clone(), seed));
            *map = entries.into_iter().collect();
        }
        node
    }

    #[test]
    fn m03_a_scalar_between_two_layers_drops_what_is_below_however_they_are_put_together() {
        let [a, five, b] = [json!({"k": {"x": 1}}), json!({"k": 5}), json!({"k": {"y": 2}})].map(|it| tree("f", it));
        let both = Overlay::compose(&Overlay::of(five.clone()), &Overlay::of(b.clone()));
        assert_eq!(both.cut, BTreeSet::from([KeyPath::parse("k").expect("a path").steps().to_vec()]));
        assert_eq!(both.over(a.clone()).to_json(), json!({"k": {"y": 2}}));
        assert_eq!(both.over(a.clone()), merge(merge(a, five), b));
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

        #[test]
        fn merge_of_any_trees_is_associative_places_and_order_included(
            x in any_tree("x"), a in any_tree("a"), b in any_tree("b"), c in any_tree("c")
        ) {
            let [a, b, c] = [a, b, c].map(Overlay::of);
            prop_assert_eq!(merge(x.clone(), a.node.clone()), a.over(x.clone()));
            let [ab, bc] = [Overlay::compose(&a, &b), Overlay::compose(&b, &c)];
            prop_assert_eq!(b.over(a.over(x.clone())), ab.over(x.clone()));
            let [left, right] = [Overlay::compose(&ab, &c), Overlay::compose(&a, &bc)];
            prop_assert_eq!(left.over(x.clone()), c.over(b.over(a.over(x))));
            prop_assert_eq!(left, right);
        }

        #[test]
        fn the_empty_overlay_is_the_identity(a in any_tree("a"), b in any_tree("b")) {
            // A layer is a map: an empty one takes the place of anything else.
            let layer = |it: Node| if it.as_map().is_some() { it } else { tree("layer", json!({"k": it.to_json()})) };
            let both = Overlay::compose(&Overlay::of(layer(a)), &Overlay::of(layer(b)));
            // An empty map stands where it was written first; that is all that can differ.
            if !both.node.as_map().is_some_and(Map::is_empty) {
                let empty = Overlay::of(tree("empty", json!({})));
                prop_assert_eq!(&Overlay::compose(&empty, &both), &both);
                prop_assert_eq!(&Overlay::compose(&both, &empty), &both);
            }
        }

        #[test]
        fn merging_does_not_depend_on_the_order_of_keys(
            layers in (any_tree("a"), any_tree("b"), any_tree("c")), seeds in any::<[u64; 3]>()
        ) {
            let merged = |[a, b, c]: [Node; 3]| merge(merge(a, b), c);
            let layers = [layers.0, layers.1, layers.2];
            let [a, b, c] = layers.clone();
            let others = [shuffled(a, seeds[0]), shuffled(b, seeds[1]), shuffled(c, seeds[2])];
            // Both in one order, so that only values and places are compared.
            prop_assert_eq!(shuffled(merged(layers), 0), shuffled(merged(others), 0));
        }
    }
}
