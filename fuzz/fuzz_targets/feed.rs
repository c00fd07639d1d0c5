//! Feeds of every kind. The last byte says what HTTP said about it, and where it was asked.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use oyez::source::feed::parse;
use oyez_fuzz::{check_found, check_reason};
use url::Url;

const TYPES: [Option<&str>; 6] = [
    None,
    Some("application/rss+xml; charset=utf-8"),
    Some("text/xml; charset=windows-1252"),
    Some("application/atom+xml; charset=\"utf-16\""),
    Some("application/feed+json"),
    Some("text/html; charset=koi8-r"),
];
const BASES: [&str; 4] = [
    "https://blog.example/feed.xml",
    "https://www.youtube.com/feeds/videos.xml?channel_id=UCaaaaaaaaaaaaaaaaaaaaaa",
    "https://videos.example/feeds/videos.xml?videoChannelId=7",
    "https://forum.example/c/news/8.rss",
];

fuzz_target!(|data: &[u8]| {
    let Some((&last, data)) = data.split_last() else { return };
    let content_type = TYPES[usize::from(last) % TYPES.len()];
    let base = Url::parse(BASES[usize::from(last) / TYPES.len() % BASES.len()]).expect("an address");
    match parse(data, &base, content_type) {
        Ok(feed) => {
            assert!(!feed.contact.is_empty());
            assert!(feed.entries.len() <= oyez::source::feed::MAX_ENTRIES);
            feed.skipped.iter().for_each(|reason| check_reason(reason));
            let keys: BTreeSet<&str> = feed.entries.iter().map(|entry| entry.found.key.as_str()).collect();
            assert_eq!(keys.len(), feed.entries.len(), "two entries with one key");
            feed.entries.iter().for_each(|entry| check_found(&entry.found));
            assert_eq!(parse(data, &base, content_type), Ok(feed), "read twice, it is another feed");
        }
        Err(reason) => check_reason(&reason),
    }
});
