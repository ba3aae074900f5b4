use super::*;
use crate::git::WorkTree;
use crate::revision::EntryKind;

#[test]
fn what_is_not_here_is_not_damage() {
    let fixture = Fixture::new();
    let mut mirror = fixture.mirror();
    let tip = mirror.fetch(&fixture.remote(), "main").expect("fetches");
    for id in ["1".repeat(40), "zz".into(), String::new()] {
        assert_eq!(code(mirror.commit(&ObjectId::new(&id))), Some(Code::INCOMPLETE), "{id}");
    }
    assert!(!mirror.is_ancestor(&ObjectId::new(&"1".repeat(40)), &tip).expect("reads"));
    assert!(mirror.is_ancestor(&tip, &tip).expect("reads"));
    assert!(!fixture.mirror_dir().join("headfast-damaged").exists());
    assert_eq!(mirror.resolve(&tip.as_str()[..8]).expect("resolves"), tip);
    for text in ["1111111", "ma", "main", "HEAD", ""] {
        assert_eq!(code(mirror.resolve(text)), Some(Code::NOT_FOUND), "{text}");
    }
}

#[test]
fn mirrors_and_trees_can_change_threads() {
    fn is_send<T: Send>() {}
    is_send::<Mirror>();
    is_send::<crate::git::GitTree>();
    is_send::<WorkTree>();
    is_send::<Error>();
}

#[test]
fn a_view_changes_nothing() {
    let fixture = Fixture::new();
    assert!(Mirror::view(&fixture.mirror_dir()).expect("reads").is_none());
    let tip = fixture.mirror().fetch(&fixture.remote(), "main").expect("fetches");
    let lock = fixture.mirror_dir().join("HEAD.lock");
    std::fs::write(&lock, "").expect("writes");
    let view = Mirror::view(&fixture.mirror_dir()).expect("reads").expect("is there");
    assert_eq!(view.commit(&tip).expect("reads").id, tip);
    assert!(lock.exists());
}

#[test]
fn commits_are_read_as_values() {
    let fixture = Fixture::new();
    let first = fixture.head();
    let second = fixture.commit("a", "two");
    let third = fixture.commit("a", "three");
    fixture.push();
    let mut mirror = fixture.mirror();
    mirror.fetch(&fixture.remote(), "main").expect("fetches");
    let commit = mirror.commit(&third).expect("reads");
    assert_eq!((commit.subject(), commit.author.as_str()), ("a: three", "Ana <ana@example.org>"));
    assert_eq!(commit.parents, std::slice::from_ref(&second));
    assert_eq!(commit.tree.as_str(), fixture.git(&["rev-parse", "HEAD^{tree}"]));
    assert_eq!(commit.time.to_string(), fixture.git(&["log", "-1", "--format=%ct"]));
    let ids = |limit| -> Vec<ObjectId> {
        mirror.between(&first, &third, limit).expect("reads").into_iter().map(|it| it.id).collect()
    };
    assert_eq!(ids(100), [third.clone(), second.clone()]);
    assert_eq!(ids(1), std::slice::from_ref(&third));
    assert!(mirror.between(&third, &first, 100).expect("reads").is_empty());
}

