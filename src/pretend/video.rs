//! Video channels on loopback: YouTube's feed, media.ccc.de's API and PeerTube's list, as sources.md 3 to 5 describe
//! them, with switches for the faults they have had.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use url::Url;

use crate::clock::Clock;

/// Entries of a channel's feed, whatever the channel has.
const FEED_CAP: usize = 15;
/// Requests remembered.
const MAX_REQUESTS: usize = 10_000;

/// How a server answers, for a while.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    #[default]
    Well,
    /// 404 with an HTML page, as YouTube did for days for channels that are there.
    NotFound,
    /// 500.
    Broken,
    /// 429 with `Retry-After: 120`.
    Busy,
    /// 200, and half a document.
    CutOff,
    /// 200 with an HTML page.
    Page,
    /// 410.
    Gone,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Path and query.
    pub address: String,
    /// `If-None-Match`, as it was sent.
    pub if_none_match: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// The status of the answer.
    pub status: u16,
}

/// One video or talk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Video {
    /// Eleven characters at YouTube, a guid or UUID elsewhere.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Plain text.
    pub description: String,
    /// A YouTube short.
    pub short: bool,
    /// Speakers, where the place knows any.
    pub persons: Vec<String>,
    /// Its page elsewhere, such as the talk's at the event's own site.
    pub link: Option<String>,
    /// Seconds.
    pub duration_s: u64,
    /// Where its picture is; `None`: where the real place would have it, which is not on loopback.
    pub image: Option<String>,
}

impl Video {
    /// A video of twenty minutes.
    pub fn new(id: &str, title: &str, description: &str) -> Self {
        Self {
            id: id.into(),
            title: title.into(),
            description: description.into(),
            duration_s: 1200,
            ..Self::default()
        }
    }
}

#[derive(Debug, Clone)]
struct Shown {
    video: Video,
    published: Timestamp,
    updated: Timestamp,
    /// Of PeerTube: 1 is public.
    privacy: u8,
}

#[derive(Debug, Clone)]
struct Raw {
    body: Vec<u8>,
    content_type: String,
}

struct Inner {
    mood: Mood,
    /// Newest first, under the name of their channel or conference.
    shelves: BTreeMap<String, Vec<Shown>>,
    raw: BTreeMap<String, Raw>,
    asked: Vec<Asked>,
}

/// What the three doubles share: a server on a port of its own, until it is dropped.
struct Server {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    clock: Arc<dyn Clock>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Desk {
    inner: Arc<Mutex<Inner>>,
    clock: Arc<dyn Clock>,
    base: String,
    answer: fn(&Desk, &Inner, &Url) -> Option<Reply>,
}

struct Reply {
    content_type: &'static str,
    headers: Vec<(header::HeaderName, &'static str)>,
    /// Sends a weak `ETag` over the body and honours `If-None-Match`.
    conditional: bool,
    status: StatusCode,
    body: String,
}

impl Reply {
    fn json(value: &Value) -> Self {
        Self {
            content_type: "application/json; charset=utf-8",
            headers: vec![(header::CACHE_CONTROL, "max-age=0, private, must-revalidate")],
            conditional: true,
            status: StatusCode::OK,
            body: value.to_string(),
        }
    }

    fn missing(value: &Value) -> Self {
        Self { status: StatusCode::NOT_FOUND, conditional: false, ..Self::json(value) }
    }
}

fn locked(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().expect("no holder of this lock can panic")
}

impl Server {
    async fn start(clock: Arc<dyn Clock>, answer: fn(&Desk, &Inner, &Url) -> Option<Reply>) -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Mutex::new(Inner {
            mood: Mood::Well,
            shelves: BTreeMap::new(),
            raw: BTreeMap::new(),
            asked: Vec::new(),
        }));
        let desk = Desk { inner: inner.clone(), clock: clock.clone(), base: format!("http://{address}"), answer };
        let router = Router::new().fallback(serve).with_state(desk);
        let task = tokio::spawn(async move {
            // Ends when the double is dropped; a failing accept on loopback leaves nothing to tell anybody.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, inner, clock, task })
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).expect("an address and a path make a URL")
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        locked(&self.inner)
    }

