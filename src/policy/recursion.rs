//! Which rule needs which, because the engine follows them without looking at how deep that goes.
//!
//! OPA refuses recursion when it compiles; the engine here notices it for rules while it evaluates, but not for functions,
//! where it ends the process. So functions that call themselves are refused before, and so are very long rows of rules.

use super::RuleName;
use super::mistakes::{Name, Notes, variables};
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use regorus::Engine;
use regorus::unstable::{Expr, Literal, Module, Query, Ref, Rule, RuleBody, RuleHead, Span};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// How many rules policies may have together.
const MAX_RULES: usize = 2_000;
/// How many rules may need each other in a row.
pub(super) const MAX_ROW: usize = 100;

/// Returns all rules.
pub(super) fn rules(engine: &mut Engine) -> Vec<RuleName> {
    let mut rules = Vec::new();
    for module in engine.get_modules() {
        let package = path(&module.package.refr);
        for rule in &module.policy {
            let name = head(rule).and_then(|it| path(it).into_iter().next()).unwrap_or_default();
            let is_function = matches!(rule.as_ref(), Rule::Spec { head: RuleHead::Func { .. }, .. })
                || matches!(rule.as_ref(), Rule::Default { args, .. } if !args.is_empty());
            rules.push(RuleName { package: package.clone(), name, place: place(rule.span()), is_function });
        }
    }
    rules
}

/// Returns the full names that rules use, whether or not there are such rules.
pub(super) fn used(engine: &mut Engine) -> BTreeSet<String> {
    let graph = Graph::of(engine.get_modules());
    graph.nodes.into_values().flat_map(|it| it.calls.into_iter().chain(it.uses)).collect()
}

/// Returns what rules read of `input`, and where, each only as far as it is written out.
pub(super) fn reads(engine: &mut Engine) -> Vec<(Vec<String>, Place)> {
    Graph::of(engine.get_modules()).notes.reads.into_iter().map(|(place, path)| (path, place)).collect()
}

/// Reports functions that call themselves or that there are not, and rows of rules that are too long.
pub(super) fn check(engine: &mut Engine, findings: &mut Findings) {
    let graph = Graph::of(engine.get_modules());
    if graph.n_rules > MAX_RULES {
        findings.push(Finding::error(Code::POLICY_INVALID, format!("there are more than {MAX_RULES} rules")));
        return;
    }
    for (name, node) in &graph.nodes {
        if node.is_function && graph.calls_itself(name) {
            let message = format!("the function `{name}` calls itself, directly or through others");
            findings.push(Finding::error(Code::POLICY_INVALID, message).at(&node.place));
        }
    }
    graph.notes.check(&graph.nodes.iter().map(|(name, it)| (name.as_str(), it.n_arguments)).collect(), findings);
    let mut heights = HashMap::new();
    let too_long = graph.nodes.iter().find(|(name, _)| graph.height(name, &mut heights) > MAX_ROW);
    if let Some((name, node)) = too_long {
        let message = format!("`{name}` needs more than {MAX_ROW} rules in a row");
        findings.push(Finding::error(Code::POLICY_INVALID, message).at(&node.place));
    }
}

#[derive(Default)]
struct Graph {
    nodes: BTreeMap<String, Node>,
    n_rules: usize,
    notes: Notes,
}

/// All rules of one full name.
struct Node {
    place: Place,
    is_function: bool,
    /// How many arguments the function has.
    n_arguments: Option<usize>,
    /// Full names that the rules may mean, whether or not there are such rules.
    calls: BTreeSet<String>,
    uses: BTreeSet<String>,
}

impl Graph {
    fn of(modules: &[Ref<Module>]) -> Graph {
        let mut graph = Graph::default();
        for module in modules {
            let scope = Scope::of(module);
            for rule in &module.policy {
                graph.n_rules += 1;
                graph.add(rule, &scope);
            }
        }
        graph
    }

