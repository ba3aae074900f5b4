//! What is run around a switch: checks before it, reloads and probes after it.

use super::process::{self, End, Fault, Outcome};
use crate::manifest::{is_protected_unit, is_unit};
use serde::{Deserialize, Serialize};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A program that is told about a change, or may veto it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What is run.
    pub what: Task,
    /// How long it may take.
    pub within: Duration,
}

/// What a job runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A systemd unit job, by systemctl(1).
    Unit {
        /// The unit's name.
        unit: String,
        /// The verb: `reload`, `restart` and so on.
        verb: String,
    },
    /// systemd reads its unit files again, if one of these units needs it; in any case when there are none.
    DaemonReload(Vec<String>),
    /// A program and its arguments.
    Command(Vec<String>),
}

/// Something that must hold after a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// What is looked at.
    pub what: Look,
    /// How long it may take until it holds.
    pub within: Duration,
    /// After how long it must hold a second time; zero when once is enough.
    pub settle: Duration,
}

/// What a trial looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// The status of a GET request, redirects not followed.
    Http {
        /// The URL.
        url: String,
        /// The status that is expected.
        expect: u16,
    },
    /// A TCP connection to `host:port`.
    Tcp(String),
    /// A program that exits 0.
    Command(Vec<String>),
    /// A systemd unit that is active.
    Unit(String),
}

/// Why a trial does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Miss {
    /// What was seen, as a fragment.
    pub why: String,
    /// Whose fault it is.
    pub fault: Fault,
}

/// How long systemd may take to say that it is there.
const PING: Duration = Duration::from_secs(10);

/// How long the program waits between two tries of a probe.
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// How long one try of a probe may take; the shortest is given even when less is left, so that a slow answer is heard.
const ONE_TRY: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(10);

/// Runs actions on this host.
#[derive(Clone, Debug)]
pub struct Actions {
    /// The program that talks to systemd.
    pub systemctl: String,
    /// The socket of whoever asks for actions: one that is running when it closes is ended.
    pub asker: Option<Arc<OwnedFd>>,
}

impl Default for Actions {
    fn default() -> Self {
        Actions { systemctl: "systemctl".into(), asker: None }
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Task::Unit { unit, verb } => write!(f, "{verb} {unit}"),
            Task::DaemonReload(_) => f.write_str("daemon-reload"),
            Task::Command(argv) => f.write_str(&argv.join(" ")),
        }
    }
}

impl std::fmt::Display for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Look::Http { url, .. } => f.write_str(url),
            Look::Tcp(address) => write!(f, "tcp {address}"),
            Look::Command(argv) => f.write_str(&argv.join(" ")),
            Look::Unit(unit) => write!(f, "unit {unit}"),
        }
    }
}

impl Actions {
    /// Runs a job to its end.
    pub fn run(&self, job: &Job) -> Outcome {
        match &job.what {
            Task::Command(argv) => process::run(argv, job.within, self.asker()),
            Task::Unit { unit, verb } => match self.refused(unit) {
                Some(outcome) => outcome,
                None => self.asked(&[verb, "--", unit], job.within),
            },
            Task::DaemonReload(units) => match units.iter().find_map(|it| self.refused(it)) {
                Some(outcome) => outcome,
                None if self.is_up_to_date(units, job.within) => Outcome::of(End::NotNeeded),
                None => self.asked(&["daemon-reload"], job.within),
            },
        }
    }

    fn asker(&self) -> Option<BorrowedFd<'_>> {
        self.asker.as_ref().map(|it| it.as_fd())
    }

    /// Asks systemd for something. It is a job's result that makes systemctl succeed or fail, except where there is nobody
    /// to ask: that is not the unit's fault.
    fn asked(&self, arguments: &[&str], within: Duration) -> Outcome {
        let outcome = self.systemctl(arguments, within);
        if outcome.is_success() || self.systemctl(&["show", "--property=Version", "--value"], PING).is_success() {
            return outcome;
        }
        Outcome { end: End::NoSystemd, ..outcome }
    }

    fn systemctl(&self, arguments: &[&str], within: Duration) -> Outcome {
        let argv = [self.systemctl.as_str(), "--no-ask-password"].into_iter().chain(arguments.iter().copied());
        process::run(&argv.map(str::to_owned).collect::<Vec<_>>(), within, self.asker())
    }

    /// Returns whether systemd has read the files of all these units, of which there is at least one, as they are now.
    fn is_up_to_date(&self, units: &[String], within: Duration) -> bool {
        let question = ["show", "--property=NeedDaemonReload", "--value", "--"];
        let question: Vec<&str> = question.into_iter().chain(units.iter().map(String::as_str)).collect();
        let outcome = (!units.is_empty()).then(|| self.systemctl(&question, within));
        outcome.is_some_and(|it| it.is_success() && !it.output.lines().any(|it| it.trim() == "yes"))
    }

    /// Says no to a unit that no gate should have let through.
    fn refused(&self, unit: &str) -> Option<Outcome> {
        let why = match unit {
            _ if !is_unit(unit) => "is not the name of a unit",
            _ if is_protected_unit(unit) => "is a unit that headfast itself needs",
            _ => return None,
        };
        Some(Outcome::of(End::Broken(format!("{:?} {why}", unit))))
    }

    /// Looks once.
    pub fn look(&self, what: &Look, within: Duration) -> Result<(), Miss> {
        let seen = |why| Miss { why, fault: Fault::Action };
        match what {
            Look::Http { .. } | Look::Tcp(_) => reach(what, within),
            Look::Command(argv) => judged(process::run(argv, within, self.asker())),
            Look::Unit(unit) if !is_unit(unit) => Err(seen(format!("{unit:?} is not the name of a unit"))),
            Look::Unit(unit) => {
                let outcome = self.asked(&["is-active", "--quiet", "--", unit], within);
                match outcome.end {
                    End::Exit(0) => Ok(()),
                    End::Exit(_) => Err(seen("the unit is not active".into())),
                    _ => judged(outcome),
                }
            }
        }
    }
}

