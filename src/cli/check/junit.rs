//! The findings as JUnit's XML, which most CI systems show as test results.

use super::Case;
use crate::cli::human;
use crate::cli::words::count;
use crate::cli::xml::{attribute, escaped};
use crate::finding::{Findings, Identity, Merged, Severity};
use anstream::adapter::strip_str;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;

/// What one case has to tell.
#[derive(Default)]
struct Told<'a> {
    /// What no case before it has.
    errors: Vec<&'a Merged<'a>>,
    remarks: Vec<&'a Merged<'a>>,
    /// How many errors it has in common with a case before it, by that case's index.
    known: BTreeMap<usize, u64>,
    /// The first error's code and message, told here or not.
    first: Option<(&'static str, &'a str)>,
    n_errors: u64,
}

/// Returns a suite for each environment, with a case for each host.
///
/// A finding is told whole in the first case that has it; later cases fail as well, and say where it is told.
pub fn junit(findings: &Findings, cases: &[Case]) -> String {
    let merged = findings.merged();
    let told = tell(findings, &merged, cases);
    let n_failures = |told: &[Told<'_>]| told.iter().filter(|it| it.n_errors > 0).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = (cases.len(), n_failures(&told));
    let _ = writeln!(text, "<testsuites name=\"headfast check\" tests=\"{}\" failures=\"{}\">", counts.0, counts.1);
    let mut start = 0;
    for suite in cases.chunk_by(|a, b| a.suite == b.suite) {
        let told_here = &told[start..start + suite.len()];
        let (name, n_failures) = (attribute(&suite[0].suite), n_failures(told_here));
        let _ = writeln!(text, "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{n_failures}\">", suite.len());
        for (case, told) in suite.iter().zip(told_here) {
            let _ = write!(text, "    <testcase classname=\"{name}\" name=\"{}\"", attribute(&case.name));
            text.push_str(&content(told, cases));
        }
        text.push_str("  </testsuite>\n");
        start += suite.len();
    }
    text.push_str("</testsuites>\n");
    text
}

fn tell<'a>(findings: &'a Findings, merged: &'a [Merged<'a>], cases: &[Case]) -> Vec<Told<'a>> {
    let idx_of: HashMap<Identity<'_>, usize> =
        merged.iter().enumerate().map(|(idx, it)| (it.finding.identity(), idx)).collect();
    let mut told_in: Vec<Option<usize>> = vec![None; merged.len()];
    let mut all = Vec::new();
    for (case_idx, case) in cases.iter().enumerate() {
        let mut told = Told::default();
        let mut seen = HashSet::new();
        for finding in findings.iter().skip(case.findings.start).take(case.findings.len()) {
            let Some(idx) = idx_of.get(&finding.identity()).copied().filter(|it| seen.insert(*it)) else { continue };
            let is_error = finding.severity == Severity::Error;
            if is_error {
                told.n_errors += 1;
                told.first.get_or_insert((finding.code.name, &finding.message));
            }
            match told_in[idx] {
                Some(earlier) if is_error => *told.known.entry(earlier).or_default() += 1,
                Some(_) => {}
                None => {
                    told_in[idx] = Some(case_idx);
                    if is_error { &mut told.errors } else { &mut told.remarks }.push(&merged[idx]);
                }
            }
        }
        all.push(told);
    }
    all
}

fn content(told: &Told<'_>, cases: &[Case]) -> String {
    let mut text = String::new();
    if let Some((code, message)) = told.first {
        let more = match told.n_errors {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let mut body = reports(&told.errors);
        for (idx, n) in &told.known {
            let (case, errors) = (&cases[*idx], count(*n, "error", "errors"));
            let _ = writeln!(body, "{errors} of this host, told at {} / {}", case.suite, case.name);
        }
        let message = attribute(&format!("{message}{more}"));
        let _ = writeln!(text, "      <failure type=\"{code}\" message=\"{message}\">{}</failure>", escaped(&body));
    }
    if !told.remarks.is_empty() {
        let _ = writeln!(text, "      <system-out>{}</system-out>", escaped(&reports(&told.remarks)));
    }
    if text.is_empty() { "/>\n".to_owned() } else { format!(">\n{text}    </testcase>\n") }
}

fn reports(findings: &[&Merged<'_>]) -> String {
    findings.iter().map(|it| strip_str(&human::report(it)).to_string()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Code, Finding};
    use crate::place::Place;

    fn case(suite: &str, name: &str, findings: std::ops::Range<usize>) -> Case {
        Case { suite: suite.to_owned(), name: name.to_owned(), findings }
    }

    #[test]
    fn every_host_is_a_case_and_every_finding_is_told_once() {
        let place = Place::whole("app.yaml");
        let bad = |environment: &str| Finding {
            environment: Some(environment.to_owned()),
            ..Finding::error(Code::SCHEMA, "port: too large").at(&place)
        };
        let other = Finding { environment: Some("b".into()), ..Finding::error(Code::TEMPLATE, "no `end`").at(&place) };
        let warning = Finding { environment: Some("b".into()), ..Finding::warning(Code::NAME_CLASH, "hidden") };
        let findings: Findings = [bad("a"), bad("a"), bad("b"), other, warning].into_iter().collect();
        let cases = [
            case("headfast.yaml", "manifest", 0..0),
            case("a", "one", 0..1),
            case("a", "two", 1..2),
            case("b", "three", 2..5),
        ];
        insta::assert_snapshot!(junit(&findings, &cases), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="headfast check" tests="4" failures="3">
          <testsuite name="headfast.yaml" tests="1" failures="0">
            <testcase classname="headfast.yaml" name="manifest"/>
          </testsuite>
          <testsuite name="a" tests="2" failures="2">
            <testcase classname="a" name="one">
              <failure type="E_SCHEMA" message="port: too large">error[E_SCHEMA]: port: too large
        --&gt; app.yaml
         = in: environments a and b
        </failure>
            </testcase>
            <testcase classname="a" name="two">
              <failure type="E_SCHEMA" message="port: too large">1 error of this host, told at a / one
        </failure>
            </testcase>
          </testsuite>
          <testsuite name="b" tests="1" failures="1">
            <testcase classname="b" name="three">
              <failure type="E_SCHEMA" message="port: too large (and 1 more)">error[E_TEMPLATE]: no `end`
        --&gt; app.yaml
         = in: environment b
        1 error of this host, told at a / one
        </failure>
              <system-out>warning[E_NAME_CLASH]: hidden
         |
         = in: environment b
        </system-out>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn junit_cannot_be_injected() {
        let message = "</failure><x y=\"1\">\u{0}\u{1b}[2J\u{ffff}&amp;\r\n]]>";
        let findings: Findings = [Finding::error(Code::SCHEMA, message)].into_iter().collect();
        let text = junit(&findings, &[case("a\"<b>", "c&\n", 0..1)]);
        assert_eq!(text.matches("</failure>").count(), 1, "{text}");
        assert!(!text.contains("<x") && !text.contains("<b>") && !text.contains("]]>"), "{text}");
        assert!(text.contains("name=\"c&amp;&#10;\"") && text.contains("&amp;amp;&#13;&#10;]]&gt;\""), "{text}");
        assert!(text.chars().all(|it| it == '\n' || !it.is_control() && it != '\u{ffff}'), "{text}");
    }
}
