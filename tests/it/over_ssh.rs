//! The whole flow over a real sshd: deployment, rollback, the revert pushed back, notes; and a server that has gone.

use crate::host::{AGENT, MANIFEST, TestHost};
use crate::servers::is_left_out;
use crate::servers::sshd::{NAME, Sshd};

#[test]
fn a_push_is_deployed_and_a_bad_one_reverted_over_ssh() {
    if is_left_out(NAME) {
        return;
    }
    let (mut server, host) = (Sshd::start(""), TestHost::new());
    let (key, known_hosts) = (server.file("user"), server.known_hosts("host"));
    let auth = format!("{{ssh_key: {}, known_hosts: {}}}", key.display(), known_hosts.display());
    let more = format!("    branch: main\n    auth: {auth}\n    status: [{{provider: notes}}]\n");
    let url = server.url(&host.path("remote.git"));
    host.agent(&AGENT.replace("@DIR@/remote.git", &url).replace("    branch: main\n", &more));

    let probe = "    probe: [{command: [/bin/sh, -c, '! grep -q bad @LIVE@/a'], within: 1s, settle: 0s}]\n";
    let good = host.commit(&[("headfast.yaml", &format!("{MANIFEST}{probe}")), ("files/a", "good\n")]);
    host.run(&["sync"]).ends(0).says(&["1 created"]);
    let notes = "--ref=headfast/production/web-1";
    assert!(host.remote(&["notes", notes, "show", &good]).contains("\"state\":\"success\""));

    let bad = host.commit(&[("files/a", "bad\n")]);
    host.run(&["sync"]).ends(6);
    assert_eq!(host.live("a"), "good\n");
    assert_eq!(host.remote(&["rev-parse", "main^"]), bad);
    assert!(host.remote(&["notes", notes, "show", &bad]).contains("rolled back"));
    host.run(&["sync"]).ends(0).says(&["no file was touched"]);

    // A remote that is gone changes nothing here, and drift is still known.
    server.stop();
    host.run(&["sync"]).ends(1).says(&["E_FETCH_NET"]);
    assert_eq!(host.live("a"), "good\n");
    host.run(&["drift"]).ends(0);
}
