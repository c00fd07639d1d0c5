//! Promises to those who read and those who decide: the poster is not trusted (8), every act has a name (9), what is
//! not public stays so (10); and the front door of the forums' webhooks.
use std::time::{Duration, Instant};

use jiff::Timestamp;
use oyez::acts::{Request, TeamAct};
use oyez::item::{Number, State};
use oyez::pretend::forum::{Fault, Topic, Writer};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::site::{Page, Site, feed};
use crate::world::{DAY, HOUR, MINUTE, Plan, World};

/// The entries of the whole journal with this word.
fn said(world: &World, what: &str) -> Vec<Value> {
    let log = world.ask(Request::Log { item: None }).unwrap();
    log.into_iter().filter(|entry| entry["what"] == what).collect()
}

fn add(world: &mut World, toml: &str) {
    world.toml.push_str(toml);
    world.restart();
}

/// Hears a topic. Returns the item's number.
async fn heard(world: &World, topic: Topic) -> Number {
    let topic = world.forum.publish(topic);
    world.poll().await;
    world.number_of(topic)
}

// 8. The poster is not trusted.

/// Somebody inside, who must never hear from us.
struct Inside {
    port: u16,
    heard: tokio::task::JoinHandle<()>,
}

impl Inside {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = tokio::spawn(async move {
            // The end of this task is the trace.
            drop(listener.accept().await.unwrap());
        });
        Self { port, heard }
    }

    async fn assert_untouched(self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!self.heard.is_finished(), "somebody knocked at port {}", self.port);
        self.heard.abort();
    }
}

#[tokio::test]
async fn promise_08_images_inside_are_never_fetched_and_the_post_goes_out_without_them() {
    let world = World::new().await;
    world.meet().await;
    let inside = Inside::start().await;
    let port = inside.port;
    let addresses = [
        format!("http://127.0.0.1:{port}/a.png"),
        format!("http://localhost:{port}/a.png"),
        format!("http://2130706433:{port}/a.png"),
        format!("http://0x7f.1:{port}/a.png"),
        format!("http://[::ffff:127.0.0.1]:{port}/a.png"),
        format!("http://0:{port}/a.png"),
        format!("http://a.localhost:{port}/a.png"),
        format!("//127.0.0.1:{port}/a.png"),
        "http://127.0.0.1/a.png".to_owned(),
        "http://169.254.169.254/latest/meta-data/a.png".to_owned(),
        "https://[fd00::1]/a.png".to_owned(),
        "http://user:secret@127.0.0.1/a.png".to_owned(),
    ];
    let odd = [
        "file:///etc/hostname",
        "data:image/png;base64,aGVsbG8=",
        "ftp://127.0.0.1/a.png",
        "gopher://127.0.0.1/a.png",
        "javascript:alert(1)",
    ];
    let mut numbers = Vec::new();
    for (n, address) in addresses.iter().map(String::as_str).chain(odd).enumerate() {
        let title = format!("Picture {n}");
        let cooked =
            format!("<p>Look.</p><p><img src=\"{address}\" alt=\"A picture\" width=\"690\" height=\"400\"></p>");
        numbers.push(heard(&world, Topic { title, cooked, ..Topic::default() }).await);
    }
    world.pass(2 * DAY).await;
    assert_eq!(world.texts().len(), numbers.len());
    assert!(world.mastodon.posts().iter().all(|status| status.media.is_empty()));
    for (number, address) in numbers.iter().zip(&addresses) {
        let item = world.item(*number);
        assert_eq!(item.state(), State::Done, "{address}");
        let post = &item.posts["mastodon"];
        let log = world.ask(Request::Log { item: Some(*number) }).unwrap();
        let warned = log.iter().any(|entry| entry.to_string().contains("left out"));
        assert!(post.media.is_empty() || warned, "{address}: nobody was told: {log:?}");
        if address.starts_with("http://127") || address.starts_with("http://localhost") {
            assert!(warned, "{address}: {post:?} {log:?}");
        }
    }
    inside.assert_untouched().await;
}

