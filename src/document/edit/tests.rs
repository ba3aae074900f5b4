use super::*;
use crate::document::KeyPath;
use crate::document::edit::layout::{Content, Spot, Style};
use proptest::prelude::*;
use serde_json::json;

fn file(format: Format) -> Arc<str> {
    Arc::from(format!("a.{format:?}").to_lowercase())
}

/// Reads a value as YAML does.
fn value(text: &str) -> Value {
    read(Format::Yaml, &"v".into(), text.as_bytes()).expect("a value").value
}

fn try_set(format: Format, text: &str, path: &str, new: &Value) -> Result<String, Finding> {
    let path = KeyPath::parse(path).expect("a path");
    let changed = set(format, &file(format), text.as_bytes(), path.steps(), new)?;
    Ok(String::from_utf8(changed).expect("UTF-8"))
}

#[track_caller]
fn check(format: Format, text: &str, path: &str, new: &str, expected: &str) {
    let changed = try_set(format, text, path, &value(new)).unwrap_or_else(|it| panic!("{it:?} in {text:?}"));
    assert_eq!(changed, expected);
    let again = try_set(format, &changed, path, &value(new)).expect("can be set again");
    assert_eq!(again, changed, "what is there already is not written");
}

#[track_caller]
fn refused(format: Format, text: &str, path: &str, new: &str) -> Finding {
    try_set(format, text, path, &value(new)).expect_err("is refused")
}

#[track_caller]
fn yaml(text: &str, path: &str, new: &str, expected: &str) {
    check(Format::Yaml, text, path, new, expected);
}

#[test]
fn yaml_scalars_keep_their_style() {
    yaml("a:  1  # c\nb: 2\n", "a", "5", "a:  5  # c\nb: 2\n");
    yaml("a: 'x' # c\n", "a", "it's", "a: 'it''s' # c\n");
    yaml("a: \"x\"\n", "a", "y", "a: \"y\"\n");
    yaml("a: \"x\"\n", "a", "7", "a: 7\n");
    yaml("a: x\n", "a", "\"no\"", "a: \"no\"\n");
    yaml("a: x\n", "a", "\"p: q # r\"", "a: \"p: q # r\"\n");
    yaml("a: x\nb:\n  one\n  two # t\n", "b", "z", "a: x\nb:\n  z # t\n");
    yaml("a: [x, 'y', {b: c}] # d\n", "a.0", "\"1,2\"", "a: [\"1,2\", 'y', {b: c}] # d\n");
    yaml("a: [x, 'y', {b: c}]\n", "a.2.b", "q", "a: [x, 'y', {b: q}]\n");
    yaml("a: &x 1 # c\nb: *x\n", "a", "2", "a: &x 2 # c\nb: *x\n");
    yaml("a: !!str 5\n", "a", "\"6\"", "a: !!str \"6\"\n");
    yaml("? a\n: b\n", "a", "c", "? a\n: c\n");
    yaml("- - x\n  - y\n", "0.1", "z", "- - x\n  - z\n");
    yaml("\"a.b\": 1\n", "\"a.b\"", "2", "\"a.b\": 2\n");
}

#[test]
fn yaml_block_scalars_stay_or_become_a_line() {
    yaml(
        "a: |  # c\n    x\n    y\n\n# d\nb: 1\n",
        "a",
        "\"p\\n\\n q\\n\"",
        "a: |  # c\n    p\n\n     q\n\n# d\nb: 1\n",
    );
    yaml("a: >-\n  x\n  y\nb: 1\n", "a", "z", "a: z\nb: 1\n");
    yaml("a: |2\n    x\nb: 1\n", "a", "\"p\\nq\"", "a: |-\n    p\n    q\nb: 1\n");
    yaml("a: |\r\n  x\r\nb: 1\r\n", "a", "\"p\\nq\\n\"", "a: |\r\n  p\r\n  q\r\nb: 1\r\n");
    yaml("l:\n- |\n  x\n- y\n", "l.0", "5", "l:\n- 5\n- y\n");
    yaml("a: x\n", "a", "\"p\\nq\"", "a: \"p\\nq\"\n");
}

