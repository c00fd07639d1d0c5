//! Two items that are one thing, and one that was two after all (promise 6).
use crate::item::{Delivery, Item, Number, Origin, Phase, Progress, State};

use super::{Applied, LifeNote, Refused, Work, cancel, says};

/// Makes `other` a duplicate of `item`, which takes over its origins. Joining never undoes a decision (vetoed, ignored or
/// known at one of them stays so, a skipped account is left out, an `ask` asks) and never makes due again what is out: an
/// account that the other one was claimed for is left out here. Posts stay as they are: the text the team saw is the text
/// that leaves. The new origins come last; whoever calls this puts them in the order of the configuration.
///
/// # Errors
/// The other one has the lower number, or one of them is a duplicate already.
pub fn join(item: &Item, other: &Item) -> Result<(Applied, Applied), Refused> {
    if item.number >= other.number {
        return Err(Refused::new(format!("item {} keeps the lower number", item.number.min(other.number)))
            .hint(format!("`oyez join {} {}`", other.number, item.number)));
    }
    for one in [item, other] {
        if one.state() == State::Duplicate {
            return Err(Refused::new(format!("item {} {}", one.number, says(one))));
        }
    }
    let (mut work, mut rest) = (Work::new(item), Work::new(other));
    for origin in &other.origins {
        let known = |o: &crate::item::Origin| o.source == origin.source && o.found.key == origin.found.key;
        if !work.item.origins.iter().any(known) {
            work.item.origins.push(origin.clone());
        }
    }
    let open = match item.state() {
        State::Settling | State::Held | State::Publishing => true,
        State::Known
        | State::Done
        | State::Vetoed
        | State::Ignored
        | State::Expired
        | State::Withdrawn
        | State::Duplicate => false,
    };
    let decided = match &other.phase {
        Phase::Vetoed { .. } | Phase::Ignored | Phase::Known => true,
        Phase::Settling | Phase::Held | Phase::Expired | Phase::Withdrawn { .. } | Phase::Duplicate { .. } => false,
    };
    if open && decided {
        work.note("decided", None, format!("item {} {}", other.number, says(other)));
        work.item.phase = other.phase.clone();
        work.cancel_queued();
    }
    if open && other.verdict.verdict > work.item.verdict.verdict {
        // A verdict becomes stricter by itself, never looser: what asked at one place asks on.
        work.item.verdict = other.verdict.clone();
    }
    // Who joins them has answered whether they are one.
    if open && work.item.ask.is_none() && other.twin != Some(item.number) {
        work.item.ask = other.ask.clone();
    }
    if open && let Some(end) = other.window_end {
        work.grow_window(end);
    }
    let kept: Vec<String> = other.kept.iter().filter(|url| !item.kept.contains(url)).cloned().collect();
    work.item.kept.extend(kept);
    work.item.snoozed = work.item.snoozed.max(other.snoozed);
    // On the desk only a person cancels one delivery alone; elsewhere all are cancelled with the item.
    let on_desk = matches!(other.phase, Phase::Settling | Phase::Held);
    for (account, delivery) in &mut work.item.deliveries {
        let Some(theirs) = other.deliveries.get(account) else { continue };
        let skipped = on_desk && theirs.progress == Progress::Cancelled;
        if delivery.progress != Progress::Queued || !(theirs.progress.was_claimed() || skipped) {
            continue;
        }
        cancel(delivery);
        let why = format!(
            "{} on {account} as item {}",
            if skipped { "skipped" } else { theirs.progress.name() },
            other.number
        );
        work.notes.push(LifeNote { what: "cancelled", account: Some(account.clone()), detail: why.clone() });
        work.warnings.push(format!("{why}: it does not go out there again"));
    }
    if !open && matches!(other.state(), State::Settling | State::Held | State::Publishing) {
        work.warnings.push(format!("item {} {}, and stays so", item.number, says(item)));
    }
    work.note("joined", None, format!("{} is the same", other.number));
    rest.item.phase = Phase::Duplicate { of: item.number };
    rest.cancel_queued();
    rest.note("duplicate", None, format!("of {}", item.number));
    Ok((work.done(), rest.done()))
}

/// A duplicate follows what it is the same as, where that was joined to another or split off.
pub fn follow(duplicate: &Item, of: Number) -> Applied {
    let mut work = Work::new(duplicate);
    work.item.phase = Phase::Duplicate { of };
    work.note("duplicate", None, format!("of {of}"));
    work.done()
}

