//! The polite client for configured hosts and the guarded one for every address a poster can choose.
//!
//! Both follow redirects themselves, hop by hop, because the library's own loop asks nobody. No client believes
//! `HTTP_PROXY` and its like: a proxy would look the names up itself, past the guard, and would see what is sent to
//! configured servers.
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Response};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Url;

use crate::config::Network;
use crate::guard::resolve::{Lookup, Resolver, SystemLookup};
use crate::guard::{Guard, Reach};

#[cfg(not(fuzzing))]
mod headers;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod headers;
mod short;
#[cfg(test)]
mod tests;
mod trust;
mod turn;

/// Bytes of a body where [`Get::max_bytes`] does not say.
pub const DEFAULT_MAX_BYTES: usize = 5 * 1024 * 1024;

/// Redirects that are followed.
const MAX_HOPS: usize = 5;

/// For making a connection to a configured host.
const CONNECT: Duration = Duration::from_secs(10);

/// For making a connection to an address that a poster chose.
const GUARDED_CONNECT: Duration = Duration::from_secs(3);

/// For everything that an address chosen by a poster may cost, all hops together (links.md 4.2).
const GUARDED_TOTAL: Duration = Duration::from_secs(10);

/// Requests to addresses chosen by posters at one time.
const GUARDED_AT_ONCE: usize = 4;

/// An error text of the library is cut there, in characters.
const MAX_ERROR_CHARS: usize = 300;

/// `ETag` and `Last-Modified` exactly as received, quotes and `W/` included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// Sent back as `If-None-Match`.
    pub etag: Option<String>,
    /// Sent back as `If-Modified-Since`.
    pub last_modified: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Get {
    /// `Accept`, if it matters.
    pub accept: Option<&'static str>,
    /// From the last 200.
    pub validators: Validators,
    /// More headers (an API key). Never sent to another origin after a redirect.
    pub headers: Vec<(String, secrecy::SecretString)>,
    /// Bytes of the body after decompression; beyond it: an error. 0: the default of 5 MiB.
    pub max_bytes: usize,
}

/// An answer of a configured host, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status after temporary and permanent redirects were followed.
    pub status: u16,
    /// The body, bounded.
    pub body: Vec<u8>,
    /// `Content-Type` as sent.
    pub content_type: Option<String>,
    /// As received, for the next request.
    pub validators: Validators,
    /// `Date`.
    pub date: Option<Timestamp>,
    /// From `Cache-Control: max-age` or `Expires - Date`, at most a day. `no-store` and `max-age=0` are `None`.
    pub fresh_for: Option<Duration>,
    /// `Retry-After` in seconds or as a date, or a Mastodon-like ISO `X-RateLimit-Reset`, at most a day, never negative.
    pub retry_after: Option<Duration>,
    /// Where the answer came from.
    pub url: Url,
    /// Every hop was a permanent redirect (301, 308), to here.
    pub moved_to: Option<Url>,
}

/// Why there is no answer at all.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection was made: nothing was sent.
    #[error("{0}")]
    NotSent(String),
    /// It was sent, or may have been; no (whole) answer came.
    #[error("{0}")]
    NoAnswer(String),
    /// The answer broke a bound (size, redirects).
    #[error("{0}")]
    Bound(String),
}

impl From<reqwest::Error> for HttpError {
    /// Exact on one side: `NotSent` only where the connection was not made (or the request could not even be built), so
    /// that a delivery may be tried again. Everything in doubt is `NoAnswer`. The address is not in the text: it may
    /// carry a token.
    fn from(error: reqwest::Error) -> Self {
        let not_sent = error.is_connect() || error.is_builder();
        let text = why(&error.without_url());
        if not_sent { HttpError::NotSent(text) } else { HttpError::NoAnswer(text) }
    }
}