#[test]
fn yaml_values_are_written_where_none_is() {
    yaml("a:\nb: 1\n", "a", "x", "a: x\nb: 1\n");
    yaml("a: # c\nb: 1\n", "a", "x", "a: x # c\nb: 1\n");
    yaml("a: &x # c\nb: *x\n", "a", "1", "a: &x 1 # c\nb: *x\n");
    yaml("l:\n- a\n-\n- c\n", "l.1", "b", "l:\n- a\n- b\n- c\n");
    yaml("a: # c\nb: 1\n", "a.x.q", "1", "a: # c\n  x:\n    q: 1\nb: 1\n");
    yaml("a: {b: , c: 1}\n", "a.b", "2", "a: {b: 2, c: 1}\n");
    yaml("", "a.b", "1", "a:\n  b: 1\n");
    yaml("# only\n", "a", "1", "# only\na: 1\n");
    yaml("# only", "a", "1", "# only\na: 1\n");
    yaml("{}\n", "a.b", "1", "{a: {b: 1}}\n");
}

#[test]
fn yaml_keys_are_added_behind_their_siblings() {
    yaml("a: 1 # c\n\nb:\n    x: 1\n# end\n", "b.q", "2", "a: 1 # c\n\nb:\n    x: 1\n    q: 2\n# end\n");
    yaml("b:\n    x: 1\nc: 1\n", "b.q.z", "2", "b:\n    x: 1\n    q:\n        z: 2\nc: 1\n");
    yaml("a:\n  x: 1\n  # y: 2\n# b\nb: 1\n", "a.z", "3", "a:\n  x: 1\n  # y: 2\n  z: 3\n# b\nb: 1\n");
    yaml("a:\r\n  x: 1\r\nb: 1", "c", "3", "a:\r\n  x: 1\r\nb: 1\r\nc: 3");
    yaml("a:\n  x: |+\n    t\n\n\nb: 1\n", "a.q", "1", "a:\n  x: |+\n    t\n\n\n  q: 1\nb: 1\n");
    yaml("a: {b: 1} # c\n", "a.c", "2", "a: {b: 1, c: 2} # c\n");
    yaml("a: {\n  b: 1, # c\n}\n", "a.c", "2", "a: {\n  b: 1, # c\n  c: 2,\n}\n");
    yaml("l:\n  - n: 1\n    m: 2\n  - n: 3\n", "l.0.o", "4", "l:\n  - n: 1\n    m: 2\n    o: 4\n  - n: 3\n");
    yaml("l:\n- a # c\n# k\nk: 1\n", "l.1", "b", "l:\n- a # c\n- b\n# k\nk: 1\n");
    yaml("l:\n  - a\n  # k\nk: 1\n", "l.1.x", "b", "l:\n  - a\n  # k\n  - x: b\nk: 1\n");
    yaml("l: [a]\n", "l.1", "b", "l: [a, b]\n");
    yaml("a:\n  b: 1\n\nc: 1\n", "a.d", "\"x\\n\\n\"", "a:\n  b: 1\n  d: \"x\\n\\n\"\n\nc: 1\n");
    yaml("a: 1\n...\n", "b", "2", "a: 1\nb: 2\n...\n");
    yaml("b: &b\n  x: 1\na:\n  <<: *b\n  y: 1\n", "a.x", "2", "b: &b\n  x: 1\na:\n  <<: *b\n  y: 1\n  x: 2\n");
}

#[test]
fn yaml_collections_and_scalars_replace_each_other() {
    yaml("a: # c\n  x: 1\n  y: 2 # d\n# e\nb: 1\n", "a", "5", "a: 5 # c\n# e\nb: 1\n");
    yaml("a: # c\n    x: 1\nb: 1\n", "a", "{p: [1, {q: r}]}", "a: # c\n    p:\n        - 1\n        - q: r\nb: 1\n");
    yaml("a:\n- x\n- y\nb: 1\n", "a", "[z]", "a:\n- z\nb: 1\n");
    yaml("a: &m\n  x: 1\nb: 1\n", "a", "5", "a: &m 5\nb: 1\n");
    yaml("l:\n- x: 1\n  y: 2\n- z\n", "l.0", "5", "l:\n- 5\n- z\n");
    yaml("a: 1 # c\n", "a.b.c", "5", "a: {b: {c: 5}} # c\n");
    yaml("a: [1,\n  2] # c\n", "a", "{}", "a: {} # c\n");
}

