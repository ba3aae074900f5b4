//! Which keys and choices readers ask for, so that tests can compare them with a schema.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Names by the dotted path of what has them.
pub(crate) type Names = BTreeMap<String, BTreeSet<String>>;

thread_local! {
    static ASKED: RefCell<(Names, Names)> = RefCell::default();
}

/// Notes that a reader asked for a key of the map at `what`.
pub(super) fn key(what: &str, key: &str) {
    ASKED.with_borrow_mut(|(keys, _)| keys.entry(what.to_owned()).or_default().insert(key.to_owned()));
}

/// Notes what a reader lets the value at `what` be.
pub(super) fn choices<'a>(what: &str, names: impl Iterator<Item = &'a str>) {
    ASKED.with_borrow_mut(|(_, all)| all.entry(what.to_owned()).or_default().extend(names.map(str::to_owned)));
}

/// Returns the keys and the choices that were asked for on this thread, and forgets them.
pub(crate) fn take() -> (Names, Names) {
    ASKED.take()
}
