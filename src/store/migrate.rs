//! The versions of the format.
//!
//! A release that changes the layout or what a record says raises [`FORMAT`] and adds an arm to [`migrate`] that rewrites
//! what the version before it wrote. A new field with a default raises it too, though there is nothing to rewrite: the
//! version before would drop it with the next change of the record. `tests/fixtures/store/` keeps one saved store of each
//! released format, and a test opens them all.
use super::commit::{Pair, index_item};
use super::disk::kind;
use super::{OpenError, StoreError, disk};
use crate::item::Item;

/// The format that this version writes: in the database, in the head file and in exports.
pub(super) const FORMAT: u32 = 1;

/// Names of values that are the store's own.
pub(super) const FORMAT_NAME: &str = "format";
pub(super) const ALIVE: &str = "alive";
pub(super) const COMPACT: &str = "compact";
pub(super) const INDEXED_BY: &str = "indexed-by";

/// The version that made the indexes of what is active, needs attention, or counts. Another one may see these
/// differently, so it makes them anew.
const INDEXER: &str = env!("CARGO_PKG_VERSION");
/// Items indexed at a time.
const BATCH: usize = 500;

/// Brings an opened database to [`FORMAT`], or says why that cannot be.
pub(super) fn migrate(db: &sled::Db) -> Result<(), OpenError> {
    let found: Option<u32> = disk::read(db, &disk::named(kind::META, FORMAT_NAME))?;
    check(found.ok_or_else(|| OpenError::Damaged("it does not say which format it has".to_owned()))?)
}

/// Can this version read that format?
pub(super) fn check(found: u32) -> Result<(), OpenError> {
    match found {
        FORMAT => Ok(()),
        0 => Err(OpenError::Damaged("there is no format 0".to_owned())),
        newer => Err(OpenError::Newer { found: newer, known: FORMAT }),
    }
}

/// Marks a new database with the format.
pub(super) fn mark(db: &sled::Db) -> Result<(), StoreError> {
    let mut batch = sled::Batch::default();
    disk::put(db, &mut batch, &disk::named(kind::META, FORMAT_NAME), &FORMAT)?;
    disk::put(db, &mut batch, &disk::named(kind::META, INDEXED_BY), &INDEXER)?;
    disk::guarded(|| db.apply_batch(batch))
}

/// Were the indexes made by this version?
pub(super) fn indexes_are_ours(db: &sled::Db) -> Result<bool, StoreError> {
    Ok(disk::read::<String>(db, &disk::named(kind::META, INDEXED_BY))?.as_deref() == Some(INDEXER))
}

/// Makes the indexes that follow from the items anew. Reads all items. May be cut off: then it is done again.
pub(super) fn index_anew(db: &sled::Db) -> Result<(), StoreError> {
    let mark = disk::named(kind::META, INDEXED_BY);
    let mut batch = sled::Batch::default();
    disk::remove(db, &mut batch, &mark)?;
    for index in [kind::ACTIVE, kind::ATTENTION, kind::COUNTED] {
        for (row, _) in disk::rows(db, &[index], &[], usize::MAX)? {
            batch.remove(row);
        }
    }
    disk::guarded(|| db.apply_batch(batch))?;
    let mut next = Vec::new();
    loop {
        let items = disk::records(db, &[kind::ITEM], &next, BATCH)?;
        let mut batch = sled::Batch::default();
        for (key, bytes) in &items {
            let new: Item = disk::parse(key, bytes)?;
            index_item(&mut batch, &Pair { old: None, new })?;
        }
        match items.last() {
            Some((key, _)) => next = disk::after(key),
            None => disk::put(db, &mut batch, &mark, &INDEXER)?,
        }
        disk::guarded(|| db.apply_batch(batch))?;
        if items.is_empty() {
            return disk::guarded(|| db.flush().map(|_| ()));
        }
    }
}