#[test]
fn a_tree_is_read_as_git_has_it() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let fixture = Fixture::empty();
    fixture.write("folder/run", "#!/bin/sh\n");
    fixture.write("folder.txt", "sorts before the folder");
    std::fs::write(fixture.work().join(OsStr::from_bytes(b"latin\xe9")), "x").expect("writes");
    std::os::unix::fs::symlink("folder/run", fixture.work().join("link")).expect("links");
    fixture.git(&["add", "-A"]);
    fixture.git(&["update-index", "--chmod=+x", "folder/run"]);
    fixture.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},module", "1".repeat(40))]);
    fixture.git(&["commit", "-q", "-m", "all kinds"]);
    fixture.push();
    let mut mirror = fixture.mirror();
    let tip = mirror.fetch(&fixture.remote(), "main").expect("fetches");
    let tree = mirror.tree(&tip).expect("reads");
    let kinds: Vec<(Vec<u8>, EntryKind)> =
        tree.list("").expect("reads").expect("is there").into_iter().map(|it| (it.name, it.kind)).collect();
    assert_eq!(
        kinds,
        [
            (b"folder.txt".to_vec(), EntryKind::File { executable: false }),
            (b"folder".to_vec(), EntryKind::Directory),
            (b"latin\xe9".to_vec(), EntryKind::File { executable: false }),
            (b"link".to_vec(), EntryKind::Link),
            (b"module".to_vec(), EntryKind::Submodule),
        ]
    );
    let run = tree.find("folder/run").expect("reads").expect("is there");
    assert_eq!((run.kind, run.name.as_slice()), (EntryKind::File { executable: true }, b"run".as_slice()));
    assert_eq!(tree.size(&run.id).expect("reads"), 10);
    assert_eq!(tree.blob(&run.id).expect("reads"), b"#!/bin/sh\n");
    assert_eq!(tree.find("").expect("reads").map(|it| it.kind), Some(EntryKind::Directory));
    for path in ["nothing", "folder/nothing", "folder.txt/x", "link/x", "module/x", "folder/"] {
        assert_eq!(tree.find(path).expect("reads"), None, "{path}");
    }
    assert_eq!(tree.list("folder.txt").expect("reads"), None);
    assert!(tree.size(&ObjectId::new("zz")).is_err());
}

#[test]
fn a_checkout_reads_like_the_commit_that_it_is_of() {
    let fixture = Fixture::empty();
    for path in ["a", "a.b", "a-b/c", "z/y/x", "empty"] {
        fixture.write(path, if path == "empty" { "" } else { path });
    }
    std::os::unix::fs::symlink("../nowhere", fixture.work().join("z/link")).expect("links");
    fixture.git(&["add", "-A"]);
    fixture.git(&["update-index", "--chmod=+x", "a"]);
    fixture.git(&["commit", "-q", "-m", "all"]);
    fixture.git(&["checkout", "-q", "--force", "HEAD"]);
    fixture.git(&["config", "core.fileMode", "true"]);
    fixture.git(&["reset", "-q", "--hard"]);
    fixture.push();
    assert!(Command::new("mkfifo").arg(fixture.work().join("pipe")).status().expect("runs").success());
    let mut mirror = fixture.mirror();
    let tip = mirror.fetch(&fixture.remote(), "main").expect("fetches");
    let commit = mirror.tree(&tip).expect("reads");
    let checkout = WorkTree::open(&fixture.work()).expect("opens");
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let (ours, theirs) = (checkout.list(&folder).expect("reads"), commit.list(&folder).expect("reads"));
        let (ours, theirs) = (ours.expect("is there"), theirs.expect("is there"));
        assert_eq!(ours.len(), theirs.len(), "{folder}");
        for (our, their) in ours.iter().zip(&theirs) {
            assert_eq!((&our.name, our.kind), (&their.name, their.kind));
            let path = format!("{folder}/{}", String::from_utf8_lossy(&our.name)).trim_start_matches('/').to_owned();
            assert_eq!(checkout.find(&path).expect("reads").as_ref(), Some(our));
            if our.kind == EntryKind::Directory {
                folders.push(path);
                continue;
            }
            assert_eq!(our.id, their.id, "{path}");
            assert_eq!(checkout.blob(&our.id), commit.blob(&our.id));
            assert_eq!(checkout.size(&our.id), commit.size(&our.id));
        }
    }
}

#[test]
fn a_checkout_stays_inside_itself() {
    let fixture = Fixture::new();
    std::os::unix::fs::symlink("..", fixture.work().join("up")).expect("links");
    let checkout = WorkTree::open(&fixture.work()).expect("opens");
    for path in
        ["../work/a", "..", ".", "up/work/a", ".git", ".git/config", ".GIT/config", "a/b", "./a", "a//b", "a\0b"]
    {
        assert_eq!(checkout.find(path).expect("reads"), None, "{path}");
        assert_eq!(checkout.list(path).expect("reads"), None, "{path}");
    }
    assert!(WorkTree::open(&fixture.work().join("a")).is_err());
    assert!(WorkTree::open(&fixture.work().join("nothing")).is_err());
    assert!(checkout.blob(&ObjectId::new("abc")).is_err());
}

