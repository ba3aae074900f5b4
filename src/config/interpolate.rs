//! `${VAR}` in values.

use super::ConfigSchema;
use super::variables::typed;
use crate::document::{Node, Value};
use crate::finding::{Code, Finding, Findings};
use std::cell::RefCell;

/// How deep defaults may hold further references, as in `${A:-${B:-c}}`.
const MAX_NESTING: u32 = 8;
/// How many bytes all substituted values of a configuration may have together.
const MAX_SUBSTITUTED_BYTES: usize = 16 << 20;

/// Substitutes `${VAR}` and `${VAR:-default}` in every text of `node`; `$$` stands for `$`.
///
/// As in POSIX the default is taken when the variable is unset or empty. Keys, other values, and texts that were
/// decrypted stay as they are: a secret is no template, and what is substituted is not looked at again. A variable without
/// value and default is an `E_VARIABLE` at the value's place.
pub fn interpolate(node: &mut Node, lookup: &dyn Fn(&str) -> Option<String>, findings: &mut Findings) {
    interpolate_typed(node, lookup, None, findings);
}

/// Does the same, and where a text is one reference as a whole, and the schema wants something that is not text, makes it
/// that: `port: ${PORT}` is a number when it must be one.
pub(super) fn interpolate_typed(
    node: &mut Node,
    lookup: &dyn Fn(&str) -> Option<String>,
    schema: Option<&ConfigSchema>,
    findings: &mut Findings,
) {
    let mut walk = Walk { lookup, schema, findings, path: Vec::new(), bytes_left: MAX_SUBSTITUTED_BYTES };
    walk.visit(node);
}

/// A variable that a text refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its name.
    pub name: String,
    /// Its value; without one, or with an empty one, a default is taken when there is one.
    pub value: Option<String>,
}

/// Returns the variables that were read to substitute `text`, each once: in `${A:-${B}}`, `B` only when `A` has no value.
pub fn references(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Vec<Reference> {
    let read: RefCell<Vec<Reference>> = RefCell::default();
    let recording = |name: &str| {
        let value = lookup(name);
        let mut read = read.borrow_mut();
        if read.iter().all(|it| it.name != name) {
            read.push(Reference { name: name.to_owned(), value: value.clone() });
        }
        value
    };
    let mut expansion = Expansion { lookup: &recording, problems: Vec::new(), bytes_left: MAX_SUBSTITUTED_BYTES };
    expansion.expand(text, 0);
    read.into_inner()
}

struct Walk<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    schema: Option<&'a ConfigSchema>,
    findings: &'a mut Findings,
    path: Vec<String>,
    bytes_left: usize,
}

impl Walk<'_> {
    fn visit(&mut self, node: &mut Node) {
        if node.secret {
            return;
        }
        match &mut node.value {
            Value::List(items) => {
                for (idx, item) in items.iter_mut().enumerate() {
                    self.path.push(idx.to_string());
                    self.visit(item);
                    self.path.pop();
                }
            }
            Value::Map(map) => {
                for entry in map.iter_mut() {
                    self.path.push(entry.key.clone());
                    self.visit(&mut entry.node);
                    self.path.pop();
                }
            }
            Value::String(text) if text.contains('$') => {
                let (new, is_one_reference) = self.expand(text);
                let problems = match new {
                    Ok(new) => {
                        node.value = self.value(new, is_one_reference);
                        return;
                    }
                    Err(problems) => problems,
                };
                for (message, hint) in problems {
                    let message = format!("{}: {message}", super::dotted(&self.path));
                    self.findings.push(Finding::error(Code::VARIABLE, message).at(&node.place).hint(hint));
                }
            }
            _ => {}
        }
    }

    fn value(&self, text: String, is_one_reference: bool) -> Value {
        let types = self.schema.filter(|_| is_one_reference).map(|it| it.types_at(&self.path));
        match types {
            Some(types) if !types.has_text() => typed(&text, types).unwrap_or(Value::String(text)),
            _ => Value::String(text),
        }
    }

    fn expand(&mut self, text: &str) -> (Result<String, Vec<Problem>>, bool) {
        let mut expansion = Expansion { lookup: self.lookup, problems: Vec::new(), bytes_left: self.bytes_left };
        let new = expansion.expand(text, 0);
        let used = self.bytes_left - expansion.bytes_left;
        self.bytes_left -= used;
        let is_one_reference = text.starts_with("${") && closing(&text[2..]).is_some_and(|it| it + 3 == text.len());
        (if expansion.problems.is_empty() { Ok(new) } else { Err(expansion.problems) }, is_one_reference)
    }
}

