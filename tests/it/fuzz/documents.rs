//! Documents of every format: read, written again, and changed in place.

use super::damage::{Dice, attack};
use super::{file, files_below};
use headfast::document::{Format, KeyPath, Limits, Map, MergeKeys, Node, Value, edit, emit, parse};
use headfast::finding::Findings;
use headfast::place::Place;
use std::sync::Arc;

const SAMPLES: [(Format, &str); 11] = [
    (
        Format::Yaml,
        "a: &a {x: [1, 'b', \"\\u00e9\\ud83d\\ude00\"], ü: ~}\n? b\n: <<: *a\n  c: |-\n    t\n   \n  d: >\n    f\n- !!str 1: e # c\n",
    ),
    (
        Format::Yaml,
        "# c\nserver:\n  port:  8080   # the port\n\n  host: 'a.example'\nlist:\n- x\n- {y: \"z\", w: [1, 2.5]}\nt: |\n  one\n  two\n",
    ),
    (
        Format::Yaml,
        "base: &b\n  a: 1\n  n:\n    m: x\nuse: *b\nalso:\n  <<: *b\n  c: 3\nempty:\nmore: plain\n  text\r\nlast: !!str 5\n",
    ),
    (Format::Json, "{\"a\": [1, -2.5e3, \"\\u00e9\\ud83d\\ude00\\\\\", true,], /* c */ \"ü\": {\"n\": null}} // c\n"),
    (Format::Json, "{\n\t\"a\": {\"b\": []},\n\t\"c\": [\n\t\t{\"d\": \"e\"}\n\t]\n}"),
    (
        Format::Toml,
        "a.\"b\".'c' = 1\nd = [1, {e = \"\\u00e9\", f = '''x'''}]\n[t.u] # c\nw = 2001-01-01T00:00:00Z\n[[l]]\nm = \"\"\"\nü\"\"\"\n[[l]]\nf = 1_0.5e3\n",
    ),
    (
        Format::Toml,
        "# c\nname = 'x' # d\nports = [\n  1, # one\n  2,\n]\n\n[server]\nhost = \"a\"\n\n[server.tls]\non = true\n",
    ),
    (Format::Env, "# c\nexport A=\"x\\n\\\"ü\" # c\nB='y\nz'\nC = d # e\n"),
    (Format::Env, "A=1\nB=\nC=''\nD=x y\n"),
    (Format::Ini, "t: 1\n[ä b] ; c\nk = v\n# c\nü=\n"),
    (Format::Ini, "[a]\nb = c\nd: e f\n\n[g]\nh=1\n"),
];

fn corpus() -> Vec<(Format, Vec<u8>)> {
    let mut corpus: Vec<_> = SAMPLES.iter().map(|(format, text)| (*format, text.as_bytes().to_vec())).collect();
    for path in files_below("examples").iter().filter(|it| !it.contains("schemas/")) {
        if let Some(format) = Format::of_path(path).filter(|it| *it != Format::Ini) {
            corpus.push((format, file(&format!("examples/{path}"))));
        }
    }
    corpus
}

fn read(format: Format, text: &[u8]) -> (Option<Node>, Findings) {
    let mut findings = Findings::new();
    let node = parse(format, &"f".into(), text, &Limits::default(), MergeKeys::Apply, &mut findings);
    (node, findings)
}

/// The paths of all values, and where they are.
fn paths(node: &Node, at: &mut Vec<String>, found: &mut Vec<(Vec<String>, Place)>) {
    let mut below = |step: String, node: &Node| {
        at.push(step);
        found.push((at.clone(), node.place.clone()));
        paths(node, at, found);
        at.pop();
    };
    match &node.value {
        Value::Map(map) => map.iter().for_each(|it| below(it.key.clone(), &it.node)),
        Value::List(items) => items.iter().enumerate().for_each(|(idx, it)| below(idx.to_string(), it)),
        _ => {}
    }
}

/// Where the keys and values of a tree begin.
fn starts(node: &Node, text: &str, found: &mut Vec<usize>) {
    found.push(offset(text, &node.place));
    for entry in node.as_map().into_iter().flat_map(Map::iter) {
        found.push(offset(text, &entry.place));
        starts(&entry.node, text, found);
    }
    node.as_list().into_iter().flatten().for_each(|it| starts(it, text, found));
}

/// The byte at which a place is.
fn offset(text: &str, place: &Place) -> usize {
    let number = |it: u32| usize::try_from(it).expect("64 bits") - 1;
    let line: usize = text.split_inclusive('\n').take(number(place.line.max(1))).map(str::len).sum();
    line + text[line..].chars().take(number(place.column.max(1))).map(char::len_utf8).sum::<usize>()
}

fn any_value(dice: &mut Dice) -> Value {
    let text = |it: &str| Value::String(it.to_owned());
    let any = [
        Value::Null,
        Value::Bool(true),
        Value::Int(-7),
        Value::Float(1.5e300),
        text(""),
        text("plain"),
        text("no"),
        text("it's \"so\" # `x` $y \\"),
        text("two\nlines\n"),
        text("\u{85}\u{1}ü"),
        Value::List(vec![Node::new(Value::Int(1), Place::whole("new"))]),
        Value::Map(Map::new()),
    ];
    dice.pick(&any).clone()
}

