//! A server with the Mastodon API on loopback: the demo's account, and the one all delivery tests post to.
//!
//! It keeps the rules that matter for publishing once (platforms.md 1 and 2) by the clock it is given: an idempotency
//! key is kept an hour, an upload is processed before it can be attached, limits have a reset. [`Fault`]s make it fail
//! in every way a real one does, [`Mastodon::hold`] keeps a request waiting so that something can happen in between.
mod body;
mod model;
mod wire;
pub(crate) mod words;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use unicode_segmentation::UnicodeSegmentation;
use url::Url;

use self::body::{Parts, Reply, attachments, medium_json, page, status_json, statuses, upload};
pub use self::model::{Fault, Flavour, Hold, Medium, On, Request, Status};
pub use self::wire::Cut;
use self::wire::{Wire, Wires};
use crate::clock::Clock;

/// The access token the double accepts.
pub const TOKEN: &str = "pretend-token";
/// The name of its one account.
pub const ACCOUNT: &str = "crier";
/// How long a key is kept (platforms.md 1.4).
const KEY_KEPT: SignedDuration = SignedDuration::from_hours(1);
/// Requests remembered; a demo that runs for a week must not grow for ever.
const MAX_REQUESTS: usize = 10_000;

/// The server. Stops when dropped.
pub struct Mastodon {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

struct Shared {
    base: Url,
    flavour: Flavour,
    clock: Arc<dyn Clock>,
    state: Mutex<Inside>,
    gate: watch::Sender<Gate>,
    held: watch::Sender<usize>,
    /// How many requests are being handled, held ones among them.
    under_way: watch::Sender<usize>,
}

#[derive(Default)]
struct Inside {
    statuses: Vec<Status>,
    media: Vec<Medium>,
    keys: HashMap<String, (String, Timestamp)>,
    faults: VecDeque<(On, Fault)>,
    requests: VecDeque<Request>,
    max_characters: Option<usize>,
    max_media: Option<usize>,
    processing: u32,
}

impl Mastodon {
    /// Plays `flavour` on a free port of loopback, by `clock`.
    pub async fn start(flavour: Flavour, clock: Arc<dyn Clock>) -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), flavour, clock).await
    }

    /// The same at a chosen address: one that comes back where it was before.
    pub async fn start_at(address: SocketAddr, flavour: Flavour, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let base = Url::parse(&format!("http://{address}/")).map_err(io::Error::other)?;
        let shared = Arc::new(Shared {
            base,
            flavour,
            clock,
            state: Mutex::default(),
            gate: watch::Sender::default(),
            held: watch::Sender::new(0),
            under_way: watch::Sender::new(0),
        });
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::max(64 * 1024 * 1024))
            .with_state(Arc::clone(&shared))
            .into_make_service_with_connect_info::<Wire>();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let serving = axum::serve(Wires(listener), router).with_graceful_shutdown(async move {
                // Either a word or the sender's end stops it.
                let _ = stopped.await;
            });
            if let Err(error) = serving.await {
                tracing::error!(%error, "the pretend Mastodon stopped");
            }
        });
        Ok(Self { shared, stop: Some(stop), task })
    }

    /// Its address, for `server = …`.
    pub fn url(&self) -> Url {
        self.shared.base.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        let port = self.shared.base.port().unwrap_or_default();
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// The statuses that can be read now, in the order they were posted.
    pub fn posts(&self) -> Vec<Status> {
        self.created().into_iter().filter(|s| !s.deleted).collect()
    }

    /// Every status there ever was, deleted ones too.
    pub fn created(&self) -> Vec<Status> {
        self.shared.inside().statuses.clone()
    }

    /// What was asked, in order; the last ten thousand.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.inside().requests.iter().cloned().collect()
    }

    /// The next request of that sort fails so; several wait for their turn.
    pub fn fault(&self, on: On, fault: Fault) {
        self.faults(on, fault, 1);
    }

    /// The next `times` requests of that sort fail so.
    pub fn faults(&self, on: On, fault: Fault, times: usize) {
        self.shared.inside().faults.extend(std::iter::repeat_n((on, fault), times));
    }

    /// Forgets the faults that have not happened yet.
    pub fn heal(&self) {
        self.shared.inside().faults.clear();
    }

    /// Announces and enforces another length.
    pub fn limit(&self, max_characters: usize) {
        self.shared.inside().max_characters = Some(max_characters);
    }

    /// Announces that a status takes this many pictures. With none, nobody fetches any.
    pub fn limit_media(&self, max_media: usize) {
        self.shared.inside().max_media = Some(max_media);
    }

    /// From now on an upload answers 202, and `times` times 206 when asked for.
    pub fn processing(&self, times: u32) {
        self.shared.inside().processing = times;
    }

    /// From now on requests of that sort wait, until [`Mastodon::release`]. One whose client goes away meanwhile is
    /// carried out all the same: that is how a request arrives late.
    pub fn hold(&self, on: On, hold: Hold) {
        self.shared.gate.send_modify(|gate| gate.holds = Some((on, hold)));
    }

    /// Lets the held requests go on, and the later ones pass.
    pub fn release(&self) {
        self.shared.gate.send_modify(|gate| {
            gate.holds = None;
            gate.released += 1;
        });
    }

    /// Is no request being handled? What arrived, also from a client that is gone, has had its effect then.
    pub fn is_idle(&self) -> bool {
        *self.shared.under_way.borrow() == 0
    }

    /// Waits until a request is being held.
    pub async fn held(&self) {
        let mut held = self.shared.held.subscribe();
        // The sender lives in `self`: it cannot be gone.
        let _ = held.wait_for(|n| *n > 0).await;
    }

    /// A status posted by somebody else with access to the account, just now.
    pub fn post_by_hand(&self, text: &str) -> Status {
        let now = self.shared.clock.now();
        self.shared.add(&mut self.shared.inside(), now, text, "public", None, Vec::new(), None)
    }

    /// Stops, and waits until the port is free. Idle connections are closed.
    pub async fn stop(mut self) {
        self.release();
        self.stop.take();
        // It ends by itself; when it was cancelled with the runtime there is nothing to wait for.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Mastodon {
    fn drop(&mut self) {
        self.release();
        self.stop.take();
        self.task.abort();
    }
}

