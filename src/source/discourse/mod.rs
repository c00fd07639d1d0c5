//! A Discourse category, read by its JSON; by its RSS where the JSON is refused.
//!
//! The list is asked for by creation time, in which order no pin and no reply moves an old topic up. Once a day the list
//! by activity is read as well, which shows topics that were moved into the category. What lies further back than first
//! contact could record is remembered as a [`Floor`], so that no list, in whatever order, makes an old topic news.
mod answer;
mod category;
mod list;
mod rss;
mod topic;
mod webhook;

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

pub use category::{Category, parse_category};
pub use list::{List, ListedTopic, parse_list};
pub use rss::{Rss, RssTopic, parse_rss};
pub use topic::parse_topic;
pub(crate) use webhook::sign;
pub use webhook::{Hint, parse_webhook, verify_signature};

use self::answer::{Fault, check_json, check_rss};
use self::category::{Resolved, Wanted};
use self::list::digest;
use crate::http::{Answer, Get, Http};
use crate::item::{Found, Visibility};
use crate::source::{PollContext, Polled, Reread, Sighting, Source, SourceError};

/// Pages of the list by creation in one poll: 300 topics. First contact records that many; afterwards paging ends at the
/// first page whose oldest topic is known.
const PAGES_MAX: usize = 10;
/// Pages of the list by activity, once a day.
const ACTIVITY_PAGES: usize = 2;
/// How often the list by activity is read.
const ACTIVITY_EVERY: Duration = Duration::from_secs(24 * 3600);
/// A feed is no list: slower than the JSON, since it is two requests a poll.
const RSS_AT_LEAST: Duration = Duration::from_secs(15 * 60);
/// As many topics as a feed of Discourse holds.
const RSS_TOPICS: usize = 25;

/// What identifies a forum in keys: lower-case host, a port that is not the usual one, and the path it lives under.
fn place(base: &Url) -> String {
    let host = base.host_str().unwrap_or_default().to_lowercase();
    let port = base.port().map(|p| format!(":{p}")).unwrap_or_default();
    format!("{host}{port}{}", base.path().trim_end_matches('/'))
}

/// The key of a topic: `discourse:HOST/t/ID`.
pub fn topic_key(base: &Url, topic: u64) -> String {
    format!("discourse:{}/t/{topic}", place(base))
}

/// The address people are sent to. The slug is the forum's word: whatever could end the path is taken out of it.
fn topic_url(base: &Url, slug: &str, topic: u64) -> String {
    let slug: String = slug.chars().filter(|c| !matches!(c, '/' | '\\' | '?' | '#') && !c.is_control()).collect();
    let slug = if slug.chars().all(|c| c == '.') { "-" } else { &slug };
    address(base, &format!("t/{slug}/{topic}")).to_string()
}

/// `path` below the forum, whether or not its address was written with a slash at the end.
fn address(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    url
}

/// A category of a forum.
#[derive(Debug)]
pub struct Discourse {
    base: Url,
    host: String,
    category: String,
    wanted: Wanted,
    subcategories: bool,
    headers: Vec<(String, SecretString)>,
    shared: Mutex<Shared>,
}

/// What a poll found out and a re-reading between two polls needs as well.
#[derive(Debug, Clone, Default)]
struct Shared {
    category: Option<Resolved>,
    now: Timestamp,
}

/// Kept between polls by the caller.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    /// What the rest is about; another category under the same name starts over.
    about: String,
    category: Option<Resolved>,
    hash: Option<String>,
    activity_at: Option<Timestamp>,
    floor: Option<Floor>,
}

/// How far back first contact recorded everything. A topic from before that turns up later (it got a reply, it was
/// restored, it slid onto a page that is read now) is no news. Both must hold, since staff may give a topic another date,
/// and a split makes a new topic of old posts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Floor {
    /// Older than this was not recorded. `None`: the whole category was.
    created: Option<Timestamp>,
    /// The highest topic id of that time.
    topic: u64,
}

impl Floor {
    fn of(topics: &[&ListedTopic], whole: bool) -> Self {
        Self {
            created: topics.iter().filter_map(|t| t.created).min().filter(|_| !whole),
            topic: topics.iter().map(|t| t.id).max().unwrap_or(0),
        }
    }

    fn is_above(&self, topic: u64, created: Option<Timestamp>) -> bool {
        self.created.is_some_and(|floor| created.is_none_or(|c| c < floor)) && topic <= self.topic
    }
}

