//! Findings for a person, in the form of rustc: what, where, the line with a caret, what to do.

use super::words::{escaped_lines, list};
use crate::finding::{Findings, Merged, Severity};
use crate::place::Place;
use crate::render::escaped;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// The most characters of a line that are shown; places further to the right are only named.
const LINE_MAX: usize = 400;

/// Returns the text of each finding.
pub fn reports(findings: &Findings) -> Vec<String> {
    findings.merged().iter().map(report).collect()
}

/// Returns the text of one finding, with colours.
pub fn report(Merged { finding, environments }: &Merged<'_>) -> String {
    let message = escaped_lines(&finding.message);
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let mut group = Group::with_title(level.primary_title(message).id(finding.code.name));
    if let Some(place) = &finding.place {
        group = match finding.line_text.as_deref().and_then(|line| pointed_at(line, place)) {
            Some((text, span)) => group.element(
                Snippet::source(text)
                    .path(escaped(&place.file))
                    .line_start(place.line as usize)
                    .annotation(AnnotationKind::Primary.span(span)),
            ),
            None => group.element(origin(place)),
        };
    }
    if !environments.is_empty() {
        let kind = if environments.len() == 1 { "environment" } else { "environments" };
        group = group.element(Level::NOTE.with_name("in").message(escaped(&format!("{kind} {}", list(environments)))));
    }
    if let Some(hint) = &finding.hint {
        group = group.element(Level::HELP.with_name("hint").message(escaped_lines(hint)));
    }
    format!("{}\n", Renderer::styled().render(&[group]))
}

fn origin(place: &Place) -> Origin<'static> {
    let origin = Origin::path(escaped(&place.file));
    match (place.line, place.column) {
        (0, _) => origin,
        (line, 0) => origin.line(line as usize),
        (line, column) => origin.line(line as usize).char_column(column as usize),
    }
}

/// Returns the line as it is shown, and the bytes of it that the caret is under: the word that starts at the column.
fn pointed_at(line: &str, place: &Place) -> Option<(String, std::ops::Range<usize>)> {
    let column = place.column.checked_sub(1)? as usize;
    if column >= LINE_MAX {
        return None;
    }
    let shown: String = line.chars().take(LINE_MAX).map(visible).collect();
    let start = shown.char_indices().nth(column).map_or(shown.len(), |it| it.0);
    let end = start + word(&shown[start..]).len();
    Some((shown, start..end))
}

/// Returns a character that cannot act on a terminal, one for one, so that columns stay what they are.
fn visible(it: char) -> char {
    let is_harmless = escaped(it.encode_utf8(&mut [0; 4])).chars().eq([it]);
    if is_harmless { it } else { char::REPLACEMENT_CHARACTER }
}

/// Returns the word or quoted text at the beginning of `text`, or its first character.
fn word(text: &str) -> &str {
    let quoted = text.chars().next().filter(|it| matches!(it, '"' | '\''));
    let end = match quoted {
        Some(quote) => text[1..].find(quote).map(|it| it + 2),
        None => text.find(|it: char| it.is_whitespace() || matches!(it, ':' | ',' | '=' | '}' | ']' | '{' | '[' | '#')),
    };
    let first = text.chars().next().map_or(0, char::len_utf8);
    &text[..end.unwrap_or(text.trim_end().len()).max(first)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Code, Finding};
    use std::sync::Arc;

    fn at(line: u32, column: u32) -> Place {
        Place::new(&Arc::from("config/app.yaml"), line, column)
    }

    fn with_line(finding: Finding, text: &str) -> Finding {
        Finding { line_text: Some(text.to_owned()), ..finding }
    }

    #[track_caller]
    fn check(findings: impl IntoIterator<Item = Finding>, expected: &str) {
        let text = reports(&findings.into_iter().collect()).join("\n");
        assert_eq!(anstream::adapter::strip_str(&text).to_string().trim_end(), expected.trim_end());
    }

    #[test]
    fn a_finding_shows_its_line_with_a_caret() {
        let finding = Finding::error(Code::SCHEMA, "server.port: 99999 is greater than the maximum 65535")
            .at(&at(3, 9))
            .hint("use a port below 65536");
        check(
            [with_line(finding, "  port: 99999  # http")],
            "\
error[E_SCHEMA]: server.port: 99999 is greater than the maximum 65535
 --> config/app.yaml:3:9
  |
3 |   port: 99999  # http
  |         ^^^^^
  |
  = hint: use a port below 65536",
        );
    }

    #[test]
    fn a_finding_without_a_line_names_its_place() {
        check(
            [Finding::warning(Code::NAME_CLASH, "it is hidden").at(&Place::whole("headfast.yaml"))],
            "warning[E_NAME_CLASH]: it is hidden\n--> headfast.yaml",
        );
        check([Finding::error(Code::LOCKED, "it is held")], "error[E_LOCKED]: it is held");
    }

    #[test]
    fn one_mistake_in_two_environments_is_shown_once() {
        let finding = Finding::error(Code::UNDEFINED, "no such name").at(&at(1, 0));
        let of = |environment: &str| Finding { environment: Some(environment.into()), ..finding.clone() };
        check(
            [of("staging"), of("production"), of("staging")],
            "\
error[E_UNDEFINED]: no such name
--> config/app.yaml:1
 = in: environments staging and production",
        );
    }

    #[test]
    fn control_characters_of_the_repository_are_escaped() {
        let finding = Finding::error(Code::SCHEMA, "bad \u{1b}[31mvalue\u{9b}").at(&at(1, 5));
        check(
            [with_line(finding, "\u{1b}[2J: \u{202e}x")],
            "\
error[E_SCHEMA]: bad \\u{1b}[31mvalue\\u{9b}
 --> config/app.yaml:1:5
  |
1 | \u{fffd}[2J: \u{fffd}x
  |     ^",
        );
    }

    #[test]
    fn a_line_without_end_is_not_shown_whole() {
        let line = "x".repeat(1_000_000);
        let text =
            reports(&[with_line(Finding::error(Code::SCHEMA, "bad").at(&at(1, 3)), &line)].into_iter().collect());
        assert!(text[0].len() < 4000, "{}", text[0].len());
        let far =
            reports(&[with_line(Finding::error(Code::SCHEMA, "bad").at(&at(1, 5000)), &line)].into_iter().collect());
        assert!(far[0].contains("config/app.yaml:1:5000"), "{}", far[0]);
    }

    #[test]
    fn a_column_behind_the_line_is_no_panic() {
        for column in [0, 1, 2, 3, 40] {
            let finding = with_line(Finding::error(Code::SYNTAX, "bad").at(&at(1, column)), "é");
            assert!(reports(&[finding].into_iter().collect())[0].contains("E_SYNTAX"));
        }
        assert_eq!((word("'a b' c"), word("\"open"), word(": x"), word("")), ("'a b'", "\"open", ":", ""));
    }
}
