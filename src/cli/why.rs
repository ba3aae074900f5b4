//! `why`: where a file of a target, and the values in it, come from.

use super::checkout::Checkout;
use super::exit::{Exit, Failure};
use super::host::{Host, HostArgs};
use super::scene::SceneArgs;
use super::ui::{DIM, GOOD, HEAD, Ui};
use super::words::list;
use crate::deploy;
use crate::finding::{Code, Finding, Findings};
use crate::git::{self, Asked, Blamed};
use crate::manifest::MANIFEST;
use crate::pipeline::{ExplainedValue, Explanation, LayerOrigin, ReferenceUse, Source};
use crate::place::Place;
use crate::render::escaped;
use crate::settings;
use crate::wire::{self, LastChange, Origin, Why, WhyPlace, WhyReference, WhySource, WhyUses, WhyValue};
use chrono::DateTime;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Say where a file, or a value in it, comes from
///
/// Names every layer that sets the value and the one that wins, with file, line and column, the commit that changed the line
/// last and its author, and the variables that the value went through. Of a file that is rendered it says which values its
/// template used. Without a key all values of the file are told.
///
/// In a checkout (a folder with a headfast.yaml, or `--repo`) it is about the working tree; otherwise about what is deployed
/// on this host. Secrets are never shown.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The file, as its target and its path there or as its absolute path on the host, and perhaps a key: `app/settings.toml:port`
    #[arg(value_name = "TARGET/FILE[:KEY]")]
    what: String,
    /// The checkout; the current folder by default when it is one
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    repo: Option<PathBuf>,
    #[command(flatten)]
    scene: SceneArgs,
    /// The settings of this host; /etc/headfast/agent.yaml by default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The repository of agent.yaml, when it has several
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// Look at this commit instead: an id, or on a host `head` for the newest that was fetched
    #[arg(long, value_name = "REV")]
    revision: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The answer, and the value that was asked for as it is shown to people.
type Told = (Why, Option<WhyValue>);

/// Explains a file.
pub fn run(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    let is_here = args.config.is_none() && args.repository.is_none() && Path::new(MANIFEST).is_file();
    let (why, asked) = match &args.repo {
        Some(dir) => in_checkout(args, dir, ui)?,
        None if is_here => in_checkout(args, Path::new("."), ui)?,
        None => on_host(args, ui)?,
    };
    if args.json {
        ui.json(&why)?;
    } else {
        show(&why, asked.as_ref(), ui)?;
    }
    Ok(Exit::Done)
}

fn on_host(args: &Args, ui: &Ui) -> Result<Told, Failure> {
    let config = args.config.clone().unwrap_or_else(|| PathBuf::from(settings::DEFAULT_PATH));
    let host = Host::load(&HostArgs { config, repository: args.repository.iter().cloned().collect() })?;
    let repository = host.one()?;
    let Some(store) = host.read(ui, "why")? else {
        let finding = Finding::error(Code::NOT_FOUND, "nothing was ever deployed on this host");
        return Err(Failure::new(finding.hint("say `headfast sync` first, or ask in a checkout with `--repo`")));
    };
    let revision = args.revision.as_deref();
    let explained = deploy::explain(&host.settings, repository, &store, revision, &args.what)?;
    let explanation = told(explained.explanation, explained.findings, ui)?;
    let blame = |asked: &[Asked]| explained.mirror.blame(&explained.revision, asked);
    Ok(document(&explanation, Some(explained.revision.to_string()), &changes(&explanation, &blame, ui)))
}

fn in_checkout(args: &Args, dir: &Path, ui: &Ui) -> Result<Told, Failure> {
    if args.revision.is_some() {
        return Err(Failure::usage("`--revision` is for hosts; check the commit out to ask about it"));
    }
    let checkout = Checkout::open(dir, args.scene.offline)?;
    let mut findings = Findings::new();
    let Some(manifest) = checkout.manifest(&mut findings) else { return Err(Failure::Findings(findings)) };
    let facts = args.scene.facts(&manifest)?;
    let mut findings = Findings::new();
    let explanation = checkout.explain(&facts, &args.what, &mut findings);
    let explanation = told(explanation, findings, ui)?;
    let blame = |asked: &[Asked]| match git::Checkout::discover(dir)? {
        Some(repository) => repository.blame(asked, &|path| checkout.file(path)),
        None => Ok(vec![Blamed::Absent; asked.len()]),
    };
    Ok(document(&explanation, None, &changes(&explanation, &blame, ui)))
}

