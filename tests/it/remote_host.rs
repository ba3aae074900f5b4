//! Remote layers on a host: what is allowed, deployed, and gone back to, whatever their server does.

use crate::daemon::Agent;
use crate::host::{AGENT, TestHost};
use crate::remote::digest;
use crate::servers::files::Files;
use crate::servers::https::{Https, NAME};
use crate::servers::is_left_out;
use std::fs;

const MANIFEST: &str = "\
version: 1
environments:
  production: {type: production}
configurations:
  app:
    layers:
      - app.yaml
      - @LAYER@
targets:
  app:
    path: @LIVE@
    files: [{write: app.json, configuration: app}]
";

/// A host, and a server whose folder `/shared/` it allows.
fn host(server: &Files) -> TestHost {
    let host = TestHost::new();
    let allow = format!("commands: [/bin/sh], remotes: ['{}']", server.url("/shared/"));
    host.agent(&AGENT.replace("commands: [/bin/sh]", &allow));
    host
}

/// Pushes a commit whose remote layer is to have a content.
fn push(host: &TestHost, server: &Files, content: &str) -> String {
    let layer = format!("{}#sha256={}", server.url("/shared/app.yaml"), digest(content.as_bytes()));
    host.commit(&[("headfast.yaml", &MANIFEST.replace("@LAYER@", &layer)), ("app.yaml", "port: 80\n")])
}

/// Puts a content on the server and pushes a commit that means it.
fn publish(host: &TestHost, server: &Files, content: &str) -> String {
    server.put("/shared/app.yaml", content.as_bytes());
    push(host, server, content)
}

fn statuses(host: &TestHost) -> Vec<String> {
    let history = host.run(&["history", "--json"]).ends(0).json();
    let all = history["deployments"].as_array().unwrap();
    all.iter().map(|it| it["status"].as_str().unwrap().to_owned()).collect()
}

/// Returns the branches of the remote: a revert would be another one, or a commit more.
fn branches(host: &TestHost) -> String {
    host.remote(&["for-each-ref", "--format=%(refname) %(objectname)"])
}

#[test]
fn x24_a_commit_with_a_remote_layer_is_deployed_and_rolled_back_without_its_server() {
    let mut server = Files::start();
    let host = host(&server);
    publish(&host, &server, "port: 81\n");
    host.run(&["sync"]).ends(0);
    assert!(host.live("app.json").contains("81"));
    let second = publish(&host, &server, "# shared\nport: 82\n");
    host.run(&["sync"]).ends(0);
    assert!(host.live("app.json").contains("82"));
    assert_eq!(server.n_connections(), 2);
    server.stop();
    // Nobody needs it any more: not why, not fsck, not the way back, not drift.
    let (url, why) = (server.url("/shared/app.yaml"), host.run(&["why", "app/app.json:port", "--json"]).ends(0).json());
    let origin = &why["origins"][0];
    assert_eq!((&origin["layer"], &origin["line"]), (&url.as_str().into(), &2.into()));
    assert_eq!(origin["commit"], second.as_str(), "it brought the digest");
    host.run(&["fsck"]).ends(0).says(&["all is whole"]);
    host.run(&["rollback"]).ends(0);
    assert!(host.live("app.json").contains("81"));
    fs::write(host.path("live/app.json"), "edited").unwrap();
    host.run(&["drift", "--heal"]).ends(0);
    assert!(host.live("app.json").contains("81"));
    assert_eq!(fs::read_dir(host.path("state/remote")).unwrap().count(), 2);
}

#[test]
fn x24_what_is_not_allowed_is_never_asked_for() {
    let server = Files::start();
    let host = TestHost::new();
    publish(&host, &server, "port: 81\n");
    let folder = server.url("/shared/");
    let plan = host.run(&["plan"]).ends(4);
    plan.says(&["E_REMOTE_NOT_ALLOWED", "headfast.yaml:8:9", &format!("write `remotes: [{folder}]` under `allow`")]);
    host.run(&["sync"]).ends(4).says(&["E_REMOTE_NOT_ALLOWED"]);
    host.run(&["why-not"]).ends(0).says(&["E_REMOTE_NOT_ALLOWED"]);
    assert_eq!((server.n_connections(), statuses(&host)), (0, vec!["refused".to_owned()]));
    // What agent.yaml says anew counts at once, and what it no longer says does, too, for what is in the cache.
    let allow = format!("commands: [/bin/sh], remotes: ['{folder}']");
    host.agent(&AGENT.replace("commands: [/bin/sh]", &allow));
    host.run(&["sync"]).ends(0);
    host.agent(AGENT);
    host.commit(&[("app.yaml", "port: 80\nname: new\n")]);
    host.run(&["sync"]).ends(4).says(&["E_REMOTE_NOT_ALLOWED"]);
    assert_eq!(server.n_connections(), 1);
}

