//! A SOPS file as the text it was before it was encrypted: the encrypted values replaced, the `sops` block gone, and
//! everything else as it stands.

use super::cipher::{self, Opened};
use super::decrypt::{Decrypted, bound_path};
use super::read::{self, Source, Store};
use super::remarks;
use super::tree::{Data, Field, Item, Scalar};
use super::write;
use crate::document::edit::{self, Edit, dash};
use crate::finding::{Code, Finding};
use std::ops::Range;

/// Writes the decrypted text, and reads it again to be sure of it.
pub(super) fn write(decrypted: &Decrypted, source: &Source<'_>, store: Store) -> Result<Vec<u8>, Finding> {
    if store == Store::Binary {
        return binary(decrypted, source);
    }
    let mut edits = Edits { source, store, edits: Vec::new() };
    for (document, block) in decrypted.text.documents.iter().zip(&decrypted.blocks) {
        edits.values(document)?;
        if let (Data::Map(fields), Some((idx, block)), true) =
            (&document.data, block, decrypted.text.metadata.is_empty())
        {
            edits.remove_block(document, fields, *idx, block);
        }
    }
    edits.edits.extend(decrypted.text.metadata.iter().map(|it| (it.clone(), String::new())));
    edits.comments(decrypted);
    let text = edit::apply(source.text, edits.edits);
    check(&text, decrypted, source, store)?;
    Ok(text.into_bytes())
}

fn binary(decrypted: &Decrypted, source: &Source<'_>) -> Result<Vec<u8>, Finding> {
    let data = decrypted.text.documents.first().and_then(|it| it.get("data"));
    match data.map(|it| &it.data) {
        Some(Data::Scalar(Scalar::Text(text))) => Ok(text.clone().into_bytes()),
        Some(Data::Scalar(Scalar::Bytes(bytes))) => Ok(bytes.clone()),
        _ => {
            Err(Finding::error(Code::SOPS, "the file has no value `data`, which holds its content").at(&source.whole()))
        }
    }
}

struct Edits<'a> {
    source: &'a Source<'a>,
    store: Store,
    edits: Vec<Edit>,
}

impl Edits<'_> {
    fn values(&mut self, item: &Item) -> Result<(), Finding> {
        match &item.data {
            // What stands behind an alias is replaced where it is written.
            _ if item.is_copy => {}
            Data::Map(fields) => {
                for field in fields {
                    self.values(&field.item)?;
                }
            }
            Data::List(items) => {
                for item in items {
                    self.values(item)?;
                }
                self.list_comments(item, items);
            }
            Data::Scalar(scalar) if item.is_secret => {
                let literal = write::literal(scalar, self.store).ok_or_else(|| {
                    Finding::error(Code::FORMAT, "the format cannot hold the decrypted value").at(&item.place)
                })?;
                self.replace(&item.span, literal);
            }
            Data::Scalar(_) | Data::Comment(_) => {}
        }
        Ok(())
    }

    /// Replaces a value; a block scalar's line feed stays.
    fn replace(&mut self, span: &Range<usize>, text: String) {
        let written = self.source.text.get(span.clone()).unwrap_or_default().trim_end();
        self.edits.push((span.start..span.start + written.len(), text));
    }

    /// Turns the elements of a list that are comments back into comments.
    fn list_comments(&mut self, list: &Item, items: &[Item]) {
        let is_comment: Vec<_> = items.iter().map(|it| matches!(it.data, Data::Comment(_))).collect();
        if list.in_flow {
            let spans: Vec<_> = items.iter().map(|it| it.span.clone()).collect();
            self.cut(&spans, &is_comment);
            return;
        }
        let is_empty = is_comment.iter().all(|it| *it);
        for (idx, item) in items.iter().enumerate() {
            let Data::Comment(text) = &item.data else { continue };
            let start = dash(self.source.text, item.span.start).unwrap_or(item.span.start);
            let empty_list = if idx == 0 && is_empty { "    [] " } else { "" };
            self.replace(&(start..item.span.end), format!("{empty_list}#{}", one_line(text)));
        }
    }

    /// Removes elements of a flow collection, each with a comma.
    fn cut(&mut self, spans: &[Range<usize>], is_removed: &[bool]) {
        self.edits.extend(edit::cut(spans, is_removed).into_iter().map(|it| (it, String::new())));
    }

    fn remove_block(&mut self, document: &Item, others: &[Field], idx: usize, block: &Field) {
        let whole = |it: &Field| it.span.start..it.item.span.end;
        if document.in_flow {
            let mut spans: Vec<_> = others.iter().map(whole).collect();
            spans.insert(idx, whole(block));
            let is_removed: Vec<_> = (0..spans.len()).map(|it| it == idx).collect();
            self.cut(&spans, &is_removed);
            return;
        }
        let start = self.source.line_start(block.span.start);
        let end = match others.get(idx) {
            Some(next) => self.source.line_start(next.span.start),
            None => self.source.line_end(last_byte(&block.item)),
        };
        let left = if others.is_empty() { "{}\n" } else { "" };
        self.edits.push((start..end, left.to_owned()));
    }

    /// Decrypts the comments, as far as they belong to a place where they can be decrypted.
    fn comments(&mut self, decrypted: &Decrypted) {
        let sealed = |text: &str| text.trim_start_matches(' ').starts_with("ENC[");
        if !decrypted.text.remarks.iter().any(|it| sealed(&it.text)) {
            return;
        }
        let entries = remarks::entries(&decrypted.text.documents, self.source);
        for remark in decrypted.text.remarks.iter().filter(|it| sealed(&it.text)) {
            let next = entries.partition_point(|it| it.start < remark.span.start);
            let near = entries[next.saturating_sub(1)..].iter().take(2).map(|it| it.path.as_slice());
            let paths = near.flat_map(|path| (0..=path.len()).rev().map(|it| &path[..it])).chain([[].as_slice()]);
            let text = remark.text.trim_start_matches(' ');
            let opened = paths.map(bound_path).find_map(|it| match cipher::open(text, &decrypted.key, &it) {
                Ok(Opened::Comment(text)) => Some(text),
                _ => None,
            });
            if let Some(text) = opened {
                let mark = &self.source.text[remark.span.start..remark.span.start + 1];
                self.edits.push((remark.span.clone(), format!("{mark}{}", one_line(&text))));
            }
        }
    }
}

