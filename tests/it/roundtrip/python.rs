//! One Python process that reads and writes documents for all tests of this run.

use crate::servers::{is_left_out, program};
use headfast::document::{Entry, Format, Limits, Map, MergeKeys, Node, Value, parse};
use headfast::finding::Findings;
use headfast::place::Place;
use serde_json::{Value as Json, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What HEADFAST_TESTS_WITHOUT calls these tests.
pub const NAME: &str = "python";

/// A process that ends with this one, when its input does.
struct Python {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Python {
    fn start() -> Python {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(program("python3", "python3", NAME));
        command.arg("-B").arg(root.join("tests/fixtures/python/documents.py"));
        // Where tests/run installs PyYAML, when the system has none.
        command.env("PYTHONPATH", root.join("target/pypi")).env("PYTHONUTF8", "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 starts");
        let answers = BufReader::new(child.stdout.take().expect("is a pipe"));
        Python { child, answers }
    }

    fn ask(&mut self, question: &Json) -> Json {
        let mut line = question.to_string();
        line.push('\n');
        let input = self.child.stdin.as_mut().expect("is a pipe");
        let mut answer = String::new();
        let is_asked = input.write_all(line.as_bytes()).and_then(|()| self.answers.read_line(&mut answer)).is_ok();
        assert!(
            is_asked && !answer.is_empty(),
            "python3 has ended: these tests need Python 3.11 or newer with PyYAML, the package `python3-yaml`; \
             set HEADFAST_TESTS_WITHOUT={NAME} to leave them out"
        );
        serde_json::from_str(&answer).expect("an answer")
    }
}

/// Whether these tests are to be left out.
pub fn is_without() -> bool {
    is_left_out(NAME)
}

fn ask(question: &Json) -> Json {
    static PYTHON: OnceLock<Mutex<Python>> = OnceLock::new();
    let python = PYTHON.get_or_init(|| Mutex::new(Python::start()));
    python.lock().unwrap_or_else(PoisonError::into_inner).ask(question)
}

/// Returns what a parser of Python reads, tagged; its complaint when it refuses the text; or nothing when there is no
/// such parser.
pub fn read(parser: &str, text: &str) -> Option<Result<Json, String>> {
    let answer = ask(&json!({"read": parser, "text": text}));
    match (answer.get("value"), answer.get("error")) {
        (Some(value), _) => Some(Ok(value.clone())),
        (_, Some(error)) => Some(Err(error.as_str().unwrap_or_default().to_owned())),
        _ => None,
    }
}

/// Returns what Python writes.
#[track_caller]
pub fn written(writer: &str, value: &Json, options: &Json) -> String {
    let answer = ask(&json!({"write": writer, "value": value, "options": options}));
    answer["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Returns what headfast reads, with its mistakes.
pub fn headfast(format: Format, text: &str) -> (Option<Node>, Findings) {
    let mut findings = Findings::new();
    let limits = Limits::default();
    let node = parse(format, &"f".into(), text.as_bytes(), &limits, MergeKeys::Apply, &mut findings);
    (node, findings)
}

pub fn node(value: Value) -> Node {
    Node::new(value, Place::whole("made"))
}

pub fn map(entries: Vec<(String, Value)>) -> Value {
    let entry = |(key, value)| Entry { key, place: Place::whole("made"), node: node(value) };
    Value::Map(entries.into_iter().map(entry).collect::<Map>())
}

/// Returns a value as the Python process tags it.
pub fn tagged(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(it) => json!(it),
        Value::Int(it) => json!({"int": it.to_string()}),
        Value::Float(it) => json!({"float": format!("{:016x}", it.to_bits())}),
        Value::String(it) => json!(it),
        Value::List(items) => Json::Array(items.iter().map(|it| tagged(&it.value)).collect()),
        Value::Map(map) => {
            json!({"map": map.iter().map(|it| json!([it.key, tagged(&it.node.value)])).collect::<Vec<_>>()})
        }
    }
}

/// Returns a tagged value with the keys of all maps in the order of the alphabet.
pub fn sorted(tagged: &Json) -> Json {
    match tagged {
        Json::Array(items) => items.iter().map(sorted).collect(),
        Json::Object(tag) => {
            let Some(pairs) = tag.get("map").and_then(Json::as_array) else { return tagged.clone() };
            let mut pairs: Vec<Json> = pairs.iter().map(sorted).collect();
            pairs.sort_by_key(|it| it[0].to_string());
            json!({"map": pairs})
        }
        _ => tagged.clone(),
    }
}

/// Returns a tagged value as a reader of a table understands it.
pub fn shown(tagged: &Json) -> String {
    match tagged {
        Json::String(text) => format!("{text:?}"),
        Json::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Json::Object(tag) => match tag.iter().next() {
            Some((name, Json::String(it))) if name == "int" => it.clone(),
            Some((name, Json::String(it))) if name == "float" => {
                format!("{:?}", f64::from_bits(u64::from_str_radix(it, 16).expect("bits")))
            }
            Some((name, Json::Array(pairs))) if name == "map" => {
                let pairs: Vec<String> =
                    pairs.iter().map(|it| format!("{}: {}", shown(&it[0]), shown(&it[1]))).collect();
                format!("{{{}}}", pairs.join(", "))
            }
            Some((name, Json::String(it))) => format!("{name} {it}"),
            _ => tagged.to_string(),
        },
        _ => tagged.to_string(),
    }
}
