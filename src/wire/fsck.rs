//! What `fsck` prints.

use super::VERSION;
use serde::{Deserialize, Serialize};

/// What `fsck` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fsck {
    /// The version of the shape.
    pub version: u32,
    /// What is not as it should be; empty when all is whole.
    pub problems: Vec<FsckProblem>,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsckProblem {
    /// `directory`, `database`, `transactions`, `kept`, `ledger` or `mirror`.
    pub area: String,
    /// The file, or what it is about.
    pub subject: String,
    /// What is wrong.
    pub problem: String,
    /// What would be done about it, or what to do.
    pub cure: String,
    /// What it takes: `repair` (`fsck --repair`), `verb` (the cure names it) or `person`.
    pub needs: String,
    /// Whether it was repaired in this run.
    pub repaired: bool,
}

impl Fsck {
    /// Returns the document for problems.
    pub fn new(problems: Vec<FsckProblem>) -> Self {
        Fsck { version: VERSION, problems }
    }
}
