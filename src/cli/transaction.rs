//! `transaction`: the process that does what touches targets, for the agent at the other end of its standard input.

use super::exit::{Exit, Failure};
use super::ui::Ui;
use crate::deploy;
use crate::host::{self, service};
use crate::settings;
use std::path::PathBuf;

/// Look at targets and change them, for the agent at the other end of the standard input
///
/// Started by headfast itself, or by systemd from headfast-transaction.socket. What it may do it reads from agent.yaml itself.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The settings of this host
    #[arg(long, value_name = "FILE", default_value = settings::DEFAULT_PATH)]
    config: PathBuf,
}

/// Answers until the other side goes away.
pub fn run(args: &Args, _ui: &Ui) -> Result<Exit, Failure> {
    let failed = |error: host::Error| Failure::new(error.to_finding());
    let stream = service::from_standard_input().map_err(failed)?;
    let settings = settings::load(&args.config)?;
    service::serve(stream, deploy::powers(&settings)).map_err(failed)?;
    Ok(Exit::Done)
}
