//! Promises about hearing: nothing is lost (4), first contact is quiet (5), one thing is one post (6), sources are asked
//! politely (11).
use oyez::acts::{Request, TeamAct};
use oyez::item::{Number, State};
use oyez::pretend::forum::{Fault, Topic};
use oyez::pretend::video::{Channel, Conferences, Mood, Tube, Video};
use serde_json::Value;

use crate::site::{Page, Site, entry, feed};
use crate::world::{DAY, HOUR, MINUTE, World};

/// A day before [`crate::world::MONDAY`].
const BEFORE: &str = "2026-11-01T09:00:00Z";
/// An hour after it.
const AFTER: &str = "2026-11-02T10:00:00Z";

/// The service goes on with this configuration.
fn reconfigure(world: &mut World, change: impl FnOnce(String) -> String) {
    world.toml = change(std::mem::take(&mut world.toml));
    world.restart();
}

/// A further section of the configuration.
fn add(world: &mut World, toml: &str) {
    reconfigure(world, |before| format!("{before}\n{toml}\n"));
}

fn source(name: &str, kind: &str, url: &str, more: &str) -> String {
    format!("[[source]]\nname = \"{name}\"\ntype = \"{kind}\"\nurl = \"{url}\"\nkind = \"announcement\"\n{more}\n")
}

/// The entries of the whole journal with this word.
fn said(world: &World, what: &str) -> Vec<Value> {
    let log = world.ask(Request::Log { item: None }).unwrap();
    log.into_iter().filter(|entry| entry["what"] == what).collect()
}

fn known(world: &World, topic: u64) -> bool {
    let key = oyez::source::discourse::topic_key(world.forum.base(), topic);
    world.app().store().by_key(&key).unwrap().is_some()
}

/// The item with this title.
fn titled(world: &World, title: &str) -> Option<Number> {
    let items = world.app().store().items(..).map(Result::unwrap);
    let mut found = items.filter(|item| item.found().title == title).map(|item| item.number);
    let first = found.next();
    assert_eq!(found.next(), None, "`{title}` is two items");
    first
}

fn topic_json(topic: u64) -> String {
    format!("/t/{topic}.json")
}

// 4. Nothing is lost.

#[tokio::test]
async fn promise_04_one_topic_that_cannot_be_read_stops_no_other() {
    let world = World::new().await;
    world.meet().await;
    let mut topics = Vec::new();
    for n in 0..4 {
        topics.push(world.forum.announce(&format!("News {n}"), "<p>Words.</p>"));
        world.advance(MINUTE);
    }
    world.forum.fail_at(&topic_json(topics[1]), Some(Fault::Down));
    for _ in 0..3 {
        world.poll().await;
        world.advance(HOUR);
    }
    assert_eq!(topics.iter().map(|t| known(&world, *t)).collect::<Vec<_>>(), [true, false, true, true]);
    let later = world.announce("Newer news", "<p>Words.</p>").await;
    assert_eq!(world.state(later), State::Settling, "newer ones do not wait for it either");
    assert_eq!(said(&world, "source-failing").len(), 1, "it is visible, once");
    world.forum.fail_at(&topic_json(topics[1]), None);
    world.poll().await;
    assert!(known(&world, topics[1]));
    assert_eq!(said(&world, "source-recovered").len(), 1);
}

#[tokio::test]
async fn promise_04_a_topic_that_cannot_be_read_yet_is_not_lost_over_restarts_and_newer_ones() {
    for fault in [Fault::SlowDownJson { retry_after_s: 600 }, Fault::SlowDownText { retry_after_s: 600 }, Fault::Down] {
        let mut world = World::new().await;
        world.meet().await;
        let early = world.forum.announce("Early news", "<p>Words.</p>");
        world.forum.fail_at(&topic_json(early), Some(fault.clone()));
        world.poll().await;
        world.stop();
        world.start();
        // Enough to push it off the first page, and the next one as well.
        for n in 0..65 {
            world.advance(MINUTE);
            world.forum.announce(&format!("Later news {n}"), "<p>Words.</p>");
        }
        world.poll().await;
        world.restart();
        world.advance(HOUR);
        world.poll().await;
        assert!(titled(&world, "Later news 64").is_some() && !known(&world, early), "{fault:?}");
        world.forum.fail_at(&topic_json(early), None);
        world.advance(HOUR);
        world.poll().await;
        assert!(known(&world, early), "{fault:?}");
    }
}

#[tokio::test]
async fn promise_04_after_an_outage_the_forum_is_read_page_by_page() {
    let world = World::new().await;
    world.forum.announce("Old news", "<p>Words.</p>");
    world.meet().await;
    world.forum.fail(Some(Fault::Down));
    world.poll().await;
    let topics: Vec<u64> = (0..100)
        .map(|n| {
            world.advance(MINUTE);
            world.forum.announce(&format!("News {n}"), "<p>Words.</p>")
        })
        .collect();
    world.poll().await;
    world.forum.fail(None);
    let tally = world.poll().await;
    assert_eq!((tally.seen, tally.known), (100, 0));
    assert!(topics.iter().all(|topic| known(&world, *topic)));
    assert_eq!(said(&world, "gap"), Vec::<Value>::new());
}

