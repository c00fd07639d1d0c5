//! A saved answer of any source, recognised by what is in it: `oyez preview --file`.
//!
//! A document does not say where it came from, but its things do: a feed names its page, an event and a video their own
//! address. A Discourse topic names its forum in none of its fields; its own uploads, its quotes and the links to itself do.
//! Where nothing tells, `https://forum.example` stands for it, so that a preview still works and nobody takes its links
//! for real ones.
use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use super::{Reread, discourse, feed, media_ccc, peertube};
use crate::config::{SourceConfig, SourceSpec};
use crate::http::{Get, Http};
use crate::item::Found;

/// Stands for the forum, instance or site a document does not name.
const UNKNOWN_FORUM: &str = "https://forum.example";
const UNKNOWN_SITE: &str = "https://feed.example";
/// Bytes of a document.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Everything a saved document announces, in its order. A feed or list that announces nothing is an empty answer.
/// `file_name` settles only what a broken document was meant to be, for the wording of the error.
///
/// # Errors
/// What the document is instead of one of a known kind, or where it is broken.
pub fn recognise(bytes: &[u8], file_name: Option<&str>) -> Result<Vec<Found>, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("the document has {} bytes, more than {MAX_BYTES}", bytes.len()));
    }
    let body = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let first = body.iter().find(|b| !b.is_ascii_whitespace());
    match first {
        None => Err("the document is empty".into()),
        Some(b'{' | b'[') => match serde_json::from_slice::<Value>(body) {
            Ok(value) => json(&value, body),
            Err(error) => Err(format!("broken JSON in line {}: {error}", error.line())),
        },
        Some(_) => {
            let looks_json = file_name.is_some_and(|name| name.to_ascii_lowercase().ends_with(".json"));
            let known =
                "Oyez knows topics and lists of Discourse, feeds, events of media.ccc.de and videos of PeerTube";
            let feed = xml(bytes).map_err(|reason| {
                let meant = if looks_json { ", though it is named as JSON" } else { "" };
                format!("not a document Oyez knows{meant}: {reason} ({known})")
            })?;
            announced(feed)
        }
    }
}

fn xml(bytes: &[u8]) -> Result<feed::ParsedFeed, String> {
    let unknown = parsed(UNKNOWN_SITE);
    let first = feed::parse(bytes, &unknown, None)?;
    // Relative addresses belong to the feed's own page, where it names one.
    let home = first.home.clone().filter(|home| home.host_str() != unknown.host_str());
    match home {
        Some(home) => feed::parse(bytes, &home, None),
        None => Ok(first),
    }
}

/// A feed of entries none of which can be announced is told with the reason, not as an empty one.
fn announced(feed: feed::ParsedFeed) -> Result<Vec<Found>, String> {
    match feed.skipped.first() {
        Some(reason) if feed.entries.is_empty() => {
            Err(format!("a feed without an entry that can be announced: {reason}"))
        }
        Some(_) | None => Ok(feed.entries.into_iter().map(|e| e.found).collect()),
    }
}

fn json(value: &Value, body: &[u8]) -> Result<Vec<Found>, String> {
    let Some(root) = value.as_object() else {
        return Err("not a document Oyez knows: a JSON array or a bare value".into());
    };
    let has = |key: &str| root.contains_key(key);
    let version = root.get("version").and_then(Value::as_str).unwrap_or_default();
    if has("post_stream") {
        if !has("title") {
            return Err("a page of a topic's posts, not the topic: ask for `/t/ID.json`".into());
        }
        return topic(body, &forum_of(value)).map(|found| vec![found]);
    }
    if has("topic_list") {
        return list(body, &forum_of(value));
    }
    if version.contains("jsonfeed.org") {
        let home = root.get("home_page_url").and_then(Value::as_str).and_then(|u| Url::parse(u).ok());
        return announced(feed::parse(body, &home.unwrap_or_else(|| parsed(UNKNOWN_SITE)), None)?);
    }
    if root.get("conferences").is_some_and(Value::is_array) {
        return Err("a list of conferences announces nothing by itself: give the document of one of them".into());
    }
    let base = |address: Option<&str>| {
        let address = address.and_then(|a| Url::parse(a).ok()).and_then(|a| a.join("/").ok());
        address.unwrap_or_else(|| parsed("https://media.ccc.de"))
    };
    if let Some(events) = root.get("events").and_then(Value::as_array) {
        let of_event = events.first().and_then(|e| e.get("url")).and_then(Value::as_str);
        let base = base(root.get("url").and_then(Value::as_str).or(of_event));
        return media_ccc::parse_events(body, &base).map(|events| events.found);
    }
    if has("guid") && (has("frontend_link") || has("conference_url")) {
        return media_ccc::parse_event(body, &base(root.get("url").and_then(Value::as_str))).map(|found| vec![found]);
    }
    if let Some(data) = root.get("data").and_then(Value::as_array) {
        if data.is_empty() {
            return Ok(Vec::new());
        }
        if data.iter().any(|v| {
            v.get("uuid").is_some()
                && v.get("name").is_some()
                && v.get("privacy").is_some()
                && v.get("duration").is_some()
        }) {
            return peertube::parse_list(body, &instance_of(&data[0])).map(|videos| videos.found);
        }
    } else if has("uuid") && has("name") && has("privacy") && has("duration") {
        return match peertube::parse_video(body, &instance_of(value))? {
            Reread::Present(found) => Ok(vec![*found]),
            Reread::Gone(why) => Err(format!("a video that is {why}")),
            Reread::Unknown => Ok(Vec::new()),
        };
    }
    let keys: Vec<String> =
        root.keys().take(8).map(|k| format!("`{}`", k.chars().take(40).collect::<String>())).collect();
    Err(format!("not a document Oyez knows: JSON with keys {}", keys.join(", ")))
}

