//! What the store keeps beside items, and what one change of it consists of.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::item::{Item, Number, Progress};

/// What is remembered about an account over restarts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// Its name in the configuration.
    pub name: String,
    /// Grows with every stored change; 0: never stored.
    pub rev: u64,
    /// Its credentials were refused: nothing leaves through it until a person mends that.
    #[serde(default)]
    pub locked: Option<Locked>,
    /// The platform asked to be left alone until then.
    #[serde(default)]
    pub paused_until: Option<Timestamp>,
    /// When something last went out.
    #[serde(default)]
    pub last_sent: Option<Timestamp>,
    /// The platform's limits as last read, in the shape the platform's file chose.
    #[serde(default)]
    pub limits: Option<Value>,
}

/// Since when and why an account is locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    /// Since when.
    pub at: Timestamp,
    /// The platform's words.
    pub reason: String,
}

/// What is remembered about a source over restarts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Its name in the configuration.
    pub name: String,
    /// Grows with every stored change; 0: never stored.
    pub rev: u64,
    /// What it *is* (promise 5), where that is one thing: another one under the same name starts anew.
    #[serde(default)]
    pub identity: Option<String>,
    /// Not polled before this.
    #[serde(default)]
    pub next_poll: Option<Timestamp>,
    /// What the source wanted to remember (validators, hashes, ids it resolved).
    #[serde(default)]
    pub memory: Value,
    /// Polls that failed since the last success.
    #[serde(default)]
    pub failures: u32,
    /// The last real error.
    #[serde(default)]
    pub last_error: Option<String>,
    /// When it last answered as it should.
    #[serde(default)]
    pub last_success: Option<Timestamp>,
    /// Why it is not polled any more (410 Gone, no such category).
    #[serde(default)]
    pub stopped: Option<String>,
    /// Things that were shown and could not be read yet, as the poller keeps them: asked again with the next poll.
    #[serde(default)]
    pub pending: Value,
    /// Contacts that showed nothing when they were first made, and nothing since.
    #[serde(default)]
    pub began_empty: Vec<String>,
    /// Entries of the last answer that could not be read.
    #[serde(default)]
    pub skipped: usize,
    /// What may have been missed, said in the queue until an answer shows no gap. The journal keeps it.
    #[serde(default)]
    pub gap: Option<String>,
}

/// Something the journal shall say, in the same transaction as the change it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// About which item.
    pub item: Option<Which>,
    /// `web:NAME`, `cli:USER`, `matrix:@ID`, `forum:NAME`, or `oyez`.
    pub actor: String,
    /// One word: `seen`, `held`, `veto`, `sent`… See [`crate::journal::Happening::what`].
    pub what: &'static str,
    /// Why, in the actor's words.
    pub reason: Option<String>,
    /// A text that belongs to it.
    pub text: Option<String>,
    /// More, as an object. See [`crate::journal::Happening::detail`] for what of it can be erased.
    pub detail: Value,
}

impl Note {
    /// A note without reason, text and details: fill in what there is.
    pub fn new(at: Timestamp, item: Option<Number>, actor: &str, what: &'static str) -> Self {
        let item = item.map(Which::Number);
        Note { at, item, actor: actor.to_owned(), what, reason: None, text: None, detail: Value::Null }
    }
}

/// The item a [`Note`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// One that has its number.
    Number(Number),
    /// The i-th (from 0) of those items of the same change that have none yet.
    New(usize),
}

impl From<Number> for Which {
    fn from(number: Number) -> Self {
        Which::Number(number)
    }
}

/// One atomic change. Each record carries the revision it was based on; the store refuses all of it if one has moved on.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Number 0: a new item, which gets its number here.
    pub items: Vec<Item>,
    /// By name; revision 0: not stored yet.
    pub accounts: Vec<AccountRecord>,
    /// By name; revision 0: not stored yet.
    pub sources: Vec<SourceRecord>,
    /// First contacts. The first time given for one stays.
    pub contacts: Vec<(String, Timestamp)>,
    /// What a list last showed for a key.
    pub fingerprints: Vec<(String, String)>,
    /// What the journal says about it, in order.
    pub notes: Vec<Note>,
    /// Return only when it would survive a power loss. Else it reaches the disk with the next durable change, or soon.
    pub durable: bool,
}

impl Change {
    /// Is there nothing in it to store?
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
            && self.accounts.is_empty()
            && self.sources.is_empty()
            && self.contacts.is_empty()
            && self.fingerprints.is_empty()
            && self.notes.is_empty()
    }
}

/// A change as it was stored.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// In the order of the change, with numbers and new revisions.
    pub items: Vec<Item>,
    /// In the order of the change, with new revisions.
    pub accounts: Vec<AccountRecord>,
    /// In the order of the change, with new revisions.
    pub sources: Vec<SourceRecord>,
    /// Number of the last journal entry.
    pub seq: u64,
}

/// A delivery that counts for an account's limits and spacing (`lifecycle.md` 3.5): sending, sent or unsure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// When it left, or was claimed.
    pub at: Timestamp,
    /// Of which item.
    pub item: Number,
    /// The item's kind.
    pub kind: String,
    /// Who wrote it: the user name on the source, else the name.
    pub author: Option<String>,
}

impl Counted {
    /// What of an item counts, with the account.
    pub(super) fn of(item: &Item) -> Vec<(&str, Counted)> {
        let author = item.origins.first().and_then(|origin| origin.found.author.as_ref());
        let author = author.map(|author| author.username.clone().unwrap_or_else(|| author.name.clone()));
        let counts = |progress: &Progress| match *progress {
            Progress::Sending { since } | Progress::Unsure { since } => Some(since),
            Progress::Sent { at, .. } => Some(at),
            Progress::Queued
            | Progress::Waiting { .. }
            | Progress::Failed { .. }
            | Progress::Cancelled
            | Progress::Retracting { .. }
            | Progress::Retracted { .. } => None,
        };
        let counted = |at| Counted { at, item: item.number, kind: item.kind.clone(), author: author.clone() };
        let deliveries = item.deliveries.iter();
        deliveries.filter_map(|(account, d)| Some((account.as_str(), counted(counts(&d.progress)?)))).collect()
    }
}
