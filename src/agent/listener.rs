//! The control socket's server: a thread for each connection, so that nobody who is slow holds up another or the daemon.

use super::control::{Address, Order, PATIENCE, REQUEST_MAX, Reply, Request, SOCKET, VERSION};
use crate::finding::Code;
use crate::host::process::pause;
use crate::state::Lock;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// How many may be connected at once; whoever comes then is refused.
const CONNECTIONS_MAX: usize = 64;

/// How long a daemon that ends waits for its last answers to be read.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A request that waits for its turn, and where its answer goes.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) replies: mpsc::Sender<Reply>,
}

/// What is done with a request: at once, on the thread of its connection, or later, by handing it on.
pub(super) type Take = dyn Fn(Asked) + Send + Sync;

/// An open control socket; its name goes when this does.
pub(super) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
    connected: Arc<AtomicUsize>,
}

impl ControlSocket {
    /// Opens the socket of a state directory. Who holds the lock is the only daemon, so a socket that is there already was
    /// left behind by one that was killed.
    pub(super) fn open(dir: &Path, _lock: &Lock) -> io::Result<ControlSocket> {
        let path = dir.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(Address::of(dir)?.path)?;
        // Nobody else gets as far as this: the directory has mode 0700 already.
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
        let owner = std::fs::metadata(dir)?.uid();
        Ok(ControlSocket { listener, path, owner, connected: Arc::default() })
    }

    /// Answers for as long as the process lives.
    pub(super) fn serve(&self, take: Arc<Take>) -> io::Result<()> {
        let (listener, owner) = (self.listener.try_clone()?, self.owner);
        let connected = Arc::clone(&self.connected);
        let accept = move || {
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => connection(stream, owner, &take, &connected),
                    // No more files, or a client that is gone already: the next one may have more luck.
                    Err(error) => {
                        tracing::warn!("the control socket refused a connection: {error}");
                        pause(Duration::from_millis(100));
                    }
                }
            }
        };
        std::thread::Builder::new().name("control".into()).spawn(accept).map(drop)
    }

    /// Takes the name away and lets the last answers go out, for a moment.
    pub(super) fn close(self) {
        std::fs::remove_file(&self.path).ok();
        let until = Instant::now() + LAST_WORDS;
        while self.connected.load(Ordering::Relaxed) > 0 && Instant::now() < until {
            pause(Duration::from_millis(10));
        }
    }
}

fn connection(mut stream: UnixStream, owner: u32, take: &Arc<Take>, connected: &Arc<AtomicUsize>) {
    let (take, counted) = (Arc::clone(take), Counted(Arc::clone(connected)));
    if connected.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
        refuse(&mut stream);
        return;
    }
    let answer = move || {
        let _counted = counted;
        if let Err(error) = answer(stream, owner, &*take) {
            tracing::debug!("a request over the control socket was not answered to its end: {error}");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("asked".into()).spawn(answer) {
        tracing::warn!("the control socket refused a connection: {error}");
    }
}

/// One connection in the count.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A new connection takes a line without waiting.
fn refuse(stream: &mut UnixStream) {
    stream.set_nonblocking(true).and_then(|()| write(stream, &Reply::Refused)).ok();
}

fn answer(mut stream: UnixStream, owner: u32, take: &Take) -> io::Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(&stream)?.uid.as_raw();
    if !may_ask(peer, owner) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("user {peer} may not ask")));
    }
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = match parse(&read_line(&mut stream)?) {
        Ok(request) => request,
        Err(problem) => {
            let hint = "another version of headfast may be running: restart the agent";
            write(&mut stream, &Reply::Say(format!("error[{}]: {problem}\n = hint: {hint}\n", Code::USAGE.name)))?;
            return write(&mut stream, &Reply::Exit(Code::USAGE.verdict.exit_code()));
        }
    };
    let (replies, answers) = mpsc::channel();
    take(Asked { request, replies });
    for reply in answers {
        // Who is gone misses the rest; what was asked for is done all the same.
        write(&mut stream, &reply)?;
    }
    Ok(())
}

/// Nobody but these two can reach the socket through its directory either.
fn may_ask(peer: u32, owner: u32) -> bool {
    peer == 0 || peer == owner
}

