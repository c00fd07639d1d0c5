//! What a person does: one function a row of `lifecycle.md` section 2, one arm a column.
use jiff::Timestamp;

use super::{Act, Applied, Refused, Rules, Work, cancel, is_gone, is_stopped, replace_post, says};
use crate::hold::{self, grace_end};
use crate::item::{Approval, Delivery, Item, Phase, Post, Progress, State};

/// Does what `by` asks for, or says why not. Only records and decides; what needs the network is done by the service.
///
/// # Errors
/// The cell of the table says refused, or the account named is in no state for it.
pub fn act(item: &Item, act: &Act, by: &str, rules: &Rules<'_>) -> Result<Applied, Refused> {
    let needs_words = match act {
        Act::Approve
        | Act::ApproveNow { .. }
        | Act::Snooze { .. }
        | Act::Edit { .. }
        | Act::Reset { .. }
        | Act::Reinstate { .. }
        | Act::Amend { .. } => true,
        // What is out of a forgotten item can still be taken back.
        Act::Veto
        | Act::Skip { .. }
        | Act::Retract
        | Act::ResolveSent { .. }
        | Act::ResolveNotSent { .. }
        | Act::Seen => false,
    };
    if needs_words {
        has_words(item)?;
    }
    let mut work = Work::new(item);
    match act {
        Act::Veto => veto(&mut work, by, rules)?,
        Act::Skip { account } => skip(&mut work, account, by, rules)?,
        Act::Approve => approve(&mut work, by, rules)?,
        Act::ApproveNow { posts } => approve_now(&mut work, posts, by, rules)?,
        Act::Snooze { until } => snooze(&mut work, *until, rules)?,
        Act::Edit { account, post } => {
            let post = Post { edited_by: Some(by.to_owned()), outdated_edit: false, ..post.clone() };
            edit(&mut work, account, post)?;
        }
        Act::Reset { account, post } => {
            let post = Post { edited_by: None, outdated_edit: false, ..post.clone() };
            edit(&mut work, account, post)?;
        }
        Act::Reinstate { posts } => reinstate(&mut work, posts, rules)?,
        Act::Retract => retract(&mut work, by, rules)?,
        Act::Amend { posts } => amend(&mut work, posts)?,
        Act::ResolveSent { account, url, id } => resolve_sent(&mut work, account, url, id.clone(), rules)?,
        Act::ResolveNotSent { account } => resolve_not_sent(&mut work, account, rules)?,
        Act::Seen => {
            see(&mut work.item, by);
            work.item.alarms.clear();
        }
    }
    Ok(work.done())
}

/// A forgotten item can be neither worded nor led elsewhere.
///
/// # Errors
/// It was forgotten.
pub fn has_words(item: &Item) -> Result<(), Refused> {
    match item.forgotten {
        true => Err(Refused::new(format!("item {} was forgotten: it has no words any more", item.number))),
        false => Ok(()),
    }
}

fn veto(work: &mut Work<'_>, by: &str, rules: &Rules<'_>) -> Result<(), Refused> {
    match work.item.state() {
        State::Settling | State::Held | State::Publishing => stop(work, by, rules.now),
        State::Vetoed => work.list_too_late(),
        State::Done | State::Known | State::Ignored | State::Expired | State::Withdrawn | State::Duplicate => {
            return Err(refusal(&work.item));
        }
    }
    Ok(())
}

/// The transaction that acknowledges a veto: every delivery not yet claimed is cancelled in it.
fn stop(work: &mut Work<'_>, by: &str, now: Timestamp) {
    work.item.phase = Phase::Vetoed { by: by.to_owned(), at: now };
    work.cancel_queued();
    work.list_too_late();
}

