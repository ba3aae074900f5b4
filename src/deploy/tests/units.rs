//! Unit jobs, with a systemctl of our own.

use super::*;

const RELOADS: &str = "    reload:\n      - {unit: x.service, action: restart, when: [a]}\n      \
                       - {unit: y.service, action: reload}\n      \
                       - {unit: x.service, action: restart, when: [b]}\n      \
                       - {unit: x.service, action: restart}";

const UP_TO_DATE: &str = "[ \"$1\" != show ] || echo no";

fn host_with_reloads() -> (World, Host) {
    let world = world();
    world.manifest(RELOADS);
    world.commit("start", &[("a", "1\n"), ("b", "1\n"), ("c", "1\n")]);
    let host = world.host("one", "");
    (world, host)
}

#[test]
fn l16_l17_one_restart_of_a_unit_for_three_files_and_one_daemon_reload_before_it() {
    let (_world, host) = host_with_reloads();
    let question = "show --property=NeedDaemonReload --value -- x.service y.service";
    let (result, log) = host.sync_with_systemctl("[ \"$1\" != show ] || echo yes");
    assert_eq!(status(&result), Some(DeploymentStatus::Success));
    assert_eq!(log, [question, "daemon-reload", "restart -- x.service", "reload -- y.service"]);
}

#[test]
fn l13_a_job_that_systemd_cancels_takes_the_commit_back_with_its_reloads() {
    let (world, host) = host_with_reloads();
    assert_eq!(status(&host.sync_with_systemctl(UP_TO_DATE).0), Some(DeploymentStatus::Success));
    std::fs::remove_file(host.root.with_file_name("log")).unwrap();
    world.commit("bad", &[("a", "2\n")]);
    let script = format!("grep -q 2 {} && [ $1 = restart ] && exit 1\n{UP_TO_DATE}", host.path("a").display());
    let (result, log) = host.sync_with_systemctl(&script);
    assert_eq!(status(&result), Some(DeploymentStatus::RolledBack));
    assert_eq!(codes(&result), ["E_RELOAD"]);
    assert_eq!(host.read("a"), "1\n");
    let jobs: Vec<&String> = log.iter().filter(|it| !it.starts_with("show")).collect();
    assert_eq!(jobs, ["restart -- x.service", "restart -- x.service", "reload -- y.service"]);
}

#[test]
fn l15_without_systemd_the_files_go_back_and_nobody_is_blamed() {
    let (world, host) = host_with_reloads();
    assert_eq!(status(&host.sync_with_systemctl(UP_TO_DATE).0), Some(DeploymentStatus::Success));
    let fine = world.commit("fine", &[("a", "2\n")]);
    let (result, _) = host.sync_with_systemctl("exit 1");
    assert_eq!(status(&result), Some(DeploymentStatus::Failed));
    assert_eq!(result.verdict(), Some(crate::finding::Verdict::Failed));
    assert_eq!(codes(&result)[0], "E_SYSTEMD_DOWN");
    assert_eq!((host.read("a").as_str(), world.remote(&["rev-parse", "main"])), ("1\n", fine));
    // As soon as it is there again, the same commit is deployed.
    let (result, _) = host.sync_with_systemctl(UP_TO_DATE);
    assert_eq!(status(&result), Some(DeploymentStatus::Success), "{:?}", result.findings);
    assert_eq!(host.read("a"), "2\n");
}
