//! A daemon to test with.

use crate::host::TestHost;
use rustix::process::{Pid, Signal};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a test waits for something that should come at once.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running agent, which is killed when the test ends before it.
pub struct Agent {
    child: Child,
    log: Receiver<String>,
}

impl Agent {
    /// Starts the agent of a host.
    pub fn start(host: &TestHost) -> Agent {
        Agent::start_from(Path::new(env!("CARGO_BIN_EXE_headfast")), host)
    }

    /// Starts it from another copy of the program.
    pub fn start_from(program: &Path, host: &TestHost) -> Agent {
        let mut child = Command::new(program)
            .args(["agent", "--config"])
            .arg(host.path("agent.yaml"))
            .env_clear()
            .envs(std::env::var_os("PATH").map(|it| ("PATH", it)))
            .env("HOME", host.path(""))
            .env("NOTIFY_SOCKET", host.path("notify"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, log) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Agent { child, log }
    }

    /// Waits for a line of the log that holds a text.
    #[track_caller]
    pub fn says(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while let Ok(line) = self.log.recv_timeout(until.saturating_duration_since(Instant::now())) {
            let found = line.contains(text);
            seen.push(line);
            if found {
                return;
            }
        }
        panic!("{text:?} is not in the log: {seen:#?}");
    }

    /// Returns the number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, as `kill -9` and power cuts do.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal.
    pub fn send(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end, and returns its exit code.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Asks it to stop, and returns its exit code.
    pub fn stop(self) -> Option<i32> {
        self.send(Signal::TERM);
        self.wait()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A place in an action where the test has it wait: whoever comes there stays until the test lets it go on.
pub struct Gate {
    reached: PathBuf,
    lock: File,
}

impl Gate {
    /// Makes a closed gate in the host's folder.
    pub fn new(host: &TestHost) -> Gate {
        let reached = host.path("gate.reached");
        rustix::fs::mknodat(rustix::fs::CWD, &reached, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let gate = Gate { reached, lock: File::create(host.path("gate.lock")).unwrap() };
        gate.close();
        gate
    }

    /// The argv of an action that waits at the gate when the live file `a` says so.
    pub const COMMAND: &str =
        "[/bin/sh, -c, 'if grep -q wait @LIVE@/a; then echo > @DIR@/gate.reached; flock -s @DIR@/gate.lock true; fi']";

    /// Waits until someone is at the gate.
    pub fn reached(&self) {
        assert_eq!(fs::read_to_string(&self.reached).unwrap(), "\n");
    }

    /// Lets whoever is or comes to the gate go on.
    pub fn open(&self) {
        self.lock.unlock().unwrap();
    }

    /// Has whoever comes to the gate wait again.
    pub fn close(&self) {
        self.lock.lock().unwrap();
    }
}
