//! Stand-ins for two functions of [`crate::hold`], until both are in one tree.
use std::time::Duration;

use jiff::Timestamp;
use jiff::ToSpan;
use jiff::tz::TimeZone;

use crate::config::{HoldSettings, QuietHours};

/// `t` plus `d`, at the latest the last moment there is.
pub(super) fn later(t: Timestamp, d: Duration) -> Timestamp {
    t.checked_add(d).unwrap_or(Timestamp::MAX)
}

/// `lifecycle.md` 3.1.
pub(super) fn settled_at(first_seen: Timestamp, last_change: Timestamp, hold: &HoldSettings) -> Timestamp {
    first_seen.max(later(last_change, hold.settle).min(later(first_seen, hold.settle_at_most)))
}

/// `lifecycle.md` 3.4: when `grace` has passed outside quiet hours. To the minute; at most 30 days on.
pub(super) fn grace_end(now: Timestamp, grace: Duration, quiet: &[QuietHours], zone: &TimeZone) -> Timestamp {
    if quiet.is_empty() {
        return later(now, grace);
    }
    let minute = Duration::from_secs(60);
    let (mut at, mut left) = (now, grace);
    for _ in 0..30 * 24 * 60 {
        if !quiet.iter().any(|q| is_quiet(at, q, zone)) {
            if left <= minute {
                return later(at, left);
            }
            left -= minute;
        }
        at = later(at, minute);
    }
    at
}

fn is_quiet(at: Timestamp, quiet: &QuietHours, zone: &TimeZone) -> bool {
    let local = quiet.zone.as_ref().unwrap_or(zone).to_datetime(at);
    let (time, today) = (local.time(), local.date());
    let counts = |date: jiff::civil::Date| quiet.days.is_empty() || quiet.days.contains(&date.weekday());
    let yesterday = || today.checked_sub(1.day()).unwrap_or(today);
    if quiet.from < quiet.to {
        counts(today) && quiet.from <= time && time < quiet.to
    } else {
        (counts(today) && quiet.from <= time) || (counts(yesterday()) && time < quiet.to)
    }
}
