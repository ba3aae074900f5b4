//! From a plain document to a SOPS file.

use super::block::Block;
use super::cipher::{self, DataKey, Random};
use super::decrypt::{self, bound_path};
use super::edit::Replacer;
use super::read::{Source, Store};
use super::remarks;
use super::rules::Rule;
use super::survey::{self, Plain};
use super::time::{Layout, Time};
use super::tree::{Data, Item, Scalar};
use super::{hide_line, recipient, source};
use crate::document::{
    Format,
    edit::{self, Edit},
};
use crate::finding::{Code, Finding, Findings};
use age::x25519::Recipient;
use std::borrow::Cow;
use std::sync::Arc;

/// Encrypts a plain YAML or JSON document for age recipients, as `sops encrypt` would, but in place: only the bytes of
/// the values and comments that `rule` selects change, and a `sops` block follows them. Order, spacing and everything
/// else stay.
///
/// `now` is the time of the encryption in RFC 3339. `random` fills bytes that nobody can guess, such as the kernel's; the
/// `age` crate, which encrypts the file's key for every recipient, has a source of its own.
///
/// What SOPS would not keep as it is, or would read otherwise than headfast does, is refused, each with its place.
pub fn encrypt_configuration(
    file: &Arc<str>,
    bytes: &[u8],
    format: Format,
    recipients: &[String],
    rule: &Rule,
    now: &str,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<Vec<u8>, Findings> {
    let mut findings = Findings::new();
    let recipients = recipient::parse(recipients, &mut findings);
    if rule.reads_comments() {
        let message = "rules about comments are not supported for encryption in this version";
        findings.push(Finding::error(Code::UNSUPPORTED, message));
    }
    let mut encrypt = || -> Result<Vec<u8>, Finding> {
        let (last_modified, store) = (last_modified(now)?, store(format)?);
        let bytes = with_last_newline(bytes, store);
        let source = source(file, &bytes)?;
        let plain = survey::survey(&source, store, rule, &mut findings);
        let Some(plain) = plain.filter(|_| !findings.has_errors()) else { return Ok(Vec::new()) };
        let key = data_key(random)?;
        let text = Encryption { source: &source, plain: &plain, key: &key, rule, random, edits: Vec::new() }
            .write(&recipients, &last_modified)?;
        check(&text, &source, store, &plain, &key)?;
        Ok(text.into_bytes())
    };
    let encrypted = encrypt();
    match encrypted {
        Ok(encrypted) if !findings.has_errors() => return Ok(encrypted),
        Ok(_) => {}
        Err(finding) => findings.push(finding),
    }
    Err(findings.into_iter().map(|it| hide_line(it, bytes)).collect())
}

/// Ends the last line of a YAML file, in which readers disagree whether an unended block scalar ends with a line feed.
fn with_last_newline(bytes: &[u8], store: Store) -> Cow<'_, [u8]> {
    let is_open = store == Store::Yaml && !bytes.ends_with(b"\n") && !bytes.trim_ascii().starts_with(b"{");
    match is_open && !bytes.is_empty() {
        true => Cow::from([bytes, if bytes.contains(&b'\r') { b"\r\n" } else { b"\n".as_slice() }].concat()),
        false => Cow::from(bytes),
    }
}

/// Returns a time as it stands in a file.
pub(super) fn last_modified(now: &str) -> Result<String, Finding> {
    let time = Time::parse(now, Layout::Strict).map(|it| it.seconds());
    time.ok_or_else(|| Finding::error(Code::VALUE, "the time of the change is not written as RFC 3339 says"))
}

/// Returns how a file that is written here is stored.
pub(super) fn store(format: Format) -> Result<Store, Finding> {
    match format {
        Format::Yaml => Ok(Store::Yaml),
        Format::Json => Ok(Store::Json),
        Format::Toml | Format::Env | Format::Ini => {
            let message = "only YAML and JSON files are encrypted and changed in this version";
            Err(Finding::error(Code::UNSUPPORTED, message).hint("use `sops`; headfast reads what it writes"))
        }
    }
}

fn data_key(random: Random<'_>) -> Result<DataKey, Finding> {
    let mut key = DataKey::new([0; 32]);
    random(key.as_mut_slice());
    match key.iter().all(|it| *it == 0) {
        true => Err(Finding::error(Code::KEY, "the source of random bytes gives nothing but zeros")),
        false => Ok(key),
    }
}

/// Encrypts a value; null and empty text are never encrypted.
pub(super) fn seal(scalar: &Scalar, key: &DataKey, path: &[String], random: Random<'_>) -> Option<String> {
    let kind = match scalar {
        Scalar::Null => return None,
        Scalar::Text(text) if text.is_empty() => return None,
        Scalar::Bool(_) => "bool",
        Scalar::Int(_) => "int",
        Scalar::Float(_) | Scalar::Number(_) => "float",
        Scalar::Text(_) | Scalar::Bytes(_) => "str",
        Scalar::Time(_) => "time",
    };
    Some(cipher::seal(&scalar.mac_bytes(false)?, kind, key, &bound_path(path), random))
}