/// The two orders of a list that are asked for.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Created,
    Activity,
}

impl Discourse {
    /// A category as `[[source]]` names it. `api`: the key, and the user it speaks for unless the key itself says.
    pub fn new(base: &Url, category: &str, subcategories: bool, api: Option<(SecretString, Option<String>)>) -> Self {
        let mut headers = Vec::new();
        if let Some((key, user)) = api {
            headers.push(("Api-Key".to_owned(), key));
            headers.extend(user.map(|u| ("Api-Username".to_owned(), SecretString::from(u))));
        }
        let port = base.port().map(|p| format!(":{p}")).unwrap_or_default();
        Self {
            base: base.clone(),
            host: format!("{}{port}", base.host_str().unwrap_or_default().to_lowercase()),
            category: category.trim().to_owned(),
            wanted: Wanted::read(category),
            subcategories,
            headers,
            shared: Mutex::default(),
        }
    }

    /// A topic that a webhook named, as a poll would show it, with the whole thing in `full`. `None`: it is not
    /// announced here (another category, furniture, not public, from before first contact), or no poll has made first
    /// contact yet.
    ///
    /// # Errors
    /// As a poll.
    pub async fn sight(&self, context: &PollContext<'_>, hint: Hint) -> Result<Option<Sighting>, SourceError> {
        let memory = self.recall(context);
        let (Some(category), Some(floor)) = (memory.category, memory.floor) else { return Ok(None) };
        // A category that is not ours is refused by its number alone; one that is new below ours is found by a poll.
        if hint.category.is_some_and(|c| !category.has(c)) {
            return Ok(None);
        }
        let topic = match self.topic(context.http, hint.topic, context.now).await {
            Ok(topic) => topic,
            Err(Fault::Absent(_)) => return Ok(None),
            Err(fault) => return Err(fault.into()),
        };
        let listed = &topic.listed;
        let key = topic_key(&self.base, listed.id);
        let elsewhere = listed.category.is_some_and(|c| !category.has(c));
        let from_before = !(context.known)(&key) && floor.is_above(listed.id, listed.created);
        let furniture = listed.is_furniture(category.is_definition(listed.id));
        if elsewhere || from_before || furniture || topic.found.visibility != Visibility::Public {
            return Ok(None);
        }
        let mut sighting = self.sighting(listed, category.id);
        let mut found = topic.found;
        found.category = listed.category.map(|c| category.word(c));
        sighting.full = Some(found);
        Ok(Some(sighting))
    }

    fn contact(&self, category: u64) -> String {
        format!("discourse:{}/c/{category}", place(&self.base))
    }

    fn sighting(&self, topic: &ListedTopic, category: u64) -> Sighting {
        Sighting {
            key: topic_key(&self.base, topic.id),
            contact: self.contact(category),
            url: topic_url(&self.base, &topic.slug, topic.id),
            title: topic.title.clone(),
            published: topic.created,
            fingerprint: topic.fingerprint(),
            pinned: topic.pinned,
            full: None,
        }
    }

    fn topic_id(&self, key: &str) -> Option<u64> {
        key.strip_prefix(&format!("discourse:{}/t/", place(&self.base)))?.parse().ok()
    }

    fn about(&self) -> String {
        format!("{} {} {}", place(&self.base), self.category, self.subcategories)
    }

    fn recall(&self, context: &PollContext<'_>) -> Memory {
        let memory: Memory = serde_json::from_value(context.memory.clone()).unwrap_or_default();
        let memory = if memory.about == self.about() { memory } else { Memory::default() };
        let mut shared = self.shared.lock().expect("no holder of this lock can panic");
        shared.now = context.now;
        if memory.category.is_some() {
            shared.category.clone_from(&memory.category);
        }
        Memory { about: self.about(), ..memory }
    }

    fn share(&self, category: &Resolved) {
        self.shared.lock().expect("no holder of this lock can panic").category = Some(category.clone());
    }

    fn shared(&self) -> Shared {
        self.shared.lock().expect("no holder of this lock can panic").clone()
    }

    async fn ask(&self, http: &Http, path: &str, json: bool, key: bool, now: Timestamp) -> Result<Answer, Fault> {
        let accept =
            if json { "application/json" } else { "application/rss+xml, application/xml;q=0.9, text/xml;q=0.8" };
        let headers = if key { self.headers.clone() } else { Vec::new() };
        let get = Get { accept: Some(accept), headers, ..Get::default() };
        Ok(http.get(&address(&self.base, path), get, now).await?)
    }