/// Tries until a trial holds or its time is over; returns why it does not hold.
pub fn until(trial: &Trial, look: &dyn Fn(&Look, Duration) -> Result<(), Miss>) -> Result<(), Miss> {
    let deadline = Instant::now() + trial.within;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let miss = match look(&trial.what, left.clamp(*ONE_TRY.start(), *ONE_TRY.end())) {
            Ok(()) => return Ok(()),
            Err(miss) => miss,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(miss);
        }
        process::pause(BETWEEN_TRIES.min(left));
    }
}

/// Looks once at what is reached over the network; anything else does not hold.
pub fn reach(what: &Look, within: Duration) -> Result<(), Miss> {
    let seen = match what {
        Look::Http { url, expect } => http(url, *expect, within),
        Look::Tcp(address) => tcp(address, within),
        Look::Command(_) | Look::Unit(_) => Err("it is not reached over the network".into()),
    };
    seen.map_err(|why| Miss { why, fault: Fault::Action })
}

fn judged(outcome: Outcome) -> Result<(), Miss> {
    if outcome.is_success() {
        return Ok(());
    }
    let last = outcome.output.lines().last().map(|it| format!(": {it}")).unwrap_or_default();
    Err(Miss { why: format!("{}{last}", outcome.describe()), fault: outcome.fault() })
}

fn http(url: &str, expect: u16, within: Duration) -> Result<(), String> {
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .timeout_global(Some(within))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .build(),
    );
    match agent.get(url).header("user-agent", "headfast-probe").call() {
        Ok(response) if response.status().as_u16() == expect => Ok(()),
        Ok(response) => Err(format!("it answers {}, expected {expect}", response.status().as_u16())),
        Err(error) => Err(error.to_string()),
    }
}

