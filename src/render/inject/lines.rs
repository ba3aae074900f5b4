//! Files that are read line by line: units, crontabs, environment and INI files, and all others.

use super::context::is_control;
use super::{Breach, Context, Glyph, Why};

/// Returns what would break out of its place in lines of the kind `context`.
pub(super) fn judge(context: Context, text: &[Glyph]) -> Vec<Breach> {
    let mut reader = Reader { context, text, line: Line::default(), found: Vec::new() };
    let mut idx = 0;
    while let Some(glyph) = text.get(idx) {
        match glyph.from {
            Some(from) => reader.value(idx, glyph.char, from),
            // A backslash of the template speaks for the next character, too.
            None if glyph.char == '\\' && reader.is_escape(idx) => idx += 1,
            None => reader.own(idx, glyph.char),
        }
        idx += 1;
    }
    reader.close();
    reader.found
}

/// Returns the breach when the character `idx` breaks the line that it stands in.
///
/// A line break at the end of a value at the end of a line makes an empty line at most.
pub(super) fn broken(text: &[Glyph], idx: usize) -> Option<Breach> {
    let glyph = text.get(idx)?;
    let from = glyph.from.filter(|_| is_control(glyph.char))?;
    let is_break = |it: &Glyph| matches!(it.char, '\n' | '\r');
    let rest = text.get(idx..).unwrap_or_default();
    let next = rest.iter().find(|it| !(is_break(it) && it.from == Some(from)));
    let ends_line = is_break(glyph) && next.is_none_or(is_break);
    (!ends_line).then_some(Breach { char: glyph.char, from, why: Why::Line })
}

struct Reader<'a> {
    context: Context,
    text: &'a [Glyph],
    line: Line,
    found: Vec<Breach>,
}

/// Where in a line the reader is.
#[derive(Default)]
struct Line {
    start: usize,
    is_comment: bool,
    /// Whether anything but blanks was seen.
    has_begun: bool,
    /// The quotes of the template that are open.
    quote: Option<char>,
    /// Quotes that a value opened, and the text that it was printed with.
    opened: Option<(char, u32)>,
}

impl Reader<'_> {
    /// Takes a character of the template.
    fn own(&mut self, idx: usize, char: char) {
        self.close();
        if char == '\n' {
            let goes_on = idx > 0 && self.text[idx - 1] == Glyph { char: '\\', from: None };
            let spans = self.context == Context::Env || self.context == Context::Systemd && goes_on;
            let quote = self.line.quote.filter(|_| spans);
            let start = if spans && goes_on { self.line.start } else { idx + 1 };
            self.line = Line { start, quote, ..Line::default() };
            return;
        }
        if !self.line.has_begun && !char.is_whitespace() {
            let is_comment = char == '#' || char == ';' && matches!(self.context, Context::Systemd | Context::Ini);
            (self.line.has_begun, self.line.is_comment) = (true, is_comment && self.line.quote.is_none());
        }
        if self.line.is_comment || !matches!(char, '"' | '\'') {
            return;
        }
        match self.line.quote {
            Some(open) if open == char => self.line.quote = None,
            Some(_) => {}
            // The apostrophe of a word such as `don't` opens nothing.
            None if idx > self.line.start && self.text[idx - 1].char.is_alphanumeric() => {}
            None => self.line.quote = Some(char),
        }
    }

    /// Takes a character of a value.
    fn value(&mut self, idx: usize, char: char, from: u32) {
        self.line.has_begun = true;
        if let Some(breach) = broken(self.text, idx) {
            self.found.push(breach);
        } else if !self.line.is_comment {
            let why = match self.line.quote {
                Some(quote) => self.quoted(idx, char, quote),
                None => self.bare(idx, char, from),
            };
            self.found.extend(why.map(|why| Breach { char, from, why }));
        }
    }

    /// Ends what a value opened and did not close.
    fn close(&mut self) {
        if let Some((char, from)) = self.line.opened.take() {
            self.found.push(Breach { char, from, why: Why::Opens });
        }
    }

    fn quoted(&self, idx: usize, char: char, quote: char) -> Option<Why> {
        let next = self.text.get(idx + 1).map(|it| it.char);
        match (self.context, char) {
            (Context::Lines, _) => None,
            (_, it) if it == quote => Some(Why::Quotes),
            (Context::Env, '\\' | '$' | '`') | (Context::Crontab, '\\' | '$' | '`') if quote == '"' => Some(Why::Acts),
            (Context::Systemd | Context::Ini | Context::Document(_), '\\') if next == Some(quote) => Some(Why::Quotes),
            _ => self.percent(idx, char),
        }
    }

    fn bare(&mut self, idx: usize, char: char, from: u32) -> Option<Why> {
        let next = self.text.get(idx + 1).map(|it| it.char);
        match (self.context, char) {
            (Context::Env, '"' | '\'' | '\\' | '$' | '`') => Some(Why::Bare),
            (Context::Ini, ']') if self.starts_with("[") => Some(Why::Shape),
            (Context::Systemd, '\\') if next.is_none_or(|it| it == '\n') => Some(Why::Acts),
            (Context::Systemd, ';') if self.starts_with("Exec") => {
                let is_blank = |it: Option<&Glyph>| it.is_none_or(|it| it.char.is_whitespace());
                let stands_alone = is_blank(self.text.get(idx.wrapping_sub(1))) && is_blank(self.text.get(idx + 1));
                stands_alone.then_some(Why::Acts)
            }
            (Context::Systemd, '"' | '\'') if self.has_words() => self.toggle(char, from),
            (Context::Crontab, '"' | '\'') => self.toggle(char, from),
            _ => self.percent(idx, char),
        }
    }

    /// Opens or closes quotes within a value: a whole command may be one.
    fn toggle(&mut self, char: char, from: u32) -> Option<Why> {
        match self.line.opened {
            Some((open, _)) if open == char => self.line.opened = None,
            Some(_) => {}
            None => self.line.opened = Some((char, from)),
        }
        None
    }

    fn percent(&self, idx: usize, char: char) -> Option<Why> {
        if char != '%' {
            return None;
        }
        let next = self.text.get(idx + 1).map(|it| it.char);
        let previous = idx.checked_sub(1).and_then(|it| self.text.get(it)).map(|it| it.char);
        let n_before = self.text[..idx].iter().rev().take_while(|it| it.char == '%').count();
        let acts = match self.context {
            // `%%` is one `%`, and `20%` is a number.
            Context::Systemd => n_before % 2 == 0 && next.is_some_and(|it| it.is_alphanumeric()),
            Context::Crontab => previous != Some('\\'),
            _ => false,
        };
        acts.then_some(Why::Acts)
    }

    /// Returns whether the template's backslash `idx` escapes the character of its own that follows.
    fn is_escape(&self, idx: usize) -> bool {
        let next = self.text.get(idx + 1);
        !self.line.is_comment
            && !matches!(self.context, Context::Lines)
            && next.is_some_and(|it| it.from.is_none() && matches!(it.char, '"' | '\'' | '\\'))
    }

    fn starts_with(&self, text: &str) -> bool {
        let line = self.text.get(self.line.start..).unwrap_or_default();
        let begun = line.iter().map(|it| it.char).skip_while(|it| it.is_whitespace());
        begun.take(text.chars().count()).eq(text.chars())
    }

    /// Returns whether systemd splits the line's value into words, as a shell would.
    fn has_words(&self) -> bool {
        self.starts_with("Exec") || self.starts_with("Environment=")
    }
}
