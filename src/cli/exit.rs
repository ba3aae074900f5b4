//! How the program ends: the exit codes of DESIGN.md section 9, and the errors that lead to them.

use crate::finding::{Code, Finding, Findings, Verdict};
use crate::{deploy, settings, state};
use std::io;

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or there was nothing to do.
    Done,
    /// Something differs, and that was the question.
    Differences,
    /// What the gravest error means.
    Of(Verdict),
}

impl Exit {
    /// Returns the exit of findings: that of the gravest error, or done when there is none.
    pub fn of(findings: &Findings) -> Exit {
        findings.verdict().map_or(Exit::Done, Exit::Of)
    }

    /// Returns the process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Differences => 5,
            Exit::Of(verdict) => verdict.exit_code(),
        }
    }

    /// Returns the exit that a code stands for.
    pub fn from_code(code: u8) -> Exit {
        let verdicts =
            [Verdict::Usage, Verdict::Invalid, Verdict::Refused, Verdict::RolledBack, Verdict::Stuck, Verdict::Busy];
        let exits = [Exit::Done, Exit::Differences].into_iter().chain(verdicts.map(Exit::Of));
        exits.into_iter().find(|it| it.code() == code).unwrap_or(Exit::Of(Verdict::Failed))
    }

    /// Returns the graver of two exits: what needs a person first, then what went wrong, then what was said no to.
    #[must_use]
    pub fn worst(self, other: Exit) -> Exit {
        let rank = |exit: Exit| match exit {
            Exit::Of(Verdict::Stuck) => 8,
            Exit::Of(Verdict::RolledBack) => 7,
            Exit::Of(Verdict::Usage) => 6,
            Exit::Of(Verdict::Failed) => 5,
            Exit::Of(Verdict::Invalid) => 4,
            Exit::Of(Verdict::Refused) => 3,
            Exit::Of(Verdict::Busy) => 2,
            Exit::Differences => 1,
            Exit::Done => 0,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

/// Why a verb could not go on.
#[derive(Debug)]
pub enum Failure {
    /// Something is wrong.
    Findings(Findings),
    /// The output cannot be written, perhaps because nobody reads it any more.
    Output(io::Error),
}

impl Failure {
    /// Returns the failure for one finding.
    pub fn new(finding: Finding) -> Failure {
        Failure::Findings([finding].into_iter().collect())
    }

    /// Returns the failure of a verb that was called wrongly.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Finding::error(Code::USAGE, message))
    }

    /// Returns whether another process holds the state.
    pub fn is_locked(&self) -> bool {
        matches!(self, Failure::Findings(findings) if findings.iter().any(|it| it.code == Code::LOCKED))
    }

    /// Returns the failure for an operation on a file of this host.
    pub fn io(action: &str, path: &std::path::Path, error: &io::Error) -> Failure {
        Failure::new(Finding::error(Code::IO, format!("cannot {action} {}: {error}", path.display())))
    }
}

impl From<deploy::Error> for Failure {
    fn from(error: deploy::Error) -> Self {
        Failure::Findings(error.findings)
    }
}

impl From<settings::Error> for Failure {
    fn from(error: settings::Error) -> Self {
        Failure::Findings(error.findings)
    }
}

impl From<state::Error> for Failure {
    fn from(error: state::Error) -> Self {
        let finding = error.to_finding();
        Failure::new(match error {
            state::Error::Locked { .. } => finding.hint("wait until it is done, or stop it"),
            _ => finding,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_codes_are_those_of_the_contract() {
        let codes = [
            (Exit::Done, 0),
            (Exit::Of(Verdict::Failed), 1),
            (Exit::Of(Verdict::Usage), 2),
            (Exit::Of(Verdict::Invalid), 3),
            (Exit::Of(Verdict::Refused), 4),
            (Exit::Differences, 5),
            (Exit::Of(Verdict::RolledBack), 6),
            (Exit::Of(Verdict::Stuck), 7),
            (Exit::Of(Verdict::Busy), 75),
        ];
        for (exit, code) in codes {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }

    #[test]
    fn of_several_repositories_the_gravest_counts() {
        let all = [Exit::Done, Exit::Differences, Exit::Of(Verdict::Refused), Exit::Of(Verdict::Stuck), Exit::Done];
        assert_eq!(all.into_iter().fold(Exit::Done, Exit::worst), Exit::Of(Verdict::Stuck));
        assert_eq!(Exit::Of(Verdict::Failed).worst(Exit::Of(Verdict::RolledBack)), Exit::Of(Verdict::RolledBack));
    }
}
