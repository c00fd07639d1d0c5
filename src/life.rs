//! The only way from one state to another. `lifecycle.md` sections 1 to 3 are the oracle; this module is its tables.
//!
//! [`act()`] is what a person does, [`happen`] what the world does, [`may_leave`] the last gate before a request. All are
//! pure: an item goes in, another comes out, and the store writes it in one transaction with a compare on its revision.
//! Nothing here sends, renders or reads: posts arrive already worded and measured.
mod act;
mod answer;
mod event;
mod join;

#[cfg(test)]
mod cells;
#[cfg(test)]
mod model;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::config::HoldSettings;
use crate::item::{
    Alarm, Delivery, Found, Item, Number, Origin, Phase, Post, Progress, State, TooLate, Verdict, VerdictKind,
};
use crate::link::rewrite::Opened;
use crate::platform::{Published, ReadBack, SendError};

pub use act::{act, has_words};
pub use event::happen;
pub(crate) use event::{expires_at, stale_at};
pub use join::{follow, join, split};

pub use crate::hold::OUTAGE;
use crate::hold::{self, settled_at};

/// What the moves are made by.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Now.
    pub now: Timestamp,
    /// `[hold]`, merged for the item's kind.
    pub hold: &'a HoldSettings,
    /// Quiet hours are counted here.
    pub zone: &'a TimeZone,
    /// `[delivery] give-up`: retries end this long after the first attempt.
    pub give_up: Duration,
    /// How patiently a lost answer is looked into.
    pub patience: Patience,
}

/// How patiently a lost answer is looked into. The defaults suit real servers; a demonstration may hurry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A request is repeated under its key no sooner than this: the first may still be at work on the server, and some
    /// servers let two concurrent requests with one key both through.
    pub repeat_after: Duration,
    /// That a post is absent counts only this long after its claim: servers without idempotency keys may take a request
    /// whose line is already dead, and lists lag behind.
    pub absent_after: Duration,
    /// Between the two complete readings that must agree before a lost post counts as never posted.
    pub absent_gap: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            repeat_after: Duration::from_secs(30),
            absent_after: Duration::from_secs(120),
            absent_gap: Duration::from_secs(120),
        }
    }
}

/// What a person does to an item: the rows of `lifecycle.md` section 2. Posts arrive worded and measured.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// No.
    Veto,
    /// No, for one account.
    Skip {
        /// The account.
        account: String,
    },
    /// The text is fine. Satisfies an `ask`, changes no time.
    Approve,
    /// Out with it: past settle, window and all pacing.
    ApproveNow {
        /// Posts for accounts that have none yet (it has not settled). Those that exist are kept: they were shown.
        posts: BTreeMap<String, Post>,
    },
    /// Not before this.
    Snooze {
        /// Now plus the duration asked for.
        until: Timestamp,
    },
    /// Other words for one account.
    Edit {
        /// The account.
        account: String,
        /// The words, measured. Who wrote them is filled in here.
        post: Post,
    },
    /// The template's words again.
    Reset {
        /// The account.
        account: String,
        /// What the template makes of the item now.
        post: Post,
    },
    /// On its way after all.
    Reinstate {
        /// Posts for accounts that have none yet (a known item, one vetoed before it settled).
        posts: BTreeMap<String, Post>,
    },
    /// Delete what is out, everywhere, and veto the rest.
    Retract,
    /// Replace what is out.
    Amend {
        /// The new words of each account named.
        posts: BTreeMap<String, Post>,
    },
    /// A person looked: it is out.
    ResolveSent {
        /// The account.
        account: String,
        /// Where.
        url: String,
        /// The platform's id, where the address tells it; without one it cannot be amended or retracted.
        id: Option<String>,
    },
    /// A person looked: it is not out.
    ResolveNotSent {
        /// The account.
        account: String,
    },
    /// Somebody looked at the item, and leaves it as it is: its alarms are answered.
    Seen,
}

