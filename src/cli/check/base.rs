//! What a change does, held against an earlier commit.

use super::scenes::Scene;
use crate::cli::checkout::Checkout;
use crate::cli::exit::Failure;
use crate::cli::ui::{BAD, DIM, GOOD, HEAD, Ui, WARN};
use crate::cli::words::{count, list};
use crate::config::ChangeKind;
use crate::finding::{Code, Findings};
use crate::git::{self, GitTree};
use crate::manifest::{Manifest, ReloadAction};
use crate::pipeline::{self, Memory, Rendered};
use crate::plan::{self, Action, Difference, FileChange, KeyChange, Side};
use crate::render::{Content, escaped};
use crate::revision::{ObjectId, Tree};
use crate::wire;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The most lines of one kind that are shown to a person for one environment.
const LINES_MAX: usize = 50;

/// An earlier commit, and what differs from it.
pub struct Base {
    revision: ObjectId,
    /// The folder of the working tree.
    dir: PathBuf,
    memory: Memory,
    /// Its manifest; `None` when there is none, or it cannot be read.
    pub manifest: Option<Manifest>,
    findings: Findings,
    groups: Vec<Group>,
}

/// An earlier commit as one of several threads reads it.
pub struct Reader<'a> {
    base: &'a Base,
    tree: Option<GitTree>,
}

/// Hosts to which the change does the same.
struct Group {
    environment: String,
    hosts: Vec<String>,
    outcome: Outcome,
}

#[derive(PartialEq)]
enum Outcome {
    Known(Difference),
    /// The base cannot be rendered for the hosts; so many errors say why.
    Unknown(usize),
}

impl Base {
    /// Finds the commit that `text` names in the repository that the folder `dir` lies in. Nothing is written there.
    pub fn open(dir: &Path, text: &str, checkout: &Checkout) -> Result<Base, Failure> {
        let revision = discover(dir)?.resolve(text).map_err(failed)?;
        let (dir, memory, manifest) = (dir.to_owned(), checkout.memory_beside(), None);
        let mut base = Base { revision, dir, memory, manifest, findings: Findings::new(), groups: Vec::new() };
        let tree = base.open_tree()?;
        let manifest = tree.as_ref().and_then(|it| pipeline::load_manifest(it, &mut base.findings));
        base.manifest = manifest.filter(|_| !base.findings.has_errors());
        Ok(base)
    }

    /// Opens the folder's files; `None` where the commit does not have the folder.
    fn open_tree(&self) -> Result<Option<GitTree>, Failure> {
        discover(&self.dir)?.tree(&self.revision).map_err(failed)
    }