#[tokio::test]
async fn promise_04_a_failing_source_says_so_once_keeps_its_items_and_stops_no_other() {
    let mut world = World::new().await;
    let channel = Channel::start("UCaaaaaaaaaaaaaaaaaaaaaa", "NixCon", world.clock.clone()).await.unwrap();
    add(&mut world, &source("videos", "feed", channel.feed_url().as_str(), "every = \"1h\""));
    world.meet().await;
    channel.publish(Video::new("aaaaaaaaaa1", "A talk", "Words"));
    world.poll().await;
    let talk = titled(&world, "A talk").unwrap();
    for mood in [Mood::NotFound, Mood::Broken, Mood::Busy, Mood::CutOff, Mood::Page] {
        channel.set_mood(mood);
        world.advance(HOUR);
        let topic = world.forum.announce(&format!("News in mood {mood:?}"), "<p>Words.</p>");
        let tally = world.poll().await;
        assert_eq!(tally.failed, ["videos"], "{mood:?}");
        assert!(known(&world, topic), "{mood:?}");
    }
    let failing = said(&world, "source-failing");
    assert_eq!(failing.len(), 1);
    assert_eq!(failing[0]["source"], "videos");
    assert!(failing[0]["reason"].as_str().unwrap().contains("404"), "{failing:?}");
    assert_eq!(said(&world, "source-recovered"), Vec::<Value>::new());
    channel.set_mood(Mood::Well);
    world.poll().await;
    world.poll().await;
    assert_eq!(said(&world, "source-recovered").len(), 1);
    assert_ne!(world.state(talk), State::Withdrawn);
}

#[tokio::test]
async fn promise_04_one_bad_entry_of_a_feed_stops_no_other_and_is_visible() {
    let mut world = World::new().await;
    let site = Site::start(world.clock.clone()).await;
    add(&mut world, &source("blog", "feed", &site.at("/feed"), "every = \"1h\""));
    let (a, b) = (entry("https://blog.example", "a", "A", BEFORE), entry("https://blog.example", "b", "B", AFTER));
    site.put("/feed", Page::xml(feed(std::slice::from_ref(&a))));
    world.meet().await;
    world.advance(HOUR);
    let bad = "<entry><title>Nobody knows where this is</title></entry>".to_owned();
    site.put("/feed", Page::xml(feed(&[bad.clone(), b.clone(), a.clone()])));
    for _ in 0..3 {
        world.poll().await;
        world.restart();
    }
    assert!(titled(&world, "B").is_some());
    let skipped = said(&world, "skipped");
    assert_eq!(skipped.len(), 1, "said once, not with every poll");
    assert!(skipped[0]["reason"].as_str().unwrap().contains("Nobody knows"), "{skipped:?}");
}

#[tokio::test]
async fn promise_04_a_post_that_cannot_be_worded_is_visible_and_the_others_go_on() {
    let mut world = World::new().await;
    let dir = world.dir.path().join("templates");
    std::fs::create_dir(&dir).unwrap();
    let template =
        "{% if \"Boom\" in title %}{{ title.no.such }}{% endif %}{{ title }}\n\n{{ link }}\n\n{{ hashtags }}\n";
    std::fs::write(dir.join("default.announcement.txt"), template).unwrap();
    add(&mut world, &format!("[templates]\ndir = \"{}\"", dir.display()));
    world.meet().await;
    let boom = world.announce("Boom", "<p>Words.</p>").await;
    let fine = world.announce("Fine", "<p>Words.</p>").await;
    world.pass(2 * DAY).await;
    assert_eq!(world.texts().len(), 1);
    assert_eq!((world.state(boom), world.state(fine)), (State::Held, State::Done));
    assert!(world.journal(boom).contains(&"no-post".to_owned()), "{:?}", world.journal(boom));
    let queue = world.ask(Request::Queue { all: false }).unwrap();
    assert!(queue.iter().any(|item| item["number"] == boom), "{queue:?}");
}

#[tokio::test]
async fn promise_04_a_capped_feed_whose_entries_are_all_new_says_so_each_time() {
    let mut world = World::new().await;
    let channel = Channel::start("UCaaaaaaaaaaaaaaaaaaaaaa", "NixCon", world.clock.clone()).await.unwrap();
    add(&mut world, &source("videos", "feed", channel.feed_url().as_str(), "every = \"1h\""));
    channel.publish(Video::new("old00000000", "Old", "Words"));
    world.meet().await;
    for round in 0..2 {
        for n in 0..20 {
            world.advance(MINUTE);
            channel.publish(Video::new(&format!("talk{round}{n:06}"), &format!("Talk {round} {n}"), "Words"));
        }
        for _ in 0..3 {
            world.poll().await;
            world.advance(HOUR);
        }
        let gaps = said(&world, "gap");
        assert_eq!(gaps.len(), round + 1, "{gaps:?}");
        assert_eq!(gaps[round]["source"], "videos");
        channel.publish(Video::new(&format!("one{round}0000000"), &format!("One more {round}"), "Words"));
        world.poll().await;
        assert_eq!(said(&world, "gap").len(), round + 1, "one new entry is no gap");
    }
}

// 5. First contact is quiet.

