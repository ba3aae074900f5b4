//! `headfast kept`: what stood in a file's place is listed, shown and put back.

use crate::host::{AGENT, MANIFEST, TestHost};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn entries(host: &TestHost) -> Vec<serde_json::Value> {
    let json = host.run(&["kept", "list", "--json"]).ends(0).json();
    assert_eq!(json["version"], 1);
    json["kept"].as_array().unwrap().clone()
}

fn id(entry: &serde_json::Value) -> &str {
    entry["id"].as_str().unwrap()
}

/// A host on which `live/a` was edited with mode 0600, and a deployment has replaced it.
fn host() -> TestHost {
    let host = TestHost::with(&[("files/a", "one\n"), ("files/b", "b\n")]);
    fs::write(host.path("live/a"), "edited\n").unwrap();
    fs::set_permissions(host.path("live/a"), fs::Permissions::from_mode(0o600)).unwrap();
    host.commit(&[("files/a", "two\n")]);
    host.run(&["sync"]).ends(0);
    host
}

#[test]
fn what_was_replaced_is_listed_and_shown() {
    let host = TestHost::with(&[("files/a", "one\n")]);
    host.run(&["kept", "list"]).ends(0).says(&["nothing was kept here yet"]);
    let host = self::host();
    let all = entries(&host);
    assert_eq!(all.len(), 1);
    let entry = &all[0];
    for (key, value) in
        [("path", "a"), ("reason", "drifted"), ("kind", "file"), ("mode", "0600"), ("repository", "site")]
    {
        assert_eq!(entry[key], value, "{entry}");
    }
    assert_eq!(entry["root"], host.path("live").to_str().unwrap());
    assert_eq!((&entry["deployment"], &entry["sensitive"], &entry["size"]), (&2.into(), &false.into(), &7.into()));
    assert!(entry["at"].as_str().unwrap().starts_with("20") && entry.get("content").is_none());
    host.run(&["kept", "list"]).ends(0).says(&["live/a", "drifted: 0600", "7 bytes", "deployment 2 of site"]);
    assert_eq!(host.run(&["kept", "show", &id(entry)[..6]]).ends(0).stdout, "edited\n");
    let shown = host.run(&["kept", "show", id(entry), "--json"]).ends(0).json();
    assert_eq!(shown["kept"][0]["content"], "edited\n");
    host.run(&["kept", "show", "ffffffff"]).ends(2).says(&["E_NOT_FOUND", "kept list"]);
    host.run(&["kept", "show", ""]).ends(2).says(&["E_NOT_FOUND"]);
}

#[test]
fn a_kept_file_is_put_back_with_its_mode_and_shows_as_drift() {
    let host = host();
    fs::write(host.path("live/a"), "edited again\n").unwrap();
    let first = id(&entries(&host)[0]).to_owned();
    host.run(&["kept", "restore", &first]).ends(0).says(&["a kept file is back", "1 replaced", "kept"]);
    assert_eq!(host.live("a"), "edited\n");
    assert_eq!(fs::metadata(host.path("live/a")).unwrap().mode() & 0o7777, 0o600);
    host.run(&["drift"]).ends(5).says(&["-two", "+edited"]);
    // What was there is kept in turn, and the deployed revision is what it was.
    assert!(entries(&host).iter().any(|it| host.run(&["kept", "show", id(it)]).stdout == "edited again\n"));
    host.run(&["sync"]).ends(0).says(&["there was nothing to do"]);
    host.run(&["history"]).ends(0).says(&["(restore)"]);
    host.run(&["kept", "restore", &first]).ends(0).says(&["is what was kept already"]);
    host.run(&["drift", "--heal"]).ends(0);
    assert_eq!(host.live("a"), "two\n");
    let names: Vec<_> = fs::read_dir(host.path("live")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn a_file_that_headfast_had_not_written_comes_back_as_one_that_is_not_its_own() {
    let host = TestHost::new();
    fs::create_dir(host.path("live")).unwrap();
    fs::write(host.path("live/a"), "found here\n").unwrap();
    host.commit(&[("headfast.yaml", MANIFEST), ("files/a", "one\n"), ("files/b", "b\n")]);
    host.run(&["sync"]).ends(0);
    host.remove("files/a");
    host.commit(&[]);
    host.run(&["sync"]).ends(0);
    assert!(!host.path("live/a").exists());
    let all = entries(&host);
    assert_eq!(all[0]["reason"], "existing");
    host.run(&["kept", "restore", id(&all[0])]).ends(0);
    assert_eq!(host.live("a"), "found here\n");
    host.run(&["drift"]).ends(0);
    host.commit(&[("files/b", "bb\n")]);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "found here\n");
}

#[test]
fn a_kept_file_can_be_written_elsewhere() {
    let host = host();
    let id = id(&entries(&host)[0]).to_owned();
    let file = host.path("copy");
    host.run(&["kept", "restore", &id, "--to", file.to_str().unwrap()]).ends(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "edited\n");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    host.run(&["kept", "restore", &id, "--to", file.to_str().unwrap()]).ends(1).says(&["E_IO", "exists"]);
    assert_eq!(host.live("a"), "two\n");
}

#[test]
fn one_content_of_several_paths_needs_the_path() {
    let host = TestHost::with(&[("files/a", "a\n"), ("files/b", "b\n")]);
    for name in ["a", "b"] {
        fs::write(host.path("live").join(name), "the same\n").unwrap();
    }
    host.run(&["drift", "--heal"]).ends(0);
    let all = entries(&host);
    assert_eq!((all.len(), id(&all[0])), (2, id(&all[1])));
    host.run(&["kept", "restore", id(&all[0])]).ends(2).says(&["live/a and ", "--path"]);
    let path = host.path("live/b");
    host.run(&["kept", "restore", id(&all[0]), "--path", path.to_str().unwrap()]).ends(0);
    assert_eq!((host.live("a"), host.live("b")), ("a\n".into(), "the same\n".into()));
}

#[test]
fn where_the_host_no_longer_lets_it_write_nothing_is_put_back() {
    let host = host();
    let id = id(&entries(&host)[0]).to_owned();
    host.agent(&AGENT.replace("paths: ['@LIVE@']", "paths: [/elsewhere]"));
    host.run(&["kept", "restore", &id]).ends(4).says(&["E_TARGET_NOT_ALLOWED"]);
    assert_eq!(host.live("a"), "two\n");
}

#[test]
fn k01_a_kept_file_that_a_probe_does_not_like_goes_away_again() {
    let probe = "    probe: [{command: [/bin/sh, -c, '! grep -q edited @LIVE@/a'], within: 10ms, settle: 0s}]\n";
    let host = TestHost::with(&[("files/a", "one\n"), ("files/b", "b\n")]);
    fs::write(host.path("live/a"), "edited\n").unwrap();
    host.commit(&[("headfast.yaml", &format!("{MANIFEST}{probe}")), ("files/a", "two\n")]);
    host.run(&["sync"]).ends(0);
    host.run(&["kept", "restore", id(&entries(&host)[0])]).ends(6).says(&["the probe"]);
    assert_eq!(host.live("a"), "two\n");
    host.run(&["sync"]).ends(0).says(&["there was nothing to do"]);
    assert_eq!(host.remote(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
}
