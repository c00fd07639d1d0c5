//! Feeds: RSS 0.9x to 2.0, RSS 1.0, Atom, JSON Feed; the feeds of YouTube, PeerTube, media.ccc.de and Discourse are
//! recognised, so that what they announce is the same item as through another door.
//!
//! Live streams and premieres that have not begun stand in a YouTube feed as ordinary entries, without a mark
//! (sources.md 3.1). Only one that nobody has seen and that is dated in the future is surely a placeholder: it is not
//! sighted before its time. The others are held like any video, and the window is the time to notice them.
pub(crate) mod ask;
mod entry;
mod json;
mod outline;
mod repair;

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use feed_rs::model::{Entry, Feed as Model, FeedType};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

pub(crate) use self::entry::looks_like_html;
use self::outline::{Extra, Keep, Outline};
use super::{PollContext, Polled, Reread, Sighting, Source, SourceError};
use crate::http::{Get, Http, HttpError, Validators};
use crate::item::Found;
use crate::schedule::Moves;

/// Bytes of a feed; beyond it: an error.
pub const MAX_BYTES: usize = 5 * 1024 * 1024;
/// Entries of a feed that are kept, in its order.
pub const MAX_ENTRIES: usize = 10_000;
/// What YouTube shows of a channel, whatever it has (sources.md 3.1).
const YOUTUBE_CAP: usize = 15;

/// One entry of a feed.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedEntry {
    /// The thing itself.
    pub found: Found,
    /// Pinned on its forum.
    pub pinned: bool,
    /// How often it was seen, where the feed counts.
    pub views: Option<u64>,
}

/// A feed, read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ParsedFeed {
    /// What the feed *is* (promise 5), worked out from the address it was asked at; a document's claims about itself
    /// count only where the address says nothing.
    pub contact: String,
    /// Its own name.
    pub title: String,
    /// The page it belongs to.
    pub home: Option<Url>,
    /// `ttl`: how long it asks to be left alone.
    pub ttl: Option<Duration>,
    /// In the order of the document, without duplicates.
    pub entries: Vec<ParsedEntry>,
    /// One reason each for entries that could not be used.
    pub skipped: Vec<String>,
}

/// Reads a feed of any kind. `base` is where it was asked, `content_type` what HTTP said about it.
///
/// # Errors
/// What is wrong with it, with the line where the XML is broken.
pub fn parse(bytes: &[u8], base: &Url, content_type: Option<&str>) -> Result<ParsedFeed, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("the feed has {} bytes, more than {MAX_BYTES}", bytes.len()));
    }
    let text = repair::decode(bytes, content_type);
    let start = text.trim_start_matches(|c: char| c.is_whitespace() || c.is_control() || c == '\u{FEFF}');
    if start.is_empty() {
        return Err("the document is empty".into());
    }
    if start.starts_with('{') {
        let read = json::read(start, MAX_ENTRIES, |text| with_feed_rs(text, base))?;
        return Ok(assemble(read, base));
    }
    if ask::is_html(start.as_bytes(), None) {
        return Err("it is an HTML page, not a feed".into());
    }
    if !start.contains('<') {
        return Err("it is neither XML nor JSON".into());
    }
    let repaired = repair::repair(&text);
    let (text, outline) = outline::outline(&repaired, MAX_ENTRIES)?;
    match outline.root.as_str() {
        "rss" | "feed" | "RDF" | "entry" => {}
        "html" | "HTML" => return Err("it is an HTML page, not a feed".into()),
        other => {
            let name: String = other.chars().take(40).collect();
            return Err(format!("its root element is `{name}`, which is no feed"));
        }
    }
    let read = read_xml(&text, outline, base)?;
    Ok(assemble(read, base))
}

/// What both formats are read into.
struct Read {
    model: Model,
    entries: Vec<(Entry, Extra)>,
    outline: Outline,
    skipped: Vec<String>,
}

