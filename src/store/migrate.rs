//! The versions of the format.
//!
//! A change of the layout or of what a record says, beyond a new field with a default, raises [`FORMAT`] and adds an
//! arm to [`migrate`] that rewrites what the version before it wrote. `tests/fixtures/store/` keeps one saved store of
//! each released format, and a test opens them all.
use super::{OpenError, StoreError, disk};

/// The format that this version writes: in the database, in the head file and in exports.
pub(super) const FORMAT: u32 = 1;

/// Names of values that are the store's own.
pub(super) const FORMAT_NAME: &str = "format";
pub(super) const ALIVE: &str = "alive";
pub(super) const COMPACT: &str = "compact";

/// Brings an opened database to [`FORMAT`], or says why that cannot be.
pub(super) fn migrate(db: &sled::Db) -> Result<(), OpenError> {
    let found: Option<u32> = disk::read(db, &disk::named(disk::kind::META, FORMAT_NAME))?;
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
    disk::put(db, &mut batch, &disk::named(disk::kind::META, FORMAT_NAME), &FORMAT)?;
    disk::guarded(|| db.apply_batch(batch))
}
