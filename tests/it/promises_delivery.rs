//! Promises 1 to 3, and the worked examples of the clock, through the real parts: nothing before its window, nothing after
//! a veto, nothing twice. Promise 1 is `window`, 2 is `veto`, 3 is `once`; `team` and `pace` are what stands beside them.
mod once;
mod pace;
mod team;
mod veto;
mod window;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use oyez::acts::Request;
use oyez::item::{Number, State};
use oyez::pretend::mastodon::{Flavour, Mastodon};
use serde_json::Value;

use crate::world::{MINUTE, Plan, World};

const PACED: &str = r#"quiet-hours = { from = "22:00", to = "08:00" }
spacing = "2h"
at-most = "3/1d""#;

/// A moment in Berlin.
fn berlin(local: &str) -> Timestamp {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    local.parse::<DateTime>().unwrap().to_zoned_datetime(zone).unwrap().timestamp()
}

/// The day and the time in Berlin.
fn local(at: Timestamp) -> String {
    at.to_zoned_datetime(TimeZone::get("Europe/Berlin").unwrap()).strftime("%a %m-%d %H:%M").to_string()
}

/// When each status was posted, in Berlin.
fn times(server: &Mastodon) -> Vec<String> {
    server.created().iter().map(|status| local(status.created_at)).collect()
}

/// Requests that would publish.
fn attempts(server: &Mastodon) -> usize {
    server.requests().iter().filter(|r| r.method == "POST" && r.path == "/api/v1/statuses").count()
}

/// An announcement that has just come to the desk.
async fn held(world: &World, title: &str) -> Number {
    let number = world.announce(title, "<p>There is something to say.</p>").await;
    world.advance(31 * MINUTE);
    world.deliver().await;
    assert_eq!(world.state(number), State::Held);
    number
}

/// A world with one announcement whose window ends now.
async fn due(plan: Plan) -> (World, Number) {
    let world = World::with(plan).await;
    world.meet().await;
    let number = held(&world, "It is out").await;
    world.clock.set(world.item(number).window_end.unwrap());
    (world, number)
}

fn flavoured(flavour: Flavour) -> Plan {
    Plan { flavour, ..Plan::default() }
}

fn two_accounts(second: &str) -> Plan {
    Plan { second: Some((Flavour::Mastodon, second.to_owned())), ..Plan::default() }
}

fn queue_of(world: &World, number: Number) -> Value {
    world.ask(Request::Show { item: number.to_string() }).unwrap().remove(0)
}

/// The words of the whole journal.
fn journal(world: &World) -> Vec<String> {
    let entries = world.ask(Request::Log { item: None }).unwrap();
    entries.iter().map(|entry| entry["what"].as_str().unwrap().to_owned()).collect()
}

fn count(journal: &[String], what: &str) -> usize {
    journal.iter().filter(|entry| *entry == what).count()
}

/// Exactly one status there ever was, and everybody knows.
#[track_caller]
fn check_once(world: &World, number: Number, what: &str) {
    assert_eq!(world.mastodon.created().len(), 1, "{what}: one post; {:?}", world.journal(number));
    assert_eq!(world.state(number), State::Done, "{what}: {:?}", world.journal(number));
    assert_eq!(world.delivery(number), "sent", "{what}");
}
