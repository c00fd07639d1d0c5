//! The directory a demo lives in, which is gone afterwards.
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A Unix socket's path may be this long on every system we know (104 bytes with the final zero on the strictest).
const LONGEST_SOCKET: usize = 100;

/// A directory of its own, for its owner only; removed when dropped.
#[derive(Debug)]
pub(super) struct Home {
    dir: PathBuf,
    keep: bool,
}

impl Home {
    /// Makes one below the system's place for such things, or below `/tmp` where that is too long for a socket.
    pub(super) fn new() -> io::Result<Self> {
        let mut parent = std::env::temp_dir();
        if parent.as_os_str().len() + "/oyez-demo-01234567/socket".len() > LONGEST_SOCKET {
            parent = PathBuf::from("/tmp");
        }
        let dir = parent.join(format!("oyez-demo-{:08x}", rand::random::<u32>()));
        // Fails where it exists: nobody else's directory is used, or removed afterwards.
        fs::DirBuilder::new().mode(0o700).create(&dir)?;
        Ok(Self { dir, keep: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// It stays: something is to be looked into.
    pub(super) fn keep(mut self) -> PathBuf {
        self.keep = true;
        self.dir.clone()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed is left to the system's own cleaning.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}
