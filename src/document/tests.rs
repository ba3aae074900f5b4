use super::*;
use crate::finding::testing::cpu_time;
use std::time::Duration;

const ALL: [Format; 5] = [Format::Yaml, Format::Json, Format::Toml, Format::Env, Format::Ini];

pub(super) fn read_with(format: Format, bytes: &[u8], merge_keys: MergeKeys) -> (Option<Node>, Findings) {
    let mut findings = Findings::new();
    let node = parse(format, &Arc::from("f"), bytes, &Limits::default(), merge_keys, &mut findings);
    (node, findings)
}

#[track_caller]
pub(super) fn read(format: Format, text: &str) -> Node {
    let (node, findings) = read_with(format, text.as_bytes(), MergeKeys::Apply);
    assert!(findings.is_empty(), "{text:?}: {findings:?}");
    node.expect("a document")
}

#[track_caller]
fn yaml(text: &str) -> Value {
    read(Format::Yaml, text).value
}

/// Returns the first finding as `line:column CODE`.
#[track_caller]
fn refused_bytes(format: Format, bytes: &[u8]) -> String {
    let started = cpu_time();
    let (_, findings) = read_with(format, bytes, MergeKeys::Refuse);
    assert!(cpu_time() - started < Duration::from_secs(10), "too slow");
    let finding = findings.iter().next().expect("a finding");
    let place = finding.place.as_ref().expect("a place");
    format!("{}:{} {}", place.line, place.column, finding.code)
}

#[track_caller]
pub(super) fn refused(format: Format, text: &str) -> String {
    refused_bytes(format, text.as_bytes())
}

/// Lists every key and value with its place.
fn places(node: &Node) -> String {
    fn walk(node: &Node, path: &str, lines: &mut Vec<String>) {
        let at = |place: &Place| format!("{}:{}", place.line, place.column);
        match &node.value {
            Value::Map(map) => {
                for it in map.iter() {
                    let below = format!("{path}.{}", it.key);
                    lines.push(format!("{} {} {}", at(&it.place), at(&it.node.place), below));
                    walk(&it.node, &below, lines);
                }
            }
            Value::List(items) => {
                for (idx, it) in items.iter().enumerate() {
                    lines.push(format!("- {} {path}.{idx}", at(&it.place)));
                    walk(it, &format!("{path}.{idx}"), lines);
                }
            }
            _ => {}
        }
    }
    let mut lines = Vec::new();
    walk(node, "", &mut lines);
    lines.join("\n")
}

