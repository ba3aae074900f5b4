//! Putting a kept file back at its path: a deployment of one file, through the same transaction.

use super::execute::SwitchError;
use super::{ConfigDeployment, ConfigurationDeployer, Error};
use crate::finding::{Code, Finding, Findings};
use crate::host;
use crate::host::service::{Ask, Sight};
use crate::host::transaction::{Change, Request, TargetChange};
use crate::plan::{Action, Before, LiveEntry, LiveKind, LivePath, Operation, Plan, Recorded, Stat};
use crate::record::{Phase, Trigger};
use crate::render::{Content, Digest, Rendering, TargetPath};
use crate::revision::MemoryTree;
use crate::secrets::SecretManager;
use crate::settings::Repository;
use crate::state::{KeptFile, Store};

/// Returns the content of a kept file of a repository; what is sensitive is decrypted.
pub fn kept_content(repository: &Repository, store: &Store, file: &KeptFile) -> Result<Vec<u8>, Error> {
    opened(&super::secrets_of(repository)?, store, file)
}

fn opened(secrets: &SecretManager, store: &Store, file: &KeptFile) -> Result<Vec<u8>, Error> {
    let copy = store.read_kept(&file.kept.id)?;
    match file.kept.encrypted {
        true => {
            let plain = secrets.open(&copy).map_err(|finding| Error::new(Phase::Plan, finding))?;
            Ok(plain.expose().to_vec())
        }
        false => Ok(copy),
    }
}

impl ConfigurationDeployer<'_> {
    pub(super) fn kept_content(&self, file: &KeptFile) -> Result<Vec<u8>, Error> {
        opened(&self.secrets, self.store, file)
    }

    /// Puts a kept file back at its path. What is there is kept first, the programs that read it are told, and the ledger
    /// says what it said, so that the file shows as drift.
    pub fn restore_kept(&self, file: &KeptFile) -> Result<ConfigDeployment, Error> {
        self.recover()?;
        let live = self.store.live(self.name())?.ok_or_else(super::undo::nothing_before)?;
        let at = self.place_of(file)?;
        let content = self.kept_content(file)?;
        let seen = self.client.look(vec![Ask { at: at.clone(), known: None }])?.into_iter().next();
        let there = seen.map(Sight::entry).transpose()?.flatten();
        if there.as_ref().is_some_and(|it| self.is_same(it, file, &content)) {
            let mut same = super::in_sync(&live.revision);
            same.notes.push(format!("{}/{} is what was kept already", at.root, at.path));
            return Ok(same);
        }
        let mut ledger = self.store.ledger(self.name())?;
        let sensitive = super::change::sensitive(&ledger, &at.root);
        let row = ledger.remove(&at);
        let plan = plan(at, there.clone(), row.as_ref(), file)?;
        let mut request = request(&plan, there, row, file, content, &sensitive);

        let mut deployment = self.attempt(&live.revision, Trigger::Restore, Some(&live));
        deployment.digest.clone_from(&live.digest);
        deployment.changes = plan.changes();
        self.enter(&mut deployment, Phase::Stage)?;
        self.begin(&mut deployment)?;
        let mut aftermath = self.aftermath(&deployment, &self.repertoire()?, &plan)?;
        // It is still what these facts deployed.
        aftermath.facts = self.store.recall(self.name(), "facts")?.unwrap_or_default();
        request.deployment = deployment.id;
        request.repository = self.name().to_owned();
        request.actions = serde_json::to_value(&aftermath).unwrap_or_default();
        let no_checks = Rendering { targets: Vec::new(), digest: Digest(String::new()), released: Vec::new() };
        let switched = self.switch(&mut deployment, &request, &no_checks, &plan, &MemoryTree::default());
        let result = match switched {
            Ok(switched) => self.prove(switched, deployment, &aftermath, Findings::new()),
            Err(SwitchError::Before(error)) => self.end_early(deployment, error),
            Err(SwitchError::After(error)) => Err(error),
        };
        self.survived()?;
        let mut result = result?;
        result.notes.extend(self.deliver()?.problems);
        Ok(result)
    }

    /// Returns where a kept file belongs, when this host still lets the repository write there.
    fn place_of(&self, file: &KeptFile) -> Result<LivePath, Error> {
        let (root, path) = (&file.kept.root, &file.kept.path);
        let elsewhere = |message: String| {
            let hint = "write it elsewhere with `--to FILE`";
            Error::new(Phase::Plan, Finding::error(Code::PATH, message).hint(hint))
        };
        if root.contains(&format!("/{}", host::PREFIX)) {
            return Err(elsewhere("it is not known which path this file had".to_owned()));
        }
        let path = TargetPath::recorded(path).ok_or_else(|| elsewhere(format!("{path:?} is no path of a target")))?;
        self.settings.judge_target(self.repository, root).map_err(|finding| Error::new(Phase::Plan, finding))?;
        Ok(LivePath { root: root.clone(), path })
    }

    fn is_same(&self, there: &LiveEntry, file: &KeptFile, content: &[u8]) -> bool {
        let same_kind = file.link == matches!(there.kind, LiveKind::Link(_));
        let same_access = file.link || (there.mode, there.uid, there.gid) == (file.mode, file.uid, file.gid);
        same_kind && same_access && there.digest.as_ref() == Some(&self.key.of(content))
    }
}

