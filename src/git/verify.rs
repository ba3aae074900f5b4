//! Reading everything that a mirror is needed for.

use super::Mirror;
use super::error::reason_of;
use super::mirror::mark_damaged;
use git2::{ObjectType, Oid};
use std::collections::HashSet;

/// So many faults are listed; a mirror with one is made anew anyway.
const FAULTS_MAX: usize = 20;

impl Mirror {
    /// Reads every commit that a ref reaches and every file of the commits that refs point to, and returns what cannot be
    /// read, a line each. Contents are held against their ids. This takes a while.
    pub fn verify(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut seen = HashSet::new();
        match self.repository.references() {
            Ok(references) => {
                for reference in references {
                    match reference.map(|it| (it.name().map(str::to_owned).unwrap_or_default(), it.target())) {
                        Ok((_, Some(target))) => self.verify_from(target, &mut seen, &mut faults),
                        Ok((name, None)) => faults.push(format!("{name:?} points to no object")),
                        Err(error) => faults.push(format!("a ref: {}", reason_of(&error))),
                    }
                }
            }
            Err(error) => faults.push(format!("the refs: {}", reason_of(&error))),
        }
        faults.truncate(FAULTS_MAX);
        faults
    }

    /// Makes the next fetch replace the mirror.
    pub fn distrust(&self) {
        mark_damaged(&self.dir);
    }

    fn verify_from(&self, tip: Oid, seen: &mut HashSet<Oid>, faults: &mut Vec<String>) {
        let walk = self.repository.revwalk().and_then(|mut walk| walk.push(tip).map(|()| walk));
        for commit in walk.into_iter().flatten() {
            if let Err(error) = commit.and_then(|it| self.repository.find_commit(it)) {
                faults.push(format!("the history of {tip}: {}", reason_of(&error)));
                break;
            }
        }
        let root = self.repository.find_object(tip, None).and_then(|it| it.peel_to_tree()).map(|it| it.id());
        let mut waiting = match root {
            Ok(root) => vec![root],
            // A note's ref leads to a commit as well; what else there may be is read whole.
            Err(error) => {
                faults.push(format!("{tip}: {}", reason_of(&error)));
                Vec::new()
            }
        };
        while let Some(id) = waiting.pop() {
            if faults.len() >= FAULTS_MAX || !seen.insert(id) {
                continue;
            }
            let read = self.repository.odb().and_then(|it| it.read(id).map(|it| it.kind()));
            match read {
                Ok(ObjectType::Tree) => match self.repository.find_tree(id) {
                    Ok(tree) => {
                        let below = tree.iter().filter(|it| it.kind() != Some(ObjectType::Commit));
                        waiting.extend(below.map(|it| it.id()));
                    }
                    Err(error) => faults.push(format!("{id}: {}", reason_of(&error))),
                },
                Ok(_) => {}
                Err(error) => faults.push(format!("{id}: {}", reason_of(&error))),
            }
        }
    }
}
