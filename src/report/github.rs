//! Commit statuses of GitHub.

use super::text::{cut, one_line};
use super::{Delivery, Status};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{HeaderMap, HeaderValue, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use zeroize::Zeroizing;

/// What came of an attempt to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is posted.
    Done,
    /// It may work later.
    RetryAfter {
        /// How long the forge asked us to wait.
        wait: Option<Duration>,
        /// Why, without secrets.
        reason: String,
    },
    /// It will never work for this item.
    Permanent(String),
    /// It will not work for any item until someone mends the configuration.
    AuthProblem(String),
}

/// Posts to GitHub with the token of one file, which is read again at each post so that it can be replaced.
#[derive(Clone, Debug)]
pub struct GithubSender {
    token_file: PathBuf,
    ca_file: Option<PathBuf>,
    deadline: Duration,
}

/// How much of an answer is read.
const MOST_BYTES: u64 = 64 * 1024;

impl GithubSender {
    /// Returns a sender; `deadline` is for a whole post, from the look-up of the name to the last byte of the answer.
    pub fn new(token_file: &Path, deadline: Duration) -> Self {
        GithubSender { token_file: token_file.to_owned(), ca_file: None, deadline }
    }

    /// Trusts the certificates of a PEM file instead of the public ones, for a forge of one's own.
    #[must_use]
    pub fn trusting(mut self, ca_file: Option<&Path>) -> Self {
        self.ca_file = ca_file.map(Path::to_owned);
        self
    }

    /// Posts a status; `now` is in seconds since the epoch, to understand times in the answer.
    pub fn post(&self, delivery: &Delivery, now: i64) -> Outcome {
        let Delivery::Github { api, owner, repository, commit, context, state, description } = delivery else {
            return Outcome::Permanent("not a status for GitHub".into());
        };
        if ![owner, repository, commit].into_iter().all(|it| is_name(it)) {
            return Outcome::Permanent(format!("{owner}/{repository} is not a repository of GitHub"));
        }
        let prepared = self.token().and_then(|token| Ok((token, self.agent(api)?)));
        let (token, agent) = match prepared {
            Ok(it) => it,
            Err(reason) => return Outcome::AuthProblem(reason),
        };
        let Ok(mut authorization) = HeaderValue::from_str(&Zeroizing::new(format!("Bearer {}", *token))) else {
            return Outcome::AuthProblem(format!("{} does not hold a token", self.token_file.display()));
        };
        authorization.set_sensitive(true);
        let body = serde_json::json!({"state": state.as_str(), "context": context, "description": description});
        let answer = agent
            .post(format!("{api}/repos/{owner}/{repository}/statuses/{commit}"))
            .header("Authorization", authorization)
            .header("Accept", "application/vnd.github+json")
            .header("X-GitHub-Api-Version", "2022-11-28")
            .send_json(&body);
        let outcome = match answer {
            Ok(mut it) => {
                let message = match it.status().is_success() {
                    true => String::new(),
                    false => it.body_mut().with_config().limit(MOST_BYTES).read_to_string().unwrap_or_default(),
                };
                judge(it.status(), it.headers(), &message, now)
            }
            Err(error) => unanswered(&error),
        };
        without(outcome, &token)
    }

    fn token(&self) -> Result<Zeroizing<String>, String> {
        let path = self.token_file.display();
        let text = std::fs::read_to_string(&self.token_file).map_err(|error| format!("cannot read {path}: {error}"))?;
        let text = Zeroizing::new(text);
        match text.trim() {
            "" => Err(format!("{path} is empty")),
            token if token.len() > 4096 || !token.bytes().all(|it| it.is_ascii_graphic()) => {
                Err(format!("{path} does not hold a token"))
            }
            token => Ok(Zeroizing::new(token.to_owned())),
        }
    }

    fn agent(&self, api: &str) -> Result<ureq::Agent, String> {
        let is_local = is_loopback(api);
        if !api.starts_with("https://") && !is_local {
            return Err(format!("{api} is not an https address, so the token is not sent there"));
        }
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(self.deadline))
            .http_status_as_error(false)
            // A redirect would carry the status, and with a careless client the token, to wherever the answer says.
            .max_redirects(0)
            .user_agent(concat!("headfast/", env!("CARGO_PKG_VERSION")));
        if is_local {
            config = config.proxy(None);
        }
        if let Some(path) = &self.ca_file {
            config = config.tls_config(TlsConfig::builder().root_certs(roots(path)?).build());
        }
        Ok(config.build().new_agent())
    }
}

fn roots(path: &Path) -> Result<RootCerts, String> {
    let pem = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let certificate = |it| match it {
        Ok(PemItem::Certificate(it)) => Some(it),
        _ => None,
    };
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem).filter_map(certificate).collect();
    match certificates.is_empty() {
        true => Err(format!("{} holds no certificate", path.display())),
        false => Ok(RootCerts::from(certificates)),
    }
}