/// The whole document at once; where that fails, or where entries went missing, each entry alone, so that one that
/// feed-rs cannot read does not take the others with it.
fn read_xml(text: &str, outline: Outline, base: &Url) -> Result<Read, String> {
    let mut skipped = Vec::new();
    if outline.beyond > 0 {
        skipped.push(format!("{} entries beyond the first {MAX_ENTRIES} were not read", outline.beyond));
    }
    let whole = with_feed_rs(text, base);
    if let Ok(mut model) = whole
        && (model.entries.len() == outline.entries.len() || outline.beyond > 0 && model.entries.len() > MAX_ENTRIES)
    {
        let entries = std::mem::take(&mut model.entries).into_iter().zip(outline.entries.iter().cloned()).collect();
        return Ok(Read { model, entries, outline, skipped });
    }
    if outline.entries.is_empty() {
        return with_feed_rs(text, base).map(|model| Read { model, entries: Vec::new(), outline, skipped });
    }
    let mut model = with_feed_rs(&outline.frame(text), base).unwrap_or_else(|_| empty_model());
    model.entries.clear();
    let mut entries = Vec::new();
    for at in 0..outline.entries.len() {
        let attempt = |keep| with_feed_rs(&outline.alone(text, at, keep), base).map(|m| m.entries.into_iter().next());
        match attempt(Keep::All).or_else(|_| attempt(Keep::NoAuthors)).or_else(|_| attempt(Keep::Essence)) {
            Ok(Some(entry)) => entries.push((entry, outline.entries[at].clone())),
            // RSS 1.0 only.
            Ok(None) => skipped.push(format!("entry {} has no link", at + 1)),
            Err(reason) => skipped.push(format!("entry {} could not be read: {reason}", at + 1)),
        }
    }
    Ok(Read { model, entries, outline, skipped })
}

fn empty_model() -> Model {
    Model {
        feed_type: FeedType::RSS2,
        id: String::new(),
        title: None,
        updated: None,
        authors: Vec::new(),
        description: None,
        links: Vec::new(),
        categories: Vec::new(),
        contributors: Vec::new(),
        generator: None,
        icon: None,
        language: None,
        logo: None,
        published: None,
        rating: None,
        rights: None,
        ttl: None,
        people: Vec::new(),
        entries: Vec::new(),
    }
}

/// feed-rs, with its panics as errors. Ids it does not find stay empty: its own would be random where neither a link
/// nor a title exists, and would announce everything anew.
fn with_feed_rs(text: &str, base: &Url) -> Result<Model, String> {
    let parsed = catch_unwind(AssertUnwindSafe(|| {
        feed_rs::parser::Builder::new()
            .base_uri(Some(base.as_str()))
            .sanitize_content(false)
            .id_generator(|_, _, _| String::new())
            .build()
            .parse(text.as_bytes())
    }));
    match parsed {
        Ok(Ok(model)) => Ok(model),
        Ok(Err(error)) => Err(super::reason(error)),
        Err(_) => Err("the feed parser gave up on it".into()),
    }
}