/// A world that knows every kind of source, none of them met yet, and each with two old things.
async fn every_kind(more: &str) -> (World, Channel, Conferences, Tube, Site) {
    let mut world = World::new().await;
    let channel = Channel::start("UCaaaaaaaaaaaaaaaaaaaaaa", "NixCon", world.clock.clone()).await.unwrap();
    let conferences = Conferences::start(world.clock.clone()).await.unwrap();
    let tube = Tube::start(world.clock.clone()).await.unwrap();
    let site = Site::start(world.clock.clone()).await;
    world.toml = world.toml.replace("every = \"1h\"", &format!("every = \"1h\"\n{more}"));
    let more = format!("every = \"1h\"\n{more}");
    let mut all = source("videos", "feed", channel.feed_url().as_str(), &more);
    all += &source("ccc", "media-ccc-de", conferences.url().as_str(), &format!("conferences = [\"nixcon*\"]\n{more}"));
    all += &source("tube", "peertube", tube.url().as_str(), &format!("channel = \"nixcon\"\n{more}"));
    all += &source("blog", "feed", &site.at("/feed"), &more);
    all += "[links]\nwait-for-mirror = \"none\"\n";
    add(&mut world, &all);
    world.forum.announce("Topic 1", "<p>Words.</p>");
    world.forum.announce("Topic 2", "<p>Words.</p>");
    for n in 1..=2 {
        channel.publish(Video::new(&format!("aaaaaaaaaa{n}"), &format!("Video {n}"), "Words"));
        let guid = format!("{n}1111111-2222-5333-8444-555555555555");
        conferences.publish("nixcon2025", Video::new(&guid, &format!("Talk {n}"), "Words"));
        let uuid = format!("{n}c9de5e8-0a1e-484a-b099-e80766180a6d");
        tube.publish("nixcon", Video::new(&uuid, &format!("Film {n}"), "Words"));
    }
    let entries: Vec<String> =
        (1..=2).map(|n| entry("https://blog.example", &format!("post-{n}"), &format!("Post {n}"), BEFORE)).collect();
    site.put("/feed", Page::xml(feed(&entries)));
    (world, channel, conferences, tube, site)
}

#[tokio::test]
async fn promise_05_first_contact_is_quiet_for_every_kind_of_source() {
    let (world, channel, conferences, tube, site) = every_kind("").await;
    let tally = world.meet().await;
    assert_eq!((tally.polled, tally.known, tally.seen), (5, 10, 0));
    assert_eq!(said(&world, "first-contact").len(), 5);
    world.advance(HOUR);
    let entries = [
        entry("https://blog.example", "new", "New post", AFTER),
        entry("https://blog.example", "post-2", "Post 2", BEFORE),
    ];
    site.put("/feed", Page::xml(feed(&entries)));
    world.forum.announce("New topic", "<p>Words.</p>");
    channel.publish(Video::new("aaaaaaaaaa9", "New video", "Words"));
    conferences.publish("nixcon2025", Video::new("91111111-2222-5333-8444-555555555555", "New talk", "Words"));
    tube.publish("nixcon", Video::new("9c9de5e8-0a1e-484a-b099-e80766180a6d", "New film", "Words"));
    assert_eq!(world.poll().await.seen, 5);
    world.pass(2 * DAY).await;
    let texts = world.texts();
    assert_eq!(texts.len(), 5, "{texts:?}");
    assert!(texts.iter().all(|text| text.contains("New ")), "{texts:?}");
}

#[tokio::test]
async fn promise_05_backfill_holds_what_is_young_enough() {
    let (world, _channel, _conferences, _tube, site) = every_kind("backfill = \"2d\"").await;
    let long_ago = entry("https://blog.example", "long-ago", "Long ago", "2026-10-01T00:00:00Z");
    let yesterday = entry("https://blog.example", "post-1", "Post 1", BEFORE);
    site.put("/feed", Page::xml(feed(&[yesterday, long_ago])));
    world.forum.publish(Topic {
        title: "Old topic".into(),
        created: "2026-10-30T00:00:00Z".parse().ok(),
        ..Topic::default()
    });
    let tally = world.meet().await;
    assert_eq!((tally.known, tally.seen), (2, 9));
    assert_eq!(world.state(titled(&world, "Old topic").unwrap()), State::Known);
    assert_eq!(world.state(titled(&world, "Topic 1").unwrap()), State::Settling);
    assert_eq!(world.state(titled(&world, "Long ago").unwrap()), State::Known);
}

#[tokio::test]
async fn promise_05_a_source_that_is_removed_and_comes_back_is_no_stranger() {
    let (mut world, channel, _conferences, tube, _site) = every_kind("").await;
    world.meet().await;
    let whole = world.toml.clone();
    let head = whole.split("[[source]]").next().unwrap().to_owned();
    let rest = &whole[whole.find("[[account]]").unwrap()..];
    let without = format!("{head}{}", rest.split("[[source]]").next().unwrap());
    reconfigure(&mut world, |_| without);
    world.pass(DAY).await;
    world.forum.announce("New topic", "<p>Words.</p>");
    channel.publish(Video::new("aaaaaaaaaa9", "New video", "Words"));
    tube.publish("nixcon", Video::new("9c9de5e8-0a1e-484a-b099-e80766180a6d", "New film", "Words"));
    reconfigure(&mut world, |_| whole);
    let tally = world.poll().await;
    assert_eq!((tally.seen, tally.known), (3, 0));
    assert_eq!(said(&world, "first-contact").len(), 5);
}

/// Another spelling of the same source starts nothing over: what was there stays known, what is new is news, and what
/// is held is still read again before it leaves.
async fn check_respelled(change: impl Fn(String) -> String) {
    let mut world = World::new().await;
    world.forum.announce("Old news", "<p>Words.</p>");
    // The name, so that there is something to spell in another way.
    reconfigure(&mut world, |toml| toml.replacen("url = \"http://127.0.0.1", "url = \"http://localhost", 1));
    world.meet().await;
    let doomed = world.forum.announce("Doomed", "<p>Words.</p>");
    let good = world.forum.announce("Good", "<p>Words.</p>");
    world.poll().await;
    world.pass(HOUR).await;
    reconfigure(&mut world, &change);
    let new = world.forum.announce("New", "<p>Words.</p>");
    let tally = world.poll().await;
    let what = world.toml[world.toml.find("[[source]]").unwrap()..world.toml.find("[[account]]").unwrap()].to_owned();
    assert_eq!((tally.seen, tally.known), (1, 0), "{what}");
    world.restart();
    world.forum.delete(doomed);
    world.pass(3 * DAY).await;
    let texts = world.texts();
    assert!(texts.len() == 2 && !texts.iter().any(|t| t.contains("Doomed") || t.contains("Old")), "{what}: {texts:?}");
    assert_eq!(said(&world, "first-contact").len(), 1, "{what}");
    let _ = (good, new);
}

