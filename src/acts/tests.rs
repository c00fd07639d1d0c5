use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::clock::ManualClock;
use crate::config::Env;
use crate::item::{Author, Delivery, Found, Origin, Phase, Post, State, Verdict, VerdictKind};
use crate::life::Event;
use crate::store::Which;

const CONFIG: &str = r#"
[[source]]
name = "blog"
type = "feed"
url = "https://blog.example/feed.xml"
kind = "announcement"

[[source]]
name = "forum"
type = "discourse"
url = "https://forum.example"
category = 8

[hold]
window = "24h"
grace = "1h"
quiet-hours = "none"
spacing = "2h"

[[account]]
name = "dry-run"
platform = "file"
path = "posts.jsonl"
limit = 100

[[account]]
name = "mastodon"
platform = "mastodon"
server = "https://social.example"
token = { env = "TOKEN" }
"#;

/// A desk over a store of its own. Items enter at minute 0 and settle with the window of the configuration.
struct Bench {
    _dir: TempDir,
    store: Store,
    clock: Arc<ManualClock>,
    desk: Desk,
}

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000).unwrap() + SignedDuration::from_mins(minutes)
}

fn origin(source: &str, id: u64) -> Origin {
    let found = Found {
        key: format!("discourse:{source}.example/t/{id}"),
        url: format!("https://{source}.example/t/a-topic/{id}"),
        title: format!("News {id} of the {source}"),
        author: Some(Author { name: "Eve Example".into(), ..Author::default() }),
        published: Some(at(0)),
        text: format!("Something happened, says Mitwisserin of the {source}."),
        links: vec!["https://example.org/a".into(), "file:///etc/hosts".into()],
        tags: vec!["release".into()],
        ..Found::default()
    };
    Origin { source: source.into(), contact: format!("discourse:{source}"), first_seen: at(0), found, gone: None }
}

impl Bench {
    fn new() -> Self {
        Self::with(None)
    }

    /// `served`: with the bell of a running service.
    fn with(served: Option<Arc<tokio::sync::Notify>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let clock = Arc::new(ManualClock::new(at(0)));
        let config = Config::parse(CONFIG, "oyez.toml", &Env::of([("TOKEN", "secret")])).unwrap().config;
        let config = Arc::new(config);
        let wording = Arc::new(crate::app::load_wording(&config).unwrap());
        let desk = Desk::new(store.clone(), Arc::clone(&clock) as Arc<dyn Clock>, config, wording, served);
        Self { _dir: dir, store, clock, desk }
    }

    /// Stores an item from `source`, as first seen now; its number.
    fn settling(&self, source: &str) -> Number {
        let id = self.store.last_number() + 1;
        self.put(life::first_sighting(self.sight(origin(source, id)), &self.rules()))
    }

    fn sight(&self, origin: Origin) -> life::Sight {
        life::Sight {
            number: 0,
            kind: "announcement".into(),
            origin,
            verdict: Verdict::default(),
            accounts: vec!["dry-run".into(), "mastodon".into()],
            known: false,
            ask: None,
        }
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            now: self.clock.now(),
            hold: &self.desk.config.hold.base,
            zone: &self.desk.config.service.time_zone,
            give_up: self.desk.config.delivery.give_up,
            patience: Patience::default(),
        }
    }

    fn put(&self, item: Item) -> Number {
        let which = if item.number == 0 { Which::New(0) } else { Which::Number(item.number) };
        let note = Note {
            item: Some(which),
            text: Some(item.found().title.clone()),
            ..Note::new(self.clock.now(), None, "oyez", "seen")
        };
        let change = Change { items: vec![item], notes: vec![note], ..Change::default() };
        self.store.commit(change).unwrap().items[0].number
    }

    /// Stores an item whose posts stand on the desk.
    fn held(&self, source: &str) -> Number {
        let number = self.settling(source);
        let mut item = self.item(number);
        item.posts = self.desk.all_worded(&item, &mut Vec::new()).unwrap();
        item.phase = Phase::Held;
        self.put(item)
    }

    /// Stores an item that is out on both accounts.
    fn sent(&self, source: &str) -> Number {
        let number = self.held(source);
        self.progress(number, "dry-run", sent());
        self.progress(number, "mastodon", sent());
        number
    }

    fn progress(&self, number: Number, account: &str, progress: Progress) {
        let mut item = self.item(number);
        let sent_text = item.posts.get(account).map(|post| post.text.clone());
        item.deliveries.insert(account.into(), Delivery { progress, sent_text, ..Delivery::default() });
        self.put(item);
    }

    fn item(&self, number: Number) -> Item {
        self.store.item(number).unwrap().unwrap()
    }

    fn ask(&self, request: Request) -> (Vec<Value>, Result<(), Failure>) {
        let mut documents = Vec::new();
        let answer = self.desk.execute("cli:ida", request, &mut |document| {
            documents.push(document);
            Ok(())
        });
        (documents, answer)
    }

    fn act(&self, items: &[&str], act: TeamAct) -> (Vec<Value>, Result<(), Failure>) {
        let items = items.iter().map(|item| (*item).to_owned()).collect();
        self.ask(Request::Act { items, act, reason: Some("said so".into()) })
    }

    /// An act on one item that is done.
    #[track_caller]
    fn done(&self, number: Number, act: TeamAct) -> Value {
        let (mut documents, answer) = self.act(&[&number.to_string()], act);
        assert_eq!(answer, Ok(()));
        documents.remove(0)
    }

    /// An act on one item that is refused: exit code and words.
    #[track_caller]
    fn refused(&self, number: Number, act: TeamAct, code: u8, words: &str) {
        let before = self.item(number);
        let (documents, answer) = self.act(&[&number.to_string()], act);
        refused_with(answer, code, words);
        assert_eq!((documents.len(), self.item(number)), (0, before));
    }

    fn join(&self, a: Number, b: Number) -> (Vec<Value>, Result<(), Failure>) {
        let reason = Some("one thing".to_owned());
        self.ask(Request::Join { item: a.to_string(), other: b.to_string(), reason })
    }

    fn split(&self, number: Number) -> (Vec<Value>, Result<(), Failure>) {
        self.ask(Request::Split { item: number.to_string(), reason: Some("two things".into()) })
    }

    /// `actor what` of an item's journal, in order.
    fn journal(&self, number: Number) -> Vec<String> {
        let entries = self.store.journal_of(number).unwrap();
        entries.iter().map(|entry| format!("{} {}", entry.actor(), entry.entry.what)).collect()
    }

    fn states(&self, number: Number) -> String {
        let item = self.item(number);
        let deliveries: Vec<_> = item.deliveries.values().map(|d| d.progress.name()).collect();
        format!("{}: {}", item.state().name(), deliveries.join(" "))
    }
}

