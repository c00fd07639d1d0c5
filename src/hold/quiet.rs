//! Quiet hours: ranges of local time in which nothing leaves and no grace runs down.
//!
//! Each day on which a range begins gives one stretch of real time. Where the clocks change: a time of day that is skipped
//! counts as the moment of the change, and an hour that comes twice is quiet both times if the range begins or ends in it.
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::later;
use crate::config::QuietHours;

/// How far ahead a waking moment is looked for. Quiet hours repeat every week, so a year without one means never.
pub const HORIZON: Duration = Duration::from_secs(400 * 24 * 3600);

/// Quiet hours that never end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the quiet hours cover the whole week, so nothing could ever leave")]
pub struct QuietAlways;

/// Do these quiet hours leave a moment in every week? For the check of the configuration; each list that can apply (the
/// base's, a kind's, an account's) is checked by itself, since they replace each other.
///
/// # Errors
/// [`QuietAlways`]. Nothing that is held under such hours ever gets a slot.
pub fn check_quiet(quiet: &[QuietHours], zone: &TimeZone) -> Result<(), QuietAlways> {
    // Ranges with zones of their own may leave a gap in summer only: both halves of a year are looked at. An hour that
    // only a change of the clocks leaves open does not count, and none falls into these two weeks.
    for second in [MONDAY_IN_JANUARY, MONDAY_IN_JULY] {
        let monday = Timestamp::from_second(second).expect("a second of 2026 is a moment");
        if next_waking_until(monday, later(monday, WEEK), quiet, zone).is_none() {
            return Err(QuietAlways);
        }
    }
    Ok(())
}

/// 2026-01-05 00:00 UTC, in seconds.
const MONDAY_IN_JANUARY: i64 = 1_767_571_200;
/// 2026-07-06 00:00 UTC, in seconds.
const MONDAY_IN_JULY: i64 = 1_783_296_000;
/// Eight days: a whole week wherever in it one begins.
const WEEK: Duration = Duration::from_secs(8 * 24 * 3600);

/// Is `at` in quiet hours? The first moment of a range is, its end is not.
pub fn is_quiet(at: Timestamp, quiet: &[QuietHours], zone: &TimeZone) -> bool {
    quiet_until(at, quiet, zone).is_some()
}

/// The first moment not before `at` that is not quiet; `None`: there is none within [`HORIZON`], so never.
pub fn next_waking(at: Timestamp, quiet: &[QuietHours], zone: &TimeZone) -> Option<Timestamp> {
    next_waking_until(at, later(at, HORIZON), quiet, zone)
}

/// The moment at which `grace` has passed counted outside quiet hours only, starting from `now` (`lifecycle.md` 3.4).
///
/// The hours are those of the item's kind: an account's own are a matter of its slots. Where they leave no waking time
/// within [`HORIZON`] (which [`check_quiet`] refuses) the answer lies beyond it: late, never early.
pub fn grace_end(now: Timestamp, grace: Duration, quiet: &[QuietHours], zone: &TimeZone) -> Timestamp {
    let limit = later(now, HORIZON);
    let mut left = grace;
    let mut at = now;
    while !left.is_zero() {
        let Some(awake) = next_waking_until(at, limit, quiet, zone) else { return later(limit, left) };
        let end = later(awake, left);
        let Some(asleep) = next_quiet(awake, quiet, zone).filter(|asleep| *asleep < end) else { return end };
        left = left.saturating_sub(awake.duration_until(asleep).unsigned_abs());
        at = asleep;
    }
    at
}

fn next_waking_until(mut at: Timestamp, limit: Timestamp, quiet: &[QuietHours], zone: &TimeZone) -> Option<Timestamp> {
    // Ends: each round moves `at` on to the end of a stretch it was in.
    while at <= limit {
        match quiet_until(at, quiet, zone) {
            Some(end) => at = end,
            None => return Some(at),
        }
    }
    None
}

/// The end of the longest stretch that `at` is in.
fn quiet_until(at: Timestamp, quiet: &[QuietHours], zone: &TimeZone) -> Option<Timestamp> {
    quiet
        .iter()
        .flat_map(|range| stretches(range, at, zone, 1))
        .filter(|(start, end)| *start <= at && at < *end)
        .map(|(_, end)| end)
        .max()
}

/// The next moment after `at` at which some range begins.
fn next_quiet(at: Timestamp, quiet: &[QuietHours], zone: &TimeZone) -> Option<Timestamp> {
    // Eight days ahead: a range on one day of the week began today already.
    quiet
        .iter()
        .filter_map(|range| stretches(range, at, zone, 8).map(|(start, _)| start).find(|start| *start > at))
        .min()
}

