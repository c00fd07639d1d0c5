//! The source against the pretend forum, over HTTP.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::poll::RSS_AT_LEAST;
use super::read::with_what_rss_lacks;
use super::*;
use crate::clock::{Clock, ManualClock};
use crate::config::Network;
use crate::item::Visibility;
use crate::pretend::forum::{Fault as Trouble, Forum, Topic, Writer};
use crate::source::Sighting;

const HOUR: Duration = Duration::from_secs(3600);

/// A forum, a source that reads it, and what a caller keeps between two polls.
struct World {
    clock: Arc<ManualClock>,
    forum: Forum,
    source: Discourse,
    http: Http,
    memory: Value,
    known: BTreeSet<String>,
    contacted: BTreeSet<String>,
}

impl World {
    async fn new(category: &str, subcategories: bool) -> Self {
        let clock = Arc::new(ManualClock::new("2026-11-20T09:00:00Z".parse().unwrap()));
        let forum = Forum::start(clock.clone()).await.unwrap();
        clock.advance(HOUR);
        let source = Discourse::new(forum.base(), category, subcategories, None);
        let network = Network { allow_private: Vec::new(), timeout: Duration::from_secs(20) };
        let http = Http::new(&network, None).unwrap();
        let (known, contacted) = Default::default();
        Self { clock, forum, source, http, memory: Value::Null, known, contacted }
    }

    async fn try_poll(&mut self) -> Result<Polled, SourceError> {
        let (known, contacted) = (self.known.clone(), self.contacted.clone());
        let context = PollContext {
            now: self.clock.now(),
            memory: &self.memory,
            known: &move |key| known.contains(key),
            contacted: &move |contact| contacted.contains(contact),
            http: &self.http,
        };
        self.source.poll(&context).await
    }

    /// Polls, remembers, and tells the titles of what a caller would announce: not known, and not of a first contact.
    async fn announced(&mut self) -> Vec<String> {
        let before = self.contacted.clone();
        let polled = self.try_poll().await.unwrap();
        let loud = |s: &Sighting| before.contains(&s.contact) || polled.new_as_a_whole.contains(&s.contact);
        let quiet: BTreeSet<String> = polled.sightings.iter().filter(|s| !loud(s)).map(|s| s.title.clone()).collect();
        let mut news = self.keep(&polled);
        news.retain(|title| !quiet.contains(title));
        news
    }

    /// Polls, remembers, and tells the titles that were not known before.
    async fn news(&mut self) -> Vec<String> {
        let polled = self.try_poll().await.unwrap();
        self.keep(&polled)
    }

    fn keep(&mut self, polled: &Polled) -> Vec<String> {
        self.memory = polled.memory.clone();
        self.contacted.extend(polled.contacts.iter().cloned());
        let new = polled.sightings.iter().filter(|s| self.known.insert(s.key.clone()));
        new.map(|s| s.title.clone()).collect()
    }

    fn announce(&self, title: &str) -> u64 {
        self.clock.advance(HOUR);
        self.forum.announce(title, &format!("<p>Words about {title}.</p>"))
    }

    /// How often was this part of an address asked for?
    fn asked(&self, path: &str) -> usize {
        self.forum.requests().iter().filter(|r| r.path.contains(path)).count()
    }

    async fn sight(&self, topic: u64) -> Option<Sighting> {
        let context = PollContext {
            now: self.clock.now(),
            memory: &self.memory,
            known: &|key| self.known.contains(key),
            contacted: &|contact| self.contacted.contains(contact),
            http: &self.http,
        };
        self.source.sight(&context, topic).await.unwrap()
    }

    async fn read(&self, topic: u64) -> Result<Reread, SourceError> {
        let found = Found { key: topic_key(self.forum.base(), topic), ..Found::default() };
        self.source.read(&self.http, &found, Timestamp::UNIX_EPOCH).await
    }

