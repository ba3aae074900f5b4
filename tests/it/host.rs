//! A host to test on: a remote, a clone to work in, an agent.yaml and a target, all in a folder of their own.

use crate::servers::repository::git;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An agent.yaml that follows `main` and lets the repository have the target and run the shell.
pub const AGENT: &str = "\
host: web-1
labels: {role: web}
state_dir: @DIR@/state
repositories:
  - name: site
    url: @DIR@/remote.git
    branch: main
    environment: production
    allow: {paths: ['@LIVE@'], commands: [/bin/sh]}
    rollback: {push: direct}
";

/// The process id of the agent that has an action run, for the shell: between the two are the action's supervisor and the
/// transaction process. The fourth field of proc_pid_stat(5) is the parent.
pub const AGENT_PID: &str = r#"$(cut -d " " -f 4 /proc/$(cut -d " " -f 4 /proc/$PPID/stat)/stat)"#;

/// The process id of the transaction process.
pub const TRANSACTION_PID: &str = r#"$(cut -d " " -f 4 /proc/$PPID/stat)"#;

/// A manifest with one target, into which `files` is copied.
pub const MANIFEST: &str = "\
version: 1
environments:
  production: {type: production}
  staging: {type: staging}
targets:
  app:
    path: @LIVE@
    files: [{copy: files}]
";

/// A host, its remote and a clone of it.
pub struct TestHost {
    dir: tempfile::TempDir,
    n_commits: Cell<u32>,
}

