//! What must hold.

use super::model::Files;
use super::*;
use crate::finding::Code;
use crate::host::transaction;
use crate::render::Digest;
use crate::state::KeptFile;

/// The mode of a file that nobody has changed.
const MODE: u32 = 0o644;

impl Simulation {
    /// Looks whether the promises hold. After a pass that came to its end nothing is left half-done.
    #[track_caller]
    pub(super) fn promises(&mut self, ended: bool) {
        let state_dir = self.host.settings.state_dir.to_str().unwrap().to_owned();
        let is_pending = transaction::is_pending(&state_dir, "site").unwrap();
        if ended {
            self.hold(!is_pending, || "a transaction is left after a pass".to_owned());
            let strays = self.host.with(|it| it.client().strays(&it.store().roots("site").unwrap())).unwrap();
            self.hold(strays.is_empty(), || format!("left after a pass: {strays:?}"));
            let history = self.host.history();
            let in_progress = history.iter().find(|it| it.status == DeploymentStatus::InProgress);
            self.hold(in_progress.is_none(), || format!("in progress after a pass: {in_progress:?}"));
            self.not_quarantined();
        }
        if is_pending {
            // Between two revisions, but in each target exactly one of them.
            for target in ["app/", "other/"] {
                let mixed: Vec<String> =
                    self.commits().iter().filter_map(|it| self.differs(Some(it), target)).collect();
                let nothing = self.differs(None, target);
                let is_one = mixed.len() < self.commits().len() || nothing.is_none();
                self.hold(is_one, || format!("{target} is no revision's: {mixed:#?}"));
            }
            return;
        }
        let live = self.deployed();
        let differs = self.differs(live.as_deref(), "");
        self.hold(differs.is_none(), || format!("not what is deployed ({live:?}): {}", differs.unwrap_or_default()));
        self.nothing_is_lost();
        self.drift_is_seen();
    }

    /// Every commit of the branch: the reverts that headfast made too.
    fn commits(&self) -> Vec<String> {
        let mut commits = self.commits.clone();
        commits.extend(self.head());
        commits
    }

    fn deployed(&self) -> Option<String> {
        self.host.with(|it| it.store().live("site")).unwrap().map(|it| it.revision.to_string())
    }

    /// Says how the live files below `prefix` differ from a commit's and from what someone made of them.
    fn differs(&self, commit: Option<&str>, prefix: &str) -> Option<String> {
        let wanted = commit.map(|it| self.revision(it).1).unwrap_or_default();
        let live = self.live();
        let paths: BTreeSet<&String> = wanted.keys().chain(live.keys()).filter(|it| it.starts_with(prefix)).collect();
        paths.into_iter().find_map(|path| {
            let (wanted, live) = (wanted.get(path), live.get(path).map(|it| &it.0));
            let is_edit = match live {
                Some(live) => self.written.get(path).is_some_and(|it| it.contains(live)),
                None => self.touched.contains(path),
            };
            (wanted != live && !is_edit).then(|| format!("{path} is {live:?} and not {wanted:?}"))
        })
    }

    fn not_quarantined(&self) {
        let Some(live) = self.host.with(|it| it.store().live("site")).unwrap() else { return };
        let quarantined = self.host.with(|it| it.store().quarantined("site")).unwrap();
        let is_held = quarantined.iter().any(|it| live.digest.as_ref() == Some(&it.digest));
        self.hold(!is_held, || format!("a quarantined rendering is live: {live:?}"));
        self.hold(self.revision(live.revision.as_str()).0 == Fate::Good, || format!("what fails is live: {live:?}"));
    }

    /// What someone wrote is live, or was kept.
    fn nothing_is_lost(&self) {
        let live = self.live();
        let kept = self.kept();
        for (path, content) in &self.edits {
            let is_live = live.get(path).is_some_and(|it| it.0 == *content);
            let is_kept = kept.iter().any(|it| it.0 == *path && it.1 == *content);
            self.hold(is_live || is_kept, || format!("lost: {path} {content}"));
        }
    }

