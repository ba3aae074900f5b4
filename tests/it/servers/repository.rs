//! A bare repository to be served, and the work tree that fills it.

use super::run;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with `remote.git` and a work tree that pushes there by its path.
pub struct Repository {
    dir: tempfile::TempDir,
}

impl Repository {
    /// Makes a repository with one commit on `main`.
    pub fn new() -> Repository {
        let repository = Repository { dir: tempfile::tempdir().expect("makes a folder") };
        repository.init("remote.git", &[]);
        git(repository.dir.path(), &["init", "-q", "-b", "main", "work"]);
        repository.commit("a", "one");
        repository
    }

    /// Makes another bare repository in the same folder.
    pub fn init(&self, name: &str, options: &[&str]) -> PathBuf {
        let mut arguments = vec!["init", "-q", "--bare", "-b", "main"];
        arguments.extend(options);
        arguments.push(name);
        git(self.dir.path(), &arguments);
        self.dir.path().join(name)
    }

    /// Returns the folder that is served.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the bare repository.
    pub fn bare(&self) -> PathBuf {
        self.dir.path().join("remote.git")
    }

    /// Returns a place for a mirror.
    pub fn mirror_dir(&self) -> PathBuf {
        self.dir.path().join("mirror.git")
    }

    /// Commits one file, pushes it to `main`, and returns the commit's id.
    pub fn commit(&self, path: &str, content: &str) -> String {
        let work = self.dir.path().join("work");
        std::fs::write(work.join(path), content).expect("writes");
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "-m", &format!("change {path}")]);
        git(&work, &["push", "-q", "../remote.git", "HEAD:main"]);
        self.tip("HEAD")
    }

    /// Returns what a name stands for in the work tree.
    pub fn tip(&self, name: &str) -> String {
        git(&self.dir.path().join("work"), &["rev-parse", name])
    }

    /// Returns what a name stands for in the bare repository.
    pub fn remote_tip(&self, name: &str) -> String {
        git(&self.bare(), &["rev-parse", name])
    }

    /// Sets a hook of the bare repository.
    pub fn hook(&self, name: &str, script: &str) {
        let path = self.bare().join("hooks").join(name);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("makes a folder");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("may");
    }
}

/// Runs git, undisturbed by anybody's configuration.
#[track_caller]
pub fn git(dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).args(arguments);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Ana").env(format!("GIT_{who}_EMAIL"), "ana@example.org");
    }
    run(&mut command)
}
