//! Does the double keep the rules it is there to play?
use std::time::Duration;

use super::*;
use crate::clock::ManualClock;

struct Here {
    clock: Arc<ManualClock>,
    server: Mastodon,
    client: reqwest::Client,
}

impl Here {
    async fn new(flavour: Flavour) -> Self {
        // Another test may have been first; it installs the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = Arc::new(ManualClock::new("2026-11-23T10:00:00Z".parse().unwrap()));
        let server = Mastodon::start(flavour, clock.clone()).await.unwrap();
        Self { clock, server, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    async fn post(&self, key: &str, body: Value) -> u16 {
        let url = self.server.url().join("api/v1/statuses").unwrap();
        let request = self.client.post(url).bearer_auth(TOKEN).header("idempotency-key", key).json(&body);
        request.send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn a_key_is_kept_for_an_hour() {
    let here = Here::new(Flavour::Mastodon).await;
    for (minutes, want) in [(0, 1), (59, 1), (1, 2), (0, 2)] {
        here.clock.advance(Duration::from_secs(minutes * 60));
        assert_eq!(here.post("k", json!({"status": "hear ye", "visibility": "public"})).await, 200);
        assert_eq!(here.server.created().len(), want);
    }
    // A schedule switches the key off, as on the real one.
    here.post("k", json!({"status": "hear ye", "scheduled_at": "2026-12-01T00:00:00Z"})).await;
    assert_eq!(here.server.created().len(), 3);
}

#[tokio::test]
async fn each_flavour_counts_its_own_way() {
    #[track_caller]
    fn check(got: u16, want: u16) {
        assert_eq!(got, want);
    }
    let flags = "\u{1f3f3}\u{fe0f}\u{200d}\u{1f308}".repeat(300);
    let here = Here::new(Flavour::Mastodon).await;
    check(here.post("1", json!({"status": flags})).await, 200);
    check(
        here.post("2", json!({"status": format!("{} https://x.example/{}", "x".repeat(476), "y".repeat(99))})).await,
        200,
    );
    check(here.post("3", json!({"status": format!("{} https://x.example/", "x".repeat(477))})).await, 422);
    check(here.post("4", json!({"status": "x", "visibility": "everybody"})).await, 422);
    check(here.post("5", json!({"status": " "})).await, 422);
    let here = Here::new(Flavour::GoToSocial).await;
    here.server.limit(500);
    check(here.post("1", json!({"status": flags})).await, 400);
    check(here.post("2", json!({"status": "x"})).await, 200);
    check(here.post("2", json!({"status": "x"})).await, 200);
    assert_eq!(here.server.posts().len(), 2, "it keeps no keys");
    assert_eq!(here.server.posts()[0].visibility, "unlisted");
}

#[tokio::test]
async fn a_post_can_be_looked_at_and_a_stopped_server_cannot() {
    let here = Here::new(Flavour::Mastodon).await;
    let status = here.server.post_by_hand("hear <ye>");
    let page = here.client.get(&status.url).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("hear &lt;ye&gt;"));
    let address = here.server.address();
    here.server.stop().await;
    assert!(here.client.get(&status.url).send().await.is_err());
    let again = Mastodon::start_at(address, Flavour::Mastodon, here.clock.clone()).await.unwrap();
    assert_eq!(again.address(), address);
}
