//! From a tree to typed values, strictly: every mistake is a finding with its place.
//!
//! A reader takes the keys that it knows out of a [`Fields`] one by one, and [`Fields::finish`] then names the keys that
//! nobody asked for.
//!
//! ```
//! # use headfast::document::{self, decode::{self, Fields}, Format, Limits, MergeKeys};
//! # use headfast::finding::Findings;
//! # let mut findings = Findings::new();
//! # let node = document::parse(Format::Yaml, &"a.yaml".into(), b"name: web\npoll: 60s\n", &Limits::default(),
//! #     MergeKeys::Refuse, &mut findings).unwrap();
//! # (|| -> Option<()> {
//! let mut fields = Fields::new(&node, "", &mut findings)?;
//! let name = fields.string("name", &mut findings);
//! let poll = fields.optional_duration("poll", &mut findings);
//! fields.finish(&mut findings);
//! # assert_eq!((name.as_deref(), poll), (Some("web"), Some(std::time::Duration::from_secs(60))));
//! # Some(()) })();
//! # assert!(findings.is_empty());
//! ```

use super::{Entry, Map, Node, Value};
use crate::finding::{Code, Finding, Findings, nearest};
use crate::place::Place;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The entries of a map, to be taken one by one.
#[derive(Debug)]
pub struct Fields<'a> {
    map: &'a Map,
    place: &'a Place,
    what: String,
    known: Vec<String>,
}

impl<'a> Fields<'a> {
    /// Starts to read a map; `what` is its dotted path for messages, empty at the top of a document.
    pub fn new(node: &'a Node, what: &str, findings: &mut Findings) -> Option<Fields<'a>> {
        let map = map(node, what, findings)?;
        Some(Fields { map, place: &node.place, what: what.to_owned(), known: Vec::new() })
    }

    /// Returns the place of the map.
    pub fn place(&self) -> &'a Place {
        self.place
    }

    /// Returns the dotted path of `key`, for messages.
    pub fn path(&self, key: &str) -> String {
        if self.what.is_empty() { key.to_owned() } else { format!("{}.{key}", self.what) }
    }

    /// Takes the value of an optional key.
    pub fn take(&mut self, key: &str) -> Option<&'a Node> {
        self.take_entry(key).map(|it| &it.node)
    }

    /// Takes the whole entry of an optional key.
    pub fn take_entry(&mut self, key: &str) -> Option<&'a Entry> {
        #[cfg(test)]
        asked::key(&self.what, key);
        self.known_entry(key)
    }

    fn known_entry(&mut self, key: &str) -> Option<&'a Entry> {
        if !self.known.iter().any(|it| it == key) {
            self.known.push(key.to_owned());
        }
        self.map.entry(key)
    }

    /// Takes the value of a required key.
    pub fn required(&mut self, key: &str, findings: &mut Findings) -> Option<&'a Node> {
        let node = self.take(key);
        if node.is_none() {
            let message = format!("`{}` is missing", self.path(key));
            findings.push(Finding::error(Code::MISSING_KEY, message).at(self.place));
        }
        node
    }

    /// Refuses a key that exists in the documentation but not in this version.
    pub fn unsupported(&mut self, key: &str, findings: &mut Findings) {
        if let Some(entry) = self.known_entry(key) {
            let message = format!("`{}` is not supported by this version of headfast", self.path(key));
            findings.push(Finding::error(Code::UNSUPPORTED, message).at(&entry.place).hint("remove it"));
        }
    }

    /// Takes a required text.
    pub fn string(&mut self, key: &str, findings: &mut Findings) -> Option<String> {
        self.required(key, findings).and_then(|it| text(it, &self.path(key), findings)).map(str::to_owned)
    }

    /// Takes an optional text.
    pub fn optional_string(&mut self, key: &str, findings: &mut Findings) -> Option<String> {
        self.take(key).and_then(|it| text(it, &self.path(key), findings)).map(str::to_owned)
    }

    /// Takes an optional boolean.
    pub fn optional_bool(&mut self, key: &str, findings: &mut Findings) -> Option<bool> {
        self.take(key).and_then(|it| boolean(it, &self.path(key), findings))
    }

    /// Takes an optional whole number within `range`.
    pub fn optional_number(&mut self, key: &str, range: RangeInclusive<u64>, findings: &mut Findings) -> Option<u64> {
        self.take(key).and_then(|it| number(it, &self.path(key), range, findings))
    }

    /// Takes an optional duration such as `90s`, `2m` or `1h30m`.
    pub fn optional_duration(&mut self, key: &str, findings: &mut Findings) -> Option<Duration> {
        self.take(key).and_then(|it| duration(it, &self.path(key), findings))
    }

    /// Takes an optional text that is one of `choices`, and returns what that choice stands for.
    pub fn optional_choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)], findings: &mut Findings) -> Option<T> {
        self.take(key).and_then(|it| choice(it, &self.path(key), choices, findings))
    }

    /// Takes the elements of an optional list; an absent list is empty.
    pub fn list(&mut self, key: &str, findings: &mut Findings) -> &'a [Node] {
        self.take(key).and_then(|it| list(it, &self.path(key), findings)).unwrap_or_default()
    }

    /// Takes the entries of an optional map; an absent map is empty.
    pub fn entries(&mut self, key: &str, findings: &mut Findings) -> impl Iterator<Item = &'a Entry> + use<'a> {
        self.take(key).and_then(|it| map(it, &self.path(key), findings)).into_iter().flat_map(Map::iter)
    }

    /// Takes an optional list of texts, each with its place; an absent list is empty.
    pub fn strings(&mut self, key: &str, findings: &mut Findings) -> Vec<(String, Place)> {
        let path = self.path(key);
        let items = self.list(key, findings);
        items.iter().filter_map(|it| Some((text(it, &path, findings)?.to_owned(), it.place.clone()))).collect()
    }

    /// Takes an optional map of texts; an absent map is empty.
    pub fn string_map(&mut self, key: &str, findings: &mut Findings) -> BTreeMap<String, String> {
        let path = self.path(key);
        let mut texts = BTreeMap::new();
        for entry in self.entries(key, findings) {
            if let Some(it) = text(&entry.node, &format!("{path}.{}", entry.key), findings) {
                texts.insert(entry.key.clone(), it.to_owned());
            }
        }
        texts
    }

    /// Pushes an error for each key that was not taken.
    pub fn finish(self, findings: &mut Findings) {
        for entry in self.map.iter().filter(|it| !self.known.contains(&it.key)) {
            let message = format!("the key `{}` does not exist", self.path(&entry.key).escape_debug());
            let hint = match nearest(&entry.key, self.known.iter().map(String::as_str)) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("the keys here are {}", self.known.join(", ")),
            };
            findings.push(Finding::error(Code::UNKNOWN_KEY, message).at(&entry.place).hint(hint));
        }
    }
}

