//! Reading policies.

use super::{PACKAGE, Policies, Question, recursion, refuses};
use crate::document::Limits;
use crate::finding::{Code, Finding, Findings};
use crate::manifest::Located;
use crate::place::Place;
use crate::revision::{EntryKind, ReadError, Tree, TreeEntry};
use regorus::{Engine, Value};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// How long one rule may take.
const MAX_TIME: Duration = Duration::from_secs(5);
/// The most elements of `numbers.range`.
const MAX_RANGE: i64 = 1_000_000;
/// How deep folders of policies may nest.
const MAX_FOLDERS: u32 = 32;
/// How many policy files are read.
const MAX_FILES: usize = 1_000;

impl Policies {
    /// Reads the files and folders that the manifest's `policies` names; in folders, `*.rego` but not `*_test.rego`.
    pub fn read(tree: &dyn Tree, sources: &[Located<String>], findings: &mut Findings) -> Option<Policies> {
        let n_errors = findings.n_errors();
        let mut reader = Reader { tree, files: Vec::new() };
        for source in sources {
            let path = source.value.trim_end_matches('/');
            match reader.read(path) {
                Ok(true) => {}
                Ok(false) => {
                    let message = format!("there is no policy at `{}`", source.value);
                    findings.push(Finding::error(Code::SOURCE_MISSING, message).at(&source.place));
                }
                Err(problem) => findings.push(problem.at(&source.place)),
            }
        }
        let policies = Policies::load(reader.files, findings)?;
        (findings.n_errors() == n_errors).then_some(policies)
    }

    /// Reads policies from pairs of path and content.
    pub fn load(files: Vec<(String, Vec<u8>)>, findings: &mut Findings) -> Option<Policies> {
        Policies::load_within(files, MAX_TIME, findings)
    }

    /// Does the same with another limit on the time that a rule may take.
    pub(super) fn load_within(
        files: Vec<(String, Vec<u8>)>,
        limit: Duration,
        findings: &mut Findings,
    ) -> Option<Policies> {
        let n_errors = findings.n_errors();
        let mut engine = engine(limit);
        let is_any = !files.is_empty();
        for (path, bytes) in files {
            match String::from_utf8(bytes) {
                Ok(text) => add(&mut engine, &path, text, findings),
                Err(_) => {
                    let finding = Finding::error(Code::ENCODING, "the policy is not UTF-8");
                    findings.push(finding.at(&Place::whole(&path)));
                }
            }
        }
        recursion::check(&mut engine, findings);
        if findings.n_errors() > n_errors {
            return None;
        }
        let questions = questions(&mut engine, findings);
        if is_any && questions.is_empty() {
            let message =
                format!("none of the policies has a rule to ask: `deny`, `violation` or `warn` in `package {PACKAGE}`");
            findings.push(Finding::warning(Code::POLICY_INVALID, message));
        }
        Some(Policies { engine, questions })
    }
}

struct Reader<'a> {
    tree: &'a dyn Tree,
    files: Vec<(String, Vec<u8>)>,
}

impl Reader<'_> {
    /// Reads a file or folder; returns whether it exists.
    fn read(&mut self, path: &str) -> Result<bool, Finding> {
        let unreadable = |error: ReadError| Finding::error(Code::INCOMPLETE, error.to_string());
        match self.tree.find(path).map_err(unreadable)? {
            Some(entry) if entry.kind == EntryKind::Directory => self.folder(path, 0).map(|()| true),
            Some(entry @ TreeEntry { kind: EntryKind::File { .. }, .. }) => self.file(path, &entry).map(|()| true),
            _ => Ok(false),
        }
    }

    fn folder(&mut self, path: &str, depth: u32) -> Result<(), Finding> {
        let entries = self.tree.list(path).map_err(|error| Finding::error(Code::INCOMPLETE, error.to_string()))?;
        for entry in entries.unwrap_or_default() {
            let Ok(name) = std::str::from_utf8(&entry.name) else { continue };
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            let is_policy = name.ends_with(".rego") && !name.ends_with("_test.rego");
            match entry.kind {
                EntryKind::Directory if depth < MAX_FOLDERS => self.folder(&path, depth + 1)?,
                EntryKind::File { .. } if is_policy => self.file(&path, &entry)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str, entry: &TreeEntry) -> Result<(), Finding> {
        let unreadable = |error: ReadError| Finding::error(Code::INCOMPLETE, error.to_string());
        let limit = Limits::default().bytes as u64;
        if self.tree.size(&entry.id).map_err(unreadable)? > limit {
            return Err(Finding::error(Code::FILE_TOO_BIG, format!("`{path}` is larger than {limit} bytes")));
        }
        if self.files.len() == MAX_FILES {
            return Err(Finding::error(Code::TOO_MANY_FILES, format!("there are more than {MAX_FILES} policies")));
        }
        let bytes = self.tree.blob(&entry.id).map_err(unreadable)?;
        self.files.push((path.to_owned(), bytes));
        Ok(())
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

/// Returns the rules to ask, in the order of their names.
fn questions(engine: &mut Engine, findings: &mut Findings) -> Vec<Question> {
    let mut questions: Vec<Question> = Vec::new();
    for rule in recursion::rules(engine) {
        let Some(refuses) = refuses(&rule.name) else { continue };
        if rule.package != PACKAGE {
            let message = format!(
                "`{}` in `package {}` is never asked; only those in `package {PACKAGE}` are",
                rule.name, rule.package
            );
            findings.push(Finding::warning(Code::POLICY_INVALID, message).at(&rule.place));
            continue;
        }
        match questions.iter_mut().find(|it| it.name == rule.name) {
            Some(question) => question.place = None,
            None => questions.push(Question { name: rule.name, refuses, place: Some(rule.place) }),
        }
    }
    questions.sort_by(|a, b| a.name.cmp(&b.name));
    questions
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
