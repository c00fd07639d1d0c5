//! The small languages inside settings: durations, rates, times of day.
use std::time::Duration;

use jiff::civil::{Time, Weekday};

use super::{Period, Rate};

/// `90s`, `30m`, `4h`, `2d`, and sums such as `1d12h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a duration");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        let seconds: u64 = match rest[digits..].chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3_600,
            Some('d') => 86_400,
            _ => return Err(bad()),
        };
        // A hundred years is more than any setting means; beyond it, arithmetic on times could overflow.
        let part = number.checked_mul(seconds).filter(|s| *s <= 100 * 366 * 86_400).ok_or_else(bad)?;
        total += Duration::from_secs(part);
        rest = &rest[digits + 1..];
    }
    if total > Duration::from_secs(100 * 366 * 86_400) {
        return Err(bad());
    }
    Ok(total)
}

/// `3/1d`: three in a calendar day. Other periods roll.
pub fn rate(text: &str) -> Result<Rate, String> {
    let bad = || format!("`{text}` is not a rate");
    let (count, period) = text.split_once('/').ok_or_else(bad)?;
    let count: u32 = count.trim().parse().map_err(|_| bad())?;
    let period = duration(period.trim()).map_err(|_| bad())?;
    if count == 0 || period.is_zero() {
        return Err(bad());
    }
    let period = if period == Duration::from_secs(86_400) { Period::Day } else { Period::Rolling(period) };
    Ok(Rate { count, period })
}

/// `22:00`; `24:00` is the midnight that ends the day, which is the same clock time as `00:00`.
pub(super) fn time(text: &str) -> Result<Time, String> {
    let bad = || format!("`{text}` is not a time of day");
    let (hour, minute) = text.split_once(':').ok_or_else(bad)?;
    if hour.len() > 2 || minute.len() != 2 {
        return Err(bad());
    }
    let (hour, minute): (i8, i8) = (hour.parse().map_err(|_| bad())?, minute.parse().map_err(|_| bad())?);
    if hour == 24 && minute == 0 {
        return Ok(Time::midnight());
    }
    Time::new(hour, minute, 0, 0).map_err(|_| bad())
}

/// `sat`, `saturday`.
pub(super) fn weekday(text: &str) -> Result<Weekday, String> {
    match text.to_ascii_lowercase().as_str() {
        "mon" | "monday" => Ok(Weekday::Monday),
        "tue" | "tuesday" => Ok(Weekday::Tuesday),
        "wed" | "wednesday" => Ok(Weekday::Wednesday),
        "thu" | "thursday" => Ok(Weekday::Thursday),
        "fri" | "friday" => Ok(Weekday::Friday),
        "sat" | "saturday" => Ok(Weekday::Saturday),
        "sun" | "sunday" => Ok(Weekday::Sunday),
        _ => Err(format!("`{text}` is not a day of the week")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn seconds(text: &str, want: u64) {
        assert_eq!(duration(text), Ok(Duration::from_secs(want)), "{text}");
    }

    #[test]
    fn durations_are_numbers_with_units_and_sums_of_them() {
        seconds("90s", 90);
        seconds("30m", 1_800);
        seconds("4h", 14_400);
        seconds("2d", 172_800);
        seconds("1d12h", 129_600);
        seconds("0s", 0);
        for bad in ["", "2", "2 days", "dayz", "-1h", "1.5h", "h", "999999999999d", "1w"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_are_counts_in_periods() {
        assert_eq!(rate("3/1d"), Ok(Rate { count: 3, period: Period::Day }));
        assert_eq!(rate("2/6h"), Ok(Rate { count: 2, period: Period::Rolling(Duration::from_secs(21_600)) }));
        for bad in ["3", "0/1d", "3/0s", "/1d", "x/1d", "3/day"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_of_day_end_at_24() {
        assert_eq!(time("22:00"), Ok(Time::constant(22, 0, 0, 0)));
        assert_eq!(time("24:00"), Ok(Time::midnight()));
        for bad in ["25:00", "24:01", "7", "07:5", "noon"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
