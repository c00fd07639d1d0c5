//! Promise 1: nothing goes out before its window has passed or a named person approved it for now.
use jiff::SignedDuration;
use oyez::acts::{Request, TeamAct};
use oyez::item::State;

use super::{PACED, attempts, berlin, due, held, journal, local, times};
use crate::world::{DAY, HOUR, MINUTE, Plan, World};

async fn promise_01_world() -> World {
    let world = World::new().await;
    world.meet().await;
    world
}

#[tokio::test]
async fn promise_01_an_edited_configuration_moves_no_window() {
    for other in ["window = \"5m\"\nsettle = \"0s\"\ngrace = \"0s\"", "window = \"10d\""] {
        let mut world = promise_01_world().await;
        let number = held(&world, "It is out").await;
        let end = world.item(number).window_end;
        world.toml = world.toml.replace("[hold]", &format!("[hold]\n{other}"));
        world.restart();
        assert_eq!(world.item(number).window_end, end, "{other}");
        world.pass(22 * HOUR).await;
        assert_eq!(attempts(&world.mastodon), 0, "{other}");
        assert_eq!(world.item(number).window_end, end, "{other}");
        world.pass(2 * HOUR).await;
        assert_eq!(world.mastodon.created()[0].created_at, end.unwrap(), "{other}");
    }
}

#[tokio::test]
async fn promise_01_a_configuration_edited_while_it_settles_shortens_nothing() {
    let mut world = promise_01_world().await;
    let number = world.announce("It is out", "<p>Now.</p>").await;
    let end = world.item(number).window_end;
    world.toml = world.toml.replace("[hold]", "[hold]\nwindow = \"5m\"\nsettle = \"0s\"");
    world.restart();
    world.pass(24 * HOUR).await;
    assert_eq!((attempts(&world.mastodon), world.item(number).window_end), (0, end));
    world.pass(HOUR).await;
    assert_eq!(world.mastodon.created()[0].created_at, end.unwrap());
}

#[tokio::test]
async fn promise_01_a_clock_that_jumped_ahead_while_stopped_lets_nothing_leave_and_says_why() {
    let mut world = promise_01_world().await;
    let number = held(&world, "It is out").await;
    let end = world.item(number).window_end.unwrap();
    world.stop();
    world.skew(SignedDuration::from_hours(24));
    world.start();
    // Even before the first answer with a `Date`, the outage that it seems to have been gives grace.
    world.deliver().await;
    for _ in 0..5 {
        world.poll().await;
        let tally = world.deliver().await;
        let why = tally.stopped.expect("it says why");
        assert!(why.contains("24h ahead of what the polled servers say"), "{why}");
        assert!(nothing_leaves(&world), "the queue says so too");
        world.advance(HOUR);
    }
    assert_eq!(attempts(&world.mastodon), 0);
    // The clock is mended. Nothing leaves early, and nothing is lost.
    world.stop();
    world.skew(SignedDuration::ZERO);
    world.start();
    world.clock.set(end - SignedDuration::from_mins(1));
    world.poll().await;
    world.deliver().await;
    assert_eq!(attempts(&world.mastodon), 0);
    world.clock.set(world.item(number).window_end.unwrap().max(end) + DAY);
    world.poll().await;
    world.deliver().await;
    assert_eq!(world.state(number), State::Done);
    assert!(!nothing_leaves(&world), "the word of the process before is taken back");
}

/// Does the queue say that the clock is not believed?
fn nothing_leaves(world: &World) -> bool {
    let queue = world.ask(Request::Queue { all: false }).unwrap();
    queue.iter().any(|line| line["trouble"].as_str().is_some_and(|words| words.starts_with("nothing leaves")))
}

#[tokio::test]
async fn promise_01_a_clock_behind_the_journal_lets_nothing_leave() {
    let mut world = promise_01_world().await;
    let number = held(&world, "It is out").await;
    world.stop();
    world.skew(SignedDuration::from_hours(-48));
    world.start();
    let why = world.deliver().await.stopped.expect("it says why");
    assert!(why.contains("behind the last entry of the journal"), "{why}");
    // Neither what a person does meanwhile nor what is heard makes the clock believed.
    world.act(number, TeamAct::Approve { now: true }).unwrap();
    world.forum.announce("More of it", "<p>More.</p>");
    world.poll().await;
    assert!(world.deliver().await.stopped.is_some());
    assert_eq!(attempts(&world.mastodon), 0);
    world.skew(SignedDuration::ZERO);
    world.poll().await;
    assert_eq!(world.deliver().await.stopped, None);
    assert_eq!(world.state(number), State::Done, "the person's word still counts");
}