    fn add(&mut self, rule: &Rule, scope: &Scope) {
        let Some(head) = head(rule) else { return };
        let name = format!("{}.{}", scope.package, path(head).join("."));
        let node = self.nodes.entry(name).or_insert_with(|| Node {
            place: place(rule.span()),
            is_function: false,
            n_arguments: None,
            calls: BTreeSet::new(),
            uses: BTreeSet::new(),
        });
        node.is_function |= matches!(rule, Rule::Spec { head: RuleHead::Func { .. }, .. });
        node.n_arguments = node.n_arguments.or(match rule {
            Rule::Spec { head: RuleHead::Func { args, .. }, .. } => Some(args.len()),
            Rule::Default { args, .. } if !args.is_empty() => Some(args.len()),
            _ => None,
        });
        let mut visitor = Visitor { scope, node, notes: &mut self.notes, set: Vec::new() };
        match rule {
            Rule::Spec { head, bodies, .. } => {
                if let RuleHead::Func { args, .. } = head {
                    visitor.set.push(names(args.iter().map(AsRef::as_ref)));
                }
                visitor.head(head);
                bodies.iter().for_each(|it| visitor.body(it));
            }
            Rule::Default { value, .. } => visitor.expression(value),
        }
    }

    fn calls_itself(&self, name: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![name];
        while let Some(at) = open.pop() {
            for called in self.nodes.get(at).into_iter().flat_map(|it| &it.calls) {
                if called == name {
                    return true;
                }
                if self.nodes.contains_key(called) && seen.insert(called) {
                    open.push(called);
                }
            }
        }
        false
    }

    /// Returns how many rules may be at work at once below `name`; what is being looked at already counts as none, because
    /// the engine notices that for itself.
    fn height<'a>(&'a self, name: &'a str, heights: &mut HashMap<&'a str, usize>) -> usize {
        if let Some(height) = heights.get(name) {
            return *height;
        }
        let Some(node) = self.nodes.get(name) else { return 0 };
        heights.insert(name, 0);
        let below = node.calls.iter().chain(&node.uses).map(|it| self.height(it, heights)).max();
        let height = 1 + below.unwrap_or(0);
        heights.insert(name, height);
        height
    }
}

/// What names mean in a module.
struct Scope {
    package: String,
    imports: Vec<(String, Vec<String>)>,
}

impl Scope {
    fn of(module: &Module) -> Scope {
        let import = |it: &regorus::unstable::Import| {
            let path = path(&it.refr);
            let alias = it.r#as.as_ref().map(|it| it.text().to_owned()).or_else(|| path.last().cloned())?;
            Some((alias, path))
        };
        Scope { package: package(module), imports: module.imports.iter().filter_map(import).collect() }
    }

    /// Returns the full names that a path may mean.
    fn meanings(&self, path: &[String]) -> Vec<String> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        let imported = self.imports.iter().filter(|(alias, _)| alias == first);
        let mut meanings: Vec<String> = imported
            .map(|(_, target)| [&target[..], rest].concat())
            .chain([path.to_vec()])
            .filter(|it| it.first().is_some_and(|it| it == "data"))
            .map(|it| it[1..].join("."))
            .collect();
        meanings.push(format!("{}.{}", self.package, path.join(".")));
        meanings
    }
}

struct Visitor<'a> {
    scope: &'a Scope,
    node: &'a mut Node,
    notes: &'a mut Notes,
    /// The names that bodies set, the innermost last.
    set: Vec<BTreeSet<String>>,
}

