//! What is wrong, where, and what to do about it.
//!
//! The core never stops at the first mistake: its functions push [`Finding`]s into a [`Findings`] and go on, so that one
//! run shows everything that is wrong with a revision. The text form of a finding is made in `cli`.

mod merged;
#[cfg(test)]
pub(crate) mod testing;

pub use merged::{Identity, Merged};

use crate::place::Place;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The revision cannot be deployed.
    Error,
    /// It can, but someone should look.
    Warning,
    /// Nothing to do.
    Info,
}

/// What an error means for the caller: the exit code and the status it ends in (DESIGN.md section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The host, git or the network got in the way: exit 1.
    Failed,
    /// The program was called wrongly: exit 2.
    Usage,
    /// The repository's content is wrong: exit 3.
    Invalid,
    /// A gate said no: exit 4.
    Refused,
    /// The files were put back: exit 6.
    RolledBack,
    /// A person is needed: exit 7.
    Stuck,
    /// Another process is at work: exit 75.
    Busy,
}

impl Verdict {
    /// Returns the process exit code that stands for this verdict.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Failed => 1,
            Verdict::Usage => 2,
            Verdict::Invalid => 3,
            Verdict::Refused => 4,
            Verdict::RolledBack => 6,
            Verdict::Stuck => 7,
            Verdict::Busy => 75,
        }
    }
}

/// A stable, documented name of one kind of problem.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    /// The name as printed, for example `E_SCHEMA`.
    pub name: &'static str,
    /// What it means for the caller.
    pub verdict: Verdict,
    /// One sentence for the list of codes in the documentation.
    pub meaning: &'static str,
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! codes {
    ($($constant:ident $verdict:ident $meaning:literal;)*) => {
        impl Code {
            $(#[doc = $meaning]
            pub const $constant: Code = Code {
                name: concat!("E_", stringify!($constant)),
                verdict: Verdict::$verdict,
                meaning: $meaning,
            };)*

            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$(Code::$constant),*];

            /// Returns the code with a name.
            pub fn named(name: &str) -> Option<Code> {
                Code::ALL.iter().find(|it| it.name == name).copied()
            }
        }
    };
}

