//! What the engine answers where it is known what OPA does: a new version of it must answer the same.

use super::heads::{new, value};

/// Rules, `input`, and what `deny` is.
const CASES: &[(&str, &str, &str)] = &[
    ("deny contains k if input.o[k] == 1", r#"{"o":{"a":1,"b":2,"c":1}}"#, r#"["a","c"]"#),
    ("deny contains i if { input.a[i] == 1; input.b[i] == 2 }", r#"{"a":[1,1,1],"b":[2,3,2]}"#, "[0,2]"),
    ("deny contains k if { input.a[k]; not input.b[k] }", r#"{"a":{"x":1,"y":2},"b":{"x":1}}"#, r#"["y"]"#),
    (
        "deny contains x.n if { x := input.a[_]; y := input.b[_]; x.id == y.id }",
        r#"{"a":[{"id":1,"n":"p"},{"id":2,"n":"q"}],"b":[{"id":2}]}"#,
        r#"["q"]"#,
    ),
    (r#"deny contains "bad" if { some x in input.l; some y in x; y == 9 }"#, r#"{"l":[[1],[2,9],[3]]}"#, r#"["bad"]"#),
    (r#"deny := "bad" if { some x in input.l; some y in x; y == 9 }"#, r#"{"l":[[1],[2,9],[3]]}"#, r#""bad""#),
    (
        "f(x) if { some y in x; y == 9 }\ndeny contains x if { some x in input.l; f(x) }",
        r#"{"l":[[1],[2,9],[3],[9]]}"#,
        "[[2,9],[9]]",
    ),
    (
        "f(x) := true if x > 2\nf(x) := false if x <= 2\ndeny contains x if { some x in input.l; not f(x) }",
        r#"{"l":[1,2,3]}"#,
        "[1,2]",
    ),
    ("deny := [1 | some x in input.l; x > 1]", r#"{"l":[1,2,3]}"#, "[1,1]"),
    (
        "bad if { some x in input.l; x == 1 }\ndeny contains x if { some x in input.l; bad }",
        r#"{"l":[1,2,3]}"#,
        "[1,2,3]",
    ),
    ("bad := true if { input.l[_] == 1 }\ndeny := [x | some x in input.l; bad]", r#"{"l":[1,2,3]}"#, "[1,2,3]"),
    ("bad(_) := true if { input.l[_] == 1 }\ndeny := [x | some x in input.l; bad(x)]", r#"{"l":[1,2,3]}"#, "[1,2,3]"),
    ("deny if { every x in input.l { input.m[_] == x } }", r#"{"l":[1,2],"m":[1,2,3]}"#, "true"),
    ("deny if { every x in input.l { input.m[_] == x } }", r#"{"l":[1,5],"m":[1,2,3]}"#, "undefined"),
    ("deny if { every x in input.l { x == 1 } }", r#"{"l":[]}"#, "true"),
    ("deny if { every x in input.l { x == 1 } }", "{}", "undefined"),
    (r#"deny if { every k, v in input.o { k == "a"; v == 1 } }"#, r#"{"o":{"a":1}}"#, "true"),
    ("deny contains y if { some y in input.m; every x in input.l { x < y } }", r#"{"l":[1,2],"m":[1,2,3]}"#, "[3]"),
    ("deny if not all\nall if { every x in input.l { x.ok } }", r#"{"l":[{"ok":true},{}]}"#, "true"),
    (
        "lib contains \"z\"\nnames := [\"lib\"]\ndeny contains x if { some n in names; data.main[n][x] }",
        "{}",
        r#"["z"]"#,
    ),
    ("r contains \"a\"\nr contains \"b\"\ndeny contains x if data.main.r[x]", "{}", r#"["a","b"]"#),
    ("m[k] := v if some k, v in input.o\ndeny contains k if m[k] > 1", r#"{"o":{"a":1,"b":2}}"#, r#"["b"]"#),
    ("m[k] := v if some k, v in input.o\ndeny if not m[\"zz\"]", r#"{"o":{"a":1}}"#, "true"),
    ("m[k] := v if some k, v in input.o\ndeny contains m[input.k]", r#"{"o":{"a":1},"k":"a"}"#, "[1]"),
    ("ok if input.x == 2\ndeny contains x if { some x in [1,2,3]; ok with input.x as x }", "{}", "[2]"),
    ("ok if input.x == 2\ndeny if { ok with input.x as 2; not ok }", r#"{"x":1}"#, "true"),
    ("v := input.x\ndeny contains v\ndeny contains w if w := v with input.x as 9", r#"{"x":1}"#, "[1,9]"),
    ("f(x) := x\ng(_) := 7\ndeny contains y if y := f(1) with f as g", "{}", "[7]"),
    ("deny contains y if y := count([1]) with count as 5", "{}", "[5]"),
    ("ok if input.x == 2\ndeny if not ok with input.x as 3", r#"{"x":2}"#, "true"),
    ("deny if data.foo.bar == 1 with data.foo.bar as 1", "{}", "true"),
    ("default f(_) := \"d\"\nf(x) := \"one\" if x == 1\ndeny := [f(1), f(2)]", "{}", r#"["one","d"]"#),
    ("f(\"a\") := 1\nf(\"b\") := 2\ndeny := [f(\"a\"), f(\"b\")]", "{}", "[1,2]"),
    ("f([x, \"k\"]) := x\ndeny := f([5, \"k\"])", "{}", "5"),
    ("f(_) := 1\ndeny if not f(input.zz)", "{}", "true"),
    ("f(x) := 1 if x == 1\nelse := 2 if x == 2\nelse := 3\ndeny := [f(1), f(2), f(9)]", "{}", "[1,2,3]"),
    (
        "f(l) := \"hit\" if { some x in l; x == 9 }\nelse := \"miss\"\ndeny := [f([1,9]), f([1])]",
        "{}",
        r#"["hit","miss"]"#,
    ),
    ("f(x) := false if x == 1\nelse := true\ndeny := [f(1), f(2)]", "{}", "[false,true]"),
    (
        r#"deny contains n if { some {"n": n, "k": "x"} in input.l }"#,
        r#"{"l":[{"n":"a","k":"x"},{"n":"b","k":"y"}]}"#,
        r#"["a"]"#,
    ),
    ("deny contains b if { [_, b] := input.p }", r#"{"p":[1,2]}"#, "[2]"),
    ("deny contains b if { [_, b] := input.p }", r#"{"p":[1,2,3]}"#, "[]"),
    (r#"deny contains x if { {"a": x, "b": 2} = input.o }"#, r#"{"o":{"a":1,"b":2}}"#, "[1]"),
    ("deny contains x if { x = y; y = input.a }", r#"{"a":3}"#, "[3]"),
    ("deny contains [i, j] if { input.m[i][j] = 5 }", r#"{"m":[[1,5],[5]]}"#, "[[0,1],[1,0]]"),
    ("deny if input.a == input.b", "{}", "undefined"),
    ("deny if input.a == null", "{}", "undefined"),
    (r#"deny if not "a" in input.nope"#, "{}", "true"),
    (
        r#"deny contains x if { req := {"a","b"}; have := {k | input.labels[k]}; some x in req - have }"#,
        r#"{"labels":{"a":"1"}}"#,
        r#"["b"]"#,
    ),
    (
        r#"deny contains x if { req := {"a","b"}; have := {k | input.labels[k]}; some x in req - have }"#,
        "{}",
        r#"["a","b"]"#,
    ),
    ("deny if sum([x.n | some x in input.l]) > 5", r#"{"l":[{"n":3},{"n":4},{}]}"#, "true"),
    (r#"deny if object.get(input, ["a","b"], "d") == "d""#, r#"{"a":{}}"#, "true"),
    (r#"deny if "k", "x" in input.o"#, r#"{"o":{"k":"x"}}"#, "true"),
    (
        "deny := {n: c | some n in input.ns; c := count([x | some x in input.l; x == n])}",
        r#"{"ns":["a","b"],"l":["a","a","b"]}"#,
        r#"{"a":2,"b":1}"#,
    ),
    ("deny contains n if { n := input.l[i]; n == input.l[j]; i != j }", r#"{"l":["a","b","a"]}"#, r#"["a"]"#),
    ("import data.main.r as rr\nr := {\"x\": 1}\ndeny := rr.x", "{}", "1"),
    ("bad contains x if { some x in input.zz }\ndeny if count(bad) == 0", "{}", "true"),
    ("bad := {x | some x in input.zz}\ndeny if count(bad) == 0", "{}", "true"),
    ("v := 1 if input.a\nv := 1 if input.b\ndeny := v", r#"{"a":1,"b":1}"#, "1"),
    (r#"deny contains "k" if { x := input.f; x == false }"#, r#"{"f":false}"#, r#"["k"]"#),
    (r#"deny contains "k" if { input.f }"#, r#"{"f":false}"#, "[]"),
    (r#"deny contains "k" if { input.f }"#, r#"{"f":0}"#, r#"["k"]"#),
    ("f(x) := x == 1\ndeny contains \"k\" if { f(2) }", "{}", "[]"),
    ("f(x) := x == 1\ndeny contains \"k\" if { not f(2) }", "{}", r#"["k"]"#),
    ("f(x) := {\"a\": x}\ndeny := f(3).a", "{}", "3"),
    ("ok if input.a\nok if input.b\ndeny if not ok", r#"{"b":true}"#, "undefined"),
    (r#"deny contains k if { {"a": 1, "b": 2}[k] == 2 }"#, "{}", r#"["b"]"#),
    ("deny contains x if { x := [y | some y in input.l][_]; x > 1 }", r#"{"l":[1,2]}"#, "[2]"),
    ("deny contains [x, y] if { x := input.l[_]; y := input.l[_]; x < y }", r#"{"l":[1,2]}"#, "[[1,2]]"),
    (
        r#"deny contains c.name if { c := input.spec[_].containers[_]; c.image == "x" }"#,
        r#"{"spec":[{"containers":[{"name":"a","image":"x"}]},{"containers":[{"name":"b","image":"y"},{"name":"c","image":"x"}]},{}]}"#,
        r#"["a","c"]"#,
    ),
    (
        "deny contains n if { n := input.a[i].b[j].n; i == j }",
        r#"{"a":[{"b":[{"n":"p"},{"n":"q"}]},{"b":[{"n":"r"},{"n":"s"}]}]}"#,
        r#"["p","s"]"#,
    ),
    ("deny contains x if { x := input.a[_].b[_] }", r#"{"a":[{"b":5},{"b":[1]},{"c":1},7]}"#, "[1]"),
    ("idx := input.zz\ndeny if not input.l[idx]", r#"{"l":["a","b"]}"#, "true"),
    (r#"deny if not input.l["0"]"#, r#"{"l":["a"]}"#, "true"),
    ("deny if input.x == 9007199254740993", r#"{"x":9007199254740993}"#, "true"),
    ("deny if input.p < 1024", r#"{"p":"80"}"#, "undefined"),
    ("deny if not is_null(input.x)", "{}", "true"),
];

#[test]
fn the_engine_answers_as_opa_does() {
    for (text, input, expected) in CASES {
        let input = serde_json::from_str(input).unwrap();
        assert_eq!(value(&new(text), input), *expected, "{text}");
    }
}
