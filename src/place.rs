//! Where something was written.

use std::fmt;
use std::sync::Arc;

/// A position in a source: a file of the repository, a host file, a remote layer, or a named source such as `env:APP_`.
///
/// Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The file's path as a person would type it, relative to the repository's root for files of a revision; the address of a
    /// remote layer.
    pub file: Arc<str>,
    /// The line, from 1; 0 when the place is the file as a whole.
    pub line: u32,
    /// The column in characters, from 1; 0 when the place is a whole line or file.
    pub column: u32,
}

impl Place {
    /// Returns the place of a position in `file`.
    pub fn new(file: &Arc<str>, line: u32, column: u32) -> Self {
        Place { file: Arc::clone(file), line, column }
    }

    /// Returns the place that means the whole of `file`.
    pub fn whole(file: &str) -> Self {
        Place { file: Arc::from(file), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}", self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_prints_only_what_it_knows() {
        let file = Arc::from("app.yaml");
        assert_eq!(Place::new(&file, 3, 7).to_string(), "app.yaml:3:7");
        assert_eq!(Place::new(&file, 3, 0).to_string(), "app.yaml:3");
        assert_eq!(Place::whole("app.yaml").to_string(), "app.yaml");
    }
}
