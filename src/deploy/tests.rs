//! Whole passes against a real repository and a real target, both in a temporary directory.

mod faults;
mod generations;
mod obstacles;
mod passes;
mod probes;
mod recovery;
mod reverts;
mod rollbacks;
mod simulation;
mod units;

use super::{ConfigDeployment, ConfigurationDeployer, DeploymentStatus};
use crate::host::service::{Client, Way};
use crate::monitor::{ConfigurationMonitor, DriftReport};
use crate::plan::LivePath;
use crate::record::{Deployment, Trigger};
use crate::render::TargetPath;
use crate::settings::{self, Settings};
use crate::state::Store;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A bare repository, and the work tree that fills it.
struct World {
    _temp: tempfile::TempDir,
    root: PathBuf,
}

/// A host that follows it.
struct Host {
    settings: Settings,
    root: PathBuf,
}

fn world() -> World {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().canonicalize().unwrap();
    git(&root, &["init", "-q", "--bare", "-b", "main", "remote.git"]);
    git(&root, &["init", "-q", "-b", "main", "work"]);
    World { _temp: temp, root }
}

/// A world whose manifest has one target, and a host that has deployed `files` there.
fn deployed(target: &str, files: &[(&str, &str)]) -> (World, Host) {
    let world = world();
    world.manifest(target);
    world.commit("start", files);
    let host = world.host("one", "");
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::Success));
    (world, host)
}

impl World {
    /// Writes a manifest with the target `app` on every host; its directory is the host's own.
    fn manifest(&self, target: &str) {
        let mut text = "version: 1\nenvironments: {production: {type: production}}\ntargets:\n".to_owned();
        for host in ["one", "two"] {
            let path = self.root.join(host).join("app");
            let target = target.replace("ROOT", path.to_str().unwrap());
            text.push_str(&format!(
                "  {host}:\n    path: {}\n    on: {{host: {host}}}\n    files: [{{copy: files}}]\n{target}\n",
                path.display()
            ));
        }
        self.write("headfast.yaml", &text);
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root.join("work").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Commits the given files below `files`, an empty content removes, and pushes.
    fn commit(&self, subject: &str, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            match *content {
                "" => std::fs::remove_file(self.root.join("work/files").join(path)).unwrap(),
                content => self.write(&format!("files/{path}"), content),
            }
        }
        let work = self.root.join("work");
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "--allow-empty", "-m", subject]);
        git(&work, &["push", "-q", "../remote.git", "HEAD:main"]);
        git(&work, &["rev-parse", "HEAD"])
    }

    fn remote(&self, arguments: &[&str]) -> String {
        git(&self.root.join("remote.git"), arguments)
    }

    /// Returns a host with more lines for its repository in agent.yaml.
    fn host(&self, name: &str, more: &str) -> Host {
        let root = self.root.join(name);
        std::fs::create_dir_all(&root).unwrap();
        let text = format!(
            "host: {name}\nstate_dir: {state}\nrepositories:\n  - name: site\n    url: {url}\n    branch: main\n    \
             environment: production\n    allow: {{paths: [{root}], commands: [/bin/sh], units: [x.service, y.service]}}\n{more}",
            state = root.join("state").display(),
            url = self.root.join("remote.git").display(),
            root = root.display(),
        );
        let file = root.join("agent.yaml");
        std::fs::write(&file, text).unwrap();
        let settings = settings::load(&file).unwrap_or_else(|error| panic!("{:?}", error.findings));
        Host { settings, root: root.join("app") }
    }
}

impl Host {
    fn with<T>(&self, work: impl FnOnce(&ConfigurationDeployer<'_>) -> T) -> T {
        let store = Store::open(&self.settings.state_dir, "test").unwrap();
        let deployer =
            ConfigurationDeployer::new(&self.settings, &self.settings.repositories[0], &store, &|_| {}).unwrap();
        work(&deployer)
    }

    /// Makes a pass with another systemctl, which notes its arguments; returns them.
    fn sync_with_systemctl(&self, script: &str) -> (ConfigDeployment, Vec<String>) {
        use std::os::unix::fs::PermissionsExt;
        let (file, log) = (self.root.with_file_name("systemctl"), self.root.with_file_name("log"));
        let text = format!("#!/bin/sh\nshift\necho \"$@\" >>{}\n{script}\n", log.display());
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let store = Store::open(&self.settings.state_dir, "test").unwrap();
        let mut deployer =
            ConfigurationDeployer::new(&self.settings, &self.settings.repositories[0], &store, &|_| {}).unwrap();
        let systemctl = file.to_str().unwrap().to_owned();
        let powers = crate::host::service::Powers { systemctl, ..super::powers(&self.settings) };
        deployer.client = Client::new(Way::Here(powers), "site", deployer.key.clone());
        let result = deployer.sync(Trigger::Manual).unwrap();
        let log = std::fs::read_to_string(log).unwrap_or_default();
        (result, log.lines().map(str::to_owned).collect())
    }

    fn sync(&self) -> ConfigDeployment {
        self.sync_by(Trigger::Manual)
    }

    fn sync_by(&self, trigger: Trigger) -> ConfigDeployment {
        self.with(|it| it.sync(trigger)).unwrap()
    }

    fn drift(&self) -> DriftReport {
        self.with(|it| ConfigurationMonitor::new(it).scan()).unwrap().unwrap()
    }

    /// Returns the paths that have drifted, with how.
    fn drifted(&self) -> Vec<(String, &'static str)> {
        self.drift().items.iter().map(|it| (it.at.path.to_string(), it.kind.as_str())).collect()
    }

    fn at(&self, path: &str) -> LivePath {
        LivePath { root: self.root.to_str().unwrap().into(), path: TargetPath::new(path.as_bytes()).unwrap() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_else(|error| format!("<{error}>"))
    }

    fn edit(&self, path: &str, content: &str) {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        std::fs::write(self.path(path), content).unwrap();
    }

    fn history(&self) -> Vec<Deployment> {
        self.with(|it| it.store().deployments(Some("site"), 1000)).unwrap()
    }

    /// Returns the contents that were kept, newest first.
    fn kept(&self) -> Vec<(String, String)> {
        self.with(|it| {
            let kept = it.store().kept(Some("site")).unwrap();
            let read = |id: &str| String::from_utf8(it.store().read_kept(id).unwrap()).unwrap();
            kept.iter().map(|it| (it.kept.path.clone(), read(&it.kept.id))).collect()
        })
    }

    /// Returns headfast's own names that are left in the target.
    fn leftovers(&self) -> Vec<String> {
        let names = std::fs::read_dir(&self.root).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
        names.filter(|it| it.starts_with(crate::host::PREFIX)).collect()
    }
}

fn status(result: &ConfigDeployment) -> Option<DeploymentStatus> {
    result.deployment.as_ref().map(|it| it.status)
}

fn codes(result: &ConfigDeployment) -> Vec<&'static str> {
    result.findings.iter().map(|it| it.code.name).collect()
}

#[track_caller]
fn git(dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.env_clear().arg("-C").arg(dir).args(arguments);
    for (name, value) in [
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_AUTHOR_NAME", "Ana"),
        ("GIT_AUTHOR_EMAIL", "ana@example.org"),
        ("GIT_AUTHOR_DATE", "1700000000 +0000"),
        ("GIT_COMMITTER_NAME", "Ana"),
        ("GIT_COMMITTER_EMAIL", "ana@example.org"),
        ("GIT_COMMITTER_DATE", "1700000000 +0000"),
    ] {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
