//! The `sops` block of a file.

use super::rules::Rule;
use super::time::{Layout, Time};
use super::tree::{Data, Field, Item, Scalar};
use crate::finding::{Code, Finding};
use crate::place::Place;

/// The longest age file that can hold a data key; SSH and post-quantum recipients need a few thousand bytes.
const MAX_ENC_BYTES: usize = 16 << 10;
/// The most recipients that one file may have.
pub(super) const MAX_RECIPIENTS: usize = 1000;
/// The lists of keys that only other services open.
const PROVIDERS: [&str; 5] = ["kms", "gcp_kms", "azure_kv", "hc_vault", "pgp"];

/// What a file says of its own encryption.
pub(super) struct Metadata {
    pub groups: Vec<Group>,
    /// How many groups are needed; 0 when the file does not say.
    pub threshold: usize,
    /// The encrypted MAC; empty when there is none.
    pub mac: String,
    /// The time that the MAC is bound to, as its encryption saw it.
    pub last_modified: String,
    pub rule: Rule,
    pub mac_only_encrypted: bool,
    pub place: Place,
}

/// Keys of which one is enough.
pub(super) struct Group {
    pub age: Vec<AgeKey>,
    /// The other services that hold a key of this group.
    pub providers: Vec<&'static str>,
}

/// The data key, encrypted for one recipient.
pub(super) struct AgeKey {
    /// Who it is meant for, as the file says; nothing vouches for it.
    pub recipient: String,
    /// An armored age file.
    pub enc: String,
}

impl Metadata {
    /// Reads the value of the key `sops`.
    pub fn read(block: &Item) -> Result<Metadata, Finding> {
        if !matches!(block.data, Data::Map(_)) {
            return Err(malformed(block, "the key `sops` does not hold a map"));
        }
        version(block)?;
        let last_modified = string(block, "lastmodified")?;
        let time = Time::parse(&last_modified, Layout::Strict)
            .ok_or_else(|| malformed(block, "`sops.lastmodified` is missing or not a time"))?;
        let groups = groups(block)?;
        if groups.iter().map(|it| it.age.len()).sum::<usize>() > MAX_RECIPIENTS {
            return Err(malformed(block, &format!("the file has more than {MAX_RECIPIENTS} recipients")));
        }
        Ok(Metadata {
            groups,
            threshold: threshold(block)?,
            mac: string(block, "mac")?,
            last_modified: time.seconds(),
            rule: rule(block)?,
            mac_only_encrypted: string(block, "mac_only_encrypted")? == "true",
            place: block.place.clone(),
        })
    }
}

fn malformed(at: &Item, message: &str) -> Finding {
    Finding::error(Code::SOPS, message).at(&at.place)
}

/// Returns the text of a key of the block; it is empty when the key is absent.
fn string(block: &Item, key: &str) -> Result<String, Finding> {
    match block.get(key) {
        None => Ok(String::new()),
        Some(item) if matches!(item.data, Data::Scalar(Scalar::Null)) => Ok(String::new()),
        Some(item) => item
            .text()
            .map(std::borrow::Cow::into_owned)
            .ok_or_else(|| malformed(item, &format!("`{key}` in the `sops` block is not text"))),
    }
}

fn version(block: &Item) -> Result<(), Finding> {
    let version = string(block, "version")?;
    let is_version = version.starts_with("1.") || {
        let number = version.strip_prefix('v').unwrap_or(&version);
        semver::Version::parse(number).is_ok()
    };
    if is_version { Ok(()) } else { Err(malformed(block, "`sops.version` is missing or not a version")) }
}

fn threshold(block: &Item) -> Result<usize, Finding> {
    let text = string(block, "shamir_threshold")?;
    let number = text.strip_suffix(".0").unwrap_or(&text);
    match number {
        "" => Ok(0),
        number => number.parse().map_err(|_| malformed(block, "`sops.shamir_threshold` is not a number")),
    }
}

fn rule(block: &Item) -> Result<Rule, Finding> {
    let mut found = None;
    for name in Rule::NAMES {
        let text = string(block, name)?;
        if text.is_empty() {
            continue;
        }
        let rule = Rule::new(name, &text)
            .map_err(|_| malformed(block, &format!("`sops.{name}` is not a valid regular expression")))?;
        if found.replace(rule).is_some() {
            return Err(malformed(block, "the `sops` block has more than one rule about what is encrypted"));
        }
    }
    Ok(found.unwrap_or_default())
}

/// Returns the groups of keys; lists beside `key_groups` are one group and win.
fn groups(block: &Item) -> Result<Vec<Group>, Finding> {
    let flat = group(block)?;
    if !flat.age.is_empty() || !flat.providers.is_empty() {
        return Ok(vec![flat]);
    }
    let Some(groups) = block.get("key_groups") else { return Ok(Vec::new()) };
    let groups = groups.elements().ok_or_else(|| malformed(groups, "`key_groups` is not a list"))?;
    groups.iter().map(group).collect()
}

fn group(holder: &Item) -> Result<Group, Finding> {
    let list = |name: &str| match holder.get(name) {
        None => Ok([].as_slice()),
        Some(list) => list.elements().ok_or_else(|| malformed(list, &format!("`{name}` is not a list"))),
    };
    let mut providers = Vec::new();
    for name in PROVIDERS {
        if !list(name)?.is_empty() {
            providers.push(name);
        }
    }
    let age = list("age")?.iter().map(age_key).collect::<Result<_, _>>()?;
    Ok(Group { age, providers })
}