#[test]
fn an_alias_is_never_written_through() {
    let text = "base: &b\n  x: 1\nuse: *b\nalso:\n  - *b\n  - é: *b\n";
    for (path, line, column) in [("use", 3, 6), ("use.x", 3, 6), ("also.0.x", 5, 5), ("also.1.é.new", 6, 8)] {
        let finding = refused(Format::Yaml, text, path, "2");
        assert_eq!(finding.code, Code::ALIAS, "{path}");
        assert_eq!(finding.place, Some(Place::new(&file(Format::Yaml), line, column)), "{path}");
        let hint = finding.hint.unwrap_or_default();
        assert_eq!(hint, "change it at its anchor on line 1, or write it out here first");
    }
    yaml(text, "base.x", "2", &text.replace("x: 1", "x: 2"));
    yaml(text, "base.q", "2", &text.replace("  x: 1\n", "  x: 1\n  q: 2\n"));
}

#[test]
fn what_cannot_be_changed_in_place_is_refused() {
    assert_eq!(refused(Format::Yaml, "l: [a]\n", "l.3", "b").code, Code::REFERENCE);
    assert_eq!(refused(Format::Yaml, "l:\n- a\n", "l.x", "b").code, Code::REFERENCE);
    assert_eq!(refused(Format::Yaml, "a: 1\na: 2\n", "a", "b").code, Code::DUPLICATE_KEY);
    assert_eq!(refused(Format::Yaml, "a: 1\n--- \nb: 1\n", "a", "b").code, Code::YAML_DOCS);
    assert_eq!(refused(Format::Yaml, "a: !!str 5\n", "a", "6").code, Code::FORMAT);
    assert_eq!(refused(Format::Yaml, "a: 1\n", "", "6").code, Code::VALUE);
    assert_eq!(refused(Format::Toml, "a = 1\n", "a", "null").code, Code::FORMAT);
    assert_eq!(refused(Format::Toml, "[a]\nb = 1\n", "a", "5").code, Code::FORMAT);
    assert_eq!(refused(Format::Ini, "[s]\na = 1\n", "s.a", "\"x\\ny\"").code, Code::FORMAT);
    assert_eq!(refused(Format::Ini, "[s]\na = 1\n", "s.a.b", "x").code, Code::FORMAT);
    assert_eq!(refused(Format::Ini, "[s]\na = 1\n", "s", "x").code, Code::FORMAT);
    assert_eq!(refused(Format::Env, "A=1\n", "A", "[1]").code, Code::FORMAT);
    assert_eq!(refused(Format::Env, "A=1\n", "A.B", "1").code, Code::FORMAT);
    assert_eq!(refused(Format::Env, "A=1\n", "B C", "1").code, Code::FORMAT);
    let finding = refused(Format::Yaml, "x: 1\na: !!str 5\n", "a", "6");
    assert_eq!(finding.place, Some(Place::new(&file(Format::Yaml), 2, 10)), "the finding says where");
}

#[test]
fn json_is_changed_in_place() {
    let json = |text: &str, path: &str, new: &str, expected: &str| check(Format::Json, text, path, new, expected);
    let text = "{\n  // c\n  \"a\": 1, /* d */\n  \"b\": {\"x\": [1, 2]},\n}\n";
    json(text, "a", "hé\"", &text.replace("1, /*", "\"hé\\\"\", /*"));
    json(text, "b.x.1", "true", &text.replace("[1, 2]", "[1, true]"));
    json(text, "b.x.2", "3", &text.replace("[1, 2]", "[1, 2, 3]"));
    json(text, "b.y.z", "3", &text.replace("[1, 2]}", "[1, 2], \"y\": {\"z\": 3}}"));
    json(text, "c", "3", &text.replace("]},\n", "]},\n  \"c\": 3,\n"));
    json("{\r\n\t\"a\": 1 // c\r\n}", "b", "2", "{\r\n\t\"a\": 1, // c\r\n\t\"b\": 2\r\n}");
    json("{\"a\":1,\"b\":2}", "c", "3", "{\"a\":1,\"b\":2,\"c\":3}");
    json("{}\n", "a.b", "[]", "{\"a\": {\"b\": []}}\n");
    json("{\"a\": [1, 2]}", "a", "{b: null}", "{\"a\": {\"b\": null}}");
    json("{\"a\": 1}", "a.b", "1.5", "{\"a\": {\"b\": 1.5}}");
    json("", "a", "1", "{\"a\": 1}\n");
}

