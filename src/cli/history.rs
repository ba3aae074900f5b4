//! `history` and `show`: the deployments, and one of them in full.

use super::exit::{Exit, Failure};
use super::host::{Host, HostArgs};
use super::ui::{BAD, DIM, GOOD, HEAD, Ui, WARN};
use super::words;
use crate::finding::{Code, Finding};
use crate::record::{Deployment, DeploymentStatus, Kept, KeyChange, KeyChangeKind, Trigger};
use crate::render::escaped;
use crate::wire;

/// List the deployments on this host, the newest first
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    host: HostArgs,
    /// How many are listed
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Show one deployment in full
///
/// With what it changed, what it kept, and what its checks, reloads and probes printed.
#[derive(clap::Args, Debug)]
pub struct ShowArgs {
    /// The deployment's number, as `history` lists it
    #[arg(value_name = "ID")]
    id: i64,
    #[command(flatten)]
    host: HostArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the deployments.
pub fn run(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    let host = Host::load(&args.host)?;
    let store = host.read(ui, "history")?;
    let mut deployments = Vec::new();
    if let Some(store) = &store {
        for repository in host.repositories() {
            deployments.extend(store.deployments(Some(&repository.name), args.limit)?);
        }
    }
    deployments.sort_by_key(|it| std::cmp::Reverse(it.id));
    deployments.truncate(args.limit);
    if args.json {
        ui.json(&wire::Deployments::history(&deployments))?;
        return Ok(Exit::Done);
    }
    if deployments.is_empty() {
        ui.say("nothing was deployed here yet");
    }
    for deployment in &deployments {
        ui.print(line(deployment))?;
    }
    Ok(Exit::Done)
}

/// Prints one deployment.
pub fn show(args: &ShowArgs, ui: &Ui) -> Result<Exit, Failure> {
    let host = Host::load(&args.host)?;
    let store = host.read(ui, "show")?;
    let found = store.map(|it| it.deployment(args.id)).transpose()?.flatten();
    let Some(deployment) = found else {
        let finding = Finding::error(Code::NOT_FOUND, format!("there is no deployment {}", args.id));
        return Err(Failure::new(finding.hint("headfast history lists them")));
    };
    if args.json {
        ui.json(&wire::Deployments::show(&deployment))?;
        return Ok(Exit::Done);
    }
    ui.print(details(&deployment, &host.settings.state_dir))?;
    Ok(Exit::Done)
}

fn style(status: DeploymentStatus) -> anstyle::Style {
    match status {
        DeploymentStatus::Success => GOOD,
        DeploymentStatus::Unchanged | DeploymentStatus::Superseded => DIM,
        DeploymentStatus::Pending | DeploymentStatus::InProgress => WARN,
        DeploymentStatus::Failed | DeploymentStatus::RolledBack | DeploymentStatus::Refused => BAD,
    }
}

fn line(it: &Deployment) -> String {
    let (style, status) = (style(it.status), it.status.as_str().replace('_', " "));
    let when = words::moment(&it.started_at);
    let what = match words::failure(it) {
        reason if reason.is_empty() && it.keys.count() > 0 => {
            format!("{}, {} changed", words::changes(&it.changes), words::count(it.keys.count(), "key", "keys"))
        }
        reason if reason.is_empty() => words::changes(&it.changes),
        reason => reason,
    };
    let why = match it.trigger {
        Trigger::Heal | Trigger::Rollback | Trigger::Restore => format!(" ({})", it.trigger.as_str()),
        _ => String::new(),
    };
    let (name, environment) = (escaped(&it.repository), escaped(&it.environment));
    format!(
        "{:>4}  {style}{status:<11}{style:#} {} {when}  {name} in {environment}{why}: {what}",
        it.id,
        it.revision.short()
    )
}

fn details(it: &Deployment, state_dir: &std::path::Path) -> String {
    let (style, status) = (style(it.status), it.status.as_str().replace('_', " "));
    let mut text = format!("{HEAD}deployment {}{HEAD:#}: {style}{status}{style:#}", it.id);
    let mut line = |what: &str, said: String| text.push_str(&format!("\n  {what:<11} {said}"));
    line("repository", escaped(&format!("{} in {}", it.repository, it.environment)));
    line("revision", it.revision.to_string());
    line("started", format!("{} ({})", words::moment(&it.started_at), it.trigger.as_str()));
    if let Some(finished) = &it.finished_at {
        line("finished", format!("{} at {}", words::moment(finished), it.phase.as_str()));
    }
    line("changes", words::changes(&it.changes));
    for change in &it.keys.changes {
        line("key", key(change));
    }
    if it.keys.more > 0 {
        line("", format!("and {} more", words::count(it.keys.more, "key", "keys")));
    }
    if let Some(previous) = it.previous {
        line("before it", format!("deployment {previous}"));
    }
    if let Some(error) = &it.error {
        line("error", words::escaped_lines(&format!("{}: {}", error.code, error.message)).replace('\n', "\n    "));
    }
    for kept in &it.kept {
        line("kept", keeping(kept, state_dir));
    }
    for entry in &it.log {
        line("log", words::escaped_lines(entry).replace('\n', "\n              "));
    }
    text
}

/// Says what happened to a value, as `check --base` does.
fn key(change: &KeyChange) -> String {
    let name = match change.path.as_str() {
        "" => escaped(&change.configuration).to_string(),
        path => escaped(&format!("{}: {path}", change.configuration)).to_string(),
    };
    let shown = |it: &Option<String>| it.as_ref().map(|it| escaped(it).to_string());
    match (change.kind, shown(&change.old), shown(&change.new)) {
        (KeyChangeKind::Added, _, Some(new)) => format!("{GOOD}+{GOOD:#} {name} = {new}"),
        (KeyChangeKind::Added, _, None) => format!("{GOOD}+{GOOD:#} {name}"),
        (KeyChangeKind::Removed, Some(old), _) => format!("{BAD}-{BAD:#} {name} = {old}"),
        (KeyChangeKind::Removed, None, _) => format!("{BAD}-{BAD:#} {name}"),
        (KeyChangeKind::Changed, Some(old), Some(new)) => format!("{WARN}~{WARN:#} {name} = {old} -> {new}"),
        (KeyChangeKind::Changed, ..) => format!("{WARN}~{WARN:#} {name}"),
    }
}

/// Says which content was kept, and where.
pub fn keeping(it: &Kept, state_dir: &std::path::Path) -> String {
    let copy = state_dir.join("kept").join(&it.id);
    let sealed = if it.encrypted { ", encrypted" } else { "" };
    escaped(&format!("{}/{} as {} ({}{sealed})", it.root, it.path, copy.display(), it.reason))
}
