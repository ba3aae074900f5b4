//! The host's age identities, and what they open.

use super::cipher::DataKey;
use super::metadata::{Group, Metadata};
use super::shamir;
use crate::finding::{Code, Finding};
use age::armor::ArmoredReader;
use age::x25519;
use std::io::{Read, Write};
use zeroize::Zeroizing;

/// Reads the identities in a text: one a line, with comments and empty lines between them.
pub(super) fn parse(text: &str) -> Result<Vec<x25519::Identity>, Finding> {
    if text.trim_start().starts_with("-----BEGIN AGE ENCRYPTED FILE-----") || text.starts_with("age-encryption.org/") {
        return Err(unsupported("an identity file that is itself encrypted"));
    }
    if text.contains("-----BEGIN ") {
        return Err(unsupported("an SSH key as an identity"));
    }
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, it)| !it.is_empty() && !it.starts_with('#'));
    lines.flat_map(|(idx, line)| line.split_ascii_whitespace().map(move |it| identity(idx + 1, it))).collect()
}

fn identity(line: usize, text: &str) -> Result<x25519::Identity, Finding> {
    if text.starts_with("AGE-PLUGIN-") {
        return Err(unsupported("an identity of an age plugin"));
    }
    if text.starts_with("AGE-SECRET-KEY-PQ-") {
        return Err(unsupported("a post-quantum age identity"));
    }
    text.parse().map_err(|_| {
        Finding::error(Code::KEY, format!("line {line} of the identities is not an age identity"))
            .hint("make one with `age-keygen`; it begins with `AGE-SECRET-KEY-1`")
    })
}

fn unsupported(what: &str) -> Finding {
    Finding::error(Code::UNSUPPORTED, format!("{what} is not supported in this version"))
        .hint("use an age identity that begins with `AGE-SECRET-KEY-1`")
}

/// Encrypts for the recipients of all `identities`.
pub(super) fn seal(identities: &[x25519::Identity], bytes: &[u8]) -> Result<Vec<u8>, Finding> {
    let failed = || Finding::error(Code::KEY, "nothing can be sealed: this host has no age identity");
    let recipients: Vec<_> = identities.iter().map(x25519::Identity::to_public).collect();
    let recipients = recipients.iter().map(|it| it as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients).map_err(|_| failed())?;
    let mut sealed = Vec::with_capacity(bytes.len() + 512);
    // Writing into memory does not fail.
    let mut writer = encryptor.wrap_output(&mut sealed).map_err(|_| failed())?;
    writer.write_all(bytes).and_then(|()| writer.finish()).map_err(|_| failed())?;
    Ok(sealed)
}

/// Decrypts what [`seal`] made.
pub(super) fn open(identities: &[x25519::Identity], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Finding> {
    let failed = |what: &str| Finding::error(Code::KEY, format!("a kept copy cannot be opened: {what}"));
    let damaged = "it is damaged";
    let decryptor = age::Decryptor::new_buffered(sealed).map_err(|_| failed(damaged))?;
    let mut reader = decryptor.decrypt(identities.iter().map(|it| it as &dyn age::Identity)).map_err(|error| {
        failed(match error {
            age::DecryptError::NoMatchingKeys => "it was sealed for another identity",
            _ => damaged,
        })
    })?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(sealed.len()));
    reader.read_to_end(&mut bytes).map_err(|_| failed(damaged))?;
    Ok(bytes)
}

/// Recovers the key of a file.
pub(super) fn data_key(metadata: &Metadata, identities: &[x25519::Identity]) -> Result<DataKey, Finding> {
    if metadata.groups.is_empty() {
        return Err(Finding::error(Code::SOPS, "the `sops` block names no recipient").at(&metadata.place));
    }
    let mut shares = Vec::new();
    let mut has_damage = false;
    for group in &metadata.groups {
        match share(group, identities) {
            Ok(share) => shares.push(share),
            Err(Closed::Damaged) => has_damage = true,
            Err(Closed::NoMatch) => {}
        }
    }
    let n_needed = match metadata.groups.len() {
        1 => 1,
        _ => metadata.threshold.max(2),
    };
    if shares.len() < n_needed {
        return Err(refusal(metadata, identities, has_damage, shares.len(), n_needed));
    }
    let malformed = |message: &str| Finding::error(Code::SOPS, message).at(&metadata.place);
    let key = match shares.len() {
        1 => shares.remove(0),
        _ => shamir::combine(&shares).ok_or_else(|| malformed("the shares of the file's key do not fit together"))?,
    };
    let key = <[u8; 32]>::try_from(key.as_slice()).map_err(|_| malformed("the file's key is not 32 bytes long"))?;
    Ok(DataKey::new(key))
}

enum Closed {
    NoMatch,
    Damaged,
}

/// Opens the first key of a group that opens, whoever it says that it is for.
fn share(group: &Group, identities: &[x25519::Identity]) -> Result<Zeroizing<Vec<u8>>, Closed> {
    let mut closed = Closed::NoMatch;
    for key in &group.age {
        match unwrap(&key.enc, identities) {
            Ok(share) => return Ok(share),
            Err(Closed::Damaged) => closed = Closed::Damaged,
            Err(Closed::NoMatch) => {}
        }
    }
    Err(closed)
}

