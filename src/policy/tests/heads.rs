//! What OPA answers where heads look something up: what is undefined is passed over, and nothing else is.

use super::*;

/// Returns what the rule `deny` of a policy is, as JSON; what is undefined is `undefined`.
#[track_caller]
pub(super) fn value(text: &str, input: Json) -> String {
    let (policies, findings) = load(&[("a.rego", text)]);
    let policies = policies.unwrap_or_else(|| panic!("{text}\n{}", lines(&findings).join("\n")));
    let mut engine = policies.engine.clone();
    engine.set_input(input.into());
    let answer = evaluate::apart(move || engine.eval_rule("data.main.deny".to_owned()).map_err(|it| it.to_string()));
    match answer.expect("the engine works") {
        Ok(regorus::Value::Undefined) => "undefined".to_owned(),
        Ok(value) => value.to_string(),
        Err(error) => load::problem(&error, &policies.origins).message,
    }
}

/// Returns a policy of today's Rego.
pub(super) fn new(text: &str) -> String {
    format!("package main\nimport rego.v1\n{text}\n")
}

fn old(text: &str) -> String {
    format!("package main\n{text}\n")
}

#[test]
fn an_element_whose_head_is_undefined_is_passed_over_and_no_other() {
    let jobs = json!({"jobs": [{"name": "a", "every": "1s"}, {"name": "b"}, {"name": "c", "every": "2s"}]});
    let none = json!({"jobs": [{"name": "a"}, {"name": "b"}]});
    let first = json!({"jobs": [{}, {"name": "a", "every": "1s"}, {"every": "2s"}]});
    for (text, of_jobs, of_none, of_first) in [
        (
            "deny contains sprintf(\"%s\", [job.every]) if some job in input.jobs",
            r#"["1s","2s"]"#,
            "[]",
            r#"["1s","2s"]"#,
        ),
        ("deny contains job.every if { some job in input.jobs }", r#"["1s","2s"]"#, "[]", r#"["1s","2s"]"#),
        (
            "deny contains {\"msg\": job.name, \"every\": job.every} if some job in input.jobs",
            r#"[{"every":"1s","msg":"a"},{"every":"2s","msg":"c"}]"#,
            "[]",
            r#"[{"every":"1s","msg":"a"}]"#,
        ),
        ("deny contains input.jobs[_].every", r#"["1s","2s"]"#, "[]", r#"["1s","2s"]"#),
        (
            "deny contains sprintf(\"%d %s\", [i, input.jobs[i].every])",
            r#"["0 1s","2 2s"]"#,
            "[]",
            r#"["1 1s","2 2s"]"#,
        ),
        ("deny contains input.jobs[i].every if input.jobs[i].name != \"a\"", r#"["2s"]"#, "[]", "[]"),
        (
            "deny contains job.every if { some job in input.jobs; not job.name == \"c\" }",
            r#"["1s"]"#,
            "[]",
            r#"["1s","2s"]"#,
        ),
        (
            "deny contains job.every if { some job in input.jobs; every c in [\"x\"] { c != job.name } }",
            r#"["1s","2s"]"#,
            "[]",
            r#"["1s"]"#,
        ),
        (
            "deny contains job.every if { some job in input.jobs; is_named with input.name as job.name }\nis_named if input.name",
            r#"["1s","2s"]"#,
            "[]",
            r#"["1s"]"#,
        ),
        (
            "deny contains concat(\"\", [x | x := [job.every, job.name][_]]) if some job in input.jobs",
            r#"["","1sa","2sc"]"#,
            r#"[""]"#,
            r#"["","1sa"]"#,
        ),
        (
            "deny contains job.every if some job in input.jobs\ndeny contains \"other\"",
            r#"["1s","2s","other"]"#,
            r#"["other"]"#,
            r#"["1s","2s","other"]"#,
        ),
        (
            "deny contains limit if some job in input.jobs\nlimit := input.limit\ndeny contains \"other\"",
            r#"["other"]"#,
            r#"["other"]"#,
            r#"["other"]"#,
        ),
        (
            "deny contains job.every if some job in input.jobs # with a comment, {, [ and \"\n# deny",
            r#"["1s","2s"]"#,
            "[]",
            r#"["1s","2s"]"#,
        ),
        ("deny[job.name] := job.every if some job in input.jobs", r#"{"a":"1s","c":"2s"}"#, "{}", r#"{"a":"1s"}"#),
        ("deny[job.every] if some job in input.jobs", r#"{"1s":true,"2s":true}"#, "{}", r#"{"1s":true,"2s":true}"#),
        (
            "deny contains of(job) if some job in input.jobs\nof(job) := job.every if job.name\nelse := \"none\"",
            r#"["1s","2s","none"]"#,
            r#"["none"]"#,
            r#"["1s","none"]"#,
        ),
        (
            "deny contains of(job) if some job in input.jobs\ndefault of(_) := \"none\"\nof(job) := job.every if job.name",
            r#"["1s","2s","none"]"#,
            r#"["none"]"#,
            r#"["1s","none"]"#,
        ),
        ("deny contains x if some x in [y | y := input.jobs[_].every]", r#"["1s","2s"]"#, "[]", r#"["1s","2s"]"#),
        ("deny := [job.every | some job in input.jobs]", r#"["1s","2s"]"#, "[]", r#"["1s","2s"]"#),
        ("deny := {job.every | some job in input.jobs}", r#"["1s","2s"]"#, "[]", r#"["1s","2s"]"#),
        ("deny := {job.name: job.every | some job in input.jobs}", r#"{"a":"1s","c":"2s"}"#, "{}", r#"{"a":"1s"}"#),
        (
            "deny := job.every if { some job in input.jobs; job.name == \"a\" } else := \"none\"",
            r#""1s""#,
            r#""none""#,
            r#""1s""#,
        ),
        (
            "deny := input.limit if input.jobs else := input.jobs[1].every if input.jobs else := input.jobs[0].every",
            r#""1s""#,
            "undefined",
            r#""1s""#,
        ),
    ] {
        let text = new(text);
        let all = [value(&text, jobs.clone()), value(&text, none.clone()), value(&text, first.clone())];
        assert_eq!(all, [of_jobs, of_none, of_first], "{text}");
    }
}

#[test]
fn so_it_is_with_names_of_several_steps() {
    let jobs =
        json!({"jobs": [{"name": "a", "every": "1s"}, {"name": "b"}, {"every": "2s"}, {"name": "c", "every": "3s"}]});
    for (text, expected) in [
        ("all[job.name].x := job.every if some job in input.jobs", r#"{"a":{"x":"1s"},"c":{"x":"3s"}}"#),
        ("all[job.name].x contains job.every if some job in input.jobs", r#"{"a":{"x":["1s"]},"c":{"x":["3s"]}}"#),
        ("all[job.name][job.every] := 1 if some job in input.jobs", r#"{"a":{"1s":1},"c":{"3s":1}}"#),
    ] {
        let text = new(&format!("deny := all\n{text}"));
        assert_eq!(value(&text, jobs.clone()), expected, "{text}");
    }
}

#[test]
fn so_it_is_in_rego_of_before_1_0() {
    let jobs = json!({"jobs": [{"name": "a", "every": "1s"}, {"name": "b"}, {"name": "c", "every": "2s"}]});
    for (text, expected) in [
        ("deny[job.every] { job := input.jobs[_] }", r#"["1s","2s"]"#),
        ("deny[sprintf(\"%s\", [job.every])] { job = input.jobs[_]; job.name != \"a\" }", r#"["2s"]"#),
        (
            "deny[{\"msg\": msg, \"every\": job.every}] {\n  job := input.jobs[_]\n  msg := job.name\n}",
            r#"[{"every":"1s","msg":"a"},{"every":"2s","msg":"c"}]"#,
        ),
        ("deny[job.name] = job.every { job := input.jobs[_] }", r#"{"a":"1s","c":"2s"}"#),
        ("deny[k] = v.every { v := input.jobs[_]; k := v.name }", r#"{"a":"1s","c":"2s"}"#),
        (
            "deny[of(job)] { job := input.jobs[_] }\nof(job) = job.every { job.name }\nelse = \"none\" { true }",
            r#"["1s","2s","none"]"#,
        ),
        (
            "deny[of(job)] { job := input.jobs[_] }\nof(job) = x { x := job.every } else = job.name",
            r#"["1s","2s","b"]"#,
        ),
        // The second body has the value of the first, or its own of the same head.
        ("deny = 5 { input.nothing } { input.jobs }", "5"),
        ("deny = input.jobs[0].every { input.nothing } { input.jobs }", r#""1s""#),
        (
            "deny[x] { x := of(\"c\") }\nof(name) = level { name == \"a\"; level := 1 } { name == \"c\"; level := 3 }",
            "[3]",
        ),
        ("import future.keywords\ndeny contains job.every if some job in input.jobs", r#"["1s","2s"]"#),
        ("import future.keywords.contains\ndeny contains job.every { job := input.jobs[_] }", r#"["1s","2s"]"#),
    ] {
        let text = old(text);
        assert_eq!(value(&text, jobs.clone()), expected, "{text}");
    }
}

#[test]
fn a_head_is_made_after_its_body() {
    // A function that cannot work on its arguments is an error; what the body leaves out it never sees.
    let ports = json!({"ports": [{"kind": "name", "port": "http"}, {"kind": "number", "port": "80"}]});
    for text in [
        "deny contains to_number(b.port) if { some b in input.ports; a := b.kind; a == \"number\" }",
        "deny contains to_number(input.ports[i].port) if { input.ports[i].kind == \"number\" }",
        "deny contains to_number(b.port) if { some b in input.ports\n b.kind == \"number\" }",
    ] {
        assert_eq!(value(&new(text), ports.clone()), "[80]", "{text}");
    }
    let wrong = value(&new("deny contains to_number(b.port) if some b in input.ports"), ports);
    assert_eq!(wrong, "could not parse string as number");
}

#[test]
fn rules_of_all_kinds_deny_what_they_should() {
    let text = new(
        "violation contains {\"msg\": sprintf(\"%s runs\", [j.name]), \"path\": [\"jobs\", i]} if some i, j in input.jobs\n\
         warn contains sprintf(\"%s soon\", [j.every]) if some j in input.jobs\n\
         deny contains \"helped\" if count(names) == 2\n\
         names contains j.name if some j in input.jobs\n\
         deny_excepted contains \"x\"\n\
         exception contains [j.except] if some j in input.jobs",
    );
    let input = json!({"jobs": [{"name": "a"}, {"every": "1s"}, {"name": "c", "except": "excepted"}]});
    insta::assert_snapshot!(ask(&[("a.rego", &text)], input), @r"
    a.rego:5:1 E_POLICY helped
    (warning) a.rego:7:1 E_POLICY excepted: x
    a.rego:3:1 E_POLICY a runs
    a.rego:3:1 E_POLICY c runs
    (warning) a.rego:4:1 E_POLICY 1s soon
    ");
}

#[test]
fn places_are_those_of_the_file() {
    let text = "package main\n\nimport rego.v1\n\ndeny contains sprintf(\"%s %s\", [\n\tjob.name,\n\tto_number(job.every),\n]) if {\n\tsome job in input.jobs\n\tprint(\"here\")\n\tstartswith(job.name, 5)\n}\n\nwarn contains lower(5) if {\n\ttrue }\n";
    let (policies, mut findings) = load(&[("a.rego", text)]);
    policies.expect("they are valid").evaluate(subject(json!({"jobs": [{"name": "a", "every": "x"}]})), &mut findings);
    insta::assert_snapshot!(lines(&findings).join("\n"), @r"
    a.rego:11:23 E_POLICY_INVALID `startswith` expects string argument. Got `5` instead
    a.rego:14:21 E_POLICY_INVALID `lower` expects string argument. Got `5` instead
    ");
    let text = text.replace("startswith(job.name, 5)", "true");
    let (policies, mut findings) = load(&[("a.rego", &text)]);
    policies.expect("they are valid").evaluate(subject(json!({"jobs": [{"name": "ä", "every": "x"}]})), &mut findings);
    insta::assert_snapshot!(lines(&findings).join("\n"), @r"
    a.rego:7:15 E_POLICY_INVALID could not parse string as number
    a.rego:14:21 E_POLICY_INVALID `lower` expects string argument. Got `5` instead
    ");
    insta::assert_snapshot!(faults(&[("a.rego", "package main\n\ndeny contains \"x\" if {\n\t\tinput.ä\n}\n")]), @r"a.rego:4:9 E_POLICY_INVALID invalid character");
}

#[test]
fn heads_are_moved_whatever_the_layout() {
    let text = r#"package main
import rego.v1

# deny contains nothing
deny contains sprintf("%s: {%s} # no comment", [
	job.name, # a comment, with ] and "
	`raw
	"text`,
]) if { # begins
	some job in input.jobs # a } b
	not job.off
	# ends
}

level(x) := x.level # the level
if x.level > 1
else := x.other.level if {
	x.other
} else := "none" # nothing

all[lower(job.name)] := {"a": job.level, "b": [y | y := job.level]} if some job in input.jobs

deny contains l if { some job in input.jobs; l := concat("", [job.name, ":", format_int(level(job), 10)]) }

deny contains input.jobs[i].name
if {
	input.jobs[i].level == 2
}
deny contains "all" if all.b.a == 2
"#;
    let mut module = load(&[("a.rego", text)]).0.expect("it is valid");
    let loaded = module.engine.get_modules()[0].package.span.source.get_contents().clone();
    for line in [
        "level(x) := zzzzzzzzv if { zzzzzzzzv := [(x.level) | x.level > 1][_] } else := zzzzzzzzv if { zzzzzzzzv := [(x.other.level) | ",
        "][_] } else := \"none\" # nothing",
        "deny contains zzzzzzzzk if { zzzzzzzzk := [(sprintf(\"%s: {%s} # no comment\", [",
        "deny contains l if { some job in input.jobs; l := concat(\"\", [job.name, \":\", format_int(level(job), 10)]) }",
    ] {
        assert!(loaded.lines().any(|it| it == line), "{line:?} is not in\n{loaded}");
    }
    let input =
        json!({"jobs": [{"name": "B", "level": 2}, {"name": "c", "other": {"level": 7}}, {"off": true}, {"level": 1}]});
    let expected = value(text, input.clone());
    let lines = [r#"B","B: {raw\n\t\"text} # no comment","B:2","all","#, r#"c: {raw\n\t\"text} # no comment","c:7"]"#];
    assert!(lines.iter().all(|it| expected.contains(it)), "{expected}");
    assert_eq!(value(&text.replace('\n', "\r\n"), input).replace("\\r\\n", "\\n"), expected);
}
