//! Values that would break out of their place in a file (row F8).
//!
//! What a template itself says is trusted; what it prints of a value is not, unless a filter made it safe. Which is which
//! is found by rendering again with stand-ins, one for each character that could matter ([`Watch`]), and reading the
//! outcome as whoever reads the file will: as a shell, line by line, or as a document. An ordinary value has no such
//! character, and is not rendered twice.

mod context;
mod lines;
mod shape;
mod shell;
mod watch;

pub(super) use context::Context;
pub(super) use shape::why_not_a_document;
pub(super) use watch::{Mode, Watch};

/// A character of an output, and the text that it was printed with when it is a value's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Glyph {
    pub(super) char: char,
    pub(super) from: Option<u32>,
}

/// A character of a value that would break out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Breach {
    pub(super) char: char,
    /// The number of the printed text; 0 when it is not known.
    pub(super) from: u32,
    pub(super) why: Why,
}

/// What a character would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It starts a new line, or is a control character.
    Line,
    /// It ends the quotes around the value.
    Quotes,
    /// It opens quotes that the value does not close.
    Opens,
    /// The reader acts on it.
    Acts,
    /// It means something outside of quotes.
    Bare,
    /// The document would say something else.
    Shape,
    /// Where it ends up cannot be followed.
    Lost,
}

impl Why {
    /// Returns what the character would do, as the end of a sentence.
    fn words(self) -> &'static str {
        match self {
            Why::Line => "would break the line",
            Why::Quotes => "would end the quotes around it",
            Why::Opens => "would open quotes that it does not close",
            Why::Acts => "would be acted on",
            Why::Bare => "is not in quotes",
            Why::Shape => "would change what the document says",
            Why::Lost => "could break out: the template looks at it before it prints it",
        }
    }
}

impl Breach {
    /// Returns the message, which says nothing about the value but this one character, and not even that of a secret.
    pub(super) fn message(&self, context: Context, secret: bool) -> String {
        let what = match self.char {
            _ if secret => "a character".to_owned(),
            '\n' | '\r' => "a line break".to_owned(),
            ' ' => "a blank".to_owned(),
            it if it.is_control() || it.is_whitespace() => format!("the character U+{:04X}", u32::from(it)),
            it => format!("`{it}`"),
        };
        format!("{what} in this value {}, in {}", self.why.words(), context.words())
    }
}

/// Returns what would break out of its place in `text`; each printed text is named once.
pub(super) fn judge(context: Context, text: &[Glyph]) -> Vec<Breach> {
    let mut found = match context {
        Context::Free => Vec::new(),
        Context::Shell => shell::judge(text),
        Context::Document(format) => shape::judge(format, text),
        _ => lines::judge(context, text),
    };
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|it| seen.insert(it.from));
    found
}

#[cfg(test)]
mod tests;
