//! One change to a SOPS file, and as few changed lines as SOPS allows.

use super::cipher::{self, Random};
use super::decrypt::{self, Decrypted};
use super::edit::Replacer;
use super::encrypt::{in_place, last_modified, seal, store};
use super::read::{Source, Store};
use super::tree::{Data, Field, Item, Scalar};
use super::{SecretManager, hide_line, source, survey, text, write};
use crate::document::{
    Format, Value,
    edit::{self, Edit, dash},
};
use crate::finding::{Code, Finding, Findings};
use std::ops::Range;
use std::sync::Arc;

/// What is to be changed in an encrypted file. A path names the keys from the root, and positions in lists from 0.
#[derive(Clone)]
pub enum SecretChange {
    /// Gives a value, which is neither a list nor a map, to a path that has one, or to a new key at the root.
    Set {
        /// Where the value is to stand.
        path: Vec<String>,
        /// The value; it is encrypted when the file's rule says so.
        value: Value,
    },
    /// Removes what stands at a path.
    Unset {
        /// Where it stands.
        path: Vec<String>,
    },
}

/// Makes one change to an encrypted YAML or JSON file, with the identities of `manager`.
///
/// The file keeps its key, its recipients and the bytes of everything else; besides the value only `lastmodified` and
/// `mac` are new. A change that changes nothing returns the same bytes. What cannot be changed without writing the file
/// anew is refused.
///
/// `now` is the time of the change in RFC 3339. `random` fills bytes that nobody can guess.
pub fn manage_secrets(
    manager: &SecretManager,
    file: &Arc<str>,
    bytes: &[u8],
    format: Format,
    change: &SecretChange,
    now: &str,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<Vec<u8>, Findings> {
    let mut manage = || -> Result<Vec<u8>, Finding> {
        let (last_modified, store) = (last_modified(now)?, store(format)?);
        let source = source(file, bytes)?;
        let decrypted = manager.open_file(&source, store)?;
        if let Some(second) = decrypted.text.documents.get(1) {
            return Err(Finding::error(Code::YAML_DOCS, "the file holds more than one document").at(&second.place));
        }
        let mut managed = Managed { source: &source, store, decrypted, edits: Vec::new() };
        let is_changed = match change {
            SecretChange::Set { path, value } => managed.set(path, value, random)?,
            SecretChange::Unset { path } => managed.unset(path)?,
        };
        match is_changed {
            true => managed.finish(manager, &last_modified, random),
            false => Ok(bytes.to_vec()),
        }
    };
    manage().map_err(|it| [hide_line(it, bytes)].into_iter().collect())
}

struct Managed<'a> {
    source: &'a Source<'a>,
    store: Store,
    /// The values as they are to be.
    decrypted: Decrypted,
    edits: Vec<Edit>,
}

