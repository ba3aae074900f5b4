use super::*;
use crate::config::ConfigSchema;
use crate::config::testing::tree;
use crate::finding::{Code, Findings};
use crate::place::Place;
use crate::render::{Digest, TargetPath};
use crate::revision::ObjectId;
use serde_json::json;
use std::sync::Arc;

fn deployment() -> record::Deployment {
    record::Deployment {
        id: 7,
        repository: "site".into(),
        environment: "production".into(),
        revision: ObjectId::new("abc"),
        digest: Some(Digest("d".into())),
        status: record::DeploymentStatus::RolledBack,
        phase: record::Phase::Probe,
        trigger: record::Trigger::Poll,
        started_at: "2026-01-02T03:04:05Z".into(),
        finished_at: Some("2026-01-02T03:04:06Z".into()),
        changes: record::Changes { created: 1, replaced: 2, removed: 3, unchanged: 4 },
        keys: record::KeyChanges {
            changes: vec![record::KeyChange {
                configuration: "app".into(),
                path: "server.port".into(),
                kind: record::KeyChangeKind::Changed,
                old: Some("80".into()),
                new: Some("8080".into()),
            }],
            more: 2,
        },
        error: Some(record::Failure { code: "E_PROBE".into(), message: "got 500".into() }),
        kept: Vec::new(),
        log: vec!["line".into()],
        previous: Some(6),
    }
}

fn brief() -> serde_json::Value {
    json!({
        "id": 7, "repository": "site", "environment": "production", "revision": "abc", "status": "rolled_back",
        "phase": "probe", "trigger": "poll", "started_at": "2026-01-02T03:04:05Z", "finished_at": "2026-01-02T03:04:06Z",
        "changes": {"created": 1, "replaced": 2, "removed": 3, "unchanged": 4},
        "error": {"code": "E_PROBE", "message": "got 500"},
    })
}

#[track_caller]
fn check(document: &impl Serialize, expected: serde_json::Value) {
    assert_eq!(serde_json::to_value(document).unwrap(), expected);
}

#[test]
fn history_and_show_have_their_shapes() {
    check(&Deployments::history(&[deployment()]), json!({"version": 1, "deployments": [brief()]}));
    let mut detailed = brief();
    let change = json!({"configuration": "app", "path": "server.port", "kind": "changed", "old": "80", "new": "8080"});
    let keys = json!({"changes": [change], "more": 2});
    let more = json!({"digest": "d", "previous": 6, "keys": keys, "kept": [], "log": ["line"]});
    detailed.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    check(&Deployments::show(&deployment()), json!({"version": 1, "deployments": [detailed]}));
}

#[test]
fn status_has_its_shape_and_reads_back() {
    let status = Status::new(
        "web-1",
        vec![Repository {
            name: "site".into(),
            environment: "production".into(),
            head: Some("def".into()),
            revision: None,
            state: State::InSync,
            drift: DriftCount { count: 2 },
            suspended: Some(Suspension {
                reason: "maintenance".into(),
                until: None,
                author: "ana".into(),
                since: "2026-01-02T03:04:05Z".into(),
            }),
            last_deployment: Some(Deployment::brief(&deployment())),
        }],
    );
    let json = json!({"version": 1, "host": "web-1", "repositories": [{
        "name": "site", "environment": "production", "head": "def", "revision": null, "state": "in_sync",
        "drift": {"count": 2}, "suspended": {"reason": "maintenance", "until": null, "author": "ana", "since": "2026-01-02T03:04:05Z"}, "last_deployment": brief(),
    }]});
    check(&status, json.clone());
    assert_eq!(serde_json::from_value::<Status>(json).unwrap(), status);
}

#[test]
fn plan_shows_what_changes_in_targets_only() {
    let operation = |action, path: &str| plan::Operation {
        target: "app".into(),
        at: plan::LivePath { root: "/srv/app".into(), path: TargetPath::new(path.as_bytes()).unwrap() },
        action,
        before: plan::Before::Clean,
        live: None,
        wanted: None,
        sensitive: false,
    };
    use plan::Action::{Adopt, Create, Forget, Metadata, Remove, Replace};
    let actions = [Create, Replace, Remove, Metadata, Adopt, Forget];
    let operations = actions.into_iter().zip(["a", "b", "c", "d", "e", "f"]).map(|(it, path)| operation(it, path));
    let plan = plan::Plan { operations: operations.collect(), unchanged: 0 };
    check(
        &Plan::from(&plan),
        json!({"version": 1, "operations": [
            {"target": "app", "path": "a", "action": "create"},
            {"target": "app", "path": "b", "action": "replace"},
            {"target": "app", "path": "c", "action": "remove"},
            {"target": "app", "path": "d", "action": "metadata"},
        ]}),
    );
}

#[test]
fn check_shows_places_as_far_as_they_are_known() {
    let mut findings = Findings::new();
    let place = Place::new(&Arc::from("app.yaml"), 3, 5);
    findings.push(crate::finding::Finding::error(Code::SCHEMA, "too large").at(&place).hint("make it smaller"));
    findings.push(crate::finding::Finding::warning(Code::NAME_CLASH, "hidden").at(&Place::whole("x.yaml")));
    let mut all = findings.clone();
    all.in_environment("staging");
    findings.in_environment("production");
    all.extend(findings);
    check(
        &Check::new(&all.merged()),
        json!({"version": 1, "findings": [
            {"severity": "error", "code": "E_SCHEMA", "message": "too large", "file": "app.yaml", "line": 3, "column": 5,
             "pointer": null, "expected": null, "found": null, "rule": null, "hint": "make it smaller",
             "environment": "staging", "environments": ["staging", "production"]},
            {"severity": "warning", "code": "E_NAME_CLASH", "message": "hidden", "file": "x.yaml", "line": null,
             "column": null, "pointer": null, "expected": null, "found": null, "rule": null, "hint": null,
             "environment": "staging", "environments": ["staging", "production"]},
        ]}),
    );
}

