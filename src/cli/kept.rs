//! `kept`: what stood in the place of files before headfast overwrote or removed it.

use super::exit::{Exit, Failure};
use super::host::{Host, HostArgs};
use super::ui::{HEAD, Ui};
use super::{order, sync, words};
use crate::agent::control::Order;
use crate::deploy::{ConfigurationDeployer, kept_content};
use crate::finding::{Code, Finding};
use crate::manifest::DriftMode;
use crate::render::escaped;
use crate::settings::Repository;
use crate::state::{KeptEntry, Store};
use crate::wire;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// List, show and put back what stood in a file's place before headfast overwrote or removed it
#[derive(clap::Subcommand, Debug)]
pub enum Verb {
    List(ListArgs),
    Show(ShowArgs),
    Restore(RestoreArgs),
}

/// List the kept copies, the newest first
///
/// `drifted` ones differed from what was deployed; they are dropped after 90 days, or when they take more than 1 GiB, but
/// for the newest 100 and what a rollback to the deployment before the live one needs. `existing` ones were not written by
/// headfast and `recovered` ones waited in a transaction that was given up; both are kept for good.
#[derive(clap::Args, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    host: HostArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Print the content of a kept copy
///
/// What is sensitive is decrypted, and printed only to a terminal or with `--reveal`.
#[derive(clap::Args, Debug)]
pub struct ShowArgs {
    /// The copy's id, as `kept list` lists it, or its beginning
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    host: HostArgs,
    /// Print a sensitive content also where it may be recorded
    #[arg(long)]
    reveal: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Put a kept copy back at its path, or write it elsewhere
///
/// What is there now is kept first, and the programs that read the file are told as after a deployment. The deployed
/// revision stays what it was, so the file shows as drift.
#[derive(clap::Args, Debug)]
pub struct RestoreArgs {
    /// The copy's id, as `kept list` lists it, or its beginning
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    host: HostArgs,
    /// The path, when files at several paths had this content
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Write it to this new file instead, with mode 0600
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// Does what was asked for with the kept copies.
pub fn run(verb: &Verb, ui: &Ui) -> Result<Exit, Failure> {
    match verb {
        Verb::List(args) => list(args, ui),
        Verb::Show(args) => show(args, ui),
        Verb::Restore(args) => restore(args, ui),
    }
}

fn list(args: &ListArgs, ui: &Ui) -> Result<Exit, Failure> {
    let host = Host::load(&args.host)?;
    let entries = match host.read(ui, "kept list")? {
        Some(store) => find(&host, &store, "")?,
        None => Vec::new(),
    };
    if args.json {
        ui.json(&wire::KeptFiles::new(entries.iter().map(document).collect()))?;
        return Ok(Exit::Done);
    }
    if entries.is_empty() {
        ui.say("nothing was kept here yet");
    }
    for entry in &entries {
        ui.print(line(entry))?;
    }
    Ok(Exit::Done)
}

fn show(args: &ShowArgs, ui: &Ui) -> Result<Exit, Failure> {
    let host = Host::load(&args.host)?;
    let missing = || not_found(&args.id);
    let store = host.read(ui, "kept show")?.ok_or_else(missing)?;
    let entry = one(find(&host, &store, &args.id)?, &args.id, None)?;
    let is_hidden = entry.file.kept.encrypted && !args.reveal && (args.json || !ui.is_terminal());
    if is_hidden && !args.json {
        let finding = Finding::error(Code::USAGE, "the content is sensitive, and the output is no terminal");
        return Err(Failure::new(finding.hint("say `--reveal` to print it all the same")));
    }
    if is_hidden {
        let hidden = wire::KeptFile { content: Some(None), ..document(&entry) };
        ui.json(&wire::KeptFiles::new(vec![hidden]))?;
        return Ok(Exit::Done);
    }
    let content = kept_content(owner(&host, &entry)?, &store, &entry.file)?;
    match args.json {
        true => {
            let shown = wire::KeptFile { content: Some(String::from_utf8(content).ok()), ..document(&entry) };
            ui.json(&wire::KeptFiles::new(vec![shown]))?;
        }
        // A terminal would act on what the file holds.
        false if ui.is_terminal() => ui.print(words::escaped_lines(&String::from_utf8_lossy(&content)))?,
        false => ui.write(&content)?,
    }
    Ok(Exit::Done)
}

fn restore(args: &RestoreArgs, ui: &Ui) -> Result<Exit, Failure> {
    let host = Host::load(&args.host)?;
    if let Some(file) = &args.to {
        let store = host.read(ui, "kept restore")?.ok_or_else(|| not_found(&args.id))?;
        let entry = one(find(&host, &store, &args.id)?, &args.id, args.path.as_deref())?;
        let content = kept_content(owner(&host, &entry)?, &store, &entry.file)?;
        write_new(file, &content, entry.file.link)?;
        ui.say(format_args!("written to {}", escaped(&file.display().to_string())));
        return Ok(Exit::Done);
    }
    order::give(&host, ui, Order::RestoreKept { id: args.id.clone(), path: args.path.clone() })
}

/// Puts a kept copy back at its path.
pub fn put_back(host: &Host, ui: &Ui, store: &Store, id: &str, path: Option<&str>) -> Result<Exit, Failure> {
    let entry = one_path(find(host, store, id)?, id, path)?;
    let repository = owner(host, &entry)?;
    let on_phase = |phase| ui.phase(&repository.name, phase);
    let result = ConfigurationDeployer::new(&host.settings, repository, store, &on_phase)?.restore_kept(&entry.file);
    ui.quiet();
    let result = result?;
    let exit = ui.outcome(&result);
    if result.deployment.is_some() {
        ui.print(sync::said(repository, &result))?;
        if exit == Exit::Done && repository.drift.mode == DriftMode::Heal {
            ui.note("this host heals drift: `headfast suspend` keeps the file, or a commit that has it");
        }
    }
    Ok(exit)
}

fn find(host: &Host, store: &Store, prefix: &str) -> Result<Vec<KeptEntry>, Failure> {
    let mut found = Vec::new();
    for repository in host.repositories() {
        found.extend(store.kept_entries(Some(&repository.name), prefix)?);
    }
    found.sort_by_key(|it| std::cmp::Reverse(it.file.deployment));
    Ok(found)
}

fn not_found(id: &str) -> Failure {
    let finding = Finding::error(Code::NOT_FOUND, format!("there is no kept copy {id:?}"));
    Failure::new(finding.hint("headfast kept list lists them"))
}

/// Returns the one copy that an id means, the newest of its entries.
fn one(mut entries: Vec<KeptEntry>, id: &str, path: Option<&str>) -> Result<KeptEntry, Failure> {
    entries.retain(|it| path.is_none_or(|path| whole_path(it) == path));
    let ids: std::collections::BTreeSet<&str> = entries.iter().map(|it| it.file.kept.id.as_str()).collect();
    match (ids.len(), id.len()) {
        (0, _) | (_, 0) => Err(not_found(id)),
        (1, _) => Ok(entries.swap_remove(0)),
        (n, _) => Err(Failure::usage(format!("{n} kept copies begin with {id:?}; say more of the id"))),
    }
}

/// Returns the one copy and path that an id, and a path when it is given, mean.
fn one_path(entries: Vec<KeptEntry>, id: &str, path: Option<&str>) -> Result<KeptEntry, Failure> {
    let paths: std::collections::BTreeSet<String> = entries.iter().map(whole_path).collect();
    let entry = one(entries, id, path)?;
    if path.is_none() && paths.len() > 1 {
        let listed: Vec<&str> = paths.iter().map(String::as_str).collect();
        let message = format!("this content was kept of {}; say which with `--path`", words::list(&listed));
        return Err(Failure::usage(message));
    }
    Ok(entry)
}

fn whole_path(entry: &KeptEntry) -> String {
    format!("{}/{}", entry.file.kept.root, entry.file.kept.path)
}

fn owner<'h>(host: &'h Host, entry: &KeptEntry) -> Result<&'h Repository, Failure> {
    host.settings.repository(&entry.repository).ok_or_else(|| not_found(&entry.file.kept.id))
}

