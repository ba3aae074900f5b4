//! Making commits, and pushing them; never by force.

use super::error::{Error, one_line, reason_of};
use super::mirror::Mirror;
use super::transport::exchange;
use super::{Remote, id, oid};
use crate::revision::ObjectId;
use crate::rollback::NewCommit;
use std::cell::RefCell;

impl Mirror {
    /// Makes a commit in the mirror; the same values make the same object, on every host.
    pub fn create_commit(&self, commit: &NewCommit) -> Result<ObjectId, Error> {
        let make = || -> Result<git2::Oid, git2::Error> {
            let time = git2::Time::new(commit.time, commit.offset);
            let author = git2::Signature::new(&commit.author_name, &commit.author_email, &time)?;
            let of = |id: &ObjectId| git2::Oid::from_str(id.as_str());
            let tree = self.repository.find_tree(of(&commit.tree)?)?;
            let parents: Result<Vec<_>, _> =
                commit.parents.iter().map(|it| of(it).and_then(|it| self.repository.find_commit(it))).collect();
            let parents = parents?;
            let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
            self.repository.commit(None, &author, &author, &commit.message, &tree, &parents)
        };
        make().map(id).map_err(|error| self.judge("a new commit", &error))
    }

    /// Pushes a commit to a ref of the remote, given by its full name.
    ///
    /// A ref that does not lead on from what the remote has is refused, here or there; nothing is ever forced.
    pub fn push(&self, remote: &Remote, commit: &ObjectId, refname: &str) -> Result<(), Error> {
        let refused = |reason: String| Error::PushRefused {
            remote: remote.url.to_string(),
            reference: one_line(refname.as_bytes()),
            reason,
        };
        if !refname.starts_with("refs/") || !git2::Reference::is_valid_name(refname) {
            return Err(refused("it is not the full name of a ref".into()));
        }
        let spec = format!("{}:{refname}", oid(commit)?);
        let rejection = exchange(&self.repository, remote, true, |way, exchange| {
            let answer = RefCell::new(None);
            let mut callbacks = exchange.callbacks();
            // libgit2 calls a push that the server has rejected a success; only this callback knows better.
            callbacks.push_update_reference(|_, status| {
                answer.replace(Some(status.map(str::to_owned)));
                Ok(())
            });
            let mut options = git2::PushOptions::new();
            options.remote_callbacks(callbacks).packbuilder_parallelism(1);
            let pushed = way.push(&[&spec], Some(&mut options));
            drop(options);
            match pushed {
                Ok(()) => {}
                Err(error) if error.code() == git2::ErrorCode::NotFastForward => {
                    return Ok(Some(format!("it has moved on ({})", reason_of(&error))));
                }
                Err(error) => return Err(error),
            }
            // Without an answer nothing had to be pushed: the remote has this commit there already.
            let status = answer.into_inner().flatten();
            Ok(status.map(|it| with_words(&it, &exchange.said())))
        })?;
        rejection.map_or(Ok(()), |reason| Err(refused(reason)))
    }
}

/// Joins the server's status of a ref with what its hooks said.
fn with_words(status: &str, said: &str) -> String {
    let status = one_line(status.as_bytes());
    match said {
        "" => status,
        _ => format!("{status}: {said}"),
    }
}
