//! From the text of a SOPS file to its tree.

use super::tree::{Data, Item};
use super::{flat, json, yaml};
use crate::document::Format;
use crate::finding::{Code, Finding};
use crate::place::Place;
use std::ops::Range;
use std::sync::Arc;

/// How deep a document may be nested.
pub(super) const MAX_DEPTH: usize = 64;
/// How many keys and values a document may hold.
pub(super) const MAX_NODES: usize = 100_000;

/// How SOPS stored a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    Yaml,
    Json,
    /// Any other file as a whole: JSON with one value, `data`.
    Binary,
    Env,
    Ini,
}

impl Store {
    /// Tells how a file is stored, from the format that its name stands for and its first character.
    ///
    /// SOPS itself goes by the name alone and stores everything it has no format for as JSON.
    pub fn of(format: Option<Format>, bytes: &[u8]) -> Store {
        let is_object = bytes.iter().find(|it| !it.is_ascii_whitespace()) == Some(&b'{');
        match format {
            Some(Format::Yaml) => Store::Yaml,
            Some(Format::Json) => Store::Json,
            Some(Format::Env) if !is_object => Store::Env,
            Some(Format::Ini) if !is_object => Store::Ini,
            _ => Store::Binary,
        }
    }
}

/// The documents of a file, and its comments.
pub(super) struct Text {
    pub documents: Vec<Item>,
    pub remarks: Vec<Remark>,
    /// Where the metadata of dotenv and INI files stands; in the other formats it is a value of the document.
    pub metadata: Vec<Range<usize>>,
}

/// A comment of the text.
pub(super) struct Remark {
    /// What follows the `#`.
    pub text: String,
    pub span: Range<usize>,
}

/// A file's text and the way from a byte of it to a place.
pub(super) struct Source<'a> {
    pub text: &'a str,
    file: Arc<str>,
    line_starts: Vec<usize>,
    /// The number of characters before byte `STEP * idx`; keeps places cheap in a file of one long line.
    chars_before: Vec<usize>,
}

/// How many bytes lie between two remembered character counts.
const STEP: usize = 256;

impl<'a> Source<'a> {
    pub fn new(file: &Arc<str>, bytes: &'a [u8]) -> Result<Self, Finding> {
        let encoding = |message: &str| Finding::error(Code::ENCODING, message).at(&Place::whole(file));
        let text = std::str::from_utf8(bytes).map_err(|_| encoding("the file is not UTF-8"))?;
        if text.starts_with('\u{feff}') {
            return Err(encoding("the file starts with a byte order mark"));
        }
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(idx, _)| idx + 1)).collect();
        let mut chars_before = vec![0];
        for chunk in text.as_bytes().chunks(STEP) {
            chars_before.push(chars_before[chars_before.len() - 1] + n_chars(chunk));
        }
        Ok(Source { text, file: Arc::clone(file), line_starts, chars_before })
    }

    /// Returns the index of the line, from 0, that holds a byte.
    pub fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|it| *it <= offset) - 1
    }

    /// Returns the column, from 0, of a byte.
    pub fn column_of(&self, offset: usize) -> usize {
        self.chars_to(offset) - self.chars_to(self.line_start(offset))
    }

    fn chars_to(&self, offset: usize) -> usize {
        let step = offset / STEP;
        self.chars_before[step] + n_chars(&self.text.as_bytes()[step * STEP..offset])
    }

    /// Returns the first byte of the line that holds a byte.
    pub fn line_start(&self, offset: usize) -> usize {
        self.line_starts[self.line_of(offset)]
    }

    /// Returns the byte after the line that holds a byte, the line feed included.
    pub fn line_end(&self, offset: usize) -> usize {
        self.line_starts.get(self.line_of(offset) + 1).copied().unwrap_or(self.text.len())
    }

    pub fn place(&self, offset: usize) -> Place {
        let number = |it: usize| u32::try_from(it + 1).unwrap_or(u32::MAX);
        Place::new(&self.file, number(self.line_of(offset)), number(self.column_of(offset)))
    }

    pub fn whole(&self) -> Place {
        Place::whole(&self.file)
    }
}

fn n_chars(utf8: &[u8]) -> usize {
    utf8.iter().filter(|it| **it & 0xc0 != 0x80).count()
}

/// Returns the finding for a file that is malformed at a byte.
pub(super) fn error(source: &Source<'_>, offset: usize, message: &str) -> Finding {
    Finding::error(Code::SOPS, message).at(&source.place(offset))
}

/// Reads the documents of a file; only YAML has more than one.
pub(super) fn read(source: &Source<'_>, store: Store) -> Result<Text, Finding> {
    let mut text = match store {
        Store::Yaml => yaml::read(source)?,
        Store::Json | Store::Binary => json::read(source)?,
        Store::Env => flat::read_env(source)?,
        Store::Ini => flat::read_ini(source)?,
    };
    for document in &mut text.documents {
        if matches!(document.data, Data::Scalar(super::tree::Scalar::Null)) {
            document.data = Data::Map(Vec::new());
        }
        if !matches!(document.data, Data::Map(_)) {
            return Err(Finding::error(Code::SOPS, "the document is not a map").at(&document.place));
        }
    }
    Ok(text)
}
