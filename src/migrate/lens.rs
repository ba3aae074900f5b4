//! Taking an entry out of a tree and putting it back where it was.

use crate::document::{Entry, Map, Node, Value};
use crate::place::Place;

/// What an operation has to remember for the way back.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Record {
    /// An entry was moved.
    Moved {
        /// Where it was.
        hole: Hole,
        /// How many maps on the way to where it is now were there before.
        n_kept: usize,
    },
    /// There was nothing to move, but something stood where it would have gone.
    Occupied,
    /// An entry was taken out.
    Dropped {
        /// The entry.
        entry: Entry,
        /// Where it was.
        hole: Hole,
    },
    /// What was to be supplied was there already.
    Present,
}

/// Where an entry was: its position, and the maps around it that were left empty and went with it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hole {
    position: usize,
    /// The innermost first.
    emptied: Vec<(usize, Entry)>,
}

/// Why an entry cannot be put somewhere.
#[derive(Debug)]
pub(super) struct Blocked {
    pub(super) message: String,
    pub(super) place: Place,
}

/// Returns the entry at `path`.
pub(super) fn entry<'a>(root: &'a Node, path: &[String]) -> Option<&'a Entry> {
    let (last, parents) = path.split_last()?;
    parents.iter().try_fold(root, |node, step| node.as_map()?.get(step))?.as_map()?.entry(last)
}

/// Takes the entry at `path` out, with the maps around it that are empty then, except the outermost `n_kept`.
pub(super) fn detach(root: &mut Node, path: &[String], n_kept: usize) -> Option<(Entry, Hole)> {
    entry(root, path)?;
    let (position, taken) = take(root, path)?;
    let mut emptied = Vec::new();
    for depth in (n_kept + 1..path.len()).rev() {
        let is_empty = entry(root, &path[..depth]).and_then(|it| it.node.as_map()).is_some_and(Map::is_empty);
        if !is_empty {
            break;
        }
        emptied.extend(take(root, &path[..depth]));
    }
    Some((taken, Hole { position, emptied }))
}

/// Puts an entry at `path`, into its hole if it has one; returns how many maps on the way were there before.
pub(super) fn attach(root: &mut Node, path: &[String], mut entry: Entry, hole: Option<Hole>) -> Result<usize, Blocked> {
    let Some((last, parents)) = path.split_last() else { return Ok(0) };
    let n_kept = (0..parents.len()).take_while(|depth| self::entry(root, &path[..=*depth]).is_some()).count();
    if let Some(old) = self::entry(root, path) {
        return Err(Blocked { message: format!("`{}` exists", path.join(".")), place: old.place.clone() });
    }
    let (position, mut emptied) = match hole {
        Some(hole) => (Some(hole.position), hole.emptied),
        None => (None, Vec::new()),
    };
    for depth in n_kept..parents.len() {
        let (position, shell) = match emptied.len() == parents.len() - depth {
            true => emptied.pop().map(|(position, shell)| (Some(position), shell)),
            false => None,
        }
        .unwrap_or_else(|| (None, empty_map(&parents[depth], &entry.place)));
        put(root, &path[..depth], position, shell)?;
    }
    entry.key.clone_from(last);
    put(root, parents, position, entry)?;
    Ok(n_kept)
}

fn empty_map(key: &str, place: &Place) -> Entry {
    let node = Node::new(Value::Map(Map::new()), place.clone());
    Entry { key: key.to_owned(), place: place.clone(), node }
}

fn map_at<'a>(root: &'a mut Node, path: &[String]) -> Option<&'a mut Map> {
    let mut at = root;
    for step in path {
        let Value::Map(map) = &mut at.value else { return None };
        at = map.get_mut(step)?;
    }
    match &mut at.value {
        Value::Map(map) => Some(map),
        _ => None,
    }
}

fn take(root: &mut Node, path: &[String]) -> Option<(usize, Entry)> {
    let (last, parents) = path.split_last()?;
    let map = map_at(root, parents)?;
    let position = map.iter().position(|it| it.key == *last)?;
    Some((position, map.remove(last)?))
}

fn put(root: &mut Node, path: &[String], position: Option<usize>, entry: Entry) -> Result<(), Blocked> {
    let Some(map) = map_at(root, path) else {
        return Err(Blocked { message: format!("`{}` is not a map", path.join(".")), place: entry.place });
    };
    let mut entries: Vec<Entry> = std::mem::take(map).into_iter().collect();
    let position = position.unwrap_or(entries.len()).min(entries.len());
    entries.insert(position, entry);
    *map = entries.into_iter().collect();
    Ok(())
}