#[tokio::test]
async fn promise_08_nothing_a_poster_writes_is_more_than_words() {
    let world = World::with(Plan {
        extra: "[[policy]]\nwhen = '\"secret\" in tags'\nthen = \"ignore\"\nbecause = \"they asked\"".into(),
        ..Plan::default()
    })
    .await;
    world.meet().await;
    let nasty = "<script>alert(1)</script> {{ 1234 * 5678 }} {% for x in range(9999) %}x{% endfor %} @everyone@evil.example \
                 &lt;b&gt; \u{202e}gnp.exe\u{2066} #hijack \u{0007}\u{200b} [x](https://evil.example)";
    let body = "&lt;script&gt;alert(2)&lt;/script&gt; {{ hashtags }} {{ 1234 * 5678 }} @staff@evil.example \u{202e}desrever\u{202c} #stolen \
                upload://abc.png";
    let number = heard(
        &world,
        Topic {
            title: nasty.into(),
            cooked: format!("<p>{body}<script>alert(3)</script><style>p{{}}</style></p>"),
            tags: vec!["{{ 1234 * 5678 }}".into(), "<i>tag</i>".into(), "'\" or true".into()],
            writer: Writer {
                name: "<b>Mallory</b> @root \u{202e} {{ 1234 * 5678 }}".into(),
                username: "mallory".into(),
                ..Writer::default()
            },
            ..Topic::default()
        },
    )
    .await;
    world.pass(2 * DAY).await;
    assert_eq!(world.state(number), State::Done);
    let status = &world.mastodon.posts()[0];
    let text = &status.text;
    assert!(text.contains("{{ 1234 * 5678 }}"), "template code is only words: {text}");
    for bad in ["@", "<", ">", "7006652", "#hijack", "#stolen", "upload:", "alert(3)", "p{}"] {
        assert!(!text.contains(bad), "`{bad}` in: {text}");
    }
    for bad in ['\u{202e}', '\u{2066}', '\u{202c}', '\u{7}', '\u{200b}'] {
        assert!(!text.contains(bad), "{bad:?} in: {text:?}");
    }
    assert_eq!(text.matches('#').count(), 1, "only our own hashtag: {text}");
    assert!(!status.html.contains("<script") && !status.html.contains("u-url mention"), "{}", status.html);
}

/// Seconds where these take a few; what takes quadratic time takes an hour.
const BOUND: Duration = Duration::from_secs(120);

/// However large or deep a page is: it takes little time, says what is wrong, and the others go on.
#[tokio::test]
async fn promise_08_pages_that_are_too_much_cost_little_and_stop_no_other() {
    let mut world = World::new().await;
    let site = Site::start(world.clock.clone()).await;
    site.put("/feed", Page::xml(feed(&[])));
    add(
        &mut world,
        &format!("[[source]]\nname = \"blog\"\ntype = \"feed\"\nurl = \"{}\"\nevery = \"30d\"\n", site.at("/feed")),
    );
    world.toml = world.toml.replace("every = \"1h\"", "every = \"30d\"");
    world.restart();
    world.meet().await;
    let started = Instant::now();
    let big = vec![b' '; 50 * 1024 * 1024];
    site.put("/feed", Page::xml(big.clone()));
    let huge = world.forum.announce("Huge", "<p>Words.</p>");
    world.forum.serve(&format!("/t/{huge}.json"), big, "application/json");
    let deep: Vec<(&str, String)> = vec![
        ("Deep divs", "<div>".repeat(100_000) + "Words."),
        ("Deep quotes", "<blockquote>".repeat(100_000) + "Words."),
        ("Deep lists", "<ul><li>".repeat(50_000) + "Words."),
        ("Deep tables", "<table><tr><td>".repeat(30_000) + "Words."),
        ("Many links", "<a href=\"https://a.example/x\">y</a> ".repeat(50_000)),
        ("One long word", format!("<p>{}</p>", "x".repeat(2_000_000))),
        ("Attributes", format!("<p {}>Words.</p>", "a=b ".repeat(200_000))),
    ];
    for (title, cooked) in &deep {
        world.advance(MINUTE);
        world.forum.announce(title, cooked);
    }
    world.advance(MINUTE);
    let fine = world.forum.announce("Fine", "<p>Words.</p>");
    let tally = world.poll().await;
    assert_eq!(tally.failed.iter().filter(|name| *name == "blog").count(), 1);
    assert_eq!(tally.seen, deep.len() + 1);
    world.pass(HOUR).await;
    let fine = world.number_of(fine);
    let queue = world.ask(Request::Queue { all: false }).unwrap();
    let numbers: Vec<Number> = queue.iter().filter_map(|document| document["number"].as_u64()).collect();
    for number in numbers.iter().copied() {
        let item = world.item(number);
        let post = &item.posts["mastodon"];
        assert!(post.length <= 500 && post.text.len() <= 4_000, "{}: {post:?}", item.found().title);
        if number != fine {
            world.act(number, TeamAct::Veto).unwrap();
        }
    }
    assert_eq!(numbers.len(), deep.len() + 1);
    world.pass(DAY).await;
    assert_eq!((world.state(fine), world.texts().len()), (State::Done, 1));
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
}

