//! What `kept` prints.

use super::VERSION;
use serde::{Deserialize, Serialize};

/// What `kept list` and `kept show` print.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptFiles {
    /// The version of the shape.
    pub version: u32,
    /// The copies, the newest first.
    pub kept: Vec<KeptFile>,
}

/// A copy of what stood in a file's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// The copy's name; equal contents have one copy.
    pub id: String,
    /// The repository's name in agent.yaml.
    pub repository: String,
    /// The number of the deployment that it made way for.
    pub deployment: i64,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// The target's directory.
    pub root: String,
    /// The path in it.
    pub path: String,
    /// `drifted`, `existing` or `recovered`.
    pub reason: String,
    /// `file` or `link`.
    pub kind: String,
    /// The permission bits in octal; null for links.
    pub mode: Option<String>,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Whether the copy is encrypted, because the file is sensitive.
    pub sensitive: bool,
    /// The size of the copy in bytes; null when it is gone.
    pub size: Option<u64>,
    /// The content; `show` only, and null when it is sensitive and was not asked for, or is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Option<String>>,
}

impl KeptFiles {
    /// Returns the document for copies.
    pub fn new(kept: Vec<KeptFile>) -> Self {
        KeptFiles { version: VERSION, kept }
    }
}
