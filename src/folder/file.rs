//! Files that are replaced as a whole.

use crate::finding::{Code, Finding};
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Replaces a file that holds `old`, or makes it where that is `None`; nobody sees half of it, its mode stays, and a link is
/// not followed.
///
/// `E_SET` when it is no file, or holds something else by now; `E_IO` when it cannot be written.
pub(crate) fn replace(path: &Path, old: Option<&[u8]>, new: &[u8]) -> Result<(), Finding> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if current(path)?.as_deref() != old {
        return Err(Finding::error(Code::SET, format!("{} changed in the meantime", path.display())));
    }
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|it| failed("write beside", path, &it))?;
    let found = fs::symlink_metadata(path);
    let mode = found.map_or_else(|_| Permissions::from_mode(0o644), |it| it.permissions());
    let written = file.write_all(new).and_then(|()| file.as_file().set_permissions(mode));
    written.and_then(|()| file.as_file().sync_all()).map_err(|it| failed("write", path, &it))?;
    file.persist(path).map_err(|it| failed("replace", path, &it.error))?;
    Ok(())
}

/// Returns what a file holds, `None` where there is nothing. No link is followed, and nothing is opened that could make us
/// wait.
pub(super) fn current(path: &Path) -> Result<Option<Vec<u8>>, Finding> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => {
            let message = format!("{} is not a regular file", path.display());
            Err(Finding::error(Code::SET, message).hint("name the file itself"))
        }
        Ok(_) => fs::read(path).map(Some).map_err(|it| failed("read", path, &it)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, &error)),
    }
}

pub(super) fn failed(action: &str, path: &Path, error: &io::Error) -> Finding {
    Finding::error(Code::IO, format!("cannot {action} {}: {error}", path.display()))
}