    async fn why_gone(&self, topic: u64) -> Option<String> {
        match self.read(topic).await.unwrap() {
            Reread::Present(found) => match found.visibility {
                Visibility::Public => None,
                Visibility::Gone(why) => Some(why),
            },
            Reread::Gone(why) => Some(why),
            Reread::Unknown => panic!("the forum can say"),
        }
    }
}

#[tokio::test]
async fn a_new_topic_is_seen_once_and_its_furniture_never() {
    let mut world = World::new("announcements", false).await;
    world.announce("Old news");
    assert_eq!(world.news().await, ["Old news"], "recorded; the caller makes it `known`");
    let place = format!("127.0.0.1:{}", world.forum.base().port().unwrap());
    assert_eq!(world.contacted.iter().collect::<Vec<_>>(), [&format!("discourse:{place}/c/8")]);
    let id = world.announce("Fresh news");
    let polled = world.try_poll().await.unwrap();
    assert_eq!(world.http.skews(), [0], "the forum's `Date` was heard");
    let sighting = polled.sightings.iter().find(|s| s.title == "Fresh news").unwrap();
    assert_eq!(sighting.key, format!("discourse:{place}/t/{id}"));
    assert_eq!(sighting.url, world.forum.topic_url(id));
    assert_eq!(world.keep(&polled), ["Fresh news"]);
    assert_eq!(world.news().await, [""; 0]);
    assert!(world.try_poll().await.unwrap().unchanged);
    world.forum.publish(Topic { archetype: "banner".into(), ..Topic::default() });
    world.forum.publish(Topic { pinned: true, closed: true, title: "Rules".into(), ..Topic::default() });
    world.forum.publish(Topic { unlisted: true, ..Topic::default() });
    assert_eq!(world.news().await, [""; 0]);
}

#[tokio::test]
async fn promise_11_the_category_is_resolved_once_and_a_poll_is_one_request() {
    let mut world = World::new("announcements", false).await;
    world.announce("A");
    world.news().await;
    world.forum.forget_requests();
    for _ in 0..5 {
        world.news().await;
    }
    let paths: Vec<String> = world.forum.requests().into_iter().map(|r| r.path).collect();
    assert_eq!(paths, vec!["/c/announcements/8/none/l/latest.json?order=created"; 5]);
    assert!(world.forum.requests().iter().all(|r| r.header("api-key").is_none()));
    world.clock.advance(24 * HOUR);
    world.forum.forget_requests();
    world.news().await;
    assert_eq!(world.forum.requests().len(), 2, "once a day by activity too");
}

#[tokio::test]
async fn an_edit_of_the_title_changes_the_fingerprint_and_a_reply_does_not() {
    let mut world = World::new("8", false).await;
    let id = world.announce("A");
    let before = world.try_poll().await.unwrap();
    world.keep(&before);
    world.forum.reply(id);
    let replied = world.try_poll().await.unwrap();
    assert_eq!(replied.sightings, before.sightings);
    world.forum.edit(id, |t| t.tags.push("no-social".into()));
    let tagged = world.try_poll().await.unwrap();
    assert_ne!(tagged.sightings[0].fingerprint, before.sightings[0].fingerprint);
    assert!(!tagged.unchanged);
}

#[tokio::test]
async fn sub_categories_count_on_purpose() {
    for (subcategories, want) in [(false, vec!["Above"]), (true, vec!["Below", "Above"])] {
        let mut world = World::new("announcements", subcategories).await;
        let below = world.forum.add_category("Security", "security", Some(8));
        world.announce("Above");
        world.clock.advance(HOUR);
        world.forum.publish(Topic { title: "Below".into(), category: below, ..Topic::default() });
        assert_eq!(world.news().await, want);
    }
    let mut world = World::new("announcements/security", false).await;
    let below = world.forum.add_category("Security", "security", Some(8));
    world.forum.publish(Topic { title: "Below".into(), category: below, ..Topic::default() });
    world.announce("Above");
    assert_eq!(world.news().await, ["Below"]);
    assert!(world.contacted.iter().all(|c| c.ends_with(&format!("/c/{below}"))));
}

