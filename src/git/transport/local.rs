//! A repository on this host: read directly, pushed to through git itself, so that its hooks and rules hold.

use super::program::Plan;
use super::{Call, Error, environment};
use crate::git::error::{of_read, one_line, reason_of};
use crate::git::{Credentials, Remote};
use git2::transport::Service;
use git2::{Oid, Repository};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitStatus;

/// Opens the repository at `path`, telling apart what is gone, what is no repository and what libgit2 cannot read.
pub(in crate::git) fn open(remote: &Remote, path: &str) -> Result<Repository, Error> {
    let name = remote.url.to_string();
    if let Err(error) = std::fs::metadata(path) {
        return Err(Error::Unreachable { remote: name, reason: error.to_string() });
    }
    Repository::open(path).map_err(|error| {
        let reason = reason_of(&error);
        match reason.contains("extension") || reason.contains("object format") {
            true => Error::ObjectFormat { remote: name, reason },
            false => Error::Unreachable { remote: name, reason },
        }
    })
}

/// Copies `tip`, and all that it needs and `to` has not, from one repository of this host to another.
pub(in crate::git) fn copy(name: &str, from: &Repository, to: &Repository, tip: Oid) -> Result<(), Error> {
    let failed = |error: git2::Error| of_read(name, &error);
    let source = from.odb().map_err(failed)?;
    let mut walk = from.revwalk().map_err(failed)?;
    walk.push(tip).map_err(failed)?;
    for reference in to.references().map_err(failed)? {
        let Some(known) = reference.ok().and_then(|it| it.target()) else { continue };
        if source.exists(known) {
            // What is not a commit cannot be hidden, and need not be.
            let _ = walk.hide(known);
        }
    }
    let mut builder = from.packbuilder().map_err(failed)?;
    builder.insert_walk(&mut walk).map_err(failed)?;
    let odb = to.odb().map_err(failed)?;
    let mut writer = odb.packwriter().map_err(failed)?;
    let mut write_error = None;
    let written = builder.foreach(|bytes| {
        use std::io::Write;
        match writer.write_all(bytes) {
            Ok(()) => true,
            Err(error) => {
                write_error = Some(error.to_string());
                false
            }
        }
    });
    if let Some(reason) = write_error {
        return Err(Error::Git { what: name.to_owned(), reason: one_line(reason.as_bytes()) });
    }
    written.map_err(failed)?;
    writer.commit().map_err(failed)?;
    Ok(())
}

/// Plans a push: git's own program, as the owner of the repository when we may.
///
/// A hook of somebody else's repository never runs as root, and what is written belongs to whom the rest belongs.
pub(super) fn plan(path: &str, credentials: &Credentials, service: Service, call: &Call) -> Result<Plan, Error> {
    let program = match service {
        Service::UploadPackLs | Service::UploadPack => "upload-pack",
        Service::ReceivePackLs | Service::ReceivePack => "receive-pack",
    };
    let owner = std::fs::metadata(git_dir(Path::new(path))).map_err(|it| call.unreachable(it.to_string()))?;
    let may_choose = rustix::process::geteuid().is_root();
    let run_as = (may_choose && owner.uid() != 0).then(|| (owner.uid(), owner.gid()));
    let mut variables = environment(credentials);
    variables.retain(|(name, _)| name != "SSH_AUTH_SOCK" && (name != "HOME" || run_as.is_none()));
    variables.push(("GIT_CONFIG_NOSYSTEM".into(), "1".into()));
    variables.push(("GIT_CONFIG_GLOBAL".into(), "/dev/null".into()));
    variables.push(("GIT_TERMINAL_PROMPT".into(), "0".into()));
    Ok(Plan { program: "git", arguments: vec![program.into(), path.into()], environment: variables, run_as, judge })
}

fn git_dir(path: &Path) -> std::path::PathBuf {
    let inside = path.join(".git");
    if inside.exists() { inside } else { path.to_owned() }
}

fn judge(call: &Call, _: Option<ExitStatus>, said: &str) -> Error {
    match said {
        "" => call.git("git ended early"),
        _ => super::judge_said(call, said),
    }
}
