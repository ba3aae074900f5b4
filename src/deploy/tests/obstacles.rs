//! What `why-not` says: one case a gate, and that asking changes nothing.

use super::*;
use crate::deploy::{Gate, Obstacle};
use crate::record::Phase;

const PROBE: &str = "    probe: [{command: [/bin/sh, -c, '! grep -q bad ROOT/a'], within: 1s}]";

impl Host {
    fn obstacle(&self, revision: Option<&str>) -> Obstacle {
        self.with(|it| it.obstacle(revision)).unwrap()
    }

    /// Fetches, and returns what keeps the tip from being live.
    fn fetched(&self) -> Obstacle {
        self.with(|it| it.fetch()).unwrap();
        self.obstacle(None)
    }
}

/// Everything about an answer that has no time in it.
fn told(obstacle: &Obstacle) -> (Gate, Option<&'static str>, bool) {
    (obstacle.gate, obstacle.code, obstacle.since.is_some())
}

#[track_caller]
fn unblocks(obstacle: &Obstacle, text: &str) {
    let unblock = obstacle.unblock.as_deref().unwrap_or_default();
    assert!(unblock.contains(text), "{unblock:?} does not say {text:?}; {}", obstacle.reason);
}

#[test]
fn why_not_of_what_is_live_or_a_part_of_it_says_so() {
    let (world, host) = deployed("", &[("a", "A")]);
    let first = host.history()[0].revision.to_string();
    let live = host.obstacle(None);
    assert_eq!((live.gate, live.unblock.as_deref()), (Gate::Live, None));
    assert_eq!(live.since, host.history()[0].finished_at);
    world.commit("next", &[("a", "B")]);
    host.sync();
    assert_eq!(host.obstacle(Some(&first[..8])).gate, Gate::Contained);
}

#[test]
fn why_not_of_what_nobody_fetched_says_how_to_get_it() {
    let world = world();
    world.manifest("");
    let tip = world.commit("start", &[("a", "A")]);
    let host = world.host("one", "");
    let nothing = host.obstacle(None);
    assert_eq!((told(&nothing), nothing.revision.is_some()), ((Gate::NotFetched, None, false), false));
    unblocks(&nothing, "headfast sync");
    assert_eq!(host.fetched().gate, Gate::None, "it can be deployed");
    unblocks(&host.obstacle(None), "headfast sync");
    assert_eq!(host.obstacle(Some(&tip)).gate, Gate::None);
    let unknown = host.obstacle(Some("deadbeef"));
    assert_eq!((unknown.gate, unknown.revision.clone()), (Gate::NotFetched, None));
    unblocks(&unknown, "push it to the branch main");
}

#[test]
fn why_not_of_an_older_commit_names_the_newer_one_and_what_keeps_that() {
    let (world, host) = deployed("", &[("a", "A")]);
    let older = world.commit("older", &[("a", "B")]);
    world.commit("newest", &[("a", "C")]);
    host.with(|it| it.suspend("exams", Some("2999-01-01T00:00:00Z".into()), "ana")).unwrap();
    host.with(|it| it.fetch()).unwrap();
    let obstacle = host.obstacle(Some(&older));
    assert_eq!(obstacle.gate, Gate::Overtaken);
    let first = obstacle.first.unwrap();
    assert_eq!(told(&first), (Gate::Suspended, Some("E_SUSPENDED"), true));
    assert!(first.reason.contains("ana") && first.reason.contains("exams"), "{}", first.reason);
    unblocks(&first, "headfast resume`, or wait until 2999-01-01T00:00:00Z");
}

