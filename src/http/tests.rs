//! Against listeners on loopback. 127.0.0.1 plays the public internet (it is listed), 127.0.0.2 the private network.
use super::*;

mod shorteners;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a pretend server does with one request.
enum Act {
    /// Sends these bytes and closes.
    Send(Vec<u8>),
    /// Sends these bytes, then nothing, and keeps the line open.
    Stall(Vec<u8>),
    /// Sends these bytes, then one more every now and then, for ever.
    Drip(Vec<u8>),
    /// Sends these bytes, then a gibibyte as fast as it is taken.
    Flood(Vec<u8>),
}

fn say(text: impl Into<String>) -> Act {
    Act::Send(text.into().into_bytes())
}

fn ok(body: &str) -> Act {
    say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

fn to(status: u16, location: &str) -> Act {
    say(format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"))
}

/// A pretend server; it notes the head of each request, and each connection.
struct Server {
    port: u16,
    ip: &'static str,
    contacts: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
    flooded: Arc<AtomicUsize>,
}

impl Server {
    async fn start(ip: &'static str, act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Server { port, ip, contacts: Arc::default(), heads: Arc::default(), flooded: Arc::default() };
        let (contacts, heads, act) = (Arc::clone(&server.contacts), Arc::clone(&server.heads), Arc::new(act));
        let flooded = Arc::clone(&server.flooded);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                contacts.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&heads), Arc::clone(&act), Arc::clone(&flooded)));
            }
        });
        server
    }

    fn url(&self, path: &str) -> Url {
        self.named(self.ip, path)
    }

    fn named(&self, host: &str, path: &str) -> Url {
        format!("http://{host}:{}{path}", self.port).parse().unwrap()
    }

    fn contacts(&self) -> usize {
        self.contacts.load(Ordering::SeqCst)
    }

    /// Bytes of floods that were taken.
    fn flooded(&self) -> usize {
        self.flooded.load(Ordering::SeqCst)
    }

    /// The request heads, lower-case.
    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    heads: Arc<Mutex<Vec<String>>>,
    act: Arc<impl Fn(&str) -> Act>,
    flooded: Arc<AtomicUsize>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    heads.lock().unwrap().push(head);
    match act(&path) {
        // The reader may have had enough of it: that is its right.
        Act::Send(bytes) => drop(stream.write_all(&bytes).await),
        Act::Stall(bytes) => {
            let _ = stream.write_all(&bytes).await;
            std::future::pending::<()>().await;
        }
        Act::Flood(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let block = vec![b'x'; 1 << 16];
            for _ in 0..1 << 14 {
                if stream.write_all(&block).await.is_err() {
                    break;
                }
                flooded.fetch_add(block.len(), Ordering::SeqCst);
            }
        }
        Act::Drip(bytes) => {
            let _ = stream.write_all(&bytes).await;
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(SHORT / 20).await;
            }
        }
    }
}

/// A name service that reads its answers from a script, one per question; the last one stays.
#[derive(Debug)]
struct Script(Mutex<VecDeque<Vec<IpAddr>>>);

impl Script {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(answers.iter().map(parse).collect())))
    }
}

impl Lookup for Script {
    fn lookup(&self, _name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move { Ok(answer.unwrap_or_default()) })
    }
}

