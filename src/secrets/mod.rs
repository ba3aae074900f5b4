//! SOPS files and age keys; plaintext that cannot be printed.
//!
//! A file that SOPS encrypted is decrypted in memory, and nothing of it is used before its MAC has been checked. What
//! the format leaves open (names of unencrypted keys, comments, the age of a file, who encrypted it) is for signed
//! commits to close: see `trust`.
//!
//! A plain document is encrypted, and a value of an encrypted one changed, in place: the bytes of everything else stay,
//! and the result is decrypted again before it is returned.
//!
//! `age` is used without its `ssh` feature: that brings the `rsa` crate, whose advisory RUSTSEC-2023-0071 has no fixed
//! version; and without `plugin`, because nothing here may start a process.

mod decrypt;
mod metadata;
mod identity;
mod shamir;
mod cipher;
mod rules;
mod tree;
mod read;
mod yaml;
mod scalar;
mod number;
mod time;
mod json;
mod flat;
mod remarks;
mod text;
mod write;
mod layer;
mod edit;
mod recipient;
mod survey;
mod block;
mod encrypt;
mod manage;
#[cfg(test)]
mod tests;

pub use encrypt::encrypt_configuration;
pub use manage::{SecretChange, manage_secrets};
pub use rules::Rule;

use crate::document::{Format, Node, Value};
use crate::finding::{Code, Finding, Findings};
use age::x25519::Identity;
use decrypt::Decrypted;
use read::{Source, Store};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The most bytes that one SOPS file may have.
const MAX_BYTES: usize = 16 << 20;

/// Decrypted bytes. They can be neither printed nor serialised, and are wiped from memory when dropped.
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// Returns the bytes, to be written where only their owner reads them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// Decrypts with the identities of one host.
#[derive(Clone, Default)]
pub struct SecretManager {
    identities: Vec<Identity>,
    takes_partial_mac: bool,
}

impl std::fmt::Debug for SecretManager {
    /// Shows the public recipients.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretManager").field("recipients", &self.recipients()).finish_non_exhaustive()
    }
}

impl SecretManager {
    /// Reads identities: each text holds one or several, a line each, with `#` comments between them.
    ///
    /// Without any text the manager recognises SOPS files, and opens none.
    pub fn new<T: AsRef<str>>(identity_texts: &[T]) -> Result<SecretManager, Finding> {
        let mut identities = Vec::new();
        for text in identity_texts {
            identities.extend(identity::parse(text.as_ref())?);
        }
        Ok(SecretManager { identities, takes_partial_mac: false })
    }

    /// Accepts files whose MAC covers the encrypted values only: for a person's own work on them, never in a deployment.
    #[must_use]
    pub fn taking_partial_mac(mut self) -> SecretManager {
        self.takes_partial_mac = true;
        self
    }

    /// Returns the public recipients of the identities.
    pub fn recipients(&self) -> Vec<String> {
        self.identities.iter().map(|it| it.to_public().to_string()).collect()
    }

    /// Decrypts a layer: a tree without the `sops` block, in which every value that was encrypted is marked secret.
    ///
    /// Values have the types that SOPS gives them. Places are those in the encrypted file; a file that SOPS encrypted as a
    /// whole, such as TOML, is secret as a whole, and has no places in it.
    pub fn decrypt(&self, file: &Arc<str>, bytes: &[u8], format: Format, findings: &mut Findings) -> Option<Node> {
        let tree = || -> Result<Node, Finding> {
            let store = Store::of(Some(format), bytes);
            let source = source(file, bytes)?;
            let decrypted = self.open_file(&source, store)?;
            if let Some(second) = decrypted.text.documents.get(1) {
                return Err(Finding::error(Code::YAML_DOCS, "the file holds more than one document").at(&second.place));
            }
            match store {
                Store::Yaml | Store::Json | Store::Ini => tree::into_node(decrypted.text, store),
                Store::Env | Store::Binary => layer::read(&decrypted, &source, store, format),
            }
        };
        tree().map_err(|it| findings.push(hide_line(it, bytes))).ok()
    }

