use super::*;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const SECRET: &str = "my_lovely_secret_for_web_hook";
const PING: &str = r#"{"ping":"OK"}"#;
const PING_SIGNATURE: &str = "sha256=162f107f6b5022353274eb1a7197885cfd35744d8d08e5bcea025d309386b7d6";

struct Bench {
    address: std::net::SocketAddr,
    hints: hint::HintReceiver,
    reports: mpsc::Receiver<Report>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Bench {
    async fn start() -> Bench {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, hints) = hint::queue(8);
        let (report, reports) = mpsc::channel(8);
        let sources =
            vec![("news".into(), Some(SECRET.into())), ("bare".into(), None), ("empty".into(), Some("".into()))];
        let router = routes(Hooks::new(sources, sender, report)).layer(axum::middleware::map_response(careful));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(serve(listener, router, async { drop(stopped.await) }));
        Bench { address, hints, reports, _stop: stop }
    }

    /// Sends one request and returns the answer's head and body, lower-case.
    async fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // A refusal may come before everything is sent.
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap().to_lowercase()
    }

    #[track_caller]
    fn told(&mut self, name: &str, trouble: Trouble) {
        assert_eq!(self.reports.try_recv().ok(), Some(Report { name: name.into(), trouble }));
    }

    fn quiet(&mut self) -> bool {
        self.hints.try_next().is_none() && self.reports.try_recv().is_err()
    }
}

fn signed(body: &str) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("X-Discourse-Event-Signature: sha256={hex}\r\n")
}

#[tokio::test]
async fn a_signed_event_is_a_hint() {
    let mut bench = Bench::start().await;
    let body = r#"{"topic":{"id":42}}"#;
    for _ in 0..3 {
        let answer = bench.ask("POST", "/hooks/news", &signed(body), body.as_bytes()).await;
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
    }
    assert_eq!(bench.hints.try_next(), Some(Hint { source: "news".into(), topic: Some(42) }));
    assert!(bench.quiet(), "three events of one topic are one hint");
    let header = format!("X-Discourse-Event-Signature: {PING_SIGNATURE}\r\n");
    let answer = bench.ask("POST", "/hooks/news", &header, PING.as_bytes()).await;
    assert!(answer.starts_with("http/1.1 200") && bench.quiet(), "{answer}");
    // Signed nonsense is still the forum: look.
    let answer = bench.ask("POST", "/hooks/news", &signed("nonsense"), b"nonsense").await;
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert_eq!(bench.hints.try_next(), Some(Hint { source: "news".into(), topic: None }));
}

