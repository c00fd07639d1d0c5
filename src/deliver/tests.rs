//! When does it look again?
use std::time::Duration;

use super::*;
use crate::app::App;
use crate::clock::ManualClock;
use crate::config::Env;
use crate::item::{Found, Origin, State};
use crate::poll::Watched;
use crate::pretend::forum::Forum;
use crate::pretend::mastodon::{Cut, Fault, Flavour, Mastodon, On, TOKEN};
use crate::source::{PollContext, Polled, Reread, Source, SourceError};

#[tokio::test]
async fn a_lost_answer_is_looked_into_as_soon_as_patience_allows() {
    let clock = Arc::new(ManualClock::new("2026-11-23T10:00:00Z".parse().unwrap()));
    let forum = Forum::start(clock.clone()).await.unwrap();
    let mastodon = Mastodon::start(Flavour::Mastodon, clock.clone()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "[[source]]\nname = \"news\"\ntype = \"discourse\"\nurl = \"{}\"\ncategory = \"announcements\"\n\
         [hold]\nwindow = \"1h\"\nsettle = \"0s\"\nquiet-hours = \"none\"\n\
         [[account]]\nname = \"m\"\nplatform = \"mastodon\"\nserver = \"{}\"\ntoken = {{ env = \"T\" }}\n",
        forum.base(),
        mastodon.url()
    );
    let config = Arc::new(Config::parse(&text, "a test", &Env::of([("T", TOKEN)])).unwrap().config);
    let store = Store::open(dir.path()).unwrap();
    let app = App::build(config, store, clock.clone()).unwrap();
    app.once(true).await.unwrap();
    forum.announce("News", "<p>There is news.</p>");
    clock.advance(Duration::from_secs(60));
    app.once(true).await.unwrap();
    let item = app.store().active().unwrap().remove(0);
    clock.set(item.window_end.unwrap());

    mastodon.fault(On::Post, Fault::Lost(Cut::BeforeHead));
    let lost = app.deliverer().tick().await.unwrap();
    assert_eq!(lost.unsure, 1);
    assert_eq!(lost.next, Some(clock.now() + Patience::default().repeat_after));
    clock.set(lost.next.unwrap());
    app.deliverer().tick().await.unwrap();
    assert_eq!(app.store().item(item.number).unwrap().unwrap().state(), State::Done);
    assert_eq!(mastodon.created().len(), 1);
}

/// Reads what a test calls `hangs` for ever, and everything else as it was.
#[derive(Default)]
struct Fake {
    asked: tokio::sync::Notify,
}

#[async_trait::async_trait]
impl Source for Fake {
    fn host(&self) -> &str {
        "blog.example"
    }
    async fn poll(&self, _: &PollContext<'_>) -> Result<Polled, SourceError> {
        Ok(Polled::default())
    }
    async fn read(&self, _: &crate::http::Http, found: &Found, _: Timestamp) -> Result<Reread, SourceError> {
        if found.key == "hangs" {
            self.asked.notify_one();
            return std::future::pending().await;
        }
        Ok(Reread::Present(Box::new(found.clone())))
    }
}