fn assemble(read: Read, base: &Url) -> ParsedFeed {
    let Read { model, mut entries, outline, mut skipped } = read;
    let home = entry::home(&model, base);
    let peertube = is_peertube(&model, base);
    let contact = contact(base, home.as_ref(), &outline, peertube);
    let title = model
        .title
        .as_ref()
        .map(|t| crate::text::one_line(&crate::text::title_from_html(&t.content)))
        .unwrap_or_default();
    for (entry, extra) in &mut entries {
        if extra.id.is_none() && !entry.id.trim().is_empty() {
            extra.id = Some(entry.id.trim().to_owned());
        }
    }
    // The very same entry twice is a duplicate, not two things with one name.
    let (mut links, mut ids): (HashMap<String, usize>, HashMap<String, usize>) = (HashMap::new(), HashMap::new());
    let mut pairs = HashSet::new();
    for (entry, extra) in &entries {
        let link = entry::address(entry, extra, base).map(String::from);
        if pairs.insert((extra.id.clone(), link.clone())) {
            if let Some(id) = &extra.id {
                *ids.entry(entry::without_scheme(id).to_owned()).or_default() += 1;
            }
            if let Some(link) = link {
                *links.entry(link).or_default() += 1;
            }
        }
    }
    let shared = entry::Shared {
        base,
        contact: &contact,
        home: home.as_ref(),
        feed_title: &title,
        language: model.language.as_deref().and_then(entry::language),
        peertube,
        says_changed: matches!(model.feed_type, FeedType::Atom | FeedType::JSON),
        links,
        ids,
    };
    let mut parsed: Vec<ParsedEntry> = Vec::new();
    let mut seen = HashSet::new();
    for (entry, extra) in &entries {
        match entry::convert(entry, extra, &shared) {
            Ok(converted) => {
                if seen.insert(converted.found.key.clone()) {
                    parsed.push(converted);
                }
            }
            Err(reason) => skipped.push(super::reason(reason)),
        }
    }
    // A page that several videos name (the parts of a workshop) is the name of none.
    let mut named: HashMap<String, usize> = HashMap::new();
    for alias in parsed.iter().flat_map(|entry| &entry.found.aliases) {
        *named.entry(alias.clone()).or_default() += 1;
    }
    for entry in parsed.iter_mut().filter(|entry| entry.found.key.starts_with("youtube:")) {
        entry.found.aliases.retain(|alias| named.get(alias) == Some(&1));
    }
    let ttl = model.ttl.map(|minutes| Duration::from_secs(u64::from(minutes) * 60).min(Duration::from_secs(86_400)));
    ParsedFeed { contact, title, home, ttl, entries: parsed, skipped }
}

fn is_peertube(model: &Model, base: &Url) -> bool {
    let generated = model.generator.as_ref().is_some_and(|g| g.content.to_ascii_lowercase().contains("peertube"));
    let path = base.path();
    generated || path.starts_with("/feeds/videos.") || path.starts_with("/feeds/podcast/videos.")
}

/// What a feed is, from the address it is configured with.
fn contact(base: &Url, home: Option<&Url>, outline: &Outline, peertube: bool) -> String {
    let query: HashMap<String, String> = base.query_pairs().into_owned().collect();
    let host = ask::host_of(base);
    if entry::is_youtube(&host) {
        if let Some(channel) = query.get("channel_id").and_then(|id| channel_id(id)) {
            return format!("youtube:channel/{channel}");
        }
        if let Some(playlist) = query.get("playlist_id").filter(|id| plain_id(id)) {
            // `UU…` is the list of all uploads: the channel itself. `UULF…`, `UUSH…` and `UULV…` are parts of it, so
            // going from one of them to the channel is first contact again.
            let uploads = playlist.strip_prefix("UU").filter(|rest| rest.len() == 22);
            return uploads
                .map_or_else(|| format!("youtube:playlist/{playlist}"), |rest| format!("youtube:channel/UC{rest}"));
        }
    }
    // `?user=Name`, a saved document, a proxy: the document says which channel it is.
    if let Some(playlist) = outline.playlist.as_deref().filter(|id| plain_id(id)) {
        return format!("youtube:playlist/{playlist}");
    }
    if let Some(channel) = outline.channel.as_deref().and_then(channel_id) {
        return format!("youtube:channel/{channel}");
    }
    if peertube {
        if let Some(handle) = query.get("videoChannelName") {
            return crate::source::peertube::contact(&host, handle);
        }
        let of_home = home.filter(|h| ask::host_of(h) == host).and_then(|h| {
            let mut segments = h.path_segments()?;
            matches!(segments.next(), Some("c" | "video-channels")).then(|| segments.next())?.map(str::to_owned)
        });
        if let Some(handle) = of_home {
            return crate::source::peertube::contact(&host, &handle);
        }
    }
    if let Some(mut segments) = base.path_segments()
        && let (Some("c"), Some(acronym), Some("podcast")) = (segments.next(), segments.next(), segments.next())
        && crate::source::media_ccc::is_voctoweb(&host)
    {
        return crate::source::media_ccc::contact(&host, acronym);
    }
    format!("feed:{}", canonical(base))
}

/// A channel id with its `UC`, which some feeds leave out (sources.md 3.1).
fn channel_id(id: &str) -> Option<String> {
    let rest = if id.len() == 24 { id.strip_prefix("UC")? } else { id };
    (rest.len() == 22 && plain_id(rest)).then(|| format!("UC{rest}"))
}