/// What went wrong, in words for people: the causes from the outside to the inside, without those that only say that a
/// request was made. Bounded. reqwest's errors name the address, which may carry a token: `without_url` comes first.
pub(crate) fn why(error: &(dyn std::error::Error + 'static)) -> String {
    const SAY_NOTHING: [&str; 3] = ["error sending request", "client error (", "tcp connect error"];
    let mut told: Vec<String> = Vec::new();
    for cause in std::iter::successors(Some(error), |error| error.source()) {
        let cause = cause.to_string();
        if !SAY_NOTHING.iter().any(|nothing| cause.starts_with(nothing))
            && !told.iter().any(|said| said.contains(&cause))
        {
            told.push(cause);
        }
    }
    if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect) {
        told.insert(0, "no connection".to_owned());
    }
    if told.is_empty() {
        told.push(error.to_string());
    }
    told.join(": ").chars().take(MAX_ERROR_CHARS).collect()
}

/// All clients. Cheap to clone; clones share the turns ("one request per host at a time").
#[derive(Debug, Clone)]
pub struct Http {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// To what the configuration names.
    trusted: Client,
    /// To where something on a public address redirects: not into private space.
    wary: Client,
    /// For writing to configured servers.
    api: Client,
    /// To public addresses that posters chose.
    guarded: Client,
    /// To `allow-private` alone, on any port. `None`: nothing is listed.
    listed: Option<Client>,
    guard: Guard,
    turns: turn::Turns,
    slots: Semaphore,
    timeout: Duration,
    /// How far each configured host's clock was from ours at its last answer, in seconds (theirs less ours).
    skews: std::sync::Mutex<std::collections::HashMap<String, i64>>,
}

impl Http {
    /// Builds the clients. `contact` goes into the User-Agent.
    ///
    /// # Errors
    /// When `contact` cannot stand in a header, or TLS cannot be set up.
    pub fn new(network: &Network, contact: Option<&str>) -> anyhow::Result<Http> {
        Self::with_lookup(network, contact, Arc::new(SystemLookup))
    }

    /// [`Http::new`] with another name service for the guarded clients.
    fn with_lookup(network: &Network, contact: Option<&str>, lookup: Arc<dyn Lookup>) -> anyhow::Result<Http> {
        // First: it works while the rest is made.
        let trust = trust::config().context("TLS cannot be set up")?;
        let agent = user_agent(contact)?;
        let guard = Guard::new(&network.allow_private);
        let resolver = |reach| Resolver::new(guard.clone(), reach, Arc::clone(&lookup));
        // Shorter than the whole, so that a host out of reach is known not to have been spoken to.
        let connect = CONNECT.min(network.timeout / 2);
        let tls = |protocols: &[&[u8]]| {
            let mut tls = trust.clone();
            tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            tls
        };
        let base = || {
            Client::builder()
                .tls_backend_preconfigured(tls(&[b"h2", b"http/1.1"]))
                .user_agent(agent.clone())
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .no_proxy()
                .connect_timeout(connect)
                .timeout(network.timeout)
        };
        let guarded = |reach| {
            base()
                .dns_resolver(resolver(reach))
                .connect_timeout(GUARDED_CONNECT.min(connect))
                // A connection is never used again: its address was judged for another request.
                .pool_max_idle_per_host(0)
                .http1_only()
                .tls_backend_preconfigured(tls(&[b"http/1.1"]))
                .no_gzip()
                .no_brotli()
        };
        let listed = match network.allow_private.is_empty() {
            true => None,
            false => Some(build(|| guarded(Reach::Listed))?),
        };
        let inner = Inner {
            trusted: build(base)?,
            wary: build(|| base().dns_resolver(resolver(Reach::Public)))?,
            // A write is never repeated behind our back, and never sent down a connection that the server may be
            // closing at that moment: both would make it unclear whether a post is out.
            api: build(|| base().retry(reqwest::retry::never()).pool_max_idle_per_host(0))?,
            guarded: build(|| guarded(Reach::Public))?,
            listed,
            guard: guard.clone(),
            turns: turn::Turns::default(),
            slots: Semaphore::new(GUARDED_AT_ONCE),
            timeout: network.timeout,
            skews: std::sync::Mutex::default(),
        };
        Ok(Http { inner: Arc::new(inner) })
    }

