//! One process holds the state: what others ask of it, what they may see, and what happens when it dies.

use crate::daemon::{Agent, Gate, PATIENCE};
use crate::host::{AGENT, MANIFEST, Output, TestHost};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

/// A target whose probe fails as long as the live file `a` says `bad`.
const PROBED: &str = "    probe: [{command: [/bin/sh, -c, '! grep -q bad @LIVE@/a'], within: 1s, settle: 0s}]\n";

/// An agent.yaml without polling and without reverts.
fn quiet() -> String {
    AGENT.replace("    branch: main\n", "    branch: main\n    poll: 0\n").replace("push: direct", "push: 'off'")
}

/// A host that waits in the reload of every commit whose file `a` says so, and has deployed one that does not.
fn gated() -> (TestHost, Gate) {
    let host = TestHost::new();
    host.agent(&quiet());
    let gate = Gate::new(&host);
    let manifest = format!("{MANIFEST}    reload: [{{command: {}, within: 5m}}]\n", Gate::COMMAND);
    host.commit(&[("headfast.yaml", &manifest), ("files/a", "one\n")]);
    (host, gate)
}

/// Starts the program beside the test.
fn start(host: &TestHost, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_headfast"))
        .args(arguments)
        .arg("--config")
        .arg(host.path("agent.yaml"))
        .env_clear()
        .envs(std::env::var_os("PATH").map(|it| ("PATH", it)))
        .env("HOME", host.path(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a run said, without what differs between two hosts: the folder, its commits and the moment.
fn words(host: &TestHost, output: Output) -> (i32, String, String) {
    let commits = host.remote(&["rev-list", "--all"]);
    let folder = host.path("").to_string_lossy().trim_end_matches('/').to_owned();
    let is_moment = |it: &&str| it.starts_with("20") && it.contains('T') && it.ends_with('Z');
    let plain = |text: &str| {
        let text = commits.lines().enumerate().fold(text.replace(&folder, "<folder>"), |text, (idx, id)| {
            text.replace(&id[..12], &format!("<commit {idx}>"))
        });
        let lines = text.lines().map(|line| {
            let same = |it| match it {
                it if is_moment(&it) => "<moment>",
                it if it.starts_with("<folder>/state/kept/") => "<copy>",
                it => it,
            };
            line.split(' ').map(same).collect::<Vec<_>>().join(" ")
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    (output.status, plain(&output.stdout), plain(&output.stderr))
}

#[test]
fn o09_a_verb_says_the_same_whether_the_daemon_does_it_or_not() {
    let hosts = [TestHost::new(), TestHost::new()];
    let [alone, with_agent] = &hosts;
    let commit = |files: &[(&str, &str)]| hosts.iter().for_each(|it| drop(it.commit(files)));
    let manifest = format!("{MANIFEST}{PROBED}");
    hosts.iter().for_each(|it| it.agent(&quiet()));
    commit(&[("headfast.yaml", &manifest), ("files/a", "good\n"), ("files/b", "b\n")]);
    alone.run(&["sync"]).ends(0);
    let agent = Agent::start(with_agent);
    agent.says("success");
    // Copies have names of their own on every host.
    let copy = |host: &TestHost| {
        let kept = host.run(&["kept", "list", "--json"]).ends(0).json();
        kept["kept"][0]["id"].as_str().unwrap_or_default().to_owned()
    };
    let same = |code: i32, verb: &[&str]| {
        let said = |host: &TestHost| {
            let copy = copy(host);
            let verb: Vec<&str> = verb.iter().map(|it| if *it == "<copy>" { &copy } else { *it }).collect();
            words(host, host.run(&verb).ends(code))
        };
        assert_eq!(said(alone), said(with_agent), "{verb:?}");
        agent.says(&format!("ended with exit code {code}"));
    };
    same(0, &["sync"]);
    same(0, &["accept", "--file-systems"]);
    for verb in [&["drift", "--heal"][..], &["drift", "--heal", "--json"]] {
        hosts.iter().for_each(|it| fs::write(it.path("live/b"), "edited\n").unwrap());
        same(0, verb);
        assert_eq!(with_agent.live("b"), "b\n");
    }
    same(0, &["kept", "restore", "<copy>"]);
    assert_eq!(with_agent.live("b"), "edited\n");
    same(5, &["fsck", "--json"]);
    same(0, &["drift", "--heal"]);
    same(0, &["fsck", "--repair"]);
    commit(&[("files/a", "bad\n")]);
    alone.run(&["sync"]).ends(6);
    agent.says("rolled_back");
    same(6, &["retry"]);
    same(4, &["sync"]);
    commit(&[("files/a", "better\n")]);
    alone.run(&["sync"]).ends(0);
    agent.says("success");
    same(2, &["rollback", "--to", "77"]);
    same(0, &["rollback"]);
    assert_eq!(with_agent.live("a"), "good\n");
    same(0, &["sync"]);

    // What only touches the database is not a job.
    for verb in [&["suspend", "--reason", "exams", "--until", "2999-01-01T00:00:00Z"][..], &["resume"]] {
        let [one, other] = [alone, with_agent].map(|it| words(it, it.run(verb).ends(0)));
        assert_eq!(one, other, "{verb:?}");
    }
    // And then what waited is deployed at once.
    agent.says("success");
    assert_eq!(with_agent.live("a"), "better\n");
    assert_eq!(agent.stop(), Some(0));
    assert!(!with_agent.path("state/control.sock").exists());
    with_agent.run(&["sync"]).ends(0).says(&["there was nothing to do"]);
}

#[test]
fn the_daemon_tells_phases_and_who_asked() {
    let host = TestHost::new();
    host.agent(&quiet());
    host.commit(&[("headfast.yaml", MANIFEST), ("files/a", "one\n")]);
    let agent = Agent::start(&host);
    agent.says("success");
    let socket = host.path("state/control.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let ask = |request: &str| -> Vec<String> {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        BufReader::new(stream).lines().map(Result::unwrap).collect()
    };
    let request = |order: &str| {
        let settings = host.path("agent.yaml");
        format!(r#"{{"version":1,"order":{order},"repositories":[],"author":"ana\u001b[2J","settings":{settings:?}}}"#)
    };
    let replies = ask(&request(r#"{"sync":{}}"#));
    assert_eq!(replies[0], r#"{"phase":{"repository":"site","phase":"fetch"}}"#);
    assert!(replies[replies.len() - 2].starts_with(r#"{"print":"#), "{replies:#?}");
    assert_eq!(replies[replies.len() - 1], r#"{"exit":0}"#);
    agent.says("ana[2J says `headfast sync`");

    // What is no request is refused with a reason, and what is no request at all is not waited for.
    for wrong in ["", "gibberish", r#"{"version":2}"#, &request(r#"{"shutdown":{}}"#), &request(r#"{"sync":{"x":1}}"#)]
    {
        let replies = ask(wrong);
        assert!(replies[0].contains("E_USAGE") && replies[1] == r#"{"exit":2}"#, "{wrong}: {replies:#?}");
    }
    let strange = request(r#"{"sync":{}}"#).replace("agent.yaml", "other.yaml");
    assert!(ask(&strange)[0].contains("was started with"));

    // Settings that changed since are not obeyed before a restart, and that is said.
    host.agent(&quiet().replace("web-1", "web-2"));
    host.run(&["sync"]).ends(0).says(&["restart it", "nothing to do"]);
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn o07_a_second_daemon_is_told_who_is_there() {
    let (host, gate) = gated();
    let agent = Agent::start(&host);
    agent.says("success");
    let holder = format!("process {} (`headfast agent`)", agent.pid());
    host.run(&["agent"]).ends(75).says(&["E_LOCKED", &holder]);
    assert_eq!(agent.stop(), Some(0));

    // Without a daemon a verb holds the lock while it works, and who comes then is told which.
    host.commit(&[("files/a", "wait\n")]);
    let sync = start(&host, &["sync"]);
    gate.reached();
    let holder = format!("process {} (`headfast sync`)", sync.id());
    for verb in ["sync", "agent", "resume"] {
        host.run(&[verb]).ends(75).says(&["E_LOCKED", &holder, "hint: "]);
    }
    host.run(&["drift"]).ends(0).says(&["a deployment is under way"]);
    host.run(&["plan"]).ends(0).says(&[&holder]);
    gate.open();
    assert!(sync.wait_with_output().unwrap().status.success());
}

#[test]
fn o09_a_suspension_does_not_wait_for_the_pass_that_is_running() {
    let (host, gate) = gated();
    let agent = Agent::start(&host);
    agent.says("success");
    host.commit(&[("files/a", "wait\n")]);
    gate.reached();
    host.run(&["suspend", "--reason", "exams"]).ends(0).says(&["suspended until `headfast resume`"]);
    let status = host.run(&["status", "--json"]).ends(0).json();
    let (last, suspended) =
        (&status["repositories"][0]["last_deployment"], &status["repositories"][0]["suspended"]["reason"]);
    assert_eq!((&last["status"], suspended), (&"in_progress".into(), &"exams".into()));
    // What had begun is brought to its end; what comes after waits.
    gate.open();
    agent.says("success");
    host.commit(&[("files/a", "later\n")]);
    agent.says("pending");
    assert_eq!(host.live("a"), "wait\n");
    host.run(&["resume"]).ends(0).says(&["deployments go on"]);
    agent.says("success");
    assert_eq!(host.live("a"), "later\n");
}

#[test]
fn an_order_is_carried_out_also_when_who_gave_it_is_gone() {
    let (host, gate) = gated();
    let agent = Agent::start(&host);
    agent.says("success");
    host.commit(&[("files/a", "wait\n")]);
    gate.reached();
    gate.open();
    agent.says("success");
    gate.close();
    fs::write(host.path("live/a"), "edited\n").unwrap();
    let mut heal = start(&host, &["drift", "--heal"]);
    gate.reached();
    heal.kill().unwrap();
    heal.wait().unwrap();
    gate.open();
    agent.says("`headfast drift --heal` of");
    assert_eq!(host.live("a"), "wait\n");
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn a_stop_finishes_the_job_and_refuses_the_orders_that_wait() {
    let (host, gate) = gated();
    let agent = Agent::start(&host);
    agent.says("success");
    host.commit(&[("files/a", "wait\n")]);
    gate.reached();
    let sync = start(&host, &["sync"]);
    let pid = agent.pid();
    let stop = std::thread::spawn(move || agent.stop());
    // Whether it had come to wait already or comes now: it is told that nothing was done.
    let output = sync.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", String::from_utf8_lossy(&output.stderr));
    host.run(&["sync"]).ends(75).says(&["E_LOCKED"]);
    assert!(fs::exists(format!("/proc/{pid}")).unwrap());
    gate.open();
    assert_eq!(stop.join().unwrap(), Some(0));
    host.run(&["sync"]).ends(0).says(&["nothing to do"]);
}

#[test]
fn x03_o10_a_daemon_that_is_killed_in_a_reload_goes_on_there() {
    let (host, gate) = gated();
    let agent = Agent::start(&host);
    agent.says("success");
    host.commit(&[("files/a", "wait\n")]);
    gate.reached();
    let waiting = start(&host, &["sync"]);
    agent.says("says `headfast sync`");
    agent.kill();
    // Who waited for it is told; the lock is free at once, and the socket that it left behind is no hindrance.
    let told = waiting.wait_with_output().unwrap();
    assert_eq!(told.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&told.stderr).contains("the agent ended before it had answered"));
    assert!(host.path("state/control.sock").exists());

    // The next one comes to the same place, also when it is killed there again.
    let agent = Agent::start(&host);
    gate.reached();
    agent.kill();
    let agent = Agent::start(&host);
    gate.reached();
    gate.open();
    agent.says("is finished now: success");
    agent.says("in sync");
    gate.close();

    // The same for what was asked for over the socket.
    fs::write(host.path("live/a"), "edited\n").unwrap();
    let heal = start(&host, &["drift", "--heal"]);
    gate.reached();
    agent.kill();
    assert_eq!(heal.wait_with_output().unwrap().status.code(), Some(1));
    assert_eq!(host.live("a"), "wait\n");
    let agent = Agent::start(&host);
    gate.reached();
    let status = host.run(&["status", "--json"]).ends(0).json();
    assert_eq!(status["repositories"][0]["last_deployment"]["status"], "in_progress");
    gate.open();
    agent.says("is finished now: success");
    host.run(&["sync"]).ends(0).says(&["nothing to do"]);
    let history = host.run(&["history", "--json"]).ends(0).json();
    let found: Vec<&str> =
        history["deployments"].as_array().unwrap().iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert_eq!(found, ["success", "success", "success"]);
}

#[test]
fn o15_a_hundred_readers_hold_nobody_up() {
    let (host, gate) = gated();
    host.run(&["sync"]).ends(0);
    host.commit(&[("files/a", "wait\n")]);
    let sync = start(&host, &["sync"]);
    gate.reached();
    let readers: Vec<Child> = (0..100).map(|_| start(&host, &["status", "--json"])).collect();
    // The writer writes its last records while they read.
    gate.open();
    let output = sync.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for reader in readers {
        let output = reader.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = status["repositories"][0]["last_deployment"]["status"].as_str().unwrap().to_owned();
        assert!(["in_progress", "success"].contains(&found.as_str()), "{found}");
    }
    host.run(&["history"]).ends(0).says(&["success"]);
}
