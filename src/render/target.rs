//! One target being put together: metadata of its files, and what must not meet in it.

use super::{Content, Digest, Limits, OutputFile, RenderedTarget, TargetPath, links, path};
use crate::finding::{Code, Finding, Findings};
use crate::manifest::{Located, Override, Target, path_globs};
use crate::place::Place;
use globset::GlobSet;
use std::collections::BTreeMap;

/// The most findings of one kind that one part of a target adds; the rest is counted.
const SHOWN_MAX: usize = 20;

/// A file before it has its metadata.
pub(super) struct Draft {
    pub(super) content: Content,
    /// Git's executable bit.
    pub(super) executable: bool,
    pub(super) sensitive: bool,
    pub(super) identity: Digest,
    pub(super) source: String,
}

/// A target and the files that it has so far.
pub(super) struct Builder<'a> {
    target: &'a Target,
    limits: Limits,
    ignore: GlobSet,
    overrides: GlobSet,
    files: BTreeMap<TargetPath, OutputFile>,
    /// Files that are not written because `ignore` names them; they still must not clash.
    is_full: bool,
}

/// Returns whether a file would stand in a folder of drop-ins under a name that means "not this one".
fn is_passed_over(root: &str, path: &TargetPath) -> bool {
    const ENDINGS: [&str; 7] = ["~", ".dpkg-new", ".dpkg-old", ".dpkg-dist", ".dpkg-tmp", ".rpmnew", ".rpmsave"];
    let whole = format!("{root}/{path}");
    let (folder, name) = whole.rsplit_once('/').unwrap_or_default();
    folder.ends_with(".d") && ENDINGS.iter().any(|it| name.ends_with(it))
}

impl<'a> Builder<'a> {
    /// Returns an empty target; `None` when one of its globs cannot be read.
    pub(super) fn new(target: &'a Target, limits: Limits, findings: &mut Findings) -> Option<Self> {
        let ignore = globs(target, target.ignore.iter(), findings);
        let overrides = globs(target, target.overrides.iter().map(|it| &it.matches), findings);
        let files = BTreeMap::new();
        Some(Builder { target, limits, ignore: ignore?, overrides: overrides?, files, is_full: false })
    }

    /// Returns the directory that the target is.
    pub(super) fn root(&self) -> &str {
        &self.target.path.value
    }

    /// Returns how many more files the target takes.
    pub(super) fn room(&self) -> usize {
        self.limits.files.saturating_sub(self.files.len())
    }

    /// Notes that the target has more files than it may; said once.
    pub(super) fn overflow(&mut self, place: &Place, findings: &mut Findings) {
        if !std::mem::replace(&mut self.is_full, true) {
            let message =
                format!("the target `{}` has more than {} files or folders", self.target.name, self.limits.files);
            findings.push(Finding::error(Code::TOO_MANY_FILES, message).at(place));
        }
    }

    /// Adds a file, unless the target ignores its path.
    pub(super) fn add(&mut self, path: TargetPath, draft: Draft, place: &Place, findings: &mut Findings) {
        if self.ignore.is_match(path.as_str()) {
            return;
        }
        if is_passed_over(&self.target.path.value, &path) {
            let message = format!("the path `{path}` has a name that those who read `.d` folders pass over");
            let hint = "dpkg, rpm and editors keep such names for themselves; give the file another one";
            findings.push(Finding::error(Code::PATH_RESERVED, message).at(place).hint(hint));
            return;
        }
        if let Some(other) = self.files.get(&path) {
            findings.push(clash(&path, place, &other.place));
            return;
        }
        if self.room() == 0 {
            return self.overflow(place, findings);
        }
        let matching: Vec<&Override> =
            self.overrides.matches(path.as_str()).into_iter().map(|idx| &self.target.overrides[idx]).collect();
        let mode = self.mode(&path, &draft, &matching, place, findings);
        let owner = matching.iter().rev().find_map(|it| it.owner.as_ref()).or(self.target.owner.as_ref());
        let group = matching.iter().rev().find_map(|it| it.group.as_ref()).or(self.target.group.as_ref());
        let file = OutputFile {
            content: draft.content,
            mode,
            owner: owner.map(|it| it.value.clone()),
            group: group.map(|it| it.value.clone()),
            sensitive: draft.sensitive,
            identity: draft.identity,
            source: draft.source,
            place: place.clone(),
        };
        self.files.insert(path, file);
    }

    /// An override's mode is exact; the target's, and the default, gain the executable bits that git asks for.
    fn mode(
        &self,
        path: &TargetPath,
        draft: &Draft,
        matching: &[&Override],
        place: &Place,
        findings: &mut Findings,
    ) -> u32 {
        if matches!(draft.content, Content::Link(_)) {
            return 0o777;
        }
        let exact = matching.iter().rev().find_map(|it| it.mode);
        let with_bits = |mode| if draft.executable { with_execution(mode) } else { mode };
        let chosen = exact.or(self.target.mode.map(with_bits));
        if !draft.sensitive {
            return chosen.unwrap_or(with_bits(0o644));
        }
        let mode = chosen.unwrap_or(with_bits(0o600));
        if mode & 0o007 != 0 {
            let message = format!("`{path}` holds a secret, and mode {mode:04o} opens it to everyone");
            let hint = format!("give it its own mode: `overrides: [{{match: \"{path}\", mode: \"0600\"}}]`");
            findings.push(Finding::error(Code::SECRET_MODE, message).at(place).hint(hint));
        }
        mode
    }

