//! What is peculiar to each draft, formats, and how much a violation weighs.

use super::*;
use crate::config::testing::{lines, tree};
use serde_json::{Value as Json, json};

const URIS: [(&str, &str); 5] = [
    ("4", "http://json-schema.org/draft-04/schema#"),
    ("6", "http://json-schema.org/draft-06/schema#"),
    ("7", "http://json-schema.org/draft-07/schema#"),
    ("2019-09", "https://json-schema.org/draft/2019-09/schema"),
    ("2020-12", "https://json-schema.org/draft/2020-12/schema"),
];

/// Returns a schema of a draft, and what was found in reading it.
fn read(draft: &str, mut schema: Json) -> (Option<ConfigSchema>, Findings) {
    let uri = URIS.iter().find(|it| it.0 == draft).expect("a draft").1;
    schema["$schema"] = json!(uri);
    let mut findings = Findings::new();
    (ConfigSchema::from_node(tree("s.json", schema), &mut findings), findings)
}

/// Returns whether a schema of a draft accepts each document.
fn judged<const N: usize>(draft: &str, schema: Json, documents: [Json; N]) -> [bool; N] {
    let (found, findings) = read(draft, schema.clone());
    let schema = found.unwrap_or_else(|| panic!("draft {draft} {schema}: {:?}", lines(&findings)));
    documents.map(|it| {
        let mut findings = Findings::new();
        schema.validate(&tree("app.yaml", it), &mut findings);
        findings.is_empty()
    })
}

#[test]
fn m18_draft_4_has_boolean_bounds_and_id() {
    let schema = json!({"properties": {"a": {"maximum": 5, "exclusiveMaximum": true}, "b": {"$ref": "#b"}},
        "definitions": {"b": {"id": "#b", "type": "integer"}}});
    assert_eq!(
        judged("4", schema, [json!({"a": 4}), json!({"a": 5}), json!({"b": 1}), json!({"b": "x"})]),
        [true, false, true, false]
    );
    // `const` came later, and says nothing here.
    assert_eq!(judged("4", json!({"properties": {"a": {"const": 1}}}), [json!({"a": 2})]), [true]);
    assert_eq!(
        judged(
            "4",
            json!({"dependencies": {"a": ["b"], "c": {"required": ["d"]}}}),
            [json!({"a": 1}), json!({"a": 1, "b": 1}), json!({"c": 1})]
        ),
        [false, true, false]
    );
}

#[test]
fn m18_drafts_4_to_7_ignore_what_stands_beside_a_reference() {
    let schema = json!({"definitions": {"port": {"type": "integer", "default": 1}},
        "properties": {"p": {"$ref": "#/definitions/port", "maximum": 5, "type": "string", "default": "x", "title": "a port"}}});
    for draft in ["4", "6", "7"] {
        assert_eq!(judged(draft, schema.clone(), [json!({"p": 9}), json!({"p": "x"})]), [true, false], "{draft}");
        let (found, findings) = read(draft, schema.clone());
        assert_eq!(lines(&findings).len(), 3, "{:?}", lines(&findings));
        assert!(
            lines(&findings)[0]
                .contains("`maximum` counts for nothing beside a `$ref` [put the `$ref` into an `allOf`")
        );
        let found = found.expect("valid");
        assert!(found.types_at(&["p".to_owned()]).has_integer());
        assert_eq!(found.defaults().to_json(), json!({"p": 1}));
    }
    for draft in ["2019-09", "2020-12"] {
        assert_eq!(judged(draft, schema.clone(), [json!({"p": 9}), json!({"p": "x"})]), [false, false], "{draft}");
    }
}

#[test]
fn m18_drafts_6_and_7_add_const_contains_booleans_and_conditions() {
    for draft in ["6", "7", "2019-09", "2020-12"] {
        let schema = json!({"properties": {"a": {"const": 1}, "l": {"contains": {"const": 3}}, "no": false, "n": {"exclusiveMaximum": 5}},
            "propertyNames": {"maxLength": 3}});
        let documents = [
            json!({"a": 1, "l": [3]}),
            json!({"a": 2}),
            json!({"l": [1]}),
            json!({"no": 1}),
            json!({"n": 5}),
            json!({"long": 1}),
        ];
        assert_eq!(judged(draft, schema, documents), [true, false, false, false, false, false], "{draft}");
    }
    let schema = json!({"if": {"properties": {"tls": {"const": true}}, "required": ["tls"]}, "then": {"required": ["cert"]}, "else": {"maxProperties": 1}});
    for draft in ["7", "2019-09", "2020-12"] {
        let documents = [json!({"tls": true}), json!({"tls": true, "cert": 1}), json!({"a": 1, "b": 1})];
        assert_eq!(judged(draft, schema.clone(), documents), [false, true, false], "{draft}");
    }
    assert_eq!(judged("6", schema, [json!({"tls": true})]), [true], "draft 6 has no conditions");
}

