//! Claims, and what platforms answer: how a delivery gets from `queued` to an end. Promise 3 lives here.
use jiff::Timestamp;

use super::event::follow_up;
use super::{Refused, Rules, Work, cancel, is_stopped, may_leave, may_repeat};
use crate::hold::later;
use crate::item::{Delivery, Progress};
use crate::outbox;
use crate::platform::{Published, ReadBack, SendError};

/// Longest error that is kept. In characters.
const MAX_ERROR: usize = 500;

pub(super) fn claimed(work: &mut Work<'_>, account: &str, key: String, rules: &Rules<'_>) -> Result<(), Refused> {
    let number = work.item.number;
    let unsure = matches!(work.delivery(account)?.progress, Progress::Unsure { .. });
    let gate = if unsure { may_repeat } else { may_leave };
    gate(&work.item, account, rules.now)
        .map_err(|why| Refused::new(format!("item {number} may not leave on {account}: {why}")))?;
    let text = work.item.posts.get(account).map(|post| post.text.clone());
    let delivery = work.delivery(account)?;
    if delivery.key.as_ref().is_some_and(|own| *own != key) {
        return Err(Refused::new(format!("item {number} has another key on {account}")));
    }
    delivery.key = Some(key);
    delivery.key_since = delivery.key_since.or(Some(rules.now));
    delivery.first_attempt = delivery.first_attempt.or(Some(rules.now));
    delivery.attempts = delivery.attempts.saturating_add(1);
    delivery.not_before = None;
    delivery.sent_text = text;
    // `lost` stays: until an answer says otherwise, the first request may have been taken.
    delivery.progress = Progress::Sending { since: rules.now };
    Ok(())
}

pub(super) fn outcome(
    work: &mut Work<'_>,
    account: &str,
    result: Result<Published, SendError>,
    jitter: f64,
    rules: &Rules<'_>,
) -> Result<(), Refused> {
    let delivery = work.delivery(account)?;
    let Progress::Sending { since } = delivery.progress else {
        return Err(no_claim(account, delivery));
    };
    let error = match result {
        Ok(published) => {
            sent(work, account, published, rules.now);
            return Ok(());
        }
        Err(error) => error,
    };
    delivery.error = Some(bounded(&error.to_string()));
    let wait = outbox::back_off(delivery.attempts, retry_after(&error), jitter);
    let lost = delivery.lost;
    match (error, lost) {
        (SendError::Unsure { .. }, _) => {
            delivery.repeated = lost.is_some();
            let since = lost.unwrap_or(since);
            unsure(work, account, since);
        }
        // This request posted nothing, but the one before it may have: only reading tells, or the same key again.
        (SendError::Retry { .. } | SendError::Refused { .. } | SendError::Locked { .. }, Some(since)) => {
            unsure(work, account, since);
            work.delivery(account)?.not_before = Some(later(rules.now, wait));
        }
        (SendError::Retry { .. }, None) => {
            requeue(work, account, Some(later(rules.now, wait)))?;
            let delivery = work.delivery(account)?;
            if delivery.progress == Progress::Queued && outbox::given_up(delivery, rules.give_up, rules.now) {
                fail(work, account, rules.now)?;
            }
        }
        (SendError::Refused { reason }, None) => {
            if is_stopped(&work.item) {
                requeue(work, account, None)?;
            } else {
                work.note("failed", Some(account), bounded(&reason));
                work.delivery(account)?.progress = Progress::Failed { at: rules.now };
            }
        }
        (SendError::Locked { .. }, None) => {
            // Nothing was posted and nothing is wrong with the post: the account is stopped, and the time it is stopped
            // does not count against give-up.
            requeue(work, account, None)?;
            work.delivery(account)?.first_attempt = None;
        }
    }
    Ok(())
}

fn retry_after(error: &SendError) -> Option<std::time::Duration> {
    match error {
        SendError::Retry { after, .. } => *after,
        SendError::Refused { .. } | SendError::Locked { .. } | SendError::Unsure { .. } => None,
    }
}

/// Back to the queue, if the item may still go out; else this was its end.
fn requeue(work: &mut Work<'_>, account: &str, not_before: Option<Timestamp>) -> Result<(), Refused> {
    let stopped = is_stopped(&work.item);
    let delivery = work.delivery(account)?;
    delivery.lost = None;
    delivery.absent = None;
    delivery.repeated = false;
    if stopped {
        cancel(delivery);
        work.note("cancelled", Some(account), "");
    } else {
        delivery.progress = Progress::Queued;
        delivery.not_before = not_before;
        work.note("queued", Some(account), "");
    }
    Ok(())
}

