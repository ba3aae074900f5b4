//! The host's own key: digests of what is on this host mean nothing elsewhere.

use super::{Error, directory};
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

pub(super) type HostKey = Zeroizing<[u8; 32]>;

/// Returns the key, which is made at the first opening and must stay the same as long as the database lives.
pub(super) fn load_or_create(dir: &Path, database: &Path, connection: &Connection) -> Result<HostKey, Error> {
    let expected = expected(connection).map_err(Error::sql(database))?;
    if let Some(key) = read(dir, database, expected.as_deref())? {
        directory::make_private(&path(dir))?;
        remember(connection, &key).map_err(Error::sql(database))?;
        return Ok(key);
    }
    if expected.is_some() {
        return Err(damaged(dir, database, "it is missing"));
    }
    let mut key = Zeroizing::new([0; 32]);
    let n_random = rustix::rand::getrandom(&mut key[..], rustix::rand::GetRandomFlags::empty())
        .map_err(Error::io("make", &path(dir)))?;
    debug_assert_eq!(n_random, key.len(), "the kernel gives up to 256 bytes at once");
    directory::write_whole(&path(dir), &key[..])?;
    remember(connection, &key).map_err(Error::sql(database))?;
    Ok(key)
}

/// Returns the key for an opener that may only read.
pub(super) fn load(dir: &Path, database: &Path, connection: &Connection) -> Result<HostKey, Error> {
    let expected = expected(connection).map_err(Error::sql(database))?;
    read(dir, database, expected.as_deref())?.ok_or_else(|| damaged(dir, database, "it is missing"))
}

fn path(dir: &Path) -> PathBuf {
    dir.join("digest.key")
}

fn read(dir: &Path, database: &Path, expected: Option<&str>) -> Result<Option<HostKey>, Error> {
    let path = path(dir);
    if !directory::is_file(&path, &cure(database))? {
        return Ok(None);
    }
    let bytes = Zeroizing::new(std::fs::read(&path).map_err(Error::io("read", &path))?);
    let Ok(key) = <[u8; 32]>::try_from(&bytes[..]).map(Zeroizing::new) else {
        return Err(damaged(dir, database, "it does not hold 32 bytes"));
    };
    match expected {
        Some(it) if it != mark(&key) => {
            Err(damaged(dir, database, "it is not the key that the ledger was written with"))
        }
        _ => Ok(Some(key)),
    }
}

/// Returns a digest that tells keys apart without revealing them.
fn mark(key: &[u8; 32]) -> String {
    let digest = Sha256::new().chain_update(b"headfast digest.key\0").chain_update(key).finalize();
    super::hex(&digest[..16])
}

fn expected(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM meta WHERE name = 'key'", [], |row| row.get(0)).optional()
}

fn remember(connection: &Connection, key: &[u8; 32]) -> rusqlite::Result<()> {
    connection.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('key', ?1)", [mark(key)]).map(drop)
}

fn cure(database: &Path) -> String {
    let file = "digest.key";
    format!(
        "put the old file back, or move {file} and `{}*` out of the way and run again: deployed files stay and are adopted",
        database.display()
    )
}

fn damaged(dir: &Path, database: &Path, reason: &str) -> Error {
    Error::Damaged { path: path(dir), reason: reason.into(), cure: cure(database) }
}