/// The stretches of a range that begin between the day before `at` and `days` days after it.
fn stretches<'a>(
    range: &'a QuietHours,
    at: Timestamp,
    zone: &'a TimeZone,
    days: i64,
) -> impl Iterator<Item = (Timestamp, Timestamp)> + 'a {
    let zone = range.zone.as_ref().unwrap_or(zone);
    let today = zone.to_datetime(at).date();
    (-1..=days).filter_map(move |day| stretch(range, today.checked_add(day.days()).ok()?, zone))
}

/// The real time that a range covers when it begins on `date`.
fn stretch(range: &QuietHours, date: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
    if !range.days.is_empty() && !range.days.contains(&date.weekday()) {
        return None;
    }
    let last = if range.from < range.to { date } else { date.tomorrow().ok()? };
    let start = moment(date.to_datetime(range.from), zone, Repeated::First)?;
    let end = moment(last.to_datetime(range.to), zone, Repeated::Second)?;
    (start < end).then_some((start, end))
}

/// Which one is meant of a local time that comes twice.
pub(super) enum Repeated {
    First,
    Second,
}

/// When the clocks of `zone` show, or jump over, `local`.
pub(super) fn moment(local: DateTime, zone: &TimeZone, repeated: Repeated) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let (earlier, later) = (ambiguous.earlier().ok()?, ambiguous.later().ok()?);
    if earlier == later {
        return Some(earlier);
    }
    if let jiff::tz::AmbiguousOffset::Gap { .. } = ambiguous.offset() {
        // jiff answers with moments as far from the jump as `local` is; the jump itself lies between them.
        let jump = zone.following(earlier).next().map(|change| change.timestamp());
        return Some(jump.filter(|jump| *jump <= later).unwrap_or(later));
    }
    Some(match repeated {
        Repeated::First => earlier,
        Repeated::Second => later,
    })
}

#[cfg(test)]
pub(in crate::hold) mod tests {
    use jiff::civil::{Time, Weekday};
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn range(from: &str, to: &str, days: &[Weekday]) -> QuietHours {
        QuietHours { from: from.parse().unwrap(), to: to.parse().unwrap(), days: days.to_vec(), zone: None }
    }

    fn nights() -> Vec<QuietHours> {
        vec![range("22:00", "08:00", &[])]
    }

    fn at(text: &str) -> Timestamp {
        text.parse::<jiff::ZonedDateTime>().map(|z| z.timestamp()).unwrap_or_else(|_| {
            let local: DateTime = text.parse().unwrap();
            local.to_zoned_datetime(berlin()).unwrap().timestamp()
        })
    }

    #[track_caller]
    fn check(quiet: &[QuietHours], from: &str, want: &str) {
        assert_eq!(next_waking(at(from), quiet, &berlin()), Some(at(want)));
        assert_eq!(is_quiet(at(from), quiet, &berlin()), from != want);
        assert!(!is_quiet(at(want), quiet, &berlin()));
    }

    #[test]
    fn nights_and_weekends() {
        check(&[], "2026-11-13T23:00", "2026-11-13T23:00");
        check(&nights(), "2026-11-13T21:59:59.999", "2026-11-13T21:59:59.999");
        check(&nights(), "2026-11-13T22:00", "2026-11-14T08:00");
        check(&nights(), "2026-11-14T00:00", "2026-11-14T08:00");
        check(&nights(), "2026-11-14T07:59:59.999", "2026-11-14T08:00");
        check(&nights(), "2026-11-14T08:00", "2026-11-14T08:00");
        let noon = [range("12:00", "13:00", &[])];
        check(&noon, "2026-11-14T12:30", "2026-11-14T13:00");
        check(&noon, "2026-11-14T13:00", "2026-11-14T13:00");
        // The same time twice is a whole day.
        let sunday = [range("00:00", "00:00", &[Weekday::Sunday])];
        check(&sunday, "2026-11-14T23:59", "2026-11-14T23:59");
        check(&sunday, "2026-11-15T00:00", "2026-11-16T00:00");
        // `days` are those on which `from` counts: Friday's night ends on Saturday, Saturday has none.
        let friday = [range("22:00", "08:00", &[Weekday::Friday])];
        check(&friday, "2026-11-14T03:00", "2026-11-14T08:00");
        check(&friday, "2026-11-14T22:30", "2026-11-14T22:30");
        // Ranges that touch or overlap are one.
        let both = [range("22:00", "08:00", &[]), range("00:00", "00:00", &[Weekday::Saturday, Weekday::Sunday])];
        check(&both, "2026-11-13T23:00", "2026-11-16T08:00");
        check(&both, "2026-11-15T12:00", "2026-11-16T08:00");
    }

