//! Rollback by hand, retry, suspend and resume.

use super::actions::Repertoire;
use super::prepare::Ready;
use super::revert::Reverted;
use super::{ConfigDeployment, ConfigurationDeployer, DeploymentStatus, Error, now_text};
use crate::finding::{Code, Finding, Findings};
use crate::host::transaction::Request;
use crate::plan::Plan;
use crate::record::{Deployment, Phase, Trigger};
use crate::render::{Content, Rendering};
use crate::revision::Tree;
use crate::state::{KeptFile, Suspension};

/// What to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollbackTo {
    /// What was live before.
    Previous,
    /// A deployment by its number.
    Deployment(i64),
    /// A commit, or the beginning of its id, that was live here.
    Revision(String),
}

impl ConfigurationDeployer<'_> {
    /// Goes back by hand: the same transaction, then the revert. Unless the revert is on the branch, the repository is
    /// suspended, because the next pass would bring the same commit again.
    pub fn rollback(&self, to: &RollbackTo, author: &str) -> Result<ConfigDeployment, Error> {
        let mut notes: Vec<String> = self.recover()?.into_iter().collect();
        let live = self.store.live(self.name())?.ok_or_else(nothing_before)?;
        let good = self.good(to, &live)?;
        let mut deployment = self.attempt(&good.revision, Trigger::Rollback, Some(&live));
        let result = match self.prepare_back_from_whole(&mut deployment, &good, &live) {
            Ok(ready) => self.carry_out(deployment, ready),
            Err(error) => self.end_early(deployment, error),
        };
        self.survived()?;
        let mut result = result?;
        if result.deployment.as_ref().is_some_and(|it| it.status == DeploymentStatus::Success) {
            self.save(&Deployment { status: DeploymentStatus::RolledBack, ..live.clone() })?;
            notes.push(self.stay_back(&live, &good, author)?);
        }
        self.deliver()?;
        notes.append(&mut result.notes);
        Ok(ConfigDeployment { notes, ..result })
    }

    /// Forgets the quarantine and makes a pass; what failed is tried again.
    pub fn retry(&self) -> Result<ConfigDeployment, Error> {
        self.store.release(self.name())?;
        self.store.forget(self.name(), "held")?;
        self.store.forget(self.name(), "verdict")?;
        self.store.forget(self.name(), "revert")?;
        self.sync(Trigger::Retry)
    }

    /// Stops deployments until someone resumes, or a moment (RFC 3339) has passed. Drift is still reported.
    pub fn suspend(&self, reason: &str, until: Option<String>, author: &str) -> Result<(), Error> {
        let order = Suspension { reason: reason.to_owned(), until, author: author.to_owned(), since: now_text() };
        Ok(self.store.suspend(self.name(), &order)?)
    }

    /// Lifts a suspension; `false` when there was none.
    pub fn resume(&self) -> Result<bool, Error> {
        Ok(self.store.resume(self.name())?.is_some())
    }

    fn good(&self, to: &RollbackTo, live: &Deployment) -> Result<Deployment, Error> {
        let past = self.store.deployments(Some(self.name()), 10_000)?;
        let earlier = || past.iter().filter(|it| it.id < live.id && it.status.is_live());
        let found = match to {
            RollbackTo::Previous => earlier().find(|it| it.digest != live.digest),
            RollbackTo::Deployment(id) => earlier().find(|it| it.id == *id),
            RollbackTo::Revision(prefix) => earlier().find(|it| it.revision.as_str().starts_with(prefix.as_str())),
        };
        match (found, to) {
            (Some(found), _) => Ok(found.clone()),
            (None, RollbackTo::Previous) => Err(nothing_before()),
            (None, to) => {
                let what = match to {
                    RollbackTo::Deployment(id) => format!("deployment {id}"),
                    RollbackTo::Revision(revision) => format!("revision {revision}"),
                    RollbackTo::Previous => String::new(),
                };
                let message = format!("{what} was not live here before deployment {}", live.id);
                let hint = "headfast history lists what was";
                Err(Error::new(Phase::Plan, Finding::error(Code::NOT_FOUND, message).hint(hint)))
            }
        }
    }

    /// Prepares the way back. The mirror is a cache: what it does not give is fetched anew, if it can be.
    fn prepare_back_from_whole(
        &self,
        deployment: &mut Deployment,
        good: &Deployment,
        live: &Deployment,
    ) -> Result<Ready, Error> {
        let missing = match self.prepare_back(deployment, good, live) {
            Err(error) if self.mirror.borrow().needs_renewal() || error.lacks_objects() => error,
            other => return other,
        };
        match self.fetch() {
            Ok(_) => self.prepare_back(deployment, good, live).map_err(|error| match error.lacks_objects() {
                true => without_source(good, &error, Findings::new()),
                false => error,
            }),
            Err(unreachable) => Err(without_source(good, &missing, unreachable.findings)),
        }
    }

    /// Renders what was live, from the mirror alone. Signatures, quarantine, windows and the deletion guard were passed then.
    fn prepare_back(&self, deployment: &mut Deployment, good: &Deployment, live: &Deployment) -> Result<Ready, Error> {
        let mut findings = Findings::new();
        let tree = self.mirror.borrow().tree(&good.revision)?;
        let rendered = self.render(&good.revision, &tree, &mut findings)?;
        deployment.digest = Some(rendered.rendering.digest.clone());
        if good.digest.is_some() && deployment.digest == live.digest && deployment.digest != good.digest {
            let message = format!("deployment {} differs from what is live by the facts of this host alone", good.id);
            let hint = "put them back in agent.yaml (labels, variables, targets), then `headfast sync`";
            return Err(Error::new(Phase::Plan, Finding::error(Code::NOTHING_TO_ROLL_BACK, message).hint(hint)));
        }
        let (seen, plan) = self.plan(&rendered, &tree, true, &mut findings)?;
        read_ahead(&rendered.rendering, &plan, &tree)?;
        let repertoire = Repertoire::of(&rendered.rendering);
        Ok(Ready { rendered, repertoire, tree, seen, plan, findings, edits_since: Some(good.id) })
    }

    /// Gives the files of a rollback the content that was really live, where it differed from what had been deployed.
    pub(super) fn bring_edits_back(
        &self,
        request: &mut Request,
        deployment: &Deployment,
        ready: &Ready,
    ) -> Result<Findings, Error> {
        let mut findings = Findings::new();
        let (Some(since), Some(live)) = (ready.edits_since, deployment.previous) else {
            return Ok(findings);
        };
        // Newest first, so that of several copies of one file the oldest, which was live first after `since`, wins.
        let kept = self.store.kept(Some(self.name()))?;
        for file in
            kept.iter().filter(|it| it.deployment > since && it.deployment <= live && it.kept.reason != "recovered")
        {
            match self.kept_content(file) {
                Ok(bytes) => super::change::bring_back(request, file, bytes, &self.key, &ready.tree)?,
                Err(error) => findings.push(without_copy(request, file, &error)?),
            }
        }
        Ok(findings)
    }

    /// Keeps the next pass from bringing back what was rolled back. The suspension comes first, because the network may
    /// take its time; it goes again when the revert is on the branch.
    fn stay_back(&self, live: &Deployment, good: &Deployment, author: &str) -> Result<String, Error> {
        let was_suspended = self.suspended()?.is_some();
        if !was_suspended {
            let reason = format!("rolled back from {} to {}", live.revision.short(), good.revision.short());
            self.suspend(&reason, None, author)?;
        }
        let order = self.store.suspension(self.name())?;
        let what = match self.revert(&live.revision, &good.revision) {
            Ok(Reverted::Pushed) => {
                // Someone may have said something else meanwhile.
                if !was_suspended && self.store.suspension(self.name())? == order {
                    self.resume()?;
                }
                return Ok(format!("{} is reverted on the branch", live.revision.short()));
            }
            Ok(Reverted::Proposed) => {
                format!("a revert waits on {} to be merged", crate::rollback::branch_of(&live.revision))
            }
            Ok(Reverted::Not(reason)) => reason,
            Err(error) => format!("no revert could be pushed: {error}"),
        };
        Ok(format!("{what}; deployments are suspended until `headfast resume`"))
    }
}

