//! The data documents of policies, merged into one.

use super::{RuleName, full_name};
use crate::document::{Entry, Map, Node, Value};
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;

/// Adds a document to `all`, below the keys `steps`. What two documents set differently is an error that names both places.
pub(super) fn mount(all: &mut Option<Node>, document: Node, steps: &[&str], findings: &mut Findings) {
    // A document without content sets nothing.
    if document.value == Value::Null {
        return;
    }
    let whole = Place::whole(&document.place.file);
    if steps.is_empty() && document.as_map().is_none() {
        let message = format!("data must be a map, found {}", document.type_name());
        findings.push(Finding::error(Code::SHAPE, message).at(&document.place));
        return;
    }
    let mounted = steps.iter().rev().fold(document, |node, step| {
        let entry = Entry { key: (*step).to_owned(), place: whole.clone(), node };
        Node::new(Value::Map(Map::of_distinct(vec![entry])), whole.clone())
    });
    match all {
        None => *all = Some(mounted),
        Some(all) => merge(all, mounted, &mut Vec::new(), findings),
    }
}

fn merge(into: &mut Node, from: Node, path: &mut Vec<String>, findings: &mut Findings) {
    let there = into.place.clone();
    match (&mut into.value, from.value) {
        (Value::Map(into), Value::Map(from)) => {
            for entry in from {
                match into.get_mut(&entry.key) {
                    Some(node) => {
                        path.push(entry.key);
                        merge(node, entry.node, path, findings);
                        path.pop();
                    }
                    None => drop(into.insert(entry)),
                }
            }
        }
        (old, new)
            if Node::new(old.clone(), there.clone()).to_json() == Node::new(new.clone(), there.clone()).to_json() => {}
        _ => {
            let message = format!("`data.{}` is set to something else at {there}", path.join("."));
            findings.push(Finding::error(Code::POLICY_INVALID, message).at(&from.place).hint("remove one of them"));
        }
    }
}

/// Reports data that stands where a rule is: one would hide the other.
pub(super) fn check(data: &Node, rules: &[RuleName], findings: &mut Findings) {
    let mut told = Vec::new();
    for rule in rules {
        let mut node = data;
        let steps = rule.package.iter().chain([&rule.name]);
        let mut is_clash = true;
        for step in steps {
            match node.as_map().map(|it| it.get(step)) {
                Some(Some(next)) => node = next,
                Some(None) => {
                    is_clash = false;
                    break;
                }
                None => break,
            }
        }
        let name = full_name(&rule.package, &rule.name);
        if is_clash && !told.contains(&name) {
            let message = format!("the data stands where the rule `{name}` is, at {}", rule.place);
            findings.push(Finding::error(Code::POLICY_INVALID, message).at(&node.place).hint("rename one of them"));
            told.push(name);
        }
    }
}
