//! Heads that look something up, made into bodies before the engine sees them.
//!
//! In OPA an element whose head is undefined is passed over: the compiler moves what heads look up into their bodies. The
//! engine here evaluates heads as they stand and forgets all elements of a rule when one of them is undefined, so that one
//! list item without a key would silence every denial. So `deny contains f(job.key) if BODY` is loaded as
//! `deny contains z if { z := [(f(job.key)) | BODY][_] }`: of a comprehension the engine does pass over what is undefined.

use super::mistakes::children;
use super::origin::Draft;
use regorus::unstable::{Expr, Lexer, Module, Rule, RuleBody, RuleHead, Source, Span, Token, TokenKind};
use std::collections::BTreeSet;
use std::ops::Range;

/// Returns a module as the engine must read it, or the rule that cannot be made so. `names` are those of all rules of its
/// package.
pub(super) fn moved<'a>(module: &'a Module, names: &BTreeSet<String>) -> Result<Draft, &'a Rule> {
    let text = module.package.span.source.contents();
    let Some(first) = module.policy.first() else { return Ok(Draft::whole(text)) };
    let mover = Mover::of(module, names).ok_or(first.as_ref())?;
    let mut draft = Draft::default();
    let mut at = 0;
    for (idx, rule) in module.policy.iter().enumerate() {
        let next = module.policy.get(idx + 1).map_or(Some(mover.tokens.len()), |it| mover.token(it.span()));
        let range = mover.token(rule.span()).zip(next).map(|(start, end)| start..end);
        let bytes = range.as_ref().and_then(|it| mover.bytes(it)).ok_or(rule.as_ref())?;
        draft.keep(text, at..bytes.start);
        at = bytes.end;
        match rule.as_ref() {
            Rule::Spec { head, bodies, .. } if needs_care(&mover, head, bodies) => {
                range.and_then(|it| mover.rule(head, bodies, it, &mut draft)).ok_or(rule.as_ref())?;
            }
            _ => draft.keep(text, bytes),
        }
    }
    draft.keep(text, at..text.len());
    Ok(draft)
}

/// Returns a rule that the engine would not evaluate as OPA does.
pub(super) fn careless<'a>(module: &'a Module, names: &BTreeSet<String>) -> Option<&'a Rule> {
    let mover = Mover::of(module, names);
    let is_careless = |rule: &Rule| match (rule, &mover) {
        (Rule::Spec { head, bodies, .. }, Some(mover)) => needs_care(mover, head, bodies),
        (_, mover) => mover.is_none(),
    };
    module.policy.iter().map(AsRef::as_ref).find(|it| is_careless(it))
}

/// Returns whether the engine would not do with a rule what OPA does.
fn needs_care(mover: &Mover<'_>, head: &RuleHead, bodies: &[RuleBody]) -> bool {
    let (brackets, key, value) = parts(head);
    let in_bodies = bodies.iter().filter_map(|it| Some(it.assign.as_ref()?.value.as_ref()));
    let mut all = brackets.into_iter().chain(key).chain(value).chain(in_bodies);
    match bodies.is_empty() {
        true => all.any(|it| !mover.is_sure(it) && mover.iterates(it, &BTreeSet::new())),
        false => all.any(|it| !mover.is_sure(it)) || is_row(head, bodies),
    }
}

/// Returns whether several bodies stand in a row, of which the engine knows the value of the first alone.
fn is_row(head: &RuleHead, bodies: &[RuleBody]) -> bool {
    bodies.iter().skip(1).any(|it| !it.is_else) && !is_partial(head) && parts(head).2.is_some()
}

fn is_partial(head: &RuleHead) -> bool {
    match head {
        RuleHead::Set { .. } => true,
        RuleHead::Compr { refr, .. } => matches!(refr.as_ref(), Expr::RefBrack { .. }),
        RuleHead::Func { .. } => false,
    }
}

/// Returns what stands in the brackets of a head, its key, and its value.
fn parts(head: &RuleHead) -> (Vec<&Expr>, Option<&Expr>, Option<&Expr>) {
    let (RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. }) = head;
    let mut brackets = Vec::new();
    let mut at = refr.as_ref();
    loop {
        match at {
            Expr::RefBrack { refr, index, .. } => {
                brackets.insert(0, index.as_ref());
                at = refr;
            }
            Expr::RefDot { refr, .. } => at = refr,
            _ => break,
        }
    }
    match head {
        RuleHead::Set { key, .. } => (brackets, key.as_deref(), None),
        RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. } => {
            (brackets, None, assign.as_ref().map(|it| it.value.as_ref()))
        }
    }
}

