//! The demo's chapters.

use super::stage::Stage;
use crate::cli::exit::{Exit, Failure};
use crate::cli::ui::DIM;
use crate::finding::Verdict;
use crate::record::DeploymentStatus;
use crate::state::Store;

const SETTINGS: &str = "srv/app/settings.toml";

/// Tells the whole story.
pub fn tell(stage: &Stage<'_>) -> Result<(), Failure> {
    let root = stage.root.display();
    stage.ui.print(format_args!("{DIM}Everything below happens in {root}; paths are relative to it.{DIM:#}"))?;
    deploy(stage)?;
    drift(stage)?;
    break_it(stage)?;
    go_on(stage)
}

fn deploy(stage: &Stage<'_>) -> Result<(), Failure> {
    stage.chapter(
        "1. Push to deploy",
        "A config repository says what belongs in srv/app on the host web-1: a copied tree, a template, and a part of a \
         configuration\nthat a JSON Schema checks. The host says in agent.yaml which repository it follows and what that \
         may touch.",
    )?;
    stage.cat("work/headfast.yaml")?;
    stage.commit_and_push("Start the site")?;
    stage.headfast(&["sync"], Exit::Done)?;
    let settings = stage.cat(SETTINGS)?;
    stage.expect(settings == "port = 8081\nworkers = 4\n", "settings.toml is not what the configuration says")?;
    let page = stage.read("srv/app/index.html")?;
    stage.expect(page.contains("Welcome to example.org"), "the template was not rendered")?;
    stage.expect(stage.read("srv/app/errors/404.html").is_ok(), "the copied tree is not there")?;
    stage.expect(stage.read("host/loaded.toml")? == settings, "the service was not reloaded")
}

fn drift(stage: &Stage<'_>) -> Result<(), Failure> {
    stage.chapter("2. Drift is caught and healed", "Someone edits a live file by hand.")?;
    let deployed = stage.read(SETTINGS)?;
    stage.edit(SETTINGS, "workers = 4", "workers = 40")?;
    let edited = stage.read(SETTINGS)?;
    stage.headfast(&["drift"], Exit::Differences)?;
    stage.headfast(&["drift", "--heal"], Exit::Done)?;
    stage.expect(stage.read(SETTINGS)? == deployed, "the drifted file was not healed")?;
    let kept = with_state(stage, |store| {
        let live = store.deployments(Some("site"), 1)?;
        Ok(live.into_iter().flat_map(|it| it.kept).map(|it| it.id).next())
    })?;
    let kept = kept.unwrap_or_default();
    stage.expect(stage.read(&format!("state/kept/{kept}"))? == edited, "the edit was not kept")?;
    stage.headfast(&["drift"], Exit::Done)
}

fn break_it(stage: &Stage<'_>) -> Result<(), Failure> {
    stage.chapter(
        "3. A bad commit takes itself back",
        "The schema has nothing against no workers at all, but the service has: its health probe fails after the switch.",
    )?;
    let deployed = stage.read(SETTINGS)?;
    stage.edit("work/config/app.yaml", "workers: 4", "workers: 0")?;
    stage.commit_and_push("Save some memory")?;
    let bad = stage.git("work", &["rev-parse", "HEAD"])?;
    stage.headfast(&["sync"], Exit::Of(Verdict::RolledBack))?;
    stage.expect(stage.read(SETTINGS)? == deployed, "the previous settings are not back")?;
    stage.expect(stage.read("host/loaded.toml")? == deployed, "the service was not reloaded after the rollback")?;
    let is_quarantined =
        with_state(stage, |store| Ok(store.quarantined("site")?.iter().any(|it| it.revision.as_str() == bad.trim())))?;
    stage.expect(is_quarantined, "the bad commit is not in quarantine")?;

    stage.ui.print("\nThe revert is in the remote already, for everyone to see:")?;
    stage.command("git pull && git log --oneline")?;
    stage.git("work", &["pull", "--quiet", "--ff-only", "origin", "main"])?;
    let log = stage.git("work", &["log", "--format=%h %an: %s"])?;
    stage.ui.print(log.trim_end())?;
    let is_reverted = log.lines().next().is_some_and(|it| it.ends_with("headfast: Revert \"Save some memory\""));
    stage.expect(is_reverted, "the revert is not the newest commit of the branch")?;
    stage.expect(stage.read("work/config/app.yaml")?.contains("workers: 4"), "the revert does not restore the file")
}

fn go_on(stage: &Stage<'_>) -> Result<(), Failure> {
    stage.chapter(
        "4. And on it goes",
        "The revert arrives like any other commit; what it renders to is live already.",
    )?;
    stage.headfast(&["sync"], Exit::Done)?;
    let last = with_state(stage, |store| Ok(store.deployments(Some("site"), 1)?.into_iter().next()))?;
    let is_unchanged = last.is_some_and(|it| it.status == DeploymentStatus::Unchanged);
    stage.expect(is_unchanged, "the revert was deployed as if it were something new")?;
    stage.headfast(&["status"], Exit::Done)?;
    stage.headfast(&["history"], Exit::Done)
}

fn with_state<T: Default>(
    stage: &Stage<'_>,
    look: impl FnOnce(&Store) -> Result<T, crate::state::Error>,
) -> Result<T, Failure> {
    match Store::snapshot(&stage.root.join("state"))? {
        Some(store) => Ok(look(&store)?),
        None => Ok(T::default()),
    }
}
