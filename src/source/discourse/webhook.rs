//! Webhooks: a hint that a topic is worth reading. Polling stays the source of truth.
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::answer::{json, number};

/// The topic an event is about. Hints for one topic are one hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hint {
    /// Its id.
    pub topic: u64,
    /// Where it is, if the event says.
    pub category: Option<u64>,
}

/// Does the header `X-Discourse-Event-Signature` (`sha256=…`) fit these exact bytes? Compared in constant time; to be
/// asked before anything is parsed. An empty secret fits nothing.
pub fn verify_signature(secret: &[u8], body: &[u8], header: &str) -> bool {
    let Some(wanted) = header.trim().strip_prefix("sha256=").and_then(unhex) else { return false };
    if secret.is_empty() {
        return false;
    }
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    mac.update(body);
    mac.verify_slice(&wanted).is_ok()
}

/// The header a Discourse would send with this body.
pub(crate) fn sign(secret: &[u8], body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256={hex}")
}

fn unhex(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        hex.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|p| p[0] << 4 | p[1]).collect())
}

/// What an event is a hint to. `None`: nothing to do (a ping, a reply, a like).
///
/// Only topics and first posts count: an announcement with two hundred replies is read once, not two hundred times.
/// Bodies are believed for nothing but the number: `raw`, `cooked` and tags may be missing or have changed since.
///
/// # Errors
/// When it is no JSON of an event.
pub fn parse_webhook(body: &[u8]) -> Result<Option<Hint>, String> {
    let json = json(body).map_err(|e| e.to_string())?;
    let Some(event) = json.as_object() else { return Err("this is not an event".into()) };
    if let Some(topic) = event.get("topic").filter(|t| t.is_object()) {
        return hint(topic, number(topic, "id"));
    }
    if let Some(post) = event.get("post").filter(|p| p.is_object()) {
        return match number(post, "post_number") {
            Some(1) => hint(post, number(post, "topic_id")),
            Some(_) | None => Ok(None),
        };
    }
    Ok(None)
}

fn hint(value: &Value, topic: Option<u64>) -> Result<Option<Hint>, String> {
    let topic = topic.filter(|id| *id > 0).ok_or("the event does not say which topic it is about")?;
    Ok(Some(Hint { topic, category: number(value, "category_id") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"my_lovely_secret_for_web_hook";
    const SIGNED: &str = "sha256=162f107f6b5022353274eb1a7197885cfd35744d8d08e5bcea025d309386b7d6";

    #[test]
    fn the_published_vector_verifies() {
        assert!(verify_signature(SECRET, br#"{"ping":"OK"}"#, SIGNED));
        assert_eq!(sign(SECRET, br#"{"ping":"OK"}"#), SIGNED);
    }

    #[test]
    fn anything_else_does_not() {
        let ping = br#"{"ping":"OK"}"#;
        for header in
            ["", "sha256=", "sha1=162f", &SIGNED[7..], &SIGNED[..40], "sha256=zz", &format!("{SIGNED}00"), "sha256=1"]
        {
            assert!(!verify_signature(SECRET, ping, header), "{header}");
        }
        assert!(!verify_signature(b"other", ping, SIGNED));
        assert!(!verify_signature(SECRET, br#"{"ping":"OK"} "#, SIGNED));
        assert!(!verify_signature(b"", ping, &sign(b"", ping)), "no secret is no proof");
    }

    #[test]
    fn an_event_names_its_topic() {
        #[track_caller]
        fn check(body: &str, want: Option<(u64, Option<u64>)>) {
            let got = parse_webhook(body.as_bytes()).unwrap().map(|h| (h.topic, h.category));
            assert_eq!(got, want, "{body}");
        }
        check(r#"{"ping":"OK"}"#, None);
        check(r#"{"topic":{"id":301,"category_id":8,"tags":["a"]}}"#, Some((301, Some(8))));
        check(r#"{"topic":{"id":301,"tags":[{"id":1,"name":"a"}],"category_id":null}}"#, Some((301, None)));
        check(r#"{"post":{"id":7,"post_number":1,"topic_id":301,"category_id":8}}"#, Some((301, Some(8))));
        check(r#"{"post":{"id":8,"post_number":2,"topic_id":301,"cooked":"<p>Me too</p>"}}"#, None);
        check(r#"{"like":{"post":{"topic_id":301,"post_number":1}}}"#, None);
        check(r#"{"user":{"id":1}}"#, None);
        assert!(parse_webhook(br#"{"topic":{"title":"x"}}"#).is_err());
        assert!(parse_webhook(b"payload=1").is_err());
        assert!(parse_webhook(b"[]").is_err());
        assert!(parse_webhook(&b"[".repeat(100_000)).is_err());
    }
}
