//! Signatures that `ssh-keygen` made, and lines that nobody should write.

use super::*;
use crate::finding::{Findings, Severity};
use std::sync::Arc;

const SIGNERS: &str = include_str!("../../tests/fixtures/trust/allowed_signers");
const PAYLOAD: &[u8] = include_bytes!("../../tests/fixtures/trust/payload");
const ED25519: &str = include_str!("../../tests/fixtures/trust/ed25519.sig");
const ED25519_SHA256: &str = include_str!("../../tests/fixtures/trust/ed25519-sha256.sig");
const ECDSA: &str = include_str!("../../tests/fixtures/trust/ecdsa-p256.sig");
/// 2025-01-01.
const NOW: i64 = 1_735_689_600;

fn signers(text: &str) -> AllowedSigners {
    let mut findings = Findings::new();
    let signers = AllowedSigners::parse(&Arc::from("allowed_signers"), text, &mut findings);
    assert!(!findings.has_errors(), "{findings:?}");
    signers
}

fn line(prefix: &str) -> String {
    SIGNERS.lines().find(|it| it.starts_with(prefix)).unwrap().to_owned()
}

/// Returns the key of ed25519.sig as `kind base64`.
fn ed25519_key() -> String {
    line("ana@").split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn refused(signers: &AllowedSigners, armor: &str, payload: &[u8], time: i64, message: &str) {
    let refusal = verify(signers, armor, payload, time).unwrap_err();
    assert_eq!(refusal.code, Code::SIG_BAD);
    assert!(refusal.message.contains(message), "{}", refusal.message);
}

#[test]
fn c08_signatures_that_prove_nothing_are_refused() {
    let signers = signers(SIGNERS);
    let unknown = include_str!("../../tests/fixtures/trust/unknown.sig");
    refused(&signers, unknown, PAYLOAD, NOW, "is not in the list of allowed signers");
    let namespace = include_str!("../../tests/fixtures/trust/namespace.sig");
    refused(&signers, namespace, PAYLOAD, NOW, "was made for `file`, not for `git`");
    let other = include_str!("../../tests/fixtures/trust/other-payload.sig");
    refused(&signers, other, PAYLOAD, NOW, "does not fit");
    refused(&signers, ED25519, b"tampered", NOW, "does not fit");
    refused(&signers, ECDSA, &PAYLOAD[1..], NOW, "does not fit");
    refused(&AllowedSigners::default(), ED25519, PAYLOAD, NOW, "is not in the list of allowed signers");
}

#[test]
fn c08_a_key_signs_only_while_it_is_valid() {
    let signers = signers(SIGNERS);
    let (after, before) = (1_577_836_800, 1_893_456_000);
    refused(&signers, ECDSA, PAYLOAD, after - 1, "of ben@example.org is not valid yet");
    refused(&signers, ECDSA, PAYLOAD, before + 1, "of ben@example.org has expired");
    assert!(verify(&signers, ECDSA, PAYLOAD, after).is_ok());
    assert!(verify(&signers, ECDSA, PAYLOAD, before).is_ok());
}

#[test]
fn kinds_that_cannot_be_verified_are_named() {
    let signers = signers(SIGNERS);
    let rsa = include_str!("../../tests/fixtures/trust/rsa.sig");
    refused(&signers, rsa, PAYLOAD, NOW, "signatures by RSA keys are not supported in this version");
    let p384 = include_str!("../../tests/fixtures/trust/ecdsa-p384.sig");
    refused(&signers, p384, PAYLOAD, NOW, "ECDSA keys other than P-256 are not supported in this version");
    let certificate = include_str!("../../tests/fixtures/trust/certificate.sig");
    refused(&signers, certificate, PAYLOAD, NOW, "SSH certificates are not supported in this version");
    let pgp = "-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n";
    refused(&signers, pgp, PAYLOAD, NOW, "OpenPGP signatures are not supported in this version");
    refused(&signers, "-----BEGIN SIGNED MESSAGE-----\n", PAYLOAD, NOW, "X.509 signatures are not supported");
}

#[test]
fn c11_garbage_is_refused_in_bounded_time() {
    let signers = signers(SIGNERS);
    let body = |text: &str| format!("-----BEGIN SSH SIGNATURE-----\n{text}\n-----END SSH SIGNATURE-----\n");
    for armor in ["", "garbage", "-----BEGIN SSH SIGNATURE-----", &body(""), &body("U1NIU0lH"), &body("????")] {
        refused(&signers, armor, PAYLOAD, NOW, "malformed");
    }
    refused(&signers, &body(&"A".repeat(10 << 20)), PAYLOAD, NOW, "the limit is");
    // Every byte changed: refused, or still the same signature.
    for idx in 0..ED25519.trim_end().len() {
        let mut armor = ED25519.as_bytes().to_vec();
        armor[idx] ^= 1;
        let Ok(armor) = String::from_utf8(armor) else { continue };
        if let Ok(signer) = verify(&signers, &armor, PAYLOAD, NOW) {
            assert_eq!(signer.principal, "ana@example.org");
        }
        let _ = verify(&signers, &ED25519[..idx], PAYLOAD, NOW).unwrap_err();
    }
}

#[test]
fn good_signatures_name_their_signer() {
    let signers = signers(SIGNERS);
    for armor in [ED25519, ED25519_SHA256, ED25519.trim_end(), &ED25519.replace('\n', "\r\n")] {
        let signer = verify(&signers, armor, PAYLOAD, NOW).unwrap();
        assert_eq!(signer.principal, "ana@example.org");
        assert_eq!(signer.fingerprint, "SHA256:ES4BfJ+5PG0g8DUbfQVCea4E3BIBba7jwxdmwgaK0yM");
        assert!(signer.speaks_for("ana@example.org") && signer.speaks_for("eve@ops.example.org"));
        assert!(!signer.speaks_for("mallory@ops.example.org") && !signer.speaks_for("ana@example.com"));
    }
    assert_eq!(verify(&signers, ECDSA, PAYLOAD, NOW).unwrap().principal, "ben@example.org");
}

#[test]
fn options_decide_what_a_key_may_sign() {
    let entry = |options: &str| signers(&format!("ana {options} {}", ed25519_key()));
    refused(&entry("namespaces=\"file\""), ED25519, PAYLOAD, NOW, "may not sign for `git`");
    refused(&entry("namespaces=\"*,!git\""), ED25519, PAYLOAD, NOW, "may not sign for `git`");
    refused(&entry("cert-authority"), ED25519, PAYLOAD, NOW, "is not in the list");
    refused(&entry("valid-before=\"202412312359\""), ED25519, PAYLOAD, NOW, "has expired");
    refused(&entry("Valid-After=\"20250101000001Z\""), ED25519, PAYLOAD, NOW, "is not valid yet");
    for options in ["namespaces=\"g*\"", "namespaces=\"file,gi?\"", "valid-after=\"20250101\",namespaces=\"git\"", ""] {
        assert!(verify(&entry(options), ED25519, PAYLOAD, NOW).is_ok(), "{options}");
    }
}

#[test]
fn one_valid_line_of_a_key_is_enough() {
    let key = ed25519_key();
    let signers = signers(&format!("old valid-before=\"20200101\" {key}\nnew {key}\n"));
    assert_eq!(verify(&signers, ED25519, PAYLOAD, NOW).unwrap().principal, "new");
}

#[test]
fn bare_public_keys_are_a_list_too() {
    let key = ed25519_key();
    let principal = |text: &str| verify(&signers(text), ED25519, PAYLOAD, NOW).unwrap();
    assert_eq!(principal(&format!("{key} ana@example.org\n")).principal, "ana@example.org");
    assert!(principal(&key).principal.starts_with("SHA256:"));
    assert!(!principal(&format!("{key} *")).speaks_for("root"));
    assert_eq!(principal(&format!("\"ana b\" {key}")).principal, "ana b");
}

#[test]
fn lines_that_cannot_be_read_are_errors_with_their_line() {
    let key = ed25519_key();
    for text in [
        "ana",
        "ana ssh-ed25519",
        "ana ssh-ed25519 AAAA",
        &format!("ana shell=\"x\" {key}"),
        &format!("ana namespaces=git {key}"),
        &format!("ana valid-after=\"2020\" {key}"),
        &format!("ana valid-after=\"20201301\" {key}"),
        &format!("ana valid-after=\"20200102\",valid-before=\"20200101\" {key}"),
        &format!("ana namespaces=\"a\",namespaces=\"b\" {key}"),
        &format!("ana cert-authority=\"x\" {key}"),
        &format!("\"ana {key}"),
        &format!("\"\" {key}"),
        &key.replace("ssh-ed25519", "ecdsa-sha2-nistp256"),
    ] {
        let mut findings = Findings::new();
        let signers = AllowedSigners::parse(&Arc::from("signers"), &format!("# first\n{text}\n"), &mut findings);
        assert!(signers.is_empty(), "{text}");
        let finding = findings.into_iter().next().expect(text);
        assert_eq!(finding.place.map(|it| it.to_string()).as_deref(), Some("signers:2"));
        assert_eq!((finding.severity, finding.code), (Severity::Error, Code::CONFIG), "{text}");
    }
}

#[test]
fn keys_of_other_kinds_are_warnings() {
    let mut findings = Findings::new();
    AllowedSigners::parse(&Arc::from("signers"), SIGNERS, &mut findings);
    let messages: Vec<_> = findings.iter().map(|it| (it.severity, it.message.as_str())).collect();
    let expected = "signatures by RSA keys are not supported in this version: they will be refused";
    assert_eq!(messages, [(Severity::Warning, expected)]);
}

#[test]
fn patterns_match_as_in_openssh() {
    for (patterns, text, expected) in [
        ("*", "", true),
        ("a*c", "abbc", true),
        ("a*c", "abbcd", false),
        ("a?c", "ac", false),
        ("*@x,!eve@x", "eve@x", false),
        ("!eve@x", "ana@x", false),
        ("a,b", "b", true),
        ("**a*", "xxa", true),
        ("", "", true),
    ] {
        assert_eq!(matches_list(patterns, text), expected, "{patterns} {text}");
    }
    assert!(!matches_list(&"*a".repeat(5000), &"a".repeat(4000)));
}
