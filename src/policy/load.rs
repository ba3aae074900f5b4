//! From texts to policies: parsing, and what they may not hold.

use super::exceptions::EXCEPTION;
use super::origin::{Draft, Origins};
use super::{Policies, Question, RuleName, Sources, builtins, data, full_name, heads, recursion, refuses};
use crate::finding::{Code, Finding, Findings};
use crate::manifest::Packages;
use crate::place::Place;
use regorus::unstable::Rule;
use regorus::{Engine, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

impl Policies {
    /// Makes policies whose rules take up to `limit` each; rules that nobody asks are not mentioned.
    pub(super) fn of(sources: Sources, limit: Duration, findings: &mut Findings) -> Option<Policies> {
        let n_errors = findings.n_errors();
        let mut written = builtins::engine(limit);
        let is_any = !sources.rules.is_empty();
        for (path, bytes) in sources.rules {
            match String::from_utf8(bytes) {
                Ok(text) => add(&mut written, &path, text, findings),
                Err(_) => {
                    let finding = Finding::error(Code::ENCODING, "the policy is not UTF-8");
                    findings.push(finding.at(&Place::whole(&path)));
                }
            }
        }
        recursion::check(&mut written, findings);
        let mut engine = builtins::engine(limit);
        let origins = load(&mut written, &mut engine, findings);
        if let Some(node) = &sources.data {
            data::check(node, &recursion::rules(&mut written), findings);
            if let Err(error) = engine.add_data(Value::from(node.to_json())) {
                findings.push(Finding::error(Code::POLICY_INVALID, format!("the data cannot be used: {error}")));
            }
        }
        if findings.n_errors() > n_errors {
            return None;
        }
        let sorted = sort(&mut written, &sources.packages);
        sorted.tell(&sources.packages, findings);
        if findings.n_errors() > n_errors {
            return None;
        }
        let reads = recursion::reads(&mut written);
        let Sorted { questions, tests, exceptions, unasked, .. } = sorted;
        if is_any && questions.is_empty() {
            let message = format!(
                "none of the policies has a rule to ask: `deny`, `violation` or `warn` in {}",
                named(&sources.packages)
            );
            findings.push(Finding::warning(Code::POLICY_INVALID, message));
        }
        Some(Policies { engine, origins, questions, tests, exceptions, unasked, reads, packages: sources.packages })
    }
}

/// Adds a policy, in today's Rego or, as much of what is written for conftest still is, in that of before 1.0.
fn add(engine: &mut Engine, path: &str, text: String, findings: &mut Findings) {
    let Err(error) = engine.add_policy(path.to_owned(), text.clone()) else { return };
    let error = error.to_string();
    let is_old_style = error.contains("keyword is required");
    // Of today's keywords in Rego of before, the engine complains on the terminal.
    let is_of_today = !is_old_style && [" if {", " contains "].iter().any(|it| text.contains(it));
    let mut old_error = None;
    if !is_of_today {
        engine.set_rego_v0(true);
        old_error = engine.add_policy(path.to_owned(), text.clone()).err();
        engine.set_rego_v0(false);
        if old_error.is_none() {
            return;
        }
    }
    let error = old_error.filter(|_| is_old_style).map_or(error, |it| it.to_string());
    let mut origins = Origins::default();
    origins.add(path, &text, Draft::whole(&text));
    let finding = problem(&error, &origins);
    findings.push(match cure(&finding, &text) {
        Some(hint) => finding.hint(hint),
        None => finding,
    });
}

/// Returns the form that the engine understands, for what it does not and OPA does.
fn cure(finding: &Finding, text: &str) -> Option<&'static str> {
    let place = finding.place.as_ref()?;
    let line = text.lines().nth(usize::try_from(place.line).ok()?.checked_sub(1)?)?;
    let before: String = line.chars().take(usize::try_from(place.column).ok()?.saturating_sub(1)).collect();
    let is_term =
        ["unexpected keyword", "expecting `]`", "expecting `}`"].iter().any(|it| finding.message.starts_with(it));
    if is_term && before.contains(" | ") {
        return Some("in a comprehension, what is computed before `|` needs parentheses: `[(a * b) | some …]`");
    }
    if finding.message == "else cannot be used with set rules" {
        return Some("write the rule again for the second body: `deny[msg] { … }` twice");
    }
    None
}

/// Adds what was written to an engine, as that must read it to do what OPA does.
fn load(written: &mut Engine, engine: &mut Engine, findings: &mut Findings) -> Origins {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for rule in recursion::rules(written) {
        names.entry(rule.package.join(".")).or_default().insert(rule.name);
    }
    let none = BTreeSet::new();
    let mut origins = Origins::default();
    for module in written.get_modules() {
        let of_package = names.get(&recursion::package(module)).unwrap_or(&none);
        let source = &module.package.span.source;
        let refused = |rule: &Rule| {
            let message = "the engine would not evaluate this rule as OPA does";
            let hint = "make the value in the body: `deny contains msg if { …; msg := … }`";
            Finding::error(Code::POLICY_INVALID, message).at(&recursion::place(rule.span())).hint(hint)
        };
        let draft = match heads::moved(module, of_package) {
            Ok(draft) => draft,
            Err(rule) => {
                findings.push(refused(rule));
                continue;
            }
        };
        engine.set_rego_v0(!module.rego_v1);
        let added = engine.add_policy(source.get_path().clone(), draft.text().to_owned());
        engine.set_rego_v0(false);
        origins.add(source.get_path(), source.get_contents(), draft);
        match added {
            Ok(_) => {
                let careless = engine.get_modules().last().and_then(|it| heads::careless(it, of_package));
                findings.extend(careless.map(refused).into_iter().collect());
            }
            Err(error) => findings.push(problem(&error.to_string(), &origins)),
        }
    }
    origins
}

