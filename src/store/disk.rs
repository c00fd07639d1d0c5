//! The layout within sled: one tree, keys with a letter in front, records cut into pieces.
//!
//! A record above [`PIECE_BYTES`] is cut, because sled puts a page of more than a quarter of a segment (128 KiB) into a
//! file of its own under `blobs/` and never syncs that file (`pagecache/blob_io.rs`, `write_blob`). A leaf splits above
//! 16 entries (`node.rs`, `should_split`), so with pieces of 2 KiB no page comes near and `blobs/` stays empty.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{OpenError, StoreError};
use crate::item::Number;
use crate::journal::Digest;

/// Bytes of one piece of a record.
const PIECE_BYTES: usize = 2048;
/// sled's default is 1 GiB. Items in use are few; more than this gained nothing.
const CACHE_BYTES: u64 = 24 << 20;

/// Records: `ITEM number`, `ENTRY seq`, `WORDS seq`, `ACCOUNT name`, `SOURCE name`, `CONTACT digest`,
/// `FINGERPRINT digest`, `META name`, each followed by the number of the piece.
pub(super) mod kind {
    pub(in crate::store) const ITEM: u8 = b'i';
    pub(in crate::store) const ENTRY: u8 = b'j';
    pub(in crate::store) const WORDS: u8 = b'w';
    pub(in crate::store) const ACCOUNT: u8 = b'a';
    pub(in crate::store) const SOURCE: u8 = b's';
    pub(in crate::store) const CONTACT: u8 = b'c';
    pub(in crate::store) const FINGERPRINT: u8 = b'f';
    pub(in crate::store) const META: u8 = b'm';
    /// Rows of indexes, in one piece: `KEY digest` -> number, `ACTIVE number`, `ATTENTION number`,
    /// `ABOUT number seq`, `COUNTED account 0 time number`.
    pub(in crate::store) const KEY: u8 = b'K';
    pub(in crate::store) const ACTIVE: u8 = b'A';
    pub(in crate::store) const ATTENTION: u8 = b'T';
    pub(in crate::store) const ABOUT: u8 = b'J';
    pub(in crate::store) const COUNTED: u8 = b'C';
}

/// The key of a record or row with a number in it.
pub(super) fn numbered(kind: u8, number: u64) -> Vec<u8> {
    [&[kind], number.to_be_bytes().as_slice()].concat()
}

/// The key of a record with a name.
pub(super) fn named(kind: u8, name: &str) -> Vec<u8> {
    [&[kind], name.as_bytes(), &[0]].concat()
}

/// The key of a record that is found by a foreign text of any length. Only the digest is kept: an address may spell out
/// a title.
pub(super) fn digested(kind: u8, text: &str) -> Vec<u8> {
    [&[kind], digest_of_key(text).0.as_slice()].concat()
}

/// Stands for a key or alias whose words were erased, see [`digest_of_key`].
pub(super) const ERASED_KEY: &str = "sha256:";

/// The digest of a key or alias; an erased one carries its own.
pub(super) fn digest_of_key(text: &str) -> Digest {
    let erased = text.strip_prefix(ERASED_KEY).and_then(|digest| digest.parse().ok());
    erased.unwrap_or_else(|| Digest::of(text.as_bytes()))
}

/// The row that says that item `number` is named in entry `seq`.
pub(super) fn about(number: Number, seq: u64) -> Vec<u8> {
    [numbered(kind::ABOUT, number).as_slice(), seq.to_be_bytes().as_slice()].concat()
}

/// The beginning of the rows of one account that count, from a time on.
pub(super) fn counted_from(account: &str, at: Timestamp) -> Vec<u8> {
    // Shifted, so that times before 1970 sort before those after.
    let at = (at.as_nanosecond() as u128) ^ (1 << 127);
    [named(kind::COUNTED, account).as_slice(), at.to_be_bytes().as_slice()].concat()
}

/// The row of one delivery that counts.
pub(super) fn counted(account: &str, at: Timestamp, number: Number) -> Vec<u8> {
    [counted_from(account, at).as_slice(), number.to_be_bytes().as_slice()].concat()
}

/// The number at the end of a row's key.
pub(super) fn number_of(key: &[u8]) -> Result<u64, StoreError> {
    let bytes = key.last_chunk::<8>().ok_or_else(|| StoreError::Damaged("a row without its number".to_owned()))?;
    Ok(u64::from_be_bytes(*bytes))
}

/// Runs a call into sled, where some kinds of damage are assertions: a panic becomes an error.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(StoreError::Io(error)),
        Ok(Err(error)) => Err(StoreError::Damaged(error.to_string())),
        Err(panic) => {
            let why = panic.downcast_ref::<String>().map(String::as_str);
            let why = why.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the database gave up");
            Err(StoreError::Damaged(why.to_owned()))
        }
    }
}

/// Opens sled's directory. The caller holds the lock of the store.
pub(super) fn open(dir: &Path) -> Result<sled::Db, OpenError> {
    remove_half_snapshots(dir)?;
    // No flusher thread of sled's own: it would swallow errors, and one that panics hangs the end of the process
    // (`flusher.rs`, `drop`). Segments are also cleaned as pages are written (`pagecache/mod.rs`, `cas_page`).
    let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    // A database that was just closed lets go of its file a moment later, from another thread.
    for _ in 0..200 {
        match guarded(|| config.open()) {
            Ok(db) => return Ok(db),
            Err(StoreError::Io(error)) if error.to_string().contains("could not acquire lock") => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(StoreError::Io(error)) if error.kind() != std::io::ErrorKind::InvalidData => return Err(error.into()),
            Err(error) => return Err(OpenError::Damaged(error.to_string())),
        }
    }
    Err(OpenError::InUse)
}