impl Shared {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while the gate is closed for this request.
    async fn pass(&self, on: On, hold: Hold) {
        let mut gate = self.gate.subscribe();
        let came = *gate.borrow();
        if came.holds == Some((on, hold)) {
            let counted = Counted::new(&self.held);
            // The sender lives in `self`: it cannot be gone.
            let _ = gate.wait_for(|gate| gate.released > came.released).await;
            drop(counted);
        }
    }

    fn max_characters(&self, inside: &Inside) -> usize {
        inside.max_characters.unwrap_or(match self.flavour {
            Flavour::Mastodon | Flavour::Mastodon500OnRepeat => 500,
            Flavour::GoToSocial | Flavour::Pleroma => 5000,
        })
    }

    fn next_id(&self, inside: &Inside) -> String {
        // As long as a snowflake, and growing, so that ids of one length compare as they were given.
        (115_000_000_000_000_000u64 + inside.statuses.len() as u64).to_string()
    }

    #[expect(clippy::too_many_arguments, reason = "a status has that many parts")]
    fn add(
        &self,
        inside: &mut Inside,
        now: Timestamp,
        text: &str,
        visibility: &str,
        language: Option<String>,
        media: Vec<Medium>,
        key: Option<String>,
    ) -> Status {
        let id = self.next_id(inside);
        let status = Status {
            url: format!("{}@{ACCOUNT}/{id}", self.base),
            id,
            text: text.to_owned(),
            html: words::html(text, &self.base),
            visibility: visibility.to_owned(),
            language,
            media,
            key,
            created_at: now,
            edited_at: None,
            deleted: false,
        };
        inside.statuses.push(status.clone());
        status
    }

