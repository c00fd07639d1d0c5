//! What the answers of a server say about its account: locked, paced, quiet, its limits.
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::{Deliverer, guarded};
use crate::outbox;
use crate::platform::{Platform, Published, SendError};
use crate::store::{Change, Note, StoreError};

/// A locked account is tried again after this: its token may have been renewed. Doubled each time it is locked again
/// without having posted: a token that may read and not write answers the question who it is, and refuses every post.
const UNLOCK_AFTER: Duration = Duration::from_secs(15 * 60);
/// The longest of these pauses.
const UNLOCK_AT_LAST: Duration = Duration::from_secs(6 * 3600);

impl Deliverer {
    pub(super) fn is_locked(&self, account: &str) -> Result<bool, StoreError> {
        Ok(self.store.account(account)?.locked.is_some())
    }

    /// A refused credential stops the account alone, loudly, until it works again.
    pub(super) fn note_lock(&self, account: &str, error: Option<&SendError>) -> Result<(), StoreError> {
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
        self.put_off_until(format!("unlock {account}"), now + self.unlock_after(account, true));
        self.commit(Change { accounts: vec![record], notes: vec![note], durable: true, ..Change::default() })
    }

    /// `again`: it was locked just now.
    fn unlock_after(&self, account: &str, again: bool) -> Duration {
        let mut locked = self.locked_again.lock().expect("no holder of this lock can panic");
        let times = locked.entry(account.to_owned()).or_insert(0_u32);
        *times += u32::from(again);
        UNLOCK_AFTER.saturating_mul(1 << times.saturating_sub(1).min(10)).min(UNLOCK_AT_LAST)
    }

    /// The server wants to be left alone for a while, by whatever request it was told.
    pub(super) fn note_pause(&self, account: &str, error: Option<&SendError>) -> Result<(), StoreError> {
        let Some(SendError::Retry { after: Some(after), .. }) = error else { return Ok(()) };
        let mut record = self.store.account(account)?;
        record.paused_until = Some(self.clock.now() + (*after).min(outbox::LONGEST_ASKED));
        self.commit(Change { accounts: vec![record], ..Change::default() })
    }

    /// What an answer to a post says about the account's pace: it went out, or the server wants to be left alone.
    pub(super) fn note_pace(&self, account: &str, result: &Result<Published, SendError>) -> Result<(), StoreError> {
        if let Err(error) = result {
            return self.note_pause(account, Some(error));
        }
        self.locked_again.lock().expect("no holder of this lock can panic").remove(account);
        let mut record = self.store.account(account)?;
        record.last_sent = Some(self.clock.now());
        self.commit(Change { accounts: vec![record], ..Change::default() })
    }

    pub(super) async fn unlock(&self) -> Result<(), StoreError> {
        for (account, platform) in &self.platforms {
            let mut record = self.store.account(account)?;
            if record.locked.is_none() || self.put_off(&format!("unlock {account}")).is_some() {
                continue;
            }
            let now = self.clock.now();
            self.put_off_until(format!("unlock {account}"), now + self.unlock_after(account, false));
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
    pub(super) fn notice_quiet_accounts(&self) -> Result<(), StoreError> {
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
    pub(super) async fn remember_limits(&self, account: &str, platform: &Arc<dyn Platform>) -> Result<(), StoreError> {
        let Ok(limits) = guarded(platform.limits(self.clock.now())).await else { return Ok(()) };
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
        let asked = self.platforms.iter().map(async |(account, platform)| match self.is_locked(account)? {
            true => Ok(()),
            false => self.remember_limits(account, platform).await,
        });
        join_all(asked).await.into_iter().collect()
    }
}