#[tokio::test]
async fn promise_08_a_feed_of_ten_thousand_entries_is_quiet_and_quick() {
    let mut world = World::new().await;
    let site = Site::start(world.clock.clone()).await;
    let entries: Vec<String> = (0..10_500)
        .map(|n| format!("<item><guid isPermaLink=\"false\">{n}</guid><title>T{n}</title><link>https://b.example/{n}</link></item>"))
        .collect();
    let rss = format!("<rss version=\"2.0\"><channel><title>Big</title>{}</channel></rss>", entries.concat());
    site.put("/feed", Page::xml(rss));
    add(
        &mut world,
        &format!("[[source]]\nname = \"blog\"\ntype = \"feed\"\nurl = \"{}\"\nevery = \"1h\"\n", site.at("/feed")),
    );
    let started = Instant::now();
    let tally = world.meet().await;
    assert_eq!((tally.known, tally.seen), (10_000, 0));
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    let number = world.announce("Fine", "<p>Words.</p>").await;
    assert_eq!(world.state(number), State::Settling);
}

// 9. Every act has a name.

#[tokio::test]
async fn promise_09_every_change_of_state_has_an_entry_with_a_name_and_the_reason() {
    let world = World::new().await;
    world.meet().await;
    let topic = world.forum.announce("News", "<p>Words.</p>");
    world.poll().await;
    let number = world.number_of(topic);
    let mut before = world.item(number);
    let mut told = world.journal(number).len();
    let mut check = |world: &World, what: &str, actor: &str| {
        let after = world.item(number);
        let log = world.ask(Request::Log { item: Some(number) }).unwrap();
        let new = &log[told..];
        assert!(after.rev > before.rev, "{what}: nothing happened");
        let named = new.iter().any(|entry| entry["what"] == what && entry["actor"] == actor);
        assert!(named, "{what} by {actor} is not in {new:?}");
        if actor == "cli:ida" {
            assert!(new.iter().any(|entry| entry["what"] == what && entry["reason"] == "because"), "{what}: {new:?}");
        }
        (before, told) = (after, log.len());
    };
    let edit = || TeamAct::Edit { account: "mastodon".into(), text: "Better words. https://forum.example/t/1".into() };
    world.pass(31 * MINUTE).await;
    check(&world, "held", "oyez");
    world.act(number, TeamAct::Approve { now: false }).unwrap();
    check(&world, "approve", "cli:ida");
    world.act(number, TeamAct::Snooze { seconds: 3 * 86_400 }).unwrap();
    check(&world, "snooze", "cli:ida");
    world.forum.edit(topic, |topic| topic.title = "Other news".into());
    world.poll().await;
    check(&world, "changed", "forum:ada");
    world.act(number, edit()).unwrap();
    check(&world, "edit", "cli:ida");
    world.act(number, TeamAct::Reset { account: "mastodon".into() }).unwrap();
    check(&world, "reset", "cli:ida");
    world.act(number, TeamAct::Veto).unwrap();
    check(&world, "veto", "cli:ida");
    world.act(number, TeamAct::Reinstate).unwrap();
    check(&world, "reinstate", "cli:ida");
    world.act(number, TeamAct::Skip { account: "mastodon".into() }).unwrap();
    check(&world, "skip", "cli:ida");
    world.act(number, TeamAct::Reinstate).unwrap();
    check(&world, "reinstate", "cli:ida");
    world.act(number, TeamAct::Approve { now: true }).unwrap();
    check(&world, "approve-now", "cli:ida");
    world.deliver().await;
    assert_eq!(world.texts().len(), 1);
    check(&world, "sent", "oyez");
    world
        .act(number, TeamAct::Amend { account: None, text: Some("Best words. https://forum.example/t/1".into()) })
        .unwrap();
    check(&world, "amend", "cli:ida");
    world.deliver().await;
    check(&world, "amended", "oyez");
    world.act(number, TeamAct::Retract).unwrap();
    check(&world, "retract", "cli:ida");
    world.deliver().await;
    check(&world, "retracted", "oyez");
    world.ask(Request::Verify).unwrap();
}