fn network(listed: &[&str], timeout: Duration) -> Network {
    Network { allow_private: listed.iter().map(|net| net.parse().unwrap()).collect(), timeout }
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

fn http() -> Http {
    Http::new(&network(&["127.0.0.1/32"], LONG), Some("team@example.org")).unwrap()
}

fn now() -> Timestamp {
    "2026-11-06T12:00:00Z".parse().unwrap()
}

/// What [`gzip_of_zeros`] unpacks to, in bytes: more than the default bound.
const ZEROS: u32 = 1 + 258 * 25_000;

/// A bomb: one block in the fixed code that says "a zero, and then 258 more of it" over and over.
fn gzip_of_zeros() -> Vec<u8> {
    let mut bits: Vec<bool> = vec![true, true, false];
    let mut push = |code: u32, count: u32| (0..count).rev().for_each(|i| bits.push(code >> i & 1 == 1));
    push(0b0011_0000, 8);
    for _ in 0..25_000 {
        push(0b1100_0101, 8);
        push(0, 5);
    }
    push(0, 7);
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for chunk in bits.chunks(8) {
        bytes.push(chunk.iter().enumerate().fold(0, |byte, (i, &bit)| byte | u8::from(bit) << i));
    }
    let crc = (0..ZEROS * 8).fold(!0u32, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 });
    bytes.extend_from_slice(&(!crc).to_le_bytes());
    bytes.extend_from_slice(&ZEROS.to_le_bytes());
    bytes
}

fn with_body(head: &str, body: &[u8]) -> Act {
    let mut bytes = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    Act::Send(bytes)
}

// The polite client.

#[tokio::test]
async fn an_honest_request_and_a_whole_answer() {
    let server = Server::start("127.0.0.1", |_| {
        say("HTTP/1.1 200 OK\r\nETag: W/\"1\"\r\nLast-Modified: then\r\nDate: Fri, 06 Nov 2026 11:00:00 GMT\r\n\
             Cache-Control: max-age=900\r\nContent-Type: text/xml\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nhi")
    })
    .await;
    let http = http();
    let get = Get {
        accept: Some("application/json"),
        validators: Validators { etag: Some("W/\"0\"".into()), last_modified: Some("before".into()) },
        headers: vec![("Api-Key".into(), "k".into())],
        max_bytes: 0,
    };
    let answer = http.get(&server.url("/"), get, now()).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"hi"[..]));
    assert_eq!(answer.content_type.as_deref(), Some("text/xml"));
    assert_eq!(answer.validators, Validators { etag: Some("W/\"1\"".into()), last_modified: Some("then".into()) });
    assert_eq!(answer.date, Some("2026-11-06T11:00:00Z".parse().unwrap()));
    assert_eq!(answer.fresh_for, Some(Duration::from_secs(900)));
    assert_eq!((answer.retry_after, answer.moved_to), (None, None));
    http.get(&server.url("/"), Get::default(), now()).await.unwrap();
    let heads = server.heads();
    let agent = format!("user-agent: oyez/{} (+team@example.org)", env!("CARGO_PKG_VERSION"));
    for line in [agent.as_str(), "if-none-match: w/\"0\"", "if-modified-since: before", "api-key: k"] {
        assert!(heads[0].contains(line), "{line} in {}", heads[0]);
    }
    assert!(heads[0].contains("accept-encoding: gzip,br"), "{}", heads[0]);
    for name in ["cookie:", "referer:", "if-none-match:", "api-key:"] {
        assert!(!heads[1].contains(name), "{name} in {}", heads[1]);
    }
}

#[tokio::test]
async fn statuses_are_answers() {
    let server = Server::start("127.0.0.1", |path| match path {
        "/429" => say("HTTP/1.1 429 No\r\nRetry-After: 37\r\nContent-Length: 4\r\n\r\nslow"),
        "/304" => say("HTTP/1.1 304 Same\r\nETag: \"2\"\r\n\r\n"),
        "/302" => say("HTTP/1.1 302 Nowhere\r\nContent-Length: 0\r\n\r\n"),
        _ => say("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"),
    })
    .await;
    let http = http();
    let get = async |path: &str| http.get(&server.url(path), Get::default(), now()).await.unwrap();
    assert_eq!(get("/429").await.retry_after, Some(Duration::from_secs(37)));
    assert_eq!(get("/304").await.validators.etag.as_deref(), Some("\"2\""));
    assert_eq!((get("/302").await.status, get("/410").await.status), (302, 410));
}

