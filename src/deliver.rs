//! Settles what has settled, reads origins again, claims what is due, lets the platforms publish it, and looks into what
//! became of lost answers. Every decision is asked of [`crate::life`], [`crate::hold`] and [`crate::outbox`].
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::mem::Discriminant;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{Either, join_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::acts::DISTRUST;
use crate::clock::Clock;
use crate::config::Config;
use crate::hold;
use crate::item::{Item, Number, Phase, Progress};
use crate::life::{self, Applied, Event, Patience, Rules};
use crate::mirrors::Catalogue;
use crate::outbox::{self, Facts, Step};
use crate::plan;
use crate::platform::Platform;
use crate::poll::Poller;
use crate::store::{Change, CommitError, Note, Store, StoreError};
use crate::wording::{self, Wording};

mod accounts;
mod lane;
mod links;
#[cfg(test)]
mod tests;

/// One request to a platform, with its uploads, must end within this. Whatever has not ended by then is unsure.
const SEND_PATIENCE: Duration = Duration::from_secs(180);
/// An origin that was out of reach is asked again after this.
const REACH_AGAIN: Duration = Duration::from_secs(60);
/// The beat while nothing is due: the heartbeat that tells an outage, the clock, forgotten corners.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// An outage is told by the last heartbeat; ten minutes need no finer one.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// After an outage nothing is decided before a server was heard, whose `Date` says whether our clock is right: a machine
/// that comes up a day ahead would give everything its grace from tomorrow on, and let asks expire. Nor for longer than
/// this, should no source answer.
const HEARING_PATIENCE: Duration = Duration::from_secs(10 * 60);
/// `oyez run --once` is not away between its rounds, as long as they come at least daily.
const ONCE_OUTAGE: Duration = Duration::from_secs(25 * 3600);
/// Items whose origins are read at the same time; of one host only ever one.
const READ_AT_ONCE: usize = 8;
/// A lane in which nothing happened is looked at again after this.
const REST: Duration = Duration::from_secs(1);
/// Items that get their grace in one change of the store.
const GRACE_AT_ONCE: usize = 256;
/// In the store: was it `oyez run --once` that said last that it runs?
const ROUNDS: &str = "rounds";
/// How often a decision is taken again when the item changed in between.
const CONFLICT_TRIES: usize = 20;

/// What one round of delivering did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Items that settled.
    pub settled: usize,
    /// Posts published.
    pub sent: usize,
    /// Deliveries that failed for good.
    pub failed: usize,
    /// Deliveries nobody is sure about.
    pub unsure: usize,
    /// When there is something to do again.
    pub next: Option<Timestamp>,
    /// Why nothing may leave, if so.
    pub stopped: Option<String>,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.settled += other.settled;
        self.sent += other.sent;
        self.failed += other.failed;
        self.unsure += other.unsure;
        if let Some(at) = other.next {
            self.next = earlier(self.next, at);
        }
    }

    /// Did nothing go out, fail or get in doubt?
    fn is_idle(&self) -> bool {
        (self.sent, self.failed, self.unsure) == (0, 0, 0)
    }
}

/// The delivering half of the service.
pub struct Deliverer {
    store: Store,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    wording: Arc<Wording>,
    poller: Arc<Poller>,
    platforms: BTreeMap<String, Arc<dyn Platform>>,
    patience: Patience,
    catalogue: Catalogue,
    /// When an origin that is out of reach, or a locked account, is tried again.
    later: Mutex<HashMap<String, Timestamp>>,
    /// What this process last said of the clock. At first it has said nothing, whatever the one before it stored.
    told: Mutex<Option<Verdict>>,
    /// How often an account was locked since it last posted.
    locked_again: Mutex<HashMap<String, u32>>,
    /// Claims whose requests are under way in this process. One that is `sending` and not here has no owner.
    in_hand: Mutex<HashSet<(Number, String)>>,
    /// Items that a round of looking after the desk has in its hands.
    looked_at: Mutex<HashSet<Number>>,
    /// Everything on the desk is still to get its grace.
    away: Mutex<Option<Away>>,
    /// This process is a round of `oyez run --once`.
    in_rounds: AtomicBool,
    /// No further request is begun.
    stopping: AtomicBool,
}

