//! Rollbacks by hand: what they need, what they say.

use super::*;
use crate::deploy::RollbackTo;

fn rollback(host: &Host) -> ConfigDeployment {
    host.with(|it| it.rollback(&RollbackTo::Previous, "ana")).unwrap()
}

/// Spoils the copy that was kept of a path.
fn spoil(host: &Host, path: &str) {
    let kept = host.with(|it| it.store().kept(Some("site"))).unwrap();
    let file = kept.iter().find(|it| it.kept.path == path).unwrap();
    std::fs::write(host.settings.state_dir.join("kept").join(&file.kept.id), "rotten").unwrap();
}

#[test]
fn k09_a_damaged_copy_of_an_edit_gives_way_to_what_was_deployed() {
    let (world, host) = deployed("", &[("a", "A"), ("b", "B")]);
    host.edit("a", "edited a");
    host.edit("b", "edited b");
    world.commit("next", &[("a", "A2"), ("b", "B2")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    spoil(&host, "a");
    let result = rollback(&host);
    assert_eq!((status(&result), codes(&result)), (Some(DeploymentStatus::Success), vec!["E_ROLLBACK_SOURCE"]));
    assert_eq!((host.read("a"), host.read("b")), ("A".into(), "edited b".into()));
    assert_eq!(host.drifted(), vec![("b".into(), "modified")]);
}

#[test]
fn k09_a_damaged_copy_of_what_nothing_else_has_stops_the_rollback_before_it_writes() {
    let (world, host) = deployed("", &[("a", "A")]);
    host.edit("found", "found here");
    world.commit("next", &[("a", "A2"), ("found", "F")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    spoil(&host, "found");
    let result = rollback(&host);
    assert_eq!((status(&result), codes(&result)), (Some(DeploymentStatus::Failed), vec!["E_ROLLBACK_SOURCE"]));
    assert_eq!((host.read("a"), host.read("found")), ("A2".into(), "F".into()));
    assert_eq!((host.drifted(), host.leftovers()), (vec![], Vec::<String>::new()));
    assert!(host.with(|it| it.store().suspension("site")).unwrap().is_none());
}

#[test]
fn a_commit_that_is_rolled_back_by_hand_gets_its_status() {
    let (world, _) = deployed("", &[("a", "A")]);
    let host = world.host("one", "    status: [{provider: notes}]\n");
    let commit = world.commit("next", &[("a", "A2")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    rollback(&host);
    let note = world.remote(&["notes", "--ref", "headfast/production/one", "show", &commit]);
    assert!(note.contains("\"status\":\"rolled_back\""), "{note}");
}

#[test]
fn a_deployment_that_differs_by_the_facts_alone_cannot_be_gone_back_to_and_that_is_said() {
    let world = world();
    world.manifest("");
    let manifest = std::fs::read_to_string(world.root.join("work/headfast.yaml")).unwrap();
    world.write("headfast.yaml", &manifest.replace("{copy: files}", "{template: templates}"));
    world.write("templates/a.j2", "{{ X }}");
    world.commit("start", &[]);
    for value in ["first", "second"] {
        let host = world.host("one", &format!("    variables: {{X: {value}}}\n"));
        assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
        assert_eq!(host.read("a"), value);
    }
    let host = world.host("one", "    variables: {X: second}\n");
    let result = rollback(&host);
    assert_eq!((status(&result), codes(&result)), (Some(DeploymentStatus::Failed), vec!["E_NOTHING_TO_ROLL_BACK"]));
    assert_eq!(host.read("a"), "second");
    assert!(host.with(|it| it.store().suspension("site")).unwrap().is_none());
}

/// Returns every file of the mirror.
fn files_of_mirror(host: &Host) -> Vec<PathBuf> {
    let mut folders = vec![host.settings.state_dir.join("mirror/site")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()) {
            if entry.is_dir() { folders.push(entry) } else { files.push(entry) }
        }
    }
    files
}

#[test]
fn p13_p16_without_mirror_and_remote_a_rollback_says_what_is_missing_and_touches_nothing() {
    let (world, host) = deployed("", &[("a", "A")]);
    world.commit("next", &[("a", "A2")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    let (remote, away) = (world.root.join("remote.git"), world.root.join("away.git"));
    std::fs::rename(&remote, &away).unwrap();
    std::fs::remove_dir_all(host.settings.state_dir.join("mirror/site")).unwrap();
    let result = rollback(&host);
    assert_eq!((status(&result), codes(&result)[0]), (Some(DeploymentStatus::Failed), "E_INCOMPLETE"));
    assert_eq!(result.verdict(), Some(crate::finding::Verdict::Failed));
    let told = result.findings.iter().next().unwrap();
    assert!(told.message.contains("deployment 1") && told.message.contains("cannot be fetched anew"), "{told:?}");
    assert!(told.hint.as_ref().unwrap().contains("no file was changed"), "{told:?}");
    let why = result.findings.iter().nth(1).unwrap();
    assert!(why.message.contains("remote.git"), "why it cannot be fetched: {why:?}");
    assert_eq!((host.read("a"), host.leftovers()), ("A2".into(), Vec::<String>::new()));
    assert!(host.with(|it| it.store().suspension("site")).unwrap().is_none());
    std::fs::rename(&away, &remote).unwrap();
    assert_eq!((status(&rollback(&host)), host.read("a")), (Some(DeploymentStatus::Success), "A".into()));
}

#[test]
fn p16_what_the_remote_has_not_either_is_said_to_be_gone() {
    let (world, _) = deployed("", &[("a", "A")]);
    let host = world.host("one", "    rewind: follow\n");
    let work = world.root.join("work");
    world.write("files/a", "A2");
    git(&work, &["commit", "-q", "-a", "--amend", "-m", "another history"]);
    git(&work, &["push", "-q", "--force", "../remote.git", "HEAD:main"]);
    git(&world.root.join("remote.git"), &["gc", "-q", "--prune=now"]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    std::fs::remove_dir_all(host.settings.state_dir.join("mirror/site")).unwrap();
    let result = rollback(&host);
    assert_eq!((status(&result), codes(&result)), (Some(DeploymentStatus::Failed), vec!["E_INCOMPLETE"]));
    let told = result.findings.iter().next().unwrap();
    assert!(told.message.contains("the remote does not have it either"), "{told:?}");
    assert_eq!((host.read("a"), host.drifted(), host.leftovers()), ("A2".into(), vec![], vec![]));
}

#[test]
fn p13_p16_a_rollback_heals_damage_to_any_file_of_the_mirror() {
    let (world, host) = deployed("", &[("a", "A"), ("d/b", "B")]);
    world.commit("next", &[("a", "A2"), ("d/b", "B2")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    let check = |what: &str| {
        let result = rollback(&host);
        assert_eq!((status(&result), codes(&result)), (Some(DeploymentStatus::Success), vec![]), "{what}");
        assert_eq!((host.read("a"), host.read("d/b")), ("A".into(), "B".into()), "{what}");
        host.with(|it| it.resume()).unwrap();
        assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success), "{what}");
        assert_eq!(host.read("a"), "A2", "{what}");
    };
    let n_files = files_of_mirror(&host).len();
    assert!(n_files > 6);
    for n in 0..n_files {
        // What heals may have other names.
        let files = files_of_mirror(&host);
        let Some(file) = files.get(n) else { break };
        let _may_be_read_only = std::fs::remove_file(file);
        if n % 2 == 0 {
            std::fs::write(file, "rotten").unwrap();
        }
        check(&file.display().to_string());
    }
    std::fs::remove_dir_all(host.settings.state_dir.join("mirror/site")).unwrap();
    check("the whole mirror");
}
