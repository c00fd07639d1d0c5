//! The `file` platform: appends each post as one JSON object a line. The dry run is this platform.
//!
//! A post is `{"item","account","text","length","media","language","url","key","at"}`, `url` being the item's address.
//! A file cannot be rewritten under its reader, so what happens later is a line too: `{"action":"amend","key",…}` with
//! the new text, and `{"action":"retract","key"}`. The id of a post is its key. `-` is standard output, where nothing
//! can be read back: after a lost answer a person is asked.
use std::fs::{File as FsFile, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Claim, Limits, Platform, Published, ReadBack, SendError, StillWanted};
use crate::item::Post;

/// How much of the file's end is searched for a post. Ten thousand posts and more.
const MAX_SEARCHED_BYTES: u64 = 32 * 1024 * 1024;
/// As on the other platforms: how far a line's time may be before the attempt.
const CLOCK_SLACK: Duration = Duration::from_secs(10 * 60);

/// One file, or standard output.
#[derive(Debug)]
pub struct File {
    target: Arc<Target>,
    limit: usize,
}

#[derive(Debug)]
struct Target {
    /// `None`: standard output.
    path: Option<PathBuf>,
    /// One line at a time, also between two accounts' tasks that share this value.
    turn: Mutex<()>,
}

impl File {
    /// Appends to `path` (`-`: standard output); posts are fitted to `limit` grapheme clusters. Opens nothing yet.
    pub fn new(path: &Path, limit: usize) -> Self {
        let path = (path != Path::new("-")).then(|| path.to_owned());
        Self { target: Arc::new(Target { path, turn: Mutex::new(()) }), limit }
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Target) -> T + Send + 'static) -> Result<T, String> {
        let target = Arc::clone(&self.target);
        tokio::task::spawn_blocking(move || {
            let _turn = target.turn.lock().unwrap_or_else(PoisonError::into_inner);
            work(&target)
        })
        .await
        .map_err(|e| format!("writing was interrupted: {e}"))
    }

    async fn append(&self, key: String, line: Value) -> Result<(), SendError> {
        self.blocking(move |target| target.append(&key, &line)).await.map_err(|reason| SendError::Unsure { reason })?
    }

    async fn later(&self, key: String, line: Value) -> Result<(), SendError> {
        // A second line that says the same does no harm, so here the unknown is to be tried again.
        self.append(key, line).await.map_err(|error| match error {
            SendError::Unsure { reason } => SendError::Retry { after: None, reason },
            SendError::Retry { .. } | SendError::Refused { .. } | SendError::Locked { .. } => error,
        })
    }
}

/// Limits of a file whose posts may have `max_length` grapheme clusters, addresses counted as they are.
pub fn usual_limits(max_length: usize) -> Limits {
    Limits {
        max_length,
        url_length: None,
        // Images are named in the line, never fetched.
        max_media: 16,
        max_image_bytes: u64::MAX,
        max_image_pixels: u64::MAX,
        max_alt: 10_000,
        keeps_keys: true,
        counts_code_points: false,
    }
}

#[async_trait]
impl Platform for File {
    async fn limits(&self, _now: Timestamp) -> Limits {
        Limits { keeps_keys: self.target.is_file(), ..usual_limits(self.limit) }
    }

    async fn identity(&self) -> Result<String, SendError> {
        Ok(match &self.target.path {
            Some(path) => path.display().to_string(),
            None => "standard output".into(),
        })
    }

    async fn send(&self, claim: &Claim, now: Timestamp, wanted: StillWanted<'_>) -> Result<Published, SendError> {
        if !wanted() {
            return Err(SendError::stopped_in_time());
        }
        let post = claim.post();
        let line = json!({
            "item": claim.item(),
            "account": claim.account(),
            "text": post.text,
            "length": post.length,
            "media": post.media,
            "language": post.language,
            "url": claim.url(),
            "key": claim.key(),
            "at": now,
        });
        self.append(claim.key().to_owned(), line).await?;
        Ok(Published { id: Some(claim.key().to_owned()), url: None, warnings: Vec::new() })
    }

    async fn may_repeat(&self, _first_use: Timestamp, _now: Timestamp) -> bool {
        // The keys are in the file: it removes the double for as long as it exists.
        self.target.is_file()
    }