#[test]
fn toml_is_changed_in_place() {
    let toml = |text: &str, path: &str, new: &str, expected: &str| check(Format::Toml, text, path, new, expected);
    let text = "# top\nname = 'x' # n\n\n[server] # s\nport = 80\nx.y = 1\nin = {a = 1}\nl = [1, 2]\n\n[server.tls]\non = true\n\n[[u]]\nn = 1\n";
    toml(text, "name", "z", &text.replace("'x'", "'z'"));
    toml(text, "name", "it's", &text.replace("'x'", "\"it's\""));
    toml(text, "server.port", "1.5", &text.replace("80", "1.5"));
    toml(text, "server.x.y", "2", &text.replace("y = 1", "y = 2"));
    toml(text, "server.x.z", "2", &text.replace("x.y = 1\n", "x.y = 1\nx.z = 2\n"));
    toml(text, "server.host", "h", &text.replace("2]\n", "2]\nhost = \"h\"\n"));
    toml(text, "server.in.b", "2", &text.replace("{a = 1}", "{a = 1, b = 2}"));
    toml(text, "server.l.2", "3", &text.replace("[1, 2]", "[1, 2, 3]"));
    toml(text, "server.tls.key", "k", &text.replace("true\n", "true\nkey = \"k\"\n"));
    toml(text, "top", "1", &text.replace("# n\n", "# n\ntop = 1\n"));
    toml(text, "u.0.n", "2", &text.replace("n = 1", "n = 2"));
    toml(text, "u.0.m.k", "2", &text.replace("n = 1\n", "n = 1\nm.k = 2\n"));
    toml(text, "u.1.n", "2", &format!("{text}\n[[u]]\nn = 2\n"));
    toml(text, "a.b.c", "{d: 1}", &format!("{text}\n[a.b]\nc = {{ d = 1 }}\n"));
    toml(text, "server.port.x", "1", &text.replace("80", "{ x = 1 }"));
    toml("# c\n[a.b]\nx = 1\r\n", "a.y", "1", "# c\n[a.b]\nx = 1\r\n\n[a]\ny = 1\n");
    toml("# c\n\n# d\n[a]\n", "k", "1", "# c\n\nk = 1\n\n# d\n[a]\n");
    toml("[a]\r\n  x = 1\r\n[b]\r\n", "a.y", "\"é\\n\"", "[a]\r\n  x = 1\r\n  y = \"é\\n\"\r\n[b]\r\n");
    toml("[a]", "a.y", "1", "[a]\ny = 1");
    toml("", "a", "1", "a = 1\n");
    toml("a = {}\n", "a.b", "1", "a = { b = 1 }\n");
    toml("a = \"\"\"\nx\ny\"\"\" # c\n", "a", "z", "a = \"z\" # c\n");
}

