//! `policy test`: the tests of the policies of a checkout.

use super::checkout::Checkout;
use super::exit::{Exit, Failure};
use super::ui::{BAD, DIM, GOOD, Ui, WARN};
use super::words::count;
use crate::finding::Findings;
use crate::policy::{self, Outcome, Tested};
use crate::render::escaped;
use crate::wire;
use std::path::PathBuf;

/// Work on the policies of a config repository
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    Test(Args),
}

/// Run the tests of the policies, as `opa test` does
///
/// Tests are rules whose names begin with `test_`, in any file of the manifest's policies and in `*_test.rego` beside them;
/// those that begin with `todo_test_` are skipped. A test that does not hold, or cannot be evaluated, is exit 3.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The repository's folder
    #[arg(value_name = "REPO", default_value = ".")]
    repo: PathBuf,
    /// Run only tests whose full names hold this
    #[arg(long, value_name = "TEXT", default_value = "")]
    run: String,
    /// How the results are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Human,
    /// The documented shape
    Json,
}

/// Runs the verb.
pub fn run(verb: &Verb, ui: &Ui) -> Result<Exit, Failure> {
    let Verb::Test(args) = verb;
    // Tests see no layers.
    let checkout = Checkout::open(&args.repo, true)?;
    let mut findings = Findings::new();
    let Some(manifest) = checkout.manifest(&mut findings).filter(|_| !findings.has_errors()) else {
        return Err(Failure::Findings(findings));
    };
    let Some(tested) = policy::test(checkout.tree(), &manifest.policies, &args.run, &mut findings) else {
        return Err(Failure::Findings(findings));
    };
    match args.format {
        Format::Human => print(&tested, ui)?,
        Format::Json => ui.json(&document(&tested))?,
    }
    let failed: Findings = tested.iter().filter_map(|it| it.finding.clone()).collect();
    if args.format == Format::Human {
        ui.findings(&failed);
    }
    summarise(args, &tested, ui)?;
    Ok(Exit::of(&failed))
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "fail",
        Outcome::Error => "error",
        Outcome::Skipped => "skipped",
    }
}

fn print(tested: &[Tested], ui: &Ui) -> Result<(), Failure> {
    for test in tested {
        let style = match test.outcome {
            Outcome::Pass => GOOD,
            Outcome::Skipped => WARN,
            Outcome::Fail | Outcome::Error => BAD,
        };
        let (word, place) = (word(test.outcome), escaped(&test.place.to_string()).to_string());
        ui.print(format_args!("{style}{word:<7}{style:#} {} {DIM}{place}{DIM:#}", escaped(&test.name)))?;
        for line in &test.prints {
            ui.print(format_args!("        {}", escaped(line)))?;
        }
    }
    Ok(())
}

fn document(tested: &[Tested]) -> wire::PolicyTests {
    let test = |it: &Tested| wire::PolicyTest {
        name: it.name.clone(),
        file: it.place.file.to_string(),
        line: it.place.line,
        outcome: word(it.outcome).to_owned(),
        message: it.finding.as_ref().map(|it| it.message.clone()),
        prints: it.prints.clone(),
    };
    wire::PolicyTests { version: wire::VERSION, tests: tested.iter().map(test).collect() }
}

fn summarise(args: &Args, tested: &[Tested], ui: &Ui) -> Result<(), Failure> {
    if tested.is_empty() {
        ui.note(match args.run.is_empty() {
            true => "the policies have no tests: write rules named `test_…`, in files named `*_test.rego`",
            false => "no test has such a name",
        });
        return Ok(());
    }
    let n_of = |outcome| tested.iter().filter(|it| it.outcome == outcome).count() as u64;
    let mut parts = vec![format!("{} passed", count(n_of(Outcome::Pass), "test", "tests"))];
    let rest = [(Outcome::Fail, "failed"), (Outcome::Error, "could not be evaluated"), (Outcome::Skipped, "skipped")];
    parts.extend(rest.into_iter().filter(|it| n_of(it.0) > 0).map(|it| format!("{} {}", n_of(it.0), it.1)));
    let text = parts.join(", ");
    let is_good = n_of(Outcome::Fail) + n_of(Outcome::Error) == 0;
    let text = if is_good { format!("{GOOD}ok:{GOOD:#} {text}") } else { format!("{BAD}failed:{BAD:#} {text}") };
    if args.format == Format::Human {
        return ui.print(text);
    }
    ui.say(text);
    Ok(())
}