#[test]
fn why_not_of_a_commit_beside_the_branch_says_where_to_merge_it() {
    let (world, host) = deployed("", &[("a", "A")]);
    let lost = world.commit("lost", &[("a", "B")]);
    host.with(|it| it.fetch()).unwrap();
    git(&world.root.join("work"), &["reset", "-q", "--hard", "HEAD~1"]);
    world.write("files/a", "C");
    git(&world.root.join("work"), &["add", "-A"]);
    git(&world.root.join("work"), &["commit", "-q", "-m", "other"]);
    git(&world.root.join("work"), &["push", "-q", "--force", "../remote.git", "HEAD:main"]);
    host.with(|it| it.fetch()).unwrap();
    let obstacle = host.obstacle(Some(&lost));
    assert_eq!(obstacle.gate, Gate::NotFollowed);
    unblocks(&obstacle, "merge it into the branch main");
}

#[test]
fn why_not_says_rewound_unsigned_and_closed() {
    let (world, host) = deployed("", &[("a", "A")]);
    world.commit("next", &[("a", "B")]);
    host.sync();
    git(&world.root.join("remote.git"), &["update-ref", "refs/heads/main", "main^"]);
    let rewound = host.sync();
    assert_eq!(codes(&rewound), ["E_HISTORY_REWOUND"]);
    // The older commit is contained in what is live; the newest on the branch is another one.
    let work = world.root.join("work");
    git(&work, &["reset", "-q", "--hard", "HEAD~1"]);
    world.write("files/a", "other");
    world.commit("other", &[]);
    let obstacle = host.fetched();
    assert_eq!(told(&obstacle), (Gate::History, Some("E_HISTORY_REWOUND"), false), "not tried yet");
    unblocks(&obstacle, "rewind: follow");
    host.sync();
    let obstacle = host.obstacle(None);
    assert_eq!(obstacle.since, Some(host.history()[0].started_at.clone()));

    let (world, _) = deployed("", &[("a", "A")]);
    let signers = world.root.join("signers");
    std::fs::write(&signers, "").unwrap();
    let verify = format!("    verify: {{mode: tip, allowed_signers: {}}}\n", signers.display());
    let host = world.host("one", &verify);
    world.commit("next", &[("a", "B")]);
    let obstacle = host.fetched();
    assert_eq!(told(&obstacle), (Gate::Signature, Some("E_SIG_MISSING"), false));
    unblocks(&obstacle, "sign it");

    let host = world.host("one", "    windows: [{allow: '0 0 29 2 *', for: 1m}]\n");
    assert_eq!(told(&host.fetched()), (Gate::Window, None, false));
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Pending));
    let obstacle = host.obstacle(None);
    assert_eq!(told(&obstacle), (Gate::Window, None, true));
    assert!(obstacle.reason.contains("the next opens"), "{}", obstacle.reason);
}

#[test]
fn why_not_tells_every_mistake_of_a_commit_with_its_line() {
    let (world, host) = deployed("", &[("a", "A")]);
    let text = std::fs::read_to_string(world.root.join("work/headfast.yaml")).unwrap();
    world.write("headfast.yaml", &format!("{text}allow_remval: []\n"));
    world.commit("slip", &[]);
    let obstacle = host.fetched();
    assert_eq!(told(&obstacle), (Gate::Content, Some("E_UNKNOWN_KEY"), false));
    assert!(obstacle.findings.iter().any(|it| it.line_text.is_some()));
    unblocks(&obstacle, "did you mean");
    host.sync();
    assert!(host.obstacle(None).since.is_some());

    world.write("headfast.yaml", &text.replace("/one/app", "/elsewhere").replace(world.root.to_str().unwrap(), "/srv"));
    world.commit("elsewhere", &[]);
    assert_eq!(told(&host.fetched()), (Gate::NotAllowed, Some("E_TARGET_NOT_ALLOWED"), false));

    world.write("policies/no.rego", "package main\nimport rego.v1\ndeny contains \"never\" if true\n");
    world.write("headfast.yaml", &format!("{text}policies: [policies]\n"));
    world.commit("policy", &[("a", "P")]);
    let obstacle = host.fetched();
    assert_eq!(told(&obstacle), (Gate::Policy, Some("E_POLICY"), false));
    assert!(obstacle.reason.contains("never"), "{}", obstacle.reason);
}