impl Visitor<'_> {
    fn head(&mut self, head: &RuleHead) {
        let (reference, others, assign): (_, Vec<&Expr>, _) = match head {
            RuleHead::Compr { refr, assign, .. } => (refr, Vec::new(), assign.as_ref()),
            RuleHead::Set { refr, key, .. } => (refr, key.iter().map(AsRef::as_ref).collect(), None),
            RuleHead::Func { refr, args, assign, .. } => {
                (refr, args.iter().map(AsRef::as_ref).collect(), assign.as_ref())
            }
        };
        // Of the rule's own name only what stands in brackets is a use.
        if let Expr::RefBrack { index, .. } = reference.as_ref() {
            self.expression(index);
        }
        others.into_iter().for_each(|it| self.expression(it));
        if let Some(assign) = assign {
            self.expression(&assign.value);
        }
    }

    fn body(&mut self, body: &RuleBody) {
        if let Some(assign) = &body.assign {
            self.expression(&assign.value);
        }
        self.query(&body.query);
    }

    fn query(&mut self, query: &Query) {
        let set = query.stmts.iter().flat_map(|it| match &it.literal {
            Literal::SomeIn { key, value, collection, .. } => {
                key.iter().chain([value, collection]).map(AsRef::as_ref).collect()
            }
            Literal::Expr { expr, .. } => vec![expr.as_ref()],
            _ => Vec::new(),
        });
        self.set.push(names(set));
        for statement in &query.stmts {
            for modifier in &statement.with_mods {
                self.expression(&modifier.r#as);
                // A function may stand in for another without being called by its name.
                let stand_in = self.scope.meanings(&path(&modifier.r#as));
                self.node.calls.extend(stand_in);
            }
            match &statement.literal {
                Literal::SomeVars { .. } => {}
                Literal::SomeIn { key, value, collection, .. } => {
                    key.iter().for_each(|it| self.expression(it));
                    self.expression(value);
                    self.expression(collection);
                }
                Literal::Expr { expr, .. } => match expr.as_ref() {
                    Expr::Call { fcn, params, .. } if params.len() == 2 && path(fcn) == ["walk"] => {
                        params.iter().for_each(|it| self.expression(it));
                    }
                    other => self.expression(other),
                },
                Literal::NotExpr { expr, .. } => {
                    self.negated(expr);
                    self.expression(expr);
                }
                Literal::Every { key, value, domain, query, .. } => {
                    self.expression(domain);
                    self.set.push(key.iter().chain([value]).map(|it| it.text().to_owned()).collect());
                    self.query(query);
                    self.set.pop();
                }
            }
        }
        self.set.pop();
    }

    /// Notes names in a negated expression that are set nowhere else. OPA refuses them; the engine goes through all that they
    /// may stand for outside of the negation, so that it holds when one does not hold, and never when there is none.
    fn negated(&mut self, expression: &Expr) {
        for variable in variables(expression) {
            let name = variable.span().text();
            let is_imported = self.scope.imports.iter().any(|it| it.0 == name);
            let is_set = name != "_" && self.set.iter().any(|it| it.contains(name));
            if !is_set && !is_imported && name != "input" && name != "data" {
                let meanings = self.scope.meanings(&[name.to_owned()]);
                let (name, place) = (name.to_owned(), place(variable.span()));
                self.notes.unset.push(Name { name, meanings, place, n_arguments: 0 });
            }
        }
    }

    fn expression(&mut self, expression: &Expr) {
        match expression {
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. } => {}
            Expr::Var { .. } => self.reference(expression),
            Expr::RefDot { refr, .. } => {
                self.reference(expression);
                self.expression(refr);
            }
            Expr::RefBrack { refr, index, .. } => {
                self.reference(expression);
                self.expression(refr);
                self.expression(index);
            }
            Expr::Call { fcn, params, .. } => {
                let name = path(fcn);
                let meanings = self.scope.meanings(&name);
                self.node.calls.extend(meanings.iter().cloned());
                let (name, place) = (name.join("."), place(fcn.span()));
                let call = Name { name, meanings, place, n_arguments: params.len() };
                if call.name == "walk" {
                    self.notes.walks.push(call.clone());
                }
                self.notes.called.push(call);
                params.iter().for_each(|it| self.expression(it));
            }
            Expr::Array { items, .. } | Expr::Set { items, .. } => items.iter().for_each(|it| self.expression(it)),
            Expr::Object { fields, .. } => fields.iter().for_each(|(_, key, value)| {
                self.expression(key);
                self.expression(value);
            }),
            Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
                self.expression(term);
                self.query(query);
            }
            Expr::ObjectCompr { key, value, query, .. } => {
                self.expression(key);
                self.expression(value);
                self.query(query);
            }
            Expr::UnaryExpr { expr, .. } => self.expression(expr),
            Expr::BinExpr { lhs, rhs, .. }
            | Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. }
            | Expr::AssignExpr { lhs, rhs, .. } => {
                self.expression(lhs);
                self.expression(rhs);
            }
            Expr::Membership { span, key, value, collection, .. } => {
                if key.is_some()
                    && matches!(value.as_ref(), Expr::RefDot { .. } | Expr::RefBrack { .. } | Expr::Call { .. })
                {
                    self.notes.pairs.push(place(span));
                }
                key.iter().for_each(|it| self.expression(it));
                self.expression(value);
                self.expression(collection);
            }
        }
    }

    fn reference(&mut self, expression: &Expr) {
        self.node.uses.extend(self.scope.meanings(&path(expression)));
        if let (steps, _) = written_out(expression)
            && steps.first().is_some_and(|it| it == "input")
        {
            // The whole of a reference is visited before its parts.
            self.notes.reads.entry(place(expression.span())).or_insert_with(|| steps[1..].to_vec());
        }
    }
}

