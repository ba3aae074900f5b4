//! The text of the lines that findings point to.

use crate::config::Remotes;
use crate::document::Format;
use crate::finding::Findings;
use crate::place::Place;
use crate::revision::Tree;
use crate::secrets;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most bytes of a file that is shown in part.
const SHOWN_BYTES_MAX: usize = 16 << 20;

/// Adds to every finding the text of its line; each file is read once.
pub(super) fn attach(tree: &dyn Tree, remotes: &dyn Remotes, findings: &mut Findings) {
    let known: RefCell<BTreeMap<String, Option<Arc<str>>>> = RefCell::default();
    findings.attach_lines(&|path| {
        known.borrow_mut().entry(path.to_owned()).or_insert_with(|| text(tree, remotes, path)).clone()
    });
}

/// Returns the text of a file, or of a remote layer; not that of a file with secrets, where someone may have left one plain.
fn text(tree: &dyn Tree, remotes: &dyn Remotes, path: &str) -> Option<Arc<str>> {
    let bytes = match path.contains("://") {
        true => remotes.fetched(path)?,
        false => tree.read_file(path, SHOWN_BYTES_MAX, &Place::whole(path)).ok()??.1,
    };
    if secrets::is_sops_text(&bytes, Format::of_path(path)) {
        return None;
    }
    String::from_utf8(bytes).ok().map(Arc::from)
}
