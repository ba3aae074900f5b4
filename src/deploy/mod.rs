//! The transaction as one readable function: fetch, judge, render, plan, switch, prove, record, report.
//!
//! [`ConfigurationDeployer::sync`] is one pass. Everything before the switch may say no, and then nothing in a target has
//! changed; everything after it either proves the new files or puts the old ones back.

mod actions;
mod change;
mod error;
mod execute;
mod explain;
mod fit;
mod gate;
mod heal;
mod observe;
mod obstacle;
mod outbox;
mod poison;
mod prepare;
mod recover;
mod remotes;
mod restore;
mod revert;
mod salvage;
mod stuck;
mod undo;
mod values;
#[cfg(test)]
mod tests;

pub use actions::Repertoire;
pub use error::Error;
pub use explain::{Explained, explain};
pub use gate::powers;
pub use heal::Deployed;
pub use obstacle::{Gate, Obstacle};
pub use outbox::Delivered;
pub use prepare::Preview;
pub use restore::kept_content;
pub use salvage::GivenUp;
pub use undo::RollbackTo;

pub use crate::record::{Deployment as DeploymentRecord, DeploymentStatus};

use crate::finding::{Code, Finding, Findings, Verdict};
use crate::git::{Mirror, Remote};
use crate::host::scan::DigestKey;
use crate::host::service::{Client, Way};
use crate::manifest::Facts;
use crate::record::{Changes, Deployment, Failure, KeyChanges, Phase, Trigger};
use crate::revision::{Commit, ObjectId};
use crate::secrets::SecretManager;
use crate::settings::{DEFAULT_PATH, Repository, Settings, VerifyMode, Wanted};
use crate::state::{Retention, Store};
use chrono::{SecondsFormat, TimeDelta, Utc};
use prepare::Prepared;
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// How long copies of drifted files are kept.
const KEPT_FOR: TimeDelta = TimeDelta::days(90);

/// So many copies of drifted files stay however old they are.
const COPIES_MIN: usize = 100;

/// The most bytes that the copies of drifted files may take.
const COPIES_BYTES: u64 = 1 << 30;

/// The most deployments that are remembered of a repository; those that something hangs on come on top.
const DEPLOYMENTS_MAX: usize = 1000;

/// Brings one repository's revisions to this host.
pub struct ConfigurationDeployer<'a> {
    settings: &'a Settings,
    repository: &'a Repository,
    store: &'a Store,
    /// Fetching may put a new mirror in the place of a damaged one.
    mirror: RefCell<Mirror>,
    remote: Remote,
    facts: Facts,
    secrets: SecretManager,
    key: DigestKey,
    client: Client,
    on_phase: &'a dyn Fn(Phase),
    /// What is being tried, and the phase that has begun.
    attempting: Cell<Option<(String, Phase)>>,
}

/// What one pass came to.
#[derive(Clone, Debug)]
pub struct ConfigDeployment {
    /// The tip of what the host follows.
    pub revision: ObjectId,
    /// The record of the attempt; `None` when there was nothing to do.
    pub deployment: Option<Deployment>,
    /// What was found on the way, warnings included.
    pub findings: Findings,
    /// What a person should know besides, one sentence each.
    pub notes: Vec<String>,
}

impl ConfigDeployment {
    /// Returns what the outcome means for the caller; `None` when all is well.
    pub fn verdict(&self) -> Option<Verdict> {
        match self.deployment.as_ref().map(|it| it.status) {
            Some(DeploymentStatus::RolledBack) => Some(Verdict::RolledBack),
            Some(DeploymentStatus::Failed | DeploymentStatus::Refused) => {
                Some(self.findings.verdict().unwrap_or(Verdict::Failed))
            }
            _ => self.findings.verdict(),
        }
    }
}

/// Makes one pass for one repository of an agent.yaml: what `headfast sync` does.
pub fn deploy_configuration(
    settings: &Settings,
    repository: &str,
    trigger: Trigger,
) -> Result<ConfigDeployment, Error> {
    let found = settings.repositories.iter().find(|it| it.name == repository).ok_or_else(|| {
        Error::new(Phase::Load, Finding::error(Code::NOT_FOUND, format!("agent.yaml has no repository {repository:?}")))
    })?;
    let store = Store::open(&settings.state_dir, "deploy_configuration")?;
    ConfigurationDeployer::new(settings, found, &store, &|_| {})?.sync(trigger)
}

