//! Crashes: what is dropped half-way is finished by the next pass.

use super::*;
use crate::deploy::change::request;
use crate::deploy::prepare::Prepared;
use crate::revision::{ObjectId, Tree};

const ACTIONS: &str = "    reload: [{command: [/bin/sh, -c, 'cat ROOT/a >> ROOT/../reloads']}]\n    \
                       probe: [{command: [/bin/sh, -c, '! grep -q bad ROOT/a'], within: 1s}]";

/// How far a deployment comes before everything stops.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) enum Until {
    Staged,
    Committed,
    Recorded,
    Succeeded,
    Restoring,
}

/// Carries a commit out until the machine dies.
pub(super) fn die(host: &Host, commit: &str, until: Until) {
    assert!(died(host, commit, until), "not ready");
}

/// Carries a commit out until the machine dies; `false` when it is not to be deployed, and nothing has happened.
pub(super) fn died(host: &Host, commit: &str, until: Until) -> bool {
    host.with(|it| {
        if it.fetch().is_err() {
            return false;
        }
        let live = it.store.live("site").unwrap();
        let mut deployment = it.attempt(&ObjectId::new(commit), Trigger::Manual, live.as_ref());
        let Ok(Prepared::Ready(ready)) = it.prepare(&mut deployment, live.as_ref()) else {
            it.survived().unwrap();
            return false;
        };
        let rendering = &ready.rendered.rendering;
        let mut request = request(&ready.plan, rendering, &ready.seen.ledger, &ready.seen.accounts);
        it.begin(&mut deployment).unwrap();
        let aftermath = it.aftermath(&deployment, &ready.repertoire, &ready.plan).unwrap();
        request.deployment = deployment.id;
        request.repository = "site".into();
        request.actions = serde_json::to_value(&aftermath).unwrap();
        let staged = it.client().stage(&request, &|id| ready.tree.blob(id)).unwrap();
        if until == Until::Staged {
            return true;
        }
        it.keep(&mut deployment, &ready.plan).unwrap();
        let mut switched = staged.commit().unwrap();
        if until == Until::Committed {
            return true;
        }
        it.record(&mut deployment, &mut switched).unwrap();
        match until {
            Until::Succeeded => {
                deployment.status = DeploymentStatus::Success;
                it.save_live(&deployment, &aftermath.repertoire, &aftermath.facts).unwrap();
            }
            Until::Restoring => {
                let failure = crate::record::Failure { code: "E_PROBE".into(), message: "the probe fails".into() };
                deployment.error = Some(failure);
                it.save(&deployment).unwrap();
                drop(switched.restore().unwrap());
            }
            _ => {}
        }
        true
    })
}

fn reloads(host: &Host) -> String {
    std::fs::read_to_string(host.root.with_file_name("reloads")).unwrap_or_default()
}

#[test]
fn x03_a_good_commit_is_live_after_a_crash_at_any_point() {
    for until in [Until::Staged, Until::Committed, Until::Recorded, Until::Succeeded] {
        let (world, host) = deployed(ACTIONS, &[("a", "A"), ("d/e", "E")]);
        let commit = world.commit("next", &[("a", "B"), ("d/e", ""), ("x/y", "Y")]);
        die(&host, &commit, until);
        let result = host.sync();
        assert_eq!(result.deployment.is_some(), until == Until::Staged, "{until:?}");
        assert_eq!((host.read("a"), host.read("x/y"), host.path("d").exists()), ("B".into(), "Y".into(), false));
        assert_eq!(host.drifted(), vec![], "{until:?}");
        assert_eq!(host.leftovers(), Vec::<String>::new());
        assert_eq!(host.with(|it| it.store().live("site")).unwrap().unwrap().revision.as_str(), commit);
        assert!(host.history().iter().all(|it| it.status != DeploymentStatus::InProgress));
        assert_eq!(reloads(&host), if until == Until::Succeeded { "A" } else { "AB" }, "{until:?}");
        assert_eq!(status(&host.sync()), None);
    }
}

