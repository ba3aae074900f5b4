//! Findings for machines: GitHub's workflow commands, and SARIF for code scanning.

use super::words::list;
use crate::finding::{Code, Finding, Merged, Severity};
use crate::place::Place;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// Returns one workflow command per finding, so that GitHub shows it on the line of a pull request.
pub fn github(findings: &[Merged<'_>]) -> String {
    let mut text = String::new();
    for merged in findings {
        let finding = merged.finding;
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        let mut properties = place_properties(finding.place.as_ref());
        properties.push(format!("title={}", property(finding.code.name)));
        let _ = writeln!(text, "::{command} {}::{}", properties.join(","), data(&sentence(merged)));
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

fn sentence(Merged { finding, environments }: &Merged<'_>) -> String {
    let environment = match environments.as_slice() {
        [] => String::new(),
        [one] => format!(" (environment {one})"),
        several => format!(" (environments {})", list(several)),
    };
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
pub fn sarif(findings: &[Merged<'_>]) -> Value {
    let codes: BTreeMap<&str, Code> = findings.iter().map(|it| (it.finding.code.name, it.finding.code)).collect();
    let mut seen = HashMap::new();
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
            "results": findings.iter().map(|it| result(it, &mut seen)).collect::<Vec<_>>(),
        }],
    })
}

fn result(merged: &Merged<'_>, seen: &mut HashMap<String, u32>) -> Value {
    let finding = merged.finding;
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let mut result = json!({
        "ruleId": finding.code.name,
        "level": level,
        "message": {"text": sentence(merged)},
        "partialFingerprints": {"headfast/v1": fingerprint(finding, seen)},
        "properties": {"environments": merged.environments},
    });
    if let Some(rule) = &finding.rule {
        result["properties"]["rule"] = json!(rule);
    }
    if let Some(place) = &finding.place {
        // A remote layer's file is its address.
        let mut physical = match place.file.contains("://") {
            true => json!({"artifactLocation": {"uri": &*place.file}}),
            false => json!({"artifactLocation": {"uri": uri(&place.file), "uriBaseId": "%SRCROOT%"}}),
        };
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

/// Returns what stays the same of a finding when lines move: what is wrong in which file, and which one of its kind it is.
/// Code scanning takes what has it alike for one alert.
fn fingerprint(finding: &Finding, seen: &mut HashMap<String, u32>) -> String {
    let file = finding.place.as_ref().map_or("", |it| &it.file);
    let parts = [finding.code.name, file, finding.pointer.as_deref().unwrap_or_default(), &finding.message];
    let digest: String = Sha256::digest(parts.join("\0")).iter().map(|it| format!("{it:02x}")).collect();
    let n = seen.entry(digest.clone()).and_modify(|it| *it += 1).or_insert(1);
    format!("{digest}:{n}")
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
    use crate::finding::Findings;
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
            github(&findings().merged()),
            "::error file=config/a b%2Cc.yaml,line=3,col=9,title=E_SCHEMA::100%25 wrong%0Areally (environment staging)%0A\
             hint: mend it\n::warning title=E_NAME_CLASH::::set-output name=x::y\n"
        );
    }

    #[test]
    fn sarif_names_rule_place_and_level() {
        let findings = findings();
        let sarif = sarif(&findings.merged());
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
        assert_eq!(result["properties"], json!({"environments": ["staging"]}));
    }

    #[test]
    fn a_line_that_moved_is_the_same_alert() {
        let at = |line| Finding::error(Code::SCHEMA, "bad").at(&Place::new(&Arc::from("a.yaml"), line, 1));
        let prints = |lines: &[u32]| -> Vec<Value> {
            let findings: Findings = lines.iter().map(|it| at(*it)).collect();
            let results = sarif(&findings.merged())["runs"][0]["results"].take();
            results.as_array().into_iter().flatten().map(|it| it["partialFingerprints"].clone()).collect()
        };
        let two = prints(&[3, 7]);
        assert_eq!(two, prints(&[13, 17]));
        assert_ne!(two[0], two[1], "two of one kind are two alerts");
    }
}
