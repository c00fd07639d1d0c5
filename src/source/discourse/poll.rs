//! One poll: what the category shows now, and how far back that reaches.
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::answer::Fault;
use super::category::{Category, Resolved, Wanted};
use super::list::{ListedTopic, digest};
use super::{Discourse, Order, place, topic_key, topic_url};
use crate::http::Http;
use crate::item::Visibility;
use crate::source::{PollContext, Polled, Sighting, SourceError};

/// Pages of the list by creation in one poll: 300 topics. First contact records that many; afterwards paging ends at the
/// first page whose oldest topic is known.
const PAGES_MAX: usize = 10;
/// Pages of the list by activity, once a day.
const ACTIVITY_PAGES: usize = 2;
/// How often the list by activity is read.
const ACTIVITY_EVERY: Duration = Duration::from_secs(24 * 3600);
/// A feed is no list: slower than the JSON, since it is two requests a poll.
pub(super) const RSS_AT_LEAST: Duration = Duration::from_secs(15 * 60);
/// As many topics as a feed of Discourse holds.
const RSS_TOPICS: usize = 25;

/// Kept between polls by the caller.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
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
pub(super) struct Floor {
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

impl Discourse {
    /// A topic that a webhook named, as a poll would show it, with the whole thing in `full`. `None`: it is not
    /// announced here (another category, furniture, not public, from before first contact), or no poll has made first
    /// contact yet.
    ///
    /// # Errors
    /// As a poll.
    pub(super) async fn hinted(&self, context: &PollContext<'_>, topic: u64) -> Result<Option<Sighting>, SourceError> {
        let memory = self.recall(context);
        let (Some(category), Some(floor)) = (memory.category, memory.floor) else { return Ok(None) };
        let topic = match self.topic(context.http, topic, context.now).await {
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
        let mut sighting = self.sighting(listed, &category);
        let mut found = topic.found;
        found.category = listed.category.map(|c| category.word(c));
        sighting.full = Some(found);
        Ok(Some(sighting))
    }

    fn about(&self) -> String {
        format!("{} {} {}", place(&self.base), self.category, self.subcategories)
    }

    pub(super) fn recall(&self, context: &PollContext<'_>) -> Memory {
        let memory: Memory = serde_json::from_value(context.memory.clone()).unwrap_or_default();
        let memory = if memory.about == self.about() { memory } else { Memory::default() };
        let mut shared = self.shared.lock().expect("no holder of this lock can panic");
        shared.now = context.now;
        if memory.category.is_some() {
            shared.category.clone_from(&memory.category);
        }
        Memory { about: self.about(), ..memory }
    }

    /// A topic of a sub-category belongs to the contact of that: where sub-categories are switched on later, their past
    /// stays as quiet as that of any category met for the first time (promise 5).
    fn sighting(&self, topic: &ListedTopic, category: &Resolved) -> Sighting {
        let own = topic.category.filter(|c| self.subcategories && category.has(*c)).unwrap_or(category.id);
        Sighting {
            key: topic_key(&self.base, topic.id),
            contact: self.contact(own),
            url: topic_url(&self.base, &topic.slug, topic.id),
            title: topic.title.clone(),
            published: topic.created,
            fingerprint: topic.fingerprint(),
            pinned: topic.pinned,
            full: None,
        }
    }

    pub(super) async fn poll_json(&self, context: &PollContext<'_>, memory: &mut Memory) -> Result<Polled, Fault> {
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
        let mut page = 0;
        let whole = loop {
            let list = match page {
                0 => std::mem::replace(&mut first, Err(Fault::Broken(String::new())))?,
                _ => self.list(http, &category, Order::Created, page, now).await?,
            };
            polled.skipped.extend(list.skipped);
            // The oldest one of the page decides, not any: a webhook may have made the newest known already.
            let oldest = list.topics.iter().rev().find(|t| self.announces(t, &category));
            let met = match (oldest, &memory.floor) {
                (Some(t), Some(floor)) => is_known(t) || floor.is_above(t.id, t.created),
                (Some(_) | None, _) => false,
            };
            topics.extend(list.topics);
            page += 1;
            if !list.more || met {
                break !list.more;
            }
            if page == PAGES_MAX {
                if memory.floor.is_some() || (contacted && !topics.iter().any(is_known)) {
                    polled.gap = Some(format!(
                        "the {} newest topics are all new: older ones may have been missed",
                        topics.len()
                    ));
                }
                break false;
            }
        };
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
                let list = self.list(http, &category, Order::Activity, page, now).await?;
                topics.extend(list.topics);
                if !list.more {
                    break;
                }
            }
            memory.activity_at = Some(now);
        }
        let mut seen = std::collections::HashSet::new();
        topics.retain(|t| seen.insert(t.id));
        if self.subcategories {
            let born = self.adopt(http, now, &mut category, &topics, memory.floor.as_ref()).await?;
            polled.new_as_a_whole = born.into_iter().map(|c| self.contact(c)).collect();
            polled.contacts = category.family.iter().map(|c| self.contact(c.id)).collect();
        }
        for topic in topics.iter().filter(|t| self.announces(t, &category)) {
            if !contacted || is_known(topic) || !floor.is_above(topic.id, topic.created) {
                polled.sightings.push(self.sighting(topic, &category));
            }
        }
        self.share(&category);
        self.note_hash(context, memory, &mut polled, contacted);
        memory.category = Some(category);
        memory.floor = Some(floor);
        Ok(polled)
    }

