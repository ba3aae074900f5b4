//! From texts to policies: parsing, and what they may not hold.

use super::exceptions::EXCEPTION;
use super::{Policies, Question, RuleName, Sources, data, heads, recursion, refuses};
use crate::finding::{Code, Finding, Findings};
use crate::manifest::Packages;
use crate::place::Place;
use regorus::{Engine, Value};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// The most elements of `numbers.range`.
const MAX_RANGE: i64 = 1_000_000;

impl Policies {
    /// Makes policies whose rules take up to `limit` each; rules that nobody asks are not mentioned.
    pub(super) fn of(sources: Sources, limit: Duration, findings: &mut Findings) -> Option<Policies> {
        let n_errors = findings.n_errors();
        let mut engine = engine(limit);
        let is_any = !sources.rules.is_empty();
        for (path, bytes) in sources.rules {
            match String::from_utf8(bytes) {
                Ok(text) => add(&mut engine, &path, text, findings),
                Err(_) => {
                    let finding = Finding::error(Code::ENCODING, "the policy is not UTF-8");
                    findings.push(finding.at(&Place::whole(&path)));
                }
            }
        }
        recursion::check(&mut engine, findings);
        heads::check(&mut engine, findings);
        if let Some(node) = &sources.data {
            data::check(node, &recursion::rules(&mut engine), findings);
            if let Err(error) = engine.add_data(Value::from(node.to_json())) {
                findings.push(Finding::error(Code::POLICY_INVALID, format!("the data cannot be used: {error}")));
            }
        }
        if findings.n_errors() > n_errors {
            return None;
        }
        let Sorted { questions, tests, exceptions, unasked } = sort(&mut engine, &sources.packages);
        if is_any && questions.is_empty() {
            let message = format!(
                "none of the policies has a rule to ask: `deny`, `violation` or `warn` in {}",
                named(&sources.packages)
            );
            findings.push(Finding::warning(Code::POLICY_INVALID, message));
        }
        Some(Policies { engine, questions, tests, exceptions, unasked, packages: sources.packages })
    }
}

/// Returns an engine whose answers depend on nothing but policies and input.
fn engine(limit: Duration) -> Engine {
    let mut engine = Engine::new();
    engine.set_gather_prints(true);
    // A builtin that cannot work on its arguments is an error, not silence: silence would be consent.
    engine.set_strict_builtin_errors(true);
    engine.set_execution_timer_config(regorus::utils::limits::ExecutionTimerConfig {
        limit,
        check_interval: NonZeroU32::MIN.saturating_add(999),
    });
    let no_clock = "a policy has no clock: the same revision must give the same answer";
    let no_dice = "a policy has no dice: the same revision must give the same answer";
    let replaced: [(&str, u8, Box<dyn regorus::Extension>); 4] = [
        ("time.now_ns", 0, Box::new(move |_: Vec<Value>| refused(no_clock))),
        ("rand.intn", 2, Box::new(move |_: Vec<Value>| refused(no_dice))),
        ("numbers.range", 2, Box::new(|arguments: Vec<Value>| range(&arguments))),
        ("numbers.range_step", 3, Box::new(|arguments: Vec<Value>| range(&arguments))),
    ];
    for (name, n_arguments, function) in replaced {
        // It only fails for a name that was added before.
        let _ = engine.add_extension(name.to_owned(), n_arguments, function);
    }
    engine
}

fn refused<E: From<std::io::Error>>(why: &str) -> Result<Value, E> {
    Err(std::io::Error::other(why).into())
}

/// Returns the numbers from the first argument to the second, both included, by steps of the third; unlike the engine's
/// own `numbers.range`, not so many that the memory does not hold them.
fn range<E: From<std::io::Error>>(arguments: &[Value]) -> Result<Value, E> {
    let numbers: Option<Vec<i64>> = arguments.iter().map(|it| it.as_i64().ok()).collect();
    let (first, last, step) = match numbers.as_deref() {
        Some([first, last]) => (*first, *last, 1),
        Some([first, last, step]) if *step > 0 => (*first, *last, *step),
        _ => return refused("the arguments must be whole numbers, and the step positive"),
    };
    let n_steps = i128::from(first).abs_diff(i128::from(last)) / step.unsigned_abs() as u128;
    let Some(n_steps) = i64::try_from(n_steps).ok().filter(|it| *it < MAX_RANGE) else {
        return refused("the range has too many numbers");
    };
    let sign = if first <= last { step } else { -step };
    let values: Vec<Value> = (0..=n_steps).map(|idx| Value::from(first + idx * sign)).collect();
    Ok(Value::from(values))
}

/// Adds a policy, in today's Rego or, as much of what is written for conftest still is, in that of before 1.0.
fn add(engine: &mut Engine, path: &str, text: String, findings: &mut Findings) {
    let Err(error) = engine.add_policy(path.to_owned(), text.clone()) else { return };
    engine.set_rego_v0(true);
    let old = engine.add_policy(path.to_owned(), text);
    engine.set_rego_v0(false);
    if let Err(old_error) = old {
        let error = error.to_string();
        let is_old_style = error.contains("`if` keyword is required");
        findings.push(problem(&if is_old_style { old_error.to_string() } else { error }));
    }
}

/// Sorts the rules: which are asked, which test, which never come up, and which packages have exceptions.
fn sort(engine: &mut Engine, packages: &Packages) -> Sorted {
    let mut sorted = Sorted::default();
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
        let Some(refuses) = refuses(&rule.name) else { continue };
        if !is_asked(packages, &rule.package) {
            sorted.unasked.push(rule);
            continue;
        }
        match sorted.questions.iter_mut().find(|it| it.package == rule.package && it.name == rule.name) {
            Some(question) => question.place = None,
            None => {
                let RuleName { package, name, place } = rule;
                sorted.questions.push(Question { package, name, refuses, place: Some(place) });
            }
        }
    }
    sorted.questions.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    sorted
}

#[derive(Default)]
struct Sorted {
    questions: Vec<Question>,
    tests: Vec<RuleName>,
    exceptions: Vec<Vec<String>>,
    unasked: Vec<RuleName>,
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
pub(super) fn problem(text: &str) -> Finding {
    let message = text.lines().find_map(|it| it.strip_prefix("error: ")).unwrap_or(text.trim());
    let message = message.split(" (path [").next().unwrap_or(message).trim_end_matches(':');
    let finding = Finding::error(Code::POLICY_INVALID, message);
    match text.lines().find_map(place) {
        Some(place) => finding.at(&place),
        None => finding,
    }
}

/// Reads a line such as `--> policies/base.rego:3:28`.
fn place(line: &str) -> Option<Place> {
    let (rest, column) = line.strip_prefix("--> ")?.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    Some(Place::new(&Arc::from(file), line.parse().ok()?, column.parse().ok()?))
}
