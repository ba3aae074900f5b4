//! A server of single answers over http, which counts who comes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A listener on this host that gives one answer for each path, and closes then.
pub struct Files {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<BTreeMap<String, Vec<u8>>>,
    requests: Mutex<Vec<String>>,
    n_connections: AtomicUsize,
    has_ended: AtomicBool,
}

impl Files {
    /// Starts one without any file.
    pub fn start() -> Files {
        Files::start_on(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("binds")
    }

    /// Starts one on another address of this host, when there is such an address.
    pub fn start_on(address: IpAddr) -> Option<Files> {
        let listener = TcpListener::bind((address, 0)).ok()?;
        let address = listener.local_addr().expect("has an address");
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if theirs.has_ended.load(Ordering::SeqCst) {
                    return;
                }
                theirs.n_connections.fetch_add(1, Ordering::SeqCst);
                // Who hangs up early misses the rest.
                let _ = theirs.serve(stream);
            }
        });
        Some(Files { address, shared, thread: Some(thread) })
    }

    /// Has a path answered with a file.
    pub fn put(&self, path: &str, content: &[u8]) {
        self.answer(path, &format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", content.len()), content);
    }

    /// Has a path answered with a head and a body as they are.
    pub fn answer(&self, path: &str, head: &str, body: &[u8]) {
        let answer = [head.as_bytes(), body].concat();
        self.shared.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// Returns the address of something on this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns how many connections were made.
    pub fn n_connections(&self) -> usize {
        self.shared.n_connections.load(Ordering::SeqCst)
    }

    /// Returns the heads of all requests.
    pub fn requests(&self) -> String {
        self.shared.requests.lock().unwrap().join("\n")
    }

    /// Ends the server: nobody listens at its port any more.
    pub fn stop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = String::new();
        let mut reader = BufReader::new(stream.try_clone()?);
        while reader.read_line(&mut head)? > 2 {}
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        self.requests.lock().unwrap().push(head);
        let answer = self.answers.lock().unwrap().get(&path).cloned();
        let gone = || b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec();
        stream.write_all(&answer.unwrap_or_else(gone))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.stop();
    }
}
