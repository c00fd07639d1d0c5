//! What the double is made of: whom it plays, how it fails, what it remembers.
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::Cut;

/// Which server it plays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flavour {
    /// A current Mastodon: a repeated key within the hour gives back the first status.
    #[default]
    Mastodon,
    /// A Mastodon of 2026 that answers 500 to the repeat of a completed key (platforms.md 1.4).
    Mastodon500OnRepeat,
    /// Ignores keys, counts code points and every address in full, refuses with 400.
    GoToSocial,
    /// Has no v2 instance; `max_toot_chars`; ignores keys.
    Pleroma,
}

/// Which requests a fault or a gate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// `POST /api/v1/statuses`.
    Post,
    /// `POST` and `GET` of media.
    Media,
    /// `PUT` and `DELETE` of a status.
    Change,
    /// Every other read.
    Read,
}

/// One way to fail. Where nothing else is said the request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 503, with `Retry-After` where given, in seconds.
    Unavailable(Option<u64>),
    /// 429 with an ISO 8601 `X-RateLimit-Reset` that far ahead.
    TooMany(Duration),
    /// 401 `The access token is invalid`.
    Unauthorised,
    /// 403 with a message.
    Forbidden(String),
    /// 422 with a message.
    Unprocessable(String),
    /// Any status with a body, as it is.
    Answer(u16, String),
    /// 500, before anything was done.
    ErrorBefore,
    /// 500, although it was carried out.
    ErrorAfter,
    /// It is carried out; the answer is 200 and no JSON.
    Garbage,
    /// It is carried out; the connection is cut there.
    Lost(Cut),
    /// The connection is cut before anything was done.
    CutBefore,
}

/// When a held request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Before it is carried out.
    Before,
    /// It is carried out; only the answer waits.
    After,
}

/// A status of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The server's id.
    pub id: String,
    /// As it was sent.
    pub text: String,
    /// Its `content`.
    pub html: String,
    /// `public`, `unlisted`, `private`, `direct`.
    pub visibility: String,
    /// ISO 639-1, if sent.
    pub language: Option<String>,
    /// Attachments.
    pub media: Vec<Medium>,
    /// The idempotency key it came with.
    pub key: Option<String>,
    /// By the double's clock.
    pub created_at: Timestamp,
    /// Set by an edit.
    pub edited_at: Option<Timestamp>,
    /// Where a browser finds it.
    pub url: String,
    /// Deleted since.
    pub deleted: bool,
}

/// An upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// The server's id.
    pub id: String,
    /// Alt text.
    pub description: Option<String>,
    /// As the uploader said.
    pub content_type: String,
    /// Its size.
    pub bytes: usize,
    /// How often a question is still answered with "processing".
    pub(super) pending: u32,
}

/// A request as it arrived; the token is checked and not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`…
    pub method: String,
    /// Without the query.
    pub path: String,
    /// The query, if any.
    pub query: Option<String>,
    /// `Idempotency-Key`.
    pub key: Option<String>,
    /// The body, if it is JSON.
    pub body: Option<Value>,
    /// By the double's clock.
    pub at: Timestamp,
    /// Did it carry the right token?
    pub authorised: bool,
}
