use super::*;
use crate::config::testing::lines;
use crate::finding::{Code, Findings, Severity};
use crate::manifest::Located;
use crate::revision::MemoryTree;
use serde_json::{Value as Json, json};

fn load(files: &[(&str, &str)]) -> (Option<Policies>, Findings) {
    let mut findings = Findings::new();
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    (Policies::load(files, &mut findings), findings)
}

/// Returns what the policies say about `input`.
#[track_caller]
fn ask(files: &[(&str, &str)], input: Json) -> String {
    let (policies, mut findings) = load(files);
    policies.unwrap_or_else(|| panic!("{}", lines(&findings).join("\n"))).evaluate(&input, &mut findings);
    let severities = findings.iter().map(|it| if it.severity == Severity::Error { "" } else { "(warning) " });
    severities.zip(lines(&findings)).map(|(severity, line)| format!("{severity}{line}")).collect::<Vec<_>>().join("\n")
}

/// Returns what is wrong with policies that cannot be loaded.
#[track_caller]
fn faults(files: &[(&str, &str)]) -> String {
    let (policies, findings) = load(files);
    assert!(policies.is_none(), "the policies are accepted");
    lines(&findings).join("\n")
}

fn main_rule(text: &str) -> String {
    format!("package main\n\n{text}\n")
}

#[test]
fn what_cannot_be_read_is_reported_with_file_and_line() {
    insta::assert_snapshot!(
        faults(&[
            ("a.rego", "package main\n\ndeny contains msg if { msg := }\n"),
            ("b.rego", "package main\ndeny[msg] { msg = }\n"),
            ("c.rego", "nonsense"),
            ("d.rego", ""),
        ]),
        @r"
        a.rego:3:28 E_POLICY_INVALID expecting `}` while parsing set
        b.rego:2:11 E_POLICY_INVALID expecting }
        c.rego:1:1 E_POLICY_INVALID expecting `package` Missing package declaration.
        d.rego:1:1 E_POLICY_INVALID expecting `package` Missing package declaration.
        "
    );
}