    async fn read_back(&self, post: &Post, item_url: &str, since: Timestamp) -> ReadBack {
        let (text, url) = (post.text.clone(), item_url.to_owned());
        match self.blocking(move |target| target.read_back(&text, &url, since)).await {
            Ok(answer) => answer,
            Err(reason) => ReadBack::Undecided(reason),
        }
    }

    async fn amend(&self, id: &str, post: &Post) -> Result<Published, SendError> {
        let line = json!({
            "action": "amend",
            "key": id,
            "text": post.text,
            "length": post.length,
            "media": post.media,
            "language": post.language,
        });
        self.later(id.to_owned(), line).await?;
        Ok(Published { id: Some(id.to_owned()), url: None, warnings: Vec::new() })
    }

    async fn retract(&self, id: &str) -> Result<(), SendError> {
        self.later(id.to_owned(), json!({ "action": "retract", "key": id })).await
    }
}

impl Target {
    /// A regular file, or one that is yet to be made. Terminals keep nothing that could be read back.
    fn is_file(&self) -> bool {
        self.path.as_deref().is_some_and(|path| std::fs::metadata(path).map_or(true, |m| m.is_file()))
    }

    fn append(&self, key: &str, line: &Value) -> Result<(), SendError> {
        let mut bytes = line.to_string().into_bytes();
        bytes.push(b'\n');
        let Some(path) = &self.path else {
            let mut out = io::stdout().lock();
            return out.write_all(&bytes).and_then(|()| out.flush()).map_err(|e| {
                // How much of it was seen at the other end is anybody's guess.
                SendError::Unsure { reason: format!("cannot write to standard output: {e}") }
            });
        };
        let not_written = |what: &str, e: io::Error| SendError::Retry {
            after: None,
            reason: format!("cannot {what} `{}`: {e}", path.display()),
        };
        let kind = std::fs::metadata(path).map(|m| m.file_type());
        let is_new = kind.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        if kind.as_ref().is_ok_and(|k| k.is_fifo() || k.is_socket()) {
            // Opening a pipe that nobody reads would wait for ever.
            return Err(not_written("append to", io::Error::other("it is a pipe; `-` writes to standard output")));
        }
        if kind.is_ok_and(|k| k.is_char_device()) {
            let mut device = OpenOptions::new().append(true).open(path).map_err(|e| not_written("open", e))?;
            return device
                .write_all(&bytes)
                .map_err(|e| SendError::Unsure { reason: format!("cannot write to `{}`: {e}", path.display()) });
        }
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).open(path).map_err(|e| not_written("open", e))?;
        let end = mend_end(&mut file).map_err(|e| not_written("mend the end of", e))?;
        match last_word(&mut file, key).map_err(|e| not_written("read", e))? {
            Some(said) if said.get("action") == line.get("action") && said.get("text") == line.get("text") => {
                // It is there already, from an attempt whose end we did not see: make sure that it stays.
                return file.sync_all().map_err(|e| unsure_of(path, e));
            }
            Some(said) if line.get("action").is_none() && said.get("action").is_none_or(|a| a != "retract") => {
                return file.sync_all().map_err(|e| unsure_of(path, e));
            }
            Some(_) | None => {}
        }
        if let Err(e) = file.write_all(&bytes) {
            // A full disk leaves half a line. Take it away; should even that fail, the next append mends it.
            let undone = file.set_len(end).and_then(|()| file.sync_all());
            return Err(match undone {
                Ok(()) => not_written("write to", e),
                Err(_) => unsure_of(path, e),
            });
        }
        file.sync_all().map_err(|e| unsure_of(path, e))?;
        if is_new {
            // The file's name is in its directory, which has to reach the disk as well.
            let directory = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
            FsFile::open(directory).and_then(|d| d.sync_all()).map_err(|e| unsure_of(path, e))?;
        }
        Ok(())
    }

    fn read_back(&self, text: &str, url: &str, since: Timestamp) -> ReadBack {
        let Some(path) = self.path.as_deref().filter(|_| self.is_file()) else {
            return ReadBack::Undecided("what was written there cannot be read again".into());
        };
        let mut file = match FsFile::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return ReadBack::Absent,
            Err(e) => return ReadBack::Undecided(format!("cannot open `{}`: {e}", path.display())),
        };
        let since = since.checked_sub(CLOCK_SLACK).unwrap_or(Timestamp::MIN);
        let mut found = None;
        let searched = each_line(&mut file, |line| {
            let Ok(line) = serde_json::from_slice::<Value>(line) else { return };
            let at = line.get("at").and_then(Value::as_str).and_then(|at| at.parse::<Timestamp>().ok());
            let is_it = line.get("text").and_then(Value::as_str) == Some(text)
                && line.get("url").and_then(Value::as_str) == Some(url)
                && at.is_some_and(|at| at >= since);
            if is_it && let Some(key) = line.get("key").and_then(Value::as_str) {
                found = Some(key.to_owned());
            }
        });
        match (found, searched) {
            (_, Err(e)) => ReadBack::Undecided(format!("cannot read `{}`: {e}", path.display())),
            (Some(key), Ok(_)) => ReadBack::Found(Published { id: Some(key), url: None, warnings: Vec::new() }),
            (None, Ok(_)) => ReadBack::Absent,
        }
    }
}

