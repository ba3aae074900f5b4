//! After a crash: what the transaction left behind is finished or removed, recorded, and the deployment goes on.

use super::actions::Aftermath;
use super::error::GIVE_UP;
use super::execute::is_to_blame;
use super::{ConfigurationDeployer, DeploymentStatus, Error, now_text};
use crate::finding::{Code, Finding, Findings};
use crate::host::service::{Recovered, Switched};
use crate::host::transaction;
use crate::record::{Deployment, Failure, Phase};

impl ConfigurationDeployer<'_> {
    /// Brings the targets to exactly the old or exactly the new files and goes on from there; returns what was done.
    pub fn recover(&self) -> Result<Option<String>, Error> {
        let state_dir = self.settings.state_dir.to_string_lossy();
        // Mostly nothing is left, and then there is no process to start.
        let recovered = match transaction::is_pending(&state_dir, self.name()) {
            Ok(false) => Recovered::Nothing,
            Ok(true) | Err(_) => {
                if let Some(id) = transaction::left(&state_dir, self.name(), &self.key)? {
                    self.deployment_of(id)?;
                }
                match self.client.recover() {
                    Ok(recovered) => recovered,
                    Err(error) => return Err(self.still_stuck(error.into())?),
                }
            }
        };
        let note = match recovered {
            Recovered::Nothing => None,
            Recovered::Abandoned => {
                Some("a deployment was cut short before its switch; the files are the old ones".into())
            }
            Recovered::Forward(mut switched) => {
                let mut deployment = self.deployment_of(switched.deployment)?;
                self.record(&mut deployment, &mut switched)?;
                Some(self.go_on(switched, deployment)?)
            }
            Recovered::Unproven(switched) => {
                let deployment = self.deployment_of(switched.deployment)?;
                let is_stuck = self.stuck()?.is_some_and(|it| it.deployment == deployment.id);
                match deployment.status {
                    DeploymentStatus::InProgress => Some(self.go_on(switched, deployment)?),
                    _ if is_stuck => match switched.restore() {
                        Ok(restored) => Some(self.back_after_all(restored, deployment)?),
                        Err(error) => return Err(self.still_stuck(error.into())?),
                    },
                    // It had its outcome already; only the leftovers were not removed.
                    _ => {
                        self.finish(switched)?;
                        None
                    }
                }
            }
            Recovered::Restored(switched) => {
                let deployment = self.deployment_of(switched.deployment)?;
                Some(self.back_after_all(switched, deployment)?)
            }
        };
        self.close_interrupted()?;
        Ok(note)
    }

    /// Goes on from a rollback that was cut short, or that failed before.
    fn back_after_all(&self, restored: Switched<'_>, mut deployment: Deployment) -> Result<String, Error> {
        if let Some(stuck) = self.stuck()?.filter(|it| it.deployment == deployment.id) {
            deployment.error = stuck.cause;
        }
        deployment.error.get_or_insert_with(|| Failure {
            code: Code::TARGET_CHANGED.name.into(),
            message: "a file was changed between a crash and the restart; the change is kept".into(),
        });
        let aftermath = aftermath_of(&restored)?;
        let to_blame = deployment.error.as_ref().is_some_and(|it| is_to_blame(&it.code));
        let blames = aftermath.may_blame && to_blame;
        self.settle_restored(restored, deployment, &aftermath, blames, Findings::new())?;
        self.survived()?;
        Ok("a rollback was cut short; the previous files are back".into())
    }

    fn go_on(&self, switched: Switched<'_>, mut deployment: Deployment) -> Result<String, Error> {
        let aftermath = aftermath_of(&switched)?;
        let result = match self.poisoned(&deployment)? {
            Some(finding) => {
                deployment.log.push("cut short after the switch too often".into());
                let subject = self.subject(&deployment);
                deployment.phase = self.too_often(&subject)?.unwrap_or(deployment.phase);
                let result = self.take_back(switched, deployment, &aftermath, finding)?;
                self.store.clear_attempts(self.name(), &subject)?;
                result
            }
            None => {
                deployment.log.push("cut short after the switch; going on with the reloads".into());
                self.prove(switched, deployment, &aftermath, Findings::new())?
            }
        };
        self.survived()?;
        let status = result.deployment.map_or("unknown", |it| it.status.as_str());
        Ok(format!("a deployment was cut short after its switch and is finished now: {status}"))
    }

    /// Returns the deployment that a journal belongs to; a journal of another host or state is not obeyed.
    fn deployment_of(&self, id: i64) -> Result<Deployment, Error> {
        let found = self.store.deployment(id)?.filter(|it| it.repository == self.name());
        found.ok_or_else(|| {
            let message = format!(
                "the journal in {}/transactions/{} belongs to deployment {id}, which this state does not know; nothing was \
                 touched",
                self.settings.state_dir.display(),
                self.name()
            );
            Error::new(Phase::Record, Finding::error(Code::JOURNAL_FOREIGN, message).hint(GIVE_UP))
        })
    }

    /// A deployment that is still in progress without a transaction never reached its switch.
    pub(super) fn close_interrupted(&self) -> Result<(), Error> {
        while let Some(mut deployment) = self.store.in_progress(self.name())? {
            deployment.status = DeploymentStatus::Failed;
            deployment.finished_at = Some(now_text());
            deployment.error = Some(Failure {
                code: Code::IO.name.into(),
                message: format!("cut short at {}; nothing was changed", deployment.phase.as_str()),
            });
            self.save(&deployment)?;
        }
        Ok(())
    }
}

/// Reads back what was to run. Without it nothing could be proven, and that must not pass for a success.
fn aftermath_of(switched: &Switched<'_>) -> Result<Aftermath, Error> {
    serde_json::from_value(switched.actions.clone()).map_err(|error| {
        let message = format!("the journal's actions cannot be read: {error}");
        Error::new(Phase::Record, Finding::error(Code::JOURNAL, message).hint(GIVE_UP))
    })
}
