//! What is said about a deployment, put into the outbox with the change that it reports, and sent when it can be.

use super::actions::Repertoire;
use super::{ConfigurationDeployer, Error};
use crate::record::Deployment;
use crate::report::{self, Decision, Delivery, DriftSummary, Filter, GithubSender, Outcome, Queued, Status, drain};
use crate::revision::ObjectId;
use crate::schedule;
use crate::settings::{Post, Provider, StatusTarget};
use crate::state::OutboxItem;
use chrono::Utc;
use std::time::Duration;

/// How long a forge may take over one status. It bounds what a forge that is down can cost a deployment.
const FORGE_DEADLINE: Duration = Duration::from_secs(5);

/// What came of emptying the outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// How many items were said.
    pub sent: usize,
    /// Why others were not, a line each.
    pub problems: Vec<String>,
}

impl ConfigurationDeployer<'_> {
    /// Writes down that a deployment begins (or ended before it began) together with what is said about it, gives it its
    /// number, and tries to say it at once.
    pub(super) fn begin(&self, deployment: &mut Deployment) -> Result<(), Error> {
        let items = self.items_of(deployment)?;
        deployment.id = self.store.together(|store| {
            let id = store.begin(deployment)?;
            items.iter().try_for_each(|it| store.outbox_put(it).map(drop))?;
            Ok(id)
        })?;
        // A forge has a short deadline; a note is pushed with the result, because a remote may take its time.
        self.deliver_those(|it| it.provider == Provider::GITHUB).map(drop)
    }

    /// Writes down how a deployment stands together with what is said about it, so that a crash loses both or neither.
    pub(super) fn save(&self, deployment: &Deployment) -> Result<(), Error> {
        let items = self.items_of(deployment)?;
        Ok(self.store.together(|store| {
            store.save(deployment)?;
            items.iter().try_for_each(|it| store.outbox_put(it).map(drop))
        })?)
    }

    /// Writes down, all at once, that a deployment is live now, what it runs, and what is said about it.
    pub(super) fn save_live(&self, deployment: &Deployment, repertoire: &Repertoire, facts: &str) -> Result<(), Error> {
        // The files are in place and proven: a mirror that is damaged is mended by the next fetch, and changes nothing about it.
        if let Err(error) = self.mirror.borrow().pin("live", &deployment.revision) {
            tracing::warn!(repository = self.name(), "the live revision is not pinned: {error}");
        }
        let items = self.items_of(deployment)?;
        Ok(self.store.together(|store| {
            self.remember(repertoire, facts)?;
            store.save(deployment)?;
            store.set_live(self.name(), Some(deployment.id))?;
            items.iter().try_for_each(|it| store.outbox_put(it).map(drop))
        })?)
    }

    /// Puts the drift of the live deployment into the outbox, unless it is what was said last.
    pub fn report_drift(&self, deployment: &Deployment, summary: &DriftSummary) -> Result<(), Error> {
        let status = report::say::drift(&self.settings.host, summary);
        let items = self.items(&status, || report::note(&self.settings.host, deployment, Some(summary)))?;
        Ok(self.store.together(|store| items.iter().try_for_each(|it| store.outbox_put(it).map(drop)))?)
    }

    fn items_of(&self, deployment: &Deployment) -> Result<Vec<OutboxItem>, Error> {
        let status = report::say::deployment(&self.settings.host, deployment);
        self.items(&status, || report::note(&self.settings.host, deployment, None))
    }

    fn items(&self, status: &Status, note: impl Fn() -> Delivery) -> Result<Vec<OutboxItem>, Error> {
        let mut items = Vec::new();
        for target in &self.repository.status {
            let delivery = match target.provider {
                Provider::Notes => note(),
                Provider::Github => {
                    match status.to_github(target.api_url.as_deref(), &self.repository.url.to_string()) {
                        Ok(delivery) => delivery,
                        Err(error) => {
                            self.say_once(&error.to_string())?;
                            continue;
                        }
                    }
                }
            };
            let key = delivery.key();
            let last = self.store.outbox_last(self.name(), &key)?;
            let last = last.and_then(|it| Delivery::parse(&it).ok()).and_then(|it| it.state());
            let filter = match target.post {
                Post::All => Filter::All,
                Post::Problems => Filter::Problems,
            };
            if delivery.state().is_none_or(|it| filter.lets(it, last)) {
                items.push(OutboxItem::new(self.name(), key, delivery.provider(), delivery.payload()));
            }
        }
        Ok(items)
    }

    /// Sends what is due. What cannot be sent stays, and is tried again later; a deployment never fails over it.
    pub fn deliver(&self) -> Result<Delivered, Error> {
        self.deliver_those(|_| true)
    }

    fn deliver_those(&self, is_meant: impl Fn(&OutboxItem) -> bool) -> Result<Delivered, Error> {
        let now = Utc::now().timestamp();
        let mut waiting = self.store.outbox_due(now)?;
        waiting.retain(|it| it.repository == self.name() && is_meant(it));
        let mut delivered = Delivered::default();
        let items = waiting.iter().filter_map(queued).collect();
        let mut failed = None;
        let mut jitter = {
            let mut count = u64::try_from(now).unwrap_or_default();
            move || {
                // By the host's name, so that a fleet does not come back together.
                count += 1;
                (schedule::seed(&self.settings.host, count) % 1000) as f64 / 1000.0
            }
        };
        let mut send = |it: &Queued| match self.store.outbox_trying(it.id) {
            Ok(()) => self.send(&it.delivery),
            Err(error) => Outcome::RetryAfter { wait: None, reason: error.to_string() },
        };
        let mut settle = |it: &Queued, decision: Decision| {
            let Some(item) = waiting.iter().find(|item| item.id == it.id) else { return };
            let settled = match decision {
                Decision::Done => {
                    delivered.sent += 1;
                    self.store.outbox_done(item)
                }
                Decision::Later { not_before, reason } => {
                    delivered.problems.extend(reason.map(|it| format!("status not posted yet: {it}")));
                    self.store.outbox_failed(item, not_before)
                }
                Decision::Drop { reason } => {
                    delivered.problems.extend(reason.map(|it| format!("status not posted: {it}")));
                    self.store.outbox_drop(item.id)
                }
            };
            failed = settled.err().or(failed.take());
        };
        drain(items, now, &mut jitter, &mut send, &mut settle);
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(delivered),
        }
    }

    fn send(&self, delivery: &Delivery) -> Outcome {
        match delivery {
            Delivery::Github { .. } => match self.token() {
                Some(token) => GithubSender::new(token, FORGE_DEADLINE).post(delivery, Utc::now().timestamp()),
                None => Outcome::AuthProblem("agent.yaml has no `token_file` for the provider github".into()),
            },
            Delivery::Notes { reference, commit, text } => {
                match self.mirror.borrow_mut().note(&self.remote, reference, &ObjectId::new(commit), text) {
                    Ok(()) => Outcome::Done,
                    Err(error) => Outcome::RetryAfter { wait: None, reason: error.to_string() },
                }
            }
        }
    }

    fn token(&self) -> Option<&std::path::Path> {
        let github = |it: &&StatusTarget| it.provider == Provider::Github;
        self.repository.status.iter().find(github)?.token_file.as_deref()
    }

    /// Notes a problem of the configuration of statuses, once.
    fn say_once(&self, problem: &str) -> Result<(), Error> {
        if self.store.recall(self.name(), "status_problem")?.as_deref() != Some(problem) {
            tracing::warn!(repository = self.name(), "{problem}");
            self.store.remember(self.name(), "status_problem", problem)?;
        }
        Ok(())
    }
}

fn queued(item: &OutboxItem) -> Option<Queued> {
    Some(Queued {
        id: item.id,
        repository: item.repository.clone(),
        delivery: Delivery::parse(&item.payload).ok()?,
        attempts: item.attempts,
        posts: item.posts,
    })
}
