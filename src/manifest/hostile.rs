//! Manifests that are meant to hurt, or damaged.

use super::tests::{EXAMPLE, read, shown};
use super::*;
use crate::document::{Format, Limits, MergeKeys, Node, Value, parse};
use crate::finding::Findings;
use crate::finding::testing::cpu_time;
use std::sync::Arc;

#[test]
fn a_hostile_manifest_costs_no_square() {
    let names = (0..90).map(|it| format!("nobody-{it}")).collect::<Vec<_>>().join(", ");
    let target = |idx: usize| format!("  t{idx}: {{path: /srv, files: [], after: [{names}]}}\n");
    let text = format!("version: 1\nenvironments: {{}}\ntargets:\n{}", (0..1001).map(target).collect::<String>());
    let started = cpu_time();
    let (_, findings) = read(&text);
    assert!(shown(&findings).contains("there are more than 1000 targets"));
    assert!(cpu_time() - started < Duration::from_secs(20));
}

#[test]
fn every_wrong_type_is_a_finding_and_no_panic() {
    let node = parse(
        Format::Yaml,
        &Arc::from("f"),
        EXAMPLE.as_bytes(),
        &Limits::default(),
        MergeKeys::Refuse,
        &mut Findings::new(),
    );
    let node = node.expect("the example parses");
    let mut paths = Vec::new();
    fn walk(node: &Node, path: &str, paths: &mut Vec<String>) {
        paths.push(path.to_owned());
        let join = |step: &str| if path.is_empty() { step.to_owned() } else { format!("{path}/{step}") };
        node.as_map().into_iter().flat_map(|it| it.iter()).for_each(|it| walk(&it.node, &join(&it.key), paths));
        node.as_list().into_iter().flatten().enumerate().for_each(|(idx, it)| walk(it, &join(&idx.to_string()), paths));
    }
    walk(&node, "", &mut paths);
    assert!(paths.len() > 60);
    for path in paths {
        for json in ["null", "[]", "{}", "-1", "\"\"", "[{}]", "{\"a\": 1}", "true", "\"\\u0000\""] {
            let value = parse(
                Format::Json,
                &Arc::from("f"),
                json.as_bytes(),
                &Limits::default(),
                MergeKeys::Refuse,
                &mut Findings::new(),
            );
            let mut changed = node.clone();
            replace(&mut changed, &path, value.expect("JSON").value);
            let mut findings = Findings::new();
            load(&changed, &mut findings);
            let is_fine = ["[]", "{}"].contains(&json)
                || path.contains("variables")
                || path.contains("labels")
                || findings.has_errors();
            assert!(
                is_fine
                    || path.ends_with("domain")
                    || path.ends_with("select")
                    || path.contains("command/") && json == "\"\"",
                "{path} = {json} passes"
            );
        }
    }
}

fn replace(node: &mut Node, path: &str, value: Value) {
    let mut at = node;
    for step in path.split('/').filter(|it| !it.is_empty()) {
        at = match &mut at.value {
            Value::Map(map) => map.get_mut(step).expect("the key"),
            Value::List(items) => &mut items[step.parse::<usize>().expect("an index")],
            _ => unreachable!("paths come from the tree"),
        };
    }
    at.value = value;
}

#[test]
fn d14_d15_no_damage_panics() {
    for end in 0..EXAMPLE.len() {
        read(EXAMPLE.get(..end).unwrap_or_default());
    }
    let damage = ["", "\n", ":", "'", "-", "{", "~", "0", "/"];
    for idx in 0..EXAMPLE.len() {
        if let (Some(before), Some(after)) = (EXAMPLE.get(..idx), EXAMPLE.get(idx + 1..)) {
            read(&format!("{before}{}{after}", damage[idx % damage.len()]));
        }
    }
}