#[tokio::test]
async fn promise_04_pages_are_followed_to_what_is_known_else_the_gap_is_said() {
    let mut world = World::new("8", false).await;
    world.announce("Old");
    world.news().await;
    let newest = (0..75).map(|n| world.announce(&format!("News {n}"))).last().unwrap();
    // A webhook was quicker with the newest: it must not hide the others.
    world.known.insert(topic_key(world.forum.base(), newest));
    let polled = world.try_poll().await.unwrap();
    assert_eq!((world.keep(&polled).len(), polled.gap), (74, None));
    for n in 0..310 {
        world.announce(&format!("More {n}"));
    }
    let polled = world.try_poll().await.unwrap();
    assert_eq!(world.keep(&polled).len(), 300);
    assert!(polled.gap.unwrap().contains("300"));
}

#[tokio::test]
async fn promise_05_what_lies_before_first_contact_stays_no_news() {
    let mut world = World::new("8", false).await;
    let oldest = world.announce("The oldest");
    for n in 0..400 {
        world.announce(&format!("Past {n}"));
    }
    assert_eq!(world.news().await.len(), 300);
    // Somebody answers a topic that first contact did not reach, and later somebody pins it.
    world.forum.reply(oldest);
    world.clock.advance(25 * HOUR);
    assert_eq!(world.news().await, [""; 0]);
    world.forum.change(oldest, |t| t.pinned = true);
    world.clock.advance(25 * HOUR);
    assert_eq!(world.news().await, [""; 0]);
    assert_eq!(world.sight(oldest).await, None, "nor by a webhook");
    // The memory is lost, the contact is not: what is known says how far back we were.
    world.memory = Value::Null;
    world.announce("News");
    assert_eq!(world.news().await, ["News"]);
    world.clock.advance(25 * HOUR);
    assert_eq!(world.news().await, [""; 0]);
}

#[tokio::test]
async fn a_topic_moved_into_the_category_is_found() {
    let mut world = World::new("8", false).await;
    let other = world.forum.add_category("Help", "help", None);
    let moved = world.forum.publish(Topic { title: "Moved".into(), category: other, ..Topic::default() });
    for n in 0..40 {
        world.announce(&format!("Past {n}"));
    }
    world.news().await;
    // It lies on the second page by creation, which an ordinary poll does not read.
    world.forum.move_to(moved, 8);
    assert_eq!(world.news().await, [""; 0]);
    world.forum.reply(moved);
    world.clock.advance(25 * HOUR);
    assert_eq!(world.news().await, ["Moved"]);
}

#[tokio::test]
async fn promise_10_reading_again_tells_what_became_of_it() {
    let mut world = World::new("announcements", false).await;
    let other = world.forum.add_category("Staff", "staff", None);
    let id = world.forum.publish(Topic {
        tags: vec!["release".into()],
        writer: Writer { trust_level: 4, staff: true, ..Writer::default() },
        ..Topic::default()
    });
    world.news().await;
    let Reread::Present(found) = world.read(id).await.unwrap() else { panic!() };
    assert_eq!(
        (found.category.as_deref(), found.tags.as_slice()),
        (Some("announcements"), &["release".to_owned()][..])
    );
    assert_eq!(found.author.as_ref().map(|a| (a.trust_level, a.staff)), Some((Some(4), true)));
    assert_eq!((found.changed, found.visibility), (found.published, Visibility::Public));

    world.clock.advance(HOUR);
    world.forum.rebake(id);
    let Reread::Present(rebaked) = world.read(id).await.unwrap() else { panic!() };
    assert_eq!(rebaked.changed, found.published, "a rebake is no edit");
    world.forum.edit(id, |t| t.cooked = "<p>Other words</p>".into());
    let Reread::Present(edited) = world.read(id).await.unwrap() else { panic!() };
    assert_eq!(edited.changed, Some(world.clock.now()));

    world.forum.change(id, |t| t.unlisted = true);
    assert_eq!(world.why_gone(id).await.as_deref(), Some("unlisted"));
    world.forum.change(id, |t| (t.unlisted, t.hidden) = (false, true));
    assert_eq!(world.why_gone(id).await.as_deref(), Some("hidden"));
    world.forum.change(id, |t| t.hidden = false);
    assert_eq!(world.why_gone(id).await, None);
    world.forum.move_to(id, other);
    assert_eq!(world.why_gone(id).await.as_deref(), Some("moved to another category"));
    world.forum.make_private(other);
    assert_eq!(world.why_gone(id).await.as_deref(), Some("deleted or made private"));
    world.forum.move_to(id, 8);
    world.forum.delete(id);
    assert_eq!(world.why_gone(id).await.as_deref(), Some("deleted or made private"));
    let elsewhere = Found { key: "discourse:other.example/t/1".into(), ..Found::default() };
    assert_eq!(world.source.read(&world.http, &elsewhere, Timestamp::UNIX_EPOCH).await.unwrap(), Reread::Unknown);
}

