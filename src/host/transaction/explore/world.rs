//! What is deployed in an exploration, and what has to be there before and after.

use super::super::generation::same_file;
use super::super::{Change, Request, Rows, TargetChange};
use super::published;
use crate::host::model::{Access, Attributes, Disk, Kind, Listed};
use crate::host::{DigestKey, live, scan};
use crate::manifest::Publish;
use crate::plan::{LiveKind, LivePath, Recorded, Restat, Stat};
use crate::render::{Content, TargetPath};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub const STATE: &str = "/state";
pub const SHELF: &str = "/state/transactions/site";
/// All targets are below it, so that a listing of it shows them and whatever was left beside them.
pub const SITES: &str = "/srv";
const OLD_FILE: Access = (0o600, 11, 12);
const NEW_FILE: Access = (0o4751, 33, 34);
pub const OLD_FOLDER: Access = (0o711, 11, 12);
const NEW_FOLDER: Access = (0o2770, 33, 34);
const LINK: &str = "-> ";

/// Files that are there and how they are to change: `Some` text comes, `None` goes; a text that begins with `-> ` is a link.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub old: &'static [(&'static str, &'static str)],
    pub changes: &'static [(&'static str, Option<&'static str>)],
    /// Folders that headfast made, which go when they become empty.
    pub made: &'static [&'static str],
    pub targets: usize,
    /// Whether the targets do not exist yet.
    pub missing: bool,
    /// Whether a staged view is built.
    pub view: bool,
    /// The targets that are published by generations, by number.
    pub trees: &'static [usize],
    /// How many generations each of these has; the last is live.
    pub past: u64,
    /// Whether they are given up.
    pub given_up: bool,
    /// Files that hold something that was encrypted.
    pub sensitive: &'static [&'static str],
    /// Whether old files and folders have an extended attribute.
    pub marked: bool,
    /// Whether the file system shares blocks.
    pub reflinks: bool,
}

/// Which files are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Old,
    New,
}

/// The ledger: what is recorded of every path.
pub type Ledger = BTreeMap<(String, String), Row>;

/// A row of the ledger. As of a disk, change times make no difference between two of them: names move, and files do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    kind: Kind,
    digest: String,
    access: Access,
    stat: Stat,
}

impl Hash for Row {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let stat = (self.stat.inode, self.stat.size, self.stat.mtime_ns);
        (self.kind, &self.digest, self.access, stat).hash(state);
    }
}

/// A scenario made real.
pub struct World {
    pub scenario: Scenario,
    pub key: DigestKey,
    pub disk: Disk,
    pub ledger: Ledger,
    old: Vec<Listed>,
    new: Vec<Listed>,
    /// The same as readers see it.
    seen: [Vec<Listed>; 2],
}

impl World {
    pub fn new(scenario: Scenario) -> World {
        let mut disk = Disk::new();
        disk.reflinks = scenario.reflinks;
        disk.put(STATE, Kind::Dir, "", (0o700, 0, 0));
        disk.put(SITES, Kind::Dir, "", (0o755, 0, 0));
        let key = DigestKey::new([7; 32]);
        let mut ledger = Ledger::new();
        for number in 0..scenario.targets {
            let root = root(number);
            if !scenario.missing {
                disk.put(&root, Kind::Dir, "", OLD_FOLDER);
            }
            let live = match scenario.trees.contains(&number) {
                true => published::put_generations(&mut disk, &scenario, &root),
                false => root.clone(),
            };
            put_files(&mut disk, &scenario, &live);
            for (path, text) in scenario.old {
                let (kind, text, access) = written(text, OLD_FILE);
                let stat = disk.stat(&format!("{live}/{path}")).expect("it was put there");
                let row = Row { kind, digest: key.of(text.as_bytes()).0, access, stat };
                ledger.insert((root.clone(), (*path).to_owned()), row);
            }
            for path in scenario.made {
                let row = Row { kind: Kind::Dir, digest: String::new(), access: OLD_FOLDER, stat: Stat::default() };
                ledger.insert((root.clone(), (*path).to_owned()), row);
            }
        }
        for it in disk.files(SITES).iter().filter(|it| scenario.marked && it.kind != Kind::Link) {
            disk.mark(&format!("{SITES}/{}", it.path.trim_end_matches('/')), b"user.mark", b"old");
        }
        let old = disk.files(SITES);
        let new = expected(&scenario, &old);
        let seen = [&old, &new].map(|it| published::seen(&scenario, it));
        World { scenario, key, disk, ledger, old, new, seen }
    }

