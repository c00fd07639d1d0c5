//! A thing that was not known: joined to the item it is another sight of, or made an item of its own.
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use unicode_normalization::UnicodeNormalization;

use super::{CONFLICT_TRIES, OLD_PINNED, Poller, Tally, Watched};
use crate::item::{Found, Item, Number, Origin, Phase, VerdictKind};
use crate::life::{self, Event};
use crate::policy::Fields;
use crate::source::Sighting;
use crate::store::{Change, CommitError, Note, Store, StoreError, Which};

/// Two places that give one title to something within this time may mean the same news.
const TWIN_WITHIN: Duration = Duration::from_secs(5 * 86_400);
/// Among so many of the newest items a title is looked for.
const MOST_TITLES: Number = 2_000;

/// The titles of the newest items. What the store has more than this is read when a title is looked for.
#[derive(Debug, Default)]
pub(super) struct Titles {
    items: HashMap<String, Vec<Number>>,
    /// The newest item that is in it.
    up_to: Number,
}

impl Titles {
    /// Items that had this [`plain`] title when they were read, the newest first.
    fn like(&mut self, title: &str, store: &Store) -> Result<Vec<Number>, StoreError> {
        let last = store.last_number();
        let oldest = last.saturating_sub(MOST_TITLES);
        for item in store.items(self.up_to.max(oldest) + 1..=last) {
            let item = item?;
            for origin in &item.origins {
                let numbers = self.items.entry(plain(&origin.found.title)).or_default();
                if numbers.last() != Some(&item.number) {
                    numbers.push(item.number);
                }
            }
        }
        if self.up_to / MOST_TITLES < last / MOST_TITLES {
            self.items.retain(|_, numbers| {
                numbers.retain(|number| *number > oldest);
                !numbers.is_empty()
            });
        }
        self.up_to = last;
        Ok(self.items.get(title).into_iter().flatten().rev().copied().collect())
    }
}