fn tcp(address: &str, within: Duration) -> Result<(), String> {
    let addresses = address.to_socket_addrs().map_err(|error| error.to_string())?;
    let mut last = "the name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, within) {
            Ok(_) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketType};
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

    /// A server that answers each connection with the next of some statuses, and the last one for ever.
    fn server(statuses: &'static [u16]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/healthz", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for (idx, connection) in listener.incoming().enumerate() {
                let mut connection = connection.unwrap();
                let _request = connection.read(&mut [0; 4096]);
                let status = statuses[idx.min(statuses.len() - 1)];
                let _gone = write!(connection, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        url
    }

    fn trial(what: Look, millis: u64) -> Trial {
        Trial { what, within: Duration::from_millis(millis), settle: Duration::ZERO }
    }

    #[test]
    fn a_probe_tries_until_it_holds() {
        let url = server(&[503, 503, 200]);
        assert_eq!(until(&trial(Look::Http { url, expect: 200 }, 20_000), &reach), Ok(()));
    }

    #[test]
    fn k02_a_probe_that_never_holds_says_what_it_saw() {
        let url = server(&[500]);
        let error = until(&trial(Look::Http { url, expect: 200 }, 50), &reach).unwrap_err();
        assert_eq!(error.why, "it answers 500, expected 200");
    }

    #[test]
    fn a_port_that_nobody_listens_on_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(Actions::default().look(&Look::Tcp(address), Duration::from_secs(5)), Ok(()));
        // Bound, so that nobody else gets the port. Of one that was closed, a child that another test is about to start may
        // still have a copy.
        let deaf = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&deaf, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = SocketAddrV4::try_from(rustix::net::getsockname(&deaf).unwrap()).unwrap().to_string();
        assert!(Actions::default().look(&Look::Tcp(address), Duration::from_secs(5)).is_err());
    }

    const LONG: Duration = Duration::from_secs(60);

    /// A systemctl that notes how it was called, and then does what the script says; `$verb` is what it was asked for.
    struct Fake {
        dir: tempfile::TempDir,
        actions: Actions,
    }

    fn fake(script: &str) -> Fake {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("systemctl");
        let text = format!("#!/bin/sh\necho \"$@\" >>{}/log\nverb=$2\n{script}\n", dir.path().display());
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        Fake { actions: Actions { systemctl: file.to_str().unwrap().to_owned(), asker: None }, dir }
    }

    impl Fake {
        fn run(&self, what: Task, within: Duration) -> Outcome {
            self.actions.run(&Job { what, within })
        }

        /// Returns how it was called since the last time.
        fn log(&self) -> Vec<String> {
            let file = self.dir.path().join("log");
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            std::fs::remove_file(&file).ok();
            text.lines().map(|it| it.strip_prefix("--no-ask-password ").unwrap().to_owned()).collect()
        }
    }

    fn unit(name: &str, verb: &str) -> Task {
        Task::Unit { unit: name.into(), verb: verb.into() }
    }

    #[test]
    fn units_are_asked_of_systemctl_by_argument_vector() {
        let fake = fake("case $verb in show) ;; *) [ \"$4\" = good.service ] ;; esac");
        assert!(fake.run(unit("good.service", "reload"), LONG).is_success());
        assert_eq!(fake.log(), ["reload -- good.service"]);
        let bad = fake.run(unit("bad.service", "reload"), LONG);
        assert_eq!((bad.describe().as_str(), bad.fault()), ("exited with status 1", Fault::Action));
        let miss = fake.actions.look(&Look::Unit("x.service".into()), LONG).unwrap_err();
        assert_eq!((miss.why.as_str(), miss.fault), ("the unit is not active", Fault::Action));
    }

    #[test]
    fn l12_l14_what_no_gate_should_have_let_through_is_not_run_either() {
        let fake = fake("");
        for name in ["../x", "a*.service", "x@.service", "-.mount", "", "headfast.service", "dbus.service"] {
            let outcome = fake.run(unit(name, "restart"), LONG);
            assert!(matches!(outcome.end, End::Broken(_)), "{name}: {outcome:?}");
            assert!(!fake.run(Task::DaemonReload(vec![name.into()]), LONG).is_success(), "{name}");
        }
        assert!(fake.actions.look(&Look::Unit("../x".into()), LONG).is_err());
        assert_eq!(fake.log(), Vec::<String>::new());
    }

    #[test]
    fn l13_a_job_that_hangs_or_is_cancelled_is_the_units_fault() {
        let fake = fake("case $4 in hangs.service) sleep 1000 ;; gone.service) echo canceled; exit 1 ;; esac");
        let short = Duration::from_millis(100);
        let outcome = fake.run(unit("hangs.service", "restart"), short);
        assert_eq!((&outcome.end, outcome.fault()), (&End::Timeout(short), Fault::Action));
        let outcome = fake.run(unit("gone.service", "restart"), LONG);
        assert_eq!((&outcome.end, outcome.fault()), (&End::Exit(1), Fault::Action));
        assert_eq!(outcome.output, "canceled");
    }

    #[test]
    fn l15_when_systemd_cannot_be_asked_no_unit_is_to_blame() {
        let nowhere = Fake { actions: Actions { systemctl: "/no/such/systemctl".into(), asker: None }, ..fake("") };
        for fake in [fake("echo 'Failed to connect to bus'; exit 1"), nowhere] {
            for what in [unit("x.service", "restart"), Task::DaemonReload(Vec::new())] {
                let outcome = fake.run(what, LONG);
                assert_eq!((&outcome.end, outcome.fault()), (&End::NoSystemd, Fault::Systemd));
            }
            let miss = fake.actions.look(&Look::Unit("x.service".into()), LONG).unwrap_err();
            assert_eq!(miss.fault, Fault::Systemd, "{miss:?}");
        }
    }

    #[test]
    fn l17_systemd_reads_its_units_again_when_one_of_them_needs_it() {
        let units = || Task::DaemonReload(vec!["a.service".into(), "b.timer".into()]);
        let question = "show --property=NeedDaemonReload --value -- a.service b.timer";
        let needed = fake("[ $verb = show ] && printf 'no\\n\\nyes\\n'; true");
        assert_eq!(needed.run(units(), LONG).end, End::Exit(0));
        assert_eq!(needed.log(), [question, "daemon-reload"]);
        let current = fake("[ $verb = show ] && printf 'no\\n\\nno\\n'; true");
        assert_eq!(current.run(units(), LONG).end, End::NotNeeded);
        assert_eq!(current.log(), [question]);
        assert_eq!(current.run(Task::DaemonReload(Vec::new()), LONG).end, End::Exit(0));
        assert_eq!(current.log(), ["daemon-reload"]);
        let fails = fake("[ $verb = show ]");
        assert_eq!(fails.run(Task::DaemonReload(Vec::new()), LONG).end, End::Exit(1));
    }
}
