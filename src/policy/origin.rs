//! Where what the engine reads was written: some rules are loaded otherwise than they stand in their files.

use crate::place::Place;
use regorus::unstable::{Lexer, Source, Token, TokenKind};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A text for the engine, in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    text: String,
    /// What was taken from the file: where it is in the draft, and where in the file.
    kept: Vec<(usize, Range<usize>)>,
}

impl Draft {
    /// Returns a draft that is what the file holds.
    pub(super) fn whole(file: &str) -> Draft {
        let mut draft = Draft::default();
        draft.keep(file, 0..file.len());
        draft
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Adds what the file holds at `range`.
    pub(super) fn keep(&mut self, file: &str, range: Range<usize>) {
        let Some(text) = file.get(range.clone()).filter(|it| !it.is_empty()) else { return };
        self.kept.push((self.text.len(), range));
        self.text.push_str(text);
    }

    /// Adds what the file does not hold.
    pub(super) fn add(&mut self, text: &str) {
        self.text.push_str(text);
    }
}

/// What one file holds, and what the engine reads instead.
#[derive(Clone, Debug)]
struct Origin {
    file: String,
    draft: Draft,
}

/// The origins of all files, by path.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(Arc<BTreeMap<String, Origin>>);

impl Origins {
    /// Adds what stands in a file and what the engine reads instead.
    pub(super) fn add(&mut self, path: &str, file: &str, draft: Draft) {
        Arc::make_mut(&mut self.0).insert(path.to_owned(), Origin { file: file.to_owned(), draft });
    }

    /// Returns the place in the file of a place that the engine names, whose columns count a tab as four.
    pub(super) fn place(&self, place: Place) -> Place {
        match self.0.get(place.file.as_ref()).and_then(|it| it.place(place.line, Some(place.column))) {
            Some((line, column)) => Place { line, column, ..place },
            None => place,
        }
    }

    /// Puts the file's line into what `print` printed: `policies/base.rego:3: text`.
    pub(super) fn print(&self, printed: String) -> String {
        let at = self.0.iter().find_map(|(path, origin)| {
            let (line, text) = printed.strip_prefix(path.as_str())?.strip_prefix(':')?.split_once(':')?;
            let (line, _) = origin.place(line.parse().ok()?, None)?;
            Some(format!("{path}:{line}:{text}"))
        });
        at.unwrap_or(printed)
    }
}

impl Origin {
    /// Returns line and column in the file of a place in the draft, or of the first thing on a line of it.
    fn place(&self, line: u32, column: Option<u32>) -> Option<(u32, u32)> {
        let at = offset(&self.draft.text, line, column)?;
        let kept = self.draft.kept.iter().find(|(start, range)| at < start + range.len()).or(self.draft.kept.last())?;
        let at = kept.1.start + at.saturating_sub(kept.0).min(kept.1.len());
        let before = self.file.get(..at)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Some((u32::try_from(line).ok()?, u32::try_from(column).ok()?))
    }
}

/// Returns where a place that the engine names is in a text, or the first thing on a line.
fn offset(text: &str, line: u32, column: Option<u32>) -> Option<usize> {
    let source = Source::from_contents(String::new(), text.to_owned()).ok()?;
    let mut lexer = Lexer::new(&source);
    let mut found = None;
    while let Ok(Token(kind, span)) = lexer.next_token() {
        let is_past = span.line > line || span.line == line && column.is_some_and(|it| span.col > it);
        if kind == TokenKind::Eof || is_past {
            break;
        }
        if span.line == line {
            // The engine's texts begin after the quote.
            let quote = usize::from(matches!(kind, TokenKind::String | TokenKind::RawString));
            let start = usize::try_from(span.start).ok()?.checked_sub(quote)?;
            let rest = column.map_or(0, |it| it - span.col);
            found = Some((start, usize::try_from(rest).ok()?));
            if column.is_none() {
                break;
            }
        }
    }
    match found {
        Some((start, rest)) => {
            let line = text.get(start..)?.lines().next().unwrap_or_default();
            Some(start + line.char_indices().nth(rest).map_or(line.len(), |it| it.0))
        }
        None => {
            let before = text.split_inclusive('\n').take(usize::try_from(line).ok()?.checked_sub(1)?);
            Some(before.map(str::len).sum())
        }
    }
}
