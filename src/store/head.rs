//! Evidence that stands outside the database: how far its journal had come, and the lock on the whole directory.
//!
//! sled mends what it finds torn by cutting it off, without a word. The head file remembers the journal's end after each
//! durable change, so that a database that lost its own end is noticed. It is written after the database was synced
//! and is not synced itself each time: an older head after a power loss proves less, never something wrong.
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::OpenError;
use crate::journal;

/// Two places, written in turn, each within one sector: a torn write loses one of them at most.
const SLOT_BYTES: usize = 512;

#[derive(Serialize, Deserialize)]
struct Slot {
    /// Of the store, as in `migrate.rs`.
    format: u32,
    head: journal::Head,
    /// Of `format` and `head`.
    check: journal::Digest,
}

fn check(format: u32, head: &journal::Head) -> journal::Digest {
    journal::Digest::of(format!("{format} {} {}", head.seq, head.hash).as_bytes())
}

/// The open head file.
#[derive(Debug)]
pub(super) struct HeadFile {
    file: File,
    turn: bool,
}

impl HeadFile {
    /// Opens it; `None`: there is none. The format and the journal's head of the newest readable slot.
    pub(super) fn open(path: &Path) -> Result<Option<(Self, u32, journal::Head)>, OpenError> {
        let file = match File::options().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut newest: Option<Slot> = None;
        for turn in [false, true] {
            let mut bytes = vec![0; SLOT_BYTES];
            if file.read_exact_at(&mut bytes, place(turn)).is_err() {
                continue;
            }
            let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
            let Ok(slot) = serde_json::from_slice::<Slot>(&bytes[..end]) else { continue };
            if slot.check == check(slot.format, &slot.head)
                && newest.as_ref().is_none_or(|n| n.head.seq <= slot.head.seq)
            {
                newest = Some(slot);
            }
        }
        let Some(slot) = newest else {
            return Err(OpenError::Damaged(format!("`{}` cannot be read", path.display())));
        };
        Ok(Some((Self { file, turn: false }, slot.format, slot.head)))
    }

    /// Makes it, and syncs it.
    pub(super) fn create(path: &Path, format: u32, head: &journal::Head) -> io::Result<Self> {
        // Whole under another name first: a half-made head would look like damage.
        let new = path.with_extension("new");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&new)?;
        let mut made = Self { file, turn: false };
        made.write(format, head)?;
        made.write(format, head)?;
        made.sync()?;
        std::fs::rename(&new, path)?;
        sync_dir(path.parent().expect("the head file is in the store's directory"))?;
        Ok(made)
    }

    /// Remembers the journal's end.
    pub(super) fn write(&mut self, format: u32, head: &journal::Head) -> io::Result<()> {
        let slot = Slot { format, head: *head, check: check(format, head) };
        let mut bytes = serde_json::to_vec(&slot).map_err(io::Error::other)?;
        bytes.push(b'\n');
        bytes.resize(SLOT_BYTES, b' ');
        self.file.write_all_at(&bytes, place(self.turn))?;
        self.turn = !self.turn;
        Ok(())
    }

    /// Makes it survive a power loss.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

fn place(turn: bool) -> u64 {
    if turn { 4096 } else { 0 }
}

/// Makes new names in a directory survive a power loss.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// One process at a time. Kept as long as the file is open; the system lets go of it however the process ends.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    // A child that this process has just started shares the lock for the moment until it is another program.
    for _ in 0..30 {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    Err(OpenError::InUse)
}
