//! Git over https: two requests, each within what is left of the deadline, and credentials for one host only.

use super::{Call, Error, lock, one_line, refuse_object_format};
use crate::git::Credentials;
use base64::Engine;
use git2::transport::Service;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use zeroize::Zeroizing;

/// How often a remote may send us on, within its own host.
const MAX_REDIRECTS: u32 = 5;
const DEFAULT_USER: &str = "x-access-token";
/// Forges tell git clients from browsers by the word before the slash.
const USER_AGENT: &str = concat!("git/2.0 (headfast ", env!("CARGO_PKG_VERSION"), ")");

/// What stays the same over the requests of one call.
pub(super) struct Session {
    agent: ureq::Agent,
    /// The repository's URL; a redirect within the host changes it.
    base: Mutex<String>,
    authorization: Option<Zeroizing<String>>,
}

impl Session {
    /// Reads the token and the certificates anew, so that a changed file counts at the next fetch.
    pub(super) fn new(
        url: &str,
        host: Option<&str>,
        credentials: &Credentials,
        remote: &str,
    ) -> Result<Session, Error> {
        let tls = |reason: String| Error::Tls { remote: remote.to_owned(), reason };
        let roots = match &credentials.ca_file {
            // In place of the built-in roots, like git's `http.sslCAInfo`: a remote has one authority.
            Some(path) => authorities(path).map_err(tls)?,
            None => RootCerts::WebPki,
        };
        let auth = |reason: String| Error::Auth { remote: remote.to_owned(), reason };
        let authorization = match &credentials.token_file {
            Some(path) => Some(basic(path, credentials.username.as_deref()).map_err(auth)?),
            None => None,
        };
        let mut config = ureq::Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(USER_AGENT);
        let is_loopback = |it: &str| it == "localhost" || it.parse().is_ok_and(|it: std::net::IpAddr| it.is_loopback());
        if host.is_some_and(is_loopback) {
            // What is meant for this very host, perhaps in the clear, goes to no proxy.
            config = config.proxy(None);
        }
        let base = url.trim_end_matches('/').to_owned();
        Ok(Session { agent: config.build().new_agent(), base: Mutex::new(base), authorization })
    }
}

fn authorities(path: &Path) -> Result<RootCerts, String> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|it| format!("cannot read the authorities in {shown}: {it}"))?;
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for item in ureq::tls::parse_pem(&text) {
        match item {
            Ok(PemItem::Certificate(it)) => certificates.push(it),
            Ok(_) => {}
            Err(error) => return Err(format!("cannot read the authorities in {shown}: {error}")),
        }
    }
    match certificates.is_empty() {
        true => Err(format!("there is no certificate in {shown}")),
        false => Ok(RootCerts::from(certificates)),
    }
}

fn basic(path: &Path, user: Option<&str>) -> Result<Zeroizing<String>, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|it| format!("cannot read the token in {shown}: {it}"))?;
    let text = Zeroizing::new(text);
    let token = text.trim();
    if token.is_empty() || token.chars().any(char::is_control) {
        return Err(format!("{shown} does not hold one token on one line"));
    }
    let pair = Zeroizing::new(format!("{}:{token}", user.unwrap_or(DEFAULT_USER)));
    let encoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(pair.as_bytes()));
    Ok(Zeroizing::new(format!("Basic {}", *encoded)))
}

/// One request and its answer.
pub(super) enum Stream {
    /// Collects the body of a POST until the first read.
    Asking { call: Arc<Call>, service: &'static str, body: Vec<u8> },
    /// Gives the answer.
    Answering { call: Arc<Call>, answer: Box<dyn Read + Send>, n_read: usize },
}

impl Stream {
    pub(super) fn open(service: Service, call: &Arc<Call>) -> Result<Stream, Error> {
        let asking = |service| Stream::Asking { call: Arc::clone(call), service, body: Vec::new() };
        match service {
            Service::UploadPackLs => Stream::list("git-upload-pack", call),
            Service::ReceivePackLs => Stream::list("git-receive-pack", call),
            Service::UploadPack => Ok(asking("git-upload-pack")),
            Service::ReceivePack => Ok(asking("git-receive-pack")),
        }
    }

