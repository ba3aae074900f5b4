//! What a policy may call, and what must not be undefined in silence.

use super::*;

#[track_caller]
fn says(condition: &str) -> String {
    ask(
        &[("a.rego", &main_rule(&format!("deny contains \"it holds\" if {{ {condition} }}")))],
        json!({"ip": "10.1.2.3"}),
    )
}

#[test]
fn functions_that_there_are_not_are_refused_before_anything_is_asked() {
    let text = "import data.lib\ndeny contains \"x\" if {\n\tinput.never\n\tstartwith(input.name, \"x\")\n\tlib.nope(1)\n\tlib.there(1)\n}\nf(x) := http.send(x)\n";
    insta::assert_snapshot!(faults(&[("a.rego", &main_rule(text)), ("lib.rego", "package lib\nthere(_) := 1\n")]), @r"
    a.rego:6:2 E_POLICY_INVALID there is no function `startwith` [did you mean `startswith`?]
    a.rego:7:2 E_POLICY_INVALID there is no function `lib.nope`
    a.rego:10:9 E_POLICY_INVALID there is no function `http.send`
    ");
    let text = "import data.lib as l\nimport data.lib.there\ndeny contains \"x\" if {\n\tl.there(1)\n\tthere(1)\n\tdata.lib.there(1)\n\td(1)\n}\ndefault d(_) := 1\n";
    let told = ask(&[("a.rego", &main_rule(text)), ("lib.rego", "package lib\nthere(_) := 1\n")], json!({}));
    assert_eq!(told, "a.rego:5:1 E_POLICY x");
}

#[test]
fn what_functions_cannot_work_on_is_an_error_and_not_undefined() {
    for call in [
        "units.parse_bytes(\"10XB\")",
        "units.parse(\"10 mm\")",
        "regex.replace(\"a\", \"(\", \"b\")",
        "json.patch({}, [{\"op\": \"remove\", \"path\": \"/nothing\"}])",
        "array.slice([1], 0.5, 1)",
        "to_number(\"x\")",
        "json.unmarshal(\"{\")",
        "regex.match(\"(\", \"a\")",
        "semver.compare(\"x\", \"1.0.0\")",
        "time.parse_rfc3339_ns(\"x\")",
        "net.cidr_contains(\"10.0.0.0\", \"10.0.0.1\")",
        "net.cidr_contains(\"10.0.0.0/33\", \"10.0.0.1\")",
        "net.cidr_contains(\"10.0.0.0/08\", \"10.0.0.1\")",
        "net.cidr_contains(\"10.0.0.0/8\", \"10.0.0.256\")",
        "net.cidr_contains(\"10.0.0.0/8\", 5)",
        "net.cidr_intersects(\"10.0.0.0/8\", \"10.0.0.1\")",
        "net.cidr_expand(\"10.0.0.0/8\")",
        "net.cidr_contains_matches([\"x\"], [\"10.0.0.1\"])",
    ] {
        for condition in [call.to_owned(), format!("not {call}"), format!("count([x | x := {call}]) == 0")] {
            let told = says(&condition);
            assert!(told.contains("E_POLICY_INVALID") && told.lines().count() == 1, "{condition}: {told}");
        }
    }
}

#[test]
fn networks_and_addresses_are_known() {
    let holds = "a.rego:3:1 E_POLICY it holds";
    for condition in [
        "net.cidr_contains(\"10.0.0.0/8\", input.ip)",
        "net.cidr_contains(\"10.0.0.0/8\", \"10.5.0.0/16\")",
        "not net.cidr_contains(\"10.5.0.0/16\", \"10.0.0.0/8\")",
        "not net.cidr_contains(\"10.0.0.0/8\", \"11.0.0.1\")",
        "net.cidr_contains(\"0.0.0.0/0\", \"255.255.255.255\")",
        "net.cidr_contains(\"::/0\", \"fe80::1\")",
        "not net.cidr_contains(\"::/0\", \"10.0.0.1\")",
        "net.cidr_contains(\"2001:db8::/32\", \"2001:db8:1::/48\")",
        "net.cidr_contains(\"10.1.2.3/24\", \"10.1.2.255\")",
        "net.cidr_intersects(\"10.0.0.0/8\", \"10.5.0.0/16\")",
        "not net.cidr_intersects(\"10.0.0.0/16\", \"10.5.0.0/16\")",
        "net.cidr_expand(\"10.0.0.4/30\") == {\"10.0.0.4\", \"10.0.0.5\", \"10.0.0.6\", \"10.0.0.7\"}",
        "net.cidr_expand(\"::1/127\") == {\"::\", \"::1\"}",
        "net.cidr_contains_matches([\"10.0.0.0/8\", \"::/0\"], {\"a\": \"10.0.0.1\", \"b\": \"::1\"}) == {[0, \"a\"], [1, \"b\"]}",
        "net.cidr_contains_matches(\"10.0.0.0/8\", {[\"10.0.0.1\", \"x\"]}) == {[\"10.0.0.0/8\", [\"10.0.0.1\", \"x\"]]}",
        "not net.cidr_is_valid(\"10.0.0.0/33\")",
        "net.cidr_is_valid(\"10.0.0.0/32\")",
        "units.parse_bytes(\"10KiB\") == 10240",
        "walk(input, [path, \"10.1.2.3\"]); path == [\"ip\"]",
        "json.patch({\"a\": 1}, [{\"op\": \"remove\", \"path\": \"/a\"}]) == {}",
        "base64url.encode(\"??\") == \"Pz8=\"",
    ] {
        assert_eq!(says(condition), holds, "{condition}");
    }
}

#[test]
fn a_value_that_is_not_there_is_in_nothing() {
    insta::assert_snapshot!(faults(&[("a.rego", &main_rule("ok if \"mode\", input.mode in input.modes\ndeny contains \"x\" if not ok"))]), @r"a.rego:3:7 E_POLICY_INVALID this holds in the engine when neither the value nor the key is there [write `collection[key] == value`]");
}

#[test]
fn rules_whose_names_are_nearly_asked_are_pointed_out() {
    let text = "dney contains \"a\" if true\nDeny contains \"b\" if true\nwarn_x contains y if some y in want\nwant := [\"c\"]\nvoilation_root contains \"d\" if true\n";
    insta::assert_snapshot!(ask(&[("a.rego", &main_rule(text))], json!({})), @r"
    (warning) a.rego:3:1 E_POLICY_INVALID `dney` is never asked, and nothing uses it [did you mean `deny`?]
    (warning) a.rego:4:1 E_POLICY_INVALID `Deny` is never asked, and nothing uses it [did you mean `deny`?]
    (warning) a.rego:7:1 E_POLICY_INVALID `voilation_root` is never asked, and nothing uses it [did you mean `violation`?]
    (warning) a.rego:5:1 E_POLICY c
    ");
}

#[test]
fn computed_terms_of_comprehensions_get_a_hint() {
    for text in [
        "deny := [x * 2 | some x in [1]]",
        "deny := [to_number(x) * 2 | x := [1][_]]",
        "deny := {x + 1 | some x in [1]}",
    ] {
        let found = faults(&[("a.rego", &main_rule(text))]);
        assert!(found.contains("needs parentheses: `[(a * b) | some …]`"), "{text}: {found}");
    }
    let text = "deny contains \"x\" if [(to_number(x) * 2) | some x in [\"1\"]] == [2]";
    assert_eq!(ask(&[("a.rego", &main_rule(text))], json!({})), "a.rego:3:1 E_POLICY x");
}

#[test]
fn an_object_that_is_meant_to_be_a_set_gets_a_hint() {
    let text = "import rego.v1\ndeny[msg] if { input.x; msg := \"x\" }";
    insta::assert_snapshot!(ask(&[("a.rego", &main_rule(text))], json!({})), @r"a.rego:4:1 E_POLICY_INVALID `deny` gives something that is not a message [give texts, or objects with a text in `msg`; `deny[msg] if …` is `deny contains msg if …` today]");
}

#[test]
fn a_function_that_is_named_like_a_rule_is_an_error_when_nothing_calls_it() {
    insta::assert_snapshot!(faults(&[("a.rego", &main_rule("deny(x) := \"x\" if x.y"))]), @r"a.rego:3:1 E_POLICY_INVALID `deny` is a function: it is never asked, and nothing calls it [write `deny contains msg if { … }`, with `input` for the argument]");
    let helper = "deny_with(x) := sprintf(\"no %s\", [x])\ndeny contains deny_with(\"root\")";
    assert_eq!(ask(&[("a.rego", &main_rule(helper))], json!({})), "a.rego:4:1 E_POLICY no root");
}

#[test]
fn names_of_before_1_0_are_known() {
    assert_eq!(
        says(
            "re_match(\"^10\", input.ip); net.cidr_overlap(\"10.0.0.0/8\", input.ip); all([]); any([false, true]); not all({1, true})"
        ),
        "a.rego:3:1 E_POLICY it holds"
    );
}

#[test]
fn calls_with_too_few_or_too_many_arguments_are_refused() {
    let text = "deny contains \"x\" if {\n\tstartswith(input.a)\n\tcount(1, 2, 3)\n\tnet.cidr_is_valid(1, 2)\n\tf(1)\n\tf(1, 2, 3, 4)\n\td()\n\
                \tcount(input.a, 5)\n\tf(1, 2, 3)\n\tprint(1, 2, 3)\n\td(1)\n}\nf(x, y) := x + y\ndefault d(_) := 1\n";
    insta::assert_snapshot!(faults(&[("a.rego", &main_rule(text))]), @r"
    a.rego:4:2 E_POLICY_INVALID `startswith` takes 2 arguments, not 1
    a.rego:5:2 E_POLICY_INVALID `count` takes 1 argument, not 3
    a.rego:6:2 E_POLICY_INVALID `net.cidr_is_valid` takes 1 argument, not 2
    a.rego:7:2 E_POLICY_INVALID `f` takes 2 arguments, not 1
    a.rego:8:2 E_POLICY_INVALID `f` takes 2 arguments, not 4
    a.rego:9:2 E_POLICY_INVALID `d` takes 1 argument, not 0
    ");
}

#[test]
fn walk_is_a_statement_or_refused() {
    for text in [
        "[p, v] := walk(input); v == \"bad\"",
        "[p, v] = walk(input)[_]; v == \"bad\"",
        "some x in walk(input); x[1] == \"bad\"",
        "count([x | x := walk(input)]) > 0",
        "walk(input)[1] == \"bad\"",
        "p := []; not walk(input, [p, \"bad\"])",
    ] {
        let found = faults(&[("a.rego", &main_rule(&format!("deny contains \"x\" if {{ {text} }}")))]);
        assert!(found.contains("`walk` goes through a value only as a statement of its own"), "{text}: {found}");
    }
    let input = json!({"a": {"x": "bad"}, "b": ["bad"]});
    for (text, expected) in [
        ("deny contains concat(\"/\", [format_int(count(p), 10), v]) if { walk(input, [p, v]); v == \"bad\" }", 1),
        ("deny contains json.marshal(p) if { walk(input, [p, \"bad\"]) }", 2),
        ("deny contains \"x\" if count([p | walk(input, [p, \"bad\"])]) == 2", 1),
        ("deny contains \"x\" if { bad(input.b); not bad(input.a.c) }\nbad(x) if walk(x, [_, \"bad\"])", 1),
    ] {
        assert_eq!(ask(&[("a.rego", &main_rule(text))], input.clone()).lines().count(), expected, "{text}");
    }
}

#[test]
fn what_is_negated_goes_through_nothing() {
    for text in [
        "deny contains \"x\" if not input.tls[_].enabled",
        "deny contains \"x\" if not input.tls[i].enabled",
        "deny contains \"x\" if { some i; not input.tls[i].enabled }",
        "deny contains \"x\" if not startswith(input.l[_], \"a\")",
        "deny contains \"x\" if not input.l[_] == \"z\"",
        "deny contains \"x\" if { every x in input.l { not x.p[_] == 7 } }",
        "deny contains \"x\" if { count([y | some y in input.l; not y.p[_]]) > 0 }",
        "ok if input.x\nelse := 1 if not input.l[_]\ndeny contains \"x\" if ok",
    ] {
        let found = faults(&[("a.rego", &main_rule(text))]);
        let expected =
            "which nothing else in the body sets [give it a name: `not any_ok`, and `any_ok if input.jobs[_].ok`]";
        assert!(found.contains(expected) && found.lines().count() == 1, "{text}: {found}");
    }
    let files = [
        (
            "a.rego",
            "package main\nimport rego.v1\nimport data.lib\nimport data.lib.names as n\n\
             deny contains \"a\" if { some i; input.l[i].a; not input.m[i].ok }\n\
             deny contains \"b\" if { some i, _ in input.l; not input.m[i].ok }\n\
             deny contains \"c\" if { every x in input.l { not x.b; not bad[x.a] } }\n\
             deny contains \"d\" if not any_ok\n\
             deny contains \"e\" if { not n.x; not lib.names.x; not data.lib.names.x; not deep.rule }\n\
             deny contains \"f\" if { not count([x | x := input.l[_].b]) > 0; not is(5) }\n\
             any_ok if input.m[_].ok\n\
             bad contains 7\n\
             deep.rule if input.nothing\n\
             is(x) if not x == 5\n",
        ),
        ("b.rego", "package lib\nimport rego.v1\nnames.y := 1\n"),
    ];
    let told = ask(&files, json!({"l": [{"a": 1}], "m": [{}]}));
    let messages: Vec<&str> = told.lines().filter_map(|it| it.split("E_POLICY ").nth(1)?.split(' ').next()).collect();
    assert_eq!(messages, ["a", "b", "c", "d", "e", "f"]);
}
