//! Promise 3: at most once, then exactly once where the platform allows.
use std::time::Duration;

use oyez::acts::TeamAct;
use oyez::item::State;
use oyez::pretend::mastodon::{Cut, Fault, Flavour, Hold, On};

use super::{attempts, check_once, count, due, flavoured, held, journal, queue_of, two_accounts};
use crate::world::{DAY, HOUR, MINUTE, Plan};

const FLAVOURS: [Flavour; 4] = [Flavour::Mastodon, Flavour::Mastodon500OnRepeat, Flavour::GoToSocial, Flavour::Pleroma];

#[tokio::test]
async fn promise_03_every_fault_ends_with_one_post() {
    let faults = [
        Fault::Lost(Cut::BeforeHead),
        Fault::Lost(Cut::AfterHead),
        Fault::Lost(Cut::InBody),
        Fault::CutBefore,
        Fault::ErrorBefore,
        Fault::ErrorAfter,
        Fault::Garbage,
        Fault::Unavailable(None),
        Fault::Unavailable(Some(120)),
        Fault::TooMany(Duration::from_secs(300)),
        Fault::Answer(502, "<html>Bad Gateway</html>".into()),
    ];
    for flavour in FLAVOURS {
        for fault in &faults {
            let (world, number) = due(flavoured(flavour)).await;
            world.mastodon.fault(On::Post, fault.clone());
            world.pass(3 * HOUR).await;
            check_once(&world, number, &format!("{flavour:?}, {fault:?}"));
        }
    }
}

#[tokio::test]
async fn promise_03_two_faults_in_a_row_end_with_one_post() {
    let pairs = [
        (Fault::Lost(Cut::BeforeHead), Fault::Lost(Cut::BeforeHead)),
        (Fault::Lost(Cut::BeforeHead), Fault::Unavailable(None)),
        (Fault::Lost(Cut::BeforeHead), Fault::Unprocessable("no".into())),
        (Fault::Lost(Cut::BeforeHead), Fault::CutBefore),
        (Fault::CutBefore, Fault::Lost(Cut::InBody)),
        (Fault::CutBefore, Fault::TooMany(Duration::from_secs(600))),
        (Fault::ErrorAfter, Fault::Unauthorised),
        (Fault::Unavailable(None), Fault::ErrorAfter),
    ];
    for flavour in [Flavour::Mastodon, Flavour::Mastodon500OnRepeat, Flavour::GoToSocial] {
        for (first, then) in &pairs {
            let (world, number) = due(flavoured(flavour)).await;
            world.mastodon.fault(On::Post, first.clone());
            world.mastodon.fault(On::Post, then.clone());
            world.pass(3 * HOUR).await;
            check_once(&world, number, &format!("{flavour:?}, {first:?}, {then:?}"));
        }
    }
}

#[tokio::test]
async fn promise_03_a_lost_answer_is_soon_looked_into() {
    for (flavour, within) in [
        (Flavour::Mastodon, 2 * MINUTE),
        (Flavour::Mastodon500OnRepeat, 10 * MINUTE),
        (Flavour::GoToSocial, 10 * MINUTE),
        (Flavour::Pleroma, 10 * MINUTE),
    ] {
        let (world, number) = due(flavoured(flavour)).await;
        world.mastodon.fault(On::Post, Fault::Lost(Cut::BeforeHead));
        world.pass(within).await;
        check_once(&world, number, &format!("{flavour:?}"));
        assert!(attempts(&world.mastodon) <= 2, "{flavour:?}: {} requests", attempts(&world.mastodon));
    }
}

#[tokio::test]
async fn promise_03_what_the_server_asks_for_is_waited_for() {
    for (fault, seconds) in [(Fault::Unavailable(Some(600)), 600), (Fault::TooMany(Duration::from_secs(900)), 900)] {
        let (world, number) = due(Plan::default()).await;
        let begun = world.now();
        world.mastodon.fault(On::Post, fault);
        world.pass(HOUR).await;
        assert_eq!((attempts(&world.mastodon), world.state(number)), (2, State::Done));
        let waited = world.mastodon.created()[0].created_at.duration_since(begun).as_secs();
        assert!((seconds..seconds + 5).contains(&waited), "{waited} s");
    }
}

/// Where in a delivery the process dies.
#[derive(Debug, Clone, Copy)]
enum Stage {
    BeforeTheClaim,
    AfterTheClaim,
    AtTheServer,
    AfterTheAnswer,
}