#[tokio::test]
async fn when_hints_pile_up_the_forum_is_not_told() {
    let mut bench = Bench::start().await;
    for topic in 0..20 {
        let body = format!(r#"{{"topic":{{"id":{topic}}}}}"#);
        assert!(bench.ask("POST", "/hooks/news", &signed(&body), body.as_bytes()).await.starts_with("http/1.1 200"));
    }
    assert_eq!(std::iter::from_fn(|| bench.hints.try_next()).count(), 8);
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let mut bench = Bench::start().await;
    let right = format!("X-Discourse-Event-Signature: {PING_SIGNATURE}\r\n");
    let body = br#"{"topic":{"id":42}}"#;
    assert!(bench.ask("POST", "/hooks/news", "", body).await.starts_with("http/1.1 403"));
    bench.told("news", Trouble::NoSignature);
    assert!(bench.ask("POST", "/hooks/news", &right, body).await.starts_with("http/1.1 403"));
    bench.told("news", Trouble::WrongSignature);
    let twice = format!("{right}{right}");
    assert!(bench.ask("POST", "/hooks/news", &twice, PING.as_bytes()).await.starts_with("http/1.1 403"));
    assert!(bench.ask("POST", "/hooks/bare", &right, PING.as_bytes()).await.starts_with("http/1.1 202"));
    bench.told("bare", Trouble::NoSecret);
    assert!(bench.ask("POST", "/hooks/empty", &right, PING.as_bytes()).await.starts_with("http/1.1 202"));
    bench.told("empty", Trouble::NoSecret);
    assert!(bench.quiet());
}

#[tokio::test]
async fn no_path_under_hooks_switches_a_hook_off() {
    let mut bench = Bench::start().await;
    for (path, name) in [
        ("/hooks/old-name", "old-name"),
        ("/hooks/news/", "news/"),
        ("/hooks/a/b", "a/b"),
        ("/hooks/", ""),
        ("/hooks/caf%C3%A9%0A", "café?"),
    ] {
        let answer = bench.ask("POST", path, "", b"x").await;
        assert!(answer.starts_with("http/1.1 202"), "{path}: {answer}");
        bench.told(name, Trouble::UnknownSource);
    }
    assert!(bench.ask("POST", "/hooks", "", b"x").await.starts_with("http/1.1 202"));
    assert!(bench.ask("POST", "/hooks/%FF", "", b"x").await.starts_with("http/1.1 202"));
    assert!(bench.hints.try_next().is_none());
}

#[tokio::test]
async fn bodies_are_bounded() {
    let mut bench = Bench::start().await;
    let fits = "x".repeat(MAX_BODY_BYTES);
    assert!(bench.ask("POST", "/hooks/news", &signed(&fits), fits.as_bytes()).await.starts_with("http/1.1 200"));
    assert!(bench.hints.try_next().is_some());
    let long = "x".repeat(MAX_BODY_BYTES + 1);
    let answer = bench.ask("POST", "/hooks/news", &signed(&long), long.as_bytes()).await;
    assert!(!answer.contains(" 200 ok") && bench.quiet(), "{answer}");
}

#[tokio::test]
async fn every_answer_is_careful() {
    let bench = Bench::start().await;
    for (method, path, status) in [("GET", "/", "200"), ("GET", "/x", "404"), ("GET", "/hooks/news", "405")] {
        let answer = bench.ask(method, path, "", b"").await;
        assert!(answer.starts_with(&format!("http/1.1 {status}")), "{answer}");
        for line in
            ["x-content-type-options: nosniff", "content-security-policy: default-src 'none'", "x-frame-options: deny"]
        {
            assert!(answer.contains(line), "{line} in {answer}");
        }
    }
    assert!(bench.ask("GET", "/", "", b"").await.ends_with("is listening.\n"));
}

// What machines ask.

const CONFIG: &str = r#"
[service]
state = "/nowhere"
[[source]]
name = "news"
type = "feed"
url = "https://forum.example/news.xml"
[[account]]
name = "file"
platform = "file"
path = "/nowhere/posts.jsonl"
"#;

/// The routes of a service over a store of its own.
struct Machine {
    _dir: tempfile::TempDir,
    store: crate::store::Store,
    progress: Arc<crate::progress::Progress>,
    health: health::Health,
}

impl Machine {
    fn new(counted: Option<metrics_exporter_prometheus::PrometheusHandle>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::Store::open(&dir.path().join("store")).unwrap();
        let config = crate::config::Config::parse(CONFIG, "oyez.toml", &crate::config::Env::default()).unwrap().config;
        let progress: Arc<crate::progress::Progress> = Arc::default();
        let health = health::Health {
            store: store.clone(),
            config: Arc::new(config),
            progress: Arc::clone(&progress),
            clock: Arc::new(crate::clock::SystemClock::new()),
            counted,
        };
        Self { _dir: dir, store, progress, health }
    }

    async fn ask(&self, path: &str) -> (String, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, _hints) = hint::queue(8);
        let (report, _reports) = mpsc::channel(8);
        let router = router(Hooks::new(Vec::new(), sender, report), self.health.clone());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, router, async { drop(stopped.await) }));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        drop(stop);
        server.await.unwrap().unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    async fn health(&self) -> (String, serde_json::Value) {
        let (status, body) = self.ask("/health").await;
        let start = body.find('{').unwrap();
        (status, serde_json::from_str(&body[start..=body.rfind('}').unwrap()]).unwrap())
    }
}

