//! What happens to an item without a person: the last rows of `lifecycle.md` section 2, and its clock.
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::answer::{amended, claimed, give_up, left_over, outcome, read_back, retracted};
use super::{Applied, Event, OUTAGE, Refused, Rules, Work, is_gone, reads_the_same, replace_post, says};
use crate::hold::later;
use crate::hold::{self, settled_at};
use crate::item::{
    Asked, Delivery, Found, Gone, Item, Mirror, MirrorWord, Origin, Phase, Post, Progress, State, Verdict, VerdictKind,
};
use crate::link::rewrite::Opened;

/// Applies what happened.
///
/// # Errors
/// It cannot have happened, or must not be believed, in this state (a claim before the window's end, a second claim):
/// nothing is changed then.
pub fn happen(item: &Item, event: Event, rules: &Rules<'_>) -> Result<Applied, Refused> {
    let mut work = Work::new(item);
    match event {
        Event::Settle { posts } => settle(&mut work, posts, rules)?,
        Event::Changed { origin, found, posts, verdict, at } => {
            let change = Change { posts, verdict, at };
            changed(&mut work, origin, *found, change, rules)?;
        }
        Event::GoneAt { origin, why } => gone(&mut work, origin, why, rules)?,
        Event::BackAt { origin, found } => back(&mut work, origin, *found)?,
        Event::AlsoAt { at, origin, verdict } => also_at(&mut work, at, *origin, verdict),
        Event::Opened { short, answer, posts } => opened(&mut work, short, answer, posts, rules),
        Event::Mirrored { mirror, posts } => mirrored(&mut work, mirror, posts),
        Event::Offered { url, evidence } => offered(&mut work, url, evidence),
        Event::Searched { copy } => {
            work.item.searched = Some(rules.now);
            if let Some((url, evidence)) = copy {
                offered(&mut work, url, evidence);
            }
        }
        Event::Reachable => {
            work.item.checked = Some(rules.now);
            work.item.unreachable_since = None;
        }
        Event::Unreachable { anew } => {
            let before = work.item.unreachable_since.filter(|_| !anew);
            work.item.unreachable_since = before.or(Some(rules.now));
        }
        Event::OutageGrace => match work.item.state() {
            State::Settling | State::Held | State::Publishing => {
                if work.has_queued() {
                    work.grace(rules);
                }
            }
            State::Known
            | State::Done
            | State::Vetoed
            | State::Ignored
            | State::Expired
            | State::Withdrawn
            | State::Duplicate => {}
        },
        Event::Expire => expire(&mut work, rules)?,
        Event::Stale { could_leave } => stale(&mut work, could_leave, rules)?,
        Event::Claimed { account, key } => claimed(&mut work, &account, key, rules)?,
        Event::Outcome { account, result, jitter } => outcome(&mut work, &account, result, jitter, rules)?,
        Event::LeftOver { account } => left_over(&mut work, &account)?,
        Event::ReadBack { account, answer } => read_back(&mut work, &account, answer, rules)?,
        Event::Retracted { account, result, jitter } => retracted(&mut work, &account, result, jitter, rules)?,
        Event::Amended { account, text, result, jitter } => {
            amended(&mut work, &account, text, result, jitter, rules)?;
        }
        Event::GiveUp { account } => give_up(&mut work, &account, rules)?,
    }
    Ok(work.done())
}

fn settle(work: &mut Work<'_>, posts: BTreeMap<String, Post>, rules: &Rules<'_>) -> Result<(), Refused> {
    if work.item.phase != Phase::Settling {
        return Err(Refused::new(format!("item {} {}: it cannot settle", work.item.number, says(&work.item))));
    }
    let settled =
        work.item.settled.unwrap_or_else(|| settled_at(work.item.first_seen, work.item.last_change, rules.hold));
    if rules.now < settled {
        return Err(Refused::new(format!("item {} settles at {settled}", work.item.number)));
    }
    for (account, post) in posts {
        // What a person wrote or approved was shown; it is not worded anew behind their back.
        let shown =
            work.item.posts.get(&account).is_some_and(|p| p.edited_by.is_some() || work.item.approval.is_some());
        if !shown && work.item.deliveries.contains_key(&account) {
            replace_post(&mut work.item, &account, post);
        }
    }
    work.item.phase = Phase::Held;
    work.item.settled = Some(settled);
    // The window was promised at first sight and grows with each change; configuration edits since move nothing.
    if work.item.window_end.is_none() {
        work.grow_window(hold::window_end(settled, rules.hold.window));
    }
    // Until this moment there was no text to look at (3.4).
    if rules.now > later(settled, OUTAGE) {
        work.grace(rules);
    }
    work.item.first_window_end = work.item.window_end;
    work.note("held", None, "");
    Ok(())
}

