//! Blame before revert: what the host does wrong is never taken back in the repository.

use crate::host::{AGENT, MANIFEST, TestHost};
use crate::servers::is_left_out;

/// A probe makes sure that a rollback, and with it a revert, would be possible at all.
const PROBE: &str = "    probe: [{command: [/bin/sh, -c, 'test -e @LIVE@/a'], within: 1s, settle: 0s}]\n";

fn host() -> (TestHost, String) {
    let host = TestHost::new();
    host.agent(&AGENT.replace("commands: [/bin/sh]", "commands: [/bin/sh], users: [nobody-of-this-name, root]"));
    host.commit(&[("headfast.yaml", &format!("{MANIFEST}{PROBE}")), ("files/a", "old\n"), ("files/d/b", "old\n")]);
    host.run(&["sync"]).ends(0);
    let tip = host.commit(&[("files/a", "new\n"), ("files/n/c", "new\n")]);
    (host, tip)
}

#[test]
fn h17_a_missing_user_reverts_nothing() {
    let (host, _) = host();
    let owned = format!("{MANIFEST}    owner: nobody-of-this-name\n{PROBE}");
    let tip = host.commit(&[("headfast.yaml", &owned)]);
    let before = host.snapshot();
    host.run(&["sync"]).ends(1).says(&["E_OWNER", "nobody-of-this-name"]);
    assert_eq!(host.snapshot(), before);
    assert_eq!(host.remote(&["rev-parse", "main"]), tip);
    // The host gets what it lacks, here by the repository naming another user: the same files are deployed.
    host.commit(&[("headfast.yaml", &owned.replace("nobody-of-this-name", "root"))]);
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "new\n");
}

#[test]
fn h12_h14_a_full_or_broken_disk_reverts_nothing_and_says_so() {
    if is_left_out("strace") {
        return;
    }
    let (host, tip) = host();
    let revision = |host: &TestHost| -> String {
        let status = host.run(&["status", "--json"]).ends(0).json();
        status["repositories"][0]["revision"].as_str().unwrap().to_owned()
    };
    let old = revision(&host);
    let mut failed = 0;
    for (call, error) in [("mkdirat", "ENOSPC"), ("renameat2", "ENOSPC"), ("fsync", "EIO"), ("fchmod", "EROFS")] {
        for n in [1, 2, 3, 5, 8, 13, 21] {
            let status = host.sync_with(&format!("error={error}"), call, n).code().unwrap_or(-1);
            let at = format!("{error} at {call} {n}: exit {status}");
            assert_eq!(host.remote(&["rev-parse", "main"]), tip, "{at}");
            let is_new = host.live("a") == "new\n";
            assert_eq!(is_new, host.path("live/n/c").exists(), "{at}");
            // The exit code told the truth: success only when the new files are there and recorded.
            assert!(status != 0 || is_new && revision(&host) == tip, "{at}");
            failed += usize::from(status != 0);
            // The next healthy pass converges; then everything goes back for the next fault.
            host.run(&["sync"]).ends(0);
            assert_eq!((host.live("a").as_str(), revision(&host)), ("new\n", tip.clone()), "{at}");
            host.agent(&std::fs::read_to_string(host.path("agent.yaml")).unwrap().replace("direct", "'off'"));
            host.run(&["rollback"]).ends(0);
            host.run(&["resume"]).ends(0);
            host.agent(&std::fs::read_to_string(host.path("agent.yaml")).unwrap().replace("'off'", "direct"));
            assert_eq!((host.live("a").as_str(), revision(&host)), ("old\n", old.clone()), "{at}");
        }
    }
    assert!(failed > 10, "only {failed} faults were felt");
}
