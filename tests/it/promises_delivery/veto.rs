//! Promise 2: a veto that was acknowledged is final until a named person reinstates it.
use std::collections::BTreeSet;
use std::sync::Arc;

use oyez::acts::{Request, TeamAct};
use oyez::item::State;
use oyez::pretend::mastodon::{Cut, Fault, Flavour, Hold, Mastodon, On};

use super::{attempts, due, flavoured, held, two_accounts};
use crate::world::{DAY, HOUR, MINUTE, Plan, World};

#[tokio::test]
async fn promise_02_a_veto_while_the_request_is_under_way_names_it_and_stops_the_rest() {
    for hold in [Hold::Before, Hold::After] {
        // The second account is silent until noon.
        let quiet = "hold = { quiet-hours = { from = \"09:00\", to = \"12:00\" } }";
        let (world, number) = due(two_accounts(quiet)).await;
        world.mastodon.hold(On::Post, hold);
        let beat = world.delivering();
        world.mastodon.held().await;
        let answer = world.act(number, TeamAct::Veto).unwrap();
        let late = answer["too_late"].as_array().unwrap();
        assert_eq!(late.len(), 1, "{answer}");
        assert_eq!((&late[0]["account"], &late[0]["state"]), (&"mastodon".into(), &"sending".into()));
        assert_eq!(world.progress(number, "second"), "cancelled");
        world.mastodon.release();
        assert_eq!(beat.await.unwrap().sent, 1);
        world.pass(2 * DAY).await;
        assert_eq!(attempts(world.second.as_ref().unwrap()), 0, "no further account gets it");
        assert_eq!(attempts(&world.mastodon), 1);
        assert_eq!(world.state(number), State::Vetoed);
        let item = world.item(number);
        assert!(item.alarms.iter().any(|alarm| alarm.text.contains("retract")), "{:?}", item.alarms);
        world.act(number, TeamAct::Retract).unwrap();
        world.deliver().await;
        assert_eq!((world.texts().len(), world.delivery(number).as_str()), (0, "retracted"));
    }
}

#[tokio::test]
async fn promise_02_a_veto_while_the_image_is_uploaded_stops_the_post() {
    let network = "timeout = \"2s\"\nallow-private = [\"127.0.0.0/8\"]".to_owned();
    let world = World::with(Plan { network, ..Plan::default() }).await;
    world.forum.serve("/uploads/a.png", include_bytes!("../../../src/demo/picture.png"), "image/png");
    world.meet().await;
    let image = format!(
        "<p>Look.</p><p><img src=\"{}uploads/a.png\" alt=\"A flower\" width=\"480\" height=\"252\"></p>",
        world.forum.base()
    );
    let number = world.announce("It has a picture", &image).await;
    world.advance(31 * MINUTE);
    world.deliver().await;
    world.clock.set(world.item(number).window_end.unwrap());
    world.mastodon.hold(On::Media, Hold::Before);
    let beat = world.delivering();
    world.mastodon.held().await;
    let answer = world.act(number, TeamAct::Veto).unwrap();
    // It cannot know whether the post itself is on its way, so it says so; but it is not, and it stops there.
    assert_eq!(answer["too_late"][0]["state"], "sending", "{answer}");
    world.mastodon.release();
    assert_eq!(beat.await.unwrap().sent, 0);
    assert_eq!((attempts(&world.mastodon), world.delivery(number).as_str()), (0, "cancelled"));
    assert_eq!(world.state(number), State::Vetoed);
    world.pass(2 * DAY).await;
    assert_eq!(attempts(&world.mastodon), 0);
}

#[tokio::test]
async fn promise_02_after_a_veto_a_lost_answer_is_only_looked_for() {
    for flavour in [Flavour::Mastodon, Flavour::Mastodon500OnRepeat, Flavour::GoToSocial, Flavour::Pleroma] {
        let (mut world, number) = due(flavoured(flavour)).await;
        world.mastodon.fault(On::Post, Fault::Lost(Cut::BeforeHead));
        assert_eq!(world.deliver().await.unsure, 1);
        let answer = world.act(number, TeamAct::Veto).unwrap();
        assert_eq!(answer["too_late"][0]["state"], "unsure", "{answer}");
        world.restart();
        world.pass(2 * HOUR).await;
        assert_eq!(attempts(&world.mastodon), 1, "{flavour:?}: repeating is publishing");
        assert_eq!((world.state(number), world.delivery(number).as_str()), (State::Vetoed, "sent"), "{flavour:?}");
        assert!(world.item(number).alarms.iter().any(|alarm| alarm.text.contains("retract")), "{flavour:?}");
        world.act(number, TeamAct::Retract).unwrap();
        world.deliver().await;
        assert_eq!(world.texts().len(), 0, "{flavour:?}");
    }
}

#[tokio::test]
async fn promise_02_after_a_veto_what_never_arrived_is_cancelled() {
    let (mut world, number) = due(Plan::default()).await;
    world.mastodon.fault(On::Post, Fault::CutBefore);
    world.deliver().await;
    world.act(number, TeamAct::Veto).unwrap();
    world.restart();
    world.pass(DAY).await;
    assert_eq!((attempts(&world.mastodon), world.delivery(number).as_str()), (1, "cancelled"));
}

