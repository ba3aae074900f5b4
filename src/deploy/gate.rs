//! What a rendering may touch on this host: `allow` of agent.yaml. Pure: all refusals at once, before anything is written.

use crate::finding::{Code, Finding, Findings};
use crate::manifest::{ProbeKind, ReloadAction, covers};
use crate::place::Place;
use crate::render::{RenderedTarget, Rendering};
use crate::settings::{Allow, Repository, Settings};
use std::collections::BTreeSet;

/// Checks every target, command, unit and owner of a rendering against what the host allows.
pub fn allowed(rendering: &Rendering, settings: &Settings, repository: &Repository, findings: &mut Findings) {
    let nothing = Allow::default();
    let gate = Gate { settings, repository, allow: repository.allow.as_ref().unwrap_or(&nothing) };
    for target in &rendering.targets {
        gate.path(target, findings);
        gate.actions(target, findings);
        gate.accounts(target, findings);
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

struct Gate<'a> {
    settings: &'a Settings,
    repository: &'a Repository,
    allow: &'a Allow,
}

impl Gate<'_> {
    fn path(&self, target: &RenderedTarget, findings: &mut Findings) {
        if let Err(finding) = self.settings.judge_target(self.repository, &target.path) {
            findings.push(finding.at(&target.place));
        }
    }

    fn actions(&self, target: &RenderedTarget, findings: &mut Findings) {
        for check in &target.check {
            self.command(&check.command, &check.place, findings);
        }
        for reload in &target.reload {
            match &reload.action {
                ReloadAction::Command(argv) => self.command(argv, &reload.place, findings),
                ReloadAction::Unit { unit, .. } => self.unit(unit, &reload.place, findings),
            }
        }
        for probe in &target.probe {
            match &probe.kind {
                ProbeKind::Command(argv) => self.command(argv, &probe.place, findings),
                ProbeKind::Unit(unit) => self.unit(unit, &probe.place, findings),
                ProbeKind::Http { .. } | ProbeKind::Tcp(_) => {}
            }
        }
    }

    fn command(&self, argv: &[String], place: &Place, findings: &mut Findings) {
        let program = argv.first().map(String::as_str).unwrap_or_default();
        if !self.allow.commands.iter().any(|it| it == program) {
            let message = format!("the command {program:?} is not in `allow.commands`");
            let hint = format!("if this repository may run it, add `{program}` to `allow.commands` in agent.yaml");
            findings.push(Finding::error(Code::COMMAND_NOT_ALLOWED, message).at(place).hint(hint));
        }
    }

    fn unit(&self, unit: &str, place: &Place, findings: &mut Findings) {
        if !self.allow.units.iter().any(|it| it == unit) {
            let message = format!("the unit {unit:?} is not in `allow.units`");
            let hint = format!("if this repository may control it, add `{unit}` to `allow.units` in agent.yaml");
            findings.push(Finding::error(Code::UNIT_NOT_ALLOWED, message).at(place).hint(hint));
        }
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
