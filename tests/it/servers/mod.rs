//! Real servers, each on a port of its own, which end with the test that started them.

pub mod files;
pub mod https;
pub mod raw;
pub mod repository;
pub mod sshd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);

/// Returns whether `server` is to be left out, because `HEADFAST_TESTS_WITHOUT` lists it.
pub fn is_left_out(server: &str) -> bool {
    let without = std::env::var_os("HEADFAST_TESTS_WITHOUT").unwrap_or_default();
    let is_left_out = without.to_string_lossy().split(',').any(|it| it.trim() == server);
    if is_left_out {
        #[allow(clippy::print_stderr)]
        {
            eprintln!("left out: this test needs {server}, and HEADFAST_TESTS_WITHOUT lists it");
        }
    }
    is_left_out
}

/// Returns the path of a program that a test cannot do without.
pub fn program(name: &str, package: &str, server: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    let found = folders.map(|it| it.join(name)).find(|it| it.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "`{name}` is not installed: install the package `{package}`, \
             or set HEADFAST_TESTS_WITHOUT={server} to leave these tests out"
        )
    })
}

/// A child process that is killed, with the processes that it started, when the test ends.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a program whose output goes to a file in `dir`.
    pub fn start(mut command: Command, dir: &Path, name: &str) -> Server {
        let log = dir.join(format!("{name}.log"));
        let output = std::fs::File::create(&log).expect("makes a log");
        let errors = output.try_clone().expect("shares the log");
        // A group of its own: fcgiwrap and nginx leave the ending of their workers to others.
        command.process_group(0).stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().expect("starts");
        Server { child, log }
    }

    /// Waits until `is_ready`, for as long as the program runs; returns whether it came to that.
    pub fn wait(&mut self, is_ready: impl Fn() -> bool) -> bool {
        let pid = Pid::from_raw(self.child.id() as i32).expect("has an id");
        let handle = pidfd_open(pid, PidfdFlags::empty()).expect("linux 5.3");
        let until = Instant::now() + START;
        while Instant::now() < until {
            if is_ready() {
                return true;
            }
            let pause = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
            let has_ended = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&pause)).is_ok_and(|n| n > 0);
            if has_ended {
                return false;
            }
        }
        false
    }

    /// Returns what the program said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id() as i32).expect("has an id");
        let _ = kill_process_group(group, Signal::TERM);
        self.wait(|| false);
        // As long as the child is not waited for, nobody else can have its id.
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Returns a port that the kernel says is free. Another process may take it before it is used: try again then.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds");
    listener.local_addr().expect("has an address").port()
}

/// Returns whether somebody answers at a port of this host.
pub fn answers(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// Runs a program to its end and returns what it printed; panics with its complaint when it fails.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