    /// Returns the request that makes the scenario's changes, as a plan would from what is live.
    pub fn request(&self) -> Request {
        let target = |number: usize| {
            let root = root(number);
            let changes = self.scenario.changes.iter().map(|it| self.change(&root, it.0, it.1)).collect();
            let made = self.scenario.made.iter().map(|it| (*it).to_owned()).collect();
            TargetChange {
                root,
                publish: match self.scenario.trees.contains(&number) {
                    true => (!self.scenario.given_up).then_some(Publish::Generations),
                    false => Some(Publish::InPlace),
                },
                sensitive: self.scenario.sensitive.iter().map(|it| (*it).to_owned()).collect(),
                directories: NEW_FOLDER,
                made,
                changes,
            }
        };
        Request {
            deployment: 1,
            repository: "site".into(),
            targets: (0..self.scenario.targets).map(target).collect(),
            actions: serde_json::Value::Null,
        }
    }

    fn change(&self, root: &str, path: &str, text: Option<&'static str>) -> Change {
        let live = live::open(root).unwrap().and_then(|it| scan::observe(&it, path, &self.key).unwrap());
        let row_before = live.as_ref().map(|it| Recorded {
            digest: it.digest.clone().map(|it| it.0).unwrap_or_default(),
            stat: it.stat,
            ..row(it.kind.clone(), (it.mode, it.uid, it.gid))
        });
        let incoming = text.map(|text| {
            let (kind, text, access) = written(text, NEW_FILE);
            let content = match kind {
                Kind::Link => Content::Link(text.to_owned()),
                _ => Content::Bytes(Arc::from(text.as_bytes())),
            };
            (content, row(live_kind(kind, text), access))
        });
        let path = TargetPath::new(path.as_bytes()).unwrap();
        Change { path, incoming, outgoing: live, row_before, row_after: None, unowned: false }
    }

    /// Returns which side the targets are on: every byte, mode, owner and name, and nothing else beside them.
    pub fn side(&self, disk: &Disk) -> Result<Side, String> {
        side_of(&disk.files(SITES), &self.old, &self.new)
    }

    /// The same, but headfast's own names may be there: of generations only what readers see.
    pub fn visible_side(&self, disk: &Disk) -> Result<Side, String> {
        let [old, new] = &self.seen;
        side_of(&published::seen(&self.scenario, &disk.files(SITES)), old, new)
    }

    /// Whether readers of every target that is published by generations see one tree of two, whole.
    pub fn trees_are_whole(&self, disk: &Disk) -> Result<(), String> {
        if self.scenario.trees.is_empty() {
            return Ok(());
        }
        let (found, [old, new]) = (published::seen(&self.scenario, &disk.files(SITES)), &self.seen);
        self.scenario.trees.iter().try_for_each(|number| {
            let current = format!("t{number}/{}", live::CURRENT);
            let tree =
                |all: &[Listed]| all.iter().filter(|it| it.path.starts_with(&current)).cloned().collect::<Vec<_>>();
            let side = side_of(&tree(&found), &tree(old), &tree(new));
            side.map(drop).map_err(|error| format!("a reader of t{number} sees what is {error}"))
        })
    }