#[test]
fn ini_and_dotenv_are_changed_in_place() {
    let ini = |text: &str, path: &str, new: &str, expected: &str| check(Format::Ini, text, path, new, expected);
    let text = "; c\ntop=1\n\n[a b]\n# k\nk : v w\ne =\n\n[z]\n";
    ini(text, "top", "2", &text.replace("top=1", "top=2"));
    ini(text, "\"a b\".k", "x y", &text.replace("v w", "x y"));
    ini(text, "\"a b\".e", "f", &text.replace("e =", "e = f"));
    ini(text, "\"a b\".n", "1", &text.replace("e =\n", "e =\nn : 1\n"));
    ini(text, "z.n", "1", &text.replace("[z]\n", "[z]\nn = 1\n"));
    ini(text, "q.n", "true", &format!("{text}\n[q]\nn = true\n"));
    ini(text, "new", "1", &text.replace("top=1\n", "top=1\nnew=1\n"));
    ini("[a]\r\nx = 1", "a.y", "2", "[a]\r\nx = 1\r\ny = 2");
    ini("[a]\nx = 1\n", "t", "2", "t = 2\n[a]\nx = 1\n");
    let env = |text: &str, path: &str, new: &str, expected: &str| check(Format::Env, text, path, new, expected);
    let text = "# c\nexport A=1 # d\nB='x y'\nC=\"l\nm\"\nD= # e\n";
    env(text, "A", "2", &text.replace("A=1", "A=2"));
    env(text, "B", "z", &text.replace("'x y'", "'z'"));
    env(text, "B", "it's", &text.replace("'x y'", "\"it's\""));
    env(text, "C", "true", &text.replace("\"l\nm\"", "\"true\""));
    env(text, "D", "d", &text.replace("D= #", "D=d #"));
    env(text, "E", "a b", &format!("{text}E='a b'\n"));
    env("A=1\r\nB=2", "C", "3", "A=1\r\nB=2\r\nC=3");
}

/// A value of a made document.
#[derive(Clone, Debug)]
enum Made {
    Line(&'static str),
    Block(&'static str, Vec<&'static str>),
    Map(Vec<(Dressing, String, Made)>),
    List(Vec<(Dressing, Made)>),
}

/// What stands around a key or an element: comments, an empty line, an anchor.
type Dressing = (bool, bool, bool, bool);

fn made() -> impl Strategy<Value = Made> {
    let line = prop::sample::select(vec![
        "1",
        "x",
        "'q # q'",
        "\"d\\n\"",
        "",
        "~",
        "[a, {b: c}, 'd']",
        "{e: 1, f: }",
        "plain text",
        "{}",
        "[]",
        "a:b",
        "é",
    ]);
    let header = prop::sample::select(vec!["|", ">", "|-", ">+", "|+"]);
    let body = prop::collection::vec(prop::sample::select(vec!["t", "u v", "", "  w", "# no comment", "k: v"]), 0..4);
    let leaf = prop_oneof![4 => line.prop_map(Made::Line), 1 => (header, body).prop_map(|(it, body)| {
        Made::Block(it, std::iter::once("s").chain(body).collect())
    })];
    let dressing = any::<Dressing>();
    leaf.prop_recursive(3, 20, 4, move |inner| {
        let field = (dressing, "[a-d]|'e f'|\"g\"", inner.clone());
        prop_oneof![
            prop::collection::vec(field, 1..4).prop_map(Made::Map),
            prop::collection::vec((dressing, inner), 1..4).prop_map(Made::List),
        ]
    })
}

/// Writes a made document, with anchors `&a1`, `&a2`, … whose last one is repeated at the end.
struct Writer {
    text: String,
    step: usize,
    n_anchors: usize,
}

impl Writer {
    fn before(&mut self, indent: usize, dressing: Dressing) {
        if dressing.0 {
            self.text.push_str(&format!("{:indent$}# above\n", ""));
        }
        if dressing.1 {
            self.text.push('\n');
        }
    }

    fn value(&mut self, indent: usize, dressing: Dressing, made: &Made) {
        if dressing.2 && dressing.3 {
            self.n_anchors += 1;
            self.text.push_str(&format!(" &a{}", self.n_anchors));
        }
        let remark = if dressing.2 { " # behind" } else { "" };
        match made {
            Made::Line("") => self.text.push_str(&format!("{remark}\n")),
            Made::Line(it) => self.text.push_str(&format!(" {it}{remark}\n")),
            Made::Block(header, lines) => {
                self.text.push_str(&format!(" {header}{remark}\n"));
                for line in lines {
                    let line = format!("{:1$}{line}", "", indent + self.step);
                    self.text.push_str(&format!("{}\n", line.trim_end()));
                }
            }
            Made::Map(_) | Made::List(_) => {
                self.text.push_str(&format!("{remark}\n"));
                self.lines(indent + self.step, made);
            }
        }
    }

