//! The address of a remote repository: read strictly, because it ends up in the arguments of other programs.

use crate::finding::{Code, Finding};
use std::fmt;

/// The address of a remote repository.
///
/// It never holds a secret: a URL with a password or token in it is not accepted, so that printing one is safe.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RemoteUrl {
    /// An absolute path on this host.
    Local(String),
    /// The absolute path of a `file://` URL, decoded.
    File(String),
    /// `ssh://[user@]host[:port]/path` or `[user@]host:path`.
    Ssh {
        /// The user to log in as; ssh's own configuration decides when there is none.
        user: Option<String>,
        /// A host name, an alias of ssh's configuration or an IP address (without brackets).
        host: String,
        /// The port; ssh's own configuration decides when there is none.
        port: Option<u16>,
        /// The repository's path as the remote's shell sees it, decoded; relative to the home folder without a leading `/`.
        path: String,
        /// The address as it was written.
        text: String,
    },
    /// A whole `https://` URL, or an `http://` URL of this very host, without user, query and fragment.
    Https(String),
}

impl RemoteUrl {
    /// Reads an address; every refusal is an `E_URL` or `E_URL_SECRET` that does not repeat what may be a secret.
    pub fn parse(text: &str) -> Result<RemoteUrl, Finding> {
        refuse_characters(text)?;
        if let Some((scheme, rest)) = text.split_once("://") {
            return match scheme.to_ascii_lowercase().as_str() {
                "ssh" | "git+ssh" | "ssh+git" => parse_ssh(text, rest),
                "https" => parse_http(text, rest, false),
                "http" => parse_http(text, rest, true),
                "file" => parse_file(text, rest),
                _ => Err(refused(text, "a scheme that is not supported")
                    .hint("use ssh://, https://, file:// or an absolute path")),
            };
        }
        match text.split_once(':') {
            Some((before, _)) if before.contains('/') => parse_local(text),
            Some((before, after)) if after.starts_with(':') && !before.contains('[') => {
                Err(refused(text, "a remote helper is never run")
                    .hint("use ssh://, https://, file:// or an absolute path"))
            }
            Some((login, path)) => parse_scp(text, login, path),
            None => parse_local(text),
        }
    }

    /// Returns the path on this host of a repository that needs no network.
    pub fn local_path(&self) -> Option<&str> {
        match self {
            RemoteUrl::Local(path) | RemoteUrl::File(path) => Some(path),
            RemoteUrl::Ssh { .. } | RemoteUrl::Https(_) => None,
        }
    }

    /// Returns the host's name or address, without a port or brackets.
    pub fn host(&self) -> Option<&str> {
        match self {
            RemoteUrl::Local(_) | RemoteUrl::File(_) => None,
            RemoteUrl::Ssh { host, .. } => Some(host),
            RemoteUrl::Https(text) => http_parts(text).map(|it| it.0),
        }
    }

    /// Returns the repository's path in the remote, as written.
    pub fn path(&self) -> &str {
        match self {
            RemoteUrl::Local(path) | RemoteUrl::File(path) | RemoteUrl::Ssh { path, .. } => path,
            RemoteUrl::Https(text) => http_parts(text).map_or("", |it| it.2),
        }
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteUrl::Local(path) => f.write_str(path),
            RemoteUrl::File(path) => write!(f, "file://{path}"),
            RemoteUrl::Ssh { text, .. } | RemoteUrl::Https(text) => f.write_str(text),
        }
    }
}

fn refused(text: &str, why: &str) -> Finding {
    Finding::error(Code::URL, format!("remote `{}` is not accepted: {why}", redacted(text)))
}

fn secret(text: &str, what: &str) -> Finding {
    Finding::error(Code::URL_SECRET, format!("remote `{}` has {what} in it", redacted(text)))
        .hint("take it out of the URL, and put the token into the file that `auth.token_file` names")
}

/// Returns `text` without what may be a secret: everything before the last `@` of the authority, and a query or fragment.
fn redacted(text: &str) -> String {
    let shown = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = match shown.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), shown),
    };
    let rest = rest.rsplit_once('@').map_or(rest, |it| it.1);
    format!("{scheme}{}", rest.escape_debug())
}