#[tokio::test]
async fn only_permanent_redirects_are_a_move() {
    let server = Server::start("127.0.0.1", |path| match path {
        "/301" => to(301, "/308"),
        "/308" => to(308, "/end"),
        "/mixed" => to(302, "/308"),
        "/dead" => to(301, "/404"),
        "/404" => say("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
        _ => ok("x"),
    })
    .await;
    let http = http();
    let get = async |path: &str| http.get(&server.url(path), Get::default(), now()).await.unwrap();
    assert_eq!(get("/301").await.moved_to, Some(server.url("/end")));
    let mixed = get("/mixed").await;
    assert_eq!((mixed.moved_to, mixed.url), (None, server.url("/end")));
    assert_eq!(get("/end").await.moved_to, None);
    assert_eq!(get("/dead").await.moved_to, None, "nobody moves to a 404");
}

#[tokio::test]
async fn secrets_stay_at_their_origin() {
    let other = Server::start("127.0.0.1", |_| ok("x")).await;
    let there = other.url("/").to_string();
    let server = Server::start("127.0.0.1", move |path| match path {
        "/same" => to(302, "/away"),
        _ => to(302, &there),
    })
    .await;
    let get = Get { headers: vec![("Api-Key".into(), "k".into())], ..Get::default() };
    http().get(&server.url("/same"), get, now()).await.unwrap();
    assert!(server.heads().iter().all(|head| head.contains("api-key: k")), "same origin");
    assert_eq!((other.contacts(), other.heads()[0].contains("api-key")), (1, false));
}

#[tokio::test]
async fn a_public_host_cannot_lead_a_poll_into_private_space() {
    let private = Server::start("127.0.0.2", |_| ok("secret")).await;
    let (number, name) = (private.url("/").to_string(), private.named("inside.example.org", "/").to_string());
    let server = Server::start("127.0.0.1", move |path| to(302, if path == "/number" { &number } else { &name })).await;
    let network = network(&["127.0.0.1/32"], LONG);
    let http = Http::with_lookup(&network, None, Script::new(&[&["127.0.0.2"]])).unwrap();
    for path in ["/number", "/name"] {
        http.get(&server.url(path), Get::default(), now()).await.unwrap_err();
    }
    assert_eq!((server.contacts(), private.contacts()), (2, 0));
    // A host of our own network may lead to another one of it.
    let http = Http::new(&self::network(&[], LONG), None).unwrap();
    assert_eq!(http.get(&server.url("/number"), Get::default(), now()).await.unwrap().body, b"secret");
}

#[tokio::test]
async fn hops_are_counted_and_circles_seen() {
    let server = Server::start("127.0.0.1", |path| match path {
        "/circle" => to(302, "/circle#other"),
        "/two" => to(302, "/owt"),
        "/owt" => to(302, "/two"),
        path => match path.trim_start_matches('/').parse::<u32>() {
            Ok(0) | Err(_) => ok("x"),
            Ok(n) => to(302, &format!("/{}", n - 1)),
        },
    })
    .await;
    let http = http();
    let get = async |path: &str| http.get(&server.url(path), Get::default(), now()).await;
    let guarded = async |path: &str| http.get_guarded(&server.url(path), 100).await;
    assert_eq!(get("/5").await.unwrap().status, 200);
    assert!(matches!(get("/6").await, Err(HttpError::Bound(_))));
    assert!(matches!(get("/circle").await, Err(HttpError::Bound(_))));
    assert!(matches!(get("/two").await, Err(HttpError::Bound(_))));
    let before = server.contacts();
    assert_eq!(guarded("/5").await.unwrap().url, server.url("/0"));
    guarded("/20").await.unwrap_err();
    assert_eq!(server.contacts() - before, 12, "six requests each");
    guarded("/circle").await.unwrap_err();
    guarded("/two").await.unwrap_err();
}

#[tokio::test]
async fn bodies_are_bounded_after_decompression() {
    let bomb = gzip_of_zeros();
    let sent = bomb.len();
    let server = Server::start("127.0.0.1", move |path| match path {
        "/bomb" => with_body("Content-Encoding: gzip\r\n", &bomb),
        "/length" => Act::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec()),
        "/endless" => with_body("", &vec![b'x'; 1_000_000]),
        _ => with_body("", &[b'x'; 1_000]),
    })
    .await;
    let http = http();
    let get = async |path: &str, max_bytes| {
        http.get(&server.url(path), Get { max_bytes, ..Get::default() }, now()).await.map(|a| a.body.len())
    };
    assert!(sent < 50_000);
    assert!(matches!(get("/bomb", 0).await, Err(HttpError::Bound(_))));
    assert_eq!(get("/bomb", 30_000_000).await.unwrap(), ZEROS as usize, "it is a real bomb");
    assert!(matches!(get("/length", 0).await, Err(HttpError::Bound(_))));
    assert!(matches!(get("/endless", 999_999).await, Err(HttpError::Bound(_))));
    assert_eq!(get("/small", 1_000).await.unwrap(), 1_000);
    assert!(matches!(get("/small", 999).await, Err(HttpError::Bound(_))));
    http.get_guarded(&server.url("/bomb"), 30_000_000).await.unwrap_err();
    http.get_guarded(&server.url("/endless"), 999_999).await.unwrap_err();
    http.get_guarded(&server.url("/length"), 999_999).await.unwrap_err();
    assert_eq!(http.get_guarded(&server.url("/small"), 1_000).await.unwrap().body.len(), 1_000);
}