/// A message and what to do about it.
type Problem = (String, String);

struct Expansion<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
    bytes_left: usize,
}

impl Expansion<'_> {
    fn expand(&mut self, text: &str, depth: u32) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(idx) = rest.find('$') {
            out.push_str(&rest[..idx]);
            rest = &rest[idx + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some(after) = rest.strip_prefix('{') {
                let Some(end) = closing(after) else {
                    self.problem("`${` has no closing `}`", "write `$${` for the text itself");
                    return out;
                };
                let new = self.reference(&after[..end], depth);
                out.push_str(&new);
                rest = &after[end + 1..];
            } else {
                out.push('$');
            }
        }
        out.push_str(rest);
        out
    }

    /// Returns the value of what stands between the braces.
    fn reference(&mut self, inside: &str, depth: u32) -> String {
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            let hint = "write `${NAME}` or `${NAME:-default}`, or `$${` for the text itself";
            self.problem(&format!("`${{{inside}}}` is not a reference"), hint);
            return String::new();
        }
        let value = (self.lookup)(name);
        let value = match default {
            Some(default) if value.as_ref().is_none_or(String::is_empty) => {
                if depth == MAX_NESTING {
                    self.problem("defaults hold each other too deeply", "put the value into a variable of its own");
                    return String::new();
                }
                self.expand(default, depth + 1)
            }
            _ => value.unwrap_or_else(|| {
                let hint = format!("set `{name}`, or give a default: `${{{name}:-…}}`; `$${{` is the text itself");
                self.problem(&format!("`${{{name}}}` has no value and no default"), &hint);
                String::new()
            }),
        };
        match self.bytes_left.checked_sub(value.len()) {
            Some(left) => self.bytes_left = left,
            None => {
                self.problem(
                    "the substituted values are too large",
                    "keep variables short and put the text into a file",
                );
                return String::new();
            }
        }
        value
    }

    fn problem(&mut self, message: &str, hint: &str) {
        self.problems.push((message.to_owned(), hint.to_owned()));
    }
}

