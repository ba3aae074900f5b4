//! What several hosts of one revision have alike is read, merged and validated once, also by several threads.

use super::Opened;
use crate::config::{ConfigSchema, Configuration};
use crate::finding::{Finding, Findings};
use crate::revision::ObjectId;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Values by what they are made from; each is made by whoever asks first, and whoever asks meanwhile waits for it.
pub(super) struct Kept<K, V>(Mutex<HashMap<K, Arc<OnceLock<V>>>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Kept(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    /// Returns the value that is made from `key`.
    pub(super) fn get(&self, key: K, make: impl FnOnce() -> V) -> V {
        let slot = Arc::clone(locked(&self.0).entry(key).or_default());
        slot.get_or_init(make).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What became of files, by their path and id; or why they cannot be read.
type Files<T> = Kept<(String, ObjectId), Result<T, Finding>>;

/// What was made already, by all that it was made from; so it may be used with any revision, host and environment.
#[derive(Default)]
pub struct Memory {
    pub(super) documents: Files<Opened>,
    pub(super) schemas: Files<(Option<ConfigSchema>, Findings)>,
    made: Kept<Ingredients, Arc<Mutex<Vec<Made>>>>,
}

/// What a configuration is made from, beside the variables that its texts name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ingredients {
    pub(super) name: String,
    pub(super) version: Option<u32>,
    /// The key that documents hold their version in, which is not theirs.
    pub(super) version_key: String,
    /// The path and id of the schema.
    pub(super) schema: Option<(String, ObjectId)>,
    /// The paths and ids of the migrations, whether a layer needs them or not.
    pub(super) migrations: Vec<(String, ObjectId)>,
    /// The paths and ids of the layers; of those that are made from variables, the prefix and the variables.
    pub(super) layers: Vec<Ingredient>,
    /// Whether it was held against its schema.
    pub(super) is_judged: bool,
}

/// What one layer is made from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ingredient {
    File(String, ObjectId),
    Variables(String, Vec<(String, String)>),
}

/// The variables that were asked for, and what came of them.
pub(super) type Asked = Vec<(String, Option<String>)>;

/// A configuration, and what was found in making it.
pub(super) type Found = (Configuration, Findings);

struct Made {
    asked: Asked,
    found: Found,
}

impl Memory {
    /// Returns a configuration that was made from the same before, or makes it.
    pub(super) fn made(
        &self,
        from: &Ingredients,
        lookup: &dyn Fn(&str) -> Option<String>,
        make: impl FnOnce() -> (Asked, Found),
    ) -> Found {
        let made = self.made.get(from.clone(), Arc::default);
        let mut made = locked(&made);
        let is_same = |it: &&Made| it.asked.iter().all(|(name, value)| lookup(name) == *value);
        if let Some(known) = made.iter().find(is_same) {
            return known.found.clone();
        }
        let (asked, found) = make();
        made.push(Made { asked, found: found.clone() });
        found
    }
}
