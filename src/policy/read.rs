//! Reading policies and their data from a revision.

use super::load::warn_of_unasked;
use super::{MAX_TIME, MAX_TIME_OF_FILE, Policies, Sources, data};
use crate::document::{self, Format, Limits, MergeKeys};
use crate::finding::{Code, Finding, Findings};
use crate::manifest::{Located, Over, PolicySpec};
use crate::place::Place;
use crate::revision::{EntryKind, ReadError, Tree, TreeEntry};
use std::sync::Arc;

/// How deep folders of policies may nest.
const MAX_FOLDERS: u32 = 32;
/// How many files of policies and data are read.
const MAX_FILES: usize = 1_000;
/// How many bytes of them are read.
const MAX_BYTES: usize = 32 << 20;

/// The policies of entries that ask the same packages about the same things.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they are asked about.
    pub over: Over,
    /// Globs over rendered files.
    pub matches: Vec<Located<String>>,
    /// The policies.
    pub policies: Policies,
}

/// Reads what the manifest's `policies` names; in folders, `*.rego` but not `*_test.rego`, and data documents.
pub fn groups(tree: &dyn Tree, specs: &[PolicySpec], findings: &mut Findings) -> Option<Vec<Group>> {
    let all = read_all(tree, specs, false, findings)?;
    warn_of_unasked(&all.iter().map(|it| &it.policies).collect::<Vec<_>>(), findings);
    Some(all)
}

/// Does the same, with or without files of tests.
pub(super) fn read_all(
    tree: &dyn Tree,
    specs: &[PolicySpec],
    with_tests: bool,
    findings: &mut Findings,
) -> Option<Vec<Group>> {
    let n_errors = findings.n_errors();
    let mut groups = Vec::new();
    for (idx, first) in specs.iter().enumerate() {
        if specs[..idx].iter().any(|it| it.goes_with(first)) {
            continue;
        }
        let sources = Sources { packages: first.packages.clone(), ..Sources::default() };
        let mut reader = Reader { tree, with_tests, sources, n_seen: 0, n_files: 0, n_bytes: 0, findings };
        specs[idx..].iter().filter(|it| it.goes_with(first)).for_each(|it| reader.entry(it));
        let sources = reader.sources;
        let limit = if first.over == Over::Files { MAX_TIME_OF_FILE } else { MAX_TIME };
        if let Some(policies) = Policies::of(sources, limit, findings) {
            groups.push(Group { over: first.over, matches: first.matches.clone(), policies });
        }
    }
    (findings.n_errors() == n_errors).then_some(groups)
}

struct Reader<'a, 'b> {
    tree: &'a dyn Tree,
    with_tests: bool,
    sources: Sources,
    /// How many files of rules were named, read before or not.
    n_seen: usize,
    n_files: usize,
    n_bytes: usize,
    findings: &'b mut Findings,
}

impl Reader<'_, '_> {
    fn entry(&mut self, spec: &PolicySpec) {
        let what = "policy";
        self.source(&spec.path, what, |reader, path, entry| match entry.kind {
            EntryKind::Directory => {
                let n_seen = reader.n_seen;
                reader.folder(path, path, 0, Wanted::Bundle)?;
                if reader.n_seen == n_seen {
                    let message = format!("there is no policy in `{path}`: none of its files ends with `.rego`");
                    reader.findings.push(Finding::warning(Code::POLICY_INVALID, message).at(&spec.path.place));
                }
                Ok(())
            }
            _ => reader.rules(path, entry).and_then(|()| reader.tests_of(path)),
        });
        for source in &spec.data {
            self.source(source, "data", |reader, path, entry| match entry.kind {
                EntryKind::Directory => reader.folder(path, path, 0, Wanted::Data),
                _ => reader.data(path, &[], entry),
            });
        }
    }

    /// Reads a file or folder that the manifest names.
    fn source(
        &mut self,
        source: &Located<String>,
        what: &str,
        read: impl FnOnce(&mut Self, &str, &TreeEntry) -> Result<(), Finding>,
    ) {
        let path = source.value.trim_end_matches('/');
        let result = match self.tree.find(path).map_err(unreadable) {
            Ok(Some(entry)) if matches!(entry.kind, EntryKind::File { .. } | EntryKind::Directory) => {
                read(self, path, &entry)
            }
            Ok(_) => Err(Finding::error(Code::SOURCE_MISSING, format!("there is no {what} at `{}`", source.value))),
            Err(finding) => Err(finding),
        };
        if let Err(finding) = result {
            self.findings.push(if finding.place.is_some() { finding } else { finding.at(&source.place) });
        }
    }

