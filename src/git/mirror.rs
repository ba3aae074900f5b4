//! The bare repository that everything is read from: opened, healed, made anew.

use super::error::{Error, of_read, reason_of};
use super::transport::local;
use super::{id, libgit2, oid};
use crate::revision::ObjectId;
use git2::Repository;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The whole configuration of a mirror. Whatever else stands there was not written by us, and is not obeyed.
const CONFIG: &str = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n";
/// A file in the mirror that says: read as little as possible, and start anew.
const DAMAGED: &str = "headfast-damaged";
/// libgit2 adds a pack per fetch and never merges them.
const MAX_PACKS: usize = 200;
/// Where what must not be collected is kept.
pub(super) const PINS: &str = "refs/headfast/pins/";

/// A bare repository that mirrors one remote.
///
/// The caller holds the state directory's lock, so nobody else writes here.
pub struct Mirror {
    pub(super) dir: PathBuf,
    pub(super) repository: Repository,
}

impl Mirror {
    /// Opens the mirror in `dir`, and makes or heals it when needed.
    ///
    /// What a killed process has left behind is removed. A mirror that cannot be used is set aside, and the next fetch
    /// fills the new one.
    pub fn open(dir: &Path) -> Result<Mirror, Error> {
        libgit2::prepare();
        if dir.symlink_metadata().is_ok() {
            match open_whole(dir) {
                Ok(repository) => return Ok(Mirror { dir: dir.to_owned(), repository }),
                Err(_) => set_aside(dir)?,
            }
        }
        Ok(Mirror { dir: dir.to_owned(), repository: make(dir)? })
    }

    /// Opens the mirror in `dir` for reading only, beside the process that holds the state directory's lock.
    ///
    /// Nothing is cleaned or healed. Returns `None` when there is no mirror yet.
    pub fn view(dir: &Path) -> Result<Option<Mirror>, Error> {
        libgit2::prepare();
        match dir.symlink_metadata() {
            Ok(_) => Ok(Some(Mirror { dir: dir.to_owned(), repository: open_bare(dir)? })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path: dir.to_owned(), source }),
        }
    }

    /// Keeps `commit` and all that it needs, under a name, also when the remote forgets it.
    pub fn pin(&self, name: &str, commit: &ObjectId) -> Result<(), Error> {
        let (name, target) = (pin_name(name), oid(commit)?);
        if self.set_reference(&name, target).is_ok() {
            return Ok(());
        }
        // The file may be damaged, and what it said is about to be replaced.
        remove(&self.dir.join(&name)).map_err(|source| Error::Io { path: self.dir.join(&name), source })?;
        self.set_reference(&name, target)
    }

    /// Lets go of what was kept under a name.
    pub fn unpin(&self, name: &str) -> Result<(), Error> {
        match self.repository.find_reference(&pin_name(name)).and_then(|mut it| it.delete()) {
            Err(error) if error.code() != git2::ErrorCode::NotFound => Err(self.judge(&pin_name(name), &error)),
            _ => Ok(()),
        }
    }

    /// Returns what is kept under a name.
    pub fn pinned(&self, name: &str) -> Option<ObjectId> {
        self.repository.refname_to_id(&pin_name(name)).ok().map(id)
    }

    pub(super) fn set_reference(&self, name: &str, target: git2::Oid) -> Result<(), Error> {
        let set = self.repository.reference(name, target, true, "headfast");
        set.map(drop).map_err(|error| self.judge(name, &error))
    }

    /// Judges an error of a read, and remembers when it means that the mirror is damaged.
    pub(super) fn judge(&self, what: &str, error: &git2::Error) -> Error {
        let error = of_read(what, error);
        if error.is_damage() {
            mark_damaged(&self.dir);
        }
        error
    }

    /// Returns whether this mirror is going to be replaced at the next fetch, because damage was met in it, say.
    pub fn needs_renewal(&self) -> bool {
        self.dir.join(DAMAGED).symlink_metadata().is_ok() || n_packs(&self.dir) > MAX_PACKS
    }

    /// Begins an empty mirror beside this one.
    pub(super) fn successor(&self) -> Result<Mirror, Error> {
        let dir = beside(&self.dir, ".new");
        remove(&dir).map_err(|source| Error::Io { path: dir.clone(), source })?;
        Ok(Mirror { repository: make(&dir)?, dir })
    }

    /// Lets `successor`, which has been filled, stand in for this mirror.
    pub(super) fn replace(&mut self, successor: Mirror) -> Result<(), Error> {
        successor.salvage(&self.dir);
        let aside = beside(&self.dir, ".damaged");
        let moved = remove(&aside)
            .and_then(|()| fs::rename(&self.dir, &aside))
            .and_then(|()| fs::rename(&successor.dir, &self.dir));
        moved.map_err(|source| Error::Io { path: self.dir.clone(), source })?;
        self.repository = open_bare(&self.dir)?;
        let _ = remove(&aside);
        Ok(())
    }

    /// Takes over what was set aside when this mirror was begun, then removes it.
    pub(super) fn salvage_aside(&self) {
        let aside = beside(&self.dir, ".damaged");
        if aside.symlink_metadata().is_ok() {
            self.salvage(&aside);
            let _ = remove(&aside);
        }
    }

    /// Takes over from an older mirror what the remote may not have.
    ///
    /// The older one is given up because something in it cannot be read, so this takes what it can get.
    fn salvage(&self, older: &Path) {
        let Ok(older) = Repository::open_bare(older) else { return };
        let Ok(pins) = older.references_glob(&format!("{PINS}*")) else { return };
        for pin in pins.flatten() {
            let (Ok(name), Some(target)) = (pin.name(), pin.target()) else { continue };
            let is_here = self.repository.find_commit(target).is_ok()
                || local::copy("the old mirror", &older, &self.repository, target).is_ok();
            if is_here && self.check_complete(target).is_ok() {
                let _ = self.set_reference(name, target);
            }
        }
    }
}

