//! Giving up a transaction that cannot be finished: every file that it holds is kept, and the next pass plans anew.

use super::{ConfigurationDeployer, DeploymentStatus, Error, now_text};
use crate::finding::Code;
use crate::host::service::{Surprise, Wreck};
use crate::plan::LivePath;
use crate::record::{Deployment, Failure, Kept, Trigger};
use crate::revision::ObjectId;

/// What became of a transaction that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The deployment that it belonged to, or one that was made to have the record.
    pub deployment: i64,
    /// What was kept.
    pub kept: Vec<Kept>,
}

impl ConfigurationDeployer<'_> {
    /// Gives up the transaction that was left behind, when there is one. No deployed file is touched.
    ///
    /// What waits in its staging folders is kept first, so this can be cut short and repeated.
    pub fn give_up(&self) -> Result<Option<GivenUp>, Error> {
        let roots = self.store.roots(self.name())?;
        let Some(mut wreck) = self.client.wreck(&roots)? else { return Ok(None) };
        let files = std::mem::take(&mut wreck.files);
        let (mut deployment, before) = self.wrecked(&wreck)?;
        self.keep_wrecked(&mut deployment, files, wreck.is_known)?;
        deployment.log.push(format!("given up; its staging folders were {}", wreck.folders.join(", ")));
        self.doubt(&wreck)?;
        match wreck.deployment == Some(deployment.id) {
            true => self.save(&deployment)?,
            false => self.store.save(&deployment)?,
        }
        self.client.give_up(&roots)?;
        self.store.forget(self.name(), "stuck")?;
        self.close_interrupted()?;
        Ok(Some(GivenUp { deployment: deployment.id, kept: deployment.kept.split_off(before) }))
    }

    /// Keeps what stands in staging folders that belong to no transaction, and removes them.
    pub fn clear_strays(&self) -> Result<Option<GivenUp>, Error> {
        let roots = self.store.roots(self.name())?;
        let Some(wreck) = self.client.wreck_of_strays(&roots)?.filter(|it| !it.folders.is_empty()) else {
            return Ok(None);
        };
        let mut deployment = self.record_of_repair()?;
        self.keep_wrecked(&mut deployment, wreck.files, false)?;
        self.store.save(&deployment)?;
        self.client.clear_strays(&roots)?;
        Ok(Some(GivenUp { deployment: deployment.id, kept: deployment.kept }))
    }

    /// Returns the record of a deployment whose transaction is given up, and how much it had kept before.
    fn wrecked(&self, wreck: &Wreck) -> Result<(Deployment, usize), Error> {
        let known = wreck.deployment.map(|id| self.store.deployment(id)).transpose()?.flatten();
        match known.filter(|it| it.repository == self.name()) {
            Some(mut it) => {
                if it.status == DeploymentStatus::InProgress {
                    it.status = DeploymentStatus::Failed;
                    it.finished_at = Some(now_text());
                    it.error = Some(given_up());
                }
                let before = it.kept.len();
                Ok((it, before))
            }
            None => Ok((self.record_of_repair()?, 0)),
        }
    }

    /// Begins a record for what is kept, where no deployment is known that it could belong to.
    fn record_of_repair(&self) -> Result<Deployment, Error> {
        let live = self.store.live(self.name())?;
        let nothing = ObjectId::new(&"0".repeat(40));
        let revision = live.as_ref().map_or(nothing, |it| it.revision.clone());
        let mut deployment = self.attempt(&revision, Trigger::Recovery, live.as_ref());
        deployment.status = DeploymentStatus::Failed;
        deployment.finished_at = Some(now_text());
        deployment.error = Some(given_up());
        // Nothing is said of it to a forge: it is no deployment of that commit.
        deployment.id = self.store.begin(&deployment)?;
        Ok(deployment)
    }

    /// Makes the next pass look at every path that the transaction may have changed: nobody knows what it got done.
    fn doubt(&self, wreck: &Wreck) -> Result<(), Error> {
        let ledger = self.store.ledger(self.name())?;
        let new: Vec<_> = wreck.rows.iter().filter(|(at, _)| !ledger.contains_key(at)).cloned().collect();
        let paths: Vec<LivePath> = wreck.rows.iter().map(|(at, _)| at.clone()).collect();
        Ok(self.store.together(|store| {
            store.change_ledger(self.name(), &new, &[])?;
            store.doubt(self.name(), wreck.is_known.then_some(paths.as_slice()))
        })?)
    }

    fn keep_wrecked(&self, deployment: &mut Deployment, mut files: Vec<Surprise>, is_known: bool) -> Result<(), Error> {
        if !is_known && self.secrets.recipients().is_empty() {
            files.iter_mut().for_each(|it| it.sensitive = false);
        }
        self.keep_held(deployment, files, "recovered")
    }
}

fn given_up() -> Failure {
    let message = "a transaction that could not be finished was given up with `headfast fsck --repair`".to_owned();
    Failure { code: Code::RECOVERY_CONFLICT.name.into(), message }
}