/// Recorded by a clock that is a day behind, its window would be over at the moment the clock is mended.
#[tokio::test]
async fn promise_01_what_is_announced_while_the_clock_is_wrong_has_its_whole_window_by_the_right_one() {
    for wrong in [SignedDuration::from_hours(-48), SignedDuration::from_hours(48)] {
        let mut world = promise_01_world().await;
        world.stop();
        world.skew(wrong);
        world.start();
        world.poll().await;
        assert!(world.deliver().await.stopped.is_some());
        let topic = world.forum.announce("It is out", "<p>The words.</p>");
        world.poll().await;
        world.skew(SignedDuration::ZERO);
        let mended = world.now();
        // The first answers by the right clock say that it is right; the first round after that records.
        world.poll().await;
        world.deliver().await;
        world.poll().await;
        let item = world.item(world.number_of(topic));
        assert!(item.first_seen >= mended, "{wrong:#}: {} is not after {mended}", item.first_seen);
        world.deliver().await;
        world.pass(HOUR).await;
        assert_eq!(attempts(&world.mastodon), 0, "{wrong:#}");
    }
}

#[tokio::test]
async fn promise_04_a_journal_written_by_a_clock_of_the_future_holds_up_nothing_once_the_servers_agree_with_ours() {
    let mut world = promise_01_world().await;
    let number = held(&world, "It is out").await;
    world.stop();
    world.skew(SignedDuration::from_hours(24 * 365));
    world.start();
    world.act(number, TeamAct::Approve { now: true }).unwrap();
    world.stop();
    world.skew(SignedDuration::ZERO);
    world.start();
    let why = world.deliver().await.stopped.expect("nobody has told the time yet");
    assert!(why.contains("behind the last entry of the journal"), "{why}");
    world.poll().await;
    assert_eq!(world.deliver().await.stopped, None);
}

#[tokio::test]
async fn promise_01_a_late_edit_by_the_author_gives_grace_outside_quiet_hours() {
    let plan = Plan { hold: PACED.into(), start: "2026-11-02T19:40:00Z", ..Plan::default() };
    let world = World::with(plan).await;
    world.meet().await;
    let topic = world.forum.announce("It is out", "<p>The first words.</p>");
    world.poll().await;
    let number = world.number_of(topic);
    world.pass(DAY).await;
    assert_eq!(local(world.item(number).window_end.unwrap()), "Tue 11-03 21:10");
    world.clock.set(berlin("2026-11-03T21:05"));
    world.forum.edit(topic, |topic| topic.cooked = "<p>Better words.</p>".into());
    // Nobody polled since: the reading right before the delivery sees it.
    world.clock.set(berlin("2026-11-03T21:10"));
    world.deliver().await;
    assert_eq!(attempts(&world.mastodon), 0);
    // 50 minutes until ten, ten more from eight.
    assert_eq!(local(world.item(number).window_end.unwrap()), "Wed 11-04 08:10");
    world.pass(DAY).await;
    assert_eq!(times(&world.mastodon), ["Wed 11-04 08:10"]);
    assert!(world.texts()[0].contains("Better words"), "{:?}", world.texts());
}

#[tokio::test]
async fn promise_01_an_edit_by_the_team_moves_nothing() {
    let world = promise_01_world().await;
    let number = held(&world, "It is out").await;
    let end = world.item(number).window_end.unwrap();
    world.clock.set(end - MINUTE);
    let text = "Our own words. https://example.org/".to_owned();
    world.act(number, TeamAct::Edit { account: "mastodon".into(), text: text.clone() }).unwrap();
    assert_eq!(world.item(number).window_end, Some(end));
    world.pass(30 * MINUTE).await;
    assert_eq!(world.mastodon.created()[0].created_at, end);
    assert_eq!(world.texts(), [text]);
}