fn sent() -> Progress {
    Progress::Sent {
        at: at(0),
        id: Some("115600000000000001".into()),
        url: Some("https://social.example/@p/115600000000000001".into()),
    }
}

#[track_caller]
fn refused_with(answer: Result<(), Failure>, code: u8, words: &str) {
    let failure = answer.unwrap_err();
    assert_eq!(failure.code, code, "{failure:?}");
    assert!(failure.error.contains(words), "{failure:?}");
}

fn edit(account: &str, text: &str) -> TeamAct {
    TeamAct::Edit { account: account.into(), text: text.into() }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[track_caller]
fn has_keys(value: &Value, want: &str) {
    let missing: Vec<_> = want.split(' ').filter(|key| value.get(key).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?} missing in {:?}", keys(value));
}

// Naming items.

#[track_caller]
fn check_several(bench: &Bench, selectors: &[&str], want: Result<&[Number], u8>) {
    let selectors: Vec<String> = selectors.iter().map(|s| (*s).to_owned()).collect();
    let got = bench.desk.several(&selectors).map_err(|failure| failure.code);
    assert_eq!(got, want.map(<[Number]>::to_vec), "{selectors:?}");
}

#[test]
fn items_are_named_by_number_list_range_and_address() {
    let bench = Bench::new();
    for _ in 0..4 {
        bench.settling("forum");
    }
    let check = |selectors: &[&str], want| check_several(&bench, selectors, want);
    check(&["2"], Ok(&[2]));
    check(&["#2"], Ok(&[2]));
    check(&["3", "1"], Ok(&[3, 1]));
    check(&["3,1", "1", "3"], Ok(&[3, 1]));
    check(&["3, 1,"], Ok(&[3, 1]));
    check(&["2-3"], Ok(&[2, 3]));
    check(&["#2-#3"], Ok(&[2, 3]));
    check(&["1", "3-900"], Ok(&[1, 3, 4]));
    check(&["https://forum.example/t/a-topic/3"], Ok(&[3]));
    check(&["https://forum.example/t/another-slug/3/7?u=eve", "4"], Ok(&[3, 4]));
    for wrong in ["", ",", "x", "1x", "-", "3-", "-3", "3-1", "1-5000", "1.5", "//", "http://", "99999999999999999999"]
    {
        check(&[wrong], Err(2));
    }
    check(&[], Err(2));
    for nobody in ["0", "5", "1,5", "7-9", "https://forum.example/t/a-topic/77", "https://elsewhere.example/"] {
        check(&[nobody], Err(3));
    }
}

#[test]
fn a_kept_link_is_recorded_once_with_its_reason_and_survives_joining() {
    let bench = Bench::new();
    let (low, high) = (bench.held("forum"), bench.held("blog"));
    let keep = |number: Number, url: &str| {
        bench.ask(Request::Keep {
            item: number.to_string(),
            url: url.into(),
            reason: Some("its parameters matter".into()),
        })
    };
    let (documents, done) = keep(high, "https://example.org/a");
    done.unwrap();
    assert_eq!((&documents[0]["changed"], &documents[0]["kept"]), (&json!(true), &json!("https://example.org/a")));
    assert_eq!(keep(high, "https://example.org/a").0[0]["changed"], false);
    let entries = bench.journal(high);
    assert_eq!(entries.iter().filter(|what| *what == "cli:ida keep").count(), 1, "{entries:?}");
    let (shown, _) = bench.ask(Request::Show { item: high.to_string() });
    assert_eq!((&shown[0]["links"][0]["kept"], &shown[0]["links"][1]["kept"]), (&json!(true), &json!(false)));
    refused_with(keep(high, "https://example.org/other").1, 1, "no link");
    refused_with(keep(high, "file:///etc/hosts").1, 1, "cannot be kept");
    refused_with(keep(4711, "https://example.org/a").1, 3, "no item");
    bench.join(low, high).1.unwrap();
    assert_eq!(bench.item(low).kept, ["https://example.org/a"]);
}

#[test]
fn one_item_is_shown_at_a_time() {
    let bench = Bench::new();
    bench.settling("forum");
    bench.settling("forum");
    refused_with(bench.ask(Request::Show { item: "1-2".into() }).1, 2, "one item");
    refused_with(bench.ask(Request::Show { item: "3".into() }).1, 3, "no item 3");
    refused_with(bench.ask(Request::Log { item: Some(3) }).1, 3, "no item 3");
}

#[test]
fn one_that_is_refused_keeps_no_other_from_being_done() {
    let bench = Bench::new();
    let (a, b, c) = (bench.held("forum"), bench.sent("forum"), bench.held("forum"));
    let (documents, answer) = bench.act(&["1-3"], TeamAct::Veto);
    refused_with(answer, 1, "item 2 is already out");
    let numbers: Vec<_> = documents.iter().map(|d| d["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [a, c]);
    assert_eq!(bench.states(b), "done: sent sent");
    let (_, answer) = bench.act(&["2", "2", "1"], TeamAct::Snooze { seconds: 60 });
    refused_with(answer, 1, "2 of 2 were refused");
    let (documents, answer) =
        bench.ask(Request::Forget { items: vec!["1".into(), "2".into(), "3".into()], reason: "asked".into() });
    assert_eq!((documents.len(), answer), (3, Ok(())));
}

// Acts.

#[test]
fn promise_02_a_veto_says_what_it_came_too_late_for() {
    let bench = Bench::new();
    let number = bench.held("forum");
    bench.progress(number, "mastodon", sent());
    let answer = bench.done(number, TeamAct::Veto);
    assert_eq!(bench.states(number), "vetoed: cancelled sent");
    let url = "https://social.example/@p/115600000000000001";
    assert_eq!(answer["too_late"], json!([{"account": "mastodon", "state": "sent", "url": url}]));
    assert_eq!(
        (&answer["changed"], &answer["state"], &answer["until"]),
        (&json!(true), &json!("vetoed"), &Value::Null)
    );
    let again = bench.done(number, TeamAct::Veto);
    assert_eq!((&again["changed"], again["too_late"].as_array().unwrap().len()), (&json!(false), 1));
    assert_eq!(bench.journal(number).iter().filter(|line| *line == "cli:ida veto").count(), 1);
    let entry = bench.store.journal_of(number).unwrap().into_iter().find(|e| e.entry.what == "veto").unwrap();
    assert_eq!((entry.reason(), entry.entry.rev), (Some("said so"), Some(bench.item(number).rev)));
}

#[test]
fn the_last_account_that_is_skipped_makes_it_a_veto() {
    let bench = Bench::new();
    let number = bench.held("forum");
    bench.done(number, TeamAct::Skip { account: "mastodon".into() });
    assert_eq!(bench.states(number), "held: queued cancelled");
    bench.refused(number, TeamAct::Skip { account: "nobody".into() }, 2, "no account `nobody`");
    let answer = bench.done(number, TeamAct::Skip { account: "dry-run".into() });
    assert_eq!((bench.states(number).as_str(), &answer["too_late"]), ("vetoed: cancelled cancelled", &json!([])));
}

#[test]
fn an_edit_is_measured_and_moves_no_time() {
    let bench = Bench::new();
    let number = bench.held("forum");
    let before = bench.item(number);
    bench.refused(number, edit("dry-run", &"a".repeat(101)), 1, "the text is 101 long, dry-run allows 100");
    bench.refused(number, edit("dry-run", " \n"), 2, "empty");
    bench.refused(number, edit("nobody", "x"), 2, "no account");
    bench.done(number, edit("dry-run", &format!("{}\n", "a".repeat(100))));
    let item = bench.item(number);
    let post = &item.posts["dry-run"];
    assert_eq!((post.length, post.edited_by.as_deref()), (100, Some("cli:ida")));
    assert_eq!((item.window_end, item.settled), (before.window_end, before.settled));
    let entry = bench.store.journal_of(number).unwrap().pop().unwrap();
    assert_eq!((entry.text().map(str::len), &entry.detail()["account"]), (Some(101), &json!("dry-run")));

    bench.done(number, TeamAct::Reset { account: "dry-run".into() });
    assert_eq!(bench.item(number).posts, before.posts);
}

#[test]
fn an_edit_before_it_settled_keeps_what_the_template_found_beside_the_text() {
    let bench = Bench::new();
    let mut origin = origin("forum", 1);
    origin.found.images = vec![crate::item::Image { url: "https://forum.example/a.png".into(), alt: None }];
    let number = bench.put(life::first_sighting(bench.sight(origin), &bench.rules()));
    bench.done(number, edit("mastodon", "Our own words"));
    let post = bench.item(number).posts["mastodon"].clone();
    assert_eq!((post.text.as_str(), post.media.len()), ("Our own words", 1));
}

#[test]
fn a_snooze_never_makes_it_earlier() {
    let bench = Bench::new();
    let number = bench.held("forum");
    let end = bench.item(number).window_end;
    bench.done(number, TeamAct::Snooze { seconds: 48 * 3600 });
    let answer = bench.done(number, TeamAct::Snooze { seconds: 3600 });
    let item = bench.item(number);
    assert_eq!((item.snoozed, item.window_end), (Some(at(48 * 60)), end));
    assert_eq!(answer["until"], json!(at(48 * 60)));
    assert!(answer["hints"][0].as_str().unwrap().contains("snoozed for longer already"));
    bench.refused(number, TeamAct::Snooze { seconds: u64::MAX }, 2, "no end");
    bench.refused(number, TeamAct::Snooze { seconds: 0 }, 1, "later than now");
}

#[test]
fn approving_changes_no_time_and_approving_for_now_sends() {
    let bench = Bench::new();
    let number = bench.held("forum");
    let mut item = bench.item(number);
    item.verdict.verdict = VerdictKind::Ask;
    bench.put(item);
    let (queue, _) = bench.ask(Request::Queue { all: false });
    assert_eq!((&queue[0]["needs_approval"], &queue[0]["until"]), (&json!(true), &Value::Null));
    let approved = bench.done(number, TeamAct::Approve { now: false });
    assert_eq!(approved["needs_approval"], json!(false));
    assert_eq!(approved["until"], approved["window_end"]);
    assert_eq!((&approved["seen_by"], &approved["hints"]), (&json!(["cli:ida"]), &json!([])));
    let now = bench.done(number, TeamAct::Approve { now: true });
    assert_eq!((&now["until"], &now["window_end"]), (&json!(at(0)), &approved["window_end"]));
    assert!(now["hints"][0].as_str().unwrap().contains("no service is running"));
    assert_eq!(crate::life::may_leave(&bench.item(number), "mastodon", at(0)), Ok(()));
}

#[test]
fn approving_for_now_settles_and_words_what_was_settling() {
    let bell = Arc::new(tokio::sync::Notify::new());
    let bench = Bench::with(Some(Arc::clone(&bell)));
    let number = bench.settling("forum");
    let answer = bench.done(number, TeamAct::Approve { now: true });
    assert_eq!((&answer["state"], &answer["hints"]), (&json!("held"), &json!([])));
    assert_eq!(bench.item(number).posts.len(), 2);
    let rung = futures_util::FutureExt::now_or_never(bell.notified());
    assert!(rung.is_some(), "the service is woken, so that it leaves now");
}

#[test]
fn a_veto_is_taken_back_with_grace() {
    let bench = Bench::new();
    let number = bench.held("forum");
    bench.done(number, TeamAct::Veto);
    bench.clock.advance(Duration::from_secs(23 * 3600 + 1800));
    let answer = bench.done(number, TeamAct::Reinstate);
    assert_eq!(bench.states(number), "held: queued queued");
    assert_eq!(answer["window_end"], json!(at(23 * 60 + 30 + 60)));
    bench.refused(number, TeamAct::Reinstate, 1, "is held");
}

#[test]
fn what_was_only_known_goes_on_its_way_with_a_full_window() {
    let bench = Bench::new();
    let mut known =
        life::first_sighting(life::Sight { known: true, ..bench.sight(origin("forum", 1)) }, &bench.rules());
    known.deliveries.clear();
    let number = bench.put(known);
    let answer = bench.done(number, TeamAct::Reinstate);
    assert_eq!(bench.states(number), "held: queued queued");
    assert_eq!(answer["window_end"], json!(at(24 * 60)));
}

#[test]
fn a_retraction_is_recorded_for_the_service() {
    let bench = Bench::new();
    let number = bench.sent("forum");
    let answer = bench.done(number, TeamAct::Retract);
    assert_eq!(bench.states(number), "publishing: retracting retracting");
    assert!(answer["hints"][0].as_str().unwrap().contains("no service is running"));
    assert_eq!(answer["too_late"], json!([]));
    bench.refused(number, edit("mastodon", "x"), 1, "retracting");
}

#[test]
fn an_amendment_is_recorded_for_the_service() {
    let bench = Bench::new();
    let number = bench.sent("forum");
    let amend = |account: Option<&str>, text: Option<&str>| TeamAct::Amend {
        account: account.map(str::to_owned),
        text: text.map(str::to_owned),
    };
    let unchanged = bench.done(number, amend(None, None));
    assert_eq!((&unchanged["changed"], &unchanged["hints"][0]), (&json!(false), &json!("dry-run reads so already")));
    bench.done(number, amend(Some("mastodon"), Some("Better words")));
    let item = bench.item(number);
    assert!(item.deliveries["mastodon"].amend && !item.deliveries["dry-run"].amend);
    let post = &item.posts["mastodon"];
    assert_eq!((post.text.as_str(), post.edited_by.as_deref()), ("Better words", Some("cli:ida")));
    bench.refused(number, amend(Some("dry-run"), Some(&"a".repeat(101))), 1, "allows 100");
    bench.refused(number, amend(Some("nobody"), None), 2, "no account");
    bench.refused(bench.held("forum"), amend(None, None), 1, "out yet");
}

#[test]
fn a_person_says_what_became_of_it() {
    let bench = Bench::new();
    let number = bench.held("forum");
    bench.progress(number, "mastodon", Progress::Unsure { since: at(0) });
    bench.progress(number, "dry-run", Progress::Failed { at: at(0) });
    let url: Url = "https://social.example/@p/115600000000000009".parse().unwrap();
    bench.done(number, TeamAct::ResolveSent { account: "mastodon".into(), url: url.clone() });
    let Progress::Sent { id, url: shown, .. } = &bench.item(number).deliveries["mastodon"].progress else { panic!() };
    assert_eq!((id.as_deref(), shown.as_deref()), (Some("115600000000000009"), Some(url.as_str())));
    let answer = bench.done(number, TeamAct::ResolveNotSent { account: "dry-run".into() });
    assert_eq!(bench.states(number), "publishing: queued sent");
    assert_eq!(answer["deliveries"][1]["url"], json!(url));
    let again = TeamAct::ResolveNotSent { account: "mastodon".into() };
    bench.refused(number, again, 1, "only what is unsure, waiting or failed");
    bench.refused(number, TeamAct::ResolveNotSent { account: "nobody".into() }, 2, "no account");
}

#[test]
fn promise_09_what_is_forgotten_is_nowhere_and_the_chain_still_verifies() {
    let bench = Bench::new();
    let number = bench.held("forum");
    let forget =
        || bench.ask(Request::Forget { items: vec![number.to_string()], reason: "asked by Eve's lawyer".into() });
    let (documents, answer) = forget();
    refused_with(answer, 1, "item 1 is still queued on dry-run");
    assert!(documents.is_empty());
    bench.done(number, edit("mastodon", "Mitwisserin again"));
    bench.done(number, TeamAct::Veto);
    let (documents, answer) = forget();
    assert_eq!((documents[0]["number"].clone(), answer), (json!(number), Ok(())));
    for request in [
        Request::Queue { all: true },
        Request::Show { item: number.to_string() },
        Request::Show { item: "https://forum.example/t/1".into() },
        Request::Log { item: None },
        Request::Export,
    ] {
        let (documents, answer) = bench.ask(request.clone());
        assert_eq!(answer, Ok(()), "{request:?}");
        let text = Value::Array(documents).to_string();
        for word in ["Mitwisserin", "News 1", "Eve Example", "a-topic", "said so"] {
            assert!(!text.contains(word), "`{word}` in {text}");
        }
    }
    assert_eq!(bench.journal(number).last().unwrap(), "cli:ida forget");
    let (verified, answer) = bench.ask(Request::Verify);
    assert_eq!((answer, &verified[0]["verified"]), (Ok(()), &json!(true)));
    has_keys(&verified[0], "verified entries head");
}

#[test]
fn promise_09_why_something_was_forgotten_stays_and_what_is_forgotten_stays_so() {
    let bench = Bench::new();
    let (first, second) = (bench.held("forum"), bench.held("forum"));
    bench.join(first, second).1.unwrap();
    let forget = |number: Number, reason: &str| {
        bench.ask(Request::Forget { items: vec![number.to_string()], reason: reason.to_owned() })
    };
    // Its words are the other's as well.
    let failure = forget(second, "asked by mail").1.unwrap_err();
    assert_eq!(failure.hint.as_deref(), Some("`oyez forget 1` forgets both; `oyez split 2` first, to keep the other"));
    bench.done(first, TeamAct::Veto);
    assert_eq!(forget(first, "asked by mail").0[0]["changed"], true);
    assert_eq!(forget(first, "and once more").0[0]["changed"], false);
    for number in [first, second] {
        let (entries, _) = bench.ask(Request::Log { item: Some(number) });
        let reasons: Vec<_> = entries.iter().filter(|entry| entry["what"] == "forget").map(|e| &e["reason"]).collect();
        assert_eq!(reasons, ["asked by mail"], "{number}");
    }
    for act in [TeamAct::Reinstate, TeamAct::Approve { now: true }, edit("mastodon", "Back again")] {
        bench.refused(first, act, 1, "was forgotten");
    }
    let mirror = Request::Mirror { item: "1".into(), url: "https://a.example/".into(), accept: true, reason: None };
    refused_with(bench.ask(mirror).1, 1, "was forgotten");
}

#[test]
fn what_is_unsure_is_not_forgotten() {
    let bench = Bench::new();
    let number = bench.held("forum");
    bench.progress(number, "mastodon", Progress::Unsure { since: at(0) });
    bench.done(number, TeamAct::Veto);
    let (_, answer) = bench.ask(Request::Forget { items: vec!["1".into()], reason: "asked".into() });
    let failure = answer.unwrap_err();
    assert_eq!((failure.code, failure.hint.as_deref()), (1, Some("`oyez resolve 1 --account mastodon` first")));
}

#[test]
fn promise_09_two_acts_at_once_are_both_recorded() {
    let bench = Bench::new();
    let number = bench.held("forum");
    let people = ["ida", "jon", "kim", "lea"];
    std::thread::scope(|scope| {
        for person in people {
            let desk = &bench.desk;
            scope.spawn(move || {
                for round in 0..5 {
                    let account = if round % 2 == 0 { "mastodon" } else { "dry-run" };
                    let act = TeamAct::Edit { account: account.into(), text: format!("{person} {round}") };
                    let request = Request::Act { items: vec![number.to_string()], act, reason: None };
                    desk.execute(&format!("web:{person}"), request, &mut |_| Ok(())).unwrap();
                }
            });
        }
    });
    let journal = bench.journal(number);
    for person in people {
        assert_eq!(journal.iter().filter(|line| **line == format!("web:{person} edit")).count(), 5, "{person}");
    }
    // No update is lost: each account reads as the last edit that the journal has for it.
    let entries = bench.store.journal_of(number).unwrap();
    for account in ["mastodon", "dry-run"] {
        let last = entries.iter().rev().find(|entry| entry.detail()["account"] == account).unwrap();
        assert_eq!(Some(bench.item(number).posts[account].text.as_str()), last.text());
    }
    let revs: Vec<_> = entries.iter().filter_map(|entry| entry.entry.rev).collect();
    assert!(revs.is_sorted_by(|a, b| a < b), "each act stands on the one before: {revs:?}");
}

#[test]
fn promise_02_a_veto_beside_other_acts_is_final() {
    for _ in 0..10 {
        let bench = Bench::new();
        let number = bench.held("forum");
        std::thread::scope(|scope| {
            for act in [TeamAct::Veto, TeamAct::Approve { now: true }, TeamAct::Snooze { seconds: 60 }] {
                let desk = &bench.desk;
                scope.spawn(move || {
                    let request = Request::Act { items: vec![number.to_string()], act, reason: None };
                    // Who comes after the veto is refused; the veto itself never is.
                    let veto = matches!(&request, Request::Act { act: TeamAct::Veto, .. });
                    let answer = desk.execute("web:ida", request, &mut |_| Ok(()));
                    assert!(!veto || answer.is_ok());
                });
            }
        });
        assert_eq!(bench.states(number), "vetoed: cancelled cancelled");
        assert!(bench.item(number).deliveries.values().all(|delivery| !delivery.now));
    }
}

// What is shown.

#[test]
fn the_queue_shows_first_what_leaves_first() {
    let bench = Bench::new();
    let late = bench.held("forum");
    bench.done(late, TeamAct::Snooze { seconds: 90 * 3600 });
    let asks = bench.held("forum");
    let mut item = bench.item(asks);
    item.ask = Some("old news".into());
    bench.put(item);
    let soon = bench.held("forum");
    let failed = bench.sent("forum");
    bench.progress(failed, "mastodon", Progress::Failed { at: at(0) });
    let vetoed = bench.held("forum");
    bench.done(vetoed, TeamAct::Veto);
    let (queue, answer) = bench.ask(Request::Queue { all: false });
    let numbers: Vec<_> = queue.iter().map(|item| item["number"].as_u64().unwrap()).collect();
    assert_eq!((numbers, answer), (vec![soon, late, asks, failed], Ok(())));
    assert_eq!((&queue[3]["state"], &queue[3]["attention"]), (&json!("done"), &json!(true)));
    let (all, _) = bench.ask(Request::Queue { all: true });
    let numbers: Vec<_> = all.iter().map(|item| item["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
}

#[test]
fn documents_have_the_fields_scripts_rely_on() {
    let bench = Bench::new();
    let number = bench.held("forum");
    let queue = "number kind title url state window_end until needs_approval attention seen_by origins deliveries";
    let (documents, _) = bench.ask(Request::Queue { all: false });
    has_keys(&documents[0], queue);
    has_keys(&documents[0]["deliveries"][0], "account state not_before attempts url error");
    assert_eq!(documents[0]["origins"], json!(["forum"]));
    assert_eq!(documents[0]["window_end"], json!("2026-11-19T11:36:40Z"), "RFC 3339 in UTC");
    let (documents, _) = bench.ask(Request::Show { item: number.to_string() });
    let shown = &documents[0];
    has_keys(shown, queue);
    has_keys(shown, "item posts links journal");
    has_keys(&shown["item"], "kind source_key title url author published text images tags links");
    has_keys(&shown["posts"][0], "account platform text length limit fits media card warnings");
    assert_eq!((&shown["posts"][0]["account"], &shown["posts"][0]["platform"]), (&json!("dry-run"), &json!("file")));
    for (link, refused) in [(&shown["links"][0], false), (&shown["links"][1], true)] {
        has_keys(link, "input output refused steps");
        assert_eq!((link["output"].is_null(), link["refused"].is_null()), (refused, !refused), "{link}");
    }
    has_keys(&shown["journal"][0], "seq at item actor what reason");
    let vetoed = bench.done(number, TeamAct::Veto);
    has_keys(&vetoed, queue);
    has_keys(&vetoed, "too_late changed hints");
    assert!(bench.done(bench.held("forum"), TeamAct::Approve { now: false }).get("too_late").is_none());
}

// Two items that are one thing.

#[test]
fn promise_06_two_held_items_become_one() {
    let bench = Bench::new();
    let (low, high) = (bench.held("forum"), bench.held("blog"));
    let before = bench.item(low);
    let (documents, answer) = bench.join(low, high);
    assert_eq!(answer, Ok(()));
    let [kept, gone] = documents.as_slice() else { panic!("{documents:?}") };
    assert_eq!((&kept["number"], &kept["state"], &kept["of"]), (&json!(low), &json!("held"), &Value::Null));
    assert_eq!((&gone["number"], &gone["state"], &gone["of"]), (&json!(high), &json!("duplicate"), &json!(low)));
    assert_eq!(kept["origins"], json!(["blog", "forum"]), "in the order of the configuration");
    assert_eq!(kept["title"], json!("News 2 of the blog"), "the title is the first origin's");
    for document in &documents {
        has_keys(document, "number kind title url state window_end until needs_approval attention seen_by origins");
        has_keys(document, "deliveries changed hints");
        assert_eq!((&document["changed"], &document["hints"]), (&json!(true), &json!([])));
    }
    let item = bench.item(low);
    assert_eq!(item.posts, before.posts, "the text the team saw is the text that leaves");
    assert_eq!(item.window_end, before.window_end);
    assert_eq!(bench.states(high), "duplicate: cancelled cancelled");
    for number in [low, high] {
        let joined = bench.store.journal_of(number).unwrap().into_iter().find(|e| e.entry.what == "join").unwrap();
        let with = if number == low { high } else { low };
        assert_eq!((joined.actor(), joined.reason()), ("cli:ida", Some("one thing")));
        assert_eq!((&joined.detail()["with"], joined.entry.rev), (&json!(with), Some(bench.item(number).rev)));
    }
    assert_eq!(bench.desk.several(&["https://blog.example/t/2".into()]), Ok(vec![low]));
    bench.refused(high, TeamAct::Approve { now: true }, 1, "item 2 is the same as 1");
    assert!(bench.store.verify().is_ok());
}

#[test]
fn the_order_in_which_they_are_named_does_not_matter() {
    let bench = Bench::new();
    let (low, high) = (bench.held("blog"), bench.held("forum"));
    assert_eq!(bench.join(high, low).1, Ok(()));
    assert_eq!(bench.item(high).phase, Phase::Duplicate { of: low });
    assert_eq!(bench.item(low).found().key, origin("blog", low).found.key);
}

#[test]
fn promise_06_joining_undoes_no_decision() {
    for vetoed in [1, 2] {
        let bench = Bench::new();
        bench.held("forum");
        bench.held("blog");
        bench.done(vetoed, TeamAct::Veto);
        let (documents, answer) = bench.join(1, 2);
        assert_eq!(answer, Ok(()));
        assert_eq!(bench.states(1), "vetoed: cancelled cancelled");
        assert_eq!(documents[0]["until"], Value::Null);
        let told = documents[0]["hints"].to_string().contains("item 1 is vetoed, and stays so");
        assert_eq!(told, vetoed == 1);
    }
}

#[test]
fn promise_06_joining_with_what_is_out_makes_nothing_due_again() {
    let bench = Bench::new();
    let (low, high) = (bench.held("forum"), bench.held("blog"));
    bench.progress(high, "mastodon", sent());
    let (documents, answer) = bench.join(low, high);
    assert_eq!(answer, Ok(()));
    assert_eq!(bench.states(low), "held: queued cancelled");
    assert!(documents[0]["hints"][0].as_str().unwrap().contains("sent on mastodon as item 2"));
    let (out, waiting) = (bench.sent("forum"), bench.held("blog"));
    let (documents, answer) = bench.join(out, waiting);
    assert_eq!(answer, Ok(()));
    assert_eq!(
        (bench.states(out).as_str(), bench.states(waiting).as_str()),
        ("done: sent sent", "duplicate: cancelled cancelled")
    );
    assert_eq!(documents[0]["until"], Value::Null);
    // What is out under the higher number can still be taken back.
    bench.done(high, TeamAct::Retract);
    assert_eq!(bench.states(high), "duplicate: cancelled retracting");
}

#[test]
fn joining_and_splitting_are_refused_where_they_make_no_sense() {
    let bench = Bench::new();
    let (a, b, c) = (bench.held("forum"), bench.held("blog"), bench.held("forum"));
    refused_with(bench.join(a, a).1, 2, "both name item 1");
    refused_with(bench.join(a, 9).1, 3, "no item 9");
    let ask = |item: &str| bench.ask(Request::Join { item: item.into(), other: "1".into(), reason: None }).1;
    refused_with(ask("x"), 2, "`x` names no item");
    refused_with(ask("2-3"), 2, "one item");
    refused_with(bench.split(a).1, 1, "item 1 is no duplicate");
    refused_with(bench.split(9).1, 3, "no item 9");
    assert_eq!(bench.join(a, b).1, Ok(()));
    refused_with(bench.join(b, c).1, 1, "item 2 is the same as 1");
    let failure = bench.split(a).1.unwrap_err();
    assert_eq!(failure.hint.as_deref(), Some("its duplicates: `oyez split 2`"));
    assert!(bench.store.verify().is_ok());
}

#[test]
fn a_split_item_stands_for_itself_and_waits_for_a_person() {
    let bench = Bench::new();
    let (low, high) = (bench.held("forum"), bench.held("blog"));
    bench.join(low, high).1.unwrap();
    let (documents, answer) = bench.split(high);
    assert_eq!(answer, Ok(()));
    assert_eq!((&documents[0]["number"], &documents[1]["number"]), (&json!(low), &json!(high)));
    assert_eq!((&documents[0]["origins"], &documents[1]["origins"]), (&json!(["forum"]), &json!(["blog"])));
    assert_eq!((&documents[1]["state"], &documents[1]["until"]), (&json!("known"), &Value::Null));
    assert!(documents[1]["hints"][0].as_str().unwrap().contains("`oyez reinstate 2`"));
    assert_eq!(bench.states(low), "held: queued queued");
    assert_eq!(bench.desk.several(&["https://blog.example/t/2".into()]), Ok(vec![high]));
    assert!(bench.journal(low).contains(&"cli:ida split".to_owned()));
    assert!(bench.journal(high).contains(&"cli:ida split".to_owned()));
    bench.done(high, TeamAct::Reinstate);
    assert_eq!(bench.states(high), "held: queued queued");
}

#[test]
fn duplicates_hang_in_no_chain() {
    let bench = Bench::new();
    let (a, b, c) = (bench.held("forum"), bench.held("blog"), bench.held("forum"));
    bench.join(b, c).1.unwrap();
    bench.join(a, b).1.unwrap();
    assert_eq!(bench.item(c).phase, Phase::Duplicate { of: a });
    assert_eq!(bench.item(a).origins.len(), 3);
    // What had come with it goes with it, and can then be told apart as well.
    bench.split(b).1.unwrap();
    assert_eq!(bench.item(c).phase, Phase::Duplicate { of: b });
    assert_eq!((bench.item(a).origins.len(), bench.item(b).origins.len()), (1, 2));
    bench.split(c).1.unwrap();
    for number in [a, b, c] {
        let item = bench.item(number);
        assert_eq!(item.origins.len(), 1, "{number}");
        assert_ne!(item.state(), State::Duplicate);
        assert_eq!(bench.store.by_key(&item.found().key).unwrap(), Some(number));
    }
}

#[test]
fn a_settling_item_is_worded_from_the_first_origin() {
    let bench = Bench::new();
    let (low, high) = (bench.settling("forum"), bench.settling("blog"));
    bench.join(low, high).1.unwrap();
    bench.clock.advance(Duration::from_secs(3600));
    let item = bench.item(low);
    let posts = bench.desk.all_worded(&item, &mut Vec::new()).unwrap();
    let settled = life::happen(&item, Event::Settle { posts }, &bench.rules()).unwrap().item;
    let post: &Post = &settled.posts["mastodon"];
    assert!(post.text.contains("News 2 of the blog"), "{}", post.text);
}
