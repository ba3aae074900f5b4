//! A live directory with targets, a state directory, and a ledger: made, looked at and compared.

use super::cases::{self, Case, Kind, Node};
use headfast::host::transaction::{self, Change, Request, Rows, TargetChange};
use headfast::host::{DigestKey, live, scan};
use headfast::manifest::Publish;
use headfast::plan::{LiveEntry, LiveKind, Recorded, Restat, Stat};
use headfast::render::{Content, TargetPath};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The repository whose transactions these are.
pub const REPOSITORY: &str = "site";

/// Inode and change time of every file and link.
pub type Inodes = Vec<(u64, i64, i64)>;

/// Every path below the live directory.
pub type Tree = BTreeMap<String, Node>;

/// What headfast wrote: target and path → row. The program keeps it in a database, whose own crashes others test.
pub type Ledger = BTreeMap<String, Recorded>;

/// The directories of one worker.
pub struct World {
    base: PathBuf,
    /// The state directory.
    pub state: String,
    /// The host's key.
    pub key: DigestKey,
}

impl World {
    /// Works in `base`, which must exist.
    pub fn new(base: &Path) -> World {
        let base = base.canonicalize().expect("the directory exists");
        let state = base.join("state").to_str().expect("paths of tests are UTF-8").to_owned();
        World { base, state, key: DigestKey::new([7; 32]) }
    }

    /// Another agent's view of the same live directory: it has a state directory and a ledger of its own.
    pub fn beside(first: &World) -> World {
        let state = format!("{}-beside", first.state);
        if Path::new(&state).exists() {
            std::fs::remove_dir_all(&state).unwrap();
        }
        std::fs::create_dir(&state).unwrap();
        let beside = World { base: first.base.clone(), state, key: first.key.clone() };
        std::fs::copy(first.ledger_path(), beside.ledger_path()).unwrap();
        beside
    }

    fn live(&self) -> PathBuf {
        self.base.join("live")
    }

    /// Returns where a target of a case is.
    pub fn root(&self, path: &str) -> String {
        format!("{}/{path}", self.live().display())
    }

    fn ledger_path(&self) -> PathBuf {
        Path::new(&self.state).join("ledger")
    }

    /// Makes the old tree and its ledger, and nothing else.
    pub fn reset(&self, case: &Case) {
        for folder in [self.live(), PathBuf::from(&self.state)] {
            if folder.exists() {
                std::fs::remove_dir_all(&folder).unwrap();
            }
            std::fs::create_dir(&folder).unwrap();
        }
        let mut ledger = Ledger::new();
        for target in case.targets.iter().filter(|it| !it.old.is_empty()) {
            let root = PathBuf::from(self.root(target.path));
            let folder = match case.publish {
                cases::Publish::InPlace => root.clone(),
                cases::Publish::Generations => begin_generations(&root),
            };
            std::fs::create_dir_all(&folder).unwrap();
            for (path, node) in &target.old {
                make(&folder.join(path), node);
            }
            let opened = live::open(root.to_str().unwrap()).unwrap().expect("it was just made");
            for (path, _) in target.old.iter().filter(|it| !it.0.starts_with("others/")) {
                let live = scan::observe(&opened, path, &self.key).unwrap().expect("it was just made");
                ledger.insert(format!("{}:{path}", self.root(target.path)), recorded(&live));
            }
            for path in &target.made {
                let live = scan::look(&opened, path).unwrap().expect("it was just made");
                let row = Recorded { stat: Stat::default(), ..recorded(&live) };
                ledger.insert(format!("{}:{path}", self.root(target.path)), row);
            }
        }
        std::fs::write(self.ledger_path(), serde_json::to_vec(&ledger).unwrap()).unwrap();
    }

    /// Removes all of the state but the ledger, so that an operation finds what it finds on a fresh host.
    pub fn tidy(&self) {
        std::fs::remove_dir_all(Path::new(&self.state).join("transactions")).ok();
    }

    /// Flushes the file system that everything is on.
    pub fn flush(&self) {
        rustix::fs::syncfs(std::fs::File::open(&self.base).unwrap()).unwrap();
    }

    /// Returns what tells the files of one tree from those of another that looks the same.
    pub fn inodes(&self) -> Inodes {
        let mut inodes = Inodes::new();
        identify(&self.live(), &mut inodes);
        inodes.sort_unstable();
        inodes
    }

