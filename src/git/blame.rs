//! Who last changed a line, found without comparing whole trees.
//!
//! libgit2's own blame compares the trees of every commit with its parents, with renames, and takes seconds for a few
//! thousand commits. What is asked here is a handful of lines of known files, so a commit that did not touch them is passed
//! with one tree read: the way down to a file ends at the first folder that is equal in both.

use super::error::Error;
use super::mirror::Mirror;
use super::read::value_of;
use crate::revision::{Commit, ObjectId};
use git2::{Blob, Delta, DiffOptions, ErrorCode, ObjectType, Oid, Patch, Repository};
use std::collections::{BTreeMap, HashMap};

/// Above this a file's lines are not compared: no document may be so large.
const COMPARED_BYTES_MAX: usize = 16 << 20;
/// The most files of one commit among which a renamed file's old name is looked for.
const RENAME_DELTAS_MAX: usize = 1000;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The file's path.
    pub path: String,
    /// The line, from 1; 0 asks for the last change of the file as a whole.
    pub line: u32,
}

/// Who last changed a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blamed {
    /// This commit.
    Commit(Commit),
    /// Nobody yet: it is in the working tree only.
    Uncommitted,
    /// A commit that is older than what a shallow clone has.
    CutOff,
    /// There is no such line.
    Absent,
}

impl Mirror {
    /// Returns for each line which commit that `tip` reaches changed it last, as `git blame` does.
    pub fn blame(&self, tip: &ObjectId, asked: &[Asked]) -> Result<Vec<Blamed>, Error> {
        let found = self.find(tip)?.id();
        blame(&self.repository, found, asked)
            .map_err(|error| self.judge(&format!("the history of commit {tip}"), &error))
    }
}

/// Follows lines from `tip` back to the commits that wrote them.
pub(super) fn blame(repository: &Repository, tip: Oid, asked: &[Asked]) -> Result<Vec<Blamed>, git2::Error> {
    let tip = repository.find_commit(tip)?;
    let mut walk = Walk { repository, waiting: BTreeMap::new(), found: vec![Blamed::Absent; asked.len()] };
    for (idx, it) in asked.iter().enumerate() {
        let Some(ids) = way_down(repository, tip.tree_id(), &it.path, &[])? else { continue };
        let file = File { path: it.path.clone(), ids, lines: vec![(idx, it.line)] };
        if it.line as usize <= n_lines(repository.find_blob(file.blob())?.content()) {
            walk.wait(&tip, file);
        }
    }
    // Each line has one way back, so any order is right; the newest first makes ways that meet go on as one.
    while let Some(((_, id), files)) = walk.waiting.pop_last() {
        walk.pass(&repository.find_commit(id)?, files)?;
    }
    Ok(walk.found)
}

/// A file of a commit, with the lines in it that are looked for.
struct File {
    path: String,
    /// The ids of the root, of the folders on the way, and of the file.
    ids: Vec<Oid>,
    /// The number of the question, and the line.
    lines: Vec<(usize, u32)>,
}

impl File {
    fn blob(&self) -> Oid {
        self.ids.last().copied().unwrap_or(Oid::ZERO_SHA1)
    }
}

struct Walk<'a> {
    repository: &'a Repository,
    /// The files to look at next, by the times and ids of their commits.
    waiting: BTreeMap<(i64, Oid), Vec<File>>,
    found: Vec<Blamed>,
}

impl<'a> Walk<'a> {
    fn wait(&mut self, commit: &git2::Commit, file: File) {
        let files = self.waiting.entry((commit.time().seconds(), commit.id())).or_default();
        match files.iter_mut().find(|it| it.path == file.path) {
            Some(known) => known.lines.extend(file.lines),
            None => files.push(file),
        }
    }

    /// Hands the lines of a commit's files on to its parents; those that no parent has are this commit's.
    fn pass(&mut self, commit: &git2::Commit, files: Vec<File>) -> Result<(), git2::Error> {
        let (parents, is_cut) = self.parents(commit)?;
        for file in files {
            let left = self.pass_file(commit, &parents, file)?;
            for (idx, _) in left {
                self.found[idx] = if is_cut { Blamed::CutOff } else { Blamed::Commit(value_of(commit)) };
            }
        }
        Ok(())
    }

