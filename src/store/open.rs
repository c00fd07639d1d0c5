//! Opening, creating and rewriting the directory.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use super::disk::kind;
use super::head::{self, HeadFile, sync_dir};
use super::{Disk, Inner, OpenError, Store, StoreError, Synced, disk, migrate, recorded};
use crate::item::{Item, Number};
use crate::journal::{Entry, Head};

/// Entries at the end of the journal that are checked when the store is opened: enough for what sled may have cut off,
/// few enough not to be noticed.
const CHECKED_ENTRIES: u64 = 1000;

/// Records written to a new database at a time.
const BATCH: usize = 1000;

impl Store {
    /// Is there a store in `dir`? Opening one that is not there makes it.
    pub fn exists(dir: &Path) -> bool {
        head_path(dir).exists() || sled_dir(dir).exists() || unfinished_path(dir).exists()
    }

    /// Opens the store in `dir`, or makes one there if there is none. The directory is readable by its owner only.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let lock = prepare(dir)?;
        if unfinished_path(dir).exists() {
            // It may be empty, or half of what it was meant to be: neither may pass for the store.
            return Err(OpenError::Damaged("an import or a backup into it was cut off before its end".to_owned()));
        }
        let remembered = HeadFile::open(&head_path(dir))?;
        if let Some((_, format, _)) = &remembered {
            migrate::check(*format)?;
        }
        finish_swap(dir)?;
        let (sled_dir, exists) = (sled_dir(dir), sled_dir(dir).join("db").exists());
        match (&remembered, exists) {
            (Some(_), true) | (None, true) => {}
            (Some(_), false) => return Err(OpenError::Damaged(format!("`{}` is gone", sled_dir.display()))),
            // Its end was cut off before it had a head, or it is new. The database appears under its name when whole.
            (None, false) => {
                remove_dir(&new_dir(dir))?;
                create_dir(&new_dir(dir))?;
                let db = disk::open(&new_dir(dir))?;
                migrate::mark(&db)?;
                close(db, &new_dir(dir))?;
                fs::rename(new_dir(dir), &sled_dir)?;
                sync_dir(dir)?;
            }
        }
        keep(dir);
        let opened = Self::open_database(dir, lock, remembered);
        match &opened {
            // Also one that an earlier attempt left, which was cut off: it would stay for ever, with words in it that are
            // forgotten since, and in the place of a newer copy.
            Ok(_) => {
                if let Err(error) = remove_dir(&before_dir(dir)) {
                    tracing::warn!("`{}` is not needed and cannot be removed: {error}", before_dir(dir).display());
                }
            }
            Err(OpenError::Damaged(why)) if before_dir(dir).exists() => {
                let kept = before_dir(dir);
                return Err(OpenError::Damaged(format!("{why} (its files as they were are in `{}`)", kept.display())));
            }
            Err(_) => {}
        }
        opened
    }

    fn open_database(dir: &Path, lock: File, remembered: Option<(HeadFile, u32, Head)>) -> Result<Self, OpenError> {
        let sled_dir = sled_dir(dir);
        let mut db = disk::open(&sled_dir)?;
        migrate::migrate(&db)?;
        let found = check_end(&db)?;
        if let Some((_, _, head)) = &remembered {
            check_against(&db, head, &found)?;
        } else if found.seq > 0 {
            return Err(OpenError::Damaged(format!("`{}` is gone", head_path(dir).display())));
        }
        if disk::read::<bool>(&db, &disk::named(kind::META, migrate::COMPACT))?.is_some() {
            match copy_for_rewrite(dir, &db) {
                Ok(()) => db = swap(dir, db)?,
                // A full disk is no reason not to start: what is forgotten leaves the disk another time.
                Err(error) => tracing::warn!("forgotten words are still in old blocks of the store's files: {error}"),
            }
        }
        let head_file = match remembered {
            Some((head_file, _, _)) => head_file,
            None => HeadFile::create(&head_path(dir), migrate::FORMAT, &found)?,
        };
        let disk = Disk::of(db, &sled_dir, found)?;
        let synced = Mutex::new(Synced { head: head_file, changes: 0 });
        let inner = Inner {
            dir: dir.to_owned(),
            disk: RwLock::new(disk),
            _closing: Closing(dir.to_owned()),
            synced,
            failed: AtomicBool::new(false),
            _lock: lock,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Rewrites the database into new files if words were forgotten since the last time, so that no old version of a
    /// page is left on disk. Copies everything; changes wait meanwhile. Also done by [`Store::open`].
    ///
    /// # Errors
    /// There is no room for a second database, say: then nothing changed, and it is tried again with the next start. Only
    /// where the new files cannot take the place of the old ones, the store takes no changes any more until it is opened
    /// anew.
    pub fn compact(&self) -> Result<bool, StoreError> {
        // Holding both locks: nobody syncs or changes the files that are about to go.
        let mut synced = self.synced();
        let mut disk = self.write()?;
        if disk::read::<bool>(&disk.db, &disk::named(kind::META, migrate::COMPACT))?.is_none() {
            return Ok(false);
        }
        let as_store_error = |error| match error {
            OpenError::Io(error) => StoreError::Io(error),
            OpenError::Damaged(why) => StoreError::Damaged(why),
            OpenError::InUse | OpenError::Newer { .. } => StoreError::Damaged(error.to_string()),
        };
        copy_for_rewrite(&self.0.dir, &disk.db).map_err(as_store_error)?;
        // From here on a failure leaves open which files are the store's: a restart finds out.
        let failed = |error| {
            self.0.failed.store(true, std::sync::atomic::Ordering::Release);
            as_store_error(error)
        };
        let db = swap(&self.0.dir, disk.db.clone()).map_err(failed)?;
        let changes = disk.changes;
        *disk = Disk { changes, ..Disk::of(db, &sled_dir(&self.0.dir), disk.head).map_err(failed)? };
        synced.changes = changes;
        Ok(true)
    }
}

impl Disk {
    fn of(db: sled::Db, sled_dir: &Path, head: Head) -> Result<Self, OpenError> {
        let last = disk::last_number(&db, kind::ITEM)?;
        let last_at = if head.seq == 0 { None } else { Some(recorded(&db, head.seq)?.entry.at) };
        let file = Arc::new(File::options().read(true).write(true).open(sled_dir.join("db"))?);
        Ok(Self { db, file, last, head, last_at, changes: 0, unwritten: 0 })
    }
}

/// Notes, when the database has been closed, what its file looks like then.
#[derive(Debug)]
pub(super) struct Closing(PathBuf);

impl Drop for Closing {
    fn drop(&mut self) {
        // Without the note the next start only takes longer.
        if let Ok(stamp) = stamp(&self.0) {
            let _ = fs::write(closed_path(&self.0), stamp);
        }
    }
}

/// Length and time of the database's file.
fn stamp(dir: &Path) -> std::io::Result<String> {
    let file = fs::metadata(sled_dir(dir).join("db"))?;
    Ok(format!("{} {}.{:09}\n", file.len(), file.mtime(), file.mtime_nsec()))
}

/// sled cuts its files off, when it opens them, where it cannot read on: what a person could still have saved would be
/// gone with it. So whatever was not closed by us is copied first.
pub(super) fn keep(dir: &Path) {
    let (from, to) = (sled_dir(dir), before_dir(dir));
    let is_ours = stamp(dir).is_ok_and(|now| fs::read_to_string(closed_path(dir)).is_ok_and(|then| then == now));
    // A copy that is there is of an earlier state, before the first attempt to open it.
    if is_ours && head_path(dir).exists() || to.exists() {
        return;
    }
    let half = to.with_extension("half");
    let copied = remove_dir(&half).and_then(|()| copy_files(&from, &half)).and_then(|()| fs::rename(&half, &to));
    if let Err(error) = &copied {
        // A full disk is no reason not to start.
        tracing::warn!("the store's files were not copied before it is opened: {error}");
        let _ = remove_dir(&half);
    }
}

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_files(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Makes the directory if need be, and takes its lock.
pub(super) fn prepare(dir: &Path) -> Result<File, OpenError> {
    if !dir.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_dir)?;
    }
    let permissions = fs::metadata(dir)?.permissions();
    if permissions.mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    head::lock(&dir.join("lock"))
}

