//! What `why` prints.

use serde::{Deserialize, Serialize};

/// What `why` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The version of the shape.
    pub version: u32,
    /// The target's name.
    pub target: String,
    /// The path in the target.
    pub path: String,
    /// The dotted path of the value that was asked for; null when it was the whole file.
    pub key: Option<String>,
    /// The value; null when it is secret.
    pub value: serde_json::Value,
    /// Where the value was set, the layer that wins first.
    pub origins: Vec<Origin>,
    /// The variables that the value went through.
    pub references: Vec<WhyReference>,
    /// The commit that was looked at; null for a working tree.
    pub revision: Option<String>,
    /// The absolute path on the host.
    pub live: String,
    /// Whether the file holds something that was encrypted.
    pub sensitive: bool,
    /// What the file is made from.
    pub source: WhySource,
    /// What the file's template used; null when it is no template.
    pub uses: Option<WhyUses>,
    /// The values in the file, or those below the one that was asked for.
    pub values: Vec<WhyValue>,
}

/// One place where a value was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The layer's name.
    pub layer: String,
    /// The file, or the source's name.
    pub file: String,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column in characters, from 1.
    pub column: Option<u32>,
    /// Who changed the line last.
    #[serde(flatten)]
    pub changed: LastChange,
    /// Whether this is the value that counts.
    pub wins: bool,
    /// The layer's value as it is shown to people, before variables are substituted; a secret is redacted.
    pub shown: String,
    /// Which migrations the layer's document went through, in words.
    pub migrated: Option<String>,
}

/// Who changed a line, or a file, last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastChange {
    /// The commit that last changed it; null when that is not known.
    pub commit: Option<String>,
    /// Who made that commit.
    pub author: Option<String>,
    /// When it was made, RFC 3339.
    pub date: Option<String>,
    /// The first line of its message.
    pub subject: Option<String>,
    /// Whether it is in the working tree only.
    pub uncommitted: bool,
}

/// What a file is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhySource {
    /// `copy`, `template` or `write`, as in the manifest.
    pub kind: String,
    /// The file of the repository; null for `write`.
    pub file: Option<String>,
    /// The configuration.
    pub configuration: Option<String>,
    /// The part of it that is written.
    pub select: Option<String>,
    /// Who changed the file last.
    #[serde(flatten)]
    pub changed: LastChange,
    /// Where the manifest asks for it.
    pub entry: WhyPlace,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyPlace {
    /// The file, or the source's name.
    pub file: String,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column in characters, from 1.
    pub column: Option<u32>,
}

/// What a template used; each list is sorted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyUses {
    /// The dotted paths of the configuration's values.
    pub keys: Vec<String>,
    /// Those of `host`, `labels`, `environment` and `revision` that it read.
    pub facts: Vec<String>,
    /// The names of the variables.
    pub variables: Vec<String>,
    /// The paths of the templates that it includes.
    pub includes: Vec<String>,
}

/// A variable that a value went through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyReference {
    /// Its name.
    pub name: String,
    /// Its value as it is shown to people; null when it is not set, so that a default counts.
    pub shown: Option<String>,
    /// Where it is set; null when it is not.
    pub place: Option<WhyPlace>,
    /// Who changed that line last.
    #[serde(flatten)]
    pub changed: LastChange,
}

/// A value in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhyValue {
    /// The configuration; null for a variable.
    pub configuration: Option<String>,
    /// The value's dotted path there.
    pub key: String,
    /// The value; null when it is secret.
    pub value: serde_json::Value,
    /// The value as it is shown to people; a secret is redacted.
    pub shown: String,
    /// Where the value was set, the layer that wins first.
    pub origins: Vec<Origin>,
    /// The variables that the value went through.
    pub references: Vec<WhyReference>,
}
