//! The outbox: what is still to be said to forges, and what was said last.

use super::{Error, Store};
use rusqlite::Row;

/// An item waits at most a day; a time further ahead was written by a clock that was wrong.
const LONGEST_WAIT: i64 = 24 * 3600;

/// How much of what was said is remembered, in (commit, context) pairs.
const REMEMBERED: i64 = 10_000;

/// Something that is still to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxItem {
    /// Its number; a newer item with the same key has another one.
    pub id: i64,
    /// The repository.
    pub repository: String,
    /// What it is about, for example a commit and a context: of several, only the newest is said.
    pub key: String,
    /// Who is to be told.
    pub provider: String,
    /// What is to be said.
    pub payload: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it may be tried, in seconds since the epoch.
    pub not_before: i64,
    /// How often something was said already under this key.
    pub posts: u32,
}

impl OutboxItem {
    /// Returns an item that was not tried yet.
    pub fn new(repository: &str, key: String, provider: &str, payload: String) -> Self {
        let (repository, provider) = (repository.to_owned(), provider.to_owned());
        OutboxItem { id: 0, repository, key, provider, payload, attempts: 0, not_before: 0, posts: 0 }
    }
}

impl Store {
    /// Puts an item into the outbox in place of an older one with its key; returns whether there is now something to say.
    ///
    /// There is not when the same was said last. The time to wait is inherited, so that a forge that asked for patience gets
    /// it. Call it inside [`Store::together`] with the change that it reports, and a crash loses both or neither.
    pub fn outbox_put(&self, item: &OutboxItem) -> Result<bool, Error> {
        self.together(|store| {
            let waiting = store.waiting(&item.repository, &item.key)?;
            let was_tried = waiting.as_ref().is_some_and(|it| it.attempts > 0);
            if waiting.as_ref().is_some_and(|it| it.payload == item.payload) {
                return Ok(true);
            }
            store.run("DELETE FROM outbox WHERE repository = ?1 AND key = ?2", (&item.repository, &item.key))?;
            // What was tried may have arrived although nobody said so; then what was said before must be said again.
            if !was_tried && store.said(&item.repository, &item.key)?.as_ref() == Some(&item.payload) {
                return Ok(false);
            }
            let (attempts, not_before) = waiting.map_or((0, 0), |it| (it.attempts, it.not_before));
            let sql = "INSERT INTO outbox (repository, key, provider, payload, attempts, not_before) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let not_before = not_before.max(item.not_before);
            store.run(sql, (&item.repository, &item.key, &item.provider, &item.payload, attempts, not_before))?;
            Ok(true)
        })
    }

    /// Returns what may be said at `now`, least tried first, so that one item that never succeeds does not hold up the rest.
    pub fn outbox_due(&self, now: i64) -> Result<Vec<OutboxItem>, Error> {
        let sql = format!("{ITEMS} WHERE not_before <= ?1 OR not_before > ?2 ORDER BY attempts, outbox.id LIMIT 1000");
        self.rows(&sql, (now, now.saturating_add(LONGEST_WAIT)), item_of)
    }

    /// Returns when the next item may be said; `None` when the outbox is empty.
    pub fn outbox_next(&self) -> Result<Option<i64>, Error> {
        Ok(self.row("SELECT min(not_before) FROM outbox", [], |row| row.get(0))?.flatten())
    }

    /// Returns the number of items in the outbox.
    pub fn outbox_len(&self) -> Result<u64, Error> {
        let count: Option<i64> = self.row("SELECT count(*) FROM outbox", [], |row| row.get(0))?;
        Ok(count.unwrap_or_default().unsigned_abs())
    }

    /// Notes that an item is being tried; call it before, because the answer may never come.
    pub fn outbox_trying(&self, id: i64) -> Result<(), Error> {
        self.run("UPDATE outbox SET attempts = attempts + 1 WHERE id = ?1", [id]).map(drop)
    }

    /// Notes that an item was said. One that took its place meanwhile stays.
    pub fn outbox_done(&self, item: &OutboxItem) -> Result<(), Error> {
        self.together(|store| {
            let sql = "INSERT OR REPLACE INTO posted (repository, key, payload, posts) VALUES (?1, ?2, ?3, \
                1 + coalesce((SELECT posts FROM posted WHERE repository = ?1 AND key = ?2), 0))";
            store.run(sql, (&item.repository, &item.key, &item.payload))?;
            store.run("DELETE FROM posted WHERE id <= ?1 - ?2", (store.connection.last_insert_rowid(), REMEMBERED))?;
            store.outbox_drop(item.id)
        })
    }

    /// Notes when to try an item again. One that took its place meanwhile waits as long.
    pub fn outbox_failed(&self, item: &OutboxItem, not_before: i64) -> Result<(), Error> {
        let sql = "UPDATE outbox SET not_before = ?3 WHERE repository = ?1 AND key = ?2";
        self.run(sql, (&item.repository, &item.key, not_before)).map(drop)
    }

    /// Takes an item out that will never be said.
    pub fn outbox_drop(&self, id: i64) -> Result<(), Error> {
        self.run("DELETE FROM outbox WHERE id = ?1", [id]).map(drop)
    }

    /// Returns what is to be said under a key, or else what was said last.
    pub fn outbox_last(&self, repository: &str, key: &str) -> Result<Option<String>, Error> {
        match self.waiting(repository, key)? {
            Some(item) => Ok(Some(item.payload)),
            None => self.said(repository, key),
        }
    }

    fn waiting(&self, repository: &str, key: &str) -> Result<Option<OutboxItem>, Error> {
        let sql = format!("{ITEMS} WHERE outbox.repository = ?1 AND outbox.key = ?2");
        self.row(&sql, (repository, key), item_of)
    }

    fn said(&self, repository: &str, key: &str) -> Result<Option<String>, Error> {
        let sql = "SELECT payload FROM posted WHERE repository = ?1 AND key = ?2";
        self.row(sql, (repository, key), |row| row.get(0))
    }
}

const ITEMS: &str = "SELECT outbox.*, coalesce(posts, 0) AS posts FROM outbox \
    LEFT JOIN posted ON posted.repository = outbox.repository AND posted.key = outbox.key";

fn item_of(row: &Row<'_>) -> rusqlite::Result<OutboxItem> {
    Ok(OutboxItem {
        id: row.get("id")?,
        repository: row.get("repository")?,
        key: row.get("key")?,
        provider: row.get("provider")?,
        payload: row.get("payload")?,
        attempts: row.get("attempts")?,
        not_before: row.get("not_before")?,
        posts: row.get("posts")?,
    })
}
