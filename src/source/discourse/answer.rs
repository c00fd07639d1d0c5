//! What a Discourse means by an answer, and reading its JSON leniently: unknown fields are ignored, a field of the wrong
//! type counts as absent, so that one odd value never costs a whole document.
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::http::{Answer, HttpError};
use crate::source::SourceError;
use crate::text::one_line;

/// In characters: a forum's own error message is quoted up to here.
const MESSAGE_MAX: usize = 200;

/// Why a request brought nothing. The variants say what to try next.
#[derive(Debug)]
pub(super) enum Fault {
    /// Not now.
    Later { reason: String, after: Option<Duration> },
    /// JSON is not to be had: a challenge, a login, a proxy's page. The RSS may still be.
    Refused { status: u16, reason: String },
    /// The forum itself says that there is no such thing, or none that may be seen.
    Absent(String),
    /// It answered with something that is not what was asked for.
    Broken(String),
}

impl From<Fault> for SourceError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Later { reason, after } => SourceError::Later { reason, after },
            // A page with status 200 stays until somebody mends it; a challenge may be gone the next minute.
            Fault::Refused { status: 200, reason } => SourceError::Broken(reason),
            Fault::Refused { status: _, reason } => SourceError::Later { reason, after: None },
            Fault::Absent(reason) => SourceError::Misconfigured(reason),
            Fault::Broken(reason) => SourceError::Broken(reason),
        }
    }
}

impl From<HttpError> for Fault {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::NotSent(reason) | HttpError::NoAnswer(reason) => Fault::Later { reason, after: None },
            HttpError::Bound(reason) => Fault::Broken(reason),
        }
    }
}

impl From<SourceError> for Fault {
    /// For the parsers, which only ever say `Broken`.
    fn from(error: SourceError) -> Self {
        Fault::Broken(error.to_string())
    }
}

/// Is this answer the JSON that was asked for? `host` is for the message.
pub(super) fn check_json(answer: &Answer, host: &str) -> Result<(), Fault> {
    let status = answer.status;
    let refused = |what: &str| Fault::Refused { status, reason: format!("`{host}` {what} (HTTP {status})") };
    if status == 200 {
        return if looks_like_json(&answer.body) {
            Ok(())
        } else {
            Err(refused("answered with a page instead of JSON"))
        };
    }
    check_busy(answer, host)?;
    let error = ForumError::read(&answer.body);
    match (status, error) {
        (401 | 403, Some(e)) if e.kind == "not_logged_in" => Err(refused("shows this to members only")),
        (404 | 410, Some(e)) if matches!(e.kind.as_str(), "" | "not_found" | "invalid_access") => {
            Err(Fault::Absent(e.message))
        }
        (403, Some(e)) if matches!(e.kind.as_str(), "not_found" | "invalid_access") => Err(Fault::Absent(e.message)),
        (401 | 403 | 404 | 406 | 410, _) => Err(refused("refused to answer with JSON")),
        (_, Some(e)) => Err(Fault::Broken(format!("`{host}` answered {status}: {}", e.message))),
        (_, None) => Err(Fault::Broken(format!("`{host}` answered {status}"))),
    }
}

/// Is this answer a feed?
pub(super) fn check_rss(answer: &Answer, host: &str) -> Result<(), Fault> {
    check_busy(answer, host)?;
    let head = &answer.body[..answer.body.len().min(2_000)];
    if answer.status == 200 && head.windows(4).any(|w| w == b"<rss") {
        return Ok(());
    }
    let reason = format!("`{host}` gives no feed for the category (HTTP {})", answer.status);
    Err(Fault::Refused { status: answer.status, reason })
}

/// 429 in both its shapes (plain text of the middleware, JSON of the application), and everything of the 5xx.
fn check_busy(answer: &Answer, host: &str) -> Result<(), Fault> {
    let status = answer.status;
    if status == 429 {
        let after = answer.retry_after.or_else(|| wait_seconds(&answer.body));
        return Err(Fault::Later { reason: format!("`{host}` asks us to slow down (HTTP 429)"), after });
    }
    if (500..600).contains(&status) {
        let after = answer.retry_after;
        return Err(Fault::Later { reason: format!("`{host}` is out of order (HTTP {status})"), after });
    }
    Ok(())
}

/// The wait a 429 names in its body when the header was lost on the way; at most a day.
fn wait_seconds(body: &[u8]) -> Option<Duration> {
    let seconds = match serde_json::from_slice::<Value>(body) {
        Ok(json) => json.get("extras").and_then(|extras| number(extras, "wait_seconds")),
        // "Please retry again in 24 seconds." The sentence may be translated; its only number is not.
        Err(_) => {
            let text = String::from_utf8_lossy(&body[..body.len().min(1_000)]).into_owned();
            text.lines().find_map(|line| {
                line.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
            })
        }
    };
    seconds.map(|s| Duration::from_secs(s.min(86_400)))
}

/// Discourse's own way to say no: `{"errors":["…"],"error_type":"not_found"}`.
struct ForumError {
    kind: String,
    message: String,
}

impl ForumError {
    /// `None`: this is not Discourse speaking, whatever the status says.
    fn read(body: &[u8]) -> Option<Self> {
        let json: Value = serde_json::from_slice(body).ok()?;
        let first = json.get("errors")?.as_array()?.first()?.as_str()?;
        let message = one_line(first).chars().take(MESSAGE_MAX).collect();
        Some(Self { kind: string(&json, "error_type").unwrap_or_default().to_owned(), message })
    }
}

