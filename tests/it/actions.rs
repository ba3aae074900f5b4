//! Checks, reloads and probes: what they get, what they may, and that nothing of them stays alive.

use crate::host::{AGENT, MANIFEST, TestHost};
use crate::servers::{is_left_out, program};
use headfast::host::process::{self, End, Outcome};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes, on a machine that is busy with other things.
const LONG: Duration = Duration::from_secs(120);

/// Runs a command as the program does, under a supervisor.
fn run(argv: &[&str], within: Duration) -> Outcome {
    process::supervise_with(Path::new(env!("CARGO_BIN_EXE_headfast")));
    process::run(&argv.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(), within, None)
}

fn sh(script: &str, within: Duration) -> Outcome {
    run(&["/bin/sh", "-c", script], within)
}

/// A folder in which processes leave their numbers.
struct Roll(tempfile::TempDir);

impl Roll {
    fn new() -> Roll {
        Roll(tempfile::tempdir().unwrap())
    }

    /// Returns a script that notes its process, ignores what can be ignored, and hangs.
    fn hang(&self, name: &str) -> String {
        format!(
            "trap \"\" TERM HUP INT; echo $$ >{0}.part; mv {0}.part {0}; while :; do sleep 1000; done",
            self.file(name)
        )
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Returns a script that waits until each of the names is there.
    fn wait(&self, names: &[&str]) -> String {
        let all: Vec<String> = names.iter().map(|it| format!("[ -e {} ]", self.file(it))).collect();
        format!("until {}; do sleep 0.02; done", all.join(" && "))
    }

    fn pid(&self, name: &str) -> String {
        let file = PathBuf::from(self.file(name));
        until(&format!("{name} runs"), || file.exists());
        fs::read_to_string(file).unwrap().trim().to_owned()
    }

    #[track_caller]
    fn all_are_dead(&self) {
        for entry in fs::read_dir(self.0.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let pid = self.pid(&name);
            assert!(!is_alive(&pid), "{name} is alive as {pid}");
        }
    }
}

/// A zombie that someone else has to collect is dead too.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits for something that must come.
#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "it never came: {what}");
        process::pause(Duration::from_millis(10));
    }
}

/// A manifest with more lines for its target.
fn manifest(more: &str) -> String {
    format!("{MANIFEST}    {more}\n")
}

#[test]
fn l01_a_command_that_is_not_allowed_is_never_started() {
    if is_left_out("strace") {
        return;
    }
    let host = TestHost::new();
    let more = "check: [{command: [/usr/bin/touch, '@DIR@/c']}]\n    \
                reload: [{command: [/usr/bin/touch, '@DIR@/r']}, {unit: x.service}]\n    \
                probe: [{command: [/usr/bin/touch, '@DIR@/p']}, {unit: y.service}]";
    host.commit(&[("headfast.yaml", &manifest(more)), ("files/a", "a\n")]);
    let trace = host.path("trace");
    let status = Command::new(program("strace", "strace", "strace"))
        .args(["-f", "-qqq", "-e", "trace=execve,execveat", "-o", trace.to_str().unwrap()])
        .arg(env!("CARGO_BIN_EXE_headfast"))
        .args(["sync", "--config"])
        .arg(host.path("agent.yaml"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&status.stderr).into_owned();
    assert_eq!(status.status.code(), Some(4), "{said}");
    assert_eq!(said.matches("E_COMMAND_NOT_ALLOWED").count(), 3, "{said}");
    assert_eq!(said.matches("E_UNIT_NOT_ALLOWED").count(), 2, "{said}");
    let trace = fs::read_to_string(trace).unwrap();
    assert!(trace.contains("headfast"), "{trace}");
    assert!(!trace.contains("touch") && !trace.contains("systemctl"), "{trace}");
    assert!(!host.path("live").exists());
}

#[test]
fn l02_l03_at_the_deadline_everything_that_a_command_started_ends() {
    let roll = Roll::new();
    let script = format!(
        "setsid sh -c '{}' & (setsid sh -c '{}' &) ; {}",
        roll.hang("session"),
        roll.hang("orphan"),
        roll.hang("self")
    );
    // The deadline must not come before all of them run: then there would be nothing to prove.
    let started = Instant::now();
    let within = Duration::from_secs(8);
    let outcome = sh(&script, within);
    assert_eq!(outcome.end, End::Timeout(within));
    assert!(started.elapsed() < LONG);
    assert_eq!(fs::read_dir(roll.0.path()).unwrap().count(), 3);
    roll.all_are_dead();
}

#[test]
fn l03_nothing_lives_on_after_a_command_that_ended_well() {
    let roll = Roll::new();
    let (one, two) = (roll.hang("session"), roll.hang("daemon"));
    let script = format!(
        "setsid sh -c '{one}' & (setsid sh -c '(setsid sh -c \"$0\" &)' '{}' &); {}; echo done",
        two.replace('\'', ""),
        roll.wait(&["session", "daemon"])
    );
    let outcome = sh(&script, LONG);
    assert_eq!((outcome.end, outcome.output.as_str()), (End::Exit(0), "done"));
    roll.all_are_dead();
}

#[test]
fn l03_a_command_that_forks_for_ever_is_ended() {
    let roll = Roll::new();
    let file = roll.file("chain");
    // Each process starts the next one and ends.
    let script = format!("f() {{ echo $$ >{file}; (f &) ; }}; export file; f; sleep 0.2; echo done");
    let outcome = sh(&script, LONG);
    assert_eq!(outcome.end, End::Exit(0), "{outcome:?}");
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    process::pause(Duration::from_millis(200));
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before, "the chain goes on");
}

