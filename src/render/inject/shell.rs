//! Shell scripts: where a value stands, and what a shell would do with it there.

use super::context::is_harmless_in_shell;
use super::lines::broken;
use super::{Breach, Glyph, Why};

/// What the shell is inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// `'…'`
    Single,
    /// `$'…'`
    Escaped,
    /// `"…"`
    Double,
    /// `(…)`, `$(…)`
    Paren,
    /// `${…}`
    Brace,
    /// `` `…` ``
    Backtick,
}

/// A here-document whose lines are still to come.
struct Here {
    end: String,
    is_quoted: bool,
    strips_tabs: bool,
}

/// Returns what a shell would act on.
pub(super) fn judge(text: &[Glyph]) -> Vec<Breach> {
    let mut reader = Reader { text, frames: Vec::new(), waiting: Vec::new(), found: Vec::new() };
    let mut idx = 0;
    while idx < text.len() {
        idx = reader.step(idx);
    }
    if reader.frames.is_empty() && reader.waiting.is_empty() {
        return reader.found;
    }
    // The script is no whole one, or not understood: then no quotes are believed.
    let bare = |it: &Glyph| Some(Breach { char: it.char, from: it.from?, why: Why::Bare });
    text.iter().filter(|it| !is_harmless_in_shell(it.char)).filter_map(bare).collect()
}

struct Reader<'a> {
    text: &'a [Glyph],
    frames: Vec<Frame>,
    waiting: Vec<Here>,
    found: Vec<Breach>,
}

impl Reader<'_> {
    /// Returns the template's own character at `idx`; a value's is none.
    fn own(&self, idx: usize) -> Option<char> {
        self.text.get(idx).filter(|it| it.from.is_none()).map(|it| it.char)
    }

    /// Takes the character at `idx`, and returns where to go on.
    fn step(&mut self, idx: usize) -> usize {
        let top = self.frames.last().copied();
        let Some(char) = self.own(idx) else {
            self.value(idx, |char| acts(top, char));
            return idx + 1;
        };
        match (top, char) {
            (Some(Frame::Single), '\'') | (Some(Frame::Escaped), '\'') | (Some(Frame::Double), '"') => self.leave(),
            (Some(Frame::Single), _) => {}
            (_, '\\') if self.own(idx + 1).is_some() => return idx + 2,
            (Some(Frame::Escaped), _) => {}
            (Some(Frame::Backtick), '`') | (Some(Frame::Paren), ')') | (Some(Frame::Brace), '}') => self.leave(),
            (_, '$') if self.own(idx + 1) == Some('(') => return self.enter(Frame::Paren, idx + 2),
            (_, '$') if self.own(idx + 1) == Some('{') => return self.enter(Frame::Brace, idx + 2),
            (_, '`') => self.frames.push(Frame::Backtick),
            (Some(Frame::Double), _) => {}
            (Some(Frame::Brace), '\'') if self.is_in_double() => {}
            (_, '"') => self.frames.push(Frame::Double),
            (_, '$') if self.own(idx + 1) == Some('\'') => return self.enter(Frame::Escaped, idx + 2),
            (_, '\'') => self.frames.push(Frame::Single),
            (Some(Frame::Brace), _) => {}
            (_, '(') => self.frames.push(Frame::Paren),
            (_, '#') if self.starts_word(idx) => return self.comment(idx),
            (_, '<') if self.own(idx + 1) == Some('<') => return self.here(idx),
            (_, '\n') if !self.waiting.is_empty() => return self.here_lines(idx + 1),
            _ => {}
        }
        idx + 1
    }

    fn enter(&mut self, frame: Frame, next: usize) -> usize {
        self.frames.push(frame);
        next
    }

    fn leave(&mut self) {
        self.frames.pop();
    }

    fn is_in_double(&self) -> bool {
        let n_frames = self.frames.len();
        n_frames > 1 && self.frames[n_frames - 2] == Frame::Double
    }

    fn starts_word(&self, idx: usize) -> bool {
        let before = idx.checked_sub(1).map(|it| self.text[it]);
        before.is_none_or(|it| it.from.is_none() && (it.char.is_whitespace() || ";&|()".contains(it.char)))
    }

    fn value(&mut self, idx: usize, acts: impl Fn(char) -> Option<Why>) {
        let Some(Glyph { char, from: Some(from) }) = self.text.get(idx).copied() else { return };
        // Backticks are read twice, whatever the quotes inside of them are.
        let acts = |char: char| match char {
            '`' | '\\' if self.frames.contains(&Frame::Backtick) => Some(Why::Acts),
            _ => acts(char),
        };
        let breach = match char {
            '\n' | '\r' => broken(self.text, idx),
            _ => broken(self.text, idx).or(acts(char).map(|why| Breach { char, from, why })),
        };
        self.found.extend(breach);
    }

    /// Passes over the rest of the line, in which a value can do nothing but end it.
    fn comment(&mut self, start: usize) -> usize {
        let mut idx = start;
        while idx < self.text.len() && self.own(idx) != Some('\n') {
            self.value(idx, |_| None);
            idx += 1;
        }
        idx
    }

    /// Notes the here-document that `<<` at `start` announces.
    fn here(&mut self, start: usize) -> usize {
        let mut idx = start + 2;
        if self.own(idx) == Some('<') {
            return idx + 1;
        }
        let strips_tabs = self.own(idx) == Some('-');
        idx += usize::from(strips_tabs);
        while matches!(self.own(idx), Some(' ' | '\t')) {
            idx += 1;
        }
        let first = idx;
        let mut end = String::new();
        let mut is_quoted = false;
        while let Some(it) = self.own(idx) {
            match it {
                '"' | '\'' | '\\' => is_quoted = true,
                it if it.is_alphanumeric() || "_-.!".contains(it) => end.push(it),
                _ => break,
            }
            idx += 1;
        }
        // `1 << 3` is arithmetic.
        let is_one = self.own(first).is_some_and(|it| it.is_alphabetic() || "_\"'\\".contains(it));
        if is_one && !end.is_empty() {
            self.waiting.push(Here { end, is_quoted, strips_tabs });
            return idx;
        }
        start + 2
    }

    /// Reads the here-documents that wait; the first line starts at `idx`.
    fn here_lines(&mut self, mut idx: usize) -> usize {
        while let Some(here) = self.waiting.first() {
            if idx >= self.text.len() {
                return idx;
            }
            let rest = &self.text[idx..];
            let length = rest.iter().position(|it| it.from.is_none() && it.char == '\n').unwrap_or(rest.len());
            let line: String = rest[..length].iter().map(|it| it.char).collect();
            let line = if here.strips_tabs { line.trim_start_matches('\t') } else { &line };
            let (is_end, is_quoted) = (line == here.end, here.is_quoted);
            for at in idx..idx + length {
                self.value(at, |char| (!is_quoted && matches!(char, '$' | '`' | '\\')).then_some(Why::Acts));
            }
            if is_end {
                self.waiting.remove(0);
            }
            idx += length + 1;
        }
        idx.min(self.text.len())
    }
}

/// Returns what a character of a value does inside of `frame`.
fn acts(frame: Option<Frame>, char: char) -> Option<Why> {
    match frame {
        Some(Frame::Single) => (char == '\'').then_some(Why::Quotes),
        Some(Frame::Escaped) => matches!(char, '\'' | '\\').then_some(Why::Quotes),
        Some(Frame::Double) if char == '"' => Some(Why::Quotes),
        Some(Frame::Double) => matches!(char, '$' | '`' | '\\').then_some(Why::Acts),
        _ => (!is_harmless_in_shell(char)).then_some(Why::Bare),
    }
}