/// Writes an encrypted value so that it stands where a scalar stood.
pub(super) fn in_place(sealed: String, in_flow: bool) -> String {
    // In a flow collection its brackets and commas would be taken for those of the collection.
    if in_flow { format!("\"{sealed}\"") } else { sealed }
}

struct Encryption<'a> {
    source: &'a Source<'a>,
    plain: &'a Plain,
    key: &'a DataKey,
    rule: &'a Rule,
    random: Random<'a>,
    edits: Vec<Edit>,
}

impl Encryption<'_> {
    fn write(mut self, recipients: &[Recipient], last_modified: &str) -> Result<String, Finding> {
        let documents = &self.plain.text.documents;
        let replacer = Replacer::new(self.source, &self.plain.text.remarks);
        for document in documents {
            self.values(document, &replacer, &mut Vec::new());
        }
        self.comments();
        let mac = decrypt::mac(documents, false, false);
        let wrap = |it: &Recipient| Ok((it.to_string(), recipient::wrap(it, self.key)?));
        let block = Block {
            keys: recipients.iter().map(wrap).collect::<Result<_, Finding>>()?,
            last_modified,
            mac: cipher::seal(mac.as_bytes(), "str", self.key, last_modified, self.random),
            rule: self.rule,
        };
        self.edits.extend(documents.first().map(|it| block.append(self.source, it)));
        Ok(edit::apply(self.source.text, self.edits))
    }

    fn values(&mut self, item: &Item, replacer: &Replacer<'_>, path: &mut Vec<String>) {
        match &item.data {
            Data::Map(fields) => {
                for field in fields {
                    path.push(field.key.clone());
                    self.values(&field.item, replacer, path);
                    path.pop();
                }
            }
            Data::List(items) => items.iter().for_each(|it| self.values(it, replacer, path)),
            Data::Scalar(scalar) if item.is_selected => {
                if let Some(sealed) = seal(scalar, self.key, path, self.random) {
                    self.edits.extend(replacer.replace(item, in_place(sealed, item.in_flow)));
                }
            }
            Data::Scalar(_) | Data::Comment(_) => {}
        }
    }

    /// Encrypts the comments: a value that was commented out is a secret all the same.
    fn comments(&mut self) {
        let text = &self.plain.text;
        if text.remarks.is_empty() {
            return;
        }
        let entries = remarks::entries(&text.documents, self.source);
        let has_list = entries.iter().any(|it| !it.is_key);
        for remark in &text.remarks {
            let path = remarks::holder(&entries, remark, self.source);
            // An empty comment is never encrypted, and SOPS takes one in a list for an element when it decrypts the file.
            let comment = match remark.text.as_str() {
                "" if has_list => " ",
                comment => comment,
            };
            if !comment.is_empty() && self.rule.selects(path, &[]) {
                let sealed = cipher::seal(comment.as_bytes(), "comment", self.key, &bound_path(path), self.random);
                self.edits.push((remark.span.start + 1..remark.span.end, sealed));
            }
        }
    }
}

/// Refuses a text that does not decrypt to the values that were encrypted.
fn check(text: &str, plain_source: &Source<'_>, store: Store, plain: &Plain, key: &DataKey) -> Result<(), Finding> {
    let refusal = |why: &str| {
        Finding::error(Code::FORMAT, format!("the file cannot be encrypted as it is written: {why}"))
            .at(&plain_source.whole())
            .hint("write it more plainly, or use `sops encrypt`, which writes the whole file anew")
    };
    // For the YAML reader of SOPS these end a line.
    if store == Store::Yaml && text.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        return Err(refusal("a line separator of Unicode stands in what stays readable"));
    }
    let documents = &plain.text.documents;
    let is_tabbed = |it: &Item| plain_source.text[plain_source.line_start(it.span.start)..it.span.start].contains('\t');
    let is_tabbed_item = |line: &str| {
        let rest = line.trim_start_matches([' ', '-']);
        rest.len() < line.len() && rest.starts_with('\t') && line.trim_start().starts_with('-')
    };
    if store == Store::Yaml
        && (documents.iter().any(|it| !it.in_flow && is_tabbed(it)) || text.lines().any(is_tabbed_item))
    {
        return Err(refusal("a tab stands where YAML wants blanks"));
    }
    let whole = plain_source.whole();
    let source = Source::new(&whole.file, text.as_bytes()).map_err(|_| refusal("it is not UTF-8"))?;
    let decrypted = decrypt::decrypt_with(&source, store, &|_| Ok(key.clone()));
    let decrypted = decrypted.map_err(|_| refusal("it does not decrypt"))?;
    let read = match <[Item; 1]>::try_from(decrypted.text.documents) {
        Ok([document]) => document.into_node().map_err(|_| refusal("its values are not kept"))?,
        Err(_) => return Err(refusal("it becomes several documents")),
    };
    if survey::same(&plain.node, &read) { Ok(()) } else { Err(refusal("its values are not kept")) }
}