impl Managed<'_> {
    /// Sets a value; returns whether that is a change.
    fn set(&mut self, path: &[String], value: &Value, random: Random<'_>) -> Result<bool, Finding> {
        let name = path.join(".");
        let scalar = scalar(value, &name)?;
        let document = self.decrypted.text.documents.first_mut();
        let Some((item, keys)) = document.and_then(|it| find(it, path)) else {
            return self.add(path, scalar, random).map(|()| true);
        };
        let refusal = |what: &str| Err(unsupported(format!("`{name}` {what}")).at(&item.place));
        let Data::Scalar(old) = &item.data else { return refusal("holds a list or a map") };
        if item.is_copy || item.has_properties {
            return refusal("stands behind an alias, an anchor or a tag");
        }
        if old.kind() == scalar.kind() && old.mac_bytes(false) == scalar.mac_bytes(false) {
            return Ok(false);
        }
        survey::judge(&scalar, item.is_selected, self.store).map_err(|it| it.at(&item.place))?;
        let sealed = item.is_selected.then(|| seal(&scalar, &self.decrypted.key, &keys, random)).flatten();
        let text = written(&scalar, sealed, item.in_flow, self.store).ok_or_else(|| unwritable(&name))?;
        if item.span.is_empty() {
            // No value is written, and the span is the end of its key.
            let at = edit::after_colon(self.source.text, item.span.end);
            let Some(at) = at else { return refusal("has no value in the text") };
            self.edits.push((at..at, format!(" {text}")));
        } else {
            self.edits.extend(Replacer::new(self.source, &self.decrypted.text.remarks).replace(item, text));
        }
        item.data = Data::Scalar(scalar);
        Ok(true)
    }

    /// Adds a key at the root, before the `sops` block.
    fn add(&mut self, path: &[String], scalar: Scalar, random: Random<'_>) -> Result<(), Finding> {
        let [key] = path else {
            let message = format!("`{}` does not exist, and only keys at the root can be added", path.join("."));
            return Err(unsupported(message));
        };
        let (Some(document), Some(Some((idx, block)))) =
            (self.decrypted.text.documents.first_mut(), self.decrypted.blocks.first())
        else {
            return Err(unwritable(key));
        };
        if key == "sops" || !matches!(document.data, Data::Map(_)) {
            return Err(Finding::error(Code::VALUE, "the key `sops` holds the metadata of the file"));
        }
        let is_selected = self.decrypted.metadata.rule.selects(path, &[]);
        survey::judge(&scalar, is_selected, self.store)?;
        let sealed = is_selected.then(|| seal(&scalar, &self.decrypted.key, path, random)).flatten();
        let text = written(&scalar, sealed, document.in_flow, self.store);
        let name = match document.in_flow {
            true => serde_json::to_string(key).ok(),
            false => write::literal(&Scalar::Text(key.clone()), self.store),
        };
        let (Some(text), Some(name)) = (text, name) else { return Err(unwritable(key)) };
        let at = block.span.start;
        let before = &self.source.text[..at];
        let entry = if document.in_flow {
            let blank = &before[before.trim_end().len()..];
            let space = if self.source.text[block.span.end..].starts_with(": ") { " " } else { "" };
            format!("{name}:{space}{text},{}", if blank.is_empty() { space } else { blank })
        } else {
            let indent = &before[self.source.line_start(at)..];
            if !indent.trim().is_empty() {
                return Err(unwritable(key));
            }
            format!("{name}: {text}{}{indent}", edit::newline(self.source.text))
        };
        self.edits.push((at..at, entry));
        let mut item = Item::new(Data::Scalar(scalar), document.place.clone(), at..at);
        item.is_selected = is_selected;
        if let Data::Map(fields) = &mut document.data {
            fields.insert(*idx, Field::new(key.clone(), document.place.clone(), at..at, item));
        }
        Ok(())
    }

    /// Removes a value, or a whole map or list; that it is gone already is an error, because the path may be mistyped.
    fn unset(&mut self, path: &[String]) -> Result<bool, Finding> {
        let name = path.join(".");
        let missing = || Finding::error(Code::REFERENCE, format!("`{name}` does not exist in the file"));
        let (last, parents) = path.split_last().ok_or_else(missing)?;
        let document = self.decrypted.text.documents.first_mut();
        let (parent, _) = document.and_then(|it| find(it, parents)).ok_or_else(missing)?;
        let idx = position(parent, last).ok_or_else(missing)?;
        let mut spans = spans(parent, self.source);
        let place = parent.place.clone();
        let refusal = || unsupported(format!("`{name}` cannot be removed from the text as it is written")).at(&place);
        if parent.is_copy {
            return Err(refusal());
        }
        if parent.in_flow {
            let mut is_removed: Vec<_> = (0..spans.len()).map(|it| it == idx).collect();
            if let (Some(Some((at, block))), []) = (self.decrypted.blocks.first(), parents) {
                spans.insert(*at, block.span.start..block.item.span.end);
                is_removed.insert(*at, false);
            }
            self.edits.extend(edit::cut(&spans, &is_removed).into_iter().map(|it| (it, String::new())));
        } else {
            let start = self.source.line_start(spans[idx].start);
            let is_first = self.source.text[start..spans[idx].start].trim().is_empty();
            if !is_first || spans.len() == 1 && !parents.is_empty() {
                return Err(refusal());
            }
            self.edits.push((start..self.source.line_end(spans[idx].end), String::new()));
        }
        match &mut parent.data {
            Data::Map(fields) => drop(fields.remove(idx)),
            Data::List(items) => drop(items.remove(idx)),
            Data::Scalar(_) | Data::Comment(_) => {}
        }
        Ok(true)
    }

    /// Writes the new MAC, and reads the result again to be sure of it.
    fn finish(mut self, manager: &SecretManager, last_modified: &str, random: Random<'_>) -> Result<Vec<u8>, Finding> {
        let whole = self.source.whole();
        let refusal = || {
            Finding::error(Code::FORMAT, "the file cannot be changed as it is written")
                .at(&whole)
                .hint("use `sops edit`, which writes the whole file anew")
        };
        let (decrypted, replacer) = (&self.decrypted, Replacer::new(self.source, &self.decrypted.text.remarks));
        let documents = &decrypted.text.documents;
        let mac = decrypt::mac(documents, decrypted.has_partial_mac, decrypted.has_double_mac);
        let mac = cipher::seal(mac.as_bytes(), "str", &decrypted.key, last_modified, random);
        let block = decrypted.blocks.first().and_then(Option::as_ref).ok_or_else(refusal)?;
        let item = |key: &str| block.1.item.get(key).ok_or_else(refusal);
        let (old_time, old_mac) = (item("lastmodified")?, item("mac")?);
        self.edits.extend(replacer.replace(old_time, format!("\"{last_modified}\"")));
        self.edits.extend(replacer.replace(old_mac, in_place(mac, old_mac.in_flow)));
        let text = edit::apply(self.source.text, self.edits);
        let again = Source::new(&whole.file, text.as_bytes()).map_err(|_| refusal())?;
        let again = manager.open_file(&again, self.store).map_err(|_| refusal())?.text.documents;
        match (again.as_slice(), documents.as_slice()) {
            ([again], [document]) if text::same(again, document, true) => Ok(text.into_bytes()),
            _ => Err(refusal()),
        }
    }
}