/// The instance a video's relative pictures belong to: the one that keeps the copies of its channel's pictures, else the
/// video's own.
fn instance_of(video: &Value) -> Url {
    let avatar = ["account", "channel"].iter().find_map(|actor| {
        video.get(actor)?.get("avatars")?.as_array()?.iter().find_map(|a| a.get("fileUrl")?.as_str())
    });
    let own = video.get("url").and_then(Value::as_str);
    let address = [avatar, own].into_iter().flatten().find_map(|u| Url::parse(u).ok()?.join("/").ok());
    address.unwrap_or_else(|| parsed("https://peertube.example"))
}

/// The forum of a topic or list, as far as its own fields tell: the address most of its posts agree on.
fn forum_of(value: &Value) -> Url {
    let id = value.get("id").and_then(Value::as_u64);
    let slug = value.get("slug").and_then(Value::as_str);
    let posts = value.pointer("/post_stream/posts").and_then(Value::as_array).into_iter().flatten();
    let cooked = posts.take(20).filter_map(|p| p.get("cooked").and_then(Value::as_str));
    // The topic's own address in one of its posts is the strongest sign; its uploads may stand on another host.
    if let (Some(id), Some(slug)) = (id, slug) {
        let own = format!("/t/{slug}/{id}");
        for text in cooked {
            let before = text.find(&own).map(|at| &text[..at]);
            let start = before.and_then(|b| b.rfind("https://").or_else(|| b.rfind("http://")).map(|at| &b[at..]));
            if let Some(base) = start.filter(|s| !s.contains(['"', ' ', '<'])).and_then(|s| Url::parse(s).ok()) {
                return base;
            }
        }
    }
    let more = value.pointer("/topic_list/more_topics_url").and_then(Value::as_str);
    more.and_then(|m| Url::parse(m).ok()).and_then(|u| u.join("/").ok()).unwrap_or_else(|| parsed(UNKNOWN_FORUM))
}

fn parsed(constant: &str) -> Url {
    Url::parse(constant).expect("written here, and a URL")
}

/// A topic through the reader of forums.
fn topic(bytes: &[u8], base: &Url) -> Result<Found, String> {
    discourse::parse_topic(bytes, base).map_err(|error| error.to_string())
}

/// What a category's list shows of its topics: no texts, which stand in the topics themselves.
fn list(bytes: &[u8], base: &Url) -> Result<Vec<Found>, String> {
    let list = discourse::parse_list(bytes).map_err(|error| error.to_string())?;
    Ok(list.topics.into_iter().filter(|topic| !topic.is_furniture(false)).map(|topic| topic.found(base)).collect())
}

/// What stands at an address, for `oyez preview URL`: a topic, a video, an event, or a feed. The address is the
/// operator's own, so it may be anywhere the configuration could name.
///
/// # Errors
/// In words for the operator: where it was looked for and what came back.
pub async fn fetch(http: &Http, url: &Url, sources: &[SourceConfig], now: Timestamp) -> Result<Vec<Found>, String> {
    if let Some(id) = crate::link::youtube_id(url) {
        return video_of(http, &id, sources, now).await;
    }
    let ask = document_address(url);
    let answer = http.get(&ask, Get::default(), now).await.map_err(|error| error.to_string())?;
    match answer.status {
        200 => {}
        404 | 410 => return Err("there is nothing at this address, or it is not public".into()),
        status => return Err(format!("it answered {status}")),
    }
    let name = ask.path().rsplit('/').next();
    match recognise_from(&answer.body, &answer.url, name) {
        Err(_) if looks_like_page(&answer.body) => {
            Err("it is a web page; give the address of a topic, of a video on media.ccc.de or PeerTube, or of a feed"
                .into())
        }
        other => other,
    }
}