#[test]
fn a_rule_that_cannot_be_evaluated_is_an_error_and_the_others_are_asked() {
    let text = "deny_a contains \"a\" if { startswith(input.port, \"x\") }\n\
                deny_b contains \"b\" if { nope(1) }\n\
                deny_c contains \"c\" if { time.now_ns() > 0 }\n\
                deny_d contains \"d\" if { rand.intn(\"x\", 5) > 7 }\n\
                deny_e contains \"e\" if { count(numbers.range(1, 1000000000)) > 0 }\n\
                deny_f contains x if { x := http.send({\"url\": \"http://example.org\"}) }\n\
                deny_g := \"g\" if { deny_h }\n\
                deny_h if { deny_g }\n\
                deny_i contains 5\n\
                deny_j contains msg if { msg := undefined_name }\n\
                deny_z contains \"z\"\n";
    insta::assert_snapshot!(ask(&[("a.rego", &main_rule(text))], json!({"port": 80})), @r"
    a.rego:3:42 E_POLICY_INVALID `startswith` expects string argument. Got `80` instead
    a.rego:4:30 E_POLICY_INVALID could not find function nope
    a.rego:5:37 E_POLICY_INVALID a policy has no clock: the same revision must give the same answer
    a.rego:6:35 E_POLICY_INVALID a policy has no dice: the same revision must give the same answer
    a.rego:7:45 E_POLICY_INVALID the range has too many numbers
    a.rego:8:38 E_POLICY_INVALID could not find function http.send
    a.rego:9:1 E_POLICY_INVALID recursion detected when evaluating rule
    a.rego:10:1 E_POLICY_INVALID recursion detected when evaluating rule
    a.rego:11:1 E_POLICY_INVALID `deny_i` gives something that is not a message [give texts, or objects with a text in `msg`]
    a.rego:12:33 E_POLICY_INVALID var undefined_name is unsafe
    a.rego:13:1 E_POLICY z
    ");
}

#[test]
fn functions_that_call_themselves_are_refused_before_they_run() {
    let texts = [
        "f(x) := f(x + 1)",
        "f(x) := y if { y := g(x) }\ng(x) := [z | z := data.main.f(x)]",
        "f(x) := data[\"main\"].f(x)",
        "f(x) := y if { some i in [1]; every j in [2] { f(j) == i }; y := 1 }",
        "f(x) := 1 if { not f(x) }\nelse := 2",
    ];
    for text in texts {
        let found = faults(&[("a.rego", &main_rule(&format!("{text}\ndeny contains \"x\" if f(1)")))]);
        assert!(found.contains("calls itself"), "{text}: {found}");
    }
    let found = faults(&[
        ("a.rego", "package main\nimport data.lib as l\nf(x) := l.g(x)\n"),
        ("b.rego", "package lib\nimport data.main\ng(x) := main.f(x)\n"),
    ]);
    insta::assert_snapshot!(found, @r"
    b.rego:3:1 E_POLICY_INVALID the function `lib.g` calls itself, directly or through others
    a.rego:3:1 E_POLICY_INVALID the function `main.f` calls itself, directly or through others
    ");
    let wrapper = [
        ("a.rego", "package main\nimport data.lib\nf(x) := lib.f(x)\ndeny contains \"x\" if f(1) == 2\n"),
        ("b.rego", "package lib\nf(x) := x + 1\n"),
    ];
    assert_eq!(ask(&wrapper, json!({})), "a.rego:4:1 E_POLICY x");
}

#[test]
fn long_rows_of_rules_are_refused_and_shorter_ones_fit_the_stack() {
    let row = |n: usize| {
        let rules: String = (0..n).map(|idx| format!("a{idx}(x) := a{}(x + 1)\n", idx + 1)).collect();
        main_rule(&format!("{rules}a{n}(x) := x\ndeny contains \"x\" if a0(1) > 0"))
    };
    insta::assert_snapshot!(faults(&[("a.rego", &row(recursion::MAX_ROW))]), @r"a.rego:3:1 E_POLICY_INVALID `main.a0` needs more than 100 rules in a row");
    assert_eq!(ask(&[("a.rego", &row(recursion::MAX_ROW - 2))], json!({})), "a.rego:102:1 E_POLICY x");
}

#[test]
fn a_rule_that_takes_too_long_is_stopped() {
    let text = "deny contains \"x\" if {\n\tsome i in numbers.range(1, 100000)\n\tsome j in numbers.range(1, 100000)\n\ti * j == -1\n}";
    let mut findings = Findings::new();
    let files = vec![("a.rego".to_owned(), main_rule(text).into_bytes())];
    let policies = Policies::load_within(files, std::time::Duration::from_millis(100), &mut findings);
    policies.expect("they are valid").evaluate(&json!({}), &mut findings);
    let expected = "a.rego:3:1 E_POLICY_INVALID `deny` takes too long [look for nested loops over large lists]";
    assert_eq!(lines(&findings), [expected]);
}

#[test]
fn deny_and_violation_refuse_and_warn_warns() {
    let text = "import rego.v1\n\
                deny contains msg if {\n\tinput.port < 1024\n\tmsg := sprintf(\"port %d is privileged\", [input.port])\n}\n\
                deny_named contains {\"msg\": \"an object\", \"details\": {\"x\": 1}, \"hint\": \"change it\"}\n\
                violation contains {\"msg\": \"a violation\"}\n\
                warn contains \"a warning\"\n\
                warn_true if true\n\
                deny_single := \"one text\"\n\
                deny_false := false\n\
                deny_undefined := \"x\" if false\n\
                denying contains \"a helper\"\n\
                helper := 5";
    insta::assert_snapshot!(ask(&[("a.rego", &main_rule(text))], json!({"port": 80})), @r"
    a.rego:4:1 E_POLICY port 80 is privileged
    a.rego:8:1 E_POLICY an object [change it]
    a.rego:12:1 E_POLICY one text
    a.rego:9:1 E_POLICY a violation
    (warning) a.rego:10:1 E_POLICY a warning
    (warning) a.rego:11:1 E_POLICY `warn_true` holds
    ");
    assert!(!ask(&[("a.rego", &main_rule(text))], json!({"port": 8080})).contains("privileged"));
}

#[test]
fn rego_of_before_1_0_works_beside_that_of_today() {
    let files = [
        ("old.rego", "package main\n\ndeny[msg] {\n  input.port < 1024\n  msg := \"old\"\n}\n"),
        ("new.rego", "package main\n\ndeny contains \"new\" if input.port < 1024\n"),
        ("imports.rego", "package main\nimport future.keywords\n\nwarn contains \"future\" if true\n"),
    ];
    assert_eq!(
        ask(&files, json!({"port": 80})),
        " E_POLICY new\n E_POLICY old\n(warning) imports.rego:4:1 E_POLICY future"
    );
}

#[test]
fn helpers_in_other_packages_work_and_rules_there_are_pointed_out() {
    let files = [
        ("main.rego", "package main\nimport data.lib\n\ndeny contains lib.message if true\n"),
        ("lib.rego", "package lib\n\nmessage := \"from the library\"\n"),
        ("k8s.rego", "package k8s\n\ndeny contains \"never\" if true\n"),
    ];
    insta::assert_snapshot!(ask(&files, json!({})), @r"
    (warning) k8s.rego:3:1 E_POLICY_INVALID `deny` in `package k8s` is never asked; only those in `package main` are
    main.rego:4:1 E_POLICY from the library
    ");
    insta::assert_snapshot!(ask(&files[1..2], json!({})), @r"(warning)  E_POLICY_INVALID none of the policies has a rule to ask: `deny`, `violation` or `warn` in `package main`");
    assert_eq!(ask(&[], json!({})), "");
}

#[test]
fn answers_do_not_depend_on_the_order_of_files() {
    let a = ("a.rego", "package main\n\ndeny contains \"a\"\n");
    let b = ("b.rego", "package main\n\ndeny contains \"b\"\n");
    assert_eq!(ask(&[a, b], json!({})), ask(&[b, a], json!({})));
}

#[test]
fn policies_are_read_from_files_and_folders_of_a_revision() {
    let tree = MemoryTree::new([
        ("policies/base.rego", "package main\n\ndeny contains \"base\"\n"),
        ("policies/deep/more.rego", "package main\n\ndeny contains \"more\"\n"),
        ("policies/base_test.rego", "package main\n\nthis is not read"),
        ("policies/README.md", "nor is this"),
        ("single.rego", "package main\n\nwarn contains \"single\"\n"),
    ]);
    let source = |path: &str| Located { value: path.to_owned(), place: Place::whole("headfast.yaml") };
    let mut findings = Findings::new();
    let policies = Policies::read(&tree, &[source("policies/"), source("single.rego")], &mut findings);
    policies.expect("they are valid").evaluate(&json!({}), &mut findings);
    let messages: Vec<&str> = findings.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(messages, ["base", "more", "single"]);

    let mut findings = Findings::new();
    assert!(Policies::read(&tree, &[source("none")], &mut findings).is_none());
    assert_eq!(findings.iter().next().map(|it| it.code), Some(Code::SOURCE_MISSING));
}
