//! Typed validation in code, for programs that use the library and for what a JSON Schema cannot say.

use super::{Types, counted, shown};
use crate::document::{Node, Value};
use crate::finding::{Code, Finding, Findings, Severity, nearest};
use crate::place::Place;
use regex::Regex;
use std::fmt;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

/// Rules about single values, and functions that look at the whole.
#[derive(Default)]
pub struct Rules {
    fields: Vec<Field>,
    validators: Vec<(String, Validator)>,
    unknown: Option<Severity>,
}

type Validator = Box<dyn Fn(&Node, &mut Findings) + Send + Sync>;
type Check = Box<dyn Fn(&Node) -> Result<(), String> + Send + Sync>;

/// The type that a value must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list.
    List,
    /// A map.
    Map,
    /// Anything.
    Any,
}

impl FromStr for Kind {
    type Err = String;

    /// Reads a type by the names that JSON Schema and programming languages have for it.
    fn from_str(name: &str) -> Result<Kind, String> {
        match name {
            "str" | "string" | "text" => Ok(Kind::Text),
            "int" | "integer" => Ok(Kind::Integer),
            "float" | "number" => Ok(Kind::Number),
            "bool" | "boolean" => Ok(Kind::Boolean),
            "list" | "array" => Ok(Kind::List),
            "dict" | "map" | "object" => Ok(Kind::Map),
            "any" => Ok(Kind::Any),
            _ => Err(format!("there is no type `{name}`")),
        }
    }
}

impl Kind {
    fn types(self) -> Types {
        let named = |name| Types::named(name).unwrap_or(Types::ANY);
        match self {
            Kind::Text => named("string"),
            Kind::Integer => named("integer"),
            Kind::Number => named("number"),
            Kind::Boolean => named("boolean"),
            Kind::List => named("array"),
            Kind::Map => named("object"),
            Kind::Any => Types::ANY,
        }
    }
}

/// What one value must be like.
pub struct Field {
    path: String,
    kind: Kind,
    required: bool,
    range: Option<RangeInclusive<f64>>,
    length: Option<RangeInclusive<usize>>,
    pattern: Option<Regex>,
    options: Vec<Value>,
    checks: Vec<Check>,
    severity: Severity,
    suggestion: Option<String>,
    default: Option<Value>,
    description: Option<String>,
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({}: {:?})", self.path, self.kind)
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let validators: Vec<&str> = self.validators.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Rules").field("fields", &self.fields).field("validators", &validators).finish()
    }
}

impl Field {
    /// Returns a rule for the value at a dotted path, which may be absent.
    pub fn new(path: &str, kind: Kind) -> Field {
        Field {
            path: path.to_owned(),
            kind,
            required: false,
            range: None,
            length: None,
            pattern: None,
            options: Vec::new(),
            checks: Vec::new(),
            severity: Severity::Error,
            suggestion: None,
            default: None,
            description: None,
        }
    }

    /// Sets the value that an absent one has, in what [`Rules::apply`] returns.
    #[must_use]
    pub fn default(mut self, value: Value) -> Field {
        self.default = Some(value);
        self
    }

    /// Says what the value is for, in what [`Rules::describe`] returns.
    #[must_use]
    pub fn describe(mut self, text: &str) -> Field {
        self.description = Some(text.to_owned());
        self
    }

    /// Makes an absent value a violation.
    #[must_use]
    pub fn required(mut self) -> Field {
        self.required = true;
        self
    }

    /// Bounds a number.
    #[must_use]
    pub fn range(mut self, range: RangeInclusive<f64>) -> Field {
        self.range = Some(range);
        self
    }

    /// Bounds the characters of a text, the items of a list, or the keys of a map.
    #[must_use]
    pub fn length(mut self, length: RangeInclusive<usize>) -> Field {
        self.length = Some(length);
        self
    }