codes! {
    // Reading documents.
    SYNTAX Invalid "A document cannot be parsed.";
    ENCODING Invalid "A document is not UTF-8, or holds a byte order mark or NUL.";
    DUPLICATE_KEY Invalid "A key appears twice in one map.";
    YAML_ALIASES Invalid "Aliases expand beyond the limit, or refer to themselves.";
    YAML_TAG Invalid "A YAML tag that is not of the core schema.";
    ALIAS Invalid "A value that is written elsewhere, through an alias, was to be changed.";
    YAML_DOCS Invalid "A stream holds more than one document.";
    YAML_MERGE Invalid "A merge key `<<` where none is allowed.";
    DEPTH Invalid "A document is nested too deeply.";
    FILE_TOO_BIG Invalid "A file is larger than the limit.";
    TOO_MANY_FILES Invalid "A target would hold more files than the limit.";
    NUMBER Invalid "A number that cannot be kept exactly.";
    SHAPE Invalid "A document or value has the wrong shape.";
    FORMAT Invalid "A value cannot be written in the format asked for, or a file is not of the format that its name says.";
    // The manifest and agent.yaml.
    MANIFEST_MISSING Invalid "The repository has no headfast.yaml and the host configures no targets.";
    VERSION_NEWER Invalid "The manifest needs a newer headfast.";
    UNKNOWN_KEY Invalid "A key that does not exist.";
    MISSING_KEY Invalid "A required key is absent.";
    TYPE Invalid "A value has the wrong type.";
    VALUE Invalid "A value that is not allowed here.";
    MODE_TYPE Invalid "A file mode that is not a quoted octal string.";
    REFERENCE Invalid "A name refers to nothing.";
    ENVIRONMENT Invalid "The environment does not exist in the manifest.";
    UNSUPPORTED Invalid "Something that this version of headfast does not do yet.";
    CONFIG Usage "agent.yaml is not valid.";
    CONFIG_MODE Refused "agent.yaml can be written by others.";
    USAGE Usage "The command line is wrong.";
    // Configurations.
    LAYER_MISSING Invalid "A layer's file does not exist.";
    REMOTE_FETCH Failed "A remote layer cannot be fetched; it is tried again.";
    REMOTE_DIGEST Failed "What a server sent for a remote layer is not what the digest says; it is tried again.";
    REMOTE_NOT_ALLOWED Refused "A remote layer that is not in `allow.remotes`.";
    VARIABLE Invalid "A `${VAR}` has no value and no default.";
    SCHEMA Invalid "A configuration does not fit its schema.";
    SCHEMA_INVALID Invalid "A schema is not a valid JSON Schema.";
    SCHEMA_CYCLE Invalid "A schema refers to itself without going deeper into the value.";
    VALIDATE_TIME Invalid "Validating a configuration would take too long.";
    REF_REMOTE Invalid "A schema refers to another document.";
    PATTERN Invalid "A regular expression that cannot run in linear time, or is too large.";
    MIGRATION Invalid "A migration cannot be read, or one of its steps failed.";
    MIGRATION_PATH Invalid "There is no path between two schema versions.";
    POLICY Refused "A policy denies the revision.";
    POLICY_INVALID Invalid "A policy cannot be read or evaluated.";
    POLICY_TEST Invalid "A test of a policy does not pass.";
    // Rendering.
    TEMPLATE Invalid "A template cannot be rendered.";
    TEMPLATE_PARSE Invalid "A template cannot be parsed, or is too large or nested too deeply to be.";
    UNDEFINED Invalid "A template uses a name that is not defined.";
    INCLUDE Invalid "A template includes something outside the repository.";
    INCLUDE_CYCLE Invalid "Templates include each other in a circle, or too deeply.";
    INJECT Invalid "A value would break out of its place in a file.";
    RENDER_FUEL Invalid "A template ran for too long.";
    RENDER_SIZE Invalid "A template's output is larger than the limit.";
    SOURCE_MISSING Invalid "A file or folder named in the manifest does not exist in the repository.";
    OUTPUT_CLASH Invalid "Two outputs have one path.";
    PATH Invalid "A path that cannot be deployed.";
    PATH_LONG Invalid "A path that is too long or too deep.";
    PATH_CLASH Invalid "Two paths differ only by case or Unicode normalisation.";
    PATH_RESERVED Invalid "A path that headfast keeps for itself.";
    SYMLINK Invalid "A symbolic link that leaves its target.";
    SUBMODULE Invalid "A submodule inside a target.";
    LFS_POINTER Invalid "A Git LFS pointer instead of the content.";
    TARGET_OVERLAP Invalid "Two targets cover the same directory.";
    TARGET_CYCLE Invalid "Targets wait for each other.";
    EMPTY_FILE Invalid "A file becomes empty.";
    NAME_CLASH Invalid "A configuration key hides a name of the template scope.";
    // Secrets.
    SOPS Invalid "A SOPS file cannot be read.";
    SOPS_MAC Invalid "A SOPS file was altered: its MAC does not match.";
    SOPS_MAC_SCOPE Refused "A SOPS file whose MAC does not cover its plain values.";
    SOPS_PROVIDER Invalid "A SOPS file that only other key services can open.";
    KEY Invalid "None of the host's identities opens a SOPS file.";
    KEY_MODE Refused "An identity file that others may read.";
    SECRET_MODE Invalid "A sensitive file that others could read.";
    SECRET_FLOW Invalid "A secret value used where it would show.";
    // Git and trust.
    URL Usage "A remote URL that is not accepted.";
    URL_SECRET Usage "A remote URL with a password in it.";
    REF_MISSING Failed "The branch, tag or commit does not exist in the remote.";
    EMPTY_REPO Failed "The remote repository is empty.";
    FETCH_NET Failed "The remote cannot be reached.";
    FETCH_TIMEOUT Failed "The remote did not answer in time.";
    FETCH_TOO_BIG Failed "The remote sends more than the limit.";
    AUTH Failed "The remote refused the credentials.";
    HOSTKEY Failed "The remote's SSH host key is unknown or has changed.";
    TLS Failed "The remote's certificate is not accepted.";
    REDIRECT Failed "The remote redirects to another host.";
    OBJECT_FORMAT Failed "The remote uses an object or ref format that is not supported.";
    INCOMPLETE Failed "The repository lacks objects.";
    FSCK Invalid "An object that git does not make, or that misleads who reads it.";
    MODE Invalid "A file of the repository has a set-user-id, set-group-id or sticky bit.";
    COMMIT Invalid "A commit that cannot be read, or is too large.";
    GIT Failed "Git failed.";
    PUSH_REFUSED Failed "The remote refused a push.";
    HISTORY_REWOUND Refused "The branch no longer contains what is deployed.";
    SIG_MISSING Refused "A commit is not signed.";
    SIG_BAD Refused "A commit's signature is not accepted.";
    SET Refused "`headfast set` would write a value where it does not count or cannot be written.";
    // The host's gates.
    TARGET_NOT_ALLOWED Refused "A target outside `allow.paths`.";
    TARGET_FORBIDDEN Refused "A target that is never allowed.";
    COMMAND_NOT_ALLOWED Refused "A command that is not in `allow.commands`.";
    UNIT_NOT_ALLOWED Refused "A unit that is not in `allow.units`.";
    UNIT Invalid "A unit name that is not valid.";
    UNIT_SELF Refused "A unit that headfast itself needs, or that would stop the host.";
    USER_NOT_ALLOWED Refused "An owner that is not in `allow.users`.";
    EXISTING Refused "A file that headfast did not write stands where a first deployment wants to write.";
    MASS_DELETE Refused "The revision would remove too much.";
    CHECK Refused "A check vetoed the revision.";
    CRASHED Failed "A commit that killed the agent at the same stage three times; it is set aside until `headfast retry`.";
    QUARANTINED Refused "The revision failed here before.";
    SUSPENDED Refused "The repository is suspended.";
    // The host.
    OWNER Failed "A user or group that this host does not have.";
    CAP Failed "An owner that this process may not set.";
    TARGET_SYMLINK Failed "A target, or a folder in it, is a symbolic link.";
    TARGET_PARENT Failed "Another user could exchange a directory on the way to a target.";
    TARGET_WRITABLE Failed "A sensitive file would be written where other users can write.";
    TARGET_DEVICE Failed "A target is on another file system than at its last deployment.";
    TARGET_TYPE Failed "Something that is not a regular file stands where a file belongs.";
    PUBLISH Refused "A target that is published in place cannot become one of generations, nor the other way round.";
    TARGET_CHANGED Failed "A file changed while it was being replaced.";
    TARGET_READONLY Failed "A target cannot be written.";
    TARGET_OWNED Busy "Another agent owns the target.";
    XDEV Failed "A target contains a mount point.";
    IMMUTABLE Failed "A file or folder that has to change is immutable or append-only.";
    FS_UNFIT Failed "A target's file system cannot do what a deployment needs.";
    NO_SPACE Failed "The disk is full.";
    QUOTA Failed "A quota of the file system does not let more be written.";
    IO Failed "The operating system refused an operation.";
    TRANSACTION Failed "The transaction process is not there, or ended without an answer.";
    READ_BACK Failed "A file did not read back as it was written.";
    LOCKED Busy "Another process holds the state directory.";
    STATE Failed "The state directory cannot be used.";
    STATE_NEWER Failed "The state was written by a newer headfast.";
    STATE_MODE Refused "The state directory can be read by others.";
    RECOVERY_CONFLICT Stuck "After a crash a file is neither old nor new.";
    JOURNAL Stuck "The journal of a transaction that was cut short is damaged.";
    JOURNAL_FOREIGN Stuck "The journal of a transaction is of another host, repository or version.";
    RELOAD RolledBack "A reload failed after the switch.";
    PROBE RolledBack "A probe failed after the switch.";
    ACTION Failed "The host could not run a check, reload or probe.";
    SYSTEMD_DOWN Failed "systemd is not running or cannot be reached.";
    PROBE_BEFORE Failed "A probe fails already, before the switch.";
    ROLLBACK_FAILED Stuck "The previous state could not be restored.";
    ROLLBACK_SOURCE Failed "A kept copy that a rollback needs is damaged or gone.";
    NOTHING_TO_ROLL_BACK Failed "There is no earlier deployment to go back to.";
    NOT_FOUND Usage "There is no such deployment, revision, target, file or key.";
    STATUS Failed "A status could not be posted.";
    LISTEN Failed "A listener could not be opened.";
    DEMO Failed "The demo did not go as it says.";
}

