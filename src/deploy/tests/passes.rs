//! What a pass does when nothing breaks down: deployments, drift, refusals, rollbacks by hand.

use super::*;
use crate::deploy::RollbackTo;
use crate::record::Phase;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

#[test]
fn a_first_deployment_makes_target_and_folders_and_shows_no_drift() {
    let world = world();
    world.manifest("");
    let tip = world.commit("start", &[("a", "A"), ("d/e", "E")]);
    let host = world.host("one", "");
    let result = host.sync();
    assert_eq!((status(&result), result.revision.as_str()), (Some(DeploymentStatus::Success), tip.as_str()));
    assert_eq!((host.read("a"), host.read("d/e")), ("A".into(), "E".into()));
    assert_eq!(host.drifted(), vec![]);
    assert_eq!(status(&host.sync()), None);
    assert_eq!(host.leftovers(), Vec::<String>::new());
}

#[test]
fn h01_a_target_whose_parents_are_missing_too_is_made_with_them_and_has_no_drift() {
    use std::os::unix::fs::PermissionsExt;
    let world = world();
    world.manifest("    mode: '0640'");
    let text = std::fs::read_to_string(world.root.join("work/headfast.yaml")).unwrap();
    world.write("headfast.yaml", &text.replace("/one/app", "/one/app/deep/er"));
    world.commit("start", &[("a", "A")]);
    let host = world.host("one", "");
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    assert_eq!(host.drifted(), vec![]);
    let mode = |it: &str| std::fs::metadata(host.path(it)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(["", "deep", "deep/er"].map(mode), [0o750; 3], "the target's own, for all that leads to it");
}

#[test]
fn j07_what_is_pruned_takes_the_folders_with_it_that_were_made_for_it() {
    let (world, host) = deployed("", &[("a", "A"), ("d/e/f", "F"), ("g/h", "H")]);
    host.edit("g/mine", "mine");
    world.commit("less", &[("d/e/f", ""), ("g/h", "")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    assert!(!host.path("d").exists() && !host.path("g/h").exists());
    assert_eq!((host.read("g/mine"), host.drifted()), ("mine".into(), vec![]));
}

#[test]
fn a_folder_that_someone_removed_is_not_drift_once_its_files_are_pruned() {
    let (world, host) = deployed("", &[("a", "A"), ("d/e", "E")]);
    std::fs::remove_dir_all(host.path("d")).unwrap();
    assert_eq!(host.drifted(), vec![("d/e".into(), "missing")]);
    world.commit("less", &[("d/e", "")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    assert_eq!(host.drifted(), vec![]);
}

#[test]
fn j01_drift_is_healed_and_what_it_was_is_kept() {
    let (_world, host) = deployed("", &[("a", "A"), ("b", "B"), ("c", "C")]);
    host.edit("a", "edited");
    std::fs::remove_file(host.path("b")).unwrap();
    std::fs::set_permissions(host.path("c"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let expected = [("a", "modified"), ("b", "missing"), ("c", "mode")];
    assert_eq!(host.drifted(), expected.map(|(path, kind)| (path.to_owned(), kind)));
    let paths = [host.at("a"), host.at("b"), host.at("c")];
    let result = host.with(|it| it.heal(&paths)).unwrap();
    assert_eq!(status(&result), Some(DeploymentStatus::Success));
    assert_eq!((host.read("a"), host.read("b"), host.drifted()), ("A".into(), "B".into(), vec![]));
    assert!(host.kept().contains(&("a".into(), "edited".into())));
    assert_eq!(status(&host.sync()), None);
}

#[test]
fn j01_a_link_that_points_elsewhere_is_shown_and_healed() {
    let world = world();
    world.manifest("");
    world.write("files/a", "A");
    std::os::unix::fs::symlink("a", world.root.join("work/files/link")).unwrap();
    world.commit("start", &[]);
    let host = world.host("one", "");
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    std::fs::remove_file(host.path("link")).unwrap();
    std::os::unix::fs::symlink("elsewhere", host.path("link")).unwrap();
    assert_eq!(host.drifted(), vec![("link".into(), "modified")]);
    host.with(|it| it.heal(&[host.at("link")])).unwrap();
    assert_eq!(std::fs::read_link(host.path("link")).unwrap(), Path::new("a"));
    assert_eq!(host.kept(), vec![("link".into(), "elsewhere".into())]);
}

#[test]
fn an_adopted_link_of_another_owner_is_not_drift() {
    let world = world();
    world.manifest("");
    world.write("files/a", "A");
    std::os::unix::fs::symlink("a", world.root.join("work/files/link")).unwrap();
    world.commit("start", &[]);
    let host = world.host("one", "");
    std::fs::create_dir_all(&host.root).unwrap();
    std::os::unix::fs::symlink("a", host.path("link")).unwrap();
    if std::os::unix::fs::lchown(host.path("link"), Some(12345), Some(12345)).is_err() {
        return; // Only root can give a link away.
    }
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    assert_eq!(host.drifted(), vec![]);
}

#[test]
fn a_target_that_became_a_link_is_drift_and_not_an_error() {
    let (_world, host) = deployed("", &[("a", "A")]);
    std::fs::rename(&host.root, host.root.with_file_name("moved")).unwrap();
    std::os::unix::fs::symlink("moved", &host.root).unwrap();
    assert_eq!(host.drifted(), vec![("a".into(), "type")]);
}

#[test]
fn with_prune_all_what_stands_too_much_is_kept_and_removed() {
    let (_world, host) = deployed("    prune: all", &[("a", "A")]);
    host.edit("extra/file", "theirs");
    assert_eq!(host.drifted(), vec![("extra/file".into(), "extra")]);
    let report = host.drift();
    host.with(|it| ConfigurationMonitor::new(it).heal(&report, crate::manifest::DriftMode::Report)).unwrap();
    assert_eq!((host.drifted(), host.kept()), (vec![], vec![("extra/file".into(), "theirs".into())]));
}

#[test]
fn a_heal_never_brings_other_facts_with_it() {
    let world = world();
    world.manifest("");
    let text = std::fs::read_to_string(world.root.join("work/headfast.yaml")).unwrap();
    world.write("headfast.yaml", &text.replace("copy: files", "template: files"));
    world.commit("start", &[("a.j2", "{{ WORD }}"), ("b.j2", "b {{ WORD }}")]);
    let host = world.host("one", "    variables: {WORD: old}\n");
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    let host = world.host("one", "    variables: {WORD: new}\n");
    host.edit("a", "edited");
    let result = host.with(|it| it.heal(&[host.at("a")])).unwrap();
    assert_ne!(status(&result), Some(DeploymentStatus::Success));
    assert_eq!(host.read("a"), "edited");
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success), "the facts are still to be deployed");
    assert_eq!((host.read("a"), host.read("b")), ("new".into(), "b new".into()));
    assert_eq!(host.kept(), vec![("a".into(), "edited".into())]);
}

#[test]
fn a_heal_that_fails_is_not_tried_again_until_something_changes() {
    let probe = "    probe: [{command: [/bin/sh, -c, 'test ! -e ROOT/../sick'], within: 1s}]\n    drift: heal";
    let (world, _) = deployed(probe, &[("a", "A")]);
    let host = world.host("one", "    drift: {mode: heal}\n");
    std::fs::write(host.root.with_file_name("sick"), "").unwrap();
    host.edit("a", "edited");
    let pass = || host.with(|it| ConfigurationMonitor::new(it).pass()).unwrap();
    pass();
    let n_before = host.history().len();
    assert_eq!((host.read("a"), host.history()[0].status), ("edited".into(), DeploymentStatus::Failed));
    pass();
    assert_eq!(host.history().len(), n_before, "no second try");
    std::fs::remove_file(host.root.with_file_name("sick")).unwrap();
    host.edit("a", "edited again, otherwise");
    pass();
    assert_eq!(host.read("a"), "A");
}

#[test]
fn k05_an_existing_file_comes_back_when_the_first_deployment_fails() {
    let world = world();
    world.manifest("    probe: [{command: [/bin/sh, -c, 'exit 1'], within: 1s}]");
    world.commit("start", &[("a", "A"), ("new", "N")]);
    let host = world.host("one", "    rollback: {push: direct}\n");
    host.edit("a", "existing");
    let inode = std::fs::metadata(host.path("a")).unwrap().ino();
    let result = host.sync();
    assert_eq!(status(&result), Some(DeploymentStatus::RolledBack), "{:?}", codes(&result));
    assert_eq!(std::fs::metadata(host.path("a")).unwrap().ino(), inode);
    assert_eq!((host.read("a"), host.path("new").exists()), ("existing".into(), false));
    assert!(result.notes.iter().any(|it| it.contains("nothing was deployed here before")), "{:?}", result.notes);
    assert!(host.with(|it| it.store().live("site")).unwrap().is_none());
    assert!(host.with(|it| it.store().ledger("site")).unwrap().is_empty());
    assert_eq!(world.remote(&["rev-list", "--count", "--all"]), "1");
    assert_eq!(codes(&host.sync()), ["E_QUARANTINED"]);
    assert_eq!(host.history().len(), 1);
}

#[test]
fn a_refusal_is_recorded_once_though_drift_was_healed_meanwhile() {
    let (world, _) = deployed("    drift: heal", &[("a", "A")]);
    let host = world.host("one", "    drift: {mode: heal}\n");
    world.write("headfast.yaml", "version: 1\ntargets: [\n");
    world.commit("unreadable", &[]);
    for word in ["edited", "edited again"] {
        // A poll would remember its verdict; whoever asks has it judged again.
        assert_eq!(status(&host.sync()), Some(DeploymentStatus::Refused));
        host.edit("a", word);
        host.with(|it| ConfigurationMonitor::new(it).pass()).unwrap();
        assert_eq!(host.read("a"), "A");
    }
    let refused = host.history().iter().filter(|it| it.status == DeploymentStatus::Refused).count();
    assert_eq!(refused, 1);
}

#[test]
fn a_probe_that_failed_before_blames_nobody() {
    let probe = "    probe: [{command: [/bin/sh, -c, 'test ! -e ROOT/../sick'], within: 1s}]";
    let (world, host) = deployed(probe, &[("a", "A")]);
    std::fs::write(host.root.with_file_name("sick"), "").unwrap();
    world.commit("next", &[("a", "B")]);
    let result = host.sync_by(Trigger::Poll);
    assert_eq!(
        (status(&result), codes(&result)),
        (Some(DeploymentStatus::Failed), vec!["E_PROBE_BEFORE", "E_ROLLBACK_FAILED"])
    );
    assert_eq!(host.read("a"), "A");
    assert!(host.with(|it| it.store().quarantined("site")).unwrap().is_empty());
    let n_before = host.history().len();
    let again = host.sync_by(Trigger::Push);
    assert_eq!((status(&again), host.history().len()), (None, n_before), "a push that brings nothing new");
    assert_eq!(again.verdict(), Some(crate::finding::Verdict::Failed));
    std::fs::remove_file(host.root.with_file_name("sick")).unwrap();
    assert_eq!(status(&host.sync_by(Trigger::Poll)), Some(DeploymentStatus::Success));
}

#[test]
fn a_veto_leaves_inode_and_time_and_is_asked_for_once() {
    let check = "    check: [{command: [/bin/sh, -c, 'test \"$(cat $0/a)\" != bad', '{{ staged }}']}]";
    let (world, host) = deployed(check, &[("a", "A"), ("b", "B")]);
    let before = std::fs::metadata(host.path("a")).unwrap();
    world.commit("bad", &[("a", "bad")]);
    let result = host.sync_by(Trigger::Poll);
    assert_eq!((status(&result), codes(&result)), (Some(DeploymentStatus::Refused), vec!["E_CHECK"]));
    let after = std::fs::metadata(host.path("a")).unwrap();
    let look = |it: &std::fs::Metadata| (it.ino(), it.mtime_nsec(), it.ctime(), it.ctime_nsec());
    assert_eq!(look(&before), look(&after));
    assert_eq!(host.leftovers(), Vec::<String>::new());
    let again = host.sync_by(Trigger::Poll);
    assert_eq!((status(&again), codes(&again), host.history().len()), (None, vec!["E_CHECK"], 2));
    assert_eq!(again.verdict(), Some(crate::finding::Verdict::Refused));
    world.commit("good", &[("a", "good")]);
    assert_eq!(status(&host.sync_by(Trigger::Poll)), Some(DeploymentStatus::Success));
}

#[test]
fn a_rollback_by_hand_brings_edits_back_as_they_were() {
    let (world, host) = deployed("", &[("a", "A"), ("b", "B"), ("c", "C")]);
    host.edit("a", "edited");
    std::fs::set_permissions(host.path("a"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::remove_file(host.path("c")).unwrap();
    std::os::unix::fs::symlink("b", host.path("c")).unwrap();
    host.edit("found", "found");
    std::fs::set_permissions(host.path("found"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("b", host.path("link")).unwrap();
    world.commit("next", &[("a", "A2"), ("c", "C2"), ("found", "F"), ("link", "L")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    let result = host.with(|it| it.rollback(&RollbackTo::Previous, "ana")).unwrap();
    assert_eq!(status(&result), Some(DeploymentStatus::Success));
    let mode = |path: &str| std::fs::symlink_metadata(host.path(path)).unwrap().mode() & 0o7777;
    assert_eq!((host.read("a"), mode("a")), ("edited".into(), 0o600));
    assert_eq!((host.read("found"), mode("found")), ("found".into(), 0o600));
    assert_eq!(std::fs::read_link(host.path("c")).unwrap(), Path::new("b"));
    assert_eq!(std::fs::read_link(host.path("link")).unwrap(), Path::new("b"));
    assert_eq!(host.drifted(), vec![("a".into(), "modified"), ("c".into(), "type")]);
    assert!(host.sync().notes.iter().any(|it| it.starts_with("suspended by ana")), "a pass does not undo it");
}

#[test]
fn an_edit_that_was_kept_twice_still_shows_as_drift_after_a_rollback() {
    let (world, host) = deployed("", &[("a", "A")]);
    for word in ["B", "C"] {
        host.edit("a", "edited");
        world.commit(word, &[("a", word)]);
        assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    }
    let first = host.history().pop().unwrap().id;
    host.with(|it| it.rollback(&RollbackTo::Deployment(first), "ana")).unwrap();
    assert_eq!((host.read("a"), host.drifted()), ("edited".into(), vec![("a".into(), "modified")]));
}

#[test]
fn j06_mass_deletion_is_refused_and_disarmed_once() {
    let (world, host) = deployed("", &[("a", "A"), ("b", "B")]);
    world.commit("empty", &[("a", ""), ("b", "")]);
    world.write("files/.keep", "");
    let result = host.sync();
    assert_eq!(status(&result), Some(DeploymentStatus::Refused));
    let many: Vec<(String, String)> = (0..40).map(|it| (format!("m{it:02}"), "x".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
    world.commit("many", &many);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    let gone: Vec<(&str, &str)> = many[..30].iter().map(|it| (it.0, "")).collect();
    world.commit("less", &gone);
    assert_eq!((codes(&host.sync()), host.path("m00").exists()), (vec!["E_MASS_DELETE"], true));
    let text = std::fs::read_to_string(world.root.join("work/headfast.yaml")).unwrap();
    world.write("headfast.yaml", &format!("{text}allow_removal: [one]\n"));
    world.commit("meant", &[]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    world.commit("many again", &many);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    let gone: Vec<(&str, &str)> = many[1..31].iter().map(|it| (it.0, "")).collect();
    world.commit("less again", &gone);
    assert_eq!(codes(&host.sync()), ["E_MASS_DELETE"], "allow_removal is spent");
}

#[test]
fn p08_what_was_deployed_here_before_may_come_back_whatever_it_removes() {
    let (world, host) = deployed("", &[("a", "A")]);
    let many: Vec<(String, String)> = (0..40).map(|it| (format!("m{it:02}"), "x".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
    world.commit("many", &many);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    let gone: Vec<(&str, &str)> = many.iter().map(|it| (it.0, "")).collect();
    let mut changed = gone.clone();
    changed.push(("a", "A2"));
    world.commit("less, but never seen here", &changed);
    assert_eq!(codes(&host.sync()), ["E_MASS_DELETE"]);
    world.commit("a revert", &[("a", "A")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    assert_eq!((host.read("a"), host.path("m00").exists()), ("A".into(), false));
    // Files that were never ours count as present: taking our 21 of 81 away is less than 30 percent.
    world.commit("many again", &many);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    (0..40).for_each(|n| host.edit(&format!("mine{n}"), "mine"));
    world.commit("a little less", &gone[..21]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
}

/// Makes a pass as a poll does, and returns the phases that it walked through.
fn phases_of_a_poll(host: &Host) -> (ConfigDeployment, Vec<Phase>) {
    let phases = std::cell::RefCell::new(Vec::new());
    let store = Store::open(&host.settings.state_dir, "test").unwrap();
    let on_phase = |phase| phases.borrow_mut().push(phase);
    let deployer =
        ConfigurationDeployer::new(&host.settings, &host.settings.repositories[0], &store, &on_phase).unwrap();
    let result = deployer.sync(Trigger::Poll).unwrap();
    (result, phases.take())
}

#[test]
fn a_poll_that_finds_nothing_new_renders_nothing_whatever_was_said_of_head() {
    let idle = vec![Phase::Fetch, Phase::Report];
    let probe = "    probe: [{command: [/bin/sh, -c, '! grep -q bad ROOT/a'], within: 1ms}]";
    let (world, host) = deployed(probe, &[("a", "A")]);
    assert_eq!(phases_of_a_poll(&host).1, idle, "in sync");

    // Refused before anything was staged; a person may ask again.
    let manifest = std::fs::read_to_string(world.root.join("work/headfast.yaml")).unwrap();
    world.write("headfast.yaml", &format!("{manifest}unknown: key\n"));
    world.commit("wrong", &[]);
    assert_eq!(status(&phases_of_a_poll(&host).0), Some(DeploymentStatus::Refused));
    let (result, phases) = phases_of_a_poll(&host);
    assert_eq!((codes(&result), phases), (vec!["E_UNKNOWN_KEY"], idle.clone()));
    assert_eq!(result.verdict(), Some(crate::finding::Verdict::Invalid));
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Refused));
    assert_eq!(host.history().len(), 2);

    // Rolled back, and quarantined from then on.
    world.write("headfast.yaml", &manifest);
    world.commit("bad", &[("a", "bad")]);
    assert_eq!(status(&phases_of_a_poll(&host).0), Some(DeploymentStatus::RolledBack));
    assert_eq!(codes(&phases_of_a_poll(&host).0), ["E_QUARANTINED"]);
    let (result, phases) = phases_of_a_poll(&host);
    assert_eq!((codes(&result), phases), (vec!["E_QUARANTINED"], idle.clone()));
    // A person's word makes the same verdict a new question.
    assert_eq!(status(&host.with(|it| it.retry()).unwrap()), Some(DeploymentStatus::RolledBack));

    // It waits for a window.
    let host = world.host("one", "    windows: [{allow: '0 0 29 2 *', for: 1m}]\n");
    world.commit("later", &[("a", "B")]);
    assert_eq!(status(&phases_of_a_poll(&host).0), Some(DeploymentStatus::Pending));
    let (result, phases) = phases_of_a_poll(&host);
    assert_eq!((status(&result), phases), (Some(DeploymentStatus::Pending), idle));
    let host = world.host("one", "");
    assert_eq!(status(&phases_of_a_poll(&host).0), Some(DeploymentStatus::Success));
}

#[test]
fn what_a_host_mends_makes_the_same_commit_a_new_question() {
    let (world, _) = deployed("", &[("a", "A")]);
    let signers = world.root.join("signers");
    std::fs::write(&signers, "").unwrap();
    let host = world.host("one", &format!("    verify: {{mode: tip, allowed_signers: {}}}\n", signers.display()));
    world.commit("unsigned", &[("a", "B")]);
    assert_eq!(codes(&host.sync_by(Trigger::Poll)), ["E_SIG_MISSING"]);
    assert!(!phases_of_a_poll(&host).1.contains(&Phase::Verify));
    std::fs::write(&signers, "# someone\n").unwrap();
    assert!(phases_of_a_poll(&host).1.contains(&Phase::Verify));
    let host = world.host("one", "");
    assert_eq!(status(&host.sync_by(Trigger::Poll)), Some(DeploymentStatus::Success));
}

#[test]
fn what_someone_says_while_a_revert_is_pushed_is_not_taken_back() {
    let (world, _) = deployed("", &[("a", "A")]);
    let host = world.host("one", "    rollback: {push: direct}\n");
    world.commit("next", &[("a", "B")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    // While the remote takes the push, ana suspends: as the daemon's other thread would write it.
    let hook = world.root.join("remote.git/hooks/post-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(
        &hook,
        format!("#!/bin/sh\ntouch {0}/pushed\nwhile test ! -e {0}/said; do :; done\n", world.root.display()),
    )
    .unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let lock = std::sync::Arc::new(crate::state::Lock::take(&host.settings.state_dir, "agent").unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !world.root.join("pushed").exists() {
                crate::host::process::pause(std::time::Duration::from_millis(10));
            }
            let store = Store::under(&lock).unwrap();
            let order = crate::state::Suspension {
                reason: "exams".into(),
                until: None,
                author: "ana".into(),
                since: "2026-01-01T00:00:00Z".into(),
            };
            store.suspend("site", &order).unwrap();
            std::fs::write(world.root.join("said"), "").unwrap();
        });
        let store = Store::under(&lock).unwrap();
        let deployer =
            ConfigurationDeployer::new(&host.settings, &host.settings.repositories[0], &store, &|_| {}).unwrap();
        let result = deployer.rollback(&RollbackTo::Previous, "bob").unwrap();
        assert!(result.notes.iter().any(|it| it.contains("is reverted on the branch")), "{:?}", result.notes);
        assert_eq!(store.suspension("site").unwrap().unwrap().reason, "exams");
    });
}

#[test]
fn other_facts_are_deployed_at_the_same_head() {
    let world = world();
    world.manifest("");
    let text = std::fs::read_to_string(world.root.join("work/headfast.yaml")).unwrap();
    world.write("headfast.yaml", &text.replace("copy: files", "template: files"));
    let tip = world.commit("start", &[("a.j2", "{{ WORD }}")]);
    let host = world.host("one", "    variables: {WORD: one}\n");
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    let host = world.host("one", "    variables: {WORD: two}\n");
    let result = host.sync();
    assert_eq!((status(&result), result.revision.as_str()), (Some(DeploymentStatus::Success), tip.as_str()));
    assert_eq!((host.read("a"), status(&host.sync())), ("two".into(), None));
}

#[test]
fn a_suspension_holds_until_it_ends() {
    let (world, host) = deployed("", &[("a", "A")]);
    world.commit("next", &[("a", "B")]);
    host.with(|it| it.suspend("exams", Some("2999-01-01T00:00:00Z".into()), "ana")).unwrap();
    let result = host.sync();
    assert_eq!((status(&result), host.read("a")), (Some(DeploymentStatus::Pending), "A".into()));
    assert_eq!(result.verdict(), None);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Pending));
    assert_eq!(host.history().len(), 2, "waiting is written down once");
    host.with(|it| it.suspend("exams", Some("2000-01-01T00:00:00Z".into()), "ana")).unwrap();
    assert_eq!((status(&host.sync()), host.read("a")), (Some(DeploymentStatus::Success), "B".into()));
    assert!(!host.with(|it| it.resume()).unwrap(), "it has ended by itself");
}

#[test]
fn notes_arrive_in_the_remote_once_per_change() {
    let world = world();
    world.manifest("");
    let tip = world.commit("start", &[("a", "A")]);
    let host = world.host("one", "    status: [{provider: notes}]\n");
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    let note = || world.remote(&["notes", "--ref", "headfast/production/one", "show", &tip]);
    let text = note();
    assert!(text.contains("\"status\":\"success\"") && text.contains("1 file created"), "{text}");
    let reference = "refs/notes/headfast/production/one";
    let count = || world.remote(&["rev-list", "--count", reference]);
    let before = count();
    host.sync();
    host.with(|it| ConfigurationMonitor::new(it).pass()).unwrap();
    assert_eq!(count(), before);
    host.edit("a", "edited");
    host.with(|it| ConfigurationMonitor::new(it).pass()).unwrap();
    assert!(note().contains("\"modified\":1"), "{}", note());
}

#[test]
fn a_note_says_what_a_deployment_waits_for() {
    let (world, _) = deployed("", &[("a", "A")]);
    let tip = world.commit("next", &[("a", "B")]);
    let host = world.host("one", "    status: [{provider: notes}]\n");
    host.with(|it| it.suspend("exams", None, "ana")).unwrap();
    host.sync();
    let note = world.remote(&["notes", "--ref", "headfast/production/one", "show", &tip]);
    assert!(note.contains("exams"), "{note}");
}

/// Returns the statuses of all deployments, oldest first.
fn statuses(host: &Host) -> Vec<DeploymentStatus> {
    host.history().iter().rev().map(|it| it.status).collect()
}

#[test]
fn what_waits_ends_when_another_commit_or_the_same_one_goes_on() {
    use DeploymentStatus::{Pending, Success, Superseded};
    let (world, host) = deployed("", &[("a", "1")]);
    let suspend = |reason: &str| host.with(|it| it.suspend(reason, None, "ana")).unwrap();
    suspend("exams");
    world.commit("two", &[("a", "2")]);
    host.sync();
    suspend("more exams");
    assert_eq!(status(&host.sync()), Some(Pending));
    assert_eq!(statuses(&host), [Success, Pending], "it is one record, whatever it waits for");
    assert!(host.history()[0].error.as_ref().unwrap().message.contains("more exams"));
    world.commit("three", &[("a", "3")]);
    host.sync();
    assert_eq!(statuses(&host), [Success, Superseded, Pending], "a newer commit came first");
    host.with(|it| it.resume()).unwrap();
    assert_eq!(status(&host.sync()), Some(Success));
    assert_eq!(statuses(&host), [Success, Superseded, Superseded, Success]);
    assert!(host.history().iter().skip(1).all(|it| it.finished_at.is_some()));
}

#[test]
fn what_waits_ends_when_the_branch_goes_back_to_what_is_live() {
    let (world, host) = deployed("", &[("a", "1")]);
    let live = world.remote(&["rev-parse", "main"]);
    host.with(|it| it.suspend("exams", None, "ana")).unwrap();
    world.commit("two", &[("a", "2")]);
    host.sync();
    world.remote(&["update-ref", "refs/heads/main", &live]);
    assert_eq!(status(&host.sync()), None);
    assert_eq!(statuses(&host), [DeploymentStatus::Success, DeploymentStatus::Superseded]);
}