pub(super) fn head_path(dir: &Path) -> PathBuf {
    dir.join("head")
}

/// Stands in a directory for as long as an import or a backup fills it.
fn unfinished_path(dir: &Path) -> PathBuf {
    dir.join("unfinished")
}

/// May a store be put there: is nothing in it, or only what an import or a backup left that was cut off?
pub(super) fn is_vacant(dir: &Path) -> std::io::Result<bool> {
    if !dir.exists() || unfinished_path(dir).exists() {
        return Ok(true);
    }
    for entry in fs::read_dir(dir)? {
        if entry?.file_name() != "lock" {
            return Ok(false);
        }
    }
    Ok(true)
}

/// From here on, and until [`filled`], nobody takes what is in the directory for a store, not even after a power loss.
pub(super) fn begin_filling(dir: &Path) -> std::io::Result<()> {
    File::create(unfinished_path(dir))?.sync_all()?;
    sync_dir(dir)?;
    empty(dir)
}

/// What was put there is whole.
pub(super) fn filled(dir: &Path) -> std::io::Result<()> {
    fs::remove_file(unfinished_path(dir))?;
    sync_dir(dir)
}

/// Removes what makes a store; the lock stays.
pub(super) fn empty(dir: &Path) -> std::io::Result<()> {
    for gone in [new_dir(dir), sled_dir(dir), before_dir(dir)] {
        remove_dir(&gone)?;
    }
    for gone in [head_path(dir), head_path(dir).with_extension("new"), closed_path(dir)] {
        remove_file(&gone)?;
    }
    Ok(())
}