fn write_new(file: &Path, content: &[u8], link: bool) -> Result<(), Failure> {
    let written = match link {
        true => std::os::unix::fs::symlink(String::from_utf8_lossy(content).as_ref(), file),
        false => OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file)
            .and_then(|mut it| it.write_all(content).and_then(|()| it.sync_all())),
    };
    written.map_err(|error| Failure::io("write", file, &error))
}

fn document(entry: &KeptEntry) -> wire::KeptFile {
    let file = &entry.file;
    wire::KeptFile {
        id: file.kept.id.clone(),
        repository: entry.repository.clone(),
        deployment: file.deployment,
        at: entry.at.clone(),
        root: file.kept.root.clone(),
        path: file.kept.path.clone(),
        reason: file.kept.reason.clone(),
        kind: if file.link { "link" } else { "file" }.to_owned(),
        mode: (!file.link).then(|| format!("{:04o}", file.mode)),
        uid: file.uid,
        gid: file.gid,
        sensitive: file.kept.encrypted,
        size: entry.size,
        content: None,
    }
}

fn line(entry: &KeptEntry) -> String {
    let file = &entry.file;
    let size = entry.size.map_or("gone".to_owned(), |it| format!("{it} bytes"));
    let sealed = if file.kept.encrypted { ", encrypted" } else { "" };
    let access = match file.link {
        true => "link".to_owned(),
        false => format!("{:04o} {}:{}", file.mode, file.uid, file.gid),
    };
    format!(
        "{HEAD}{}{HEAD:#}  {}  {}\n    {}: {access}, {size}{sealed}; made way for deployment {} of {}",
        &file.kept.id.get(..12).unwrap_or(&file.kept.id),
        words::moment(&entry.at),
        escaped(&whole_path(entry)),
        escaped(&file.kept.reason),
        file.deployment,
        escaped(&entry.repository),
    )
}
