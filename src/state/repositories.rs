//! What is remembered of each repository between two passes.

use super::{Error, Store};
use crate::record::Phase;
use crate::render::Digest;
use crate::revision::ObjectId;
use rusqlite::Row;

/// What is remembered of a repository; times are seconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryState {
    /// Its name in agent.yaml.
    pub name: String,
    /// The number of the deployment that is live.
    pub live_deployment: Option<i64>,
    /// The highest commit that was accepted from the branch.
    pub accepted: Option<ObjectId>,
    /// The tip that the last fetch found.
    pub remote_tip: Option<ObjectId>,
    /// When a fetch last succeeded.
    pub last_fetch_ok: Option<i64>,
    /// The number of passes that failed since the last one that did not.
    pub consecutive_failures: u32,
    /// When to try again after a failure.
    pub not_before: Option<i64>,
    /// The drift that was last reported.
    pub drift_state: Option<String>,
}

/// A rendering that failed here and is not tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The rendering's digest.
    pub digest: Digest,
    /// The commit that it came with.
    pub revision: ObjectId,
    /// Why it failed.
    pub reason: String,
    /// When, RFC 3339.
    pub since: String,
}

/// An order not to deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// Why.
    pub reason: String,
    /// When it ends by itself, RFC 3339; `None` means when someone resumes.
    pub until: Option<String>,
    /// Who ordered it.
    pub author: String,
    /// When it was ordered, RFC 3339.
    pub since: String,
}

impl Suspension {
    /// Returns whether its time is over at `now`, in seconds since the epoch.
    pub fn is_over(&self, now: i64) -> bool {
        let until = self.until.as_deref().and_then(|it| chrono::DateTime::parse_from_rfc3339(it).ok());
        until.is_some_and(|it| it.timestamp() <= now)
    }
}

impl Store {
    /// Returns what is remembered of a repository; nothing, for one that is new.
    pub fn repository(&self, name: &str) -> Result<RepositoryState, Error> {
        let found = self.row("SELECT * FROM repositories WHERE name = ?1", [name], repository_of)?;
        Ok(found.unwrap_or_else(|| RepositoryState { name: name.to_owned(), ..RepositoryState::default() }))
    }

    /// Returns what is remembered of every repository that this host ever had.
    pub fn repositories(&self) -> Result<Vec<RepositoryState>, Error> {
        self.rows("SELECT * FROM repositories ORDER BY name", [], repository_of)
    }

    /// Returns the highest commit that was accepted from the branch.
    pub fn accepted(&self, repository: &str) -> Result<Option<ObjectId>, Error> {
        self.repository(repository).map(|it| it.accepted)
    }

    /// Notes the highest commit that was accepted from the branch.
    pub fn set_accepted(&self, repository: &str, commit: &ObjectId) -> Result<(), Error> {
        self.set(repository, "UPDATE repositories SET accepted_commit = ?2 WHERE name = ?1", commit.as_str())
    }

    /// Notes that a fetch succeeded at `now` and which tip it found.
    pub fn fetched(&self, repository: &str, tip: &ObjectId, now: i64) -> Result<(), Error> {
        self.know(repository)?;
        let sql = "UPDATE repositories SET remote_tip = ?2, last_fetch_ok = ?3 WHERE name = ?1";
        self.run(sql, (repository, tip.as_str(), now)).map(drop)
    }

    /// Notes how many passes failed in a row, and when to try again.
    pub fn set_failures(&self, repository: &str, consecutive: u32, not_before: Option<i64>) -> Result<(), Error> {
        self.know(repository)?;
        let sql = "UPDATE repositories SET consecutive_failures = ?2, not_before = ?3 WHERE name = ?1";
        self.run(sql, (repository, consecutive, not_before)).map(drop)
    }

    /// Returns the drift that was last reported, in the caller's own words.
    pub fn drift_state(&self, repository: &str) -> Result<Option<String>, Error> {
        self.repository(repository).map(|it| it.drift_state)
    }

    /// Notes the drift that was last reported.
    pub fn set_drift_state(&self, repository: &str, state: Option<&str>) -> Result<(), Error> {
        self.set(repository, "UPDATE repositories SET drift_state = ?2 WHERE name = ?1", state)
    }

    /// Sets a rendering aside.
    pub fn quarantine(&self, repository: &str, it: &Quarantined) -> Result<(), Error> {
        let sql = "INSERT OR REPLACE INTO quarantine (repository, digest, revision, reason, since) \
            VALUES (?1, ?2, ?3, ?4, ?5)";
        self.run(sql, (repository, &it.digest.0, it.revision.as_str(), &it.reason, &it.since)).map(drop)
    }

    /// Returns why a rendering is set aside, when it is.
    pub fn is_quarantined(&self, repository: &str, digest: &Digest) -> Result<Option<Quarantined>, Error> {
        let sql = "SELECT * FROM quarantine WHERE repository = ?1 AND digest = ?2";
        self.row(sql, (repository, &digest.0), quarantined_of)
    }

    /// Returns all renderings that are set aside, oldest first.
    pub fn quarantined(&self, repository: &str) -> Result<Vec<Quarantined>, Error> {
        let sql = "SELECT * FROM quarantine WHERE repository = ?1 ORDER BY since, digest";
        self.rows(sql, [repository], quarantined_of)
    }

    /// Gives every rendering that was set aside, or was about to be, a new chance, and returns those that were.
    pub fn release(&self, repository: &str) -> Result<Vec<Quarantined>, Error> {
        self.together(|store| {
            let released = store.quarantined(repository)?;
            store.run("DELETE FROM quarantine WHERE repository = ?1", [repository])?;
            store.run("DELETE FROM attempts WHERE repository = ?1", [repository])?;
            Ok(released)
        })
    }

