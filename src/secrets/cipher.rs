//! One encrypted value: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.

use super::number;
use super::time::{Layout, Time};
use super::tree::Scalar;
use aes_gcm::aead::consts::{U12, U16, U32};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{AesGcm, Nonce, aes::Aes256};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use regex::Regex;
use std::ops::Deref;
use std::sync::LazyLock;
use zeroize::Zeroizing;

/// The key that encrypts the values of one file.
pub(super) type DataKey = Zeroizing<[u8; 32]>;

/// Fills bytes that nobody can guess.
pub(super) type Random<'a> = &'a mut dyn FnMut(&mut [u8]);

/// What SOPS takes for an encrypted value; it does not look at what follows the bracket.
static FORM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^ENC\[AES256_GCM,data:(.+),iv:(.+),tag:(.+),type:(.+)\]").expect("a constant expression that compiles")
});

/// Base64 as Go reads it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// What was encrypted.
#[derive(Debug, PartialEq)]
pub(super) enum Opened {
    Value(Scalar),
    Comment(String),
}

/// Why a value cannot be decrypted; never says what the value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("is not encrypted, although the file's rules say that it is")]
    NotEncrypted,
    #[error("is not a well-formed encrypted value")]
    Malformed,
    #[error("cannot be decrypted: it was altered, or moved here from another key or file")]
    Altered,
    #[error("does not fit the type that its encrypted form names")]
    Type,
}

/// Decrypts one value. `path` is the text that binds the value to its position.
pub(super) fn open(text: &str, key: &DataKey, path: &str) -> Result<Opened, Fault> {
    let parts = FORM.captures(text).ok_or(Fault::NotEncrypted)?;
    let bytes = |idx: usize| {
        let packed: String = parts[idx].chars().filter(|it| *it != '\r').collect();
        BASE64.decode(packed).map_err(|_| Fault::Malformed)
    };
    let (mut sealed, iv, tag) = (bytes(1)?, bytes(2)?, bytes(3)?);
    if tag.len() != 16 {
        return Err(Fault::Malformed);
    }
    sealed.extend_from_slice(&tag);
    let plain = decrypt(key, &iv, &sealed, path.as_bytes())?;
    typed(plain, &parts[4])
}

/// Encrypts one value of a type that [`open`] knows.
pub(super) fn seal(plain: &[u8], kind: &str, key: &DataKey, path: &str, random: Random<'_>) -> String {
    let mut iv = [0; 32];
    random(&mut iv);
    let payload = Payload { msg: plain, aad: path.as_bytes() };
    let sealed = AesGcm::<Aes256, U32>::new(key.deref().into()).encrypt(&Nonce::<U32>::from(iv), payload);
    let sealed = sealed.expect("a value is shorter than the 64 GiB that AES-GCM takes");
    let (data, tag) = sealed.split_at(plain.len());
    let [data, iv, tag] = [data, &iv, tag].map(|it| BASE64.encode(it));
    format!("ENC[AES256_GCM,data:{data},iv:{iv},tag:{tag},type:{kind}]")
}

/// Decrypts with the length of nonce that the value has: SOPS writes 32 bytes, others have written 12 and 16.
fn decrypt(key: &DataKey, iv: &[u8], sealed: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let payload = Payload { msg: sealed, aad };
    let key = key.deref().into();
    let plain = match iv.len() {
        32 => AesGcm::<Aes256, U32>::new(key).decrypt(&nonce(iv)?, payload),
        16 => AesGcm::<Aes256, U16>::new(key).decrypt(&nonce(iv)?, payload),
        12 => AesGcm::<Aes256, U12>::new(key).decrypt(&nonce(iv)?, payload),
        _ => return Err(Fault::Malformed),
    };
    plain.map(Zeroizing::new).map_err(|_| Fault::Altered)
}

fn nonce<N: aes_gcm::aead::array::ArraySize>(iv: &[u8]) -> Result<Nonce<N>, Fault> {
    Nonce::<N>::try_from(iv).map_err(|_| Fault::Malformed)
}

fn typed(plain: Zeroizing<Vec<u8>>, kind: &str) -> Result<Opened, Fault> {
    if kind == "str" {
        return Ok(Opened::Value(Scalar::of_bytes(plain.to_vec())));
    }
    let text = std::str::from_utf8(&plain).map_err(|_| Fault::Type)?;
    let scalar = match kind {
        "comment" => return Ok(Opened::Comment(text.to_owned())),
        "int" => number::atoi(text).map(Scalar::Int),
        "float" => number::parse_float(text).map(Scalar::Float),
        "bool" => match text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(Scalar::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(Scalar::Bool(false)),
            _ => None,
        },
        "time" => Time::parse(text, Layout::Strict).map(|it| Scalar::Time(it.full())),
        _ => None,
    };
    scalar.map(Opened::Value).ok_or(Fault::Type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(plain: &str, kind: &str, expected: Result<Opened, Fault>) {
        let key = DataKey::new([7; 32]);
        let text = seal(plain.as_bytes(), kind, &key, "a:", &mut |it| it.fill(9));
        assert_eq!(open(&text, &key, "a:"), expected);
        assert_eq!(open(&text, &key, "b:"), Err(Fault::Altered));
    }

    #[test]
    fn g05_a_value_must_fit_its_type() {
        check("s3cret", "int", Err(Fault::Type));
        check("9223372036854775808", "int", Err(Fault::Type));
        check("1e999", "float", Err(Fault::Type));
        check("yes", "bool", Err(Fault::Type));
        check("2001-1-1", "time", Err(Fault::Type));
        check("x", "bytes", Err(Fault::Type));
        check("x", "xyz", Err(Fault::Type));
    }

    #[test]
    fn every_type_is_read() {
        check("+007", "int", Ok(Opened::Value(Scalar::Int(7))));
        check("1.5", "float", Ok(Opened::Value(Scalar::Float(1.5))));
        check("+Inf", "float", Ok(Opened::Value(Scalar::Float(f64::INFINITY))));
        check("True", "bool", Ok(Opened::Value(Scalar::Bool(true))));
        check("x", "str", Ok(Opened::Value(Scalar::Text("x".into()))));
        check(" note", "comment", Ok(Opened::Comment(" note".into())));
        check("2001-12-14T00:00:00.10Z", "time", Ok(Opened::Value(Scalar::Time("2001-12-14T00:00:00.1Z".into()))));
    }

    #[test]
    fn what_is_not_encrypted_is_said_to_be_so() {
        let key = DataKey::new([0; 32]);
        for text in ["hunter2", "ENC[AES256_GCM,data:,iv:AA==,tag:AA==,type:str]", "ENC[", " ENC[AES256_GCM,"] {
            assert_eq!(open(text, &key, "a:"), Err(Fault::NotEncrypted));
        }
        let malformed = "ENC[AES256_GCM,data:????,iv:AA==,tag:AA==,type:str]";
        assert_eq!(open(malformed, &key, "a:"), Err(Fault::Malformed));
    }
}
