//! Settles what has settled, reads origins again, claims what is due, lets the platforms publish it, and looks into what
//! became of lost answers. Every decision is asked of [`crate::life`], [`crate::hold`] and [`crate::outbox`].
use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::clock::Clock;
use crate::config::Config;
use crate::hold;
use crate::item::{Item, Number, Phase, Progress};
use crate::life::{self, Applied, Event, Patience, Rules};
use crate::outbox::{self, Facts, Step};
use crate::plan;
use crate::platform::{Platform, ReadBack, SendError};
use crate::poll::Poller;
use crate::render::Templates;
use crate::store::{Change, ClaimError, CommitError, Note, Store, StoreError};
use crate::wording;

/// One request to a platform, with its uploads, must end within this. Whatever has not ended by then is unsure.
const SEND_PATIENCE: Duration = Duration::from_secs(180);
/// An origin that was out of reach is asked again after this.
const REACH_AGAIN: Duration = Duration::from_secs(60);
/// A locked account is tried again after this: its token may have been renewed.
const UNLOCK_AFTER: Duration = Duration::from_secs(15 * 60);
/// `oyez run --once` is not away between its rounds, as long as they come at least daily.
const ONCE_OUTAGE: Duration = Duration::from_secs(25 * 3600);
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

/// The delivering half of the service.
pub struct Deliverer {
    store: Store,
    clock: Arc<dyn Clock>,
    config: Arc<Config>,
    templates: Arc<Templates>,
    poller: Arc<Poller>,
    platforms: BTreeMap<String, Arc<dyn Platform>>,
    patience: Patience,
    /// When an origin that is out of reach, or a locked account, is tried again.
    later: Mutex<HashMap<String, Timestamp>>,
    distrusted: Mutex<Option<String>>,
}