    fn carry_out(&self, request: &Request, parts: &Parts, now: Timestamp) -> Reply {
        let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        let mut inside = self.inside();
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["api", version @ ("v1" | "v2"), "instance"]) => self.instance(&inside, version),
            ("GET", [at, id]) if *at == format!("@{ACCOUNT}") => page(&inside, id),
            _ if !request.authorised => Reply::error(401, "The access token is invalid"),
            ("GET", ["api", "v1", "accounts", "verify_credentials"]) => Reply::json(&json!({
                "id": "1", "username": ACCOUNT, "acct": ACCOUNT, "url": format!("{}@{ACCOUNT}", self.base),
            })),
            ("GET", ["api", "v1", "accounts", "1", "statuses"]) => statuses(&inside, request.query.as_deref()),
            ("POST", ["api", "v1", "statuses"]) => self.post(&mut inside, request, now),
            ("POST", ["api", "v1" | "v2", "media"]) => upload(&mut inside, parts),
            ("GET", ["api", "v1", "media", id]) => match inside.media.iter_mut().find(|m| m.id == *id) {
                Some(medium) if medium.pending > 0 => {
                    medium.pending -= 1;
                    Reply { status: 206, ..Reply::json(&medium_json(medium)) }
                }
                Some(medium) => Reply::json(&medium_json(medium)),
                None => Reply::error(404, "Record not found"),
            },
            (method, ["api", "v1", "statuses", id, rest @ ..]) => {
                let Some(at) = inside.statuses.iter().position(|s| s.id == *id && !s.deleted) else {
                    return Reply::error(404, "Record not found");
                };
                match (method, rest) {
                    ("GET", []) => Reply::json(&status_json(&inside.statuses[at])),
                    ("GET", ["source"]) => {
                        let status = &inside.statuses[at];
                        Reply::json(&json!({ "id": status.id, "text": status.text, "spoiler_text": "" }))
                    }
                    ("DELETE", []) => {
                        inside.statuses[at].deleted = true;
                        Reply::json(&json!({ "id": id, "text": inside.statuses[at].text }))
                    }
                    ("PUT", []) => self.edit(&mut inside, at, request, now),
                    _ => Reply::error(405, "Method not allowed"),
                }
            }
            _ => Reply::error(404, "Record not found"),
        }
    }

    fn instance(&self, inside: &Inside, version: &str) -> Reply {
        let max = self.max_characters(inside);
        let media = json!({
            "supported_mime_types": ["image/jpeg", "image/png", "image/gif", "image/webp"],
            "description_limit": 1500, "image_size_limit": 16_777_216, "image_matrix_limit": 33_177_600,
        });
        match (self.flavour, version) {
            (Flavour::Pleroma, "v2") => Reply::error(404, "Not implemented"),
            (Flavour::Pleroma, _) => Reply::json(&json!({
                "uri": self.base, "version": "2.7.2 (compatible; Pleroma 2.9.1)", "max_toot_chars": max,
            })),
            (Flavour::GoToSocial, _) => Reply::json(&json!({
                "domain": "pretend.example", "version": "0.20.0+git-8a1c9cd",
                "source_url": "https://codeberg.org/superseriousbusiness/gotosocial",
                "configuration": {
                    "statuses": {"max_characters": max, "max_media_attachments": inside.max_media.unwrap_or(6), "characters_reserved_per_url": 25},
                    "media_attachments": media,
                },
            })),
            (Flavour::Mastodon | Flavour::Mastodon500OnRepeat, _) => Reply::json(&json!({
                "domain": "pretend.example", "version": "4.6.0", "source_url": "https://github.com/mastodon/mastodon",
                "api_versions": {"mastodon": 10},
                "configuration": {
                    "statuses": {"max_characters": max, "max_media_attachments": inside.max_media.unwrap_or(4), "characters_reserved_per_url": 23},
                    "media_attachments": media,
                },
            })),
        }
    }

    fn post(&self, inside: &mut Inside, request: &Request, now: Timestamp) -> Reply {
        let Some(body) = &request.body else { return Reply::error(422, "Validation failed: no JSON") };
        let scheduled = body.get("scheduled_at").is_some();
        let keeps = matches!(self.flavour, Flavour::Mastodon | Flavour::Mastodon500OnRepeat) && !scheduled;
        if let Some((id, at)) = request.key.as_ref().filter(|_| keeps).and_then(|key| inside.keys.get(key))
            && now.duration_since(*at) < KEY_KEPT
        {
            return match (self.flavour, inside.statuses.iter().find(|s| s.id == *id)) {
                (Flavour::Mastodon500OnRepeat, _) => Reply::error(500, "Internal server error"),
                (_, Some(status)) => Reply::json(&status_json(status)),
                (_, None) => Reply::error(404, "Record not found"),
            };
        }
        let text = body.get("status").and_then(Value::as_str).unwrap_or_default();
        if let Some(refusal) = self.refusal(inside, text) {
            return refusal;
        }
        let visibility = body.get("visibility").and_then(Value::as_str).unwrap_or("unlisted");
        if !matches!(visibility, "public" | "unlisted" | "private" | "direct") {
            return Reply::error(422, "Validation failed: Visibility is not included in the list");
        }
        let media = match attachments(inside, body) {
            Ok(media) => media,
            Err(refusal) => return refusal,
        };
        if text.trim().is_empty() && media.is_empty() {
            return Reply::error(422, "Validation failed: Text can't be blank");
        }
        let language = body.get("language").and_then(Value::as_str).map(str::to_owned);
        let status = self.add(inside, now, text, visibility, language, media, request.key.clone());
        if let Some(key) = request.key.clone().filter(|_| keeps) {
            inside.keys.insert(key, (status.id.clone(), now));
        }
        Reply::json(&status_json(&status))
    }

    fn refusal(&self, inside: &Inside, text: &str) -> Option<Reply> {
        let max = self.max_characters(inside);
        match self.flavour {
            Flavour::Mastodon | Flavour::Mastodon500OnRepeat if words::length(text, 23) > max => {
                Some(Reply::error(422, &format!("Validation failed: Text character limit of {max} exceeded")))
            }
            Flavour::GoToSocial if text.chars().count() > max => {
                let n = text.chars().count();
                Some(Reply::error(
                    400,
                    &format!("Bad Request: status too long, {n} characters provided but limit is {max}"),
                ))
            }
            Flavour::Pleroma if text.graphemes(true).count() > max => {
                Some(Reply::error(422, "The status is over the character limit"))
            }
            Flavour::Mastodon | Flavour::Mastodon500OnRepeat | Flavour::GoToSocial | Flavour::Pleroma => None,
        }
    }

    fn edit(&self, inside: &mut Inside, at: usize, request: &Request, now: Timestamp) -> Reply {
        let Some(body) = &request.body else { return Reply::error(422, "Validation failed: no JSON") };
        let text = body.get("status").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(refusal) = self.refusal(inside, &text) {
            return refusal;
        }
        // What is not sent is gone, as the strictest server has it.
        let mut media = match attachments(inside, body) {
            Ok(media) => media,
            Err(refusal) => return refusal,
        };
        for medium in &mut media {
            let mut attributes = body.get("media_attributes").and_then(Value::as_array).into_iter().flatten();
            let described = attributes.rfind(|a| a.get("id").and_then(Value::as_str) == Some(&medium.id));
            medium.description = described.and_then(|a| a.get("description")?.as_str()).map(str::to_owned);
        }
        let status = &mut inside.statuses[at];
        status.html = words::html(&text, &self.base);
        status.text = text;
        status.media = media;
        status.language = body.get("language").and_then(Value::as_str).map(str::to_owned);
        status.edited_at = Some(now);
        Reply::json(&status_json(status))
    }
}

