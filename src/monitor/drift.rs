//! Drift: any difference between what is live and the rendering that was last deployed.

use crate::deploy::{ConfigDeployment, ConfigurationDeployer, Deployed, DeploymentRecord, Error};
use crate::host::DigestKey;
use crate::host::service::{Ask, Sight};
use crate::manifest::{DriftMode, Prune};
use crate::plan::{DiffLimits, LiveEntry, LiveKind, LivePath, Recorded, Restat, unified};
use crate::render::RenderedTarget;
use crate::report::DriftSummary;
pub use crate::wire::DriftKind;
use std::collections::BTreeSet;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftItem {
    /// The target's name, or its directory when the manifest no longer has it.
    pub target: String,
    /// Where.
    pub at: LivePath,
    /// How it differs.
    pub kind: DriftKind,
    /// Whether the file holds something that was encrypted.
    pub sensitive: bool,
    /// The difference for a person: a unified diff from what was deployed to what is live, or a sentence.
    pub diff: String,
    /// What may be done about it here.
    pub mode: DriftMode,
}

/// All differences of one repository on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriftReport {
    /// What is deployed.
    pub deployment: DeploymentRecord,
    /// The differences, by path.
    pub items: Vec<DriftItem>,
}

impl DriftReport {
    /// Returns the counts that statuses and metrics show.
    pub fn summary(&self) -> DriftSummary {
        let mut summary = DriftSummary::none(self.deployment.revision.clone(), &self.deployment.environment);
        for item in &self.items {
            *match item.kind {
                DriftKind::Modified => &mut summary.modified,
                DriftKind::Missing => &mut summary.missing,
                DriftKind::Extra => &mut summary.extra,
                DriftKind::Mode => &mut summary.mode,
                DriftKind::Owner => &mut summary.owner,
                DriftKind::Type => &mut summary.kind,
            } += 1;
        }
        summary
    }
}

/// Finds, reports and heals drift of one repository.
pub struct ConfigurationMonitor<'a> {
    deployer: &'a ConfigurationDeployer<'a>,
    mode: DriftMode,
}

/// Looks once for what has changed since the last deployment; `None` when nothing is deployed.
pub fn monitor_config_changes(deployer: &ConfigurationDeployer<'_>) -> Result<Option<DriftReport>, Error> {
    ConfigurationMonitor::new(deployer).scan()
}

impl<'a> ConfigurationMonitor<'a> {
    /// Returns a monitor that obeys the host's `drift.mode`.
    pub fn new(deployer: &'a ConfigurationDeployer<'a>) -> Self {
        ConfigurationMonitor { deployer, mode: deployer.drift_mode() }
    }

    /// Compares every path of the ledger with what is live; `None` when nothing is deployed.
    ///
    /// A file whose inode, size, modification and change time are those of its row is taken as unchanged without reading it.
    pub fn scan(&self) -> Result<Option<DriftReport>, Error> {
        self.look(&mut Vec::new())
    }

    /// Scans, and adds what is known now by other metadata, though nobody changed it, to `moved`.
    fn look(&self, moved: &mut Vec<Restat>) -> Result<Option<DriftReport>, Error> {
        let Some(deployed) = self.deployer.deployed()? else { return Ok(None) };
        let ledger = self.deployer.store().ledger(self.deployer.name())?;
        let asks = ledger.iter().map(|(at, row)| Ask { at: at.clone(), known: Some(row.stat) }).collect();
        let sights = self.deployer.client().look(asks)?;
        let mut items = Vec::new();
        for ((at, row), sight) in ledger.iter().zip(sights) {
            let live = match &sight {
                Sight::Entry(live) => Some(live),
                _ => None,
            };
            let Some(kind) = compare(&sight, row) else {
                moved.extend(live.filter(|it| it.stat != row.stat && it.digest.is_some()).map(|it| {
                    // It was read although nobody changed it.
                    Restat { at: at.clone(), from: row.stat, to: it.stat }
                }));
                continue;
            };
            items.extend(self.item(&deployed, at, Some(row), kind, live)?);
        }
        let known: BTreeSet<&LivePath> = ledger.keys().collect();
        for target in deployed.targets().iter().filter(|it| it.prune == Prune::All) {
            for at in self.extras(target, &known)? {
                items.extend(self.item(&deployed, &at, None, DriftKind::Extra, None)?);
            }
        }
        items.sort_by(|a, b| (&a.at, a.kind).cmp(&(&b.at, b.kind)));
        Ok(Some(DriftReport { deployment: deployed.deployment, items }))
    }

