use super::*;
use crate::config::testing::{lines, secret_at, tree};
use serde_json::{Value as Json, json};

fn schema(json: Json) -> ConfigSchema {
    let mut findings = Findings::new();
    let schema = ConfigSchema::from_node(tree("schema.json", json), &mut findings);
    assert_eq!(lines(&findings), [""; 0]);
    schema.expect("a valid schema")
}

/// Returns what is wrong with a schema.
fn faults(json: Json) -> String {
    let mut findings = Findings::new();
    let schema = ConfigSchema::from_node(tree("schema.json", json), &mut findings);
    assert!(schema.is_none(), "the schema is accepted");
    lines(&findings).join("\n")
}

/// Returns what a schema finds wrong with a document.
fn violations(schema_json: Json, json: Json) -> String {
    let mut findings = Findings::new();
    schema(schema_json).validate(&tree("app.yaml", json), &mut findings);
    lines(&findings).join("\n")
}

fn accepted(schema: Json, json: Json) {
    assert_eq!(violations(schema, json), "");
}

#[test]
fn m19_e7_a_broken_schema_is_reported_at_its_places_all_at_once() {
    insta::assert_snapshot!(
        faults(json!({"properties": {"port": {"type": "intger", "minimum": "x"}}, "required": "port", "aditionalProperties": false})),
        @r#"
        schema.json:3:4 E_SCHEMA_INVALID properties.port.type: "intger" fits none of the 2 alternatives of the schema [the nearest alternative says: properties.port.type: "intger" is not one of "array", "boolean", "integer", "null", "number", "object", "string"; did you mean "integer"?]
        schema.json:4:4 E_SCHEMA_INVALID properties.port.minimum: it must be a number, not the text "x"
        schema.json:5:2 E_SCHEMA_INVALID required: it must be a list, not the text "port"
        schema.json:6:1 E_SCHEMA_INVALID `aditionalProperties` is not a keyword of JSON Schema [did you mean `additionalProperties`?]
        "#
    );
    insta::assert_snapshot!(faults(json!(5)), @r"schema.json E_SCHEMA_INVALID a schema must be a map, not a number");
    insta::assert_snapshot!(faults(json!({"$schema": "http://example.org/mine"})), @r"schema.json:1:2 E_SCHEMA_INVALID $schema: this dialect of JSON Schema is not known [write https://json-schema.org/draft/2020-12/schema]");
}

