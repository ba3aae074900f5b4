//! `check`: everything that can be said about a repository without a host.

mod base;
mod junit;
mod scenes;

use self::base::{Base, Compared};
use self::scenes::{ANY_HOST, Lacks, Scene, scenes, take_unknowable};
use crate::cli::checkout::Checkout;
use crate::cli::exit::{Exit, Failure};
use crate::cli::formats;
use crate::cli::scene::pair;
use crate::cli::ui::{BAD, GOOD, Ui};
use crate::cli::words::{count, list};
use crate::finding::{Code, Finding, Findings, Merged, Severity, nearest};
use crate::manifest::{Facts, MANIFEST, Manifest, Target};
use crate::wire;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::ops::Range;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The stack of each thread that renders, as large as that of a program.
const STACK_BYTES: usize = 8 << 20;

/// Check a config repository: load, migrate, validate, police and render
///
/// Renders the working tree in every environment for every host that the manifest declares under `hosts`, and for one more for
/// each target that none of them has, with the name and labels that the target asks for. Warnings do not fail it.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The repository's folder
    #[arg(value_name = "REPO", default_value = ".")]
    repo: PathBuf,
    /// Show what the working tree changes, compared with this commit: files, keys and restarts
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// Only this environment (can be repeated)
    #[arg(long, value_name = "NAME")]
    environment: Vec<String>,
    /// Only the host of this name, whether the manifest declares it or not
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Only hosts with this label (can be repeated)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// Ask no server: remote layers come from the cache
    #[arg(long)]
    offline: bool,
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
    let checkout = Checkout::open(&args.repo, args.offline)?;
    let mut base = args.base.as_ref().map(|it| Base::open(&args.repo, it, &checkout)).transpose()?;
    let mut findings = Findings::new();
    let manifest = checkout.manifest(&mut findings);
    let mut seen = Seen { cases: vec![Case::of_manifest(&findings)], ..Seen::default() };
    if let Some(manifest) = &manifest {
        seen.look(args, &checkout, manifest, base.as_mut(), &mut findings)?;
    }
    // Several hosts, and environments, have most of them alike.
    let merged = findings.merged();
    let compared = base.as_ref().zip(manifest.as_ref());
    match if args.json { Format::Json } else { args.format } {
        Format::Human => {
            ui.findings(&findings);
            if let Some((base, manifest)) = compared {
                base.print(manifest, &findings, ui)?;
            }
        }
        Format::Json => {
            let document = wire::Check::new(&merged);
            ui.json(&match compared {
                Some((base, manifest)) => base.document(document, manifest, &findings),
                None => document,
            })?;
        }
        Format::Sarif => ui.json(&formats::sarif(&merged))?,
        Format::Github => ui.write(formats::github(&merged).as_bytes())?,
        Format::Junit => ui.write(junit::junit(&findings, &seen.cases).as_bytes())?,
    }
    for (target, (environments, lacks)) in seen.unrendered() {
        let environments: Vec<&str> = environments.into_iter().collect();
        let lacks: Vec<&str> = lacks.into_iter().collect();
        let needs = match lacks.as_slice() {
            [] => "no host that it is for is known".to_owned(),
            lacks => format!("it needs {} of its hosts", list(lacks)),
        };
        let environments = list(&environments);
        ui.note(&format!("target {target} was not rendered in {environments}: {needs}; declare one under `hosts`"));
    }
    summarise(args, &merged, &seen, ui)?;
    Ok(Exit::of(&findings))
}

/// What a check looked at.
#[derive(Default)]
struct Seen {
    environments: BTreeSet<String>,
    n_files: u64,
    /// What was looked at, in order.
    cases: Vec<Case>,
    /// The targets that were not rendered although some host has them, by environment, with what made-up hosts lack.
    missed: BTreeMap<(String, String), BTreeSet<String>>,
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

impl Seen {
    fn look(
        &mut self,
        args: &Args,
        checkout: &Checkout,
        manifest: &Manifest,
        base: Option<&mut Base>,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let scenes = narrowed(args, manifest, base.as_ref().and_then(|it| it.manifest.as_ref()))?;
        let is_whole = args.environment.is_empty() && args.host.is_none() && args.label.is_empty();
        let mut settled = BTreeSet::new();
        let looks = look_at(&scenes, checkout, manifest, base.as_deref())?;
        let mut base = base;
        for (scene, look) in scenes.iter().zip(looks) {
            let environment = &scene.facts.environment;
            self.n_files += look.n_files.unwrap_or_default();
            for target in manifest.targets_for(&scene.facts) {
                let at = (target.name.clone(), environment.clone());
                // What is wrong with it is said already.
                if look.n_files.is_some() || look.findings.has_errors() {
                    settled.insert(at);
                } else {
                    self.missed.entry(at).or_default().extend(look.lacks.iter().cloned());
                }
            }
            if let Some((base, compared)) = base.as_mut().zip(look.compared) {
                base.add(scene, compared);
            }
            let start = findings.iter().len();
            findings.extend(look.findings);
            let range = start..findings.iter().len();
            self.cases.push(Case { suite: environment.clone(), name: scene.title(), findings: range });
            self.environments.insert(environment.clone());
        }
        for environment in manifest.environments.keys().filter(|_| is_whole) {
            let is_here =
                |it: &&Target| it.environments.as_ref().is_none_or(|it| it.iter().any(|it| it.value == *environment));
            for target in manifest.targets.iter().filter(is_here) {
                self.missed.entry((target.name.clone(), environment.clone())).or_default();
            }
        }
        self.missed.retain(|at, _| !settled.contains(at));
        Ok(())
    }

