//! `drift`: what differs now from what was deployed, and putting it back.

use super::exit::{Exit, Failure};
use super::host::{Host, HostArgs};
use super::plan::unified;
use super::ui::{GOOD, Ui, WARN};
use super::{history, order, sync, words};
use crate::agent::control::Order;
use crate::manifest::DriftMode;
use crate::monitor::{ConfigurationMonitor, DriftItem, DriftReport};
use crate::render::escaped;
use crate::settings::Repository;
use crate::state::Store;
use crate::wire;

/// Compare the files of this host with what was deployed
///
/// Exits with 5 when something differs.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    host: HostArgs,
    /// Put back what was deployed; what is replaced is kept
    #[arg(long)]
    heal: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Scans, prints, and has the host healed when asked to.
pub fn run(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    let host = Host::load(&args.host)?;
    if args.heal {
        return order::give(&host, ui, Order::Heal { json: args.json });
    }
    let seeing = host.look(ui, "drift")?;
    let mut document = wire::Drift::new(Vec::new());
    let exit = host.each(ui, &seeing.store, |repository, deployer| {
        if !seeing.may_write() && seeing.store.in_progress(&repository.name)?.is_some() {
            ui.note(&format!("{}: a deployment is under way, and what it changes is not drift", repository.name));
        }
        let monitor = ConfigurationMonitor::new(deployer);
        let Some(report) = scan(ui, repository, &monitor)? else { return Ok(Exit::Done) };
        match args.json {
            true => document.drift.extend(report.items.iter().map(entry)),
            false => print(ui, repository, &report, true)?,
        }
        if seeing.may_write() {
            monitor.tell(&report.deployment, &report.summary())?;
        }
        Ok(if report.items.is_empty() { Exit::Done } else { Exit::Differences })
    })?;
    if args.json {
        ui.json(&document)?;
    }
    Ok(exit)
}

/// Scans, prints and heals.
pub fn heal_all(host: &Host, ui: &Ui, store: &Store, json: bool) -> Result<Exit, Failure> {
    let mut document = wire::Drift::new(Vec::new());
    let exit = host.each(ui, store, |repository, deployer| {
        if let Some(note) = deployer.recover()? {
            ui.note(&note);
        }
        let monitor = ConfigurationMonitor::new(deployer);
        let Some(report) = scan(ui, repository, &monitor)? else { return Ok(Exit::Done) };
        match json {
            true => document.drift.extend(report.items.iter().map(entry)),
            false => print(ui, repository, &report, false)?,
        }
        heal(host, ui, repository, &monitor, &report, json)
    })?;
    if json {
        ui.json(&document)?;
    }
    Ok(exit)
}

fn scan(ui: &Ui, repository: &Repository, monitor: &ConfigurationMonitor<'_>) -> Result<Option<DriftReport>, Failure> {
    let report = monitor.scan()?;
    if report.is_none() {
        ui.note(&format!("{}: nothing is deployed here yet", repository.name));
    }
    Ok(report)
}

fn print(ui: &Ui, repository: &Repository, report: &DriftReport, with_diffs: bool) -> Result<(), Failure> {
    let (name, revision) = (escaped(&repository.name), report.deployment.revision.short());
    match report.items.len() as u64 {
        0 => return ui.print(format_args!("{GOOD}{name}:{GOOD:#} every file is as {revision} deployed it.")),
        n => {
            let what = words::count(n, "difference", "differences");
            ui.print(format_args!("{WARN}{name}:{WARN:#} {what} from what {revision} deployed."))?;
        }
    }
    for item in &report.items {
        let path = escaped(&format!("{}/{}", item.at.root, item.at.path));
        ui.print(format_args!("{WARN}{:<8}{WARN:#} {path}", item.kind.as_str()))?;
        if with_diffs {
            unified(ui, &item.diff)?;
        }
    }
    Ok(())
}

fn entry(it: &DriftItem) -> wire::DriftEntry {
    wire::DriftEntry {
        target: it.target.clone(),
        path: it.at.path.to_string(),
        kind: it.kind,
        sensitive: it.sensitive,
        diff: (!it.sensitive).then(|| it.diff.clone()),
    }
}

/// Heals everything that differs: a person asked for it, so the host's `drift.mode` does not matter.
fn heal(
    host: &Host,
    ui: &Ui,
    repository: &Repository,
    monitor: &ConfigurationMonitor<'_>,
    report: &DriftReport,
    json: bool,
) -> Result<Exit, Failure> {
    let Some(result) = monitor.heal(report, DriftMode::Off)? else { return Ok(Exit::Done) };
    let exit = ui.outcome(&result);
    match json {
        // Stdout belongs to the document.
        true => ui.say(sync::said(repository, &result)),
        false => ui.print(sync::said(repository, &result))?,
    }
    for kept in result.deployment.iter().flat_map(|it| &it.kept) {
        ui.note(&format!("kept {}", history::keeping(kept, &host.settings.state_dir)));
    }
    let left = monitor.scan()?.map_or(0, |it| it.items.len());
    Ok(exit.worst(if left > 0 { Exit::Differences } else { Exit::Done }))
}
