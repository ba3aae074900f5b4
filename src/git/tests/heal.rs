use super::*;
use std::fs;

/// Every way to spoil one file.
const FAULTS: [&str; 7] = ["truncate", "zero", "flip", "remove", "folder", "link", "unreadable"];

fn spoil(path: &Path, fault: &str) {
    use std::os::unix::fs::PermissionsExt;
    let mut permissions = fs::metadata(path).expect("is there").permissions();
    permissions.set_mode(0o644);
    fs::set_permissions(path, permissions.clone()).expect("may");
    let mut bytes = fs::read(path).expect("reads");
    match fault {
        "truncate" => fs::write(path, &bytes[..bytes.len() / 2]).expect("writes"),
        "zero" => fs::write(path, vec![0; bytes.len()]).expect("writes"),
        "flip" => {
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 4;
            }
            fs::write(path, bytes).expect("writes");
        }
        "unreadable" => {
            permissions.set_mode(0o000);
            fs::set_permissions(path, permissions).expect("may");
        }
        _ => {
            fs::remove_file(path).expect("removes");
            match fault {
                "folder" => fs::create_dir(path).expect("makes a folder"),
                "link" => std::os::unix::fs::symlink("/nonexistent/x", path).expect("links"),
                _ => {}
            }
        }
    }
}

fn files_below(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("reads") {
        let entry = entry.expect("reads");
        match entry.file_type().expect("reads").is_dir() {
            true => files_below(&entry.path(), files),
            false => files.push(entry.path()),
        }
    }
}

