//! What a command costs.

use std::process::{Command, Stdio};
use std::time::Instant;

/// What one run took.
#[derive(Clone, Copy)]
pub struct Cost {
    /// Seconds.
    pub wall: f64,
    /// Seconds of user and system time, of the command and of what it waited for.
    pub cpu: f64,
    /// The most memory that it held at once, in MiB.
    pub mebibytes: f64,
}

impl Cost {
    /// Returns the median of each figure.
    pub fn median(costs: Vec<Cost>) -> Cost {
        let median = |figure: fn(&Cost) -> f64| {
            let mut all: Vec<f64> = costs.iter().map(figure).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        Cost { wall: median(|it| it.wall), cpu: median(|it| it.cpu), mebibytes: median(|it| it.mebibytes) }
    }
}

/// Runs a command, which must succeed.
#[expect(clippy::zombie_processes, reason = "it is waited for, by its id")]
pub fn measure(command: &mut Command) -> Cost {
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (status, usage) = wait(child.id());
    let wall = start.elapsed().as_secs_f64();
    assert_eq!(status, 0, "{command:?} failed");
    let seconds = |it: libc::timeval| it.tv_sec as f64 + it.tv_usec as f64 / 1e6;
    let cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    Cost { wall, cpu, mebibytes: usage.ru_maxrss as f64 / 1024.0 }
}

/// Waits for a child, and returns what wait4(2) tells of it.
#[expect(unsafe_code, reason = "no safe interface tells what one child used")]
fn wait(pid: u32) -> (i32, libc::rusage) {
    let mut status = 0;
    // SAFETY: a usage is plain numbers, for which zeros are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values that live longer than the call, and nobody else waits for this child.
    let waited = unsafe { libc::wait4(i32::try_from(pid).unwrap(), &raw mut status, 0, &raw mut usage) };
    assert_eq!(waited, i32::try_from(pid).unwrap(), "the child is ours");
    (status, usage)
}