#[tokio::test]
async fn a_move_into_a_new_sub_category_is_no_withdrawal_where_they_count() {
    let mut world = World::new("announcements", true).await;
    let id = world.announce("A");
    world.news().await;
    let below = world.forum.add_category("Security", "security", Some(8));
    world.forum.move_to(id, below);
    assert_eq!(world.why_gone(id).await, None);
    // Without a poll before (a restart), the category is asked for.
    let fresh = Discourse::new(world.forum.base(), "announcements", true, None);
    let found = Found { key: topic_key(world.forum.base(), id), ..Found::default() };
    let Reread::Present(found) = fresh.read(&world.http, &found, Timestamp::UNIX_EPOCH).await.unwrap() else {
        panic!()
    };
    assert_eq!(found.category.as_deref(), Some("security"));
}

#[tokio::test]
async fn trouble_is_never_an_empty_list_and_never_a_withdrawal() {
    let mut world = World::new("8", false).await;
    let id = world.announce("A");
    world.news().await;
    for (trouble, after) in [
        (Trouble::SlowDownText { retry_after_s: 24 }, Some(24)),
        (Trouble::SlowDownJson { retry_after_s: 7 }, Some(7)),
        (Trouble::Challenge, None),
        (Trouble::Down, None),
        (Trouble::MembersOnly, None),
    ] {
        world.forum.fail(Some(trouble.clone()));
        for result in [world.try_poll().await.map(drop), world.read(id).await.map(drop)] {
            match result {
                Err(SourceError::Later { after: got, .. }) => {
                    assert_eq!(got.map(|d| d.as_secs()), after, "{trouble:?}")
                }
                other => panic!("{trouble:?}: {other:?}"),
            }
        }
    }
    world.forum.fail(Some(Trouble::Page));
    assert!(matches!(world.try_poll().await, Err(SourceError::Broken(_))));
    assert!(matches!(world.read(id).await, Err(SourceError::Later { .. })));
    world.forum.fail(None);
    assert_eq!(world.news().await, [""; 0]);
}

#[tokio::test]
async fn a_category_that_is_not_there_is_the_configuration_s_fault() {
    for category in ["nowhere", "4711"] {
        let mut world = World::new(category, false).await;
        let error = world.try_poll().await.unwrap_err();
        assert!(matches!(&error, SourceError::Misconfigured(why) if why.contains(category)), "{error}");
    }
}