#[tokio::test]
async fn promise_09_what_is_forgotten_is_gone_and_the_chain_still_verifies() {
    let mut world = World::new().await;
    world.meet().await;
    let number = heard(
        &world,
        Topic {
            title: "Unspeakable title".into(),
            cooked: "<p>Unspeakable body.</p>".into(),
            writer: Writer { name: "Unspeakable Author".into(), username: "unspeakable".into(), ..Writer::default() },
            ..Topic::default()
        },
    )
    .await;
    world.pass(31 * MINUTE).await;
    world.act(number, TeamAct::Edit { account: "mastodon".into(), text: "Unspeakable edit".into() }).unwrap();
    let veto =
        Request::Act { items: vec![number.to_string()], act: TeamAct::Veto, reason: Some("Unspeakable reason".into()) };
    world.ask(veto).unwrap();
    let forget = Request::Forget { items: vec![number.to_string()], reason: "the author asked".into() };
    world.ask(forget).unwrap();
    let no_trace = |world: &World| {
        for request in [
            Request::Log { item: None },
            Request::Queue { all: true },
            Request::Show { item: number.to_string() },
            Request::Export,
        ] {
            for document in world.ask(request.clone()).unwrap() {
                let text = document.to_string().to_lowercase();
                assert!(!text.contains("unspeakable"), "{request:?}: {text}");
            }
        }
        world.ask(Request::Verify).unwrap();
    };
    no_trace(&world);
    world.restart();
    no_trace(&world);
    world.poll().await;
    world.pass(2 * DAY).await;
    no_trace(&world);
    let forgotten = said(&world, "forget");
    assert_eq!((forgotten.len(), forgotten[0]["actor"].as_str()), (1, Some("cli:ida")));
    assert_eq!(forgotten[0]["reason"], "the author asked");
    assert!(world.texts().is_empty());
}

// 10. What is not public stays so.

/// When, after the announcement, the author changes something. The list is not read again meanwhile.
#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    /// Seen at settling.
    Settling,
    /// Seen at half the window.
    FirstHalf,
    /// Seen right before delivery.
    SecondHalf,
}

impl When {
    /// From the announcement to the change, and from there to the look that shows it.
    fn times(self) -> (Duration, Duration) {
        match self {
            When::Settling => (10 * MINUTE, 25 * MINUTE),
            When::FirstHalf => (5 * HOUR, 9 * HOUR),
            When::SecondHalf => (20 * HOUR, 5 * HOUR),
        }
    }
}

/// A world whose forum's list is read once a month: what is noticed is noticed by reading the topic itself.
async fn rarely_polled(extra: &str) -> World {
    let mut world = World::with(Plan { extra: extra.to_owned(), ..Plan::default() }).await;
    world.toml = world.toml.replace("every = \"1h\"", "every = \"30d\"");
    world.restart();
    world.meet().await;
    world
}

const NO_SOCIAL: &str =
    "[[policy]]\nwhen = '\"no-social\" in tags'\nthen = \"ignore\"\nbecause = \"the author asked for it\"\n";

async fn check_gone(when: When, what: &str, want: State) {
    let world = rarely_polled(NO_SOCIAL).await;
    let elsewhere = world.forum.add_category("Elsewhere", "elsewhere", None);
    let number = world.announce("News", "<p>Words.</p>").await;
    let topic = world.item(number).found().key.rsplit('/').next().unwrap().parse().unwrap();
    let (until_change, until_seen) = when.times();
    world.pass(until_change).await;
    match what {
        "deleted" => world.forum.delete(topic),
        "unlisted" => world.forum.change(topic, |topic| topic.unlisted = true),
        "hidden" => world.forum.change(topic, |topic| topic.hidden = true),
        "moved" => world.forum.move_to(topic, elsewhere),
        "private" => world.forum.change(topic, |topic| topic.archetype = "private_message".into()),
        "tagged" => world.forum.change(topic, |topic| topic.tags.push("no-social".into())),
        other => panic!("{other}"),
    }
    world.pass(until_seen).await;
    assert_eq!(world.state(number), want, "{what} {when:?}");
    world.pass(5 * DAY).await;
    assert_eq!(world.texts(), Vec::<String>::new(), "{what} {when:?}");
    assert_eq!(world.state(number), want, "{what} {when:?}");
    let word = if want == State::Withdrawn { "withdrawn" } else { "ignored" };
    assert!(world.journal(number).contains(&word.to_owned()), "{what} {when:?}: {:?}", world.journal(number));
}

