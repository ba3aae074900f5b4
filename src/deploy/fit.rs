//! Whether this host can take a plan: its file systems, their owners, room and flags, asked before anything is written.

use super::{ConfigurationDeployer, Error};
use crate::finding::{Code, Findings};
use crate::host::transaction::Request;
use std::collections::BTreeMap;

/// Under which name the state remembers the file system of a target.
fn name_of(target: &str) -> String {
    format!("file_system:{target}")
}

impl ConfigurationDeployer<'_> {
    /// Pushes everything that would keep the host from carrying out a request.
    pub(super) fn fit(&self, request: &Request, findings: &mut Findings) -> Result<(), Error> {
        let mut known = BTreeMap::new();
        for target in self.store.roots(self.name())? {
            if let Some(identity) = self.store.recall(self.name(), &name_of(&target))? {
                known.insert(target, identity);
            }
        }
        for error in self.client.examine(request, known)? {
            let finding = error.to_finding();
            findings.push(match error.code() {
                Code::TARGET_DEVICE => {
                    finding.hint("mount it; if the move is meant, say `headfast accept --file-systems`")
                }
                _ => finding,
            });
        }
        Ok(())
    }

    /// Remembers which file systems the targets of a switch are on, so that one that is not mounted later is noticed.
    pub(super) fn remember_file_systems(&self, found: &[(String, String)]) -> Result<(), Error> {
        found.iter().try_for_each(|(target, now)| self.remember_file_system(target, now).map(drop))
    }

    /// Takes the file systems that the deployed targets are on now for the right ones; returns the targets that moved.
    pub fn accept_file_systems(&self) -> Result<Vec<String>, Error> {
        let targets = self.store.roots(self.name())?;
        let remember = |it: &str| self.remember_file_system(it, &self.client.file_system(it)?);
        let moved = targets.into_iter().filter_map(|it| match remember(&it) {
            Ok(moved) => moved.then_some(Ok(it)),
            Err(error) => Some(Err(error)),
        });
        moved.collect()
    }

    /// Returns whether it is another one than what was known, if any was.
    fn remember_file_system(&self, target: &str, now: &str) -> Result<bool, Error> {
        let name = name_of(target);
        let known = self.store.recall(self.name(), &name)?;
        if known.as_deref() != Some(now) {
            self.store.remember(self.name(), &name, now)?;
        }
        Ok(known.is_some_and(|it| it != now))
    }
}
