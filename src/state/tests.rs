use super::{Error, KeptFile, OutboxItem, Quarantined, RepositoryState, Store, Suspension};
use crate::finding::Code;
use crate::plan::{LiveKind, LivePath, Recorded, Restat, Stat};
use crate::record::{Changes, Deployment, DeploymentStatus, Failure, Kept, Phase, Trigger};
use crate::render::{Digest, TargetPath};
use crate::revision::ObjectId;
use std::path::PathBuf;

mod damage;
mod outbox;
mod retention;

/// A state directory that goes away with the test.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Home {
        Home { folder: tempfile::tempdir().unwrap() }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn open(&self) -> Store {
        Store::open(&self.dir(), "test").unwrap()
    }

    /// Returns what the disk holds at this moment: nothing is closed, nothing folded in.
    fn after_a_crash(&self) -> Home {
        let crashed = Home::new();
        std::fs::create_dir(crashed.dir()).unwrap();
        std::fs::set_permissions(crashed.dir(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        for file in std::fs::read_dir(self.dir()).unwrap().map(|it| it.unwrap().path()) {
            if file.is_file() && !file.to_string_lossy().ends_with("-shm") {
                std::fs::copy(&file, crashed.dir().join(file.file_name().unwrap())).unwrap();
            }
        }
        crashed
    }

    fn refusal(&self) -> Error {
        Store::open(&self.dir(), "test").err().expect("the state is not usable")
    }
}

fn deployment(repository: &str) -> Deployment {
    Deployment {
        id: 0,
        repository: repository.into(),
        environment: "production".into(),
        revision: ObjectId::new("1111111111111111111111111111111111111111"),
        digest: None,
        status: DeploymentStatus::InProgress,
        phase: Phase::Fetch,
        trigger: Trigger::Poll,
        started_at: "2026-11-23T10:00:00Z".into(),
        finished_at: None,
        changes: Changes::default(),
        keys: Default::default(),
        error: None,
        kept: Vec::new(),
        log: Vec::new(),
        previous: None,
    }
}

fn begin(store: &Store, repository: &str) -> Deployment {
    let mut it = deployment(repository);
    it.id = store.begin(&it).unwrap();
    it
}

fn finish(store: &Store, repository: &str, status: DeploymentStatus) -> Deployment {
    let it = Deployment { status, ..begin(store, repository) };
    store.save(&it).unwrap();
    it
}

fn path(root: &str, path: &str) -> LivePath {
    LivePath { root: root.into(), path: TargetPath::recorded(path).unwrap() }
}

fn recorded(identity: &str) -> Recorded {
    Recorded {
        identity: identity.into(),
        kind: LiveKind::File,
        digest: "d".repeat(64),
        mode: 0o640,
        uid: u32::MAX - 1,
        gid: 33,
        sensitive: true,
        stat: Stat { inode: u64::MAX, size: 7, mtime_ns: -1, ctime_ns: i64::MAX },
    }
}

#[test]
fn what_a_store_is_told_it_still_knows_after_reopening() {
    let home = Home::new();
    let store = home.open();
    let mut it = begin(&store, "site");
    it.status = DeploymentStatus::RolledBack;
    it.phase = Phase::Probe;
    it.digest = Some(Digest("ab".repeat(32)));
    it.finished_at = Some("2026-11-23T10:00:09Z".into());
    it.changes = Changes { created: 1, replaced: 2, removed: 3, unchanged: 4 };
    it.error = Some(Failure { code: "E_PROBE".into(), message: "no \"answer\"\n".into() });
    it.log = vec!["line ü".into(), String::new()];
    it.previous = Some(7);
    it.kept = vec![Kept {
        root: "/srv".into(),
        path: "a".into(),
        id: "0".repeat(32),
        reason: "drifted".into(),
        encrypted: true,
    }];
    store.save(&it).unwrap();
    drop(store);
    let store = home.open();
    assert_eq!(store.deployment(1).unwrap(), Some(it));
    assert_eq!(store.deployment(2).unwrap(), None);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn every_word_of_a_deployment_is_read_back() {
    let store_home = Home::new();
    let store = store_home.open();
    let statuses = [
        DeploymentStatus::Pending,
        DeploymentStatus::Failed,
        DeploymentStatus::Refused,
        DeploymentStatus::Superseded,
        DeploymentStatus::Success,
        DeploymentStatus::Unchanged,
    ];
    let triggers = [Trigger::Manual, Trigger::Push, Trigger::Webhook, Trigger::Heal, Trigger::Rollback, Trigger::Retry];
    for (status, trigger) in statuses.into_iter().zip(triggers) {
        let it = Deployment { trigger, ..finish(&store, "site", status) };
        store.save(&it).unwrap();
        assert_eq!(store.deployment(it.id).unwrap(), Some(it));
    }
}

#[test]
fn saving_a_deployment_that_was_never_begun_is_an_error() {
    let home = Home::new();
    let error = home.open().save(&Deployment { id: 5, ..deployment("site") }).unwrap_err();
    assert_eq!((error.code(), error.to_string()), (Code::NOT_FOUND, "there is no deployment 5".into()));
}

#[test]
fn a_thousand_deployments_are_numbered_without_gaps_and_listed_newest_first() {
    let home = Home::new();
    let store = home.open();
    let begun = store.together(|store| {
        for n in 1..=1000 {
            let repository = if n % 2 == 0 { "even" } else { "odd" };
            assert_eq!(store.begin(&deployment(repository))?, n);
        }
        Ok(())
    });
    begun.unwrap();
    drop(store);
    let store = home.open();
    assert_eq!(store.begin(&deployment("odd")).unwrap(), 1001);
    let ids = |repository, limit| -> Vec<i64> {
        store.deployments(repository, limit).unwrap().into_iter().map(|it| it.id).collect()
    };
    assert_eq!(ids(None, 3), [1001, 1000, 999]);
    assert_eq!(ids(Some("even"), 2), [1000, 998]);
    assert_eq!(ids(Some("none"), 2), [0; 0]);
    assert_eq!(ids(None, usize::MAX).len(), 1001);
}

#[test]
fn a_number_that_was_taken_back_is_given_again() {
    let home = Home::new();
    let store = home.open();
    let failed: Result<(), Error> = store.together(|store| {
        store.begin(&deployment("site"))?;
        Err(Error::NotFound { what: "sense in going on".into() })
    });
    failed.unwrap_err();
    assert_eq!(store.deployments(None, 10).unwrap(), []);
    assert_eq!(store.begin(&deployment("site")).unwrap(), 1);
}

#[test]
fn o10_a_deployment_that_was_cut_short_is_found_in_progress() {
    let home = Home::new();
    let store = home.open();
    let it = begin(&store, "site");
    begin(&store, "other");
    let crashed = home.after_a_crash();
    let store = crashed.open();
    assert_eq!(store.in_progress("site").unwrap(), Some(it.clone()));
    assert_eq!(store.live("site").unwrap(), None);
    store.save(&Deployment { status: DeploymentStatus::Success, ..it }).unwrap();
    assert_eq!(store.in_progress("site").unwrap(), None);
    assert_eq!(store.in_progress("other").unwrap().map(|it| it.id), Some(2));
}

#[test]
fn the_live_deployment_is_the_last_that_became_live() {
    let home = Home::new();
    let store = home.open();
    let live = || store.live("site").unwrap().map(|it| it.id);
    assert_eq!(live(), None);
    let first = finish(&store, "site", DeploymentStatus::Success);
    assert_eq!(live(), Some(1));
    finish(&store, "site", DeploymentStatus::Unchanged);
    assert_eq!(live(), Some(2));
    for status in [DeploymentStatus::RolledBack, DeploymentStatus::Failed, DeploymentStatus::Refused] {
        finish(&store, "site", status);
        assert_eq!(live(), Some(2), "{status:?}");
    }
    finish(&store, "other", DeploymentStatus::Success);
    store.save(&Deployment { log: vec!["a late line".into()], ..first }).unwrap();
    assert_eq!(live(), Some(2), "an old deployment does not become live again by being saved");
    store.set_live("site", Some(1)).unwrap();
    assert_eq!(live(), Some(1));
    assert_eq!(store.repository("site").unwrap().live_deployment, Some(1));
    store.set_live("site", None).unwrap();
    assert_eq!(live(), None);
    store.set_live("site", Some(99)).unwrap_err();
    assert_eq!(store.begin(&Deployment { status: DeploymentStatus::Unchanged, ..deployment("new") }).unwrap(), 7);
    assert_eq!(store.live("new").unwrap().map(|it| it.id), Some(7));
}

#[test]
fn a_switch_is_recorded_as_a_whole_or_not_at_all() {
    let home = Home::new();
    let store = home.open();
    let it = begin(&store, "site");
    let link = Recorded { kind: LiveKind::Link("../to \"it\"".into()), ..recorded("l") };
    let put = [(path("/srv/a", "x/y"), recorded("1")), (path("/srv/b", "x/y"), link)];
    store.record_switch("site", &put, &[], &Deployment { phase: Phase::Switch, ..it.clone() }).unwrap();
    assert_eq!(store.ledger("site").unwrap(), put.iter().cloned().collect());
    assert!(store.ledger("other").unwrap().is_empty());

    let more = [(path("/srv/a", "z"), recorded("2"))];
    let unknown = Deployment { id: 99, ..it.clone() };
    store.record_switch("site", &more, &[path("/srv/b", "x/y")], &unknown).unwrap_err();
    assert_eq!(store.ledger("site").unwrap(), put.iter().cloned().collect());

    let again = [(path("/srv/a", "x/y"), recorded("3"))];
    let done = Deployment { status: DeploymentStatus::Success, ..it };
    store.record_switch("site", &again, &[path("/srv/b", "x/y"), path("/never", "was")], &done).unwrap();
    assert_eq!(store.ledger("site").unwrap(), again.into_iter().collect());
    assert_eq!(store.live("site").unwrap(), Some(done));
}

#[test]
fn a_ledger_path_that_leads_out_is_damage() {
    let home = Home::new();
    let store = home.open();
    store.change_ledger("site", &[(path("/srv", "a"), recorded("1"))], &[]).unwrap();
    store.connection.execute("UPDATE ledger SET path = '../../etc/passwd'", []).unwrap();
    assert_eq!(store.ledger("site").unwrap_err().code(), Code::STATE);
}

#[test]
fn together_nests_and_takes_back_only_what_failed() {
    let home = Home::new();
    let store = home.open();
    let commit = ObjectId::new("abc");
    let outer: Result<(), Error> = store.together(|store| {
        store.set_accepted("kept", &commit)?;
        let inner: Result<(), Error> = store.together(|store| {
            store.set_accepted("lost", &commit)?;
            Err(Error::NotFound { what: "x".into() })
        });
        inner.unwrap_err();
        Ok(())
    });
    outer.unwrap();
    drop(store);
    let store = home.open();
    assert_eq!(store.accepted("kept").unwrap(), Some(commit));
    assert_eq!(store.accepted("lost").unwrap(), None);
}

#[test]
fn a_panic_in_the_middle_takes_everything_back() {
    let home = Home::new();
    let store = home.open();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.together(|store| -> Result<(), Error> {
            store.begin(&deployment("site"))?;
            panic!("on purpose");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(store.deployments(None, 9).unwrap(), []);
    assert_eq!(begin(&store, "site").id, 1);
}

#[test]
fn a_repository_is_remembered() {
    let home = Home::new();
    let store = home.open();
    let blank = RepositoryState { name: "site".into(), ..RepositoryState::default() };
    assert_eq!(store.repository("site").unwrap(), blank);
    assert_eq!(store.repositories().unwrap(), []);
    store.set_accepted("site", &ObjectId::new("aa")).unwrap();
    store.fetched("site", &ObjectId::new("bb"), 1_700_000_000).unwrap();
    store.set_failures("site", 3, Some(1_700_000_060)).unwrap();
    store.set_drift_state("site", Some("{}")).unwrap();
    drop(store);
    let store = home.open();
    let known = RepositoryState {
        accepted: Some(ObjectId::new("aa")),
        remote_tip: Some(ObjectId::new("bb")),
        last_fetch_ok: Some(1_700_000_000),
        consecutive_failures: 3,
        not_before: Some(1_700_000_060),
        drift_state: Some("{}".into()),
        ..blank
    };
    assert_eq!(store.repositories().unwrap(), [known]);
    assert_eq!(store.accepted("site").unwrap(), Some(ObjectId::new("aa")));
    assert_eq!(store.drift_state("site").unwrap().as_deref(), Some("{}"));
    store.set_drift_state("site", None).unwrap();
    store.set_failures("site", 0, None).unwrap();
    assert_eq!(store.drift_state("site").unwrap(), None);
    assert_eq!(store.repository("site").unwrap().not_before, None);
}

#[test]
fn a_quarantined_rendering_stays_so_until_it_is_released() {
    let home = Home::new();
    let store = home.open();
    let digest = Digest("ab".into());
    let it = Quarantined {
        digest: digest.clone(),
        revision: ObjectId::new("11"),
        reason: "probe failed".into(),
        since: "2026-11-23T10:00:00Z".into(),
    };
    store.quarantine("site", &it).unwrap();
    store.attempt("site", "cd", Phase::Render, None).unwrap();
    store.attempt("other", "cd", Phase::Render, None).unwrap();
    drop(store);
    let store = home.open();
    assert_eq!(store.is_quarantined("site", &digest).unwrap(), Some(it.clone()));
    assert_eq!(store.is_quarantined("other", &digest).unwrap(), None);
    assert_eq!(store.is_quarantined("site", &Digest("cd".into())).unwrap(), None);
    let worse = Quarantined { reason: "again".into(), ..it };
    store.quarantine("site", &worse).unwrap();
    assert_eq!(store.quarantined("site").unwrap(), std::slice::from_ref(&worse));
    assert_eq!(store.release("site").unwrap(), [worse]);
    assert_eq!(store.release("site").unwrap(), []);
    assert_eq!(store.attempts("site", "cd").unwrap(), []);
    assert_eq!(store.attempts("other", "cd").unwrap(), [(Phase::Render, 1)]);
}

#[test]
fn p11_attempts_are_counted_across_crashes() {
    let mut home = Home::new();
    for n in 1..=3 {
        let store = home.open();
        store.attempt("site", "ab", Phase::Load, None).unwrap();
        assert_eq!(store.attempts("site", "ab").unwrap(), [(Phase::Load, n)]);
        // The next phase begins: this one was survived.
        store.attempt("site", "ab", Phase::Render, Some(Phase::Load)).unwrap();
        store.attempt("site", "ab", Phase::Load, Some(Phase::Render)).unwrap();
        let crashed = home.after_a_crash();
        drop(store);
        home = crashed;
    }
    let store = home.open();
    assert_eq!(store.attempts("site", "ab").unwrap(), [(Phase::Load, 3)]);
    store.attempt("site", "cd", Phase::Load, None).unwrap();
    store.clear_attempts("site", "ab").unwrap();
    assert_eq!(store.attempts("site", "ab").unwrap(), []);
    assert_eq!(store.attempts("site", "cd").unwrap(), [(Phase::Load, 1)]);
    let how: i64 = store.connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
    assert_eq!(how, 2, "all else is flushed");
}

#[test]
fn a_suspension_lasts_until_resumed() {
    let home = Home::new();
    let store = home.open();
    let it = Suspension {
        reason: "freeze".into(),
        until: Some("2026-12-01T00:00:00Z".into()),
        author: "ana".into(),
        since: "2026-11-23T10:00:00Z".into(),
    };
    store.suspend("site", &it).unwrap();
    let later = Suspension { until: None, ..it };
    store.suspend("site", &later).unwrap();
    drop(store);
    let store = home.open();
    assert_eq!(store.suspension("site").unwrap(), Some(later.clone()));
    assert_eq!(store.suspension("other").unwrap(), None);
    assert_eq!(store.resume("site").unwrap(), Some(later));
    assert_eq!(store.resume("site").unwrap(), None);
}

fn drifted(deployment: i64, path: &str) -> KeptFile {
    let kept =
        Kept { root: "/srv".into(), path: path.into(), id: String::new(), reason: "drifted".into(), encrypted: false };
    KeptFile { kept, deployment, link: false, mode: 0o600, uid: 1, gid: 2 }
}

#[test]
fn a_kept_file_is_given_back_byte_for_byte() {
    let home = Home::new();
    let store = home.open();
    let id = begin(&store, "site").id;
    let content = b"edited\0\xff by hand\n";
    let first = store.keep(&drifted(id, "a"), content).unwrap();
    let same = store.keep(&drifted(id, "b"), content).unwrap();
    let again = store.keep(&drifted(id, "a"), content).unwrap();
    let empty = store.keep(&drifted(id, "empty"), b"").unwrap();
    assert_eq!((&first.id, &first.id), (&same.id, &again.id));
    drop(store);
    let store = home.open();
    assert_eq!(store.read_kept(&first.id).unwrap(), content);
    assert_eq!(store.read_kept(&empty.id).unwrap(), b"");
    let listed: Vec<_> = store.kept(Some("site")).unwrap().into_iter().map(|it| (it.kept, it.mode, it.uid)).collect();
    assert_eq!(listed, [(first.clone(), 0o600, 1), (same, 0o600, 1), (empty, 0o600, 1)]);
    assert_eq!(store.kept(None).unwrap().len(), 3);
    assert_eq!(store.kept(Some("other")).unwrap(), []);
    let metadata = std::fs::metadata(home.dir().join("kept").join(&first.id)).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&metadata) & 0o777, 0o600);
    let n_files = std::fs::read_dir(home.dir().join("kept")).unwrap().count();
    assert_eq!(n_files, 2, "equal content is kept once and nothing is left over");
}

#[test]
fn both_versions_of_a_file_that_was_kept_twice_remain() {
    let home = Home::new();
    let store = home.open();
    let id = begin(&store, "site").id;
    let first = store.keep(&drifted(id, "a"), b"1").unwrap();
    let second = store.keep(&drifted(id, "a"), b"2").unwrap();
    assert_eq!(store.kept(None).unwrap().len(), 2);
    assert_eq!((store.read_kept(&first.id).unwrap(), store.read_kept(&second.id).unwrap()), (b"1".into(), b"2".into()));
}

#[test]
fn a_kept_id_cannot_lead_elsewhere() {
    let home = Home::new();
    let store = home.open();
    for id in ["", "../digest.key", "/etc/passwd", &"g".repeat(32), &"a".repeat(32), "0\0"] {
        assert_eq!(store.read_kept(id).unwrap_err().code(), Code::NOT_FOUND, "{id:?}");
    }
}

#[test]
fn the_host_key_is_made_once_and_differs_between_hosts() {
    let (one, other) = (Home::new(), Home::new());
    let key = one.open().host_key();
    assert_eq!(one.open().host_key(), key);
    assert_ne!(other.open().host_key(), key);
    assert_ne!(key, [0; 32]);
}

#[test]
fn a_store_can_move_to_another_thread() {
    fn moves<T: Send>() {}
    moves::<Store>();
}

#[test]
fn a_row_follows_its_file_unless_it_says_something_else_by_now() {
    let home = Home::new();
    let store = home.open();
    let (at, row) = (path("/srv", "a"), recorded("one"));
    store.change_ledger("site", &[(at.clone(), row.clone())], &[]).unwrap();
    let to = Stat { inode: 3, ..row.stat };
    let stale = Restat { at: at.clone(), from: Stat { ctime_ns: 0, ..row.stat }, to: Stat::default() };
    let elsewhere = Restat { at: path("/srv", "b"), from: row.stat, to };
    store.restat("site", &[stale, elsewhere]).unwrap();
    assert_eq!(store.ledger("site").unwrap(), [(at.clone(), row.clone())].into());
    store.restat("site", &[Restat { at: at.clone(), from: row.stat, to }]).unwrap();
    assert_eq!(store.ledger("site").unwrap(), [(at, Recorded { stat: to, ..row })].into());
}

#[test]
fn a_database_of_the_first_format_is_brought_to_this_one() {
    let home = Home::new();
    let store = home.open();
    let id = begin(&store, "site").id;
    store.connection.execute_batch("ALTER TABLE deployments DROP COLUMN keys; PRAGMA user_version = 1").unwrap();
    drop(store);
    let store = home.open();
    let mut it = store.deployment(id).unwrap().unwrap();
    assert_eq!(it.keys, crate::record::KeyChanges::default());
    it.keys.more = 5;
    store.save(&it).unwrap();
    assert_eq!(store.deployment(id).unwrap().unwrap().keys.more, 5);
}
