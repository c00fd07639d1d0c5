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
    // Once a reading did not show it the readings decide: repeating then would be a race with them.
    if facts.keeps_keys && key_lives && delivery.absent.is_none() && life::may_repeat(item, account, facts.now).is_ok()
    {
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