#[tokio::test]
async fn what_was_not_sent_is_known_exactly() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody: Url = format!("http://{}/", closed.local_addr().unwrap()).parse().unwrap();
    drop(closed);
    let server = Server::start("127.0.0.1", |path| match path {
        "/stall" => Act::Stall(Vec::new()),
        "/cut" => say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
        "/head" => say("HTTP/1.1 20"),
        _ => Act::Send(Vec::new()),
    })
    .await;
    let http = Http::new(&network(&[], Duration::from_secs(1)), None).unwrap();
    let post = async |url: Url| HttpError::from(http.api().post(url).body("x").send().await.unwrap_err());
    assert!(matches!(post(nobody.clone()).await, HttpError::NotSent(_)));
    let tls: Url = nobody.as_str().replace("http:", "https:").parse::<Url>().unwrap().join("/?secret").unwrap();
    assert!(matches!(post(tls).await, HttpError::NotSent(why) if !why.contains("secret")));
    for path in ["/stall?secret", "/head", "/close"] {
        let error = post(server.url(path)).await;
        assert!(matches!(&error, HttpError::NoAnswer(why) if !why.contains("secret")), "{path}: {error:?}");
    }
    assert_eq!(server.contacts(), 3, "nothing was repeated");
    let get = async |url: Url| http.get(&url, Get::default(), now()).await.unwrap_err();
    assert!(matches!(get(nobody).await, HttpError::NotSent(_)));
    assert!(matches!(get(server.url("/cut")).await, HttpError::NoAnswer(_)));
    assert!(matches!(get(server.url("/stall")).await, HttpError::NoAnswer(_)));
}

#[tokio::test]
async fn writing_follows_no_redirect() {
    let other = Server::start("127.0.0.1", |_| ok("x")).await;
    let there = other.url("/").to_string();
    let server = Server::start("127.0.0.1", move |_| to(307, &there)).await;
    let answer = http().api().post(server.url("/")).body("x").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), other.contacts()), (307, 0));
}

#[tokio::test]
async fn each_write_has_its_own_connection() {
    let server =
        Server::start("127.0.0.1", |_| Act::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec())).await;
    let http = http();
    for contacts in 1..3 {
        let answer = http.api().post(server.url("/")).body("x").send().await.unwrap();
        assert_eq!((answer.status().as_u16(), server.contacts()), (200, contacts));
        answer.bytes().await.unwrap();
    }
}

