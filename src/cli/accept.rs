//! `accept`: what a person says is meant.

use super::exit::{Exit, Failure};
use super::host::{Host, HostArgs};
use super::order;
use super::ui::{GOOD, Ui};
use crate::agent::control::Order;
use crate::render::escaped;
use crate::state::Store;

/// Accept a change of the host that is refused otherwise
///
/// After a target has moved to another file system, deployments are refused with E_TARGET_DEVICE, because a disk that is not
/// mounted looks the same.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    host: HostArgs,
    /// Take the file systems that the targets are on now for the right ones
    #[arg(long, required = true)]
    file_systems: bool,
}

/// Accepts what is said.
pub fn run(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    order::give(&Host::load(&args.host)?, ui, Order::AcceptFileSystems {})
}

/// Takes the file systems that the targets are on now for the right ones, and says of which targets they are others.
pub fn file_systems(host: &Host, ui: &Ui, store: &Store) -> Result<Exit, Failure> {
    host.each(ui, store, |repository, deployer| {
        let moved = deployer.accept_file_systems()?;
        let name = escaped(&repository.name);
        if moved.is_empty() {
            ui.print(format_args!("{GOOD}{name}:{GOOD:#} every target is on the file system that it was on."))?;
        }
        for target in moved {
            ui.print(format_args!("{GOOD}{name}:{GOOD:#} {} may be on the file system it is on.", escaped(&target)))?;
        }
        Ok(Exit::Done)
    })
}
