//! The keys that lead to a value.

use super::{Node, Value};
use crate::finding::{Code, Finding};
use std::fmt;

/// The keys, and positions in lists, that lead from a document to a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyPath(Vec<String>);

impl KeyPath {
    /// Reads `server.port`, `users.0.name`, `"a.b".c` with quotes as in JSON, or the JSON pointer `/a.b/c`.
    ///
    /// The empty text is the document itself.
    pub fn parse(text: &str) -> Result<KeyPath, Finding> {
        if text.is_empty() {
            return Ok(KeyPath(Vec::new()));
        }
        if let Some(pointer) = text.strip_prefix('/') {
            let step = |it: &str| it.replace("~1", "/").replace("~0", "~");
            return Ok(KeyPath(pointer.split('/').map(step).collect()));
        }
        let (mut steps, mut rest) = (Vec::new(), Some(text));
        while let Some(text) = rest {
            let (step, after) = step(text).ok_or_else(|| {
                let message = format!("`{}` is not a key", text.escape_debug());
                Finding::error(Code::VALUE, message).hint("write keys as in `server.port`, `users.0.name`, `\"a.b\".c`")
            })?;
            steps.push(step);
            rest = after;
        }
        Ok(KeyPath(steps))
    }

    /// Returns the keys from the document on.
    pub fn steps(&self) -> &[String] {
        &self.0
    }

    /// Returns the path as a JSON pointer.
    pub fn pointer(&self) -> String {
        self.0.iter().map(|it| format!("/{}", it.replace('~', "~0").replace('/', "~1"))).collect()
    }
}

impl From<Vec<String>> for KeyPath {
    fn from(steps: Vec<String>) -> Self {
        KeyPath(steps)
    }
}

/// Reads the first key, and returns what follows the dot behind it.
fn step(text: &str) -> Option<(String, Option<&str>)> {
    if !text.starts_with('"') {
        let (step, rest) = text.split_once('.').map_or((text, None), |(step, rest)| (step, Some(rest)));
        return (!step.is_empty()).then(|| (step.to_owned(), rest));
    }
    let mut strings = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let step = strings.next()?.ok()?;
    match &text[strings.byte_offset()..] {
        "" => Some((step, None)),
        rest => Some((step, Some(rest.strip_prefix('.')?))),
    }
}

impl fmt::Display for KeyPath {
    /// Writes the path so that [`KeyPath::parse`] reads it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, step) in self.0.iter().enumerate() {
            let dot = if idx == 0 { "" } else { "." };
            let is_plain = !step.is_empty() && !step.contains(['.', '"']) && !step.starts_with('/');
            match is_plain && !step.chars().any(char::is_control) {
                true => write!(f, "{dot}{step}")?,
                false => write!(f, "{dot}{}", serde_json::Value::from(step.as_str()))?,
            }
        }
        Ok(())
    }
}

impl Node {
    /// Returns the node at keys and positions; unlike [`Node::get`] it reaches keys that hold a dot.
    pub fn at<S: AsRef<str>>(&self, steps: &[S]) -> Option<&Node> {
        steps.iter().try_fold(self, |node, step| match &node.value {
            Value::Map(map) => map.get(step.as_ref()),
            Value::List(items) => items.get(step.as_ref().parse::<usize>().ok()?),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn steps(text: &str) -> Option<Vec<String>> {
        KeyPath::parse(text).ok().map(|it| it.0)
    }

    #[test]
    fn paths_are_read_in_three_ways() {
        let read = |text: &str| steps(text).map(|it| it.join("|"));
        assert_eq!(read("server.port").as_deref(), Some("server|port"));
        assert_eq!(read(r#""a.b".0."c\"d""#).as_deref(), Some("a.b|0|c\"d"));
        assert_eq!(read("/a.b/0/c~1d~0").as_deref(), Some("a.b|0|c/d~"));
        assert_eq!(steps(""), Some(Vec::new()));
        for text in [".", "a.", ".a", "a..b", "\"a", "\"a\"b", "\"a\"."] {
            assert_eq!(steps(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_path_is_read_as_it_was_written(keys in prop::collection::vec("(?s)[a-z.\"/~ ]{1,4}|.{1,3}", 1..4)) {
            let path = KeyPath(keys.clone());
            prop_assert_eq!(steps(&path.to_string()), Some(keys.clone()));
            prop_assert_eq!(steps(&path.pointer()), Some(keys));
        }
    }
}