#[test]
fn m18_draft_2019_09_adds_dependents_unevaluated_and_recursion() {
    for draft in ["2019-09", "2020-12"] {
        let schema = json!({"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {"required": ["d"]}},
            "allOf": [{"properties": {"a": true, "b": true, "c": true, "d": true, "l": {"contains": {"const": 1}, "minContains": 2, "maxContains": 3}}}],
            "unevaluatedProperties": false});
        let documents = [
            json!({"a": 1}),
            json!({"a": 1, "b": 1}),
            json!({"c": 1}),
            json!({"z": 1}),
            json!({"l": [1, 1]}),
            json!({"l": [1]}),
        ];
        assert_eq!(judged(draft, schema, documents), [false, true, false, false, true, false], "{draft}");
    }
    let tree = json!({"$id": "http://example.org/tree", "$recursiveAnchor": true, "properties": {"leaf": {"type": "integer"}, "next": {"$recursiveRef": "#"}}});
    assert_eq!(
        judged("2019-09", tree, [json!({"next": {"leaf": 1}}), json!({"next": {"next": {"leaf": "x"}}})]),
        [true, false]
    );
    assert_eq!(
        judged(
            "2019-09",
            json!({"items": [{"type": "integer"}], "additionalItems": false}),
            [json!([1]), json!([1, 2])]
        ),
        [true, false]
    );
}

#[test]
fn m18_draft_2020_12_adds_prefix_items_and_dynamic_references() {
    let schema = json!({"properties": {"l": {"prefixItems": [{"type": "integer"}], "items": {"type": "string"}}}});
    assert_eq!(
        judged("2020-12", schema, [json!({"l": [1, "a"]}), json!({"l": ["a"]}), json!({"l": [1, 2]})]),
        [true, false, false]
    );
    let tree = json!({"$id": "http://example.org/tree", "$dynamicAnchor": "node", "properties": {"leaf": {"type": "integer"}, "next": {"$dynamicRef": "#node"}}});
    assert_eq!(
        judged("2020-12", tree, [json!({"next": {"leaf": 1}}), json!({"next": {"next": {"leaf": "x"}}})]),
        [true, false]
    );
}

