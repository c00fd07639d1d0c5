//! What media.ccc.de and PeerTube answer, and the ids in addresses of the latter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oyez::source::{Reread, media_ccc, peertube};
use oyez_fuzz::{check_found, check_reason};
use url::Url;

fuzz_target!(|data: &[u8]| {
    let base = Url::parse("https://media.ccc.de/").expect("an address");
    match media_ccc::parse_events(data, &base) {
        Ok(events) => events.found.iter().for_each(check_found),
        Err(reason) => check_reason(&reason),
    }
    match media_ccc::parse_event(data, &base) {
        Ok(found) => check_found(&found),
        Err(reason) => check_reason(&reason),
    }
    match media_ccc::parse_conferences(data) {
        Ok(conferences) => assert!(conferences.iter().all(|conference| !conference.acronym.is_empty())),
        Err(reason) => check_reason(&reason),
    }
    let base = Url::parse("https://videos.example/").expect("an address");
    match peertube::parse_list(data, &base) {
        Ok(videos) => videos.found.iter().for_each(check_found),
        Err(reason) => check_reason(&reason),
    }
    match peertube::parse_video(data, &base) {
        Ok(Reread::Present(found)) => check_found(&found),
        Ok(Reread::Gone(why)) => check_reason(&why),
        Ok(Reread::Unknown) => {}
        Err(reason) => check_reason(&reason),
    }
    if let Ok(text) = std::str::from_utf8(data) {
        if let Some(uuid) = peertube::uuid_of(text) {
            assert_eq!(peertube::uuid_of(&uuid).as_ref(), Some(&uuid), "a UUID is its own");
        }
        if let Some(id) = peertube::id_of_path(text) {
            assert!(!id.is_empty() && !id.contains('/'), "{id:?}");
        }
    }
});
