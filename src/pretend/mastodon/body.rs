//! Bodies of the double's requests and answers.
use std::collections::HashMap;

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{ACCOUNT, Inside, Medium, Status};

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: String,
    pub(super) retry_after: Option<u64>,
    pub(super) resets_in: SignedDuration,
}

impl Reply {
    pub(super) fn json(value: &Value) -> Self {
        Self {
            status: 200,
            content_type: "application/json; charset=utf-8",
            body: value.to_string(),
            retry_after: None,
            resets_in: SignedDuration::from_mins(5),
        }
    }

    pub(super) fn error(status: u16, words: &str) -> Self {
        Self { status, ..Self::json(&json!({ "error": words })) }
    }

    pub(super) fn into_response(self, now: Timestamp) -> Response {
        let reset = now.checked_add(self.resets_in).unwrap_or(now);
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: String| {
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        };
        set("content-type", self.content_type.into());
        // By the double's clock, like everything it says about time.
        set("date", httpdate::fmt_http_date(now.try_into().unwrap_or(std::time::UNIX_EPOCH)));
        set("x-ratelimit-limit", "300".into());
        set("x-ratelimit-remaining", if self.status == 429 { "0" } else { "299" }.into());
        set("x-ratelimit-reset", reset.to_string());
        if let Some(seconds) = self.retry_after {
            set("retry-after", seconds.to_string());
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, headers, self.body).into_response()
    }
}

pub(super) fn attachments(inside: &Inside, body: &Value) -> Result<Vec<Medium>, Reply> {
    let ids = body.get("media_ids").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let media: Vec<Medium> = ids.filter_map(|id| inside.media.iter().find(|m| m.id == id)).cloned().collect();
    if media.iter().any(|m| m.pending > 0) {
        return Err(Reply::error(422, "Cannot attach files that have not finished processing. Try again in a moment!"));
    }
    if media.len() > 4 {
        return Err(Reply::error(422, "Validation failed: Cannot attach more than 4 files"));
    }
    Ok(media)
}

pub(super) fn statuses(inside: &Inside, query: Option<&str>) -> Reply {
    let asked: HashMap<String, String> =
        url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    let limit = asked.get("limit").and_then(|l| l.parse().ok()).unwrap_or(20).min(40);
    let before = asked.get("max_id").and_then(|id| id.parse::<u64>().ok()).unwrap_or(u64::MAX);
    let page: Vec<Value> = inside
        .statuses
        .iter()
        .rev()
        .filter(|s| !s.deleted && s.id.parse::<u64>().is_ok_and(|id| id < before))
        .take(limit)
        .map(status_json)
        .collect();
    Reply::json(&Value::Array(page))
}

pub(super) fn status_json(status: &Status) -> Value {
    json!({
        "id": status.id, "uri": status.url, "url": status.url, "created_at": status.created_at,
        "edited_at": status.edited_at, "content": status.html, "visibility": status.visibility,
        "language": status.language, "spoiler_text": "", "sensitive": false, "reblog": null, "card": null,
        "media_attachments": status.media.iter().map(medium_json).collect::<Vec<_>>(),
        "account": {"id": "1", "username": ACCOUNT, "acct": ACCOUNT},
    })
}

pub(super) fn medium_json(medium: &Medium) -> Value {
    let url = (medium.pending == 0).then(|| format!("https://pretend.example/media/{}", medium.id));
    json!({ "id": medium.id, "type": "image", "url": url, "description": medium.description })
}

pub(super) fn page(inside: &Inside, id: &str) -> Reply {
    match inside.statuses.iter().find(|s| s.id == id && !s.deleted) {
        Some(status) => Reply {
            content_type: "text/html; charset=utf-8",
            body: format!("<!doctype html><meta charset=utf-8><title>@{ACCOUNT}</title>{}", status.html),
            ..Reply::json(&Value::Null)
        },
        None => Reply::error(404, "Record not found"),
    }
}

pub(super) fn upload(inside: &mut Inside, parts: &Parts) -> Reply {
    let Some((content_type, bytes)) = &parts.file else {
        return Reply::error(422, "Validation failed: File can't be blank");
    };
    if !content_type.starts_with("image/") {
        return Reply::error(422, "Validation failed: File content type is invalid");
    }
    let medium = Medium {
        id: (225_000_000_000_000_000u64 + inside.media.len() as u64).to_string(),
        description: parts.description.clone(),
        content_type: content_type.clone(),
        bytes: *bytes,
        pending: inside.processing,
    };
    let status = if medium.pending > 0 { 202 } else { 200 };
    let reply = Reply { status, ..Reply::json(&medium_json(&medium)) };
    inside.media.push(medium);
    reply
}

/// What the double needs of a multipart body.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Content type and size.
    pub(super) file: Option<(String, usize)>,
    pub(super) description: Option<String>,
}

impl Parts {
    pub(super) fn read(content_type: &str, body: &[u8]) -> Self {
        let mut parts = Self::default();
        let Some((_, boundary)) = content_type.split_once("boundary=") else { return parts };
        let boundary = format!("--{}", boundary.trim_matches('"'));
        let find = |bytes: &[u8], needle: &[u8]| bytes.windows(needle.len()).position(|w| w == needle);
        let mut rest = body;
        while let Some(at) = find(rest, boundary.as_bytes()) {
            rest = &rest[at + boundary.len()..];
            let Some(head_end) = find(rest, b"\r\n\r\n") else { break };
            let head = String::from_utf8_lossy(&rest[..head_end]).to_lowercase();
            let content = &rest[head_end + 4..];
            let Some(end) = find(content, format!("\r\n{boundary}").as_bytes()) else { break };
            if head.contains("name=\"description\"") {
                parts.description = Some(String::from_utf8_lossy(&content[..end]).into_owned());
            } else if head.contains("name=\"file\"") {
                let kind = head.lines().find_map(|l| l.strip_prefix("content-type:")).unwrap_or_default();
                parts.file = Some((kind.trim().to_owned(), end));
            }
            rest = &content[end..];
        }
        parts
    }
}