#[tokio::test]
async fn promise_05_it_hangs_on_what_the_source_is_not_on_its_name_or_spelling() {
    check_respelled(|toml| toml.replace("name = \"announcements\"", "name = \"news\"\nwas = \"announcements\"")).await;
    check_respelled(|toml| toml.replace("name = \"announcements\"", "name = \"news\"")).await;
    check_respelled(|toml| toml.replace("category = \"announcements\"", "category = 8")).await;
    check_respelled(|toml| toml.replace("category = \"announcements\"", "category = \"Announcements\"")).await;
    check_respelled(|toml| toml.replacen("http://localhost", "http://LOCALHOST", 1)).await;
    check_respelled(|toml| toml.replacen("/\"\ncategory", "\"\ncategory", 1)).await;
    check_respelled(|toml| toml.replacen("category = ", "subcategories = true\ncategory = ", 1)).await;
}

#[test]
fn promise_05_scheme_and_default_port_are_no_part_of_what_a_source_is() {
    let key = |url: &str| oyez::source::discourse::topic_key(&url.parse().unwrap(), 7);
    let want = key("https://forum.example");
    for url in
        ["http://forum.example/", "https://forum.example:443", "http://FORUM.example:80/", "https://forum.example/"]
    {
        assert_eq!(key(url), want, "{url}");
    }
    assert_ne!(key("https://forum.example/forum"), want);
    let contact =
        |url: &str| oyez::source::feed::parse(feed(&[]).as_bytes(), &url.parse().unwrap(), None).unwrap().contact;
    let want = contact("https://blog.example/feed.xml");
    for url in ["http://blog.example/feed.xml", "https://BLOG.example:443/feed.xml", "http://blog.example:80/feed.xml/"]
    {
        assert_eq!(contact(url), want, "{url}");
    }
}

#[tokio::test]
async fn promise_05_a_renamed_feed_keeps_its_memory_and_its_items() {
    for was in ["", "was = \"blog\""] {
        let (mut world, _channel, _conferences, _tube, site) = every_kind("").await;
        world.meet().await;
        let old = [
            entry("https://blog.example", "post-1", "Post 1", BEFORE),
            entry("https://blog.example", "post-2", "Post 2", BEFORE),
        ];
        let gone = entry("https://blog.example", "gone", "Gone", AFTER);
        let stays = entry("https://blog.example", "stays", "Stays", AFTER);
        world.advance(HOUR);
        site.put("/feed", Page::xml(feed(&[gone, stays.clone(), old[0].clone(), old[1].clone()])));
        assert_eq!(world.poll().await.seen, 2);
        world.pass(HOUR).await;
        reconfigure(&mut world, |toml| toml.replace("name = \"blog\"", &format!("name = \"journal\"\n{was}")));
        assert_eq!(world.poll().await.seen, 0);
        site.put("/feed", Page::xml(feed(&[stays, old[0].clone(), old[1].clone()])));
        world.pass(2 * DAY).await;
        let texts = world.texts();
        assert!(texts.len() == 1 && texts[0].contains("Stays"), "{was}: {texts:?}");
        assert_eq!(said(&world, "first-contact").len(), 5);
    }
}

#[tokio::test]
async fn promise_05_the_past_of_a_source_that_showed_nothing_at_first_asks_and_its_news_does_not() {
    let mut world = World::new().await;
    let site = Site::start(world.clock.clone()).await;
    site.put("/blog", Page::xml(feed(&[])));
    add(&mut world, &source("blog", "feed", &site.at("/blog"), "every = \"1h\""));
    world.meet().await;
    world.advance(2 * HOUR);
    site.put(
        "/blog",
        Page::xml(feed(&[
            entry("https://blog.example", "new", "New", AFTER),
            entry("https://blog.example", "old", "Old", "2026-10-30T09:00:00Z"),
            entry("https://blog.example", "older", "Older", "2026-10-29T09:00:00Z"),
        ])),
    );
    world.poll().await;
    let asks = |title: &str| world.item(titled(&world, title).unwrap()).ask;
    assert_eq!(asks("New"), None);
    for title in ["Old", "Older"] {
        assert!(asks(title).is_some_and(|why| why.contains("older than first contact")), "{title}");
    }
    world.pass(3 * DAY).await;
    let texts = world.texts();
    assert!(texts.len() == 1 && texts[0].starts_with("New"), "{texts:?}");
}

