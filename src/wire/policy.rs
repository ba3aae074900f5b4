//! What `policy test` prints.

use serde::{Deserialize, Serialize};

/// What `policy test --format json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyTests {
    /// The version of the shape.
    pub version: u32,
    /// The tests in the order of files.
    pub tests: Vec<PolicyTest>,
}

/// One test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyTest {
    /// The rule's full name, such as `main.test_root_is_denied`.
    pub name: String,
    /// The file.
    pub file: String,
    /// The line of the rule.
    pub line: u32,
    /// `pass`, `fail`, `error` or `skipped`.
    pub outcome: String,
    /// What is wrong; null unless it failed or could not be evaluated.
    pub message: Option<String>,
    /// What the rules printed.
    pub prints: Vec<String>,
}
