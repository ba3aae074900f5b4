//! SOPS files made here, for what sops does not write.

use super::{KEYS, copied, layer, manager};
use crate::document::Value;
use crate::finding::{Code, Finding};
use crate::secrets::cipher::DataKey;
use crate::secrets::shamir;
use aes_gcm::aead::consts::U32;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{AesGcm, Nonce, aes::Aes256};
use base64::Engine;
use sha2::{Digest, Sha512};

/// The time that the files made here were encrypted.
const TIME: &str = "2026-11-22T10:37:34Z";

/// Encrypts one file: values first, then the `sops` block, whose MAC covers what was said to be in the file.
pub(super) struct Sops {
    key: DataKey,
    hash: Sha512,
}

impl Sops {
    pub fn new() -> Self {
        Sops { key: DataKey::new([42; 32]), hash: Sha512::new() }
    }

    fn seal(&self, plain: &str, kind: &str, aad: &str) -> String {
        let nonce = Nonce::<U32>::try_from([3; 32].as_slice()).unwrap();
        let payload = Payload { msg: plain.as_bytes(), aad: aad.as_bytes() };
        let key: &[u8; 32] = &self.key;
        let sealed = AesGcm::<Aes256, U32>::new(key.into()).encrypt(&nonce, payload).unwrap();
        let (data, tag) = sealed.split_at(plain.len());
        let [data, iv, tag] = [data, &[3; 32], tag].map(|it| base64::engine::general_purpose::STANDARD.encode(it));
        format!("ENC[AES256_GCM,data:{data},iv:{iv},tag:{tag},type:{kind}]")
    }

    /// Encrypts a value at a path such as `a:b:`.
    pub fn value(&mut self, plain: &str, kind: &str, path: &str) -> String {
        if kind != "comment" {
            self.hash.update(plain);
        }
        self.seal(plain, kind, path)
    }

    /// Counts an unencrypted value into the MAC.
    pub fn plain<'a>(&mut self, text: &'a str) -> &'a str {
        self.hash.update(text);
        text
    }

    fn mac(&self) -> String {
        let mac: String = self.hash.clone().finalize().iter().map(|it| format!("{it:02X}")).collect();
        self.seal(&mac, "str", TIME)
    }

    fn enc(&self, idx: usize, secret: &[u8]) -> String {
        let recipient: age::x25519::Recipient = manager(&KEYS[idx..=idx]).recipients()[0].parse().unwrap();
        age::encrypt_and_armor(&recipient, secret).unwrap()
    }

    /// Returns the `sops` block in JSON, which YAML takes as well.
    pub fn block(&self) -> String {
        let enc = serde_json::to_string(&self.enc(0, self.key.as_slice())).unwrap();
        let mac = self.mac();
        format!(
            r#"{{"age": [{{"recipient": "x", "enc": {enc}}}], "lastmodified": "{TIME}", "mac": "{mac}", "version": "3.11.0"}}"#
        )
    }

    fn flat(&self) -> String {
        let enc = self.enc(0, self.key.as_slice()).replace('\n', "\\n");
        let mac = self.mac();
        format!("sops_age__list_0__map_enc={enc}\nsops_lastmodified={TIME}\nsops_mac={mac}\nsops_version=3.11.0\n")
    }
}

fn text(name: &str, bytes: &str) -> Result<String, Finding> {
    copied(&manager(&KEYS), name, bytes.as_bytes()).map(|it| String::from_utf8(it).unwrap())
}

