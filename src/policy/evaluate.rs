//! Asking policies.

use super::answer::Answer;
use super::exceptions::Exceptions;
use super::load::problem;
use super::origin::Origins;
use super::{Input, Policies, Question, rule_path};
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use regorus::Engine;
use serde_json::Value as Json;

/// The stack of the thread that asks; a rule takes up to 20 KiB of it, more where expressions nest.
const STACK_BYTES: usize = 128 << 20;
/// How many messages one rule may give.
const MAX_MESSAGES: usize = 1_000;

/// What policies are asked about.
pub struct Subject<'a> {
    /// What rules see as `input`; it must hold no secret because rules may quote it.
    pub input: Input,
    /// What rules see in `data` besides the policies' own.
    pub data: Option<Json>,
    /// What the messages are about, for people, when it is one of many.
    pub name: Option<String>,
    /// Returns where the value at a path into `input` was written.
    pub locate: &'a dyn Fn(&[String]) -> Option<Place>,
}

impl Policies {
    /// Asks every rule about a subject. Returns whether all of them answered in time.
    ///
    /// Messages of `deny` and `violation` are `E_POLICY` errors, those of `warn` warnings, and those that are excepted infos.
    /// A rule that cannot be evaluated is an `E_POLICY_INVALID`, and the others are asked all the same.
    pub fn evaluate(&self, subject: Subject, findings: &mut Findings) -> bool {
        if self.is_empty() {
            return true;
        }
        let (input, data) = (subject.input.0, subject.data.map(regorus::Value::from));
        let answers = apart(|| {
            let mut engine = self.engine.clone();
            engine.set_input(input);
            let mut found = Findings::new();
            if let Some(Err(error)) = data.map(|it| engine.add_data(it)) {
                found.push(Finding::error(Code::POLICY_INVALID, format!("the data cannot be used: {error}")));
            }
            let exceptions = Exceptions::ask(&mut engine, &self.exceptions, &self.origins, &mut found);
            let mut answers: Vec<Answer> = found.into_iter().map(Answer::plain).collect();
            for question in &self.questions {
                question.ask(&mut engine, exceptions.cover(question), &self.origins, &mut answers);
            }
            answers
        });
        match answers {
            Ok(answers) => {
                let in_time = !answers.iter().any(|it| it.is_late);
                let name = subject.name.as_deref();
                findings.extend(answers.into_iter().map(|it| it.finding(name, subject.locate)).collect());
                in_time
            }
            Err(finding) => {
                findings.push(finding);
                false
            }
        }
    }
}

/// Does something on a thread of its own: the engine recurses, and the stack of whoever calls may be small.
pub(super) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Finding> {
    let result = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        thread.map(std::thread::ScopedJoinHandle::join)
    });
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err(Finding::error(Code::POLICY_INVALID, "the policy engine failed")),
        Err(error) => Err(Finding::error(Code::POLICY_INVALID, format!("policies cannot be evaluated: {error}"))),
    }
}

/// Returns whether the engine stopped a rule because of its time.
pub(super) fn is_late(error: &str) -> bool {
    error.contains("exceeded time limit")
}

impl Question {
    fn ask(&self, engine: &mut Engine, is_excepted: bool, origins: &Origins, answers: &mut Vec<Answer>) {
        let answer = match engine.eval_rule(rule_path(&self.package, &self.name)) {
            Ok(regorus::Value::Undefined | regorus::Value::Bool(false)) => return,
            Ok(answer) => serde_json::to_value(&answer),
            Err(error) => return answers.push(self.broken(&error.to_string(), origins)),
        };
        let messages = match answer {
            Ok(Json::Array(messages)) => messages,
            Ok(other) => vec![other],
            Err(error) => {
                let finding = self.at(Finding::error(Code::POLICY_INVALID, error.to_string()));
                return answers.push(Answer::plain(finding));
            }
        };
        let n_messages = messages.len();
        answers.extend(messages.into_iter().take(MAX_MESSAGES).map(|it| self.answer(&it, is_excepted)));
        if n_messages > MAX_MESSAGES {
            let rest = n_messages - MAX_MESSAGES;
            answers.push(self.answer(&Json::String(format!("and {rest} more of the kind")), is_excepted));
        }
    }

    fn broken(&self, text: &str, origins: &Origins) -> Answer {
        if is_late(text) {
            let message = format!("`{}` takes too long", self.name);
            let finding = Finding::error(Code::POLICY_INVALID, message).hint("look for nested loops over large lists");
            return Answer { finding: self.at(finding), path: None, is_late: true };
        }
        let finding = problem(text, origins);
        Answer::plain(if finding.place.is_none() { self.at(finding) } else { finding })
    }
}
