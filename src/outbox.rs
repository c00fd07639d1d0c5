//! What is to be done about a delivery now: send, wait, read back, ask a person, nothing. Decides, does nothing.
//!
//! [`next_step`] is asked on each beat and after each answer. What an answer means for the delivery is
//! [`crate::life::happen`]'s; the two share the back-off and the limits below.
use std::time::Duration;

use jiff::Timestamp;

use crate::config::HoldSettings;
use crate::item::{Delivery, Item, Progress};
use crate::life::{self, Patience, WhyNot};

/// First pause between two attempts; each further one is twice as long.
pub const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// Longest pause that the back-off itself makes. A platform may ask for more.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Longest pause that a platform is granted: a `Retry-After` beyond it is a mistake, and waiting for it would hide a
/// post for ever.
pub const LONGEST_ASKED: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an idempotency key is relied on. Mastodon keeps it for up to an hour (platforms.md 1.4); the rest is for
/// clocks that differ and a request that takes its time.
pub const KEY_LIFE: Duration = Duration::from_secs(55 * 60);

/// What the decision needs to know beside the item.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Now.
    pub now: Timestamp,
    /// `[hold]`, merged for the item's kind.
    pub hold: &'a HoldSettings,
    /// The delivery's slot as [`crate::hold`] finds it (pacing, quiet hours); `None`: no slot within sight.
    pub slot: Option<Timestamp>,
    /// May the account be spoken to: enabled, and its credentials not refused?
    pub account_open: bool,
    /// Does the platform keep idempotency keys?
    pub keeps_keys: bool,
    /// `[delivery] give-up`.
    pub give_up: Duration,
    /// How patiently a lost answer is looked into.
    pub patience: Patience,
}

/// What to do about a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is at an end, stopped, or in the hands of whoever claimed it.
    Nothing,
    /// Look again then.
    Wait {
        /// Not before this.
        until: Timestamp,
    },
    /// Read the origin again; if it is as it was, claim and send.
    RereadThenSend,
    /// Read the origin again; if it is as it was, claim and send once more under the same key.
    RepeatSameKey,
    /// Look among the account's own posts: only reading, whatever was decided about the item.
    ReadBack,
    /// Delete it.
    Retract {
        /// The platform's id.
        id: String,
    },
    /// Replace its text.
    Amend {
        /// The platform's id.
        id: String,
    },
    /// Only a person helps.
    AskPerson {
        /// Why.
        why: String,
    },
    /// [`life::Event::GiveUp`] is due.
    GiveUp,
    /// [`life::Event::Expire`] is due.
    Expire,
    /// [`life::Event::Stale`] is due.
    Stale {
        /// The earliest moment at which it could leave.
        could_leave: Timestamp,
    },
}

/// What to do now about the delivery of `item` through `account`.
pub fn next_step(item: &Item, account: &str, facts: &Facts<'_>) -> Step {
    let Some(delivery) = item.deliveries.get(account) else { return Step::Nothing };
    match &delivery.progress {
        Progress::Queued => queued(item, account, delivery, facts),
        Progress::Unsure { since } => unsure(item, account, delivery, *since, facts),
        Progress::Retracting { id, .. } => match id {
            Some(id) => on_platform(delivery, facts, Step::Retract { id: id.clone() }),
            None => Step::AskPerson { why: format!("{account} cannot delete it: its id there is not known") },
        },
        Progress::Sent { id: Some(id), .. } if delivery.amend => {
            on_platform(delivery, facts, Step::Amend { id: id.clone() })
        }
        Progress::Waiting { .. } => Step::AskPerson { why: format!("{account} is served by hand") },
        Progress::Sending { .. }
        | Progress::Sent { .. }
        | Progress::Failed { .. }
        | Progress::Cancelled
        | Progress::Retracted { .. } => Step::Nothing,
    }
}

