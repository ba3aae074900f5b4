//! Layers whose format `document` reads better than SOPS does: from the decrypted text.

use super::decrypt::Decrypted;
use super::read::{Source, Store};
use super::text;
use super::tree::Data;
use crate::document::{self, Format, Limits, MergeKeys, Node, Value};
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use zeroize::Zeroizing;

/// Reads a dotenv file, whose quotes SOPS does not know, or any file that SOPS encrypted as a whole.
pub(super) fn read(decrypted: &Decrypted, source: &Source<'_>, store: Store, format: Format) -> Result<Node, Finding> {
    let text = Zeroizing::new(text::write(decrypted, source, store)?);
    let whole = source.whole();
    let mut findings = Findings::new();
    let node = document::parse(format, &whole.file, &text, &Limits::default(), MergeKeys::Apply, &mut findings);
    let error = findings.into_iter().find(|it| it.severity == crate::finding::Severity::Error);
    let mut node = match (node, error) {
        (Some(node), None) => node,
        // The reader's own words may quote what it read.
        (_, error) => {
            let code = error.as_ref().map_or(Code::SOPS, |it| it.code);
            let place = error.and_then(|it| it.place).filter(|_| store == Store::Env).unwrap_or(whole);
            return Err(Finding::error(code, "the decrypted text cannot be read").at(&place));
        }
    };
    match store {
        Store::Env => mark_entries(&mut node, decrypted),
        _ => mark_all(&mut node, &whole),
    }
    Ok(node)
}

/// Marks the values whose keys SOPS had encrypted.
fn mark_entries(node: &mut Node, decrypted: &Decrypted) {
    let fields = match decrypted.text.documents.first().map(|it| &it.data) {
        Some(Data::Map(fields)) => fields.as_slice(),
        _ => &[],
    };
    let is_plain = |key: &str| {
        let mut named = fields.iter().filter(|it| it.key.trim().trim_start_matches("export").trim() == key).peekable();
        named.peek().is_some() && named.all(|it| !it.item.is_secret)
    };
    if let Value::Map(map) = &mut node.value {
        for entry in map.iter_mut() {
            entry.node.secret = !is_plain(&entry.key);
        }
    }
}

fn mark_all(node: &mut Node, whole: &Place) {
    node.place = whole.clone();
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|it| mark_all(it, whole)),
        Value::Map(map) => {
            for entry in map.iter_mut() {
                entry.place = whole.clone();
                mark_all(&mut entry.node, whole);
            }
        }
        _ => node.secret = true,
    }
}