fn plain_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// One spelling of an address: no scheme, no usual port, no user, no fragment, no trailing slash.
fn canonical(url: &Url) -> String {
    let query = url.query().filter(|q| !q.is_empty()).map(|q| format!("?{q}")).unwrap_or_default();
    let mut path = String::new();
    let mut rest = url.path().trim_end_matches('/');
    while let Some(at) = rest.find('%') {
        path.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(b) if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => path.push(char::from(b)),
            Some(b) => path.push_str(&format!("%{b:02X}")),
            None => {
                path.push('%');
                rest = &rest[at + 1..];
                continue;
            }
        }
        rest = &rest[at + 3..];
    }
    path.push_str(rest);
    format!("{}{path}{query}", ask::host_of(url))
}

/// What a feed remembers from poll to poll.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Memory {
    #[serde(default)]
    validators: Validators,
    /// Of the last body.
    #[serde(default)]
    hash: String,
    /// What it turned out to be.
    #[serde(default)]
    contact: String,
    /// How many entries it showed.
    #[serde(default)]
    entries: usize,
    /// Something in it waits for its time: the document must be read again even if it is the same.
    #[serde(default)]
    waiting: bool,
    /// Permanent redirects that are being watched.
    #[serde(default)]
    moves: Moves,
    /// Where they have led for long enough.
    #[serde(default)]
    learnt: Option<Url>,
    /// For a 304: what the last 200 asked.
    #[serde(default)]
    ttl_s: u64,
}

/// A feed that is polled.
#[derive(Debug, Clone)]
pub struct Feed {
    url: Url,
    host: String,
    /// What it showed when one of its things was last read again, so that the next reading can be conditional
    /// (promise 11). Only in memory: after a restart the first reading is whole.
    last_read: Arc<Mutex<Option<Arc<LastRead>>>>,
    /// Held by whoever reads.
    reading: Arc<tokio::sync::Mutex<()>>,
}

/// An answer with validators, as far as a 304 makes it needed again.
#[derive(Debug)]
struct LastRead {
    validators: Validators,
    /// By key, [`words`] of each entry.
    entries: HashMap<String, String>,
}

/// A digest of everything that makes a reading another one.
fn words(found: &Found) -> String {
    let parts = [found.title.as_str(), &found.text, &found.url, found.category.as_deref().unwrap_or_default()];
    ask::fingerprint(parts.into_iter().chain(found.tags.iter().chain(&found.links).map(String::as_str)))
}

impl Feed {
    /// A feed at a configured address.
    pub fn new(url: Url) -> Self {
        let host = ask::host_of(&url);
        Self { url, host, last_read: Arc::default(), reading: Arc::default() }
    }

    fn is_youtube(&self) -> bool {
        entry::is_youtube(&self.host)
            || self.url.path() == "/feeds/videos.xml"
                && self.url.query().is_some_and(|q| q.contains("channel_id=") || q.contains("playlist_id="))
    }

    /// An answer that should have been a feed, as one.
    fn read_answer(&self, answer: &crate::http::Answer) -> Result<ParsedFeed, SourceError> {
        if answer.status != 200 {
            return Err(ask::refused(answer));
        }
        if ask::is_html(&answer.body, answer.content_type.as_deref()) && !sounds_like_a_feed(&answer.body) {
            let reason = format!("{} answered with an HTML page instead of a feed", self.host);
            // YouTube's outages look like this, and end (sources.md 3.1).
            return Err(if self.is_youtube() {
                SourceError::Later { reason, after: answer.retry_after }
            } else {
                SourceError::Broken(reason)
            });
        }
        // The configured address says what the feed is, not the one a redirect led to.
        parse(&answer.body, &self.url, answer.content_type.as_deref()).map_err(SourceError::Broken)
    }
}

