//! Rego rules over configurations and rendered files, in the manner of conftest.
//!
//! Rules named `deny`, `violation` or `warn` (or `deny_…` and so on) give messages; those of the first two refuse the
//! revision, unless the package's rule `exception` names them. A policy that cannot be evaluated is an error of its own, never
//! taken for consent.

mod load;
mod read;
mod data;
mod builtins;
mod net;
mod origin;
mod evaluate;
mod input;
mod exceptions;
mod heads;
mod answer;
mod unit;
mod mistakes;
mod recursion;
#[cfg(test)]
mod tests;

pub use evaluate::Subject;
pub use input::Input;
pub use read::{Group, groups};
pub use unit::{Outcome, Tested, test};

use crate::document::Node;
use crate::manifest::Packages;
use crate::place::Place;
use std::time::Duration;

/// How long one rule may take.
const MAX_TIME: Duration = Duration::from_secs(5);
/// How long one rule may take for one of many rendered files.
const MAX_TIME_OF_FILE: Duration = Duration::from_secs(1);

/// Policies that are asked together, parsed and checked.
#[derive(Clone, Debug)]
pub struct Policies {
    engine: regorus::Engine,
    /// Where what the engine reads was written.
    origins: origin::Origins,
    questions: Vec<Question>,
    /// The rules whose names begin with `test_` or `todo_test_`.
    tests: Vec<RuleName>,
    /// The packages that have exceptions.
    exceptions: Vec<Vec<String>>,
    /// Rules that are named as if they wanted to be asked, and are not.
    unasked: Vec<RuleName>,
    /// What rules read of `input`, and where.
    reads: Vec<(Vec<String>, Place)>,
    packages: Packages,
}

/// What policies are made from.
#[derive(Clone, Debug, Default)]
struct Sources {
    /// Path and content of Rego files.
    rules: Vec<(String, Vec<u8>)>,
    /// The merged data documents.
    data: Option<Node>,
    /// The packages whose rules are asked.
    packages: Packages,
}

/// A rule by name and place.
#[derive(Clone, Debug, PartialEq)]
struct RuleName {
    package: Vec<String>,
    name: String,
    place: Place,
    is_function: bool,
}

/// A rule that is asked.
#[derive(Clone, Debug, PartialEq)]
struct Question {
    /// The package that it is in.
    package: Vec<String>,
    /// Its name, such as `deny_root`.
    name: String,
    /// Whether its messages refuse the revision.
    refuses: bool,
    /// Where its definitions are.
    places: Vec<Place>,
}

impl Policies {
    /// Returns whether there is no rule to ask.
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// Returns the paths into `input` that rules read, as far as they are written out, and where.
    pub fn reads(&self) -> &[(Vec<String>, Place)] {
        &self.reads
    }
}

/// Returns whether the messages of a rule with this name refuse the revision; `None` for the name of a helper.
fn refuses(name: &str) -> Option<bool> {
    let is = |kind: &str| name.strip_prefix(kind).is_some_and(|it| it.is_empty() || it.starts_with('_'));
    match () {
        () if is("deny") || is("violation") => Some(true),
        () if is("warn") => Some(false),
        () => None,
    }
}

/// Returns a rule's full name as people write it: `main.deny_root`.
fn full_name(package: &[String], name: &str) -> String {
    format!("{}.{name}", package.join("."))
}

/// Returns the path of a rule as the engine wants it: `data.main["a-b"].deny`.
fn rule_path(package: &[String], name: &str) -> String {
    let mut path = "data".to_owned();
    for step in package.iter().map(String::as_str).chain([name]) {
        let is_plain = step.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')
            && !step.starts_with(|it: char| it.is_ascii_digit());
        path.push_str(&if is_plain { format!(".{step}") } else { format!("[{}]", serde_json::Value::from(step)) });
    }
    path
}
