//! Words in, words out: one file a verb. The only room that prints.

mod exit;
mod ui;
mod words;
mod xml;
mod human;
mod formats;
mod host;
mod owner;
mod checkout;
mod scene;
mod schema;
mod demo;
mod init;
mod check;
mod render;
mod get;
mod set;
mod plan;
mod sync;
mod accept;
mod agent;
mod status;
mod history;
mod drift;
mod why;
mod why_not;
mod policy;
mod control;
mod order;
mod transaction;
mod fsck;
mod kept;
mod generate;
mod action;

use crate::deploy;
use clap::Parser;
use exit::{Exit, Failure};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use ui::Ui;

/// This very program, also when its file has been replaced since it was started (proc_pid_exe(5)).
const OWN_PROGRAM: &str = "/proc/self/exe";

/// GitOps for plain Linux hosts: `git push` deploys, drift is caught, a bad change is taken back with a `git revert`
#[derive(Debug, Parser)]
#[command(name = "headfast", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Demo(demo::Args),
    Init(init::Args),
    Check(check::Args),
    Render(render::Args),
    Get(get::Args),
    Set(set::Args),
    #[command(subcommand)]
    Schema(schema::Verb),
    Plan(plan::Args),
    /// Show what a sync would do, as unified diffs
    ///
    /// Fetches, renders, and compares with this host. No target is touched. Files that hold secrets are only said to differ.
    /// While the agent runs, what its last fetch brought is compared.
    Diff(plan::Args),
    Sync(sync::Args),
    Agent(agent::Args),
    Status(status::Args),
    History(history::Args),
    Show(history::ShowArgs),
    Drift(drift::Args),
    Why(why::Args),
    WhyNot(why_not::Args),
    #[command(subcommand)]
    Policy(policy::Verb),
    #[command(subcommand)]
    Kept(kept::Verb),
    Fsck(fsck::Args),
    Rollback(control::RollbackArgs),
    Retry(control::RetryArgs),
    Suspend(control::SuspendArgs),
    Resume(control::ResumeArgs),
    Accept(accept::Args),
    #[command(hide = true)]
    Transaction(transaction::Args),
    #[command(hide = true)]
    Action(action::Args),
    #[command(hide = true)]
    MarkdownHelp(generate::MarkdownArgs),
    #[command(hide = true)]
    Completions(generate::CompletionArgs),
    #[command(hide = true)]
    Man(generate::ManArgs),
}

/// Reads the command line, does what it says, and returns the exit code.
pub fn main() -> ExitCode {
    spare_the_owner();
    crate::host::process::supervise_with(Path::new(OWN_PROGRAM));
    deploy::start_processes_with(PathBuf::from(OWN_PROGRAM));
    let exit = match Cli::try_parse() {
        Ok(cli) => {
            let ui = Ui::new();
            let exit = run(&cli.verb, &ui).unwrap_or_else(|failure| ui.failure(&failure));
            ui.quiet();
            exit.code()
        }
        Err(error) => {
            // Nobody may be reading; that changes nothing about the exit.
            let _unread = error.print();
            if error.use_stderr() { Exit::Of(crate::finding::Verdict::Usage).code() } else { Exit::Done.code() }
        }
    };
    ExitCode::from(exit)
}

/// A umask that takes rights from the owner would keep the program from files that it has just made.
fn spare_the_owner() {
    let umask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    rustix::process::umask(umask.intersection(rustix::fs::Mode::from_raw_mode(0o077)));
}

fn run(verb: &Verb, ui: &Ui) -> Result<Exit, Failure> {
    match verb {
        Verb::Demo(args) => demo::run(args),
        Verb::Init(args) => init::run(args, ui),
        Verb::Check(args) => check::run(args, ui),
        Verb::Render(args) => render::run(args, ui),
        Verb::Get(args) => get::run(args, ui),
        Verb::Set(args) => set::run(args, ui),
        Verb::Schema(verb) => schema::run(verb, ui),
        Verb::Plan(args) => plan::plan(args, ui),
        Verb::Diff(args) => plan::diff(args, ui),
        Verb::Sync(args) => sync::run(args, ui),
        Verb::Agent(args) => agent::run(args, ui),
        Verb::Status(args) => status::run(args, ui),
        Verb::History(args) => history::run(args, ui),
        Verb::Show(args) => history::show(args, ui),
        Verb::Drift(args) => drift::run(args, ui),
        Verb::Why(args) => why::run(args, ui),
        Verb::WhyNot(args) => why_not::run(args, ui),
        Verb::Policy(verb) => policy::run(verb, ui),
        Verb::Kept(verb) => kept::run(verb, ui),
        Verb::Fsck(args) => fsck::run(args, ui),
        Verb::Rollback(args) => control::rollback(args, ui),
        Verb::Retry(args) => control::retry(args, ui),
        Verb::Suspend(args) => control::suspend(args, ui),
        Verb::Resume(args) => control::resume(args, ui),
        Verb::Transaction(args) => transaction::run(args, ui),
        Verb::Action(args) => Ok(action::run(args)),
        Verb::Accept(args) => accept::run(args, ui),
        Verb::MarkdownHelp(args) => generate::markdown(args, ui),
        Verb::Completions(args) => generate::completions(args, ui),
        Verb::Man(args) => generate::man(args, ui),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
