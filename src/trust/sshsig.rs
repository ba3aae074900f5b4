//! One signature in OpenSSH's format.

use super::bad;
use crate::finding::Finding;
use base64::Engine;
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey, SshSig};

/// The longest armor that is read; an RSA signature with its certificate has 4 KiB.
const MAX_ARMOR_BYTES: usize = 64 << 10;

/// A signature by a key of a kind that can be verified.
pub(super) struct Signature(SshSig);

/// Reads the armor of a signature, or says which kind it is that cannot be verified.
pub(super) fn parse(armor: &str) -> Result<Signature, Finding> {
    if armor.len() > MAX_ARMOR_BYTES {
        return Err(bad(format!("the signature has {} bytes; the limit is {MAX_ARMOR_BYTES}", armor.len())));
    }
    let armor = armor.trim();
    for (start, kind) in
        [("-----BEGIN PGP ", "OpenPGP signatures"), ("-----BEGIN SIGNED MESSAGE-----", "X.509 signatures")]
    {
        if armor.starts_with(start) {
            return Err(unsupported(kind));
        }
    }
    let malformed = || bad("the signature is malformed");
    let algorithm = algorithm(armor).ok_or_else(malformed)?;
    if let Some(kind) = refused_kind(&algorithm) {
        return Err(unsupported(kind));
    }
    SshSig::from_pem(armor).map(Signature).map_err(|_| malformed())
}

fn unsupported(kind: &str) -> Finding {
    bad(format!("{kind} are not supported in this version")).hint("sign with an SSH key of the kind ed25519")
}

/// Names the kind of key when signatures by it cannot be verified.
pub(super) fn refused_kind(algorithm: &str) -> Option<&'static str> {
    match algorithm {
        "ssh-ed25519" | "ecdsa-sha2-nistp256" => None,
        "ssh-rsa" => Some("signatures by RSA keys"),
        "ssh-dss" => Some("signatures by DSA keys"),
        "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => Some("signatures by ECDSA keys other than P-256"),
        it if it.ends_with("-cert-v01@openssh.com") => Some("signatures by SSH certificates"),
        it if it.starts_with("sk-") => Some("signatures by security keys"),
        _ => Some("signatures by keys of this kind"),
    }
}

/// Returns the kind of key that the armor's first bytes name.
fn algorithm(armor: &str) -> Option<String> {
    let body = armor.strip_prefix("-----BEGIN SSH SIGNATURE-----")?;
    let body: String = body.split("-----END").next()?.chars().filter(|it| !it.is_whitespace()).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
    let rest = bytes.strip_prefix(b"SSHSIG\0\0\0\x01")?;
    let (_, key) = rest.split_at_checked(4)?;
    let (length, key) = key.split_at_checked(4)?;
    let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
    String::from_utf8(key.get(..length)?.to_vec()).ok()
}

impl Signature {
    pub fn namespace(&self) -> &str {
        self.0.namespace()
    }

    pub fn public_key(&self) -> &KeyData {
        self.0.public_key()
    }

    pub fn fingerprint(&self) -> String {
        self.0.public_key().fingerprint(HashAlg::Sha256).to_string()
    }

    /// Returns whether the key signed `payload`.
    pub fn fits(&self, payload: &[u8]) -> bool {
        let key = PublicKey::from(self.0.public_key().clone());
        key.verify(self.0.namespace(), payload, &self.0).is_ok()
    }
}
