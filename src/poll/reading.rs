//! Reading again what is known: when a list shows it changed, and right before it leaves (promise 10).
use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use serde_json::json;

use super::{CONFLICT_TRIES, Poller, READ_PATIENCE, Watched, asks_for_patience, bounded, origin_at};
use crate::item::{Found, Item, Number, Origin, Phase, Visibility};
use crate::life::{self, Event};
use crate::policy::Fields;
use crate::source::{Reread, Sighting, Source, SourceError};
use crate::store::{Change, CommitError, Note, StoreError};

impl Poller {
    /// The list shows an item with another title, tags or category than last time, or one that was gone, or one that is
    /// known from another place alone. The inner error: it could not be read.
    pub(super) async fn noticed(
        &self,
        number: Number,
        watched: &Watched,
        sighting: &Sighting,
        began_empty: &[String],
    ) -> Result<Result<(), SourceError>, StoreError> {
        let name = &watched.config.name;
        let Some(item) = self.store.item(number)? else { return Ok(Ok(())) };
        let Some(at) = origin_at(&item, name, &sighting.key) else {
            let elsewhere = item.origins.iter().find(|origin| origin.found.key == sighting.key);
            let found = sighting.full.clone().or_else(|| elsewhere.map(|origin| origin.found.clone()));
            let former =
                elsewhere.is_some_and(|o| o.contact == sighting.contact && !self.watched.contains_key(&o.source));
            if let Some(found) = found.filter(|_| !former && !item.forgotten) {
                self.admit(watched, sighting, found, began_empty, self.clock.now())?;
            }
            return Ok(Ok(()));
        };
        if !is_watched(&item) {
            return Ok(Ok(()));
        }
        let reading = match &sighting.full {
            Some(found) => Reread::Present(Box::new(found.clone())),
            None => match self.read(&*watched.source, &item.origins[at].found).await {
                Ok(reading) => reading,
                Err(error) => return Ok(Err(error)),
            },
        };
        self.take_reading(number, name, &sighting.key, &reading)?;
        Ok(Ok(()))
    }

    /// One thing of a source, within bounds.
    pub(super) async fn read(&self, source: &dyn Source, found: &Found) -> Result<Reread, SourceError> {
        let read = std::panic::AssertUnwindSafe(source.read(&self.http, found, self.clock.now())).catch_unwind();
        bounded(READ_PATIENCE, read).await
    }

    /// Reads an item's origins again and records what they show. That it is out of reach is recorded by
    /// [`Poller::out_of_reach`] alone, where something depends on it.
    pub async fn reread(&self, number: Number) -> Result<Reach, StoreError> {
        let there = Reach { reached: true, leave_alone: None };
        let Some(item) = self.store.item(number)? else { return Ok(there) };
        let gone_everywhere = life::is_gone(&item);
        let mut leave_alone = None;
        let mut read = BTreeSet::new();
        for origin in item.origins.iter().filter(|origin| origin.gone.is_none() || gone_everywhere) {
            let Some(source) = self.source_of(origin) else {
                tracing::debug!(item = number, source = origin.source, "its source is not configured any more");
                continue;
            };
            match self.read(&*source, &origin.found).await {
                Ok(reading) => {
                    if self.take_reading(number, &origin.source, &origin.found.key, &reading)? {
                        read.insert((origin.source.clone(), origin.found.key.clone()));
                    }
                }
                Err(error) => {
                    tracing::debug!(item = number, "its origin cannot be read: {error}");
                    leave_alone = leave_alone.max(asks_for_patience(&error));
                }
            }
        }
        let Some(item) = self.store.item(number)? else { return Ok(there) };
        // The words come from the first place that still shows it; another one out of reach holds nothing up.
        let lead = item.origins.iter().find(|origin| origin.gone.is_none());
        let reached = lead.is_none_or(|lead| read.contains(&(lead.source.clone(), lead.found.key.clone())));
        if reached {
            self.mark(number, &Event::Reachable)?;
        }
        Ok(Reach { reached, leave_alone: leave_alone.filter(|_| !reached) })
    }

    /// Records that an item's origin cannot be read: from the first time on, `grace` runs (`lifecycle.md` 3.10).
    /// `anew`: the last try before this one was long ago.
    pub fn out_of_reach(&self, number: Number, anew: bool) -> Result<(), StoreError> {
        self.mark(number, &Event::Unreachable { anew })
    }

