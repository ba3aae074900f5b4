//! The deployed rendering, looked at again: for drift's diffs, and to put files back.

use super::actions::Repertoire;
use super::change::request;
use super::prepare::{Ready, files_of};
use super::{ConfigDeployment, ConfigurationDeployer, Error};
use crate::finding::{Code, Finding, Findings};
use crate::git::GitTree;
use crate::manifest::DriftMode;
use crate::pipeline::Rendered;
use crate::plan::{self, LivePath};
use crate::record::{Deployment, Phase, Trigger};
use crate::render::RenderedTarget;

/// What is deployed, rendered again from the mirror.
pub struct Deployed {
    /// The record of the deployment that is live.
    pub deployment: Deployment,
    rendered: Option<Rendered>,
    tree: GitTree,
}

impl Deployed {
    /// Returns the targets of the rendering; none when it can no longer be made, for example because a key is gone.
    pub fn targets(&self) -> &[RenderedTarget] {
        self.rendered.as_ref().map_or(&[], |it| &it.rendering.targets)
    }

    /// Returns what was deployed at a path; `None` when the rendering can no longer be made.
    pub fn content(&self, at: &LivePath) -> Result<Option<Vec<u8>>, Error> {
        let target = self.targets().iter().find(|it| it.path == at.root);
        let Some(output) = target.and_then(|it| it.files.get(&at.path)) else { return Ok(None) };
        super::observe::bytes(&self.tree, &output.content).map(Some).map_err(|it| crate::host::Error::from(it).into())
    }
}

impl ConfigurationDeployer<'_> {
    /// Returns what the host lets be done about drift.
    pub fn drift_mode(&self) -> DriftMode {
        self.repository.drift.mode
    }

    /// Returns why nothing may be changed now, unless it may.
    pub fn suspended_for_control(&self) -> Result<Option<String>, Error> {
        self.suspended()
    }

    /// Returns what is deployed; `None` when nothing is.
    pub fn deployed(&self) -> Result<Option<Deployed>, Error> {
        let Some(deployment) = self.store.live(self.name())? else { return Ok(None) };
        let tree = self.mirror.borrow().tree(&deployment.revision)?;
        let mut findings = Findings::new();
        let rendered = self.render(&deployment.revision, &tree, &mut findings).ok();
        // With other facts it would be another rendering, and a diff against it would be wrong.
        let rendered = rendered.filter(|it| Some(&it.rendering.digest) == deployment.digest.as_ref());
        Ok(Some(Deployed { deployment, rendered, tree }))
    }

    /// Writes what was deployed back to the given paths, as a deployment of its own, and nothing else.
    pub fn heal(&self, paths: &[LivePath]) -> Result<ConfigDeployment, Error> {
        self.recover()?;
        let live = self.store.live(self.name())?;
        let Some(live) = live else { return Err(super::undo::nothing_before()) };
        let mut deployment = self.attempt(&live.revision, Trigger::Heal, Some(&live));
        if let Some(finding) = self.poisoned(&deployment)? {
            return self.end_early(deployment, Error::new(Phase::Plan, finding));
        }
        let result = match self.prepare_heal(&mut deployment, &live, paths) {
            Ok(ready) => self.carry_out(deployment, ready),
            Err(error) => self.end_early(deployment, error),
        };
        self.survived()?;
        self.tidy()?;
        result
    }

    fn prepare_heal(&self, deployment: &mut Deployment, live: &Deployment, paths: &[LivePath]) -> Result<Ready, Error> {
        let mut findings = Findings::new();
        let tree = self.mirror.borrow().tree(&deployment.revision)?;
        let rendered = self.render(&deployment.revision, &tree, &mut findings)?;
        deployment.digest = Some(rendered.rendering.digest.clone());
        deployment.phase = Phase::Plan;
        if deployment.digest != live.digest {
            // Healing some paths would mix two renderings, and record the new one as live.
            let message = "what is deployed cannot be rendered again: the facts of this host are others now";
            let finding = Finding::error(Code::TARGET_CHANGED, message);
            return Err(Error::new(Phase::Plan, finding.hint("deploy them first: headfast sync")));
        }
        let seen = self.look_at(&rendered, &tree, paths)?;
        let ledger = files_of(&seen.ledger);
        let plan = plan::heal(&rendered.rendering, &seen.situation(&ledger, false, false), paths, &mut findings);
        if !findings.has_errors() {
            let request = request(&plan, &rendered.rendering, &seen.ledger, &seen.accounts);
            self.fit(&request, &mut findings).map_err(|it| it.in_phase(Phase::Plan))?;
        }
        if findings.has_errors() {
            return Err(Error { phase: Phase::Plan, findings });
        }
        let repertoire = Repertoire::of(&rendered.rendering);
        Ok(Ready { rendered, repertoire, tree, seen, plan, findings, edits_since: None })
    }
}