fn skip(work: &mut Work<'_>, account: &str, by: &str, rules: &Rules<'_>) -> Result<(), Refused> {
    to_leave(&work.item)?;
    let number = work.item.number;
    let delivery = work.delivery(account)?;
    match &delivery.progress {
        Progress::Queued => cancel(delivery),
        Progress::Cancelled => return Ok(()),
        Progress::Sent { .. } => {
            return Err(Refused::new(format!("item {number} is already out on {account}"))
                .hint(format!("`oyez retract {number}` deletes it everywhere")));
        }
        other @ (Progress::Sending { .. }
        | Progress::Waiting { .. }
        | Progress::Unsure { .. }
        | Progress::Failed { .. }
        | Progress::Retracting { .. }
        | Progress::Retracted { .. }) => {
            return Err(Refused::new(format!("item {number} is {} on {account}, not queued", other.name()))
                .hint(format!("`oyez show {number}` says what became of it")));
        }
    }
    // The last one is the last that has not ended. While another is `sending` its retries must stay possible: the
    // person spoke of this account only.
    if work.item.deliveries.values().all(|delivery| delivery.progress.is_end()) {
        stop(work, by, rules.now);
    }
    Ok(())
}

fn approve(work: &mut Work<'_>, by: &str, rules: &Rules<'_>) -> Result<(), Refused> {
    if to_leave(&work.item)? == State::Publishing {
        let number = work.item.number;
        return Err(refusal(&work.item).hint(format!("`oyez approve {number} --now` sends what is still queued")));
    }
    see(&mut work.item, by);
    if work.item.approval.is_none() {
        work.item.approval = Some(Approval { by: by.to_owned(), at: rules.now });
    }
    choose_as_shown(&mut work.item);
    Ok(())
}

fn approve_now(
    work: &mut Work<'_>,
    posts: &std::collections::BTreeMap<String, Post>,
    by: &str,
    rules: &Rules<'_>,
) -> Result<(), Refused> {
    let state = to_leave(&work.item)?;
    see(&mut work.item, by);
    if !work.has_queued() {
        work.warnings.push(format!("nothing of item {} is queued any more", work.item.number));
        return Ok(());
    }
    fill_posts(&mut work.item, posts);
    work.item.approval = Some(Approval { by: by.to_owned(), at: rules.now });
    work.item.snoozed = None;
    choose_as_shown(&mut work.item);
    for delivery in work.item.deliveries.values_mut().filter(|delivery| delivery.progress == Progress::Queued) {
        delivery.now = true;
        delivery.not_before = None;
    }
    if state == State::Settling {
        settle_now(work, rules.now);
    }
    Ok(())
}

fn snooze(work: &mut Work<'_>, until: Timestamp, rules: &Rules<'_>) -> Result<(), Refused> {
    to_leave(&work.item)?;
    if until <= rules.now {
        return Err(
            Refused::new("a snooze must end later than now").hint("write how long from now, like `12h` or `3d`")
        );
    }
    if !work.has_queued() {
        work.warnings.push(format!("nothing of item {} is queued any more", work.item.number));
        return Ok(());
    }
    if work.item.snoozed.is_some_and(|before| before > until) {
        work.warnings.push(format!("item {} is snoozed for longer already", work.item.number));
    }
    work.item.snoozed = work.item.snoozed.max(Some(until));
    // The later word counts: who snoozes takes back an approval for now, not the approval of the text. Also for what is
    // on its way and may come back to be tried again.
    for delivery in work.item.deliveries.values_mut().filter(|delivery| !delivery.progress.is_end()) {
        delivery.now = false;
    }
    if work.item.window_end.is_some_and(|end| end >= until) {
        work.warnings.push(format!("the window of item {} ends later than that anyway", work.item.number));
    }
    Ok(())
}

/// Replaces one account's post. Moves no time, and keeps an approval: a named person chose these words.
fn edit(work: &mut Work<'_>, account: &str, post: Post) -> Result<(), Refused> {
    let state = work.item.state();
    let number = work.item.number;
    match state {
        State::Settling | State::Held | State::Publishing | State::Vetoed | State::Done => {}
        State::Known | State::Ignored | State::Expired | State::Withdrawn | State::Duplicate => {
            return Err(refusal(&work.item));
        }
    }
    match &work.delivery(account)?.progress {
        Progress::Sent { .. } => {
            return Err(Refused::new(format!("item {number} is already out on {account}"))
                .hint(format!("`oyez amend {number}` changes what is published")));
        }
        Progress::Queued => {}
        Progress::Cancelled if state != State::Publishing && state != State::Done => {}
        // While nobody knows whether it is out, a repeat under its key must carry the same text.
        other @ (Progress::Sending { .. } | Progress::Unsure { .. } | Progress::Waiting { .. }) => {
            return Err(Refused::new(format!(
                "item {number} is {} on {account}: its text may be out already",
                other.name()
            )));
        }
        Progress::Failed { .. } => {
            return Err(Refused::new(format!("item {number} failed on {account}")).hint(format!(
                "`oyez resolve {number} --account {account} --not-sent` queues it again, then edit it"
            )));
        }
        other @ (Progress::Cancelled | Progress::Retracting { .. } | Progress::Retracted { .. }) => {
            return Err(Refused::new(format!("item {number} is {} on {account}", other.name())));
        }
    }
    replace_post(&mut work.item, account, post);
    Ok(())
}

