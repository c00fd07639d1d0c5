//! What the answer of a source means: shared by the sources that read documents.
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::http::{Answer, HttpError, Validators};
use crate::source::SourceError;

/// No answer: the line may be back next time; a broken bound is the source's own fault.
pub(crate) fn no_answer(error: HttpError) -> SourceError {
    match error {
        HttpError::NotSent(reason) | HttpError::NoAnswer(reason) => SourceError::Later { reason, after: None },
        HttpError::Bound(reason) => SourceError::Broken(reason),
    }
}

/// Any status but 200 and 304. A 404 is never the end: YouTube answers it for days for channels that are there
/// (sources.md 3.1); only 410 is.
pub(crate) fn refused(answer: &Answer) -> SourceError {
    let place = answer.url.host_str().unwrap_or("the source");
    let status = answer.status;
    let detail = problem(&answer.body).map(|d| format!(": {d}")).unwrap_or_default();
    let later = |reason: String| SourceError::Later { reason, after: answer.retry_after };
    match status {
        410 => SourceError::Stopped(format!("{place} answered 410: it is gone for good")),
        404 => later(format!("{place} answered 404 not found{detail}")),
        429 => later(format!("{place} asks for fewer requests (429){detail}")),
        408 | 425 | 500..=599 => later(format!("{place} answered {status}{detail}")),
        401 | 403 => SourceError::Broken(format!("{place} refuses to be read ({status}){detail}")),
        _ => SourceError::Broken(format!("{place} answered {status} instead of the document{detail}")),
    }
}

/// The same for reading one thing again, where the time of day is not known: a `Retry-After` given as a date is then
/// worth no more than an hour.
pub(crate) fn within_the_hour(error: SourceError) -> SourceError {
    match error {
        SourceError::Later { reason, after } => {
            SourceError::Later { reason, after: after.map(|a| a.min(Duration::from_secs(3600))) }
        }
        SourceError::Broken(_) | SourceError::Stopped(_) | SourceError::Misconfigured(_) => error,
    }
}

/// A source's memory, where it is of `what`; after the configuration names another place it starts anew: validators and
/// hashes of one document say nothing about another.
pub(crate) fn recall<T: serde::de::DeserializeOwned + Default>(memory: &Value, what: &str) -> T {
    let same = memory.get("of").and_then(Value::as_str) == Some(what);
    same.then(|| serde_json::from_value(memory.clone()).ok()).flatten().unwrap_or_default()
}

/// What [`recall`] reads next time.
pub(crate) fn remember<T: serde::Serialize>(memory: &T, what: &str) -> Value {
    let mut value = serde_json::to_value(memory).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut value {
        fields.insert("of".into(), what.into());
    }
    value
}

/// `detail`, `title`, `message` or `error` of a JSON error (RFC 7807 and voctoweb's own), one short line.
fn problem(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let words = ["detail", "title", "message", "error"].iter().find_map(|key| value.get(*key)?.as_str())?;
    let line = crate::text::one_line(words);
    Some(line.chars().take(200).collect())
}

/// Does it look like a page for people where a document was asked for?
pub(crate) fn is_html(body: &[u8], content_type: Option<&str>) -> bool {
    let head = String::from_utf8_lossy(&body[..body.len().min(512)])
        .trim_start_matches('\u{FEFF}')
        .trim_start()
        .to_ascii_lowercase();
    let says_html = content_type.is_some_and(|t| t.trim().to_ascii_lowercase().starts_with("text/html"));
    head.starts_with("<!doctype html")
        || head.starts_with("<html")
        || (says_html && !head.starts_with("<?xml") && !head.starts_with('{'))
}

/// A digest of what an author can change; parts cannot run into each other.
pub(crate) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..16])
}

/// A digest of a body.
pub(crate) fn digest(body: &[u8]) -> String {
    hex(&Sha256::digest(body)[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Those of a 304 where it brought new ones, else the old ones (sources.md 8.3).
pub(crate) fn renewed(old: Validators, new: &Validators) -> Validators {
    Validators { etag: new.etag.clone().or(old.etag), last_modified: new.last_modified.clone().or(old.last_modified) }
}

/// The longer of two waits, at most a day.
pub(crate) fn longer(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    a.max(b).map(|d| d.min(Duration::from_secs(86_400)))
}

/// A time as it was given, unless it is more than a day in the future: such a one orders nothing.
pub(crate) fn bounded(time: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    time.filter(|t| t.duration_since(now) <= jiff::SignedDuration::from_hours(24))
}

/// Host, with the port where it is not the usual one.
pub(crate) fn host_of(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    match url.port() {
        Some(port) if port != 80 && port != 443 => format!("{host}:{port}"),
        Some(_) | None => host,
    }
}