struct Bench {
    _dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    store: Store,
    source: Arc<Fake>,
    poller: Arc<Poller>,
    deliverer: Deliverer,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = "[[source]]\nname = \"blog\"\ntype = \"feed\"\nurl = \"https://blog.example/f\"\n\
                    [hold]\nquiet-hours = \"none\"\n\
                    [[account]]\nname = \"a\"\nplatform = \"file\"\npath = \"-\"\n";
        let config = Arc::new(Config::parse(text, "a test", &Env::default()).unwrap().config);
        let clock = Arc::new(ManualClock::new("2026-11-23T10:00:00Z".parse().unwrap()));
        let store = Store::open(&dir.path().join("state")).unwrap();
        let source: Arc<Fake> = Arc::default();
        let watched =
            vec![Watched { config: config.sources[0].clone(), source: Arc::clone(&source) as Arc<dyn Source> }];
        let wording = Arc::new(crate::app::load_wording(&config).unwrap());
        let http = crate::http::Http::new(&config.network, None).unwrap();
        let now: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let poller =
            Poller::new(store.clone(), Arc::clone(&now), http, Arc::clone(&config), Arc::clone(&wording), watched);
        let poller = Arc::new(poller.unwrap());
        let (kept, patience) = (store.clone(), Patience::default());
        let deliverer = Deliverer::new(kept, now, config, wording, Arc::clone(&poller), BTreeMap::new(), patience);
        Self { _dir: dir, clock, store, source, poller, deliverer }
    }

    fn add(&self, key: &str, phase: Phase) -> Number {
        let now = self.clock.now();
        let origin = Origin {
            source: "blog".into(),
            contact: "feed:https://blog.example/f".into(),
            first_seen: now,
            found: Found {
                key: key.into(),
                url: format!("https://blog.example/{key}"),
                title: format!("News {key}"),
                ..Found::default()
            },
            gone: None,
        };
        let item = Item {
            kind: "announcement".into(),
            phase,
            origins: vec![origin],
            first_seen: now,
            last_change: now,
            settled: Some(now),
            window_end: Some(now + Duration::from_secs(60)),
            deliveries: [("a".to_owned(), crate::item::Delivery::default())].into(),
            ..Item::default()
        };
        self.store.commit(Change { items: vec![item], ..Change::default() }).unwrap().items[0].number
    }

    fn item(&self, number: Number) -> Item {
        self.store.item(number).unwrap().unwrap()
    }

    /// Serves until `done`, which is asked with every beat.
    async fn serve_until(&self, done: impl Fn(usize) -> bool) {
        let (wake, stop) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
        let beats = std::cell::Cell::new(0);
        let beat = || {
            beats.set(beats.get() + 1);
            // As each round of the manual clock: it stands still, and nothing may depend on that.
            if done(beats.get()) { stop.notify_one() } else { wake.notify_one() }
        };
        let served = self.deliverer.serve(&wake, stop.notified(), beat);
        tokio::time::timeout(Duration::from_secs(30), served).await.expect("it comes to it").unwrap();
    }
}

#[tokio::test]
async fn what_is_new_settles_while_an_origin_of_another_item_hangs() {
    let bench = Bench::new();
    bench.add("hangs", Phase::Settling);
    let (wake, stop) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
    let served = bench.deliverer.serve(&wake, stop.notified(), || {});
    let story = async {
        bench.source.asked.notified().await;
        let new = bench.add("new", Phase::Settling);
        wake.notify_one();
        let settled = async {
            while bench.item(new).phase != Phase::Held {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), settled).await.expect("nobody waits for the one that hangs");
    };
    // What hangs would hold up the stop as well, for as long as a reading may take.
    tokio::select! {
        () = story => {}
        _ = served => panic!("it serves until it is stopped"),
    }
}

#[tokio::test]
async fn promise_01_after_an_outage_nothing_is_decided_before_a_server_was_heard() {
    let bench = Bench::new();
    let number = bench.add("held", Phase::Held);
    bench.store.set_alive(bench.clock.now()).unwrap();
    let window_end = bench.item(number).window_end;
    // The machine comes up, perhaps with a clock that is wrong by a year.
    bench.clock.advance(Duration::from_secs(365 * 86_400));
    bench.deliverer.start(false).unwrap();
    bench.serve_until(|beats| beats > 5).await;
    assert_eq!(bench.item(number).window_end, window_end, "no grace from a moment that may never have been");
    assert_eq!(bench.store.journal(Default::default()).count(), 0);
    // It ends before any was heard: the next start must still know that it was away.
    bench.deliverer.end().unwrap();
    bench.deliverer.start(false).unwrap();
    bench.poller.tick(true).await.unwrap();
    bench.serve_until(|_| bench.item(number).window_end > window_end).await;
    let grace = bench.clock.now() + Duration::from_secs(3600);
    assert_eq!(bench.item(number).window_end, Some(grace));
    let outages =
        bench.store.journal(Default::default()).filter(|entry| entry.as_ref().unwrap().entry.what == "outage");
    assert_eq!(outages.count(), 1);
}

#[tokio::test]
async fn promise_01_an_outage_before_a_first_round_is_not_forgotten_where_that_round_was_cut_off() {
    let bench = Bench::new();
    let number = bench.add("held", Phase::Held);
    bench.store.set_alive(bench.clock.now()).unwrap();
    bench.clock.advance(Duration::from_secs(2 * 3600));
    // `run` was down for two hours; the first `run --once` dies before it gets to anything.
    bench.deliverer.start(true).unwrap();
    bench.deliverer.start(true).unwrap();
    bench.deliverer.tick().await.unwrap();
    assert_eq!(bench.item(number).window_end, Some(bench.clock.now() + Duration::from_secs(3600)));
    // From now on it runs in rounds, which are away from each other by design.
    bench.clock.advance(Duration::from_secs(2 * 3600));
    let before = bench.item(number);
    bench.deliverer.start(true).unwrap();
    bench.deliverer.tick().await.unwrap();
    assert_eq!(bench.item(number).window_end, before.window_end);
}