/// The clock is believed (`None`), or what is wrong with it. How far off it is changes all the time.
type Verdict = Option<Discriminant<hold::Distrust>>;

/// What this process has in its hands, as long as this lives, also where its task is dropped.
struct Held<'a, T: Eq + Hash> {
    all: &'a Mutex<HashSet<T>>,
    one: T,
}

impl<'a, T: Eq + Hash + Clone> Held<'a, T> {
    /// `None`: somebody has it already.
    fn new(all: &'a Mutex<HashSet<T>>, one: T) -> Option<Self> {
        let is_free = all.lock().expect("no holder of this lock can panic").insert(one.clone());
        is_free.then_some(Self { all, one })
    }
}

impl<T: Eq + Hash> Drop for Held<'_, T> {
    fn drop(&mut self) {
        self.all.lock().expect("no holder of this lock can panic").remove(&self.one);
    }
}

/// Nobody could look at the desk for longer than [`life::OUTAGE`].
#[derive(Debug, Clone, Copy)]
enum Away {
    /// The service did not run, since this.
    Down {
        /// Its last heartbeat.
        since: Timestamp,
        /// When it was started.
        started: Timestamp,
    },
    /// The wall clock was believed anew and had moved on: the machine was asleep.
    Asleep,
}

impl Deliverer {
    /// A deliverer over the enabled accounts.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        config: Arc<Config>,
        wording: Arc<Wording>,
        poller: Arc<Poller>,
        platforms: BTreeMap<String, Arc<dyn Platform>>,
        patience: Patience,
    ) -> Self {
        Self {
            store,
            clock,
            config,
            wording,
            poller,
            platforms,
            patience,
            catalogue: Catalogue::default(),
            later: Mutex::default(),
            told: Mutex::default(),
            locked_again: Mutex::default(),
            in_hand: Mutex::default(),
            looked_at: Mutex::default(),
            away: Mutex::default(),
            in_rounds: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        }
    }

    /// At start-up, before anything else: claims that nobody will finish become unsure, and after an outage everything on
    /// the desk is to get its grace. `once`: a round of `oyez run --once`, which is away between its rounds by design.
    pub fn start(&self, once: bool) -> Result<(), StoreError> {
        let started = self.clock.now();
        let in_rounds = once && self.store.meta(ROUNDS)? == Some(json!(true));
        let outage = if in_rounds { ONCE_OUTAGE } else { life::OUTAGE };
        for item in self.store.active()? {
            for account in item.deliveries.keys() {
                if matches!(item.deliveries[account].progress, Progress::Sending { .. }) {
                    self.happen(item.number, |_, _| Ok(Some(Event::LeftOver { account: account.clone() })))?;
                }
            }
        }
        self.in_rounds.store(once, Ordering::Release);
        match self.store.alive()?.filter(|alive| *alive + outage < started) {
            // The last heartbeat stays as it is until the grace is given: a crash before that must not lose it.
            Some(since) => {
                *self.away.lock().expect("no holder of this lock can panic") = Some(Away::Down { since, started });
                self.poller.hurry_one();
                Ok(())
            }
            None => self.say_alive(),
        }
    }

    /// The heartbeat, and whose it is: until it has come, the outage before it is not made up for.
    fn say_alive(&self) -> Result<(), StoreError> {
        let in_rounds = json!(self.in_rounds.load(Ordering::Acquire));
        if self.store.meta(ROUNDS)?.as_ref() != Some(&in_rounds) {
            self.store.set_meta(ROUNDS, &in_rounds)?;
        }
        self.store.set_alive(self.clock.now())
    }

    /// Says for the last time that the service runs, unless an outage before it is still to be made up for.
    pub fn end(&self) -> Result<(), StoreError> {
        match *self.away.lock().expect("no holder of this lock can panic") {
            None => self.say_alive(),
            Some(_) => Ok(()),
        }
    }

    /// One round, to its end: everything that is due now.
    pub async fn tick(&self) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        if !self.beat(false, &mut tally)? {
            return Ok(tally);
        }
        tally.add(self.upkeep().await?);
        let lanes = self.due(&BTreeSet::new(), &mut tally)?;
        for done in join_all(lanes.into_iter().map(|(account, lane)| self.lane(account, lane))).await {
            tally.add(done?.1);
        }
        self.look_ahead(&BTreeSet::new(), &mut tally)?;
        Ok(tally)
    }

    /// Delivers for as long as the service runs. An account that hangs holds up itself alone, and origins that are out of
    /// reach hold up nobody. When `stop` resolves, requests under way are finished and no other is begun.
    /// `beat` is told of each round, of which there is one a minute at least.
    pub async fn serve(
        &self,
        wake: &tokio::sync::Notify,
        stop: impl Future<Output = ()>,
        beat: impl Fn(),
    ) -> Result<(), StoreError> {
        let mut stop = std::pin::pin!(stop);
        let mut running = FuturesUnordered::new();
        // The accounts whose lanes are running, and when one in which nothing happened is worth another look.
        let mut busy: BTreeSet<String> = BTreeSet::new();
        let mut rests: HashMap<String, Timestamp> = HashMap::new();
        // When the desk is looked through again. A round that hangs on one origin keeps nothing that is new from settling:
        // the next one passes over what is in its hands.
        let mut upkeep = Timestamp::MIN;
        loop {
            beat();
            let now = self.clock.now();
            let mut tally = Tally::default();
            let goes_on = self.beat(true, &mut tally)?;
            if goes_on {
                if upkeep <= now {
                    upkeep = now + LONGEST_SLEEP;
                    running.push(Either::Left(async { (None, self.upkeep().await) }));
                }
                rests.retain(|_, at| now < *at);
                let held: BTreeSet<String> = busy.iter().chain(rests.keys()).cloned().collect();
                for (account, lane) in self.due(&held, &mut tally)? {
                    busy.insert(account.clone());
                    running.push(Either::Right(async move {
                        match self.lane(account.clone(), lane).await {
                            Ok((account, done)) => (Some(account), Ok(done)),
                            Err(error) => (Some(account), Err(error)),
                        }
                    }));
                }
                let held: BTreeSet<String> = busy.iter().chain(rests.keys()).cloned().collect();
                self.look_ahead(&held, &mut tally)?;
            }
            let soonest = std::iter::once(upkeep).chain(rests.values().copied()).filter(|_| goes_on);
            let next = soonest.chain(tally.next).min();
            let shortest = Duration::from_millis(50);
            let sleep = next.map_or(LONGEST_SLEEP, |at| {
                let wait = at.duration_since(self.clock.now());
                Duration::try_from(wait).unwrap_or(Duration::ZERO).clamp(shortest, LONGEST_SLEEP)
            });
            tokio::select! {
                Some((lane, done)) = running.next(), if !running.is_empty() => {
                    let done: Tally = done?;
                    let now = self.clock.now();
                    match lane {
                        None => upkeep = upkeep.min(done.next.unwrap_or(upkeep).max(now + REST)),
                        Some(account) => {
                            busy.remove(&account);
                            if done.is_idle() {
                                rests.insert(account, now + REST);
                            }
                        }
                    }
                }
                () = tokio::time::sleep(sleep) => {}
                () = wake.notified() => {
                    rests.clear();
                    upkeep = Timestamp::MIN;
                }
                () = &mut stop => break,
            }
        }
        self.stopping.store(true, Ordering::Release);
        while let Some((_, done)) = running.next().await {
            done?;
        }
        Ok(())
    }

    /// What each beat begins with. `false`: nothing may leave now. `patient`: there is time to wait until a source was heard.
    fn beat(&self, patient: bool, tally: &mut Tally) -> Result<bool, StoreError> {
        if let Some(why) = self.distrust()? {
            tally.stopped = Some(why);
            tally.next = Some(self.clock.now() + Duration::from_secs(10));
            return Ok(false);
        }
        let away = *self.away.lock().expect("no holder of this lock can panic");
        if let Some(away) = away {
            let now = self.clock.now();
            if let Away::Down { started, .. } = away
                && patient
                && now < started + HEARING_PATIENCE
                && !self.poller.has_heard()
            {
                tally.next = Some(now + REST);
                return Ok(false);
            }
            self.give_grace(away)?;
        }
        if self.put_off("heartbeat").is_none() {
            self.say_alive()?;
            self.put_off_until("heartbeat".to_owned(), self.clock.now() + HEARTBEAT);
        }
        self.notice_quiet_accounts()?;
        Ok(true)
    }

    /// Everything on the desk gets its grace, many items in one change: a start must not take minutes.
    fn give_grace(&self, away: Away) -> Result<(), StoreError> {
        let now = self.clock.now();
        for some in self.store.active()?.chunks(GRACE_AT_ONCE) {
            let mut change = Change { durable: true, ..Change::default() };
            for item in some {
                if let Ok(applied) = life::happen(item, Event::OutageGrace, &self.rules(&item.kind))
                    && applied.changed
                {
                    change.notes.extend(notes(&applied, now, item.number));
                    change.items.push(applied.item);
                }
            }
            match self.store.commit(change) {
                Ok(_) => {}
                Err(CommitError::Store(error)) => return Err(error),
                // Somebody acted on one of them: then each by itself.
                Err(CommitError::Conflict { .. } | CommitError::Taken { .. }) => {
                    for item in some {
                        self.happen(item.number, |_, _| Ok(Some(Event::OutageGrace)))?;
                    }
                }
            }
        }
        let mut note = Note::new(now, None, "oyez", "outage");
        match away {
            Away::Down { since, .. } => {
                note.detail = json!({"since": since});
                tracing::warn!(%since, "oyez was away: what is held gets its grace period");
            }
            Away::Asleep => tracing::warn!("the machine was asleep: what is held gets its grace period"),
        }
        self.commit(Change { notes: vec![note], durable: true, ..Change::default() })?;
        *self.away.lock().expect("no holder of this lock can panic") = None;
        self.say_alive()
    }

    async fn upkeep(&self) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        self.unlock().await?;
        tally.next = self.keep_up(&mut tally).await?;
        Ok(tally)
    }

    /// Decides about everything active. What needs no network is done; the rest comes back by account, in its order.
    /// Nothing is handed out for accounts that are `held`.
    fn due(
        &self,
        held: &BTreeSet<String>,
        tally: &mut Tally,
    ) -> Result<BTreeMap<String, Vec<(Number, Step)>>, StoreError> {
        let items = self.store.active()?;
        let now = self.clock.now();
        let plan = plan::of(&items, &self.store, &self.config, now, &|number| self.put_off(&reach_of(number)))?;
        let mut lanes: BTreeMap<String, Vec<(Number, Step)>> = BTreeMap::new();
        let mut rank: HashMap<(Number, &str), usize> = HashMap::new();
        for (i, leaving) in plan.due().iter().enumerate() {
            rank.insert((leaving.number, leaving.account.as_str()), i);
        }
        for item in &items {
            for (account, delivery) in &item.deliveries {
                if matches!(delivery.progress, Progress::Sending { .. }) {
                    let claim = (item.number, account.clone());
                    if !self.in_hand.lock().expect("no holder of this lock can panic").contains(&claim) {
                        // Its task died, or its answer could not be recorded: nobody else would ever end it.
                        self.happen(item.number, |_, _| Ok(Some(Event::LeftOver { account: account.clone() })))?;
                    }
                    continue;
                }
                let step = self.step(item, account, plan.slot(item.number, account), now)?;
                let put_off = self.put_off(&reach_of(item.number));
                match step {
                    Step::Nothing | Step::AskPerson { .. } => {}
                    Step::Wait { until } => tally.next = earlier(tally.next, until),
                    Step::Expire => self.happen(item.number, |_, _| Ok(Some(Event::Expire)))?,
                    Step::Stale { could_leave } => {
                        self.happen(item.number, |_, _| Ok(Some(Event::Stale { could_leave })))?;
                    }
                    Step::GiveUp => {
                        self.happen(item.number, |_, _| Ok(Some(Event::GiveUp { account: account.clone() })))?;
                        tally.failed += 1;
                    }
                    Step::RereadThenSend | Step::RepeatSameKey | Step::Amend { .. } if put_off.is_some() => {
                        tally.next = put_off.and_then(|at| earlier(tally.next, at));
                    }
                    Step::RereadThenSend
                    | Step::RepeatSameKey
                    | Step::ReadBack
                    | Step::Retract { .. }
                    | Step::Amend { .. } => {
                        let paused = self.store.account(account)?.paused_until.filter(|at| now < *at);
                        if let Some(at) = paused {
                            tally.next = earlier(tally.next, at);
                        } else if !held.contains(account) {
                            lanes.entry(account.clone()).or_default().push((item.number, step));
                        }
                    }
                }
            }
        }
        for (account, lane) in &mut lanes {
            lane.sort_by_key(|(number, _)| rank.get(&(*number, account.as_str())).copied().unwrap_or(usize::MAX));
        }
        Ok(lanes)
    }

    /// When there is something to do again, as things stand now.
    fn look_ahead(&self, held: &BTreeSet<String>, tally: &mut Tally) -> Result<(), StoreError> {
        let now = self.clock.now();
        let items = self.store.active()?;
        let plan = plan::of(&items, &self.store, &self.config, now, &|number| self.put_off(&reach_of(number)))?;
        if let Some(at) = plan.next() {
            tally.next = earlier(tally.next, at);
        }
        // What was sent in this round may have to be looked into long before the next one would come by itself.
        for item in &items {
            for account in item.deliveries.keys() {
                match self.step(item, account, plan.slot(item.number, account), now)? {
                    Step::Wait { until } => tally.next = earlier(tally.next, until),
                    Step::ReadBack if held.contains(account) => {}
                    Step::ReadBack => {
                        let paused = self.store.account(account)?.paused_until.filter(|at| now < *at);
                        tally.next = earlier(tally.next, paused.unwrap_or(now));
                    }
                    Step::Nothing
                    | Step::RereadThenSend
                    | Step::RepeatSameKey
                    | Step::Retract { .. }
                    | Step::Amend { .. }
                    | Step::AskPerson { .. }
                    | Step::GiveUp
                    | Step::Expire
                    | Step::Stale { .. } => {}
                }
            }
        }
        Ok(())
    }

    /// What time alone brings: settling, the look at half the window, the first look at what was only known.
    async fn keep_up(&self, tally: &mut Tally) -> Result<Option<Timestamp>, StoreError> {
        let mut next = None;
        let items = self.store.active()?;
        let mut looks = futures_util::stream::iter(items.into_iter().map(|item| self.keep_one(item)))
            .buffer_unordered(READ_AT_ONCE);
        while let Some(kept) = looks.next().await {
            let (at, settled) = kept?;
            tally.settled += usize::from(settled);
            if let Some(at) = at {
                next = earlier(next, at);
            }
        }
        Ok(next)
    }

    /// When this item is worth another look, and whether it has settled now.
    async fn keep_one(&self, item: Item) -> Result<(Option<Timestamp>, bool), StoreError> {
        let number = item.number;
        // In the hands of another round, which says when it is due again.
        let Some(_turn) = Held::new(&self.looked_at, number) else { return Ok((None, false)) };
        // As it is now: another round may have settled it while this one waited for its turn.
        let Some(item) = self.store.item(number)?.filter(|_| !self.stopping.load(Ordering::Acquire)) else {
            return Ok((None, false));
        };
        let now = self.clock.now();
        let short = self.short_due(&item).map(|(_, at)| at);
        // At once, and again when it is due: nobody should have to wait for it at the end.
        if short.is_some_and(|at| at <= now) {
            self.open_shorts(number).await?;
            return Ok((Some(now), false));
        }
        if let Some(id) = self.search_due(&item, now) {
            self.search(number, &id).await?;
            return Ok((Some(self.clock.now()), false));
        }
        let due = match item.phase {
            Phase::Settling if item.deliveries.values().any(|d| d.now) => now,
            Phase::Settling => item.settled.unwrap_or(now),
            // Sent on its way from what was only known: its text was never read.
            Phase::Held if item.checked.is_none() => now,
            Phase::Held => match half_window(&item).filter(|half| item.checked.is_none_or(|at| at < *half)) {
                Some(half) => half,
                None => {
                    let mirrored = self.mirror(&item)?;
                    return Ok((if mirrored { Some(now) } else { short }, false));
                }
            },
            Phase::Known
            | Phase::Vetoed { .. }
            | Phase::Ignored
            | Phase::Expired
            | Phase::Withdrawn { .. }
            | Phase::Duplicate { .. } => return Ok((None, false)),
        };
        let look = format!("look {number}");
        let due = due.max(self.put_off(&look).unwrap_or(due));
        if self.mirror(&item)? {
            return Ok((Some(now), false));
        }
        if now < due {
            return Ok((earlier(short, due), false));
        }
        if let Some(at) = self.look(&item).await? {
            self.put_off_until(look, at);
            return Ok((Some(at), false));
        }
        if let Some(mut item) = self.store.item(number)?
            && item.unreachable_since.take().is_some()
        {
            // In vain, for as long as `grace`. What leaves later is waited for anew: much may happen until then.
            self.commit(Change { items: vec![item], ..Change::default() })?;
        }
        if item.phase == Phase::Held {
            // Read, or out of reach for so long that the next one to ask is the delivery.
            self.put_off_until(look, now + REACH_AGAIN);
            return Ok((None, false));
        }
        // Before anybody sees the text: what it leads to belongs to it.
        self.open_shorts(number).await?;
        if self.settle(number)? {
            return Ok((self.store.item(number)?.as_ref().and_then(half_window), true));
        }
        let item = self.store.item(number)?.filter(|item| item.phase == Phase::Settling);
        Ok((item.and_then(|item| item.settled), false))
    }

    /// Reads an item's origins again. `Some`: they are out of reach, not yet for as long as `grace`; look again then.
    async fn look(&self, item: &Item) -> Result<Option<Timestamp>, StoreError> {
        let number = item.number;
        let lead = item.origins.iter().find(|origin| origin.gone.is_none()).or(item.origins.first());
        let source = format!("source {}", lead.map_or("", |lead| lead.source.as_str()));
        let at = match self.put_off(&source) {
            // It was out of reach a moment ago, for another item: it is not asked once for each.
            Some(at) => at,
            None => {
                let reach = self.poller.reread(number).await?;
                if reach.reached {
                    return Ok(None);
                }
                let now = self.clock.now();
                if let Some(alone) = reach.leave_alone {
                    let at = now + alone.clamp(REACH_AGAIN, outbox::LONGEST_ASKED);
                    self.put_off_until(source, at);
                    // Behind the others of its source, should the trouble be its own.
                    at + REACH_AGAIN
                } else {
                    now + REACH_AGAIN
                }
            }
        };
        let tried = format!("tried {number}");
        let anew = self.put_off(&tried).is_none();
        self.poller.out_of_reach(number, anew)?;
        // As long as the next try comes within this, it belongs to the same series.
        self.put_off_until(tried, at.max(self.clock.now()) + 5 * REACH_AGAIN);
        let Some(item) = self.store.item(number)? else { return Ok(None) };
        let grace = hold::for_kind(&self.config.hold, &item.kind).grace;
        let now = self.clock.now();
        let over = item.unreachable_since.map(|since| since + grace).filter(|over| now < *over);
        Ok(over.map(|over| at.min(over).max(now)))
    }

    /// Words the posts and puts the item on the desk, if its time to settle has come.
    fn settle(&self, number: Number) -> Result<bool, StoreError> {
        let mut settled = false;
        let mut unworded = BTreeMap::new();
        self.happen(number, |item, now| {
            settled = false;
            let due = item.settled.is_none_or(|at| at <= now) || item.deliveries.values().any(|d| d.now);
            if item.phase != Phase::Settling || !due {
                return Ok(None);
            }
            let (posts, problems) = self.wording.word_all(&self.store, item)?;
            unworded = problems;
            settled = true;
            Ok(Some(Event::Settle { posts }))
        })?;
        if settled {
            let now = self.clock.now();
            let notes = unworded.into_iter().map(|(account, problem)| {
                tracing::warn!(item = number, account, "no post: {problem}");
                let detail = json!({"account": account});
                Note { reason: Some(problem), detail, ..Note::new(now, Some(number), "oyez", "no-post") }
            });
            let notes: Vec<Note> = notes.collect();
            if !notes.is_empty() {
                self.commit(Change { notes, ..Change::default() })?;
            }
        }
        Ok(settled)
    }

    fn step(&self, item: &Item, account: &str, slot: Option<Timestamp>, now: Timestamp) -> Result<Step, StoreError> {
        let known = self.config.account(account).is_some_and(|a| a.enabled) && self.platforms.contains_key(account);
        let record = self.store.account(account)?;
        let keeps_keys = self
            .config
            .account(account)
            .map(|config| wording::limits(&self.store, config))
            .transpose()?
            .is_some_and(|limits| limits.keeps_keys);
        Ok(outbox::next_step(
            item,
            account,
            &Facts {
                now,
                hold: hold::for_kind(&self.config.hold, &item.kind),
                slot,
                account_open: known && record.locked.is_none(),
                keeps_keys,
                give_up: self.config.delivery.give_up,
                patience: self.patience,
            },
        ))
    }

    /// One event on one item: read, decide, store, and again when somebody else was faster.
    fn happen(
        &self,
        number: Number,
        mut event: impl FnMut(&Item, Timestamp) -> Result<Option<Event>, StoreError>,
    ) -> Result<(), StoreError> {
        for _ in 0..CONFLICT_TRIES {
            let Some(item) = self.store.item(number)? else { return Ok(()) };
            let now = self.clock.now();
            let Some(event) = event(&item, now)? else { return Ok(()) };
            let applied = match life::happen(&item, event, &self.rules(&item.kind)) {
                Ok(applied) => applied,
                Err(refused) => {
                    tracing::debug!(item = number, "nothing happens: {}", refused.why);
                    return Ok(());
                }
            };
            if !applied.changed {
                return Ok(());
            }
            let notes = notes(&applied, now, number);
            match self.store.commit(Change { items: vec![applied.item], notes, durable: true, ..Change::default() }) {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict { .. } | CommitError::Taken { .. }) => {}
                Err(CommitError::Store(error)) => return Err(error),
            }
        }
        tracing::error!(item = number, "the item changes all the time: what happened to it could not be recorded yet");
        Ok(())
    }

    fn rules(&self, kind: &str) -> Rules<'_> {
        Rules {
            now: self.clock.now(),
            hold: hold::for_kind(&self.config.hold, kind),
            zone: &self.config.service.time_zone,
            give_up: self.config.delivery.give_up,
            patience: self.patience,
        }
    }

    fn commit(&self, change: Change) -> Result<(), StoreError> {
        match self.store.commit(change) {
            Ok(_) => Ok(()),
            // An account's record or a note: whoever was faster says the same, and the next beat looks again.
            Err(CommitError::Conflict { .. } | CommitError::Taken { .. }) => Ok(()),
            Err(CommitError::Store(error)) => Err(error),
        }
    }

    /// `lifecycle.md` 3.9: does the clock go by what the journal and the sources say? Told once, when it changes.
    fn distrust(&self) -> Result<Option<String>, StoreError> {
        let verdict = self.poller.distrust();
        if verdict.is_some() {
            // Nothing leaves meanwhile, so believing the wall clock anew shortens no window; somebody may have mended it.
            let before = self.clock.now();
            let after = self.clock.reanchor();
            if before + life::OUTAGE < after {
                *self.away.lock().expect("no holder of this lock can panic") = Some(Away::Asleep);
            }
            self.poller.clock_moved(after.duration_since(before));
        }
        let kind = verdict.as_ref().map(std::mem::discriminant);
        let why = verdict.map(|why| why.to_string());
        let mut told = self.told.lock().expect("no holder of this lock can panic");
        if *told != Some(kind) {
            match &why {
                Some(why) => tracing::error!("nothing leaves: {why}"),
                // Also where the process before this one was stopped to mend the clock.
                None if self.store.meta(DISTRUST)?.is_some_and(|word| word.is_string()) => {
                    tracing::warn!("the clock is believed again");
                }
                None => {}
            }
            self.store.set_meta(DISTRUST, &json!(why))?;
            *told = Some(kind);
        }
        Ok(why)
    }

    fn put_off(&self, what: &str) -> Option<Timestamp> {
        let now = self.clock.now();
        self.later.lock().expect("no holder of this lock can panic").get(what).copied().filter(|at| now < *at)
    }

    fn put_off_until(&self, what: String, at: Timestamp) {
        let now = self.clock.now();
        let mut later = self.later.lock().expect("no holder of this lock can panic");
        later.retain(|_, at| now < *at);
        later.insert(what, at);
    }
}