/// Returns the map that a node holds, or pushes an error.
pub fn map<'a>(node: &'a Node, what: &str, findings: &mut Findings) -> Option<&'a Map> {
    node.as_map().or_else(|| wrong_type(node, what, "a map", findings))
}

/// Returns the elements that a node holds, or pushes an error.
pub fn list<'a>(node: &'a Node, what: &str, findings: &mut Findings) -> Option<&'a [Node]> {
    let Some(text) = node.as_str().filter(|it| is_plain(it)) else {
        return node.as_list().or_else(|| wrong_type(node, what, "a list", findings));
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    findings.push(type_error(node, what, "a list").hint(format!("write `[{}]`", words.join(", "))));
    None
}

/// Returns whether the words of a text can stand in a list as they are.
fn is_plain(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().all(|it| it.is_alphanumeric() || " ._/-:=".contains(it))
}

/// Returns the text that a node holds, or pushes an error.
pub fn text<'a>(node: &'a Node, what: &str, findings: &mut Findings) -> Option<&'a str> {
    if let Value::Int(_) | Value::Float(_) | Value::Bool(_) = node.value {
        findings.push(type_error(node, what, "text").hint("put the value in quotes"));
        return None;
    }
    node.as_str().or_else(|| wrong_type(node, what, "text", findings))
}

/// Returns the boolean that a node holds, or pushes an error.
pub fn boolean(node: &Node, what: &str, findings: &mut Findings) -> Option<bool> {
    match node.value {
        Value::Bool(it) => Some(it),
        _ => wrong_type(node, what, "true or false", findings),
    }
}

/// Returns the whole number within `range` that a node holds, or pushes an error.
pub fn number(node: &Node, what: &str, range: RangeInclusive<u64>, findings: &mut Findings) -> Option<u64> {
    let Value::Int(value) = node.value else { return wrong_type(node, what, "a whole number", findings) };
    let fits = u64::try_from(value).ok().filter(|it| range.contains(it));
    if fits.is_none() {
        let allowed = match *range.end() {
            u64::MAX => format!("at least {}", range.start()),
            end => format!("between {} and {end}", range.start()),
        };
        wrong_value(node, format!("{} must be {allowed}, found {value}", named(what)), findings);
    }
    fits
}

/// Returns the duration that a node holds, or pushes an error.
pub fn duration(node: &Node, what: &str, findings: &mut Findings) -> Option<Duration> {
    let example = "write it like 30s, 2m or 1h30m";
    match &node.value {
        Value::Int(0) => Some(Duration::ZERO),
        Value::String(text) => parse_duration(text).or_else(|| {
            let message = format!("{} is not a duration: `{}`", named(what), text.escape_debug());
            findings.push(Finding::error(Code::VALUE, message).at(&node.place).hint(example));
            None
        }),
        _ => {
            findings.push(type_error(node, what, "a duration").hint(example));
            None
        }
    }
}

/// Returns what a node's text stands for among `choices`, or pushes an error.
pub fn choice<T: Copy>(node: &Node, what: &str, choices: &[(&str, T)], findings: &mut Findings) -> Option<T> {
    #[cfg(test)]
    asked::choices(what, choices.iter().map(|(name, _)| *name));
    let text = text(node, what, findings)?;
    let found = choices.iter().find(|(name, _)| *name == text).map(|(_, it)| *it);
    if found.is_none() {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let message = format!("{} cannot be `{}`", named(what), text.escape_debug());
        let hint = format!("it is one of {}", names.join(", "));
        findings.push(Finding::error(Code::VALUE, message).at(&node.place).hint(hint));
    }
    found
}

