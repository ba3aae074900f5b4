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

/// Returns everything under `source` in the repository, at most `room` files.
///
/// `None` when nothing can be made of the source; what is wrong with single names is left out of the result.
pub(super) fn leaves(
    scene: &Scene,
    source: &str,
    place: &Place,
    room: usize,
    findings: &mut Findings,
) -> Option<Vec<Leaf>> {
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
        return Some(vec![Leaf { source: source.to_owned(), relative, kind: entry.kind, id: entry.id }]);
    }
    let mut walk = Walk { scene, source, place, room, leaves: Vec::new(), problems: Vec::new() };
    let read = walk.all();
    push_some(walk.problems, &format!("`{source}`"), findings);
    if let Err(error) = read {
        findings.push(Finding::from(error).at(place));
        return None;
    }
    Some(walk.leaves)
}

struct Walk<'a> {
    scene: &'a Scene<'a>,
    source: &'a str,
    place: &'a Place,
    room: usize,
    leaves: Vec<Leaf>,
    problems: Vec<Finding>,
}

impl Walk<'_> {
    /// Walks the tree, and stops one file after the limit, so that the caller notices.
    fn all(&mut self) -> Result<(), crate::revision::ReadError> {
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let entries = self.scene.tree.list(&join(self.source, &folder))?.unwrap_or_default();
            let mut below = Vec::new();
            for entry in entries {
                let name = join_bytes(&folder, &entry.name);
                let relative = match TargetPath::new(&name) {
                    Ok(path) => path.0,
                    Err(problem) => {
                        let hint = format!("it is in `{}`", self.source);
                        let finding = Finding::error(problem.code, problem.to_string()).at(self.place).hint(hint);
                        self.problems.push(finding);
                        continue;
                    }
                };
                if entry.kind == EntryKind::Directory {
                    below.push(relative);
                    continue;
                }
                let source = join(self.source, &relative);
                self.leaves.push(Leaf { source, relative, kind: entry.kind, id: entry.id });
                if self.leaves.len() > self.room {
                    return Ok(());
                }
            }
            folders.extend(below.into_iter().rev());
        }
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