/// Refuses what no address needs and what could cross a line in a protocol, a log or a credential store.
fn refuse_characters(text: &str) -> Result<(), Finding> {
    if text.is_empty() {
        return Err(refused(text, "it is empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(refused(text, "a newline or another control character"));
    }
    if text.trim() != text {
        return Err(refused(text, "white space around it"));
    }
    let encoded = decode_percent(text).is_some_and(|it| it.iter().any(|byte| *byte < 0x20 || *byte == 0x7f));
    if encoded {
        return Err(refused(text, "an encoded newline or another encoded control character"));
    }
    match text.starts_with('-') {
        true => Err(refused(text, "it begins with `-`")),
        false => Ok(()),
    }
}

/// Returns the bytes that percent-encoding stands for; an incomplete `%` stands for itself.
fn decode_percent(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let pair = tail.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        let digits = pair.filter(|it| *first == b'%' && it.bytes().all(|it| it.is_ascii_hexdigit()));
        match digits {
            Some(digits) => {
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    Some(bytes)
}

fn decoded_path(text: &str, path: &str) -> Result<String, Finding> {
    let decoded = decode_percent(path).and_then(|it| String::from_utf8(it).ok());
    decoded
        .filter(|it| !it.chars().any(char::is_control))
        .ok_or_else(|| refused(text, "a path that is not UTF-8 or holds a control character"))
}

fn parse_local(text: &str) -> Result<RemoteUrl, Finding> {
    match text.starts_with('/') {
        true => Ok(RemoteUrl::Local(text.to_owned())),
        false => Err(refused(text, "it is not an absolute path")
            .hint("write the whole path, or a URL: ssh://, https:// or file://")),
    }
}

fn parse_file(text: &str, rest: &str) -> Result<RemoteUrl, Finding> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    match path.starts_with('/') {
        true => decoded_path(text, path).map(RemoteUrl::File),
        false => Err(refused(text, "a file URL of another host").hint("write file:/// and the absolute path")),
    }
}

fn parse_ssh(text: &str, rest: &str) -> Result<RemoteUrl, Finding> {
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => return Err(refused(text, "it names no repository")),
    };
    let (user, server) = split_user(text, authority)?;
    let (host, port) = split_port(text, server)?;
    let path = decoded_path(text, path)?;
    // As git does: `ssh://host/~ana/x` is below a home folder, not below `/~ana`.
    let path = if path.starts_with("/~") { path[1..].to_owned() } else { path };
    build_ssh(text, user, host, port, path)
}

fn parse_scp(text: &str, login: &str, path: &str) -> Result<RemoteUrl, Finding> {
    // `[::1]:path`, or `ana@[::1]:path`: the colon that ends the host is the one after the bracket.
    let (login, path) = match login.contains('[') {
        true => match text.split_once("]:") {
            Some((before, path)) => (format!("{before}]"), path),
            None => return Err(refused(text, "a bracket that is not closed")),
        },
        false => (login.to_owned(), path),
    };
    if matches!(login.to_ascii_lowercase().as_str(), "https" | "http" | "ssh" | "file" | "git") {
        return Err(refused(text, "two slashes are missing after the scheme"));
    }
    if let Some((_, tail)) = path.rsplit_once('@')
        && !login.contains('@')
    {
        let shown = format!("…@{tail}");
        return Err(secret(&shown, "a password").hint("write user@host:path; use a key instead of a password"));
    }
    let (user, server) = split_user(text, &login)?;
    let (host, _) = split_port(text, server)?;
    build_ssh(text, user, host, None, path.to_owned())
}

fn build_ssh(
    text: &str,
    user: Option<String>,
    host: String,
    port: Option<u16>,
    path: String,
) -> Result<RemoteUrl, Finding> {
    if path.is_empty() || path == "/" {
        return Err(refused(text, "it names no repository"));
    }
    if path.starts_with('-') {
        return Err(refused(text, "a path that begins with `-`"));
    }
    Ok(RemoteUrl::Ssh { user, host, port, path, text: text.to_owned() })
}

fn split_user<'a>(text: &str, authority: &'a str) -> Result<(Option<String>, &'a str), Finding> {
    let Some((user, server)) = authority.rsplit_once('@') else { return Ok((None, authority)) };
    if user.contains(':') {
        return Err(secret(text, "a password").hint("use a key: `auth.ssh_key`, or ssh's own configuration"));
    }
    // ssh may hand the user to a shell (`%r` in ProxyCommand), so only harmless characters pass.
    let is_harmless = |it: char| it.is_ascii_alphanumeric() || "._+-@".contains(it);
    match !user.is_empty() && !user.starts_with('-') && user.chars().all(is_harmless) {
        true => Ok((Some(user.to_owned()), server)),
        false => Err(refused(text, "a user name that is empty, begins with `-` or has unusual characters")),
    }
}

fn split_port(text: &str, server: &str) -> Result<(String, Option<u16>), Finding> {
    let (host, port) = match server.strip_prefix('[') {
        Some(inner) => {
            let Some((host, rest)) = inner.split_once(']') else {
                return Err(refused(text, "a bracket that is not closed"));
            };
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(refused(text, "brackets without an IPv6 address"));
            }
            (host, rest)
        }
        None => {
            let (host, rest) = server.split_at(server.find(':').unwrap_or(server.len()));
            // The host too reaches a shell by way of ssh's configuration (`%h`).
            let is_harmless = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
            if host.is_empty() || host.starts_with('-') || !host.chars().all(is_harmless) {
                return Err(refused(text, "a host name that is empty, begins with `-` or has unusual characters"));
            }
            (host, rest)
        }
    };
    match port.strip_prefix(':') {
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) if port > 0 && digits.bytes().all(|it| it.is_ascii_digit()) => Ok((host.to_owned(), Some(port))),
            _ => Err(refused(text, "a port that is not a number from 1 to 65535")),
        },
        None if port.is_empty() => Ok((host.to_owned(), None)),
        None => Err(refused(text, "text between the host and its port")),
    }
}

