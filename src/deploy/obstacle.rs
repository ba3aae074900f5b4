//! What keeps a commit from being live: every gate is asked again, in the order in which a pass asks, and nothing is written.

use super::prepare::{may_blame, quarantined};
use super::{ConfigurationDeployer, DEPLOYMENTS_MAX, Error};
use crate::finding::{Code, Findings, Verdict};
use crate::git;
use crate::record::{Deployment, DeploymentStatus, Phase, Trigger};
use crate::revision::ObjectId;
use crate::rollback;
use crate::settings::Wanted;
use crate::state::Quarantined;
use chrono::{DateTime, SecondsFormat, Utc};

/// What can stand between a commit and the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Nothing: it is live.
    Live,
    /// Nothing: what is live contains it.
    Contained,
    /// A newer commit took it back.
    Reverted,
    /// It was not fetched, or is no commit.
    NotFetched,
    /// It is not on what the host follows.
    NotFollowed,
    /// A newer commit comes first.
    Overtaken,
    /// It ended the agent too often.
    Crashed,
    /// Someone said so.
    Suspended,
    /// The branch was rewound.
    History,
    /// It is not signed as the host wants it.
    Signature,
    /// It cannot be rendered.
    Content,
    /// A policy denies it.
    Policy,
    /// The host does not allow it.
    NotAllowed,
    /// Its rendering failed here before.
    Quarantined,
    /// No deployment window is open.
    Window,
    /// It would remove too much.
    MassDelete,
    /// Something on the host is in the way.
    Host,
    /// A check said no.
    Check,
    /// Nothing: the next pass deploys it.
    None,
}

impl Gate {
    /// Returns the gate's name as the JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Gate::Live => "live",
            Gate::Contained => "contained",
            Gate::Reverted => "reverted",
            Gate::NotFetched => "not_fetched",
            Gate::NotFollowed => "not_followed",
            Gate::Overtaken => "overtaken",
            Gate::Crashed => "crashed",
            Gate::Suspended => "suspended",
            Gate::History => "history",
            Gate::Signature => "signature",
            Gate::Content => "content",
            Gate::Policy => "policy",
            Gate::NotAllowed => "not_allowed",
            Gate::Quarantined => "quarantined",
            Gate::Window => "window",
            Gate::MassDelete => "mass_delete",
            Gate::Host => "host",
            Gate::Check => "check",
            Gate::None => "none",
        }
    }

    /// Returns the gate at which an error of a phase stands.
    fn of(error: &Error) -> Gate {
        let has = |code: Code| error.findings.iter().any(|it| it.code == code);
        match error.phase {
            _ if has(Code::HISTORY_REWOUND) => Gate::History,
            _ if has(Code::MASS_DELETE) => Gate::MassDelete,
            _ if has(Code::POLICY) => Gate::Policy,
            Phase::Verify => Gate::Signature,
            _ if error.verdict() == Verdict::Invalid => Gate::Content,
            _ if error.verdict() == Verdict::Refused => Gate::NotAllowed,
            _ => Gate::Host,
        }
    }

    /// Returns what to do about a gate whose own words do not say it.
    fn cure(self) -> &'static str {
        match self {
            Gate::Signature => "sign the commit with a key of allowed_signers and push it again",
            Gate::Content => "push a commit that mends this; `headfast check` in a checkout says the same",
            Gate::Policy => "push a commit that the policy lets through",
            Gate::NotAllowed => "change the commit, or `allow` in agent.yaml",
            Gate::MassDelete => "push a commit with `allow_removal: [TARGET]`, when the removal is meant",
            Gate::Host => "mend the host; every pass tries again",
            Gate::Check => "push a commit that the check lets through, or say `headfast sync` to ask it again",
            _ => "",
        }
    }
}

/// Why a commit is not live.
#[derive(Clone, Debug)]
pub struct Obstacle {
    /// The commit; `None` when none is known by that name.
    pub revision: Option<ObjectId>,
    /// What stands in the way.
    pub gate: Gate,
    /// The error that a pass ends with, if any.
    pub code: Option<&'static str>,
    /// Why, in a sentence without secrets.
    pub reason: String,
    /// Since when, RFC 3339; `None` when nobody tried yet.
    pub since: Option<String>,
    /// What would let it through.
    pub unblock: Option<String>,
    /// Every mistake, when it is one of the commit's.
    pub findings: Findings,
    /// What stands in the way of the commit that comes first.
    pub first: Option<Box<Obstacle>>,
}

impl Obstacle {
    fn new(gate: Gate, reason: String) -> Obstacle {
        Obstacle {
            revision: None,
            gate,
            code: None,
            reason,
            since: None,
            unblock: None,
            findings: Findings::new(),
            first: None,
        }
    }

    fn of(self, revision: &ObjectId) -> Obstacle {
        Obstacle { revision: Some(revision.clone()), ..self }
    }

    fn since(self, time: impl Into<Option<String>>) -> Obstacle {
        Obstacle { since: time.into(), ..self }
    }

    fn unblock(self, text: impl Into<String>) -> Obstacle {
        Obstacle { unblock: Some(text.into()), ..self }
    }