fn queued(item: &Item, account: &str, delivery: &Delivery, facts: &Facts<'_>) -> Step {
    let gate = life::may_leave(item, account, facts.now);
    if let Err(WhyNot::State(_) | WhyNot::Gone) = gate {
        return Step::Nothing;
    }
    if !facts.account_open {
        return Step::AskPerson { why: format!("account {account} is locked or switched off") };
    }
    if given_up(delivery, facts.give_up, facts.now) {
        return Step::GiveUp;
    }
    let slot = if delivery.now { Some(facts.now) } else { facts.slot };
    match gate {
        Ok(()) => match slot {
            Some(slot) => stale(item, slot, facts).unwrap_or(if facts.now < slot {
                Step::Wait { until: slot }
            } else {
                Step::RereadThenSend
            }),
            None => Step::AskPerson { why: format!("account {account} has no slot for it") },
        },
        Err(WhyNot::NotBefore(until)) => {
            let until = slot.map_or(until, |slot| slot.max(until));
            stale(item, until, facts).unwrap_or(Step::Wait { until })
        }
        Err(WhyNot::NeedsApproval) => match life::expires_at(item, facts.hold.ask_expires) {
            Some(at) if at <= facts.now => Step::Expire,
            Some(_) | None => Step::AskPerson { why: WhyNot::NeedsApproval.to_string() },
        },
        Err(
            why @ (WhyNot::Outdated
            | WhyNot::NoPost
            | WhyNot::NoDelivery
            | WhyNot::Progress(_)
            | WhyNot::NoKey
            | WhyNot::State(_)
            | WhyNot::Gone),
        ) => Step::AskPerson { why: why.to_string() },
    }
}

fn stale(item: &Item, could_leave: Timestamp, facts: &Facts<'_>) -> Option<Step> {
    let at = life::stale_at(item, facts.hold.stale)?;
    (could_leave > at).then_some(Step::Stale { could_leave })
}

fn unsure(item: &Item, account: &str, delivery: &Delivery, since: Timestamp, facts: &Facts<'_>) -> Step {
    if !facts.account_open {
        return Step::AskPerson { why: format!("account {account} is locked or switched off, nobody can look there") };
    }
    if let Some(until) = delivery.not_before.filter(|at| facts.now < *at) {
        return Step::Wait { until };
    }
    let key_lives = delivery.key_since.is_some_and(|first| facts.now < plus(first, KEY_LIFE));
    // Once a repeat was in vain, or a reading did not show it, the readings decide: repeating then would be a race.
    let readings = delivery.repeated || delivery.absent.is_some();
    if facts.keeps_keys && key_lives && !readings && life::may_repeat(item, account, facts.now).is_ok() {
        let from = plus(since, facts.patience.repeat_after);
        return if facts.now < from { Step::Wait { until: from } } else { Step::RepeatSameKey };
    }
    if facts.now >= plus(since, facts.give_up) {
        return Step::AskPerson { why: format!("nobody knows whether it is out on {account}") };
    }
    Step::ReadBack
}

fn on_platform(delivery: &Delivery, facts: &Facts<'_>, step: Step) -> Step {
    if !facts.account_open {
        return Step::AskPerson { why: "the account is locked or switched off".to_owned() };
    }
    if given_up(delivery, facts.give_up, facts.now) {
        return Step::GiveUp;
    }
    match delivery.not_before.filter(|at| facts.now < *at) {
        Some(until) => Step::Wait { until },
        None => step,
    }
}

/// Has it been retried for as long as is worth it?
pub(crate) fn given_up(delivery: &Delivery, give_up: Duration, now: Timestamp) -> bool {
    delivery.first_attempt.is_some_and(|first| now >= plus(first, give_up))
}

/// The pause after the `attempts`th request: 30 s, doubled each time, at most an hour, shortened by up to a quarter by
/// `jitter` (0 to 1) so that many do not come back at once. What the platform asked for is never undercut.
pub fn back_off(attempts: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
    let pause = pause.mul_f64(1.0 - jitter / 4.0);
    asked.map_or(pause, |asked| asked.min(LONGEST_ASKED).max(pause))
}

/// The pause after a reading that could not tell: as long as the doubt has lasted, from half a minute to an hour, so
/// that it doubles by itself.
pub(crate) fn next_reading(since: Timestamp, now: Timestamp) -> Duration {
    let lasted = Duration::try_from(now.duration_since(since)).unwrap_or(Duration::ZERO);
    lasted.clamp(FIRST_PAUSE, LONGEST_PAUSE)
}

