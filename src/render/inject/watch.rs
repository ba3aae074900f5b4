//! Which characters of an output come from values: stand-ins.

use super::{Context, Glyph};
use minijinja::{Error, ErrorKind};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Stand-ins are characters of the last plane of Unicode, which is for private use.
const FIRST: u32 = 0x10_0000;
const N_MAX: usize = 0xfffe;

/// What a render is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::render) enum Mode {
    /// To make the output, and to see whether anything in it could matter.
    #[default]
    Look,
    /// Each character that could matter gets a stand-in when it is printed. That makes no difference to the template, but
    /// a text in its expressions counts as a value's.
    Printed,
    /// Values have stand-ins from the start, so that a template's own text is told from theirs; what the template does
    /// may differ when it looks at them.
    Taken,
    /// To stop at a printed text, which tells the place of the expression.
    Stop(u32),
}

/// What the filters and the formatter of an engine know about the render that is going on.
#[derive(Clone, Default)]
pub(in crate::render) struct Watch(Arc<Mutex<Watched>>);

#[derive(Default)]
struct Watched {
    context: Context,
    mode: Mode,
    /// How many texts that are not safe were printed.
    n_printed: u32,
    /// The characters that could matter, in all texts.
    matters: BTreeSet<char>,
    /// The first text that has one.
    first: Option<(char, u32)>,
    /// What the stand-ins stand for: a character and the text that it was printed with.
    meanings: Vec<(char, u32)>,
    stand_ins: HashMap<(char, u32), char>,
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the first render of an output.
    pub(in crate::render) fn begin(&self, context: Context) {
        *self.lock() = Watched { context, ..Watched::default() };
    }

    /// Starts another render of the same output.
    pub(in crate::render) fn again(&self, mode: Mode) {
        let mut it = self.lock();
        (it.mode, it.n_printed) = (mode, 0);
        it.meanings.clear();
        it.stand_ins.clear();
        if matches!(mode, Mode::Printed | Mode::Taken) {
            // For values that are not printed yet, and for texts that no other stand-in is left for.
            for char in it.matters.clone() {
                it.stand_in(char, 0);
            }
        }
    }

    /// Returns the first character that could matter, and the text that it was printed with.
    pub(in crate::render) fn first(&self) -> Option<(char, u32)> {
        self.lock().first
    }

    /// Returns what is printed for a text.
    pub(in crate::render) fn print<'a>(&self, text: &'a str, is_safe: bool) -> Result<Cow<'a, str>, Error> {
        if is_safe {
            return Ok(Cow::Borrowed(text));
        }
        let mut it = self.lock();
        it.n_printed = it.n_printed.saturating_add(1);
        let number = it.n_printed;
        match it.mode {
            Mode::Look => {
                let matters = it.context.matters(text);
                let first = text.chars().find(|char| matters.contains(char)).map(|char| (char, number));
                it.first = it.first.or(first);
                it.matters.extend(matters);
                Ok(Cow::Borrowed(text))
            }
            Mode::Stop(at) if at == number => Err(Error::new(ErrorKind::InvalidOperation, "stopped here")),
            Mode::Stop(_) => Ok(Cow::Borrowed(text)),
            Mode::Printed => {
                let matters = it.context.matters(text);
                let part = |char: char| if matters.contains(&char) { it.stand_in(char, number) } else { char };
                Ok(Cow::Owned(text.chars().map(part).collect()))
            }
            Mode::Taken => {
                let part = |char: char| it.meaning(char).map_or(char, |(char, _)| it.stand_in(char, number));
                Ok(Cow::Owned(text.chars().map(part).collect()))
            }
        }
    }

    /// Returns a value's text as templates get it.
    pub(in crate::render) fn taken(&self, text: &str) -> String {
        let it = self.lock();
        let stand_in = |char: char| it.stand_ins.get(&(char, 0)).copied().unwrap_or(char);
        match it.mode {
            Mode::Taken => text.chars().map(stand_in).collect(),
            _ => text.to_owned(),
        }
    }

    /// Returns a text without stand-ins, for filters that look at every character.
    pub(in crate::render) fn plain(&self, text: &str) -> String {
        let it = self.lock();
        text.chars().map(|char| it.meaning(char).map_or(char, |(char, _)| char)).collect()
    }

    /// Returns a text whose line breaks are the template's, where lines that are indented are.
    pub(in crate::render) fn with_lines(&self, text: &str) -> String {
        let it = self.lock();
        let part = |char: char| match it.meaning(char) {
            Some((line @ ('\n' | '\r'), _)) if it.context.takes_indented_lines() => line,
            _ => char,
        };
        text.chars().map(part).collect()
    }

    /// Returns how many bytes a character may need in the place of one.
    pub(in crate::render) fn width(&self) -> usize {
        match self.lock().mode {
            Mode::Printed | Mode::Taken => 4,
            Mode::Look | Mode::Stop(_) => 1,
        }
    }

    /// Returns whether values may be anything in this output.
    pub(in crate::render) fn is_free(&self) -> bool {
        self.lock().context == Context::Free
    }

    /// Returns an output with its stand-ins resolved.
    pub(in crate::render) fn read(&self, text: &str) -> Vec<Glyph> {
        let it = self.lock();
        let glyph = |char: char| match it.meaning(char) {
            Some((char, from)) => Glyph { char, from: Some(from) },
            None => Glyph { char, from: None },
        };
        text.chars().map(glyph).collect()
    }
}

impl Watched {
    fn meaning(&self, stand_in: char) -> Option<(char, u32)> {
        let idx = u32::from(stand_in).checked_sub(FIRST)?;
        self.meanings.get(usize::try_from(idx).ok()?).copied()
    }

    fn stand_in(&mut self, char: char, number: u32) -> char {
        if let Some(found) = self.stand_ins.get(&(char, number)) {
            return *found;
        }
        let code = u32::try_from(self.meanings.len()).ok().and_then(|it| char::from_u32(FIRST + it));
        match code {
            Some(code) if self.meanings.len() < N_MAX => {
                self.meanings.push((char, number));
                self.stand_ins.insert((char, number), code);
                code
            }
            _ => self.stand_ins.get(&(char, 0)).copied().unwrap_or(char),
        }
    }
}