/// What comes with a change by the author.
struct Change {
    posts: BTreeMap<String, Post>,
    verdict: Verdict,
    at: Timestamp,
}

fn changed(work: &mut Work<'_>, origin: usize, found: Found, change: Change, rules: &Rules<'_>) -> Result<(), Refused> {
    origin_mut(&mut work.item, origin)?.found = found;
    // A source's clock that runs ahead must not hold the settling open.
    work.item.last_change = work.item.last_change.max(change.at.min(rules.now));
    let stricter = change.verdict.verdict > work.item.verdict.verdict;
    match work.item.state() {
        State::Settling | State::Held | State::Publishing => {
            if stricter && change.verdict.verdict == VerdictKind::Ignore {
                follow_up(work);
                ignore(work, change.verdict);
                return Ok(());
            }
            adopt(work, change.verdict);
            lapse(work);
            follow_up(work);
            reword(work, change.posts);
            // 3.1 and 3.2 hold for an item that is on the desk already as well (worked example C): an edit soon after it
            // settled starts the window anew, a late one is what `settle-at-most` and grace are for.
            let settled = settled_at(work.item.first_seen, work.item.last_change, rules.hold);
            let settled = work.item.settled.map_or(settled, |before| before.max(settled));
            work.item.settled = Some(settled);
            work.grow_window(hold::window_end(settled, rules.hold.window));
            work.grace(rules);
            if work.item.phase == Phase::Settling {
                work.item.first_window_end = work.item.window_end;
            }
        }
        State::Done => {
            adopt(work, change.verdict);
            lapse(work);
            follow_up(work);
            // A failed post may yet be sent by a person's word; then it is the new text.
            reword(work, change.posts);
        }
        State::Vetoed | State::Withdrawn => {
            // Nothing moves, but who reinstates it finds it as it is now. One that never was on the desk is again what it
            // was, known or ignored, when it comes back: its verdict tells which, and must not be touched meanwhile.
            if work.item.window_end.is_some() {
                adopt(work, change.verdict);
            }
            lapse(work);
            follow_up(work);
            reword(work, change.posts);
        }
        State::Ignored => {
            let was = work.item.verdict.clone();
            match change.verdict.verdict {
                VerdictKind::Ignore => work.item.verdict = change.verdict,
                VerdictKind::Hold | VerdictKind::Ask => {
                    reconsider(work, was, change.verdict, change.posts, rules);
                }
            }
        }
        State::Known | State::Expired => {
            lapse(work);
            reword(work, change.posts);
        }
        State::Duplicate => {}
    }
    Ok(())
}

/// A proven mirror restarts nothing and may come until the post leaves (3.3); what is out is offered as an amendment.
fn mirrored(work: &mut Work<'_>, mirror: Option<String>, posts: BTreeMap<String, Post>) {
    if work.item.mirror == mirror {
        return;
    }
    let told = match &mirror {
        Some(url) => format!("its posts lead to {url}"),
        None => "its posts lead to its own address again".to_owned(),
    };
    work.note("mirror", None, told);
    if let Some(url) = &mirror {
        let number = work.item.number;
        let out = accounts(&work.item, |progress| matches!(progress, Progress::Sent { .. }));
        for account in out {
            let text =
                format!("the video is at {url} now; on {account} it is out already: `oyez amend {number}` follows");
            work.alarm(Some(&account), text);
        }
    }
    work.item.mirror = mirror;
    for (account, post) in posts {
        let is_queued = work.item.deliveries.get(&account).is_some_and(|d| d.progress == Progress::Queued);
        let is_edited = work.item.posts.get(&account).is_none_or(|old| old.edited_by.is_some());
        if is_queued && !is_edited {
            replace_post(&mut work.item, &account, post);
        }
    }
}