#[tokio::test]
async fn promise_01_a_snooze_survives_restarts() {
    let mut world = promise_01_world().await;
    let number = held(&world, "It is out").await;
    let until = world.now() + 2 * DAY;
    world.act(number, TeamAct::Snooze { seconds: 2 * DAY.as_secs() }).unwrap();
    world.restart();
    world.pass(DAY + 12 * HOUR).await;
    world.restart();
    world.pass(12 * HOUR - MINUTE).await;
    assert_eq!(attempts(&world.mastodon), 0);
    world.pass(2 * MINUTE).await;
    assert_eq!(world.mastodon.created()[0].created_at, until);
}

#[tokio::test]
async fn promise_01_approved_for_now_leaves_at_night_and_close_to_another() {
    let world = World::with(Plan { hold: PACED.into(), ..Plan::default() }).await;
    world.meet().await;
    let (one, two) = (held(&world, "One").await, held(&world, "Two").await);
    world.clock.set(berlin("2026-11-02T23:00"));
    // An approval alone changes no time.
    world.act(two, TeamAct::Approve { now: false }).unwrap();
    world.act(one, TeamAct::Approve { now: true }).unwrap();
    world.deliver().await;
    assert_eq!((world.state(one), world.state(two)), (State::Done, State::Held));
    world.advance(MINUTE);
    world.act(two, TeamAct::Approve { now: true }).unwrap();
    world.deliver().await;
    assert_eq!(times(&world.mastodon), ["Mon 11-02 23:00", "Mon 11-02 23:01"]);
    let entries = world.ask(oyez::acts::Request::Log { item: Some(two) }).unwrap();
    let approval = entries.iter().find(|entry| entry["what"] == "approve-now").unwrap();
    assert_eq!((&approval["actor"], &approval["reason"]), (&"cli:ida".into(), &"because".into()));
}

#[tokio::test]
async fn promise_01_approved_for_now_while_it_settles_leaves_at_once_and_a_late_edit_takes_it_back() {
    let world = promise_01_world().await;
    let topic = world.forum.announce("It is out", "<p>The first words.</p>");
    world.poll().await;
    let number = world.number_of(topic);
    world.advance(10 * MINUTE);
    world.act(number, TeamAct::Approve { now: true }).unwrap();
    world.forum.edit(topic, |topic| topic.cooked = "<p>Words that nobody approved.</p>".into());
    world.deliver().await;
    assert_eq!(attempts(&world.mastodon), 0, "approval is for the text that was shown");
    assert!(world.journal(number).contains(&"approval-lapsed".to_owned()));
    world.act(number, TeamAct::Approve { now: true }).unwrap();
    world.deliver().await;
    assert!(world.texts()[0].contains("nobody approved"), "{:?}", world.texts());
}

#[tokio::test]
async fn promise_01_an_outage_of_over_ten_minutes_gives_grace() {
    for (away, grace) in [(9 * MINUTE, false), (11 * MINUTE, true), (3 * DAY, true)] {
        let (mut world, number) = due(Plan::default()).await;
        let end = world.now();
        world.clock.set(end - 5 * MINUTE);
        world.deliver().await;
        world.stop();
        world.advance(away);
        let back = world.now();
        world.start();
        world.deliver().await;
        assert_eq!(attempts(&world.mastodon), usize::from(!grace), "{away:?}");
        assert_eq!(journal(&world).contains(&"outage".to_owned()), grace, "{away:?}");
        let want = if grace { back + HOUR } else { end };
        assert_eq!(world.item(number).window_end, Some(want), "{away:?}");
        world.pass(2 * HOUR).await;
        assert_eq!(world.mastodon.created()[0].created_at, if grace { want } else { back }, "{away:?}");
    }
}

#[tokio::test]
async fn promise_01_quiet_hours_are_those_of_berlin_also_when_clocks_change() {
    // Summer time ends in the night before Sunday 2026-10-25.
    let plan = Plan { hold: PACED.into(), start: "2026-10-24T20:30:00Z", ..Plan::default() };
    let world = World::with(plan).await;
    world.meet().await;
    let number = held(&world, "It is out").await;
    assert_eq!(local(world.item(number).window_end.unwrap()), "Sun 10-25 22:00");
    let until = super::queue_of(&world, number)["until"].as_str().unwrap().to_owned();
    assert_eq!(until, "2026-10-26T07:00:00Z", "the desk says so beforehand");
    world.pass(2 * DAY).await;
    assert_eq!(times(&world.mastodon), ["Mon 10-26 08:00"]);
}
