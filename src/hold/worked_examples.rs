//! The worked examples of `lifecycle.md` section 3, in Europe/Berlin, with the settings of the example configuration, and
//! the properties that any configuration keeps.
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::quiet::tests::any_quiet;
use super::*;
use crate::config::{AccountConfig, AccountSpec, Hold, KindHold, Period, QuietHours, Rate};
use crate::item::{Author, Delivery, Found, Item, Number, Origin, Progress};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn zone() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}

fn at(local: &str) -> Timestamp {
    local.parse::<DateTime>().unwrap().to_zoned_datetime(zone()).unwrap().timestamp()
}

fn local(at: Timestamp) -> String {
    at.to_zoned_datetime(zone()).strftime("%a %Y-%m-%d %H:%M").to_string()
}

fn per_day(count: u32) -> Option<Rate> {
    Some(Rate { count, period: Period::Day })
}

fn night() -> QuietHours {
    QuietHours { from: "22:00".parse().unwrap(), to: "08:00".parse().unwrap(), days: Vec::new(), zone: None }
}

/// `[hold]`, `[hold.talk]` and `[hold.security]` of the example configuration.
fn hold() -> Hold {
    let base = HoldSettings {
        window: 24 * HOUR,
        settle: 30 * MINUTE,
        settle_at_most: 3 * HOUR,
        grace: HOUR,
        quiet_hours: vec![night()],
        spacing: 2 * HOUR,
        at_most: per_day(3),
        priority: 1,
        ask_expires: 7 * DAY,
        stale: Some(5 * DAY),
    };
    let talk = KindHold {
        merged: HoldSettings { spacing: 20 * HOUR, at_most: per_day(1), priority: 0, stale: None, ..base.clone() },
        spacing: Some(20 * HOUR),
        at_most: Some(per_day(1)),
        quiet_hours: None,
    };
    let security = KindHold {
        merged: HoldSettings {
            window: 30 * MINUTE,
            settle: 5 * MINUTE,
            quiet_hours: Vec::new(),
            spacing: Duration::ZERO,
            at_most: None,
            priority: 9,
            ..base.clone()
        },
        spacing: Some(Duration::ZERO),
        at_most: Some(None),
        quiet_hours: Some(Vec::new()),
    };
    Hold { base, kinds: BTreeMap::from([("talk".to_owned(), talk), ("security".to_owned(), security)]) }
}

fn account(name: &str) -> AccountConfig {
    AccountConfig {
        name: name.to_owned(),
        was: None,
        kinds: Vec::new(),
        hashtags: Vec::new(),
        language: None,
        enabled: true,
        spacing: None,
        at_most: None,
        quiet_hours: None,
        spec: AccountSpec::File { path: "-".into(), limit: 500 },
    }
}

