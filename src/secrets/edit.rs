//! Values of a SOPS file by other values, and nothing else changed.

use super::read::{Remark, Source};
use super::tree::Item;
use crate::document::edit::{Edit, replace_block};

/// Replaces values of a text by other values.
pub(super) struct Replacer<'a> {
    source: &'a Source<'a>,
    /// Where comments begin, in the order of the text.
    remarks: Vec<usize>,
}

impl<'a> Replacer<'a> {
    pub fn new(source: &'a Source<'a>, remarks: &[Remark]) -> Self {
        let mut remarks: Vec<_> = remarks.iter().map(|it| it.span.start).collect();
        remarks.sort_unstable();
        Replacer { source, remarks }
    }

    /// Returns the edits that put `new`, which stands on one line, in the place of a scalar.
    ///
    /// A block scalar loses its header and its lines; a comment behind the header stays, and so do empty lines below.
    pub fn replace(&self, item: &Item, new: String) -> Vec<Edit> {
        if !item.is_block {
            return vec![(item.span.clone(), new)];
        }
        replace_block(self.source.text, &item.span, &self.remarks, new, String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::edit::apply;
    use crate::secrets::read::{self, Store};
    use crate::secrets::tree::{Data, Scalar};
    use std::sync::Arc;

    /// Replaces all scalars but null by `X`.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let source = Source::new(&Arc::from("a.yaml"), text.as_bytes()).expect("is UTF-8");
        let read = read::read(&source, Store::Yaml).expect("is YAML");
        let replacer = Replacer::new(&source, &read.remarks);
        let mut edits = Vec::new();
        let mut items: Vec<&Item> = read.documents.iter().collect();
        while let Some(item) = items.pop() {
            match &item.data {
                Data::Map(fields) => items.extend(fields.iter().map(|it| &it.item)),
                Data::List(list) => items.extend(list),
                Data::Scalar(Scalar::Null) | Data::Comment(_) => {}
                Data::Scalar(_) => edits.extend(replacer.replace(item, "X".into())),
            }
        }
        assert_eq!(apply(text, edits), expected);
    }

    #[test]
    fn scalars_of_every_style_are_replaced() {
        check("a: 1 # c\nb: 'x\n  y'\nc: one\n  two # t\n", "a: X # c\nb: X\nc: X # t\n");
        check("l: [a, {b: \"c\"}]\nm:\n- x\n-\n  y\n- ~\n", "l: [X, {b: X}]\nm:\n- X\n-\n  X\n- ~\n");
    }

    #[test]
    fn block_scalars_leave_a_line() {
        check("a: |\n  x\n  # text\n# c\nb: 1", "a: X\n# c\nb: X");
        check("a: >-  # a | b\n\n    x\n\n     y\n\n\nb: 1\n", "a: X  # a | b\n\n\nb: X\n");
        check("a|b: |2+\n    x\n  \nb: 1", "a|b: X\n  \nb: X");
        check("l:\n- |\n  x\n- >\n  y", "l:\n- X\n- X");
        check("a:\n  |\n  x\nb: 1\n", "a:\n  X\nb: X\n");
        check("a: |\r\n  x\r\n  y\r\n\r\nb: |\r\n  z\u{a0}\r\n", "a: X\r\n\r\nb: X\r\n");
        check("a: |\n\nb: |+\n\n\nc: 1\n", "a: X\n\nb: X\n\n\nc: X\n");
    }
}
