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
use std::fmt::Display;
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

/// In characters, of what is said about bytes that could not be read.
const MAX_REASON: usize = 300;

/// The words of a parser about a stranger's bytes: they may quote as much of them as there is, and end up in the store, the
/// log and on a terminal. So they become one line with an end.
pub(crate) fn reason(words: impl Display) -> String {
    let words: String = words.to_string().chars().take(8 * MAX_REASON).collect();
    let line = crate::text::one_line(&words);
    match line.char_indices().nth(MAX_REASON) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by fuzzing: quick-xml quotes the whole of a tag that does not fit, serde_json the whole of a text in the
    /// place of a number.
    #[test]
    fn what_is_said_about_broken_bytes_has_an_end() {
        #[track_caller]
        fn check(said: String) {
            assert!(said.chars().count() < 450 && !said.contains(char::is_control), "{} bytes: {said:?}", said.len());
        }
        let base = "https://a.example/".parse().unwrap();
        let long = "x\u{1b}[31m\n".repeat(10_000);
        let xml = format!("<rss><channel><item></item {long}></channel></rss>");
        check(feed::parse(xml.as_bytes(), &base, None).unwrap_err());
        check(discourse::parse_rss(xml.as_bytes(), &base).unwrap_err().to_string());
        check(document::recognise(xml.as_bytes(), None).unwrap_err());
        let json = |value: Value| value.to_string().into_bytes();
        let event = serde_json::json!({"guid": "1", "title": "t", "length": long});
        check(media_ccc::parse_event(&json(event.clone()), &base).unwrap_err());
        let events = media_ccc::parse_events(&json(serde_json::json!({"acronym": "a", "events": [event]})), &base);
        check(events.unwrap().skipped.remove(0));
        let video = serde_json::json!({"uuid": "1", "name": "t", "duration": long});
        check(peertube::parse_video(&json(video.clone()), &base).unwrap_err());
        check(peertube::parse_list(&json(serde_json::json!({"data": [video]})), &base).unwrap_err());
    }

    /// Found by fuzzing: a user name in an address, pictures with other schemes.
    #[test]
    fn addresses_are_for_readers() {
        let base = "https://a.example/".parse().unwrap();
        let feed = r#"<rss xmlns:media="http://search.yahoo.com/mrss/"><channel><item><title>t</title><guid isPermaLink="false">1</guid>
            <link>https://ida@a.example/1</link><media:thumbnail url="https://ida@a.example/1.png"/></item><item><title>u</title>
            <link>https://a.example/2</link><media:thumbnail url="https://ida@a.example/2.png"/></item></channel></rss>"#;
        let feed = feed::parse(feed.as_bytes(), &base, None).unwrap();
        assert_eq!((feed.entries.len(), feed.skipped.len()), (1, 1), "{feed:?}");
        assert_eq!(
            (feed.entries[0].found.url.as_str(), &feed.entries[0].found.images[..]),
            ("https://a.example/2", &[][..])
        );
        let home = r#"<rss><channel><link>https://ida@a.example/</link><item><title>t</title><guid isPermaLink="false">1</guid></item></channel></rss>"#;
        assert!(
            feed::parse(home.as_bytes(), &base, None).unwrap().entries.is_empty(),
            "the page of the feed stands in for it"
        );
        let long = format!(
            "<rss><channel><item><description>{} b</description><link>https://a.example/1</link></item></channel></rss>",
            "a".repeat(119)
        );
        let title = feed::parse(long.as_bytes(), &base, None).unwrap().entries[0].found.title.clone();
        assert_eq!(title, "a".repeat(119), "a title made of a text ends with a word");
        let json = |value: Value| value.to_string().into_bytes();
        let event = |page: &str| {
            let event =
                serde_json::json!({"guid": "1", "title": "t", "frontend_link": page, "poster_url": "file:///a.jpg"});
            media_ccc::parse_event(&json(event), &base)
        };
        assert_eq!(event("https://a.example/v/1").unwrap().images, []);
        assert!(event("https://ida@a.example/v/1").is_err());
        let video = |host: &str| {
            let uuid = "9c9de5e8-0a1e-484a-b099-e80766180a6d";
            let account = serde_json::json!({"name": "ida", "host": host});
            let video = serde_json::json!({"uuid": uuid, "name": "t", "previewPath": "data:,x", "url": "https://ida@a.example/", "account": account,
                "language": {"id": "é"}});
            peertube::parse_video(&json(video), &base)
        };
        let Ok(Reread::Present(found)) = video("b.example") else { panic!() };
        assert!(found.url.starts_with("https://b.example/") && found.images.is_empty(), "{found:?}");
        assert_eq!(found.language, None, "two bytes are no code");
        assert!(video("ida@b.example").is_err());
    }
}