fn unsupported(message: String) -> Finding {
    Finding::error(Code::UNSUPPORTED, message).hint("use `sops edit`; headfast reads what it writes")
}

fn unwritable(name: &str) -> Finding {
    Finding::error(Code::FORMAT, format!("the file cannot hold the value of `{name}`"))
}

fn scalar(value: &Value, name: &str) -> Result<Scalar, Finding> {
    let number = || Finding::error(Code::NUMBER, format!("SOPS cannot hold the number that `{name}` is to be"));
    Ok(match value {
        Value::Null => Scalar::Null,
        Value::Bool(it) => Scalar::Bool(*it),
        Value::Int(it) => Scalar::Int(i64::try_from(*it).map_err(|_| number())?),
        Value::Float(it) if it.is_finite() => Scalar::Float(*it),
        Value::Float(_) => return Err(number()),
        Value::String(it) => Scalar::Text(it.clone()),
        Value::List(_) | Value::Map(_) => {
            return Err(unsupported(format!("`{name}` is to be a list or a map, which cannot be set in this version")));
        }
    })
}

/// Writes a value as it stands in the file: what was not encrypted as it is.
fn written(scalar: &Scalar, sealed: Option<String>, in_flow: bool, store: Store) -> Option<String> {
    match sealed {
        Some(sealed) => Some(in_place(sealed, in_flow)),
        None => write::literal(scalar, store),
    }
}

/// Finds what stands at a path, and the keys that lead there: positions in lists are not among them.
fn find<'a>(document: &'a mut Item, path: &[String]) -> Option<(&'a mut Item, Vec<String>)> {
    let mut keys = Vec::new();
    let mut item = document;
    for step in path {
        let idx = position(item, step)?;
        item = match &mut item.data {
            Data::Map(fields) => {
                keys.push(step.clone());
                &mut fields[idx].item
            }
            Data::List(items) => &mut items[idx],
            Data::Scalar(_) | Data::Comment(_) => return None,
        };
    }
    Some((item, keys))
}

/// Returns the index of a key, or of a position in a list; comments that SOPS made elements do not count.
fn position(holder: &Item, step: &str) -> Option<usize> {
    match &holder.data {
        Data::Map(fields) => fields.iter().position(|it| it.key == step),
        Data::List(items) => {
            let mut values = items.iter().enumerate().filter(|(_, it)| !matches!(it.data, Data::Comment(_)));
            values.nth(step.parse().ok()?).map(|(idx, _)| idx)
        }
        Data::Scalar(_) | Data::Comment(_) => None,
    }
}

/// Returns from where to where the entries of a map or list reach: in a flow collection to their end, otherwise to their
/// last byte.
fn spans(holder: &Item, source: &Source<'_>) -> Vec<Range<usize>> {
    let end = |it: &Item| if holder.in_flow { it.span.end } else { text::last_byte(it) };
    match &holder.data {
        Data::Map(fields) => fields.iter().map(|it| it.span.start..end(&it.item).max(it.span.end)).collect(),
        Data::List(items) if holder.in_flow => items.iter().map(|it| it.span.start..end(it)).collect(),
        Data::List(items) => {
            items.iter().map(|it| dash(source.text, it.span.start).unwrap_or(it.span.start)..end(it)).collect()
        }
        Data::Scalar(_) | Data::Comment(_) => Vec::new(),
    }
}