#[tokio::test]
async fn promise_10_what_is_not_public_any_more_does_not_leave_whenever_it_went() {
    for when in [When::Settling, When::FirstHalf, When::SecondHalf] {
        for what in ["deleted", "unlisted", "hidden", "moved", "private"] {
            check_gone(when, what, State::Withdrawn).await;
        }
        check_gone(when, "tagged", State::Ignored).await;
    }
}

#[tokio::test]
async fn promise_10_what_was_edited_is_worded_anew_and_leaves_no_earlier_than_its_grace() {
    for when in [When::Settling, When::FirstHalf, When::SecondHalf] {
        let world = rarely_polled("").await;
        let announced = world.now();
        let number = world.announce("News", "<p>Words.</p>").await;
        let topic = world.item(number).found().key.rsplit('/').next().unwrap().parse().unwrap();
        let (until_change, until_seen) = when.times();
        world.pass(until_change).await;
        world.forum.edit(topic, |topic| topic.cooked = "<p>Better words.</p>".into());
        let edited = world.now();
        world.pass(until_seen).await;
        assert!(world.texts().is_empty(), "{when:?}");
        world.pass(5 * DAY).await;
        let posts = world.mastodon.posts();
        assert_eq!(posts.len(), 1, "{when:?}");
        assert!(posts[0].text.contains("Better words"), "{when:?}: {}", posts[0].text);
        let out: Timestamp = posts[0].created_at;
        assert!(out >= announced + DAY && out >= edited + HOUR, "{when:?}: {out}");
        assert!(out <= announced + 3 * DAY, "{when:?}: {out}");
    }
}

/// A second account, whose waking hours come later.
const LATER: &str = r#"
[[account]]
name = "later"
platform = "file"
path = "{later}"
hold = { quiet-hours = { from = "06:00", to = "20:00" } }
"#;