/// A redirect that was believed must not be able to silence a feed for ever.
#[tokio::test]
async fn promise_04_a_feed_whose_new_address_is_no_feed_any_more_is_heard_at_its_configured_one() {
    let mut world = World::new().await;
    let site = Site::start(world.clock.clone()).await;
    let page = |titles: &[&str]| {
        Page::xml(feed(&titles.iter().map(|t| entry("https://blog.example", t, t, AFTER)).collect::<Vec<_>>()))
    };
    site.put("/old", Page { status: 301, ..Page::default() }.with("location", "/new"));
    site.put("/new", page(&["A"]));
    add(&mut world, &source("blog", "feed", &site.at("/old"), "every = \"12h\""));
    for _ in 0..6 {
        world.poll().await;
        world.advance(DAY / 2);
    }
    let last = |site: &Site| site.asked().last().unwrap().path.clone();
    let before = site.asked().len();
    world.poll().await;
    assert_eq!((site.asked().len() - before, last(&site)), (1, "/new".into()), "the redirect is believed");

    for (broken, title) in [
        (Page { status: 200, headers: vec![], body: b"<!doctype html><p>This domain is for sale".to_vec() }, "B"),
        (Page { status: 403, ..Page::default() }, "C"),
    ] {
        // Believed once more, where it was given up.
        site.put("/old", Page { status: 301, ..Page::default() }.with("location", "/new"));
        site.put("/new", page(&["A", "B"]));
        for _ in 0..6 {
            world.advance(DAY / 2);
            world.poll().await;
        }
        site.put("/new", broken);
        site.put("/old", page(&["A", "B", "C"][..if title == "B" { 2 } else { 3 }]));
        world.advance(DAY / 2);
        let tally = world.poll().await;
        assert_eq!((tally.failed, last(&site)), (Vec::<String>::new(), "/old".to_owned()));
        assert!(titled(&world, title).is_some(), "{title}");
    }
}

#[tokio::test]
async fn promise_05_subcategories_that_are_switched_on_later_are_quiet_and_new_ones_are_news() {
    let mut world = World::new().await;
    let child = world.forum.add_category("Releases", "releases", Some(8));
    let post = |title: &str, category| {
        world.forum.publish(Topic { title: title.into(), category, ..Topic::default() });
    };
    post("An old release", child);
    world.meet().await;
    post("A release nobody asked for", child);
    assert_eq!(world.poll().await.seen, 0);
    let post = |world: &World, title: &str, category| {
        world.forum.publish(Topic { title: title.into(), category, ..Topic::default() });
    };
    reconfigure(&mut world, |toml| toml.replacen("category = ", "subcategories = true\ncategory = ", 1));
    let tally = world.poll().await;
    assert_eq!((tally.seen, tally.known), (0, 2));
    post(&world, "A new release", child);
    assert_eq!(world.poll().await.seen, 1);
    world.advance(HOUR);
    let born = world.forum.add_category("Events", "events", Some(8));
    post(&world, "A first event", born);
    assert_eq!(world.poll().await.seen, 1, "a sub-category made later is new as a whole");
    assert!(titled(&world, "A first event").is_some());
}

#[tokio::test]
async fn promise_05_a_new_conference_is_news_and_one_that_a_new_glob_matches_is_not() {
    let mut world = World::new().await;
    let conferences = Conferences::start(world.clock.clone()).await.unwrap();
    let more = "every = \"1h\"\nconferences = [\"nixcon*\"]";
    add(&mut world, &source("ccc", "media-ccc-de", conferences.url().as_str(), more));
    let talk = |acronym: &str, n: u32, title: &str| {
        conferences.publish(acronym, Video::new(&format!("{n:08}-2222-5333-8444-555555555555"), title, "Words"));
    };
    talk("nixcon2025", 1, "An old talk");
    talk("gpn23", 2, "Of another event");
    world.meet().await;
    world.advance(30 * DAY);
    talk("nixcon2026", 3, "The first of its year");
    talk("gpn24", 4, "Not asked for");
    assert_eq!(world.poll().await.seen, 1);
    assert!(titled(&world, "The first of its year").is_some());
    world.advance(DAY);
    world.poll().await;
    reconfigure(&mut world, |toml| toml.replace("[\"nixcon*\"]", "[\"nixcon*\", \"gpn*\"]"));
    let tally = world.poll().await;
    assert_eq!((tally.seen, tally.known), (0, 2), "what a new glob matches was there before");
    world.advance(DAY);
    talk("gpn24", 5, "Now it is news");
    talk("gpn25", 6, "So is this");
    assert_eq!(world.poll().await.seen, 2);
}

