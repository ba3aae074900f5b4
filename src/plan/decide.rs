//! What is done at each path.

use super::{
    Accounts, Action, Before, Ledger, LiveEntry, LiveKind, LivePath, Operation, Plan, Recorded, Situation, Wanted,
};
use crate::finding::{Code, Finding, Findings};
use crate::manifest::{Prune, path_globs};
use crate::place::Place;
use crate::render::{Content, OutputFile, RenderedTarget, Rendering, TargetPath};
use globset::GlobSet;
use std::collections::{BTreeMap, BTreeSet};

/// A target may always lose this many files.
pub const REMOVALS_ALWAYS: u64 = 20;
/// A larger target may lose this share of its files, in percent.
const REMOVALS_PERCENT: u64 = 30;

/// Returns how many of the files in a directory may go at once.
pub(super) fn removals_max(present: u64) -> u64 {
    REMOVALS_ALWAYS.max(present.saturating_mul(REMOVALS_PERCENT) / 100)
}

/// Returns the paths that must be looked at before a plan can be made: those where the ledger and the rendering differ.
pub fn questions(rendering: &Rendering, ledger: &Ledger, accounts: &Accounts) -> BTreeSet<LivePath> {
    let mut asked = BTreeSet::new();
    for target in &rendering.targets {
        for (path, file) in &target.files {
            let at = LivePath { root: target.path.clone(), path: path.clone() };
            let is_settled = match (ledger.get(&at), wanted(file, accounts)) {
                (Some(row), Ok(wanted)) => is_recorded(row, &wanted),
                _ => false,
            };
            if !is_settled {
                asked.insert(at);
            }
        }
    }
    let targets: BTreeMap<&str, &RenderedTarget> = rendering.targets.iter().map(|it| (it.path.as_str(), it)).collect();
    let is_left_over = |at: &&LivePath| targets.get(at.root.as_str()).is_none_or(|it| !it.files.contains_key(&at.path));
    asked.extend(ledger.keys().filter(is_left_over).cloned());
    asked
}

/// Returns the operations that turn what is live into `rendering`; what stands in the way is pushed to `findings`.
pub fn plan(rendering: &Rendering, situation: &Situation, findings: &mut Findings) -> Plan {
    let mut plan = Plan::default();
    for target in &rendering.targets {
        // Loading has refused globs that cannot be read.
        let ignore = path_globs(target.ignore.iter().map(String::as_str)).ok();
        let mut planner = Planner { target, ignore, situation, unknown: BTreeSet::new(), unchanged: 0 };
        let operations: Vec<_> =
            planner.paths().into_iter().filter_map(|path| planner.decide(path, findings)).collect();
        let removal =
            Removal { target: &target.name, root: &target.path, place: &target.place, operations: &operations };
        removal.guard(target.allow_removal, situation, findings);
        plan.operations.extend(operations);
        plan.unchanged += planner.unchanged;
    }
    plan_abandoned(rendering, situation, &mut plan, findings);
    plan
}

/// Targets that the host no longer has are emptied of what headfast wrote there.
fn plan_abandoned(rendering: &Rendering, situation: &Situation, plan: &mut Plan, findings: &mut Findings) {
    let selected: BTreeSet<&str> = rendering.targets.iter().map(|it| it.path.as_str()).collect();
    let mut abandoned: BTreeMap<&str, Vec<Operation>> = BTreeMap::new();
    for (at, row) in situation.ledger.iter().filter(|(at, _)| !selected.contains(at.root.as_str())) {
        abandoned.entry(&at.root).or_default().push(remove(&at.root, at, row, situation));
    }
    for (root, operations) in abandoned {
        let place = Place::whole("headfast.yaml");
        let is_released = rendering.released.iter().any(|it| it == root);
        let removal = Removal { target: root, root, place: &place, operations: &operations };
        removal.guard(is_released, situation, findings);
        plan.operations.extend(operations);
    }
}

/// One target on its way to operations.
struct Planner<'a> {
    target: &'a RenderedTarget,
    ignore: Option<GlobSet>,
    situation: &'a Situation<'a>,
    /// Users and groups that this host lacks: one that is missing is one mistake, however many files name it.
    unknown: BTreeSet<String>,
    unchanged: u64,
}

