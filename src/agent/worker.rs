//! The thread that does the work, one job after the other, so that the loop stays free to answer systemd and metrics.

use super::control::{Reply, Request};
use super::listener::Asked;
use super::machine::Job;
use crate::deploy::{ConfigDeployment, ConfigurationDeployer, Error};
use crate::finding::{Code, Verdict};
use crate::monitor::ConfigurationMonitor;
use crate::observe::Metrics;
use crate::record::{DeploymentStatus, Phase};
use crate::schedule::{self, Opening};
use crate::settings::Settings;
use crate::state::{Lock, Store};
use chrono::{DateTime, Utc};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// How long after the end of a suspension what waited is tried again, so that its last second is over.
const AFTER_THE_END: Duration = Duration::from_millis(100);

/// Does what a request asks for, says what comes of it, and returns the exit code. The words are the caller's.
pub type CarryOut = dyn Fn(&Settings, &Arc<Lock>, &Request, &dyn Fn(Reply)) -> u8 + Send + Sync;

/// A job, and for one that was asked for, the request.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) job: Job,
    pub(super) asked: Option<Asked>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// The job.
    pub(super) job: Job,
    /// Whether the host, git or the network got in the way.
    pub(super) failed: bool,
    /// When what waits now may be deployed.
    pub(super) again: Option<Duration>,
    /// What `systemctl status` shows.
    pub(super) status: String,
}

/// What all jobs have in common.
#[derive(Clone)]
pub(super) struct Shop {
    pub(super) settings: Arc<Settings>,
    pub(super) lock: Arc<Lock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) carry_out: Arc<CarryOut>,
}

/// Starts the thread; it ends when the sender that is returned is dropped.
pub(super) fn start(
    shop: Shop,
    done: UnboundedSender<Done>,
) -> std::io::Result<(mpsc::Sender<Task>, std::thread::JoinHandle<()>)> {
    let (sender, tasks) = mpsc::channel::<Task>();
    let work = move || {
        let mut worker = Worker { shop, last: String::new() };
        for task in tasks {
            let outcome = worker.work(task);
            if done.send(outcome).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("worker".into()).spawn(work)?;
    Ok((sender, thread))
}

/// Finishes what a crash left behind in every repository; what cannot be finished now is tried again by the first pass.
pub(super) fn recover(settings: &Settings, lock: &Arc<Lock>) {
    for repository in &settings.repositories {
        let recovered = Store::under(lock)
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
    shop: Shop,
    /// What was logged last: the same trouble on every poll is one line.
    last: String,
}

impl Worker {
    fn work(&mut self, task: Task) -> Done {
        let (idx, result) = match (&task.job, &task.asked) {
            (Job::Sync(idx, trigger), _) => {
                let result = self.with_deployer(*idx, |it| it.sync(*trigger));
                let told = result.map(|it| (it.verdict().is_some_and(is_passing_verdict), self.synced(*idx, &it)));
                (*idx, told)
            }
            (Job::Scan(idx), _) => (*idx, self.scan(*idx).map(|it| (false, it))),
            (Job::Control(_), Some(asked)) => return self.asked(task.job, asked),
            // The loop hands every such job on with its request.
            (Job::Control(_), None) => {
                return Done { job: task.job, failed: false, again: None, status: String::new() };
            }
        };
        let name = self.name(idx).to_owned();
        self.shop.metrics.set_phase(&name, None);
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
        let again = if let Job::Sync(..) = task.job { self.again(idx) } else { None };
        Done { job: task.job, failed, again, status: line }
    }

    fn name(&self, idx: usize) -> &str {
        &self.shop.settings.repositories[idx].name
    }

    /// Returns when what is held back now may be deployed, because a suspension ends or a window opens.
    fn again(&self, idx: usize) -> Option<Duration> {
        let (now, repository) = (Utc::now(), &self.shop.settings.repositories[idx]);
        let store = Store::under(&self.shop.lock).ok()?;
        store.pending(&repository.name).ok()?.first()?;
        let until = match store.suspension(&repository.name).ok()? {
            Some(order) => order.until.as_deref().and_then(|it| DateTime::parse_from_rfc3339(it).ok())?.to_utc(),
            None => match schedule::opening(&repository.windows, now) {
                Opening::Closed { until } => until?.to_utc(),
                Opening::Open => return None,
            },
        };
        Some((until - now).to_std().unwrap_or_default() + AFTER_THE_END)
    }

    /// Does what someone asked for, and answers.
    fn asked(&mut self, job: Job, asked: &Asked) -> Done {
        let (request, verb) = (&asked.request, asked.request.order.verb());
        let before = self.newest().unwrap_or_default();
        let reply = |reply: Reply| {
            if let Reply::Phase { repository, phase } = &reply {
                self.shop.metrics.set_phase(repository, Some(*phase));
            }
            // Who asked may be gone; what was asked for is done all the same.
            asked.replies.send(reply).ok();
        };
        let exit = (self.shop.carry_out)(&self.shop.settings, &self.shop.lock, request, &reply);
        if let Err(error) = self.count(before) {
            tracing::warn!("the metrics are behind: {error}");
        }
        asked.replies.send(Reply::Exit(exit)).ok();
        let status = format!("`headfast {verb}` of {} ended with exit code {exit}", request.author);
        tracing::info!("{status}");
        self.last.clone_from(&status);
        Done { job, failed: false, again: None, status }
    }

    /// Returns the number of the newest deployment.
    fn newest(&self) -> Result<i64, Error> {
        let newest = Store::under(&self.shop.lock)?.deployments(None, 1)?;
        Ok(newest.first().map_or(0, |it| it.id))
    }

    /// Brings the metrics up to date after a job that did not say what it did.
    fn count(&self, before: i64) -> Result<(), Error> {
        let store = Store::under(&self.shop.lock)?;
        for repository in &self.shop.settings.repositories {
            self.shop.metrics.set_phase(&repository.name, None);
            self.refresh(&store, &repository.name)?;
            let new = store.deployments(Some(&repository.name), 100)?;
            for deployment in new.iter().filter(|it| it.id > before && it.finished_at.is_some()) {
                self.shop.metrics.count_deployment(&repository.name, deployment.status);
            }
        }
        Ok(())
    }

    fn refresh(&self, store: &Store, name: &str) -> Result<(), Error> {
        let metrics = &self.shop.metrics;
        metrics.set_outbox(store.outbox_len()?);
        if let Some(at) = store.repository(name)?.last_fetch_ok {
            metrics.set_fetched(name, at);
        }
        if let Some(live) = store.live(name)? {
            metrics.set_deployed(name, &live.environment, &live.revision);
        }
        Ok(())
    }

    fn with_deployer<T>(
        &self,
        idx: usize,
        work: impl FnOnce(&ConfigurationDeployer<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (settings, metrics) = (&self.shop.settings, &self.shop.metrics);
        let repository = &settings.repositories[idx];
        let store = Store::under(&self.shop.lock)?;
        let on_phase = |phase: Phase| metrics.set_phase(&repository.name, Some(phase));
        let deployer = ConfigurationDeployer::new(settings, repository, &store, &on_phase)?;
        let result = work(&deployer);
        self.refresh(&store, &repository.name)?;
        result
    }

    fn synced(&self, idx: usize, result: &ConfigDeployment) -> String {
        let (name, metrics) = (self.name(idx), &self.shop.metrics);
        metrics.set_synced(name, Utc::now().timestamp());
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
                metrics.count_deployment(name, deployment.status);
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
        let Some(report) = report else { return Ok("drift is not looked for".into()) };
        self.shop.metrics.set_drift(self.name(idx), report.items.len() as u64);
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
