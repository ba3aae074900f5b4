use super::*;

#[test]
fn modes_and_owners_come_from_the_target_and_its_overrides() {
    let mut world = World::new(&[("f/a", "x"), ("f/conf.d/b", "x"), ("f/c.key", "x")])
        .executable("f/bin/run", "x")
        .executable("f/bin/tool", "x")
        .copy("f", None)
        .mode(0o640)
        .exception("bin/*", None, Some("daemon"))
        .exception("bin/tool", Some(0o755), None)
        .exception("*.key", Some(0o600), Some("root"));
    world.target.owner = Some(located("app".into(), 4));
    let target = world.rendered();
    let metadata = |path: &str| {
        let file = file(&target, path);
        (file.mode, file.owner.as_deref().unwrap())
    };
    assert_eq!(metadata("a"), (0o640, "app"));
    assert_eq!(metadata("conf.d/b"), (0o640, "app"));
    assert_eq!(metadata("bin/run"), (0o750, "daemon"));
    assert_eq!(metadata("bin/tool"), (0o755, "daemon"));
    assert_eq!(metadata("c.key"), (0o600, "root"));
    assert_eq!((target.directory_mode, target.owner.as_deref()), (0o750, Some("app")));
}

#[test]
fn b21_names_that_readers_of_drop_ins_pass_over_are_refused() {
    let world = World::new(&[("f/a~", "x"), ("f/conf.d/b", "x"), ("f/conf.d/sub/c~", "x")]).copy("f", None);
    assert_eq!(world.rendered().files.len(), 3);
    let refused = |root: &str, name: &str| {
        let mut world = World::new(&[(&format!("f/{name}"), "x")]).copy("f", None);
        world.target.path.value = root.into();
        world.refused(&[&format!(
            "headfast.yaml:10:1 E_PATH_RESERVED the path `{name}` has a name that those who read `.d` folders pass over \
             (dpkg, rpm and editors keep such names for themselves; give the file another one)"
        )]);
    };
    refused("/srv/app", "conf.d/b~");
    refused("/srv/app", "conf.d/b.dpkg-new");
    refused("/etc/sudoers.d", "admins.rpmsave");
}

#[test]
fn ignored_files_are_not_written() {
    let mut world = World::new(&[("f/a", "x"), ("f/b.local", "x"), ("f/cache/c", "x")]).copy("f", None);
    world.target.ignore = vec![located("*.local".into(), 6), located("cache/**".into(), 6)];
    let target = world.rendered();
    assert_eq!(target.files.keys().map(TargetPath::as_str).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_part_of_a_configuration_is_written() {
    let config = serde_json::json!({"server": {"port": 1}, "other": 2});
    let world = World::new(&[]).config(config.clone()).write("a.json", None).write("b.json", Some("server"));
    let target = world.rendered();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text(&target, "a.json")).unwrap(), config);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text(&target, "b.json")).unwrap(), config["server"]);
    assert_eq!(file(&target, "a.json").source, "app");
    World::new(&[])
        .config(config)
        .write("a.json", Some("serv"))
        .refused(&["headfast.yaml:10:1 E_REFERENCE the configuration `app` has no `serv` (did you mean `server`?)"]);
}

#[test]
fn outputs_of_a_configuration_that_could_not_be_made_are_passed_over() {
    let world = World::new(&[("t/x.j2", "{{ nothing }}")]).template("t", Some("app")).write("a.json", None);
    assert!(world.rendered().files.is_empty());
}

#[test]
fn the_digest_covers_what_is_deployed_and_nothing_else() {
    let world = || World::new(&[("f/a", "x")]).copy("f", None);
    let digest = |world: &World| world.run().0.unwrap().digest;
    let base = digest(&world());
    assert_eq!(base, digest(&world()));
    let mut elsewhere = world();
    elsewhere.facts.host = "web-2".into();
    elsewhere.target.place = located((), 99).place;
    elsewhere.target.files[0].place = located((), 98).place;
    assert_eq!(base, digest(&elsewhere));
    let mut changed = vec![
        world().mode(0o600),
        world().exception("a", None, Some("root")),
        World::new(&[("f/a", "y")]).copy("f", None),
    ];
    let mut pruned = world();
    pruned.target.prune = Prune::Never;
    let mut ignoring = world();
    ignoring.target.ignore = vec![located("zzz".into(), 1)];
    let mut moved = world();
    moved.target.path.value = "/srv/b".into();
    changed.extend([
        pruned,
        ignoring,
        moved,
        World::new(&[("f/b", "x")]).copy("f", None),
        World::new(&[]).link("f/a", "x").copy("f", None),
    ]);
    let mut digests: Vec<_> = changed.iter().map(digest).chain([base]).collect();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), changed.len() + 1);
}
