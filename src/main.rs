//! The `headfast` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    headfast::cli::main()
}
