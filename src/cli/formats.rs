//! Findings for machines: GitHub's workflow commands, and SARIF for code scanning.

use crate::finding::{Code, Finding, Findings, Severity};
use crate::place::Place;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Returns one workflow command per finding, so that GitHub shows it on the line of a pull request.
pub fn github(findings: &Findings) -> String {
    let mut text = String::new();
    for finding in findings.iter() {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        let mut properties = place_properties(finding.place.as_ref());
        properties.push(format!("title={}", property(finding.code.name)));
        let _ = writeln!(text, "::{command} {}::{}", properties.join(","), data(&sentence(finding)));
    }
    text
}

fn place_properties(place: Option<&Place>) -> Vec<String> {
    let Some(place) = place else { return Vec::new() };
    let mut properties = vec![format!("file={}", property(&place.file))];
    if place.line > 0 {
        properties.push(format!("line={}", place.line));
    }
    if place.column > 0 {
        properties.push(format!("col={}", place.column));
    }
    properties
}

fn sentence(finding: &Finding) -> String {
    let environment = finding.environment.as_ref().map(|it| format!(" (environment {it})")).unwrap_or_default();
    let hint = finding.hint.as_ref().map(|it| format!("\nhint: {it}")).unwrap_or_default();
    format!("{}{environment}{hint}", finding.message)
}

/// Escapes a workflow command's message.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a workflow command's property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Returns the findings as SARIF 2.1.0.
pub fn sarif(findings: &Findings) -> Value {
    let codes: BTreeMap<&str, Code> = findings.iter().map(|it| (it.code.name, it.code)).collect();
    let rules: Vec<Value> =
        codes.values().map(|it| json!({"id": it.name, "shortDescription": {"text": it.meaning}})).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "headfast",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn result(finding: &Finding) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let mut result = json!({
        "ruleId": finding.code.name,
        "level": level,
        "message": {"text": sentence(finding)},
    });
    if let Some(place) = &finding.place {
        let mut physical = json!({"artifactLocation": {"uri": uri(&place.file), "uriBaseId": "%SRCROOT%"}});
        if place.line > 0 {
            physical["region"] = json!({"startLine": place.line});
            if place.column > 0 {
                physical["region"]["startColumn"] = json!(place.column);
            }
        }
        result["locations"] = json!([{"physicalLocation": physical}]);
    }
    result
}

/// Returns a path of the repository as a relative URI.
fn uri(path: &str) -> String {
    let mut text = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn findings() -> Findings {
        let place = Place::new(&Arc::from("config/a b,c.yaml"), 3, 9);
        let first = Finding::error(Code::SCHEMA, "100% wrong\nreally").at(&place).hint("mend it");
        let second = Finding::warning(Code::NAME_CLASH, "::set-output name=x::y");
        [Finding { environment: Some("staging".into()), ..first }, second].into_iter().collect()
    }

    #[test]
    fn github_commands_cannot_be_injected() {
        assert_eq!(
            github(&findings()),
            "::error file=config/a b%2Cc.yaml,line=3,col=9,title=E_SCHEMA::100%25 wrong%0Areally (environment staging)%0A\
             hint: mend it\n::warning title=E_NAME_CLASH::::set-output name=x::y\n"
        );
    }

    #[test]
    fn sarif_names_rule_place_and_level() {
        let sarif = sarif(&findings());
        let run = &sarif["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"].as_array().map(Vec::len), Some(2));
        let result = &run["results"][0];
        assert_eq!((&result["ruleId"], &result["level"]), (&json!("E_SCHEMA"), &json!("error")));
        assert_eq!(
            result["locations"][0]["physicalLocation"],
            json!({
                "artifactLocation": {"uri": "config/a%20b%2Cc.yaml", "uriBaseId": "%SRCROOT%"},
                "region": {"startLine": 3, "startColumn": 9},
            })
        );
        assert_eq!(run["results"][1].get("locations"), None);
    }
}
