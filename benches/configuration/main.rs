//! What the configuration side costs, side by side with a peer: `cargo bench --bench configuration [ROW...]`.
//!
//! Every round runs every row once, so that a noisy neighbour hits all of them; a row's figures are medians over the rounds.
//! docs/benchmarks.md says what the rows are, and has figures.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for developers, which tells and panics")]
#![allow(clippy::disallowed_methods, reason = "nothing of headfast reads what is read here")]

mod inputs;
mod measure;

use measure::{Cost, measure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rounds; `HEADFAST_BENCH_ROUNDS` changes it.
const ROUNDS: usize = 5;
/// The peer's name, on the path or in `target/pypi/bin`.
const PEER: &str = "check-jsonschema";

/// One command that is timed.
struct Row {
    name: &'static str,
    command: Box<dyn Fn() -> Command>,
    /// The row that it is held against.
    against: Option<&'static str>,
}

fn main() {
    // Cargo hands `--bench` on.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<Row> = rows(dir.path()).into_iter().filter(|it| is_wanted(it.name, &wanted)).collect();
    let rounds = std::env::var("HEADFAST_BENCH_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(ROUNDS).max(1);
    let mut costs: Vec<Vec<Cost>> = rows.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (row, costs) in rows.iter().zip(&mut costs) {
            costs.push(measure(&mut (row.command)()));
        }
    }
    let medians: Vec<Cost> = costs.into_iter().map(Cost::median).collect();
    println!("| row | wall s | CPU s | peak MiB | CPU, in ratio |\n|---|---|---|---|---|");
    for (row, cost) in rows.iter().zip(&medians) {
        let other = row.against.and_then(|name| rows.iter().position(|it| it.name == name));
        let ratio =
            other.map(|idx| format!("{} takes {:.1} times as much", rows[idx].name, medians[idx].cpu / cost.cpu));
        let ratio = ratio.unwrap_or_default();
        println!("| {} | {:.2} | {:.2} | {:.0} | {ratio} |", row.name, cost.wall, cost.cpu, cost.mebibytes);
    }
}

fn is_wanted(name: &str, wanted: &[String]) -> bool {
    wanted.is_empty() || wanted.iter().any(|it| name.contains(it))
}

fn rows(dir: &Path) -> Vec<Row> {
    let documents = dir.join("documents");
    let files = inputs::documents(&documents, 1_000);
    let check = {
        let (documents, files) = (documents.clone(), files.clone());
        move || headfast(&documents, ["schema", "check", "schema.json"], &files)
    };
    let mut rows = vec![Row { name: "schema check, 1,000 documents", command: Box::new(check), against: None }];
    if let Some(peer) = peer() {
        rows[0].against = Some(PEER);
        let command = move || {
            let mut command = Command::new(&peer);
            command.current_dir(&documents).args(["--schemafile", "schema.json"]).args(&files);
            command
        };
        rows.push(Row { name: PEER, command: Box::new(command), against: None });
    } else {
        println!("left out: {PEER}, which is neither on the path nor in target/pypi/bin");
    }
    for (name, shape) in [
        ("check, 50 environments with 20 documents each", inputs::Shape::Own),
        ("check, 50 environments that share 950 documents", inputs::Shape::Shared),
    ] {
        let repository = dir.join(format!("{shape:?}"));
        inputs::repository(&repository, shape);
        rows.push(Row { name, command: Box::new(move || headfast(&repository, ["check"], &[])), against: None });
    }
    let chain = dir.join("chain");
    inputs::chain(&chain, 5_000, 1_000);
    let (config, middle) = inputs::host(&chain, Path::new(env!("CARGO_BIN_EXE_headfast")));
    let config = config.to_str().unwrap().to_owned();
    let why = {
        let chain = chain.clone();
        move || headfast(&chain, ["why", "app/app.conf"], &[])
    };
    rows.push(Row { name: "why, of all 50 keys of a file, 5,000 commits", command: Box::new(why), against: None });
    let why_not = move || headfast(&chain, ["why-not", &middle, "--config", &config], &[]);
    rows.push(Row { name: "why-not, of a commit amid 5,000", command: Box::new(why_not), against: None });
    rows
}

fn headfast<const N: usize>(dir: &Path, arguments: [&str; N], files: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headfast"));
    command.current_dir(dir).args(arguments).args(files);
    command
}

fn peer() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pypi/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(own).chain(std::env::split_paths(&path).collect::<Vec<_>>());
    folders.map(|it| it.join(PEER)).find(|it| it.is_file())
}
