//! Commands: an argument vector, never a shell; a session of their own, a deadline, capped output, nothing inherited, and
//! nothing of them left alive.
//!
//! A command does not run as our own child but under a [`supervisor`], which is this program once more, with one command
//! to care for. Whatever the command leaves behind becomes the supervisor's child, however often it forked and whichever
//! session it went to, so that all of it can be ended; and when we die, the supervisor sees our end of a socket close and
//! ends everything too. A program that uses this crate as a library is no supervisor: there the command's process group
//! is ended, and a descendant that left it lives on.

mod cgroup;
pub mod supervisor;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How much of a command's output is kept, in bytes; the rest is read and thrown away.
pub const OUTPUT_MAX: usize = 32 * 1024;

/// How much is read at once: as much as a pipe holds, unless someone made it larger.
const READ: usize = 64 * 1024;

/// How often the pipes are read once the command has ended: enough for pipes of a megabyte.
const DRAINS_MAX: usize = 32;

/// How long a supervisor may take to end what its command left behind. Only a process that the kernel itself holds, for
/// example in a dead network file system, needs more than a moment.
const ENDING_MAX: Duration = Duration::from_secs(10);

/// How long a supervisor's report may be, in bytes.
const REPORT_MAX: u64 = 4096;

/// The program that supervises commands, when there is one.
static SUPERVISOR: OnceLock<PathBuf> = OnceLock::new();

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
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It exited with this status.
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
    /// It did not end in time, and was killed with all that it had started.
    Timeout(Duration),
    /// There is no such program, or it is none.
    Broken(String),
    /// The host could not run it, which says nothing about it.
    Host(String),
    /// systemd is not there to be asked.
    NoSystemd,
    /// There was nothing to do.
    NotNeeded,
}

/// Whose fault it is that an action failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The program's, or of what it looked at.
    Action,
    /// The host's, which could not run it.
    Host,
    /// systemd's, which is not running or cannot be reached.
    Systemd,
}

impl Outcome {
    /// Returns the outcome of a command that was not run.
    pub(super) fn of(end: End) -> Outcome {
        Outcome { end, output: String::new() }
    }

    /// Returns whether the command exited with status 0, or was not needed.
    pub fn is_success(&self) -> bool {
        matches!(self.end, End::Exit(0) | End::NotNeeded)
    }

    /// Returns whose fault it is when this is no success.
    pub fn fault(&self) -> Fault {
        match self.end {
            End::Host(_) => Fault::Host,
            End::NoSystemd => Fault::Systemd,
            _ => Fault::Action,
        }
    }

    /// Returns what happened as a fragment: `exited with status 1`.
    pub fn describe(&self) -> String {
        match &self.end {
            End::Exit(status) => format!("exited with status {status}"),
            End::Signal(signal) => format!("was ended by signal {signal}"),
            End::Timeout(within) => format!("did not end within {within:?} and was killed"),
            End::Broken(why) => format!("could not be run: {why}"),
            End::Host(why) => format!("could not be run on this host: {why}"),
            End::NoSystemd => "could not be asked of systemd, which is not running or cannot be reached".into(),
            End::NotNeeded => "was not needed".into(),
        }
    }
}

/// Names the program that is started once more, with the hidden verb `action`, to supervise each command. The first call
/// counts.
pub fn supervise_with(program: &Path) {
    SUPERVISOR.get_or_init(|| program.to_owned());
}

/// Runs a command to its end, or to the deadline.
///
/// Its environment is `PATH` and `LANG` alone, its standard input is empty, its working directory is `/`. When `asker` is a
/// socket whose other end closes, nobody wants to know any more, and the command is ended.
pub fn run(argv: &[String], within: Duration, asker: Option<BorrowedFd<'_>>) -> Outcome {
    let Some((program, args)) = argv.split_first() else {
        return Outcome::of(End::Broken("the command is empty".into()));
    };
    let spawned = match SUPERVISOR.get() {
        Some(supervisor) => supervised(supervisor, argv),
        None => bare(program).args(args).process_group(0).stdin(Stdio::null()).spawn().map(|it| (it, None)),
    };
    match spawned {
        Ok((child, line)) => {
            let mut running = Running { child, line, asker, pipes: Vec::new(), output: Vec::new() };
            let end = running.end_within(within);
            Outcome { end, output: printable(&running.output) }
        }
        Err(error) => Outcome::of(not_started(program, &error)),
    }
}