fn unsure_of(path: &Path, e: io::Error) -> SendError {
    SendError::Unsure { reason: format!("cannot make sure of the line in `{}`: {e}", path.display()) }
}

/// Ends the last line where a crash or a full disk cut it off, and returns the file's length. The rest of a line of
/// ours is taken away; a whole object that only lacks its line end, and what is not ours, get one.
fn mend_end(file: &mut FsFile) -> io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    if length == 0 {
        return Ok(0);
    }
    let mut last_byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last_byte)?;
    if last_byte == *b"\n" {
        return Ok(length);
    }
    let from = length.saturating_sub(MAX_SEARCHED_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(MAX_SEARCHED_BYTES).read_to_end(&mut tail)?;
    let start = tail.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let last = &tail[start..];
    let torn = last.starts_with(b"{") && serde_json::from_slice::<Value>(last).is_err();
    if torn && (start > 0 || from == 0) {
        let kept = from + start as u64;
        file.set_len(kept)?;
        return Ok(kept);
    }
    file.write_all(b"\n")?;
    Ok(length + 1)
}

/// Calls `see` with each whole line of the file's searched end.
fn each_line(file: &mut FsFile, mut see: impl FnMut(&[u8])) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_SEARCHED_BYTES)))?;
    let mut reader = BufReader::new(file.take(MAX_SEARCHED_BYTES));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        see(&line);
        line.clear();
    }
    Ok(())
}

