//! How the database is made, opened and brought to the format that this version reads.

use super::{Error, directory};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// The steps from each format to the next; the database's `user_version` is the number of steps that it has taken.
const STEPS: &[&str] = &[include_str!("schema.sql"), include_str!("schema-2.sql")];

/// The format that this version reads and writes.
pub(super) const FORMAT: i64 = STEPS.len() as i64;

/// Readers never make the writer wait nor the other way round; this is for the moments in which the log is made or folded.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes the database under another name and gives it its own when it is complete, so that an empty or half-made one with
/// the right name is always damage.
pub(super) fn create(path: &Path) -> Result<(), Error> {
    let temporary = directory::beside(path);
    directory::remove_if_there(&temporary)?;
    // A log that outlived its database would be played into the new one and break it.
    for database in [temporary.as_path(), path] {
        for tail in ["-journal", "-wal", "-shm"] {
            let mut name = database.as_os_str().to_owned();
            name.push(tail);
            directory::remove_if_there(Path::new(&name))?;
        }
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(Error::io("create", &temporary))?;
    let mut connection = connect(&temporary, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    migrate(&mut connection, &temporary)?;
    connection.close().map_err(|(_, error)| Error::sql(&temporary)(error))?;
    file.sync_all().map_err(Error::io("flush", &temporary))?;
    directory::put_in_place(&temporary, path)
}

/// Opens the database for writing; the caller holds the lock.
pub(super) fn open(dir: &Path, path: &Path) -> Result<Connection, Error> {
    // A connection that may write would already fold the log into the file; a newer one's state must stay as it is.
    let found = format(&connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?, path)?;
    if found > FORMAT {
        return Err(Error::Newer { dir: dir.to_owned(), found, known: FORMAT });
    }
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 4194304;";
    connection.execute_batch(pragmas).map_err(Error::sql(path))?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Opens the database for reading, as it is at this moment for as long as the connection lives.
pub(super) fn open_snapshot(dir: &Path, path: &Path) -> Result<Connection, Error> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.execute_batch("BEGIN").map_err(Error::sql(path))?;
    match format(&connection, path)? {
        found if found > FORMAT => Err(Error::Newer { dir: dir.to_owned(), found, known: FORMAT }),
        found if found < FORMAT => Err(Error::Older { dir: dir.to_owned(), found, known: FORMAT }),
        _ => Ok(connection),
    }
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, Error> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;")?;
        Ok(connection)
    };
    open().map_err(Error::sql(path))
}

/// Returns the format that the database is in; 0 cannot come from [`create`], so it is damage.
fn format(connection: &Connection, path: &Path) -> Result<i64, Error> {
    let found = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(Error::sql(path))?;
    match found {
        ..=0 => Err(Error::damaged_database(path, "it is empty")),
        found => Ok(found),
    }
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let step_on = |connection: &mut Connection| {
        let done: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if done == FORMAT {
            return Ok(());
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for step in STEPS.iter().skip(usize::try_from(done).unwrap_or_default()) {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()
    };
    step_on(connection).map_err(Error::sql(path))
}