fn reinstate(
    work: &mut Work<'_>,
    posts: &std::collections::BTreeMap<String, Post>,
    rules: &Rules<'_>,
) -> Result<(), Refused> {
    let full_window = match work.item.state() {
        State::Vetoed => false,
        State::Known | State::Ignored | State::Expired => true,
        // Not in the table: it may come back to the desk once it is public again, by a person's word only.
        State::Withdrawn if !is_gone(&work.item) => false,
        State::Settling | State::Held | State::Publishing | State::Done | State::Withdrawn | State::Duplicate => {
            return Err(refusal(&work.item));
        }
    };
    for account in posts.keys() {
        work.item.deliveries.entry(account.clone()).or_default();
    }
    if work.item.deliveries.is_empty() {
        return Err(Refused::new(format!("no account takes item {}", work.item.number))
            .hint(format!("add `{}` to an account's `kinds`", work.item.kind)));
    }
    for delivery in work.item.deliveries.values_mut() {
        if delivery.progress == Progress::Cancelled {
            *delivery = Delivery { progress: Progress::Queued, ..Delivery::default() };
        }
    }
    fill_posts(&mut work.item, posts);
    work.item.phase = Phase::Held;
    if full_window || work.item.window_end.is_none() {
        work.grow_window(hold::window_end(rules.now, rules.hold.window));
        work.grace(rules);
        work.item.first_window_end = work.item.window_end;
    } else {
        work.grace(rules);
    }
    settle_now(work, rules.now);
    Ok(())
}

fn retract(work: &mut Work<'_>, by: &str, rules: &Rules<'_>) -> Result<(), Refused> {
    match work.item.state() {
        State::Settling | State::Held => {
            stop(work, by, rules.now);
            return Ok(());
        }
        State::Publishing => {
            // Deletions under way also make an item `publishing`; with nothing left to stop there is nothing to veto.
            let rest = work.item.deliveries.values().any(|delivery| match &delivery.progress {
                Progress::Queued | Progress::Sending { .. } | Progress::Waiting { .. } | Progress::Unsure { .. } => {
                    true
                }
                Progress::Sent { .. }
                | Progress::Failed { .. }
                | Progress::Cancelled
                | Progress::Retracting { .. }
                | Progress::Retracted { .. } => false,
            });
            if rest {
                stop(work, by, rules.now);
                work.too_late.retain(|late| late.state != "sent");
            }
        }
        State::Done | State::Vetoed | State::Withdrawn => {}
        // The column supposes that nothing was ever claimed; a late rule may have caught an item half way out.
        State::Known | State::Ignored | State::Expired | State::Duplicate => {
            if !work.item.deliveries.values().any(|delivery| delivery.progress.was_claimed()) {
                return Err(refusal(&work.item));
            }
        }
    }
    let mut found = false;
    for (account, delivery) in &mut work.item.deliveries {
        match &delivery.progress {
            Progress::Sent { at, id: Some(id), url } => {
                let (sent_at, id, url) = (*at, Some(id.clone()), url.clone());
                delivery.progress = Progress::Retracting { since: rules.now, sent_at, id, url };
                start_anew(delivery);
                found = true;
            }
            Progress::Sent { id: None, url, .. } => {
                let place = url.as_deref().unwrap_or("the account");
                work.warnings.push(format!("{account} cannot delete it, its id there is not known: do it at {place}"));
                found = true;
            }
            Progress::Sending { .. } | Progress::Unsure { .. } | Progress::Waiting { .. } => {
                let name = delivery.progress.name();
                work.warnings.push(format!("{account} is {name}: retract again should it turn out to be out"));
                found = true;
            }
            Progress::Retracting { .. } => found = true,
            Progress::Queued | Progress::Failed { .. } | Progress::Cancelled | Progress::Retracted { .. } => {}
        }
    }
    if !found {
        work.warnings.push(format!("nothing of item {} is out", work.item.number));
    }
    Ok(())
}

