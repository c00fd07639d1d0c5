//! The way out: everything as JSON lines, and back; and a copy that can be opened.
//!
//! The first line names the format, the last one has the number of lines between and a digest of their bytes: a file that
//! was cut off or altered is refused. Each line between is an object with one field, which says what it is. Rows of
//! indexes that follow from other records are left out and made anew.
use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::commit::{Pair, write_item};
use super::disk::{self, kind};
use super::head::{HeadFile, sync_dir};
use super::open;
use super::{AccountRecord, Disk, OpenError, SourceRecord, Store, StoreError, migrate};
use crate::item::{Item, Number};
use crate::journal::{Broken, Digest, Head, Recorded};

/// A line can hold one record.
const LINE_BYTES: u64 = 32 << 20;
/// Lines imported at a time.
const BATCH: usize = 500;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    OyezExport { format: u32 },
    Item(Box<Item>),
    Account(AccountRecord),
    Source(SourceRecord),
    Contact(String, jiff::Timestamp),
    Fingerprint(Digest, String),
    Key(Digest, Number),
    Meta(String, Value),
    Entry(Box<Recorded>),
    End { lines: u64, sha256: Digest },
}

/// Why an export or a backup was not made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The target could not be written.
    #[error("cannot write it: {0}")]
    Io(#[from] io::Error),
    /// The copy could not be made.
    #[error("cannot make the copy: {0}")]
    Copy(OpenError),
    /// There is something in the target already.
    #[error("`{0}` is there already")]
    Exists(String),
}

/// Why an export was not imported. The target is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The target is not an empty or missing directory.
    #[error("`{0}` is not empty: import into a new directory")]
    NotEmpty(String),
    /// It is not a whole export.
    #[error("line {line}: {why}")]
    Line {
        /// From 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// The journal in it was altered.
    #[error("the journal in it does not verify")]
    Journal(#[from] Broken),
    /// The new store could not be made.
    #[error("cannot make the store")]
    Open(#[from] OpenError),
    /// The export could not be read.
    #[error("cannot read the export")]
    Io(#[from] io::Error),
}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> Self {
        ImportError::Open(error.into())
    }
}

impl Store {
    /// Writes everything as JSON lines, as it is at one moment. Changes wait while it is gathered in a file beside the
    /// store, not while `writer` takes it.
    pub fn export(&self, mut writer: impl Write) -> Result<(), ExportError> {
        let path = self.0.dir.join(format!("export.{:016x}", rand::random::<u64>()));
        let file = fs::File::options().read(true).write(true).create_new(true).open(&path)?;
        // Without a name it goes away however this ends.
        fs::remove_file(&path)?;
        let mut out = BufWriter::new(file);
        write_lines(&self.read(), &mut out)?;
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        io::copy(&mut file, &mut writer)?;
        Ok(writer.flush()?)
    }

    /// Makes a store in `dir`, which must be empty or not there, from an export.
    pub fn import(dir: &Path, reader: impl Read) -> Result<Store, ImportError> {
        if !open::is_vacant(dir)? {
            return Err(ImportError::NotEmpty(dir.display().to_string()));
        }
        let existed = dir.exists();
        let lock = open::prepare(dir)?;
        let made = open::begin_filling(dir).map_err(OpenError::Io).map_err(ImportError::Open).and_then(|()| {
            let head = read_into(dir, reader)?;
            Ok(finish(dir, &head).map_err(OpenError::Io)?)
        });
        drop(lock);
        // Whole lines can still be no whole store: an entry about an item that is not there.
        let opened = made.and_then(|()| {
            let store = Store::open(dir)?;
            store.verify()?;
            Ok(store)
        });
        if opened.is_err() {
            // Whatever is there was made here: the directory was vacant.
            open::empty(dir)?;
            for name in ["unfinished", "lock"] {
                open::remove_file(&dir.join(name))?;
            }
            if !existed {
                fs::remove_dir(dir)?;
            }
        }
        opened
    }

    /// Makes a copy in `dir`, which must be empty or not there, that can be opened as a store. Changes wait meanwhile.
    pub fn backup(&self, dir: &Path) -> Result<(), ExportError> {
        if !open::is_vacant(dir)? {
            return Err(ExportError::Exists(dir.display().to_string()));
        }
        let lock = open::prepare(dir).map_err(ExportError::Copy)?;
        open::begin_filling(dir)?;
        let disk = self.read();
        open::copy(&disk.db, &open::new_dir(dir)).map_err(ExportError::Copy)?;
        let head = disk.head;
        drop(disk);
        finish(dir, &head)?;
        drop(lock);
        Ok(())
    }
}

/// Gives a new database its name, and a head; then it is a store.
fn finish(dir: &Path, head: &Head) -> io::Result<()> {
    fs::rename(open::new_dir(dir), open::sled_dir(dir))?;
    sync_dir(dir)?;
    HeadFile::create(&open::head_path(dir), migrate::FORMAT, head)?;
    open::filled(dir)
}

struct Lines<'a, W: Write> {
    out: &'a mut W,
    hasher: Sha256,
    lines: u64,
}

impl<W: Write> Lines<'_, W> {
    fn line(&mut self, line: &Line) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.hasher.update(&bytes);
        self.lines += 1;
        self.out.write_all(&bytes)
    }
}