#[tokio::test]
async fn promise_03_a_crash_at_every_stage_ends_with_one_post() {
    for flavour in FLAVOURS {
        for stage in [Stage::BeforeTheClaim, Stage::AfterTheClaim, Stage::AtTheServer, Stage::AfterTheAnswer] {
            let (mut world, number) = due(flavoured(flavour)).await;
            // A service just started asks the server for its limits right after its first claim.
            let gate = match stage {
                Stage::BeforeTheClaim => None,
                Stage::AfterTheClaim => Some((On::Read, Hold::Before)),
                Stage::AtTheServer => Some((On::Post, Hold::Before)),
                Stage::AfterTheAnswer => Some((On::Post, Hold::After)),
            };
            match gate {
                None => {
                    let beat = world.delivering();
                    world.crash(beat).await;
                    assert_eq!(world.delivery(number), "queued");
                }
                Some((on, hold)) => {
                    world.restart();
                    world.mastodon.hold(on, hold);
                    let beat = world.delivering();
                    world.mastodon.held().await;
                    assert_eq!(world.delivery(number), "sending");
                    world.crash(beat).await;
                    assert_eq!(world.delivery(number), "unsure", "never queued: {stage:?}");
                    assert_eq!(queue_of(&world, number)["attention"], true);
                    // The server carries out what it has, though nobody waits for the answer.
                    world.mastodon.release();
                }
            }
            world.pass(3 * HOUR).await;
            check_once(&world, number, &format!("{flavour:?}, {stage:?}"));
        }
    }
}

#[tokio::test]
async fn promise_03_a_request_that_arrives_after_its_repeat_posts_nothing_more() {
    let (mut world, number) = due(Plan::default()).await;
    world.mastodon.hold(On::Post, Hold::Before);
    let beat = world.delivering();
    world.mastodon.held().await;
    world.crash(beat).await;
    world.advance(MINUTE);
    let beat = world.delivering();
    while attempts(&world.mastodon) < 2 && !beat.is_finished() {
        tokio::task::yield_now().await;
    }
    assert_eq!(attempts(&world.mastodon), 2);
    world.mastodon.release();
    beat.await.unwrap();
    world.pass(HOUR).await;
    check_once(&world, number, "both arrive at once");
}

#[tokio::test]
async fn promise_03_a_service_that_crashes_again_and_again_posts_once() {
    for flavour in FLAVOURS {
        let (mut world, number) = due(flavoured(flavour)).await;
        for _ in 0..3 {
            world.mastodon.hold(On::Post, Hold::After);
            let before = attempts(&world.mastodon);
            let beat = world.delivering();
            // Some beats only look and publish nothing.
            while attempts(&world.mastodon) == before && !beat.is_finished() {
                tokio::task::yield_now().await;
            }
            world.crash(beat).await;
            world.mastodon.release();
            world.advance(2 * MINUTE);
        }
        world.pass(3 * HOUR).await;
        check_once(&world, number, &format!("{flavour:?}"));
    }
}

#[tokio::test]
async fn promise_03_where_nobody_can_tell_a_person_says_it_is_out() {
    let (world, number) = due(flavoured(Flavour::GoToSocial)).await;
    world.mastodon.fault(On::Post, Fault::Lost(Cut::BeforeHead));
    world.deliver().await;
    world.mastodon.faults(On::Read, Fault::Unavailable(None), 10_000);
    world.pass(3 * DAY).await;
    assert_eq!((attempts(&world.mastodon), world.delivery(number).as_str()), (1, "unsure"));
    assert_eq!(queue_of(&world, number)["attention"], true);
    let url = world.mastodon.posts()[0].url.parse().unwrap();
    world.act(number, TeamAct::ResolveSent { account: "mastodon".into(), url }).unwrap();
    world.mastodon.heal();
    world.pass(DAY).await;
    check_once(&world, number, "a person said so");
    assert_eq!(attempts(&world.mastodon), 1);
    // The address told the id: it can be deleted.
    world.act(number, TeamAct::Retract).unwrap();
    world.deliver().await;
    assert_eq!(world.texts().len(), 0);
}

#[tokio::test]
async fn promise_03_where_nobody_can_tell_a_person_says_it_is_not_out() {
    let (world, number) = due(flavoured(Flavour::Pleroma)).await;
    world.mastodon.fault(On::Post, Fault::CutBefore);
    world.deliver().await;
    world.mastodon.faults(On::Read, Fault::Unavailable(None), 10_000);
    world.pass(DAY).await;
    assert_eq!((attempts(&world.mastodon), world.delivery(number).as_str()), (1, "unsure"));
    world.mastodon.heal();
    let said = world.now();
    world.act(number, TeamAct::ResolveNotSent { account: "mastodon".into() }).unwrap();
    assert_eq!(world.delivery(number), "queued");
    world.pass(DAY).await;
    check_once(&world, number, "a person said so");
    assert_eq!(world.mastodon.created()[0].created_at, said + HOUR, "with grace");
}

