//! The process between us and a command: it holds nothing of ours, adopts whatever the command leaves behind, and ends it.

use super::cgroup::Cgroup;
use super::{End, bare, not_started};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

/// Runs one command, ends all that it left behind, and reports on the standard input, which is a socket.
///
/// This is the whole life of a process: it gives up its session, its inherited files and its umask.
pub fn supervise(argv: &[String]) {
    // Every step is an improvement of its own; none that fails is a reason not to run the command.
    let _leader_already = rustix::process::setsid();
    let _old_kernel = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    rustix::process::umask(Mode::from_raw_mode(0o022));
    close_fds::set_fds_cloexec(3, &[]);
    let end = match argv.split_first() {
        Some((program, args)) => attend(program, args),
        None => End::Broken("the command is empty".into()),
    };
    let report = serde_json::to_vec(&end).unwrap_or_default();
    // Nobody listens any more when the program that wanted to know is dead.
    let _unheard = rustix::io::write(rustix::stdio::stdin(), &report);
}

fn attend(program: &str, args: &[String]) -> End {
    let group = Cgroup::make();
    let is_inside = group.as_ref().is_some_and(Cgroup::enter);
    let spawned = bare(program)
        .args(args)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn();
    // Whoever cannot get out of the group again must not end it.
    let is_outside = !is_inside || group.as_ref().is_some_and(Cgroup::leave);
    let end = match spawned {
        Ok(child) => {
            let pid = Pid::from_child(&child);
            wait(pid);
            end_all(pid, group.as_ref().filter(|_| is_outside))
        }
        Err(error) => not_started(program, &error),
    };
    if let Some(group) = group {
        group.remove();
    }
    end
}

/// Waits until the command ends, or until the other end of our standard input is closed: at the deadline, or by the death
/// of the program that started us.
fn wait(command: Pid) {
    let Ok(pidfd) = rustix::process::pidfd_open(command, PidfdFlags::empty()) else { return };
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN), PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN)];
    while poll(&mut fds, None) == Err(Errno::INTR) {}
}

/// Kills the command and all its descendants, and returns how the command ended.
///
/// Descendants become our children when their parents die, so when we have no child any more there is no descendant: the
/// kernel says so, and nothing that forks meanwhile can be missed. A child that was not collected keeps its number, so a
/// signal never meets a stranger.
fn end_all(command: Pid, group: Option<&Cgroup>) -> End {
    let mut end = None;
    loop {
        if let Some(group) = group {
            group.kill();
        }
        let not_collected = if end.is_none() { Some(command) } else { None };
        for pid in children().into_iter().chain(not_collected) {
            let _ended_already = rustix::process::kill_process(pid, Signal::KILL);
        }
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == command => end = Some(end_of(status)),
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return end.unwrap_or_else(|| End::Host("it was collected by someone else".into())),
        }
    }
}

fn end_of(status: WaitStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Exit(code),
        (None, Some(signal)) => End::Signal(signal),
        (None, None) => End::Host("it ended in an unknown way".into()),
    }
}

/// Returns the children of this process, those that have ended but were not collected included.
fn children() -> Vec<Pid> {
    listed().unwrap_or_else(scanned)
}

/// Asks the kernel; some kernels are built without this list.
fn listed() -> Option<Vec<Pid>> {
    let text = fs::read_to_string("/proc/thread-self/children").ok()?;
    Some(text.split_ascii_whitespace().filter_map(|it| Pid::from_raw(it.parse().ok()?)).collect())
}

/// Looks at every process.
fn scanned() -> Vec<Pid> {
    let me = rustix::process::getpid().as_raw_nonzero().to_string();
    let parent_of = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // A name may hold anything; the state and the parent come after its last parenthesis.
        Some(stat.rsplit_once(") ")?.1.split(' ').nth(1)?.to_owned())
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|it| it.file_name().into_string().ok());
    all.filter(|it| parent_of(it).as_ref() == Some(&me)).filter_map(|it| Pid::from_raw(it.parse().ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l03_both_ways_to_find_children_find_them() {
        let mut child = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(scanned().contains(&pid));
        assert!(listed().is_none_or(|it| it.contains(&pid)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!scanned().contains(&pid));
    }
}
