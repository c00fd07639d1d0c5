//! What the team does to what is out, or to one account only.
use oyez::acts::TeamAct;
use oyez::item::State;
use oyez::pretend::mastodon::{Cut, Fault, On};

use super::{attempts, due, queue_of, two_accounts};
use crate::world::{DAY, HOUR, Plan};

#[tokio::test]
async fn what_is_retracted_disappears_everywhere() {
    let (world, number) = due(two_accounts("")).await;
    world.deliver().await;
    assert_eq!(world.state(number), State::Done);
    // One server has to be asked twice, on the other somebody deleted it by hand.
    world.mastodon.fault(On::Change, Fault::Unavailable(None));
    let gone = Fault::Answer(404, r#"{"error":"Record not found"}"#.into());
    world.second.as_ref().unwrap().fault(On::Change, gone);
    let answer = world.act(number, TeamAct::Retract).unwrap();
    assert_eq!(answer["deliveries"][0]["state"], "retracting", "{answer}");
    world.deliver().await;
    assert_eq!(world.progress(number, "second"), "retracted", "gone already is a success");
    assert_eq!(world.delivery(number), "retracting");
    world.pass(HOUR).await;
    assert_eq!(world.delivery(number), "retracted");
    assert_eq!(world.texts().len(), 0);
    assert_eq!(queue_of(&world, number)["attention"], false);
}

#[tokio::test]
async fn a_lost_answer_to_a_deletion_is_asked_again() {
    let (world, number) = due(Plan::default()).await;
    world.deliver().await;
    world.act(number, TeamAct::Retract).unwrap();
    world.mastodon.fault(On::Change, Fault::Lost(Cut::BeforeHead));
    world.pass(HOUR).await;
    assert_eq!((world.delivery(number).as_str(), world.texts().len()), ("retracted", 0));
}

#[tokio::test]
async fn what_is_amended_changes_where_it_stands() {
    let (world, number) = due(Plan::default()).await;
    world.deliver().await;
    let text = "Corrected. https://example.org/".to_owned();
    let act = TeamAct::Amend { account: None, text: Some(text.clone()) };
    world.act(number, act).unwrap();
    world.mastodon.fault(On::Change, Fault::Lost(Cut::InBody));
    world.pass(HOUR).await;
    assert_eq!(world.texts(), [text]);
    assert_eq!((world.mastodon.created().len(), attempts(&world.mastodon)), (1, 1));
    let refused = TeamAct::Amend { account: None, text: Some("Corrected again.".into()) };
    world.act(number, refused).unwrap();
    world.mastodon.fault(On::Change, Fault::Unprocessable("Validation failed: no".into()));
    world.pass(HOUR).await;
    assert!(world.item(number).alarms.iter().any(|alarm| alarm.text.contains("could not be amended")));
    assert_eq!(queue_of(&world, number)["attention"], true);
}

#[tokio::test]
async fn a_skipped_account_is_left_out() {
    let (world, number) = due(two_accounts("")).await;
    world.act(number, TeamAct::Skip { account: "second".into() }).unwrap();
    world.pass(DAY).await;
    assert_eq!(world.state(number), State::Done);
    assert_eq!((attempts(&world.mastodon), attempts(world.second.as_ref().unwrap())), (1, 0));
    assert!(world.act(number, TeamAct::Skip { account: "mastodon".into() }).is_err(), "it is out");
}

#[tokio::test]
async fn the_last_account_skipped_is_a_veto() {
    let (world, number) = due(Plan::default()).await;
    world.act(number, TeamAct::Skip { account: "mastodon".into() }).unwrap();
    assert_eq!(world.state(number), State::Vetoed);
    world.pass(DAY).await;
    assert_eq!(attempts(&world.mastodon), 0);
}
