//! Changes: the comparison of revisions, the indexes, the journal, and the claim.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::disk::{self, kind};
use super::{
    AccountRecord, Change, Committed, Counted, Disk, JournalFilter, Note, SourceRecord, Store, StoreError, Which,
    migrate,
};
use crate::item::{Item, Number, Phase, Progress};
use crate::journal::{Happening, Head, Salt};
use crate::platform::Claim;

/// Changes that nobody waits for are written to the file after this many of them.
const UNWRITTEN: u32 = 64;
/// Bytes of a name of an account, a source or a value.
const NAME_BYTES: usize = 200;

/// A record that has moved on since it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stale {
    /// An item.
    Item(Number),
    /// An account.
    Account(String),
    /// A source.
    Source(String),
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stale::Item(number) => write!(f, "item {number}"),
            Stale::Account(name) => write!(f, "account `{name}`"),
            Stale::Source(name) => write!(f, "source `{name}`"),
        }
    }
}

/// Why a change was refused. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody else changed it: read it again and decide anew.
    #[error("{0} has changed meanwhile")]
    Conflict(Stale),
    /// A new item, or a new origin of one, has a key or alias that another item has: they are one thing (promise 6).
    #[error("`{key}` is item {number} already")]
    Taken {
        /// The key or alias.
        key: String,
        /// Who has it.
        number: Number,
    },
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a delivery was not claimed. Nothing was stored; nothing may be sent.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The item or the account changed since the decision: a veto, another claim. Decide anew.
    #[error("{0} has changed meanwhile")]
    Conflict(Stale),
    /// What was asked for is no claim.
    #[error("item {item} cannot be claimed for `{account}`: {why}")]
    Refused {
        /// The item.
        item: Number,
        /// The account.
        account: String,
        /// What is missing.
        why: &'static str,
    },
    /// It could not be stored.
    #[error(transparent)]
    Store(StoreError),
}

impl Store {
    /// Makes one change, whole or not at all.
    pub fn commit(&self, change: Change) -> Result<Committed, CommitError> {
        let durable = change.durable;
        let (committed, ticket) = {
            let mut disk = self.write()?;
            let committed = self.stage(&mut disk, change)?;
            (committed, disk.changes)
        };
        if durable {
            self.settle(ticket)?;
        }
        Ok(committed)
    }

    /// Claims one delivery: the intent to publish is on disk, durably, when this returns (promise 3). `base` is the item
    /// and `account` the account as they were when it was decided that this delivery is due; `updated` is the item
    /// with the delivery in `sending`. If either has changed since, nothing is claimed: so no claim follows a veto,
    /// and two claims never share an account's slot. The account's record is stored as given.
    ///
    /// This is the only maker of a [`Claim`], and no request leaves without one.
    pub fn claim(
        &self,
        base: &Item,
        updated: Item,
        account: &AccountRecord,
        now: Timestamp,
        mut notes: Vec<Note>,
    ) -> Result<Claim, ClaimError> {
        let name = account.name.clone();
        let refused = |why| ClaimError::Refused { item: base.number, account: name.clone(), why };
        if base.number == 0 || updated.number != base.number {
            return Err(refused("it is another item"));
        }
        if updated.rev != base.rev {
            return Err(ClaimError::Conflict(Stale::Item(base.number)));
        }
        if updated.phase != Phase::Held || base.phase != Phase::Held {
            return Err(refused("it is not held"));
        }
        let delivery = updated.deliveries.get(&name).ok_or_else(|| refused("it has no delivery"))?;
        let before = base.deliveries.get(&name).ok_or_else(|| refused("it had no delivery"))?;
        let repeat = match before.progress {
            Progress::Queued => false,
            Progress::Sending { .. } | Progress::Unsure { .. } => true,
            Progress::Waiting { .. }
            | Progress::Sent { .. }
            | Progress::Failed { .. }
            | Progress::Cancelled
            | Progress::Retracting { .. }
            | Progress::Retracted { .. } => return Err(refused("its delivery is neither queued nor unsure")),
        };
        let Progress::Sending { since } = delivery.progress else {
            return Err(refused("the delivery is not in `sending` after it"));
        };
        let key = delivery.key.clone().ok_or_else(|| refused("the delivery has no idempotency key"))?;
        if repeat && before.key.as_ref() != Some(&key) {
            return Err(refused("a repeat needs the key of the first attempt"));
        }
        let post = updated.posts.get(&name).cloned().ok_or_else(|| refused("it has no post"))?;
        let claim = Claim {
            item: base.number,
            account: name.clone(),
            post,
            repeat,
            key,
            first_use: delivery.key_since.unwrap_or(since),
            url: updated.origins.first().map(|origin| origin.found.url.clone()).unwrap_or_default(),
        };
        if notes.is_empty() {
            // A claim is never silent: the journal must be able to tell that a request may have left.
            let detail = json!({"account": name, "attempts": delivery.attempts});
            let (item, actor) = (Some(base.number.into()), "oyez".to_owned());
            notes.push(Note { at: now, item, actor, what: "sending", reason: None, text: None, detail });
        }
        let change =
            Change { items: vec![updated], accounts: vec![account.clone()], notes, durable: true, ..Change::default() };
        match self.commit(change) {
            Ok(_) => Ok(claim),
            Err(CommitError::Conflict(stale)) => Err(ClaimError::Conflict(stale)),
            Err(CommitError::Store(error)) => Err(ClaimError::Store(error)),
            Err(CommitError::Taken { .. }) => Err(refused("it has gained a key that is another item's")),
        }
    }

