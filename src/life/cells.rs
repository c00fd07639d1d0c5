//! One test per cell of the table in `lifecycle.md` section 2, and of what the table says in words below it.
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::*;
use crate::item::{Approval, Gone, Visibility};

pub(super) const MINUTE: i64 = 60;

/// `minutes` after the tests' first moment.
pub(super) fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_793_000_000 + minutes * MINUTE).unwrap()
}

static ZONE: TimeZone = TimeZone::UTC;

/// Window 24 h, settle 30 min, grace 1 h, no quiet hours.
pub(super) fn settings() -> HoldSettings {
    let hour = Duration::from_secs(3600);
    HoldSettings {
        window: 24 * hour,
        settle: hour / 2,
        settle_at_most: 3 * hour,
        grace: hour,
        quiet_hours: Vec::new(),
        spacing: Duration::ZERO,
        at_most: None,
        priority: 0,
        ask_expires: 7 * 24 * hour,
        stale: Some(5 * 24 * hour),
    }
}

pub(super) fn rules(hold: &HoldSettings, minutes: i64) -> Rules<'_> {
    Rules {
        now: at(minutes),
        hold,
        zone: &ZONE,
        give_up: Duration::from_secs(2 * 24 * 3600),
        patience: Patience::default(),
    }
}

pub(super) fn post(text: &str) -> Post {
    Post { text: text.to_owned(), length: text.len(), limit: 500, ..Post::default() }
}

pub(super) fn origin() -> Origin {
    Origin {
        source: "news".into(),
        contact: "discourse:forum.example/c/8".into(),
        first_seen: at(0),
        found: Found { key: "discourse:forum.example/t/1".into(), title: "News".into(), ..Found::default() },
        gone: None,
    }
}

pub(super) const ACCOUNTS: [&str; 3] = ["a", "b", "c"];

fn progress(letter: char) -> Progress {
    match letter {
        'q' => Progress::Queued,
        'g' => Progress::Sending { since: at(1000) },
        'w' => Progress::Waiting { since: at(1000) },
        's' => Progress::Sent { at: at(1000), id: Some("1".into()), url: Some("https://social.example/1".into()) },
        'u' => Progress::Unsure { since: at(1000) },
        'f' => Progress::Failed { at: at(1000) },
        'c' => Progress::Cancelled,
        'r' => Progress::Retracting { since: at(1000), sent_at: at(900), id: Some("1".into()), url: None },
        'x' => Progress::Retracted { at: at(1000) },
        other => panic!("no delivery state `{other}`"),
    }
}

/// The letter of a delivery in the tables below.
pub(super) fn letter(progress: &Progress) -> char {
    match progress {
        Progress::Queued => 'q',
        Progress::Sending { .. } => 'g',
        Progress::Waiting { .. } => 'w',
        Progress::Sent { .. } => 's',
        Progress::Unsure { .. } => 'u',
        Progress::Failed { .. } => 'f',
        Progress::Cancelled => 'c',
        Progress::Retracting { .. } => 'r',
        Progress::Retracted { .. } => 'x',
    }
}

/// `held qqq`: the item's state and those of its deliveries on a, b and c.
pub(super) fn shown(item: &Item) -> String {
    let letters: String = item.deliveries.values().map(|delivery| letter(&delivery.progress)).collect();
    format!("{} {letters}", item.state().name())
}

pub(super) fn item(state: &str, letters: &str) -> Item {
    let phase = match state {
        "known" => Phase::Known,
        "settling" => Phase::Settling,
        "held" | "publishing" | "done" => Phase::Held,
        "vetoed" => Phase::Vetoed { by: "web:bob".into(), at: at(50) },
        "ignored" => Phase::Ignored,
        "expired" => Phase::Expired,
        "withdrawn" => Phase::Withdrawn { at: at(50) },
        "duplicate" => Phase::Duplicate { of: 7 },
        other => panic!("no state `{other}`"),
    };
    let mut origin = origin();
    if state == "withdrawn" {
        origin.gone = Some(Gone { at: at(50), why: "deleted".into() });
    }
    let fresh = matches!(state, "known" | "ignored");
    let window_end = (!fresh).then(|| at(30 + 24 * 60));
    let ignored = state == "ignored";
    Item {
        number: 42,
        kind: "announcement".into(),
        phase,
        origins: vec![origin],
        first_seen: at(0),
        last_change: at(0),
        verdict: Verdict {
            verdict: if ignored { VerdictKind::Ignore } else { VerdictKind::Hold },
            ..Verdict::default()
        },
        settled: (!fresh).then(|| at(30)),
        window_end,
        first_window_end: window_end,
        posts: ACCOUNTS.iter().map(|name| ((*name).to_owned(), post("old"))).collect(),
        deliveries: ACCOUNTS
            .iter()
            .zip(letters.chars())
            .map(|(name, letter)| {
                let sent_text = (!matches!(letter, 'q' | 'c')).then(|| "old".to_owned());
                ((*name).to_owned(), Delivery { progress: progress(letter), sent_text, ..Delivery::default() })
            })
            .collect(),
        ..Item::default()
    }
}