fn offered(work: &mut Work<'_>, url: String, evidence: String) {
    if work.item.mirrors.iter().any(|known| known.url == url) {
        return;
    }
    let number = work.item.number;
    let text =
        format!("likely the same video: {url} ({evidence}): `oyez mirror {number} accept {url}`, or `reject` for good");
    work.alarm(None, text);
    work.item.mirrors.push(Mirror { url, word: MirrorWord::Offered { evidence } });
}

/// A short link that nobody could open for this long is dead.
const DEAD_AFTER: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Where a short link leads was asked. A post that was waiting for it stands on the desk from now on, so it gets its
/// grace: nobody could have seen it (3.4).
fn opened(
    work: &mut Work<'_>,
    short: String,
    answer: Result<Opened, String>,
    posts: BTreeMap<String, Post>,
    rules: &Rules<'_>,
) {
    let first = Asked { since: rules.now, at: rules.now, answer: None, error: None };
    let asked = work.item.opened.entry(short.clone()).or_insert(first);
    asked.at = rules.now;
    let mut dead = None;
    match answer {
        Ok(answer) => {
            let told = match &answer {
                Opened::To(target) => format!("{short} leads to {target}"),
                Opened::Nowhere(why) => {
                    dead = Some(why.clone());
                    format!("{short} does not say where it leads: {why}")
                }
            };
            asked.answer = Some(answer);
            asked.error = None;
            work.note("opened", None, told);
        }
        Err(error) => {
            if rules.now >= later(asked.since, DEAD_AFTER) {
                dead = Some(error.clone());
            }
            asked.error = Some(error);
        }
    }
    if let Some(why) = dead {
        let text = format!("its link {short} does not say where it leads ({why}): nothing is posted without a link");
        work.alarm(None, text);
    }
    let mut anew = false;
    for (account, post) in posts {
        let is_queued = work.item.deliveries.get(&account).is_some_and(|d| d.progress == Progress::Queued);
        let old = work.item.posts.get(&account);
        if !is_queued || work.item.phase != Phase::Held || old.is_some_and(|old| old.edited_by.is_some()) {
            continue;
        }
        if old.is_none_or(|old| old.outdated_edit || !reads_the_same(old, &post)) {
            anew = true;
            replace_post(&mut work.item, &account, post);
        }
    }
    if anew {
        lapse(work);
        work.grace(rules);
    }
}

/// A verdict becomes stricter by itself, never looser without a person; the same one may give a new reason.
fn adopt(work: &mut Work<'_>, verdict: Verdict) {
    if verdict.verdict < work.item.verdict.verdict || verdict == work.item.verdict {
        return;
    }
    if verdict.verdict > work.item.verdict.verdict {
        work.note("verdict", None, because(&verdict));
    }
    work.item.verdict = verdict;
}

fn because(verdict: &Verdict) -> String {
    verdict.because.clone().or_else(|| verdict.rule.clone()).unwrap_or_default()
}

/// A late rule caught it: what was not claimed stays here.
fn ignore(work: &mut Work<'_>, verdict: Verdict) {
    work.note("ignored", None, because(&verdict));
    work.item.verdict = verdict;
    lapse(work);
    work.cancel_queued();
    work.item.phase = Phase::Ignored;
}

/// The policy would let an ignored item through now. It comes to the desk with a full window, but it asks: a verdict
/// never becomes looser without a person.
fn reconsider(work: &mut Work<'_>, was: Verdict, verdict: Verdict, posts: BTreeMap<String, Post>, rules: &Rules<'_>) {
    let reason = because(&was);
    work.note("held", None, "the policy does not ignore it any more");
    work.item.ask = Some(match reason.as_str() {
        "" => "the policy ignored it until its author changed it".to_owned(),
        reason => format!("the policy ignored it ({reason}) until its author changed it"),
    });
    work.item.verdict = verdict;
    work.item.phase = Phase::Settling;
    for delivery in work.item.deliveries.values_mut() {
        if delivery.progress == Progress::Cancelled {
            *delivery = Delivery::default();
        }
    }
    lapse(work);
    reword(work, posts);
    work.item.settled = Some(rules.now);
    work.grow_window(hold::window_end(rules.now, rules.hold.window));
    work.grace(rules);
    work.item.first_window_end = work.item.window_end;
    let worded = work.item.deliveries.keys().all(|account| work.item.posts.contains_key(account));
    if worded {
        work.item.phase = Phase::Held;
    }
}

