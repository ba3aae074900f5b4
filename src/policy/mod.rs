//! Rego rules over configurations and renderings, in the manner of conftest.
//!
//! Rules named `deny`, `violation` or `warn` (or `deny_…` and so on) in `package main` give messages; the first two refuse
//! the revision. A policy that cannot be evaluated is an error of its own, never taken for consent.

mod evaluate;
mod load;
mod recursion;
#[cfg(test)]
mod tests;

use crate::place::Place;

/// The package whose rules are asked.
const PACKAGE: &str = "main";

/// The policies of a repository, parsed and checked.
#[derive(Clone, Debug)]
pub struct Policies {
    engine: regorus::Engine,
    questions: Vec<Question>,
}

/// A rule that is asked.
#[derive(Clone, Debug, PartialEq)]
struct Question {
    /// Its name, such as `deny_root`.
    name: String,
    /// Whether its messages refuse the revision.
    refuses: bool,
    /// Where it is, when it is in one place.
    place: Option<Place>,
}

impl Policies {
    /// Returns whether there is no rule to ask.
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
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