    #[test]
    fn a_range_may_have_its_own_zone() {
        let tokyo = QuietHours { zone: TimeZone::get("Asia/Tokyo").ok(), ..range("22:00", "08:00", &[]) };
        // 22:00 to 08:00 in Tokyo is 14:00 to 00:00 in a Berlin winter.
        check(std::slice::from_ref(&tokyo), "2026-11-13T13:59", "2026-11-13T13:59");
        check(std::slice::from_ref(&tokyo), "2026-11-13T14:00", "2026-11-14T00:00");
        check(&[tokyo, nights().remove(0)], "2026-11-13T14:00", "2026-11-14T08:00");
    }

    #[test]
    fn the_clocks_change() {
        // 2026-10-25: 03:00 becomes 02:00. The night is eleven hours long.
        check(&nights(), "2026-10-24T22:00", "2026-10-25T08:00");
        assert_eq!(at("2026-10-24T22:00").duration_until(at("2026-10-25T08:00")).as_hours(), 11);
        // 2026-03-29: 02:00 becomes 03:00. Nine hours.
        check(&nights(), "2026-03-28T22:00", "2026-03-29T08:00");
        assert_eq!(at("2026-03-28T22:00").duration_until(at("2026-03-29T08:00")).as_hours(), 9);
        // An end that is skipped is the moment of the jump, and so is a beginning.
        check(&[range("22:00", "02:30", &[])], "2026-03-29T01:59", "2026-03-29T03:00");
        check(&[range("02:30", "05:00", &[])], "2026-03-29T01:59", "2026-03-29T01:59");
        check(&[range("02:30", "05:00", &[])], "2026-03-29T03:00", "2026-03-29T05:00");
        // A range that is skipped as a whole is no range that day.
        check(&[range("02:15", "02:45", &[])], "2026-03-29T03:00", "2026-03-29T03:00");
        // An end that comes twice counts the second time, a beginning the first.
        let first = "2026-10-25T02:40+02:00[Europe/Berlin]";
        check(&[range("22:00", "02:30", &[])], first, "2026-10-25T02:30+01:00[Europe/Berlin]");
        check(&[range("02:30", "05:00", &[])], first, "2026-10-25T05:00");
    }

    #[track_caller]
    fn check_grace(quiet: &[QuietHours], now: &str, hours: f64, want: &str) {
        assert_eq!(grace_end(at(now), HOUR.mul_f64(hours), quiet, &berlin()), at(want));
    }

    #[test]
    fn grace_runs_in_waking_hours_only() {
        check_grace(&[], "2026-11-13T23:00", 1.0, "2026-11-14T00:00");
        check_grace(&nights(), "2026-11-13T12:00", 1.0, "2026-11-13T13:00");
        check_grace(&nights(), "2026-11-13T23:00", 1.0, "2026-11-14T09:00");
        check_grace(&nights(), "2026-11-13T21:30", 1.0, "2026-11-14T08:30");
        check_grace(&nights(), "2026-11-13T21:00", 1.0, "2026-11-13T22:00");
        check_grace(&nights(), "2026-11-13T12:00", 30.0, "2026-11-15T14:00");
        check_grace(&nights(), "2026-11-13T23:00", 0.0, "2026-11-13T23:00");
        // Over the night in which the clocks go back.
        check_grace(&nights(), "2026-10-24T21:30", 1.0, "2026-10-25T08:30");
    }

    #[test]
    fn quiet_all_the_time_is_found_and_loops_nowhere() {
        let whole = [range("00:00", "00:00", &[])];
        let halves = [range("08:00", "20:00", &[]), range("20:00", "08:00", &[])];
        let all_days: Vec<_> = Weekday::Monday.cycle_forward().take(7).collect();
        let days = [range("12:00", "12:00", &all_days)];
        for quiet in [&whole[..], &halves[..], &days[..]] {
            assert_eq!(check_quiet(quiet, &berlin()), Err(QuietAlways));
            assert_eq!(next_waking(at("2026-11-13T12:00"), quiet, &berlin()), None);
            let end = grace_end(at("2026-11-13T12:00"), HOUR, quiet, &berlin());
            assert!(end >= later(at("2026-11-13T12:00"), HORIZON));
        }
        assert_eq!(check_quiet(&[], &berlin()), Ok(()));
        assert_eq!(check_quiet(&nights(), &berlin()), Ok(()));
        assert_eq!(check_quiet(&[range("00:00", "00:00", &all_days[1..])], &berlin()), Ok(()));
        assert_eq!(check_quiet(&[range("08:00", "07:59", &[])], &berlin()), Ok(()));
    }

