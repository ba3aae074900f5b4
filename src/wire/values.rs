//! What `get` and `set` print.

use serde::{Deserialize, Serialize};

/// What `get --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigurationValue {
    /// The version of the shape.
    pub version: u32,
    /// The configuration's name.
    pub configuration: String,
    /// The environment for which it was made.
    pub environment: String,
    /// The key; the empty text is the whole configuration.
    pub key: String,
    /// Whether there is such a key.
    pub found: bool,
    /// The value; null when there is none. What was decrypted is `<redacted>`, unless it was asked for.
    pub value: serde_json::Value,
}

/// What `set --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigurationSet {
    /// The version of the shape.
    pub version: u32,
    /// The configuration's name.
    pub configuration: String,
    /// The key.
    pub key: String,
    /// The file, relative to the repository's root.
    pub layer: String,
    /// The line of the value in it.
    pub line: u32,
    /// Whether the file changed, or would; it does not when the value stood there already.
    pub changed: bool,
    /// The change as a unified diff; only with `--dry-run`, which writes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}
