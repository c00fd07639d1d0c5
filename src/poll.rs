//! Asks the sources what they show, and records what is new. Decides nothing itself: first contact, joining, policy and
//! states are asked of the core; one source's trouble never reaches another.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock::Clock;
use crate::config::{Config, SourceConfig, SourceSpec};
use crate::hold;
use crate::http::Http;
use crate::item::{Found, Item, Number, Origin, Visibility};
use crate::life::{self, Rules};
use crate::schedule::{self, Agenda, Due};
use crate::source::{PollContext, Polled, Reread, Sighting, Source, SourceError};
use crate::store::{Change, CommitError, Note, SourceRecord, Store, StoreError, Which};
use crate::wording::Wording;

mod admit;
mod reading;
#[cfg(test)]
mod tests;

pub use reading::Reach;

use admit::{is_old_notice, known_item};
use reading::is_watched;

/// Sources asked at the same time; of one host only ever one.
const AT_ONCE: usize = 8;
/// A poll with all its pages must end within this, so that one slow source cannot hold its place for ever.
const POLL_PATIENCE: Duration = Duration::from_secs(300);
/// Reading one thing must end within this, waiting for the host's turn included.
const READ_PATIENCE: Duration = Duration::from_secs(120);
/// The beat of the polling loop while nothing is due.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// Its shortest pause: a busy loop helps nobody.
const SHORTEST_SLEEP: Duration = Duration::from_millis(50);
/// A pinned thing older than this that turns up late is an old notice, no news.
const OLD_PINNED: Duration = Duration::from_secs(30 * 86_400);
/// Things that could not be read when they were seen, kept per source until they can be.
const MOST_PENDING: usize = 2_000;
/// Entries that could not be used, named one by one in the journal.
const SKIPPED_TOLD: usize = 5;
/// How often a decision is taken again when the item changed in between.
const CONFLICT_TRIES: usize = 20;

/// What one round of polling did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sources asked.
    pub polled: usize,
    /// Names of those that failed.
    pub failed: Vec<String>,
    /// Items recorded as known.
    pub known: usize,
    /// New items seen.
    pub seen: usize,
    /// Of those: on their way to the desk.
    pub held: usize,
    /// Of those: ignored by the policy.
    pub ignored: usize,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.polled += other.polled;
        self.failed.extend(other.failed);
        self.known += other.known;
        self.seen += other.seen;
        self.held += other.held;
        self.ignored += other.ignored;
    }
}

/// A source of the configuration with the code that reads it.
pub struct Watched {
    /// Its settings.
    pub config: SourceConfig,
    /// What reads it.
    pub source: Arc<dyn Source>,
}

/// The polling half of the service.
pub struct Poller {
    store: Store,
    clock: Arc<dyn Clock>,
    http: Http,
    config: Arc<Config>,
    wording: Arc<Wording>,
    watched: BTreeMap<String, Watched>,
    agenda: Mutex<Agenda>,
    /// A poll succeeded since the start.
    heard: AtomicBool,
    titles: Mutex<admit::Titles>,
    /// Places that were heard in this process, with the source that shows each: what came from one under a name that is
    /// not configured any more is read there.
    shown_by: Mutex<HashMap<String, String>>,
    /// Somebody waits until any source was heard.
    awaited: AtomicBool,
}

/// A thing that was seen and could not be read yet, as it is kept in [`SourceRecord::pending`].
#[derive(Serialize, Deserialize)]
struct Pending {
    #[serde(flatten)]
    sighting: Sighting,
    /// It was asked for, in vain; not only left for later.
    #[serde(default)]
    tried: bool,
}

/// A hint of a webhook: look at this source now, and at this thing of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hint {
    /// The source's name.
    pub source: String,
    /// Its key, when the event named a topic.
    pub key: Option<String>,
    /// The topic's number on the forum.
    pub topic: Option<u64>,
}

