use super::*;

#[test]
fn a_tree_is_copied_by_id_with_its_executable_bits_and_links() {
    let world = World::new(&[("files/a b.txt", "x"), ("files/sub/ü", "y")])
        .executable("files/bin/run", "#!/bin/sh\n")
        .link("files/sub/up", "../a b.txt")
        .copy("files", None);
    let target = world.rendered();
    let paths: Vec<_> = target.files.keys().map(TargetPath::as_str).collect();
    assert_eq!(paths, ["a b.txt", "bin/run", "sub/up", "sub/ü"]);
    let entry = world.tree.find("files/a b.txt").unwrap().unwrap();
    assert_eq!(file(&target, "a b.txt").content, Content::Blob { id: entry.id.clone(), size: 1 });
    assert_eq!(file(&target, "a b.txt").identity.0, entry.id.as_str());
    assert_eq!(file(&target, "a b.txt").source, "files/a b.txt");
    assert_eq!(file(&target, "sub/up").content, Content::Link("../a b.txt".into()));
    assert_eq!((file(&target, "a b.txt").mode, file(&target, "bin/run").mode), (0o644, 0o755));
    assert_eq!(target.directory_mode, 0o755);
}

#[test]
fn a_single_file_goes_where_to_says() {
    let paths = |to: Option<&str>| {
        let target = World::new(&[("files/a.conf", "x")]).copy("files/a.conf", to).rendered();
        target.files.keys().next().unwrap().to_string()
    };
    assert_eq!(paths(None), "a.conf");
    assert_eq!(paths(Some(".")), "a.conf");
    assert_eq!(paths(Some("conf.d/")), "conf.d/a.conf");
    assert_eq!(paths(Some("b.conf")), "b.conf");
    assert_eq!(paths(Some("./x/b.conf")), "x/b.conf");
}

#[test]
fn sources_and_destinations_outside_are_refused() {
    let world = World::new(&[("files/a", "x")]);
    world
        .copy("../etc", None)
        .refused(&["headfast.yaml:10:1 E_PATH the source `../etc` is not a path inside the repository"]);
    let world = World::new(&[("files/a", "x"), ("files/b", "y")]).copy("files", Some("../up")).copy("/files", None);
    world.copy("files", Some("/abs")).refused(&[
        "headfast.yaml:10:1 E_PATH the path `../up` has a `.` or `..` component",
        "headfast.yaml:10:1 E_PATH the source `/files` is not a path inside the repository",
        "headfast.yaml:12:1 E_PATH the path `/abs` is absolute",
    ]);
    let world = World::new(&[("files/a", "x")]);
    world
        .copy("file", None)
        .refused(&["headfast.yaml:10:1 E_SOURCE_MISSING the repository has no `file` (did you mean `files`?)"]);
}

#[test]
fn b06_names_that_meet_on_a_folding_file_system_are_refused() {
    let world =
        World::new(&[("files/README", "x"), ("files/readme", "y"), ("files/caf\u{e9}", "x")]).copy("files", None);
    let mut world = world;
    world.tree.insert("files/cafe\u{301}", EntryKind::File { executable: false }, b"z");
    world.tree.insert("files/Sub/a", EntryKind::File { executable: false }, b"z");
    world.tree.insert("files/sub/b", EntryKind::File { executable: false }, b"z");
    let (_, findings) = world.run();
    let names: Vec<_> =
        findings.iter().map(|it| (it.code, it.message.split(" are").next().unwrap().to_owned())).collect();
    assert_eq!(
        names,
        [
            (Code::PATH_CLASH, "`caf\u{e9}` and `cafe\u{301}`".to_owned()),
            (Code::PATH_CLASH, "`readme` and `README`".to_owned()),
            (Code::PATH_CLASH, "`sub` and `Sub`".to_owned()),
        ]
    );
}