/// What to do about [`Code::QUOTA`], wherever it is met.
pub const QUOTA_HINT: &str = "`repquota -as` lists the quotas of users, and with -g and -P those of groups and projects: raise \
    the one of whoever owns the file, or remove files of theirs";

/// One thing that is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// Its documented name.
    pub code: Code,
    /// What is wrong: a lowercase fragment without a final full stop, and never a secret.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
    /// The text of the line at `place`, when it may be shown.
    pub line_text: Option<String>,
    /// The JSON pointer of the value inside its configuration, when it is about one.
    pub pointer: Option<String>,
    /// What was expected there, as a fragment; never a secret.
    pub expected: Option<String>,
    /// What was found instead, as it may be shown.
    pub found: Option<String>,
    /// The rule that says so: a pointer into the schema, or the name of a policy's or a program's own rule.
    pub rule: Option<String>,
    /// What to do about it: a lowercase fragment.
    pub hint: Option<String>,
    /// The environment that was being rendered.
    pub environment: Option<String>,
}

impl Finding {
    /// Returns an error.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Finding {
            severity: Severity::Error,
            code,
            message: message.into(),
            place: None,
            line_text: None,
            pointer: None,
            expected: None,
            found: None,
            rule: None,
            hint: None,
            environment: None,
        }
    }

    /// Returns a warning.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Finding { severity: Severity::Warning, ..Finding::error(code, message) }
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, place: &Place) -> Self {
        self.place = Some(place.clone());
        self
    }

    /// Adds the JSON pointer of the value.
    #[must_use]
    pub fn pointer(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// Adds what was expected.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Adds what was found instead.
    #[must_use]
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    /// Adds the rule that says so.
    #[must_use]
    pub fn rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The findings of one run, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Returns an empty collection.
    pub fn new() -> Self {
        Findings::default()
    }

    /// Adds one.
    pub fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Findings) {
        self.0.extend(other.0);
    }

    /// Returns whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|it| it.severity == Severity::Error)
    }

    /// Returns the number of errors so far; compare two counts to learn whether a step added one.
    pub fn n_errors(&self) -> usize {
        self.0.iter().filter(|it| it.severity == Severity::Error).count()
    }

    /// Returns the verdict of the gravest error, or `None` when there is no error.
    ///
    /// Content that is wrong weighs more than a gate that says no, because nothing else can be judged before it is mended.
    pub fn verdict(&self) -> Option<Verdict> {
        let rank = |verdict: Verdict| match verdict {
            Verdict::Usage => 0,
            Verdict::Invalid => 1,
            Verdict::Refused => 2,
            Verdict::Failed => 3,
            Verdict::Busy => 4,
            Verdict::RolledBack => 5,
            Verdict::Stuck => 6,
        };
        self.0.iter().filter(|it| it.severity == Severity::Error).map(|it| it.code.verdict).min_by_key(|it| rank(*it))
    }

    /// Fills in the text of the lines that the findings point to, from `source`, which returns a file's whole text.
    pub fn attach_lines(&mut self, source: &dyn Fn(&str) -> Option<Arc<str>>) {
        let mut by_file: HashMap<Arc<str>, Vec<(usize, usize)>> = HashMap::new();
        for (idx, finding) in self.0.iter().enumerate().filter(|it| it.1.line_text.is_none()) {
            if let Some(place) = finding.place.as_ref().filter(|it| it.line > 0) {
                by_file.entry(Arc::clone(&place.file)).or_default().push((idx, place.line as usize - 1));
            }
        }
        for (file, wanted) in by_file {
            let Some(text) = source(&file) else { continue };
            let lines: Vec<&str> = text.lines().collect();
            for (idx, line) in wanted {
                self.0[idx].line_text = lines.get(line).map(|it| (*it).to_owned());
            }
        }
    }

    /// Notes the environment on every finding that has none yet.
    pub fn in_environment(&mut self, environment: &str) {
        for finding in &mut self.0 {
            finding.environment.get_or_insert_with(|| environment.to_owned());
        }
    }

    /// Returns the findings without those that were already made in the same words and place.
    #[must_use]
    pub fn distinct(self) -> Self {
        let mut seen = HashSet::with_capacity(self.0.len());
        let is_new: Vec<bool> = self.0.iter().map(|it| seen.insert(it)).collect();
        self.0.into_iter().zip(is_new).filter_map(|(it, is_new)| is_new.then_some(it)).collect()
    }

    /// Iterates over the findings.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.0.iter()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<Finding> for Findings {
    fn from_iter<I: IntoIterator<Item = Finding>>(iter: I) -> Self {
        Findings(iter.into_iter().collect())
    }
}