/// A title as it is compared: without differences of case, form and space.
fn plain(title: &str) -> String {
    let folded = title.nfkc().collect::<String>().to_lowercase();
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Poller {
    /// A thing that was not known: joined to the item it is another sight of, or made an item of its own.
    /// `None`: it could not be recorded and has to be seen again. `began_empty`: contacts of its source that showed nothing
    /// when they were made.
    pub(super) fn admit(
        &self,
        watched: &Watched,
        sighting: &Sighting,
        found: Found,
        began_empty: &[String],
        now: Timestamp,
    ) -> Result<Option<Tally>, StoreError> {
        let mut tally = Tally { seen: 1, ..Tally::default() };
        let found = self.without_other_videos(found)?;
        let origin = Origin {
            source: watched.config.name.clone(),
            contact: sighting.contact.clone(),
            first_seen: now,
            found,
            gone: None,
        };
        for _ in 0..CONFLICT_TRIES {
            let same = self.same_thing(&origin.found)?;
            let verdict = self.wording.rulebook().policy.evaluate(&Fields::new(
                &origin.found,
                &watched.config.name,
                &watched.config.kind,
            ));
            let change = match same {
                Some(item) => {
                    tally.seen = 0;
                    let order =
                        |source: &str| self.config.sources.iter().position(|s| s.name == source).unwrap_or(usize::MAX);
                    let number = item.number;
                    let rank = order(&origin.source);
                    let at = item.origins.iter().take_while(|known| order(&known.source) <= rank).count();
                    let event = Event::AlsoAt { at, origin: Box::new(origin.clone()), verdict };
                    let Ok(joined) = life::happen(&item, event, &self.rules(&item.kind, now)) else {
                        return Ok(Some(Tally::default()));
                    };
                    let mut notes = crate::deliver::notes(&joined, now, number);
                    // What is out already is not looked at again by anybody: this is the moment to say so.
                    let mirror = self.wording.mirror(&joined.item);
                    let joined = match joined.item.state() == crate::item::State::Done && mirror != joined.item.mirror {
                        false => joined,
                        true => {
                            let event = Event::Mirrored { mirror, posts: BTreeMap::new() };
                            let mirrored =
                                life::happen(&joined.item, event, &self.rules(&item.kind, now)).unwrap_or(joined);
                            notes.extend(crate::deliver::notes(&mirrored, now, number));
                            mirrored
                        }
                    };
                    notes.push(Note {
                        detail: json!({"source": watched.config.name, "url": origin.found.url}),
                        ..Note::new(now, Some(number), "oyez", "joined")
                    });
                    Change { items: vec![joined.item], notes, durable: true, ..Change::default() }
                }
                None => {
                    let rules = self.rules(&watched.config.kind, now);
                    let accounts: Vec<String> =
                        self.config.accounts_for(&watched.config.kind).map(|account| account.name.clone()).collect();
                    let past = self.may_be_past(sighting, began_empty)?;
                    let twin = if past.is_none() { self.twin(&origin)? } else { None };
                    let sight = life::Sight {
                        number: 0,
                        kind: watched.config.kind.clone(),
                        origin: origin.clone(),
                        verdict: verdict.clone(),
                        accounts,
                        known: false,
                        ask: past.or_else(|| twin.as_ref().map(|(_, why)| why.clone())),
                    };
                    let mut item = life::first_sighting(sight, &rules);
                    item.twin = twin.map(|(number, _)| number).filter(|_| item.ask.is_some());
                    match verdict.verdict {
                        VerdictKind::Ignore => tally.ignored = 1,
                        VerdictKind::Hold | VerdictKind::Ask => tally.held = 1,
                    }
                    let note = Note {
                        text: Some(origin.found.title.clone()),
                        detail: json!({
                            "source": watched.config.name,
                            "verdict": verdict.verdict,
                            "rule": verdict.rule,
                            "because": verdict.because,
                            "settled": item.settled,
                        }),
                        item: Some(Which::New(0)),
                        ..Note::new(now, None, "oyez", "seen")
                    };
                    Change { items: vec![item], notes: vec![note], durable: true, ..Change::default() }
                }
            };
            match self.store.commit(change) {
                Ok(_) => return Ok(Some(tally)),
                // Somebody was faster with it, or with the thing it is another sight of: look again.
                Err(CommitError::Conflict { .. } | CommitError::Taken { .. }) => {
                    tally = Tally { seen: 1, ..Tally::default() };
                }
                Err(CommitError::Store(error)) => return Err(error),
            }
        }
        tracing::warn!(key = %origin.found.key, "could not be recorded: its item changes all the time; tried again with the next poll");
        Ok(None)
    }

    /// Two videos are two things, whatever page their descriptions share (the parts of a workshop).
    fn without_other_videos(&self, mut found: Found) -> Result<Found, StoreError> {
        if !found.key.starts_with("youtube:") {
            return Ok(found);
        }
        let mut kept = Vec::new();
        for alias in std::mem::take(&mut found.aliases) {
            let item = self.store.by_key(&alias)?.map(|number| self.store.item(number)).transpose()?.flatten();
            let is_other = |origin: &Origin| origin.found.key.starts_with("youtube:") && origin.found.key != found.key;
            if !item.is_some_and(|item| item.origins.iter().any(is_other)) {
                kept.push(alias);
            }
        }
        found.aliases = kept;
        Ok(found)
    }

    /// The item a reading is another sight of: same key, same canonical address, same video.
    pub(super) fn same_thing(&self, found: &Found) -> Result<Option<Item>, StoreError> {
        for key in std::iter::once(&found.key).chain(&found.aliases) {
            if let Some(number) = self.store.by_key(key)? {
                return self.store.item(number);
            }
        }
        Ok(None)
    }

    /// Why a new thing asks although the policy does not: its place showed nothing at first contact, which may only have
    /// been out of order, and it is older than that contact. So it may be the place's past, and a person should say.
    fn may_be_past(&self, sighting: &Sighting, began_empty: &[String]) -> Result<Option<String>, StoreError> {
        let Some(published) = sighting.published else { return Ok(None) };
        if !began_empty.contains(&sighting.contact) {
            return Ok(None);
        }
        let contacted = self.store.contacted(&sighting.contact)?;
        Ok(contacted
            .is_some_and(|at| published < at)
            .then(|| "it is older than first contact with its source, which showed nothing then".to_owned()))
    }

    /// The item of another place that may be the same news, and why: a title alone proves nothing, so a person is asked
    /// (promise 6).
    fn twin(&self, origin: &Origin) -> Result<Option<(Number, String)>, StoreError> {
        let title = plain(&origin.found.title);
        if title.is_empty() {
            return Ok(None);
        }
        let like = self.titles.lock().expect("no holder of this lock can panic").like(&title, &self.store)?;
        let when = |origin: &Origin| origin.found.published.unwrap_or(origin.first_seen);
        for number in like {
            let Some(mut item) = self.store.item(number)? else { continue };
            if let Phase::Duplicate { of } = item.phase {
                let Some(first) = self.store.item(of)? else { continue };
                item = first;
            }
            if item.forgotten
                || item.phase == Phase::Ignored
                || item.origins.iter().any(|o| o.contact == origin.contact)
            {
                continue;
            }
            let near = |other: &&Origin| {
                let apart = when(other).duration_since(when(origin)).unsigned_abs();
                plain(&other.found.title) == title && apart <= TWIN_WITHIN
            };
            if let Some(other) = item.origins.iter().find(near) {
                let why = format!(
                    "item {} of `{}` has the same title: `oyez join` makes them one, `oyez approve` sends this one as well",
                    item.number, other.source
                );
                return Ok(Some((item.number, why)));
            }
        }
        Ok(None)
    }
}

/// An item there before first contact: nothing happens to it unless a person sends it on its way.
pub(super) fn known_item(watched: &Watched, sighting: &Sighting, now: Timestamp) -> Item {
    let found = sighting.full.clone().unwrap_or_else(|| Found {
        key: sighting.key.clone(),
        url: sighting.url.clone(),
        title: sighting.title.clone(),
        published: sighting.published,
        ..Found::default()
    });
    Item {
        kind: watched.config.kind.clone(),
        phase: Phase::Known,
        first_seen: now,
        last_change: now,
        origins: vec![Origin {
            source: watched.config.name.clone(),
            contact: sighting.contact.clone(),
            first_seen: now,
            // A known item is a memory that it was there; its text is read when a person sends it on its way.
            found: Found { text: String::new(), links: Vec::new(), images: Vec::new(), ..found },
            gone: None,
        }],
        ..Item::default()
    }
}

/// An old thing that is pinned is a notice, no news, even when it turns up late.
pub(super) fn is_old_notice(sighting: &Sighting, now: Timestamp) -> bool {
    sighting.pinned && sighting.published.is_some_and(|published| published < now - OLD_PINNED)
}
