//! What was decided and what happened, on disk. The only code that knows the storage format, its versions and its locks.
//!
//! A store is a directory: `sled/` is the database, `head` remembers from outside how far its journal had come, `lock`
//! keeps a second process away. Every change is one [`Store::commit`]: it compares the revision of each record it
//! replaces, keeps the indexes, appends to the journal, and is atomic (one sled batch; a second backend would use one
//! transaction).
//!
//! # What survives
//! - **`kill -9`**: every durable change, and every other change that was followed by a durable one, by [`Store::sync`]
//!   or by the heartbeat. sled 0.34.7 writes its buffer to the file in `flush()` (`pagecache/iobuf.rs`,
//!   `write_to_log`), and what the system was given it keeps.
//! - **Power loss**: every durable change, if the disk does what `fsync` asks. On Linux sled itself only calls
//!   `sync_file_range` (same function), which leaves the file's length and the disk's own cache alone; so the store syncs
//!   the database file after `flush()`, and directories after creating files in them. sled's blob files are never
//!   synced by anyone, so none is ever made (`disk.rs`). Threads that wait at the same time share one sync.
//! - **Damage**: sled checks a CRC of each message when it reads it: a flipped byte is an error of that read. But when it
//!   opens, it takes a broken end of its log for a torn write and cuts it off silently, together with everything
//!   after it. Therefore the head file, the revisions in the journal, and the check of the journal's last entries
//!   in [`Store::open`]. [`Store::verify`] checks everything.
//! - **Forgetting**: [`Store::forget`] replaces the words. sled's log keeps old versions of a page until it reuses their
//!   segment, so the database is rewritten into new files by [`Store::compact`], at the latest when the store is opened
//!   next. What the disk or the file system keep of deleted files, and what stands in older backups and exports, is
//!   beyond a program's reach.
//!
//! # Cost
//! Everything is a handful of keyed reads and writes, but: `export`, `backup`, `compact`, `verify` and the renaming of
//! an account read everything. The first two hold up changes (not reads) for as long as that takes, since sled has no
//! snapshots. Opening reads what sled wrote to its log since it was last opened, and the last entries of the journal.
mod commit;
mod disk;
mod export;
mod forget;
mod head;
mod migrate;
mod open;
mod record;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::item::{Item, Number};
use crate::journal::{self, Broken, Head, Recorded, Verified};
use disk::kind;

pub use commit::{ClaimError, CommitError, Stale};
pub use export::{ExportError, ImportError};
pub use forget::ForgetError;
pub use record::{AccountRecord, Change, Committed, Counted, Locked, Note, SourceRecord, Which};

/// The open store. Clones are the same store. All methods are short and block: a few reads, at most one sync.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    /// Locked for writing while a change is made: a reader never sees half of one.
    disk: RwLock<Disk>,
    /// After the database.
    _closing: open::Closing,
    /// Taken before `disk` where both are.
    synced: Mutex<Synced>,
    /// A write failed midway: what is in memory and on disk may differ, so nothing is written any more.
    failed: AtomicBool,
    /// Last: the database must be closed before the lock goes.
    _lock: File,
}

#[derive(Debug)]
struct Disk {
    db: sled::Db,
    /// sled's file once more: syncing works through any handle.
    file: Arc<File>,
    /// The number of the newest item.
    last: Number,
    head: Head,
    /// When the last journal entry was made.
    last_at: Option<Timestamp>,
    /// Changes made since it was opened.
    changes: u64,
    /// Of these, how many were made since something was last written to the file.
    unwritten: u32,
}

#[derive(Debug)]
struct Synced {
    head: head::HeadFile,
    /// Up to which of [`Disk::changes`] all is on disk.
    changes: u64,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the store is in use by another process")]
    InUse,
    /// It was written by a later version.
    #[error("the store has format {found}, this version knows formats up to {known}")]
    Newer {
        /// The store's.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// It is not what was written. Nothing was repaired or reset.
    #[error("the store is damaged: {0}; move it aside, then use the newest backup or `oyez import` the newest export")]
    Damaged(String),
    /// The system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl OpenError {
    /// A way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            OpenError::InUse => Some(
                "a service is running on it, but not on the socket this configuration names: check `service.socket`"
                    .into(),
            ),
            OpenError::Io(error) => Some(match error.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    "make room on the disk that `service.state` is on; nothing is lost".into()
                }
                std::io::ErrorKind::ReadOnlyFilesystem => {
                    "the disk is mounted read-only, as the system does when it is broken: `dmesg` says why".into()
                }
                _ => "is `service.state` a directory this user may write to?".into(),
            }),
            OpenError::Newer { .. } => Some(
                "a later oyez wrote it: use that one again; or go back with an `oyez export` made before the upgrade: move the \
                 state directory away, then `oyez import` it"
                    .into(),
            ),
            OpenError::Damaged(_) => None,
        }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io(error) => OpenError::Io(error),
            StoreError::Damaged(why) => OpenError::Damaged(why),
            StoreError::Failed | StoreError::TooLarge { .. } | StoreError::Name(_) => {
                OpenError::Damaged(error.to_string())
            }
        }
    }
}

