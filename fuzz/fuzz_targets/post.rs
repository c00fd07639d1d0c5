//! Posts: title, text, name, event, address, alt text and limit, with the separator between, composed and fitted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oyez::item::{Author, Found, Image};
use oyez::platform::Limits;
use oyez::render::Templates;
use oyez_fuzz::{check_post, parts};

fuzz_target!(|data: &[u8]| {
    let [title, text, name, event, url, alt, limit] = parts(data);
    let found = Found {
        key: "discourse:forum.example/t/42".to_owned(),
        url: if url.is_empty() { "https://forum.example/t/a-topic/42".to_owned() } else { url },
        title,
        text,
        author: Some(Author { name: name.clone(), ..Author::default() }),
        persons: if event.is_empty() { Vec::new() } else { name.split(',').map(str::to_owned).collect() },
        event: Some(event).filter(|event| !event.is_empty()),
        images: vec![Image { url: "https://forum.example/a.png".to_owned(), alt: Some(alt) }],
        ..Found::default()
    };
    // Servers say this, so it is any number; what is left of the bytes chooses how they count.
    let limit: u64 = limit.trim().parse().unwrap_or(500);
    let templates = Templates::default();
    let base = Limits { max_length: usize::try_from(limit).unwrap_or(usize::MAX), ..Limits::mastodon() };
    for limits in [
        Limits { counts_code_points: true, url_length: None, ..base.clone() },
        Limits { url_length: None, max_alt: base.max_length, ..base.clone() },
        base,
    ] {
        check_post(&found, &limits, &templates);
    }
});
