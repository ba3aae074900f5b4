//! What must hold.

use super::model::Files;
use super::*;
use crate::finding::Code;
use crate::host::transaction;
use crate::monitor::DriftItem;
use crate::render::Digest;
use crate::state::KeptFile;

/// The mode of a file that nobody has changed.
const MODE: u32 = 0o644;

/// What headfast says, read at once.
struct Said {
    live: Option<Deployment>,
    history: Vec<Deployment>,
    quarantined: Vec<Digest>,
    /// Path and content.
    kept: Vec<(String, String)>,
    strays: Vec<(String, String)>,
    drift: Result<Option<DriftReport>, crate::deploy::Error>,
}

impl Said {
    fn by(deployer: &ConfigurationDeployer<'_>) -> Said {
        let store = deployer.store();
        let read = |it: &KeptFile| {
            let path = format!("{}/{}", name(&it.kept.root), it.kept.path);
            (path, String::from_utf8(store.read_kept(&it.kept.id).unwrap()).unwrap())
        };
        Said {
            live: store.live("site").unwrap(),
            history: store.deployments(Some("site"), 1000).unwrap(),
            quarantined: store.quarantined("site").unwrap().into_iter().map(|it| it.digest).collect(),
            kept: store.kept(Some("site")).unwrap().iter().map(read).collect(),
            strays: deployer.client().strays(&store.roots("site").unwrap()).unwrap(),
            drift: ConfigurationMonitor::new(deployer).scan(),
        }
    }
}

/// Returns the target's name, which its directory has too.
fn name(root: &str) -> &str {
    root.rsplit('/').next().unwrap()
}

impl Simulation {
    /// Looks whether the promises hold. After a pass that came to its end nothing is left half-done.
    #[track_caller]
    pub(super) fn promises(&mut self, ended: bool) {
        let state_dir = self.host.settings.state_dir.to_str().unwrap().to_owned();
        let is_pending = transaction::is_pending(&state_dir, "site").unwrap();
        self.hold(!is_pending || !ended, || "a transaction is left after a pass".to_owned());
        if is_pending {
            return self.is_one_revision();
        }
        let said = self.host.with(Said::by);
        if ended {
            self.hold(said.strays.is_empty(), || format!("left after a pass: {:?}", said.strays));
            let in_progress = said.history.iter().find(|it| it.status == DeploymentStatus::InProgress);
            self.hold(in_progress.is_none(), || format!("in progress after a pass: {in_progress:?}"));
            self.is_innocent(&said);
        }
        let live = said.live.as_ref().map(|it| it.revision.as_str());
        let differs = self.differs(live, "");
        self.hold(differs.is_none(), || format!("not what is deployed ({live:?}): {}", differs.unwrap_or_default()));
        self.nothing_is_lost(&said);
        self.drift_is_seen(&said);
    }

    /// Between two revisions each target is exactly one of them.
    fn is_one_revision(&self) {
        for target in ["app/", "other/"] {
            let commits = self.commits.iter().cloned().chain(self.head()).map(Some).chain([None]);
            let differs: Vec<_> = commits.map(|it| self.differs(it.as_deref(), target)).collect();
            self.hold(differs.contains(&None), || format!("{target} is no revision's: {differs:#?}"));
        }
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

    /// What is live has not failed here.
    fn is_innocent(&self, said: &Said) {
        let Some(live) = &said.live else { return };
        let is_held = said.quarantined.iter().any(|it| live.digest.as_ref() == Some(it));
        self.hold(!is_held, || format!("a quarantined rendering is live: {live:?}"));
        self.hold(self.revision(live.revision.as_str()).0 == Fate::Good, || format!("what fails is live: {live:?}"));
    }

    /// What someone wrote is live, or was kept.
    fn nothing_is_lost(&self, said: &Said) {
        let live = self.live();
        for it in &self.edits {
            let is_live = live.get(&it.0).is_some_and(|there| there.0 == it.1);
            self.hold(is_live || said.kept.contains(it), || format!("lost: {} {}", it.0, it.1));
        }
    }

    /// What headfast calls drift is what differs from the live revision, no more and no less.
    fn drift_is_seen(&self, said: &Said) {
        let report = match &said.drift {
            Ok(Some(report)) => report,
            Ok(None) => return,
            Err(error) => return self.hold(self.is_damaged, || format!("no drift to be had: {error}")),
        };
        let shown = |it: &DriftItem| format!("{}/{}", name(&it.at.root), it.at.path);
        let reported: BTreeSet<String> = report.items.iter().map(shown).collect();
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
