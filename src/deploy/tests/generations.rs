//! What the passes make of a target that is published by generations.

use super::*;
use std::os::unix::fs::MetadataExt;

/// Paths whose row does not say what the live file is known by, so that a scan would have to read them.
fn unknown(host: &Host) -> Vec<String> {
    let ledger = host.with(|it| it.store().ledger("site")).unwrap();
    let is_unknown = |path: &str, ctime_ns: i64| {
        let data = std::fs::metadata(host.path("current").join(path)).unwrap();
        data.is_file() && data.ctime() * 1_000_000_000 + data.ctime_nsec() != ctime_ns
    };
    let rows = ledger.into_iter().map(|(at, row)| (at.path.to_string(), row.stat.ctime_ns));
    rows.filter(|(path, ctime_ns)| is_unknown(path, *ctime_ns)).map(|it| it.0).collect()
}

#[test]
fn a_pass_learns_what_files_are_known_by_after_a_veto() {
    let target = "    publish: generations\n    check: [{command: [/bin/sh, -c, '! grep -q BAD {{ staged }}/a']}]";
    let (world, host) = deployed(target, &[("a", "A"), ("b", "B"), ("c", "C")]);
    assert_eq!(unknown(&host), Vec::<String>::new());
    world.commit("bad", &[("a", "BAD")]);
    assert_eq!(codes(&host.sync()), ["E_CHECK"]);
    // The tree that was not switched to may have been a second name for unchanged files, and is gone.
    host.edit("current/c", "edited");
    let report = host.with(|it| ConfigurationMonitor::new(it).pass()).unwrap().unwrap();
    assert_eq!(report.items.iter().map(|it| it.at.path.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(unknown(&host), ["c"], "an edit is never learned");
}

#[test]
fn drift_is_healed_by_the_agent_in_a_new_generation() {
    let (world, _) = deployed("    publish: generations\n    drift: heal", &[("a", "A"), ("d/b", "B")]);
    let host = world.host("one", "    drift: {mode: heal}\n");
    std::fs::remove_file(host.path("current/d/b")).unwrap();
    host.edit("current/a", "edited");
    host.edit("current/mine", "mine");
    let report = host.with(|it| ConfigurationMonitor::new(it).pass()).unwrap().unwrap();
    assert!(report.items.is_empty(), "{:?}", report.items);
    assert_eq!((host.read("current/a"), host.read("current/d/b")), ("A".into(), "B".into()));
    assert_eq!((host.read("current/mine"), host.kept()), ("mine".into(), vec![("a".into(), "edited".into())]));
}

#[test]
fn x21_a_rollback_by_hand_brings_edits_back_in_a_new_generation() {
    let (world, host) = deployed("    publish: generations", &[("a", "A"), ("b", "B")]);
    host.edit("current/a", "edited");
    world.commit("next", &[("a", "A2")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    assert_eq!(host.read("current/a"), "A2");
    host.with(|it| it.rollback(&crate::deploy::RollbackTo::Previous, "ana")).unwrap();
    assert_eq!((host.read("current/a"), host.read("current/b")), ("edited".into(), "B".into()));
    assert_eq!(host.drifted(), [("a".to_owned(), "modified")]);
}
