//! Remote layers, fetched from real servers on this host.

use crate::servers::files::Files;
use crate::servers::https::{Https, NAME};
use crate::servers::is_left_out;
use crate::servers::raw::Raw;
use headfast::config::Remotes;
use headfast::finding::{Code, Finding};
use headfast::manifest::RemoteLayer;
use headfast::remote::RemoteStore;
use sha2::{Digest, Sha256};
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// A layer, longer than what a document may have.
const LIMIT: usize = 4 << 20;

pub fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|it| format!("{it:02x}")).collect()
}

/// Returns the layer at an address that is to have a content.
fn layer(url: &str, content: &[u8]) -> RemoteLayer {
    RemoteLayer::parse(&format!("{url}#sha256={}", digest(content))).unwrap()
}

fn store(dir: &tempfile::TempDir) -> RemoteStore {
    RemoteStore::new(Some(dir.path().join("remote")), None)
}

#[track_caller]
fn refused(store: &RemoteStore, layer: &RemoteLayer, expected: &str) -> Finding {
    let finding = store.fetch(layer).expect_err("is refused");
    assert_eq!(finding.code, Code::REMOTE_FETCH, "{finding:?}");
    assert!(finding.message.contains(&layer.url) && finding.message.contains(expected), "{finding:?}");
    assert!(finding.hint.is_some(), "{finding:?}");
    finding
}

#[test]
fn x24_a_layer_is_fetched_once_and_then_its_server_may_be_gone() {
    let (dir, mut server) = (tempfile::tempdir().unwrap(), Files::start());
    server.put("/app.yaml", b"port: 81\n");
    let layer = layer(&server.url("/app.yaml"), b"port: 81\n");
    assert_eq!(store(&dir).fetch(&layer).unwrap(), b"port: 81\n");
    assert_eq!(store(&dir).fetch(&layer).unwrap(), b"port: 81\n");
    assert_eq!(server.n_connections(), 1);
    let request = server.requests().to_lowercase();
    assert!(request.contains("user-agent: headfast/") && !request.contains("authorization"), "{request}");
    server.stop();
    assert_eq!(store(&dir).fetch(&layer).unwrap(), b"port: 81\n");
    assert_eq!(store(&dir).offline(true).fetch(&layer).unwrap(), b"port: 81\n");
    let other = RemoteLayer { sha256: digest(b"port: 82\n"), ..layer };
    refused(&store(&dir), &other, "onnection");
    refused(&store(&dir).offline(true), &other, "is not in the cache");
}

#[test]
fn x24_a_damaged_copy_is_fetched_anew() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Files::start());
    server.put("/app.yaml", b"port: 81\n");
    let layer = layer(&server.url("/app.yaml"), b"port: 81\n");
    let copy = dir.path().join("remote").join(&layer.sha256);
    store(&dir).fetch(&layer).unwrap();
    for (n, poison) in [&b"port: 666\n"[..], b"", b"port: 81\n\0"].into_iter().enumerate() {
        fs::write(&copy, poison).unwrap();
        assert_eq!(store(&dir).fetch(&layer).unwrap(), b"port: 81\n");
        assert_eq!(fs::read(&copy).unwrap(), b"port: 81\n");
        assert_eq!(server.n_connections(), n + 2);
    }
}

#[test]
fn x24_what_is_not_what_the_digest_says_is_refused_and_not_kept() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Files::start());
    server.put("/app.yaml", b"port: 666\n");
    let layer = layer(&server.url("/app.yaml"), b"port: 81\n");
    let finding = store(&dir).fetch(&layer).expect_err("is refused");
    assert_eq!(finding.code, Code::REMOTE_DIGEST);
    for digest in [digest(b"port: 81\n"), digest(b"port: 666\n")] {
        assert!(finding.message.contains(&digest), "{}", finding.message);
    }
    assert!(!dir.path().join("remote").exists());
    // It is the right one later, when what was published has reached the server.
    server.put("/app.yaml", b"port: 81\n");
    store(&dir).fetch(&layer).unwrap();
}