#[tokio::test]
async fn promise_02_a_veto_between_two_attempts_ends_them() {
    let (world, number) = due(Plan::default()).await;
    world.mastodon.fault(On::Post, Fault::Unavailable(Some(600)));
    world.deliver().await;
    assert_eq!(world.delivery(number), "queued");
    world.act(number, TeamAct::Veto).unwrap();
    world.pass(DAY).await;
    assert_eq!(attempts(&world.mastodon), 1);
}

#[tokio::test]
async fn promise_02_a_reinstated_item_leaves_with_grace_and_once() {
    let (world, number) = due(Plan::default()).await;
    let end = world.now();
    world.clock.set(end - 10 * MINUTE);
    world.act(number, TeamAct::Veto).unwrap();
    world.pass(2 * HOUR).await;
    assert_eq!(attempts(&world.mastodon), 0);
    let back = world.now();
    world.act(number, TeamAct::Reinstate).unwrap();
    world.pass(HOUR - MINUTE).await;
    assert_eq!(attempts(&world.mastodon), 0);
    world.pass(DAY).await;
    assert_eq!(world.mastodon.created()[0].created_at, back + HOUR);
    assert_eq!((attempts(&world.mastodon), world.state(number)), (1, State::Done));
}

#[tokio::test]
async fn promise_02_a_veto_survives_a_crash_right_after_it() {
    let (mut world, number) = due(Plan::default()).await;
    world.act(number, TeamAct::Veto).unwrap();
    world.stop();
    world.start();
    world.pass(DAY).await;
    assert_eq!((attempts(&world.mastodon), world.state(number)), (0, State::Vetoed));
}

/// Titles of the statuses asked for, in order.
fn asked(server: &Mastodon) -> Vec<String> {
    let requests = server.requests();
    let posts = requests.iter().filter(|r| r.method == "POST" && r.path == "/api/v1/statuses");
    posts.map(|r| r.body.as_ref().unwrap()["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn promise_02_vetoes_racing_with_deliveries_are_final() {
    const ITEMS: usize = 24;
    let world = World::with(two_accounts("")).await;
    world.meet().await;
    let topics: Vec<u64> =
        (0..ITEMS).map(|i| world.forum.announce(&format!("Piece number-{i}-of all"), "<p>News.</p>")).collect();
    world.poll().await;
    world.advance(31 * MINUTE);
    world.deliver().await;
    world.advance(DAY);
    let numbers: Vec<_> = topics.iter().map(|topic| world.number_of(*topic)).collect();
    let beats: Vec<_> = (0..2).map(|_| world.delivering()).collect();
    let mut people = Vec::new();
    for (i, number) in numbers.iter().copied().enumerate() {
        let desk = Arc::clone(world.app().desk());
        people.push(tokio::spawn(async move {
            // Everybody is a little later than the one before, and the last ones come too late.
            for _ in 0..(i * 40) {
                tokio::task::yield_now().await;
            }
            let request = Request::Act { items: vec![number.to_string()], act: TeamAct::Veto, reason: None };
            let mut answer = serde_json::Value::Null;
            let done = desk.execute("cli:ida", request, &mut |document| {
                answer = document;
                Ok(())
            });
            (i, done.map(|()| answer))
        }));
    }
    let mut stopped = Vec::new();
    for person in people {
        if let (i, Ok(answer)) = person.await.unwrap() {
            let late = answer["too_late"].as_array().unwrap().iter();
            let late: BTreeSet<_> = late.map(|late| late["account"].as_str().unwrap().to_owned()).collect();
            stopped.push((i, late));
        }
    }
    for beat in beats {
        beat.await.unwrap();
    }
    world.pass(DAY).await;
    for (account, server) in [("mastodon", &world.mastodon), ("second", world.second.as_ref().unwrap())] {
        let asked = asked(server);
        for (i, number) in numbers.iter().enumerate() {
            let times = asked.iter().filter(|text| text.contains(&format!("number-{i}-of"))).count();
            match stopped.iter().find(|(of, _)| *of == i) {
                Some((_, late)) if !late.contains(account) => assert_eq!(times, 0, "item {i} on {account}"),
                // Told that it is too late, and still caught: it is looked at once more right before the request.
                Some(_) if times == 0 => {
                    assert_eq!(world.progress(*number, account), "cancelled", "item {i} on {account}");
                }
                Some(_) | None => assert_eq!(times, 1, "item {i} on {account}"),
            }
        }
    }
}

#[tokio::test]
async fn promise_02_a_veto_while_the_origin_is_read_again_is_seen_by_the_claim() {
    let world = World::new().await;
    world.meet().await;
    let number = held(&world, "It is out").await;
    let end = world.item(number).window_end.unwrap();
    // The looks on the way are behind it: what is read at the end is read for the delivery.
    world.pass((end - MINUTE).duration_since(world.now()).unsigned_abs()).await;
    world.clock.set(end);
    world.forum.hold();
    let beat = world.delivering();
    world.forum.held().await;
    assert_eq!(world.delivery(number), "queued");
    let answer = world.act(number, TeamAct::Veto).unwrap();
    assert_eq!(answer["too_late"].as_array().unwrap().len(), 0, "{answer}");
    world.forum.release();
    assert_eq!(beat.await.unwrap().sent, 0);
    world.pass(DAY).await;
    assert_eq!((attempts(&world.mastodon), world.state(number)), (0, State::Vetoed));
}
