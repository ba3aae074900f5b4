//! Servers that misbehave: they accept and say nothing, or very little.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// A listener on this host whose connections go to one function, one after the other.
pub struct Raw {
    address: SocketAddr,
    heard: Receiver<Vec<u8>>,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Raw {
    /// Starts one that reads a request, answers with `beginning`, then with `drop` every tenth of a second.
    ///
    /// With both empty it never answers.
    pub fn start(beginning: &'static [u8], drip: &'static [u8]) -> Raw {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("binds");
        let address = listener.local_addr().expect("has an address");
        let (hear, heard) = channel();
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if serve(stream, beginning, drip, &hear, &ended).is_none() {
                    return;
                }
            }
        });
        Raw { address, heard, end: Some(end), thread: Some(thread) }
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns what clients have sent so far.
    pub fn heard(&self) -> String {
        self.heard.try_iter().map(|it| String::from_utf8_lossy(&it).into_owned()).collect()
    }
}

/// Serves one connection; `None` when the test is over.
fn serve(
    mut stream: TcpStream,
    beginning: &[u8],
    drip: &[u8],
    hear: &Sender<Vec<u8>>,
    ended: &Receiver<()>,
) -> Option<()> {
    use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
    if ended.try_recv() == Err(TryRecvError::Disconnected) {
        return None;
    }
    let mut request = vec![0; 65536];
    let n = stream.read(&mut request).unwrap_or(0);
    request.truncate(n);
    let _ = hear.send(request);
    if stream.write_all(beginning).is_err() {
        return Some(());
    }
    loop {
        match ended.recv_timeout(Duration::from_millis(100)) {
            Err(RecvTimeoutError::Disconnected) => return None,
            _ if stream.write_all(drip).is_err() => return Some(()),
            _ => {}
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.end = None;
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
