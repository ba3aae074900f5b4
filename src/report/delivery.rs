//! A status on its way to one place.

use super::text::{one_line, ref_component};
use super::{DriftSummary, Error, State, Status};
use crate::record::Deployment;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What the outbox holds: a status and where it goes, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "provider", rename_all = "lowercase")]
pub enum Delivery {
    /// A commit status of GitHub, or of GitHub Enterprise Server.
    Github {
        /// The address of the API, without a final `/`.
        api: String,
        /// The repository's owner.
        owner: String,
        /// The repository's name.
        repository: String,
        /// The commit.
        commit: String,
        /// The context.
        context: String,
        /// Good or bad.
        state: State,
        /// The text.
        description: String,
    },
    /// A git note, written and pushed by whoever has the mirror.
    Notes {
        /// The ref that holds the notes of this host.
        reference: String,
        /// The commit that the note is about.
        commit: String,
        /// The note: one JSON record that takes the place of an older one.
        text: String,
    },
}

impl Delivery {
    /// The address of GitHub's own API.
    pub const GITHUB: &'static str = "https://api.github.com";

    /// Returns the delivery of a status to GitHub; `api` is [`Delivery::GITHUB`] unless the forge is another.
    pub fn github(api: Option<&str>, owner: &str, repository: &str, status: &Status) -> Delivery {
        Delivery::Github {
            api: api.unwrap_or(Delivery::GITHUB).trim_end_matches('/').to_owned(),
            owner: owner.to_owned(),
            repository: repository.to_owned(),
            commit: status.commit.to_string(),
            context: status.context.clone(),
            state: status.state,
            description: status.description.clone(),
        }
    }

    /// Returns the provider's name as agent.yaml has it.
    pub fn provider(&self) -> &'static str {
        match self {
            Delivery::Github { .. } => "github",
            Delivery::Notes { .. } => "notes",
        }
    }

    /// Returns what the delivery is about: of two with one key only the newer matters.
    pub fn key(&self) -> String {
        match self {
            Delivery::Github { api, owner, repository, commit, context, .. } => {
                format!("github {api} {owner}/{repository} {commit} {context}")
            }
            Delivery::Notes { reference, commit, .. } => format!("notes {reference} {commit}"),
        }
    }

    /// Returns the state that a forge is told; notes have none.
    pub fn state(&self) -> Option<State> {
        match self {
            Delivery::Github { state, .. } => Some(*state),
            Delivery::Notes { .. } => None,
        }
    }

    /// Returns the text form for the outbox.
    pub fn payload(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the text form.
    pub fn parse(payload: &str) -> Result<Delivery, Error> {
        serde_json::from_str(payload).map_err(|error| Error::Payload(error.to_string()))
    }
}

/// Returns the note that tells how a deployment stands, and its drift, in the ref that only this host writes to.
///
/// There is one note per commit, so it holds all that is known of it.
pub fn note(host: &str, deployment: &Deployment, drift: Option<&DriftSummary>) -> Delivery {
    let (environment, commit) = (&deployment.environment, deployment.revision.to_string());
    let error = deployment.error.as_ref().map(|it| json!({"code": it.code, "message": one_line(&it.message)}));
    let drift = drift.map(|it| {
        json!({
            "count": it.count(), "modified": it.modified, "missing": it.missing, "extra": it.extra,
            "mode": it.mode, "owner": it.owner, "type": it.kind, "healed": it.healed,
        })
    });
    let said = super::say::deployment(host, deployment);
    let record = json!({
        "version": 1,
        "host": host,
        "environment": environment,
        "revision": commit,
        "state": said.state,
        "description": said.description,
        "deployment": {
            "id": deployment.id,
            "status": deployment.status,
            "phase": deployment.phase,
            "trigger": deployment.trigger,
            "started_at": deployment.started_at,
            "finished_at": deployment.finished_at,
            "changes": deployment.changes,
            "error": error,
        },
        "drift": drift,
    });
    let reference = format!("refs/notes/headfast/{}/{}", ref_component(environment), ref_component(host));
    Delivery::Notes { reference, commit, text: format!("{record}\n") }
}
