//! Commands: an argument vector, never a shell; a process group of their own, a deadline, capped output, nothing
//! inherited.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How much of a command's output is kept, in bytes; the rest is read and thrown away.
pub const OUTPUT_MAX: usize = 32 * 1024;

/// How often the pipes are read once the command has ended: enough for pipes of a megabyte.
const DRAINS_MAX: usize = 128;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// The first [`OUTPUT_MAX`] bytes of both of its output streams, control characters escaped.
    pub output: String,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// It exited with this status.
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
    /// It did not end in time, and was killed with its process group.
    Timeout(Duration),
    /// It could not be started, or not be waited for.
    Broken(String),
}

impl Outcome {
    /// Returns whether the command exited with status 0.
    pub fn is_success(&self) -> bool {
        self.end == End::Exit(0)
    }

    /// Returns what happened as a fragment: `exited with status 1`.
    pub fn describe(&self) -> String {
        match &self.end {
            End::Exit(status) => format!("exited with status {status}"),
            End::Signal(signal) => format!("was ended by signal {signal}"),
            End::Timeout(within) => format!("did not end within {within:?} and was killed"),
            End::Broken(why) => format!("could not be run: {why}"),
        }
    }
}

/// Runs a command to its end, or to the deadline.
///
/// Its environment is `PATH` and `LANG` alone, its standard input is empty, its working directory is `/`.
pub fn run(argv: &[String], within: Duration) -> Outcome {
    let Some((program, args)) = argv.split_first() else {
        return Outcome { end: End::Broken("the command is empty".into()), output: String::new() };
    };
    let spawned = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    match spawned {
        Ok(mut child) => {
            let mut output = Vec::new();
            let end = wait(&mut child, Instant::now() + within, within, &mut output);
            Outcome { end, output: printable(&output) }
        }
        Err(error) => Outcome { end: End::Broken(format!("{program}: {error}")), output: String::new() },
    }
}

/// Drains the output until the process ends. A grandchild that holds the pipes open does not hold us up: the end of the
/// process itself decides, and its whole group is killed then.
fn wait(child: &mut Child, deadline: Instant, within: Duration, output: &mut Vec<u8>) -> End {
    let group = Pid::from_child(child);
    let pidfd = match rustix::process::pidfd_open(group, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(errno) => return End::Broken(errno.to_string()),
    };
    let mut pipes: Vec<Box<dyn Pipe>> = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        pipes.push(Box::new(stdout));
    }
    if let Some(stderr) = child.stderr.take() {
        pipes.push(Box::new(stderr));
    }
    let timed_out = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break true;
        }
        let (ended, readable) = ready(pidfd.as_fd(), &pipes, left);
        for idx in readable.into_iter().rev() {
            if !drain(pipes[idx].as_mut(), output) {
                pipes.remove(idx);
            }
        }
        if ended {
            break false;
        }
    };
    // Nothing of the command stays alive: its group is killed even when it ended well by itself.
    let _gone_already = rustix::process::kill_process_group(group, Signal::KILL);
    let status = child.wait();
    // What it wrote last is still in the pipes, whose size bounds it; a grandchild that got away may write for ever.
    for _ in 0..DRAINS_MAX {
        let (_, readable) = ready(pidfd.as_fd(), &pipes, Duration::ZERO);
        if readable.is_empty() {
            break;
        }
        for idx in readable.into_iter().rev() {
            if !drain(pipes[idx].as_mut(), output) {
                pipes.remove(idx);
            }
        }
    }
    match (timed_out, status) {
        (true, _) => End::Timeout(within),
        (false, Ok(status)) => end_of(status),
        (false, Err(error)) => End::Broken(error.to_string()),
    }
}

trait Pipe: Read {
    fn handle(&self) -> BorrowedFd<'_>;
}

