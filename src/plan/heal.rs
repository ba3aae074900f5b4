//! Putting back what was deployed.

use super::decide::{before, removals_max, wanted};
use super::{Action, Before, LiveKind, LivePath, Operation, Plan, Situation};
use crate::finding::{Code, Finding, Findings};
use crate::render::{RenderedTarget, Rendering};

/// Returns the operations that put the deployed rendering back at `paths`, and touch nothing else.
///
/// `situation` holds what was seen at those paths. A path that the rendering does not have is removed, which is meant for what
/// stands too much in a target with `prune: all`.
pub fn heal(rendering: &Rendering, situation: &Situation, paths: &[LivePath], findings: &mut Findings) -> Plan {
    let mut plan = Plan::default();
    for target in &rendering.targets {
        for at in paths.iter().filter(|it| it.root == target.path) {
            let live = situation.observed.get(at).and_then(|it| it.live.clone());
            let row = situation.ledger.get(at);
            let operation = |action, before, wanted, sensitive| {
                let (target, at, live) = (target.name.clone(), at.clone(), live.clone());
                Operation { target, at, action, before, live, wanted, sensitive }
            };
            let before = match (&live, row) {
                (None, _) => Before::Absent,
                (Some(live), Some(row)) => before(row, live),
                (Some(_), None) => Before::Existing,
            };
            let is_foreign = live.as_ref().is_some_and(|it| matches!(it.kind, LiveKind::Directory | LiveKind::Other));
            match target.files.get(&at.path).map(|it| (wanted(it, situation.accounts), it)) {
                Some((_, file)) if is_foreign => {
                    let message = format!("something that is not a file stands at `{}/{}`", at.root, at.path);
                    let finding = Finding::error(Code::TARGET_TYPE, message).at(&file.place);
                    findings.push(finding.hint("move it away; headfast does not remove folders or special files"));
                }
                Some((Ok(wanted), _)) => {
                    let action = if live.is_some() { Action::Replace } else { Action::Create };
                    let sensitive = wanted.sensitive;
                    plan.operations.push(operation(action, before, Some(wanted), sensitive));
                }
                Some((Err(missing), file)) => {
                    findings.push(Finding::error(Code::OWNER, missing).at(&file.place));
                }
                None if live.is_some() && !is_foreign => {
                    let sensitive = row.is_some_and(|it| it.sensitive);
                    plan.operations.push(operation(Action::Remove, before, None, sensitive));
                }
                None => {}
            }
        }
        guard(target, situation, &plan, findings);
    }
    plan
}

/// Refuses to take more away at once than a deployment may: with `prune: all` a folder that someone put there by mistake is
/// drift as well.
fn guard(target: &RenderedTarget, situation: &Situation, plan: &Plan, findings: &mut Findings) {
    let is_removed = |it: &&Operation| it.action == Action::Remove && it.at.root == target.path;
    let removed = plan.operations.iter().filter(is_removed).count() as u64;
    let present = situation.present.get(&target.path).copied().unwrap_or_default().max(removed);
    if removed > removals_max(present) {
        let message = format!("healing would remove {removed} of the {present} files in {}", target.path);
        let hint = "look at `headfast drift`, and remove by hand what does not belong there";
        findings.push(Finding::error(Code::MASS_DELETE, message).at(&target.place).hint(hint));
    }
}
