//! `status`: how each repository stands on this host.

use super::exit::{Exit, Failure};
use super::host::{Host, HostArgs};
use super::ui::{BAD, GOOD, HEAD, Ui, WARN};
use super::words;
use crate::monitor::{ConfigAudit, Standing, State};
use crate::render::escaped;
use crate::wire;

/// Show how each repository stands on this host
///
/// Reads the state alone: it neither asks the remote nor looks at the files.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    host: HostArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the standing of each repository.
pub fn run(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    let host = Host::load(&args.host)?;
    let store = host.read(ui, "status")?;
    let mut audit = ConfigAudit::of(&host.settings, store.as_ref(), chrono::Utc::now().timestamp())?;
    audit.standings.retain(|it| host.repositories().any(|repository| repository.name == it.name));
    if args.json {
        let repositories = audit.standings.iter().map(document).collect();
        ui.json(&wire::Status::new(&audit.host, repositories))?;
        return Ok(Exit::Done);
    }
    ui.print(format_args!("{HEAD}{}{HEAD:#}", escaped(&audit.host)))?;
    for standing in &audit.standings {
        ui.print(lines(standing))?;
    }
    Ok(Exit::Done)
}

fn document(it: &Standing) -> wire::Repository {
    wire::Repository {
        name: it.name.clone(),
        environment: it.environment.clone(),
        head: it.head.as_ref().map(ToString::to_string),
        revision: it.revision.as_ref().map(ToString::to_string),
        state: match it.state {
            State::InSync => wire::State::InSync,
            State::Pending => wire::State::Pending,
            State::Stale => wire::State::Stale,
            State::Drifted => wire::State::Drifted,
            State::Failed => wire::State::Failed,
            State::Quarantined => wire::State::Quarantined,
        },
        drift: wire::DriftCount { count: it.drift_count },
        suspended: it.suspended.clone().map(|it| wire::Suspension {
            reason: it.reason,
            until: it.until,
            author: it.author,
            since: it.since,
        }),
        last_deployment: it.last_deployment.as_ref().map(wire::Deployment::brief),
    }
}

fn lines(it: &Standing) -> String {
    let style = match it.state {
        State::InSync => GOOD,
        State::Pending | State::Stale | State::Drifted => WARN,
        State::Failed | State::Quarantined => BAD,
    };
    let state = it.state.as_str().replace('_', " ");
    let (name, environment) = (escaped(&it.name), escaped(&it.environment));
    let mut text = format!("  {style}{state}{style:#}  {name} in {environment}");
    let mut line = |what: &str, said: String| text.push_str(&format!("\n    {what:<9} {said}"));
    match &it.revision {
        Some(revision) => line("live", revision.short().to_owned()),
        None => line("live", "nothing yet".into()),
    }
    if let Some(head) = it.head.as_ref().filter(|head| Some(*head) != it.revision.as_ref()) {
        line("head", head.short().to_owned());
    }
    if let Some(last) = &it.last_deployment {
        let when = words::moment(last.finished_at.as_ref().unwrap_or(&last.started_at));
        let status = last.status.as_str().replace('_', " ");
        line("last", format!("deployment {} of {}: {status}, {when}", last.id, last.revision.short()));
        let reason = words::failure(last);
        if !reason.is_empty() {
            line("", reason);
        }
    }
    if it.drift_count > 0 {
        line("drift", format!("{}; see `headfast drift`", words::count(it.drift_count, "difference", "differences")));
    }
    if let Some(order) = &it.suspended {
        let until = order.until.as_deref().map_or("`headfast resume`".to_owned(), words::moment);
        line("suspended", escaped(&format!("by {} until {until}: {}", order.author, order.reason)));
    }
    text
}