#[test]
fn a_copied_file_keeps_its_spelling_and_loses_the_block_wherever_it_stands() {
    let mut sops = Sops::new();
    let (a, b) = (sops.value("it's \u{7}", "str", "a:"), sops.value("8080", "int", "l:"));
    let plain = sops.plain("31");
    assert_eq!(plain, "31");
    let (c, block) = (sops.value("yes", "str", "m:c:"), sops.block());
    let yaml =
        format!("# top\na:   '{a}' # one\nl: [ \"{b}\" ]\nn_unencrypted: 0x1F\nm: {{c: \"{c}\"}}\nsops: {block}\n");
    let expected = "# top\na:   \"it's \\x07\" # one\nl: [ 8080 ]\nn_unencrypted: 0x1F\nm: {c: \"yes\"}\n";
    assert_eq!(text("a.yaml", &yaml).unwrap(), expected);
    let first = format!("sops: {block}\na: {a}\nl: [ \"{b}\" ]\nn_unencrypted: 0x1F\nm: {{c: \"{c}\"}}\n");
    assert_eq!(
        text("a.yaml", &first).unwrap(),
        "a: \"it's \\x07\"\nl: [ 8080 ]\nn_unencrypted: 0x1F\nm: {c: \"yes\"}\n"
    );
    let json = format!(r#"{{"a":"{a}","l":["{b}"],"n_unencrypted":31,"m":{{"c":"{c}"}},"sops":{block}}}"#);
    let expected = r#"{"a":"it's \u0007","l":[8080],"n_unencrypted":31,"m":{"c":"yes"}}"#;
    assert_eq!(text("a.json", &json).unwrap(), expected);
    let node = layer(&manager(&KEYS), "a.yaml", yaml.as_bytes()).unwrap();
    assert_eq!(node.get("n_unencrypted").map(|it| &it.value), Some(&Value::Int(31)));
}

#[test]
fn comments_that_sops_made_elements_become_comments_again() {
    let mut sops = Sops::new();
    let comment = sops.value(" note", "comment", "l:");
    let value = sops.value("v", "str", "l:");
    let nested = sops.value(" only", "comment", "e:");
    let block = sops.block();
    let yaml = format!("l:\n- {comment}\n- {value}\ne:\n- {nested}\nsops: {block}\n");
    assert_eq!(text("a.yaml", &yaml).unwrap(), "l:\n# note\n- v\ne:\n    [] # only\n");
    let node = layer(&manager(&KEYS), "a.yaml", yaml.as_bytes()).unwrap();
    assert_eq!(node.get("l").and_then(|it| it.as_list()).map(<[_]>::len), Some(1));
    assert_eq!(node.get("e").and_then(|it| it.as_list()).map(<[_]>::len), Some(0));
    let flow = format!("{{l: ['{comment}', '{value}', '{comment}'], e: [\"{nested}\"], sops: {block}}}");
    assert_eq!(text("a.yaml", &flow).unwrap(), "{l: [v], e: []}");
}

#[test]
fn aliases_and_merge_keys_are_followed() {
    let mut sops = Sops::new();
    let x = sops.value("1", "int", "m:<<:x:");
    let y = sops.value("own", "str", "m:y:");
    sops.plain("hi");
    sops.plain("hi");
    let block = sops.block();
    let yaml = format!(
        "m:\n  <<:\n    x: {x}\n    y: null\n  y: {y}\na_unencrypted: &a hi\nb_unencrypted: *a\nsops: {block}\n"
    );
    let node = layer(&manager(&KEYS), "a.yaml", yaml.as_bytes()).unwrap();
    assert_eq!(node.to_json().to_string(), r#"{"m":{"x":1,"y":"own"},"a_unencrypted":"hi","b_unencrypted":"hi"}"#);
    assert!(node.get("m.x").is_some_and(|it| it.secret));
    assert!(text("a.yaml", &yaml).unwrap().ends_with("a_unencrypted: &a hi\nb_unencrypted: *a\n"));
}

#[test]
fn a_dotenv_layer_is_read_as_other_dotenv_files_are() {
    let mut sops = Sops::new();
    let name = sops.value("\"a b\"", "str", "NAME:");
    let plain = sops.plain("'x y'");
    let port = sops.value("8081", "str", "export PORT:");
    let bytes = format!("# note\nNAME={name}\nP_unencrypted={plain}\nexport PORT={port}\n{}", sops.flat());
    let node = layer(&manager(&KEYS), "a.env", bytes.as_bytes()).unwrap();
    assert_eq!(node.to_json().to_string(), r#"{"NAME":"a b","P_unencrypted":"x y","PORT":"8081"}"#);
    let is_secret = |key: &str| node.get(key).unwrap().secret;
    assert!(is_secret("NAME") && is_secret("PORT") && !is_secret("P_unencrypted"));
    assert_eq!(text("a.env", &bytes).unwrap(), "# note\nNAME=\"a b\"\nP_unencrypted='x y'\nexport PORT=8081\n");
}

#[test]
fn a_layer_that_was_encrypted_as_a_whole_is_secret_as_a_whole() {
    let mut sops = Sops::new();
    let data = sops.value("[server]\nport = 8080\n", "str", "data:");
    let bytes = format!(r#"{{"data": "{data}", "sops": {}}}"#, sops.block());
    let node = layer(&manager(&KEYS), "a.toml", bytes.as_bytes()).unwrap();
    let port = node.get("server.port").unwrap();
    assert_eq!((&port.value, port.secret, port.place.to_string().as_str()), (&Value::Int(8080), true, "a.toml"));
    let mut sops = Sops::new();
    let data = sops.value("hunter2 hunter2", "str", "data:");
    let bytes = format!(r#"{{"data": "{data}", "sops": {}}}"#, sops.block());
    let refusal = layer(&manager(&KEYS), "a.toml", bytes.as_bytes()).unwrap_err();
    assert!(!format!("{refusal:?}").contains("hunter2"), "{refusal:?}");
}

#[test]
fn values_that_a_configuration_cannot_hold_are_refused() {
    for (plain, kind, code) in [("+Inf", "float", Code::NUMBER), ("NaN", "float", Code::NUMBER)] {
        let mut sops = Sops::new();
        let value = sops.value(plain, kind, "a:");
        let yaml = format!("a: {value}\nsops: {}\n", sops.block());
        assert_eq!(layer(&manager(&KEYS), "a.yaml", yaml.as_bytes()).unwrap_err().code, code);
        assert!(text("a.yaml", &yaml).is_ok());
        let json = format!(r#"{{"a": "{value}", "sops": {}}}"#, sops.block());
        assert_eq!(text("a.json", &json).unwrap_err().code, Code::FORMAT);
    }
}

#[test]
fn the_numbers_of_json_are_whole_or_doubles_in_the_mac() {
    for in_mac in ["9007199254740993", "9007199254740992"] {
        let mut sops = Sops::new();
        sops.plain(in_mac);
        let json = format!(r#"{{"n_unencrypted": 9007199254740993, "sops": {}}}"#, sops.block());
        assert!(layer(&manager(&KEYS), "a.json", json.as_bytes()).is_ok(), "{in_mac}");
        let yaml = layer(&manager(&KEYS), "a.yaml", json.as_bytes());
        assert_eq!(yaml.is_ok(), in_mac.ends_with('3'), "{in_mac}");
    }
}

#[test]
fn shares_of_the_key_are_put_together() {
    let sops = Sops::new();
    let share = |x: u8| {
        let mut share: Vec<u8> = sops.key.iter().map(|it| it ^ shamir::multiply(9, x)).collect();
        share.push(x);
        share
    };
    let group = |idx: usize| {
        let enc = serde_json::to_string(&sops.enc(idx, &share(u8::try_from(idx + 1).unwrap()))).unwrap();
        format!(r#"{{"hc_vault": null, "age": [{{"recipient": "", "enc": {enc}}}]}}"#)
    };
    let block = |threshold: usize| {
        let groups =
            format!(r#""key_groups": [{}, {}, {}], "shamir_threshold": {threshold}"#, group(0), group(1), group(2));
        let (mac, rest) = (sops.mac(), r#""version": "3.11.0""#);
        format!(r#"{{"sops": {{"age": [], {groups}, "lastmodified": "{TIME}", "mac": "{mac}", {rest}}}}}"#)
    };
    assert!(layer(&manager(&KEYS[1..]), "a.json", block(2).as_bytes()).is_ok());
    assert_eq!(layer(&manager(&KEYS[1..]), "a.json", block(3).as_bytes()).unwrap_err().code, Code::KEY);
    assert_eq!(layer(&manager(&KEYS[..1]), "a.json", block(1).as_bytes()).unwrap_err().code, Code::KEY);
}