#[test]
fn m24_an_issue_has_path_message_suggestion_actual_and_expected() {
    let mut findings = Findings::new();
    let schema = json!({
        "type": "object",
        "required": ["name"],
        "properties": {"level": {"enum": ["info", "debug"]}, "port": {"type": "integer", "maximum": 9}, "name": {}},
        "additionalProperties": false,
    });
    let schema = ConfigSchema::from_node(tree("schema.json", schema), &mut findings).unwrap();
    schema.validate(&tree("app.yaml", json!({"level": "inf", "port": 10, "prot": 1})), &mut findings);
    let document = serde_json::to_value(Check::new(&findings.merged())).unwrap();
    let keys = ["pointer", "message", "hint", "found", "expected", "rule"];
    let issue = |it: &serde_json::Value| keys.map(|key| it[key].as_str().unwrap_or("-").to_owned()).join(" | ");
    let issues: Vec<String> = document["findings"].as_array().unwrap().iter().map(issue).collect();
    insta::assert_snapshot!(issues.join("\n"), @r#"
     | name: it is required, and no layer sets it | - | nothing | the key `name` | /required
    /level | level: "inf" is not one of "info", "debug" | did you mean "info"? | "inf" | one of "info", "debug" | /properties/level/enum
    /port | port: 10 is greater than the maximum 9 | - | 10 | at most 9 | /properties/port/maximum
    /prot | prot: this key is not in the schema | the schema knows `level`, `port`, `name` | `prot` | one of `level`, `port`, `name` | /additionalProperties
    "#);
}

#[test]
fn drift_and_why_have_their_shapes() {
    let entry =
        DriftEntry { target: "app".into(), path: "a".into(), kind: DriftKind::Modified, sensitive: true, diff: None };
    check(
        &Drift::new(vec![entry]),
        json!({"version": 1, "drift": [
            {"target": "app", "path": "a", "kind": "modified", "sensitive": true, "diff": null},
        ]}),
    );
    let changed = LastChange {
        commit: Some("abc".into()),
        author: Some("Ana <ana@example.org>".into()),
        date: Some("2026-01-02T03:04:05+00:00".into()),
        subject: Some("Change".into()),
        uncommitted: false,
    };
    let origin = Origin {
        layer: "config/app.yaml".into(),
        file: "config/app.yaml".into(),
        line: Some(1),
        column: Some(2),
        changed: changed.clone(),
        wins: true,
        shown: "8080".into(),
        migrated: None,
    };
    let why = Why {
        version: VERSION,
        target: "app".into(),
        path: "a".into(),
        key: Some("server.port".into()),
        value: json!(8080),
        origins: vec![origin],
        references: Vec::new(),
        revision: None,
        live: "/srv/app/a".into(),
        sensitive: false,
        source: WhySource {
            kind: "copy".into(),
            file: Some("files/a".into()),
            configuration: None,
            select: None,
            changed: LastChange::default(),
            entry: WhyPlace { file: "headfast.yaml".into(), line: Some(3), column: Some(4) },
        },
        uses: None,
        values: Vec::new(),
    };
    check(
        &why,
        json!({"version": 1, "target": "app", "path": "a", "key": "server.port", "value": 8080, "origins": [
            {"layer": "config/app.yaml", "file": "config/app.yaml", "line": 1, "column": 2, "commit": "abc",
             "author": "Ana <ana@example.org>", "date": "2026-01-02T03:04:05+00:00", "subject": "Change",
             "uncommitted": false, "wins": true, "shown": "8080", "migrated": null},
        ], "references": [], "revision": null, "live": "/srv/app/a", "sensitive": false, "source": {
            "kind": "copy", "file": "files/a", "configuration": null, "select": null, "commit": null, "author": null,
            "date": null, "subject": null, "uncommitted": false,
            "entry": {"file": "headfast.yaml", "line": 3, "column": 4},
        }, "uses": null, "values": []}),
    );
}

#[test]
fn kept_and_fsck_have_their_shapes() {
    let file = KeptFile {
        id: "ab".into(),
        repository: "site".into(),
        deployment: 7,
        at: "2026-01-02T03:04:05Z".into(),
        root: "/srv".into(),
        path: "a".into(),
        reason: "drifted".into(),
        kind: "file".into(),
        mode: Some("0640".into()),
        uid: 0,
        gid: 33,
        sensitive: false,
        size: Some(3),
        content: None,
    };
    let listed = json!({
        "id": "ab", "repository": "site", "deployment": 7, "at": "2026-01-02T03:04:05Z", "root": "/srv", "path": "a",
        "reason": "drifted", "kind": "file", "mode": "0640", "uid": 0, "gid": 33, "sensitive": false, "size": 3,
    });
    check(&KeptFiles::new(vec![file.clone()]), json!({"version": 1, "kept": [listed.clone()]}));
    let mut shown = listed;
    shown["content"] = json!(null);
    check(&KeptFiles::new(vec![KeptFile { content: Some(None), ..file }]), json!({"version": 1, "kept": [shown]}));
    let problem = FsckProblem {
        area: "kept".into(),
        subject: "/state/kept/ab".into(),
        problem: "it is not what was kept".into(),
        cure: "move it aside".into(),
        needs: "repair".into(),
        repaired: true,
    };
    let expected = json!({
        "area": "kept", "subject": "/state/kept/ab", "problem": "it is not what was kept", "cure": "move it aside",
        "needs": "repair", "repaired": true,
    });
    check(&Fsck::new(vec![problem]), json!({"version": 1, "problems": [expected]}));
}
