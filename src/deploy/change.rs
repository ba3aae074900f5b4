//! From a plan to the transaction that carries it out.

use super::Error;
use crate::host::scan::DigestKey;
use crate::host::transaction::{Change, Request, TargetChange};
use crate::plan::{Accounts, Action, Ledger, LiveKind, Operation, Plan, Recorded, Stat, Wanted};
use crate::render::{Content, RenderedTarget, Rendering};
use crate::revision::Tree;
use crate::state::KeptFile;

/// Returns the transaction's request for a plan. Targets are in switching order, those that are no longer selected last.
pub fn request(plan: &Plan, rendering: &Rendering, ledger: &Ledger, accounts: &Accounts) -> Request {
    let mut roots: Vec<&str> = rendering.targets.iter().map(|it| it.path.as_str()).collect();
    for operation in &plan.operations {
        if !roots.contains(&operation.at.root.as_str()) {
            roots.push(&operation.at.root);
        }
    }
    let target = |root: &str| {
        let rendered = rendering.targets.iter().find(|it| it.path == root);
        let operations = plan.operations.iter().filter(|it| it.at.root == root);
        TargetChange {
            root: root.to_owned(),
            publish: rendered.map(|it| it.publish),
            sensitive: sensitive(ledger, root),
            directories: directory_style(rendered, accounts),
            made: made(ledger, root),
            changes: operations.map(|it| change(it, rendered, ledger)).collect(),
        }
    };
    let targets = roots.into_iter().map(target).filter(|it| !it.changes.is_empty()).collect();
    Request { deployment: 0, repository: String::new(), targets, actions: serde_json::Value::Null }
}

fn directory_style(rendered: Option<&RenderedTarget>, accounts: &Accounts) -> (u32, u32, u32) {
    let uid = rendered.and_then(|it| it.owner.as_ref()).and_then(|it| accounts.users.get(it));
    let gid = rendered.and_then(|it| it.group.as_ref()).and_then(|it| accounts.groups.get(it));
    (
        rendered.map_or(0o755, |it| it.directory_mode),
        uid.copied().unwrap_or(accounts.default_uid),
        gid.copied().unwrap_or(accounts.default_gid),
    )
}

fn made(ledger: &Ledger, root: &str) -> Vec<String> {
    let rows = ledger.iter().filter(|(at, row)| at.root == root && row.kind == LiveKind::Directory);
    rows.map(|(at, _)| at.path.as_str().to_owned()).collect()
}

/// Returns the paths of a target's files that hold something that was encrypted.
pub fn sensitive(ledger: &Ledger, root: &str) -> Vec<String> {
    let rows = ledger.iter().filter(|(at, row)| at.root == root && row.sensitive);
    rows.map(|(at, _)| at.path.as_str().to_owned()).collect()
}

fn change(operation: &Operation, rendered: Option<&RenderedTarget>, ledger: &Ledger) -> Change {
    let row_before = ledger.get(&operation.at).cloned();
    let content = rendered.and_then(|it| it.files.get(&operation.at.path)).map(|it| it.content.clone());
    let writes = operation.action.writes() && operation.action != Action::Remove;
    let incoming = match (&operation.wanted, content) {
        (Some(wanted), Some(content)) if writes => Some((content, row(wanted))),
        _ => None,
    };
    let row_after = match (operation.action, &operation.wanted, &operation.live) {
        (Action::Adopt, Some(wanted), Some(live)) => Some(Recorded {
            digest: live.digest.clone().map(|it| it.0).unwrap_or_default(),
            stat: live.stat,
            ..row(wanted)
        }),
        _ => None,
    };
    Change {
        path: operation.at.path.clone(),
        incoming,
        outgoing: operation.live.clone().filter(|_| operation.action.writes()),
        row_before,
        row_after,
        unowned: false,
    }
}

/// Returns the ledger's row for what is wanted; the transaction fills in the digest and the stat.
fn row(wanted: &Wanted) -> Recorded {
    Recorded {
        identity: wanted.identity.clone(),
        kind: wanted.kind.clone(),
        digest: String::new(),
        mode: wanted.mode,
        uid: wanted.uid,
        gid: wanted.gid,
        sensitive: wanted.sensitive,
        stat: Stat::default(),
    }
}

/// Gives a path of a request what was live there once, from a kept copy.
///
/// The ledger's row stays what the rendering makes it, so that the edit shows as drift again; a file that headfast had not
/// written comes back as one that is not its own.
pub fn bring_back(
    request: &mut Request,
    file: &KeptFile,
    bytes: Vec<u8>,
    key: &DigestKey,
    tree: &dyn Tree,
) -> Result<(), Error> {
    let target = request.targets.iter_mut().find(|it| it.root == file.kept.root);
    let Some(change) = target.and_then(|it| it.changes.iter_mut().find(|it| it.path.as_str() == file.kept.path)) else {
        return Ok(());
    };
    let is_foreign = file.kept.reason == "existing" && change.outgoing.is_some();
    let row = match (&change.incoming, &change.row_before) {
        (Some((_, row)), _) => row.clone(),
        (None, Some(row)) if is_foreign => row.clone(),
        _ => return Ok(()),
    };
    if let (Some((content, _)), None, false) = (&change.incoming, &change.row_after, change.unowned) {
        let rendered = super::observe::bytes(tree, content).map_err(crate::host::Error::from)?;
        // Any stat but the empty one stays as it is; no file has this one, so the next scan reads the content.
        let stat = Stat { size: u64::MAX, ..Stat::default() };
        change.row_after = Some(Recorded { digest: key.of(&rendered).0, stat, ..row.clone() });
    }
    change.unowned |= change.incoming.is_none();
    let content = match file.link {
        true => Content::Link(String::from_utf8_lossy(&bytes).into_owned()),
        false => Content::Bytes(bytes.into()),
    };
    change.incoming = Some((content, Recorded { mode: file.mode, uid: file.uid, gid: file.gid, ..row }));
    Ok(())
}
