//! The way to a remote: libgit2 speaks the protocol, we carry its bytes, so that deadlines, credentials and host keys
//! are ours and no TLS or SSH library in C is needed.
//!
//! libgit2 knows transports by URL scheme, for the whole process. There is one scheme, and what it stands for is the
//! call that this very thread is making: nothing of a remote or its credentials is in the URL.

pub(super) mod https;
pub(super) mod local;
mod program;
mod ssh;

use super::error::{Error, no_room, one_line, reason_of};
use super::{Credentials, Remote};
use crate::revision::RemoteUrl;
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The scheme of every URL that libgit2 sees.
pub(super) const SCHEME: &str = "headfast";
const URL: &str = "headfast://remote";
/// More than this is not a config repository; it bounds what an endless pack can fill.
const BYTES_LIMIT: usize = 8 << 30;
/// A deadline later than this is as good as none, and a clock could not hold it.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Of what a remote says, this much is kept for the error message.
const SAID_LIMIT: usize = 16 << 10;

thread_local! {
    static CALL: RefCell<Option<Arc<Call>>> = const { RefCell::new(None) };
}

/// One exchange with a remote: how, until when, and what went wrong.
pub(super) struct Call {
    remote: String,
    route: Route,
    is_push: bool,
    deadline: Instant,
    seconds: u64,
    cause: Mutex<Option<Error>>,
    said: Mutex<Vec<u8>>,
}

enum Route {
    Ssh(ssh::Address, Credentials),
    Local(String, Credentials),
    Https(https::Session),
}

impl Call {
    /// Returns the time that is left, or records that there is none.
    fn remaining(&self) -> Option<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.fail(Error::Timeout { remote: self.remote.clone(), seconds: self.seconds });
            return None;
        }
        Some(left)
    }

    /// Records the cause of a failure. The first one counts: what follows it are its consequences.
    fn fail(&self, error: Error) {
        lock(&self.cause).get_or_insert(error);
    }

    fn has_failed(&self) -> bool {
        lock(&self.cause).is_some()
    }

    /// Keeps the end of what the remote says to people.
    fn hear(&self, bytes: &[u8]) {
        let mut said = lock(&self.said);
        said.extend_from_slice(bytes);
        let n_over = said.len().saturating_sub(SAID_LIMIT);
        said.drain(..n_over);
    }

    fn unreachable(&self, reason: impl Into<String>) -> Error {
        Error::Unreachable { remote: self.remote.clone(), reason: reason.into() }
    }

    fn auth(&self, reason: impl Into<String>) -> Error {
        Error::Auth { remote: self.remote.clone(), reason: reason.into() }
    }

    fn git(&self, reason: impl Into<String>) -> Error {
        Error::Git { what: self.remote.clone(), reason: reason.into() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the remote said to people during a call, and whether the call may go on; handed to the work of [`exchange`].
pub(super) struct Exchange<'a>(&'a Call);

impl<'a> Exchange<'a> {
    /// Returns the callbacks that every exchange needs: they hear the remote, and stop at the deadline and the limit.
    pub(super) fn callbacks(&self) -> git2::RemoteCallbacks<'a> {
        let call = self.0;
        let mut callbacks = git2::RemoteCallbacks::new();
        callbacks.sideband_progress(|said| {
            call.hear(said);
            call.remaining().is_some()
        });
        callbacks.transfer_progress(|progress| {
            let is_too_big = progress.received_bytes() > BYTES_LIMIT;
            if is_too_big {
                call.fail(Error::TooBig { remote: call.remote.clone(), limit: BYTES_LIMIT as u64 });
            }
            !is_too_big && call.remaining().is_some()
        });
        callbacks
    }

    /// Returns what the remote said so far, as one line.
    pub(super) fn said(&self) -> String {
        one_line(&lock(&self.0.said))
    }
}

/// Opens the way to `remote` and does `work` with it; a failure is told in our words.
pub(super) fn exchange<T>(
    repository: &git2::Repository,
    remote: &Remote,
    is_push: bool,
    work: impl FnOnce(&mut git2::Remote<'_>, &Exchange<'_>) -> Result<T, git2::Error>,
) -> Result<T, Error> {
    let name = remote.url.to_string();
    let route = match &remote.url {
        RemoteUrl::Ssh { user, host, port, path, .. } => {
            let address = ssh::Address { user: user.clone(), host: host.clone(), port: *port, path: path.clone() };
            Route::Ssh(address, remote.auth.clone())
        }
        RemoteUrl::Https(url) => Route::Https(https::Session::new(url, remote.url.host(), &remote.auth, &name)?),
        RemoteUrl::Local(path) | RemoteUrl::File(path) => Route::Local(path.clone(), remote.auth.clone()),
    };
    let call = Arc::new(Call {
        remote: name,
        route,
        is_push,
        deadline: Instant::now() + remote.deadline.min(LONGEST),
        seconds: remote.deadline.as_secs(),
        cause: Mutex::new(None),
        said: Mutex::new(Vec::new()),
    });
    let _current = Current::set(&call);
    let done = repository.remote_anonymous(URL).and_then(|mut it| work(&mut it, &Exchange(&call)));
    let cause = lock(&call.cause).take();
    match (done, cause) {
        (Ok(value), _) => Ok(value),
        (Err(_), Some(cause)) => Err(cause),
        (Err(error), None) => Err(judge(&call, &error)),
    }
}