/// The account that comes later: its texts.
fn later(world: &World) -> Vec<String> {
    let text = std::fs::read_to_string(world.dir.path().join("later.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().to_owned()).collect()
}

async fn between_two_accounts(change: impl Fn(&World, u64)) -> (World, Number) {
    let mut world = rarely_polled(NO_SOCIAL).await;
    let path = world.dir.path().join("later.jsonl");
    add(&mut world, &LATER.replace("{later}", path.to_str().unwrap()));
    let number = world.announce("News", "<p>Words.</p>").await;
    let topic = world.item(number).found().key.rsplit('/').next().unwrap().parse().unwrap();
    world.pass(26 * HOUR).await;
    assert_eq!((world.texts().len(), later(&world).len()), (1, 0), "one is out, the other waits for its hours");
    change(&world, topic);
    world.pass(DAY).await;
    (world, number)
}

#[tokio::test]
async fn promise_10_each_delivery_reads_for_itself() {
    let (world, _) = between_two_accounts(|_, _| {}).await;
    assert_eq!(later(&world).len(), 1);
    for gone in [
        |world: &World, topic| world.forum.delete(topic),
        |world: &World, topic| world.forum.change(topic, |topic| topic.unlisted = true),
        |world: &World, topic| world.forum.change(topic, |topic| topic.hidden = true),
        |world: &World, topic| world.forum.change(topic, |topic| topic.tags.push("no-social".into())),
    ] {
        let (world, number) = between_two_accounts(gone).await;
        assert_eq!((world.texts().len(), later(&world).len()), (1, 0));
        assert_eq!(world.item(number).deliveries["later"].progress.name(), "cancelled");
        assert!(world.item(number).attention(), "what is out already is somebody's business now");
    }
    let (world, number) =
        between_two_accounts(|world, topic| world.forum.edit(topic, |topic| topic.title = "Better news".into())).await;
    assert!(world.texts()[0].contains("News") && !world.texts()[0].contains("Better"));
    let texts = later(&world);
    assert!(texts.len() == 1 && texts[0].contains("Better news"), "{texts:?}");
    assert!(!world.item(number).alarms.is_empty(), "the first account shows the old words");
}

#[tokio::test]
async fn promise_10_a_forum_out_of_reach_is_waited_for_and_then_it_goes_out() {
    for fault in [Fault::Down, Fault::SlowDownText { retry_after_s: 20 }, Fault::Challenge, Fault::Page] {
        let world = rarely_polled("").await;
        let number = world.announce("News", "<p>Words.</p>").await;
        world.pass(20 * HOUR).await;
        let end = world.item(number).window_end.unwrap();
        world.forum.fail(Some(fault.clone()));
        world.pass(Duration::try_from(end.duration_since(world.now())).unwrap() + 59 * MINUTE).await;
        assert!(world.texts().is_empty(), "{fault:?}: it is waited for");
        world.pass(5 * MINUTE).await;
        assert_eq!((world.texts().len(), world.state(number)), (1, State::Done), "{fault:?}");
    }
}

#[tokio::test]
async fn promise_10_an_outage_at_half_the_window_shortens_no_wait_before_delivery() {
    let world = rarely_polled("").await;
    let number = world.announce("News", "<p>Words.</p>").await;
    world.pass(12 * HOUR).await;
    world.forum.fail(Some(Fault::Down));
    world.pass(3 * HOUR).await;
    world.forum.fail(None);
    world.pass(5 * HOUR).await;
    let end = world.item(number).window_end.unwrap();
    world.forum.fail(Some(Fault::Down));
    world.pass(Duration::try_from(end.duration_since(world.now())).unwrap() + 59 * MINUTE).await;
    assert!(world.texts().is_empty());
    world.pass(5 * MINUTE).await;
    assert_eq!(world.texts().len(), 1);
}

#[tokio::test]
async fn promise_10_a_forum_that_is_back_in_time_is_believed() {
    for deleted in [false, true] {
        let world = rarely_polled("").await;
        let number = world.announce("News", "<p>Words.</p>").await;
        let topic = world.item(number).found().key.rsplit('/').next().unwrap().parse().unwrap();
        world.pass(20 * HOUR).await;
        let end = world.item(number).window_end.unwrap();
        world.forum.fail(Some(Fault::Down));
        world.pass(Duration::try_from(end.duration_since(world.now())).unwrap() + 30 * MINUTE).await;
        assert!(world.texts().is_empty());
        world.forum.fail(None);
        if deleted {
            world.forum.delete(topic);
        }
        world.pass(5 * MINUTE).await;
        let want = if deleted { (0, State::Withdrawn) } else { (1, State::Done) };
        assert_eq!((world.texts().len(), world.state(number)), want);
    }
}

#[tokio::test]
async fn promise_10_what_comes_back_waits_for_a_person() {
    let world = World::new().await;
    world.meet().await;
    let topic = world.forum.announce("News", "<p>Words.</p>");
    world.poll().await;
    let number = world.number_of(topic);
    world.pass(2 * HOUR).await;
    world.forum.change(topic, |topic| topic.unlisted = true);
    world.pass(2 * DAY).await;
    assert_eq!(world.state(number), State::Withdrawn);
    world.forum.change(topic, |topic| topic.unlisted = false);
    world.pass(2 * DAY).await;
    assert_eq!((world.state(number), world.texts().len()), (State::Withdrawn, 0));
    assert!(world.journal(number).contains(&"back".to_owned()) && world.item(number).attention());
    world.act(number, TeamAct::Reinstate).unwrap();
    world.pass(2 * DAY).await;
    assert_eq!((world.state(number), world.texts().len()), (State::Done, 1));
}

// The front door of the forums.

const SECRET: &str = "a-secret-of-the-hook";

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(10), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs the whole service on a port of its own while `story` goes on.
async fn served(world: &World, story: impl AsyncFnOnce(url::Url, reqwest::Client)) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let base: url::Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let story = async {
        story(base, reqwest::Client::new()).await;
        stop.send(()).unwrap();
    };
    let supervisor = oyez::progress::Supervisor::default();
    let run = world.app().run_on(listener, &supervisor, async { drop(stopped.await) });
    let (ended, ()) = tokio::join!(run, story);
    ended.unwrap();
}

async fn hooked() -> World {
    let mut world = World::new().await;
    let file = world.dir.path().join("hook-secret");
    std::fs::write(&file, SECRET).unwrap();
    let hook = format!("every = \"30d\"\nwebhook-secret = {{ file = \"{}\" }}", file.display());
    world.toml = world.toml.replace("every = \"1h\"", &hook);
    world.restart();
    world.meet().await;
    world.advance(HOUR);
    // It ran all the time.
    world.app().store().set_alive(world.now()).unwrap();
    world
}

fn is_known(world: &World, topic: u64) -> bool {
    let key = oyez::source::discourse::topic_key(world.forum.base(), topic);
    world.app().store().by_key(&key).unwrap().is_some()
}

#[tokio::test]
async fn promise_06_a_signed_webhook_brings_the_topic_at_once_and_a_poll_does_not_bring_it_again() {
    let world = hooked().await;
    served(&world, async |base, client| {
        let hook = base.join("hooks/announcements").unwrap();
        let topic = world.forum.announce("News", "<p>Words.</p>");
        let event = world.forum.event("topic_created", topic, SECRET);
        assert_eq!(world.forum.deliver(&client, &hook, event).await.unwrap(), 200);
        until("the topic", || is_known(&world, topic)).await;
        let number = world.number_of(topic);
        world.poll().await;
        let again = world.forum.event("post_created", topic, SECRET);
        assert_eq!(world.forum.deliver(&client, &hook, again).await.unwrap(), 200);
        world.forum.edit(topic, |topic| topic.title = "Better news".into());
        let edited = world.forum.event("topic_edited", topic, SECRET);
        assert_eq!(world.forum.deliver(&client, &hook, edited).await.unwrap(), 200);
        until("the edit", || world.item(number).found().title == "Better news").await;
        world.forum.delete(topic);
        let gone = world.forum.event("topic_destroyed", topic, SECRET);
        assert_eq!(world.forum.deliver(&client, &hook, gone).await.unwrap(), 200);
        until("the withdrawal", || world.state(number) == State::Withdrawn).await;
        assert_eq!(world.item(number).origins.len(), 1);
        assert_eq!(said(&world, "seen").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn promise_08_a_webhook_nobody_signed_does_nothing_and_is_told() {
    let world = hooked().await;
    let requests = world.forum.requests().len();
    served(&world, async |base, client| {
        let hook = base.join("hooks/announcements").unwrap();
        let topic = world.forum.announce("News", "<p>Words.</p>");
        let forged = world.forum.event("topic_created", topic, "another-secret");
        assert_eq!(world.forum.deliver(&client, &hook, forged).await.unwrap(), 403);
        let mut bent = world.forum.event("topic_created", topic, SECRET);
        bent.body.push(b' ');
        assert_eq!(world.forum.deliver(&client, &hook, bent).await.unwrap(), 403);
        let event = world.forum.event("topic_created", topic, SECRET);
        let nowhere = base.join("hooks/nobody").unwrap();
        assert_eq!(world.forum.deliver(&client, &nowhere, event).await.unwrap(), 202);
        until("both reports", || said(&world, "webhook-refused").len() == 2).await;
        let told: Vec<Value> = said(&world, "webhook-refused").iter().map(|entry| entry["hook"].clone()).collect();
        assert_eq!(told, ["announcements", "nobody"]);
        assert!(!is_known(&world, topic));
    })
    .await;
    assert_eq!(world.forum.requests().len(), requests, "nothing was looked at");
}

#[tokio::test]
async fn promise_11_a_flood_for_one_topic_is_hardly_more_than_one_look() {
    let world = hooked().await;
    served(&world, async |base, client| {
        let hook = base.join("hooks/announcements").unwrap();
        let topic = world.forum.announce("News", "<p>Words.</p>");
        world.forum.forget_requests();
        let flood = (0..200).map(|_| {
            let event = world.forum.event("topic_edited", topic, SECRET);
            world.forum.deliver(&client, &hook, event)
        });
        let answers = futures_util::future::join_all(flood).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap() == 200));
        until("the topic", || is_known(&world, topic)).await;
        let looks = world.forum.requests().len();
        assert!(looks <= 20, "{looks} looks for 200 events");
    })
    .await;
    assert_eq!(said(&world, "seen").len(), 1);
}
