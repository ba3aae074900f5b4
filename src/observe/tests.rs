use super::*;
use crate::record::{DeploymentStatus, Phase};
use crate::revision::ObjectId;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A place to log to that can be read back.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logged(level: &str, style: Style, work: impl FnOnce()) -> String {
    let sink = Sink::default();
    let writer = sink.clone();
    let subscriber = logging::subscriber(level, style, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = sink.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_record_for_journald_has_its_level_and_no_time() {
    let text = logged("trace", Style::Journal, || {
        tracing::error!("broken");
        tracing::warn!("odd");
        tracing::info!(repository = "site", id = 3, "deployed {}", "it");
        tracing::debug!("detail");
    });
    assert_eq!(
        text,
        "<3>broken\n<4>odd\n<6>deployed it repository=\"site\" id=3\n<7>headfast::observe::tests: detail\n"
    );
}

#[test]
fn only_a_terminal_gets_colors_and_all_but_journald_get_the_time() {
    let plain = logged("info", Style::Plain, || tracing::info!("x"));
    assert!(plain.ends_with("Z  INFO x\n") && plain.starts_with("20") && !plain.contains('\u{1b}'), "{plain:?}");
    let colored = logged("info", Style::Terminal, || tracing::warn!("x"));
    assert!(colored.contains("\u{1b}[33m WARN\u{1b}[0m x\n"), "{colored:?}");
    assert_eq!(Style::new(true, true), Style::Journal);
    assert_eq!((Style::new(false, true), Style::new(false, false)), (Style::Terminal, Style::Plain));
}

#[test]
fn m20_a_record_is_one_line_whatever_it_holds() {
    let hostile = "a\n<0>forged\r\n\u{1b}[2J\0_FIELD=x\u{9b}31m\u{2028}\u{202e}b\u{7f}";
    let text = logged("info", Style::Journal, || {
        let span = tracing::info_span!("deploy", path = %hostile, name = hostile);
        span.in_scope(|| tracing::info!(shown = %hostile, debug = ?hostile, text = hostile, "said {hostile}"));
    });
    assert_eq!(text.matches('\n').count(), 1, "{text:?}");
    assert!(text.ends_with('\n') && !text.trim_end().contains(char::is_control), "{text:?}");
    assert!(!text.contains(['\u{202e}', '\u{2028}']));
    assert!(text.starts_with("<6>deploy{path=a\\n<0>forged\\r\\n\\u{1b}[2J\\u{0}_FIELD=x"), "{text:?}");
    assert!(text.contains("}: said a\\n<0>forged"), "{text:?}");
}

#[test]
fn m20_a_record_is_never_so_long_that_journald_cuts_it() {
    let long = "ü".repeat(100_000);
    let text = logged("info", Style::Journal, || tracing::info!("{long}"));
    assert!(text.len() < 17_000 && text.ends_with(" more bytes)\n"), "{}", text.len());
    let text = logged("info", Style::Journal, || tracing::info!("{}", "\u{1b}".repeat(100_000)));
    assert!(text.len() < 17_000);
}

#[test]
fn spans_say_what_a_record_is_about() {
    let text = logged("info", Style::Journal, || {
        let outer = tracing::info_span!("sync", repository = %"site", id = tracing::field::Empty);
        outer.record("id", 7);
        let _entered = outer.enter();
        tracing::info_span!("bare").in_scope(|| tracing::info!("x"));
    });
    assert_eq!(text, "<6>sync{repository=site id=7}: bare: x\n");
}

#[test]
fn the_level_decides_what_is_logged() {
    let work = || {
        tracing::info!("loud");
        tracing::debug!("quiet");
    };
    assert_eq!(logged("info", Style::Journal, work), "<6>loud\n");
    assert_eq!(logged("warn", Style::Journal, work), "");
    assert_eq!(logged("off", Style::Journal, work), "");
    assert_eq!(logged("warn,headfast::observe=info", Style::Journal, work), "<6>loud\n");
    assert_eq!(logged("WARN, headfast", Style::Journal, work).lines().count(), 2);
}

#[test]
fn a_mistyped_level_is_an_error_and_not_silence() {
    for level in ["", "infoo", "info,", "verbose", "info,headfast=loud", "a=b=c"] {
        let error = logging::subscriber(level, Style::Plain, std::io::sink).err().expect(level);
        assert_eq!(error.code(), Code::CONFIG);
        assert!(error.to_string().contains(&format!("`log: {level}`")), "{error}");
    }
}

#[test]
fn metrics_have_the_names_and_units_that_prometheus_wants() {
    let metrics = Metrics::new(["site"]);
    metrics.count_deployment("site", DeploymentStatus::RolledBack);
    metrics.count_deployment("site", DeploymentStatus::RolledBack);
    metrics.set_drift("site", 3);
    metrics.set_synced("site", 1_700_000_000);
    metrics.set_fetched("site", 1_700_000_060);
    metrics.set_deployed("site", "production", &ObjectId::new("abc"));
    metrics.set_outbox(2);
    metrics.set_phase("site", Some(Phase::Probe));
    let text = metrics.encode();
    for line in [
        concat!("headfast_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "# TYPE headfast_deployments counter",
        "headfast_deployments_total{repository=\"site\",status=\"rolled_back\"} 2",
        "headfast_deployments_total{repository=\"site\",status=\"success\"} 0",
        "# TYPE headfast_drift_files gauge",
        "headfast_drift_files{repository=\"site\"} 3",
        "# UNIT headfast_last_sync_timestamp_seconds seconds",
        "headfast_last_sync_timestamp_seconds{repository=\"site\"} 1700000000",
        "headfast_last_fetch_ok_timestamp_seconds{repository=\"site\"} 1700000060",
        "headfast_deployed_info{repository=\"site\",environment=\"production\",revision=\"abc\"} 1",
        "headfast_outbox_items 2",
        "headfast_phase{repository=\"site\",phase=\"probe\"} 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(text.matches("headfast_deployments_total{").count(), 6);
}

#[test]
fn what_holds_now_replaces_what_held_before() {
    let metrics = Metrics::new([]);
    for (repository, revision) in [("a", "1"), ("b", "2"), ("a", "3"), ("a", "3")] {
        metrics.set_deployed(repository, "production", &ObjectId::new(revision));
    }
    let revisions = |text: &str| text.lines().filter(|it| it.starts_with("headfast_deployed_info{")).count();
    let text = metrics.encode();
    assert_eq!(revisions(&text), 2, "{text}");
    assert!(!text.contains("revision=\"1\""));
    metrics.set_phase("a", Some(Phase::Fetch));
    metrics.set_phase("a", Some(Phase::Switch));
    assert!(metrics.encode().contains("phase=\"switch\"") && !metrics.encode().contains("phase=\"fetch\""));
    metrics.set_phase("a", None);
    metrics.set_phase("a", None);
    assert!(!metrics.encode().contains("phase=\"switch\""));
}

#[test]
fn m11_label_values_cannot_forge_a_line() {
    let metrics = Metrics::new([]);
    let hostile = "a\"} 1\nforged{x=\"\\";
    metrics.set_drift(hostile, u64::MAX);
    metrics.set_deployed(hostile, hostile, &ObjectId::new(hostile));
    let text = metrics.encode();
    assert!(
        text.contains("headfast_drift_files{repository=\"a\\\"} 1\\nforged{x=\\\"\\\\\"} 9223372036854775807\n"),
        "{text}"
    );
    assert!(text.lines().all(|it| it.starts_with("# ") || it.starts_with("headfast_")), "{text}");
}

/// Serves metrics on a port that the kernel gives, for as long as `work` takes.
fn serving(room: usize, deadline: Duration, work: impl FnOnce(SocketAddr) + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Arc::new(Metrics::new(["site"]));
    let (done, shutdown) = tokio::sync::oneshot::channel::<()>();
    let client = std::thread::spawn(move || {
        let _done = done;
        work(address);
    });
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let few = serve::Few { listener, room: Arc::new(tokio::sync::Semaphore::new(room)), deadline };
        serve::serve(few, metrics, async move { drop(shutdown.await) }).await.unwrap();
    });
    client.join().unwrap();
}

const LONG: Duration = Duration::from_secs(60);

fn ask(address: SocketAddr, request: &str) -> String {
    try_to_ask(address, request).unwrap()
}

fn try_to_ask(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn metrics_are_served_as_open_metrics() {
    serving(4, LONG, |address| {
        let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
        assert!(body.contains("headfast_deployments_total{repository=\"site\",status=\"failed\"} 0\n"));
        assert!(body.ends_with("# EOF\n"));
    });
}

#[test]
fn m7_nothing_else_is_served() {
    serving(4, LONG, |address| {
        for (request, status) in [
            ("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
            ("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
            ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"),
            ("GET /metrics/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"),
            ("GET /../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "405"),
            ("nonsense\r\n\r\n", "400"),
        ] {
            let answer = ask(address, request);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {answer:?}");
        }
    });
}

#[test]
fn m2_a_client_that_says_nothing_is_sent_away_and_makes_room() {
    serving(1, Duration::from_millis(100), |address| {
        let mut silent = TcpStream::connect(address).unwrap();
        silent.write_all(b"GET /met").unwrap();
        // The deadline is for everyone; on a busy machine the first try may miss it.
        let is_served = |_| matches!(try_to_ask(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), Ok(it) if it.ends_with("ok\n"));
        assert!((0..50).any(is_served));
        assert_eq!(silent.read(&mut [0; 64]).unwrap_or_default(), 0);
    });
}

#[test]
fn the_public_door_answers_and_closes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (done, shutdown) = tokio::sync::oneshot::channel::<()>();
    let client = std::thread::spawn(move || {
        let answer = ask(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        drop(done);
        answer
    });
    let served = serve_metrics(listener, Arc::new(Metrics::new([])), async move { drop(shutdown.await) });
    runtime.block_on(served).unwrap();
    assert!(client.join().unwrap().starts_with("HTTP/1.1 200"));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn m10_an_address_that_cannot_be_had_is_said_at_once() {
    let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let taken = first.local_addr().unwrap();
    let error = bind(taken).unwrap_err();
    assert_eq!(error.code(), Code::LISTEN);
    assert!(error.to_string().starts_with(&format!("cannot listen on {taken}: ")), "{error}");
    assert_eq!(bind("192.0.2.1:9108".parse().unwrap()).unwrap_err().code(), Code::LISTEN);
}
