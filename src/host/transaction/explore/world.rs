//! What is deployed in an exploration, and what has to be there before and after.

use super::super::{Change, Request, Rows, TargetChange};
use crate::host::model::{Access, Disk, Kind, Listed};
use crate::host::{DigestKey, Dir, scan};
use crate::manifest::Publish;
use crate::plan::{LiveKind, Recorded, Stat};
use crate::render::{Content, TargetPath};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const STATE: &str = "/state";
pub const SHELF: &str = "/state/transactions/site";
/// All targets are below it, so that a listing of it shows them and whatever was left beside them.
pub const SITES: &str = "/srv";
const OLD_FILE: Access = (0o600, 11, 12);
const NEW_FILE: Access = (0o4751, 33, 34);
const OLD_FOLDER: Access = (0o711, 11, 12);
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
}

/// Which files are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Old,
    New,
}

/// The ledger: what is recorded of every path.
pub type Ledger = BTreeMap<(String, String), (Kind, String, Access)>;

/// A scenario made real.
pub struct World {
    pub scenario: Scenario,
    pub key: DigestKey,
    pub disk: Disk,
    pub ledger: Ledger,
    old: Vec<Listed>,
    new: Vec<Listed>,
}

impl World {
    pub fn new(scenario: Scenario) -> World {
        let mut disk = Disk::new();
        disk.put(STATE, Kind::Dir, "", (0o700, 0, 0));
        disk.put(SITES, Kind::Dir, "", (0o755, 0, 0));
        let key = DigestKey::new([7; 32]);
        let mut ledger = Ledger::new();
        for number in 0..scenario.targets {
            let root = root(number);
            if !scenario.missing {
                disk.put(&root, Kind::Dir, "", OLD_FOLDER);
            }
            for (path, text) in scenario.old {
                for (end, _) in path.match_indices('/') {
                    disk.put(&format!("{root}/{}", &path[..end]), Kind::Dir, "", OLD_FOLDER);
                }
                let (kind, text, access) = written(text, OLD_FILE);
                disk.put(&format!("{root}/{path}"), kind, text, access);
                let row = (kind, key.of(text.as_bytes()).0, access);
                ledger.insert((root.clone(), (*path).to_owned()), row);
            }
            for path in scenario.made {
                let row = (Kind::Dir, String::new(), OLD_FOLDER);
                ledger.insert((root.clone(), (*path).to_owned()), row);
            }
        }
        let old = disk.files(SITES);
        let new = expected(&scenario, &old);
        World { scenario, key, disk, ledger, old, new }
    }

    /// Returns the request that makes the scenario's changes, as a plan would from what is live.
    pub fn request(&self) -> Request {
        let target = |number: usize| {
            let root = root(number);
            let changes = self.scenario.changes.iter().map(|it| self.change(&root, it.0, it.1)).collect();
            let made = self.scenario.made.iter().map(|it| (*it).to_owned()).collect();
            TargetChange {
                root,
                publish: Some(Publish::InPlace),
                sensitive: Vec::new(),
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
        let live = Dir::open(root).unwrap().and_then(|it| scan::observe(&it, path, &self.key).unwrap());
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
        self.side_of(disk.files(SITES))
    }

    /// The same, but headfast's own names may be there.
    pub fn visible_side(&self, disk: &Disk) -> Result<Side, String> {
        let is_own = |it: &Listed| it.path.split('/').any(|it| it.starts_with(crate::host::PREFIX));
        self.side_of(disk.files(SITES).into_iter().filter(|it| !is_own(it)).collect())
    }

    fn side_of(&self, found: Vec<Listed>) -> Result<Side, String> {
        match found {
            it if it == self.old => Ok(Side::Old),
            it if it == self.new => Ok(Side::New),
            other => Err(format!("neither old nor new: {}", differences(&other, &self.old, &self.new))),
        }
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
        for it in disk.files(SITES) {
            let Some((target, path)) = it.path.split_once('/').filter(|it| !it.1.is_empty()) else { continue };
            let row = recorded.remove(&(format!("{SITES}/{target}"), path.trim_end_matches('/').to_owned()));
            let digest = if it.kind == Kind::Dir { String::new() } else { self.key.of(it.text.as_bytes()).0 };
            match row {
                Some(row) if row == (it.kind, digest, it.access) => {}
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
        ledger.remove(&(at.root, at.path.as_str().to_owned()));
    }
    for (at, row) in rows.put {
        let kind = match row.kind {
            LiveKind::Link(_) => Kind::Link,
            LiveKind::Directory => Kind::Dir,
            _ => Kind::File,
        };
        let value = (kind, row.digest, (row.mode, row.uid, row.gid));
        ledger.insert((at.root, at.path.as_str().to_owned()), value);
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
    let put = |all: &mut BTreeMap<String, Listed>, path: String, kind, text: &str, access| {
        all.entry(path.clone()).or_insert(Listed { path, kind, text: text.to_owned(), access });
    };
    for number in 0..scenario.targets {
        let target = format!("t{number}/");
        scenario.changes.iter().for_each(|it| drop(all.remove(&format!("{target}{}", it.0))));
        for made in scenario.made.iter().rev() {
            let folder = format!("{target}{made}/");
            if !all.keys().any(|it| it.starts_with(&folder) && *it != folder) {
                all.remove(&folder);
            }
        }
        for (path, text) in scenario.changes.iter().filter_map(|it| Some((it.0, it.1?))) {
            let whole = format!("{target}{path}");
            for (end, _) in whole.match_indices('/') {
                put(&mut all, whole[..=end].to_owned(), Kind::Dir, "", NEW_FOLDER);
            }
            let (kind, text, access) = written(text, NEW_FILE);
            put(&mut all, whole, kind, text, access);
        }
    }
    // The order in which a listing comes: a folder's name sorts without its slash.
    let mut all: Vec<Listed> = all.into_values().collect();
    all.sort_by(|a, b| a.path.trim_end_matches('/').split('/').cmp(b.path.trim_end_matches('/').split('/')));
    all
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
