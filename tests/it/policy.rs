//! `policy test`: the tests of the policies of a checkout.

use crate::host::headfast;
use std::fs;
use std::path::Path;

const MANIFEST: &str =
    "version: 1\nenvironments: {production: {type: production}}\ntargets: {}\npolicies: [policies]\n";
const RULE: &str = "package main\nimport rego.v1\ndeny contains \"root\" if input.user == \"root\"\n";
const TESTS: &str = "package main_test\nimport rego.v1\nimport data.main\n\
    test_root if count(main.deny) == 1 with input as {\"user\": \"root\"}\n\
    test_app if count(main.deny) == 1 with input as {\"user\": \"app\"}\n\
    todo_test_later if false\n";

fn repository(tests: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("policies")).unwrap();
    let files = [("headfast.yaml", MANIFEST), ("policies/user.rego", RULE), ("policies/user_test.rego", tests)];
    for (path, text) in files {
        fs::write(dir.path().join(path), text).unwrap();
    }
    dir
}

fn run(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = headfast(dir, &[&["policy", "test"], arguments].concat());
    (output.status, output.stdout, output.stderr)
}

#[test]
fn a_test_that_does_not_hold_is_shown_and_exits_3() {
    let dir = repository(TESTS);
    let (code, out, err) = run(dir.path(), &[]);
    assert_eq!(code, 3, "{out}{err}");
    let expected = "pass    main_test.test_root policies/user_test.rego:4:1\n\
                    fail    main_test.test_app policies/user_test.rego:5:1\n\
                    skipped main_test.todo_test_later policies/user_test.rego:6:1\n\
                    failed: 1 test passed, 1 failed, 1 skipped\n";
    assert_eq!(out, expected);
    assert!(err.contains("E_POLICY_TEST"), "{err}");
    let (code, out, _) = run(dir.path(), &["--run", "test_root"]);
    assert_eq!((code, out.lines().count()), (0, 2), "{out}");
}

#[test]
fn results_are_printed_for_machines() {
    let dir = repository(TESTS);
    let (code, out, _) = run(dir.path(), &["--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["version"]), (3, &serde_json::json!(1)));
    let outcomes: Vec<&str> =
        json["tests"].as_array().unwrap().iter().filter_map(|it| it["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["pass", "fail", "skipped"]);
    assert_eq!(json["tests"][1]["message"], "`main_test.test_app` does not hold");
}

#[test]
fn tests_that_cannot_be_read_say_where() {
    let dir = repository("package main_test\n\ntest_x if {\n");
    let (code, _, err) = run(dir.path(), &[]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("E_POLICY_INVALID") && err.contains("policies/user_test.rego"), "{err}");
    let dir = repository("package main_test\n");
    let (code, _, err) = run(dir.path(), &[]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("have no tests"), "{err}");
}
