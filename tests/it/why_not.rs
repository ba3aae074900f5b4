//! `why-not`: what keeps a commit from being live, as a person reads it.

use crate::host::TestHost;

const MANIFEST: &str = "\
version: 1
environments: {production: {type: production}}
targets:
  app:
    path: @LIVE@
    files: [{copy: files}]
";

#[test]
fn why_not_names_the_gate_since_when_and_what_unblocks() {
    let host = TestHost::new();
    host.commit(&[("headfast.yaml", MANIFEST), ("files/a", "A")]);
    host.run(&["sync"]).ends(0);
    host.run(&["why-not"]).ends(0).says(&["is live", "deployment 1 brought it here"]);
    let next = host.commit(&[("files/a", "B")]);
    host.run(&["why-not", &next]).ends(0).says(&["no such commit is not live", "unblock", "headfast sync"]);
    host.run(&["suspend", "--reason", "exams"]).ends(0);
    host.run(&["sync"]).ends(0);
    let answer = host.run(&["why-not"]).ends(0);
    answer.says(&[&next[..12], "exams", "E_SUSPENDED", "since", "headfast resume"]);
    let json = host.run(&["why-not", "--json"]).ends(0).json();
    let only = &json["repositories"][0];
    assert_eq!(
        (&only["gate"], &only["revision"], &only["code"]),
        (&"suspended".into(), &next.into(), &"E_SUSPENDED".into())
    );
    assert!(only["since"].is_string() && only["unblock"].is_string() && only["first"].is_null(), "{json}");
    host.run(&["resume"]).ends(0);
    let slip = host.commit(&[("headfast.yaml", &format!("{MANIFEST}allow_remval: []\n"))]);
    host.run(&["sync"]).ends(3);
    host.run(&["why-not", &slip[..10]]).ends(0).says(&["content", "headfast.yaml:7:1", "did you mean"]);
}