/// YouTube itself tells nothing without a key: the video is looked for in the feeds of the configuration.
async fn video_of(http: &Http, id: &str, sources: &[SourceConfig], now: Timestamp) -> Result<Vec<Found>, String> {
    let key = format!("youtube:{id}");
    let mut asked = 0;
    for source in sources {
        let SourceSpec::Feed { url } = &source.spec else { continue };
        asked += 1;
        let Ok(answer) = http.get(url, Get::default(), now).await else { continue };
        let Ok(feed) = feed::parse(&answer.body, url, answer.content_type.as_deref()) else { continue };
        if let Some(entry) = feed.entries.into_iter().find(|e| e.found.key == key || e.found.aliases.contains(&key)) {
            return Ok(vec![entry.found]);
        }
    }
    Err(format!("the video is in none of the {asked} feeds of the configuration, and YouTube tells nothing else"))
}

/// Where the document behind a page is.
fn document_address(page: &Url) -> Url {
    let segments: Vec<&str> = page.path_segments().into_iter().flatten().filter(|s| !s.is_empty()).collect();
    let join = |path: String| page.join(&path).unwrap_or_else(|_| page.clone());
    if page.host_str().is_some_and(media_ccc::is_voctoweb) {
        return match segments.as_slice() {
            ["v", slug, ..] => join(format!("/public/events/{slug}")),
            ["c", acronym, ..] => join(format!("/public/conferences/{acronym}")),
            _ => page.clone(),
        };
    }
    if let Some(at) = segments.iter().position(|s| *s == "t")
        && let Some(id) = segments[at + 1..].iter().take(2).find(|s| s.bytes().all(|b| b.is_ascii_digit()))
    {
        let before = segments[..at].iter().map(|s| format!("/{s}")).collect::<String>();
        return join(format!("{before}/t/{id}.json"));
    }
    match peertube::id_of_path(page.path()) {
        Some(id) => join(format!("/api/v1/videos/{id}")),
        None => page.clone(),
    }
}

/// As [`recognise`], where the forum or site is known: it was asked.
fn recognise_from(bytes: &[u8], base: &Url, name: Option<&str>) -> Result<Vec<Found>, String> {
    let value: Option<Value> = serde_json::from_slice(bytes).ok();
    let has = |key: &str| value.as_ref().is_some_and(|value| value.get(key).is_some());
    let mut forum = base.clone();
    forum.set_query(None);
    if let Some(at) = forum.path().find("/t/") {
        let before = forum.path()[..=at].to_owned();
        forum.set_path(&before);
    }
    if has("post_stream") && has("title") {
        return topic(bytes, &forum).map(|found| vec![found]);
    }
    if value.is_none()
        && let Ok(feed) = feed::parse(bytes, base, None)
    {
        return announced(feed);
    }
    recognise(bytes, name)
}

fn looks_like_page(bytes: &[u8]) -> bool {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).to_ascii_lowercase();
    start.contains("<!doctype html") || start.contains("<html")
}

/// The configured source that would have heard a thing, as far as its key and address tell.
pub fn source_of<'a>(found: &Found, sources: &'a [SourceConfig]) -> Option<&'a SourceConfig> {
    let host = Url::parse(&found.url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let category = found.category.as_deref();
    sources.iter().find(|source| match &source.spec {
        SourceSpec::Discourse { url, category: wanted, .. } => {
            found.key.starts_with("discourse:")
                && url.host_str() == host.as_deref()
                && category.is_none_or(|c| wanted.rsplit('/').next() == Some(c))
        }
        SourceSpec::Feed { url } => {
            (found.key.starts_with("youtube:") && url.host_str().is_some_and(|h| h.ends_with("youtube.com")))
                || (found.key.starts_with("feed:") && url.host_str() == host.as_deref())
        }
        SourceSpec::MediaCcc { .. } => found.key.starts_with("media-ccc-de:"),
        SourceSpec::PeerTube { url, .. } => {
            found.key.starts_with("peertube:") && url.host_str().is_some_and(|h| found.key.contains(h))
        }
    })
}

