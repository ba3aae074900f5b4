use super::*;
use crate::config::testing::lines;
use crate::finding::{Code, Findings, Severity};
use crate::manifest::{Located, PolicySpec};
use crate::revision::MemoryTree;
use serde_json::{Value as Json, json};

mod builtins;
mod heads;
mod rego;

fn load(files: &[(&str, &str)]) -> (Option<Policies>, Findings) {
    load_within(files, MAX_TIME)
}

fn load_within(files: &[(&str, &str)], limit: Duration) -> (Option<Policies>, Findings) {
    let mut findings = Findings::new();
    let rules = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    let policies = Policies::of(Sources { rules, ..Sources::default() }, limit, &mut findings);
    load::warn_of_unasked(&policies.iter().collect::<Vec<_>>(), &mut findings);
    (policies, findings)
}

fn subject(input: Json) -> Subject<'static> {
    Subject { input: input.into(), data: None, name: None, locate: &|_| None }
}

/// Returns what the policies say about `input`.
#[track_caller]
fn ask(files: &[(&str, &str)], input: Json) -> String {
    let (policies, mut findings) = load(files);
    policies.unwrap_or_else(|| panic!("{}", lines(&findings).join("\n"))).evaluate(subject(input), &mut findings);
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
fn a_message_of_a_rule_that_is_defined_several_times_names_its_places() {
    let one =
        main_rule("deny contains \"a\" if input.a\n\ndeny contains {\"msg\": \"b\", \"hint\": \"own\"} if input.b\n");
    let other = main_rule("deny contains \"c\" if input.c");
    let input = json!({"a": true, "b": true, "c": true});
    insta::assert_snapshot!(ask(&[("a.rego", &one)], input.clone()), @r"
    a.rego E_POLICY a [`main.deny` says so, at a.rego:3:1 or 5:1]
    a.rego E_POLICY b [own]
    ");
    insta::assert_snapshot!(ask(&[("b.rego", &other), ("a.rego", &one)], input), @r"
    E_POLICY a [`main.deny` says so, at a.rego:3:1, 5:1 or b.rego:3:1]
    E_POLICY c [`main.deny` says so, at a.rego:3:1, 5:1 or b.rego:3:1]
    E_POLICY b [own]
    ");
}

#[test]
fn a_rule_that_cannot_be_evaluated_is_an_error_and_the_others_are_asked() {
    let text = "deny_a contains \"a\" if { startswith(input.port, \"x\") }\n\
                deny_c contains \"c\" if { time.now_ns() > 0 }\n\
                deny_d contains \"d\" if { rand.intn(\"x\", 5) > 7 }\n\
                deny_e contains \"e\" if { count(numbers.range(1, 1000000000)) > 0 }\n\
                deny_g := \"g\" if { deny_h }\n\
                deny_h if { deny_g }\n\
                deny_i contains 5\n\
                deny_j contains msg if { msg := undefined_name }\n\
                deny_z contains \"z\"\n";
    insta::assert_snapshot!(ask(&[("a.rego", &main_rule(text))], json!({"port": 80})), @r"
    a.rego:3:42 E_POLICY_INVALID `startswith` expects string argument. Got `80` instead
    a.rego:4:37 E_POLICY_INVALID a policy has no clock: the same revision must give the same answer
    a.rego:5:35 E_POLICY_INVALID a policy has no dice: the same revision must give the same answer
    a.rego:6:45 E_POLICY_INVALID the range has too many numbers
    a.rego:7:1 E_POLICY_INVALID recursion detected when evaluating rule
    a.rego:8:1 E_POLICY_INVALID recursion detected when evaluating rule
    a.rego:9:1 E_POLICY_INVALID `deny_i` gives something that is not a message [give texts, or objects with a text in `msg`]
    a.rego:10:33 E_POLICY_INVALID var undefined_name is unsafe
    a.rego:11:1 E_POLICY z
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
    let (policies, mut findings) = load_within(&[("a.rego", &main_rule(text))], Duration::from_millis(100));
    policies.expect("they are valid").evaluate(subject(json!({})), &mut findings);
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
        " E_POLICY new [`main.deny` says so, at new.rego:3:1 or old.rego:3:1]\n \
         E_POLICY old [`main.deny` says so, at new.rego:3:1 or old.rego:3:1]\n(warning) imports.rego:4:1 E_POLICY future"
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
    let plain = |path: &str| PolicySpec::plain(source(path));
    let mut findings = Findings::new();
    let all = groups(&tree, &[plain("policies/"), plain("single.rego")], &mut findings).expect("they are valid");
    assert_eq!(all.len(), 1, "what asks the same is read together");
    all[0].policies.evaluate(subject(json!({})), &mut findings);
    let messages: Vec<&str> = findings.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(messages, ["base", "more", "single"]);

    let mut findings = Findings::new();
    assert!(groups(&tree, &[plain("none")], &mut findings).is_none());
    assert_eq!(findings.iter().next().map(|it| it.code), Some(Code::SOURCE_MISSING));
}

/// Reads policies as the manifest names them.
#[track_caller]
fn read(files: &[(&str, &str)], manifest: &str) -> (Option<Vec<Group>>, Findings) {
    let mut findings = Findings::new();
    let specs = specs(manifest);
    let all = groups(&MemoryTree::new(files.iter().copied()), &specs, &mut findings);
    (all, findings)
}

#[track_caller]
fn specs(policies: &str) -> Vec<PolicySpec> {
    let text = format!("version: 1\nenvironments: {{}}\ntargets: {{}}\npolicies: {policies}\n");
    let mut findings = Findings::new();
    let manifest = crate::manifest::read(&MemoryTree::new([("headfast.yaml", text.as_str())]), &mut findings);
    assert!(findings.is_empty(), "{findings:?}");
    manifest.expect("a manifest").policies
}

#[track_caller]
fn ask_as(files: &[(&str, &str)], manifest: &str, input: Json) -> String {
    let (all, mut findings) = read(files, manifest);
    for group in all.unwrap_or_else(|| panic!("{}", lines(&findings).join("\n"))) {
        group.policies.evaluate(subject(input.clone()), &mut findings);
    }
    let shown = |it: &crate::finding::Finding| format!("{:?} {}", it.severity, it.rule.as_deref().unwrap_or("-"));
    let heads = findings.iter().map(shown);
    heads.zip(lines(&findings)).map(|(head, line)| format!("{head} {line}")).collect::<Vec<_>>().join("\n")
}

#[test]
fn packages_are_asked_when_the_manifest_says_so() {
    let files = [
        ("p/a.rego", "package main\ndeny contains \"main\"\n"),
        ("p/b.rego", "package web.tls\ndeny_old contains \"tls\"\n"),
        ("p/c.rego", "package odd[\"a-b\"]\nwarn contains \"odd\"\n"),
    ];
    insta::assert_snapshot!(ask_as(&files, "[{path: p, packages: all}]", json!({})), @r"
    Error main.deny p/a.rego:2:1 E_POLICY main
    Warning odd.a-b.warn p/c.rego:2:1 E_POLICY odd
    Error web.tls.deny_old p/b.rego:2:1 E_POLICY tls
    ");
    insta::assert_snapshot!(ask_as(&files, "[p, {path: p, packages: [web.tls]}]", json!({})), @r"
    Warning - p/c.rego:2:1 E_POLICY_INVALID `warn` in `package odd.a-b` is never asked; only those in `package main` are
    Warning - p/c.rego:2:1 E_POLICY_INVALID `warn` in `package odd.a-b` is never asked; only those in `package web.tls` are
    Error main.deny p/a.rego:2:1 E_POLICY main
    Error web.tls.deny_old p/b.rego:2:1 E_POLICY tls
    ");
}

#[test]
fn data_documents_are_mounted_at_their_folders_and_at_the_root() {
    let files = [
        (
            "p/a.rego",
            "package main\nimport data.ports\nimport data.limits\ndeny contains msg if { some p in ports.open; p > limits.max; msg := sprintf(\"%d\", [p]) }\n",
        ),
        ("p/ports/data.yaml", "open: [80, 8080]\n"),
        ("p/ports/other.yaml", "open: not data\n"),
        ("d/limits.json", "{\"limits\": {\"max\": 1000}}"),
        ("e/limits/x.yaml", "max: 5\n"),
    ];
    let all = ask_as(&files, "[{path: p, data: [d/limits.json]}]", json!({}));
    assert_eq!(all, "Error main.deny p/a.rego:4:1 E_POLICY 8080");
    let all = ask_as(&files, "[{path: p, data: [e]}]", json!({}));
    assert_eq!(all.lines().count(), 2, "{all}");

    let (none, findings) = read(&files, "[{path: p, data: [d/limits.json, e, none]}]");
    assert!(none.is_none());
    insta::assert_snapshot!(lines(&findings).join("\n"), @r"
        e/limits/x.yaml:1:6 E_POLICY_INVALID `data.limits.max` is set to something else at d/limits.json:1:20 [remove one of them]
        headfast.yaml:4:47 E_SOURCE_MISSING there is no data at `none`
    ");
    let files = [("p/a.rego", "package main\ndeny contains \"x\"\n"), ("p/main/data.json", "{\"deny\": []}")];
    insta::assert_snapshot!(lines(&read(&files, "[p]").1).join("\n"), @"p/main/data.json:1:10 E_POLICY_INVALID the data stands where the rule `main.deny` is, at p/a.rego:2:1 [rename one of them]");
}

#[test]
fn exceptions_except_named_and_bare_rules() {
    let rules = "package main\nimport rego.v1\ndeny_root contains \"root\"\nviolation contains \"bare\"\ndeny_port contains \"port\"\n";
    let ask = |exception: &str| ask_as(&[("p/a.rego", &format!("{rules}{exception}\n"))], "[p]", json!({"host": "db"}));
    insta::assert_snapshot!(ask("exception contains rules if { input.host == \"db\"; rules := [\"root\", \"\"] }"), @r"
    Error main.deny_port p/a.rego:5:1 E_POLICY port
    Info main.deny_root p/a.rego:3:1 E_POLICY excepted: root
    Info main.violation p/a.rego:4:1 E_POLICY excepted: bare
    ");
    assert!(!ask("exception contains [\"root\"] if input.host == \"web\"").contains("excepted"));
    let wrong = ask("exception contains \"root\"");
    assert!(wrong.contains("not a list of names") && wrong.contains("Error main.deny_root"), "{wrong}");
    let old = "package main\ndeny_a[msg] { msg := \"a\" }\nexception[rules] { rules := [\"a\"] }\n";
    assert_eq!(ask_as(&[("p/a.rego", old)], "[p]", json!({})), "Info main.deny_a p/a.rego:2:1 E_POLICY excepted: a");
}

#[test]
fn a_message_may_say_which_value_it_is_about() {
    for path in ["[\"a\", \"b\"]", "\"a.b\"", "\"/a/b\"", "\"input.a.b\"", "[\"input\", \"a\", \"b\"]"] {
        let rule = main_rule(&format!("deny contains {{\"msg\": \"x\", \"path\": {path}}}"));
        let (policies, mut findings) = load(&[("a.rego", &rule)]);
        let locate = |path: &[String]| (path == ["a", "b"]).then(|| Place::new(&"config.yaml".into(), 7, 3));
        let subject = Subject { locate: &locate, ..subject(json!({})) };
        policies.expect("they are valid").evaluate(subject, &mut findings);
        assert_eq!(lines(&findings), ["config.yaml:7:3 E_POLICY x [`main.deny` says so, at a.rego:3:1]"], "{path}");
        assert_eq!(findings.iter().next().and_then(|it| it.pointer.as_deref()), Some("/a/b"));
    }
}

#[test]
fn tests_of_policies_pass_fail_err_or_are_skipped() {
    let tree = MemoryTree::new([
        ("p/a.rego", "package main\nimport rego.v1\ndeny contains \"root\" if input.user == \"root\"\n"),
        (
            "p/a_test.rego",
            "package main_test\nimport rego.v1\nimport data.main\n\
             test_root_is_denied if count(main.deny) == 1 with input as {\"user\": \"root\"}\n\
             test_others_are_not if { print(\"seen\"); count(main.deny) == 1 with input as {\"user\": \"app\"} }\n\
             test_broken if startswith(1, \"x\")\n\
             todo_test_later if false\n\
             test_data if data.limit == 5 with data.limit as 5\n",
        ),
    ]);
    let run = |policies: &str, run: &str| {
        let mut findings = Findings::new();
        let tested = test(&tree, &specs(policies), run, &mut findings).expect("they can be read");
        assert!(findings.is_empty());
        let line = |it: &Tested| {
            let why = it.finding.as_ref().map(|it| format!(" {}: {}", it.code, it.message)).unwrap_or_default();
            format!("{:?} {} {}{why}{}", it.outcome, it.name, it.place, it.prints.concat())
        };
        tested.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let all = run("[p]", "");
    insta::assert_snapshot!(all, @r"
        Pass main_test.test_root_is_denied p/a_test.rego:4:1
        Fail main_test.test_others_are_not p/a_test.rego:5:1 E_POLICY_TEST: `main_test.test_others_are_not` does not holdp/a_test.rego:5: seen
        Error main_test.test_broken p/a_test.rego:6:1 E_POLICY_INVALID: `startswith` expects string argument. Got `1` instead
        Skipped main_test.todo_test_later p/a_test.rego:7:1
        Pass main_test.test_data p/a_test.rego:8:1
    ");
    assert_eq!(run("[p, {path: p/a.rego, packages: all}]", ""), all, "each is run once");
    assert_eq!(run("[p]", "root_is").lines().count(), 1);
}

#[test]
fn policies_that_are_not_read_are_told_about() {
    let mut tree = MemoryTree::new([
        ("p/README.md", "no policy"),
        ("q/main.rego", "package main\ndeny contains \"x\" if input.y\n"),
    ]);
    tree.insert("q/other.rego", crate::revision::EntryKind::Link, b"../r/other.rego");
    let mut findings = Findings::new();
    assert!(groups(&tree, &specs("[p, q]"), &mut findings).is_none());
    insta::assert_snapshot!(lines(&findings).join("\n"), @r"
    headfast.yaml:4:12 E_POLICY_INVALID there is no policy in `p`: none of its files ends with `.rego`
    q E_POLICY_INVALID `q/other.rego` is not read: it is a symbolic link [put a file there, or name its own path in `policies`]
    ");
    let files = [("p/a.rego", "package main\ndeny contains \"x\"\n")];
    let (_, findings) = read(&files, "[{path: p, packages: [main, web.tsl]}]");
    insta::assert_snapshot!(lines(&findings).join("\n"), @r" E_POLICY_INVALID there is no rule to ask in `package web.tsl`, which the manifest names");
}

#[test]
fn files_of_policies_and_their_data_have_limits() {
    let data: Vec<(String, String)> =
        (0..1_001).map(|idx| (format!("d/{idx}.json"), format!("{{\"a{idx}\": 1}}"))).collect();
    let mut files: Vec<(&str, &str)> = data.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    files.push(("p/a.rego", "package main\ndeny contains \"x\"\n"));
    let (none, findings) = read(&files, "[{path: p, data: [d]}]");
    assert!(none.is_none());
    insta::assert_snapshot!(lines(&findings).join("\n"), @r"headfast.yaml:4:29 E_TOO_MANY_FILES there are more than 1000 files of policies and their data");
}
