use super::*;
use crate::rollback::{self, NewCommit};
use std::os::unix::fs::PermissionsExt;

fn new_commit(tree: &str, parents: &[&ObjectId]) -> NewCommit {
    NewCommit {
        tree: ObjectId::new(tree),
        parents: parents.iter().map(|it| (*it).clone()).collect(),
        author_name: "headfast".into(),
        author_email: "headfast@localhost".into(),
        time: 1_700_000_001,
        offset: -150,
        message: "Revert \"a: two\"\n\nThis reverts it.\n".into(),
    }
}

fn hook(fixture: &Fixture, name: &str, script: &str) {
    let path = fixture.bare().join("hooks").join(name);
    std::fs::create_dir_all(path.parent().expect("has a parent")).expect("makes a folder");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("writes");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("may");
}

#[test]
fn c18_a_push_that_a_hook_rejects_is_refused() {
    let fixture = Fixture::new();
    let mut mirror = fixture.mirror();
    let tip = mirror.fetch(&fixture.remote(), "main").expect("fetches");
    hook(&fixture, "pre-receive", "printf 'main is \\033[31mprotected' >&2\nexit 1");
    let error = mirror.push(&fixture.remote(), &tip, "refs/heads/copy").expect_err("is refused");
    assert_eq!(error.code(), Code::PUSH_REFUSED);
    let text = error.to_string();
    assert!(text.contains("pre-receive hook declined") && text.contains("protected"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    hook(&fixture, "pre-receive", "exit 0");
    mirror.push(&fixture.remote(), &tip, "refs/heads/copy").expect("pushes");
    assert_eq!(git(&fixture.bare(), &["rev-parse", "copy"]), tip.as_str());
    mirror.push(&fixture.remote(), &tip, "refs/heads/copy").expect("pushing it again changes nothing");
}

#[test]
fn c18_a_remote_that_has_moved_on_is_never_forced() {
    let fixture = Fixture::new();
    let first = fixture.head();
    let mut mirror = fixture.mirror();
    mirror.fetch(&fixture.remote(), "main").expect("fetches");
    let tree = git(&fixture.bare(), &["rev-parse", "main^{tree}"]);
    let ours = mirror.create_commit(&new_commit(&tree, &[&first])).expect("makes it");
    let theirs = fixture.commit("a", "two");
    fixture.push();
    assert_eq!(code(mirror.push(&fixture.remote(), &ours, "refs/heads/main")), Some(Code::PUSH_REFUSED));
    mirror.fetch(&fixture.remote(), "main").expect("fetches");
    assert_eq!(code(mirror.push(&fixture.remote(), &ours, "refs/heads/main")), Some(Code::PUSH_REFUSED));
    assert_eq!(git(&fixture.bare(), &["rev-parse", "main"]), theirs.as_str());
}

#[test]
fn a_push_needs_the_full_name_of_a_ref_and_a_remote() {
    let fixture = Fixture::new();
    let mut mirror = fixture.mirror();
    let tip = mirror.fetch(&fixture.remote(), "main").expect("fetches");
    for name in ["main", "refs/heads/a..b", "refs/heads/a:refs/heads/main", "+refs/heads/main", "refs/heads/-\n"] {
        assert_eq!(code(mirror.push(&fixture.remote(), &tip, name)), Some(Code::PUSH_REFUSED), "{name}");
    }
    let gone = remote(&fixture.dir.path().join("gone.git"));
    assert_eq!(code(mirror.push(&gone, &tip, "refs/heads/x")), Some(Code::FETCH_NET));
    let unknown = ObjectId::new(&"1".repeat(40));
    assert!(mirror.push(&fixture.remote(), &unknown, "refs/heads/x").is_err());
}

#[test]
fn a_push_to_somebody_elses_repository_is_made_as_its_owner() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let fixture = Fixture::new();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(fixture.dir.path(), open).expect("may");
    hook(&fixture, "post-receive", "id -u > \"$PWD/ran-as\"");
    let status = Command::new("chown").args(["-R", "65534:65534"]).arg(fixture.bare()).status().expect("runs");
    assert!(status.success());
    let mut mirror = fixture.mirror();
    let tip = mirror.fetch(&fixture.remote(), "main").expect("fetches");
    mirror.push(&fixture.remote(), &tip, "refs/heads/copy").expect("pushes");
    assert_eq!(std::fs::read_to_string(fixture.bare().join("ran-as")).expect("the hook ran").trim(), "65534");
}

#[test]
fn the_same_values_make_the_same_commit_as_git_makes() {
    let fixture = Fixture::new();
    let first = fixture.head();
    let mut mirror = fixture.mirror();
    mirror.fetch(&fixture.remote(), "main").expect("fetches");
    let tree = git(&fixture.bare(), &["rev-parse", "main^{tree}"]);
    let made = mirror.create_commit(&new_commit(&tree, &[&first])).expect("makes it");
    assert_eq!(mirror.create_commit(&new_commit(&tree, &[&first])).expect("makes it"), made);
    let raw = format!(
        "tree {tree}\nparent {first}\nauthor headfast <headfast@localhost> 1700000001 -0230\n\
         committer headfast <headfast@localhost> 1700000001 -0230\n\nRevert \"a: two\"\n\nThis reverts it.\n"
    );
    let oracle = git_with(&fixture.bare(), &["hash-object", "-t", "commit", "--stdin"], raw.as_bytes());
    assert_eq!(made.as_str(), oracle);
    let unknown = ObjectId::new(&"1".repeat(40));
    assert!(mirror.create_commit(&new_commit(&tree, &[&unknown])).is_err());
}

#[test]
fn two_hosts_make_and_push_the_same_revert() {
    let fixture = Fixture::new();
    let good = fixture.head();
    let failed = fixture.commit("a", "two");
    fixture.push();
    let mut made = Vec::new();
    for name in ["one.git", "two.git"] {
        let mut mirror = Mirror::open(&fixture.dir.path().join(name)).expect("opens");
        let tip = mirror.fetch(&fixture.remote(), "main").expect("fetches");
        let undone = mirror.between(&good, &tip, 100).expect("reads");
        let (good, failed) = (mirror.commit(&good).expect("reads"), mirror.commit(&failed).expect("reads"));
        let revert = rollback::revert_commit(&failed, &good, &undone);
        let id = mirror.create_commit(&revert).expect("makes it");
        mirror.push(&fixture.remote(), &id, &rollback::branch_of(&failed.id)).expect("pushes");
        assert!(rollback::is_revert_of(&mirror.commit(&id).expect("reads"), &failed.id));
        made.push(id);
    }
    assert_eq!(made[0], made[1]);
    let branch = format!("headfast/revert/{failed}");
    assert_eq!(git(&fixture.bare(), &["rev-parse", &branch]), made[0].as_str());
    assert_eq!(git(&fixture.bare(), &["diff", good.as_str(), &branch]), "");
}

#[test]
fn a_note_is_written_on_top_of_what_the_remote_has() {
    const REF: &str = "refs/notes/headfast/production/web-1";
    let fixture = Fixture::new();
    let tip = fixture.head();
    let mut mirror = fixture.mirror();
    mirror.fetch(&fixture.remote(), "main").expect("fetches");
    mirror.note(&fixture.remote(), REF, &tip, "pending\n").expect("writes");
    mirror.note(&fixture.remote(), REF, &tip, "success\n").expect("writes");
    assert_eq!(mirror.read_note(REF, &tip).expect("reads").as_deref(), Some("success\n"));
    let shown = || git(&fixture.bare(), &["log", "-1", "--format=%N", "--notes=headfast/production/web-1", "main"]);
    assert_eq!(shown(), "success");
    assert_eq!(git(&fixture.bare(), &["rev-list", "--count", REF]), "2");
    mirror.note(&fixture.remote(), REF, &tip, "success\n").expect("has nothing to do");
    assert_eq!(git(&fixture.bare(), &["rev-list", "--count", REF]), "2");
    // A host that lost its state goes on where the remote is.
    let mut other = Mirror::open(&fixture.dir.path().join("other.git")).expect("opens");
    other.fetch(&fixture.remote(), "main").expect("fetches");
    other.note(&fixture.remote(), REF, &tip, "failed\n").expect("writes");
    mirror.note(&fixture.remote(), REF, &tip, "success again\n").expect("writes");
    assert_eq!(shown(), "success again");
    assert_eq!(git(&fixture.bare(), &["rev-list", "--count", REF]), "4");
}

#[test]
fn a_note_that_loses_a_race_is_tried_once_more() {
    const REF: &str = "refs/notes/headfast/production/web-1";
    let fixture = Fixture::new();
    let tip = fixture.head();
    let mut mirror = fixture.mirror();
    mirror.fetch(&fixture.remote(), "main").expect("fetches");
    // The first try finds that somebody else was faster; only then does the hook step aside.
    hook(&fixture, "update", "if [ -e \"$PWD/raced\" ]; then exit 0; fi; touch \"$PWD/raced\"; exit 1");
    mirror.note(&fixture.remote(), REF, &tip, "success\n").expect("writes");
    hook(&fixture, "update", "exit 1");
    assert_eq!(code(mirror.note(&fixture.remote(), REF, &tip, "more\n")), Some(Code::PUSH_REFUSED));
}
