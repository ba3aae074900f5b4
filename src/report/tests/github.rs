//! Posting, against a forge of our own.

use super::*;
use rustix::net::{AddressFamily, SocketType};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

const NOW: i64 = 1_700_000_000;
const TOKEN: &str = "ghp_canary0123456789";

/// A forge that answers one request with fixed bytes and hands back what it was sent.
struct Forge {
    api: String,
    thread: JoinHandle<String>,
}

impl Forge {
    fn answering(answer: &'static str) -> Forge {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = read_request(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
            if answer.is_empty() {
                // Stalled: waits until the client gives up.
                stream.read_exact(&mut [0; 1]).ok();
            }
            request
        });
        Forge { api, thread }
    }

    fn request(self) -> String {
        self.thread.join().unwrap()
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase().lines().find_map(|it| Some(it.strip_prefix("content-length: ")?.parse()));
            if body.len() >= length.unwrap_or(Ok(0)).unwrap() {
                return text;
            }
        }
        let mut more = [0; 1024];
        let n = stream.read(&mut more).unwrap();
        assert!(n > 0, "the client hung up: {text}");
        bytes.extend_from_slice(&more[..n]);
    }
}

struct Client {
    folder: tempfile::TempDir,
}

impl Client {
    fn new() -> Client {
        let it = Client { folder: tempfile::tempdir().unwrap() };
        std::fs::write(it.token_file(), format!("{TOKEN}\n")).unwrap();
        it
    }

    fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    fn post(&self, api: &str) -> Outcome {
        self.post_within(api, Duration::from_secs(60))
    }

    fn post_within(&self, api: &str, deadline: Duration) -> Outcome {
        let status = say::deployment("web-1", &deployment(DeploymentStatus::Success));
        let delivery = Delivery::github(Some(api), "ops", "config", &status);
        let outcome = GithubSender::new(&self.token_file(), deadline).post(&delivery, NOW);
        assert!(!format!("{outcome:?}").contains("canary"), "the token is in {outcome:?}");
        outcome
    }
}

/// Posts once to a forge that gives this answer.
fn outcome_of(answer: &'static str) -> Outcome {
    let forge = Forge::answering(answer);
    let outcome = Client::new().post(&forge.api);
    forge.request();
    outcome
}