fn waiting(number: Number, kind: &'static str, ready: Timestamp) -> Waiting<'static> {
    let priority = for_kind(&hold(), kind).priority;
    Waiting {
        number,
        account: "a",
        kind,
        author: None,
        published: ready,
        ready,
        not_before: None,
        priority,
        now: false,
    }
}

fn counted(kind: &str, at: Timestamp) -> Counted {
    Counted { at, kind: kind.to_owned(), author: None }
}

fn slots_of(hold: &Hold, now: Timestamp, posts: &[Waiting<'_>], history: &[Counted]) -> Vec<(Number, String)> {
    let history = BTreeMap::from([("a".to_owned(), history.to_vec())]);
    let forecast = forecast(now, hold, &[account("a")], posts, &history, &zone());
    forecast.order().iter().map(|leaving| (leaving.number, local(leaving.at))).collect()
}

/// Forty talks, uploaded and seen on Sunday 2026-10-25 at 14:30.
fn forty_talks(hold: &Hold) -> Vec<Waiting<'static>> {
    let seen = at("2026-10-25T14:30");
    let settings = for_kind(hold, "talk");
    let settled = settled_at(seen, seen, settings);
    assert_eq!(local(settled), "Sun 2026-10-25 15:00");
    let end = window_end(settled, settings.window);
    assert_eq!(local(end), "Mon 2026-10-26 15:00");
    let ready = ready(end, seen, Some(3 * DAY));
    assert_eq!(local(ready), "Wed 2026-10-28 14:30");
    (1..=40)
        .map(|number| {
            let uploaded = later(at("2026-10-25T14:00"), MINUTE.mul_f64(0.75) * u32::try_from(number).unwrap());
            Waiting { published: uploaded, ..waiting(number, "talk", ready) }
        })
        .collect()
}

#[test]
fn example_a_forty_talks() {
    let hold = hold();
    let talks = forty_talks(&hold);
    let slots = slots_of(&hold, at("2026-10-25T15:00"), &talks, &[]);
    assert_eq!(slots[0], (1, "Wed 2026-10-28 14:30".to_owned()));
    assert_eq!(slots[1], (2, "Thu 2026-10-29 10:30".to_owned()));
    assert_eq!(slots[2], (3, "Fri 2026-10-30 08:00".to_owned()));
    let mut day = Date::constant(2026, 10, 30);
    for (index, (number, slot)) in slots.iter().enumerate().skip(2) {
        assert_eq!(*number, index as Number + 1);
        assert_eq!(*slot, format!("{} 08:00", day.strftime("%a %Y-%m-%d")));
        day = day.tomorrow().unwrap();
    }
    assert_eq!(slots[39], (40, "Sun 2026-12-06 08:00".to_owned()));
}

#[test]
fn example_a_with_two_a_day() {
    let mut hold = hold();
    let talk = hold.kinds.get_mut("talk").unwrap();
    (talk.spacing, talk.at_most) = (Some(6 * HOUR), Some(per_day(2)));
    let talks = forty_talks(&hold);
    let slots = slots_of(&hold, at("2026-10-25T15:00"), &talks, &[]);
    assert_eq!(slots[0].1, "Wed 2026-10-28 14:30");
    assert_eq!(slots[1].1, "Wed 2026-10-28 20:30");
    let mut day = Date::constant(2026, 10, 29);
    for pair in slots[2..].chunks(2) {
        assert_eq!(pair[0].1, format!("{} 08:00", day.strftime("%a %Y-%m-%d")));
        assert_eq!(pair[1].1, format!("{} 14:00", day.strftime("%a %Y-%m-%d")));
        day = day.tomorrow().unwrap();
    }
}

#[test]
fn example_b_urgent() {
    let hold = hold();
    let settings = for_kind(&hold, "security");
    let settled = settled_at(at("2026-11-06T23:13"), at("2026-11-06T23:10"), settings);
    assert_eq!(local(settled), "Fri 2026-11-06 23:15");
    let end = window_end(settled, settings.window);
    let item = waiting(42, "security", ready(end, at("2026-11-06T23:13"), None));
    // Three ordinary posts went out that day, the last just now: it leaves all the same.
    let history: Vec<_> =
        ["09:00", "12:00", "21:59"].iter().map(|t| counted("announcement", at(&format!("2026-11-06T{t}")))).collect();
    let now = at("2026-11-06T23:16");
    assert_eq!(slots_of(&hold, now, std::slice::from_ref(&item), &history), [(42, "Fri 2026-11-06 23:45".to_owned())]);
    // Approved for now at 23:20, while it still settles.
    let approved = Waiting { now: true, ..item };
    let now = at("2026-11-06T23:20");
    assert_eq!(slots_of(&hold, now, &[approved], &history), [(42, "Fri 2026-11-06 23:20".to_owned())]);
}

#[test]
fn example_b_the_next_ordinary_post_keeps_its_distance() {
    let hold = hold();
    let day = |time: &str| at(&format!("2026-11-07T{time}"));
    let ordinary = waiting(50, "announcement", day("10:30"));
    let history = [counted("security", day("10:15"))];
    assert_eq!(
        slots_of(&hold, day("10:15"), std::slice::from_ref(&ordinary), &history),
        [(50, "Sat 2026-11-07 12:15".to_owned())]
    );
    // And it counts into the day's three.
    let history = ["08:00", "08:01", "08:02"].map(|time| counted("security", day(time)));
    assert_eq!(slots_of(&hold, day("10:15"), &[ordinary], &history), [(50, "Sun 2026-11-08 08:00".to_owned())]);
}

#[test]
fn example_c_weekend() {
    let mut hold = hold();
    let settled = settled_at(at("2026-11-13T17:42"), at("2026-11-13T18:20"), &hold.base);
    assert_eq!(local(settled), "Fri 2026-11-13 18:50");
    let end = window_end(settled, hold.base.window);
    assert_eq!(local(end), "Sat 2026-11-14 18:50");
    let item = waiting(7, "announcement", ready(end, at("2026-11-13T17:42"), None));
    let now = at("2026-11-13T18:50");
    assert_eq!(slots_of(&hold, now, std::slice::from_ref(&item), &[]), [(7, "Sat 2026-11-14 18:50".to_owned())]);

    // With Saturday and Sunday quiet.
    let midnight = "00:00".parse().unwrap();
    let days = vec![Weekday::Saturday, Weekday::Sunday];
    hold.base.quiet_hours.push(QuietHours { from: midnight, to: midnight, days, zone: None });
    assert_eq!(slots_of(&hold, now, std::slice::from_ref(&item), &[]), [(7, "Mon 2026-11-16 08:00".to_owned())]);

    // Edited Sunday 23:00 as well.
    let edited = at("2026-11-15T23:00");
    let item = Waiting { ready: with_grace(end, edited, &hold.base, &zone()), ..item };
    assert_eq!(slots_of(&hold, edited, &[item], &[]), [(7, "Mon 2026-11-16 09:00".to_owned())]);
}

#[track_caller]
fn check_order(posts: &[Waiting<'_>], history: &[Counted], want: &[Number]) {
    let slots = slots_of(&hold(), at("2026-11-13T12:00"), posts, history);
    assert_eq!(slots.iter().map(|(number, _)| *number).collect::<Vec<_>>(), want);
}

#[test]
fn who_goes_first() {
    let noon = at("2026-11-13T12:00");
    let news = |number, published: &str| Waiting { published: at(published), ..waiting(number, "announcement", noon) };
    // By publication, then number.
    check_order(&[news(1, "2026-11-12T10:00"), news(2, "2026-11-12T09:00")], &[], &[2, 1]);
    check_order(&[news(2, "2026-11-12T10:00"), news(1, "2026-11-12T10:00")], &[], &[1, 2]);
    // Priority first: the older talk lets the news pass.
    let talk = Waiting { published: at("2026-11-01T10:00"), ..waiting(3, "talk", noon) };
    check_order(&[talk.clone(), news(4, "2026-11-12T10:00")], &[], &[4, 3]);
    // One that still waits lets the next pass, priority or not.
    let late = Waiting { ready: at("2026-11-13T12:30"), ..news(5, "2026-11-12T10:00") };
    check_order(&[talk.clone(), late.clone()], &[], &[3, 5]);
    // So does one whose kind had its share today.
    let sent = [counted("talk", at("2026-11-13T09:00"))];
    let minor = Waiting { priority: -5, ..news(6, "2026-11-12T10:00") };
    check_order(&[talk.clone(), minor], &sent, &[6, 3]);
    // Approved for now: before all, ready or not, whatever was just sent.
    let approved = Waiting { now: true, ready: at("2026-12-24T12:00"), ..talk };
    check_order(&[late, approved, news(8, "2026-11-12T10:00")], &sent, &[3, 5, 8]);
}

#[test]
fn approved_for_now_waits_for_its_retry_only() {
    let now = at("2026-11-13T23:00");
    let post = Waiting { now: true, not_before: Some(later(now, 5 * MINUTE)), ..waiting(1, "talk", now) };
    assert_eq!(slots_of(&hold(), now, &[post], &[]), [(1, "Fri 2026-11-13 23:05".to_owned())]);
}

#[test]
fn no_author_takes_more_than_every_second_slot_while_another_waits() {
    let noon = at("2026-11-13T12:00");
    let talk = |number, author| Waiting { author, published: noon, ..waiting(number, "talk", noon) };
    let (ida, rok) = (Some("ida"), Some("rok"));
    let posts = [talk(1, ida), talk(2, ida), talk(3, ida), talk(4, rok), talk(5, ida), talk(6, rok)];
    check_order(&posts, &[], &[1, 4, 2, 6, 3, 5]);
    // Who had the last slot before counts, too.
    let had = Counted { author: Some("ida".to_owned()), ..counted("talk", at("2026-11-12T09:00")) };
    check_order(&posts[1..4], std::slice::from_ref(&had), &[4, 2, 3]);
    // Who is not known is nobody twice.
    check_order(&[talk(1, None), talk(2, None), talk(3, ida)], &[], &[1, 2, 3]);
    // Another kind's slots are another matter.
    let news = Waiting { author: ida, ..waiting(9, "announcement", noon) };
    check_order(&[news, talk(1, rok)], &[had], &[9, 1]);
}

#[test]
fn accounts_do_not_wait_for_each_other() {
    let noon = at("2026-11-13T12:00");
    let hourly = AccountConfig { spacing: Some(HOUR), at_most: Some(None), ..account("b") };
    let off = AccountConfig { enabled: false, ..account("off") };
    let posts: Vec<_> = (1..=3)
        .flat_map(|n| ["a", "b", "off", "gone"].map(|account| Waiting { account, ..waiting(n, "announcement", noon) }))
        .collect();
    let history = BTreeMap::from([("a".to_owned(), vec![counted("announcement", at("2026-11-13T11:00"))])]);
    let forecast = forecast(noon, &hold(), &[account("a"), hourly, off], &posts, &history, &zone());
    let shown = |n, account| forecast.slot(n, account).map(local);
    assert_eq!(shown(1, "a").as_deref(), Some("Fri 2026-11-13 13:00"));
    assert_eq!(shown(2, "a").as_deref(), Some("Fri 2026-11-13 15:00"));
    assert_eq!(shown(3, "a").as_deref(), Some("Sat 2026-11-14 08:00"));
    assert_eq!(shown(3, "b").as_deref(), Some("Fri 2026-11-13 14:00"));
    assert_eq!((shown(1, "off"), shown(1, "gone"), shown(4, "a")), (None, None, None));
    assert_eq!(forecast.until(1).map(local).as_deref(), Some("Fri 2026-11-13 12:00"));
    assert_eq!(forecast.until(4), None);
    let due: Vec<_> = forecast.due(at("2026-11-13T13:00")).iter().map(|l| (l.number, l.account.as_str())).collect();
    assert_eq!(due, [(1, "b"), (1, "a"), (2, "b")]);
    assert_eq!(forecast.due(at("2026-11-13T11:59")), []);
}

#[test]
fn what_counts_against_a_limit() {
    let noon = at("2026-11-13T12:00");
    let (since, url) = (noon, None::<String>);
    let check = |progress: Progress, counts: bool| {
        let author = Author { name: "Ida".to_owned(), username: Some("ida".to_owned()), ..Author::default() };
        let found = Found { author: Some(author), ..Found::default() };
        let origin = Origin { source: String::new(), contact: String::new(), first_seen: noon, found, gone: None };
        let deliveries = BTreeMap::from([("a".to_owned(), Delivery { progress, ..Delivery::default() })]);
        let item = Item { kind: "talk".to_owned(), origins: vec![origin], deliveries, ..Item::default() };
        let want = Counted { author: Some("ida".to_owned()), ..counted("talk", noon) };
        assert_eq!(Counted::of(&item, "a"), counts.then_some(want), "{:?}", item.deliveries);
        assert_eq!(Counted::of(&item, "b"), None);
    };
    check(Progress::Queued, false);
    check(Progress::Sending { since }, true);
    check(Progress::Waiting { since }, false);
    check(Progress::Sent { at: noon, id: url.clone(), url: url.clone() }, true);
    check(Progress::Unsure { since }, true);
    check(Progress::Failed { at: noon }, false);
    check(Progress::Cancelled, false);
    check(Progress::Retracting { since, sent_at: noon, id: url.clone(), url }, false);
    check(Progress::Retracted { at: noon }, false);
    assert_eq!(author_of(&Item::default()), None);
}

#[test]
fn which_setting_wins() {
    let mut hold = hold();
    let plain = account("a");
    let own =
        AccountConfig { spacing: Some(HOUR), at_most: Some(per_day(5)), quiet_hours: Some(Vec::new()), ..account("b") };
    let of = |spacing, at_most| Limit { spacing, at_most };
    let none = of(Duration::ZERO, None);
    let nights = [night()];
    let want = Pacing { quiet: &nights, all: of(2 * HOUR, per_day(3)), kind: none };
    assert_eq!(pacing(&hold, "announcement", &plain), want);
    assert_eq!(pacing(&hold, "talk", &plain), Pacing { kind: of(20 * HOUR, per_day(1)), ..want });
    assert_eq!(pacing(&hold, "security", &plain), Pacing { quiet: &[], all: none, kind: none });
    let want = Pacing { quiet: &[], all: of(HOUR, per_day(5)), kind: none };
    assert_eq!(pacing(&hold, "announcement", &own), want);
    assert_eq!(pacing(&hold, "talk", &own), Pacing { kind: of(20 * HOUR, per_day(1)), ..want });
    assert_eq!(pacing(&hold, "security", &own), Pacing { all: none, ..want });
    // A kind's own quiet hours win over the account's.
    hold.kinds.get_mut("talk").unwrap().quiet_hours = Some(vec![night()]);
    assert_eq!(pacing(&hold, "talk", &own).quiet, &nights);
    // A kind without a section of its own is held as an announcement is.
    assert_eq!(for_kind(&hold, "podcast"), &hold.base);
    let section = hold.kinds["security"].clone();
    hold.kinds.insert("announcement".to_owned(), section);
    assert_eq!(for_kind(&hold, "podcast").window, 30 * MINUTE);
    assert_eq!(pacing(&hold, "podcast", &plain).all, none);
}

/// The next slot of a post of `kind` after this history, in any order.
fn slot(kind: &str, ready: Timestamp, pacing: &Pacing<'_>, history: &[Counted]) -> Option<Timestamp> {
    let times = |only_kind: bool| {
        let posts = history.iter().filter(|post| !only_kind || post.kind == kind);
        let mut times: Vec<_> = posts.map(|post| post.at).collect();
        times.sort_unstable();
        times
    };
    pacing.next(ready, &times(false), &times(true), &zone())
}

#[test]
fn a_calendar_day_is_one_of_the_zone_and_other_periods_roll() {
    let limit = |period| Pacing {
        quiet: &[],
        all: Limit { spacing: Duration::ZERO, at_most: Some(Rate { count: 2, period }) },
        kind: Limit::default(),
    };
    let history = [counted("x", at("2026-10-25T23:30")), counted("x", at("2026-10-25T01:00"))];
    let next = |period| slot("x", at("2026-10-25T23:40"), &limit(period), &history).map(local);
    assert_eq!(next(Period::Day).as_deref(), Some("Mon 2026-10-26 00:00"));
    // 24 hours from 01:00 on a day of 25.
    assert_eq!(next(Period::Rolling(DAY)).as_deref(), Some("Mon 2026-10-26 00:00"));
    assert_eq!(next(Period::Rolling(25 * HOUR)).as_deref(), Some("Mon 2026-10-26 01:00"));
    assert_eq!(next(Period::Rolling(HOUR)).as_deref(), Some("Sun 2026-10-25 23:40"));
    let never = Pacing { all: Limit { spacing: Duration::ZERO, at_most: per_day(0) }, ..limit(Period::Day) };
    assert_eq!(slot("x", at("2026-10-25T23:40"), &never, &[]), None);
}

#[test]
fn thousands_wait_without_trouble() {
    let noon = at("2026-11-13T12:00");
    let names: Vec<String> = (0..50).map(|n| format!("author {n}")).collect();
    let posts: Vec<_> = (0..4000)
        .map(|n| Waiting { author: Some(&names[(n * n % 50) as usize]), ..waiting(n, "talk", noon) })
        .collect();
    let slots = slots_of(&hold(), noon, &posts, &[]);
    assert_eq!(slots.len(), 4000);
    // One a day: the last leaves 3999 days later.
    assert_eq!(slots[3999].1, "Sun 2037-10-25 08:00");
}

const KINDS: [&str; 4] = ["announcement", "talk", "security", "podcast"];
const AUTHORS: [Option<&str>; 4] = [None, Some("ida"), Some("rok"), Some("florian")];
/// 2026-03-26: the clocks change three days later. Everything happens on quarters of an hour.
const START_S: i64 = 1_774_483_200;

fn quarter(n: i64) -> Timestamp {
    Timestamp::from_second(START_S + n * 900).unwrap()
}

fn any_rate() -> impl Strategy<Value = Option<Rate>> {
    prop_oneof![
        Just(None),
        (1u32..4).prop_map(per_day),
        (1u32..4, 1u32..200).prop_map(|(count, n)| Some(Rate { count, period: Period::Rolling(15 * MINUTE * n) })),
    ]
}

fn any_spacing() -> impl Strategy<Value = Duration> {
    (0u32..100).prop_map(|n| 15 * MINUTE * n)
}

prop_compose! {
    fn any_hold()(
        quiet in any_quiet(), spacing in any_spacing(), at_most in any_rate(),
        own_spacing in prop::option::of(any_spacing()), own_at_most in prop::option::of(any_rate()),
        own_quiet in prop::option::of(any_quiet()),
    ) -> Hold {
        let mut hold = hold();
        let awake = |quiet: Vec<QuietHours>| if check_quiet(&quiet, &zone()).is_ok() { quiet } else { Vec::new() };
        (hold.base.quiet_hours, hold.base.spacing, hold.base.at_most) = (awake(quiet), spacing, at_most);
        let talk = hold.kinds.get_mut("talk").unwrap();
        (talk.spacing, talk.at_most, talk.quiet_hours) = (own_spacing, own_at_most, own_quiet.map(awake));
        hold
    }
}

prop_compose! {
    fn any_waiting()(
        kind in 0usize..4, author in 0usize..4, published in 0i64..200, ready in 0i64..400,
        back_off in prop::option::of(0i64..400), now in prop::bool::weighted(0.1), account in 0usize..2,
    ) -> Waiting<'static> {
        let waiting = waiting(0, KINDS[kind], quarter(ready));
        let account = ["a", "b"][account];
        Waiting { account, author: AUTHORS[author], published: quarter(published), not_before: back_off.map(quarter), now, ..waiting }
    }
}

fn any_posts() -> impl Strategy<Value = Vec<Waiting<'static>>> {
    prop::collection::vec(any_waiting(), 0..25).prop_map(|mut posts| {
        (1..).zip(&mut posts).for_each(|(number, post)| post.number = number);
        posts
    })
}

