//! Layers that lie on a server: an address, and the digest that says which bytes are meant.

use crate::document::{Format, Node};
use crate::finding::{Code, Finding, Findings};
use crate::revision::{ObjectId, RemoteUrl};
use sha2::{Digest, Sha256};

/// How a remote layer is written.
const FORM: &str = "a remote layer is written as `https://HOST/PATH#sha256=DIGEST`";

/// A layer on a server, written as `https://host/path/app.yaml#sha256=<64 digits>[&format=yaml]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteLayer {
    /// The address without the digest: its scheme and host in lower case, and nothing in it that could be a secret.
    pub url: String,
    /// The SHA-256 digest of the file, in lower case.
    pub sha256: String,
    /// The file's format: what is written, or else what the extension says.
    pub format: Format,
}

impl RemoteLayer {
    /// Reads a remote layer. Every refusal is an `E_VALUE` without a place, which does not repeat what may be a secret.
    pub fn parse(text: &str) -> Result<RemoteLayer, Finding> {
        let (address, fragment) = text.split_once('#').map_or((text, None), |it| (it.0, Some(it.1)));
        if text.contains("{{") {
            let message = format!("the remote layer {} holds `{{{{ }}}}`, and a digest is of one file", shown(text));
            let hint = "write each file with its own digest, in a configuration of its own";
            return Err(refused(message).hint(hint));
        }
        if text.ends_with('?') || address.ends_with('?') {
            let message = format!("the remote layer {} ends in `?`, but no remote layer is optional", shown(text));
            let hint = "leave the `?` out, or put the file into the repository: what a commit means must not depend on \
                whether a server answers";
            return Err(refused(message).hint(hint));
        }
        let url = address_of(address)?;
        let Some(fragment) = fragment.filter(|it| !it.is_empty()) else {
            let message = format!("the remote layer {url} has no digest, so its server could change it unseen");
            let hint = format!("look at the file, then add `#sha256=` and what `curl -sSf {url} | sha256sum` prints");
            return Err(refused(message).hint(hint));
        };
        let (mut sha256, mut format) = (None, None);
        for part in fragment.split('&') {
            match part.split_once('=') {
                Some(("sha256", digits)) if sha256.is_none() => sha256 = Some(digest(&url, digits)?),
                Some(("format", name)) if format.is_none() => format = Some(format_of(&url, name)?),
                _ => {
                    let message = format!("the remote layer {url} has `{}` behind its `#`", part.escape_debug());
                    return Err(refused(message).hint(format!("{FORM}, and may end with `&format=yaml`")));
                }
            }
        }
        let Some(sha256) = sha256 else {
            let message = format!("the remote layer {url} has no `sha256=` behind its `#`");
            return Err(refused(message).hint(FORM));
        };
        let Some(format) = format.or_else(|| Format::of_path(&url)) else {
            let message = format!("the extension of {url} does not tell its format");
            let hint = "add `&format=` behind the digest: yaml, json, toml, ini or env";
            return Err(refused(message).hint(hint));
        };
        Ok(RemoteLayer { url, sha256, format })
    }

    /// Returns whether these bytes are the ones that are meant.
    pub fn is(&self, bytes: &[u8]) -> bool {
        sha256(bytes) == self.sha256
    }

    /// Refuses bytes that are not the ones that are meant; the finding has no place.
    pub fn verify(&self, bytes: &[u8]) -> Result<(), Finding> {
        let found = sha256(bytes);
        if found == self.sha256 {
            return Ok(());
        }
        let message = format!("{} is not what its digest says: expected {}, found {found}", self.url, self.sha256);
        let hint = "look at what the server has: if it is what you want, write its digest into the manifest; if not, put the \
            right file back there";
        let finding = Finding::error(Code::REMOTE_DIGEST, message).hint(hint);
        Err(finding.expected(format!("sha256 {}", self.sha256)).found(format!("sha256 {found}")))
    }

    /// Returns what tells this layer's document from any other.
    pub fn id(&self) -> ObjectId {
        ObjectId::new(&format!("{} {:?}", self.sha256, self.format))
    }
}

/// Returns whether a text is meant for a URL and not for a path.
pub(super) fn is_url(text: &str) -> bool {
    let starts = |scheme: &str| text.get(..scheme.len()).is_some_and(|it| it.eq_ignore_ascii_case(scheme));
    text.contains("://") || starts("https:") || starts("http:")
}

/// Reads a layer that is meant for a URL.
pub(super) fn layer(text: &str, node: &Node, what: &str, findings: &mut Findings) -> Option<RemoteLayer> {
    let refusal = |finding: Finding| {
        let mut finding = Finding { message: format!("`{what}`: {}", finding.message), ..finding }.at(&node.place);
        if !is_public(text) {
            // Its line would show it.
            let indent = " ".repeat(node.place.column.saturating_sub(1) as usize);
            finding.line_text = Some(format!("{indent}{} …", shown(text)));
        }
        finding
    };
    RemoteLayer::parse(text).map_err(|it| findings.push(refusal(it))).ok()
}