/// Says what was found; warnings are not about the file that was asked for.
fn told(explanation: Option<Explanation>, findings: Findings, ui: &Ui) -> Result<Explanation, Failure> {
    match explanation {
        Some(explanation) => Ok(explanation),
        None if findings.has_errors() => Err(Failure::Findings(findings)),
        None => {
            ui.findings(&findings);
            Err(Failure::new(Finding::error(Code::NOT_FOUND, "nothing is known about this file")))
        }
    }
}

/// Who changed the line of each place last.
type Changes = BTreeMap<Place, LastChange>;

/// Answers who changed lines last.
type Blame<'a> = &'a dyn Fn(&[Asked]) -> Result<Vec<Blamed>, git::Error>;

/// Asks git about all places at once. Without an answer, all else is told.
fn changes(explanation: &Explanation, blame: Blame, ui: &Ui) -> Changes {
    let values = explanation.asked.iter().chain(&explanation.values);
    let of_value = |it: &ExplainedValue| {
        let references = it.references.iter().filter_map(|it| it.place.clone());
        it.origins.iter().map(|it| it.changed_at.clone()).chain(references).collect::<Vec<_>>()
    };
    let mut places: Vec<Place> = values.flat_map(of_value).chain(file_of(&explanation.source)).collect();
    places.sort();
    places.dedup();
    let asked: Vec<Asked> = places.iter().map(|it| Asked { path: it.file.to_string(), line: it.line }).collect();
    match blame(&asked) {
        Ok(found) => {
            if found.contains(&Blamed::CutOff) {
                ui.note("some lines are older than this clone's history; `git fetch --unshallow` brings the rest");
            }
            places.into_iter().zip(found.into_iter().map(last_change)).collect()
        }
        Err(error) => {
            ui.note(&format!("who changed the lines last cannot be told: {error}"));
            Changes::new()
        }
    }
}

fn last_change(blamed: Blamed) -> LastChange {
    match blamed {
        Blamed::Commit(commit) => LastChange {
            date: DateTime::from_timestamp(commit.time, 0).map(|it| it.to_rfc3339()),
            subject: Some(commit.subject().to_owned()),
            commit: Some(commit.id.to_string()),
            author: Some(commit.author),
            uncommitted: false,
        },
        Blamed::Uncommitted => LastChange { uncommitted: true, ..LastChange::default() },
        Blamed::CutOff | Blamed::Absent => LastChange::default(),
    }
}

/// Returns the file that an output is made from.
fn file_of(source: &Source) -> Option<Place> {
    match source {
        Source::Copied(file) | Source::Rendered { template: file, .. } => Some(Place::whole(file)),
        Source::Written { .. } => None,
    }
}

fn document(explanation: &Explanation, revision: Option<String>, changes: &Changes) -> Told {
    let asked = explanation.asked.as_ref().map(|it| value(it, changes));
    let key = asked.as_ref().map(|it| it.key.clone());
    let (json, origins, references) = match asked.clone() {
        Some(it) => (it.value, it.origins, it.references),
        None => (serde_json::Value::Null, Vec::new(), Vec::new()),
    };
    let why = Why {
        version: wire::VERSION,
        target: explanation.target.clone(),
        path: explanation.path.clone(),
        key,
        value: json,
        origins,
        references,
        revision,
        live: explanation.live.clone(),
        sensitive: explanation.sensitive,
        source: source(explanation, changes),
        uses: explanation.uses.as_ref().map(|it| WhyUses {
            keys: it.keys.clone(),
            facts: it.facts.clone(),
            variables: it.variables.clone(),
            includes: it.includes.clone(),
        }),
        values: explanation.values.iter().map(|it| value(it, changes)).collect(),
    };
    (why, asked)
}

fn source(explanation: &Explanation, changes: &Changes) -> WhySource {
    let (kind, configuration, select) = match &explanation.source {
        Source::Copied(_) => ("copy", None, None),
        Source::Rendered { configuration, .. } => ("template", configuration.clone(), None),
        Source::Written { configuration, select } => ("write", Some(configuration.clone()), select.clone()),
    };
    let file = file_of(&explanation.source);
    WhySource {
        kind: kind.to_owned(),
        changed: file.as_ref().and_then(|it| changes.get(it)).cloned().unwrap_or_default(),
        file: file.map(|it| it.file.to_string()),
        configuration,
        select,
        entry: place(&explanation.entry),
    }
}

fn place(place: &Place) -> WhyPlace {
    let known = |number: u32| (number > 0).then_some(number);
    WhyPlace { file: place.file.to_string(), line: known(place.line), column: known(place.column) }
}