    /// Makes a text match a regular expression.
    #[must_use]
    pub fn pattern(mut self, pattern: Regex) -> Field {
        self.pattern = Some(pattern);
        self
    }

    /// Lists the values that are allowed.
    #[must_use]
    pub fn one_of(mut self, options: impl IntoIterator<Item = Value>) -> Field {
        self.options = options.into_iter().collect();
        self
    }

    /// Adds a function that says what is wrong with a value, without quoting it.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&Node) -> Result<(), String> + Send + Sync + 'static) -> Field {
        self.checks.push(Box::new(check));
        self
    }

    /// Sets how much a violation weighs; an error unless set.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Field {
        self.severity = severity;
        self
    }

    /// Sets what to do about a violation.
    #[must_use]
    pub fn suggestion(mut self, suggestion: &str) -> Field {
        self.suggestion = Some(suggestion.to_owned());
        self
    }

    fn validate(&self, root: &Node, findings: &mut Findings) {
        let Some(node) = root.get(&self.path) else {
            if self.required && self.default.is_none() {
                let finding = self.finding(root, "it is required, and no layer sets it");
                findings.push(finding.expected(self.kind.types().describe()).found("nothing"));
            }
            return;
        };
        let types = self.kind.types();
        if !types.admits(&node.value) {
            let message = format!("it must be {}, not {}", types.describe(), node.type_name());
            findings.push(self.finding(node, &message).expected(types.describe()).found(shown(node)));
            return;
        }
        for (message, expected) in self.problems(node) {
            findings.push(Finding { expected, ..self.finding(node, &message).found(shown(node)) });
        }
    }

    /// Returns what is wrong with a value, and what was expected where that can be said.
    fn problems(&self, node: &Node) -> Vec<(String, Option<String>)> {
        let value = shown(node);
        let mut problems = Vec::new();
        let mut problem = |message: String, expected: String| problems.push((message, Some(expected)));
        if let (Some(range), Some(number)) = (&self.range, number(node)) {
            if number < *range.start() {
                problem(
                    format!("{value} is less than the minimum {}", range.start()),
                    format!("at least {}", range.start()),
                );
            } else if number > *range.end() {
                problem(
                    format!("{value} is greater than the maximum {}", range.end()),
                    format!("at most {}", range.end()),
                );
            }
        }
        if let (Some(length), Some((n, unit))) = (&self.length, length(node)) {
            if n < *length.start() {
                let expected = format!("at least {}", counted(*length.start(), unit));
                problem(format!("it must have {expected}"), expected);
            } else if n > *length.end() {
                let expected = format!("at most {}", counted(*length.end(), unit));
                problem(format!("it must have {expected}"), expected);
            }
        }
        if let (Some(pattern), Some(text)) = (&self.pattern, node.as_str())
            && !pattern.is_match(text)
        {
            problem(
                format!("{value} does not match the pattern `{pattern}`"),
                format!("text that matches `{pattern}`"),
            );
        }
        if !self.options.is_empty() && !self.options.contains(&node.value) {
            let option = |it: &Value| shown(&Node::new(it.clone(), node.place.clone()));
            let options: Vec<String> = self.options.iter().map(option).collect();
            let expected = format!("one of {}", options.join(", "));
            problem(format!("{value} is not {expected}"), expected);
        }
        problems.extend(self.checks.iter().filter_map(|it| Some((it(node).err()?, None))));
        problems
    }

    fn line(&self) -> String {
        let of = |it: &Value| shown(&Node::new(it.clone(), Place::whole("rules")));
        let range = self.range.as_ref().map(|it| format!("{} to {}", it.start(), it.end()));
        let length = self.length.as_ref().map(|it| format!("{} to {} long", it.start(), it.end()));
        let pattern = self.pattern.as_ref().map(|it| format!("like `{it}`"));
        let options = self.options.iter().map(of).collect::<Vec<_>>().join(", ");
        let options = (!options.is_empty()).then(|| format!("one of {options}"));
        let default = self.default.as_ref().map(|it| format!("default {}", of(it)));
        let required = (self.required && self.default.is_none()).then(|| "required".to_owned());
        let types = if self.kind == Kind::Any { "anything".to_owned() } else { self.kind.types().describe() };
        let parts = [Some(types), range, length, pattern, options, default, required];
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let description = self.description.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
        format!("{} ({text}){description}", self.path)
    }

    fn finding(&self, node: &Node, message: &str) -> Finding {
        let finding = Finding::error(Code::SCHEMA, format!("{}: {message}", self.path)).at(&node.place);
        let pointer = self.path.split('.').map(|it| format!("/{}", it.replace('~', "~0").replace('/', "~1"))).collect();
        Finding { severity: self.severity, hint: self.suggestion.clone(), pointer: Some(pointer), ..finding }
    }
}

