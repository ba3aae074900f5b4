use super::*;

#[test]
fn a17_a_remote_that_is_gone_is_unreachable() {
    let fixture = Fixture::new();
    let mut mirror = fixture.mirror();
    let gone = fixture.dir.path().join("gone.git");
    assert_eq!(code(mirror.fetch(&remote(&gone), "main")), Some(Code::FETCH_NET));
    std::fs::create_dir(&gone).expect("makes a folder");
    assert_eq!(code(mirror.fetch(&remote(&gone), "main")), Some(Code::FETCH_NET));
}

#[test]
fn a25_a_branch_that_is_not_there_is_missing() {
    let fixture = Fixture::new();
    let bare = fixture.bare();
    git(&bare, &["tag", "v1", "main"]);
    git(&bare, &["symbolic-ref", "refs/heads/loop", "refs/heads/pool"]);
    git(&bare, &["symbolic-ref", "refs/heads/pool", "refs/heads/loop"]);
    let blob = git(&bare, &["rev-parse", "main:a"]);
    std::fs::write(bare.join("refs/heads/blob"), format!("{blob}\n")).expect("writes");
    let mut mirror = fixture.mirror();
    for branch in ["other", "v1", "loop", "blob", "", "-x", "ma*n", "../main", "main^", "refs/heads/main"] {
        assert_eq!(code(mirror.fetch(&fixture.remote(), branch)), Some(Code::REF_MISSING), "{branch}");
    }
    assert!(mirror.fetch(&fixture.remote(), "main").is_ok());
}

#[test]
fn a26_an_empty_repository_is_said_to_be_empty() {
    let fixture = Fixture::empty();
    assert_eq!(code(fixture.mirror().fetch(&fixture.remote(), "main")), Some(Code::EMPTY_REPO));
}

#[test]
fn a27_a_remote_that_lacks_objects_is_incomplete() {
    let fixture = Fixture::new();
    fixture.pass().expect("the first pass works");
    let pinned = fixture.head();
    fixture.mirror().pin("deployed", &pinned).expect("pins");
    fixture.commit("sub/b", "two");
    fixture.push();
    let blob = git(&fixture.bare(), &["rev-parse", "main:sub/b"]);
    let path = fixture.bare().join("objects").join(&blob[..2]).join(&blob[2..]);
    let content = std::fs::read(&path).expect("it is a loose object");
    std::fs::remove_file(&path).expect("removes");
    let mut mirror = fixture.mirror();
    for _ in 0..2 {
        assert_eq!(code(mirror.fetch(&fixture.remote(), "main")), Some(Code::INCOMPLETE));
        assert!(mirror.commit(&pinned).is_ok(), "what was here stays here");
    }
    std::fs::write(&path, content).expect("writes");
    assert_eq!(mirror.fetch(&fixture.remote(), "main").expect("fetches"), fixture.head());
    assert_eq!(fixture.mirror().pinned("deployed"), Some(pinned));
}

#[test]
fn a27_a_shallow_remote_is_incomplete() {
    let fixture = Fixture::new();
    fixture.commit("a", "two");
    fixture.push();
    let url = format!("file://{}", fixture.bare().display());
    git(fixture.dir.path(), &["clone", "-q", "--bare", "--depth", "1", &url, "shallow.git"]);
    let shallow = remote(&fixture.dir.path().join("shallow.git"));
    assert_eq!(code(fixture.mirror().fetch(&shallow, "main")), Some(Code::INCOMPLETE));
}

#[test]
fn a28_other_object_and_ref_formats_are_named() {
    let fixture = Fixture::empty();
    git(fixture.dir.path(), &["init", "-q", "--bare", "--object-format=sha256", "sha256.git"]);
    git(fixture.dir.path(), &["init", "-q", "--bare", "--ref-format=reftable", "reftable.git"]);
    for name in ["sha256.git", "reftable.git"] {
        let error = fixture.mirror().fetch(&remote(&fixture.dir.path().join(name)), "main").expect_err(name);
        assert_eq!(error.code(), Code::OBJECT_FORMAT, "{error}");
    }
}

#[test]
fn a06_a_repository_of_somebody_else_is_read() {
    let fixture = Fixture::new();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let nobody = rustix::process::Uid::from_raw(65534);
    rustix::fs::chown(fixture.bare(), Some(nobody), None).expect("root may");
    assert_eq!(fixture.mirror().fetch(&fixture.remote(), "main").expect("fetches"), fixture.head());
}