/// Returns whether an address leads to this machine, where tests and tunnels are.
fn is_loopback(api: &str) -> bool {
    let host = api.strip_prefix("http://").map(|it| it.split(['/', '?', '#']).next().unwrap_or_default());
    let is_port = |it: &str| it.is_empty() || it.strip_prefix(':').is_some_and(|it| it.parse::<u16>().is_ok());
    host.is_some_and(|it| {
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| it.strip_prefix(name).is_some_and(is_port))
    })
}

fn is_name(it: &str) -> bool {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.');
    !it.is_empty() && it != "." && it != ".." && it.bytes().all(is_plain)
}

/// Says what an answer means for the item.
fn judge(status: StatusCode, headers: &HeaderMap, body: &str, now: i64) -> Outcome {
    let message = words(body);
    let colon = if message.is_empty() { "" } else { ": " };
    let reason = format!("the forge answered {}{colon}{message}", status.as_u16());
    let wait = asked_to_wait(headers, now);
    let is_limit = wait.is_some() || ["rate limit", "abuse"].iter().any(|it| message.to_lowercase().contains(it));
    match status.as_u16() {
        200..=299 => Outcome::Done,
        300..=399 => {
            let to = headers.get("location").and_then(|it| it.to_str().ok()).unwrap_or("another address");
            Outcome::AuthProblem(one_line(&format!("{reason}, it redirects to {to}")))
        }
        429 => Outcome::RetryAfter { wait: Some(wait.unwrap_or(Duration::from_secs(60))), reason },
        403 if is_limit => Outcome::RetryAfter { wait: Some(wait.unwrap_or(Duration::from_secs(60))), reason },
        401 | 403 | 404 | 407 => Outcome::AuthProblem(reason),
        408 | 425 | 500..=599 => Outcome::RetryAfter { wait, reason },
        _ => Outcome::Permanent(reason),
    }
}

fn unanswered(error: &ureq::Error) -> Outcome {
    Outcome::RetryAfter { wait: None, reason: one_line(&format!("the forge did not answer ({error})")) }
}

/// Returns what the forge says about its refusal.
fn words(body: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let errors = json["errors"].as_array().into_iter().flatten();
    let details = errors.filter_map(|it| it["message"].as_str().or_else(|| it.as_str()));
    let all: Vec<&str> = json["message"].as_str().into_iter().chain(details).collect();
    one_line(&all.join(": "))
}

/// Returns how long the forge wants us to wait, in any of the ways in which it may say so.
fn asked_to_wait(headers: &HeaderMap, now: i64) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).map(str::trim);
    let until = |time: i64| Duration::from_secs(u64::try_from(time.saturating_sub(now)).unwrap_or_default().max(1));
    if let Some(it) = text("retry-after") {
        let at = |it: &str| chrono::DateTime::parse_from_rfc2822(it).ok().map(|it| until(it.timestamp()));
        return it.parse().ok().map(Duration::from_secs).or_else(|| at(it));
    }
    let reset = text("x-ratelimit-reset").and_then(|it| it.parse().ok());
    reset.filter(|_| text("x-ratelimit-remaining") == Some("0")).map(until)
}

/// Takes the token out of what will be logged, should a forge repeat it, and only then cuts that to a readable length.
fn without(outcome: Outcome, token: &str) -> Outcome {
    let clean = |it: String| cut(&it.replace(token, "[token]"), 300);
    match outcome {
        Outcome::Done => Outcome::Done,
        Outcome::RetryAfter { wait, reason } => Outcome::RetryAfter { wait, reason: clean(reason) },
        Outcome::Permanent(reason) => Outcome::Permanent(clean(reason)),
        Outcome::AuthProblem(reason) => Outcome::AuthProblem(clean(reason)),
    }
}

/// Returns the owner and name of a repository from the address of its remote: the last two parts of an ssh or https address.
pub fn owner_and_repository(url: &str) -> Option<(String, String)> {
    let path = match url.split_once("://") {
        Some(("ssh" | "https" | "http", rest)) => rest.split_once('/')?.1,
        Some(_) => return None,
        // `git@host:owner/name`, as scp has it; a local path has a slash before its first colon, or no colon.
        None => url.split_once(':').filter(|(host, _)| !host.is_empty() && !host.contains('/'))?.1,
    };
    let path = path.trim_matches('/');
    let (owner, name) = path.strip_suffix(".git").unwrap_or(path).split_once('/')?;
    (is_name(owner) && is_name(name)).then(|| (owner.to_owned(), name.to_owned()))
}

impl Status {
    /// Returns the delivery of this status to the forge that a remote belongs to.
    pub fn to_github(&self, api: Option<&str>, remote: &str) -> Result<Delivery, super::Error> {
        let (owner, repository) =
            owner_and_repository(remote).ok_or_else(|| super::Error::NotAForge(one_line(remote)))?;
        Ok(Delivery::github(api, &owner, &repository, self))
    }
}
