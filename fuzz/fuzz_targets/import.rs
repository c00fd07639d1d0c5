//! An export that somebody altered, its checksum made to fit again: imported, exported, and worked with.
//!
//! One JSON line each: a record as in an export; `!JSON` becomes an entry of the journal that verifies; items are found by their
//! keys; an object with `do` is asked of the team's desk afterwards.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use oyez::acts::{Desk, Request};
use oyez::clock::SystemClock;
use oyez::config::{Config, Env};
use oyez::journal::{Digest, Happening, Head};
use oyez::store::Store;
use oyez::{life, plan};
use serde_json::{Value, json};
use sha2::Digest as _;

fn export(store: &Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.export(&mut bytes).expect("what was imported can be exported");
    bytes
}

/// The keys that an item in this line must be found by.
fn keys_of(line: &Value) -> Vec<(String, u64)> {
    let number = line.pointer("/item/number").and_then(Value::as_u64).unwrap_or_default();
    let origins = line.pointer("/item/origins").and_then(Value::as_array);
    let keys = origins.into_iter().flatten().filter_map(|origin| origin.pointer("/found/key")?.as_str());
    keys.map(|key| (key.to_owned(), number)).collect()
}

fuzz_target!(|data: &[u8]| {
    let now: Timestamp = "2026-11-06T12:00:00Z".parse().expect("a time");
    let mut lines = b"{\"oyez_export\":{\"format\":1}}\n".to_vec();
    let (mut count, mut head, mut requests, mut keys) = (1_u64, Head::default(), Vec::new(), BTreeMap::new());
    for line in data.split(|byte| *byte == b'\n').take(40) {
        if let Ok(request) = serde_json::from_slice::<Request>(line) {
            // A copy would be written wherever the input says.
            if !matches!(request, Request::Backup { .. }) {
                requests.push(request);
            }
            continue;
        }
        if let Some(Ok(detail)) = line.strip_prefix(b"!").map(serde_json::from_slice::<Value>) {
            let number = |name: &str| detail.get(name).and_then(Value::as_u64);
            let happening = Happening {
                at: detail.get("at").and_then(|at| at.as_str()?.parse().ok()).unwrap_or(now),
                item: number("item"),
                rev: number("rev"),
                actor: "cli:ida".to_owned(),
                what: "held",
                reason: None,
                text: None,
                detail,
            };
            let recorded = head.append(happening, &[7; 16]);
            lines.extend(serde_json::to_vec(&json!({ "entry": recorded })).expect("JSON"));
        } else if !line.is_empty() {
            lines.extend(line);
            keys.extend(serde_json::from_slice(line).iter().flat_map(keys_of));
        } else {
            continue;
        }
        lines.push(b'\n');
        count += 1;
    }
    for (key, number) in keys {
        lines.extend(serde_json::to_vec(&json!({ "key": [Digest::of(key.as_bytes()), number] })).expect("JSON"));
        lines.push(b'\n');
        count += 1;
    }
    let digest = Digest(sha2::Sha256::digest(&lines).into());
    lines.extend(serde_json::to_vec(&json!({ "end": { "lines": count, "sha256": digest } })).expect("JSON"));
    lines.push(b'\n');

    let dir = tempfile::tempdir().expect("a directory");
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let store = match Store::import(&first, &lines[..]) {
        Ok(store) => store,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(!first.exists(), "something is left of what was refused");
            return;
        }
    };
    store.verify().expect("it was verified");
    let exported = export(&store);
    let again = Store::import(&second, &exported[..]).expect("its own export");
    assert_eq!(export(&again), exported, "another round changes it");
    drop(again);

    let config = oyez::config::init::render(&"https://forum.example".parse().expect("an address"), "8", "news");
    let config = Arc::new(Config::parse(&config, "oyez.toml", &Env::default()).expect("what init writes").config);
    let wording = Arc::new(oyez::app::load_wording(&config).expect("what comes with the program"));
    let plan = plan::make(&store, &config, now).expect("a plan");
    for item in store.items(..) {
        let item = item.expect("an item");
        let _ = (item.state(), item.attention(), plan.until(&item), item.found());
        wording.word_all(&store, &item).expect("words");
        for account in item.deliveries.keys() {
            let _ = (life::may_leave(&item, account, now), life::may_repeat(&item, account, now));
        }
    }
    let desk = Desk::new(store.clone(), Arc::new(SystemClock::new()), config, wording, None);
    requests.truncate(8);
    requests.extend([Request::Queue { all: true }, Request::Log { item: None }]);
    requests
        .extend(store.items(..).take(4).map(|item| Request::Show { item: item.expect("an item").number.to_string() }));
    for request in requests {
        let _ = desk.execute("cli:ida", request, &mut |_| Ok(()));
    }
    store.verify().expect("after the acts");
});