impl Planner<'_> {
    /// Returns every path of the target that is rendered, recorded, or, with `prune: all`, seen.
    fn paths(&self) -> BTreeSet<TargetPath> {
        let root = &self.target.path;
        let recorded = self.situation.ledger.keys().filter(|it| it.root == *root);
        let seen = self.situation.observed.keys().filter(|it| self.target.prune == Prune::All && it.root == *root);
        self.target.files.keys().chain(recorded.chain(seen).map(|it| &it.path)).cloned().collect()
    }

    fn decide(&mut self, path: TargetPath, findings: &mut Findings) -> Option<Operation> {
        let target = self.target;
        let at = LivePath { root: target.path.clone(), path };
        let row = self.situation.ledger.get(&at);
        let Some(file) = target.files.get(&at.path) else {
            return match row {
                Some(row) => Some(self.left_over(&at, row)),
                None => self.foreign(at),
            };
        };
        match wanted(file, self.situation.accounts) {
            Ok(wanted) if row.is_some_and(|it| is_recorded(it, &wanted)) => {
                self.unchanged += 1;
                None
            }
            Ok(wanted) => self.write(file, at, row, wanted, findings),
            Err(missing) => {
                if self.unknown.insert(missing.clone()) {
                    let message = format!("{missing}, which `{}` needs", at.path);
                    let finding = Finding::error(Code::OWNER, message).at(&file.place);
                    findings.push(finding.hint("create it on this host, or name another"));
                }
                None
            }
        }
    }

    fn write(
        &self,
        file: &OutputFile,
        at: LivePath,
        row: Option<&Recorded>,
        wanted: Wanted,
        findings: &mut Findings,
    ) -> Option<Operation> {
        let Some(observation) = self.situation.observed.get(&at) else {
            let message = format!("`{}/{}` was not looked at", at.root, at.path);
            findings.push(Finding::error(Code::IO, message).at(&file.place));
            return None;
        };
        let Some(live) = observation.live.clone() else {
            return Some(self.operation(at, Action::Create, Before::Absent, None, row, Some(wanted)));
        };
        if matches!(live.kind, LiveKind::Directory | LiveKind::Other) {
            findings.push(in_the_way(&at, &live.kind, &file.place));
            return None;
        }
        let before = row.map_or(Before::Existing, |it| before(it, &live));
        let action = match observation.equals_wanted && live.kind == wanted.kind {
            true if same_metadata((live.mode, live.uid, live.gid), &wanted) => Action::Adopt,
            true => Action::Metadata,
            false if before == Before::Existing && self.situation.existing_refuse => {
                let message = format!("`{}/{}` exists, and headfast did not write it", at.root, at.path);
                let hint = "move it away, or set `existing: keep` in agent.yaml: the file is then kept aside for good";
                findings.push(Finding::error(Code::EXISTING, message).at(&file.place).hint(hint));
                return None;
            }
            false => Action::Replace,
        };
        if action == Action::Replace && is_empty(&file.content) && live.kind == LiveKind::File && live.stat.size > 0 {
            let message = format!("`{}/{}` becomes empty", at.root, at.path);
            findings.push(Finding::warning(Code::EMPTY_FILE, message).at(&file.place));
        }
        Some(self.operation(at, action, before, Some(live), row, Some(wanted)))
    }

    fn operation(
        &self,
        at: LivePath,
        action: Action,
        before: Before,
        live: Option<LiveEntry>,
        row: Option<&Recorded>,
        wanted: Option<Wanted>,
    ) -> Operation {
        let sensitive = row.is_some_and(|it| it.sensitive) || wanted.as_ref().is_some_and(|it| it.sensitive);
        Operation { target: self.target.name.clone(), at, action, before, live, wanted, sensitive }
    }

    /// A file of the ledger that the rendering no longer has.
    fn left_over(&self, at: &LivePath, row: &Recorded) -> Operation {
        if self.target.prune == Prune::Never || self.ignores(&at.path) {
            return forget(&self.target.name, at, row, self.situation);
        }
        remove(&self.target.name, at, row, self.situation)
    }

    /// A file that is neither in the ledger nor in the rendering, where `prune: all` asks for it.
    fn foreign(&self, at: LivePath) -> Option<Operation> {
        let live = self.situation.observed.get(&at)?.live.clone()?;
        if !matches!(live.kind, LiveKind::File | LiveKind::Link(_)) || self.ignores(&at.path) {
            return None;
        }
        Some(self.operation(at, Action::Remove, Before::Existing, Some(live), None, None))
    }

    fn ignores(&self, path: &TargetPath) -> bool {
        self.ignore.as_ref().is_some_and(|it| it.is_match(path.as_str()))
    }
}

fn is_empty(content: &Content) -> bool {
    match content {
        Content::Blob { size, .. } => *size == 0,
        Content::Bytes(bytes) => bytes.is_empty(),
        Content::Link(_) => false,
    }
}

fn remove(target: &str, at: &LivePath, row: &Recorded, situation: &Situation) -> Operation {
    let operation = forget(target, at, row, situation);
    match operation.live.as_ref().map(|it| &it.kind) {
        Some(LiveKind::File | LiveKind::Link(_)) => Operation { action: Action::Remove, ..operation },
        // Nothing is there, or what took the file's place is someone else's.
        Some(LiveKind::Directory | LiveKind::Other) | None => operation,
    }
}

