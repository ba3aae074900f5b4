//! The thread that does the work, one job after the other, so that the loop stays free to answer systemd and metrics.

use super::machine::Job;
use crate::deploy::{ConfigDeployment, ConfigurationDeployer, Error};
use crate::finding::{Code, Verdict};
use crate::monitor::ConfigurationMonitor;
use crate::observe::Metrics;
use crate::record::{DeploymentStatus, Phase};
use crate::settings::Settings;
use crate::state::Store;
use chrono::Utc;
use std::sync::{Arc, mpsc};
use tokio::sync::mpsc::UnboundedSender;

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// The job.
    pub(super) job: Job,
    /// Whether the host, git or the network got in the way.
    pub(super) failed: bool,
    /// What `systemctl status` shows.
    pub(super) status: String,
}

/// Starts the thread; it ends when the sender that is returned is dropped.
pub(super) fn start(
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    done: UnboundedSender<Done>,
) -> std::io::Result<(mpsc::Sender<Job>, std::thread::JoinHandle<()>)> {
    let (sender, jobs) = mpsc::channel::<Job>();
    let work = move || {
        let mut worker = Worker { settings, metrics, last: String::new() };
        for job in jobs {
            let outcome = worker.work(job);
            if done.send(outcome).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("worker".into()).spawn(work)?;
    Ok((sender, thread))
}

/// Finishes what a crash left behind in every repository; what cannot be finished now is tried again by the first pass.
pub(super) fn recover(settings: &Settings) {
    for repository in &settings.repositories {
        let recovered = Store::open(&settings.state_dir, "agent")
            .map_err(Error::from)
            .and_then(|store| ConfigurationDeployer::new(settings, repository, &store, &|_| {})?.recover());
        match recovered {
            Ok(None) => {}
            Ok(Some(note)) => tracing::warn!(repository = repository.name, "{note}"),
            Err(error) => tracing::error!(repository = repository.name, "{}: {error}", error.failure().code),
        }
    }
}

struct Worker {
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    /// What was logged last: the same trouble on every poll is one line.
    last: String,
}

impl Worker {
    fn work(&mut self, job: Job) -> Done {
        let (Job::Sync(idx, _) | Job::Scan(idx)) = job;
        let settings = Arc::clone(&self.settings);
        let name = settings.repositories[idx].name.clone();
        let result = match &job {
            Job::Sync(idx, trigger) => self
                .with_deployer(*idx, |it| it.sync(*trigger))
                .map(|it| (it.verdict().is_some_and(is_passing_verdict), self.synced(&name, &it))),
            Job::Scan(idx) => self.scan(*idx).map(|it| (false, it)),
        };
        self.metrics.set_phase(&name, None);
        let (failed, status) = match result {
            Ok(it) => it,
            Err(error) => (is_passing(&error), format!("{}: {error}", error.failure().code)),
        };
        let line = format!("{name}: {status}");
        if self.last != line {
            match failed {
                true => tracing::warn!(repository = name, "{status}"),
                false => tracing::info!(repository = name, "{status}"),
            }
            self.last.clone_from(&line);
        }
        Done { job, failed, status: line }
    }

    fn with_deployer<T>(
        &self,
        idx: usize,
        work: impl FnOnce(&ConfigurationDeployer<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let repository = &self.settings.repositories[idx];
        let store = Store::open(&self.settings.state_dir, "agent")?;
        let on_phase = |phase: Phase| self.metrics.set_phase(&repository.name, Some(phase));
        let deployer = ConfigurationDeployer::new(&self.settings, repository, &store, &on_phase)?;
        let result = work(&deployer);
        self.metrics.set_outbox(store.outbox_len()?);
        if let Some(at) = store.repository(&repository.name)?.last_fetch_ok {
            self.metrics.set_fetched(&repository.name, at);
        }
        if let Some(live) = store.live(&repository.name)? {
            self.metrics.set_deployed(&repository.name, &live.environment, &live.revision);
        }
        result
    }

    fn synced(&self, name: &str, result: &ConfigDeployment) -> String {
        self.metrics.set_synced(name, Utc::now().timestamp());
        for note in &result.notes {
            tracing::info!(repository = name, "{note}");
        }
        match &result.deployment {
            None if result.findings.has_errors() => {
                let error = Error { phase: Phase::Report, findings: result.findings.clone() };
                format!("{} is not deployed: {} {error}", result.revision.short(), error.failure().code)
            }
            None => format!("in sync at {}", result.revision.short()),
            Some(deployment) => {
                self.metrics.count_deployment(name, deployment.status);
                let error = deployment.error.as_ref().map(|it| format!(": {} {}", it.code, it.message));
                let what = format!("{} {}", deployment.status.as_str(), deployment.revision.short());
                match deployment.status {
                    DeploymentStatus::Success => {
                        let it = deployment.changes;
                        format!("{what}: {} created, {} replaced, {} removed", it.created, it.replaced, it.removed)
                    }
                    _ => format!("{what}{}", error.unwrap_or_default()),
                }
            }
        }
    }

    fn scan(&self, idx: usize) -> Result<String, Error> {
        let report = self.with_deployer(idx, |it| ConfigurationMonitor::new(it).pass())?;
        let name = &self.settings.repositories[idx].name;
        let Some(report) = report else { return Ok("drift is not looked for".into()) };
        self.metrics.set_drift(name, report.items.len() as u64);
        let at = report.deployment.revision.short().to_owned();
        Ok(match report.items.len() {
            0 => format!("in sync at {at}"),
            1 => format!("1 file has drifted from {at}"),
            n => format!("{n} files have drifted from {at}"),
        })
    }
}

/// Returns whether trying again soon can help: the network, the disk, another process. Wrong content waits for a commit.
fn is_passing(error: &Error) -> bool {
    let busy = error.findings.iter().any(|it| it.code == Code::LOCKED);
    busy || is_passing_verdict(error.verdict())
}

fn is_passing_verdict(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Failed | Verdict::Busy | Verdict::Stuck)
}
