//! The clock rules of `lifecycle.md` section 3: when an item has settled, when its veto window ends, and which moment
//! each account has for it. Values in, values out: the time always comes in as an argument.
//!
//! Everything here errs towards later. A sum that would leave the years jiff knows stops at the last moment it knows.
//!
//! ```
//! use std::time::Duration;
//! use jiff::Timestamp;
//! use oyez::hold;
//!
//! let settled: Timestamp = "2026-11-13T17:50:00Z".parse().unwrap();
//! let window_end = hold::window_end(settled, Duration::from_secs(24 * 3600));
//! assert_eq!(window_end.to_string(), "2026-11-14T17:50:00Z");
//! // A mirror may still come until three days after the item was first seen.
//! let ready = hold::ready(window_end, settled, Some(Duration::from_secs(3 * 24 * 3600)));
//! assert_eq!(ready.to_string(), "2026-11-16T17:50:00Z");
//! ```
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::config::HoldSettings;

mod forecast;
mod pacing;
mod quiet;
#[cfg(test)]
mod worked_examples;

pub use forecast::{Forecast, Leaving, Waiting, forecast};
pub use pacing::{Counted, Limit, Pacing, author_of, for_kind, pacing};
pub use quiet::{HORIZON, QuietAlways, check_quiet, grace_end, is_quiet, next_waking};

/// When Oyez was away for longer than this, what it holds gets [`with_grace`] (`lifecycle.md` 3.4). So does a text that
/// was worded longer than this after its item had settled, since nobody could have seen it before.
pub const OUTAGE: Duration = Duration::from_secs(10 * 60);

/// How far the wall clock may be off the `Date` headers of polled sources after a start (`lifecycle.md` 3.9).
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// When the author has left the item alone for long enough (`lifecycle.md` 3.1): `settle` after the last change, but
/// never before it was first seen, and not later than `settle-at-most` after that, whatever the author does.
///
/// `last_change` is what the source says, else when it was noticed.
pub fn settled_at(first_seen: Timestamp, last_change: Timestamp, settings: &HoldSettings) -> Timestamp {
    let quiet_since = later(last_change, settings.settle);
    let at_most = later(first_seen, settings.settle_at_most);
    first_seen.max(quiet_since.min(at_most))
}

/// The promise: nothing leaves before this unless a named person approves it for now. Plain time, at night too
/// (`lifecycle.md` 3.2). It is worked out once and stored, so that a changed configuration moves no window.
pub fn window_end(settled: Timestamp, window: Duration) -> Timestamp {
    later(settled, window)
}

/// The window's end after something that nobody could have seen coming: a change by the author, a reinstatement, an
/// outage of Oyez of over [`OUTAGE`] (`lifecycle.md` 3.4). `grace` runs from `now`, outside quiet hours; what is left of
/// the window is never shortened. A team member's edit is none of these.
pub fn with_grace(window_end: Timestamp, now: Timestamp, settings: &HoldSettings, zone: &TimeZone) -> Timestamp {
    window_end.max(grace_end(now, settings.grace, &settings.quiet_hours, zone))
}

/// From when on an item may take a slot (`lifecycle.md` 3.3). `wait_for_mirror` is `None` where there is nothing to wait
/// for: a mirror is proven, or the item is no recording. It counts from first sight, beside the window.
pub fn ready(window_end: Timestamp, first_seen: Timestamp, wait_for_mirror: Option<Duration>) -> Timestamp {
    match wait_for_mirror {
        Some(wait) => window_end.max(later(first_seen, wait)),
        None => window_end,
    }
}

/// An item that can leave only after this asks instead (`lifecycle.md` 3.8). `None`: it never gets too old.
pub fn stale_at(first_window_end: Timestamp, stale: Option<Duration>) -> Option<Timestamp> {
    stale.map(|stale| later(first_window_end, stale))
}

