//! Erasing an item's words.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::commit::{Pair, append, write_item};
use super::disk::{self, ERASED_KEY, digest_of_key, kind};
use super::{Note, Store, StoreError, migrate};
use crate::item::{Delivery, Item, Number, Origin, Phase, Post, Progress, State};
use crate::journal::Words;

/// Items in memory at a time while the duplicates are looked for.
const STRIDE: usize = 256;

/// Why an item's words were not erased. Nothing was.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// There is no such item.
    #[error("there is no item {0}")]
    Unknown(Number),
    /// It may still go out, and needs its words for that.
    #[error("item {number} is {state}: veto it or wait for the answer, then forget it")]
    OnItsWay {
        /// The item.
        number: Number,
        /// Its state.
        state: &'static str,
    },
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Erases the words of an item, of its duplicates, and of what the journal says about them; journalled itself, with
    /// the team's names and this reason. Its keys stay as digests, so that it is never announced anew. The old
    /// bytes leave the disk with [`Store::compact`]. Reads all items, to find the duplicates.
    pub fn forget(&self, number: Number, by: &str, reason: Option<&str>, now: Timestamp) -> Result<Item, ForgetError> {
        let (forgotten, ticket) = {
            let mut disk = self.write()?;
            let item: Option<Item> = disk::read(&disk.db, &disk::numbered(kind::ITEM, number))?;
            let item = item.ok_or(ForgetError::Unknown(number))?;
            refuse_on_its_way(&item)?;
            let mut all = vec![item];
            let mut next = Vec::new();
            loop {
                let stride = disk::records(&disk.db, &[kind::ITEM], &next, STRIDE)?;
                let Some((last, _)) = stride.last() else { break };
                next = disk::after(last);
                for (key, bytes) in &stride {
                    let other: Item = disk::parse(key, bytes)?;
                    if other.phase == (Phase::Duplicate { of: number }) {
                        all.push(other);
                    }
                }
            }
            let mut batch = sled::Batch::default();
            let mut head = disk.head;
            let mut forgotten = Vec::new();
            for old in all {
                for seq in self.entries_about(&disk, old.number)? {
                    let key = disk::numbered(kind::WORDS, seq);
                    let recorded = super::recorded(&disk.db, seq)?;
                    // Why something was forgotten stays, also when it is forgotten with another.
                    if recorded.entry.what == "forget" {
                        continue;
                    }
                    let mut words: Words = recorded.words;
                    words.erase();
                    disk::put(&disk.db, &mut batch, &key, &words)?;
                }
                let new = without_words(old.clone());
                let (at, item, actor) = (now, Some(new.number.into()), by.to_owned());
                let reason = reason.map(str::to_owned);
                let note = Note { at, item, actor, what: "forget", reason, text: None, detail: Value::Null };
                append(&disk.db, &mut batch, &mut head, note, Some(new.number), Some(new.rev))?;
                let pair = Pair { old: Some(old), new };
                write_item(&disk.db, &mut batch, &pair)?;
                forgotten.push(pair.new);
            }
            disk::put(&disk.db, &mut batch, &disk::named(kind::META, migrate::COMPACT), &true)?;
            self.apply(&mut disk, batch, false)?;
            (disk.head, disk.last_at) = (head, disk.last_at.max(Some(now)));
            (forgotten.swap_remove(0), disk.changes)
        };
        self.settle(ticket)?;
        Ok(forgotten)
    }
}

fn refuse_on_its_way(item: &Item) -> Result<(), ForgetError> {
    let waits = |progress: &Progress| matches!(progress, Progress::Queued | Progress::Waiting { .. });
    let sending = item.deliveries.values().any(|d| matches!(d.progress, Progress::Sending { .. }));
    let refused = match item.state() {
        State::Settling | State::Held => true,
        State::Publishing => item.deliveries.values().any(|d| waits(&d.progress)),
        State::Known
        | State::Done
        | State::Vetoed
        | State::Ignored
        | State::Expired
        | State::Withdrawn
        | State::Duplicate => false,
    };
    if refused || sending {
        return Err(ForgetError::OnItsWay { number: item.number, state: item.state().name() });
    }
    Ok(())
}

/// What is left of an item: its number, its times, its states, where its posts are (they must stay retractable), and
/// digests of its keys. Every field is named here, so that a new one is not kept by oversight.
fn without_words(item: Item) -> Item {
    let Item {
        number,
        rev,
        kind,
        phase,
        origins,
        first_seen,
        last_change,
        verdict,
        approval,
        ask: _,
        twin,
        settled,
        window_end,
        first_window_end,
        snoozed,
        posts,
        deliveries,
        seen_by,
        alarms: _,
        kept: _,
        opened: _,
        mirrors: _,
        mirror: _,
        searched,
        checked,
        unreachable_since,
        forgotten: _,
    } = item;
    let posts = posts.into_iter().map(|(account, post)| (account, bare_post(post)));
    let deliveries = deliveries.into_iter().map(|(account, delivery)| (account, bare_delivery(delivery)));
    Item {
        number,
        rev: rev + 1,
        kind,
        phase: match phase {
            Phase::Vetoed { by, at } if is_poster(&by) => Phase::Vetoed { by: "forgotten".to_owned(), at },
            other => other,
        },
        origins: origins.into_iter().map(bare_origin).collect(),
        first_seen,
        last_change,
        verdict,
        approval,
        ask: None,
        twin,
        settled,
        window_end,
        first_window_end,
        snoozed,
        posts: posts.collect(),
        deliveries: deliveries.collect(),
        seen_by: seen_by.into_iter().filter(|who| !is_poster(who)).collect(),
        alarms: Vec::new(),
        kept: Vec::new(),
        opened: BTreeMap::new(),
        mirrors: Vec::new(),
        mirror: None,
        searched,
        checked,
        unreachable_since,
        forgotten: true,
    }
}

/// The team's names stay, whose acts they were; a poster's goes.
fn is_poster(actor: &str) -> bool {
    actor.starts_with("forum:")
}

fn bare_origin(mut origin: Origin) -> Origin {
    let erased = |key: &str| format!("{ERASED_KEY}{}", digest_of_key(key));
    let found = &mut origin.found;
    found.key = erased(&found.key);
    found.aliases = found.aliases.iter().map(|alias| erased(alias)).collect();
    found.url.clear();
    found.title.clear();
    found.author = None;
    found.text.clear();
    found.links.clear();
    found.images.clear();
    found.tags.clear();
    found.persons.clear();
    found.event = None;
    origin
}

fn bare_post(mut post: Post) -> Post {
    post.text.clear();
    post.length = 0;
    post.media.clear();
    post.warnings.clear();
    post.summary = None;
    post
}

fn bare_delivery(mut delivery: Delivery) -> Delivery {
    delivery.sent_text = None;
    delivery.error = None;
    delivery.amend = false;
    // Without its words it must never go out.
    if matches!(delivery.progress, Progress::Queued | Progress::Waiting { .. }) {
        delivery.progress = Progress::Cancelled;
    }
    delivery
}