/// Removes a mirror that was begun and could not be filled.
pub(super) fn discard(successor: &Mirror) {
    let _ = remove(&successor.dir);
}

pub(super) fn mark_damaged(dir: &Path) {
    // If even this fails, the damage is met and marked again.
    let _ = fs::write(dir.join(DAMAGED), "");
}

fn pin_name(name: &str) -> String {
    format!("{PINS}{}", ref_component(name))
}

/// Makes one component of a ref's name out of any text, so that no two of our refs get in each other's way.
pub(super) fn ref_component(text: &str) -> String {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_');
    let mut name = String::new();
    for byte in text.bytes() {
        match is_plain(byte) {
            true => name.push(char::from(byte)),
            false => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name
}

/// Opens a mirror when nothing in it is obviously wrong.
fn open_whole(dir: &Path) -> Result<Repository, Error> {
    let failed =
        |error: &dyn std::fmt::Display| Error::Git { what: dir.display().to_string(), reason: error.to_string() };
    let kind = fs::symlink_metadata(dir).map_err(|it| failed(&it))?;
    if !kind.is_dir() {
        return Err(failed(&"it is not a folder"));
    }
    clean(dir).map_err(|it| failed(&it))?;
    let config = dir.join("config");
    if fs::read(&config).map_err(|it| failed(&it))? != CONFIG.as_bytes() {
        fs::write(&config, CONFIG).map_err(|it| failed(&it))?;
    }
    let repository = Repository::open_bare(dir).map_err(|it| failed(&reason_of(&it)))?;
    for reference in repository.references().map_err(|it| failed(&reason_of(&it)))? {
        let reference = reference.map_err(|it| failed(&reason_of(&it)))?;
        let target = reference.target().ok_or_else(|| failed(&"a ref that points to a ref"))?;
        repository.find_object(target, None).map_err(|it| failed(&reason_of(&it)))?;
    }
    Ok(repository)
}

/// Removes what killed processes left behind, and what could change how the mirror is read.
fn clean(dir: &Path) -> io::Result<()> {
    for name in ["hooks", "shallow", "commondir", "gitdir", "worktrees", "modules", "info", "gc.pid", "logs", "index"] {
        remove(&dir.join(name))?;
    }
    for name in ["alternates", "http-alternates", "commit-graph", "commit-graphs"] {
        remove(&dir.join("objects/info").join(name))?;
    }
    let is_left_over = |name: &str| {
        name.ends_with(".lock") || name.starts_with("tmp_") || name.contains("_git2_") || name.ends_with(".keep")
    };
    remove_entries(dir, &is_left_over, 0)?;
    remove_entries(&dir.join("refs"), &is_left_over, 16)?;
    remove_entries(&dir.join("objects"), &is_left_over, 1)
}

/// Removes the entries whose names `matches` picks, down to `depth` folders below `dir`.
fn remove_entries(dir: &Path, matches: &dyn Fn(&str) -> bool, depth: usize) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        match matches(&entry.file_name().to_string_lossy()) {
            true => remove(&entry.path())?,
            false if depth > 0 && entry.file_type()?.is_dir() => remove_entries(&entry.path(), matches, depth - 1)?,
            false => {}
        }
    }
    Ok(())
}

/// Removes a file, a link or a whole folder; what is not there is removed already.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(it) if it.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn n_packs(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir.join("objects/pack")) else { return 0 };
    entries.flatten().filter(|it| it.path().extension().is_some_and(|it| it == "pack")).count()
}

fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    dir.with_file_name(name)
}

/// Moves a mirror that cannot be opened out of the way.
fn set_aside(dir: &Path) -> Result<(), Error> {
    let aside = beside(dir, ".damaged");
    // The one that was set aside first has the most to salvage, unless its successor got as far as a fetch.
    let moved = match aside.symlink_metadata().is_ok() && !has_refs(dir) {
        true => remove(dir),
        false => remove(&aside).and_then(|()| fs::rename(dir, &aside)),
    };
    moved.map_err(|source| Error::Io { path: dir.to_owned(), source })
}

fn has_refs(dir: &Path) -> bool {
    dir.join("refs/headfast").is_dir() || dir.join("packed-refs").exists()
}

fn make(dir: &Path) -> Result<Repository, Error> {
    let failed = |error: git2::Error| of_read(&dir.display().to_string(), &error);
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).no_reinit(true).mkpath(true).external_template(false).initial_head("main");
    let made = Repository::init_opts(dir, &options).map_err(failed)?;
    fs::write(dir.join("config"), CONFIG).map_err(|source| Error::Io { path: dir.join("config"), source })?;
    drop(made);
    open_bare(dir)
}

pub(super) fn open_bare(dir: &Path) -> Result<Repository, Error> {
    Repository::open_bare(dir).map_err(|error| of_read(&dir.display().to_string(), &error))
}
