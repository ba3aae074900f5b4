//! One record, one line, whatever the repository puts into it.

use super::Error;
use std::fmt::{self, Write};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt};

/// What the lines of the log look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For eyes: the time, and the level in colour.
    Terminal,
    /// For files and pipes: the time and the level.
    Plain,
    /// For journald, which knows the time: the level as it wants it, `<6>`.
    Journal,
}

impl Style {
    /// Returns the style for where the log goes: `in_service` when journald reads it, `is_colored` when a terminal does.
    pub fn new(in_service: bool, is_colored: bool) -> Style {
        match (in_service, is_colored) {
            (true, _) => Style::Journal,
            (false, true) => Style::Terminal,
            (false, false) => Style::Plain,
        }
    }
}

/// Starts logging to standard error; `level` is `info`, or for example `info,headfast::git=debug`.
pub fn init(level: &str, style: Style) -> Result<(), Error> {
    let subscriber = subscriber(level, style, std::io::stderr)?;
    subscriber.try_init().map_err(|error| Error::Logging(error.to_string()))
}

pub(super) fn subscriber<W>(level: &str, style: Style, writer: W) -> Result<impl Subscriber + Send + Sync, Error>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(style == Style::Terminal)
        .event_format(Line(style))
        .fmt_fields(Escaped)
        .with_writer(writer)
        .with_filter(filter(level)?);
    Ok(tracing_subscriber::registry().with(layer))
}

fn filter(level: &str) -> Result<EnvFilter, Error> {
    let refuse = |reason: String| Error::Level { text: level.to_owned(), reason };
    let words: Vec<&str> = level.split(',').map(str::trim).collect();
    for word in &words {
        // The filter would take a mistyped level for the name of a module, and log nothing.
        let is_module = word.contains(['=', '[']) || word.starts_with("headfast");
        if !is_module && (word.is_empty() || word.parse::<LevelFilter>().is_err()) {
            return Err(refuse("use off, error, warn, info, debug or trace".into()));
        }
    }
    EnvFilter::builder().with_regex(false).parse(words.join(",")).map_err(|error| refuse(error.to_string()))
}

/// Journald cuts lines at 48 KiB, and the rest would pass for a record of its own.
const LONGEST: usize = 16 * 1024;

/// Writes a record as one line.
struct Line(Style);

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        self.start(&mut writer, *event.metadata().level())?;
        let mut text = String::new();
        if *event.metadata().level() >= Level::DEBUG {
            write!(text, "{}: ", event.metadata().target())?;
        }
        for span in context.event_scope().into_iter().flat_map(|it| it.from_root()) {
            match span.extensions().get::<FormattedFields<N>>().filter(|it| !it.is_empty()) {
                Some(fields) => write!(text, "{}{{{fields}}}: ", span.name())?,
                None => write!(text, "{}: ", span.name())?,
            }
        }
        context.format_fields(Writer::new(&mut text), event)?;
        if text.len() > LONGEST {
            let missing = text.len() - text.floor_char_boundary(LONGEST);
            text.truncate(text.floor_char_boundary(LONGEST));
            write!(text, "… ({missing} more bytes)")?;
        }
        writeln!(writer, "{text}")
    }
}

impl Line {
    fn start(&self, writer: &mut Writer<'_>, level: Level) -> fmt::Result {
        let (number, color) = match level {
            Level::ERROR => (3, 31),
            Level::WARN => (4, 33),
            Level::INFO => (6, 32),
            _ => (7, 34),
        };
        match self.0 {
            Style::Journal => write!(writer, "<{number}>"),
            Style::Plain => {
                SystemTime.format_time(writer)?;
                write!(writer, " {level:>5} ")
            }
            Style::Terminal => {
                write!(writer, "\u{1b}[2m")?;
                SystemTime.format_time(writer)?;
                write!(writer, "\u{1b}[0m \u{1b}[{color}m{level:>5}\u{1b}[0m ")
            }
        }
    }
}

/// Writes the message and the fields of a record, without a character that could end the line or change what is seen of it.
struct Escaped;

impl<'writer> FormatFields<'writer> for Escaped {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Fields { writer: Escaping(writer), is_first: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Fields<'writer> {
    writer: Escaping<Writer<'writer>>,
    is_first: bool,
    result: fmt::Result,
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let space = if std::mem::take(&mut self.is_first) { "" } else { " " };
        let written = match field.name() {
            "message" => write!(self.writer, "{space}{value:?}"),
            name => write!(self.writer, "{space}{name}={value:?}"),
        };
        self.result = self.result.and(written);
    }
}

/// Escapes what is written through it.
struct Escaping<W>(W);

impl<W: Write> Write for Escaping<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for it in text.chars() {
            if is_dangerous(it) { write!(self.0, "{}", it.escape_default())? } else { self.0.write_char(it)? }
        }
        Ok(())
    }
}

/// Returns whether a character ends lines, moves the cursor, is not seen, or turns the text round.
fn is_dangerous(it: char) -> bool {
    it.is_control()
        || matches!(it,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
