//! What is forgotten in time: copies of drifted files, and the records of old deployments.
//!
//! Files that headfast had not written, and what was recovered from a transaction that was given up, are kept for good.

use super::{Error, Store, directory};
use crate::record::DeploymentStatus;
use std::collections::{HashMap, HashSet};

/// How much is remembered of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Copies of drifted files from before this moment (RFC 3339) go, but for the newest of them.
    pub before: String,
    /// So many copies of drifted files stay however old they are, should the clock be wrong.
    pub copies: usize,
    /// The most bytes that copies of drifted files may take.
    pub bytes: u64,
    /// The most deployments.
    pub deployments: usize,
}

/// What was forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Copies of drifted files.
    pub copies: usize,
    /// Records of deployments.
    pub deployments: usize,
}

/// Under this name it is remembered which copies are about to be removed.
const DOOMED: &str = "doomed";

impl Store {
    /// Forgets what is older, larger or more than it may be; never the live deployment, the one before it, what waits or is
    /// under way, nor a copy that a rollback to the one before may need.
    ///
    /// The rows go first, together with a note of the copies that go with them; then the copies, and then the note. So after
    /// a crash there is no row without its copy, and a copy without a row is removed the next time.
    pub fn tidy(&self, repository: &str, limits: &Retention) -> Result<Dropped, Error> {
        self.remove_doomed(repository)?;
        let before = self.before_live(repository)?;
        let mut entries = self.kept_entries(Some(repository), "")?;
        entries.retain(|it| it.file.kept.reason == "drifted");
        // Of each path a rollback brings back the first copy since then; the newest come first here, so the last one wins.
        let since = entries.iter().enumerate().filter(|(_, it)| before.is_some_and(|id| it.file.deployment > id));
        let needed: HashMap<_, _> = since.map(|(idx, it)| ((&it.file.kept.root, &it.file.kept.path), idx)).collect();
        let needed: HashSet<usize> = needed.into_values().collect();
        let mut bytes = 0u64;
        let mut doomed = Vec::new();
        for (idx, entry) in entries.iter().enumerate() {
            bytes = bytes.saturating_add(entry.size.unwrap_or_default());
            let is_old = idx >= limits.copies && entry.at < limits.before;
            if (is_old || bytes > limits.bytes) && !needed.contains(&idx) {
                doomed.push(&entry.file);
            }
        }
        let mut dropped = Dropped { copies: doomed.len(), deployments: 0 };
        self.together(|store| {
            for file in &doomed {
                let sql = "DELETE FROM kept WHERE deployment = ?1 AND root = ?2 AND path = ?3 AND id = ?4";
                store.run(sql, (file.deployment, &file.kept.root, &file.kept.path, &file.kept.id))?;
            }
            if !doomed.is_empty() {
                let ids: Vec<&str> = doomed.iter().map(|it| it.kept.id.as_str()).collect();
                store.remember(repository, DOOMED, &ids.join(" "))?;
            }
            dropped.deployments = store.drop_deployments(repository, limits.deployments)?;
            Ok(())
        })?;
        if !doomed.is_empty() {
            self.remove_doomed(repository)?;
        }
        Ok(dropped)
    }

    /// Removes the copies whose rows are gone, unless another row has come to need one.
    fn remove_doomed(&self, repository: &str) -> Result<(), Error> {
        let Some(ids) = self.recall(repository, DOOMED)? else { return Ok(()) };
        for id in ids.split_whitespace() {
            if self.kept_entries(None, id)?.is_empty() {
                directory::remove_if_there(&self.kept_path(id))?;
            }
        }
        directory::sync(&self.dir().join("kept"))?;
        self.forget(repository, DOOMED)
    }

    /// Returns the deployment to which a rollback would lead.
    fn before_live(&self, repository: &str) -> Result<Option<i64>, Error> {
        let Some(live) = self.live(repository)? else { return Ok(None) };
        let sql = "SELECT max(id) FROM deployments WHERE repository = ?1 AND id < ?2 AND digest IS NOT ?3 \
            AND status IN (?4, ?5)";
        let (success, unchanged) = (DeploymentStatus::Success.as_str(), DeploymentStatus::Unchanged.as_str());
        let digest = live.digest.as_ref().map(|it| &it.0);
        let before: Option<Option<i64>> =
            self.row(sql, (repository, live.id, digest, success, unchanged), |row| row.get(0))?;
        Ok(before.flatten())
    }

    /// Drops all but the newest records; what a kept file or a rollback hangs on stays.
    fn drop_deployments(&self, repository: &str, most: usize) -> Result<usize, Error> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let sql = "SELECT id FROM deployments WHERE repository = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2";
        let Some(newest): Option<i64> = self.row(sql, (repository, most), |row| row.get(0))? else { return Ok(0) };
        let needed = self.before_live(repository)?;
        let sql = "DELETE FROM deployments WHERE repository = ?1 AND id <= ?2 AND id IS NOT ?3 \
            AND status NOT IN ('pending', 'in_progress') \
            AND id NOT IN (SELECT deployment FROM kept) \
            AND id NOT IN (SELECT live_deployment FROM repositories WHERE live_deployment IS NOT NULL)";
        self.run(sql, (repository, newest, needed))
    }
}
