//! `oyez join` and `oyez split`: acts on two items at once, each one change of the store.
use jiff::Timestamp;
use serde_json::json;

use super::{CONFLICT_TRIES, Desk, Done, Failure, Sink, busy};
use crate::item::{Item, Number, Phase};
use crate::life::{self, Applied};
use crate::store::{Change, CommitError, Note, StoreError};

/// Who does what to two items, and why.
struct Deed<'a> {
    actor: &'a str,
    what: &'static str,
    reason: Option<&'a str>,
    now: Timestamp,
}

impl Desk {
    /// Two items are one thing. The order in which they are named does not matter: the lower number stays.
    pub(super) fn join(
        &self,
        actor: &str,
        item: &str,
        other: &str,
        reason: Option<&str>,
        sink: Sink<'_>,
    ) -> Result<(), Failure> {
        let (a, b) = (self.one(item)?, self.one(other)?);
        if a == b {
            return Err(Failure::usage(format!("both name item {a}"), Some("name two different items".into())));
        }
        let (low, high) = (a.min(b), a.max(b));
        for _ in 0..CONFLICT_TRIES {
            let deed = Deed { actor, what: "join", reason, now: self.clock.now() };
            let (item, other) = (self.must(low)?, self.must(high)?);
            let (mut kept, gone) = life::join(&item, &other)?;
            self.order(&mut kept.item);
            // What was a duplicate of the one is a duplicate of the other: no chains.
            let followers = self.duplicates(high)?.iter().map(|duplicate| life::follow(duplicate, low)).collect();
            if self.commit_pair(&deed, &kept, &gone, followers)? {
                return self.show_pair(kept, gone, sink);
            }
        }
        Err(busy(low))
    }

    /// A duplicate is another thing after all.
    pub(super) fn split(&self, actor: &str, item: &str, reason: Option<&str>, sink: Sink<'_>) -> Result<(), Failure> {
        let number = self.one(item)?;
        for _ in 0..CONFLICT_TRIES {
            let deed = Deed { actor, what: "split", reason, now: self.clock.now() };
            let other = self.must(number)?;
            let Phase::Duplicate { of } = other.phase else {
                let hint =
                    self.duplicates(number)?.iter().map(|item| format!("`oyez split {}`", item.number)).collect();
                let hint: Vec<String> = hint;
                let hint = (!hint.is_empty()).then(|| format!("its duplicates: {}", hint.join(", ")));
                return Err(Failure::failed(format!("item {number} is no duplicate"), hint));
            };
            let (mut kept, mut free) = life::split(&self.must(of)?, &other)?;
            self.order(&mut kept.item);
            self.order(&mut free.item);
            // Those that had come with it go with it.
            let went = |item: &Item| {
                item.origins
                    .iter()
                    .all(|o| free.item.origins.iter().any(|f| f.source == o.source && f.found.key == o.found.key))
            };
            let followers = self
                .duplicates(of)?
                .iter()
                .filter(|item| item.number != number && went(item))
                .map(|item| life::follow(item, number))
                .collect();
            if self.commit_pair(&deed, &kept, &free, followers)? {
                return self.show_pair(kept, free, sink);
            }
        }
        Err(busy(number))
    }

    /// Stores both, and those that follow, in one change. `Ok(false)`: somebody was faster, decide anew.
    fn commit_pair(&self, deed: &Deed<'_>, one: &Applied, two: &Applied, more: Vec<Applied>) -> Result<bool, Failure> {
        let note = |number: Number, with: Number| Note {
            reason: deed.reason.map(str::to_owned),
            detail: json!({"with": with}),
            ..Note::new(deed.now, Some(number), deed.actor, deed.what)
        };
        let mut notes = vec![note(one.item.number, two.item.number), note(two.item.number, one.item.number)];
        let mut items = Vec::new();
        for applied in [one, two].into_iter().chain(&more) {
            notes.extend(crate::deliver::notes(applied, deed.now, applied.item.number));
            items.push(applied.item.clone());
        }
        match self.store.commit(Change { items, notes, durable: true, ..Change::default() }) {
            Ok(_) => {
                self.wake();
                Ok(true)
            }
            Err(CommitError::Conflict { .. } | CommitError::Taken { .. }) => Ok(false),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    fn show_pair(&self, one: Applied, two: Applied, sink: Sink<'_>) -> Result<(), Failure> {
        let done = [one, two].into_iter().map(|applied| Done {
            number: applied.item.number,
            changed: applied.changed,
            hints: applied.warnings,
            more: None,
        });
        self.tell(done.collect(), sink)
    }

    /// Text and kind come from the first origin in the order of the configuration; within a source the older one first.
    fn order(&self, item: &mut Item) {
        let rank = |source: &str| self.config.sources.iter().position(|s| s.name == source).unwrap_or(usize::MAX);
        item.origins.sort_by_key(|origin| rank(&origin.source));
    }

    /// The items that are the same as this one. Reads all items: joining and splitting are rare.
    fn duplicates(&self, of: Number) -> Result<Vec<Item>, StoreError> {
        let mut found = Vec::new();
        for item in self.store.items(of..) {
            let item = item?;
            if item.phase == (Phase::Duplicate { of }) {
                found.push(item);
            }
        }
        Ok(found)
    }
}