    /// Returns the targets that were not rendered: in which environments, and what hosts lack that were made up for them.
    fn unrendered(&self) -> BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>)> {
        let mut targets: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
        for ((target, environment), lacks) in &self.missed {
            let (environments, all) = targets.entry(target).or_default();
            environments.insert(environment);
            all.extend(lacks.iter().map(String::as_str));
        }
        targets
    }
}

/// What was seen of one host.
struct Look {
    findings: Findings,
    /// How many files it gets; `None` when they could not be made.
    n_files: Option<u64>,
    /// What it lacks when it is made up.
    lacks: Lacks,
    compared: Option<Compared>,
}

/// Looks at every host, on as many threads as there are processors; what comes out does not depend on their number.
fn look_at(
    scenes: &[Scene],
    checkout: &Checkout,
    manifest: &Manifest,
    base: Option<&Base>,
) -> Result<Vec<Look>, Failure> {
    let n_threads = thread::available_parallelism().map_or(1, NonZero::get).min(scenes.len());
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, Look)>, Failure> {
        let reader = base.map(Base::reader).transpose()?;
        let mut looks = Vec::new();
        while let Some((idx, scene)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|it| Some((it, scenes.get(it)?)))
        {
            looks.push((idx, look(scene, checkout, manifest, reader.as_ref())));
        }
        Ok(looks)
    };
    let mut looks = thread::scope(|scope| {
        let spawn = || thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        // Where there is no other thread to be had, this one does it all.
        let others: Vec<_> = (1..n_threads).filter_map(|_| spawn().ok()).collect();
        let own = work();
        let others = others.into_iter().map(|it| it.join().unwrap_or_else(|it| resume_unwind(it)));
        let all: Result<Vec<_>, Failure> = [own].into_iter().chain(others).collect();
        all.map(|it| it.into_iter().flatten().collect::<Vec<_>>())
    })?;
    looks.sort_by_key(|it| it.0);
    Ok(looks.into_iter().map(|it| it.1).collect())
}

fn look(scene: &Scene, checkout: &Checkout, manifest: &Manifest, base: Option<&base::Reader<'_>>) -> Look {
    let mut findings = Findings::new();
    let rendered = checkout.render(&scene.facts, &mut findings);
    let lacks = if scene.is_known { Lacks::new() } else { take_unknowable(manifest, &mut findings) };
    let compared = base.zip(rendered.as_ref()).map(|(base, it)| base.compare(checkout, scene, it, &mut findings));
    let n_files = rendered.map(|it| it.rendering.targets.iter().map(|it| it.files.len() as u64).sum());
    Look { findings, n_files, lacks, compared }
}

/// Returns the hosts that someone wants to see.
fn narrowed(args: &Args, manifest: &Manifest, base: Option<&Manifest>) -> Result<Vec<Scene>, Failure> {
    let names = || manifest.environments.keys().map(String::as_str);
    if let Some(unknown) = args.environment.iter().find(|it| !manifest.environments.contains_key(*it)) {
        let finding = Finding::error(Code::USAGE, format!("the manifest has no environment `{unknown}`"));
        return Err(Failure::new(match nearest(unknown, names()) {
            Some(near) => finding.hint(format!("did you mean `{near}`?")),
            None => finding.hint(format!("it has {}", list(&names().collect::<Vec<_>>()))),
        }));
    }
    let is_wanted = |it: &str| args.environment.is_empty() || args.environment.iter().any(|wanted| wanted == it);
    let mut scenes = scenes(manifest, base);
    scenes.retain(|it| is_wanted(&it.facts.environment));
    let is_meant = |it: &Scene| {
        args.host.as_ref().is_none_or(|host| it.facts.host == *host)
            && args.label.iter().all(|(key, value)| it.facts.labels.get(key) == Some(value))
    };
    if scenes.iter().any(is_meant) {
        scenes.retain(is_meant);
        return Ok(scenes);
    }
    let asked_for = |environment: &str| Facts {
        host: args.host.clone().unwrap_or_else(|| ANY_HOST.to_owned()),
        labels: args.label.iter().cloned().collect(),
        environment: environment.to_owned(),
        variables: BTreeMap::new(),
    };
    let facts = names().filter(|it| is_wanted(it)).map(asked_for);
    Ok(facts.map(|facts| Scene { facts, is_known: args.host.is_some() }).collect())
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
    // The first case is the manifest's.
    let hosts = count(seen.cases.len() as u64 - 1, "host", "hosts");
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
