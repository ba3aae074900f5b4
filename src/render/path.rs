//! Which names may be deployed, and which of them are one name to a careless reader or file system.

use super::TargetPath;
use crate::finding::Code;
use std::fmt::{self, Write};
use unicode_normalization::UnicodeNormalization;

/// The longest path component that Linux file systems take, in bytes.
const COMPONENT_BYTES_MAX: usize = 255;
/// The longest path that Linux takes, in bytes.
const PATH_BYTES_MAX: usize = 4095;
/// The deepest nesting of folders that is deployed.
pub(super) const DEPTH_MAX: usize = 64;
/// The names that headfast keeps for itself start like this.
const RESERVED: &str = ".headfast-";

/// Why a path cannot be deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathProblem {
    /// `E_PATH`, `E_PATH_LONG` or `E_PATH_RESERVED`.
    pub code: Code,
    /// The path with its dangerous characters escaped.
    pub shown: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for PathProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the path `{}` {}", self.shown, self.reason)
    }
}

impl TargetPath {
    /// Returns the path that `bytes` spell, when it is safe to deploy (reliability.md B2 to B8 and B21).
    pub fn new(bytes: &[u8]) -> Result<TargetPath, PathProblem> {
        let problem = |code, reason| PathProblem { code, shown: shown(bytes), reason };
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(problem(Code::PATH, "is not UTF-8"));
        };
        if text.is_empty() {
            return Err(problem(Code::PATH, "is empty"));
        }
        if text.starts_with('/') {
            return Err(problem(Code::PATH, "is absolute"));
        }
        if text.contains(char::is_control) {
            return Err(problem(Code::PATH, "holds a control character"));
        }
        if text.contains(is_invisible) {
            return Err(problem(Code::PATH, "holds an invisible or direction-changing character"));
        }
        if text.len() > PATH_BYTES_MAX {
            return Err(problem(Code::PATH_LONG, "is longer than 4095 bytes"));
        }
        if text.split('/').count() > DEPTH_MAX {
            return Err(problem(Code::PATH_LONG, "is deeper than 64 folders"));
        }
        match text.split('/').find_map(component_problem) {
            Some((code, reason)) => Err(problem(code, reason)),
            None => Ok(TargetPath(text.to_owned())),
        }
    }
}

