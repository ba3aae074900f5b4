//! What of a plain document is to be encrypted, and whether SOPS keeps it as it is.

use super::read::{Source, Store};
use super::rules::Rule;
use super::tree::{Data, Field, Item, Scalar};
use super::{number, read};
use crate::document::{self, Format, Limits, MergeKeys, Node, Value};
use crate::finding::{Code, Finding, Findings, Severity};
use crate::place::Place;
use std::ops::Range;

/// A plain document that can be encrypted: as SOPS reads it, and as headfast does.
pub(super) struct Plain {
    /// The selected values are marked, and have the types that they get in SOPS.
    pub text: read::Text,
    pub node: Node,
}

/// Reads a document; everything that would not survive its encryption is in `findings`.
pub(super) fn survey(source: &Source<'_>, store: Store, rule: &Rule, findings: &mut Findings) -> Option<Plain> {
    let n_errors = findings.n_errors();
    if store == Store::Yaml
        && let Some(at) = directive(source.text)
    {
        let message = "directives cannot be encrypted: SOPS does not read `%YAML 1.2`";
        findings.push(Finding::error(Code::UNSUPPORTED, message).at(&source.place(at)).hint("remove the line"));
        return None;
    }
    let mut text = read::read(source, store).map_err(|it| findings.push(it)).ok()?;
    if let Some(second) = text.documents.get(1) {
        findings.push(Finding::error(Code::YAML_DOCS, "the file holds more than one document").at(&second.place));
        return None;
    }
    let node = as_layer(source, store, findings);
    let document = text.documents.first_mut();
    let (Some(document), false) = (document, node.as_ref().is_some_and(|it| matches!(it.value, Value::Null))) else {
        findings.push(Finding::error(Code::SHAPE, "the document is empty").at(&source.whole()));
        return None;
    };
    if let Data::Map(fields) = &document.data
        && let Some(block) = fields.iter().find(|it| it.key == "sops")
    {
        findings.push(encrypted_already(&block.place));
        return None;
    }
    Survey { source, rule, store, path: Vec::new(), findings }.item(document);
    let node = node?;
    if findings.n_errors() == n_errors {
        match document.clone().into_node() {
            Ok(read) => compare(&node, &read, &mut Vec::new(), findings),
            Err(finding) => findings.push(finding),
        }
    }
    (findings.n_errors() == n_errors).then_some(Plain { text, node })
}

/// Finds a line such as `%YAML 1.2` above the document.
fn directive(text: &str) -> Option<usize> {
    let mut lines = text.split_inclusive('\n').scan(0, |end, line| {
        *end += line.len();
        Some((*end - line.len(), line))
    });
    let first = lines.find(|(_, it)| !it.trim().is_empty() && !it.starts_with('#'));
    first.filter(|(_, it)| it.starts_with('%')).map(|(at, _)| at)
}

/// Reads the document as a layer is read that nobody encrypted.
fn as_layer(source: &Source<'_>, store: Store, findings: &mut Findings) -> Option<Node> {
    let format = if store == Store::Yaml { Format::Yaml } else { Format::Json };
    let (whole, limits) = (source.whole(), Limits::default());
    let mut found = Findings::new();
    let node = document::parse(format, &whole.file, source.text.as_bytes(), &limits, MergeKeys::Apply, &mut found);
    for mut finding in found.into_iter().filter(|it| it.severity == Severity::Error) {
        if finding.code == Code::NUMBER {
            // The reader's own words quote the number.
            finding.message = "the number cannot be kept exactly".into();
        }
        findings.push(finding);
    }
    node
}

fn encrypted_already(at: &Place) -> Finding {
    Finding::error(Code::SOPS, "the file is encrypted already, at least in part")
        .at(at)
        .hint("change one of its values, or decrypt it first")
}

struct Survey<'a> {
    source: &'a Source<'a>,
    rule: &'a Rule,
    store: Store,
    path: Vec<String>,
    findings: &'a mut Findings,
}

impl Survey<'_> {
    fn item(&mut self, item: &mut Item) {
        if item.is_copy || item.has_properties {
            let message = "anchors, aliases and tags cannot be encrypted in this version";
            let finding = Finding::error(Code::UNSUPPORTED, message).at(&item.place);
            self.findings.push(finding.hint("write the value out, in quotes if it is text"));
            return;
        }
        let Item { data, is_selected, span, place, .. } = item;
        match data {
            Data::Map(fields) => fields.iter_mut().for_each(|it| self.field(it)),
            Data::List(items) => items.iter_mut().for_each(|it| self.item(it)),
            Data::Scalar(scalar) => {
                *is_selected = self.rule.selects(&self.path, &[]);
                if !*is_selected {
                    self.escapes(span, place);
                }
                match judge(scalar, *is_selected, self.store) {
                    Ok(()) if *is_selected => settle(scalar),
                    Ok(()) => {}
                    Err(finding) => self.findings.push(finding.at(place)),
                }
            }
            Data::Comment(_) => {}
        }
    }

    /// Refuses text that stays readable, but not for SOPS.
    fn escapes(&mut self, span: &Range<usize>, place: &Place) {
        let written = self.source.text.get(span.clone()).unwrap_or_default();
        if self.store == Store::Yaml && written.starts_with('"') && has_foreign_escape(written) {
            let message = "SOPS does not read the escapes `\\/` and `\\ud…` in YAML";
            let finding = Finding::error(Code::UNSUPPORTED, message).at(place);
            self.findings.push(finding.hint("write the character itself"));
        }
    }

    fn field(&mut self, field: &mut Field) {
        if field.is_merge {
            let message = "the merge key `<<` cannot be encrypted in this version";
            let finding = Finding::error(Code::UNSUPPORTED, message).at(&field.place);
            self.findings.push(finding.hint("write the keys out"));
            return;
        }
        self.escapes(&field.span, &field.place);
        self.path.push(field.key.clone());
        self.item(&mut field.item);
        self.path.pop();
    }
}

