//! The text of the lines that findings point to.

use crate::config::Remotes;
use crate::document::Format;
use crate::finding::Findings;
use crate::manifest::{LayerSource, Manifest, RemoteLayer};
use crate::place::Place;
use crate::revision::Tree;
use crate::secrets;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most bytes of a file that is shown in part.
const SHOWN_BYTES_MAX: usize = 16 << 20;

/// Adds to every finding the text of its line; each file is read once. Remote layers are those of the manifest.
pub(super) fn attach(tree: &dyn Tree, manifest: Option<&Manifest>, remotes: &dyn Remotes, findings: &mut Findings) {
    let known: RefCell<BTreeMap<String, Option<Arc<str>>>> = RefCell::default();
    findings.attach_lines(&|path| {
        known.borrow_mut().entry(path.to_owned()).or_insert_with(|| text(tree, manifest, remotes, path)).clone()
    });
}

/// Returns the text of a file, or of a remote layer; not that of a file with secrets, where someone may have left one plain.
fn text(tree: &dyn Tree, manifest: Option<&Manifest>, remotes: &dyn Remotes, path: &str) -> Option<Arc<str>> {
    let (bytes, format) = match path.contains("://") {
        true => {
            let layer = layer_of(manifest?, path)?;
            (remotes.fetched(layer)?, Some(layer.format))
        }
        false => (tree.read_file(path, SHOWN_BYTES_MAX, &Place::whole(path)).ok()??.1, Format::of_path(path)),
    };
    if secrets::is_sops_text(&bytes, format) {
        return None;
    }
    String::from_utf8(bytes).ok().map(Arc::from)
}

/// Returns the remote layer of an address; `None` when the manifest has several, because nothing tells whose line it is.
fn layer_of<'a>(manifest: &'a Manifest, url: &str) -> Option<&'a RemoteLayer> {
    let sources = manifest.configurations.values().flat_map(|it| &it.layers).map(|it| &it.source);
    let mut layers = sources.filter_map(|it| match it {
        LayerSource::Remote(layer) if layer.url == url => Some(layer),
        _ => None,
    });
    let first = layers.next()?;
    layers.all(|it| it == first).then_some(first)
}
