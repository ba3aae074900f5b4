//! `plan` and `diff`: what a sync would do on this host, as a list and as unified diffs.

use super::exit::{Exit, Failure};
use super::host::{Host, HostArgs};
use super::ui::{BAD, DIM, GOOD, HEAD, HINT, Ui, WARN};
use super::words;
use crate::deploy::{ConfigurationDeployer, Preview};
use crate::finding::{Code, Finding};
use crate::plan::{Action, LiveKind, Operation};
use crate::plan::{Diff, DiffLimits, Sides, diffs};
use crate::render::escaped;
use crate::settings::Repository;
use crate::wire;

/// Show what a sync would do
///
/// Fetches, renders, and compares with this host. No target is touched. While the agent runs, what its last fetch brought is
/// compared.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    host: HostArgs,
    /// Exit with 5 when something would change
    #[arg(long)]
    exit_code: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the operations of a sync.
pub fn plan(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    let mut document = wire::Plan { version: wire::VERSION, operations: Vec::new() };
    let exit = previews(args, ui, "plan", |_, repository, preview| {
        match args.json {
            true => document.operations.extend(wire::Plan::from(&preview.plan).operations),
            false => list(ui, repository, preview)?,
        }
        Ok(())
    })?;
    if args.json {
        ui.json(&document)?;
    }
    Ok(exit)
}

/// Prints the differences that a sync would make.
pub fn diff(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    let mut document = wire::Diffs::new(Vec::new());
    let exit = previews(args, ui, "diff", |deployer, _, preview| {
        let (differences, n_more) = diffs(&preview.plan, DiffLimits::default(), &mut |it| sides(deployer, preview, it));
        if args.json {
            document.diffs.extend(differences.into_iter().map(wire::DiffEntry::from));
            return Ok(());
        }
        for difference in &differences {
            show(ui, difference)?;
        }
        if n_more > 0 {
            ui.note(&format!(
                "{} more; `headfast plan` lists them",
                words::count(n_more as u64, "file is", "files are")
            ));
        }
        Ok(())
    })?;
    if args.json {
        ui.json(&document)?;
    }
    Ok(exit)
}

/// Works out the plan of each repository and hands it over.
fn previews(
    args: &Args,
    ui: &Ui,
    verb: &str,
    mut each: impl FnMut(&ConfigurationDeployer<'_>, &Repository, &Preview) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let host = Host::load(&args.host)?;
    let seeing = host.look(ui, verb)?;
    if let Some(held) = &seeing.held {
        ui.note(&format!("{held}; this is what its last fetch brought"));
    }
    host.each(ui, &seeing.store, |repository, deployer| {
        let preview = preview(deployer, seeing.may_write())?;
        ui.findings(&preview.findings);
        say_what_waits(ui, deployer, &preview)?;
        each(deployer, repository, &preview)?;
        let differs = args.exit_code && preview.plan.writes().next().is_some();
        Ok(if differs { Exit::Differences } else { Exit::Done })
    })
}

fn preview(deployer: &ConfigurationDeployer<'_>, may_write: bool) -> Result<Preview, Failure> {
    if !may_write && deployer.store().repository(deployer.name())?.remote_tip.is_none() {
        let message = format!("{:?} was never fetched, and another process holds the state", deployer.name());
        return Err(Failure::new(Finding::error(Code::LOCKED, message).hint("try again when it is done")));
    }
    Ok(deployer.preview(may_write)?)
}

/// Says why a sync would not do what is shown.
fn say_what_waits(ui: &Ui, deployer: &ConfigurationDeployer<'_>, preview: &Preview) -> Result<(), Failure> {
    let (store, name) = (deployer.store(), deployer.name());
    if let Some(held) = store.is_quarantined(name, &preview.rendered.rendering.digest)? {
        ui.note(&format!("{name}: a sync refuses this, because it failed here on {}: {}", held.since, held.reason));
    }
    if let Some(order) = store.suspension(name)?.filter(|it| !it.is_over(chrono::Utc::now().timestamp())) {
        ui.note(&format!("{name}: deployments are suspended by {}: {}", order.author, order.reason));
    }
    Ok(())
}

fn list(ui: &Ui, repository: &Repository, preview: &Preview) -> Result<(), Failure> {
    let changes = preview.plan.changes();
    let (name, environment) = (escaped(&repository.name), escaped(&repository.environment));
    let heading = format!("{name}: {} in {environment}", preview.revision.short());
    ui.print(format_args!("{HEAD}{heading}{HEAD:#}: {}", words::changes(&changes)))?;
    for operation in preview.plan.writes() {
        let (style, word) = (style(operation.action), operation.action.as_str());
        let path = escaped(&format!("{}/{}", operation.at.root, operation.at.path));
        ui.print(format_args!("  {style}{word:<8}{style:#} {path}"))?;
    }
    Ok(())
}

fn style(action: Action) -> anstyle::Style {
    match action {
        Action::Create => GOOD,
        Action::Remove => BAD,
        Action::Replace | Action::Metadata => WARN,
        Action::Adopt | Action::Forget => DIM,
    }
}

/// Returns the bytes before and after an operation.
fn sides(deployer: &ConfigurationDeployer<'_>, preview: &Preview, operation: &Operation) -> Result<Sides, String> {
    let old = match operation.live.as_ref().map(|it| &it.kind) {
        Some(LiveKind::File) => {
            deployer.client().read(&operation.at).map_err(|error| error.to_string())?.map(|it| it.bytes)
        }
        _ => None,
    };
    let target = preview.rendered.rendering.targets.iter().find(|it| it.path == operation.at.root);
    let output = target.and_then(|it| it.files.get(&operation.at.path));
    let new = output.map(|it| preview.content(&it.content)).transpose().map_err(|error| error.to_string())?;
    Ok(Sides { old, new: new.filter(|_| operation.action != Action::Remove) })
}

fn show(ui: &Ui, difference: &Diff) -> Result<(), Failure> {
    unified(ui, &difference.text)
}

/// Prints a difference, which is escaped already, with the colours that people know from git.
pub fn unified(ui: &Ui, text: &str) -> Result<(), Failure> {
    for line in text.lines() {
        let style = match line.as_bytes() {
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => HEAD,
            [b'+', ..] => GOOD,
            [b'-', ..] => BAD,
            [b'@', b'@', ..] => HINT,
            _ => anstyle::Style::new(),
        };
        ui.print(format_args!("{style}{line}{style:#}"))?;
    }
    Ok(())
}
