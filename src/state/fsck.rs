//! Whether the state directory is whole, and what can be done about it without losing anything.

use super::{Error, Store, directory};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Something in the state directory that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Others may read or write a file or folder.
    Open(PathBuf),
    /// A file was being written when its writer was stopped; it was never used.
    Unfinished(PathBuf),
    /// A journal that was damaged and not needed.
    Damaged(PathBuf),
    /// What stands among the kept copies is none, or is not what was kept.
    BadCopy(PathBuf),
    /// A copy that no record knows.
    Orphan(PathBuf),
    /// A record of a copy that is gone.
    LostCopy {
        /// The copy's name.
        id: String,
        /// What it was a copy of.
        path: String,
    },
}

/// Where what was set aside goes.
const ASIDE: &str = "aside";

/// Returns whether a state directory itself is open to others although it belongs to this user.
pub fn is_open(dir: &Path) -> bool {
    let user = rustix::process::geteuid().as_raw();
    std::fs::symlink_metadata(dir).is_ok_and(|it| it.is_dir() && it.uid() == user && it.mode() & 0o077 != 0)
}

/// Takes the rights of others on a file or folder of the state away.
pub fn close(path: &Path) -> Result<(), Error> {
    let metadata = std::fs::symlink_metadata(path).map_err(Error::io("look at", path))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(metadata.mode() & 0o700);
    std::fs::set_permissions(path, mode).map_err(Error::io("change the mode of", path))
}

impl Store {
    /// Looks at everything in the state directory but the mirrors, the transactions and the database's inside.
    pub fn faults(&self) -> Result<Vec<Fault>, Error> {
        let mut faults = Vec::new();
        for path in entries(&self.dir)? {
            if path.extension().is_some_and(|it| it == "new") {
                faults.push(Fault::Unfinished(path));
            // Git chooses the modes in its mirrors, which nobody reaches from outside.
            } else if path.file_name().is_none_or(|it| it != "mirror") && is_open_to_others(&path) {
                faults.push(Fault::Open(path));
            }
        }
        let transactions = self.dir.join("transactions");
        for shelf in if transactions.is_dir() { entries(&transactions)? } else { Vec::new() } {
            let (new, damaged) = (shelf.join("new"), shelf.join("damaged"));
            faults.extend(new.symlink_metadata().is_ok().then_some(Fault::Unfinished(new)));
            faults.extend(damaged.symlink_metadata().is_ok().then_some(Fault::Damaged(damaged)));
        }
        self.faults_of_copies(&mut faults)?;
        Ok(faults)
    }

    fn faults_of_copies(&self, faults: &mut Vec<Fault>) -> Result<(), Error> {
        let rows = self.kept_entries(None, "")?;
        let known: BTreeSet<&str> = rows.iter().map(|it| it.file.kept.id.as_str()).collect();
        let folder = self.dir.join("kept");
        let mut whole = BTreeSet::new();
        for path in if folder.is_dir() { entries(&folder)? } else { Vec::new() } {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".new") {
                faults.push(Fault::Unfinished(path));
            } else if self.read_kept(&name).is_err() {
                faults.push(Fault::BadCopy(path));
            } else if !known.contains(name.as_str()) {
                faults.push(Fault::Orphan(path));
            } else {
                whole.insert(name);
                if is_open_to_others(&path) {
                    faults.push(Fault::Open(path));
                }
            }
        }
        let lost = rows.iter().filter(|it| !whole.contains(&it.file.kept.id));
        faults.extend(lost.map(|it| Fault::LostCopy {
            id: it.file.kept.id.clone(),
            path: format!("{}/{}", it.file.kept.root, it.file.kept.path),
        }));
        Ok(())
    }

    /// Mends a fault: what cannot be used is moved to the folder `aside` of the state directory, and nothing is removed but
    /// files that were never finished and records of what is lost.
    pub fn mend(&self, fault: &Fault) -> Result<(), Error> {
        match fault {
            Fault::Open(path) => close(path),
            Fault::Unfinished(path) => match path.is_dir() {
                true => self.set_aside(path),
                false => directory::remove_if_there(path),
            },
            Fault::Damaged(path) | Fault::BadCopy(path) | Fault::Orphan(path) => self.set_aside(path),
            Fault::LostCopy { id, .. } => self.run("DELETE FROM kept WHERE id = ?1", [id]).map(drop),
        }
    }

    /// Moves something out of the way, under a name that is free.
    pub fn set_aside(&self, path: &Path) -> Result<(), Error> {
        let folder = self.dir.join(ASIDE);
        match std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&folder) {
            Ok(()) => directory::sync(&self.dir)?,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("make", &folder)(error)),
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_free = |it: &PathBuf| it.symlink_metadata().is_err();
        let free = (1..u32::MAX).map(|n| folder.join(format!("{name}-{n}"))).find(is_free);
        let to = free.unwrap_or_else(|| folder.join(&name));
        std::fs::rename(path, &to).map_err(Error::io("rename", path))?;
        directory::sync(&folder)?;
        directory::sync(path.parent().unwrap_or(path))
    }
}

fn is_open_to_others(path: &Path) -> bool {
    let found = std::fs::symlink_metadata(path);
    found.is_ok_and(|it| (it.is_file() || it.is_dir()) && it.mode() & 0o077 != 0)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let listed = std::fs::read_dir(dir).map_err(Error::io("list", dir))?;
    let mut paths: Vec<PathBuf> = listed.filter_map(|it| it.ok().map(|it| it.path())).collect();
    paths.sort();
    Ok(paths)
}