/// Reads one line, within the limits of size and time.
fn read_line(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let until = Instant::now() + PATIENCE;
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let n = match stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        line.extend_from_slice(&buffer[..n]);
        if let Some(end) = line.iter().position(|it| *it == b'\n') {
            line.truncate(end);
            return Ok(line);
        }
        if line.len() > REQUEST_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the request is too long"));
        }
    }
}

fn parse(line: &[u8]) -> Result<Request, String> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    let not_understood = |error: serde_json::Error| format!("the agent does not understand the request: {error}");
    let version = serde_json::from_slice::<Version>(line).map_err(not_understood)?.version;
    if version != VERSION {
        return Err(format!("the agent speaks version {VERSION} of the control protocol, and was asked in {version}"));
    }
    let mut request: Request = serde_json::from_slice(line).map_err(not_understood)?;
    // It comes to stand in statuses and logs.
    request.author.retain(|it| !it.is_control());
    if let Order::Suspend { reason, .. } = &mut request.order {
        reason.retain(|it| !it.is_control());
    }
    Ok(request)
}

fn write(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_string(reply)?;
    line.push('\n');
    stream.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    const SYNC: &str = r#"{"version":1,"order":{"sync":{}},"repositories":[],"author":"ana","settings":"/a"}"#;

    /// A socket whose requests are answered with who asked.
    fn socket() -> (tempfile::TempDir, ControlSocket) {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("state");
        let lock = Lock::take(&dir, "agent").unwrap();
        // What a killed daemon left behind is no hindrance.
        drop(UnixListener::bind(dir.join(SOCKET)).unwrap());
        let socket = ControlSocket::open(&dir, &lock).unwrap();
        let take = |it: Asked| {
            it.replies.send(Reply::Say(it.request.author)).unwrap();
            it.replies.send(Reply::Exit(0)).unwrap();
        };
        socket.serve(Arc::new(take)).unwrap();
        (temp, socket)
    }

    fn connect(socket: &ControlSocket) -> UnixStream {
        UnixStream::connect(&socket.path).unwrap()
    }

    fn ask(socket: &ControlSocket, text: &[u8]) -> String {
        let mut stream = connect(socket);
        // The other side may have heard enough before it has read all of it.
        stream.write_all(text).ok();
        BufReader::new(stream).lines().map_while(Result::ok).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn who_is_slow_or_makes_no_sense_holds_nobody_up() {
        let (_temp, socket) = socket();
        let silent: Vec<UnixStream> = (0..20).map(|_| connect(&socket)).collect();
        let mut slow = connect(&socket);
        slow.write_all(&SYNC.as_bytes()[..10]).unwrap();
        let answer = r#"{"say":"ana"} {"exit":0}"#;
        assert_eq!(ask(&socket, format!("{SYNC}\n").as_bytes()), answer);
        assert!(ask(&socket, b"\xff\x00\n").contains("E_USAGE"));
        assert_eq!(ask(&socket, &vec![b'x'; REQUEST_MAX * 2]), "", "it is not read to its end");
        drop(silent);
        slow.write_all(&SYNC.as_bytes()[10..]).unwrap();
        slow.write_all(b"\n").unwrap();
        assert_eq!(BufReader::new(slow).lines().map_while(Result::ok).collect::<Vec<_>>().join(" "), answer);
    }

    #[test]
    fn when_too_many_are_connected_the_next_is_refused_until_one_goes() {
        let (_temp, socket) = socket();
        let mut silent: Vec<UnixStream> = (0..CONNECTIONS_MAX).map(|_| connect(&socket)).collect();
        // The thread that accepts takes them in turn, so all of them are counted before this one.
        assert_eq!(ask(&socket, b""), r#""refused""#);
        silent.pop();
        let answered = (0..1000).any(|_| {
            pause(Duration::from_millis(10));
            ask(&socket, format!("{SYNC}\n").as_bytes()).contains("exit")
        });
        assert!(answered);
    }

    #[test]
    fn a_socket_is_private_and_goes_with_its_daemon() {
        let (temp, socket) = socket();
        let path = socket.path.clone();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        socket.close();
        assert!(!path.exists());
        // What is no socket is not taken away.
        std::fs::create_dir(&path).unwrap();
        let dir = temp.path().join("state");
        assert!(ControlSocket::open(&dir, &Lock::take(&dir, "agent").unwrap()).is_err());
    }

    #[test]
    fn only_root_and_the_owner_of_the_state_are_heard() {
        assert_eq!([0, 7, 8].map(|peer| may_ask(peer, 7)), [true, true, false]);
    }
}