/// Returns the names of the variables in expressions.
fn names<'a>(expressions: impl Iterator<Item = &'a Expr>) -> BTreeSet<String> {
    expressions.flat_map(variables).map(|it| it.span().text().to_owned()).collect()
}

/// Returns the name of a module's package.
pub(super) fn package(module: &Module) -> String {
    path(&module.package.refr).join(".")
}

fn head(rule: &Rule) -> Option<&Expr> {
    let (Rule::Spec {
        head: RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. },
        ..
    }
    | Rule::Default { refr, .. }) = rule;
    Some(refr)
}

/// Returns where a span begins; its own line and column are those of a reference's last step.
pub(super) fn place(span: &Span) -> Place {
    let file = Arc::from(span.source.get_path().as_str());
    let before = usize::try_from(span.start).ok().and_then(|it| span.source.get_contents().get(..it));
    let Some(before) = before else { return Place::new(&file, span.line, span.col) };
    // A text's span leaves out the quote.
    let before = before.strip_suffix(['"', '`']).unwrap_or(before);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Place::new(&file, u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// Returns the names in a reference up to the first that is not written out, and whether that is all of it.
fn written_out(expression: &Expr) -> (Vec<String>, bool) {
    let (mut steps, is_whole, last) = match expression {
        Expr::Var { span, .. } => return (vec![span.text().to_owned()], true),
        Expr::RefDot { refr, field, .. } => {
            let (steps, is_whole) = written_out(refr);
            (steps, is_whole, Some(field.0.text().to_owned()))
        }
        Expr::RefBrack { refr, index, .. } => {
            let (steps, is_whole) = written_out(refr);
            let last = match index.as_ref() {
                Expr::String { value, .. } | Expr::RawString { value, .. } => value.as_string().ok(),
                _ => None,
            };
            (steps, is_whole, last.map(|it| it.to_string()))
        }
        _ => return (Vec::new(), false),
    };
    let is_longer = is_whole && last.is_some();
    steps.extend(last.filter(|_| is_whole));
    (steps, is_longer)
}

/// Returns the names in a reference, as the engine reads it: brackets that hold no text are passed over.
fn path(expression: &Expr) -> Vec<String> {
    match expression {
        Expr::Var { span, .. } => vec![span.text().to_owned()],
        Expr::RefDot { refr, field, .. } => {
            let mut steps = path(refr);
            steps.push(field.0.text().to_owned());
            steps
        }
        Expr::RefBrack { refr, index, .. } => {
            let mut steps = path(refr);
            if let Expr::String { value, .. } | Expr::RawString { value, .. } = index.as_ref() {
                steps.extend(value.as_string().ok().map(|it| it.to_string()));
            }
            steps
        }
        _ => Vec::new(),
    }
}