#[test]
fn l04_a_gigabyte_of_output_is_drained_and_not_kept() {
    let host = TestHost::new();
    let flood = "printf first; head -c 1000000000 /dev/zero; printf '\\033[31m' >&2";
    let more = format!("check: [{{command: [/bin/sh, -c, {}]}}]", serde_json::to_string(flood).unwrap());
    host.commit(&[("headfast.yaml", &manifest(&more)), ("files/a", "a\n")]);
    // It could not be kept if one wanted to.
    let limited = format!("ulimit -v 700000; exec {} sync --config agent.yaml", env!("CARGO_BIN_EXE_headfast"));
    let output = Command::new("/bin/sh").args(["-c", &limited]).current_dir(host.path("")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = host.run(&["history", "--json"]).ends(0);
    let shown = host.run(&["show", &shown.json()["deployments"][0]["id"].to_string()]).ends(0).says(&["first"]);
    assert!(!shown.stdout.contains('\u{1b}') && !shown.stdout.contains('\0'));
    assert!(shown.stdout.len() < 100_000, "{} bytes", shown.stdout.len());
}

#[test]
fn l05_standard_input_is_at_its_end() {
    let outcome = sh("cat; read x || echo nothing", LONG);
    assert_eq!((outcome.end, outcome.output.as_str()), (End::Exit(0), "nothing"));
}

#[test]
fn l06_a_command_gets_three_files_two_variables_and_nothing_else() {
    let host = TestHost::new();
    let script = "exec >@DIR@/seen; env; echo fds $(ls /proc/self/fd); readlink /proc/$$/fd/0; pwd; umask; \
                  grep SigBlk /proc/self/status; grep SigIgn /proc/self/status; cut -d' ' -f1,6,7 /proc/$$/stat";
    let more = format!("reload: [{{command: [/bin/sh, -c, {}]}}]", serde_json::to_string(script).unwrap());
    host.commit(&[("headfast.yaml", &manifest(&more)), ("files/a", "a\n")]);
    fs::write(host.path("secret"), "hunter2\n").unwrap();
    // Whoever starts headfast is careless: files that are open, a mask, and variables that are nobody's business.
    let careless =
        format!("exec 7<secret 9>>secret; umask 077; exec {} sync --config agent.yaml", env!("CARGO_BIN_EXE_headfast"));
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &careless]).current_dir(host.path("")).stdin(Stdio::null());
    for name in ["NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "HEADFAST_TOKEN", "GITHUB_TOKEN", "LD_LIBRARY_PATH"] {
        command.env(name, "/run/hunter2");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen = fs::read_to_string(host.path("seen")).unwrap();
    let mut lines: Vec<&str> = seen.lines().collect();
    let status: Vec<&str> = lines.pop().unwrap().split(' ').collect();
    let ignored = u64::from_str_radix(lines.pop().unwrap().trim_start_matches("SigIgn:\t"), 16).unwrap();
    lines.sort_unstable();
    // `ls` itself has the folder open as number 3.
    let expected = [
        "/",
        "/dev/null",
        "0022",
        "LANG=C.UTF-8",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PWD=/",
        "SigBlk:\t0000000000000000",
        "fds 0 1 2 3",
    ];
    assert_eq!(lines, expected);
    // We ignore SIGPIPE ourselves, and a command that ignored it would never end at `head`.
    assert_eq!(ignored & 1 << (rustix::process::Signal::PIPE.as_raw() - 1), 0, "{ignored:x}");
    // Neither our session nor a terminal of its own.
    // Not by getsid(2): it is 0 where an init that never made a session, as in some containers, is all that is above us.
    let own = fs::read_to_string("/proc/self/stat").unwrap();
    let ours = own.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap();
    assert!(status[1] != ours && status[2] == "0", "{status:?}");
}