    fn lines(&mut self, indent: usize, made: &Made) {
        match made {
            Made::Map(fields) => {
                let mut seen = std::collections::HashSet::new();
                for (dressing, key, below) in fields.iter().filter(|it| seen.insert(it.1.as_str())) {
                    self.before(indent, *dressing);
                    self.text.push_str(&format!("{:indent$}{key}:", ""));
                    self.value(indent, *dressing, below);
                }
            }
            Made::List(items) => {
                for (dressing, below) in items {
                    self.before(indent, *dressing);
                    self.text.push_str(&format!("{:indent$}-", ""));
                    self.value(indent, *dressing, below);
                }
            }
            _ => {}
        }
    }
}

fn document() -> impl Strategy<Value = String> {
    let fields = prop::collection::vec((any::<Dressing>(), "[a-d]", made()), 1..4).prop_map(Made::Map);
    (fields, 1..4_usize, any::<bool>(), any::<bool>()).prop_map(|(map, step, is_crlf, is_open)| {
        let mut writer = Writer { text: String::new(), step, n_anchors: 0 };
        writer.lines(0, &map);
        if writer.n_anchors > 0 {
            writer.text.push_str(&format!("z: [*a{}]\n", writer.n_anchors));
        }
        let text = if is_open { writer.text.trim_end().to_owned() } else { writer.text };
        if is_crlf { text.replace('\n', "\r\n") } else { text }
    })
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|it| Value::Int(it.into())),
        "(?s).{0,8}".prop_map(Value::String),
        "[-#:|> \n\ta0'\"\\\\{},\\[\\]]{0,8}".prop_map(Value::String),
        Just(value("[1, {a: b}]")),
        Just(value("{a: [], b: {c: d}}")),
    ]
}

/// Lists the paths of a text, each with its first line, its last line, and whether it is a scalar; no alias is among them.
fn paths(text: &str, spot: &Spot, at: &[String], found: &mut Vec<(Vec<String>, usize, usize, bool)>) {
    let line = |it: usize| text[..it].matches('\n').count();
    let mut below = |step: String, spot: &Spot, start: usize, end: usize| {
        let path = [at, &[step]].concat();
        let is_scalar = matches!(spot.content, Content::Scalar(..));
        if !matches!(spot.content, Content::Alias(_)) {
            found.push((path.clone(), line(start), line(spot.end(text, end)), is_scalar));
        }
        paths(text, spot, &path, found);
    };
    match &spot.content {
        Content::Map(fields) => {
            fields.iter().for_each(|it| below(it.key.clone(), &it.spot, it.span.start, it.span.end))
        }
        Content::List(items) => {
            let start = |it: &Spot| match it.content {
                // The span begins below the header.
                Content::Scalar(Style::Block, _) => text[..it.span.start].trim_end().len() - 1,
                _ => it.span.start,
            };
            items.iter().enumerate().for_each(|(idx, it)| below(idx.to_string(), it, start(it), it.span.start));
        }
        _ => {}
    }
}

/// Returns the numbers of equal lines at the start and at the end.
fn common(old: &[&str], new: &[&str]) -> (usize, usize) {
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - start;
    let end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    (start, end)
}