    /// How far the clocks of the configured hosts were from ours at their last answers, in seconds (theirs less ours).
    pub fn skews(&self) -> Vec<i64> {
        self.inner.skews.lock().expect("no holder of this lock can panic").values().copied().collect()
    }

    /// Our clock was set: it moved by `by`, and theirs did not.
    pub fn clock_moved(&self, by: jiff::SignedDuration) {
        for skew in self.inner.skews.lock().expect("no holder of this lock can panic").values_mut() {
            *skew = skew.saturating_sub(by.as_secs());
        }
    }

    /// GET from a configured host. One request per host at a time: waiting for one's turn does not count as time.
    ///
    /// Redirects are followed up to five hops, never from https to http. What leads to another origin gets none of
    /// [`Get::headers`], and if the configured host has a public address, it cannot lead into private space. A redirect
    /// that names no place is an answer like any other. `now` stands in for a missing `Date`.
    ///
    /// # Errors
    /// See [`HttpError`]; a status is never an error.
    pub async fn get(&self, url: &Url, get: Get, now: Timestamp) -> Result<Answer, HttpError> {
        let inner = &*self.inner;
        let asked = Instant::now();
        let max_bytes = if get.max_bytes == 0 { DEFAULT_MAX_BYTES } else { get.max_bytes };
        let mut request_headers = secret_headers(&get.headers)?;
        let mut way = Way::new(url.clone(), inner.timeout);
        let mut client = &inner.trusted;
        let mut all_permanent = true;
        loop {
            let _turn = inner.turns.take(way.host()).await;
            let started = Instant::now();
            let mut request = client.get(way.here.clone()).timeout(way.left).headers(request_headers.clone());
            if let Some(accept) = get.accept {
                request = request.header(header::ACCEPT, accept);
            }
            request = request.headers(conditional(&get.validators));
            let mut response = request.send().await.map_err(|error| way.error(error))?;
            let status = response.status().as_u16();
            if let Some(next) = redirect(&response, &way.here)? {
                all_permanent &= matches!(status, 301 | 308);
                if next.origin() != way.here.origin() {
                    request_headers.clear();
                    // A host inside our own network may lead where it likes: it could ask there itself.
                    let outside = response.remote_addr().is_none_or(|a| inner.guard.allows(a.ip(), Reach::Public));
                    if outside {
                        client = &inner.wary;
                    }
                }
                if std::ptr::eq(client, &inner.wary) {
                    refuse_private_number(&inner.guard, &next)?;
                }
                way.on(next, started)?;
                continue;
            }
            let moved_to = (way.hops > 0 && all_permanent && (status < 300 || status == 304)).then(|| way.here.clone());
            let head = response.headers().clone();
            // What a cache on the way has kept for a while was dated when it was made.
            let age = head.get(header::AGE).and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse::<u32>().ok());
            let date = headers::date(&head, header::DATE)
                .and_then(|date| date.checked_add(Duration::from_secs(age.unwrap_or(0).into())).ok());
            if let Some(theirs) = date {
                let waited = i64::try_from(asked.elapsed().as_secs()).unwrap_or(i64::MAX);
                let skew = theirs.as_second().saturating_sub(now.as_second().saturating_add(waited));
                let host = way.host().to_owned();
                inner.skews.lock().expect("no holder of this lock can panic").insert(host, skew);
            }
            let body = body(&mut response, max_bytes).await?;
            return Ok(Answer {
                status,
                body,
                content_type: headers::content_type(&head),
                validators: headers::validators(&head),
                date,
                fresh_for: headers::fresh_for(&head, now),
                retry_after: headers::retry_after(&head, status, now),
                url: way.here,
                moved_to,
            });
        }
    }

    /// GET from an address that a poster chose (links.md 4): public addresses only, 80 and 443, every hop checked.
    ///
    /// At most five hops and ten seconds together (less where the configured timeout is shorter), `max_bytes` of body
    /// counted as it comes, nothing unpacked, four at once and one per host. A hop from https back to http is refused.
    ///
    /// # Errors
    /// A sentence for the team: what was refused, or what the server did. Any status but 2xx is an error.
    pub async fn get_guarded(&self, url: &Url, max_bytes: usize) -> Result<Guarded, String> {
        self.guarded(url, max_bytes).await.map_err(|error| error.to_string())
    }

    async fn guarded(&self, url: &Url, max_bytes: usize) -> Result<Guarded, HttpError> {
        let inner = &*self.inner;
        let mut way = Way::new(url.clone(), GUARDED_TOTAL.min(inner.timeout));
        loop {
            let reach = inner.guard.gate(&way.here).map_err(|refused| HttpError::NotSent(refused.to_string()))?;
            let client = match (reach, &inner.listed) {
                (Reach::Listed, Some(listed)) => listed,
                // Without a list the gate lets nothing else pass.
                (Reach::Public | Reach::Listed, _) => &inner.guarded,
            };
            // First the turn, then the slot: one slow host must not hold all slots with what waits for it.
            let _turn = inner.turns.take(way.host()).await;
            let _slot = inner.slots.acquire().await.expect("the semaphore is never closed");
            let started = Instant::now();
            let mut response = client.get(way.here.clone()).timeout(way.left).send().await?;
            // Belt and braces: what was really dialled.
            match response.remote_addr() {
                Some(peer) if inner.guard.allows(peer.ip(), reach) => {}
                Some(peer) => return Err(HttpError::Bound(format!("{} is not a public address", peer.ip()))),
                None => return Err(HttpError::Bound("the server's address is not known".into())),
            }
            if let Some(next) = redirect(&response, &way.here)? {
                way.on(next, started)?;
                continue;
            }
            let status = response.status();
            if !status.is_success() {
                return Err(HttpError::NoAnswer(format!("it answered {}", status.as_u16())));
            }
            // We did not ask for it, and unpacking is where bombs go off.
            if response.headers().get(header::CONTENT_ENCODING).is_some_and(|e| e != "identity") {
                return Err(HttpError::Bound("it answered compressed, unasked".into()));
            }
            let content_type = headers::content_type(response.headers());
            let body = body(&mut response, max_bytes).await?;
            return Ok(Guarded { body, content_type, url: way.here });
        }
    }

    /// The client for writing to configured servers: no redirects are followed, no cookies, nothing is repeated, each
    /// request has its own connection. [`HttpError::from`] tells what its errors mean.
    pub fn api(&self) -> &Client {
        &self.inner.api
    }
}