/// The kind a thing has where no source says: videos are talks.
pub fn usual_kind(found: &Found) -> &'static str {
    let video = ["youtube:", "media-ccc-de:", "peertube:"].iter().any(|prefix| found.key.starts_with(prefix));
    if video { "talk" } else { "announcement" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    #[track_caller]
    fn refused(input: &[u8], want: &str) {
        let error = recognise(input, None).expect_err("it should be refused");
        assert!(error.contains(want), "{error}");
    }

    #[test]
    fn says_what_it_does_not_know() {
        refused(b"", "empty");
        refused(b"   \n", "empty");
        refused(b"plain words", "neither XML nor JSON");
        refused(b"<!DOCTYPE html><html><body>Not found</body></html>", "HTML page");
        refused(b"<svg/>", "root element is `svg`");
        refused(b"{\"a\": 1, \"b\": 2}", "JSON with keys `a`, `b`");
        refused(b"[1, 2]", "array");
        refused(b"{\"a\":\n}", "broken JSON in line 2");
        refused(b"<rss version='2.0'><channel>\n<item></channel></rss>", "broken XML in line 2");
        refused(b"{\"conferences\": []}", "list of conferences");
        refused(b"{\"post_stream\": {}, \"id\": 1}", "page of a topic's posts");
        refused(&b"[".repeat(200_000), "broken JSON");
        refused(&b"<a>".repeat(200_000), "nested deeper");
        refused(&b"<!--".repeat(200_000), "broken XML");
    }

    #[test]
    fn recognises_documents_by_their_content() {
        #[track_caller]
        fn check(input: &[u8], want: &[&str]) {
            let keys: Vec<String> = recognise(input, None).unwrap().into_iter().map(|f| f.key).collect();
            assert_eq!(keys, want);
        }
        check(
            include_bytes!("../../tests/fixtures/media_ccc/conference.json"),
            &["media-ccc-de:11111111-2222-5333-8444-555555555555", "media-ccc-de:66666666-2222-5333-8444-555555555555"],
        );
        check(
            include_bytes!("../../tests/fixtures/peertube/list.json"),
            &[
                "peertube:tube.example/9c9de5e8-0a1e-484a-b099-e80766180a6d",
                "peertube:far.example/076fdbf7-5a70-4edc-87c6-cead149ed848",
            ],
        );
        check(
            include_bytes!("../../tests/fixtures/youtube/channel.xml"),
            &["youtube:AAAAAAAAAA1", "youtube:AAAAAAAAAA2"],
        );
        check(b"{\"version\":\"https://jsonfeed.org/version/1\",\"title\":\"x\",\"items\":[]}", &[]);
        check(b"{\"total\":0,\"data\":[]}", &[]);
    }

    fn files(under: &Path, into: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(under) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                files(&path, into);
            } else {
                into.push(path);
            }
        }
    }

    /// Real documents, good and bad. None may panic, and most feeds must be read.
    #[test]
    #[expect(clippy::print_stderr, reason = "tells whether it ran, and what it found")]
    fn the_corpus_is_read_or_refused() {
        let Some(corpus) = std::env::var_os("OYEZ_CORPUS") else {
            eprintln!("skipped: OYEZ_CORPUS is not set");
            return;
        };
        let mut all = Vec::new();
        files(&Path::new(&corpus).join("sources"), &mut all);
        all.sort();
        let mut counts: BTreeMap<String, (usize, usize, usize)> = BTreeMap::new();
        for path in all {
            let bytes = std::fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let folder = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
            let outcome = recognise(&bytes, Some(&name));
            let count = counts.entry(folder).or_default();
            match outcome {
                Ok(found) => {
                    count.0 += 1;
                    count.1 += found.len();
                    for f in found {
                        assert!(!f.key.is_empty() && !f.title.is_empty(), "{}: {f:?}", path.display());
                        assert!(
                            f.url.starts_with("http://") || f.url.starts_with("https://"),
                            "{}: {}",
                            path.display(),
                            f.url
                        );
                    }
                }
                Err(reason) => {
                    assert!(!reason.contains('\n') && reason.len() < 600, "{}: {reason}", path.display());
                    eprintln!("{}: {reason}", path.display());
                    count.2 += 1;
                }
            }
        }
        for (folder, (read, found, refused)) in &counts {
            eprintln!("{folder}: {read} read with {found} things, {refused} refused");
        }
        let read = |folder: &str| counts.get(folder).map_or(0, |c| c.0);
        assert!(read("youtube-feed") >= 3);
        assert!(read("discourse-rss") >= 7);
        assert!(read("mediaccc-api") >= 6);
        assert!(read("peertube-api") >= 5);
        assert!(read("feed-rs") >= 23);
        assert!(read("miniflux") >= 7);
        assert!(read("feedparser") >= 70);
        assert!(read("gofeed") >= 40);
    }
}