/// Compares with git itself over a history with merges, reverts, renames and unrelated commits.
#[test]
fn the_last_change_is_the_one_that_git_names() {
    let fixture = Fixture::new();
    fixture.commit("b", "one");
    fixture.git(&["checkout", "-q", "-b", "side"]);
    fixture.commit("c/d", "side");
    fixture.commit("a", "side");
    fixture.git(&["checkout", "-q", "main"]);
    fixture.commit("b", "two");
    fixture.git(&["merge", "-q", "--no-ff", "-m", "merge one", "side"]);
    fixture.git(&["checkout", "-q", "-b", "same"]);
    fixture.commit("b", "three");
    fixture.git(&["checkout", "-q", "main"]);
    fixture.commit("b", "three");
    fixture.commit("c/e/f", "deep");
    fixture.git(&["merge", "-q", "--no-ff", "-m", "merge two", "same"]);
    fixture.commit("c/e/f", "deeper");
    fixture.git(&["revert", "--no-edit", "HEAD"]);
    fixture.git(&["rm", "-q", "a"]);
    fixture.git(&["commit", "-q", "-m", "without a"]);
    fixture.git(&["mv", "c/d", "c/g"]);
    fixture.git(&["commit", "-q", "-m", "moved"]);
    fixture.git(&["commit", "-q", "--allow-empty", "-m", "nothing"]);
    fixture.push();
    let mut mirror = fixture.mirror();
    let tip = mirror.fetch(&fixture.remote(), "main").expect("fetches");
    let sets: [&[&str]; 9] =
        [&["a"], &["b"], &["c"], &["c/d"], &["c/g"], &["c/e"], &["c/e/f", "b"], &["a", "c/d"], &["c/e/f/none", "b"]];
    for paths in sets {
        let mut arguments = vec!["log", "-1", "--format=%H", "--"];
        arguments.extend(paths);
        let expected = fixture.git(&arguments);
        let paths: Vec<String> = paths.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(mirror.last_change(&tip, &paths).expect("reads").as_str(), expected, "{paths:?}");
    }
    let first = fixture.git(&["rev-list", "--max-parents=0", "HEAD"]);
    assert_eq!(mirror.last_change(&tip, &["never".into()]).expect("reads").as_str(), first);
}

#[test]
fn signatures_are_handed_on_as_bytes() {
    let fixture = Fixture::new();
    let plain = fixture.head();
    let tree = fixture.git(&["rev-parse", "HEAD^{tree}"]);
    let make = |headers: &str| {
        let raw = format!(
            "tree {tree}\nparent {plain}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n{headers}\nsubject\n\ngpgsig x\n"
        );
        ObjectId::new(&git_with(&fixture.work(), &["hash-object", "-t", "commit", "-w", "--stdin"], raw.as_bytes()))
    };
    let armor = "-----BEGIN SSH SIGNATURE-----\n line\n -----END SSH SIGNATURE-----";
    let signed = make(&format!("gpgsig {armor}\n"));
    let twice = make(&format!("gpgsig {armor}\ngpgsig {armor}\n"));
    let other = make(&format!("gpgsig-sha256 {armor}\n"));
    let mut mirror = fixture.mirror();
    for commit in [&signed, &twice, &other] {
        fixture.git(&["push", "-q", "--force", "../remote.git", &format!("{commit}:refs/heads/main")]);
        mirror.fetch(&fixture.remote(), "main").expect("fetches");
    }
    assert_eq!(mirror.signature(&plain).expect("reads"), None);
    let (text, payload) = mirror.signature(&signed).expect("reads").expect("is signed");
    assert_eq!(text.trim_end(), "-----BEGIN SSH SIGNATURE-----\nline\n-----END SSH SIGNATURE-----");
    let payload = String::from_utf8(payload).expect("is text");
    assert!(payload.ends_with("committer A <a@b> 1 +0000\n\nsubject\n\ngpgsig x\n"), "{payload}");
    for commit in [&twice, &other] {
        assert_eq!(code(mirror.signature(commit)), Some(Code::SIG_BAD));
    }
}
