//! The whole story on a real nginx: deploy, change, veto, rollback, drift.

use crate::host::TestHost;
use crate::servers::{Server, answers, free_port, is_left_out, program};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const AGENT: &str = "\
host: web-1
state_dir: @DIR@/state
repositories:
  - name: site
    url: @DIR@/remote.git
    branch: main
    environment: production
    allow: {paths: ['@LIVE@'], commands: [@NGINX@, '@DIR@/reload']}
    rollback: {push: direct}
";

const MANIFEST: &str = "\
version: 1
environments:
  production: {type: production, variables: {port: '@PORT@', web: '@LIVE@/web', run: '@DIR@/run'}}
targets:
  web:
    path: @LIVE@/web
    files: [{copy: site}]
  nginx:
    path: @LIVE@/nginx
    after: [web]
    files: [{template: nginx}]
    check: [{command: [@NGINX@, -t, -q, -c, '{{ staged }}/nginx.conf']}]
    reload: [{command: ['@DIR@/reload'], when: ['**']}]
    probe: [{http: 'http://127.0.0.1:@PORT@/healthz', expect: 200, within: 5s, settle: 10ms}]
";

const NGINX_CONF: &str = "\
pid {{ run }}/nginx.pid;
error_log {{ run }}/error.log notice;
worker_processes 1;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path {{ run }}/body;
    proxy_temp_path {{ run }}/proxy;
    fastcgi_temp_path {{ run }}/fastcgi;
    uwsgi_temp_path {{ run }}/uwsgi;
    scgi_temp_path {{ run }}/scgi;
    include conf.d/*.conf;
}
";

const SITE_CONF: &str = "\
server {
    listen 127.0.0.1:{{ port }};
    root {{ web }};
    location = /healthz { return 200 'fine'; }
}
";

/// What someone had set up by hand before headfast came.
const FOUND: &str = "\
pid @DIR@/run/nginx.pid;
error_log @DIR@/run/error.log notice;
worker_processes 1;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path @DIR@/run/body;
    proxy_temp_path @DIR@/run/proxy;
    fastcgi_temp_path @DIR@/run/fastcgi;
    uwsgi_temp_path @DIR@/run/uwsgi;
    scgi_temp_path @DIR@/run/scgi;
    server { listen 127.0.0.1:@PORT@; return 410; }
}
";

/// Tells nginx to read its configuration again and waits until the old worker has gone, which nginx says in its log.
/// Without that the probe could be answered by the old configuration.
const RELOAD: &str = "\
#!/bin/sh
log=@DIR@/run/error.log
gone() { grep -c 'worker process .* exited' $log; }
before=$(gone)
@NGINX@ -s reload -c @LIVE@/nginx/nginx.conf || exit 1
while [ \"$(gone)\" = \"$before\" ]; do sleep 0.02; done
";

/// A host on which an nginx runs, which ends with the test.
struct Site {
    _server: Server,
    host: TestHost,
    port: u16,
    nginx: String,
}

impl Site {
    fn new() -> Site {
        let nginx = program("nginx", "nginx-light", "nginx").to_str().unwrap().to_owned();
        // Another process may take a port that was free a moment ago: then nginx ends, and the next one is tried.
        for _ in 0..10 {
            let (host, port) = (TestHost::new(), free_port());
            let filled =
                |text: &str| host.filled(&text.replace("@PORT@", &port.to_string()).replace("@NGINX@", &nginx));
            let conf = host.path("live/nginx/nginx.conf");
            for folder in [&host.path("run"), conf.parent().unwrap()] {
                fs::create_dir_all(folder).unwrap();
            }
            fs::write(&conf, filled(FOUND)).unwrap();
            let reload = host.path("reload");
            fs::write(&reload, filled(RELOAD)).unwrap();
            fs::set_permissions(&reload, fs::Permissions::from_mode(0o755)).unwrap();
            host.agent(&filled(AGENT));
            let mut command = Command::new(&nginx);
            command.args(["-g", "daemon off;", "-c"]).arg(&conf);
            let mut server = Server::start(command, &host.path(""), "nginx");
            if server.wait(|| answers(port)) {
                return Site { _server: server, host, port, nginx };
            }
        }
        panic!("nginx does not start");
    }

    fn filled(&self, text: &str) -> String {
        text.replace("@PORT@", &self.port.to_string()).replace("@NGINX@", &self.nginx)
    }

    fn commit(&self, files: &[(&str, &str)]) -> String {
        let files: Vec<(&str, String)> = files.iter().map(|(path, text)| (*path, self.filled(text))).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        self.host.commit(&files)
    }

    /// Returns the status line's number and the body of a page.
    fn get(&self, path: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(connection, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }
}

#[test]
fn the_nginx_story() {
    if is_left_out("nginx") {
        return;
    }
    let site = Site::new();
    let page = |text: &str| (200, format!("{text}\n"));

    // The first deployment takes over what it finds, and the site answers.
    assert_eq!(site.get("/index.html").0, 410);
    let files = [
        ("headfast.yaml", MANIFEST),
        ("nginx/nginx.conf.j2", NGINX_CONF),
        ("nginx/conf.d/site.conf.j2", SITE_CONF),
        ("site/index.html", "one\n"),
    ];
    site.commit(&files);
    site.host.run(&["sync"]).ends(0).says(&["2 created", "1 replaced"]);
    assert_eq!(site.get("/index.html"), page("one"));

    // A change by `git push`.
    let second = site.commit(&[("site/index.html", "two\n")]);
    site.host.run(&["sync"]).ends(0).says(&["1 replaced"]);
    assert_eq!(site.get("/index.html"), page("two"));

    // A syntax error is stopped by `nginx -t`, and nothing is written.
    let before = site.host.snapshot();
    site.commit(&[("nginx/conf.d/site.conf.j2", "server { listen"), ("site/index.html", "three\n")]);
    let refused = site.host.run(&["sync"]).ends(4);
    refused.says(&["error[E_CHECK]", "headfast.yaml:12:13", "conf.d/site.conf"]);
    assert_eq!(site.host.snapshot(), before);
    assert_eq!(site.get("/index.html"), page("two"));

    // A change that `nginx -t` finds good but the probe does not: rolled back here, reverted in the remote.
    let sick = SITE_CONF.replace("return 200 'fine'", "return 503 'sick'");
    let failed = site.commit(&[("nginx/conf.d/site.conf.j2", &sick)]);
    let rolled_back = site.host.run(&["sync"]).ends(6);
    rolled_back.says(&["error[E_PROBE]", "it answers 503, expected 200"]);
    assert_eq!(site.get("/index.html"), page("two"));
    assert_eq!(site.get("/healthz"), (200, "fine".to_owned()));
    assert_eq!(site.host.snapshot(), before);
    assert_eq!(site.host.remote(&["rev-parse", "main^"]), failed);
    let message = site.host.remote(&["log", "-1", "--format=%an <%ae>%n%B", "main"]);
    assert!(message.starts_with("headfast <headfast@localhost>\n"), "{message}");
    assert!(message.contains(&format!("Headfast-Reverts: {failed}")), "{message}");
    let tree_of = |commit: &str| site.host.remote(&["rev-parse", &format!("{commit}^{{tree}}")]);
    assert_eq!(tree_of("main"), tree_of(&second));

    // The revert arrives like any commit and changes nothing.
    site.host.run(&["sync"]).ends(0);
    assert_eq!(site.host.snapshot(), before);

    // A live edit is found, shown and healed, and what was edited is kept.
    let live = site.host.path("live/web/index.html");
    fs::write(&live, "hacked\n").unwrap();
    site.host.run(&["drift"]).ends(5).says(&["-two", "+hacked"]);
    site.host.run(&["drift", "--heal"]).ends(0);
    assert_eq!(site.get("/index.html"), page("two"));
    site.host.run(&["drift"]).ends(0);
    let kept = fs::read_dir(site.host.path("state/kept")).unwrap();
    let mut kept: Vec<String> = kept.map(|it| fs::read_to_string(it.unwrap().path()).unwrap()).collect();
    kept.sort();
    assert_eq!(kept, ["hacked\n".to_owned(), site.host.filled(&site.filled(FOUND))]);
}
