//! What is said over the control socket, and asking the daemon to do something.
//!
//! One line of JSON asks, lines of JSON answer: what is done, in which words, and how it ended. The words are made where the
//! work is done, so that a verb says the same whoever does it; only colours are left to the one who prints.

use crate::record::Phase;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version of the protocol; a daemon that is older or newer than its asker says so.
pub const VERSION: u32 = 1;

/// The socket's name in the state directory.
pub(super) const SOCKET: &str = "control.sock";

/// The longest request, in bytes.
pub(super) const REQUEST_MAX: usize = 64 * 1024;

/// How long the other side may take to read or write what is due at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The longest path that a socket's address holds, without its final NUL (unix(7)).
const ADDRESS_MAX: usize = 107;

/// What is asked of the one that holds the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The version of the protocol.
    pub version: u32,
    /// What to do.
    pub order: Order,
    /// For which repositories of agent.yaml; all when it is empty.
    pub repositories: Vec<String>,
    /// Who asks, for the record.
    pub author: String,
    /// The asker's agent.yaml.
    pub settings: PathBuf,
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// A pass from fetch to report.
    Sync {},
    /// The way back to what was live before.
    Rollback {
        /// A deployment's number or the beginning of a commit's id; what was live before when it is absent.
        to: Option<String>,
    },
    /// Another try at what failed.
    Retry {},
    /// No more deployments for a while.
    Suspend {
        /// Why.
        reason: String,
        /// Until when, RFC 3339; until someone resumes when it is absent.
        until: Option<String>,
    },
    /// The end of a suspension.
    Resume {},
    /// The file systems that the targets are on now are the right ones.
    AcceptFileSystems {},
    /// A kept copy, back at its path.
    RestoreKept {
        /// The copy's id, or its beginning.
        id: String,
        /// The path, when files at several paths had this content.
        path: Option<String>,
    },
    /// A look at whether the state is whole.
    Fsck {
        /// Whether what can be mended is mended.
        repair: bool,
        /// Whether the answer is a document.
        json: bool,
    },
    /// A scan, and what was deployed back in its place.
    Heal {
        /// Whether the answer is a document.
        json: bool,
    },
}

impl Order {
    /// Returns the verb that gives the order.
    pub fn verb(&self) -> &'static str {
        match self {
            Order::Sync {} => "sync",
            Order::Rollback { .. } => "rollback",
            Order::Retry {} => "retry",
            Order::Suspend { .. } => "suspend",
            Order::Resume {} => "resume",
            Order::AcceptFileSystems {} => "accept",
            Order::RestoreKept { .. } => "kept restore",
            Order::Fsck { .. } => "fsck",
            Order::Heal { .. } => "drift --heal",
        }
    }

    /// Returns whether only the database is touched, so that the order need not wait for a pass that is running.
    pub fn is_quick(&self) -> bool {
        matches!(self, Order::Suspend { .. } | Order::Resume {})
    }
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A deployment has come to a phase.
    Phase {
        /// The repository.
        repository: String,
        /// The phase.
        phase: Phase,
    },
    /// Data, colours and final line break included.
    Print(String),
    /// Words beside the data.
    Say(String),
    /// The end of the answer: the exit code.
    Exit(u8),
    /// The end of the answer: nothing was done, because the daemon is about to end or has too much to do.
    Refused,
}

/// How an order ended that a daemon was asked to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was carried out, with this exit code.
    Exit(u8),
    /// The daemon is about to end, or has too much to do; nothing was done.
    Refused,
    /// The daemon ended before it had answered.
    Lost,
}