    fn publish(&self, shelf: &str, video: Video) {
        let now = self.clock.now();
        let shown = Shown { video, published: now, updated: now, privacy: 1 };
        self.inner().shelves.entry(shelf.to_owned()).or_default().insert(0, shown);
    }

    fn remove(&self, id: &str) -> bool {
        let mut removed = false;
        for shelf in self.inner().shelves.values_mut() {
            let before = shelf.len();
            shelf.retain(|s| s.video.id != id);
            removed |= shelf.len() < before;
        }
        removed
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Shown)) -> bool {
        let now = self.clock.now();
        let mut inner = self.inner();
        let Some(shown) = inner.shelves.values_mut().flatten().find(|s| s.video.id == id) else { return false };
        change(shown);
        shown.updated = now;
        true
    }
}

async fn serve(State(desk): State<Desk>, request: Request) -> Response {
    let target = request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let header = |name| request.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let if_none_match = header(header::IF_NONE_MATCH);
    let mut inner = locked(&desk.inner);
    let (status, headers, body) = answer(&desk, &inner, &target, if_none_match.as_deref());
    if inner.asked.len() < MAX_REQUESTS {
        inner.asked.push(Asked {
            address: target,
            if_none_match,
            user_agent: header(header::USER_AGENT),
            status: status.as_u16(),
        });
    }
    drop(inner);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn answer(desk: &Desk, inner: &Inner, target: &str, if_none_match: Option<&str>) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut headers = HeaderMap::new();
    let mut put = |name: header::HeaderName, value: &str| {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    };
    put(header::DATE, &http_date(desk.clock.now()));
    const PAGE: &[u8] =
        b"<!DOCTYPE html><html><head><title>Something</title></head><body>Something happened.</body></html>";
    let page = |status| (status, PAGE.to_vec());
    let (status, body) = match inner.mood {
        Mood::NotFound => page(StatusCode::NOT_FOUND),
        Mood::Broken => page(StatusCode::INTERNAL_SERVER_ERROR),
        Mood::Page => page(StatusCode::OK),
        Mood::Gone => page(StatusCode::GONE),
        Mood::Busy => {
            put(header::RETRY_AFTER, "120");
            page(StatusCode::TOO_MANY_REQUESTS)
        }
        Mood::Well | Mood::CutOff => {
            let url = Url::parse(&format!("{}{target}", desk.base)).ok();
            let raw = inner.raw.get(target).or_else(|| inner.raw.get(target.split('?').next().unwrap_or(target)));
            let reply = raw.is_none().then(|| url.and_then(|url| (desk.answer)(desk, inner, &url))).flatten();
            let (status, mut body, conditional) = if let Some(raw) = raw {
                put(header::CONTENT_TYPE, &raw.content_type);
                (StatusCode::OK, raw.body.clone(), true)
            } else if let Some(reply) = reply {
                put(header::CONTENT_TYPE, reply.content_type);
                for (name, value) in reply.headers {
                    put(name, value);
                }
                (reply.status, reply.body.into_bytes(), reply.conditional)
            } else {
                put(header::CONTENT_TYPE, "text/html; charset=utf-8");
                (StatusCode::NOT_FOUND, PAGE.to_vec(), false)
            };
            if inner.mood == Mood::CutOff {
                body.truncate(body.len() / 2);
            } else if conditional {
                let tag: String = Sha256::digest(&body)[..16].iter().map(|b| format!("{b:02x}")).collect();
                let tag = format!("W/\"{tag}\"");
                put(header::ETAG, &tag);
                if if_none_match == Some(tag.as_str()) {
                    return (StatusCode::NOT_MODIFIED, headers, Vec::new());
                }
            }
            return (status, headers, body);
        }
    };
    put(header::CONTENT_TYPE, "text/html; charset=utf-8");
    (status, headers, body)
}

fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// What each double offers besides its own.
macro_rules! common {
    ($double:ident) => {
        impl $double {
            /// `http://127.0.0.1:PORT/`.
            pub fn url(&self) -> Url {
                self.server.url("/")
            }
            /// How it answers from now on.
            pub fn set_mood(&self, mood: Mood) {
                self.server.inner().mood = mood;
            }
            /// Answers this path (with or without its query) with these very bytes, as they were captured.
            pub fn serve(&self, path: &str, body: impl Into<Vec<u8>>, content_type: &str) {
                let raw = Raw { body: body.into(), content_type: content_type.to_owned() };
                self.server.inner().raw.insert(path.to_owned(), raw);
            }
            /// Takes a video away. Says whether there was one.
            pub fn remove(&self, id: &str) -> bool {
                self.server.remove(id)
            }
            /// Gives a video another title. Says whether there was one.
            pub fn retitle(&self, id: &str, title: &str) -> bool {
                self.server.change(id, |shown| shown.video.title = title.to_owned())
            }
            /// Every request so far, in order.
            pub fn requests(&self) -> Vec<Asked> {
                self.server.inner().asked.clone()
            }
        }
    };
}

/// A YouTube channel's feed in its shape of 2026: at most fifteen entries, no validators, `max-age=900`.
pub struct Channel {
    server: Server,
    id: String,
}

common!(Channel);

impl Channel {
    /// A channel by its full id (`UC` and 22 characters) and name, on a free port.
    ///
    /// # Errors
    /// When no port of the loopback can be had.
    pub async fn start(id: &str, name: &str, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let server = Server::start(clock, channel_answer).await?;
        server.inner().shelves.insert(format!("{id} {name}"), Vec::new());
        Ok(Self { server, id: id.to_owned() })
    }

    /// Where its feed is read.
    pub fn feed_url(&self) -> Url {
        self.server.url(&format!("/feeds/videos.xml?channel_id={}", self.id))
    }

    /// Shows a new video on top.
    pub fn publish(&self, video: Video) {
        let shelf = self.server.inner().shelves.keys().next().cloned().unwrap_or_default();
        self.server.publish(&shelf, video);
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn channel_answer(_desk: &Desk, inner: &Inner, url: &Url) -> Option<Reply> {
    let (shelf, videos) = inner.shelves.iter().next()?;
    let (id, name) = shelf.split_once(' ')?;
    let asked = url.query_pairs().any(|(key, value)| key == "channel_id" && value == id);
    if url.path() != "/feeds/videos.xml" || !asked {
        return None;
    }
    let bare = id.strip_prefix("UC").unwrap_or(id);
    let name = escaped(name);
    let time = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string();
    let mut body = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns:yt="http://www.youtube.com/xml/schemas/2015" xmlns:media="http://search.yahoo.com/mrss/" xmlns="http://www.w3.org/2005/Atom">
 <link rel="self" href="http://www.youtube.com/feeds/videos.xml?channel_id={id}"/>
 <id>yt:channel:{bare}</id>
 <yt:channelId>{bare}</yt:channelId>
 <title>{name}</title>
 <link rel="alternate" href="https://www.youtube.com/channel/{id}"/>
 <author>
  <name>{name}</name>
  <uri>https://www.youtube.com/channel/{id}</uri>
 </author>
 <published>2015-07-09T20:17:20+00:00</published>
"#
    );
    for shown in videos.iter().take(FEED_CAP) {
        let Video { id: video, title, description, short, image, .. } = &shown.video;
        let (title, description) = (escaped(title), escaped(description));
        let usual = format!("https://i3.ytimg.com/vi/{video}/hqdefault.jpg");
        let picture = escaped(image.as_ref().unwrap_or(&usual));
        let page = if *short { format!("shorts/{video}") } else { format!("watch?v={video}") };
        let (published, updated) = (time(shown.published), time(shown.updated));
        body.push_str(&format!(
            r#" <entry>
  <id>yt:video:{video}</id>
  <yt:videoId>{video}</yt:videoId>
  <yt:channelId>{id}</yt:channelId>
  <title>{title}</title>
  <link rel="alternate" href="https://www.youtube.com/{page}"/>
  <author>
   <name>{name}</name>
   <uri>https://www.youtube.com/channel/{id}</uri>
  </author>
  <published>{published}</published>
  <updated>{updated}</updated>
  <media:group>
   <media:title>{title}</media:title>
   <media:content url="https://www.youtube.com/v/{video}?version=3" type="application/x-shockwave-flash" width="640" height="390"/>
   <media:thumbnail url="{picture}" width="480" height="360"/>
   <media:description>{description}</media:description>
   <media:community>
    <media:starRating count="3" average="5.00" min="1" max="5"/>
    <media:statistics views="42"/>
   </media:community>
  </media:group>
 </entry>
"#
        ));
    }
    body.push_str("</feed>\n");
    Some(Reply {
        content_type: "text/xml; charset=UTF-8",
        headers: vec![(header::CACHE_CONTROL, "public, max-age=900")],
        conditional: false,
        status: StatusCode::OK,
        body,
    })
}

/// media.ccc.de's API: conferences, their events, one event; weak validators and 304.
pub struct Conferences {
    server: Server,
}

common!(Conferences);

impl Conferences {
    /// An installation without a conference, on a free port.
    ///
    /// # Errors
    /// When no port of the loopback can be had.
    pub async fn start(clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        Ok(Self { server: Server::start(clock, conferences_answer).await? })
    }