fn unwrap(enc: &str, identities: &[x25519::Identity]) -> Result<Zeroizing<Vec<u8>>, Closed> {
    let reader = ArmoredReader::new(enc.trim().as_bytes());
    let decryptor = age::Decryptor::new(reader).map_err(|_| Closed::Damaged)?;
    let identities = identities.iter().map(|it| it as &dyn age::Identity);
    let reader = decryptor.decrypt(identities).map_err(|error| match error {
        age::DecryptError::NoMatchingKeys => Closed::NoMatch,
        _ => Closed::Damaged,
    })?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(64));
    reader.take(64).read_to_end(&mut bytes).map_err(|_| Closed::Damaged)?;
    Ok(bytes)
}

/// Says why the key cannot be had: which recipients the file has, and which identities were tried.
fn refusal(
    metadata: &Metadata,
    identities: &[x25519::Identity],
    has_damage: bool,
    n_opened: usize,
    n_needed: usize,
) -> Finding {
    let keys = || metadata.groups.iter().flat_map(|it| &it.age);
    let error = |code: Code, message: String| Finding::error(code, message).at(&metadata.place);
    if keys().next().is_none() {
        let mut providers: Vec<_> = metadata.groups.iter().flat_map(|it| &it.providers).copied().collect();
        providers.dedup();
        let message = format!(
            "the file is encrypted only for {}",
            if providers.is_empty() { "nobody".into() } else { providers.join(", ") }
        );
        return error(Code::SOPS_PROVIDER, message).hint("add an age recipient with `sops updatekeys`");
    }
    let ours: Vec<_> = identities.iter().map(|it| it.to_public().to_string()).collect();
    if has_damage || keys().any(|it| ours.contains(&it.recipient)) && n_needed == 1 {
        return error(Code::SOPS, "the file's key is damaged: an age file in the `sops` block does not open".into());
    }
    let recipients = list(keys().map(|it| it.recipient.as_str()));
    if n_opened > 0 || n_needed > 1 {
        let message = format!(
            "the identities of this host open {n_opened} of the {n_needed} key groups that are needed; \
             the file is encrypted for {recipients}; {}",
            tried(&ours)
        );
        return error(Code::KEY, message);
    }
    if !keys().any(|it| is_supported(&it.recipient)) {
        let message = format!(
            "the file is encrypted only for kinds of recipients that are not supported in this version: {recipients}"
        );
        return error(Code::UNSUPPORTED, message).hint("add an `age1…` recipient with `sops updatekeys`");
    }
    let message =
        format!("no identity of this host opens the file: it is encrypted for {recipients}; {}", tried(&ours));
    error(Code::KEY, message).hint(match identities.is_empty() {
        true => "name the host's identity file in `age.identity` of agent.yaml",
        false => "add one of the host's recipients with `sops updatekeys`",
    })
}

fn tried(ours: &[String]) -> String {
    match ours {
        [] => "no identity is configured".into(),
        _ => format!("tried {}", list(ours.iter().map(String::as_str))),
    }
}

fn is_supported(recipient: &str) -> bool {
    recipient.parse::<x25519::Recipient>().is_ok()
}

/// Joins names that a file gives, shortened and without control characters.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const N_SHOWN: usize = 8;
    let names: Vec<_> = names.collect();
    let show = |it: &&str| it.chars().take(80).filter(|it| !it.is_control()).collect::<String>();
    let shown: Vec<_> = names.iter().take(N_SHOWN).map(show).collect();
    match names.len().saturating_sub(N_SHOWN) {
        0 => shown.join(", "),
        n_more => format!("{} and {n_more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g06_other_kinds_of_identities_are_refused_by_name() {
        let code = |text: &str| parse(text).map(|it| it.len()).map_err(|it| it.code);
        assert_eq!(code("AGE-PLUGIN-YUBIKEY-1QQQ"), Err(Code::UNSUPPORTED));
        assert_eq!(code("AGE-SECRET-KEY-PQ-1QQQ"), Err(Code::UNSUPPORTED));
        assert_eq!(code("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n"), Err(Code::UNSUPPORTED));
        assert_eq!(code("-----BEGIN AGE ENCRYPTED FILE-----\n"), Err(Code::UNSUPPORTED));
        assert_eq!(code("# comment\nhunter2\n"), Err(Code::KEY));
        assert_eq!(code("\n# nothing\n\n"), Ok(0));
    }

    #[test]
    fn a_bad_identity_is_not_repeated() {
        let finding = parse("\nAGE-SECRET-KEY-1HUNTER2").err().expect("refused");
        assert_eq!(finding.message, "line 2 of the identities is not an age identity");
    }

    #[test]
    fn several_identities_stand_in_one_text() {
        use age::secrecy::ExposeSecret;
        let keys = [0; 3].map(|_| x25519::Identity::generate().to_string());
        let [a, b, c] = keys.each_ref().map(|it| it.expose_secret());
        assert_eq!(parse(&format!("# made today\n{a}\r\n\n  {b} {c}\n")).map(|it| it.len()).ok(), Some(3));
    }
}
