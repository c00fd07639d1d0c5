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
