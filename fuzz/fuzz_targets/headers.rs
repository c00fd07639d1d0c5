//! The headers of an answer: how long it is fresh, when to come back, where a redirect leads. One `Name: value` a line;
//! the first line is the status.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use oyez::http::headers::{DAY, content_type, date, fresh_for, location, retry_after, validators};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED};
use url::Url;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let status = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.trim().parse().ok()).unwrap_or(429);
    let mut headers = HeaderMap::new();
    for line in lines.take(50) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let now: Timestamp = "2026-11-06T12:00:00Z".parse().expect("a time");
    if let Some(fresh) = fresh_for(&headers, now) {
        assert!(!fresh.is_zero() && fresh <= DAY, "fresh for {fresh:?}");
    }
    if let Some(after) = retry_after(&headers, status, now) {
        assert!(after <= DAY, "back after {after:?}");
    }
    let validators = validators(&headers);
    for kept in [&validators.etag, &validators.last_modified].into_iter().flatten() {
        assert!(kept.len() <= 1_024);
        HeaderValue::from_str(kept).or_else(|_| HeaderValue::from_bytes(kept.as_bytes())).expect("it is sent again");
    }
    assert!(content_type(&headers).is_none_or(|kind| kind.len() <= 256));
    let _ = date(&headers, LAST_MODIFIED);
    for asked in ["https://forum.example/c/8.json#top", "http://forum.example/"] {
        let asked = Url::parse(asked).expect("an address");
        match location(&headers, &asked) {
            Ok(Some(next)) => {
                assert!(matches!(next.scheme(), "http" | "https"), "{next}");
                assert!(asked.scheme() == "http" || next.scheme() == "https", "from https to {next}");
                assert!(next.username().is_empty() && next.password().is_none(), "{next}");
                assert!(next.host_str().is_some_and(|host| !host.is_empty()));
            }
            Ok(None) => {}
            Err(error) => assert!(error.to_string().len() <= 2_000),
        }
    }
});
