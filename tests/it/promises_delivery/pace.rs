//! How fast the accounts may speak, and the worked examples of `lifecycle.md` 3, through the service.
use std::fmt::Write as _;
use std::time::Duration;

use oyez::acts::TeamAct;
use oyez::item::State;
use oyez::pretend::forum::Topic;

use super::{PACED, attempts, berlin, local, times, two_accounts};
use crate::world::{DAY, HOUR, MINUTE, Plan, World};

#[tokio::test]
async fn accounts_keep_their_own_distance_and_do_not_wait_for_each_other() {
    let mut plan = two_accounts("hold = { spacing = \"1h\", at-most = \"none\" }");
    plan.hold = PACED.into();
    let world = World::with(plan).await;
    world.meet().await;
    for i in 1..=5 {
        world.forum.announce(&format!("Piece {i}"), "<p>News.</p>");
        world.advance(Duration::from_secs(1));
    }
    world.poll().await;
    world.pass(3 * DAY).await;
    let want = ["Tue 11-03 10:30", "Tue 11-03 12:30", "Tue 11-03 14:30", "Wed 11-04 08:00", "Wed 11-04 10:00"];
    assert_eq!(times(&world.mastodon), want);
    let second = world.second.as_ref().unwrap();
    let want = ["Tue 11-03 10:30", "Tue 11-03 11:30", "Tue 11-03 12:30", "Tue 11-03 13:30", "Tue 11-03 14:30"];
    assert_eq!(times(second), want);
    for server in [&world.mastodon, second] {
        for (i, status) in server.created().iter().enumerate() {
            assert!(status.text.contains(&format!("Piece {}", i + 1)), "in their order: {}", status.text);
        }
    }
}

#[tokio::test]
async fn limits_survive_restarts() {
    let mut world = World::with(Plan { hold: PACED.into(), ..Plan::default() }).await;
    world.meet().await;
    for i in 1..=4 {
        world.forum.announce(&format!("Piece {i}"), "<p>News.</p>");
        world.advance(Duration::from_secs(1));
    }
    world.poll().await;
    world.pass(25 * HOUR).await;
    for _ in 0..30 {
        world.restart();
        world.pass(30 * MINUTE).await;
    }
    world.pass(DAY).await;
    let want = ["Tue 11-03 10:30", "Tue 11-03 12:30", "Tue 11-03 14:30", "Wed 11-04 08:00"];
    assert_eq!(times(&world.mastodon), want);
}

const TALKS: &str = r#"
[[source]]
name = "talks"
type = "feed"
url = "{forum}talks.xml"
kind = "talk"
every = "1d"
[hold.talk]
spacing = "20h"
at-most = "1/1d"
priority = 0
stale = "none"
"#;

/// A channel with one old talk and `talks` of 2026-10-25, a minute and less apart from 14:00 on.
fn channel(talks: u32) -> String {
    let mut feed = String::from(
        "<?xml version=\"1.0\"?><rss version=\"2.0\"><channel><title>The channel</title><link>https://v.example/</link>\
         <description>Talks</description>",
    );
    for i in 1..=talks {
        let seconds = (i - 1) * 45;
        let (minute, second) = (seconds / 60, seconds % 60);
        write!(
            feed,
            "<item><title>Talk no. {i} of them</title><link>https://v.example/w/talk-{i}</link><guid>talk-{i}</guid>\
             <pubDate>Sun, 25 Oct 2026 13:{minute:02}:{second:02} GMT</pubDate><description>A talk.</description></item>"
        )
        .unwrap();
    }
    feed.push_str(
        "<item><title>An old talk</title><link>https://v.example/w/old</link><guid>old</guid>\
         <pubDate>Sun, 18 Oct 2026 13:00:00 GMT</pubDate><description>Old.</description></item></channel></rss>",
    );
    feed
}

/// Forty talks, seen at 14:30 on the day the clocks went back, with these limits.
async fn forty_talks(limits: &str, days: u32) -> World {
    let plan = Plan {
        hold: PACED.into(),
        extra: TALKS.replace("spacing = \"20h\"\nat-most = \"1/1d\"", limits),
        start: "2026-10-25T09:00:00Z",
        every: "1d",
        ..Plan::default()
    };
    let world = World::with(plan).await;
    world.forum.serve("/talks.xml", channel(0), "application/rss+xml");
    world.meet().await;
    world.clock.set(berlin("2026-10-25T14:30"));
    world.forum.serve("/talks.xml", channel(40), "application/rss+xml");
    let tally = world.poll().await;
    assert_eq!((tally.seen, tally.failed), (40, vec![]));
    world.pass(days * DAY).await;
    world
}

/// Example A without the wait for a mirror: mirrors are not looked for yet.
#[tokio::test]
async fn example_a_forty_talks_drip() {
    let world = forty_talks("spacing = \"20h\"\nat-most = \"1/1d\"", 42).await;
    let times = times(&world.mastodon);
    // Uploaded at 14:00, so that the first has settled when it is seen; its window ends a day after.
    assert_eq!(times[..3], ["Mon 10-26 15:00", "Tue 10-27 11:00", "Wed 10-28 08:00"]);
    for (i, at) in times.iter().enumerate().skip(3) {
        assert!(at.ends_with(" 08:00"), "talk {} left on {at}", i + 1);
    }
    assert_eq!((times.len(), times[39].as_str()), (40, "Fri 12-04 08:00"));
    for (i, text) in world.texts().iter().enumerate() {
        assert!(text.contains(&format!("Talk no. {} of them", i + 1)), "in their order: {text}");
    }
}

