//! What is left after a fault, and whether it is what was promised.

use super::cases::{Case, Kind, Node, Publish};
use super::fault::{Call, End, Fate, run, within};
use super::operation::{Claims, Operation, Outcome, Scene};
use super::pool::Bench;
use super::table::Tally;
use super::world::{Inodes, Tree, World, difference, is_staging, visible};
use headfast::host::live;
use headfast::host::transaction::{self, Request};
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::rc::Rc;

/// Which files are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Exactly those from before.
    Old,
    /// Exactly those that were wanted.
    New,
}

/// What recovery made of states of the disk, by their fingerprints: equal states need to be recovered from only once.
pub type Seen = Rc<RefCell<HashMap<u64, Side>>>;

/// A case in a world, with what its trees look like when nothing goes wrong.
pub struct Rig {
    /// Where it happens.
    pub world: World,
    /// What is deployed.
    pub case: Case,
    /// Where children say what they did.
    pub claims: &'static Claims,
    old: Tree,
    new: Tree,
    /// Whether a power cut is to come: a fresh tree is flushed then, and the ledger may be wrong about change times, which a cut
    /// may lose; the next scan then reads the content.
    pub is_on_disk: bool,
    seen: Seen,
    /// The tree that was made last, and what was to be done.
    begun: RefCell<Option<(Inodes, Request)>>,
}

impl Rig {
    /// Deploys once without a fault and remembers what that looks like.
    pub fn new(bench: &Bench, case: &Case) -> Rig {
        Rig::at(&bench.base, case, bench.seen(case))
    }

    /// As [`Rig::new`], in another place.
    pub fn at(base: &Path, case: &Case, seen: Seen) -> Rig {
        let world = World::new(base);
        let claims = Claims::shared();
        let case = case.clone();
        let mut rig = Rig {
            world,
            case,
            claims,
            old: Tree::new(),
            new: Tree::new(),
            is_on_disk: false,
            seen,
            begun: RefCell::default(),
        };
        let request = rig.begin();
        rig.old = rig.world.tree();
        rig.scene().operate(Operation::Apply, &request);
        assert_eq!((claims.outcome(), claims.text().as_str()), (Outcome::Done, ""), "{}", rig.case.name);
        rig.new = rig.world.tree();
        rig.holds_what_was_wanted();
        assert_eq!(visible(&rig.new), rig.new, "{}", rig.case.name);
        assert!(rig.world.shelf().is_empty() && rig.world.request(&rig.case).targets.is_empty(), "{}", rig.case.name);
        assert_eq!(rig.world.wrong_row(rig.case.publish == Publish::InPlace), None, "{}", rig.case.name);
        rig
    }

    /// The new tree is not only what came out, but what the case asked for.
    fn holds_what_was_wanted(&self) {
        for target in &self.case.targets {
            let live = match self.case.publish {
                Publish::InPlace => target.path.to_owned(),
                Publish::Generations => self.generation_of(target.path),
            };
            for (path, wanted) in &target.changes {
                let found = self.new.get(&format!("{live}/{path}"));
                match wanted {
                    Some(wanted) => {
                        // What someone noted at a file goes over to the file that takes its place.
                        let is_file = |it: &&(String, Node)| it.0 == *path && matches!(it.1.kind, Kind::File(_));
                        let before = target.old.iter().find(is_file).map(|it| it.1.attributes.clone());
                        let attributes = before.filter(|_| matches!(wanted.kind, Kind::File(_))).unwrap_or_default();
                        assert_eq!(found, Some(&Node { attributes, ..wanted.clone() }), "{path}");
                    }
                    None => assert!(found.is_none_or(|it| it.kind == Kind::Folder), "{path}"),
                }
            }
            for (path, node) in target.old.iter().filter(|(path, _)| !target.changes.iter().any(|it| it.0 == *path)) {
                assert_eq!(self.new.get(&format!("{live}/{path}")), Some(node), "{path}");
            }
        }
    }

    /// Returns where a target's link leads to in the new tree.
    fn generation_of(&self, target: &str) -> String {
        let link = self.new.get(&format!("{target}/{}", live::CURRENT));
        match link.map(|it| &it.kind) {
            Some(Kind::Link(text)) => format!("{target}/{text}"),
            other => panic!("{target} is not published by generations: {other:?}"),
        }
    }

