//! The database, locks, kept files: all that must survive a restart.
//!
//! One process at a time writes (it holds the [`Lock`]); any number read a [`Store::snapshot`] without waiting. The daemon holds
//! the lock for as long as it lives, and its threads may have the state open side by side: SQLite orders what they write.
//! Every writing method is durable when it returns. The store has no clock: times are arguments.

mod deployments;
mod directory;
mod error;
mod fsck;
mod kept;
mod key;
mod ledger;
mod outbox;
mod repositories;
mod retention;
mod schema;
#[cfg(test)]
mod tests;

pub use directory::Lock;
pub use error::Error;
pub use fsck::{Fault, close, is_open};
pub use kept::{KeptEntry, KeptFile};
pub use outbox::OutboxItem;
pub use repositories::{Quarantined, RepositoryState, Suspension};
pub use retention::{Dropped, Retention};

use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

const DATABASE: &str = "headfast.db";

/// An open state directory.
pub struct Store {
    dir: PathBuf,
    database: PathBuf,
    // Declared before the lock, so that the log is folded in before another process may come.
    connection: Connection,
    key: key::HostKey,
    _lock: Option<Arc<Lock>>,
}

impl Store {
    /// Opens the state for writing and makes it when there is none; `verb` is what a second opener is told about this one.
    ///
    /// Fails at once with `E_LOCKED` when another process has it.
    pub fn open(dir: &Path, verb: &str) -> Result<Store, Error> {
        Store::under(&Arc::new(Lock::take(dir, verb)?))
    }

    /// Opens the state for writing in a process that holds the lock already.
    pub fn under(lock: &Arc<Lock>) -> Result<Store, Error> {
        let _alone = lock.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = lock.dir();
        let database = dir.join(DATABASE);
        if !is_there(&database)? {
            schema::create(&database)?;
        }
        directory::make_private(&database)?;
        let connection = schema::open(dir, &database)?;
        let key = key::load_or_create(dir, &database, &connection)?;
        Ok(Store { dir: dir.to_owned(), database, connection, key, _lock: Some(Arc::clone(lock)) })
    }

    /// Opens the state as it is at this moment, for reading only and without the lock; `None` when there is no state yet.
    ///
    /// Everything that it returns comes from that one moment. Do not keep it open for long: the writer's log grows meanwhile.
    pub fn snapshot(dir: &Path) -> Result<Option<Store>, Error> {
        let database = dir.join(DATABASE);
        if !dir.exists() {
            return Ok(None);
        }
        let me = rustix::process::geteuid();
        let owner = std::fs::metadata(dir).map(|it| std::os::unix::fs::MetadataExt::uid(&it));
        // Root may look at the state of an agent that runs as a user of its own; it must not write there.
        let user = if me.is_root() { owner.unwrap_or_default() } else { me.as_raw() };
        directory::check(dir, user)?;
        if !is_there(&database)? {
            return Ok(None);
        }
        let connection = schema::open_snapshot(dir, &database)?;
        let key = key::load(dir, &database, &connection)?;
        Ok(Some(Store { dir: dir.to_owned(), database, connection, key, _lock: None }))
    }

    /// Returns the state directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the host's own key for digests of what is on this host; it must never leave it.
    pub fn host_key(&self) -> [u8; 32] {
        *self.key
    }

    /// Does everything that `work` does to the state at once: all of it is durable afterwards, or, on an error, none of it.
    ///
    /// Calls may be nested. Kept files are written when they are handed over, whatever comes after.
    pub fn together<T>(&self, work: impl FnOnce(&Store) -> Result<T, Error>) -> Result<T, Error> {
        // A transaction that reads first and writes later would fail, without waiting, when another thread wrote in between.
        let is_outermost = self.connection.is_autocommit();
        let (begin, end, undoing) = match is_outermost {
            true => ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"),
            false => ("SAVEPOINT together", "RELEASE together", "ROLLBACK TO together; RELEASE together"),
        };
        self.connection.execute_batch(begin).map_err(Error::sql(&self.database))?;
        let undo = Undo(&self.connection, undoing);
        let value = work(self)?;
        self.connection.execute_batch(end).map_err(Error::sql(&self.database))?;
        std::mem::forget(undo);
        Ok(value)
    }

    /// Does something that has to outlive this process and not a power cut: the log is written and not flushed.
    fn without_flush<T>(&self, work: impl FnOnce(&Store) -> Result<T, Error>) -> Result<T, Error> {
        // Inside of `together` the whole is flushed anyway, and SQLite does not let the setting change.
        if !self.connection.is_autocommit() {
            return work(self);
        }
        let set = |how: &str| {
            let sql = format!("PRAGMA synchronous = {how}");
            self.connection.execute_batch(&sql).map_err(Error::sql(&self.database))
        };
        set("NORMAL")?;
        let done = work(self);
        set("FULL")?;
        done
    }

    /// Looks at the whole database and returns what is wrong with it, one line each; this takes a while.
    pub fn check(&self) -> Result<Vec<String>, Error> {
        let mut problems = self.rows("PRAGMA integrity_check(20)", [], |row| row.get::<_, String>(0))?;
        problems.retain(|it| it != "ok");
        problems.extend(self.rows("PRAGMA foreign_key_check", [], |row| {
            Ok(format!("a row of {} refers to nothing in {}", row.get::<_, String>(0)?, row.get::<_, String>(2)?))
        })?);
        Ok(problems)
    }

    fn rows<T>(
        &self,
        sql: &str,
        arguments: impl rusqlite::Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let all = || -> rusqlite::Result<Vec<T>> {
            self.connection.prepare_cached(sql)?.query_map(arguments, read)?.collect()
        };
        all().map_err(Error::sql(&self.database))
    }

    fn row<T>(
        &self,
        sql: &str,
        arguments: impl rusqlite::Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Error> {
        Ok(self.rows(sql, arguments, read)?.into_iter().next())
    }

    /// Runs a statement and returns the number of rows that it changed.
    fn run(&self, sql: &str, arguments: impl rusqlite::Params) -> Result<usize, Error> {
        let run = || self.connection.prepare_cached(sql)?.execute(arguments);
        run().map_err(Error::sql(&self.database))
    }
}

/// Takes back what was begun, unless it is forgotten.
struct Undo<'a>(&'a Connection, &'static str);

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        // Fails when SQLite has taken the transaction back by itself, as it does when the disk is full.
        self.0.execute_batch(self.1).ok();
    }
}

/// Returns whether there is a database; SQLite would write its log through whatever has the log's name.
fn is_there(database: &Path) -> Result<bool, Error> {
    for tail in ["-wal", "-shm"] {
        let mut name = database.as_os_str().to_owned();
        name.push(tail);
        directory::is_file(Path::new(&name), "remove it and run again")?;
    }
    directory::is_file(database, &format!("move `{}*` out of the way and run again", database.display()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a value that is stored as JSON.
fn json<T: serde::de::DeserializeOwned>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(unreadable)
}

/// Reads one word of an enum.
fn word<T: serde::de::DeserializeOwned>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<T> {
    serde_json::from_value(serde_json::Value::String(row.get(column)?)).map_err(unreadable)
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}

/// Writes a value of a shared type as JSON; these hold nothing that JSON cannot.
fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
