//! A control group of a command's own, where the kernel can end all of it at once: under systemd with `Delegate=yes`, or
//! wherever else one can be made.

use rustix::process::{Pid, getpid};
use std::fs;
use std::path::{Path, PathBuf};

/// What the names of our groups begin with; the supervisor's process id follows.
const PREFIX: &str = "headfast-action-";

/// A group of one supervisor's command.
pub(super) struct Cgroup {
    home: PathBuf,
    dir: PathBuf,
}

impl Cgroup {
    /// Makes a group below this process's own; `None` where that is not possible.
    pub(super) fn make() -> Option<Cgroup> {
        let home = home()?;
        let me = getpid();
        sweep(&home, me);
        let group = Cgroup::of(home, me);
        fs::create_dir(&group.dir).ok()?;
        // Linux before 5.14 cannot end a group; and without the way back we would end ourselves with it.
        if group.dir.join("cgroup.kill").exists() && group.leave() {
            return Some(group);
        }
        group.remove();
        None
    }

    /// Moves this process into the group, so that what it starts is born there.
    pub(super) fn enter(&self) -> bool {
        fs::write(self.dir.join("cgroup.procs"), "0").is_ok()
    }

    /// Moves this process back.
    pub(super) fn leave(&self) -> bool {
        fs::write(self.home.join("cgroup.procs"), "0").is_ok()
    }

    /// Kills every process in the group.
    pub(super) fn kill(&self) {
        let _read_only = fs::write(self.dir.join("cgroup.kill"), "1");
    }

    /// Removes the group, when nothing is left in it.
    pub(super) fn remove(&self) {
        let _still_in_use = fs::remove_dir(&self.dir);
    }

    fn of(home: PathBuf, supervisor: Pid) -> Cgroup {
        let dir = home.join(format!("{PREFIX}{}", supervisor.as_raw_nonzero()));
        Cgroup { home, dir }
    }
}

/// Ends what is left of the group of a supervisor that has ended.
pub(super) fn end(supervisor: Pid) {
    let Some(group) = home().map(|it| Cgroup::of(it, supervisor)).filter(|it| it.dir.exists()) else { return };
    group.kill();
    group.remove();
}

/// Ends and removes the groups of supervisors that are no more.
fn sweep(home: &Path, me: Pid) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|it| it.strip_prefix(PREFIX)).and_then(|it| it.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else { continue };
        if pid == me || !Path::new(&format!("/proc/{}", pid.as_raw_nonzero())).exists() {
            let group = Cgroup::of(home.to_owned(), pid);
            group.kill();
            group.remove();
        }
    }
}

/// Returns the directory of this process's own group in the unified hierarchy.
fn home() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|it| it.strip_prefix("0::"))?;
    let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
    let root = roots.into_iter().find(|it| it.join("cgroup.controllers").exists())?;
    Some(root.join(path.trim_start_matches('/')))
}
