//! Input that is meant to hurt: too deep, too large, cut off, garbled.

use super::tests::{read, read_with, refused};
use super::*;
use crate::finding::testing::cpu_time;
use std::time::Duration;

const SAMPLES: [(Format, &str); 5] = [
    (
        Format::Yaml,
        "a: &a {x: [1, 'b', \"\\u00e9\\ud83d\\ude00\"], ü: ~}\n? b\n: <<: *a\n  c: |-\n    t\n   \n  d: >\n    f\n- !!str 1: e # c\n",
    ),
    (Format::Json, "{\"a\": [1, -2.5e3, \"\\u00e9\\ud83d\\ude00\\\\\", true,], /* c */ \"ü\": {\"n\": null}} // c\n"),
    (
        Format::Toml,
        "a.\"b\".'c' = 1\nd = [1, {e = \"\\u00e9\", f = '''x'''}]\n[t.u] # c\nw = 2001-01-01T00:00:00Z\n[[l]]\nm = \"\"\"\nü\"\"\"\n[[l]]\nf = 1_0.5e3\n",
    ),
    (Format::Env, "# c\nexport A=\"x\\n\\\"ü\" # c\nB='y\nz'\nC = d # e\n"),
    (Format::Ini, "t: 1\n[ä b] ; c\nk = v\n# c\nü=\n"),
];

#[test]
fn d01_billion_laughs_are_refused_quickly() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    assert!(refused(Format::Yaml, &bomb).ends_with("E_YAML_ALIASES"));
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 1000].join(","));
    assert!(refused(Format::Yaml, &long).ends_with("E_YAML_ALIASES"));
    assert_eq!(refused(Format::Yaml, "a: &a [1, *a]\n"), "1:11 E_YAML_ALIASES");
    assert_eq!(refused(Format::Yaml, "a: *b\n"), "1:4 E_REFERENCE");
}

#[test]
fn d02_deep_nesting_is_refused() {
    let n = 100_000;
    let block: String = (0..2000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let dotted = format!("{}a = 1", "a.".repeat(n));
    let cases = [
        (Format::Yaml, "[".repeat(n)),
        (Format::Yaml, "{a: ".repeat(n)),
        (Format::Yaml, "- ".repeat(n)),
        (Format::Yaml, "? ".repeat(n)),
        (Format::Yaml, block),
        (Format::Json, "[".repeat(n)),
        (Format::Json, "{\"a\":".repeat(n)),
        (Format::Toml, format!("a = {}", "[".repeat(n))),
        (Format::Toml, format!("a = {}", "{a=".repeat(n))),
        (Format::Toml, dotted.clone()),
        (Format::Toml, format!("[{}a]", "a.".repeat(n))),
        (Format::Toml, format!("a = {{{dotted}}}")),
        (Format::Toml, format!("[{}a]\n{}a = 1", "a.".repeat(50), "b.".repeat(50))),
    ];
    for (format, text) in cases {
        let refusal = refused(format, &text);
        assert!(refusal.ends_with("E_DEPTH"), "{format:?} {}: {refusal}", &text[..12]);
    }
    let alias = format!("a: &a {}1{}\nb: {}*a{}\n", "[".repeat(40), "]".repeat(40), "[".repeat(40), "]".repeat(40));
    assert!(refused(Format::Yaml, &alias).ends_with("E_DEPTH"));
    let fits = format!("a: {}1{}", "[".repeat(63), "]".repeat(63));
    read(Format::Yaml, &fits);
    read(Format::Json, &format!("{}{}", "[".repeat(64), "]".repeat(64)));
    read(Format::Json, &format!("[\"{}\"] // {}\n", "[".repeat(99), "[".repeat(99)));
    read(Format::Toml, &format!("a = \"\"\"{}\"\"\" # {}\n", "[".repeat(99), "[".repeat(99)));
}

#[test]
fn d05_tabs_as_indentation_say_to_use_spaces() {
    for (text, line) in [("a:\n\tb: 1\n", 2), ("a:\n  b: 1\n\tc: 2\n", 3), ("a: |\n\tx\n", 2), ("a:\n\t- 1\n", 2)] {
        let (_, findings) = read_with(Format::Yaml, text.as_bytes(), MergeKeys::Apply);
        let finding = findings.iter().next().expect("a finding");
        let place = finding.place.as_ref().expect("a place");
        assert_eq!((place.line, place.column, finding.code), (line, 1, Code::SYNTAX), "{text:?}");
        assert_eq!(finding.hint.as_deref(), Some("indent with spaces"), "{text:?}");
    }
}

#[test]
fn d14_no_prefix_panics() {
    for (format, text) in SAMPLES {
        for end in 0..=text.len() {
            read_with(format, &text.as_bytes()[..end], MergeKeys::Apply);
        }
    }
}

#[test]
fn d15_no_changed_byte_panics() {
    for (format, text) in SAMPLES {
        for idx in 0..text.len() {
            for byte in 0..=255 {
                let mut bytes = text.as_bytes().to_vec();
                bytes[idx] = byte;
                read_with(format, &bytes, MergeKeys::Apply);
            }
        }
    }
}

#[test]
fn a_long_line_costs_no_square() {
    let text = format!("[{}]", vec!["\"ü\""; 90_000].join(","));
    let started = cpu_time();
    read(Format::Json, &text);
    read(Format::Yaml, &text);
    assert!(cpu_time() - started < Duration::from_secs(20));
}

#[test]
fn d18_anchors_have_a_budget() {
    let text: String = (0..100_000).map(|n| format!("- &a{n} {n}\n")).collect();
    assert!(refused(Format::Yaml, &text).ends_with("E_YAML_ALIASES"));
}

#[test]
fn d10_a_large_file_is_refused_unread() {
    let limits = Limits { bytes: 10, ..Limits::default() };
    let mut findings = Findings::new();
    assert!(parse(Format::Yaml, &Arc::from("f"), b"[[[[[[[[[[[", &limits, MergeKeys::Apply, &mut findings).is_none());
    assert_eq!(findings.iter().next().map(|it| it.code), Some(Code::FILE_TOO_BIG));
    let many = "- 1\n".repeat(100_001);
    assert!(refused(Format::Yaml, &many).ends_with("E_FILE_TOO_BIG"));
    assert!(refused(Format::Ini, &"k=1\n".repeat(100_001)).ends_with("E_DUPLICATE_KEY"));
}

#[test]
fn mistakes_without_number_are_summed_up() {
    let (_, findings) = read_with(Format::Ini, "x\n".repeat(10_000).as_bytes(), MergeKeys::Apply);
    assert_eq!(findings.iter().count(), 101);
    assert_eq!(findings.iter().last().map(|it| it.message.as_str()), Some("the file has 9900 more mistakes"));
}