impl Poller {
    /// The clients it reads with.
    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    /// A poller over the configured sources. Those that are switched off are not polled, but what they announced before
    /// is still read again before it leaves (promise 10).
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        http: Http,
        config: Arc<Config>,
        wording: Arc<Wording>,
        watched: Vec<Watched>,
    ) -> Result<Self, StoreError> {
        let watched: BTreeMap<String, Watched> = watched.into_iter().map(|w| (w.config.name.clone(), w)).collect();
        let poller = Self {
            store,
            clock,
            http,
            config,
            wording,
            watched,
            agenda: Mutex::default(),
            heard: AtomicBool::new(false),
            titles: Mutex::default(),
            shown_by: Mutex::default(),
            awaited: AtomicBool::new(false),
        };
        for (name, watched) in poller.watched.iter().filter(|(_, watched)| watched.config.enabled) {
            let record = poller.source_record(watched)?;
            if record.stopped.is_some() {
                tracing::warn!(source = %name, "not polled: it is gone for good");
                continue;
            }
            // `next poll` survives restarts (promise 11).
            let next = record.next_poll.unwrap_or(Timestamp::MIN);
            let due = if record.failures > 0 { Due::NotBefore(next) } else { Due::At(next) };
            poller.agenda().put(name, watched.source.host(), due);
        }
        Ok(poller)
    }

    /// What is remembered of a source. Another place under the same name starts anew: what it remembered was the other's.
    fn source_record(&self, watched: &Watched) -> Result<SourceRecord, StoreError> {
        let name = &watched.config.name;
        let record = self.store.source(name)?;
        let identity = identity(&watched.config);
        if record.identity.as_ref() == Some(&identity) {
            return Ok(record);
        }
        // What could not be read yet is kept: each thing of it is asked for by name, and refused where it does not belong.
        let SourceRecord { rev, pending, .. } = record;
        Ok(SourceRecord { name: name.clone(), rev, pending, identity: Some(identity), ..SourceRecord::default() })
    }

    /// Differences between the hosts' clocks and ours, in seconds (theirs minus ours), one a host, however many sources
    /// it has: one forum with a wrong clock stops nobody.
    pub fn skews(&self) -> Vec<i64> {
        self.http.skews()
    }

    /// Has any source answered since the start?
    pub fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Acquire) || !self.skews().is_empty()
    }

    /// Asks one source now, to hear from any; where it fails, the next one.
    pub fn hurry_one(&self) {
        self.awaited.store(true, Ordering::Release);
        self.agenda().hurry_one(self.clock.now());
    }

    /// Why the clock is not believed now, if so (`lifecycle.md` 3.9).
    pub fn distrust(&self) -> Option<hold::Distrust> {
        let skews: Vec<_> = self.skews().into_iter().map(jiff::SignedDuration::from_secs).collect();
        hold::trust(self.clock.now(), self.store.last_entry_at(), &skews).err()
    }

    /// Our clock was set: it moved by `by`. What was measured by the old one is put right; what is due by it is due by no
    /// clock, and looked at now.
    pub fn clock_moved(&self, by: jiff::SignedDuration) {
        if by.unsigned_abs() < hold::TOLERANCE {
            return;
        }
        self.http.clock_moved(by);
        let now = self.clock.now();
        for name in self.watched.keys() {
            self.agenda().hurry(name, now);
        }
    }

    /// The source that reads an origin, if it is still configured: under this name, or under the one it `was` given.
    pub fn source(&self, name: &str) -> Option<Arc<dyn Source>> {
        let renamed = || self.watched.values().find(|watched| watched.config.was.as_deref() == Some(name));
        self.watched.get(name).or_else(renamed).map(|watched| Arc::clone(&watched.source))
    }

    /// The source that reads this origin: by its name, or as the one that shows its place now.
    fn source_of(&self, origin: &Origin) -> Option<Arc<dyn Source>> {
        self.source(&origin.source).or_else(|| {
            let shown_by = self.shown_by.lock().expect("no holder of this lock can panic");
            self.source(shown_by.get(&origin.contact)?)
        })
    }

    /// When the next poll is due, as things stand.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.agenda().next()
    }

    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().expect("no holder of this lock can panic")
    }

    /// One round: asks every source that is due (or all), at most one a host at a time.
    pub async fn tick(&self, all: bool) -> Result<Tally, StoreError> {
        let now = self.clock.now();
        if all {
            for watched in self.watched.values().filter(|watched| watched.config.enabled) {
                self.agenda().put(&watched.config.name, watched.source.host(), Due::At(now));
            }
        }
        let mut running = FuturesUnordered::new();
        let mut tally = Tally::default();
        // Each source at most once a round, so that a round ends.
        let mut asked = BTreeSet::new();
        loop {
            while running.len() < AT_ONCE {
                // By the clock of this moment: a host is free for its next source only after the one before was asked.
                let now = self.clock.now();
                let Some(name) = self.agenda().take(now) else { break };
                let Some(watched) = self.watched.get(&name) else { continue };
                if !asked.insert(name.clone()) {
                    self.agenda().done(&name, now, Due::At(now + watched.config.every));
                    continue;
                }
                running.push(async move { (name, self.poll_one(watched).await) });
            }
            let Some((name, done)) = running.next().await else { break };
            tally.add(self.asked(&name, done?));
        }
        Ok(tally)
    }

    /// Polls for as long as the service runs. A source that is slow keeps its own place and its host, and nobody else
    /// waiting. `heard` is told of each answer, `beat` of each round, of which there is one a minute at least. What is under way when `stop` resolves is dropped, as in a crash: it is
    /// asked again.
    pub async fn watch(
        &self,
        hurry: &tokio::sync::Notify,
        stop: impl Future<Output = ()>,
        mut heard: impl FnMut(&Tally),
        beat: impl Fn(),
    ) -> Result<(), StoreError> {
        let mut stop = std::pin::pin!(stop);
        let mut running = FuturesUnordered::new();
        loop {
            beat();
            let now = self.clock.now();
            while running.len() < AT_ONCE {
                let Some(name) = self.agenda().take(now) else { break };
                let Some(watched) = self.watched.get(&name) else { continue };
                running.push(async move { (name, self.poll_one(watched).await) });
            }
            let sleep = match self.next_due() {
                Some(at) if running.len() < AT_ONCE => Duration::try_from(at.duration_since(now))
                    .unwrap_or(Duration::ZERO)
                    .clamp(SHORTEST_SLEEP, LONGEST_SLEEP),
                Some(_) | None => LONGEST_SLEEP,
            };
            tokio::select! {
                Some((name, done)) = running.next(), if !running.is_empty() => {
                    heard(&self.asked(&name, done?));
                }
                () = tokio::time::sleep(sleep) => {}
                () = hurry.notified() => {}
                () = &mut stop => return Ok(()),
            }
        }
    }

    /// A source was asked: it is due again as `due` says.
    fn asked(&self, name: &str, (tally, due): (Tally, Option<Due>)) -> Tally {
        match due {
            Some(due) => self.agenda().done(name, self.clock.now(), due),
            None => self.agenda().remove(name),
        }
        if tally.failed.is_empty() {
            self.heard.store(true, Ordering::Release);
        } else if self.awaited.load(Ordering::Acquire) && !self.has_heard() {
            // The one that failed is left alone for a while, so this ends.
            self.hurry_one();
        }
        tally
    }

    /// What a webhook hinted at. The hint is only a reason to look: what is believed is what the source shows. A thing
    /// that is known is read now; for anything else its source becomes due (unless it must be left alone).
    pub async fn hinted(&self, hint: &Hint) -> Result<(), StoreError> {
        let watched = self.watched.get(&hint.source);
        // A forum answers anonymous lists from a cache for a minute; the topic itself is read at once. But where it asked to
        // be left alone, or failed, a hint is no reason to press it: the next poll hears it as well.
        let record = watched.map(|watched| self.source_record(watched)).transpose()?;
        let is_troubled = |record: &SourceRecord| {
            let waits = record.next_poll.is_some_and(|next| self.clock.now() < next);
            record.stopped.is_some() || record.last_error.is_some() && waits
        };
        if record.as_ref().is_some_and(is_troubled) {
            return Ok(());
        }
        if let Some(key) = &hint.key
            && let Some(number) = self.store.by_key(key)?
        {
            if self.store.item(number)?.as_ref().is_some_and(is_watched) {
                self.reread(number).await?;
            }
            return Ok(());
        }
        let (Some(watched), Some(record), Some(topic)) = (watched, record, hint.topic) else {
            self.agenda().hurry(&hint.source, self.clock.now());
            return Ok(());
        };
        let (known, contacted) = self.memories();
        let context = PollContext {
            now: self.clock.now(),
            memory: &record.memory,
            known: &known,
            contacted: &contacted,
            http: &self.http,
        };
        let sight = std::panic::AssertUnwindSafe(watched.source.sight(&context, topic)).catch_unwind();
        match bounded(READ_PATIENCE, sight).await {
            Ok(Some(sighting)) if self.store.contacted(&sighting.contact)?.is_some() => {
                if is_old_notice(&sighting, self.clock.now()) {
                    // The next poll records it, quietly.
                    return Ok(());
                }
                if self.distrust().is_some() {
                    // As in `record`: the poll that finds the clock right records it.
                    return Ok(());
                }
                if let Some(found) = sighting.full.clone() {
                    // Should it not be recorded: the next poll sees it as well.
                    self.admit(watched, &sighting, found, &record.began_empty, self.clock.now())?;
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::info!(source = hint.source, topic, "hinted at, but cannot be read yet: {error}");
                self.agenda().hurry(&hint.source, self.clock.now());
            }
        }
        Ok(())
    }

    /// "Was this seen before?" and "was this contacted before?". A store that cannot be read makes everything look known:
    /// nothing is announced by mistake.
    fn memories(&self) -> (impl Fn(&str) -> bool + Send + Sync + '_, impl Fn(&str) -> bool + Send + Sync + '_) {
        let known = |key: &str| self.store.by_key(key).map_or(true, |number| number.is_some());
        let contacted = |contact: &str| self.store.contacted(contact).map_or(true, |at| at.is_some());
        (known, contacted)
    }

    /// Asks one source. Also says when it is due again; `None`: never.
    async fn poll_one(&self, watched: &Watched) -> Result<(Tally, Option<Due>), StoreError> {
        let started = self.clock.now();
        let record = self.source_record(watched)?;
        let (known, contacted) = self.memories();
        let context = PollContext {
            now: started,
            memory: &record.memory,
            known: &known,
            contacted: &contacted,
            http: &self.http,
        };
        let poll = std::panic::AssertUnwindSafe(watched.source.poll(&context)).catch_unwind();
        let polled = bounded(POLL_PATIENCE, poll).await;
        let took = Duration::try_from(self.clock.now().duration_since(started)).unwrap_or_default();
        crate::metrics::polled(&watched.config.name, polled.is_ok(), took);
        match polled {
            Ok(polled) => self.record(watched, record, polled).await,
            Err(error) => self.record_failure(watched, record, &error),
        }
    }

    fn record_failure(
        &self,
        watched: &Watched,
        mut record: SourceRecord,
        error: &SourceError,
    ) -> Result<(Tally, Option<Due>), StoreError> {
        let name = &watched.config.name;
        let now = self.clock.now();
        let first = record.failures == 0;
        let message = error.to_string();
        let retry_after = match error {
            SourceError::Later { after, .. } => *after,
            SourceError::Stopped(why) => {
                record.stopped = Some(why.clone());
                None
            }
            SourceError::Broken(_) | SourceError::Misconfigured(_) => None,
        };
        record.failures = record.failures.saturating_add(1);
        record.last_error = Some(message.clone());
        let next = schedule::next_poll(now, watched.config.every, None, retry_after, record.failures, rand::random());
        record.next_poll = Some(next);
        let due = record.stopped.is_none().then_some(Due::NotBefore(next));
        let mut notes = Vec::new();
        // Each failure of a row would drown the journal; the first, and the last word, are what people need.
        if first || record.stopped.is_some() {
            let what = if record.stopped.is_some() { "source-stopped" } else { "source-failing" };
            notes.push(Note {
                reason: Some(message.clone()),
                detail: json!({"source": name}),
                ..Note::new(now, None, "oyez", what)
            });
        }
        tracing::warn!(source = %name, failures = record.failures, "cannot read the source: {message}");
        self.commit_source(record, notes, Change::default())?;
        Ok((Tally { polled: 1, failed: vec![name.clone()], ..Tally::default() }, due))
    }

    async fn record(
        &self,
        watched: &Watched,
        mut record: SourceRecord,
        mut polled: Polled,
    ) -> Result<(Tally, Option<Due>), StoreError> {
        let name = &watched.config.name;
        let now = self.clock.now();
        let mut tally = Tally { polled: 1, ..Tally::default() };
        let mut notes = Vec::new();
        if let Some(why) = self.distrust() {
            // Recorded now, its window would be counted by a wrong clock, and could be over when that is mended.
            tracing::debug!(source = %name, "what is new is recorded when the clock is right: {why}");
            return Ok((tally, Some(Due::At(now + watched.config.every))));
        }

        // What could not be read last time stands before what is new.
        let pending: Vec<Pending> = serde_json::from_value(std::mem::take(&mut record.pending)).unwrap_or_default();
        // Those that were asked for in vain, the one that waits longest for another try first.
        let tried: HashMap<String, usize> =
            pending.iter().filter(|p| p.tried).map(|p| p.sighting.key.clone()).zip(1..).collect();
        let shown: BTreeSet<String> = polled.sightings.iter().map(|s| s.key.clone()).collect();
        let mut sightings: Vec<Sighting> =
            pending.into_iter().map(|p| p.sighting).filter(|s| !shown.contains(&s.key)).collect();
        sightings.append(&mut polled.sightings);
        self.adopt(name, &polled.contacts)?;

        let spoken: BTreeSet<String> = sightings.iter().map(|sighting| sighting.contact.clone()).collect();
        let mut first_contacts = BTreeSet::new();
        // A sighting's own contact as well: whatever a source forgets to list, its past stays quiet.
        for contact in polled.contacts.iter().chain(sightings.iter().map(|sighting| &sighting.contact)) {
            if self.store.contacted(contact)?.is_none() {
                first_contacts.insert(contact.clone());
            }
        }
        let whole: BTreeSet<&String> = polled.new_as_a_whole.iter().collect();

        let mut quiet = Vec::new();
        let mut fingerprints = Vec::new();
        let mut still_pending = Vec::new();
        let mut in_vain = Vec::new();
        let mut fresh = Vec::new();
        let mut changed = Vec::new();
        // Once set, the source wants to be left alone: what is left is read with the next poll.
        let mut leave_alone: Option<Duration> = None;
        let mut failed = None;
        for sighting in sightings {
            if let Some(number) = self.store.by_key(&sighting.key)?
                && !self.is_only_an_alias(number, &sighting.key)?
            {
                let same =
                    self.store.fingerprint(&print_key(name, &sighting))?.as_deref() == Some(&sighting.fingerprint);
                if !same || self.is_gone_at(number, name, &sighting.key)? {
                    changed.push((number, sighting));
                }
                continue;
            }
            let first = first_contacts.contains(&sighting.contact) && !whole.contains(&sighting.contact);
            let young = match sighting.published {
                Some(published) => published >= now - watched.config.backfill && !watched.config.backfill.is_zero(),
                None => false,
            };
            if (first && !young) || is_old_notice(&sighting, now) {
                quiet.push(sighting);
            } else {
                fresh.push(sighting);
            }
        }

        let silent = first_contacts.iter().filter(|contact| !spoken.contains(*contact) && !whole.contains(contact));
        record.began_empty.extend(silent.cloned());
        // Until all that it shows now is recorded, a place that began empty counts as such.
        let began_empty = record.began_empty.clone();
        record.began_empty.retain(|contact| !spoken.contains(contact));

        // First contact is one transaction with the contacts themselves: a crash between the two would announce the past.
        let mut known: Vec<Item> = Vec::new();
        let mut taken = BTreeSet::new();
        for sighting in &quiet {
            let mut item = known_item(watched, sighting, now);
            let found = &mut item.origins[0].found;
            if self.same_thing(found)?.is_some() {
                // Another sight of something that is known here: a place more, no decision undone, nothing due.
                let found = found.clone();
                self.admit(watched, sighting, found, &began_empty, now)?;
                continue;
            }
            // A second name that two entries of one answer claim tells nothing about either.
            found.aliases.retain(|alias| taken.insert(alias.clone()));
            if taken.insert(found.key.clone()) {
                known.push(item);
            }
        }
        tally.known += known.len();
        for sighting in &quiet {
            fingerprints.push((print_key(name, sighting), sighting.fingerprint.clone()));
        }
        if first_contacts.is_empty() {
            for (i, item) in known.iter().enumerate() {
                notes.push(Note {
                    reason: Some("an old pinned notice is no news".into()),
                    text: Some(item.found().title.clone()),
                    detail: json!({"source": name}),
                    item: Some(Which::New(i)),
                    ..Note::new(now, None, "oyez", "known")
                });
            }
        } else {
            notes.push(Note {
                detail: json!({"source": name, "contacts": first_contacts, "known": known.len()}),
                ..Note::new(now, None, "oyez", "first-contact")
            });
        }
        if let Some(gap) = &polled.gap
            && record.gap.as_ref() != Some(gap)
        {
            tracing::warn!(source = %name, "{gap}");
            notes.push(Note {
                reason: Some(gap.clone()),
                detail: json!({"source": name}),
                ..Note::new(now, None, "oyez", "gap")
            });
        }
        if !polled.unchanged {
            // The next one is another one, though it reads the same.
            record.gap = polled.gap.clone();
        }
        for skipped in polled.skipped.iter().take(20) {
            tracing::info!(source = %name, "an entry could not be read: {skipped}");
        }
        if polled.skipped.len() > record.skipped {
            let more = polled.skipped.len().saturating_sub(SKIPPED_TOLD);
            let mut reason = polled.skipped.iter().take(SKIPPED_TOLD).cloned().collect::<Vec<_>>().join("; ");
            if more > 0 {
                reason.push_str(&format!("; and {more} more"));
            }
            notes.push(Note {
                reason: Some(reason),
                detail: json!({"source": name, "entries": polled.skipped.len()}),
                ..Note::new(now, None, "oyez", "skipped")
            });
        }
        if !polled.unchanged {
            record.skipped = polled.skipped.len();
        }
        let contacts = first_contacts.iter().map(|contact| (contact.clone(), now)).collect();
        // That a place showed nothing belongs to the contact: without it, its past would be news after a crash.
        let mut sources = Vec::new();
        if !first_contacts.is_empty() || !fresh.is_empty() {
            // Nor may what is new hang on the list showing it once more: a crash while it is read, item by item, would leave
            // some of it unrecorded, and the next list may end before it.
            let pending: Vec<Pending> = fresh
                .iter()
                .map(|sighting| Pending { tried: tried.contains_key(&sighting.key), sighting: sighting.clone() })
                .take(MOST_PENDING)
                .collect();
            let pending = serde_json::to_value(&pending).unwrap_or_default();
            sources.push(SourceRecord { began_empty: began_empty.clone(), pending, ..self.source_record(watched)? });
        }
        let recorded = self.store_change(Change {
            items: known,
            sources,
            contacts,
            notes: std::mem::take(&mut notes),
            durable: true,
            ..Change::default()
        })?;

        if !recorded {
            // Nothing of this poll is remembered, so that the next one shows it again.
            let next = schedule::next_poll(now, watched.config.every, polled.at_least, None, 0, rand::random());
            return Ok((Tally { polled: 1, ..Tally::default() }, Some(Due::At(next))));
        }

        // Oldest first, so that numbers grow with time; what was asked for in vain comes last, each in its turn, so that
        // one thing that can never be read keeps no other waiting.
        // Sources show the newest first, also of those that give the same time.
        fresh.reverse();
        fresh.sort_by_key(|sighting| match tried.get(&sighting.key) {
            Some(turn) => (*turn, None),
            None => (0, sighting.published),
        });
        let deadline = tokio::time::Instant::now() + POLL_PATIENCE;
        for sighting in fresh {
            let found = match sighting.full.clone() {
                Some(found) => Ok(Reread::Present(Box::new(found))),
                None if leave_alone.is_some() || tokio::time::Instant::now() >= deadline => {
                    still_pending.push(sighting);
                    continue;
                }
                None => {
                    let ask = Found { key: sighting.key.clone(), url: sighting.url.clone(), ..Found::default() };
                    self.read(&*watched.source, &ask).await
                }
            };
            match found {
                Ok(Reread::Present(found)) => {
                    if let Visibility::Gone(why) = &found.visibility {
                        tracing::info!(source = %name, key = %sighting.key, "seen, but not public: {why}");
                        continue;
                    }
                    match self.admit(watched, &sighting, *found, &began_empty, self.clock.now()) {
                        Ok(Some(one)) => {
                            fingerprints.push((print_key(name, &sighting), sighting.fingerprint.clone()));
                            tally.add(one);
                        }
                        Ok(None) => still_pending.push(sighting),
                        // One bad item never stops the others.
                        Err(error @ StoreError::TooLarge { .. }) => {
                            tracing::error!(source = %name, key = %sighting.key, "cannot be recorded: {error}");
                            failed = Some(error.to_string());
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok(Reread::Gone(why)) => {
                    tracing::info!(source = %name, key = %sighting.key, "seen in the list, but gone when read: {why}");
                }
                Ok(Reread::Unknown) => in_vain.push(sighting),
                Err(error) => {
                    tracing::warn!(source = %name, key = %sighting.key, "cannot read it yet: {error}");
                    leave_alone = leave_alone.max(asks_for_patience(&error));
                    failed = Some(error.to_string());
                    in_vain.push(sighting);
                }
            }
        }
        for (number, sighting) in changed {
            let asks = sighting.full.is_none();
            if asks && (leave_alone.is_some() || tokio::time::Instant::now() >= deadline) {
                continue;
            }
            match self.noticed(number, watched, &sighting, &began_empty).await? {
                // Noted only when it was read: a change must not be overlooked because the forum was busy.
                Ok(()) => fingerprints.push((print_key(name, &sighting), sighting.fingerprint.clone())),
                Err(error) => {
                    leave_alone = leave_alone.max(asks_for_patience(&error));
                    failed = Some(error.to_string());
                }
            }
        }
        let mut still_pending: Vec<Pending> = still_pending
            .into_iter()
            .map(|sighting: Sighting| Pending { tried: tried.contains_key(&sighting.key), sighting })
            .collect();
        still_pending.extend(in_vain.into_iter().map(|sighting| Pending { sighting, tried: true }));

        let now = self.clock.now();
        let was_failing = record.failures > 0 || record.last_error.is_some();
        match &failed {
            Some(reason) => {
                tally.failed.push(name.clone());
                if !was_failing {
                    notes.push(Note {
                        reason: Some(reason.clone()),
                        detail: json!({"source": name, "pending": still_pending.len()}),
                        ..Note::new(now, None, "oyez", "source-failing")
                    });
                }
            }
            None if was_failing => {
                notes.push(Note { detail: json!({"source": name}), ..Note::new(now, None, "oyez", "source-recovered") })
            }
            None => {}
        }
        if still_pending.len() > MOST_PENDING {
            // More than is kept: with the memory of before, the source shows the rest again.
            still_pending.truncate(MOST_PENDING);
        } else {
            record.memory = polled.memory;
        }
        record.pending = serde_json::to_value(&still_pending).unwrap_or_default();
        record.last_success = Some(now);
        record.failures = 0;
        record.stopped = None;
        record.last_error = failed.map(|reason| format!("{} not read yet: {reason}", still_pending.len()));
        let next = schedule::next_poll(now, watched.config.every, polled.at_least, leave_alone, 0, rand::random());
        record.next_poll = Some(next);
        let due = if leave_alone.is_some() { Due::NotBefore(next) } else { Due::At(next) };
        self.commit_source(record, notes, Change { fingerprints, ..Change::default() })?;
        Ok((tally, Some(due)))
    }

    /// Is this thing known by another place's word alone, and was never seen at its own? Then it has yet to join.
    fn is_only_an_alias(&self, number: Number, key: &str) -> Result<bool, StoreError> {
        let Some(item) = self.store.item(number)? else { return Ok(false) };
        let own = item.origins.iter().any(|origin| origin.found.key == key);
        let named = item.origins.iter().any(|origin| origin.found.aliases.iter().any(|alias| alias == key));
        Ok(named && !own && !item.forgotten)
    }

    /// Is it recorded as gone where the list now shows it?
    fn is_gone_at(&self, number: Number, source: &str, key: &str) -> Result<bool, StoreError> {
        let item = self.store.item(number)?;
        Ok(item.is_some_and(|item| origin_at(&item, source, key).is_some_and(|at| item.origins[at].gone.is_some())))
    }

    /// What is on its way and came from these places under a name that is not configured any more came from this source:
    /// it hangs on what a source is (promise 5), and must be read again before it leaves (promise 10).
    /// The desk is looked through once a process, since sources change with a start; what comes to it later from a former
    /// name is found by [`Poller::source_of`].
    fn adopt(&self, name: &str, contacts: &[String]) -> Result<(), StoreError> {
        let shown_by = || self.shown_by.lock().expect("no holder of this lock can panic");
        let contacts: Vec<&String> = contacts.iter().filter(|contact| !shown_by().contains_key(*contact)).collect();
        if contacts.is_empty() {
            return Ok(());
        }
        let mut all = true;
        for item in self.store.active()? {
            let mut adopted = item;
            let mut any = false;
            for origin in &mut adopted.origins {
                if contacts.contains(&&origin.contact) && !self.watched.contains_key(&origin.source) {
                    name.clone_into(&mut origin.source);
                    any = true;
                }
            }
            if any {
                // Should it have changed meanwhile: the next poll does it.
                all &= self.store_change(Change { items: vec![adopted], ..Change::default() })?;
            }
        }
        if all {
            shown_by().extend(contacts.into_iter().map(|contact| (contact.clone(), name.to_owned())));
        }
        Ok(())
    }

    fn rules<'a>(&'a self, kind: &str, now: Timestamp) -> Rules<'a> {
        Rules {
            now,
            hold: hold::for_kind(&self.config.hold, kind),
            zone: &self.config.service.time_zone,
            give_up: self.config.delivery.give_up,
            patience: life::Patience::default(),
        }
    }

    /// `false`: something had changed meanwhile, and nothing of it was stored.
    fn store_change(&self, change: Change) -> Result<bool, StoreError> {
        if change.is_empty() {
            return Ok(true);
        }
        match self.store.commit(change) {
            Ok(_) => Ok(true),
            Err(error @ (CommitError::Conflict { .. } | CommitError::Taken { .. })) => {
                tracing::warn!("not recorded, the next poll does it: {error}");
                Ok(false)
            }
            Err(CommitError::Store(error)) => Err(error),
        }
    }

    fn commit_source(&self, mut record: SourceRecord, notes: Vec<Note>, mut change: Change) -> Result<(), StoreError> {
        let durable = !notes.is_empty();
        change.notes = notes;
        change.durable = durable;
        for _ in 0..CONFLICT_TRIES {
            record.rev = self.store.source(&record.name)?.rev;
            let attempt = Change { sources: vec![record.clone()], ..change.clone() };
            match self.store.commit(attempt) {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict { .. } | CommitError::Taken { .. }) => continue,
                Err(CommitError::Store(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Bounded in time, and a panic of a parser is an error.
async fn bounded<T>(
    patience: Duration,
    work: impl Future<Output = std::thread::Result<Result<T, SourceError>>>,
) -> Result<T, SourceError> {
    match tokio::time::timeout(patience, work).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err(SourceError::Broken("its answer made the parser panic: please report it".into())),
        Err(_) => Err(SourceError::Later {
            reason: format!("it did not finish answering within {} s", patience.as_secs()),
            after: None,
        }),
    }
}

/// Is the whole source to be left alone after this, and for how long at least?
fn asks_for_patience(error: &SourceError) -> Option<Duration> {
    match error {
        SourceError::Later { after, .. } => Some(after.unwrap_or_default()),
        // One broken thing says nothing about the others.
        SourceError::Broken(_) | SourceError::Stopped(_) | SourceError::Misconfigured(_) => None,
    }
}

/// Which origin of an item is this thing at this source?
fn origin_at(item: &Item, source: &str, key: &str) -> Option<usize> {
    item.origins.iter().position(|origin| origin.source == source && origin.found.key == key)
}

/// Under which name a fingerprint is kept: two sources may show the same thing in different words.
fn print_key(source: &str, sighting: &Sighting) -> String {
    format!("{source} {}", sighting.key)
}

/// What a source is, as far as its settings tell: another one under the same name has nothing to remember.
fn identity(source: &SourceConfig) -> String {
    match &source.spec {
        SourceSpec::Discourse { url, category, subcategories, .. } => {
            format!("discourse {url} {category} {subcategories}")
        }
        SourceSpec::Feed { url } => format!("feed {url}"),
        SourceSpec::MediaCcc { url, .. } => format!("media-ccc-de {url}"),
        SourceSpec::PeerTube { url, channel } => format!("peertube {url} {channel}"),
    }
}
