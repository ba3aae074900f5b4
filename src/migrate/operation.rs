//! The operations of a migration, each with its inverse.

use super::lens::{Blocked, Record, attach, detach, entry};
use crate::document::{Entry, Node};
use crate::place::Place;
use std::fmt;

/// Towards newer versions, or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

/// A path of keys.
pub(super) type KeyPath = Vec<String>;

/// One step of a migration.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operation {
    pub(super) kind: Kind,
    pub(super) place: Place,
}

/// What a step does on the way up.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A key gets another name, or another parent.
    Rename { from: KeyPath, to: KeyPath },
    /// A key is new; its value is supplied below all layers.
    Add { path: KeyPath, value: Node },
    /// A key is gone; `default` is supplied on the way back.
    Remove { path: KeyPath, default: Option<Node> },
}

/// What a step does in one direction.
enum Edit<'a> {
    Move { from: &'a [String], to: &'a [String] },
    Supply { path: &'a [String], value: Option<&'a Node> },
    Drop { path: &'a [String] },
}

impl Direction {
    /// Returns the operations of a migration with their numbers, in the order of this direction.
    pub(super) fn order(self, operations: &[Operation]) -> Vec<(usize, &Operation)> {
        let mut order: Vec<(usize, &Operation)> = operations.iter().enumerate().collect();
        if self == Direction::Down {
            order.reverse();
        }
        order
    }
}

impl Operation {
    fn edit(&self, direction: Direction) -> Edit<'_> {
        match (&self.kind, direction) {
            (Kind::Rename { from, to }, Direction::Up) => Edit::Move { from, to },
            (Kind::Rename { from, to }, Direction::Down) => Edit::Move { from: to, to: from },
            (Kind::Add { path, value }, Direction::Up) => Edit::Supply { path, value: Some(value) },
            (Kind::Remove { path, default }, Direction::Down) => Edit::Supply { path, value: default.as_ref() },
            (Kind::Add { path, .. }, Direction::Down) | (Kind::Remove { path, .. }, Direction::Up) => {
                Edit::Drop { path }
            }
        }
    }

    /// Applies the operation to a document; `undo` is what the opposite direction left.
    pub(super) fn apply(
        &self,
        node: &mut Node,
        direction: Direction,
        undo: Option<Record>,
    ) -> Result<Option<Record>, Blocked> {
        match self.edit(direction) {
            Edit::Move { from, to } => move_entry(node, from, to, undo),
            Edit::Supply { path, .. } => match undo {
                Some(Record::Dropped { entry: dropped, hole }) if entry(node, path).is_none() => {
                    attach(node, path, dropped, Some(hole)).map(|_| None)
                }
                _ => Ok(entry(node, path).map(|_| Record::Present)),
            },
            Edit::Drop { .. } if undo == Some(Record::Present) => Ok(None),
            Edit::Drop { path } => Ok(detach(node, path, 0).map(|(entry, hole)| Record::Dropped { entry, hole })),
        }
    }

    /// Applies the operation to what earlier operations supply, and adds what this one does.
    pub(super) fn supply(&self, below: &mut Node, direction: Direction) {
        match self.edit(direction) {
            Edit::Move { from, to } => {
                if let Some((entry, _)) = detach(below, from, 0) {
                    // Both are supplied only when a migration contradicts itself; the document decides then.
                    let _ = attach(below, to, entry, None);
                }
            }
            Edit::Drop { path } => drop(detach(below, path, 0)),
            Edit::Supply { path, value: Some(value) } => {
                let entry = Entry { key: String::new(), place: self.place.clone(), node: value.clone() };
                let _ = attach(below, path, entry, None);
            }
            Edit::Supply { value: None, .. } => {}
        }
    }
}

fn move_entry(
    node: &mut Node,
    from: &[String],
    to: &[String],
    undo: Option<Record>,
) -> Result<Option<Record>, Blocked> {
    let (hole, n_kept) = match undo {
        Some(Record::Occupied) => return Ok(None),
        Some(Record::Moved { hole, n_kept }) => (Some(hole), n_kept),
        _ => (None, 0),
    };
    let occupant = entry(node, to).map(|it| it.place.clone());
    match (entry(node, from), occupant) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Ok(Some(Record::Occupied)),
        (Some(_), Some(place)) if !to.starts_with(from) && !from.starts_with(to) => {
            let message = format!("the document has both `{}` and `{}`", from.join("."), to.join("."));
            return Err(Blocked { message, place });
        }
        _ => {}
    }
    let Some((moved, left)) = detach(node, from, n_kept) else { return Ok(None) };
    let n_kept = attach(node, to, moved, hole)?;
    Ok(Some(Record::Moved { hole: left, n_kept }))
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Rename { from, to } => write!(f, "rename of `{}` to `{}`", from.join("."), to.join(".")),
            Kind::Add { path, .. } => write!(f, "addition of `{}`", path.join(".")),
            Kind::Remove { path, .. } => write!(f, "removal of `{}`", path.join(".")),
        }
    }
}
