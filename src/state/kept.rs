//! Kept files: what stood at a path before it was overwritten or removed.

use super::{Error, Store, directory};
use crate::record::Kept;
use rusqlite::{Row, params};
use sha2::{Digest, Sha256};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// A kept file and all that is needed to put it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFile {
    /// What the deployment's record says of it; the id is the store's to give.
    pub kept: Kept,
    /// The deployment that it had to make way for.
    pub deployment: i64,
    /// Whether it was a symbolic link; the content is its text then.
    pub link: bool,
    /// The permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// A kept file as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEntry {
    /// The file.
    pub file: KeptFile,
    /// The repository whose deployment it made way for.
    pub repository: String,
    /// When that deployment began, RFC 3339.
    pub at: String,
    /// The size of the copy in bytes; `None` when it is gone.
    pub size: Option<u64>,
}

impl Store {
    /// Keeps a file's content, sealed by the caller when it is sensitive, and returns the record with the copy's id.
    ///
    /// The copy is durable when this returns. Equal content is kept once; keeping the same file again changes nothing.
    pub fn keep(&self, file: &KeptFile, content: &[u8]) -> Result<Kept, Error> {
        let id = self.kept_id(content);
        let folder = self.dir.join("kept");
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => directory::sync(&self.dir)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("make", &folder)(error)),
        }
        if self.read_kept(&id).is_err() {
            directory::write_whole(&self.kept_path(&id), content)?;
        }
        let Kept { root, path, reason, encrypted, .. } = &file.kept;
        let sql = "INSERT OR REPLACE INTO kept (id, deployment, root, path, reason, link, mode, uid, gid, encrypted) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        #[rustfmt::skip]
        self.run(sql, params![
            id, file.deployment, root, path, reason, file.link, file.mode, file.uid, file.gid, encrypted
        ])?;
        Ok(Kept { id, ..file.kept.clone() })
    }

    /// Returns the content of a kept file as it was handed over: still sealed when it is sensitive.
    pub fn read_kept(&self, id: &str) -> Result<Vec<u8>, Error> {
        let missing = || Error::NotFound { what: format!("kept file {id:?}") };
        // The id comes from a command line; nothing but our own names may reach the file system.
        if id.len() != 32 || !id.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Err(missing());
        }
        let path = self.kept_path(id);
        if !directory::is_file(&path, "remove it; the content is lost")? {
            return Err(missing());
        }
        let content = std::fs::read(&path).map_err(Error::io("read", &path))?;
        if self.kept_id(&content) != id {
            let reason = "its content is not what was kept".to_owned();
            return Err(Error::Damaged { path, reason, cure: "restore it from a backup, or remove it".into() });
        }
        Ok(content)
    }

    /// Returns the kept files, newest first, of one repository or of all.
    pub fn kept(&self, repository: Option<&str>) -> Result<Vec<KeptFile>, Error> {
        let sql = "SELECT kept.* FROM kept JOIN deployments ON deployments.id = kept.deployment \
            WHERE ?1 IS NULL OR repository = ?1 ORDER BY kept.deployment DESC, root, path";
        self.rows(sql, [repository], kept_of)
    }

    /// Returns the kept files whose id begins with `prefix`, newest first, with when they were kept.
    pub fn kept_entries(&self, repository: Option<&str>, prefix: &str) -> Result<Vec<KeptEntry>, Error> {
        let sql = "SELECT kept.*, repository, started_at FROM kept JOIN deployments ON deployments.id = kept.deployment \
            WHERE (?1 IS NULL OR repository = ?1) AND substr(kept.id, 1, length(?2)) = ?2 \
            ORDER BY kept.deployment DESC, root, path";
        let mut entries = self.rows(sql, (repository, prefix), |row| {
            let (repository, at) = (row.get("repository")?, row.get("started_at")?);
            Ok(KeptEntry { file: kept_of(row)?, repository, at, size: None })
        })?;
        for entry in &mut entries {
            let found = std::fs::symlink_metadata(self.kept_path(&entry.file.kept.id));
            entry.size = found.ok().filter(|it| it.is_file()).map(|it| it.len());
        }
        Ok(entries)
    }

    pub(super) fn kept_path(&self, id: &str) -> PathBuf {
        self.dir.join("kept").join(id)
    }

    /// Names content by what it is, in a way that only this host can check.
    pub(super) fn kept_id(&self, content: &[u8]) -> String {
        let hash = Sha256::new().chain_update(b"headfast kept\0").chain_update(&self.key[..]).chain_update(content);
        super::hex(&hash.finalize()[..16])
    }
}

fn kept_of(row: &Row<'_>) -> rusqlite::Result<KeptFile> {
    let kept = Kept {
        root: row.get("root")?,
        path: row.get("path")?,
        id: row.get("id")?,
        reason: row.get("reason")?,
        encrypted: row.get("encrypted")?,
    };
    Ok(KeptFile {
        kept,
        deployment: row.get("deployment")?,
        link: row.get("link")?,
        mode: row.get("mode")?,
        uid: row.get("uid")?,
        gid: row.get("gid")?,
    })
}