/// Sorts the rules: which are asked, which test, which never come up, and which packages have exceptions.
fn sort(engine: &mut Engine, packages: &Packages) -> Sorted {
    let mut sorted = Sorted::default();
    let used = recursion::used(engine);
    for rule in recursion::rules(engine) {
        let is_test = ["test_", "todo_test_"].iter().any(|it| rule.name.starts_with(it));
        if is_test && !sorted.tests.iter().any(|it| it.package == rule.package && it.name == rule.name) {
            sorted.tests.push(rule);
            continue;
        }
        if rule.name == EXCEPTION && !sorted.exceptions.contains(&rule.package) {
            sorted.exceptions.push(rule.package);
            continue;
        }
        let Some(refuses) = refuses(&rule.name) else {
            if !rule.is_function
                && is_asked(packages, &rule.package)
                && !used.contains(&full_name(&rule.package, &rule.name))
            {
                sorted.misspelt.extend(meant(&rule.name).map(|it| (rule, it)));
            }
            continue;
        };
        if rule.is_function {
            sorted.functions.extend((!used.contains(&full_name(&rule.package, &rule.name))).then_some(rule));
            continue;
        }
        if !is_asked(packages, &rule.package) {
            sorted.unasked.push(rule);
            continue;
        }
        let RuleName { package, name, place, .. } = rule;
        match sorted.questions.iter_mut().find(|it| it.package == package && it.name == name) {
            Some(question) => question.places.push(place),
            None => sorted.questions.push(Question { package, name, refuses, places: vec![place] }),
        }
    }
    sorted.questions.iter_mut().for_each(|it| it.places.sort());
    sorted.questions.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    sorted
}

#[derive(Default)]
struct Sorted {
    questions: Vec<Question>,
    tests: Vec<RuleName>,
    exceptions: Vec<Vec<String>>,
    unasked: Vec<RuleName>,
    /// Rules that nothing uses, and what their names are a mistake for.
    misspelt: Vec<(RuleName, &'static str)>,
    /// Functions that nobody calls and that are named as if they wanted to be asked.
    functions: Vec<RuleName>,
}

impl Sorted {
    /// Tells what looks like a rule that is asked and is none.
    fn tell(&self, packages: &Packages, findings: &mut Findings) {
        for rule in &self.functions {
            let message = format!("`{}` is a function: it is never asked, and nothing calls it", rule.name);
            let hint = "write `deny contains msg if { … }`, with `input` for the argument";
            findings.push(Finding::error(Code::POLICY_INVALID, message).at(&rule.place).hint(hint));
        }
        for (rule, kind) in &self.misspelt {
            let message = format!("`{}` is never asked, and nothing uses it", rule.name);
            let hint = format!("did you mean `{kind}`?");
            findings.push(Finding::warning(Code::POLICY_INVALID, message).at(&rule.place).hint(hint));
        }
        let Packages::Named(names) = packages else { return };
        let has_questions = |name: &&String| self.questions.iter().any(|it| it.package.join(".") == **name);
        for name in names.iter().filter(|it| !self.questions.is_empty() && !has_questions(it)) {
            let message = format!("there is no rule to ask in `package {name}`, which the manifest names");
            findings.push(Finding::warning(Code::POLICY_INVALID, message));
        }
    }
}

/// Returns the kind of rule that a name is a mistake away from.
fn meant(name: &str) -> Option<&'static str> {
    let kind = name.split('_').next()?.to_lowercase();
    ["deny", "violation", "warn"].into_iter().find(|it| strsim::osa_distance(it, &kind) <= 1)
}

/// Returns whether the rules of a package are asked.
fn is_asked(packages: &Packages, package: &[String]) -> bool {
    match packages {
        Packages::All => true,
        Packages::Named(names) => names.contains(&package.join(".")),
    }
}

/// Says which rules nobody asks, although their names say that they want to be.
pub(super) fn warn_of_unasked(all: &[&Policies], findings: &mut Findings) {
    for policies in all {
        let rules = policies.unasked.iter().filter(|rule| !all.iter().any(|it| is_asked(&it.packages, &rule.package)));
        for rule in rules {
            let message = format!(
                "`{}` in `package {}` is never asked; only those in {} are",
                rule.name,
                rule.package.join("."),
                named(&policies.packages)
            );
            findings.push(Finding::warning(Code::POLICY_INVALID, message).at(&rule.place));
        }
    }
}

/// Returns packages in words: `package main`.
fn named(packages: &Packages) -> String {
    match packages {
        Packages::All => "any package".to_owned(),
        Packages::Named(names) => names.iter().map(|it| format!("`package {it}`")).collect::<Vec<_>>().join(", "),
    }
}

/// Returns the engine's error, which is a text with a snippet, as a finding.
pub(super) fn problem(text: &str, origins: &Origins) -> Finding {
    let mut finding = Finding::error(Code::POLICY_INVALID, message(text));
    if finding.message == "item cannot be indexed" {
        finding = finding.hint("where it may be missing, make the value in the body: `[x | …; x := item.list[_]]`");
    }
    match text.lines().find_map(place) {
        Some(place) => finding.at(&origins.place(place)),
        None => finding,
    }
}

/// Returns what an error of the engine says, without its snippet.
pub(super) fn message(text: &str) -> &str {
    let message = text.lines().find_map(|it| it.strip_prefix("error: ")).unwrap_or(text.trim());
    message.split(" (path [").next().unwrap_or(message).trim_end_matches(':')
}

/// Reads a line such as `--> policies/base.rego:3:28`.
fn place(line: &str) -> Option<Place> {
    let (rest, column) = line.strip_prefix("--> ")?.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    Some(Place::new(&Arc::from(file), line.parse().ok()?, column.parse().ok()?))
}
