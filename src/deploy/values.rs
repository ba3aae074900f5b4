//! What the configurations of a deployment hold, remembered so that the next one can say what it changes, key by key.
//!
//! Of every value there is a digest with the host's key, and its text unless it is secret: a secret that changes is told, and
//! no byte of it is in the database.

use super::{ConfigurationDeployer, Error};
use crate::config::{Configuration, REDACTED};
use crate::document::{Node, Value};
use crate::host::scan::DigestKey;
use crate::record::{Deployment, KeyChange, KeyChangeKind, KeyChanges};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How many changes a record holds; the others are counted.
const CHANGES_MAX: usize = 200;
/// How many bytes are remembered of the values of one deployment, about; of a configuration beyond that only whether it
/// changed.
const BYTES_MAX: usize = 1 << 20;
/// How many characters of a value are shown.
const SHOWN_MAX: usize = 120;

/// The values of one deployment.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    /// The commit and the rendering.
    of: String,
    configurations: BTreeMap<String, Values>,
}

/// The values of one configuration.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Values {
    /// By dotted path.
    Keys(BTreeMap<String, Leaf>),
    /// The digest of all that there is, when it is too much.
    Whole(String),
}

/// A value that is no map.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Leaf {
    digest: String,
    /// The value as it may be shown; absent when it is secret.
    shown: Option<String>,
}

impl ConfigurationDeployer<'_> {
    /// Notes in the record what a deployment changes against the live one, and remembers its values for the next.
    pub(super) fn note_values(
        &self,
        deployment: &mut Deployment,
        configurations: &BTreeMap<String, Configuration>,
    ) -> Result<(), Error> {
        let live = deployment.previous.map(|id| self.store.deployment(id)).transpose()?.flatten();
        let live = live.map(|it| identity(&it));
        let text = self.store.recall(self.name(), "values")?;
        let known: Vec<Remembered> = text.and_then(|it| serde_json::from_str(&it).ok()).unwrap_or_default();
        let trees = configurations.iter().map(|(name, it)| (name.as_str(), it.merged.as_ref()));
        let new = Remembered { of: identity(deployment), configurations: values(trees, &self.key) };
        let before = known.into_iter().find(|it| Some(&it.of) == live.as_ref());
        let changes = before.as_ref().map(|it| changes(&it.configurations, &new.configurations));
        deployment.keys = changes.unwrap_or_default();
        // Should this one fail, the next is compared with what is live still.
        let mut kept: Vec<Remembered> = before.into_iter().filter(|it| it.of != new.of).collect();
        kept.push(new);
        Ok(self.store.remember(self.name(), "values", &serde_json::to_string(&kept).unwrap_or_default())?)
    }
}

fn identity(deployment: &Deployment) -> String {
    let digest = deployment.digest.as_ref().map_or("", |it| it.0.as_str());
    format!("{} {digest}", deployment.revision)
}

fn values<'a>(trees: impl Iterator<Item = (&'a str, &'a Node)>, key: &DigestKey) -> BTreeMap<String, Values> {
    let mut left = BYTES_MAX;
    let of = |(name, it): (&'a str, &'a Node)| {
        let before = left;
        let mut leaves = Leaves { configuration: name, key, left: &mut left, all: BTreeMap::new() };
        let values = match leaves.add(it, &mut Vec::new()) {
            Some(()) => Values::Keys(leaves.all),
            None => {
                left = before;
                Values::Whole(key.of(format!("{name}\0{}", it.to_json()).as_bytes()).0)
            }
        };
        (name.to_owned(), values)
    };
    trees.map(of).collect()
}

struct Leaves<'a> {
    configuration: &'a str,
    key: &'a DigestKey,
    left: &'a mut usize,
    all: BTreeMap<String, Leaf>,
}

impl Leaves<'_> {
    /// Adds what is below a node; `None` when it is too much.
    fn add(&mut self, node: &Node, path: &mut Vec<String>) -> Option<()> {
        if let Value::Map(map) = &node.value
            && map.iter().next().is_some()
        {
            for entry in map.iter() {
                path.push(entry.key.clone());
                self.add(&entry.node, path)?;
                path.pop();
            }
            return Some(());
        }
        let (path, text) = (path.join("."), node.to_json().to_string());
        let digest = self.key.of(format!("{}\0{path}\0{text}", self.configuration).as_bytes()).0;
        let shown = (!node.holds_secret()).then(|| short(&text));
        let n_bytes = path.len() + digest.len() + shown.as_ref().map_or(0, String::len) + 32;
        *self.left = self.left.checked_sub(n_bytes)?;
        self.all.insert(path, Leaf { digest, shown });
        Some(())
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn changes(old: &BTreeMap<String, Values>, new: &BTreeMap<String, Values>) -> KeyChanges {
    let mut found = KeyChanges::default();
    let none = BTreeMap::new();
    for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        match (old.get(name), new.get(name)) {
            (Some(Values::Keys(old)), Some(Values::Keys(new))) => compare(name, old, new, &mut found),
            (Some(Values::Keys(old)), None) => compare(name, old, &none, &mut found),
            (None, Some(Values::Keys(new))) => compare(name, &none, new, &mut found),
            (old, new) if old == new => {}
            (old, new) => push(name, "", old.map(|_| None), new.map(|_| None), &mut found),
        }
    }
    found
}

