//! Which values of a file are encrypted.

use regex::{Regex, RegexBuilder};
use std::fmt::Write;

/// The rule of a file.
pub(super) enum Rule {
    UnencryptedSuffix(String),
    EncryptedSuffix(String),
    UnencryptedRegex(Regex),
    EncryptedRegex(Regex),
    UnencryptedComment(Regex),
    EncryptedComment(Regex),
}

impl Rule {
    /// The keys that name a rule in a file's metadata.
    pub const NAMES: [&str; 6] = [
        "unencrypted_suffix",
        "encrypted_suffix",
        "unencrypted_regex",
        "encrypted_regex",
        "unencrypted_comment_regex",
        "encrypted_comment_regex",
    ];

    /// Makes the rule that `name` stands for; `None` when its expression is not valid.
    pub fn new(name: &str, text: &str) -> Option<Rule> {
        Some(match name {
            "encrypted_suffix" => Rule::EncryptedSuffix(text.to_owned()),
            "unencrypted_regex" => Rule::UnencryptedRegex(compile(text)?),
            "encrypted_regex" => Rule::EncryptedRegex(compile(text)?),
            "unencrypted_comment_regex" => Rule::UnencryptedComment(compile(text)?),
            "encrypted_comment_regex" => Rule::EncryptedComment(compile(text)?),
            _ => Rule::UnencryptedSuffix(text.to_owned()),
        })
    }

    /// Returns whether comments decide.
    pub fn reads_comments(&self) -> bool {
        matches!(self, Rule::UnencryptedComment(_) | Rule::EncryptedComment(_))
    }

    /// Returns whether a value is encrypted: its keys from the root, and the comments before it and before those keys.
    pub fn selects(&self, path: &[String], comments: &[String]) -> bool {
        match self {
            Rule::UnencryptedSuffix(suffix) => !path.iter().any(|it| it.ends_with(suffix)),
            Rule::EncryptedSuffix(suffix) => path.iter().any(|it| it.ends_with(suffix)),
            Rule::UnencryptedRegex(regex) => !path.iter().any(|it| regex.is_match(it)),
            Rule::EncryptedRegex(regex) => path.iter().any(|it| regex.is_match(it)),
            Rule::UnencryptedComment(regex) => !comments.iter().any(|it| regex.is_match(it)),
            Rule::EncryptedComment(regex) => comments.iter().any(|it| regex.is_match(it)),
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
            assert!(Rule::new("encrypted_regex", text).is_none(), "{text}");
        }
    }

    #[test]
    fn any_key_on_the_way_decides() {
        let path = ["a_unencrypted".to_owned(), "b".to_owned()];
        assert!(!Rule::UnencryptedSuffix("_unencrypted".into()).selects(&path, &[]));
        assert!(Rule::EncryptedSuffix("_unencrypted".into()).selects(&path, &[]));
        assert!(Rule::new("encrypted_regex", "^b$").is_some_and(|it| it.selects(&path, &[])));
        assert!(!Rule::new("encrypted_comment_regex", "x").is_some_and(|it| it.selects(&path, &[])));
    }
}
