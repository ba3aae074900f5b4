//! What the sweeps found, as a table.

use super::verdict::Side;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Problems that are shown of each row; one is usually enough to find the reason.
const SHOWN: usize = 5;

/// One row of the table, or a part of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// What was deployed.
    pub case: String,
    /// What was done.
    pub operation: String,
    /// What went wrong.
    pub fault: String,
    /// How many times it went wrong, each at another call or in another way; what was said then was compared with the files.
    pub points: usize,
    /// How many different states that left behind: each was recovered from and deployed upon.
    pub runs: usize,
    /// Ended with the old files.
    pub old: usize,
    /// Ended with the new files.
    pub new: usize,
    /// Refused, with every file left as it was.
    pub refused: usize,
    /// Ended with neither.
    pub mixed: usize,
    /// Said something that was not so.
    pub false_success: usize,
    /// Did not come back to health by itself.
    pub not_converged: usize,
    /// Which points these are.
    pub coverage: String,
    /// How long it took, in time of processors.
    pub milliseconds: u64,
    /// What was wrong.
    pub problems: Vec<String>,
}

impl Tally {
    /// Starts a row.
    pub fn new(case: &str, operation: &str, fault: &str, coverage: &str) -> Tally {
        let [case, operation, fault, coverage] = [case, operation, fault, coverage].map(str::to_owned);
        Tally { case, operation, fault, coverage, ..Tally::default() }
    }

    /// A piece of work that could not be done.
    pub fn broken(unit: usize) -> Tally {
        let mut tally = Tally::new("-", "-", "-", "");
        tally.problem(format!("unit {unit} of the work panicked"));
        tally
    }

    /// Counts which files a point led to.
    pub fn ends(&mut self, side: Side) {
        match side {
            Side::Old => self.old += 1,
            Side::New => self.new += 1,
        }
    }

    /// Counts a point that did not come to an end as it had to.
    pub fn fails(&mut self, point: &str, reason: &str) {
        self.points += 1;
        self.not_converged += 1;
        self.problem(format!("{point}: {reason}"));
    }

    /// Notes what was wrong at a point.
    pub fn problem(&mut self, text: String) {
        if self.problems.len() < SHOWN {
            self.problems.push(text);
        }
    }

    /// Turns a row around: what it found had to be found.
    pub fn control(self, what: &str) -> Tally {
        let found = format!(
            "red at {} of {} points: {} mixed, {} false success, {} not converged",
            self.mixed + self.false_success + self.not_converged,
            self.points,
            self.mixed,
            self.false_success,
            self.not_converged
        );
        let mut control = Tally::new(&self.case, &self.operation, &format!("control: {what}"), &found);
        (control.points, control.runs) = (self.points, self.runs);
        if !self.is_red() {
            control.problem(format!("with the {what} the sweep finds nothing wrong: it would not see it"));
        }
        control
    }

    /// Whether anything was not as promised.
    pub fn is_red(&self) -> bool {
        self.mixed + self.false_success + self.not_converged > 0 || !self.problems.is_empty()
    }

    fn add(&mut self, other: Tally) {
        self.points += other.points;
        self.runs += other.runs;
        self.old += other.old;
        self.new += other.new;
        self.refused += other.refused;
        self.mixed += other.mixed;
        self.false_success += other.false_success;
        self.not_converged += other.not_converged;
        self.milliseconds += other.milliseconds;
        self.problems.extend(other.problems);
        self.problems.truncate(SHOWN);
    }
}

/// Adds up the parts of rows, in the order in which they came first.
pub fn rows(parts: Vec<Tally>) -> Vec<Tally> {
    let mut rows: Vec<Tally> = Vec::new();
    for part in parts {
        let key = |it: &Tally| (it.case.clone(), it.operation.clone(), it.fault.clone());
        match rows.iter_mut().find(|it| key(it) == key(&part)) {
            Some(row) => row.add(part),
            None => rows.push(part),
        }
    }
    rows
}

/// Renders the table.
pub fn render(rows: &[Tally]) -> String {
    let head = [
        "case",
        "operation",
        "fault",
        "points",
        "runs",
        "old",
        "new",
        "refused",
        "mixed",
        "false success",
        "not converged",
        "coverage",
        "CPU s",
    ];
    let mut lines: Vec<Vec<String>> = vec![head.iter().map(|it| (*it).to_owned()).collect()];
    let mut sum = Tally::new("all", "", "", "");
    for row in rows {
        lines.push(cells(row));
        sum.add(Tally { problems: Vec::new(), ..row.clone() });
    }
    lines.push(cells(&sum));
    let width = |column: usize| lines.iter().map(|it| it[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for (idx, line) in lines.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            let is_number = (3..11).contains(&column) || column == 12;
            if is_number { write!(text, "| {cell:>width$} ") } else { write!(text, "| {cell:<width$} ") }.unwrap();
        }
        text.push_str("|\n");
        if idx == 0 {
            text.push_str(&widths.iter().map(|it| format!("|{}", "-".repeat(it + 2))).collect::<String>());
            text.push_str("|\n");
        }
    }
    text
}

fn cells(row: &Tally) -> Vec<String> {
    let numbers =
        [row.points, row.runs, row.old, row.new, row.refused, row.mixed, row.false_success, row.not_converged];
    let mut cells = vec![row.case.clone(), row.operation.clone(), row.fault.clone()];
    cells.extend(numbers.iter().map(ToString::to_string));
    cells.push(row.coverage.clone());
    cells.push(format!("{:.1}", row.milliseconds as f64 / 1000.0));
    cells
}