fn compare(name: &str, old: &BTreeMap<String, Leaf>, new: &BTreeMap<String, Leaf>, found: &mut KeyChanges) {
    for path in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let (old, new) = (old.get(path), new.get(path));
        if old.map(|it| &it.digest) == new.map(|it| &it.digest) {
            continue;
        }
        // A value that is secret on one side only may be the same text in both.
        let is_secret = [old, new].into_iter().flatten().any(|it| it.shown.is_none());
        let show = |it: &Leaf| if is_secret { Some(REDACTED.to_owned()) } else { it.shown.clone() };
        push(name, path, old.map(show), new.map(show), found);
    }
}

fn push(name: &str, path: &str, old: Option<Option<String>>, new: Option<Option<String>>, found: &mut KeyChanges) {
    if found.changes.len() == CHANGES_MAX {
        found.more += 1;
        return;
    }
    let kind = match (&old, &new) {
        (None, _) => KeyChangeKind::Added,
        (_, None) => KeyChangeKind::Removed,
        _ => KeyChangeKind::Changed,
    };
    let (configuration, path) = (name.to_owned(), path.to_owned());
    found.changes.push(KeyChange { configuration, path, kind, old: old.flatten(), new: new.flatten() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{secret_at, tree};
    use serde_json::{Value as Json, json};

    const KEY: [u8; 32] = [7; 32];

    fn of(all: &[(&str, Node)]) -> BTreeMap<String, Values> {
        values(all.iter().map(|it| (it.0, &it.1)), &DigestKey::new(KEY))
    }

    fn lines(found: &KeyChanges) -> String {
        let text = |it: &Option<String>| it.clone().unwrap_or("-".into());
        let line = |it: &KeyChange| {
            format!("{} {:?} {} {} {}", it.configuration, it.kind, it.path, text(&it.old), text(&it.new))
        };
        found.changes.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn x05_values_are_compared_key_by_key_and_secrets_by_their_digests() {
        let old = tree(
            "old",
            json!({"a": {"b": 1, "gone": [1]}, "empty": {}, "password": "hunter1", "same": "hunter2", "token": "hunter3"}),
        );
        let new = tree(
            "new",
            json!({"a": {"b": 2}, "empty": {"x": 1}, "password": "hunter4", "same": "hunter2", "token": "hunter3", "key": "hunter5"}),
        );
        let secret = |node, keys: &[&str]| keys.iter().fold(node, |node, key| secret_at(node, key));
        // What is secret now was plain before, and is the same text.
        let old = of(&[("app", secret(old, &["password", "same"])), ("was", tree("was", json!({"x": "y"})))]);
        let new =
            of(&[("app", secret(new, &["password", "same", "token", "key"])), ("is", tree("is", json!({"x": "z"})))]);
        insta::assert_snapshot!(lines(&changes(&old, &new)), @r#"
        app Changed a.b 1 2
        app Removed a.gone [1] -
        app Removed empty {} -
        app Added empty.x - 1
        app Added key - <redacted>
        app Changed password <redacted> <redacted>
        is Added x - "z"
        was Removed x "y" -
        "#);
        let remembered = serde_json::to_string(&new).unwrap();
        assert!(!remembered.contains("hunter"), "{remembered}");
        assert_eq!(changes(&new, &new), KeyChanges::default());
    }

    #[test]
    fn x05_what_is_too_much_is_counted() {
        let many = |value: &str| {
            let all: serde_json::Map<String, Json> = (0..300).map(|it| (format!("k{it:03}"), json!(value))).collect();
            of(&[("app", tree("app", Json::Object(all)))])
        };
        let found = changes(&many("x"), &many("y"));
        assert_eq!((found.changes.len(), found.more), (CHANGES_MAX, 100));
        let huge = |value: &str| {
            let all: serde_json::Map<String, Json> =
                (0..5_000).map(|it| (format!("k{it:0200}"), json!(value))).collect();
            of(&[("app", tree("app", Json::Object(all))), ("small", tree("small", json!({"x": value})))])
        };
        insta::assert_snapshot!(lines(&changes(&huge("x"), &huge("y"))), @r#"
        app Changed  - -
        small Changed x "x" "y"
        "#);
        let long = changes(&of(&[("a", tree("a", json!({"x": "é".repeat(500)})))]), &of(&[]));
        assert_eq!(long.changes[0].old.as_ref().unwrap().chars().count(), SHOWN_MAX + 1);
    }
}
