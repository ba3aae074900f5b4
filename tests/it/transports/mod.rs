//! Fetching and pushing over real servers.

mod https;
mod ssh;

use crate::servers::repository::Repository;
use headfast::finding::Code;
use headfast::git::{Credentials, Error, Mirror, Remote};
use headfast::revision::{ObjectId, RemoteUrl, Tree};
use headfast::rollback;
use std::time::Duration;

/// Enough for a loaded machine; the tests of deadlines bring their own.
const DEADLINE: Duration = Duration::from_secs(60);

fn remote(url: &str, auth: Credentials) -> Remote {
    Remote { url: RemoteUrl::parse(url).expect("parses"), auth, deadline: DEADLINE }
}

fn mirror(repository: &Repository) -> Mirror {
    Mirror::open(&repository.mirror_dir()).expect("opens")
}

/// Fetches, expects a failure with `code`, and returns its words, which must be fit for a terminal.
#[track_caller]
fn refused(repository: &Repository, remote: &Remote, code: Code) -> String {
    let error = mirror(repository).fetch(remote, "main").expect_err("fails");
    words(&error, code)
}

#[track_caller]
fn words(error: &Error, code: Code) -> String {
    let text = error.to_string();
    assert_eq!(error.code(), code, "{text}");
    assert!(!text.contains(char::is_control) && !text.contains("s3cr3t"), "{text:?}");
    text
}

/// Returns text that does not get smaller in a pack, so that more than one buffer of it goes over the line.
fn noise(len: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + (state % 94) as u8)
    };
    (0..len).map(|_| next()).collect()
}

/// The whole round that an agent makes over a transport: fetch, fetch again, revert, note, and the refusals on the way.
#[track_caller]
fn goes_round(repository: &Repository, remote: &Remote) {
    const NOTES: &str = "refs/notes/headfast/production/web-1";
    let mut mirror = mirror(repository);
    let good = mirror.fetch(remote, "main").expect("fetches");
    assert_eq!(good.as_str(), repository.tip("HEAD"));
    assert_eq!(mirror.fetch(remote, "main").expect("fetches"), good);
    assert_eq!(mirror.fetch(remote, "other").expect_err("is missing").code(), Code::REF_MISSING);
    let large = noise(3 << 20);
    repository.commit("b", &large);
    let failed = ObjectId::new(&repository.tip("HEAD"));
    assert_eq!(mirror.fetch(remote, "main").expect("fetches"), failed);
    let tree = mirror.tree(&failed).expect("reads");
    let entry = tree.find("b").expect("reads").expect("is there");
    assert!(tree.blob(&entry.id).expect("reads") == large.as_bytes());

    let undone = mirror.between(&good, &failed, 100).expect("reads");
    let (good, failed) = (mirror.commit(&good).expect("reads"), mirror.commit(&failed).expect("reads"));
    let revert = mirror.create_commit(&rollback::revert_commit(&failed, &good, &undone)).expect("makes it");
    let branch = rollback::branch_of(&failed.id);
    mirror.push(remote, &revert, &branch).expect("pushes");
    mirror.push(remote, &revert, &branch).expect("finds it there");
    assert_eq!(repository.remote_tip(&branch), revert.as_str());

    mirror.note(remote, NOTES, &failed.id, "pending\n").expect("writes");
    mirror.note(remote, NOTES, &failed.id, &large).expect("writes");
    assert_eq!(repository.remote_tip(&format!("{NOTES}~1")).len(), 40);

    repository.commit("c", "three");
    let error = mirror.push(remote, &revert, "refs/heads/main").expect_err("has moved on");
    words(&error, Code::PUSH_REFUSED);
    repository.hook("pre-receive", "printf 'ask \\033[31mAna\\n' >&2; exit 1");
    let error = mirror.push(remote, &revert, "refs/heads/x").expect_err("the hook says no");
    assert!(words(&error, Code::PUSH_REFUSED).contains("Ana"), "{error}");
    assert_eq!(mirror.fetch(remote, "main").expect("fetches").as_str(), repository.tip("HEAD"));
}
