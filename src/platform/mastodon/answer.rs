//! One request to the account's server, and what its answer means for the one who asked.
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};

use crate::http::why;
use crate::platform::SendError;

/// Characters of the server's own words that are kept for people.
const MAX_WORDS: usize = 300;
/// However soon a server says its limit ends.
const MIN_WAIT: Duration = Duration::from_secs(1);
/// Bytes of an error page that are looked at for its words.
const MAX_PAGE_BYTES: usize = 8 * 1024;
/// However far away a server says its limit ends: ask again after a day.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A whole answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    /// HTTP status. Redirects are answers too: a write is never sent on to another address.
    pub(super) status: u16,
    /// Bounded.
    pub(super) body: Vec<u8>,
    /// `Retry-After`, in seconds or as a date.
    retry_after: Option<Duration>,
    /// How far away `X-RateLimit-Reset` was. On Mastodon every answer has it, so it means something on a 429 only.
    resets_in: Option<Duration>,
    /// Where a redirect points.
    location: Option<String>,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(super) enum Silence {
    /// No connection came about: nothing was sent.
    NotSent(String),
    /// It was sent, or may have been.
    NoAnswer(String),
}

impl Silence {
    pub(super) fn into_words(self) -> String {
        match self {
            Silence::NotSent(words) | Silence::NoAnswer(words) => words,
        }
    }
}

/// What was asked for decides what a lost answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// A second one would be a second public post: the unknown is `Unsure`.
    Publish,
    /// Reading, replacing and deleting come to the same when done twice: the unknown is `Retry`.
    Again,
}

/// Sends it and reads the whole answer, at most `max_bytes` of it.
pub(super) async fn ask(request: reqwest::RequestBuilder, max_bytes: usize) -> Result<Answer, Silence> {
    let mut response = request.send().await.map_err(silence)?;
    let mut answer = Answer::new(response.status().as_u16(), response.headers(), Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|e| Silence::NoAnswer(why(&e.without_url())))? {
        if answer.body.len() + chunk.len() > max_bytes {
            return Err(Silence::NoAnswer(format!("the answer is larger than {max_bytes} bytes")));
        }
        answer.body.extend_from_slice(&chunk);
    }
    Ok(answer)
}

fn silence(error: reqwest::Error) -> Silence {
    let error = error.without_url();
    // A connection that never came about and a request that could not be built have sent nothing. Everything else,
    // a time-out above all, may have happened after the server had read the request.
    if error.is_connect() || error.is_builder() {
        Silence::NotSent(why(&error))
    } else {
        Silence::NoAnswer(why(&error))
    }
}

fn waits(headers: &HeaderMap) -> (Option<Duration>, Option<Duration>) {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    let date = |text: &str| httpdate::parse_http_date(text).ok().and_then(|t| Timestamp::try_from(t).ok());
    // Both moments are told by the server's clock, so they are compared with the server's clock, not with ours.
    let served = text("date").and_then(date);
    let until = |moment: Timestamp| {
        served.map(|served| Duration::try_from(moment.duration_since(served)).unwrap_or(Duration::ZERO).min(MAX_WAIT))
    };
    let retry_after = text("retry-after").and_then(|value| match value.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds).min(MAX_WAIT)),
        Err(_) => date(value).and_then(until),
    });
    // ISO 8601 on Mastodon and GoToSocial; seconds of the epoch on what copied other people's headers.
    let reset = text("x-ratelimit-reset").and_then(|value| match value.parse::<i64>() {
        Ok(seconds) => Timestamp::from_second(seconds).ok(),
        Err(_) => value.parse::<Timestamp>().ok(),
    });
    let resets_in = reset.and_then(until);
    (retry_after, resets_in)
}

