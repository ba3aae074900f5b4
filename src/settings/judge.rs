//! Whether a host lets a repository have a target or a remote layer.

use super::{Repository, Settings};
use crate::finding::{Code, Finding};
use crate::manifest::{RemoteLayer, covers};
use std::path::{Path, PathBuf};

/// The directories from which systemd runs things; a target may lie in them, and must not be one of them.
const UNIT_DIRECTORIES: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

impl Settings {
    /// Refuses a target that `allow.paths` does not cover, or that no repository may ever have; the finding has no place.
    ///
    /// `target` is the absolute, normalised path of a [`crate::manifest::Target`]. `/etc` must be listed itself.
    pub fn judge_target(&self, repository: &Repository, target: &str) -> Result<(), Finding> {
        if let Some(why) = self.forbids(target) {
            let message = format!("the target {target} is never allowed: it meets {why}");
            return Err(Finding::error(Code::TARGET_FORBIDDEN, message));
        }
        let mut allowed = repository.allow.iter().flat_map(|it| &it.paths);
        if allowed.any(|it| if target == "/etc" { it == target } else { covers(it, target) }) {
            return Ok(());
        }
        let message = format!("the repository `{}` may not have the target {target}", repository.name);
        let hint = format!("to allow it, add {target} to `allow.paths` of the repository in {}", self.path.display());
        Err(Finding::error(Code::TARGET_NOT_ALLOWED, message).hint(hint))
    }

    /// Refuses a remote layer that `allow.remotes` does not cover; the finding has no place.
    pub fn judge_remote(&self, repository: &Repository, layer: &RemoteLayer) -> Result<(), Finding> {
        let mut allowed = repository.allow.iter().flat_map(|it| &it.remotes);
        if allowed.any(|it| layer.url.starts_with(it)) {
            return Ok(());
        }
        let message = format!("the repository `{}` may not have the remote layer {}", repository.name, layer.url);
        let folder = layer.url.rsplit_once('/').map_or("", |it| it.0);
        let agent = self.path.display();
        let hint = match repository.allow.as_ref().is_some_and(|it| !it.remotes.is_empty()) {
            true => format!("to allow it, add {folder}/ to `allow.remotes` of the repository in {agent}"),
            false => format!("to allow it, write `remotes: [{folder}/]` under `allow` of the repository in {agent}"),
        };
        Err(Finding::error(Code::REMOTE_NOT_ALLOWED, message).hint(hint))
    }

    /// Returns what of the agent's own a target would meet.
    fn forbids(&self, target: &str) -> Option<&'static str> {
        let holds = |path: &Path| covers(target, &path.to_string_lossy());
        let is_inside = |path: &str| covers(path, target);
        if holds(&self.state_dir) || is_inside(&self.state_dir.to_string_lossy()) {
            return Some("the state directory of headfast");
        }
        if is_inside("/etc/headfast") {
            return Some("the configuration directory of headfast");
        }
        // `/etc` itself is written in place and never pruned of what others put there.
        if target != "/etc" && (holds(&self.path) || self.repositories.iter().flat_map(trusted_files).any(holds)) {
            return Some("a file that the agent trusts");
        }
        let is_own_unit = |it: &str| target.starts_with(&format!("{it}/headfast"));
        UNIT_DIRECTORIES.iter().any(|it| *it == target || is_own_unit(it)).then_some("a directory of systemd units")
    }
}

/// Lists the files that say whom and what the agent believes.
fn trusted_files(repository: &Repository) -> impl Iterator<Item = &Path> {
    let Repository { auth, verify, age, env_file, .. } = repository;
    let tokens = repository.status.iter().map(|it| &it.token_file);
    let named = [
        &auth.ssh_key,
        &auth.known_hosts,
        &auth.token_file,
        &auth.ca_file,
        &verify.allowed_signers,
        &age.identity,
        &age.key_file,
        env_file,
    ];
    named.into_iter().chain(tokens).flatten().map(PathBuf::as_path)
}