/// Does the place that a permanent redirect led to still answer for the feed? Trouble that may pass says nothing; no
/// server at all, a refusal, and a page for people (a domain that was sold) do.
fn still_holds(asked: &Result<crate::http::Answer, HttpError>) -> bool {
    match asked {
        Ok(answer) if answer.status == 200 => {
            !ask::is_html(&answer.body, answer.content_type.as_deref()) || sounds_like_a_feed(&answer.body)
        }
        Ok(answer) => !matches!(answer.status, 401 | 403 | 404 | 410 | 451),
        Err(HttpError::NotSent(_)) => false,
        Err(HttpError::NoAnswer(_) | HttpError::Bound(_)) => true,
    }
}

/// A feed that is sent as `text/html` is still a feed.
fn sounds_like_a_feed(body: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&body[..body.len().min(2048)]).into_owned();
    ["<rss", "<feed", "<rdf:RDF", "jsonfeed.org"].iter().any(|mark| head.contains(mark))
}

/// What one poll sights of a feed that was read, and whether something in it waits for its time.
fn sight(feed: &ParsedFeed, now: Timestamp) -> (Vec<Sighting>, bool) {
    let mut waiting = false;
    let mut sightings = Vec::new();
    for entry in &feed.entries {
        let found = &entry.found;
        if entry.views == Some(0) && found.published.is_some_and(|t| t > now) {
            waiting = true;
            continue;
        }
        let mut full = found.clone();
        full.published = ask::bounded(found.published, now);
        sightings.push(Sighting {
            key: full.key.clone(),
            contact: feed.contact.clone(),
            url: full.url.clone(),
            title: full.title.clone(),
            published: full.published,
            fingerprint: fingerprint(&full),
            pinned: entry.pinned,
            full: Some(full),
        });
    }
    (sightings, waiting)
}

fn fingerprint(found: &Found) -> String {
    let url = entry::without_scheme(&found.url);
    let parts = [found.title.as_str(), found.text.as_str(), url];
    ask::fingerprint(parts.into_iter().chain(found.tags.iter().map(String::as_str)))
}

/// Said aloud when a feed that shows only its newest shows nothing that was seen before.
fn gap(feed: &ParsedFeed, sightings: &[Sighting], last_entries: usize, context: &PollContext<'_>) -> Option<String> {
    let known = |s: &Sighting| {
        (context.known)(&s.key) || s.full.iter().flat_map(|f| &f.aliases).any(|alias| (context.known)(alias))
    };
    let shown = feed.entries.len();
    let capped = feed.contact.starts_with("youtube:") && shown >= YOUTUBE_CAP;
    let full = capped || (last_entries > 0 && shown >= last_entries);
    let all_new = !sightings.is_empty() && !sightings.iter().any(known);
    ((context.contacted)(&feed.contact) && full && all_new)
        .then(|| format!("all {shown} entries of {} are new: older ones may have been missed", feed.contact))
}

#[async_trait]
impl Source for Feed {
    fn host(&self) -> &str {
        &self.host
    }

