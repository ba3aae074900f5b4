//! The entries of `policies`.

use super::Located;
use super::paths::{globs, repository_path};
use crate::document::decode::Fields;
use crate::document::{Node, Value, decode};
use crate::finding::{Code, Finding, Findings};

/// One entry of `policies`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySpec {
    /// A file or folder of Rego rules.
    pub path: Located<String>,
    /// What the rules are asked about.
    pub over: Over,
    /// Globs over rendered files, as TARGET/PATH; all that have a structure when empty.
    pub matches: Vec<Located<String>>,
    /// The packages whose rules are asked.
    pub packages: Packages,
    /// Files and folders of data documents.
    pub data: Vec<Located<String>>,
}

/// What policies are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Over {
    /// All that a host would deploy, in one question: its configurations and targets.
    Configurations,
    /// Rendered files, one by one.
    Files,
}

/// The packages whose rules are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packages {
    /// Every one.
    All,
    /// Those with these names.
    Named(Vec<String>),
}

impl Default for Packages {
    /// Returns `main` alone, as conftest has it.
    fn default() -> Self {
        Packages::Named(vec!["main".to_owned()])
    }
}

impl PolicySpec {
    /// Returns the entry that is only a path.
    pub fn plain(path: Located<String>) -> Self {
        let (matches, data) = (Vec::new(), Vec::new());
        PolicySpec { path, over: Over::Configurations, matches, packages: Packages::default(), data }
    }

    /// Returns whether two entries ask the same packages about the same things, so that their files belong together.
    pub fn goes_with(&self, other: &PolicySpec) -> bool {
        let globs = |it: &PolicySpec| it.matches.iter().map(|it| it.value.clone()).collect::<Vec<_>>();
        self.over == other.over && self.packages == other.packages && globs(self) == globs(other)
    }
}

/// Reads an entry: a path, or a map.
pub(super) fn policy(node: &Node, what: &str, findings: &mut Findings) -> Option<PolicySpec> {
    if node.as_map().is_none() {
        return repository_path(node, what, findings).map(PolicySpec::plain);
    }
    const OVER: [(&str, Over); 2] = [("configurations", Over::Configurations), ("files", Over::Files)];
    let mut fields = Fields::new(node, what, findings)?;
    let path = fields.required("path", findings);
    let path = path.and_then(|it| repository_path(it, &fields.path("path"), findings));
    let over = fields.optional_choice("over", &OVER, findings).unwrap_or(Over::Configurations);
    let matches = globs(fields.strings("match", findings), &fields.path("match"), findings);
    if let Some(first) = matches.first().filter(|_| over == Over::Configurations) {
        let message = format!("`{}` has no effect without `over: files`", fields.path("match"));
        findings.push(Finding::error(Code::VALUE, message).at(&first.place));
    }
    let packages = match fields.take("packages") {
        None => Packages::default(),
        Some(node) => packages(node, &fields.path("packages"), findings),
    };
    let name = fields.path("data");
    let data = fields.list("data", findings).iter().filter_map(|it| repository_path(it, &name, findings)).collect();
    fields.finish(findings);
    Some(PolicySpec { path: path?, over, matches, packages, data })
}

/// Reads `all`, or a list of names.
fn packages(node: &Node, what: &str, findings: &mut Findings) -> Packages {
    if matches!(&node.value, Value::String(text) if text == "all") {
        return Packages::All;
    }
    let Some(items) = node.as_list() else {
        decode::wrong_value(node, format!("`{what}` must be `all` or a list of packages"), findings);
        return Packages::default();
    };
    if items.is_empty() {
        decode::wrong_value(node, format!("`{what}` names no package"), findings);
    }
    Packages::Named(items.iter().filter_map(|it| decode::text(it, what, findings).map(str::to_owned)).collect())
}