/// A chain of redirects: where it stands, where it has been, how much time is left.
struct Way {
    here: Url,
    been: Vec<Url>,
    hops: usize,
    left: Duration,
}

impl Way {
    fn new(here: Url, left: Duration) -> Self {
        Self { here, been: Vec::new(), hops: 0, left }
    }

    /// For the turn. Without the port: politeness is owed to the machine.
    fn host(&self) -> &str {
        self.here.host_str().unwrap_or_default()
    }

    /// What an error means here: after the first hop, something was sent.
    fn error(&self, error: reqwest::Error) -> HttpError {
        match HttpError::from(error) {
            HttpError::NotSent(why) if self.hops > 0 => HttpError::NoAnswer(why),
            error @ (HttpError::NotSent(_) | HttpError::NoAnswer(_) | HttpError::Bound(_)) => error,
        }
    }

    /// Goes on to `next`; the hop that ends here took since `started`.
    fn on(&mut self, next: Url, started: Instant) -> Result<(), HttpError> {
        self.left = self.left.saturating_sub(started.elapsed());
        if self.left.is_zero() {
            return Err(HttpError::NoAnswer("it redirected until the time was over".into()));
        }
        self.been.push(std::mem::replace(&mut self.here, next));
        let same = |url: &Url| url[..url::Position::AfterQuery] == self.here[..url::Position::AfterQuery];
        if self.been.iter().any(same) {
            return Err(HttpError::Bound("it redirects in a circle".into()));
        }
        self.hops += 1;
        if self.hops > MAX_HOPS {
            return Err(HttpError::Bound(format!("it redirects more than {MAX_HOPS} times")));
        }
        Ok(())
    }
}