    async fn poll(&self, context: &PollContext<'_>) -> Result<Polled, SourceError> {
        let old: Memory = ask::recall(context.memory, self.url.as_str());
        let url = old.learnt.as_ref().unwrap_or(&self.url);
        let validators = if old.waiting { Validators::default() } else { old.validators.clone() };
        let get = Get { validators, max_bytes: MAX_BYTES, ..Get::default() };
        let asked = context.http.get(url, get, context.now).await;
        let mut memory = old.clone();
        if old.learnt.is_some() && !still_holds(&asked) {
            // The new place does not hold, or never was the feed's: the configured one is asked again.
            memory.learnt = None;
            tracing::warn!(feed = %self.url, "the feed's new address does not hold: the configured one is asked again");
        }
        let answer = if old.learnt.is_some() && memory.learnt.is_none() {
            let get = Get { max_bytes: MAX_BYTES, ..Get::default() };
            context.http.get(&self.url, get, context.now).await.map_err(ask::no_answer)?
        } else {
            asked.map_err(ask::no_answer)?
        };
        if old.learnt.is_none() {
            if matches!(answer.status, 200..=299 | 304) {
                memory.learnt = memory.moves.saw(context.now, &self.url, answer.moved_to.as_ref());
            }
            if let Some(to) = &memory.learnt {
                tracing::warn!(feed = %self.url, %to, "the feed has moved for good: its new address is asked from now on");
            }
        }
        let hash = ask::digest(&answer.body);
        let same = answer.status == 200 && !old.waiting && !old.hash.is_empty() && hash == old.hash;
        if answer.status == 304 || same {
            memory.validators =
                if same { answer.validators.clone() } else { ask::renewed(old.validators.clone(), &answer.validators) };
            let ttl = Duration::from_secs(memory.ttl_s);
            return Ok(Polled {
                contacts: Some(memory.contact.clone()).filter(|c| !c.is_empty()).into_iter().collect(),
                unchanged: true,
                at_least: ask::longer((!ttl.is_zero()).then_some(ttl), answer.fresh_for),
                memory: ask::remember(&memory, self.url.as_str()),
                ..Polled::default()
            });
        }
        let feed = self.read_answer(&answer)?;
        let (sightings, waiting) = sight(&feed, context.now);
        let gap = gap(&feed, &sightings, old.entries, context);
        memory.validators = answer.validators.clone();
        memory.hash = hash;
        memory.contact = feed.contact.clone();
        memory.entries = feed.entries.len();
        memory.waiting = waiting;
        memory.ttl_s = feed.ttl.unwrap_or_default().as_secs();
        Ok(Polled {
            contacts: vec![feed.contact.clone()],
            sightings,
            gap,
            skipped: feed.skipped.into_iter().take(100).collect(),
            at_least: ask::longer(feed.ttl, answer.fresh_for),
            memory: ask::remember(&memory, self.url.as_str()),
            ..Polled::default()
        })
    }

    async fn read(&self, http: &Http, found: &Found, now: Timestamp) -> Result<Reread, SourceError> {
        // What the first of several readings brings saves the others the whole body.
        let _turn = self.reading.lock().await;
        let last = self.last_read.lock().expect("no holder of this lock can panic").clone();
        // A 304 tells nothing about an entry that read otherwise when it was last seen.
        let last = last.filter(|last| last.entries.get(&found.key) == Some(&words(found)));
        let validators = last.map(|last| last.validators.clone()).unwrap_or_default();
        let asked_conditionally = validators != Validators::default();
        let get = Get { validators, max_bytes: MAX_BYTES, ..Get::default() };
        let answer = http.get(&self.url, get, now).await.map_err(ask::no_answer)?;
        if answer.status == 304 && asked_conditionally {
            return Ok(Reread::Present(Box::new(found.clone())));
        }
        let feed = self.read_answer(&answer).map_err(ask::within_the_hour)?;
        if answer.validators != Validators::default() {
            let entries = feed.entries.iter().map(|entry| (entry.found.key.clone(), words(&entry.found))).collect();
            *self.last_read.lock().expect("no holder of this lock can panic") =
                Some(Arc::new(LastRead { validators: answer.validators.clone(), entries }));
        }
        Ok(reread(&feed, found))
    }
}

/// What a feed that was read anew says about one of its things. Missing is gone only where the feed is one of those
/// that show the newest first, and still shows older ones; all others may simply have moved on.
fn reread(feed: &ParsedFeed, found: &Found) -> Reread {
    let is_it = |e: &&ParsedEntry| e.found.key == found.key || e.found.aliases.contains(&found.key);
    if let Some(entry) = feed.entries.iter().find(is_it) {
        return Reread::Present(Box::new(entry.found.clone()));
    }
    let dates: Vec<Timestamp> = feed.entries.iter().filter(|e| !e.pinned).filter_map(|e| e.found.published).collect();
    // Talks are dated by the day they were given, not by their place in the feed.
    let dated_by_talk = feed.contact.starts_with("media-ccc-de:") || found.key.starts_with("media-ccc-de:");
    let newest_first = dates.len() > 1 && dates.windows(2).all(|pair| pair[0] >= pair[1]);
    let older_shown = found.published.is_some_and(|published| dates.last().is_some_and(|oldest| *oldest < published));
    if newest_first && older_shown && !dated_by_talk {
        Reread::Gone("no longer in the feed, though older entries are".into())
    } else {
        Reread::Unknown
    }
}

#[cfg(test)]
mod tests;
