//! OpenSSH's server, with its own keys and configuration.

use super::{Server, answers, free_port, program, run};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name in `HEADFAST_TESTS_WITHOUT`.
pub const NAME: &str = "sshd";

/// A running server that lets one key in.
pub struct Sshd {
    dir: tempfile::TempDir,
    port: u16,
    server: Option<Server>,
}

impl Sshd {
    /// Starts a server. `command` replaces what clients ask for, when it is not empty.
    pub fn start(command: &str) -> Sshd {
        let sshd = program("sshd", "openssh-server", NAME);
        let dir = tempfile::tempdir().expect("makes a folder");
        for name in ["host", "other_host", "user", "other_user"] {
            key(&dir.path().join(name), "");
        }
        key(&dir.path().join("locked_user"), "passphrase");
        if rustix::process::geteuid().is_root() {
            // Debian's server wants this folder, which its service file makes.
            std::fs::create_dir_all("/run/sshd").expect("root may");
        }
        for _ in 0..5 {
            let port = free_port();
            let config = configure(dir.path(), port, command);
            let mut start = Command::new(&sshd);
            start.arg("-D").arg("-e").arg("-f").arg(config);
            let mut server = Server::start(start, dir.path(), "sshd");
            if server.wait(|| answers(port)) {
                return Sshd { dir, port, server: Some(server) };
            }
            let log = server.log();
            assert!(log.contains("in use"), "sshd does not start: {log}");
        }
        panic!("no port is free")
    }

    /// Returns the path of a file that belongs to the server: a key, or a list of known hosts.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a list of known hosts in which this server has the host key `key`.
    pub fn known_hosts(&self, key: &str) -> PathBuf {
        let public = std::fs::read_to_string(self.file(&format!("{key}.pub"))).expect("reads");
        let path = self.file(&format!("known hosts of {key}"));
        std::fs::write(&path, format!("[127.0.0.1]:{} {public}", self.port)).expect("writes");
        path
    }

    /// Returns the address of a repository on this server.
    pub fn url(&self, path: &Path) -> String {
        let user = run(Command::new("id").arg("-un"));
        format!("ssh://{user}@127.0.0.1:{}{}", self.port, path.display())
    }

    /// Ends the server, and keeps its keys.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns what the server said.
    pub fn log(&self) -> String {
        self.server.as_ref().map(Server::log).unwrap_or_default()
    }
}

fn key(path: &Path, passphrase: &str) {
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", passphrase, "-f"]).arg(path));
}

fn configure(dir: &Path, port: u16, command: &str) -> PathBuf {
    let shown = dir.display();
    let forced = if command.is_empty() { String::new() } else { format!("ForceCommand {command}\n") };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/user.pub\nPidFile none\n\
         UsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\nLogLevel VERBOSE\nAcceptEnv *\nSetEnv \"PATH={}\"\n{forced}",
        path.to_string_lossy()
    );
    let place = dir.join("sshd_config");
    std::fs::write(&place, config).expect("writes");
    place
}
