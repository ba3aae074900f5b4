//! Who signed which commit, and whether that is enough.
//!
//! SSH signatures by ed25519 and ECDSA P-256 keys are verified; other kinds are refused by name, never passed over. What
//! a key may sign is judged at the time that the caller gives: the time at which the commit is met, not the one that it
//! claims, because who holds an expired key can write any date into a commit.

mod signers;
mod sshsig;
#[cfg(test)]
mod tests;

pub use signers::AllowedSigners;

use crate::finding::{Code, Finding};
use signers::matches_list;

/// The namespace that git signs commits and tags in.
const NAMESPACE: &str = "git";

/// The key that made a signature, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The first of the names that the list of signers gives to the key.
    pub principal: String,
    /// The key's fingerprint, `SHA256:…`.
    pub fingerprint: String,
    principals: String,
}

impl Signer {
    /// Returns whether the list of signers lets the key speak for `identity`, such as a committer's address.
    pub fn speaks_for(&self, identity: &str) -> bool {
        matches_list(&self.principals, identity)
    }
}

/// Verifies the signature of a commit or tag. `armor` is the signature as git keeps it, `payload` what was signed, and
/// `time` the moment, in seconds since the epoch, at which the key must be valid.
pub fn verify(signers: &AllowedSigners, armor: &str, payload: &[u8], time: i64) -> Result<Signer, Finding> {
    let signature = sshsig::parse(armor)?;
    let fingerprint = signature.fingerprint();
    if signature.namespace() != NAMESPACE {
        let namespace: String = signature.namespace().chars().filter(|it| !it.is_control()).take(40).collect();
        return Err(bad(format!("the signature was made for `{namespace}`, not for `{NAMESPACE}`")));
    }
    let mut entries = signers.of_key(signature.public_key()).peekable();
    if entries.peek().is_none() {
        return Err(bad(format!("the key {fingerprint} is not in the list of allowed signers"))
            .hint("add the key to `verify.allowed_signers` if its owner may change this host"));
    }
    if !signature.fits(payload) {
        return Err(bad(format!("the signature of {fingerprint} does not fit: what it signs was altered")));
    }
    let mut refusal = None;
    for entry in entries {
        match entry.permits(NAMESPACE, time) {
            Ok(()) => {
                let (principal, principals) = (entry.principal(), entry.principals.clone());
                return Ok(Signer { principal, fingerprint, principals });
            }
            Err(reason) => refusal = Some(format!("the key {fingerprint} of {} {reason}", entry.principal())),
        }
    }
    Err(bad(refusal.unwrap_or_default()))
}

fn bad(message: impl Into<String>) -> Finding {
    Finding::error(Code::SIG_BAD, message)
}