#[test]
fn l07_each_way_to_end_is_told_apart_in_the_record() {
    let ends = [
        ("exit 3", "exited with status 3"),
        ("exit 255", "exited with status 255"),
        ("kill -TERM $$", "was ended by signal 15"),
        ("kill -SEGV $$", "was ended by signal 11"),
        ("exec /no/such/program", "exited with status 127"),
    ];
    for (script, words) in ends {
        assert_eq!(sh(script, LONG).describe(), words);
    }
    let missing = run(&["/no/such/program"], LONG);
    assert!(missing.describe().starts_with("could not be run: /no/such/program: "), "{missing:?}");
    let host = TestHost::with(&[("files/a", "a\n")]);
    host.commit(&[
        ("headfast.yaml", &manifest("reload: [{command: [/bin/sh, -c, 'kill -9 $$']}]")),
        ("files/a", "b\n"),
    ]);
    host.run(&["sync"]).ends(6).says(&["E_RELOAD", "was ended by signal 9"]);
    let history = host.run(&["history", "--json"]).ends(0).json();
    let error = &history["deployments"][0]["error"];
    assert_eq!(error["code"], "E_RELOAD");
    assert!(error["message"].as_str().unwrap().ends_with("was ended by signal 9"), "{error}");
}

#[test]
fn l08_a_reload_that_edits_a_target_shows_as_drift_at_once() {
    let host = TestHost::new();
    let more = "reload: [{command: [/bin/sh, -c, 'echo edited >>@LIVE@/a; echo more >@LIVE@/b']}]";
    host.commit(&[("headfast.yaml", &manifest(more)), ("files/a", "a\n"), ("files/c", "c\n")]);
    host.run(&["sync"]).ends(0);
    let drift = host.run(&["drift", "--json"]).ends(5).json();
    let kinds: Vec<(&str, &str)> = drift["drift"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["path"].as_str().unwrap(), it["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(kinds[0], ("a", "modified"), "{drift}");
}

#[test]
fn l09_when_headfast_is_killed_its_action_ends_with_all_that_it_started() {
    let host = TestHost::new();
    let roll = Roll::new();
    let gate = host.path("go-on");
    let script = format!(
        "[ -e {} ] && exit 0; setsid sh -c '{}' & (setsid sh -c '{}' &); {}",
        gate.display(),
        roll.hang("session"),
        roll.hang("orphan"),
        roll.hang("self")
    );
    let more =
        format!("reload: [{{command: [/bin/sh, -c, {}], within: 10m}}]", serde_json::to_string(&script).unwrap());
    host.commit(&[("headfast.yaml", &manifest(&more)), ("files/a", "a\n")]);
    let mut sync = Command::new(env!("CARGO_BIN_EXE_headfast"))
        .args(["sync", "--config"])
        .arg(host.path("agent.yaml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pids = ["session", "orphan", "self"].map(|it| roll.pid(it));
    assert!(pids.iter().all(|it| is_alive(it)));
    sync.kill().unwrap();
    sync.wait().unwrap();
    until("all of it is dead", || !pids.iter().any(|it| is_alive(it)));
    // The deployment is still under way, and the next run brings it to its end, with its actions.
    fs::write(gate, "").unwrap();
    host.run(&["sync"]).ends(0);
    let history = host.run(&["history", "--json"]).ends(0).json();
    assert_eq!(history["deployments"][0]["status"], "success", "{history}");
    assert_eq!(host.live("a"), "a\n");
}

#[test]
fn l09_when_the_supervisor_is_killed_the_host_is_to_blame_and_the_cgroup_ends_the_rest() {
    let roll = Roll::new();
    // Two parents up is this very test; a stray number would be a disaster.
    let script = format!(
        "grep -q headfast-action /proc/self/cgroup && echo grouped >{}; (setsid sh -c '{}' &); {}; kill -9 $PPID; sleep 1000",
        roll.file("grouped.note"),
        roll.hang("orphan"),
        roll.wait(&["orphan"])
    );
    let outcome = sh(&script, LONG);
    assert_eq!(outcome.end, End::Host("its supervisor said nothing and was ended by signal 9".into()));
    let orphan = roll.pid("orphan");
    match Path::new(&roll.file("grouped.note")).exists() {
        true => until("the orphan is dead", || !is_alive(&orphan)),
        // Without a cgroup nobody holds what a supervisor that was killed had adopted.
        false => {
            let orphan = orphan.parse().ok().and_then(rustix::process::Pid::from_raw).unwrap();
            rustix::process::kill_process_group(orphan, rustix::process::Signal::KILL).unwrap();
        }
    }
}

#[test]
fn l10_an_argument_never_meets_a_shell() {
    let host = TestHost::new();
    let hostile = "a; touch @DIR@/pwned $(touch @DIR@/pwned) `touch @DIR@/pwned` | & \n -x '\" *";
    let more = format!(
        "check: [{{command: [/bin/sh, -c, 'printf %s \"$1\" >@DIR@/seen', sh, {}]}}]",
        serde_json::to_string(hostile).unwrap()
    );
    host.commit(&[("headfast.yaml", &manifest(&more)), ("files/a", "a\n")]);
    host.run(&["sync"]).ends(0);
    assert_eq!(fs::read_to_string(host.path("seen")).unwrap(), host.filled(hostile));
    assert!(!host.path("pwned").exists());
}

#[test]
fn l12_l14_units_that_are_none_or_that_we_need_are_refused() {
    let bad = [
        "../x.service",
        "a/b.service",
        "x*.service",
        "x?.service",
        "[x].service",
        "x@.service",
        "-.mount",
        ".service",
        "-x.service",
        "x",
        "x.service ",
        "x.conf",
        "x y.service",
        "x\u{1b}.service",
        "x\n.service",
        "é.service",
    ];
    let long = format!("{}.service", "x".repeat(250));
    let own = [
        "headfast.service",
        "headfast-transaction.service",
        "headfast@x.service",
        "dbus.service",
        "dbus.socket",
        "systemd-logind.service",
        "systemd-journald.service",
        "systemd-udevd.service",
        "init.scope",
        "reboot.target",
    ];
    let cases = bad.iter().copied().chain([long.as_str()]).map(|it| (it, "E_UNIT", 3));
    for (unit, code, exit) in cases.chain(own.iter().map(|it| (*it, "E_UNIT_SELF", 4))) {
        let host = TestHost::new();
        let name = serde_json::to_string(unit).unwrap();
        if exit == 4 {
            // Not even a host that allows it gets it.
            let allowed = AGENT.replace("commands: [/bin/sh]", &format!("commands: [/bin/sh], units: [{name}]"));
            host.agent(&allowed);
        }
        let more = format!("reload: [{{unit: {name}, action: restart}}]");
        host.commit(&[("headfast.yaml", &manifest(&more)), ("files/a", "a\n")]);
        let output = host.run(&["sync"]).ends(exit).says(&[&format!("error[{code}]")]);
        assert!(!output.stderr.contains('\u{1b}'), "{}", output.stderr);
        assert!(!host.path("live").exists());
    }
}

#[test]
fn l15_without_systemd_the_host_is_to_blame_and_not_the_commit() {
    if Path::new("/run/systemd/system").exists() {
        return;
    }
    let host = TestHost::with(&[("files/a", "a\n")]);
    let before = host.snapshot();
    host.agent(&AGENT.replace("commands: [/bin/sh]", "commands: [/bin/sh], units: [x.service]"));
    let failed = host.commit(&[("headfast.yaml", &manifest("reload: [{unit: x.service}]")), ("files/a", "b\n")]);
    host.run(&["sync"]).ends(1).says(&["E_SYSTEMD_DOWN", "systemd"]);
    assert_eq!(host.snapshot(), before);
    // Neither a revert nor a quarantine: the same commit is tried again.
    assert_eq!(host.remote(&["rev-parse", "main"]), failed);
    host.run(&["sync"]).ends(1).says(&["E_SYSTEMD_DOWN"]);
    let probe = "probe: [{unit: x.service, within: 10ms, settle: 0s}]";
    let failed = host.commit(&[("headfast.yaml", &manifest(probe)), ("files/a", "c\n")]);
    host.run(&["sync"]).ends(1).says(&["E_SYSTEMD_DOWN"]);
    assert_eq!(host.remote(&["rev-parse", "main"]), failed);
    assert_eq!(host.live("a"), "a\n");
}
