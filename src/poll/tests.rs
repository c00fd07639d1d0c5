use std::collections::HashMap;

use async_trait::async_trait;

use super::*;
use crate::clock::ManualClock;
use crate::config::Env;
use crate::item::{Author, State};
use crate::store::JournalFilter;

/// What [`Fake`] answers when one thing is read.
#[derive(Clone)]
enum Answer {
    There(Box<Found>),
    Gone,
    Later,
    Panics,
    Hangs,
}

/// A source that shows and answers what a test says.
#[derive(Default)]
struct Fake {
    host: String,
    shown: Mutex<Vec<Sighting>>,
    answers: Mutex<HashMap<String, Answer>>,
    reads: Mutex<Vec<String>>,
}

#[async_trait]
impl Source for Fake {
    fn host(&self) -> &str {
        &self.host
    }
    async fn poll(&self, _: &PollContext<'_>) -> Result<Polled, SourceError> {
        let sightings = self.shown.lock().unwrap().clone();
        Ok(Polled { sightings, contacts: vec![format!("fake:{}", self.host)], ..Polled::default() })
    }
    async fn read(&self, _: &Http, found: &Found, _: Timestamp) -> Result<Reread, SourceError> {
        self.reads.lock().unwrap().push(found.key.clone());
        let answer = self.answers.lock().unwrap().get(&found.key).cloned();
        match answer {
            Some(Answer::There(found)) => Ok(Reread::Present(found)),
            Some(Answer::Gone) => Ok(Reread::Gone("deleted".into())),
            Some(Answer::Panics) => panic!("a parser's fault"),
            Some(Answer::Hangs) => std::future::pending().await,
            Some(Answer::Later) | None => Err(SourceError::Later { reason: "busy".into(), after: None }),
        }
    }
}

struct World {
    _dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    store: Store,
    poller: Poller,
    forum: Arc<Fake>,
    blog: Arc<Fake>,
}

fn found(key: &str, text: &str) -> Found {
    Found {
        key: key.into(),
        url: format!("https://forum.example/{key}"),
        title: format!("News {key}"),
        text: text.into(),
        author: Some(Author { name: "Alice".into(), username: Some("alice".into()), ..Author::default() }),
        ..Found::default()
    }
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let config = "[[source]]\nname = \"forum\"\ntype = \"feed\"\nurl = \"https://forum.example/f\"\n\
                  [[source]]\nname = \"blog\"\ntype = \"feed\"\nurl = \"https://blog.example/f\"\n\
                  [[account]]\nname = \"dry\"\nplatform = \"file\"\npath = \"-\"\n";
    let config = Config::parse(config, "test", &Env::of([("A", "b")])).unwrap().config;
    let store = Store::open(&dir.path().join("state")).unwrap();
    let clock = Arc::new(ManualClock::new("2026-11-13T12:00:00Z".parse().unwrap()));
    let fake = |host: &str| Arc::new(Fake { host: host.into(), ..Fake::default() });
    let (forum, blog) = (fake("forum.example"), fake("blog.example"));
    let watched = config
        .sources
        .iter()
        .zip([Arc::clone(&forum), Arc::clone(&blog)])
        .map(|(config, source)| Watched { config: config.clone(), source: source as Arc<dyn Source> })
        .collect();
    let http = Http::new(&config.network, None).unwrap();
    let config = Arc::new(config);
    let wording = Arc::new(crate::app::load_wording(&config).unwrap());
    let now: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
    let poller = Poller::new(store.clone(), now, http, config, wording, watched).unwrap();
    World { _dir: dir, clock, store, poller, forum, blog }
}

impl Fake {
    fn shows(&self, key: &str) {
        self.shown.lock().unwrap().push(Sighting {
            key: key.into(),
            contact: format!("fake:{}", self.host),
            url: format!("https://forum.example/{key}"),
            title: format!("News {key}"),
            published: None,
            fingerprint: "1".into(),
            pinned: false,
            full: None,
        });
    }

    fn answers(&self, key: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(key.into(), answer);
    }
}

impl World {
    async fn poll(&self) -> Tally {
        self.clock.advance(Duration::from_secs(60));
        self.poller.tick(true).await.unwrap()
    }

    fn state(&self, key: &str) -> Option<State> {
        let number = self.store.by_key(key).unwrap()?;
        Some(self.store.item(number).unwrap().unwrap().state())
    }

    fn journal(&self) -> Vec<(String, String)> {
        let entries = self.store.journal(JournalFilter::default()).map(|entry| entry.unwrap().to_json());
        let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        entries.map(|entry| (word(&entry["actor"]), word(&entry["what"]))).collect()
    }
}

