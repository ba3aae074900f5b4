//! Files that are replaced as a whole.

use crate::finding::{Code, Finding};
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Replaces a file that holds `old`, or makes it where that is `None`; nobody sees half of it, its mode stays, and a link is
/// not followed.
///
/// `E_SET` when it holds something else by now, `E_IO` when it cannot be written.
pub(crate) fn replace(path: &Path, old: Option<&[u8]>, new: &[u8]) -> Result<(), Finding> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = fs::symlink_metadata(path).ok();
    let current = found.as_ref().map(|_| fs::read(path)).transpose().map_err(|it| failed("read", path, &it))?;
    if current.as_deref() != old || found.as_ref().is_some_and(|it| !it.is_file()) {
        return Err(Finding::error(Code::SET, format!("{} changed in the meantime", path.display())));
    }
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|it| failed("write beside", path, &it))?;
    let mode = found.map_or_else(|| Permissions::from_mode(0o644), |it| it.permissions());
    let written = file.write_all(new).and_then(|()| file.as_file().set_permissions(mode));
    written.and_then(|()| file.as_file().sync_all()).map_err(|it| failed("write", path, &it))?;
    file.persist(path).map_err(|it| failed("replace", path, &it.error))?;
    Ok(())
}

pub(super) fn failed(action: &str, path: &Path, error: &io::Error) -> Finding {
    Finding::error(Code::IO, format!("cannot {action} {}: {error}", path.display()))
}
