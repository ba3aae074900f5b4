//! A child process that speaks git's protocol over its standard input and output, and that ends at the deadline.
//!
//! All waiting is in `poll` with the time that is left, so no second thread has to watch the child.

use super::{Call, Error, one_line, refuse_object_format};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a child may take to go once it has nothing more to say.
const GRACE: Duration = Duration::from_secs(2);
/// How long the remote's hooks may go on after a push. One that waits for us would wait for ever.
const PUSH_GRACE: Duration = Duration::from_secs(30);

/// What to run.
pub(super) struct Plan {
    pub(super) program: &'static str,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(String, OsString)>,
    /// The user and group to run as, when this process may choose and should.
    pub(super) run_as: Option<(u32, u32)>,
    /// Judges why the child ended too early.
    pub(super) judge: fn(&Call, Option<ExitStatus>, &str) -> Error,
}

/// The running child.
pub(super) struct Stream {
    call: Arc<Call>,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    stderr_tail: Vec<u8>,
    n_read: usize,
    judge: fn(&Call, Option<ExitStatus>, &str) -> Error,
}

impl Stream {
    pub(super) fn start(plan: Plan, call: &Arc<Call>) -> Result<Stream, Error> {
        let mut command = Command::new(plan.program);
        command.args(&plan.arguments).env_clear().envs(plan.environment).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that what the child starts (a ProxyCommand, a hook) ends with it.
        command.process_group(0);
        if let Some((user, group)) = plan.run_as {
            command.uid(user).gid(group);
        }
        let failed = |error: &dyn std::fmt::Display| call.git(format!("cannot run `{}`: {error}", plan.program));
        let mut child = command.spawn().map_err(|it| match it.kind() {
            ErrorKind::NotFound => call.git(format!("the program `{}` is not installed", plan.program)),
            _ => failed(&it),
        })?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(failed(&"no pipes"));
        };
        for pipe in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
            let set = fcntl_getfl(pipe).and_then(|flags| fcntl_setfl(pipe, flags | OFlags::NONBLOCK));
            set.map_err(|it| failed(&it))?;
        }
        Ok(Stream {
            call: Arc::clone(call),
            child,
            stdin: Some(stdin),
            stdout,
            stderr: Some(stderr),
            stderr_tail: Vec::new(),
            n_read: 0,
            judge: plan.judge,
        })
    }

    /// Waits until the child takes or gives bytes, until it complains, or until the deadline.
    fn wait(&mut self, for_write: bool) -> io::Result<()> {
        let Some(left) = self.call.remaining() else {
            return Err(io::Error::new(ErrorKind::TimedOut, "the deadline has passed"));
        };
        let awaited = match (&self.stdin, for_write) {
            (Some(stdin), true) => PollFd::new(stdin, PollFlags::OUT),
            _ => PollFd::new(&self.stdout, PollFlags::IN),
        };
        let mut fds = vec![awaited];
        if let Some(stderr) = &self.stderr {
            fds.push(PollFd::new(stderr, PollFlags::IN));
        }
        match poll(&mut fds, timespec(left).as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.hear();
        Ok(())
    }

    /// Takes what the child complains about, so that it never waits for us to listen.
    fn hear(&mut self) {
        let Some(stderr) = self.stderr.as_mut() else { return };
        let mut buffer = [0; 4096];
        loop {
            match stderr.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    self.call.hear(&buffer[..n]);
                    self.stderr_tail.extend_from_slice(&buffer[..n]);
                    let n_over = self.stderr_tail.len().saturating_sub(super::SAID_LIMIT);
                    self.stderr_tail.drain(..n_over);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => break,
            }
        }
        self.stderr = None;
    }

    /// Finds out why the child has closed its output in the middle of the conversation.
    fn explain(&mut self) {
        self.stdin = None;
        let status = self.wait_for_exit(GRACE);
        self.hear();
        let said = one_line(&self.stderr_tail);
        self.call.fail((self.judge)(&self.call, status, &said));
    }

    /// Waits for the child's end for at most `longest`, and never past the deadline.
    fn wait_for_exit(&mut self, longest: Duration) -> Option<ExitStatus> {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32)
            && let Ok(handle) = pidfd_open(pid, PidfdFlags::empty())
        {
            let left = self.call.deadline.saturating_duration_since(Instant::now());
            wait_readable(handle.as_fd(), longest.min(left));
        }
        self.child.try_wait().ok().flatten()
    }

    /// Reads to the end what is still said, because a server ends its hooks when nobody listens any more.
    fn drain(&mut self, longest: Duration) {
        let until = self.call.deadline.min(Instant::now() + longest);
        let mut buffer = [0; 4096];
        loop {
            match self.stdout.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() || !wait_readable(self.stdout.as_fd(), left) {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stdout.read(buffer) {
                Ok(0) => {
                    self.explain();
                    return Ok(0);
                }
                Ok(n) => {
                    refuse_object_format(&self.call, self.n_read, &buffer[..n]);
                    self.n_read += n;
                    return Ok(n);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(false)?,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let Some(stdin) = self.stdin.as_mut() else { return Err(ErrorKind::BrokenPipe.into()) };
            match stdin.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(true)?,
                Err(error) => {
                    self.explain();
                    return Err(error);
                }
                Ok(n) => return Ok(n),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stdin = None;
        if !self.call.has_failed() {
            self.drain(if self.call.is_push { PUSH_GRACE } else { GRACE });
            self.wait_for_exit(GRACE);
        }
        if let Ok(None) = self.child.try_wait()
            && let Some(group) = Pid::from_raw(self.child.id() as i32)
        {
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn wait_readable(fd: BorrowedFd<'_>, longest: Duration) -> bool {
    let until = Instant::now() + longest;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        match poll(&mut fds, timespec(left).as_ref()) {
            Ok(n) => return n > 0,
            Err(rustix::io::Errno::INTR) if !left.is_zero() => {}
            Err(_) => return false,
        }
    }
}

fn timespec(duration: Duration) -> Option<Timespec> {
    Timespec::try_from(duration).ok()
}