    /// Returns everything below the live directory, headfast's own names included.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        visit(&self.live(), "", &mut tree);
        tree
    }

    /// Returns what a repository has on its shelf: how far a transaction is.
    pub fn shelf(&self) -> Vec<String> {
        let folder = Path::new(&self.state).join("transactions").join(REPOSITORY);
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Returns the path of a file on the shelf.
    pub fn on_shelf(&self, name: &str) -> PathBuf {
        Path::new(&self.state).join("transactions").join(REPOSITORY).join(name)
    }

    /// Returns the ledger.
    pub fn ledger(&self) -> Ledger {
        serde_json::from_slice(&std::fs::read(self.ledger_path()).unwrap()).unwrap()
    }

    /// Records what a transaction did, so that it lasts when this returns.
    pub fn record(&self, rows: &Rows) -> std::io::Result<()> {
        let mut ledger: Ledger = serde_json::from_slice(&std::fs::read(self.ledger_path())?)?;
        for at in &rows.remove {
            ledger.remove(&format!("{}:{}", at.root, at.path.as_str()));
        }
        for (at, row) in &rows.put {
            ledger.insert(format!("{}:{}", at.root, at.path.as_str()), row.clone());
        }
        for Restat { at, from, to } in &rows.restat {
            let row = ledger.get_mut(&format!("{}:{}", at.root, at.path.as_str()));
            row.into_iter().filter(|it| it.stat == *from).for_each(|it| it.stat = *to);
        }
        let fresh = Path::new(&self.state).join("ledger-new");
        let mut file = std::fs::File::create(&fresh)?;
        file.write_all(&serde_json::to_vec(&ledger)?)?;
        file.sync_all()?;
        std::fs::rename(&fresh, self.ledger_path())?;
        std::fs::File::open(&self.state)?.sync_all()
    }

    /// Returns the first row that does not say what is live; `strict` compares change times too.
    pub fn wrong_row(&self, strict: bool) -> Option<String> {
        for (at, row) in self.ledger() {
            let (root, path) = at.split_once(':').expect("the ledger is ours");
            let live = live::open(root).unwrap().and_then(|it| scan::observe(&it, path, &self.key).unwrap());
            let Some(live) = live else { return Some(format!("{at} is recorded and missing")) };
            if row.kind == LiveKind::Directory && live.kind == LiveKind::Directory {
                continue;
            }
            let mut now = recorded(&live);
            if !strict {
                now.stat.ctime_ns = row.stat.ctime_ns;
            }
            // A link has no mode of its own.
            if matches!(row.kind, LiveKind::Link(_)) {
                now.mode = row.mode;
            }
            now.identity.clone_from(&row.identity);
            if now != row {
                return Some(format!("{at} is recorded as {row:?} and is {now:?}"));
            }
        }
        None
    }

    /// Returns what is left to do for a case: its changes where the live tree differs from what is wanted.
    pub fn request(&self, case: &Case) -> Request {
        let ledger = self.ledger();
        let targets = case.targets.iter().map(|target| {
            let root = self.root(target.path);
            let opened = live::open(&root).unwrap();
            let changes = target.changes.iter().filter_map(|(path, wanted)| {
                let outgoing = opened.as_ref().and_then(|it| scan::observe(it, path, &self.key).unwrap());
                // A folder at a path is what holds the files that came instead.
                let outgoing = outgoing.filter(|it| it.kind != LiveKind::Directory);
                if self.is_wanted(outgoing.as_ref(), wanted.as_ref()) {
                    return None;
                }
                Some(Change {
                    path: TargetPath::new(path.as_bytes()).unwrap(),
                    incoming: wanted.as_ref().map(|it| (content(it), wanted_row(it))),
                    outgoing,
                    row_before: ledger.get(&format!("{root}:{path}")).cloned(),
                    row_after: None,
                    unowned: false,
                })
            });
            let changes: Vec<Change> = changes.collect();
            let inside = format!("{root}:");
            let made = ledger.iter().filter(|it| it.1.kind == LiveKind::Directory);
            let made = made.filter_map(|(at, _)| at.strip_prefix(&inside).map(str::to_owned)).collect();
            TargetChange {
                root,
                directories: (0o751, own().0, own().1),
                made,
                publish: Some(match case.publish {
                    cases::Publish::InPlace => Publish::InPlace,
                    cases::Publish::Generations => Publish::Generations,
                }),
                sensitive: target.sensitive.clone(),
                changes,
            }
        });
        Request {
            deployment: 1,
            repository: REPOSITORY.into(),
            targets: targets.filter(|it| !it.changes.is_empty()).collect(),
            actions: serde_json::Value::Null,
        }
    }

    fn is_wanted(&self, live: Option<&LiveEntry>, wanted: Option<&Node>) -> bool {
        match (live, wanted) {
            (None, None) => true,
            (Some(live), Some(wanted)) => match (&live.kind, &wanted.kind) {
                (LiveKind::Link(text), Kind::Link(other)) => text == other,
                (LiveKind::File, Kind::File(bytes)) => {
                    (live.mode, live.uid, live.gid) == (wanted.mode, wanted.uid, wanted.gid)
                        && live.digest.as_ref() == Some(&self.key.of(bytes))
                }
                _ => false,
            },
            _ => false,
        }
    }
}