    /// Returns what children and healthy recoveries work with.
    pub fn scene(&self) -> Scene<'_> {
        Scene { world: &self.world, case: &self.case, claims: self.claims }
    }

    /// Makes the old tree anew, unless it is as it was made, and returns what is to be done.
    pub fn begin(&self) -> Request {
        let is_clean = self.claims.outcome() == Outcome::FailedBefore && !self.is_on_disk;
        self.claims.clear();
        if let Some((inodes, request)) = &*self.begun.borrow()
            && is_clean
            && self.world.shelf().is_empty()
            && self.world.inodes() == *inodes
            && self.world.tree() == self.old
        {
            self.world.tidy();
            return request.clone();
        }
        self.world.reset(&self.case);
        if self.is_on_disk {
            self.world.flush();
        }
        let request = self.world.request(&self.case);
        *self.begun.borrow_mut() = Some((self.world.inodes(), request.clone()));
        request
    }

    /// Forgets what recovery made of other states, so that it runs for the next in any case.
    pub fn forget(&self) {
        self.seen.borrow_mut().clear();
    }

    /// Runs an operation in a child, on a fresh tree.
    pub fn attack(&self, operation: Operation, fates: impl FnMut(&Call) -> Fate) -> End {
        let request = self.begin();
        run(|| self.scene().operate(operation, &request), fates)
    }

    /// Runs a recovery in a child.
    pub fn attack_recovery(&self, operation: Operation, fates: impl FnMut(&Call) -> Fate) -> End {
        self.claims.clear();
        run(|| self.scene().recover(operation), fates)
    }

    /// Runs an operation here, on a fresh tree; nothing may kill it.
    pub fn disturb(&self, operation: Operation, fates: impl FnMut(&Call) -> Fate) -> End {
        let request = self.begin();
        within(|| self.scene().operate(operation, &request), fates)
    }

    /// Runs a recovery here.
    pub fn disturb_recovery(&self, operation: Operation, fates: impl FnMut(&Call) -> Fate) -> End {
        self.claims.clear();
        within(|| self.scene().recover(operation), fates)
    }

    /// Returns whether the files are exactly the new ones.
    pub fn is_new(&self) -> bool {
        self.world.tree() == self.new
    }

    /// Returns what the files must be in the end, from what was said and what is on the shelf; the page cache still has it all.
    pub fn expected(&self, operation: Operation) -> Side {
        let shelf = self.world.shelf();
        let has = |name: &str| shelf.iter().any(|it| it == name);
        match operation {
            Operation::Rollback => Side::Old,
            Operation::Apply if self.claims.is_committed() || has("journal") || has("undo") => Side::New,
            Operation::Apply => Side::Old,
        }
    }

    /// Returns what the files must be in the end, from what a power cut has left of them and of the shelf.
    pub fn expected_after_cut(&self, operation: Operation) -> Side {
        let shelf = self.world.shelf();
        let has = |names: &[&str]| shelf.iter().any(|it| names.contains(&it.as_str()));
        match operation {
            Operation::Rollback => Side::Old,
            Operation::Apply if has(&["journal", "undo", "done"]) => Side::New,
            Operation::Apply if has(&["staging"]) => Side::Old,
            Operation::Apply => {
                if self.is_new() {
                    Side::New
                } else {
                    Side::Old
                }
            }
        }
    }

    /// Judges what a child left behind: what it said, what recovery makes of it, and whether the next deployment comes through.
    pub fn judge(&self, operation: Operation, expected: Option<Side>, point: &str, tally: &mut Tally) {
        tally.points += 1;
        let tree = self.world.tree();
        if let Some(lie) = self.lie(operation, &tree) {
            tally.false_success += 1;
            return tally.problem(format!("{point}: {lie}"));
        }
        let mut hasher = DefaultHasher::new();
        (self.fingerprint(tree), operation == Operation::Apply, expected).hash(&mut hasher);
        let fingerprint = hasher.finish();
        let known = self.seen.borrow().get(&fingerprint).copied();
        if let Some(side) = known {
            return tally.ends(side);
        }
        tally.runs += 1;
        if let Some(side) = self.outlive(operation, expected, point, tally) {
            self.seen.borrow_mut().insert(fingerprint, side);
        }
    }

    /// Recovers and deploys; returns which files the recovery led to when all went well.
    fn outlive(&self, operation: Operation, expected: Option<Side>, point: &str, tally: &mut Tally) -> Option<Side> {
        // A switch that failed half-way and went back at once has moved change times that nobody recorded.
        let is_recorded = self.claims.is_committed() || self.claims.outcome() == Outcome::Silent;
        if let Some(reason) = self.settle(operation) {
            tally.not_converged += 1;
            tally.problem(format!("{point}: {reason}"));
            return None;
        }
        let side = self.side(point, tally)?;
        if expected.is_some_and(|it| it != side) {
            tally.false_success += 1;
            tally.problem(format!("{point}: the files are the {side:?} ones, against what the commit point said"));
            return None;
        }
        // An inode that is a part of several trees changes its time with each of them that comes or goes.
        let is_alone = self.case.publish == Publish::InPlace;
        if let Some(reason) = self.stays(side, !self.is_on_disk && is_recorded && is_alone) {
            tally.not_converged += 1;
            tally.problem(format!("{point}: {reason}"));
            return None;
        }
        Some(side)
    }

    /// Returns a number for all that recovery goes by, without what differs each time: inodes, times, random names.
    pub fn fingerprint(&self, tree: Tree) -> u64 {
        let mut hasher = DefaultHasher::new();
        let mut tree: Vec<(String, Node)> = tree.into_iter().map(|(path, node)| (anonymous(&path), node)).collect();
        tree.sort();
        tree.hash(&mut hasher);
        self.world.shelf().hash(&mut hasher);
        self.world.ledger().iter().for_each(|(at, row)| (at, &row.digest, row.mode, row.uid).hash(&mut hasher));
        (self.claims.is_committed(), self.claims.outcome()).hash(&mut hasher);
        hasher.finish()
    }

    /// Compares what an operation said with what is there, before anything else happens.
    fn lie(&self, operation: Operation, tree: &Tree) -> Option<String> {
        let text = self.claims.text();
        if self.claims.is_surprised() {
            return Some("a file was taken for someone else's edit".into());
        }
        match self.claims.outcome() {
            Outcome::Silent | Outcome::FailedAfter => None,
            Outcome::FailedBefore => {
                let found = visible(tree);
                (found != self.old).then(|| {
                    format!("it failed with {text:?} as if before the commit point: {}", difference(&found, &self.old))
                })
            }
            Outcome::Done => {
                let wanted = if operation == Operation::Apply { &self.new } else { &self.old };
                let is_pending = transaction::is_pending(&self.world.state, super::world::REPOSITORY).unwrap();
                (tree != wanted || is_pending)
                    .then(|| format!("it said that all was done: {}", difference(tree, wanted)))
            }
        }
    }

    /// Recovers on a healthy host until nothing is left to recover; returns why that does not come to an end.
    pub fn settle(&self, operation: Operation) -> Option<String> {
        for _ in 0..2 {
            self.claims.clear();
            self.scene().recover(operation);
            if self.claims.outcome() != Outcome::Done {
                return Some(format!("recovery fails: {}", self.claims.text()));
            }
            if self.claims.is_surprised() {
                return Some("recovery took a file for someone else's edit".into());
            }
        }
        let shelf = self.world.shelf();
        // A journal that did not get its name yet is written over by the next one.
        (shelf.iter().any(|it| it != "new")).then(|| format!("after recovery the shelf holds {shelf:?}"))
    }

    /// Returns which files are there, all of them, with nothing else.
    fn side(&self, point: &str, tally: &mut Tally) -> Option<Side> {
        let found = self.world.tree();
        for (side, tree) in [(Side::Old, &self.old), (Side::New, &self.new)] {
            if found == *tree {
                tally.ends(side);
                return Some(side);
            }
        }
        tally.mixed += 1;
        let (old, new) = (difference(&found, &self.old), difference(&found, &self.new));
        tally.problem(format!("{point}: neither old ({old}) nor new ({new})"));
        None
    }

    /// Returns why the ledger is wrong or the next deployment does not lead to the new files.
    fn stays(&self, side: Side, strict: bool) -> Option<String> {
        if let Some(row) = self.world.wrong_row(strict) {
            return Some(format!("the ledger is wrong: {row}"));
        }
        let request = self.world.request(&self.case);
        if request.targets.is_empty() != (side == Side::New) {
            return Some("the next plan is not what the files ask for".into());
        }
        if side == Side::Old {
            self.claims.clear();
            self.scene().operate(Operation::Apply, &request);
            if self.claims.outcome() != Outcome::Done {
                return Some(format!("the next deployment fails: {}", self.claims.text()));
            }
        }
        let found = self.world.tree();
        if found != self.new {
            return Some(format!("the next deployment does not converge: {}", difference(&found, &self.new)));
        }
        let shelf = self.world.shelf();
        if shelf.iter().any(|it| side == Side::Old || it != "new") {
            return Some(format!("the shelf is not empty: {shelf:?}"));
        }
        self.world.wrong_row(strict).map(|row| format!("the ledger is wrong after the next deployment: {row}"))
    }
}

/// Staging folders have random names.
fn anonymous(path: &str) -> String {
    let part = |part: &str| if is_staging(part) { "*".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}
