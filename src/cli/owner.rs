//! Whose files the state is made of. An installed agent is a user of its own, and root's commands must not leave files among
//! its state that it cannot open.

use super::exit::Failure;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Runs the same command again as the user who owns the state, when root runs it and someone else owns that; returns when
/// there is nothing to change.
pub fn become_owner_of(state_dir: &Path) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    // Where there is no state yet it will be root's own.
    let Ok(metadata) = std::fs::symlink_metadata(state_dir) else { return Ok(()) };
    if !metadata.is_dir() || metadata.uid() == 0 {
        return Ok(());
    }
    let error = Command::new(super::OWN_PROGRAM)
        .args(std::env::args_os().skip(1))
        .gid(metadata.gid())
        .uid(metadata.uid())
        .exec();
    Err(Failure::io("become the owner of", state_dir, &error))
}