/// Reads the beginning that addresses of remote layers must have to be allowed, such as `https://host/shared/`.
///
/// Layers may lie in folders below it, so it ends with a `/`. `None` when it is none, of which only its form can be the reason.
pub fn remote_prefix(text: &str) -> Option<String> {
    let with_file = text.ends_with('/').then(|| format!("{text}x"))?;
    let url = address_of(&with_file).ok()?;
    url.strip_suffix('x').map(str::to_owned)
}

/// Reads an address, and returns it in the one way in which it is compared.
fn address_of(text: &str) -> Result<String, Finding> {
    let shown = shown(text);
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(refused(format!("the remote layer {shown} lacks two slashes behind its scheme")).hint(FORM));
    };
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "https" | "http") {
        let message = format!("layers do not come from `{}://`", scheme.escape_debug());
        return Err(
            refused(message).hint(format!("a layer is a path in the repository, `env:PREFIX`, or remote; {FORM}"))
        );
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        let message = format!("the remote layer {shown} has a user name or password in it");
        let hint =
            "take it out, and change it: everyone who reads the repository has it; remote layers are fetched without";
        return Err(refused(message).hint(hint));
    }
    if rest.contains('?') {
        let message = format!("the remote layer {shown} has a query, which often holds a token");
        let hint =
            "use an address without `?`: remote layers are fetched without credentials, and a digest keeps them whole";
        return Err(refused(message).hint(hint));
    }
    let path = &rest[authority.len()..];
    if path.is_empty() || path.ends_with('/') {
        return Err(refused(format!("the remote layer {shown} names no file")).hint(FORM));
    }
    if !is_straight(path) {
        let message = format!("the path of the remote layer {shown} holds `.`, `..` or an encoded separator");
        return Err(refused(message).hint("write the address that it leads to"));
    }
    RemoteUrl::parse(text).map_err(|it| Finding { code: Code::VALUE, ..it })?;
    let (authority, default) = (authority.to_ascii_lowercase(), if scheme == "https" { ":443" } else { ":80" });
    let authority = authority.strip_suffix(default).unwrap_or(&authority);
    Ok(format!("{scheme}://{authority}{path}"))
}

/// Returns whether a path leads where it says, also for servers that take `..` and encoded characters for more than text.
fn is_straight(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let is_hidden = ["%2f", "%5c", "%00"].iter().any(|it| lower.contains(it));
    // Some servers cut what stands behind a `;` off a step, and take what is left for `..`.
    let plain = lower.replace("%2e", ".").replace("%3b", ";");
    !is_hidden && plain.split('/').map(|it| it.split(';').next()).all(|it| it != Some(".") && it != Some(".."))
}

fn digest(url: &str, digits: &str) -> Result<String, Finding> {
    if digits.len() == 64 && digits.bytes().all(|it| it.is_ascii_hexdigit()) {
        return Ok(digits.to_ascii_lowercase());
    }
    let message = format!("the digest of the remote layer {url} is not 64 hexadecimal digits");
    Err(refused(message).hint(format!("`curl -sSf {url} | sha256sum` prints it")))
}

fn format_of(url: &str, name: &str) -> Result<Format, Finding> {
    let message = format!("the remote layer {url} has the unknown format `{}`", name.escape_debug());
    match Format::of_path(&format!("x.{name}")) {
        Some(format) if matches!(name, "yaml" | "json" | "toml" | "ini" | "env") => Ok(format),
        _ => Err(refused(message).hint("formats are yaml, json, toml, ini and env")),
    }
}

/// Returns whether nothing in a text could be a secret that was written into a URL.
fn is_public(text: &str) -> bool {
    !text.contains('@') && !text.contains('?')
}

/// Returns an address without what may be a secret: what stands before an `@`, a query, and what is behind a `#`.
fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = text.split_once("://").map_or(("", text), |it| (&text[..it.0.len() + 3], it.1));
    let rest = rest.rsplit_once('@').map_or(rest, |it| it.1);
    format!("{}{}", scheme.escape_debug(), rest.escape_debug())
}

