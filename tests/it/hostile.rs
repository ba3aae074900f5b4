//! What targets can be like, and what others can do there, through the whole program: section H of the list of requirements.

use crate::host::{AGENT, MANIFEST, TestHost};
use crate::servers::{is_left_out, program};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A mount that goes away with the test.
struct Mounted(PathBuf);

impl Mounted {
    /// Mounts with mount(8); `None` where this host cannot.
    fn new(at: &Path, arguments: &[&str]) -> Option<Mounted> {
        fs::create_dir_all(at).unwrap();
        let mount = Command::new("mount").args(arguments).arg(at).stderr(Stdio::null()).status();
        mount.is_ok_and(|it| it.success()).then(|| Mounted(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[allow(clippy::print_stderr)]
fn left_out(what: &str) {
    eprintln!("left out: this host cannot do {what}");
}

const PROBED: &str = "\
version: 1
environments:
  production: {type: production}
targets:
  app:
    path: @LIVE@
    files: [{copy: files}]
    check: [{command: [/bin/sh, -c, 'test -e {{ staged }}/a']}]
    probe: [{command: [/bin/sh, -c, '! grep -q BAD @LIVE@/a'], within: 10ms, settle: 0s}]
";

/// The whole story on one host: deploy, change, drift, heal, break, roll back; `run` runs the program.
fn story(host: &TestHost, run: &dyn Fn(&[&str]) -> i32) {
    host.agent(&AGENT.replace("push: direct", "push: 'off'"));
    host.commit(&[("headfast.yaml", PROBED), ("files/a", "one\n"), ("files/d/b", "one\n"), ("files/d/e/c", "one\n")]);
    assert_eq!(run(&["sync"]), 0);
    std::os::unix::fs::symlink("b", host.path("work/files/d/link")).unwrap();
    host.remove("files/d/e/c");
    host.commit(&[("files/a", "two\n"), ("files/n/new", "two\n")]);
    assert_eq!(run(&["sync"]), 0);
    assert_eq!(
        (host.live("a"), host.live("d/link"), host.live("n/new")),
        ("two\n".into(), "one\n".into(), "two\n".into())
    );
    assert!(!host.path("live/d/e").exists());
    fs::write(host.path("live/d/b"), "edited\n").unwrap();
    assert_eq!(run(&["drift"]), 5);
    assert_eq!(run(&["drift", "--heal"]), 0);
    assert_eq!(host.live("d/b"), "one\n");
    host.commit(&[("files/a", "BAD\n"), ("files/n/new", "BAD\n"), ("files/z", "BAD\n")]);
    assert_eq!(run(&["sync"]), 6);
    assert_eq!((host.live("a"), host.live("n/new")), ("two\n".into(), "two\n".into()));
    assert_eq!(run(&["rollback"]), 0);
    assert_eq!((host.live("a"), host.live("d/e/c")), ("one\n".into(), "one\n".into()));
    let left: Vec<_> = fs::read_dir(host.path("live")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(!left.iter().any(|it| it.to_string_lossy().starts_with(".headfast-")), "{left:?}");
}

#[test]
fn h25_the_whole_story_on_every_file_system() {
    if !is_root() {
        return left_out("mounts");
    }
    for (kind, make) in [
        ("ext4", &["mkfs.ext4", "-q"][..]),
        ("xfs", &["mkfs.xfs", "-q"]),
        ("btrfs", &["mkfs.btrfs", "-q"]),
        ("tmpfs", &[]),
        ("overlay", &[]),
    ] {
        let host = TestHost::new();
        let Some(_mounted) = mounted(&host, kind, make) else {
            left_out(kind);
            continue;
        };
        story(&host, &|arguments| host.run(arguments).status);
    }
}

fn mounted(host: &TestHost, kind: &str, make: &[&str]) -> Option<Mounted> {
    let live = host.path("live");
    match kind {
        "tmpfs" => Mounted::new(&live, &["-t", "tmpfs", "tmpfs"]),
        "overlay" => {
            // The upper directory of an overlay may not be on another overlay, which /tmp is in a container.
            for part in ["lower", "over/upper", "over/work"] {
                fs::create_dir_all(host.path(part)).unwrap();
            }
            let options = format!(
                "lowerdir={},upperdir={},workdir={}",
                host.path("lower").display(),
                host.path("over/upper").display(),
                host.path("over/work").display()
            );
            Mounted::new(&live, &["-t", "overlay", "-o", &options, "overlay"])
        }
        _ => {
            let image = host.path(&format!("{kind}.img"));
            fs::File::create(&image).unwrap().set_len(320 << 20).unwrap();
            if is_left_out(kind) {
                return None;
            }
            let made =
                Command::new(program(make[0], kind, kind)).args(&make[1..]).arg(&image).stdout(Stdio::null()).status();
            made.is_ok_and(|it| it.success()).then_some(())?;
            Mounted::new(&live, &["-o", "loop", image.to_str().unwrap()])
        }
    }
}

#[test]
fn h31_nosymfollow_noexec_nosuid_and_nodev_mounts_are_fine() {
    let host = TestHost::new();
    if !is_root() {
        return left_out("mounts");
    }
    let options = "nosymfollow,noexec,nosuid,nodev";
    let Some(_mounted) = Mounted::new(&host.path("live"), &["-t", "tmpfs", "-o", options, "tmpfs"]) else {
        return left_out(options);
    };
    host.agent(AGENT);
    host.commit(&[("headfast.yaml", MANIFEST), ("files/a", "one\n"), ("files/d/b", "one\n")]);
    std::os::unix::fs::symlink("a", host.path("work/files/link")).unwrap();
    host.commit(&[]);
    host.run(&["sync"]).ends(0);
    host.commit(&[("files/a", "two\n")]);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "two\n");
}

/// Runs the program under strace with the given options; returns its exit code.
fn traced(host: &TestHost, options: &[&str], arguments: &[&str]) -> i32 {
    let status = Command::new(program("strace", "strace", "strace"))
        .args(["-f", "-qqq"])
        .args(options)
        .arg(env!("CARGO_BIN_EXE_headfast"))
        .args(arguments)
        .arg("--config")
        .arg(host.path("agent.yaml"))
        .current_dir(host.path(""))
        .env_clear()
        .envs(std::env::var_os("PATH").map(|it| ("PATH", it)))
        .env("HOME", host.path(""))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.unwrap().code().unwrap_or(-1)
}

const NO_OPENAT2: &[&str] = &["-o", "/dev/null", "-e", "trace=openat2", "-e", "inject=openat2:error=ENOSYS"];

#[test]
fn h32_without_openat2_everything_works_and_is_refused_alike() {
    if is_left_out("strace") {
        return;
    }
    let host = TestHost::new();
    story(&host, &|arguments| traced(&host, NO_OPENAT2, arguments));

    // What is in the way is refused as with openat2.
    let host = TestHost::with(&[("files/a", "one\n"), ("files/d/b", "one\n")]);
    fs::rename(host.path("live/d"), host.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(host.path("elsewhere"), host.path("live/d")).unwrap();
    host.commit(&[("files/d/b", "two\n")]);
    assert_eq!(traced(&host, NO_OPENAT2, &["sync"]), 1);
    assert_eq!(fs::read_to_string(host.path("elsewhere/b")).unwrap(), "one\n");
    host.run(&["history"]).ends(0).says(&["E_TARGET_SYMLINK"]);
    fs::remove_file(host.path("live/d")).unwrap();
    fs::create_dir(host.path("live/d")).unwrap();
    if let Some(_mounted) = is_root().then(|| {
        let elsewhere = host.path("elsewhere");
        Mounted::new(&host.path("live/d"), &["--bind", elsewhere.to_str().unwrap()])
    }) {
        host.commit(&[("files/d/b", "three\n")]);
        assert_eq!(traced(&host, NO_OPENAT2, &["sync"]), 1);
        host.run(&["history"]).ends(0).says(&["E_XDEV"]);
        assert_eq!(fs::read_to_string(host.path("elsewhere/b")).unwrap(), "one\n");
    }
}

#[test]
fn h32_the_log_says_how_directories_are_opened() {
    use std::io::BufRead;
    use std::os::unix::process::CommandExt;
    if is_left_out("strace") {
        return;
    }
    for (options, wanted) in [(NO_OPENAT2, "openat2 is not available"), (&["-o", "/dev/null"], "opened by openat2")] {
        // Each has a host of its own: an agent that is killed under strace may hold its lock for a moment longer.
        let host = TestHost::with(&[("files/a", "one\n")]);
        let mut child = Command::new(program("strace", "strace", "strace"))
            .args(["-f", "-qqq"])
            .args(options)
            .args([env!("CARGO_BIN_EXE_headfast"), "agent", "--config"])
            .arg(host.path("agent.yaml"))
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let found = lines.any(|it| it.contains(wanted));
        let group = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        child.wait().unwrap();
        assert!(found, "{wanted:?} is not in the log");
    }
}

#[test]
fn p04_nothing_in_a_target_changes_before_the_journal_has_its_name() {
    if is_left_out("strace") {
        return;
    }
    let host = TestHost::new();
    host.agent(&AGENT.replace("push: direct", "push: 'off'"));
    host.commit(&[("headfast.yaml", PROBED), ("files/a", "one\n"), ("files/d/b", "one\n"), ("files/gone", "one\n")]);
    host.run(&["sync"]).ends(0);
    fs::write(host.path("live/d/b"), "edited\n").unwrap();
    host.remove("files/gone");
    host.commit(&[("files/a", "two\n"), ("files/d/b", "two\n"), ("files/n/new", "two\n")]);
    let log = host.path("trace");
    let calls = "trace=%file,%desc";
    assert_eq!(traced(&host, &["-y", "-o", log.to_str().unwrap(), "-e", calls], &["sync"]), 0);
    let text = fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let commit = lines.iter().position(|it| it.contains("renameat2(") && it.contains("\"journal\"")).unwrap();
    let live = host.path("live").to_str().unwrap().to_owned();
    let touches = |line: &&&str| mutates(line) && touched(line, &live);
    let before: Vec<_> = lines[..commit].iter().filter(touches).collect();
    assert!(before.is_empty(), "{before:#?}");
    assert!(lines[commit..].iter().filter(touches).count() >= 4, "the trace shows the switch itself");
}

/// Returns whether a line of a trace is a call that changes a file, a name or metadata.
fn mutates(line: &str) -> bool {
    let call = line.split_ascii_whitespace().find(|it| it.contains('(')).unwrap_or_default();
    let name = call.split('(').next().unwrap_or_default();
    let changing = ["rename", "unlink", "mkdir", "rmdir", "link", "symlink", "chmod", "chown", "mknod", "truncate"];
    let other = ["write", "pwrite64", "fsetxattr", "fremovexattr", "utimensat", "fallocate", "setxattr", "removexattr"];
    changing.iter().any(|it| name.contains(it)) && !name.contains("readlink")
        || other.contains(&name)
        || name.starts_with("open") && ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|it| line.contains(it))
}

/// Returns whether a call is about a path of the target that is not one of headfast's own.
fn touched(line: &str, live: &str) -> bool {
    // A directory's handle with a name in it, any other handle, or a whole path.
    let named = regex::Regex::new(r#"<([^>]*)>, "([^"]*)"|<([^>]*)>|"(/[^"]*)""#).unwrap();
    named.captures_iter(line).any(|it| {
        let group = |n: usize| it.get(n).map(|it| it.as_str());
        let path = match (group(1), group(2)) {
            (Some(dir), Some(name)) if !name.starts_with('/') => format!("{dir}/{name}"),
            (_, Some(name)) => name.to_owned(),
            _ => group(3).or(group(4)).unwrap_or_default().to_owned(),
        };
        path.strip_prefix(live).is_some_and(|below| !below.starts_with("/.headfast-"))
    })
}

#[test]
fn h22_what_does_not_change_is_not_touched() {
    let host = TestHost::with(&[("files/a", "one\n"), ("files/b", "one\n"), ("files/d/c", "one\n")]);
    let facts = |path: &str| {
        let found = fs::metadata(host.path("live").join(path)).unwrap();
        (found.ino(), found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec())
    };
    let before = (facts("b"), facts("d/c"), facts("d"));
    host.commit(&[("files/a", "two\n")]);
    host.run(&["sync"]).ends(0);
    host.run(&["drift"]).ends(0);
    assert_eq!((facts("b"), facts("d/c"), facts("d")), before);
}

#[test]
fn h23_a_pass_without_changes_flushes_nothing_in_the_target() {
    if is_left_out("strace") {
        return;
    }
    let host = TestHost::new();
    for n in 0..2000 {
        host.write(&format!("files/{}/{n}", n % 50), format!("{n}\n").as_bytes());
    }
    host.commit(&[("headfast.yaml", MANIFEST)]);
    host.run(&["sync"]).ends(0);
    let log = host.path("trace");
    let options = ["-y", "-o", log.to_str().unwrap(), "-e", "trace=fsync,fdatasync,syncfs,sync"];
    let flushed = || {
        let text = fs::read_to_string(&log).unwrap();
        let live = host.path("live").to_str().unwrap().to_owned();
        (text.lines().filter(|it| it.contains(&live) || it.contains("sync()")).count(), text.lines().count())
    };
    assert_eq!(traced(&host, &options, &["sync"]), 0);
    assert_eq!(flushed().0, 0, "nothing was written there");
    let idle = flushed().1;
    // The database may write down that it has looked; that does not grow with the number of files.
    assert!(idle <= 20, "{idle} flushes in a pass that changes nothing");
    assert_eq!(traced(&host, &options, &["drift"]), 0);
    assert_eq!(flushed().0, 0);
}

#[test]
fn h20_the_umask_changes_nothing() {
    for umask in ["000", "777"] {
        let host = TestHost::new();
        let manifest = MANIFEST
            .replace("    files:", "    mode: '0640'\n    overrides: [{match: 'bin/**', mode: '0755'}]\n    files:");
        host.commit(&[
            ("headfast.yaml", &manifest),
            ("files/a", "one\n"),
            ("files/bin/x", "one\n"),
            ("files/d/b", "one\n"),
        ]);
        let script = format!("umask {umask}; exec \"$0\" sync --config \"$1\"");
        let status = Command::new("/bin/sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_headfast")])
            .arg(host.path("agent.yaml"))
            .env("HOME", host.path(""))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(status.status.success(), "umask {umask}: {}", String::from_utf8_lossy(&status.stderr));
        let mode = |path: &str| fs::metadata(host.path("live").join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("a"), mode("bin/x"), mode("d/b"), mode("d")), (0o640, 0o755, 0o640, 0o750), "umask {umask}");
        assert_eq!(fs::metadata(host.path("state")).unwrap().mode() & 0o7777, 0o700, "umask {umask}");
    }
}

#[test]
fn h28_a_reader_keeps_the_old_bytes() {
    let host = TestHost::with(&[("files/a", "old bytes\n")]);
    let mut reader = fs::File::open(host.path("live/a")).unwrap();
    host.commit(&[("files/a", "new\n")]);
    host.run(&["sync"]).ends(0);
    let mut seen = String::new();
    std::io::Read::read_to_string(&mut reader, &mut seen).unwrap();
    assert_eq!((seen.as_str(), host.live("a").as_str()), ("old bytes\n", "new\n"));
}

#[test]
fn h29_a_watcher_sees_one_move_to_each_changed_file_and_no_write() {
    use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
    let host = TestHost::with(&[("files/a", "one\n"), ("files/b", "one\n"), ("files/gone", "one\n")]);
    let watcher = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&watcher, host.path("live"), WatchFlags::ALL_EVENTS).unwrap();
    host.remove("files/gone");
    host.commit(&[("files/a", "two\n"), ("files/new", "two\n")]);
    host.run(&["sync"]).ends(0);
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watcher, &mut buffer);
    let mut seen = Vec::new();
    while let Ok(event) = events.next() {
        let name = event.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(".headfast-") || name.is_empty() {
            continue;
        }
        let kind = event.events();
        for (flag, what) in [
            (ReadFlags::MOVED_TO, "moved to"),
            (ReadFlags::MOVED_FROM, "moved from"),
            (ReadFlags::MODIFY, "modify"),
            (ReadFlags::CREATE, "create"),
            (ReadFlags::DELETE, "delete"),
            (ReadFlags::CLOSE_WRITE, "close after writing"),
            (ReadFlags::ATTRIB, "attributes"),
        ] {
            if kind.contains(flag) {
                seen.push(format!("{name}: {what}"));
            }
        }
    }
    // The old file leaves in the same step: the kernel reports an exchange as two moves, the new file's first.
    assert_eq!(seen, ["a: moved to", "a: moved from", "gone: moved from", "new: moved to"]);
}

