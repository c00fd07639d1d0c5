//! Times that cannot overflow.
use std::time::Duration;

use jiff::Timestamp;

/// `t` plus `d`, at the latest the last moment there is.
pub(super) fn later(t: Timestamp, d: Duration) -> Timestamp {
    t.checked_add(d).unwrap_or(Timestamp::MAX)
}