fn write_lines(disk: &Disk, out: &mut impl Write) -> Result<(), ExportError> {
    let mut lines = Lines { out, hasher: Sha256::new(), lines: 0 };
    lines.line(&Line::OyezExport { format: migrate::FORMAT })?;
    let records = [kind::ITEM, kind::ACCOUNT, kind::SOURCE, kind::CONTACT, kind::FINGERPRINT, kind::META];
    for kind in records {
        let mut next = Vec::new();
        loop {
            let stride = disk::records(&disk.db, &[kind], &next, BATCH)?;
            for (key, bytes) in &stride {
                if let Some(line) = line_of(kind, key, bytes)? {
                    lines.line(&line)?;
                }
            }
            match stride.last() {
                Some((key, _)) => next = disk::after(key),
                None => break,
            }
        }
    }
    for (key, value) in disk::rows(&disk.db, &[kind::KEY], &[], usize::MAX)? {
        lines.line(&Line::Key(digest_in(&key)?, disk::number_of(&value)?))?;
    }
    for seq in 1..=disk.head.seq {
        lines.line(&Line::Entry(Box::new(super::recorded(&disk.db, seq)?)))?;
    }
    let end = Line::End { lines: lines.lines, sha256: Digest(lines.hasher.clone().finalize().into()) };
    Ok(lines.line(&end)?)
}

fn line_of(kind: u8, key: &[u8], bytes: &[u8]) -> Result<Option<Line>, StoreError> {
    Ok(Some(match kind {
        kind::ITEM => Line::Item(disk::parse(key, bytes)?),
        kind::ACCOUNT => Line::Account(disk::parse(key, bytes)?),
        kind::SOURCE => Line::Source(disk::parse(key, bytes)?),
        kind::CONTACT => {
            let (contact, at) = disk::parse(key, bytes)?;
            Line::Contact(contact, at)
        }
        kind::FINGERPRINT => Line::Fingerprint(digest_in(key)?, disk::parse(key, bytes)?),
        _ => {
            let name = String::from_utf8_lossy(&key[1..]).trim_end_matches('\0').to_owned();
            // These are about this database, not about what is in it.
            if matches!(name.as_str(), migrate::FORMAT_NAME | migrate::COMPACT | migrate::INDEXED_BY) {
                return Ok(None);
            }
            Line::Meta(name, disk::parse(key, bytes)?)
        }
    }))
}

fn digest_in(key: &[u8]) -> Result<Digest, StoreError> {
    let digest = key.get(1..).and_then(|digest| digest.try_into().ok());
    digest.map(Digest).ok_or_else(|| StoreError::Damaged("a row without its digest".to_owned()))
}

