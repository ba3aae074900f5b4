//! `demo`: the whole story on a throwaway repository in a temporary directory.

mod stage;
mod story;

use super::exit::{Exit, Failure};
use super::ui::{GOOD, Ui};
use stage::Stage;

/// See the whole story on a throwaway repository: deploy, drift, heal, break, roll back
///
/// Everything happens in a temporary directory, which is removed again. Needs git.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Tells the story. Every step looks whether what it says is true, and the demo fails when it is not.
pub fn run(_args: &Args) -> Result<Exit, Failure> {
    let ui = Ui::joined();
    let dir = tempfile::Builder::new()
        .prefix("headfast-demo-")
        .tempdir()
        .map_err(|error| Failure::io("make a folder in", &std::env::temp_dir(), &error))?;
    // On every way out of here the folder goes with its handle.
    story::tell(&Stage::set_up(dir.path(), &ui)?)?;
    let path = dir.path().to_owned();
    dir.close().map_err(|error| Failure::io("remove", &path, &error))?;
    ui.print(format_args!("\n{GOOD}That was headfast.{GOOD:#} {} is removed again.", path.display()))?;
    Ok(Exit::Done)
}