/// Reads the blobs that are to come: damage to one is met while the mirror can still be fetched anew and nothing is written.
fn read_ahead(rendering: &Rendering, plan: &Plan, tree: &dyn Tree) -> Result<(), Error> {
    for operation in plan.writes() {
        let target = rendering.targets.iter().find(|it| it.path == operation.at.root);
        let content = target.and_then(|it| it.files.get(&operation.at.path)).map(|it| &it.content);
        if let Some(Content::Blob { id, .. }) = content {
            tree.blob(id).map_err(crate::host::Error::from)?;
        }
    }
    Ok(())
}

/// Says that what was deployed is nowhere to be had; `unreachable` is why it could not be fetched, if that was it.
fn without_source(good: &Deployment, missing: &Error, unreachable: Findings) -> Error {
    let what = format!("deployment {} ({}) cannot be rendered again: {missing}", good.id, good.revision.short());
    let (what, hint) = match unreachable.is_empty() {
        true => (
            format!("{what}; the remote does not have it either"),
            "no file was changed; go back to another with `--to` (headfast history lists them), or push that commit again",
        ),
        false => (
            format!("{what}; and the mirror cannot be fetched anew"),
            "no file was changed; say it again when the remote can be reached, or put single files back with `headfast kept`",
        ),
    };
    let mut findings: Findings = [Finding::error(Code::INCOMPLETE, what).hint(hint)].into_iter().collect();
    findings.extend(unreachable);
    Error { phase: Phase::Load, findings }
}

/// Says that a file goes back to what was deployed and not to what it had been edited to; an error when nothing else has it.
fn without_copy(request: &Request, file: &KeptFile, error: &Error) -> Result<Finding, Error> {
    let (root, path) = (&file.kept.root, &file.kept.path);
    let target = request.targets.iter().find(|it| it.root == *root);
    let change = target.and_then(|it| it.changes.iter().find(|it| it.path.as_str() == path));
    let message = format!("the copy that was kept of {root}/{path} cannot be used: {error}");
    // What no rendering has is nowhere else; where nothing is changed nothing is needed.
    if change.is_some_and(|it| it.incoming.is_none()) && file.kept.reason == "existing" {
        let hint = "put that file there by hand when you go back, and remove the copy with `headfast fsck --repair`";
        return Err(Error::new(Phase::Plan, Finding::error(Code::ROLLBACK_SOURCE, message).hint(hint)));
    }
    Ok(Finding::warning(Code::ROLLBACK_SOURCE, message).hint("what was deployed is used in its place"))
}

pub(super) fn nothing_before() -> Error {
    let message = "no earlier deployment was live here";
    Error::new(Phase::Plan, Finding::error(Code::NOTHING_TO_ROLL_BACK, message).hint("headfast history lists them"))
}