fn parse_http(text: &str, rest: &str, is_plain: bool) -> Result<RemoteUrl, Finding> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(secret(text, "a user name or password"));
    }
    if rest.contains(['?', '#']) {
        return Err(refused(text, "a query or fragment"));
    }
    let path = &rest[authority.len()..];
    if path.trim_matches('/').is_empty() {
        return Err(refused(text, "it names no repository"));
    }
    if path.contains([' ', '\\']) || !path.is_ascii() {
        return Err(refused(text, "a path that is not percent-encoded"));
    }
    let (host, _) = split_port(text, authority)?;
    let is_here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback());
    if is_plain && !is_here {
        return Err(refused(text, "http sends everything in the clear").hint("use https://"));
    }
    let scheme = if is_plain { "http" } else { "https" };
    Ok(RemoteUrl::Https(format!("{scheme}://{rest}")))
}

/// Returns host, port and path of a URL that [`RemoteUrl::parse`] has let through.
fn http_parts(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let rest = text.split_once("://")?.1;
    let (authority, path) = rest.split_at(rest.find('/')?);
    match authority.strip_prefix('[') {
        Some(inner) => {
            let (host, port) = inner.split_once(']')?;
            Some((host, port.strip_prefix(':'), path))
        }
        None => {
            let (host, port) = authority.split_once(':').map_or((authority, None), |it| (it.0, Some(it.1)));
            Some((host, port, path))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(text: &str, code: Code) -> Finding {
        let finding = RemoteUrl::parse(text).expect_err(text);
        assert_eq!(finding.code, code, "{text}: {}", finding.message);
        assert!(!finding.message.contains("s3cr3t"), "{text}: {}", finding.message);
        assert!(!finding.message.contains(char::is_control), "{text}");
        finding
    }

    fn ssh(text: &str) -> (Option<String>, String, Option<u16>, String) {
        match RemoteUrl::parse(text).expect(text) {
            RemoteUrl::Ssh { user, host, port, path, text: kept } => {
                assert_eq!(kept, text);
                (user, host, port, path)
            }
            other => panic!("{text} is {other:?}"),
        }
    }

    #[test]
    fn a01_helpers_and_unknown_schemes_are_refused() {
        for text in ["ext::sh -c id", "fd::7", "git://host/x", "ftp://host/x", "rsync://host/x", "javascript://x/y"] {
            refuses(text, Code::URL);
        }
    }

    #[test]
    fn a02_an_address_that_could_be_an_option_is_refused() {
        for text in ["--upload-pack=touch x", "-x", "host:-x", "ssh://host", "host:", "ssh://host/"] {
            refuses(text, Code::URL);
        }
    }

    #[test]
    fn a03_hosts_and_users_that_could_be_options_are_refused() {
        for text in [
            "ssh://-oProxyCommand=x/y",
            "ssh://-oX@host/y",
            "-oX@host:y",
            "ssh://ana@-host/y",
            "ana@-host:y",
            "ssh://a;id@host/x",
            "ssh://a@ho$(id)st/x",
            "ssh://@host/x",
            "https://-host/x",
        ] {
            refuses(text, Code::URL);
        }
    }

    #[test]
    fn a04_line_breaks_and_control_characters_are_refused() {
        for text in [
            "https://host/x\ny",
            "https://host/x\r",
            "ssh://host/x%0ay",
            "https://host/x%0D%0Ahost=evil",
            "file:///x%00",
            "host:x%0ay",
            "/srv/x\u{1b}[m",
            "/srv/x\u{85}",
            "ssh://host/%c2%85",
            " /srv/x",
            "",
        ] {
            refuses(text, Code::URL);
        }
    }

    #[test]
    fn a05_passwords_are_refused_and_not_repeated() {
        for text in [
            "https://ana:s3cr3t@host/x.git",
            "https://s3cr3t@host/x.git",
            "http://ana:s3cr3t@localhost/x.git",
            "ssh://ana:s3cr3t@host/x.git",
            "ana:s3cr3t@host:x.git",
            "ana:p@s3cr3t@host:x.git",
        ] {
            refuses(text, Code::URL_SECRET);
        }
        refuses("https://host/x.git?private_token=s3cr3t", Code::URL);
        refuses("ftp://ana:s3cr3t@host/x.git", Code::URL);
    }

    #[test]
    fn paths_of_this_host_are_absolute() {
        assert_eq!(RemoteUrl::parse("/srv/x.git").expect("parses"), RemoteUrl::Local("/srv/x.git".into()));
        assert_eq!(RemoteUrl::parse("/srv/a:b").expect("parses"), RemoteUrl::Local("/srv/a:b".into()));
        assert_eq!(RemoteUrl::parse("file:///srv/a%20b").expect("parses"), RemoteUrl::File("/srv/a b".into()));
        assert_eq!(RemoteUrl::parse("file://localhost/srv/x").expect("parses").local_path(), Some("/srv/x"));
        for text in ["x.git", "./x.git", "~/x.git", "file://host/x", "file://x"] {
            refuses(text, Code::URL);
        }
    }

    #[test]
    fn ssh_addresses_are_taken_apart() {
        let some = |it: &str| Some(it.to_owned());
        assert_eq!(
            ssh("ssh://git@h.example:2222/a/b.git"),
            (some("git"), "h.example".into(), Some(2222), "/a/b.git".into())
        );
        assert_eq!(ssh("git@h.example:a/b.git"), (some("git"), "h.example".into(), None, "a/b.git".into()));
        assert_eq!(ssh("forge:/a b/c"), (None, "forge".into(), None, "/a b/c".into()));
        assert_eq!(ssh("ssh://h/~ana/x"), (None, "h".into(), None, "~ana/x".into()));
        assert_eq!(ssh("ssh://h/a%20b"), (None, "h".into(), None, "/a b".into()));
        assert_eq!(ssh("ssh://[::1]:22/x"), (None, "::1".into(), Some(22), "/x".into()));
        assert_eq!(ssh("ana@[::1]:x"), (some("ana"), "::1".into(), None, "x".into()));
        for text in ["ssh://h:0/x", "ssh://h:99999/x", "ssh://h:+1/x", "ssh://[::1/x", "ssh://[::1]x/y", "https:/h/x"] {
            refuses(text, Code::URL);
        }
    }

    #[test]
    fn plain_http_stays_on_this_host() {
        for text in
            ["http://localhost/x", "http://127.0.0.1:8080/x", "http://[::1]:80/x", "https://h.example:8443/a/b.git"]
        {
            let url = RemoteUrl::parse(text).expect(text);
            assert_eq!(url.to_string(), text);
        }
        for text in [
            "http://h.example/x",
            "http://localhost.example/x",
            "http://127.0.0.1.example/x",
            "https://h",
            "https:///x",
        ] {
            refuses(text, Code::URL);
        }
        let url = RemoteUrl::parse("https://h.example:8443/a/b.git").expect("parses");
        assert_eq!((url.host(), url.path()), (Some("h.example"), "/a/b.git"));
    }
}