#[test]
fn x03_a_bad_commit_is_taken_back_after_a_crash_at_any_point() {
    for until in [Until::Staged, Until::Committed, Until::Recorded, Until::Restoring] {
        let (world, _) = deployed(ACTIONS, &[("a", "A"), ("d/e", "E")]);
        let host = world.host("one", "    rollback: {push: direct}\n");
        let commit = world.commit("bad", &[("a", "bad"), ("d/e", ""), ("x/y", "Y")]);
        die(&host, &commit, until);
        host.sync();
        assert_eq!((host.read("a"), host.read("d/e"), host.path("x").exists()), ("A".into(), "E".into(), false));
        assert_eq!(host.drifted(), vec![], "{until:?}");
        assert_eq!(host.leftovers(), Vec::<String>::new());
        let quarantined = host.with(|it| it.store().quarantined("site")).unwrap();
        assert_eq!(quarantined.iter().map(|it| it.revision.as_str()).collect::<Vec<_>>(), [commit.as_str()]);
        assert_eq!(world.remote(&["rev-parse", "main^"]), commit, "{until:?}: reverted");
        assert!(reloads(&host).ends_with('A'), "{until:?}: {}", reloads(&host));
        assert!(host.history().iter().all(|it| it.status != DeploymentStatus::InProgress));
    }
}

#[test]
fn a_look_for_drift_finishes_what_was_cut_short_first() {
    let (world, _) = deployed("    drift: heal", &[("a", "A"), ("b", "B")]);
    let host = world.host("one", "    drift: {mode: heal}\n");
    let commit = world.commit("next", &[("a", "A2")]);
    host.edit("b", "edited");
    die(&host, &commit, Until::Committed);
    host.with(|it| ConfigurationMonitor::new(it).pass()).unwrap();
    assert_eq!((host.read("a"), host.read("b"), host.drifted()), ("A2".into(), "B".into(), vec![]));
    assert_eq!(host.leftovers(), Vec::<String>::new());
}

#[test]
fn what_was_edited_while_the_probes_ran_is_kept() {
    let probe = "    probe: [{command: [/bin/sh, -c, 'if grep -q bad ROOT/a; then echo edited > ROOT/a; fi; \
                 ! grep -q edited ROOT/a'], within: 1s}]";
    let (world, host) = deployed(probe, &[("a", "A")]);
    world.commit("bad", &[("a", "bad")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::RolledBack));
    assert_eq!((host.read("a"), host.kept()), ("A".into(), vec![("a".into(), "edited\n".into())]));
    assert_eq!(host.drifted(), vec![]);
}

#[test]
fn a_journal_whose_actions_cannot_be_read_is_no_success() {
    let (world, host) = deployed(ACTIONS, &[("a", "A")]);
    let commit = world.commit("bad", &[("a", "bad")]);
    die(&host, &commit, Until::Recorded);
    let folder = host.settings.state_dir.join("transactions/site");
    let text = std::fs::read_to_string(folder.join("undo")).unwrap();
    let body = text.lines().next().unwrap().replace("\"probes\"", "\"proofs\"");
    let sum = <sha2::Sha256 as sha2::Digest>::digest(body.as_bytes());
    let sum: String = sum.iter().map(|it| format!("{it:02x}")).collect();
    std::fs::write(folder.join("undo"), format!("{body}\n{sum}\n")).unwrap();
    let error = host.with(|it| it.sync(Trigger::Manual)).unwrap_err();
    assert_eq!(error.failure().code, "E_JOURNAL");
}

#[test]
fn h10_a_switch_that_fails_half_way_is_put_back_at_once() {
    let (world, host) = deployed("", &[("a", "A"), ("b", "B")]);
    world.commit("next", &[("a", "A2"), ("b", "B2"), ("new", "N")]);
    let chattr =
        |flag: &str| Command::new("chattr").arg(flag).arg(host.path("b")).output().is_ok_and(|it| it.status.success());
    if !chattr("+i") {
        return; // Not root, or a file system without attributes.
    }
    let result = host.with(|it| it.sync(Trigger::Manual));
    assert!(chattr("-i"));
    assert_eq!(status(&result.unwrap()), Some(DeploymentStatus::Failed));
    assert_eq!((host.read("a"), host.read("b"), host.path("new").exists()), ("A".into(), "B".into(), false));
    assert_eq!((host.drifted(), host.leftovers()), (vec![], Vec::<String>::new()));
    assert_eq!((status(&host.sync()), host.read("b")), (Some(DeploymentStatus::Success), "B2".into()));
}

#[test]
fn i11_an_edit_between_crash_and_recovery_is_kept_and_holds_nothing_up() {
    let (world, host) = deployed("", &[("a", "A"), ("b", "B")]);
    let commit = world.commit("next", &[("a", "A2"), ("b", "B2")]);
    die(&host, &commit, Until::Committed);
    host.edit("a", "edited after the crash");
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    assert_eq!((host.read("a"), host.read("b"), host.drifted()), ("A2".into(), "B2".into(), vec![]));
    assert_eq!(host.kept(), vec![("a".into(), "edited after the crash".into())]);
}
