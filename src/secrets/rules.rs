//! Which values of a file are encrypted.

use crate::finding::{Code, Finding};
use regex::{Regex, RegexBuilder};
use std::fmt::Write;

/// The rule of a file: which of its values are encrypted.
#[derive(Clone, Debug)]
pub struct Rule {
    kind: Kind,
    /// The suffix or the expression, as SOPS writes it.
    text: String,
    /// What an expression means; suffixes have none.
    regex: Option<Regex>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    UnencryptedSuffix,
    EncryptedSuffix,
    UnencryptedRegex,
    EncryptedRegex,
    UnencryptedComment,
    EncryptedComment,
}

impl Default for Rule {
    /// Returns the rule that SOPS has when it is told none: all values, but those below a key that ends in
    /// `_unencrypted`.
    fn default() -> Self {
        Rule { kind: Kind::UnencryptedSuffix, text: "_unencrypted".into(), regex: None }
    }
}

impl Rule {
    /// The names of the kinds of rules, as they stand in the metadata of a file.
    pub const NAMES: [&str; 6] = [
        "unencrypted_suffix",
        "encrypted_suffix",
        "unencrypted_regex",
        "encrypted_regex",
        "unencrypted_comment_regex",
        "encrypted_comment_regex",
    ];

    const KINDS: [Kind; 6] = [
        Kind::UnencryptedSuffix,
        Kind::EncryptedSuffix,
        Kind::UnencryptedRegex,
        Kind::EncryptedRegex,
        Kind::UnencryptedComment,
        Kind::EncryptedComment,
    ];

    /// Makes the rule that one of [`Rule::NAMES`] stands for, with its suffix or expression.
    ///
    /// An expression that is not valid is refused: for SOPS it matches nothing, and secrets would stay readable.
    pub fn new(name: &str, text: &str) -> Result<Rule, Finding> {
        let Some(idx) = Rule::NAMES.iter().position(|it| *it == name) else {
            return Err(Finding::error(Code::VALUE, format!("`{name}` is not a rule of SOPS"))
                .hint(format!("the rules are {}", Rule::NAMES.join(", "))));
        };
        let kind = Rule::KINDS[idx];
        if text.is_empty() {
            return Err(Finding::error(Code::VALUE, format!("the rule `{name}` is empty")));
        }
        let is_suffix = matches!(kind, Kind::UnencryptedSuffix | Kind::EncryptedSuffix);
        let refusal = || Finding::error(Code::PATTERN, format!("`{name}` is not a valid regular expression"));
        let regex = if is_suffix { None } else { Some(compile(text).ok_or_else(refusal)?) };
        Ok(Rule { kind, text: text.to_owned(), regex })
    }

    /// Returns the rule's name in the metadata of a file.
    pub fn name(&self) -> &'static str {
        let idx = Rule::KINDS.iter().position(|it| *it == self.kind).unwrap_or(0);
        Rule::NAMES[idx]
    }

    /// Returns the suffix or the expression.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether comments decide.
    pub(super) fn reads_comments(&self) -> bool {
        matches!(self.kind, Kind::UnencryptedComment | Kind::EncryptedComment)
    }

    /// Returns whether a value is encrypted: its keys from the root, and the comments before it and before those keys.
    pub(super) fn selects(&self, path: &[String], comments: &[String]) -> bool {
        let ends = |it: &String| it.ends_with(&self.text);
        let matches = |it: &String| self.regex.as_ref().is_some_and(|regex| regex.is_match(it));
        match self.kind {
            Kind::UnencryptedSuffix => !path.iter().any(ends),
            Kind::EncryptedSuffix => path.iter().any(ends),
            Kind::UnencryptedRegex => !path.iter().any(matches),
            Kind::EncryptedRegex => path.iter().any(matches),
            Kind::UnencryptedComment => !comments.iter().any(matches),
            Kind::EncryptedComment => comments.iter().any(matches),
        }
    }
}

fn compile(go: &str) -> Option<Regex> {
    RegexBuilder::new(&translate(go)).size_limit(1 << 20).build().ok()
}

