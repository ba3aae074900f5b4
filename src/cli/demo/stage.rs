//! What the demo plays on: a remote, a clone to work in, and a host with a service.

use crate::cli::exit::{Exit, Failure};
use crate::cli::ui::{DIM, HEAD, HINT, Ui};
use crate::cli::{self, Cli};
use crate::finding::{Code, Finding};
use clap::Parser;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The files of the config repository.
const REPOSITORY: &[(&str, &str)] = &[
    ("headfast.yaml", include_str!("repo/headfast.yaml")),
    ("config/app.yaml", include_str!("repo/config/app.yaml")),
    ("schemas/app.json", include_str!("repo/schemas/app.json")),
    ("templates/app/index.html.j2", include_str!("repo/templates/app/index.html.j2")),
    ("files/app/robots.txt", include_str!("repo/files/app/robots.txt")),
    ("files/app/errors/404.html", include_str!("repo/files/app/errors/404.html")),
];

/// The demo's world.
pub struct Stage<'a> {
    /// The folder that holds all of it, free of symbolic links.
    pub root: PathBuf,
    /// Where the story is told.
    pub ui: &'a Ui<'static>,
}

impl<'a> Stage<'a> {
    /// Makes the remote, the clone and the host.
    pub fn set_up(dir: &Path, ui: &'a Ui<'static>) -> Result<Stage<'a>, Failure> {
        let root = dir.canonicalize().map_err(|error| Failure::io("look at", dir, &error))?;
        let stage = Stage { root, ui };
        let service = stage.root.join("host/app");
        stage.write("host/app", include_str!("app.sh"), 0o700)?;
        // Where programs may not be run from temporary folders, the shell runs this one.
        let is_runnable = Command::new(&service).stdin(Stdio::null()).status().is_ok();
        let program = if is_runnable { service.clone() } else { PathBuf::from("/bin/sh") };
        let app = if is_runnable { quoted(&service) } else { format!("/bin/sh, {}", quoted(&service)) };
        let filled = |text: &str| {
            text.replace("@TARGET@", &quoted(&stage.root.join("srv/app")))
                .replace("@STATE@", &quoted(&stage.root.join("state")))
                .replace("@REMOTE@", &quoted(&stage.root.join("remote.git")))
                .replace("@PROGRAM@", &quoted(&program))
                .replace("@APP@", &app)
        };
        for (path, content) in REPOSITORY {
            stage.write(&format!("work/{path}"), &filled(content), 0o644)?;
        }
        stage.write("agent.yaml", &filled(include_str!("agent.yaml")), 0o600)?;
        stage.make_repositories()?;
        Ok(stage)
    }

    fn make_repositories(&self) -> Result<(), Failure> {
        self.git("", &["init", "--quiet", "--bare", "remote.git"])?;
        self.git("remote.git", &["symbolic-ref", "HEAD", "refs/heads/main"])?;
        self.git("", &["init", "--quiet", "work"])?;
        self.git("work", &["symbolic-ref", "HEAD", "refs/heads/main"])?;
        self.git("work", &["remote", "add", "origin", "../remote.git"])?;
        Ok(())
    }

    /// Runs git in a folder, with a fixed identity and nobody's configuration, and returns what it printed.
    pub fn git(&self, folder: &str, arguments: &[&str]) -> Result<String, Failure> {
        let failed = |reason: String| {
            let finding = Finding::error(Code::DEMO, format!("`git {}` failed: {reason}", arguments.join(" ")));
            Failure::new(finding.hint("the demo needs the git program, version 2.20 or later"))
        };
        let output = Command::new("git")
            .args(arguments)
            .current_dir(self.root.join(folder))
            .env_clear()
            .envs(std::env::var_os("PATH").map(|it| ("PATH", it)))
            .env("HOME", &self.root)
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "Ana")
            .env("GIT_AUTHOR_EMAIL", "ana@example.org")
            .env("GIT_COMMITTER_NAME", "Ana")
            .env("GIT_COMMITTER_EMAIL", "ana@example.org")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| failed(error.to_string()))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        }
    }

    /// Commits everything in the clone and pushes it.
    pub fn commit_and_push(&self, message: &str) -> Result<(), Failure> {
        self.command(&format!("git add --all && git commit -m {message:?} && git push"))?;
        self.git("work", &["add", "--all"])?;
        self.git("work", &["commit", "--quiet", "--message", message])?;
        self.git("work", &["push", "--quiet", "origin", "main"]).map(drop)
    }

    /// Runs a verb as someone would type it, and looks whether it ends as it should.
    pub fn headfast(&self, words: &[&str], expected: Exit) -> Result<(), Failure> {
        self.command(&format!("headfast {}", words.join(" ")))?;
        let config = self.root.join("agent.yaml");
        let line = ["headfast"].iter().chain(words).map(PathBuf::from).chain(["--config".into(), config]);
        let cli = Cli::try_parse_from(line).map_err(|error| Failure::usage(error.to_string()))?;
        let exit = match cli::run(&cli.verb, self.ui) {
            Ok(exit) => exit,
            Err(failure @ Failure::Output(_)) => return Err(failure),
            Err(failure) => self.ui.failure(&failure),
        };
        if exit != Exit::Done {
            self.ui.print(format_args!("{DIM}(exit {}){DIM:#}", exit.code()))?;
        }
        let message = format!("`headfast {}` exits with {}, not {}", words.join(" "), exit.code(), expected.code());
        self.expect(exit == expected, &message)
    }

    /// Fails the demo unless what it says is true.
    pub fn expect(&self, is_true: bool, otherwise: &str) -> Result<(), Failure> {
        match is_true {
            true => Ok(()),
            false => Err(Failure::new(
                Finding::error(Code::DEMO, format!("the demo did not go as it says: {otherwise}"))
                    .hint("this is a defect of headfast: please report it with the output above"),
            )),
        }
    }

    /// Starts a chapter.
    pub fn chapter(&self, title: &str, text: &str) -> Result<(), Failure> {
        self.ui.print(format_args!("\n{HEAD}{title}{HEAD:#}\n{text}"))
    }

    /// Shows what someone types.
    pub fn command(&self, line: &str) -> Result<(), Failure> {
        self.ui.print(format_args!("\n{HINT}$ {line}{HINT:#}"))
    }

    /// Shows a live file.
    pub fn cat(&self, path: &str) -> Result<String, Failure> {
        self.command(&format!("cat {path}"))?;
        let text = self.read(path)?;
        self.ui.print(crate::cli::words::escaped_lines(text.trim_end()))?;
        Ok(text)
    }

    /// Reads a file of the stage.
    pub fn read(&self, path: &str) -> Result<String, Failure> {
        let path = self.root.join(path);
        fs::read_to_string(&path).map_err(|error| Failure::io("read", &path, &error))
    }

    /// Replaces a part of a file of the stage, as an editor would; the file keeps its mode.
    pub fn edit(&self, path: &str, old: &str, new: &str) -> Result<(), Failure> {
        self.command(&format!("sed -i 's/{old}/{new}/' {path}"))?;
        let text = self.read(path)?;
        self.expect(text.contains(old), &format!("{path} does not hold {old:?}"))?;
        let path = self.root.join(path);
        fs::write(&path, text.replace(old, new)).map_err(|error| Failure::io("write", &path, &error))
    }

    fn write(&self, path: &str, content: &str, mode: u32) -> Result<(), Failure> {
        let path = self.root.join(path);
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder).map_err(|error| Failure::io("make", folder, &error))?;
        fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .map_err(|error| Failure::io("write", &path, &error))
    }
}

/// Quotes a path for YAML.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}
