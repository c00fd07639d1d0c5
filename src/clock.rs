//! Where the time comes from. Nothing else in the crate asks the system what time it is.
use std::sync::Mutex;
use std::time::Instant;

use jiff::Timestamp;

/// The edge of the world that tells the time.
pub trait Clock: Send + Sync {
    /// The moment it is now.
    fn now(&self) -> Timestamp;
    /// Believe the wall clock anew (only while nothing may leave: `lifecycle.md` 3.9). Returns the time it then shows.
    fn reanchor(&self) -> Timestamp {
        self.now()
    }
}

/// The wall clock as it was at start, moved on by the monotonic clock: a wall clock that jumps while the service runs
/// shortens no window (`lifecycle.md` 3.9).
#[derive(Debug)]
pub struct SystemClock {
    anchor: Mutex<(Timestamp, Instant)>,
}

impl SystemClock {
    /// A clock that believes the wall clock of this moment.
    #[expect(clippy::new_without_default, reason = "it reads the clock: not a value one gets by default")]
    #[expect(clippy::disallowed_methods, reason = "the one place that may")]
    pub fn new() -> Self {
        Self { anchor: Mutex::new((Timestamp::now(), Instant::now())) }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let (wall, start) = *self.anchor.lock().expect("no holder of this lock can panic");
        wall + start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that may")]
    fn reanchor(&self) -> Timestamp {
        let mut anchor = self.anchor.lock().expect("no holder of this lock can panic");
        *anchor = (Timestamp::now(), Instant::now());
        anchor.0
    }
}

/// A clock that stands still until it is told to move: for tests.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Timestamp>,
}

impl ManualClock {
    /// Stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self { now: Mutex::new(start) }
    }

    /// Moves by `by`.
    pub fn advance(&self, by: std::time::Duration) {
        let mut now = self.now.lock().expect("no holder of this lock can panic");
        *now = now.checked_add(by).expect("tests stay within the years jiff knows");
    }

    /// Jumps to `to`, backwards too.
    pub fn set(&self, to: Timestamp) {
        *self.now.lock().expect("no holder of this lock can panic") = to;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().expect("no holder of this lock can panic")
    }
}