fn unsure(work: &mut Work<'_>, account: &str, since: Timestamp) {
    if let Some(delivery) = work.item.deliveries.get_mut(account) {
        delivery.progress = Progress::Unsure { since };
        delivery.lost = Some(since);
    }
    work.note("unsure", Some(account), "");
}

fn sent(work: &mut Work<'_>, account: &str, published: Published, at: Timestamp) {
    let stopped = is_stopped(&work.item);
    let number = work.item.number;
    if let Some(delivery) = work.item.deliveries.get_mut(account) {
        delivery.progress = Progress::Sent { at, id: published.id, url: published.url.clone() };
        delivery.error = None;
        delivery.not_before = None;
        delivery.lost = None;
        delivery.absent = None;
        delivery.repeated = false;
        delivery.now = false;
    }
    work.note("sent", Some(account), published.url.unwrap_or_default());
    for warning in published.warnings {
        work.note("warning", Some(account), bounded(&warning));
    }
    if stopped {
        let text = format!("it went out on {account} before it was stopped: `oyez retract {number}` deletes it");
        work.alarm(Some(account), text);
    } else if let Some(post) = work.item.posts.get_mut(account)
        && post.outdated_edit
    {
        // The author changed it while the request was under way.
        post.outdated_edit = false;
        follow_up(work);
    }
}

pub(super) fn left_over(work: &mut Work<'_>, account: &str) -> Result<(), Refused> {
    let delivery = work.delivery(account)?;
    let Progress::Sending { since } = delivery.progress else {
        return Err(no_claim(account, delivery));
    };
    let since = delivery.lost.unwrap_or(since);
    delivery.error = Some("the answer was lost: nobody knows yet whether it is out".to_owned());
    unsure(work, account, since);
    Ok(())
}

fn no_claim(account: &str, delivery: &Delivery) -> Refused {
    Refused::new(format!("the delivery on {account} is {}: it has no open claim", delivery.progress.name()))
}

pub(super) fn read_back(
    work: &mut Work<'_>,
    account: &str,
    answer: ReadBack,
    rules: &Rules<'_>,
) -> Result<(), Refused> {
    let patience = rules.patience;
    let delivery = work.delivery(account)?;
    let Progress::Unsure { since } = delivery.progress else {
        return Err(Refused::new(format!("the delivery on {account} is {}, not unsure", delivery.progress.name())));
    };
    match answer {
        ReadBack::Found(published) => sent(work, account, published, since),
        ReadBack::Absent => {
            let counts_from = later(since, patience.absent_after);
            match delivery.absent {
                // Absent right after may only mean not there yet.
                None if rules.now < counts_from => delivery.not_before = Some(counts_from),
                None => {
                    delivery.absent = Some(rules.now);
                    delivery.not_before = Some(later(rules.now, patience.absent_gap));
                }
                Some(first) if rules.now < later(first, patience.absent_gap) => {}
                // Two complete readings agree: it was never posted. It goes the way of any queued one, and keeps its
                // key, so that even now a platform with a longer memory gives back the first.
                Some(_) => {
                    work.note("absent", Some(account), "two readings of the account's posts did not show it");
                    requeue(work, account, None)?;
                }
            }
        }
        ReadBack::Undecided(reason) => {
            delivery.absent = None;
            delivery.error = Some(bounded(&reason));
            delivery.not_before = Some(later(rules.now, outbox::next_reading(since, rules.now)));
        }
    }
    Ok(())
}

pub(super) fn retracted(
    work: &mut Work<'_>,
    account: &str,
    result: Result<(), SendError>,
    jitter: f64,
    rules: &Rules<'_>,
) -> Result<(), Refused> {
    let delivery = work.delivery(account)?;
    if !matches!(delivery.progress, Progress::Retracting { .. }) {
        return Err(Refused::new(format!("the delivery on {account} is {}", delivery.progress.name())));
    }
    let Err(error) = result else {
        delivery.progress = Progress::Retracted { at: rules.now };
        delivery.error = None;
        delivery.not_before = None;
        work.note("retracted", Some(account), "");
        settled(work, account);
        return Ok(());
    };
    delivery.error = Some(bounded(&error.to_string()));
    match error {
        SendError::Refused { .. } => not_retracted(work, account),
        // Deleting twice is deleting once, so a lost answer is asked again like any other.
        SendError::Retry { .. } | SendError::Unsure { .. } | SendError::Locked { .. } => {
            try_later(delivery, &error, jitter, rules.now);
            if outbox::given_up(delivery, rules.give_up, rules.now) {
                not_retracted(work, account);
            }
        }
    }
    Ok(())
}

