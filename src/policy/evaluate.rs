//! Asking policies.

use super::load::problem;
use super::{PACKAGE, Policies, Question};
use crate::finding::{Code, Finding, Findings};
use regorus::Engine;
use serde_json::Value as Json;

/// The stack of the thread that asks; a rule takes up to 20 KiB of it, more where expressions nest.
const STACK_BYTES: usize = 128 << 20;
/// How many messages one rule may give.
const MAX_MESSAGES: usize = 1_000;
/// How long a message may be, in characters.
const MAX_MESSAGE_CHARS: usize = 1_000;

impl Policies {
    /// Asks every rule about `input`, which must hold no secret because rules may quote it.
    ///
    /// Messages of `deny` and `violation` are `E_POLICY` errors, those of `warn` warnings. A rule that cannot be evaluated is
    /// an `E_POLICY_INVALID`, and the others are asked all the same.
    pub fn evaluate(&self, input: &Json, findings: &mut Findings) {
        if self.is_empty() {
            return;
        }
        let ask = || {
            let mut engine = self.engine.clone();
            engine.set_input(regorus::Value::from(input.clone()));
            let mut found = Findings::new();
            self.questions.iter().for_each(|it| it.ask(&mut engine, &mut found));
            found
        };
        // The engine recurses, and the stack of whoever calls may be small.
        let answer = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, ask);
            thread.map(std::thread::ScopedJoinHandle::join)
        });
        match answer {
            Ok(Ok(found)) => findings.extend(found),
            Ok(Err(_)) => findings.push(Finding::error(Code::POLICY_INVALID, "the policy engine failed")),
            Err(error) => {
                findings.push(Finding::error(Code::POLICY_INVALID, format!("policies cannot be evaluated: {error}")));
            }
        }
    }
}

impl Question {
    fn ask(&self, engine: &mut Engine, findings: &mut Findings) {
        let answer = engine.eval_rule(format!("data.{PACKAGE}.{}", self.name));
        let answer = match answer {
            Ok(regorus::Value::Undefined | regorus::Value::Bool(false)) => return,
            Ok(answer) => serde_json::to_value(&answer),
            Err(error) => return findings.push(self.broken(&error.to_string())),
        };
        let messages = match answer {
            Ok(Json::Array(messages)) => messages,
            Ok(other) => vec![other],
            Err(error) => return findings.push(self.at(Finding::error(Code::POLICY_INVALID, error.to_string()))),
        };
        let n_messages = messages.len();
        for message in messages.into_iter().take(MAX_MESSAGES) {
            findings.push(self.at(self.finding(message)));
        }
        if n_messages > MAX_MESSAGES {
            let rest = n_messages - MAX_MESSAGES;
            findings.push(self.at(self.finding(Json::String(format!("and {rest} more of the kind")))));
        }
    }

    fn broken(&self, text: &str) -> Finding {
        let finding = problem(text);
        if text.contains("exceeded time limit") {
            let message = format!("`{}` takes too long", self.name);
            return self
                .at(Finding::error(Code::POLICY_INVALID, message).hint("look for nested loops over large lists"));
        }
        if finding.place.is_none() { self.at(finding) } else { finding }
    }

    fn at(&self, finding: Finding) -> Finding {
        match &self.place {
            Some(place) => finding.at(place),
            None => finding,
        }
    }

    fn finding(&self, message: Json) -> Finding {
        let text = match &message {
            Json::String(text) => Some(text.clone()),
            Json::Object(map) => map.get("msg").and_then(Json::as_str).map(str::to_owned),
            Json::Bool(true) => Some(format!("`{}` holds", self.name)),
            _ => None,
        };
        let Some(text) = text else {
            let message = format!("`{}` gives something that is not a message", self.name);
            let finding = Finding::error(Code::POLICY_INVALID, message);
            return finding.hint("give texts, or objects with a text in `msg`");
        };
        let text: String = text.chars().take(MAX_MESSAGE_CHARS).collect();
        let finding = match self.refuses {
            true => Finding::error(Code::POLICY, text),
            false => Finding::warning(Code::POLICY, text),
        };
        let hint = message.get("hint").and_then(Json::as_str).map(str::to_owned);
        Finding { hint, ..finding }
    }
}
