//! Exceptions, as conftest has them.

use super::load::problem;
use super::origin::Origins;
use super::{Question, full_name, rule_path};
use crate::finding::{Code, Finding, Findings};
use regorus::{Engine, Value};
use std::collections::BTreeSet;

/// The rule whose elements are lists of the names of rules that do not count.
pub(super) const EXCEPTION: &str = "exception";

/// The rules that do not count, by package and name without the kind: `root` for `deny_root`.
pub(super) struct Exceptions(BTreeSet<(Vec<String>, String)>);

impl Exceptions {
    /// Asks each of `packages` for its exceptions.
    pub(super) fn ask(
        engine: &mut Engine,
        packages: &[Vec<String>],
        origins: &Origins,
        findings: &mut Findings,
    ) -> Self {
        let mut names = BTreeSet::new();
        for package in packages {
            let rule = full_name(package, EXCEPTION);
            match engine.eval_rule(rule_path(package, EXCEPTION)) {
                Ok(Value::Undefined) => {}
                Ok(value) => match names_in(&value) {
                    Some(all) => names.extend(all.into_iter().map(|it| (package.clone(), it))),
                    None => {
                        let message = format!("`{rule}` gives something that is not a list of names");
                        let hint = "give lists, as in `exception contains [\"root\"] if …`, which excepts `deny_root`";
                        findings.push(Finding::error(Code::POLICY_INVALID, message).rule(rule).hint(hint));
                    }
                },
                Err(error) => findings.push(problem(&error.to_string(), origins).rule(rule)),
            }
        }
        Exceptions(names)
    }

    /// Returns whether a rule does not count.
    pub(super) fn cover(&self, question: &Question) -> bool {
        // The bare rule is the one without a name.
        let name = question.name.split_once('_').map_or("", |it| it.1);
        self.0.contains(&(question.package.clone(), name.to_owned()))
    }
}

/// Returns the names in a set, or list, of lists.
fn names_in(value: &Value) -> Option<Vec<String>> {
    let elements = |value: &Value| -> Option<Vec<Value>> {
        match value {
            Value::Set(it) => Some(it.iter().cloned().collect()),
            Value::Array(it) => Some(it.iter().cloned().collect()),
            _ => None,
        }
    };
    let mut names = Vec::new();
    for list in elements(value)? {
        for name in elements(&list)? {
            names.push(name.as_string().ok()?.to_string());
        }
    }
    Some(names)
}