    /// Takes sub-categories that appeared since the last poll into the family, and tells which of them are new as a
    /// whole: made after first contact, and not an old category that was moved below ours with all its past.
    async fn adopt(
        &self,
        http: &Http,
        now: Timestamp,
        category: &mut Resolved,
        topics: &[ListedTopic],
        floor: Option<&Floor>,
    ) -> Result<Vec<u64>, Fault> {
        if topics.iter().all(|t| t.category.is_none_or(|c| category.has(c))) {
            return Ok(Vec::new());
        }
        let before = category.clone();
        let fresh = self.resolve(http, now).await?;
        if fresh.id == category.id {
            *category = fresh;
        }
        for id in topics.iter().filter_map(|t| t.category) {
            if !category.has(id) {
                // Listed here, and in no list of categories: its name is not needed.
                category.family.push(Category { id, ..Category::default() });
            }
        }
        let Some(floor) = floor else { return Ok(Vec::new()) };
        let is_born = |c: &&Category| match c.definition {
            Some(definition) => definition > floor.topic,
            None => topics.iter().filter(|t| t.category == Some(c.id)).all(|t| t.id > floor.topic),
        };
        Ok(category.family.iter().filter(|c| !before.has(c.id)).filter(is_born).map(|c| c.id).collect())
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

    pub(super) async fn poll_rss(&self, context: &PollContext<'_>, memory: &mut Memory) -> Result<Polled, Fault> {
        let category = memory.category.clone();
        let rss = self.rss(context.http, category.as_ref(), context.now).await?;
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
        let contacts = match &category {
            Some(category) => category.family.iter().map(|c| self.contact(c.id)).collect(),
            None => vec![contact],
        };
        let mut polled = Polled { contacts, skipped: rss.skipped, at_least: Some(RSS_AT_LEAST), ..Polled::default() };
        for topic in rss.topics {
            let definition = category.as_ref().is_some_and(|c| c.is_definition(topic.id));
            let known = (context.known)(&topic.found.key);
            let floor = memory.floor.as_ref().filter(|_| contacted && !known);
            if topic.is_furniture(definition) || floor.is_some_and(|f| f.is_above(topic.id, topic.found.published)) {
                continue;
            }
            let named = |c: &&Category| self.subcategories && topic.category.as_ref() == Some(&c.name);
            let own = category.as_ref().and_then(|c| c.family.iter().find(named)).map_or(id, |c| c.id);
            polled.sightings.push(Sighting {
                key: topic.found.key.clone(),
                contact: self.contact(own),
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
}