    /// Whether every path that is on both sides is there, with the bytes of one of them.
    pub fn is_readable(&self, disk: &Disk) -> Result<(), String> {
        let found = disk.files(SITES);
        let text_of = |all: &[Listed], path: &str| {
            all.iter().find(|it| it.path == path && it.kind != Kind::Dir).map(|it| it.text.clone())
        };
        for old in self.old.iter().filter(|it| it.kind != Kind::Dir) {
            let Some(new) = text_of(&self.new, &old.path) else { continue };
            let text = text_of(&found, &old.path);
            if text.as_ref() != Some(&old.text) && text.as_ref() != Some(&new) {
                return Err(format!("a reader of {} finds {text:?}", old.path));
            }
        }
        Ok(())
    }

    /// Whether the ledger says what is there.
    pub fn agrees(&self, ledger: &Ledger, disk: &Disk) -> Result<(), String> {
        let mut recorded = ledger.clone();
        for it in published::seen(&self.scenario, &disk.files(SITES)) {
            let Some((target, path)) = it.path.split_once('/').filter(|it| !it.1.is_empty()) else { continue };
            let (root, path) = (format!("{SITES}/{target}"), published::in_tree(path));
            let row = recorded.remove(&(root.clone(), path.to_owned()));
            let digest = if it.kind == Kind::Dir { String::new() } else { self.key.of(it.text.as_bytes()).0 };
            let stat = disk.stat(&format!("{}/{path}", published::place(disk, &root)));
            match row {
                Some(row) if (row.kind, &row.digest, row.access) == (it.kind, &digest, it.access) => {
                    if it.kind != Kind::Dir && !stat.is_some_and(|it| same_file(&it, &row.stat)) {
                        return Err(format!("the ledger knows {} by {:?}, and it is {stat:?}", it.path, row.stat));
                    }
                }
                None if it.kind == Kind::Dir => {}
                other => return Err(format!("the ledger has {other:?} for {it:?}")),
            }
        }
        if recorded.is_empty() { Ok(()) } else { Err(format!("the ledger has {recorded:?}, which are not there")) }
    }
}

/// Writes the rows of a transaction down.
pub fn record(ledger: &mut Ledger, rows: Rows) {
    for at in rows.remove {
        ledger.remove(&key_of(at));
    }
    for (at, row) in rows.put {
        let kind = match row.kind {
            LiveKind::Link(_) => Kind::Link,
            LiveKind::Directory => Kind::Dir,
            _ => Kind::File,
        };
        let access = (row.mode, row.uid, row.gid);
        ledger.insert(key_of(at), Row { kind, digest: row.digest, access, stat: row.stat });
    }
    follow(ledger, rows.restat);
}

/// Lets the rows of files that nobody changed follow what those are known by.
pub fn follow(ledger: &mut Ledger, moved: Vec<Restat>) {
    for Restat { at, from, to } in moved {
        if let Some(row) = ledger.get_mut(&key_of(at)).filter(|it| it.stat == from) {
            row.stat = to;
        }
    }
}

fn key_of(at: LivePath) -> (String, String) {
    (at.root, at.path.as_str().to_owned())
}

/// Puts the old files into a directory.
pub fn put_files(disk: &mut Disk, scenario: &Scenario, folder: &str) {
    for (path, text) in scenario.old {
        for (end, _) in path.match_indices('/') {
            disk.put(&format!("{folder}/{}", &path[..end]), Kind::Dir, "", OLD_FOLDER);
        }
        let (kind, text, access) = written(text, OLD_FILE);
        disk.put(&format!("{folder}/{path}"), kind, text, access);
    }
}

pub fn root(number: usize) -> String {
    format!("{SITES}/t{number}")
}

fn row(kind: LiveKind, access: Access) -> Recorded {
    let (mode, uid, gid) = access;
    let (identity, digest) = (String::new(), String::new());
    Recorded { identity, kind, digest, mode, uid, gid, sensitive: false, stat: Stat::default() }
}