#[tokio::test]
async fn the_feed_stands_in_where_json_is_refused() {
    for category in ["8", "announcements"] {
        let mut world = World::new(category, false).await;
        let below = world.forum.add_category("Security", "security", Some(8));
        world.forum.publish(Topic { title: "Below".into(), category: below, ..Topic::default() });
        let id = world.announce("A & B");
        world.forum.fail(Some(Trouble::JsonRefused));
        let polled = world.try_poll().await.unwrap();
        assert_eq!(polled.contacts, [world.source.contact(8)]);
        assert_eq!(polled.at_least, Some(RSS_AT_LEAST));
        assert_eq!(polled.sightings[0].full.as_ref().unwrap().key, topic_key(world.forum.base(), id));
        assert_eq!(world.keep(&polled), ["A & B"]);
        let Reread::Present(found) = world.read(id).await.unwrap() else { panic!() };
        assert_eq!(found.title, "A & B");
        // The JSON comes back: nothing becomes new by that.
        world.forum.fail(None);
        assert_eq!(world.news().await, [""; 0]);
    }
}

#[tokio::test]
async fn a_feed_that_is_new_as_a_whole_is_a_gap() {
    let mut world = World::new("8", false).await;
    world.announce("Old");
    world.news().await;
    for n in 0..30 {
        world.announce(&format!("News {n}"));
    }
    world.forum.fail(Some(Trouble::JsonRefused));
    let polled = world.try_poll().await.unwrap();
    assert!(polled.gap.is_some());
}

#[tokio::test]
async fn a_key_is_sent_and_a_dead_one_withdraws_nothing() {
    let mut world = World::new("8", false).await;
    let id = world.announce("A");
    world.forum.require_api_key("k3y");
    assert!(world.try_poll().await.is_err());
    let key = |key: &str| Some((SecretString::from(key.to_owned()), Some("oyez".to_owned())));
    world.source = Discourse::new(world.forum.base(), "8", false, key("k3y"));
    assert_eq!(world.news().await, ["A"]);
    let last = world.forum.requests().pop().unwrap();
    assert_eq!((last.header("api-key"), last.header("api-username")), (Some("k3y"), Some("oyez")));
    world.source = Discourse::new(world.forum.base(), "8", false, key("revoked"));
    assert!(matches!(world.read(id).await, Err(SourceError::Later { .. })));
}

#[tokio::test]
async fn a_webhook_s_topic_is_sighted_as_a_poll_would() {
    let mut world = World::new("8", false).await;
    let other = world.forum.add_category("Help", "help", None);
    world.news().await;
    let id = world.announce("A");
    let event = world.forum.event("topic_created", id, "s3cret");
    let header = |name: &str| event.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone()).unwrap();
    assert!(verify_signature(b"s3cret", &event.body, &header("x-discourse-event-signature")));
    let hint = parse_webhook(&event.body).unwrap().unwrap();
    assert_eq!(hint, Hint { topic: id, category: Some(8) });
    let sighting = world.sight(id).await.unwrap();
    assert_eq!(sighting.full.as_ref().unwrap().category.as_deref(), Some("announcements"));
    let polled = world.try_poll().await.unwrap();
    assert_eq!(polled.sightings, [Sighting { full: None, ..sighting }]);
    let help = world.forum.publish(Topic { category: other, ..Topic::default() });
    assert_eq!(world.sight(help).await, None);
    world.forum.delete(id);
    assert_eq!(world.sight(id).await, None);
}

#[tokio::test]
async fn a_renamed_category_is_followed_by_its_id() {
    let mut world = World::new("8", false).await;
    world.announce("A");
    world.news().await;
    world.memory["category"]["path"] = "former-name".into();
    let id = world.announce("B");
    assert_eq!(world.news().await, ["B"], "the forum redirects to the new address");
    assert!(world.asked("/c/former-name/8/") > 0);
    assert!(world.known.contains(&topic_key(world.forum.base(), id)));
}

/// Found by fuzzing.
#[test]
fn a_slug_without_end_makes_no_address_without_end() {
    let list =
        include_str!("../../../tests/fixtures/discourse/list.json").replace("community-survey", &"ü".repeat(2_000));
    let topics = parse_list(list.as_bytes()).unwrap().topics;
    let survey = topics.iter().find(|topic| topic.id == 302).unwrap();
    assert_eq!(
        survey.clone().found(&Url::parse("https://forum.example").unwrap()).url,
        "https://forum.example/t/-/302"
    );
}

