//! The host's own `ssh`, so that its configuration, agents, certificates and hardware keys work; never with a question.

use super::program::Plan;
use super::{Call, Error, environment};
use crate::git::Credentials;
use git2::transport::Service;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitStatus;

/// The most that the connection itself may take of the deadline.
const CONNECT_SECONDS: u64 = 30;

/// Where to log in, and the repository there.
pub(super) struct Address {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) path: String,
}

pub(super) fn plan(address: &Address, credentials: &Credentials, service: Service, call: &Call) -> Result<Plan, Error> {
    let readable = |path: &Path| std::fs::File::open(path).map(drop);
    if let Some(key) = &credentials.ssh_key {
        readable(key).map_err(|it| call.auth(format!("cannot read the ssh key {}: {it}", key.display())))?;
    }
    if let Some(known) = &credentials.known_hosts {
        readable(known).map_err(|it| Error::HostKey {
            remote: call.remote.clone(),
            reason: format!("cannot read {}: {it}", known.display()),
        })?;
    }
    Ok(Plan {
        program: "ssh",
        arguments: arguments(address, credentials, service, call),
        environment: environment(credentials),
        run_as: None,
        judge,
    })
}

fn arguments(address: &Address, credentials: &Credentials, service: Service, call: &Call) -> Vec<OsString> {
    let seconds = call.remaining().map_or(1, |it| it.as_secs()).clamp(1, CONNECT_SECONDS);
    let mut arguments: Vec<OsString> = ["-T", "-a", "-x"].map(OsString::from).to_vec();
    let mut option = |text: String| {
        arguments.push("-o".into());
        arguments.push(text.into());
    };
    option("BatchMode=yes".into());
    option(format!("ConnectTimeout={seconds}"));
    option("ClearAllForwardings=yes".into());
    option("PermitLocalCommand=no".into());
    if let Some(known) = &credentials.known_hosts {
        // The file is all that counts: no other list may vouch for a host, and none is written to.
        option(format!("UserKnownHostsFile={}", quoted(known)));
        option("GlobalKnownHostsFile=/dev/null".into());
        option("StrictHostKeyChecking=yes".into());
        option("UpdateHostKeys=no".into());
    }
    if let Some(key) = &credentials.ssh_key {
        option("IdentitiesOnly=yes".into());
        option(format!("IdentityFile={}", quoted(key)));
    }
    if let Some(port) = address.port {
        arguments.extend(["-p".into(), port.to_string().into()]);
    }
    if let Some(user) = &address.user {
        arguments.extend(["-l".into(), user.into()]);
    }
    let program = match service {
        Service::UploadPackLs | Service::UploadPack => "git-upload-pack",
        Service::ReceivePackLs | Service::ReceivePack => "git-receive-pack",
    };
    let command = format!("{program} {}", shell_word(&address.path));
    arguments.extend(["--".into(), address.host.clone().into(), command.into()]);
    arguments
}

/// Writes a path as a value in ssh's configuration language, where `%` is expanded and spaces divide.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy().replace('%', "%%").replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{text}\"")
}

/// Quotes for the remote's shell as git does.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''").replace('!', "'\\!'"))
}

/// Judges ssh's words; it has one exit code, 255, for everything that is not the remote command's own.
fn judge(call: &Call, status: Option<ExitStatus>, said: &str) -> Error {
    let lower = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|it| lower.contains(it));
    let reason = match said {
        "" => "the connection ended early".to_owned(),
        _ => said.to_owned(),
    };
    if has(&["host key verification failed", "host key for "]) {
        // ssh says this in a dozen lines, and advises to forget the key that was known.
        let reason = match has(&["has changed"]) {
            true => "it is another than the one that is known",
            false => "it is not known",
        };
        return Error::HostKey { remote: call.remote.clone(), reason: reason.to_owned() };
    }
    if has(&["permission denied (", "too many authentication failures", "no supported authentication methods"]) {
        return call.auth(reason);
    }
    if has(&["timed out"]) {
        return Error::Timeout { remote: call.remote.clone(), seconds: call.seconds };
    }
    match status.and_then(|it| it.code()) {
        Some(255) | Some(0) | None => call.unreachable(reason),
        Some(127) => call.git(reason),
        Some(_) => super::judge_said(call, &reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_the_remote_shell() {
        assert_eq!(shell_word("/a b.git"), "'/a b.git'");
        assert_eq!(shell_word("/a';id;'!x"), "'/a'\\'';id;'\\'''\\!'x'");
    }

    #[test]
    fn paths_survive_the_configuration_language() {
        assert_eq!(quoted(Path::new("/a b/%h\"")), "\"/a b/%%h\\\"\"");
    }
}