#[test]
fn why_not_says_mass_deletion_and_files_of_others() {
    let many: Vec<(String, String)> = (0..40).map(|it| (format!("m{it:02}"), "x".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
    let (world, host) = deployed("", &many);
    let gone: Vec<(&str, &str)> = many[..30].iter().map(|it| (it.0, "")).collect();
    world.commit("less", &gone);
    let obstacle = host.fetched();
    assert_eq!(told(&obstacle), (Gate::MassDelete, Some("E_MASS_DELETE"), false));
    unblocks(&obstacle, "allow_removal");
}

#[test]
fn why_not_says_quarantined_vetoed_and_taken_back() {
    let (world, host) = deployed(PROBE, &[("a", "A")]);
    let bad = world.commit("bad", &[("a", "bad")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::RolledBack));
    let obstacle = host.obstacle(None);
    assert_eq!(told(&obstacle), (Gate::Quarantined, Some("E_QUARANTINED"), true));
    unblocks(&obstacle, "headfast retry");
    git(&world.root.join("work"), &["revert", "--no-edit", "HEAD"]);
    let revert = world.commit("more", &[("b", "B")]);
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    let obstacle = host.obstacle(Some(&bad));
    assert_eq!(obstacle.gate, Gate::Reverted);
    assert_eq!(host.obstacle(Some(&revert)).gate, Gate::Live);

    let check = "    check: [{command: [/bin/sh, -c, 'test \"$(cat $0/a)\" != bad', '{{ staged }}']}]";
    let (world, host) = deployed(check, &[("a", "A")]);
    world.commit("bad", &[("a", "bad")]);
    assert_eq!(host.fetched().gate, Gate::None, "a check is not run to answer a question");
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Refused));
    let obstacle = host.obstacle(None);
    assert_eq!(told(&obstacle), (Gate::Check, Some("E_CHECK"), true));
    unblocks(&obstacle, "headfast sync");
}

#[test]
fn why_not_says_that_a_commit_kills_the_agent() {
    let (world, host) = deployed("", &[("a", "A")]);
    let tip = world.commit("poison", &[("a", "B")]);
    host.with(|it| {
        let revision = crate::revision::ObjectId::new(&tip);
        let attempt = it.attempt(&revision, Trigger::Poll, None);
        for _ in 0..3 {
            it.store().attempt("site", &it.subject(&attempt), Phase::Render, None).unwrap();
        }
    });
    assert_eq!(codes(&host.sync()), ["E_CRASHED"]);
    let obstacle = host.obstacle(None);
    assert_eq!(told(&obstacle), (Gate::Crashed, Some("E_QUARANTINED"), true));
    assert!(obstacle.reason.contains("crashed at render"), "{}", obstacle.reason);
    unblocks(&obstacle, "headfast retry");
}

#[test]
fn why_not_says_what_is_wrong_with_the_host() {
    let (world, host) = deployed("", &[("a", "A")]);
    std::fs::remove_dir_all(&host.root).unwrap();
    std::os::unix::fs::symlink("/tmp", &host.root).unwrap();
    world.commit("next", &[("a", "B")]);
    let obstacle = host.fetched();
    assert_eq!((obstacle.gate, obstacle.code), (Gate::Host, Some("E_TARGET_SYMLINK")));
    assert!(obstacle.unblock.is_some());
}

#[test]
fn asking_why_not_changes_nothing() {
    let (world, host) = deployed("", &[("a", "A")]);
    world.commit("next", &[("a", "B")]);
    host.with(|it| it.fetch()).unwrap();
    let dump = || {
        host.with(|it| {
            let store = it.store();
            (store.deployments(None, 100).unwrap(), store.repositories().unwrap(), store.accepted("site").unwrap())
        })
    };
    let before = dump();
    assert_eq!(host.obstacle(None).gate, Gate::None);
    assert_eq!(dump(), before);
    assert_eq!(host.read("a"), "A");
}
