//! What `check` prints.

use super::VERSION;
use crate::finding::{Merged, Severity};
use serde::Serialize;

/// What `check` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The version of the shape.
    pub version: u32,
    /// What is wrong, in the order in which it was found; what several environments have alike is there once.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// Its documented name.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// The file, when it is known.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column in characters, from 1.
    pub column: Option<u32>,
    /// The JSON pointer of the value inside its configuration, when it is about one.
    pub pointer: Option<String>,
    /// What was expected there, in words.
    pub expected: Option<String>,
    /// What was found instead.
    pub found: Option<String>,
    /// The rule that says so: a pointer into the schema, or the name of a policy's or a program's own rule.
    pub rule: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The first of `environments`.
    pub environment: Option<String>,
    /// The environments that have it.
    pub environments: Vec<String>,
}

impl Check {
    /// Returns the document for findings.
    pub fn new(findings: &[Merged<'_>]) -> Self {
        Check { version: VERSION, findings: findings.iter().map(Finding::from).collect() }
    }
}

impl From<&Merged<'_>> for Finding {
    fn from(Merged { finding, environments }: &Merged<'_>) -> Self {
        let known = |number: u32| (number > 0).then_some(number);
        let environments: Vec<String> = environments.iter().map(|it| (*it).to_owned()).collect();
        Finding {
            severity: finding.severity,
            code: finding.code.name,
            message: finding.message.clone(),
            file: finding.place.as_ref().map(|it| it.file.to_string()),
            line: finding.place.as_ref().and_then(|it| known(it.line)),
            column: finding.place.as_ref().and_then(|it| known(it.column)),
            pointer: finding.pointer.clone(),
            expected: finding.expected.clone(),
            found: finding.found.clone(),
            rule: finding.rule.clone(),
            hint: finding.hint.clone(),
            environment: environments.first().cloned(),
            environments,
        }
    }
}
