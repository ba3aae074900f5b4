//! Signals and a new program while a deployment is under way: what has begun is ended well, or by the next pass.

use crate::agent::heard;
use crate::daemon::{Agent, PATIENCE};
use crate::host::{MANIFEST, TRANSACTION_PID, TestHost};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// The action says who runs it, and waits.
struct Held {
    host: TestHost,
    tip: String,
    started: File,
    go: File,
}

/// Who runs an action.
struct Running {
    transaction: Pid,
    action: Pid,
}

impl Held {
    /// A host whose second commit is deployed with an action that waits until it is let go.
    fn new(action: &str) -> Held {
        let host = TestHost::with(&[("files/a", "old\n")]);
        let (started, go) = (fifo(&host.path("started")), fifo(&host.path("go")));
        let script = format!("echo {TRANSACTION_PID} $$ > @DIR@/started; read line < @DIR@/go");
        let manifest = format!("{MANIFEST}    {action}: [{{command: [/bin/sh, -c, '{script}'], within: 10m}}]\n");
        let tip = host.commit(&[("headfast.yaml", &manifest), ("files/a", "new\n")]);
        Held { host, tip, started, go }
    }

    /// Waits until the action runs.
    fn wait(&mut self) -> Running {
        wait_for(&self.started);
        let mut text = [0; 100];
        let n = self.started.read(&mut text).unwrap();
        let text = std::str::from_utf8(&text[..n]).unwrap();
        let mut pids = text.split_whitespace().map(|it| Pid::from_raw(it.parse().unwrap()).unwrap());
        Running { transaction: pids.next().unwrap(), action: pids.next().unwrap() }
    }

    /// Lets as many actions go on.
    fn release(&mut self, n: usize) {
        self.go.write_all("go\n".repeat(n).as_bytes()).unwrap();
    }

    fn sync(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_headfast"))
            .args(["sync", "--config"])
            .arg(self.host.path("agent.yaml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The new files are there, and the host says so.
    #[track_caller]
    fn is_new(&self) {
        assert_eq!(self.host.live("a"), "new\n");
        let status = self.host.run(&["status", "--json"]).ends(0).json();
        assert_eq!(status["repositories"][0]["revision"], self.tip.as_str());
        let history = self.host.run(&["history"]).ends(0);
        assert!(history.stdout.lines().next().is_some_and(|it| it.contains("success")), "{}", history.stdout);
    }
}

/// Makes a pipe with a name. It is open at both ends, so that nobody waits for the other side to open it.
fn fifo(path: &Path) -> File {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    File::options().read(true).write(true).open(path).unwrap()
}

/// Waits until something can be read, or a process has ended.
#[track_caller]
fn wait_for(what: &impl AsFd) {
    let patience = Timespec::try_from(PATIENCE).unwrap();
    assert_eq!(poll(&mut [PollFd::new(what, PollFlags::IN)], Some(&patience)), Ok(1));
}

/// Stops a process and waits until it stands still.
fn stop(pid: Pid) {
    kill_process(pid, Signal::STOP).unwrap();
    let until = Instant::now() + PATIENCE;
    let is_stopped = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
        stat.rsplit_once(") ").is_some_and(|it| it.1.starts_with('T'))
    };
    while !is_stopped() {
        assert!(Instant::now() < until, "it does not stop");
        std::thread::yield_now();
    }
}

#[test]
fn i21_a_program_that_is_replaced_ends_what_it_began() {
    let mut held = Held::new("check");
    let program = held.host.path("bin/headfast");
    fs::create_dir(held.host.path("bin")).unwrap();
    // Programs are written by processes of their own: a handle of ours for writing could be inherited by another test's
    // child, and then nobody may run them.
    crate::servers::run(Command::new("cp").args([Path::new(env!("CARGO_BIN_EXE_headfast")), &program]));
    let agent = Agent::start_from(&program, &held.host);
    held.wait();

    let script = format!("#!/bin/sh\necho the new program\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_headfast"));
    fs::write(held.host.path("script"), script).unwrap();
    let replace = "cp script bin/new && chmod 755 bin/new && mv bin/new bin/headfast";
    crate::servers::run(Command::new("sh").args(["-c", replace]).current_dir(held.host.path("")));
    held.release(1);
    agent.says("success");
    assert_eq!(held.host.live("a"), "new\n");
    // Also what starts later, as long as this agent lives.
    held.host.commit(&[("files/a", "newer\n")]);
    held.wait();
    held.release(1);
    agent.says("success");
    assert_eq!(held.host.live("a"), "newer\n");
    agent.send(Signal::TERM);
    assert_eq!(agent.wait(), Some(0));

    let config = held.host.path("agent.yaml");
    let output = Command::new(&program).args(["sync", "--config"]).arg(config).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("the new program") && said.contains("nothing to do"), "{said}");
}

#[test]
fn i22_an_agent_that_is_told_to_stop_finishes_its_deployment() {
    for action in ["check", "reload"] {
        let mut held = Held::new(action);
        let systemd = UnixDatagram::bind(held.host.path("notify")).unwrap();
        systemd.set_read_timeout(Some(PATIENCE)).unwrap();
        let agent = Agent::start(&held.host);
        held.wait();
        agent.send(Signal::TERM);
        heard(&systemd, "STOPPING=1");
        // Being told twice changes nothing.
        agent.send(Signal::TERM);
        held.release(1);
        assert_eq!(agent.wait(), Some(0), "{action}");
        held.is_new();
    }
}

#[test]
fn i22_a_sync_that_is_interrupted_is_gone_on_with_by_the_next_verb() {
    for action in ["check", "reload"] {
        for signal in [Signal::TERM, Signal::INT] {
            let mut held = Held::new(action);
            let mut sync = held.sync();
            held.wait();
            kill_process(Pid::from_child(&sync), signal).unwrap();
            assert_eq!(sync.wait().unwrap().signal(), Some(signal.as_raw()), "{action}");
            // One for the action that may not have been ended yet, and one for the next.
            held.release(2);
            let status = held.host.run(&["status"]).ends(0);
            match action {
                "check" => {
                    status.says(&["cut short before its switch"]);
                    assert_eq!(held.host.live("a"), "old\n");
                }
                _ => {
                    status.says(&["cut short after its switch", "success"]);
                }
            }
            held.release(1);
            held.host.run(&["sync"]).ends(0);
            held.is_new();
        }
    }
}

#[test]
fn i23_processes_that_are_stopped_go_on() {
    for action in ["check", "reload"] {
        let mut held = Held::new(action);
        let mut sync = held.sync();
        let running = held.wait();
        let agent = Pid::from_child(&sync);
        let ended = pidfd_open(running.action, PidfdFlags::empty()).unwrap();
        stop(agent);
        stop(running.transaction);
        // The action ends while nobody looks.
        held.release(1);
        wait_for(&ended);
        for pid in [agent, running.transaction] {
            kill_process(pid, Signal::CONT).unwrap();
        }
        assert_eq!(sync.wait().unwrap().code(), Some(0), "{action}");
        held.is_new();
    }
}
