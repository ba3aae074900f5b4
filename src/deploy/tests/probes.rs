//! Commits that change what is run for a target, and none of its files.

use super::*;

/// A target with one probe that looks for a file beside the target, and notes that it looked.
fn probe(name: &str) -> String {
    format!(
        "    probe: [{{command: [/bin/sh, -c, 'echo {name} >>ROOT/../looked; test ! -e ROOT/../no-{name}'], \
         within: 1ms, settle: 0s}}]"
    )
}

impl Host {
    fn beside(&self, name: &str) -> PathBuf {
        self.root.with_file_name(name)
    }

    /// Returns which probes have looked since this was asked last.
    fn looked(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.beside("looked")).unwrap_or_default();
        let _is_gone = std::fs::remove_file(self.beside("looked"));
        text.lines().map(str::to_owned).collect()
    }

    fn quarantined(&self) -> usize {
        self.with(|it| it.store().quarantined("site")).unwrap().len()
    }
}

#[test]
fn k01_a_new_probe_that_fails_takes_its_commit_back_although_no_file_changes() {
    let (world, _) = deployed(&probe("one"), &[("a", "A")]);
    let host = world.host("one", "    rollback: {push: direct}\n");
    let good = host.history()[0].revision.clone();
    host.looked();
    std::fs::write(host.beside("no-two"), "").unwrap();
    world.manifest(&probe("two"));
    let bad = world.commit("another probe", &[]);
    let result = host.sync_by(Trigger::Poll);
    assert_eq!((status(&result), codes(&result)), (Some(DeploymentStatus::RolledBack), vec!["E_PROBE"]));
    assert_eq!(result.verdict(), Some(crate::finding::Verdict::RolledBack));
    assert_eq!(host.looked(), ["two", "one"], "the new one, and then those of what is live");
    assert_eq!((host.quarantined(), host.leftovers()), (1, vec![]));
    assert_eq!(host.with(|it| it.store().live("site")).unwrap().unwrap().revision, good);
    // The revert is on the branch; it renders to what is live.
    assert_eq!(world.remote(&["rev-parse", "main^"]), bad);
    assert_eq!(status(&host.sync_by(Trigger::Poll)), Some(DeploymentStatus::Unchanged));
    assert_eq!(host.looked(), Vec::<String>::new(), "what is live already is not asked about");
}

const RELOAD: &str = "    reload: [{command: [/bin/sh, -c, 'echo reload >>ROOT/../looked']}]";

#[test]
fn a_probe_that_failed_before_blames_no_commit_that_changes_only_a_reload() {
    let (world, host) = deployed(&probe("one"), &[("a", "A")]);
    host.looked();
    std::fs::write(host.beside("no-one"), "").unwrap();
    world.manifest(&format!("{}\n{RELOAD}", probe("one")));
    world.commit("another reload", &[]);
    let result = host.sync_by(Trigger::Poll);
    assert_eq!((status(&result), codes(&result)[0]), (Some(DeploymentStatus::Failed), "E_PROBE_BEFORE"));
    assert_eq!((host.looked(), host.quarantined()), (vec!["one".into(); 3], 0), "before, after, and when it was back");
    std::fs::remove_file(host.beside("no-one")).unwrap();
    assert_eq!(status(&host.sync_by(Trigger::Poll)), Some(DeploymentStatus::Success));
    assert_eq!(host.looked(), vec!["one"; 2], "the reload is for changed files");
}

#[test]
fn a_probe_that_is_not_new_blames_no_commit_that_changes_no_file() {
    // Once it is armed it holds one more time, before the switch.
    let once = probe("one").replace("no-one'", "no-one && { test ! -e ROOT/../armed || : >ROOT/../no-one; }'");
    let (world, host) = deployed(&once, &[("a", "A")]);
    std::fs::write(host.beside("armed"), "").unwrap();
    world.manifest(&format!("{once}\n{RELOAD}"));
    world.commit("another reload", &[]);
    let result = host.sync_by(Trigger::Poll);
    assert_eq!((status(&result), codes(&result)[0]), (Some(DeploymentStatus::Failed), "E_PROBE_BEFORE"));
    assert!(result.findings.iter().any(|it| it.message.contains("although no file was changed")), "{result:?}");
    assert_eq!(host.quarantined(), 0);
}

#[test]
fn k05_a_first_deployment_that_finds_all_its_files_is_probed_too() {
    let world = world();
    world.manifest(&probe("one"));
    world.commit("start", &[("a", "A")]);
    let host = world.host("one", "");
    host.edit("a", "A");
    std::fs::write(host.beside("no-one"), "").unwrap();
    assert_eq!(status(&host.sync()), Some(DeploymentStatus::RolledBack));
    assert_eq!((host.read("a"), host.leftovers(), host.looked()), ("A".into(), vec![], vec!["one".into()]));
    assert!(host.with(|it| it.store().ledger("site")).unwrap().is_empty());
    std::fs::remove_file(host.beside("no-one")).unwrap();
    assert_eq!(status(&host.with(|it| it.retry()).unwrap()), Some(DeploymentStatus::Success));
    assert_eq!((host.looked(), host.drifted()), (vec!["one".into()], vec![]));
}
