//! `check`: everything that can be said about a repository without a host.

mod junit;

use crate::cli::checkout::Checkout;
use crate::cli::exit::{Exit, Failure};
use crate::cli::formats;
use crate::cli::ui::{BAD, GOOD, Ui};
use crate::cli::words::{count, list};
use crate::finding::{Findings, Merged, Severity};
use crate::manifest::{Facts, MANIFEST, Manifest};
use crate::wire;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;

/// The host that stands for all hosts of an environment for which the manifest declares none.
const ANY_HOST: &str = "any-host";

/// Check a config repository: load, migrate, validate, police and render
///
/// Renders the working tree for every host that the manifest declares under `hosts`, and for every environment without one.
/// Warnings do not fail it.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The repository's folder
    #[arg(value_name = "REPO", default_value = ".")]
    repo: PathBuf,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Print JSON; the same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people, on stderr
    Human,
    /// The documented shape
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Workflow commands, for annotations in a pull request on GitHub
    Github,
    /// JUnit's XML: a suite for each environment, a case for each host
    Junit,
}

/// Checks a repository and prints what is wrong with it.
pub fn run(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    let checkout = Checkout::open(&args.repo)?;
    let mut findings = Findings::new();
    let seen = match checkout.manifest(&mut findings) {
        Some(manifest) => look(&checkout, &manifest, &mut findings),
        None => Seen { cases: vec![Case::of_manifest(&findings)], ..Seen::default() },
    };
    // Several hosts, and environments, have most of them alike.
    let merged = findings.merged();
    match if args.json { Format::Json } else { args.format } {
        Format::Human => {
            ui.findings(&findings);
        }
        Format::Json => ui.json(&wire::Check::new(&merged))?,
        Format::Sarif => ui.json(&formats::sarif(&merged))?,
        Format::Github => ui.write(formats::github(&merged).as_bytes())?,
        Format::Junit => ui.write(junit::junit(&findings, &seen.cases).as_bytes())?,
    }
    let unselected: Vec<&str> = seen.unselected.iter().map(String::as_str).collect();
    if !unselected.is_empty() {
        let names = list(&unselected);
        ui.note(&match unselected.len() {
            1 => format!("target {names} was not rendered: add a host under `hosts` that selects it"),
            _ => format!("targets {names} were not rendered: add hosts under `hosts` that select them"),
        });
    }
    summarise(args, &merged, &seen, ui)?;
    Ok(Exit::of(&findings))
}

/// What a check looked at.
#[derive(Default)]
struct Seen {
    environments: BTreeSet<String>,
    n_hosts: u64,
    n_files: u64,
    unselected: BTreeSet<String>,
    /// What was looked at, in order.
    cases: Vec<Case>,
}

/// One thing that was looked at.
struct Case {
    /// The environment's name; the manifest's for itself.
    suite: String,
    /// The host's name.
    name: String,
    /// Which of all findings it has.
    findings: Range<usize>,
}

impl Case {
    fn of_manifest(findings: &Findings) -> Case {
        Case { suite: MANIFEST.to_owned(), name: "manifest".to_owned(), findings: 0..findings.iter().len() }
    }
}

fn look(checkout: &Checkout, manifest: &Manifest, findings: &mut Findings) -> Seen {
    let mut seen = Seen { cases: vec![Case::of_manifest(findings)], ..Seen::default() };
    let mut is_complete = true;
    let mut selected = BTreeSet::new();
    for facts in scenes(manifest) {
        let n_before = findings.iter().len();
        match checkout.render(&facts, findings) {
            Some(rendered) => {
                seen.n_files += rendered.rendering.targets.iter().map(|it| it.files.len() as u64).sum::<u64>();
                selected.extend(rendered.rendering.targets.into_iter().map(|it| it.name));
            }
            None => is_complete = false,
        }
        seen.n_hosts += 1;
        seen.cases.push(Case {
            suite: facts.environment.clone(),
            name: facts.host,
            findings: n_before..findings.iter().len(),
        });
        seen.environments.insert(facts.environment);
    }
    if is_complete {
        let all = manifest.targets.iter().map(|it| it.name.clone());
        seen.unselected = all.filter(|it| !selected.contains(it)).collect();
    }
    seen
}

/// Returns the facts of every host that the manifest declares, and of a host of each environment that has none.
fn scenes(manifest: &Manifest) -> Vec<Facts> {
    let declared = manifest.hosts.iter().map(|(name, it)| Facts {
        host: name.clone(),
        labels: it.labels.clone(),
        environment: it.environment.value.clone(),
        variables: it.variables.clone(),
    });
    let mut scenes: Vec<Facts> = declared.collect();
    for environment in manifest.environments.keys() {
        if !scenes.iter().any(|it| it.environment == *environment) {
            scenes.push(Facts {
                host: ANY_HOST.to_owned(),
                labels: BTreeMap::new(),
                environment: environment.clone(),
                variables: BTreeMap::new(),
            });
        }
    }
    scenes
}

fn summarise(args: &Args, findings: &[Merged<'_>], seen: &Seen, ui: &Ui) -> Result<(), Failure> {
    let n_of = |severity| findings.iter().filter(|it| it.finding.severity == severity).count() as u64;
    let warnings = match n_of(Severity::Warning) {
        0 => String::new(),
        n => format!(", {}", count(n, "warning", "warnings")),
    };
    let n_errors = n_of(Severity::Error);
    if n_errors > 0 {
        let errors = count(n_errors, "error", "errors");
        ui.say(format_args!("{BAD}failed:{BAD:#} {errors}{warnings}"));
        return Ok(());
    }
    let environments = count(seen.environments.len() as u64, "environment", "environments");
    let hosts = count(seen.n_hosts, "host", "hosts");
    let files = count(seen.n_files, "file", "files");
    let text = format!("{GOOD}ok:{GOOD:#} {environments}, {hosts}, {files}{warnings}");
    match args.format {
        Format::Human if !args.json => ui.print(text),
        _ => {
            ui.say(text);
            Ok(())
        }
    }
}
