//! Measurements, run by hand.
use super::*;

/// `cargo test --release --lib -- --ignored --nocapture how_fast`
#[test]
#[ignore = "a measurement, not a test"]
#[expect(clippy::print_stdout, reason = "it is there to print")]
fn how_fast_durable_changes_are() {
    let (dir, store) = open();
    let start = std::time::Instant::now();
    for n in 0..1000 {
        let item = add(&store, &format!("k{n}"));
        store.commit(change(item)).unwrap();
    }
    println!("1,000 items with two durable changes each, one after the other: {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let store = reopen(&dir, store);
    println!("opened again: {:?}", start.elapsed());
    let start = std::time::Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let store = store.clone();
            scope.spawn(move || {
                for n in 0..64 {
                    let item = add(&store, &format!("{thread}-{n}"));
                    store.commit(change(item)).unwrap();
                }
            });
        }
    });
    println!("1,024 items with two durable changes each, from 16 threads: {:?}", start.elapsed());
}

/// `cargo test --release --lib -- --ignored --nocapture how_it_grows`
#[test]
#[ignore = "a measurement, not a test"]
#[expect(clippy::print_stdout, reason = "it is there to print")]
fn how_it_grows() {
    let (dir, mut store) = open();
    let items = std::env::var("OYEZ_ITEMS").map_or(100_000, |items| items.parse().unwrap());
    let tenth = items / 10;
    for n in 1..=10 {
        let start = std::time::Instant::now();
        for m in 0..tenth {
            let mut item = item(&format!("{n}-{m}"));
            item.phase = Phase::Known;
            let change = Change { notes: vec![note("seen", Some(Which::New(0)))], ..change_new(item) };
            let item = store.commit(change).unwrap().items.remove(0);
            store.commit(Change { durable: false, ..self::change(item) }).unwrap();
        }
        store.sync().unwrap();
        let (took, bytes) = (start.elapsed(), fs::metadata(store.dir().join("sled/db")).unwrap().len());
        let start = std::time::Instant::now();
        store = reopen(&dir, store);
        let opened = start.elapsed();
        println!("{} items: the last {tenth} took {took:?}, {} MiB, opened in {opened:?}", n * tenth, bytes >> 20);
    }
}
