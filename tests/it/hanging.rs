//! A target on a file system that has stopped answering.

use crate::daemon::{Agent, PATIENCE};
use crate::host::TestHost;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// The request with which the kernel begins (`FUSE_INIT`), and the version of the protocol that is answered.
const INIT: u32 = 26;
const VERSION: [u32; 2] = [7, 31];

/// A file system in user space that says hello and then answers nobody, as one does whose server is gone.
struct Silent {
    at: PathBuf,
    asked: Receiver<u32>,
    /// Open for as long as the server shall live.
    life: Option<OwnedFd>,
    server: Option<JoinHandle<()>>,
}

impl Silent {
    /// Mounts it; `None` where this host cannot.
    fn mount(at: &Path) -> Option<Silent> {
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let device = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/fuse").ok()?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let options = std::ffi::CString::new(options).unwrap();
        mount("silent", at, "fuse", MountFlags::empty(), Some(options.as_c_str())).ok()?;
        let (end, life) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let (sender, asked) = channel();
        let server = std::thread::spawn(move || serve(device, &end, &sender));
        Some(Silent { at: at.to_owned(), asked, life: Some(life), server: Some(server) })
    }

    /// Waits until someone waits for an answer.
    fn is_asked(&self) {
        self.asked.recv_timeout(PATIENCE).unwrap();
    }

    /// Returns whether it still keeps everyone waiting.
    fn is_alive(&self) -> bool {
        self.server.as_ref().is_some_and(|it| !it.is_finished())
    }

    /// Ends the server: whoever waits gets an error, and so does whoever comes.
    fn die(&mut self) {
        self.life = None;
        self.server.take().map(JoinHandle::join);
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.die();
        unmount(&self.at, UnmountFlags::DETACH).ok();
    }
}

/// Listens until the other end of `end` is closed, or the test has had time enough.
fn serve(mut device: File, end: &OwnedFd, asked: &Sender<u32>) {
    let mut request = vec![0; 1 << 16];
    let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    loop {
        let mut both = [PollFd::new(&device, PollFlags::IN), PollFd::new(end, PollFlags::IN)];
        if poll(&mut both, Some(&patience)).unwrap() == 0 || !both[1].revents().is_empty() {
            return;
        }
        let Ok(40..) = device.read(&mut request) else { continue };
        match u32::from_ne_bytes(request[4..8].try_into().unwrap()) {
            INIT => device.write_all(&hello(&request[8..16])).unwrap(),
            other => asked.send(other).unwrap_or_default(),
        }
    }
}

/// The answer to `FUSE_INIT` (fuse_out_header and fuse_init_out of linux/fuse.h).
fn hello(unique: &[u8]) -> Vec<u8> {
    const SIZE: u32 = 80;
    let header = [&SIZE.to_ne_bytes()[..], &[0; 4], unique].concat();
    let [major, minor] = VERSION.map(u32::to_ne_bytes);
    let mut answer = [&header[..], &major, &minor].concat();
    answer.resize(SIZE as usize, 0);
    // max_write
    answer[36..40].copy_from_slice(&4096u32.to_ne_bytes());
    answer
}

#[test]
fn h26_a_target_that_does_not_answer_holds_up_its_deployment_and_nothing_else() {
    let host = TestHost::with(&[("files/a", "one\n")]);
    let Some(mut silent) = Silent::mount(&host.path("live")) else {
        #[allow(clippy::print_stderr)]
        {
            eprintln!("left out: this host cannot do mounts of FUSE");
        }
        return;
    };
    host.commit(&[("files/a", "two\n")]);
    let agent = Agent::start(&host);
    silent.is_asked();
    // The transaction process waits; whoever asks the agent does not.
    host.run(&["status"]).ends(0);
    host.run(&["history"]).ends(0);
    host.run(&["suspend", "--reason", "the storage is gone"]).ends(0);
    host.run(&["resume"]).ends(0);
    assert!(silent.is_alive(), "they have waited for it");
    silent.die();
    agent.says("E_IO");
    host.run(&["sync"]).ends(1).says(&["E_IO", "live"]);
    drop(silent);
    assert_eq!(host.live("a"), "one\n");
    host.run(&["sync"]).ends(0);
    assert_eq!(host.live("a"), "two\n");
    assert_eq!(agent.stop(), Some(0));
}