/// Folds case through upper case first, so that `ß`, `ſ` and `ς` meet what they equal.
pub(super) fn fold(text: &str) -> String {
    text.nfc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

fn component_problem(name: &str) -> Option<(Code, &'static str)> {
    match name {
        "" => return Some((Code::PATH, "has an empty component")),
        "." | ".." => return Some((Code::PATH, "has a `.` or `..` component")),
        _ => {}
    }
    if name.len() > COMPONENT_BYTES_MAX {
        return Some((Code::PATH_LONG, "has a component of more than 255 bytes"));
    }
    let lower = name.to_lowercase();
    if lower.starts_with(RESERVED) {
        return Some((Code::PATH_RESERVED, "starts with `.headfast-`, which headfast keeps for itself"));
    }
    // Other systems read `.git.`, `.git `, `.git::$INDEX_ALLOCATION` and `git~1` as `.git`.
    let stem = lower.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    if stem == ".git" || stem == "git~1" {
        return Some((Code::PATH, "names a git directory"));
    }
    None
}

/// Returns whether a character has no shape of its own or changes the direction of those around it.
///
/// These are Unicode's default-ignorable code points and the line separators; the variation selectors that choose between
/// text and emoji are printable company and allowed.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0d}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns `bytes` as text that can be printed anywhere: control and invisible characters and stray bytes are escaped, and
/// very long names cut.
pub fn shown(bytes: &[u8]) -> String {
    const SHOWN_CHARS_MAX: usize = 200;
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(&escaped(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((idx, _)) => format!("{}…", &text[..idx]),
        None => text,
    }
}

/// Returns `text` with its control characters, but for tabs, and its invisible characters escaped.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push(c),
            _ if c.is_control() || is_invisible(c) => out.extend(c.escape_default()),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(bytes: &[u8], code: Code, message: &str) {
        let problem = TargetPath::new(bytes).expect_err("the path is refused");
        assert_eq!((problem.code, problem.to_string().as_str()), (code, message));
    }

    #[test]
    fn b02_git_directories_are_refused() {
        for name in [".git", ".GIT/config", "a/.git", ".git.", ".git ", ".git::$INDEX_ALLOCATION", "git~1", "GIT~1/x"] {
            let problem = TargetPath::new(name.as_bytes()).expect_err(name);
            assert_eq!((problem.code, problem.reason), (Code::PATH, "names a git directory"), "{name}");
        }
        assert!(TargetPath::new(b".gitignore").is_ok());
    }

    #[test]
    fn b03_to_b05_names_that_are_not_plain_text_are_refused_and_shown_escaped() {
        refused(b"a\nb", Code::PATH, r"the path `a\nb` holds a control character");
        refused(b"\x1b]0;x\x07", Code::PATH, r"the path `\u{1b}]0;x\u{7}` holds a control character");
        refused(b"a\x7f", Code::PATH, r"the path `a\u{7f}` holds a control character");
        refused("a\u{9b}b".as_bytes(), Code::PATH, r"the path `a\u{9b}b` holds a control character");
        refused(b"a\0b", Code::PATH, r"the path `a\u{0}b` holds a control character");
        refused(b"caf\xe9", Code::PATH, r"the path `caf\xe9` is not UTF-8");
    }

    #[test]
    fn b07_bidi_and_zero_width_characters_are_refused_but_other_unicode_is_fine() {
        let reason = "holds an invisible or direction-changing character";
        refused("a\u{202e}b".as_bytes(), Code::PATH, &format!(r"the path `a\u{{202e}}b` {reason}"));
        refused("a\u{200d}b".as_bytes(), Code::PATH, &format!(r"the path `a\u{{200d}}b` {reason}"));
        refused("\u{feff}a".as_bytes(), Code::PATH, &format!(r"the path `\u{{feff}}a` {reason}"));
        for name in ["two words.txt", "日本語/ファイル", "crème brûlée", "❤\u{fe0f}.txt", "~", "-rf", "a\\b", "*"]
        {
            assert!(TargetPath::new(name.as_bytes()).is_ok(), "{name}");
        }
    }

    #[test]
    fn b08_long_and_deep_paths_are_refused() {
        let long = "x".repeat(256);
        let problem = TargetPath::new(long.as_bytes()).expect_err("too long");
        assert_eq!((problem.code, problem.reason), (Code::PATH_LONG, "has a component of more than 255 bytes"));
        assert_eq!(problem.shown.chars().count(), 201);
        assert!(TargetPath::new("x".repeat(255).as_bytes()).is_ok());
        assert!(TargetPath::new(vec!["a"; 64].join("/").as_bytes()).is_ok());
        assert_eq!(TargetPath::new(vec!["a"; 65].join("/").as_bytes()).expect_err("deep").code, Code::PATH_LONG);
        let path = vec!["x".repeat(255); 17].join("/");
        assert_eq!(TargetPath::new(path.as_bytes()).expect_err("long").reason, "is longer than 4095 bytes");
    }

    #[test]
    fn f11_paths_that_climb_or_start_at_the_root_are_refused() {
        refused(b"", Code::PATH, "the path `` is empty");
        refused(b"/etc/passwd", Code::PATH, "the path `/etc/passwd` is absolute");
        refused(b"a/../b", Code::PATH, "the path `a/../b` has a `.` or `..` component");
        refused(b"./a", Code::PATH, "the path `./a` has a `.` or `..` component");
        refused(b"a//b", Code::PATH, "the path `a//b` has an empty component");
        refused(b"a/", Code::PATH, "the path `a/` has an empty component");
    }

    #[test]
    fn b21_our_own_names_are_refused() {
        let reason = "starts with `.headfast-`, which headfast keeps for itself";
        refused(b"a/.headfast-1", Code::PATH_RESERVED, &format!("the path `a/.headfast-1` {reason}"));
        refused(b".Headfast-x", Code::PATH_RESERVED, &format!("the path `.Headfast-x` {reason}"));
        assert!(TargetPath::new(b".headfastrc").is_ok());
    }

    #[test]
    fn folding_joins_case_and_normal_forms() {
        for (a, b) in [("README", "readme"), ("caf\u{e9}", "cafe\u{301}"), ("straße", "STRASSE"), ("ς", "Σ")] {
            assert_eq!(fold(a), fold(b), "{a} {b}");
        }
        assert_ne!(fold("a"), fold("b"));
    }
}
