//! What is run around a switch: checks before it, reloads and probes after it.

use super::process::{self, End, Outcome};
use serde::{Deserialize, Serialize};
use std::net::{TcpStream, ToSocketAddrs};
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

/// How long the program waits between two tries of a probe.
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// How long one try of a probe may take; the shortest is given even when less is left, so that a slow answer is heard.
const ONE_TRY: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(10);

/// Runs actions on this host.
#[derive(Clone, Debug)]
pub struct Actions {
    /// The program that talks to systemd.
    pub systemctl: String,
}

impl Default for Actions {
    fn default() -> Self {
        Actions { systemctl: "systemctl".into() }
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Task::Unit { unit, verb } => write!(f, "{verb} {unit}"),
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
            Task::Command(argv) => process::run(argv, job.within),
            Task::Unit { unit, verb } => {
                let argv = [&self.systemctl, "--no-ask-password", verb, "--", unit].map(str::to_owned);
                process::run(&argv, job.within)
            }
        }
    }

    /// Looks once.
    pub fn look(&self, what: &Look, within: Duration) -> Result<(), String> {
        match what {
            Look::Http { .. } | Look::Tcp(_) => reach(what, within),
            Look::Command(argv) => judged(process::run(argv, within)),
            Look::Unit(unit) => {
                let argv = [&self.systemctl, "is-active", "--quiet", "--", unit].map(str::to_owned);
                let outcome = process::run(&argv, within);
                match outcome.end {
                    End::Exit(0) => Ok(()),
                    End::Exit(_) => Err("the unit is not active".into()),
                    _ => judged(outcome),
                }
            }
        }
    }
}

/// Tries until a trial holds or its time is over; returns why it does not hold.
pub fn until(trial: &Trial, look: &dyn Fn(&Look, Duration) -> Result<(), String>) -> Result<(), String> {
    let deadline = Instant::now() + trial.within;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let error = match look(&trial.what, left.clamp(*ONE_TRY.start(), *ONE_TRY.end())) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(error);
        }
        process::pause(BETWEEN_TRIES.min(left));
    }
}

/// Looks once at what is reached over the network; anything else does not hold.
pub fn reach(what: &Look, within: Duration) -> Result<(), String> {
    match what {
        Look::Http { url, expect } => http(url, *expect, within),
        Look::Tcp(address) => tcp(address, within),
        Look::Command(_) | Look::Unit(_) => Err("it is not reached over the network".into()),
    }
}

fn judged(outcome: Outcome) -> Result<(), String> {
    if outcome.is_success() {
        return Ok(());
    }
    let last = outcome.output.lines().last().map(|it| format!(": {it}")).unwrap_or_default();
    Err(format!("{}{last}", outcome.describe()))
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
    use std::io::{Read, Write};
    use std::net::TcpListener;

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
        assert_eq!(error, "it answers 500, expected 200");
    }

    #[test]
    fn a_port_that_nobody_listens_on_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(Actions::default().look(&Look::Tcp(address.clone()), Duration::from_secs(5)), Ok(()));
        drop(listener);
        assert!(Actions::default().look(&Look::Tcp(address), Duration::from_secs(5)).is_err());
    }

    #[test]
    fn units_are_asked_of_systemctl_by_argument_vector() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let fake = dir.path().join("systemctl");
        std::fs::write(&fake, "#!/bin/sh\necho \"$@\"; [ \"$4\" = good.service ]\n").unwrap();
        std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
        let actions = Actions { systemctl: fake.to_str().unwrap().to_owned() };
        let job = |unit: &str| Job {
            what: Task::Unit { unit: unit.into(), verb: "reload".into() },
            within: Duration::from_secs(20),
        };
        let outcome = actions.run(&job("good.service"));
        assert!(outcome.is_success(), "{outcome:?}");
        assert_eq!(outcome.output, "--no-ask-password reload -- good.service");
        assert_eq!(actions.run(&job("bad.service")).describe(), "exited with status 1");
        let error = actions.look(&Look::Unit("x.service".into()), Duration::from_secs(20)).unwrap_err();
        assert_eq!(error, "the unit is not active");
    }
}