fn plan(at: LivePath, there: Option<LiveEntry>, row: Option<&Recorded>, file: &KeptFile) -> Result<Plan, Error> {
    let is_in_the_way = |it: &LiveEntry| matches!(it.kind, LiveKind::Directory | LiveKind::Other);
    if there.as_ref().is_some_and(is_in_the_way) {
        let message = format!("{}/{} is no file by now", at.root, at.path);
        return Err(Error::new(Phase::Plan, Finding::error(Code::TARGET_TYPE, message).hint("move it away")));
    }
    let before = match (&there, row) {
        (None, _) => Before::Absent,
        (Some(_), None) => Before::Existing,
        (Some(it), Some(row)) if it.digest.as_ref().is_some_and(|digest| digest.0 == row.digest) => Before::Clean,
        (Some(_), Some(_)) => Before::Drifted,
    };
    let action = if there.is_some() { Action::Replace } else { Action::Create };
    let sensitive = file.kept.encrypted || row.is_some_and(|it| it.sensitive);
    let operation = Operation { target: at.root.clone(), at, action, before, live: there, wanted: None, sensitive };
    Ok(Plan { operations: vec![operation], unchanged: 0 })
}

fn request(
    plan: &Plan,
    there: Option<LiveEntry>,
    row: Option<Recorded>,
    file: &KeptFile,
    content: Vec<u8>,
    sensitive: &[String],
) -> Request {
    let kind = match file.link {
        true => LiveKind::Link(String::from_utf8_lossy(&content).into_owned()),
        false => LiveKind::File,
    };
    let coming = Recorded {
        identity: String::new(),
        kind: kind.clone(),
        digest: String::new(),
        mode: file.mode,
        uid: file.uid,
        gid: file.gid,
        sensitive: file.kept.encrypted,
        stat: Stat::default(),
    };
    let content = match kind {
        LiveKind::Link(text) => Content::Link(text),
        _ => Content::Bytes(content.into()),
    };
    let change = |operation: &Operation| Change {
        path: operation.at.path.clone(),
        incoming: Some((content.clone(), coming.clone())),
        outgoing: there.clone(),
        row_before: row.clone(),
        // No file has this stat, so the next scan reads the content and finds that it is another.
        row_after: row.clone().map(|it| Recorded { stat: Stat { size: u64::MAX, ..Stat::default() }, ..it }),
        unowned: row.is_none(),
    };
    let target = |operation: &Operation| TargetChange {
        root: operation.at.root.clone(),
        directories: (0o755, file.uid, file.gid),
        publish: None,
        sensitive: sensitive.to_vec(),
        made: Vec::new(),
        changes: vec![change(operation)],
    };
    let targets = plan.operations.iter().map(target).collect();
    Request { deployment: 0, repository: String::new(), targets, actions: serde_json::Value::Null }
}