fn any_history() -> impl Strategy<Value = Vec<Counted>> {
    prop::collection::vec((0usize..4, 0usize..4, -400i64..100), 0..12).prop_map(|posts| {
        let post = |(kind, author, at): (usize, usize, i64)| Counted {
            at: quarter(at),
            kind: KINDS[kind].to_owned(),
            author: AUTHORS[author].map(str::to_owned),
        };
        posts.into_iter().map(post).collect()
    })
}

/// The rules of 3.5 as they are written, for a post at `at` after `history`.
fn allowed(kind: &str, at: Timestamp, pacing: &Pacing<'_>, history: &[Counted]) -> bool {
    let keeps = |limit: &Limit, posts: Vec<Timestamp>| {
        let spaced = posts.iter().all(|post| later(*post, limit.spacing) <= at);
        let counted = limit.at_most.is_none_or(|rate| {
            let date = |at| zone().to_datetime(at).date();
            let in_period = posts.iter().filter(|post| match rate.period {
                Period::Day => date(**post) == date(at),
                Period::Rolling(period) => later(**post, period) > at,
            });
            in_period.count() < rate.count as usize
        });
        spaced && counted
    };
    let all = history.iter().map(|post| post.at).collect();
    let own = history.iter().filter(|post| post.kind == kind).map(|post| post.at).collect();
    keeps(&pacing.all, all) && keeps(&pacing.kind, own) && !is_quiet(at, pacing.quiet, &zone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Against a search by hand in steps of a quarter of an hour.
    #[test]
    fn a_slot_is_the_first_moment_that_is_allowed(
        hold in any_hold(), kind in 0usize..4, ready in 100i64..400, history in any_history(),
    ) {
        let account = account("a");
        let pacing = pacing(&hold, KINDS[kind], &account);
        let got = slot(KINDS[kind], quarter(ready), &pacing, &history);
        let want = (ready..ready + 4000).map(quarter).find(|at| allowed(KINDS[kind], *at, &pacing, &history));
        prop_assert_eq!(got, want);
    }

    #[test]
    fn promise_01_no_slot_is_early_quiet_or_over_a_limit(
        hold in any_hold(), posts in any_posts(), history in any_history(),
    ) {
        let now = quarter(100);
        let accounts = [account("a"), AccountConfig { spacing: Some(HOUR), ..account("b") }];
        let histories = BTreeMap::from([("a".to_owned(), history.clone())]);
        let forecast = forecast(now, &hold, &accounts, &posts, &histories, &zone());
        prop_assert_eq!(forecast.order().len(), posts.len());
        for account in &accounts {
            let mut past = if account.name == "a" { history.clone() } else { Vec::new() };
            for leaving in forecast.order().iter().filter(|leaving| leaving.account == account.name) {
                let post = posts.iter().find(|post| post.number == leaving.number).unwrap();
                prop_assert!(leaving.at >= now && post.not_before.is_none_or(|not_before| leaving.at >= not_before));
                if post.now {
                    prop_assert_eq!(leaving.at, post.not_before.unwrap_or(now).max(now));
                } else {
                    prop_assert!(leaving.at >= post.ready);
                    prop_assert!(allowed(post.kind, leaving.at, &pacing(&hold, post.kind, account), &past));
                }
                past.push(Counted { author: post.author.map(str::to_owned), ..counted(post.kind, leaving.at) });
            }
        }
    }

    /// Predict, publish the first at its slot, predict again: the rest is where it was.
    #[test]
    fn a_forecast_comes_true(hold in any_hold(), posts in any_posts(), history in any_history()) {
        let accounts = [account("a"), AccountConfig { spacing: Some(HOUR), ..account("b") }];
        let mut histories = BTreeMap::from([("a".to_owned(), history)]);
        let first = forecast(quarter(100), &hold, &accounts, &posts, &histories, &zone());
        let mut left = posts;
        for (index, leaving) in first.order().iter().enumerate() {
            let post = left.remove(left.iter().position(|post| post.number == leaving.number).unwrap());
            let sent = Counted { author: post.author.map(str::to_owned), ..counted(post.kind, leaving.at) };
            histories.entry(leaving.account.clone()).or_default().push(sent);
            let again = forecast(leaving.at, &hold, &accounts, &left, &histories, &zone());
            prop_assert_eq!(again.order(), &first.order()[index + 1..]);
        }
    }

    /// Where the order of publication is that in which the windows end, a veto makes nobody later. (Where it is not, it
    /// can: a slot that becomes free goes to one that is ready, and the next one, ready a little later, follows it.)
    #[test]
    fn a_veto_makes_nobody_later(
        hold in any_hold(), mut ready in prop::collection::vec(0i64..300, 1..15), history in any_history(),
        kind in 0usize..4, vetoed in any::<prop::sample::Index>(),
    ) {
        ready.sort_unstable();
        let mut posts: Vec<_> = (1..).zip(&ready).map(|(n, ready)| waiting(n, KINDS[kind], quarter(*ready))).collect();
        let histories = BTreeMap::from([("a".to_owned(), history)]);
        let before = forecast(quarter(100), &hold, &[account("a")], &posts, &histories, &zone());
        posts.remove(vetoed.index(posts.len()));
        let after = forecast(quarter(100), &hold, &[account("a")], &posts, &histories, &zone());
        for post in &posts {
            prop_assert!(after.slot(post.number, "a") <= before.slot(post.number, "a"));
        }
    }
}