/// The columns, each with three deliveries that make it what it is.
const COLUMNS: [(&str, &str); 10] = [
    ("settling", "qqq"),
    ("held", "qqq"),
    ("publishing", "squ"),
    ("done", "sfc"),
    ("vetoed", "scu"),
    ("known", "qqq"),
    ("ignored", "qqq"),
    ("expired", "ccc"),
    ("withdrawn", "scu"),
    ("duplicate", "qqq"),
];

/// Checks a row: `want` has one line a column, `-` where it is refused.
#[track_caller]
fn row(move_it: impl Fn(&Item, &Rules<'_>) -> Result<Applied, Refused>, want: [&str; 10]) {
    let hold = settings();
    for ((state, letters), want) in COLUMNS.into_iter().zip(want) {
        let before = item(state, letters);
        assert_eq!(shown(&before), format!("{state} {letters}"), "the fixture");
        let got = match move_it(&before, &rules(&hold, 600)) {
            Ok(applied) => {
                assert_eq!(applied.changed, applied.item != before, "{state}: says truly whether it changed");
                assert!(applied.item.window_end >= before.window_end, "{state}: the window got shorter");
                shown(&applied.item)
            }
            Err(refused) => {
                assert!(refused.why.contains("42"), "{state}: `{}` names no item", refused.why);
                "-".to_owned()
            }
        };
        assert_eq!(got, want, "in column {state}");
    }
}

fn acts(done: Act) -> impl Fn(&Item, &Rules<'_>) -> Result<Applied, Refused> {
    move |item, rules| act(item, &done, "web:alice", rules)
}

fn b() -> String {
    "b".to_owned()
}

fn c() -> String {
    "c".to_owned()
}

#[test]
fn veto() {
    let same = "vetoed scu";
    row(acts(Act::Veto), ["vetoed ccc", "vetoed ccc", "vetoed scu", "-", same, "-", "-", "-", "-", "-"]);
}

#[test]
fn skip() {
    row(
        acts(Act::Skip { account: b() }),
        ["settling qcq", "held qcq", "publishing scu", "-", "-", "-", "-", "-", "-", "-"],
    );
}

#[test]
fn approve() {
    row(acts(Act::Approve), ["settling qqq", "held qqq", "-", "-", "-", "-", "-", "-", "-", "-"]);
}

#[test]
fn approve_now() {
    let now = Act::ApproveNow { posts: BTreeMap::new() };
    row(acts(now), ["held qqq", "held qqq", "publishing squ", "-", "-", "-", "-", "-", "-", "-"]);
}

#[test]
fn snooze() {
    let snooze = Act::Snooze { until: at(9999) };
    row(acts(snooze), ["settling qqq", "held qqq", "publishing squ", "-", "-", "-", "-", "-", "-", "-"]);
}

#[test]
fn edit() {
    let edit = Act::Edit { account: b(), post: post("new") };
    row(acts(edit), ["settling qqq", "held qqq", "publishing squ", "-", "vetoed scu", "-", "-", "-", "-", "-"]);
    let reset = Act::Reset { account: b(), post: post("new") };
    row(acts(reset), ["settling qqq", "held qqq", "publishing squ", "-", "vetoed scu", "-", "-", "-", "-", "-"]);
    // What is out is amended, what may be out keeps its text.
    for account in ["a", "c"] {
        let edit = Act::Edit { account: account.into(), post: post("new") };
        row(acts(edit), ["settling qqq", "held qqq", "-", "-", "-", "-", "-", "-", "-", "-"]);
    }
}

#[test]
fn amend() {
    let amend = Act::Amend { posts: [("a".to_owned(), post("new"))].into() };
    row(acts(amend), ["-", "-", "publishing squ", "done sfc", "vetoed scu", "-", "-", "-", "-", "-"]);
}

#[test]
fn reinstate() {
    row(
        acts(Act::Reinstate { posts: BTreeMap::new() }),
        ["-", "-", "-", "-", "publishing squ", "held qqq", "held qqq", "held qqq", "-", "-"],
    );
}

#[test]
fn retract() {
    // A done item with a deletion under way is not at its end: it shows as publishing until the service did it.
    row(
        acts(Act::Retract),
        ["vetoed ccc", "vetoed ccc", "vetoed rcu", "publishing rfc", "vetoed rcu", "-", "-", "-", "withdrawn rcu", "-"],
    );
}

#[test]
fn resolve() {
    let url = || "https://social.example/9".to_owned();
    row(
        acts(Act::ResolveSent { account: c(), url: url(), id: None }),
        ["-", "-", "publishing sqs", "-", "vetoed scs", "-", "-", "-", "withdrawn scs", "-"],
    );
    row(
        acts(Act::ResolveNotSent { account: c() }),
        ["-", "-", "publishing sqq", "-", "vetoed scc", "-", "-", "-", "withdrawn scc", "-"],
    );
    row(
        acts(Act::ResolveSent { account: b(), url: url(), id: None }),
        ["-", "-", "-", "done ssc", "-", "-", "-", "-", "-", "-"],
    );
    row(acts(Act::ResolveNotSent { account: b() }), ["-", "-", "-", "publishing sqc", "-", "-", "-", "-", "-", "-"]);
}

#[test]
fn seen() {
    let same = COLUMNS.map(|(state, letters)| format!("{state} {letters}"));
    row(acts(Act::Seen), same.each_ref().map(String::as_str));
}

fn changes(verdict: VerdictKind) -> impl Fn(&Item, &Rules<'_>) -> Result<Applied, Refused> {
    move |item, rules| {
        let event = Event::Changed {
            origin: 0,
            found: Box::new(Found { title: "Newer".into(), ..Found::default() }),
            posts: ACCOUNTS.iter().map(|name| ((*name).to_owned(), post("new"))).collect(),
            verdict: Verdict { verdict, ..Verdict::default() },
            at: rules.now,
        };
        happen(item, event, rules)
    }
}

#[test]
fn the_author_changed_it() {
    row(
        changes(VerdictKind::Hold),
        [
            "settling qqq",
            "held qqq",
            "publishing squ",
            "done sfc",
            "vetoed scu",
            "known qqq",
            "held qqq",
            "expired ccc",
            "withdrawn scu",
            "duplicate qqq",
        ],
    );
    row(
        changes(VerdictKind::Ignore),
        [
            "ignored ccc",
            "ignored ccc",
            "ignored scu",
            "done sfc",
            "vetoed scu",
            "known qqq",
            "ignored qqq",
            "expired ccc",
            "withdrawn scu",
            "duplicate qqq",
        ],
    );
}

#[test]
fn gone_at_the_source() {
    row(
        |item, rules| happen(item, Event::GoneAt { origin: 0, why: "deleted".into() }, rules),
        [
            "withdrawn ccc",
            "withdrawn ccc",
            "withdrawn scu",
            "done sfc",
            "withdrawn scu",
            "withdrawn ccc",
            "withdrawn ccc",
            "withdrawn ccc",
            "withdrawn scu",
            "duplicate qqq",
        ],
    );
}

#[test]
fn a_claim() {
    row(
        |item, rules| {
            let rules = Rules { now: at(5000), ..*rules };
            happen(item, Event::Claimed { account: b(), key: "k".into() }, &rules)
        },
        ["-", "publishing qgq", "publishing sgu", "-", "-", "-", "-", "-", "-", "-"],
    );
}

#[track_caller]
fn acted(item: &Item, done: Act, minutes: i64) -> Applied {
    act(item, &done, "web:alice", &rules(&settings(), minutes)).expect("allowed")
}

#[track_caller]
fn refused(item: &Item, done: Act) -> Refused {
    act(item, &done, "web:alice", &rules(&settings(), 600)).expect_err("refused")
}

#[track_caller]
fn happened(item: &Item, event: Event, minutes: i64) -> Applied {
    happen(item, event, &rules(&settings(), minutes)).expect("possible")
}

fn claim(account: &str) -> Event {
    Event::Claimed { account: account.into(), key: format!("key-{account}") }
}

fn answer(account: &str, error: SendError) -> Event {
    Event::Outcome { account: account.into(), result: Err(error), jitter: 0.0 }
}

fn published() -> Published {
    Published { id: Some("9".into()), url: Some("https://social.example/9".into()), warnings: Vec::new() }
}

const READY: i64 = 30 + 24 * 60;

#[test]
fn promise_02_a_veto_names_what_it_came_too_late_for() {
    let applied = acted(&item("publishing", "sgu"), Act::Veto, 600);
    let late: Vec<_> = applied.too_late.iter().map(|late| format!("{} {}", late.account, late.state)).collect();
    assert_eq!(late, ["a sent", "b sending", "c unsure"]);
    assert_eq!(applied.too_late[0].url.as_deref(), Some("https://social.example/1"));
}

#[test]
fn a_refusal_offers_the_way_out() {
    assert_eq!(
        refused(&item("done", "sss"), Act::Veto),
        Refused::new("item 42 is already out").hint("`oyez retract 42` deletes it")
    );
    let hint = refused(&item("vetoed", "ccc"), Act::Approve).hint.unwrap();
    assert!(hint.contains("oyez reinstate 42"), "{hint}");
    let hint = refused(&item("publishing", "sqq"), Act::Edit { account: "a".into(), post: post("new") }).hint.unwrap();
    assert!(hint.contains("oyez amend 42"), "{hint}");
}

#[test]
fn skipping_the_last_one_is_a_veto() {
    let once = acted(&item("held", "qcc"), Act::Skip { account: "a".into() }, 600).item;
    assert_eq!(shown(&once), "vetoed ccc");
    let half = acted(&item("publishing", "sqc"), Act::Skip { account: b() }, 600);
    assert_eq!(shown(&half.item), "vetoed scc");
    assert_eq!(half.too_late.len(), 1);
    // The one that is being sent may yet have to be sent again.
    let busy = acted(&item("publishing", "gqc"), Act::Skip { account: b() }, 600).item;
    assert_eq!(shown(&busy), "publishing gcc");
}

#[test]
fn approve_changes_no_time_and_satisfies_an_ask() {
    let mut asks = item("held", "qqq");
    asks.verdict.verdict = VerdictKind::Ask;
    assert_eq!(may_leave(&asks, "a", at(READY)), Err(WhyNot::NeedsApproval));
    let approved = acted(&asks, Act::Approve, 600).item;
    assert_eq!(approved.window_end, asks.window_end);
    assert_eq!(approved.seen_by, ["web:alice"]);
    assert_eq!(may_leave(&approved, "a", at(READY - 1)), Err(WhyNot::NotBefore(at(READY))));
    assert_eq!(may_leave(&approved, "a", at(READY)), Ok(()));
}

#[test]
fn approve_now_passes_settle_window_and_snooze() {
    for state in ["settling", "held"] {
        let snoozed = acted(&item(state, "qqq"), Act::Snooze { until: at(9000) }, 5).item;
        let out = acted(&snoozed, Act::ApproveNow { posts: BTreeMap::new() }, 10).item;
        assert_eq!(may_leave(&out, "a", at(10)), Ok(()), "{state}");
        assert_eq!(out.window_end, Some(at(READY)), "the promise itself does not move");
    }
}

#[test]
fn approve_now_before_there_are_posts_settles_at_once() {
    let mut bare = item("settling", "qqq");
    bare.posts.clear();
    let approved = acted(&bare, Act::ApproveNow { posts: BTreeMap::new() }, 10).item;
    assert_eq!(shown(&approved), "settling qqq");
    let posts = ACCOUNTS.iter().map(|name| ((*name).to_owned(), post("text"))).collect();
    let settled = happened(&approved, Event::Settle { posts }, 10).item;
    assert_eq!(may_leave(&settled, "a", at(10)), Ok(()));
}

#[test]
fn a_snooze_never_ends_earlier_than_before_and_takes_back_now() {
    let now = acted(&item("held", "qqq"), Act::ApproveNow { posts: BTreeMap::new() }, 10).item;
    let long = acted(&now, Act::Snooze { until: at(9000) }, 10).item;
    let short = acted(&long, Act::Snooze { until: at(5000) }, 10).item;
    assert_eq!(short.snoozed, Some(at(9000)));
    assert_eq!(may_leave(&short, "a", at(8999)), Err(WhyNot::NotBefore(at(9000))));
    refused(&item("held", "qqq"), Act::Snooze { until: at(599) });
}

#[test]
fn an_edit_moves_no_time_and_needs_a_new_key() {
    let mut retried = item("held", "qqq");
    let delivery = retried.deliveries.get_mut("b").unwrap();
    (delivery.key, delivery.key_since) = (Some("k".into()), Some(at(1)));
    let same = acted(&retried, Act::Edit { account: b(), post: post("old") }, 600).item;
    assert_eq!(same.deliveries["b"].key.as_deref(), Some("k"), "the same text keeps its key");
    let edited = acted(&retried, Act::Edit { account: b(), post: post("new") }, 600).item;
    assert_eq!((edited.window_end, edited.deliveries["b"].key.clone()), (retried.window_end, None));
    assert_eq!(edited.posts["b"].edited_by.as_deref(), Some("web:alice"));
    let reset = acted(&edited, Act::Reset { account: b(), post: post("old") }, 600).item;
    assert_eq!(reset.posts["b"], post("old"));
}

#[test]
fn a_reinstated_item_has_the_rest_of_its_window_or_grace() {
    let reinstate = || Act::Reinstate { posts: BTreeMap::new() };
    let early = acted(&item("vetoed", "ccc"), reinstate(), 600).item;
    assert_eq!((shown(&early).as_str(), early.window_end), ("held qqq", Some(at(READY))));
    let late = acted(&item("vetoed", "scc"), reinstate(), READY - 5).item;
    assert_eq!((shown(&late).as_str(), late.window_end), ("publishing sqq", Some(at(READY - 5 + 60))));
    let known = acted(&item("known", "qqq"), reinstate(), 600).item;
    assert_eq!((known.window_end, known.first_window_end), (Some(at(600 + 1440)), Some(at(600 + 1440))));
}

#[test]
fn a_reinstated_item_without_posts_is_worded_first() {
    let mut bare = item("known", "qqq");
    bare.posts.clear();
    assert_eq!(shown(&acted(&bare, Act::Reinstate { posts: BTreeMap::new() }, 600).item), "settling qqq");
    let posts = ACCOUNTS.iter().map(|name| ((*name).to_owned(), post("text"))).collect();
    bare.deliveries.clear();
    assert_eq!(shown(&acted(&bare, Act::Reinstate { posts }, 600).item), "held qqq");
    let hint = refused(&bare, Act::Reinstate { posts: BTreeMap::new() });
    assert_eq!(hint.why, "no account takes item 42");
}

#[test]
fn a_change_gives_grace_and_ends_the_approval() {
    let approved = acted(&item("held", "qqq"), Act::ApproveNow { posts: BTreeMap::new() }, 600).item;
    let hold = settings();
    let changed = changes(VerdictKind::Hold)(&approved, &rules(&hold, READY + 100)).unwrap();
    assert!(changed.notes.iter().any(|note| note.what == "approval-lapsed"));
    assert_eq!(changed.item.window_end, Some(at(READY + 160)));
    assert_eq!(changed.item.posts["a"].text, "new");
    assert_eq!(may_leave(&changed.item, "a", at(READY + 159)), Err(WhyNot::NotBefore(at(READY + 160))));
}

#[test]
fn a_change_while_settling_moves_the_settling() {
    let hold = settings();
    let changed = changes(VerdictKind::Hold)(&item("settling", "qqq"), &rules(&hold, 20)).unwrap().item;
    assert_eq!((changed.settled, changed.window_end), (Some(at(50)), Some(at(50 + 1440))));
    // 3.1: whatever the author does, three hours after first sight.
    let busy = changes(VerdictKind::Hold)(&changed, &rules(&hold, 175)).unwrap().item;
    assert_eq!(busy.settled, Some(at(180)));
    assert!(happen(&busy, Event::Settle { posts: BTreeMap::new() }, &rules(&hold, 179)).is_err());
    let held = happened(&busy, Event::Settle { posts: BTreeMap::new() }, 180).item;
    assert_eq!((shown(&held).as_str(), held.window_end), ("held qqq", Some(at(180 + 1440))));
}

#[test]
fn a_changed_item_under_a_teams_edit_asks() {
    let edited = acted(&item("held", "qqq"), Act::Edit { account: b(), post: post("ours") }, 600).item;
    let hold = settings();
    let changed = changes(VerdictKind::Hold)(&edited, &rules(&hold, 600)).unwrap().item;
    assert_eq!((changed.posts["a"].text.as_str(), changed.posts["b"].text.as_str()), ("new", "ours"));
    // 3.1 counts from the change, three hours after first sight at most; the window starts then.
    assert_eq!(may_leave(&changed, "a", at(180 + 1440)), Ok(()));
    assert_eq!(may_leave(&changed, "b", at(180 + 1440)), Err(WhyNot::Outdated));
    for choice in [
        Act::Approve,
        Act::Edit { account: b(), post: post("ours, newer") },
        Act::Reset { account: b(), post: post("new") },
    ] {
        assert_eq!(may_leave(&acted(&changed, choice, 601).item, "b", at(180 + 1440)), Ok(()));
    }
}

#[test]
fn a_change_after_it_went_out_raises_an_alarm() {
    let hold = settings();
    for (state, letters) in [("publishing", "sqq"), ("done", "sfc"), ("vetoed", "scc")] {
        let changed = changes(VerdictKind::Hold)(&item(state, letters), &rules(&hold, 600)).unwrap().item;
        assert_eq!(changed.alarms.len(), 1, "{state}");
        assert_eq!(changed.posts["a"].text, "old", "what is out is told as it is");
    }
}

#[test]
fn a_verdict_becomes_stricter_by_itself_never_looser() {
    let hold = settings();
    let asks = changes(VerdictKind::Ask)(&item("held", "qqq"), &rules(&hold, 600)).unwrap().item;
    assert!(asks.needs_approval());
    let again = changes(VerdictKind::Hold)(&asks, &rules(&hold, 601)).unwrap().item;
    assert!(again.needs_approval());
    // What the policy ignored comes to the desk when its author mends it, but waits for a person.
    let mended = changes(VerdictKind::Hold)(&item("ignored", "qqq"), &rules(&hold, 600)).unwrap().item;
    assert_eq!((shown(&mended).as_str(), mended.window_end), ("held qqq", Some(at(600 + 1440))));
    assert!(mended.needs_approval());
    // Whom a person reinstated is not ignored again by the rule they overruled.
    let overruled = acted(&item("ignored", "qqq"), Act::Reinstate { posts: BTreeMap::new() }, 600).item;
    let still = changes(VerdictKind::Ignore)(&overruled, &rules(&hold, 601)).unwrap().item;
    assert_eq!(shown(&still), "held qqq");
}

#[test]
fn promise_10_gone_only_when_gone_everywhere_and_back_only_by_a_person() {
    let mut two = item("held", "qqq");
    two.origins.push(origin());
    let half = happened(&two, Event::GoneAt { origin: 0, why: "unlisted".into() }, 600).item;
    assert_eq!(shown(&half), "held qqq");
    let gone = happened(&half, Event::GoneAt { origin: 1, why: "deleted".into() }, 601).item;
    assert_eq!(shown(&gone), "withdrawn ccc");
    let found = Box::new(Found { visibility: Visibility::Public, ..Found::default() });
    let back = happened(&gone, Event::BackAt { origin: 0, found }, 602).item;
    assert_eq!((shown(&back).as_str(), back.alarms.len()), ("withdrawn ccc", 1));
    let again = acted(&back, Act::Reinstate { posts: BTreeMap::new() }, 603).item;
    assert_eq!(shown(&again), "held qqq");
}

#[test]
fn what_never_was_on_the_desk_goes_back_to_what_it_was() {
    for state in ["known", "ignored"] {
        let gone = happened(&item(state, "qqq"), Event::GoneAt { origin: 0, why: "unlisted".into() }, 600).item;
        let back = happened(&gone, Event::BackAt { origin: 0, found: Box::default() }, 601).item;
        assert_eq!((back.state().name(), back.alarms.len()), (state, 0));
    }
}

#[test]
fn an_outage_gives_grace_to_what_could_have_left() {
    let held = happened(&item("held", "qqq"), Event::OutageGrace, READY + 10).item;
    assert_eq!(held.window_end, Some(at(READY + 70)));
    assert!(!happened(&item("done", "sfc"), Event::OutageGrace, READY + 10).changed);
    // Posts that were worded late could not be seen before either.
    let late = happened(&item("settling", "qqq"), Event::Settle { posts: BTreeMap::new() }, READY + 10).item;
    assert_eq!(late.window_end, Some(at(READY + 70)));
}

#[test]
fn an_ask_expires_after_its_window_and_its_snooze() {
    let week = 7 * 24 * 60;
    let mut asks = item("held", "qqq");
    asks.verdict.verdict = VerdictKind::Ask;
    let hold = settings();
    assert!(happen(&asks, Event::Expire, &rules(&hold, READY + week - 1)).is_err());
    assert_eq!(shown(&happened(&asks, Event::Expire, READY + week).item), "expired ccc");
    let snoozed = acted(&asks, Act::Snooze { until: at(READY + 10) }, 600).item;
    assert!(happen(&snoozed, Event::Expire, &rules(&hold, READY + week + 9)).is_err());
    let approved = acted(&asks, Act::Approve, 600).item;
    assert!(happen(&approved, Event::Expire, &rules(&hold, READY + week)).is_err());
    let mut half = item("publishing", "sqq");
    half.verdict.verdict = VerdictKind::Ask;
    assert_eq!(shown(&happened(&half, Event::Expire, READY + week).item), "done scc");
}

#[test]
fn what_could_leave_only_stale_asks() {
    let five_days = 5 * 24 * 60;
    let held = item("held", "qqq");
    let hold = settings();
    let soon = Event::Stale { could_leave: at(READY + five_days) };
    assert!(happen(&held, soon, &rules(&hold, 600)).is_err());
    let late = || Event::Stale { could_leave: at(READY + five_days + 1) };
    assert!(happened(&held, late(), 600).item.needs_approval());
    let approved = acted(&held, Act::Approve, 600).item;
    assert!(happen(&approved, late(), &rules(&hold, 600)).is_err());
}

#[test]
fn promise_03_a_claim_that_is_never_finished_becomes_unsure() {
    let claimed = happened(&item("held", "qqq"), claim("a"), READY).item;
    assert_eq!(shown(&claimed), "publishing gqq");
    let hold = settings();
    assert!(happen(&claimed, claim("a"), &rules(&hold, READY)).is_err(), "no second claim");
    let unsure = happened(&claimed, Event::LeftOver { account: "a".into() }, READY + 1).item;
    assert_eq!(unsure.deliveries["a"].progress, Progress::Unsure { since: at(READY) });
    let other = Event::Claimed { account: "a".into(), key: "another".into() };
    assert!(happen(&unsure, other, &rules(&hold, READY + 2)).is_err(), "a repeat has the same key");
    let repeat = happened(&unsure, claim("a"), READY + 2).item;
    // The repeat was turned away, but the first may have been taken: never back to the queue by that.
    for error in [
        SendError::Retry { after: None, reason: "busy".into() },
        SendError::Refused { reason: "no".into() },
        SendError::Locked { reason: "who".into() },
        SendError::Unsure { reason: "cut".into() },
    ] {
        let after = happened(&repeat, answer("a", error), READY + 3).item;
        assert_eq!(after.deliveries["a"].progress, Progress::Unsure { since: at(READY) });
    }
}

#[test]
fn promise_03_after_a_veto_or_a_change_a_lost_one_is_only_read() {
    let hold = settings();
    let claimed = happened(&item("held", "qqq"), claim("a"), READY).item;
    let unsure = happened(&claimed, Event::LeftOver { account: "a".into() }, READY + 1).item;
    let vetoed = acted(&unsure, Act::Veto, READY + 2).item;
    let retracted = acted(&unsure, Act::Retract, READY + 2).item;
    let gone = happened(&unsure, Event::GoneAt { origin: 0, why: "deleted".into() }, READY + 2).item;
    let changed = changes(VerdictKind::Hold)(&unsure, &rules(&hold, READY + 2)).unwrap().item;
    for item in [&vetoed, &retracted, &gone, &changed] {
        assert!(happen(item, claim("a"), &rules(&hold, READY + 100)).is_err());
    }
    for item in [&vetoed, &retracted, &gone] {
        let found = Event::ReadBack { account: "a".into(), answer: ReadBack::Found(published()) };
        let found = happened(item, found, READY + 3).item;
        assert_eq!(found.deliveries["a"].progress.name(), "sent");
        assert!(found.alarms.iter().any(|alarm| alarm.text.contains("oyez retract 42")), "{:?}", found.alarms);
    }
    // Never posted, but with the old words: a person chooses.
    let absent = || Event::ReadBack { account: "a".into(), answer: ReadBack::Absent };
    let once = happened(&changed, absent(), READY + 100).item;
    let twice = happened(&once, absent(), READY + 102).item;
    assert_eq!(may_leave(&twice, "a", at(READY + 200)), Err(WhyNot::Outdated));
}

#[test]
fn promise_03_absent_counts_late_and_twice() {
    let claimed = happened(&item("held", "qqq"), claim("a"), READY).item;
    let unsure = happened(&claimed, Event::LeftOver { account: "a".into() }, READY).item;
    let read = |item: &Item, minutes| {
        happened(item, Event::ReadBack { account: "a".into(), answer: ReadBack::Absent }, minutes).item
    };
    let early = read(&unsure, READY + 1);
    let once = read(&early, READY + 2);
    let hasty = read(&once, READY + 3);
    let twice = read(&hasty, READY + 4);
    let states = [&early, &once, &hasty, &twice].map(|item| item.deliveries["a"].progress.name());
    assert_eq!(states, ["unsure", "unsure", "unsure", "queued"]);
    // A reading that cannot tell breaks the agreement.
    let cannot = Event::ReadBack { account: "a".into(), answer: ReadBack::Undecided("locked out".into()) };
    let broken = happened(&once, cannot, READY + 3).item;
    assert_eq!(read(&broken, READY + 9).deliveries["a"].progress.name(), "unsure");
    let vetoed = acted(&once, Act::Veto, READY + 3).item;
    assert_eq!(read(&vetoed, READY + 4).deliveries["a"].progress.name(), "cancelled");
}

#[test]
fn answers_decide_what_follows() {
    let claimed = happened(&item("held", "qqq"), claim("a"), READY).item;
    let vetoed = acted(&claimed, Act::Veto, READY).item;
    let check = |error: SendError, held: &str, stopped: &str| {
        let after = happened(&claimed, answer("a", error.clone()), READY + 1).item;
        assert_eq!(after.deliveries["a"].progress.name(), held);
        assert_eq!(after.deliveries["a"].error.as_deref(), Some("why"), "the last real error is visible");
        let after = happened(&vetoed, answer("a", error), READY + 1).item;
        assert_eq!(after.deliveries["a"].progress.name(), stopped);
        after
    };
    let reason = || "why".to_owned();
    check(SendError::Retry { after: None, reason: reason() }, "queued", "cancelled");
    check(SendError::Locked { reason: reason() }, "queued", "cancelled");
    check(SendError::Refused { reason: reason() }, "failed", "cancelled");
    check(SendError::Unsure { reason: reason() }, "unsure", "unsure");
    let ok = Event::Outcome { account: "a".into(), result: Ok(published()), jitter: 0.0 };
    assert_eq!(happened(&claimed, ok.clone(), READY + 1).item.deliveries["a"].progress.name(), "sent");
    assert!(happened(&vetoed, ok, READY + 1).item.alarms[0].text.contains("oyez retract 42"));
}

#[test]
fn retries_end() {
    let two_days = 2 * 24 * 60;
    let busy = || answer("a", SendError::Retry { after: None, reason: "busy".into() });
    let once = happened(&happened(&item("held", "qqq"), claim("a"), READY).item, busy(), READY).item;
    let hold = settings();
    let give_up = || Event::GiveUp { account: "a".into() };
    assert!(happen(&once, give_up(), &rules(&hold, READY + two_days - 1)).is_err());
    let failed = happened(&once, give_up(), READY + two_days).item;
    assert_eq!((failed.deliveries["a"].progress.name(), failed.attention()), ("failed", true));
    let late = happened(&happened(&once, claim("a"), READY + two_days - 1).item, busy(), READY + two_days).item;
    assert_eq!(late.deliveries["a"].progress.name(), "failed");
    // A person's word starts the count anew, after grace.
    let again = acted(&late, Act::ResolveNotSent { account: "a".into() }, READY + two_days).item;
    let after_grace = READY + two_days + 60;
    assert_eq!(may_leave(&again, "a", at(after_grace - 1)), Err(WhyNot::NotBefore(at(after_grace))));
    let retried = happened(&happened(&again, claim("a"), after_grace).item, busy(), after_grace).item;
    assert_eq!(retried.deliveries["a"].progress.name(), "queued");
}

#[test]
fn a_deletion_ends_or_says_that_it_did_not() {
    let asked = acted(&item("done", "sss"), Act::Retract, 600).item;
    assert_eq!(shown(&asked), "publishing rrr");
    let answer = |result| Event::Retracted { account: "a".into(), result, jitter: 0.0 };
    assert_eq!(happened(&asked, answer(Ok(())), 601).item.deliveries["a"].progress.name(), "retracted");
    let busy = happened(&asked, answer(Err(SendError::Unsure { reason: "cut".into() })), 601).item;
    assert_eq!((busy.deliveries["a"].progress.name(), busy.alarms.len()), ("retracting", 0));
    let no = happened(&asked, answer(Err(SendError::Refused { reason: "not yours".into() })), 601).item;
    assert_eq!((no.deliveries["a"].progress.name(), no.alarms.len()), ("sent", 1));
    // Without an id there is nothing the service could delete.
    let mut by_hand = item("done", "scc");
    by_hand.deliveries.get_mut("a").unwrap().progress = Progress::Sent { at: at(1), id: None, url: None };
    let applied = acted(&by_hand, Act::Retract, 600);
    assert_eq!((applied.changed, applied.warnings.len()), (false, 1));
}

#[test]
fn an_alarm_stays_until_its_own_account_did_what_it_asks_or_a_person_has_seen_it() {
    let gone = happened(&item("done", "ssf"), Event::GoneAt { origin: 0, why: "deleted".into() }, 600).item;
    assert_eq!(gone.alarms.len(), 2, "{:?}", gone.alarms);
    let asked = acted(&gone, Act::Retract, 601).item;
    let deleted = Event::Retracted { account: "a".into(), result: Ok(()), jitter: 0.0 };
    let half = happened(&asked, deleted, 602).item;
    let left: Vec<_> = half.alarms.iter().map(|alarm| alarm.account.as_deref()).collect();
    assert_eq!(left, [Some("b")], "b still shows it");
    let seen = acted(&half, Act::Seen, 603);
    assert!(seen.changed && seen.item.alarms.is_empty() && !seen.item.seen_by.is_empty());
    assert!(!acted(&seen.item, Act::Seen, 604).changed);
}

#[test]
fn an_amendment_is_written_and_a_veto_stops_it() {
    let amend = || Act::Amend { posts: [("a".to_owned(), post("new"))].into() };
    let asked = acted(&item("publishing", "sqq"), amend(), 600).item;
    assert!(asked.deliveries["a"].amend);
    let answer = |result| Event::Amended { account: "a".into(), text: "new".into(), result, jitter: 0.0 };
    let done = happened(&asked, answer(Ok(published())), 601).item;
    assert_eq!((done.deliveries["a"].amend, done.deliveries["a"].sent_text.as_deref()), (false, Some("new")));
    let refused = happened(&asked, answer(Err(SendError::Refused { reason: "too old".into() })), 601).item;
    assert_eq!((refused.deliveries["a"].amend, refused.alarms.len()), (false, 1));
    assert!(!acted(&asked, Act::Veto, 601).item.deliveries["a"].amend);
    let gone = happened(&item("done", "sss"), Event::GoneAt { origin: 0, why: "deleted".into() }, 600).item;
    assert!(act(&gone, &amend(), "web:alice", &rules(&settings(), 601)).is_err());
}

#[test]
fn a_first_sighting_is_known_ignored_or_settling() {
    let hold = settings();
    let sight = |known, verdict| Sight {
        number: 1,
        kind: "announcement".into(),
        origin: origin(),
        verdict: Verdict { verdict, ..Verdict::default() },
        accounts: vec!["a".into()],
        known,
        ask: None,
    };
    let settling = first_sighting(sight(false, VerdictKind::Ask), &rules(&hold, 0));
    assert_eq!((shown(&settling).as_str(), settling.window_end), ("settling q", Some(at(READY))));
    let known = first_sighting(sight(true, VerdictKind::Ask), &rules(&hold, 0));
    assert_eq!((shown(&known).as_str(), known.window_end), ("known q", None));
    let ignored = first_sighting(sight(false, VerdictKind::Ignore), &rules(&hold, 0));
    assert_eq!((shown(&ignored).as_str(), ignored.window_end), ("ignored q", None));
    // Example C of the page: posted 17:40, seen 17:42.
    let mut posted = sight(false, VerdictKind::Hold);
    posted.origin.found.changed = Some(at(-2));
    assert_eq!(first_sighting(posted, &rules(&hold, 0)).settled, Some(at(28)));
    // A source's clock that runs a day ahead.
    let mut ahead = sight(false, VerdictKind::Hold);
    ahead.origin.found.changed = Some(at(1440));
    assert_eq!(first_sighting(ahead, &rules(&hold, 0)).settled, Some(at(30)));
}

#[test]
fn an_approval_for_now_is_nothing_without_the_approval() {
    let mut item = item("held", "qqq");
    item.deliveries.get_mut("a").unwrap().now = true;
    assert_eq!(may_leave(&item, "a", at(600)), Err(WhyNot::NotBefore(at(READY))));
    item.approval = Some(Approval { by: "web:alice".into(), at: at(599) });
    assert_eq!(may_leave(&item, "a", at(600)), Ok(()));
    item.window_end = None;
    item.approval = None;
    assert!(may_leave(&item, "a", at(99999)).is_err(), "a damaged item does not leave");
}
