//! Killed in the middle of an action: the next verb that opens the state goes on from there.

use crate::host::{AGENT, MANIFEST, TestHost};
use std::collections::BTreeMap;
use std::fs;

/// A command that kills the program which runs it, the first time.
const KILLS: &str = "[/bin/sh, -c, 'test -e @DIR@/once || { touch @DIR@/once; kill -9 $PPID; }']";

/// The visible files and what they hold.
fn files(host: &TestHost) -> BTreeMap<String, Vec<u8>> {
    let paths = host.snapshot().into_iter().filter(|it| it.1.is_file()).map(|it| it.0);
    paths.map(|path| (path.clone(), fs::read(host.path("live").join(path)).unwrap())).collect()
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    pairs.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

/// A host with one deployment, and a second commit whose deployment runs an action that kills the program.
fn killed_in(action: &str) -> TestHost {
    let host = TestHost::with(&[("files/a", "old a"), ("files/gone", "x")]);
    host.remove("files/gone");
    let manifest = format!("{MANIFEST}    {action}: [{{command: {KILLS}}}]\n");
    host.commit(&[("headfast.yaml", &manifest), ("files/a", "new a"), ("files/b", "new b")]);
    assert_eq!(host.run(&["sync"]).status, -1, "it is killed");
    host
}

#[test]
fn killed_in_a_check_leaves_the_old_files() {
    let host = killed_in("check");
    let old = texts(&[("a", "old a"), ("gone", "x")]);
    host.run(&["status"]).ends(0).says(&["cut short before its switch", "the files are the old ones"]);
    assert_eq!(files(&host), old);
    host.run(&["history"]).ends(0).says(&["failed", "cut short"]);
    host.run(&["sync"]).ends(0);
    assert_eq!(files(&host), texts(&[("a", "new a"), ("b", "new b")]));
}

#[test]
fn killed_in_a_reload_or_probe_goes_on_from_there() {
    for action in ["reload", "probe"] {
        let host = killed_in(action);
        let new = texts(&[("a", "new a"), ("b", "new b")]);
        // A verb that only reads brings it to an end, too.
        host.run(&["history"]).ends(0).says(&["cut short after its switch", "success"]);
        assert_eq!(files(&host), new);
        host.run(&["sync"]).ends(0).says(&["there was nothing to do"]);
        let history = host.run(&["history", "--json"]).ends(0).json();
        assert_eq!(history["deployments"].as_array().map(Vec::len), Some(2));
        host.run(&["drift"]).ends(0);
    }
}

#[test]
fn killed_before_a_probe_that_fails_is_rolled_back() {
    let host = TestHost::with(&[("files/a", "old a")]);
    host.agent(&AGENT.replace("push: direct", "push: 'off'"));
    let probe = "probe: [{command: [/bin/sh, -c, '! grep -q new @LIVE@/a'], within: 1s}]";
    let manifest = format!("{MANIFEST}    reload: [{{command: {KILLS}}}]\n    {probe}\n");
    host.commit(&[("headfast.yaml", &manifest), ("files/a", "new a")]);
    assert_eq!(host.run(&["sync"]).status, -1);
    host.run(&["sync"]).ends(4).says(&["rolled_back", "E_QUARANTINED"]);
    assert_eq!(files(&host), texts(&[("a", "old a")]));
}