/// The generations that a target has had: one more than are kept beside the live one, the last of them.
fn begin_generations(root: &Path) -> PathBuf {
    let folder = root.join(live::GENERATIONS);
    let newest = transaction::KEPT + 1;
    for number in 1..newest {
        std::fs::create_dir_all(folder.join(number.to_string())).unwrap();
        std::fs::write(folder.join(number.to_string()).join("of-old"), format!("{number}")).unwrap();
    }
    std::os::unix::fs::symlink(format!("{}/{newest}", live::GENERATIONS), root.join(live::CURRENT)).unwrap();
    folder.join(newest.to_string())
}

fn own() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

fn recorded(live: &LiveEntry) -> Recorded {
    Recorded {
        identity: "identity".into(),
        kind: live.kind.clone(),
        digest: live.digest.clone().map(|it| it.0).unwrap_or_default(),
        mode: live.mode,
        uid: live.uid,
        gid: live.gid,
        sensitive: false,
        stat: live.stat,
    }
}

fn wanted_row(node: &Node) -> Recorded {
    let kind = match &node.kind {
        Kind::Link(text) => LiveKind::Link(text.clone()),
        Kind::File(_) => LiveKind::File,
        Kind::Folder => LiveKind::Directory,
    };
    let (mode, uid, gid) = (node.mode, node.uid, node.gid);
    let identity = "identity".to_owned();
    Recorded { identity, kind, digest: String::new(), mode, uid, gid, sensitive: false, stat: Stat::default() }
}

fn content(node: &Node) -> Content {
    match &node.kind {
        Kind::File(bytes) => Content::Bytes(Arc::from(bytes.as_slice())),
        Kind::Link(text) => Content::Link(text.clone()),
        Kind::Folder => panic!("a folder is not deployed"),
    }
}

fn make(path: &Path, node: &Node) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    match &node.kind {
        Kind::File(bytes) => {
            std::fs::write(path, bytes).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(node.mode)).unwrap();
        }
        Kind::Link(text) => std::os::unix::fs::symlink(text, path).unwrap(),
        Kind::Folder => std::fs::create_dir(path).unwrap(),
    }
    if (node.uid, node.gid) != own() {
        std::os::unix::fs::lchown(path, Some(node.uid), Some(node.gid)).unwrap();
        if !matches!(node.kind, Kind::Link(_)) {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(node.mode)).unwrap();
        }
    }
    for (name, value) in &node.attributes {
        // Not every file system has them; then there are none to be lost.
        rustix::fs::lsetxattr(path, name.as_str(), value, rustix::fs::XattrFlags::empty()).ok();
    }
}

fn visit(folder: &Path, prefix: &str, tree: &mut Tree) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        let metadata = path.symlink_metadata().unwrap();
        let is_link = metadata.is_symlink();
        let kind = match metadata.file_type() {
            it if it.is_dir() => Kind::Folder,
            it if it.is_symlink() => Kind::Link(path.read_link().unwrap().to_str().unwrap().to_owned()),
            _ => Kind::File(std::fs::read(&path).unwrap()),
        };
        if kind == Kind::Folder {
            visit(&path, &format!("{name}/"), tree);
        }
        let (mode, uid, gid) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
        let attributes = if is_link { Vec::new() } else { attributes(&path) };
        tree.insert(name, Node { kind, mode, uid, gid, attributes });
    }
}

fn identify(folder: &Path, inodes: &mut Inodes) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            identify(&entry.path(), inodes);
        } else {
            let metadata = entry.metadata().unwrap();
            inodes.push((metadata.ino(), metadata.ctime(), metadata.ctime_nsec()));
        }
    }
}

fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut list = [0u8; 1024];
    let Ok(length) = rustix::fs::llistxattr(path, &mut list[..]) else { return Vec::new() };
    let names = list[..length].split(|it| *it == 0).filter(|it| it.starts_with(b"user."));
    names
        .map(|name| {
            let name = String::from_utf8_lossy(name).into_owned();
            let mut value = [0u8; 256];
            let length = rustix::fs::lgetxattr(path, name.as_str(), &mut value[..]).unwrap();
            (name, value[..length].to_vec())
        })
        .collect()
}

/// Returns whether a name is that of a folder in which something is staged.
pub fn is_staging(name: &str) -> bool {
    name.starts_with(headfast::host::PREFIX) && name != live::GENERATIONS
}

/// Returns the tree without what is staged.
pub fn visible(tree: &Tree) -> Tree {
    let is_staged = |path: &str| path.split('/').any(is_staging);
    tree.iter().filter(|it| !is_staged(it.0)).map(|(path, node)| (path.clone(), node.clone())).collect()
}

/// Says in what two trees differ, without contents that are long.
pub fn difference(found: &Tree, wanted: &Tree) -> String {
    let mut lines = Vec::new();
    for (path, node) in found {
        match wanted.get(path) {
            None => lines.push(format!("+{path}")),
            Some(other) if other != node => lines.push(format!("{path}: {node:?} instead of {other:?}")),
            Some(_) => {}
        }
    }
    lines.extend(wanted.keys().filter(|it| !found.contains_key(*it)).map(|it| format!("-{it}")));
    lines.truncate(6);
    lines.join("; ")
}
