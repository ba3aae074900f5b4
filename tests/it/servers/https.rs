//! nginx in front of git's own http backend, with a certificate of an authority that nobody knows.

use super::{Server, answers, free_port, program, run};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name in `HEADFAST_TESTS_WITHOUT`.
pub const NAME: &str = "nginx";
/// The token that the server lets in, for the user `x-access-token`.
pub const TOKEN: &str = "s3cr3t-token";

/// A running server of the repositories below a folder.
pub struct Https {
    dir: tempfile::TempDir,
    port: u16,
    nginx: Option<Server>,
    _backend: Server,
}

impl Https {
    /// Serves `root`. What is below `/moved/` is redirected to `elsewhere`.
    pub fn start(root: &Path, elsewhere: &str) -> Https {
        let nginx = program("nginx", "nginx", NAME);
        let fcgiwrap = program("fcgiwrap", "fcgiwrap", NAME);
        let openssl = program("openssl", "openssl", NAME);
        let dir = tempfile::tempdir().expect("makes a folder");
        certify(&openssl, dir.path(), "ca", "server");
        certify(&openssl, dir.path(), "other_ca", "other_server");
        std::fs::write(dir.path().join("users"), format!("x-access-token:{{PLAIN}}{TOKEN}\nana:{{PLAIN}}{TOKEN}\n"))
            .expect("writes");
        let socket = dir.path().join("backend.sock");
        let mut start = Command::new(fcgiwrap);
        start.arg("-c").arg("2").arg("-s").arg(format!("unix:{}", socket.display()));
        start.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let mut backend = Server::start(start, dir.path(), "fcgiwrap");
        assert!(backend.wait(|| socket.exists()), "fcgiwrap does not start: {}", backend.log());
        for _ in 0..5 {
            let port = free_port();
            let config = configure(dir.path(), root, port, elsewhere);
            let mut start = Command::new(&nginx);
            start.arg("-p").arg(dir.path()).arg("-c").arg(config).arg("-e").arg("stderr");
            let mut server = Server::start(start, dir.path(), "nginx");
            if server.wait(|| answers(port)) {
                return Https { dir, port, nginx: Some(server), _backend: backend };
            }
            let log = server.log();
            assert!(log.contains("in use"), "nginx does not start: {log}");
        }
        panic!("no port is free")
    }

    /// Returns the address of something on this server.
    pub fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}/{path}", self.port)
    }

    /// Ends the server, and keeps its certificates.
    pub fn stop(&mut self) {
        self.nginx = None;
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the path of a file that belongs to the server, such as `ca.pem`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a token into a file.
    pub fn token(&self, token: &str) -> PathBuf {
        let path = self.file("token");
        std::fs::write(&path, format!("{token}\n")).expect("writes");
        path
    }

    /// Returns what clients asked for.
    pub fn requests(&self) -> String {
        std::fs::read_to_string(self.file("access.log")).unwrap_or_default()
    }
}

/// Makes an authority, and a certificate that it signed, for 127.0.0.1 and no other name.
fn certify(openssl: &Path, dir: &Path, ca: &str, server: &str) {
    let openssl = |arguments: &[&str]| run(Command::new(openssl).current_dir(dir).args(arguments));
    let (ca_pem, ca_key) = (format!("{ca}.pem"), format!("{ca}.key"));
    let (server_pem, server_key) = (format!("{server}.pem"), format!("{server}.key"));
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let mut authority = vec!["req", "-x509", "-days", "2", "-subj", "/CN=test authority"];
    authority.extend(new_key);
    authority.extend(["-addext", "keyUsage=critical,keyCertSign", "-keyout", &ca_key, "-out", &ca_pem]);
    openssl(&authority);
    let mut request = vec!["req", "-subj", "/CN=test server", "-keyout", &server_key, "-out", "request.pem"];
    request.extend(new_key);
    openssl(&request);
    std::fs::write(dir.join("extensions"), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
        .expect("writes");
    openssl(&[
        "x509",
        "-req",
        "-in",
        "request.pem",
        "-CA",
        &ca_pem,
        "-CAkey",
        &ca_key,
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "extensions",
        "-out",
        &server_pem,
    ]);
}

fn configure(dir: &Path, root: &Path, port: u16, elsewhere: &str) -> PathBuf {
    let backend = PathBuf::from(run(Command::new("git").arg("--exec-path"))).join("git-http-backend");
    assert!(backend.is_file(), "git has no http backend: install the package `git`");
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let other = if elsewhere.is_empty() { String::new() } else { format!("return 302 {elsewhere}$request_uri;") };
    let config = format!(
        r#"
daemon off; {user} worker_processes 1; pid nginx.pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log access.log; client_max_body_size 0;
  client_body_temp_path tmp1; proxy_temp_path tmp2; fastcgi_temp_path tmp3; uwsgi_temp_path tmp4; scgi_temp_path tmp5;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate server.pem; ssl_certificate_key server.key;
    location /layers/ {{ root {root}; }}
    location /plain/ {{ default_type text/html; return 200 "<html>hello</html>"; }}
    location /broken/ {{ return 503; }}
    location /moved/ {{ {other} }}
    location /renamed.git/ {{ rewrite ^/renamed.git/(.*)$ /remote.git/$1 redirect; }}
    location /circle.git/ {{ return 302 $request_uri; }}
    location / {{
      auth_basic "git"; auth_basic_user_file users;
      fastcgi_pass unix:{dir}/backend.sock;
      fastcgi_param SCRIPT_FILENAME {backend};
      fastcgi_param GIT_PROJECT_ROOT {root};
      fastcgi_param GIT_HTTP_EXPORT_ALL "";
      fastcgi_param PATH_INFO $uri;
      fastcgi_param REMOTE_USER $remote_user;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
    }}
  }}
}}
"#,
        dir = dir.display(),
        root = root.display(),
        backend = backend.display(),
    );
    let place = dir.join("nginx.conf");
    std::fs::write(&place, config).expect("writes");
    place
}