fn written(text: &'static str, access: Access) -> (Kind, &'static str, Access) {
    match text.strip_prefix(LINK) {
        Some(to) => (Kind::Link, to, (0o777, access.1, access.2)),
        None => (Kind::File, text, access),
    }
}

fn live_kind(kind: Kind, text: &str) -> LiveKind {
    match kind {
        Kind::File => LiveKind::File,
        Kind::Dir => LiveKind::Directory,
        Kind::Link => LiveKind::Link(text.to_owned()),
    }
}

/// Works out what has to be there afterwards, from the scenario alone.
fn expected(scenario: &Scenario, old: &[Listed]) -> Vec<Listed> {
    let mut all: BTreeMap<String, Listed> = old.iter().map(|it| (it.path.clone(), it.clone())).collect();
    for number in 0..scenario.targets {
        match scenario.trees.contains(&number) {
            true => published::publish(scenario, &mut all, &format!("t{number}/")),
            false => change(scenario, &mut all, &format!("t{number}/")),
        }
    }
    // The order in which a listing comes: a folder's name sorts without its slash.
    let mut all: Vec<Listed> = all.into_values().collect();
    all.sort_by(|a, b| a.path.trim_end_matches('/').split('/').cmp(b.path.trim_end_matches('/').split('/')));
    all
}

/// Makes the scenario's changes in a folder of a listing; the folder's path ends with a slash.
pub fn change(scenario: &Scenario, all: &mut BTreeMap<String, Listed>, target: &str) {
    let whole = |path: &str| format!("{target}{path}");
    let gone: BTreeMap<&str, Listed> =
        scenario.changes.iter().filter_map(|it| Some((it.0, all.remove(&whole(it.0))?))).collect();
    for made in scenario.made.iter().rev() {
        let folder = format!("{target}{made}/");
        if !all.keys().any(|it| it.starts_with(&folder) && *it != folder) {
            all.remove(&folder);
        }
    }
    for (path, text) in scenario.changes.iter().filter_map(|it| Some((it.0, it.1?))) {
        let (kind, text, access) = written(text, NEW_FILE);
        // A file takes over the attributes of the file that it replaces.
        let replaced = gone.get(path).filter(|it| (it.kind, kind) == (Kind::File, Kind::File));
        let attributes = replaced.map_or_else(Attributes::new, |it| it.attributes.clone());
        put(all, Listed { path: whole(path), kind, text: text.to_owned(), access, attributes });
    }
}

/// Adds something to a listing, with the folders that lead to it.
pub fn put(all: &mut BTreeMap<String, Listed>, it: Listed) {
    for (end, _) in it.path.match_indices('/') {
        let path = it.path[..=end].to_owned();
        let (kind, text, attributes) = (Kind::Dir, String::new(), Attributes::new());
        all.entry(path.clone()).or_insert(Listed { path, kind, text, access: NEW_FOLDER, attributes });
    }
    all.insert(it.path.clone(), it);
}

fn side_of(found: &[Listed], old: &[Listed], new: &[Listed]) -> Result<Side, String> {
    match found {
        it if it == old => Ok(Side::Old),
        it if it == new => Ok(Side::New),
        other => Err(format!("neither old nor new: {}", differences(other, old, new))),
    }
}

fn differences(found: &[Listed], old: &[Listed], new: &[Listed]) -> String {
    let only = |all: &[Listed], but: &[Listed]| -> Vec<String> {
        let show = |it: &Listed| format!("{} {:?} {:o}/{}/{}", it.path, it.text, it.access.0, it.access.1, it.access.2);
        all.iter().filter(|it| !but.contains(it)).map(show).collect()
    };
    format!(
        "\n  missing from old: {:?}\n  missing from new: {:?}\n  of neither: {:?}",
        only(old, found),
        only(new, found),
        only(found, &[old, new].concat())
    )
}
