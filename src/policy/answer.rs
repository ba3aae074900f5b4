//! From what a rule gives to what people read.

use super::{Question, full_name};
use crate::document::KeyPath;
use crate::finding::{Code, Finding, Severity};
use crate::place::Place;
use serde_json::Value as Json;

/// How long a message may be, in characters.
const MAX_MESSAGE_CHARS: usize = 1_000;

/// How many definitions of a rule are named between the first and the last.
const MAX_PLACES: usize = 6;

/// One message of a rule, or what is wrong with the rule.
pub(super) struct Answer {
    pub(super) finding: Finding,
    /// The path of the value in `input` that the message is about, when the rule says it.
    pub(super) path: Option<Vec<String>>,
    /// Whether the rule was stopped because of its time.
    pub(super) is_late: bool,
}

impl Answer {
    /// Returns an answer that is about no value.
    pub(super) fn plain(finding: Finding) -> Self {
        Answer { finding, path: None, is_late: false }
    }

    /// Returns the finding, at the place of the value that it is about when that is known.
    pub(super) fn finding(self, subject: Option<&str>, locate: &dyn Fn(&[String]) -> Option<Place>) -> Finding {
        let mut finding = self.finding;
        if let Some(subject) = subject {
            finding.message = format!("{} (in `{subject}`)", finding.message);
        }
        let Some(place) = self.path.as_deref().and_then(locate) else { return finding };
        if let (None, Some(rule), Some(at)) = (&finding.hint, &finding.rule, &finding.place) {
            finding.hint = Some(format!("`{rule}` says so, at {at}"));
        }
        finding.pointer = self.path.map(|it| KeyPath::from(it).pointer());
        finding.at(&place)
    }
}

impl Question {
    /// Returns what a message of the rule means.
    pub(super) fn answer(&self, message: &Json, is_excepted: bool) -> Answer {
        let text = match message {
            Json::String(text) => Some(text.clone()),
            Json::Object(map) => map.get("msg").and_then(Json::as_str).map(str::to_owned),
            Json::Bool(true) => Some(format!("`{}` holds", self.name)),
            _ => None,
        };
        let Some(text) = text else {
            let wrong = format!("`{}` gives something that is not a message", self.name);
            let finding = Finding::error(Code::POLICY_INVALID, wrong);
            let hint = match message {
                // `deny[msg] if …` makes an object in today's Rego; it is one also when nothing is denied.
                Json::Object(_) => {
                    "give texts, or objects with a text in `msg`; `deny[msg] if …` is `deny contains msg if …` today"
                }
                _ => "give texts, or objects with a text in `msg`",
            };
            return Answer::plain(self.at(finding).hint(hint));
        };
        let text: String = text.chars().take(MAX_MESSAGE_CHARS).collect();
        let finding = match (is_excepted, self.refuses) {
            (true, _) => {
                let finding = Finding::warning(Code::POLICY, format!("excepted: {text}"));
                Finding { severity: Severity::Info, ..finding }
            }
            (false, true) => Finding::error(Code::POLICY, text),
            (false, false) => Finding::warning(Code::POLICY, text),
        };
        let hint = message.get("hint").and_then(Json::as_str).map(str::to_owned).or_else(|| self.places());
        let path = message.get("path").and_then(steps);
        Answer { finding: self.at(Finding { hint, ..finding }), path, is_late: false }
    }

    /// Adds the rule's name and place; of one that is defined several times the file, when that is one.
    pub(super) fn at(&self, finding: Finding) -> Finding {
        let finding = finding.rule(full_name(&self.package, &self.name));
        match self.places.as_slice() {
            [place] => finding.at(place),
            [first, rest @ ..] if rest.iter().all(|it| it.file == first.file) => finding.at(&Place::whole(&first.file)),
            _ => finding,
        }
    }

    /// Returns in words where a rule is that is defined several times: nobody knows which of them it was.
    fn places(&self) -> Option<String> {
        let [first, rest @ ..] = self.places.as_slice() else { return None };
        let (last, middle) = rest.split_last()?;
        let mut text = format!("`{}` says so, at {first}", full_name(&self.package, &self.name));
        let mut file = &first.file;
        let shown = middle.iter().take(MAX_PLACES).map(|it| (", ", it)).chain([(" or ", last)]);
        for (between, place) in shown {
            text.push_str(between);
            match place.file == *file {
                true => text.push_str(&format!("{}:{}", place.line, place.column)),
                false => text.push_str(&place.to_string()),
            }
            file = &place.file;
        }
        Some(text)
    }
}

/// Reads the path to a value: a list of keys, `server.port`, or `/server/port`; `input` in front of it may stand.
fn steps(path: &Json) -> Option<Vec<String>> {
    let steps: Vec<String> = match path {
        Json::String(text) => KeyPath::parse(text).ok()?.steps().to_vec(),
        Json::Array(items) => {
            let step = |it: &Json| match it {
                Json::String(text) => Some(text.clone()),
                Json::Number(number) => Some(number.to_string()),
                _ => None,
            };
            items.iter().map(step).collect::<Option<_>>()?
        }
        _ => return None,
    };
    Some(match steps.split_first() {
        Some((first, rest)) if first == "input" => rest.to_vec(),
        _ => steps,
    })
}