/// The last line with this key.
fn last_word(file: &mut FsFile, key: &str) -> io::Result<Option<Value>> {
    let needle = Value::from(key).to_string();
    let needle = memchr::memmem::Finder::new(&needle);
    let mut last = None;
    each_line(file, |line| {
        // Parsing every line of a long file for one key would be a waste.
        if needle.find(line).is_some()
            && let Ok(value) = serde_json::from_slice::<Value>(line)
            && value.get("key").and_then(Value::as_str) == Some(key)
        {
            last = Some(value);
        }
    })?;
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn claim(key: &str, text: &str) -> Claim {
        Claim {
            item: 7,
            account: "dry".into(),
            post: Post { text: text.into(), length: text.len(), ..Post::default() },
            key: key.into(),
            first_use: at("2026-11-23T10:00:00Z"),
            repeat: false,
            url: "https://forum.example/t/7".into(),
        }
    }

    struct Here {
        directory: tempfile::TempDir,
        file: File,
    }

    impl Here {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let file = File::new(&directory.path().join("posts.jsonl"), 300);
            Self { directory, file }
        }
        fn path(&self) -> PathBuf {
            self.directory.path().join("posts.jsonl")
        }
        fn lines(&self) -> Vec<Value> {
            let text = std::fs::read_to_string(self.path()).unwrap();
            assert!(text.ends_with('\n'));
            text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
        }
        async fn send(&self, key: &str, text: &str) -> Result<Published, SendError> {
            self.file.send(&claim(key, text), at("2026-11-23T10:00:00Z"), &|| true).await
        }
    }

    #[tokio::test]
    async fn a_post_is_a_line() {
        let here = Here::new();
        here.send("k1", "one\ntwo").await.unwrap();
        assert_eq!(
            here.lines(),
            [json!({"item": 7, "account": "dry", "text": "one\ntwo", "length": 7, "media": [], "language": null,
                "url": "https://forum.example/t/7", "key": "k1", "at": "2026-11-23T10:00:00Z"})]
        );
    }

    #[tokio::test]
    async fn promise_03_a_key_is_written_once() {
        let here = Here::new();
        here.send("k1", "one").await.unwrap();
        here.send("k2", "two").await.unwrap();
        let again = here.send("k1", "one").await.unwrap();
        assert_eq!(again.id.as_deref(), Some("k1"));
        assert_eq!(here.lines().len(), 2);
        assert!(here.file.may_repeat(at("2020-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z")).await);
    }

    #[tokio::test]
    async fn what_happens_later_is_a_line_too() {
        let here = Here::new();
        here.send("k1", "one").await.unwrap();
        let post = Post { text: "better".into(), ..Post::default() };
        here.file.amend("k1", &post).await.unwrap();
        here.file.amend("k1", &post).await.unwrap();
        here.file.retract("k1").await.unwrap();
        here.file.retract("k1").await.unwrap();
        here.send("k1", "one").await.unwrap();
        let actions: Vec<_> = here.lines().iter().map(|l| l["action"].as_str().map(str::to_owned)).collect();
        assert_eq!(actions, [None, Some("amend".into()), Some("retract".into()), None]);
    }

    #[tokio::test]
    async fn a_torn_line_is_mended() {
        let here = Here::new();
        here.send("k1", "one").await.unwrap();
        let whole = std::fs::read(here.path()).unwrap();
        for cut in 1..whole.len() {
            let mut torn = whole.clone();
            torn.extend_from_slice(&whole[..cut]);
            std::fs::write(here.path(), torn).unwrap();
            here.send("k2", "two").await.unwrap();
            let keys: Vec<_> = here.lines().iter().map(|l| l["key"].as_str().unwrap().to_owned()).collect();
            let want: &[&str] = if cut + 1 == whole.len() { &["k1", "k1", "k2"] } else { &["k1", "k2"] };
            assert_eq!(keys, want, "cut after {cut}");
        }
    }

    #[tokio::test]
    async fn another_hands_words_are_left_alone() {
        let here = Here::new();
        std::fs::write(here.path(), "a note without an end").unwrap();
        here.send("k1", "one").await.unwrap();
        assert!(std::fs::read_to_string(here.path()).unwrap().starts_with("a note without an end\n{"));
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_tried_again() {
        let here = Here::new();
        let check_device = File::new(Path::new("/dev/full"), 300);
        let error = check_device.send(&claim("k1", "one"), at("2026-11-23T10:00:00Z"), &|| true).await.unwrap_err();
        assert!(matches!(error, SendError::Unsure { .. }), "{error:?}");
        let file = File::new(here.directory.path(), 300);
        let error = file.send(&claim("k1", "one"), at("2026-11-23T10:00:00Z"), &|| true).await.unwrap_err();
        assert!(matches!(error, SendError::Retry { .. }), "{error:?}");
        let file = File::new(&here.directory.path().join("no/such/posts.jsonl"), 300);
        let error = file.send(&claim("k1", "one"), at("2026-11-23T10:00:00Z"), &|| true).await.unwrap_err();
        assert!(
            matches!(&error, SendError::Retry { reason, .. } if reason.contains("no/such/posts.jsonl")),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn reading_back_finds_the_line() {
        let here = Here::new();
        let post = Post { text: "one".into(), ..Post::default() };
        let url = "https://forum.example/t/7";
        let since = at("2026-11-23T10:00:00Z");
        assert_eq!(here.file.read_back(&post, url, since).await, ReadBack::Absent);
        here.send("k1", "one").await.unwrap();
        let found = Published { id: Some("k1".into()), url: None, warnings: vec![] };
        assert_eq!(here.file.read_back(&post, url, since).await, ReadBack::Found(found));
        assert_eq!(here.file.read_back(&post, url, at("2026-11-23T12:00:00Z")).await, ReadBack::Absent);
        assert_eq!(here.file.read_back(&post, "https://forum.example/t/8", since).await, ReadBack::Absent);
        let out = File::new(Path::new("-"), 300);
        assert!(matches!(out.read_back(&post, url, since).await, ReadBack::Undecided(_)));
        assert!(!out.may_repeat(since, since).await);
    }
}
