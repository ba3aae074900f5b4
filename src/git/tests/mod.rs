//! Tests against real repositories of this host, made with git itself.

mod blame;
mod fetch;
mod heal;
mod push;
mod read;

use super::{Credentials, Error, Mirror, Remote};
use crate::finding::Code;
use crate::revision::{ObjectId, RemoteUrl, Tree};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A work tree, the bare repository that it pushes to, and room for a mirror.
struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let fixture = Fixture::empty();
        fixture.commit("a", "one");
        fixture.push();
        fixture
    }

    fn empty() -> Fixture {
        let fixture = Fixture { dir: tempfile::tempdir().expect("makes a folder") };
        git(fixture.dir.path(), &["init", "-q", "--bare", "-b", "main", "remote.git"]);
        git(fixture.dir.path(), &["init", "-q", "-b", "main", "work"]);
        fixture
    }

    fn bare(&self) -> PathBuf {
        self.dir.path().join("remote.git")
    }

    fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(&self.work(), arguments)
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.work().join(path);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("makes folders");
        std::fs::write(path, content).expect("writes");
    }

    fn commit(&self, path: &str, content: &str) -> ObjectId {
        self.write(path, content);
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", &format!("{path}: {content}")]);
        self.head()
    }

    fn head(&self) -> ObjectId {
        ObjectId::new(&self.git(&["rev-parse", "HEAD"]))
    }

    fn push(&self) {
        self.git(&["push", "-q", "--force", "../remote.git", "HEAD:main"]);
    }

    fn remote(&self) -> Remote {
        remote(&self.bare())
    }

    fn mirror_dir(&self) -> PathBuf {
        self.dir.path().join("state/mirror.git")
    }

    fn mirror(&self) -> Mirror {
        Mirror::open(&self.mirror_dir()).expect("opens")
    }

    /// Fetches `main` as one pass of the agent does: from opening the mirror to reading every file.
    fn pass(&self) -> Result<Vec<(String, Vec<u8>)>, String> {
        let mut mirror = Mirror::open(&self.mirror_dir()).map_err(|it| it.to_string())?;
        let tip = mirror.fetch(&self.remote(), "main").map_err(|it| it.to_string())?;
        let tree = mirror.tree(&tip).map_err(|it| it.to_string())?;
        let mut files = Vec::new();
        read_all(&tree, "", &mut files).map_err(|it| it.to_string())?;
        Ok(files)
    }
}

fn read_all(tree: &dyn Tree, path: &str, files: &mut Vec<(String, Vec<u8>)>) -> Result<(), crate::revision::ReadError> {
    for entry in tree.list(path)?.unwrap_or_default() {
        let name = String::from_utf8_lossy(&entry.name);
        let at = if path.is_empty() { name.into_owned() } else { format!("{path}/{name}") };
        match entry.kind {
            crate::revision::EntryKind::Directory => read_all(tree, &at, files)?,
            _ => files.push((at, tree.blob(&entry.id)?)),
        }
    }
    Ok(())
}

fn remote(path: &Path) -> Remote {
    let url = RemoteUrl::parse(&path.display().to_string()).expect("parses");
    Remote { url, auth: Credentials::default(), deadline: Duration::from_secs(60) }
}

fn code<T>(result: Result<T, Error>) -> Option<Code> {
    result.err().map(|it| it.code())
}

#[track_caller]
fn git(dir: &Path, arguments: &[&str]) -> String {
    git_with(dir, arguments, b"")
}

#[track_caller]
fn git_with(dir: &Path, arguments: &[&str], input: &[u8]) -> String {
    use std::io::Write;
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, value) in [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_AUTHOR_NAME", "Ana"),
        ("GIT_AUTHOR_EMAIL", "ana@example.org"),
        ("GIT_COMMITTER_NAME", "Ana"),
        ("GIT_COMMITTER_EMAIL", "ana@example.org"),
    ] {
        command.env(name, value);
    }
    let mut child = command.spawn().expect("git is installed");
    child.stdin.take().expect("is piped").write_all(input).expect("git reads");
    let output = child.wait_with_output().expect("git ends");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
