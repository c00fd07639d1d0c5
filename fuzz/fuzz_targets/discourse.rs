//! What a forum answers: topics, lists, categories, feeds, and the bodies of its webhooks.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use oyez::source::SourceError;
use oyez::source::discourse::{parse_category, parse_list, parse_rss, parse_topic, parse_webhook};
use oyez_fuzz::{check_found, check_line, check_reason};
use url::Url;

fn told<T>(answer: Result<T, SourceError>) -> Option<T> {
    answer.map_err(|error| check_reason(&error.to_string())).ok()
}

fuzz_target!(|data: &[u8]| {
    let base = Url::parse("https://forum.example/sub").expect("an address");
    if let Some(topic) = told(parse_topic(data, &base)) {
        check_found(&topic);
        assert!(topic.key.starts_with("discourse:forum.example/"), "{}", topic.key);
        assert!(topic.url.starts_with("https://forum.example/sub/t/"), "{}", topic.url);
    }
    if let Some(list) = told(parse_list(data)) {
        let ids: BTreeSet<u64> = list.topics.iter().map(|topic| topic.id).collect();
        assert_eq!(ids.len(), list.topics.len(), "a topic twice");
        assert!(list.topics.len() <= 1_000 && !ids.contains(&0));
        list.skipped.iter().for_each(|reason| check_reason(reason));
        for topic in list.topics {
            check_line("a title", &topic.title);
            check_found(&topic.found(&base));
        }
    }
    if let Some(rss) = told(parse_rss(data, &base)) {
        assert!(rss.topics.len() <= 500);
        rss.skipped.iter().for_each(|reason| check_reason(reason));
        for topic in &rss.topics {
            assert_ne!(topic.id, 0);
            check_found(&topic.found);
        }
    }
    let _ = told(parse_category(data));
    match parse_webhook(data) {
        Ok(Some(hint)) => assert_ne!(hint.topic, 0),
        Ok(None) => {}
        Err(reason) => check_reason(&reason),
    }
});