#[test]
fn b23_replacements_and_grafts_are_not_followed() {
    let fixture = Fixture::new();
    let first = fixture.head();
    let second = fixture.commit("a", "two");
    fixture.push();
    git(&fixture.bare(), &["replace", second.as_str(), first.as_str()]);
    let mut mirror = fixture.mirror();
    let tip = mirror.fetch(&fixture.remote(), "main").expect("fetches");
    let tree = mirror.tree(&tip).expect("reads");
    let entry = tree.find("a").expect("reads").expect("is there");
    assert_eq!(tree.blob(&entry.id).expect("reads"), b"two");
}

#[test]
fn only_the_wanted_branch_is_fetched_with_its_whole_history() {
    let fixture = Fixture::new();
    let first = fixture.head();
    fixture.git(&["checkout", "-q", "-b", "other"]);
    let other = fixture.commit("b", "other");
    fixture.git(&["push", "-q", "../remote.git", "other"]);
    fixture.git(&["checkout", "-q", "main"]);
    let second = fixture.commit("a", "two");
    fixture.push();
    let mut mirror = fixture.mirror();
    assert_eq!(mirror.fetch(&fixture.remote(), "main").expect("fetches"), second);
    assert!(mirror.commit(&first).is_ok());
    assert_eq!(code(mirror.commit(&other)), Some(Code::INCOMPLETE));
    assert_eq!(
        git(&fixture.mirror_dir(), &["for-each-ref", "--format=%(refname)"]),
        "refs/headfast/remote/branch-main"
    );
}

#[test]
fn a_fetch_follows_the_branch_wherever_it_goes() {
    let fixture = Fixture::new();
    let first = fixture.head();
    let mut mirror = fixture.mirror();
    assert_eq!(mirror.fetch(&fixture.remote(), "main").expect("fetches"), first);
    assert_eq!(mirror.fetch(&fixture.remote(), "main").expect("fetches"), first);
    let second = fixture.commit("a", "two");
    fixture.push();
    assert_eq!(mirror.fetch(&fixture.remote(), "main").expect("fetches"), second);
    fixture.git(&["reset", "-q", "--hard", first.as_str()]);
    let third = fixture.commit("a", "three");
    fixture.push();
    assert_eq!(mirror.fetch(&fixture.remote(), "main").expect("fetches"), third);
    assert!(!mirror.is_ancestor(&second, &third).expect("reads"));
    assert!(mirror.is_ancestor(&first, &third).expect("reads"));
}

#[test]
fn a_folder_of_branches_may_take_the_place_of_a_branch() {
    let fixture = Fixture::new();
    let mut mirror = fixture.mirror();
    mirror.fetch(&fixture.remote(), "main").expect("fetches");
    git(&fixture.bare(), &["branch", "-m", "main", "temporary"]);
    git(&fixture.bare(), &["branch", "-m", "temporary", "main/new"]);
    assert_eq!(code(mirror.fetch(&fixture.remote(), "main")), Some(Code::REF_MISSING));
    assert_eq!(mirror.fetch(&fixture.remote(), "main/new").expect("fetches"), fixture.head());
}

#[test]
fn tags_and_commits_can_be_wanted_too() {
    let fixture = Fixture::new();
    let first = fixture.head();
    git(&fixture.bare(), &["tag", "v1.2.0", "main"]);
    fixture.commit("a", "two");
    fixture.git(&["tag", "-a", "-m", "annotated", "v1.10.0"]);
    let second = fixture.head();
    fixture.git(&["push", "-q", "../remote.git", "main", "v1.10.0"]);
    let tree = git(&fixture.bare(), &["rev-parse", "main^{tree}"]);
    git(&fixture.bare(), &["tag", "v9.0.0", &tree]);
    let mut mirror = fixture.mirror();
    assert_eq!(mirror.fetch_tag(&fixture.remote(), "v1.*").expect("fetches"), ("v1.10.0".into(), second));
    assert_eq!(mirror.fetch_tag(&fixture.remote(), "<1.9").expect("fetches"), ("v1.2.0".into(), first.clone()));
    assert_eq!(code(mirror.fetch_tag(&fixture.remote(), "v2.*")), Some(Code::REF_MISSING));
    assert_eq!(code(mirror.fetch_tag(&fixture.remote(), "v9.*")), Some(Code::REF_MISSING));
    mirror.fetch_commit(&fixture.remote(), &first).expect("fetches");
    let unknown = ObjectId::new(&"1".repeat(40));
    assert_eq!(code(mirror.fetch_commit(&fixture.remote(), &unknown)), Some(Code::REF_MISSING));
    assert!(mirror.fetch_commit(&fixture.remote(), &ObjectId::new("main")).is_err());
}