/// Why the open store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Something stored cannot be read.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// An earlier write failed; nothing is written until a restart has looked at what is on disk.
    #[error(
        "an earlier write to the store failed (the log says why): once that is mended, a restart goes on where it stopped"
    )]
    Failed,
    /// Bounds should have kept it from getting here.
    #[error("{what} is too large to store ({bytes} bytes)")]
    TooLarge {
        /// The record.
        what: String,
        /// Its size.
        bytes: usize,
    },
    /// Names of accounts, sources and values: 1 to 200 bytes, no NUL.
    #[error("`{0}` cannot be a name in the store")]
    Name(String),
    /// The system refused.
    #[error("cannot read or write the store")]
    Io(#[from] std::io::Error),
}

/// Which part of the journal is wanted. The default: all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalFilter {
    /// Of this item only.
    pub item: Option<Number>,
    /// Only entries after this one.
    pub after: u64,
}

/// Read at a time by the iterators, so that none holds up changes for long.
const STRIDE: usize = 64;

impl Store {
    /// The item with this number.
    pub fn item(&self, number: Number) -> Result<Option<Item>, StoreError> {
        disk::read(&self.read().db, &disk::numbered(kind::ITEM, number))
    }

    /// The item that has this key or alias. One that was joined to another answers with the other.
    pub fn by_key(&self, key: &str) -> Result<Option<Number>, StoreError> {
        let row = disk::guarded(|| self.read().db.get(disk::digested(kind::KEY, key)))?;
        row.map(|value| disk::number_of(&value)).transpose()
    }

    /// Items for which there is still something to do or watch ([`Item::is_active`]), by number. From an index.
    pub fn active(&self) -> Result<Vec<Item>, StoreError> {
        self.indexed(kind::ACTIVE)
    }

    /// Items a person must look at ([`Item::attention`]), by number. From an index.
    pub fn items_with_attention(&self) -> Result<Vec<Item>, StoreError> {
        self.indexed(kind::ATTENTION)
    }

    fn indexed(&self, index: u8) -> Result<Vec<Item>, StoreError> {
        let disk = self.read();
        let missing = || StoreError::Damaged("an index names an item that is not there".to_owned());
        let rows = disk::rows(&disk.db, &[index], &[], usize::MAX)?;
        rows.iter().map(|(key, _)| disk::read(&disk.db, &key_of_item(key)?)?.ok_or_else(missing)).collect()
    }

