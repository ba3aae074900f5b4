//! The ledger: what headfast wrote, path by path.

use super::{Error, Store, json, to_json};
use crate::plan::{Ledger, LivePath, Recorded, Restat, Stat};
use crate::render::TargetPath;
use rusqlite::{Row, params};

impl Store {
    /// Returns the directories in which a repository has written.
    pub fn roots(&self, repository: &str) -> Result<Vec<String>, Error> {
        self.rows("SELECT DISTINCT root FROM ledger WHERE repository = ?1", [repository], |row| row.get(0))
    }

    /// Returns what headfast wrote for a repository.
    pub fn ledger(&self, repository: &str) -> Result<Ledger, Error> {
        let rows = self.rows("SELECT * FROM ledger WHERE repository = ?1", [repository], entry_of)?;
        Ok(rows.into_iter().collect())
    }

    /// Writes down what was written and what is gone, at once; for repairs, [`Store::record_switch`] is for deployments.
    pub fn change_ledger(
        &self,
        repository: &str,
        put: &[(LivePath, Recorded)],
        remove: &[LivePath],
    ) -> Result<(), Error> {
        self.together(|store| {
            for path in remove {
                let sql = "DELETE FROM ledger WHERE repository = ?1 AND root = ?2 AND path = ?3";
                store.run(sql, (repository, &path.root, path.path.as_str()))?;
            }
            put.iter().try_for_each(|(path, recorded)| store.put_recorded(repository, path, recorded))
        })
    }

    /// Makes rows follow files whose metadata moved although nobody changed them; rows that say something else stay.
    pub fn restat(&self, repository: &str, moved: &[Restat]) -> Result<(), Error> {
        let bits = |it: &Stat| (it.inode.cast_signed(), it.size.cast_signed(), it.mtime_ns, it.ctime_ns);
        self.together(|store| {
            for Restat { at, from, to } in moved {
                let sql = "UPDATE ledger SET inode = ?1, size = ?2, mtime_ns = ?3, ctime_ns = ?4 \
                    WHERE repository = ?5 AND root = ?6 AND path = ?7 \
                    AND inode = ?8 AND size = ?9 AND mtime_ns = ?10 AND ctime_ns = ?11";
                let (to, from, path) = (bits(to), bits(from), at.path.as_str());
                #[rustfmt::skip]
                let values = params![
                    to.0, to.1, to.2, to.3, repository, at.root, path, from.0, from.1, from.2, from.3
                ];
                store.run(sql, values)?;
            }
            Ok(())
        })
    }

    /// Forgets which content was written to the given paths, or to all, so that the next plan looks at what is live there.
    pub fn doubt(&self, repository: &str, paths: Option<&[LivePath]>) -> Result<(), Error> {
        let Some(paths) = paths else {
            return self.run("UPDATE ledger SET identity = '' WHERE repository = ?1", [repository]).map(drop);
        };
        self.together(|store| {
            let sql = "UPDATE ledger SET identity = '' WHERE repository = ?1 AND root = ?2 AND path = ?3";
            paths.iter().try_for_each(|it| store.run(sql, (repository, &it.root, it.path.as_str())).map(drop))
        })
    }

    fn put_recorded(&self, repository: &str, at: &LivePath, it: &Recorded) -> Result<(), Error> {
        let sql = "INSERT OR REPLACE INTO ledger (repository, root, path, identity, kind, digest, mode, uid, gid, \
            sensitive, inode, size, mtime_ns, ctime_ns) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
        let (path, kind, stat) = (at.path.as_str(), to_json(&it.kind), &it.stat);
        // Inode numbers use all 64 bits on some file systems and SQLite has signed numbers only, so the bits are kept.
        let (inode, size) = (stat.inode.cast_signed(), stat.size.cast_signed());
        #[rustfmt::skip]
        let values = params![
            repository, at.root, path, it.identity, kind, it.digest, it.mode, it.uid, it.gid,
            it.sensitive, inode, size, stat.mtime_ns, stat.ctime_ns
        ];
        self.run(sql, values).map(drop)
    }
}

fn entry_of(row: &Row<'_>) -> rusqlite::Result<(LivePath, Recorded)> {
    let path: String = row.get("path")?;
    let path = TargetPath::recorded(&path).ok_or_else(|| super::unreadable(BadPath(path)))?;
    let stat = Stat {
        inode: row.get::<_, i64>("inode")?.cast_unsigned(),
        size: row.get::<_, i64>("size")?.cast_unsigned(),
        mtime_ns: row.get("mtime_ns")?,
        ctime_ns: row.get("ctime_ns")?,
    };
    let recorded = Recorded {
        identity: row.get("identity")?,
        kind: json(row, "kind")?,
        digest: row.get("digest")?,
        mode: row.get("mode")?,
        uid: row.get("uid")?,
        gid: row.get("gid")?,
        sensitive: row.get("sensitive")?,
        stat,
    };
    Ok((LivePath { root: row.get("root")?, path }, recorded))
}

#[derive(Debug, thiserror::Error)]
#[error("the ledger has a path that leads out of its target: {0:?}")]
struct BadPath(String);
