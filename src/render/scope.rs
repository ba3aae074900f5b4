//! What a template sees: facts, a configuration's values, variables; and what it looked at.

use super::digest::Hasher;
use super::{Digest, Uses, Values};
use crate::document::{Entry, Node, Value as Plain};
use crate::finding::{Code, Finding, Findings, nearest};
use crate::manifest::Facts;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The names that are in every template's scope and win over all others.
const FIXED: [&str; 5] = ["host", "labels", "environment", "revision", "config"];

/// What stands for `revision` until it is known that a template reads it.
const UNKNOWN_REVISION: &str = "0000000000000000000000000000000000000000";

/// What a template looked at while it was rendered.
///
/// A secret counts as used when its value was handed to the template at all, whatever became of it there. That is more than
/// "its text is in the output", never less.
#[derive(Clone, Default)]
pub(super) struct Trace(Arc<Looked>);

#[derive(Default)]
struct Looked {
    secret: AtomicBool,
    names: Mutex<BTreeSet<String>>,
    keys: Mutex<Keys>,
}

/// The values of the configuration that a template took, by their paths; kept only when someone wants to know them.
#[derive(Default)]
struct Keys {
    taken: BTreeSet<Vec<String>>,
    /// Maps whose keys it went over.
    listed: BTreeSet<Vec<String>>,
}

impl Trace {
    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw_secret(&self) {
        self.0.secret.store(true, Ordering::Relaxed);
    }

    /// Forgets everything, before another template is rendered.
    pub(super) fn reset(&self) {
        self.0.secret.store(false, Ordering::Relaxed);
        self.names().clear();
        *self.keys() = Keys::default();
    }

    /// Returns whether a secret value was handed out.
    pub(super) fn secret(&self) -> bool {
        self.0.secret.load(Ordering::Relaxed)
    }

    /// Returns whether `name` was looked up at the top of the scope.
    pub(super) fn used(&self, name: &str) -> bool {
        self.names().contains(name)
    }
}

/// A map of a configuration; notes when a secret value is taken out of it.
struct Table {
    /// Where it is in the configuration, when that is to be noted.
    path: Option<Vec<String>>,
    index: BTreeMap<String, usize>,
    keys: Vec<Value>,
    values: Vec<Guarded>,
    trace: Trace,
}

/// A list of a configuration; notes when a secret value is taken out of it.
struct Items {
    values: Vec<Guarded>,
    trace: Trace,
}

/// What becomes of a text before a template gets it.
type Print<'a> = &'a dyn Fn(&str) -> String;

#[derive(Clone)]
struct Guarded {
    value: Value,
    secret: bool,
}

impl Guarded {
    /// Guards a value; `path` is where it is in the configuration, when what is taken from it is to be noted.
    ///
    /// `print` is what becomes of texts.
    fn new(node: &Node, secret_above: bool, trace: &Trace, path: Option<&[String]>, print: Print) -> Self {
        let secret = node.secret || secret_above;
        let value = match &node.value {
            Plain::Null => Value::from(()),
            Plain::Bool(it) => Value::from(*it),
            Plain::Int(it) => i64::try_from(*it).map_or_else(|_| Value::from(*it), Value::from),
            Plain::Float(it) => Value::from(*it),
            Plain::String(it) => Value::from(print(it)),
            Plain::List(items) => Value::from_object(Items {
                // A list is one value: a layer replaces it as a whole.
                values: items.iter().map(|it| Guarded::new(it, secret, trace, None, print)).collect(),
                trace: trace.clone(),
            }),
            Plain::Map(map) => Value::from_object(Table {
                path: path.map(<[String]>::to_vec),
                index: map
                    .iter()
                    .enumerate()
                    .flat_map(|(idx, it)| [(print(&it.key), idx), (it.key.clone(), idx)])
                    .collect(),
                keys: map.iter().map(|it| Value::from(print(&it.key))).collect(),
                values: map
                    .iter()
                    .map(|it| Guarded::new(&it.node, secret, trace, below(path, it).as_deref(), print))
                    .collect(),
                trace: trace.clone(),
            }),
        };
        Guarded { value, secret }
    }

    fn take(&self, trace: &Trace) -> Value {
        if self.secret {
            trace.saw_secret();
        }
        self.value.clone()
    }
}

/// Returns where an entry of the map at `path` is.
fn below(path: Option<&[String]>, entry: &Entry) -> Option<Vec<String>> {
    path.map(|it| it.iter().chain([&entry.key]).cloned().collect())
}

