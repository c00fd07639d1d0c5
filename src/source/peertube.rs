//! A channel of a PeerTube instance, by its REST list (sources.md 5.2).
use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::feed::ask;
use super::{PollContext, Polled, Reread, Sighting, Source, SourceError, reason};
use crate::http::{Answer, Get, Http, Validators};
use crate::item::{Author, Found, Image, Visibility};
use crate::text;

/// Videos of the first page, and of each further one (the server's maximum, sources.md 5.2).
const FIRST_PAGE: usize = 25;
const PAGE: usize = 100;
/// Videos looked at in one poll, going back to a known one; beyond it a gap is said.
const MAX_VIDEOS: usize = 500;
/// Bytes of a list or a video with its files.
const MAX_BYTES: usize = 5 * 1024 * 1024;
/// Where lists cut a description, in characters, before they append "...".
const DESCRIPTION_CUT: usize = 250;

/// A list, read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Videos {
    /// Public and finished videos.
    pub found: Vec<Found>,
    /// How many the page held, also those that are not to be announced (yet).
    pub on_page: usize,
    /// How many the channel has in all.
    pub total: usize,
    /// One reason each for those that could not be read.
    pub skipped: Vec<String>,
}

/// What a channel is: `name@host` on a following instance is the same as `name` at home.
pub fn contact(instance: &str, handle: &str) -> String {
    let handle = handle.trim_start_matches('@');
    let (name, host) = handle.split_once('@').unwrap_or((handle, instance));
    format!("peertube:{}/{}", host.to_ascii_lowercase(), name.to_ascii_lowercase())
}

/// The UUID in the path of a watch address, in any of its forms (sources.md 5.3).
pub fn id_of_path(path: &str) -> Option<String> {
    let path = path.trim_end_matches('/');
    let id = ["/w/", "/videos/watch/", "/videos/embed/"].iter().find_map(|start| path.strip_prefix(start))?;
    uuid_of(id)
}

