//! What a crash leaves behind and somebody has changed since: edits are kept, and what cannot be finished can be given up.

use super::faults::{Until, die};
use super::*;
use crate::finding::Verdict;

fn give_up(host: &Host) -> crate::deploy::GivenUp {
    host.with(|it| it.give_up()).unwrap().expect("there is something to give up")
}

/// Fails unless a pass is stuck, says what to do, and touches nothing.
#[track_caller]
fn stuck(host: &Host, code: &str) {
    let before = (host.read("a"), host.read("b"));
    let error = host.with(|it| it.sync(Trigger::Manual)).unwrap_err();
    assert_eq!((error.failure().code.as_str(), error.verdict()), (code, Verdict::Stuck), "{error}");
    let hint = error.findings.iter().find_map(|it| it.hint.clone()).unwrap();
    assert!(hint.contains("headfast fsck --repair"), "{hint}");
    assert_eq!((host.read("a"), host.read("b")), before);
}

fn save_over(host: &Host, path: &str, content: &str) {
    host.edit("beside", content);
    std::fs::rename(host.path("beside"), host.path(path)).unwrap();
}

/// A host whose second deployment died, and the commit.
fn died(until: Until) -> (World, Host, String) {
    let (world, host) = deployed("", &[("a", "A"), ("b", "B")]);
    let commit = world.commit("next", &[("a", "A2"), ("b", "B2"), ("new", "N")]);
    die(&host, &commit, until);
    (world, host, commit)
}

fn shelf(host: &Host) -> PathBuf {
    host.settings.state_dir.join("transactions/site")
}

#[test]
fn i11_what_an_editor_saved_over_after_a_crash_is_kept_and_the_commit_is_deployed() {
    let (_world, host, commit) = died(Until::Committed);
    save_over(&host, "a", "edited a");
    save_over(&host, "new", "edited new");
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    assert_eq!((host.read("a"), host.read("b"), host.read("new")), ("A2".into(), "B2".into(), "N".into()));
    assert_eq!((host.drifted(), host.leftovers()), (vec![], Vec::<String>::new()));
    let mut kept = host.kept();
    kept.sort();
    assert_eq!(kept, [("a".into(), "edited a".into()), ("new".into(), "edited new".into())]);
    assert_eq!(host.with(|it| it.store().live("site")).unwrap().unwrap().revision.as_str(), commit);
    let history = host.history();
    let statuses: Vec<_> = history.iter().map(|it| it.status).collect();
    assert_eq!(statuses, [DeploymentStatus::Success, DeploymentStatus::Failed, DeploymentStatus::Success]);
    assert_eq!(history[1].error.as_ref().unwrap().code, "E_TARGET_CHANGED");
}

#[test]
fn i11_what_an_editor_saved_over_while_the_old_files_went_back_stays_and_is_drift() {
    let (_world, host, _) = died(Until::Restoring);
    save_over(&host, "a", "edited a");
    host.sync();
    assert_eq!((host.read("a"), host.read("b"), host.path("new").exists()), ("edited a".into(), "B".into(), false));
    assert_eq!((host.drifted(), host.leftovers()), (vec![("a".into(), "modified")], Vec::<String>::new()));
    assert_eq!(host.history()[0].status, DeploymentStatus::RolledBack);
}