/// Returns where the `}` is that closes the reference whose inside begins `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    let bytes = text.as_bytes();
    for (idx, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' if idx > 0 && bytes[idx - 1] == b'$' => depth += 1,
            b'}' if depth == 0 => return Some(idx),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|it| it.is_ascii_alphabetic() || it == b'_')
        && bytes.all(|it| it.is_ascii_alphanumeric() || it == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{lines, secret_at, tree};
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    fn lookup(name: &str) -> Option<String> {
        let value = match name {
            "A" => "a",
            "AB" => "ab",
            "EMPTY" => "",
            "DOLLARS" => "$$ ${A}",
            "BIG" => return Some("x".repeat(1 << 20)),
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut findings = Findings::new();
        let mut node = tree("f", json!({ "k": text }));
        interpolate(&mut node, &lookup, &mut findings);
        assert_eq!(lines(&findings), [""; 0]);
        assert_eq!(node.get("k").and_then(Node::as_str), Some(expected));
    }

    #[test]
    fn references_are_those_that_are_read() {
        let names = |text: &str| -> Vec<String> { references(text, &lookup).into_iter().map(|it| it.name).collect() };
        assert_eq!(names("${A}/${AB:-${NO}}/${A}/$${B}"), ["A", "AB"]);
        assert_eq!(names("${NO:-${EMPTY:-${A}}}"), ["NO", "EMPTY", "A"]);
        assert_eq!(names("${1} ${"), [""; 0]);
        assert_eq!(references("${A}", &lookup), [Reference { name: "A".into(), value: Some("a".into()) }]);
    }

    #[track_caller]
    fn problems(json: Json) -> Vec<String> {
        let mut findings = Findings::new();
        interpolate(&mut tree("f", json), &lookup, &mut findings);
        lines(&findings)
    }

    #[test]
    fn x09_every_unset_variable_is_an_error_at_its_value() {
        insta::assert_snapshot!(
            problems(json!({"a": "${NO} and ${NOT}", "b": {"c": ["x", "${NEVER}"]}})).join("\n"),
            @r"
        f:1:2 E_VARIABLE a: `${NO}` has no value and no default [set `NO`, or give a default: `${NO:-…}`; `$${` is the text itself]
        f:1:2 E_VARIABLE a: `${NOT}` has no value and no default [set `NOT`, or give a default: `${NOT:-…}`; `$${` is the text itself]
        f:3:3 E_VARIABLE b.c.1: `${NEVER}` has no value and no default [set `NEVER`, or give a default: `${NEVER:-…}`; `$${` is the text itself]
        "
        );
    }

    #[test]
    fn what_is_not_a_reference_is_said_to_be_none() {
        for text in ["${", "${}", "${1X}", "${A-b}", "${A:?b}", "${A B}", "${A:-b", "${A:-${B}"] {
            assert_eq!(problems(json!({ "k": text })).len(), 1, "{text}");
        }
    }

    #[test]
    fn what_grows_too_large_is_refused() {
        let found = problems(json!({"k": "${BIG}".repeat(17)}));
        assert_eq!(found.len(), 1, "{found:?}");
        let deep = format!("{}x{}", "${NO:-".repeat(10), "}".repeat(10));
        assert!(problems(json!({ "k": deep }))[0].contains("too deeply"));
        assert_eq!(problems(json!({"k": "${NO:-".repeat(100_000)})).len(), 1);
    }

    #[test]
    fn m10_references_are_substituted_many_per_text() {
        check("${A}-${AB}-${A}", "a-ab-a");
        check("${NO:-default}", "default");
        check("${NO:-a:-b c/d}", "a:-b c/d");
        check("${NO:-}", "");
        check("${NO:-${A}${NOT:-x}}", "ax");
    }

    #[test]
    fn m10_nested_values_change_and_keys_and_other_values_do_not() {
        let mut findings = Findings::new();
        let mut node = tree("f", json!({"${A}": {"l": ["${A}", 1, null, true, {"x": "${AB}"}]}}));
        interpolate(&mut node, &lookup, &mut findings);
        assert_eq!(node.to_json(), json!({"${A}": {"l": ["a", 1, null, true, {"x": "ab"}]}}));
        assert!(findings.is_empty());
    }

    #[test]
    fn x09_posix_details() {
        check("${EMPTY:-default}", "default");
        check("${EMPTY}", "");
        check("$A $AB $ 5$", "$A $AB $ 5$");
        check("$${A} $$$$ $$${A}", "${A} $$ $a");
    }

    #[test]
    fn what_is_substituted_is_not_looked_at_again() {
        check("${DOLLARS}", "$$ ${A}");
    }

    #[test]
    fn decrypted_values_are_never_templates() {
        let mut findings = Findings::new();
        let mut node = secret_at(tree("f", json!({"password": "pa$$${NO}", "user": "${A}"})), "password");
        interpolate(&mut node, &lookup, &mut findings);
        assert_eq!(node.to_json(), json!({"password": "pa$$${NO}", "user": "a"}));
        assert!(findings.is_empty());
    }

    proptest! {
        #[test]
        fn doubled_dollars_give_back_any_text(text in ".*") {
            let mut node = tree("f", json!({"k": text.replace('$', "$$")}));
            let mut findings = Findings::new();
            interpolate(&mut node, &lookup, &mut findings);
            prop_assert!(findings.is_empty());
            prop_assert_eq!(node.get("k").and_then(Node::as_str), Some(text.as_str()));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[${}:A-]*") {
            interpolate(&mut tree("f", json!({ "k": text })), &lookup, &mut Findings::new());
        }
    }
}
