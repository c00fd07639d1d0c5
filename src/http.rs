//! The polite client for configured hosts and the guarded one for every address a poster can choose.
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

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

/// Both clients. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Http {}

impl Http {
    /// GET from a configured host.
    pub async fn get(&self, _url: &Url, _get: Get, _now: Timestamp) -> Result<Answer, HttpError> {
        Err(HttpError::NotSent("stub".into()))
    }
    /// GET from an address that a poster chose (links.md 4): public addresses only, 80 and 443, every hop checked.
    pub async fn get_guarded(&self, _url: &Url, _max_bytes: usize) -> Result<Guarded, String> {
        Err("stub".into())
    }
    /// The client for writing to configured servers: no redirects are followed, no cookies.
    pub fn api(&self) -> &reqwest::Client {
        unreachable!()
    }
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