/// An expression of a head that the body makes instead.
struct Slot<'a> {
    name: String,
    /// Its bytes.
    range: Range<usize>,
    expression: &'a Expr,
}

/// Where a head's expressions are, and where it ends.
struct Head<'a> {
    slots: Vec<Slot<'a>>,
    value: Option<Slot<'a>>,
    start: usize,
    end: usize,
}

/// A body, by tokens.
struct Body<'a> {
    start: usize,
    end: usize,
    is_else: bool,
    value: Option<Slot<'a>>,
    /// What must hold, as bytes.
    statements: Option<Range<usize>>,
    /// The same, as tokens.
    query: Range<usize>,
}

/// A token: where the engine's spans say that it begins, and its bytes, with quotes.
struct Lexeme {
    key: usize,
    bytes: Range<usize>,
}

struct Mover<'a> {
    text: &'a str,
    tokens: Vec<Lexeme>,
    /// What a name may mean that no body sets.
    names: BTreeSet<String>,
    prefix: String,
    is_old: bool,
}

impl<'m> Mover<'m> {
    fn of(module: &'m Module, names: &BTreeSet<String>) -> Option<Mover<'m>> {
        let source = &module.package.span.source;
        let text = source.contents().as_str();
        let imported = module.imports.iter().map(|it| match (&it.r#as, it.refr.as_ref()) {
            (Some(alias), _) => alias.text(),
            (None, Expr::RefDot { field, .. }) => field.0.text(),
            (None, Expr::RefBrack { index, .. }) => index.span().text(),
            (None, other) => other.span().text(),
        });
        let mut names: BTreeSet<String> = names.iter().cloned().collect();
        names.extend(imported.chain(["input", "data"]).map(str::to_owned));
        // The engine orders statements by the names of what they define: ours come last.
        let mut prefix = "zzzzzzzz".to_owned();
        while text.contains(&prefix) {
            prefix.push('z');
        }
        let mover = Mover { text, tokens: tokens(source)?, names, prefix, is_old: !module.rego_v1 };
        Some(mover)
    }

    /// Writes a rule whose tokens are given.
    fn rule(&self, head: &RuleHead, bodies: &[RuleBody], range: Range<usize>, draft: &mut Draft) -> Option<()> {
        let end_of_head = bodies.first().map_or(Some(range.end), |it| self.token(&it.span))?;
        let Head { slots, value, start, end } = self.head(head, range.start..end_of_head)?;
        let mut all = Vec::new();
        for (idx, body) in bodies.iter().enumerate() {
            let next = bodies.get(idx + 1).map_or(Some(range.end), |it| self.token(&it.span))?;
            all.push(self.body(body, self.token(&body.span)?..next)?);
        }
        if all.is_empty() {
            all.push(Body {
                start: range.end,
                end: range.end,
                is_else: false,
                value: None,
                statements: None,
                query: 0..0,
            });
        }
        let in_bodies = all.iter().filter_map(|it| it.value.as_ref());
        let is_sure = slots.iter().chain(&value).chain(in_bodies).all(|it| self.is_sure(it.expression));
        let arguments = self.idents(range.start..end_of_head.min(self.end_of_arguments(head, range.start)?));
        for (idx, body) in all.iter().enumerate() {
            let value = match (&body.value, idx == 0 || !body.is_else || is_partial(head)) {
                (None, true) => value.as_ref(),
                (own, _) => own.as_ref(),
            };
            let made: Vec<&Slot> = match is_sure {
                true => Vec::new(),
                false => slots.iter().chain(value).filter(|it| !is_scalar(it.expression)).collect(),
            };
            draft.add(if idx == 0 {
                ""
            } else if body.is_else {
                " "
            } else {
                "\n"
            });
            // Of a body in a row the head is written again: the engine gives it no value else.
            let (from, to) = match body.is_else {
                false => (start, end),
                true => (self.at(body.start)?.start, self.at_end(body, body.value.as_ref())?),
            };
            let here = made.iter().filter(|it| from <= it.range.start && it.range.end <= to);
            let mut done = from;
            for slot in here {
                draft.keep(self.text, done..slot.range.start);
                draft.add(&slot.name);
                done = slot.range.end;
            }
            draft.keep(self.text, done..to);
            if made.is_empty() {
                let rest = self.bytes(&(body.start..body.end)).map_or(to, |it| it.end);
                let begin = if body.is_else || idx == 0 { to } else { self.at(body.start)?.start };
                draft.add(if begin == to { "" } else { " " });
                draft.keep(self.text, begin..rest.max(begin));
                continue;
            }
            let mut known = arguments.clone();
            known.extend(self.idents(body.query.clone()));
            self.made(&made, body.statements.clone(), &known, draft);
        }
        Some(())
    }

    /// Writes the body that makes what a head needs.
    fn made(&self, made: &[&Slot], statements: Option<Range<usize>>, known: &BTreeSet<String>, draft: &mut Draft) {
        let names: Vec<&str> = made.iter().map(|it| it.name.as_str()).collect();
        let (open, close) = if made.len() > 1 { ("[", "]") } else { ("", "") };
        draft.add(&format!(" {}{{ {open}{}{close} := [{open}", if self.is_old { "" } else { "if " }, names.join(", ")));
        // What goes through something by itself, such as `jobs[_].name`, must be a statement: a term binds no names.
        let iterates: Vec<bool> = made.iter().map(|it| self.iterates(it.expression, known)).collect();
        for (idx, slot) in made.iter().enumerate() {
            draft.add(if idx > 0 { ", " } else { "" });
            if iterates[idx] {
                draft.add(&format!("{}t", slot.name));
            } else {
                draft.add("(");
                draft.keep(self.text, slot.range.clone());
                draft.add(")");
            }
        }
        draft.add(&format!("{close} | "));
        let mut separator = "";
        for slot in made.iter().zip(&iterates).filter(|it| *it.1).map(|it| it.0) {
            draft.add(&format!("{separator}{}t := ", slot.name));
            draft.keep(self.text, slot.range.clone());
            separator = "; ";
        }
        match statements {
            Some(range) => {
                draft.add(separator);
                draft.keep(self.text, range);
            }
            None if separator.is_empty() => draft.add("true"),
            None => {}
        }
        draft.add("][_] }");
    }

    /// Returns what a head is made of, from the tokens up to its body.
    fn head<'a>(&self, head: &'a RuleHead, range: Range<usize>) -> Option<Head<'a>> {
        let (mut inner, key, value) = parts(head);
        let (brackets, mut at) = self.brackets(range.clone())?;
        if matches!(head, RuleHead::Func { .. }) {
            at = self.closing(at)? + 1;
        }
        let is_contains = self.word(at) == Some("contains");
        // The key of a set of before 1.0 is its last bracket.
        inner.extend(key.filter(|_| !is_contains));
        if brackets.len() != inner.len() {
            return None;
        }
        let mut slots = Vec::new();
        for (idx, (tokens, expression)) in brackets.into_iter().zip(inner).enumerate() {
            slots.push(self.slot(&idx.to_string(), tokens, expression)?);
        }
        let rest = at + 1..range.end;
        if let Some(key) = key.filter(|_| is_contains) {
            slots.push(self.slot("k", rest.clone(), key)?);
        }
        let value = match value {
            Some(value) if matches!(self.word(at), Some("=" | ":=")) => Some(self.slot("v", rest, value)?),
            Some(_) => return None,
            None => None,
        };
        let bytes = self.bytes(&range)?;
        Some(Head { slots, value, start: bytes.start, end: bytes.end })
    }

    /// Returns what is in the brackets of a rule's name, by tokens, and the token after it.
    fn brackets(&self, range: Range<usize>) -> Option<(Vec<Range<usize>>, usize)> {
        let (mut brackets, mut at) = (Vec::new(), range.start + 1);
        while at < range.end {
            match self.word(at)? {
                "." => at += 2,
                "[" => {
                    let close = self.closing(at)?;
                    brackets.push(at + 1..close);
                    at = close + 1;
                }
                _ => break,
            }
        }
        Some((brackets, at))
    }

    /// Returns the token after a function's arguments, or `start`.
    fn end_of_arguments(&self, head: &RuleHead, start: usize) -> Option<usize> {
        if !matches!(head, RuleHead::Func { .. }) {
            return Some(start);
        }
        let (_, at) = self.brackets(start..self.tokens.len())?;
        Some(self.closing(at)? + 1)
    }

    fn body<'a>(&self, body: &'a RuleBody, range: Range<usize>) -> Option<Body<'a>> {
        let first = body.query.stmts.first().map(|it| self.token(&it.span));
        let (query, statements) = match first {
            None => (range.end, None),
            Some(None) => return None,
            // A block, or a single statement after `if`.
            Some(Some(first)) => match self.word(first - 1) == Some("{") && self.closing(first - 1)? + 1 == range.end {
                true => (first - 1, Some(self.at(first - 1)?.end..self.at(range.end - 1)?.start)),
                false => (first, self.bytes(&(first..range.end))),
            },
        };
        let end_of_value = if query < range.end && self.word(query - 1) == Some("if") { query - 1 } else { query };
        let value = match &body.assign {
            Some(assign) => Some(self.slot("v", range.start + 2..end_of_value, &assign.value)?),
            None => None,
        };
        let is_else = body.is_else;
        Some(Body { start: range.start, end: range.end, is_else, value, statements, query: query..range.end })
    }

    fn slot<'a>(&self, name: &str, tokens: Range<usize>, expression: &'a Expr) -> Option<Slot<'a>> {
        Some(Slot { name: format!("{}{name}", self.prefix), range: self.bytes(&tokens)?, expression })
    }

    /// Returns where `else`, with the value that follows it, ends.
    fn at_end(&self, body: &Body<'_>, value: Option<&Slot<'_>>) -> Option<usize> {
        value.map(|it| it.range.end).or_else(|| Some(self.at(body.start)?.end))
    }

    /// Returns whether an expression is defined whenever the body holds.
    fn is_sure(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Var { span, .. } => !self.names.contains(span.text()),
            Expr::RefDot { .. } | Expr::RefBrack { .. } | Expr::Call { .. } | Expr::AssignExpr { .. } => false,
            _ => children(expression).into_iter().all(|it| self.is_sure(it)),
        }
    }

    /// Returns whether an expression stands for several, as `jobs[_].name` does, and `jobs[i]` with an `i` that is not in `known`.
    fn iterates(&self, expression: &Expr, known: &BTreeSet<String>) -> bool {
        let is_new =
            |span: &Span| span.text() == "_" || !known.contains(span.text()) && !self.names.contains(span.text());
        match expression {
            Expr::RefBrack { refr, index, .. } => {
                let is_bound_here = match index.as_ref() {
                    Expr::Var { span, .. } => is_new(span),
                    Expr::Array { items, .. } => {
                        items.iter().any(|it| matches!(it.as_ref(), Expr::Var { span, .. } if is_new(span)))
                    }
                    other => self.iterates(other, known),
                };
                is_bound_here || self.iterates(refr, known)
            }
            _ => children(expression).into_iter().any(|it| self.iterates(it, known)),
        }
    }

    fn token(&self, span: &Span) -> Option<usize> {
        let start = usize::try_from(span.start).ok()?;
        self.tokens.binary_search_by_key(&start, |it| it.key).ok()
    }

    fn at(&self, token: usize) -> Option<&Range<usize>> {
        Some(&self.tokens.get(token)?.bytes)
    }

    fn word(&self, token: usize) -> Option<&str> {
        self.text.get(self.at(token)?.clone())
    }

    /// Returns the bytes of some tokens and all between them.
    fn bytes(&self, tokens: &Range<usize>) -> Option<Range<usize>> {
        (tokens.start < tokens.end).then_some(())?;
        Some(self.at(tokens.start)?.start..self.at(tokens.end - 1)?.end)
    }

    fn idents(&self, tokens: Range<usize>) -> BTreeSet<String> {
        tokens.filter_map(|it| self.word(it)).map(str::to_owned).collect()
    }

    /// Returns the token that closes the bracket at `open`.
    fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for at in open..self.tokens.len() {
            match self.word(at)? {
                "(" | "[" | "{" | "set(" => depth += 1,
                ")" | "]" | "}" => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                return (at > open).then_some(at);
            }
        }
        None
    }
}

fn is_scalar(expression: &Expr) -> bool {
    matches!(
        expression,
        Expr::String { .. } | Expr::RawString { .. } | Expr::Number { .. } | Expr::Bool { .. } | Expr::Null { .. }
    )
}

fn tokens(source: &Source) -> Option<Vec<Lexeme>> {
    let mut lexer = Lexer::new(source);
    let mut tokens = Vec::new();
    loop {
        let Token(kind, span) = lexer.next_token().ok()?;
        let quote = match kind {
            TokenKind::Eof => return Some(tokens),
            TokenKind::String | TokenKind::RawString => 1,
            _ => 0,
        };
        let (start, end) = (usize::try_from(span.start).ok()?, usize::try_from(span.end).ok()?);
        tokens.push(Lexeme { key: start, bytes: start.checked_sub(quote)?..end + quote });
    }
}
