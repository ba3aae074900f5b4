//! Bringing the wanted ref, and nothing else, from a remote into the mirror.

use super::error::{Error, of_read, reason_of};
use super::mirror::{PINS, discard, ref_component};
use super::transport::{self, local};
use super::{Mirror, Remote, id, oid};
use crate::finding::Code;
use crate::render::shown;
use crate::revision::ObjectId;
use crate::revision::fsck::{self, Flaw};
use git2::{Oid, Repository};
use std::collections::HashSet;

const TRACKED: &str = "refs/headfast/remote/";

/// What a caller wants of a remote.
enum Wanted<'a> {
    Branch(&'a str),
    Tag(&'a str),
    Commit(Oid),
    /// A ref by its full name, which may be absent.
    Reference(&'a str),
}

/// One ref as a remote offers it.
struct Offered {
    name: String,
    target: Oid,
}

/// A ref that was found in a remote and brought into the mirror.
struct Brought {
    name: String,
    target: Oid,
}

impl Mirror {
    /// Fetches a branch, and returns the commit at its tip.
    ///
    /// When nothing is new this costs one round trip. A mirror that turns out to be damaged is made anew.
    pub fn fetch(&mut self, remote: &Remote, branch: &str) -> Result<ObjectId, Error> {
        self.bring(remote, &Wanted::Branch(branch)).map(|it| id(it.target))
    }

    /// Fetches the newest tag, by semantic version, that `pattern` picks: `v*`, or a range like `>=1.2, <2`.
    ///
    /// Returns the tag's name and its commit.
    pub fn fetch_tag(&mut self, remote: &Remote, pattern: &str) -> Result<(String, ObjectId), Error> {
        let brought = self.bring(remote, &Wanted::Tag(pattern))?;
        let name = brought.name.strip_prefix("refs/tags/").unwrap_or(&brought.name).to_owned();
        Ok((name, id(brought.target)))
    }

    /// Fetches a commit by its whole id; it costs nothing when the commit is here already.
    pub fn fetch_commit(&mut self, remote: &Remote, commit: &ObjectId) -> Result<(), Error> {
        let wanted = oid(commit)?;
        if !self.needs_renewal() && self.repository.find_commit(wanted).is_ok() && self.check_complete(wanted).is_ok() {
            return Ok(());
        }
        self.bring(remote, &Wanted::Commit(wanted)).map(drop)
    }

    /// Fetches a ref of any kind; returns `None` when the remote does not have it.
    pub(super) fn fetch_reference(&mut self, remote: &Remote, name: &str) -> Result<Option<Oid>, Error> {
        match self.bring(remote, &Wanted::Reference(name)) {
            Ok(brought) => Ok(Some(brought.target)),
            Err(Error::RefMissing { .. } | Error::EmptyRepository { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn bring(&mut self, remote: &Remote, wanted: &Wanted<'_>) -> Result<Brought, Error> {
        wanted.check(remote)?;
        if !self.needs_renewal() {
            match self.bring_once(remote, wanted) {
                Ok(brought) => {
                    self.salvage_aside();
                    return Ok(brought);
                }
                Err(error) if !error.is_damage() => return Err(error),
                Err(_) => {}
            }
        }
        // Something is missing, here or in the remote. The old mirror goes only when a new one could be filled.
        let successor = self.successor()?;
        let brought = successor.bring_once(remote, wanted);
        match &brought {
            Ok(_) => self.replace(successor)?,
            Err(_) => discard(&successor),
        }
        brought
    }

    fn bring_once(&self, remote: &Remote, wanted: &Wanted<'_>) -> Result<Brought, Error> {
        let found = match remote.url.local_path() {
            Some(path) => self.bring_local(remote, path, wanted)?,
            None => self.bring_remote(remote, wanted)?,
        };
        check_commit(&self.repository, found.target)?;
        let commit = self.repository.find_object(found.target, None).and_then(|it| it.peel_to_commit());
        let target = match (commit, wanted) {
            (Ok(commit), _) => commit.id(),
            (Err(error), Wanted::Commit(_) | Wanted::Reference(_)) => return Err(of_read(&wanted.what(), &error)),
            (Err(error), _) if error.code() == git2::ErrorCode::NotFound => {
                return Err(of_read(&wanted.what(), &error));
            }
            (Err(_), _) => return Err(wanted.missing(remote)),
        };
        if self.repository.refname_to_id(&wanted.tracked()).ok() != Some(target) {
            self.check_complete(target)?;
            self.set_reference(&wanted.tracked(), target)?;
        }
        Ok(Brought { name: found.name, target })
    }

    fn bring_local(&self, remote: &Remote, path: &str, wanted: &Wanted<'_>) -> Result<Offered, Error> {
        let from = local::open(remote, path)?;
        let offered = offered_locally(&from, wanted, remote)?;
        let found = wanted.choose(&offered).ok_or_else(|| wanted.missing(remote))?;
        check_commit(&from, found.target)?;
        match from.find_object(found.target, None) {
            Ok(it) if it.kind() == Some(git2::ObjectType::Commit) => {}
            Err(error) if !matches!(wanted, Wanted::Commit(_)) => return Err(of_read(&wanted.what(), &error)),
            _ => return Err(wanted.missing(remote)),
        }
        if self.has(found.target) || self.is_refused(found.target) {
            return Ok(found);
        }
        // git packs many times faster than libgit2 does; without it, or when it does not trust the owner, copy.
        match self.bring_remote(remote, wanted) {
            Err(
                error @ (Error::Timeout { .. } | Error::TooBig { .. } | Error::NoSpace { .. } | Error::Quota { .. }),
            ) => Err(error),
            Err(_) => {
                let copied = local::copy(&remote.url.to_string(), &from, &self.repository, found.target);
                // What neither git nor libgit2 can pack may say why.
                copied.map_err(|error| why_not_copied(&from, found.target).unwrap_or(error))?;
                Ok(found)
            }
            other => other,
        }
    }

    fn bring_remote(&self, remote: &Remote, wanted: &Wanted<'_>) -> Result<Offered, Error> {
        transport::exchange(&self.repository, remote, false, |way, exchange| {
            let mut connection = way.connect_auth(git2::Direction::Fetch, Some(exchange.callbacks()), None)?;
            let offered: Vec<Offered> =
                connection.list()?.iter().map(|it| Offered { name: it.name().to_owned(), target: it.oid() }).collect();
            let found = match wanted.choose(&offered) {
                Some(found) => found,
                None if offered.is_empty() => return Ok(Err(wanted.empty(remote))),
                None => return Ok(Err(wanted.missing(remote))),
            };
            if !self.has(found.target) && !self.is_refused(found.target) {
                let mut options = git2::FetchOptions::new();
                options.remote_callbacks(exchange.callbacks()).download_tags(git2::AutotagOption::None);
                options.update_fetchhead(false);
                let source = match wanted {
                    Wanted::Commit(commit) => commit.to_string(),
                    _ => found.name.clone(),
                };
                connection.remote().download(&[format!("+{source}:{}", wanted.tracked())], Some(&mut options))?;
            }
            Ok(Ok(found))
        })?
    }

    /// Returns whether a fetch of `target` can be left out: it was here, and complete, at the last one.
    fn has(&self, target: Oid) -> bool {
        let is_tracked = |it: git2::Reference<'_>| it.target() == Some(target);
        let tracked = self.repository.references_glob(&format!("{TRACKED}*"));
        tracked.is_ok_and(|it| it.flatten().any(is_tracked))
            && self.repository.find_commit(target).and_then(|it| it.tree()).is_ok()
    }

    /// Returns whether `target` was brought before and is refused for what it holds, so that it need not be brought again.
    fn is_refused(&self, target: Oid) -> bool {
        let is_here = self.repository.find_commit(target).is_ok();
        is_here && matches!(self.check_complete(target), Err(Error::Hostile { .. }))
    }

    /// Checks that every commit that `tip` brings is here, and every file of its own tree.
    ///
    /// What refs already lead to was checked when they were set, so this grows with the change.
    pub(super) fn check_complete(&self, tip: Oid) -> Result<(), Error> {
        let what = format!("commit {tip}");
        let failed =
            |error: git2::Error| Error::Incomplete { what: what.clone(), reason: super::error::reason_of(&error) };
        let mut walk = self.repository.revwalk().map_err(failed)?;
        walk.push(tip).map_err(failed)?;
        let mut known_trees = Vec::new();
        for glob in [format!("{TRACKED}*"), format!("{PINS}*")] {
            for reference in self.repository.references_glob(&glob).map_err(failed)?.flatten() {
                if let Some(known) = reference.target().filter(|it| *it != tip)
                    && let Ok(commit) = self.repository.find_commit(known)
                {
                    walk.hide(known).map_err(failed)?;
                    known_trees.push(commit.tree_id());
                }
            }
        }
        for commit in walk {
            commit.map_err(failed)?;
        }
        let tree = self.repository.find_commit(tip).map_err(failed)?.tree_id();
        check_tree(&self.repository, &what, tree, &known_trees)
    }
}

/// Checks that all files of a tree are here, and that its folders are as git makes them, leaving out what it shares with
/// the trees in `known`.
fn check_tree(repository: &Repository, what: &str, tree: Oid, known: &[Oid]) -> Result<(), Error> {
    let failed = |error: git2::Error| Error::Incomplete { what: what.to_owned(), reason: reason_of(&error) };
    let odb = repository.odb().map_err(failed)?;
    let mut seen: HashSet<Oid> = known.iter().copied().collect();
    let mut waiting = vec![(tree, Vec::new(), known.to_vec())];
    while let Some((tree, path, known)) = waiting.pop() {
        if !seen.insert(tree) {
            continue;
        }
        let known: Vec<_> = known.iter().filter_map(|it| repository.find_tree(*it).ok()).collect();
        let object = odb.read(tree).map_err(failed)?;
        let entries = fsck::tree(object.data()).map_err(|flaw| hostile(&below(&path, &flaw.name), &flaw))?;
        for entry in entries {
            let id = Oid::from_bytes(entry.id).map_err(failed)?;
            let before = known.iter().filter_map(|it| it.get_name_bytes(entry.name).map(|it| it.id()));
            let before: Vec<Oid> = before.collect();
            if before.contains(&id) {
                continue;
            }
            if entry.is_tree() {
                waiting.push((id, below(&path, entry.name), before));
            } else if entry.is_blob() {
                if !odb.exists(id) {
                    let reason = format!("blob {id} is missing");
                    return Err(Error::Incomplete { what: what.to_owned(), reason });
                }
                if entry.is_modules() {
                    check_modules(&odb, id, &below(&path, entry.name)).map_err(failed)??;
                }
            }
            // A gitlink's commit is of another repository.
        }
    }
    Ok(())
}

fn why_not_copied(from: &Repository, commit: Oid) -> Option<Error> {
    let tree = from.find_commit(commit).ok()?.tree_id();
    check_tree(from, &format!("commit {commit}"), tree, &[]).err()
}

/// Refuses a commit that cannot be read or misleads who reads it. One that is not here is for others to judge.
fn check_commit(repository: &Repository, commit: Oid) -> Result<(), Error> {
    let object = repository.odb().and_then(|odb| odb.read(commit).map(|it| (it.kind(), fsck::commit_flaw(it.data()))));
    match object {
        Ok((git2::ObjectType::Commit, Some(flaw))) => {
            Err(Error::Hostile { what: format!("commit {commit}"), code: flaw.code, reason: flaw.reason })
        }
        _ => Ok(()),
    }
}

fn check_modules(odb: &git2::Odb<'_>, id: Oid, path: &[u8]) -> Result<Result<(), Error>, git2::Error> {
    if odb.read_header(id)?.0 > fsck::MODULES_BYTES_MAX {
        return Ok(Ok(()));
    }
    let reason = fsck::modules_flaw(odb.read(id)?.data());
    let flaw = reason.map(|reason| Flaw { code: Code::FSCK, name: Vec::new(), reason });
    Ok(flaw.map_or(Ok(()), |it| Err(hostile(path, &it))))
}

fn hostile(path: &[u8], flaw: &Flaw) -> Error {
    Error::Hostile { what: format!("`{}`", shown(path)), code: flaw.code, reason: flaw.reason }
}

fn below(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

impl Wanted<'_> {
    fn what(&self) -> String {
        match self {
            Wanted::Branch(name) => format!("branch `{}`", name.escape_debug()),
            Wanted::Tag(pattern) => format!("tag `{}`", pattern.escape_debug()),
            Wanted::Commit(commit) => format!("commit {commit}"),
            Wanted::Reference(name) => format!("ref `{}`", name.escape_debug()),
        }
    }

    fn missing(&self, remote: &Remote) -> Error {
        Error::RefMissing { remote: remote.url.to_string(), what: self.what() }
    }

    /// Refuses names that git itself would not take, before anything is asked.
    fn check(&self, remote: &Remote) -> Result<(), Error> {
        let is_valid = match self {
            Wanted::Branch(name) => git2::Branch::name_is_valid(name).unwrap_or(false),
            Wanted::Reference(name) => git2::Reference::is_valid_name(name),
            Wanted::Tag(_) | Wanted::Commit(_) => true,
        };
        if is_valid { Ok(()) } else { Err(self.missing(remote)) }
    }

    /// Returns the ref of the mirror that follows what is wanted.
    fn tracked(&self) -> String {
        match self {
            Wanted::Branch(name) => format!("{TRACKED}branch-{}", ref_component(name)),
            Wanted::Tag(pattern) => format!("{TRACKED}tag-{}", ref_component(pattern)),
            Wanted::Commit(commit) => format!("{TRACKED}commit-{commit}"),
            Wanted::Reference(name) => format!("{TRACKED}ref-{}", ref_component(name)),
        }
    }

    fn empty(&self, remote: &Remote) -> Error {
        Error::EmptyRepository { remote: remote.url.to_string() }
    }

    fn choose(&self, offered: &[Offered]) -> Option<Offered> {
        let target_of = |wanted: &str| offered.iter().find(|it| it.name == wanted).map(|it| it.target);
        let (name, target) = match self {
            Wanted::Branch(name) => (format!("refs/heads/{name}"), None),
            Wanted::Reference(name) => ((*name).to_owned(), None),
            Wanted::Commit(commit) => (commit.to_string(), Some(*commit)),
            Wanted::Tag(pattern) => {
                let names = offered.iter().filter_map(|it| it.name.strip_prefix("refs/tags/"));
                let name = format!("refs/tags/{}", newest_tag(names.filter(|it| !it.ends_with("^{}")), pattern)?);
                // What an annotated tag is of, is offered under a second name.
                let peeled = target_of(&format!("{name}^{{}}"));
                (name, peeled)
            }
        };
        let target = target.or_else(|| target_of(&name))?;
        Some(Offered { name, target })
    }
}

/// Returns the refs of a repository on this host that matter here.
fn offered_locally(from: &Repository, wanted: &Wanted<'_>, remote: &Remote) -> Result<Vec<Offered>, Error> {
    let failed = |error: git2::Error| of_read(&remote.url.to_string(), &error);
    let mut offered = Vec::new();
    let glob = match wanted {
        Wanted::Branch(name) => format!("refs/heads/{name}"),
        Wanted::Reference(name) => (*name).to_owned(),
        Wanted::Tag(_) => "refs/tags/*".to_owned(),
        Wanted::Commit(_) => return Ok(offered),
    };
    // A ref that leads nowhere, or in a circle, is like one that is not there.
    for reference in from.references_glob(&glob).map_err(failed)?.flatten() {
        if let (Ok(name), Ok(resolved)) = (reference.name(), reference.resolve())
            && let Some(target) = resolved.target()
        {
            let target = resolved.peel_to_commit().map_or(target, |it| it.id());
            offered.push(Offered { name: name.to_owned(), target });
        }
    }
    let is_empty = offered.is_empty() && from.references().map_err(failed)?.flatten().next().is_none();
    match is_empty {
        true => Err(wanted.empty(remote)),
        false => Ok(offered),
    }
}

/// Returns the newest of the names that a pattern picks: a range of versions, or a glob.
fn newest_tag<'a>(names: impl Iterator<Item = &'a str>, pattern: &str) -> Option<&'a str> {
    let version = |name: &str| semver::Version::parse(name.strip_prefix('v').unwrap_or(name)).ok();
    let range = match pattern.trim_start().starts_with(['<', '>', '=', '^', '~']) {
        true => Some(semver::VersionReq::parse(pattern).ok()?),
        false => None,
    };
    let glob = match range {
        Some(_) => None,
        None => Some(globset::Glob::new(pattern).ok()?.compile_matcher()),
    };
    let is_picked = |name: &str| match (&range, &glob) {
        (Some(range), _) => version(name).is_some_and(|it| range.matches(&it)),
        (None, Some(glob)) => name == pattern || (glob.is_match(name) && version(name).is_some()),
        (None, None) => false,
    };
    names.filter(|it| is_picked(it)).max_by(|a, b| version(a).cmp(&version(b)).then_with(|| a.cmp(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_tag_is_the_newest_version() {
        let names = ["v1.2.0", "v1.10.0", "v2.0.0-rc.1", "v1.9.9", "latest", "1.11.0"];
        let pick = |pattern: &str| newest_tag(names.iter().copied(), pattern);
        assert_eq!(pick("v1*"), Some("v1.10.0"));
        assert_eq!(pick("v*"), Some("v2.0.0-rc.1"));
        assert_eq!(pick(">=1.2, <2"), Some("1.11.0"));
        assert_eq!(pick("latest"), Some("latest"));
        assert_eq!(pick("v3*"), None);
        assert_eq!(pick(">=x"), None);
        assert_eq!(pick("[v"), None);
    }
}