#[test]
fn x24_a_server_that_fails_blames_no_commit() {
    let server = Files::start();
    let host = host(&server);
    publish(&host, &server, "port: 81\n");
    host.run(&["sync"]).ends(0);
    // The commit is there before the file is.
    server.answer("/shared/app.yaml", "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", b"");
    push(&host, &server, "port: 82\n");
    let before = branches(&host);
    for _ in 0..4 {
        host.run(&["sync"]).ends(1).says(&["E_REMOTE_FETCH", "503"]);
    }
    assert_eq!(statuses(&host), ["failed", "success"], "the same failure is recorded once");
    host.run(&["why-not"]).ends(0).says(&["E_REMOTE_FETCH", "503"]);
    // An old file is no fault of the commit either: what is published may take its time.
    server.put("/shared/app.yaml", b"port: 81\n");
    for _ in 0..2 {
        host.run(&["sync"]).ends(1).says(&["E_REMOTE_DIGEST", &digest(b"port: 81\n"), &digest(b"port: 82\n")]);
    }
    assert_eq!(statuses(&host), ["failed", "failed", "success"]);
    assert!(host.live("app.json").contains("81"), "nothing was written");
    assert_eq!(branches(&host), before, "nothing was reverted");
    server.put("/shared/app.yaml", b"port: 82\n");
    host.run(&["sync"]).ends(0);
    assert!(host.live("app.json").contains("82"), "nothing was quarantined");
}

#[test]
fn x24_a_damaged_or_lost_cache_of_a_host_heals() {
    let server = Files::start();
    let host = host(&server);
    publish(&host, &server, "port: 81\n");
    host.run(&["sync"]).ends(0);
    let copy = host.path("state/remote").join(digest(b"port: 81\n"));
    fs::write(&copy, "port: 666\n").unwrap();
    host.commit(&[("app.yaml", "port: 80\nname: one\n")]);
    host.run(&["sync"]).ends(0);
    assert!(host.live("app.json").contains("81") && host.live("app.json").contains("one"));
    fs::remove_dir_all(host.path("state/remote")).unwrap();
    host.run(&["fsck"]).ends(0).says(&["all is whole"]);
    host.commit(&[("app.yaml", "port: 80\nname: two\n")]);
    host.run(&["sync"]).ends(0);
    assert!(host.live("app.json").contains("two"));
    // What cannot be kept is not deployed: it could not be rolled back.
    fs::remove_dir_all(host.path("state/remote")).unwrap();
    fs::write(host.path("state/remote"), "in the way").unwrap();
    host.commit(&[("app.yaml", "port: 80\nname: three\n")]);
    host.run(&["sync"]).ends(1).says(&["E_IO", "state/remote"]);
    assert!(host.live("app.json").contains("two"));
}

#[test]
fn x24_the_agent_tries_again_by_itself_until_the_file_is_there() {
    let server = Files::start();
    let host = TestHost::new();
    let allow = format!("commands: [/bin/sh], remotes: ['{}']", server.url("/shared/"));
    let agent = AGENT.replace("    branch: main\n", "    branch: main\n    poll: 1h\n");
    host.agent(&agent.replace("commands: [/bin/sh]", &allow));
    server.put("/shared/app.yaml", b"port: 80\n");
    let commit = push(&host, &server, "port: 81\n");
    let agent = Agent::start(&host);
    agent.says("E_REMOTE_DIGEST");
    server.put("/shared/app.yaml", b"port: 81\n");
    agent.says(&format!("success {}", &commit[..12]));
    assert!(host.live("app.json").contains("81"));
    assert_eq!(agent.stop(), Some(0));
}

#[test]
fn x24_a_host_trusts_the_authority_that_its_agent_yaml_names() {
    if is_left_out(NAME) {
        return;
    }
    let (host, root) = (TestHost::new(), tempfile::tempdir().unwrap());
    fs::create_dir(root.path().join("layers")).unwrap();
    fs::write(root.path().join("layers/app.yaml"), "port: 81\n").unwrap();
    let server = Https::start(root.path(), "");
    let agent = |ca: &str| {
        let allow = format!("commands: [/bin/sh], remotes: ['{}']", server.url("layers/"));
        let auth = format!("    auth: {{ca_file: '{}'}}\n    rollback:", server.file(ca).display());
        host.agent(&AGENT.replace("commands: [/bin/sh]", &allow).replace("    rollback:", &auth));
    };
    let layer = format!("{}#sha256={}", server.url("layers/app.yaml"), digest(b"port: 81\n"));
    host.commit(&[("headfast.yaml", &MANIFEST.replace("@LAYER@", &layer)), ("app.yaml", "port: 80\n")]);
    agent("other_ca.pem");
    host.run(&["sync"]).ends(1).says(&["E_REMOTE_FETCH", "certificate", "auth.ca_file"]);
    agent("ca.pem");
    host.run(&["sync"]).ends(0);
    assert!(host.live("app.json").contains("81"));
}
