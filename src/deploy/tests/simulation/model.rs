//! What the remote has and what is live, read without headfast.

use super::*;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::OnceLock;

/// Files by their path in the repository, whose first folder is the target's name.
pub(super) type Files = BTreeMap<String, String>;

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Good,
    /// Its probe fails.
    Bad,
    /// Its manifest cannot be read.
    Invalid,
}

/// Numbers that a seed decides (splitmix64).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((it ^ (it >> 31)) % n as u64) as usize
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn of<T: Clone>(&mut self, these: &[T]) -> T {
        these[self.below(these.len())].clone()
    }
}

/// Returns the address that good probes reach.
fn answering() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || listener.incoming().for_each(drop));
        address
    })
}

impl Simulation {
    /// Returns the manifest of a commit with this fate.
    pub(super) fn manifest(&self, fate: Fate) -> String {
        let probe = match fate {
            Fate::Good => format!("{{tcp: '{}', within: 60s, settle: 0s}}", answering()),
            // Nothing listens on the port of a service that nobody has had since the eighties.
            Fate::Bad => "{tcp: '127.0.0.1:1', within: 1ms, settle: 0s}".to_owned(),
            Fate::Invalid => return "version: 1\ntargets: [\n".to_owned(),
        };
        let mut text = "version: 1\nenvironments: {production: {type: production}}\ntargets:\n".to_owned();
        for name in ["app", "other"] {
            let publish = if self.is_generations(name) { "    publish: generations\n" } else { "" };
            text.push_str(&format!(
                "  {name}:\n    path: {}\n    files: [{{copy: {name}}}]\n    drift: heal\n    probe: [{probe}]\n{publish}",
                self.root(name).display()
            ));
        }
        text
    }

    pub(super) fn is_generations(&self, target: &str) -> bool {
        self.has_generations && target == "app"
    }

    pub(super) fn root(&self, target: &str) -> PathBuf {
        self.host.root.with_file_name(target)
    }

    /// Returns where a file of a target lies.
    pub(super) fn place(&self, path: &str) -> PathBuf {
        let (target, rest) = path.split_once('/').unwrap();
        match self.is_generations(target) {
            true => self.root(target).join("current").join(rest),
            false => self.root(target).join(rest),
        }
    }

    fn remote(&self) -> git2::Repository {
        let name = if self.is_away { "away.git" } else { "remote.git" };
        git2::Repository::open_bare(self.world.root.join(name)).unwrap()
    }

    /// Returns the tip of the remote's branch.
    pub(super) fn head(&self) -> Option<String> {
        self.remote().refname_to_id("refs/heads/main").ok().map(|it| it.to_string())
    }

    /// Returns what a commit holds.
    pub(super) fn revision(&self, commit: &str) -> (Fate, Files) {
        let remote = self.remote();
        let tree = remote.find_commit(git2::Oid::from_str(commit).unwrap()).unwrap().tree().unwrap();
        let mut files = Files::new();
        tree.walk(git2::TreeWalkMode::PreOrder, |folder, entry| {
            if let Ok(blob) = remote.find_blob(entry.id()) {
                let path = format!("{folder}{}", entry.name().unwrap());
                files.insert(path, String::from_utf8(blob.content().to_vec()).unwrap());
            }
            git2::TreeWalkResult::Ok
        })
        .unwrap();
        let manifest = files.remove("headfast.yaml").unwrap();
        let fates = [Fate::Good, Fate::Bad, Fate::Invalid];
        (fates.into_iter().find(|it| self.manifest(*it) == manifest).unwrap(), files)
    }

    /// Puts a commit on top of the branch.
    pub(super) fn commit(&mut self, subject: &str, fate: Fate, files: &Files) -> String {
        let remote = self.remote();
        let mut index = git2::Index::new().unwrap();
        let manifest = [("headfast.yaml".to_owned(), self.manifest(fate))];
        for (path, content) in manifest.iter().map(|it| (&it.0, &it.1)).chain(files) {
            let id = remote.blob(content.as_bytes()).unwrap();
            let zero = git2::IndexTime::new(0, 0);
            let entry = git2::IndexEntry {
                ctime: zero,
                mtime: zero,
                dev: 0,
                ino: 0,
                mode: 0o100_644,
                uid: 0,
                gid: 0,
                file_size: 0,
                id,
                flags: 0,
                flags_extended: 0,
                path: path.clone().into_bytes(),
            };
            index.add(&entry).unwrap();
        }
        let tree = remote.find_tree(index.write_tree_to(&remote).unwrap()).unwrap();
        let parent = self.head().map(|it| remote.find_commit(git2::Oid::from_str(&it).unwrap()).unwrap());
        let time = git2::Time::new(1_700_000_000 + self.commits.len() as i64, 0);
        let ana = git2::Signature::new("Ana", "ana@example.org", &time).unwrap();
        let parents: Vec<_> = parent.iter().collect();
        let id = remote.commit(Some("refs/heads/main"), &ana, &ana, subject, &tree, &parents).unwrap().to_string();
        self.commits.push(id.clone());
        id
    }

    /// Returns what is live: content and mode of every file in the targets.
    pub(super) fn live(&self) -> BTreeMap<String, (String, u32)> {
        let mut files = BTreeMap::new();
        for target in ["app", "other"] {
            let root = if self.is_generations(target) { self.root(target).join("current") } else { self.root(target) };
            read(&root, target, &mut files);
        }
        files
    }
}

fn read(folder: &Path, name: &str, files: &mut BTreeMap<String, (String, u32)>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.map(Result::unwrap) {
        let path = format!("{name}/{}", entry.file_name().to_str().unwrap());
        let data = entry.metadata().unwrap();
        match data.is_dir() {
            true if path.split('/').nth(1).is_some_and(|it| it.starts_with(crate::host::PREFIX)) => {}
            true => read(&entry.path(), &path, files),
            false => {
                let content = std::fs::read_to_string(entry.path()).unwrap();
                files.insert(path, (content, data.permissions().mode() & 0o7777));
            }
        }
    }
}
