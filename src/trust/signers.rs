//! The list of allowed signers: OpenSSH's `allowed_signers` (ssh-keygen(1)), or bare public keys as in `authorized_keys`.

use super::sshsig::refused_kind;
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use ssh_key::PublicKey;
use ssh_key::public::KeyData;
use std::sync::Arc;

/// Who may sign, with which keys and when.
#[derive(Clone, Debug, Default)]
pub struct AllowedSigners {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Patterns separated by commas.
    pub principals: String,
    namespaces: Option<String>,
    valid_after: Option<i64>,
    valid_before: Option<i64>,
    is_authority: bool,
    key: KeyData,
}

impl AllowedSigners {
    /// Reads the list. Lines that cannot be read are errors; keys of kinds that cannot be verified are warnings, and
    /// their signatures are refused.
    ///
    /// Times without `Z` are taken as UTC as well, so that a list means the same on every host.
    pub fn parse(file: &Arc<str>, text: &str, findings: &mut Findings) -> AllowedSigners {
        let mut entries = Vec::new();
        for (idx, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = Place::new(file, u32::try_from(idx + 1).unwrap_or(u32::MAX), 0);
            match entry(line) {
                Ok(entry) => entries.push(entry),
                Err(Refusal::Line(message)) => findings.push(Finding::error(Code::CONFIG, message).at(&place)),
                Err(Refusal::Kind(kind)) => {
                    let message = format!("{kind} are not supported in this version: they will be refused");
                    findings.push(Finding::warning(Code::UNSUPPORTED, message).at(&place));
                }
            }
        }
        AllowedSigners { entries }
    }

    /// Returns whether nobody may sign.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn of_key<'a>(&'a self, key: &'a KeyData) -> impl Iterator<Item = &'a Entry> {
        // A certificate authority's key vouches for certificates; it signs nothing itself.
        self.entries.iter().filter(move |it| !it.is_authority && it.key == *key)
    }
}

impl Entry {
    /// Returns the name to show for the key.
    pub fn principal(&self) -> String {
        let name = self.principals.split(',').find(|it| !it.starts_with('!')).unwrap_or(&self.principals);
        name.to_owned()
    }

    /// Tells why the key may not sign, if it may not.
    pub fn permits(&self, namespace: &str, time: i64) -> Result<(), String> {
        if self.namespaces.as_ref().is_some_and(|it| !matches_list(it, namespace)) {
            return Err(format!("may not sign for `{namespace}`"));
        }
        if self.valid_after.is_some_and(|it| time < it) {
            return Err("is not valid yet".into());
        }
        if self.valid_before.is_some_and(|it| time > it) {
            return Err("has expired".into());
        }
        Ok(())
    }
}

enum Refusal {
    Line(String),
    Kind(&'static str),
}

fn refuse<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Line(message.into()))
}

fn entry(line: &str) -> Result<Entry, Refusal> {
    let (first, rest) = word(line);
    let (second, _) = word(rest);
    if is_key_kind(first) && !is_key_kind(second) {
        let (key, comment) = key(line)?;
        let fingerprint = key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
        // A pattern that is no pattern: what stands in a comment speaks for nobody but itself.
        let name = comment.replace([',', '*', '?', '!'], "_");
        let principals = if name.is_empty() { fingerprint } else { name };
        let (namespaces, valid_after, valid_before, is_authority) = (None, None, None, false);
        return Ok(Entry { principals, namespaces, valid_after, valid_before, is_authority, key });
    }
    let principals = unquoted(first).ok_or_else(|| Refusal::Line("a quote is not closed".into()))?.to_owned();
    if principals.is_empty() {
        return refuse("the names are empty");
    }
    let (options, key_text) = if is_key_kind(second) { ("", rest) } else { word(rest) };
    let mut entry = Entry {
        principals,
        namespaces: None,
        valid_after: None,
        valid_before: None,
        is_authority: false,
        key: key(key_text)?.0,
    };
    for option in split_options(options) {
        set(&mut entry, option)?;
    }
    match (entry.valid_after, entry.valid_before) {
        (Some(after), Some(before)) if before <= after => refuse("`valid-before` is not later than `valid-after`"),
        _ => Ok(entry),
    }
}

