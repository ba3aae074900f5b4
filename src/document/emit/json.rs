//! JSON that readers of YAML take for the same values, too.

use super::super::{Node, Value};
use super::yaml::{is_printable, word};

pub(super) fn emit(node: &Node) -> String {
    let mut out = String::new();
    value(&mut out, node, 0);
    out.push('\n');
    out
}

fn value(out: &mut String, node: &Node, indent: usize) {
    match &node.value {
        Value::String(it) => text(out, it),
        Value::List(items) => collection(out, ['[', ']'], indent, items, |out, it| value(out, it, indent + 2)),
        Value::Map(map) => collection(out, ['{', '}'], indent, map.iter(), |out, entry| {
            text(out, &entry.key);
            out.push_str(": ");
            value(out, &entry.node, indent + 2);
        }),
        // Numbers have a point and a signed exponent, without which YAML 1.1 sees text.
        it => out.push_str(&word(it)),
    }
}

fn collection<T>(
    out: &mut String,
    [open, close]: [char; 2],
    indent: usize,
    items: impl IntoIterator<Item = T>,
    mut each: impl FnMut(&mut String, T),
) {
    out.push(open);
    let mut is_empty = true;
    for item in items {
        out.push_str(if std::mem::take(&mut is_empty) { "\n" } else { ",\n" });
        out.extend(std::iter::repeat_n(' ', indent + 2));
        each(out, item);
    }
    if !is_empty {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indent));
    }
    out.push(close);
}

/// Writes text; what JSON lets stand as it is and other readers do not, as an escape.
fn text(out: &mut String, text: &str) {
    for it in serde_json::Value::from(text).to_string().chars() {
        match it {
            _ if is_printable(it) => out.push(it),
            // All of these are below U+10000.
            _ => out.push_str(&format!("\\u{:04x}", u32::from(it))),
        }
    }
}