fn amend(work: &mut Work<'_>, posts: &std::collections::BTreeMap<String, Post>) -> Result<(), Refused> {
    let number = work.item.number;
    match work.item.state() {
        State::Publishing | State::Done | State::Vetoed => {}
        State::Settling | State::Held => {
            return Err(Refused::new(format!("nothing of item {number} is out yet"))
                .hint(format!("`oyez edit {number} --account A` changes what will be posted")));
        }
        State::Known | State::Ignored | State::Expired | State::Withdrawn | State::Duplicate => {
            return Err(refusal(&work.item));
        }
    }
    if is_gone(&work.item) {
        return Err(Refused::new(format!("item {number} is not public any more"))
            .hint(format!("`oyez retract {number}` deletes what was published")));
    }
    let mut any = false;
    for (account, post) in posts {
        let delivery = work.delivery(account)?;
        match &delivery.progress {
            Progress::Sent { id: Some(_), .. } if delivery.sent_text.as_ref() == Some(&post.text) => {
                delivery.amend = false;
                work.warnings.push(format!("{account} reads so already"));
                any = true;
            }
            Progress::Sent { id: Some(_), .. } => {
                start_anew(delivery);
                delivery.amend = true;
                work.item.posts.insert(account.clone(), post.clone());
                any = true;
            }
            Progress::Sent { id: None, .. } => {
                work.warnings.push(format!("{account} cannot amend it: its id there is not known"));
            }
            other @ (Progress::Queued
            | Progress::Sending { .. }
            | Progress::Waiting { .. }
            | Progress::Unsure { .. }
            | Progress::Failed { .. }
            | Progress::Cancelled
            | Progress::Retracting { .. }
            | Progress::Retracted { .. }) => {
                let name = other.name();
                work.warnings.push(format!("{account} is {name}: nothing to amend there"));
            }
        }
    }
    if any {
        return Ok(());
    }
    let why = if work.warnings.is_empty() {
        format!("nothing of item {number} is out")
    } else {
        std::mem::take(&mut work.warnings).join("; ")
    };
    Err(Refused::new(why))
}

fn resolve_sent(
    work: &mut Work<'_>,
    account: &str,
    url: &str,
    id: Option<String>,
    rules: &Rules<'_>,
) -> Result<(), Refused> {
    let text = work.item.posts.get(account).map(|post| post.text.clone());
    let number = work.item.number;
    let stopped = is_stopped(&work.item);
    let delivery = to_resolve(work, account)?;
    let at = delivery.lost.unwrap_or(rules.now);
    delivery.progress = Progress::Sent { at, id, url: Some(url.to_owned()) };
    delivery.sent_text = delivery.sent_text.take().or(text);
    start_anew(delivery);
    delivery.now = false;
    if stopped {
        work.warnings.push(format!("it is out although it was stopped: `oyez retract {number}` deletes it"));
    }
    Ok(())
}

fn resolve_not_sent(work: &mut Work<'_>, account: &str, rules: &Rules<'_>) -> Result<(), Refused> {
    let stopped = is_stopped(&work.item);
    let grace = grace_end(rules.now, rules.hold.grace, &rules.hold.quiet_hours, rules.zone);
    let delivery = to_resolve(work, account)?;
    start_anew(delivery);
    delivery.now = false;
    // The key stays: should the person err, a platform that still keeps it gives back the first post.
    if stopped {
        cancel(delivery);
    } else {
        delivery.progress = Progress::Queued;
        delivery.not_before = Some(grace);
    }
    Ok(())
}