    /// Says that the service runs, for telling an outage later. Reaches the file, is not synced.
    pub fn set_alive(&self, now: Timestamp) -> Result<(), StoreError> {
        self.set(migrate::ALIVE, &now, true)
    }

    /// Keeps a small value under a name.
    pub fn set_meta(&self, name: &str, value: &Value) -> Result<(), StoreError> {
        check_name(name)?;
        if matches!(name, migrate::FORMAT_NAME | migrate::ALIVE | migrate::COMPACT | migrate::INDEXED_BY) {
            return Err(StoreError::Name(name.to_owned()));
        }
        self.set(name, value, false)
    }

    fn set(&self, name: &str, value: &impl serde::Serialize, write: bool) -> Result<(), StoreError> {
        let mut disk = self.write()?;
        let mut batch = sled::Batch::default();
        disk::put(&disk.db, &mut batch, &disk::named(kind::META, name), value)?;
        self.apply(&mut disk, batch, write)
    }

    /// A source has another name in the configuration (`was`): its memory goes with it. Does nothing where the old name
    /// was never stored or the new one is.
    pub fn rename_source(&self, old: &str, new: &str) -> Result<bool, StoreError> {
        let mut disk = self.write()?;
        let (old, new_key) = (disk::named(kind::SOURCE, old), disk::named(kind::SOURCE, checked(new)?));
        let Some(mut record) = disk::read::<SourceRecord>(&disk.db, &old)? else { return Ok(false) };
        if disk::record(&disk.db, &new_key)?.is_some() {
            return Ok(false);
        }
        new.clone_into(&mut record.name);
        record.rev += 1;
        let mut batch = sled::Batch::default();
        disk::put(&disk.db, &mut batch, &new_key, &record)?;
        disk::remove(&disk.db, &mut batch, &old)?;
        self.apply(&mut disk, batch, true)?;
        Ok(true)
    }