    /// Counts an attempt at a phase before it begins, and takes back the count of the phase that was survived before it.
    ///
    /// A count that is never taken back means that the process did not live to do so. Nothing is flushed: what is written
    /// outlives the process, which is all that is asked of it, and a power cut is nobody's fault.
    pub fn attempt(&self, repository: &str, subject: &str, phase: Phase, left: Option<Phase>) -> Result<(), Error> {
        self.without_flush(|store| {
            store.together(|store| {
                if let Some(left) = left {
                    let sql =
                        "UPDATE attempts SET count = count - 1 WHERE repository = ?1 AND subject = ?2 AND phase = ?3";
                    store.run(sql, (repository, subject, left.as_str()))?;
                }
                let sql = "INSERT INTO attempts (repository, subject, phase, count) VALUES (?1, ?2, ?3, 1) \
                    ON CONFLICT DO UPDATE SET count = count + 1";
                store.run(sql, (repository, subject, phase.as_str())).map(drop)
            })
        })
    }

    /// Returns the phases whose attempts did not all come to an end, with how many did not, the most first.
    pub fn attempts(&self, repository: &str, subject: &str) -> Result<Vec<(Phase, u32)>, Error> {
        let sql = "SELECT phase, count FROM attempts WHERE repository = ?1 AND subject = ?2 AND count > 0 \
            ORDER BY count DESC, phase";
        self.rows(sql, (repository, subject), |row| Ok((super::word(row, "phase")?, row.get("count")?)))
    }

    /// Forgets the attempts of a subject: the process lived, whatever came out.
    pub fn clear_attempts(&self, repository: &str, subject: &str) -> Result<(), Error> {
        self.without_flush(|store| {
            let sql = "DELETE FROM attempts WHERE repository = ?1 AND subject = ?2";
            store.run(sql, (repository, subject)).map(drop)
        })
    }

    /// Suspends a repository; a later order replaces an earlier one.
    pub fn suspend(&self, repository: &str, it: &Suspension) -> Result<(), Error> {
        let sql = "INSERT OR REPLACE INTO suspensions (repository, reason, until, author, since) \
            VALUES (?1, ?2, ?3, ?4, ?5)";
        self.run(sql, (repository, &it.reason, &it.until, &it.author, &it.since)).map(drop)
    }

    /// Ends a suspension and returns it, when there was one.
    pub fn resume(&self, repository: &str) -> Result<Option<Suspension>, Error> {
        self.together(|store| {
            let ended = store.suspension(repository)?;
            store.run("DELETE FROM suspensions WHERE repository = ?1", [repository])?;
            Ok(ended)
        })
    }

    /// Returns the suspension of a repository; whether its time is over is for the caller, who has a clock.
    pub fn suspension(&self, repository: &str) -> Result<Option<Suspension>, Error> {
        self.row("SELECT * FROM suspensions WHERE repository = ?1", [repository], |row| {
            Ok(Suspension {
                reason: row.get("reason")?,
                until: row.get("until")?,
                author: row.get("author")?,
                since: row.get("since")?,
            })
        })
    }

    /// Remembers a value under a name.
    pub fn remember(&self, repository: &str, name: &str, value: &str) -> Result<(), Error> {
        let sql = "INSERT OR REPLACE INTO memory (repository, name, value) VALUES (?1, ?2, ?3)";
        self.run(sql, (repository, name, value)).map(drop)
    }

    /// Returns what is remembered under a name.
    pub fn recall(&self, repository: &str, name: &str) -> Result<Option<String>, Error> {
        let sql = "SELECT value FROM memory WHERE repository = ?1 AND name = ?2";
        self.row(sql, (repository, name), |row| row.get(0))
    }

    /// Forgets what is remembered under a name.
    pub fn forget(&self, repository: &str, name: &str) -> Result<(), Error> {
        self.run("DELETE FROM memory WHERE repository = ?1 AND name = ?2", (repository, name)).map(drop)
    }

    /// Makes sure that there is a row to update.
    pub(super) fn know(&self, repository: &str) -> Result<(), Error> {
        self.run("INSERT OR IGNORE INTO repositories (name) VALUES (?1)", [repository]).map(drop)
    }

    /// Sets one column of a repository.
    pub(super) fn set(&self, repository: &str, sql: &str, value: impl rusqlite::ToSql) -> Result<(), Error> {
        self.together(|store| {
            store.know(repository)?;
            store.run(sql, (repository, value)).map(drop)
        })
    }
}

fn repository_of(row: &Row<'_>) -> rusqlite::Result<RepositoryState> {
    let commit = |column: &str| row.get::<_, Option<String>>(column).map(|it| it.map(|id| ObjectId::new(&id)));
    Ok(RepositoryState {
        name: row.get("name")?,
        live_deployment: row.get("live_deployment")?,
        accepted: commit("accepted_commit")?,
        remote_tip: commit("remote_tip")?,
        last_fetch_ok: row.get("last_fetch_ok")?,
        consecutive_failures: row.get("consecutive_failures")?,
        not_before: row.get("not_before")?,
        drift_state: row.get("drift_state")?,
    })
}

fn quarantined_of(row: &Row<'_>) -> rusqlite::Result<Quarantined> {
    Ok(Quarantined {
        digest: Digest(row.get("digest")?),
        revision: ObjectId::new(&row.get::<_, String>("revision")?),
        reason: row.get("reason")?,
        since: row.get("since")?,
    })
}