fn value(value: &ExplainedValue, changes: &Changes) -> WhyValue {
    let changed = |it: &Place| changes.get(it).cloned().unwrap_or_default();
    let origin = |it: &LayerOrigin| {
        let WhyPlace { file, line, column } = place(&it.place);
        let (layer, shown, migrated) = (it.layer.clone(), it.shown.clone(), it.migrated.clone());
        Origin { layer, file, line, column, changed: changed(&it.changed_at), wins: it.wins, shown, migrated }
    };
    let reference = |it: &ReferenceUse| WhyReference {
        name: it.name.clone(),
        shown: it.shown.clone(),
        place: it.place.as_ref().map(place),
        changed: it.place.as_ref().map(changed).unwrap_or_default(),
    };
    WhyValue {
        configuration: value.configuration.clone(),
        key: value.key.clone(),
        value: value.json.clone(),
        shown: value.shown.clone(),
        origins: value.origins.iter().map(origin).collect(),
        references: value.references.iter().map(reference).collect(),
    }
}

fn show(why: &Why, asked: Option<&WhyValue>, ui: &Ui) -> Result<(), Failure> {
    let part = why.source.select.as_ref().map(|it| format!("`{it}` of ")).unwrap_or_default();
    let configuration = why.source.configuration.as_deref().unwrap_or_default();
    let made = match (why.source.kind.as_str(), &why.source.file) {
        ("copy", Some(file)) => format!("a copy of {file}{}", by(&why.source.changed)),
        ("template", Some(file)) => format!("rendered from {file}{}", by(&why.source.changed)),
        _ => format!("{part}the configuration {configuration}"),
    };
    ui.print(format_args!("{HEAD}{}{HEAD:#}: {}", escaped(&why.live), escaped(&made)))?;
    let revision = why.revision.as_ref().map(|it| format!(", revision {it}")).unwrap_or_default();
    let entry = shown_place(&why.source.entry);
    ui.print(format_args!("{DIM}target {}, {}{}{DIM:#}", escaped(&why.target), escaped(&entry), escaped(&revision)))?;
    if let Some(uses) = &why.uses {
        show_uses(uses, ui)?;
    }
    // The values below a map say more than that it is one.
    for value in asked.into_iter().filter(|_| why.values.is_empty()).chain(&why.values) {
        show_value(value, ui)?;
    }
    Ok(())
}

fn show_uses(uses: &WhyUses, ui: &Ui) -> Result<(), Failure> {
    let rows =
        [("uses", &uses.keys), ("variables", &uses.variables), ("facts", &uses.facts), ("includes", &uses.includes)];
    for (what, names) in rows.iter().filter(|it| !it.1.is_empty()) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        ui.print(format_args!("{what} {}", escaped(&list(&names))))?;
    }
    Ok(())
}

fn show_value(value: &WhyValue, ui: &Ui) -> Result<(), Failure> {
    ui.print(format_args!("\n{HEAD}{}{HEAD:#} = {}", escaped(&value.key), escaped(&value.shown)))?;
    for origin in &value.origins {
        let at = WhyPlace { file: origin.file.clone(), line: origin.line, column: origin.column };
        let layer = if origin.layer == origin.file { String::new() } else { format!("{}: ", origin.layer) };
        let text = format!("{layer}{}  {}{}", shown_place(&at), origin.shown, by(&origin.changed));
        let text = escaped(&text);
        match origin.wins {
            true => ui.print(format_args!("  {GOOD}set{GOOD:#}   {text}"))?,
            false => ui.print(format_args!("  {DIM}over{DIM:#}  {text}"))?,
        }
        if let Some(migrated) = &origin.migrated {
            ui.print(format_args!("        {DIM}the document {}{DIM:#}", escaped(migrated)))?;
        }
    }
    for reference in &value.references {
        let text = match (&reference.shown, &reference.place) {
            (Some(shown), Some(place)) => format!("= {shown}, from {}{}", shown_place(place), by(&reference.changed)),
            (Some(shown), None) => format!("= {shown}"),
            (None, _) => "is not set: its default counts".to_owned(),
        };
        ui.print(format_args!("  through ${{{}}} {}", escaped(&reference.name), escaped(&text)))?;
    }
    Ok(())
}

fn shown_place(place: &WhyPlace) -> String {
    let (line, column) = (place.line.unwrap_or_default(), place.column.unwrap_or_default());
    Place::new(&place.file.as_str().into(), line, column).to_string()
}

/// Returns who changed something last, as the end of a line.
fn by(changed: &LastChange) -> String {
    let Some(commit) = &changed.commit else {
        return if changed.uncommitted { "  (not committed yet)".to_owned() } else { String::new() };
    };
    let day = changed.date.as_deref().and_then(|it| it.get(..10)).unwrap_or_default();
    let author = changed.author.as_deref().unwrap_or_default();
    let subject = changed.subject.as_deref().unwrap_or_default();
    format!("  ({} {day} {author}: {subject})", commit.get(..12).unwrap_or(commit))
}
