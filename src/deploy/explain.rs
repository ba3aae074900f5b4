//! Why a file of this host is as it is, told beside whatever is at work; nothing is written.

use super::remotes::AllowedRemotes;
use super::{Error, secrets_of};
use crate::finding::{Code, Finding, Findings};
use crate::git::Mirror;
use crate::pipeline::{self, Explanation};
use crate::record::Phase;
use crate::revision::ObjectId;
use crate::settings::{Repository, Settings};
use crate::state::Store;

/// What `explain` found.
pub struct Explained {
    /// The commit that was looked at.
    pub revision: ObjectId,
    /// The answer; without one, the findings say why.
    pub explanation: Option<Explanation>,
    /// What was found on the way.
    pub findings: Findings,
    /// The history.
    pub mirror: Mirror,
}

/// Explains a file, or a value in it, of what is deployed, or of another commit: `head` is the newest that was fetched.
pub fn explain(
    settings: &Settings,
    repository: &Repository,
    store: &Store,
    revision: Option<&str>,
    what: &str,
) -> Result<Explained, Error> {
    let name = &repository.name;
    let missing = |message: String, hint: &str| {
        Error::new(Phase::Load, Finding::error(Code::NOT_FOUND, message).hint(hint.to_owned()))
    };
    let never_fetched = || missing(format!("{name:?} was never fetched"), "say `headfast sync` first");
    let mirror = Mirror::view(&settings.state_dir.join("mirror").join(name))?.ok_or_else(never_fetched)?;
    let revision = match revision {
        Some("head") => store.repository(name)?.remote_tip.ok_or_else(never_fetched)?,
        Some(text) => mirror.resolve(text)?,
        None => {
            let nothing = || {
                missing(
                    format!("nothing of {name:?} is deployed"),
                    "ask about the newest commit with `--revision head`",
                )
            };
            store.live(name)?.ok_or_else(nothing)?.revision
        }
    };
    let tree = mirror.tree(&revision)?;
    let last_change = |paths: &[String]| mirror.last_change(&revision, paths).unwrap_or(revision.clone()).to_string();
    let (facts, secrets) = (settings.facts(repository), secrets_of(repository)?);
    let inputs = pipeline::Inputs {
        tree: &tree,
        facts: &facts,
        secrets: &secrets,
        // Whoever asks waits for no server.
        remotes: &AllowedRemotes::new(settings, repository, true),
        targets: repository.targets.as_ref(),
        revision: &last_change,
        on_phase: &|_| {},
    };
    let mut findings = Findings::new();
    let explanation = pipeline::explain(&inputs, what, &mut findings);
    Ok(Explained { revision, explanation, findings, mirror })
}
