//! Reverts: made alike on every host, pushed once, never by force.

use super::*;
use crate::deploy::RollbackTo;

const PROBE: &str = "    probe: [{command: [/bin/sh, -c, '! grep -q bad ROOT/a'], within: 1s}]";

#[test]
fn a_failing_commit_is_taken_back_quarantined_and_reverted() {
    let (world, _) = deployed(PROBE, &[("a", "A")]);
    let host = world.host("one", "    rollback: {push: direct}\n");
    let bad = world.commit("bad", &[("a", "bad")]);
    let result = host.sync();
    assert_eq!((status(&result), codes(&result)), (Some(DeploymentStatus::RolledBack), vec!["E_PROBE"]));
    assert_eq!((host.read("a"), host.drifted()), ("A".into(), vec![]));
    assert_eq!(world.remote(&["rev-parse", "main^"]), bad);
    assert_eq!(world.remote(&["show", "main:files/a"]), "A");
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Unchanged));
    assert_eq!(status(&host.sync()), None);
    assert_eq!(world.remote(&["rev-list", "--count", "main"]), "3");
}

#[test]
fn k11_two_hosts_make_one_revert() {
    for push in ["direct", "branch"] {
        let (world, _) = deployed(PROBE, &[("a", "A")]);
        let hosts = ["one", "two"].map(|it| world.host(it, &format!("    rollback: {{push: {push}}}\n")));
        assert_eq!(status(&hosts[1].sync()), Some(DeploymentStatus::Success));
        let bad = world.commit("bad", &[("a", "bad")]);
        // The second host fetches the bad commit before the first one's revert is there.
        hosts[1].with(|it| it.fetch()).unwrap();
        let commit = crate::revision::ObjectId::new(&bad);
        assert_eq!(status(&hosts[0].sync()), Some(DeploymentStatus::RolledBack));
        let reference = match push {
            "direct" => "refs/heads/main".to_owned(),
            _ => crate::rollback::branch_of(&commit),
        };
        let revert = world.remote(&["rev-parse", &reference]);
        let result = hosts[1].with(|it| it.make_live(&commit, Trigger::Manual)).unwrap();
        assert_eq!(status(&result), Some(DeploymentStatus::RolledBack));
        let note = hosts[1].with(|it| it.revert_when_due()).unwrap().unwrap();
        assert!(!note.contains("not pushed yet"), "{note}");
        assert_eq!(world.remote(&["rev-parse", &reference]), revert);
        assert_eq!(world.remote(&["rev-list", "--count", "--all"]), "3");
    }
}