impl<'a> ConfigurationDeployer<'a> {
    /// Opens what a pass needs: the mirror, the identities, the host's key.
    pub fn new(
        settings: &'a Settings,
        repository: &'a Repository,
        store: &'a Store,
        on_phase: &'a dyn Fn(Phase),
    ) -> Result<Self, Error> {
        let secrets = secrets_of(repository)?;
        let mirror = Mirror::open(&settings.state_dir.join("mirror").join(&repository.name))?;
        Ok(ConfigurationDeployer {
            settings,
            repository,
            store,
            mirror: RefCell::new(mirror),
            remote: remote_of(repository),
            facts: settings.facts(repository),
            secrets,
            client: client_of(settings, repository, store),
            key: DigestKey::new(store.host_key()),
            on_phase,
            attempting: Cell::default(),
        })
    }

    /// Returns who looks at targets and changes them.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the repository's name in agent.yaml.
    pub fn name(&self) -> &str {
        &self.repository.name
    }

    /// Returns the store.
    pub fn store(&self) -> &'a Store {
        self.store
    }

    /// One pass, from fetch to report.
    pub fn sync(&self, trigger: Trigger) -> Result<ConfigDeployment, Error> {
        let mut notes: Vec<String> = self.recover()?.into_iter().collect();
        let tip = self.fetch()?;
        let made = self.make_live(&tip, trigger);
        self.survived()?;
        let mut result = made?;
        self.end_waiting(result.deployment.as_ref())?;
        if let Some(note) = self.revert_when_due()? {
            notes.push(note);
        }
        (self.on_phase)(Phase::Report);
        notes.append(&mut result.notes);
        notes.extend(self.deliver()?.problems);
        if result.deployment.is_some() {
            self.tidy()?;
        }
        Ok(ConfigDeployment { notes, ..result })
    }

    /// Forgets what is too old or too much to be remembered.
    fn tidy(&self) -> Result<(), Error> {
        let before = (Utc::now() - KEPT_FOR).to_rfc3339_opts(SecondsFormat::Millis, true);
        let limits = Retention { before, copies: COPIES_MIN, bytes: COPIES_BYTES, deployments: DEPLOYMENTS_MAX };
        self.store.tidy(self.name(), &limits)?;
        Ok(())
    }

    /// Asks the remote for its tip, and remembers when that last went well.
    pub fn fetch(&self) -> Result<ObjectId, Error> {
        (self.on_phase)(Phase::Fetch);
        let fetched = self.fetch_wanted();
        let now = Utc::now().timestamp();
        match fetched {
            Ok(tip) => {
                self.store.fetched(self.name(), &tip, now)?;
                self.store.set_failures(self.name(), 0, None)?;
                Ok(tip)
            }
            Err(error) => {
                let failures = self.store.repository(self.name())?.consecutive_failures.saturating_add(1);
                self.store.set_failures(self.name(), failures, None)?;
                Err(error.into())
            }
        }
    }

    /// Fetches what agent.yaml asks for and returns its commit.
    fn fetch_wanted(&self) -> Result<ObjectId, crate::git::Error> {
        let mut mirror = self.mirror.borrow_mut();
        match &self.repository.wanted {
            Wanted::Branch(branch) => mirror.fetch(&self.remote, branch),
            Wanted::Tag(pattern) => mirror.fetch_tag(&self.remote, pattern).map(|(_, commit)| commit),
            Wanted::Commit(commit) => mirror.fetch_commit(&self.remote, commit).map(|()| commit.clone()),
        }
    }

    /// Makes a commit live, unless it is already, or something says no.
    fn make_live(&self, tip: &ObjectId, trigger: Trigger) -> Result<ConfigDeployment, Error> {
        let live = self.store.live(self.name())?;
        let facts = self.facts_digest();
        if live.as_ref().is_some_and(|it| it.revision == *tip)
            && self.store.recall(self.name(), "facts")?.as_deref() == Some(&facts)
        {
            return Ok(in_sync(tip));
        }
        if let Some(failure) = self.judged(tip, trigger)? {
            let findings = [failure].into_iter().collect();
            return Ok(ConfigDeployment { revision: tip.clone(), deployment: None, findings, notes: Vec::new() });
        }
        let mut deployment = self.attempt(tip, trigger, live.as_ref());
        if let Some(error) = self.set_aside(&deployment)? {
            let (revision, findings) = (deployment.revision, error.findings);
            return Ok(ConfigDeployment { revision, deployment: None, findings, notes: Vec::new() });
        }
        if let Some(finding) = self.poisoned(&deployment)? {
            return self.end_crashed(deployment, finding);
        }
        let mut prepared = self.prepare(&mut deployment, live.as_ref());
        if prepared.is_err() && self.mirror.borrow().needs_renewal() {
            // The mirror is a cache: what could not be read in it is fetched anew, and judged then.
            self.fetch()?;
            prepared = self.prepare(&mut deployment, live.as_ref());
        }
        match prepared {
            // Its failing was recorded and reported when it happened; saying it again would hide why.
            Err(error) if error.is_quarantined() => {
                self.hold(tip)?;
                self.note_verdict(&deployment, DeploymentStatus::Refused, &error.failure())?;
                let (revision, findings) = (deployment.revision, error.findings);
                Ok(ConfigDeployment { revision, deployment: None, findings, notes: Vec::new() })
            }
            Err(error) => self.end_early(deployment, error),
            Ok(Prepared::Waits(reason)) => self.wait(deployment, reason),
            Ok(Prepared::Unchanged { findings, repertoire }) => self.advance(deployment, findings, &repertoire, &facts),
            Ok(Prepared::Ready(ready)) => self.carry_out(deployment, *ready),
        }
    }

    /// Remembers that a commit is held by a quarantine. One that renders to what failed before, without being the commit that
    /// failed, has failed with it: the branch would stay bad for ever, so a revert is due, once.
    fn hold(&self, tip: &ObjectId) -> Result<(), Error> {
        let is_new = self.store.recall(self.name(), "held")?.as_deref() != Some(tip.as_str());
        let failed_itself = self.store.quarantined(self.name())?.iter().any(|it| it.revision == *tip);
        if is_new && !failed_itself {
            self.store.remember(self.name(), "revert", tip.as_str())?;
        }
        Ok(self.store.remember(self.name(), "held", tip.as_str())?)
    }

    /// Returns the record of an attempt that begins now; it is not in the store yet.
    fn attempt(&self, revision: &ObjectId, trigger: Trigger, live: Option<&Deployment>) -> Deployment {
        Deployment {
            id: 0,
            repository: self.name().to_owned(),
            environment: self.repository.environment.clone(),
            revision: revision.clone(),
            digest: None,
            status: DeploymentStatus::InProgress,
            phase: Phase::Verify,
            trigger,
            started_at: now_text(),
            finished_at: None,
            changes: Changes::default(),
            keys: KeyChanges::default(),
            error: None,
            kept: Vec::new(),
            log: Vec::new(),
            previous: live.map(|it| it.id),
        }
    }

    /// Records an attempt that ended before the switch. The same refusal of the same commit is recorded and reported once.
    fn end_early(&self, mut deployment: Deployment, error: Error) -> Result<ConfigDeployment, Error> {
        deployment.phase = error.phase;
        deployment.status = match error.verdict() {
            Verdict::Invalid | Verdict::Refused => DeploymentStatus::Refused,
            _ => DeploymentStatus::Failed,
        };
        deployment.error = Some(error.failure());
        deployment.finished_at = Some(now_text());
        match (deployment.id, self.repeats(&deployment)?) {
            (0, Some(id)) => deployment.id = id,
            (0, None) => self.begin(&mut deployment)?,
            _ => self.save(&deployment)?,
        }
        self.note_verdict(&deployment, deployment.status, &error.failure())?;
        Ok(ConfigDeployment {
            revision: deployment.revision.clone(),
            deployment: Some(deployment),
            findings: error.findings,
            notes: Vec::new(),
        })
    }

    /// Remembers what came of a commit, so that a poll which finds nothing new does not render it again.
    fn note_verdict(&self, deployment: &Deployment, status: DeploymentStatus, failure: &Failure) -> Result<(), Error> {
        if prepare::may_blame(deployment.trigger) {
            let case = self.case(&deployment.revision)?;
            let verdict = serde_json::to_string(&Judged { case, status, failure: failure.clone() }).unwrap_or_default();
            self.store.remember(self.name(), "verdict", &verdict)?;
        }
        Ok(())
    }

    /// Returns why nothing is tried now: a commit that was refused is judged again when it is another, or when a person
    /// says so; one that something got in the way of also at the next poll, which backs off.
    fn judged(&self, tip: &ObjectId, trigger: Trigger) -> Result<Option<Finding>, Error> {
        let Some((status, failure)) = self.judged_as(tip)? else { return Ok(None) };
        let again = match trigger {
            Trigger::Poll => status != DeploymentStatus::Refused,
            Trigger::Push | Trigger::Webhook => false,
            _ => true,
        };
        if again {
            return Ok(None);
        }
        let code = Code::named(&failure.code).unwrap_or(Code::IO);
        Ok(Some(Finding::error(code, failure.message)))
    }

    /// Returns what came of a commit when it was last judged, if that still holds.
    fn judged_as(&self, tip: &ObjectId) -> Result<Option<(DeploymentStatus, Failure)>, Error> {
        let text = self.store.recall(self.name(), "verdict")?;
        let Some(Judged { case, status, failure }) = text.and_then(|it| serde_json::from_str(&it).ok()) else {
            return Ok(None);
        };
        Ok((case == self.case(tip)?).then_some((status, failure)))
    }

    /// Returns a digest of all that a verdict about a commit turns on, but what lies in its targets: reading it costs nothing.
    fn case(&self, commit: &ObjectId) -> Result<String, Error> {
        let verify = &self.repository.verify;
        let signers = match verify.mode {
            VerifyMode::Off => String::new(),
            // What cannot be read is a verdict as well.
            _ => verify.read().map_or_else(|it| it.to_string(), |it| it.1),
        };
        let (accepted, recipients) = (self.store.accepted(self.name())?, self.secrets.recipients());
        let host = (self.repository.rewind, self.repository.existing, verify.mode);
        let text = format!("{commit} {} {accepted:?} {host:?} {recipients:?} {signers}", self.facts_digest());
        Ok(self.key.of(text.as_bytes()).0)
    }

    /// Returns the number of the newest record, when it says the same already. What healed or went back between two tries
    /// of one commit makes no difference to what is said of it.
    fn repeats(&self, deployment: &Deployment) -> Result<Option<i64>, Error> {
        let is_of_kind = |it: &Deployment| prepare::may_blame(it.trigger) == prepare::may_blame(deployment.trigger);
        let last = self.store.deployments(Some(self.name()), DEPLOYMENTS_MAX)?.into_iter().find(is_of_kind);
        let same = last.filter(|it| {
            (&it.revision, it.status, &it.error) == (&deployment.revision, deployment.status, &deployment.error)
        });
        Ok(same.map(|it| it.id))
    }

    fn wait(&self, mut deployment: Deployment, reason: String) -> Result<ConfigDeployment, Error> {
        deployment.status = DeploymentStatus::Pending;
        deployment.error = Some(Failure { code: Code::SUSPENDED.name.into(), message: reason.clone() });
        deployment.log.push(reason.clone());
        let waiting = self.store.pending(self.name())?.into_iter().find(|it| it.revision == deployment.revision);
        match waiting {
            Some(it) if it.error == deployment.error => deployment = it,
            Some(it) => {
                deployment.id = it.id;
                self.save(&deployment)?;
            }
            None => self.begin(&mut deployment)?,
        }
        Ok(ConfigDeployment {
            revision: deployment.revision.clone(),
            deployment: Some(deployment),
            findings: Findings::new(),
            notes: vec![reason],
        })
    }

    /// Ends the records of deployments that waited and were overtaken: after a pass only its own may wait.
    fn end_waiting(&self, newest: Option<&Deployment>) -> Result<(), Error> {
        for mut waiting in self.store.pending(self.name())? {
            if newest.is_some_and(|it| it.id == waiting.id) {
                continue;
            }
            waiting.status = DeploymentStatus::Superseded;
            waiting.finished_at = Some(now_text());
            waiting.log.push(match newest {
                Some(newest) => format!("overtaken by deployment {}", newest.id),
                None => "overtaken by what is live".to_owned(),
            });
            // What is said of a commit that went on is said by the deployment with which it did.
            match newest.is_some_and(|it| it.revision == waiting.revision) {
                true => self.store.save(&waiting)?,
                false => self.save(&waiting)?,
            }
        }
        Ok(())
    }

    /// Records a commit whose rendering is live already: the deployed revision advances, no file is touched.
    fn advance(
        &self,
        mut deployment: Deployment,
        findings: Findings,
        repertoire: &Repertoire,
        facts: &str,
    ) -> Result<ConfigDeployment, Error> {
        deployment.status = DeploymentStatus::Unchanged;
        deployment.phase = Phase::Record;
        deployment.finished_at = Some(now_text());
        self.mirror.borrow().pin("live", &deployment.revision)?;
        self.remember(repertoire, facts)?;
        self.begin(&mut deployment)?;
        let revision = deployment.revision.clone();
        Ok(ConfigDeployment { revision, deployment: Some(deployment), findings, notes: Vec::new() })
    }

    /// Remembers what the live revision runs, and for which facts.
    fn remember(&self, repertoire: &Repertoire, facts: &str) -> Result<(), crate::state::Error> {
        let repertoire = serde_json::to_string(repertoire).unwrap_or_default();
        self.store.remember(self.name(), "repertoire", &repertoire)?;
        self.store.remember(self.name(), "facts", facts)
    }

    /// Returns what the live revision runs.
    fn repertoire(&self) -> Result<Repertoire, Error> {
        let text = self.store.recall(self.name(), "repertoire")?;
        Ok(text.and_then(|it| serde_json::from_str(&it).ok()).unwrap_or_default())
    }

    /// Returns a digest of all that a rendering depends on besides the revision, and of this program's version.
    fn facts_digest(&self) -> String {
        let targets = self.repository.targets.as_ref().map(crate::document::Node::to_json);
        let text = format!("{} {:?} {targets:?} {:?}", env!("CARGO_PKG_VERSION"), self.facts, self.repository.allow);
        self.key.of(text.as_bytes()).0
    }

    fn commit(&self, id: &ObjectId) -> Result<Commit, Error> {
        Ok(self.mirror.borrow().commit(id)?)
    }
}

