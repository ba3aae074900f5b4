//! The daemon: a push deploys at once, metrics answer, SIGTERM ends it well; and what is said to GitHub on the way.

use crate::daemon::{Agent, PATIENCE};
use crate::host::{AGENT, MANIFEST, TestHost};
use crate::servers::https::{Https, NAME, TOKEN};
use crate::servers::{free_port, is_left_out};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{Receiver, channel};

fn get(port: u16, path: &str) -> String {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(connection, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

/// Waits until systemd was told something (sd_notify(3)).
#[track_caller]
pub fn heard(systemd: &UnixDatagram, text: &str) {
    let mut message = [0; 4096];
    loop {
        let n = systemd.recv(&mut message).unwrap_or_else(|error| panic!("{text:?} was not said: {error}"));
        if String::from_utf8_lossy(&message[..n]).contains(text) {
            return;
        }
    }
}

#[test]
fn a_push_to_a_local_repository_deploys_at_once() {
    let host = TestHost::new();
    let port = free_port();
    let agent = AGENT.replace("    branch: main\n", "    branch: main\n    poll: 1h\n    drift: {mode: heal}\n");
    host.agent(&format!("{agent}listen: {{metrics: '127.0.0.1:{port}'}}\n"));
    host.commit(&[("headfast.yaml", MANIFEST), ("files/a", "one\n")]);

    let systemd = UnixDatagram::bind(host.path("notify")).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let agent = Agent::start(&host);
    heard(&systemd, "READY=1");
    heard(&systemd, "STATUS=site: success");
    agent.says("success");
    assert_eq!(host.live("a"), "one\n");

    let commit = host.commit(&[("files/a", "two\n")]);
    agent.says(&format!("success {}", &commit[..12]));
    assert_eq!(host.live("a"), "two\n");

    host.run(&["status"]).ends(0).says(&["in sync"]);

    let metrics = get(port, "/metrics");
    assert!(metrics.contains("headfast_deployments_total{repository=\"site\",status=\"success\"} 2"), "{metrics}");
    assert!(metrics.contains(&format!("revision=\"{commit}\"")), "{metrics}");
    assert!(get(port, "/healthz").contains("200 OK"));

    // A commit that is wrong is refused once, and the next good one is taken.
    host.commit(&[("headfast.yaml", "version: 1\nenvironments: {}\n")]);
    agent.says("refused");
    assert_eq!(host.live("a"), "two\n");
    host.commit(&[("headfast.yaml", MANIFEST), ("files/a", "three\n")]);
    agent.says("success");
    assert_eq!(host.live("a"), "three\n");

    assert_eq!(agent.stop(), Some(0));
    heard(&systemd, "STOPPING=1");
}

/// A forge that takes every status and hands on what it was told.
fn forge() -> (String, Receiver<(String, serde_json::Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, told) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut reader = BufReader::new(connection.unwrap());
            let (mut path, mut length, mut line) = (String::new(), 0, String::new());
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                if let Some(rest) = line.strip_prefix("POST ") {
                    path = rest.split(' ').next().unwrap_or_default().to_owned();
                }
                if let Some(it) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = it.trim().parse().unwrap_or(0);
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = "HTTP/1.1 201 Created\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            if sender.send((path, serde_json::from_slice(&body).unwrap())).is_err() {
                return;
            }
        }
    });
    (url, told)
}

#[test]
fn github_hears_of_each_transition_once_and_of_drift() {
    if is_left_out(NAME) {
        return;
    }
    let host = TestHost::new();
    let server = Https::start(&host.path(""), "");
    fs::create_dir(host.path("ops")).unwrap();
    std::os::unix::fs::symlink("../remote.git", host.path("ops/config.git")).unwrap();
    let (api, told) = forge();
    let token = host.path("token");
    fs::write(&token, "s3cr3t\n").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let auth =
        format!("{{token_file: {}, ca_file: {}}}", server.token(TOKEN).display(), server.file("ca.pem").display());
    let github = format!("[{{provider: github, token_file: {}, api_url: '{api}'}}]", token.display());
    let agent = AGENT
        .replace("@DIR@/remote.git", &server.url("ops/config.git"))
        .replace("    branch: main\n", &format!("    branch: main\n    auth: {auth}\n    status: {github}\n"));
    host.agent(&agent);

    let probe = "    probe: [{command: [/bin/sh, -c, '! grep -q bad @LIVE@/a'], within: 1s, settle: 0s}]\n";
    let good = host.commit(&[("headfast.yaml", &format!("{MANIFEST}{probe}")), ("files/a", "good\n")]);
    host.run(&["sync"]).ends(0);
    host.run(&["sync"]).ends(0);
    fs::write(host.path("live/a"), "edited\n").unwrap();
    host.run(&["drift"]).ends(5);
    host.run(&["drift"]).ends(5);
    host.run(&["drift", "--heal"]).ends(0);
    let bad = host.commit(&[("files/a", "bad\n")]);
    host.run(&["sync"]).ends(6);

    let said: Vec<(String, String, String, String)> = told
        .try_iter()
        .map(|(path, body)| {
            let text = |name: &str| body[name].as_str().unwrap().to_owned();
            let commit = path.strip_prefix("/repos/ops/config/statuses/").unwrap().to_owned();
            (commit, text("context"), text("state"), text("description"))
        })
        .collect();
    let of = |commit: &str, context: &str| -> Vec<&str> {
        said.iter().filter(|it| it.0 == commit && it.1 == context).map(|it| it.2.as_str()).collect()
    };
    let (deployment, drift) = ("headfast/production/web-1", "headfast/production/web-1/drift");
    assert_eq!(of(&good, deployment)[..2], ["pending", "success"], "{said:#?}");
    assert_eq!(of(&good, drift), ["failure", "success"], "{said:#?}");
    assert_eq!(of(&bad, deployment), ["pending", "failure"], "{said:#?}");
    assert!(said.iter().any(|it| it.3.starts_with("drift: 1 file modified")), "{said:#?}");
    assert!(said.iter().any(|it| it.3.starts_with("rolled back")), "{said:#?}");
}
