//! What goes where, and how: streams, pipes, colours.

use crate::host::TestHost;
use std::io::Read;
use std::process::{Command, Stdio};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headfast"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

#[test]
fn nobody_reading_is_no_failure() {
    let mut child = program(&["markdown-help"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!((child.wait().unwrap().code(), complaint.as_str()), (Some(0), ""));
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = program(&["markdown-help"]).stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot write the output"));
}

#[test]
fn colours_are_for_those_who_see_them() {
    let host = TestHost::with(&[("files/a", "a")]);
    let config = host.path("agent.yaml");
    let status = |variable: Option<(&str, &str)>| {
        let mut command = program(&["status", "--config"]);
        let output = command.arg(&config).envs(variable).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!status(None).contains('\u{1b}'), "a pipe is no terminal");
    assert!(status(Some(("CLICOLOR_FORCE", "1"))).contains('\u{1b}'));
    assert!(!status(Some(("NO_COLOR", "1"))).contains('\u{1b}'));
}

#[test]
fn data_is_on_stdout_and_everything_else_on_stderr() {
    let host = TestHost::with(&[("files/a", "a")]);
    for verb in [&["status", "--json"][..], &["history", "--json"], &["show", "1", "--json"], &["plan", "--json"]] {
        let output = host.run(verb).ends(0);
        assert_eq!((output.json()["version"].as_u64(), output.stderr.as_str()), (Some(1), ""), "{verb:?}");
    }
    std::fs::write(host.path("live/a"), "edited").unwrap();
    let healed = host.run(&["drift", "--heal", "--json"]).ends(0);
    assert_eq!(healed.json()["drift"][0]["kind"], "modified");
    assert!(healed.stderr.contains("is back in production"), "{}", healed.stderr);
}

#[test]
fn an_agent_yaml_that_is_not_there_is_named() {
    let host = TestHost::new();
    std::fs::remove_file(host.path("agent.yaml")).unwrap();
    for verb in ["sync", "status", "drift", "agent"] {
        host.run(&[verb]).ends(2).says(&["E_CONFIG", "agent.yaml", "--config"]);
    }
}
