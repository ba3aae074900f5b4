//! What targets that are published by generations have to look like, worked out from the scenario and the disk alone.

use super::super::KEPT;
use super::world::{OLD_FOLDER, Scenario, change, put, put_files};
use crate::host::PREFIX;
use crate::host::live::{CURRENT, GENERATIONS};
use crate::host::model::{Access, Attributes, Disk, Kind, Listed};
use std::collections::BTreeMap;

/// A link that headfast made.
const LINK: Access = (0o777, 0, 0);

/// Puts the generations of the past and the link to the last, and returns where the live files go. All of them hold the same
/// files; those that are no secret are the same inodes, as where blocks cannot be shared.
pub fn put_generations(disk: &mut Disk, scenario: &Scenario, root: &str) -> String {
    let tree = |number: u64| format!("{root}/{GENERATIONS}/{number}");
    if scenario.past == 0 {
        // There are no old files either.
        return root.to_owned();
    }
    disk.put(&format!("{root}/{GENERATIONS}"), Kind::Dir, "", OLD_FOLDER);
    for number in 1..=scenario.past {
        disk.put(&tree(number), Kind::Dir, "", OLD_FOLDER);
        for (path, text) in scenario.old.iter().filter(|it| number > 1 && !it.1.starts_with("-> ")) {
            if scenario.reflinks || scenario.sensitive.contains(path) {
                continue;
            }
            assert!(!text.is_empty());
            for (end, _) in path.match_indices('/') {
                disk.put(&format!("{}/{}", tree(number), &path[..end]), Kind::Dir, "", OLD_FOLDER);
            }
            disk.share(&format!("{}/{path}", tree(number - 1)), &format!("{}/{path}", tree(number)));
        }
        put_files(disk, scenario, &tree(number));
    }
    disk.put(&format!("{root}/{CURRENT}"), Kind::Link, &format!("{GENERATIONS}/{}", scenario.past), LINK);
    tree(scenario.past)
}

/// Makes the next generation in a listing, and removes those that are too many.
pub fn publish(scenario: &Scenario, all: &mut BTreeMap<String, Listed>, target: &str) {
    let folder = format!("{target}{GENERATIONS}/");
    let tree = |number: u64| format!("{folder}{number}/");
    let next = scenario.past + 1;
    let carried: Vec<Listed> = all.values().filter(|it| it.path.starts_with(&tree(scenario.past))).cloned().collect();
    for it in carried {
        let path = it.path.replacen(&tree(scenario.past), &tree(next), 1);
        all.insert(path.clone(), Listed { path, ..it });
    }
    change(scenario, all, &tree(next));
    let is_empty = !all.keys().any(|it| it.starts_with(&tree(next)) && *it != tree(next));
    if scenario.given_up && is_empty {
        all.retain(|path, _| !path.starts_with(&folder) && *path != format!("{target}{CURRENT}"));
        return;
    }
    let (path, text) = (format!("{target}{CURRENT}"), format!("{GENERATIONS}/{next}"));
    put(all, Listed { path, kind: Kind::Link, text, access: LINK, attributes: Attributes::new() });
    for number in 1..next.saturating_sub(KEPT as u64) {
        all.retain(|path, _| !path.starts_with(&tree(number)));
    }
}

/// Returns what readers see: below `current` the tree that the link leads to, and none of headfast's own names.
pub fn seen(scenario: &Scenario, found: &[Listed]) -> Vec<Listed> {
    let by_path: BTreeMap<&str, &Listed> = found.iter().map(|it| (it.path.as_str(), it)).collect();
    let see = |it: &Listed| -> Option<String> {
        let target = it.path.split('/').next().unwrap_or_default();
        let is_tree = scenario.trees.iter().any(|number| target == format!("t{number}"));
        let link = by_path.get(&*format!("{target}/{CURRENT}")).filter(|it| is_tree && it.kind == Kind::Link);
        if let Some(link) = link {
            let tree = format!("{target}/{}/", link.text);
            if let Some(path) = it.path.strip_prefix(&tree) {
                return Some(format!("{target}/{CURRENT}/{path}"));
            }
            // A link that leads nowhere is seen as one.
            if it.path == link.path {
                return (!by_path.contains_key(&*tree)).then(|| it.path.clone());
            }
        }
        (!it.path.split('/').any(|it| it.starts_with(PREFIX))).then(|| it.path.clone())
    };
    found.iter().filter_map(|it| Some(Listed { path: see(it)?, ..it.clone() })).collect()
}

/// Returns the path in the tree of a path in a target that was seen.
pub fn in_tree(path: &str) -> &str {
    path.strip_prefix(CURRENT).and_then(|it| it.strip_prefix('/')).unwrap_or(path).trim_end_matches('/')
}

/// Returns where a target's live files are.
pub fn place(disk: &Disk, root: &str) -> String {
    let link = disk.find(&format!("{root}/{CURRENT}")).and_then(|it| disk.node(it).ok());
    match link {
        Some(link) if link.kind == Kind::Link => format!("{root}/{}", String::from_utf8_lossy(&link.live.data.bytes)),
        _ => root.to_owned(),
    }
}
