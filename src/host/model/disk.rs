//! What a disk holds: of every file and of every name, what programs see and what a power loss cannot take away any more.

use crate::plan::Stat;
use rustix::fs::RenameFlags;
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

/// An inode's number. The lowest free one is given out, so that numbers come back soon, as on ext4.
pub type Ino = u64;
pub type Names = BTreeMap<Rc<str>, Ino>;

/// The root directory.
pub const ROOT: Ino = 1;

/// Bytes that are hashed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    pub bytes: Rc<[u8]>,
    hash: u64,
}

impl Hash for Data {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl From<&[u8]> for Data {
    fn from(bytes: &[u8]) -> Data {
        Data { bytes: Rc::from(bytes), hash: hash_of(bytes) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    File,
    Dir,
    Link,
}

/// Permission bits, owner and group.
pub type Access = (u32, u32, u32);

/// Extended attributes by name.
pub type Attributes = BTreeMap<Rc<[u8]>, Rc<[u8]>>;

/// What an inode holds besides names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// A file's bytes or a link's text.
    pub data: Data,
    pub mtime: i64,
    pub access: Access,
    pub attributes: Attributes,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub kind: Kind,
    pub live: Version,
    pub safe: Version,
    /// A directory's names.
    pub live_names: Names,
    pub safe_names: Names,
    /// A flush failed: the kernel counts the data as clean, and no later flush writes it.
    pub spoiled: bool,
    pub ctime: i64,
}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.kind, &self.live, &self.safe, &self.live_names, &self.safe_names, self.spoiled).hash(state);
    }
}

impl Node {
    pub fn stat(&self, inode: Ino) -> Stat {
        let size = self.live.data.bytes.len() as u64;
        Stat { inode, size, mtime_ns: self.live.mtime, ctime_ns: self.ctime }
    }
}

/// An atomic change of names that a power loss may still undo.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    /// Which names of which directories lead where from now on.
    pub sets: Vec<(Ino, Rc<str>, Option<Ino>)>,
    /// Whether something gets a name instead of another.
    pub moves: bool,
    /// The directory that is removed.
    pub removes: Option<Ino>,
}

#[derive(Clone, Debug)]
pub struct Disk {
    pub nodes: BTreeMap<Ino, Rc<Node>>,
    /// Changes of names that are not flushed yet, in their order.
    pub pending: Vec<Rc<Change>>,
    /// Whether files can share their blocks, as on btrfs and xfs; ext4 refuses.
    pub reflinks: bool,
}

impl Hash for Disk {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.nodes, &self.pending).hash(state);
    }
}

/// A name with what it leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    pub path: String,
    pub kind: Kind,
    pub text: String,
    pub access: Access,
    pub attributes: Attributes,
}

