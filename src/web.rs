//! The HTTP front door: today the webhooks of forums, each no more than a hint to poll now.
//!
//! A webhook is believed in nothing but "look again". So it may be lost, repeated or late without harm, and it is
//! answered at once: nothing here touches the store.
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout};

pub mod health;
pub mod hint;
mod server;

use crate::source::discourse;
use hint::{Hint, HintSender, Report, Reports, Trouble};
pub use server::serve;

/// A longer webhook body is not read, in bytes. Discourse sends one topic or one post.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// For the whole body of a request.
const BODY_TIME: std::time::Duration = std::time::Duration::from_secs(10);

/// Discourse's signature over the exact body: `sha256=` and lower-case hex.
const SIGNATURE: HeaderName = HeaderName::from_static("x-discourse-event-signature");

/// What the webhook endpoint knows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hooks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    sources: Vec<(String, Option<SecretString>)>,
    hints: HintSender,
    reports: Reports,
}

impl Hooks {
    /// `sources`: the name of each source that may have a webhook, with its secret. An empty secret counts as none,
    /// because everybody could sign with it; without one nothing is acted on.
    pub fn new(
        sources: Vec<(String, Option<SecretString>)>,
        hints: HintSender,
        reports: tokio::sync::mpsc::Sender<Report>,
    ) -> Self {
        let sources = sources
            .into_iter()
            .map(|(name, secret)| (name, secret.filter(|secret| !secret.expose_secret().is_empty())))
            .collect();
        Self { inner: Arc::new(Inner { sources, hints, reports: Reports::new(reports) }) }
    }

    /// Judges one delivery. The answers are chosen for Discourse, which switches a hook off at 404 and 410 only.
    fn receive(&self, source: &str, headers: &HeaderMap, body: &[u8]) -> (StatusCode, &'static str) {
        let report = |trouble| self.inner.reports.tell(source, trouble, Instant::now());
        let Some((name, secret)) = self.inner.sources.iter().find(|(name, _)| name == source) else {
            report(Trouble::UnknownSource);
            crate::metrics::hooked("unknown");
            return (StatusCode::ACCEPTED, "no source of this name: nothing is done\n");
        };
        let Some(secret) = secret else {
            report(Trouble::NoSecret);
            crate::metrics::hooked("refused");
            return (StatusCode::ACCEPTED, "this source has no webhook secret: nothing is done\n");
        };
        let mut signatures = headers.get_all(SIGNATURE).iter();
        match (signatures.next(), signatures.next()) {
            (Some(signature), None) if is_signed(secret, body, signature) => {}
            (None, _) => {
                report(Trouble::NoSignature);
                crate::metrics::hooked("refused");
                return (StatusCode::FORBIDDEN, "the signature is missing\n");
            }
            (Some(_), _) => {
                report(Trouble::WrongSignature);
                crate::metrics::hooked("refused");
                return (StatusCode::FORBIDDEN, "the signature is wrong\n");
            }
        }
        crate::metrics::hooked("heard");
        // From here on it is the forum that speaks. X-Discourse-Instance and the event headers are not signed, and
        // are not read.
        let topic = match discourse::parse_webhook(body) {
            Ok(Some(hint)) => Some(hint.topic),
            Ok(None) => return (StatusCode::OK, "heard\n"),
            // Signed, but not understood: reason enough to poll.
            Err(_) => None,
        };
        self.inner.hints.hint(Hint { source: name.clone(), topic });
        (StatusCode::OK, "heard\n")
    }
}

fn is_signed(secret: &SecretString, body: &[u8], header: &HeaderValue) -> bool {
    let secret = secret.expose_secret().as_bytes();
    header.to_str().is_ok_and(|header| discourse::verify_signature(secret, body, header))
}

/// The routes: `POST /hooks/{source}`, `GET /health`, and a line of plain text at `/`.
pub fn router(hooks: Hooks, health: health::Health) -> Router {
    routes(hooks).merge(health::router(health)).layer(axum::middleware::map_response(careful))
}

fn routes(state: Hooks) -> Router {
    Router::new()
        .route("/", get(async || concat!("Oyez ", env!("CARGO_PKG_VERSION"), " is listening.\n")))
        // The bare path and deeper ones are unknown sources as well, and must not be answered with 404.
        .route("/hooks", post(nameless))
        .route("/hooks/", post(nameless))
        .route("/hooks/{*source}", post(named))
        .with_state(state)
}

async fn nameless(State(hooks): State<Hooks>, headers: HeaderMap, body: Body) -> Response {
    hook(&hooks, "", headers, body).await
}

async fn named(
    State(hooks): State<Hooks>,
    source: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    // What is not UTF-8 is nobody's name.
    hook(&hooks, source.as_deref().map_or("", |source| source), headers, body).await
}

async fn hook(hooks: &Hooks, source: &str, headers: HeaderMap, body: Body) -> Response {
    // The body is read for unknown sources as well: closing while Discourse still sends would look like a failure.
    let body = match timeout(BODY_TIME, axum::body::to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return (StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or broke off\n").into_response(),
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the body took too long\n").into_response(),
    };
    hooks.receive(source, &headers, &body).into_response()
}

/// Headers that every answer carries, unless it has its own.
async fn careful(mut response: Response) -> Response {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