/// Found by fuzzing.
#[test]
fn a_topic_that_a_list_shows_twice_is_one() {
    let list = include_str!("../../../tests/fixtures/discourse/list.json").replace("\"id\":302", "\"id\":301");
    let topics = parse_list(list.as_bytes()).unwrap().topics;
    let same: Vec<_> = topics.iter().filter(|topic| topic.id == 301).map(|topic| topic.title.as_str()).collect();
    assert_eq!(same.len(), 1, "{same:?}");
    assert!(same[0].starts_with("NixOS 26.11"), "the first counts");
}

#[test]
fn keys_say_what_the_forum_is() {
    #[track_caller]
    fn check(base: &str, want: &str) {
        assert_eq!(topic_key(&base.parse().unwrap(), 7), want);
        assert_eq!(Discourse::new(&base.parse().unwrap(), "8", false, None).topic_id(want), Some(7));
    }
    check("https://Discourse.NixOS.org", "discourse:discourse.nixos.org/t/7");
    check("https://discourse.nixos.org/", "discourse:discourse.nixos.org/t/7");
    check("http://localhost:3000", "discourse:localhost:3000/t/7");
    check("https://example.org/forum/", "discourse:example.org/forum/t/7");
    check("https://example.org/forum", "discourse:example.org/forum/t/7");
    let base: Url = "https://example.org/forum".parse().unwrap();
    assert_eq!(topic_url(&base, "a-title", 7), "https://example.org/forum/t/a-title/7");
    assert_eq!(topic_url(&base, "../../x?y#z", 7), "https://example.org/forum/t/....xyz/7");
    assert_eq!(topic_url(&base, "..", 7), "https://example.org/forum/t/-/7");
}

#[test]
fn a_feed_s_silence_is_no_change() {
    let before = Found {
        text: "One sentence. Another sentence.".into(),
        tags: vec!["release".into()],
        category: Some("announcements".into()),
        ..Found::default()
    };
    let with = |text: &str| with_what_rss_lacks(Found { text: text.into(), ..Found::default() }, &before);
    assert_eq!(with("One sentence. Another…").text, before.text);
    assert_eq!(with("One sentence.").text, "One sentence.", "an end that is missing without a sign is an edit");
    assert_eq!(with("One sentence.").tags, before.tags);
    assert_eq!(with("One sentence.").category, before.category);
}

/// Every capture, if the corpus is there: no panic, and sense where there is some.
#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn the_corpus_parses() {
    let Some(corpus) = std::env::var_os("OYEZ_CORPUS") else {
        eprintln!("skipped: OYEZ_CORPUS names no corpus");
        return;
    };
    let base: Url = "https://forum.example/".parse().unwrap();
    let mut sensible = std::collections::BTreeMap::new();
    for folder in ["list", "topic", "post", "rss", "webhook", "site"] {
        let path = std::path::Path::new(&corpus).join("sources").join(format!("discourse-{folder}"));
        for file in std::fs::read_dir(path).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            // Relays record the headers beside the body.
            let event = serde_json::from_slice::<Value>(&bytes).ok().and_then(|v| Some(v.get("body")?.to_string()));
            let event = event.map_or(bytes.clone(), String::into_bytes);
            let some = [
                parse_list(&bytes).is_ok_and(|l| !l.topics.is_empty() && l.skipped.is_empty()),
                parse_topic(&bytes, &base).is_ok_and(|t| !t.title.is_empty() && t.author.is_some()),
                parse_category(&bytes).is_ok_and(|c| !c.is_empty() && !c[0].slug.is_empty()),
                parse_rss(&bytes, &base)
                    .is_ok_and(|r| !r.topics.is_empty() && r.topics.iter().all(|t| t.found.published.is_some())),
                parse_webhook(&event).is_ok_and(|h| h.is_some()),
            ];
            for (kind, ok) in ["list", "topic", "category", "rss", "hint"].into_iter().zip(some) {
                *sensible.entry(format!("{folder}: {kind}")).or_insert(0) += usize::from(ok);
            }
        }
    }
    sensible.retain(|_, count| *count > 0);
    for least in ["list: list", "topic: topic", "rss: rss", "webhook: hint", "site: category"] {
        assert!(sensible.contains_key(least), "{sensible:?}");
    }
}