#[test]
fn x24_what_is_too_large_is_not_read_to_its_end() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Files::start());
    let url = server.url("/app.yaml");
    // It says so, and sends nothing.
    server.answer("/app.yaml", &format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", LIMIT + 1), b"");
    refused(&store(&dir), &layer(&url, b"x"), "more than 4194304 bytes");
    // It does not say so: in chunks, which never end.
    let chunk = [format!("{LIMIT:x}\r\n").as_bytes(), &vec![b'#'; LIMIT], b"\r\n1\r\n#\r\n"].concat();
    server.answer("/app.yaml", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &chunk);
    refused(&store(&dir), &layer(&url, b"x"), "more than 4194304 bytes");
    // Five mebibytes of `#`, packed into five kibibytes.
    let head = [
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0xec, 0xc1, 0x81, 0, 0, 0, 0, 0x80, 0x20, 0x98, 0xfd, 0x1d, 0x17, 0xa9,
        0x0a,
    ];
    let bomb = [&head[..], &[0; 5096]].concat();
    server.answer("/app.yaml", "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n", &bomb);
    refused(&store(&dir), &layer(&url, b"x"), "more than 4194304 bytes");
    // As much as there may be is good.
    let most = vec![b'#'; LIMIT];
    server.put("/app.yaml", &most);
    assert_eq!(store(&dir).fetch(&layer(&url, &most)).unwrap().len(), LIMIT);
}

#[test]
fn x24_a_body_that_is_cut_short_is_no_mismatch() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Files::start());
    let url = server.url("/app.yaml");
    let layer = layer(&url, b"port: 81\n");
    server.answer("/app.yaml", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", b"port");
    refused(&store(&dir), &layer, "");
    server.answer("/app.yaml", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"4\r\nport\r\n");
    refused(&store(&dir), &layer, "");
    server.answer("/app.yaml", "", b"what is this?\r\n\r\n");
    refused(&store(&dir), &layer, "");
}

#[test]
fn x24_a_server_that_stalls_costs_one_deadline() {
    let dir = tempfile::tempdir().unwrap();
    for beginning in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"] {
        let server = Raw::start(beginning, b"");
        let url = |path: &str| format!("http://127.0.0.1:{}/{path}", server.port());
        let store = store(&dir).with_deadline(Duration::from_millis(300));
        refused(&store, &layer(&url("a.yaml"), b"a"), "it was not there within 0.3 s");
        refused(&store, &layer(&url("b.yaml"), b"b"), "it was not there within 0.3 s");
        let heard = server.heard();
        assert!(heard.contains("GET /a.yaml") && !heard.contains("b.yaml"), "it is not asked again: {heard}");
    }
}

#[test]
fn x24_redirects_and_refusals_are_told() {
    let (dir, server, other) = (tempfile::tempdir().unwrap(), Files::start(), Files::start());
    other.put("/app.yaml", b"port: 81\n");
    let to = other.url("/app.yaml").replace("http://", "http://ana:s3cr3t@");
    server.answer(
        "/app.yaml",
        &format!("HTTP/1.1 302 Found\r\nlocation: {to}?token=s3cr3t\r\ncontent-length: 0\r\n\r\n"),
        b"",
    );
    let finding =
        refused(&store(&dir), &layer(&server.url("/app.yaml"), b"port: 81\n"), "it redirects to http://127.0.0.1");
    assert!(!finding.message.contains("s3cr3t"), "{}", finding.message);
    assert_eq!(other.n_connections(), 0);
    refused(&store(&dir), &layer(&server.url("/gone.yaml"), b"x"), "the server answered 404 Not Found");
    server.answer(
        "/auth.yaml",
        "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n\r\n",
        b"",
    );
    refused(&store(&dir), &layer(&server.url("/auth.yaml"), b"x"), "the server answered 401 Unauthorized");
}

#[test]
fn x24_an_address_may_be_an_ipv6_literal() {
    let Some(server) = Files::start_on(IpAddr::V6(Ipv6Addr::LOCALHOST)) else { return };
    server.put("/app.yaml", b"port: 81\n");
    let url = server.url("/app.yaml");
    assert!(url.starts_with("http://[::1]:"), "{url}");
    assert_eq!(store(&tempfile::tempdir().unwrap()).fetch(&layer(&url, b"port: 81\n")).unwrap(), b"port: 81\n");
}

#[test]
fn x24_over_https_the_certificate_is_judged() {
    if is_left_out(NAME) {
        return;
    }
    let (dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(root.path().join("layers")).unwrap();
    fs::write(root.path().join("layers/app.yaml"), "port: 81\n").unwrap();
    let server = Https::start(root.path(), "");
    let layer = layer(&server.url("layers/app.yaml"), b"port: 81\n");
    let trusting = |name: &str| RemoteStore::new(Some(dir.path().join("remote")), Some(server.file(name)));
    refused(&store(&dir), &layer, "certificate is not accepted");
    for name in ["other_ca.pem", "nothing.pem", "users"] {
        refused(&trusting(name), &layer, "certificate is not accepted");
    }
    assert!(!server.requests().contains("layers"), "no request was sent: {}", server.requests());
    assert_eq!(trusting("ca.pem").fetch(&layer).unwrap(), b"port: 81\n");
}
