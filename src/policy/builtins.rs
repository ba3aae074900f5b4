//! The engine, with functions that it lacks or that must not be as they are.

use super::net;
use regorus::unstable::{BuiltinFcn, Expr, Ref, Source, Span};
use regorus::{Engine, Value};
use std::num::NonZeroU32;
use std::time::Duration;

/// The most elements of `numbers.range`.
const MAX_RANGE: i64 = 1_000_000;

/// A function's name, number of arguments, and what it does with them.
type Builtin = (&'static str, u8, fn(&[Value]) -> Result<Value, String>);

const BUILTINS: &[Builtin] = &[
    ("time.now_ns", 0, |_| Err("a policy has no clock: the same revision must give the same answer".to_owned())),
    ("rand.intn", 2, |_| Err("a policy has no dice: the same revision must give the same answer".to_owned())),
    ("all", 1, |arguments| flags(arguments).map(|it| Value::from(it.into_iter().all(|it| it)))),
    ("any", 1, |arguments| flags(arguments).map(|it| Value::from(it.into_iter().any(|it| it)))),
    ("numbers.range", 2, range),
    ("numbers.range_step", 3, range),
    ("net.cidr_contains", 2, net::contains),
    ("net.cidr_contains_matches", 2, net::contains_matches),
    ("net.cidr_expand", 1, net::expand),
    ("net.cidr_intersects", 2, net::intersects),
    ("net.cidr_is_valid", 1, net::is_valid),
    ("net.cidr_overlap", 2, net::contains),
];

/// What functions were called before Rego 1.0, in many a policy still, and what they are called today.
const RENAMED: &[(&str, &str)] = &[("re_match", "regex.match")];

/// Functions that the engine lets be undefined where OPA has an error.
const LENIENT: &[&str] = &[
    "array.slice",
    "json.filter",
    "json.patch",
    "json.remove",
    "regex.replace",
    "regex.template_match",
    "time.add_date",
    "units.parse",
    "units.parse_bytes",
];

/// Returns an engine whose answers depend on nothing but policies and input.
pub(super) fn engine(limit: Duration) -> Engine {
    let mut engine = Engine::new();
    engine.set_gather_prints(true);
    // A builtin that cannot work on its arguments is an error, not silence: silence would be consent.
    engine.set_strict_builtin_errors(true);
    engine.set_execution_timer_config(regorus::utils::limits::ExecutionTimerConfig {
        limit,
        check_interval: NonZeroU32::MIN.saturating_add(999),
    });
    // Adding only fails for a name that was added before.
    for (name, n_arguments, function) in BUILTINS {
        let function = Box::new(move |arguments: Vec<Value>| told(function(&arguments)));
        let _ = engine.add_extension((*name).to_owned(), *n_arguments, function);
    }
    for name in LENIENT {
        let Some(lenient) = regorus::unstable::BUILTINS.get(name) else { continue };
        let function = Box::new(move |arguments: Vec<Value>| told(strict(name, *lenient, &arguments)));
        let _ = engine.add_extension((*name).to_owned(), lenient.1, function);
    }
    for (name, today) in RENAMED {
        let Some(function) = regorus::unstable::BUILTINS.get(today) else { continue };
        let renamed = Box::new(move |arguments: Vec<Value>| told(strict(name, *function, &arguments)));
        let _ = engine.add_extension((*name).to_owned(), function.1, renamed);
    }
    engine
}

fn told<E: From<std::io::Error>>(result: Result<Value, String>) -> Result<Value, E> {
    result.map_err(|why| std::io::Error::other(why).into())
}

/// Calls a function of the engine; undefined is an error.
fn strict(name: &str, function: BuiltinFcn, arguments: &[Value]) -> Result<Value, String> {
    let source = Source::from_contents(String::new(), " ".to_owned()).map_err(|it| it.to_string())?;
    let span = Span { source, line: 1, col: 1, start: 0, end: 0 };
    let nothing = || Ref::new(Expr::Null { span: span.clone(), value: Value::Null, eidx: 0 });
    let expressions: Vec<Ref<Expr>> = arguments.iter().map(|_| nothing()).collect();
    match (function.0)(&span, &expressions, arguments, true) {
        Ok(Value::Undefined) => Err(format!("`{name}` cannot work on its arguments")),
        Ok(value) => Ok(value),
        Err(error) => Err(super::load::message(&error.to_string()).to_owned()),
    }
}

/// Returns the least and the greatest number of arguments of a function that no policy has to define.
pub(super) fn arity(name: &str) -> Option<(usize, usize)> {
    // The engine lets one more argument be what the function returns.
    let of_engine = || regorus::unstable::BUILTINS.get(name).map(|it| (it.1.into(), usize::from(it.1) + 1));
    let own = || BUILTINS.iter().find(|it| it.0 == name).map(|it| (it.1.into(), it.1.into()));
    if name == "print" { Some((0, usize::MAX)) } else { of_engine().or_else(own) }
}

/// Returns the names of all functions that no policy has to define.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let own = BUILTINS.iter().map(|it| it.0).chain(RENAMED.iter().map(|it| it.0));
    own.chain(regorus::unstable::BUILTINS.keys().copied()).chain(["print"])
}

/// Returns which elements of a list or set are true, for what Rego had before 1.0.
fn flags(arguments: &[Value]) -> Result<Vec<bool>, String> {
    let is_true = |it: &Value| matches!(it, Value::Bool(true));
    match arguments {
        [Value::Array(it)] => Ok(it.iter().map(is_true).collect()),
        [Value::Set(it)] => Ok(it.iter().map(is_true).collect()),
        _ => Err("the argument must be a list or a set".to_owned()),
    }
}

/// Returns the numbers from the first argument to the second, both included, by steps of the third; unlike the engine's
/// own `numbers.range`, not so many that the memory does not hold them.
fn range(arguments: &[Value]) -> Result<Value, String> {
    let numbers: Option<Vec<i64>> = arguments.iter().map(|it| it.as_i64().ok()).collect();
    let (first, last, step) = match numbers.as_deref() {
        Some([first, last]) => (*first, *last, 1),
        Some([first, last, step]) if *step > 0 => (*first, *last, *step),
        _ => return Err("the arguments must be whole numbers, and the step positive".to_owned()),
    };
    let n_steps = i128::from(first).abs_diff(i128::from(last)) / step.unsigned_abs() as u128;
    let Some(n_steps) = i64::try_from(n_steps).ok().filter(|it| *it < MAX_RANGE) else {
        return Err("the range has too many numbers".to_owned());
    };
    let sign = if first <= last { step } else { -step };
    let values: Vec<Value> = (0..=n_steps).map(|idx| Value::from(first + idx * sign)).collect();
    Ok(Value::from(values))
}