#[test]
fn h30_every_size_arrives_byte_for_byte() {
    let host = TestHost::new();
    let mut sparse = vec![0u8; 3 << 20];
    sparse[1 << 20] = 1;
    *sparse.last_mut().unwrap() = 2;
    let mut noise: Vec<u8> = Vec::with_capacity(9 << 20);
    let mut state = 1u64;
    while noise.len() < 9 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        noise.extend(state.to_be_bytes());
    }
    let files: Vec<(&str, &[u8])> =
        vec![("empty", b""), ("page", &noise[..4096]), ("odd", &noise[..4097]), ("sparse", &sparse), ("large", &noise)];
    for (path, content) in &files {
        host.write(&format!("files/{path}"), content);
    }
    host.commit(&[("headfast.yaml", MANIFEST)]);
    for pass in 0..2 {
        host.run(&["sync"]).ends(0);
        for (path, content) in &files {
            let live = fs::read(host.path("live").join(path)).unwrap();
            assert!(live == *content, "{path} differs in pass {pass}");
        }
        // The same again, over files that are there.
        host.write("files/empty", b"no longer");
        host.commit(&[]);
        host.run(&["sync"]).ends(0);
        host.write("files/empty", b"");
        host.commit(&[]);
    }
}

#[test]
fn h03_h04_what_others_could_write_is_refused_before_anything_is_written() {
    let host = TestHost::new();
    fs::create_dir_all(host.path("live")).unwrap();
    host.commit(&[("headfast.yaml", MANIFEST), ("files/a", "one\n")]);
    let shared = host.path("");
    let mode = |mode| fs::set_permissions(&shared, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o777);
    host.run(&["sync"]).ends(1).says(&["E_TARGET_PARENT", "written by everyone"]);
    assert!(fs::read_dir(host.path("live")).unwrap().next().is_none());
    mode(0o755);
    host.run(&["sync"]).ends(0);
}