pub(super) fn remove_file(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(super) fn sled_dir(dir: &Path) -> PathBuf {
    dir.join("sled")
}

/// Under this name a database is made; it gets its own when it is whole.
pub(super) fn new_dir(dir: &Path) -> PathBuf {
    dir.join("sled.new")
}

/// What was there before a database was opened that had not been closed.
fn before_dir(dir: &Path) -> PathBuf {
    dir.join("sled.before")
}

fn closed_path(dir: &Path) -> PathBuf {
    dir.join("closed")
}

fn old_dir(dir: &Path) -> PathBuf {
    dir.join("sled.old")
}

pub(super) fn create_dir(dir: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(dir)
}

pub(super) fn remove_dir(dir: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Closes a database so that all of it would survive a power loss.
pub(super) fn close(db: sled::Db, dir: &Path) -> Result<(), StoreError> {
    disk::guarded(|| db.flush().map(|_| ()))?;
    drop(db);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(&dir.join("blobs"))?;
    Ok(sync_dir(dir)?)
}

/// Copies all rows to a new database in a new directory `to`.
pub(super) fn copy(from: &sled::Db, to: &Path) -> Result<(), OpenError> {
    create_dir(to)?;
    let db = disk::open(to)?;
    let mut next = Vec::new();
    loop {
        let rows = disk::rows(from, &[], &next, BATCH)?;
        let mut batch = sled::Batch::default();
        for (key, value) in &rows {
            batch.insert(key.as_slice(), value.as_slice());
        }
        disk::guarded(|| db.apply_batch(batch))?;
        match rows.last() {
            Some((key, _)) => next = [key.as_slice(), &[0]].concat(),
            None => return Ok(close(db, to)?),
        }
    }
}

/// Makes a copy of the database without old versions of anything. What is there stays as it is, also when this fails.
fn copy_for_rewrite(dir: &Path, db: &sled::Db) -> Result<(), OpenError> {
    let made = || {
        let mut batch = sled::Batch::default();
        disk::remove(db, &mut batch, &disk::named(kind::META, migrate::COMPACT))?;
        remove_dir(&new_dir(dir))?;
        copy(db, &new_dir(dir))?;
        let new = disk::open(&new_dir(dir))?;
        disk::guarded(|| new.apply_batch(batch))?;
        Ok(close(new, &new_dir(dir))?)
    };
    let copied = made();
    if copied.is_err() {
        // Half a copy would only take the room that is missing.
        let _ = remove_dir(&new_dir(dir));
    }
    copied
}

/// Puts the copy in the place of the database.
fn swap(dir: &Path, db: sled::Db) -> Result<sled::Db, OpenError> {
    drop(db);
    fs::rename(sled_dir(dir), old_dir(dir))?;
    fs::rename(new_dir(dir), sled_dir(dir))?;
    sync_dir(dir)?;
    remove_dir(&old_dir(dir))?;
    disk::open(&sled_dir(dir))
}

/// Completes or undoes a [`swap`] that was cut off.
fn finish_swap(dir: &Path) -> std::io::Result<()> {
    if old_dir(dir).exists() {
        if sled_dir(dir).exists() {
            remove_dir(&old_dir(dir))?;
        } else {
            fs::rename(old_dir(dir), sled_dir(dir))?;
        }
        sync_dir(dir)?;
    }
    if sled_dir(dir).exists() {
        remove_dir(&new_dir(dir))?;
    }
    Ok(())
}

/// The journal's end as the database has it, checked together with the items it is about and their indexes.
fn check_end(db: &sled::Db) -> Result<Head, OpenError> {
    let last = disk::last_number(db, kind::ENTRY)?;
    let before = last.saturating_sub(CHECKED_ENTRIES);
    let mut head = if before == 0 { Head::default() } else { end_at(db, before)? };
    let mut items = BTreeMap::new();
    for seq in before + 1..=last {
        let recorded = recorded(db, seq)?;
        head.follow(&recorded).map_err(|broken| OpenError::Damaged(broken.to_string()))?;
        note_entry(db, &recorded.entry, &mut items)?;
    }
    let mut indexed = migrate::indexes_are_ours(db)?;
    for (number, rev) in items {
        check_item(db, number, rev)?;
        indexed = indexed && is_indexed(db, number)?;
    }
    if !indexed {
        tracing::info!("making the indexes of the store anew");
        migrate::index_anew(db)?;
    }
    Ok(head)
}

fn end_at(db: &sled::Db, seq: u64) -> Result<Head, StoreError> {
    let entry = recorded(db, seq)?.entry;
    Ok(Head { seq: entry.seq, hash: entry.hash })
}

/// The head file is written after the database: it can be behind, never before.
fn check_against(db: &sled::Db, remembered: &Head, found: &Head) -> Result<(), OpenError> {
    if remembered.seq > found.seq {
        return Err(OpenError::Damaged(format!(
            "its journal ends at entry {}, but entry {} had been written",
            found.seq, remembered.seq
        )));
    }
    if remembered.seq > 0 && end_at(db, remembered.seq)?.hash != remembered.hash {
        return Err(OpenError::Damaged(format!("journal entry {} is not the one that was written", remembered.seq)));
    }
    Ok(())
}

/// Notes up to which revision an entry knows its item, and that the entry is found by it.
pub(super) fn note_entry(db: &sled::Db, entry: &Entry, revs: &mut BTreeMap<Number, u64>) -> Result<(), StoreError> {
    let Some(number) = entry.item else { return Ok(()) };
    let rev = revs.entry(number).or_default();
    *rev = (*rev).max(entry.rev.unwrap_or_default());
    if disk::guarded(|| db.contains_key(disk::about(number, entry.seq)))? {
        Ok(())
    } else {
        Err(StoreError::Damaged(format!("journal entry {} is not found by its item {number}", entry.seq)))
    }
}

/// Is an item there, not behind the last entry about it, and found by its keys? `rev`: what the journal itself says. The
/// index of its entries may have lost as much as the item, where both stood in pages that sled took back.
pub(super) fn check_item(db: &sled::Db, number: Number, rev: u64) -> Result<(), StoreError> {
    let damaged = |why: &str| Err(StoreError::Damaged(format!("item {number} {why}")));
    let Some(item) = disk::read::<Item>(db, &disk::numbered(kind::ITEM, number))? else { return damaged("is missing") };
    if item.rev < rev {
        return damaged("is older than the journal says");
    }
    let last = disk::guarded(|| db.scan_prefix(disk::numbered(kind::ABOUT, number)).next_back().transpose())?;
    if let Some((key, _)) = last {
        let entry: Option<Entry> = disk::read(db, &disk::numbered(kind::ENTRY, disk::number_of(&key)?))?;
        if entry.and_then(|entry| entry.rev).is_some_and(|rev| rev > item.rev) {
            return damaged("is older than the journal says");
        }
    }
    for origin in &item.origins {
        if !disk::guarded(|| db.contains_key(disk::digested(kind::KEY, &origin.found.key)))? {
            return damaged("is not found by its key");
        }
    }
    Ok(())
}

/// Is an item in the indexes that follow from it? They can be made anew, so this is no damage.
pub(super) fn is_indexed(db: &sled::Db, number: Number) -> Result<bool, StoreError> {
    let Some(item) = disk::read::<Item>(db, &disk::numbered(kind::ITEM, number))? else { return Ok(false) };
    let there = |key: Vec<u8>| disk::guarded(|| db.contains_key(key));
    for (account, counted) in super::Counted::of(&item) {
        if !there(disk::counted(account, counted.at, number))? {
            return Ok(false);
        }
    }
    Ok(there(disk::numbered(kind::ACTIVE, number))? == item.is_active()
        && there(disk::numbered(kind::ATTENTION, number))? == item.attention())
}
