//! What a rendering may touch on this host: `allow` of agent.yaml. Pure: all refusals at once, before anything is written.

use crate::finding::{Code, Finding, Findings};
use crate::host::accounts;
use crate::host::service::{Powers, Wish};
use crate::manifest::{ProbeKind, ReloadAction, covers};
use crate::place::Place;
use crate::plan::Ledger;
use crate::render::{RenderedTarget, Rendering};
use crate::settings::{Allow, Repository, Settings};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Checks every target, command, unit and owner of a rendering against what the host allows.
pub fn allowed(rendering: &Rendering, settings: &Settings, repository: &Repository, findings: &mut Findings) {
    let gate = Gate::of(settings, repository);
    for target in &rendering.targets {
        gate.path(target, findings);
        gate.actions(target, findings);
        gate.accounts(target, findings);
    }
}

/// Checks the directories that are only pruned, because this host has them no longer as targets: what may not be written may
/// not be removed either, nor even be looked at.
pub fn abandoned(
    files: &Ledger,
    rendering: &Rendering,
    settings: &Settings,
    repository: &Repository,
    findings: &mut Findings,
) {
    let is_selected = |root: &str| rendering.targets.iter().any(|it| it.path == root);
    let roots: BTreeSet<&str> = files.keys().map(|it| it.root.as_str()).filter(|root| !is_selected(root)).collect();
    for root in roots {
        if let Err(finding) = settings.judge_target(repository, root) {
            let message =
                format!("files in {root}, which is no target here any more, would be removed: {}", finding.message);
            findings.push(Finding { message, ..finding }.at(&Place::whole("headfast.yaml")));
        }
    }
}

/// Refuses targets that meet a directory in which another repository of this host has written.
pub fn apart(rendering: &Rendering, neighbours: &[(String, String)], findings: &mut Findings) {
    for target in &rendering.targets {
        for (owner, root) in neighbours {
            if covers(root, &target.path) || covers(&target.path, root) {
                let message = format!(
                    "target {:?} ({}) meets {root}, where the repository {owner:?} has written",
                    target.name, target.path
                );
                let hint = "two repositories of one host need directories of their own";
                findings.push(Finding::error(Code::TARGET_OVERLAP, message).at(&target.place).hint(hint));
            }
        }
    }
}

/// Returns what the transaction process may do, by the same rules.
pub fn powers(settings: &Settings) -> Powers {
    let settings = settings.clone();
    let state_dir = settings.state_dir.to_string_lossy().into_owned();
    let judge = move |name: &str, wish: Wish<'_>| {
        let Some(repository) = settings.repository(name) else {
            return Err(Finding::error(Code::NOT_FOUND, format!("agent.yaml has no repository {name:?}")));
        };
        Gate::of(&settings, repository).judge(wish)
    };
    Powers { state_dir, systemctl: "systemctl".to_owned(), judge: Box::new(judge) }
}

struct Gate<'a> {
    settings: &'a Settings,
    repository: &'a Repository,
    allow: Cow<'a, Allow>,
}

impl<'a> Gate<'a> {
    fn of(settings: &'a Settings, repository: &'a Repository) -> Gate<'a> {
        let allow = repository.allow.as_ref().map_or_else(|| Cow::Owned(Allow::default()), Cow::Borrowed);
        Gate { settings, repository, allow }
    }

    /// Says whether the repository may have something; what is wrong has no place.
    fn judge(&self, wish: Wish<'_>) -> Result<(), Finding> {
        match wish {
            Wish::Path(path) => self.settings.judge_target(self.repository, path),
            Wish::Command(program) if self.allow.commands.iter().any(|it| it == program) => Ok(()),
            Wish::Command(program) => {
                let message = format!("the command {program:?} is not in `allow.commands`");
                let hint = format!("if this repository may run it, add `{program}` to `allow.commands` in agent.yaml");
                Err(Finding::error(Code::COMMAND_NOT_ALLOWED, message).hint(hint))
            }
            Wish::Unit(unit) if self.allow.units.iter().any(|it| it == unit) => Ok(()),
            Wish::Unit(unit) => {
                let message = format!("the unit {unit:?} is not in `allow.units`");
                let hint = format!("if this repository may control it, add `{unit}` to `allow.units` in agent.yaml");
                Err(Finding::error(Code::UNIT_NOT_ALLOWED, message).hint(hint))
            }
            Wish::User(uid) => self.number("user", uid, rustix::process::geteuid().as_raw(), |names| {
                accounts::resolve(names, &BTreeSet::new()).map(|it| it.users)
            }),
            Wish::Group(gid) => self.number("group", gid, rustix::process::getegid().as_raw(), |names| {
                accounts::resolve(&BTreeSet::new(), names).map(|it| it.groups)
            }),
        }
    }

    /// Says whether files may be given to an account: to the process's own, or to one of `allow.users`, which are looked up
    /// one by one because a host need not have them all.
    fn number(
        &self,
        kind: &str,
        wanted: u32,
        own: u32,
        resolve: impl Fn(&BTreeSet<String>) -> Result<BTreeMap<String, u32>, crate::host::Error>,
    ) -> Result<(), Finding> {
        let is_wanted = |name: &String| {
            resolve(&BTreeSet::from([name.clone()])).is_ok_and(|it| it.values().any(|number| *number == wanted))
        };
        if wanted == own || self.allow.users.iter().any(is_wanted) {
            return Ok(());
        }
        let message = format!("files would be given to the {kind} {wanted}, which `allow.users` does not have");
        Err(Finding::error(Code::USER_NOT_ALLOWED, message))
    }

    fn path(&self, target: &RenderedTarget, findings: &mut Findings) {
        self.held(Wish::Path(&target.path), &target.place, findings);
    }

    fn held(&self, wish: Wish<'_>, place: &Place, findings: &mut Findings) {
        if let Err(finding) = self.judge(wish) {
            findings.push(finding.at(place));
        }
    }

    fn actions(&self, target: &RenderedTarget, findings: &mut Findings) {
        for check in &target.check {
            self.command(&check.command, &check.place, findings);
        }
        for reload in &target.reload {
            match &reload.action {
                ReloadAction::Command(argv) => self.command(argv, &reload.place, findings),
                ReloadAction::Unit { unit, .. } => self.held(Wish::Unit(unit), &reload.place, findings),
            }
        }
        for probe in &target.probe {
            match &probe.kind {
                ProbeKind::Command(argv) => self.command(argv, &probe.place, findings),
                ProbeKind::Unit(unit) => self.held(Wish::Unit(unit), &probe.place, findings),
                ProbeKind::Http { .. } | ProbeKind::Tcp(_) => {}
            }
        }
    }

    fn command(&self, argv: &[String], place: &Place, findings: &mut Findings) {
        self.held(Wish::Command(argv.first().map_or("", String::as_str)), place, findings);
    }

    fn accounts(&self, target: &RenderedTarget, findings: &mut Findings) {
        let files = target.files.values().flat_map(|it| [it.owner.as_ref(), it.group.as_ref()]);
        let named: BTreeSet<&String> = files.chain([target.owner.as_ref(), target.group.as_ref()]).flatten().collect();
        for name in named {
            if !self.allow.users.contains(name) {
                let message =
                    format!("target {:?} gives files to {name:?}, which `allow.users` does not have", target.name);
                let hint = format!("if this repository may do so, add `{name}` to `allow.users` in agent.yaml");
                findings.push(Finding::error(Code::USER_NOT_ALLOWED, message).at(&target.place).hint(hint));
            }
        }
    }
}
