//! What several environments have alike is told once.

use super::{Code, Finding, Findings, Severity};
use crate::place::Place;
use std::collections::{HashMap, HashSet};

/// A finding, and the environments that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged<'a> {
    /// The first of those that are alike.
    pub finding: &'a Finding,
    /// The environments in the order in which they were looked at; empty when it belongs to none.
    pub environments: Vec<&'a str>,
}

/// What makes two findings one: everything that a person reads of them but the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity<'a> {
    severity: Severity,
    code: Code,
    message: &'a str,
    place: Option<&'a Place>,
    pointer: Option<&'a str>,
    hint: Option<&'a str>,
}

impl Finding {
    /// Returns what tells it from other findings, whatever the environment.
    pub fn identity(&self) -> Identity<'_> {
        Identity {
            severity: self.severity,
            code: self.code,
            message: &self.message,
            place: self.place.as_ref(),
            pointer: self.pointer.as_deref(),
            hint: self.hint.as_deref(),
        }
    }
}

impl Findings {
    /// Returns each finding once, in the order in which they were made, with the environments that have it alike.
    pub fn merged(&self) -> Vec<Merged<'_>> {
        let mut merged: Vec<Merged<'_>> = Vec::new();
        let mut known: HashMap<Identity<'_>, usize> = HashMap::new();
        let mut seen: HashSet<(usize, &str)> = HashSet::new();
        for finding in self.iter() {
            let idx = *known.entry(finding.identity()).or_insert(merged.len());
            if idx == merged.len() {
                merged.push(Merged { finding, environments: Vec::new() });
            }
            let environment = finding.environment.as_deref().filter(|it| seen.insert((idx, it)));
            merged[idx].environments.extend(environment);
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::cpu_time;
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    fn at(line: u32) -> Finding {
        Finding::error(Code::SCHEMA, "bad").at(&Place::new(&Arc::from("app.yaml"), line, 1))
    }

    fn within(environment: &str, finding: Finding) -> Finding {
        Finding { environment: Some(environment.to_owned()), ..finding }
    }

    #[test]
    fn what_environments_have_alike_is_one_and_keeps_its_order() {
        let found = [
            within("b", at(2)),
            at(1),
            within("a", at(2)),
            within("b", at(2)),
            within("a", at(2).pointer("/x")),
            within("a", at(1)),
        ];
        let findings: Findings = found.into_iter().collect();
        let shown = |it: &Merged<'_>| format!("{:?} {:?}", it.finding.place, it.environments);
        let merged = findings.merged();
        assert_eq!(merged.len(), 3);
        assert_eq!(merged.iter().map(|it| it.environments.join(" ")).collect::<Vec<_>>(), ["b a", "a", "a"]);
        assert!(shown(&merged[0]).contains("line: 2"), "{}", shown(&merged[0]));
        assert_eq!(findings.clone().distinct().iter().len(), 5, "other environments are other findings");
    }

    #[test]
    fn findings_without_number_are_merged_quickly() {
        let findings: Findings = (0..50_000).map(|n| within(&format!("e{}", n % 50), at(n / 50))).collect();
        let start = cpu_time();
        assert_eq!(findings.merged().len(), 1000);
        assert_eq!(findings.clone().distinct().iter().len(), 50_000);
        // Comparing each with each takes minutes.
        assert!(cpu_time() - start < Duration::from_secs(20));
    }
}
