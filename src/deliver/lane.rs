//! One account's posts, one after the other: read the origin again, claim, send, record; and look into lost answers.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Deliverer, Held, Tally, earlier, guarded, notes, reach_of};
use crate::item::{Number, Progress};
use crate::life::{self, Event};
use crate::outbox::Step;
use crate::plan;
use crate::platform::{Platform, ReadBack, SendError};
use crate::store::{ClaimError, StoreError};

impl Deliverer {
    /// Posts of one account, in their order.
    pub(super) async fn lane(&self, name: String, lane: Vec<(Number, Step)>) -> Result<(String, Tally), StoreError> {
        let mut tally = Tally::default();
        let account = name.as_str();
        for (number, step) in lane {
            if self.stopping.load(Ordering::Acquire) {
                break;
            }
            let Some(platform) = self.platforms.get(account) else { continue };
            match step {
                Step::RereadThenSend | Step::RepeatSameKey => self.send(number, account, platform, &mut tally).await?,
                Step::ReadBack => self.read_back(number, account, platform, &mut tally).await?,
                Step::Retract { id } => {
                    let result = self.repeatable(account, platform.retract(&id)).await?;
                    self.happen(number, |_, _| {
                        Ok(Some(Event::Retracted {
                            account: account.to_owned(),
                            result: result.clone(),
                            jitter: rand::random(),
                        }))
                    })?;
                }
                Step::Amend { id } => {
                    // Amending publishes: what is not public any more must not be said anew.
                    let Some(item) = self.store.item(number)? else { continue };
                    if let Some(at) = self.look(&item).await? {
                        self.put_off_until(reach_of(number), at);
                        continue;
                    }
                    if self.distrust()?.is_some() {
                        break;
                    }
                    // Read last, with nothing to wait for until the request begins: a veto or a retraction is in it.
                    let Some(item) = self.store.item(number)? else { continue };
                    let wanted = item.deliveries.get(account).is_some_and(|delivery| delivery.amend);
                    let (Some(post), true) = (item.posts.get(account), wanted) else { continue };
                    if self.stopping.load(Ordering::Acquire) {
                        break;
                    }
                    let text = post.text.clone();
                    let result = self.repeatable(account, platform.amend(&id, post)).await?;
                    self.happen(number, |_, _| {
                        Ok(Some(Event::Amended {
                            text: text.clone(),
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
            let record = self.store.account(account)?;
            if record.locked.is_some() || record.paused_until.is_some_and(|at| self.clock.now() < at) {
                break;
            }
        }
        Ok((name, tally))
    }

    /// A request that may be made twice: one without an answer is made again, like any other that came to nothing.
    async fn repeatable<T>(
        &self,
        account: &str,
        request: impl Future<Output = Result<T, SendError>>,
    ) -> Result<Result<T, SendError>, StoreError> {
        let lost = |reason| Err(SendError::Retry { after: None, reason });
        let result = guarded(request).await.unwrap_or_else(lost);
        self.note_lock(account, result.as_ref().err())?;
        self.note_pause(account, result.as_ref().err())?;
        Ok(result)
    }

    /// Reads the origin, claims, sends, records. Whatever happened to the item in between is seen by the claim.
    pub(super) async fn send(
        &self,
        number: Number,
        account: &str,
        platform: &Arc<dyn Platform>,
        tally: &mut Tally,
    ) -> Result<(), StoreError> {
        let Some(item) = self.store.item(number)? else { return Ok(()) };
        if let Some(at) = self.look(&item).await? {
            // What was public yesterday and is unreachable today is not withdrawn, but deserves another look.
            self.put_off_until(reach_of(number), at);
            tally.next = earlier(tally.next, at);
            return Ok(());
        }
        if self.distrust()?.is_some() {
            // The answer just now told what time it is: not the one that made this due.
            return Ok(());
        }
        let Some(item) = self.store.item(number)? else { return Ok(()) };
        let now = self.clock.now();
        // Before the plan: a claim that somebody else makes in between must be noticed.
        let record = self.store.account(account)?;
        // The plan is made anew: the reading may have moved the item, a veto or a post of this beat may have changed who is due.
        let plan = plan::for_delivery(&item, account, &self.store, &self.config, now)?;
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
        if self.stopping.load(Ordering::Acquire) {
            // Begun now, it might not be finished in time.
            return Ok(());
        }
        let notes = notes(&claimed, now, number);
        let claim_of = (number, account.to_owned());
        let _in_hand = Held::new(&self.in_hand, claim_of);
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
        // A store that cannot be read stops it: nothing was posted yet, so waiting is the safe side.
        let wanted = || self.store.item(number).is_ok_and(|item| item.is_some_and(|item| !life::is_stopped(&item)));
        let result = guarded(platform.send(&claim, now, &wanted))
            .await
            .unwrap_or_else(|reason| Err(SendError::Unsure { reason }));
        let took = self.clock.now().duration_since(started);
        let answered = match &result {
            Ok(_) => "sent",
            Err(SendError::Refused { .. }) => "failed",
            Err(SendError::Unsure { .. }) => "unsure",
            Err(SendError::Retry { .. } | SendError::Locked { .. }) => "retried",
        };
        crate::metrics::posted(account, answered, Duration::try_from(took).unwrap_or_default());
        let took = u64::try_from(took.as_millis()).unwrap_or_default();
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
        self.note_pace(account, &result)?;
        let jitter = rand::random();
        self.happen(number, |_, _| {
            Ok(Some(Event::Outcome { account: account.to_owned(), result: result.clone(), jitter }))
        })?;
        self.remember_limits(account, platform).await
    }

    pub(super) async fn read_back(
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
}

/// A key no other delivery ever had.
fn new_key() -> String {
    let bytes: [u8; 16] = rand::random();
    bytes.iter().fold(String::from("oyez-"), |key, byte| key + &format!("{byte:02x}"))
}
