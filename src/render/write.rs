//! Configurations, or parts of them, written as files.

use super::digest::Hasher;
use super::{Digest, Values, digest};
use crate::document::{self, Format, Node};
use crate::finding::{Code, Finding, Findings, nearest};
use crate::manifest::Located;

/// A configuration as a file.
pub(super) struct Written {
    /// The text.
    pub(super) bytes: Vec<u8>,
    /// Whether a secret value is in it.
    pub(super) sensitive: bool,
    /// The name of the content.
    pub(super) identity: Digest,
}

/// Writes the part of `values` that `select` names, or all, in `format`.
pub(super) fn write(
    values: &Values,
    configuration: &Located<String>,
    select: Option<&Located<String>>,
    format: Format,
    findings: &mut Findings,
) -> Option<Written> {
    let node = match select {
        Some(path) => selected(&values.node, configuration, path, findings)?,
        None => &values.node,
    };
    let text = match document::emit(node, format) {
        Ok(text) => text,
        Err(finding) => {
            findings.push(finding);
            return None;
        }
    };
    let bytes = text.into_bytes();
    let sensitive = node.holds_secret();
    let identity = if sensitive { sensitive_identity(values, node, format) } else { digest::of_bytes(&bytes) };
    Some(Written { bytes, sensitive, identity })
}

fn selected<'a>(
    node: &'a Node,
    configuration: &Located<String>,
    path: &Located<String>,
    findings: &mut Findings,
) -> Option<&'a Node> {
    if let Some(found) = node.get(&path.value) {
        return Some(found);
    }
    let message = format!("the configuration `{}` has no `{}`", configuration.value, path.value);
    let finding = Finding::error(Code::REFERENCE, message).at(&path.place);
    findings.push(match suggestion(node, &path.value) {
        Some(near) => finding.hint(format!("did you mean `{near}`?")),
        None => finding,
    });
    None
}

/// Returns the path that was probably meant: the first step that does not exist is replaced by the nearest that does.
fn suggestion(node: &Node, path: &str) -> Option<String> {
    let steps: Vec<&str> = path.split('.').collect();
    let mut node = node;
    for (idx, step) in steps.iter().enumerate() {
        let map = node.as_map()?;
        let Some(next) = map.get(step) else {
            let near = nearest(step, map.iter().map(|it| it.key.as_str()))?;
            let known = [&steps[..idx], &[near]].concat();
            let whole = [&known[..], &steps[idx + 1..]].concat();
            let is_there = map.get(near).is_some_and(|it| it.at(&steps[idx + 1..]).is_some());
            return Some(if is_there { whole } else { known }.join("."));
        };
        node = next;
    }
    None
}

/// Names the content by its plain values and by the encrypted files that the secret ones came from.
fn sensitive_identity(values: &Values, node: &Node, format: Format) -> Digest {
    let mut hasher = Hasher::new("sensitive write");
    hasher.text(&format!("{format:?}"));
    hasher.redacted(node);
    hasher.texts(values.sealed.iter().map(|it| it.as_str()));
    hasher.finish()
}