    /// Returns what one thread compares with.
    pub fn reader(&self) -> Result<Reader<'_>, Failure> {
        Ok(Reader { base: self, tree: self.open_tree()? })
    }

    /// Adds what a comparison came to.
    pub fn add(&mut self, scene: &Scene, compared: Compared) {
        self.findings.extend(compared.findings);
        let (environment, host, outcome) = (scene.facts.environment.clone(), scene.title(), compared.outcome);
        match self.groups.iter_mut().find(|it| it.environment == environment && it.outcome == outcome) {
            Some(group) => group.hosts.push(host),
            None => self.groups.push(Group { environment, hosts: vec![host], outcome }),
        }
    }

    /// Returns the environments that the base has and `manifest` has not.
    fn gone_environments(&self, manifest: &Manifest) -> Vec<String> {
        let old = self.manifest.iter().flat_map(|it| it.environments.keys());
        old.filter(|it| !manifest.environments.contains_key(*it)).cloned().collect()
    }

    /// Returns how many findings are new, and how many are gone. A line that moved is neither.
    fn counts(&self, findings: &Findings) -> (u64, u64) {
        fn of(findings: &Findings) -> HashSet<(Code, &str, Option<&str>)> {
            findings.iter().map(|it| (it.code, it.message.as_str(), it.place.as_ref().map(|it| &*it.file))).collect()
        }
        let (old, new) = (of(&self.findings), of(findings));
        (new.difference(&old).count() as u64, old.difference(&new).count() as u64)
    }

    /// Adds what the change does to the document.
    pub fn document(&self, document: wire::Check, manifest: &Manifest, findings: &Findings) -> wire::Check {
        let (new_findings, gone_findings) = self.counts(findings);
        let base = wire::Base {
            revision: self.revision.to_string(),
            new_findings,
            gone_findings,
            gone_environments: self.gone_environments(manifest),
        };
        let change = |it: &Group| match &it.outcome {
            Outcome::Known(difference) => wire::Change::new(&it.environment, &it.hosts, difference),
            Outcome::Unknown(n_errors) => wire::Change::unknown(&it.environment, &it.hosts, self.problem(*n_errors)),
        };
        document.against(base, self.groups.iter().map(change).collect())
    }

    fn problem(&self, n_errors: usize) -> String {
        let errors = count(n_errors as u64, "error", "errors");
        format!("{} cannot be rendered itself ({errors}), so there is nothing to compare with", self.revision.short())
    }

    /// Prints what the change does.
    pub fn print(&self, manifest: &Manifest, findings: &Findings, ui: &Ui) -> Result<(), Failure> {
        let is_same = |it: &&Group| matches!(&it.outcome, Outcome::Known(difference) if difference.is_empty());
        for group in self.groups.iter().filter(|it| !is_same(it)) {
            let hosts: Vec<&str> = group.hosts.iter().map(String::as_str).collect();
            ui.print(format_args!("{HEAD}{}{HEAD:#}: {}", escaped(&group.environment), escaped(&list(&hosts))))?;
            match &group.outcome {
                Outcome::Known(difference) => print(difference, ui)?,
                Outcome::Unknown(n_errors) => ui.print(format_args!("  {}", self.problem(*n_errors)))?,
            }
        }
        let same: Vec<&str> = self.groups.iter().filter(is_same).map(|it| it.environment.as_str()).collect();
        let changed = |name: &&&str| self.groups.iter().any(|it| it.environment == **name && !is_same(&it));
        let (partly, wholly): (Vec<&str>, Vec<&str>) = same.iter().partition(|it| changed(it));
        if !wholly.is_empty() {
            ui.print(format_args!("nothing changes in {}", escaped(&list(&wholly))))?;
        }
        if !partly.is_empty() {
            ui.print(format_args!("nothing changes on the other hosts of {}", escaped(&list(&partly))))?;
        }
        for environment in self.gone_environments(manifest) {
            ui.print(format_args!(
                "{WARN}{}{WARN:#} is gone: hosts that deploy it keep what they have, and refuse the change",
                escaped(&environment)
            ))?;
        }
        let (new, gone) = self.counts(findings);
        if new + gone > 0 {
            let new = count(new, "finding is new", "findings are new");
            ui.print(format_args!("since {}, {new} and {gone} gone", self.revision.short()))?;
        }
        Ok(())
    }
}

/// What a comparison for one host came to.
pub struct Compared {
    outcome: Outcome,
    /// What is wrong with the base.
    findings: Findings,
}

