//! `fsck`: whether what headfast knows is whole.

use super::exit::{Exit, Failure};
use super::host::{Host, HostArgs};
use super::ui::{BAD, GOOD, Ui, WARN};
use super::{order, words};
use crate::agent::control::Order;
use crate::finding::Verdict;
use crate::monitor::{self, Area, Needs, Problem};
use crate::render::escaped;
use crate::state;
use crate::wire;

/// Look whether the state of headfast is whole
///
/// Reads the database, the kept copies, the transactions, the mirrors, and every deployed file, and says what is wrong and
/// what would be done about it. `--repair` does it: it finishes or gives up what was cut short, moves aside what cannot be
/// used, and fetches damaged mirrors anew. It touches no deployed file and loses nothing. Exits with 0 when all is whole or
/// was repaired, with 5 when a repair or another verb mends the rest, and with 7 when a person is needed.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    host: HostArgs,
    /// Mend what can be mended
    #[arg(long)]
    repair: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Looks, and repairs when asked to.
pub fn run(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    order::give(&Host::load(&args.host)?, ui, Order::Fsck { repair: args.repair, json: args.json })
}

/// Looks, repairs and prints.
pub fn look(host: &Host, ui: &Ui, open: &order::Open<'_>, repair: bool, json: bool) -> Result<Exit, Failure> {
    let problems = find(host, open, repair)?;
    if json {
        ui.json(&wire::Fsck::new(problems.iter().map(document).collect()))?;
    } else {
        for problem in &problems {
            ui.print(line(problem, repair))?;
        }
        if problems.is_empty() {
            ui.print(format_args!("{GOOD}all is whole{GOOD:#}"))?;
        }
    }
    Ok(exit(&problems))
}

fn find(host: &Host, open: &order::Open<'_>, repair: bool) -> Result<Vec<Problem>, Failure> {
    let dir = &host.settings.state_dir;
    let mut problems = Vec::new();
    if dir.symlink_metadata().is_err() {
        return Ok(problems);
    }
    if state::is_open(dir) {
        if repair {
            state::close(dir)?;
        }
        problems.push(Problem {
            area: Area::Directory,
            subject: dir.display().to_string(),
            problem: "others have rights on it".into(),
            cure: "take them away".into(),
            needs: Needs::Repair,
            repaired: repair,
        });
        if !repair {
            return Ok(problems);
        }
    }
    let store = match open() {
        Ok(store) => store,
        Err(error @ (state::Error::Damaged { .. } | state::Error::Database { .. } | state::Error::Mode { .. })) => {
            problems.push(unusable(host, &error));
            return Ok(problems);
        }
        Err(error) => return Err(error.into()),
    };
    match monitor::fsck(&host.settings, &store, repair) {
        Ok(found) => problems.extend(found),
        Err(error) if error.findings.iter().any(|it| it.code == crate::finding::Code::STATE) => {
            problems.push(unusable(host, &error));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(problems)
}

/// The state cannot be read at all; the error says what to do.
fn unusable(host: &Host, error: &dyn std::error::Error) -> Problem {
    Problem {
        area: Area::Database,
        subject: host.settings.state_dir.display().to_string(),
        problem: error.to_string(),
        cure: "do as it says; headfast does not choose what to forget".into(),
        needs: Needs::Person,
        repaired: false,
    }
}

fn exit(problems: &[Problem]) -> Exit {
    match problems.iter().filter(|it| !it.repaired).map(|it| it.needs).max() {
        None => Exit::Done,
        Some(Needs::Person) => Exit::Of(Verdict::Stuck),
        Some(Needs::Repair | Needs::Verb) => Exit::Differences,
    }
}

fn line(it: &Problem, repair: bool) -> String {
    let (style, what) = match (it.repaired, it.needs) {
        (true, _) => (GOOD, "repaired"),
        (false, Needs::Person) => (BAD, "needs a person"),
        (false, Needs::Verb) => (WARN, "differs"),
        (false, Needs::Repair) if repair => (WARN, "later"),
        (false, Needs::Repair) => (WARN, "can be repaired"),
    };
    let (subject, problem) = (escaped(&it.subject), words::escaped_lines(&it.problem));
    format!(
        "{style}{what}{style:#}  {}: {subject}\n    {problem}\n    {}",
        it.area.as_str(),
        words::escaped_lines(&it.cure)
    )
}

fn document(it: &Problem) -> wire::FsckProblem {
    wire::FsckProblem {
        area: it.area.as_str().to_owned(),
        subject: it.subject.clone(),
        problem: it.problem.clone(),
        cure: it.cure.clone(),
        needs: it.needs.as_str().to_owned(),
        repaired: it.repaired,
    }
}
