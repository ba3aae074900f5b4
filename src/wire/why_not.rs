//! What `why-not` prints.

use super::Finding;
use serde::Serialize;

/// What `why-not --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhyNots {
    /// The version of the shape.
    pub version: u32,
    /// One answer a repository.
    pub repositories: Vec<WhyNot>,
}

/// What keeps a commit from being live.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhyNot {
    /// The repository's name in agent.yaml.
    pub repository: String,
    /// The environment.
    pub environment: String,
    /// The commit; null when none is known by that name.
    pub revision: Option<String>,
    /// `live`, `contained`, `reverted`, `not_fetched`, `not_followed`, `overtaken`, `crashed`, `suspended`, `history`,
    /// `signature`, `content`, `policy`, `not_allowed`, `quarantined`, `window`, `mass_delete`, `host`, `check` or `none`.
    pub gate: String,
    /// The error that a pass ends with, if any.
    pub code: Option<String>,
    /// Why, in a sentence.
    pub reason: String,
    /// Since when, RFC 3339; null when nobody tried yet.
    pub since: Option<String>,
    /// What would let it through; null when nothing is in the way.
    pub unblock: Option<String>,
    /// Every mistake, when it is one of the commit's.
    pub findings: Vec<Finding>,
    /// What stands in the way of the commit that comes first.
    pub first: Option<Box<WhyNot>>,
}