    /// A conference that is listed from now on.
    pub fn add_conference(&self, acronym: &str) {
        self.server.inner().shelves.entry(acronym.to_owned()).or_default();
    }

    /// Releases a talk of a conference, which is listed from then on.
    pub fn publish(&self, acronym: &str, talk: Video) {
        self.server.publish(acronym, talk);
    }
}

/// The day of a release, as voctoweb writes it: its midnight.
fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT00:00:00.000+00:00").to_string()
}

fn event(desk: &Desk, acronym: &str, shown: &Shown) -> Value {
    let Video { id, title, description, persons, link, duration_s, image, .. } = &shown.video;
    let picture = |end: &str| match image {
        Some(image) => image.clone(),
        None => format!("https://static.media.ccc.de/media/conferences/{acronym}/{id}{end}.jpg"),
    };
    let words: Vec<&str> = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let slug = format!("{acronym}-{}", words.join("-").to_lowercase());
    let base = &desk.base;
    json!({
        "guid": id, "title": title, "subtitle": null, "slug": slug,
        "link": link.as_deref().unwrap_or("https://c3voc.de"), "description": description, "original_language": "eng",
        "persons": persons, "tags": [acronym], "view_count": 3, "promoted": false,
        "date": shown.published.to_string(), "release_date": day(shown.published), "updated_at": shown.updated.to_string(),
        "length": duration_s, "duration": duration_s,
        "thumb_url": picture(""), "poster_url": picture("_preview"),
        "frontend_link": format!("https://media.ccc.de/v/{slug}"), "url": format!("{base}/public/events/{id}"),
        "conference_title": acronym, "conference_url": format!("{base}/public/conferences/{acronym}"), "related": [],
    })
}

