//! Lenses, and the path between the versions of a schema.
//!
//! A migration is a file of operations, each of which can be undone. What an operation drops goes into a [`Remainder`],
//! which the way back uses, so that down after up gives back the original, order and places included.

mod lens;
mod operation;
mod read;
#[cfg(test)]
mod tests;

use crate::config::{MigratedDocument, Migrations};
use crate::document::{Map, Node, Value};
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use lens::Record;
use operation::{Direction, Operation};
use std::collections::BTreeMap;

/// The migrations of one configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigurationMigrator {
    folder: Place,
    /// By the version that they lead to.
    migrations: BTreeMap<u32, Migration>,
}

/// One file of operations; number N takes version N-1 to N.
#[derive(Clone, Debug, PartialEq)]
struct Migration {
    file: String,
    operations: Vec<Operation>,
}

/// A document that was brought to another version.
#[derive(Clone, Debug, PartialEq)]
pub struct Migrated {
    /// The document.
    pub node: Node,
    /// What the operations supply: it belongs below all layers.
    pub below: Option<Node>,
    /// What the way back needs.
    pub remainder: Remainder,
    /// The files of the migrations that were applied, in that order.
    pub files: Vec<String>,
    /// The version that the document had.
    pub from: u32,
    /// The version that it has now.
    pub to: u32,
}

impl Migrated {
    /// Returns what happened in words, or `None` when nothing did: `was migrated from version 1 to 2 by 0002-x.yaml`.
    pub fn note(&self) -> Option<String> {
        let (from, to) = (self.from, self.to);
        (from != to).then(|| format!("was migrated from version {from} to {to} by {}", self.files.join(", ")))
    }
}

/// What operations dropped or found on their way, kept for the way back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remainder {
    records: BTreeMap<(u32, usize), Record>,
}

impl Remainder {
    /// Returns whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

impl Migrations for ConfigurationMigrator {
    /// Brings a layer to the environment's version, from where there is no way back to go.
    fn document(&self, node: Node, from: u32, to: u32, findings: &mut Findings) -> Option<MigratedDocument> {
        let migrated = self.migrate(node, from, to, findings)?;
        let note = migrated.note();
        Some(MigratedDocument { node: migrated.node, below: migrated.below, note })
    }
}

impl ConfigurationMigrator {
    /// Brings a document from one version to another, up or down.
    ///
    /// The document may be a part of the whole, as layers are: an operation on a key that it lacks does nothing. An
    /// operation that cannot be done is an `E_MIGRATION`, a step that does not exist an `E_MIGRATION_PATH`; then there is no
    /// result, and whoever holds the original still has it.
    pub fn migrate(&self, node: Node, from: u32, to: u32, findings: &mut Findings) -> Option<Migrated> {
        self.migrate_back(node, Remainder::default(), from, to, findings)
    }

    /// Does the same for a document that came the other way before and left `remainder`.
    pub fn migrate_back(
        &self,
        mut node: Node,
        mut remainder: Remainder,
        from: u32,
        to: u32,
        findings: &mut Findings,
    ) -> Option<Migrated> {
        let (direction, steps) = self.path(from, to, findings)?;
        let mut below = Node::new(Value::Map(Map::new()), self.folder.clone());
        for (number, migration) in &steps {
            for (idx, operation) in direction.order(&migration.operations) {
                let undo = remainder.records.remove(&(*number, idx));
                match operation.apply(&mut node, direction, undo) {
                    Ok(Some(record)) => drop(remainder.records.insert((*number, idx), record)),
                    Ok(None) => {}
                    Err(problem) => {
                        let message = format!("{}: {operation} cannot be done: {}", migration.file, problem.message);
                        let finding = Finding::error(Code::MIGRATION, message).at(&problem.place);
                        findings.push(finding.hint("change the document or the migration"));
                        return None;
                    }
                }
                operation.supply(&mut below, direction);
            }
        }
        let below = below.as_map().is_some_and(|it| !it.is_empty()).then_some(below);
        let files = steps.iter().map(|(_, it)| it.file.clone()).collect();
        Some(Migrated { node, below, remainder, files, from, to })
    }

    /// Returns the newest version that the migrations lead to.
    pub fn newest(&self) -> Option<u32> {
        self.migrations.keys().next_back().copied()
    }

    /// Returns the migrations between two versions, in the order in which they are applied.
    fn path(&self, from: u32, to: u32, findings: &mut Findings) -> Option<(Direction, Vec<(u32, &Migration)>)> {
        if from == to {
            return Some((Direction::Up, Vec::new()));
        }
        let direction = if from < to { Direction::Up } else { Direction::Down };
        let numbers = from.min(to) + 1..=from.max(to);
        if let Some(missing) = numbers.clone().find(|it| !self.migrations.contains_key(it)) {
            let start = missing - 1;
            let message = format!(
                "there is no path from version {from} to {to}: no migration takes version {start} to {missing}"
            );
            let hint = format!("add a file `{missing:04}-NAME.yaml` to `{}`", self.folder.file);
            findings.push(Finding::error(Code::MIGRATION_PATH, message).at(&self.folder).hint(hint));
            return None;
        }
        let mut steps: Vec<(u32, &Migration)> =
            self.migrations.range(numbers).map(|(number, it)| (*number, it)).collect();
        if direction == Direction::Down {
            steps.reverse();
        }
        Some((direction, steps))
    }
}
