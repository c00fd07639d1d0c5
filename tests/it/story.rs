//! The main road: heard, settled, held, out.
use oyez::item::State;

use crate::world::{DAY, HOUR, MINUTE, World};

#[tokio::test]
async fn an_announcement_is_held_for_its_window_and_then_published_once() {
    let world = World::new().await;
    world.forum.announce("Old news", "<p>From before.</p>");
    world.meet().await;
    let number = world.announce("NixOS 26.11 released", "<p>The release is here. It is good.</p>").await;
    assert_eq!(world.state(number), State::Settling);
    world.pass(31 * MINUTE).await;
    assert_eq!(world.state(number), State::Held);
    world.pass(DAY - 2 * MINUTE).await;
    assert!(world.texts().is_empty(), "not before the window has passed");
    world.pass(2 * MINUTE).await;
    assert_eq!(world.state(number), State::Done);
    assert_eq!(world.texts().len(), 1);
    let text = &world.texts()[0];
    assert!(text.contains("NixOS 26.11 released") && text.contains("#NixOS") && text.contains("/t/"), "{text}");
    world.pass(2 * DAY + HOUR).await;
    assert_eq!(world.texts().len(), 1);
}
