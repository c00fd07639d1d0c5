//! Places that announce. Each file: `parse` functions are pure, the [`Source`] methods fetch through [`crate::http`].
pub mod discourse;
pub mod document;
pub mod feed;
pub mod media_ccc;
pub mod peertube;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

use crate::item::Found;

/// One announced thing as a poll shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// See [`Found::key`].
    pub key: String,
    /// What the source *is* (promise 5): host and category id, channel id, conference.
    pub contact: String,
    /// Canonical address.
    pub url: String,
    /// Plain text.
    pub title: String,
    /// When it was made public.
    pub published: Option<Timestamp>,
    /// Digest of what the list shows and an author can change; another one than last time means: read it again.
    pub fingerprint: String,
    /// Pinned on the source: old ones are no news even when they turn up late.
    pub pinned: bool,
    /// The whole thing where the list already has it (feeds); else [`Source::read`] is asked.
    pub full: Option<Found>,
}

/// What one poll brought.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Polled {
    /// Everything the source shows now that may be announced. Never the "About the … category" topic and its like.
    pub sightings: Vec<Sighting>,
    /// Every contact this poll spoke for, also those that showed nothing.
    pub contacts: Vec<String>,
    /// Contacts that appeared after first contact with their host: new as a whole (a conference of a new year).
    pub new_as_a_whole: Vec<String>,
    /// What could not be shown ("15 entries, all new: older ones may have been missed"): said aloud.
    pub gap: Option<String>,
    /// One entry each that could not be read, with the reason; the others are not lost.
    pub skipped: Vec<String>,
    /// The source asks to be left alone for this long (`ttl`, `max-age`).
    pub at_least: Option<Duration>,
    /// Nothing changed since the last poll (304, or equal by hash).
    pub unchanged: bool,
    /// The answer's `Date`, for judging our own clock.
    pub server_time: Option<Timestamp>,
    /// What the source wants to remember until the next poll (validators, hashes, ids it resolved).
    pub memory: Value,
}

/// What reading one thing again told.
#[derive(Debug, Clone, PartialEq)]
pub enum Reread {
    /// It is there, as given (its `visibility` may still say it is not public).
    Present(Box<Found>),
    /// It is not there any more, and why.
    Gone(String),
    /// The source cannot say (a feed that has moved on): nothing is concluded.
    Unknown,
}

/// What a source is asked with.
pub struct PollContext<'a> {
    /// Now.
    pub now: Timestamp,
    /// What it wanted to remember; `Null` the first time.
    pub memory: &'a Value,
    /// Was this key seen before?
    pub known: &'a (dyn Fn(&str) -> bool + Send + Sync),
    /// Was this contact made before? Paging back to a known item makes sense only then.
    pub contacted: &'a (dyn Fn(&str) -> bool + Send + Sync),
    /// The polite client.
    pub http: &'a crate::http::Http,
}

/// Why a source could not be read. The variants say what to do next.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Not now; the source said when, or back-off decides.
    #[error("{reason}")]
    Later {
        /// What happened, for people.
        reason: String,
        /// `Retry-After` or the like.
        after: Option<Duration>,
    },
    /// It answered, but not with what it should (HTML instead of JSON, broken XML): failing until it is mended.
    #[error("{0}")]
    Broken(String),
    /// 410: it is gone for good; polling stops with a notice.
    #[error("{0}")]
    Stopped(String),
    /// The configuration names something that is not there (no such category).
    #[error("{0}")]
    Misconfigured(String),
}

/// A place that announces.
#[async_trait]
pub trait Source: Send + Sync {
    /// The host that is asked, for "one request per host at a time".
    fn host(&self) -> &str;
    /// What it shows now.
    async fn poll(&self, context: &PollContext<'_>) -> Result<Polled, SourceError>;
    /// One thing of it, read again, as `Found` with its text.
    async fn read(&self, http: &crate::http::Http, found: &Found, now: Timestamp) -> Result<Reread, SourceError>;
    /// One thing that a webhook named by its number, as a poll would show it. `None`: it is not announced here, or this
    /// kind of source has no webhooks.
    async fn sight(&self, context: &PollContext<'_>, topic: u64) -> Result<Option<Sighting>, SourceError> {
        let (_, _) = (context, topic);
        Ok(None)
    }
}