fn comments(text: &str) -> Vec<String> {
    let layout = layout::yaml(text, 64).expect("YAML");
    layout.remarks.iter().map(|it| text[*it..super::text::line_stop(text, *it)].to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn x19_only_the_lines_of_the_value_change(text in document(), new in values()) {
        let layout = layout::yaml(&text, 64).expect("YAML");
        let mut found = Vec::new();
        paths(&text, &layout.root, &[], &mut found);
        let old_lines: Vec<&str> = text.split('\n').collect();
        for (path, first, last, is_scalar) in found {
            let changed = set(Format::Yaml, &"a.yaml".into(), text.as_bytes(), &path, &new);
            if !is_scalar && text.contains("*a") && changed.is_err() {
                // An anchor would be lost that is used elsewhere.
                continue;
            }
            let changed = changed.unwrap_or_else(|it| panic!("{path:?}: {it:?} in {text:?}"));
            let changed = String::from_utf8(changed).expect("UTF-8");
            let new_lines: Vec<&str> = changed.split('\n').collect();
            let (start, end) = common(&old_lines, &new_lines);
            let is_within = start >= first && old_lines.len() - end <= last + 1;
            prop_assert!(is_within || text == changed, "{:?}: {:?} became {:?}", path, text, changed);
            if is_scalar {
                prop_assert_eq!(comments(&text), comments(&changed), "{:?}: {:?} became {:?}", path, text, changed);
            }
            let again = set(Format::Yaml, &"a.yaml".into(), changed.as_bytes(), &path, &new).expect("is set again");
            prop_assert_eq!(again, changed.into_bytes());
        }
    }

    #[test]
    fn x19_a_new_key_is_all_that_is_new(text in document(), new in values()) {
        let layout = layout::yaml(&text, 64).expect("YAML");
        let mut found = Vec::new();
        paths(&text, &layout.root, &[], &mut found);
        let maps = found.iter().map(|it| &it.0).chain([&Vec::new()]).cloned().collect::<Vec<_>>();
        for mut path in maps {
            let node = read(Format::Yaml, &"a.yaml".into(), text.as_bytes()).expect("YAML");
            match &node.at(&path).expect("exists").value {
                Value::Map(_) => path.push("new".into()),
                Value::List(items) => path.push(items.len().to_string()),
                _ => continue,
            }
            let changed = set(Format::Yaml, &"a.yaml".into(), text.as_bytes(), &path, &new);
            let changed = changed.unwrap_or_else(|it| panic!("{path:?}: {it:?} in {text:?}"));
            let changed = String::from_utf8(changed).expect("UTF-8");
            prop_assert_eq!(comments(&text), comments(&changed), "{:?}: {:?} became {:?}", path, text, changed);
            prop_assert!(is_subsequence(&text, &changed), "{:?}: {:?} became {:?}", path, text, changed);
        }
    }

    #[test]
    fn x19_other_formats_change_the_lines_of_the_value_only(
        texts in prop::collection::vec(("[a-c]{1,2}", "[a-z ,#'\"]{0,6}"), 1..5),
        new in "[a-z '\"\\\\,=]{0,6}",
    ) {
        let below: serde_json::Map<_, _> = texts.iter().map(|(key, it)| (key.clone(), json!(it))).collect();
        let flat = serde_json::Value::Object(below.clone()).to_string();
        let deep = json!({"s": below.clone(), "t": {"x": "1"}}).to_string();
        for (format, made) in [(Format::Json, &deep), (Format::Toml, &deep), (Format::Ini, &deep), (Format::Env, &flat)] {
            let node = read(Format::Json, &"a.json".into(), made.as_bytes()).expect("JSON");
            let Ok(text) = super::super::emit(&node, format) else { continue };
            for key in below.keys() {
                let path = if format == Format::Env { vec![key.clone()] } else { vec!["s".into(), key.clone()] };
                let value = Value::String(new.clone());
                let Ok(changed) = set(format, &file(format), text.as_bytes(), &path, &value) else {
                    prop_assert!(matches!(format, Format::Ini | Format::Env), "{:?}", text);
                    continue;
                };
                let changed = String::from_utf8(changed).expect("UTF-8");
                let (old, new) = (text.split('\n').collect::<Vec<_>>(), changed.split('\n').collect::<Vec<_>>());
                let (start, end) = common(&old, &new);
                prop_assert_eq!(old.len(), new.len());
                prop_assert!(old.len() - start - end.min(old.len() - start) <= 1, "{:?} became {:?}", text, changed);
            }
        }
    }

    #[test]
    fn x19_no_text_is_too_damaged_to_be_refused(
        text in document(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(), new in values(),
    ) {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        for format in [Format::Yaml, Format::Json, Format::Toml, Format::Ini, Format::Env] {
            for path in ["a", "a.0", "b.a.c", "new.key"] {
                let path = KeyPath::parse(path).expect("a path");
                let _refused_or_not = set(format, &file(format), &bytes, path.steps(), &new);
            }
        }
    }
}

/// Returns whether every character of `text` is in `longer`, in order.
fn is_subsequence(text: &str, longer: &str) -> bool {
    let mut chars = longer.chars();
    text.chars().all(|it| chars.any(|other| other == it))
}