    fn code(self, code: Code) -> Obstacle {
        Obstacle { code: Some(code.name), ..self }
    }
}

impl ConfigurationDeployer<'_> {
    /// Says what keeps a commit from being live: the newest that was fetched, or one by its id.
    pub fn obstacle(&self, wanted: Option<&str>) -> Result<Obstacle, Error> {
        let state = self.store.repository(self.name())?;
        let followed = followed(&self.repository.wanted);
        let Some(tip) = state.remote_tip else {
            let reason = match state.consecutive_failures {
                0 => "nothing was fetched yet".to_owned(),
                n => format!("nothing was fetched yet: the last {n} tries failed"),
            };
            return Ok(Obstacle::new(Gate::NotFetched, reason)
                .unblock("say `headfast sync`: it fetches, or says why it cannot"));
        };
        let fetched = state.last_fetch_ok.and_then(time_text);
        let resolved = match wanted {
            Some(text) if text != "head" => self.mirror.borrow().resolve(text),
            _ => Ok(tip.clone()),
        };
        let revision = match resolved {
            Ok(revision) => revision,
            Err(git::Error::NotFound { text }) => {
                let when = fetched.as_ref().map_or(String::new(), |it| format!(" on {it}"));
                let failures = match state.consecutive_failures {
                    0 => String::new(),
                    n => format!(", and the {n} tries since then failed"),
                };
                let reason = format!("no commit {text:?} came with the last fetch{when}{failures}");
                return Ok(Obstacle::new(Gate::NotFetched, reason)
                    .unblock(format!("push it to {followed}, then say `headfast sync`")));
            }
            Err(error) => return Err(error.into()),
        };
        let live = self.store.live(self.name())?;
        if let Some(live) = &live
            && let Some(past) = self.past(&revision, live)?
        {
            return Ok(past);
        }
        if revision == tip {
            return self.obstacle_of_tip(&tip, live.as_ref());
        }
        if !self.mirror.borrow().is_ancestor(&revision, &tip)? {
            let reason = format!("it is not on {followed}, whose newest commit is {}", tip.short());
            return Ok(Obstacle::new(Gate::NotFollowed, reason)
                .of(&revision)
                .since(fetched)
                .unblock(format!("merge it into {followed}")));
        }
        if let Some(reverted) = self.reverted(&revision, &tip)? {
            return Ok(reverted);
        }
        let first = match live.as_ref().is_some_and(|it| it.revision == tip) {
            true => None,
            false => Some(Box::new(self.obstacle_of_tip(&tip, live.as_ref())?)),
        };
        let reason =
            format!("{} is newer: only the newest commit is deployed, and it brings this one along", tip.short());
        Ok(Obstacle { first, ..Obstacle::new(Gate::Overtaken, reason).of(&revision) })
    }

    /// Returns what became of a commit that is live, or a part of what is live.
    fn past(&self, revision: &ObjectId, live: &Deployment) -> Result<Option<Obstacle>, Error> {
        if live.revision == *revision {
            let reason = format!("deployment {} brought it here", live.id);
            return Ok(Some(Obstacle::new(Gate::Live, reason).of(revision).since(live.finished_at.clone())));
        }
        if !self.mirror.borrow().is_ancestor(revision, &live.revision)? {
            return Ok(None);
        }
        if let Some(reverted) = self.reverted(revision, &live.revision)? {
            return Ok(Some(reverted));
        }
        let reason = format!("it is a part of {}, which is live", live.revision.short());
        Ok(Some(Obstacle::new(Gate::Contained, reason).of(revision).since(live.finished_at.clone())))
    }

    /// Returns the newest commit that says that it takes another back.
    fn reverted(&self, revision: &ObjectId, tip: &ObjectId) -> Result<Option<Obstacle>, Error> {
        let newer = self.mirror.borrow().between(revision, tip, DEPLOYMENTS_MAX)?;
        let words = format!("This reverts commit {revision}");
        let is_revert =
            |it: &&crate::revision::Commit| rollback::is_revert_of(it, revision) || it.message.contains(&words);
        Ok(newer.iter().find(is_revert).map(|it| {
            Obstacle::new(Gate::Reverted, format!("{} took it back: {}", it.id.short(), it.subject()))
                .of(revision)
                .since(time_text(it.time))
                .unblock(format!("push it anew, mended; `git revert {}` brings it back as it was", it.id.short()))
        }))
    }

    /// Asks every gate of a pass about the newest commit.
    fn obstacle_of_tip(&self, tip: &ObjectId, live: Option<&Deployment>) -> Result<Obstacle, Error> {
        let attempt = self.attempt(tip, Trigger::Manual, live);
        if let Some(held) = self.store.is_quarantined(self.name(), &crate::render::Digest(self.subject(&attempt)))? {
            return Ok(held_back(Gate::Crashed, tip, &held));
        }
        if let Some(order) = self.store.suspension(self.name())?.filter(|it| !it.is_over(Utc::now().timestamp())) {
            let reason = format!("{} suspended deployments: {}", order.author, order.reason);
            let until = order.until.map(|it| format!(", or wait until {it}")).unwrap_or_default();
            return Ok(Obstacle::new(Gate::Suspended, reason)
                .of(tip)
                .code(Code::SUSPENDED)
                .since(order.since)
                .unblock(format!("say `headfast resume`{until}")));
        }
        match self.judge(tip, live) {
            Ok(obstacle) => Ok(obstacle),
            Err(error) => self.refused(tip, error),
        }
    }

    /// Walks the newest commit through trust, rendering and plan.
    fn judge(&self, tip: &ObjectId, live: Option<&Deployment>) -> Result<Obstacle, Error> {
        self.judge_trust(tip, live).map_err(|it| it.in_phase(Phase::Verify))?;
        let mut findings = Findings::new();
        let tree = self.mirror.borrow().tree(tip)?;
        let mut rendered = self.render(tip, &tree, &mut findings)?;
        let digest = rendered.rendering.digest.clone();
        if live.and_then(|it| it.digest.as_ref()) == Some(&digest) {
            let reason = "it renders to what is live; the next pass notes that and touches no file".to_owned();
            return Ok(Obstacle::new(Gate::None, reason).of(tip).unblock(self.next_pass()));
        }
        if let Some(held) = self.store.is_quarantined(self.name(), &digest)? {
            return Ok(held_back(Gate::Quarantined, tip, &held));
        }
        if let Some(reason) = self.window_closed()? {
            let waiting = self.store.pending(self.name())?.into_iter().find(|it| it.revision == *tip);
            return Ok(Obstacle::new(Gate::Window, reason)
                .of(tip)
                .since(waiting.map(|it| it.started_at))
                .unblock("wait for the window, or change `windows` in agent.yaml"));
        }
        let exempt = self.was_deployed(&Some(digest))?;
        self.disarm_once(&mut rendered)?;
        self.plan(&rendered, &tree, exempt, &mut findings)?;
        self.tried(tip)
    }

    /// Returns what came of the last try, when nothing else is in the way.
    fn tried(&self, tip: &ObjectId) -> Result<Obstacle, Error> {
        let last = self.judged_as(tip)?;
        let Some((status, failure)) = last else {
            let reason = "nothing keeps it; it was not tried yet".to_owned();
            return Ok(Obstacle::new(Gate::None, reason).of(tip).unblock(self.next_pass()));
        };
        let code = Code::named(&failure.code).unwrap_or(Code::IO);
        let gate = match status {
            _ if code == Code::CHECK => Gate::Check,
            DeploymentStatus::Refused => Gate::NotAllowed,
            _ => Gate::Host,
        };
        let unblock = match status {
            DeploymentStatus::Refused if gate != Gate::Check => {
                "what was in the way is gone; it is judged again when you say `headfast sync`"
            }
            _ => gate.cure(),
        };
        Ok(Obstacle::new(gate, failure.message).of(tip).code(code).since(self.since(tip, code)?).unblock(unblock))
    }

    fn refused(&self, tip: &ObjectId, error: Error) -> Result<Obstacle, Error> {
        let gate = Gate::of(&error);
        let failure = error.failure();
        let code = error.findings.iter().map(|it| it.code).find(|it| it.name == failure.code).unwrap_or(Code::IO);
        let hint = error.findings.iter().filter(|it| it.code == code).find_map(|it| it.hint.clone());
        let since = self.since(tip, code)?;
        let unblock = hint.unwrap_or_else(|| gate.cure().to_owned());
        let obstacle = Obstacle::new(gate, failure.message).of(tip).code(code).since(since).unblock(unblock);
        Ok(Obstacle { findings: error.findings, ..obstacle })
    }

    /// Returns when a commit first failed as it did last.
    fn since(&self, revision: &ObjectId, code: Code) -> Result<Option<String>, Error> {
        let past = self.store.deployments(Some(self.name()), DEPLOYMENTS_MAX)?;
        let tries = past.into_iter().filter(|it| it.revision == *revision && may_blame(it.trigger));
        let same = tries.take_while(|it| it.error.as_ref().is_some_and(|it| it.code == code.name));
        Ok(same.last().map(|it| it.started_at))
    }

    fn next_pass(&self) -> String {
        match self.repository.poll {
            Some(every) => format!("say `headfast sync`, or let the agent poll, every {} s", every.as_secs()),
            None => "say `headfast sync`".to_owned(),
        }
    }
}

fn held_back(gate: Gate, tip: &ObjectId, held: &Quarantined) -> Obstacle {
    let finding = quarantined(held);
    let obstacle = Obstacle::new(gate, finding.message).of(tip).code(finding.code).since(held.since.clone());
    Obstacle { unblock: finding.hint, ..obstacle }
}

fn followed(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Branch(branch) => format!("the branch {branch}"),
        Wanted::Tag(pattern) => format!("a tag {pattern}"),
        Wanted::Commit(commit) => format!("the commit {}, which agent.yaml names", commit.short()),
    }
}

fn time_text(seconds: i64) -> Option<String> {
    DateTime::from_timestamp(seconds, 0).map(|it| it.to_rfc3339_opts(SecondsFormat::Secs, true))
}