impl Answer {
    pub(super) fn new(status: u16, headers: &HeaderMap, body: Vec<u8>) -> Self {
        let (retry_after, resets_in) = waits(headers);
        let location = headers
            .get(reqwest::header::LOCATION)
            .and_then(|v| v.to_str().ok())
            .map(|v| crate::text::one_line(v).chars().take(MAX_WORDS).collect());
        Self { status, body, retry_after, resets_in, location }
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; `None`: it is none, or nested deeper than serde_json follows.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    fn is_html(&self) -> bool {
        self.body.trim_ascii_start().starts_with(b"<")
    }

    /// What the server said, for people: its `error`, else its text without tags; bounded, one line, never the token.
    pub(super) fn words(&self, token: &SecretString) -> String {
        let said = match self.json() {
            Some(json) => {
                let part = |name: &str| json.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
                let (error, more) = (part("error"), part("error_description"));
                if error.is_empty() || more.is_empty() { error + &more } else { format!("{error}: {more}") }
            }
            None => String::from_utf8_lossy(&self.body[..self.body.len().min(MAX_PAGE_BYTES)]).into_owned(),
        };
        let said: String = said.chars().take(MAX_PAGE_BYTES).collect();
        let mut plain = crate::text::one_line(&without_tags(&said));
        let secret = token.expose_secret();
        if !secret.is_empty() {
            plain = plain.replace(secret, "…");
        }
        let plain: String = plain.chars().take(MAX_WORDS).collect();
        if plain.is_empty() { format!("HTTP {}", self.status) } else { format!("{plain} (HTTP {})", self.status) }
    }

    /// What an answer that is no success means (platforms.md 1.5 and 14).
    pub(super) fn into_error(self, deed: Deed, token: &SecretString) -> SendError {
        let reason = self.words(token);
        match self.status {
            401 => SendError::Locked { reason },
            // Takahē tells a bad token with a 400 in plain text.
            400 if self.json().is_none() && !self.is_html() && reason.to_lowercase().contains("token") => {
                SendError::Locked { reason }
            }
            // A page in HTML is a guard in front of the server, not the server: our credentials were not looked at.
            403 if self.is_html() => SendError::Retry { after: self.retry_after, reason },
            403 => SendError::Locked { reason },
            // Never zero: a reset that has just passed would have us back in the same second.
            429 => SendError::Retry { after: self.retry_after.or(self.resets_in).map(|d| d.max(MIN_WAIT)), reason },
            421 | 425 => SendError::Retry { after: self.retry_after, reason },
            408 => lost(deed, reason),
            422 if reason.contains("finished processing") => SendError::Retry { after: self.retry_after, reason },
            400..500 => SendError::Refused { reason },
            300..400 => SendError::Retry {
                after: None,
                reason: format!(
                    "the server sends us on to `{}` (HTTP {}): set `server` to its real address",
                    self.location.as_deref().unwrap_or("nowhere"),
                    self.status
                ),
            },
            // GoToSocial under load, and a proxy that announces maintenance: the request was turned away at the door.
            // A bare 503 is another thing: Mastodon says it when another request with the same key is under way.
            503 if self.retry_after.is_some() => {
                SendError::Retry { after: self.retry_after.map(|d| d.max(MIN_WAIT)), reason }
            }
            _ => lost(deed, reason),
        }
    }
}

/// What it means that nobody knows whether the request was carried out.
pub(super) fn lost(deed: Deed, reason: String) -> SendError {
    match deed {
        Deed::Publish => SendError::Unsure { reason },
        Deed::Again => SendError::Retry { after: None, reason },
    }
}

impl Silence {
    /// What a missing answer means.
    pub(super) fn into_error(self, deed: Deed) -> SendError {
        match self {
            Silence::NotSent(reason) => SendError::Retry { after: None, reason },
            Silence::NoAnswer(reason) => lost(deed, reason),
        }
    }
}

/// The text between the tags, good enough for an error page; whole tags only, so that `a < b` stays.
fn without_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        let tag = &rest[open..];
        let named = tag[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
        match tag.find('>') {
            Some(close) if named => {
                out.push_str(&rest[..open]);
                out.push(' ');
                rest = &tag[close + 1..];
            }
            Some(_) | None => {
                out.push_str(&rest[..=open]);
                rest = &tag[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.into(), retry_after: None, resets_in: None, location: None }
    }

    #[track_caller]
    fn check(status: u16, body: &str, want: SendError) {
        let token = SecretString::from("s3cret");
        assert_eq!(answer(status, body).into_error(Deed::Publish, &token), want, "{status} {body}");
    }

    fn refused(reason: &str) -> SendError {
        SendError::Refused { reason: reason.into() }
    }
    fn locked(reason: &str) -> SendError {
        SendError::Locked { reason: reason.into() }
    }
    fn unsure(reason: &str) -> SendError {
        SendError::Unsure { reason: reason.into() }
    }
    fn retry(reason: &str) -> SendError {
        SendError::Retry { after: None, reason: reason.into() }
    }

    #[test]
    fn every_status_has_its_class() {
        check(401, r#"{"error":"The access token is invalid"}"#, locked("The access token is invalid (HTTP 401)"));
        check(400, "invalid token", locked("invalid token (HTTP 400)"));
        check(400, r#"{"error":"bad token count"}"#, refused("bad token count (HTTP 400)"));
        check(400, "<p>invalid token</p>", refused("invalid token (HTTP 400)"));
        check(403, r#"{"error":"suspended"}"#, locked("suspended (HTTP 403)"));
        check(403, "<html><p>Just a moment", retry("Just a moment (HTTP 403)"));
        check(404, r#"{"error":"Record not found"}"#, refused("Record not found (HTTP 404)"));
        check(413, "", refused("HTTP 413"));
        check(422, r#"{"error":"Validation failed: too long"}"#, refused("Validation failed: too long (HTTP 422)"));
        check(
            422,
            r#"{"error":"Cannot attach files that have not finished processing."}"#,
            retry("Cannot attach files that have not finished processing. (HTTP 422)"),
        );
        check(500, "<h1>We're sorry</h1> a < b", unsure("We're sorry a < b (HTTP 500)"));
        check(502, "", unsure("HTTP 502"));
        check(503, "", unsure("HTTP 503"));
        check(408, "", unsure("HTTP 408"));
        check(422, r#"{"error":"no","error_description":"s3cret leaked"}"#, refused("no: … leaked (HTTP 422)"));
    }

    proptest::proptest! {
        #[test]
        fn no_answer_is_too_strange(status in 100u16..1000, body in proptest::collection::vec(0u8.., 0..300)) {
            let token = SecretString::from("s3cret");
            let body = String::from_utf8_lossy(&body).into_owned() + "<s3cret";
            let words = answer(status, &body).into_error(Deed::Publish, &token).to_string();
            proptest::prop_assert!(words.chars().count() <= MAX_WORDS + 100);
            proptest::prop_assert!(!words.contains("s3cret"));
        }
    }

    #[test]
    fn a_limit_ends_when_the_server_says() {
        let mut headers = HeaderMap::new();
        headers.insert("date", "Mon, 23 Nov 2026 10:00:00 GMT".parse().unwrap());
        headers.insert("x-ratelimit-reset", "2026-11-23T10:05:00.123456Z".parse().unwrap());
        assert_eq!(waits(&headers).1.unwrap().as_secs(), 300);
        headers.insert("x-ratelimit-reset", "2026-11-23T12:05:00+02:00".parse().unwrap());
        assert_eq!(waits(&headers).1.unwrap().as_secs(), 300);
        headers.insert("x-ratelimit-reset", "1795428060".parse().unwrap());
        assert_eq!(waits(&headers).1.unwrap().as_secs(), 60);
        headers.insert("x-ratelimit-reset", "soon".parse().unwrap());
        assert_eq!(waits(&headers).1, None);
        headers.insert("x-ratelimit-reset", "2026-11-23T09:05:00Z".parse().unwrap());
        assert_eq!(waits(&headers).1.unwrap(), Duration::ZERO);
        headers.insert("retry-after", "30".parse().unwrap());
        assert_eq!(waits(&headers).0.unwrap().as_secs(), 30);
        headers.insert("retry-after", "Mon, 23 Nov 2026 10:01:00 GMT".parse().unwrap());
        assert_eq!(waits(&headers).0.unwrap().as_secs(), 60);
        headers.insert("retry-after", "99999999999".parse().unwrap());
        assert_eq!(waits(&headers).0.unwrap(), MAX_WAIT);
    }
}