    fn mark(&self, number: Number, event: &Event) -> Result<(), StoreError> {
        for _ in 0..CONFLICT_TRIES {
            let Some(item) = self.store.item(number)? else { return Ok(()) };
            let Ok(marked) = life::happen(&item, event.clone(), &self.rules(&item.kind, self.clock.now())) else {
                return Ok(());
            };
            if !marked.changed {
                return Ok(());
            }
            match self.store.commit(Change { items: vec![marked.item], ..Change::default() }) {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict { .. } | CommitError::Taken { .. }) => {}
                Err(CommitError::Store(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Records what one of an item's origins shows. `Ok(false)`: it could not be recorded, and must be read again.
    fn take_reading(&self, number: Number, source: &str, key: &str, reading: &Reread) -> Result<bool, StoreError> {
        for _ in 0..CONFLICT_TRIES {
            let Some(item) = self.store.item(number)? else { return Ok(true) };
            // Split off or renamed meanwhile: read again what is there now.
            let Some(index) = origin_at(&item, source, key) else { return Ok(false) };
            let now = self.clock.now();
            let origin = &item.origins[index];
            let mut first = None;
            // It is public again before anything else is said about it: then the loop comes round for what changed.
            let mut again = false;
            let event = match reading {
                Reread::Present(found) => match &found.visibility {
                    Visibility::Gone(why) => Event::GoneAt { origin: index, why: why.clone() },
                    Visibility::Public if origin.gone.is_some() => {
                        again = true;
                        Event::BackAt { origin: index, found: Box::new(origin.found.clone()) }
                    }
                    Visibility::Public if is_same_reading(&origin.found, found) => return Ok(true),
                    Visibility::Public => {
                        first = Some(change_note(&item, origin, found, now));
                        self.changed(&item, index, found, now)?
                    }
                },
                Reread::Gone(why) => Event::GoneAt { origin: index, why: why.clone() },
                Reread::Unknown => return Ok(true),
            };
            let happened = match life::happen(&item, event, &self.rules(&item.kind, now)) {
                Ok(happened) => happened,
                Err(refused) => {
                    tracing::debug!(item = number, "a reading changes nothing: {}", refused.why);
                    return Ok(true);
                }
            };
            if !happened.changed {
                return Ok(true);
            }
            let mut notes: Vec<Note> = first.into_iter().collect();
            notes.extend(crate::deliver::notes(&happened, now, number));
            match self.store.commit(Change { items: vec![happened.item], notes, durable: true, ..Change::default() }) {
                Ok(_) if again => {}
                Ok(_) => return Ok(true),
                Err(CommitError::Conflict { .. } | CommitError::Taken { .. }) => {}
                Err(CommitError::Store(error)) => return Err(error),
            }
        }
        tracing::warn!(item = number, "what its origin shows could not be recorded yet");
        Ok(false)
    }

    fn changed(&self, item: &Item, origin: usize, found: &Found, now: Timestamp) -> Result<Event, StoreError> {
        let mut next = item.clone();
        // Which thing it is does not change with its words.
        let found = &Found { key: item.origins[origin].found.key.clone(), ..found.clone() };
        next.origins[origin].found = found.clone();
        let verdict =
            self.wording.rulebook().policy.evaluate(&Fields::new(next.found(), &next.origins[0].source, &next.kind));
        let (posts, problems) = match item.phase {
            Phase::Held | Phase::Vetoed { .. } | Phase::Withdrawn { .. } => {
                self.wording.word_all(&self.store, &next)?
            }
            Phase::Known | Phase::Settling | Phase::Ignored | Phase::Expired | Phase::Duplicate { .. } => {
                Default::default()
            }
        };
        for (account, problem) in &problems {
            tracing::warn!(item = item.number, account, "no post: {problem}");
        }
        let at = found.changed.filter(|changed| *changed > item.last_change && *changed <= now).unwrap_or(now);
        Ok(Event::Changed { origin, found: Box::new(found.clone()), posts, verdict, at })
    }
}

/// What came of reading an item's origins again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The origin that gives the item its text was read, or is known to be gone.
    pub reached: bool,
    /// The source as a whole is out of reach: leave it alone for this long (zero: it did not say).
    pub leave_alone: Option<Duration>,
}

/// The author's change, for the journal. The first reading of a thing that was only known is none.
fn change_note(item: &Item, origin: &Origin, found: &Found, now: Timestamp) -> Note {
    let was_read = item.checked.is_some() || !origin.found.text.is_empty();
    let author = found.author.as_ref().map(|author| author.username.as_deref().unwrap_or(&author.name));
    let (actor, what) = match author.filter(|name| !name.is_empty()) {
        Some(name) if was_read => (format!("forum:{name}"), "changed"),
        Some(_) | None => ("oyez".to_owned(), if was_read { "changed" } else { "read" }),
    };
    Note {
        text: Some(found.title.clone()),
        detail: json!({"source": origin.source}),
        ..Note::new(now, Some(item.number), &actor, what)
    }
}

/// Do two readings say the same, as `lifecycle.md` 3.10 lists it: title, normalised body, tags, category?
fn is_same_reading(before: &Found, after: &Found) -> bool {
    fn words(text: &str) -> impl Iterator<Item = &str> {
        text.split_whitespace()
    }
    words(&before.title).eq(words(&after.title))
        && words(&before.text).eq(words(&after.text))
        && before.links == after.links
        && before.tags == after.tags
        && before.category == after.category
}

/// Is it worth reading again when its list entry changes? `lifecycle.md` 2, "author changed it".
pub(super) fn is_watched(item: &Item) -> bool {
    match item.phase {
        // A withdrawn one may come back; only a person puts it on the desk again, who should hear of it.
        Phase::Settling | Phase::Held | Phase::Vetoed { .. } | Phase::Ignored | Phase::Withdrawn { .. } => {
            !item.forgotten
        }
        Phase::Known | Phase::Expired | Phase::Duplicate { .. } => false,
    }
}