/// A UUID as it is, or out of its short form: base 58 in the alphabet of flickr.
pub fn uuid_of(id: &str) -> Option<String> {
    const ALPHABET: &[u8] = b"123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";
    let hex = if id.len() == 36 {
        let hex: String = id.split('-').collect();
        (hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then(|| hex.to_ascii_lowercase())?
    } else if (20..=22).contains(&id.len()) {
        let number = id.bytes().try_fold(0_u128, |number, b| {
            let digit = ALPHABET.iter().position(|a| *a == b)?;
            number.checked_mul(58)?.checked_add(u128::try_from(digit).ok()?)
        })?;
        format!("{number:032x}")
    } else {
        return None;
    };
    Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Video {
    uuid: String,
    url: Option<String>,
    name: String,
    privacy: Option<Labelled>,
    state: Option<Labelled>,
    language: Option<Labelled>,
    #[serde(default)]
    is_live: bool,
    description: Option<String>,
    truncated_description: Option<String>,
    duration: Option<f64>,
    preview_path: Option<String>,
    thumbnail_path: Option<String>,
    published_at: Option<String>,
    account: Option<Actor>,
    channel: Option<Actor>,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Labelled {
    /// A number for privacy and state, a code for languages.
    id: Option<Value>,
}

impl Labelled {
    fn number(&self) -> Option<i64> {
        self.id.as_ref().and_then(Value::as_i64)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Actor {
    name: Option<String>,
    display_name: Option<String>,
    host: Option<String>,
}

impl Actor {
    fn shown(&self) -> Option<String> {
        let name = self.display_name.as_deref().filter(|n| !n.trim().is_empty()).or(self.name.as_deref())?;
        Some(text::one_line(name))
    }
}

impl Video {
    /// Why it may not be seen by everybody. Only 1 is public; a missing field is an old server's public list.
    fn not_public(&self) -> Option<&'static str> {
        match self.privacy.as_ref().and_then(Labelled::number) {
            None | Some(1) => None,
            Some(2) => Some("unlisted"),
            Some(3) => Some("private"),
            Some(4) => Some("internal"),
            Some(5) => Some("behind a password"),
            Some(_) => Some("not public"),
        }
    }

    /// A stream, a scheduled one, or a video that is still being made: the recording comes as a video of its own.
    fn is_placeholder(&self) -> bool {
        self.is_live || self.state.as_ref().and_then(Labelled::number).is_some_and(|state| state != 1)
    }

    /// `base` is the instance that was asked: pictures are its copies.
    fn found(self, base: &Url) -> Result<Found, String> {
        let title = text::one_line(&self.name);
        let uuid = uuid_of(&self.uuid).ok_or_else(|| format!("video `{title}` has no uuid"))?;
        let actor_host = [&self.channel, &self.account].into_iter().flatten().find_map(|a| a.host.clone());
        let url = match self.url.as_deref().map(Url::parse) {
            Some(Ok(url)) if crate::link::is_for_readers(&url) => url,
            Some(_) | None => {
                let host = actor_host.unwrap_or_else(|| ask::host_of(base));
                let url = Url::parse(&format!("{}://{host}/videos/watch/{uuid}", base.scheme())).ok();
                url.filter(crate::link::is_for_readers)
                    .ok_or_else(|| format!("video `{title}` has no address that can be shown"))?
            }
        };
        if title.is_empty() {
            return Err(format!("video `{uuid}` has no title"));
        }
        let origin = ask::host_of(&url);
        let key = format!("peertube:{origin}/{uuid}");
        let mut aliases = vec![format!("peertube:{}/{uuid}", ask::host_of(base))];
        aliases.extend(crate::link::identity_keys(&url));
        aliases.retain(|a| *a != key);
        let body = markdown(self.description.as_deref().or(self.truncated_description.as_deref()).unwrap_or_default());
        let picture =
            self.preview_path.or(self.thumbnail_path).filter(|p| !p.is_empty()).and_then(|p| base.join(&p).ok());
        let picture = picture.filter(crate::link::is_for_readers);
        let visibility = self
            .privacy
            .as_ref()
            .and_then(Labelled::number)
            .filter(|n| *n != 1)
            .map_or(Visibility::Public, |_| Visibility::Gone("not public".into()));
        Ok(Found {
            key,
            aliases,
            url: url.into(),
            title,
            author: self
                .account
                .as_ref()
                .and_then(|a| Some(Author { name: a.shown()?, username: a.name.clone(), ..Author::default() })),
            published: self.published_at.as_deref().and_then(|t| t.parse().ok()),
            text: body.text,
            links: body.links,
            images: picture.map(|url| Image { url: url.into(), alt: None }).into_iter().collect(),
            tags: self.tags.into_iter().take(50).map(|t| text::one_line(&t)).collect(),
            category: self.channel.as_ref().and_then(|c| c.name.clone()),
            language: self
                .language
                .and_then(|l| l.id)
                .as_ref()
                .and_then(Value::as_str)
                .filter(|l| l.len() == 2 && l.bytes().all(|b| b.is_ascii_lowercase()))
                .map(str::to_owned),
            duration_s: self.duration.filter(|d| d.is_finite() && *d >= 1.0).map(|d| d as u64),
            event: self.channel.as_ref().and_then(Actor::shown),
            visibility,
            ..Found::default()
        })
    }
}

/// Markdown of a description as plain text: `[words](address)` becomes its words with the address behind them,
/// emphasis and heading marks go.
pub(crate) fn markdown(source: &str) -> text::Body {
    let mut plain = String::with_capacity(source.len());
    for line in source.lines() {
        let heading = line.trim_start_matches('#');
        // `#NixOS` is a hashtag, `# NixOS` a heading.
        let mut rest = if heading.len() < line.len() && heading.starts_with(' ') { heading.trim_start() } else { line };
        while let Some(open) = rest.find(['[', '*']) {
            plain.push_str(&rest[..open]);
            rest = &rest[open..];
            if let Some((words, address, len)) = link_at(rest) {
                let (words, address) = (words.trim_matches('*'), address.trim());
                if address.contains(words.trim()) {
                    plain.push_str(address);
                } else {
                    plain.push_str(&format!("{words} ({address})"));
                }
                rest = &rest[len..];
            } else if let Some(after) = rest.strip_prefix("**") {
                rest = after;
            } else {
                plain.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
        plain.push_str(rest);
        plain.push('\n');
    }
    text::from_plain(plain.trim())
}

/// `[words](address)` at the beginning: words, address, length. Looks ahead only so far as one can be.
fn link_at(rest: &str) -> Option<(&str, &str, usize)> {
    let inner = rest.strip_prefix('[')?;
    let within = |text: &str, end: char| text.char_indices().take(2000).find(|(_, c)| *c == end).map(|(at, _)| at);
    let words = &inner[..within(inner, ']')?];
    let target = inner[words.len() + 1..].strip_prefix('(')?;
    let address = &target[..within(target, ')')?];
    let web = address.trim_start().starts_with("http://") || address.trim_start().starts_with("https://");
    web.then_some((words, address, 1 + words.len() + 2 + address.len() + 1))
}

/// Reads `{total, data: […]}` as an instance at `base` answered it. Streams, unfinished and non-public videos are left
/// out: they are not there for everybody.
///
/// # Errors
/// What it is instead of a list of videos.
pub fn parse_list(bytes: &[u8], base: &Url) -> Result<Videos, String> {
    let value = json(bytes)?;
    let Some(data) = value.get("data").and_then(Value::as_array) else {
        return Err("JSON, but not a list of PeerTube videos: there is no `data`".into());
    };
    let mut videos = Videos {
        on_page: data.len(),
        total: value.get("total").and_then(Value::as_u64).map_or(0, |t| usize::try_from(t).unwrap_or(usize::MAX)),
        ..Videos::default()
    };
    for (at, video) in data.iter().enumerate().take(MAX_VIDEOS) {
        match Video::deserialize(video) {
            Ok(video) if video.not_public().is_some() || video.is_placeholder() => {}
            Ok(video) => match video.found(base) {
                Ok(found) => videos.found.push(found),
                Err(why) => videos.skipped.push(reason(why)),
            },
            Err(error) => videos.skipped.push(format!("video {} could not be read: {}", at + 1, reason(error))),
        }
    }
    if videos.found.is_empty() && videos.skipped.len() == data.len() && !data.is_empty() {
        return Err(format!("JSON, but not a list of PeerTube videos: {}", videos.skipped[0]));
    }
    Ok(videos)
}

/// Reads one video as an instance at `base` answered it.
///
/// # Errors
/// What it is instead.
pub fn parse_video(bytes: &[u8], base: &Url) -> Result<Reread, String> {
    let value = json(bytes)?;
    let video = Video::deserialize(&value).map_err(|e| format!("JSON, but not a PeerTube video: {}", reason(e)))?;
    if let Some(why) = video.not_public() {
        return Ok(Reread::Gone(why.into()));
    }
    video.found(base).map(|found| Reread::Present(Box::new(found))).map_err(reason)
}

fn json(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|e| format!("broken JSON in line {}: {e}", e.line()))
}

/// A channel that is polled.
#[derive(Debug, Clone)]
pub struct PeerTube {
    base: Url,
    host: String,
    handle: String,
    contact: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Memory {
    #[serde(default)]
    validators: Validators,
    /// Over keys and fingerprints: the answer itself changes with every view.
    #[serde(default)]
    hash: String,
}

impl PeerTube {
    /// Channel `handle` (`name` or `name@host`) as the instance at `url` shows it.
    pub fn new(url: Url, handle: &str) -> Self {
        let host = ask::host_of(&url);
        let contact = contact(&host, handle);
        Self { base: url, host, handle: handle.trim_start_matches('@').to_owned(), contact }
    }

    fn address(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.set_query(None);
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v1"]).extend(segments);
        }
        url
    }

    fn page(&self, start: usize, count: usize) -> Url {
        let mut url = self.address(&["video-channels", &self.handle, "videos"]);
        url.query_pairs_mut()
            .append_pair("start", &start.to_string())
            .append_pair("count", &count.to_string())
            .append_pair("sort", "-publishedAt");
        url
    }

    async fn get(&self, http: &Http, url: &Url, validators: Validators, now: Timestamp) -> Result<Answer, SourceError> {
        let get = Get { accept: Some("application/json"), validators, max_bytes: MAX_BYTES, ..Get::default() };
        http.get(url, get, now).await.map_err(ask::no_answer)
    }

    fn list(&self, answer: &Answer) -> Result<Videos, SourceError> {
        if answer.status != 200 {
            return Err(ask::refused(answer));
        }
        if ask::is_html(&answer.body, answer.content_type.as_deref()) {
            return Err(SourceError::Broken(format!("{} answered with an HTML page instead of a list", self.host)));
        }
        parse_list(&answer.body, &self.base).map_err(SourceError::Broken)
    }

    fn sighting(&self, found: &Found, now: Timestamp) -> Sighting {
        Sighting {
            key: found.key.clone(),
            contact: self.contact.clone(),
            url: found.url.clone(),
            title: found.title.clone(),
            published: ask::bounded(found.published, now),
            fingerprint: ask::fingerprint([found.title.as_str(), found.text.as_str(), found.url.as_str()]),
            pinned: false,
            // The list cuts descriptions: the whole is read when it is new.
            full: None,
        }
    }
}

#[async_trait]
impl Source for PeerTube {
    fn host(&self) -> &str {
        &self.host
    }

    async fn poll(&self, context: &PollContext<'_>) -> Result<Polled, SourceError> {
        let of = self.page(0, FIRST_PAGE);
        let old: Memory = ask::recall(context.memory, of.as_str());
        let first = self.get(context.http, &of, old.validators.clone(), context.now).await?;
        let mut polled =
            Polled { contacts: vec![self.contact.clone()], at_least: first.fresh_for, ..Polled::default() };
        if first.status == 304 {
            let validators = ask::renewed(old.validators.clone(), &first.validators);
            polled.memory = ask::remember(&Memory { validators, ..old }, of.as_str());
            polled.unchanged = true;
            return Ok(polled);
        }
        let mut videos = self.list(&first)?;
        let known = |f: &Found| (context.known)(&f.key) || f.aliases.iter().any(|a| (context.known)(a));
        let contacted = (context.contacted)(&self.contact);
        let mut on_pages = videos.on_page;
        let mut last_page = videos.on_page;
        // Back to the first known one; at first contact one page is enough, older ones are no news.
        while contacted && last_page > 0 && on_pages < videos.total && !videos.found.iter().any(known) {
            if on_pages >= MAX_VIDEOS {
                polled.gap = Some(format!(
                    "the newest {on_pages} videos of {} are new: older ones may have been missed",
                    self.contact
                ));
                break;
            }
            let answer = self.get(context.http, &self.page(on_pages, PAGE), Validators::default(), context.now).await?;
            let mut page = self.list(&answer)?;
            last_page = page.on_page;
            on_pages += page.on_page;
            videos.found.append(&mut page.found);
            videos.skipped.append(&mut page.skipped);
        }
        let mut seen = std::collections::HashSet::new();
        videos.found.retain(|f| seen.insert(f.key.clone()));
        polled.sightings = videos.found.iter().map(|f| self.sighting(f, context.now)).collect();
        let parts = polled.sightings.iter().flat_map(|s| [s.key.as_str(), s.fingerprint.as_str()]);
        let hash = ask::fingerprint(parts);
        polled.unchanged = hash == old.hash;
        polled.skipped = videos.skipped;
        polled.memory = ask::remember(&Memory { validators: first.validators, hash }, of.as_str());
        Ok(polled)
    }

    async fn read(&self, http: &Http, found: &Found, now: Timestamp) -> Result<Reread, SourceError> {
        let Some(uuid) = found.key.rsplit('/').next().and_then(uuid_of) else { return Ok(Reread::Unknown) };
        let answer = self.get(http, &self.address(&["videos", &uuid]), Validators::default(), now).await?;
        let from_peertube = serde_json::from_slice::<Value>(&answer.body).is_ok_and(|v| v.is_object());
        match answer.status {
            200 => {}
            404 if from_peertube => return Ok(Reread::Gone("deleted".into())),
            401 | 403 if from_peertube => return Ok(Reread::Gone("no longer public".into())),
            _ => return Err(ask::within_the_hour(ask::refused(&answer))),
        }
        let read = parse_video(&answer.body, &self.base).map_err(SourceError::Broken)?;
        let Reread::Present(mut video) = read else { return Ok(read) };
        if video.text.chars().count() >= DESCRIPTION_CUT - 10 && video.text.trim_end().ends_with("...") {
            // Old versions cut it here too, and hand out the whole by itself. Without it the beginning has to do.
            let url = self.address(&["videos", &uuid, "description"]);
            let whole = self.get(http, &url, Validators::default(), now).await?;
            let described = serde_json::from_slice::<Value>(&whole.body).ok();
            if let Some(description) = described.as_ref().and_then(|v| v.get("description")?.as_str()) {
                let body = markdown(description);
                video.text = body.text;
                video.links = body.links;
            }
        }
        Ok(Reread::Present(video))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("https://tube.example").unwrap()
    }

    #[test]
    fn one_video_has_one_uuid() {
        #[track_caller]
        fn check(input: &str, want: Option<&str>) {
            assert_eq!(id_of_path(input).as_deref(), want);
        }
        check("/w/kkGMgK9ZtnKfYAgnEtQxbv", Some("9c9de5e8-0a1e-484a-b099-e80766180a6d"));
        check("/videos/watch/9c9de5e8-0a1e-484a-b099-e80766180a6d", Some("9c9de5e8-0a1e-484a-b099-e80766180a6d"));
        check("/w/1VgjonnHfSDcRY5iYcHt1C/", Some("076fdbf7-5a70-4edc-87c6-cead149ed848"));
        check("/w/p/kkGMgK9ZtnKfYAgnEtQxbv", None);
        check("/w/ZZZZZZZZZZZZZZZZZZZZZZ", None);
        check("/w/0OIl", None);
    }

    #[test]
    fn a_channel_is_the_same_from_afar() {
        assert_eq!(contact("tube.example", "nixcon"), "peertube:tube.example/nixcon");
        assert_eq!(contact("other.example", "nixcon@Tube.example"), "peertube:tube.example/nixcon");
    }

    #[test]
    fn reads_a_list_and_leaves_out_what_is_not_public() {
        let list = include_bytes!("../../tests/fixtures/peertube/list.json");
        let videos = parse_list(list, &base()).unwrap();
        assert_eq!(videos.total, 5);
        let keys: Vec<&str> = videos.found.iter().map(|f| f.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "peertube:tube.example/9c9de5e8-0a1e-484a-b099-e80766180a6d",
                "peertube:far.example/076fdbf7-5a70-4edc-87c6-cead149ed848"
            ]
        );
        let far = &videos.found[1];
        assert_eq!(far.url, "https://far.example/videos/watch/076fdbf7-5a70-4edc-87c6-cead149ed848");
        assert!(far.aliases.contains(&"peertube:tube.example/076fdbf7-5a70-4edc-87c6-cead149ed848".to_owned()));
        assert_eq!(far.images[0].url, "https://tube.example/lazy-static/previews/far.jpg");
        assert_eq!(videos.skipped.len(), 1);
    }

    #[test]
    fn promise_10_an_unlisted_video_is_gone() {
        let video = br#"{"uuid":"9c9de5e8-0a1e-484a-b099-e80766180a6d","name":"x","privacy":{"id":2}}"#;
        assert_eq!(parse_video(video, &base()).unwrap(), Reread::Gone("unlisted".into()));
    }
}