/// What came of a commit, in which case.
#[derive(serde::Serialize, serde::Deserialize)]
struct Judged {
    case: String,
    status: DeploymentStatus,
    failure: Failure,
}

/// The program that is started as the transaction process; unset, everything happens in this one.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Where systemd listens for the transaction process of an installed agent.
const SOCKET: &str = "/run/headfast/transaction.sock";

/// Says that transactions shall run in a process of their own, which is started as `PROGRAM transaction --config FILE`. For
/// programs that have that verb, at their start; a second call changes nothing.
pub fn start_processes_with(program: PathBuf) {
    let _only_the_first_counts = PROGRAM.set(program);
}

/// Returns who looks at a repository's targets, for whoever needs no mirror.
pub fn client_of(settings: &Settings, repository: &Repository, store: &Store) -> Client {
    Client::new(way(settings), &repository.name, DigestKey::new(store.host_key()))
}

/// Returns how a host's transaction process is reached: an installed agent that is not root asks the one that systemd
/// starts, everyone else starts one of his own.
fn way(settings: &Settings) -> Way {
    let Some(program) = PROGRAM.get() else { return Way::Here(gate::powers(settings)) };
    let is_installed = settings.path == Path::new(DEFAULT_PATH) && Path::new(SOCKET).exists();
    match is_installed && !rustix::process::geteuid().is_root() {
        true => Way::Socket(SOCKET.into()),
        false => Way::Child { program: program.clone(), config: settings.path.clone() },
    }
}

fn in_sync(tip: &ObjectId) -> ConfigDeployment {
    ConfigDeployment { revision: tip.clone(), deployment: None, findings: Findings::new(), notes: Vec::new() }
}

/// Returns this moment as RFC 3339 in UTC with milliseconds.
pub(crate) fn now_text() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn remote_of(repository: &Repository) -> Remote {
    let auth = &repository.auth;
    Remote {
        url: repository.url.clone(),
        auth: crate::git::Credentials {
            ssh_key: auth.ssh_key.clone(),
            known_hosts: auth.known_hosts.clone(),
            token_file: auth.token_file.clone(),
            username: auth.username.clone(),
            ca_file: auth.ca_file.clone(),
            environment: crate::settings::transport_environment(),
        },
        deadline: std::time::Duration::from_secs(300),
    }
}

fn secrets_of(repository: &Repository) -> Result<SecretManager, Error> {
    let texts = repository.age.read()?;
    SecretManager::new(&texts).map_err(|finding| Error::new(Phase::Load, finding))
}