/// What happens to an item without a person.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The author has left it alone for long enough.
    Settle {
        /// One post per account, worded from the item as it stands.
        posts: BTreeMap<String, Post>,
    },
    /// The author changed it, as a reading of one of its origins shows.
    Changed {
        /// Index into [`Item::origins`].
        origin: usize,
        /// What it is now.
        found: Box<Found>,
        /// One post per account, worded anew. May be empty while it settles.
        posts: BTreeMap<String, Post>,
        /// The policy, asked again.
        verdict: Verdict,
        /// When: what the source says, else now.
        at: Timestamp,
    },
    /// It is not public at one of its origins any more.
    GoneAt {
        /// Index into [`Item::origins`].
        origin: usize,
        /// "deleted", "unlisted", "moved to another category"…
        why: String,
    },
    /// It is public again at one of its origins.
    BackAt {
        /// Index into [`Item::origins`].
        origin: usize,
        /// What it is now.
        found: Box<Found>,
    },
    /// The same thing was found at another place.
    AlsoAt {
        /// Where among the origins: their order is the configuration's.
        at: usize,
        /// The place.
        origin: Box<Origin>,
        /// What the policy says of it as it is there: a stricter word counts, a looser one does not.
        verdict: Verdict,
    },
    /// A shortener was asked where the item's link leads (links.md 2).
    Opened {
        /// The short link.
        short: String,
        /// What it said, or why it could not be reached.
        answer: Result<Opened, String>,
        /// Posts worded with what is known now, for the accounts where that is possible.
        posts: BTreeMap<String, Post>,
    },
    /// Another place of its video is proven, or is not any more: its posts lead there from now on.
    Mirrored {
        /// Where.
        mirror: Option<String>,
        /// Posts worded with it.
        posts: BTreeMap<String, Post>,
    },
    /// A place was found that is likely the same video.
    Offered {
        /// Where.
        url: String,
        /// What speaks for it.
        evidence: String,
    },
    /// archive.org was asked for a copy of its video.
    Searched {
        /// Where one is, and what speaks for it.
        copy: Option<(String, String)>,
    },
    /// Its origin was read.
    Reachable,
    /// Its origin could not be read.
    Unreachable {
        /// The first try of a new series: an old failure, hours ago, says nothing about now.
        anew: bool,
    },
    /// The service was away for more than [`OUTAGE`].
    OutageGrace,
    /// Nobody answered an `ask` in time.
    Expire,
    /// It could leave only stale.
    Stale {
        /// The earliest moment at which it could.
        could_leave: Timestamp,
    },
    /// A request is about to begin: also the repeat of one whose answer was lost, under the same key.
    Claimed {
        /// The account.
        account: String,
        /// The idempotency key; the delivery's own where it has one.
        key: String,
    },
    /// The answer to a claim.
    Outcome {
        /// The account.
        account: String,
        /// What the platform made of it.
        result: Result<Published, SendError>,
        /// 0 to 1, from outside, so that this stays pure: see [`crate::outbox::back_off`].
        jitter: f64,
    },
    /// A claim that nobody will finish: found at start-up, or its task died.
    LeftOver {
        /// The account.
        account: String,
    },
    /// The account's own posts were read for one whose answer was lost.
    ReadBack {
        /// The account.
        account: String,
        /// What they told.
        answer: ReadBack,
    },
    /// The answer to a deletion.
    Retracted {
        /// The account.
        account: String,
        /// What the platform made of it.
        result: Result<(), SendError>,
        /// As in [`Event::Outcome`].
        jitter: f64,
    },
    /// The answer to an amendment.
    Amended {
        /// The account.
        account: String,
        /// The text that was sent.
        text: String,
        /// What the platform made of it.
        result: Result<Published, SendError>,
        /// As in [`Event::Outcome`].
        jitter: f64,
    },
    /// Retried for `give-up`, in vain.
    GiveUp {
        /// The account.
        account: String,
    },
}

/// What came of an act or event.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The item after it. Its `rev` is the store's business and as before.
    pub item: Item,
    /// Is it another than before? If not, nothing need be stored.
    pub changed: bool,
    /// What a veto or retraction came too late for.
    pub too_late: Vec<TooLate>,
    /// What else came of it, for the journal.
    pub notes: Vec<LifeNote>,
    /// What the person who acted should know.
    pub warnings: Vec<String>,
}

