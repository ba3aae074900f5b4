//! Everything that may say no before anything is written.

use super::actions::Repertoire;
use super::change::request;
use super::observe::Seen;
use super::remotes::AllowedRemotes;
use super::{ConfigurationDeployer, Error, gate};
use crate::finding::{Code, Finding, Findings};
use crate::git::GitTree;
use crate::pipeline::{self, Rendered};
use crate::plan::{self, Ledger, Plan};
use crate::record::{Deployment, Phase, Trigger};
use crate::render::Digest;
use crate::revision::{ObjectId, Tree};
use crate::schedule::{self, Opening};
use crate::settings::{Existing, Rewind, VerifyMode};
use crate::trust::{self, AllowedSigners};
use chrono::Utc;
use std::sync::Arc;

/// What came of preparing a commit.
pub(super) enum Prepared {
    /// It may not be deployed now.
    Waits(String),
    /// Its rendering is the live one.
    Unchanged { findings: Findings, repertoire: Repertoire },
    /// It can be deployed.
    Ready(Box<Ready>),
}

/// A commit that can be deployed: what it renders to and what has to be done.
pub(super) struct Ready {
    pub(super) rendered: Rendered,
    /// The actions, and what the manifest disarms.
    pub(super) repertoire: Repertoire,
    pub(super) tree: GitTree,
    pub(super) seen: Seen,
    pub(super) plan: Plan,
    pub(super) findings: Findings,
    /// For a rollback: the deployment that it goes back to; edits since then come back too.
    pub(super) edits_since: Option<i64>,
}

/// What would happen, for `plan`, `diff` and `render`.
pub struct Preview {
    /// The commit.
    pub revision: ObjectId,
    /// What it renders to.
    pub rendered: Rendered,
    /// What would be done on this host.
    pub plan: Plan,
    /// What was found on the way.
    pub findings: Findings,
    tree: GitTree,
}

impl Preview {
    /// Returns the bytes that a file of the rendering holds.
    pub fn content(&self, content: &crate::render::Content) -> Result<Vec<u8>, Error> {
        super::observe::bytes(&self.tree, content).map_err(|it| Error::from(crate::host::Error::from(it)))
    }
}