/// Changes a value, or adds one, and judges what came of it.
fn change(format: Format, text: &str, node: &Node, dice: &mut Dice) -> Result<(), String> {
    let mut found = Vec::new();
    paths(node, &mut Vec::new(), &mut found);
    let (mut path, _) = if found.is_empty() { (Vec::new(), node.place.clone()) } else { dice.pick(&found).clone() };
    let is_new = dice.below(3) == 0;
    if is_new {
        path.truncate(dice.below(path.len() + 1));
        path.extend(["new", "k", "0"].iter().take(1 + dice.below(3)).map(|it| (*it).to_owned()));
    }
    let value = any_value(dice);
    let Ok(changed) = edit::set(format, &Arc::from("f"), text.as_bytes(), &path, &value) else { return Ok(()) };
    let told = |what: &str| format!("{what}: {path:?} = {value:?} gave {:?}", String::from_utf8_lossy(&changed));
    let (new, findings) = read(format, &changed);
    let Some(new) = new.filter(|_| !findings.has_errors()) else { return Err(told("cannot be read")) };
    let as_text = matches!(format, Format::Env | Format::Ini);
    let is_there = new.at(&path).is_some_and(|it| as_text || it.value == value || is_equal(it, &value));
    if !is_there {
        return Err(told("is not there"));
    }
    // A key that is new in a map that has others: nothing of what is there goes.
    let parent = path.iter().position(|it| it == "new").and_then(|it| node.at(&path[..it]));
    let is_added = is_new && parent.and_then(Node::as_map).is_some_and(|it| !it.is_empty() && it.get("new").is_none());
    if is_added && !is_subsequence(text.as_bytes(), &changed) {
        return Err(told("lost something"));
    }
    // A value that was there and is a scalar: what stands before it, and from the next one on, must be as it was. Where a
    // value is written once and read twice, or has a tag before it, that is another matter.
    let old = node.at(&path).filter(|it| !is_new && it.as_map().is_none() && it.as_list().is_none());
    let is_simple = format != Format::Yaml || !text.contains(['*', '!', '&']);
    if let Some(old) = old.filter(|it| is_simple && it.value != Value::Null && value_is_scalar(&value)) {
        let mut begins = Vec::new();
        starts(node, text, &mut begins);
        let start = offset(text, &old.place);
        let next = begins.iter().copied().filter(|it| *it > start).min().unwrap_or(text.len());
        // A block scalar of YAML begins behind its `|`, which goes as well: there the key is what must stay.
        let key = begins.into_iter().filter(|it| *it < start).max().unwrap_or(0);
        let start = if format == Format::Yaml { key } else { start };
        let (before, after) = (&text.as_bytes()[..start], &text.as_bytes()[next..]);
        if !changed.starts_with(before) || !changed.ends_with(after) {
            return Err(told("changed more than the value"));
        }
    }
    Ok(())
}

/// Returns whether the bytes of `text` are in `longer`, in order.
fn is_subsequence(text: &[u8], longer: &[u8]) -> bool {
    let mut longer = longer.iter();
    text.iter().all(|it| longer.any(|other| other == it))
}

fn value_is_scalar(value: &Value) -> bool {
    !matches!(value, Value::Map(_) | Value::List(_))
}

fn is_equal(node: &Node, value: &Value) -> bool {
    node.to_json() == Node::new(value.clone(), node.place.clone()).to_json()
}

#[test]
fn d16_documents_are_read_written_and_changed_without_a_panic() {
    attack(1500, &corpus(), |format, text, dice| {
        let (node, findings) = read(*format, text);
        let Some(node) = node else {
            return if findings.has_errors() { Ok(()) } else { Err("neither a value nor a mistake".to_owned()) };
        };
        for other in [Format::Yaml, Format::Json, Format::Toml, Format::Env, Format::Ini] {
            if let Ok(written) = emit(&node, other) {
                let (again, mistakes) = read(other, written.as_bytes());
                let is_same = again.is_some_and(|it| it.to_json() == node.to_json());
                let is_exact = matches!(other, Format::Yaml | Format::Json) && !findings.has_errors();
                if mistakes.has_errors() || is_exact && !is_same {
                    return Err(format!("as {other:?} it is {written:?}: {mistakes:?}"));
                }
            }
        }
        match std::str::from_utf8(text) {
            Ok(text) if !findings.has_errors() => change(*format, text, &node, dice),
            _ => Ok(()),
        }
    });
}

#[test]
fn d16_paths_are_read_without_a_panic() {
    let corpus = ["server.port", "\"a.b\".c.0", "/a~1b/~0/x", "users.0.\"n\\u00e9\".\"\"", "a..b"];
    attack(2000, &corpus.map(|it| ((), it.as_bytes().to_vec())), |(), text, _| {
        let Ok(text) = std::str::from_utf8(text) else { return Ok(()) };
        let Ok(path) = KeyPath::parse(text) else { return Ok(()) };
        match KeyPath::parse(&path.to_string()) {
            Ok(again) if again == path => Ok(()),
            again => Err(format!("{path} reads as {again:?}")),
        }
    });
}