    /// Scans, reports a change of the drift's state, and heals when the host and the manifest say so.
    pub fn pass(&self) -> Result<Option<DriftReport>, Error> {
        if self.mode == DriftMode::Off {
            return Ok(None);
        }
        // Half a switch is not drift.
        self.deployer.recover()?;
        let mut moved = Vec::new();
        let Some(report) = self.look(&mut moved)? else { return Ok(None) };
        // What was read once and is as it was deployed need not be read again.
        self.deployer.store().restat(self.deployer.name(), &moved)?;
        self.tell(&report.deployment, &report.summary())?;
        let heal = report.items.iter().any(|it| it.mode == DriftMode::Heal);
        let store = self.deployer.store();
        let state = healing(&report, &DigestKey::new(store.host_key()));
        let failed_before = store.recall(self.deployer.name(), "heal_failed")?.as_ref() == Some(&state);
        if heal && !failed_before && self.deployer.suspended_for_control()?.is_none() {
            let healed = self.heal(&report, DriftMode::Heal)?;
            if healed.is_some_and(|it| it.verdict().is_some()) {
                store.remember(self.deployer.name(), "heal_failed", &state)?;
            }
            return self.scan();
        }
        Ok(Some(report))
    }

    /// Puts back what was deployed wherever `least` or more may be done about the drift. What is replaced is kept.
    pub fn heal(&self, report: &DriftReport, least: DriftMode) -> Result<Option<ConfigDeployment>, Error> {
        let paths: Vec<LivePath> = report.items.iter().filter(|it| it.mode >= least).map(|it| it.at.clone()).collect();
        if paths.is_empty() {
            return Ok(None);
        }
        let result = self.deployer.heal(&paths)?;
        if let Some(after) = self.scan()? {
            let healed = after.items.is_empty();
            self.tell(&after.deployment, &DriftSummary { healed, ..after.summary() })?;
        }
        Ok(Some(result))
    }

    /// Posts the state of the drift when it is another than the last that was posted.
    pub fn tell(&self, deployment: &DeploymentRecord, summary: &DriftSummary) -> Result<(), Error> {
        let detail = DriftSummary { healed: false, ..summary.clone() };
        let state = format!("{} {} {detail:?}", summary.count(), deployment.revision);
        let store = self.deployer.store();
        let last = store.drift_state(self.deployer.name())?;
        // That nothing has drifted is only worth saying when something had.
        let was_clean = last.as_deref().is_none_or(|it| drift_count(it) == 0);
        if last.as_ref() != Some(&state) && !(was_clean && summary.count() == 0) {
            self.deployer.report_drift(deployment, summary)?;
            self.deployer.deliver()?;
        }
        Ok(store.set_drift_state(self.deployer.name(), Some(&state))?)
    }

    /// Returns what a target with `prune: all` holds beyond its rendering.
    fn extras(&self, target: &RenderedTarget, known: &BTreeSet<&LivePath>) -> Result<Vec<LivePath>, Error> {
        let walk = self.deployer.client().walk(&target.path, &target.ignore)?;
        let at = |path| LivePath { root: target.path.clone(), path };
        Ok(walk.entries.into_keys().map(at).filter(|it| !known.contains(it)).collect())
    }

