//! Layers that come from servers: what this room asks the edges for, and what it believes of what they say.

use crate::document::Limits;
use crate::finding::{Code, Finding};
use crate::manifest::RemoteLayer;

/// Where remote layers come from: what the edges know.
pub trait Remotes {
    /// Returns the file of a layer. The finding has no place.
    fn fetch(&self, layer: &RemoteLayer) -> Result<Vec<u8>, Finding>;

    /// Returns the file of a layer that was fetched before, for the lines that findings point to. Nothing is asked for.
    fn fetched(&self, layer: &RemoteLayer) -> Option<Vec<u8>>;
}

/// For programs without remote layers: every one is refused.
pub struct NoRemotes;

impl Remotes for NoRemotes {
    fn fetch(&self, layer: &RemoteLayer) -> Result<Vec<u8>, Finding> {
        let message = format!("{} may not be fetched: this program allows no remote layers", layer.url);
        let hint = "give the `ConfigurationManager` a `RemoteStore`, or put the file into the repository";
        Err(Finding::error(Code::REMOTE_NOT_ALLOWED, message).hint(hint))
    }

    fn fetched(&self, _layer: &RemoteLayer) -> Option<Vec<u8>> {
        None
    }
}

/// Returns the file of a layer, held against its digest and the limit here, whoever fetched it.
pub(super) fn fetch(remotes: &dyn Remotes, layer: &RemoteLayer) -> Result<Vec<u8>, Finding> {
    let bytes = remotes.fetch(layer)?;
    layer.verify(&bytes)?;
    let limit = Limits::default().bytes;
    if bytes.len() > limit {
        let message = format!("{} has {} bytes; the limit is {limit}", layer.url, bytes.len());
        return Err(Finding::error(Code::FILE_TOO_BIG, message));
    }
    Ok(bytes)
}