impl ConfigurationDeployer<'_> {
    /// Fetches when asked to, and works out what a sync would do. Writes nothing but the mirror.
    pub fn preview(&self, fetch: bool) -> Result<Preview, Error> {
        let tip = match (fetch, self.store.repository(self.name())?.remote_tip) {
            (false, Some(tip)) => tip,
            _ => self.fetch()?,
        };
        let mut findings = Findings::new();
        let tree = self.mirror.borrow().tree(&tip)?;
        let mut rendered = self.render(&tip, &tree, &mut findings)?;
        let digest = Some(rendered.rendering.digest.clone());
        self.disarm_once(&mut rendered)?;
        let (_, plan) = self.plan(&rendered, &tree, self.was_deployed(&digest)?, &mut findings)?;
        Ok(Preview { revision: tip, rendered, plan, findings, tree })
    }

    /// Walks a commit through every gate; the phase is kept in the record as it goes.
    pub(super) fn prepare(&self, deployment: &mut Deployment, live: Option<&Deployment>) -> Result<Prepared, Error> {
        let tip = deployment.revision.clone();
        if let Some(reason) = self.suspended()? {
            return Ok(Prepared::Waits(reason));
        }
        // It has come as far as the window before: only the window can say something new.
        let waits = Some(self.case(&tip)?);
        if self.store.recall(self.name(), "waits")? == waits
            && let Some(reason) = self.window_closed()?
        {
            return Ok(Prepared::Waits(reason));
        }
        self.enter(deployment, Phase::Verify)?;
        self.trusted(&tip, live).map_err(|it| it.in_phase(Phase::Verify))?;

        self.enter(deployment, Phase::Load)?;
        let mut findings = Findings::new();
        let tree = self.mirror.borrow().tree(&tip)?;
        let mut rendered = self.render(&tip, &tree, &mut findings)?;
        deployment.digest = Some(rendered.rendering.digest.clone());
        deployment.phase = Phase::Render;
        let is_live = live.and_then(|it| it.digest.as_ref()) == Some(&rendered.rendering.digest);
        if is_live {
            self.note_values(deployment, &rendered.configurations)?;
            return Ok(Prepared::Unchanged { findings, repertoire: Repertoire::of(&rendered.rendering) });
        }
        if let Some(held) = self.store.is_quarantined(self.name(), &rendered.rendering.digest)? {
            return Err(Error::new(Phase::Render, quarantined(&held)));
        }
        if let Some(reason) = self.window_closed()? {
            self.store.remember(self.name(), "waits", &self.case(&tip)?)?;
            return Ok(Prepared::Waits(reason));
        }
        self.enter(deployment, Phase::Plan)?;
        let exempt = self.was_deployed(&deployment.digest)?;
        let repertoire = Repertoire::of(&rendered.rendering);
        self.disarm_once(&mut rendered)?;
        let (seen, plan) = self.plan(&rendered, &tree, exempt, &mut findings)?;
        Ok(Prepared::Ready(Box::new(Ready { rendered, repertoire, tree, seen, plan, findings, edits_since: None })))
    }

    /// Judges history and signatures, and remembers the commit as accepted.
    fn trusted(&self, tip: &ObjectId, live: Option<&Deployment>) -> Result<(), Error> {
        self.judge_trust(tip, live)?;
        // What was accepted must be there to be compared with, also when the remote forgets it.
        self.mirror.borrow().pin("accepted", tip)?;
        Ok(self.store.set_accepted(self.name(), tip)?)
    }

    /// Judges history and signatures.
    pub(super) fn judge_trust(&self, tip: &ObjectId, live: Option<&Deployment>) -> Result<(), Error> {
        let accepted = self.store.accepted(self.name())?;
        if let Some(accepted) = &accepted
            && self.repository.rewind == Rewind::Refuse
            && accepted != tip
            && !self.mirror.borrow().is_ancestor(accepted, tip)?
        {
            let message = format!("{} does not contain {}, which was accepted before", tip.short(), accepted.short());
            let hint = "someone rewrote or reset the branch; put it back, or say `rewind: follow` in agent.yaml";
            return Err(Error::new(Phase::Verify, Finding::error(Code::HISTORY_REWOUND, message).hint(hint)));
        }
        let commits = match (self.repository.verify.mode, live) {
            (VerifyMode::Off, _) => Vec::new(),
            (VerifyMode::Tip, _) | (VerifyMode::Range, None) => vec![self.commit(tip)?],
            (VerifyMode::Range, Some(live)) => self.mirror.borrow().between(&live.revision, tip, usize::MAX)?,
        };
        if commits.is_empty() { Ok(()) } else { self.signed(&commits) }
    }

    /// Checks the signature of every commit; an unsigned revert passes when this host made the same object itself.
    fn signed(&self, commits: &[crate::revision::Commit]) -> Result<(), Error> {
        let now = Utc::now().timestamp();
        let mut findings = Findings::new();
        let (file, text) = self.repository.verify.read()?;
        let signers = AllowedSigners::parse(&file, &text, &mut findings);
        for commit in commits {
            match self.mirror.borrow().signature(&commit.id)? {
                Some((armor, payload)) => {
                    if let Err(finding) = trust::verify(&signers, &armor, &payload, now) {
                        findings.push(Finding {
                            message: format!("commit {}: {}", commit.id.short(), finding.message),
                            ..finding
                        });
                    }
                }
                None if self.is_own_revert(commit)? => {}
                None => findings.push(
                    Finding::error(
                        Code::SIG_MISSING,
                        format!("commit {} ({}) is not signed", commit.id.short(), commit.subject()),
                    )
                    .hint("sign it with a key of allowed_signers: git commit -S"),
                ),
            }
        }
        if findings.has_errors() { Err(Error { phase: Phase::Verify, findings }) } else { Ok(()) }
    }

    /// Renders a commit for this host and holds the result against what the host allows.
    pub(super) fn render(
        &self,
        revision: &ObjectId,
        tree: &GitTree,
        findings: &mut Findings,
    ) -> Result<Rendered, Error> {
        let last_change = |paths: &[String]| {
            let found = self.mirror.borrow().last_change(revision, paths);
            found.map_or_else(|_| revision.to_string(), |it| it.to_string())
        };
        let inputs = pipeline::Inputs {
            tree,
            facts: &self.facts,
            secrets: &self.secrets,
            remotes: &AllowedRemotes::new(self.settings, self.repository, false),
            targets: self.repository.targets.as_ref(),
            revision: &last_change,
            on_phase: &|phase| self.pass_through(phase),
        };
        let rendered = pipeline::render(&inputs, findings);
        if let Some(rendered) = &rendered {
            gate::allowed(&rendered.rendering, self.settings, self.repository, findings);
            gate::apart(&rendered.rendering, &self.neighbours()?, findings);
            findings.attach_lines(&|file| text_of(tree, file));
        }
        match rendered {
            Some(rendered) if !findings.has_errors() => Ok(rendered),
            _ => Err(Error { phase: Phase::Render, findings: std::mem::take(findings) }),
        }
    }

    /// Returns the directories in which the host's other repositories have written, with their names.
    fn neighbours(&self) -> Result<Vec<(String, String)>, Error> {
        let mut roots = Vec::new();
        for other in self.settings.repositories.iter().filter(|it| it.name != self.repository.name) {
            roots.extend(self.store.roots(&other.name)?.into_iter().map(|it| (other.name.clone(), it)));
        }
        Ok(roots)
    }

    /// Works out the operations against the ledger and the live files.
    pub(super) fn plan(
        &self,
        rendered: &Rendered,
        tree: &GitTree,
        exempt: bool,
        findings: &mut Findings,
    ) -> Result<(Seen, Plan), Error> {
        let seen = self.look(rendered, tree).map_err(|it| it.in_phase(Phase::Plan))?;
        let ledger = files_of(&seen.ledger);
        let refuse = self.repository.existing == Existing::Refuse;
        let plan = plan::plan(&rendered.rendering, &seen.situation(&ledger, refuse, exempt), findings);
        if !findings.has_errors() {
            let request = request(&plan, &rendered.rendering, &seen.ledger, &seen.accounts);
            self.fit(&request, findings).map_err(|it| it.in_phase(Phase::Plan))?;
        }
        if findings.has_errors() {
            return Err(Error { phase: Phase::Plan, findings: std::mem::take(findings) });
        }
        Ok((seen, plan))
    }

    /// `allow_removal` disarms the mass-deletion guard once: not when the last deployed manifest had it already.
    pub(super) fn disarm_once(&self, rendered: &mut Rendered) -> Result<(), Error> {
        let before = self.repertoire()?.released;
        let rendering = &mut rendered.rendering;
        rendering.released.retain(|it| !before.contains(it));
        for target in &mut rendering.targets {
            target.allow_removal &= !before.contains(&target.path);
        }
        Ok(())
    }

    /// Returns whether this very rendering succeeded here before, so that going back to it is no mass deletion.
    pub(super) fn was_deployed(&self, digest: &Option<Digest>) -> Result<bool, Error> {
        let past = self.store.deployments(Some(self.name()), 1000)?;
        Ok(past.iter().any(|it| it.digest == *digest && it.status.is_live()))
    }

    /// Returns why the repository is suspended, unless it is not.
    pub(super) fn suspended(&self) -> Result<Option<String>, Error> {
        let Some(order) = self.store.suspension(self.name())? else { return Ok(None) };
        if order.is_over(Utc::now().timestamp()) {
            self.store.resume(self.name())?;
            return Ok(None);
        }
        let until = order.until.map_or("until `headfast resume`".to_owned(), |it| format!("until {it}"));
        Ok(Some(format!("suspended by {} {until}: {}", order.author, order.reason)))
    }

    pub(super) fn window_closed(&self) -> Result<Option<String>, Error> {
        Ok(match schedule::opening(&self.repository.windows, Utc::now()) {
            Opening::Open => None,
            Opening::Closed { until: Some(at) } => {
                Some(format!("no deployment window is open; the next opens {}", at.to_rfc3339()))
            }
            Opening::Closed { until: None } => Some("no deployment window is open, and none will be".into()),
        })
    }
}

/// Returns a text file of a revision, for the lines that findings show.
pub(super) fn text_of(tree: &GitTree, file: &str) -> Option<Arc<str>> {
    let entry = tree.find(file).ok()??;
    String::from_utf8(tree.blob(&entry.id).ok()?).ok().map(Arc::from)
}

pub(super) fn quarantined(held: &crate::state::Quarantined) -> Finding {
    let message = format!("this failed here on {} with {}: {}", held.since, held.revision.short(), held.reason);
    Finding::error(Code::QUARANTINED, message)
        .hint("push a commit that renders differently, or say `headfast retry` to try the same again")
}

/// What started a deployment decides whether the commit may be blamed for its failing.
pub(super) fn may_blame(trigger: Trigger) -> bool {
    !matches!(trigger, Trigger::Heal | Trigger::Rollback | Trigger::Restore)
}

/// The ledger without the rows of directories, which no rendering has.
pub(super) fn files_of(ledger: &Ledger) -> Ledger {
    let files = ledger.iter().filter(|(_, row)| row.kind != crate::plan::LiveKind::Directory);
    files.map(|(at, row)| (at.clone(), row.clone())).collect()
}