    #[test]
    fn the_ends_of_time_are_no_panic() {
        for moment in [Timestamp::MIN, Timestamp::MAX] {
            is_quiet(moment, &nights(), &berlin());
            next_waking(moment, &nights(), &berlin());
            grace_end(moment, HOUR, &nights(), &berlin());
        }
    }

    pub(in crate::hold) fn any_quiet() -> impl Strategy<Value = Vec<QuietHours>> {
        let time = (0i8..24, prop::sample::select(vec![0i8, 15, 30, 45])).prop_map(|(h, m)| Time::constant(h, m, 0, 0));
        let days = prop::collection::vec(
            prop::sample::select(Weekday::Monday.cycle_forward().take(7).collect::<Vec<_>>()),
            0..3,
        );
        let zone = prop::sample::select(vec![None, Some("Asia/Kathmandu"), Some("America/New_York")])
            .prop_map(|name| name.and_then(|name| TimeZone::get(name).ok()));
        let range =
            (time.clone(), time, days, zone).prop_map(|(from, to, days, zone)| QuietHours { from, to, days, zone });
        prop::collection::vec(range, 0..3)
    }

    /// By the wall clock alone: does some range contain this local time?
    fn quiet_by_the_wall(at: Timestamp, quiet: &[QuietHours], zone: &TimeZone) -> bool {
        quiet.iter().any(|range| {
            let local = range.zone.as_ref().unwrap_or(zone).to_datetime(at);
            let (time, today) = (local.time(), local.date().weekday());
            let on = |day| range.days.is_empty() || range.days.contains(&day);
            if range.from < range.to {
                on(today) && range.from <= time && time < range.to
            } else {
                (on(today) && range.from <= time) || (on(today.previous()) && time < range.to)
            }
        })
    }

    proptest! {
        /// Around both changes of 2026, in quarters of an hour: what the wall clock calls quiet is quiet.
        #[test]
        fn quiet_by_the_wall_clock_is_quiet(quiet in any_quiet(), quarter in 0i64..35_040) {
            let at = Timestamp::from_second(1_767_225_600 + quarter * 900).unwrap();
            if quiet_by_the_wall(at, &quiet, &berlin()) {
                prop_assert!(is_quiet(at, &quiet, &berlin()));
            }
            // Away from the changes it is the other way round as well.
            let changes = ["2026-03-07T12:00", "2026-03-30T12:00", "2026-10-24T00:00", "2026-11-02T12:00"].map(self::at);
            if !(changes[0]..changes[1]).contains(&at) && !(changes[2]..changes[3]).contains(&at) {
                prop_assert_eq!(is_quiet(at, &quiet, &berlin()), quiet_by_the_wall(at, &quiet, &berlin()));
            }
        }

        #[test]
        fn grace_is_never_shorter_than_promised(quiet in any_quiet(), second in 0i64..31_536_000, minutes in 0u64..3_000) {
            let now = Timestamp::from_second(1_767_225_600 + second).unwrap();
            let grace = Duration::from_secs(minutes * 60);
            let end = grace_end(now, grace, &quiet, &berlin());
            prop_assert!(end >= later(now, grace));
            // Counted in minutes that begin awake, at least the grace lies between (up to the odd minutes at the edges).
            if check_quiet(&quiet, &berlin()).is_ok() && end.duration_since(now).as_hours() < 24 * 14 {
                let mut awake = 0;
                let mut at = now;
                while at < end {
                    awake += u64::from(!is_quiet(at, &quiet, &berlin()));
                    at = later(at, Duration::from_secs(60));
                }
                prop_assert!(awake + 1 + awake / 60 >= minutes, "{awake} of {minutes} minutes");
            }
        }

        #[test]
        fn next_waking_is_awake_and_not_before(quiet in any_quiet(), second in 0i64..31_536_000) {
            let at = Timestamp::from_second(1_767_225_600 + second).unwrap();
            if let Some(next) = next_waking(at, &quiet, &berlin()) {
                prop_assert!(next >= at && !is_quiet(next, &quiet, &berlin()));
                prop_assert!(next == at || is_quiet(at, &quiet, &berlin()));
            } else {
                prop_assert!(is_quiet(at, &quiet, &berlin()));
            }
        }
    }
}