fn conferences_answer(desk: &Desk, inner: &Inner, url: &Url) -> Option<Reply> {
    let segments: Vec<&str> = url.path_segments()?.collect();
    let conference = |acronym: &str, talks: &[Shown]| {
        json!({
            "acronym": acronym, "aspect_ratio": "16:9", "updated_at": talks.first().map(|t| t.updated.to_string()), "title": acronym,
            "schedule_url": "", "slug": acronym, "event_last_released_at": talks.first().map(|t| day(t.published)),
            "link": null, "description": null, "url": format!("{}/public/conferences/{acronym}", desk.base),
        })
    };
    let missing = || Reply::missing(&json!({ "message": "not found", "error": "not found" }));
    match segments.as_slice() {
        ["public", "conferences"] => {
            let list: Vec<Value> = inner.shelves.iter().map(|(acronym, talks)| conference(acronym, talks)).collect();
            Some(Reply::json(&json!({ "conferences": list })))
        }
        ["public", "conferences", acronym] => Some(inner.shelves.get(*acronym).map_or_else(missing, |talks| {
            let mut value = conference(acronym, talks);
            value["events"] = talks.iter().map(|t| event(desk, acronym, t)).collect();
            Reply::json(&value)
        })),
        ["public", "events", guid] => {
            let mut all = inner.shelves.iter().flat_map(|(acronym, talks)| talks.iter().map(move |t| (acronym, t)));
            let found = all.find(|(_, t)| t.video.id == *guid);
            Some(found.map_or_else(missing, |(acronym, talk)| {
                let mut value = event(desk, acronym, talk);
                value["recordings"] = json!([]);
                Reply::json(&value)
            }))
        }
        _ => None,
    }
}

/// A PeerTube instance with its channels.
pub struct Tube {
    server: Server,
}

common!(Tube);

impl Tube {
    /// An instance without a channel, on a free port.
    ///
    /// # Errors
    /// When no port of the loopback can be had.
    pub async fn start(clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        Ok(Self { server: Server::start(clock, tube_answer).await? })
    }

    /// Shows a new video on top of a channel; its id is a UUID.
    pub fn publish(&self, channel: &str, video: Video) {
        self.server.publish(channel, video);
    }

    /// 1 public, 2 unlisted, 3 private, 4 internal, 5 behind a password. Says whether there was such a video.
    pub fn set_privacy(&self, id: &str, privacy: u8) -> bool {
        self.server.change(id, |shown| shown.privacy = privacy)
    }
}

fn tube_video(desk: &Desk, channel: &str, shown: &Shown) -> Value {
    let Video { id, title, description, duration_s, .. } = &shown.video;
    let host = desk.base.trim_start_matches("http://");
    let actor = json!({ "name": channel, "displayName": channel, "host": host, "url": format!("{}/video-channels/{channel}", desk.base) });
    json!({
        "id": 1, "uuid": id, "url": format!("{}/videos/watch/{id}", desk.base), "name": title, "language": { "id": "en", "label": "English" },
        "privacy": { "id": shown.privacy, "label": if shown.privacy == 1 { "Public" } else { "Not public" } },
        "state": { "id": 1, "label": "Published" }, "nsfw": false, "description": description, "isLocal": true, "isLive": false,
        "duration": duration_s, "views": 4, "previewPath": format!("/lazy-static/previews/{id}.jpg"),
        "createdAt": shown.published.to_string(), "updatedAt": shown.updated.to_string(), "publishedAt": shown.published.to_string(),
        "account": actor, "channel": actor,
    })
}

