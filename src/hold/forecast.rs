//! Who leaves when: all that waits is let go in thought, one after the other, as the service will do it for real.
//!
//! The same function decides what is due now and predicts `until` (`lifecycle.md` 3.6 and 3.7), so the two cannot differ.
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::pacing::{Counted, Pacing, pacing};
use crate::config::{AccountConfig, Hold};
use crate::item::Number;

/// A post that waits for its slot on one account. What cannot leave by itself (an `ask` without an approval, an edit
/// overtaken by the author) is not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting<'a> {
    /// The item.
    pub number: Number,
    /// The account's name in the configuration.
    pub account: &'a str,
    /// The item's kind.
    pub kind: &'a str,
    /// Who wrote it, by [`super::author_of`]; `None` where nobody is named, who then takes no turns.
    pub author: Option<&'a str>,
    /// When it was made public; where the source does not say, when it was first seen.
    pub published: Timestamp,
    /// Window, mirror wait, grace and snooze are over then. Not looked at for what was approved for now.
    pub ready: Timestamp,
    /// A retry's back-off, which even what was approved for now waits for.
    pub not_before: Option<Timestamp>,
    /// Higher goes first.
    pub priority: i64,
    /// A named person approved it for now: no window and no pacing apply.
    pub now: bool,
}

/// One step of a forecast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// When.
    pub at: Timestamp,
    /// The item.
    pub number: Number,
    /// The account.
    pub account: String,
}

/// Who leaves when, if nothing else happens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forecast {
    slots: BTreeMap<(Number, String), Timestamp>,
    order: Vec<Leaving>,
}

impl Forecast {
    /// The slot of one item on one account. `None`: it does not wait there, or never gets one (the account is off or
    /// gone, or its quiet hours never end).
    pub fn slot(&self, number: Number, account: &str) -> Option<Timestamp> {
        self.slots.get(&(number, account.to_owned())).copied()
    }

    /// The item's earliest slot over its accounts: the `until` that is shown.
    pub fn until(&self, number: Number) -> Option<Timestamp> {
        self.slots.range((number, String::new())..).take_while(|((n, _), _)| *n == number).map(|(_, at)| *at).min()
    }

    /// All slots, by item and account.
    pub fn slots(&self) -> &BTreeMap<(Number, String), Timestamp> {
        &self.slots
    }

    /// What is to leave at `now`, first things first.
    pub fn due(&self, now: Timestamp) -> &[Leaving] {
        &self.order[..self.order.partition_point(|leaving| leaving.at <= now)]
    }

    /// Everything in the order in which it leaves.
    pub fn order(&self) -> &[Leaving] {
        &self.order
    }
}

/// Works out every slot from `now` on (`lifecycle.md` 3.5 to 3.7).
///
/// `history`: by account, what counts against its limits, in any order. Accounts do not wait for each other. Within one
/// account: what was approved for now; then by priority; then, among what is ready, by time of publication, then by
/// number. What still waits lets the next pass. Within a kind an author who had the last slot lets the others go first.
///
/// Takes `n log n` time for `n` posts.
pub fn forecast(
    now: Timestamp,
    hold: &Hold,
    accounts: &[AccountConfig],
    waiting: &[Waiting<'_>],
    history: &BTreeMap<String, Vec<Counted>>,
    zone: &TimeZone,
) -> Forecast {
    let mut result = Forecast::default();
    let mut by_account: BTreeMap<&str, Vec<&Waiting<'_>>> = BTreeMap::new();
    for post in waiting {
        by_account.entry(post.account).or_default().push(post);
    }
    for account in accounts.iter().filter(|account| account.enabled) {
        let Some(posts) = by_account.remove(account.name.as_str()) else { continue };
        let history = history.get(&account.name).map_or(&[][..], Vec::as_slice);
        for (at, post) in Queue::new(now, hold, account, &posts, history, zone).run() {
            result.slots.insert((post.number, account.name.clone()), at);
            result.order.push(Leaving { at, number: post.number, account: account.name.clone() });
        }
    }
    // Stable, so that within an account the order stays that of the rules.
    result.order.sort_by_key(|leaving| leaving.at);
    result
}

/// Who goes first among those that are ready; the least one does. The index tells apart what is equal otherwise.
type Rank = (Reverse<i64>, Timestamp, Number, usize);

/// One account's posts, let go one after the other.
struct Queue<'a> {
    now: Timestamp,
    zone: &'a TimeZone,
    posts: &'a [&'a Waiting<'a>],
    /// Approved for now: the moment each leaves and its rank, last first.
    at_once: Vec<(Timestamp, Rank)>,
    lanes: BTreeMap<&'a str, Lane<'a>>,
    /// When something left, oldest first.
    taken: Vec<Timestamp>,
}

/// The posts of one kind: they share their limits.
struct Lane<'a> {
    pacing: Pacing<'a>,
    /// When one of this kind left, oldest first.
    taken: Vec<Timestamp>,
    /// Who had the last slot.
    last_author: Option<&'a str>,
    /// Not ready yet: when they are, last first.
    pending: Vec<(Timestamp, Rank)>,
    /// Ready, by author.
    ready: BTreeMap<Option<&'a str>, BinaryHeap<Reverse<Rank>>>,
    /// The first of each author in `ready`.
    heads: BTreeSet<(Rank, Option<&'a str>)>,
}

