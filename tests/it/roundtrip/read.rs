//! Documents that headfast and others read: the same values, or what each of them says.
//!
//! The lines of the tables are the text, what headfast says, and what the other says when that is not the same.

use super::python::{headfast, is_without, read, shown, sorted, tagged};
use headfast::document::Format;
use serde_json::Value as Json;

/// Returns a value as headfast reads it, or the codes of its mistakes.
fn ours(format: Format, text: &str) -> Result<Json, String> {
    let (node, findings) = headfast(format, text);
    let codes: Vec<&str> = findings.iter().map(|it| it.code.name).collect();
    match node {
        Some(node) if codes.is_empty() => Ok(tagged(&node.value)),
        _ => Err(codes.join(" ")),
    }
}

/// A line of a table: a text, and what each of two says of it.
fn line(format: Format, reader: &str, text: &str) -> String {
    let shown = |it: Result<Json, String>| match it {
        Ok(value) => shown(&sorted(&value)),
        Err(complaint) => complaint.split(':').next().unwrap_or_default().to_owned(),
    };
    let (ours, theirs) = (shown(ours(format, text)), shown(read(reader, text).expect("there is such a parser")));
    let is_same = if ours == theirs { String::new() } else { format!(" | {theirs}") };
    // Quotes need no escape here, and are easier to read without.
    let text = text.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\"");
    format!("{text} | {ours}{is_same}")
}

fn table(format: Format, reader: &str, texts: &[&str]) -> String {
    texts.iter().map(|it| line(format, reader, it)).collect::<Vec<_>>().join("\n")
}