#[test]
fn h08_a_fifo_where_a_file_belongs_is_refused_at_once() {
    let host = TestHost::with(&[("files/a", "one\n")]);
    fs::remove_file(host.path("live/a")).unwrap();
    let fifo = host.path("live/a");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    host.run(&["drift"]).ends(5);
    host.commit(&[("files/a", "two\n")]);
    host.run(&["sync"]).ends(1).says(&["E_TARGET_TYPE"]);
}

#[test]
fn h16_a_disk_that_is_not_mounted_is_noticed_until_someone_accepts_it() {
    let host = TestHost::new();
    if !is_root() {
        return left_out("mounts");
    }
    let Some(mounted) = Mounted::new(&host.path("live"), &["-t", "tmpfs", "tmpfs"]) else { return left_out("tmpfs") };
    host.agent(&AGENT.replace("push: direct}", "push: direct}\n    drift: {mode: heal}"));
    host.commit(&[("headfast.yaml", MANIFEST), ("files/a", "one\n"), ("files/b", "one\n")]);
    host.run(&["sync"]).ends(0);
    host.run(&["accept", "--file-systems"]).ends(0).says(&["is on the file system that it was on"]);
    drop(mounted);
    host.commit(&[("files/a", "two\n")]);
    host.run(&["sync"]).ends(1).says(&["E_TARGET_DEVICE", "is something not mounted?", "accept --file-systems"]);
    host.run(&["drift", "--heal"]).says(&["E_TARGET_DEVICE"]);
    let beneath =
        || fs::read_dir(host.path("live")).unwrap().map(|it| it.unwrap().file_name()).collect::<BTreeSet<_>>();
    assert!(beneath().is_empty(), "{:?}", beneath());
    host.run(&["accept", "--file-systems"]).ends(0).says(&["may be on the file system it is on"]);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "two\n");
}

