//! After a crash: what the transaction left behind is finished or removed, recorded, and the deployment goes on.

use super::actions::Aftermath;
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
            Ok(true) | Err(_) => self.client.recover()?,
        };
        let note = match recovered {
            Recovered::Nothing => None,
            Recovered::Abandoned => {
                Some("a deployment was cut short before its switch; the files are the old ones".into())
            }
            Recovered::Forward(mut switched) => {
                let mut deployment = self.deployment_of(&switched)?;
                self.record(&mut deployment, &mut switched)?;
                Some(self.go_on(switched, deployment)?)
            }
            Recovered::Unproven(switched) => {
                let deployment = self.deployment_of(&switched)?;
                match deployment.status {
                    DeploymentStatus::InProgress => Some(self.go_on(switched, deployment)?),
                    // It had its outcome already; only the leftovers were not removed.
                    _ => {
                        self.finish(switched)?;
                        None
                    }
                }
            }
            Recovered::Restored(switched) => {
                let deployment = self.deployment_of(&switched)?;
                let aftermath = aftermath_of(&switched)?;
                let to_blame = deployment.error.as_ref().is_some_and(|it| is_to_blame(&it.code));
                let blames = aftermath.may_blame && to_blame;
                self.settle_restored(switched, deployment, &aftermath, blames, Findings::new())?;
                Some("a rollback was cut short; the previous files are back".into())
            }
        };
        self.close_interrupted()?;
        Ok(note)
    }

    fn go_on(&self, switched: Switched<'_>, mut deployment: Deployment) -> Result<String, Error> {
        let aftermath = aftermath_of(&switched)?;
        deployment.log.push("cut short after the switch; going on with the reloads".into());
        let result = self.prove(switched, deployment, &aftermath, Findings::new())?;
        let status = result.deployment.map_or("unknown", |it| it.status.as_str());
        Ok(format!("a deployment was cut short after its switch and is finished now: {status}"))
    }

    fn deployment_of(&self, switched: &Switched<'_>) -> Result<Deployment, Error> {
        self.store.deployment(switched.deployment)?.ok_or_else(|| {
            let message =
                format!("the journal belongs to deployment {}, which is not in the state", switched.deployment);
            Error::new(Phase::Record, Finding::error(Code::RECOVERY_CONFLICT, message))
        })
    }

    /// A deployment that is still in progress without a transaction never reached its switch.
    fn close_interrupted(&self) -> Result<(), Error> {
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
        Error::new(Phase::Record, Finding::error(Code::RECOVERY_CONFLICT, message))
    })
}
