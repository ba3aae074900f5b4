//! The revert commit: made once per failed commit, the same object on every host that fails alike, never forced.

use super::{ConfigurationDeployer, Error};
use crate::finding::Code;
use crate::revision::{Commit, ObjectId};
use crate::rollback::{self, NewCommit};
use crate::settings::{Push, Wanted};

/// How often a revert is rebuilt on a branch that moves while it is being pushed.
const TRIES: usize = 3;

/// The most commits that a revert's message lists.
const LISTED_MAX: usize = 1000;

/// What became of a revert.
pub(super) enum Reverted {
    /// It is on the branch that hosts follow.
    Pushed,
    /// It is on a branch of its own, for a person to merge.
    Proposed,
    /// Nothing was pushed, for the reason given.
    Not(String),
}

impl ConfigurationDeployer<'_> {
    /// Makes the revert that a rollback has left to do; tried again on every pass until it is there or not needed.
    pub(super) fn revert_when_due(&self) -> Result<Option<String>, Error> {
        let Some(failed) = self.store.recall(self.name(), "revert")?.map(|it| ObjectId::new(&it)) else {
            return Ok(None);
        };
        let Some(good) = self.store.live(self.name())?.map(|it| it.revision) else {
            self.store.forget(self.name(), "revert")?;
            return Ok(Some(format!(
                "{} failed and nothing was deployed here before: no revert is made",
                failed.short()
            )));
        };
        let reverted = self.revert(&failed, &good);
        let done = |note: String| -> Result<Option<String>, Error> {
            self.store.forget(self.name(), "revert")?;
            Ok(Some(note))
        };
        match reverted {
            Ok(Reverted::Pushed) => done(format!("{} is reverted on the branch", failed.short())),
            Ok(Reverted::Proposed) => {
                done(format!("a revert of {} waits on {} to be merged", failed.short(), rollback::branch_of(&failed)))
            }
            Ok(Reverted::Not(reason)) => done(reason),
            Err(error) => Ok(Some(format!("the revert of {} is not pushed yet: {error}", failed.short()))),
        }
    }

    /// Makes the revert of `failed` that goes back to `good`, and pushes it as the host says.
    pub(super) fn revert(&self, failed: &ObjectId, good: &ObjectId) -> Result<Reverted, Error> {
        let branch = match (&self.repository.wanted, self.repository.rollback.push) {
            (_, Push::Off) => return Ok(Reverted::Not("rollback.push is off: no revert is pushed".into())),
            (Wanted::Branch(branch), _) => branch,
            (Wanted::Tag(_) | Wanted::Commit(_), _) => {
                return Ok(Reverted::Not("a tag or commit has no branch to revert on".into()));
            }
        };
        let (revert, is_short) = self.revert_of(failed, good)?;
        if revert.tree == self.commit(failed)?.tree {
            // The facts of this host differ, not the commits: there is nothing to take back in the repository.
            return Ok(Reverted::Not(format!(
                "{} and {} have the same files: no revert is made",
                failed.short(),
                good.short()
            )));
        }
        let id = self.mirror.borrow().create_commit(&revert)?;
        let direct = self.repository.rollback.push == Push::Direct && is_short;
        let target = if direct { format!("refs/heads/{branch}") } else { rollback::branch_of(failed) };
        let mut tip = self.fetch_wanted()?;
        for _ in 0..TRIES {
            if let Some(reason) = self.overtaken(&tip, failed)? {
                return Ok(reason);
            }
            // Not in the `match`, which would hold on to the mirror that is borrowed again below.
            let pushed = self.mirror.borrow().push(&self.remote, &id, &target);
            let done = || if direct { Reverted::Pushed } else { Reverted::Proposed };
            match pushed {
                Ok(()) => return Ok(done()),
                Err(error) if error.code() == Code::PUSH_REFUSED => {
                    // Someone was faster, perhaps with the very same object: look again before saying that it failed.
                    let name = target.strip_prefix("refs/heads/").unwrap_or(&target);
                    let there = self.mirror.borrow_mut().fetch(&self.remote, name);
                    if let Ok(there) = there
                        && (there == id || rollback::is_revert_of(&self.commit(&there)?, failed))
                    {
                        return Ok(done());
                    }
                    let moved = self.fetch_wanted()?;
                    if moved == tip {
                        return Err(error.into());
                    }
                    tip = moved;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Reverted::Not("the branch keeps moving; its newest commit is deployed instead".into()))
    }

    /// Returns why no revert is needed any more: it is there already, or a newer commit is to be deployed first.
    fn overtaken(&self, tip: &ObjectId, failed: &ObjectId) -> Result<Option<Reverted>, Error> {
        if tip == failed {
            return Ok(None);
        }
        if rollback::is_revert_of(&self.commit(tip)?, failed) {
            return Ok(Some(Reverted::Pushed));
        }
        Ok(Some(Reverted::Not(format!("{} is newer than {}: it is deployed first", tip.short(), failed.short()))))
    }

    /// Returns the revert, which depends on the commits alone, and whether it may go to the branch itself.
    fn revert_of(&self, failed: &ObjectId, good: &ObjectId) -> Result<(NewCommit, bool), Error> {
        let leads_on = self.mirror.borrow().is_ancestor(good, failed)?;
        let undone = match leads_on {
            true => self.mirror.borrow().between(good, failed, LISTED_MAX)?,
            false => vec![self.commit(failed)?],
        };
        // On a branch that was rewritten it would bring back all that the rewriting took away: a person looks at it first.
        // A range that fills the list is longer than anyone has counted.
        let is_short = leads_on
            && undone.len() < LISTED_MAX
            && rollback::is_short_enough(&undone, self.repository.rollback.max_commits);
        Ok((rollback::revert_commit(&self.commit(failed)?, &self.commit(good)?, &undone), is_short))
    }

    /// Returns whether an unsigned commit is the revert that this host makes itself of a commit that failed here.
    pub(super) fn is_own_revert(&self, commit: &Commit) -> Result<bool, Error> {
        let (Some(failed), Some(good)) = (rollback::reverts(commit), rollback::restores(commit)) else {
            return Ok(false);
        };
        let failed_here = self.store.quarantined(self.name())?.iter().any(|it| it.revision == failed);
        let good_here = self.store.live(self.name())?.is_some_and(|it| it.revision == good);
        if !failed_here || !good_here || commit.parents != [failed.clone()] {
            return Ok(false);
        }
        let (same, _) = self.revert_of(&failed, &good)?;
        Ok(self.mirror.borrow().create_commit(&same)? == commit.id)
    }
}