#[test]
fn a_refused_push_is_no_reason_to_panic() {
    use std::os::unix::fs::PermissionsExt;
    let (world, _) = deployed(PROBE, &[("a", "A")]);
    let host = world.host("one", "    rollback: {push: direct}\n");
    let hook = world.root.join("remote.git/hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    world.commit("bad", &[("a", "bad")]);
    std::fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let result = host.sync();
    assert_eq!(status(&result), Some(DeploymentStatus::RolledBack));
    assert!(result.notes.iter().any(|it| it.contains("not pushed yet")), "{:?}", result.notes);
    std::fs::remove_file(&hook).unwrap();
    let result = host.sync();
    assert!(result.notes.iter().any(|it| it.contains("is reverted on the branch")), "{:?}", result.notes);
}

#[test]
fn another_hosts_revert_on_the_same_branch_is_enough() {
    let (world, _) = deployed(PROBE, &[("a", "A")]);
    let host = world.host("one", "    rollback: {push: branch}\n");
    let bad = world.commit("bad", &[("a", "bad")]);
    // Another host had another last good revision: its revert is another object.
    let work = world.root.join("work");
    let message = format!("Revert\n\nHeadfast-Reverts: {bad}\n");
    let tree = git(&work, &["rev-parse", "HEAD^{tree}"]);
    let other = git(&work, &["commit-tree", &tree, "-p", &bad, "-m", &message]);
    git(&work, &["push", "-q", "../remote.git", &format!("{other}:refs/heads/headfast/revert/{bad}")]);
    let result = host.sync();
    assert!(result.notes.iter().any(|it| it.contains("to be merged")), "{:?}", result.notes);
}

#[test]
fn k06_a_commit_that_came_meanwhile_is_deployed_first() {
    let (world, _) = deployed(PROBE, &[("a", "A")]);
    let host = world.host("one", "    rollback: {push: branch}\n");
    let bad = world.commit("bad", &[("a", "bad")]);
    host.with(|it| it.fetch()).unwrap();
    world.commit("fix", &[("a", "fixed")]);
    let commit = crate::revision::ObjectId::new(&bad);
    let result = host.with(|it| it.make_live(&commit, Trigger::Manual)).unwrap();
    assert_eq!(status(&result), Some(DeploymentStatus::RolledBack));
    let note = host.with(|it| it.revert_when_due()).unwrap().unwrap();
    assert!(note.contains("is deployed first"), "{note}");
    assert_eq!(world.remote(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
    assert_eq!((status(&host.sync()), host.read("a")), (Some(DeploymentStatus::Success), "fixed".into()));
}

#[test]
fn with_push_off_nothing_is_pushed_and_nothing_is_tried_again() {
    let (world, _) = deployed(PROBE, &[("a", "A")]);
    let host = world.host("one", "    rollback: {push: 'off'}\n");
    world.commit("bad", &[("a", "bad")]);
    let result = host.sync();
    assert!(result.notes.iter().any(|it| it.contains("push is off")), "{:?}", result.notes);
    for _ in 0..2 {
        let result = host.sync();
        assert_eq!((status(&result), codes(&result), result.notes.len()), (None, vec!["E_QUARANTINED"], 0));
    }
    assert_eq!(host.history().len(), 2);
    world.commit("fix", &[("a", "fixed")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
}

#[test]
fn a_rewritten_branch_is_never_reverted_directly() {
    let (world, _) = deployed(PROBE, &[("a", "A")]);
    let host = world.host("one", "    rewind: follow\n    rollback: {push: direct}\n");
    let work = world.root.join("work");
    git(&work, &["checkout", "-q", "--orphan", "anew"]);
    git(&work, &["commit", "-q", "--allow-empty", "-m", "anew"]);
    git(&work, &["push", "-q", "--force", "../remote.git", "HEAD:main"]);
    let bad = world.commit("bad", &[("a", "bad")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::RolledBack));
    assert_eq!(world.remote(&["rev-parse", "main"]), bad, "what was rewritten stays rewritten");
    assert_eq!(status(&host.sync()), None);
}

#[test]
fn a_rollback_by_hand_suspends_unless_its_revert_is_on_the_branch() {
    let (world, _) = deployed("", &[("a", "A")]);
    let host = world.host("one", "    rollback: {push: direct}\n");
    world.commit("next", &[("a", "B")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    let result = host.with(|it| it.rollback(&RollbackTo::Previous, "ana")).unwrap();
    assert!(result.notes.iter().any(|it| it.contains("is reverted on the branch")), "{:?}", result.notes);
    assert!(host.with(|it| it.store().suspension("site")).unwrap().is_none());
    assert_eq!((status(&host.sync()), host.read("a")), (Some(DeploymentStatus::Unchanged), "A".into()));

    world.remote(&["update-ref", "-d", "refs/heads/none"]);
    git(&world.root.join("work"), &["pull", "-q", "../remote.git", "main"]);
    world.commit("again", &[("a", "C")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    std::fs::rename(world.root.join("remote.git"), world.root.join("away")).unwrap();
    let result = host.with(|it| it.rollback(&RollbackTo::Previous, "ana")).unwrap();
    assert_eq!((status(&result), host.read("a")), (Some(DeploymentStatus::Success), "A".into()));
    assert!(host.with(|it| it.store().suspension("site")).unwrap().is_some());
}

#[test]
fn a_commit_that_renders_to_what_failed_is_reverted_with_it() {
    use std::os::unix::fs::PermissionsExt;
    let (world, _) = deployed(PROBE, &[("a", "A")]);
    let host = world.host("one", "    rollback: {push: direct}\n");
    let good = world.remote(&["rev-parse", "main"]);
    world.commit("bad", &[("a", "bad")]);
    let hook = world.root.join("remote.git/hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::RolledBack));
    std::fs::remove_file(&hook).unwrap();
    // Before the revert could be pushed, someone changes what no host renders.
    world.write("README.md", "words");
    let words = world.commit("words", &[]);
    let held = host.sync();
    assert_eq!(codes(&held), ["E_QUARANTINED"]);
    assert_eq!(world.remote(&["rev-parse", "main^"]), words, "{:?}", held.notes);
    assert_eq!(world.remote(&["rev-parse", "main^{tree}"]), world.remote(&["rev-parse", &format!("{good}^{{tree}}")]));
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Unchanged));
    assert_eq!(status(&host.sync()), None);
    assert_eq!(world.remote(&["rev-list", "--count", "main"]), "4");
}