    /// An account has another name in the configuration (`was`): its record, and the posts and deliveries of every item,
    /// go with it. Reads all items. Does nothing where the old name was never stored or the new one is; safe to
    /// repeat after a crash, since the record goes last.
    pub fn rename_account(&self, old: &str, new: &str) -> Result<bool, CommitError> {
        let (old_key, new_key) = (disk::named(kind::ACCOUNT, old), disk::named(kind::ACCOUNT, checked(new)?));
        {
            let disk = self.read();
            if disk::record(&disk.db, &old_key)?.is_none() || disk::record(&disk.db, &new_key)?.is_some() {
                return Ok(false);
            }
        }
        for item in self.items(..) {
            let mut item = item?;
            let post = item.posts.remove(old);
            let delivery = item.deliveries.remove(old);
            if post.is_none() && delivery.is_none() {
                continue;
            }
            item.posts.extend(post.map(|post| (new.to_owned(), post)));
            item.deliveries.extend(delivery.map(|delivery| (new.to_owned(), delivery)));
            self.commit(Change { items: vec![item], ..Change::default() })?;
        }
        let mut disk = self.write()?;
        let Some(mut record) = disk::read::<AccountRecord>(&disk.db, &old_key)? else { return Ok(false) };
        new.clone_into(&mut record.name);
        record.rev += 1;
        let mut batch = sled::Batch::default();
        disk::put(&disk.db, &mut batch, &new_key, &record)?;
        disk::remove(&disk.db, &mut batch, &old_key)?;
        self.apply(&mut disk, batch, true)?;
        Ok(true)
    }

    /// Compares, then writes everything in one batch.
    fn stage(&self, disk: &mut Disk, change: Change) -> Result<Committed, CommitError> {
        let mut batch = sled::Batch::default();
        let mut committed = Committed::default();
        let mut staged = Staged::default();
        let mut last = disk.last;
        for mut item in change.items {
            let old: Option<Item> = match item.number {
                0 => {
                    last += 1;
                    item.number = last;
                    item.rev = 0;
                    staged.new.push(last);
                    None
                }
                number => disk::read(&disk.db, &disk::numbered(kind::ITEM, number))?,
            };
            let new = staged.new.contains(&item.number);
            if !new && old.as_ref().is_none_or(|old| old.rev != item.rev) || staged.items.contains_key(&item.number) {
                return Err(CommitError::Conflict(Stale::Item(item.number)));
            }
            item.rev += 1;
            staged.items.insert(item.number, Pair { old, new: item.clone() });
            committed.items.push(item);
        }
        for mut account in change.accounts {
            let key = disk::named(kind::ACCOUNT, checked(&account.name)?);
            let stored: Option<AccountRecord> = disk::read(&disk.db, &key)?;
            if stored.map_or(0, |stored| stored.rev) != account.rev || !staged.names.insert(key.clone()) {
                return Err(CommitError::Conflict(Stale::Account(account.name)));
            }
            account.rev += 1;
            disk::put(&disk.db, &mut batch, &key, &account)?;
            committed.accounts.push(account);
        }
        for mut source in change.sources {
            let key = disk::named(kind::SOURCE, checked(&source.name)?);
            let stored: Option<SourceRecord> = disk::read(&disk.db, &key)?;
            if stored.map_or(0, |stored| stored.rev) != source.rev || !staged.names.insert(key.clone()) {
                return Err(CommitError::Conflict(Stale::Source(source.name)));
            }
            source.rev += 1;
            disk::put(&disk.db, &mut batch, &key, &source)?;
            committed.sources.push(source);
        }
        for (contact, at) in change.contacts {
            let key = disk::digested(kind::CONTACT, &contact);
            if disk::record(&disk.db, &key)?.is_none() && staged.names.insert(key.clone()) {
                disk::put(&disk.db, &mut batch, &key, &(contact, at))?;
            }
        }
        for (key, fingerprint) in change.fingerprints {
            disk::put(&disk.db, &mut batch, &disk::digested(kind::FINGERPRINT, &key), &fingerprint)?;
        }
        for pair in staged.items.values() {
            write_item(&disk.db, &mut batch, pair)?;
        }
        staged.index_keys(&disk.db, &mut batch)?;
        let mut head = disk.head;
        let mut last_at = disk.last_at;
        for note in change.notes {
            // A clock that was set back must not make the journal forget how late it was (`lifecycle.md` 3.9).
            last_at = last_at.max(Some(note.at));
            let item = match note.item {
                Some(Which::Number(number)) => Some(number),
                Some(Which::New(at)) => staged.new.get(at).copied(),
                None => None,
            };
            let rev = item.and_then(|number| staged.items.get(&number)).map(|pair| pair.new.rev);
            append(&disk.db, &mut batch, &mut head, note, item, rev)?;
        }
        self.apply(disk, batch, false)?;
        (disk.last, disk.head, disk.last_at) = (last, head, last_at);
        committed.seq = head.seq;
        Ok(committed)
    }

