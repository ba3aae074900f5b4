//! A rollback that could not be carried out: what is said of it, and how a later pass takes it up again.

use super::{ConfigurationDeployer, DeploymentStatus, Error, now_text};
use crate::finding::{Code, Finding, Verdict};
use crate::host::transaction::Which;
use crate::record::{Deployment, Failure, Phase};
use serde::{Deserialize, Serialize};

/// The most files that are named in one line; the log has all of them.
const NAMED_MAX: usize = 8;

/// What is remembered of a rollback that failed, until it succeeds.
#[derive(Serialize, Deserialize)]
pub(super) struct Stuck {
    /// The deployment that could not be taken back.
    pub(super) deployment: i64,
    /// Why it was to be taken back.
    pub(super) cause: Option<Failure>,
}

impl ConfigurationDeployer<'_> {
    /// Records that a rollback failed, and which files are which; a person is needed.
    pub(super) fn get_stuck(&self, mut deployment: Deployment, error: Error) -> Result<Error, Error> {
        let stuck = Stuck { deployment: deployment.id, cause: deployment.error.take() };
        self.store.remember(self.name(), "stuck", &serde_json::to_string(&stuck).unwrap_or_default())?;
        let files = self.client.whereabouts().unwrap_or_else(|unknown| {
            deployment.log.push(format!("which files are live cannot be told: {unknown}"));
            Vec::new()
        });
        let finding = finding(&error, &summary(&files));
        deployment.log.extend(files.into_iter().map(|(path, which)| format!("{path} is {}", which.as_str())));
        let error = Error::new(Phase::Switch, finding);
        deployment.status = DeploymentStatus::Failed;
        deployment.error = Some(error.failure());
        deployment.finished_at = Some(now_text());
        self.save(&deployment)?;
        Ok(error)
    }

    /// Returns what is remembered of a rollback that failed.
    pub(super) fn stuck(&self) -> Result<Option<Stuck>, Error> {
        let text = self.store.recall(self.name(), "stuck")?;
        Ok(text.and_then(|it| serde_json::from_str(&it).ok()))
    }

    /// Returns what an error means that came up while the previous files were to go back once more.
    pub(super) fn still_stuck(&self, error: Error) -> Result<Error, Error> {
        Ok(match self.stuck()? {
            Some(_) if error.verdict() != Verdict::Stuck => Error::new(Phase::Switch, finding(&error, "")),
            _ => error,
        })
    }
}

fn finding(error: &Error, more: &str) -> Finding {
    let reason = super::error::summary(&error.findings);
    Finding::error(Code::ROLLBACK_FAILED, format!("the previous files could not be put back: {reason}{more}"))
        .hint("mend what stands in the way; the next `headfast sync` tries again, and `headfast show` says which files are which")
}

fn summary(files: &[(String, Which)]) -> String {
    let of = |which: Which| -> Vec<&str> { files.iter().filter(|it| it.1 == which).map(|it| it.0.as_str()).collect() };
    let said = |which: Which, what: &str| {
        let paths = of(which);
        let more = paths.len().saturating_sub(NAMED_MAX);
        let named = paths[..paths.len() - more].join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!paths.is_empty()).then(|| format!("{what}: {named}{more}"))
    };
    let parts = [said(Which::New, "still new"), said(Which::Previous, "as before"), said(Which::Neither, "neither")];
    parts.into_iter().flatten().map(|it| format!("; {it}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k03_of_many_files_a_few_are_named() {
        let files = |n: usize, which| (0..n).map(move |it| (format!("/t/{it}"), which));
        let all: Vec<_> = files(10, Which::New).chain(files(1, Which::Previous)).collect();
        assert_eq!(
            summary(&all),
            "; still new: /t/0, /t/1, /t/2, /t/3, /t/4, /t/5, /t/6, /t/7 and 2 more; as before: /t/0"
        );
    }
}