    fn list(service: &str, call: &Arc<Call>) -> Result<Stream, Error> {
        let answer = list_refs(session(call)?, service, call)?;
        Ok(Stream::Answering { call: Arc::clone(call), answer, n_read: 0 })
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Stream::Asking { call, service, body } = self {
            let answer = session(call).and_then(|it| post(it, service, std::mem::take(body), call));
            let answer = answer.map_err(|error| recorded(call, error))?;
            *self = Stream::Answering { call: Arc::clone(call), answer, n_read: 0 };
        }
        let Stream::Answering { call, answer, n_read } = self else { return Ok(0) };
        let n = answer.read(buffer).map_err(|error| recorded(call, judge(call, ureq::Error::from(error))))?;
        refuse_object_format(call, *n_read, &buffer[..n]);
        *n_read += n;
        Ok(n)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Asking { body, .. } => {
                body.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            Stream::Answering { .. } => Err(io::Error::other("the request has been sent")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn recorded(call: &Call, error: Error) -> io::Error {
    let text = error.to_string();
    call.fail(error);
    io::Error::other(text)
}

fn session(call: &Call) -> Result<&Session, Error> {
    match &call.route {
        super::Route::Https(session) => Ok(session),
        _ => Err(call.git("a stream of another transport")),
    }
}

/// Asks for the refs, following redirects only within the host that was configured.
fn list_refs(session: &Session, service: &str, call: &Call) -> Result<Box<dyn Read + Send>, Error> {
    for _ in 0..=MAX_REDIRECTS {
        let base = lock(&session.base).clone();
        let path = "/info/refs";
        let request = session.agent.get(format!("{base}{path}?service={service}"));
        let request = request.header("Accept", "*/*").header("Pragma", "no-cache");
        let request = match &session.authorization {
            Some(it) => request.header("Authorization", it.as_str()),
            None => request,
        };
        let request = request.config().timeout_global(Some(remaining(call)?)).build();
        let response = request.call().map_err(|it| judge(call, it))?;
        if !response.status().is_redirection() {
            return accepted(call, session, response, &format!("application/x-{service}-advertisement"));
        }
        let location = response.headers().get("location").and_then(|it| it.to_str().ok()).unwrap_or_default();
        let next =
            redirected(&base, location, path).map_err(|to| Error::Redirect { remote: call.remote.clone(), to })?;
        *lock(&session.base) = next;
    }
    Err(call.unreachable("it redirects for ever"))
}

fn post(session: &Session, service: &str, body: Vec<u8>, call: &Call) -> Result<Box<dyn Read + Send>, Error> {
    let base = lock(&session.base).clone();
    let result = format!("application/x-{service}-result");
    let request = session.agent.post(format!("{base}/{service}"));
    let request = request.header("Content-Type", format!("application/x-{service}-request")).header("Accept", &result);
    let request = match &session.authorization {
        Some(it) => request.header("Authorization", it.as_str()),
        None => request,
    };
    let request = request.config().timeout_global(Some(remaining(call)?)).build();
    let response = request.send(&body[..]).map_err(|it| judge(call, it))?;
    accepted(call, session, response, &result)
}

fn remaining(call: &Call) -> Result<std::time::Duration, Error> {
    call.remaining().ok_or_else(|| Error::Timeout { remote: call.remote.clone(), seconds: call.seconds })
}

/// Lets an answer through that comes from a git server, and judges any other by its status.
fn accepted(
    call: &Call,
    session: &Session,
    response: ureq::http::Response<ureq::Body>,
    content_type: &str,
) -> Result<Box<dyn Read + Send>, Error> {
    let status = response.status();
    match status.as_u16() {
        200 => {}
        401 if session.authorization.is_none() => return Err(call.auth("it asks for a token (401)")),
        401 | 403 => return Err(call.auth(format!("it answered {status}"))),
        404 | 410 => return Err(call.unreachable(format!("there is no such repository, or none to see ({status})"))),
        300..=399 => {
            let location = response.headers().get("location").and_then(|it| it.to_str().ok()).unwrap_or_default();
            return Err(Error::Redirect { remote: call.remote.clone(), to: origin_of(location) });
        }
        408 | 429 | 500..=599 => return Err(call.unreachable(format!("it answered {status}"))),
        _ => return Err(call.git(format!("it answered {status}"))),
    }
    let found = response.headers().get("content-type").and_then(|it| it.to_str().ok()).unwrap_or_default();
    if found != content_type {
        let found = one_line(found.as_bytes());
        return Err(call.unreachable(format!("it does not answer like a git server, but with `{found}`")));
    }
    Ok(Box::new(response.into_body().into_reader()))
}

/// Returns where a redirect leads to when that is on the same host, else the other host's name.
fn redirected(base: &str, location: &str, path: &str) -> Result<String, String> {
    let target = match location.starts_with('/') && !location.starts_with("//") {
        true => format!("{}{location}", origin_of(base)),
        false => location.to_owned(),
    };
    if origin_of(&target) != origin_of(base) {
        return Err(origin_of(&target));
    }
    let without_query = target.split(['?', '#']).next().unwrap_or_default();
    match without_query.strip_suffix(path) {
        Some(next) => Ok(next.to_owned()),
        None => Err(one_line(without_query.as_bytes())),
    }
}

/// Returns scheme, host and port of a URL, without anything that could be a secret.
fn origin_of(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "a place that is no URL".to_owned() };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let server = authority.rsplit_once('@').map_or(authority, |it| it.1).to_ascii_lowercase();
    let scheme = scheme.to_ascii_lowercase();
    let default = if scheme == "https" { ":443" } else { ":80" };
    one_line(format!("{scheme}://{}", server.strip_suffix(default).unwrap_or(&server)).as_bytes())
}

fn judge(call: &Call, error: ureq::Error) -> Error {
    let text = one_line(error.to_string().as_bytes());
    let text = text.strip_prefix("io: ").unwrap_or(&text).to_owned();
    let remote = call.remote.clone();
    match error {
        ureq::Error::Timeout(_) => Error::Timeout { remote, seconds: call.seconds },
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::Pem(_) => Error::Tls { remote, reason: text },
        ureq::Error::HostNotFound => call.unreachable("its host name is not known"),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            Error::Timeout { remote, seconds: call.seconds }
        }
        // rustls hands its own errors through as I/O errors.
        ureq::Error::Io(_) if text.contains("certificate") || text.contains("alert") => {
            Error::Tls { remote, reason: text }
        }
        _ => call.unreachable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_stays_on_its_host() {
        let base = "https://h.example/a/b.git";
        let go = |location: &str| match redirected(base, location, "/info/refs") {
            Ok(base) => format!("to {base}"),
            Err(place) => format!("not to {place}"),
        };
        assert_eq!(go("https://other.example/a/info/refs?service=x"), "not to https://other.example");
        assert_eq!(go("https://h.example:8443/a/info/refs"), "not to https://h.example:8443");
        assert_eq!(go("http://h.example/a/info/refs"), "not to http://h.example");
        assert_eq!(go("https://h.example@evil.example/info/refs"), "not to https://evil.example");
        assert_eq!(go("//evil.example/info/refs"), "not to a place that is no URL");
        assert_eq!(go("file:///etc/passwd/info/refs"), "not to file://");
        assert_eq!(go("/login?token=s3cr3t"), "not to https://h.example/login");
        assert_eq!(go(""), "not to a place that is no URL");
        assert_eq!(go("/new.git/info/refs?service=x"), "to https://h.example/new.git");
        assert_eq!(go("https://H.example:443/c/info/refs"), "to https://H.example:443/c");
    }

    #[test]
    fn a05_a_token_file_holds_one_line() {
        let dir = tempfile::tempdir().expect("makes a folder");
        let path = dir.path().join("token");
        assert!(basic(&path, None).unwrap_err().contains("cannot read"));
        std::fs::write(&path, "a\nb\n").expect("writes");
        assert!(!basic(&path, None).unwrap_err().contains("a\n"));
        std::fs::write(&path, "s3cr3t\n").expect("writes");
        assert_eq!(basic(&path, Some("ana")).expect("reads").as_str(), "Basic YW5hOnMzY3IzdA==");
    }
}
