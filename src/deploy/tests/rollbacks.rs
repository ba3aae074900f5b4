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
