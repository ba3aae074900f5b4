//! What targets are to each other: which comes first, and that no two own one folder.

use super::paths::covers;
use super::{Manifest, Selector, Target};
use crate::finding::{Code, Finding, Findings};
use std::collections::HashSet;

/// The most targets that a manifest may have; what follows compares each with each.
const MAX_TARGETS: usize = 1000;

/// Refuses overlaps and cycles, and puts the targets in `after` order.
pub(super) fn finish(manifest: &mut Manifest, findings: &mut Findings) {
    if let Some(target) = manifest.targets.get(MAX_TARGETS) {
        let message = format!("there are more than {MAX_TARGETS} targets");
        findings.push(Finding::error(Code::VALUE, message).at(&target.place));
        manifest.targets.truncate(MAX_TARGETS);
    }
    overlaps(&manifest.targets, findings);
    let mut waiting = std::mem::take(&mut manifest.targets);
    let names: HashSet<String> = waiting.iter().map(|it| it.name.clone()).collect();
    let mut done: HashSet<String> = HashSet::new();
    // Of all targets that could come next, the one that the manifest names first does.
    while let Some(idx) = waiting.iter().position(|it| is_ready(it, &names, &done)) {
        let target = waiting.remove(idx);
        done.insert(target.name.clone());
        manifest.targets.push(target);
    }
    cycle(&waiting, findings);
    manifest.targets.extend(waiting);
}

fn is_ready(target: &Target, names: &HashSet<String>, done: &HashSet<String>) -> bool {
    target.after.iter().all(|it| done.contains(&it.value) || !names.contains(&it.value))
}

/// Names the first cycle among targets that all wait for each other or for a cycle.
fn cycle(waiting: &[Target], findings: &mut Findings) {
    let Some(first) = waiting.first() else { return };
    let mut path = vec![first];
    loop {
        let last = path[path.len() - 1];
        let next = last.after.iter().find_map(|name| waiting.iter().find(|it| it.name == name.value));
        let Some(next) = next else { return };
        if let Some(start) = path.iter().position(|it| it.name == next.name) {
            let mut names: Vec<&str> = path[start..].iter().map(|it| it.name.as_str()).collect();
            names.push(&next.name);
            let message = format!("targets wait for each other: {}", names.join(" after "));
            findings.push(Finding::error(Code::TARGET_CYCLE, message).at(&next.place));
            return;
        }
        path.push(next);
    }
}

/// Refuses targets of one folder, or of a folder inside another's, unless no host can have both.
fn overlaps(targets: &[Target], findings: &mut Findings) {
    let usable = |it: &&Target| !it.path.value.is_empty();
    for (idx, target) in targets.iter().enumerate().filter(|(_, it)| usable(it)) {
        for earlier in targets[..idx].iter().filter(usable) {
            if earlier.name == target.name {
                let message = format!("two targets have the name `{}`", target.name);
                findings.push(Finding::error(Code::DUPLICATE_KEY, message).at(&target.place));
            }
            let (a, b) = (&earlier.path.value, &target.path.value);
            if (covers(a, b) || covers(b, a)) && !are_apart(earlier, target) {
                let message = format!("the targets `{}` ({a}) and `{}` ({b}) overlap", earlier.name, target.name);
                let hint = "give each its own folder, or hosts or environments that exclude each other";
                findings.push(Finding::error(Code::TARGET_OVERLAP, message).at(&target.path.place).hint(hint));
                break;
            }
        }
    }
}

/// Returns whether it is certain that no host has both targets.
fn are_apart(a: &Target, b: &Target) -> bool {
    let share_environment = match (&a.environments, &b.environments) {
        (Some(a), Some(b)) => a.iter().any(|it| b.iter().any(|other| other.value == it.value)),
        _ => true,
    };
    let labels_differ = a.on.labels.iter().any(|(key, value)| b.on.labels.get(key).is_some_and(|it| it != value));
    !share_environment || labels_differ || hosts_differ(&a.on, &b.on)
}

/// Compares what two globs start with, up to their first wildcard.
fn hosts_differ(a: &Selector, b: &Selector) -> bool {
    let (Some(a), Some(b)) = (&a.host, &b.host) else { return false };
    let fixed = |glob: &str| glob.find(['*', '?', '[', '{', '\\']).unwrap_or(glob.len());
    let (n_a, n_b) = (fixed(&a.value), fixed(&b.value));
    if n_a == a.value.len() && n_b == b.value.len() {
        return a.value != b.value;
    }
    let n_common = n_a.min(n_b);
    a.value.as_bytes()[..n_common] != b.value.as_bytes()[..n_common]
}