#[test]
fn m18_every_format_is_asserted() {
    let formats = [
        ("date", "2026-02-28", "2026-02-30"),
        ("date-time", "2026-02-28T10:00:00Z", "2026-02-28 10:00"),
        ("duration", "P1DT2H", "1 day"),
        ("email", "ana@example.org", "ana"),
        ("hostname", "web-1.example.org", "web_1.example.org"),
        ("idn-email", "아나@example.org", "아나"),
        ("idn-hostname", "실례.example.org", "〮example"),
        ("ipv4", "192.0.2.1", "192.0.2.256"),
        ("ipv6", "2001:db8::1", "2001:db8:::1"),
        ("iri", "http://exämple.org/", "exämple"),
        ("iri-reference", "/ä", "\\ä"),
        ("json-pointer", "/a/0", "a/0"),
        ("regex", "^a+$", "a("),
        ("relative-json-pointer", "1/a", "/a"),
        ("time", "10:00:00Z", "25:00:00Z"),
        ("uri", "https://example.org/", "example.org"),
        ("uri-reference", "/a?b", "\\a"),
        ("uri-template", "https://example.org/{id}", "https://example.org/{id"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
    ];
    for (format, good, bad) in formats {
        let schema = json!({"properties": {"a": {"format": format}}});
        assert_eq!(judged("2020-12", schema, [json!({"a": good}), json!({"a": bad})]), [true, false], "{format}");
    }
}

#[test]
fn m18_a_format_that_is_not_checked_is_said() {
    let found = |draft: &str, format: &str| lines(&read(draft, json!({"format": format})).1).join("\n");
    insta::assert_snapshot!(found("7", "uuid"), @r#"s.json:1:2 E_SCHEMA_INVALID the format `uuid` is not checked: draft 7 does not have it [write `"$schema": "https://json-schema.org/draft/2020-12/schema"`]"#);
    insta::assert_snapshot!(found("2020-12", "ip4"), @r#"s.json:1:2 E_SCHEMA_INVALID the format `ip4` is not checked: JSON Schema does not have it [did you mean `ipv4`?]"#);
    insta::assert_snapshot!(found("2020-12", "postcode"), @r#"s.json:1:2 E_SCHEMA_INVALID the format `postcode` is not checked: JSON Schema does not have it [write a `pattern` beside it]"#);
    assert!(read("2020-12", json!({"format": "postcode"})).0.is_some(), "a warning");
}

#[test]
fn e3_references_in_a_circle_are_refused() {
    let circles = [
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
        json!({"$dynamicAnchor": "x", "$dynamicRef": "#x"}),
        json!({"$anchor": "x", "anyOf": [{"type": "integer"}, {"$ref": "#x"}]}),
    ];
    for schema in circles {
        let (found, findings) = read("2020-12", schema.clone());
        assert!(found.is_none() && lines(&findings).iter().any(|it| it.contains(" E_SCHEMA_CYCLE ")), "{schema}");
    }
}

#[test]
fn e6_ten_thousand_alternatives_and_twenty_thousand_items_come_to_an_end() {
    let alternatives: Vec<Json> = (0..10_000).map(|it| json!({"const": it})).collect();
    let schema = json!({"properties": {"a": {"oneOf": alternatives}, "l": {"uniqueItems": true}}});
    let items: Vec<Json> = (0..20_000).map(|it| json!({"id": it, "name": format!("n{it}")})).collect();
    let mut twice = items.clone();
    twice.push(items[0].clone());
    let documents = [json!({"a": 9_999}), json!({"a": -1}), json!({"l": items}), json!({"l": twice})];
    assert_eq!(judged("2020-12", schema, documents), [true, false, true, false]);
    let (found, _) = read("2020-12", json!({"items": {"oneOf": alternatives_of(2_000)}}));
    let mut findings = Findings::new();
    found.expect("valid").validate(&tree("app.yaml", json!(vec![json!({}); 2_000])), &mut findings);
    assert!(lines(&findings)[0].contains(" E_VALIDATE_TIME "), "{:?}", lines(&findings));
}

fn alternatives_of(n: usize) -> Vec<Json> {
    (0..n).map(|it| json!({"required": [format!("k{it}")]})).collect()
}

#[test]
fn m24_a_schema_says_how_much_a_violation_weighs() {
    let schema = json!({
        "$defs": {"port": {"type": "integer", "x-severity": "info"}},
        "required": ["name", "owner"],
        "properties": {
            "workers": {"maximum": 8, "x-severity": "warning"},
            "port": {"$ref": "#/$defs/port"},
            "owner": {"x-severity": "warning"},
            "tls": {"x-severity": "warning", "properties": {"cert": {"type": "string", "x-severity": "error"}, "key": {"type": "string"}}},
        }
    });
    let (found, findings) = read("2020-12", schema);
    assert!(findings.is_empty(), "{:?}", lines(&findings));
    let mut findings = Findings::new();
    let document = json!({"workers": 9, "port": "x", "tls": {"cert": 1, "key": 2}});
    found.expect("valid").validate(&tree("app.yaml", document), &mut findings);
    let weighed: Vec<String> = findings.iter().map(|it| format!("{:?} {}", it.severity, it.message)).collect();
    insta::assert_snapshot!(weighed.join("\n"), @r#"
    Error name: it is required, and no layer sets it
    Warning owner: it is required, and no layer sets it
    Warning workers: 9 is greater than the maximum 8
    Info port: it must be an integer, not the text "x"
    Error tls.cert: it must be text, not 1
    Warning tls.key: it must be text, not 2
    "#);
    assert_eq!(findings.n_errors(), 2);
    let (none, findings) = read("2020-12", json!({"x-severity": "fatal"}));
    assert!(none.is_none());
    insta::assert_snapshot!(lines(&findings).join("\n"), @r#"s.json:1:2 E_SCHEMA_INVALID `x-severity` must be error, warning or info"#);
}

#[test]
fn m24_a_deprecated_key_is_a_warning_with_what_to_do() {
    let schema = json!({
        "$defs": {"old": {"deprecated": true, "description": "Use `listen`."}},
        "properties": {"port": {"$ref": "#/$defs/old"}, "l": {"items": {"properties": {"x": {"deprecated": true}}}}, "listen": {}},
    });
    let (found, _) = read("2020-12", schema);
    let mut findings = Findings::new();
    found.expect("valid").validate(&tree("app.yaml", json!({"port": 1, "l": [{"x": 1}], "listen": 2})), &mut findings);
    assert_eq!(findings.n_errors(), 0);
    insta::assert_snapshot!(lines(&findings).join("\n"), @r#"
    app.yaml:1:1 E_SCHEMA port: this key is deprecated [Use `listen`.]
    app.yaml:3:2 E_SCHEMA l.0.x: this key is deprecated
    "#);
}
