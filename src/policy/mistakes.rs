//! What OPA refuses when it compiles, or the engine does otherwise than OPA, and what would make a rule hold for nothing.

use super::builtins;
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use regorus::unstable::Expr;
use std::collections::{BTreeMap, BTreeSet};

/// What was seen in rules.
#[derive(Default)]
pub(super) struct Notes {
    /// Calls of functions.
    pub(super) called: Vec<Name>,
    /// Names in what `not` negates that nothing else in the body sets.
    pub(super) unset: Vec<Name>,
    /// Where `key, value in collection` has a value that may be undefined.
    pub(super) pairs: Vec<Place>,
    /// Calls of `walk` that are no statements.
    pub(super) walks: Vec<Name>,
    /// What is read of `input`.
    pub(super) reads: BTreeMap<Place, Vec<String>>,
}

/// A name, as it is written.
#[derive(Clone)]
pub(super) struct Name {
    pub(super) name: String,
    /// Full names of what it may mean.
    pub(super) meanings: Vec<String>,
    pub(super) place: Place,
    /// Of a call, how many arguments it has.
    pub(super) n_arguments: usize,
}

impl Notes {
    /// Reports mistakes. `rules` are the full names of all rules, and how many arguments those have that are functions.
    pub(super) fn check(&self, rules: &BTreeMap<&str, Option<usize>>, findings: &mut Findings) {
        let builtins: BTreeSet<&str> = builtins::names().collect();
        let is_rule = |it: &Name| it.meanings.iter().any(|it| rules.contains_key(it.as_str()));
        for call in &self.called {
            let own = call.meanings.iter().find_map(|it| rules.get(it.as_str()).copied().flatten());
            let arity = own.map(|it| (it, it + 1)).or_else(|| builtins::arity(&call.name).filter(|_| !is_rule(call)));
            if let Some((least, most)) = arity
                && !(least..=most).contains(&call.n_arguments)
            {
                let arguments = if least == 1 { "argument" } else { "arguments" };
                let message = format!("`{}` takes {least} {arguments}, not {}", call.name, call.n_arguments);
                findings.push(Finding::error(Code::POLICY_INVALID, message).at(&call.place));
            }
        }
        for call in self.called.iter().filter(|it| !builtins.contains(it.name.as_str()) && !is_rule(it)) {
            let finding = Finding::error(Code::POLICY_INVALID, format!("there is no function `{}`", call.name));
            let near = builtins.iter().filter(|it| strsim::osa_distance(it, &call.name) <= 2);
            let near = near.min_by_key(|it| strsim::osa_distance(it, &call.name));
            let finding = finding.at(&call.place);
            findings.push(match near {
                Some(near) => finding.hint(format!("did you mean `{near}`?")),
                None => finding,
            });
        }
        // The first step of a rule's name is a name of its package's as well.
        let is_below =
            |it: &String| rules.keys().any(|rule| rule.strip_prefix(it.as_str()).is_some_and(|it| it.starts_with('.')));
        for name in self.unset.iter().filter(|it| !is_rule(it) && !it.meanings.iter().any(is_below)) {
            let message = format!("`not` negates something with `{}`, which nothing else in the body sets", name.name);
            let hint = "give it a name: `not any_ok`, and `any_ok if input.jobs[_].ok`";
            findings.push(Finding::error(Code::POLICY_INVALID, message).at(&name.place).hint(hint));
        }
        for call in self.walks.iter().filter(|it| !is_rule(it)) {
            let message = "`walk` goes through a value only as a statement of its own, with two arguments";
            let hint = "write `walk(input, [path, value])`";
            findings.push(Finding::error(Code::POLICY_INVALID, message).at(&call.place).hint(hint));
        }
        for place in &self.pairs {
            let message = "this holds in the engine when neither the value nor the key is there";
            let hint = "write `collection[key] == value`";
            findings.push(Finding::error(Code::POLICY_INVALID, message).at(place).hint(hint));
        }
    }
}

/// Returns the variables of an expression; those of comprehensions in it are their own.
pub(super) fn variables(expression: &Expr) -> Vec<&Expr> {
    match expression {
        Expr::Var { .. } => vec![expression],
        other => children(other).into_iter().flat_map(variables).collect(),
    }
}

/// Returns the parts of an expression; comprehensions have a scope of their own and none here.
pub(super) fn children(expression: &Expr) -> Vec<&Expr> {
    match expression {
        Expr::RefDot { refr, .. } => vec![refr],
        Expr::RefBrack { refr, index, .. } => vec![refr, index],
        Expr::Call { params, .. } => params.iter().map(AsRef::as_ref).collect(),
        Expr::Array { items, .. } | Expr::Set { items, .. } => items.iter().map(AsRef::as_ref).collect(),
        Expr::Object { fields, .. } => fields.iter().flat_map(|it| [it.1.as_ref(), it.2.as_ref()]).collect(),
        Expr::UnaryExpr { expr, .. } => vec![expr],
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => vec![lhs, rhs],
        Expr::Membership { key, value, collection, .. } => {
            key.iter().chain([value, collection]).map(AsRef::as_ref).collect()
        }
        _ => Vec::new(),
    }
}
