//! Why a pass ended early: findings from every room, under one type.

use crate::finding::{Code, Finding, Findings, Verdict};
use crate::record::{Failure, Phase};
use crate::{git, host, settings, state};

/// What to do about a transaction that cannot be finished.
pub(super) const GIVE_UP: &str = "`headfast fsck --repair` keeps every file that the transaction holds and gives it up; then \
    `headfast sync` plans anew against what is live";

/// Why a pass could not be made, or a deployment not be carried out.
#[derive(Debug, thiserror::Error)]
#[error("{}", summary(findings))]
pub struct Error {
    /// The phase in which it ended.
    pub phase: Phase,
    /// Everything that is wrong; at least one error.
    pub findings: Findings,
}

impl Error {
    /// Returns the error for one finding.
    pub fn new(phase: Phase, finding: Finding) -> Self {
        Error { phase, findings: [finding].into_iter().collect() }
    }

    /// Returns what the gravest finding means for the caller.
    pub fn verdict(&self) -> Verdict {
        self.findings.verdict().unwrap_or(Verdict::Failed)
    }

    /// Returns whether the rendering failed here before and is not tried again.
    pub(super) fn is_quarantined(&self) -> bool {
        self.findings.iter().any(|it| it.code == Code::QUARANTINED)
    }

    /// Returns whether objects of the repository are missing or damaged.
    pub(super) fn lacks_objects(&self) -> bool {
        self.findings.iter().any(|it| it.code == Code::INCOMPLETE)
    }

    /// Returns the same error in another phase.
    #[must_use]
    pub fn in_phase(mut self, phase: Phase) -> Self {
        self.phase = phase;
        self
    }

    /// Returns what is written down of it.
    pub fn failure(&self) -> Failure {
        let gravest = self.findings.iter().find(|it| self.findings.verdict() == Some(it.code.verdict));
        let code = gravest.map_or(Code::IO, |it| it.code);
        Failure { code: code.name.to_owned(), message: summary(&self.findings) }
    }
}

/// Returns the errors in one line: the first in full, the others counted.
pub(super) fn summary(findings: &Findings) -> String {
    let errors: Vec<&Finding> = findings.iter().filter(|it| it.severity == crate::finding::Severity::Error).collect();
    let Some(first) = errors.first() else { return "no error".into() };
    let place = first.place.as_ref().map(|it| format!("{it}: ")).unwrap_or_default();
    match errors.len() {
        1 => format!("{place}{}", first.message),
        n => format!("{place}{} (and {} more)", first.message, n - 1),
    }
}

impl From<git::Error> for Error {
    fn from(error: git::Error) -> Self {
        Error::new(Phase::Fetch, error.to_finding())
    }
}

impl From<state::Error> for Error {
    fn from(error: state::Error) -> Self {
        Error::new(Phase::Record, error.to_finding())
    }
}

impl From<host::Error> for Error {
    fn from(error: host::Error) -> Self {
        let finding = error.to_finding();
        let is_wreck = [Code::RECOVERY_CONFLICT, Code::JOURNAL, Code::JOURNAL_FOREIGN].contains(&finding.code);
        Error::new(Phase::Stage, if is_wreck { finding.hint(GIVE_UP) } else { finding })
    }
}

impl From<settings::Error> for Error {
    fn from(error: settings::Error) -> Self {
        Error { phase: Phase::Load, findings: error.findings }
    }
}