/// The first byte that is not white space (nor a byte-order mark) opens an object or an array.
pub(super) fn looks_like_json(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    matches!(body.iter().find(|b| !b.is_ascii_whitespace()), Some(b'{' | b'['))
}

/// A JSON document, or why it is none.
pub(super) fn json(bytes: &[u8]) -> Result<Value, SourceError> {
    if !looks_like_json(bytes) {
        return Err(SourceError::Broken("this is not JSON (a web page, perhaps)".into()));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(|e| SourceError::Broken(format!("broken JSON: {}", crate::source::reason(e))))
}

/// A text that is there and not empty.
pub(super) fn string<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str().map(str::trim).filter(|s| !s.is_empty())
}

/// A whole number, also one that was written as text.
pub(super) fn number(value: &Value, key: &str) -> Option<u64> {
    let value = value.get(key)?;
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// `true`, and nothing else.
pub(super) fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// Is the field there and not null?
pub(super) fn is_set(value: &Value, key: &str) -> bool {
    value.get(key).is_some_and(|v| !v.is_null())
}

/// ISO 8601 with `Z`, or with an offset as very old forums have it.
pub(super) fn time(value: &Value, key: &str) -> Option<Timestamp> {
    string(value, key)?.parse().ok()
}

/// `["nix"]` of old versions and webhooks, `[{"id":1,"name":"nix","slug":"nix"}]` of new ones. At most 50.
pub(super) fn tags(value: &Value) -> Vec<String> {
    let Some(list) = value.get("tags").and_then(Value::as_array) else { return Vec::new() };
    let name = |tag: &Value| tag.as_str().or_else(|| string(tag, "name")).or_else(|| string(tag, "slug")).map(one_line);
    list.iter().filter_map(name).filter(|tag| !tag.is_empty()).take(50).collect()
}

/// The plain title: `unicode_title` has emoji instead of `:codes:`, `title` is plain, `fancy_title` is HTML.
pub(super) fn title(value: &Value) -> Option<String> {
    let title = match string(value, "unicode_title").or_else(|| string(value, "title")) {
        Some(plain) => one_line(plain),
        None => crate::text::title_from_html(string(value, "fancy_title")?),
    };
    Some(title.chars().take(500).collect::<String>()).filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str, retry_after_s: Option<u64>) -> Answer {
        Answer {
            status,
            body: body.as_bytes().to_vec(),
            content_type: None,
            validators: Default::default(),
            date: None,
            fresh_for: None,
            retry_after: retry_after_s.map(Duration::from_secs),
            url: "https://forum.example/x.json".parse().unwrap(),
            moved_to: None,
        }
    }

    #[track_caller]
    fn check(status: u16, body: &str, want: &str) {
        let got = match check_json(&answer(status, body, None), "forum.example") {
            Ok(()) => "ok".to_owned(),
            Err(Fault::Later { after, .. }) => format!("later {:?}", after.map(|d| d.as_secs())),
            Err(Fault::Refused { .. }) => "refused".to_owned(),
            Err(Fault::Absent(_)) => "absent".to_owned(),
            Err(Fault::Broken(_)) => "broken".to_owned(),
        };
        assert_eq!(got, want, "{status} {body}");
    }

    #[test]
    fn an_answer_is_told_apart_by_who_speaks() {
        check(200, r#" {"a":1}"#, "ok");
        check(200, "<!DOCTYPE html><title>Just a moment...</title>", "refused");
        check(200, "", "refused");
        check(403, "<!DOCTYPE html><title>Just a moment...</title>", "refused");
        check(404, "<html>nginx</html>", "refused");
        check(404, r#"{"status":404,"error":"Not Found"}"#, "refused");
        check(404, r#"{"errors":["gone"],"error_type":"not_found"}"#, "absent");
        check(404, r#"{"errors":["gone"]}"#, "absent");
        check(410, r#"{"errors":["deleted"],"error_type":"not_found"}"#, "absent");
        check(403, r#"{"errors":["no"],"error_type":"invalid_access"}"#, "absent");
        check(403, r#"{"errors":["no"]}"#, "refused");
        check(403, r#"{"errors":["log in"],"error_type":"not_logged_in"}"#, "refused");
        check(503, "<html>upgrading</html>", "later None");
        check(503, r#"{"errors":["read only"],"error_type":"read_only"}"#, "later None");
        check(422, r#"{"errors":["no"]}"#, "broken");
    }

    #[test]
    fn both_shapes_of_429_say_how_long() {
        check(
            429,
            "Slow down, too many requests.\nRetry again in 24 seconds.\nError code: ip_60_secs_limit",
            "later Some(24)",
        );
        let json = r#"{"errors":["x"],"error_type":"rate_limit","extras":{"wait_seconds":7,"time_left":"7 s"}}"#;
        check(429, json, "later Some(7)");
        check(429, "slow down", "later None");
        let Err(Fault::Later { after, .. }) = check_json(&answer(429, json, Some(30)), "h") else { panic!() };
        assert_eq!(after, Some(Duration::from_secs(30)), "the header is believed first");
    }

    #[test]
    fn a_challenge_is_a_transport_failure() {
        let fault = check_json(&answer(403, "<html>", None), "h").unwrap_err();
        assert!(matches!(SourceError::from(fault), SourceError::Later { .. }));
        let fault = check_json(&answer(200, "<html>", None), "h").unwrap_err();
        assert!(matches!(SourceError::from(fault), SourceError::Broken(_)));
    }
}
