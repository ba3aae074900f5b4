//! What a power loss may leave: any part of what was not flushed, as far as no file system may do worse.

use super::disk::{Data, Disk, Ino, Kind, Node, Version};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Numbers that look random and are the same for the same seed.
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below.max(1) as u64) as usize
    }
}

impl Disk {
    /// Returns every disk that a power loss at this moment may leave, or `limit` of them when there are more; and whether
    /// these are all.
    pub fn after_power_loss(&self, limit: usize, dice: &mut Dice) -> (Vec<Disk>, bool) {
        let needs = self.needs();
        let kept = subsets(&needs, limit);
        let dirty: Vec<(Ino, Vec<Version>)> =
            self.nodes.iter().filter(|(_, it)| it.live != it.safe).map(|(ino, node)| (*ino, remains(node))).collect();
        let combinations = dirty.iter().fold(1usize, |all, it| all.saturating_mul(it.1.len()));
        match kept {
            Some(kept) if kept.len().saturating_mul(combinations) <= limit => {
                let choices = (0..combinations).map(|number| choice(&dirty, number)).collect::<Vec<_>>();
                (kept.iter().flat_map(|kept| choices.iter().map(|it| self.cut(kept, it))).collect(), true)
            }
            _ => ((0..limit).map(|idx| self.cut_at_random(idx, &needs, &dirty, dice)).collect(), false),
        }
    }

    /// Returns the disk after a power loss that took everything from some moment on: the state at that moment, flushed or
    /// not. It is what is left when a disk keeps the order of writes and ignores flushes.
    pub fn all_kept(&self) -> Disk {
        let mut disk = self.clone();
        disk.nodes.values_mut().for_each(|it| Rc::make_mut(it).spoiled = false);
        disk.flush_all().expect("every inode is there");
        disk.sweep(&BTreeSet::new());
        disk
    }

    fn cut_at_random(&self, idx: usize, needs: &[Vec<usize>], dirty: &[(Ino, Vec<Version>)], dice: &mut Dice) -> Disk {
        // The two extremes always, and between them changes that are lost seldom, often, or half the time.
        let percent = [0, 100, 50, 90, 10][if idx < 5 { idx } else { 2 + dice.roll(3) }];
        let mut kept: Vec<bool> = Vec::new();
        for needed in needs {
            let may = needed.iter().all(|it| kept[*it]);
            kept.push(may && dice.roll(100) < percent);
        }
        let chosen: Vec<_> = dirty.iter().map(|(ino, all)| (*ino, all[dice.roll(all.len())].clone())).collect();
        self.cut(&kept, &chosen)
    }

    /// Returns the disk with only these changes of names and these versions of what was not flushed.
    fn cut(&self, kept: &[bool], chosen: &[(Ino, Version)]) -> Disk {
        let mut disk = Disk { nodes: self.nodes.clone(), pending: Vec::new(), reflinks: self.reflinks };
        for (change, _) in self.pending.iter().zip(kept).filter(|it| *it.1) {
            disk.settle(change).expect("every directory is there");
        }
        for (ino, version) in chosen {
            disk.edit(*ino).expect("every inode is there").safe = version.clone();
        }
        for node in disk.nodes.values_mut() {
            if node.live != node.safe || node.live_names != node.safe_names || node.spoiled {
                let node = Rc::make_mut(node);
                (node.live, node.live_names, node.spoiled) = (node.safe.clone(), node.safe_names.clone(), false);
            }
        }
        disk.sweep(&BTreeSet::new());
        disk
    }
}

/// Returns every set of changes that holds what each of them needs; `None` when there are more than `limit`.
fn subsets(needs: &[Vec<usize>], limit: usize) -> Option<Vec<Vec<bool>>> {
    let mut all = vec![Vec::with_capacity(needs.len())];
    for needed in needs {
        let mut more = Vec::new();
        for kept in &mut all {
            if needed.iter().all(|it| kept[*it]) {
                let mut also: Vec<bool> = kept.clone();
                also.push(true);
                more.push(also);
            }
            kept.push(false);
        }
        all.append(&mut more);
        if all.len() > limit {
            return None;
        }
    }
    Some(all)
}

/// Returns what may be left of an inode: its bytes as they were, none, a part, or all; its metadata old or new.
fn remains(node: &Node) -> Vec<Version> {
    let (live, safe) = (&node.live, &node.safe);
    let mut contents = vec![(safe.data.clone(), safe.mtime), (live.data.clone(), live.mtime)];
    if node.kind == Kind::File {
        contents.push((Data::from(&b""[..]), safe.mtime));
        contents.push((Data::from(&live.data.bytes[..live.data.bytes.len() / 2]), safe.mtime));
    }
    let mut all: Vec<Version> = Vec::new();
    for (access, attributes) in [(safe, safe), (live, safe), (safe, live), (live, live)] {
        let (access, attributes) = (access.access, &attributes.attributes);
        for (data, mtime) in &contents {
            let version = Version { data: data.clone(), mtime: *mtime, access, attributes: attributes.clone() };
            if !all.contains(&version) {
                all.push(version);
            }
        }
    }
    all
}

/// Returns one combination of versions, counted through.
fn choice(dirty: &[(Ino, Vec<Version>)], mut number: usize) -> Vec<(Ino, Version)> {
    let mut chosen = Vec::new();
    for (ino, all) in dirty {
        chosen.push((*ino, all[number % all.len()].clone()));
        number /= all.len();
    }
    chosen
}