impl Reader<'_> {
    /// Compares what a host has with what it would get. What is wrong with the base itself is only counted.
    pub fn compare(&self, checkout: &Checkout, scene: &Scene, new: &Rendered, findings: &mut Findings) -> Compared {
        let mut of_base = Findings::new();
        let outcome = match self.render(checkout, scene, &mut of_base) {
            Err(n_errors) => Outcome::Unknown(n_errors),
            Ok(old) => {
                let equal = |old: &Content, new: &Content| {
                    let old = self.bytes(old);
                    old.is_some() && old == checkout.content(new).ok()
                };
                let mut found = Findings::new();
                let sides = (old.as_ref().map(side), side(new));
                let difference = plan::compare(sides.0, sides.1, &equal, &mut found);
                found.in_environment(&scene.facts.environment);
                findings.extend(found);
                Outcome::Known(difference)
            }
        };
        Compared { outcome, findings: of_base }
    }

    /// Returns what the host has of the base, `None` when that is nothing; or how many errors are in the way.
    fn render(&self, checkout: &Checkout, scene: &Scene, findings: &mut Findings) -> Result<Option<Rendered>, usize> {
        let base = self.base;
        let is_repository = !base.findings.iter().any(|it| it.code == Code::MANIFEST_MISSING);
        let Some(tree) = self.tree.as_ref().filter(|_| is_repository) else { return Ok(None) };
        let Some(manifest) = &base.manifest else { return Err(base.findings.n_errors()) };
        if manifest.environment(&scene.facts.environment).is_none() {
            return Ok(None);
        }
        let rendered = checkout.render_tree(tree, &base.memory, &scene.facts, findings);
        rendered.map(Some).ok_or(findings.n_errors())
    }

    fn bytes(&self, content: &Content) -> Option<Vec<u8>> {
        match content {
            Content::Blob { id, .. } => self.tree.as_ref()?.blob(id).ok(),
            Content::Bytes(bytes) => Some(bytes.to_vec()),
            Content::Link(_) => None,
        }
    }
}

/// Finds the repository that a folder lies in.
fn discover(dir: &Path) -> Result<git::Checkout, Failure> {
    git::Checkout::discover(dir).map_err(failed)?.ok_or_else(|| {
        let message = format!("`--base` needs a git repository, and {} is in none", dir.display());
        Failure::usage(message)
    })
}

fn failed(error: git::Error) -> Failure {
    Failure::new(error.to_finding())
}

fn side(rendered: &Rendered) -> Side<'_> {
    Side { rendering: &rendered.rendering, configurations: &rendered.configurations }
}

fn print(difference: &Difference, ui: &Ui) -> Result<(), Failure> {
    lines("files", &difference.files, file, ui)?;
    lines("keys", &difference.keys, key, ui)?;
    lines("restarts", &difference.reloads, reload, ui)
}

fn lines<T>(head: &str, items: &[T], line: impl Fn(&T) -> String, ui: &Ui) -> Result<(), Failure> {
    if items.is_empty() {
        return Ok(());
    }
    ui.print(format_args!("  {DIM}{head}{DIM:#}"))?;
    for item in items.iter().take(LINES_MAX) {
        ui.print(format_args!("    {}", line(item)))?;
    }
    match items.len().saturating_sub(LINES_MAX) {
        0 => Ok(()),
        more => ui.print(format_args!("    ... {more} more; --json has all")),
    }
}

fn file(it: &FileChange) -> String {
    let name = escaped(&format!("{}/{}", it.root, it.path));
    let secret = if it.sensitive { " (secret)" } else { "" };
    match it.action {
        Action::Create => format!("{GOOD}+{GOOD:#} {name}{secret}"),
        Action::Remove => format!("{BAD}-{BAD:#} {name}{secret}"),
        Action::Metadata => format!("{WARN}~{WARN:#} {name}{secret} (mode or owner only)"),
        _ => format!("{WARN}~{WARN:#} {name}{secret}"),
    }
}

fn key(it: &KeyChange) -> String {
    let (name, change) = (escaped(&format!("{}: {}", it.configuration, it.change.path)), &it.change);
    let shown = |it: &Option<String>| escaped(it.as_deref().unwrap_or_default());
    match change.kind {
        ChangeKind::Added => format!("{GOOD}+{GOOD:#} {name} = {}", shown(&change.new)),
        ChangeKind::Removed => format!("{BAD}-{BAD:#} {name} = {}", shown(&change.old)),
        ChangeKind::Changed => format!("{WARN}~{WARN:#} {name} = {} -> {}", shown(&change.old), shown(&change.new)),
    }
}

fn reload(it: &ReloadAction) -> String {
    match it {
        ReloadAction::Unit { unit, verb } => escaped(&format!("{unit} ({verb})")),
        ReloadAction::Command(argv) => escaped(&argv.join(" ")),
    }
}
