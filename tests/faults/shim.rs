//! The layer under the program (`shim/shim.c`): compiled here, told what to do through a mapped file.
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use oyez::clock::Clock;

/// Compiles the shim into a directory; `None`: there is no C compiler here.
pub fn compile(dir: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim/shim.c");
    let library = dir.join("shim.so");
    let args = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread", "-o"];
    let output = match Command::new("cc").args(args).arg(&library).arg(source).arg("-ldl").output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("cc: {error}"),
    };
    assert!(output.status.success(), "cc: {}", String::from_utf8_lossy(&output.stderr));
    Some(library)
}

/// Where in a write the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Before,
    After,
    /// Half of the data is written.
    Torn,
}

/// What a change of a file was.
pub const OPS: [&str; 12] = [
    "",
    "create",
    "truncate",
    "write",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "rename",
    "unlink",
    "mkdir",
    "rmdir",
    "mark",
];

/// How a full or broken disk answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    Well,
    /// Every write and every new file: no space left.
    Full,
    /// Every sync: input/output error.
    Broken,
}

/// Fields of `struct control` in shim.c, 8 bytes each.
enum Field {
    Real0,
    Start,
    Speed,
    Skew,
    KillAt,
    KillHow,
    Changes,
    Full,
    Refused,
    KilledOp,
    KilledPath,
}

const SIZE: usize = 10 * 8 + 168;

/// The control file of one world, and its clock: the true one, by which the forum and the network go.
#[derive(Debug)]
pub struct Control {
    file: File,
    path: PathBuf,
    pace: Mutex<Pace>,
}

#[derive(Debug, Clone, Copy)]
struct Pace {
    real0: SystemTime,
    start: Timestamp,
    speed: i64,
}

#[expect(clippy::disallowed_methods, reason = "the world's clock is made from it")]
fn real() -> SystemTime {
    SystemTime::now()
}

impl Control {
    pub fn new(path: PathBuf, start: Timestamp, speed: i64) -> Self {
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(SIZE as u64).unwrap();
        let control = Self { file, path, pace: Mutex::new(Pace { real0: real(), start, speed }) };
        control.write_pace();
        control
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write_pace(&self) {
        let pace = *self.pace.lock().unwrap();
        let since = pace.real0.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        self.set(Field::Real0, i64::try_from(since.as_nanos()).unwrap());
        self.set(Field::Start, i64::try_from(pace.start.as_nanosecond()).unwrap());
        self.set(Field::Speed, pace.speed);
    }

    /// Another speed from now on. The program must not be running.
    pub fn set_speed(&self, speed: i64) {
        let start = self.now();
        *self.pace.lock().unwrap() = Pace { real0: real(), start, speed };
        self.write_pace();
    }

    fn set(&self, field: Field, value: i64) {
        self.file.write_all_at(&value.to_ne_bytes(), field as u64 * 8).unwrap();
    }

    fn get(&self, field: Field) -> i64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, field as u64 * 8).unwrap();
        i64::from_ne_bytes(bytes)
    }

    /// The program's wall clock is wrong by this from now on.
    pub fn skew(&self, by: SignedDuration) {
        self.set(Field::Skew, i64::try_from(by.as_nanos()).unwrap());
    }

    /// The next process dies at its n-th change of a file, counted from 1; 0: it does not.
    pub fn kill_at(&self, n: i64, how: How) {
        self.set(Field::Changes, 0);
        self.set(Field::KilledOp, 0);
        self.set(Field::KillHow, how as i64);
        self.set(Field::KillAt, n);
    }

    /// At which change the process was killed: what, and which file.
    pub fn killed(&self) -> Option<String> {
        let op = usize::try_from(self.get(Field::KilledOp)).unwrap();
        if op == 0 {
            return None;
        }
        let mut bytes = [0; 168];
        self.file.read_exact_at(&mut bytes, Field::KilledPath as u64 * 8).unwrap();
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        let path = String::from_utf8_lossy(&bytes[..end]).into_owned();
        // sled names its snapshots by the place in its log.
        let path = match path.find("/snap.") {
            Some(at) if path.ends_with(".generating") => format!("{}/snap.N.generating", &path[..at]),
            Some(at) => format!("{}/snap.N", &path[..at]),
            None => path,
        };
        Some(format!("{} {}", OPS[op], if path.is_empty() { "/" } else { &path }))
    }

    pub fn disk(&self, disk: Disk) {
        if disk != Disk::Well {
            self.set(Field::Refused, 0);
        }
        self.set(Field::Full, disk as i64);
    }

    /// How many changes the full or broken disk refused.
    pub fn refused(&self) -> i64 {
        self.get(Field::Refused)
    }
}

impl Clock for Control {
    fn now(&self) -> Timestamp {
        let pace = *self.pace.lock().unwrap();
        // The real clock may be set meanwhile; a little back is no reason to fail.
        let since = real().duration_since(pace.real0).unwrap_or(Duration::ZERO);
        pace.start + since * u32::try_from(pace.speed).unwrap()
    }
}