pub fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Disk {
    /// Returns a disk with nothing but a root directory.
    pub fn new() -> Disk {
        let mut disk = Disk { nodes: BTreeMap::new(), pending: Vec::new(), reflinks: false };
        disk.nodes.insert(ROOT, Rc::new(node(Kind::Dir, Data::from(&b""[..]), (0o755, 0, 0), 0)));
        disk
    }

    pub fn node(&self, ino: Ino) -> Result<&Node, Errno> {
        self.nodes.get(&ino).map(Rc::as_ref).ok_or(Errno::STALE)
    }

    pub fn edit(&mut self, ino: Ino) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&ino).map(Rc::make_mut).ok_or(Errno::STALE)
    }

    /// Returns where a name leads.
    pub fn at(&self, dir: Ino, name: &str) -> Result<Ino, Errno> {
        match self.node(dir)? {
            it if it.kind != Kind::Dir => Err(Errno::NOTDIR),
            it => it.live_names.get(name).copied().ok_or(Errno::NOENT),
        }
    }

    /// Walks to a directory, as openat2(2) does when links, `..` and mount points are refused.
    pub fn walk(&self, start: Ino, path: &str) -> Result<Ino, Errno> {
        path.split('/').filter(|it| !it.is_empty()).try_fold(start, |here, component| {
            let next = if component == ".." { Err(Errno::XDEV) } else { self.at(here, component) }?;
            match self.node(next)?.kind {
                Kind::Dir => Ok(next),
                Kind::Link => Err(Errno::LOOP),
                Kind::File => Err(Errno::NOTDIR),
            }
        })
    }

    /// Makes an inode under a new name. `open` are inodes whose numbers are taken although they have no name.
    pub fn make(
        &mut self,
        dir: Ino,
        name: &str,
        made: (Kind, Data, Access),
        clock: i64,
        open: &BTreeSet<Ino>,
    ) -> Result<Ino, Errno> {
        if self.at(dir, name).is_ok() {
            return Err(Errno::EXIST);
        }
        self.sweep(open);
        let ino = (ROOT..).find(|it| !self.nodes.contains_key(it)).ok_or(Errno::NOSPC)?;
        self.nodes.insert(ino, Rc::new(node(made.0, made.1, made.2, clock)));
        self.change(Change { sets: vec![(dir, name.into(), Some(ino))], moves: false, removes: None })?;
        Ok(ino)
    }

    pub fn unlink(&mut self, dir: Ino, name: &str) -> Result<(), Errno> {
        match self.node(self.at(dir, name)?)?.kind {
            Kind::Dir => Err(Errno::ISDIR),
            _ => self.change(Change { sets: vec![(dir, name.into(), None)], moves: false, removes: None }),
        }
    }

    pub fn remove_dir(&mut self, dir: Ino, name: &str) -> Result<(), Errno> {
        let ino = self.at(dir, name)?;
        match self.node(ino)? {
            it if it.kind != Kind::Dir => Err(Errno::NOTDIR),
            it if !it.live_names.is_empty() => Err(Errno::NOTEMPTY),
            _ => self.change(Change { sets: vec![(dir, name.into(), None)], moves: false, removes: Some(ino) }),
        }
    }

    pub fn rename(&mut self, from: (Ino, &str), to: (Ino, &str), flags: RenameFlags) -> Result<(), Errno> {
        let moved = self.at(from.0, from.1)?;
        let there = self.at(to.0, to.1).ok();
        let back = match there {
            Some(_) if flags.contains(RenameFlags::NOREPLACE) => return Err(Errno::EXIST),
            None if flags.contains(RenameFlags::EXCHANGE) => return Err(Errno::NOENT),
            other if flags.contains(RenameFlags::EXCHANGE) => other,
            Some(there) if self.node(there)?.kind == Kind::Dir => return Err(Errno::ISDIR),
            _ => None,
        };
        let sets = vec![(from.0, from.1.into(), back), (to.0, to.1.into(), Some(moved))];
        self.change(Change { sets, moves: true, removes: None })
    }

    /// Gives an inode one more name. The others stay, so that it may be lost with the directory that it is in.
    pub fn link(&mut self, ino: Ino, to: (Ino, &str)) -> Result<(), Errno> {
        if self.at(to.0, to.1).is_ok() {
            return Err(Errno::EXIST);
        }
        if self.node(ino)?.kind == Kind::Dir {
            return Err(Errno::PERM);
        }
        self.change(Change { sets: vec![(to.0, to.1.into(), Some(ino))], moves: false, removes: None })
    }

    fn change(&mut self, change: Change) -> Result<(), Errno> {
        for (dir, name, to) in &change.sets {
            set(&mut self.edit(*dir)?.live_names, name, *to);
        }
        self.pending.push(Rc::new(change));
        Ok(())
    }

    /// Returns which pending changes must be on the disk before each one can be: for a name, the earlier changes of that
    /// name; for the removal of a directory, what happened in it; for a move, the name of the directory that it goes to.
    /// Everything else a file system may write in any order.
    pub fn needs(&self) -> Vec<Vec<usize>> {
        let needed = |(idx, change): (usize, &Rc<Change>)| {
            let before = self.pending[..idx].iter().enumerate();
            let is_needed = |earlier: &Change| {
                earlier.sets.iter().any(|(dir, name, to)| {
                    let same_name = change.sets.iter().any(|it| (it.0, &it.1) == (*dir, name));
                    let its_place = change.moves && change.sets.iter().any(|it| Some(it.0) == *to);
                    same_name || its_place || change.removes == Some(*dir)
                })
            };
            before.filter(|it| is_needed(it.1)).map(|it| it.0).collect()
        };
        self.pending.iter().enumerate().map(needed).collect()
    }

    /// Makes an inode durable: a file's bytes, a directory's names and the links among them. Its own name is not.
    pub fn flush(&mut self, ino: Ino) -> Result<(), Errno> {
        if self.node(ino)?.kind == Kind::Dir {
            self.flush_names(ino)?;
            let names: Vec<Ino> = self.node(ino)?.live_names.values().copied().collect();
            for named in names {
                // A link cannot be opened, so a flush of its directory is all that a program can do for it.
                if self.node(named)?.kind == Kind::Link {
                    self.save(named)?;
                }
            }
        }
        self.save(ino)
    }

    /// Makes everything durable.
    pub fn flush_all(&mut self) -> Result<(), Errno> {
        for change in std::mem::take(&mut self.pending) {
            self.settle(&change)?;
        }
        let all: Vec<Ino> = self.nodes.keys().copied().collect();
        all.into_iter().try_for_each(|it| self.save(it))
    }

    fn save(&mut self, ino: Ino) -> Result<(), Errno> {
        let node = self.node(ino)?;
        if node.live != node.safe && !node.spoiled {
            let node = self.edit(ino)?;
            node.safe = node.live.clone();
        }
        Ok(())
    }

    fn flush_names(&mut self, dir: Ino) -> Result<(), Errno> {
        let needs = self.needs();
        let mut flushed: Vec<bool> =
            self.pending.iter().map(|change| change.sets.iter().any(|it| it.0 == dir)).collect();
        for idx in (0..flushed.len()).rev() {
            if flushed[idx] {
                needs[idx].iter().for_each(|it| flushed[*it] = true);
            }
        }
        let pending = std::mem::take(&mut self.pending);
        for (change, flushed) in pending.into_iter().zip(flushed) {
            match flushed {
                true => self.settle(&change)?,
                false => self.pending.push(change),
            }
        }
        Ok(())
    }

    pub fn settle(&mut self, change: &Change) -> Result<(), Errno> {
        change.sets.iter().try_for_each(|(dir, name, to)| {
            set(&mut self.edit(*dir)?.safe_names, name, *to);
            Ok(())
        })
    }

    /// A flush of these failed: what they hold stays readable and is never written.
    pub fn spoil(&mut self, only: Option<Ino>) {
        for (ino, node) in &mut self.nodes {
            if only.is_none_or(|it| it == *ino) && node.kind == Kind::File && node.live != node.safe {
                Rc::make_mut(node).spoiled = true;
            }
        }
    }

    /// Lists everything below a directory, directories with a trailing slash.
    pub fn files(&self, path: &str) -> Vec<Listed> {
        let mut all = Vec::new();
        if let Ok(dir) = self.walk(ROOT, path) {
            self.list(dir, "", &mut all);
        }
        all
    }

    fn list(&self, dir: Ino, prefix: &str, all: &mut Vec<Listed>) {
        for (name, ino) in &self.nodes[&dir].live_names {
            let node = &self.nodes[ino];
            let is_dir = node.kind == Kind::Dir;
            let path = format!("{prefix}{name}{}", if is_dir { "/" } else { "" });
            let text = String::from_utf8_lossy(&node.live.data.bytes).into_owned();
            let (access, attributes) = (node.live.access, node.live.attributes.clone());
            all.push(Listed { path: path.clone(), kind: node.kind, text, access, attributes });
            if is_dir {
                self.list(*ino, &path, all);
            }
        }
    }

    /// Puts a file, link or directory there with all that leads to it, durably.
    pub fn put(&mut self, path: &str, kind: Kind, text: &str, access: Access) {
        let mut here = ROOT;
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]).filter(|it| it.0 > 0) {
            let name = path[..end].rsplit('/').next().expect("there is a name");
            let is_last = end == path.len();
            let made = if is_last { (kind, Data::from(text.as_bytes()), access) } else { folder() };
            here = match self.at(here, name) {
                Ok(ino) => ino,
                Err(_) => self.make(here, name, made, 0, &BTreeSet::new()).expect("the name is free"),
            };
        }
        self.flush_all().expect("every inode is there");
    }

    /// Returns what an absolute path leads to; a link on the way leads nowhere.
    pub fn find(&self, path: &str) -> Option<Ino> {
        let (folder, name) = path.rsplit_once('/')?;
        self.walk(ROOT, folder).and_then(|it| self.at(it, name)).ok()
    }

    /// Returns what stat(2) says of a path.
    pub fn stat(&self, path: &str) -> Option<Stat> {
        let ino = self.find(path)?;
        self.node(ino).ok().map(|it| it.stat(ino))
    }

    /// Returns whether an inode is a directory of that name, or in one.
    pub fn is_within(&self, ino: Ino, name: &str) -> bool {
        let all = self.nodes.iter().flat_map(|(dir, it)| it.live_names.iter().map(move |named| (*dir, named)));
        let mut leading = all.filter(|(_, named)| *named.1 == ino);
        leading.any(|(dir, named)| &**named.0 == name || self.is_within(dir, name))
    }

    /// Gives a file one more name, durably.
    pub fn share(&mut self, path: &str, with: &str) {
        let (folder, name) = with.rsplit_once('/').expect("the path is absolute");
        let (ino, folder) = (self.find(path).expect("it is there"), self.find(folder).expect("it is there"));
        self.link(ino, (folder, name)).expect("the name is free");
        self.flush_all().expect("every inode is there");
    }

    /// Gives an inode an extended attribute, durably.
    pub fn mark(&mut self, path: &str, name: &[u8], value: &[u8]) {
        let found = self.find(path).expect("it is there");
        let node = self.edit(found).expect("it is there");
        node.live.attributes.insert(name.into(), value.into());
        node.safe.attributes = node.live.attributes.clone();
    }

    /// Damages a file: the disk gives back other bytes than it was given.
    pub fn overwrite(&mut self, path: &str, bytes: &[u8]) {
        let found = self.find(path).expect("the file is there");
        let node = self.edit(found).expect("the file is there");
        node.live.data = Data::from(bytes);
        node.safe.data = node.live.data.clone();
    }

    /// Forgets inodes that no name leads to, neither now nor after any power loss.
    pub fn sweep(&mut self, open: &BTreeSet<Ino>) {
        let mut used = BTreeSet::new();
        let mut next: Vec<Ino> = open.iter().copied().chain([ROOT]).collect();
        next.extend(self.pending.iter().flat_map(|it| &it.sets).flat_map(|it| [Some(it.0), it.2]).flatten());
        while let Some(ino) = next.pop() {
            if used.insert(ino)
                && let Some(node) = self.nodes.get(&ino)
            {
                next.extend(node.live_names.values().chain(node.safe_names.values()).copied());
            }
        }
        self.nodes.retain(|ino, _| used.contains(ino));
    }
}

fn node(kind: Kind, data: Data, access: Access, clock: i64) -> Node {
    let live = Version { data, mtime: clock, access, attributes: Attributes::new() };
    let (safe, names) = (live.clone(), Names::new());
    Node { kind, live, safe, live_names: names.clone(), safe_names: names, spoiled: false, ctime: clock }
}

fn folder() -> (Kind, Data, Access) {
    (Kind::Dir, Data::from(&b""[..]), (0o755, 0, 0))
}

fn set(names: &mut Names, name: &Rc<str>, to: Option<Ino>) {
    match to {
        Some(ino) => names.insert(name.clone(), ino),
        None => names.remove(name),
    };
}