/// Rewrites an expression of Go's RE2 for the `regex` crate, whose `\d \w \s \b` mean all of Unicode and whose classes
/// nest.
fn translate(go: &str) -> String {
    let mut rust = String::with_capacity(go.len() + 16);
    let mut chars = go.chars().peekable();
    // Characters since the class was opened; `]` as its first is a literal.
    let mut in_class: Option<usize> = None;
    while let Some(it) = chars.next() {
        match (it, in_class) {
            ('\\', _) => match chars.next() {
                Some('Q') => quote(&mut chars, &mut rust),
                Some(escaped) => escape(escaped, in_class.is_some(), &mut rust),
                None => rust.push('\\'),
            },
            ('[', None) => {
                rust.push('[');
                in_class = Some(0);
                if chars.next_if_eq(&'^').is_some() {
                    rust.push('^');
                }
                continue;
            }
            ('[', Some(_)) if chars.peek() == Some(&':') => named_class(&mut chars, &mut rust),
            (']', Some(n_chars)) if n_chars > 0 => {
                rust.push(']');
                in_class = None;
            }
            ('[' | ']' | '&' | '~', Some(_)) => {
                rust.push('\\');
                rust.push(it);
            }
            _ => rust.push(it),
        }
        in_class = in_class.map(|it| it + 1);
    }
    rust
}

fn quote(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, rust: &mut String) {
    let mut literal = String::new();
    while let Some(it) = chars.next() {
        if it == '\\' && chars.next_if_eq(&'E').is_some() {
            break;
        }
        literal.push(it);
    }
    rust.push_str(&regex::escape(&literal));
}

fn named_class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, rust: &mut String) {
    rust.push('[');
    for it in chars.by_ref() {
        rust.push(it);
        if it == ']' {
            break;
        }
    }
}

fn escape(escaped: char, in_class: bool, rust: &mut String) {
    let class = match escaped.to_ascii_lowercase() {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => r"\t\n\f\r ",
        _ => "",
    };
    let written = match (escaped, class) {
        ('b', _) => write!(rust, r"(?-u:\b)"),
        (_, "") => write!(rust, "\\{escaped}"),
        (it, class) if it.is_ascii_uppercase() => write!(rust, "[^{class}]"),
        (_, class) if in_class => write!(rust, "{class}"),
        (_, class) => write!(rust, "[{class}]"),
    };
    written.unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(go: &str, matching: &[&str], other: &[&str]) {
        let regex = compile(go).expect("valid");
        for text in matching {
            assert!(regex.is_match(text), "{go} should match {text}");
        }
        for text in other {
            assert!(!regex.is_match(text), "{go} should not match {text}");
        }
    }

    #[test]
    fn expressions_mean_what_they_mean_in_go() {
        check(r"^\d+$", &["12"], &["١٢", ""]);
        check(r"^[\w.]+$", &["a_1."], &["é"]);
        check(r"^[\D]$", &["x"], &["1"]);
        check(r"\bkey\b", &["a key", "ékeyé"], &["akey"]);
        check(r"^\Qa.b\E+$", &["a.bb"], &["axb"]);
        check(r"^[[a]$", &["[", "a"], &["b"]);
        check(r"^[]a]$", &["]", "a"], &["b"]);
        check(r"^[^]a]$", &["b"], &["]", "a"]);
        check(r"^[[:digit:]a&&b]$", &["1", "a", "&", "b"], &["c"]);
        check("(?i)^PASS", &["password"], &["word"]);
    }

    #[test]
    fn an_invalid_expression_is_no_rule() {
        for text in ["(", "[", "a{99999}", r"\Z", "(?=a)"] {
            let refusal = Rule::new("encrypted_regex", text).expect_err(text);
            assert_eq!(refusal.code, Code::PATTERN);
        }
        assert_eq!(Rule::new("encrypted_regexp", "a").map_err(|it| it.code).err(), Some(Code::VALUE));
        assert_eq!(Rule::new("encrypted_suffix", "").map_err(|it| it.code).err(), Some(Code::VALUE));
    }

    #[test]
    fn a_rule_says_what_it_was_made_of() {
        for name in Rule::NAMES {
            let rule = Rule::new(name, r"^\d").expect("valid");
            assert_eq!((rule.name(), rule.text()), (name, r"^\d"));
        }
        assert_eq!((Rule::default().name(), Rule::default().text()), ("unencrypted_suffix", "_unencrypted"));
    }

    #[test]
    fn any_key_on_the_way_decides() {
        let path = ["a_unencrypted".to_owned(), "b".to_owned()];
        let selects = |name: &str, text: &str| Rule::new(name, text).expect("valid").selects(&path, &[]);
        assert!(!Rule::default().selects(&path, &[]));
        assert!(selects("encrypted_suffix", "_unencrypted"));
        assert!(selects("encrypted_regex", "^b$"));
        assert!(!selects("encrypted_comment_regex", "x"));
    }
}