fn age_key(entry: &Item) -> Result<AgeKey, Finding> {
    let (recipient, enc) = (string(entry, "recipient")?, string(entry, "enc")?);
    if enc.len() > MAX_ENC_BYTES {
        return Err(malformed(entry, "an age file in the `sops` block is too large"));
    }
    Ok(AgeKey { recipient, enc })
}

/// Builds the block from the flat keys of dotenv and INI files, such as `age__list_0__map_enc`.
pub(super) fn unflatten(pairs: Vec<(String, String)>, place: &Place) -> Option<Item> {
    let mut root = Item::new(Data::Map(Vec::new()), place.clone(), 0..0);
    for (key, text) in pairs {
        let value = Data::Scalar(Scalar::Text(text.replace("\\n", "\n")));
        let mut steps = Vec::new();
        let mut rest = key.as_str();
        while let Some((step, is_map, tail)) = split(rest) {
            steps.push((step, is_map));
            rest = tail;
        }
        steps.push((rest, true));
        place_at(&mut root, &steps, value, place)?;
    }
    Some(root)
}

/// Cuts a flat key before its first separator; the flag tells whether what follows names a key or an index.
fn split(key: &str) -> Option<(&str, bool, &str)> {
    let (map, list) = (key.find("__map_"), key.find("__list_"));
    match (map, list) {
        (Some(at), other) if other.is_none_or(|it| at < it) => Some((&key[..at], true, &key[at + 6..])),
        (_, Some(at)) => Some((&key[..at], false, &key[at + 7..])),
        _ => None,
    }
}

/// Sets a value at the end of a chain of keys and indexes; each step tells what kind of holder its value is.
fn place_at(holder: &mut Item, steps: &[(&str, bool)], value: Data, place: &Place) -> Option<()> {
    let ((name, holds_map), rest) = steps.split_first()?;
    let fresh = match (rest.is_empty(), holds_map) {
        (true, _) => Data::Scalar(Scalar::Null),
        (_, true) => Data::Map(Vec::new()),
        (_, false) => Data::List(Vec::new()),
    };
    let next = match &mut holder.data {
        Data::Map(fields) => {
            let at = fields.iter().position(|it| it.key == *name).unwrap_or(fields.len());
            if at == fields.len() {
                let item = Item::new(fresh, place.clone(), 0..0);
                fields.push(Field::new((*name).to_owned(), place.clone(), 0..0, item));
            }
            &mut fields[at].item
        }
        Data::List(items) => {
            let at = name.parse::<usize>().ok().filter(|it| *it < MAX_RECIPIENTS)?;
            while items.len() <= at {
                items.push(Item::new(fresh.clone(), place.clone(), 0..0));
            }
            &mut items[at]
        }
        _ => return None,
    };
    if rest.is_empty() {
        next.data = value;
        return Some(());
    }
    place_at(next, rest, value, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(pairs: &[(&str, &str)]) -> Option<Item> {
        let pairs = pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        unflatten(pairs, &Place::whole("a.env"))
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Metadata, String> {
        let good = [("lastmodified", "2026-11-22T10:37:34Z"), ("version", "3.11.0")];
        let pairs: Vec<_> = good.iter().chain(pairs).copied().collect();
        Metadata::read(&flat(&pairs).expect("the keys are well-formed")).map_err(|it| it.message)
    }

    #[test]
    fn a_block_that_cannot_be_read_is_refused() {
        for (key, text) in [
            ("version", "3.11"),
            ("version", "banana"),
            ("lastmodified", "yesterday"),
            ("lastmodified", ""),
            ("shamir_threshold", "two"),
            ("encrypted_regex", "("),
            ("age", "x"),
            ("key_groups", "x"),
            ("mac__map_x", "x"),
        ] {
            assert!(read(&[(key, text)]).is_err(), "{key}");
        }
        assert!(read(&[("encrypted_suffix", "a"), ("encrypted_regex", "b")]).is_err());
        assert!(read(&[("age__list_0__map_enc", &"x".repeat(MAX_ENC_BYTES + 1))]).is_err());
    }

    #[test]
    fn g08_the_number_of_recipients_is_bounded() {
        let keys: Vec<_> = (0..=MAX_RECIPIENTS).map(|it| format!("age__list_{it}__map_enc")).collect();
        let pairs: Vec<_> = keys.iter().map(|it| (it.as_str(), "x")).collect();
        assert!(flat(&pairs).is_none());
        assert!(flat(&[("age__list_999999999999", "x")]).is_none());
    }

    #[test]
    fn flat_keys_build_the_block() {
        let metadata = read(&[
            ("key_groups__list_0__map_age__list_0__map_enc", "a\\nb"),
            ("key_groups__list_0__map_age__list_0__map_recipient", "age1x"),
            ("key_groups__list_1__map_pgp__list_0__map_fp", "ff"),
            ("shamir_threshold", "2.0"),
            ("mac_only_encrypted", "true"),
        ])
        .expect("well-formed");
        assert_eq!(metadata.groups.len(), 2);
        assert_eq!(metadata.groups[0].age[0].enc, "a\nb");
        assert_eq!(metadata.groups[1].providers, ["pgp"]);
        assert_eq!((metadata.threshold, metadata.mac_only_encrypted), (2, true));
    }
}