    /// Writes a batch; `write`: to the file at once, though without a sync.
    pub(super) fn apply(&self, disk: &mut Disk, batch: sled::Batch, write: bool) -> Result<(), StoreError> {
        let write = write || disk.unwritten >= UNWRITTEN;
        let result = disk::guarded(|| {
            disk.db.apply_batch(batch)?;
            if write { disk.db.flush().map(|_| ()) } else { Ok(()) }
        });
        match &result {
            Ok(()) => {
                disk.changes += 1;
                disk.unwritten = if write { 0 } else { disk.unwritten + 1 };
            }
            Err(_) => self.0.failed.store(true, Ordering::Release),
        }
        result
    }

    /// Numbers of the journal entries about an item.
    pub(super) fn entries_about(&self, disk: &Disk, number: Number) -> Result<Vec<u64>, StoreError> {
        let rows = disk::rows(&disk.db, &disk::numbered(kind::ABOUT, number), &[], usize::MAX)?;
        rows.iter().map(|(key, _)| disk::number_of(key)).collect()
    }

    /// All entries about an item, oldest first.
    pub fn journal_of(&self, number: Number) -> Result<Vec<crate::journal::Recorded>, StoreError> {
        self.journal(JournalFilter { item: Some(number), after: 0 }).collect()
    }
}

/// An item before and after.
pub(super) struct Pair {
    pub(super) old: Option<Item>,
    pub(super) new: Item,
}

#[derive(Default)]
struct Staged {
    items: BTreeMap<Number, Pair>,
    /// Numbers given in this change, in its order.
    new: Vec<Number>,
    /// Keys of other records in this change.
    names: BTreeSet<Vec<u8>>,
}

impl Staged {
    /// Which item a key or alias leads to. An item that is found to be another's duplicate leaves its keys to that one;
    /// else the first that has it keeps it. Two live items with one key are refused where one of them is new
    /// or has gained the origin with this change: they have to be joined (promise 6).
    fn index_keys(&self, db: &sled::Db, batch: &mut sled::Batch) -> Result<(), CommitError> {
        let mut owners: BTreeMap<Vec<u8>, Option<Number>> = BTreeMap::new();
        let owner = |owners: &BTreeMap<Vec<u8>, Option<Number>>, row: &Vec<u8>| -> Result<Option<Number>, StoreError> {
            match owners.get(row) {
                Some(owner) => Ok(*owner),
                None => disk::guarded(|| db.get(row))?.map(|value| disk::number_of(&value)).transpose(),
            }
        };
        // What an item does not have any more is free before anybody takes it.
        for (number, pair) in &self.items {
            let has: BTreeSet<_> = keys(&pair.new).map(|(key, _)| row(key)).collect();
            for (key, _) in pair.old.iter().flat_map(keys) {
                let row = row(key);
                if !has.contains(&row) && owner(&owners, &row)? == Some(*number) {
                    owners.insert(row, None);
                }
            }
        }
        let duplicate = |item: &Item| matches!(item.phase, Phase::Duplicate { .. });
        let live_first = self.items.iter().filter(|(_, pair)| !duplicate(&pair.new));
        let then_duplicates = self.items.iter().filter(|(_, pair)| duplicate(&pair.new));
        for (number, pair) in live_first.chain(then_duplicates) {
            let had: BTreeSet<_> = pair.old.iter().flat_map(keys).map(|(key, _)| row(key)).collect();
            for (key, primary) in keys(&pair.new) {
                let row = row(key);
                let holder = owner(&owners, &row)?.filter(|holder| holder != number);
                let holder_is_live = match holder {
                    None => false,
                    Some(holder) => match self.items.get(&holder) {
                        Some(pair) => !duplicate(&pair.new),
                        None => {
                            let stored: Option<Item> = disk::read(db, &disk::numbered(kind::ITEM, holder))?;
                            stored.is_some_and(|item| !duplicate(&item))
                        }
                    },
                };
                match holder {
                    Some(_) if duplicate(&pair.new) => {}
                    Some(holder) if holder_is_live => {
                        if pair.old.is_none() || primary && !had.contains(&row) {
                            return Err(CommitError::Taken { key: key.to_owned(), number: holder });
                        }
                    }
                    Some(_) | None => {
                        owners.insert(row, Some(*number));
                    }
                }
            }
        }
        for (row, owner) in owners {
            match owner {
                Some(number) => batch.insert(row, number.to_be_bytes().as_slice()),
                None => batch.remove(row),
            }
        }
        Ok(())
    }
}