    fn folder(&mut self, root: &str, path: &str, depth: u32, wanted: Wanted) -> Result<(), Finding> {
        let entries = self.tree.list(path).map_err(unreadable)?;
        for entry in entries.unwrap_or_default() {
            let lossy = String::from_utf8_lossy(&entry.name);
            let Ok(name) = std::str::from_utf8(&entry.name) else {
                if self.is_wanted(wanted, &lossy) || entry.kind == EntryKind::Directory {
                    self.passed_over(path, &lossy, "has a name that is not UTF-8");
                }
                continue;
            };
            let file = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            match entry.kind {
                EntryKind::Directory if depth < MAX_FOLDERS => self.folder(root, &file, depth + 1, wanted)?,
                EntryKind::File { .. } if wanted.data(name) => {
                    let below = path.strip_prefix(root).unwrap_or_default();
                    let steps: Vec<&str> = below.split('/').filter(|it| !it.is_empty()).collect();
                    self.data(&file, &steps, &entry)?;
                }
                EntryKind::File { .. } if wanted == Wanted::Bundle && self.is_rules(name) => {
                    self.rules(&file, &entry)?
                }
                EntryKind::File { .. } => {}
                EntryKind::Directory => self.passed_over(path, name, "is too deep a folder"),
                EntryKind::Submodule => self.passed_over(path, name, "is a submodule"),
                EntryKind::Link if self.is_wanted(wanted, name) || !name.contains('.') => {
                    self.passed_over(path, name, "is a symbolic link");
                }
                EntryKind::Link => {}
            }
        }
        Ok(())
    }

    /// Reports what may hold policies and is not read: a rule that is passed over in silence refuses nothing.
    fn passed_over(&mut self, folder: &str, name: &str, why: &str) {
        let message = format!("`{folder}/{name}` is not read: it {why}");
        let hint = "put a file there, or name its own path in `policies`";
        self.findings.push(Finding::error(Code::POLICY_INVALID, message).at(&Place::whole(folder)).hint(hint));
    }

    fn is_wanted(&self, wanted: Wanted, name: &str) -> bool {
        wanted.data(name) || wanted == Wanted::Bundle && self.is_rules(name)
    }

    fn is_rules(&self, name: &str) -> bool {
        name.ends_with(".rego") && (self.with_tests || !name.ends_with("_test.rego"))
    }

    /// Reads the tests that stand beside a file of rules.
    fn tests_of(&mut self, path: &str) -> Result<(), Finding> {
        let Some(stem) = path.strip_suffix(".rego").filter(|_| self.with_tests) else { return Ok(()) };
        let beside = format!("{stem}_test.rego");
        match self.tree.find(&beside).map_err(unreadable)? {
            Some(entry @ TreeEntry { kind: EntryKind::File { .. }, .. }) => self.rules(&beside, &entry),
            _ => Ok(()),
        }
    }

    fn rules(&mut self, path: &str, entry: &TreeEntry) -> Result<(), Finding> {
        self.n_seen += 1;
        if self.sources.rules.iter().any(|it| it.0 == path) {
            return Ok(());
        }
        let bytes = self.content(path, entry)?;
        self.sources.rules.push((path.to_owned(), bytes));
        Ok(())
    }

    /// Reads a data document and mounts it at `steps`.
    fn data(&mut self, path: &str, steps: &[&str], entry: &TreeEntry) -> Result<(), Finding> {
        let format = Format::of_path(path).filter(|it| matches!(it, Format::Yaml | Format::Json));
        let Some(format) = format else {
            return Err(Finding::error(Code::FORMAT, format!("data must be YAML or JSON, and `{path}` is neither")));
        };
        let bytes = self.content(path, entry)?;
        let file = Arc::from(path);
        let node = document::parse(format, &file, &bytes, &Limits::default(), MergeKeys::Apply, self.findings);
        if let Some(node) = node {
            data::mount(&mut self.sources.data, node, steps, self.findings);
        }
        Ok(())
    }

    fn content(&mut self, path: &str, entry: &TreeEntry) -> Result<Vec<u8>, Finding> {
        let limit = Limits::default().bytes as u64;
        if self.tree.size(&entry.id).map_err(unreadable)? > limit {
            return Err(Finding::error(Code::FILE_TOO_BIG, format!("`{path}` is larger than {limit} bytes")));
        }
        self.n_files += 1;
        if self.n_files > MAX_FILES {
            let message = format!("there are more than {MAX_FILES} files of policies and their data");
            return Err(Finding::error(Code::TOO_MANY_FILES, message));
        }
        let bytes = self.tree.blob(&entry.id).map_err(unreadable)?;
        self.n_bytes += bytes.len();
        if self.n_bytes > MAX_BYTES {
            let message = format!("the policies and their data are larger than {} MiB", MAX_BYTES >> 20);
            return Err(Finding::error(Code::FILE_TOO_BIG, message));
        }
        Ok(bytes)
    }
}

/// What is taken from a folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Rules, and documents named `data` beside them.
    Bundle,
    /// Every document.
    Data,
}

impl Wanted {
    fn data(self, name: &str) -> bool {
        match (self, name.rsplit_once('.')) {
            (Wanted::Bundle, Some((stem, ending))) => stem == "data" && matches!(ending, "yaml" | "yml" | "json"),
            (Wanted::Data, Some((_, ending))) => matches!(ending, "yaml" | "yml" | "json"),
            (_, None) => false,
        }
    }
}

fn unreadable(error: ReadError) -> Finding {
    Finding::error(Code::INCOMPLETE, error.to_string())
}