fn tube_answer(desk: &Desk, inner: &Inner, url: &Url) -> Option<Reply> {
    let segments: Vec<&str> = url.path_segments()?.collect();
    let number = |name: &str, default: usize| {
        url.query_pairs().find(|(key, _)| key == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(default)
    };
    let missing = |what: &str| {
        Reply::missing(&json!({ "type": "about:blank", "title": "Not Found", "detail": what, "status": 404 }))
    };
    match segments.as_slice() {
        ["api", "v1", "video-channels", handle, "videos"] => {
            let channel = handle.split(['@', '%']).next().unwrap_or(handle);
            Some(inner.shelves.get(channel).map_or_else(
                || missing("Video channel not found"),
                |videos| {
                    let public: Vec<&Shown> = videos.iter().filter(|v| v.privacy == 1).collect();
                    let page = public.iter().skip(number("start", 0)).take(number("count", 15).min(100));
                    let data: Vec<Value> = page.map(|v| tube_video(desk, channel, v)).collect();
                    Reply::json(&json!({ "total": public.len(), "data": data }))
                },
            ))
        }
        ["api", "v1", "videos", id] => {
            let mut all = inner.shelves.iter().flat_map(|(channel, videos)| videos.iter().map(move |v| (channel, v)));
            let found = all.find(|(_, v)| v.video.id == *id);
            Some(
                found.map_or_else(
                    || missing("Video not found"),
                    |(channel, v)| Reply::json(&tube_video(desk, channel, v)),
                ),
            )
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::source::{feed, media_ccc, peertube};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::new("2026-01-22T15:00:00Z".parse().unwrap()))
    }

    /// Status, headers and body of a GET, without any client of ours.
    async fn get(url: &Url, more: &str) -> (u16, String, Vec<u8>) {
        let address = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let target = &url[url::Position::BeforePath..];
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        let at = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&all[..at]).to_ascii_lowercase();
        (head[9..12].parse().unwrap(), head, all[at + 4..].to_vec())
    }

    #[tokio::test]
    async fn a_channel_shows_its_newest_fifteen() {
        let clock = clock();
        let channel = Channel::start("UCaaaaaaaaaaaaaaaaaaaaaa", "Nix & Con", clock.clone()).await.unwrap();
        for n in 0..20 {
            channel.publish(Video::new(&format!("AAAAAAAAA{n:02}"), &format!("Talk <{n}>"), ""));
            clock.advance(std::time::Duration::from_secs(60));
        }
        let (status, head, body) = get(&channel.feed_url(), "").await;
        assert_eq!(status, 200);
        assert!(head.contains("max-age=900") && !head.contains("etag"), "{head}");
        let read = feed::parse(&body, &channel.feed_url(), None).unwrap();
        assert_eq!(read.contact, "youtube:channel/UCaaaaaaaaaaaaaaaaaaaaaa");
        assert_eq!(read.entries.len(), 15);
        assert_eq!(read.entries[0].found.key, "youtube:AAAAAAAAA19");
        assert!(channel.remove("AAAAAAAAA19"));
        channel.set_mood(Mood::CutOff);
        let (_, _, body) = get(&channel.feed_url(), "").await;
        assert!(feed::parse(&body, &channel.feed_url(), None).is_err());
        channel.set_mood(Mood::NotFound);
        assert_eq!(get(&channel.feed_url(), "").await.0, 404);
        assert_eq!(channel.requests().len(), 3);
    }

    #[tokio::test]
    async fn conferences_answer_304() {
        let conferences = Conferences::start(clock()).await.unwrap();
        conferences.publish("nixcon2026", Video::new("11111111-2222-5333-8444-555555555555", "A talk", "Words"));
        let url = conferences.url().join("/public/conferences/nixcon2026").unwrap();
        let (_, head, body) = get(&url, "").await;
        assert_eq!(media_ccc::parse_events(&body, &url).unwrap().found.len(), 1);
        let tag = head.lines().find_map(|l| l.strip_prefix("etag: w/")).unwrap();
        assert_eq!(get(&url, &format!("if-none-match: W/{tag}\r\n")).await.0, 304);
        assert!(conferences.retitle("11111111-2222-5333-8444-555555555555", "Another talk"));
        assert_eq!(get(&url, &format!("if-none-match: W/{tag}\r\n")).await.0, 200);
        conferences.serve("/public/events/x", "raw", "text/plain");
        assert_eq!(get(&conferences.url().join("/public/events/x").unwrap(), "").await.2, b"raw");
    }

    #[tokio::test]
    async fn a_tube_hides_what_is_not_public() {
        let tube = Tube::start(clock()).await.unwrap();
        tube.publish("nixcon", Video::new("9c9de5e8-0a1e-484a-b099-e80766180a6d", "A talk", "Words"));
        let url = tube.url().join("/api/v1/video-channels/nixcon/videos?start=0&count=25").unwrap();
        assert_eq!(peertube::parse_list(&get(&url, "").await.2, &tube.url()).unwrap().found.len(), 1);
        assert!(tube.set_privacy("9c9de5e8-0a1e-484a-b099-e80766180a6d", 2));
        assert_eq!(peertube::parse_list(&get(&url, "").await.2, &tube.url()).unwrap().found.len(), 0);
    }
}