#[test]
fn e7_a_slip_in_a_keyword_is_an_error_and_an_annotation_is_not() {
    insta::assert_snapshot!(faults(json!({"propertis": {}, "minlength": 3})), @r"
    schema.json:1:1 E_SCHEMA_INVALID `propertis` is not a keyword of JSON Schema [did you mean `properties`?]
    schema.json:2:1 E_SCHEMA_INVALID `minlength` is not a keyword of JSON Schema [did you mean `minLength`?]
    ");
    schema(
        json!({"markdownDescription": "x", "x-order": 1, "example": 5, "group": 1, "properties": {"propertis": {}}}),
    );
}

#[test]
fn e1_e2_references_to_other_documents_are_refused_where_they_stand() {
    insta::assert_snapshot!(
        faults(json!({
            "properties": {
                "a": {"$ref": "http://example.org/schema"},
                "b": {"$ref": "file:///etc/shadow"},
                "c": {"$ref": "../../x"},
                "d": {"$ref": "\\\\host\\x"},
                "e": {"$ref": "#/$defs/nope"},
                "f": {"$ref": "other.json#/x"},
            },
            "x-hidden": {"$ref": "http://example.org/not-a-schema"},
            "default": {"$ref": "http://example.org/just-data"},
        })),
        @r"
        schema.json:3:4 E_REF_REMOTE `http://example.org/schema` is another document [copy the definition into `$defs` and write `#/$defs/NAME`]
        schema.json:5:4 E_REF_REMOTE `file:///etc/shadow` is another document [copy the definition into `$defs` and write `#/$defs/NAME`]
        schema.json:7:4 E_REF_REMOTE `../../x` is another document [copy the definition into `$defs` and write `#/$defs/NAME`]
        schema.json:9:4 E_REF_REMOTE `\\host\x` is another document [copy the definition into `$defs` and write `#/$defs/NAME`]
        schema.json:11:4 E_SCHEMA_INVALID `#/$defs/nope` points to nothing in this schema
        schema.json:13:4 E_REF_REMOTE `other.json#/x` is another document [copy the definition into `$defs` and write `#/$defs/NAME`]
        "
    );
}

#[test]
fn e1_a_reference_that_hides_in_an_unknown_keyword_is_refused_too() {
    insta::assert_snapshot!(faults(json!({"$ref": "#/x-defs/a", "x-defs": {"a": {"$ref": "http://example.org/y"}}})), @r"schema.json E_REF_REMOTE `http://example.org/y` is another document [copy the definition into `$defs` and write `#/$defs/NAME`]");
}

#[test]
fn references_within_the_document_work() {
    let json = json!({
        "$id": "http://example.org/root",
        "$defs": {
            "port": {"type": "integer"},
            "a/b": {"type": "string"},
            "anchored": {"$anchor": "here", "type": "boolean"},
            "embedded": {"$id": "sub", "type": "null"},
        },
        "properties": {
            "p": {"$ref": "#/$defs/port"}, "q": {"$ref": "#/$defs/a~1b"}, "r": {"$ref": "#here"}, "s": {"$ref": "sub"},
            "t": {"$ref": "#/$defs/a%7E1b"}, "u": {"$ref": "http://example.org/sub"},
        },
    });
    insta::assert_snapshot!(violations(json, json!({"p": "x", "q": 1, "r": 1, "s": 1, "t": 1, "u": 1})), @r#"
    app.yaml:1:2 E_SCHEMA p: it must be an integer, not the text "x"
    app.yaml:2:2 E_SCHEMA q: it must be text, not 1 [write it in quotes: "1"]
    app.yaml:3:2 E_SCHEMA r: it must be true or false, not 1
    app.yaml:4:2 E_SCHEMA s: it must be null, not 1
    app.yaml:5:2 E_SCHEMA t: it must be text, not 1 [write it in quotes: "1"]
    app.yaml:6:2 E_SCHEMA u: it must be null, not 1
    "#);
}

#[test]
fn a_schema_embedded_under_its_own_id_has_its_own_definitions() {
    let embedded = json!({"$id": "http://example.org/port", "$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}});
    let json = json!({
        "$id": "http://example.org/root",
        "properties": {"port": {"$ref": "port"}},
        "$defs": {"port": embedded},
    });
    assert_eq!(schema(json.clone()).types_at(&["port".to_owned()]).describe(), "an integer");
    insta::assert_snapshot!(violations(json, json!({"port": "x"})), @r#"app.yaml:1:2 E_SCHEMA port: it must be an integer, not the text "x""#);
}

#[test]
fn e3_cycles_are_refused_and_recursion_is_not() {
    insta::assert_snapshot!(faults(json!({"$ref": "#"})), @r#"schema.json E_SCHEMA_CYCLE the schema refers to itself without going deeper into the value"#);
    insta::assert_snapshot!(
        faults(json!({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}})),
        @r#"schema.json:2:3 E_SCHEMA_CYCLE the schema refers to itself without going deeper into the value"#
    );
    let tree_schema = json!({"type": "object", "properties": {"child": {"$ref": "#"}}});
    insta::assert_snapshot!(violations(tree_schema, json!({"child": {"child": {"child": 5}}})), @r"app.yaml:3:4 E_SCHEMA child.child.child: it must be a map, not 5");
}

#[test]
fn e3_long_rows_of_references_are_bounded() {
    let to = |idx: usize| json!({"$ref": format!("#/$defs/a{idx}")});
    let row: serde_json::Map<_, _> = (0..1_000).map(|idx| (format!("a{idx}"), to((idx + 1) % 1_000))).collect();
    assert!(faults(json!({"$defs": row})).contains("too many references"));
    let mut deep: serde_json::Map<_, _> =
        (0..1_000).map(|idx| (format!("a{idx}"), json!({"properties": {"x": to(idx + 1)}}))).collect();
    deep.insert("a1000".into(), json!({}));
    schema(json!({"$defs": deep, "$ref": "#/$defs/a0"}));
    let many: Vec<Json> = (0..10_001).map(|_| to(0)).collect();
    insta::assert_snapshot!(faults(json!({"allOf": many})), @r"schema.json E_SCHEMA_INVALID the schema holds more than 10000 references");
}

#[test]
fn e4_e5_patterns_that_are_not_linear_or_too_large_are_refused() {
    insta::assert_snapshot!(
        faults(json!({"properties": {
            "look": {"pattern": "^(?!x)"},
            "back": {"pattern": "(a)\\1"},
            "huge": {"pattern": "(?:a{1000}){1000}"},
            "bad": {"pattern": "["},
            "keys": {"patternProperties": {"(?<=a)b": {}}},
        }})),
        @r"
        schema.json:3:4 E_PATTERN the pattern `^(?!x)` cannot be used: look-around, including look-ahead and look-behind, is not supported [patterns run in linear time, so look-around and back-references are not available; keep repetitions small]
        schema.json:5:4 E_PATTERN the pattern `(a)\1` cannot be used: backreferences are not supported [patterns run in linear time, so look-around and back-references are not available; keep repetitions small]
        schema.json:7:4 E_PATTERN the pattern `(?:a{1000}){1000}` cannot be used: it is too large [patterns run in linear time, so look-around and back-references are not available; keep repetitions small]
        schema.json:9:4 E_PATTERN the pattern `[` cannot be used: unclosed character class [patterns run in linear time, so look-around and back-references are not available; keep repetitions small]
        schema.json:12:4 E_PATTERN the pattern `(?<=a)b` cannot be used: look-around, including look-ahead and look-behind, is not supported [patterns run in linear time, so look-around and back-references are not available; keep repetitions small]
        "
    );
    let nested = json!({"properties": {"a": {"pattern": "(a+)+$"}}});
    assert!(violations(nested, json!({"a": format!("{}b", "a".repeat(50))})).contains("does not match"));
}

#[test]
fn e6_a_validation_that_would_take_too_long_is_not_started() {
    let twice =
        |idx: usize| json!({"allOf": [{"$ref": format!("#/$defs/a{idx}")}, {"$ref": format!("#/$defs/a{idx}")}]});
    let mut defs: serde_json::Map<_, _> = (0..40).map(|idx| (format!("a{idx}"), twice(idx + 1))).collect();
    defs.insert("a40".into(), json!({"type": "string"}));
    insta::assert_snapshot!(violations(json!({"$defs": defs, "$ref": "#/$defs/a0"}), json!({"k": 1})), @r#"schema.json E_VALIDATE_TIME the configuration cannot be validated: it would take too many steps [simplify nested `allOf`, `anyOf` and `$ref`]"#);
}

#[test]
fn e6_many_violations_are_cut() {
    let items: Vec<Json> = (0..5_000).map(|_| json!("x")).collect();
    let found = violations(json!({"properties": {"l": {"items": {"type": "integer"}}}}), json!({ "l": items }));
    assert_eq!(found.lines().count(), MAX_VIOLATIONS + 1);
    assert!(found.contains("more than 1000 violations"));
}

#[test]
fn m18_x07_every_violation_is_reported_at_its_place_with_a_hint() {
    let json = json!({
        "type": "object",
        "required": ["name", "server"],
        "additionalProperties": false,
        "properties": {
            "name": {"type": "string", "minLength": 3, "pattern": "^[a-z]+$"},
            "server": {
                "type": "object",
                "required": ["host"],
                "properties": {
                    "host": {"type": "string"},
                    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                    "tls": {"type": "boolean"},
                    "names": {"type": "array", "items": {"type": "string"}, "uniqueItems": true},
                },
            },
            "level": {"enum": ["debug", "info", "warning"]},
            "mail": {"type": "string", "format": "email"},
        },
    });
    insta::assert_snapshot!(
        violations(json, json!({
            "name": "A!",
            "server": {"hots": "x", "port": 99999, "tls": "yes", "names": ["a", "a", 5]},
            "level": "wraning",
            "mail": "nobody",
            "sever": {},
        })),
        @r#"
        app.yaml:1:2 E_SCHEMA name: "A!" does not match the pattern `^[a-z]+$`
        app.yaml:1:2 E_SCHEMA name: it must have at least 3 characters
        app.yaml:2:2 E_SCHEMA server.host: it is required, and no layer sets it [`hots` is there; did you mean `host`?]
        app.yaml:4:3 E_SCHEMA server.port: 99999 is greater than the maximum 65535
        app.yaml:5:3 E_SCHEMA server.tls: it must be true or false, not the text "yes" [write `true` or `false`]
        app.yaml:6:3 E_SCHEMA server.names.2: it must be text, not 5 [write it in quotes: "5"]
        app.yaml:6:3 E_SCHEMA server.names: two of its items are equal
        app.yaml:7:2 E_SCHEMA level: "wraning" is not one of "debug", "info", "warning" [did you mean "warning"?]
        app.yaml:8:2 E_SCHEMA mail: "nobody" is not a valid email
        app.yaml:9:1 E_SCHEMA sever: this key is not in the schema [the schema knows `name`, `server`, `level`, `mail`]
        "#
    );
}

#[test]
fn m18_types_teach_how_to_write_them() {
    let types = json!({"properties": {
        "int": {"type": "integer"}, "text": {"type": "string"}, "bool": {"type": "boolean"}, "list": {"type": "array"},
        "map": {"type": "object"}, "either": {"type": ["integer", "null"]}, "number": {"type": "number"},
    }});
    insta::assert_snapshot!(
        violations(types, json!({
            "int": "8080", "text": 8080, "bool": "on", "list": "a", "map": [1], "either": 1.5, "number": null,
        })),
        @r#"
        app.yaml:1:2 E_SCHEMA int: it must be an integer, not the text "8080" [write 8080 without quotes]
        app.yaml:2:2 E_SCHEMA text: it must be text, not 8080 [write it in quotes: "8080"]
        app.yaml:3:2 E_SCHEMA bool: it must be true or false, not the text "on" [write `true` or `false`]
        app.yaml:4:2 E_SCHEMA list: it must be a list, not the text "a"
        app.yaml:5:2 E_SCHEMA map: it must be a map, not a list
        app.yaml:6:2 E_SCHEMA either: it must be an integer or null, not 1.5
        app.yaml:7:2 E_SCHEMA number: it must be a number, not null [give it a value, or leave the key out]
        "#
    );
}

#[test]
fn m18_the_other_keywords_read_well() {
    let json = json!({"properties": {
        "const": {"const": 5}, "multiple": {"multipleOf": 5}, "more": {"exclusiveMinimum": 5}, "less": {"exclusiveMaximum": 5},
        "least": {"minItems": 2}, "most": {"maxItems": 1}, "keys": {"propertyNames": {"pattern": "^[a-z]+$"}},
        "few": {"minProperties": 1}, "not": {"not": {"type": "string"}}, "never": false,
        "has": {"contains": {"const": 1}}, "many": {"maxProperties": 1},
        "one": {"oneOf": [{"type": "integer"}, {"minimum": 0}]}, "pair": {"dependentRequired": {"a": ["b"]}},
        "any": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["cert"], "properties": {"cert": {"type": "string"}}}]},
        "unevaluated": {"properties": {"a": {}}, "unevaluatedProperties": false},
    }});
    insta::assert_snapshot!(
        violations(json, json!({
            "const": 4, "multiple": 4, "more": 5, "less": 5, "least": [1], "most": [1, 2], "keys": {"A": 1}, "few": {},
            "not": "x", "never": 1, "has": [2], "many": {"a": 1, "b": 2}, "one": 1, "pair": {"a": 1},
            "any": {"cert": 5}, "unevaluated": {"b": 1},
        })),
        @r#"
        app.yaml:1:2 E_SCHEMA const: 4 is not 5
        app.yaml:2:2 E_SCHEMA multiple: 4 is not a multiple of 5
        app.yaml:3:2 E_SCHEMA more: 5 is not greater than 5
        app.yaml:4:2 E_SCHEMA less: 5 is not less than 5
        app.yaml:5:2 E_SCHEMA least: it must have at least 2 items
        app.yaml:6:2 E_SCHEMA most: it must have at most 1 item
        app.yaml:8:2 E_SCHEMA keys.A: the key "A" does not match the pattern `^[a-z]+$`
        app.yaml:9:2 E_SCHEMA few: it must have at least 1 key
        app.yaml:10:2 E_SCHEMA not: "x" is what the schema excludes
        app.yaml:11:2 E_SCHEMA never: the schema allows nothing here
        app.yaml:12:2 E_SCHEMA has: it has too few or too many items of the kind that the schema wants
        app.yaml:13:2 E_SCHEMA many: it must have at most 1 key
        app.yaml:16:2 E_SCHEMA one: 1 fits more than one of the schema's alternatives
        app.yaml:17:2 E_SCHEMA pair.b: it is required, and no layer sets it
        app.yaml:19:2 E_SCHEMA any: a map of 1 key fits none of the 2 alternatives of the schema [the nearest alternative says: any.cert: it must be text, not 5; write it in quotes: "5"]
        app.yaml:22:2 E_SCHEMA unevaluated.b: this key is not in the schema [the schema knows `a`]
        "#
    );
}

#[test]
fn e8_secret_values_are_never_quoted() {
    let json = json!({"properties": {"p": {"properties": {
        "a": {"type": "integer"}, "b": {"enum": ["hunter1"]}, "c": {"pattern": "^x$"}, "d": {"const": "y"}, "e": {"maximum": 5},
        "f": {"anyOf": [{"type": "integer"}, {"maxLength": 3}]}, "g": {"format": "email"}, "h": {"not": {"type": "string"}},
    }}}});
    let document = tree(
        "app.yaml",
        json!({"p": {
            "a": "hunter2", "b": "hunter2", "c": "hunter2", "d": "hunter2", "e": 271828, "f": "hunter2", "g": "hunter2", "h": "hunter2",
        }}),
    );
    let document = "abcdefgh".chars().fold(document, |it, key| secret_at(it, &format!("p.{key}")));
    let mut findings = Findings::new();
    schema(json).validate(&document, &mut findings);
    let text = lines(&findings).join("\n");
    assert!(!text.contains("hunter2") && !text.contains("271828"), "{text}");
    assert_eq!(findings.iter().count(), 8, "{text}");
    assert!(text.contains("p.c: <redacted> does not match the pattern"), "{text}");
}

#[test]
fn x07_findings_carry_json_pointers() {
    let mut findings = Findings::new();
    let document = tree("app.yaml", json!({"a/b": {"~": ["x"]}}));
    schema(json!({"additionalProperties": {"additionalProperties": {"items": {"type": "null"}}}}))
        .validate(&document, &mut findings);
    assert_eq!(findings.iter().next().and_then(|it| it.pointer.as_deref()), Some("/a~1b/~0/0"));
}

#[test]
fn m18_extras_are_allowed_by_default_and_an_empty_schema_accepts_all() {
    accepted(json!({"properties": {"a": {"type": "integer"}}}), json!({"a": 1, "b": 2}));
    accepted(json!({}), json!({"a": [1, {"b": null}]}));
    accepted(json!(true), json!({"a": 1}));
}

#[test]
fn m20_schemas_are_read_from_yaml_and_json() {
    let read = |file: &str, text: &str| {
        let mut findings = Findings::new();
        let schema = ConfigSchema::parse(&Arc::from(file), text.as_bytes(), &mut findings);
        (schema.and_then(|it| it.title().map(str::to_owned)), lines(&findings))
    };
    assert_eq!(read("a.yaml", "title: App\nx: &a {type: string}\nproperties: {k: *a}\n").0.as_deref(), Some("App"));
    assert_eq!(read("a.json", r#"{"title": "App"}"#).0.as_deref(), Some("App"));
    let broken = ["a.toml: not read", "a.json: {", "a.yaml: {type: intger}", "a.yaml:"];
    let faults =
        broken.map(|it| it.split_once(':').map(|(file, text)| read(file, text).1.join("\n")).unwrap_or_default());
    insta::assert_snapshot!(faults.join("\n"), @r#"
    a.toml E_SCHEMA_INVALID a schema is a YAML or JSON file [name it `.yaml` or `.json`]
    a.json:1:2 E_SYNTAX unterminated object
    a.yaml:1:9 E_SCHEMA_INVALID type: "intger" fits none of the 2 alternatives of the schema [the nearest alternative says: type: "intger" is not one of "array", "boolean", "integer", "null", "number", "object", "string"; did you mean "integer"?]
    a.yaml E_SCHEMA_INVALID a schema must be a map, not null
    "#);
}

#[test]
fn m20_a_schema_has_a_title_and_a_description() {
    let schema = schema(json!({"title": "App", "description": "What the app reads"}));
    assert_eq!((schema.title(), schema.description()), (Some("App"), Some("What the app reads")));
    assert_eq!(schema.file(), "schema.json");
}

#[test]
fn defaults_are_gathered_through_references() {
    let schema = schema(json!({
        "$defs": {"server": {"properties": {"port": {"default": 80}, "host": {"default": "localhost"}}}},
        "allOf": [{"properties": {"extra": {"default": [1]}}}],
        "properties": {
            "server": {"$ref": "#/$defs/server"},
            "own": {"default": {"a": 1}, "properties": {"a": {"default": 2}, "b": {"default": 3}}},
            "none": {"type": "string"},
        },
    }));
    let expected = json!({
        "server": {"port": 80, "host": "localhost"}, "own": {"a": 1, "b": 3}, "extra": [1],
    });
    assert_eq!(schema.defaults().to_json(), expected);
}

#[test]
fn an_optional_map_is_not_made_up_when_that_would_make_it_required() {
    let schema = schema(json!({"properties": {
        "tls": {"required": ["cert"], "properties": {"cert": {"type": "string"}, "port": {"default": 443}}},
    }}));
    assert_eq!(schema.defaults().to_json(), json!({}));
    let present = tree("app.yaml", json!({"tls": {"cert": "x"}}));
    assert_eq!(schema.defaults_for(&present).to_json(), json!({"tls": {"port": 443}}));
    assert_eq!(schema.defaults_for(&tree("app.yaml", json!({"tls": null}))).to_json(), json!({}));
}

#[test]
fn defaults_of_a_recursive_schema_end() {
    let schema = schema(json!({"properties": {"x": {"default": 1}, "child": {"$ref": "#"}}}));
    assert_eq!(schema.defaults().to_json(), json!({"x": 1}));
    let present = tree("app.yaml", json!({"child": {"child": {}}}));
    assert_eq!(schema.defaults_for(&present).to_json(), json!({"x": 1, "child": {"x": 1, "child": {"x": 1}}}));
}

#[test]
fn types_are_found_through_the_schema() {
    let schema = schema(json!({
        "$defs": {"port": {"type": "integer"}},
        "properties": {
            "a": {"$ref": "#/$defs/port"},
            "b": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "c": {"items": {"properties": {"d": {"enum": [1, 2.5]}}}},
            "e": {"additionalProperties": {"type": "boolean"}},
            "f": {"patternProperties": {"^x": {"type": "array"}}},
            "g": {"allOf": [{"type": ["string", "integer"]}, {"type": ["integer", "null"]}]},
        },
    }));
    let types = |path: &str| {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        schema.types_at(&path).describe()
    };
    assert_eq!(types("a"), "an integer");
    assert_eq!(types("b"), "text or null");
    assert_eq!(types("c.0.d"), "a number");
    assert_eq!(types("e.anything"), "true or false");
    assert_eq!(types("f.xyz"), "a list");
    assert_eq!(types("g"), "an integer");
    assert!(schema.types_at(&["unknown".to_owned()]).is_any());
}