fn forget(target: &str, at: &LivePath, row: &Recorded, situation: &Situation) -> Operation {
    let live = situation.observed.get(at).and_then(|it| it.live.clone());
    let before = live.as_ref().map_or(Before::Absent, |it| before(row, it));
    Operation {
        target: target.to_owned(),
        at: at.clone(),
        action: Action::Forget,
        before,
        live,
        wanted: None,
        sensitive: row.sensitive,
    }
}

/// Returns whether the ledger says that `wanted` is what was written.
fn is_recorded(row: &Recorded, wanted: &Wanted) -> bool {
    row.identity == wanted.identity
        && row.kind == wanted.kind
        && row.sensitive == wanted.sensitive
        && same_metadata((row.mode, row.uid, row.gid), wanted)
}

/// Links have no mode of their own, and their owner means nothing.
fn same_metadata((mode, uid, gid): (u32, u32, u32), wanted: &Wanted) -> bool {
    matches!(wanted.kind, LiveKind::Link(_)) || (mode, uid, gid) == (wanted.mode, wanted.uid, wanted.gid)
}

/// Returns whether `live` is still what headfast wrote.
pub(super) fn before(row: &Recorded, live: &LiveEntry) -> Before {
    let is_same = match (&row.kind, &live.kind, &live.digest) {
        (LiveKind::File, LiveKind::File, digest) => {
            // Bytes that nobody read are the same when nothing that changes with them has changed.
            digest.as_ref().map_or(live.stat == row.stat, |it| it.0 == row.digest)
                && (row.mode, row.uid, row.gid) == (live.mode, live.uid, live.gid)
        }
        (recorded, live, _) => recorded == live,
    };
    if is_same { Before::Clean } else { Before::Drifted }
}

/// Returns what `file` shall be on this host, or what the host lacks.
pub(super) fn wanted(file: &OutputFile, accounts: &Accounts) -> Result<Wanted, String> {
    let uid = number(file.owner.as_deref(), &accounts.users, accounts.default_uid, "user")?;
    let gid = number(file.group.as_deref(), &accounts.groups, accounts.default_gid, "group")?;
    let kind = match &file.content {
        Content::Link(text) => LiveKind::Link(text.clone()),
        Content::Blob { .. } | Content::Bytes(_) => LiveKind::File,
    };
    let identity = file.identity.0.clone();
    Ok(Wanted { kind, mode: file.mode, uid, gid, sensitive: file.sensitive, identity })
}

fn number(name: Option<&str>, known: &BTreeMap<String, u32>, default: u32, what: &str) -> Result<u32, String> {
    let Some(name) = name else { return Ok(default) };
    let number = known.get(name).copied().or_else(|| name.parse().ok());
    number.ok_or_else(|| format!("this host has no {what} `{name}`"))
}

fn in_the_way(at: &LivePath, kind: &LiveKind, place: &Place) -> Finding {
    let (what, hint) = match kind {
        LiveKind::Directory => (
            "a directory stands",
            "remove what is in it, in a commit of its own if headfast wrote it, and add the file after that",
        ),
        _ => ("a FIFO, socket or device stands", "move it away"),
    };
    let message = format!("{what} at `{}/{}`, where a file belongs", at.root, at.path);
    Finding::error(Code::TARGET_TYPE, message).at(place).hint(hint)
}

/// What a plan takes away from one directory.
struct Removal<'a> {
    target: &'a str,
    root: &'a str,
    place: &'a Place,
    operations: &'a [Operation],
}

impl Removal<'_> {
    /// Refuses to empty a directory, or to take more than a fair share of its files away (DESIGN.md section 5).
    fn guard(&self, is_released: bool, situation: &Situation, findings: &mut Findings) {
        let (removed, created) = (self.count(Action::Remove), self.count(Action::Create));
        if removed == 0 || is_released || situation.exempt {
            return;
        }
        let recorded = || situation.ledger.keys().filter(|it| it.root == self.root).count() as u64;
        let present = situation.present.get(self.root).copied().unwrap_or_else(recorded).max(removed);
        let limit = removals_max(present);
        let is_emptied = removed == present && created == 0;
        if removed <= limit && !is_emptied {
            return;
        }
        let share = if is_emptied { "all".to_owned() } else { format!("{removed} of the") };
        let files = if present == 1 { "file" } else { "files" };
        let message = format!("this would remove {share} {present} {files} in {}", self.root);
        let hint =
            format!("if that is meant, add `allow_removal: [{}]` to headfast.yaml for this revision", self.target);
        findings.push(Finding::error(Code::MASS_DELETE, message).at(self.place).hint(hint));
    }

    fn count(&self, action: Action) -> u64 {
        self.operations.iter().filter(|it| it.action == action).count() as u64
    }
}