    async fn json(&self, http: &Http, path: &str, now: Timestamp) -> Result<Answer, Fault> {
        let answer = self.ask(http, path, true, true, now).await?;
        match check_json(&answer, &self.host) {
            // A key that was revoked is refused with the very words used for a topic that may not be seen. What
            // anybody is told decides then: a dead key must not look like a hundred withdrawn announcements.
            Err(Fault::Absent(why)) if answer.status == 403 && !self.headers.is_empty() => {
                let answer = self.ask(http, path, true, false, now).await?;
                match check_json(&answer, &self.host) {
                    Ok(()) => Err(Fault::Later { reason: format!("the api-key is refused: {why}"), after: None }),
                    Err(fault) => Err(fault),
                }
            }
            Ok(()) => Ok(answer),
            Err(fault) => Err(fault),
        }
    }

    async fn list(
        &self,
        http: &Http,
        category: &Resolved,
        order: Order,
        page: usize,
        now: Timestamp,
    ) -> Result<(List, Option<Timestamp>), Fault> {
        let none = if self.subcategories { "" } else { "/none" };
        let mut path = format!("c/{}/{}{none}/l/latest.json", category.path, category.id);
        let mut query = Vec::new();
        if order == Order::Created {
            query.push("order=created".to_owned());
        }
        if page > 0 {
            query.push(format!("page={page}"));
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let answer = self.json(http, &path, now).await?;
        Ok((parse_list(&answer.body)?, answer.date))
    }

    async fn topic(&self, http: &Http, id: u64, now: Timestamp) -> Result<topic::Topic, Fault> {
        let answer = self.json(http, &format!("t/{id}.json"), now).await?;
        let topic = topic::read(&answer.body, &self.base)?;
        if topic.listed.id != id {
            // Merged into another topic, and the forum led us there: what was announced is not there any more.
            return Err(Fault::Absent(format!("it was merged into topic {}", topic.listed.id)));
        }
        Ok(topic)
    }

    /// Asks the forum which category the configuration means.
    async fn resolve(&self, http: &Http, now: Timestamp) -> Result<Resolved, Fault> {
        if let (Wanted::Id(id), false) = (&self.wanted, self.subcategories) {
            return self.resolve_id(http, *id, now).await;
        }
        // `site.json` has them all at once; forums with very many categories leave some out of it.
        for path in ["site.json", "categories.json?include_subcategories=true"] {
            let all = match self.json(http, path, now).await {
                Ok(answer) => parse_category(&answer.body)?,
                Err(Fault::Absent(_)) => continue,
                Err(fault) => return Err(fault),
            };
            if let Some(found) = Resolved::pick(&self.wanted, self.subcategories, &all).map_err(Fault::from_pick)? {
                return Ok(found);
            }
        }
        match &self.wanted {
            Wanted::Id(id) => self.resolve_id(http, *id, now).await,
            Wanted::Slug { .. } => Err(self.no_such_category()),
        }
    }

    async fn resolve_id(&self, http: &Http, id: u64, now: Timestamp) -> Result<Resolved, Fault> {
        let mut all: Vec<Category> = Vec::new();
        let mut next = Some(id);
        // The parents are needed for the address alone; the bound is against a circle.
        while let (Some(wanted), true) = (next, all.len() < 5) {
            match self.json(http, &format!("c/{wanted}/show.json"), now).await {
                Ok(answer) => all.extend(parse_category(&answer.body)?),
                Err(Fault::Absent(_)) if all.is_empty() => return Err(self.no_such_category()),
                Err(Fault::Absent(_)) => break,
                Err(fault) => return Err(fault),
            }
            next = all.last().and_then(|c| c.parent).filter(|p| all.iter().all(|c| c.id != *p));
        }
        let found = Resolved::pick(&Wanted::Id(id), false, &all).map_err(Fault::from_pick)?;
        found.ok_or_else(|| self.no_such_category())
    }

    fn no_such_category(&self) -> Fault {
        Fault::Absent(format!("there is no category `{}` on `{}` that may be read", self.category, self.host))
    }

    async fn poll_json(&self, context: &PollContext<'_>, memory: &mut Memory) -> Result<Polled, Fault> {
        let PollContext { now, http, .. } = *context;
        let mut category = match memory.category.clone() {
            Some(category) => category,
            None => self.resolve(http, now).await?,
        };
        let mut first = self.list(http, &category, Order::Created, 0, now).await;
        if let (Err(Fault::Absent(_)), Some(_)) = (&first, &memory.category) {
            // Renamed so that the old address leads nowhere, or made anew under the same name.
            category = self.resolve(http, now).await?;
            first = self.list(http, &category, Order::Created, 0, now).await;
        }
        let contact = self.contact(category.id);
        let contacted = (context.contacted)(&contact);
        if memory.category.as_ref().is_some_and(|old| old.id != category.id) || !contacted {
            (memory.hash, memory.activity_at, memory.floor) = (None, None, None);
        }
        let is_known = |t: &ListedTopic| (context.known)(&topic_key(&self.base, t.id));
        let mut polled = Polled { contacts: vec![contact.clone()], ..Polled::default() };
        let mut topics: Vec<ListedTopic> = Vec::new();
        let mut whole = false;
        let mut page = 0;
        loop {
            let (list, date) = match page {
                0 => std::mem::replace(&mut first, Err(Fault::Broken(String::new())))?,
                _ => self.list(http, &category, Order::Created, page, now).await?,
            };
            polled.server_time = date.or(polled.server_time);
            polled.skipped.extend(list.skipped);
            // The oldest one of the page decides, not any: a webhook may have made the newest known already.
            let oldest = list.topics.iter().rev().find(|t| self.announces(t, &category));
            let met = match (oldest, &memory.floor) {
                (Some(t), Some(floor)) => is_known(t) || floor.is_above(t.id, t.created),
                (Some(_) | None, _) => false,
            };
            topics.extend(list.topics);
            page += 1;
            whole = !list.more;
            if whole || met {
                break;
            }
            if page == PAGES_MAX {
                if memory.floor.is_some() || (contacted && !topics.iter().any(is_known)) {
                    polled.gap = Some(format!(
                        "the {} newest topics are all new: older ones may have been missed",
                        topics.len()
                    ));
                }
                break;
            }
        }
        let floor = memory.floor.clone().unwrap_or_else(|| {
            // First contact, or a memory that was lost: then what the caller knows says how far back we were.
            let known: Vec<&ListedTopic> = topics.iter().filter(|t| contacted && is_known(t)).collect();
            let all: Vec<&ListedTopic> = topics.iter().collect();
            Floor::of(if known.is_empty() { &all } else { &known }, whole)
        });
        let due =
            memory.activity_at.is_none_or(|at| at > now || now.duration_since(at).unsigned_abs() >= ACTIVITY_EVERY);
        if due {
            for page in 0..ACTIVITY_PAGES {
                let (list, _) = self.list(http, &category, Order::Activity, page, now).await?;
                topics.extend(list.topics);
                if !list.more {
                    break;
                }
            }
            memory.activity_at = Some(now);
        }
        let mut seen = std::collections::HashSet::new();
        topics.retain(|t| seen.insert(t.id));
        for topic in topics.iter().filter(|t| self.announces(t, &category)) {
            if !contacted || is_known(topic) || !floor.is_above(topic.id, topic.created) {
                polled.sightings.push(self.sighting(topic, category.id));
            }
        }
        for id in topics.iter().filter_map(|t| t.category) {
            // A sub-category made since; its name comes with the next time the category is resolved.
            if self.subcategories && !category.has(id) {
                category.family.push(Category { id, ..Category::default() });
            }
        }
        self.share(&category);
        self.note_hash(context, memory, &mut polled, contacted);
        memory.category = Some(category);
        memory.floor = Some(floor);
        Ok(polled)
    }

    /// Is a listed topic one that this source announces?
    fn announces(&self, topic: &ListedTopic, category: &Resolved) -> bool {
        let here = self.subcategories || topic.category.is_none_or(|c| c == category.id);
        here && !topic.is_furniture(category.is_definition(topic.id))
    }

    /// `unchanged` only if nothing is left to do either: a topic whose reading failed last time is asked for again.
    fn note_hash(&self, context: &PollContext<'_>, memory: &mut Memory, polled: &mut Polled, contacted: bool) {
        let pins = |s: &Sighting| format!("{} {} {:?} {}", s.key, s.fingerprint, s.published, s.pinned);
        let lines: Vec<String> = polled.sightings.iter().map(pins).collect();
        let hash = digest(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let all_known = polled.sightings.iter().all(|s| (context.known)(&s.key));
        polled.unchanged = contacted && all_known && memory.hash.as_ref() == Some(&hash);
        memory.hash = Some(hash);
    }

    fn rss_path(&self, category: Option<&Resolved>) -> String {
        match (category, &self.wanted) {
            (Some(category), _) => format!("c/{}/{}.rss", category.path, category.id),
            (None, Wanted::Id(id)) => format!("c/{id}.rss"),
            (None, Wanted::Slug { parent: Some(parent), slug }) => format!("c/{parent}/{slug}.rss"),
            (None, Wanted::Slug { parent: None, slug }) => format!("c/{slug}.rss"),
        }
    }

    async fn rss(
        &self,
        http: &Http,
        category: Option<&Resolved>,
        now: Timestamp,
    ) -> Result<(Rss, Option<Timestamp>), Fault> {
        let answer = self.ask(http, &self.rss_path(category), false, true, now).await?;
        check_rss(&answer, &self.host)?;
        let mut rss = parse_rss(&answer.body, &self.base)?;
        let name = category.and_then(Resolved::itself).map(|c| c.name.as_str()).filter(|n| !n.is_empty());
        if !self.subcategories {
            let own: Vec<bool> = rss.topics.iter().map(|t| rss.is_own(t, name)).collect();
            let mut own = own.into_iter();
            rss.topics.retain(|_| own.next().unwrap_or(false));
        }
        if let Some(category) = category {
            for topic in &mut rss.topics {
                // The feed names categories for people; rules compare the word that the JSON would have given.
                let named = |c: &&Category| topic.category.as_ref() == Some(&c.name);
                if let Some(c) = category.family.iter().find(named) {
                    topic.found.category = Some(category.word(c.id));
                }
            }
        }
        Ok((rss, answer.date))
    }

    async fn poll_rss(&self, context: &PollContext<'_>, memory: &mut Memory) -> Result<Polled, Fault> {
        let category = memory.category.clone();
        let (rss, server_time) = self.rss(context.http, category.as_ref(), context.now).await?;
        let id = match (&category, &self.wanted) {
            (Some(category), _) => category.id,
            (None, Wanted::Id(id)) => *id,
            (None, Wanted::Slug { .. }) => rss.category.ok_or_else(|| {
                Fault::Broken(format!("`{}` does not tell the id of `{}`: name the id", self.host, self.category))
            })?,
        };
        let contact = self.contact(id);
        let contacted = (context.contacted)(&contact);
        let shown = rss.topics.len();
        let mut polled = Polled {
            contacts: vec![contact.clone()],
            skipped: rss.skipped,
            at_least: Some(RSS_AT_LEAST),
            server_time,
            ..Polled::default()
        };
        for topic in rss.topics {
            let definition = category.as_ref().is_some_and(|c| c.is_definition(topic.id));
            let known = (context.known)(&topic.found.key);
            let floor = memory.floor.as_ref().filter(|_| contacted && !known);
            if topic.is_furniture(definition) || floor.is_some_and(|f| f.is_above(topic.id, topic.found.published)) {
                continue;
            }
            polled.sightings.push(Sighting {
                key: topic.found.key.clone(),
                contact: contact.clone(),
                url: topic.found.url.clone(),
                title: topic.found.title.clone(),
                published: topic.found.published,
                fingerprint: digest(&["rss", &topic.found.title, &topic.found.text]),
                pinned: topic.pinned,
                full: Some(topic.found),
            });
        }
        let all_new = !polled.sightings.is_empty() && polled.sightings.iter().all(|s| !(context.known)(&s.key));
        if contacted && shown >= RSS_TOPICS && all_new {
            polled.gap = Some(format!("the {shown} topics of the feed are all new: older ones may have been missed"));
        }
        self.note_hash(context, memory, &mut polled, contacted);
        Ok(polled)
    }

    /// Says whether a topic is where it was announced, and puts the category's word into it.
    async fn check_place(&self, http: &Http, topic: topic::Topic, now: Timestamp) -> Result<Found, Fault> {
        let mut found = topic.found;
        let Some(id) = topic.listed.category else { return Ok(found) };
        let mut category = match self.shared().category {
            Some(category) => category,
            None => {
                let category = self.resolve(http, now).await?;
                self.share(&category);
                category
            }
        };
        if self.subcategories && !category.has(id) {
            // It may be a sub-category made since.
            category = self.resolve(http, now).await?;
            self.share(&category);
        }
        found.category = Some(category.word(id));
        if found.visibility == Visibility::Public && !category.has(id) {
            found.visibility = Visibility::Gone("moved to another category".into());
        }
        Ok(found)
    }

    async fn read_rss(&self, http: &Http, id: u64, before: &Found, now: Timestamp) -> Result<Reread, Fault> {
        let category = self.shared().category;
        let (rss, _) = self.rss(http, category.as_ref(), now).await?;
        let Some(topic) = rss.topics.into_iter().find(|t| t.id == id) else { return Ok(Reread::Unknown) };
        Ok(Reread::Present(Box::new(with_what_rss_lacks(topic.found, before))))
    }
}

/// A feed tells less than the topic did before: what it cannot tell is no change.
fn with_what_rss_lacks(now: Found, before: &Found) -> Found {
    // A forum may shorten its feeds. Only a visible ellipsis is taken for that; any other missing end is an edit.
    let shortened = now.text.trim_end().strip_suffix('…').or_else(|| now.text.trim_end().strip_suffix("..."));
    let is_shortened =
        shortened.is_some_and(|start| before.text.len() > now.text.len() && before.text.starts_with(start.trim_end()));
    let (text, links, images) = if is_shortened {
        (before.text.clone(), before.links.clone(), before.images.clone())
    } else {
        (now.text, now.links, now.images)
    };
    let same_author = match (&now.author, &before.author) {
        (Some(now), Some(before)) => now.username == before.username,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    Found {
        text,
        links,
        images,
        aliases: before.aliases.clone(),
        author: if same_author { before.author.clone() } else { now.author },
        published: before.published.or(now.published),
        changed: before.changed,
        tags: before.tags.clone(),
        category: before.category.clone().or(now.category),
        ..Found { key: now.key, url: now.url, title: now.title, ..Found::default() }
    }
}

#[async_trait]
impl Source for Discourse {
    fn host(&self) -> &str {
        &self.host
    }

    async fn poll(&self, context: &PollContext<'_>) -> Result<Polled, SourceError> {
        let mut memory = self.recall(context);
        let mut polled = match self.poll_json(context, &mut memory).await {
            Ok(polled) => polled,
            Err(Fault::Refused { status, reason }) => match self.poll_rss(context, &mut memory).await {
                Ok(polled) => polled,
                // The feed asks for patience: that is worth knowing. Else the first refusal is the one to tell.
                Err(Fault::Later { reason, after }) => return Err(SourceError::Later { reason, after }),
                Err(Fault::Broken(feed)) => return Err(SourceError::Broken(format!("{reason}; its feed: {feed}"))),
                Err(Fault::Refused { .. } | Fault::Absent(_)) => return Err(Fault::Refused { status, reason }.into()),
            },
            Err(fault) => return Err(fault.into()),
        };
        polled.memory = serde_json::to_value(&memory).unwrap_or(Value::Null);
        Ok(polled)
    }

    async fn read(&self, http: &Http, found: &Found) -> Result<Reread, SourceError> {
        let Some(id) = self.topic_id(&found.key) else { return Ok(Reread::Unknown) };
        let now = self.shared().now;
        let topic = match self.topic(http, id, now).await {
            Ok(topic) => topic,
            Err(Fault::Absent(why)) => return Ok(Reread::Gone(gone(&why))),
            Err(Fault::Refused { status: _, reason }) => {
                return match self.read_rss(http, id, found, now).await {
                    Ok(reread) => Ok(reread),
                    Err(_) => Err(SourceError::Later { reason, after: None }),
                };
            }
            Err(fault) => return Err(fault.into()),
        };
        match self.check_place(http, topic, now).await {
            Ok(found) => Ok(Reread::Present(Box::new(found))),
            // Not knowing where it belongs is being out of reach, never a reason to withdraw.
            Err(Fault::Absent(reason) | Fault::Refused { reason, .. }) => {
                Err(SourceError::Later { reason, after: None })
            }
            Err(fault) => Err(fault.into()),
        }
    }
}

/// What a forum says of a topic it does not show; it does not tell a deletion from a move into private.
fn gone(why: &str) -> String {
    if why.starts_with("it was merged") { why.to_owned() } else { "deleted or made private".into() }
}

impl Fault {
    /// An ambiguous name is the configuration's fault, whoever was asked.
    fn from_pick(error: SourceError) -> Self {
        Fault::Absent(error.to_string())
    }
}

#[cfg(test)]
mod tests;