/// It is still out, and somebody has to know.
fn not_retracted(work: &mut Work<'_>, account: &str) {
    let Some(delivery) = work.item.deliveries.get_mut(account) else { return };
    if let Progress::Retracting { sent_at, id, url, .. } = delivery.progress.clone() {
        delivery.progress = Progress::Sent { at: sent_at, id, url };
        delivery.not_before = None;
        let why = delivery.error.clone().unwrap_or_default();
        work.alarm(Some(account), format!("it could not be deleted on {account}: {why}"));
    }
}

pub(super) fn amended(
    work: &mut Work<'_>,
    account: &str,
    text: String,
    result: Result<Published, SendError>,
    jitter: f64,
    rules: &Rules<'_>,
) -> Result<(), Refused> {
    // Somebody may have amended it once more while this one was under way: then there is another to be sent.
    let is_latest = work.item.posts.get(account).is_none_or(|post| post.text == text);
    let delivery = work.delivery(account)?;
    let Progress::Sent { id, url, .. } = &mut delivery.progress else {
        return Err(Refused::new(format!("the delivery on {account} is {}", delivery.progress.name())));
    };
    let error = match result {
        Ok(published) => {
            *id = published.id.or(id.take());
            *url = published.url.or(url.take());
            delivery.amend = !is_latest;
            delivery.error = None;
            delivery.not_before = None;
            delivery.sent_text = Some(text);
            work.note("amended", Some(account), "");
            settled(work, account);
            for warning in published.warnings {
                work.note("warning", Some(account), bounded(&warning));
            }
            return Ok(());
        }
        Err(error) => error,
    };
    delivery.error = Some(bounded(&error.to_string()));
    match error {
        SendError::Refused { .. } => not_amended(work, account),
        // Writing the same text twice is writing it once.
        SendError::Retry { .. } | SendError::Unsure { .. } | SendError::Locked { .. } => {
            try_later(delivery, &error, jitter, rules.now);
            if outbox::given_up(delivery, rules.give_up, rules.now) {
                not_amended(work, account);
            }
        }
    }
    Ok(())
}

/// What a person was alarmed about on this account was amended or retracted, as the alarm asked. What is to be done
/// elsewhere, or about the item itself, still is.
fn settled(work: &mut Work<'_>, account: &str) {
    if work.item.deliveries.get(account).is_some_and(|delivery| !delivery.amend) {
        work.item.alarms.retain(|alarm| alarm.account.as_deref() != Some(account));
    }
}

fn not_amended(work: &mut Work<'_>, account: &str) {
    let Some(delivery) = work.item.deliveries.get_mut(account) else { return };
    delivery.amend = false;
    delivery.not_before = None;
    let why = delivery.error.clone().unwrap_or_default();
    work.alarm(Some(account), format!("it could not be amended on {account}: {why}"));
}

fn try_later(delivery: &mut Delivery, error: &SendError, jitter: f64, now: Timestamp) {
    delivery.attempts = delivery.attempts.saturating_add(1);
    delivery.first_attempt = delivery.first_attempt.or(Some(now));
    delivery.not_before = Some(later(now, outbox::back_off(delivery.attempts, retry_after(error), jitter)));
}

pub(super) fn give_up(work: &mut Work<'_>, account: &str, rules: &Rules<'_>) -> Result<(), Refused> {
    let number = work.item.number;
    let delivery = work.delivery(account)?;
    if !outbox::given_up(delivery, rules.give_up, rules.now) {
        return Err(Refused::new(format!("item {number} is still worth a try on {account}")));
    }
    match &delivery.progress {
        Progress::Queued => fail(work, account, rules.now)?,
        Progress::Retracting { .. } => not_retracted(work, account),
        Progress::Sent { .. } if delivery.amend => not_amended(work, account),
        other @ (Progress::Sent { .. }
        | Progress::Sending { .. }
        | Progress::Waiting { .. }
        | Progress::Unsure { .. }
        | Progress::Failed { .. }
        | Progress::Cancelled
        | Progress::Retracted { .. }) => {
            return Err(Refused::new(format!("the delivery on {account} is {}", other.name())));
        }
    }
    Ok(())
}

fn fail(work: &mut Work<'_>, account: &str, now: Timestamp) -> Result<(), Refused> {
    let delivery = work.delivery(account)?;
    delivery.progress = Progress::Failed { at: now };
    delivery.not_before = None;
    let error = delivery.error.clone().unwrap_or_default();
    work.note("failed", Some(account), format!("given up: {error}"));
    Ok(())
}

/// What is stored of a foreign sentence.
fn bounded(text: &str) -> String {
    text.chars().take(MAX_ERROR).collect()
}