/// Undoes a join: `other`, a duplicate of `item`, stands for itself again with its origins as they were last read, as
/// known: what it was before is not told any more, so nothing happens to it unless a person sends it on its way.
///
/// # Errors
/// It is no duplicate of this item.
pub fn split(item: &Item, other: &Item) -> Result<(Applied, Applied), Refused> {
    if other.phase != (Phase::Duplicate { of: item.number }) {
        return Err(Refused::new(format!("item {} is no duplicate of {}", other.number, item.number)));
    }
    let (mut work, mut rest) = (Work::new(item), Work::new(other));
    let (number, of) = (other.number, item.number);
    let is_theirs = |o: &mut Origin| other.origins.iter().any(|p| p.source == o.source && p.found.key == o.found.key);
    let read_since: Vec<Origin> = work.item.origins.extract_if(.., is_theirs).collect();
    for origin in read_since {
        let same = |o: &&mut Origin| o.source == origin.source && o.found.key == origin.found.key;
        if let Some(theirs) = rest.item.origins.iter_mut().find(same) {
            *theirs = origin;
        }
    }
    if work.item.origins.is_empty() {
        return Err(Refused::new(format!("item {of} has no other origin than those of {number}")));
    }
    work.note("split", None, format!("{number} is another thing"));
    rest.item.phase = Phase::Known;
    for delivery in rest.item.deliveries.values_mut().filter(|d| d.progress == Progress::Cancelled) {
        *delivery = Delivery::default();
    }
    rest.note("split", None, format!("no longer the same as {of}"));
    rest.warnings.push(format!("it is only known now: `oyez reinstate {number}` sends it on its way"));
    Ok((work.done(), rest.done()))
}

#[cfg(test)]
mod tests {
    use super::super::cells::{at, item, origin, shown};
    use super::*;
    use crate::item::{Verdict, VerdictKind};

    fn other(state: &str, letters: &str) -> Item {
        let mut origin = origin();
        origin.source = "videos".into();
        Item { number: 43, origins: vec![origin], window_end: Some(at(9000)), ..item(state, letters) }
    }

    #[track_caller]
    fn check(one: (&str, &str), two: (&str, &str), want: &str) {
        let (kept, gone) = join(&item(one.0, one.1), &other(two.0, two.1)).expect("can be joined");
        assert_eq!(shown(&kept.item), want);
        assert_eq!((kept.item.origins.len(), gone.item.phase), (2, Phase::Duplicate { of: 42 }));
        assert!(!gone.item.deliveries.values().any(|d| d.progress == Progress::Queued));
    }

    #[test]
    fn promise_06_joining_undoes_no_decision() {
        check(("held", "qqq"), ("held", "qqq"), "held qqq");
        check(("held", "qqq"), ("vetoed", "ccc"), "vetoed ccc");
        check(("publishing", "sqq"), ("vetoed", "ccc"), "vetoed scc");
        check(("settling", "qqq"), ("known", "qqq"), "known ccc");
        check(("settling", "qqq"), ("ignored", "qqq"), "ignored ccc");
        for state in ["vetoed", "ignored", "known"] {
            check((state, "ccc"), ("held", "qqq"), &format!("{state} ccc"));
        }
        check(("done", "sss"), ("held", "qqq"), "done sss");
        check(("held", "qqq"), ("held", "cqq"), "held cqq");
        let asks = Verdict { verdict: VerdictKind::Ask, ..Verdict::default() };
        let other = Item { verdict: asks, ask: Some("old news".into()), ..other("held", "qqq") };
        let (kept, _) = join(&item("held", "qqq"), &other).unwrap();
        assert!(kept.item.needs_approval(), "what asked at one place asks on");
        assert_eq!(kept.item.ask.as_deref(), Some("old news"));
    }

    #[test]
    fn promise_06_joining_makes_nothing_due_again() {
        check(("held", "qqq"), ("publishing", "suq"), "held ccq");
        let (kept, _) = join(&item("held", "qqq"), &other("held", "qqq")).unwrap();
        assert_eq!(kept.item.window_end, Some(at(9000)), "the longer window counts");
        assert!(join(&other("held", "qqq"), &item("held", "qqq")).is_err());
    }

    #[test]
    fn a_split_item_is_known() {
        let (kept, gone) = join(&item("held", "qqq"), &other("held", "qqq")).unwrap();
        let mut read_since = kept.item;
        read_since.origins[1].found.title = "News, corrected".into();
        let (one, two) = split(&read_since, &gone.item).unwrap();
        assert_eq!(two.item.origins[0].found.title, "News, corrected");
        assert_eq!((one.item.origins.len(), shown(&two.item).as_str()), (1, "known qqq"));
        assert!(split(&one.item, &two.item).is_err());
    }
}