#[test]
fn i08_a_damaged_journal_can_be_given_up_at_every_step_and_nothing_is_lost() {
    for (until, step) in [(Until::Committed, "journal"), (Until::Recorded, "undo"), (Until::Restoring, "restore")] {
        let (_world, host, commit) = died(until);
        host.edit("b", "edited b");
        std::fs::write(shelf(&host).join(step), "torn").unwrap();
        stuck(&host, "E_JOURNAL");
        let given_up = give_up(&host);
        assert!(host.with(|it| it.give_up()).unwrap().is_none());
        assert_eq!(host.leftovers(), Vec::<String>::new(), "{step}");
        assert_eq!(host.read("b"), "edited b", "no deployed file is touched");
        // The files that waited are kept: the old ones, or when they were back the new ones.
        let texts: Vec<String> = host.kept().into_iter().map(|it| it.1).collect();
        let waited = if until == Until::Restoring { ["A2", "B2"] } else { ["A", "B"] };
        assert!(waited.iter().all(|it| texts.iter().any(|text| text == it)), "{step}: {texts:?}");
        assert!(given_up.kept.iter().all(|it| it.reason == "recovered"));
        assert!(host.settings.state_dir.join(format!("aside/site-{step}-1")).exists());
        // The next pass looks at what is live, and does not take the ledger's word for it.
        assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success), "{step}");
        assert_eq!((host.read("a"), host.read("b"), host.read("new")), ("A2".into(), "B2".into(), "N".into()));
        assert_eq!(host.drifted(), vec![], "{step}");
        assert!(host.kept().contains(&("b".into(), "edited b".into())), "{step}");
        assert_eq!(host.with(|it| it.store().live("site")).unwrap().unwrap().revision.as_str(), commit);
        assert!(host.history().iter().all(|it| it.status != DeploymentStatus::InProgress));
    }
}

#[test]
fn i10_a_transaction_whose_staging_folder_is_gone_can_be_given_up() {
    for until in [Until::Committed, Until::Restoring] {
        let (_world, host, _) = died(until);
        for name in host.leftovers() {
            std::fs::remove_dir_all(host.path(&name)).unwrap();
        }
        stuck(&host, "E_RECOVERY_CONFLICT");
        give_up(&host);
        assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
        assert_eq!((host.read("a"), host.read("b"), host.read("new")), ("A2".into(), "B2".into(), "N".into()));
        assert_eq!((host.drifted(), host.leftovers()), (vec![], Vec::<String>::new()));
    }
}

#[test]
fn i09_a_journal_that_this_state_does_not_know_is_not_obeyed_and_can_be_given_up() {
    let (_world, host, _) = died(Until::Committed);
    // As after the database was moved out of the way.
    for tail in ["", "-wal", "-shm"] {
        std::fs::remove_file(host.settings.state_dir.join(format!("headfast.db{tail}"))).ok();
    }
    stuck(&host, "E_JOURNAL_FOREIGN");
    let given_up = give_up(&host);
    assert_eq!(given_up.kept.len(), 2, "{given_up:?}");
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    assert_eq!((host.read("a"), host.read("new"), host.drifted()), ("A2".into(), "N".into(), vec![]));
}

#[test]
fn what_a_given_up_transaction_had_made_is_still_headfasts_own() {
    let (world, host, _) = died(Until::Committed);
    let staging = host.path(&host.leftovers()[0]);
    std::fs::remove_dir_all(staging).unwrap();
    stuck(&host, "E_RECOVERY_CONFLICT");
    give_up(&host);
    world.commit("without it", &[("new", "")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    assert!(!host.path("new").exists(), "it is pruned");
    assert_eq!((host.read("a"), host.drifted()), ("A2".into(), vec![]));
}

#[test]
fn strays_are_kept_and_removed() {
    let (_world, host) = deployed("", &[("a", "A")]);
    let folder = host.path(".headfast-0123456789abcdef");
    std::fs::create_dir_all(folder.join("view")).unwrap();
    std::fs::write(folder.join("0"), "precious").unwrap();
    std::fs::write(folder.join("view/a"), "a copy").unwrap();
    host.edit(".headfast-mine", "not ours");
    let given_up = host.with(|it| it.clear_strays()).unwrap().unwrap();
    assert_eq!(given_up.kept.len(), 1);
    assert_eq!(host.kept(), vec![("0".into(), "precious".into())]);
    assert_eq!(host.leftovers(), [".headfast-mine"]);
    assert!(host.with(|it| it.clear_strays()).unwrap().is_none());
}
