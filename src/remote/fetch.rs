//! One GET over https: no credentials, no redirects, within a deadline and a size.

use super::Error;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

const USER_AGENT: &str = concat!("headfast/", env!("CARGO_PKG_VERSION"));

/// The longest that a server's words about itself may be.
const SAID_CHARS_MAX: usize = 300;

/// What is asked for.
pub(super) struct Request<'a> {
    /// An address that a [`crate::manifest::RemoteLayer`] has.
    pub(super) url: &'a str,
    /// The certificates that the server's may be signed by, in place of the built-in ones.
    pub(super) ca_file: Option<&'a Path>,
    /// The whole time.
    pub(super) deadline: Duration,
    /// The most bytes, counted when they are unpacked, should the server have packed them.
    pub(super) limit: usize,
}

impl Request<'_> {
    /// Asks for the file and returns it.
    pub(super) fn send(&self) -> Result<Vec<u8>, Error> {
        let response = self.agent()?.get(self.url).header("Accept-Encoding", "identity").call();
        let response = response.map_err(|it| self.judge(it))?;
        let status = response.status();
        let header = |name: &str| response.headers().get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
        match status.as_u16() {
            200 => {}
            300..=399 => return Err(Error::Redirect { url: self.url.to_owned(), to: shown(header("location")) }),
            _ => return Err(self.refused(format!("the server answered {status}"))),
        }
        if header("content-length").parse::<u64>().is_ok_and(|it| it > self.limit as u64) {
            return Err(self.too_big());
        }
        let mut bytes = Vec::new();
        let mut body = response.into_body().into_reader().take(self.limit as u64 + 1);
        body.read_to_end(&mut bytes).map_err(|it| self.judge(ureq::Error::from(it)))?;
        if bytes.len() > self.limit { Err(self.too_big()) } else { Ok(bytes) }
    }

    fn agent(&self) -> Result<ureq::Agent, Error> {
        let roots = match self.ca_file {
            Some(path) => authorities(path).map_err(|reason| Error::Tls { url: self.url.to_owned(), reason })?,
            None => RootCerts::WebPki,
        };
        let mut config = ureq::Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .timeout_global(Some(self.deadline))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(USER_AGENT);
        if is_loopback(self.url) {
            // What is meant for this very host, perhaps in the clear, goes to no proxy.
            config = config.proxy(None);
        }
        Ok(config.build().new_agent())
    }

    fn refused(&self, reason: String) -> Error {
        Error::Refused { url: self.url.to_owned(), reason }
    }

    fn too_big(&self) -> Error {
        Error::TooBig { url: self.url.to_owned(), limit: self.limit }
    }

    fn judge(&self, error: ureq::Error) -> Error {
        let text = one_line(&error.to_string());
        let reason = text.strip_prefix("io: ").unwrap_or(&text).to_owned();
        let (url, deadline) = (self.url.to_owned(), self.deadline);
        match error {
            ureq::Error::Timeout(_) => Error::Timeout { url, deadline },
            ureq::Error::Io(it) if it.kind() == io::ErrorKind::TimedOut => Error::Timeout { url, deadline },
            ureq::Error::HostNotFound => Error::Unreachable { url, reason: "its host name is not known".into() },
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::Pem(_) => Error::Tls { url, reason },
            // rustls hands its own errors through as I/O errors.
            ureq::Error::Io(_) if reason.contains("certificate") || reason.contains("alert") => {
                Error::Tls { url, reason }
            }
            ureq::Error::Io(_) | ureq::Error::ConnectionFailed => Error::Unreachable { url, reason },
            _ => Error::Refused { url, reason },
        }
    }
}

/// Returns the beginning of the addresses of all that a server has.
pub(super) fn server_of(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |it| it + 3);
    let end = url[after_scheme..].find('/').map_or(url.len(), |it| after_scheme + it + 1);
    &url[..end]
}

fn is_loopback(url: &str) -> bool {
    let server = server_of(url).split("://").nth(1).unwrap_or_default().trim_end_matches('/');
    let host = match server.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => server.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse().is_ok_and(|it: IpAddr| it.is_loopback())
}

/// Reads the certificates that servers may be signed by.
fn authorities(path: &Path) -> Result<RootCerts, String> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|it| format!("cannot read the authorities in {shown}: {it}"))?;
    let items: Result<Vec<PemItem<'static>>, ureq::Error> = ureq::tls::parse_pem(&text).collect();
    let items = items.map_err(|it| format!("cannot read the authorities in {shown}: {it}"))?;
    let certificate = |it| match it {
        PemItem::Certificate(it) => Some(it),
        _ => None,
    };
    let certificates: Vec<Certificate<'static>> = items.into_iter().filter_map(certificate).collect();
    if certificates.is_empty() {
        Err(format!("there is no certificate in {shown}"))
    } else {
        Ok(RootCerts::from(certificates))
    }
}

/// Returns an address that a server named, without what could be a secret.
fn shown(location: &str) -> String {
    if location.is_empty() {
        return "an address that it does not name".to_owned();
    }
    let address = location.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = address.split_once("://").map_or(("", address), |it| (&address[..it.0.len() + 3], it.1));
    one_line(&format!("{scheme}{}", rest.rsplit_once('@').map_or(rest, |it| it.1)))
}

/// Makes one printable line of what somebody else said.
fn one_line(text: &str) -> String {
    text.chars().take(SAID_CHARS_MAX).map(|it| if it.is_control() { ' ' } else { it }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_and_whether_it_is_this_very_host_are_told_by_the_address() {
        assert_eq!(server_of("https://h.example:8443/a/b.yaml"), "https://h.example:8443/");
        for url in ["http://127.0.0.1:1/x", "http://localhost/x", "https://[::1]:8443/x", "http://[::1]/x"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["https://h.example/x", "https://localhost.example/x", "https://[2001:db8::1]/127.0.0.1"] {
            assert!(!is_loopback(url), "{url}");
        }
    }

    #[test]
    fn where_a_redirect_leads_is_told_without_secrets() {
        assert_eq!(shown("https://ana:s3cr3t@h/x.yaml?token=s3cr3t#y"), "https://h/x.yaml");
        assert_eq!(shown("/login\u{1b}[m?s3cr3t"), "/login [m");
        assert_eq!(shown(""), "an address that it does not name");
    }
}