#[test]
fn yaml_places_are_exact() {
    let node = read(
        Format::Yaml,
        "# c\nserver:\n  port: 80\n  höst: \"ü\" # c\nlist:\n- a\n-   b: 1\n    c: [x, {y: 2}]\nnone:\n\nlast: |\n  text\n'q': !!str 5\nanchored: &a\n  k: v\nused: *a\n",
    );
    insta::assert_snapshot!(places(&node), @"
    2:1 3:3 .server
    3:3 3:9 .server.port
    4:3 4:9 .server.höst
    5:1 6:3 .list
    - 6:3 .list.0
    - 7:5 .list.1
    7:5 7:8 .list.1.b
    8:5 8:8 .list.1.c
    - 8:9 .list.1.c.0
    - 8:12 .list.1.c.1
    8:13 8:16 .list.1.c.1.y
    9:1 9:5 .none
    11:1 12:3 .last
    13:1 13:12 .q
    14:1 15:3 .anchored
    15:3 15:6 .anchored.k
    16:1 15:3 .used
    15:3 15:6 .used.k
    ");
}

#[test]
fn json_places_are_exact() {
    let node = read(
        Format::Json,
        "{\n  // c\n  \"sörver\": {\"port\": 80, \"on\": [true, null,]},\n  \"x\": \"ü\", \"y\": -1.5e3,\n}\n",
    );
    insta::assert_snapshot!(places(&node), @"
    3:3 3:13 .sörver
    3:14 3:22 .sörver.port
    3:26 3:32 .sörver.on
    - 3:33 .sörver.on.0
    - 3:39 .sörver.on.1
    4:3 4:8 .x
    4:13 4:18 .y
    ");
}

#[test]
fn toml_places_are_exact() {
    let node = read(
        Format::Toml,
        "title = \"x\" # c\na.b = 1\n[server]\nport = 80\nwhen = 2001-01-01\n[[users]]\nname = \"ä\"\ntags = [1, {x = 2}]\n[[users]]\nname = 'b'\n[server.tls]\non = true\n",
    );
    insta::assert_snapshot!(places(&node), @"
    1:1 1:9 .title
    2:1 2:1 .a
    2:3 2:7 .a.b
    3:2 3:1 .server
    4:1 4:8 .server.port
    5:1 5:8 .server.when
    11:9 11:1 .server.tls
    12:1 12:6 .server.tls.on
    6:3 6:1 .users
    - 6:1 .users.0
    7:1 7:8 .users.0.name
    8:1 8:8 .users.0.tags
    - 8:9 .users.0.tags.0
    - 8:12 .users.0.tags.1
    8:13 8:17 .users.0.tags.1.x
    - 9:1 .users.1
    10:1 10:8 .users.1.name
    ");
    assert_eq!(node.get("server.when").and_then(Node::as_str), Some("2001-01-01"));
}

#[test]
fn line_formats_have_places() {
    let node = read(Format::Ini, "top = 1\n; c\n[ a ]\n  key = v # w\n# c\n[b.c]\nü: x=y\n");
    insta::assert_snapshot!(places(&node), @"
    1:1 1:7 .top
    3:3 3:3 .a
    4:3 4:9 .a.key
    6:2 6:2 .b.c
    7:1 7:4 .b.c.ü
    ");
    assert_eq!(node.get("a.key").and_then(Node::as_str), Some("v # w"));
    let node = read(
        Format::Env,
        "# c\nA=1\nexport B = 'x y' # c\nC=\"two\nlines \\\"q\\\" $X\"\nD= plain value # c\nE=\nF=a#b\nG= # c\n",
    );
    insta::assert_snapshot!(places(&node), @"
    2:1 2:3 .A
    3:8 3:12 .B
    4:1 4:3 .C
    6:1 6:4 .D
    7:1 7:3 .E
    8:1 8:3 .F
    9:1 9:3 .G
    ");
    insta::assert_debug_snapshot!(node.value, @r#"
    {
        "A": "1",
        "B": "x y",
        "C": "two\nlines \"q\" $X",
        "D": "plain value",
        "E": "",
        "F": "a#b",
        "G": "",
    }
    "#);
}

#[test]
fn an_empty_document_is_null() {
    for format in ALL {
        for text in ["", "\n \n"] {
            let node = read(format, text);
            assert_eq!((node.value, node.place), (Value::Null, Place::whole("f")), "{format:?}");
        }
    }
    for (format, text) in
        [(Format::Yaml, "# c\n"), (Format::Json, "// c\n"), (Format::Toml, "# c"), (Format::Ini, ";c")]
    {
        assert_eq!(read(format, text).value, Value::Null);
    }
}

#[test]
fn d03_duplicate_keys_name_both_lines() {
    let cases = [
        (Format::Yaml, "a: 1\nb: 2\na: 3\n", 3),
        (Format::Yaml, "m: {a: 1,\n 'a': 2}\n", 2),
        (Format::Yaml, "k: &k a\nm:\n  a: 1\n  *k : 2\n", 4),
        (Format::Json, "{\"a\": 1,\n\"a\": 2}", 2),
        (Format::Toml, "a = 1\nb = 2\na = 3\n", 3),
        (Format::Toml, "x = 1\n[a]\nb = 1\n[a]\n", 4),
        (Format::Toml, "[t]\na = 1\n[[l]]\na = 2\na = 3\n", 5),
        (Format::Env, "A=1\nexport A=2\n", 2),
        (Format::Ini, "[s]\na=1\n[s]\n", 3),
        (Format::Ini, "[s]\na=1\na=2\n", 3),
    ];
    let mut messages = Vec::new();
    for (format, text, line) in cases {
        let (_, findings) = read_with(format, text.as_bytes(), MergeKeys::Apply);
        let finding = findings.iter().next().expect("a finding");
        assert_eq!(finding.code, Code::DUPLICATE_KEY, "{text}");
        assert_eq!(finding.place.as_ref().map(|it| it.line), Some(line), "{text}");
        messages.push(finding.message.clone());
    }
    insta::assert_snapshot!(messages.join("\n"), @"
    the key `a` stands twice, first on line 1
    the key `a` stands twice, first on line 1
    the key `a` stands twice, first on line 3
    the key `a` stands twice, first on line 1
    the key `a` stands twice, first on line 1
    the key `a` stands twice, first on line 2
    the key `a` stands twice, first on line 4
    the key `A` stands twice, first on line 1
    the key `s` stands twice, first on line 1
    the key `a` stands twice, first on line 2
    ");
    assert_eq!(refused(Format::Toml, "a = {b = 1, b = 2}"), "1:13 E_DUPLICATE_KEY");
}

#[test]
fn d04_merge_keys() {
    let text = "base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\none:\n  x: 0\n  <<: *base\n  b: 9\ntwo:\n  <<: [*more, *base]\n";
    let node = read(Format::Yaml, text);
    insta::assert_debug_snapshot!(node.value, @r#"
    {
        "base": {
            "a": 1,
            "b": 2,
        },
        "more": {
            "b": 3,
            "c": 4,
        },
        "one": {
            "x": 0,
            "a": 1,
            "b": 9,
        },
        "two": {
            "b": 3,
            "c": 4,
            "a": 1,
        },
    }
    "#);
    let origin = node.get("one").and_then(Node::as_map).and_then(|it| it.entry("a")).map(|it| it.place.to_string());
    assert_eq!(origin.as_deref(), Some("f:1:14"));
    assert_eq!(refused(Format::Yaml, text), "5:3 E_YAML_MERGE");
    assert_eq!(read(Format::Yaml, "'<<': 1").to_json(), serde_json::json!({"<<": 1}));
    let (_, findings) = read_with(Format::Yaml, b"a: 1\n<<: 3\n<<: 4\n", MergeKeys::Apply);
    assert_eq!(findings.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::SHAPE, Code::DUPLICATE_KEY]);
}

#[test]
fn d05_only_core_tags_exist() {
    for text in [
        "a: !!python/object:os.system x",
        "a: !!binary aGk=",
        "a: !x 1",
        "!x a: 1",
        "a: !!set {x}",
        "a: !!timestamp 2001-01-01",
    ] {
        assert!(refused(Format::Yaml, text).ends_with("E_YAML_TAG"), "{text}");
    }
    assert_eq!(refused(Format::Yaml, "a: !!int x"), "1:10 E_YAML_TAG");
    let node = read(
        Format::Yaml,
        "[!!str 1, !!int '5', !!float 1, !!bool 'true', !!null '', ! 7, !!str , !!seq [], !!map {}]",
    );
    insta::assert_debug_snapshot!(node.value, @r#"
    [
        "1",
        5,
        1.0,
        true,
        null,
        "7",
        "",
        [],
        {},
    ]
    "#);
}

#[test]
fn d06_plain_scalars_follow_the_core_schema() {
    let text = "[no, on, Yes, y, 1:30, 0777, 08, 1_000, 0b11, -0x1F, 2001-01-01, 1.2.3, '', \"5\", =, true, True, null, ~, 0o17, 0x1F, -5, +5, 0, 1e3, 1.10, .5, 5., -0.0, -0]";
    insta::assert_debug_snapshot!(yaml(text), @r#"
    [
        "no",
        "on",
        "Yes",
        "y",
        "1:30",
        "0777",
        "08",
        "1_000",
        "0b11",
        "-0x1F",
        "2001-01-01",
        "1.2.3",
        "",
        "5",
        "=",
        true,
        true,
        null,
        null,
        15,
        31,
        -5,
        5,
        0,
        1000.0,
        1.1,
        0.5,
        5.0,
        -0.0,
        0,
    ]
    "#);
    let (own, _) = read_with(Format::Yaml, b"[0644, -007]", MergeKeys::Refuse);
    assert_eq!(own.map(|it| it.to_json()), Some(serde_json::json!([644, -7])));
    let keys = read(Format::Yaml, "8080: a\ntrue: b\nno: c\n").to_json();
    assert_eq!(keys, serde_json::json!({"8080": "a", "true": "b", "no": "c"}));
}

#[test]
fn d07_numbers_are_kept_or_refused() {
    let big = format!("1{}", "0".repeat(400));
    for text in [big.as_str(), "18446744073709551616", "1e400", ".inf", "-.INF", ".nan", "0.1000000000000000055"] {
        assert_eq!(refused(Format::Yaml, &format!("a: {text}")), "1:4 E_NUMBER", "{text}");
    }
    for text in [big.as_str(), "1e400", "-9223372036854775809", "NaN", "Infinity"] {
        assert!(refused(Format::Json, &format!("[{text}]")).starts_with("1:2 E_"), "{text}");
    }
    for text in ["9223372036854775808", "inf", "nan", "1e400", big.as_str()] {
        assert_eq!(refused(Format::Toml, &format!("a = {text}")), "1:5 E_NUMBER", "{text}");
    }
    assert_eq!(yaml("18446744073709551615"), Value::Int(u64::MAX.into()));
    assert_eq!(read(Format::Toml, "a = 1_000.5").get("a").map(|it| it.value.clone()), Some(Value::Float(1000.5)));
}

#[test]
fn d08_one_document_only() {
    assert_eq!(refused(Format::Yaml, "a: 1\n---\nb: 2\n"), "2:1 E_YAML_DOCS");
    assert_eq!(refused(Format::Yaml, &"---\n".repeat(100_000)), "2:1 E_YAML_DOCS");
    assert_eq!(yaml("%YAML 1.2\n---\n1\n...\n"), Value::Int(1));
    assert!(refused(Format::Json, "{} {}").ends_with("E_SYNTAX"));
}

#[test]
fn d09_encodings() {
    for format in ALL {
        for bytes in
            [b"\xef\xbb\xbfa".as_slice(), b"\xff\xfea\0", b"\xfe\xff\0a", b"a\0b", b"a\rb", b"a\x1b[0m", b"a\xff"]
        {
            assert!(refused_bytes(format, bytes).ends_with("E_ENCODING"), "{format:?} {bytes:?}");
        }
    }
    assert_eq!(refused_bytes(Format::Yaml, "a: 1\nü: \u{1}\n".as_bytes()), "2:4 E_ENCODING");
    for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800A""#] {
        assert!(refused(Format::Json, text).ends_with("E_ENCODING"), "{text}");
        assert!(refused(Format::Yaml, text).ends_with("E_ENCODING"), "{text}");
    }
    let crlf = |text: &str| text.replace('\n', "\r\n");
    assert_eq!(yaml(&crlf("a: 1\nb: |\n  x\n  y\n")), yaml("a: 1\nb: |\n  x\n  y\n"));
    assert_eq!(read(Format::Env, &crlf("A=1\nB='x\ny'\n")).to_json(), read(Format::Env, "A=1\nB='x\ny'\n").to_json());
    assert_eq!(read(Format::Ini, &crlf("[a]\nb=1\n")).to_json(), read(Format::Ini, "[a]\nb=1\n").to_json());
    assert_eq!(places(&read(Format::Toml, &crlf("a=1\nb=2\n"))), places(&read(Format::Toml, "a=1\nb=2\n")));
}

#[test]
fn keys_must_be_text() {
    for text in [": 1\n", "? [a]\n: 1\n", "{a: 1}: 2", "a: &a [1]\n*a : 2\n"] {
        assert!(refused(Format::Yaml, text).ends_with("E_SHAPE"), "{text}");
    }
}

#[test]
fn mistakes_do_not_hide_each_other() {
    let (node, findings) = read_with(Format::Yaml, b"a: 1\na: 2\nb: !x 3\nc: .nan\nd: *e\nf: 1\n", MergeKeys::Refuse);
    let codes: Vec<Code> = findings.iter().map(|it| it.code).collect();
    assert_eq!(codes, [Code::DUPLICATE_KEY, Code::YAML_TAG, Code::NUMBER, Code::REFERENCE]);
    assert!(node.is_some_and(|it| it.get("f").is_some()));
    let (_, findings) = read_with(Format::Ini, b"x\n= 1\n[\n[]\n[a] b\n", MergeKeys::Refuse);
    assert_eq!(findings.n_errors(), 5);
    let (_, findings) = read_with(Format::Env, b"x\n=1\na b=1\nA='x' y\n", MergeKeys::Refuse);
    assert_eq!(findings.n_errors(), 4);
    assert_eq!(refused(Format::Env, "A=1\nB=\"x\n"), "2:3 E_SYNTAX");
    assert_eq!(refused(Format::Json, "{\"a\": \"x\ny\"}"), "1:9 E_SYNTAX");
}
