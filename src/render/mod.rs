//! A rendering: path → content, mode, owner, sensitivity, origin.

mod path;
mod links;
mod target;
mod copy;
mod scope;
mod inject;
mod filters;
mod depth;
mod template;
mod write;
mod digest;
mod outputs;
#[cfg(test)]
mod tests;

pub use outputs::render;
pub use path::{PathProblem, escaped, shown};

use crate::document::Node;
use crate::finding::Findings;
use crate::manifest::{Check, DriftMode, Facts, Probe, Prune, Publish, Reload};
use crate::place::Place;
use crate::revision::{ObjectId, Tree};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What a rendering is made from, beside the manifest.
pub struct Scene<'a> {
    /// The files of the revision.
    pub tree: &'a dyn Tree,
    /// What the host declares.
    pub facts: &'a Facts,
    /// The variables that templates see.
    pub variables: &'a BTreeMap<String, String>,
    /// The configurations by name; one that could not be made is absent, and outputs that need it are passed over.
    pub configurations: &'a BTreeMap<String, Values>,
    /// Decrypts a file, given its path and content, when SOPS encrypted it.
    pub open: &'a dyn Fn(&str, &[u8], &mut Findings) -> Opened,
    /// Returns the last commit that changed one of these paths; called only for templates that use `revision`.
    pub revision: &'a dyn Fn(&[String]) -> String,
    /// How much a repository may ask for.
    pub limits: Limits,
    /// Hears what each template used, with the entry of the manifest and the template's path; it costs a little.
    pub on_use: Option<OnUse<'a>>,
}

/// See [`Scene::on_use`].
pub type OnUse<'a> = &'a dyn Fn(&Place, &str, Uses);

/// What a template used while it was rendered; each list is sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// The dotted paths of the configuration's values. Of a list it is the whole, and of a map whose keys it went over, too.
    pub keys: Vec<String>,
    /// Those of `host`, `labels`, `environment` and `revision` that it read.
    pub facts: Vec<String>,
    /// The names of the variables.
    pub variables: Vec<String>,
    /// The paths of the templates that it includes.
    pub includes: Vec<String>,
}

/// A configuration as outputs see it.
#[derive(Clone)]
pub struct Values {
    /// The merged tree.
    pub node: Arc<Node>,
    /// The paths of the files that it was made from.
    pub inputs: Vec<String>,
    /// The ids of those that are encrypted.
    pub sealed: Vec<ObjectId>,
}

/// What [`Scene::open`] found.
pub enum Opened {
    /// SOPS did not encrypt the file.
    Plain,
    /// The decrypted content.
    Secret(Vec<u8>),
    /// It cannot be decrypted; a finding says why.
    Failed,
}

/// How much a repository may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most files in one target.
    pub files: usize,
    /// The largest file in bytes.
    pub file_bytes: u64,
    /// The largest output of one template in bytes.
    pub output_bytes: usize,
    /// The most bytes that all rendered files of a revision have together.
    pub rendered_bytes: usize,
    /// The fuel of one template: an instruction, or 64 bytes, take one.
    pub fuel: u64,
    /// The fuel of all templates of a rendering.
    pub fuel_total: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            files: 200_000,
            file_bytes: 512 << 20,
            output_bytes: 16 << 20,
            rendered_bytes: 256 << 20,
            fuel: 5_000_000,
            fuel_total: 500_000_000,
        }
    }
}

/// Joins two paths of a repository, either of which may be empty.
fn join(folder: &str, name: &str) -> String {
    match (folder, name) {
        ("", name) => name.to_owned(),
        (folder, "") => folder.to_owned(),
        (folder, name) => format!("{folder}/{name}"),
    }
}

/// The complete set of output files of (revision, environment, host).
#[derive(Clone, Debug, PartialEq)]
pub struct Rendering {
    /// The targets that this host selects, in the order in which they are switched.
    pub targets: Vec<RenderedTarget>,
    /// The digest over files, metadata and actions; equal for equal renderings on any host.
    pub digest: Digest,
    /// The directories for which the manifest disarms the mass-deletion guard, whether the host selects their targets or not.
    pub released: Vec<String>,
}

/// A digest in lowercase hexadecimal (SHA-256).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Digest(pub String);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One target of a rendering.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedTarget {
    /// Its name in the manifest.
    pub name: String,
    /// The absolute path of the directory.
    pub path: String,
    /// The files and links by path.
    pub files: BTreeMap<TargetPath, OutputFile>,
    /// The owner of directories that are made; the process's when absent.
    pub owner: Option<String>,
    /// The group of directories that are made.
    pub group: Option<String>,
    /// The mode of directories that are made.
    pub directory_mode: u32,
    /// How the files become visible.
    pub publish: Publish,
    /// Which files are removed.
    pub prune: Prune,
    /// Globs of what is left alone.
    pub ignore: Vec<String>,
    /// What may veto.
    pub check: Vec<Check>,
    /// What is told.
    pub reload: Vec<Reload>,
    /// What must hold.
    pub probe: Vec<Probe>,
    /// The most that may be done about drift here.
    pub drift: Option<DriftMode>,
    /// Whether the manifest disarms the mass-deletion guard for this target.
    pub allow_removal: bool,
    /// Where the target is declared.
    pub place: Place,
}

/// One file or link of a rendering.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputFile {
    /// What it holds.
    pub content: Content,
    /// Its permission bits; unused for links.
    pub mode: u32,
    /// Its owner's name or number; the process's when absent.
    pub owner: Option<String>,
    /// Its group's name or number.
    pub group: Option<String>,
    /// Whether it holds something that was encrypted.
    pub sensitive: bool,
    /// A digest that names the content without revealing it: the blob's id for copies, a digest of the bytes for rendered
    /// files, a digest of the inputs for sensitive ones.
    pub identity: Digest,
    /// The source's path in the repository, or the configuration's name.
    pub source: String,
    /// The entry of the manifest that asks for it.
    pub place: Place,
}

/// What an output file holds.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Content {
    /// A blob of the revision, read only when it is written.
    Blob {
        /// Its id.
        id: ObjectId,
        /// Its size in bytes.
        size: u64,
    },
    /// Bytes made by rendering; they may be secret, and are never written down.
    #[serde(skip)]
    Bytes(Arc<[u8]>),
    /// A symbolic link's text.
    Link(String),
}

impl fmt::Debug for Content {
    /// Never shows bytes: they may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Blob { id, size } => write!(f, "Blob({id}, {size} bytes)"),
            Content::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Content::Link(text) => write!(f, "Link({text:?})"),
        }
    }
}

/// A path inside a target that is safe to deploy: relative, UTF-8, without `.`, `..`, control characters or reserved names.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TargetPath(String);

impl TargetPath {
    /// Returns the path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TargetPath {
    /// Returns a path that was deployed before and read back from the state, or `None` when it could lead out of a target.
    ///
    /// Looser than what a new rendering must pass, so that files written under older rules can still be removed.
    pub fn recorded(path: &str) -> Option<TargetPath> {
        let is_safe = |it: &str| !it.is_empty() && it != "." && it != ".." && !it.contains('\0');
        path.split('/').all(is_safe).then(|| TargetPath(path.to_owned()))
    }
}

impl From<TargetPath> for String {
    fn from(path: TargetPath) -> String {
        path.0
    }
}

impl TryFrom<String> for TargetPath {
    type Error = String;

    fn try_from(path: String) -> Result<TargetPath, String> {
        TargetPath::recorded(&path).ok_or_else(|| format!("{path:?} could lead out of a target"))
    }
}

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
