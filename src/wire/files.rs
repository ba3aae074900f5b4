//! What `diff` and `render` print.

use super::VERSION;
use crate::plan::Diff;
use crate::render::{self, Content};
use serde::{Deserialize, Serialize};

/// What `diff` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diffs {
    /// The version of the shape.
    pub version: u32,
    /// The differences, in the order of the plan.
    pub diffs: Vec<DiffEntry>,
}

/// The difference that one operation makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffEntry {
    /// The target's name.
    pub target: String,
    /// The path in the target.
    pub path: String,
    /// `create`, `replace`, `remove` or `metadata`.
    pub action: String,
    /// Whether the file holds something that was encrypted, so that its content is not shown.
    pub sensitive: bool,
    /// The difference for a person.
    pub diff: String,
}

/// What `render` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rendering {
    /// The version of the shape.
    pub version: u32,
    /// The digest over files, metadata and actions.
    pub digest: String,
    /// The files by target and path.
    pub files: Vec<RenderedFile>,
}

/// One file or link of a rendering, without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderedFile {
    /// The target's name.
    pub target: String,
    /// The absolute path on the host.
    pub path: String,
    /// The permission bits in octal; null for links.
    pub mode: Option<String>,
    /// The owner; null for the process's.
    pub owner: Option<String>,
    /// The group; null for the process's.
    pub group: Option<String>,
    /// Where a link leads.
    pub link: Option<String>,
    /// Whether it holds something that was encrypted.
    pub sensitive: bool,
    /// The source in the repository, or the configuration's name.
    pub source: String,
}

impl Diffs {
    /// Returns the document for differences.
    pub fn new(diffs: Vec<DiffEntry>) -> Self {
        Diffs { version: VERSION, diffs }
    }
}

impl From<Diff> for DiffEntry {
    fn from(it: Diff) -> Self {
        let action = it.action.as_str().to_owned();
        DiffEntry { target: it.target, path: it.path, action, sensitive: it.sensitive, diff: it.text }
    }
}

impl From<&render::Rendering> for Rendering {
    fn from(rendering: &render::Rendering) -> Self {
        let files = rendering.targets.iter().flat_map(|target| {
            target.files.iter().map(|(path, file)| {
                let link = match &file.content {
                    Content::Link(text) => Some(text.clone()),
                    Content::Blob { .. } | Content::Bytes(_) => None,
                };
                RenderedFile {
                    target: target.name.clone(),
                    path: format!("{}/{path}", target.path),
                    mode: link.is_none().then(|| format!("{:04o}", file.mode)),
                    owner: file.owner.clone(),
                    group: file.group.clone(),
                    link,
                    sensitive: file.sensitive,
                    source: file.source.clone(),
                }
            })
        });
        Rendering { version: VERSION, digest: rendering.digest.0.clone(), files: files.collect() }
    }
}