/// What one run of the program came to.
#[derive(Debug)]
pub struct Output {
    /// The exit code.
    pub status: i32,
    /// The data.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

impl Output {
    /// Reads what a program left.
    pub fn of(output: std::process::Output) -> Output {
        Output {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Fails unless the program ended with this code.
    #[track_caller]
    pub fn ends(self, code: i32) -> Output {
        assert_eq!(self.status, code, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails unless stdout or stderr holds each of the texts.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Output {
        for text in texts {
            let is_said = self.stdout.contains(text) || self.stderr.contains(text);
            assert!(is_said, "{text:?} is not in\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        }
        self
    }

    /// Reads stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}

/// All that a change of a file would change; change times are left out, because a new name beside it changes a folder's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    kind: String,
    mode: u32,
    inode: u64,
    mtime: (i64, i64),
}

impl Entry {
    /// Leaves out what differs between two files of the same content.
    pub fn forget_identity(&mut self) {
        (self.inode, self.mtime) = (0, (0, 0));
    }

    /// Returns whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.kind.starts_with("file")
    }
}

impl TestHost {
    /// Makes a host whose remote has no commit yet.
    pub fn new() -> TestHost {
        let host = TestHost { dir: tempfile::tempdir().unwrap(), n_commits: Cell::new(0) };
        git(host.dir.path(), &["init", "-q", "--bare", "-b", "main", "remote.git"]);
        git(host.dir.path(), &["init", "-q", "-b", "main", "work"]);
        git(&host.path("work"), &["remote", "add", "origin", "../remote.git"]);
        host.agent(AGENT);
        host
    }

    /// Makes a host on which `files`, beside the usual manifest, are deployed.
    pub fn with(files: &[(&str, &str)]) -> TestHost {
        let host = TestHost::new();
        host.commit(&[&[("headfast.yaml", MANIFEST)], files].concat());
        host.run(&["sync"]).ends(0);
        host
    }

    /// Returns a path in the host's folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(path)
    }

    /// Fills in the host's own paths.
    pub fn filled(&self, text: &str) -> String {
        let dir = self.path("").to_string_lossy().trim_end_matches('/').to_owned();
        text.replace("@LIVE@", &format!("{dir}/live")).replace("@DIR@", &dir)
    }

    /// Writes agent.yaml.
    pub fn agent(&self, text: &str) {
        let path = self.path("agent.yaml");
        fs::write(&path, self.filled(text)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Writes a file of the clone.
    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.path("work").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Removes a file or folder of the clone.
    pub fn remove(&self, path: &str) {
        git(&self.path("work"), &["rm", "-rqf", path]);
    }

    /// Writes files into the clone, commits all of it and pushes; returns the commit's id.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            self.write(path, self.filled(content).as_bytes());
        }
        let n = self.n_commits.get() + 1;
        self.n_commits.set(n);
        let work = self.path("work");
        git(&work, &["add", "-A"]);
        // With fixed dates equal contents make equal commits, whichever host makes them.
        let date = format!("{} +0100", 1_700_000_000 + n * 60);
        let mut command = Command::new("git");
        command.args(["commit", "-q", "-m", &format!("Change {n}")]).current_dir(&work).env_clear();
        command.envs(std::env::var_os("PATH").map(|it| ("PATH", it))).env("HOME", &work);
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "Ana").env(format!("GIT_{who}_EMAIL"), "ana@example.org");
            command.env(format!("GIT_{who}_DATE"), &date);
        }
        crate::servers::run(&mut command);
        self.push()
    }

    /// Pushes the clone and returns the id of its newest commit.
    pub fn push(&self) -> String {
        git(&self.path("work"), &["push", "-q", "origin", "HEAD:main"]);
        git(&self.path("work"), &["rev-parse", "HEAD"])
    }

    /// Returns what git says of the remote.
    pub fn remote(&self, arguments: &[&str]) -> String {
        git(&self.path("remote.git"), arguments)
    }

    /// Runs the program with this host's agent.yaml.
    #[must_use = "assert how it ended"]
    pub fn run(&self, arguments: &[&str]) -> Output {
        let config = self.path("agent.yaml");
        let whole: Vec<&str> = arguments.iter().copied().chain(["--config", config.to_str().unwrap()]).collect();
        headfast(self.dir.path(), &whole)
    }

    /// Runs a sync under strace, which kills the program, its transaction process or an action before its n-th call of a kind,
    /// whichever comes there first; returns how the program ended when one was killed.
    pub fn sync_killed(&self, call: &str, n: usize) -> Option<std::process::ExitStatus> {
        let status = self.sync_with("signal=KILL", call, n);
        let log = fs::read_to_string(self.path("strace")).unwrap();
        log.contains("+++ killed by SIGKILL +++").then_some(status)
    }

    /// Runs a sync under strace, which injects a fault (`signal=KILL`, `error=EIO`) at the n-th call of a kind.
    pub fn sync_with(&self, fault: &str, call: &str, n: usize) -> std::process::ExitStatus {
        let mut command = self.sync_under_strace(fault, call, &n.to_string());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
    }

    /// Runs a sync under strace, which lets calls fail: in each process the `when`-th (strace(1), `5` or `5+`). Returns what
    /// the program said, unless no process came that far.
    pub fn sync_failing(&self, call: &str, error: &str, when: &str) -> Option<Output> {
        let output = self.sync_under_strace(&format!("error={error}"), call, when).output().unwrap();
        let log = fs::read_to_string(self.path("strace")).unwrap();
        log.contains("(INJECTED)").then(|| Output::of(output))
    }

    fn sync_under_strace(&self, fault: &str, call: &str, when: &str) -> Command {
        let mut command = Command::new(crate::servers::program("strace", "strace", "strace"));
        command
            .args(["-f", "-q", "-o"])
            .arg(self.path("strace"))
            .args(["-e", &format!("trace={call}")])
            .args(["-e", &format!("inject={call}:{fault}:when={when}")])
            .arg(env!("CARGO_BIN_EXE_headfast"))
            .args(["sync", "--config"])
            .arg(self.path("agent.yaml"))
            .stdin(Stdio::null());
        command
    }

    /// Reads a live file.
    #[track_caller]
    pub fn live(&self, path: &str) -> String {
        let path = self.path("live").join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Returns everything below the target, and all that would change if it did.
    pub fn snapshot(&self) -> BTreeMap<String, Entry> {
        let mut found = BTreeMap::new();
        visit(&self.path("live"), "", &mut found);
        found
    }
}

fn visit(root: &Path, below: &str, found: &mut BTreeMap<String, Entry>) {
    let Ok(entries) = fs::read_dir(root.join(below)) else { return };
    for entry in entries.map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let data = entry.metadata().unwrap();
        let kind = match data.file_type() {
            it if it.is_dir() => "folder".to_owned(),
            it if it.is_symlink() => format!("link to {}", fs::read_link(entry.path()).unwrap().display()),
            _ => format!("file {:?}", fs::read(entry.path()).unwrap()),
        };
        let mtime = if data.is_dir() { (0, 0) } else { (data.mtime(), data.mtime_nsec()) };
        found.insert(path.clone(), Entry { kind, mode: data.mode(), inode: data.ino(), mtime });
        if data.is_dir() {
            visit(root, &path, found);
        }
    }
}

/// Runs the program in a folder, with an environment of its own.
#[must_use = "assert how it ended"]
pub fn headfast(dir: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_headfast"))
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|it| ("PATH", it)))
        .env("HOME", dir)
        .env("TMPDIR", dir)
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Output::of(output)
}
