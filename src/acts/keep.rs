//! `oyez keep`: a link of an item stays as its author wrote it.
use serde_json::json;

use super::{CONFLICT_TRIES, Desk, Done, Failure, Sink, busy};
use crate::link::rewrite::nothing_opened;
use crate::store::{Change, CommitError, Note};
use crate::wording;

impl Desk {
    /// Records that this link of the item is not to be rewritten, whatever the rules say; a second time changes nothing.
    /// Refused (exit 1) where the item has no such link, or where the link may stand in no post.
    pub(super) fn keep(
        &self,
        actor: &str,
        item: &str,
        url: &str,
        reason: Option<&str>,
        sink: Sink<'_>,
    ) -> Result<(), Failure> {
        let number = self.one(item)?;
        for _ in 0..CONFLICT_TRIES {
            let mut item = self.must(number)?;
            let links: Vec<&str> = item.origins.iter().flat_map(|o| wording::addresses(&o.found)).collect();
            if !links.contains(&url) {
                let hint = (!links.is_empty()).then(|| format!("its links: {}", links.join(" ")));
                return Err(Failure::failed(format!("item {number} has no link `{url}`"), hint));
            }
            if let Some(refused) = self.wording.rulebook().linker.rewrite(url, true, &nothing_opened).refused {
                return Err(Failure::failed(format!("`{url}` cannot be kept: {refused}"), None));
            }
            let changed = !item.kept.iter().any(|kept| kept == url);
            if changed {
                item.kept.push(url.to_owned());
                let note = Note {
                    reason: reason.map(str::to_owned),
                    text: Some(url.to_owned()),
                    ..Note::new(self.clock.now(), Some(number), actor, "keep")
                };
                let change = Change { items: vec![item], notes: vec![note], durable: true, ..Change::default() };
                match self.store.commit(change) {
                    Ok(_) => {}
                    Err(CommitError::Conflict { .. } | CommitError::Taken { .. }) => continue,
                    Err(CommitError::Store(error)) => return Err(error.into()),
                }
            }
            let done = Done { number, changed, hints: Vec::new(), more: Some(("kept", json!(url))) };
            return self.tell(vec![done], sink);
        }
        Err(busy(number))
    }
}