    /// Items by number. Changes made meanwhile may or may not be seen.
    pub fn items<R: RangeBounds<Number>>(&self, numbers: R) -> impl Iterator<Item = Result<Item, StoreError>> + use<R> {
        use std::ops::Bound;
        let first = match numbers.start_bound() {
            Bound::Included(first) => *first,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match numbers.end_bound() {
            Bound::Included(last) => last.checked_add(1),
            Bound::Excluded(end) => Some(*end),
            Bound::Unbounded => None,
        };
        let records = self.clone().records::<Item>(vec![kind::ITEM], disk::numbered(kind::ITEM, first));
        records.take_while(move |item| item.as_ref().map_or(true, |item| end.is_none_or(|end| item.number < end)))
    }

    /// The newest item's number; 0: there is none yet.
    pub fn last_number(&self) -> Number {
        self.read().last
    }

    /// What is remembered about an account; for one never stored, nothing but its name.
    pub fn account(&self, name: &str) -> Result<AccountRecord, StoreError> {
        let stored = disk::read(&self.read().db, &disk::named(kind::ACCOUNT, name))?;
        Ok(stored.unwrap_or_else(|| AccountRecord { name: name.to_owned(), ..AccountRecord::default() }))
    }

    /// All accounts ever stored, by name.
    pub fn accounts(&self) -> Result<Vec<AccountRecord>, StoreError> {
        self.clone().records(vec![kind::ACCOUNT], Vec::new()).collect()
    }

    /// Deliveries of an account that count ([`Counted`]) and are not older than `since`, oldest first. From an index.
    pub fn counted(&self, account: &str, since: Timestamp) -> Result<Vec<Counted>, StoreError> {
        let (prefix, from) = (disk::named(kind::COUNTED, account), disk::counted_from(account, since));
        let rows = disk::rows(&self.read().db, &prefix, &from, usize::MAX)?;
        rows.iter().map(|(key, value)| disk::parse(key, value)).collect()
    }

    /// What is remembered about a source; for one never stored, nothing but its name.
    pub fn source(&self, name: &str) -> Result<SourceRecord, StoreError> {
        let stored = disk::read(&self.read().db, &disk::named(kind::SOURCE, name))?;
        Ok(stored.unwrap_or_else(|| SourceRecord { name: name.to_owned(), ..SourceRecord::default() }))
    }

    /// All sources ever stored, by name.
    pub fn sources(&self) -> Result<Vec<SourceRecord>, StoreError> {
        self.clone().records(vec![kind::SOURCE], Vec::new()).collect()
    }

    /// What a list last showed for a key.
    pub fn fingerprint(&self, key: &str) -> Result<Option<String>, StoreError> {
        disk::read(&self.read().db, &disk::digested(kind::FINGERPRINT, key))
    }

    /// When first contact was made with what a source is (promise 5).
    pub fn contacted(&self, contact: &str) -> Result<Option<Timestamp>, StoreError> {
        let stored: Option<(String, Timestamp)> = disk::read(&self.read().db, &disk::digested(kind::CONTACT, contact))?;
        Ok(stored.map(|(_, at)| at))
    }

    /// All first contacts.
    pub fn contacts(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        self.clone().records(vec![kind::CONTACT], Vec::new()).collect()
    }

    /// A small value kept under a name.
    pub fn meta(&self, name: &str) -> Result<Option<Value>, StoreError> {
        disk::read(&self.read().db, &disk::named(kind::META, name))
    }

    /// When the service last said that it runs.
    pub fn alive(&self) -> Result<Option<Timestamp>, StoreError> {
        disk::read(&self.read().db, &disk::named(kind::META, migrate::ALIVE))
    }

    /// The journal's entries, oldest first.
    pub fn journal(&self, filter: JournalFilter) -> impl Iterator<Item = Result<Recorded, StoreError>> + use<> {
        let store = self.clone();
        let mut after = filter.after;
        let mut stride = Vec::new().into_iter();
        let mut over = false;
        std::iter::from_fn(move || {
            loop {
                if let Some(recorded) = stride.next() {
                    return Some(Ok(recorded));
                }
                if over {
                    return None;
                }
                match store.journal_stride(filter.item, after) {
                    Ok(next) => {
                        over = next.len() < STRIDE;
                        after = next.last().map_or(after, |recorded: &Recorded| recorded.entry.seq);
                        stride = next.into_iter();
                    }
                    Err(error) => {
                        over = true;
                        return Some(Err(error));
                    }
                }
            }
        })
    }

    fn journal_stride(&self, item: Option<Number>, after: u64) -> Result<Vec<Recorded>, StoreError> {
        let disk = self.read();
        let Some(from) = after.checked_add(1) else { return Ok(Vec::new()) };
        let seqs: Vec<u64> = match item {
            Some(number) => {
                let rows =
                    disk::rows(&disk.db, &disk::numbered(kind::ABOUT, number), &disk::about(number, from), STRIDE)?;
                rows.iter().map(|(key, _)| disk::number_of(key)).collect::<Result<_, _>>()?
            }
            None => (from..=disk.head.seq).take(STRIDE).collect(),
        };
        seqs.into_iter().map(|seq| recorded(&disk.db, seq)).collect()
    }

    /// The end of the journal.
    pub fn head(&self) -> Head {
        self.read().head
    }

    /// When the last journal entry was made: a wall clock behind it is not believed (`lifecycle.md` 3.9).
    pub fn last_entry_at(&self) -> Option<Timestamp> {
        self.read().last_at
    }

    /// Checks the whole journal, and that no stored item or index is behind it. Reads everything.
    pub fn verify(&self) -> Result<Verified, Broken> {
        let mut head = Head::default();
        let unreadable = |seq, error: StoreError| Broken { seq, why: error.to_string() };
        let until = self.head();
        let mut revs = std::collections::BTreeMap::new();
        for recorded in self.journal(JournalFilter::default()).take(usize::try_from(until.seq).unwrap_or(usize::MAX)) {
            let recorded = recorded.map_err(|error| unreadable(head.seq + 1, error))?;
            head.follow(&recorded)?;
            let noted = open::note_entry(&self.read().db, &recorded.entry, &mut revs);
            noted.map_err(|error| unreadable(head.seq, error))?;
        }
        if head != until {
            return Err(Broken { seq: head.seq + 1, why: "the journal's end is missing".to_owned() });
        }
        for number in 1..=self.last_number() {
            let disk = self.read();
            let rev = revs.get(&number).copied().unwrap_or_default();
            open::check_item(&disk.db, number, rev).map_err(|error| unreadable(head.seq, error))?;
            if !open::is_indexed(&disk.db, number).map_err(|error| unreadable(head.seq, error))? {
                return Err(Broken { seq: head.seq, why: format!("item {number} is not in its indexes: restart") });
            }
        }
        Ok(Verified { entries: head.seq, head: head.hash })
    }

    /// Returns when everything done so far would survive a power loss.
    pub fn sync(&self) -> Result<(), StoreError> {
        let changes = self.read().changes;
        self.settle(changes)?;
        self.synced().head.sync()?;
        Ok(())
    }

    /// Where it lies.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Waits until the change with this count is on disk. Whoever comes first syncs for all who came before it did.
    fn settle(&self, change: u64) -> Result<(), StoreError> {
        let mut synced = self.synced();
        if synced.changes >= change {
            return Ok(());
        }
        let (db, file, changes, head) = {
            let mut disk = self.write()?;
            disk.unwritten = 0;
            (disk.db.clone(), disk.file.clone(), disk.changes, disk.head)
        };
        let result = disk::guarded(|| db.flush().map(|_| ())).and_then(|()| Ok(file.sync_data()?));
        let result = result.and_then(|()| Ok(synced.head.write(migrate::FORMAT, &head)?));
        if result.is_err() {
            // After a failed sync nobody can say what is on disk, not even a second sync.
            self.0.failed.store(true, Ordering::Release);
        }
        result?;
        synced.changes = changes;
        Ok(())
    }

    fn records<T: DeserializeOwned>(
        self,
        prefix: Vec<u8>,
        from: Vec<u8>,
    ) -> impl Iterator<Item = Result<T, StoreError>> {
        let mut next = Some(from);
        let mut stride = Vec::new().into_iter();
        std::iter::from_fn(move || {
            loop {
                if let Some((key, bytes)) = stride.next() {
                    let (key, bytes): disk::Row = (key, bytes);
                    return Some(disk::parse(&key, &bytes));
                }
                let from = next.take()?;
                match disk::records(&self.read().db, &prefix, &from, STRIDE) {
                    Ok(rows) => {
                        next = (rows.len() == STRIDE).then(|| rows.last().map(|(key, _)| disk::after(key))).flatten();
                        stride = rows.into_iter();
                    }
                    Err(error) => return Some(Err(error)),
                }
            }
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Disk> {
        self.0.disk.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For writing, unless an earlier write failed.
    fn write(&self) -> Result<RwLockWriteGuard<'_, Disk>, StoreError> {
        let disk = self.0.disk.write().map_err(|_| StoreError::Failed)?;
        if self.0.failed.load(Ordering::Acquire) { Err(StoreError::Failed) } else { Ok(disk) }
    }

    fn synced(&self) -> MutexGuard<'_, Synced> {
        self.0.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key of the item that a row of an index names.
fn key_of_item(row: &[u8]) -> Result<Vec<u8>, StoreError> {
    Ok(disk::numbered(kind::ITEM, disk::number_of(row)?))
}

/// One journal entry with its words.
fn recorded(db: &sled::Db, seq: u64) -> Result<Recorded, StoreError> {
    let missing = || StoreError::Damaged(format!("journal entry {seq} is missing"));
    let entry = disk::read(db, &disk::numbered(kind::ENTRY, seq))?.ok_or_else(missing)?;
    let words: journal::Words = disk::read(db, &disk::numbered(kind::WORDS, seq))?.ok_or_else(missing)?;
    Ok(Recorded { entry, words })
}
