//! Looking at the host on behalf of the plan: accounts, live files, and whether they are what is wanted.

use super::prepare::files_of;
use super::{ConfigurationDeployer, Error, gate};
use crate::finding::Findings;
use crate::git::GitTree;
use crate::host::accounts;
use crate::host::service::Ask;
use crate::manifest::{Prune, Publish};
use crate::pipeline::Rendered;
use crate::plan::{self, Accounts, Ledger, LiveEntry, LiveKind, LivePath, Observation, Situation};
use crate::record::Phase;
use crate::render::{Content, OutputFile, RenderedTarget, Rendering};
use crate::revision::{ReadError, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// What the plan needs to know of the host.
pub(super) struct Seen {
    /// Every row of the ledger, directories included.
    pub(super) ledger: Ledger,
    pub(super) accounts: Accounts,
    observations: BTreeMap<LivePath, Observation>,
    present: BTreeMap<String, u64>,
}

impl Seen {
    /// Returns what the plan is made from; `ledger` is this one's without directories.
    pub(super) fn situation<'s>(&'s self, ledger: &'s Ledger, existing_refuse: bool, exempt: bool) -> Situation<'s> {
        let Seen { accounts, observations, present, .. } = self;
        Situation { ledger, accounts, observed: observations, present, existing_refuse, exempt }
    }
}

/// Returns the bytes of a content; a link's are its text.
pub(super) fn bytes(tree: &dyn Tree, content: &Content) -> Result<Vec<u8>, ReadError> {
    match content {
        Content::Blob { id, .. } => tree.blob(id),
        Content::Bytes(bytes) => Ok(bytes.to_vec()),
        Content::Link(text) => Ok(text.clone().into_bytes()),
    }
}

impl ConfigurationDeployer<'_> {
    /// Looks at every path that the plan asks about, and at no other.
    pub(super) fn look(&self, rendered: &Rendered, tree: &GitTree) -> Result<Seen, Error> {
        let rendering = &rendered.rendering;
        let ledger = self.store.ledger(self.name())?;
        let accounts = self.accounts_of(rendering)?;
        let files = files_of(&ledger);
        let mut findings = Findings::new();
        gate::abandoned(&files, rendering, self.settings, self.repository, &mut findings);
        if findings.has_errors() {
            return Err(Error { phase: Phase::Plan, findings });
        }
        for target in &rendering.targets {
            // Only a target that becomes one of generations is asked what is in it.
            let matters = |it: &&LivePath| target.publish == Publish::Generations && it.root == target.path;
            let recorded = files.keys().filter(matters).map(|it| it.path.clone());
            self.client.judge(&target.path, target.publish, recorded.collect())?;
        }
        let mut wanted = plan::questions(rendering, &files, &accounts);
        for target in rendering.targets.iter().filter(|it| it.prune == Prune::All) {
            wanted.extend(self.everything_in(target)?);
        }
        let observations = self.observe_all(rendered, tree, wanted, &files)?;
        let present = self.present(rendering, &files)?;
        Ok(Seen { ledger, accounts, observations, present })
    }

    /// Looks at the given paths alone.
    pub(super) fn look_at(&self, rendered: &Rendered, tree: &GitTree, paths: &[LivePath]) -> Result<Seen, Error> {
        let ledger = self.store.ledger(self.name())?;
        let accounts = self.accounts_of(&rendered.rendering)?;
        let files = files_of(&ledger);
        let wanted = paths.iter().cloned().collect();
        let observations = self.observe_all(rendered, tree, wanted, &files)?;
        // Only where more than a few files would go does the guard ask how many there are.
        let mut present = BTreeMap::new();
        for target in &rendered.rendering.targets {
            let leaving = paths.iter().filter(|it| it.root == target.path && !target.files.contains_key(&it.path));
            if leaving.count() as u64 > plan::REMOVALS_ALWAYS {
                present.insert(target.path.clone(), self.client.walk(&target.path, &[])?.entries.len() as u64);
            }
        }
        Ok(Seen { ledger, accounts, observations, present })
    }

    /// Looks up the numbers of every owner and group that a rendering names. What names none belongs to the account that
    /// writes it.
    fn accounts_of(&self, rendering: &Rendering) -> Result<Accounts, Error> {
        let mut users = BTreeSet::new();
        let mut groups = BTreeSet::new();
        for target in &rendering.targets {
            users.extend(target.owner.iter().chain(target.files.values().filter_map(|it| it.owner.as_ref())).cloned());
            groups.extend(target.group.iter().chain(target.files.values().filter_map(|it| it.group.as_ref())).cloned());
        }
        let writer = self.client.whoami()?;
        let accounts = accounts::resolve(&users, &groups)?;
        Ok(Accounts { default_uid: writer.uid, default_gid: writer.gid, ..accounts })
    }

    fn observe_all(
        &self,
        rendered: &Rendered,
        tree: &GitTree,
        wanted: BTreeSet<LivePath>,
        files: &Ledger,
    ) -> Result<BTreeMap<LivePath, Observation>, Error> {
        let rendering = &rendered.rendering;
        let mut observations = BTreeMap::new();
        let asks = wanted.iter().map(|it| Ask { at: it.clone(), known: None }).collect();
        let sights = self.client.look(asks)?;
        for (at, sight) in wanted.into_iter().zip(sights) {
            let live = sight.entry()?;
            let output = output_at(rendering, &at);
            // A row without an identity is one that a repair has put in doubt.
            let is_written = files.get(&at).is_some_and(|it| !it.identity.is_empty());
            let equals_wanted = match (&live, output, is_written) {
                (Some(live), Some(output), false) => self.equals(live, output, tree)?,
                _ => false,
            };
            observations.insert(at, Observation { live, equals_wanted });
        }
        Ok(observations)
    }

    /// Returns every path below a target, for `prune: all`.
    fn everything_in(&self, target: &RenderedTarget) -> Result<Vec<LivePath>, Error> {
        let walk = self.client.walk(&target.path, &target.ignore)?;
        Ok(walk.entries.into_keys().map(|path| LivePath { root: target.path.clone(), path }).collect())
    }

    fn equals(&self, live: &LiveEntry, output: &OutputFile, tree: &GitTree) -> Result<bool, Error> {
        let same_kind = match (&live.kind, &output.content) {
            (LiveKind::Link(text), Content::Link(wanted)) => return Ok(text == wanted),
            (LiveKind::File, Content::Blob { size, .. }) => live.stat.size == *size,
            (LiveKind::File, Content::Bytes(bytes)) => live.stat.size == bytes.len() as u64,
            _ => false,
        };
        if !same_kind {
            return Ok(false);
        }
        let wanted = bytes(tree, &output.content).map_err(crate::host::Error::from)?;
        Ok(live.digest.as_ref() == Some(&self.key.of(&wanted)))
    }

    /// Counts the files that are present in each target from which something would go. A walk is only made where the
    /// mass-deletion guard could turn on the answer.
    fn present(&self, rendering: &Rendering, ledger: &Ledger) -> Result<BTreeMap<String, u64>, Error> {
        let mut leaving: BTreeMap<&str, u64> = BTreeMap::new();
        let mut owned: BTreeMap<&str, u64> = BTreeMap::new();
        for at in ledger.keys() {
            *owned.entry(&at.root).or_default() += 1;
            if output_at(rendering, at).is_none() {
                *leaving.entry(&at.root).or_default() += 1;
            }
        }
        let everything = rendering.targets.iter().filter(|it| it.prune == Prune::All).map(|it| it.path.as_str());
        let roots: BTreeSet<&str> = leaving.keys().copied().chain(everything).collect();
        let mut present = BTreeMap::new();
        for root in roots {
            let n_owned = owned.get(root).copied().unwrap_or_default();
            let n_leaving = leaving.get(root).copied().unwrap_or_default();
            let target = rendering.targets.iter().find(|it| it.path == root);
            let is_small = n_leaving <= plan::REMOVALS_ALWAYS && n_leaving < n_owned;
            let is_simple = target.is_some_and(|it| it.prune != Prune::All);
            let count = match is_small && is_simple {
                true => n_owned,
                false => self.client.walk(root, &[])?.entries.len() as u64,
            };
            present.insert(root.to_owned(), count);
        }
        Ok(present)
    }
}

fn output_at<'r>(rendering: &'r Rendering, at: &LivePath) -> Option<&'r OutputFile> {
    rendering.targets.iter().find(|it| it.path == at.root)?.files.get(&at.path)
}