/// Builds a client. Where the system has no certificates at all (a sandbox, the demo), it trusts none: http still
/// works, and https says that the certificate is not known instead of nothing working.
fn build(builder: impl Fn() -> ClientBuilder) -> anyhow::Result<Client> {
    builder().build().or_else(|error| {
        tracing::warn!(error = why(&error), "the system's certificates cannot be read: https will not work");
        builder().tls_certs_only([]).build().context("cannot set up the HTTP client")
    })
}

fn user_agent(contact: Option<&str>) -> anyhow::Result<HeaderValue> {
    let about = match contact {
        Some(contact) => format!("+{contact}"),
        None => "self-hosted announcement bridge".to_owned(),
    };
    HeaderValue::from_str(&format!("Oyez/{} ({about})", env!("CARGO_PKG_VERSION")))
        .context("`contact` has characters that cannot stand in a User-Agent")
}

fn secret_headers(headers: &[(String, secrecy::SecretString)]) -> Result<HeaderMap, HttpError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let unfit = || HttpError::NotSent(format!("the header `{name}` has characters that cannot be sent"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| unfit())?;
        value.set_sensitive(true);
        map.append(name, value);
    }
    Ok(map)
}

/// `If-None-Match` and `If-Modified-Since`. A stored validator that cannot be sent is left out: the answer is whole then.
fn conditional(validators: &Validators) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in
        [(header::IF_NONE_MATCH, &validators.etag), (header::IF_MODIFIED_SINCE, &validators.last_modified)]
    {
        if let Some(value) = value.as_ref().and_then(|v| HeaderValue::from_bytes(v.as_bytes()).ok()) {
            map.insert(name, value);
        }
    }
    map
}

/// Where an answer sends us, if it is a redirect that says so.
fn redirect(response: &Response, asked: &Url) -> Result<Option<Url>, HttpError> {
    match response.status().as_u16() {
        301 | 302 | 303 | 307 | 308 => headers::location(response.headers(), asked),
        _ => Ok(None),
    }
}

/// The resolver is not asked for addresses in numbers.
fn refuse_private_number(guard: &Guard, url: &Url) -> Result<(), HttpError> {
    let ip: std::net::IpAddr = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.into(),
        Some(url::Host::Ipv6(ip)) => ip.into(),
        Some(url::Host::Domain(_)) | None => return Ok(()),
    };
    if guard.allows(ip, Reach::Public) {
        return Ok(());
    }
    Err(HttpError::Bound(format!("it redirects to {ip}, which is not a public address")))
}

/// Reads a body, counting what comes out of the decompression: a bomb is stopped where it passes the bound.
async fn body(response: &mut Response, max_bytes: usize) -> Result<Vec<u8>, HttpError> {
    let too_big = || HttpError::Bound(format!("the answer is larger than {max_bytes} bytes"));
    if response.content_length().is_some_and(|length| length > max_bytes as u64) {
        return Err(too_big());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > max_bytes {
            return Err(too_big());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A body fetched by [`Http::get_guarded`].
#[derive(Debug, Clone)]
pub struct Guarded {
    /// Bounded.
    pub body: Vec<u8>,
    /// `Content-Type` as sent: a claim, not a fact.
    pub content_type: Option<String>,
    /// Where it came from.
    pub url: Url,
}
