//! How documents of a repository are opened: with the host's secrets; and migrated: with the repository's migrations.

use crate::config::{Document, Documents, Migrations};
use crate::document::{self, Format, Limits, MergeKeys};
use crate::finding::Findings;
use crate::manifest::Located;
use crate::migrate::ConfigurationMigrator;
use crate::render::Opened;
use crate::revision::Tree;
use crate::secrets::{self, SecretManager};
use std::sync::Arc;

impl Documents for SecretManager {
    fn open(&self, file: &Arc<str>, bytes: &[u8], format: Format, findings: &mut Findings) -> Option<Document> {
        let is_sealed = secrets::is_sops_text(bytes, Some(format));
        if !is_sealed {
            let node = document::parse(format, file, bytes, &Limits::default(), MergeKeys::Apply, findings)?;
            if !secrets::is_sops(&node) {
                return Some(Document { node: Arc::new(node), is_sealed });
            }
        }
        // Of a document that holds encrypted values and nothing that says how to open them, the attempt says what is missing.
        let node = self.decrypt(file, bytes, format, findings)?;
        is_sealed.then(|| Document { node: Arc::new(node), is_sealed })
    }

    fn migrations(
        &self,
        tree: &dyn Tree,
        folder: &Located<String>,
        findings: &mut Findings,
    ) -> Option<Box<dyn Migrations>> {
        let migrator = ConfigurationMigrator::read(tree, folder, findings)?;
        Some(Box::new(migrator))
    }
}

/// Decrypts a file that is copied, when SOPS encrypted it.
pub(super) fn open_copy(secrets: &SecretManager, path: &str, bytes: &[u8], findings: &mut Findings) -> Opened {
    let format = Format::of_path(path);
    if !secrets::is_sops_text(bytes, format) {
        return Opened::Plain;
    }
    match secrets.decrypt_text(&Arc::from(path), bytes, format, findings) {
        Some(text) => Opened::Secret(text.expose().to_vec()),
        None => Opened::Failed,
    }
}
