//! The switch and what follows: stage → check → keep → commit → record → reload → probe → done, or back.

use super::actions::{Aftermath, Repertoire, checks};
use super::change::request;
use super::prepare::{Ready, may_blame, text_of};
use super::{ConfigDeployment, ConfigurationDeployer, DeploymentStatus, Error, now_text};
use crate::finding::{Code, Finding, Findings};
use crate::host::action::{Job, Task, Trial};
use crate::host::process::{self, Fault};
use crate::host::service::{CommitFailed, FileCopy, Staged, Surprise, Switched};
use crate::host::transaction::Request;
use crate::manifest::Check;
use crate::plan::{Before, LiveKind, LivePath, Operation, Plan};
use crate::record::{Deployment, Kept, Phase};
use crate::render::Rendering;
use crate::revision::Tree;
use crate::state::{KeptFile, Quarantined};
use std::time::Duration;

/// A probe of the live revision is looked at once before the switch, for as long as it may take after it, and at least this
/// long: one that is cut short would count as failing already, and then no commit could be blamed for it.
const PROBE_BEFORE: Duration = Duration::from_secs(1);

impl ConfigurationDeployer<'_> {
    /// Carries out what was prepared. The record is durable before anything changes.
    pub(super) fn carry_out(&self, mut deployment: Deployment, mut ready: Ready) -> Result<ConfigDeployment, Error> {
        let mut request = request(&ready.plan, &ready.rendered.rendering, &ready.seen.ledger, &ready.seen.accounts);
        match self.bring_edits_back(&mut request, &deployment, &ready) {
            Ok(findings) => ready.findings.extend(findings),
            Err(error) => return self.end_early(deployment, error),
        }
        let rendering = &ready.rendered.rendering;
        deployment.changes = ready.plan.changes();
        self.note_values(&mut deployment, &ready.rendered.configurations)?;
        self.enter(&mut deployment, Phase::Stage)?;
        self.begin(&mut deployment)?;
        let aftermath = self.aftermath(&deployment, &ready.repertoire, &ready.plan)?;
        request.deployment = deployment.id;
        request.repository = self.name().to_owned();
        request.actions = serde_json::to_value(&aftermath).unwrap_or_default();

        match self.switch(&mut deployment, &request, rendering, &ready.plan, &ready.tree) {
            Ok(switched) => self.prove(switched, deployment, &aftermath, ready.findings),
            Err(SwitchError::Before(mut error)) => {
                error.findings.attach_lines(&|file| text_of(&ready.tree, file));
                self.end_early(deployment, error)
            }
            // Names may have changed: what is on the disk is for recovery to say, on the next pass.
            Err(SwitchError::After(error)) => Err(error),
        }
    }

    /// From staging to the recorded switch.
    pub(super) fn switch(
        &self,
        deployment: &mut Deployment,
        request: &Request,
        rendering: &Rendering,
        plan: &Plan,
        tree: &dyn Tree,
    ) -> Result<Switched<'_>, SwitchError> {
        let staged = self.client.stage(request, &|id| tree.blob(id)).map_err(|it| SwitchError::Before(it.into()))?;
        let ready = self
            .enter(deployment, Phase::Check)
            .and_then(|()| self.check(deployment, &staged, rendering, plan))
            .and_then(|()| self.keep(deployment, plan))
            .and_then(|()| self.enter(deployment, Phase::Switch));
        if let Err(error) = ready {
            // What cannot be removed now is removed by recovery; why it is not wanted is the news.
            let _by_recovery = staged.abandon();
            return Err(SwitchError::Before(error));
        }
        let mut switched = staged.commit().map_err(|error| match error {
            CommitFailed::Before(error) => SwitchError::Before(Error::from(error).in_phase(Phase::Switch)),
            CommitFailed::After(error) => SwitchError::After(Error::from(error).in_phase(Phase::Switch)),
        })?;
        self.record(deployment, &mut switched).map_err(SwitchError::After)?;
        Ok(switched)
    }

    /// Runs the checks of every target against its staged view; the first that fails vetoes.
    fn check(
        &self,
        deployment: &mut Deployment,
        staged: &Staged<'_>,
        rendering: &Rendering,
        plan: &Plan,
    ) -> Result<(), Error> {
        for target in &rendering.targets {
            let checks = checks(target, plan);
            if checks.is_empty() {
                continue;
            }
            let job = |it: &Check| Job { what: Task::Command(it.command.clone()), within: it.within };
            let outcomes = staged.check(&target.path, checks.iter().map(|it| job(it)).collect())?;
            for (check, outcome) in checks.into_iter().zip(outcomes) {
                let shown = check.command.join(" ");
                deployment.log.push(entry("check", &shown, &outcome.describe(), &outcome.output));
                if !outcome.is_success() {
                    let message = format!("the check {shown:?} {}", outcome.describe());
                    let code = code_of(outcome.fault(), Code::CHECK);
                    let finding = Finding::error(code, message).at(&check.place).hint(printed(&outcome.output));
                    return Err(Error::new(Phase::Check, finding));
                }
            }
        }
        Ok(())
    }

    /// Keeps every file that is about to be overwritten or removed and is not what headfast wrote.
    pub(super) fn keep(&self, deployment: &mut Deployment, plan: &Plan) -> Result<(), Error> {
        for operation in plan.writes() {
            let reason = match operation.before {
                Before::Drifted => "drifted",
                Before::Existing => "existing",
                Before::Absent | Before::Clean => continue,
            };
            if let Some(kept) = self.keep_one(deployment.id, operation, reason)? {
                deployment.kept.push(kept);
            }
        }
        Ok(())
    }

    fn keep_one(&self, deployment: i64, operation: &Operation, reason: &str) -> Result<Option<Kept>, Error> {
        let Some(LiveKind::File | LiveKind::Link(_)) = operation.live.as_ref().map(|it| &it.kind) else {
            return Ok(None);
        };
        let Some(copy) = self.client.read(&operation.at)? else { return Ok(None) };
        self.keep_copy(deployment, &operation.at, copy, reason, operation.sensitive).map(Some)
    }

    fn keep_copy(
        &self,
        deployment: i64,
        at: &LivePath,
        copy: FileCopy,
        reason: &str,
        sensitive: bool,
    ) -> Result<Kept, Error> {
        let FileCopy { link, mode, uid, gid, bytes } = copy;
        let kept = Kept {
            root: at.root.clone(),
            path: at.path.as_str().to_owned(),
            id: String::new(),
            reason: reason.to_owned(),
            encrypted: sensitive,
        };
        self.keep_bytes(&KeptFile { kept, deployment, link, mode, uid, gid }, bytes)
    }

    /// Stores a copy, sealed to the host's own identities when it is sensitive.
    fn keep_bytes(&self, file: &KeptFile, bytes: Vec<u8>) -> Result<Kept, Error> {
        let bytes = match file.kept.encrypted {
            true => self.secrets.seal(&bytes).map_err(|finding| Error::new(Phase::Stage, finding))?,
            false => bytes,
        };
        Ok(self.store.keep(file, &bytes)?)
    }

    /// Writes the ledger's rows and the deployment in one database transaction, and keeps what came up at the last moment.
    pub(super) fn record(&self, deployment: &mut Deployment, switched: &mut Switched<'_>) -> Result<(), Error> {
        self.keep_surprises(deployment, switched)?;
        let rows = &switched.rows;
        self.store.together(|store| {
            store.record_switch(self.name(), &rows.put, &rows.remove, deployment)?;
            store.restat(self.name(), &rows.restat)
        })?;
        self.remember_file_systems(&switched.file_systems)?;
        switched.settle()?;
        Ok(())
    }

    /// Ends a transaction whose outcome is recorded, and notes what live files are known by afterwards.
    pub(super) fn finish(&self, switched: Switched<'_>) -> Result<(), Error> {
        let restat = switched.finish()?;
        Ok(self.store.restat(self.name(), &restat)?)
    }

    /// Keeps what was live when the names were switched and is not what the transaction knew.
    fn keep_surprises(&self, deployment: &mut Deployment, switched: &mut Switched<'_>) -> Result<(), Error> {
        let surprises = std::mem::take(&mut switched.surprises);
        self.keep_held(deployment, surprises, "drifted")
    }

    /// Keeps files that wait in staging folders.
    pub(super) fn keep_held(
        &self,
        deployment: &mut Deployment,
        files: Vec<Surprise>,
        reason: &str,
    ) -> Result<(), Error> {
        for surprise in files {
            let kept = self.keep_copy(deployment.id, &surprise.at, surprise.copy, reason, surprise.sensitive)?;
            // Recovery may come by twice.
            if !deployment.kept.contains(&kept) {
                deployment.kept.push(kept);
            }
        }
        Ok(())
    }

    /// Reloads and probes; then the deployment is a success, or everything goes back.
    pub(super) fn prove(
        &self,
        switched: Switched<'_>,
        mut deployment: Deployment,
        aftermath: &Aftermath,
        findings: Findings,
    ) -> Result<ConfigDeployment, Error> {
        let subject = self.subject(&deployment);
        let actions = (aftermath.reloads.as_slice(), aftermath.probes.as_slice());
        let tried = self.try_out(&mut deployment, &subject, actions, aftermath);
        // Whoever could put the files back is gone: recovery goes on at the reloads.
        self.not_lost(&deployment)?;
        match tried {
            Ok(()) => {
                deployment.status = DeploymentStatus::Success;
                deployment.phase = Phase::Record;
                deployment.finished_at = Some(now_text());
                deployment.error = None;
                (self.on_phase)(Phase::Record);
                self.save_live(&deployment, &aftermath.repertoire, &aftermath.facts)?;
                self.finish(switched)?;
                Ok(ended(deployment, findings))
            }
            Err(finding) => self.take_back(switched, deployment, aftermath, finding),
        }
    }

    /// Ends the pass when the transaction process went away.
    fn not_lost(&self, deployment: &Deployment) -> Result<(), Error> {
        if !self.client.is_lost() {
            return Ok(());
        }
        let message = format!("the transaction process ended during {}", deployment.phase.as_str());
        let hint = "the next `headfast sync` goes on there";
        Err(Error::new(deployment.phase, Finding::error(Code::TRANSACTION, message).hint(hint)))
    }

    /// Runs reloads and then probes; returns the first that fails.
    fn try_out(
        &self,
        deployment: &mut Deployment,
        subject: &str,
        (reloads, probes): (&[Job], &[Trial]),
        aftermath: &Aftermath,
    ) -> Result<(), Finding> {
        if !reloads.is_empty() {
            self.enter_proof(deployment, subject, Phase::Reload);
        }
        for job in reloads {
            let outcome = self.client.run(job).map_err(|it| it.to_finding())?;
            deployment.log.push(entry("reload", &job.what.to_string(), &outcome.describe(), &outcome.output));
            if !outcome.is_success() {
                let message = format!("the reload {:?} {}", job.what.to_string(), outcome.describe());
                let code = code_of(outcome.fault(), Code::RELOAD);
                return Err(Finding::error(code, message).hint(printed(&outcome.output)));
            }
        }
        if !probes.is_empty() {
            self.enter_proof(deployment, subject, Phase::Probe);
        }
        self.probe_all(deployment, probes.iter(), aftermath)?;
        // A service that reloads in the background may have answered with what ran before: after a while all must hold again.
        let settle = probes.iter().map(|it| it.settle).max().unwrap_or_default();
        if !settle.is_zero() {
            process::pause(settle);
        }
        self.probe_all(deployment, probes.iter().filter(|it| !it.settle.is_zero()), aftermath)
    }

    fn probe_all<'t>(
        &self,
        deployment: &mut Deployment,
        probes: impl Iterator<Item = &'t Trial>,
        aftermath: &Aftermath,
    ) -> Result<(), Finding> {
        for trial in probes {
            let result = self.client.probe(trial);
            let how = result.as_ref().err().map_or("holds", |it| it.why.as_str());
            deployment.log.push(entry("probe", &trial.what.to_string(), how, ""));
            if let Err(miss) = result {
                let (own, excuse) = match aftermath.excuse(&trial.what) {
                    Some(excuse) => (Code::PROBE_BEFORE, format!(", {excuse}")),
                    None => (Code::PROBE, String::new()),
                };
                let message = format!("the probe {} fails{excuse}: {}", trial.what, miss.why);
                return Err(Finding::error(code_of(miss.fault, own), message));
            }
        }
        Ok(())
    }

    /// Puts the previous files back, at once and without network, and tells programs about it.
    pub(super) fn take_back(
        &self,
        switched: Switched<'_>,
        mut deployment: Deployment,
        aftermath: &Aftermath,
        finding: Finding,
    ) -> Result<ConfigDeployment, Error> {
        let blames = aftermath.may_blame && is_to_blame(finding.code.name);
        let error = Error::new(deployment.phase, finding);
        deployment.error = Some(error.failure());
        if !self.repository.rollback.automatic {
            deployment.status = DeploymentStatus::Failed;
            deployment.finished_at = Some(now_text());
            deployment.log.push("rollback.automatic is off: the new files stay".into());
            self.save_live(&deployment, &aftermath.repertoire, &aftermath.facts)?;
            self.finish(switched)?;
            return Ok(ended(deployment, error.findings));
        }
        // Recovery must know the reason if we die in the middle.
        self.store.save(&deployment)?;
        match switched.restore() {
            Ok(restored) => self.settle_restored(restored, deployment, aftermath, blames, error.findings),
            Err(error) => {
                self.not_lost(&deployment)?;
                Err(self.get_stuck(deployment, error.into())?)
            }
        }
    }

    /// Records a restore, quarantines the rendering when the commit is to blame, and proves the previous revision.
    pub(super) fn settle_restored(
        &self,
        mut restored: Switched<'_>,
        mut deployment: Deployment,
        aftermath: &Aftermath,
        blames: bool,
        mut findings: Findings,
    ) -> Result<ConfigDeployment, Error> {
        deployment.status = if blames { DeploymentStatus::RolledBack } else { DeploymentStatus::Failed };
        deployment.finished_at = Some(now_text());
        if !restored.is_settled() {
            self.keep_surprises(&mut deployment, &mut restored)?;
            deployment.log.push("the previous files are back".into());
            self.record_restored(&restored, &deployment, blames, aftermath.may_blame)?;
            restored.settle()?;
        }
        let phase = deployment.phase;
        let again = self.try_back(&mut deployment, aftermath);
        self.not_lost(&deployment)?;
        deployment.phase = phase;
        if let Err(finding) = again {
            deployment.log.push(format!("after the rollback: {}", finding.message));
            let message = format!("the previous files are back, but {}", finding.message);
            findings.push(Finding::warning(Code::ROLLBACK_FAILED, message));
        }
        self.save(&deployment)?;
        self.finish(restored)?;
        self.store.forget(self.name(), "stuck")?;
        if let (false, Some(failure)) = (blames, &deployment.error) {
            self.note_verdict(&deployment, deployment.status, failure)?;
        }
        Ok(ended(deployment, findings))
    }

    /// Runs the previous revision's own reloads and probes, unless they are what kills the agent.
    fn try_back(&self, deployment: &mut Deployment, aftermath: &Aftermath) -> Result<(), Finding> {
        let subject = format!("back {}", deployment.id);
        match self.too_often(&subject) {
            Ok(Some(phase)) => {
                let message = format!("its own {} kills the agent and is left out", phase.as_str());
                Err(Finding::warning(Code::CRASHED, message))
            }
            _ => self.try_out(deployment, &subject, (&aftermath.back_reloads, &aftermath.back_probes), aftermath),
        }
    }

    /// Writes down that the previous files are back, and the quarantine with it.
    fn record_restored(
        &self,
        restored: &Switched<'_>,
        deployment: &Deployment,
        blames: bool,
        may_blame: bool,
    ) -> Result<(), Error> {
        let rows = &restored.rows;
        let reason = deployment.error.clone().map(|it| it.message).unwrap_or_default();
        Ok(self.store.together(|store| {
            store.record_switch(self.name(), &rows.put, &rows.remove, deployment)?;
            store.restat(self.name(), &rows.restat)?;
            if let (true, Some(digest)) = (blames, deployment.digest.clone()) {
                let (revision, since) = (deployment.revision.clone(), now_text());
                store.quarantine(self.name(), &Quarantined { digest, revision, reason, since })?;
                store.remember(self.name(), "revert", deployment.revision.as_str())?;
            }
            if may_blame && deployment.error.as_ref().is_some_and(|it| it.code == Code::CRASHED.name) {
                self.quarantine_crashed(deployment)?;
            }
            Ok(())
        })?)
    }

    /// Works out what runs after the switch and after its undoing, and which probes cannot blame the commit: those that fail
    /// already and, where only actions change, those that the live revision has, too.
    pub(super) fn aftermath(
        &self,
        deployment: &Deployment,
        repertoire: &Repertoire,
        plan: &Plan,
    ) -> Result<Aftermath, Error> {
        let before = self.repertoire()?;
        let probes = repertoire.probes(&before, plan);
        let known = probes.iter().filter(|it| before.looks_at(&it.what));
        let failing = known.clone().filter(|it| self.client.try_once(&it.what, it.within.max(PROBE_BEFORE)).is_err());
        let unmoved = known.clone().filter(|_| plan.writes().next().is_none());
        Ok(Aftermath {
            reloads: repertoire.reloads(plan),
            failing: failing.map(|it| it.what.clone()).collect(),
            unmoved: unmoved.map(|it| it.what.clone()).collect(),
            probes,
            back_reloads: before.reloads(plan),
            back_probes: before.probes(repertoire, plan),
            repertoire: repertoire.clone(),
            facts: self.facts_digest(),
            may_blame: may_blame(deployment.trigger),
        })
    }
}

/// On which side of the commit point a switch failed.
pub(super) enum SwitchError {
    Before(Error),
    After(Error),
}

/// Returns the code of a failed action: its own, unless the host could not even run it.
fn code_of(fault: Fault, own: Code) -> Code {
    match fault {
        Fault::Action => own,
        Fault::Host => Code::ACTION,
        Fault::Systemd => Code::SYSTEMD_DOWN,
    }
}

/// Returns whether an error is the fault of the commit, going by its code's name. Errors of the host never are.
pub(super) fn is_to_blame(code: &str) -> bool {
    code == Code::PROBE.name || code == Code::RELOAD.name
}

fn ended(deployment: Deployment, findings: Findings) -> ConfigDeployment {
    let revision = deployment.revision.clone();
    ConfigDeployment { revision, deployment: Some(deployment), findings, notes: Vec::new() }
}

fn entry(kind: &str, what: &str, how: &str, output: &str) -> String {
    if output.is_empty() { format!("{kind} {what}: {how}") } else { format!("{kind} {what}: {how}\n{output}") }
}

fn printed(output: &str) -> String {
    if output.is_empty() { "it printed nothing".to_owned() } else { format!("it printed: {output}") }
}