#[tokio::test]
async fn promise_04_what_cannot_be_read_is_kept_and_stops_nobody() {
    let world = world();
    world.poll().await;
    for key in ["a", "b", "c"] {
        world.forum.shows(key);
    }
    world.forum.answers("a", Answer::Panics);
    world.forum.answers("b", Answer::There(Box::new(found("b", "text"))));
    world.forum.answers("c", Answer::There(Box::new(found("c", "text"))));
    let tally = world.poll().await;
    assert_eq!((tally.seen, tally.failed), (2, vec!["forum".to_owned()]));
    // Even where the list does not show it any more.
    world.forum.shown.lock().unwrap().clear();
    world.forum.answers("a", Answer::There(Box::new(found("a", "text"))));
    assert_eq!(world.poll().await.seen, 1);
    let words: Vec<String> = world.journal().into_iter().map(|(_, what)| what).collect();
    assert!(
        words.contains(&"source-failing".to_owned()) && words.contains(&"source-recovered".to_owned()),
        "{words:?}"
    );
}

#[tokio::test]
async fn promise_11_a_forum_that_is_busy_is_asked_for_nothing_more() {
    let world = world();
    world.poll().await;
    for key in ["a", "b", "c"] {
        world.forum.shows(key);
    }
    assert_eq!(world.poll().await.seen, 0);
    assert_eq!(world.forum.reads.lock().unwrap().len(), 1);
    for key in ["a", "b", "c"] {
        world.forum.answers(key, Answer::There(Box::new(found(key, "text"))));
    }
    assert_eq!(world.poll().await.seen, 3);
}

#[tokio::test]
async fn what_comes_back_is_told_and_not_published() {
    let world = world();
    world.poll().await;
    world.forum.shows("a");
    world.forum.answers("a", Answer::There(Box::new(found("a", "text"))));
    world.poll().await;
    let number = world.store.by_key("a").unwrap().unwrap();
    world.forum.answers("a", Answer::Gone);
    assert!(world.poller.reread(number).await.unwrap().reached);
    assert_eq!(world.state("a"), Some(State::Withdrawn));
    world.forum.answers("a", Answer::There(Box::new(found("a", "text"))));
    world.poll().await;
    assert_eq!(world.state("a"), Some(State::Withdrawn));
    assert_eq!(world.store.item(number).unwrap().unwrap().alarms.len(), 1);
}

#[tokio::test]
async fn a_second_place_out_of_reach_holds_nothing_up_and_a_change_has_its_author() {
    let world = world();
    world.poll().await;
    world.forum.shows("a");
    world.forum.answers("a", Answer::There(Box::new(found("a", "text"))));
    world.blog.shows("b");
    world.blog.answers("b", Answer::There(Box::new(Found { aliases: vec!["a".into()], ..found("b", "text") })));
    world.poll().await;
    let number = world.store.by_key("a").unwrap().unwrap();
    assert_eq!(world.store.item(number).unwrap().unwrap().origins.len(), 2);
    world.blog.answers("b", Answer::Later);
    assert!(world.poller.reread(number).await.unwrap().reached);
    world.forum.answers("a", Answer::There(Box::new(found("a", "other text"))));
    assert!(world.poller.reread(number).await.unwrap().reached);
    assert!(world.journal().contains(&("forum:alice".to_owned(), "changed".to_owned())));
    world.forum.answers("a", Answer::Later);
    let reach = world.poller.reread(number).await.unwrap();
    assert_eq!(reach, Reach { reached: false, leave_alone: Some(Duration::ZERO) });
}

/// The process dies while the first of two new things is read; by the next poll both may have left the list.
#[tokio::test]
async fn promise_04_what_a_list_showed_survives_a_crash_before_it_was_read() {
    let world = world();
    world.poller.tick(true).await.unwrap();
    for key in ["b", "a"] {
        world.forum.shows(key);
        world.forum.answers(key, Answer::Hangs);
    }
    assert!(world.poller.tick(true).now_or_never().is_none(), "it is being read");
    let pending: Vec<Pending> = serde_json::from_value(world.store.source("forum").unwrap().pending).unwrap();
    assert_eq!(pending.iter().map(|p| p.sighting.key.as_str()).collect::<BTreeSet<_>>(), BTreeSet::from(["a", "b"]));
    // With the same time, or none, what stands lower in the list is older.
    assert_eq!(*world.forum.reads.lock().unwrap(), ["a"]);
}

#[tokio::test]
async fn promise_10_what_came_under_a_former_name_is_read_where_its_place_is_shown_now() {
    let world = world();
    world.poll().await;
    // Sent on its way by a person only after the desk had been looked through for such.
    let deliveries = [("dry".to_owned(), crate::item::Delivery::default())].into();
    let origin = crate::item::Origin {
        source: "a-former-name".into(),
        contact: "fake:forum.example".into(),
        first_seen: world.clock.now(),
        found: found("old", "words"),
        gone: None,
    };
    let item = Item {
        kind: "announcement".into(),
        phase: crate::item::Phase::Held,
        origins: vec![origin],
        deliveries,
        ..Item::default()
    };
    let number = world.store.commit(Change { items: vec![item], ..Change::default() }).unwrap().items[0].number;
    world.forum.answers("old", Answer::Gone);
    assert!(world.poller.reread(number).await.unwrap().reached);
    assert_eq!(world.forum.reads.lock().unwrap().as_slice(), ["old"]);
    assert_eq!(world.state("old"), Some(State::Withdrawn));
}
