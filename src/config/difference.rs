//! What changed between two trees, key by key.

use super::shown;
use crate::document::{Map, Node, Value};

/// One value that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its dotted path.
    pub path: String,
    /// What happened to it.
    pub kind: ChangeKind,
    /// The old value as it may be shown; absent when it was added.
    pub old: Option<String>,
    /// The new value as it may be shown; absent when it was removed.
    pub new: Option<String>,
}

/// What happened to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was not there before.
    Added,
    /// It is gone.
    Removed,
    /// It has another value.
    Changed,
}

/// Returns what changed from `old` to `new`, in the order of the keys in `old`, then of those that were added.
///
/// Maps are compared key by key, lists as wholes. Values that were decrypted are redacted on both sides.
pub fn difference(old: &Node, new: &Node) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(old, new, &mut Vec::new(), &mut changes);
    changes
}

fn compare(old: &Node, new: &Node, path: &mut Vec<String>, changes: &mut Vec<Change>) {
    match (&old.value, &new.value) {
        (Value::Map(old), Value::Map(new)) => compare_maps(old, new, path, changes),
        _ if old.to_json() == new.to_json() => {}
        _ => changes.push(change(path, Some(old), Some(new))),
    }
}

fn compare_maps(old: &Map, new: &Map, path: &mut Vec<String>, changes: &mut Vec<Change>) {
    for entry in old.iter() {
        path.push(entry.key.clone());
        match new.get(&entry.key) {
            Some(new) => compare(&entry.node, new, path, changes),
            None => changes.push(change(path, Some(&entry.node), None)),
        }
        path.pop();
    }
    for entry in new.iter().filter(|it| old.get(&it.key).is_none()) {
        path.push(entry.key.clone());
        changes.push(change(path, None, Some(&entry.node)));
        path.pop();
    }
}

fn change(path: &[String], old: Option<&Node>, new: Option<&Node>) -> Change {
    let kind = match (old, new) {
        (None, _) => ChangeKind::Added,
        (_, None) => ChangeKind::Removed,
        _ => ChangeKind::Changed,
    };
    // A value that is secret on one side only was encrypted or decrypted; the other side shows the same text.
    let is_secret = [old, new].into_iter().flatten().any(Node::holds_secret);
    let show = |node: &Node| if is_secret { super::REDACTED.to_owned() } else { shown(node) };
    Change { path: super::dotted(path), kind, old: old.map(show), new: new.map(show) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{secret_at, tree};
    use serde_json::json;

    #[test]
    fn x05_changes_are_named_key_by_key_and_secrets_masked() {
        let old = tree("old", json!({"a": {"b": 1, "gone": [1]}, "same": {"x": [1, 2]}, "password": "one"}));
        let new = tree("new", json!({"same": {"x": [1, 2]}, "a": {"b": 2}, "password": "two", "added": {"k": true}}));
        let changes = difference(&old, &secret_at(new, "password"));
        let line = |it: &Change| {
            let text = |it: &Option<String>| it.clone().unwrap_or("-".into());
            format!("{:?} {} {} {}", it.kind, it.path, text(&it.old), text(&it.new))
        };
        insta::assert_snapshot!(changes.iter().map(line).collect::<Vec<_>>().join("\n"), @r"
        Changed a.b 1 2
        Removed a.gone a list of 1 item -
        Changed password <redacted> <redacted>
        Added added - a map of 1 key
        ");
    }

    #[test]
    fn equal_trees_have_no_difference_wherever_they_were_written() {
        let json = json!({"a": {"b": 1}});
        assert_eq!(difference(&tree("old", json.clone()), &tree("new", json)), []);
    }
}
