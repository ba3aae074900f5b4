use super::*;
use crate::servers::https::{Https, NAME, TOKEN};
use crate::servers::is_left_out;
use crate::servers::raw::Raw;
use std::time::Instant;

fn credentials(server: &Https) -> Credentials {
    Credentials {
        token_file: Some(server.token(TOKEN)),
        ca_file: Some(server.file("ca.pem")),
        ..Credentials::default()
    }
}

#[test]
fn fetch_push_and_notes_go_over_https() {
    if is_left_out(NAME) {
        return;
    }
    let repository = Repository::new();
    let server = Https::start(repository.root(), "");
    goes_round(&repository, &remote(&server.url("remote.git"), credentials(&server)));
}

#[test]
fn a05_the_token_goes_with_its_user() {
    if is_left_out(NAME) {
        return;
    }
    let repository = Repository::new();
    let server = Https::start(repository.root(), "");
    let auth = Credentials { username: Some("ana".into()), ..credentials(&server) };
    mirror(&repository).fetch(&remote(&server.url("remote.git/"), auth), "main").expect("fetches");
    assert!(server.requests().contains(" ana ["), "{}", server.requests());
}

#[test]
fn a09_certificates_of_unknown_authorities_and_other_names_are_refused() {
    if is_left_out(NAME) {
        return;
    }
    let repository = Repository::new();
    let server = Https::start(repository.root(), "");
    let url = server.url("remote.git");
    for ca_file in [None, Some("other_ca.pem"), Some("nothing.pem"), Some("users")] {
        let auth = Credentials { ca_file: ca_file.map(|it| server.file(it)), ..credentials(&server) };
        refused(&repository, &remote(&url, auth), Code::TLS);
    }
    let other_name = format!("https://localhost:{}/remote.git", server.port());
    refused(&repository, &remote(&other_name, credentials(&server)), Code::TLS);
    assert!(!server.requests().contains("remote.git"), "no request was sent: {}", server.requests());
}

#[test]
fn a21_the_token_is_read_at_every_fetch() {
    if is_left_out(NAME) {
        return;
    }
    let repository = Repository::new();
    let server = Https::start(repository.root(), "");
    let with_token = remote(&server.url("remote.git"), credentials(&server));
    server.token("wrong-s3cr3t");
    refused(&repository, &with_token, Code::AUTH);
    server.token(TOKEN);
    mirror(&repository).fetch(&with_token, "main").expect("fetches");
    std::fs::remove_file(server.file("token")).expect("removes");
    let text = refused(&repository, &with_token, Code::AUTH);
    assert!(text.contains("token"), "{text}");
    let without = remote(&server.url("remote.git"), Credentials { token_file: None, ..credentials(&server) });
    refused(&repository, &without, Code::AUTH);
}

#[test]
fn a17_what_is_gone_or_no_git_server_is_unreachable() {
    if is_left_out(NAME) {
        return;
    }
    let repository = Repository::new();
    let mut server = Https::start(repository.root(), "");
    for path in ["gone.git", "plain/x.git", "broken/x.git"] {
        refused(&repository, &remote(&server.url(path), credentials(&server)), Code::FETCH_NET);
    }
    server.stop();
    refused(&repository, &remote(&server.url("remote.git"), credentials(&server)), Code::FETCH_NET);
}

#[test]
fn a26_empty_and_a28_foreign_repositories_are_named() {
    if is_left_out(NAME) {
        return;
    }
    let repository = Repository::new();
    let server = Https::start(repository.root(), "");
    repository.init("empty.git", &[]);
    refused(&repository, &remote(&server.url("empty.git"), credentials(&server)), Code::EMPTY_REPO);
    repository.init("sha256.git", &["--object-format=sha256"]);
    refused(&repository, &remote(&server.url("sha256.git"), credentials(&server)), Code::OBJECT_FORMAT);
    repository.init("reftable.git", &["--ref-format=reftable"]);
    refused(&repository, &remote(&server.url("reftable.git"), credentials(&server)), Code::EMPTY_REPO);
}

#[test]
fn a10_a_redirect_to_another_host_is_not_followed() {
    if is_left_out(NAME) {
        return;
    }
    let (repository, other) = (Repository::new(), Raw::start(b"", b""));
    let elsewhere = format!("https://127.0.0.1:{}", other.port());
    let server = Https::start(repository.root(), &elsewhere);
    let text = refused(&repository, &remote(&server.url("moved/remote.git"), credentials(&server)), Code::REDIRECT);
    assert!(text.contains(&elsewhere), "{text}");
    assert_eq!(other.heard(), "", "nothing was sent there, and no token");
    let circle = remote(&server.url("circle.git"), credentials(&server));
    refused(&repository, &circle, Code::FETCH_NET);
}

#[test]
fn a11_a_redirect_away_from_the_net_is_not_followed() {
    if is_left_out(NAME) {
        return;
    }
    let repository = Repository::new();
    for elsewhere in ["file:///etc", "http://169.254.169.254", "gopher://x"] {
        let server = Https::start(repository.root(), elsewhere);
        refused(&repository, &remote(&server.url("moved/remote.git"), credentials(&server)), Code::REDIRECT);
    }
}

#[test]
fn a10_a_redirect_within_the_host_is_followed_for_fetch_and_push() {
    if is_left_out(NAME) {
        return;
    }
    let repository = Repository::new();
    let server = Https::start(repository.root(), "");
    let renamed = remote(&server.url("renamed.git"), credentials(&server));
    let mut mirror = mirror(&repository);
    let tip = mirror.fetch(&renamed, "main").expect("fetches");
    mirror.push(&renamed, &tip, "refs/heads/copy").expect("pushes");
    assert_eq!(repository.remote_tip("copy"), tip.as_str());
}

#[test]
fn a12_a_server_that_drips_costs_no_more_than_the_deadline() {
    let repository = Repository::new();
    const REFS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-git-upload-pack-advertisement\r\n\r\n\
        001e# service=git-upload-pack\n0000";
    const REF: &[u8] = b"003a1111111111111111111111111111111111111111 refs/heads/x\n";
    let drips: [(&[u8], &[u8]); 4] =
        [(b"", b""), (b"HTTP/1.1 200 OK\r\nx: ", b"y"), (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"), (REFS, REF)];
    for (beginning, drip) in drips {
        let server = Raw::start(beginning, drip);
        let url = format!("http://127.0.0.1:{}/x.git", server.port());
        let mut slow = remote(&url, Credentials::default());
        slow.deadline = Duration::from_millis(1500);
        let begin = Instant::now();
        refused(&repository, &slow, Code::FETCH_TIMEOUT);
        assert!(begin.elapsed() < Duration::from_millis(3500), "{:?} {beginning:?}", begin.elapsed());
    }
}