/// Approval is for the text that was shown.
fn lapse(work: &mut Work<'_>) {
    if let Some(approval) = work.item.approval.take() {
        work.note("approval-lapsed", None, format!("{} had approved another text", approval.by));
    }
    for delivery in work.item.deliveries.values_mut() {
        delivery.now = false;
    }
}

/// What is out, or may be, does not follow by itself.
pub(super) fn follow_up(work: &mut Work<'_>) {
    let number = work.item.number;
    let out: Vec<String> = accounts(&work.item, |progress| matches!(progress, Progress::Sent { .. }));
    for account in out {
        let text = format!("the author changed it after it went out on {account}: `oyez amend {number}` follows");
        work.alarm(Some(&account), text);
    }
}

/// Puts the new posts in the place of those that may still leave. A team's edit stays, and asks.
fn reword(work: &mut Work<'_>, posts: BTreeMap<String, Post>) {
    // A text for which there is no new one (its account is switched off, or nothing could be worded, or a team's edit
    // made while it settles) is about the item as it was: it must not leave by itself.
    let left_behind = accounts(&work.item, |progress| match progress {
        Progress::Queued
        | Progress::Cancelled
        | Progress::Failed { .. }
        | Progress::Sending { .. }
        | Progress::Unsure { .. }
        | Progress::Waiting { .. } => true,
        Progress::Sent { .. } | Progress::Retracting { .. } | Progress::Retracted { .. } => false,
    });
    for account in left_behind.iter().filter(|account| !posts.contains_key(*account)) {
        outdate(work, account);
    }
    for (account, post) in posts {
        let Some(delivery) = work.item.deliveries.get(&account) else { continue };
        let old = work.item.posts.get(&account);
        match &delivery.progress {
            Progress::Queued | Progress::Cancelled | Progress::Failed { .. } => {
                if old.is_some_and(|old| old.edited_by.is_some()) {
                    outdate(work, &account);
                } else {
                    replace_post(&mut work.item, &account, post);
                }
            }
            // A request with the old text is, or may be, under way: a repeat must carry the same text, and the item is
            // not what it was. So it is only read back, and should it not be out, a person chooses.
            Progress::Sending { .. } | Progress::Unsure { .. } | Progress::Waiting { .. } => {
                if old.is_some_and(|old| !reads_the_same(old, &post)) {
                    outdate(work, &account);
                }
            }
            Progress::Sent { .. } | Progress::Retracting { .. } | Progress::Retracted { .. } => {}
        }
    }
}

fn outdate(work: &mut Work<'_>, account: &str) {
    if let Some(post) = work.item.posts.get_mut(account)
        && !post.outdated_edit
    {
        post.outdated_edit = true;
        work.note("asks", Some(account), "the author changed the item under this text");
    }
}

fn gone(work: &mut Work<'_>, origin: usize, why: String, rules: &Rules<'_>) -> Result<(), Refused> {
    let place = origin_mut(&mut work.item, origin)?;
    if place.gone.is_some() {
        return Ok(());
    }
    let source = place.source.clone();
    place.gone = Some(Gone { at: rules.now, why: why.clone() });
    work.note("gone", None, format!("{why} at {source}"));
    if !is_gone(&work.item) {
        return Ok(());
    }
    let number = work.item.number;
    for account in accounts(&work.item, |progress| matches!(progress, Progress::Sent { .. })) {
        let text = format!("{why} at its source after it went out on {account}: `oyez retract {number}` deletes it");
        work.alarm(Some(&account), text);
    }
    match work.item.state() {
        State::Settling
        | State::Held
        | State::Publishing
        | State::Vetoed
        | State::Known
        | State::Ignored
        | State::Expired => {
            work.cancel_queued();
            work.item.phase = Phase::Withdrawn { at: rules.now };
            work.note("withdrawn", None, why);
        }
        // It stays done: the alarm says what there is to do. Amendments under way are off, they would publish again.
        State::Done => work.cancel_queued(),
        State::Withdrawn | State::Duplicate => {}
    }
    Ok(())
}

