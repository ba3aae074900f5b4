//! For whom a file is encrypted.

use super::cipher::DataKey;
use super::metadata::MAX_RECIPIENTS;
use crate::finding::{Code, Finding, Findings};
use age::x25519;

/// The recipients whose key everybody knows, because a point of small order has no others; `age` panics on them.
const WEAK: [&str; 14] = [
    "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z",
    "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqzqqsuwj9m",
    "age1qyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqj7vrya",
    "age1qyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqzqqk67yly",
    "age1ur4h5lpmgxu2u9jku0a0r87ydtdqnr0tnsetrlvxvgz3vh6fhqqqzyt4v9",
    "age1ur4h5lpmgxu2u9jku0a0r87ydtdqnr0tnsetrlvxvgz3vh6fhzqqxqejhu",
    "age1t7wft09r2zxzfvwsk92eeql0tvzyghxytqwgapkcyf8dm5ylz9ts6wm9s8",
    "age1t7wft09r2zxzfvwsk92eeql0tvzyghxytqwgapkcyf8dm5ylz8ts72fzt7",
    "age1anlllllllllllllllllllllllllllllllllllllllllllllllals4n2t7m",
    "age1anllllllllllllllllllllllllllllllllllllllllllllllllls3hcv9z",
    "age1ahlllllllllllllllllllllllllllllllllllllllllllllllalsn46ayy",
    "age1ahlllllllllllllllllllllllllllllllllllllllllllllllllsh3g6la",
    "age1amlllllllllllllllllllllllllllllllllllllllllllllllalselrwrv",
    "age1amlllllllllllllllllllllllllllllllllllllllllllllllllsam3fc4",
];

/// Reads recipients, each once; what is wrong with every one of the others is in `findings`.
pub(super) fn parse(texts: &[String], findings: &mut Findings) -> Vec<x25519::Recipient> {
    let mut recipients = Vec::new();
    for (idx, text) in texts.iter().enumerate() {
        match recipient(idx + 1, text.trim()) {
            Ok(it) if recipients.contains(&it) => {}
            Ok(it) => recipients.push(it),
            Err(finding) => findings.push(finding),
        }
    }
    if texts.is_empty() {
        let finding = Finding::error(Code::KEY, "the file would be encrypted for nobody");
        findings.push(finding.hint("name at least one recipient that begins with `age1`"));
    }
    if recipients.len() > MAX_RECIPIENTS {
        findings.push(Finding::error(Code::KEY, format!("there are more than {MAX_RECIPIENTS} recipients")));
    }
    recipients
}

fn recipient(number: usize, text: &str) -> Result<x25519::Recipient, Finding> {
    let hint = "a recipient begins with `age1`; `age-keygen -y` prints the one of an identity";
    let refusal = |code: Code, message: String| Err(Finding::error(code, message).hint(hint));
    if text.to_ascii_uppercase().contains("AGE-SECRET-KEY-") {
        return refusal(Code::KEY, format!("recipient {number} is an identity, which is to be kept secret"));
    }
    let unsupported = match text.strip_prefix("age1") {
        Some(rest) if rest.starts_with("pq1") => Some("a post-quantum recipient"),
        // The data after the last `1` never holds one.
        Some(rest) if rest.contains('1') => Some("a recipient of an age plugin"),
        None if text.starts_with("ssh-") => Some("an SSH key"),
        _ => None,
    };
    if let Some(what) = unsupported {
        let message = format!("recipient {number} is {what}, which is not supported in this version");
        return refusal(Code::UNSUPPORTED, message);
    }
    match text.parse::<x25519::Recipient>() {
        Ok(it) if WEAK.contains(&it.to_string().as_str()) => {
            refusal(Code::KEY, format!("recipient {number} is not a usable key: anybody could open the file"))
        }
        Ok(it) => Ok(it),
        Err(_) => refusal(Code::KEY, format!("recipient {number} is not an age recipient, or is mistyped")),
    }
}

/// Encrypts the key of a file for one recipient, as an armored age file.
///
/// The age file's own key is random whatever source of randomness the caller has: `age` takes it from the system.
pub(super) fn wrap(recipient: &x25519::Recipient, key: &DataKey) -> Result<String, Finding> {
    age::encrypt_and_armor(recipient, key.as_slice())
        .map_err(|_| Finding::error(Code::KEY, format!("the file's key cannot be encrypted for {recipient}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: Code, message: &str) {
        let mut findings = Findings::new();
        assert!(parse(&[text.to_owned()], &mut findings).is_empty());
        let finding = findings.into_iter().next().expect("refused");
        assert_eq!((finding.code, finding.message.as_str()), (code, message), "{text}");
        assert!(finding.hint.is_some_and(|it| it.contains("age1")));
    }

    #[test]
    fn what_is_no_recipient_is_refused_by_its_kind() {
        check("AGE-SECRET-KEY-1HUNTER2", Code::KEY, "recipient 1 is an identity, which is to be kept secret");
        check("hunter2", Code::KEY, "recipient 1 is not an age recipient, or is mistyped");
        check("age1qqqq", Code::KEY, "recipient 1 is not an age recipient, or is mistyped");
        let unsupported = |what: &str| format!("recipient 1 is {what}, which is not supported in this version");
        check("ssh-ed25519 AAAA me@host", Code::UNSUPPORTED, &unsupported("an SSH key"));
        check("age1pq1qqqq", Code::UNSUPPORTED, &unsupported("a post-quantum recipient"));
        check("age1yubikey1qqqq", Code::UNSUPPORTED, &unsupported("a recipient of an age plugin"));
    }

    #[test]
    fn keys_that_everybody_knows_are_refused() {
        for text in WEAK {
            assert!(text.parse::<x25519::Recipient>().is_ok(), "{text}");
            check(text, Code::KEY, "recipient 1 is not a usable key: anybody could open the file");
        }
    }

    #[test]
    fn all_that_is_wrong_is_said_and_nobody_is_named_twice() {
        let good = x25519::Identity::generate().to_public().to_string();
        let mut findings = Findings::new();
        let texts = [good.clone(), "a".into(), format!(" {good}\n"), "b".into()];
        assert_eq!(parse(&texts, &mut findings).len(), 1);
        assert_eq!(findings.n_errors(), 2);
        assert!(parse(&[], &mut findings).is_empty());
        assert_eq!(findings.n_errors(), 3);
    }
}
