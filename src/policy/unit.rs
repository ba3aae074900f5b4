//! Tests of policies, as `opa test` runs them.

use super::evaluate::{apart, is_late};
use super::load::problem;
use super::origin::Origins;
use super::{Policies, RuleName, full_name, read, rule_path};
use crate::finding::{Code, Finding, Findings};
use crate::manifest::PolicySpec;
use crate::place::Place;
use crate::revision::Tree;
use regorus::{Engine, Value};

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rule holds.
    Pass,
    /// It does not.
    Fail,
    /// It cannot be evaluated.
    Error,
    /// Its name begins with `todo_`.
    Skipped,
}

/// A test that was run.
#[derive(Clone, Debug, PartialEq)]
pub struct Tested {
    /// The full name of the rule, such as `main.test_root_is_denied`.
    pub name: String,
    /// Where the rule is.
    pub place: Place,
    /// How it ended.
    pub outcome: Outcome,
    /// What is wrong, when it did not pass.
    pub finding: Option<Finding>,
    /// What the rules printed meanwhile.
    pub prints: Vec<String>,
}

/// Runs the tests of the policies in a repository whose names hold `run`, in the order of files.
///
/// `None` when policies cannot be read; `findings` says why. Tests are rules named `test_…` of any package, in any file and
/// in those named `*_test.rego` beside them.
pub fn test(tree: &dyn Tree, specs: &[PolicySpec], run: &str, findings: &mut Findings) -> Option<Vec<Tested>> {
    let groups = read::read_all(tree, specs, true, findings)?;
    let mut tested: Vec<Tested> = Vec::new();
    for group in &groups {
        // Files that several entries name are tested once.
        let is_new = |rule: &RuleName| !tested.iter().any(|it| it.place == rule.place);
        let rules: Vec<RuleName> = group.policies.tests.iter().filter(|it| is_new(it)).cloned().collect();
        match group.policies.run(&rules, run) {
            Ok(more) => tested.extend(more),
            Err(finding) => {
                findings.push(finding);
                return None;
            }
        }
    }
    tested.sort_by(|a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
    Some(tested)
}

impl Policies {
    fn run(&self, rules: &[RuleName], run: &str) -> Result<Vec<Tested>, Finding> {
        apart(|| {
            let mut engine = self.engine.clone();
            let wanted = rules.iter().filter(|it| full_name(&it.package, &it.name).contains(run));
            wanted.map(|it| it.run(&mut engine, &self.origins)).collect()
        })
    }
}

impl RuleName {
    fn run(&self, engine: &mut Engine, origins: &Origins) -> Tested {
        let name = full_name(&self.package, &self.name);
        let mut tested = Tested {
            name: name.clone(),
            place: self.place.clone(),
            outcome: Outcome::Skipped,
            finding: None,
            prints: Vec::new(),
        };
        if self.name.starts_with("todo_") {
            return tested;
        }
        let answer = engine.eval_rule(rule_path(&self.package, &self.name));
        let prints = engine.take_prints().unwrap_or_default();
        tested.prints = prints.into_iter().map(|it| origins.print(it)).collect();
        let finding = match answer {
            // Whatever a rule gives but false is taken for true, as OPA does.
            Ok(value) if !matches!(value, Value::Undefined | Value::Bool(false)) => {
                tested.outcome = Outcome::Pass;
                return tested;
            }
            Ok(_) => {
                tested.outcome = Outcome::Fail;
                Finding::error(Code::POLICY_TEST, format!("`{name}` does not hold")).at(&self.place)
            }
            Err(error) => {
                tested.outcome = Outcome::Error;
                match error.to_string() {
                    text if is_late(&text) => {
                        Finding::error(Code::POLICY_INVALID, format!("`{name}` takes too long")).at(&self.place)
                    }
                    text => problem(&text, origins),
                }
            }
        };
        let finding = if finding.place.is_none() { finding.at(&self.place) } else { finding };
        tested.finding = Some(finding.rule(name));
        tested
    }
}