fn one_line(comment: &str) -> String {
    comment.replace(['\n', '\r'], " ")
}

/// Returns the last byte of a value that is written.
pub(super) fn last_byte(item: &Item) -> usize {
    match &item.data {
        Data::Map(fields) if !item.in_flow => {
            fields.iter().map(|it| last_byte(&it.item)).max().unwrap_or(item.span.start)
        }
        Data::List(items) if !item.in_flow => items.iter().map(last_byte).max().unwrap_or(item.span.start),
        _ => item.span.end.saturating_sub(1).max(item.span.start),
    }
}

/// Refuses a text that does not read as the values that were decrypted.
fn check(text: &str, decrypted: &Decrypted, source: &Source<'_>, store: Store) -> Result<(), Finding> {
    let refusal = || {
        let message = "the decrypted file cannot be written in its original form";
        Finding::error(Code::FORMAT, message).at(&source.whole()).hint("write the file as `sops encrypt` leaves it")
    };
    let whole = source.whole();
    let written = Source::new(&whole.file, text.as_bytes()).map_err(|_| refusal())?;
    let again = read::read(&written, store).map_err(|_| refusal())?;
    let documents = &decrypted.text.documents;
    // Dotenv and INI know nothing but text.
    let has_types = !matches!(store, Store::Env | Store::Ini);
    let is_same = again.documents.len() == documents.len()
        && again.documents.iter().zip(documents).all(|(again, item)| same(again, item, has_types));
    if is_same { Ok(()) } else { Err(refusal()) }
}

/// Returns whether two trees hold the same values; comments among the elements of a list are none.
pub(super) fn same(a: &Item, b: &Item, has_types: bool) -> bool {
    match (&a.data, &b.data) {
        (Data::Map(a), Data::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.key == b.key && same(&a.item, &b.item, has_types))
        }
        (Data::List(a), Data::List(b)) => {
            let is_value = |it: &&Item| !matches!(it.data, Data::Comment(_));
            let mut values = b.iter().filter(is_value);
            a.iter().filter(is_value).all(|a| values.next().is_some_and(|b| same(a, b, has_types)))
                && values.next().is_none()
        }
        (Data::Scalar(a), Data::Scalar(b)) => {
            let is_equal = [false, true].iter().any(|doubles| a.mac_bytes(*doubles) == b.mac_bytes(*doubles));
            is_equal && (!has_types || a.kind() == b.kind())
        }
        _ => false,
    }
}
