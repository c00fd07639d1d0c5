//! When does it look again?
use std::time::Duration;

use super::*;
use crate::app::App;
use crate::clock::ManualClock;
use crate::config::Env;
use crate::item::State;
use crate::pretend::forum::Forum;
use crate::pretend::mastodon::{Cut, Fault, Flavour, Mastodon, On, TOKEN};

#[tokio::test]
async fn a_lost_answer_is_looked_into_as_soon_as_patience_allows() {
    let clock = Arc::new(ManualClock::new("2026-11-23T10:00:00Z".parse().unwrap()));
    let forum = Forum::start(clock.clone()).await.unwrap();
    let mastodon = Mastodon::start(Flavour::Mastodon, clock.clone()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "[[source]]\nname = \"news\"\ntype = \"discourse\"\nurl = \"{}\"\ncategory = \"announcements\"\n\
         [hold]\nwindow = \"1h\"\nsettle = \"0s\"\nquiet-hours = \"none\"\n\
         [[account]]\nname = \"m\"\nplatform = \"mastodon\"\nserver = \"{}\"\ntoken = {{ env = \"T\" }}\n",
        forum.base(),
        mastodon.url()
    );
    let config = Arc::new(Config::parse(&text, "a test", &Env::of([("T", TOKEN)])).unwrap().config);
    let store = Store::open(dir.path()).unwrap();
    let app = App::build(config, store, clock.clone()).unwrap();
    app.once(true).await.unwrap();
    forum.announce("News", "<p>There is news.</p>");
    clock.advance(Duration::from_secs(60));
    app.once(true).await.unwrap();
    let item = app.store().active().unwrap().remove(0);
    clock.set(item.window_end.unwrap());

    mastodon.fault(On::Post, Fault::Lost(Cut::BeforeHead));
    let lost = app.deliverer().tick().await.unwrap();
    assert_eq!(lost.unsure, 1);
    assert_eq!(lost.next, Some(clock.now() + Patience::default().repeat_after));
    clock.set(lost.next.unwrap());
    app.deliverer().tick().await.unwrap();
    assert_eq!(app.store().item(item.number).unwrap().unwrap().state(), State::Done);
    assert_eq!(mastodon.created().len(), 1);
}
