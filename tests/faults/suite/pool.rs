//! Work that is shared between processes: a child must have one thread when it is forked, so these are no threads.

#![allow(unsafe_code, reason = "fork has no safe form")]

use super::cases::Case;
use super::table::Tally;
use super::verdict::Seen;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Where a worker works.
pub struct Bench {
    /// A directory of its own, in memory where possible.
    pub base: PathBuf,
    seen: RefCell<HashMap<String, Seen>>,
}

impl Bench {
    /// Works in a directory that exists.
    pub fn new(base: PathBuf) -> Bench {
        Bench { base, seen: RefCell::default() }
    }

    /// Returns the states that this worker has met with a case.
    pub fn seen(&self, case: &Case) -> Seen {
        Rc::clone(self.seen.borrow_mut().entry(format!("{:?} {}", case.publish, case.name)).or_default())
    }
}

type Work = dyn Fn(&Bench) -> Vec<Tally>;

/// A piece of work.
pub struct Unit(Box<Work>);

impl Unit {
    /// Wraps what is to be done.
    pub fn new(work: impl Fn(&Bench) -> Vec<Tally> + 'static) -> Unit {
        Unit(Box::new(work))
    }
}

/// Does all units in `workers` processes and returns their results in the order of the units.
pub fn run(units: &[Unit], base: &Path, workers: usize) -> Vec<Tally> {
    // SAFETY: an atomic number.
    let next: &AtomicUsize = unsafe { super::memory::shared() };
    let children: Vec<libc::pid_t> = (0..workers).map(|idx| start(idx, units, base, next)).collect();
    let mut parts: Vec<(usize, Vec<Tally>)> = Vec::new();
    for (idx, pid) in children.into_iter().enumerate() {
        let mut status = 0;
        // SAFETY: waits for a child of ours.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        let text = std::fs::read_to_string(results(base, idx)).unwrap_or_default();
        parts.extend(text.lines().filter_map(|it| serde_json::from_str::<(usize, Vec<Tally>)>(it).ok()));
    }
    // A worker that died has left out what it had begun.
    let missing: Vec<usize> = (0..units.len()).filter(|idx| !parts.iter().any(|it| it.0 == *idx)).collect();
    assert!(missing.is_empty(), "a worker died in one of the units {missing:?} of {}", units.len());
    parts.sort_by_key(|it| it.0);
    parts.into_iter().flat_map(|it| it.1).collect()
}

/// Does `work` in a process of its own, and returns what it says.
pub fn apart(base: &Path, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let said = base.join("said");
    std::fs::remove_file(&said).ok();
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        0 => {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                std::fs::write(&said, work().err().unwrap_or_default())
            }));
            // SAFETY: ends the child without running what belongs to its parent.
            unsafe { libc::_exit(i32::from(!matches!(done, Ok(Ok(()))))) }
        }
        pid => {
            let mut status = -1;
            // SAFETY: waits for a child of ours.
            unsafe { libc::waitpid(pid, &raw mut status, 0) };
        }
    }
    match std::fs::read_to_string(&said) {
        Ok(text) if text.is_empty() => Ok(()),
        Ok(text) => Err(text),
        Err(_) => Err("it crashed".into()),
    }
}

fn results(base: &Path, worker: usize) -> PathBuf {
    base.join(format!("results-{worker}"))
}

fn start(idx: usize, units: &[Unit], base: &Path, next: &AtomicUsize) -> libc::pid_t {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        0 => {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(idx, units, base, next)));
            // SAFETY: ends the worker without running what belongs to its parent.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
        pid => {
            assert!(pid > 0, "a worker can be started");
            pid
        }
    }
}

/// Returns how long this process and its children have computed: others may be at work on this machine.
fn cpu_milliseconds() -> u64 {
    let used = |who| {
        // SAFETY: the struct may be all zero, and outlives the call.
        let used = unsafe {
            let mut used: libc::rusage = std::mem::zeroed();
            libc::getrusage(who, &raw mut used);
            used
        };
        let milliseconds = |it: libc::timeval| it.tv_sec as u64 * 1000 + it.tv_usec as u64 / 1000;
        milliseconds(used.ru_utime) + milliseconds(used.ru_stime)
    };
    used(libc::RUSAGE_SELF) + used(libc::RUSAGE_CHILDREN)
}

fn work(idx: usize, units: &[Unit], base: &Path, next: &AtomicUsize) {
    // SAFETY: a plain call on this process: its work ends with whoever started it.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let bench = Bench::new(base.join(format!("worker-{idx}")));
    std::fs::create_dir(&bench.base).unwrap();
    let mut file = std::fs::File::create(results(base, idx)).unwrap();
    loop {
        let taken = next.fetch_add(1, SeqCst);
        let Some(unit) = units.get(taken) else { return };
        let begun = cpu_milliseconds();
        let work = std::panic::AssertUnwindSafe(|| (unit.0)(&bench));
        // Its message is on the screen already.
        let mut parts = std::panic::catch_unwind(work).unwrap_or_else(|_| vec![Tally::broken(taken)]);
        let share = (cpu_milliseconds() - begun) / parts.len().max(1) as u64;
        parts.iter_mut().for_each(|it| it.milliseconds = share);
        let line = serde_json::to_string(&(taken, parts)).unwrap();
        std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).unwrap();
    }
}