impl<'a> Queue<'a> {
    fn new(
        now: Timestamp,
        hold: &'a Hold,
        account: &'a AccountConfig,
        posts: &'a [&'a Waiting<'a>],
        history: &'a [Counted],
        zone: &'a TimeZone,
    ) -> Self {
        let mut at_once = Vec::new();
        let mut lanes: BTreeMap<&str, Lane<'_>> = BTreeMap::new();
        for (index, post) in posts.iter().enumerate() {
            let rank = (Reverse(post.priority), post.published, post.number, index);
            let not_before = post.not_before.unwrap_or(now).max(now);
            if post.now {
                at_once.push((not_before, rank));
            } else {
                let lane = lanes.entry(post.kind).or_insert_with(|| Lane::new(pacing(hold, post.kind, account)));
                lane.pending.push((post.ready.max(not_before), rank));
            }
        }
        at_once.sort_unstable_by(|a, b| b.cmp(a));
        let mut history: Vec<&Counted> = history.iter().collect();
        history.sort_by_key(|post| post.at);
        for post in &history {
            if let Some(lane) = lanes.get_mut(post.kind.as_str()) {
                lane.taken.push(post.at);
                lane.last_author = post.author.as_deref();
            }
        }
        for lane in lanes.values_mut() {
            lane.pending.sort_unstable_by(|a, b| b.cmp(a));
        }
        Queue { now, zone, posts, at_once, lanes, taken: history.iter().map(|post| post.at).collect() }
    }

    /// The posts in the order in which they leave, with their slots.
    fn run(mut self) -> Vec<(Timestamp, &'a Waiting<'a>)> {
        let mut left = Vec::with_capacity(self.posts.len());
        while let Some((at, index)) = self.step() {
            let post = self.posts[index];
            // Nothing that follows leaves earlier, so each goes to the end, but for a history from the future.
            self.now = at;
            let place = self.taken.partition_point(|taken| *taken <= at);
            self.taken.insert(place, at);
            if let Some(lane) = self.lanes.get_mut(post.kind) {
                let place = lane.taken.partition_point(|taken| *taken <= at);
                lane.taken.insert(place, at);
                lane.last_author = post.author;
            }
            left.push((at, post));
        }
        left
    }

    /// Takes out what leaves next.
    fn step(&mut self) -> Option<(Timestamp, usize)> {
        let (now, zone, taken) = (self.now, self.zone, &self.taken);
        let slots = self.lanes.iter().filter_map(|(kind, lane)| Some((lane.slot(now, taken, zone)?, *kind)));
        let slots: Vec<(Timestamp, &str)> = slots.collect();
        let paced = slots.iter().map(|(at, _)| *at).min();
        if let Some((at, rank)) = self.at_once.last().copied()
            && paced.is_none_or(|paced| at <= paced)
        {
            self.at_once.pop();
            return Some((at, rank.3));
        }
        let at = paced?;
        let free = slots.iter().filter(|(slot, _)| *slot == at);
        let mut first: Option<(Rank, Option<&str>, &str)> = None;
        for (_, kind) in free {
            let lane = self.lanes.get_mut(kind).expect("its slot was just worked out");
            lane.wake(at, self.posts);
            let best = lane.best().map(|(rank, author)| (rank, author, *kind));
            first = match (first, best) {
                (Some(first), Some(best)) => Some(first.min(best)),
                (first, best) => first.or(best),
            };
        }
        let (rank, author, kind) = first?;
        self.lanes.get_mut(kind).expect("its best was just found").take(rank, author);
        Some((at, rank.3))
    }
}

impl<'a> Lane<'a> {
    fn new(pacing: Pacing<'a>) -> Self {
        Lane {
            pacing,
            taken: Vec::new(),
            last_author: None,
            pending: Vec::new(),
            ready: BTreeMap::new(),
            heads: BTreeSet::new(),
        }
    }

    /// The next moment at which one of this kind may leave. `None`: none waits, or never.
    fn slot(&self, now: Timestamp, taken: &[Timestamp], zone: &TimeZone) -> Option<Timestamp> {
        let from = if self.heads.is_empty() { self.pending.last()?.0.max(now) } else { now };
        self.pacing.next(from, taken, &self.taken, zone)
    }

    /// Moves what is ready at `at` to those that are.
    fn wake(&mut self, at: Timestamp, posts: &[&'a Waiting<'a>]) {
        while let Some((_, rank)) = self.pending.pop_if(|(ready, _)| *ready <= at) {
            let author = posts[rank.3].author;
            let queue = self.ready.entry(author).or_default();
            if let Some(Reverse(head)) = queue.peek() {
                self.heads.remove(&(*head, author));
            }
            queue.push(Reverse(rank));
            let Reverse(head) = queue.peek().expect("one was just pushed");
            self.heads.insert((*head, author));
        }
    }

    /// Whose turn it is: the first, unless its author had the last slot and another waits.
    fn best(&self) -> Option<(Rank, Option<&'a str>)> {
        let others = self.heads.iter().find(|(_, author)| author.is_none() || *author != self.last_author);
        others.or(self.heads.first()).copied()
    }

    /// Takes out the first of `author`.
    fn take(&mut self, rank: Rank, author: Option<&'a str>) {
        self.heads.remove(&(rank, author));
        if let Some(queue) = self.ready.get_mut(&author) {
            queue.pop();
            if let Some(Reverse(head)) = queue.peek() {
                self.heads.insert((*head, author));
            }
        }
    }
}