    /// Returns the parents that are here, and whether a shallow clone has none where the commit has some.
    fn parents(&self, commit: &git2::Commit) -> Result<(Vec<git2::Commit<'a>>, bool), git2::Error> {
        let is_shallow = self.repository.is_shallow();
        let mut parents = Vec::new();
        for id in commit.parent_ids() {
            match self.repository.find_commit(id) {
                Ok(parent) => parents.push(parent),
                Err(error) if is_shallow && error.code() == ErrorCode::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let has_some = || commit.raw_header_bytes().split(|it| *it == b'\n').any(|it| it.starts_with(b"parent "));
        let is_cut = is_shallow && parents.is_empty() && has_some();
        Ok((parents, is_cut))
    }

    /// Returns the lines that no parent has.
    fn pass_file(
        &mut self,
        commit: &git2::Commit,
        parents: &[git2::Commit],
        file: File,
    ) -> Result<Vec<(usize, u32)>, git2::Error> {
        let mut older = Vec::new();
        for parent in parents {
            let ids = way_down(self.repository, parent.tree_id(), &file.path, &file.ids)?;
            // As in `git blame`, a merge that took the file as it was in one parent did not write it.
            if let Some(ids) = ids.as_ref().filter(|it| it.last() == file.ids.last()) {
                self.wait(parent, File { ids: ids.clone(), ..file });
                return Ok(Vec::new());
            }
            older.push(ids.map(|it| (file.path.clone(), it)));
        }
        let mut left = file.lines.clone();
        for (parent, known) in parents.iter().zip(older) {
            if left.is_empty() {
                break;
            }
            let Some((path, ids)) = known.map_or_else(|| self.old_name(commit, parent, &file), |it| Ok(Some(it)))?
            else {
                continue;
            };
            let mut moved = File { path, ids, lines: Vec::new() };
            let Some(map) = LineMap::of_blobs(self.repository, moved.blob(), file.blob())? else { continue };
            left.retain(|(idx, line)| match map.older(*line) {
                Some(line) => {
                    moved.lines.push((*idx, line));
                    false
                }
                None => true,
            });
            if !moved.lines.is_empty() {
                self.wait(parent, moved);
            }
        }
        Ok(left)
    }

    /// Returns the path and ids that a file had in `parent`, which has none of its name: those of an equal file that is
    /// gone, or of one that shares half of its bytes in whole lines.
    fn old_name(
        &self,
        commit: &git2::Commit,
        parent: &git2::Commit,
        file: &File,
    ) -> Result<Option<(String, Vec<Oid>)>, git2::Error> {
        let (old, new) = (parent.tree()?, commit.tree()?);
        let diff = self.repository.diff_tree_to_tree(Some(&old), Some(&new), None)?;
        if diff.deltas().len() > RENAME_DELTAS_MAX {
            return Ok(None);
        }
        let ours = self.repository.find_blob(file.blob())?;
        let mut best: Option<(usize, String)> = None;
        for gone in diff.deltas().filter(|it| it.status() == Delta::Deleted).map(|it| it.old_file()) {
            let Some(path) = gone.path().and_then(|it| it.to_str()) else { continue };
            let score = match gone.id() == file.blob() {
                true => usize::MAX,
                false => likeness(self.repository, &ours, gone.id())?,
            };
            if score > best.as_ref().map_or(0, |it| it.0) {
                best = Some((score, path.to_owned()));
            }
        }
        let Some((_, path)) = best else { return Ok(None) };
        let ids = way_down(self.repository, parent.tree_id(), &path, &[])?;
        Ok(ids.map(|it| (path, it)))
    }
}

/// Returns the ids on the way from `root` to the file at `path`; `known` are those in another commit.
///
/// Below a folder that is equal in both, nothing is read.
fn way_down(repository: &Repository, root: Oid, path: &str, known: &[Oid]) -> Result<Option<Vec<Oid>>, git2::Error> {
    let mut ids = vec![root];
    let mut at = root;
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        if known.get(ids.len() - 1) == Some(&at) {
            ids.extend_from_slice(&known[ids.len()..]);
            return Ok(Some(ids));
        }
        let wanted = if names.peek().is_some() { ObjectType::Tree } else { ObjectType::Blob };
        let tree = repository.find_tree(at)?;
        match tree.get_name(name) {
            Some(entry) if entry.kind() == Some(wanted) => at = entry.id(),
            _ => return Ok(None),
        }
        ids.push(at);
    }
    Ok(Some(ids))
}

/// Returns how many bytes two files share in whole lines, or 0 when that is less than half.
fn likeness(repository: &Repository, ours: &Blob, other: Oid) -> Result<usize, git2::Error> {
    let size = repository.odb()?.read_header(other).map_or(0, |it| it.0);
    let longer = size.max(ours.size());
    if longer > COMPARED_BYTES_MAX || size.min(ours.size()) * 2 < longer {
        return Ok(0);
    }
    let Ok(other) = repository.find_blob(other) else { return Ok(0) };
    let mut lines: HashMap<&[u8], usize> = HashMap::new();
    for line in ours.content().split_inclusive(|it| *it == b'\n') {
        *lines.entry(line).or_default() += 1;
    }
    let mut shared = 0;
    for line in other.content().split_inclusive(|it| *it == b'\n') {
        if let Some(n) = lines.get_mut(line).filter(|it| **it > 0) {
            *n -= 1;
            shared += line.len();
        }
    }
    Ok(if shared * 2 >= longer { shared } else { 0 })
}

fn n_lines(bytes: &[u8]) -> usize {
    bytes.split_inclusive(|it| *it == b'\n').count()
}

/// Where the lines of a file were in an older state of it.
pub(super) struct LineMap(Vec<Hunk>);

/// Lines that replaced others: the first one and their number, and the number of those that were there.
struct Hunk {
    start: u32,
    n_new: u32,
    n_old: u32,
}

impl LineMap {
    /// Compares two blobs; `None` when they are too large for that.
    fn of_blobs(repository: &Repository, old: Oid, new: Oid) -> Result<Option<LineMap>, git2::Error> {
        let (old, new) = (repository.find_blob(old)?, repository.find_blob(new)?);
        if old.size().max(new.size()) > COMPARED_BYTES_MAX {
            return Ok(None);
        }
        LineMap::of(&Patch::from_blobs(&old, None, &new, None, Some(&mut options()))?).map(Some)
    }