/// Under which the look before an item's delivery is put off.
fn reach_of(number: Number) -> String {
    format!("item {number}")
}

/// The middle of the window: the author may have edited what the list does not show.
fn half_window(item: &Item) -> Option<Timestamp> {
    let (settled, end) = (item.settled?, item.window_end?);
    let window = end.duration_since(settled);
    (window > SignedDuration::from_mins(2)).then(|| settled + window / 2)
}

fn earlier(a: Option<Timestamp>, b: Timestamp) -> Option<Timestamp> {
    Some(a.map_or(b, |a| a.min(b)))
}

/// The journal's notes of what came of an event.
pub(crate) fn notes(applied: &Applied, now: Timestamp, number: Number) -> Vec<Note> {
    applied
        .notes
        .iter()
        .map(|note| {
            let mut entry = Note::new(now, Some(number), "oyez", note.what);
            entry.reason = (!note.detail.is_empty()).then(|| note.detail.clone());
            if let Some(account) = &note.account {
                entry.detail = json!({"account": account});
            }
            entry
        })
        .collect()
}

/// Bounded in time, and a panic is an error: `Err` is the reason.
async fn guarded<T>(work: impl Future<Output = T>) -> Result<T, String> {
    match tokio::time::timeout(SEND_PATIENCE, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err("the answer made the program panic: please report it".to_owned()),
        Err(_) => Err(format!("no answer within {} s", SEND_PATIENCE.as_secs())),
    }
}