#[tokio::test]
async fn example_a_two_talks_a_day() {
    let world = forty_talks("spacing = \"6h\"\nat-most = \"2/1d\"", 2).await;
    let times = times(&world.mastodon);
    assert_eq!(times[..4], ["Mon 10-26 15:00", "Mon 10-26 21:00", "Tue 10-27 08:00", "Tue 10-27 14:00"]);
}

const SECURITY: &str = r#"
[[source]]
name = "security"
type = "discourse"
url = "{forum}"
category = "security"
kind = "security"
every = "1h"
[hold.security]
window = "30m"
settle = "5m"
quiet-hours = "none"
spacing = "0s"
at-most = "none"
priority = 9
"#;

/// A world with a security category on a Friday night.
async fn friday_night() -> (World, u64) {
    let plan = Plan { hold: PACED.into(), extra: SECURITY.into(), start: "2026-11-06T22:00:00Z", ..Plan::default() };
    let mut world = World::with(plan).await;
    let category = world.forum.add_category("Security", "security", None);
    // The category is found by its name at first contact.
    world.restart();
    world.meet().await;
    (world, category)
}

async fn security(world: &World, category: u64, posted: &str, seen: &str) -> oyez::item::Number {
    world.clock.set(berlin(posted));
    let topic = Topic { title: "Update now".into(), category, ..Topic::default() };
    let topic = world.forum.publish(topic);
    world.clock.set(berlin(seen));
    world.poll().await;
    world.number_of(topic)
}

#[tokio::test]
async fn example_b_urgent_news_leaves_at_night() {
    let (world, category) = friday_night().await;
    let number = security(&world, category, "2026-11-06T23:10", "2026-11-06T23:13").await;
    world.pass(2 * HOUR).await;
    assert_eq!(world.item(number).settled.map(local).as_deref(), Some("Fri 11-06 23:15"));
    assert_eq!(times(&world.mastodon), ["Fri 11-06 23:45"]);
}

#[tokio::test]
async fn example_b_approved_for_now_it_leaves_at_once() {
    let (world, category) = friday_night().await;
    let number = security(&world, category, "2026-11-06T23:10", "2026-11-06T23:13").await;
    world.pass(7 * MINUTE).await;
    world.act(number, TeamAct::Approve { now: true }).unwrap();
    world.deliver().await;
    assert_eq!(times(&world.mastodon), ["Fri 11-06 23:20"]);
}

#[tokio::test]
async fn example_b_the_next_ordinary_post_keeps_its_distance() {
    let (world, category) = friday_night().await;
    // Ready on Sunday at 10:30.
    world.clock.set(berlin("2026-11-07T10:00"));
    let ordinary = world.announce("An ordinary thing", "<p>News.</p>").await;
    world.pass(23 * HOUR).await;
    security(&world, category, "2026-11-08T09:30", "2026-11-08T09:33").await;
    world.pass(DAY).await;
    assert_eq!(times(&world.mastodon), ["Sun 11-08 10:05", "Sun 11-08 12:05"]);
    assert_eq!(world.state(ordinary), State::Done);
}

/// A world in which a topic was posted on Friday at 17:40, seen at 17:42 and edited at 18:20, when it already stood on the desk.
async fn friday_afternoon(quiet: &str) -> (World, u64) {
    let hold = format!("quiet-hours = {quiet}\nspacing = \"2h\"\nat-most = \"3/1d\"");
    let world = World::with(Plan { hold, start: "2026-11-13T16:00:00Z", every: "3m", ..Plan::default() }).await;
    world.meet().await;
    world.clock.set(berlin("2026-11-13T17:40"));
    let topic = world.forum.announce("Before the weekend", "<p>News.</p>");
    world.pass(2 * MINUTE).await;
    world.poll().await;
    world.pass(38 * MINUTE).await;
    world.forum.edit(topic, |topic| topic.title = "Just before the weekend".into());
    world.pass(45 * MINUTE).await;
    (world, topic)
}

const NIGHT: &str = r#"{ from = "22:00", to = "08:00" }"#;
const WEEKEND: &str = r#"[{ from = "22:00", to = "08:00" }, { from = "00:00", to = "24:00", days = ["sat", "sun"] }]"#;

#[tokio::test]
async fn example_c_a_title_edited_on_friday() {
    let (world, topic) = friday_afternoon(NIGHT).await;
    let item = world.item(world.number_of(topic));
    assert_eq!(item.settled.map(local).as_deref(), Some("Fri 11-13 18:50"));
    assert_eq!(item.window_end.map(local).as_deref(), Some("Sat 11-14 18:50"));
    world.pass(2 * DAY).await;
    assert_eq!(times(&world.mastodon), ["Sat 11-14 18:50"]);
    assert!(world.texts()[0].contains("Just before"), "{:?}", world.texts());
}

#[tokio::test]
async fn example_c_with_a_quiet_weekend() {
    let (world, _) = friday_afternoon(WEEKEND).await;
    world.pass(4 * DAY).await;
    assert_eq!(times(&world.mastodon), ["Mon 11-16 08:00"]);
}

#[tokio::test]
async fn example_c_edited_on_sunday_night() {
    let (world, topic) = friday_afternoon(WEEKEND).await;
    world.clock.set(berlin("2026-11-15T23:00"));
    world.forum.edit(topic, |topic| topic.cooked = "<p>Other news.</p>".into());
    world.pass(DAY).await;
    assert_eq!(times(&world.mastodon), ["Mon 11-16 09:00"]);
    assert_eq!(attempts(&world.mastodon), 1);
}
