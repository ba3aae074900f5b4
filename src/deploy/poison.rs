//! Commits that kill the agent: each stage is counted before it begins, and a commit that ended the process at the same
//! stage three times is set aside. A crash blames nobody, so it never leads to a revert.

use super::{ConfigDeployment, ConfigurationDeployer, DeploymentStatus, Error, now_text};
use crate::finding::{Code, Finding};
use crate::record::{Deployment, Phase, Trigger};
use crate::render::Digest;
use crate::state::Quarantined;

/// How often a commit may end the process at one stage before it is set aside.
const CRASHES_MAX: u32 = 3;

impl ConfigurationDeployer<'_> {
    /// Enters a phase: it is noted in the record, shown, and counted as an attempt that this process may not survive.
    pub(super) fn enter(&self, deployment: &mut Deployment, phase: Phase) -> Result<(), Error> {
        deployment.phase = phase;
        (self.on_phase)(phase);
        self.count(&self.subject(deployment), phase)
    }

    /// Enters a phase after the switch. That it cannot be counted, say on a full disk, is no reason to take anything back.
    pub(super) fn enter_proof(&self, deployment: &mut Deployment, subject: &str, phase: Phase) {
        deployment.phase = phase;
        (self.on_phase)(phase);
        if let Err(error) = self.count(subject, phase) {
            tracing::warn!(repository = self.name(), "an attempt is not counted: {error}");
        }
    }

    /// Notes a phase of something that has begun and is not recorded yet.
    pub(super) fn pass_through(&self, phase: Phase) {
        (self.on_phase)(phase);
        let attempting = self.attempting.take();
        let subject = attempting.as_ref().map(|it| it.0.clone());
        self.attempting.replace(attempting);
        if let Some(Err(error)) = subject.map(|it| self.count(&it, phase)) {
            tracing::warn!(repository = self.name(), "an attempt is not counted: {error}");
        }
    }

    /// Counts an attempt at a phase; the one before it was survived.
    fn count(&self, subject: &str, phase: Phase) -> Result<(), Error> {
        let before = self.attempting.replace(None);
        let left = before.as_ref().filter(|it| it.0 == subject).map(|it| it.1);
        if let Some((other, _)) = before.filter(|it| it.0 != subject) {
            self.store.clear_attempts(self.name(), &other)?;
        }
        self.store.attempt(self.name(), subject, phase, left)?;
        self.attempting.replace(Some((subject.to_owned(), phase)));
        Ok(())
    }

    /// Forgets the attempts of what was just tried: this process and that of the transaction lived, whatever came out.
    pub(super) fn survived(&self) -> Result<(), Error> {
        match self.attempting.take() {
            Some(_) if self.client.is_lost() => Ok(()),
            Some((subject, _)) => Ok(self.store.clear_attempts(self.name(), &subject)?),
            None => Ok(()),
        }
    }

    /// Returns the stage at which a deployment has killed the agent too often.
    pub(super) fn poisoned(&self, deployment: &Deployment) -> Result<Option<Finding>, Error> {
        self.too_often(&self.subject(deployment)).map(|it| it.map(crashed))
    }

    /// Returns the phase at which a subject ended the process too often.
    pub(super) fn too_often(&self, subject: &str) -> Result<Option<Phase>, Error> {
        let attempts = self.store.attempts(self.name(), subject)?;
        Ok(attempts.into_iter().find(|it| it.1 >= CRASHES_MAX).map(|it| it.0))
    }

    /// Returns what crashes are counted for: a commit with the facts (and the version of this program) that it met, so that
    /// others give it a new chance; what heals and goes back is counted apart.
    pub(super) fn subject(&self, deployment: &Deployment) -> String {
        let revision = &deployment.revision;
        match deployment.trigger {
            Trigger::Heal | Trigger::Rollback | Trigger::Restore => {
                format!("{} {revision}", deployment.trigger.as_str())
            }
            _ => format!("{revision} {}", self.facts_digest()),
        }
    }

    /// Returns why a commit is not even read, unless it may be: it is set aside for its crashes.
    pub(super) fn set_aside(&self, deployment: &Deployment) -> Result<Option<Error>, Error> {
        let held = self.store.is_quarantined(self.name(), &Digest(self.subject(deployment)))?;
        Ok(held.map(|it| Error::new(Phase::Verify, super::prepare::quarantined(&it))))
    }

    /// Sets a commit aside that killed the agent too often.
    pub(super) fn quarantine_crashed(&self, deployment: &Deployment) -> Result<(), crate::state::Error> {
        let reason = deployment.error.as_ref().map(|it| it.message.clone()).unwrap_or_default();
        let (digest, revision) = (Digest(self.subject(deployment)), deployment.revision.clone());
        self.store.quarantine(self.name(), &Quarantined { digest, revision, reason, since: now_text() })
    }

    /// Records that a commit is set aside for its crashes; nothing of it is read.
    pub(super) fn end_crashed(&self, mut deployment: Deployment, finding: Finding) -> Result<ConfigDeployment, Error> {
        let attempts = self.store.attempts(self.name(), &self.subject(&deployment))?;
        let error = Error::new(attempts.first().map_or(deployment.phase, |it| it.0), finding);
        deployment.status = DeploymentStatus::Failed;
        deployment.phase = error.phase;
        deployment.error = Some(error.failure());
        deployment.finished_at = Some(now_text());
        self.begin(&mut deployment)?;
        let subject = self.subject(&deployment);
        self.store.together(|store| {
            self.quarantine_crashed(&deployment)?;
            store.clear_attempts(self.name(), &subject)
        })?;
        let revision = deployment.revision.clone();
        Ok(ConfigDeployment { revision, deployment: Some(deployment), findings: error.findings, notes: Vec::new() })
    }
}

fn crashed(phase: Phase) -> Finding {
    let message = format!("crashed at {}: the agent did not live through it {CRASHES_MAX} times", phase.as_str());
    Finding::error(Code::CRASHED, message)
        .hint("push a commit that does not, or say `headfast retry` when something else was to blame")
}
