//! What Prometheus is told. Names and labels are fixed; only values come from the outside.

use crate::record::{DeploymentStatus, Phase};
use crate::revision::ObjectId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    repository: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Deployments {
    repository: String,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Deployed {
    repository: String,
    environment: String,
    revision: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct At {
    repository: String,
    phase: &'static str,
}

/// The numbers of one agent.
pub struct Metrics {
    registry: Registry,
    deployments: Family<Deployments, Counter>,
    drift: Family<Of, Gauge>,
    last_sync: Family<Of, Gauge>,
    last_fetch_ok: Family<Of, Gauge>,
    deployed: Family<Deployed, Gauge>,
    outbox: Gauge,
    phase: Family<At, Gauge>,
    current: Mutex<Current>,
}

/// The series of each repository that say what holds now; each takes the place of the one before.
#[derive(Default)]
struct Current {
    deployed: HashMap<String, Deployed>,
    phase: HashMap<String, At>,
}

/// The statuses in which a deployment can end.
const ENDS: [DeploymentStatus; 6] = [
    DeploymentStatus::Success,
    DeploymentStatus::Failed,
    DeploymentStatus::RolledBack,
    DeploymentStatus::Refused,
    DeploymentStatus::Superseded,
    DeploymentStatus::Unchanged,
];

impl Metrics {
    /// The content type of [`Metrics::encode`].
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Returns the metrics of an agent that looks after `repositories`.
    pub fn new<'a>(repositories: impl IntoIterator<Item = &'a str>) -> Self {
        let mut it = Metrics {
            registry: Registry::default(),
            deployments: Family::default(),
            drift: Family::default(),
            last_sync: Family::default(),
            last_fetch_ok: Family::default(),
            deployed: Family::default(),
            outbox: Gauge::default(),
            phase: Family::default(),
            current: Mutex::default(),
        };
        it.register();
        for repository in repositories {
            for status in ENDS {
                // Counters are there from the start, so that the first failure is an increase.
                let series = Deployments { repository: repository.into(), status: status.as_str() };
                it.deployments.get_or_create(&series).inc_by(0);
            }
        }
        it
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("headfast_build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("headfast_deployments", "Deployments that ended, by status", self.deployments.clone());
        registry.register("headfast_drift_files", "Files that differ from what was deployed", self.drift.clone());
        let (seconds, help) = (Unit::Seconds, "When a pass last ended well");
        registry.register_with_unit("headfast_last_sync_timestamp", help, seconds, self.last_sync.clone());
        let (seconds, help) = (Unit::Seconds, "When the remote last answered");
        registry.register_with_unit("headfast_last_fetch_ok_timestamp", help, seconds, self.last_fetch_ok.clone());
        registry.register("headfast_deployed_info", "The revision that is live", self.deployed.clone());
        registry.register("headfast_outbox_items", "Reports that wait to be sent", self.outbox.clone());
        registry.register("headfast_phase", "The phase of the deployment that is going on", self.phase.clone());
    }

    /// Counts a deployment that ended.
    pub fn count_deployment(&self, repository: &str, status: DeploymentStatus) {
        self.deployments.get_or_create(&Deployments { repository: repository.into(), status: status.as_str() }).inc();
    }

    /// Sets the number of files that drifted.
    pub fn set_drift(&self, repository: &str, files: u64) {
        self.drift.get_or_create(&Of { repository: repository.into() }).set(files.try_into().unwrap_or(i64::MAX));
    }

    /// Notes that a pass ended well, in seconds since the epoch.
    pub fn set_synced(&self, repository: &str, at: i64) {
        self.last_sync.get_or_create(&Of { repository: repository.into() }).set(at);
    }

    /// Notes that the remote answered, in seconds since the epoch.
    pub fn set_fetched(&self, repository: &str, at: i64) {
        self.last_fetch_ok.get_or_create(&Of { repository: repository.into() }).set(at);
    }

    /// Sets the revision that is live.
    pub fn set_deployed(&self, repository: &str, environment: &str, revision: &ObjectId) {
        let now =
            Deployed { repository: repository.into(), environment: environment.into(), revision: revision.to_string() };
        replace(&self.deployed, &mut self.current().deployed, repository, Some(now));
    }

    /// Sets the number of reports that wait.
    pub fn set_outbox(&self, items: u64) {
        self.outbox.set(items.try_into().unwrap_or(i64::MAX));
    }

    /// Sets the phase of the deployment that is going on; `None` when there is none.
    pub fn set_phase(&self, repository: &str, phase: Option<Phase>) {
        let now = phase.map(|it| At { repository: repository.into(), phase: it.as_str() });
        replace(&self.phase, &mut self.current().phase, repository, now);
    }

    /// Returns everything in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let _whole = self.current();
        let mut text = String::new();
        // Writing to a string does not fail; should it, a scrape without the final `# EOF` is refused as a whole.
        prometheus_client::encoding::text::encode(&mut text, &self.registry).ok();
        text
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes `now` the only series of a repository.
fn replace<S>(family: &Family<S, Gauge>, current: &mut HashMap<String, S>, repository: &str, now: Option<S>)
where
    S: Clone + Eq + Hash,
{
    if let Some(before) = current.remove(repository) {
        family.remove(&before);
    }
    if let Some(now) = now {
        family.get_or_create(&now).set(1);
        current.insert(repository.to_owned(), now);
    }
}