#[tokio::test]
async fn one_request_per_host_at_a_time() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let (r, m) = (Arc::clone(&running), Arc::clone(&most));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (running, most) = (Arc::clone(&r), Arc::clone(&m));
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // Gives the others every chance to come too early.
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").await;
                }
            });
        }
    });
    let http = http();
    let all = futures_util::future::join_all((0..20).map(|_| http.get(&url, Get::default(), now()))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[test]
fn a_contact_must_fit_a_header() {
    let network = network(&[], LONG);
    assert!(Http::new(&network, Some("a\nb")).is_err());
    assert!(Http::new(&network, None).is_ok());
}

// The guarded client.

#[tokio::test]
async fn a_guarded_request_says_and_accepts_little() {
    let server = Server::start("127.0.0.1", |path| match path {
        "/gzip" => with_body("Content-Encoding: gzip\r\n", b"x"),
        "/404" => say("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
        "/nowhere" => say("HTTP/1.1 302 No\r\nContent-Length: 0\r\n\r\n"),
        _ => with_body("Content-Type: image/png\r\nSet-Cookie: a=b\r\n", b"x"),
    })
    .await;
    let http = http();
    let got = http.get_guarded(&server.url("/"), 10).await.unwrap();
    assert_eq!(
        (got.body.as_slice(), got.content_type.as_deref(), got.url),
        (&b"x"[..], Some("image/png"), server.url("/"))
    );
    http.get_guarded(&server.url("/"), 10).await.unwrap();
    assert_eq!(server.contacts(), 2, "no connection is used twice");
    for name in ["accept-encoding:", "cookie:", "referer:", "authorization:"] {
        assert!(server.heads().iter().all(|head| !head.contains(name)), "{name}");
    }
    for path in ["/gzip", "/404", "/nowhere"] {
        http.get_guarded(&server.url(path), 10).await.unwrap_err();
    }
}

#[tokio::test]
async fn nothing_private_is_ever_contacted() {
    let private = Server::start("127.0.0.2", |_| ok("secret")).await;
    let http = Http::with_lookup(&network(&["127.0.0.1/32"], LONG), None, Script::new(&[&["127.0.0.2"]])).unwrap();
    let strict = Http::with_lookup(&network(&[], LONG), None, Script::new(&[&["127.0.0.2"]])).unwrap();
    for http in [&http, &strict] {
        for url in [
            private.url("/"),
            private.named("[::ffff:127.0.0.2]", "/"),
            private.named("[::127.0.0.2]", "/"),
            private.named("2130706434", "/"),
            private.named("0x7f.2", "/"),
            private.named("inside.example.org", "/"),
            private.named("localhost", "/"),
            "http://inside.nixos.org/".parse().unwrap(),
        ] {
            http.get_guarded(&url, 100).await.unwrap_err();
        }
    }
    assert_eq!(private.contacts(), 0);
}

#[tokio::test]
async fn a_redirect_cannot_lead_into_private_space() {
    let private = Server::start("127.0.0.2", |_| ok("secret")).await;
    let port = private.port;
    let server = Server::start("127.0.0.1", move |path| {
        let host = path.trim_start_matches('/');
        match host {
            "file" => to(302, "file:///etc/passwd"),
            "javascript" => to(302, "javascript:alert(1)"),
            "data" => to(302, "data:text/plain,x"),
            "user" => to(302, &format!("http://u:p@127.0.0.1:{port}/")),
            "relative" => to(302, &format!("//127.0.0.2:{port}/")),
            "again" => to(302, "/127.0.0.2"),
            host => to(302, &format!("http://{host}:{port}/")),
        }
    })
    .await;
    let http = Http::with_lookup(&network(&["127.0.0.1/32"], LONG), None, Script::new(&[&["127.0.0.2"]])).unwrap();
    let paths = [
        "127.0.0.2",
        "[::1]",
        "2130706434",
        "0x7f.2",
        "a.example.org",
        "file",
        "javascript",
        "data",
        "user",
        "relative",
        "again",
    ];
    for path in paths {
        http.get_guarded(&server.url(&format!("/{path}")), 100).await.unwrap_err();
    }
    assert_eq!((server.contacts(), private.contacts()), (paths.len() + 1, 0));
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let private = Server::start("127.0.0.2", |_| ok("secret")).await;
    let port = private.port;
    let server = Server::start("127.0.0.1", move |path| match path {
        "/first" => to(302, "/second"),
        "/other-port" => to(302, &format!("http://rebind.example.org:{port}/")),
        _ => ok("x"),
    })
    .await;
    for path in ["/first", "/other-port"] {
        let script = Script::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
        let http = Http::with_lookup(&network(&["127.0.0.1/32"], LONG), None, script).unwrap();
        let error = http.get_guarded(&server.named("rebind.example.org", path), 100).await.unwrap_err();
        assert!(error.contains("127.0.0.2 is not a public address"), "{error}");
    }
    // Answers that mix both are refused whole, whichever comes first.
    for mixed in [&["127.0.0.1", "127.0.0.2"][..], &["127.0.0.2", "127.0.0.1"], &["1.1.1.1", "127.0.0.1"], &[]] {
        let http = Http::with_lookup(&network(&["127.0.0.1/32"], LONG), None, Script::new(&[mixed])).unwrap();
        http.get_guarded(&server.named("mixed.example.org", "/"), 100).await.unwrap_err();
    }
    assert_eq!((server.contacts(), private.contacts()), (2, 0));
    // And the script does lead somewhere when all is well.
    let script = Script::new(&[&["127.0.0.1"]]);
    let http = Http::with_lookup(&network(&["127.0.0.1/32"], LONG), None, script).unwrap();
    assert_eq!(http.get_guarded(&server.named("fine.example.org", "/"), 100).await.unwrap().body, b"x");
}

#[tokio::test]
async fn a_slow_server_costs_bounded_time() {
    let server = Server::start("127.0.0.1", |path| match path {
        "/head" => Act::Stall(b"HTTP/1.1 200 O".to_vec()),
        "/body" => Act::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx".to_vec()),
        "/drip-head" => Act::Drip(b"HTTP/1.1 200 OK\r\nX: ".to_vec()),
        "/drip-body" => Act::Drip(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        _ => Act::Stall(Vec::new()),
    })
    .await;
    let http = Http::new(&network(&["127.0.0.1/32"], SHORT), None).unwrap();
    let started = Instant::now();
    for path in ["/head", "/body", "/nothing", "/drip-head", "/drip-body"] {
        http.get_guarded(&server.url(path), 100).await.unwrap_err();
        http.get(&server.url(path), Get::default(), now()).await.unwrap_err();
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_huge_head_is_an_error() {
    let server = Server::start("127.0.0.1", |_| {
        say(format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(2_000_000)))
    })
    .await;
    http().get_guarded(&server.url("/"), 100).await.unwrap_err();
    http().get(&server.url("/"), Get::default(), now()).await.unwrap_err();
}

/// The environment of a running process cannot be changed safely, so the test runs itself in a second one.
#[test]
fn no_proxy_of_the_environment_is_believed() {
    const CHILD: &str = "OYEZ_TEST_OF_PROXIES";
    let name = "http::tests::no_proxy_of_the_environment_is_believed";
    if let Ok(url) = std::env::var(CHILD) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let url: Url = url.parse().unwrap();
            let http = http();
            assert_eq!(http.get(&url, Get::default(), now()).await.unwrap().body, b"direct");
            assert_eq!(http.get_guarded(&url, 100).await.unwrap().body, b"direct");
            assert_eq!(http.api().get(url).send().await.unwrap().text().await.unwrap(), "direct");
        });
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (server, proxy) = runtime.block_on(async {
        (
            Server::start("127.0.0.1", |_| ok("direct")).await,
            Server::start("127.0.0.1", |_| ok("through a proxy")).await,
        )
    });
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name]).env(CHILD, server.url("/").as_str()).env_remove("NO_PROXY").env_remove("no_proxy");
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(variable, proxy.url("/").as_str());
    }
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((server.contacts(), proxy.contacts()), (3, 0));
}
