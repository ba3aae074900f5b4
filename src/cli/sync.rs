//! `sync`: one pass, from fetch to report.

use super::exit::{Exit, Failure};
use super::host::{Host, HostArgs};
use super::ui::{BAD, GOOD, Ui, WARN};
use super::{order, words};
use crate::agent::control::Order;
use crate::deploy::{ConfigDeployment, DeploymentStatus};
use crate::record::{Deployment, Phase, Trigger};
use crate::render::escaped;
use crate::settings::Repository;

/// Fetch and deploy once
///
/// Fetches what agent.yaml follows and makes it live, unless it is already: everything is rendered and checked before the
/// first file changes, and when a reload or probe fails the previous files come back at once.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    host: HostArgs,
}

/// Makes one pass for each repository.
pub fn run(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    order::give(&Host::load(&args.host)?, ui, Order::Sync {})
}

/// Says what a pass came to, and returns what it means.
pub fn tell(ui: &Ui, repository: &Repository, result: &ConfigDeployment) -> Result<Exit, Failure> {
    let exit = ui.outcome(result);
    ui.print(said(repository, result))?;
    Ok(exit)
}

/// Returns what a pass came to, as one paragraph that begins with the repository's name.
pub fn said(repository: &Repository, result: &ConfigDeployment) -> String {
    let (style, text) = paragraph(repository, result);
    format!("{style}{}:{style:#} {text}", escaped(&repository.name))
}

fn paragraph(repository: &Repository, result: &ConfigDeployment) -> (anstyle::Style, String) {
    let (tip, environment) = (result.revision.short(), escaped(&repository.environment));
    let Some(deployment) = &result.deployment else {
        if result.findings.has_errors() {
            return (BAD, format!("{tip} is not tried again; no file was touched."));
        }
        return (GOOD, format!("{tip} is live in {environment}; there was nothing to do."));
    };
    match deployment.status {
        DeploymentStatus::Success => (GOOD, success(deployment, &environment)),
        DeploymentStatus::Unchanged => {
            (GOOD, format!("{tip} renders to what is live in {environment} already; no file was touched."))
        }
        DeploymentStatus::Pending => (WARN, format!("{tip} waits and is not deployed yet.")),
        DeploymentStatus::Superseded => (WARN, format!("{tip} was overtaken by a newer commit.")),
        DeploymentStatus::Refused => (BAD, format!("{tip} is refused; no file was touched.")),
        DeploymentStatus::RolledBack => {
            let quarantine = "this rendering is in quarantine until another comes, or `headfast retry`";
            let phase = deployment.phase.as_str();
            (
                BAD,
                format!("{tip} failed its {phase} and is rolled back: the previous files are back, and {quarantine}."),
            )
        }
        DeploymentStatus::Failed | DeploymentStatus::InProgress => (BAD, failed(deployment, tip)),
    }
}

fn success(deployment: &Deployment, environment: &str) -> String {
    let revision = deployment.revision.short();
    let what = match deployment.trigger {
        Trigger::Heal => format!("what {revision} deployed is back in {environment}"),
        Trigger::Rollback => format!("{environment} is rolled back to {revision}"),
        Trigger::Restore => format!("a kept file is back in {environment}"),
        _ => format!("{revision} is deployed to {environment}"),
    };
    format!("{what}: {}.{}", words::changes(&deployment.changes), kept(deployment))
}

/// Says how many files were kept before they were overwritten.
fn kept(deployment: &Deployment) -> String {
    match deployment.kept.len() as u64 {
        0 => String::new(),
        n => {
            let files = words::count(n, "file was", "files were");
            format!(" What stood in the place of {files} kept; see `headfast show {}`.", deployment.id)
        }
    }
}

fn failed(deployment: &Deployment, tip: &str) -> String {
    let phase = deployment.phase.as_str();
    let after = match deployment.phase {
        Phase::Reload | Phase::Probe => "the log of `headfast show` says what is live",
        _ => "no file was touched",
    };
    format!("{tip} could not be deployed, it failed at {phase}; {after}.")
}
