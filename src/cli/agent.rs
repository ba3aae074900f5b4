//! `agent`: the daemon.

use super::exit::{Exit, Failure};
use super::order;
use super::ui::Ui;
use crate::agent;
use crate::finding::Finding;
use crate::observe::{self, Style};
use crate::settings;
use std::path::PathBuf;
use std::sync::Arc;

/// Run the daemon
///
/// Polls, watches local repositories for pushes, deploys, looks for drift on its schedule, and serves metrics. While it runs,
/// `sync`, `rollback`, `retry`, `suspend`, `resume`, `accept`, `kept restore`, `fsck` and `drift --heal` are carried out by it.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The settings of this host
    #[arg(long, value_name = "FILE", default_value = settings::DEFAULT_PATH)]
    config: PathBuf,
}

/// Runs until it is told to stop.
pub fn run(args: &Args, _ui: &Ui) -> Result<Exit, Failure> {
    let settings = settings::load(&args.config)?;
    // journald says in this variable that it reads what we write (systemd.exec(5)).
    let in_service = std::env::var_os("JOURNAL_STREAM").is_some();
    let is_colored = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    observe::init(&settings.log, Style::new(in_service, is_colored))
        .map_err(|error| Failure::new(Finding::error(error.code(), error.to_string())))?;
    agent::run(settings, Arc::new(order::answer)).map_err(|error| match error {
        agent::Error::State(error) => Failure::from(error),
        error => Failure::new(Finding::error(error.code(), error.to_string())),
    })?;
    Ok(Exit::Done)
}
