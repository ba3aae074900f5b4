//! Files of the repository, found and judged.

use super::target::{Draft, push_some};
use super::{Content, Digest, Limits, Opened, Scene, TargetPath, digest, join, links, path};
use crate::document::Format;
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use crate::revision::{EntryKind, ObjectId};

/// Files up to this size are read, to find what SOPS encrypted and what Git LFS keeps elsewhere.
const LOOK_BYTES_MAX: u64 = 1 << 20;
/// Files up to this size are read when their name says that SOPS encrypted them, or could have.
const NAMED_BYTES_MAX: u64 = 32 << 20;
/// Git LFS pointers are smaller than this.
const LFS_POINTER_BYTES_MAX: usize = 1024;

/// A file, link or submodule under a source.
pub(super) struct Leaf {
    /// Its path in the repository.
    pub(super) source: String,
    /// Its path relative to the source; empty when it is the source itself.
    pub(super) relative: String,
    pub(super) kind: EntryKind,
    pub(super) id: ObjectId,
}

/// What lies under a source.
#[derive(Default)]
pub(super) struct Leaves {
    /// The files, links and submodules.
    pub(super) all: Vec<Leaf>,
    /// Whether there is more than there is room for; then not all of it was looked at.
    pub(super) is_too_much: bool,
}

/// Returns everything under `source` in the repository, at most `room` files.
///
/// `None` when nothing can be made of the source; what is wrong with single names is left out of the result.
pub(super) fn leaves(
    scene: &Scene,
    source: &str,
    place: &Place,
    room: usize,
    findings: &mut Findings,
) -> Option<Leaves> {
    let entry = match scene.tree.find(source) {
        Ok(Some(entry)) => entry,
        Ok(None) => {
            findings.push(scene.tree.missing(Code::SOURCE_MISSING, source, place));
            return None;
        }
        Err(error) => {
            findings.push(Finding::from(error).at(place));
            return None;
        }
    };
    if entry.kind != EntryKind::Directory {
        let relative = String::new();
        let leaf = Leaf { source: source.to_owned(), relative, kind: entry.kind, id: entry.id };
        return Some(Leaves { all: vec![leaf], is_too_much: room == 0 });
    }
    let mut walk = Walk { scene, source, place, room, found: Leaves::default(), problems: Vec::new() };
    let read = walk.all();
    push_some(walk.problems, &format!("`{source}`"), findings);
    if let Err(error) = read {
        findings.push(Finding::from(error).at(place));
        return None;
    }
    Some(walk.found)
}

struct Walk<'a> {
    scene: &'a Scene<'a>,
    source: &'a str,
    place: &'a Place,
    room: usize,
    found: Leaves,
    problems: Vec<Finding>,
}

impl Walk<'_> {
    /// Walks the tree, and stops when there is more than fits. Folders and names that are refused count, too: a few objects
    /// can be folders without end.
    fn all(&mut self) -> Result<(), crate::revision::ReadError> {
        let mut folders = vec![String::new()];
        let mut n_others = 0;
        while let Some(folder) = folders.pop() {
            let entries = self.scene.tree.list(&join(self.source, &folder))?.unwrap_or_default();
            let mut below = Vec::new();
            for entry in entries {
                if self.found.all.len() > self.room || n_others > self.room {
                    self.found.is_too_much = true;
                    return Ok(());
                }
                let name = join_bytes(&folder, &entry.name);
                let relative = match TargetPath::new(&name) {
                    Ok(path) => path.0,
                    Err(problem) => {
                        let hint = format!("it is in `{}`", self.source);
                        let finding = Finding::error(problem.code, problem.to_string()).at(self.place).hint(hint);
                        self.problems.push(finding);
                        n_others += 1;
                        continue;
                    }
                };
                if entry.kind == EntryKind::Directory {
                    below.push(relative);
                    n_others += 1;
                    continue;
                }
                let source = join(self.source, &relative);
                self.found.all.push(Leaf { source, relative, kind: entry.kind, id: entry.id });
            }
            folders.extend(below.into_iter().rev());
        }
        self.found.is_too_much = self.found.all.len() > self.room;
        Ok(())
    }
}

/// Returns what copying `leaf` writes.
pub(super) fn copy(scene: &Scene, leaf: &Leaf, place: &Place, findings: &mut Findings) -> Option<Draft> {
    match leaf.kind {
        EntryKind::File { executable } => copy_file(scene, leaf, executable, place, findings),
        EntryKind::Link => copy_link(scene, leaf, place, findings),
        EntryKind::Submodule => {
            let message = format!("`{}` is a submodule, whose files are not in this repository", leaf.source);
            let hint = "headfast deploys what one commit holds; add the files themselves";
            findings.push(Finding::error(Code::SUBMODULE, message).at(place).hint(hint));
            None
        }
        // `leaves` gives no folders.
        EntryKind::Directory => None,
    }
}