#[test]
fn promise_08_no_bytes_make_a_parser_panic() {
    let base: Url = "https://forum.example/".parse().unwrap();
    let fixtures: [&[u8]; 3] = [
        include_bytes!("../../../tests/fixtures/discourse/list.json"),
        include_bytes!("../../../tests/fixtures/discourse/topic.json"),
        include_bytes!("../../../tests/fixtures/discourse/category.rss"),
    ];
    let parse_all = |bytes: &[u8]| {
        let _results = (parse_list(bytes), parse_topic(bytes, &base), parse_category(bytes), parse_rss(bytes, &base));
        let _hint = parse_webhook(bytes);
    };
    for fixture in fixtures {
        for end in (0..fixture.len()).step_by(7) {
            parse_all(&fixture[..end]);
            let mut bent = fixture.to_vec();
            bent[end] = b"<>&[]{}\"0,\xff"[end % 11];
            parse_all(&bent);
        }
    }
    proptest::proptest!(|(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200))| parse_all(&bytes));
}

#[tokio::test]
async fn the_forum_serves_captures_and_sends_events() {
    let world = World::new("8", false).await;
    let id = world.forum.announce("A", "<p>A</p>");
    world.forum.serve(
        "/t/77.json",
        include_bytes!("../../../tests/fixtures/discourse/topic.json").to_vec(),
        "application/json",
    );
    // The capture is of topic 301: a forum that answers for another number is not believed.
    assert_eq!(world.why_gone(77).await.as_deref(), Some("it was merged into topic 301"));
    let hook = world.forum.base().join("hooks/announcements").unwrap();
    let event = world.forum.event("post_created", id, "s3cret");
    world.forum.deliver(world.http.api(), &hook, event).await.unwrap();
    let seen = world.forum.requests().pop().unwrap();
    assert_eq!((seen.method.as_str(), seen.header("x-discourse-event")), ("POST", Some("post_created")));
}

#[tokio::test]
async fn promise_05_sub_categories_switched_on_later_bring_no_past() {
    let mut world = World::new("announcements", false).await;
    let security = world.forum.add_category("Security", "security", Some(8));
    let below = |title: &str, category| Topic { title: title.into(), category, ..Topic::default() };
    world.announce("Above");
    world.forum.publish(below("Below", security));
    assert_eq!(world.announced().await, [""; 0]);
    world.source = Discourse::new(world.forum.base(), "announcements", true, None);
    assert_eq!(world.announced().await, [""; 0]);
    world.clock.advance(HOUR);
    world.forum.publish(below("Below, later", security));
    assert_eq!(world.announced().await, ["Below, later"]);
    // A sub-category made since is new as a whole; an old category moved below ours brings its past with it.
    let young = world.forum.add_category("Releases", "releases", Some(8));
    world.forum.publish(below("First release", young));
    assert_eq!(world.announced().await, ["First release"]);
}

#[tokio::test]
async fn promise_05_an_old_category_moved_below_ours_brings_no_past() {
    let mut world = World::new("announcements", true).await;
    let old = world.forum.add_category("Old", "old", None);
    world.forum.publish(Topic { title: "Years ago".into(), category: old, ..Topic::default() });
    world.announce("Above");
    assert_eq!(world.announced().await, [""; 0]);
    world.forum.put_below(old, Some(8));
    assert_eq!(world.announced().await, [""; 0]);
    world.clock.advance(HOUR);
    world.forum.publish(Topic { title: "News".into(), category: old, ..Topic::default() });
    assert_eq!(world.announced().await, ["News"]);
}