/// Returns the name among `known` that is nearest to `unknown`, when it is near enough to be meant.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The cost is the product of both lengths, and `unknown` may come from a hostile file.
    if unknown.len() > 200 {
        return None;
    }
    known
        .into_iter()
        .map(|it| (strsim::damerau_levenshtein(unknown, it), it))
        .filter(|(distance, it)| *distance <= 1 + it.chars().count() / 4 && *distance < it.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, it)| it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique() {
        let mut names: Vec<_> = Code::ALL.iter().map(|it| it.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }

    #[test]
    fn the_nearest_name_must_be_near() {
        assert_eq!(nearest("tragets", ["targets", "hosts"]), Some("targets"));
        assert_eq!(nearest("zzz", ["targets", "hosts"]), None);
        assert_eq!(nearest("a", ["b"]), None, "nothing of it is the same");
    }

    #[test]
    fn wrong_content_outranks_a_gate() {
        let findings: Findings =
            [Finding::error(Code::POLICY, "no"), Finding::error(Code::SCHEMA, "bad")].into_iter().collect();
        assert_eq!(findings.verdict(), Some(Verdict::Invalid));
    }

    #[test]
    fn lines_are_attached_from_the_source() {
        let mut findings = Findings::new();
        findings.push(Finding::error(Code::SCHEMA, "bad").at(&Place::new(&Arc::from("a"), 2, 1)));
        findings.attach_lines(&|_| Some(Arc::from("one\ntwo\n")));
        assert_eq!(findings.iter().next().and_then(|it| it.line_text.as_deref()), Some("two"));
    }
}