fn refused(message: String) -> Finding {
    Finding::error(Code::VALUE, message)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|it| format!("{it:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of nothing.
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[track_caller]
    fn refuses(text: &str, expected: &str) {
        let finding = RemoteLayer::parse(&text.replace("DIGEST", EMPTY)).expect_err(text);
        assert!(finding.message.contains(expected), "{text}: {}", finding.message);
        assert_eq!(finding.code, Code::VALUE, "{text}");
        assert!(finding.hint.is_some() || finding.message.contains("not accepted"), "{text} teaches nothing");
        assert!(!format!("{finding:?}").contains("s3cr3t"), "{text}: {finding:?}");
    }

    #[test]
    fn x24_an_address_has_one_form_a_digest_and_a_format() {
        let layer = |text: &str| RemoteLayer::parse(&text.replace("DIGEST", EMPTY)).expect(text);
        let plain = layer("https://conf.example.org/shared/app.yaml#sha256=DIGEST");
        assert_eq!(plain.url, "https://conf.example.org/shared/app.yaml");
        assert_eq!((plain.sha256.as_str(), plain.format), (EMPTY, Format::Yaml));
        let loud = format!("HTTPS://Conf.Example.org:443/shared/app.yaml#sha256={}", EMPTY.to_uppercase());
        assert_eq!(layer(&loud), plain);
        let named = layer("https://[2001:DB8::1]:8443/Shared/App#sha256=DIGEST&format=toml");
        assert_eq!((named.url.as_str(), named.format), ("https://[2001:db8::1]:8443/Shared/App", Format::Toml));
        assert_eq!(layer("http://127.0.0.1:8080/x.json#format=ini&sha256=DIGEST").format, Format::Ini);
        assert_ne!(plain.id(), RemoteLayer { format: Format::Json, ..plain.clone() }.id());
    }

    #[test]
    fn x24_what_is_no_remote_layer_is_refused_with_a_hint() {
        refuses("https://h/x.yaml", "no digest");
        refuses("https://h/x.yaml#", "no digest");
        refuses("https://h/x.yaml#sha256=abc", "not 64 hexadecimal digits");
        refuses("https://h/x.yaml#sha1=abc", "`sha1=abc` behind its `#`");
        refuses("https://h/x.yaml#sha256=DIGEST&sha256=DIGEST", "behind its `#`");
        refuses("https://h/x.yaml#format=yaml", "no `sha256=`");
        refuses("https://h/x#sha256=DIGEST", "does not tell its format");
        refuses("https://h/x#sha256=DIGEST&format=xml", "unknown format `xml`");
        refuses("https://h/x.yaml#sha256=DIGEST?", "no remote layer is optional");
        refuses("https://h/x.yaml?#sha256=DIGEST", "no remote layer is optional");
        refuses("https://h/{{ host }}.yaml#sha256=DIGEST", "`{{ }}`");
        refuses("https://ana:s3cr3t@h/x.yaml#sha256=DIGEST", "user name or password");
        refuses("https://s3cr3t@h/x.yaml#sha256=DIGEST", "user name or password");
        refuses("https://h/x.yaml?token=s3cr3t#sha256=DIGEST", "a query");
        refuses("https://h/x.yaml?ref=v2#sha256=DIGEST", "a query");
        refuses("http://h/x.yaml#sha256=DIGEST", "in the clear");
        refuses("ftp://h/x.yaml#sha256=DIGEST", "`ftp://`");
        refuses("git+ssh://ana@h/x.yaml#sha256=DIGEST", "`git+ssh://`");
        refuses("file:///etc/x.yaml#sha256=DIGEST", "`file://`");
        refuses("https:/h/x.yaml#sha256=DIGEST", "two slashes");
        refuses("http:x.yaml", "two slashes");
        refuses("https://h#sha256=DIGEST", "names no file");
        refuses("https://h/shared/#sha256=DIGEST", "names no file");
        refuses("https://-h/x.yaml#sha256=DIGEST", "not accepted: a host name");
        refuses("https://h/a b.yaml#sha256=DIGEST", "not accepted: a path that is not percent-encoded");
        refuses("https://h:0/x.yaml#sha256=DIGEST", "not accepted: a port");
        for path in [
            "shared/../x",
            "shared/./x",
            "shared/%2e%2E/x",
            "shared/.%2e/x",
            "shared%2F..%2fx",
            "a%5cb",
            "a%00b",
            "a/..;/b",
            "a/..%3Bx/b",
        ] {
            refuses(&format!("https://h/{path}.yaml#sha256=DIGEST"), "");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_slash_and_has_the_form_of_addresses() {
        assert_eq!(remote_prefix("https://H.example/shared/").as_deref(), Some("https://h.example/shared/"));
        assert_eq!(remote_prefix("https://h.example:443/").as_deref(), Some("https://h.example/"));
        for text in [
            "https://h.example/shared",
            "https://h.example",
            "h.example/",
            "http://h.example/",
            "https://ana@h/",
            "https://h/../",
            "https://h/x?y/",
            "https://h/#/",
            "/",
            "",
        ] {
            assert_eq!(remote_prefix(text), None, "{text}");
        }
    }

    #[test]
    fn x24_bytes_that_are_not_the_ones_meant_are_told_with_both_digests() {
        let layer = RemoteLayer::parse(&format!("https://h/x.yaml#sha256={EMPTY}")).expect("parses");
        assert_eq!(layer.verify(b""), Ok(()));
        let finding = layer.verify(b"a: 1\n").expect_err("they are others");
        let found = sha256(b"a: 1\n");
        assert_eq!(finding.code, Code::REMOTE_DIGEST);
        assert!(finding.message.contains(EMPTY) && finding.message.contains(&found), "{}", finding.message);
        assert_eq!(finding.found, Some(format!("sha256 {found}")));
    }
}