/// Returns whether a quoted scalar has an escape that the YAML reader of SOPS does not know: `\/`, or half a character.
fn has_foreign_escape(scalar: &str) -> bool {
    let mut parts = scalar.split('\\').skip(1);
    std::iter::from_fn(|| {
        let part = parts.next()?;
        // Nothing stands between the two of an escaped backslash, and what follows is not escaped.
        if part.is_empty() {
            parts.next();
        }
        Some(part)
    })
    .any(|it| {
        let half = it.strip_prefix(['u']).is_some_and(|it| {
            let digits = it.get(..2).unwrap_or_default().to_ascii_lowercase();
            ("d8".."e0").contains(&digits.as_str())
        });
        it.starts_with('/') || half
    })
}

/// Refuses a value that SOPS, in one of its versions, would not give back as it was.
pub(super) fn judge(scalar: &Scalar, is_selected: bool, store: Store) -> Result<(), Finding> {
    let refusal = || {
        let finding = Finding::error(Code::NUMBER, "SOPS would not keep the number exactly");
        Err(finding.hint("put it in quotes to keep it as text"))
    };
    match scalar {
        Scalar::Text(text) if text.starts_with("ENC[AES256_GCM,data:") => {
            let finding = Finding::error(Code::SOPS, "the value is encrypted already, or looks so");
            Err(finding.hint("decrypt the file first"))
        }
        Scalar::Number(text) => {
            let is_whole = text.bytes().all(|it| it.is_ascii_digit() || it == b'-');
            let double = number::plain(text.parse().unwrap_or(f64::NAN));
            let is_exact = !is_whole || *text == double || is_selected && text.parse::<i64>().is_ok();
            let is_agreed = is_selected || scalar.mac_bytes(false) == scalar.mac_bytes(true);
            if is_exact && is_agreed { Ok(()) } else { refusal() }
        }
        Scalar::Int(it) if !is_selected && store == Store::Json => {
            judge(&Scalar::Number(it.to_string()), is_selected, store)
        }
        // It would write `-0`, which it reads as the whole number.
        Scalar::Float(it) if !is_selected && *it == 0.0 && it.is_sign_negative() => refusal(),
        _ => Ok(()),
    }
}

/// Gives a number of a JSON document the type that it gets when it is encrypted.
pub(super) fn settle(scalar: &mut Scalar) {
    if let Scalar::Number(text) = scalar {
        *scalar = match text.parse::<i64>() {
            Ok(it) if text != "-0" => Scalar::Int(it),
            _ => Scalar::Float(text.parse().unwrap_or(f64::NAN)),
        };
    }
}

/// Finds the values that SOPS reads as something else than they are in a layer, such as `0644` and `2001-12-14`.
fn compare(layer: &Node, read: &Node, path: &mut Vec<String>, findings: &mut Findings) {
    match (&layer.value, &read.value) {
        (Value::Map(a), Value::Map(b)) if a.len() == b.len() => {
            for (a, b) in a.iter().zip(b.iter()) {
                path.push(a.key.clone());
                compare(&a.node, &b.node, path, findings);
                path.pop();
            }
        }
        (Value::List(a), Value::List(b)) if a.len() == b.len() => {
            for (idx, (a, b)) in a.iter().zip(b).enumerate() {
                path.push(idx.to_string());
                compare(a, b, path, findings);
                path.pop();
            }
        }
        _ if same(layer, read) => {}
        _ => {
            let path = path.join(".");
            let message = match (&layer.value, &read.value) {
                (Value::String(_), Value::Int(_) | Value::Float(_)) => {
                    format!("the value of `{path}` is text here, and a number for SOPS")
                }
                (Value::String(_), _) => format!("the value of `{path}` is text here, and a time for SOPS"),
                _ => format!("SOPS would not keep the value of `{path}` as it is"),
            };
            let finding = Finding::error(Code::VALUE, message).at(&layer.place);
            findings.push(finding.hint("put it in quotes to keep it as text"));
        }
    }
}

/// Returns whether two trees hold the same values; for SOPS, whole doubles are whole numbers.
pub(super) fn same(a: &Node, b: &Node) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "what is not exact is not equal to the double either")]
    let is_double = |whole: i128, double: f64| whole as f64 == double;
    match (&a.value, &b.value) {
        (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => is_double(*a, *b),
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.key == b.key && same(&a.node, &b.node))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_that_go_yaml_does_not_know_are_found() {
        for text in [r"\/", r"a\ud83d\ude00", r"\\\/", r"\n\uD800"] {
            assert!(has_foreign_escape(text), "{text}");
        }
        for text in [r"\\/", r"\u00e9\ue000", r"\\ud83d", r"a/b", r"\d8", "\\"] {
            assert!(!has_foreign_escape(text), "{text}");
        }
    }
}