/// One thing, one post: another place joins. It makes nothing due, but what the policy refuses there is refused here.
fn also_at(work: &mut Work<'_>, at: usize, origin: Origin, verdict: Verdict) {
    if work.item.origins.iter().any(|known| known.source == origin.source && known.found.key == origin.found.key) {
        return;
    }
    work.note("joined", None, format!("also at {}", origin.source));
    let at = at.min(work.item.origins.len());
    work.item.origins.insert(at, origin);
    match work.item.state() {
        State::Settling | State::Held | State::Publishing if verdict.verdict > work.item.verdict.verdict => {
            if verdict.verdict == VerdictKind::Ignore {
                ignore(work, verdict);
            } else {
                adopt(work, verdict);
                lapse(work);
            }
        }
        State::Settling
        | State::Held
        | State::Publishing
        | State::Known
        | State::Done
        | State::Vetoed
        | State::Ignored
        | State::Expired
        | State::Withdrawn
        | State::Duplicate => {}
    }
}

fn back(work: &mut Work<'_>, origin: usize, found: Found) -> Result<(), Refused> {
    let place = origin_mut(&mut work.item, origin)?;
    place.found = found;
    if place.gone.take().is_none() {
        return Ok(());
    }
    let source = place.source.clone();
    work.note("back", None, format!("public again at {source}"));
    if !matches!(work.item.phase, Phase::Withdrawn { .. }) {
        return Ok(());
    }
    if work.item.window_end.is_none() {
        // It never was on the desk: it is again what it was.
        work.item.phase = match work.item.verdict.verdict {
            VerdictKind::Ignore => Phase::Ignored,
            VerdictKind::Hold | VerdictKind::Ask => Phase::Known,
        };
    } else {
        let number = work.item.number;
        work.alarm(None, format!("public again at {source}: `oyez reinstate {number}` puts it back on the desk"));
    }
    Ok(())
}

fn expire(work: &mut Work<'_>, rules: &Rules<'_>) -> Result<(), Refused> {
    let number = work.item.number;
    let at = expires_at(&work.item, rules.hold.ask_expires)
        .ok_or_else(|| Refused::new(format!("item {number} asks nobody")))?;
    if rules.now < at {
        return Err(Refused::new(format!("item {number} expires at {at}")));
    }
    work.note("expired", None, "nobody answered");
    let claimed = work.item.deliveries.values().any(|delivery| delivery.progress.was_claimed());
    work.cancel_queued();
    // What is half way out is no expired item: its rest is cancelled, the item ends as what was sent.
    if !claimed {
        work.item.phase = Phase::Expired;
    }
    Ok(())
}

/// When an ask that nobody answers ends; `None`: nothing of it asks.
pub(crate) fn expires_at(item: &Item, ask_expires: std::time::Duration) -> Option<Timestamp> {
    let queued = item.deliveries.values().any(|delivery| delivery.progress == Progress::Queued);
    if item.phase != Phase::Held || !item.needs_approval() || !queued {
        return None;
    }
    // A snooze says when somebody means to look again.
    Some(hold::expires_at(item.window_end.max(item.snoozed)?, ask_expires))
}

fn stale(work: &mut Work<'_>, could_leave: Timestamp, rules: &Rules<'_>) -> Result<(), Refused> {
    let number = work.item.number;
    let at = stale_at(&work.item, rules.hold.stale)
        .ok_or_else(|| Refused::new(format!("item {number} cannot become stale")))?;
    if could_leave <= at {
        return Err(Refused::new(format!("item {number} is stale only after {at}")));
    }
    work.item.ask = Some("it could leave only long after its window".to_owned());
    work.note("asks", None, "it could leave only long after its window");
    // The time to answer begins now.
    work.grace(rules);
    Ok(())
}

/// After which moment the item would leave stale; `None`: it cannot, or somebody said yes, or it asks already.
pub(crate) fn stale_at(item: &Item, stale: Option<std::time::Duration>) -> Option<Timestamp> {
    let queued = item.deliveries.values().any(|delivery| delivery.progress == Progress::Queued);
    if item.phase != Phase::Held || !queued || item.ask.is_some() || item.approval.is_some() {
        return None;
    }
    hold::stale_at(item.first_window_end?, stale)
}

fn origin_mut(item: &mut Item, index: usize) -> Result<&mut Origin, Refused> {
    let number = item.number;
    item.origins.get_mut(index).ok_or_else(|| Refused::new(format!("item {number} has no origin {index}")))
}

fn accounts(item: &Item, which: impl Fn(&Progress) -> bool) -> Vec<String> {
    item.deliveries.iter().filter(|(_, d)| which(&d.progress)).map(|(account, _)| account.clone()).collect()
}