/// Starts a supervisor, and returns our end of the socket between us: when it closes, the supervisor ends the command.
fn supervised(supervisor: &Path, argv: &[String]) -> std::io::Result<(Child, Option<UnixStream>)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = bare(supervisor);
    command.arg0("headfast").args(["action", "--"]).args(argv).stdin(OwnedFd::from(theirs));
    let child = command.spawn().map_err(|error| std::io::Error::other(format!("the supervisor: {error}")))?;
    Ok((child, Some(ours)))
}

/// Returns a command with the fixed environment, whose output comes to us.
fn bare(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Returns whose fault it is that a program could not be started: its own, or the host's.
fn not_started(program: &str, error: &std::io::Error) -> End {
    const ENOEXEC: i32 = rustix::io::Errno::NOEXEC.raw_os_error();
    let why = format!("{program}: {error}");
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::NotADirectory | ErrorKind::InvalidInput => {
            End::Broken(why)
        }
        _ if error.raw_os_error() == Some(ENOEXEC) => End::Broken(why),
        _ => End::Host(why),
    }
}

/// A command, or the supervisor of one.
struct Running<'a> {
    asker: Option<BorrowedFd<'a>>,
    child: Child,
    line: Option<UnixStream>,
    pipes: Vec<Box<dyn Pipe>>,
    output: Vec<u8>,
}

impl Running<'_> {
    /// Drains the output until the process ends. A grandchild that holds the pipes open does not hold us up: the end of
    /// the process itself decides, and all that it left behind is killed then.
    fn end_within(&mut self, within: Duration) -> End {
        let pid = Pid::from_child(&self.child);
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(errno) => {
                let _its_end_says_nothing = self.kill(pid);
                return End::Host(errno.to_string());
            }
        };
        self.pipes.extend(self.child.stdout.take().map(|it| Box::new(it) as Box<dyn Pipe>));
        self.pipes.extend(self.child.stderr.take().map(|it| Box::new(it) as Box<dyn Pipe>));
        let in_time = self.drain_until(Instant::now() + within, pidfd.as_fd());
        let is_deserted = !in_time && self.is_deserted();
        self.asker = None;
        if let (false, Some(line)) = (in_time, &self.line) {
            // The supervisor takes it from here.
            let _gone_already = line.shutdown(Shutdown::Write);
            self.drain_until(Instant::now() + ENDING_MAX, pidfd.as_fd());
        }
        let status = self.kill(pid);
        // What it wrote last is still in the pipes, whose size bounds it; a grandchild that got away may write for ever.
        for _ in 0..DRAINS_MAX {
            if !self.drain_ready(pidfd.as_fd(), Duration::ZERO).1 {
                break;
            }
        }
        match (in_time, status) {
            (false, _) if is_deserted => End::Host("nobody waits for it any more".into()),
            (false, _) => End::Timeout(within),
            (true, Err(error)) => End::Host(error.to_string()),
            (true, Ok(status)) => match &self.line {
                Some(line) => reported(line, status),
                None => end_of(status),
            },
        }
    }

    /// Sees to it that nothing stays alive, and collects the process.
    fn kill(&mut self, pid: Pid) -> std::io::Result<ExitStatus> {
        let _gone_already = match self.line {
            // It has ended by itself, or hangs; then its children become ours or init's, and only the cgroup holds them.
            Some(_) => rustix::process::kill_process(pid, Signal::KILL),
            None => rustix::process::kill_process_group(pid, Signal::KILL),
        };
        let status = self.child.wait();
        if self.line.is_some() {
            cgroup::end(pid);
        }
        status
    }

    /// Reads until the process has ended, and returns whether it did before the deadline.
    fn drain_until(&mut self, deadline: Instant, pidfd: BorrowedFd<'_>) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_deserted() {
                return false;
            }
            if self.drain_ready(pidfd, left).0 {
                return true;
            }
        }
    }

    /// Returns whether whoever asked for the command has gone.
    fn is_deserted(&self) -> bool {
        let Some(asker) = self.asker else { return false };
        let mut fds = [PollFd::from_borrowed_fd(asker, PollFlags::RDHUP)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|n| n > 0)
    }

    /// Waits until the process ends or there is output, and reads that once; returns whether it ended, and whether there
    /// was something to read.
    fn drain_ready(&mut self, pidfd: BorrowedFd<'_>, left: Duration) -> (bool, bool) {
        let (ended, readable) = ready(pidfd, self.asker, &self.pipes, left);
        for idx in readable.iter().rev() {
            if !drain(self.pipes[*idx].as_mut(), &mut self.output) {
                self.pipes.remove(*idx);
            }
        }
        (ended, !readable.is_empty())
    }
}