impl Rules {
    /// Adds a rule about one value.
    #[must_use]
    pub fn field(mut self, field: Field) -> Rules {
        self.fields.push(field);
        self
    }

    /// Adds a function that looks at the whole configuration and reports what it finds; one that panics is an error.
    #[must_use]
    pub fn validator(mut self, name: &str, validator: impl Fn(&Node, &mut Findings) + Send + Sync + 'static) -> Rules {
        self.validators.push((name.to_owned(), Box::new(validator)));
        self
    }

    /// Adds a function that looks at the whole configuration and returns what is wrong with it; one that panics is an error.
    #[must_use]
    pub fn lister(self, name: &str, lister: impl Fn(&Node) -> Vec<Finding> + Send + Sync + 'static) -> Rules {
        self.validator(name, move |node, findings| findings.extend(lister(node).into_iter().collect()))
    }

    /// Makes every key that no field names a finding of this severity.
    #[must_use]
    pub fn unknown(mut self, severity: Severity) -> Rules {
        self.unknown = Some(severity);
        self
    }

    /// Returns `node` with the defaults of all fields that it does not set.
    pub fn apply(&self, node: &Node) -> Node {
        let mut applied = node.clone();
        for field in &self.fields {
            if let Some(default) = field.default.as_ref().filter(|_| node.get(&field.path).is_none()) {
                super::configuration::put(&mut applied, &field.path, Node::new(default.clone(), node.place.clone()));
            }
        }
        applied
    }

    /// Returns a line for each field: its path, type, limits, default, and what it is for.
    pub fn describe(&self) -> String {
        self.fields.iter().map(|it| format!("{}\n", it.line())).collect()
    }

    /// Reports the keys that no field names, and that are in no map or list that a field names.
    fn strays(&self, node: &Node, path: &str, severity: Severity, findings: &mut Findings) {
        for entry in node.as_map().into_iter().flat_map(|it| it.iter()) {
            let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
            let inside = format!("{path}.");
            if self.fields.iter().any(|it| it.path == path) {
                continue;
            }
            if self.fields.iter().any(|it| it.path.starts_with(&inside)) {
                self.strays(&entry.node, &path, severity, findings);
                continue;
            }
            let near = nearest(&path, self.fields.iter().map(|it| it.path.as_str()));
            let finding = Finding::error(Code::SCHEMA, format!("{path}: no rule knows this key")).at(&entry.place);
            let hint = near.map(|it| format!("did you mean `{it}`?"));
            findings.push(Finding { severity, hint, ..finding });
        }
    }

    /// Reports everything in `node` that breaks a rule; returns whether it is valid, which warnings do not change.
    pub fn validate(&self, node: &Node, findings: &mut Findings) -> bool {
        let n_errors = findings.n_errors();
        for field in &self.fields {
            field.validate(node, findings);
        }
        if let Some(severity) = self.unknown {
            self.strays(node, "", severity, findings);
        }
        for (name, validator) in &self.validators {
            let mut found = Findings::new();
            if catch_unwind(AssertUnwindSafe(|| validator(node, &mut found))).is_err() {
                let message = format!("the validator `{name}` failed and decided nothing");
                found.push(Finding::error(Code::SCHEMA, message).at(&node.place));
            }
            let named = |it: Finding| if it.rule.is_none() { it.rule(name.as_str()) } else { it };
            findings.extend(found.into_iter().map(named).collect());
        }
        findings.n_errors() == n_errors
    }
}

