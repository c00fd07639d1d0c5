//! What an answer's headers say about time and place. Pure; foreign bytes in, bounded values out.
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{self, HeaderMap};
use url::Url;

use super::{HttpError, Validators};

/// Nobody may send us away for longer.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A longer validator is not kept, in bytes: it would be sent with every request.
const MAX_VALIDATOR_BYTES: usize = 1_024;

/// A longer `Content-Type` is cut, in bytes.
const MAX_CONTENT_TYPE_BYTES: usize = 256;

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    std::str::from_utf8(headers.get(name)?.as_bytes()).ok()
}

/// `ETag` and `Last-Modified`, byte for byte.
pub fn validators(headers: &HeaderMap) -> Validators {
    let kept = |name| text(headers, name).filter(|v| v.len() <= MAX_VALIDATOR_BYTES).map(str::to_owned);
    Validators { etag: kept(header::ETAG), last_modified: kept(header::LAST_MODIFIED) }
}

/// `Content-Type`.
pub fn content_type(headers: &HeaderMap) -> Option<String> {
    text(headers, header::CONTENT_TYPE).filter(|v| v.len() <= MAX_CONTENT_TYPE_BYTES).map(str::to_owned)
}

/// An HTTP date.
pub fn date(headers: &HeaderMap, name: header::HeaderName) -> Option<Timestamp> {
    Timestamp::try_from(httpdate::parse_http_date(text(headers, name)?.trim()).ok()?).ok()
}

/// How long the answer stays fresh, at most a day. `now` stands in for a missing `Date`.
pub fn fresh_for(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let mut max_age = None;
    for value in headers.get_all(header::CACHE_CONTROL) {
        for directive in value.to_str().unwrap_or_default().split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => return None,
                "max-age" => max_age = max_age.or_else(|| seconds(value.trim().trim_matches('"'))),
                _ => {}
            }
        }
    }
    let fresh = match max_age {
        Some(max_age) => max_age,
        None => until(date(headers, header::EXPIRES)?, date(headers, header::DATE).unwrap_or(now))?,
    };
    Some(fresh.min(DAY)).filter(|d| !d.is_zero())
}

/// When to come back, at most a day, never in the past. Dates count from the server's own `Date`: its clock may be off.
///
/// `X-RateLimit-Reset` stands on every answer of a Mastodon server; only a refusal makes it an order to wait.
pub fn retry_after(headers: &HeaderMap, status: u16, now: Timestamp) -> Option<Duration> {
    let now = date(headers, header::DATE).unwrap_or(now);
    if let Some(value) = text(headers, header::RETRY_AFTER).map(str::trim) {
        let asked = seconds(value).or_else(|| until(date(headers, header::RETRY_AFTER)?, now));
        if let Some(asked) = asked {
            return Some(asked.min(DAY));
        }
    }
    if !matches!(status, 429 | 503) {
        return None;
    }
    let reset = text(headers, header::HeaderName::from_static("x-ratelimit-reset"))?.trim();
    let reset = match reset.parse::<i64>() {
        // Others write the second of the Unix clock, or the seconds left.
        Ok(number) if number > 1_000_000_000 => Timestamp::from_second(number).ok()?,
        Ok(number) => return u64::try_from(number).ok().map(|s| Duration::from_secs(s).min(DAY)),
        Err(_) => reset.parse().ok()?,
    };
    until(reset, now).map(|d| d.min(DAY))
}

/// Whole seconds; more digits than fit are simply very long.
fn seconds(value: &str) -> Option<Duration> {
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(value.parse().map_or(Duration::MAX, Duration::from_secs))
}

fn until(then: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(then.duration_since(now)).ok()
}

/// Where a redirect leads, if it says: `Location` against the address that was asked. Other schemes than http and https,
/// two different addresses, and the way from https back to http are refused.
pub fn location(headers: &HeaderMap, asked: &Url) -> Result<Option<Url>, HttpError> {
    let refused = |why: String| Err(HttpError::Bound(why));
    let Some(joined) = written_location(headers)? else { return Ok(None) };
    let Ok(mut next) = asked.join(&joined) else { return refused("it redirects to what is no address".into()) };
    if !matches!(next.scheme(), "http" | "https") {
        return refused(format!("it redirects to a `{}:` address", next.scheme()));
    }
    if asked.scheme() == "https" && next.scheme() == "http" {
        return refused("it redirects from https to http".into());
    }
    if !next.username().is_empty() || next.password().is_some() {
        return refused("it redirects to an address with credentials".into());
    }
    if next.fragment().is_none() {
        next.set_fragment(asked.fragment());
    }
    Ok(Some(next))
}

