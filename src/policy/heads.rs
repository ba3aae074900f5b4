//! Heads that may be undefined for some of what a rule goes through.
//!
//! In OPA such an element is passed over. The engine here forgets all other elements of the rule with it, so that one list item
//! without a key would silence every denial: the author is told to make the value in the body, where it is passed over as well.

use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use regorus::Engine;
use regorus::unstable::{Expr, Literal, Query, Rule, RuleHead};
use std::sync::Arc;

/// Warns of every rule that goes through several things and whose head looks something up.
pub(super) fn check(engine: &mut Engine, findings: &mut Findings) {
    for module in engine.get_modules() {
        for rule in &module.policy {
            let Rule::Spec { head, bodies, .. } = rule.as_ref() else { continue };
            let looked_up = elements(head).into_iter().find(|it| looks_up(it));
            let is_many = |it: &Expr| bodies.iter().any(|it| goes_through(&it.query)) || iterates(it);
            let looked_up = looked_up.filter(|it| !bodies.is_empty() && is_many(it));
            if let Some(expression) = looked_up {
                let span = begin(expression).span();
                let place = Place::new(&Arc::from(span.source.get_path().as_str()), span.line, span.col);
                let message =
                    "when something that is looked up here does not exist, all elements of this rule are lost";
                findings.push(
                    Finding::warning(Code::POLICY_INVALID, message)
                        .at(&place)
                        .hint("make the value in the body: `deny contains msg if { …; msg := … }`"),
                );
            }
        }
    }
}

/// Returns the part of an expression that stands first; the engine knows a reference by its last dot.
fn begin(expression: &Expr) -> &Expr {
    match expression {
        Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } => begin(refr),
        Expr::Call { fcn, .. } => begin(fcn),
        other => other,
    }
}

/// Returns what a head adds to a set or an object, once for each time that its body holds.
fn elements(head: &RuleHead) -> Vec<&Expr> {
    match head {
        RuleHead::Set { key, .. } => key.iter().map(AsRef::as_ref).collect(),
        RuleHead::Compr { refr, assign, .. } => match refr.as_ref() {
            Expr::RefBrack { index, .. } => {
                [index.as_ref()].into_iter().chain(assign.iter().map(|it| it.value.as_ref())).collect()
            }
            _ => Vec::new(),
        },
        RuleHead::Func { .. } => Vec::new(),
    }
}

/// Returns whether an expression may be undefined because a key is.
fn looks_up(expression: &Expr) -> bool {
    match expression {
        Expr::RefDot { .. } | Expr::RefBrack { .. } => true,
        Expr::Call { params, .. } => params.iter().any(|it| looks_up(it)),
        Expr::Array { items, .. } | Expr::Set { items, .. } => items.iter().any(|it| looks_up(it)),
        Expr::Object { fields, .. } => fields.iter().any(|(_, key, value)| looks_up(key) || looks_up(value)),
        Expr::UnaryExpr { expr, .. } => looks_up(expr),
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => looks_up(lhs) || looks_up(rhs),
        _ => false,
    }
}

/// Returns whether a body can hold more than once.
fn goes_through(query: &Query) -> bool {
    query.stmts.iter().any(|it| match &it.literal {
        Literal::SomeVars { .. } | Literal::SomeIn { .. } => true,
        Literal::Expr { expr, .. } => iterates(expr),
        Literal::NotExpr { .. } | Literal::Every { .. } => false,
    })
}

/// Returns whether an expression stands for several, as `jobs[_].name` and `jobs[i]` do.
fn iterates(expression: &Expr) -> bool {
    match expression {
        Expr::RefBrack { refr, index, .. } => matches!(index.as_ref(), Expr::Var { .. }) || iterates(refr),
        Expr::RefDot { refr, .. } => iterates(refr),
        Expr::Call { params, .. } => params.iter().any(|it| iterates(it)),
        Expr::Array { items, .. } | Expr::Set { items, .. } => items.iter().any(|it| iterates(it)),
        Expr::Object { fields, .. } => fields.iter().any(|(_, key, value)| iterates(key) || iterates(value)),
        Expr::UnaryExpr { expr, .. } => iterates(expr),
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => iterates(lhs) || iterates(rhs),
        _ => false,
    }
}