/// Reads how the command ended from the supervisor's report.
fn reported(line: &UnixStream, status: ExitStatus) -> End {
    let mut report = Vec::new();
    // A descendant cannot hold the other end open, as it has never had it.
    let read = line.take(REPORT_MAX).read_to_end(&mut report);
    match read.ok().and_then(|_| serde_json::from_slice(&report).ok()) {
        Some(end) => end,
        None => End::Host(format!("its supervisor said nothing and {}", Outcome::of(end_of(status)).describe())),
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
fn ready(
    pidfd: BorrowedFd<'_>,
    asker: Option<BorrowedFd<'_>>,
    pipes: &[Box<dyn Pipe>],
    left: Duration,
) -> (bool, Vec<usize>) {
    let mut fds = vec![PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    fds.extend(pipes.iter().map(|it| PollFd::from_borrowed_fd(it.handle(), PollFlags::IN)));
    // It only wakes us up.
    fds.extend(asker.map(|it| PollFd::from_borrowed_fd(it, PollFlags::RDHUP)));
    let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) => {
            let readable =
                fds[1..][..pipes.len()].iter().enumerate().filter(|it| !it.1.revents().is_empty()).map(|it| it.0);
            (!fds[0].revents().is_empty(), readable.collect())
        }
        Err(_) => (false, Vec::new()),
    }
}

/// Reads once; returns whether there may be more.
fn drain(pipe: &mut dyn Pipe, output: &mut Vec<u8>) -> bool {
    let mut buffer = [0; READ];
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

/// Makes output safe to show on a terminal and in a log. It may grow by that, but not beyond the limit.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for it in String::from_utf8_lossy(bytes).trim_end().chars() {
        if text.len() >= OUTPUT_MAX {
            break;
        }
        match it.is_control() && it != '\n' && it != '\t' {
            true => text.extend(it.escape_default()),
            false => text.push(it),
        }
    }
    text
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
        run(&["/bin/sh".into(), "-c".into(), script.into()], within, None)
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
    fn l09_a_command_ends_when_whoever_asked_for_it_goes_away() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        let argv = ["/bin/sleep", "1000"].map(str::to_owned);
        assert_eq!(run(&argv, LONG, Some(theirs.as_fd())).end, End::Host("nobody waits for it any more".into()));
    }

    #[test]
    fn l04_output_is_capped_and_drained() {
        let outcome = sh("head -c 1000000 /dev/zero; printf '\\033[31m' >&2", LONG);
        assert!(outcome.is_success());
        assert!(!outcome.output.contains('\u{1b}') && !outcome.output.contains('\0'));
        assert!(outcome.output.len() < OUTPUT_MAX + 16, "{} bytes", outcome.output.len());
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
        assert!(
            run(&["/no/such/program".into()], LONG, None).describe().starts_with("could not be run: /no/such/program")
        );
    }

    #[test]
    fn l10_arguments_never_meet_a_shell() {
        let outcome = run(&["/bin/echo".into(), "$(id); `id`\n|".into()], LONG, None);
        assert_eq!(outcome.output, "$(id); `id`\n|");
    }
}