/// Reads a duration: numbers with the units `ms`, `s`, `m`, `h` and `d`, in a row.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let amount: u64 = rest[..n_digits].parse().ok()?;
        rest = &rest[n_digits..];
        let n_letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
        let millis = match &rest[..n_letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60 * 1000,
            "h" => 60 * 60 * 1000,
            "d" => 24 * 60 * 60 * 1000,
            _ => return None,
        };
        rest = &rest[n_letters..];
        total = total.checked_add(Duration::from_millis(amount.checked_mul(millis)?))?;
    }
    (!text.is_empty()).then_some(total)
}

/// Pushes an error about a value that has the right type but is not allowed.
pub fn wrong_value(node: &Node, message: impl Into<String>, findings: &mut Findings) {
    findings.push(Finding::error(Code::VALUE, message).at(&node.place));
}

fn wrong_type<T>(node: &Node, what: &str, expected: &str, findings: &mut Findings) -> Option<T> {
    findings.push(type_error(node, what, expected));
    None
}

fn type_error(node: &Node, what: &str, expected: &str) -> Finding {
    let message = format!("{} must be {expected}, found {}", named(what), node.type_name());
    Finding::error(Code::TYPE, message).at(&node.place)
}

fn named(what: &str) -> String {
    if what.is_empty() { "the document".to_owned() } else { format!("`{what}`") }
}

#[cfg(test)]
pub(crate) mod asked;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Format, Limits, MergeKeys, parse};

    fn read(text: &str) -> Node {
        let mut findings = Findings::new();
        let limits = Limits::default();
        let node = parse(Format::Yaml, &"a.yaml".into(), text.as_bytes(), &limits, MergeKeys::Apply, &mut findings);
        assert!(findings.is_empty(), "{findings:?}");
        node.expect("the text parses")
    }

    fn shown(findings: &Findings) -> Vec<String> {
        let place = |it: &Finding| it.place.as_ref().map(ToString::to_string).unwrap_or_default();
        let hint = |it: &Finding| it.hint.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
        findings.iter().map(|it| format!("{} {}: {}{}", place(it), it.code, it.message, hint(it))).collect()
    }

    #[test]
    fn all_mistakes_are_named_at_their_places() {
        let node = read("nmae: x\npoll: 5\nport: 70000\nmode: lst\ntags: [a, 1]\nold: 1\nflag: yes\n");
        let mut findings = Findings::new();
        let mut fields = Fields::new(&node, "top", &mut findings).expect("a map");
        fields.string("name", &mut findings);
        fields.optional_duration("poll", &mut findings);
        fields.optional_number("port", 1..=65535, &mut findings);
        fields.optional_choice("mode", &[("list", 1), ("map", 2)], &mut findings);
        fields.strings("tags", &mut findings);
        fields.unsupported("old", &mut findings);
        fields.optional_bool("flag", &mut findings);
        fields.finish(&mut findings);
        insta::assert_snapshot!(shown(&findings).join("\n"), @"
        a.yaml:1:1 E_MISSING_KEY: `top.name` is missing
        a.yaml:2:7 E_TYPE: `top.poll` must be a duration, found a number (write it like 30s, 2m or 1h30m)
        a.yaml:3:7 E_VALUE: `top.port` must be between 1 and 65535, found 70000
        a.yaml:4:7 E_VALUE: `top.mode` cannot be `lst` (it is one of list, map)
        a.yaml:5:11 E_TYPE: `top.tags` must be text, found a number (put the value in quotes)
        a.yaml:6:1 E_UNSUPPORTED: `top.old` is not supported by this version of headfast (remove it)
        a.yaml:7:7 E_TYPE: `top.flag` must be true or false, found text
        a.yaml:1:1 E_UNKNOWN_KEY: the key `top.nmae` does not exist (did you mean `name`?)
        ");
    }

    #[test]
    fn a_map_must_be_a_map() {
        let mut findings = Findings::new();
        assert!(Fields::new(&read("[1]"), "", &mut findings).is_none());
        assert_eq!(shown(&findings), ["a.yaml:1:1 E_TYPE: the document must be a map, found a list"]);
    }

    #[test]
    fn null_is_not_absent() {
        let node = read("names:\n");
        let mut findings = Findings::new();
        let mut fields = Fields::new(&node, "", &mut findings).expect("a map");
        assert!(fields.strings("names", &mut findings).is_empty());
        assert_eq!(shown(&findings), ["a.yaml:1:6 E_TYPE: `names` must be a list, found null"]);
    }

    #[test]
    fn durations_are_read() {
        let cases = [("60s", 60), ("2m", 120), ("1h30m", 5400), ("1d", 86400), ("0", 0), ("0s", 0)];
        for (text, seconds) in cases {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        for text in ["", "60", "s", "1w", "-1s", "1.5h", "1 h", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