fn plus(t: Timestamp, d: Duration) -> Timestamp {
    t.checked_add(d).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::item::{Found, Origin, Phase, Post, Verdict, VerdictKind};
    use crate::life::{Act, Event, Rules, act, happen};
    use crate::platform::{Published, ReadBack, SendError};

    const HOUR: Duration = Duration::from_secs(3600);
    static ZONE: TimeZone = TimeZone::UTC;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_793_000_000 + seconds).unwrap()
    }

    fn settings() -> HoldSettings {
        HoldSettings {
            window: HOUR,
            settle: Duration::ZERO,
            settle_at_most: Duration::ZERO,
            grace: HOUR / 4,
            quiet_hours: Vec::new(),
            spacing: Duration::ZERO,
            at_most: None,
            priority: 0,
            ask_expires: 24 * HOUR,
            stale: Some(72 * HOUR),
        }
    }

    fn facts(hold: &HoldSettings, seconds: i64) -> Facts<'_> {
        Facts {
            now: at(seconds),
            hold,
            slot: Some(at(seconds)),
            account_open: true,
            keeps_keys: true,
            give_up: 48 * HOUR,
            patience: Patience::default(),
        }
    }

    fn rules(hold: &HoldSettings, seconds: i64) -> Rules<'_> {
        Rules { now: at(seconds), hold, zone: &ZONE, give_up: 48 * HOUR, patience: Patience::default() }
    }

    /// Held with its window ending at second 3600.
    fn item(progress: Progress) -> Item {
        let origin = Origin {
            source: "news".into(),
            contact: "feed:x".into(),
            first_seen: at(0),
            found: Found::default(),
            gone: None,
        };
        Item {
            number: 42,
            phase: Phase::Held,
            origins: vec![origin],
            first_seen: at(0),
            last_change: at(0),
            settled: Some(at(0)),
            window_end: Some(at(3600)),
            first_window_end: Some(at(3600)),
            posts: [("a".to_owned(), Post { text: "text".into(), ..Post::default() })].into(),
            deliveries: [("a".to_owned(), Delivery { progress, ..Delivery::default() })].into(),
            ..Item::default()
        }
    }

    fn change(item: &mut Item) -> &mut Delivery {
        item.deliveries.get_mut("a").unwrap()
    }

    #[track_caller]
    fn check(item: &Item, facts: &Facts<'_>, want: Step) {
        assert_eq!(next_step(item, "a", facts), want);
    }

    #[test]
    fn a_queued_one_waits_for_window_and_slot() {
        let hold = settings();
        let queued = item(Progress::Queued);
        check(&queued, &facts(&hold, 10), Step::Wait { until: at(3600) });
        check(&queued, &facts(&hold, 3600), Step::RereadThenSend);
        let later = Facts { slot: Some(at(9000)), ..facts(&hold, 3600) };
        check(&queued, &later, Step::Wait { until: at(9000) });
        let now = act(&queued, &Act::ApproveNow { posts: BTreeMap::new() }, "web:alice", &rules(&hold, 10)).unwrap();
        let paced = Facts { slot: Some(at(9000)), ..facts(&hold, 10) };
        check(&now.item, &paced, Step::RereadThenSend);
    }

    #[test]
    fn what_asks_waits_for_a_person_and_expires() {
        let hold = settings();
        let mut asks = item(Progress::Queued);
        asks.verdict.verdict = VerdictKind::Ask;
        check(&asks, &facts(&hold, 3600), Step::AskPerson { why: "it needs an approval".into() });
        check(&asks, &facts(&hold, 3600 + 24 * 3600), Step::Expire);
        let stale = Facts { slot: Some(at(3600 + 72 * 3600 + 1)), ..facts(&hold, 10) };
        let could_leave = at(3600 + 72 * 3600 + 1);
        check(&item(Progress::Queued), &stale, Step::Stale { could_leave });
    }

    #[test]
    fn a_closed_account_keeps_its_posts() {
        let hold = settings();
        let mut queued = item(Progress::Queued);
        change(&mut queued).first_attempt = Some(at(0));
        let closed = Facts { account_open: false, ..facts(&hold, 99 * 3600) };
        assert!(matches!(next_step(&queued, "a", &closed), Step::AskPerson { .. }));
        check(&queued, &facts(&hold, 99 * 3600), Step::GiveUp);
    }

    #[test]
    fn a_lost_answer_is_repeated_within_the_hour_and_read_back_after_it() {
        let hold = settings();
        let mut lost = item(Progress::Unsure { since: at(4000) });
        let delivery = change(&mut lost);
        (delivery.key, delivery.key_since) = (Some("k".into()), Some(at(4000)));
        check(&lost, &facts(&hold, 4010), Step::Wait { until: at(4030) });
        check(&lost, &facts(&hold, 4030), Step::RepeatSameKey);
        check(&lost, &facts(&hold, 4000 + 55 * 60), Step::ReadBack);
        let forgetful = Facts { keeps_keys: false, ..facts(&hold, 4030) };
        check(&lost, &forgetful, Step::ReadBack);
        let closed = Facts { account_open: false, ..facts(&hold, 4030) };
        assert!(matches!(next_step(&lost, "a", &closed), Step::AskPerson { .. }));
        assert!(matches!(next_step(&lost, "a", &facts(&hold, 4000 + 48 * 3600)), Step::AskPerson { .. }));
        let mut repeated = lost.clone();
        change(&mut repeated).repeated = true;
        check(&repeated, &facts(&hold, 4030), Step::ReadBack);
        let vetoed = act(&lost, &Act::Veto, "web:alice", &rules(&hold, 4030)).unwrap().item;
        check(&vetoed, &facts(&hold, 4030), Step::ReadBack);
        let mut asks = lost.clone();
        asks.verdict.verdict = VerdictKind::Ask;
        check(&asks, &facts(&hold, 4030), Step::ReadBack);
    }

    #[test]
    fn deletions_and_amendments_are_tried_until_given_up() {
        let hold = settings();
        let mut deleting =
            item(Progress::Retracting { since: at(5000), sent_at: at(4000), id: Some("9".into()), url: None });
        check(&deleting, &facts(&hold, 5000), Step::Retract { id: "9".into() });
        change(&mut deleting).not_before = Some(at(5030));
        check(&deleting, &facts(&hold, 5000), Step::Wait { until: at(5030) });
        change(&mut deleting).first_attempt = Some(at(5000));
        check(&deleting, &facts(&hold, 5000 + 48 * 3600), Step::GiveUp);
        let mut sent = item(Progress::Sent { at: at(4000), id: Some("9".into()), url: None });
        check(&sent, &facts(&hold, 5000), Step::Nothing);
        change(&mut sent).amend = true;
        check(&sent, &facts(&hold, 5000), Step::Amend { id: "9".into() });
    }

    #[test]
    fn the_pause_doubles_up_to_an_hour_and_obeys_the_platform() {
        let seconds =
            |attempts, asked: Option<u64>, jitter| back_off(attempts, asked.map(Duration::from_secs), jitter).as_secs();
        assert_eq!([1, 2, 3, 7, 8, 99].map(|n| seconds(n, None, 0.0)), [30, 60, 120, 1920, 3600, 3600]);
        assert_eq!((seconds(2, None, 1.0), seconds(2, None, f64::NAN)), (45, 60));
        assert_eq!((seconds(1, Some(300), 1.0), seconds(8, Some(5), 0.0)), (300, 3600));
        assert_eq!(seconds(1, Some(u64::MAX), 0.0), 24 * 3600, "nobody waits for ever");
    }

    /// A network that takes a request some time after it was sent, perhaps after its line is dead.
    #[derive(Default)]
    struct Network {
        keeps_keys: bool,
        /// Key and moment of each post there ever was.
        posts: Vec<(String, i64)>,
        /// Key and moment of landing of requests under way.
        under_way: Vec<(String, i64)>,
    }

    impl Network {
        fn run(&mut self, now: i64) {
            self.under_way.sort_by_key(|(_, lands)| *lands);
            while let Some((key, lands)) = self.under_way.first().cloned()
                && lands <= now
            {
                self.under_way.remove(0);
                let kept = self.posts.iter().any(|(old, at)| *old == key && lands - at < 3600);
                if !(self.keeps_keys && kept) {
                    self.posts.push((key, lands));
                }
            }
        }
    }

    #[derive(Debug, Clone)]
    enum Deed {
        /// Follow the step; a request has this fate: taken after so many seconds or never, and this answer.
        Beat {
            lands: Option<i64>,
            answer: u8,
        },
        Veto,
        Reinstate,
        Change,
        Edit,
        Wait(i64),
    }

    fn deeds() -> impl Strategy<Value = Vec<Deed>> {
        let deed = prop_oneof![
            12 => (prop::option::of(0..90_i64), 0..6_u8).prop_map(|(lands, answer)| Deed::Beat { lands, answer }),
            1 => Just(Deed::Veto),
            2 => Just(Deed::Reinstate),
            1 => Just(Deed::Change),
            1 => Just(Deed::Edit),
            8 => prop_oneof![1..60_i64, 60..400_i64, 400..4000_i64].prop_map(Deed::Wait),
        ];
        prop::collection::vec(deed, 1..80)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn promise_03_following_the_steps_posts_at_most_once(deeds in deeds(), keeps_keys in any::<bool>()) {
            let hold = settings();
            let mut network = Network { keeps_keys, ..Network::default() };
            let (mut item, mut now, mut texts) = (item(Progress::Queued), 0, 0);
            for deed in deeds {
                network.run(now);
                let rules = rules(&hold, now);
                let moved = match deed {
                    Deed::Wait(seconds) => {
                        now += seconds;
                        continue;
                    }
                    Deed::Veto => act(&item, &Act::Veto, "web:alice", &rules),
                    Deed::Reinstate => act(&item, &Act::Reinstate { posts: BTreeMap::new() }, "web:alice", &rules),
                    Deed::Edit => {
                        texts += 1;
                        let post = Post { text: format!("edit {texts}"), ..Post::default() };
                        act(&item, &Act::Edit { account: "a".into(), post }, "web:alice", &rules)
                    }
                    Deed::Change => {
                        texts += 1;
                        let post = Post { text: format!("text {texts}"), ..Post::default() };
                        let posts = [("a".to_owned(), post)].into();
                        let verdict = Verdict::default();
                        happen(&item, Event::Changed { origin: 0, found: Box::default(), posts, verdict, at: at(now) }, &rules)
                    }
                    Deed::Beat { lands, answer } => match next_step(&item, "a", &Facts { keeps_keys, ..facts(&hold, now) }) {
                        Step::RereadThenSend | Step::RepeatSameKey => {
                            texts += 1;
                            let key = item.deliveries["a"].key.clone().unwrap_or_else(|| format!("key {texts}"));
                            item = happen(&item, Event::Claimed { account: "a".into(), key: key.clone() }, &rules)
                                .expect("the step says that it may leave").item;
                            let reason = String::new();
                            let result = match (answer, lands) {
                                // It was taken and said so.
                                (0, Some(_)) => {
                                    network.under_way.push((key, now));
                                    network.run(now);
                                    Ok(Published { id: Some("1".into()), url: None, warnings: Vec::new() })
                                }
                                // It was turned away: nothing of this request will ever land.
                                (1, _) => Err(SendError::Retry { after: None, reason }),
                                (2, _) => Err(SendError::Refused { reason }),
                                (3, _) => Err(SendError::Locked { reason }),
                                // The answer was lost, or Oyez died: it may land, now or later.
                                (_, lands) => {
                                    network.under_way.extend(lands.map(|after| (key, now + after)));
                                    Err(SendError::Unsure { reason })
                                }
                            };
                            if answer == 5 && result.is_err() {
                                happen(&item, Event::LeftOver { account: "a".into() }, &rules)
                            } else {
                                happen(&item, Event::Outcome { account: "a".into(), result, jitter: 0.5 }, &rules)
                            }
                        }
                        Step::ReadBack => {
                            let answer = match network.posts.last() {
                                Some(_) => ReadBack::Found(Published { id: None, url: None, warnings: Vec::new() }),
                                None => ReadBack::Absent,
                            };
                            happen(&item, Event::ReadBack { account: "a".into(), answer }, &rules)
                        }
                        Step::GiveUp => happen(&item, Event::GiveUp { account: "a".into() }, &rules),
                        Step::Expire => happen(&item, Event::Expire, &rules),
                        Step::Stale { could_leave } => happen(&item, Event::Stale { could_leave }, &rules),
                        Step::Wait { until } => {
                            prop_assert!(until > at(now), "a wait that is over");
                            continue;
                        }
                        Step::Nothing | Step::Retract { .. } | Step::Amend { .. } | Step::AskPerson { .. } => continue,
                    },
                };
                item = moved.map_or(item, |applied| applied.item);
                prop_assert!(network.posts.len() <= 1, "posted twice: {:?}", network.posts);
            }
            network.run(i64::MAX);
            prop_assert!(network.posts.len() <= 1, "posted twice: {:?}", network.posts);
        }
    }
}