fn number(node: &Node) -> Option<f64> {
    match node.value {
        Value::Int(it) => Some(it as f64),
        Value::Float(it) => Some(it),
        _ => None,
    }
}

fn length(node: &Node) -> Option<(usize, &'static str)> {
    match &node.value {
        Value::String(text) => Some((text.chars().count(), "character")),
        Value::List(items) => Some((items.len(), "item")),
        Value::Map(map) => Some((map.len(), "key")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{lines, secret_at, tree};
    use serde_json::json;

    fn rules() -> Rules {
        Rules::default()
            .field(
                Field::new("name", Kind::Text).required().length(2..=5).pattern(Regex::new("^[a-z]+$").expect("valid")),
            )
            .field(Field::new("port", Kind::Integer).range(1.0..=65535.0).suggestion("choose a port"))
            .field(Field::new("ratio", Kind::Number).severity(Severity::Warning).range(0.0..=1.0))
            .field(Field::new("debug", Kind::Boolean))
            .field(Field::new("list", Kind::List).length(1..=2))
            .field(Field::new("map", Kind::Map))
            .field(Field::new("any", Kind::Any))
            .field(Field::new("level", Kind::Text).one_of(["info", "debug"].map(|it| Value::String(it.into()))))
            .field(Field::new("even", Kind::Integer).check(|it| match it.value {
                Value::Int(it) if it % 2 != 0 => Err("it must be even".to_owned()),
                _ => Ok(()),
            }))
    }

    fn violations(rules: &Rules, json: serde_json::Value) -> (bool, String) {
        let mut findings = Findings::new();
        let valid = rules.validate(&tree("app.yaml", json), &mut findings);
        (valid, lines(&findings).join("\n"))
    }

    #[test]
    fn m22_m23_types_and_constraints() {
        insta::assert_snapshot!(
            violations(&rules(), json!({
                "port": 99999, "debug": "yes", "list": [], "map": [], "any": null, "level": "x", "even": 3, "ratio": "x",
            })).1,
            @r#"
            app.yaml E_SCHEMA name: it is required, and no layer sets it
            app.yaml:1:2 E_SCHEMA port: 99999 is greater than the maximum 65535 [choose a port]
            app.yaml:8:2 E_SCHEMA ratio: it must be a number, not text
            app.yaml:2:2 E_SCHEMA debug: it must be true or false, not text
            app.yaml:3:2 E_SCHEMA list: it must have at least 1 item
            app.yaml:4:2 E_SCHEMA map: it must be a map, not a list
            app.yaml:6:2 E_SCHEMA level: "x" is not one of "info", "debug"
            app.yaml:7:2 E_SCHEMA even: it must be even
            "#
        );
        insta::assert_snapshot!(violations(&rules(), json!({"name": "ABCDEF", "port": 0, "list": [1, 2, 3]})).1, @r#"
        app.yaml:1:2 E_SCHEMA name: it must have at most 5 characters
        app.yaml:1:2 E_SCHEMA name: "ABCDEF" does not match the pattern `^[a-z]+$`
        app.yaml:2:2 E_SCHEMA port: 0 is less than the minimum 1 [choose a port]
        app.yaml:3:2 E_SCHEMA list: it must have at most 2 items
        "#);
        let valid = json!({"name": "abc", "port": 80, "ratio": 1, "debug": true, "list": [1], "map": {}, "level": "info", "even": 2});
        assert_eq!(violations(&rules(), valid), (true, String::new()));
    }

    #[test]
    fn m22_an_unknown_type_is_an_error() {
        assert_eq!("tuple".parse::<Kind>(), Err("there is no type `tuple`".to_owned()));
        let names = ["str", "int", "float", "bool", "list", "dict", "any"];
        assert!(names.iter().all(|it| it.parse::<Kind>().is_ok()));
    }

    #[test]
    fn m24_only_errors_invalidate() {
        let (valid, found) = violations(&rules(), json!({"name": "abc", "ratio": 2}));
        assert!(valid && found.contains("ratio: 2 is greater than the maximum 1"), "{found}");
    }

    #[test]
    fn m25_a_validator_that_panics_is_an_error_that_names_it() {
        let rules = Rules::default()
            .validator("fussy", |node, findings| {
                findings.push(Finding::warning(Code::SCHEMA, "fussy: so so").at(&node.place));
            })
            .validator("broken", |_, _| panic!("expected in this test"));
        let (valid, found) = violations(&rules, json!({}));
        assert!(!valid);
        assert_eq!(
            found,
            "app.yaml E_SCHEMA fussy: so so\napp.yaml E_SCHEMA the validator `broken` failed and decided nothing"
        );
    }

    #[test]
    fn m25_a_validator_may_return_a_list() {
        let rules = Rules::default().lister("agrees", |node| match node.get("a") == node.get("b") {
            true => Vec::new(),
            false => vec![Finding::error(Code::SCHEMA, "a and b differ").at(&node.place)],
        });
        assert_eq!(violations(&rules, json!({"a": 1, "b": 2})), (false, "app.yaml E_SCHEMA a and b differ".to_owned()));
        let rules = Rules::default().lister("broken", |_| panic!("expected in this test"));
        assert!(violations(&rules, json!({})).1.contains("the validator `broken` failed"));
    }

    #[test]
    fn m27_defaults_unknown_keys_and_a_description() {
        let level = ["info", "debug"].map(|it| Value::String(it.into()));
        let rules = Rules::default()
            .field(Field::new("server.port", Kind::Integer).required().range(1.0..=65535.0).default(Value::Int(8080)))
            .field(Field::new("server.host", Kind::Text).required().describe("where it listens"))
            .field(Field::new("log", Kind::Text).one_of(level))
            .unknown(Severity::Warning);
        let document = tree("app.yaml", json!({"server": {"host": "a", "prt": 1}, "lgo": "x"}));
        assert_eq!(rules.apply(&document).get("server.port").map(Node::to_json), Some(json!(8080)));
        assert_eq!(rules.apply(&document).get("server.host").map(Node::to_json), Some(json!("a")));
        let (valid, found) = violations(&rules, document.to_json());
        assert!(valid);
        insta::assert_snapshot!(found, @r#"
        app.yaml:3:2 E_SCHEMA server.prt: no rule knows this key [did you mean `server.port`?]
        app.yaml:4:1 E_SCHEMA lgo: no rule knows this key [did you mean `log`?]
        "#);
        insta::assert_snapshot!(rules.describe(), @r#"
        server.port (an integer, 1 to 65535, default 8080)
        server.host (text, required): where it listens
        log (text, one of "info", "debug")
        "#);
    }

    #[test]
    fn e8_a_secret_is_not_quoted() {
        let rules = Rules::default().field(Field::new("p", Kind::Text).pattern(Regex::new("^x$").expect("valid")));
        let mut findings = Findings::new();
        rules.validate(&secret_at(tree("f", json!({"p": "hunter2"})), "p"), &mut findings);
        assert_eq!(lines(&findings), ["f:1:2 E_SCHEMA p: <redacted> does not match the pattern `^x$`"]);
        let told = findings.iter().next().map(|it| (it.expected.as_deref(), it.found.as_deref()));
        assert_eq!(told, Some((Some("text that matches `^x$`"), Some("<redacted>"))));
    }
}
