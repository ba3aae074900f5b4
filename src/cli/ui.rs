//! The terminal: data on stdout, everything else on stderr, colours only where someone sees them.

use super::exit::{Exit, Failure};
use super::human;
use super::words::escaped_lines;
use crate::agent::control::Reply;
use crate::deploy::ConfigDeployment;
use crate::finding::Findings;
use crate::record::Phase;
use crate::render::escaped;
use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::RefCell;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Something went well.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Something went wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Someone should look.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// What to type, or what to do.
pub const HINT: Style = AnsiColor::Cyan.on_default();
/// What heads a group of lines.
pub const HEAD: Style = Style::new().bold();
/// What is there for completeness.
pub const DIM: Style = Style::new().dimmed();

/// Where a verb's words go.
pub struct Ui<'a> {
    way: Way<'a>,
    progress: RefCell<Option<ProgressBar>>,
}

/// The ways that words can take.
#[derive(Clone, Copy)]
enum Way<'a> {
    /// Data to stdout, the rest to stderr.
    Apart,
    /// Everything to stdout.
    Joined,
    /// Over the control socket, to whoever asked.
    Relayed(&'a dyn Fn(Reply)),
}

impl Ui<'_> {
    /// Returns the usual one: data on stdout, the rest on stderr.
    pub fn new() -> Ui<'static> {
        Ui { way: Way::Apart, progress: RefCell::default() }
    }

    /// Returns one that writes everything to stdout in order: for a story that several verbs tell together.
    pub fn joined() -> Ui<'static> {
        Ui { way: Way::Joined, progress: RefCell::default() }
    }

    /// Returns one that hands everything to whoever asked over the control socket; colours are left for that side to leave out.
    pub fn relayed(reply: &dyn Fn(Reply)) -> Ui<'_> {
        Ui { way: Way::Relayed(reply), progress: RefCell::default() }
    }

    /// Repeats what someone else says who does the work.
    pub fn repeat(&self, reply: Reply) {
        self.quiet();
        let _nobody_listens = match reply {
            Reply::Phase { repository, phase } => {
                self.phase(&repository, phase);
                Ok(())
            }
            Reply::Print(text) => write!(anstream::stdout(), "{}", coloured_only(&text)),
            Reply::Say(text) if matches!(self.way, Way::Joined) => {
                write!(anstream::stdout(), "{}", coloured_only(&text))
            }
            Reply::Say(text) => write!(anstream::stderr(), "{}", coloured_only(&text)),
            Reply::Exit(_) | Reply::Refused => Ok(()),
        };
    }

    /// Prints a line of data. Colours are left out where nobody sees them; text of others must be escaped already.
    pub fn print(&self, text: impl Display) -> Result<(), Failure> {
        self.quiet();
        if let Way::Relayed(reply) = self.way {
            reply(Reply::Print(format!("{text}\n")));
            return Ok(());
        }
        writeln!(anstream::stdout(), "{text}").map_err(Failure::Output)
    }

    /// Writes bytes of data as they are.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.quiet();
        if let Way::Relayed(reply) = self.way {
            reply(Reply::Print(String::from_utf8_lossy(bytes).into_owned()));
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(Failure::Output)
    }

    /// Prints a document of the JSON that we promise.
    pub fn json(&self, document: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(document).map_err(|error| Failure::Output(error.into()))?;
        self.write(format!("{}\n", harmless_json(&text)).as_bytes())
    }

    /// Says something beside the data. That nobody listens is no failure.
    pub fn say(&self, text: impl Display) {
        self.quiet();
        let _nobody_listens = match self.way {
            Way::Joined => writeln!(anstream::stdout(), "{text}"),
            Way::Apart => writeln!(anstream::stderr(), "{text}"),
            Way::Relayed(reply) => {
                reply(Reply::Say(format!("{text}\n")));
                Ok(())
            }
        };
    }

    /// Says one sentence that a person should know.
    pub fn note(&self, text: &str) {
        self.say(format_args!("{HINT}note:{HINT:#} {}", escaped_lines(text)));
    }

    /// Says what is wrong, and returns what it means.
    pub fn findings(&self, findings: &Findings) -> Exit {
        for text in human::reports(findings) {
            self.say(text);
        }
        Exit::of(findings)
    }

    /// Says why a verb could not go on, and returns what it means.
    pub fn failure(&self, failure: &Failure) -> Exit {
        match failure {
            Failure::Findings(findings) => self.findings(findings),
            // Whoever read the output has seen enough.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Failure::Output(error) => {
                self.say(format_args!("{BAD}error:{BAD:#} cannot write the output: {error}"));
                Exit::Of(crate::finding::Verdict::Failed)
            }
        }
    }

    /// Says what a pass found and what to know besides, and returns what it means.
    pub fn outcome(&self, result: &ConfigDeployment) -> Exit {
        self.findings(&result.findings);
        for note in &result.notes {
            self.note(note);
        }
        result.verdict().map_or(Exit::Done, Exit::Of)
    }

    /// Returns whether data goes to a person's eyes.
    pub fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Shows the phase that a deployment is in, on a line that goes away; on anything but a terminal nothing is shown.
    pub fn phase(&self, repository: &str, phase: Phase) {
        if let Way::Relayed(reply) = self.way {
            reply(Reply::Phase { repository: repository.to_owned(), phase });
            return;
        }
        let mut progress = self.progress.borrow_mut();
        let bar = progress.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::default_spinner());
            if !bar.is_hidden() {
                bar.enable_steady_tick(Duration::from_millis(100));
            }
            bar
        });
        bar.set_message(format!("{}: {}", escaped(repository), phase.as_str()));
    }

    /// Takes the line away that shows a phase.
    pub fn quiet(&self) {
        if let Some(bar) = self.progress.take() {
            bar.finish_and_clear();
        }
    }
}

/// Leaves out of text that came over the control socket all that acts on a terminal but colours: the daemon may be another,
/// less trusted user.
fn coloured_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let parameters = rest.strip_prefix("\u{1b}[").map(|it| it.find(|c: char| !c.is_ascii_digit() && c != ';'));
        let colour = parameters.flatten().and_then(|n| rest.get(..n + 3)).filter(|it| it.ends_with('m'));
        let n = colour.map_or(c.len_utf8(), str::len);
        if colour.is_some() || matches!(c, '\n' | '\t') || !c.is_control() {
            out.push_str(&rest[..n]);
        }
        rest = &rest[n..];
    }
    out
}

/// Escapes what JSON lets stand in strings and a terminal would act on.
fn harmless_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || escaped(c.encode_utf8(&mut [0; 4])).chars().eq([c]) {
            out.push(c);
        } else {
            out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_come_over_the_control_socket() {
        let text = format!("{BAD}error{BAD:#}\u{1b}[2J\u{9b}2J\u{1b}]0;x\u{7}\r ü\n\u{1b}[\u{1b}[1m\u{1b}[31é");
        assert_eq!(coloured_only(&text), format!("{BAD}error{BAD:#}[2J2J]0;x ü\n[\u{1b}[1m[31é"));
    }

    #[test]
    fn json_cannot_act_on_a_terminal_and_means_the_same() {
        let value = serde_json::json!({"a\u{9b}": "x\u{1b}[2J\u{7f}\u{202e}\u{e0041}é\n"});
        let text = harmless_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.chars().all(|it| it == '\n' || !it.is_control()), "{text}");
        assert!(text.contains("\\u202e") && text.contains("\\udb40\\udc41"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