/// Judges an error of libgit2 for which no transport gave a cause.
fn judge(call: &Call, error: &git2::Error) -> Error {
    use git2::ErrorClass;
    let reason = reason_of(error);
    if let Some(error) = no_room(&call.remote, &reason) {
        return error;
    }
    if let Some(said) = reason.strip_prefix("remote error: ") {
        return judge_said(call, said);
    }
    match error.class() {
        ErrorClass::Net | ErrorClass::Http | ErrorClass::Ssh | ErrorClass::Ssl => call.unreachable(reason),
        ErrorClass::Odb | ErrorClass::Zlib | ErrorClass::Object | ErrorClass::Tree => {
            Error::Incomplete { what: call.remote.clone(), reason }
        }
        _ => call.git(reason),
    }
}

/// Judges what a server says instead of an answer: there is no protocol for it, only words.
fn judge_said(call: &Call, said: &str) -> Error {
    let lower = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|it| lower.contains(it));
    if has(&["permission denied", "access denied", "denied by", "not authorized", "unauthorized", "authentication"]) {
        return call.auth(said);
    }
    if has(&["not found", "does not exist", "not appear to be a git repository", "no such", "could not read"]) {
        return call.unreachable(said);
    }
    call.git(said)
}

/// Makes `call` the one that this thread is making, until it is dropped.
struct Current(Option<Arc<Call>>);

impl Current {
    fn set(call: &Arc<Call>) -> Self {
        Current(CALL.replace(Some(Arc::clone(call))))
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        CALL.set(self.0.take());
    }
}

/// Makes the transport of the current call; libgit2 calls it when it sees our scheme.
pub(super) fn begin(remote: &git2::Remote<'_>) -> Result<Transport, git2::Error> {
    let call = CALL.with_borrow(|it| it.clone()).ok_or_else(|| git2::Error::from_str("no call is being made"))?;
    let is_stateless = matches!(call.route, Route::Https(_));
    Transport::smart(remote, is_stateless, Carrier(call))
}

struct Carrier(Arc<Call>);

impl SmartSubtransport for Carrier {
    fn action(&self, _: &str, service: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let call = &self.0;
        let run = |plan| program::Stream::start(plan, call).map(|it| Box::new(it) as Box<dyn SmartSubtransportStream>);
        let stream = match &call.route {
            Route::Ssh(address, credentials) => ssh::plan(address, credentials, service, call).and_then(run),
            Route::Local(path, credentials) => local::plan(path, credentials, service, call).and_then(run),
            Route::Https(_) => {
                https::Stream::open(service, call).map(|it| Box::new(it) as Box<dyn SmartSubtransportStream>)
            }
        };
        stream.map_err(|error| {
            let text = git2::Error::new(git2::ErrorCode::GenericError, git2::ErrorClass::Net, error.to_string());
            call.fail(error);
            text
        })
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// Refuses a server that speaks of objects that this libgit2 cannot hold, in words that say so.
///
/// `n_before` bytes were read before: capabilities stand at the beginning. No ref's name can hold the space.
fn refuse_object_format(call: &Call, n_before: usize, advertisement: &[u8]) {
    const SHA256: &[u8] = b" object-format=sha256";
    if n_before < 4096 && advertisement.windows(SHA256.len()).any(|it| it == SHA256) {
        call.fail(Error::ObjectFormat { remote: call.remote.clone(), reason: "its objects are SHA-256".into() });
    }
}

/// Returns the variables that a child process gets: the few that ssh and git need, and none that could steer them.
fn environment(credentials: &Credentials) -> Vec<(String, std::ffi::OsString)> {
    const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut variables = vec![("LC_ALL".to_owned(), "C".into()), ("PATH".to_owned(), DEFAULT_PATH.into())];
    for (name, value) in &credentials.environment {
        if matches!(name.as_str(), "PATH" | "HOME" | "SSH_AUTH_SOCK") {
            variables.push((name.clone(), value.clone()));
        }
    }
    variables
}