/// The delivery a person may resolve: one that is unsure, waiting or failed.
fn to_resolve<'w>(work: &'w mut Work<'_>, account: &str) -> Result<&'w mut Delivery, Refused> {
    match work.item.state() {
        State::Publishing | State::Done | State::Vetoed | State::Withdrawn => {}
        // Neither can have anything to resolve; the delivery itself says so below.
        State::Settling | State::Held | State::Duplicate => {}
        State::Known | State::Ignored | State::Expired => {
            // As for `retract`: refused unless a claim was made before the item came here.
            if !work.item.deliveries.values().any(|delivery| delivery.progress.was_claimed()) {
                return Err(refusal(&work.item));
            }
        }
    }
    let number = work.item.number;
    let delivery = work.delivery(account)?;
    match &delivery.progress {
        Progress::Unsure { .. } | Progress::Waiting { .. } | Progress::Failed { .. } => Ok(delivery),
        other @ (Progress::Queued
        | Progress::Sending { .. }
        | Progress::Sent { .. }
        | Progress::Cancelled
        | Progress::Retracting { .. }
        | Progress::Retracted { .. }) => Err(Refused::new(format!(
            "item {number} is {} on {account}: only what is unsure, waiting or failed can be resolved",
            other.name()
        ))),
    }
}

/// Forgets the attempts so far, so that back-off and give-up count from the next one.
fn start_anew(delivery: &mut Delivery) {
    delivery.attempts = 0;
    delivery.first_attempt = None;
    delivery.not_before = None;
    delivery.error = None;
    delivery.lost = None;
    delivery.absent = None;
    delivery.amend = false;
}

fn see(item: &mut Item, by: &str) {
    if !item.seen_by.iter().any(|name| name == by) {
        item.seen_by.push(by.to_owned());
    }
}

/// Who approves what is shown has chosen the team's text that the author's change put in question.
fn choose_as_shown(item: &mut Item) {
    for (account, post) in &mut item.posts {
        if item.deliveries.get(account).is_some_and(|delivery| delivery.progress == Progress::Queued) {
            post.outdated_edit = false;
        }
    }
}

/// Adds posts for accounts of the item that have none.
fn fill_posts(item: &mut Item, posts: &std::collections::BTreeMap<String, Post>) {
    for (account, post) in posts {
        if item.deliveries.contains_key(account) && !item.posts.contains_key(account) {
            item.posts.insert(account.clone(), post.clone());
        }
    }
}

/// Ends the settling by a person's word. Where a post is still to be worded, the next [`super::Event::Settle`] does it.
fn settle_now(work: &mut Work<'_>, now: Timestamp) {
    work.item.settled = Some(work.item.settled.map_or(now, |settled| settled.min(now)));
    let worded = work
        .item
        .deliveries
        .iter()
        .all(|(account, delivery)| delivery.progress != Progress::Queued || work.item.posts.contains_key(account));
    work.item.phase = if worded { Phase::Held } else { Phase::Settling };
}

/// The state of an item of which something may still leave; any other is refused.
fn to_leave(item: &Item) -> Result<State, Refused> {
    match item.state() {
        state @ (State::Settling | State::Held | State::Publishing) => Ok(state),
        State::Vetoed
        | State::Done
        | State::Known
        | State::Ignored
        | State::Expired
        | State::Withdrawn
        | State::Duplicate => Err(refusal(item)),
    }
}

/// What it is, and the act that does something with such a thing.
fn refusal(item: &Item) -> Refused {
    let number = item.number;
    let refused = Refused::new(format!("item {number} {}", says(item)));
    match (item.state(), &item.phase) {
        (State::Known | State::Ignored | State::Expired, _) => {
            refused.hint(format!("`oyez reinstate {number}` puts it on the desk"))
        }
        (State::Duplicate, Phase::Duplicate { of }) => {
            refused.hint(format!("act on item {of}, or `oyez split {number}` makes it a thing of its own"))
        }
        (State::Done, _) if item.deliveries.values().any(|d| matches!(d.progress, Progress::Sent { .. })) => {
            refused.hint(format!("`oyez retract {number}` deletes it"))
        }
        (State::Done | State::Withdrawn, _) => refused.hint(format!("`oyez show {number}` says what became of it")),
        (State::Vetoed, _) => refused.hint(format!("`oyez reinstate {number}` puts it back on the desk first")),
        (State::Duplicate | State::Settling | State::Held | State::Publishing, _) => refused,
    }
}