/// sled writes a snapshot as `snap.N.generating` and renames it, but when it opens it takes the last name that begins
/// with `snap.` (`config.rs`, `get_snapshot_files`): one that a kill left half-written would pass for damage.
fn remove_half_snapshots(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Reads a whole record.
pub(super) fn record(db: &sled::Db, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(first) = guarded(|| db.get(piece_key(key, 0)))? else { return Ok(None) };
    let (length, first) = first.split_first_chunk::<4>().ok_or_else(|| incomplete(key))?;
    let length = u32::from_be_bytes(*length) as usize;
    let mut record = first.to_vec();
    for piece in 1.. {
        if record.len() >= length {
            break;
        }
        record.extend_from_slice(&guarded(|| db.get(piece_key(key, piece)))?.ok_or_else(|| incomplete(key))?);
    }
    if record.len() == length { Ok(Some(record)) } else { Err(incomplete(key)) }
}

/// Reads a record and what it says.
pub(super) fn read<T: DeserializeOwned>(db: &sled::Db, key: &[u8]) -> Result<Option<T>, StoreError> {
    record(db, key)?.map(|bytes| parse(key, &bytes)).transpose()
}

/// What a record says.
pub(super) fn parse<T: DeserializeOwned>(key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Damaged(format!("{}: {error}", say(key))))
}

/// Writes a record: those pieces of it that are not there already.
pub(super) fn put<T: Serialize>(
    db: &sled::Db,
    batch: &mut sled::Batch,
    key: &[u8],
    value: &T,
) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(value).map_err(|error| StoreError::Damaged(format!("{}: {error}", say(key))))?;
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length < MAX_RECORD_BYTES);
    let length = length.ok_or_else(|| StoreError::TooLarge { what: say(key), bytes: bytes.len() })?;
    let framed = [length.to_be_bytes().as_slice(), &bytes].concat();
    let mut pieces = 0;
    for (number, piece) in (0..).zip(framed.chunks(PIECE_BYTES)) {
        let at = piece_key(key, number);
        if guarded(|| db.get(&at))?.is_none_or(|old| old != piece) {
            batch.insert(at, piece);
        }
        pieces = number + 1;
    }
    remove_pieces(db, batch, key, pieces)
}

/// An item with every text at its limit has some hundred KiB; beyond this something is wrong.
const MAX_RECORD_BYTES: u32 = 16 << 20;

/// Removes a record.
pub(super) fn remove(db: &sled::Db, batch: &mut sled::Batch, key: &[u8]) -> Result<(), StoreError> {
    remove_pieces(db, batch, key, 0)
}

fn remove_pieces(db: &sled::Db, batch: &mut sled::Batch, key: &[u8], from: u16) -> Result<(), StoreError> {
    for piece in from.. {
        let at = piece_key(key, piece);
        if !guarded(|| db.contains_key(&at))? {
            break;
        }
        batch.remove(at);
    }
    Ok(())
}

fn piece_key(key: &[u8], piece: u16) -> Vec<u8> {
    [key, piece.to_be_bytes().as_slice()].concat()
}

/// Rows or pieces whose keys begin with `prefix`, from `from` on, at most `limit` of them.
pub(super) fn rows(db: &sled::Db, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
    guarded(|| {
        let rows =
            db.range(from.max(prefix)..).take_while(|row| row.as_ref().map_or(true, |(k, _)| k.starts_with(prefix)));
        rows.take(limit).map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
    })
}

/// A key and its value.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// Records of one kind, with `from` or the next above it first, at most `limit` of them.
pub(super) fn records(db: &sled::Db, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
    let mut found: Vec<Row> = Vec::new();
    let mut from = from.to_vec();
    while found.len() < limit {
        // The first piece of the next record; its others follow it.
        let Some((key, _)) = rows(db, prefix, &from, 1)?.pop() else { break };
        let (key, _) = key.split_last_chunk::<2>().ok_or_else(|| incomplete(&key))?;
        let bytes = record(db, key)?.ok_or_else(|| incomplete(key))?;
        from = after(key);
        found.push((key.to_vec(), bytes));
    }
    Ok(found)
}

/// Above every piece of the record with this key, and not above the next record.
pub(super) fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0xff, 0xff, 0xff]].concat()
}

/// The number of the last record of a kind; 0: there is none.
pub(super) fn last_number(db: &sled::Db, kind: u8) -> Result<u64, StoreError> {
    match guarded(|| db.scan_prefix([kind]).next_back().transpose())? {
        Some((key, _)) => {
            let (key, _) = key.split_last_chunk::<2>().ok_or_else(|| incomplete(&key))?;
            number_of(key)
        }
        None => Ok(0),
    }
}

fn incomplete(key: &[u8]) -> StoreError {
    StoreError::Damaged(format!("{} is incomplete", say(key)))
}

/// A record's name for people.
fn say(key: &[u8]) -> String {
    let name = || String::from_utf8_lossy(key.get(1..).unwrap_or_default()).trim_end_matches('\0').to_owned();
    let number = || number_of(key).unwrap_or_default();
    match key.first() {
        Some(&kind::ITEM) => format!("item {}", number()),
        Some(&kind::ENTRY) => format!("journal entry {}", number()),
        Some(&kind::WORDS) => format!("the words of journal entry {}", number()),
        Some(&kind::ACCOUNT) => format!("account `{}`", name()),
        Some(&kind::SOURCE) => format!("source `{}`", name()),
        _ => "a record".to_owned(),
    }
}
