//! The hidden verb under which a check, reload or probe runs.

use super::exit::Exit;
use crate::host::process::supervisor::supervise;

/// Run one program, end all that it leaves behind, and report on the standard input, which is a socket
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The program and its arguments
    #[arg(last = true, required = true)]
    argv: Vec<String>,
}

/// Runs the program.
pub fn run(args: &Args) -> Exit {
    supervise(&args.argv);
    Exit::Done
}
