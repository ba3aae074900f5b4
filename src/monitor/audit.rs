//! How each repository of a host stands, read from the state alone.

use super::drift::drift_count;
use crate::record::{Deployment, DeploymentStatus};
use crate::revision::ObjectId;
use crate::settings::{Repository, Settings};
use crate::state::{Error, Store, Suspension};
use std::time::Duration;

/// A repository is stale when its remote has not answered for this long, and for ten polls.
const STALE_AFTER: Duration = Duration::from_secs(3600);

/// How a repository stands, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// What the remote has is live.
    InSync,
    /// The remote has something newer, which is not deployed yet.
    Pending,
    /// The remote has not answered for long: what it has is not known.
    Stale,
    /// Live files are not what was deployed.
    Drifted,
    /// The newest revision was refused, or could not be deployed.
    Failed,
    /// The newest revision failed here and is not tried again.
    Quarantined,
}

impl State {
    /// Returns the state's name as the JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::InSync => "in_sync",
            State::Pending => "pending",
            State::Stale => "stale",
            State::Drifted => "drifted",
            State::Failed => "failed",
            State::Quarantined => "quarantined",
        }
    }
}

/// How one repository stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name in agent.yaml.
    pub name: String,
    /// The environment.
    pub environment: String,
    /// The tip that the last fetch found.
    pub head: Option<ObjectId>,
    /// The commit that is live.
    pub revision: Option<ObjectId>,
    /// All of it in one word.
    pub state: State,
    /// How many files had drifted when they were last looked at.
    pub drift_count: u64,
    /// Why nothing is deployed now.
    pub suspended: Option<Suspension>,
    /// The newest deployment.
    pub last_deployment: Option<Deployment>,
}

/// How all repositories of a host stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigAudit {
    /// The host's name.
    pub host: String,
    /// By repository, in the order of agent.yaml.
    pub standings: Vec<Standing>,
}

impl ConfigAudit {
    /// Reads the state; `now` is in seconds since the epoch. Without a state nothing was deployed yet.
    pub fn of(settings: &Settings, store: Option<&Store>, now: i64) -> Result<ConfigAudit, Error> {
        let standings = settings.repositories.iter().map(|it| standing(it, store, now)).collect::<Result<_, _>>()?;
        Ok(ConfigAudit { host: settings.host.clone(), standings })
    }

    /// Returns the worst state of all.
    pub fn worst(&self) -> State {
        self.standings.iter().map(|it| it.state).max().unwrap_or(State::InSync)
    }
}

fn standing(repository: &Repository, store: Option<&Store>, now: i64) -> Result<Standing, Error> {
    let mut standing = Standing {
        name: repository.name.clone(),
        environment: repository.environment.clone(),
        head: None,
        revision: None,
        state: State::Pending,
        drift_count: 0,
        suspended: None,
        last_deployment: None,
    };
    let Some(store) = store else { return Ok(standing) };
    let known = store.repository(&repository.name)?;
    let live = store.live(&repository.name)?;
    standing.last_deployment = store.deployments(Some(&repository.name), 1)?.into_iter().next();
    standing.suspended = store.suspension(&repository.name)?.filter(|it| !it.is_over(now));
    standing.drift_count = known.drift_state.as_deref().map(drift_count).unwrap_or_default();
    standing.head = known.remote_tip.clone();
    standing.revision = live.map(|it| it.revision);
    // A later commit that renders alike is held by the same quarantine.
    let held = store.recall(&repository.name, "held")?.map(|it| ObjectId::new(&it));
    let failed = store.quarantined(&repository.name)?.into_iter().map(|it| it.revision);
    let quarantined = failed.chain(held).any(|it| Some(&it) == standing.head.as_ref());
    let patience = repository.poll.unwrap_or_default().saturating_mul(10).max(STALE_AFTER);
    let silent = known.last_fetch_ok.is_none_or(|it| now.saturating_sub(it) > patience.as_secs() as i64);
    standing.state = state(&standing, quarantined, silent);
    Ok(standing)
}

fn state(standing: &Standing, quarantined: bool, silent: bool) -> State {
    let behind = standing.revision.is_none() || standing.revision != standing.head;
    let last = standing.last_deployment.as_ref().map(|it| it.status);
    let failed =
        matches!(last, Some(DeploymentStatus::Failed | DeploymentStatus::Refused | DeploymentStatus::RolledBack));
    match () {
        () if behind && quarantined => State::Quarantined,
        () if behind && failed => State::Failed,
        () if standing.drift_count > 0 => State::Drifted,
        () if silent => State::Stale,
        () if behind => State::Pending,
        () => State::InSync,
    }
}
