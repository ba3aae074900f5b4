//! `policy test`: the tests of the policies of a checkout.

use super::checkout::Checkout;
use super::exit::{Exit, Failure};
use super::human;
use super::ui::{BAD, DIM, GOOD, Ui, WARN};
use super::words::count;
use super::xml::{attribute, escaped};
use crate::finding::Findings;
use crate::policy::{self, Outcome, Tested};
use crate::render;
use crate::wire;
use anstream::adapter::strip_str;
use std::fmt::Write;
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
    /// JUnit's XML
    Junit,
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
        Format::Junit => ui.print(junit(&tested).trim_end())?,
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
        let (word, place) = (word(test.outcome), render::escaped(&test.place.to_string()).to_string());
        ui.print(format_args!("{style}{word:<7}{style:#} {} {DIM}{place}{DIM:#}", render::escaped(&test.name)))?;
        for line in &test.prints {
            ui.print(format_args!("        {}", render::escaped(line)))?;
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

/// Returns a suite for each file, with a case for each test.
fn junit(tested: &[Tested]) -> String {
    let is_bad = |it: &&Tested| matches!(it.outcome, Outcome::Fail | Outcome::Error);
    let is_skipped = |it: &&Tested| it.outcome == Outcome::Skipped;
    let counts = |all: &[Tested]| {
        let (n, n_bad) = (all.len(), all.iter().filter(is_bad).count());
        format!("tests=\"{n}\" failures=\"{n_bad}\" skipped=\"{}\"", all.iter().filter(is_skipped).count())
    };
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(text, "<testsuites name=\"headfast policy test\" {}>", counts(tested));
    for suite in tested.chunk_by(|a, b| a.place.file == b.place.file) {
        let file = attribute(&suite[0].place.file);
        let _ = writeln!(text, "  <testsuite name=\"{file}\" {}>", counts(suite));
        for test in suite {
            let (package, name) = test.name.rsplit_once('.').unwrap_or(("", &test.name));
            let (package, name, line) = (attribute(package), attribute(name), test.place.line);
            let _ =
                write!(text, "    <testcase classname=\"{package}\" name=\"{name}\" file=\"{file}\" line=\"{line}\"");
            text.push_str(&content(test));
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn content(test: &Tested) -> String {
    let mut text = String::new();
    if let Some(finding) = &test.finding {
        let findings: Findings = [finding.clone()].into_iter().collect();
        let reports: Vec<String> =
            findings.merged().iter().map(|it| strip_str(&human::report(it)).to_string()).collect();
        let (code, message) = (finding.code.name, attribute(&finding.message));
        let body = escaped(&reports.concat());
        let _ = writeln!(text, "      <failure type=\"{code}\" message=\"{message}\">{body}</failure>");
    }
    if test.outcome == Outcome::Skipped {
        text.push_str("      <skipped/>\n");
    }
    if !test.prints.is_empty() {
        let _ = writeln!(text, "      <system-out>{}</system-out>", escaped(&test.prints.join("\n")));
    }
    if text.is_empty() { "/>\n".to_owned() } else { format!(">\n{text}    </testcase>\n") }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Code, Finding};
    use crate::place::Place;

    #[test]
    fn every_file_is_a_suite_and_every_test_a_case() {
        let place = |file: &str, line| Place::new(&file.into(), line, 1);
        let test = |name: &str, place: Place, outcome| Tested {
            name: name.to_owned(),
            place,
            outcome,
            finding: None,
            prints: Vec::new(),
        };
        let broken = Finding::error(Code::POLICY_TEST, "`a.test_two` does <not> hold").at(&place("p/a_test.rego", 5));
        let tested = [
            test("a.test_one", place("p/a_test.rego", 3), Outcome::Pass),
            Tested {
                finding: Some(broken),
                prints: vec!["a & b".to_owned()],
                ..test("a.test_two", place("p/a_test.rego", 5), Outcome::Fail)
            },
            test("b.todo_test_three", place("p/b_test.rego", 3), Outcome::Skipped),
        ];
        insta::assert_snapshot!(junit(&tested), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="headfast policy test" tests="3" failures="1" skipped="1">
          <testsuite name="p/a_test.rego" tests="2" failures="1" skipped="0">
            <testcase classname="a" name="test_one" file="p/a_test.rego" line="3"/>
            <testcase classname="a" name="test_two" file="p/a_test.rego" line="5">
              <failure type="E_POLICY_TEST" message="`a.test_two` does &lt;not&gt; hold">error[E_POLICY_TEST]: `a.test_two` does &lt;not&gt; hold
        --&gt; p/a_test.rego:5:1
        </failure>
              <system-out>a &amp; b</system-out>
            </testcase>
          </testsuite>
          <testsuite name="p/b_test.rego" tests="1" failures="0" skipped="1">
            <testcase classname="b" name="todo_test_three" file="p/b_test.rego" line="3">
              <skipped/>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }
}