/// A consequence worth a line in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifeNote {
    /// A word for programs: `held`, `withdrawn`, `approval-lapsed`, `sent`, `unsure`…
    pub what: &'static str,
    /// The account, where it is about one.
    pub account: Option<String>,
    /// For people; may be empty.
    pub detail: String,
}

/// A move that is not made, in words for the person who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    /// "item 42 is already out".
    pub why: String,
    /// "`oyez retract 42` deletes it".
    pub hint: Option<String>,
}

impl Refused {
    fn new(why: impl Into<String>) -> Self {
        Refused { why: why.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Why a delivery may not leave now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhyNot {
    /// The item is not on the desk.
    #[error("the item is {}", .0.name())]
    State(State),
    /// The item is not public at any of its origins.
    #[error("the item is not public any more")]
    Gone,
    /// The item is not for this account.
    #[error("the item has no delivery for this account")]
    NoDelivery,
    /// It is somewhere else already.
    #[error("the delivery is {0}")]
    Progress(&'static str),
    /// Nothing was worded yet.
    #[error("no post was worded yet")]
    NoPost,
    /// Nobody approved what asks for it.
    #[error("it needs an approval")]
    NeedsApproval,
    /// The author changed the item under this text.
    #[error("the author changed the item under this text: somebody must choose")]
    Outdated,
    /// Its time has not come: window, snooze or back-off.
    #[error("not before {0}")]
    NotBefore(Timestamp),
    /// A repeat needs the key of the first request.
    #[error("its key is not known")]
    NoKey,
}

/// The last gate: may this queued delivery be claimed at this moment? Pacing and quiet hours are the slot's business
/// (`lifecycle.md` 3.5); this is what no slot may overrule (promises 1, 2, 10). Claims are refused without it.
pub fn may_leave(item: &Item, account: &str, now: Timestamp) -> Result<(), WhyNot> {
    let delivery = item.deliveries.get(account).ok_or(WhyNot::NoDelivery)?;
    match &delivery.progress {
        Progress::Queued => may_go_out(item, account, delivery, now),
        other @ (Progress::Sending { .. }
        | Progress::Waiting { .. }
        | Progress::Sent { .. }
        | Progress::Unsure { .. }
        | Progress::Failed { .. }
        | Progress::Cancelled
        | Progress::Retracting { .. }
        | Progress::Retracted { .. }) => Err(WhyNot::Progress(other.name())),
    }
}

/// May a request whose answer was lost be repeated under its key? Repeating is publishing (promise 3): all that a first
/// attempt needs is needed again. Whether the platform still keeps the key is for [`crate::outbox`] to know.
pub fn may_repeat(item: &Item, account: &str, now: Timestamp) -> Result<(), WhyNot> {
    let delivery = item.deliveries.get(account).ok_or(WhyNot::NoDelivery)?;
    match &delivery.progress {
        Progress::Unsure { .. } if delivery.key.is_none() => Err(WhyNot::NoKey),
        Progress::Unsure { .. } => may_go_out(item, account, delivery, now),
        other @ (Progress::Queued
        | Progress::Sending { .. }
        | Progress::Waiting { .. }
        | Progress::Sent { .. }
        | Progress::Failed { .. }
        | Progress::Cancelled
        | Progress::Retracting { .. }
        | Progress::Retracted { .. }) => Err(WhyNot::Progress(other.name())),
    }
}

fn may_go_out(item: &Item, account: &str, delivery: &Delivery, now: Timestamp) -> Result<(), WhyNot> {
    if item.phase != Phase::Held {
        return Err(WhyNot::State(item.state()));
    }
    if is_gone(item) {
        return Err(WhyNot::Gone);
    }
    let post = item.posts.get(account).ok_or(WhyNot::NoPost)?;
    if item.needs_approval() {
        return Err(WhyNot::NeedsApproval);
    }
    if post.outdated_edit {
        return Err(WhyNot::Outdated);
    }
    // `now` alone is not enough: it must still be somebody's, and an author's change takes the approval away.
    let for_now = delivery.now && item.approval.is_some();
    // An item on the desk without a window is a damaged one; it waits for ever rather than for nothing.
    let window = if for_now { Timestamp::MIN } else { item.window_end.unwrap_or(Timestamp::MAX) };
    let at = [Some(window), item.snoozed, delivery.not_before].into_iter().flatten().max().unwrap_or(Timestamp::MAX);
    if now < at { Err(WhyNot::NotBefore(at)) } else { Ok(()) }
}

/// Is it out of the public's sight at every place it came from?
pub fn is_gone(item: &Item) -> bool {
    !item.origins.is_empty() && item.origins.iter().all(|origin| origin.gone.is_some())
}

/// May it still be published by itself, as far as decisions go? If not, what comes back from a claim is only recorded.
pub fn is_stopped(item: &Item) -> bool {
    item.phase != Phase::Held || is_gone(item)
}

/// A thing seen for the first time.
#[derive(Debug, Clone, PartialEq)]
pub struct Sight {
    /// The number it is given.
    pub number: Number,
    /// Its kind.
    pub kind: String,
    /// Where it was found; its `first_seen` becomes the item's.
    pub origin: Origin,
    /// What the policy says.
    pub verdict: Verdict,
    /// The accounts that take it.
    pub accounts: Vec<String>,
    /// It was there before first contact and is not to be announced (promise 5).
    pub known: bool,
    /// Why it asks although the policy does not ("published three weeks ago").
    pub ask: Option<String>,
}

/// Makes the item of a first sighting: `known`, `ignored` by the policy, or `settling` with its window promised.
pub fn first_sighting(sight: Sight, rules: &Rules<'_>) -> Item {
    let first_seen = sight.origin.first_seen;
    // A clock of the source that runs ahead must not keep an item from settling, nor an old stamp count for more.
    let last_change = sight.origin.found.changed.unwrap_or(first_seen).min(first_seen);
    let phase = if sight.known {
        Phase::Known
    } else {
        match sight.verdict.verdict {
            VerdictKind::Ignore => Phase::Ignored,
            VerdictKind::Hold | VerdictKind::Ask => Phase::Settling,
        }
    };
    let settling = phase == Phase::Settling;
    let settled = settling.then(|| settled_at(first_seen, last_change, rules.hold));
    let window_end = settled.map(|settled| hold::window_end(settled, rules.hold.window));
    Item {
        number: sight.number,
        rev: 0,
        kind: sight.kind,
        phase,
        first_seen,
        last_change,
        verdict: sight.verdict,
        ask: sight.ask.filter(|_| settling),
        settled,
        window_end,
        first_window_end: window_end,
        deliveries: sight.accounts.into_iter().map(|account| (account, Delivery::default())).collect(),
        checked: Some(first_seen),
        origins: vec![sight.origin],
        ..Item::default()
    }
}

/// An item under change, with what it brings.
struct Work<'a> {
    before: &'a Item,
    item: Item,
    too_late: Vec<TooLate>,
    notes: Vec<LifeNote>,
    warnings: Vec<String>,
}

impl<'a> Work<'a> {
    fn new(before: &'a Item) -> Self {
        Work { before, item: before.clone(), too_late: Vec::new(), notes: Vec::new(), warnings: Vec::new() }
    }

    fn done(self) -> Applied {
        let changed = self.item != *self.before;
        Applied { item: self.item, changed, too_late: self.too_late, notes: self.notes, warnings: self.warnings }
    }

    fn note(&mut self, what: &'static str, account: Option<&str>, detail: impl Into<String>) {
        self.notes.push(LifeNote { what, account: account.map(str::to_owned), detail: detail.into() });
    }

    /// Something a person should know about this item: stays until it is done with.
    fn alarm(&mut self, account: Option<&str>, text: String) {
        if !self.item.alarms.iter().any(|alarm| alarm.text == text) {
            self.note("alarm", account, text.clone());
            self.item.alarms.push(Alarm { account: account.map(str::to_owned), text });
        }
    }

    fn delivery(&mut self, account: &str) -> Result<&mut Delivery, Refused> {
        let number = self.item.number;
        self.item
            .deliveries
            .get_mut(account)
            .ok_or_else(|| Refused::new(format!("item {number} has no delivery for account `{account}`")))
    }

    /// Invariant: `window_end` only ever moves to a later time (promise 1).
    fn grow_window(&mut self, to: Timestamp) {
        let end = self.item.window_end.map_or(to, |end| end.max(to));
        if self.item.window_end != Some(end) {
            self.item.window_end = Some(end);
            self.note("window", None, format!("the window now ends at {end}"));
        }
    }

    /// `lifecycle.md` 3.4.
    fn grace(&mut self, rules: &Rules<'_>) {
        let end = self.item.window_end.unwrap_or(Timestamp::MIN);
        self.grow_window(hold::with_grace(end, rules.now, rules.hold, rules.zone));
    }

    fn has_queued(&self) -> bool {
        self.item.deliveries.values().any(|delivery| delivery.progress == Progress::Queued)
    }

    /// Stops all that was not claimed, and forgets every wish to send at once or to amend.
    fn cancel_queued(&mut self) {
        for (account, delivery) in &mut self.item.deliveries {
            if delivery.progress == Progress::Queued {
                cancel(delivery);
                self.notes.push(LifeNote { what: "cancelled", account: Some(account.clone()), detail: String::new() });
            }
            delivery.now = false;
            delivery.amend = false;
        }
    }

    /// Names what is beyond a veto. Hand-overs are among it: somebody may be pasting the text.
    fn list_too_late(&mut self) {
        for (account, delivery) in &self.item.deliveries {
            let url = match &delivery.progress {
                Progress::Sent { url, .. } => url.clone(),
                Progress::Sending { .. } | Progress::Unsure { .. } | Progress::Waiting { .. } => None,
                Progress::Queued
                | Progress::Failed { .. }
                | Progress::Cancelled
                | Progress::Retracting { .. }
                | Progress::Retracted { .. } => continue,
            };
            let state = delivery.progress.name().to_owned();
            self.too_late.push(TooLate { account: account.clone(), state, url });
        }
    }
}

fn cancel(delivery: &mut Delivery) {
    delivery.progress = Progress::Cancelled;
    delivery.now = false;
    delivery.not_before = None;
}

/// Do both put the same before readers? Then the same key may carry them.
fn reads_the_same(a: &Post, b: &Post) -> bool {
    a.text == b.text && a.media == b.media && a.language == b.language
}

/// Puts another post in the place of an account's. A changed post needs a new idempotency key: platforms compare the
/// key alone and would give back the old post (platforms.md 1.4).
fn replace_post(item: &mut Item, account: &str, post: Post) {
    let same = item.posts.get(account).is_some_and(|old| reads_the_same(old, &post));
    if !same && let Some(delivery) = item.deliveries.get_mut(account) {
        delivery.key = None;
        delivery.key_since = None;
    }
    item.posts.insert(account.to_owned(), post);
}

/// "is vetoed", for sentences that begin with "item 42".
fn says(item: &Item) -> String {
    match item.state() {
        State::Known => "is only known, and not announced".to_owned(),
        State::Settling => "is still settling".to_owned(),
        State::Held => "is held".to_owned(),
        State::Publishing => "is on its way out".to_owned(),
        State::Done if item.deliveries.values().any(|d| matches!(d.progress, Progress::Sent { .. })) => {
            "is already out".to_owned()
        }
        State::Done => "is at its end: nothing of it is waiting".to_owned(),
        State::Vetoed => "is vetoed".to_owned(),
        State::Ignored => "is ignored by the policy".to_owned(),
        State::Expired => "has expired: it asked and nobody answered".to_owned(),
        State::Withdrawn => "is withdrawn: it is not public any more".to_owned(),
        State::Duplicate => match item.phase {
            Phase::Duplicate { of } => format!("is the same as {of}"),
            Phase::Known
            | Phase::Settling
            | Phase::Held
            | Phase::Vetoed { .. }
            | Phase::Ignored
            | Phase::Expired
            | Phase::Withdrawn { .. } => "is a duplicate".to_owned(),
        },
    }
}