/// Polls, and drops the poll once the forum has answered `requests` of its requests: the process is gone.
async fn poll_and_crash(world: &mut World, requests: usize) {
    world.forum.forget_requests();
    let enough = async {
        while world.forum.requests().len() < requests {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = enough => {}
        _ = world.poll() => {}
    }
    world.stop();
    world.start();
}

#[tokio::test]
async fn promise_05_a_crash_between_reading_and_recording_neither_announces_the_past_nor_loses_the_new() {
    for requests in 1..=6 {
        let mut world = World::new().await;
        world.forum.announce("Old 1", "<p>Words.</p>");
        world.forum.announce("Old 2", "<p>Words.</p>");
        poll_and_crash(&mut world, requests).await;
        world.meet().await;
        assert_eq!(titled(&world, "Old 1").map(|n| world.state(n)), Some(State::Known), "after {requests} requests");
        world.advance(MINUTE);
        world.forum.announce("New 1", "<p>Words.</p>");
        world.advance(MINUTE);
        world.forum.announce("New 2", "<p>Words.</p>");
        poll_and_crash(&mut world, requests).await;
        world.poll().await;
        for title in ["New 1", "New 2"] {
            assert_eq!(
                titled(&world, title).map(|n| world.state(n)),
                Some(State::Settling),
                "after {requests} requests"
            );
        }
        assert_eq!(said(&world, "seen").len(), 2);
    }
}

// 6. One thing, one post.

/// An entry of YouTube's feed.
fn video(id: &str, title: &str, at: &str) -> String {
    format!(
        "<entry><id>yt:video:{id}</id><yt:videoId>{id}</yt:videoId><title>{title}</title>\
         <link rel=\"alternate\" href=\"https://www.youtube.com/watch?v={id}\"/><author><name>NixCon</name></author>\
         <published>{at}</published><updated>{at}</updated></entry>"
    )
}

fn youtube(about: &str, entries: &[String]) -> String {
    format!(
        "<?xml version=\"1.0\"?><feed xmlns:yt=\"http://www.youtube.com/xml/schemas/2015\" \
         xmlns=\"http://www.w3.org/2005/Atom\">{about}<title>NixCon</title>{}</feed>",
        entries.concat()
    )
}

#[tokio::test]
async fn promise_06_the_same_video_in_a_channel_and_a_playlist_is_one_item() {
    let mut world = World::new().await;
    let site = Site::start(world.clock.clone()).await;
    let (channel, list) = (
        "<id>yt:channel:aaaaaaaaaaaaaaaaaaaaaa</id><yt:channelId>aaaaaaaaaaaaaaaaaaaaaa</yt:channelId>",
        "<id>yt:playlist:PLaaaaaaaaaaaaaaaa</id><yt:playlistId>PLaaaaaaaaaaaaaaaa</yt:playlistId>",
    );
    site.put("/channel", Page::xml(youtube(channel, &[])));
    site.put("/list", Page::xml(youtube(list, &[])));
    add(&mut world, &source("channel", "feed", &site.at("/channel"), "every = \"1h\""));
    add(&mut world, &source("list", "feed", &site.at("/list"), "every = \"1h\""));
    world.meet().await;
    world.advance(HOUR);
    site.put("/channel", Page::xml(youtube(channel, &[video("aaaaaaaaaa1", "A talk", AFTER)])));
    world.poll().await;
    world.pass(2 * DAY).await;
    assert_eq!(world.texts().len(), 1);
    // It comes into the list only after it went out.
    site.put("/list", Page::xml(youtube(list, &[video("aaaaaaaaaa1", "A talk", AFTER)])));
    world.poll().await;
    let number = titled(&world, "A talk").unwrap();
    assert_eq!(world.item(number).origins.len(), 2);
    assert!(world.journal(number).contains(&"joined".to_owned()));
    world.pass(3 * DAY).await;
    assert_eq!((world.state(number), world.texts().len()), (State::Done, 1));
}

#[tokio::test]
async fn promise_06_the_same_address_in_two_feeds_is_one_item_and_a_veto_holds_for_both() {
    let mut world = World::new().await;
    let site = Site::start(world.clock.clone()).await;
    site.put("/one", Page::xml(feed(&[])));
    site.put("/two", Page::xml(feed(&[])));
    add(&mut world, &source("one", "feed", &site.at("/one"), "every = \"1h\""));
    add(&mut world, &source("two", "feed", &site.at("/two"), "every = \"1h\""));
    world.meet().await;
    world.advance(HOUR);
    site.put(
        "/one",
        Page::xml(feed(&[
            entry("https://blog.example", "a", "A", AFTER),
            entry("https://blog.example", "b", "B", AFTER),
        ])),
    );
    world.poll().await;
    let (a, b) = (titled(&world, "A").unwrap(), titled(&world, "B").unwrap());
    world.act(a, TeamAct::Veto).unwrap();
    site.put(
        "/two",
        Page::xml(feed(&[
            entry("http://BLOG.example:80", "a", "A again", AFTER),
            entry("http://blog.example", "b", "B again", AFTER),
        ])),
    );
    world.poll().await;
    assert_eq!((world.item(a).origins.len(), world.item(b).origins.len()), (2, 2));
    assert_eq!(titled(&world, "A again"), None);
    assert_eq!(world.state(a), State::Vetoed);
    world.pass(4 * DAY).await;
    let texts = world.texts();
    assert!(texts.len() == 1 && texts[0].starts_with('B'), "{texts:?}");
}

#[tokio::test]
async fn promise_06_the_forum_and_its_own_feed_are_one_and_what_is_known_at_one_stays_known() {
    let mut world = World::new().await;
    world.forum.announce("Old news", "<p>Words.</p>");
    world.meet().await;
    let rss = format!("{}c/announcements/8.rss", world.forum.base());
    let topic = world.forum.announce("News", "<p>Words.</p>");
    world.poll().await;
    let number = world.number_of(topic);
    world.act(number, TeamAct::Veto).unwrap();
    add(&mut world, &source("rss", "feed", &rss, "every = \"1h\""));
    world.poll().await;
    world.advance(HOUR);
    let newer = world.forum.announce("Newer news", "<p>Words.</p>");
    world.poll().await;
    assert_eq!(world.item(number).origins.len(), 2);
    assert_eq!(world.item(world.number_of(newer)).origins.len(), 2);
    assert_eq!(world.state(titled(&world, "Old news").unwrap()), State::Known);
    world.pass(3 * DAY).await;
    let texts = world.texts();
    assert!(texts.len() == 1 && texts[0].contains("Newer news"), "{texts:?}");
    assert_eq!(world.state(number), State::Vetoed);
}

/// The same title at two places proves nothing: both may be news. So the later one waits for a person.
#[tokio::test]
async fn promise_06_the_same_title_on_the_blog_and_the_forum_is_proposed_and_waits_for_a_word() {
    let mut world = World::new().await;
    let site = Site::start(world.clock.clone()).await;
    site.put("/blog", Page::xml(feed(&[])));
    add(&mut world, &source("blog", "feed", &site.at("/blog"), "every = \"1h\""));
    world.meet().await;
    let mut both = Vec::new();
    for title in ["NixOS 26.11 is out", "A sprint in June"] {
        let topic = world.forum.announce(title, "<p>Words.</p>");
        world.poll().await;
        both.push(world.number_of(topic));
    }
    world.advance(HOUR);
    let again = [
        entry("https://blog.example", "a", "nixos  26.11 is out", AFTER),
        entry("https://blog.example", "b", "A sprint in June", AFTER),
        entry("https://blog.example", "c", "A sprint in July", AFTER),
        entry("https://blog.example", "d", "A sprint in July", AFTER),
    ];
    site.put("/blog", Page::xml(feed(&again)));
    world.poll().await;
    // Of one time, the last one listed is the oldest.
    let mut numbers: Vec<_> = world.app().store().items(both[1] + 1..).map(|item| item.unwrap().number).collect();
    numbers.reverse();
    let asks: Vec<_> = numbers.iter().map(|number| world.item(*number).ask).collect();
    for (ask, first) in asks.iter().zip(&both) {
        assert!(
            ask.as_deref().is_some_and(|ask| ask.starts_with(&format!("item {first} of `announcements` has"))),
            "{asks:?}"
        );
    }
    assert_eq!(asks[2..], [None, None], "one place may say a title twice");
    // Nobody says a word about the second pair.
    let join = Request::Join { item: both[0].to_string(), other: numbers[0].to_string(), reason: None };
    world.ask(join).unwrap();
    assert_eq!(world.item(both[0]).ask, None, "who joins them has answered");
    world.pass(4 * DAY).await;
    assert_eq!(world.state(numbers[0]), State::Duplicate);
    assert_eq!(world.state(both[0]), State::Done);
    assert_eq!((world.state(both[1]), world.state(numbers[1])), (State::Done, State::Held));
    assert_eq!(world.texts().len(), 4);
    world.act(numbers[1], TeamAct::Approve { now: true }).unwrap();
    world.pass(HOUR).await;
    assert_eq!(world.texts().len(), 5, "both were news");
}

// 11. Polite.

#[tokio::test]
async fn promise_11_what_did_not_change_is_asked_for_with_its_validators_as_they_were() {
    let mut world = World::new().await;
    let site = Site::start(world.clock.clone()).await;
    let conferences = Conferences::start(world.clock.clone()).await.unwrap();
    conferences.publish("nixcon2026", Video::new("11111111-2222-5333-8444-555555555555", "A talk", "Words"));
    let page = Page::xml(feed(&[entry("https://blog.example", "a", "A", BEFORE)])).with("set-cookie", "id=1; Path=/");
    // Odd ones on purpose: they are the server's words.
    let (etag, modified) = ("W/\"a:b,c--gzip\"", "Sunday, 01-Nov-26 09:00:00 GMT");
    site.put("/both", page.clone().with("etag", etag).with("last-modified", modified));
    site.put("/date", page.clone().with("last-modified", modified));
    site.put("/bare", page.with("etag", "bare-without-quotes"));
    for path in ["both", "date", "bare"] {
        add(&mut world, &source(path, "feed", &site.at(&format!("/{path}")), "every = \"1h\""));
    }
    let more = "every = \"1h\"\nconferences = [\"nixcon*\"]";
    add(&mut world, &source("ccc", "media-ccc-de", conferences.url().as_str(), more));
    world.meet().await;
    world.restart();
    for _ in 0..2 {
        world.advance(HOUR);
        world.poll().await;
    }
    let asked = site.asked();
    assert_eq!(asked.len(), 9);
    for one in &asked[3..] {
        assert_eq!(one.status, 304, "{one:?}");
        let (tag, date) = (one.header("if-none-match"), one.header("if-modified-since"));
        match one.path.as_str() {
            "/both" => assert_eq!((tag, date), (Some(etag), Some(modified))),
            "/date" => assert_eq!((tag, date), (None, Some(modified))),
            _ => assert_eq!((tag, date), (Some("bare-without-quotes"), None)),
        }
    }
    assert!(asked.iter().all(|one| one.header("cookie").is_none()), "no cookies");
    let statuses: Vec<u16> = conferences.requests().iter().map(|one| one.status).collect();
    assert_eq!(statuses, [200, 200, 304, 304, 304, 304]);
}

#[tokio::test]
async fn promise_11_a_feed_that_is_read_again_for_its_item_is_asked_conditionally_and_a_change_is_still_seen() {
    let mut world = World::new().await;
    let site = Site::start(world.clock.clone()).await;
    let entries =
        |a: &str| feed(&[entry("https://blog.example", "a", a, AFTER), entry("https://blog.example", "b", "B", AFTER)]);
    site.put("/blog", Page::xml(feed(&[])).with("etag", "\"0\""));
    // Polled once a week only: whatever is seen in between is seen by reading the item again.
    add(&mut world, &source("blog", "feed", &site.at("/blog"), "every = \"7d\""));
    world.meet().await;
    site.put("/blog", Page::xml(entries("A")).with("etag", "\"1\""));
    world.pass(9 * DAY).await;
    let before = site.asked();
    let statuses: Vec<u16> = before.iter().map(|one| one.status).collect();
    // First contact, the poll, the first item as it settles; then the second, half the window and the deliveries of both.
    assert_eq!(statuses, [200, 200, 200, 304, 304, 304, 304, 304]);
    assert_eq!(world.texts().len(), 2);

    // A new entry that its author mends while it is held: the validators have changed, so the reading is whole.
    let more = |c: &str| {
        feed(&[
            entry("https://blog.example", "c", c, "2026-11-11T00:00:00Z"),
            entry("https://blog.example", "b", "B", AFTER),
        ])
    };
    site.put("/blog", Page::xml(more("C")).with("etag", "\"2\""));
    world.poll().await;
    let number = titled(&world, "C").unwrap();
    world.pass(HOUR).await;
    assert_eq!(world.state(number), State::Held);
    site.put("/blog", Page::xml(more("C, mended")).with("etag", "\"3\""));
    world.pass(2 * DAY).await;
    let texts = world.texts();
    assert!(texts.len() == 3 && texts.iter().any(|text| text.starts_with("C, mended")), "{texts:?}");
}

#[tokio::test]
async fn promise_11_a_host_is_asked_one_thing_at_a_time_by_somebody_who_says_who_it_is() {
    let mut world = World::new().await;
    let site = Site::start(world.clock.clone()).await;
    for n in 0..6 {
        let path = format!("/feed-{n}");
        site.put(&path, Page::xml(feed(&[entry("https://blog.example", &format!("a{n}"), "A", BEFORE)])));
        add(&mut world, &source(&format!("feed-{n}"), "feed", &site.at(&path), ""));
    }
    reconfigure(&mut world, |toml| toml.replace("[service]", "[service]\ncontact = \"marketing@nixos.example\""));
    assert_eq!(world.meet().await.polled, 7);
    assert_eq!((site.asked().len(), site.most_at_once()), (6, 1));
    let honest = format!("Oyez/{} (+marketing@nixos.example)", env!("CARGO_PKG_VERSION"));
    for one in site.asked() {
        assert_eq!(one.header("user-agent"), Some(honest.as_str()));
        assert_eq!((one.header("cookie"), one.header("referer")), (None, None));
    }
    for one in world.forum.requests() {
        assert_eq!((one.header("user-agent"), one.header("cookie")), (Some(honest.as_str()), None));
    }
}

/// How often the forum's list was asked for.
fn lists(world: &World) -> usize {
    world.forum.requests().iter().filter(|one| one.path.contains("order=created")).count()
}

/// Polls what is due at this moment.
async fn due(world: &World) {
    world.app().poller().tick(false).await.unwrap();
}

#[tokio::test]
async fn promise_11_never_more_often_than_every_also_over_restarts() {
    let mut world = World::new().await;
    due(&world).await;
    assert_eq!(lists(&world), 1);
    for _ in 0..11 {
        world.advance(5 * MINUTE);
        world.stop();
        world.start();
        due(&world).await;
    }
    assert_eq!(lists(&world), 1, "55 minutes of restarts are no reason to ask");
    world.advance(12 * MINUTE);
    due(&world).await;
    assert_eq!(lists(&world), 2, "an hour and its jitter are over");
    world.forum.forget_requests();
    world.pass(DAY).await;
    assert!((21..=24).contains(&lists(&world)), "{}", lists(&world));
}

#[tokio::test]
async fn promise_11_retry_after_is_obeyed_also_over_restarts() {
    let mut world = World::new().await;
    world.meet().await;
    world.forum.fail(Some(Fault::SlowDownText { retry_after_s: 6 * 3600 }));
    world.advance(2 * HOUR);
    due(&world).await;
    world.forum.forget_requests();
    for _ in 0..11 {
        world.advance(30 * MINUTE);
        world.restart();
        due(&world).await;
    }
    assert_eq!(world.forum.requests().len(), 0);
    world.forum.fail(None);
    world.advance(90 * MINUTE);
    due(&world).await;
    assert!(lists(&world) == 1 && said(&world, "source-recovered").len() == 1);
}

#[tokio::test]
async fn promise_11_a_topic_that_says_slow_down_speaks_for_the_forum() {
    let world = World::new().await;
    world.meet().await;
    let topics: Vec<u64> = (0..10)
        .map(|n| {
            world.advance(MINUTE);
            world.forum.announce(&format!("News {n}"), "<p>Words.</p>")
        })
        .collect();
    for topic in &topics {
        world.forum.fail_at(&topic_json(*topic), Some(Fault::SlowDownJson { retry_after_s: 2 * 3600 }));
    }
    world.advance(2 * HOUR);
    world.forum.forget_requests();
    due(&world).await;
    let read = || world.forum.requests().iter().filter(|one| one.path.starts_with("/t/")).count();
    assert_eq!(read(), 1, "the first no is for all");
    world.advance(HOUR + 30 * MINUTE);
    due(&world).await;
    assert_eq!(read(), 1);
    for topic in &topics {
        world.forum.fail_at(&topic_json(*topic), None);
    }
    world.advance(HOUR);
    due(&world).await;
    assert!(topics.iter().all(|topic| known(&world, *topic)));
}

#[tokio::test]
async fn promise_11_failures_back_off() {
    let mut world = World::new().await;
    let site = Site::start(world.clock.clone()).await;
    add(&mut world, &source("blog", "feed", &site.at("/feed"), "every = \"10m\""));
    assert_eq!(world.poll().await.failed, ["blog"]);
    let before = site.asked().len();
    world.pass(DAY).await;
    let asked = site.asked().len() - before;
    // 10, 20, 40, 80, 160, 320, 640 minutes: seven in a day, where a healthy one has 144.
    assert!((5..=8).contains(&asked), "{asked}");
    assert_eq!(said(&world, "source-failing").len(), 1);
}

#[tokio::test]
async fn promise_11_a_source_that_is_gone_for_good_is_left_alone_for_good() {
    let mut world = World::new().await;
    let channel = Channel::start("UCaaaaaaaaaaaaaaaaaaaaaa", "NixCon", world.clock.clone()).await.unwrap();
    add(&mut world, &source("videos", "feed", channel.feed_url().as_str(), "every = \"1h\""));
    world.meet().await;
    channel.set_mood(Mood::Gone);
    world.advance(2 * HOUR);
    due(&world).await;
    let asked = channel.requests().len();
    world.pass(2 * DAY).await;
    world.restart();
    world.pass(DAY).await;
    assert_eq!(channel.requests().len(), asked);
    assert_eq!(said(&world, "source-stopped").len(), 1);
}