fn row(key: &str) -> Vec<u8> {
    disk::digested(kind::KEY, key)
}

/// Keys (`true`) and aliases of an item's origins.
fn keys(item: &Item) -> impl Iterator<Item = (&str, bool)> {
    item.origins.iter().flat_map(|origin| {
        let aliases = origin.found.aliases.iter().map(|alias| (alias.as_str(), false));
        std::iter::once((origin.found.key.as_str(), true)).chain(aliases)
    })
}

/// Writes an item and its rows in the indexes, but not its keys.
pub(super) fn write_item(db: &sled::Db, batch: &mut sled::Batch, pair: &Pair) -> Result<(), StoreError> {
    disk::put(db, batch, &disk::numbered(kind::ITEM, pair.new.number), &pair.new)?;
    index_item(batch, pair)
}

/// Writes an item's rows in the indexes that follow from it alone.
pub(super) fn index_item(batch: &mut sled::Batch, pair: &Pair) -> Result<(), StoreError> {
    let number = pair.new.number;
    for (index, member) in [(kind::ACTIVE, pair.new.is_active()), (kind::ATTENTION, pair.new.attention())] {
        let row = disk::numbered(index, number);
        if member { batch.insert(row, &[]) } else { batch.remove(row) }
    }
    for (account, counted) in pair.old.iter().flat_map(Counted::of) {
        batch.remove(disk::counted(account, counted.at, number));
    }
    for (account, counted) in Counted::of(&pair.new) {
        let value = serde_json::to_vec(&counted).map_err(|error| StoreError::Damaged(error.to_string()))?;
        batch.insert(disk::counted(account, counted.at, number), value);
    }
    Ok(())
}

/// Adds a note to the journal.
pub(super) fn append(
    db: &sled::Db,
    batch: &mut sled::Batch,
    head: &mut Head,
    note: Note,
    item: Option<Number>,
    rev: Option<u64>,
) -> Result<(), StoreError> {
    let Note { at, item: _, actor, what, reason, text, detail } = note;
    let salt: Salt = rand::random();
    let recorded = head.append(Happening { at, item, rev, actor, what, reason, text, detail }, &salt);
    disk::put(db, batch, &disk::numbered(kind::ENTRY, head.seq), &recorded.entry)?;
    disk::put(db, batch, &disk::numbered(kind::WORDS, head.seq), &recorded.words)?;
    if let Some(number) = item {
        batch.insert(disk::about(number, head.seq), &[]);
    }
    Ok(())
}

fn checked(name: &str) -> Result<&str, StoreError> {
    check_name(name).map(|()| name)
}

fn check_name(name: &str) -> Result<(), StoreError> {
    if name.is_empty() || name.len() > NAME_BYTES || name.contains('\0') {
        return Err(StoreError::Name(name.chars().take(NAME_BYTES).collect()));
    }
    Ok(())
}
