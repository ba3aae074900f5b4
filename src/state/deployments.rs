//! Deployments: begun before anything changes, saved at each step, one of them live.

use super::{Error, Store, json, to_json, word};
use crate::plan::{LivePath, Recorded};
use crate::record::Deployment;
use crate::render::Digest;
use crate::revision::ObjectId;
use rusqlite::{Row, named_params};

impl Store {
    /// Writes down a deployment that is about to happen and returns its number; `deployment.id` is not looked at.
    pub fn begin(&self, deployment: &Deployment) -> Result<i64, Error> {
        self.together(|store| {
            store.know(&deployment.repository)?;
            let sql = "INSERT INTO deployments (repository, environment, revision, digest, status, phase, trigger, \
                started_at, finished_at, changes, keys, error, kept, log, previous) \
                VALUES (:repository, :environment, :revision, :digest, :status, :phase, :trigger, \
                :started_at, :finished_at, :changes, :keys, :error, :kept, :log, :previous)";
            store.write_deployment(sql, None, deployment)?;
            let id = store.connection.last_insert_rowid();
            store.note_live(&Deployment { id, ..deployment.clone() })?;
            Ok(id)
        })
    }

    /// Writes down how a deployment stands now; one that succeeded, or left all as it was, becomes the live one.
    pub fn save(&self, deployment: &Deployment) -> Result<(), Error> {
        self.together(|store| {
            let sql = "UPDATE deployments SET repository = :repository, environment = :environment, \
                revision = :revision, digest = :digest, status = :status, phase = :phase, trigger = :trigger, \
                started_at = :started_at, finished_at = :finished_at, changes = :changes, keys = :keys, error = :error, \
                kept = :kept, log = :log, previous = :previous WHERE id = :id";
            if store.write_deployment(sql, Some(deployment.id), deployment)? == 0 {
                return Err(Error::NotFound { what: format!("deployment {}", deployment.id) });
            }
            store.note_live(deployment)
        })
    }

    /// Writes down a finished switch, at once: what the ledger gains and loses, and how the deployment stands.
    pub fn record_switch(
        &self,
        repository: &str,
        put: &[(LivePath, Recorded)],
        remove: &[LivePath],
        deployment: &Deployment,
    ) -> Result<(), Error> {
        self.together(|store| {
            store.change_ledger(repository, put, remove)?;
            store.save(deployment)
        })
    }

    /// Returns the newest deployments, newest first, of one repository or of all.
    pub fn deployments(&self, repository: Option<&str>, limit: usize) -> Result<Vec<Deployment>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        match repository {
            Some(name) => {
                let sql = "SELECT * FROM deployments WHERE repository = ?1 ORDER BY id DESC LIMIT ?2";
                self.rows(sql, (name, limit), deployment_of)
            }
            None => self.rows("SELECT * FROM deployments ORDER BY id DESC LIMIT ?1", [limit], deployment_of),
        }
    }

    /// Returns the deployment with a number.
    pub fn deployment(&self, id: i64) -> Result<Option<Deployment>, Error> {
        self.row("SELECT * FROM deployments WHERE id = ?1", [id], deployment_of)
    }

    /// Returns the deployment that is live: the last one that succeeded or left all as it was.
    ///
    /// One that failed or was rolled back never takes this place, so after a rollback it is the one before.
    pub fn live(&self, repository: &str) -> Result<Option<Deployment>, Error> {
        let sql = "SELECT deployments.* FROM deployments JOIN repositories ON deployments.id = live_deployment \
            WHERE name = ?1";
        self.row(sql, [repository], deployment_of)
    }

    /// Points at the live deployment, for the cases in which [`Store::save`] does not: back, or at none.
    pub fn set_live(&self, repository: &str, deployment: Option<i64>) -> Result<(), Error> {
        self.set(repository, "UPDATE repositories SET live_deployment = ?2 WHERE name = ?1", deployment)
    }

    /// Returns the newest deployment that has begun and not ended: after a crash, the one to recover.
    pub fn in_progress(&self, repository: &str) -> Result<Option<Deployment>, Error> {
        let sql = "SELECT * FROM deployments WHERE repository = ?1 AND status = 'in_progress' ORDER BY id DESC LIMIT 1";
        self.row(sql, [repository], deployment_of)
    }

    /// Returns the deployments that wait, oldest first.
    pub fn pending(&self, repository: &str) -> Result<Vec<Deployment>, Error> {
        let sql = "SELECT * FROM deployments WHERE repository = ?1 AND status = 'pending' ORDER BY id";
        self.rows(sql, [repository], deployment_of)
    }

    fn write_deployment(&self, sql: &str, id: Option<i64>, deployment: &Deployment) -> Result<usize, Error> {
        let execute = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            if let Some(id) = id {
                let at = statement.parameter_index(":id")?.unwrap_or_default();
                statement.raw_bind_parameter(at, id)?;
            }
            let (changes, kept) = (to_json(&deployment.changes), to_json(&deployment.kept));
            let keys = (deployment.keys.count() > 0).then(|| to_json(&deployment.keys));
            let (error, log) = (deployment.error.as_ref().map(to_json), to_json(&deployment.log));
            let values = named_params! {
                ":repository": deployment.repository,
                ":environment": deployment.environment,
                ":revision": deployment.revision.as_str(),
                ":digest": deployment.digest.as_ref().map(|it| &it.0),
                ":status": deployment.status.as_str(),
                ":phase": deployment.phase.as_str(),
                ":trigger": deployment.trigger.as_str(),
                ":started_at": deployment.started_at,
                ":finished_at": deployment.finished_at,
                ":changes": changes,
                ":keys": keys,
                ":error": error,
                ":kept": kept,
                ":log": log,
                ":previous": deployment.previous,
            };
            for (name, value) in values {
                let at = statement.parameter_index(name)?.unwrap_or_default();
                statement.raw_bind_parameter(at, value)?;
            }
            statement.raw_execute()
        };
        execute().map_err(Error::sql(&self.database))
    }

    /// Moves the pointer on, never back: saving an old deployment again, say to add to its log, does not make it live.
    fn note_live(&self, deployment: &Deployment) -> Result<(), Error> {
        if deployment.status.is_live() {
            let sql = "UPDATE repositories SET live_deployment = ?2 \
                WHERE name = ?1 AND (live_deployment IS NULL OR live_deployment < ?2)";
            self.run(sql, (&deployment.repository, deployment.id))?;
        }
        Ok(())
    }
}

fn deployment_of(row: &Row<'_>) -> rusqlite::Result<Deployment> {
    let (error, keys): (Option<String>, Option<String>) = (row.get("error")?, row.get("keys")?);
    Ok(Deployment {
        id: row.get("id")?,
        repository: row.get("repository")?,
        environment: row.get("environment")?,
        revision: ObjectId::new(&row.get::<_, String>("revision")?),
        digest: row.get::<_, Option<String>>("digest")?.map(Digest),
        status: word(row, "status")?,
        phase: word(row, "phase")?,
        trigger: word(row, "trigger")?,
        started_at: row.get("started_at")?,
        finished_at: row.get("finished_at")?,
        changes: json(row, "changes")?,
        keys: keys.map_or_else(|| Ok(Default::default()), |it| serde_json::from_str(&it)).map_err(super::unreadable)?,
        error: error.map(|it| serde_json::from_str(&it)).transpose().map_err(super::unreadable)?,
        kept: json(row, "kept")?,
        log: json(row, "log")?,
        previous: row.get("previous")?,
    })
}
