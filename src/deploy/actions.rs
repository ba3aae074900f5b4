//! Which checks, reloads and probes a change calls for.

use crate::host::action::{Job, Look, Task, Trial};
use crate::manifest::{Check, Probe, ProbeKind, Reload, ReloadAction, concerns};
use crate::plan::Plan;
use crate::render::{RenderedTarget, Rendering};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::time::Duration;

/// Where systemd looks for units (systemd.unit(5)).
const UNIT_FOLDERS: [&str; 6] = [
    "/etc/systemd/system",
    "/etc/systemd/system.control",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// How long systemd may take to read its unit files.
const DAEMON_RELOAD: Duration = Duration::from_secs(90);

/// The actions of a rendering, as they are remembered with the live deployment: what a rollback to it runs, and which
/// of a newcomer's probes it has already.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Repertoire {
    /// By target, in switching order.
    pub targets: Vec<TargetActions>,
    /// The directories for which the manifest disarms the mass-deletion guard.
    pub released: Vec<String>,
}

/// The actions of one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetActions {
    /// The target's directory.
    pub root: String,
    /// What is told about a change, and the globs that say which.
    pub reloads: Vec<(Job, Vec<String>)>,
    /// What must hold.
    pub probes: Vec<Trial>,
}

/// What is run after one switch, and after its undoing; kept in the journal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Aftermath {
    /// Reloads after the switch.
    pub reloads: Vec<Job>,
    /// Probes after the reloads.
    pub probes: Vec<Trial>,
    /// Reloads after the previous files went back.
    pub back_reloads: Vec<Job>,
    /// Probes after those.
    pub back_probes: Vec<Trial>,
    /// Probes that failed before the switch already, so that their failing says nothing about the commit.
    pub failing: Vec<Look>,
    /// Probes that the live revision has, too, where no file changes, so that their failing says nothing either.
    #[serde(default)]
    pub unmoved: Vec<Look>,
    /// The actions that are remembered when the deployment succeeds.
    pub repertoire: Repertoire,
    /// The digest of the facts that are remembered then.
    pub facts: String,
    /// Whether the deployment failing is the commit's fault: not for healing and manual rollbacks.
    pub may_blame: bool,
}

impl Repertoire {
    /// Returns the actions of a rendering.
    pub fn of(rendering: &Rendering) -> Repertoire {
        let targets = rendering.targets.iter().map(|target| TargetActions {
            root: target.path.clone(),
            reloads: target.reload.iter().map(|it| (job(it), texts(&it.when))).collect(),
            probes: target.probe.iter().map(trial).collect(),
        });
        Repertoire { targets: targets.collect(), released: rendering.released.clone() }
    }

    /// Returns the reloads that the changed paths call for, each once, in switching order. Before the first unit's job
    /// systemd reads unit files again: when one was written, or when it says itself that it must.
    pub fn reloads(&self, plan: &Plan) -> Vec<Job> {
        let mut jobs = self.own_reloads(plan);
        let first = jobs.iter().position(|it| matches!(it.what, Task::Unit { .. }));
        if let Some(first) = first {
            let units = jobs.iter().filter_map(|it| match &it.what {
                Task::Unit { unit, .. } => Some(unit.clone()),
                _ => None,
            });
            let units = if writes_units(plan) { Vec::new() } else { units.collect() };
            jobs.insert(first, Job { what: Task::DaemonReload(units), within: DAEMON_RELOAD });
        }
        jobs
    }

    fn own_reloads(&self, plan: &Plan) -> Vec<Job> {
        let mut seen: HashSet<&Task> = HashSet::new();
        let mut jobs = Vec::new();
        for target in &self.targets {
            let changed = changed_paths(plan, &target.root);
            for (job, when) in &target.reloads {
                if concerns(when, &changed) && seen.insert(&job.what) {
                    jobs.push(job.clone());
                }
            }
        }
        jobs
    }

    /// Returns the probes of the targets that change: their files, or what is run for them, which is other than in `other`.
    pub fn probes(&self, other: &Repertoire, plan: &Plan) -> Vec<Trial> {
        let is_changed = |it: &&TargetActions| {
            let there = other.targets.iter().find(|there| there.root == it.root);
            !changed_paths(plan, &it.root).is_empty() || there != Some(*it)
        };
        self.targets.iter().filter(is_changed).flat_map(|it| it.probes.iter().cloned()).collect()
    }

    /// Returns whether one of the probes looks at that.
    pub fn looks_at(&self, what: &Look) -> bool {
        self.targets.iter().flat_map(|it| &it.probes).any(|it| it.what == *what)
    }
}

impl Aftermath {
    /// Returns why the failing of a probe says nothing about the commit; `None` when it does.
    pub fn excuse(&self, probe: &Look) -> Option<&'static str> {
        if self.failing.contains(probe) {
            Some("as it did before the switch")
        } else if self.unmoved.contains(probe) {
            Some("although no file was changed")
        } else {
            None
        }
    }
}

/// Returns the checks of a target that the plan calls for.
pub fn checks<'a>(target: &'a RenderedTarget, plan: &Plan) -> Vec<&'a Check> {
    let changed = changed_paths(plan, &target.path);
    target.check.iter().filter(|it| concerns(&texts(&it.when), &changed)).collect()
}

fn writes_units(plan: &Plan) -> bool {
    plan.writes().any(|it| is_unit_file(&format!("{}/{}", it.at.root, it.at.path.as_str())))
}

fn is_unit_file(path: &str) -> bool {
    UNIT_FOLDERS.iter().any(|folder| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
}

fn changed_paths<'a>(plan: &'a Plan, root: &str) -> Vec<&'a str> {
    plan.writes().filter(|it| it.at.root == root).map(|it| it.at.path.as_str()).collect()
}

fn texts(globs: &[crate::manifest::Located<String>]) -> Vec<String> {
    globs.iter().map(|it| it.value.clone()).collect()
}

fn job(reload: &Reload) -> Job {
    let what = match &reload.action {
        ReloadAction::Unit { unit, verb } => Task::Unit { unit: unit.clone(), verb: verb.clone() },
        ReloadAction::Command(argv) => Task::Command(argv.clone()),
    };
    Job { what, within: reload.within }
}

fn trial(probe: &Probe) -> Trial {
    let what = match &probe.kind {
        ProbeKind::Http { url, expect } => Look::Http { url: url.clone(), expect: *expect },
        ProbeKind::Tcp(address) => Look::Tcp(address.clone()),
        ProbeKind::Command(argv) => Look::Command(argv.clone()),
        ProbeKind::Unit(unit) => Look::Unit(unit.clone()),
    };
    Trial { what, within: probe.within, settle: probe.settle }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l17_units_and_their_drop_ins_are_told_by_their_folder() {
        for path in ["/etc/systemd/system/a.service", "/run/systemd/system/a.service.d/10-x.conf"] {
            assert!(is_unit_file(path), "{path}");
        }
        for path in ["/etc/systemd/system-generators/a", "/etc/systemd/journald.conf", "/srv/etc/systemd/system/a"] {
            assert!(!is_unit_file(path), "{path}");
        }
    }
}