#[test]
fn h24_a_file_system_that_cannot_exchange_names_is_refused_before_the_commit_point() {
    if is_left_out("strace") {
        return;
    }
    let host = TestHost::with(&[("files/a", "0\n")]);
    // One of the first renames is the exchange that is tried in the staging folder; vfat, NFS and 9p answer like this.
    let refused = (1..=6).any(|n: usize| {
        let before = host.live("a");
        host.commit(&[("files/a", &format!("{n}\n"))]);
        let fault = format!("inject=renameat2:error=EINVAL:when={n}");
        let code = traced(&host, &["-o", "/dev/null", "-e", "trace=renameat2", "-e", &fault], &["sync"]);
        let is_unfit = host.run(&["history"]).ends(0).stdout.contains("E_FS_UNFIT");
        if is_unfit {
            assert_eq!((code, host.live("a")), (1, before));
        }
        host.run(&["sync"]).ends(0);
        assert_eq!(host.live("a"), format!("{n}\n"));
        is_unfit
    });
    assert!(refused, "no exchange was tried");
}

#[test]
fn h24_vfat_is_refused_before_anything_is_written() {
    let host = TestHost::new();
    Command::new("modprobe").args(["-q", "vfat"]).stderr(Stdio::null()).status().ok();
    let kinds = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !is_root() || !kinds.contains("vfat") || is_left_out("vfat") {
        return left_out("mounts of vfat");
    }
    let image = host.path("vfat.img");
    fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
    let made = Command::new(program("mkfs.vfat", "dosfstools", "vfat")).arg(&image).stdout(Stdio::null()).status();
    assert!(made.unwrap().success());
    let Some(_mounted) = Mounted::new(&host.path("live"), &["-o", "loop", image.to_str().unwrap()]) else {
        return left_out("loop mounts");
    };
    host.commit(&[("headfast.yaml", MANIFEST), ("files/a", "one\n")]);
    host.run(&["sync"]).ends(1).says(&["E_FS_UNFIT", "vfat"]);
    assert!(fs::read_dir(host.path("live")).unwrap().next().is_none());
}

#[test]
fn h07_a_hard_link_to_a_victim_is_replaced_and_the_victim_stays() {
    let host = TestHost::with(&[("files/a", "one\n")]);
    let victim = host.path("passwd");
    fs::write(&victim, "root:x:0:0::/:/bin/sh\n").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(host.path("live/a")).unwrap();
    fs::hard_link(&victim, host.path("live/a")).unwrap();
    let before = fs::metadata(&victim).unwrap();
    host.commit(&[("files/a", "two\n")]);
    host.run(&["sync"]).ends(0);
    let after = fs::metadata(&victim).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "root:x:0:0::/:/bin/sh\n");
    assert_eq!((after.mode(), after.uid(), after.ino()), (before.mode(), before.uid(), before.ino()));
    assert_ne!(fs::metadata(host.path("live/a")).unwrap().ino(), after.ino());
}