    fn item(
        &self,
        deployed: &Deployed,
        at: &LivePath,
        row: Option<&Recorded>,
        kind: DriftKind,
        live: Option<&LiveEntry>,
    ) -> Result<Option<DriftItem>, Error> {
        let sensitive = row.is_some_and(|it| it.sensitive);
        let target = deployed.targets().iter().find(|it| it.path == at.root);
        let mode = target.and_then(|it| it.drift).map_or(self.mode, |it| it.min(self.mode));
        if mode == DriftMode::Off && self.mode != DriftMode::Off {
            return Ok(None);
        }
        let name = target.map_or(at.root.clone(), |it| it.name.clone());
        let is_link = live.is_some_and(|it| it.kind != LiveKind::File);
        let diff = match (kind, sensitive) {
            (DriftKind::Modified, _) if is_link => metadata(row, live),
            (DriftKind::Modified, true) => "content differs (secret)\n".to_owned(),
            (DriftKind::Modified, false) => {
                let new = self.deployer.client().read(at)?.map(|it| it.bytes).unwrap_or_default();
                match deployed.content(at)? {
                    Some(old) => unified(&shown(at), Some(&old), Some(&new), false, DiffLimits::default()),
                    None => "content differs from what was deployed\n".to_owned(),
                }
            }
            (DriftKind::Missing, _) => "it is missing\n".to_owned(),
            (DriftKind::Extra, _) => "the rendering does not have it\n".to_owned(),
            (DriftKind::Mode | DriftKind::Owner | DriftKind::Type, _) => metadata(row, live),
        };
        Ok(Some(DriftItem { target: name, at: at.clone(), kind, sensitive, diff, mode }))
    }
}

/// Shows what a path is now against what was written there.
fn metadata(row: Option<&Recorded>, live: Option<&LiveEntry>) -> String {
    let show = |mode: u32, uid: u32, gid: u32, kind: &LiveKind| {
        let kind = match kind {
            LiveKind::File => "file".to_owned(),
            LiveKind::Link(text) => format!("link to {text}"),
            LiveKind::Directory => "directory".to_owned(),
            LiveKind::Other => "special file".to_owned(),
        };
        format!("{kind}, mode {mode:04o}, owner {uid}:{gid}")
    };
    let old = row.map(|it| show(it.mode, it.uid, it.gid, &it.kind)).unwrap_or_default();
    let new = live.map(|it| show(it.mode, it.uid, it.gid, &it.kind)).unwrap_or_default();
    format!("-{old}\n+{new}\n")
}

/// Returns what tells one attempt to heal from another: healing that failed is tried again when the drift, or what is
/// deployed, is another.
fn healing(report: &DriftReport, key: &DigestKey) -> String {
    let items = report.items.iter().map(|it| format!("{} {} {}", it.kind.as_str(), shown(&it.at), it.diff));
    let text: String = items.collect();
    format!("{} {}", report.deployment.id, key.of(text.as_bytes()).0)
}

/// Returns the number of differences in a drift state as it is remembered.
pub(super) fn drift_count(state: &str) -> u64 {
    state.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or_default()
}

fn shown(at: &LivePath) -> String {
    format!("{}/{}", at.root, at.path)
}

/// Compares what is at a path with its row.
fn compare(sight: &Sight, row: &Recorded) -> Option<DriftKind> {
    let is_directory = row.kind == LiveKind::Directory;
    let live = match sight {
        Sight::Entry(live) => live,
        // No rendering has folders of its own: one that is gone shows by the files that are gone with it.
        Sight::Nothing => return Some(DriftKind::Missing).filter(|_| !is_directory),
        Sight::Blocked(_) => return Some(DriftKind::Type).filter(|_| !is_directory),
        // The host does not let the repository have the target any more: it is none of its business.
        Sight::Forbidden => return None,
    };
    if is_directory && live.kind == LiveKind::Directory {
        return None;
    }
    if std::mem::discriminant(&live.kind) != std::mem::discriminant(&row.kind) {
        return Some(DriftKind::Type);
    }
    // A content that was not read has the metadata that is known, and is the same.
    let is_other = |it: &crate::render::Digest| it.0 != row.digest;
    if live.kind != row.kind || live.kind == LiveKind::File && live.digest.as_ref().is_some_and(is_other) {
        return Some(DriftKind::Modified);
    }
    if live.kind != LiveKind::File {
        // Links have no mode, and their owner means nothing.
        return None;
    }
    if live.mode != row.mode {
        return Some(DriftKind::Mode);
    }
    ((live.uid, live.gid) != (row.uid, row.gid)).then_some(DriftKind::Owner)
}