impl Deliverer {
    /// A deliverer over the enabled accounts.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        config: Arc<Config>,
        templates: Arc<Templates>,
        poller: Arc<Poller>,
        platforms: BTreeMap<String, Arc<dyn Platform>>,
        patience: Patience,
    ) -> Self {
        Self {
            store,
            clock,
            config,
            templates,
            poller,
            platforms,
            patience,
            later: Mutex::default(),
            distrusted: Mutex::default(),
        }
    }

    /// At start-up, before anything else: claims that nobody will finish become unsure, and after an outage everything on
    /// the desk gets its grace. `once`: a round of `oyez run --once`, which is away between its rounds by design.
    pub fn start(&self, once: bool) -> Result<(), StoreError> {
        let now = self.clock.now();
        let outage = if once { ONCE_OUTAGE } else { life::OUTAGE };
        let away = self.store.alive()?.filter(|alive| *alive + outage < now);
        for item in self.store.active()? {
            for account in item.deliveries.keys() {
                if matches!(item.deliveries[account].progress, Progress::Sending { .. }) {
                    self.happen(item.number, |_, _| Ok(Some(Event::LeftOver { account: account.clone() })))?;
                }
            }
            if away.is_some() {
                self.happen(item.number, |_, _| Ok(Some(Event::OutageGrace)))?;
            }
        }
        if let Some(since) = away {
            let note = Note { detail: json!({"since": since}), ..Note::new(now, None, "oyez", "outage") };
            self.commit(Change { notes: vec![note], durable: true, ..Change::default() })?;
            tracing::warn!(%since, "oyez was away: what is held gets its grace period");
        }
        self.store.set_alive(now)
    }

    /// One round.
    pub async fn tick(&self) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        if let Some(why) = self.distrust()? {
            tally.stopped = Some(why);
            tally.next = Some(self.clock.now() + Duration::from_secs(10));
            return Ok(tally);
        }
        self.store.set_alive(self.clock.now())?;
        self.unlock().await?;
        self.notice_quiet_accounts()?;
        let mut next = self.keep_up(&mut tally).await?;
        let items = self.store.active()?;
        let now = self.clock.now();
        let plan = plan::of(&items, &self.store, &self.config, now)?;

        // What is due in its order, one account after the other's posts; accounts do not wait for each other.
        let mut lanes: BTreeMap<&str, Vec<(Number, Step)>> = BTreeMap::new();
        let mut rank: HashMap<(Number, &str), usize> = HashMap::new();
        for (i, leaving) in plan.due().iter().enumerate() {
            rank.insert((leaving.number, leaving.account.as_str()), i);
        }
        for item in &items {
            for account in item.deliveries.keys() {
                let step = self.step(item, account, plan.slot(item.number, account), now)?;
                match step {
                    Step::Nothing | Step::AskPerson { .. } => {}
                    Step::Wait { until } => next = earlier(next, until),
                    Step::Expire => self.happen(item.number, |_, _| Ok(Some(Event::Expire)))?,
                    Step::Stale { could_leave } => {
                        self.happen(item.number, |_, _| Ok(Some(Event::Stale { could_leave })))?;
                    }
                    Step::GiveUp => {
                        self.happen(item.number, |_, _| Ok(Some(Event::GiveUp { account: account.clone() })))?;
                        tally.failed += 1;
                    }
                    Step::RereadThenSend
                    | Step::RepeatSameKey
                    | Step::ReadBack
                    | Step::Retract { .. }
                    | Step::Amend { .. } => lanes.entry(account).or_default().push((item.number, step)),
                }
            }
        }
        let lanes = lanes.into_iter().map(|(account, mut lane)| {
            lane.sort_by_key(|(number, _)| rank.get(&(*number, account)).copied().unwrap_or(usize::MAX));
            self.lane(account, lane)
        });
        for done in join_all(lanes).await {
            let done = done?;
            tally.sent += done.sent;
            tally.failed += done.failed;
            tally.unsure += done.unsure;
            if let Some(at) = done.next {
                next = earlier(next, at);
            }
        }
        // What the answers of this beat left waiting is due again by itself, not with whatever happens next.
        let items = self.store.active()?;
        let now = self.clock.now();
        let plan = plan::of(&items, &self.store, &self.config, now)?;
        for item in &items {
            for account in item.deliveries.keys() {
                match self.step(item, account, plan.slot(item.number, account), now)? {
                    Step::Wait { until } => next = earlier(next, until),
                    Step::ReadBack => next = earlier(next, now),
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
        for at in [plan.next(), next].into_iter().flatten() {
            tally.next = Some(earlier(tally.next, at).unwrap_or(at));
        }
        Ok(tally)
    }

    /// Posts of one account, in their order.
    async fn lane(&self, account: &str, lane: Vec<(Number, Step)>) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        for (number, step) in lane {
            let Some(platform) = self.platforms.get(account) else { continue };
            match step {
                Step::RereadThenSend | Step::RepeatSameKey => self.send(number, account, platform, &mut tally).await?,
                Step::ReadBack => self.read_back(number, account, platform, &mut tally).await?,
                Step::Retract { id } => {
                    let result = guarded(platform.retract(&id))
                        .await
                        .unwrap_or_else(|reason| Err(SendError::Retry { after: None, reason }));
                    self.note_lock(account, result.as_ref().err())?;
                    self.happen(number, |_, _| {
                        Ok(Some(Event::Retracted {
                            account: account.to_owned(),
                            result: result.clone(),
                            jitter: rand::random(),
                        }))
                    })?;
                }
                Step::Amend { id } => {
                    let Some(item) = self.store.item(number)? else { continue };
                    let Some(post) = item.posts.get(account) else { continue };
                    let result = guarded(platform.amend(&id, post))
                        .await
                        .unwrap_or_else(|reason| Err(SendError::Retry { after: None, reason }));
                    self.note_lock(account, result.as_ref().err())?;
                    self.happen(number, |_, _| {
                        Ok(Some(Event::Amended {
                            account: account.to_owned(),
                            result: result.clone(),
                            jitter: rand::random(),
                        }))
                    })?;
                }
                Step::Nothing
                | Step::Wait { .. }
                | Step::AskPerson { .. }
                | Step::GiveUp
                | Step::Expire
                | Step::Stale { .. } => {}
            }
            if self.is_locked(account)? {
                break;
            }
        }
        Ok(tally)
    }

    /// Reads the origin, claims, sends, records. Whatever happened to the item in between is seen by the claim.
    async fn send(
        &self,
        number: Number,
        account: &str,
        platform: &Arc<dyn Platform>,
        tally: &mut Tally,
    ) -> Result<(), StoreError> {
        let reach = format!("item {number}");
        if let Some(at) = self.put_off(&reach) {
            tally.next = earlier(tally.next, at);
            return Ok(());
        }
        self.poller.reread(number).await?;
        let Some(item) = self.store.item(number)? else { return Ok(()) };
        let now = self.clock.now();
        let grace = hold::for_kind(&self.config.hold, &item.kind).grace;
        if let Some(since) = item.unreachable_since
            && now < since + grace
        {
            // What was public yesterday and is unreachable today is not withdrawn, but deserves another look.
            let at = now + REACH_AGAIN.min(grace);
            self.put_off_until(reach, at);
            tally.next = earlier(tally.next, at);
            return Ok(());
        }
        // The plan is made anew: the reading may have moved the item, a veto or a post of this beat may have changed who is due.
        let plan = plan::make(&self.store, &self.config, now)?;
        let step = self.step(&item, account, plan.slot(number, account), now)?;
        let key = match step {
            Step::RereadThenSend => item.deliveries[account].key.clone().unwrap_or_else(new_key),
            Step::RepeatSameKey => match item.deliveries[account].key.clone() {
                Some(key) => key,
                None => return Ok(()),
            },
            Step::Wait { until } => {
                tally.next = earlier(tally.next, until);
                return Ok(());
            }
            Step::Nothing
            | Step::ReadBack
            | Step::Retract { .. }
            | Step::Amend { .. }
            | Step::AskPerson { .. }
            | Step::GiveUp
            | Step::Expire
            | Step::Stale { .. } => return Ok(()),
        };
        let claimed =
            match life::happen(&item, Event::Claimed { account: account.to_owned(), key }, &self.rules(&item.kind)) {
                Ok(claimed) => claimed,
                Err(refused) => {
                    tracing::debug!(item = number, account, "not claimed: {}", refused.why);
                    return Ok(());
                }
            };
        let notes = notes(&claimed, now, number);
        let record = self.store.account(account)?;
        let claim = match self.store.claim(&item, claimed.item, &record, now, notes) {
            Ok(claim) => claim,
            // Somebody was faster: the next beat sees what they did.
            Err(ClaimError::Conflict(_)) => {
                tally.next = earlier(tally.next, now);
                return Ok(());
            }
            Err(refused @ ClaimError::Refused { .. }) => {
                tracing::error!("{refused}");
                return Ok(());
            }
            Err(ClaimError::Store(error)) => return Err(error),
        };
        let started = self.clock.now();
        let result =
            guarded(platform.send(&claim, now)).await.unwrap_or_else(|reason| Err(SendError::Unsure { reason }));
        let took = self.clock.now().duration_since(started).as_millis();
        match &result {
            Ok(published) => {
                tally.sent += 1;
                tracing::info!(item = number, account, duration_ms = took, url = published.url.as_deref(), "published");
            }
            Err(error) => tracing::warn!(item = number, account, duration_ms = took, "not published: {error}"),
        }
        match &result {
            Err(SendError::Refused { .. }) => tally.failed += 1,
            Err(SendError::Unsure { .. }) => tally.unsure += 1,
            Ok(_) | Err(SendError::Retry { .. } | SendError::Locked { .. }) => {}
        }
        self.note_lock(account, result.as_ref().err())?;
        let jitter = rand::random();
        self.happen(number, |_, _| {
            Ok(Some(Event::Outcome { account: account.to_owned(), result: result.clone(), jitter }))
        })?;
        self.remember_limits(account, platform).await
    }

    async fn read_back(
        &self,
        number: Number,
        account: &str,
        platform: &Arc<dyn Platform>,
        tally: &mut Tally,
    ) -> Result<(), StoreError> {
        let Some(item) = self.store.item(number)? else { return Ok(()) };
        let (Some(delivery), Some(post)) = (item.deliveries.get(account), item.posts.get(account)) else {
            return Ok(());
        };
        let Progress::Unsure { since } = delivery.progress else { return Ok(()) };
        let since = delivery.key_since.unwrap_or(since).min(since);
        // What was sent, not what the post has become.
        let mut sent = post.clone();
        if let Some(text) = &delivery.sent_text {
            sent.text.clone_from(text);
        }
        let answer =
            guarded(platform.read_back(&sent, &item.found().url, since)).await.unwrap_or_else(ReadBack::Undecided);
        match &answer {
            ReadBack::Found(_) => tally.sent += 1,
            ReadBack::Absent => {}
            ReadBack::Undecided(why) => {
                tally.unsure += 1;
                tracing::warn!(item = number, account, "it cannot be told whether it is out: {why}");
            }
        }
        self.happen(number, |_, _| Ok(Some(Event::ReadBack { account: account.to_owned(), answer: answer.clone() })))?;
        Ok(())
    }

    /// What time alone brings: settling, the look at half the window.
    async fn keep_up(&self, tally: &mut Tally) -> Result<Option<Timestamp>, StoreError> {
        let mut next = None;
        for item in self.store.active()? {
            let now = self.clock.now();
            let number = item.number;
            match item.phase {
                Phase::Settling => {
                    let at = item.settled.unwrap_or(now);
                    if now < at && !item.deliveries.values().any(|d| d.now) {
                        next = earlier(next, at);
                        continue;
                    }
                    let reach = format!("settle {number}");
                    if let Some(at) = self.put_off(&reach) {
                        next = earlier(next, at);
                        continue;
                    }
                    self.poller.reread(number).await?;
                    let Some(item) = self.store.item(number)? else { continue };
                    let grace = hold::for_kind(&self.config.hold, &item.kind).grace;
                    if let Some(since) = item.unreachable_since
                        && now < since + grace
                    {
                        let at = now + REACH_AGAIN.min(grace);
                        self.put_off_until(reach, at);
                        next = earlier(next, at);
                        continue;
                    }
                    if self.settle(number)? {
                        tally.settled += 1;
                    } else if let Some(item) = self.store.item(number)?
                        && item.phase == Phase::Settling
                        && let Some(at) = item.settled
                    {
                        next = earlier(next, at);
                    }
                }
                Phase::Held => {
                    if let Some(half) = half_window(&item)
                        && item.checked.is_none_or(|checked| checked < half)
                    {
                        let reach = format!("half {number}");
                        if now < half {
                            next = earlier(next, half);
                        } else if self.put_off(&reach).is_none() {
                            self.poller.reread(number).await?;
                            self.put_off_until(reach, now + REACH_AGAIN);
                        }
                    }
                }
                Phase::Known
                | Phase::Vetoed { .. }
                | Phase::Ignored
                | Phase::Expired
                | Phase::Withdrawn { .. }
                | Phase::Duplicate { .. } => {}
            }
        }
        Ok(next)
    }

    /// Words the posts and puts the item on the desk, if its time to settle has come.
    fn settle(&self, number: Number) -> Result<bool, StoreError> {
        let mut settled = false;
        self.happen(number, |item, now| {
            settled = false;
            let due = item.settled.is_none_or(|at| at <= now) || item.deliveries.values().any(|d| d.now);
            if item.phase != Phase::Settling || !due {
                return Ok(None);
            }
            let (posts, problems) = wording::word_all(&self.store, item, &self.config, &self.templates)?;
            for (account, problem) in &problems {
                tracing::warn!(item = number, account, "no post: {problem}");
            }
            settled = true;
            Ok(Some(Event::Settle { posts }))
        })?;
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
        let skews: Vec<SignedDuration> = self.poller.skews().into_iter().map(SignedDuration::from_secs).collect();
        let last = self.store.last_entry_at();
        let verdict = hold::trust(self.clock.now(), last, &skews).err().map(|why| why.to_string());
        let mut before = self.distrusted.lock().expect("no holder of this lock can panic");
        if verdict.is_some() {
            // Nothing leaves meanwhile, so believing the wall clock anew shortens no window; somebody may have mended it.
            self.clock.reanchor();
        }
        if verdict != *before {
            match &verdict {
                Some(why) => tracing::error!("nothing leaves: {why}"),
                None => tracing::warn!("the clock is believed again"),
            }
            before.clone_from(&verdict);
        }
        Ok(verdict)
    }

    fn is_locked(&self, account: &str) -> Result<bool, StoreError> {
        Ok(self.store.account(account)?.locked.is_some())
    }

    /// A refused credential stops the account alone, loudly, until it works again.
    fn note_lock(&self, account: &str, error: Option<&SendError>) -> Result<(), StoreError> {
        let Some(SendError::Locked { reason }) = error else { return Ok(()) };
        let now = self.clock.now();
        let mut record = self.store.account(account)?;
        record.locked = Some(crate::store::Locked { at: now, reason: reason.clone() });
        let note = Note {
            reason: Some(reason.clone()),
            detail: json!({"account": account}),
            ..Note::new(now, None, "oyez", "account-locked")
        };
        tracing::error!(account, "the account is stopped: {reason}");
        self.put_off_until(format!("unlock {account}"), now + UNLOCK_AFTER);
        self.commit(Change { accounts: vec![record], notes: vec![note], durable: true, ..Change::default() })
    }

    async fn unlock(&self) -> Result<(), StoreError> {
        for (account, platform) in &self.platforms {
            let mut record = self.store.account(account)?;
            if record.locked.is_none() || self.put_off(&format!("unlock {account}")).is_some() {
                continue;
            }
            let now = self.clock.now();
            self.put_off_until(format!("unlock {account}"), now + UNLOCK_AFTER);
            if let Ok(Ok(who)) = guarded(platform.identity()).await {
                record.locked = None;
                let note =
                    Note { detail: json!({"account": account}), ..Note::new(now, None, "oyez", "account-unlocked") };
                tracing::warn!(account, "the account works again, as {who}");
                self.commit(Change { accounts: vec![record], notes: vec![note], durable: true, ..Change::default() })?;
            }
        }
        Ok(())
    }

    /// "Nothing went out on X for nine days while others did": said once a day while it is so.
    fn notice_quiet_accounts(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        if self.put_off("quiet accounts").is_some() {
            return Ok(());
        }
        self.put_off_until("quiet accounts".to_owned(), now + Duration::from_secs(86_400));
        let quiet_after = self.config.delivery.quiet_after;
        let mut last = Vec::new();
        for account in self.platforms.keys() {
            if let Some(at) = self.store.account(account)?.last_sent {
                last.push((account, at));
            }
        }
        let Some(newest) = last.iter().map(|(_, at)| *at).max() else { return Ok(()) };
        let silent = last.iter().filter(|(_, at)| *at + quiet_after < now && newest + quiet_after >= now);
        for (account, at) in silent {
            let days = now.duration_since(*at).as_hours() / 24;
            let why = format!("nothing went out on {account} for {days} days while others did");
            tracing::warn!(account, "{why}");
            let note = Note {
                reason: Some(why),
                detail: json!({"account": account}),
                ..Note::new(now, None, "oyez", "account-quiet")
            };
            self.commit(Change { notes: vec![note], ..Change::default() })?;
        }
        Ok(())
    }

    /// Keeps what the server said it allows, so that posts are fitted to it also after a restart.
    async fn remember_limits(&self, account: &str, platform: &Arc<dyn Platform>) -> Result<(), StoreError> {
        let limits = platform.limits(self.clock.now()).await;
        let value = serde_json::to_value(&limits).ok();
        let mut record = self.store.account(account)?;
        if record.limits != value {
            record.limits = value;
            self.commit(Change { accounts: vec![record], ..Change::default() })?;
        }
        Ok(())
    }

    /// Asks every server for its limits, before the first post is worded.
    pub async fn learn_limits(&self) -> Result<(), StoreError> {
        for (account, platform) in &self.platforms {
            if self.is_locked(account)? {
                continue;
            }
            self.remember_limits(account, platform).await?;
        }
        Ok(())
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

/// The middle of the window: the author may have edited what the list does not show.
fn half_window(item: &Item) -> Option<Timestamp> {
    let (settled, end) = (item.settled?, item.window_end?);
    let window = end.duration_since(settled);
    (window > SignedDuration::from_mins(2)).then(|| settled + window / 2)
}

/// A key no other delivery ever had.
fn new_key() -> String {
    let bytes: [u8; 16] = rand::random();
    bytes.iter().fold(String::from("oyez-"), |key, byte| key + &format!("{byte:02x}"))
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
