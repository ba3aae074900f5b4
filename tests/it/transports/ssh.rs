use super::*;
use crate::servers::raw::Raw;
use crate::servers::sshd::{NAME, Sshd};
use crate::servers::{is_left_out, program};
use std::time::Instant;

fn credentials(server: &Sshd) -> Credentials {
    Credentials {
        ssh_key: Some(server.file("user")),
        known_hosts: Some(server.known_hosts("host")),
        ..Credentials::default()
    }
}

#[test]
fn fetch_push_and_notes_go_over_ssh() {
    if is_left_out(NAME) {
        return;
    }
    let (server, repository) = (Sshd::start(""), Repository::new());
    goes_round(&repository, &remote(&server.url(&repository.bare()), credentials(&server)));
}

#[test]
fn any_path_of_a_key_is_taken_as_it_is() {
    if is_left_out(NAME) {
        return;
    }
    let (server, repository) = (Sshd::start(""), Repository::new());
    let odd = server.file("a \"key\" of 100%h");
    std::fs::copy(server.file("user"), &odd).expect("copies");
    let auth = Credentials { ssh_key: Some(odd), ..credentials(&server) };
    mirror(&repository).fetch(&remote(&server.url(&repository.bare()), auth), "main").expect("fetches");
}

#[test]
fn a08_unknown_and_changed_host_keys_are_refused() {
    if is_left_out(NAME) {
        return;
    }
    let (server, repository) = (Sshd::start(""), Repository::new());
    let url = server.url(&repository.bare());
    let with = |known_hosts| remote(&url, Credentials { known_hosts: Some(known_hosts), ..credentials(&server) });
    let empty = server.file("empty");
    std::fs::write(&empty, "").expect("writes");
    refused(&repository, &with(empty.clone()), Code::HOSTKEY);
    assert_eq!(std::fs::read(&empty).expect("reads"), b"", "no key is taken on trust");
    refused(&repository, &with(server.known_hosts("other_host")), Code::HOSTKEY);
    let text = refused(&repository, &with(server.file("nothing")), Code::HOSTKEY);
    assert!(text.contains("nothing"), "{text}");
    mirror(&repository).fetch(&with(server.known_hosts("host")), "main").expect("the right key is right");
}

#[test]
fn a22_keys_that_do_not_fit_are_refused_without_a_question() {
    if is_left_out(NAME) {
        return;
    }
    let (server, repository) = (Sshd::start(""), Repository::new());
    let url = server.url(&repository.bare());
    for key in ["other_user", "locked_user", "nothing"] {
        let auth = Credentials { ssh_key: Some(server.file(key)), ..credentials(&server) };
        refused(&repository, &remote(&url, auth), Code::AUTH);
    }
}

#[test]
fn a23_the_environment_does_not_steer_ssh() {
    if is_left_out(NAME) {
        return;
    }
    let (server, repository) = (Sshd::start(""), Repository::new());
    let variables = [
        ("GIT_SSH_COMMAND", "false"),
        ("GIT_PROTOCOL", "version=2"),
        ("LD_PRELOAD", "/nonexistent.so"),
        ("SSH_ASKPASS", "/bin/false"),
        ("GIT_DIR", "/nonexistent"),
    ];
    let environment = variables.map(|(name, value)| (name.to_owned(), value.into())).to_vec();
    let auth = Credentials { environment, ..credentials(&server) };
    mirror(&repository).fetch(&remote(&server.url(&repository.bare()), auth), "main").expect("fetches");
}

#[test]
fn a17_what_is_gone_is_unreachable() {
    if is_left_out(NAME) {
        return;
    }
    let (mut server, repository) = (Sshd::start(""), Repository::new());
    let gone = remote(&server.url(&repository.root().join("gone.git")), credentials(&server));
    refused(&repository, &gone, Code::FETCH_NET);
    server.stop();
    refused(&repository, &remote(&server.url(&repository.bare()), credentials(&server)), Code::FETCH_NET);
}

#[test]
fn a26_empty_and_a28_foreign_repositories_are_named() {
    if is_left_out(NAME) {
        return;
    }
    let (server, repository) = (Sshd::start(""), Repository::new());
    let empty = repository.init("empty.git", &[]);
    refused(&repository, &remote(&server.url(&empty), credentials(&server)), Code::EMPTY_REPO);
    let sha256 = repository.init("sha256.git", &["--object-format=sha256"]);
    refused(&repository, &remote(&server.url(&sha256), credentials(&server)), Code::OBJECT_FORMAT);
}

#[test]
fn a13_a_server_that_never_answers_costs_no_more_than_the_deadline() {
    if is_left_out(NAME) {
        return;
    }
    program("ssh", "openssh-client", NAME);
    let (server, repository) = (Raw::start(b"", b""), Repository::new());
    let mut silent = remote(&format!("ssh://127.0.0.1:{}/x.git", server.port()), Credentials::default());
    silent.deadline = Duration::from_millis(1500);
    let begin = Instant::now();
    refused(&repository, &silent, Code::FETCH_TIMEOUT);
    assert!(begin.elapsed() < Duration::from_millis(3500), "{:?}", begin.elapsed());
}

#[test]
fn a12_a_server_that_stops_in_the_middle_costs_no_more_than_the_deadline() {
    if is_left_out(NAME) {
        return;
    }
    let (server, repository) = (Sshd::start("printf 00ff; exec sleep 1000"), Repository::new());
    let mut stalled = remote(&server.url(&repository.bare()), credentials(&server));
    stalled.deadline = Duration::from_secs(3);
    let begin = Instant::now();
    refused(&repository, &stalled, Code::FETCH_TIMEOUT);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(server.log().contains("Accepted publickey"), "{}", server.log());
    assert_eq!(n_clients(server.port()), 0, "ssh has ended");
}

/// Returns how many processes have this port among their arguments and are called ssh.
fn n_clients(port: u16) -> usize {
    let port = port.to_string();
    let processes = std::fs::read_dir("/proc").expect("reads").flatten();
    let commands = processes.filter_map(|it| std::fs::read(it.path().join("cmdline")).ok());
    commands
        .filter(|it| {
            let mut words = it.split(|byte| *byte == 0);
            words.next() == Some(b"ssh") && words.any(|it| it == port.as_bytes())
        })
        .count()
}
