//! Decryption of a whole file: key, values, MAC, in this order, as SOPS does it.

use super::cipher::{self, DataKey, Opened};
use super::identity;
use super::metadata::Metadata;
use super::read::{self, Source, Store, Text};
use super::remarks;
use super::rules::Rule;
use super::tree::{Data, Field, Item, Scalar};
use crate::finding::{Code, Finding};
use age::x25519::Identity;
use sha2::{Digest, Sha256, Sha512};

/// A file whose values are known to be what was encrypted.
pub(super) struct Decrypted {
    pub text: Text,
    /// The `sops` block of each document, and its index among the keys.
    pub blocks: Vec<Option<(usize, Field)>>,
    pub key: DataKey,
    /// Whether the MAC covers the encrypted values only.
    pub has_partial_mac: bool,
    /// Whether the MAC takes the numbers of a JSON file as doubles.
    pub has_double_mac: bool,
    pub metadata: Metadata,
}

/// Reads and decrypts a file.
pub(super) fn decrypt(source: &Source<'_>, store: Store, identities: &[Identity]) -> Result<Decrypted, Finding> {
    decrypt_with(source, store, &|metadata| identity::data_key(metadata, identities))
}

/// Reads and decrypts a file with a key that is found in its metadata, or known already.
pub(super) fn decrypt_with(
    source: &Source<'_>,
    store: Store,
    data_key: &dyn Fn(&Metadata) -> Result<DataKey, Finding>,
) -> Result<Decrypted, Finding> {
    let mut text = read::read(source, store)?;
    let block = text.documents.first().and_then(|it| it.get("sops"));
    let block = block.filter(|it| !matches!(it.data, Data::Scalar(Scalar::Null)));
    let metadata = Metadata::read(block.ok_or_else(|| {
        Finding::error(Code::SOPS, "the file has no `sops` block: SOPS did not encrypt it").at(&source.whole())
    })?)?;
    if metadata.rule.reads_comments() {
        if store == Store::Ini {
            let message = "rules about comments are not supported for INI files in this version";
            return Err(Finding::error(Code::UNSUPPORTED, message).at(&metadata.place));
        }
        remarks::attach(&mut text.documents, &text.remarks, source);
    }
    let blocks = text.documents.iter_mut().map(take_block).collect();
    let key = data_key(&metadata)?;
    let mut walk = Walk { rule: &metadata.rule, key: &key, path: Vec::new(), comments: Vec::new() };
    for document in &mut text.documents {
        walk.item(document, false)?;
    }
    let has_double_mac = verify(&metadata, &key, &text.documents, store)?;
    Ok(Decrypted { text, blocks, key, has_partial_mac: metadata.mac_only_encrypted, has_double_mac, metadata })
}

fn take_block(document: &mut Item) -> Option<(usize, Field)> {
    let Data::Map(fields) = &mut document.data else { return None };
    let idx = fields.iter().position(|it| it.key == "sops")?;
    Some((idx, fields.remove(idx)))
}

struct Walk<'a> {
    rule: &'a Rule,
    key: &'a DataKey,
    path: Vec<String>,
    comments: Vec<String>,
}

impl Walk<'_> {
    fn item(&mut self, item: &mut Item, is_element: bool) -> Result<(), Finding> {
        let n_comments = self.comments.len();
        self.comments.append(&mut item.comments.clone());
        match &mut item.data {
            Data::Map(fields) => {
                for field in fields {
                    self.path.push(field.key.clone());
                    self.item(&mut field.item, false)?;
                    self.path.pop();
                }
            }
            Data::List(items) => {
                for item in items {
                    self.item(item, true)?;
                }
            }
            Data::Scalar(scalar) => {
                item.is_selected = self.rule.selects(&self.path, &self.comments);
                if item.is_selected && !matches!(scalar, Scalar::Null) && *scalar != Scalar::Text(String::new()) {
                    item.data = self.open(scalar, is_element).map_err(|it| it.at(&item.place))?;
                    item.is_secret = true;
                }
            }
            Data::Comment(_) => {}
        }
        self.comments.truncate(n_comments);
        Ok(())
    }

    fn open(&self, scalar: &Scalar, is_element: bool) -> Result<Data, Finding> {
        let opened = match scalar {
            Scalar::Text(text) => cipher::open(text, self.key, &bound_path(&self.path)),
            _ => Err(cipher::Fault::NotEncrypted),
        };
        let path = self.path.join(".");
        match opened {
            Ok(Opened::Value(scalar)) => Ok(Data::Scalar(scalar)),
            Ok(Opened::Comment(text)) if is_element => Ok(Data::Comment(text)),
            Ok(Opened::Comment(_)) => Err(Finding::error(Code::SOPS, format!("`{path}` holds a comment, not a value"))),
            Err(fault) => Err(Finding::error(Code::SOPS, format!("the value of `{path}` {fault}"))),
        }
    }
}

/// Returns the text that binds a value to its position: its keys, without the indexes of lists.
pub(super) fn bound_path(path: &[String]) -> String {
    format!("{}:", path.join(":"))
}

/// Checks the MAC; returns whether it takes all numbers as doubles.
fn verify(metadata: &Metadata, key: &DataKey, documents: &[Item], store: Store) -> Result<bool, Finding> {
    let refusal = |message: &str| {
        Finding::error(Code::SOPS_MAC, message)
            .at(&metadata.place)
            .hint("restore the file from the last good commit, or edit it with `sops` only")
    };
    if metadata.mac.is_empty() {
        return Err(refusal("the file has no MAC"));
    }
    let Ok(Opened::Value(Scalar::Text(expected))) = cipher::open(&metadata.mac, key, &metadata.last_modified) else {
        return Err(refusal("the file's MAC cannot be decrypted: it, or `lastmodified`, was altered"));
    };
    let is_json = matches!(store, Store::Json | Store::Binary);
    let matches = |doubles: bool| mac(documents, metadata.mac_only_encrypted, doubles) == expected;
    // Up to SOPS 3.12 all numbers of a JSON file are doubles, in the MAC as well.
    if matches(false) {
        return Ok(false);
    }
    if is_json && matches(true) {
        return Ok(true);
    }
    Err(refusal("the file was altered: its values do not match its MAC"))
}

/// Returns the MAC of values that are decrypted: a hash of their bytes, as text.
pub(super) fn mac(documents: &[Item], only_encrypted: bool, doubles: bool) -> String {
    let mut hash = Sha512::new();
    if only_encrypted {
        hash.update(Sha256::digest(b"sops"));
    }
    for document in documents {
        hash_item(document, only_encrypted, doubles, &mut hash);
    }
    hash.finalize().iter().map(|it| format!("{it:02X}")).collect()
}

fn hash_item(item: &Item, only_encrypted: bool, doubles: bool, hash: &mut Sha512) {
    match &item.data {
        Data::Map(fields) => fields.iter().for_each(|it| hash_item(&it.item, only_encrypted, doubles, hash)),
        Data::List(items) => items.iter().for_each(|it| hash_item(it, only_encrypted, doubles, hash)),
        Data::Scalar(scalar) if item.is_selected || !only_encrypted => {
            if let Some(bytes) = scalar.mac_bytes(doubles) {
                hash.update(bytes);
            }
        }
        Data::Scalar(_) | Data::Comment(_) => {}
    }
}
