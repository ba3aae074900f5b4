//! Trees for properties, and the runner that says from which seed they came.

use super::python::map;
use crate::fuzz::{random, setting};
use headfast::document::Value;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Tries a property with values made from a seed, which a failure names; `HEADFAST_SEED` repeats one, and
/// `HEADFAST_FUZZ=10` tries ten times as many.
#[track_caller]
pub fn try_all<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let seed = setting("HEADFAST_SEED").unwrap_or_else(random);
    let cases = u32::try_from(u64::from(cases) * setting("HEADFAST_FUZZ").unwrap_or(1)).unwrap_or(u32::MAX);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    if let Err(error) = runner.run(strategy, property) {
        panic!("{error}\nHEADFAST_SEED={seed} repeats this");
    }
}

/// Texts that some reader may take for something else.
pub const TEXTS: [&str; 84] = [
    "",
    "no",
    "yes",
    "On",
    "y",
    "N",
    "true",
    "False",
    "null",
    "Null",
    "~",
    "0644",
    "08",
    "0o17",
    "0x1F",
    "0b11",
    "1.10",
    "1e3",
    "1e-3",
    "1.5e3",
    "1_000",
    "1:30",
    "190:20:30",
    "1:30.5",
    "2001-01-01",
    "2001-01-01T00:00:00Z",
    ".inf",
    "-.INF",
    ".nan",
    ".5",
    "5.",
    "+.5e1",
    "-",
    "- a",
    "-1",
    "+1",
    "=",
    "<<",
    " leading",
    "trailing ",
    "a: b",
    "a:",
    ":a",
    "a:b",
    "http://x/y?z=1#f",
    "#x",
    "a #b",
    "a\t#b",
    "a\u{a0}#b",
    "a ;b",
    "a#b",
    "'",
    "\"",
    "it's \"so\" `$HOME` \\n",
    "$(x)",
    "${x}",
    "{a}",
    "[a]",
    "&a",
    "*a",
    "!a",
    "|",
    ">",
    "%a",
    "@a",
    "? a",
    "a\tb",
    "---",
    "...",
    "--- a",
    "ünï cødé 日本",
    "a  b",
    "\\",
    "\\\\",
    "a\\",
    "a,b;c",
    "a\nb\n",
    "\na",
    "a\n  \nb ",
    "a\r\nb",
    "\u{85}",
    "\u{2028}a\u{2029}",
    "\u{feff}a",
    "\u{202e}x\u{7f}",
];

pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(TEXTS.to_vec()).prop_map(str::to_owned),
        3 => "[ -~]{0,12}",
        2 => "\\PC{0,8}",
        2 => "[-+0-9.eExo_:]{1,7}",
        3 => "[a-z0-9:#'\"\\\\ \n\t-]{0,16}",
        1 => prop::collection::vec(any::<char>(), 0..6).prop_map(|it| it.into_iter().collect::<String>()),
    ]
}

pub fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(|it| Value::Int(it.into())),
        (-20..100i128).prop_map(Value::Int),
        any::<f64>().prop_filter("finite", |it| it.is_finite()).prop_map(Value::Float),
        prop::sample::select(vec![0.0, -0.0, 1.0, 1e16, 1e22, 1.5e300, 5e-324, 1e-7, 0.1]).prop_map(Value::Float),
    ]
}

/// Any tree; null is left out for formats that have none.
pub fn tree(with_null: bool) -> impl Strategy<Value = Value> {
    let null = if with_null { Value::Null } else { Value::Bool(true) };
    let leaf = prop_oneof![
        1 => Just(null),
        1 => any::<bool>().prop_map(Value::Bool),
        3 => number(),
        6 => text().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 30, 5, |below| {
        prop_oneof![
            prop::collection::vec(below.clone(), 0..5).prop_map(list),
            prop::collection::vec((text(), below), 0..5).prop_map(map),
        ]
    })
}

/// A map of words, as dotenv and INI hold.
pub fn words(key: &'static str) -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        1 => any::<bool>().prop_map(Value::Bool),
        1 => any::<i64>().prop_map(|it| Value::Int(it.into())),
        6 => text().prop_map(Value::String),
    ];
    prop::collection::vec((key, word), 0..5).prop_map(map)
}

fn list(items: Vec<Value>) -> Value {
    Value::List(items.into_iter().map(super::python::node).collect())
}