#[test]
fn f10_two_outputs_of_one_path_are_refused_with_both_places() {
    World::new(&[("one/a", "x"), ("two/a", "y")])
        .copy("one", None)
        .copy("two", None)
        .refused(&["headfast.yaml:11:1 E_OUTPUT_CLASH `a` is written twice, here and at headfast.yaml:10:1"]);
    World::new(&[("t/a", "x"), ("t/a.j2", "y")])
        .template("t", None)
        .refused(&["headfast.yaml:10:1 E_OUTPUT_CLASH `a` is written twice by this entry"]);
    World::new(&[("one/a", "x"), ("two/b", "y")]).copy("one", None).copy("two", Some("a")).refused(&[
        "headfast.yaml:11:1 E_OUTPUT_CLASH `a/b` needs a folder where headfast.yaml:10:1 writes the file `a`",
    ]);
}

#[test]
fn b09_links_that_leave_the_target_are_refused() {
    let hint = "(only relative links within the target are deployed)";
    World::new(&[]).link("f/a", "/etc/passwd").link("f/b/c", "../../x").link("f/d", "d").copy("f", None).refused(&[
        &format!("headfast.yaml:10:1 E_SYMLINK the symbolic link `f/a` to `/etc/passwd` is absolute {hint}"),
        &format!("headfast.yaml:10:1 E_SYMLINK the symbolic link `b/c` to `../../x` leads out of the target {hint}"),
        &format!("headfast.yaml:10:1 E_SYMLINK the symbolic link `d` to `d` leads to itself {hint}"),
    ]);
}

#[test]
fn b11_submodules_are_refused() {
    let mut world = World::new(&[]).copy("f", None);
    world.tree.insert("f/lib", EntryKind::Submodule, b"");
    world.refused(&["headfast.yaml:10:1 E_SUBMODULE `f/lib` is a submodule, whose files are not in this repository \
        (headfast deploys what one commit holds; add the files themselves)"]);
}

#[test]
fn b14_lfs_pointers_are_refused() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n";
    World::new(&[("f/a", pointer)])
        .copy("f", None)
        .refused(&["headfast.yaml:10:1 E_LFS_POINTER `f/a` is a Git LFS pointer, not the content \
        (headfast does not ask LFS servers; commit the content itself (`git lfs migrate export`))"]);
}

#[test]
fn b15_and_b16_too_many_and_too_large_files_are_refused() {
    let mut world = World::new(&[("f/a", "x"), ("f/b", "y"), ("f/c", "z")]).copy("f", None);
    world.limits.files = 2;
    world.refused(&["headfast.yaml:10:1 E_TOO_MANY_FILES the target `app` has more than 2 files or folders"]);
    let mut world = World::new(&[("f/a", "too long")]).copy("f", None);
    world.limits.file_bytes = 4;
    world.refused(&["headfast.yaml:10:1 E_FILE_TOO_BIG `f/a` is larger than 0 MiB"]);
}

#[test]
fn b17_deep_trees_end_at_the_limit() {
    let deep = format!("f/{}", vec!["d"; 300].join("/"));
    let (_, findings) = World::new(&[(&deep, "x")]).copy("f", None).run();
    let codes: Vec<_> = findings.iter().map(|it| it.code).collect();
    assert_eq!(codes, [Code::PATH_LONG]);
}

#[test]
fn bad_names_are_listed_up_to_a_limit() {
    let mut world = World::new(&[]).copy("f", None);
    for idx in 0..30 {
        world.tree.insert(&format!("f/{idx:02}\x1b"), EntryKind::File { executable: false }, b"");
    }
    let (_, findings) = world.run();
    let lines = list(&findings);
    assert_eq!(lines.len(), 21);
    assert_eq!(lines[0], r"headfast.yaml:10:1 E_PATH the path `00\u{1b}` holds a control character (it is in `f`)");
    assert_eq!(lines[20], "headfast.yaml:10:1 E_PATH `f` has 10 more such problems");
}