impl<T: Read + AsFd> Pipe for T {
    fn handle(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

/// Waits until the process ends or a pipe can be read; returns whether it ended, and which pipes can be.
fn ready(pidfd: BorrowedFd<'_>, pipes: &[Box<dyn Pipe>], left: Duration) -> (bool, Vec<usize>) {
    let mut fds = vec![PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    fds.extend(pipes.iter().map(|it| PollFd::from_borrowed_fd(it.handle(), PollFlags::IN)));
    let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) => {
            let readable = fds[1..].iter().enumerate().filter(|it| !it.1.revents().is_empty()).map(|it| it.0);
            (!fds[0].revents().is_empty(), readable.collect())
        }
        Err(_) => (false, Vec::new()),
    }
}

/// Reads once; returns whether there may be more.
fn drain(pipe: &mut dyn Pipe, output: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 8192];
    match pipe.read(&mut buffer) {
        Ok(0) | Err(_) => false,
        Ok(n) => {
            let room = OUTPUT_MAX.saturating_sub(output.len());
            output.extend_from_slice(&buffer[..n.min(room)]);
            true
        }
    }
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exit(code),
        (None, Some(signal)) => End::Signal(signal),
        (None, None) => End::Broken("it ended in an unknown way".into()),
    }
}

/// Makes output safe to show on a terminal and in a log.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let escape = |it: char| {
        if it.is_control() && it != '\n' && it != '\t' { it.escape_default().to_string() } else { it.to_string() }
    };
    text.trim_end().chars().map(escape).collect()
}

/// Waits for a while, between two looks at something that gives no signal when it is ready.
pub fn pause(duration: Duration) {
    let timeout = Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: i64::from(duration.subsec_nanos()) };
    let _interrupted = poll(&mut [], Some(&timeout));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, within: Duration) -> Outcome {
        run(&["/bin/sh".into(), "-c".into(), script.into()], within)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn l02_a_command_that_hangs_is_killed_at_the_deadline() {
        let start = Instant::now();
        let outcome = sh("sleep 1000", Duration::from_millis(100));
        assert_eq!(outcome.end, End::Timeout(Duration::from_millis(100)));
        assert!(start.elapsed() < LONG);
    }

    #[test]
    fn l03_a_grandchild_that_keeps_the_output_open_is_killed() {
        let start = Instant::now();
        let outcome = sh("sleep 1000 & echo started", LONG);
        assert_eq!((outcome.end, outcome.output.as_str()), (End::Exit(0), "started"));
        assert!(start.elapsed() < LONG);
    }

    #[test]
    fn l04_output_is_capped_and_drained() {
        let outcome = sh("head -c 1000000 /dev/zero; printf '\\033[31m' >&2", LONG);
        assert!(outcome.is_success());
        assert!(!outcome.output.contains('\u{1b}') && !outcome.output.contains('\0'));
    }

    #[test]
    fn l04_what_is_said_last_is_heard() {
        let outcome = sh("x=$(head -c 25000 /dev/zero | tr '\\0' x); printf '%s\\nlast words' \"$x\"", LONG);
        assert!(outcome.output.ends_with("\nlast words"), "{} bytes", outcome.output.len());
    }

    #[test]
    fn l05_l06_nothing_is_inherited() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        let outcome = sh("cat; env | cut -d= -f1 | sort | tr '\\n' ' '; ls -l /proc/self/fd", LONG);
        assert!(outcome.output.starts_with("LANG PATH PWD "), "{}", outcome.output);
        assert!(!outcome.output.contains(secret.path().to_str().unwrap()), "{}", outcome.output);
    }

    #[test]
    fn l07_each_way_to_end_has_its_own_words() {
        assert_eq!(sh("exit 3", LONG).describe(), "exited with status 3");
        assert_eq!(sh("kill -9 $$", LONG).describe(), "was ended by signal 9");
        assert!(run(&["/no/such/program".into()], LONG).describe().starts_with("could not be run: /no/such/program"));
    }

    #[test]
    fn l10_arguments_never_meet_a_shell() {
        let outcome = run(&["/bin/echo".into(), "$(id); `id`\n|".into()], LONG);
        assert_eq!(outcome.output, "$(id); `id`\n|");
    }
}