#[test]
fn o01_damage_to_any_file_of_the_mirror_heals() {
    let fixture = Fixture::new();
    fixture.pass().expect("the first pass works");
    fixture.commit("sub/b", "two");
    fixture.push();
    let whole = fixture.pass().expect("the second pass works");
    let mut files = Vec::new();
    files_below(&fixture.mirror_dir(), &mut files);
    assert!(files.len() > 6, "{files:?}");
    let copy = fixture.dir.path().join("copy");
    copy_folder(&fixture.mirror_dir(), &copy);
    for file in files {
        let name = file.strip_prefix(fixture.mirror_dir()).expect("is below").to_owned();
        for fault in FAULTS {
            let _ = fs::remove_dir_all(fixture.mirror_dir());
            copy_folder(&copy, &fixture.mirror_dir());
            spoil(&file, fault);
            // The pass that meets the damage may fail; the next one must not.
            let first = fixture.pass();
            let healed = first.clone().or_else(|_| fixture.pass());
            assert_eq!(healed.as_ref(), Ok(&whole), "{}: {fault}: first {first:?}", name.display());
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("makes a folder");
    for entry in fs::read_dir(from).expect("reads") {
        let entry = entry.expect("reads");
        let at = to.join(entry.file_name());
        match entry.file_type().expect("reads").is_dir() {
            true => copy_folder(&entry.path(), &at),
            false => fs::copy(entry.path(), at).map(drop).expect("copies"),
        }
    }
}

#[test]
fn o01_a_mirror_that_is_no_folder_is_made_anew() {
    let fixture = Fixture::new();
    let whole = fixture.pass().expect("the first pass works");
    fs::remove_dir_all(fixture.mirror_dir()).expect("removes");
    fs::write(fixture.mirror_dir(), "x").expect("writes");
    assert_eq!(fixture.pass().expect("heals"), whole);
    fs::remove_dir_all(fixture.mirror_dir()).expect("removes");
    std::os::unix::fs::symlink("/nonexistent/x", fixture.mirror_dir()).expect("links");
    assert_eq!(fixture.pass().expect("heals"), whole);
    let mut beside: Vec<_> = fs::read_dir(fixture.dir.path().join("state")).expect("reads").flatten().collect();
    assert_eq!(beside.pop().map(|it| it.path()), Some(fixture.mirror_dir()));
    assert!(beside.is_empty(), "what was set aside is gone: {beside:?}");
}

#[test]
fn o01_what_only_the_mirror_has_survives_its_renewal() {
    let fixture = Fixture::new();
    fixture.pass().expect("the first pass works");
    let forgotten = fixture.head();
    fixture.mirror().pin("deployed", &forgotten).expect("pins");
    fixture.git(&["commit", "-q", "--amend", "-m", "rewritten"]);
    fixture.push();
    git(&fixture.bare(), &["gc", "-q", "--prune=now"]);
    fs::write(fixture.mirror_dir().join("headfast-damaged"), "").expect("writes");
    fixture.pass().expect("renews");
    assert!(!fixture.mirror_dir().join("headfast-damaged").exists());
    let mirror = fixture.mirror();
    assert_eq!(mirror.pinned("deployed").as_ref(), Some(&forgotten));
    assert!(mirror.commit(&forgotten).is_ok());
    mirror.unpin("deployed").expect("lets go");
    mirror.unpin("deployed").expect("lets go of nothing");
    assert_eq!(mirror.pinned("deployed"), None);
    // The same when it could not even be opened.
    mirror.pin("deployed", &forgotten).expect("pins");
    fs::remove_file(fixture.mirror_dir().join("config")).expect("removes");
    fixture.pass().expect("renews");
    assert_eq!(fixture.mirror().pinned("deployed"), Some(forgotten));
}

#[test]
fn o03_what_killed_processes_leave_behind_is_removed() {
    let fixture = Fixture::new();
    fixture.pass().expect("the first pass works");
    let dir = fixture.mirror_dir();
    let left = [
        "HEAD.lock",
        "config.lock",
        "packed-refs.lock",
        "shallow.lock",
        "gc.pid",
        "refs/headfast/remote/branch-main.lock",
        "objects/pack/tmp_pack_x",
        "objects/pack/pack_git2_x",
        "objects/tmp_object_git2_x",
    ];
    for name in left {
        fs::write(dir.join(name), "x").expect("writes");
    }
    fixture.commit("a", "two");
    fixture.push();
    assert_eq!(fixture.pass().expect("works"), [("a".to_owned(), b"two".to_vec())]);
    for name in left {
        assert!(!dir.join(name).exists(), "{name}");
    }
}

#[test]
fn o04_an_edited_configuration_is_not_obeyed() {
    let fixture = Fixture::new();
    fixture.pass().expect("the first pass works");
    let dir = fixture.mirror_dir();
    let elsewhere = fixture.dir.path().join("elsewhere");
    fs::write(
        dir.join("config"),
        "[core]\n\tbare = true\n\tfsmonitor = touch x\n\thooksPath = /tmp\n[include]\n\tpath = /etc/passwd\n\
         [url \"/nonexistent/\"]\n\tinsteadOf = /\n[extensions]\n\tobjectformat = sha256\n",
    )
    .expect("writes");
    fs::create_dir_all(dir.join("objects/info")).expect("makes folders");
    fs::write(dir.join("objects/info/alternates"), elsewhere.display().to_string()).expect("writes");
    fs::write(dir.join("commondir"), elsewhere.display().to_string()).expect("writes");
    fs::write(dir.join("shallow"), format!("{}\n", fixture.head())).expect("writes");
    fixture.commit("a", "two");
    fixture.push();
    assert_eq!(fixture.pass().expect("works"), [("a".to_owned(), b"two".to_vec())]);
    assert!(!fs::read_to_string(dir.join("config")).expect("reads").contains("fsmonitor"));
    assert!(!dir.join("objects/info/alternates").exists());
}

#[test]
fn o05_hooks_in_the_mirror_never_run() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    fixture.pass().expect("the first pass works");
    let hooks = fixture.mirror_dir().join("hooks");
    let proof = fixture.dir.path().join("ran");
    fs::create_dir_all(&hooks).expect("makes a folder");
    for name in ["reference-transaction", "post-update", "pre-push", "post-merge", "update"] {
        fs::write(hooks.join(name), format!("#!/bin/sh\ntouch {}\n", proof.display())).expect("writes");
        fs::set_permissions(hooks.join(name), fs::Permissions::from_mode(0o755)).expect("may");
    }
    let mut mirror = fixture.mirror();
    let tip = mirror.fetch(&fixture.remote(), "main").expect("fetches");
    mirror.push(&fixture.remote(), &tip, "refs/heads/copy").expect("pushes");
    assert!(!proof.exists());
    assert!(!hooks.exists());
}
