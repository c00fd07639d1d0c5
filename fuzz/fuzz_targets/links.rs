//! Addresses: found in texts, counted, guarded, and the keys by which two are known to mean one thing.
#![no_main]

use std::ops::Range;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use oyez::guard::{Guard, Refused};
use oyez::linker::Linker;
use oyez::text::clean;
use oyez::{config, count, link, platform};
use oyez_fuzz::check_address;
use url::Url;

static LINKER: LazyLock<Linker> = LazyLock::new(Linker::built_in);

fn check_ranges(text: &str, ranges: &[Range<usize>]) {
    let mut at = 0;
    for range in ranges {
        assert!(at <= range.start && range.start < range.end, "{ranges:?} of {text:?}");
        assert!(text.get(range.clone()).is_some(), "{range:?} cuts a character of {text:?}");
        at = range.end;
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };

    let found = link::find(text);
    check_ranges(text, &found);
    for range in found {
        let address = &text[range];
        check_address("what was found", address);
        // Only cleaned texts are searched; before a control character linkify ends differently than at the end.
        if clean(text) != text {
            continue;
        }
        let again = link::find(address);
        assert_eq!(again.first().map(|range| &address[range.clone()]), Some(address), "found once, then not");
    }

    // What may stand in no post is told as it is written.
    for refused in LINKER.refused_in(text) {
        assert!(text.contains(&refused), "{refused:?} of {text:?}");
    }

    let counted = count::urls(text);
    check_ranges(text, &counted);
    let length = count::mastodon(text, "", 23);
    assert!(length <= text.chars().count() + 23 * counted.len(), "{length} of {text:?}");
    assert!(count::code_points(text, "") >= count::Unit::Graphemes.length(text, ""));

    let Ok(url) = Url::parse(text) else { return };
    // `7.20..` is a name, and an address of four numbers without its dots: no name service knows either.
    if url.domain().is_some_and(|name| name.ends_with("..")) {
        return;
    }
    if let Some(canonical) = link::canonical(&url) {
        let again = Url::parse(&canonical).unwrap_or_else(|error| panic!("{canonical:?} of {text:?}: {error}"));
        assert_eq!(link::canonical(&again).as_ref(), Some(&canonical), "of {text:?}");
    }
    let keys = link::identity_keys(&url);
    assert!(keys.len() <= 1 && keys.iter().all(|key| key.contains(':')), "{keys:?}");
    if let Some(address) = keys.first().and_then(|key| key.strip_prefix("url:")) {
        let again = Url::parse(address).expect("a canonical address");
        assert_eq!(link::identity_keys(&again), keys, "of {text:?}");
    }
    if let Some(id) = link::youtube_id(&url) {
        assert!(id.len() == 11 && id.is_ascii(), "{id:?}");
    }
    if let Some(key) = link::discourse_key(&url) {
        assert!(key.rsplit('/').next().is_some_and(|id| id.parse::<u64>().is_ok()), "{key}");
    }
    match Guard::new(&[]).gate(&url) {
        Ok(_) => assert!(url.domain().is_some_and(|name| name.contains('.')), "let through: {text:?}"),
        Err(Refused::Number(ip)) => assert!(oyez::guard::is_public(ip)),
        Err(_) => {}
    }
    if let Some(id) = platform::id_in_url("mastodon", &url) {
        assert!(id.bytes().all(|b| b.is_ascii_alphanumeric()));
    }
    if let Ok((forum, category)) = config::init::category_of(&url) {
        assert!(!category.is_empty());
        let text = config::init::render(&forum, &category, "news");
        let parsed = config::Config::parse(&text, "oyez.toml", &config::Env::default().without_secrets());
        assert!(parsed.is_ok(), "`oyez init` wrote what `oyez` cannot read: {parsed:?}");
    }
});
