//! What several hosts of one revision have alike is read, merged and validated once.

use super::Opened;
use crate::config::{ConfigSchema, Configuration};
use crate::finding::Findings;
use crate::revision::ObjectId;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// What became of files, by their path and id.
type Files<T> = RefCell<HashMap<(String, ObjectId), T>>;

/// What was made already, by all that it was made from; so it may be used with any revision, host and environment.
#[derive(Default)]
pub struct Memory {
    pub(super) documents: Files<Opened>,
    pub(super) schemas: Files<(Option<ConfigSchema>, Findings)>,
    made: RefCell<HashMap<Ingredients, Vec<Made>>>,
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

struct Made {
    asked: Asked,
    configuration: Rc<Configuration>,
    findings: Findings,
}

impl Memory {
    /// Returns a configuration that was made from the same before, and what was found in making it.
    pub(super) fn recall(
        &self,
        from: &Ingredients,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Option<(Rc<Configuration>, Findings)> {
        let made = self.made.borrow();
        let is_same = |it: &&Made| it.asked.iter().all(|(name, value)| lookup(name) == *value);
        let found = made.get(from)?.iter().find(is_same)?;
        Some((Rc::clone(&found.configuration), found.findings.clone()))
    }

    /// Keeps a configuration.
    pub(super) fn keep(&self, from: Ingredients, asked: Asked, configuration: &Configuration, findings: &Findings) {
        let made = Made { asked, configuration: Rc::new(configuration.clone()), findings: findings.clone() };
        self.made.borrow_mut().entry(from).or_default().push(made);
    }
}