impl Object for Table {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let value = self.values[*self.index.get(key)?].take(&self.trace);
        if let Some(path) = &self.path {
            let path = path.iter().map(String::as_str).chain([key]).map(str::to_owned).collect();
            self.trace.keys().taken.insert(path);
        }
        Some(value)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        if let Some(path) = &self.path {
            self.trace.keys().listed.insert(path.clone());
        }
        Enumerator::Values(self.keys.clone())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.keys.len())
    }
}

impl Object for Items {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(self.values.get(key.as_usize()?)?.take(&self.trace))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.values.len())
    }
}

impl fmt::Debug for Table {
    /// Never shows values: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map of {} keys", self.keys.len())
    }
}

impl fmt::Debug for Items {
    /// Never shows values: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {} values", self.values.len())
    }
}

/// The scope of the templates of one output entry.
pub(super) struct Scope<'a> {
    facts: &'a Facts,
    variables: &'a BTreeMap<String, String>,
    values: Option<&'a Values>,
    root: Value,
    revision: Arc<Mutex<Value>>,
    /// What the templates look at.
    pub(super) trace: Trace,
}

/// The map that minijinja asks for names: DESIGN.md section 4 "Templates" has the order.
struct Root {
    fixed: BTreeMap<&'static str, Value>,
    revision: Arc<Mutex<Value>>,
    config: Option<Guarded>,
    variables: BTreeMap<String, Value>,
    trace: Trace,
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<Value> {
        let value = self.find(name)?;
        self.trace.names().insert(name.to_owned());
        Some(value)
    }
}

impl Root {
    fn find(&self, name: &str) -> Option<Value> {
        match name {
            "revision" => Some(self.revision.lock().unwrap_or_else(PoisonError::into_inner).clone()),
            "config" => self.config.as_ref().map(|it| it.take(&self.trace)),
            _ => {
                let key = || self.config.as_ref()?.value.get_attr(name).ok().filter(|it| !it.is_undefined());
                self.fixed.get(name).cloned().or_else(key).or_else(|| self.variables.get(name).cloned())
            }
        }
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the template's scope")
    }
}

impl<'a> Scope<'a> {
    /// Returns the scope of templates that see `values`; when it is `noting`, each value that they take is noted.
    pub(super) fn new(
        facts: &'a Facts,
        variables: &'a BTreeMap<String, String>,
        values: Option<&'a Values>,
        noting: bool,
    ) -> Self {
        let revision = Arc::new(Mutex::new(Value::from(UNKNOWN_REVISION)));
        let root = Value::from(());
        let mut scope = Scope { facts, variables, values, root, revision, trace: Trace::default() };
        scope.root = scope.root(noting.then_some(&[]), &str::to_owned);
        scope
    }

    fn root(&self, path: Option<&[String]>, print: Print) -> Value {
        let labels = self.facts.labels.iter().map(|(name, value)| (print(name), Value::from(print(value))));
        Value::from_object(Root {
            fixed: BTreeMap::from([
                ("host", Value::from(print(&self.facts.host))),
                ("labels", Value::from_pairs(labels)),
                ("environment", Value::from(print(&self.facts.environment))),
            ]),
            revision: Arc::clone(&self.revision),
            config: self.values.map(|it| Guarded::new(&it.node, false, &self.trace, path, print)),
            variables: self.variables.iter().map(|(name, value)| (name.clone(), Value::from(print(value)))).collect(),
            trace: self.trace.clone(),
        })
    }

    /// Returns the value that minijinja takes as its context.
    pub(super) fn context(&self) -> Value {
        self.root.clone()
    }

    /// Returns the same with other texts; what templates take of it is not noted by its path.
    pub(super) fn context_of(&self, print: Print) -> Value {
        self.root(None, print)
    }

    /// Sets what `revision` is; `None` takes it back to a stand-in of the same shape.
    pub(super) fn set_revision(&self, revision: Option<&str>) {
        let value = Value::from(revision.unwrap_or(UNKNOWN_REVISION));
        *self.revision.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }

    /// Returns what the last template used, but for what it included.
    pub(super) fn uses(&self) -> Uses {
        let top = |name: &str| self.values.and_then(|it| it.node.as_map()).is_some_and(|it| it.get(name).is_some());
        let names = self.trace.names().clone();
        let facts = names.iter().filter(|it| FIXED.contains(&it.as_str()) && *it != "config").cloned().collect();
        let is_variable =
            |it: &&String| !FIXED.contains(&it.as_str()) && !top(it) && self.variables.contains_key(it.as_str());
        let variables = names.iter().filter(is_variable).cloned().collect();
        let keys = self.trace.keys();
        // What was only passed on the way to a value below is not used itself.
        let is_passed = |path: &Vec<String>| {
            let next = keys.taken.range(path.clone()..).find(|it| *it != path);
            next.is_some_and(|it| it.starts_with(path))
        };
        let used = keys.taken.iter().filter(|it| !is_passed(it));
        let listed = keys.listed.iter().filter(|it| !it.is_empty());
        let used: BTreeSet<String> = used.chain(listed).map(|it| it.join(".")).collect();
        Uses { keys: used.into_iter().collect(), facts, variables, includes: Vec::new() }
    }

    /// Returns the digest of all that the last template looked at, in which secrets count by the files that they came from.
    ///
    /// Equal inputs give equal outputs, so this names the content of a sensitive file without a digest of its bytes, from
    /// which a short secret could be guessed.
    pub(super) fn identity(&self, sources: &[(String, Arc<str>)]) -> Digest {
        let mut hasher = Hasher::new("sensitive template");
        hasher.number(sources.len() as u64);
        for (name, text) in sources {
            hasher.text(name);
            hasher.text(text);
        }
        for (name, value) in [("host", &self.facts.host), ("environment", &self.facts.environment)] {
            hasher.optional(self.trace.used(name).then_some(value));
        }
        let labels = self.facts.labels.iter().filter(|_| self.trace.used("labels"));
        add_pairs(&mut hasher, labels);
        add_pairs(&mut hasher, self.variables.iter().filter(|(name, _)| self.trace.used(name)));
        let revision = self.revision.lock().unwrap_or_else(PoisonError::into_inner).clone();
        hasher.optional(revision.as_str().filter(|_| self.trace.used("revision")));
        if let Some(values) = self.values {
            for entry in values.node.as_map().into_iter().flat_map(|it| it.iter()) {
                if self.trace.used("config") || self.trace.used(&entry.key) {
                    hasher.text(&entry.key);
                    hasher.redacted(&entry.node);
                }
            }
            hasher.texts(values.sealed.iter().map(|it| it.as_str()));
        }
        hasher.finish()
    }

    /// Returns the name that was probably meant by the undefined `expression`, such as `database.host` for `databse.host`.
    pub(super) fn suggestion(&self, expression: &str) -> Option<String> {
        let mut steps = expression.split('.');
        let first = steps.next()?;
        let config = self.values.and_then(|it| it.node.as_map());
        let keys = || config.into_iter().flat_map(|map| map.iter().map(|it| it.key.as_str()));
        let mut node = match (first, config) {
            ("config", _) => self.values.map(|it| &it.node)?,
            (_, Some(map)) if map.get(first).is_some() => map.get(first)?,
            _ => {
                let variables = self.variables.keys().map(String::as_str);
                return nearest(first, FIXED.into_iter().chain(keys()).chain(variables)).map(str::to_owned);
            }
        };
        let mut known = first.to_owned();
        for step in steps {
            let map = node.as_map()?;
            let Some(next) = map.get(step) else {
                return nearest(step, map.iter().map(|it| it.key.as_str())).map(|it| format!("{known}.{it}"));
            };
            node = next;
            known = format!("{known}.{step}");
        }
        None
    }
}

fn add_pairs<'a>(hasher: &mut Hasher, pairs: impl Iterator<Item = (&'a String, &'a String)>) {
    for (name, value) in pairs {
        hasher.text(name);
        hasher.text(value);
    }
    // Names are never empty, so this ends the list.
    hasher.text("");
}

/// Warns of each top-level key of the configuration `name` that means something else in templates, or hides a variable.
pub(super) fn warn_of_clashes(
    name: &str,
    values: &Values,
    variables: &BTreeMap<String, String>,
    findings: &mut Findings,
) {
    for Entry { key, place, .. } in values.node.as_map().into_iter().flat_map(|it| it.iter()) {
        if FIXED.contains(&key.as_str()) {
            let message = format!("in templates `{key}` is headfast's own, not this key of `{name}`");
            let hint = format!("write `config.{key}` for this one, or rename it");
            findings.push(Finding::warning(Code::NAME_CLASH, message).at(place).hint(hint));
        } else if variables.contains_key(key) {
            let message = format!("in templates this key of `{name}` hides the variable `{key}`");
            findings.push(Finding::warning(Code::NAME_CLASH, message).at(place).hint("rename one of the two"));
        }
    }
}
