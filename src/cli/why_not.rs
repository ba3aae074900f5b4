//! `why-not`: what keeps a commit from being live on this host.

use super::exit::{Exit, Failure};
use super::host::{Host, HostArgs};
use super::ui::{BAD, DIM, GOOD, HEAD, Ui, WARN};
use crate::deploy::{Gate, Obstacle};
use crate::render::escaped;
use crate::settings::Repository;
use crate::wire::{self, WhyNot, WhyNots};

/// Say what keeps a commit from being live on this host, since when, and what would let it through
///
/// Every gate is asked again, in the order in which a sync asks: suspension, history and signatures, the rendering with its
/// schemas and policies, what the host allows, quarantine, windows, and the plan. Neither is anything fetched, nor written.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The commit's id, or its beginning; the newest that was fetched by default
    #[arg(value_name = "REV")]
    revision: Option<String>,
    #[command(flatten)]
    host: HostArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints one answer a repository.
pub fn run(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    let host = Host::load(&args.host)?;
    let seeing = host.look(ui, "why-not")?;
    let mut answers = WhyNots { version: wire::VERSION, repositories: Vec::new() };
    let exit = host.each(ui, &seeing.store, |repository, deployer| {
        let obstacle = deployer.obstacle(args.revision.as_deref())?;
        match args.json {
            true => answers.repositories.push(document(repository, &obstacle)),
            false => show(&repository.name, &obstacle, ui)?,
        }
        Ok(Exit::Done)
    })?;
    if args.json {
        ui.json(&answers)?;
    }
    Ok(exit)
}

fn document(repository: &Repository, obstacle: &Obstacle) -> WhyNot {
    WhyNot {
        repository: repository.name.clone(),
        environment: repository.environment.clone(),
        revision: obstacle.revision.as_ref().map(ToString::to_string),
        gate: obstacle.gate.as_str().to_owned(),
        code: obstacle.code.map(str::to_owned),
        reason: obstacle.reason.clone(),
        since: obstacle.since.clone(),
        unblock: obstacle.unblock.clone(),
        findings: wire::Check::new(&obstacle.findings.merged()).findings,
        first: obstacle.first.as_ref().map(|it| Box::new(document(repository, it))),
    }
}

fn show(name: &str, obstacle: &Obstacle, ui: &Ui) -> Result<(), Failure> {
    let revision = obstacle.revision.as_ref().map_or("no such commit", |it| it.short());
    let (style, word) = match obstacle.gate {
        Gate::Live | Gate::Contained => (GOOD, "live"),
        Gate::None | Gate::Overtaken | Gate::Window => (WARN, "not live yet"),
        _ => (BAD, "not live"),
    };
    let gate = format!("{}{}", obstacle.gate.as_str(), obstacle.code.map_or(String::new(), |it| format!(", {it}")));
    ui.print(format_args!(
        "{HEAD}{}: {}{HEAD:#} is {style}{word}{style:#}: {}",
        escaped(name),
        escaped(revision),
        escaped(&obstacle.reason)
    ))?;
    // The first one is the reason already.
    if obstacle.findings.iter().count() > 1 || obstacle.findings.iter().any(|it| it.place.is_some()) {
        ui.findings(&obstacle.findings);
    }
    ui.print(format_args!("  {DIM}gate{DIM:#}     {}", escaped(&gate)))?;
    if let Some(since) = &obstacle.since {
        ui.print(format_args!("  {DIM}since{DIM:#}    {}", escaped(since)))?;
    }
    if let Some(unblock) = &obstacle.unblock {
        ui.print(format_args!("  {DIM}unblock{DIM:#}  {}", escaped(unblock)))?;
    }
    match &obstacle.first {
        Some(first) => show(name, first, ui),
        None => Ok(()),
    }
}
