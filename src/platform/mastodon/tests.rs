//! Do we speak the platform's language? Everything here goes over HTTP to the double on loopback.
use std::collections::HashMap;

use super::media::tests::png;
use super::*;
use crate::clock::{Clock, ManualClock};
use crate::pretend::mastodon::{self as pretend, Cut, Fault, Flavour, Hold, Mastodon as Server, On};

const ITEM: &str = "https://forum.example/t/nixos-26-11-released/1234";
const TEXT: &str =
    "NixOS 26.11 is out\n\nFaster & <smaller>.\n\nhttps://forum.example/t/nixos-26-11-released/1234\n\n#NixOS";

struct Here {
    clock: Arc<ManualClock>,
    server: Server,
    ours: Mastodon,
}

fn client() -> reqwest::Client {
    // Another test may have been first; it installs the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

fn images() -> Images {
    let table: HashMap<&str, Vec<u8>> = HashMap::from([
        ("https://images.example/a.png", png(640, 480)),
        ("https://images.example/b.png", png(64, 48)),
        ("https://images.example/large.png", png(60_000, 60_000)),
        ("https://images.example/page.png", b"<html>not found".to_vec()),
    ]);
    Arc::new(move |url, max_bytes| {
        let found = table.get(url.as_str()).cloned();
        async move {
            if url.path() == "/hangs.png" {
                return std::future::pending().await;
            }
            let body = found.ok_or("it is not there")?;
            if body.len() > max_bytes {
                return Err("it is too large".into());
            }
            Ok(Guarded { body, content_type: None, url })
        }
        .boxed()
    })
}

impl Here {
    async fn new(flavour: Flavour) -> Self {
        let clock = Arc::new(ManualClock::new("2026-11-23T10:00:00Z".parse().unwrap()));
        let server = Server::start(flavour, clock.clone()).await.unwrap();
        let ours = Self::account(&server, pretend::TOKEN);
        Self { clock, server, ours }
    }

    fn account(server: &Server, token: &str) -> Mastodon {
        let mut ours = Mastodon::with_client(server.url(), token.into(), "public".into(), client(), images());
        ours.pace = Duration::from_millis(1);
        ours
    }

    async fn send(&self, claim: &Claim) -> Result<Published, SendError> {
        self.ours.send(claim, self.clock.now(), &|| true).await
    }

    async fn read_back(&self) -> ReadBack {
        self.ours.read_back(&claim().post, ITEM, claim().first_use).await
    }

    fn minutes(&self, minutes: u64) {
        self.clock.advance(Duration::from_secs(minutes * 60));
    }
}

fn claim() -> Claim {
    Claim {
        item: 42,
        account: "mastodon".into(),
        post: Post { text: TEXT.into(), language: Some("en".into()), ..Post::default() },
        key: "oyez-42-mastodon".into(),
        first_use: "2026-11-23T10:00:00Z".parse().unwrap(),
        repeat: false,
        url: ITEM.into(),
    }
}

fn repeat() -> Claim {
    Claim { repeat: true, ..claim() }
}

fn with_media(urls: &[&str]) -> Claim {
    let mut claim = claim();
    claim.post.media = urls.iter().map(|url| Media { url: (*url).into(), alt: Some("A snowflake".into()) }).collect();
    claim
}

#[tokio::test]
async fn a_post_goes_out_with_everything_said() {
    let here = Here::new(Flavour::Mastodon).await;
    let published = here.send(&claim()).await.unwrap();
    let posts = here.server.posts();
    assert_eq!(posts.len(), 1);
    assert_eq!((posts[0].text.as_str(), posts[0].visibility.as_str()), (TEXT, "public"));
    assert_eq!(posts[0].language.as_deref(), Some("en"));
    assert_eq!(
        published,
        Published { id: Some(posts[0].id.clone()), url: Some(posts[0].url.clone()), warnings: vec![] }
    );
    let request = here.server.requests().into_iter().find(|r| r.method == "POST").unwrap();
    assert_eq!(request.key.as_deref(), Some("oyez-42-mastodon"));
    assert!(request.body.unwrap().get("scheduled_at").is_none());
}

#[tokio::test]
async fn each_failure_has_its_class() {
    #[track_caller]
    fn check(got: Result<Published, SendError>, want: SendError) {
        assert_eq!(got.unwrap_err(), want);
    }
    let here = Here::new(Flavour::Mastodon).await;
    let locked = |reason: &str| SendError::Locked { reason: reason.into() };
    let refused = |reason: &str| SendError::Refused { reason: reason.into() };
    let retry = |after: Option<u64>, reason: &str| SendError::Retry {
        after: after.map(Duration::from_secs),
        reason: reason.into(),
    };
    let unsure = |reason: &str| SendError::Unsure { reason: reason.into() };
    let fault = |fault| here.server.fault(On::Post, fault);

    fault(Fault::Unauthorised);
    check(here.send(&claim()).await, locked("The access token is invalid (HTTP 401)"));
    fault(Fault::Answer(400, "invalid bearer token".into()));
    check(here.send(&claim()).await, locked("invalid bearer token (HTTP 400)"));
    fault(Fault::Forbidden("This action is outside the authorized scopes".into()));
    check(here.send(&claim()).await, locked("This action is outside the authorized scopes (HTTP 403)"));
    fault(Fault::Unprocessable("Validation failed: no".into()));
    check(here.send(&claim()).await, refused("Validation failed: no (HTTP 422)"));
    fault(Fault::TooMany(Duration::from_secs(90)));
    check(here.send(&claim()).await, retry(Some(90), "Too many requests (HTTP 429)"));
    let busy = "There was a temporary problem serving your request (HTTP 503)";
    fault(Fault::Unavailable(Some(30)));
    check(here.send(&claim()).await, retry(Some(30), busy));
    fault(Fault::Unavailable(None));
    check(here.send(&claim()).await, unsure(busy));
    fault(Fault::ErrorBefore);
    check(here.send(&claim()).await, unsure("Internal server error (HTTP 500)"));
    fault(Fault::Answer(502, "<html><h1>Bad gateway</h1>".into()));
    check(here.send(&claim()).await, unsure("Bad gateway (HTTP 502)"));
    fault(Fault::Answer(301, String::new()));
    assert!(matches!(here.send(&claim()).await, Err(SendError::Retry { .. })));
    assert!(here.server.created().is_empty());

    let long = Claim { post: Post { text: "x".repeat(501), ..Post::default() }, ..claim() };
    check(here.send(&long).await, refused("Validation failed: Text character limit of 500 exceeded (HTTP 422)"));
    here.send(&claim()).await.unwrap();
    assert_eq!(here.server.created().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_got_nothing() {
    let here = Here::new(Flavour::Mastodon).await;
    here.server.stop().await;
    let error = here.ours.send(&claim(), here.clock.now(), &|| true).await.unwrap_err();
    assert!(matches!(error, SendError::Retry { after: None, .. }), "{error:?}");
}

#[tokio::test]
async fn promise_03_a_lost_answer_is_unsure_and_the_repeat_finds_the_first() {
    for fault in [
        Fault::Lost(Cut::BeforeHead),
        Fault::Lost(Cut::AfterHead),
        Fault::Lost(Cut::InBody),
        Fault::ErrorAfter,
        Fault::Garbage,
    ] {
        let here = Here::new(Flavour::Mastodon).await;
        here.server.fault(On::Post, fault.clone());
        let error = here.send(&claim()).await.unwrap_err();
        assert!(matches!(error, SendError::Unsure { .. }), "{fault:?}: {error:?}");
        here.minutes(54);
        assert!(here.ours.may_repeat(claim().first_use, here.clock.now()).await);
        let published = here.send(&repeat()).await.unwrap();
        let created = here.server.created();
        assert_eq!(created.len(), 1, "{fault:?}");
        assert_eq!(published.id.as_ref(), Some(&created[0].id));
        assert!(matches!(here.read_back().await, ReadBack::Found(p) if p.id.as_ref() == Some(&created[0].id)));
    }
}

#[tokio::test]
async fn promise_03_a_cut_before_anything_is_repeated_once() {
    let here = Here::new(Flavour::Mastodon).await;
    here.server.fault(On::Post, Fault::CutBefore);
    assert!(matches!(here.send(&claim()).await, Err(SendError::Unsure { .. })));
    assert_eq!(here.read_back().await, ReadBack::Absent);
    here.send(&repeat()).await.unwrap();
    assert_eq!(here.server.created().len(), 1);
}

#[tokio::test]
async fn promise_03_after_the_hour_a_repeat_sends_nothing() {
    let here = Here::new(Flavour::Mastodon).await;
    here.send(&claim()).await.unwrap();
    here.minutes(55);
    assert!(!here.ours.may_repeat(claim().first_use, here.clock.now()).await);
    assert!(matches!(here.send(&repeat()).await, Err(SendError::Unsure { .. })));
    // Nor where the clock was set back and nobody knows how old the key is.
    here.clock.set("2026-11-23T09:00:00Z".parse().unwrap());
    assert!(!here.ours.may_repeat(claim().first_use, here.clock.now()).await);
    assert_eq!(here.server.requests().iter().filter(|r| r.method == "POST").count(), 1);
}

#[tokio::test]
async fn promise_03_a_server_that_fails_on_repeats_is_read_back() {
    let here = Here::new(Flavour::Mastodon500OnRepeat).await;
    here.server.fault(On::Post, Fault::Lost(Cut::AfterHead));
    assert!(matches!(here.send(&claim()).await, Err(SendError::Unsure { .. })));
    assert!(matches!(here.send(&repeat()).await, Err(SendError::Unsure { .. })));
    assert!(matches!(here.read_back().await, ReadBack::Found(_)));
    assert_eq!(here.server.created().len(), 1);
}

#[tokio::test]
async fn promise_03_whatever_a_repeat_is_told_the_first_attempt_stays_open() {
    let here = Here::new(Flavour::Mastodon).await;
    here.server.fault(On::Post, Fault::Lost(Cut::BeforeHead));
    assert!(here.send(&claim()).await.is_err());
    for fault in [Fault::Unprocessable("no".into()), Fault::Unavailable(None), Fault::Answer(301, String::new())] {
        here.server.fault(On::Post, fault);
        assert!(matches!(here.send(&repeat()).await, Err(SendError::Unsure { .. })));
    }
    // Whoever asks for a pause gets it; that the first attempt is open is known from the claim.
    for (fault, seconds) in [(Fault::TooMany(Duration::from_secs(9)), 9), (Fault::Unavailable(Some(30)), 30)] {
        here.server.fault(On::Post, fault);
        let error = here.send(&repeat()).await.unwrap_err();
        let want = Some(Duration::from_secs(seconds));
        assert!(matches!(error, SendError::Retry { after, .. } if after == want), "{error:?}");
    }
    here.server.fault(On::Post, Fault::Unauthorised);
    assert!(matches!(here.send(&repeat()).await, Err(SendError::Locked { .. })));
}

#[tokio::test]
async fn promise_03_servers_without_keys_are_never_repeated_to() {
    for flavour in [Flavour::GoToSocial, Flavour::Pleroma] {
        let here = Here::new(flavour).await;
        here.server.fault(On::Post, Fault::Lost(Cut::BeforeHead));
        assert!(matches!(here.send(&claim()).await, Err(SendError::Unsure { .. })));
        assert!(!here.ours.may_repeat(claim().first_use, here.clock.now()).await);
        assert!(matches!(here.send(&repeat()).await, Err(SendError::Unsure { .. })));
        assert!(matches!(here.read_back().await, ReadBack::Found(_)));
        assert_eq!(here.server.created().len(), 1);
        // An account whose default is Markdown gets our text as it is.
        let sent = here.server.requests().into_iter().find(|r| r.method == "POST").and_then(|r| r.body).unwrap();
        assert_eq!(sent["content_type"], "text/plain");
    }
}

#[tokio::test]
async fn promise_03_a_server_that_cannot_be_asked_is_not_repeated_to() {
    let here = Here::new(Flavour::Mastodon).await;
    here.server.fault(On::Read, Fault::ErrorBefore);
    assert!(!here.ours.may_repeat(claim().first_use, here.clock.now()).await);
}

#[tokio::test]
async fn reading_back_turns_pages_until_the_attempt() {
    let here = Here::new(Flavour::Mastodon).await;
    for n in 0..3 {
        here.server.post_by_hand(&format!("before {n}"));
    }
    here.minutes(30);
    let since = here.clock.now();
    here.server.post_by_hand(TEXT);
    for n in 0..90 {
        here.server.post_by_hand(&format!("later {n}"));
    }
    let post = claim().post;
    assert!(matches!(here.ours.read_back(&post, ITEM, since).await, ReadBack::Found(_)));
    here.minutes(30);
    assert_eq!(here.ours.read_back(&post, ITEM, here.clock.now()).await, ReadBack::Absent);
    let pages = here.server.requests().iter().filter(|r| r.path.ends_with("/1/statuses")).count();
    assert_eq!(pages, 4);
}

#[tokio::test]
async fn reading_back_says_when_it_cannot_tell() {
    let here = Here::new(Flavour::Mastodon).await;
    let by_hand = here.server.post_by_hand(&format!("Have you seen this? {ITEM}"));
    assert!(matches!(here.read_back().await, ReadBack::Undecided(why) if why.contains(&by_hand.url)));
    here.server.fault(On::Read, Fault::ErrorBefore);
    assert!(matches!(here.read_back().await, ReadBack::Undecided(_)));
    here.server.fault(On::Read, Fault::TooMany(Duration::from_secs(60)));
    assert!(matches!(here.read_back().await, ReadBack::Undecided(_)));
    for n in 0..1001 {
        here.server.post_by_hand(&format!("flood {n}"));
    }
    assert!(matches!(here.read_back().await, ReadBack::Undecided(why) if why.contains("1000")));
}

#[tokio::test]
async fn images_are_uploaded_processed_and_described() {
    let here = Here::new(Flavour::Mastodon).await;
    here.server.processing(3);
    let published = here.send(&with_media(&["https://images.example/a.png"])).await.unwrap();
    assert_eq!(published.warnings, Vec::<String>::new());
    let media = here.server.posts().remove(0).media;
    assert_eq!(media.len(), 1);
    assert_eq!((media[0].description.as_deref(), media[0].content_type.as_str()), (Some("A snowflake"), "image/png"));
    assert_eq!(media[0].bytes, png(640, 480).len());
}

#[tokio::test]
async fn an_image_that_cannot_be_had_stops_nothing() {
    #[track_caller]
    fn check(published: &Published, wants: &[&str]) {
        assert_eq!(published.warnings.len(), wants.len(), "{published:?}");
        for (got, want) in published.warnings.iter().zip(wants) {
            assert!(got.contains(want), "{got}");
        }
    }
    let here = Here::new(Flavour::Mastodon).await;
    let urls = [
        "https://images.example/large.png",
        "https://images.example/page.png",
        "https://images.example/none.png",
        "not an address",
        "https://images.example/b.png",
    ];
    let published = here.send(&with_media(&urls)).await.unwrap();
    check(&published, &["3600000000 pixels", "no image of a known kind", "it is not there", "its address is none"]);
    assert_eq!(here.server.posts()[0].media.len(), 1);

    for (n, (fault, times, want)) in [
        (Fault::Unprocessable("not an image".into()), 1, "not an image"),
        (Fault::Forbidden("outside the scopes".into()), 1, "outside the scopes"),
        (Fault::ErrorBefore, 2, "Internal server error"),
        (Fault::CutBefore, 2, "not answered"),
        (Fault::Garbage, 1, "no attachment"),
    ]
    .into_iter()
    .enumerate()
    {
        here.server.faults(On::Media, fault, times);
        let claim = Claim { key: format!("key {n}"), ..with_media(&["https://images.example/b.png"]) };
        check(&here.send(&claim).await.unwrap(), &[want]);
    }
    here.server.processing(1000);
    let claim = Claim { key: "slow".into(), ..with_media(&["https://images.example/b.png"]) };
    check(&here.send(&claim).await.unwrap(), &["did not finish"]);
}

#[tokio::test]
async fn uploads_that_hang_leave_time_for_the_post() {
    #[track_caller]
    fn check(published: &Published, late: &[&str]) {
        assert_eq!(published.warnings.len(), late.len(), "{published:?}");
        for (got, image) in published.warnings.iter().zip(late) {
            assert!(got.contains(image) && got.contains("the time for the post's images is over"), "{got}");
        }
    }
    let (a, hangs, b) =
        ("https://images.example/a.png", "https://images.example/hangs.png", "https://images.example/b.png");
    let mut here = Here::new(Flavour::Mastodon).await;
    here.ours.media_patience = Duration::from_millis(50);
    here.server.hold(On::Media, Hold::Before);
    check(&here.send(&with_media(&[a, b])).await.unwrap(), &[a, b]);
    assert!(here.server.requests().iter().filter(|r| r.path == "/api/v2/media").count() <= 1);
    here.server.release();
    // Processing that does not end is the same.
    here.ours.pace = Duration::from_secs(3600);
    here.server.processing(1);
    let claim = Claim { key: "processing".into(), ..with_media(&[a]) };
    check(&here.send(&claim).await.unwrap(), &[a]);
    here.server.processing(0);
    assert!(here.server.created().iter().all(|post| post.media.is_empty()));
    // What was there in time is in the post. A slow machine gets more of it.
    let mut posts = 2;
    for patience in [100, 1_000, 10_000] {
        here.ours.media_patience = Duration::from_millis(patience);
        let claim = Claim { key: format!("{patience} ms"), ..with_media(&[a, hangs, b]) };
        let published = here.send(&claim).await.unwrap();
        posts += 1;
        if published.warnings.len() == 2 {
            check(&published, &[hangs, b]);
            break;
        }
    }
    let created = here.server.created();
    assert_eq!(created.len(), posts);
    assert_eq!(created.last().unwrap().media.len(), 1);
}

#[tokio::test]
async fn what_would_stop_the_status_stops_the_upload_and_is_never_unsure() {
    let here = Here::new(Flavour::Mastodon).await;
    let claim = with_media(&["https://images.example/a.png"]);
    here.server.fault(On::Media, Fault::Unauthorised);
    assert!(matches!(here.send(&claim).await, Err(SendError::Locked { .. })));
    here.server.fault(On::Media, Fault::TooMany(Duration::from_secs(60)));
    let after = Some(Duration::from_secs(60));
    assert!(matches!(here.send(&claim).await, Err(SendError::Retry { after: got, .. }) if got == after));
    // One hiccup is passed over.
    here.server.fault(On::Media, Fault::ErrorBefore);
    assert!(here.send(&claim).await.unwrap().warnings.is_empty());
    assert_eq!(here.server.created().len(), 1);
}

#[tokio::test]
async fn amend_keeps_what_it_does_not_change() {
    let here = Here::new(Flavour::Mastodon).await;
    let published = here.send(&with_media(&["https://images.example/a.png"])).await.unwrap();
    let before = here.server.posts().remove(0);
    let post = Post { text: "NixOS 26.11.1 is out".into(), ..Post::default() };
    let amended = here.ours.amend(&before.id, &post).await.unwrap();
    assert_eq!((amended.id, amended.url), (published.id, published.url));
    let after = here.server.posts().remove(0);
    assert_eq!(after.text, "NixOS 26.11.1 is out");
    assert_eq!((after.media, after.visibility, after.language), (before.media, before.visibility, before.language));
    assert!(after.edited_at.is_some());
    here.server.fault(On::Change, Fault::Lost(Cut::InBody));
    assert!(matches!(here.ours.amend(&before.id, &post).await, Err(SendError::Retry { .. })));
    assert!(matches!(here.ours.amend("1", &post).await, Err(SendError::Refused { .. })));
}

#[tokio::test]
async fn retracting_twice_is_retracting() {
    let here = Here::new(Flavour::Mastodon).await;
    let id = here.send(&claim()).await.unwrap().id.unwrap();
    here.server.fault(On::Change, Fault::TooMany(Duration::from_secs(120)));
    let error = here.ours.retract(&id).await.unwrap_err();
    assert!(matches!(error, SendError::Retry { after: Some(after), .. } if after.as_secs() == 120));
    here.server.fault(On::Change, Fault::Lost(Cut::BeforeHead));
    assert!(matches!(here.ours.retract(&id).await, Err(SendError::Retry { .. })));
    here.ours.retract(&id).await.unwrap();
    assert!(here.server.posts().is_empty());
    // An id is a server's word: it stays one segment of the path.
    here.ours.retract("../../v1/accounts/1").await.unwrap();
    assert!(here.server.requests().last().unwrap().path.starts_with("/api/v1/statuses/..%2F"));
}

#[tokio::test]
async fn limits_are_asked_once_a_day() {
    let here = Here::new(Flavour::Mastodon).await;
    here.server.limit(640);
    let limits = here.ours.limits(here.clock.now()).await;
    assert_eq!((limits.max_length, limits.url_length, limits.keeps_keys), (640, Some(23), true));
    here.server.limit(320);
    here.minutes(23 * 60);
    assert_eq!(here.ours.limits(here.clock.now()).await.max_length, 640);
    here.minutes(61);
    here.server.fault(On::Read, Fault::ErrorBefore);
    assert_eq!(here.ours.limits(here.clock.now()).await.max_length, 640, "yesterday's are better than assumed ones");
    here.minutes(11);
    assert_eq!(here.ours.limits(here.clock.now()).await.max_length, 320);
    here.server.limit(0);
    assert!(
        matches!(here.ours.ask_limits().await, Err(SendError::Refused { reason }) if reason.contains("max_characters"))
    );
    assert_eq!(Here::new(Flavour::Pleroma).await.ours.ask_limits().await.unwrap().max_length, 5000);
}

#[tokio::test]
async fn the_token_is_in_no_word_of_ours() {
    let here = Here::new(Flavour::Mastodon).await;
    assert_eq!(here.ours.identity().await.unwrap(), "@crier@pretend.example");
    let wrong = Here::account(&here.server, "wr0ng-token");
    let error = wrong.identity().await.unwrap_err();
    assert!(matches!(error, SendError::Locked { .. }));
    here.server.fault(On::Post, Fault::Forbidden("what is wr0ng-token?".into()));
    let refused = wrong.send(&claim(), here.clock.now(), &|| true).await.unwrap_err();
    for words in [format!("{wrong:?}"), format!("{error:?}"), format!("{refused:?}")] {
        assert!(!words.contains("wr0ng-token"), "{words}");
    }
}

#[tokio::test]
async fn a_held_request_can_be_overtaken() {
    let here = Here::new(Flavour::Mastodon).await;
    here.server.hold(On::Post, Hold::After);
    let claimed = claim();
    let sending = here.send(&claimed);
    let meanwhile = async {
        here.server.held().await;
        assert_eq!(here.server.posts().len(), 1, "it is out, and we do not know yet");
        here.server.release();
    };
    let (sent, ()) = tokio::join!(sending, meanwhile);
    sent.unwrap();
    here.server.hold(On::Post, Hold::Before);
    let other = Claim { key: "other".into(), ..claim() };
    {
        let sending = here.send(&other);
        tokio::select! {
            _ = sending => panic!("it is held"),
            () = here.server.held() => {}
        }
    }
    assert_eq!(here.server.posts().len(), 1);
    // We are gone, the request is not: it arrives late.
    here.server.release();
    while here.server.posts().len() < 2 {
        tokio::task::yield_now().await;
    }
}
