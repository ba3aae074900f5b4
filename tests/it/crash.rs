//! Killed in the middle of an action: the next verb that opens the state goes on from there.

use crate::host::{AGENT, MANIFEST, TestHost};
use std::collections::BTreeMap;
use std::fs;

/// Who is killed by an action, the first time that it runs: the transaction process, which runs it, or the agent behind that.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Transaction,
    Agent,
}

impl Victim {
    const ALL: [Victim; 2] = [Victim::Transaction, Victim::Agent];

    /// A command that kills it.
    fn command(self) -> String {
        // The fourth field of proc_pid_stat(5) is the parent; between the command and the transaction is a supervisor.
        let parent = "$(cut -d \" \" -f 4 /proc/$PARENT/stat)";
        let process = match self {
            Victim::Transaction => parent.replace("$PARENT", "$PPID"),
            Victim::Agent => parent.replace("$PARENT", &parent.replace("$PARENT", "$PPID")),
        };
        // It would go on for ever, but is ended with whoever asked for it.
        let kill = format!("kill -9 {process}; sleep 1000");
        format!("[/bin/sh, -c, 'test -e @DIR@/once || {{ touch @DIR@/once; {kill}; }}']")
    }

    /// What `sync` ends with: someone says what happened as long as the agent lives.
    fn status(self) -> i32 {
        match self {
            Victim::Transaction => 1,
            Victim::Agent => -1,
        }
    }
}

/// The visible files and what they hold.
fn files(host: &TestHost) -> BTreeMap<String, Vec<u8>> {
    let paths = host.snapshot().into_iter().filter(|it| it.1.is_file()).map(|it| it.0);
    paths.map(|path| (path.clone(), fs::read(host.path("live").join(path)).unwrap())).collect()
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    pairs.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

/// A host with one deployment, and a second commit whose deployment runs an action that kills the program.
fn killed_in(action: &str, victim: Victim) -> TestHost {
    let host = TestHost::with(&[("files/a", "old a"), ("files/gone", "x")]);
    host.remove("files/gone");
    let manifest = format!("{MANIFEST}    {action}: [{{command: {}}}]\n", victim.command());
    host.commit(&[("headfast.yaml", &manifest), ("files/a", "new a"), ("files/b", "new b")]);
    let end = host.run(&["sync"]).ends(victim.status());
    if let Victim::Transaction = victim {
        end.says(&["E_TRANSACTION"]);
    }
    host
}

#[test]
fn killed_in_a_check_leaves_the_old_files() {
    for victim in Victim::ALL {
        let host = killed_in("check", victim);
        let old = texts(&[("a", "old a"), ("gone", "x")]);
        host.run(&["status"]).ends(0).says(&["cut short before its switch", "the files are the old ones"]);
        assert_eq!(files(&host), old);
        host.run(&["history"]).ends(0).says(&["failed"]);
        host.run(&["sync"]).ends(0);
        assert_eq!(files(&host), texts(&[("a", "new a"), ("b", "new b")]));
    }
}

#[test]
fn killed_in_a_reload_or_probe_goes_on_from_there() {
    for (action, victim) in ["reload", "probe"].into_iter().flat_map(|it| Victim::ALL.map(|victim| (it, victim))) {
        let host = killed_in(action, victim);
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
    let manifest = format!("{MANIFEST}    reload: [{{command: {}}}]\n    {probe}\n", Victim::Agent.command());
    host.commit(&[("headfast.yaml", &manifest), ("files/a", "new a")]);
    assert_eq!(host.run(&["sync"]).status, -1);
    host.run(&["sync"]).ends(4).says(&["rolled_back", "E_QUARANTINED"]);
    assert_eq!(files(&host), texts(&[("a", "old a")]));
}