/// When an `ask` that nobody answered ends as `expired` (`lifecycle.md` 3.8).
pub fn expires_at(window_end: Timestamp, ask_expires: Duration) -> Timestamp {
    later(window_end, ask_expires)
}

/// Why the wall clock is not believed. While it is not, nothing leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Something was journalled at a time that is yet to come.
    #[error("the clock is {0:#} behind the last entry of the journal")]
    BehindJournal(SignedDuration),
    /// The servers that were polled say it is later than the clock does.
    #[error("the clock is {0:#} behind what the polled servers say")]
    Slow(SignedDuration),
    /// The servers that were polled say it is earlier than the clock does.
    #[error("the clock is {0:#} ahead of what the polled servers say")]
    Fast(SignedDuration),
}

/// Is the wall clock to be believed after a start (`lifecycle.md` 3.9)?
///
/// `skews`: for each polled host, the `Date` header of its last answer less the wall clock at that moment. Their median
/// decides, so that one server with a wrong clock stops nobody; with an even number the middle one nearer to ours.
/// Without any, only the journal is asked; where they agree with the clock, it was the journal's last entry that was
/// written by a wrong one, and waiting for its time would hold up everything for nothing.
///
/// # Errors
/// The reason to show on the desk while nothing leaves.
pub fn trust(wall: Timestamp, last_journal: Option<Timestamp>, skews: &[SignedDuration]) -> Result<(), Distrust> {
    let mut skews = skews.to_vec();
    skews.sort_unstable();
    let Some(last) = skews.len().checked_sub(1) else {
        return match last_journal {
            Some(last) if wall < last => Err(Distrust::BehindJournal(whole_seconds(wall.duration_until(last)))),
            Some(_) | None => Ok(()),
        };
    };
    let (low, high) = (skews[last / 2], skews[last.div_ceil(2)]);
    let median = if low.unsigned_abs() <= high.unsigned_abs() { low } else { high };
    if median.unsigned_abs() <= TOLERANCE {
        Ok(())
    } else if median.is_negative() {
        Err(Distrust::Fast(median.checked_neg().unwrap_or(SignedDuration::MAX)))
    } else {
        Err(Distrust::Slow(median))
    }
}

/// For people.
fn whole_seconds(duration: SignedDuration) -> SignedDuration {
    SignedDuration::from_secs(duration.as_secs())
}