/// Splits off the first word; blanks inside double quotes do not end it.
fn word(text: &str) -> (&str, &str) {
    let mut in_quotes = false;
    let end = text.find(|it: char| {
        in_quotes ^= it == '"';
        !in_quotes && matches!(it, ' ' | '\t')
    });
    match end {
        Some(end) => (&text[..end], text[end..].trim_start()),
        None => (text, ""),
    }
}

fn unquoted(text: &str) -> Option<&str> {
    match text.strip_prefix('"') {
        Some(inner) => inner.strip_suffix('"').filter(|it| !it.contains('"')),
        None => (!text.contains('"')).then_some(text),
    }
}

fn is_key_kind(word: &str) -> bool {
    const KINDS: [&str; 5] =
        ["ssh-ed25519", "ssh-rsa", "ssh-dss", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"];
    KINDS.contains(&word) || word.starts_with("ecdsa-sha2-nistp") || word.ends_with("-cert-v01@openssh.com")
}

/// Reads `kind base64 [comment]`.
fn key(text: &str) -> Result<(KeyData, &str), Refusal> {
    let (kind, rest) = word(text);
    let (base64, comment) = word(rest);
    if !is_key_kind(kind) {
        return refuse("expected `names [options] key-type key`");
    }
    if let Some(kind) = refused_kind(kind) {
        return Err(Refusal::Kind(kind));
    }
    match PublicKey::from_openssh(&format!("{kind} {base64}")) {
        Ok(key) => Ok((key.key_data().clone(), comment.trim())),
        Err(_) => refuse(format!("the {kind} key is malformed")),
    }
}

fn split_options(options: &str) -> impl Iterator<Item = &str> {
    let mut in_quotes = false;
    options
        .split(move |it: char| {
            in_quotes ^= it == '"';
            !in_quotes && it == ','
        })
        .filter(|it| !it.is_empty())
}

fn set(entry: &mut Entry, option: &str) -> Result<(), Refusal> {
    let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
    let value = match value.map(|it| it.strip_prefix('"').and_then(|it| it.strip_suffix('"'))) {
        Some(None) => return refuse(format!("the value of the option `{name}` must stand in double quotes")),
        it => it.flatten(),
    };
    let time = |value: &str| {
        time(value).ok_or_else(|| {
            Refusal::Line(format!("the option `{name}` is not a time of the form YYYYMMDD[HHMM[SS]][Z]"))
        })
    };
    match (name.to_ascii_lowercase().as_str(), value) {
        ("cert-authority", None) => entry.is_authority = true,
        ("namespaces", Some(value)) if entry.namespaces.is_none() => entry.namespaces = Some(value.to_owned()),
        ("valid-after", Some(value)) if entry.valid_after.is_none() => entry.valid_after = Some(time(value)?),
        ("valid-before", Some(value)) if entry.valid_before.is_none() => entry.valid_before = Some(time(value)?),
        _ => return refuse(format!("the option `{name}` is unknown, stands twice, or has the wrong form")),
    }
    Ok(())
}

/// Reads `YYYYMMDD[HHMM[SS]][Z]` as seconds since the epoch.
fn time(text: &str) -> Option<i64> {
    let digits = text.strip_suffix('Z').unwrap_or(text);
    if !digits.bytes().all(|it| it.is_ascii_digit()) || !matches!(digits.len(), 8 | 12 | 14) {
        return None;
    }
    let number = |from: usize, to: usize| digits.get(from..to).map_or(Some(0), |it| it.parse::<u32>().ok());
    let date = chrono::NaiveDate::from_ymd_opt(digits[..4].parse().ok()?, number(4, 6)?, number(6, 8)?)?;
    Some(date.and_hms_opt(number(8, 10)?, number(10, 12)?, number(12, 14)?)?.and_utc().timestamp())
}

/// Matches a list of patterns as OpenSSH does: one must match, and none with a `!` may.
pub(super) fn matches_list(patterns: &str, text: &str) -> bool {
    let mut has_match = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(pattern.as_bytes(), text.as_bytes()) => return false,
            Some(_) => {}
            None => has_match |= matches(pattern.as_bytes(), text.as_bytes()),
        }
    }
    has_match
}

/// Matches `*` and `?`, in time proportional to the product of the lengths.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stands, and how much of the text it has taken.
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(it) if *it == b'?' || *it == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|it| *it == b'*')
}