/// Asks the daemon that holds a state directory to do something; `None` when there is none.
///
/// `hear` gets every line of the answer but the last.
pub fn ask(dir: &Path, request: &Request, mut hear: impl FnMut(Reply)) -> io::Result<Option<Answer>> {
    let Some(mut stream) = connect(dir)? else { return Ok(None) };
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    // A daemon that refuses has closed the connection already, and its answer is there to be read all the same.
    let written = stream.write_all(line.as_bytes());
    let mut replies = BufReader::new(stream).lines();
    loop {
        let Some(Ok(line)) = replies.next() else { return written.map(|()| Some(Answer::Lost)) };
        match serde_json::from_str(&line)? {
            Reply::Exit(code) => return Ok(Some(Answer::Exit(code))),
            Reply::Refused => return Ok(Some(Answer::Refused)),
            reply => hear(reply),
        }
    }
}

/// Connects to the daemon. Without one there is no socket, or one that a killed daemon left behind.
fn connect(dir: &Path) -> io::Result<Option<UnixStream>> {
    let address = match Address::of(dir) {
        Ok(it) => it,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match UnixStream::connect(&address.path) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The address of the control socket of a state directory.
pub(super) struct Address {
    /// The path that the socket is bound to or reached by.
    pub(super) path: PathBuf,
    _dir: Option<OwnedFd>,
}

impl Address {
    /// Returns the address; where the path is too long for one, it leads through a handle of the directory.
    pub(super) fn of(dir: &Path) -> io::Result<Address> {
        let path = dir.join(SOCKET);
        if path.as_os_str().len() <= ADDRESS_MAX {
            return Ok(Address { path, _dir: None });
        }
        let handle = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = Path::new("/proc/self/fd").join(handle.as_raw_fd().to_string()).join(SOCKET);
        Ok(Address { path, _dir: Some(handle) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

    #[test]
    fn the_protocol_is_what_it_was() {
        let request = Request {
            version: VERSION,
            order: Order::Suspend { reason: "exams".into(), until: None },
            repositories: vec!["site".into()],
            author: "ana".into(),
            settings: "/etc/headfast/agent.yaml".into(),
        };
        let text = serde_json::to_string(&request).unwrap();
        insta::assert_snapshot!(text, @r#"{"version":1,"order":{"suspend":{"reason":"exams","until":null}},"repositories":["site"],"author":"ana","settings":"/etc/headfast/agent.yaml"}"#);
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        let replies = [
            Reply::Phase { repository: "site".into(), phase: Phase::Fetch },
            Reply::Print("a\n".into()),
            Reply::Exit(6),
            Reply::Refused,
        ];
        let text: Vec<String> = replies.iter().map(|it| serde_json::to_string(it).unwrap()).collect();
        insta::assert_snapshot!(text.join(" "), @r#"{"phase":{"repository":"site","phase":"fetch"}} {"print":"a\n"} {"exit":6} "refused""#);
    }

    /// Leaves a socket behind that nobody ever listened on: of one that was closed, a child that another test is about to
    /// start may still have a copy.
    fn leave_socket(path: &Path) {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    }

    #[test]
    fn without_a_daemon_nobody_answers() {
        let temp = tempfile::tempdir().unwrap();
        let request = Request {
            version: VERSION,
            order: Order::Sync {},
            repositories: Vec::new(),
            author: String::new(),
            settings: PathBuf::new(),
        };
        assert_eq!(ask(&temp.path().join("none"), &request, |_| {}).unwrap(), None);
        assert_eq!(ask(temp.path(), &request, |_| {}).unwrap(), None);
        // A killed daemon leaves its socket behind.
        leave_socket(&temp.path().join(SOCKET));
        assert_eq!(ask(temp.path(), &request, |_| {}).unwrap(), None);
        let long = temp.path().join("x".repeat(100)).join("y".repeat(100));
        std::fs::create_dir_all(&long).unwrap();
        assert_eq!(ask(&long, &request, |_| {}).unwrap(), None);
        leave_socket(&Address::of(&long).unwrap().path);
        assert!(long.join(SOCKET).exists());
        assert_eq!(ask(&long, &request, |_| {}).unwrap(), None);
    }
}