/// `at` moved on by `by`, or the last moment there is.
pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(by).expect("a plain duration has no calendar units that could be refused")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    fn settings() -> HoldSettings {
        HoldSettings {
            window: 24 * HOUR,
            settle: 30 * MINUTE,
            settle_at_most: 3 * HOUR,
            grace: HOUR,
            quiet_hours: Vec::new(),
            spacing: Duration::ZERO,
            at_most: None,
            priority: 1,
            ask_expires: 7 * 24 * HOUR,
            stale: None,
        }
    }

    fn at(text: &str) -> Timestamp {
        format!("2026-11-13T{text}:00Z").parse().unwrap()
    }

    #[track_caller]
    fn check_settled(first_seen: &str, last_change: &str, want: &str) {
        assert_eq!(settled_at(at(first_seen), at(last_change), &settings()), at(want));
    }

    #[test]
    fn settling_waits_for_the_author_but_not_for_ever() {
        check_settled("12:00", "12:00", "12:30");
        check_settled("12:00", "12:20", "12:50");
        check_settled("12:00", "14:29", "14:59");
        check_settled("12:00", "14:30", "15:00");
        // Still editing: settle-at-most ends it.
        check_settled("12:00", "18:00", "15:00");
        // Written long before it was seen: it has settled already, but not before anybody could see it.
        check_settled("12:00", "08:00", "12:00");
        check_settled("12:00", "11:45", "12:15");
    }

    #[test]
    fn a_mirror_is_waited_for_beside_the_window() {
        assert_eq!(ready(at("15:00"), at("12:00"), None), at("15:00"));
        assert_eq!(ready(at("15:00"), at("12:00"), Some(HOUR)), at("15:00"));
        assert_eq!(ready(at("15:00"), at("12:00"), Some(5 * HOUR)), at("17:00"));
    }

    #[test]
    fn sums_stop_at_the_end_of_time() {
        assert_eq!(window_end(Timestamp::MAX, HOUR), Timestamp::MAX);
        assert_eq!(window_end(at("12:00"), Duration::MAX), Timestamp::MAX);
        assert_eq!(stale_at(at("12:00"), Some(Duration::MAX)), Some(Timestamp::MAX));
        assert_eq!(stale_at(at("12:00"), None), None);
        assert_eq!(expires_at(at("12:00"), HOUR), at("13:00"));
    }

    #[track_caller]
    fn check_trust(skews_s: &[i64], want: Result<(), Distrust>) {
        let skews: Vec<_> = skews_s.iter().map(|s| SignedDuration::from_secs(*s)).collect();
        assert_eq!(trust(at("12:00"), Some(at("12:00")), &skews), want);
    }

    #[test]
    fn the_median_of_the_servers_decides() {
        check_trust(&[], Ok(()));
        check_trust(&[300], Ok(()));
        check_trust(&[-300], Ok(()));
        check_trust(&[301], Err(Distrust::Slow(SignedDuration::from_secs(301))));
        check_trust(&[-301], Err(Distrust::Fast(SignedDuration::from_secs(301))));
        // One wrong server among three, or one of two, stops nobody.
        check_trust(&[86_400, 1, -2], Ok(()));
        check_trust(&[86_400, 1], Ok(()));
        check_trust(&[-86_400, 1], Ok(()));
        // Most agree that we are wrong.
        check_trust(&[86_400, 86_401, 1], Err(Distrust::Slow(SignedDuration::from_secs(86_400))));
        check_trust(&[-600, 900], Err(Distrust::Fast(SignedDuration::from_secs(600))));
        check_trust(&[i64::MIN, i64::MIN], Err(Distrust::Fast(SignedDuration::MAX)));
    }

    #[test]
    fn a_clock_behind_the_journal_is_not_believed() {
        let behind = trust(at("12:00"), Some(at("15:02")), &[]).unwrap_err();
        assert_eq!(behind.to_string(), "the clock is 3h 2m behind the last entry of the journal");
        assert_eq!(trust(at("12:00"), Some(at("12:00")), &[]), Ok(()));
        assert_eq!(trust(at("12:00"), None, &[]), Ok(()));
        // The servers know better than the journal, whichever way.
        let skew = |minutes| [SignedDuration::from_mins(minutes)];
        assert_eq!(trust(at("12:00"), Some(at("15:02")), &skew(1)), Ok(()));
        let slow = trust(at("12:00"), Some(at("15:02")), &skew(182)).unwrap_err();
        assert_eq!(slow.to_string(), "the clock is 3h 2m behind what the polled servers say");
    }

    proptest! {
        #[test]
        fn promise_01_a_window_is_never_shorter_than_configured(
            seen in 0i64..4_000_000_000, change in -100_000i64..100_000, settle in 0u64..100_000,
            most in 0u64..100_000, window in 0u64..1_000_000, mirror in proptest::option::of(0u64..1_000_000),
        ) {
            let seen = Timestamp::from_second(seen).unwrap();
            let changed = seen + SignedDuration::from_secs(change);
            let settings = HoldSettings {
                settle: Duration::from_secs(settle), settle_at_most: Duration::from_secs(most), ..settings()
            };
            let settled = settled_at(seen, changed, &settings);
            prop_assert!(settled >= seen && settled <= later(seen, settings.settle_at_most));
            let end = window_end(settled, Duration::from_secs(window));
            prop_assert!(with_grace(end, changed, &settings, &TimeZone::UTC) >= end);
            prop_assert!(ready(end, seen, mirror.map(Duration::from_secs)) >= later(seen, Duration::from_secs(window)));
        }
    }
}