    fn kept(&self) -> Vec<(String, String)> {
        let path =
            |it: &KeptFile| format!("{}/{}", Path::new(&it.kept.root).file_name().unwrap().display(), it.kept.path);
        self.host.with(|it| {
            let kept = it.store().kept(Some("site")).unwrap();
            let read = |id: &str| String::from_utf8(it.store().read_kept(id).unwrap()).unwrap();
            kept.iter().map(|it| (path(it), read(&it.kept.id))).collect()
        })
    }

    /// What headfast calls drift is what differs from the live revision, no more and no less.
    fn drift_is_seen(&self) {
        let report = match self.host.with(|it| ConfigurationMonitor::new(it).scan()) {
            Ok(Some(report)) => report,
            Ok(None) => return,
            Err(error) => return self.hold(self.is_damaged, || format!("no drift to be had: {error}")),
        };
        let name = |it: &LivePath| format!("{}/{}", Path::new(&it.root).file_name().unwrap().display(), it.path);
        let reported: BTreeSet<String> = report.items.iter().map(|it| name(&it.at)).collect();
        let live = self.live();
        let wanted = self.revision(report.deployment.revision.as_str()).1;
        let differs = |(path, content): &(&String, &String)| live.get(*path) != Some(&((*content).clone(), MODE));
        let drifted: BTreeSet<String> = wanted.iter().filter(differs).map(|it| it.0.clone()).collect();
        self.hold(reported == drifted, || format!("drift is {drifted:?}, and said to be {reported:?}"));
    }

    /// After a deployment that is called a success the commit is live, and every file that it changes is what it makes of it;
    /// what someone made of others stays, and is drift.
    pub(super) fn no_false_success(&self, result: &ConfigDeployment) {
        let Some(deployment) = result.deployment.as_ref().filter(|it| it.status == DeploymentStatus::Success) else {
            return;
        };
        self.hold(self.deployed().as_deref() == Some(deployment.revision.as_str()), || "it is not live".to_owned());
        if deployment.trigger == Trigger::Rollback {
            return; // It brings back what someone had made of them.
        }
        let previous = deployment.previous.and_then(|id| self.host.with(|it| it.store().deployment(id)).unwrap());
        let before = previous.map(|it| self.revision(it.revision.as_str()).1).unwrap_or_default();
        self.is_exactly(deployment.revision.as_str(), &before);
    }

    /// Looks at every file of a commit that is not the same in `before`.
    fn is_exactly(&self, commit: &str, before: &Files) {
        let live = self.live();
        for (path, content) in self.revision(commit).1.iter().filter(|it| before.get(it.0) != Some(it.1)) {
            let there = live.get(path).map(|it| (it.0.as_str(), it.1));
            self.hold(there == Some((content, MODE)), || format!("{path} is {there:?} and not {content:?}"));
        }
    }

    /// Returns what is still missing until the host has the branch's tip, or rightly refuses it; `codes` is what a pass said.
    pub(super) fn missing(&self, codes: &[&str]) -> Option<String> {
        let head = self.head().unwrap();
        let live = self.deployed();
        let subject = self.host.with(|it| {
            let attempt = it.attempt(&crate::revision::ObjectId::new(&head), Trigger::Poll, None);
            it.store().is_quarantined("site", &Digest(it.subject(&attempt))).unwrap()
        });
        let fate = self.revision(&head).0;
        let is_right = match (fate, subject) {
            (_, Some(_)) => self.n_crashes >= 3 && codes.contains(&Code::QUARANTINED.name),
            (Fate::Good, None) => live.as_deref() == Some(&head),
            (Fate::Bad, None) => codes.contains(&Code::QUARANTINED.name),
            (Fate::Invalid, None) => !codes.is_empty(),
        };
        if !is_right {
            return Some(format!("{fate:?} {head} is the tip, {live:?} is live, and a pass says {codes:?}"));
        }
        if let Some(live) = live {
            let drifted = self.host.drift().items;
            if !drifted.is_empty() {
                return Some(format!("{drifted:?} is not healed"));
            }
            self.is_exactly(&live, &Files::new());
        }
        None
    }
}
