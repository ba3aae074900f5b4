//! What is said: pure functions from what happened to a status.

use super::text::{context, description, one_line};
use super::{DriftSummary, State, Status};
use crate::finding::{Code, Verdict};
use crate::record::{Changes, Deployment, DeploymentStatus, Failure, Trigger};
use crate::revision::ObjectId;

/// Says how a deployment stands.
pub fn deployment(host: &str, it: &Deployment) -> Status {
    let reason = it.error.as_ref();
    let (state, text) = match it.status {
        DeploymentStatus::Pending => (State::Pending, because("waiting", reason, false)),
        DeploymentStatus::InProgress => (State::Pending, format!("deploying: {}", it.phase.as_str())),
        DeploymentStatus::Success => (State::Success, format!("{}: {}", deed(it.trigger), changes(&it.changes))),
        DeploymentStatus::Unchanged => (State::Success, "deployed: nothing to change here".to_owned()),
        DeploymentStatus::Superseded => (State::Pending, "superseded: a newer commit came first".to_owned()),
        DeploymentStatus::Refused => (State::Failure, because("refused", reason, true)),
        DeploymentStatus::RolledBack => (State::Failure, because("rolled back", reason, false)),
        DeploymentStatus::Failed if needs_a_person(reason) => {
            (State::Error, because("stuck, a person is needed", reason, true))
        }
        DeploymentStatus::Failed => (State::Error, because("failed", reason, true)),
    };
    let context = context(&it.environment, host, "");
    Status { commit: it.revision.clone(), context, state, description: description(&text) }
}

/// Says that a commit waits, and for what.
pub fn pending(host: &str, environment: &str, commit: &ObjectId, reason: &str) -> Status {
    let text = description(&format!("waiting: {reason}"));
    Status { commit: commit.clone(), context: context(environment, host, ""), state: State::Pending, description: text }
}

/// Says what differs from what was deployed, or that nothing does.
pub fn drift(host: &str, it: &DriftSummary) -> Status {
    let (state, text) = match it.count() {
        0 => (State::Success, "no drift".to_owned()),
        _ if it.healed => (State::Success, format!("drift healed: {}", differences(it))),
        _ => (State::Failure, format!("drift: {}", differences(it))),
    };
    let context = context(&it.environment, host, "drift");
    Status { commit: it.commit.clone(), context, state, description: description(&text) }
}

fn deed(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Heal => "healed",
        Trigger::Rollback => "deployed by a rollback",
        Trigger::Restore => "a kept file is back",
        _ => "deployed",
    }
}

fn because(what: &str, reason: Option<&Failure>, with_code: bool) -> String {
    match reason {
        None => what.to_owned(),
        Some(it) if with_code => one_line(&format!("{what}: {} {}", it.code, it.message)),
        Some(it) => one_line(&format!("{what}: {}", it.message)),
    }
}

fn needs_a_person(reason: Option<&Failure>) -> bool {
    let verdict = reason.and_then(|it| Code::named(&it.code)).map(|it| it.verdict);
    verdict == Some(Verdict::Stuck)
}

fn changes(it: &Changes) -> String {
    let parts = [(it.created, "created"), (it.replaced, "replaced"), (it.removed, "removed")];
    counted(&parts).unwrap_or_else(|| "no file changed".into())
}

fn differences(it: &DriftSummary) -> String {
    let parts = [
        (it.modified, "modified"),
        (it.missing, "missing"),
        (it.extra, "extra"),
        (it.mode, "with another mode"),
        (it.owner, "with another owner"),
        (it.kind, "of another type"),
    ];
    counted(&parts).unwrap_or_default()
}

/// Returns for example `3 files modified, 1 missing`, or `None` when all numbers are 0.
fn counted(parts: &[(u64, &str)]) -> Option<String> {
    let mut words = Vec::new();
    for (count, word) in parts.iter().filter(|(count, _)| *count > 0) {
        let noun = match (words.is_empty(), count) {
            (false, _) => "",
            (true, 1) => " file",
            (true, _) => " files",
        };
        words.push(format!("{count}{noun} {word}"));
    }
    (!words.is_empty()).then(|| words.join(", "))
}