    /// Decrypts a file that is copied: its own text with plain values and without the `sops` block; and the bytes of a
    /// file that SOPS encrypted as a whole.
    ///
    /// `format` is what the file's name stands for. Comments and spelling stay.
    pub fn decrypt_text(
        &self,
        file: &Arc<str>,
        bytes: &[u8],
        format: Option<Format>,
        findings: &mut Findings,
    ) -> Option<Plaintext> {
        let text = || -> Result<Vec<u8>, Finding> {
            let store = Store::of(format, bytes);
            let source = source(file, bytes)?;
            text::write(&self.open_file(&source, store)?, &source, store)
        };
        let text = text().map_err(|it| findings.push(hide_line(it, bytes))).ok()?;
        Some(Plaintext(Zeroizing::new(text)))
    }

    fn open_file(&self, source: &Source<'_>, store: Store) -> Result<Decrypted, Finding> {
        let decrypted = decrypt::decrypt(source, store, &self.identities)?;
        if decrypted.has_partial_mac && !self.takes_partial_mac {
            let message = "the file's MAC does not cover its plain values, which anyone could have changed";
            return Err(Finding::error(Code::SOPS_MAC_SCOPE, message)
                .at(&decrypted.metadata.place)
                .hint("encrypt it again without `mac_only_encrypted`"));
        }
        Ok(decrypted)
    }

    /// Encrypts bytes for this host alone, to be kept.
    pub fn seal(&self, bytes: &[u8]) -> Result<Vec<u8>, Finding> {
        identity::seal(&self.identities, bytes)
    }

    /// Decrypts what [`SecretManager::seal`] encrypted.
    pub fn open(&self, sealed: &[u8]) -> Result<Plaintext, Finding> {
        identity::open(&self.identities, sealed).map(Plaintext)
    }
}

fn source<'a>(file: &Arc<str>, bytes: &'a [u8]) -> Result<Source<'a>, Finding> {
    if bytes.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; the limit for SOPS files is {MAX_BYTES}", bytes.len());
        return Err(Finding::error(Code::FILE_TOO_BIG, message).at(&crate::place::Place::whole(file)));
    }
    Source::new(file, bytes)
}

/// Keeps the line that a finding points to from being shown: a value may stand there that someone forgot to encrypt.
fn hide_line(mut finding: Finding, bytes: &[u8]) -> Finding {
    let Some(place) = finding.place.as_ref().filter(|it| it.line > 0) else { return finding };
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().nth(place.line as usize - 1).unwrap_or_default();
    let before: String = line.chars().take((place.column as usize).saturating_sub(1)).collect();
    let is_key = |it: &str| it.len() < 80 && it.chars().all(|it| it.is_alphanumeric() || " _-.:=".contains(it));
    let shown = if finding.code != Code::SYNTAX && is_key(&before) { before.as_str() } else { "" };
    finding.line_text = Some(format!("{shown}…"));
    finding
}

/// Returns whether a document that was parsed is a SOPS file: a map whose key `sops` holds SOPS metadata, also in the
/// flat form of dotenv; or one that lost its metadata but still holds encrypted values, which `decrypt` refuses.
pub fn is_sops(node: &Node) -> bool {
    const KEYS: [&str; 4] = ["sops.mac", "sops.lastmodified", "sops_mac", "sops_lastmodified"];
    KEYS.iter().any(|it| node.get(it).is_some()) || holds_encrypted(node)
}

fn holds_encrypted(node: &Node) -> bool {
    match &node.value {
        Value::String(text) => text.starts_with("ENC[AES256_GCM,data:"),
        Value::List(items) => items.iter().any(holds_encrypted),
        Value::Map(map) => map.iter().any(|it| holds_encrypted(&it.node)),
        _ => false,
    }
}

/// Returns whether bytes are a SOPS file, judged by the text alone: cheap enough to ask of every copied file, and to be
/// asked before a layer is parsed, because SOPS files hold what plain documents may not.
pub fn is_sops_text(bytes: &[u8], format: Option<Format>) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let marks = ["lastmodified", "ENC[AES256_GCM,", "AGE ENCRYPTED FILE"];
    if !text.contains("sops") || !marks.iter().any(|it| text.contains(it)) {
        return false;
    }
    let has_line = |start: &str| text.starts_with(start) || text.contains(&format!("\n{start}"));
    let has_key = || text.contains("\"sops\"");
    match Store::of(format, bytes) {
        Store::Yaml => has_line("sops:") || has_line("'sops'") || has_key(),
        Store::Json => has_key(),
        Store::Env => has_line("sops_"),
        Store::Ini => has_line("[sops]"),
        Store::Binary => {
            text.trim_start().starts_with('{')
                && has_key()
                && serde_json::from_str::<serde_json::Value>(text).is_ok_and(|it| it["sops"].is_object())
        }
    }
}