/// Fills a new database; the journal's end.
fn read_into(dir: &Path, reader: impl Read) -> Result<Head, ImportError> {
    open::create_dir(&open::new_dir(dir))?;
    let db = disk::open(&open::new_dir(dir))?;
    migrate::mark(&db)?;
    let mut reader = BufReader::new(reader);
    let mut hasher = Sha256::new();
    let mut head = Head::default();
    let mut batch = sled::Batch::default();
    let mut bytes = Vec::new();
    let mut number = 0;
    loop {
        let wrong = |why: &str| ImportError::Line { line: number + 1, why: why.to_owned() };
        bytes.clear();
        (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut bytes)?;
        if bytes.last() != Some(&b'\n') {
            return Err(wrong("the export is cut off here"));
        }
        let line: Line = serde_json::from_slice(&bytes).map_err(|error| wrong(&error.to_string()))?;
        if let Some(unread) = unread(&line, &bytes).map_err(|error| wrong(&error.to_string()))? {
            return Err(wrong(&format!("this version does not know `{unread}`: import it with the one that wrote it")));
        }
        match (&line, number) {
            (Line::OyezExport { format }, 0) => migrate::check(*format)?,
            (Line::OyezExport { .. }, _) => return Err(wrong("a second header")),
            (_, 0) => return Err(wrong("this is no export of oyez")),
            (Line::End { lines, sha256 }, _) => {
                if *lines != number || *sha256 != Digest(hasher.finalize().into()) {
                    return Err(wrong("the lines before are not those that were exported"));
                }
                if !reader.fill_buf()?.is_empty() {
                    return Err(wrong("something follows the end"));
                }
                break;
            }
            _ => put_line(&db, &mut batch, line, &mut head)?,
        }
        hasher.update(&bytes);
        number += 1;
        if number % BATCH as u64 == 0 {
            disk::guarded(|| db.apply_batch(std::mem::take(&mut batch)))?;
        }
    }
    disk::guarded(|| db.apply_batch(batch))?;
    open::close(db, &open::new_dir(dir))?;
    Ok(head)
}

/// What stands in the bytes of a line and not in what was read of it, if anything: a later version's field, which would
/// be lost. An earlier version may have said less, and said in words what is left out now: nothing.
fn unread(line: &Line, bytes: &[u8]) -> serde_json::Result<Option<String>> {
    if serde_json::to_vec(line)? == bytes.trim_ascii_end() {
        return Ok(None);
    }
    Ok(more_in(&serde_json::from_slice(bytes)?, &serde_json::to_value(line)?))
}

/// The path to something that `written` says and `read` does not.
fn more_in(written: &Value, read: &Value) -> Option<String> {
    let below = |name: String, rest: String| Some(if rest.is_empty() { name } else { format!("{name}.{rest}") });
    let nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => written.iter().find_map(|(name, value)| {
            let rest = match read.get(name) {
                Some(read) => more_in(value, read),
                None => (!nothing(value)).then(String::new),
            };
            rest.and_then(|rest| below(name.clone(), rest))
        }),
        (Value::Array(written), Value::Array(read)) if written.len() == read.len() => {
            let mut pairs = written.iter().zip(read).enumerate();
            pairs.find_map(|(at, (written, read))| more_in(written, read).and_then(|rest| below(at.to_string(), rest)))
        }
        _ => (written != read).then(String::new),
    }
}

fn put_line(db: &sled::Db, batch: &mut sled::Batch, line: Line, head: &mut Head) -> Result<(), ImportError> {
    let hashed = |kind: u8, digest: &Digest| [&[kind], digest.0.as_slice()].concat();
    match line {
        Line::OyezExport { .. } | Line::End { .. } => {}
        Line::Item(item) => write_item(db, batch, &Pair { old: None, new: *item })?,
        Line::Account(account) => disk::put(db, batch, &disk::named(kind::ACCOUNT, &account.name), &account)?,
        Line::Source(source) => disk::put(db, batch, &disk::named(kind::SOURCE, &source.name), &source)?,
        Line::Contact(contact, at) => {
            disk::put(db, batch, &disk::digested(kind::CONTACT, &contact), &(contact.as_str(), at))?;
        }
        Line::Fingerprint(key, fingerprint) => {
            disk::put(db, batch, &hashed(kind::FINGERPRINT, &key), &fingerprint)?;
        }
        Line::Key(key, number) => batch.insert(hashed(kind::KEY, &key), number.to_be_bytes().as_slice()),
        Line::Meta(name, value) => disk::put(db, batch, &disk::named(kind::META, &name), &value)?,
        Line::Entry(recorded) => {
            head.follow(&recorded)?;
            disk::put(db, batch, &disk::numbered(kind::ENTRY, head.seq), &recorded.entry)?;
            disk::put(db, batch, &disk::numbered(kind::WORDS, head.seq), &recorded.words)?;
            if let Some(number) = recorded.entry.item {
                batch.insert(disk::about(number, head.seq), &[]);
            }
        }
    }
    Ok(())
}
