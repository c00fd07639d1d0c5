//! What an account's server answers: status and headers, an empty line, the body. And the pictures sent to it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oyez::item::Found;
use oyez::platform::SendError;
use oyez::platform::mastodon::fuzzing;
use oyez::render::Templates;
use oyez_fuzz::check_post;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

fuzz_target!(|data: &[u8]| {
    fuzzing::picture(data);
    let end = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..end], data.get(end + 2..).unwrap_or_default());
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.trim().parse().ok()).unwrap_or(200);
    let mut headers = HeaderMap::new();
    for line in lines.take(20) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    for publishes in [true, false] {
        let error = fuzzing::refusal(status, &headers, body, publishes, "s3cret");
        let reason = error.to_string();
        assert!(reason.len() <= 4_000 && !reason.contains("s3cret"), "{reason}");
        assert!(!reason.contains(char::is_control), "{reason:?}");
        if let SendError::Retry { after: Some(after), .. } = error {
            assert!(after <= std::time::Duration::from_secs(86_400), "{after:?}");
        }
    }
    let Ok(text) = std::str::from_utf8(body) else { return };
    fuzzing::likeness("Release 26.11 is out https://forum.example/t/42", "https://forum.example/t/42", text);
    let Ok(json) = serde_json::from_str(text) else { return };
    if let Some(published) = fuzzing::published(&json) {
        assert!(published.id.is_some_and(|id| !id.is_empty()));
        assert!(published.url.is_none_or(|url| url.starts_with("http")));
    }
    if let Ok((limits, _)) = fuzzing::limits(&json) {
        assert!(limits.max_length > 0 && limits.max_alt > 0);
        let found = Found {
            key: "discourse:forum.example/t/42".to_owned(),
            url: "https://forum.example/t/a-topic/42".to_owned(),
            title: "Release 26.11 is out".to_owned(),
            text: "It brings a faster installer. See https://forum.example/t/41 for more. Thank you all!".to_owned(),
            ..Found::default()
        };
        check_post(&found, &limits, &Templates::default());
    }
});