#[tokio::test]
async fn a_service_that_gets_nothing_done_answers_503_and_one_whose_world_is_ill_answers_200() {
    let machine = Machine::new(None);
    let (status, document) = machine.health().await;
    assert_eq!((status.as_str(), &document["status"]), ("HTTP/1.1 200 OK", &"ok".into()), "{document}");

    // What is wrong is at the other end: a restart would not help.
    let mut source = machine.store.source("news").unwrap();
    source.last_error = Some("it answered 500".into());
    source.failures = 3;
    let change = crate::store::Change { sources: vec![source], ..Default::default() };
    machine.store.commit(change).unwrap();
    let (status, document) = machine.health().await;
    assert_eq!((status.as_str(), &document["status"]), ("HTTP/1.1 200 OK", &"degraded".into()), "{document}");
    assert_eq!(document["reasons"][0], "source news is failing");
    assert_eq!(document["sources"]["news"]["error"], "it answered 500");

    let mut source = machine.store.source("news").unwrap();
    source.last_error = None;
    let origin = crate::item::Origin {
        source: "news".into(),
        contact: "feed:x".into(),
        first_seen: jiff::Timestamp::UNIX_EPOCH,
        found: crate::item::Found { key: "feed:x/1".into(), ..Default::default() },
        gone: None,
    };
    let mut item = crate::item::Item { phase: crate::item::Phase::Held, origins: vec![origin], ..Default::default() };
    let error = "`posts.jsonl` cannot be written: no space left on device";
    let delivery = crate::item::Delivery { attempts: 2, error: Some(error.into()), ..Default::default() };
    item.deliveries = [("file".to_owned(), delivery)].into();
    let change = crate::store::Change { sources: vec![source], items: vec![item], ..Default::default() };
    machine.store.commit(change).unwrap();
    let (status, document) = machine.health().await;
    assert_eq!((status.as_str(), &document["status"]), ("HTTP/1.1 200 OK", &"degraded".into()), "{document}");
    assert_eq!(document["reasons"][0], "account file is failing");
    assert_eq!(document["accounts"]["file"]["error"], error);

    machine.store.set_meta(crate::acts::DISTRUST, &"the clock is 3 h off".into()).unwrap();
    let (status, document) = machine.health().await;
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable", "{document}");
    assert_eq!(document["reasons"][0], "nothing leaves: the clock is 3 h off");

    machine.store.set_meta(crate::acts::DISTRUST, &serde_json::Value::Null).unwrap();
    machine.progress.get_stuck(crate::progress::Half::Deliver);
    let (status, document) = machine.health().await;
    assert_eq!((status.as_str(), &document["status"]), ("HTTP/1.1 503 Service Unavailable", &"failing".into()));
    assert!(document["reasons"][0].as_str().unwrap().contains("makes no progress"), "{document}");
}

/// In one test, since the recorder is the process's.
#[tokio::test]
async fn a_scrape_tells_every_metric_with_its_meaning_and_no_other() {
    let machine = Machine::new(Some(crate::metrics::install().expect("nobody else counts in this process")));
    let told = |body: &str, what: &str| -> std::collections::BTreeSet<String> {
        body.lines()
            .filter_map(|line| line.strip_prefix(what))
            .map(|rest| rest.split(' ').next().unwrap().to_owned())
            .collect()
    };
    let names: std::collections::BTreeSet<String> =
        crate::metrics::NAMES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let (status, body) = machine.ask("/metrics").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    // What has not happened yet has no time, and a histogram without a value tells nothing.
    let missing: Vec<_> = names.difference(&told(&body, "# TYPE ")).cloned().collect();
    let late = [
        "oyez_account_last_sent_timestamp_seconds",
        "oyez_delivery_duration_seconds",
        "oyez_poll_duration_seconds",
        "oyez_source_last_success_timestamp_seconds",
    ];
    assert_eq!(missing, late);

    let now = machine.health.clock.now();
    let mut source = machine.store.source("news").unwrap();
    source.last_success = Some(now);
    let mut account = machine.store.account("file").unwrap();
    account.last_sent = Some(now);
    let change = crate::store::Change { sources: vec![source], accounts: vec![account], ..Default::default() };
    machine.store.commit(change).unwrap();
    crate::metrics::polled("news", true, std::time::Duration::from_millis(20));
    crate::metrics::posted("file", "sent", std::time::Duration::from_millis(20));
    crate::metrics::hooked("heard");
    let (_, body) = machine.ask("/metrics").await;
    assert_eq!(told(&body, "# TYPE "), names, "{body}");
    assert_eq!(told(&body, "# HELP "), names);
    let shown: std::collections::BTreeSet<String> = body
        .lines()
        .filter(|line| !line.starts_with('#') && line.contains(' '))
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .map(|name| {
            ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end).filter(|n| n.ends_with("seconds")))
                .unwrap_or(name)
                .to_owned()
        })
        .collect();
    assert_eq!(shown, names);
}
