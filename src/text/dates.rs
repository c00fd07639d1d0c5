//! Dates that Discourse keeps in attributes and shows in each reader's zone by script.
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

/// A local date as words: the day alone, or the time in the author's zone and in UTC. `None`: not readable.
pub(super) fn words(date: &str, time: Option<&str>, zone: Option<&str>) -> Option<String> {
    let date: Date = date.trim().parse().ok()?;
    let Some(time) = time.map(str::trim).filter(|time| !time.is_empty()) else {
        return Some(day(date));
    };
    let time: Time = time.parse().ok()?;
    let zone = match zone.map(str::trim).filter(|zone| !zone.is_empty()) {
        Some(name) => TimeZone::get(name).ok()?,
        None => TimeZone::UTC,
    };
    moment(date.to_datetime(time), zone)
}

/// The start or end of an event: `2026-09-05 16:00` or `2026-09-05`, in `zone` (UTC where none is given).
pub(super) fn event_words(value: &str, zone: Option<&str>) -> Option<String> {
    let value = value.trim();
    match value.split_once([' ', 'T']) {
        Some((date, time)) => words(date, Some(time.trim_end_matches('Z').get(..5)?), zone),
        None => words(value, None, zone),
    }
}

fn moment(local: DateTime, zone: TimeZone) -> Option<String> {
    let local = local.to_zoned_datetime(zone).ok()?;
    let utc = local.with_time_zone(TimeZone::UTC);
    let shown = format!("{}, {}", day(local.date()), local.strftime("%H:%M"));
    let abbreviation = local.strftime("%Z").to_string();
    if local.offset().is_zero() {
        return Some(format!("{shown} UTC"));
    }
    let in_utc = if utc.date() == local.date() {
        utc.strftime("%H:%M UTC").to_string()
    } else {
        format!("{}, {}", day(utc.date()), utc.strftime("%H:%M UTC"))
    };
    Some(format!("{shown} {abbreviation} ({in_utc})"))
}

fn day(date: Date) -> String {
    date.strftime("%-d %B %Y").to_string()
}