#[test]
fn d06_what_yaml_1_1_and_1_2_read_otherwise() {
    if is_without() {
        return;
    }
    let words = "yes|No|on|Off|y|true|TRUE|tRUE|null|~|Null||=|0644|-012|08|0o17|0x1F|0X1F|0b11|+12|12_000|1:30|\
        190:20:30|1:30.5|1e3|1E-3|1.5e3|1.5e+3|.5|5.|+.5|.|-.inf|.NaN|2001-01-01|2001-01-01 10:00:00|12e|0x|\
        18446744073709551616|1e400|0.1000000000000000055";
    let texts: Vec<String> = words.split('|').map(|it| format!("- {it}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    insta::assert_snapshot!(table(Format::Yaml, "yaml", &texts), @r#"
    - yes | ["yes"] | [true]
    - No | ["No"] | [false]
    - on | ["on"] | [true]
    - Off | ["Off"] | [false]
    - y | ["y"]
    - true | [true]
    - TRUE | [true]
    - tRUE | ["tRUE"]
    - null | [null]
    - ~ | [null]
    - Null | [null]
    -  | [null]
    - = | ["="] | ConstructorError
    - 0644 | ["0644"] | [420]
    - -012 | ["-012"] | [-10]
    - 08 | ["08"]
    - 0o17 | [15] | ["0o17"]
    - 0x1F | [31]
    - 0X1F | ["0X1F"]
    - 0b11 | ["0b11"] | [3]
    - +12 | [12]
    - 12_000 | ["12_000"] | [12000]
    - 1:30 | ["1:30"] | [90]
    - 190:20:30 | ["190:20:30"] | [685230]
    - 1:30.5 | ["1:30.5"] | [90.5]
    - 1e3 | [1000.0] | ["1e3"]
    - 1E-3 | [0.001] | ["1E-3"]
    - 1.5e3 | [1500.0] | ["1.5e3"]
    - 1.5e+3 | [1500.0]
    - .5 | [0.5]
    - 5. | [5.0]
    - +.5 | [0.5] | ["+.5"]
    - . | ["."]
    - -.inf | E_NUMBER | [-inf]
    - .NaN | E_NUMBER | [NaN]
    - 2001-01-01 | ["2001-01-01"] | [date 2001-01-01]
    - 2001-01-01 10:00:00 | ["2001-01-01 10:00:00"] | [datetime 2001-01-01 10:00:00]
    - 12e | ["12e"]
    - 0x | ["0x"]
    - 18446744073709551616 | E_NUMBER | [18446744073709551616]
    - 1e400 | E_NUMBER | ["1e400"]
    - 0.1000000000000000055 | E_NUMBER | [0.1]
    "#);
}

#[test]
fn d06_documents_of_yaml_that_every_reader_takes_alike_or_we_refuse() {
    if is_without() {
        return;
    }
    let texts = [
        "a: &x {b: 1}\nc: *x\n",
        "a: &x {b: 1, d: 2}\nc:\n  <<: *x\n  b: 3\n",
        "a: |\n  x\n\n  y\n",
        "a: |-\n   x\n    y\n",
        "a: |+\n  x\n\n",
        "a: >\n  x\n  y\n\n  z\n    w\n",
        "a: \"x\\\n  y \\u00e9\\x41\\_\\N\\L\\e\\0\"\n",
        "a: 'it''s\n  folded'\n",
        "a: plain\n  folded\n",
        "? a\n: b\n",
        "? [a]\n: b\n",
        "1: a\n",
        "true: a\n",
        "~: a\n",
        "a: 1\na: 2\n",
        "a: !!str 5\n",
        "a: !!int \"5\"\n",
        "a: !!set {b}\n",
        "a: !!python/none x\n",
        "a: !own x\n",
        "--- a\n",
        "a\n...\n",
        "--- a\n--- b\n",
        "%YAML 1.2\n---\na\n",
        "%YAML 1.1\n---\nyes\n",
        "a: [1, 2,]\n",
        "a: {b: , c}\n",
        "{a: 1, \"b\":2}\n",
        "a:\tb\n",
        "a:\n\tb\n",
        "a: b: c\n",
        "a: @b\n",
        "a: *b\n",
        "\u{feff}a: 1\n",
        "a: \u{1}\n",
        "a: 'b\u{85} c'\n",
        "a: 'b\u{2028} c'\n",
        "a: b\u{2029} c\n",
    ];
    insta::assert_snapshot!(table(Format::Yaml, "yaml", &texts), @r#"
    a: &x {b: 1}\nc: *x\n | {"a": {"b": 1}, "c": {"b": 1}}
    a: &x {b: 1, d: 2}\nc:\n  <<: *x\n  b: 3\n | {"a": {"b": 1, "d": 2}, "c": {"b": 3, "d": 2}}
    a: |\n  x\n\n  y\n | {"a": "x\n\ny\n"}
    a: |-\n   x\n    y\n | {"a": "x\n y"}
    a: |+\n  x\n\n | {"a": "x\n\n"}
    a: >\n  x\n  y\n\n  z\n    w\n | {"a": "x y\nz\n  w\n"}
    a: "x\\\n  y \\u00e9\\x41\\_\\N\\L\\e\\0"\n | {"a": "xy éA\u{a0}\u{85}\u{2028}\u{1b}\0"}
    a: 'it''s\n  folded'\n | {"a": "it's folded"}
    a: plain\n  folded\n | {"a": "plain folded"}
    ? a\n: b\n | {"a": "b"}
    ? [a]\n: b\n | E_SHAPE | ConstructorError
    1: a\n | {"1": "a"} | {1: "a"}
    true: a\n | {"true": "a"} | {true: "a"}
    ~: a\n | {"~": "a"} | {null: "a"}
    a: 1\na: 2\n | E_DUPLICATE_KEY | {"a": 2}
    a: !!str 5\n | {"a": "5"}
    a: !!int "5"\n | {"a": 5}
    a: !!set {b}\n | E_YAML_TAG | {"a": set {'b'}}
    a: !!python/none x\n | E_YAML_TAG | ConstructorError
    a: !own x\n | E_YAML_TAG | ConstructorError
    --- a\n | "a"
    a\n...\n | "a"
    --- a\n--- b\n | E_YAML_DOCS | ComposerError
    %YAML 1.2\n---\na\n | "a"
    %YAML 1.1\n---\nyes\n | "yes" | true
    a: [1, 2,]\n | {"a": [1, 2]}
    a: {b: , c}\n | {"a": {"b": null, "c": null}}
    {a: 1, "b":2}\n | {"a": 1, "b": 2}
    a:\tb\n | {"a": "b"} | ScannerError
    a:\n\tb\n | E_SYNTAX | ScannerError
    a: b: c\n | E_SYNTAX | ScannerError
    a: @b\n | E_SYNTAX | ScannerError
    a: *b\n | E_REFERENCE | ComposerError
    \u{feff}a: 1\n | E_ENCODING | {"a": 1}
    a: \u{1}\n | E_ENCODING | ReaderError
    a: 'b\u{85} c'\n | {"a": "b\u{85} c"} | {"a": "b c"}
    a: 'b\u{2028} c'\n | {"a": "b\u{2028} c"} | {"a": "b\u{2028}c"}
    a: b\u{2029} c\n | {"a": "b\u{2029} c"} | {"a": "b\u{2029}c"}
    "#);
}

#[test]
fn d07_documents_of_json_and_what_python_lets_pass() {
    if is_without() {
        return;
    }
    let texts = [
        "[0, -0, -0.0, 1E5, 1.5e-3, 12345678901234567890]",
        "[18446744073709551616]",
        "[1e400]",
        "[0.1000000000000000055]",
        "[NaN]",
        "[Infinity]",
        "[01]",
        "[+1]",
        "[.5]",
        "[5.]",
        "[\"\\ud83d\\ude00\\u00e9\\/\\b\"]",
        "[\"\\ud83d\"]",
        "[\"a\tb\"]",
        "{\"a\": 1, \"a\": 2}",
        "[1,]",
        "[1] // c",
        "/* c */ [1]",
        "['a']",
        "{a: 1}",
        "[1] [2]",
        "\"a\"",
        "null",
        "",
    ];
    insta::assert_snapshot!(table(Format::Json, "json", &texts), @r#"
    [0, -0, -0.0, 1E5, 1.5e-3, 12345678901234567890] | [0, 0, -0.0, 100000.0, 0.0015, 12345678901234567890]
    [18446744073709551616] | E_NUMBER | [18446744073709551616]
    [1e400] | E_NUMBER | [inf]
    [0.1000000000000000055] | E_NUMBER | [0.1]
    [NaN] | E_SYNTAX | [NaN]
    [Infinity] | E_SYNTAX | [inf]
    [01] | E_SYNTAX | JSONDecodeError
    [+1] | E_SYNTAX | JSONDecodeError
    [.5] | E_SYNTAX | JSONDecodeError
    [5.] | E_SYNTAX | JSONDecodeError
    ["\\ud83d\\ude00\\u00e9\\/\\b"] | ["😀é/\u{8}"]
    ["\\ud83d"] | E_ENCODING | [lone surrogates '\ud83d']
    ["a\tb"] | E_SYNTAX | JSONDecodeError
    {"a": 1, "a": 2} | E_DUPLICATE_KEY | {"a": 2}
    [1,] | [1] | JSONDecodeError
    [1] // c | [1] | JSONDecodeError
    /* c */ [1] | [1] | JSONDecodeError
    ['a'] | E_SYNTAX | JSONDecodeError
    {a: 1} | E_SYNTAX | JSONDecodeError
    [1] [2] | E_SYNTAX | JSONDecodeError
    "a" | "a"
    null | null
     | null | JSONDecodeError
    "#);
}

#[test]
fn d07_documents_of_toml() {
    if is_without() {
        return;
    }
    let texts = [
        "a = [0, -0, +1, 0x1f, 0o17, 0b11, 1_000]",
        "a = [1.0, -0.0, 1e5, 1_0.5E-3, 6.626e-34]",
        "a = [inf]",
        "a = [nan]",
        "a = 9223372036854775808",
        "a = 0.1000000000000000055",
        "a = 01",
        "a = 1.",
        "a = 2001-01-01",
        "a = 2001-01-01T10:00:00Z",
        "a = 10:00:00",
        "a = \"\\u00e9\\U0001f600\\t\\\\\"",
        "a = 'C:\\x'",
        "a = \"\"\"\n\nx\\\n   y\"\"\"",
        "a = '''\nx'y'''",
        "a.b.c = 1\na.d = 2",
        "[a]\nb = 1\n[a.c]\nd = 2",
        "[[a]]\nb = 1\n[[a]]\nb = 2",
        "a = {b = 1, c.d = 2}",
        "a = 1\na = 2",
        "[a]\n[a]",
        "a = {b = 1}\n[a.c]",
        "a = [1, 'x', {}]",
        "a = [1,\n 2, # c\n]",
        "a = {b = 1,}",
        "\"\" = 1",
        "a = \"\u{1}\"",
        "",
    ];
    insta::assert_snapshot!(table(Format::Toml, "toml", &texts), @r#"
    a = [0, -0, +1, 0x1f, 0o17, 0b11, 1_000] | {"a": [0, 0, 1, 31, 15, 3, 1000]}
    a = [1.0, -0.0, 1e5, 1_0.5E-3, 6.626e-34] | {"a": [1.0, -0.0, 100000.0, 0.0105, 6.626e-34]}
    a = [inf] | E_NUMBER | {"a": [inf]}
    a = [nan] | E_NUMBER | {"a": [NaN]}
    a = 9223372036854775808 | E_NUMBER | {"a": 9223372036854775808}
    a = 0.1000000000000000055 | E_NUMBER | {"a": 0.1}
    a = 01 | E_SYNTAX | TOMLDecodeError
    a = 1. | E_SYNTAX | TOMLDecodeError
    a = 2001-01-01 | {"a": "2001-01-01"} | {"a": date 2001-01-01}
    a = 2001-01-01T10:00:00Z | {"a": "2001-01-01T10:00:00Z"} | {"a": datetime 2001-01-01 10:00:00+00:00}
    a = 10:00:00 | {"a": "10:00:00"} | {"a": time 10:00:00}
    a = "\\u00e9\\U0001f600\\t\\\\" | {"a": "é😀\t\\"}
    a = 'C:\\x' | {"a": "C:\\x"}
    a = """\n\nx\\\n   y""" | {"a": "\nxy"}
    a = '''\nx'y''' | {"a": "x'y"}
    a.b.c = 1\na.d = 2 | {"a": {"b": {"c": 1}, "d": 2}}
    [a]\nb = 1\n[a.c]\nd = 2 | {"a": {"b": 1, "c": {"d": 2}}}
    [[a]]\nb = 1\n[[a]]\nb = 2 | {"a": [{"b": 1}, {"b": 2}]}
    a = {b = 1, c.d = 2} | {"a": {"b": 1, "c": {"d": 2}}}
    a = 1\na = 2 | E_DUPLICATE_KEY | TOMLDecodeError
    [a]\n[a] | E_DUPLICATE_KEY | TOMLDecodeError
    a = {b = 1}\n[a.c] | E_SYNTAX | TOMLDecodeError
    a = [1, 'x', {}] | {"a": [1, "x", {}]}
    a = [1,\n 2, # c\n] | {"a": [1, 2]}
    a = {b = 1,} | {"a": {"b": 1}} | TOMLDecodeError
    "" = 1 | {"": 1}
    a = "\u{1}" | E_ENCODING | TOMLDecodeError
     | null | {}
    "#);
}

#[test]
fn d07_documents_of_dotenv_and_what_a_shell_makes_of_them() {
    if is_without() {
        return;
    }
    let texts = [
        "HF=a",
        "export HF=a",
        "HF='a b'",
        "HF=\"a b\"",
        "HF='a\nb'",
        "HF=\"a\\\"\\\\\\$\\`b\"",
        "HF=\"a\\nb\\tc\\d\"",
        "HF='a\\nb'",
        "HF=",
        "HF=''",
        "HF=a # c",
        "HF=a#b",
        "HF='a'  # c",
        "# HF=a",
        "HF='it'\\''s'",
        "HF=a'b'c",
        "HF=a\\ b",
        "HF=$HOME",
        "HF=\"${HF2:-x}\"",
        "HF=`echo x`",
        "HF=~/x",
        "HF=a b",
        "HF = a",
        "HF=a;HF2=b",
        "HF=a\nHF=b",
    ];
    insta::assert_snapshot!(table(Format::Env, "env", &texts), @r#"
    HF=a | {"HF": "a"}
    export HF=a | {"HF": "a"}
    HF='a b' | {"HF": "a b"}
    HF="a b" | {"HF": "a b"}
    HF='a\nb' | {"HF": "a\nb"}
    HF="a\\"\\\\\\$\\`b" | {"HF": "a\"\\$`b"}
    HF="a\\nb\\tc\\d" | {"HF": "a\nb\tc\\d"} | {"HF": "a\\nb\\tc\\d"}
    HF='a\\nb' | {"HF": "a\\nb"}
    HF= | {"HF": ""}
    HF='' | {"HF": ""}
    HF=a # c | {"HF": "a"}
    HF=a#b | {"HF": "a#b"}
    HF='a'  # c | {"HF": "a"}
    # HF=a | null | {}
    HF='it'\\''s' | E_SYNTAX | {"HF": "it's"}
    HF=a'b'c | {"HF": "a'b'c"} | {"HF": "abc"}
    HF=a\\ b | {"HF": "a\\ b"} | {"HF": "a b"}
    HF=$HOME | {"HF": "$HOME"} | {"HF": ""}
    HF="${HF2:-x}" | {"HF": "${HF2:-x}"} | {"HF": "x"}
    HF=`echo x` | {"HF": "`echo x`"} | {"HF": "x"}
    HF=~/x | {"HF": "~/x"}
    HF=a b | {"HF": "a b"} | ValueError
    HF = a | {"HF": "a"} | ValueError
    HF=a;HF2=b | {"HF": "a;HF2=b"} | {"HF": "a", "HF2": "b"}
    HF=a\nHF=b | E_DUPLICATE_KEY | {"HF": "b"}
    "#);
}

#[test]
fn d07_documents_of_ini_and_what_python_makes_of_them() {
    if is_without() {
        return;
    }
    let texts = [
        "[a]\nb = c",
        "[a]\nb: c=d",
        "[a]\nb=c:d",
        "[a]\nb = c ; d",
        "[a]\nb = \"c\"",
        "[a]\nb =",
        "[a]\nb",
        "[a]\nb = c\n d",
        "[a]\nB = c",
        "[a]\n; b = c\n# d",
        "[a] ; c\nb = c",
        "[a]\nb = c\nb = d",
        "[a]\n[a]",
        "[]\nb = c",
        "[a]\nb = %(c)s",
    ];
    insta::assert_snapshot!(table(Format::Ini, "ini", &texts), @r#"
    [a]\nb = c | {"a": {"b": "c"}}
    [a]\nb: c=d | {"a": {"b": "c=d"}}
    [a]\nb=c:d | {"a": {"b": "c:d"}}
    [a]\nb = c ; d | {"a": {"b": "c ; d"}}
    [a]\nb = "c" | {"a": {"b": "\"c\""}}
    [a]\nb = | {"a": {"b": ""}}
    [a]\nb | E_SYNTAX | ParsingError
    [a]\nb = c\n d | E_SYNTAX | {"a": {"b": "c\nd"}}
    [a]\nB = c | {"a": {"B": "c"}}
    [a]\n; b = c\n# d | {"a": {}}
    [a] ; c\nb = c | {"a": {"b": "c"}}
    [a]\nb = c\nb = d | E_DUPLICATE_KEY | DuplicateOptionError
    [a]\n[a] | E_DUPLICATE_KEY | DuplicateSectionError
    []\nb = c | E_SYNTAX | ParsingError
    [a]\nb = %(c)s | {"a": {"b": "%(c)s"}}
    "#);
}