/// Which requests are held. A request that was let go stays so, however soon the next ones are held.
#[derive(Debug, Clone, Copy, Default)]
struct Gate {
    holds: Option<(On, Hold)>,
    released: u64,
}

/// Counts a request for as long as this lives, also when the runtime ends meanwhile.
struct Counted<'a>(&'a watch::Sender<usize>);

impl<'a> Counted<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|n| *n += 1);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let request = Request {
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().map(str::to_owned),
        key: text("idempotency-key"),
        body: serde_json::from_slice(&body).ok(),
        at: shared.clock.now(),
        authorised: text(header::AUTHORIZATION.as_str()).is_some_and(|a| a == format!("Bearer {TOKEN}")),
    };
    let content_type = text(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    // In a task of its own, as on a real server: a client that goes away undoes no request that has arrived.
    match tokio::spawn(handle(shared, wire, request, content_type, body)).await {
        Ok(response) => response,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn handle(shared: Arc<Shared>, wire: Wire, request: Request, content_type: String, body: Bytes) -> Response {
    let on = sort(&request);
    let _counted = Counted::new(&shared.under_way);
    let fault = {
        let mut inside = shared.inside();
        if inside.requests.len() >= MAX_REQUESTS {
            inside.requests.pop_front();
        }
        inside.requests.push_back(request.clone());
        let next = inside.faults.iter().position(|(of, _)| *of == on);
        next.and_then(|at| inside.faults.remove(at)).map(|(_, fault)| fault)
    };
    shared.pass(on, Hold::Before).await;
    let parts = Parts::read(&content_type, &body);
    let carry_out = || shared.carry_out(&request, &parts, shared.clock.now());
    let reply = match fault {
        None => carry_out(),
        Some(Fault::Unavailable(retry_after)) => {
            Reply { retry_after, ..Reply::error(503, "There was a temporary problem serving your request") }
        }
        Some(Fault::TooMany(wait)) => Reply {
            resets_in: SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX),
            ..Reply::error(429, "Too many requests")
        },
        Some(Fault::Unauthorised) => Reply::error(401, "The access token is invalid"),
        Some(Fault::Forbidden(words)) => Reply::error(403, &words),
        Some(Fault::Unprocessable(words)) => Reply::error(422, &words),
        Some(Fault::Answer(status, body)) => {
            Reply { status, body, content_type: "text/html; charset=utf-8", ..Reply::json(&Value::Null) }
        }
        Some(Fault::ErrorBefore) => Reply::error(500, "Internal server error"),
        Some(Fault::ErrorAfter) => {
            carry_out();
            Reply::error(500, "Internal server error")
        }
        Some(Fault::Garbage) => {
            carry_out();
            Reply { body: "<html>it works</html>".into(), content_type: "text/html", ..Reply::json(&Value::Null) }
        }
        Some(Fault::Lost(cut)) => {
            let reply = carry_out();
            wire.cut(cut);
            reply
        }
        Some(Fault::CutBefore) => {
            wire.cut(Cut::BeforeHead);
            Reply::error(500, "cut")
        }
    };
    shared.pass(on, Hold::After).await;
    reply.into_response(shared.clock.now())
}

fn sort(request: &Request) -> On {
    let is = |path: &str| request.path.starts_with(path);
    match request.method.as_str() {
        _ if is("/api/v1/media") || is("/api/v2/media") => On::Media,
        "POST" if is("/api/v1/statuses") => On::Post,
        "PUT" | "DELETE" => On::Change,
        _ => On::Read,
    }
}

#[cfg(test)]
mod tests;