    /// Compares a blob with what became of it in a working tree.
    pub(super) fn of_buffer(old: &Blob, new: &[u8]) -> Result<Option<LineMap>, git2::Error> {
        if old.size().max(new.len()) > COMPARED_BYTES_MAX {
            return Ok(None);
        }
        LineMap::of(&Patch::from_blob_and_buffer(old, None, new, None, Some(&mut options()))?).map(Some)
    }

    fn of(patch: &Patch) -> Result<LineMap, git2::Error> {
        let hunk = |idx| {
            let hunk = patch.hunk(idx)?.0;
            // Where lines were only removed, a hunk names the line before them.
            let start = hunk.new_start() + u32::from(hunk.new_lines() == 0);
            Ok(Hunk { start, n_new: hunk.new_lines(), n_old: hunk.old_lines() })
        };
        (0..patch.num_hunks()).map(hunk).collect::<Result<_, _>>().map(LineMap)
    }

    /// Returns where a line was, or `None` when it is new; line 0, the file as a whole, is new in every change.
    pub(super) fn older(&self, line: u32) -> Option<u32> {
        let mut older = line;
        for hunk in self.0.iter().take_while(|it| it.start <= line) {
            if line < hunk.start + hunk.n_new {
                return None;
            }
            older = older + hunk.n_old - hunk.n_new;
        }
        (line > 0).then_some(older)
    }
}

/// Compares as `git blame` does.
fn options() -> DiffOptions {
    let mut options = DiffOptions::new();
    options.context_lines(0).interhunk_lines(0).force_text(true).indent_heuristic(true);
    options
}
