//! The line between the program and the network's server, with scissors, and with answers of its own.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use oyez::clock::Clock;
use oyez::pretend::mastodon::TOKEN;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

use crate::shim::Control;

/// Where the line is cut at one post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Not a byte of it reaches the server.
    Before,
    /// Half of its body does.
    InBody,
    /// All of it does; it is carried out, nobody hears of it.
    AfterBody,
    /// It is carried out; half of the answer's head arrives.
    InAnswer,
}

/// How a server says "too many requests".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `Retry-After: 3`.
    Seconds,
    /// `Retry-After:` and an HTTP date.
    Date,
    /// Mastodon: `X-RateLimit-Reset` in ISO 8601.
    Reset,
    /// One 503, without a word about when.
    Unavailable,
}

type Watch = Box<dyn Fn(&str) + Send>;

#[derive(Default)]
struct Inside {
    /// Posts so far.
    posts: usize,
    cuts: BTreeMap<usize, Cut>,
    limits: BTreeMap<usize, Limit>,
    limited: Option<(Limit, Timestamp)>,
    limited_answers: usize,
    /// The token that is good; the server itself knows one that never changes.
    token: String,
    /// Called with the key of each post, before it goes on.
    watch: Option<Watch>,
}

/// A running line. It ends when dropped.
pub struct Line {
    url: Url,
    inside: Arc<Mutex<Inside>>,
    task: JoinHandle<()>,
}

impl Line {
    pub async fn start(to: std::net::SocketAddr, clock: Arc<Control>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let inside = Arc::new(Mutex::new(Inside { token: "first".into(), ..Inside::default() }));
        let shared = Arc::clone(&inside);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (inside, clock) = (Arc::clone(&shared), Arc::clone(&clock));
                tokio::spawn(async move {
                    // A line that breaks is what lines do.
                    let _ = carry(client, to, &inside, &clock).await;
                });
            }
        });
        Self { url, inside, task }
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Cuts the line at the n-th post from now, counted from 1.
    pub fn cut(&self, n: usize, cut: Cut) {
        let mut inside = self.inside.lock().unwrap();
        let at = inside.posts + n;
        inside.cuts.insert(at, cut);
    }

    /// From the n-th post from now, every post is refused so for three seconds.
    pub fn limit(&self, n: usize, limit: Limit) {
        let mut inside = self.inside.lock().unwrap();
        let at = inside.posts + n;
        inside.limits.insert(at, limit);
    }

    /// How many answers of that kind there were.
    pub fn limited(&self) -> usize {
        self.inside.lock().unwrap().limited_answers
    }

    /// Cuts that have not happened.
    pub fn cuts_left(&self) -> usize {
        self.inside.lock().unwrap().cuts.len()
    }

    pub fn posts(&self) -> usize {
        self.inside.lock().unwrap().posts
    }

    /// Only this token is good from now on.
    pub fn token(&self, token: &str) {
        token.clone_into(&mut self.inside.lock().unwrap().token);
    }

    pub fn watch(&self, watch: impl Fn(&str) + Send + 'static) {
        self.inside.lock().unwrap().watch = Some(Box::new(watch));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One HTTP/1.1 message: its head and its body.
async fn message(stream: &mut TcpStream, rest: &mut Vec<u8>) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut chunk = [0; 16 * 1024];
    loop {
        if let Some(end) = rest.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&rest[..end + 4]).into_owned();
            let length = header(&head, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
            while rest.len() < end + 4 + length {
                let n = stream.read(&mut chunk).await?;
                if n == 0 {
                    return Ok(None);
                }
                rest.extend_from_slice(&chunk[..n]);
            }
            let body = rest[end + 4..end + 4 + length].to_vec();
            rest.drain(..end + 4 + length);
            return Ok(Some((head, body)));
        }
        let n = stream.read(&mut chunk).await?;
        if n == 0 {
            return Ok(None);
        }
        rest.extend_from_slice(&chunk[..n]);
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (n, value) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

async fn carry(
    mut client: TcpStream,
    to: std::net::SocketAddr,
    inside: &Mutex<Inside>,
    clock: &Control,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
    while let Some((mut head, body)) = message(&mut client, &mut from_client).await? {
        let post = head.starts_with("POST /api/v1/statuses ");
        let (cut, limit) = {
            let mut inside = inside.lock().unwrap();
            head = with_token(&head, &inside.token);
            if post {
                inside.posts += 1;
                if let Some(watch) = &inside.watch {
                    watch(header(&head, "idempotency-key").unwrap_or_default());
                }
                let n = inside.posts;
                if let Some(limit) = inside.limits.remove(&n) {
                    inside.limited = Some((limit, clock.now() + std::time::Duration::from_secs(3)));
                }
                let limit = inside.limited.filter(|(_, until)| clock.now() < *until);
                if limit.is_some_and(|(limit, _)| limit == Limit::Unavailable) {
                    inside.limited = None;
                }
                inside.limited_answers += usize::from(limit.is_some());
                let cut = if limit.is_none() { inside.cuts.remove(&n) } else { None };
                (cut, limit)
            } else {
                (None, None)
            }
        };
        if let Some((limit, until)) = limit {
            client.write_all(refusal(limit, until, clock.now()).as_bytes()).await?;
            continue;
        }
        let mut request = head.into_bytes();
        let head_length = request.len();
        request.extend_from_slice(&body);
        match cut {
            Some(Cut::Before) => return Ok(()),
            Some(Cut::InBody) => {
                server.write_all(&request[..head_length + body.len() / 2]).await?;
                return server.shutdown().await;
            }
            Some(Cut::AfterBody | Cut::InAnswer) | None => server.write_all(&request).await?,
        }
        let Some((answer, body)) = message(&mut server, &mut from_server).await? else { return Ok(()) };
        let mut answer = answer.into_bytes();
        answer.extend_from_slice(&body);
        match cut {
            Some(Cut::AfterBody) => return Ok(()),
            Some(Cut::InAnswer) => return client.write_all(&answer[..30]).await,
            Some(Cut::Before | Cut::InBody) | None => client.write_all(&answer).await?,
        }
    }
    Ok(())
}

/// The good token becomes the one the server knows.
fn with_token(head: &str, good: &str) -> String {
    let lines = head.split_inclusive("\r\n").map(|line| match line.split_once(':') {
        Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
            let known = value.trim() == format!("Bearer {good}");
            format!("{name}: Bearer {}\r\n", if known { TOKEN } else { "revoked" })
        }
        _ => line.to_owned(),
    });
    lines.collect()
}

fn refusal(limit: Limit, until: Timestamp, now: Timestamp) -> String {
    let http = |t: Timestamp| DateTimePrinter::new().timestamp_to_rfc9110_string(&t).unwrap();
    // A date has whole seconds: the next one, as a server that means it would say.
    let up = |t: Timestamp| Timestamp::from_second(t.as_second() + 1).unwrap();
    let (status, wait) = match limit {
        Limit::Seconds => ("429 Too Many Requests", "Retry-After: 3\r\n".to_owned()),
        Limit::Date => ("429 Too Many Requests", format!("Retry-After: {}\r\n", http(up(until)))),
        Limit::Reset => (
            "429 Too Many Requests",
            format!("X-RateLimit-Limit: 300\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: {until}\r\n"),
        ),
        Limit::Unavailable => ("503 Service Unavailable", String::new()),
    };
    let body = r#"{"error":"Too many requests"}"#;
    format!(
        "HTTP/1.1 {status}\r\n{wait}Date: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        http(now),
        body.len()
    )
}