    /// Checks the files against each other and returns the target.
    pub(super) fn finish(self, allow_removal: bool, findings: &mut Findings) -> RenderedTarget {
        let mut problems = Vec::new();
        self.check_folders(&mut problems);
        self.check_folded(&mut problems);
        self.check_links(&mut problems);
        push_some(problems, &format!("the target `{}`", self.target.name), findings);
        let target = self.target;
        RenderedTarget {
            name: target.name.clone(),
            path: target.path.value.clone(),
            files: self.files,
            owner: target.owner.as_ref().map(|it| it.value.clone()),
            group: target.group.as_ref().map(|it| it.value.clone()),
            directory_mode: with_execution(target.mode.unwrap_or(0o644)),
            publish: target.publish,
            prune: target.prune,
            ignore: target.ignore.iter().map(|it| it.value.clone()).collect(),
            check: target.check.clone(),
            reload: target.reload.clone(),
            probe: target.probe.clone(),
            drift: target.drift,
            allow_removal,
            place: target.place.clone(),
        }
    }

    /// A file must not stand where another output needs a folder.
    fn check_folders(&self, problems: &mut Vec<Finding>) {
        for (path, file) in &self.files {
            let above = folders(path.as_str()).find_map(|it| self.files.get_key_value(&TargetPath(it.to_owned())));
            if let Some((above, other)) = above {
                let message = format!(
                    "`{path}` needs a folder where {} writes the file `{above}`",
                    at(&other.place, &file.place)
                );
                problems.push(Finding::error(Code::OUTPUT_CLASH, message).at(&file.place));
            }
        }
    }

    /// Names that a folding file system takes for one must not both exist, nor may two spellings of one folder.
    fn check_folded(&self, problems: &mut Vec<Finding>) {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for (path, file) in &self.files {
            for name in folders(path.as_str()).chain([path.as_str()]) {
                match seen.entry(path::fold(name)) {
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        entry.insert(name);
                    }
                    std::collections::btree_map::Entry::Occupied(entry) if *entry.get() != name => {
                        let message = format!(
                            "`{name}` and `{}` are one name where case or Unicode form does not count",
                            entry.get()
                        );
                        let finding = Finding::error(Code::PATH_CLASH, message).at(&file.place);
                        problems.push(finding.hint("rename one of them"));
                        break;
                    }
                    std::collections::btree_map::Entry::Occupied(_) => {}
                }
            }
        }
    }

    fn check_links(&self, problems: &mut Vec<Finding>) {
        for (path, file) in &self.files {
            if let Content::Link(text) = &file.content
                && let Some(reason) = links::follow(path, &self.files)
            {
                let text = path::shown(text.as_bytes());
                let message = format!("the symbolic link `{path}` to `{text}` {reason}");
                let finding = Finding::error(Code::SYMLINK, message).at(&file.place);
                problems.push(finding.hint("only relative links within the target are deployed"));
            }
        }
    }
}

/// Adds the first of `problems`, and how many more there are in `part`.
pub(super) fn push_some(problems: Vec<Finding>, part: &str, findings: &mut Findings) {
    let more = problems.len().saturating_sub(SHOWN_MAX);
    let last = problems.get(SHOWN_MAX).map(|it| (it.code, it.place.clone()));
    problems.into_iter().take(SHOWN_MAX).for_each(|it| findings.push(it));
    if let Some((code, place)) = last {
        let problems = if more == 1 { "problem" } else { "problems" };
        let finding = Finding { place, ..Finding::error(code, format!("{part} has {more} more such {problems}")) };
        findings.push(finding);
    }
}

fn clash(path: &TargetPath, place: &Place, other: &Place) -> Finding {
    let message = match place == other {
        true => format!("`{path}` is written twice by this entry"),
        false => format!("`{path}` is written twice, here and at {other}"),
    };
    Finding::error(Code::OUTPUT_CLASH, message).at(place)
}

fn at(other: &Place, place: &Place) -> String {
    if other == place { "this entry".to_owned() } else { other.to_string() }
}

/// Adds an executable bit beside each readable one.
fn with_execution(mode: u32) -> u32 {
    mode | (mode & 0o444) >> 2
}

/// Returns the folders that `path` lies in, the outermost first.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(idx, _)| &path[..idx])
}

fn globs<'a>(
    target: &Target,
    patterns: impl Iterator<Item = &'a Located<String>>,
    findings: &mut Findings,
) -> Option<GlobSet> {
    match path_globs(patterns.map(|it| it.value.as_str())) {
        Ok(globs) => Some(globs),
        Err(error) => {
            findings.push(Finding::error(Code::VALUE, error.to_string()).at(&target.place));
            None
        }
    }
}
