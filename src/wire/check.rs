//! What `check` prints.

use super::VERSION;
use crate::config::ChangeKind;
use crate::finding::{Merged, Severity};
use crate::manifest::ReloadAction;
use crate::plan;
use serde::Serialize;

/// What `check` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The version of the shape.
    pub version: u32,
    /// What is wrong, in the order in which it was found; what several environments have alike is there once.
    pub findings: Vec<Finding>,
    /// What the working tree is compared with; only with `--base`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// What the change does, by environment; only with `--base`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<Change>>,
}

/// What a working tree is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Base {
    /// The commit.
    pub revision: String,
    /// How many findings it does not have.
    pub new_findings: u64,
    /// How many of its findings are gone.
    pub gone_findings: u64,
    /// The environments that are gone.
    pub gone_environments: Vec<String>,
}

/// What a change does to hosts that have it alike.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The environment.
    pub environment: String,
    /// The hosts.
    pub hosts: Vec<String>,
    /// Why nothing is known of it, when the base cannot be rendered for them; the lists are empty then.
    pub problem: Option<String>,
    /// The files that it writes or removes.
    pub files: Vec<ChangedFile>,
    /// The values that it changes.
    pub keys: Vec<ChangedKey>,
    /// What is told about it.
    pub reloads: Vec<Reload>,
}

/// A file that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedFile {
    /// The target's name.
    pub target: String,
    /// The path in the target.
    pub path: String,
    /// Where it is on the host.
    pub live: String,
    /// `create`, `replace`, `remove` or `metadata`.
    pub action: &'static str,
    /// Whether it holds something that was encrypted.
    pub sensitive: bool,
}

/// A value that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedKey {
    /// The configuration's name.
    pub configuration: String,
    /// The dotted path.
    pub key: String,
    /// `added`, `removed` or `changed`.
    pub kind: &'static str,
    /// The old value as it may be shown; null when it was added.
    pub old: Option<String>,
    /// The new value as it may be shown; null when it was removed.
    pub new: Option<String>,
}

/// What is told about a change: a unit's job, or a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reload {
    /// The unit's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What is done to the unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The program and its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// Its documented name.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// The file, when it is known.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column in characters, from 1.
    pub column: Option<u32>,
    /// The JSON pointer of the value inside its configuration, when it is about one.
    pub pointer: Option<String>,
    /// What was expected there, in words.
    pub expected: Option<String>,
    /// What was found instead.
    pub found: Option<String>,
    /// The rule that says so: a pointer into the schema, or the name of a policy's or a program's own rule.
    pub rule: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The first of `environments`.
    pub environment: Option<String>,
    /// The environments that have it.
    pub environments: Vec<String>,
}

impl Check {
    /// Returns the document for findings.
    pub fn new(findings: &[Merged<'_>]) -> Self {
        Check { version: VERSION, findings: findings.iter().map(Finding::from).collect(), base: None, changes: None }
    }

    /// Adds what the change does.
    #[must_use]
    pub fn against(self, base: Base, changes: Vec<Change>) -> Self {
        Check { base: Some(base), changes: Some(changes), ..self }
    }
}

impl Change {
    /// Returns what a change does to some hosts.
    pub fn new(environment: &str, hosts: &[String], difference: &plan::Difference) -> Self {
        Change {
            environment: environment.to_owned(),
            hosts: hosts.to_vec(),
            problem: None,
            files: difference.files.iter().map(ChangedFile::from).collect(),
            keys: difference.keys.iter().map(ChangedKey::from).collect(),
            reloads: difference.reloads.iter().map(Reload::from).collect(),
        }
    }

    /// Returns that nothing is known about some hosts.
    pub fn unknown(environment: &str, hosts: &[String], problem: String) -> Self {
        Change { problem: Some(problem), ..Change::new(environment, hosts, &plan::Difference::default()) }
    }
}

impl From<&plan::FileChange> for ChangedFile {
    fn from(it: &plan::FileChange) -> Self {
        ChangedFile {
            target: it.target.clone(),
            path: it.path.to_string(),
            live: format!("{}/{}", it.root, it.path),
            action: it.action.as_str(),
            sensitive: it.sensitive,
        }
    }
}

impl From<&plan::KeyChange> for ChangedKey {
    fn from(it: &plan::KeyChange) -> Self {
        let kind = match it.change.kind {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Changed => "changed",
        };
        let change = it.change.clone();
        ChangedKey { configuration: it.configuration.clone(), key: change.path, kind, old: change.old, new: change.new }
    }
}

impl From<&ReloadAction> for Reload {
    fn from(it: &ReloadAction) -> Self {
        match it.clone() {
            ReloadAction::Unit { unit, verb } => Reload { unit: Some(unit), action: Some(verb), command: None },
            ReloadAction::Command(argv) => Reload { unit: None, action: None, command: Some(argv) },
        }
    }
}

impl From<&Merged<'_>> for Finding {
    fn from(Merged { finding, environments }: &Merged<'_>) -> Self {
        let known = |number: u32| (number > 0).then_some(number);
        let environments: Vec<String> = environments.iter().map(|it| (*it).to_owned()).collect();
        Finding {
            severity: finding.severity,
            code: finding.code.name,
            message: finding.message.clone(),
            file: finding.place.as_ref().map(|it| it.file.to_string()),
            line: finding.place.as_ref().and_then(|it| known(it.line)),
            column: finding.place.as_ref().and_then(|it| known(it.column)),
            pointer: finding.pointer.clone(),
            expected: finding.expected.clone(),
            found: finding.found.clone(),
            rule: finding.rule.clone(),
            hint: finding.hint.clone(),
            environment: environments.first().cloned(),
            environments,
        }
    }
}