fn copy_link(scene: &Scene, leaf: &Leaf, place: &Place, findings: &mut Findings) -> Option<Draft> {
    let refuse = |reason: &str| {
        let message = format!("the symbolic link `{}` {reason}", leaf.source);
        let hint = "only relative links within the target are deployed";
        Finding::error(Code::SYMLINK, message).at(place).hint(hint)
    };
    let size = size(scene, leaf, place, findings)?;
    if size > 4095 {
        findings.push(refuse("is longer than 4095 bytes"));
        return None;
    }
    let Ok(text) = String::from_utf8(read(scene, leaf, place, findings)?) else {
        findings.push(refuse("is not UTF-8"));
        return None;
    };
    if let Some(reason) = links::text_problem(&text) {
        findings.push(refuse(&format!("to `{}` {reason}", path::shown(text.as_bytes()))));
        return None;
    }
    let identity = digest::of_link(&text);
    let source = leaf.source.clone();
    Some(Draft { content: Content::Link(text), executable: false, sensitive: false, identity, source })
}

fn copy_file(scene: &Scene, leaf: &Leaf, executable: bool, place: &Place, findings: &mut Findings) -> Option<Draft> {
    let size = size(scene, leaf, place, findings)?;
    if size > scene.limits.file_bytes {
        findings.push(too_big(leaf, scene.limits, place));
        return None;
    }
    let draft = |content, sensitive, identity| {
        Some(Draft { content, executable, sensitive, identity, source: leaf.source.clone() })
    };
    let verbatim = || draft(Content::Blob { id: leaf.id.clone(), size }, false, Digest(leaf.id.to_string()));
    if size > LOOK_BYTES_MAX && !(size <= NAMED_BYTES_MAX && may_be_sops(&leaf.source)) {
        return verbatim();
    }
    let bytes = read(scene, leaf, place, findings)?;
    if is_lfs_pointer(&bytes) {
        findings.push(lfs_pointer(leaf, place));
        return None;
    }
    match (scene.open)(&leaf.source, &bytes, findings) {
        Opened::Plain => verbatim(),
        Opened::Failed => None,
        Opened::Secret(bytes) => {
            let mut hasher = digest::Hasher::new("sensitive copy");
            hasher.text(leaf.id.as_str());
            draft(Content::Bytes(bytes.into()), true, hasher.finish())
        }
    }
}

/// Returns the text of a template, which must be an ordinary file.
pub(super) fn template_text(scene: &Scene, leaf: &Leaf, place: &Place, findings: &mut Findings) -> Option<Vec<u8>> {
    if size(scene, leaf, place, findings)? > scene.limits.file_bytes {
        findings.push(too_big(leaf, scene.limits, place));
        return None;
    }
    let bytes = read(scene, leaf, place, findings)?;
    if is_lfs_pointer(&bytes) {
        findings.push(lfs_pointer(leaf, place));
        return None;
    }
    Some(bytes)
}

fn size(scene: &Scene, leaf: &Leaf, place: &Place, findings: &mut Findings) -> Option<u64> {
    scene.tree.size(&leaf.id).map_err(|error| findings.push(Finding::from(error).at(place))).ok()
}

fn read(scene: &Scene, leaf: &Leaf, place: &Place, findings: &mut Findings) -> Option<Vec<u8>> {
    scene.tree.blob(&leaf.id).map_err(|error| findings.push(Finding::from(error).at(place))).ok()
}

fn too_big(leaf: &Leaf, limits: Limits, place: &Place) -> Finding {
    let message = format!("`{}` is larger than {} MiB", leaf.source, limits.file_bytes >> 20);
    Finding::error(Code::FILE_TOO_BIG, message).at(place)
}

fn lfs_pointer(leaf: &Leaf, place: &Place) -> Finding {
    let message = format!("`{}` is a Git LFS pointer, not the content", leaf.source);
    let hint = "headfast does not ask LFS servers; commit the content itself (`git lfs migrate export`)";
    Finding::error(Code::LFS_POINTER, message).at(place).hint(hint)
}

fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.len() < LFS_POINTER_BYTES_MAX && bytes.starts_with(b"version https://git-lfs.github.com/spec/")
}

fn may_be_sops(path: &str) -> bool {
    Format::of_path(path).is_some() || path.contains(".enc") || path.contains("sops")
}

fn join_bytes(folder: &str, name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder.as_bytes(), b"/", name].concat() }
}
