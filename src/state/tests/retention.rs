use super::*;
use crate::state::{Dropped, Retention};

const NOTHING: Retention = Retention { before: String::new(), copies: 0, bytes: u64::MAX, deployments: usize::MAX };

/// The day, the digest, the status, and the paths and contents that were kept.
type Past<'a> = (u32, &'a str, DeploymentStatus, &'a [(&'a str, &'a str)]);

fn store(home: &Home, deployments: &[Past<'_>]) -> Store {
    let store = home.open();
    for (day, digest, status, kept) in deployments {
        let it = Deployment {
            started_at: format!("2026-01-{day:02}T00:00:00.000Z"),
            digest: Some(Digest((*digest).into())),
            ..deployment("site")
        };
        let id = store.begin(&it).unwrap();
        for (path, content) in *kept {
            let mut file = drifted(id, path);
            if path.starts_with("existing") {
                file.kept.reason = "existing".into();
            }
            store.keep(&file, content.as_bytes()).unwrap();
        }
        store.save(&Deployment { id, status: *status, ..it }).unwrap();
    }
    store
}

/// Returns the paths that are kept, oldest first, after making sure that each can be read and nothing else is there.
#[track_caller]
fn kept(store: &Store) -> Vec<String> {
    let all = store.kept(None).unwrap();
    let mut ids: Vec<&String> = all.iter().map(|it| &it.kept.id).collect();
    ids.iter().for_each(|id| drop(store.read_kept(id).unwrap()));
    ids.sort();
    ids.dedup();
    let n_files = std::fs::read_dir(store.dir().join("kept")).unwrap().count();
    assert_eq!(n_files, ids.len(), "no copy without a row");
    all.iter().rev().map(|it| it.kept.path.clone()).collect()
}

use DeploymentStatus::{Failed, Success};

#[test]
fn old_copies_of_drifted_files_go_and_others_stay() {
    let home = Home::new();
    let store = store(
        &home,
        &[
            (1, "a", Success, &[("old", "1"), ("existing", "2"), ("shared", "same")]),
            (2, "b", Success, &[]),
            (20, "c", Success, &[("new", "3"), ("shared", "same")]),
            (21, "d", Success, &[]),
        ],
    );
    let limits = Retention { before: "2026-01-10T00:00:00.000Z".into(), ..NOTHING };
    let few = Retention { copies: 4, ..limits.clone() };
    assert_eq!(store.tidy("site", &few).unwrap(), Dropped::default(), "so few stay, whatever the clock says");
    assert_eq!(store.tidy("site", &limits).unwrap(), Dropped { copies: 2, deployments: 0 });
    let mut left = kept(&store);
    left.sort();
    assert_eq!(left, ["existing", "new", "shared"]);
    assert_eq!(store.tidy("site", &limits).unwrap(), Dropped::default());
    assert_eq!(store.tidy("other", &limits).unwrap(), Dropped::default());
}

#[test]
fn the_oldest_copies_go_when_they_take_too_much_room() {
    let home = Home::new();
    let store = store(
        &home,
        &[
            (1, "a", Success, &[("one", "11111")]),
            (2, "b", Success, &[("two", "22222"), ("existing", "a long text that does not count")]),
            (3, "c", Success, &[("three", "33333")]),
            (4, "d", Success, &[]),
            (5, "e", Success, &[]),
        ],
    );
    let limits = Retention { bytes: 10, ..NOTHING };
    assert_eq!(store.tidy("site", &limits).unwrap().copies, 1);
    let mut left = kept(&store);
    left.sort();
    assert_eq!(left, ["existing", "three", "two"]);
}

#[test]
fn what_a_rollback_needs_stays() {
    let home = Home::new();
    // Going back from 5 to 2 brings back the first copy since then: that of 3, of a file that was healed again and again.
    let store = store(
        &home,
        &[
            (1, "a", Success, &[("x", "0")]),
            (2, "b", Success, &[("x", "1")]),
            (3, "c", Success, &[("x", "2")]),
            (4, "c", Success, &[("x", "3")]),
            (5, "c", Success, &[("x", "4")]),
            (6, "d", Failed, &[]),
        ],
    );
    let limits = Retention { before: "2027".into(), bytes: 0, deployments: 1, ..NOTHING };
    let dropped = store.tidy("site", &limits).unwrap();
    assert_eq!(dropped.copies, 4);
    let left: Vec<i64> = store.kept(None).unwrap().iter().map(|it| it.deployment).collect();
    assert_eq!(left, [3]);
    let ids: Vec<i64> = store.deployments(None, 9).unwrap().iter().map(|it| it.id).collect();
    assert_eq!(ids, [6, 5, 3, 2], "the newest, the live one, one with a copy, the one before");
    assert_eq!(store.live("site").unwrap().map(|it| it.id), Some(5));
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn what_waits_or_is_under_way_stays() {
    let home = Home::new();
    let (pending, going) = (DeploymentStatus::Pending, DeploymentStatus::InProgress);
    let deployments: [Past<'_>; 4] =
        [(1, "a", pending, &[]), (2, "b", going, &[]), (3, "c", Failed, &[]), (4, "d", Failed, &[])];
    let store = store(&home, &deployments);
    let dropped = store.tidy("site", &Retention { deployments: 1, ..NOTHING }).unwrap();
    assert_eq!(dropped, Dropped { copies: 0, deployments: 1 });
    let ids: Vec<i64> = store.deployments(None, 9).unwrap().iter().map(|it| it.id).collect();
    assert_eq!(ids, [4, 2, 1]);
}

#[test]
fn a_crash_while_tidying_leaves_neither_a_row_without_its_copy_nor_a_copy_for_ever() {
    let home = Home::new();
    let store = store(
        &home,
        &[(1, "a", Success, &[("one", "1"), ("two", "2")]), (2, "b", Success, &[]), (3, "c", Success, &[])],
    );
    let limits = Retention { before: "2027".into(), ..NOTHING };
    // A copy that cannot be removed stands for a crash at that moment: its row is gone and it is still there.
    let id = store.kept(None).unwrap()[0].kept.id.clone();
    let path = store.dir().join("kept").join(&id);
    let content = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    store.tidy("site", &limits).unwrap_err();
    assert_eq!(store.kept(None).unwrap(), []);
    drop(store);
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, &content).unwrap();
    let store = home.open();
    // What is kept anew meanwhile, with the same content, is not removed with the rest.
    let other = store.keep(&drifted(3, "three"), &content).unwrap();
    assert_eq!(other.id, id);
    assert_eq!(store.tidy("site", &NOTHING).unwrap(), Dropped::default());
    assert_eq!(kept(&store), ["three"]);
}

#[test]
fn kept_files_are_found_by_the_beginning_of_their_id() {
    let home = Home::new();
    let store = store(&home, &[(1, "a", Success, &[("one", "11111"), ("two", "22222")])]);
    let all = store.kept_entries(Some("site"), "").unwrap();
    assert_eq!(all.iter().map(|it| it.size).collect::<Vec<_>>(), [Some(5), Some(5)]);
    assert_eq!((all[0].repository.as_str(), all[0].at.as_str()), ("site", "2026-01-01T00:00:00.000Z"));
    let id = &all[1].file.kept.id;
    assert_eq!(store.kept_entries(None, &id[..8]).unwrap(), [all[1].clone()]);
    assert_eq!(store.kept_entries(None, "%").unwrap(), []);
    assert_eq!(store.kept_entries(Some("other"), "").unwrap(), []);
    std::fs::remove_file(store.dir().join("kept").join(id)).unwrap();
    assert_eq!(store.kept_entries(None, id).unwrap()[0].size, None);
}