/// `Location` as it is written, if there is one: not judged. Two different ones are refused, and absurdly long ones.
pub fn written_location(headers: &HeaderMap) -> Result<Option<String>, HttpError> {
    let refused = |why: String| Err(HttpError::Bound(why));
    let mut values = headers.get_all(header::LOCATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.any(|other| other != value) {
        return refused("it redirects to two addresses at once".into());
    }
    if value.len() > crate::guard::MAX_URL_BYTES {
        return refused(format!("it redirects to an address of {} bytes", value.len()));
    }
    // Bytes that are not UTF-8 stand for themselves, as in a browser.
    let mut joined = String::new();
    for chunk in value.as_bytes().utf8_chunks() {
        joined.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| joined.push_str(&format!("%{byte:02X}")));
    }
    Ok(Some(joined))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, header::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        map
    }

    fn now() -> Timestamp {
        "2026-11-06T12:00:00Z".parse().unwrap()
    }

    #[track_caller]
    fn check_fresh(lines: &[(&'static str, &str)], want: Option<u64>) {
        assert_eq!(fresh_for(&map(lines), now()), want.map(Duration::from_secs), "{lines:?}");
    }

    #[test]
    fn freshness() {
        check_fresh(&[], None);
        check_fresh(&[("cache-control", "public, max-age=900")], Some(900));
        check_fresh(&[("cache-control", "Max-Age=\"900\"")], Some(900));
        check_fresh(&[("cache-control", "max-age=0")], None);
        check_fresh(&[("cache-control", "no-cache, no-store")], None);
        check_fresh(&[("cache-control", "max-age=900"), ("cache-control", "no-store")], None);
        check_fresh(&[("cache-control", "max-age=99999999999999999999999")], Some(86_400));
        check_fresh(&[("cache-control", "max-age=-5")], None);
        check_fresh(&[("expires", "Fri, 06 Nov 2026 12:10:00 GMT")], Some(600));
        check_fresh(
            &[("date", "Fri, 06 Nov 2026 12:09:00 GMT"), ("expires", "Fri, 06 Nov 2026 12:10:00 GMT")],
            Some(60),
        );
        check_fresh(&[("expires", "Thu, 01 Jan 1970 00:00:00 GMT")], None);
        check_fresh(&[("expires", "0")], None);
        check_fresh(&[("cache-control", "max-age=0"), ("expires", "Fri, 06 Nov 2026 12:10:00 GMT")], None);
    }

    #[track_caller]
    fn check_retry(status: u16, lines: &[(&'static str, &str)], want: Option<u64>) {
        assert_eq!(retry_after(&map(lines), status, now()), want.map(Duration::from_secs), "{lines:?}");
    }

    #[test]
    fn coming_back() {
        check_retry(429, &[], None);
        check_retry(429, &[("retry-after", "37")], Some(37));
        check_retry(503, &[("retry-after", " 0 ")], Some(0));
        check_retry(429, &[("retry-after", "-5")], None);
        check_retry(429, &[("retry-after", "soon")], None);
        check_retry(429, &[("retry-after", "999999999999999999999999")], Some(86_400));
        check_retry(429, &[("retry-after", "Fri, 06 Nov 2026 12:05:00 GMT")], Some(300));
        check_retry(429, &[("retry-after", "Fri, 06 Nov 2026 11:05:00 GMT")], None);
        check_retry(429, &[("retry-after", "Wed, 06 Nov 2030 11:05:00 GMT")], Some(86_400));
        check_retry(
            429,
            &[("date", "Fri, 06 Nov 2026 11:00:00 GMT"), ("retry-after", "Fri, 06 Nov 2026 11:05:00 GMT")],
            Some(300),
        );
    }

    #[test]
    fn rate_limit_reset() {
        let retry = |status, value: &str| retry_after(&map(&[("x-ratelimit-reset", value)]), status, now());
        assert_eq!(retry(429, "2026-11-06T12:01:00.250Z"), Some(Duration::from_millis(60_250)));
        assert_eq!(retry(200, "2026-11-06T12:01:00Z"), None, "it stands on every answer");
        assert_eq!(retry(429, "2026-11-06T11:01:00Z"), None);
        assert_eq!(retry(429, "2027-11-06T11:01:00Z"), Some(DAY));
        assert_eq!(retry(429, &(now().as_second() + 90).to_string()), Some(Duration::from_secs(90)));
        assert_eq!(retry(429, "90"), Some(Duration::from_secs(90)));
        assert_eq!(retry(429, "-90"), None);
        assert_eq!(retry(429, "x"), None);
    }

    #[test]
    fn validators_are_kept_as_they_are() {
        let kept = validators(&map(&[("etag", "W/\"a-ü\""), ("last-modified", "yesterday, about noon")]));
        assert_eq!(kept.etag.as_deref(), Some("W/\"a-ü\""));
        assert_eq!(kept.last_modified.as_deref(), Some("yesterday, about noon"));
        assert_eq!(validators(&map(&[("etag", &"x".repeat(2_000))])).etag, None);
    }

    #[track_caller]
    fn check_location(from: &str, to: &[&str], want: Option<&str>) {
        let lines: Vec<_> = to.iter().map(|to| ("location", *to)).collect();
        let got = location(&map(&lines), &from.parse().unwrap());
        assert_eq!(got.as_ref().ok().and_then(|u| u.as_ref()).map(Url::as_str), want, "{to:?}: {got:?}");
    }

    #[test]
    fn odd_locations() {
        let from = "https://a.org/x/y?q#f";
        check_location(from, &["z"], Some("https://a.org/x/z#f"));
        check_location(from, &["/z#g"], Some("https://a.org/z#g"));
        check_location(from, &["?z"], Some("https://a.org/x/y?z#f"));
        check_location(from, &["//b.org/z"], Some("https://b.org/z#f"));
        check_location(from, &["https://b.org/ä ö"], Some("https://b.org/%C3%A4%20%C3%B6#f"));
        check_location(from, &["z", "z"], Some("https://a.org/x/z#f"));
        check_location(from, &["z", "w"], None);
        check_location(from, &["http://a.org/"], None);
        check_location("http://a.org/", &["http://b.org/"], Some("http://b.org/"));
        check_location(from, &["file:///etc/passwd"], None);
        check_location(from, &["javascript:alert(1)"], None);
        check_location(from, &["data:text/html,x"], None);
        check_location(from, &["https://u:p@b.org/"], None);
        check_location(from, &["https://"], None);
        check_location(from, &[&"z".repeat(3_000)], None);
        check_location(from, &[], None);
        let latin = header::HeaderValue::from_bytes(b"/\xe4").unwrap();
        let mut map = HeaderMap::new();
        map.insert(header::LOCATION, latin);
        assert_eq!(location(&map, &from.parse().unwrap()).unwrap().unwrap().as_str(), "https://a.org/%E4#f");
    }
}
