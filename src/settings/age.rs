//! Where the identities are that open SOPS files.

use super::Error;
use super::file::{Surroundings, read_secret};
use crate::finding::{Code, Finding, Findings};
use crate::place::Place;
use std::fmt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The most bytes that a file of identities may have.
const MAX_BYTES: usize = 1 << 20;

/// Where the identities are that open SOPS files; all of them are used together.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AgeSources {
    /// The file that `age.identity` of agent.yaml names, or a systemd credential.
    pub identity: Option<PathBuf>,
    /// The file that `SOPS_AGE_KEY_FILE` names.
    pub key_file: Option<PathBuf>,
    /// The text of `SOPS_AGE_KEY`.
    pub(super) key: Option<Zeroizing<String>>,
    /// The variables that name a source which this version cannot use.
    pub(super) unusable: Vec<&'static str>,
}

impl fmt::Debug for AgeSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgeSources")
            .field("identity", &self.identity)
            .field("key_file", &self.key_file)
            .field("has_key", &self.key.is_some())
            .finish_non_exhaustive()
    }
}

impl AgeSources {
    /// Returns the sources that the environment names, as `sops` names them.
    pub fn of_environment(around: &Surroundings) -> Self {
        AgeSources {
            identity: None,
            key_file: around.variable("SOPS_AGE_KEY_FILE").map(PathBuf::from),
            key: around.variable("SOPS_AGE_KEY").map(|it| Zeroizing::new(it.to_string_lossy().into_owned())),
            unusable: ["SOPS_AGE_KEY_CMD", "SOPS_AGE_SSH_PRIVATE_KEY_FILE", "SOPS_AGE_SSH_PRIVATE_KEY_CMD"]
                .into_iter()
                .filter(|it| around.variable(it).is_some())
                .collect(),
        }
    }

    /// Returns whether no source is named.
    pub fn is_empty(&self) -> bool {
        self.identity.is_none() && self.key_file.is_none() && self.key.is_none()
    }

    /// Reads the identities, a text for each source; files that others could read or write are refused.
    pub fn read(&self) -> Result<Vec<Zeroizing<String>>, Error> {
        self.read_in(&Surroundings::of_process())
    }

    pub(super) fn read_in(&self, around: &Surroundings) -> Result<Vec<Zeroizing<String>>, Error> {
        let mut findings = Findings::new();
        let mut texts: Vec<Zeroizing<String>> = self.key.iter().cloned().collect();
        for path in self.identity.iter().chain(&self.key_file) {
            let text = read_secret(path, MAX_BYTES, around).map(Zeroizing::new).and_then(|bytes| {
                // No `String::from_utf8` here: its error would carry the bytes away unwiped.
                match std::str::from_utf8(&bytes) {
                    Ok(text) if bytes.len() <= MAX_BYTES => Ok(Zeroizing::new(text.to_owned())),
                    _ => Err(Finding::error(Code::KEY, "the file is not a list of age identities")
                        .at(&Place::whole(&path.to_string_lossy()))),
                }
            });
            match text {
                Ok(text) => texts.push(text),
                Err(finding) if finding.code == Code::CONFIG => findings.push(Finding { code: Code::KEY, ..finding }),
                Err(finding) => findings.push(finding),
            }
        }
        for name in self.unusable.iter().filter(|_| self.is_empty()) {
            let message = format!("{name} is set, which this version of headfast cannot use");
            let hint = "use `age.identity` of agent.yaml, SOPS_AGE_KEY_FILE or SOPS_AGE_KEY";
            findings.push(Finding::error(Code::UNSUPPORTED, message).hint(hint));
        }
        if findings.has_errors() { Err(Error { findings }) } else { Ok(texts) }
    }
}
