//! Faults at every system call of the transaction: after each, the files are exactly the old or exactly the new ones, what was
//! said was true, and the next deployment comes through.
//!
//! `cargo test --test faults` runs all of it, with a name only the suites whose names contain it. `HEADFAST_FAULTS=full` also
//! tries every errno at every call of the large cases, `HEADFAST_FAULTS_CASE=…` only the cases with such names, and
//! `HEADFAST_FAULTS_SEED=…` repeats what was random. The table is written to `target/faults.md`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed, in its helpers too")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is its own test runner")]

#[cfg(target_arch = "x86_64")]
mod suite;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::read(std::env::args().skip(1));
    #[cfg(target_arch = "x86_64")]
    return suite::run(&arguments);
    #[cfg(not(target_arch = "x86_64"))]
    {
        println!("faults: left out: the kernel hands system calls back to a program on x86_64 only ({arguments:?})");
        ExitCode::from(u8::from(std::env::var_os("CI").is_some()))
    }
}

/// What libtest would be told.
#[derive(Debug, Default)]
struct Arguments {
    names: Vec<String>,
    skipped: Vec<String>,
    is_exact: bool,
    is_list: bool,
}

impl Arguments {
    fn read(mut given: impl Iterator<Item = String>) -> Arguments {
        let mut arguments = Arguments::default();
        while let Some(argument) = given.next() {
            match argument.as_str() {
                "--exact" => arguments.is_exact = true,
                "--list" => arguments.is_list = true,
                "--skip" => arguments.skipped.extend(given.next()),
                // These take a value, which is no name.
                "--test-threads" | "--format" | "--color" | "--logfile" | "--shuffle-seed" | "-Z" => {
                    given.next();
                }
                flag if flag.starts_with('-') => {}
                name => arguments.names.push(name.to_owned()),
            }
        }
        arguments
    }

    fn accepts(&self, name: &str) -> bool {
        let matches = |wanted: &String| if self.is_exact { name == wanted } else { name.contains(wanted.as_str()) };
        let is_skipped = self.skipped.iter().any(|it| name.contains(it.as_str()));
        (self.names.is_empty() || self.names.iter().any(matches)) && !is_skipped
    }
}