#[tokio::test]
async fn promise_03_retries_end_and_a_person_can_begin_anew() {
    let (world, number) = due(two_accounts("")).await;
    world.mastodon.faults(On::Post, Fault::Unavailable(Some(60)), 10_000);
    world.pass(2 * DAY - HOUR).await;
    assert_eq!((world.delivery(number).as_str(), world.progress(number, "second").as_str()), ("queued", "sent"));
    world.pass(2 * HOUR).await;
    assert_eq!((world.state(number), world.delivery(number).as_str()), (State::Done, "failed"));
    let queued = queue_of(&world, number);
    assert_eq!(queued["attention"], true);
    assert!(queued["deliveries"][0]["error"].as_str().unwrap().contains("temporary problem"), "{queued}");
    let tried = attempts(&world.mastodon);
    assert!((20..90).contains(&tried), "{tried} attempts in two days");
    world.mastodon.heal();
    world.pass(DAY).await;
    assert_eq!(attempts(&world.mastodon), tried, "failed is an end");
    world.act(number, TeamAct::ResolveNotSent { account: "mastodon".into() }).unwrap();
    world.pass(DAY).await;
    check_once(&world, number, "begun anew");
    assert_eq!(world.second.as_ref().unwrap().created().len(), 1);
}

#[tokio::test]
async fn promise_03_what_is_refused_fails_with_the_servers_words() {
    let (world, number) = due(two_accounts("")).await;
    world.mastodon.fault(On::Post, Fault::Unprocessable("Validation failed: Text is rude".into()));
    world.deliver().await;
    assert_eq!((world.delivery(number).as_str(), world.progress(number, "second").as_str()), ("failed", "sent"));
    let queued = queue_of(&world, number);
    assert_eq!((&queued["attention"], &queued["state"]), (&true.into(), &"done".into()));
    assert!(queued["deliveries"][0]["error"].as_str().unwrap().contains("Text is rude"), "{queued}");
    world.pass(3 * DAY).await;
    assert_eq!(attempts(&world.mastodon), 1, "repeating is pointless");
}

#[tokio::test]
async fn promise_03_a_refused_token_stops_its_account_alone_until_it_works_again() {
    let (world, one) = due(two_accounts("")).await;
    let refuse = || {
        world.mastodon.faults(On::Post, Fault::Unauthorised, 1000);
        world.mastodon.faults(On::Read, Fault::Unauthorised, 1000);
    };
    refuse();
    let two = held(&world, "Another").await;
    world.clock.set(world.item(two).window_end.unwrap());
    world.pass(2 * DAY).await;
    let tried = attempts(&world.mastodon);
    assert!(tried <= 2, "a locked account is left alone: {tried} attempts");
    for number in [one, two] {
        assert_eq!(world.progress(number, "second"), "sent", "the other goes on");
        assert_eq!(world.delivery(number), "queued", "nothing is lost, nothing is given up");
    }
    let told = journal(&world);
    assert_eq!((count(&told, "account-locked"), count(&told, "account-unlocked")), (1, 0));
    world.mastodon.heal();
    world.pass(2 * HOUR).await;
    assert_eq!(count(&journal(&world), "account-unlocked"), 1);
    assert_eq!((world.state(one), world.state(two)), (State::Done, State::Done));
    assert_eq!(world.mastodon.created().len(), 2);
    // Once more: that it worked before proves nothing.
    refuse();
    let three = held(&world, "A third").await;
    world.clock.set(world.item(three).window_end.unwrap());
    world.pass(DAY).await;
    let told = journal(&world);
    assert_eq!((count(&told, "account-locked"), count(&told, "account-unlocked")), (2, 1));
    world.mastodon.heal();
    world.pass(2 * HOUR).await;
    assert_eq!(world.mastodon.created().len(), 3);
    assert_eq!(world.second.as_ref().unwrap().created().len(), 3);
}

#[tokio::test]
async fn promise_03_a_lock_survives_a_restart() {
    let (mut world, number) = due(Plan::default()).await;
    world.mastodon.faults(On::Post, Fault::Unauthorised, 1000);
    world.mastodon.faults(On::Read, Fault::Unauthorised, 1000);
    world.deliver().await;
    let tried = attempts(&world.mastodon);
    world.restart();
    world.pass(2 * HOUR).await;
    assert_eq!(attempts(&world.mastodon), tried);
    world.mastodon.heal();
    world.pass(2 * HOUR).await;
    check_once(&world, number, "the token works again");
}

#[tokio::test]
async fn promise_03_of_three_beats_at_once_one_claims() {
    let (world, number) = due(Plan::default()).await;
    let beats = [world.delivering(), world.delivering(), world.delivering()];
    for beat in beats {
        beat.await.unwrap();
    }
    assert_eq!((attempts(&world.mastodon), world.state(number)), (1, State::Done));
}