fn waits(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::RetryAfter { wait, .. } => wait.map(|it| it.as_secs()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_status_is_posted_as_github_wants_it() {
    let forge = Forge::answering("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(Client::new().post(&forge.api), Outcome::Done);
    let request = forge.request();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    assert!(head.starts_with(&format!("post /repos/ops/config/statuses/{COMMIT} http/1.1\r\n")), "{head}");
    for header in [
        &format!("authorization: bearer {TOKEN}") as &str,
        "accept: application/vnd.github+json",
        "x-github-api-version: 2022-11-28",
        "content-type: application/json",
        concat!("user-agent: headfast/", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(head.contains(&format!("\r\n{header}")), "{header} in {head}");
    }
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let wanted = serde_json::json!({
        "state": "success",
        "context": "headfast/production/web-1",
        "description": "deployed: 3 files created, 1 replaced",
    });
    assert_eq!(body, wanted);
}

#[test]
fn m13_a_rate_limit_is_obeyed_however_it_is_said() {
    let cases = [
        ("HTTP/1.1 403 Forbidden\r\nRetry-After: 42\r\nContent-Length: 0\r\n\r\n", Some(42)),
        ("HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n", Some(60)),
        (
            "HTTP/1.1 403 Forbidden\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1700000100\r\nContent-Length: 0\r\n\r\n",
            Some(100),
        ),
        ("HTTP/1.1 429 No\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 5\r\nContent-Length: 0\r\n\r\n", Some(1)),
        ("HTTP/1.1 503 No\r\nRetry-After: Tue, 14 Nov 2023 22:13:30 GMT\r\nContent-Length: 0\r\n\r\n", Some(10)),
        (
            "HTTP/1.1 403 No\r\nConnection: close\r\n\r\n{\"message\":\"You have exceeded a secondary rate limit now.\"}",
            Some(60),
        ),
        ("HTTP/1.1 503 No\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n", None),
    ];
    for (answer, wait) in cases {
        assert_eq!(waits(&outcome_of(answer)), wait, "{answer}");
    }
}

#[test]
fn m13_a_forge_in_trouble_is_tried_again() {
    for answer in [
        "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 502 Bad\r\nConnection: close\r\n\r\n<html>",
        "HTTP/1.1 408 Slow\r\nContent-Length: 0\r\n\r\n",
        "not http at all\r\n\r\n",
    ] {
        assert_eq!(waits(&outcome_of(answer)), None, "{answer}");
    }
}

#[test]
fn m13_a_forge_that_stalls_is_given_up_at_the_deadline() {
    let forge = Forge::answering("");
    let outcome = Client::new().post_within(&forge.api, Duration::from_millis(200));
    assert_eq!(waits(&outcome), None);
    assert!(format!("{outcome:?}").contains("timeout"), "{outcome:?}");
    forge.request();
}

#[test]
fn m13_an_answer_that_never_ends_does_not_change_what_it_says() {
    let forge = Forge::answering("HTTP/1.1 422 No\r\nContent-Length: 99999999\r\n\r\n{\"message\":");
    assert!(matches!(Client::new().post(&forge.api), Outcome::Permanent(_)));
    forge.request();
}

#[test]
fn m13_a_forge_that_is_not_there_is_tried_again() {
    // Bound and not listening: of a listener that was closed, a child of another test may still have a copy.
    let deaf = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&deaf, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let api = format!("http://{}", SocketAddrV4::try_from(rustix::net::getsockname(&deaf).unwrap()).unwrap());
    assert_eq!(waits(&Client::new().post(&api)), None);
}

#[test]
fn m13_what_the_forge_will_never_take_is_permanent_and_says_why() {
    let answer = "HTTP/1.1 422 Unprocessable\r\nConnection: close\r\n\r\n\
        {\"message\":\"Validation Failed\",\"errors\":[{\"resource\":\"Status\",\"message\":\"This SHA and\\ncontext is full.\"}]}";
    let Outcome::Permanent(reason) = outcome_of(answer) else { panic!() };
    assert_eq!(reason, "the forge answered 422: Validation Failed: This SHA and context is full.");
    assert!(matches!(outcome_of("HTTP/1.1 409 No\r\nContent-Length: 0\r\n\r\n"), Outcome::Permanent(_)));
}

#[test]
fn m16_rights_that_are_missing_are_for_a_person() {
    for answer in [
        "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 403 No\r\nConnection: close\r\n\r\n{\"message\":\"Resource not accessible by integration.\"}",
        "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
    ] {
        assert!(matches!(outcome_of(answer), Outcome::AuthProblem(_)), "{answer}");
    }
}

#[test]
fn m13_a_redirect_is_not_followed() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let to = trap.local_addr().unwrap();
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let answer = format!("HTTP/1.1 {status}\r\nLocation: http://{to}/elsewhere\r\nContent-Length: 0\r\n\r\n");
        let Outcome::AuthProblem(reason) = outcome_of(answer.leak()) else { panic!() };
        assert!(reason.contains(&format!("it redirects to http://{to}/elsewhere")), "{reason}");
    }
    assert_eq!(trap.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_forge_that_repeats_the_token_does_not_get_it_logged() {
    let body = format!("{{\"message\":\"{}bad token {TOKEN}\"}}", "x".repeat(270));
    let answer = format!("HTTP/1.1 400 No\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let Outcome::Permanent(reason) = outcome_of(answer.leak()) else { panic!() };
    assert!(reason.chars().count() <= 300 && !reason.contains("ghp_"), "{reason}");
    let location = format!("HTTP/1.1 302 No\r\nLocation: /?t={TOKEN}\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(outcome_of(location.leak()), Outcome::AuthProblem(it) if it.ends_with("/?t=[token]")));
}

#[test]
fn the_token_is_read_again_at_each_post() {
    let client = Client::new();
    for token in ["first", "second"] {
        std::fs::write(client.token_file(), token).unwrap();
        let forge = Forge::answering("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.post(&forge.api), Outcome::Done);
        assert!(forge.request().to_lowercase().contains(&format!("authorization: bearer {token}\r\n")));
    }
}

#[test]
fn a_token_file_that_holds_none_is_for_a_person() {
    let client = Client::new();
    for content in ["", " \n", "two\nlines", "ü", &"x".repeat(5000), "nul\0"] {
        std::fs::write(client.token_file(), content).unwrap();
        assert!(matches!(client.post("http://127.0.0.1:1"), Outcome::AuthProblem(_)), "{content:?}");
    }
    std::fs::remove_file(client.token_file()).unwrap();
    let Outcome::AuthProblem(reason) = client.post("http://127.0.0.1:1") else { panic!() };
    assert!(reason.starts_with(&format!("cannot read {}", client.token_file().display())), "{reason}");
}

#[test]
fn the_token_goes_nowhere_unencrypted_but_to_this_machine() {
    for api in ["http://forge.example", "http://127.0.0.1.evil.example", "http://localhost@evil.example", "ftp://x", ""]
    {
        assert!(matches!(Client::new().post(api), Outcome::AuthProblem(_)), "{api}");
    }
}

#[test]
fn what_is_no_status_for_github_is_not_sent() {
    let sender = GithubSender::new(&Client::new().token_file(), Duration::from_secs(1));
    let notes = note("h", &deployment(DeploymentStatus::Success), None);
    assert!(matches!(sender.post(&notes, NOW), Outcome::Permanent(_)));
    let status = say::deployment("h", &deployment(DeploymentStatus::Success));
    for (owner, name) in [("a/b", "c"), ("..", "c"), ("", "c"), ("a", "c?x=1"), ("a", "c d")] {
        let delivery = Delivery::github(Some("http://127.0.0.1:1"), owner, name, &status);
        assert!(matches!(sender.post(&delivery, NOW), Outcome::Permanent(_)), "{owner}/{name}");
    }
}

#[test]
fn a_file_without_certificates_trusts_nobody() {
    let client = Client::new();
    let status = say::deployment("h", &deployment(DeploymentStatus::Success));
    let sender = GithubSender::new(&client.token_file(), Duration::from_secs(1)).trusting(Some(&client.token_file()));
    let Outcome::AuthProblem(reason) = sender.post(&Delivery::github(None, "o", "r", &status), NOW) else { panic!() };
    assert!(reason.ends_with("holds no certificate"), "{reason}");
}
